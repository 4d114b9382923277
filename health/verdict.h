/* verdict.h - from results of checks to an operational state: pure arithmetic.
 *
 * `health` counts as HAProxy's does, from 0 (down for good) to rise + fall - 1 (up for good); from
 * `rise` on the backend is up. A pass adds one, and once up jumps to the top; a failure takes one
 * off, and once below `rise` falls to 0. Before anything is known the first result decides. */
#ifndef SLUICE_HEALTH_VERDICT_H
#define SLUICE_HEALTH_VERDICT_H

#include "health/table.h"

struct verdict {
    uint16_t rise, fall; /* at least 1 each */
    uint16_t health;
    bool known;
};

/* initial: OPER_UNKNOWN, OPER_UP (`fall` failures take it down), OPER_DOWN (`rise` passes bring it
 * up). */
void verdict_init(struct verdict *v, uint16_t rise, uint16_t fall, enum oper_state initial);
/* New figures, the state as it was. */
void verdict_rescale(struct verdict *v, uint16_t rise, uint16_t fall);
void verdict_pass(struct verdict *v);
void verdict_fail(struct verdict *v);
/* A failure that was not seen by a check: never the last one before down, a check has that. */
void verdict_suspect(struct verdict *v);
/* What is known is old: it stays for the moment, and the next result decides. */
void verdict_doubt(struct verdict *v);
void verdict_force(struct verdict *v, bool up);
enum oper_state verdict_oper(const struct verdict *v);

static inline bool oper_is_up(enum oper_state s)
{
    return s == OPER_UP || s == OPER_GOING_DOWN;
}

#endif
