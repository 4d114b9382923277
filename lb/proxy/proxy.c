/* proxy.c - one worker's proxying part: its life, and what is done to many sessions at once. */
#include "lb/proxy/proxy.h"

#include "lb/base/alloc.h"
#include "lb/net/proxy_proto.h"
#include "lb/proxy/proxy_priv.h"

#include <stdlib.h>

static void on_reap(struct loop_task *task)
{
    tcp_reap(container_of(task, struct proxy, reaper));
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
    slab_init(&p->sessions, "session", tcp_session_size(), 0);
    slab_init(&p->dials, "dial", tcp_dial_size(), 0);
    slab_init(&p->prefaces, "preface", PROXY_WRITE_MAX, 0);
    list_init(&p->all);
    list_init(&p->closing);
    list_init(&p->acceptors);
    list_init(&p->reaper.node);
    p->reaper.fn = on_reap;
    p->locals = xcalloc(shared->n_pools, sizeof(*p->locals));
    for (uint32_t i = 0; i < shared->n_pools; i++) {
        p->locals[i].cursor.position =
            rng_next(&p->rng) >> 1; /* workers start at different places */
        wait_queue_init(&p->locals[i].queue, loop, shared->pools[i], worker_index);
    }
    atomic_store(&shared->proxies[worker_index], p);
    return p;
}

void proxy_free(struct proxy **proxy)
{
    struct proxy *p = *proxy;

    if (p == NULL)
        return;
    sl_assert(proxy_stopped(p));
    for (uint32_t i = 0; i < p->shared->n_pools; i++)
        balancer_cursor_fini(&p->locals[i].cursor);
    free(p->locals);
    tunnel_env_fini(&p->tunnels);
    slab_fini(&p->sessions);
    slab_fini(&p->dials);
    slab_fini(&p->prefaces);
    free(p);
    *proxy = NULL;
}

void proxy_listen(struct proxy *p, struct proxy_listener *l, int fd)
{
    acceptor_new(p, l, fd);
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

uint32_t proxy_sessions(const struct proxy *p)
{
    return p->n_sessions;
}

bool proxy_stopped(const struct proxy *p)
{
    return p->n_sessions == 0 && list_empty(&p->acceptors) && !list_linked(&p->reaper.node);
}

void proxy_end_all(struct proxy *p, enum session_end why)
{
    list_for_each_safe (node, next, &p->all)
        tcp_session_end(tcp_session_of(node), why);
}

void proxy_backend_down(struct proxy *p, struct backend_slot *slot)
{
    list_for_each_safe (node, next, &p->all) {
        struct tcp_session *s = tcp_session_of(node);
        if (tcp_session_uses(s, slot))
            tcp_session_end(s, END_DOWN);
    }
}

void proxy_pool_changed(struct proxy *p, uint32_t pool)
{
    wait_queue_run_soon(&p->locals[pool].queue);
}

void proxy_each_session(struct proxy *p, const struct proxy_filter *filter,
                        void (*fn)(void *arg, const struct proxy_session_view *view), void *arg)
{
    list_for_each (node, &p->all) {
        struct tcp_session *s = tcp_session_of(node);
        struct proxy_session_view view;
        struct addr client;

        if (!tcp_session_matches(s, filter))
            continue;
        tcp_session_view(s, &view, &client);
        fn(arg, &view);
    }
}

uint32_t proxy_kill_sessions(struct proxy *p, const struct proxy_filter *filter)
{
    uint32_t n = 0;

    list_for_each_safe (node, next, &p->all) {
        struct tcp_session *s = tcp_session_of(node);
        if (!tcp_session_matches(s, filter))
            continue;
        tcp_session_end(s, END_KILLED);
        n++;
    }
    return n;
}
