/* first: fills the members in configuration order. */
#include "tests/unit/balancing/farm.h"

static void the_first_gets_everything_while_it_has_room(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_FIRST, 3, 1);
    farm_limit(f, 0, 50);
    for (int i = 0; i < 50; i++)
        assert_int_equal(farm_take(f), 0);
    assert_int_equal(farm_take(f), 1);
    farm_free(f);
}

static void the_next_is_used_once_those_before_it_are_full(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_FIRST, 4, 1);
    for (uint32_t i = 0; i < 4; i++)
        farm_limit(f, i, 2);
    for (int i = 0; i < 8; i++)
        assert_int_equal(farm_take(f), i / 2);
    assert_int_equal(farm_take(f), FULL);
    farm_free(f);
}

static void it_returns_to_an_earlier_one_that_has_room_again(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_FIRST, 3, 1);
    farm_fill(f, 0);
    farm_fill(f, 1);
    assert_int_equal(farm_take(f), 2);
    farm_give(f, 1);
    assert_int_equal(farm_take(f), 1);
    farm_give(f, 0);
    assert_int_equal(farm_take(f), 0);
    farm_free(f);
}

static void weights_do_not_matter(void **state)
{
    static const uint32_t weights[] = {1, 16384, 64};
    (void)state;
    struct farm *f = farm_weighted(BALANCE_FIRST, weights, 3, 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(farm_take(f), 0);
    farm_free(f);
}

static void an_excluded_one_is_passed_over(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_FIRST, 3, 1);
    farm_exclude(f, 0);
    assert_int_equal(farm_pick(f), 1);
    farm_exclude(f, 1);
    assert_int_equal(farm_pick(f), 2);
    farm_fill(f, 2);
    assert_int_equal(farm_pick(f), FULL);
    farm_exclude(f, 2);
    assert_int_equal(farm_pick(f), NONE);
    farm_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_gets_everything_while_it_has_room),
        cmocka_unit_test(the_next_is_used_once_those_before_it_are_full),
        cmocka_unit_test(it_returns_to_an_earlier_one_that_has_room_again),
        cmocka_unit_test(weights_do_not_matter),
        cmocka_unit_test(an_excluded_one_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
