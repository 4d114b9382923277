/* explain_priv.h - shared by the files that make up explain: explain.c (the request's way),
 * explain_backends.c (who would get it), explain_text.c and explain_json.c (telling it). */
#ifndef SLUICE_PROXY_EXPLAIN_PRIV_H
#define SLUICE_PROXY_EXPLAIN_PRIV_H

#include "lb/base/rand.h"
#include "lb/proxy/explain.h"
#include "lb/proxy/request.h"

/* What the parts of one explanation need of each other. */
struct explain_work {
    const struct explain_world *world;
    struct explanation *e;
    struct arena_pool arenas;
    struct arena arena;
    struct route_scratch *scratch;
    char *text; /* ROUTE_TEXT_MAX bytes */
    struct rng rng;
    void **kept; /* memory of the explanation */
    uint32_t n_kept;
    struct http_head parsed, head; /* as it came; as it goes on */
    struct addr peer, client;
    bool trusted;
    const char *scheme;
    uint16_t port; /* of the listener */
    struct str host;
    struct uri_path path;
    struct route_match match;
    struct forward forward;
    struct filter_exchange fx;
    uint32_t rules_cap, edits_cap;
};

/* Freed with the explanation. */
void *explain_keep(struct explain_work *w, void *p);
const char *explain_note(struct explain_work *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *explain_str(struct explain_work *w, struct str s);

/* explain_backends.c: appends to e->pools. live: NULL offline. */
void explain_pool(struct explain_work *w, const struct pool_conf *conf, struct pool *live,
                  uint32_t share);

#endif
