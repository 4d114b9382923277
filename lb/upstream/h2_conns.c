/* h2_conns.c - see h2_conns.h */
#include "lb/upstream/h2_conns.h"

#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/upstream/h2_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOMENT_US 1000000 /* an idle time so short that no backend closes within it */

/* Of an open one only. NULL: no pool has its backend any more. */
static const struct http_pool_conf *conf_of(const struct h2_conn *c)
{
    return c->base->member->locals[c->all->worker].conf;
}

/* ---- which connection ---- */

static uint32_t streams_max(const struct h2_conn *c)
{
    const struct http_pool_conf *conf = conf_of(c);

    return conf != NULL && conf->h2_max_streams < c->peer_streams ? conf->h2_max_streams
                                                                  : c->peer_streams;
}

uint32_t h2_conn_room(const struct h2_conn *c)
{
    if (c->state != H2_OPEN || c->n_requests >= (1u << 30) - 1) /* identifiers run out */
        return 0;
    uint32_t max = streams_max(c);
    return max > c->n_streams ? max - c->n_streams : 0;
}

static bool fits(const struct h2_conn *c, const struct h2_wish *wish)
{
    if (h2_conn_room(c) == 0 || c->made_us < wish->not_before_us)
        return false;
    return !(wish->lively && c->is_idle &&
             loop_now_us(c->all->loop) - c->idle_since_us >= MOMENT_US);
}

struct h2_conn *h2_conns_find(struct h2_conns *a, struct h2_member *m, const struct h2_wish *wish)
{
    (void)a;
    list_for_each_safe (node, next, &m->conns) {
        struct h2_conn *c = list_entry(node, struct h2_conn, node);
        if (!backend_conn_leads_to(c->base, wish->address)) { /* the backend has moved */
            h2_conn_leave(c);
            continue;
        }
        if (fits(c, wish))
            return c;
    }
    return NULL;
}

/* ---- dialling ---- */

static uint32_t room_of_new(const struct h2_member *m, const struct pool *p)
{
    uint32_t own = p->conf->http.h2_max_streams;

    return m->room < own ? m->room : own;
}

bool h2_conns_wait(struct h2_conns *a, const struct pool *p, struct h2_member *m,
                   struct h2_waiter *w, struct h2_dial *d)
{
    uint64_t places = (uint64_t)m->n_dialling * room_of_new(m, p);

    (void)a;
    sl_assert(w->member == NULL && d->member == NULL);
    if (!m->speaks_h1 && m->n_dialling + m->n_waiters < places) {
        w->member = m;
        list_push_back(&m->waiters, &w->node);
        m->n_waiters++;
        return true;
    }
    d->member = m;
    m->n_dialling++;
    return false;
}

void h2_waiter_cancel(struct h2_waiter *w)
{
    if (w->member == NULL)
        return;
    list_remove(&w->node);
    if (!w->woken)
        w->member->n_waiters--;
    w->member = NULL;
}

void h2_dial_over(struct h2_conns *a, struct h2_dial *d, int error)
{
    struct h2_member *m = d->member;

    if (m == NULL)
        return;
    d->member = NULL;
    m->n_dialling--;
    if (list_empty(&m->waiters))
        return;
    list_for_each (node, &m->waiters) {
        struct h2_waiter *w = list_entry(node, struct h2_waiter, node);
        w->error = m->n_dialling > 0 ? 0 : error; /* others may have more luck */
        w->woken = true;
    }
    m->n_waiters = 0;
    list_splice_back(&a->woken, &m->waiters);
    loop_defer(a->loop, &a->waker);
}

static void on_wake(struct loop_task *task)
{
    struct h2_conns *a = container_of(task, struct h2_conns, waker);
    struct list now, *node;

    list_init(&now);
    list_splice_back(&now, &a->woken);
    while ((node = list_pop_front(&now)) != NULL) {
        struct h2_waiter *w = list_entry(node, struct h2_waiter, node);
        w->member = NULL;
        w->woken = false;
        w->wake(w, w->error);
    }
}

/* ---- idle ones ---- */

static struct backend_counters *row_of(const struct h2_conn *c)
{
    return &c->base->member->counts->rows[c->all->worker];
}

static void unlink_idle(struct h2_conn *c)
{
    if (!c->is_idle)
        return;
    c->is_idle = false;
    timer_stop(&c->all->loop->timers, &c->timer);
    list_remove(&c->idle);
    c->member->n_idle--;
    counter_sub(&row_of(c)->idle, 1);
}

void h2_conn_unlink(struct h2_conn *c)
{
    unlink_idle(c);
    list_remove(&c->node);
    list_remove(&c->shared);
    c->member = NULL;
}

void h2_conn_busy(struct h2_conn *c)
{
    unlink_idle(c);
}

void h2_conn_leave(struct h2_conn *c)
{
    h2_conn_unlink(c);
    if (c->state != H2_OPEN)
        return;
    c->state = H2_LEAVING;
    if (list_empty(&c->streams))
        h2_conn_end(c);
}

void h2_conn_idle(struct h2_conn *c)
{
    struct loop *l = c->all->loop;

    if (c->state != H2_OPEN)
        return; /* ends by itself */
    const struct http_pool_conf *conf = c->member != NULL ? conf_of(c) : NULL;
    if (conf == NULL || c->all->stopping || conf->idle_timeout_ms == 0 ||
        c->member->n_idle >= conf->idle_max) {
        h2_conn_leave(c);
        return;
    }
    c->is_idle = true;
    c->pinging = false;
    c->idle_since_us = loop_now_us(l);
    list_push_back(&c->all->idle, &c->idle);
    c->member->n_idle++;
    counter_add(&row_of(c)->idle, 1);
    timer_start(&l->timers, &c->timer, loop_now_ms(l) + conf->idle_timeout_ms);
}

/* ---- many at once ---- */

void h2_conns_drop(struct h2_conns *a, const struct backend_slot *slot)
{
    list_for_each_safe (node, next, &a->shared) {
        struct h2_conn *c = list_entry(node, struct h2_conn, shared);
        if (slot == NULL || c->base->slot == slot)
            h2_conn_leave(c);
    }
}

void h2_conns_drop_member(struct h2_conns *a, struct member_conns *m)
{
    list_for_each_safe (node, next, &m->locals[a->worker].h2.conns)
        h2_conn_leave(list_entry(node, struct h2_conn, node));
}

bool h2_conns_evict(struct h2_conns *a)
{
    if (list_empty(&a->idle))
        return false;
    h2_conn_leave(list_entry(a->idle.next, struct h2_conn, idle));
    return true;
}

/* ---- life ---- */

struct h2_member *h2_conns_member(const struct h2_conns *a, const struct pool *p,
                                  const struct backend_slot *slot)
{
    return p->speaks_h2 ? &pool_member(p, slot)->conns->locals[a->worker].h2 : NULL;
}

void h2_conns_init(struct h2_conns *a, struct loop *loop, uint32_t worker)
{
    *a = (struct h2_conns){.loop = loop, .worker = worker};
    a->windows = LIMIT_H2_GROWN;
    slab_init(&a->conns, "h2 backend conn", sizeof(struct h2_conn), 0);
    blocks_init(&a->blocks, H2_MEM_KEPT);
    list_init(&a->shared);
    list_init(&a->idle);
    list_init(&a->woken);
    list_init(&a->waker.node);
    a->waker.fn = on_wake;
}

void h2_conns_stop(struct h2_conns *a)
{
    a->stopping = true;
    h2_conns_drop(a, NULL);
}

bool h2_conns_stopped(const struct h2_conns *a)
{
    return a->conns.used == 0 && !list_linked(&a->waker.node);
}

void h2_conns_fini(struct h2_conns *a)
{
    sl_assert(h2_conns_stopped(a) && a->windows == LIMIT_H2_GROWN);
    slab_fini(&a->conns);
    blocks_fini(&a->blocks);
}
