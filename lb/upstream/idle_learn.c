/* idle_learn.c - see idle_learn.h.
 *
 * What is dropped before the backend would close it never shows that the backend has become more
 * patient. So after SURVIVORS connections in a row that lived to the limit, the limit is raised a
 * little; where that was too much the next close corrects it. */
#include "lb/upstream/idle_learn.h"

#define MARGIN_MS 1000 /* a connection is dropped so long before the backend would, at most */
#define SURVIVORS 16

static uint32_t margin_of(uint32_t ms)
{
    return ms / 2 < MARGIN_MS ? ms / 2 : MARGIN_MS;
}

static uint32_t before(uint32_t ms)
{
    return ms - margin_of(ms);
}

static uint32_t lesser(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void idle_learn_header(struct idle_learn *l, uint32_t seconds)
{
    l->said_ms = seconds < UINT32_MAX / 1000 ? seconds * 1000 : UINT32_MAX;
    l->said = true;
}

/* Timers of servers tick by the second; an eighth covers slow ones. */
static bool alike(uint32_t a, uint32_t b)
{
    uint32_t more = a > b ? a : b, apart = a > b ? a - b : b - a;
    return apart <= MARGIN_MS || apart <= more / 8;
}

void idle_learn_closed(struct idle_learn *l, uint32_t idle_ms)
{
    uint32_t ms = idle_ms > 0 ? idle_ms : 1;

    l->survivors = 0;
    if (l->once_ms > 0 && alike(l->once_ms, ms))
        l->seen_ms = lesser(l->once_ms, ms);
    l->once_ms = ms;
}

void idle_learn_survived(struct idle_learn *l, uint32_t idle_ms)
{
    if (l->seen_ms == 0 || idle_ms < before(l->seen_ms) - before(l->seen_ms) / 8)
        return; /* it says nothing about the limit */
    if (idle_ms > l->seen_ms)
        l->seen_ms = idle_ms;
    if (++l->survivors < SURVIVORS)
        return;
    l->survivors = 0;
    l->seen_ms += lesser(l->seen_ms / 4 + 1, UINT32_MAX - l->seen_ms);
}

uint32_t idle_learn_keep_ms(const struct idle_learn *l, uint32_t configured_ms)
{
    uint32_t keep = configured_ms > 0 ? configured_ms : UINT32_MAX;

    if (l->said)
        keep = lesser(keep, before(l->said_ms));
    if (l->seen_ms > 0)
        keep = lesser(keep, before(l->seen_ms));
    return keep;
}
