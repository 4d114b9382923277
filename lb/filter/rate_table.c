/* rate_table.c - see rate_table.h. Times are in sixteenths of a nanosecond: exact enough for a
 * billion a second, and 36 years long. */
#include "lb/filter/rate_table.h"

#include "lb/base/alloc.h"
#include "lb/base/hash.h"
#include "lb/filter/filter_priv.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#define WAYS          7
#define TICKS_PER_US  16000u
#define SPINS         200 /* then the holder was preempted: let it run */
#define REFILL_MAX_US (10ull * 365 * 86400 * 1000000)

struct bucket {
    uint64_t key;     /* 0: never used */
    uint64_t full_at; /* ticks */
};

struct set {
    _Atomic uint32_t lock;
    uint32_t pad[3];
    struct bucket ways[WAYS];
};
static_assert(sizeof(struct set) * RATE_TABLE_SETS == RATE_TABLE_BYTES, "as the header says");

struct rate_table {
    struct set *sets;
    uint64_t interval; /* ticks that one request costs */
    uint64_t depth;    /* ticks that an empty bucket needs: burst * interval */
    _Atomic uint64_t forgotten;
};

struct rate_table *rate_table_new(uint32_t n, uint32_t per_ms, uint32_t burst,
                                  const char **out_error)
{
    uint64_t interval, depth;

    sl_assert(n > 0 && per_ms > 0 && burst > 0);
    interval = (uint64_t)per_ms * 1000 * TICKS_PER_US / n;
    if (interval == 0) {
        *out_error =
            filter_error("ratelimit: a rate of %u in %u ms is too high to be measured", n, per_ms);
        return NULL;
    }
    if (__builtin_mul_overflow(interval, (uint64_t)burst, &depth) ||
        depth / TICKS_PER_US > REFILL_MAX_US) {
        *out_error = filter_error("ratelimit: a burst of %u would need more than ten years to be "
                                  "earned again at %u in %u ms",
                                  burst, n, per_ms);
        return NULL;
    }
    void *mem = mmap(NULL, RATE_TABLE_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) {
        *out_error = filter_error("ratelimit: no memory for its table");
        return NULL;
    }
    struct rate_table *t = xcalloc(1, sizeof(*t));
    t->sets = mem;
    t->interval = interval;
    t->depth = depth;
    return t;
}

void rate_table_free(struct rate_table **t)
{
    munmap((*t)->sets, RATE_TABLE_BYTES);
    free(*t);
    *t = NULL;
}

static void lock(struct set *s)
{
    for (uint32_t spins = 0; atomic_exchange_explicit(&s->lock, 1, memory_order_acquire); spins++)
        if (spins >= SPINS)
            sched_yield();
}

static void unlock(struct set *s)
{
    atomic_store_explicit(&s->lock, 0, memory_order_release);
}

/* The key's bucket, or the one whose loss matters least: full ones first, then the fullest. */
static struct bucket *find(struct rate_table *t, struct set *s, uint64_t key, uint64_t now)
{
    struct bucket *least = &s->ways[0];

    for (uint32_t i = 0; i < WAYS; i++) {
        struct bucket *b = &s->ways[i];
        if (b->key == key)
            return b;
        if (b->full_at < least->full_at)
            least = b;
    }
    if (least->full_at > now)
        atomic_fetch_add_explicit(&t->forgotten, 1, memory_order_relaxed);
    *least = (struct bucket){.key = key};
    return least;
}

struct rate_verdict rate_table_take(struct rate_table *t, uint64_t key, uint64_t now_us)
{
    struct set *s = &t->sets[hash_u64(key) & (RATE_TABLE_SETS - 1)];
    uint64_t now = now_us * TICKS_PER_US;
    struct rate_verdict v = {0};

    key += key == 0;
    lock(s);
    struct bucket *b = find(t, s, key, now);
    uint64_t missing = b->full_at > now ? b->full_at - now : 0;
    v.ok = missing + t->interval <= t->depth;
    if (v.ok) {
        missing += t->interval;
        b->full_at = now + missing;
    }
    unlock(s);
    if (missing < t->depth)
        v.remaining = (uint32_t)((t->depth - missing) / t->interval);
    if (!v.ok)
        v.retry_us = (missing + t->interval - t->depth + TICKS_PER_US - 1) / TICKS_PER_US;
    return v;
}

uint64_t rate_table_forgotten(const struct rate_table *t)
{
    return atomic_load_explicit(&t->forgotten, memory_order_relaxed);
}
