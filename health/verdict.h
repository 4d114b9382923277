/* verdict.h - from results of checks to an operational state: pure arithmetic.
 *
 * `health` counts as HAProxy's does: 0 is down for good, rise + fall - 1 is up for good, from
 * `rise` on it is up. A pass adds one, a failure takes one while up; crossing the line jumps to the
 * end. */
#ifndef SLUICE_HEALTH_VERDICT_H
#define SLUICE_HEALTH_VERDICT_H

#include "health/table.h"

struct verdict {
    uint16_t rise, fall; /* at least 1 each */
    uint16_t health;
    bool known; /* false: the first result decides alone */
};

void verdict_init(struct verdict *v, uint16_t rise, uint16_t fall, enum oper_state initial);
void verdict_pass(struct verdict *v);
void verdict_fail(struct verdict *v);
void verdict_force_up(struct verdict *v);
void verdict_force_down(struct verdict *v);
/* One failure more takes it down: "stopping" of `set server health`. */
void verdict_force_stopping(struct verdict *v);
enum oper_state verdict_oper(const struct verdict *v);
static inline bool oper_is_up(enum oper_state s)
{
    return s == OPER_UP || s == OPER_GOING_DOWN;
}

#endif
