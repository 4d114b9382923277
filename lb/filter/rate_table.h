/* rate_table.h - token buckets by key, shared by all workers, in memory of a fixed size.
 *
 * A bucket is one time (GCRA): when it will be full again. One that is full again carries no
 * information, so its place is free. Places are found in a set of seven (two cache lines, a lock of
 * their own held for a few dozen instructions), so the limit is exact whatever the number of
 * threads. When all seven are in use, the one that is nearest to full is forgotten: its key starts
 * anew with a full bucket. Errors are therefore always on the side of letting through, and cost at
 * most one burst. Any thread. */
#ifndef SLUICE_FILTER_RATE_TABLE_H
#define SLUICE_FILTER_RATE_TABLE_H

#include "lb/base/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RATE_TABLE_SETS  (1u << 18) /* 1.8 million keys in 32 MiB, which are touched as used */
#define RATE_TABLE_BYTES ((size_t)RATE_TABLE_SETS * 128)

struct rate_table;

struct rate_verdict {
    bool ok;
    uint32_t remaining; /* requests that would pass now */
    uint64_t retry_us;  /* !ok: from then on one passes */
};

/* n in per_ms, burst at once; all at least 1. NULL with *out_error in words. */
struct rate_table *rate_table_new(uint32_t n, uint32_t per_ms, uint32_t burst,
                                  const char **out_error);
void rate_table_free(struct rate_table **t);
/* Takes one from the bucket of this key (a seeded hash). */
struct rate_verdict rate_table_take(struct rate_table *t, uint64_t key, uint64_t now_us);
uint64_t rate_table_forgotten(const struct rate_table *t); /* buckets in use that had to go */

#endif
