/* latency.c - see latency.h. The word: the value as a float in the low half (a whole number of
 * microseconds would lose the small steps of a long average), above it the time in TICKs. A word
 * of 0: never tried. */
#include "health/latency.h"

#include "lb/base/assert.h"

#include <math.h>
#include <string.h>

#define TICK_SHIFT  10 /* 1.024 ms: 32 bits of it wrap after 50 days */
/* Workers' clocks differ by a turn: what seems that little ahead of us is of just now. */
#define AHEAD_TICKS 65536u
#define DECAY_TICKS ((float)LATENCY_DECAY_US / (1 << TICK_SHIFT))

/* Of failures: how often the penalty doubles, and what none goes beyond by that. */
#define DOUBLINGS_MAX  10
#define PENALTY_MAX_US ((float)LATENCY_PENALTY_US * (1 << DOUBLINGS_MAX))

static_assert(sizeof(float) == sizeof(uint32_t), "a float is packed into 32 bits");

static uint32_t ticks_of(uint64_t now_us)
{
    return (uint32_t)(now_us >> TICK_SHIFT);
}

static uint64_t pack(float us, uint32_t ticks)
{
    uint32_t bits;

    memcpy(&bits, &us, sizeof(bits));
    return (uint64_t)ticks << 32 | bits;
}

static float value_of(uint64_t word)
{
    uint32_t bits = (uint32_t)word;
    float us;

    memcpy(&us, &bits, sizeof(us));
    return us;
}

static uint32_t age_of(uint64_t word, uint64_t now_us)
{
    uint32_t age = ticks_of(now_us) - (uint32_t)(word >> 32);
    return age > UINT32_MAX - AHEAD_TICKS ? 0 : age;
}

/* The later of a word's time and this one: who reports with a clock that is behind must not make
 * the estimate older than it is, or it would fade twice. */
static uint32_t later_ticks(uint64_t word, uint64_t now_us)
{
    return word != 0 && age_of(word, now_us) == 0 ? (uint32_t)(word >> 32) : ticks_of(now_us);
}

static float fading(uint32_t age_ticks)
{
    return expf(-(float)age_ticks / DECAY_TICKS);
}

static float sample_of(uint64_t rtt_us)
{
    return rtt_us < 1 ? 1.0f : rtt_us > LATENCY_MAX_US ? (float)LATENCY_MAX_US : (float)rtt_us;
}

void slot_observe_latency(struct backend_slot *s, uint64_t now_us, uint64_t rtt_us)
{
    uint64_t word = atomic_load_explicit(&s->latency, memory_order_relaxed);
    float sample = sample_of(rtt_us);

    for (;;) {
        float value = value_of(word), next = sample;
        bool peak = sample >= value;
        if (!peak) {
            uint32_t age = age_of(word, now_us);
            if (age == 0)
                return; /* this tick has had its sample */
            next = sample + (value - sample) * fading(age);
        }
        if (atomic_compare_exchange_weak_explicit(&s->latency, &word,
                                                  pack(next, later_ticks(word, now_us)),
                                                  memory_order_relaxed, memory_order_relaxed) ||
            !peak) /* another worker's sample stands for ours; a peak must not be lost */
            return;
    }
}

/* What a backend that was at `value` looks like after a failure. */
static float worsened(float value, float rtt, uint32_t in_a_row)
{
    float least = value > 0 ? value : (float)LATENCY_PENALTY_US;

    if (in_a_row >= 2) {
        uint32_t doublings = in_a_row - 2 < DOUBLINGS_MAX ? in_a_row - 2 : DOUBLINGS_MAX;
        least = fmaxf(least, fminf(2 * value, PENALTY_MAX_US));
        least = fmaxf(least, (float)LATENCY_PENALTY_US * (float)(1u << doublings));
    }
    return fmaxf(least, rtt);
}

void slot_observe_failure(struct backend_slot *s, uint64_t now_us, uint64_t rtt_us,
                          uint32_t in_a_row)
{
    uint64_t word = atomic_load_explicit(&s->latency, memory_order_relaxed);
    float rtt = sample_of(rtt_us), next;

    do
        next = worsened(value_of(word), rtt, in_a_row);
    while (!atomic_compare_exchange_weak_explicit(&s->latency, &word,
                                                  pack(next, later_ticks(word, now_us)),
                                                  memory_order_relaxed, memory_order_relaxed));
}

struct latency slot_latency(const struct backend_slot *s, uint64_t now_us)
{
    uint64_t word = atomic_load_explicit(&s->latency, memory_order_relaxed);
    float seen = value_of(word);
    uint32_t age = seen > 0 && now_us != 0 ? age_of(word, now_us) : 0;

    return (struct latency){.seen = seen, .faded = age > 0 ? seen * fading(age) : seen};
}

void slot_forget_latency(struct backend_slot *s)
{
    atomic_store_explicit(&s->latency, 0, memory_order_relaxed);
}
