/* timer.h - a hierarchical timer wheel: start, move and stop in constant time, one thread.
 *
 * Milliseconds; a timer fires at or up to one tick (1 ms) after its time, never before. For
 * deadlines that move with every byte, do not move the timer: keep the deadline in the owner and,
 * when the timer fires too early, start it again (lazy re-arming). */
#ifndef SLUICE_IO_TIMER_H
#define SLUICE_IO_TIMER_H

#include "lb/base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct timer;
typedef void timer_fn(struct timer *t);

struct timer {
    struct list node;
    timer_fn *fn;
    uint64_t at_ms;
};

#define TIMER_LEVELS 5
#define TIMER_SLOTS  64

struct timer_wheel {
    uint64_t now_ms;    /* everything up to here has fired */
    uint64_t run_to_ms; /* while timers fire: the time they are run for, else now_ms */
    uint32_t count;
    uint64_t occupied[TIMER_LEVELS];
    struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

void timer_wheel_init(struct timer_wheel *w, uint64_t now_ms);
void timer_init(struct timer *t, timer_fn *fn);
static inline bool timer_pending(const struct timer *t)
{
    return list_linked(&t->node);
}
/* Starts or moves t to fire at at_ms (in the past: with the next run). */
void timer_start(struct timer_wheel *w, struct timer *t, uint64_t at_ms);
void timer_stop(struct timer_wheel *w, struct timer *t); /* no effect when not pending */
/* Fires what is due; timers started by callbacks for now or earlier fire in the next run. */
void timer_run(struct timer_wheel *w, uint64_t now_ms);
/* Milliseconds until the next timer may be due (never later than it is), -1: none pending. */
int timer_next_ms(struct timer_wheel *w, uint64_t now_ms);

#endif
