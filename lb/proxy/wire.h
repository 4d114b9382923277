/* wire.h - the backend's side of an exchange, whatever protocol the backend speaks: a request is
 * sent, a response is read. Decides nothing: the exchange asks, for every event of either side.
 *
 * A wire is open from its implementation's own open function (wire_h1_open...) until wire_close();
 * between the two it is one request's. It calls exchange_wire_event() when something has happened
 * on its side, never from inside an op. Payload passes in chains of buffers that change hands. What
 * a wire has read and nobody has taken is bounded by it; so is what it sends, by blocked().
 *
 * An implementation is a struct that begins with struct wire, and a table of ops; it stands in the
 * exchange (see there), so no memory is needed for it. */
#ifndef SLUICE_PROXY_WIRE_H
#define SLUICE_PROXY_WIRE_H

#include "lb/http/msg.h"
#include "lb/proxy/take.h"

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct exchange;
struct io_buf;
struct stream;
struct wire;

enum wire_read {
    WIRE_MORE,
    WIRE_HEAD,   /* a head is there (final or interim) */
    WIRE_BAD,    /* malformed: *out_reason */
    WIRE_SEND,   /* send the head now: what send_head() was waiting for is here */
    WIRE_UNABLE, /* what the request asks for cannot be had of this backend: *out_reason; status */
    WIRE_LOST,   /* the connection, or this request's part of it, ended or failed: error() */
};

/* What a request is sent with, beside the fields of its head (hop-by-hop ones are gone). */
struct wire_request {
    const struct http_head *head;
    struct str method, target, host, scheme;
    struct str uri; /* the target, as the client said it, where files have chosen another one */
    enum http_body body;
    uint64_t content_length; /* HTTP_BODY_LENGTH */
    bool has_content_length; /* say it although there is no payload */
    bool te_trailers;        /* the client understands trailers */
    bool upgrade;            /* head has an Upgrade field */
    bool last;               /* the connection carries no other request after this */
    struct str preface;      /* bytes before all others, on a new connection */
};

struct wire_ops {
    /* Queue the head, payload (taken over), and the end; of an upgraded one the end of our stream.
     * False: no memory. */
    bool (*send_head)(struct wire *w, const struct wire_request *r);
    bool (*send_body)(struct wire *w, struct io_buf *chain);
    bool (*send_end)(struct wire *w, const struct http_head *trailers);
    void (*flush)(struct wire *w);
    /* The backend takes more slowly than the request comes. An event follows when that changes. */
    bool (*blocked)(struct wire *w);
    /* False: the backend takes nothing more; what it says may still come. */
    bool (*takes)(const struct wire *w);
    /* Changes whenever a byte is sent. */
    uint64_t (*progress)(const struct wire *w);
    uint64_t (*out_bytes)(const struct wire *w); /* that were queued for this request */
    /* May the backend have seen any of this request? False: it can be sent elsewhere, whatever it
     * asks for. */
    bool (*maybe_seen)(const struct wire *w);

    /* Reads a response head: out->mem may be of the connection's buffer, valid until the wire is
     * touched again; copy it, then call head_taken(). */
    enum wire_read (*read_head)(struct wire *w, enum http_method to, struct http_field *fields,
                                uint16_t max_fields, struct http_head *out,
                                const char **out_reason);
    void (*head_taken)(struct wire *w, const struct http_head *h);
    /* Payload that is there, decoded. trailers: read into the arena, NULL where there are none. */
    enum take (*take)(struct wire *w, struct arena *arena, struct io_buf **out,
                      struct http_head **out_trailers, const char **out_reason);
    /* Payload of the response is wanted now, or not: the wire stops reading when it has enough. */
    void (*pull)(struct wire *w, bool want);
    /* -errno of what ended it; 0: it ended in order, or is well. */
    int (*error)(const struct wire *w);
    /* A code of what ended it, for the log, where there is a better one than "lost"; or NULL. */
    const char *(*reason)(const struct wire *w);
    /* What of it an errno does not say, in words: of TLS; or "". */
    const char *(*why)(const struct wire *w);

    /* Bytes may go around us from and to here; NULL: they may not, now. */
    struct stream *(*raw)(struct wire *w);
    /* Payload of the response that may: bytes, UINT64_MAX: until the stream ends, 0: none; and
     * that n of it did. */
    uint64_t (*spliceable)(const struct wire *w);
    void (*spliced)(struct wire *w, uint64_t n);

    /* What of the response's payload can be sent out of a file, next: how much, 0: none, now; and
     * that n of it was. NULL: there is no file. */
    uint32_t (*file)(struct wire *w, int *out_fd, uint64_t *out_offset);
    void (*file_sent)(struct wire *w, uint32_t n);

    /* The response was 101: both sides are streams of bytes from now on. */
    void (*upgrade)(struct wire *w);
    /* The end. What can carry another request is kept, unless reset. w->ops is NULL then. */
    void (*close)(struct wire *w, bool reset);
};

struct wire {
    const struct wire_ops *ops; /* NULL: not open; what stands below tells of the last one */
    struct exchange *exchange;
    uint64_t in_bytes; /* of the response, as received */
    uint16_t status;   /* WIRE_UNABLE: what the client is told; 0: 502 */
    bool reused;       /* the connection had carried others */
    bool reusable;     /* ... and may carry more, as the pool's settings say; the exchange's */
    bool refused;      /* lost, as the backend would not take it on this connection */
    bool head_begun;   /* some of the response was seen */
    bool left_kindly;  /* lost, and the backend calls that no error: it may have been all of it */
};

static inline bool wire_is_open(const struct wire *w)
{
    return w->ops != NULL;
}
static inline struct stream *wire_raw(struct wire *w)
{
    return w->ops != NULL ? w->ops->raw(w) : NULL;
}
static inline void wire_flush(struct wire *w)
{
    if (w->ops != NULL)
        w->ops->flush(w);
}
static inline void wire_close(struct wire *w, bool reset)
{
    if (w->ops != NULL)
        w->ops->close(w, reset);
    w->ops = NULL;
}

#endif
