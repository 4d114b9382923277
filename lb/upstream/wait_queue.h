/* wait_queue.h - sessions of one worker that wait for a place at a backend of one pool.
 *
 * First in, first out. A waiter is asked to try again, at the end of a turn, when a place was given
 * back on this worker, when another worker handed one over (wait_queue_signal), or when the pool
 * changed. pool->waiting counts the waiters of all workers. */
#ifndef SLUICE_UPSTREAM_WAIT_QUEUE_H
#define SLUICE_UPSTREAM_WAIT_QUEUE_H

#include "lb/io/loop.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pool;
struct waiter;

struct waiter {
    struct list node;
    /* True when it got a place, or ended: it is out of the queue then (it took itself out). False:
     * it stays, and those behind it are not asked. */
    bool (*try)(struct waiter *w);
};

struct wait_queue {
    struct list waiters;
    struct loop *loop;
    struct pool *pool;
    struct loop_task task;
    struct loop_msg wake;
    _Atomic bool wake_posted;
    _Atomic uint32_t n; /* written by the owner only */
};

void wait_queue_init(struct wait_queue *q, struct loop *loop, struct pool *pool);
void wait_queue_add(struct wait_queue *q, struct waiter *w);
void wait_queue_remove(struct wait_queue *q, struct waiter *w); /* no effect when not queued */
/* The owner's thread: asks the waiters at the end of this turn. */
void wait_queue_run_soon(struct wait_queue *q);
/* Any thread: the same, by a wake. False when nobody waits there. */
bool wait_queue_signal(struct wait_queue *q);

#endif
