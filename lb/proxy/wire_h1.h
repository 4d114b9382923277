/* wire_h1.h - the backend's side of an exchange in HTTP/1.1: writes its request on a connection,
 * reads its response. Does not decide: the exchange pulls. */
#ifndef SLUICE_PROXY_WIRE_H1_H
#define SLUICE_PROXY_WIRE_H1_H

#include "lb/http/h1_write.h"
#include "lb/proxy/h1_body.h"
#include "lb/upstream/conn_cache.h"

struct exchange;

enum wire_read {
    WIRE_MORE,
    WIRE_HEAD, /* a head is there (final or interim) */
    WIRE_BAD,  /* malformed: *out_reason */
    WIRE_LOST, /* the connection ended or failed; stream.error */
};

struct wire_h1 {
    struct backend_conn *conn; /* NULL: none */
    struct exchange *exchange;
    struct h1_parser parser;
    struct h1_body body;  /* of the response */
    uint64_t sent_at;     /* stream.sent when this request began */
    uint8_t request_body; /* enum http_body, as it is sent */
    bool reused;          /* the connection had carried others */
    bool keep;            /* it may carry another, as the response says */
    bool reusable;        /* ... and as the pool's settings say; set by the exchange */
    bool head_begun;      /* bytes of the response were seen */
    bool raw;             /* upgraded */
    bool some;            /* the response is read in small pieces, until it is known to be small */
    bool bulk;            /* it is large */
    bool request_ended;
    uint32_t keep_alive_s; /* of its Keep-Alive field */
    uint64_t in_bytes;     /* of the response, as received */
};

/* Takes the connection over. */
void wire_h1_open(struct wire_h1 *w, struct exchange *x, struct backend_conn *conn);
static inline bool wire_h1_is_open(const struct wire_h1 *w)
{
    return w->conn != NULL;
}
/* Queues the head (with a PROXY header before it, on a new connection that wants one). False: no
 * memory. */
bool wire_h1_send_head(struct wire_h1 *w, const struct http_head *h,
                       const struct h1_request_line *line, const struct h1_framing *framing,
                       struct str preface);
bool wire_h1_send_body(struct wire_h1 *w, struct io_buf *chain); /* taken over */
bool wire_h1_send_end(struct wire_h1 *w, const struct http_head *trailers);
void wire_h1_flush(struct wire_h1 *w);
bool wire_h1_blocked(const struct wire_h1 *w);
/* Changes whenever a byte is sent. */
uint64_t wire_h1_progress(const struct wire_h1 *w);
uint64_t wire_h1_out_bytes(const struct wire_h1 *w); /* queued for this request; 0: not open */
/* Did any byte of this request reach the kernel? */
bool wire_h1_reached_kernel(const struct wire_h1 *w);

/* Reads a response head: out->mem is of the connection's buffer, valid until the wire is touched
 * again; copy it, then call wire_h1_head_taken(). */
enum wire_read wire_h1_read_head(struct wire_h1 *w, enum http_method to, struct http_field *fields,
                                 uint16_t max_fields, struct http_head *out,
                                 const char **out_reason);
void wire_h1_head_taken(struct wire_h1 *w, const struct http_head *h);
/* Payload that is there, decoded. trailers: read into x->arena, NULL where there are none. */
enum take wire_h1_take(struct wire_h1 *w, struct arena *arena, struct io_buf **out,
                       struct http_head **out_trailers, const char **out_reason);
/* Payload that may be spliced past us: bytes, 0: none. */
uint64_t wire_h1_spliceable(const struct wire_h1 *w);
void wire_h1_spliced(struct wire_h1 *w, uint64_t n);
void wire_h1_upgrade(struct wire_h1 *w);
/* The connection goes back to the cache when it can carry another request, else it is closed. */
void wire_h1_close(struct wire_h1 *w, bool reset);

#endif
