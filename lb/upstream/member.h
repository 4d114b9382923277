/* member.h - what there is of one backend of a pool beside its slot: counts, and each worker's
 * connections to it. Both outlive the pool that they were made with: a reload makes a new pool of
 * the same name, which takes them over (pool_new_after()).
 *
 * The control thread makes, counts and frees them; a row and a struct member_local are their
 * worker's alone. */
#ifndef SLUICE_UPSTREAM_MEMBER_H
#define SLUICE_UPSTREAM_MEMBER_H

#include "lb/base/limits.h"
#include "lb/base/list.h"
#include "lb/upstream/idle_learn.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

struct backend_counters;
struct histogram;
struct http_pool_conf;
struct phase_row;

/* Idle connections in HTTP/1. */
struct conn_list {
    struct list idle; /* the latest first */
    uint32_t n;
    struct idle_learn learn;
};

/* Connections in HTTP/2. */
struct h2_member {
    struct list conns; /* shared ones, the oldest first */
    struct list waiters;
    uint32_t n_waiters, n_dialling, n_idle;
    uint32_t room;  /* streams that a new connection is thought to take */
    bool speaks_h1; /* the last handshake agreed on HTTP/1.1 */
};

/* One worker's. */
struct member_local {
    alignas(CACHE_LINE) const struct http_pool_conf
        *conf; /* of the pool that this worker has
                * now; NULL: none has this backend, connections are not kept */
    struct conn_list idle;
    struct h2_member h2;
};

/* As long as a pool of that name has a backend of that name. */
struct member_counts {
    uint32_t refs;
    uint32_t n_rows;
    struct backend_counters *rows; /* one per worker */
    struct histogram *latency;     /* likewise; mode http: request sent to response head. Or NULL */
    struct phase_row *phases;      /* likewise */
};

/* As long as, beside that, connections are made in the same way (TLS, protocol). */
struct member_conns {
    uint32_t refs;
    struct member_counts *counts;
    struct member_local *locals; /* one per worker */
};

/* Control thread. With one reference each. */
struct member_counts *member_counts_new(uint32_t n_workers);
struct member_conns *member_conns_new(struct member_counts *counts);
void member_counts_unref(struct member_counts **counts);
/* No worker has a connection that leads back to it. */
void member_conns_unref(struct member_conns **conns);

#endif
