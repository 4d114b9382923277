/* test_verdict.c - from results to states, on both sides of every boundary. */
#include "health/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void the_first_result_decides_alone(void **state)
{
    (void)state;
    struct verdict v;

    verdict_init(&v, 3, 3, OPER_UNKNOWN);
    assert_int_equal(verdict_oper(&v), OPER_UNKNOWN);
    verdict_pass(&v);
    assert_int_equal(verdict_oper(&v), OPER_UP);
    assert_int_equal(v.health, 5);

    verdict_init(&v, 3, 3, OPER_UNKNOWN);
    verdict_fail(&v);
    assert_int_equal(verdict_oper(&v), OPER_DOWN);
    assert_int_equal(v.health, 0);
}

static void it_takes_fall_failures_to_go_down(void **state)
{
    (void)state;
    for (uint16_t rise = 1; rise <= 4; rise++) {
        for (uint16_t fall = 1; fall <= 4; fall++) {
            struct verdict v;
            verdict_init(&v, rise, fall, OPER_UP);
            for (uint16_t i = 1; i < fall; i++) {
                verdict_fail(&v);
                assert_int_equal(verdict_oper(&v), OPER_GOING_DOWN);
                assert_int_equal(v.health, rise + fall - 1 - i);
            }
            verdict_fail(&v);
            assert_int_equal(verdict_oper(&v), OPER_DOWN);
            assert_int_equal(v.health, 0);
            verdict_fail(&v);
            assert_int_equal(v.health, 0);
        }
    }
}

static void it_takes_rise_passes_to_come_up(void **state)
{
    (void)state;
    for (uint16_t rise = 1; rise <= 4; rise++) {
        for (uint16_t fall = 1; fall <= 4; fall++) {
            struct verdict v;
            verdict_init(&v, rise, fall, OPER_DOWN);
            for (uint16_t i = 1; i < rise; i++) {
                verdict_pass(&v);
                assert_int_equal(verdict_oper(&v), OPER_GOING_UP);
                assert_int_equal(v.health, i);
            }
            verdict_pass(&v);
            assert_int_equal(verdict_oper(&v), OPER_UP);
            assert_int_equal(v.health, rise + fall - 1);
            verdict_pass(&v);
            assert_int_equal(v.health, rise + fall - 1);
        }
    }
}

static void one_pass_forgives_the_failures_before(void **state)
{
    (void)state;
    struct verdict v;

    verdict_init(&v, 2, 3, OPER_UP);
    verdict_fail(&v);
    verdict_fail(&v);
    assert_int_equal(verdict_oper(&v), OPER_GOING_DOWN);
    verdict_pass(&v);
    assert_int_equal(verdict_oper(&v), OPER_UP);
    assert_int_equal(v.health, 4);
}

static void one_failure_undoes_the_passes_before(void **state)
{
    (void)state;
    struct verdict v;

    verdict_init(&v, 3, 2, OPER_DOWN);
    verdict_pass(&v);
    verdict_pass(&v);
    assert_int_equal(v.health, 2);
    verdict_fail(&v);
    assert_int_equal(verdict_oper(&v), OPER_DOWN);
    assert_int_equal(v.health, 0);
}

static void suspicion_leaves_the_last_step_to_a_check(void **state)
{
    (void)state;
    struct verdict v;

    verdict_init(&v, 2, 3, OPER_UP);
    for (int i = 0; i < 10; i++)
        verdict_suspect(&v);
    assert_int_equal(verdict_oper(&v), OPER_GOING_DOWN);
    assert_int_equal(v.health, v.rise);
    verdict_fail(&v);
    assert_int_equal(verdict_oper(&v), OPER_DOWN);

    verdict_init(&v, 2, 1, OPER_UP); /* there is only a last step */
    verdict_suspect(&v);
    assert_int_equal(verdict_oper(&v), OPER_UP);

    verdict_init(&v, 2, 3, OPER_UNKNOWN);
    verdict_suspect(&v);
    assert_int_equal(verdict_oper(&v), OPER_UNKNOWN);

    verdict_init(&v, 3, 3, OPER_DOWN); /* and does not undo passes */
    verdict_pass(&v);
    verdict_suspect(&v);
    assert_int_equal(v.health, 1);
}

static void after_doubt_the_next_result_decides(void **state)
{
    (void)state;
    struct verdict v;

    verdict_init(&v, 3, 3, OPER_UP);
    verdict_doubt(&v);
    assert_int_equal(verdict_oper(&v), OPER_GOING_DOWN); /* still used */
    verdict_fail(&v);
    assert_int_equal(verdict_oper(&v), OPER_DOWN);
    verdict_doubt(&v);
    assert_int_equal(verdict_oper(&v), OPER_GOING_UP); /* still not */
    verdict_pass(&v);
    assert_int_equal(verdict_oper(&v), OPER_UP);

    verdict_init(&v, 1, 1, OPER_DOWN);
    verdict_doubt(&v);
    assert_int_equal(verdict_oper(&v), OPER_DOWN);
    verdict_init(&v, 1, 1, OPER_UP);
    verdict_doubt(&v);
    assert_int_equal(verdict_oper(&v), OPER_UP);
    verdict_init(&v, 1, 1, OPER_UNKNOWN);
    verdict_doubt(&v);
    assert_int_equal(verdict_oper(&v), OPER_UNKNOWN);
}

static void force_goes_all_the_way(void **state)
{
    (void)state;
    struct verdict v;

    verdict_init(&v, 2, 3, OPER_UNKNOWN);
    verdict_force(&v, true);
    assert_int_equal(verdict_oper(&v), OPER_UP);
    verdict_force(&v, false);
    assert_int_equal(verdict_oper(&v), OPER_DOWN);
    assert_int_equal(v.health, 0);
}

static void new_figures_keep_the_state(void **state)
{
    (void)state;
    struct verdict v;

    verdict_init(&v, 2, 3, OPER_UP);
    verdict_fail(&v);
    verdict_rescale(&v, 5, 7);
    assert_int_equal(verdict_oper(&v), OPER_UP);
    assert_int_equal(v.health, 11);
    verdict_init(&v, 3, 3, OPER_DOWN);
    verdict_pass(&v);
    verdict_rescale(&v, 1, 1);
    assert_int_equal(verdict_oper(&v), OPER_DOWN);
    verdict_init(&v, 3, 3, OPER_UNKNOWN);
    verdict_rescale(&v, 1, 1);
    assert_int_equal(verdict_oper(&v), OPER_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_result_decides_alone),
        cmocka_unit_test(it_takes_fall_failures_to_go_down),
        cmocka_unit_test(it_takes_rise_passes_to_come_up),
        cmocka_unit_test(one_pass_forgives_the_failures_before),
        cmocka_unit_test(one_failure_undoes_the_passes_before),
        cmocka_unit_test(suspicion_leaves_the_last_step_to_a_check),
        cmocka_unit_test(after_doubt_the_next_result_decides),
        cmocka_unit_test(force_goes_all_the_way),
        cmocka_unit_test(new_figures_keep_the_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
