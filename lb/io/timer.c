/* timer.c - see timer.h. A timer sits at the level of the highest bit group in which its time
 * differs from now, so every slot of a level lies in the future of the level's present slot; when a
 * slot's beginning is reached, its timers fire (level 0) or move down. Occupancy bits may be stale
 * (stopping only unlinks): an empty slot is cleaned where it is met. */
#include "lb/io/timer.h"

#include <string.h>

#define BITS     6
/* One slot of the top level less than all, so that no timer lies a whole round ahead, in the slot
 * that looks like the present one. */
#define RANGE_MS ((TIMER_SLOTS - 1ULL) << (BITS * (TIMER_LEVELS - 1)))

void timer_wheel_init(struct timer_wheel *w, uint64_t now_ms)
{
    memset(w, 0, sizeof(*w));
    w->now_ms = w->run_to_ms = now_ms;
    for (int l = 0; l < TIMER_LEVELS; l++)
        for (int s = 0; s < TIMER_SLOTS; s++)
            list_init(&w->slots[l][s]);
}

void timer_init(struct timer *t, timer_fn *fn)
{
    list_init(&t->node);
    t->fn = fn;
    t->at_ms = 0;
}

static int level_of(uint64_t now, uint64_t at)
{
    int level = (63 - __builtin_clzll((now ^ at) | 1)) / BITS;
    return level < TIMER_LEVELS ? level : TIMER_LEVELS - 1;
}

static void place(struct timer_wheel *w, struct timer *t)
{
    uint64_t at = t->at_ms;

    if (at - w->now_ms >= RANGE_MS) /* beyond the wheel: looked at again when it comes round */
        at = w->now_ms + RANGE_MS;
    int level = level_of(w->now_ms, at);
    int slot = (int)(at >> (BITS * level)) & (TIMER_SLOTS - 1);
    list_push_back(&w->slots[level][slot], &t->node);
    w->occupied[level] |= 1ULL << slot;
}

void timer_start(struct timer_wheel *w, struct timer *t, uint64_t at_ms)
{
    if (timer_pending(t))
        list_remove(&t->node);
    else
        w->count++;
    t->at_ms = at_ms > w->run_to_ms ? at_ms : w->run_to_ms + 1;
    place(w, t);
}

void timer_stop(struct timer_wheel *w, struct timer *t)
{
    if (!timer_pending(t))
        return;
    list_remove(&t->node);
    w->count--;
}

/* The next slot that holds timers: its level, index and beginning. False: none. */
static bool next_slot(struct timer_wheel *w, int *out_level, int *out_slot, uint64_t *out_at)
{
    for (int level = 0; level < TIMER_LEVELS; level++) {
        while (w->occupied[level] != 0) {
            int shift = BITS * level;
            int present = (int)(w->now_ms >> shift) & (TIMER_SLOTS - 1);
            /* Rotate so that the present slot is bit 0: the lowest set bit is the nearest. */
            uint64_t occ = w->occupied[level];
            uint64_t rotated = present ? (occ >> present) | (occ << (TIMER_SLOTS - present)) : occ;
            int ahead = __builtin_ctzll(rotated);
            int slot = (present + ahead) & (TIMER_SLOTS - 1);
            if (list_empty(&w->slots[level][slot])) {
                w->occupied[level] &= ~(1ULL << slot);
                continue;
            }
            uint64_t base = w->now_ms >> shift;
            uint64_t at = (base + (uint64_t)ahead) << shift;
            *out_level = level;
            *out_slot = slot;
            *out_at = at;
            return true;
        }
    }
    return false;
}

void timer_run(struct timer_wheel *w, uint64_t now_ms)
{
    int level, slot;
    uint64_t at;

    if (now_ms <= w->now_ms)
        return;
    w->run_to_ms = now_ms;
    while (next_slot(w, &level, &slot, &at) && at <= now_ms) {
        struct list due, *node;

        list_init(&due);
        list_splice_back(&due, &w->slots[level][slot]);
        w->occupied[level] &= ~(1ULL << slot);
        w->now_ms = at;
        while ((node = list_pop_front(&due)) != NULL) {
            struct timer *t = list_entry(node, struct timer, node);
            if (t->at_ms > at) {
                place(w, t); /* a level down */
                continue;
            }
            w->count--;
            t->fn(t); /* may free t, start and stop any timer */
        }
    }
    w->now_ms = now_ms;
}

int timer_next_ms(struct timer_wheel *w, uint64_t now_ms)
{
    int level, slot;
    uint64_t at;

    if (w->count == 0 || !next_slot(w, &level, &slot, &at))
        return -1;
    if (at <= now_ms)
        return 0;
    return at - now_ms > 1u << 30 ? 1 << 30 : (int)(at - now_ms);
}
