/* loop.c - see loop.h. A turn: wait (outside the epoch), deliver completions, read the mailbox,
 * fire timers, run what was put off. */
#include "lb/io/loop.h"

#include "lb/base/epoch.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_wake(struct op *op, int res)
{
    struct loop *l = container_of(op, struct loop, wake_op);

    if (res == -ECANCELED)
        return;
    if (read(l->wake_fd, &l->wake_value, sizeof(l->wake_value)) < 0)
        sl_assert(errno == EAGAIN || errno == EINTR);
    io_poll(l->io, &l->wake_op, l->wake_fd, POLLIN);
}

int loop_init(struct loop *l, struct io *io, void *ctx)
{
    memset(l, 0, sizeof(*l));
    l->io = io;
    l->ctx = ctx;
    l->wake_fd = -1;
    list_init(&l->tasks);
    timer_wheel_init(&l->timers, io_now_ms(io));
    op_init(&l->wake_op, on_wake);
    if (io_engine(io) == IO_SIM) /* one thread, simulated time: nobody wakes it from outside */
        return 0;
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->wake_fd < 0)
        return -errno;
    io_poll(io, &l->wake_op, l->wake_fd, POLLIN);
    return 0;
}

void loop_fini(struct loop *l)
{
    io_cancel(l->io, &l->wake_op);
    while (l->wake_op.armed)
        io_turn(l->io, 10, NULL);
    if (l->wake_fd >= 0)
        io_close(l->io, l->wake_fd);
    l->wake_fd = -1;
    io_free(&l->io);
}

static void before_wait(void *arg)
{
    struct loop *l = arg;
    if (l->epoch != NULL)
        epoch_leave(l->epoch);
}

static void after_wait(void *arg)
{
    struct loop *l = arg;
    if (l->epoch != NULL)
        epoch_enter(l->epoch);
}

static void read_inbox(struct loop *l)
{
    if (atomic_load_explicit(&l->inbox, memory_order_relaxed) == NULL)
        return;
    struct loop_msg *m = atomic_exchange_explicit(&l->inbox, NULL, memory_order_acquire);
    struct loop_msg *in_order = NULL;

    while (m != NULL) { /* posted last, first in the list */
        struct loop_msg *next = m->next;
        m->next = in_order;
        in_order = m;
        m = next;
    }
    while (in_order != NULL) {
        struct loop_msg *next = in_order->next;
        in_order->fn(in_order, l->ctx); /* may free the message */
        in_order = next;
    }
}

static void run_tasks(struct loop *l)
{
    struct list now, *node;

    list_init(&now);
    list_splice_back(&now, &l->tasks); /* what they put off in turn runs in the next turn */
    while ((node = list_pop_front(&now)) != NULL) {
        struct loop_task *t = list_entry(node, struct loop_task, node);
        t->fn(t);
    }
}

/* How long the engine may wait, and says so to posters: they write the eventfd only when asleep is
 * set. The order here (set asleep, then look at the inbox) against theirs (post, then look at
 * asleep) makes that no message waits for a sleeper; both are sequentially consistent. */
static int prepare_wait(struct loop *l, int max_wait_ms)
{
    int wait = timer_next_ms(&l->timers, loop_now_ms(l));

    if (wait < 0 || (max_wait_ms >= 0 && max_wait_ms < wait))
        wait = max_wait_ms;
    if (wait == 0 || l->stop || !list_empty(&l->tasks))
        return 0;
    atomic_store(&l->asleep, true);
    if (atomic_load(&l->inbox) != NULL) {
        atomic_store(&l->asleep, false);
        return 0;
    }
    return wait;
}

int loop_turn(struct loop *l, int max_wait_ms)
{
    const struct io_turn_hooks hooks = {before_wait, after_wait, l};

    if (l->epoch != NULL)
        epoch_enter(l->epoch); /* nothing is held from the turn before */
    int wait = prepare_wait(l, max_wait_ms);
    int n = io_turn(l->io, wait, &hooks);
    if (wait != 0)
        atomic_store_explicit(&l->asleep, false, memory_order_relaxed);
    read_inbox(l);
    timer_run(&l->timers, loop_now_ms(l));
    run_tasks(l);
    atomic_fetch_add_explicit(&l->heartbeat, 1, memory_order_relaxed);
    return n;
}

void loop_run(struct loop *l)
{
    while (!l->stop)
        sl_assert(loop_turn(l, -1) >= 0);
    if (l->epoch != NULL)
        epoch_leave(l->epoch);
}

void loop_stop(struct loop *l)
{
    l->stop = true;
}

void loop_post(struct loop *l, struct loop_msg *msg)
{
    struct loop_msg *head = atomic_load_explicit(&l->inbox, memory_order_relaxed);

    do
        msg->next = head;
    while (!atomic_compare_exchange_weak(&l->inbox, &head, msg));
    if (atomic_load(&l->asleep) && atomic_exchange(&l->asleep, false)) {
        uint64_t one = 1;
        if (l->wake_fd >= 0 && write(l->wake_fd, &one, sizeof(one)) < 0)
            sl_assert(errno == EAGAIN || errno == EINTR);
    }
}

void loop_defer(struct loop *l, struct loop_task *task)
{
    if (!list_linked(&task->node))
        list_push_back(&l->tasks, &task->node);
}
