/* http_session.h - a client connection of mode http, whatever it speaks: its stream, timer, drain,
 * lingering and end. What it speaks is a *protocol*, in this order:
 *
 *   the prologue (http_prologue.c)  PROXY header and TLS handshake, where the listener has them
 *   h1_protocol  (h1_session.c)     HTTP/1; when its first bytes are HTTP/2's preface, in clear, it
 *                                   hands the connection over, bytes unread
 *   h2_protocol  (h2_session.c)     HTTP/2, by ALPN or by that preface
 *
 * A protocol keeps what it needs in the union below (HTTP/1: one allocation, and no other memory
 * while the connection is idle) or in memory of its own (HTTP/2). It reads its stream, makes
 * exchanges, and ends by http_session_linger() (the last answer is queued) or http_session_close().
 * One thread, the worker's. */
#ifndef SLUICE_PROXY_HTTP_SESSION_H
#define SLUICE_PROXY_HTTP_SESSION_H

#include "lb/http/h1_parse.h"
#include "lb/net/stream.h"
#include "lb/proxy/session.h"

#include <stddef.h>

struct acceptor;
struct exchange;
struct front_ops;
struct h2_session; /* opaque */
struct http_head;
struct http_listener_conf;
struct http_session;
struct proxy;

/* Called while the session is open, that is before http_session_linger() and _close(), but for
 * `end`, `busy`, `pool_name`, `backend_name`, `backend_down`, `view` and `leave`: those at any
 * time. */
struct http_protocol {
    /* The connection is this protocol's from now on. What was received may be in the stream; run()
     * follows where http_session_again() was called. May close the session (no memory). */
    void (*begin)(struct http_session *s);
    /* Something happened on the stream: looks at the whole (in, eof, error, tx_dead, room to send),
     * as stream.h says. Never nested; http_session_again() has it called once more. */
    void (*run)(struct http_session *s);
    void (*timeout)(struct http_session *s); /* the deadline has passed; it is none by now */
    void (*drain)(struct http_session *s);   /* s->draining was set; NULL: nothing to do */
    /* Everything under way is to end for this reason: exchange_end(). The session is closed right
     * after, unless it is closing already. NULL: nothing is ever under way. */
    void (*end)(struct http_session *s, enum session_end why);
    /* Exchanges are left, or what else must not be freed yet. When that changes on a closing
     * session, the protocol calls http_session_free_if_idle(). NULL: never. */
    bool (*busy)(const struct http_session *s);
    /* Ends what would go on at this backend for hours, where its pool says so. NULL: never is. */
    void (*backend_down)(struct http_session *s, const struct backend_slot *slot);
    /* For the operator; each may be NULL. */
    const char *(*pool_name)(const struct http_session *s);
    const char *(*backend_name)(const struct http_session *s);
    void (*view)(struct http_session *s, struct proxy_session_view *out); /* state, at least */
    /* Gives its memory back: another protocol follows, or the session is freed. NULL: none. */
    void (*leave)(struct http_session *s);
};

extern const struct http_protocol http_prologue;
extern const struct http_protocol h1_protocol;
extern const struct http_protocol h2_protocol;

#define HTTP_DRAIN_IDLE_MS 1000 /* for a last request on an idle connection */

enum http_phase {
    HTTP_OPEN,    /* the protocol runs */
    HTTP_LINGER,  /* the last answer is on its way; what still comes is discarded */
    HTTP_CLOSING, /* waits until nothing is armed */
};

/* h1_session.c's own */
struct h1_session {
    uint64_t since_us; /* of the present state, idle and head */
    struct exchange *exchange;
    struct h1_parser parser;
    uint32_t sequence;        /* of the present or last request, from 1 */
    uint32_t idle_us_of_head; /* idle before the present head, saturated */
    uint8_t state;
    bool keep;   /* the connection goes on after this exchange */
    bool unread; /* what comes behind this exchange's head cannot be understood */
};

/* http_prologue.c's own */
struct http_prologue_state {
    uint8_t state;
};

struct http_session {
    struct stream stream; /* first: the hot part */
    uint32_t magic;
    uint32_t discarded; /* HTTP_LINGER: bytes */
    struct session base;
    const struct http_protocol *protocol;
    struct timer timer;
    uint64_t deadline_ms; /* 0: none; the timer may fire before */
    uint8_t phase;        /* enum http_phase */
    bool reset;           /* when it is closed */
    bool running, again;
    bool discard; /* HTTP_LINGER: wait for the client's end */
    bool lingers; /* ... and our last answer is out */
    bool deaf;    /* ... and no more can be read */
    bool freeing;
    bool draining; /* no request after those that are here */
    union {
        struct http_prologue_state prologue;
        struct h1_session h1;
        struct h2_session *h2; /* h2_session.c's own memory */
    };
};
static_assert(sizeof(struct http_session) <= 512, "memory per idle connection is a promise");

/* A session begins with http_session_start(): proxy_priv.h. */

/* The present protocol leaves, `to` begins. The last thing that a protocol does in run(). */
void http_session_switch(struct http_session *s, const struct http_protocol *to);
/* A deadline from now on instead of any other; 0: none. Cheap to move: often, and later. */
void http_session_deadline(struct http_session *s, uint64_t timeout_ms);
/* Something happened: runs the protocol, now or (when it is running) once more. */
void http_session_run(struct http_session *s);
/* Inside of run() and what it calls: once more. */
static inline void http_session_again(struct http_session *s)
{
    s->again = true;
}
/* The last answer is queued: it is sent (TLS: then close_notify), then the connection is closed.
 * discard: only when the client has ended too, or after a moment, because one that is still sending
 * would lose our answer to a reset (RFC 9112 section 9.6). */
void http_session_linger(struct http_session *s, bool discard);
/* At once; what is queued is lost. reset: the client is to see that it did not end by itself. */
void http_session_close(struct http_session *s, bool reset);
/* TLS has failed, and an alert that says why was sent: it is left the time to arrive, as what the
 * client still sends would reset the connection. */
void http_session_linger_deaf(struct http_session *s);
/* Nothing to answer any more: orderly, when what is queued was taken. */
void http_session_end(struct http_session *s);
void http_session_free_if_idle(struct http_session *s);

/* Somebody may send this request again (0-RTT), and that might do harm (RFC 8470 section 4): it may
 * wait in the stream until an event tells that the handshake is over; an exchange would answer 425.
 */
bool http_session_too_early(const struct http_session *s, const struct http_head *h);
/* One request: the caller fills x->request and the times (exchange.h), x->sequence, x->front; then
 * exchange_start() or exchange_start_refused(), and exchange_step(). NULL: no memory; counted. */
struct exchange *http_session_exchange(struct http_session *s, const struct front_ops *ops);

/* From session_ops and from exchange->session. */
struct http_session *http_session_of(const struct session *base);
/* From a stream's event. */
struct http_session *http_session_of_stream(struct stream *stream);
struct proxy *http_session_proxy(const struct http_session *s);
uint64_t http_session_now_us(const struct http_session *s);
const struct http_listener_conf *http_session_conf(const struct http_session *s);

/* Of a request that has come without TLS to a listener that has it. */
#define HTTP_REASON_PLAIN "plain-http"

/* h1_session.c. A connection whose client has not come to speak HTTP: an exchange that only answers
 * (status 0: not even that) and is counted and logged. The last thing that a protocol does. */
void h1_refuse(struct http_session *s, uint16_t status, const char *reason, enum session_end why);

/* h2_session.c. Whether the connection begins with HTTP/2's preface, as far as it is here. */
enum h2_preface { H2_PREFACE_NO, H2_PREFACE_PART, H2_PREFACE_YES };
enum h2_preface h2_preface(const struct stream *s);

#endif
