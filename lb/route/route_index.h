/* route_index.h - finds the rules whose host and path may suit a request, without looking at
 * others.
 *
 * A tree of host labels, from the last to the first; at its nodes, for the exact host and for
 * *.host, a tree of path segments each; at their nodes, lists of entries in the order of rules. */
#ifndef SLUICE_ROUTE_ROUTE_INDEX_H
#define SLUICE_ROUTE_ROUTE_INDEX_H

#include "lb/base/str.h"

#include <stdint.h>

/* A rule by one of its paths. */
struct route_entry {
    uint32_t rule;
    uint32_t path : 31;   /* which of the rule's paths; 0 when it has none */
    uint32_t settled : 1; /* host and path are all it asks for: the rule need not be looked at */
};

struct route_entries {
    const struct route_entry *first;
    uint32_t n;
};

enum route_host_kind {
    ROUTE_HOST_ANY,
    ROUTE_HOST_EXACT,
    ROUTE_HOST_BELOW, /* *.text: one or more labels more */
};
enum route_path_kind {
    ROUTE_PATH_ANY,
    ROUTE_PATH_EXACT,
    ROUTE_PATH_PREFIX, /* "/v1" and what is below it; "/v1/": only what is below */
    ROUTE_PATH_REGEX,  /* text: the literal prefix with a slash at its end, or "" */
};

struct route_index;

struct route_index *route_index_new(void);
void route_index_free(struct route_index **x);
/* In the order of rules. Texts are borrowed for as long as the index lives. */
void route_index_add(struct route_index *x, enum route_host_kind host_kind, struct str host,
                     enum route_path_kind path_kind, struct str path, struct route_entry entry);

/* Calls fn with each list that holds rules for this host and path. */
typedef void route_index_fn(void *arg, struct route_entries found);
void route_index_find(const struct route_index *x, struct str host, struct str path,
                      route_index_fn *fn, void *arg);

#endif
