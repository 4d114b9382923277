/* farm.h - slots without a table, and a cursor, for the tests of the balancing algorithms. */
#ifndef SLUICE_TESTS_BALANCING_FARM_H
#define SLUICE_TESTS_BALANCING_FARM_H

/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "balancing/balancer.h"
#include "lb/base/alloc.h"
#include "lb/base/rand.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* What farm_pick() says instead of a member. */
#define FULL (-1)
#define NONE (-2)

struct farm {
    uint64_t seed;
    struct rng rng; /* the test's own choices */
    struct rng pick_rng;
    uint32_t n;
    struct backend_slot *slots;
    struct plan_member *members;
    struct balancer_conf conf;
    struct balancer_plan *plan;
    struct balancer_cursor cursor;
    uint32_t *excluded; /* slot indexes */
    uint32_t n_excluded;
};

/* A failure of a property says with which seed: SLUICE_TEST_SEED=that repeats it. */
#define holds(farm, cond)                                                                          \
    do {                                                                                           \
        if (!(cond))                                                                               \
            fail_msg("SLUICE_TEST_SEED=%" PRIu64 ": not %s", (farm)->seed, #cond);                 \
    } while (0)

static inline uint64_t random_seed(void)
{
    const char *given = getenv("SLUICE_TEST_SEED");
    uint64_t seed = 1;
    if (given != NULL)
        return strtoull(given, NULL, 10);
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = 1;
    return seed;
}

/* The property with seeds that never change, then with one that nobody has seen yet. */
static inline void with_seeds(void (*property)(uint64_t seed))
{
    property(1);
    property(20240229);
    property(random_seed());
}

static inline void farm_plan(struct farm *f)
{
    balancer_plan_free(f->plan);
    f->plan = balancer_plan_new(&f->conf, f->members, f->n);
}

/* n members "s0", "s1"... of pool "p" with weight 1 x WEIGHT_SCALE; slot index 1000 + i, so that a
 * test sees when an index of the one kind is taken for one of the other. */
static inline struct farm *farm_new(enum balance_kind kind, uint32_t n, uint64_t seed)
{
    struct farm *f = xcalloc(1, sizeof(*f));
    f->seed = seed;
    rng_seed(&f->rng, seed);
    rng_seed(&f->pick_rng, seed + 1);
    f->n = n;
    f->conf.kind = kind;
    f->slots = xaligned((n + 1) * sizeof(*f->slots));
    f->members = xcalloc(n + 1, sizeof(*f->members));
    f->excluded = xcalloc(n + 1, sizeof(*f->excluded));
    for (uint32_t i = 0; i < n; i++) {
        struct backend_slot *s = &f->slots[i];
        s->index = 1000 + i;
        snprintf(s->name, sizeof(s->name), "s%u", i);
        snprintf(s->pool_name, sizeof(s->pool_name), "p");
        f->members[i] = (struct plan_member){.slot = s, .weight = WEIGHT_SCALE};
    }
    farm_plan(f);
    return f;
}

static inline struct farm *farm_weighted(enum balance_kind kind, const uint32_t *weights,
                                         uint32_t n, uint64_t seed)
{
    struct farm *f = farm_new(kind, n, seed);
    for (uint32_t i = 0; i < n; i++)
        f->members[i].weight = weights[i];
    farm_plan(f);
    return f;
}

static inline void farm_free(struct farm *f)
{
    balancer_plan_free(f->plan);
    balancer_cursor_fini(&f->cursor);
    free(f->slots);
    free(f->members);
    free(f->excluded);
    free(f);
}

static inline void farm_load(struct farm *f, uint32_t i, uint32_t in_flight)
{
    atomic_store(&f->slots[i].in_flight, in_flight);
}

static inline uint32_t farm_in_flight(const struct farm *f, uint32_t i)
{
    return atomic_load(&f->slots[i].in_flight);
}

static inline void farm_limit(struct farm *f, uint32_t i, uint32_t max_connections)
{
    atomic_store(&f->slots[i].max_connections, max_connections);
}

/* At its limit of 1. */
static inline void farm_fill(struct farm *f, uint32_t i)
{
    farm_limit(f, i, 1);
    farm_load(f, i, 1);
}

static inline void farm_exclude(struct farm *f, uint32_t i)
{
    f->excluded[f->n_excluded++] = f->slots[i].index;
}

static inline bool farm_excludes(const struct farm *f, uint32_t i)
{
    for (uint32_t k = 0; k < f->n_excluded; k++) {
        if (f->excluded[k] == f->slots[i].index)
            return true;
    }
    return false;
}

static inline int farm_pick_with(struct farm *f, struct balancer_cursor *cursor, uint64_t key)
{
    struct pick pick = {
        .key = key, .excluded = f->excluded, .n_excluded = f->n_excluded, .rng = &f->pick_rng};
    struct backend_slot *untouched = &f->slots[f->n], *slot = untouched;
    enum pick_result result = balancer_pick(f->plan, cursor, &pick, &slot);
    if (result != PICK_OK) {
        assert_ptr_equal(slot, untouched);
        return result == PICK_FULL ? FULL : NONE;
    }
    return (int)(slot - f->slots);
}

static inline int farm_pick(struct farm *f)
{
    return farm_pick_with(f, &f->cursor, 0);
}

static inline int farm_pick_key(struct farm *f, uint64_t key)
{
    return farm_pick_with(f, &f->cursor, key);
}

/* Picks and takes. */
static inline int farm_take(struct farm *f)
{
    int i = farm_pick(f);
    if (i >= 0)
        atomic_fetch_add(&f->slots[i].in_flight, 1);
    return i;
}

static inline void farm_give(struct farm *f, uint32_t i)
{
    atomic_fetch_sub(&f->slots[i].in_flight, 1);
}

/* Could `counts` of n outcomes come from chances in proportion to `weights`? (A random seed fails
 * this by accident less than once in a billion times.) */
static inline bool fits(const uint32_t *counts, const double *weights, uint32_t n)
{
    double total = 0, weight = 0, chi2 = 0, df = n > 1 ? n - 1 : 1;
    for (uint32_t i = 0; i < n; i++) {
        total += counts[i];
        weight += weights[i];
    }
    for (uint32_t i = 0; i < n; i++) {
        double expected = total * weights[i] / weight;
        chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    return chi2 < df + 7 * sqrt(2 * df) + 30;
}

static inline bool fits_evenly(const uint32_t *counts, uint32_t n)
{
    double *weights = xcalloc(n, sizeof(*weights));
    for (uint32_t i = 0; i < n; i++)
        weights[i] = 1;
    bool ok = fits(counts, weights, n);
    free(weights);
    return ok;
}

#endif
