/* test_reasons.c - codes are counted, by several threads too. */
#include "lb/obs/reasons.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

/* Codes stay for good, so the test that fills the table has a program of its own. */
static uint64_t count_of(const struct reason_counters *rows, uint32_t n, const char *code)
{
    struct reason_counters sum;
    uint64_t found = 0;
    uint32_t times = 0;

    reason_counters_sum(rows, n, &sum);
    for (uint32_t i = 0; i < LIMIT_REASONS; i++)
        if (reason_code(i) != NULL && strcmp(reason_code(i), code) == 0) {
            found += counter_get(&sum.n[i]);
            times++;
        }
    assert_true(times <= 1); /* no code twice */
    return found;
}

static void codes_are_counted_by_their_text(void **state)
{
    static struct reason_counters rows[2];
    static const char one[] = "bad-target", same[] = "bad-target";

    (void)state;
    reason_count(&rows[0], one);
    reason_count(&rows[1], same);
    reason_count(&rows[1], "no-route");
    assert_int_equal(count_of(rows, 2, "bad-target"), 2);
    assert_int_equal(count_of(rows, 1, "bad-target"), 1);
    assert_int_equal(count_of(rows, 2, "no-route"), 1);
    assert_int_equal(count_of(rows, 2, "never-seen"), 0);
    assert_int_equal(count_of(NULL, 2, "no-route"), 0);
}

static void no_code_counts_nothing(void **state)
{
    static struct reason_counters row;
    struct reason_counters sum;

    (void)state;
    reason_count(&row, NULL);
    reason_counters_sum(&row, 1, &sum);
    for (uint32_t i = 0; i < LIMIT_REASONS; i++)
        assert_int_equal(counter_get(&sum.n[i]), 0);
}

#define THREADS 4
#define CODES   32
static char shared_codes[CODES][24];

static void *count_all(void *arg)
{
    struct reason_counters *row = arg;

    for (int round = 0; round < 100; round++)
        for (int i = 0; i < CODES; i++)
            reason_count(row, shared_codes[i]);
    return NULL;
}

static void threads_agree_on_the_numbers(void **state)
{
    static struct reason_counters rows[THREADS];
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < CODES; i++)
        snprintf(shared_codes[i], sizeof(shared_codes[i]), "shared-%d", i);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_all, &rows[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < CODES; i++)
        assert_int_equal(count_of(rows, THREADS, shared_codes[i]), THREADS * 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_counted_by_their_text),
        cmocka_unit_test(no_code_counts_nothing),
        cmocka_unit_test(threads_agree_on_the_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
