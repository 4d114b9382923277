/* round_robin: exact shares per period, spread evenly, also where members are missing. */
#include "tests/unit/balancing/farm.h"

static void assert_order(struct farm *f, const char *letters)
{
    for (const char *p = letters; *p != '\0'; p++)
        assert_int_equal(farm_pick(f) + 'a', *p);
}

/* ---- order ---- */

static void equal_weights_rotate_in_configuration_order(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_ROUND_ROBIN, 3, 1);
    assert_order(f, "abcabcabcabc");
    farm_free(f);
}

static void only_the_proportions_of_weights_matter(void **state)
{
    static const uint32_t weights[] = {300, 300, 300};
    (void)state;
    struct farm *f = farm_weighted(BALANCE_ROUND_ROBIN, weights, 3, 1);
    assert_order(f, "abcabcabc");
    farm_free(f);
}

static void a_cursor_starts_where_its_position_says(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_ROUND_ROBIN, 3, 1);
    f->cursor.position = 3 * UINT64_C(1000000000000) + 2;
    assert_order(f, "cabcab");
    farm_free(f);
}

static void each_cursor_rotates_by_itself(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_ROUND_ROBIN, 5, 1);
    struct balancer_cursor other = {.position = 3};
    for (int i = 0; i < 20; i++) {
        assert_int_equal(farm_pick(f), i % 5);
        assert_int_equal(farm_pick_with(f, &other, 0), (i + 3) % 5);
    }
    balancer_cursor_fini(&other);
    farm_free(f);
}

static void a_heavy_member_is_spread_over_the_period(void **state)
{
    static const uint32_t weights[] = {5, 1, 1};
    (void)state;
    struct farm *f = farm_weighted(BALANCE_ROUND_ROBIN, weights, 3, 1);
    assert_order(f, "aabaaca"
                    "aabaaca");
    farm_free(f);
}

static void two_members_alternate_as_far_as_their_weights_allow(void **state)
{
    static const uint32_t weights[] = {2, 3};
    (void)state;
    struct farm *f = farm_weighted(BALANCE_ROUND_ROBIN, weights, 2, 1);
    assert_order(f, "babab"
                    "babab");
    farm_free(f);
}

/* ---- shares ---- */

static uint32_t random_weights(struct rng *rng, uint32_t *weights, uint32_t n, uint32_t max)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += weights[i] = 1 + rng_below(rng, max);
    return sum;
}

static void shares_of(uint64_t seed, uint32_t n, uint32_t max)
{
    uint32_t *weights = xcalloc(n, sizeof(*weights)), *counts = xcalloc(n, sizeof(*counts));
    struct rng rng;
    rng_seed(&rng, seed);
    uint32_t sum = random_weights(&rng, weights, n, max);
    struct farm *f = farm_weighted(BALANCE_ROUND_ROBIN, weights, n, seed);

    f->cursor.position = rng_next(&rng);
    for (uint32_t i = 0; i < sum; i++)
        counts[farm_pick(f)]++;
    for (uint32_t i = 0; i < n; i++)
        holds(f, counts[i] == weights[i]);
    farm_free(f);
    free(weights);
    free(counts);
}

static void shares_are_exact(uint64_t seed)
{
    shares_of(seed, 2, 10);
    shares_of(seed, 7, 256);
    shares_of(seed, 100, 256);
    shares_of(seed, 1000, 100);
    shares_of(seed, 10000, 15);
}

static void a_period_gives_each_its_weight_exactly_wherever_it_starts(void **state)
{
    (void)state;
    with_seeds(shares_are_exact);
}

/* At every moment of the period: |picks - share| < 1. That bounds the gap between two picks of a
 * member to less than two of its shares, and rules out bursts and starvation. */
static void deviation_of(uint64_t seed, uint32_t n, uint32_t max)
{
    uint32_t *weights = xcalloc(n, sizeof(*weights)), *counts = xcalloc(n, sizeof(*counts));
    struct rng rng;
    rng_seed(&rng, seed);
    uint32_t sum = random_weights(&rng, weights, n, max);
    struct farm *f = farm_weighted(BALANCE_ROUND_ROBIN, weights, n, seed);

    for (uint32_t t = 1; t <= sum; t++) {
        counts[farm_pick(f)]++;
        for (uint32_t i = 0; i < n; i++) {
            int64_t ahead = (int64_t)counts[i] * sum - (int64_t)weights[i] * t;
            holds(f, ahead < (int64_t)sum && -ahead < (int64_t)sum);
        }
    }
    farm_free(f);
    free(weights);
    free(counts);
}

static void order_is_smooth(uint64_t seed)
{
    for (uint32_t n = 2; n < 12; n++)
        deviation_of(seed + n, n, 2 * n);
    deviation_of(seed, 2, 300);
    deviation_of(seed, 5, 1000);
    deviation_of(seed, 60, 100);
    deviation_of(seed, 300, 20);
}

static void no_member_is_ever_a_whole_turn_ahead_or_behind(void **state)
{
    (void)state;
    with_seeds(order_is_smooth);
}

static void a_tiny_weight_beside_a_huge_one_gets_its_share(void **state)
{
    static const uint32_t weights[] = {LIMIT_WEIGHT * WEIGHT_SCALE, 1};
    (void)state;
    struct farm *f = farm_weighted(BALANCE_ROUND_ROBIN, weights, 2, 1);
    uint32_t counts[2] = {0, 0};
    for (uint32_t i = 0; i < 4 * (weights[0] + weights[1]); i++)
        counts[farm_pick(f)]++;
    assert_int_equal(counts[1], 4);
    farm_free(f);
}

/* Weights whose sum exceeds the bound of the period are rounded: see set_shares(). */
static void rounding_of(uint64_t seed, uint32_t n)
{
    uint64_t bound = n * 16 > 65536 ? n * 16 : 65536;
    uint32_t *weights = xcalloc(n, sizeof(*weights)), *counts = xcalloc(n, sizeof(*counts));
    double sum = 0;
    uint64_t total = 0;
    struct rng rng;
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < n; i++)
        sum += weights[i] = rng_below(&rng, 3) == 0 ? 1 : 1 + rng_below(&rng, 16384);
    struct farm *f = farm_weighted(BALANCE_ROUND_ROBIN, weights, n, seed);

    /* Many periods of unknown length: what is left of the last one is within two turns. */
    for (total = 0; total < 4 * bound; total++)
        counts[farm_pick(f)]++;
    for (uint32_t i = 0; i < n; i++) {
        double share = weights[i] / sum, allowed = (1 + share * n) / ((double)bound - n / 2.0);
        holds(f, counts[i] >= 3); /* at least one a period, which is at most bound + n long */
        holds(f, fabs((double)counts[i] / (double)total - share) < allowed + 2.0 / (double)total);
    }
    farm_free(f);
    free(weights);
    free(counts);
}

static void rounding_is_bounded(uint64_t seed)
{
    rounding_of(seed, 20);
    rounding_of(seed, 3000);
    rounding_of(seed, 10000);
}

static void weights_too_large_for_a_period_are_rounded_within_bounds(void **state)
{
    (void)state;
    with_seeds(rounding_is_bounded);
}

/* ---- members missing ---- */

/* The entries of the missing one are as if crossed out: what remains is exact. */
static void missing_one_leaves_proportions(uint64_t seed, bool full)
{
    static const uint32_t weights[] = {3, 7, 2, 4, 1};
    struct farm *f = farm_weighted(BALANCE_ROUND_ROBIN, weights, 5, seed);
    uint32_t counts[5] = {0}, missing = rng_below(&f->rng, 5);
    uint32_t period = 17 - weights[missing];

    if (full)
        farm_fill(f, missing);
    else
        farm_exclude(f, missing);
    for (uint32_t i = 0; i < 100 * period; i++)
        counts[farm_pick(f)]++;
    for (uint32_t i = 0; i < 5; i++)
        holds(f, counts[i] == (i == missing ? 0 : 100 * weights[i]));
    farm_free(f);
}

static void missing_ones_leave_proportions(uint64_t seed)
{
    missing_one_leaves_proportions(seed, true);
    missing_one_leaves_proportions(seed, false);
}

static void the_share_of_a_full_or_excluded_member_goes_to_all_others(void **state)
{
    (void)state;
    with_seeds(missing_ones_leave_proportions);
}

/* Why: with the neighbour taking it, one backend would get the traffic of hundreds. */
static void block_is_shared_evenly(uint64_t seed)
{
    struct farm *f = farm_new(BALANCE_ROUND_ROBIN, 1000, seed);
    uint32_t counts[400] = {0};
    for (uint32_t i = 0; i < 600; i++)
        farm_fill(f, i);
    for (uint32_t i = 0; i < 400 * 200; i++)
        counts[farm_pick(f) - 600]++;
    holds(f, fits_evenly(counts, 400));
    farm_free(f);
}

static void the_share_of_a_whole_block_of_full_members_goes_to_all_others(void **state)
{
    (void)state;
    with_seeds(block_is_shared_evenly);
}

/* The few that are left are found by a scan, in proportion to their weights too. */
static void few_left_share_by_weight(uint64_t seed)
{
    uint32_t weights[500], counts[3] = {0};
    static const double shares[] = {64, 128, 320};
    for (uint32_t i = 0; i < 500; i++)
        weights[i] = 64;
    weights[251] = 128;
    weights[499] = 320;
    struct farm *f = farm_weighted(BALANCE_ROUND_ROBIN, weights, 500, seed);
    for (uint32_t i = 0; i < 500; i++) {
        if (i != 250 && i != 251 && i != 499)
            farm_fill(f, i);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        int got = farm_pick(f);
        counts[got == 250 ? 0 : got == 251 ? 1 : 2]++;
    }
    holds(f, fits(counts, shares, 3));
    farm_free(f);
}

static void the_few_that_are_left_share_by_weight(void **state)
{
    (void)state;
    with_seeds(few_left_share_by_weight);
}

static void a_huge_member_that_is_full_does_not_hide_a_tiny_one(void **state)
{
    static const uint32_t weights[] = {LIMIT_WEIGHT * WEIGHT_SCALE, 1, 1};
    (void)state;
    struct farm *f = farm_weighted(BALANCE_ROUND_ROBIN, weights, 3, 1);
    uint32_t counts[3] = {0};
    farm_fill(f, 0);
    for (int i = 0; i < 2000; i++)
        counts[farm_pick(f)]++;
    assert_int_equal(counts[0], 0);
    assert_true(fits_evenly(counts + 1, 2));
    farm_free(f);
}

/* ---- plans ---- */

static void a_new_plan_goes_on_where_the_old_one_was(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_ROUND_ROBIN, 4, 1);
    assert_order(f, "ab");
    farm_plan(f);
    assert_order(f, "cdab");
    farm_free(f);
}

/* Why: a pool whose health flaps gets a new plan every few picks. */
static void flapping_is_fair(uint64_t seed)
{
    struct farm *f = farm_new(BALANCE_ROUND_ROBIN, 10, seed);
    uint32_t counts[5] = {0};
    for (int i = 0; i < 5000; i++) {
        int got = farm_pick(f);
        if (got < 5)
            counts[got]++;
        if (rng_below(&f->rng, 2) == 0) {
            f->n = 5 + rng_below(&f->rng, 6); /* the first five are always there */
            farm_plan(f);
        }
    }
    holds(f, fits_evenly(counts, 5));
    f->n = 10;
    farm_free(f);
}

static void new_plans_all_the_time_do_not_favour_the_first(void **state)
{
    (void)state;
    with_seeds(flapping_is_fair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_weights_rotate_in_configuration_order),
        cmocka_unit_test(only_the_proportions_of_weights_matter),
        cmocka_unit_test(a_cursor_starts_where_its_position_says),
        cmocka_unit_test(each_cursor_rotates_by_itself),
        cmocka_unit_test(a_heavy_member_is_spread_over_the_period),
        cmocka_unit_test(two_members_alternate_as_far_as_their_weights_allow),
        cmocka_unit_test(a_period_gives_each_its_weight_exactly_wherever_it_starts),
        cmocka_unit_test(no_member_is_ever_a_whole_turn_ahead_or_behind),
        cmocka_unit_test(a_tiny_weight_beside_a_huge_one_gets_its_share),
        cmocka_unit_test(weights_too_large_for_a_period_are_rounded_within_bounds),
        cmocka_unit_test(the_share_of_a_full_or_excluded_member_goes_to_all_others),
        cmocka_unit_test(the_share_of_a_whole_block_of_full_members_goes_to_all_others),
        cmocka_unit_test(the_few_that_are_left_share_by_weight),
        cmocka_unit_test(a_huge_member_that_is_full_does_not_hide_a_tiny_one),
        cmocka_unit_test(a_new_plan_goes_on_where_the_old_one_was),
        cmocka_unit_test(new_plans_all_the_time_do_not_favour_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
