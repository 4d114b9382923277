/* round_robin.c - each member in turn, as often as its weight says, as evenly spread as possible.
 *
 * The plan holds one period of the order as a list of members (none with equal weights: the order
 * is then the configuration's); a pick reads the entry under the cursor and moves on. At any point
 * of the period a member's picks are less than one away from its exact share.
 * Members that are full or excluded are stepped over, which is as if they were not on the list: the
 * others keep their proportions. After STEPS_MAX such entries the choice is made by chance. */
#include "balancing/balancer_plan.h"
#include "balancing/min_heap.h"
#include "lb/base/alloc.h"
#include "lb/base/hash.h"

#include <stdlib.h>

#define PERIOD_MAX        65536 /* entries; or, where it is more, */
#define PERIOD_PER_MEMBER 16    /* entries per member */
#define STEPS_MAX         16    /* entries stepped over in one pick */
#define DRAWS_MAX         48    /* random entries looked at after that, before a scan */

struct round_robin_plan {
    struct balancer_plan base;
    uint16_t *order; /* member of each entry; NULL: entry i is member i */
    uint64_t period; /* entries */
};

/* ---- the plan ---- */

/* What the schedule knows of a member: due `share` times in the period, `done` so far. */
struct turn {
    uint64_t share;
    uint64_t done;
    uint32_t next; /* in the list of those that wait for the same moment */
};

#define NOBODY UINT32_MAX

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static uint64_t reduce(struct turn *turns, uint32_t n)
{
    uint64_t divisor = 0, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        divisor = gcd(turns[i].share, divisor);
    for (uint32_t i = 0; i < n; i++)
        sum += turns[i].share /= divisor;
    return sum;
}

/* Brings the weights to the smallest whole numbers with the same proportions. Where these sum up
 * to more than the bound B they are rounded to B entries, but to one at least; of P = weight / sum
 * a member then gets P with an error of at most (1 + P n) / (B - n / 2), never more than 1/15. */
static uint64_t set_shares(struct turn *turns, const struct balancer_plan *plan)
{
    uint64_t bound = (uint64_t)plan->n * PERIOD_PER_MEMBER;
    if (bound < PERIOD_MAX)
        bound = PERIOD_MAX;

    for (uint32_t i = 0; i < plan->n; i++)
        turns[i].share = plan->members[i].weight;
    uint64_t sum = reduce(turns, plan->n);
    if (sum <= bound)
        return sum;
    for (uint32_t i = 0; i < plan->n; i++) {
        uint64_t rounded = (turns[i].share * bound + sum / 2) / sum;
        turns[i].share = rounded > 0 ? rounded : 1;
    }
    return reduce(turns, plan->n);
}

/* Tijdeman's solution of the chairman assignment problem: with D = 2n - 2, the turn k (from 0) of a
 * member with share s of a period p may come at the moments 1.. from (k + 1/D) p/s on, and is due
 * by (k + 1 - 1/D) p/s. Whoever is due first among those that may come gets the moment. No one
 * is then ever 1 - 1/D or more turns ahead or behind. */
static uint64_t earliest(const struct turn *t, uint64_t period, uint64_t d)
{
    uint64_t step = d * t->share;
    return (period * (d * t->done + 1) + step - 1) / step;
}

static uint64_t due(const struct turn *t, uint64_t period, uint64_t d)
{
    return period * (d * (t->done + 1) - 1) / (d * t->share);
}

static void fill_order(uint16_t *order, uint64_t period, struct turn *turns, uint32_t n)
{
    const uint64_t d = 2 * (uint64_t)n - 2;
    uint32_t *waiting = xmalloc((period + 1) * sizeof(*waiting)); /* lists by moment */
    uint64_t *ready = xmalloc(n * sizeof(*ready));                /* heap of (due, member) */
    uint32_t n_ready = 0;

    for (uint64_t moment = 0; moment <= period; moment++)
        waiting[moment] = NOBODY;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t moment = earliest(&turns[i], period, d);
        turns[i].next = waiting[moment];
        waiting[moment] = i;
    }
    for (uint64_t moment = 1; moment <= period; moment++) {
        for (uint32_t i = waiting[moment]; i != NOBODY; i = turns[i].next)
            min_heap_push(ready, &n_ready, due(&turns[i], period, d) << 16 | i);
        sl_assert(n_ready > 0); /* the theorem */

        uint32_t member = (uint32_t)(min_heap_pop(ready, &n_ready) & UINT16_MAX);
        struct turn *t = &turns[member];
        order[moment - 1] = (uint16_t)member;
        if (++t->done == t->share)
            continue;
        uint64_t next = earliest(t, period, d);
        if (next <= moment)
            next = moment + 1;
        sl_assert(next <= period);
        t->next = waiting[next];
        waiting[next] = member;
    }
    free(waiting);
    free(ready);
}

static void build_order(struct balancer_plan *base)
{
    struct round_robin_plan *plan = container_of(base, struct round_robin_plan, base);
    struct turn *turns = xcalloc(base->n, sizeof(*turns));

    plan->period = set_shares(turns, base);
    if (plan->period > base->n) {
        plan->order = xmalloc(plan->period * sizeof(*plan->order));
        fill_order(plan->order, plan->period, turns, base->n);
    }
    free(turns);
}

static void discard_order(struct balancer_plan *base)
{
    free(container_of(base, struct round_robin_plan, base)->order);
}

/* ---- the pick ---- */

static struct backend_slot *slot_at(const struct round_robin_plan *plan, uint64_t entry)
{
    return plan->base.members[plan->order != NULL ? plan->order[entry] : entry].slot;
}

/* The entries under the cursor are all taken: any other entry may do, all with the same chance. */
static enum pick_result pick_by_chance(const struct round_robin_plan *plan, uint64_t seed,
                                       const struct pick *pick, struct backend_slot **out_slot)
{
    int draws = plan->base.n > DRAWS_MAX ? DRAWS_MAX : 0; /* few members: a scan costs less */

    for (int i = 0; i < draws; i++) {
        seed = hash_u64(seed + 1);
        struct backend_slot *slot = slot_at(plan, scale_u64(seed, plan->period));
        if (pick_open(pick, slot)) {
            *out_slot = slot;
            return PICK_OK;
        }
    }
    return balancer_scan(&plan->base, pick, seed, out_slot);
}

static enum pick_result pick_round_robin(const struct balancer_plan *base,
                                         struct balancer_cursor *cursor, const struct pick *pick,
                                         struct backend_slot **out_slot)
{
    const struct round_robin_plan *plan = container_of(base, struct round_robin_plan, base);
    uint64_t entry = cursor->position % plan->period;

    for (int steps = 0; steps < STEPS_MAX; steps++) {
        struct backend_slot *slot = slot_at(plan, entry);
        cursor->position++;
        if (pick_open(pick, slot)) {
            *out_slot = slot;
            return PICK_OK;
        }
        if (++entry == plan->period)
            entry = 0;
    }
    return pick_by_chance(plan, cursor->position, pick, out_slot);
}

const struct balancer round_robin_balancer = {
    .name = "round_robin",
    .haproxy_name = "roundrobin",
    .plan_size = sizeof(struct round_robin_plan),
    .build = build_order,
    .discard = discard_order,
    .pick = pick_round_robin,
};
