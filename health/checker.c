/* checker.c - see checker.h.
 *
 * A struct target per slot holds what the health thread knows: the verdict's counter, the running
 * check, the timers. Other threads reach it through an array by slot index and leave notes in its
 * atomics; one embedded message at most is under way per target, so a storm of reports costs one
 * message a turn. All decisions are made on the health thread, in note_change(). */
#include "health/checker.h"

#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/io/loop.h"

#include "health/check.h"
#include "health/slow_start.h"
#include "health/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Orders from other threads, as bits: the last of each kind counts. */
enum order {
    ORDER_TOUCH = 1,
    ORDER_FORCE_UP = 2,
    ORDER_FORCE_STOPPING = 4,
    ORDER_FORCE_DOWN = 8,
    ORDER_ENABLE = 16,
    ORDER_DISABLE = 32,
    ORDER_REMOVE = 64,
};

struct target {
    struct list node;    /* checker->targets */
    struct list waiting; /* checker->waiting, while its check waits for a free place */
    struct checker *checker;
    struct backend_slot *slot;
    struct checker_pool_conf conf;
    struct check check;
    struct verdict verdict;
    struct backend_info info;
    struct timer next;     /* the next check */
    struct timer ramp;     /* the next step of a slow start */
    uint64_t ramp_from_ms; /* 0: no slow start under way */
    bool first_pending;    /* its first verdict is awaited */
    bool enabled;          /* enable|disable health */
    bool removed;
    /* Written by any thread. */
    struct loop_msg msg;
    _Atomic bool posted;
    _Atomic uint32_t orders, failures;
    _Atomic int last_error;
};

struct checker {
    struct loop *loop;
    struct backend_table *table;
    struct epoch_domain *epochs;
    struct checker_hooks hooks;
    struct list targets, waiting;
    uint32_t in_flight, first_pending;
    bool begun, told_ready, stopping;
    struct loop_task rebuild; /* pools that changed in this turn */
    uint64_t *changed;        /* a bit per pool */
    uint32_t changed_words;
    _Atomic(struct target *) by_slot[LIMIT_BACKENDS];
};

static void on_message(struct loop_msg *msg, void *ctx);
static void on_next(struct timer *t);
static void on_ramp(struct timer *t);
static void on_check_done(struct check *check, const struct check_outcome *o);
static void check_now(struct target *t);

static uint64_t wall_us(const struct checker *c)
{
    return io_wall_us(c->loop->io);
}

static bool has_checks(const struct target *t)
{
    return t->conf.health.type != CHECK_TYPE_NONE;
}

static bool paused(const struct target *t)
{
    return !t->enabled || (slot_word(t->slot).admin & ADMIN_MAINT_MASK) ||
           atomic_load_explicit(&t->slot->address, memory_order_relaxed) == NULL;
}

/* ---- publishing ---- */

static void on_rebuild(struct loop_task *task)
{
    struct checker *c = container_of(task, struct checker, rebuild);

    for (uint32_t w = 0; w < c->changed_words; w++) {
        uint64_t bits = c->changed[w];
        c->changed[w] = 0;
        for (; bits != 0; bits &= bits - 1)
            c->hooks.pool_changed(c->hooks.ctx, w * 64 + (uint32_t)__builtin_ctzll(bits));
    }
}

/* Once a turn and pool, however many of its backends changed. */
static void pool_changed(struct checker *c, uint32_t pool)
{
    uint32_t word = pool / 64;

    if (word >= c->changed_words) {
        c->changed = xrealloc(c->changed, (word + 1) * sizeof(uint64_t));
        memset(c->changed + c->changed_words, 0, (word + 1 - c->changed_words) * sizeof(uint64_t));
        c->changed_words = word + 1;
    }
    c->changed[word] |= 1ULL << (pool % 64);
    loop_defer(c->loop, &c->rebuild);
}

static void publish_info(struct target *t)
{
    t->info.health = t->verdict.health;
    t->info.rise = t->verdict.rise;
    t->info.fall = t->verdict.fall;
    t->info.checking = t->check.running;
    t->info.check_enabled = has_checks(t) && t->enabled;
    slot_set_info(t->slot, &t->info);
}

static void tell_ready(struct checker *c)
{
    if (!c->begun || c->told_ready || c->first_pending > 0)
        return;
    c->told_ready = true;
    c->hooks.ready(c->hooks.ctx);
}

static void first_is_over(struct target *t)
{
    if (!t->first_pending)
        return;
    t->first_pending = false;
    t->checker->first_pending--;
    tell_ready(t->checker);
}

/* ---- weight and slow start ---- */

static void update_weight(struct target *t)
{
    struct checker *c = t->checker;
    uint16_t set = slot_word(t->slot).set_weight;
    uint16_t weight = (uint16_t)(set * WEIGHT_SCALE);

    if (t->ramp_from_ms != 0) {
        uint64_t elapsed = loop_now_ms(c->loop) - t->ramp_from_ms;
        weight = slow_start_weight(set, elapsed, t->conf.slow_start_ms);
        if (elapsed >= t->conf.slow_start_ms)
            t->ramp_from_ms = 0;
        else
            timer_start(&c->loop->timers, &t->ramp,
                        loop_now_ms(c->loop) + slow_start_step_ms(t->conf.slow_start_ms));
    }
    if (slot_set_effective(t->slot, weight).weight != weight)
        pool_changed(c, t->slot->pool);
}

static void on_ramp(struct timer *timer)
{
    update_weight(container_of(timer, struct target, ramp));
}

/* ---- transitions ---- */

static const char *format_age(uint64_t us, char *out, size_t size)
{
    uint64_t s = us / 1000000;

    if (s < 60)
        snprintf(out, size, "%u.%us", (unsigned)s, (unsigned)(us / 100000 % 10));
    else if (s < 3600)
        snprintf(out, size, "%um%02us", (unsigned)(s / 60), (unsigned)(s % 60));
    else if (s < 86400)
        snprintf(out, size, "%uh%02um", (unsigned)(s / 3600), (unsigned)(s / 60 % 60));
    else
        snprintf(out, size, "%ud%02uh", (unsigned)(s / 86400), (unsigned)(s / 3600 % 24));
    return out;
}

static void count_pool(const struct target *of, uint32_t *out_up, uint32_t *out_all)
{
    *out_up = *out_all = 0;
    list_for_each (node, &of->checker->targets) {
        const struct target *t = list_entry(node, struct target, node);
        if (t->slot->pool != of->slot->pool)
            continue;
        (*out_all)++;
        *out_up += oper_is_up(slot_word(t->slot).oper);
    }
}

static const char *plain_state(enum oper_state s)
{
    return s == OPER_UNKNOWN ? "unknown" : oper_is_up(s) ? "UP" : "DOWN";
}

/* Between unknown, up and down; not the counting within them. */
static bool crosses(enum oper_state was, enum oper_state is)
{
    return was != is &&
           (was == OPER_UNKNOWN || is == OPER_UNKNOWN || oper_is_up(was) != oper_is_up(is));
}

static void log_transition(const struct target *t, enum oper_state was, enum oper_state is)
{
    const struct backend_slot *s = t->slot;
    const struct check_kind *kind = check_kind_of(t->conf.health.type);
    uint32_t up, all;
    char age[32];

    if (!crosses(was, is)) {
        log_debug("backend %s/%s: %s (%u of %u)", s->pool_name, s->name, t->info.reason,
                  t->verdict.health, t->verdict.rise + t->verdict.fall - 1);
        return;
    }
    count_pool(t, &up, &all);
    format_age(wall_us(t->checker) - t->info.changed_at_us, age, sizeof(age));
    log_msg(oper_is_up(is) ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
            "backend %s/%s is %s: %s (%s check, was %s for %s; %u of %u backends up)", s->pool_name,
            s->name, plain_state(is), t->info.reason, kind ? kind->name : "no", plain_state(was),
            age, up, all);
}

static void count_downtime(struct target *t, bool down, uint64_t now)
{
    if (down) {
        t->info.down_since_us = now;
        t->info.transitions_down++;
    } else if (t->info.down_since_us != 0) {
        t->info.downtime_us += now - t->info.down_since_us;
        t->info.down_since_us = 0;
    }
}

/* The verdict may have changed: makes it so in the table, and tells those who need to know. reason:
 * what was seen. */
static void note_change(struct target *t, const char *reason)
{
    struct checker *c = t->checker;
    enum oper_state is = verdict_oper(&t->verdict), was = slot_word(t->slot).oper;
    bool changed = crosses(was, is);

    if (is != was) {
        slot_set_oper(t->slot, is);
        snprintf(t->info.reason, sizeof(t->info.reason), "%s", reason);
        log_transition(t, was, is);
    }
    if (changed) {
        uint64_t now = wall_us(c);
        if (was != OPER_UNKNOWN || !oper_is_up(is))
            count_downtime(t, !oper_is_up(is), now);
        t->info.changed_at_us = now;
        /* A backend that comes back ramps up; one that was just started with us does not. */
        t->ramp_from_ms = oper_is_up(is) && was != OPER_UNKNOWN && t->conf.slow_start_ms > 0
                              ? loop_now_ms(c->loop)
                              : 0;
        update_weight(t);
        pool_changed(c, t->slot->pool);
    }
    publish_info(t);
    if (changed && !oper_is_up(is))
        c->hooks.backend_down(c->hooks.ctx, t->slot->index);
    if (t->verdict.known)
        first_is_over(t);
}

/* ---- schedule ---- */

static uint32_t interval_ms(const struct target *t)
{
    const struct health_conf *h = &t->conf.health;

    switch (verdict_oper(&t->verdict)) {
    case OPER_DOWN:
        return h->interval_down_ms;
    case OPER_GOING_DOWN:
    case OPER_GOING_UP:
        return h->interval_changing_ms;
    case OPER_UNKNOWN:
    case OPER_UP:
        break;
    }
    return h->interval_ms;
}

/* Jitter both ways, so that the checks of many backends, and of many sluices, do not march in step.
 */
static void plan_next(struct target *t)
{
    struct checker *c = t->checker;
    uint64_t delay = interval_ms(t), spread = delay * t->conf.health.jitter_percent / 100;

    if (spread > 0)
        delay = delay - spread + io_random(c->loop->io) % (2 * spread + 1);
    timer_start(&c->loop->timers, &t->next, loop_now_ms(c->loop) + (delay > 0 ? delay : 1));
}

static void run_check(struct target *t)
{
    struct checker *c = t->checker;
    /* Addresses are only replaced by other threads: read in this thread's epoch. */
    struct addr *a = atomic_load_explicit(&t->slot->address, memory_order_acquire);

    c->in_flight++;
    t->info.checks++;
    check_start(&t->check, a);
    publish_info(t);
}

static void check_now(struct target *t)
{
    struct checker *c = t->checker;

    if (c->stopping || t->removed || t->check.running || list_linked(&t->waiting) || !has_checks(t))
        return;
    timer_stop(&c->loop->timers, &t->next);
    if (paused(t)) {
        first_is_over(t);
        plan_next(t);
    } else if (c->in_flight >= LIMIT_CHECKS_IN_FLIGHT) {
        list_push_back(&c->waiting, &t->waiting);
    } else {
        run_check(t);
    }
}

static void on_next(struct timer *timer)
{
    check_now(container_of(timer, struct target, next));
}

static void place_free(struct checker *c)
{
    struct list *node;

    c->in_flight--;
    while (c->in_flight < LIMIT_CHECKS_IN_FLIGHT && (node = list_pop_front(&c->waiting)) != NULL)
        check_now(list_entry(node, struct target, waiting));
}

static void on_check_done(struct check *check, const struct check_outcome *o)
{
    struct target *t = container_of(check, struct target, check);

    t->info.result = (uint8_t)o->result;
    t->info.check_code = o->code;
    t->info.check_duration_us = o->duration_us;
    snprintf(t->info.desc, sizeof(t->info.desc), "%s", o->desc);
    if (paused(t)) { /* maintenance began meanwhile: no verdict from this one */
        publish_info(t);
        first_is_over(t);
    } else if (o->passed) {
        verdict_pass(&t->verdict);
        note_change(t, o->desc);
    } else {
        t->info.check_fails++;
        verdict_fail(&t->verdict);
        note_change(t, o->desc);
    }
    if (!t->checker->stopping)
        plan_next(t);
    place_free(t->checker);
}

/* ---- notes from other threads ---- */

static void take_failures(struct target *t)
{
    uint32_t n = atomic_exchange(&t->failures, 0);
    char why[96];

    if (n == 0 || !has_checks(t) || paused(t))
        return;
    snprintf(why, sizeof(why), "%u connection%s from clients failed: %s", n, n == 1 ? "" : "s",
             strerror(atomic_load_explicit(&t->last_error, memory_order_relaxed)));
    /* All but the last failure: that one is the check's, which follows at once. */
    for (; n > 0 && t->verdict.health > t->verdict.rise; n--)
        verdict_fail(&t->verdict);
    note_change(t, why);
    check_now(t);
}

static void remove_target(struct target *t)
{
    struct checker *c = t->checker;

    if (t->removed)
        return;
    t->removed = true;
    atomic_store(&c->by_slot[t->slot->index], NULL);
    timer_stop(&c->loop->timers, &t->next);
    timer_stop(&c->loop->timers, &t->ramp);
    list_remove(&t->waiting);
    if (t->check.running) {
        check_cancel(&t->check);
        c->in_flight--;
    }
    first_is_over(t);
}

static void take_forces(struct target *t, uint32_t orders)
{
    if (orders & ORDER_FORCE_UP)
        verdict_force_up(&t->verdict);
    if (orders & ORDER_FORCE_STOPPING)
        verdict_force_stopping(&t->verdict);
    if (orders & ORDER_FORCE_DOWN)
        verdict_force_down(&t->verdict);
    note_change(t, "set over the stats socket");
}

static void take_orders(struct target *t)
{
    uint32_t orders = atomic_exchange(&t->orders, 0);
    struct checker *c = t->checker;

    if (orders & ORDER_REMOVE) {
        remove_target(t);
        pool_changed(c, t->slot->pool);
        return;
    }
    if (orders & (ORDER_ENABLE | ORDER_DISABLE))
        t->enabled = !(orders & ORDER_DISABLE);
    if (orders & (ORDER_FORCE_UP | ORDER_FORCE_STOPPING | ORDER_FORCE_DOWN))
        take_forces(t, orders);
    if (orders & ORDER_TOUCH) {
        update_weight(t);
        pool_changed(c, t->slot->pool);
    }
    if (orders & (ORDER_TOUCH | ORDER_ENABLE))
        check_now(t); /* out of maintenance, at a new address: what is true there? */
    publish_info(t);
}

static void on_message(struct loop_msg *msg, void *ctx)
{
    struct target *t = container_of(msg, struct target, msg);

    (void)ctx;
    atomic_store(&t->posted, false); /* before the notes are read: later ones post anew */
    if (t->removed)
        return;
    take_orders(t);
    take_failures(t);
}

static void leave_note(struct checker *c, struct backend_slot *s, uint32_t order, int err)
{
    struct target *t = atomic_load_explicit(&c->by_slot[s->index], memory_order_acquire);

    if (t == NULL)
        return;
    if (order != 0)
        atomic_fetch_or(&t->orders, order);
    if (err != 0) {
        atomic_store_explicit(&t->last_error, err, memory_order_relaxed);
        atomic_fetch_add(&t->failures, 1);
    }
    if (!atomic_exchange(&t->posted, true))
        loop_post(c->loop, &t->msg);
}

void checker_report_failure(struct checker *c, struct backend_slot *s, int err)
{
    leave_note(c, s, 0, err);
}

void checker_touch(struct checker *c, struct backend_slot *s)
{
    leave_note(c, s, ORDER_TOUCH, 0);
}

void checker_force(struct checker *c, struct backend_slot *s, enum checker_force to)
{
    leave_note(c, s,
               to == FORCE_UP     ? ORDER_FORCE_UP
               : to == FORCE_DOWN ? ORDER_FORCE_DOWN
                                  : ORDER_FORCE_STOPPING,
               0);
}

void checker_enable(struct checker *c, struct backend_slot *s, bool on)
{
    leave_note(c, s, on ? ORDER_ENABLE : ORDER_DISABLE, 0);
}

void checker_remove(struct checker *c, struct backend_slot *s)
{
    leave_note(c, s, ORDER_REMOVE, 0);
}

/* ---- life ---- */

struct checker *checker_new(struct loop *loop, struct backend_table *table,
                            struct epoch_domain *epochs, const struct checker_hooks *hooks)
{
    struct checker *c = xcalloc(1, sizeof(*c));

    c->loop = loop;
    c->table = table;
    c->epochs = epochs;
    c->hooks = *hooks;
    list_init(&c->targets);
    list_init(&c->waiting);
    list_init(&c->rebuild.node);
    c->rebuild.fn = on_rebuild;
    return c;
}

static enum oper_state initial_oper(const struct health_conf *h)
{
    if (h->type == CHECK_TYPE_NONE || h->initial == INITIAL_UP)
        return OPER_UP;
    return h->initial == INITIAL_DOWN ? OPER_DOWN : OPER_UNKNOWN;
}

static struct target *target_new(struct checker *c, struct backend_slot *s,
                                 const struct checker_pool_conf *conf)
{
    struct target *t = xcalloc(1, sizeof(*t));
    const struct health_conf *h = &conf->health;

    t->checker = c;
    t->slot = s;
    t->conf = *conf;
    t->enabled = true;
    t->msg.fn = on_message;
    list_init(&t->node);
    list_init(&t->waiting);
    timer_init(&t->next, on_next);
    timer_init(&t->ramp, on_ramp);
    check_init(&t->check, c->loop, &t->conf, on_check_done);
    verdict_init(&t->verdict, (uint16_t)(h->rise ? h->rise : 1), (uint16_t)(h->fall ? h->fall : 1),
                 initial_oper(h));
    slot_set_oper(s, verdict_oper(&t->verdict));
    t->info.changed_at_us = wall_us(c);
    t->info.result = has_checks(t) ? CHECK_INI : CHECK_NONE;
    snprintf(t->info.reason, sizeof(t->info.reason), "%s",
             has_checks(t) ? "not checked yet" : "no check is configured");
    publish_info(t);
    return t;
}

/* From before or during the run: what is new comes by message, so that only the health thread
 * touches targets. */
struct add_msg {
    struct loop_msg msg;
    struct checker *checker;
    struct backend_slot *slot; /* NULL: begin */
    struct checker_pool_conf conf;
};

static void add(struct checker *c, struct backend_slot *s, const struct checker_pool_conf *conf)
{
    struct target *t = target_new(c, s, conf);

    list_push_back(&c->targets, &t->node);
    t->first_pending = has_checks(t);
    c->first_pending += t->first_pending;
    atomic_store_explicit(&c->by_slot[s->index], t, memory_order_release);
    pool_changed(c, s->pool);
    if (c->begun)
        check_now(t);
}

static void begin(struct checker *c)
{
    c->begun = true;
    list_for_each (node, &c->targets)
        check_now(list_entry(node, struct target, node));
    tell_ready(c);
}

static void on_add(struct loop_msg *msg, void *ctx)
{
    struct add_msg *m = container_of(msg, struct add_msg, msg);

    (void)ctx;
    if (m->slot != NULL)
        add(m->checker, m->slot, &m->conf);
    else
        begin(m->checker);
    free(m);
}

static void post_add(struct checker *c, struct backend_slot *s,
                     const struct checker_pool_conf *conf)
{
    struct add_msg *m = xcalloc(1, sizeof(*m));

    m->msg.fn = on_add;
    m->checker = c;
    m->slot = s;
    if (conf != NULL)
        m->conf = *conf;
    loop_post(c->loop, &m->msg);
}

void checker_add(struct checker *c, struct backend_slot *s, const struct checker_pool_conf *conf)
{
    post_add(c, s, conf);
}

void checker_begin(struct checker *c)
{
    post_add(c, NULL, NULL);
}

void checker_stop(struct checker *c)
{
    if (c->stopping)
        return;
    c->stopping = true;
    list_for_each (node, &c->targets)
        remove_target(list_entry(node, struct target, node));
}

bool checker_stopped(const struct checker *c)
{
    if (!c->stopping)
        return false;
    list_for_each (node, &c->targets)
        if (list_entry(node, struct target, node)->check.running)
            return false;
    return true;
}

void checker_free(struct checker **checker)
{
    struct checker *c = *checker;
    struct list *node;

    if (c == NULL)
        return;
    sl_assert(checker_stopped(c));
    while ((node = list_pop_front(&c->targets)) != NULL)
        free(list_entry(node, struct target, node));
    list_remove(&c->rebuild.node);
    free(c->changed);
    free(c);
    *checker = NULL;
}
