/* h1_priv.h - what h1_parse.c (bytes to lines), h1_rules.c (what lines mean) and h2_head.c share.
 */
#ifndef SLUICE_HTTP_H1_PRIV_H
#define SLUICE_HTTP_H1_PRIV_H

#include "lb/http/h1_parse.h"

/* Which known fields a head has, as sets of ids. */
struct h1_seen {
    uint64_t once, again;
};
#define H1_BIT(id) (UINT64_C(1) << (id))

/* What only the whole head can tell; they fill the rest of *h. H1_DONE or a refusal. */
enum h1_result h1_request_rules(struct http_head *h, const struct h1_seen *seen);
enum h1_result h1_response_rules(struct http_head *h, const struct h1_seen *seen,
                                 enum http_method to);
void h1_drop_forbidden_trailers(struct http_head *h);

/* Its parts, for who finds a head's lines elsewhere. */
/* The one Content-Length: fills has_content_length and content_length. */
enum h1_result h1_content_length(struct http_head *h, const struct h1_seen *seen);
enum h1_result h1_expect(struct http_head *h);
/* Whether Host says what h->authority says; port: that is meant where none is written. */
bool h1_same_authority(const struct http_head *h, struct str host, struct str port,
                       struct str otherwise);
/* A response of this status to this method has no payload, whatever its fields say. */
bool h1_has_no_body(const struct http_head *h, enum http_method to);

#endif
