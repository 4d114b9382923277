/* h2_priv.h - shared by h2_session.c (a connection of HTTP/2: what comes and what goes),
 * h2_events.c (what nghttp2 finds in it) and h2_front.c (one request of it: the exchange's front).
 */
#ifndef SLUICE_PROXY_H2_PRIV_H
#define SLUICE_PROXY_H2_PRIV_H

#include "lb/http/h2_guard.h"
#include "lb/http/h2_head.h"
#include "lb/http/h2_mem.h"
#include "lb/http/h2_window.h"
#include "lb/io/loop.h"
#include "lb/proxy/exchange.h"
#include "lb/proxy/http_session.h"
#include "lb/proxy/proxy_priv.h"

#define H2_OUT_HIGH    (128u << 10) /* bytes queued for the client: no more payload is framed */
#define H2_STREAM_HIGH (64u << 10)  /* payload of one stream that waits to be framed */
#define H2_CLIENT_CONN_WINDOW                                                                      \
    (1u << 20)                        /* payload of requests that waits, of all streams together */
#define H2_CLIENT_WINDOW  (64u << 10) /* ... of one; to begin with, both */
#define H2_INTERIM_MAX    16          /* interim heads that wait to be framed, of all streams */
#define H2_FRAME_HEAD     9           /* bytes */
#define H2_TRAILER_BYTES  8192
#define H2_TRAILER_FIELDS 32

struct h2_session {
    struct http_session *s;
    nghttp2_session *ng;
    struct list streams; /* every struct h2_front of it */
    struct list ready;   /* those for which something has happened */
    struct loop_task turn_end;
    struct h2_front *building; /* whose head is coming, NULL: none's */
    struct h2_head head;       /* ... what there is of it */
    struct h2_guard guard;
    struct h2_mem mem;
    uint64_t since_us;   /* idle: without streams */
    uint32_t n_streams;  /* also those that the client has forgotten already */
    uint32_t n_heads;    /* of responses that nghttp2 has by reference only, not yet framed */
    uint32_t n_interim;  /* interim heads that nghttp2 has, not yet framed */
    uint32_t head_bytes; /* of the heads of all streams */
    uint32_t grown;      /* bytes, of streams' windows */
    uint32_t sequence;
    uint64_t greeted_us, rtt_us; /* our settings were sent; a round trip, 0: not known */
    struct h2_front *stuck;      /* whose payload is framed, but had no room; NULL: none's */
    struct h2_resets *resets;    /* that are to come; NULL: there were none yet */
    int32_t deadline_head;       /* the stream whose head must be complete by then */
    uint8_t deadline;            /* h2_session.c's enum deadline: the one that is set */
    uint32_t ng_error;           /* code of the GOAWAY that nghttp2 has sent; 0: none */
    bool in_ng;                  /* inside of a call that must not be nested */
    bool dead;                   /* nghttp2 has failed: nothing more goes in or out */
    bool over;                   /* the last answer is queued, or nobody waits for one */
    bool drain_begun;            /* the client knows that no more requests are wanted */
    bool drain_said;             /* ... and which was the last */
};

struct h2_front {
    struct list node;  /* h2_session->streams */
    struct list ready; /* h2_session->ready */
    struct h2_session *h2;
    struct exchange *x;
    struct io_buf *in, *in_last;   /* payload of the request, not yet taken */
    struct io_buf *out, *out_last; /* payload of the response, not yet framed */
    struct h2_window window;       /* for the request's */
    uint64_t in_left;              /* that the request's length announces */
    uint64_t moved;                /* bytes that were framed */
    const struct http_head *trailers;
    const char *bad; /* what is wrong with the payload: a code; NULL: nothing */
    uint32_t in_bytes, out_bytes, head_bytes;
    int32_t id;
    struct h2_digits digits;
    uint8_t result; /* enum h1_result of its head */
    bool started;   /* the exchange was */
    bool has_length;
    bool in_ended;  /* the client has said all */
    bool closed;    /* nghttp2 knows it no more, or never did */
    bool head_sent; /* the final one was submitted */
    bool out_ended; /* the response's payload is complete */
    bool end_sent;  /* END_STREAM is framed */
    bool deferred;  /* nghttp2 does not ask for payload before it is told to */
    bool waits; /* the exchange has more than may be queued, or waits for the end to be framed */
};

/* h2_session.c */
/* Its exchange is to be looked at, in this turn. */
void h2_ready(struct h2_front *st);
/* What nghttp2 has to say goes to the stream, as far as there is room. */
void h2_pump(struct h2_session *h2);
/* Payload may be framed now. */
bool h2_has_room(const struct h2_session *h2);
/* What is queued goes out at the end of the turn, in one piece. */
void h2_flush_soon(struct h2_session *h2);
/* The stream is no more; st was freed. */
void h2_front_gone(struct h2_session *h2);

/* The client is told which request was its last; once. */
void h2_say_drain(struct h2_session *h2);

/* h2_events.c */
/* Makes h2->ng, with h2->mem. False: no memory. */
bool h2_events_begin(struct h2_session *h2);

/* h2_resets.c */
/* Its response is complete; what is still to come of its request is not wanted. */
void h2_reset_later(struct h2_session *h2, int32_t id);
void h2_resets_free(struct h2_session *h2);

/* h2_front.c */
/* A stream with an exchange whose head is still to come; NULL: no memory. id 0: of the connection,
 * for what is only to be logged. */
struct h2_front *h2_front_new(struct h2_session *h2, int32_t id);
/* Something happened: begins, or looks at its exchange. May free it. */
void h2_front_run(struct h2_front *st);
/* Payload of the request has come, or its end. False: no memory. */
bool h2_front_receive(struct h2_front *st, const uint8_t *data, size_t len);
void h2_front_ended(struct h2_front *st);
/* It is over before its response was complete. END_CLIENT_ABORT: the client is lost. */
void h2_front_end(struct h2_front *st, enum session_end why);
static inline struct io *h2_front_io(const struct h2_front *st)
{
    return st->h2->s->base.proxy->loop->io;
}

/* h2_front_frames.c */
/* nghttp2 may not see the head's memory later than in this step; where there is no room for it now,
 * it gets copies. */
void h2_let_copy(nghttp2_nv *nv, uint32_t n);
/* nghttp2's questions for payload, and where it goes. */
ssize_t h2_front_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length,
                      uint32_t *data_flags, nghttp2_data_source *source, void *arg);
int h2_front_send(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *frame_head,
                  size_t length, nghttp2_data_source *source, void *arg);

#endif
