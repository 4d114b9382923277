/* random_two: chances by weight, and the less busy of two. */
#include "tests/unit/balancing/farm.h"

static void shares_of(uint64_t seed, const uint32_t *weights, uint32_t n)
{
    struct farm *f = farm_weighted(BALANCE_RANDOM_TWO, weights, n, seed);
    uint32_t *counts = xcalloc(n, sizeof(*counts));
    double *shares = xcalloc(n, sizeof(*shares));
    for (uint32_t i = 0; i < n * 400; i++)
        counts[farm_pick(f)]++;
    for (uint32_t i = 0; i < n; i++)
        shares[i] = weights[i];
    holds(f, fits(counts, shares, n));
    farm_free(f);
    free(counts);
    free(shares);
}

static void idle_shares_fit(uint64_t seed)
{
    static const uint32_t few[] = {64, 128, 1, 640, 64};
    uint32_t many[1000];
    struct rng rng;
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < 1000; i++)
        many[i] = 1 + rng_below(&rng, 16384);
    shares_of(seed, few, 5);
    shares_of(seed, few, 1);
    shares_of(seed, many, 1000);
    for (uint32_t i = 0; i < 1000; i++)
        many[i] = 64;
    shares_of(seed, many, 1000);
}

static void idle_members_share_by_weight(void **state)
{
    (void)state;
    with_seeds(idle_shares_fit);
}

static void a_tiny_weight_is_not_starved_by_a_huge_one(void **state)
{
    static const uint32_t weights[] = {LIMIT_WEIGHT * WEIGHT_SCALE, 64};
    (void)state;
    struct farm *f = farm_weighted(BALANCE_RANDOM_TWO, weights, 2, 7);
    uint32_t tiny = 0;
    for (int i = 0; i < 257 * 40; i++)
        tiny += farm_pick(f) == 1;
    assert_in_range(tiny, 10, 90);
    farm_free(f);
}

static void the_less_busy_of_two_is_chosen(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_RANDOM_TWO, 2, 3);
    uint32_t busy = 0;
    farm_load(f, 0, 1);
    for (int i = 0; i < 10000; i++)
        busy += farm_pick(f) == 0;
    assert_in_range(busy, 0, 10000 / 50); /* only where one member was drawn time and again */
    farm_free(f);
}

/* 6 of weight 3 are less than 3 of weight 1. */
static void busy_counts_in_proportion_to_weight(void **state)
{
    static const uint32_t weights[] = {64, 192};
    (void)state;
    struct farm *f = farm_weighted(BALANCE_RANDOM_TWO, weights, 2, 3);
    uint32_t first = 0;
    farm_load(f, 0, 3);
    farm_load(f, 1, 6);
    for (int i = 0; i < 10000; i++)
        first += farm_pick(f) == 0;
    assert_in_range(first, 0, 100);
    farm_load(f, 1, 12);
    uint32_t second = 0;
    for (int i = 0; i < 10000; i++)
        second += farm_pick(f) == 1;
    assert_in_range(second, 0, 2000); /* drawn eight times running: 0.75^8 */
    farm_free(f);
}

/* n log n / log log n theory: with one choice the fullest has about 25 here, with two about 13. */
static void loads_stay_close(uint64_t seed)
{
    struct farm *f = farm_new(BALANCE_RANDOM_TWO, 1000, seed);
    uint32_t most = 0;
    for (uint32_t i = 0; i < 10 * f->n; i++)
        farm_take(f);
    for (uint32_t i = 0; i < f->n; i++)
        most = farm_in_flight(f, i) > most ? farm_in_flight(f, i) : most;
    holds(f, most <= 15);
    farm_free(f);
}

static void two_choices_keep_the_loads_close(void **state)
{
    (void)state;
    with_seeds(loads_stay_close);
}

/* Missing members' shares go to all others by weight: to their neighbours no more than to others.
 */
static void missing_ones_leave_proportions(uint64_t seed)
{
    static const uint32_t weights[] = {64, 128, 192, 256, 64, 64, 640};
    struct farm *f = farm_weighted(BALANCE_RANDOM_TWO, weights, 7, seed);
    static const double shares[] = {64, 192, 64, 64}; /* members 0, 2, 4, 5 */
    uint32_t counts[7] = {0};
    farm_fill(f, 1);
    farm_exclude(f, 3);
    farm_fill(f, 6);
    for (int i = 0; i < 20000; i++)
        counts[farm_pick(f)]++;
    holds(f, counts[1] == 0 && counts[3] == 0 && counts[6] == 0);
    uint32_t rest[] = {counts[0], counts[2], counts[4], counts[5]};
    holds(f, fits(rest, shares, 4));
    farm_free(f);
}

static void missing_members_leave_the_others_proportions(void **state)
{
    (void)state;
    with_seeds(missing_ones_leave_proportions);
}

/* Where draws hardly ever hit, a scan finds the two that are left, evenly. */
static void last_two_share(uint64_t seed)
{
    struct farm *f = farm_new(BALANCE_RANDOM_TWO, 2000, seed);
    uint32_t counts[2] = {0};
    for (uint32_t i = 0; i < 2000; i++) {
        if (i != 700 && i != 701)
            farm_fill(f, i);
    }
    for (int i = 0; i < 2000; i++)
        counts[farm_pick(f) - 700]++;
    holds(f, fits_evenly(counts, 2));
    farm_free(f);
}

static void the_last_with_room_are_found_and_share(void **state)
{
    (void)state;
    with_seeds(last_two_share);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_members_share_by_weight),
        cmocka_unit_test(a_tiny_weight_is_not_starved_by_a_huge_one),
        cmocka_unit_test(the_less_busy_of_two_is_chosen),
        cmocka_unit_test(busy_counts_in_proportion_to_weight),
        cmocka_unit_test(two_choices_keep_the_loads_close),
        cmocka_unit_test(missing_members_leave_the_others_proportions),
        cmocka_unit_test(the_last_with_room_are_found_and_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
