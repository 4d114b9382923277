/* acceptor.c - accepting on one listening descriptor: arms, pauses when resources are short, stops.
 *
 * A pause leaves clients in the kernel's queue, where they wait instead of being refused. It ends
 * by timer, so running out of descriptors costs a wake-up every RESUME_MS and never a spin. */
#include "lb/base/alloc.h"
#include "lb/obs/events.h"
#include "lb/proxy/proxy_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RESUME_MS     50
#define WARN_EVERY_MS 10000

static void on_accept(struct op *op, int res);

static bool at_limit(const struct proxy *p)
{
    const struct proxy_shared *sh = p->shared;

    uint32_t max = atomic_load_explicit(&sh->max_connections, memory_order_relaxed);

    return max != 0 && atomic_load_explicit(&sh->connections, memory_order_relaxed) >= max;
}

static void resume(struct acceptor *a)
{
    if (a->stopping || a->op.armed)
        return;
    if (at_limit(a->proxy))
        timer_start(&a->proxy->loop->timers, &a->resume, loop_now_ms(a->proxy->loop) + RESUME_MS);
    else
        io_accept(a->proxy->loop->io, &a->op, a->fd);
}

static void on_resume(struct timer *t)
{
    resume(container_of(t, struct acceptor, resume));
}

static void warn(struct acceptor *a, const char *why)
{
    struct proxy *p = a->proxy;
    uint64_t now = loop_now_ms(p->loop);

    counter_add(&a->row->accept_pauses, 1);
    if (p->warned_ms != 0 && now - p->warned_ms < WARN_EVERY_MS)
        return;
    p->warned_ms = now;
    events_log(EVENT_LIMIT, LOG_LEVEL_WARN, a->listener->conf->name,
               "listener %s: accepting pauses: %s; clients wait in the kernel's queue",
               a->listener->conf->name, why);
}

void acceptor_pause(struct acceptor *a)
{
    io_cancel(a->proxy->loop->io, &a->op);
    if (!timer_pending(&a->resume))
        timer_start(&a->proxy->loop->timers, &a->resume, loop_now_ms(a->proxy->loop) + RESUME_MS);
}

static void start_session(struct acceptor *a, int fd)
{
    if (a->listener->http != NULL)
        http_session_start(a->proxy, a, fd);
    else
        tcp_session_start(a->proxy, a, fd);
}

/* What is queued has been promised an answer by the kernel: closing the socket would reset it. */
static void finish_stop(struct acceptor *a)
{
    struct proxy *p = a->proxy;
    int fd;

    while ((fd = io_accept_now(p->loop->io, a->fd)) >= 0)
        start_session(a, fd);
    io_close(p->loop->io, a->fd);
    a->fd = -1;
    list_remove(&a->node);
    acceptor_free(a);
    proxy_close_idle(p);
}

static void on_accept(struct op *op, int res)
{
    struct acceptor *a = container_of(op, struct acceptor, op);

    if (res >= 0) {
        start_session(a, res);
        if (at_limit(a->proxy) && !a->stopping) {
            warn(a, "the limit on connections is reached");
            acceptor_pause(a);
        }
        return;
    }
    if (a->stopping) {
        finish_stop(a);
        return;
    }
    if (res != -ECANCELED)
        warn(a, strerror(-res));
    if (res == -EMFILE || res == -ENFILE) /* connections that nobody uses hold some */
        proxy_evict(a->proxy);
    if (!timer_pending(&a->resume))
        timer_start(&a->proxy->loop->timers, &a->resume, loop_now_ms(a->proxy->loop) + RESUME_MS);
}

static uint16_t port_of(struct io *io, int fd)
{
    struct sockaddr_storage ss;
    struct addr local;
    socklen_t len;

    if (io_local_name(io, fd, &ss, &len) < 0)
        return 0;
    addr_from_sockaddr(&local, (struct sockaddr *)&ss, len);
    return addr_port(&local);
}

void acceptor_new(struct proxy *p, struct proxy_listener *l, int fd, uint32_t bind)
{
    struct acceptor *a = xcalloc(1, sizeof(*a));

    a->proxy = p;
    a->listener = proxy_hold(p, l);
    a->bind = bind;
    a->fd = fd;
    a->row = &l->stats->rows[p->worker];
    a->port = port_of(p->loop->io, fd);
    op_init(&a->op, on_accept);
    timer_init(&a->resume, on_resume);
    list_init(&a->node);
    list_push_back(&p->acceptors, &a->node);
    if (l->conf->mode == MODE_UDP)
        udp_open(a);
    else
        resume(a);
}

void acceptor_move(struct acceptor *a, struct proxy_listener *to)
{
    struct proxy_listener *old = a->listener;

    if (a->stopping || to == old)
        return;
    a->listener = proxy_hold(a->proxy, to);
    a->row = &to->stats->rows[a->proxy->worker];
    proxy_release(a->proxy, old);
    if (a->udp != NULL)
        udp_moved(a);
}

void acceptor_stop(struct acceptor *a)
{
    if (a->stopping)
        return;
    a->stopping = true;
    if (a->udp != NULL) {
        udp_close(a);
        return;
    }
    timer_stop(&a->proxy->loop->timers, &a->resume);
    if (a->op.armed)
        io_cancel(a->proxy->loop->io, &a->op);
    else
        finish_stop(a);
}

void acceptor_free(struct acceptor *a)
{
    proxy_release(a->proxy, a->listener);
    free(a);
}
