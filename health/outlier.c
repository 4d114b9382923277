/* outlier.c - see outlier.h */
#include "health/outlier.h"

#include "lb/base/assert.h"

uint32_t outlier_allowed(uint32_t n, uint32_t max_percent)
{
    uint32_t allowed = (uint32_t)((uint64_t)n * max_percent / 100);

    if (n == 0)
        return 0;
    return allowed < n ? allowed : n - 1;
}

/* Each `time_ms` since it came back takes one off. */
static uint32_t remembered(const struct outlier *o, uint64_t now_ms, uint32_t time_ms)
{
    uint64_t good_ms = now_ms > o->since_ms ? now_ms - o->since_ms : 0;
    uint64_t forgotten = good_ms / (time_ms > 0 ? time_ms : 1);

    return forgotten < o->count ? o->count - (uint32_t)forgotten : 0;
}

void outlier_eject(struct outlier *o, uint64_t now_ms, uint32_t time_ms)
{
    sl_assert(!o->ejected);
    uint32_t count = remembered(o, now_ms, time_ms) + 1;

    o->count = count < OUTLIER_FACTOR_MAX ? count : OUTLIER_FACTOR_MAX;
    o->ejected = true;
    o->since_ms = now_ms;
    o->until_ms = now_ms + (uint64_t)o->count * time_ms;
}

void outlier_return(struct outlier *o, uint64_t now_ms)
{
    sl_assert(o->ejected);
    o->ejected = false;
    o->since_ms = now_ms;
    o->until_ms = 0;
}

void outlier_forget(struct outlier *o)
{
    sl_assert(!o->ejected);
    *o = (struct outlier){0};
}
