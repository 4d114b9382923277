/* snapshot.c - see snapshot.h. How objects are made: build.c. */
#include "lb/main/snapshot.h"

#include "lb/base/alloc.h"
#include "lb/config/conf.h"
#include "lb/main/build.h"
#include "lb/main/checker_thread.h"
#include "lb/main/process.h"
#include "lb/main/worker.h"
#include "lb/upstream/pool.h"

#include <stdlib.h>
#include <string.h>

/* A worker's part of the end of a pool. */
struct forget {
    struct loop_msg msg;
    struct loop_task task;
    struct live_pool *pool;
    struct worker *worker;
};

/* ---- configurations ---- */

struct conf_held *conf_held_new(const struct conf *conf, struct conf *own)
{
    struct conf_held *c = xcalloc(1, sizeof(*c));

    *c = (struct conf_held){conf, own, NULL, 1};
    return c;
}

struct conf_held *conf_held_variant(struct conf_held *base, struct conf *of)
{
    struct conf_held *c = conf_held_new(of, of);

    c->base = conf_held_ref(base);
    return c;
}

struct conf_held *conf_held_ref(struct conf_held *held)
{
    held->refs++;
    return held;
}

void conf_held_unref(struct conf_held **held)
{
    struct conf_held *c = *held;

    *held = NULL;
    if (c == NULL || --c->refs > 0)
        return;
    if (c->own != NULL)
        conf_free(&c->own);
    if (c->base != NULL)
        conf_held_unref(&c->base);
    free(c);
}

/* ---- the end of a pool ----
 *
 * No listener leads to it. The health thread first, as it rebuilds its view and wakes those who
 * wait; then the workers, at the end of a turn, when no wake of theirs is on its way to each other
 * any more. */

static void free_pool(struct process *p, struct live_pool *lp)
{
    for (uint32_t i = 0; i < lp->pool->n_members; i++) {
        struct backend_slot *s = lp->pool->members[i].slot;
        bool elsewhere = false;
        list_for_each (node, &p->live->pools) {
            struct live_pool *other = list_entry(node, struct live_pool, node);
            if (other != lp && other->pool->kept == lp->pool->kept && live_pool_has(other, s))
                elsewhere = true;
        }
        if (!elsewhere)
            table_remove(p->table, s);
    }
    live_pool_free(&lp);
}

static void on_pool_forgotten(struct loop_msg *msg, void *ctx) /* on control */
{
    struct forget *f = container_of(msg, struct forget, msg);
    struct live_pool *lp = f->pool;

    if (--lp->waiting == 0)
        free_pool(ctx, lp);
}

static void on_turn_end(struct loop_task *task)
{
    struct forget *f = container_of(task, struct forget, task);

    f->msg.fn = on_pool_forgotten;
    loop_post(&f->pool->process->loop, &f->msg);
}

static void on_forget(struct loop_msg *msg, void *ctx) /* on a worker */
{
    struct forget *f = container_of(msg, struct forget, msg);
    struct worker *w = ctx;

    proxy_forget_pool(w->proxy, f->pool->pool);
    loop_defer(&w->loop, &f->task); /* behind what its queue has put off */
}

static void on_unwatched(struct loop_msg *msg, void *ctx) /* on control */
{
    struct live_pool *lp = container_of(msg, struct live_pool, msg);
    struct process *p = ctx;

    lp->waiting = p->n_started;
    lp->forgets = xcalloc(p->n_started + 1, sizeof(*lp->forgets));
    for (uint32_t i = 0; i < p->n_started; i++) {
        struct forget *f = &lp->forgets[i];
        f->pool = lp;
        f->worker = &p->workers[i];
        f->msg.fn = on_forget;
        list_init(&f->task.node);
        f->task.fn = on_turn_end;
        loop_post(&f->worker->loop, &f->msg);
    }
}

static void on_unwatch(struct loop_msg *msg, void *ctx) /* on the health thread */
{
    struct live_pool *lp = container_of(msg, struct live_pool, msg);

    (void)ctx;
    list_remove(&lp->view);
    msg->fn = on_unwatched;
    loop_post(&lp->process->loop, msg);
}

void live_pool_watch(struct live_pool *lp)
{
    list_push_back(&lp->process->live->views[lp->pool->kept->number], &lp->view);
}

static bool nobody_uses(const struct live_listener *ll)
{
    for (uint32_t i = 0; i < ll->l.stats->n_rows; i++)
        if (!atomic_load_explicit(&ll->l.locals[i].over, memory_order_acquire))
            return false;
    return true;
}

static void free_listener(struct live_listener *ll)
{
    for (uint32_t i = 0; i < ll->n_pools; i++)
        ll->pools[i]->users--;
    live_listener_free(&ll);
}

void live_sweep(struct process *p)
{
    if (p->phase >= PHASE_CLOSING)
        return;
    list_for_each_safe (node, next, &p->live->listeners) {
        struct live_listener *ll = list_entry(node, struct live_listener, node);
        if (!ll->in_force && nobody_uses(ll))
            free_listener(ll);
    }
    list_for_each_safe (node, next, &p->live->pools) {
        struct live_pool *lp = list_entry(node, struct live_pool, node);
        if (lp->users > 0 || lp->leaving)
            continue;
        lp->leaving = true;
        lp->msg.fn = on_unwatch;
        loop_post(checker_thread_loop(p->checker), &lp->msg);
    }
}

/* ---- snapshots ---- */

bool snapshot_has_pool(const struct snapshot *s, const struct live_pool *lp)
{
    for (uint32_t i = 0; s != NULL && i < s->conf->conf->n_pools; i++)
        if (s->pools[i] == lp)
            return true;
    return false;
}

bool snapshot_has_listener(const struct snapshot *s, const struct live_listener *ll)
{
    for (uint32_t i = 0; s != NULL && i < s->conf->conf->n_listeners; i++)
        if (s->listeners[i] == ll)
            return true;
    return false;
}

struct live_pool *snapshot_pool_named(const struct snapshot *s, const char *name)
{
    for (uint32_t i = 0; s != NULL && i < s->conf->conf->n_pools; i++)
        if (s->pools[i] != NULL && strcmp(s->pools[i]->pool->name, name) == 0)
            return s->pools[i];
    return NULL;
}

struct live_listener *snapshot_listener_named(const struct snapshot *s, const char *name)
{
    for (uint32_t i = 0; s != NULL && i < s->conf->conf->n_listeners; i++)
        if (s->listeners[i] != NULL && strcmp(s->listeners[i]->l.conf->name, name) == 0)
            return s->listeners[i];
    return NULL;
}

bool live_pool_has(const struct live_pool *lp, const struct backend_slot *slot)
{
    for (uint32_t i = 0; i < lp->pool->n_members; i++)
        if (lp->pool->members[i].slot == slot)
            return true;
    return false;
}

void snapshot_free(struct snapshot **snapshot)
{
    struct snapshot *s = *snapshot;

    *snapshot = NULL;
    free(s->pools);
    free(s->listeners);
    free(s->run_pools);
    free(s->run_listeners);
    free(s->stats);
    free(s->new_slots);
    conf_held_unref(&s->conf);
    free(s);
}

static struct snapshot *new_shell(const struct process *p, struct conf_held *conf)
{
    struct snapshot *s = xcalloc(1, sizeof(*s));
    uint32_t backends = 0;

    for (uint32_t i = 0; i < conf->conf->n_pools; i++)
        backends += conf->conf->pools[i].n_backends;
    s->serial = p->snapshot != NULL ? p->snapshot->serial + 1 : 1;
    s->conf = conf;
    conf->refs++;
    s->pools = xcalloc(conf->conf->n_pools + 1, sizeof(struct live_pool *));
    s->listeners = xcalloc(conf->conf->n_listeners + 1, sizeof(struct live_listener *));
    s->run_pools = xcalloc(conf->conf->n_pools + 1, sizeof(struct pool *));
    s->run_listeners = xcalloc(conf->conf->n_listeners + 1, sizeof(struct proxy_listener *));
    s->stats = xcalloc(conf->conf->n_listeners + 1, sizeof(struct listener_stats *));
    s->new_slots = xcalloc(backends + 1, sizeof(struct backend_slot *));
    return s;
}

void snapshot_drop(struct process *p, struct snapshot **snapshot)
{
    struct snapshot *s = *snapshot;

    for (uint32_t i = 0; i < s->conf->conf->n_listeners; i++)
        if (s->listeners[i] != NULL && !snapshot_has_listener(p->snapshot, s->listeners[i]))
            free_listener(s->listeners[i]);
    for (uint32_t i = 0; i < s->conf->conf->n_pools; i++) {
        struct live_pool *lp = s->pools[i];
        if (lp != NULL && !snapshot_has_pool(p->snapshot, lp))
            live_pool_free(&lp);
    }
    for (uint32_t i = 0; i < s->n_new_slots; i++)
        table_remove(p->table, s->new_slots[i]);
    snapshot_free(snapshot);
}

struct snapshot *snapshot_build(struct process *p, struct conf_held *conf, struct strbuf *errors)
{
    struct snapshot *s = new_shell(p, conf);
    bool good = true;

    for (uint32_t i = 0; good && i < conf->conf->n_pools; i++) {
        s->pools[i] = build_pool(p, s, i, errors);
        good = s->pools[i] != NULL;
        s->run_pools[i] = good ? s->pools[i]->pool : NULL;
    }
    for (uint32_t i = 0; good && i < conf->conf->n_listeners; i++) {
        s->listeners[i] = build_listener(p, s, i, errors);
        good = s->listeners[i] != NULL;
        s->run_listeners[i] = good ? &s->listeners[i]->l : NULL;
        s->stats[i] = good ? s->listeners[i]->kept->stats : NULL;
    }
    if (!good)
        snapshot_drop(p, &s);
    return s;
}

/* What the stats socket reads of it. */
static void show(struct live_listener *ll)
{
    struct listener_stats *stats = ll->l.stats;
    const struct listener_conf *conf = ll->l.conf;

    stats->max_connections = conf->max_connections;
    stats->tls = conf->tls != NULL;
    if (conf->max_per_source != 0)
        source_caps_set_max(ll->kept->sources, conf->max_per_source);
    build_route_stats(ll);
}

void snapshot_install(struct process *p, struct snapshot *s)
{
    struct snapshot *old = p->snapshot;

    for (uint32_t i = 0; i < s->conf->conf->n_pools; i++) {
        s->pools[i]->users++;
        s->pools[i]->pool->index = i;
    }
    for (uint32_t i = 0; old != NULL && i < old->conf->conf->n_pools; i++)
        old->pools[i]->users--;
    for (uint32_t i = 0; old != NULL && i < old->conf->conf->n_listeners; i++)
        old->listeners[i]->in_force = false;
    for (uint32_t i = 0; i < s->conf->conf->n_listeners; i++) {
        s->listeners[i]->in_force = true;
        show(s->listeners[i]);
    }
    if (p->live->last_iid == 0) /* as they were given out: see build.c */
        p->live->last_iid = s->conf->conf->n_listeners + s->conf->conf->n_pools;
    p->snapshot = s;
    p->conf = s->conf->conf;
    p->pools = s->run_pools;
    p->listeners = s->stats;
    p->proxy_listeners = s->run_listeners;
}

/* ---- all of it ---- */

void live_init(struct process *p)
{
    struct live *l = xcalloc(1, sizeof(*l));

    list_init(&l->pools);
    list_init(&l->listeners);
    l->views = xcalloc(LIMIT_POOLS, sizeof(*l->views));
    for (uint32_t i = 0; i < LIMIT_POOLS; i++)
        list_init(&l->views[i]);
    l->pool_numbers = xcalloc(LIMIT_POOLS, sizeof(bool));
    l->listener_numbers = xcalloc(LIMIT_LISTENERS, sizeof(bool));
    p->live = l;
}

void live_fini(struct process *p)
{
    if (p->live == NULL)
        return;
    list_for_each_safe (node, next, &p->live->listeners) {
        struct live_listener *ll = list_entry(node, struct live_listener, node);
        live_listener_free(&ll);
    }
    list_for_each_safe (node, next, &p->live->pools) {
        struct live_pool *lp = list_entry(node, struct live_pool, node);
        live_pool_free(&lp);
    }
    if (p->snapshot != NULL)
        snapshot_free(&p->snapshot);
    free(p->live->views);
    free(p->live->pool_numbers);
    free(p->live->listener_numbers);
    free(p->live);
    p->live = NULL;
}
