/* h2_priv.h - shared by h2_conn.c (a connection and its streams), h2_frames.c (what nghttp2 asks
 * for) and h2_conns.c (which connection). */
#ifndef SLUICE_UPSTREAM_H2_PRIV_H
#define SLUICE_UPSTREAM_H2_PRIV_H

#include "lb/http/h2_guard.h"
#include "lb/http/h2_mem.h"
#include "lb/net/stream.h"
#include "lb/upstream/conn_cache.h"
#include "lb/upstream/h2_conn.h"
#include "lb/upstream/h2_conns.h"
#include "lb/upstream/pool.h"

enum h2_conn_state {
    H2_OPEN,
    H2_LEAVING, /* no request any more; ends with the last stream */
    H2_CLOSING, /* GOAWAY is on its way */
    H2_LOST,    /* waits for its streams' owners */
};

struct h2_conn {
    struct list node;   /* of its member's */
    struct list shared; /* of the worker's that are */
    struct list idle;   /* of the worker's */
    struct h2_conns *all;
    struct h2_member *member; /* NULL: not shared, or not any more: base->member may be gone */
    struct backend_conn *base;
    nghttp2_session *session;
    struct list streams;
    struct list told; /* streams that an event is due for */
    struct loop_task turn_end;
    struct timer timer;
    uint64_t made_us, heard_us, idle_since_us;
    struct h2_mem memory;
    struct h2_guard guard;
    uint32_t n_streams;
    uint32_t peer_streams; /* at the same time, as the backend says */
    uint32_t n_requests;
    uint64_t rtt_us;         /* a round trip; 0: not known */
    uint32_t grown;          /* bytes, of its streams' windows */
    struct h2_stream *stuck; /* whose payload is framed, but had no room; NULL: none's */
    uint32_t ping_ms;        /* for the answer to a PING */
    const char *reason;
    int error;
    uint8_t state; /* enum h2_conn_state */
    bool settings_seen;
    bool connect_protocol;
    bool in_library; /* nghttp2 runs: it must not be freed */
    bool is_idle;
    bool pinging; /* it was asked whether it lives; the timer runs */
};

/* h2_conns.c */
uint32_t h2_conn_room(const struct h2_conn *c);
void h2_conn_unlink(struct h2_conn *c); /* is not found any more */
void h2_conn_idle(struct h2_conn *c);   /* its last stream is over: kept for a while, or closed */
void h2_conn_busy(struct h2_conn *c);
void h2_conn_leave(struct h2_conn *c); /* takes no more requests, ends with its last */

static inline struct stream *h2_socket(const struct h2_conn *c)
{
    return &c->base->stream;
}
static inline struct io *h2_io(const struct h2_conn *c)
{
    return c->all->loop->io;
}
static inline void h2_push(struct io_buf **first, struct io_buf **last, struct io_buf *b)
{
    b->next = NULL;
    if (*last != NULL)
        (*last)->next = b;
    else
        *first = b;
    *last = b;
}

/* h2_frames.c */
#define H2_CONN_WINDOW (1u << 20)  /* bytes on their way to us; streams bound what is kept */
#define H2_STREAM_OUT  (32u << 10) /* payload that waits to be sent: more is not asked for */
#define H2_OUT_MAX     (64u << 10) /* bytes of frames made and not taken by the kernel yet */
/* nghttp2's read callback, for payload of any stream. */
ssize_t h2_read_payload(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                        uint32_t *flags, nghttp2_data_source *source, void *arg);
bool h2_session_begin(struct h2_conn *c); /* makes it, with our settings; false: no memory */

/* h2_conn.c */
void h2_tell(struct h2_stream *s); /* an event is due */
void h2_tell_all(struct h2_conn *c);
void h2_soon(struct h2_conn *c); /* frames are to be sent, at the end of the turn */
/* reason: a code for the log and clients' errors, NULL: none. */
void h2_lose(struct h2_conn *c, const char *reason, int error);
void h2_conn_end(struct h2_conn *c); /* without streams: says goodbye, closes */

#endif
