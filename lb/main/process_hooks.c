/* process_hooks.c - see process_hooks.h */
#include "lb/main/process_hooks.h"

#include "health/checker.h"
#include "lb/main/checker_thread.h"
#include "lb/main/process.h"
#include "lb/main/snapshot.h"
#include "lb/main/worker.h"
#include "lb/upstream/pool.h"
#include "lb/upstream/wait_queue.h"

void process_pool_changed(struct process *p, uint32_t pool)
{
    uint64_t wall_us = io_wall_us(checker_thread_loop(p->checker)->io);
    struct pool_kept *kept = NULL;

    list_for_each (node, &p->live->views[pool]) {
        struct pool *each = list_entry(node, struct live_pool, view)->pool;
        kept = each->kept;
        /* What is told of the pool is told of the newest. */
        pool_rebuild(each, node->next == &p->live->views[pool] ? wall_us : 0);
    }
    epoch_collect(p->epochs);
    for (uint32_t i = 0; kept != NULL && i < kept->n_rows; i++) {
        struct wait_queue *q = atomic_load(&kept->queues[i]);
        if (q != NULL)
            wait_queue_wake(q);
    }
}

static void on_pool_changed(void *ctx, uint32_t pool)
{
    process_pool_changed(ctx, pool);
}

static void on_backend_down(void *ctx, uint32_t slot)
{
    struct process *p = ctx;
    struct backend_slot *s = table_slot(p->table, slot);

    for (uint32_t i = 0; i < p->n_started; i++)
        worker_backend_down(&p->workers[i], s);
}

static void on_first_round(void *ctx)
{
    struct process *p = ctx;

    loop_post(&p->loop, &p->first_round_msg);
}

struct checker_hooks process_hooks(struct process *p)
{
    return (struct checker_hooks){p, on_pool_changed, on_backend_down, on_first_round};
}

/* ---- on a worker ---- */

void process_on_listener_over(void *ctx)
{
    struct process *p = ctx;

    if (!atomic_exchange(&p->sweep_posted, true))
        loop_post(&p->loop, &p->sweep_msg);
}
