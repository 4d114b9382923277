/* checker.c - see checker.h.
 *
 * Each checked slot has a struct target, touched by the health thread alone. Other threads leave
 * notes in a mailbox per slot, which stays until checker_free(): atomics, and one embedded message,
 * so that a storm of reports costs at most one message a turn, and nothing is allocated.
 *
 * A target is off, idle (its timer runs), queued (LIMIT_CHECKS_IN_FLIGHT are running) or running;
 * enter() moves it. settle() looks whether it should be checked at all: after every change from
 * outside. apply() makes a verdict so: in the table, in the log, to the hooks.
 *
 * Ejection is beside all that: checks go on, and what they find out is known when it ends. */
#include "health/checker.h"

#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/base/log.h"
#include "lb/base/slab.h"
#include "lb/io/loop.h"

#include "health/agent.h"
#include "health/check.h"
#include "health/latency.h"
#include "health/slow_start.h"
#include "health/verdict.h"
#include "lb/obs/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Failures that workers report call for a check at once, but not for one after the other without
 * end where clients fail and checks pass (another port). */
#define URGENT_GAP_MS  100
/* After the last deadline of the first round, when more backends hang than are checked at once. */
#define READY_GRACE_MS 250
/* A backend that cannot be ejected goes on failing: so often the log says so. */
#define REFUSED_GAP_MS 10000
#define NO_RAMP        UINT64_MAX

enum target_state { TARGET_OFF, TARGET_IDLE, TARGET_QUEUED, TARGET_RUNNING };

struct target {
    struct checker *checker;
    struct backend_slot *slot;
    struct list all;   /* checker->targets */
    struct list queue; /* checker->queue */
    enum target_state state;
    struct checker_pool_conf conf;
    struct verdict verdict;
    struct backend_info info;
    struct check *check;  /* while running */
    struct addr checked;  /* the slot's address at the last look; len 0: none */
    uint64_t address_set; /* ... and the number of its setting */
    uint32_t moves;       /* of this check, to further addresses of the backend's name */
    struct timer next;    /* of the next check */
    struct timer ramp;    /* of the next step of a slow start */
    struct outlier outlier;
    struct timer back;                   /* of the end of an ejection */
    char ejection[LIMIT_CHECK_DESC + 1]; /* what people read meanwhile */
    uint64_t refused_ms; /* when an ejection was refused, as logged last; 0: never */
    uint64_t ramp_from_ms;
    uint64_t started_ms;    /* the last check */
    uint64_t changed_at_ms; /* the last transition */
    struct agent *agent;    /* NULL: none is configured */
    uint32_t agent_part;    /* of the weight, of agent_whole; exact: "weight:1" of 256 is not 0 */
    uint32_t agent_whole;
    bool agent_down; /* it says so: down, whatever checks say */
    bool agent_off;  /* disable agent */
    bool first;      /* its first result is awaited */
    bool disabled;   /* disable health */
    bool in_maint;   /* at the last look */
    bool counted_up; /* in its pool's count */
    bool recalled;   /* verdict and info are those of a former process */
    bool removed;    /* freed when its check has ended */
};

struct target_agent {
    struct agent agent; /* first: freed as one */
    struct target *target;
};

/* One per slot that was ever added. */
struct mailbox {
    struct checker *checker;
    struct backend_slot *slot;
    struct target *target; /* health thread only */
    struct loop_msg msg;
    _Atomic bool posted;
    _Atomic uint32_t failures;
    _Atomic int last_error;
    _Atomic bool why_busy; /* a lock that nobody waits for: who finds it taken does without */
    char last_why[CHECK_ERROR_MAX];
    _Atomic bool remove, touched, outlier;
    _Atomic uint32_t eject_after; /* failures in a row; 0: off */
    _Atomic uint8_t force;        /* enum checker_force + 1; 0: none */
    _Atomic uint8_t enable;       /* 1 off, 2 on; 0: none */
    _Atomic uint8_t agent_enable; /* likewise */
    _Atomic uint8_t agent_force;  /* 1 down, 2 up; 0: none */
    _Atomic(struct target *) incoming;
};

struct pool_count {
    uint32_t targets, up, ejected;
    bool changed; /* its hook is called at the end of the turn */
};

struct checker {
    struct loop *loop;
    struct epoch_domain *epochs;
    struct checker_hooks hooks;
    struct list targets, queue;
    uint32_t in_flight, n_first;
    bool begun, told_ready, stopping;
    struct slab checks;
    struct stream_env streams;
    struct timer ready_by;
    struct loop_task flush;
    struct loop_msg begin_msg;
    uint64_t unable_logged_ms;
    uint32_t n_changed;
    uint16_t changed[LIMIT_POOLS];
    struct pool_count pools[LIMIT_POOLS];
    _Atomic(struct mailbox *) boxes[LIMIT_BACKENDS];
};

static void enter(struct target *t, enum target_state next);
static void settle(struct target *t);
static void review_ejections(struct checker *c, uint32_t pool);

static uint64_t now_ms(const struct checker *c)
{
    return loop_now_ms(c->loop);
}

static bool has_checks(const struct target *t)
{
    return t->conf.health.type != CHECK_TYPE_NONE;
}

/* What checks say, and the agent. */
static enum oper_state oper_of(const struct target *t)
{
    enum oper_state is = verdict_oper(&t->verdict);

    return t->agent_down && is != OPER_GOING_UP ? OPER_DOWN : is;
}

/* ---- what others are told ---- */

static void on_flush(struct loop_task *task)
{
    struct checker *c = container_of(task, struct checker, flush);

    for (uint32_t i = 0; i < c->n_changed; i++)
        review_ejections(c, c->changed[i]);
    for (uint32_t i = 0; i < c->n_changed; i++) {
        c->pools[c->changed[i]].changed = false;
        c->hooks.pool_changed(c->hooks.ctx, c->changed[i]);
    }
    c->n_changed = 0;
    epoch_collect(c->epochs); /* views and addresses that were replaced */
}

/* Once a turn and pool, however many of its backends changed. */
static void pool_changed(struct target *t)
{
    struct checker *c = t->checker;
    struct pool_count *p = &c->pools[t->slot->pool];

    sl_assert(t->slot->pool < LIMIT_POOLS);
    if (!p->changed)
        c->changed[c->n_changed++] = (uint16_t)t->slot->pool;
    p->changed = true;
    loop_defer(c->loop, &c->flush);
}

static void publish(struct target *t)
{
    t->info.health = t->verdict.health;
    t->info.rise = t->verdict.rise;
    t->info.fall = t->verdict.fall;
    t->info.checking = t->state == TARGET_RUNNING;
    t->info.check_enabled = has_checks(t) && !t->disabled;
    t->info.agent_enabled = t->conf.agent != NULL && !t->agent_off;
    t->info.agent_down = t->agent_down;
    if (!t->outlier.ejected) {
        slot_set_info(t->slot, &t->info);
        return;
    }
    struct backend_info shown = t->info; /* checks may well pass: that is not what matters now */
    memcpy(shown.desc, t->ejection, sizeof(shown.desc));
    memcpy(shown.reason, t->ejection, sizeof(shown.reason));
    slot_set_info(t->slot, &shown);
}

static void tell_ready(struct checker *c)
{
    if (c->told_ready || !c->begun || c->n_first > 0)
        return;
    c->told_ready = true;
    timer_stop(&c->loop->timers, &c->ready_by);
    c->hooks.ready(c->hooks.ctx);
}

static void first_is_over(struct target *t)
{
    if (!t->first)
        return;
    t->first = false;
    t->checker->n_first--;
    tell_ready(t->checker);
}

static void on_ready_by(struct timer *timer)
{
    struct checker *c = container_of(timer, struct checker, ready_by);

    events_log(
        EVENT_HEALTH, LOG_LEVEL_WARN, NULL,
        "the first health checks take long: %u backends have no result yet, going on without",
        c->n_first);
    list_for_each (node, &c->targets)
        list_entry(node, struct target, all)->first = false;
    c->n_first = 0;
    tell_ready(c);
}

/* ---- weight ---- */

/* Its part of it; not nothing unless it says 0. */
static uint16_t agent_weight(const struct target *t, uint16_t weight)
{
    uint64_t w = (uint64_t)weight * t->agent_part / t->agent_whole,
             most = LIMIT_WEIGHT * WEIGHT_SCALE;

    if (w == 0 && weight > 0 && t->agent_part > 0)
        w = 1;
    return (uint16_t)(w < most ? w : most);
}

static void update_weight(struct target *t)
{
    struct checker *c = t->checker;
    uint16_t set = slot_word(t->slot).set_weight;
    uint16_t weight = (uint16_t)(set * WEIGHT_SCALE);

    timer_stop(&c->loop->timers, &t->ramp);
    if (t->ramp_from_ms != NO_RAMP) {
        uint64_t elapsed = now_ms(c) - t->ramp_from_ms;
        weight = slow_start_weight(set, elapsed, t->conf.slow_start_ms);
        if (elapsed >= t->conf.slow_start_ms)
            t->ramp_from_ms = NO_RAMP;
        else
            timer_start(&c->loop->timers, &t->ramp,
                        now_ms(c) + slow_start_step_ms(t->conf.slow_start_ms));
    }
    if (t->agent_part != t->agent_whole)
        weight = agent_weight(t, weight);
    if (slot_set_effective(t->slot, weight).weight != weight)
        pool_changed(t);
}

static void on_ramp(struct timer *timer)
{
    update_weight(container_of(timer, struct target, ramp));
}

static void ramp(struct target *t, bool on)
{
    t->ramp_from_ms = on && t->conf.slow_start_ms > 0 ? now_ms(t->checker) : NO_RAMP;
    update_weight(t);
}

/* ---- transitions ---- */

/* Whether it takes part, for "2 of 3 backends up". */
static void count_up(struct target *t, bool removed)
{
    struct pool_count *p = &t->checker->pools[t->slot->pool];
    bool up = !removed && !t->in_maint && !t->outlier.ejected && oper_is_up(oper_of(t));

    p->up += (uint32_t)up - (uint32_t)t->counted_up;
    t->counted_up = up;
}

/* "1h2m3s", "4.2s". */
static const char *format_age(uint64_t ms, char out[static 32])
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
                 format_age(now_ms(c) - t->changed_at_ms, age));
    events_log_backend(EVENT_HEALTH, up ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, s->pool_name, s->name,
                       "backend %s/%s is %s: %s (%s%s, %s; %u of %u backends up)", s->pool_name,
                       s->name, up ? "UP" : "DOWN", t->info.reason,
                       kind != NULL ? "check " : "no check", kind != NULL ? kind->name : "", former,
                       p->up, p->targets);
}

static void count_downtime(struct target *t, uint64_t wall_us)
{
    bool down = t->outlier.ejected || !oper_is_up(oper_of(t));

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

static void forget_failures(struct target *t)
{
    atomic_store_explicit(&t->slot->failed_in_a_row, 0, memory_order_relaxed);
    slot_forget_latency(t->slot);
}

static void transition(struct target *t, enum oper_state was, bool up, bool close)
{
    struct checker *c = t->checker;
    uint64_t wall_us = io_wall_us(c->loop->io);

    count_up(t, false);
    log_transition(t, was, up);
    count_downtime(t, wall_us);
    if (up) /* what it was like before is not what it is now */
        forget_failures(t);
    t->info.changed_at_us = wall_us;
    t->changed_at_ms = now_ms(c);
    /* What comes back is taken up slowly; what was there when we came is not. */
    ramp(t, up && was != OPER_UNKNOWN);
    pool_changed(t);
    publish(t);
    if (!up && close)
        c->hooks.backend_down(c->hooks.ctx, t->slot->index);
}

/* The verdict may have changed: makes it so. close: a backend that went down may lose its
 * connections. */
static void apply(struct target *t, const char *reason, bool close)
{
    enum oper_state is = oper_of(t), was = slot_word(t->slot).oper;

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
    publish(t);
}

/* ---- ejection ---- */

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
    forget_failures(t);
    count_up(t, false);
    count_downtime(t, io_wall_us(c->loop->io));
    t->info.changed_at_us = io_wall_us(c->loop->io);
    pool_changed(t);
}

static void eject(struct target *t, uint32_t failures)
{
    struct checker *c = t->checker;
    const struct backend_slot *s = t->slot;
    const struct pool_count *p = &c->pools[s->pool];
    char lasts[32];

    outlier_eject(&t->outlier, now_ms(c), t->conf.ejection.time_ms);
    format_age(t->outlier.until_ms - now_ms(c), lasts);
    snprintf(t->ejection, sizeof(t->ejection), "ejected for %s: %u requests failed in a row", lasts,
             failures);
    set_ejected(t, true);
    timer_start(&c->loop->timers, &t->back, t->outlier.until_ms);
    events_log_backend(EVENT_EJECTION, LOG_LEVEL_WARN, s->pool_name, s->name,
                       "backend %s/%s is %s (%u of %u backends up)", s->pool_name, s->name,
                       t->ejection, p->up, p->targets);
    publish(t);
}

static void end_ejection(struct target *t, const char *why)
{
    struct checker *c = t->checker;
    const struct backend_slot *s = t->slot;
    const struct pool_count *p = &c->pools[s->pool];
    uint64_t lasted_ms = now_ms(c) - t->outlier.since_ms;
    char age[32];

    outlier_return(&t->outlier, now_ms(c));
    timer_stop(&c->loop->timers, &t->back);
    set_ejected(t, false);
    events_log_backend(EVENT_EJECTION, LOG_LEVEL_INFO, s->pool_name, s->name,
                       "backend %s/%s is no longer ejected, after %s: %s (%u of %u backends up)",
                       s->pool_name, s->name, format_age(lasted_ms, age), why, p->up, p->targets);
    ramp(t, oper_is_up(oper_of(t)));
    publish(t);
}

static void on_back(struct timer *timer)
{
    end_ejection(container_of(timer, struct target, back), "its time is over");
}

/* What it has done does not count any more. */
static void pardon(struct target *t, const char *why)
{
    if (t->outlier.ejected)
        end_ejection(t, why);
    outlier_forget(&t->outlier);
    forget_failures(t);
}

/* Others of the pool may have gone meanwhile: nothing is left, or those that are ejected have come
 * to be too large a part of it. */
static void review_ejections(struct checker *c, uint32_t pool)
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
                takes_traffic(t) && oper_is_up(oper_of(t)))
                end_ejection(t, "no other backend is left");
        }
    }
}

static void refuse_ejection(struct target *t, uint32_t failures, const char *why)
{
    uint64_t now = now_ms(t->checker);

    if (t->refused_ms != 0 && now - t->refused_ms < REFUSED_GAP_MS)
        return;
    t->refused_ms = now;
    events_log_backend(EVENT_EJECTION, LOG_LEVEL_WARN, t->slot->pool_name, t->slot->name,
                       "backend %s/%s is not ejected although %u requests failed in a row: %s",
                       t->slot->pool_name, t->slot->name, failures, why);
}

static void take_outlier(struct target *t)
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
static bool wanted(const struct target *t)
{
    return has_checks(t) && t->checker->begun && !t->checker->stopping && !t->removed &&
           !t->disabled && !t->in_maint && t->checked.len > 0;
}

static void on_check_done(struct check *ck, const struct check_outcome *o);

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

    t->started_ms = now_ms(c);
    follow_address(t);
    t->check = slab_alloc(&c->checks);
    if (t->check == NULL) { /* no memory just now: the backend is not to blame */
        enter(t, TARGET_IDLE);
        return;
    }
    t->state = TARGET_RUNNING;
    c->in_flight++;
    publish(t);
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
static void enter(struct target *t, enum target_state next)
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
        enter(list_entry(c->queue.next, struct target, queue), TARGET_RUNNING);
}

static void check_soon(struct target *t)
{
    enter(t, TARGET_QUEUED);
    run_queue(t->checker);
}

static void on_next(struct timer *timer)
{
    check_soon(container_of(timer, struct target, next));
}

/* In maintenance too: it may be the one to say that it is over. */
static void settle_agent(struct target *t)
{
    bool on = t->checker->begun && !t->checker->stopping && !t->removed && !t->agent_off &&
              t->conf.agent != NULL && t->checked.len > 0;

    if (t->agent == NULL)
        return;
    if (on)
        agent_run(t->agent, &t->checked);
    else
        agent_halt(t->agent);
}

/* Off or on, as things are now. What is switched on is checked at once. */
static void settle(struct target *t)
{
    bool on = wanted(t);

    if (t->state == TARGET_RUNNING) {
        if (!on)
            check_cancel(t->check);
    } else if (!on) {
        enter(t, TARGET_OFF);
    } else if (t->state == TARGET_OFF) {
        check_soon(t);
    }
    settle_agent(t);
    publish(t);
}

/* ---- results ---- */

static void log_unable(struct target *t, const char *why)
{
    struct checker *c = t->checker;

    if (c->unable_logged_ms != 0 && now_ms(c) - c->unable_logged_ms < 1000)
        return;
    c->unable_logged_ms = now_ms(c);
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
    apply(t, o->desc, true);
}

static void target_free(struct target *t)
{
    sl_assert(t->agent == NULL || agent_idle(t->agent));
    free(t->agent);
    atomic_fetch_sub(&t->slot->refs, 1);
    free(t);
}

static void free_when_idle(struct target *t)
{
    if (t->state != TARGET_RUNNING && (t->agent == NULL || agent_idle(t->agent)))
        target_free(t);
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
        free_when_idle(t);
    } else {
        /* Between the decision and now, maintenance may have begun or the address changed. */
        if (o->end != CHECK_CANCELLED && wanted(t) && !c->stopping) {
            if (may_be_elsewhere(t, o)) {
                enter(t, TARGET_QUEUED);
            } else {
                judge(t, o);
                first_is_over(t);
                enter(t, TARGET_IDLE);
            }
        }
        slab_free(&c->checks, ck);
        settle(t);
    }
    run_queue(c);
}

/* ---- notes from other threads ---- */

static void remove_target(struct target *t)
{
    struct checker *c = t->checker;

    t->removed = true;
    first_is_over(t);
    settle(t);
    timer_stop(&c->loop->timers, &t->ramp);
    timer_stop(&c->loop->timers, &t->back);
    if (t->outlier.ejected) {
        slot_set_ejected(t->slot, false);
        c->pools[t->slot->pool].ejected--;
    }
    count_up(t, true);
    c->pools[t->slot->pool].targets--;
    list_remove(&t->all);
    pool_changed(t);
    if (t->agent != NULL)
        agent_halt(t->agent);
    free_when_idle(t);
}

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

/* The administrative state, the weight or the address may be another one. */
static void look_at_slot(struct target *t)
{
    bool was_maint = t->in_maint;
    bool moved = look_at_address(t);

    t->in_maint = (slot_word(t->slot).admin & ADMIN_MAINT_MASK) != 0;
    count_up(t, false);
    if (!t->in_maint && (was_maint || moved)) {
        pardon(t, was_maint ? "back from maintenance" : "has another address");
        if (has_checks(t)) {
            verdict_doubt(&t->verdict);
            apply(t, was_maint ? "back from maintenance" : "has another address", false);
        }
        if (t->state == TARGET_RUNNING)
            check_cancel(t->check); /* of the old address; settle() starts the next at once */
        else
            enter(t, TARGET_OFF);
        if (was_maint)
            ramp(t, oper_is_up(oper_of(t)));
    }
}

static void take_touch(struct target *t)
{
    look_at_slot(t);
    update_weight(t);
    pool_changed(t);
    settle(t);
    if (t->state == TARGET_OFF && (t->in_maint || t->checked.len == 0))
        first_is_over(t); /* there will be no result to wait for */
}

static void take_force(struct target *t, enum checker_force to)
{
    static const char *const reasons[] = {
        [FORCE_UP] = "set to up by command",
        [FORCE_STOPPING] = "set to stopping by command",
        [FORCE_DOWN] = "set to down by command",
    };

    verdict_force(&t->verdict, to == FORCE_UP);
    if (to == FORCE_UP)
        pardon(t, reasons[to]);
    apply(t, reasons[to], to == FORCE_DOWN);
}

static void take_failures(struct target *t, uint32_t n, const char *what)
{
    char why[LIMIT_CHECK_DESC + 1];

    if (!wanted(t))
        return; /* without checks nothing would ever bring it up again */
    snprintf(why, sizeof(why), "%u connection%s of clients failed: %.80s", n, n == 1 ? "" : "s",
             what);
    for (; n > 0 && t->verdict.health > t->verdict.rise; n--)
        verdict_suspect(&t->verdict);
    apply(t, why, false);
    if (t->state != TARGET_IDLE)
        return;
    uint64_t at = t->started_ms + URGENT_GAP_MS;
    if (at <= now_ms(t->checker))
        check_soon(t);
    else if (at < t->next.at_ms)
        timer_start(&t->checker->loop->timers, &t->next, at);
}

/* ---- agents ---- */

static void agent_says(struct target *t, const char *what, enum log_level level)
{
    events_log_backend(EVENT_HEALTH, level, t->slot->pool_name, t->slot->name,
                       "backend %s/%s: %s, its agent says (%s)", t->slot->pool_name, t->slot->name,
                       what, t->info.agent_desc);
}

/* As the stats socket's commands: it stays until somebody says otherwise. */
static void take_agent_admin(struct target *t, enum agent_admin admin)
{
    static const struct {
        uint8_t clear, set;
        const char *what;
    } states[] = {
        [AGENT_READY] = {ADMIN_FMAINT | ADMIN_FDRAIN, 0, "ready"},
        [AGENT_DRAIN] = {ADMIN_FMAINT, ADMIN_FDRAIN, "drain"},
        [AGENT_MAINT] = {ADMIN_FDRAIN, ADMIN_FMAINT, "maintenance"},
    };
    uint8_t was = slot_set_admin(t->slot, states[admin].clear, states[admin].set).admin;

    if (was == slot_word(t->slot).admin)
        return;
    agent_says(t, states[admin].what, LOG_LEVEL_INFO);
    take_touch(t);
}

static void set_agent_down(struct target *t, bool down, const char *why)
{
    if (t->agent_down == down)
        return;
    t->agent_down = down;
    if (!down) /* checks were not what took it down */
        forget_failures(t);
    apply(t, why, down);
}

static void take_agent_weight(struct target *t, const struct agent_reply *r)
{
    bool absolute = r->weight != AGENT_NOT_SAID;
    uint32_t part = absolute ? r->weight : r->percent;
    uint32_t whole = absolute ? t->slot->initial_weight : 100;
    char what[48];

    if (part == AGENT_NOT_SAID)
        return;
    if (whole == 0) /* of no weight all is nothing */
        part = whole = 100;
    if ((uint64_t)part * t->agent_whole == (uint64_t)whole * t->agent_part)
        return;
    if (absolute)
        snprintf(what, sizeof(what), "a weight of %u", r->weight);
    else
        snprintf(what, sizeof(what), "%u%% of its weight", part);
    t->agent_part = part;
    t->agent_whole = whole;
    agent_says(t, what, LOG_LEVEL_INFO);
    update_weight(t);
}

static void take_agent_reply(struct target *t, const struct agent_reply *r)
{
    char why[LIMIT_CHECK_DESC + 1];

    take_agent_weight(t, r);
    if (r->maxconn != AGENT_NOT_SAID &&
        atomic_exchange(&t->slot->max_connections, r->maxconn) != r->maxconn)
        pool_changed(t);
    if (r->admin != AGENT_ADMIN_NONE)
        take_agent_admin(t, r->admin);
    if (r->oper == AGENT_OPER_NONE)
        return;
    snprintf(why, sizeof(why), "%.*s", (int)sizeof(why) - 1, t->info.agent_desc);
    set_agent_down(t, r->oper != AGENT_UP, why);
}

/* That it cannot be asked says nothing: checks find out whether the backend can be reached. */
static void on_agent(struct agent *a, const struct check_outcome *o, const struct agent_reply *r)
{
    struct target *t = container_of(a, struct target_agent, agent)->target;

    if (o == NULL) {
        if (t->removed)
            free_when_idle(t);
        return;
    }
    bool could = t->info.agent_result == CHECK_L7OK, can = o->end == CHECK_PASSED;
    if (o->end != CHECK_UNABLE)
        t->info.agent_result = (uint8_t)o->result;
    t->info.agent_duration_us = o->duration_us;
    memcpy(t->info.agent_desc, o->desc, sizeof(t->info.agent_desc));
    if (could && !can)
        events_log_backend(EVENT_HEALTH, LOG_LEVEL_WARN, t->slot->pool_name, t->slot->name,
                           "backend %s/%s: its agent cannot be asked, what it said last stays: %s",
                           t->slot->pool_name, t->slot->name, o->desc);
    if (can)
        take_agent_reply(t, r);
    publish(t);
}

/* As the configuration is now. Without one nothing of what it said stays. */
static void make_agent(struct target *t)
{
    struct checker *c = t->checker;
    const struct agent_env env = {c->loop, &c->checks, &c->streams, &c->in_flight};

    if (t->conf.agent == NULL) {
        t->info.agent_result = CHECK_NONE;
        t->info.agent_desc[0] = '\0';
        t->agent_part = t->agent_whole = 100;
        set_agent_down(t, false, "no agent is configured any more");
        return;
    }
    if (t->agent != NULL) {
        agent_configure(t->agent, t->conf.agent);
        return;
    }
    struct target_agent *a = xcalloc(1, sizeof(*a));
    agent_init(&a->agent, &env, t->conf.agent);
    a->agent.fn = on_agent;
    a->target = t;
    t->agent = &a->agent;
    t->info.agent_result = CHECK_INI;
}

/* ---- targets ---- */

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

/* In the caller's thread: touches neither the loop nor the slot's state. */
static struct target *target_new(struct checker *c, struct backend_slot *s,
                                 const struct checker_pool_conf *conf)
{
    const struct health_conf *h = &conf->health;
    struct target *t = xcalloc(1, sizeof(*t));

    t->checker = c;
    t->slot = s;
    t->conf = *conf;
    t->ramp_from_ms = NO_RAMP;
    t->agent_part = t->agent_whole = 100;
    list_init(&t->all);
    list_init(&t->queue);
    timer_init(&t->next, on_next);
    timer_init(&t->ramp, on_ramp);
    timer_init(&t->back, on_back);
    verdict_init(&t->verdict, at_least_1(h->rise), at_least_1(h->fall), initial_oper(h));
    atomic_fetch_add(&s->refs, 1);
    return t;
}

/* The slot has a target already: a reload. What is known stays. */
static void take_conf(struct target *t, struct target *from)
{
    verdict_rescale(&t->verdict, from->verdict.rise, from->verdict.fall);
    if (t->conf.health.type != from->conf.health.type)
        t->verdict = from->verdict;
    t->conf = from->conf;
    target_free(from);
    if (t->state == TARGET_RUNNING)
        check_cancel(t->check); /* it asks the old question */
    else
        enter(t, TARGET_OFF);
    if (t->conf.ejection.failures == 0)
        pardon(t, "configured anew");
    make_agent(t);
    update_weight(t);
    apply(t, "configured anew", false);
    look_at_slot(t);
    settle(t);
}

static void begin_info(struct target *t)
{
    struct checker *c = t->checker;

    t->info.result = has_checks(t) ? CHECK_INI : CHECK_NONE;
    snprintf(t->info.reason, sizeof(t->info.reason), "%s",
             has_checks(t) ? "not checked yet" : "no check is configured");
    t->changed_at_ms = now_ms(c);
    t->info.changed_at_us = io_wall_us(c->loop->io);
    if (oper_of(t) == OPER_DOWN)
        t->info.down_since_us = t->info.changed_at_us;
}

/* Its info is there; when it changed, by our clock. Wall clocks may have been set meanwhile. */
static void recall(struct target *t)
{
    uint64_t wall_us = io_wall_us(t->checker->loop->io), now = now_ms(t->checker);
    uint64_t ago_ms =
        wall_us > t->info.changed_at_us ? (wall_us - t->info.changed_at_us) / 1000 : 0;

    t->changed_at_ms = now > ago_ms ? now - ago_ms : 0;
}

static void install(struct mailbox *box, struct target *t)
{
    struct checker *c = t->checker;

    if (c->stopping) {
        target_free(t);
        return;
    }
    if (box->target != NULL) {
        take_conf(box->target, t);
        return;
    }
    box->target = t;
    if (t->conf.agent != NULL)
        make_agent(t);
    list_push_back(&c->targets, &t->all);
    c->pools[t->slot->pool].targets++;
    if (t->recalled)
        recall(t);
    else
        begin_info(t);
    slot_set_oper(t->slot, oper_of(t));
    look_at_address(t);
    t->in_maint = (slot_word(t->slot).admin & ADMIN_MAINT_MASK) != 0;
    /* A name that is being looked up is waited for: its first answer comes as a touch. */
    t->first = !c->told_ready && has_checks(t) && (!t->in_maint || t->checked.len == 0);
    c->n_first += t->first;
    count_up(t, false);
    update_weight(t);
    pool_changed(t);
    settle(t);
}

/* ---- the mailbox ---- */

static void note_why(struct mailbox *box, const char *why)
{
    if (atomic_exchange(&box->why_busy, true))
        return;
    snprintf(box->last_why, sizeof(box->last_why), "%s", why);
    atomic_store(&box->why_busy, false);
}

/* What the last failure was, in words. */
static const char *last_failure(struct mailbox *box, char out[static CHECK_ERROR_MAX])
{
    int error = atomic_load_explicit(&box->last_error, memory_order_relaxed);

    out[0] = '\0';
    if (!atomic_exchange(&box->why_busy, true)) {
        memcpy(out, box->last_why, sizeof(box->last_why));
        atomic_store(&box->why_busy, false);
    }
    return out[0] != '\0' ? out : check_error_text(error, out);
}

static void take_agent_commands(struct mailbox *box, struct target *t)
{
    uint8_t enable = atomic_exchange(&box->agent_enable, 0);
    uint8_t force = atomic_exchange(&box->agent_force, 0);

    if (t->agent == NULL)
        return;
    if (enable != 0) {
        t->agent_off = enable == 1;
        if (t->agent_off)
            set_agent_down(t, false, "agent disabled by command");
        settle(t);
    }
    if (force != 0)
        set_agent_down(t, force == 1,
                       force == 1 ? "agent set to down by command" : "agent set to up by command");
}

static void on_mail(struct loop_msg *msg, void *ctx)
{
    struct mailbox *box = container_of(msg, struct mailbox, msg);

    (void)ctx;
    atomic_store(&box->posted, false); /* before the notes are read: later ones post anew */
    if (atomic_exchange(&box->remove, false) && box->target != NULL) {
        remove_target(box->target);
        box->target = NULL;
    }
    struct target *incoming = atomic_exchange(&box->incoming, NULL);
    if (incoming != NULL)
        install(box, incoming);

    uint8_t enable = atomic_exchange(&box->enable, 0), force = atomic_exchange(&box->force, 0);
    bool touched = atomic_exchange(&box->touched, false);
    bool outlier = atomic_exchange(&box->outlier, false);
    uint32_t failures = atomic_exchange(&box->failures, 0);
    struct target *t = box->target;
    if (t == NULL || box->checker->stopping)
        return;
    if (atomic_load(&box->agent_enable) != 0 || atomic_load(&box->agent_force) != 0)
        take_agent_commands(box, t);
    if (enable != 0) {
        t->disabled = enable == 1;
        settle(t);
        if (t->disabled)
            first_is_over(t); /* its result is not waited for */
    }
    if (force != 0)
        take_force(t, (enum checker_force)(force - 1));
    if (touched)
        take_touch(t);
    if (failures > 0) {
        char what[CHECK_ERROR_MAX];
        take_failures(t, failures, last_failure(box, what));
    }
    if (outlier)
        take_outlier(t);
}

static void post(struct mailbox *box)
{
    if (!atomic_exchange(&box->posted, true))
        loop_post(box->checker->loop, &box->msg);
}

static struct mailbox *box_of(struct checker *c, const struct backend_slot *s)
{
    return atomic_load_explicit(&c->boxes[s->index], memory_order_acquire);
}

void checker_report_failure(struct checker *c, struct backend_slot *s, int err, const char *why)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    atomic_store_explicit(&box->last_error, err, memory_order_relaxed);
    note_why(box, why);
    atomic_fetch_add(&box->failures, 1);
    post(box);
}

uint32_t checker_report_result(struct checker *c, struct backend_slot *s, bool ok)
{
    if (likely(ok)) {
        if (unlikely(atomic_load_explicit(&s->failed_in_a_row, memory_order_relaxed) != 0))
            atomic_store_explicit(&s->failed_in_a_row, 0, memory_order_relaxed);
        return 0;
    }
    uint32_t n = atomic_fetch_add_explicit(&s->failed_in_a_row, 1, memory_order_relaxed) + 1;
    struct mailbox *box = box_of(c, s);
    uint32_t after =
        box != NULL ? atomic_load_explicit(&box->eject_after, memory_order_relaxed) : 0;
    /* Not once only: what was refused may be possible when as many have failed again. */
    if (after > 0 && n % after == 0) {
        atomic_store(&box->outlier, true);
        post(box);
    }
    return n;
}

void checker_report_connect(struct checker *c, struct backend_slot *s, const struct addr *addr)
{
    char now[ADDR_TEXT_MAX], before[ADDR_TEXT_MAX];
    struct addr was;

    (void)c;
    if (slot_address_works(s, addr, &was))
        events_log_backend(
            EVENT_ADDRESS, LOG_LEVEL_INFO, s->pool_name, s->name,
            "backend %s/%s: %s is used: nobody answers at %s, which its name has too", s->pool_name,
            s->name, addr_format(addr, now), addr_format(&was, before));
}

void checker_touch(struct checker *c, struct backend_slot *s)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    atomic_store(&box->touched, true);
    post(box);
}

void checker_force(struct checker *c, struct backend_slot *s, enum checker_force to)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    atomic_store(&box->force, (uint8_t)(to + 1));
    post(box);
}

void checker_enable(struct checker *c, struct backend_slot *s, bool on)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    atomic_store(&box->enable, on ? 2 : 1);
    post(box);
}

void checker_enable_agent(struct checker *c, struct backend_slot *s, bool on)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    atomic_store(&box->agent_enable, on ? 2 : 1);
    post(box);
}

void checker_force_agent(struct checker *c, struct backend_slot *s, bool up)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    atomic_store(&box->agent_force, up ? 2 : 1);
    post(box);
}

/* Of a former life only what outlives it. */
static void take_known(struct target *t, const struct checker_known *known)
{
    const struct backend_info *from = known->info;
    bool up = oper_is_up(known->oper);

    if (!has_checks(t)) /* nothing would ever take it down, or bring it up again */
        return;
    t->recalled = true;
    verdict_force(&t->verdict, up);
    if (known->doubt)
        verdict_doubt(&t->verdict);
    t->info.changed_at_us = from->changed_at_us;
    if (!up)
        t->info.down_since_us =
            from->down_since_us != 0 ? from->down_since_us : from->changed_at_us;
    t->info.downtime_us = from->downtime_us;
    t->info.transitions_down = from->transitions_down;
    t->info.result = from->result;
    t->info.check_code = from->check_code;
    memcpy(t->info.desc, from->desc, sizeof(t->info.desc));
    memcpy(t->info.reason, from->reason, sizeof(t->info.reason));
}

static void add(struct checker *c, struct backend_slot *s, const struct checker_pool_conf *conf,
                const struct checker_known *known)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL) {
        box = xcalloc(1, sizeof(*box));
        box->checker = c;
        box->slot = s;
        box->msg.fn = on_mail;
        atomic_store_explicit(&c->boxes[s->index], box, memory_order_release);
    }
    atomic_store(&box->eject_after, conf->ejection.time_ms > 0 ? conf->ejection.failures : 0);
    struct target *t = target_new(c, s, conf);
    if (known != NULL)
        take_known(t, known);
    struct target *older = atomic_exchange(&box->incoming, t);
    if (older != NULL)
        target_free(older);
    post(box);
}

void checker_add(struct checker *c, struct backend_slot *s, const struct checker_pool_conf *conf)
{
    add(c, s, conf, NULL);
}

void checker_add_known(struct checker *c, struct backend_slot *s,
                       const struct checker_pool_conf *conf, const struct checker_known *known)
{
    sl_assert(known->oper == OPER_UP || known->oper == OPER_DOWN);
    add(c, s, conf, known);
}

void checker_remove(struct checker *c, struct backend_slot *s)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    struct target *incoming = atomic_exchange(&box->incoming, NULL);
    if (incoming != NULL)
        target_free(incoming);
    atomic_store(&box->remove, true);
    post(box);
}

/* ---- life ---- */

static void on_begin(struct loop_msg *msg, void *ctx)
{
    struct checker *c = container_of(msg, struct checker, begin_msg);
    uint32_t longest = 0;

    (void)ctx;
    if (c->begun || c->stopping)
        return;
    c->begun = true;
    list_for_each (node, &c->targets) {
        struct target *t = list_entry(node, struct target, all);
        if (t->first && t->conf.health.timeout_ms > longest)
            longest = t->conf.health.timeout_ms;
        settle(t);
    }
    timer_start(&c->loop->timers, &c->ready_by, now_ms(c) + longest + READY_GRACE_MS);
    tell_ready(c);
}

struct checker *checker_new(struct loop *loop, struct backend_table *table,
                            struct epoch_domain *epochs, const struct checker_hooks *hooks)
{
    struct checker *c = xcalloc(1, sizeof(*c));

    c->loop = loop;
    (void)table; /* slots are handed over one by one; kinds that look around will want it */
    c->epochs = epochs;
    c->hooks = *hooks;
    list_init(&c->targets);
    list_init(&c->queue);
    list_init(&c->flush.node);
    c->flush.fn = on_flush;
    c->begin_msg.fn = on_begin;
    timer_init(&c->ready_by, on_ready_by);
    stream_env_init(&c->streams, loop);
    slab_init(&c->checks, "checks", sizeof(struct check), LIMIT_CHECKS_IN_FLIGHT);
    return c;
}

void checker_begin(struct checker *c)
{
    loop_post(c->loop, &c->begin_msg);
}

void checker_stop(struct checker *c)
{
    if (c->stopping)
        return;
    c->stopping = true;
    timer_stop(&c->loop->timers, &c->ready_by);
    list_for_each (node, &c->targets) {
        struct target *t = list_entry(node, struct target, all);
        timer_stop(&c->loop->timers, &t->ramp);
        timer_stop(&c->loop->timers, &t->back);
        settle(t);
    }
}

bool checker_stopped(const struct checker *c)
{
    return c->stopping && c->in_flight == 0;
}

void checker_free(struct checker **cp)
{
    struct checker *c = *cp;
    struct list *node;

    if (c == NULL)
        return;
    sl_assert(checker_stopped(c));
    while ((node = list_pop_front(&c->targets)) != NULL)
        target_free(list_entry(node, struct target, all));
    for (uint32_t i = 0; i < LIMIT_BACKENDS; i++) {
        struct mailbox *box = atomic_load(&c->boxes[i]);
        struct target *incoming = box != NULL ? atomic_load(&box->incoming) : NULL;
        if (incoming != NULL)
            target_free(incoming);
        free(box);
    }
    list_remove(&c->flush.node);
    slab_fini(&c->checks);
    stream_env_fini(&c->streams);
    free(c);
    *cp = NULL;
}
