/* test_h2_window.c - windows grow where the way is long and the reader fast, within a budget. */
#include "lb/base/limits.h"
#include "lb/http/h2_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define BASE   65536u
#define RTT_US 100000u

/* Rounds of a whole window each, one every round_us. */
static void rounds(struct h2_window *w, uint64_t *budget, int n, uint64_t round_us)
{
    uint64_t now = w->since_us;

    for (int i = 0; i < n; i++) {
        now += round_us;
        h2_window_taken(w, budget, w->size, now, RTT_US);
    }
}

/* Why: 64 KiB over 100 ms are 5 Mbit/s, whatever the line could carry. */
static void a_sender_that_waits_for_the_window_gets_a_larger_one(void **state)
{
    struct h2_window w;
    uint64_t budget = LIMIT_H2_GROWN;

    (void)state;
    h2_window_init(&w, BASE, 1000);
    rounds(&w, &budget, 4, RTT_US);
    assert_int_equal(w.size, 16 * BASE);
    rounds(&w, &budget, 100, RTT_US);
    assert_int_equal(w.size, LIMIT_H2_WINDOW);
    assert_true(w.size / (RTT_US / 1e6) * 8 > 1e9);
    assert_int_equal(budget, LIMIT_H2_GROWN - (w.size - BASE));
    assert_int_equal(h2_window_shrink(&w, &budget), LIMIT_H2_WINDOW - BASE);
    assert_int_equal(budget, LIMIT_H2_GROWN);
    assert_int_equal(h2_window_shrink(&w, &budget), 0);
}

/* Why: then a larger window would only be memory that fills up. */
static void a_slow_reader_or_line_gets_none(void **state)
{
    struct h2_window w;
    uint64_t budget = LIMIT_H2_GROWN;

    (void)state;
    h2_window_init(&w, BASE, 1000);
    rounds(&w, &budget, 100, 2 * RTT_US + 1);
    assert_int_equal(w.size, BASE);
    assert_int_equal(h2_window_taken(&w, &budget, BASE - 1, w.since_us, RTT_US), 0);
    assert_int_equal(h2_window_taken(&w, &budget, 1, w.since_us, 0), 0); /* the way is not known */
    assert_int_equal(budget, LIMIT_H2_GROWN);
}

static void no_more_is_promised_than_the_budget_has(void **state)
{
    struct h2_window w[8];
    uint64_t budget = LIMIT_H2_GROWN, grown = 0;

    (void)state;
    for (int i = 0; i < 8; i++) {
        h2_window_init(&w[i], BASE, 1000);
        rounds(&w[i], &budget, 20, RTT_US);
        grown += w[i].size - BASE;
    }
    assert_int_equal(budget + grown, LIMIT_H2_GROWN);
    assert_int_equal(w[0].size, LIMIT_H2_WINDOW);
    assert_true(w[7].size < LIMIT_H2_WINDOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sender_that_waits_for_the_window_gets_a_larger_one),
        cmocka_unit_test(a_slow_reader_or_line_gets_none),
        cmocka_unit_test(no_more_is_promised_than_the_budget_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
