/* explain_priv.h - shared by the files that make up explain: explain.c (the request's way),
 * explain_files.c (which file), explain_backends.c (who would get it), explain_text.c and
 * explain_json.c (telling it). */
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
    /* What files came to, other than an answer. */
    bool rerouted; /* e->route is another one now */
    bool to_pool;  /* the route's own pool has it */
};

/* Freed with the explanation. */
void *explain_keep(struct explain_work *w, void *p);
const char *explain_note(struct explain_work *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *explain_str(struct explain_work *w, struct str s);

/* The end of it, here. */
void explain_refuse(struct explain_work *w, uint16_t status, const char *code, const char *words);

/* explain_files.c: what the route's files say to it; path: $path. Tells by rerouted, to_pool, or an
 * answer. */
void explain_files(struct explain_work *w, struct str path, const struct http_vars *vars);
/* False: no other route takes this path; nothing has changed. */
bool explain_reroute(struct explain_work *w, struct str path);

/* explain_backends.c: appends to e->pools. live: NULL offline. */
void explain_pool(struct explain_work *w, const struct pool_conf *conf, struct pool *live,
                  uint32_t share);

#endif
