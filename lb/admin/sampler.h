/* sampler.h - what the stats socket shows beside plain sums: rates, averages, and counters since
 * the last `clear counters`. Control thread; workers know nothing of it.
 *
 * Once a second it looks at every sum: the difference is the rate, and moves the averages (of the
 * last 1024 sessions, as HAProxy's). Workers own their counters, so clearing keeps what they were
 * as a baseline that is subtracted; only maxima are written back, where a race with a worker loses
 * one maximum at most. */
#ifndef SLUICE_ADMIN_SAMPLER_H
#define SLUICE_ADMIN_SAMPLER_H

#include "lb/obs/metrics.h"

#include <stdbool.h>
#include <stdint.h>

struct admin_ops;
struct http_counts;
struct sampler;

struct sampler_rate {
    uint64_t last;     /* the sum at the last tick */
    uint32_t now, max; /* per second */
};

struct listener_sample {
    struct listener_counters sums; /* since the last clear */
    struct sampler_rate sessions, connections, requests;
};

/* Of a backend, or of a pool with all its backends. */
struct backend_sample {
    struct backend_counters sums; /* since the last clear */
    struct sampler_rate sessions;
    uint32_t queue_ms, connect_ms, response_ms, total_ms; /* averages */
};

/* What the health thread counts, subtracted for the same reason. */
struct health_sample {
    uint64_t check_fails, transitions_down, downtime_us;
};

struct process_sample {
    struct sampler_rate connections, sessions, bytes_out;
    struct sampler_rate tls, tls_full, backend_tls_full; /* handshakes; full: not resumed */
    uint32_t idle_percent;                               /* of the workers' time */
};

/* ops must outlive it; now_us is monotonic. */
struct sampler *sampler_new(const struct admin_ops *ops, uint64_t now_us);
void sampler_free(struct sampler **s);
/* Listeners and pools of ops are others (a reload): those that were there keep what is known of
 * them. */
void sampler_follow(struct sampler *s);
void sampler_tick(struct sampler *s, uint64_t now_us);
/* Maxima start anew; with all, every counter does. */
void sampler_clear(struct sampler *s, bool all);

/* Index in ops->listeners, ops->pools, the pool's members. */
void sampler_listener(struct sampler *s, uint32_t listener, struct listener_sample *out);
void sampler_pool(struct sampler *s, uint32_t pool, struct backend_sample *out);
void sampler_member(struct sampler *s, uint32_t pool, uint32_t member, struct backend_sample *out);
void sampler_member_health(struct sampler *s, uint32_t pool, uint32_t member,
                           struct health_sample *out);
/* Of the pool itself: check_fails stays 0. */
void sampler_pool_health(struct sampler *s, uint32_t pool, struct health_sample *out);
void sampler_process(const struct sampler *s, struct process_sample *out);
/* Routes, refusals, latencies: http_counts.h. */
const struct http_counts *sampler_http(const struct sampler *s);

#endif
