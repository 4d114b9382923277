/* phases.h - how long the parts of a request (mode tcp: of a session) took, for each object that it
 * has passed: a listener, a route, a pool, a backend.
 *
 * Coarser than histogram.h, as there are four of them for each object and worker: a power of two is
 * cut into 8 buckets, so a quantile is at most 6 % off. Each row has one writing thread; readers
 * add the rows up into what histogram.h reads with. */
#ifndef SLUICE_OBS_PHASES_H
#define SLUICE_OBS_PHASES_H

#include "lb/obs/histogram.h"

enum phase {
    PHASE_QUEUE,      /* waited for a place at a backend; 0 where one was free */
    PHASE_CONNECT,    /* a connection was made, TLS too; not counted where one was reused */
    PHASE_FIRST_BYTE, /* to the response's head */
    PHASE_TOTAL,      /* to the end */
    PHASES
};
const char *phase_name(enum phase p); /* "queue", "connect", "first_byte", "total" */

#define PHASE_STEPS   8u /* buckets of a power of two */
#define PHASE_BUCKETS 240u
#define PHASE_NONE    UINT32_MAX /* it was not reached */

struct phase_times {
    uint32_t us[PHASES];
};

struct phase_histogram {
    counter sum_us, max_us;
    counter buckets[PHASE_BUCKETS];
};

/* What a worker has of an object. */
struct phase_row {
    alignas(CACHE_LINE) struct phase_histogram of[PHASES];
};

/* As histogram_rows_new(). */
struct phase_row *phases_new(uint32_t n);
void phases_free(struct phase_row **rows, uint32_t n); /* NULL: no effect */

static inline uint32_t phase_us(uint64_t us)
{
    return us < PHASE_NONE ? (uint32_t)us : PHASE_NONE - 1;
}
static inline uint32_t phase_bucket(uint32_t us)
{
    uint32_t shift = 28u - (uint32_t)__builtin_clz(us | 8u); /* 0 below 16 */

    return (us >> shift) + PHASE_STEPS * shift;
}
/* The least value of a bucket. */
static inline uint64_t phase_bucket_low(uint32_t bucket)
{
    uint32_t shift = bucket < 2 * PHASE_STEPS ? 0 : bucket / PHASE_STEPS - 1;

    return (uint64_t)(bucket - PHASE_STEPS * shift) << shift;
}

/* By the row's thread only. */
void phases_add(struct phase_row *row, const struct phase_times *t);

/* Adds up the rows; less base, a sum from before, where it is not NULL. */
void phases_sum(const struct phase_row *rows, uint32_t n_rows, const struct phase_row *base,
                enum phase p, struct histogram_sum *out);
/* A base for the above. */
void phases_note(const struct phase_row *rows, uint32_t n_rows, struct phase_row *out);
void phases_clear_max(struct phase_row *rows, uint32_t n_rows);

#endif
