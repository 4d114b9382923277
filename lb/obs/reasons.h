/* reasons.h - why messages were refused, counted by code ("bad-content-length", "no-route").
 *
 * Codes get their numbers when they are first counted, from one table of the process: who counts
 * needs none prepared. Counting is for the rare case, it looks the code up; any thread, no lock. */
#ifndef SLUICE_OBS_REASONS_H
#define SLUICE_OBS_REASONS_H

#include "lb/base/counter.h"
#include "lb/base/limits.h"

#include <stdalign.h>

/* One row per worker and object. */
struct reason_counters {
    alignas(CACHE_LINE) counter n[LIMIT_REASONS];
    counter total;
};

/* code: a text that lives as long as the process; NULL counts nothing. Only by the row's thread.
 * When there are more than LIMIT_REASONS codes, the rest are counted as "other". */
void reason_count(struct reason_counters *row, const char *code);

/* Adds rows up; NULL rows: zero. */
void reason_counters_sum(const struct reason_counters *rows, uint32_t n,
                         struct reason_counters *out);
/* The code of an index; NULL: not used yet. */
const char *reason_code(uint32_t index);

#endif
