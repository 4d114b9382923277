/* Ejection: never too many, longer each time, forgotten in the end. */
#include "health/outlier.h"
#include "lb/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define T 30000 /* ms */

static void the_share_is_rounded_down(void **state)
{
    (void)state;
    assert_int_equal(outlier_allowed(3, 50), 1);
    assert_int_equal(outlier_allowed(4, 50), 2);
    assert_int_equal(outlier_allowed(9, 10), 0);
    assert_int_equal(outlier_allowed(10, 10), 1);
    assert_int_equal(outlier_allowed(10, 0), 0);
    assert_int_equal(outlier_allowed(65536, 100), 65535);
}

static void one_is_always_left(void **state)
{
    (void)state;
    assert_int_equal(outlier_allowed(0, 100), 0);
    assert_int_equal(outlier_allowed(1, 100), 0);
    assert_int_equal(outlier_allowed(2, 100), 1);
}

static void never_more_than_the_share(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 300; n++) {
        for (uint32_t percent = 0; percent <= 100; percent++) {
            uint32_t allowed = outlier_allowed(n, percent);
            assert_true(allowed * 100 <= n * percent);
            assert_true(n == 0 || allowed < n);
            assert_true(allowed + 1 == n || n == 0 || (allowed + 1) * 100 > n * percent);
        }
    }
}

static uint64_t eject(struct outlier *o, uint64_t now)
{
    outlier_eject(o, now, T);
    assert_true(o->ejected);
    return o->until_ms - now;
}

static void each_ejection_lasts_longer_up_to_a_limit(void **state)
{
    (void)state;
    struct outlier o = {0};
    uint64_t now = 1000;
    for (uint64_t n = 1; n < 20; n++) {
        uint64_t lasts = eject(&o, now);
        assert_int_equal(lasts, (n < OUTLIER_FACTOR_MAX ? n : OUTLIER_FACTOR_MAX) * T);
        now += lasts;
        outlier_return(&o, now);
        assert_false(o.ejected);
        now += T - 1; /* not quite long enough to be forgiven */
    }
}

static void good_behaviour_is_rewarded_step_by_step(void **state)
{
    (void)state;
    struct outlier o = {0};
    uint64_t now = 1000;
    for (int i = 0; i < 4; i++) {
        now += eject(&o, now);
        outlier_return(&o, now);
    }
    now += 2 * T; /* 4 - 2 + 1 */
    uint64_t lasts = eject(&o, now);
    assert_int_equal(lasts, 3 * T);
    now += lasts;
    outlier_return(&o, now);
    assert_int_equal(eject(&o, now + 1000ull * T), T);
}

static void a_forgotten_past_starts_anew(void **state)
{
    (void)state;
    struct outlier o = {0};
    for (int i = 0; i < 4; i++) {
        eject(&o, 1000);
        outlier_return(&o, 1000);
    }
    outlier_forget(&o);
    assert_int_equal(eject(&o, 1000), T);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_share_is_rounded_down),
        cmocka_unit_test(one_is_always_left),
        cmocka_unit_test(never_more_than_the_share),
        cmocka_unit_test(each_ejection_lasts_longer_up_to_a_limit),
        cmocka_unit_test(good_behaviour_is_rewarded_step_by_step),
        cmocka_unit_test(a_forgotten_past_starts_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
