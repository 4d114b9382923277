/* h2_conn.h - a connection to a backend in HTTP/2 (RFC 9113, client's side) and the streams on it:
 * each a request with its response. Frames, windows and header compression are nghttp2's; what
 * heads mean is the owner's of a stream (ops).
 *
 * A stream is told by `event` that something has changed, never from inside of h2_*(), and looks at
 * the whole. Payload that was received waits in `in` until the owner takes it; only then the
 * backend may send more of it, so that a stream holds a window of bytes at most, while other
 * streams go on. What is to be sent waits in `out`, until the backend's windows allow it. What is
 * sent goes out once a turn, for all streams. One thread. */
#ifndef SLUICE_UPSTREAM_H2_CONN_H
#define SLUICE_UPSTREAM_H2_CONN_H

#include "lb/base/list.h"
#include "lb/base/str.h"
#include "lb/http/h2_window.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backend_conn;
struct h2_conn;
struct h2_conns; /* h2_conns.h */
struct h2_member;
struct h2_stream;
struct io_buf;

/* Bytes of one response that may wait here, to begin with: for 1 Gbit/s and more in a data centre.
 */
#define H2_STREAM_WINDOW (128u << 10)

struct h2_stream_ops {
    void (*event)(struct h2_stream *s);
    /* A block of fields: an interim head, the head, trailers. False: the stream is reset as
     * malformed, and lost. */
    bool (*block)(struct h2_stream *s);
    bool (*field)(struct h2_stream *s, struct str name, struct str value);
    bool (*block_end)(struct h2_stream *s, bool last);
    /* Trailers of the request are to be sent now: h2_stream_trailers(). False: there are none. */
    bool (*trailers)(struct h2_stream *s);
};

struct h2_stream {
    const struct h2_stream_ops *ops;
    struct h2_conn *conn;  /* NULL: not open */
    struct list node;      /* of the connection's */
    struct list told_node; /* of those that an event is due for */
    struct io_buf *in, *in_last;
    struct io_buf *out, *out_last;
    struct h2_window window;
    uint64_t in_wire, out_wire; /* bytes of frames of this stream */
    uint64_t sent_at;           /* bytes of the connection before the request's first */
    uint32_t in_bytes, out_bytes;
    uint32_t error_code; /* of its end, RFC 9113 section 7 */
    int32_t id;
    bool head_sent;
    bool out_end;   /* no payload follows what is in `out` */
    bool out_over;  /* END_STREAM was sent */
    bool in_over;   /* END_STREAM was received */
    bool closed;    /* reset, refused, or over both ways */
    bool refused;   /* the backend has not processed it, nor will it */
    bool malformed; /* what came was against the protocol */
    bool waits_for_room;
    bool trailers_due;
};

/* Takes the connection over, which carries nothing yet but what its stream has queued. shared: to
 * be found by h2_conns_find(). connect_ms: what the way there may take, so that it is not held for
 * dead sooner. NULL: no memory; conn is the caller's still. */
struct h2_conn *h2_conn_new(struct h2_conns *all, struct h2_member *m, struct backend_conn *conn,
                            bool shared, uint32_t connect_ms);

/* A place for a request; until h2_stream_close(). */
void h2_stream_attach(struct h2_conn *c, struct h2_stream *s, const struct h2_stream_ops *ops);
/* The request's head. body: payload or trailers follow. What fields point to must stay until
 * h2_stream_close(), where they say NO_COPY. False: no memory. */
bool h2_stream_open(struct h2_stream *s, const nghttp2_nv *fields, size_t n, bool body) WARN_UNUSED;
void h2_stream_send(struct h2_stream *s, struct io_buf *chain); /* taken over */
/* The end of the payload. trailers: some follow, the owner is asked for them when it is time. */
void h2_stream_end(struct h2_stream *s, bool trailers);
/* From ops->trailers(). False: no memory. */
bool h2_stream_trailers(struct h2_stream *s, nghttp2_nv *fields, size_t n) WARN_UNUSED;
/* More than enough is waiting to be sent. An event follows when that changes. */
bool h2_stream_blocked(struct h2_stream *s);
/* All payload that has come, as a chain; NULL: none. */
struct io_buf *h2_stream_take(struct h2_stream *s);
/* May the backend have seen any of the request? */
bool h2_stream_maybe_seen(const struct h2_stream *s);
/* Nothing more comes, nor is taken: it ended both ways, was reset, or the connection is lost. */
bool h2_stream_is_over(const struct h2_stream *s);
/* The end, whatever its state: the backend is told to stop, unless all is done. */
void h2_stream_close(struct h2_stream *s);

/* Of the connection: a code of why it ended, or NULL; -errno, 0: in order. */
const char *h2_stream_reason(const struct h2_stream *s);
int h2_stream_error(const struct h2_stream *s);

bool h2_conn_is_tls(const struct h2_conn *c);
bool h2_conn_reused(const struct h2_conn *c); /* it has carried a request already */
struct backend_conn *h2_conn_base(const struct h2_conn *c);
/* Does the backend take extended CONNECT (RFC 8441)? Not before its settings are here. */
enum h2_connect { H2_CONNECT_UNKNOWN, H2_CONNECT_NO, H2_CONNECT_YES };
enum h2_connect h2_conn_connect(const struct h2_conn *c);

#endif
