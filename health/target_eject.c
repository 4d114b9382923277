/* target_eject.c - ejection, for requests that failed in a row. It is beside all else: checks go
 * on, and what they find out is known when it ends. */
#include "health/checker_priv.h"

#include "lb/obs/events.h"

#include <stdio.h>

/* A backend that cannot be ejected goes on failing: so often the log says so. */
#define REFUSED_GAP_MS 10000

/* What the pool is made of, as far as ejections go: members of one kind (active, or backup). */
struct ejection_census {
    uint32_t members, ejected; /* neither in maintenance nor drained */
    uint32_t usable;           /* of both kinds */
    struct target *due;        /* the ejected one that returns first */
};

static bool takes_traffic(const struct target *t)
{
    struct backend_word w = slot_word(t->slot);

    return (w.admin & (ADMIN_MAINT_MASK | ADMIN_DRAIN_MASK)) == 0 && w.set_weight > 0;
}

static struct ejection_census count_ejections(struct checker *c, uint32_t pool, bool backup)
{
    struct ejection_census e = {0};

    list_for_each (node, &c->targets) {
        struct target *t = list_entry(node, struct target, all);
        if (t->slot->pool != pool)
            continue;
        e.usable += slot_use(t->slot) == USE_YES;
        if (t->slot->backup != backup || !takes_traffic(t))
            continue;
        e.members++;
        e.ejected += t->outlier.ejected;
        if (t->outlier.ejected && (e.due == NULL || t->outlier.until_ms < e.due->outlier.until_ms))
            e.due = t;
    }
    return e;
}

/* The operational part of it, both ways. */
static void set_ejected(struct target *t, bool on)
{
    struct checker *c = t->checker;
    struct pool_count *p = &c->pools[t->slot->pool];

    slot_set_ejected(t->slot, on);
    p->ejected += on ? 1 : UINT32_MAX;
    target_state_forget_failures(t);
    target_state_count_up(t, false);
    target_state_count_downtime(t, io_wall_us(c->loop->io));
    t->info.changed_at_us = io_wall_us(c->loop->io);
    checker_pool_changed(t);
}

static void eject(struct target *t, uint32_t failures)
{
    struct checker *c = t->checker;
    const struct backend_slot *s = t->slot;
    const struct pool_count *p = &c->pools[s->pool];
    char lasts[32];

    outlier_eject(&t->outlier, checker_now_ms(c), t->conf.ejection.time_ms);
    target_state_format_age(t->outlier.until_ms - checker_now_ms(c), lasts);
    snprintf(t->ejection, sizeof(t->ejection), "ejected for %s: %u requests failed in a row", lasts,
             failures);
    set_ejected(t, true);
    timer_start(&c->loop->timers, &t->back, t->outlier.until_ms);
    events_log_backend(EVENT_EJECTION, LOG_LEVEL_WARN, s->pool_name, s->name,
                       "backend %s/%s is %s (%u of %u backends up)", s->pool_name, s->name,
                       t->ejection, p->up, p->targets);
    target_state_publish(t);
}

static void end_ejection(struct target *t, const char *why)
{
    struct checker *c = t->checker;
    const struct backend_slot *s = t->slot;
    const struct pool_count *p = &c->pools[s->pool];
    uint64_t lasted_ms = checker_now_ms(c) - t->outlier.since_ms;
    char age[32];

    outlier_return(&t->outlier, checker_now_ms(c));
    timer_stop(&c->loop->timers, &t->back);
    set_ejected(t, false);
    events_log_backend(EVENT_EJECTION, LOG_LEVEL_INFO, s->pool_name, s->name,
                       "backend %s/%s is no longer ejected, after %s: %s (%u of %u backends up)",
                       s->pool_name, s->name, target_state_format_age(lasted_ms, age), why, p->up,
                       p->targets);
    target_weight_ramp(t, oper_is_up(target_state_oper(t)));
    target_state_publish(t);
}

static void on_back(struct timer *timer)
{
    end_ejection(container_of(timer, struct target, back), "its time is over");
}

void target_eject_init(struct target *t)
{
    timer_init(&t->back, on_back);
}

void target_eject_pardon(struct target *t, const char *why)
{
    if (t->outlier.ejected)
        end_ejection(t, why);
    outlier_forget(&t->outlier);
    target_state_forget_failures(t);
}

void target_eject_review(struct checker *c, uint32_t pool)
{
    for (int backup = 0; backup < 2 && c->pools[pool].ejected > 0 && !c->stopping; backup++) {
        struct ejection_census e = count_ejections(c, pool, backup);

        while (e.due != NULL &&
               e.ejected > outlier_allowed(e.members, e.due->conf.ejection.max_percent)) {
            end_ejection(e.due, "too many of the pool are ejected");
            e = count_ejections(c, pool, backup);
        }
        if (e.usable > 0)
            continue;
        list_for_each (node, &c->targets) {
            struct target *t = list_entry(node, struct target, all);
            if (t->slot->pool == pool && t->slot->backup == backup && t->outlier.ejected &&
                takes_traffic(t) && oper_is_up(target_state_oper(t)))
                end_ejection(t, "no other backend is left");
        }
    }
}

static void refuse_ejection(struct target *t, uint32_t failures, const char *why)
{
    uint64_t now = checker_now_ms(t->checker);

    if (t->refused_ms != 0 && now - t->refused_ms < REFUSED_GAP_MS)
        return;
    t->refused_ms = now;
    events_log_backend(EVENT_EJECTION, LOG_LEVEL_WARN, t->slot->pool_name, t->slot->name,
                       "backend %s/%s is not ejected although %u requests failed in a row: %s",
                       t->slot->pool_name, t->slot->name, failures, why);
}

void target_eject_consider(struct target *t)
{
    const struct outlier_conf *conf = &t->conf.ejection;
    const struct backend_slot *s = t->slot;
    uint32_t failures = atomic_load_explicit(&s->failed_in_a_row, memory_order_relaxed);

    if (conf->failures == 0 || failures < conf->failures) /* one has passed since */
        return;
    if (t->outlier.ejected || slot_use(s) != USE_YES)
        return;
    struct ejection_census e = count_ejections(t->checker, s->pool, s->backup);
    if (e.usable <= 1)
        refuse_ejection(t, failures, "no other backend of the pool is up");
    else if (e.ejected >= outlier_allowed(e.members, conf->max_percent))
        refuse_ejection(t, failures, "max_percent of the pool allows no more");
    else
        eject(t, failures);
}
