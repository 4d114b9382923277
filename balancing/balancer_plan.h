/* balancer_plan.h - for implementers of a balancing algorithm; nobody else includes it.
 *
 * An algorithm is one file that exports one `const struct balancer`, listed in the registry of
 * balancer.c. Its plan embeds struct balancer_plan as first field: balancer.c allocates and fills
 * that part, build() prepares the rest off the hot path, and the plan is immutable from then on.
 * Everything that a pick changes lives in the worker's cursor. */
#ifndef SLUICE_BALANCING_BALANCER_PLAN_H
#define SLUICE_BALANCING_BALANCER_PLAN_H

#include "balancing/balancer.h"
#include "lb/base/assert.h"
#include "lb/base/limits.h"

#include <stddef.h>

/* Member indexes are kept in 16 bits: the large tables then stay in the cache. */
static_assert(LIMIT_BACKENDS <= UINT16_MAX + 1, "a member index no longer fits in 16 bits");

struct balancer {
    const char *name;         /* as configured */
    const char *haproxy_name; /* as the stats socket shows it */
    size_t plan_size;         /* bytes of the struct that embeds struct balancer_plan */
    /* base is filled, n > 0, the rest is zero. NULL: nothing to prepare. */
    void (*build)(struct balancer_plan *plan);
    /* Frees what build() allocated. NULL: nothing. */
    void (*discard)(struct balancer_plan *plan);
    /* n > 0. */
    enum pick_result (*pick)(const struct balancer_plan *plan, struct balancer_cursor *cursor,
                             const struct pick *pick, struct backend_slot **out_slot);
};

extern const struct balancer round_robin_balancer;
extern const struct balancer least_connections_balancer;
extern const struct balancer hash_balancer;
extern const struct balancer random_two_balancer;
extern const struct balancer first_balancer;
extern const struct balancer peak_ewma_balancer;

struct balancer_plan {
    enum balance_kind kind;
    uint32_t n;
    const struct balancer *balancer;
    struct plan_member *members; /* in configuration order, weights 1 to UINT16_MAX */
    uint64_t serial;             /* unique in the process, never 0 */
    uint32_t load_bound_percent; /* 0: off */
};

/* Memory of `size` bytes (not zeroed) for this plan in the cursor. True: it is new, fill it; false:
 * it is as this plan's last pick left it. One block: balancer.c frees it with free(). */
bool balancer_scratch(const struct balancer_plan *plan, struct balancer_cursor *cursor, size_t size,
                      void **out_scratch) WARN_UNUSED;

/* The last resort of a pick, linear in the members: a random one (chances by weight, so that a full
 * member's share does not all go to its neighbour) of those that are open; the same for the same
 * seed. PICK_FULL and PICK_NONE are exact. */
enum pick_result balancer_scan(const struct balancer_plan *plan, const struct pick *pick,
                               uint64_t seed, struct backend_slot **out_slot) WARN_UNUSED;

static inline bool pick_excludes(const struct pick *pick, const struct backend_slot *slot)
{
    for (uint32_t i = 0; i < pick->n_excluded; i++) {
        if (pick->excluded[i] == slot->index)
            return true;
    }
    return false;
}

/* May be chosen: not excluded, and below its limit. */
static inline bool pick_open(const struct pick *pick, const struct backend_slot *slot)
{
    return likely(slot_has_room(slot)) && !pick_excludes(pick, slot);
}

static inline uint32_t slot_in_flight(const struct backend_slot *slot)
{
    return atomic_load_explicit(&slot->in_flight, memory_order_relaxed);
}

/* A 64-bit hash or random number brought to [0, n) without a division. */
static inline uint64_t scale_u64(uint64_t x, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)x * n) >> 64);
}

#endif
