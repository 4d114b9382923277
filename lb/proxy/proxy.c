/* proxy.c - one worker's proxying part: its life, and what is done to many sessions at once. */
#include "lb/proxy/proxy.h"

#include "lb/base/alloc.h"
#include "lb/files/files.h"
#include "lb/net/proxy_proto.h"
#include "lb/obs/flight.h"
#include "lb/proxy/exchange.h"
#include "lb/proxy/proxy_priv.h"
#include "lb/route/rewrite.h"
#include "lb/route/route.h"

#include <stdlib.h>
#include <string.h>

static void on_reap(struct loop_task *task)
{
    struct proxy *p = container_of(task, struct proxy, reaper);
    struct list *node;

    while ((node = list_pop_front(&p->closing)) != NULL) {
        struct session *s = list_entry(node, struct session, node);
        s->ops->free(s);
    }
}

static void http_init(struct proxy *p)
{
    stream_env_init(&p->streams, p->loop);
    conn_cache_init(&p->cache, p->loop, &p->streams, p->worker);
    h2_conns_init(&p->h2, p->loop, p->worker);
    arena_pool_init(&p->arenas);
    slab_init(&p->http_sessions, "http session", http_session_size(), 0);
    slab_init(&p->exchanges, "exchange", sizeof(struct exchange), 0);
    slab_init(&p->file_works, "file request", exchange_file_work_size(), 0);
    p->files = files_new(p->loop);
    h2_init(p);
    p->routing = route_scratch_new();
    p->fields = xcalloc(LIMIT_HTTP_FIELDS, sizeof(*p->fields));
    p->text = xmalloc(ROUTE_TEXT_MAX + 1);
}

static void http_fini(struct proxy *p)
{
    free(p->text);
    free(p->fields);
    route_scratch_free(&p->routing);
    h2_fini(p);
    files_free(&p->files);
    slab_fini(&p->file_works);
    slab_fini(&p->exchanges);
    slab_fini(&p->http_sessions);
    arena_pool_fini(&p->arenas);
    h2_conns_fini(&p->h2);
    conn_cache_fini(&p->cache);
    stream_env_fini(&p->streams);
}

struct proxy *proxy_new(struct loop *loop, struct proxy_shared *shared, uint32_t worker_index,
                        struct worker_counters *counters)
{
    struct proxy *p = xcalloc(1, sizeof(*p));

    p->loop = loop;
    p->shared = shared;
    p->worker = worker_index;
    p->counters = counters;
    rng_seed(&p->rng, io_random(loop->io));
    tunnel_env_init(&p->tunnels, loop, &tcp_tunnel_ops);
    slab_init(&p->sessions, "session", tcp_plain_size(), 0);
    slab_init(&p->relayed, "tls session", tcp_relayed_size(), 0);
    slab_init(&p->hellos, "client hello", tcp_hello_size(), 0);
    slab_init(&p->dials, "dial", tcp_dial_size(), 0);
    slab_init(&p->prefaces, "preface", PROXY_WRITE_MAX, 0);
    http_init(p);
    p->flight = flight_new();
    list_init(&p->all);
    list_init(&p->closing);
    list_init(&p->acceptors);
    list_init(&p->reaper.node);
    p->reaper.fn = on_reap;
    for (uint32_t i = 0; i < shared->n_pools; i++)
        proxy_add_pool(p, shared->pools[i]);
    atomic_store(&shared->proxies[worker_index], p);
    return p;
}

void proxy_free(struct proxy **proxy)
{
    struct proxy *p = *proxy;

    if (p == NULL)
        return;
    sl_assert(proxy_stopped(p));
    tunnel_env_fini(&p->tunnels);
    slab_fini(&p->sessions);
    slab_fini(&p->relayed);
    slab_fini(&p->hellos);
    slab_fini(&p->dials);
    slab_fini(&p->prefaces);
    http_fini(p);
    flight_free(&p->flight);
    udp_fini(p);
    free(p);
    *proxy = NULL;
}

const struct flight *proxy_flight(const struct proxy *p)
{
    return p->flight;
}

/* ---- pools ---- */

void proxy_add_pool(struct proxy *p, struct pool *pool)
{
    struct pool_kept *kept = pool->kept;

    /* Workers start at different places. */
    pool->locals[p->worker].cursor.position = rng_next(&p->rng) >> 1;
    if (atomic_load(&kept->queues[p->worker]) == NULL)
        wait_queue_init(xcalloc(1, sizeof(struct wait_queue)), p->loop, kept, p->worker);
    for (uint32_t i = 0; i < pool->n_members; i++)
        if (pool->members[i].conns != NULL)
            pool->members[i].conns->locals[p->worker].conf = &pool->conf->http;
}

void proxy_listen(struct proxy *p, struct proxy_listener *l, int fd, uint32_t bind)
{
    acceptor_new(p, l, fd, bind);
}

/* ---- reload ---- */

static void look_if_over(const struct proxy *p, struct proxy_listener *l)
{
    struct proxy_listener_local *mine = &l->locals[p->worker];

    if (mine->users > 0 || !mine->retired)
        return;
    /* The moment it is seen, all of it may be freed. */
    atomic_store_explicit(&mine->over, true, memory_order_release);
    p->shared->listener_over(p->shared->ctx);
}

void proxy_release(const struct proxy *p, struct proxy_listener *l)
{
    l->locals[p->worker].users--;
    look_if_over(p, l);
}

static void adopt_binds(struct proxy *p, const struct proxy_change *c)
{
    list_for_each_safe (node, next, &p->acceptors) {
        struct acceptor *a = list_entry(node, struct acceptor, node);
        uint32_t i = 0;

        while (i < c->n_binds && c->binds[i].bind != a->bind)
            i++;
        if (i < c->n_binds)
            acceptor_move(a, c->binds[i].listener);
        else
            acceptor_stop(a);
    }
}

/* Those that can go over to the listener as it is now do so; those of one that is gone are told. */
static void adopt_sessions(struct proxy *p)
{
    list_for_each_safe (node, next, &p->all) {
        struct session *s = list_entry(node, struct session, node);
        struct proxy_listener *old = s->listener;

        if (!old->replaced || s->ops->drain == NULL)
            continue;
        if (old->successor == NULL) {
            s->ops->drain(s);
            continue;
        }
        s->listener = proxy_hold(p, old->successor);
        proxy_release(p, old);
    }
}

static void close_conns(struct proxy *p, const struct pool *pool)
{
    for (uint32_t i = 0; i < pool->n_members; i++) {
        struct member_conns *m = pool->members[i].conns;
        if (m == NULL || m->locals[p->worker].conf != &pool->conf->http)
            continue; /* a newer pool has it */
        m->locals[p->worker].conf = NULL;
        conn_cache_drop_member(&p->cache, m);
        h2_conns_drop_member(&p->h2, m);
    }
}

void proxy_adopt(struct proxy *p, const struct proxy_change *c)
{
    for (uint32_t i = 0; i < c->n_added; i++)
        proxy_add_pool(p, c->added[i]);
    adopt_binds(p, c);
    if (c->n_replaced > 0)
        adopt_sessions(p);
    for (uint32_t i = 0; i < c->n_replaced; i++) {
        c->replaced[i]->locals[p->worker].retired = true;
        look_if_over(p, c->replaced[i]);
    }
    for (uint32_t i = 0; i < c->n_retired; i++) {
        c->retired[i]->locals[p->worker].retired = true;
        close_conns(p, c->retired[i]);
        wait_queue_mix(proxy_queue(p, c->retired[i]));
    }
}

void proxy_forget_pool(struct proxy *p, struct pool *pool)
{
    close_conns(p, pool);
}

void proxy_stop_accepting(struct proxy *p)
{
    list_for_each_safe (node, next, &p->acceptors)
        acceptor_stop(list_entry(node, struct acceptor, node));
}

bool proxy_accepting(const struct proxy *p)
{
    return !list_empty(&p->acceptors);
}

void proxy_close_idle(struct proxy *p)
{
    if (!p->draining || p->n_sessions > 0 || !list_empty(&p->acceptors))
        return;
    conn_cache_stop(&p->cache);
    h2_conns_stop(&p->h2);
}

void proxy_evict(struct proxy *p)
{
    if (!conn_cache_evict(&p->cache) && !files_evict(p->files))
        h2_conns_evict(&p->h2);
}

void proxy_leave(struct proxy *p)
{
    p->leaving = true;
}

void proxy_drain(struct proxy *p)
{
    p->leaving = p->draining = true;
    list_for_each_safe (node, next, &p->all) {
        struct session *s = list_entry(node, struct session, node);
        if (s->ops->drain != NULL)
            s->ops->drain(s);
    }
    proxy_close_idle(p);
}

uint32_t proxy_sessions(const struct proxy *p)
{
    return p->n_sessions;
}

bool proxy_stopped(const struct proxy *p)
{
    return p->n_sessions == 0 && list_empty(&p->acceptors) && !list_linked(&p->reaper.node) &&
           p->n_file_works == 0 && udp_closed(p) && h2_conns_stopped(&p->h2) &&
           conn_cache_stopped(&p->cache);
}

void proxy_end_all(struct proxy *p, enum session_end why)
{
    list_for_each_safe (node, next, &p->all) {
        struct session *s = list_entry(node, struct session, node);
        s->ops->end(s, why);
    }
}

void proxy_backend_down(struct proxy *p, struct backend_slot *slot)
{
    list_for_each_safe (node, next, &p->all) {
        struct session *s = list_entry(node, struct session, node);
        s->ops->backend_down(s, slot);
    }
    h2_conns_drop(&p->h2, slot);
    conn_cache_drop(&p->cache, slot); /* it may come back as another machine */
}

/* ---- for the operator ---- */

static bool name_fits(const char *wanted, const char *name)
{
    return wanted == NULL || (name != NULL && strcmp(wanted, name) == 0);
}

static uint64_t age_ms(const struct session *s)
{
    return (loop_now_us(s->proxy->loop) - s->accepted_us) / 1000;
}

static bool fits(const struct session *s, const struct proxy_filter *f)
{
    return (f->id == 0 || f->id == s->id) && name_fits(f->listener, s->listener->conf->name) &&
           name_fits(f->pool, s->ops->pool_name(s)) &&
           name_fits(f->backend, s->ops->backend_name(s)) && age_ms(s) >= f->older_ms;
}

void proxy_each_session(struct proxy *p, const struct proxy_filter *filter,
                        void (*fn)(void *arg, const struct proxy_session_view *view), void *arg)
{
    list_for_each (node, &p->all) {
        struct session *s = list_entry(node, struct session, node);
        struct addr client;

        if (!fits(s, filter))
            continue;
        struct proxy_session_view view = {
            .id = s->id,
            .age_ms = age_ms(s),
            .client = &client,
            .listener = s->listener->conf->name,
            .pool = s->ops->pool_name(s),
            .backend = s->ops->backend_name(s),
            .client_fd = -1,
            .backend_fd = -1,
        };
        s->ops->view(s, &view);
        session_client_address(s, view.client_fd, &client);
        fn(arg, &view);
    }
}

uint32_t proxy_kill_sessions(struct proxy *p, const struct proxy_filter *filter)
{
    uint32_t n = 0;

    list_for_each_safe (node, next, &p->all) {
        struct session *s = list_entry(node, struct session, node);
        if (!fits(s, filter))
            continue;
        s->ops->end(s, END_KILLED);
        n++;
    }
    return n;
}
