/* h2_window.c - see h2_window.h */
#include "lb/http/h2_window.h"

#include "lb/base/limits.h"

#include <stdbool.h>

void h2_window_init(struct h2_window *w, uint32_t base, uint64_t now_us)
{
    *w = (struct h2_window){.size = base, .base = base, .since_us = now_us};
}

uint32_t h2_window_taken(struct h2_window *w, uint64_t *budget, uint32_t n, uint64_t now_us,
                         uint64_t rtt_us)
{
    uint32_t more = w->size;

    w->taken += n;
    if (w->taken < w->size)
        return 0;
    /* WINDOW_UPDATE goes out when half of it was taken, so a sender that is held up by nothing else
     * needs a round trip for a window, and what it is late by. */
    bool held_up = rtt_us > 0 && now_us - w->since_us <= 2 * rtt_us;
    w->taken = 0;
    w->since_us = now_us;
    if (!held_up || w->size > LIMIT_H2_WINDOW / 2 || *budget < more)
        return 0;
    *budget -= more;
    w->size += more;
    return more;
}

uint32_t h2_window_shrink(struct h2_window *w, uint64_t *budget)
{
    uint32_t grown = w->size - w->base;

    *budget += grown;
    w->size = w->base;
    return grown;
}
