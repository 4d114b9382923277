/* wait_queue.c - see wait_queue.h. */
#include "lb/upstream/wait_queue.h"

#include "lb/upstream/pool.h"

#define NOBODY UINT64_MAX

/* Owner's thread, after the list has changed. */
static void note_oldest(struct wait_queue *q)
{
    uint64_t us = NOBODY;

    if (!list_empty(&q->waiters))
        us = list_entry(q->waiters.next, struct waiter, node)->since_us;
    atomic_store(&q->oldest_us, us);
}

/* The queue whose first waiter has waited longest, of those that began to wait after `after_us`. */
static struct wait_queue *oldest(const struct pool_kept *p, uint64_t after_us)
{
    struct wait_queue *best = NULL;
    uint64_t best_us = NOBODY;

    for (uint32_t i = 0; i < p->n_rows; i++) {
        struct wait_queue *q = atomic_load_explicit(&p->queues[i], memory_order_acquire);
        uint64_t us = q != NULL ? atomic_load(&q->oldest_us) : NOBODY;
        if (us < best_us && us > after_us) {
            best_us = us;
            best = q;
        }
    }
    return best;
}

void wait_queue_wake(struct wait_queue *q)
{
    if (!atomic_exchange(&q->wake_posted, true))
        loop_post(q->loop, &q->wake);
}

/* Someone else has waited longer: it is his turn. */
static bool yield_to_older(struct wait_queue *q)
{
    struct wait_queue *o = oldest(q->pool, 0);

    if (o == NULL || o == q)
        return false;
    wait_queue_wake(o);
    return true;
}

static void hand_on(struct wait_queue *q, uint64_t after_us)
{
    struct wait_queue *next = oldest(q->pool, after_us);

    if (next != NULL && next != q)
        wait_queue_wake(next);
}

/* Each is asked at most once: one that takes its place and gives it back at once (a failed socket)
 * must not keep the turn going. called: by a wake, so it is our turn, at least for the first.
 * A place that is none for a choosy one is offered to those behind it, here and elsewhere; from
 * then on nobody is yielded to, as the older ones have had their chance (and would call us again).
 * When nobody is left here the turn is handed on: there may be more places (a backend that came
 * back has many), or the last waiter has left meanwhile. */
static void run(struct wait_queue *q, bool called)
{
    struct list *passed = &q->waiters; /* the last of those who could not use a place */

    if (list_empty(&q->waiters)) {
        hand_on(q, 0);
        return;
    }
    for (uint32_t n = q->n; n > 0 && passed->next != &q->waiters; n--) {
        struct waiter *w = list_entry(passed->next, struct waiter, node);
        if (!called && yield_to_older(q))
            return;
        if (w->try(w)) {
            called = passed != &q->waiters;
            continue;
        }
        if (!w->choosy && !q->mixed)
            return;
        hand_on(q, w->since_us);
        passed = &w->node;
        called = true;
    }
    if (list_empty(&q->waiters)) /* younger ones elsewhere have yielded to ours, once */
        hand_on(q, 0);
}

static void on_task(struct loop_task *task)
{
    run(container_of(task, struct wait_queue, task), false);
}

static void on_wake(struct loop_msg *msg, void *ctx)
{
    struct wait_queue *q = container_of(msg, struct wait_queue, wake);

    (void)ctx;
    atomic_store(&q->wake_posted, false); /* before looking: a later signal posts anew */
    run(q, true);
}

void wait_queue_init(struct wait_queue *q, struct loop *loop, struct pool_kept *pool,
                     uint32_t worker)
{
    list_init(&q->waiters);
    q->loop = loop;
    q->pool = pool;
    q->n = 0;
    q->mixed = false;
    list_init(&q->task.node);
    q->task.fn = on_task;
    q->wake = (struct loop_msg){.fn = on_wake};
    atomic_init(&q->wake_posted, false);
    atomic_init(&q->oldest_us, NOBODY);
    atomic_store_explicit(&pool->queues[worker], q, memory_order_release);
}

void wait_queue_add(struct wait_queue *q, struct waiter *w)
{
    w->since_us = loop_now_us(q->loop);
    list_push_back(&q->waiters, &w->node);
    q->n++;
    note_oldest(q);
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
    q->n--;
    q->mixed = q->mixed && q->n > 0;
    note_oldest(q);
    atomic_fetch_sub(&q->pool->waiting, 1);
}

void wait_queue_mix(struct wait_queue *q)
{
    q->mixed = q->n > 0;
}

void wait_queue_run_soon(struct wait_queue *q)
{
    if (!list_empty(&q->waiters))
        loop_defer(q->loop, &q->task);
}

void wait_queue_place_free(struct wait_queue *q)
{
    if (likely(atomic_load(&q->pool->waiting) == 0))
        return;
    struct wait_queue *o = oldest(q->pool, 0);
    if (o == q)
        wait_queue_run_soon(q);
    else if (o != NULL)
        wait_queue_wake(o);
}
