/* random_two.c - two members at random (chances by weight), the less busy of them gets it.
 *
 * Needs no state that ages, so it stays good where many balancers that do not know of each other
 * share the backends. Draws come from an alias table: constant time whatever the weights. Members
 * that are full or excluded are drawn again, which leaves the others' proportions as they are. */
#include "balancing/balancer_plan.h"
#include "lb/base/alloc.h"
#include "lb/base/rand.h"

#include <stdlib.h>

#define DRAWS_MAX 32 /* of one pick; where less than a tenth is open a scan is better than more */
#define TWINS_MAX 8  /* draws of the same member again before it wins without a rival */

/* A column of the alias table: its own member below the threshold (a 32-bit fraction), the other
 * above it. */
struct column {
    uint32_t threshold;
    uint32_t other;
};

struct random_two_plan {
    struct balancer_plan base;
    struct column *columns; /* n */
};

/* Vose's method in integers: a member's weight x n is cut into columns of height sum(weights), none
 * of which holds more than two members. */
static void build_columns(struct balancer_plan *base)
{
    struct random_two_plan *plan = container_of(base, struct random_two_plan, base);
    uint32_t n = base->n;
    uint64_t height = 0;
    uint64_t *rest = xmalloc(n * sizeof(*rest));
    uint32_t *todo = xmalloc(n * sizeof(*todo)); /* short ones from the front, tall from the back */
    uint32_t n_short = 0, n_tall = 0;

    plan->columns = xmalloc(n * sizeof(*plan->columns));
    for (uint32_t i = 0; i < n; i++)
        height += base->members[i].weight;
    for (uint32_t i = 0; i < n; i++) {
        rest[i] = (uint64_t)base->members[i].weight * n;
        if (rest[i] < height)
            todo[n_short++] = i;
        else
            todo[n - ++n_tall] = i;
    }
    while (n_short > 0) { /* in integers the tall ones never run out before the short ones */
        uint32_t s = todo[--n_short];
        uint32_t t = todo[n - n_tall];
        plan->columns[s] = (struct column){(uint32_t)((rest[s] << 32) / height), t};
        rest[t] -= height - rest[s];
        if (rest[t] < height) {
            n_tall--;
            todo[n_short++] = t;
        }
    }
    for (; n_tall > 0; n_tall--) {
        uint32_t t = todo[n - n_tall];
        plan->columns[t] = (struct column){UINT32_MAX, t};
    }
    free(rest);
    free(todo);
}

static void discard_columns(struct balancer_plan *base)
{
    free(container_of(base, struct random_two_plan, base)->columns);
}

static uint32_t draw(const struct random_two_plan *plan, struct rng *rng)
{
    uint64_t r = rng_next(rng);
    uint32_t i = (uint32_t)(((r >> 32) * plan->base.n) >> 32);
    const struct column *c = &plan->columns[i];
    return (uint32_t)r < c->threshold ? i : c->other;
}

static bool less_busy(const struct plan_member *a, const struct plan_member *b)
{
    return (uint64_t)slot_in_flight(a->slot) * b->weight <
           (uint64_t)slot_in_flight(b->slot) * a->weight;
}

static enum pick_result pick_random_two(const struct balancer_plan *base,
                                        struct balancer_cursor *cursor, const struct pick *pick,
                                        struct backend_slot **out_slot)
{
    const struct random_two_plan *plan = container_of(base, struct random_two_plan, base);
    const struct plan_member *one = NULL;
    int twins = 0;

    (void)cursor;
    for (int draws = 0; draws < DRAWS_MAX; draws++) {
        const struct plan_member *m = &base->members[draw(plan, pick->rng)];
        if (m == one) {
            if (++twins == TWINS_MAX)
                break;
        } else if (!pick_open(pick, m->slot)) {
            continue;
        } else if (one == NULL) {
            one = m;
            if (base->n == 1)
                break;
        } else { /* a tie is the first one's: the draw alone then keeps the shares by weight */
            *out_slot = less_busy(m, one) ? m->slot : one->slot;
            return PICK_OK;
        }
    }
    if (unlikely(one == NULL))
        return balancer_scan(base, pick, rng_next(pick->rng), out_slot);
    *out_slot = one->slot;
    return PICK_OK;
}

const struct balancer random_two_balancer = {
    .name = "random_two",
    .haproxy_name = "random",
    .plan_size = sizeof(struct random_two_plan),
    .build = build_columns,
    .discard = discard_columns,
    .pick = pick_random_two,
};
