/* target_weight.c - the effective weight: what is set, the part of it that the agent leaves, and
 * the slow start. */
#include "health/checker_priv.h"

#include "health/slow_start.h"

void target_weight_update(struct target *t)
{
    struct checker *c = t->checker;
    uint16_t set = slot_word(t->slot).set_weight;
    uint16_t weight = (uint16_t)(set * WEIGHT_SCALE);

    timer_stop(&c->loop->timers, &t->ramp);
    if (t->ramp_from_ms != TARGET_NO_RAMP) {
        uint64_t elapsed = checker_now_ms(c) - t->ramp_from_ms;
        weight = slow_start_weight(set, elapsed, t->conf.slow_start_ms);
        if (elapsed >= t->conf.slow_start_ms)
            t->ramp_from_ms = TARGET_NO_RAMP;
        else
            timer_start(&c->loop->timers, &t->ramp,
                        checker_now_ms(c) + slow_start_step_ms(t->conf.slow_start_ms));
    }
    weight = (uint16_t)backend_agent_weight(&t->info, weight);
    if (slot_set_effective(t->slot, weight).weight != weight)
        checker_pool_changed(t);
}

static void on_ramp(struct timer *timer)
{
    target_weight_update(container_of(timer, struct target, ramp));
}

void target_weight_init(struct target *t)
{
    t->ramp_from_ms = TARGET_NO_RAMP;
    timer_init(&t->ramp, on_ramp);
}

void target_weight_ramp(struct target *t, bool on)
{
    t->ramp_from_ms = on && t->conf.slow_start_ms > 0 ? checker_now_ms(t->checker) : TARGET_NO_RAMP;
    target_weight_update(t);
}
