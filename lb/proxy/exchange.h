/* exchange.h - one request with its response, between a client's side (*front*: h1_session.c) and a
 * backend's (*wire*: wire.h), whatever versions of HTTP they speak.
 *
 * Both sides are pulled: the front takes request payload out of what its client has sent when the
 * exchange asks, the wire response payload. So nothing is stored in between, and who is slow slows
 * the other down. Every event, of whichever side, calls exchange_step(), which looks at the whole.
 *
 * Made by a front for each complete request head, freed by it in ops->over(). */
#ifndef SLUICE_PROXY_EXCHANGE_H
#define SLUICE_PROXY_EXCHANGE_H

#include "lb/base/arena.h"
#include "lb/filter/filter.h"
#include "lb/http/msg.h"
#include "lb/obs/access_log.h"
#include "lb/proxy/seek.h"
#include "lb/proxy/wire_cgi.h"
#include "lb/proxy/wire_file.h"
#include "lb/proxy/wire_h1.h"
#include "lb/proxy/wire_h2.h"
#include "lb/route/route.h"
#include "lb/upstream/h2_conns.h"

struct exchange;
struct http_listener;
struct http_route;
struct proxy;
struct proxy_listener;
struct session;
struct stream;

struct front_ops {
    /* Payload of the request that has arrived, decoded; *out may be NULL. */
    enum take (*take)(struct exchange *x, struct io_buf **out);
    /* Queues a head: an interim one (1xx), or the final one with x->out_body. False: no memory. */
    bool (*head)(struct exchange *x, const struct http_head *h, bool interim);
    /* Queues payload (taken over), framed as the head has said. False: no memory. */
    bool (*body)(struct exchange *x, struct io_buf *chain);
    /* The end of the payload. */
    bool (*end)(struct exchange *x, const struct http_head *trailers);
    void (*flush)(struct exchange *x);
    /* The client takes more slowly than the response comes. */
    bool (*blocked)(struct exchange *x);
    /* All that was queued has been taken by the kernel. An event follows when that changes. */
    bool (*sent_all)(struct exchange *x);
    /* Bytes may go around us from and to here; NULL: they may not. */
    struct stream *(*raw)(struct exchange *x);
    /* A file may go around us to here, where stream_takes_file(); NULL: never. */
    struct stream *(*file_to)(struct exchange *x);
    /* Payload of the request that may: bytes, 0: none; and that n of it did. */
    uint64_t (*spliceable)(const struct exchange *x);
    void (*spliced)(struct exchange *x, uint64_t n);
    /* Changes whenever a byte is sent to the client. */
    uint64_t (*progress)(const struct exchange *x);
    /* What the client sends is wanted now, or not. */
    void (*pull)(struct exchange *x, bool want);
    /* Both sides become one stream of bytes each way: take and body are raw from now on. */
    void (*upgrade)(struct exchange *x);
    /* It is over, and nothing of it is armed any more. The front frees it: exchange_free(). */
    void (*over)(struct exchange *x);
};

enum exchange_state {
    X_FILTERS, /* a filter has paused the request */
    X_FILES,   /* files are looked for */
    X_SEEKING, /* queued or dialling */
    X_SENDING, /* the request goes out; no response yet */
    X_RESPONSE_FILTERS,
    X_RESPONSE, /* the response's head is on its way to the client */
    X_TUNNEL,   /* upgraded */
    X_ANSWER,   /* ours: the last of it is on its way to the client */
    X_OVER,     /* waits for the last completions, then for the front */
};

/* How the response's payload is framed toward the client. */
struct out_framing {
    enum http_body body;
    uint64_t length;
    bool has_length; /* say it although there is no payload (HEAD, 304) */
};

/* Payload of one direction on its way through the filters. */
struct filter_run {
    struct io_buf *held; /* a piece that one of them has paused */
    uint32_t at;
    bool paused, resumed, last;
};

struct exchange {
    const struct front_ops *ops;
    struct session *session; /* the front's base: who asks */
    void *front;             /* the front's own, where it has several exchanges at a time */
    struct proxy *proxy;
    struct proxy_listener *held; /* until it is over: routes and pools are its */
    const struct http_listener *listener;
    const struct http_route *route; /* NULL: none was chosen */
    struct pool *pool;              /* NULL: answered here */
    struct arena arena;
    struct http_head request;
    struct http_head response;
    struct http_head *trailers;         /* of the response; NULL: none */
    struct http_head *request_trailers; /* kept: they may be sent again */
    struct filter_exchange *fx;         /* NULL: its route needs none */
    struct seek seek;
    union {
        struct wire wire; /* of whichever it is */
        struct wire_h1 wire_h1;
        struct wire_h2 wire_h2;
        struct wire_cgi wire_cgi;
        struct wire_file wire_file;
    };
    struct file_work *file_work;   /* exchange_files.c's; NULL: files have nothing to do with it */
    struct backend_conn *dialling; /* connected, and not the wire's yet: TLS. Or NULL */
    struct h2_waiter h2_waiter;    /* for one that another exchange dials */
    struct h2_dial h2_dial;        /* others may wait for ours */
    uint64_t h2_not_before_us;     /* connections older than that may be as dead as the last one */
    struct h1_body in_body;        /* the front's */
    uint64_t out_base;             /* the front's */
    struct timer timer;
    uint64_t deadline_ms; /* the timer may fire before: it is not moved with every byte */

    uint8_t state;       /* enum exchange_state */
    uint8_t end;         /* enum session_end */
    bool request_done;   /* all of it was given to the wire */
    bool request_taken;  /* all of it was taken from the client */
    bool response_begun; /* the final head was queued for the client */
    bool response_done;
    bool keep_client; /* in: the client's connection may go on; the front writes it */
    bool cut;         /* over before its response was complete: the client must notice */
    bool resent;      /* once, because a reused connection was dead */
    bool sent_before; /* an earlier wire may have delivered it */
    bool wire_lost;   /* ... and was lost; no other backend has been found since */
    bool client_left;
    bool client_half_closed;
    bool interim_seen; /* 100 was passed on */
    bool in_step, again;
    bool told_over;
    bool counted; /* in the pool's current */
    bool path_had_dots;
    uint8_t reroutes; /* how often files have sent it to another route */
    bool bad_payload_of_backend;
    bool trusted;                  /* what the client's proxies say is believed */
    bool spliced, request_spliced; /* payload goes around us */
    uint32_t filter_at;

    const char *reason; /* code of a refusal, for the log; NULL: none */
    const char *lost;   /* ... why the last wire was lost; NULL: nothing is known */
    int error;          /* -errno of what ended it */
    uint16_t status;    /* as the client was told; 0: nothing yet */
    struct out_framing out;

    struct route_match match;
    uint32_t stick_member; /* that the client's cookie names; STICK_NONE */
    struct str host;       /* lower-case, no port */
    struct str path;       /* normalised */
    struct str client_ip;
    struct tls_facts *tls; /* exchange_tls()'s */
    struct addr *client;   /* as trusted proxies say; the arena's */
    struct str target;     /* what the backend is asked for */
    struct str uri;        /* what it was before files named another path; len 0: the target */
    struct str host_out;   /* what the backend is told */
    struct str request_id, traceparent;
    struct str user; /* who has authenticated, for a route that led on to the present one */
    const char *scheme;

    struct io_buf *replay; /* a copy of the payload sent so far; see may_resend() */
    uint32_t replay_bytes;
    bool replay_broken; /* it is not complete */
    bool replay_again;  /* to be sent before anything is taken from the client */
    uint64_t progress;  /* at the last look at the time */
    struct filter_run request_run, response_run;

    char cookie_in, cookie_out;
    uint32_t sequence;
    uint64_t idle_us;     /* before its first byte */
    uint64_t begun_us;    /* its first byte */
    uint64_t headed_us;   /* its head was complete */
    uint64_t sent_us;     /* the request was sent, or what of it is to be */
    uint64_t answered_us; /* the response's head was there */
    uint64_t active_ms;
    uint64_t in_bytes, in_payload, out_bytes, out_payload, wire_out_bytes;
};

/* The request's head is in x->request (of x->arena); session, proxy, listener, ops and times are
 * set. From here on ops are called; over() not from inside. */
void exchange_start(struct exchange *x);
/* Something happened on the front's side. */
void exchange_step(struct exchange *x);
/* The client's connection is lost (error: -errno), or (0) it has ended its stream. */
void exchange_client_lost(struct exchange *x, int error);
/* Requests under way are let finish when their backend goes down; an upgraded connection would go
 * on for hours, and ends with it where the pool says so. */
bool exchange_ends_with(const struct exchange *x, const struct backend_slot *slot);
/* Ends it now; over() follows when nothing is armed. */
void exchange_end(struct exchange *x, enum session_end why);
/* Counts, logs, gives everything back. */
void exchange_free(struct exchange **exchange);

/* In place of exchange_start() for a head that was not understood or did not come: answers, counts
 * and logs. reason: a code; status 0: no answer is sent. */
void exchange_start_refused(struct exchange *x, uint16_t status, const char *reason,
                            enum session_end why);

const char *exchange_state_name(const struct exchange *x);

/* From the wire: something happened there. */
void exchange_wire_event(struct wire *w);

#endif
