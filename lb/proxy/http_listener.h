/* http_listener.h - a listener of mode http at run time: its routes with what belongs to them.
 * Made at load, shared by the workers, immutable. */
#ifndef SLUICE_PROXY_HTTP_LISTENER_H
#define SLUICE_PROXY_HTTP_LISTENER_H

#include "lb/files/file_plan.h"
#include "lb/filter/filter.h"
#include "lb/http/template.h"
#include "lb/proxy/http_conf.h"
#include "lb/route/rewrite.h"
#include "lb/route/route.h"

struct phase_row;
struct pool;
struct listener_conf;

struct http_route {
    const struct http_route_conf *conf;
    const struct route_rewrite *rewrite;
    struct filter_chain filters;
    char *name;                  /* its own, or LISTENER#N */
    struct pool *pool;           /* ROUTE_POOL; ROUTE_FILES: the last try's, or NULL */
    struct file_plan *files;     /* ROUTE_FILES */
    struct pool **split;         /* ROUTE_SPLIT, as in the conf */
    struct route_counters *rows; /* one per worker; set by whoever has made the listener */
    struct phase_row *phases;    /* likewise; NULL: not kept */
};

struct http_listener {
    const struct listener_conf *conf;
    struct route_table *table;
    struct http_route *routes;
    uint32_t n_routes;
    struct http_template *to_https; /* where requests go that no route takes; NULL: nowhere */
    char *hsts;                     /* value of Strict-Transport-Security; NULL: none */
};

/* Where https has what a request asks for that no route takes. Length; 0: there is no such place;
 * -EMSGSIZE. */
int http_listener_to_https(const struct http_listener *l, const struct http_vars *vars, char *out,
                           size_t cap) WARN_UNUSED;

/* pools: by index, as the configuration has them. NULL with one line a mistake appended to errors.
 */
struct http_listener *http_listener_new(const struct listener_conf *conf, struct pool **pools,
                                        struct strbuf *errors);
void http_listener_free(struct http_listener **l);

#endif
