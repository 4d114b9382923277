/* splice.c - moving bytes with splice(2), common to the kernel engines, and the pipes it needs.
 *
 * splice(2) is called by the worker itself, never through IORING_OP_SPLICE: the kernel always hands
 * that to its thread pool. SIGPIPE must be ignored by the process. */
#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/io/io_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool drain_out(struct io *io, struct op *op, uint32_t *budget, enum splice_wait *out)
{
    struct io_pipe *p = op->splice.pipe;

    while (p->fill > 0) {
        ssize_t n =
            splice(p->rd, NULL, op->splice.out, NULL, p->fill, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        counter_add(&io->stats.syscalls, 1);
        if (n > 0) {
            p->fill -= (uint32_t)n;
            *budget -= (uint32_t)n < *budget ? (uint32_t)n : *budget;
            io_note_moved(io, op, (uint32_t)n);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            *out = SPLICE_WAIT_OUT;
            return false;
        }
        p->end = n < 0 ? -errno : -EPIPE;
        p->error_on_in = false;
        *out = SPLICE_END;
        return false;
    }
    return true;
}

/* Before urgent data splice(2) stops, and says that nothing is there or even that the stream ended.
 * Only a receive gets past it. */
static bool at_urgent_mark(struct io *io, int fd)
{
    int at = 0;

    counter_add(&io->stats.syscalls, 1);
    return ioctl(fd, SIOCATMARK, &at) == 0 && at != 0;
}

enum splice_wait io_splice_step(struct io *io, struct op *op)
{
    struct io_pipe *p = op->splice.pipe;
    uint32_t budget = LIMIT_TURN_SPLICE;
    enum splice_wait wait;
    bool woken_in_vain = true;

    for (;;) {
        if (!drain_out(io, op, &budget, &wait))
            return wait;
        if (budget == 0)
            return SPLICE_AGAIN;
        if (p->left == 0) {
            p->end = 0;
            p->error_on_in = true;
            return SPLICE_END;
        }
        size_t want = p->left < p->size ? (size_t)p->left : p->size;
        ssize_t n = splice(op->fd, NULL, p->wr, NULL, want, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        counter_add(&io->stats.syscalls, 1);
        if (n > 0) {
            p->fill += (uint32_t)n;
            p->left -= (uint64_t)n;
            woken_in_vain = false;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        int error = n < 0 ? -errno : 0;
        if ((error == 0 || (error == -EAGAIN && woken_in_vain)) && at_urgent_mark(io, op->fd))
            error = -EINVAL;
        if (error == -EAGAIN)
            return SPLICE_WAIT_IN;
        p->end = error;
        p->error_on_in = true;
        return SPLICE_END;
    }
}

/* ---- pipes ---- */

struct io_pipe *io_pipe_take(struct io *io)
{
    int fds[2];

    if (io->engine->pipe_take != NULL)
        return io->engine->pipe_take(io);
    struct list *node = list_pop_front(&io->pipes_idle);
    if (node != NULL) {
        io->n_pipes_idle--;
        counter_add(&io->stats.pipes_used, 1);
        return list_entry(node, struct io_pipe, node);
    }
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
        return NULL;
    struct io_pipe *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        close(fds[0]);
        close(fds[1]);
        return NULL;
    }
    list_init(&p->node);
    p->rd = fds[0];
    p->wr = fds[1];
    int size = fcntl(p->wr, F_SETPIPE_SZ, (int)LIMIT_PIPE_BYTES);
    if (size < 0)
        size = fcntl(p->wr, F_GETPIPE_SZ);
    p->size = size > 0 ? (uint32_t)size : 4096;
    p->end = 1;
    counter_add(&io->stats.pipes_open, 1);
    counter_add(&io->stats.pipes_used, 1);
    return p;
}

void io_pipe_give(struct io *io, struct io_pipe **pipe)
{
    struct io_pipe *p = *pipe;

    *pipe = NULL;
    if (p == NULL)
        return;
    if (io->engine->pipe_give != NULL) {
        io->engine->pipe_give(io, p);
        return;
    }
    counter_sub(&io->stats.pipes_used, 1);
    if (p->fill == 0 && io->n_pipes_idle < LIMIT_PIPES_IDLE) {
        list_push_front(&io->pipes_idle, &p->node);
        io->n_pipes_idle++;
        return;
    }
    close(p->rd);
    close(p->wr);
    counter_sub(&io->stats.pipes_open, 1);
    free(p);
}

uint32_t io_pipe_fill(const struct io_pipe *pipe)
{
    return pipe->fill;
}

bool io_pipe_error_on_in(const struct io_pipe *pipe)
{
    return pipe->error_on_in;
}

uint64_t io_pipe_left(const struct io_pipe *pipe)
{
    return pipe->left;
}
