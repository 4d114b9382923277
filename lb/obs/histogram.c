/* histogram.c - see histogram.h */
#include "lb/obs/histogram.h"

#include "lb/base/alloc.h"
#include "lb/base/assert.h"
#include "lb/obs/events.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static_assert(HISTOGRAM_BUCKETS == (2 + 26) * HISTOGRAM_STEPS,
              "64 exact values, then the powers of two from 2^6 to 2^31");

/* Mapped rather than allocated: pages come to be when a value falls into them. */
struct histogram *histogram_rows_new(uint32_t n)
{
    void *rows = mmap(NULL, n * sizeof(struct histogram), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (rows == MAP_FAILED) {
        events_log(EVENT_LIMIT, LOG_LEVEL_ERROR, NULL, "out of memory for latency histograms");
        exit(1);
    }
    return rows;
}

void histogram_rows_free(struct histogram **rows, uint32_t n)
{
    if (*rows != NULL)
        munmap(*rows, n * sizeof(struct histogram));
    *rows = NULL;
}

static void add_row(const struct histogram *row, struct histogram_sum *out)
{
    uint64_t max_us = counter_get(&row->max_us);

    out->sum_us += counter_get(&row->sum_us);
    if (max_us > out->max_us)
        out->max_us = max_us;
    for (uint32_t b = 0; b < HISTOGRAM_BUCKETS; b++) {
        uint64_t n = counter_get(&row->buckets[b]);
        out->buckets[b] += n;
        out->n += n;
    }
}

void histogram_sum(const struct histogram *rows, uint32_t n_rows, struct histogram_sum *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < n_rows; i++)
        add_row(&rows[i], out);
}

void histogram_subtract(struct histogram_sum *sum, const struct histogram_sum *earlier)
{
    sum->n -= earlier->n;
    sum->sum_us -= earlier->sum_us;
    for (uint32_t b = 0; b < HISTOGRAM_BUCKETS; b++)
        sum->buckets[b] -= earlier->buckets[b];
}

uint64_t histogram_quantile(const struct histogram_sum *sum, double q)
{
    uint64_t seen = 0, rank = (uint64_t)(q * (double)sum->n); /* values that are surely below */
    uint32_t b = 0;

    if (sum->n == 0)
        return 0;
    if ((double)rank < q * (double)sum->n || rank == 0) /* rounded up, from 1 */
        rank++;
    if (rank > sum->n)
        rank = sum->n;
    while (seen + sum->buckets[b] < rank)
        seen += sum->buckets[b++];
    uint64_t low = histogram_bucket_low(b), width = histogram_bucket_low(b + 1) - low;
    uint64_t middle = low + width / 2;
    return sum->max_us != 0 && middle > sum->max_us ? sum->max_us : middle;
}

uint64_t histogram_count_to(const struct histogram_sum *sum, uint64_t us)
{
    uint64_t n = 0;

    for (uint32_t b = 0; b < HISTOGRAM_BUCKETS && histogram_bucket_low(b + 1) - 1 <= us; b++)
        n += sum->buckets[b];
    return n;
}
