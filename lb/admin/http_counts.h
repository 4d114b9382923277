/* http_counts.h - routes, refusals and latencies since the last `clear counters`: sums of the
 * workers' rows less what they were then. Control thread; a part of the sampler, which makes it.
 * What nobody counted in mode tcp is all zero. Indexes are those of admin_ops. */
#ifndef SLUICE_ADMIN_HTTP_COUNTS_H
#define SLUICE_ADMIN_HTTP_COUNTS_H

#include "lb/obs/histogram.h"
#include "lb/obs/metrics.h"
#include "lb/obs/phases.h"
#include "lb/obs/reasons.h"

#include <stdbool.h>

struct admin_ops;
struct http_counts;

/* ops must outlive it. */
struct http_counts *http_counts_new(const struct admin_ops *ops);
void http_counts_free(struct http_counts **counts);
/* Listeners and pools of ops are others: those that were there keep what is known of them. */
void http_counts_follow(struct http_counts *h);
/* Maxima start anew; with all, everything does. */
void http_counts_clear(struct http_counts *h, bool all);

void http_counts_route(const struct http_counts *h, uint32_t listener, uint32_t route,
                       struct route_counters *out);
void http_counts_listener_reasons(const struct http_counts *h, uint32_t listener,
                                  struct reason_counters *out);
void http_counts_pool_reasons(const struct http_counts *h, uint32_t pool,
                              struct reason_counters *out);
/* False (out untouched) where no latency is measured. */
bool http_counts_listener_latency(const struct http_counts *h, uint32_t listener,
                                  struct histogram_sum *out);
bool http_counts_pool_latency(const struct http_counts *h, uint32_t pool,
                              struct histogram_sum *out);
bool http_counts_member_latency(const struct http_counts *h, uint32_t pool, uint32_t member,
                                struct histogram_sum *out);
/* Likewise. */
bool http_counts_listener_phase(const struct http_counts *h, uint32_t listener, enum phase p,
                                struct histogram_sum *out);
bool http_counts_route_phase(const struct http_counts *h, uint32_t listener, uint32_t route,
                             enum phase p, struct histogram_sum *out);
bool http_counts_pool_phase(const struct http_counts *h, uint32_t pool, enum phase p,
                            struct histogram_sum *out);
bool http_counts_member_phase(const struct http_counts *h, uint32_t pool, uint32_t member,
                              enum phase p, struct histogram_sum *out);

#endif
