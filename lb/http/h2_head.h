/* h2_head.h - heads as HTTP/2 has them, field by field out of HPACK, into msg.h's and back (RFC
 * 9113 section 8).
 *
 * As strict as h1_parse.h and with its verdicts, because what is accepted here may be written in
 * HTTP/1 elsewhere: a byte that ends a line there, a length that is not the payload's, a target
 * with a space never get through. Lines are stored in the form in which HTTP/1 writes them.
 *
 * Extended CONNECT with :protocol "websocket" (RFC 8441) becomes what it is in HTTP/1: a GET with
 * Upgrade, whose key the caller adds; and back. Pure, but for the arena. */
#ifndef SLUICE_HTTP_H2_HEAD_H
#define SLUICE_HTTP_H2_HEAD_H

#include "lb/http/h1_parse.h"

#include <nghttp2/nghttp2.h>

enum h2_head_kind {
    H2_REQUEST,
    H2_RESPONSE, /* interim ones too */
    H2_TRAILERS, /* of either */
};

/* A head being built. */
struct h2_head {
    struct http_head *out;
    struct arena *arena;
    struct h1_limits limits;
    uint64_t once, again; /* ids seen, as h1_priv.h's */
    uint32_t bytes; /* decoded so far, as RFC 9113 section 6.5.2 counts; of refused ones too */
    struct http_slice scheme, protocol;
    uint8_t kind;   /* enum h2_head_kind */
    uint8_t result; /* enum h1_result: the first refusal, H1_MORE: none yet */
    uint8_t pseudo; /* which ones were seen */
    bool fields_begun;
    bool no_memory; /* result is H1_HEAD_TOO_LARGE then */
};

/* Zeroes *out; its text and fields will be of the arena. limits: target_bytes of requests only;
 * head_bytes counts as RFC 9113 section 6.5.2 does, which is more than the text. */
void h2_head_begin(struct h2_head *b, enum h2_head_kind kind, const struct h1_limits *limits,
                   struct arena *a, struct http_head *out);
/* The next field. After a refusal fields are only counted (bytes), so that the decoder's state
 * stays that of the peer; who floods is the caller's to stop. */
void h2_head_field(struct h2_head *b, struct str name, struct str value);
/* All fields were there. end: no payload follows (END_STREAM). to: the method that a response
 * answers. H1_DONE, or the first refusal: then out holds what was understood before it.
 *
 * out->version is 20; body says NONE, LENGTH, or CHUNKED for a payload of unknown length. */
enum h1_result h2_head_end(struct h2_head *b, bool end, enum http_method to) WARN_UNUSED;

/* ---- back ---- */

/* Numbers in digits, which the nv point at. */
struct h2_digits {
    char status[3];
    char length[STR_U64_MAX];
};

struct h2_request {
    struct str method, scheme, authority, path;
    bool te_trailers;
    bool websocket; /* head has an Upgrade: extended CONNECT */
};

/* How many nv a head may need. */
static inline uint32_t h2_nv_max(const struct http_head *h)
{
    return h->n_fields + 8u;
}
/* Fill nv (h2_nv_max() of them), return how many. They point into head, arguments and digits, none
 * of which may go before the frame is made (NO_COPY). Names of head become lower-case in place.
 * What is for one hop, Host and Content-Length of the head are passed over; length: NULL, or the
 * Content-Length that is said. Credentials are never indexed. */
uint32_t h2_write_request(struct http_head *h, const struct h2_request *r, const uint64_t *length,
                          struct h2_digits *digits, nghttp2_nv *nv);
/* status: the head's, but for 101, which is 200 here. */
uint32_t h2_write_response(struct http_head *h, const uint64_t *length, struct h2_digits *digits,
                           nghttp2_nv *nv);
uint32_t h2_write_trailers(struct http_head *h, nghttp2_nv *nv);

#endif
