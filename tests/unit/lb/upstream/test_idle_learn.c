/* How long idle connections are kept: never up to the moment the backend closes them. */
#include "lb/upstream/idle_learn.h"

#include "lb/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void nothing_is_known_at_first(void **state)
{
    (void)state;
    struct idle_learn l = {0};
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 60000);
    assert_int_equal(idle_learn_keep_ms(&l, 0), UINT32_MAX);
}

static void a_header_is_undercut_by_a_second(void **state)
{
    (void)state;
    struct idle_learn l = {0};
    idle_learn_header(&l, 5); /* Node */
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 4000);
    assert_int_equal(idle_learn_keep_ms(&l, 0), 4000);
    assert_int_equal(idle_learn_keep_ms(&l, 3000), 3000);
}

static void short_times_are_undercut_by_half(void **state)
{
    (void)state;
    struct idle_learn l = {0};
    idle_learn_header(&l, 2);
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 1000);
    idle_learn_header(&l, 1);
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 500);
    idle_learn_header(&l, 0);
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 0);
}

static void the_last_header_counts_and_any_number_is_taken(void **state)
{
    (void)state;
    struct idle_learn l = {0};
    idle_learn_header(&l, 5);
    idle_learn_header(&l, 20);
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 19000);
    idle_learn_header(&l, UINT32_MAX);
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 60000);
}

static void two_closes_that_agree_are_believed(void **state)
{
    (void)state;
    struct idle_learn l = {0};
    idle_learn_closed(&l, 15200);
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 60000);
    idle_learn_closed(&l, 15000);
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 14000);
}

/* Why: a backend that restarts closes what has been idle for a moment, too. */
static void closes_at_random_ages_are_not_believed(void **state)
{
    (void)state;
    struct idle_learn l = {0};
    static const uint32_t ages[] = {40000, 3000, 20000, 100, 9000, 50000};
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++)
        idle_learn_closed(&l, ages[i]);
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 60000);
}

static void a_close_corrects_a_header_that_promises_too_much(void **state)
{
    (void)state;
    struct idle_learn l = {0};
    idle_learn_header(&l, 60);
    idle_learn_closed(&l, 30000);
    idle_learn_closed(&l, 30100);
    assert_int_equal(idle_learn_keep_ms(&l, 0), 29000);
    idle_learn_header(&l, 60); /* says so again: it was wrong before */
    assert_int_equal(idle_learn_keep_ms(&l, 0), 29000);
}

static void what_lived_longer_shows_that_it_was_learnt_wrong(void **state)
{
    (void)state;
    struct idle_learn l = {0};
    idle_learn_closed(&l, 3000);
    idle_learn_closed(&l, 3000);
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 2000);
    idle_learn_survived(&l, 10000); /* it was idle before the others were closed */
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 9000);
}

static void short_lives_prove_nothing(void **state)
{
    (void)state;
    struct idle_learn l = {0};
    idle_learn_closed(&l, 10000);
    idle_learn_closed(&l, 10000);
    for (int i = 0; i < 100000; i++)
        idle_learn_survived(&l, 5000);
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 9000);
}

/* Plays a backend that closes at limit_ms, for n connections that nobody takes. */
static uint32_t play(struct idle_learn *l, uint32_t limit_ms, uint32_t configured_ms, uint32_t n)
{
    uint32_t closes = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t keep = idle_learn_keep_ms(l, configured_ms);
        if (keep >= limit_ms) {
            idle_learn_closed(l, limit_ms);
            closes++;
        } else {
            idle_learn_survived(l, keep);
        }
    }
    return closes;
}

static void a_limit_is_found_and_seldom_hit(void **state)
{
    (void)state;
    static const uint32_t limits[] = {200, 1000, 2000, 5000, 15000, 75000};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct idle_learn l = {0};
        play(&l, limits[i], 120000, 100);
        uint32_t closes = play(&l, limits[i], 120000, 10000);
        assert_true(closes <= 10000 / 16);
        assert_true(idle_learn_keep_ms(&l, 120000) < 2 * limits[i]);
    }
}

static void a_backend_that_has_become_patient_is_used_to_it(void **state)
{
    (void)state;
    struct idle_learn l = {0};
    play(&l, 2000, 60000, 100);
    play(&l, 600000, 60000, 1000);
    assert_int_equal(idle_learn_keep_ms(&l, 60000), 60000);
}

static void anything_goes_and_the_configuration_is_the_limit(void **state)
{
    (void)state;
    struct idle_learn l = {0};
    struct rng r;
    rng_seed(&r, 1);
    for (int i = 0; i < 200000; i++) {
        uint32_t x = (uint32_t)(rng_next(&r) >> (32 + rng_below(&r, 32)));
        switch (rng_below(&r, 3)) {
        case 0:
            idle_learn_closed(&l, x);
            break;
        case 1:
            idle_learn_survived(&l, x);
            break;
        default:
            idle_learn_header(&l, x);
        }
        uint32_t keep = idle_learn_keep_ms(&l, 60000);
        assert_true(keep <= 60000);
        assert_true(l.seen_ms == 0 || keep <= l.seen_ms);
        assert_true(keep <= l.said_ms || !l.said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_at_first),
        cmocka_unit_test(a_header_is_undercut_by_a_second),
        cmocka_unit_test(short_times_are_undercut_by_half),
        cmocka_unit_test(the_last_header_counts_and_any_number_is_taken),
        cmocka_unit_test(two_closes_that_agree_are_believed),
        cmocka_unit_test(closes_at_random_ages_are_not_believed),
        cmocka_unit_test(a_close_corrects_a_header_that_promises_too_much),
        cmocka_unit_test(what_lived_longer_shows_that_it_was_learnt_wrong),
        cmocka_unit_test(short_lives_prove_nothing),
        cmocka_unit_test(a_limit_is_found_and_seldom_hit),
        cmocka_unit_test(a_backend_that_has_become_patient_is_used_to_it),
        cmocka_unit_test(anything_goes_and_the_configuration_is_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
