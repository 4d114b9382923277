/* filter_conf.h - what a route's filters are configured with. Immutable. A pointer that is NULL, or
 * a list without elements: the filter is not there. */
#ifndef SLUICE_FILTER_FILTER_CONF_H
#define SLUICE_FILTER_FILTER_CONF_H

#include "lb/net/addr.h"

struct header_set_conf {
    char *name, *value; /* value: a template with request variables */
};

/* request_headers, response_headers: remove, then set, then add. */
struct headers_conf {
    struct header_set_conf *set, *add;
    uint32_t n_set, n_add;
    char **remove; /* names; a trailing * stands for the rest */
    uint32_t n_remove;
};

/* access: deny is looked at first; with an allow list only those in it may pass. */
struct access_conf {
    struct addr_net *allow, *deny;
    uint32_t n_allow, n_deny;
};

struct basic_auth_conf {
    char *file; /* lines USER:HASH; bcrypt ($2a$ $2b$ $2y$) or sha-crypt ($5$, $6$) */
    char *realm;
};

struct ratelimit_conf {
    char *key;          /* "source", "header:NAME", "cookie:NAME", "path", "route" */
    uint32_t n, per_ms; /* rate "100/s", "10/m", "5000/h": n in per_ms */
    uint32_t burst;     /* at once; at least 1; default: n per second, at least 1 */
};

struct filters_conf {
    struct access_conf access;
    struct basic_auth_conf *basic_auth;
    struct ratelimit_conf *ratelimit;
    struct headers_conf request_headers, response_headers;
};

#endif
