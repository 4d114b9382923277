/* h1_priv.h - what h1_parse.c (bytes to lines) and h1_rules.c (what lines mean) share. */
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

#endif
