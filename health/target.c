/* target.c - when a target is checked, and what its results are.
 *
 * A target is off, idle (its timer runs), queued (LIMIT_CHECKS_IN_FLIGHT are running) or running;
 * target_enter() moves it. target_settle() looks whether it should be checked at all: after every
 * change from outside. */
#include "health/checker_priv.h"

#include "lb/base/alloc.h"
#include "lb/obs/events.h"

#include <stdlib.h>
#include <string.h>

static void on_check_done(struct check *ck, const struct check_outcome *o);

/* ---- schedule ---- */

static uint64_t interval_ms(const struct target *t)
{
    const struct health_conf *h = &t->conf.health;
    uint32_t ms = h->interval_ms;

    switch (verdict_oper(&t->verdict)) {
    case OPER_DOWN:
        ms = h->interval_down_ms;
        break;
    case OPER_GOING_DOWN:
    case OPER_GOING_UP:
        ms = h->interval_changing_ms;
        break;
    case OPER_UNKNOWN:
    case OPER_UP:
        break;
    }
    return ms > 0 ? ms : h->interval_ms > 0 ? h->interval_ms : 1;
}

/* From the start of the last check. All first checks go out at once, so the second ones are spread
 * over an interval; from then on the jitter keeps those of many backends, and of many sluices, from
 * marching in step. */
static uint64_t next_check_ms(struct target *t)
{
    struct io *io = t->checker->loop->io;
    uint64_t delay = interval_ms(t), spread = delay * t->conf.health.jitter_percent / 100;

    if (t->info.checks <= 1)
        delay = 1 + io_random(io) % delay;
    else if (spread > 0)
        delay = delay - spread + io_random(io) % (2 * spread + 1);
    return t->started_ms + delay;
}

/* Whether it should be checked at all. */
bool target_wanted(const struct target *t)
{
    return target_has_checks(t) && t->checker->begun && !t->checker->stopping && !t->removed &&
           !t->disabled && !t->in_maint && t->checked.len > 0;
}

/* To the address in use, of those that the name has. Another name or address comes as a touch. */
static void follow_address(struct target *t)
{
    struct addr now;

    if (slot_address(t->slot, &now) == t->address_set)
        t->checked = now;
}

static void start_check(struct target *t)
{
    struct checker *c = t->checker;

    t->started_ms = checker_now_ms(c);
    follow_address(t);
    t->check = slab_alloc(&c->checks);
    if (t->check == NULL) { /* no memory just now: the backend is not to blame */
        target_enter(t, TARGET_IDLE);
        return;
    }
    t->state = TARGET_RUNNING;
    c->in_flight++;
    target_state_publish(t);
    check_start(t->check, &c->streams, &t->conf, &t->checked, on_check_done, t);
}

static void leave(struct target *t)
{
    switch (t->state) {
    case TARGET_IDLE:
        timer_stop(&t->checker->loop->timers, &t->next);
        break;
    case TARGET_QUEUED:
        list_remove(&t->queue);
        break;
    case TARGET_OFF:
    case TARGET_RUNNING:
        break;
    }
}

/* A running target leaves its state in on_check_done() only. */
void target_enter(struct target *t, enum target_state next)
{
    struct checker *c = t->checker;

    leave(t);
    t->state = next;
    switch (next) {
    case TARGET_OFF:
        return;
    case TARGET_IDLE:
        timer_start(&c->loop->timers, &t->next, next_check_ms(t));
        return;
    case TARGET_QUEUED:
        list_push_back(&c->queue, &t->queue);
        return;
    case TARGET_RUNNING:
        start_check(t);
        return;
    }
}

static void run_queue(struct checker *c)
{
    while (c->in_flight < LIMIT_CHECKS_IN_FLIGHT && !list_empty(&c->queue))
        target_enter(list_entry(c->queue.next, struct target, queue), TARGET_RUNNING);
}

void target_check_soon(struct target *t)
{
    target_enter(t, TARGET_QUEUED);
    run_queue(t->checker);
}

static void on_next(struct timer *timer)
{
    target_check_soon(container_of(timer, struct target, next));
}

void target_settle(struct target *t)
{
    bool on = target_wanted(t);

    if (t->state == TARGET_RUNNING) {
        if (!on)
            check_cancel(t->check);
    } else if (!on) {
        target_enter(t, TARGET_OFF);
    } else if (t->state == TARGET_OFF) {
        target_check_soon(t);
    }
    target_agent_settle(t);
    target_state_publish(t);
}

/* ---- results ---- */

static void log_unable(struct target *t, const char *why)
{
    struct checker *c = t->checker;

    if (c->unable_logged_ms != 0 && checker_now_ms(c) - c->unable_logged_ms < 1000)
        return;
    c->unable_logged_ms = checker_now_ms(c);
    events_log_backend(EVENT_HEALTH, LOG_LEVEL_WARN, t->slot->pool_name, t->slot->name,
                       "backend %s/%s cannot be checked, what was known of it stays: %s",
                       t->slot->pool_name, t->slot->name, why);
}

/* Nobody is found there; its name may have an address that was not tried yet by this check. */
static bool may_be_elsewhere(struct target *t, const struct check_outcome *o)
{
    bool nobody = o->end == CHECK_FAILED && (o->result == CHECK_L4CON || o->result == CHECK_L4TOUT);

    if (t->conf.health.address.len == 0) {
        if (nobody && slot_address_failed(t->slot, &t->checked) > t->moves + 1) {
            t->moves++;
            return true;
        }
        if (o->end == CHECK_PASSED || (o->end == CHECK_FAILED && !nobody))
            checker_report_connect(t->checker, t->slot, &t->checked);
    }
    t->moves = 0;
    return false;
}

static void judge(struct target *t, const struct check_outcome *o)
{
    t->info.result = (uint8_t)o->result;
    t->info.check_code = o->code;
    t->info.check_duration_us = o->duration_us;
    memcpy(t->info.desc, o->desc, sizeof(t->info.desc));
    t->info.checks++;
    switch (o->end) {
    case CHECK_UNABLE:
        log_unable(t, o->desc);
        break;
    case CHECK_PASSED:
        if (o->definite)
            verdict_force(&t->verdict, true);
        else
            verdict_pass(&t->verdict);
        break;
    case CHECK_FAILED:
        if (t->verdict.health > 0 || !t->verdict.known) /* as HAProxy counts: not while down */
            t->info.check_fails++;
        if (o->definite)
            verdict_force(&t->verdict, false);
        else
            verdict_fail(&t->verdict);
        break;
    case CHECK_CANCELLED:
        break;
    }
    target_state_apply(t, o->desc, true);
}

static void on_check_done(struct check *ck, const struct check_outcome *o)
{
    struct target *t = ck->owner;
    struct checker *c = t->checker;

    sl_assert(t->state == TARGET_RUNNING && t->check == ck);
    t->state = TARGET_OFF;
    t->check = NULL;
    c->in_flight--;
    if (t->removed) {
        slab_free(&c->checks, ck);
        target_free_when_idle(t);
    } else {
        /* Between the decision and now, maintenance may have begun or the address changed. */
        if (o->end != CHECK_CANCELLED && target_wanted(t) && !c->stopping) {
            if (may_be_elsewhere(t, o)) {
                target_enter(t, TARGET_QUEUED);
            } else {
                judge(t, o);
                checker_first_is_over(t);
                target_enter(t, TARGET_IDLE);
            }
        }
        slab_free(&c->checks, ck);
        target_settle(t);
    }
    run_queue(c);
}

/* ---- life ---- */

static enum oper_state initial_oper(const struct health_conf *h)
{
    if (h->initial == INITIAL_DOWN)
        return OPER_DOWN;
    return h->initial == INITIAL_UP || h->type == CHECK_TYPE_NONE ? OPER_UP : OPER_UNKNOWN;
}

static uint16_t at_least_1(uint32_t n)
{
    return (uint16_t)(n == 0 ? 1 : n < UINT16_MAX / 2 ? n : UINT16_MAX / 2);
}

struct target *target_new(struct checker *c, struct backend_slot *s,
                          const struct checker_pool_conf *conf)
{
    const struct health_conf *h = &conf->health;
    struct target *t = xcalloc(1, sizeof(*t));

    t->checker = c;
    t->slot = s;
    t->conf = *conf;
    t->conf.agent_set = NULL;
    if (conf->agent_set != NULL) {
        t->agent_set = xmalloc(sizeof(*t->agent_set));
        *t->agent_set = *conf->agent_set;
    }
    list_init(&t->all);
    list_init(&t->queue);
    timer_init(&t->next, on_next);
    target_weight_init(t);
    target_eject_init(t);
    verdict_init(&t->verdict, at_least_1(h->rise), at_least_1(h->fall), initial_oper(h));
    atomic_fetch_add(&s->refs, 1);
    return t;
}

void target_free(struct target *t)
{
    sl_assert(t->agent == NULL || agent_idle(t->agent));
    free(t->agent);
    free(t->agent_set);
    atomic_fetch_sub(&t->slot->refs, 1);
    free(t);
}

void target_free_when_idle(struct target *t)
{
    if (t->state != TARGET_RUNNING && (t->agent == NULL || agent_idle(t->agent)))
        target_free(t);
}
