/* alias.h - an alias table: members drawn at random, chances by weight, in constant time whatever
 * the weights. Built with a plan, immutable afterwards. */
#ifndef SLUICE_BALANCING_ALIAS_H
#define SLUICE_BALANCING_ALIAS_H

#include "balancing/balancer_plan.h"
#include "lb/base/rand.h"

/* A column of the table: its own member below the threshold (a 32-bit fraction), the other above
 * it. */
struct alias_column {
    uint32_t threshold;
    uint32_t other;
};

/* One column per member of the plan; the caller's to free(). */
struct alias_column *alias_new(const struct balancer_plan *plan);

/* Index of a member. */
static inline uint32_t alias_draw(const struct alias_column *columns, uint32_t n, struct rng *rng)
{
    uint64_t r = rng_next(rng);
    uint32_t i = (uint32_t)(((r >> 32) * n) >> 32);
    return (uint32_t)r < columns[i].threshold ? i : columns[i].other;
}

#endif
