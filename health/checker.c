/* checker.c - see checker.h; how its files share the work: checker_priv.h.
 *
 * Each checked slot has a struct target, touched by the health thread alone. Other threads leave
 * notes in a mailbox per slot, which stays until checker_free(): atomics, and one embedded message,
 * so that a storm of reports costs at most one message a turn, and nothing is allocated. */
#include "health/checker_priv.h"

#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/base/log.h"
#include "lb/obs/events.h"

#include <stdlib.h>

/* After the last deadline of the first round, when more backends hang than are checked at once. */
#define READY_GRACE_MS 250

/* ---- what others are told ---- */

static void on_flush(struct loop_task *task)
{
    struct checker *c = container_of(task, struct checker, flush);

    for (uint32_t i = 0; i < c->n_changed; i++)
        target_eject_review(c, c->changed[i]);
    for (uint32_t i = 0; i < c->n_changed; i++) {
        c->pools[c->changed[i]].changed = false;
        c->hooks.pool_changed(c->hooks.ctx, c->changed[i]);
    }
    c->n_changed = 0;
    epoch_collect(c->epochs); /* views and addresses that were replaced */
}

void checker_pool_changed(struct target *t)
{
    struct checker *c = t->checker;
    struct pool_count *p = &c->pools[t->slot->pool];

    sl_assert(t->slot->pool < LIMIT_POOLS);
    if (!p->changed)
        c->changed[c->n_changed++] = (uint16_t)t->slot->pool;
    p->changed = true;
    loop_defer(c->loop, &c->flush);
}

static void tell_ready(struct checker *c)
{
    if (c->told_ready || !c->begun || c->n_first > 0)
        return;
    c->told_ready = true;
    timer_stop(&c->loop->timers, &c->ready_by);
    c->hooks.ready(c->hooks.ctx);
}

void checker_first_is_over(struct target *t)
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
        target_settle(t);
    }
    timer_start(&c->loop->timers, &c->ready_by, checker_now_ms(c) + longest + READY_GRACE_MS);
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
        target_settle(t);
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
    checker_mail_free(c);
    list_remove(&c->flush.node);
    slab_fini(&c->checks);
    stream_env_fini(&c->streams);
    free(c);
    *cp = NULL;
}
