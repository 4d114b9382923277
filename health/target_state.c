/* target_state.c - makes a verdict so: in the table, in the log, to the hooks. */
#include "health/checker_priv.h"

#include "lb/base/log.h"
#include "lb/obs/events.h"

#include "health/latency.h"

#include <stdio.h>
#include <string.h>

/* What checks say, and the agent. */
enum oper_state target_state_oper(const struct target *t)
{
    enum oper_state is = verdict_oper(&t->verdict);

    return t->info.agent_down && is != OPER_GOING_UP ? OPER_DOWN : is;
}

void target_state_publish(struct target *t)
{
    t->info.health = t->verdict.health;
    t->info.rise = t->verdict.rise;
    t->info.fall = t->verdict.fall;
    t->info.checking = t->state == TARGET_RUNNING;
    t->info.check_enabled = target_has_checks(t) && !t->disabled;
    t->info.agent_enabled = t->conf.agent != NULL && !t->agent_off;
    if (!t->outlier.ejected) {
        slot_set_info(t->slot, &t->info);
        return;
    }
    struct backend_info shown = t->info; /* checks may well pass: that is not what matters now */
    memcpy(shown.desc, t->ejection, sizeof(shown.desc));
    memcpy(shown.reason, t->ejection, sizeof(shown.reason));
    slot_set_info(t->slot, &shown);
}

/* ---- transitions ---- */

void target_state_count_up(struct target *t, bool removed)
{
    struct pool_count *p = &t->checker->pools[t->slot->pool];
    bool up = !removed && !t->in_maint && !t->outlier.ejected && oper_is_up(target_state_oper(t));

    p->up += (uint32_t)up - (uint32_t)t->counted_up;
    t->counted_up = up;
}

const char *target_state_format_age(uint64_t ms, char out[static 32])
{
    uint64_t s = ms / 1000;
    unsigned hours = (unsigned)(s / 3600), minutes = (unsigned)(s / 60 % 60);
    unsigned seconds = (unsigned)(s % 60);

    if (s < 10)
        snprintf(out, 32, "%u.%us", seconds, (unsigned)(ms / 100 % 10));
    else if (s < 60)
        snprintf(out, 32, "%us", seconds);
    else if (hours == 0)
        snprintf(out, 32, "%um%us", minutes, seconds);
    else
        snprintf(out, 32, "%uh%um%us", hours, minutes, seconds);
    return out;
}

/* Between unknown, up and down; not the counting within them. */
static bool crosses(enum oper_state was, enum oper_state is)
{
    return oper_is_up(was) != oper_is_up(is) || was == OPER_UNKNOWN;
}

static void log_transition(const struct target *t, enum oper_state was, bool up)
{
    const struct checker *c = t->checker;
    const struct backend_slot *s = t->slot;
    const struct pool_count *p = &c->pools[s->pool];
    const struct check_kind *kind = check_kind_of(t->conf.health.type);
    char age[32], former[64];

    if (was == OPER_UNKNOWN)
        snprintf(former, sizeof(former), "first result");
    else
        snprintf(former, sizeof(former), "was %s for %s", up ? "DOWN" : "UP",
                 target_state_format_age(checker_now_ms(c) - t->changed_at_ms, age));
    events_log_backend(EVENT_HEALTH, up ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, s->pool_name, s->name,
                       "backend %s/%s is %s: %s (%s%s, %s; %u of %u backends up)", s->pool_name,
                       s->name, up ? "UP" : "DOWN", t->info.reason,
                       kind != NULL ? "check " : "no check", kind != NULL ? kind->name : "", former,
                       p->up, p->targets);
}

void target_state_count_downtime(struct target *t, uint64_t wall_us)
{
    bool down = t->outlier.ejected || !oper_is_up(target_state_oper(t));

    if (down == (t->info.down_since_us != 0))
        return;
    if (down) {
        t->info.down_since_us = wall_us;
        t->info.transitions_down++;
    } else {
        if (wall_us > t->info.down_since_us) /* the wall clock may be set back */
            t->info.downtime_us += wall_us - t->info.down_since_us;
        t->info.down_since_us = 0;
    }
}

void target_state_forget_failures(struct target *t)
{
    atomic_store_explicit(&t->slot->failed_in_a_row, 0, memory_order_relaxed);
    slot_forget_latency(t->slot);
}

static void transition(struct target *t, enum oper_state was, bool up, bool close)
{
    struct checker *c = t->checker;
    uint64_t wall_us = io_wall_us(c->loop->io);

    target_state_count_up(t, false);
    log_transition(t, was, up);
    target_state_count_downtime(t, wall_us);
    if (up) /* what it was like before is not what it is now */
        target_state_forget_failures(t);
    t->info.changed_at_us = wall_us;
    t->changed_at_ms = checker_now_ms(c);
    /* What comes back is taken up slowly; what was there when we came is not. */
    target_weight_ramp(t, up && was != OPER_UNKNOWN);
    checker_pool_changed(t);
    target_state_publish(t);
    if (!up && close)
        c->hooks.backend_down(c->hooks.ctx, t->slot->index);
}

void target_state_apply(struct target *t, const char *reason, bool close)
{
    enum oper_state is = target_state_oper(t), was = slot_word(t->slot).oper;

    if (is != was) {
        snprintf(t->info.reason, sizeof(t->info.reason), "%s", reason);
        slot_set_oper(t->slot, is);
    }
    if (is != was && crosses(was, is)) {
        transition(t, was, oper_is_up(is), close);
        return;
    }
    if (is == OPER_GOING_DOWN || is == OPER_GOING_UP)
        log_debug("backend %s/%s is going %s: %s (health %u, up from %u to %u)", t->slot->pool_name,
                  t->slot->name, is == OPER_GOING_UP ? "up" : "down", reason, t->verdict.health,
                  t->verdict.rise, t->verdict.rise + t->verdict.fall - 1);
    target_state_publish(t);
}
