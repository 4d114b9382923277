/* pool.h - a pool at run time: its backends' slots, its view, its counters.
 *
 * Shared by all threads. The view is what picks read: an immutable balancer plan of the backends
 * that may be used now, rebuilt by the health thread (pool_rebuild) and swapped atomically; readers
 * are inside an epoch. Per-worker state (cursor, queue) lives in struct pool_local. */
#ifndef SLUICE_UPSTREAM_POOL_H
#define SLUICE_UPSTREAM_POOL_H

#include "lb/obs/metrics.h"
#include "lb/upstream/pool_conf.h"

struct epoch_domain;
struct backend_table;
struct http_template;
struct retry_budget;
struct stick;
struct wait_queue;

/* Which tier of backends the view holds, for logs and `show`. */
enum pool_tier { TIER_NONE, TIER_ACTIVE, TIER_UNKNOWN, TIER_BACKUP, TIER_PANIC };

struct pool_view {
    struct balancer_plan *plan;
    enum pool_tier tier;
    uint64_t serial;
};

struct pool_member {
    struct backend_slot *slot;
    const struct backend_conf *conf;
    struct backend_counters *rows; /* one per worker */
    struct histogram *latency;     /* likewise; mode http: request sent to response head. Or NULL */
};

struct pool {
    const struct pool_conf *conf;
    const char *name;
    uint32_t index;
    uint32_t iid; /* for the stats socket; unique among listeners and pools */
    struct pool_member *members;
    uint32_t n_members;
    struct epoch_domain *epochs;
    _Atomic(struct pool_view *) view;
    _Atomic uint8_t tier;          /* enum pool_tier of the view, for those outside an epoch */
    struct backend_counters *rows; /* of the pool itself: sessions that reached no backend, queue */
    uint32_t n_rows;               /* workers */
    /* One per worker, mode http, else NULL. */
    struct histogram *latency;         /* given to the pool (queue, connect) to response head, us */
    struct reason_counters *reasons;   /* of refused responses */
    struct retry_budget *budget;       /* mode http, else NULL */
    struct stick *stick;               /* NULL: no sticky cookie */
    struct http_template **cgi_params; /* values, as in the conf */
    alignas(CACHE_LINE) _Atomic uint32_t current; /* sessions assigned to the pool, queued too */
    counter current_max;
    alignas(CACHE_LINE) _Atomic uint32_t waiting; /* sessions in queues of all workers */
    counter waiting_max;
    _Atomic(struct wait_queue *) *queues; /* by worker; each sets its own */
    counter changed_at_us; /* when the pool got its first or lost its last backend; wall clock */
    counter down_transitions;
    counter downtime_us;
};

/* conf stays the caller's and must outlive the pool. slots: one per backend, in order. */
struct pool *pool_new(const struct pool_conf *conf, uint32_t index, uint32_t iid,
                      struct backend_slot **slots, uint32_t n_workers, struct epoch_domain *epochs);
void pool_free(struct pool **p);
/* Health thread: builds the view anew from the table, publishes it, retires the old one. */
void pool_rebuild(struct pool *p, uint64_t wall_us);
/* Number of members that count as up (active: without backup, backup: only those). */
void pool_count_up(const struct pool *p, uint32_t *out_active, uint32_t *out_backup);
/* Whether a view of this tier is to hold this backend now. */
bool pool_tier_holds(enum pool_tier tier, const struct backend_slot *s);
bool pool_usable(const struct pool *p); /* the present view has at least one backend; any thread */

#endif
