/* adoption.c - see adoption.h */
#include "lb/main/adoption.h"

#include "lb/base/alloc.h"
#include "lb/config/conf.h"
#include "lb/main/checker_thread.h"
#include "lb/main/process.h"
#include "lb/main/process_hooks.h"
#include "lb/main/snapshot.h"
#include "lb/main/tls_plan.h"
#include "lb/main/worker.h"
#include "lb/upstream/pool.h"

#include <stdlib.h>
#include <string.h>

/* A socket for a worker to listen on. */
struct new_bind {
    uint32_t id;
    struct proxy_listener *listener;
};

struct adoption {
    struct proxy_change change;
    struct new_bind *new_binds;
    uint32_t n_new_binds;
    uint32_t waiting; /* workers */
    struct tls_plan *tls;
    void (*done)(struct process *p);
    struct adoption_part {
        struct loop_msg msg;
        struct adoption *of;
    } parts[];
};

/* ---- life ---- */

struct adoption *adoption_new(struct process *p)
{
    struct adoption *a = xcalloc(1, sizeof(*a) + p->n_started * sizeof(a->parts[0]));

    a->waiting = p->n_started;
    return a;
}

void adoption_free(struct adoption **adoption)
{
    struct adoption *a = *adoption;

    *adoption = NULL;
    if (a == NULL)
        return;
    free(a->change.added);
    free(a->change.retired);
    free(a->change.replaced);
    free(a->change.binds);
    free(a->new_binds);
    tls_plan_free(&a->tls);
    free(a);
}

/* ---- what has changed ---- */

static void list_pools(struct adoption *a, const struct snapshot *old, const struct snapshot *new)
{
    uint32_t n_old = old->conf->conf->n_pools, n_new = new->conf->conf->n_pools;

    a->change.added = xcalloc(n_new + 1, sizeof(struct pool *));
    a->change.retired = xcalloc(n_old + 1, sizeof(struct pool *));
    for (uint32_t i = 0; i < n_new; i++)
        if (!snapshot_has_pool(old, new->pools[i]))
            a->change.added[a->change.n_added++] = new->run_pools[i];
    for (uint32_t i = 0; i < n_old; i++)
        if (!snapshot_has_pool(new, old->pools[i]))
            a->change.retired[a->change.n_retired++] = old->run_pools[i];
}

static void list_listeners(struct adoption *a, const struct snapshot *old,
                           const struct snapshot *new)
{
    uint32_t n = old->conf->conf->n_listeners;

    a->change.replaced = xcalloc(n + 1, sizeof(struct proxy_listener *));
    for (uint32_t i = 0; i < n; i++) {
        struct live_listener *ll = old->listeners[i], *next;
        if (snapshot_has_listener(new, ll))
            continue;
        next = snapshot_listener_named(new, ll->l.conf->name);
        ll->l.replaced = true;
        if (next != NULL && next->l.conf->mode == ll->l.conf->mode)
            ll->l.successor = &next->l;
        a->change.replaced[a->change.n_replaced++] = &ll->l;
    }
}

static bool binds_addr(const struct conf *conf, const struct binding_row *row)
{
    for (uint32_t i = 0; i < conf->n_listeners; i++)
        for (uint32_t j = 0; j < conf->listeners[i].n_binds; j++)
            if ((conf->listeners[i].mode == MODE_UDP) == row->dgram &&
                addr_eq(&conf->listeners[i].binds[j].addr, &row->addr))
                return true;
    return false;
}

/* Binds what is not bound yet. False: nothing is kept of it. */
bool adoption_bind(struct process *p, struct adoption *a, const struct snapshot *new,
                   struct strbuf *errors)
{
    const struct conf *conf = new->conf->conf;
    bool good = true;
    uint32_t n = 0;

    for (uint32_t i = 0; i < conf->n_listeners; i++)
        n += conf->listeners[i].n_binds;
    a->change.binds = xcalloc(n + 1, sizeof(*a->change.binds));
    a->new_binds = xcalloc(n + 1, sizeof(*a->new_binds));
    for (uint32_t i = 0; i < conf->n_listeners; i++) {
        for (uint32_t j = 0; j < conf->listeners[i].n_binds; j++) {
            const struct binding_row *row = binding_find(&p->binding, &conf->listeners[i], j);
            if (row != NULL) {
                a->change.binds[a->change.n_binds++] =
                    (struct proxy_bind){row->id, new->run_listeners[i]};
                continue;
            }
            good = binding_add(&p->binding, &conf->listeners[i], j, errors) == 0 && good;
            row = binding_find(&p->binding, &conf->listeners[i], j);
            if (row != NULL)
                a->new_binds[a->n_new_binds++] = (struct new_bind){row->id, new->run_listeners[i]};
        }
    }
    for (uint32_t i = 0; !good && i < a->n_new_binds; i++)
        binding_remove(&p->binding, a->new_binds[i].id);
    return good;
}

/* Workers close their sockets themselves. */
void adoption_unbind_old(struct process *p)
{
    for (uint32_t i = 0; i < p->binding.n;) {
        uint32_t id = p->binding.rows[i].id;
        if (binds_addr(p->conf, &p->binding.rows[i]))
            i++;
        else
            binding_remove(&p->binding, id);
    }
}

void adoption_bind_first(struct process *p, struct adoption *a)
{
    a->new_binds = xcalloc(p->binding.n + 1, sizeof(*a->new_binds));
    for (uint32_t i = 0; i < p->conf->n_listeners; i++) {
        for (uint32_t j = 0; j < p->conf->listeners[i].n_binds; j++) {
            const struct binding_row *row = binding_find(&p->binding, &p->conf->listeners[i], j);
            a->new_binds[a->n_new_binds++] = (struct new_bind){row->id, p->proxy_listeners[i]};
        }
    }
}

bool adoption_plan_tls(struct process *p, struct adoption *a, const struct snapshot *s,
                       struct strbuf *errors)
{
    a->tls = tls_plan_new(p->tls, s, (int64_t)(io_wall_us(p->loop.io) / 1000000), errors);
    return a->tls != NULL;
}

void adoption_list(struct adoption *a, const struct snapshot *old, const struct snapshot *new)
{
    list_pools(a, old, new);
    list_listeners(a, old, new);
}

/* ---- the threads ---- */

static void on_watch(struct loop_msg *msg, void *ctx) /* on the health thread */
{
    struct live_pool *lp = container_of(msg, struct live_pool, watch_msg);

    (void)ctx;
    live_pool_watch(lp);
    process_pool_changed(lp->process, lp->pool->kept->number); /* what it has missed */
}

/* Each is made for the backends as they are by now, before anybody else sees it; the health thread
 * sees it next, and goes on with what changes. */
void adoption_watch(struct process *p, const struct adoption *a)
{
    for (uint32_t i = 0; i < p->conf->n_pools; i++) {
        struct live_pool *lp = p->snapshot->pools[i];
        bool added = false;
        for (uint32_t k = 0; k < a->change.n_added; k++)
            added = added || a->change.added[k] == lp->pool;
        if (!added)
            continue;
        pool_rebuild(lp->pool, 0);
        lp->watch_msg.fn = on_watch;
        loop_post(checker_thread_loop(p->checker), &lp->watch_msg);
    }
}

void adoption_begin(struct adoption *a)
{
    tls_plan_commit(a->tls);
}

static void on_adopted(struct loop_msg *msg, void *ctx) /* on control */
{
    struct process *p = ctx;
    struct adoption *a = container_of(msg, struct adoption_part, msg)->of;
    void (*done)(struct process *) = a->done;

    if (--a->waiting > 0)
        return;
    adoption_free(&a);
    done(p);
}

static void on_adopt(struct loop_msg *msg, void *ctx) /* on a worker */
{
    struct adoption_part *part = container_of(msg, struct adoption_part, msg);
    struct worker *w = ctx;
    struct adoption *a = part->of;

    if (a->tls != NULL)
        tls_plan_adopt(a->tls, w->index);
    proxy_adopt(w->proxy, &a->change);
    for (uint32_t i = 0; i < a->n_new_binds; i++)
        worker_listen_on(w, a->new_binds[i].listener, a->new_binds[i].id);
    msg->fn = on_adopted;
    loop_post(&w->process->loop, msg);
}

void adoption_send(struct process *p, struct adoption *a, void (*done)(struct process *p))
{
    a->done = done;
    for (uint32_t i = 0; i < p->n_started; i++) {
        a->parts[i] = (struct adoption_part){{NULL, on_adopt}, a};
        loop_post(&p->workers[i].loop, &a->parts[i].msg);
    }
}
