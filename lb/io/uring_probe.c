/* uring_probe.c - whether io_uring can carry the data plane here, found by trying it.
 *
 * Kernel versions lie (backports, container profiles, sysctl), so the probe sets up an engine and
 * moves bytes through a socket pair with exactly the operations that uring.c relies on. */
#include "lb/base/alloc.h"
#include "lb/base/assert.h"
#include "lb/io/io_priv.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void say(struct io_probe *p, const char *what, int error)
{
    const char *hint = "";

    if (error == -EPERM)
        hint = " (forbidden: container profile, or sysctl kernel.io_uring_disabled)";
    else if (error == -ENOSYS)
        hint = " (kernel without io_uring)";
    else if (error == -EINVAL)
        hint = " (kernel older than 6.0)";
    else if (error == -ENOMEM)
        hint = " (locked memory or memory limit)";
    snprintf(p->why, sizeof(p->why), "%s: %s%s", what, strerror(-error), hint);
}

struct trial {
    struct trial *next; /* unfinished */
    struct io *io;
    int fds[2];
    struct op recv, send;
    int received, sent; /* last results */
    uint32_t bytes;
    bool stream_open_after_data;
};

static void on_recv(struct op *op, int res)
{
    struct trial *t = container_of(op, struct trial, recv);

    t->received = res;
    if (res > 0) {
        t->bytes += (uint32_t)res;
        io_buf_put_chain(t->io, op_take_bufs(op));
    }
}

static void on_send(struct op *op, int res)
{
    container_of(op, struct trial, send)->sent = res;
}

/* Turns until this is true, or an engine that works would long have come to it. 0 or -errno. */
static int turn_until(struct trial *t, bool (*done)(const struct trial *))
{
    for (int i = 0; i < 50 && !done(t); i++) {
        int r = io_turn(t->io, 20, NULL);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool is_through(const struct trial *t)
{
    return (!t->send.armed && t->bytes >= 5) || !t->recv.armed;
}

static bool is_idle(const struct trial *t)
{
    return !t->recv.armed && !t->send.armed;
}

/* A few bytes through the pair: a settled send, a multishot receive, a cancel. */
static int move_bytes(struct trial *t, const char **out_what)
{
    op_init(&t->recv, on_recv);
    op_init(&t->send, on_send);
    io_recv(t->io, &t->recv, t->fds[0]);
    io_send(t->io, &t->send, t->fds[1], "probe", 5);
    *out_what = "io_uring_enter";
    int rc = turn_until(t, is_through);
    t->stream_open_after_data = t->recv.armed;
    io_cancel(t->io, &t->recv);
    if (rc == 0)
        rc = turn_until(t, is_idle);
    if (rc < 0)
        return rc;
    *out_what = "multishot receive";
    if (!is_idle(t))
        return -ETIME;
    return t->bytes == 5 && t->sent == 5 && t->stream_open_after_data ? 0 : -EINVAL;
}

/* Trials that did not finish are kept: the kernel may still own their ops. */
static struct trial *unfinished;

static void trial_free(struct trial *t)
{
    if (t->io != NULL && !is_idle(t)) {
        t->next = unfinished;
        unfinished = t;
        return;
    }
    if (t->io != NULL)
        io_free(&t->io);
    if (t->fds[0] >= 0) {
        close(t->fds[0]);
        close(t->fds[1]);
    }
    free(t);
}

static int try_engine(struct io_probe *out)
{
    struct trial *t = xcalloc(1, sizeof(*t));
    const char *what = "io_uring_setup";
    int error = 0;

    t->fds[0] = t->fds[1] = -1;
    t->io = io_uring_engine_new(&(struct io_conf){.engine = IO_URING, .bufs_max = 64}, &error);
    if (t->io != NULL) {
        what = "socketpair";
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, t->fds) < 0)
            error = -errno;
        else
            error = move_bytes(t, &what);
    }
    if (error < 0)
        say(out, what, error);
    trial_free(t);
    return error;
}

static bool can_defer(void)
{
    struct io_uring ring;
    int r = io_uring_queue_init(8, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);

    if (r < 0)
        return false;
    io_uring_queue_exit(&ring);
    return true;
}

void io_uring_probe(struct io_probe *out)
{
    memset(out, 0, sizeof(*out));
    if (try_engine(out) < 0)
        return;
    out->uring = true;
    out->multishot_recv = true;
    out->defer_taskrun = can_defer();
    snprintf(out->features, sizeof(out->features),
             "multishot accept and receive, provided buffers, settled sends%s",
             out->defer_taskrun ? ", deferred task work" : "");
}
