/* test_phases.c - buckets, sums, what is taken away from them. */
#include "lb/obs/phases.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static void every_value_has_a_bucket_that_holds_it(void **state)
{
    (void)state;
    for (uint32_t bit = 0; bit < 32; bit++) {
        for (int off = -2; off <= 2; off++) {
            uint32_t v = (1u << bit) + (uint32_t)off;
            uint32_t b = phase_bucket(v);
            assert_true(b < PHASE_BUCKETS);
            assert_true(phase_bucket_low(b) <= v);
            assert_true(v < phase_bucket_low(b + 1));
        }
    }
    assert_int_equal(phase_bucket(UINT32_MAX), PHASE_BUCKETS - 1);
}

static void a_phase_that_was_not_reached_is_not_counted(void **state)
{
    const struct phase_times t = {{0, PHASE_NONE, 100, phase_us(UINT64_MAX)}};
    struct phase_row *rows = phases_new(2);
    struct histogram_sum h;

    (void)state;
    phases_add(&rows[1], &t);
    phases_sum(rows, 2, NULL, PHASE_CONNECT, &h);
    assert_int_equal(h.n, 0);
    phases_sum(rows, 2, NULL, PHASE_QUEUE, &h);
    assert_int_equal(h.n, 1);
    assert_int_equal(h.sum_us, 0);
    phases_sum(rows, 2, NULL, PHASE_TOTAL, &h);
    assert_int_equal(h.n, 1);
    assert_int_equal(h.max_us, PHASE_NONE - 1);
    phases_free(&rows, 2);
    assert_null(rows);
}

static void quantiles_are_near_and_a_base_is_taken_away(void **state)
{
    struct phase_row *rows = phases_new(2), base;
    struct histogram_sum h;

    (void)state;
    for (uint32_t i = 1; i <= 10000; i++) {
        const struct phase_times t = {{i, PHASE_NONE, PHASE_NONE, PHASE_NONE}};
        phases_add(&rows[i % 2], &t);
    }
    phases_sum(rows, 2, NULL, PHASE_QUEUE, &h);
    assert_int_equal(h.n, 10000);
    assert_in_range(histogram_quantile(&h, 0.5), 5000 * 93 / 100, 5000 * 107 / 100);
    assert_in_range(histogram_quantile(&h, 0.99), 9900 * 93 / 100, 9900 * 107 / 100);
    phases_note(rows, 2, &base);
    phases_clear_max(rows, 2);
    phases_add(&rows[0], &(struct phase_times){{7, PHASE_NONE, PHASE_NONE, PHASE_NONE}});
    phases_sum(rows, 2, &base, PHASE_QUEUE, &h);
    assert_int_equal(h.n, 1);
    assert_int_equal(h.sum_us, 7);
    assert_int_equal(h.max_us, 7);
    assert_int_equal(histogram_quantile(&h, 0.5), 7);
    phases_free(&rows, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_has_a_bucket_that_holds_it),
        cmocka_unit_test(a_phase_that_was_not_reached_is_not_counted),
        cmocka_unit_test(quantiles_are_near_and_a_base_is_taken_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
