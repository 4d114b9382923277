/* pool.h - a pool at run time: its backends' slots, its view, its counters.
 *
 * Shared by all threads. The view is what picks read: an immutable balancer plan of the backends
 * that may be used now, rebuilt by the health thread (pool_rebuild) and swapped atomically; readers
 * are inside an epoch. Per-worker state is reached by pointer: the cursor
 * in struct pool_local, the queue in struct pool_kept, connections in struct member_conns.
 *
 * A pool is immutable. A reload that changes it makes another one (pool_new_after()), and both are
 * there until nobody uses the older one any more: its counts, queues, and connections are those of
 * its name and go over. */
#ifndef SLUICE_UPSTREAM_POOL_H
#define SLUICE_UPSTREAM_POOL_H

#include "lb/obs/metrics.h"
#include "lb/upstream/member.h"
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
    struct member_counts *counts;  /* a reference */
    struct member_conns *conns;    /* likewise; mode http, else NULL */
    struct backend_counters *rows; /* of counts: one per worker */
    struct histogram *latency;     /* of counts; or NULL */
    struct phase_row *phases;      /* of counts */
};

/* What a pool is known by as long as there is one of its name, over reloads. */
struct pool_kept {
    uint32_t refs;   /* control thread: pools */
    uint32_t number; /* below LIMIT_POOLS; nobody else's as long as this lives */
    uint32_t iid;    /* for the stats socket; unique among listeners and pools */
    uint32_t last_sid;
    struct backend_counters *rows; /* of the pool itself: sessions that reached no backend, queue */
    uint32_t n_rows;               /* workers */
    struct phase_row *phases;      /* likewise; first byte: from given to the pool, as `latency` */
    /* One per worker, mode http, else NULL. */
    struct histogram *latency;       /* given to the pool (queue, connect) to response head, us */
    struct reason_counters *reasons; /* of refused responses */
    alignas(CACHE_LINE) _Atomic uint32_t current; /* sessions assigned to the pool, queued too */
    counter current_max;
    alignas(CACHE_LINE) _Atomic uint32_t waiting; /* sessions in queues of all workers */
    counter waiting_max;
    _Atomic(struct wait_queue *) *queues; /* by worker; each makes its own; freed with this */
    bool usable;                          /* as was last accounted; the health thread's */
    counter changed_at_us; /* when the pool got its first or lost its last backend; wall clock */
    counter down_transitions;
    counter downtime_us;
};

/* One worker's part of a pool. */
struct pool_local {
    alignas(CACHE_LINE) struct balancer_cursor cursor;
    bool retired; /* this worker has a newer one, or none, of that name */
};

struct pool {
    const struct pool_conf *conf;
    const char *name;
    uint32_t index; /* among those that the stats socket shows; control thread */
    uint32_t iid;   /* kept's */
    struct pool_kept *kept;
    struct pool_member *members;
    uint32_t n_members;
    uint32_t *by_slot; /* members in the order of their slots' indexes */
    bool speaks_h2;    /* its backends may */
    struct epoch_domain *epochs;
    _Atomic(struct pool_view *) view;
    _Atomic uint8_t tier;          /* enum pool_tier of the view, for those outside an epoch */
    struct backend_counters *rows; /* kept's, as the next three */
    struct histogram *latency;
    struct reason_counters *reasons;
    struct phase_row *phases;
    uint32_t n_rows;
    struct retry_budget *budget;       /* mode http, else NULL */
    struct stick *stick;               /* NULL: no sticky cookie */
    struct http_template **cgi_params; /* values, as in the conf */
    struct pool_local *locals;         /* one per worker */
};

/* conf stays the caller's and must outlive the pool. slots: one per backend, in order. */
struct pool *pool_new(const struct pool_conf *conf, uint32_t number, uint32_t iid,
                      struct backend_slot **slots, uint32_t n_workers, struct epoch_domain *epochs);
/* Another one of the same name, as a reload wants it: takes over what is kept. same_conns:
 * connections to its backends are made as they were, so those that there are will do. */
struct pool *pool_new_after(struct pool *before, const struct pool_conf *conf,
                            struct backend_slot **slots, bool same_conns);
/* Nobody uses it, nor has a connection that leads back to it. */
void pool_free(struct pool **p);
/* The index of this backend among the pool's members; it is one of them. Any thread. */
uint32_t pool_member_index(const struct pool *p, const struct backend_slot *slot);
static inline struct pool_member *pool_member(const struct pool *p, const struct backend_slot *slot)
{
    return &p->members[pool_member_index(p, slot)];
}
/* Health thread: builds the view anew from the table, publishes it, retires the old one. */
void pool_rebuild(struct pool *p, uint64_t wall_us);
/* Number of members that count as up (active: without backup, backup: only those). */
void pool_count_up(const struct pool *p, uint32_t *out_active, uint32_t *out_backup);
/* Whether a view of this tier is to hold this backend now. */
bool pool_tier_holds(enum pool_tier tier, const struct backend_slot *s);
bool pool_usable(const struct pool *p); /* the present view has at least one backend; any thread */

#endif
