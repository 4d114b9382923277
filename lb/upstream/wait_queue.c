/* wait_queue.c - see wait_queue.h. */
#include "lb/upstream/wait_queue.h"

#include "lb/upstream/pool.h"

static void run(struct wait_queue *q)
{
    /* Each is asked at most once: one that takes its place and gives it back at once (a failed
     * socket) must not keep the turn going. */
    for (uint32_t n = atomic_load_explicit(&q->n, memory_order_relaxed); n > 0; n--) {
        if (list_empty(&q->waiters))
            return;
        struct waiter *w = list_entry(q->waiters.next, struct waiter, node);
        if (!w->try(w))
            return;
    }
}

static void on_task(struct loop_task *task)
{
    run(container_of(task, struct wait_queue, task));
}

static void on_wake(struct loop_msg *msg, void *ctx)
{
    struct wait_queue *q = container_of(msg, struct wait_queue, wake);

    (void)ctx;
    atomic_store(&q->wake_posted, false); /* before looking: a later signal posts anew */
    run(q);
}

void wait_queue_init(struct wait_queue *q, struct loop *loop, struct pool *pool)
{
    list_init(&q->waiters);
    q->loop = loop;
    q->pool = pool;
    list_init(&q->task.node);
    q->task.fn = on_task;
    q->wake = (struct loop_msg){.fn = on_wake};
    atomic_init(&q->wake_posted, false);
    atomic_init(&q->n, 0);
}

void wait_queue_add(struct wait_queue *q, struct waiter *w)
{
    list_push_back(&q->waiters, &w->node);
    atomic_store(&q->n, atomic_load_explicit(&q->n, memory_order_relaxed) + 1);
    uint32_t waiting = atomic_fetch_add(&q->pool->waiting, 1) + 1;
    counter_max(&q->pool->waiting_max, waiting);
    /* A place may have been given back between our failed try and the count above, by one who saw
     * nobody waiting: look once more (modelled in tests/model). */
    wait_queue_run_soon(q);
}

void wait_queue_remove(struct wait_queue *q, struct waiter *w)
{
    if (!list_linked(&w->node))
        return;
    list_remove(&w->node);
    atomic_store(&q->n, atomic_load_explicit(&q->n, memory_order_relaxed) - 1);
    atomic_fetch_sub(&q->pool->waiting, 1);
}

void wait_queue_run_soon(struct wait_queue *q)
{
    if (!list_empty(&q->waiters))
        loop_defer(q->loop, &q->task);
}

bool wait_queue_signal(struct wait_queue *q)
{
    if (atomic_load(&q->n) == 0)
        return false;
    if (!atomic_exchange(&q->wake_posted, true))
        loop_post(q->loop, &q->wake);
    return true;
}
