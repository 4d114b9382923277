/* signals.c - see signals.h */
#include "lb/main/signals.h"

#include "lb/io/loop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const int ours[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};

static void the_set(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        sigaddset(set, ours[i]);
}

void signals_block(void)
{
    sigset_t set;

    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        signal(ours[i], SIG_DFL); /* a shell starts background jobs with INT and QUIT ignored */
    the_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void on_readable(struct op *op, int res)
{
    struct signals *s = container_of(op, struct signals, op);
    struct signalfd_siginfo info;

    if (s->stopping || res == -ECANCELED)
        return;
    while (read(s->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        s->fn(s->arg, (int)info.ssi_signo);
    if (!s->stopping) /* fn may have asked */
        io_poll(s->loop->io, &s->op, s->fd, POLLIN);
}

int signals_start(struct signals *s, struct loop *loop, signals_fn *fn, void *arg)
{
    sigset_t set;

    *s = (struct signals){.loop = loop, .fn = fn, .arg = arg};
    op_init(&s->op, on_readable);
    the_set(&set);
    s->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->fd < 0)
        return -errno;
    io_poll(loop->io, &s->op, s->fd, POLLIN);
    return 0;
}

void signals_stop(struct signals *s)
{
    s->stopping = true;
    io_cancel(s->loop->io, &s->op);
}

bool signals_stopped(const struct signals *s)
{
    return !s->op.armed;
}

void signals_fini(struct signals *s)
{
    sl_assert(signals_stopped(s));
    close(s->fd);
    s->fd = -1;
}
