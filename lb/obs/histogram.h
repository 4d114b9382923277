/* histogram.h - how long things took: a log-linear histogram of microseconds up to 71 minutes.
 *
 * Each power of two is cut into 32 equal buckets, values below 64 have a bucket each. A quantile is
 * told as the middle of its bucket, so it is at most 1.6 % off. Each row has one writing thread;
 * readers add the rows up. A row is 7 KiB of memory that is touched only where values fall, which
 * is usually one page, so there may be one for each worker of each backend. Adding costs a shift
 * and three plain adds, no division, no lock. */
#ifndef SLUICE_OBS_HISTOGRAM_H
#define SLUICE_OBS_HISTOGRAM_H

#include "lb/base/counter.h"
#include "lb/base/limits.h"

#include <stdalign.h>

#define HISTOGRAM_STEPS   32u /* buckets of a power of two */
#define HISTOGRAM_BUCKETS 896u
#define HISTOGRAM_MAX_US  UINT32_MAX /* longer ones count as this long */

struct histogram {
    alignas(CACHE_LINE) counter sum_us;
    counter max_us; /* exact */
    counter buckets[HISTOGRAM_BUCKETS];
};

/* Zeroed rows, at load time: lack of memory ends the process. Untouched pages cost nothing. */
struct histogram *histogram_rows_new(uint32_t n);
void histogram_rows_free(struct histogram **rows, uint32_t n);

static inline uint32_t histogram_bucket(uint32_t us)
{
    uint32_t shift = 26u - (uint32_t)__builtin_clz(us | 32u); /* 0 below 64 */

    return (us >> shift) + HISTOGRAM_STEPS * shift;
}
/* The least value of a bucket. */
static inline uint64_t histogram_bucket_low(uint32_t bucket)
{
    uint32_t shift = bucket < 2 * HISTOGRAM_STEPS ? 0 : bucket / HISTOGRAM_STEPS - 1;

    return (uint64_t)(bucket - HISTOGRAM_STEPS * shift) << shift;
}

/* By the row's thread only. */
static inline void histogram_add(struct histogram *h, uint64_t us)
{
    uint32_t v = us > HISTOGRAM_MAX_US ? HISTOGRAM_MAX_US : (uint32_t)us;

    counter_add(&h->buckets[histogram_bucket(v)], 1);
    counter_add(&h->sum_us, v);
    if (v > counter_get(&h->max_us))
        counter_set(&h->max_us, v);
}

/* What a reader works with. */
struct histogram_sum {
    uint64_t n, sum_us, max_us;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};
void histogram_sum(const struct histogram *rows, uint32_t n_rows, struct histogram_sum *out);
/* Takes away what there was earlier (a sum of the same rows); max_us stays. */
void histogram_subtract(struct histogram_sum *sum, const struct histogram_sum *earlier);
/* The value that a share q (0 to 1) of all values does not exceed; 0 when there are none. */
uint64_t histogram_quantile(const struct histogram_sum *sum, double q);
/* How many values are at most us; exact where us is the last value of a bucket. */
uint64_t histogram_count_to(const struct histogram_sum *sum, uint64_t us);

#endif
