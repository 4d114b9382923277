/* balancer.c - the registry of algorithms, and what their plans and cursors have in common.
 *
 * Plans: built and freed by the health thread, read by all. Cursors: one worker's. */
#include "balancing/balancer_plan.h"
#include "lb/base/alloc.h"
#include "lb/base/hash.h"

#include <stdlib.h>
#include <string.h>

/* One row per algorithm. */
static const struct balancer *const registry[] = {
    [BALANCE_ROUND_ROBIN] = &round_robin_balancer,
    [BALANCE_LEAST_CONNECTIONS] = &least_connections_balancer,
    [BALANCE_HASH] = &hash_balancer,
    [BALANCE_RANDOM_TWO] = &random_two_balancer,
    [BALANCE_FIRST] = &first_balancer,
    [BALANCE_PEAK_EWMA] = &peak_ewma_balancer,
};

static const struct balancer *balancer_of(enum balance_kind kind)
{
    return (size_t)kind < ARRAY_LEN(registry) ? registry[kind] : NULL;
}

const char *balance_kind_name(enum balance_kind kind)
{
    const struct balancer *b = balancer_of(kind);
    return b != NULL ? b->name : NULL;
}

const char *balance_kind_haproxy_name(enum balance_kind kind)
{
    const struct balancer *b = balancer_of(kind);
    return b != NULL ? b->haproxy_name : NULL;
}

bool balance_kind_find(const char *name, enum balance_kind *out_kind)
{
    for (size_t i = 0; i < ARRAY_LEN(registry); i++) {
        if (strcmp(registry[i]->name, name) == 0) {
            *out_kind = (enum balance_kind)i;
            return true;
        }
    }
    return false;
}

/* ---- plans ---- */

static void copy_members(struct balancer_plan *plan, const struct plan_member *members, uint32_t n)
{
    plan->members = xcalloc(n > 0 ? n : 1, sizeof(*plan->members));
    for (uint32_t i = 0; i < n; i++) {
        struct plan_member m = members[i];
        if (m.weight == 0)
            continue;
        if (m.weight > UINT16_MAX)
            m.weight = UINT16_MAX;
        plan->members[plan->n++] = m;
    }
}

struct balancer_plan *balancer_plan_new(const struct balancer_conf *conf,
                                        const struct plan_member *members, uint32_t n)
{
    static _Atomic uint64_t last_serial;
    const struct balancer *b = balancer_of(conf->kind);
    sl_assert(b != NULL);
    sl_assert(n <= LIMIT_BACKENDS);

    struct balancer_plan *plan = xcalloc(1, b->plan_size);
    plan->kind = conf->kind;
    plan->balancer = b;
    plan->serial = atomic_fetch_add_explicit(&last_serial, 1, memory_order_relaxed) + 1;
    plan->load_bound_percent = conf->load_bound_percent;
    copy_members(plan, members, n);
    if (plan->n > 0 && b->build != NULL)
        b->build(plan);
    return plan;
}

void balancer_plan_free(void *plan)
{
    struct balancer_plan *p = plan;
    if (p == NULL)
        return;
    if (p->balancer->discard != NULL)
        p->balancer->discard(p);
    free(p->members);
    free(p);
}

uint32_t balancer_plan_size(const struct balancer_plan *plan)
{
    return plan->n;
}

/* ---- picks ---- */

enum pick_result balancer_pick(const struct balancer_plan *plan, struct balancer_cursor *cursor,
                               const struct pick *pick, struct backend_slot **out_slot)
{
    if (unlikely(plan->n == 0))
        return PICK_NONE;
    return plan->balancer->pick(plan, cursor, pick, out_slot);
}

enum pick_result balancer_scan(const struct balancer_plan *plan, const struct pick *pick,
                               uint64_t seed, struct backend_slot **out_slot)
{
    struct backend_slot *chosen = NULL;
    uint64_t open_weight = 0;
    bool full = false;

    for (uint32_t i = 0; i < plan->n; i++) {
        struct backend_slot *slot = plan->members[i].slot;
        if (pick_excludes(pick, slot))
            continue;
        if (!slot_has_room(slot)) {
            full = true;
            continue;
        }
        /* Each newcomer takes the place with its share of the weight so far: in the end everyone's
         * chance is its share of all, without a second pass over slots that change meanwhile. */
        open_weight += plan->members[i].weight;
        seed = hash_u64(seed + 1);
        if (scale_u64(seed, open_weight) < plan->members[i].weight)
            chosen = slot;
    }
    if (chosen == NULL)
        return full ? PICK_FULL : PICK_NONE;
    *out_slot = chosen;
    return PICK_OK;
}

/* ---- cursors ---- */

bool balancer_scratch(const struct balancer_plan *plan, struct balancer_cursor *cursor, size_t size,
                      void **out_scratch)
{
    bool fresh = cursor->scratch_plan != plan->serial;
    if (unlikely(fresh)) {
        free(cursor->scratch);
        cursor->scratch = xmalloc(size);
        cursor->scratch_plan = plan->serial;
    }
    *out_scratch = cursor->scratch;
    return fresh;
}

void balancer_cursor_fini(struct balancer_cursor *cursor)
{
    free(cursor->scratch);
    cursor->scratch = NULL;
    cursor->scratch_plan = 0;
}
