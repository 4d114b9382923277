/* backends_later.h - what a reload takes away from a pool: a backend, its weight, its readiness. It
 * is put in force when every worker has taken up the pool as it is now: as it was, the pool may
 * have had nobody else. Control thread. */
#ifndef SLUICE_MAIN_BACKENDS_LATER_H
#define SLUICE_MAIN_BACKENDS_LATER_H

#include "lb/upstream/pool_conf.h"

struct backend_slot;
struct checker;

struct backends_later {
    struct backends_later_row *rows;
    uint32_t n, room;
};

/* beside: another of its pool, NULL: there is none; tells the health thread of the change, as the
 * one that leaves is not its any more. */
void backends_later_remove(struct backends_later *l, struct backend_slot *s,
                           struct backend_slot *beside);
void backends_later_weigh_nothing(struct backends_later *l, struct backend_slot *s);
/* reason: valid until it is applied; NULL: none. */
void backends_later_set_state(struct backends_later *l, struct backend_slot *s,
                              enum admin_state state, const char *reason);
/* Applies all of it; nothing is left then. */
void backends_later_apply(struct backends_later *l, struct checker *c);
void backends_later_fini(struct backends_later *l);

#endif
