/* metrics.h - what workers count. Per worker and object one row on its own cache lines, written by
 * that worker only, summed by readers; gauges that must be exact across workers are shared atomics
 * in the object itself. Rates and averages are computed by the reader (control thread) from
 * samples, never on the hot path. */
#ifndef SLUICE_OBS_METRICS_H
#define SLUICE_OBS_METRICS_H

#include "lb/base/counter.h"
#include "lb/base/limits.h"

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

/* Of a listener (FRONTEND row). */
struct listener_counters {
    alignas(CACHE_LINE) counter sessions; /* accepted and admitted */
    counter bytes_in, bytes_out;          /* from and to clients */
    counter denied;                       /* refused by a limit or by address (dcon) */
    counter bad_requests;                 /* malformed PROXY header (ereq) */
    counter accept_pauses; /* times accepting stopped for want of descriptors or memory */
};

/* Of a backend, and (same shape, what belongs to no single backend) of a pool. */
struct backend_counters {
    alignas(CACHE_LINE) counter sessions; /* connections that reached it (stot, lbtot) */
    counter bytes_in, bytes_out;          /* towards and from the backend */
    counter connects, connect_errors, response_errors, retries, redispatches;
    counter client_aborts, server_aborts;
    counter queued, queue_timeouts;
    counter queue_us, connect_us, total_us; /* sums over `timed` sessions */
    counter timed;
    counter queue_us_max, connect_us_max, total_us_max;
    counter last_session_s; /* wall clock seconds of the last session, 0: none */
};

/* Everything `show stat` says of a listener. */
struct listener_stats {
    char name[LIMIT_NAME_LEN + 1];
    uint32_t iid;                                 /* 1.. unique among listeners and pools */
    const char *mode;                             /* "tcp" */
    uint32_t max_connections;                     /* 0: none */
    alignas(CACHE_LINE) _Atomic uint32_t current; /* open sessions, exact */
    counter current_max;
    struct listener_counters *rows; /* one per worker */
    uint32_t n_rows;
};

/* Of one worker, beside its engine's io_stats. */
struct worker_counters {
    alignas(CACHE_LINE) counter sessions, sessions_open;
    counter memory_refused; /* sessions refused because a slab was empty */
    counter turns, busy_us, idle_us;
};

void listener_counters_sum(const struct listener_stats *l, struct listener_counters *out);
void backend_counters_sum(const struct backend_counters *rows, uint32_t n,
                          struct backend_counters *out);
/* Adds one row to a sum (maxima and the last session's time: the greater one). */
void backend_counters_add(const struct backend_counters *row, struct backend_counters *sum);

#endif
