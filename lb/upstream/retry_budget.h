/* retry_budget.h - how many requests of a pool may be sent a second time.
 *
 * A backend that fails under load must not get twice the load. In any window of ten seconds at most
 * `percent` of the requests may be retries, but `min_per_s` are allowed in each second whatever
 * there is of requests. Shared by the workers of a pool: requests are counted in a row of their
 * own each (a plain store), retries in one place (exact: no two workers take the last one). */
#ifndef SLUICE_UPSTREAM_RETRY_BUDGET_H
#define SLUICE_UPSTREAM_RETRY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct retry_budget;

struct retry_budget *retry_budget_new(uint32_t percent, uint32_t min_per_s, uint32_t n_workers);
void retry_budget_free(struct retry_budget **b);
/* A request came (once, however often it is sent). worker: the caller's number. */
void retry_budget_request(struct retry_budget *b, uint32_t worker, uint64_t now_us);
/* Takes one retry; false: there is none to be had now. */
bool retry_budget_take(struct retry_budget *b, uint64_t now_us);

#endif
