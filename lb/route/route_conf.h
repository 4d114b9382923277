/* route_conf.h - a route of the configuration: what it matches and where it sends. Immutable. */
#ifndef SLUICE_ROUTE_ROUTE_CONF_H
#define SLUICE_ROUTE_ROUTE_CONF_H

#include "lb/files/files_conf.h"
#include "lb/net/addr.h"

/* A name with a value: of a header, cookie or query parameter. */
struct route_cond_conf {
    char *name;
    char *value; /* NULL: it is present. "~regex", else exact */
};

enum route_action {
    ROUTE_POOL,
    ROUTE_SPLIT,
    ROUTE_REDIRECT,
    ROUTE_ANSWER,
    ROUTE_FILES,
};

struct route_split_conf {
    char *pool_name;
    uint32_t pool; /* index */
    uint32_t weight;
};

struct route_conf {
    char *name; /* for logs and statistics; NULL: LISTENER#N, counted from 1 */
    /* What it matches: all that are given; of a list, any. */
    char **hosts; /* "a.example", "*.example", "*" */
    uint32_t n_hosts;
    char **paths; /* "/prefix", "=/exact", "~regex" */
    uint32_t n_paths;
    char **methods;
    uint32_t n_methods;
    struct route_cond_conf *headers, *cookies, *queries;
    uint32_t n_headers, n_cookies, n_queries;
    struct addr_net *from;
    uint32_t n_from;
    /* What happens then. */
    enum route_action action;
    char *pool_name;
    uint32_t pool; /* index; see route_has_pool() */
    struct route_split_conf *split;
    uint32_t n_split;
    struct {
        char *to; /* template with request variables; a path, or an absolute URL */
        uint32_t status;
    } redirect;
    struct {
        uint32_t status;
        char *body, *type; /* body: template */
    } answer;
    struct files_conf *files; /* ROUTE_FILES */
    const char *files_pool;   /* that its last try names, at `pool`; NULL: none */
    /* On the way to a pool. */
    char *strip_prefix; /* NULL: none */
    char *replace_path; /* template; NULL: none */
    char *set_host;     /* template; NULL: the client's */
    const char *file;
    int line;
};

/* Whether `pool` is one that it may send to. */
static inline bool route_has_pool(const struct route_conf *r)
{
    return r->action == ROUTE_POOL || (r->action == ROUTE_FILES && r->files_pool != NULL);
}

#endif
