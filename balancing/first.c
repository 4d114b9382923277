/* first.c - the first member with room, in configuration order: fills one backend before it touches
 * the next, so that the others may sleep. Useful only with max_connections.
 *
 * One look when the first has room; otherwise as many as there are full ones ahead. */
#include "balancing/balancer_plan.h"

static enum pick_result pick_first(const struct balancer_plan *plan, struct balancer_cursor *cursor,
                                   const struct pick *pick, struct backend_slot **out_slot)
{
    bool full = false;

    (void)cursor;
    for (uint32_t i = 0; i < plan->n; i++) {
        struct backend_slot *slot = plan->members[i].slot;
        if (pick_excludes(pick, slot))
            continue;
        if (likely(slot_has_room(slot))) {
            *out_slot = slot;
            return PICK_OK;
        }
        full = true;
    }
    return full ? PICK_FULL : PICK_NONE;
}

const struct balancer first_balancer = {
    .name = "first",
    .haproxy_name = "first",
    .plan_size = sizeof(struct balancer_plan),
    .pick = pick_first,
};
