/* counter.h - statistics with one writing thread and any readers: plain adds on x86, no locks.
 * Gauges that several threads move use atomic_fetch_add on their own cache line instead. */
#ifndef SLUICE_BASE_COUNTER_H
#define SLUICE_BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter; /* a scalar: the typedef rule is about structs */

static inline uint64_t counter_get(const counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}
static inline void counter_add(counter *c, uint64_t n)
{
    atomic_store_explicit(c, counter_get(c) + n, memory_order_relaxed);
}
static inline void counter_sub(counter *c, uint64_t n)
{
    atomic_store_explicit(c, counter_get(c) - n, memory_order_relaxed);
}
static inline void counter_set(counter *c, uint64_t v)
{
    atomic_store_explicit(c, v, memory_order_relaxed);
}
/* For values that several threads raise. */
static inline void counter_max(counter *c, uint64_t v)
{
    uint64_t old = counter_get(c);
    while (old < v && !atomic_compare_exchange_weak_explicit(c, &old, v, memory_order_relaxed,
                                                             memory_order_relaxed))
        ;
}

#endif
