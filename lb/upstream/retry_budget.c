/* retry_budget.c - see retry_budget.h. Time is cut into seconds; a bucket is one word, the second
 * above its count, so that whoever finds an older second there starts a new count in one step. */
#include "lb/upstream/retry_budget.h"

#include "lb/base/alloc.h"
#include "lb/base/assert.h"
#include "lb/base/limits.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

#define WINDOW_S 10 /* the present second and the nine before it */
#define BUCKETS  16 /* more than the window: clocks of workers differ by a turn */

static_assert((BUCKETS & (BUCKETS - 1)) == 0 && BUCKETS > WINDOW_S, "a ring of buckets");

struct row {
    alignas(CACHE_LINE) _Atomic uint64_t buckets[BUCKETS];
};

struct retry_budget {
    uint32_t percent, min_per_s;
    uint32_t n_rows;
    struct row retries;
    struct row requests[]; /* one per worker */
};

static uint64_t second_of(uint64_t now_us)
{
    return now_us / 1000000 & UINT32_MAX;
}

/* What the bucket has counted of this second. */
static uint64_t count_in(uint64_t bucket, uint64_t second)
{
    return bucket >> 32 == second ? bucket & UINT32_MAX : 0;
}

static uint64_t plus_one(uint64_t bucket, uint64_t second)
{
    return (second << 32 | count_in(bucket, second)) + 1;
}

static _Atomic uint64_t *bucket_at(struct row *r, uint64_t second)
{
    return &r->buckets[second % BUCKETS];
}

/* The window's seconds from `from` ago on back. */
static uint64_t sum(struct row *r, uint64_t second, uint64_t from)
{
    uint64_t n = 0;

    for (uint64_t ago = from; ago < WINDOW_S && ago <= second; ago++)
        n += count_in(atomic_load_explicit(bucket_at(r, second - ago), memory_order_relaxed),
                      second - ago);
    return n;
}

struct retry_budget *retry_budget_new(uint32_t percent, uint32_t min_per_s, uint32_t n_workers)
{
    struct retry_budget *b = xaligned(sizeof(*b) + n_workers * sizeof(b->requests[0]));

    b->percent = percent;
    b->min_per_s = min_per_s;
    b->n_rows = n_workers;
    return b;
}

void retry_budget_free(struct retry_budget **b)
{
    free(*b);
    *b = NULL;
}

void retry_budget_request(struct retry_budget *b, uint32_t worker, uint64_t now_us)
{
    uint64_t second = second_of(now_us);
    _Atomic uint64_t *bucket = bucket_at(&b->requests[worker], second);

    sl_assert(worker < b->n_rows);
    atomic_store_explicit(bucket,
                          plus_one(atomic_load_explicit(bucket, memory_order_relaxed), second),
                          memory_order_relaxed);
}

bool retry_budget_take(struct retry_budget *b, uint64_t now_us)
{
    uint64_t second = second_of(now_us), requests = 0;
    uint64_t earlier = sum(&b->retries, second, 1);
    _Atomic uint64_t *bucket = bucket_at(&b->retries, second);
    uint64_t seen = atomic_load_explicit(bucket, memory_order_relaxed), taken;

    for (uint32_t i = 0; i < b->n_rows; i++)
        requests += sum(&b->requests[i], second, 0);
    do {
        taken = count_in(seen, second);
        if (taken >= b->min_per_s && (earlier + taken + 1) * 100 > requests * b->percent)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(bucket, &seen, plus_one(seen, second),
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}
