/* test_histogram.c - buckets, the promised error, sums and differences. */
#include "lb/base/rand.h"
#include "lb/obs/histogram.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#define VALUES 20000

static void every_value_has_a_bucket_that_holds_it(void **state)
{
    (void)state;
    for (uint32_t bit = 0; bit < 32; bit++) {
        for (int off = -2; off <= 2; off++) {
            uint32_t v = (1u << bit) + (uint32_t)off;
            uint32_t b = histogram_bucket(v);
            assert_true(b < HISTOGRAM_BUCKETS);
            assert_true(histogram_bucket_low(b) <= v);
            assert_true(v < histogram_bucket_low(b + 1));
        }
    }
    assert_int_equal(histogram_bucket(UINT32_MAX), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket_low(HISTOGRAM_BUCKETS), (uint64_t)UINT32_MAX + 1);
}

static void buckets_follow_each_other_without_gaps(void **state)
{
    (void)state;
    for (uint32_t b = 0; b < HISTOGRAM_BUCKETS; b++) {
        uint64_t low = histogram_bucket_low(b);
        assert_int_equal(histogram_bucket((uint32_t)low), b);
        if (b > 0)
            assert_int_equal(histogram_bucket((uint32_t)low - 1), b - 1);
    }
}

static void values_below_64_are_exact(void **state)
{
    (void)state;
    for (uint32_t v = 0; v < 64; v++) {
        assert_int_equal(histogram_bucket_low(histogram_bucket(v)), v);
        assert_int_equal(histogram_bucket_low(histogram_bucket(v) + 1), v + 1);
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t exact(const uint64_t *sorted, size_t n, double q)
{
    size_t rank = (size_t)(q * (double)n);
    if ((double)rank < q * (double)n || rank == 0)
        rank++;
    return sorted[rank - 1];
}

/* The promise of the header: at most 2 % off (and exact below 64 us), whatever the values are. */
static void quantiles_are_within_two_percent(void **state)
{
    static const double qs[] = {0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1};
    static uint64_t values[VALUES];
    struct rng rng;
    struct histogram_sum sum;

    (void)state;
    rng_seed(&rng, 20261123);
    for (uint32_t bits = 1; bits <= 32; bits++) {
        struct histogram *h = histogram_rows_new(1);
        for (size_t i = 0; i < VALUES; i++) { /* spread evenly, or over the powers of two */
            uint64_t v = rng_next(&rng) >> (64 - bits);
            values[i] = i % 2 == 0 ? v : v >> (rng_next(&rng) % bits);
            histogram_add(h, values[i]);
        }
        histogram_sum(h, 1, &sum);
        qsort(values, VALUES, sizeof(values[0]), by_value);
        for (size_t i = 0; i < sizeof(qs) / sizeof(qs[0]); i++) {
            uint64_t want = exact(values, VALUES, qs[i]), got = histogram_quantile(&sum, qs[i]);
            uint64_t off = got > want ? got - want : want - got;
            if (off * 50 > want)
                fail_msg("%u bits, quantile %g: %lu instead of %lu", bits, qs[i], got, want);
        }
        assert_int_equal(sum.n, VALUES);
        assert_int_equal(sum.max_us, values[VALUES - 1]);
        histogram_rows_free(&h, 1);
    }
}

static void what_is_too_long_counts_as_the_longest(void **state)
{
    struct histogram *h = histogram_rows_new(1);
    struct histogram_sum sum;

    (void)state;
    histogram_add(h, (uint64_t)UINT32_MAX + 1);
    histogram_add(h, UINT64_MAX);
    histogram_sum(h, 1, &sum);
    assert_int_equal(sum.n, 2);
    assert_int_equal(sum.max_us, UINT32_MAX);
    assert_int_equal(sum.buckets[HISTOGRAM_BUCKETS - 1], 2);
    histogram_rows_free(&h, 1);
}

static void nothing_has_quantiles_of_zero(void **state)
{
    struct histogram_sum sum;

    (void)state;
    histogram_sum(NULL, 0, &sum);
    assert_int_equal(histogram_quantile(&sum, 0), 0);
    assert_int_equal(histogram_quantile(&sum, 1), 0);
    assert_int_equal(histogram_count_to(&sum, UINT64_MAX), 0);
}

static void a_quantile_is_never_above_the_greatest_value(void **state)
{
    struct histogram *h = histogram_rows_new(1);
    struct histogram_sum sum;

    (void)state;
    histogram_add(h, 65536); /* the middle of its bucket is 66560 */
    histogram_sum(h, 1, &sum);
    assert_int_equal(histogram_quantile(&sum, 0.5), 65536);
    histogram_rows_free(&h, 1);
}

static void rows_are_added_up_and_earlier_sums_taken_away(void **state)
{
    struct histogram *h = histogram_rows_new(3);
    static struct histogram_sum before, after;

    (void)state;
    histogram_add(&h[0], 10);
    histogram_add(&h[1], 20);
    histogram_add(&h[2], 5000);
    histogram_sum(h, 3, &before);
    assert_int_equal(before.n, 3);
    assert_int_equal(before.sum_us, 5030);
    assert_int_equal(before.max_us, 5000);
    assert_int_equal(histogram_quantile(&before, 0.5), 20);
    histogram_add(&h[1], 30);
    histogram_add(&h[0], 40);
    histogram_sum(h, 3, &after);
    histogram_subtract(&after, &before);
    assert_int_equal(after.n, 2);
    assert_int_equal(after.sum_us, 70);
    assert_int_equal(histogram_quantile(&after, 0.5), 30);
    assert_int_equal(histogram_quantile(&after, 1), 40);
    histogram_rows_free(&h, 3);
    assert_null(h);
}

static void counts_up_to_a_value_are_cumulative(void **state)
{
    struct histogram *h = histogram_rows_new(1);
    struct histogram_sum sum;

    (void)state;
    for (uint32_t v = 1; v <= 200; v++)
        histogram_add(h, v);
    histogram_sum(h, 1, &sum);
    assert_int_equal(histogram_count_to(&sum, 0), 0);
    assert_int_equal(histogram_count_to(&sum, 63), 63);
    assert_int_equal(histogram_count_to(&sum, 127), 127); /* buckets of two, the last ends here */
    assert_int_equal(histogram_count_to(&sum, 1000), 200);
    histogram_rows_free(&h, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_has_a_bucket_that_holds_it),
        cmocka_unit_test(buckets_follow_each_other_without_gaps),
        cmocka_unit_test(values_below_64_are_exact),
        cmocka_unit_test(quantiles_are_within_two_percent),
        cmocka_unit_test(what_is_too_long_counts_as_the_longest),
        cmocka_unit_test(nothing_has_quantiles_of_zero),
        cmocka_unit_test(a_quantile_is_never_above_the_greatest_value),
        cmocka_unit_test(rows_are_added_up_and_earlier_sums_taken_away),
        cmocka_unit_test(counts_up_to_a_value_are_cumulative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
