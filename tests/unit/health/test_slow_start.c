/* test_slow_start.c - the ramp: never 0, never beyond the whole, never back. */
#include "health/slow_start.h"

#include "health/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void a_ramp_begins_above_zero_and_ends_with_the_whole(void **state)
{
    (void)state;
    assert_int_equal(slow_start_weight(1, 0, 10000), 1);
    assert_int_equal(slow_start_weight(10, 5000, 10000), 10 * WEIGHT_SCALE / 2);
    assert_int_equal(slow_start_weight(1, 9999, 10000), WEIGHT_SCALE - 1);
    assert_int_equal(slow_start_weight(1, 10000, 10000), WEIGHT_SCALE);
    assert_int_equal(slow_start_weight(256, UINT64_MAX, 1), 256 * WEIGHT_SCALE);
    assert_int_equal(slow_start_weight(256, UINT32_MAX - 1ull, UINT32_MAX), 256 * WEIGHT_SCALE - 1);
}

static void without_a_ramp_the_weight_is_whole_at_once(void **state)
{
    (void)state;
    assert_int_equal(slow_start_weight(7, 0, 0), 7 * WEIGHT_SCALE);
}

static void weight_0_stays_0(void **state)
{
    (void)state;
    assert_int_equal(slow_start_weight(0, 0, 10000), 0);
    assert_int_equal(slow_start_weight(0, 5000, 10000), 0);
    assert_int_equal(slow_start_weight(0, 10000, 10000), 0);
}

static void it_never_goes_back(void **state)
{
    (void)state;
    for (uint16_t set = 1; set <= LIMIT_WEIGHT; set = (uint16_t)(set * 2)) {
        uint16_t last = 0;
        for (uint64_t ms = 0; ms <= 3000; ms += 7) {
            uint16_t w = slow_start_weight(set, ms, 3000);
            assert_true(w >= last && w >= 1 && w <= set * WEIGHT_SCALE);
            last = w;
        }
    }
}

static void steps_are_neither_too_many_nor_too_few(void **state)
{
    (void)state;
    assert_int_equal(slow_start_step_ms(1), 50);
    assert_int_equal(slow_start_step_ms(1000), 50);
    assert_int_equal(slow_start_step_ms(1020), 51);
    assert_int_equal(slow_start_step_ms(60000), 3000);
    assert_int_equal(slow_start_step_ms(UINT32_MAX), 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ramp_begins_above_zero_and_ends_with_the_whole),
        cmocka_unit_test(without_a_ramp_the_weight_is_whole_at_once),
        cmocka_unit_test(weight_0_stays_0),
        cmocka_unit_test(it_never_goes_back),
        cmocka_unit_test(steps_are_neither_too_many_nor_too_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
