/* peak_ewma.c - the member with the lowest response time x (in_flight + 1) / weight: of all where
 * there are few, else of two at random (chances by weight).
 *
 * The response time is health/latency.h's, which jumps up with a slow answer and fades with time.
 * So a member that was slow is tried again before long. But what has faded is a guess: it counts
 * in full only while nothing is in flight there. With a request out that may tell better, it is
 * never taken for less than the lowest that was seen among the rivals, so that a member that has
 * come to hang is found out by a few requests, not by all. The same holds for one that was never
 * tried: the first request goes there at once, more only in proportion. */
#include "balancing/alias.h"
#include "health/latency.h"

#include <math.h>
#include <stdlib.h>

#define FEW       4  /* up to so many are all looked at: no dearer than to draw two */
#define DRAWS_MAX 32 /* as random_two.c */

struct peak_ewma_plan {
    struct balancer_plan base;
    struct alias_column *columns; /* NULL: few members */
};

struct candidate {
    const struct plan_member *member;
    struct latency latency;
    uint32_t in_flight;
};

static void build(struct balancer_plan *base)
{
    if (base->n > FEW)
        container_of(base, struct peak_ewma_plan, base)->columns = alias_new(base);
}

static void discard(struct balancer_plan *base)
{
    free(container_of(base, struct peak_ewma_plan, base)->columns);
}

static struct candidate look_at(const struct plan_member *m, uint64_t now_us)
{
    return (struct candidate){m, slot_latency(m->slot, now_us), slot_in_flight(m->slot)};
}

/* Lowest response time that was seen, not faded; 1 where none was. */
static float lowest_seen(const struct candidate *c, uint32_t n)
{
    float lowest = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (c[i].latency.seen > 0 && (lowest == 0 || c[i].latency.seen < lowest))
            lowest = c[i].latency.seen;
    }
    return lowest > 0 ? lowest : 1;
}

static float score(const struct candidate *c, float lowest)
{
    float us = c->in_flight > 0 ? fmaxf(c->latency.faded, lowest) : c->latency.faded;

    return us * (float)(c->in_flight + 1) / (float)c->member->weight;
}

static struct backend_slot *best_of(const struct candidate *c, uint32_t n)
{
    float lowest = lowest_seen(c, n), least = score(&c[0], lowest);
    uint32_t best = 0;

    for (uint32_t i = 1; i < n; i++) {
        float s = score(&c[i], lowest);
        if (s < least) { /* a tie is the first one's */
            least = s;
            best = i;
        }
    }
    return c[best].member->slot;
}

/* From a random one on, so that equals are equally often the first. */
static enum pick_result pick_of_few(const struct balancer_plan *plan, const struct pick *pick,
                                    struct backend_slot **out_slot)
{
    struct candidate open[FEW];
    uint32_t at = rng_below(pick->rng, plan->n), n = 0;
    bool full = false;

    for (uint32_t i = 0; i < plan->n; i++, at = at + 1 == plan->n ? 0 : at + 1) {
        const struct plan_member *m = &plan->members[at];
        if (pick_excludes(pick, m->slot))
            continue;
        if (slot_has_room(m->slot))
            open[n++] = look_at(m, pick->now_us);
        else
            full = true;
    }
    if (n == 0)
        return full ? PICK_FULL : PICK_NONE;
    *out_slot = best_of(open, n);
    return PICK_OK;
}

static enum pick_result pick_peak_ewma(const struct balancer_plan *base,
                                       struct balancer_cursor *cursor, const struct pick *pick,
                                       struct backend_slot **out_slot)
{
    const struct peak_ewma_plan *plan = container_of(base, struct peak_ewma_plan, base);
    const struct plan_member *one = NULL;

    (void)cursor;
    if (plan->columns == NULL)
        return pick_of_few(base, pick, out_slot);
    for (int draws = 0; draws < DRAWS_MAX; draws++) {
        const struct plan_member *m = &base->members[alias_draw(plan->columns, base->n, pick->rng)];
        if (m == one || !pick_open(pick, m->slot))
            continue;
        if (one == NULL) {
            one = m;
            continue;
        }
        const struct candidate two[] = {look_at(one, pick->now_us), look_at(m, pick->now_us)};
        *out_slot = best_of(two, 2);
        return PICK_OK;
    }
    if (unlikely(one == NULL))
        return balancer_scan(base, pick, rng_next(pick->rng), out_slot);
    *out_slot = one->slot;
    return PICK_OK;
}

const struct balancer peak_ewma_balancer = {
    .name = "peak_ewma",
    .haproxy_name = "peak_ewma", /* it has none like it */
    .plan_size = sizeof(struct peak_ewma_plan),
    .build = build,
    .discard = discard,
    .pick = pick_peak_ewma,
};
