/* origin_udp.c - `sluice origin --udp`: sends each datagram back to where it came from. */
#include "lb/main/origin_udp.h"

#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/io/loop.h"

#include <stdlib.h>

struct echo {
    struct loop *loop;
    struct op op;
    int fd;
    bool over;
    struct io_dgram d[IO_DGRAMS_MAX];
    uint8_t *memory;
};

static void send_back(struct echo *e, int n)
{
    int at = 0;

    while (at < n) {
        int sent = io_dgrams_send(e->loop->io, e->fd, &e->d[at], n - at, true);
        at += sent > 0 ? sent : 1; /* what cannot be sent is lost, as it might be anywhere */
    }
}

static void on_dgrams(struct op *op, int res)
{
    struct echo *e = container_of(op, struct echo, op);
    int n = IO_DGRAMS_MAX;

    (void)res;
    if (!op->armed) {
        e->over = true;
        return;
    }
    while (n == IO_DGRAMS_MAX) {
        n = io_dgrams_recv(e->loop->io, e->fd, e->d, IO_DGRAMS_MAX, LIMIT_DGRAM, true);
        send_back(e, n);
    }
}

struct echo *echo_new(struct loop *loop, int fd)
{
    struct echo *e = xcalloc(1, sizeof(*e));

    e->loop = loop;
    e->fd = fd;
    e->memory = xmalloc((size_t)IO_DGRAMS_MAX * LIMIT_DGRAM);
    for (size_t i = 0; i < IO_DGRAMS_MAX; i++)
        e->d[i].data = e->memory + i * LIMIT_DGRAM;
    op_init(&e->op, on_dgrams);
    io_watch(loop->io, &e->op, fd);
    return e;
}

void echo_stop(struct echo *e)
{
    io_cancel(e->loop->io, &e->op);
}

bool echo_stopped(const struct echo *e)
{
    return e->over;
}

void echo_free(struct echo **e)
{
    sl_assert((*e)->over);
    free((*e)->memory);
    free(*e);
    *e = NULL;
}
