/* target_change.c - what happens to a target from outside: it comes and goes, is configured anew,
 * and is told of commands and of failed connections. */
#include "health/checker_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Failures that workers report call for a check at once, but not for one after the other without
 * end where clients fail and checks pass (another port). */
#define URGENT_GAP_MS 100

/* Takes the address as it is now; true when it is another one. An unresolved one is a change too.
 */
static bool look_at_address(struct target *t)
{
    struct addr now;
    uint64_t set = slot_address(t->slot, &now);
    bool same = now.len == t->checked.len && (now.len == 0 || addr_eq(&now, &t->checked));
    bool moved = !same && set != t->address_set;

    t->checked = now;
    t->address_set = set;
    return moved;
}

/* ---- it comes and goes ---- */

static void begin_result(struct target *t)
{
    t->info.result = target_has_checks(t) ? CHECK_INI : CHECK_NONE;
}

static void recall_checks(struct target *t, const struct checker_known *known)
{
    const struct backend_info *from = known->info;

    verdict_force(&t->verdict, oper_is_up(known->oper));
    if (known->doubt)
        verdict_doubt(&t->verdict);
    t->info.result = from->result;
    t->info.check_code = from->check_code;
    memcpy(t->info.desc, from->desc, sizeof(t->info.desc));
}

/* It stays until it is asked, as if it could not be. */
static void recall_agent(struct target *t, const struct checker_known *known)
{
    const struct backend_info *from = known->info;

    t->agent_off = known->agent_off;
    t->info.agent_down = from->agent_down && !known->agent_off;
    t->info.agent_part = from->agent_part;
    t->info.agent_whole = from->agent_whole;
    t->info.agent_result = from->agent_result;
    memcpy(t->info.agent_desc, from->agent_desc, sizeof(t->info.agent_desc));
}

void target_change_recall(struct target *t, const struct checker_known *known)
{
    const struct backend_info *from = known->info;

    if (t->conf.agent != NULL)
        recall_agent(t, known);
    if (target_has_checks(t) && known->oper != OPER_UNKNOWN)
        recall_checks(t, known);
    else if (!t->info.agent_down) /* nothing would ever take it down, or bring it up again */
        return;
    else
        begin_result(t);
    t->recalled = true;
    t->info.changed_at_us = from->changed_at_us;
    if (!oper_is_up(target_state_oper(t)))
        t->info.down_since_us =
            from->down_since_us != 0 ? from->down_since_us : from->changed_at_us;
    t->info.downtime_us = from->downtime_us;
    t->info.transitions_down = from->transitions_down;
    memcpy(t->info.reason, from->reason, sizeof(t->info.reason));
}

static void begin_info(struct target *t)
{
    struct checker *c = t->checker;

    begin_result(t);
    snprintf(t->info.reason, sizeof(t->info.reason), "%s",
             target_has_checks(t) ? "not checked yet" : "no check is configured");
    t->changed_at_ms = checker_now_ms(c);
    t->info.changed_at_us = io_wall_us(c->loop->io);
    if (target_state_oper(t) == OPER_DOWN)
        t->info.down_since_us = t->info.changed_at_us;
}

/* Its info is there; when it changed, by our clock. Wall clocks may have been set meanwhile. */
static void recall(struct target *t)
{
    uint64_t wall_us = io_wall_us(t->checker->loop->io), now = checker_now_ms(t->checker);
    uint64_t ago_ms =
        wall_us > t->info.changed_at_us ? (wall_us - t->info.changed_at_us) / 1000 : 0;

    t->changed_at_ms = now > ago_ms ? now - ago_ms : 0;
}

void target_change_begin(struct target *t)
{
    struct checker *c = t->checker;

    if (t->conf.agent != NULL)
        target_agent_make(t);
    list_push_back(&c->targets, &t->all);
    c->pools[t->slot->pool].targets++;
    if (t->recalled)
        recall(t);
    else
        begin_info(t);
    slot_set_oper(t->slot, target_state_oper(t));
    look_at_address(t);
    t->in_maint = (slot_word(t->slot).admin & ADMIN_MAINT_MASK) != 0;
    /* A name that is being looked up is waited for: its first answer comes as a touch. */
    t->first = !c->told_ready && target_has_checks(t) && (!t->in_maint || t->checked.len == 0);
    c->n_first += t->first;
    target_state_count_up(t, false);
    target_weight_update(t);
    checker_pool_changed(t);
    target_settle(t);
}

void target_change_remove(struct target *t)
{
    struct checker *c = t->checker;

    t->removed = true;
    checker_first_is_over(t);
    target_settle(t);
    timer_stop(&c->loop->timers, &t->ramp);
    timer_stop(&c->loop->timers, &t->back);
    if (t->outlier.ejected) {
        slot_set_ejected(t->slot, false);
        c->pools[t->slot->pool].ejected--;
    }
    target_state_count_up(t, true);
    c->pools[t->slot->pool].targets--;
    list_remove(&t->all);
    checker_pool_changed(t);
    if (t->agent != NULL)
        agent_halt(t->agent);
    target_free_when_idle(t);
}

/* ---- notes ---- */

/* The administrative state, the weight or the address may be another one. */
static void look_at_slot(struct target *t)
{
    bool was_maint = t->in_maint;
    bool moved = look_at_address(t);

    t->in_maint = (slot_word(t->slot).admin & ADMIN_MAINT_MASK) != 0;
    target_state_count_up(t, false);
    if (!t->in_maint && (was_maint || moved)) {
        target_eject_pardon(t, was_maint ? "back from maintenance" : "has another address");
        if (target_has_checks(t)) {
            verdict_doubt(&t->verdict);
            target_state_apply(t, was_maint ? "back from maintenance" : "has another address",
                               false);
        }
        if (t->state == TARGET_RUNNING)
            check_cancel(
                t->check); /* of the old address; target_settle() starts the next at once */
        else
            target_enter(t, TARGET_OFF);
        if (was_maint)
            target_weight_ramp(t, oper_is_up(target_state_oper(t)));
    }
}

void target_change_touch(struct target *t)
{
    look_at_slot(t);
    target_weight_update(t);
    checker_pool_changed(t);
    target_settle(t);
    if (t->state == TARGET_OFF && (t->in_maint || t->checked.len == 0))
        checker_first_is_over(t); /* there will be no result to wait for */
}

/* The slot has a target already: a reload. What is known stays. */
void target_change_conf(struct target *t, struct target *from)
{
    verdict_rescale(&t->verdict, from->verdict.rise, from->verdict.fall);
    if (t->conf.health.type != from->conf.health.type)
        t->verdict = from->verdict;
    t->conf = from->conf;
    free(t->agent_set);
    t->agent_set = from->agent_set;
    from->agent_set = NULL;
    target_free(from);
    if (t->state == TARGET_RUNNING)
        check_cancel(t->check); /* it asks the old question */
    else
        target_enter(t, TARGET_OFF);
    if (t->conf.ejection.failures == 0)
        target_eject_pardon(t, "configured anew");
    target_agent_make(t);
    target_weight_update(t);
    target_state_apply(t, "configured anew", false);
    look_at_slot(t);
    target_settle(t);
}

void target_change_force(struct target *t, enum checker_force to)
{
    static const char *const reasons[] = {
        [FORCE_UP] = "set to up by command",
        [FORCE_STOPPING] = "set to stopping by command",
        [FORCE_DOWN] = "set to down by command",
    };

    verdict_force(&t->verdict, to == FORCE_UP);
    if (to == FORCE_UP)
        target_eject_pardon(t, reasons[to]);
    target_state_apply(t, reasons[to], to == FORCE_DOWN);
}

void target_change_failures(struct target *t, uint32_t n, const char *what)
{
    char why[LIMIT_CHECK_DESC + 1];

    if (!target_wanted(t))
        return; /* without checks nothing would ever bring it up again */
    snprintf(why, sizeof(why), "%u connection%s of clients failed: %.80s", n, n == 1 ? "" : "s",
             what);
    for (; n > 0 && t->verdict.health > t->verdict.rise; n--)
        verdict_suspect(&t->verdict);
    target_state_apply(t, why, false);
    if (t->state != TARGET_IDLE)
        return;
    uint64_t at = t->started_ms + URGENT_GAP_MS;
    if (at <= checker_now_ms(t->checker))
        target_check_soon(t);
    else if (at < t->next.at_ms)
        timer_start(&t->checker->loop->timers, &t->next, at);
}
