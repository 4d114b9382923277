/* wait_queue.h - sessions of one worker that wait for a place at a backend of the pools of
 * one name (there are several after a reload; each session tries by its own).
 *
 * First in, first out, over all workers: a place that was given back goes to the queue whose first
 * waiter has waited longest, by a wake where that is another worker's. Waiters are asked at the end
 * of a turn. One that cannot use the place (it has tried that backend already) lets others pass. */
#ifndef SLUICE_UPSTREAM_WAIT_QUEUE_H
#define SLUICE_UPSTREAM_WAIT_QUEUE_H

#include "lb/io/loop.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pool_kept;
struct waiter;

struct waiter {
    struct list node;
    uint64_t since_us;
    bool choosy; /* set by its owner: not every backend will do for it */
    /* True when it got a place, or ended: it is out of the queue then (it took itself out, and
     * nobody else). False: it stays, and those behind it are asked only when it is choosy. */
    bool (*try)(struct waiter *w);
};

struct wait_queue {
    struct list waiters;
    uint32_t n;
    bool mixed; /* waiters of several pools: what will not do for one may do for another */
    struct loop *loop;
    struct pool_kept *pool;
    struct loop_task task;
    struct loop_msg wake;
    _Atomic bool wake_posted;
    _Atomic uint64_t
        oldest_us; /* of the first waiter; UINT64_MAX: none. Written by the owner only */
};

/* Registers with the pool as this worker's queue. */
void wait_queue_init(struct wait_queue *q, struct loop *loop, struct pool_kept *pool,
                     uint32_t worker);
void wait_queue_add(struct wait_queue *q, struct waiter *w);
void wait_queue_remove(struct wait_queue *q, struct waiter *w); /* no effect when not queued */
/* The owner's thread: asks the waiters at the end of this turn. */
void wait_queue_run_soon(struct wait_queue *q);
/* A reload has changed the pool: waiters that are here look at what it was. */
void wait_queue_mix(struct wait_queue *q);
/* Any thread: as wait_queue_run_soon(), by a message. */
void wait_queue_wake(struct wait_queue *q);
/* A place was given back on q's worker: those who wait longest are asked, here or elsewhere. */
void wait_queue_place_free(struct wait_queue *q);

#endif
