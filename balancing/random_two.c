/* random_two.c - two members at random (chances by weight), the less busy of them gets it.
 *
 * Needs no state that ages, so it stays good where many balancers that do not know of each other
 * share the backends. Members that are full or excluded are drawn again, which leaves the others'
 * proportions as they are. */
#include "balancing/alias.h"

#include <stdlib.h>

#define DRAWS_MAX 32 /* of one pick; where less than a tenth is open a scan is better than more */
#define TWINS_MAX 8  /* draws of the same member again before it wins without a rival */

struct random_two_plan {
    struct balancer_plan base;
    struct alias_column *columns;
};

static void build_columns(struct balancer_plan *base)
{
    container_of(base, struct random_two_plan, base)->columns = alias_new(base);
}

static void discard_columns(struct balancer_plan *base)
{
    free(container_of(base, struct random_two_plan, base)->columns);
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
        const struct plan_member *m = &base->members[alias_draw(plan->columns, base->n, pick->rng)];
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
