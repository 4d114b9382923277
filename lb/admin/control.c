/* control.c - the stats sockets, on the control thread's loop; see control.h. What their clients
 * say and are told is in control_client.c. */
#include "lb/admin/control.h"

#include "lb/admin/control_priv.h"
#include "lb/admin/peer.h"
#include "lb/admin/refusals.h"
#include "lb/admin/sampler.h"
#include "lb/base/alloc.h"
#include "lb/io/loop.h"
#include "lb/obs/events.h"

#include <errno.h>
#include <stdlib.h>

#define TICK_MS 1000

struct control_socket {
    struct list node;
    struct control *control;
    char *path;
    struct op accept;
    struct peer_rule rule;
    bool ruled; /* the rule holds */
    int fd;
    enum control_level level;
    bool broken;
    bool leaving; /* goes with its last accept */
};

static bool is_welcome(const struct control_socket *s, int fd)
{
    uid_t uid;

    if (!s->ruled || peer_may(&s->rule, fd, &uid))
        return true;
    events_log(EVENT_REFUSED, LOG_LEVEL_WARN, NULL,
               "stats socket %s: a client of user %ld is refused: its mode and owner do not let it",
               s->path, (long)(int)uid);
    return false;
}

static void welcome(struct control_socket *s, int fd)
{
    if (s->control->stopping || !is_welcome(s, fd))
        io_close(s->control->loop->io, fd);
    else
        control_client_new(s->control, fd, s->level);
}

static void socket_free(struct control_socket *s)
{
    list_remove(&s->node);
    io_close(s->control->loop->io, s->fd);
    free(s->path);
    free(s);
}

/* Who waits there has connected to what was ours. */
static void socket_close(struct control_socket *s)
{
    int fd;

    while (!s->control->stopping && (fd = io_accept_now(s->control->loop->io, s->fd)) >= 0)
        welcome(s, fd);
    socket_free(s);
}

static void on_accept(struct op *op, int res)
{
    struct control_socket *s = container_of(op, struct control_socket, accept);

    if (res >= 0)
        welcome(s, res);
    if (s->leaving) {
        if (!op->armed)
            socket_close(s);
        return;
    }
    if (res >= 0 || s->control->stopping || res == -ECANCELED)
        return;
    /* Short of descriptors or memory: the next tick tries again. */
    if (res != -EMFILE && res != -ENFILE && res != -ENOBUFS && res != -ENOMEM) {
        s->broken = true;
        events_log(EVENT_LIMIT, LOG_LEVEL_ERROR, NULL, "stats socket: accepting ended: %s",
                   strerror(-res));
    }
}

static void on_tick(struct timer *t)
{
    struct control *control = container_of(t, struct control, tick);

    sampler_tick(control->env.sampler, loop_now_us(control->loop));
    refusals_look(control->refusals, loop_now_us(control->loop));
    list_for_each (it, &control->sockets) {
        struct control_socket *s = list_entry(it, struct control_socket, node);
        if (!s->accept.armed && !s->broken && !s->leaving)
            io_accept(control->loop->io, &s->accept, s->fd);
    }
    timer_start(&control->loop->timers, &control->tick, loop_now_ms(control->loop) + TICK_MS);
}

/* ---- life ---- */

struct control *control_new(struct loop *loop, const struct admin_ops *ops)
{
    struct control *control = xcalloc(1, sizeof(*control));

    control->loop = loop;
    control->ops = ops;
    control->env.ops = ops;
    control->env.sampler = sampler_new(ops, loop_now_us(loop));
    control->refusals = refusals_new(ops);
    control->start_ms = loop_now_ms(loop);
    list_init(&control->sockets);
    list_init(&control->clients);
    timer_init(&control->tick, on_tick);
    timer_start(&loop->timers, &control->tick, control->start_ms + TICK_MS);
    return control;
}

/* For `show cli sockets`. */
static void list_sockets(struct control *control)
{
    struct command_env *env = &control->env;

    env->n_sockets = 0;
    list_for_each (it, &control->sockets) {
        const struct control_socket *s = list_entry(it, struct control_socket, node);
        if (s->leaving)
            continue;
        control->env_sockets =
            xrealloc(control->env_sockets, (env->n_sockets + 1) * sizeof(control->env_sockets[0]));
        control->env_sockets[env->n_sockets++] = (struct command_socket){s->path, s->level};
    }
    env->sockets = control->env_sockets;
}

struct control_socket *control_listen(struct control *control, int fd, const char *path,
                                      enum control_level level, const struct peer_rule *rule)
{
    struct control_socket *s = xcalloc(1, sizeof(*s));

    s->control = control;
    s->path = xstrdup(path);
    s->fd = fd;
    s->level = level;
    s->ruled = rule != NULL;
    if (rule != NULL)
        s->rule = *rule;
    op_init(&s->accept, on_accept);
    list_push_back(&control->sockets, &s->node);
    list_sockets(control);
    io_accept(control->loop->io, &s->accept, fd);
    return s;
}

void control_set_level(struct control_socket *s, enum control_level level)
{
    s->level = level;
    list_sockets(s->control);
}

void control_unlisten(struct control *control, struct control_socket **socket)
{
    struct control_socket *s = *socket;

    *socket = NULL;
    s->leaving = true;
    list_sockets(control);
    if (s->accept.armed)
        io_cancel(control->loop->io, &s->accept);
    else
        socket_close(s);
}

void control_follow(struct control *control)
{
    sampler_follow(control->env.sampler);
    refusals_follow(control->refusals);
}

const struct command_env *control_env(const struct control *control)
{
    return &control->env;
}

void control_stop(struct control *control)
{
    if (control->stopping)
        return;
    control->stopping = true;
    timer_stop(&control->loop->timers, &control->tick);
    list_for_each (it, &control->sockets) {
        struct control_socket *s = list_entry(it, struct control_socket, node);
        if (s->accept.armed && !s->leaving)
            io_cancel(control->loop->io, &s->accept);
    }
    list_for_each_safe (it, tmp, &control->clients)
        control_client_stop(it);
}

bool control_stopped(const struct control *control)
{
    list_for_each (it, &control->sockets)
        if (list_entry(it, struct control_socket, node)->accept.armed)
            return false;
    return control->stopping && list_empty(&control->clients);
}

void control_free(struct control **control)
{
    struct control *c = *control;

    if (c == NULL)
        return;
    sl_assert(control_stopped(c));
    list_for_each_safe (it, tmp, &c->sockets)
        socket_free(list_entry(it, struct control_socket, node));
    free(c->env_sockets);
    sampler_free(&c->env.sampler);
    refusals_free(&c->refusals);
    free(c);
    *control = NULL;
}
