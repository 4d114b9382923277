/* h1_body.h - payload of HTTP/1 messages on a stream, both ways, for clients and backends alike:
 * its end is found (RFC 9112 section 6), its framing taken off and put on. */
#ifndef SLUICE_PROXY_H1_BODY_H
#define SLUICE_PROXY_H1_BODY_H

#include "lb/http/chunked.h"
#include "lb/http/h1_parse.h"
#include "lb/proxy/take.h"

struct arena;
struct io_buf;
struct stream;

#define SPLICE_MIN (256u << 10) /* payload that is worth splicing */

struct h1_body {
    uint64_t left; /* HTTP_BODY_LENGTH: payload still to come */
    struct chunked chunked;
    struct h1_parser trailers;
    uint8_t kind; /* enum http_body */
    bool in_trailers;
    bool ended;
    bool broken; /* it was malformed: what follows it means nothing */
};

void h1_body_begin(struct h1_body *b, enum http_body kind, uint64_t length);
/* What of the payload is in s. *out: a chain, NULL: none. *out_trailers: in the arena, set with
 * TAKE_END where there are some. *out_reason with TAKE_BAD. *raw grows by what left the stream. */
enum take h1_body_take(struct h1_body *b, struct stream *s, struct arena *arena,
                       struct io_buf **out, struct http_head **out_trailers,
                       const char **out_reason, uint64_t *raw);
/* Payload that nobody needs to look at: bytes, UINT64_MAX: until the stream ends, 0: none. */
uint64_t h1_body_spliceable(const struct h1_body *b);
/* n of them went by. True: that was the end. */
bool h1_body_spliced(struct h1_body *b, uint64_t n);

/* Queues payload (taken over), framed. False: no memory. */
bool h1_body_send(struct stream *s, enum http_body kind, struct io_buf *chain) WARN_UNUSED;
bool h1_body_send_end(struct stream *s, enum http_body kind,
                      const struct http_head *trailers) WARN_UNUSED;
uint64_t io_chain_bytes(const struct io_buf *chain);

/* A chain of payload that grows at its end. Zero it to start. */
struct body_chain {
    struct io_buf *first, *last;
    bool room; /* in the last one, which is ours to write into */
};
/* Of the first buffer that was received, `used` bytes go; len of them, from at, join the chain: by
 * a copy when they are few, so that small pieces do not hold a buffer each. False: no memory. */
bool body_chain_take(struct body_chain *c, struct stream *s, uint32_t at, uint32_t len,
                     uint32_t used) WARN_UNUSED;

#endif
