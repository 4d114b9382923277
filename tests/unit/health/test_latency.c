/* The estimate of response times: peaks at once, the rest slowly; failures never help. */
#include "health/latency.h"
#include "lb/base/alloc.h"
#include "lb/base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#define MS 1000u
#define S  1000000u

static struct backend_slot *slot;
static uint64_t now;

static int setup(void **state)
{
    (void)state;
    slot = xaligned(sizeof(*slot));
    now = 1000ull * S;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(slot);
    return 0;
}

static void answers(uint64_t rtt_us, uint64_t gap_us, uint32_t n)
{
    for (; n > 0; n--) {
        now += gap_us;
        slot_observe_latency(slot, now, rtt_us);
    }
}

static float seen(void)
{
    return slot_latency(slot, now).seen;
}

static float faded(void)
{
    return slot_latency(slot, now).faded;
}

static void assert_near(double is, double expected, double percent)
{
    if (is < expected * (1 - percent / 100) || is > expected * (1 + percent / 100))
        fail_msg("%g is not near %g", is, expected);
}

static void never_tried_is_zero(void **state)
{
    (void)state;
    assert_true(seen() == 0 && faded() == 0);
    slot_observe_latency(slot, now, 0);
    assert_true(seen() > 0); /* an answer within the microsecond is not "never tried" */
    slot_forget_latency(slot);
    assert_true(seen() == 0 && faded() == 0);
}

static void the_first_answer_is_the_estimate(void **state)
{
    (void)state;
    answers(1234, 0, 1);
    assert_near(seen(), 1234, 0.01);
}

static void a_slower_answer_counts_in_full_at_once(void **state)
{
    (void)state;
    answers(1 * MS, 1 * MS, 100);
    answers(80 * MS, 0, 1); /* within the same tick, too */
    assert_near(seen(), 80 * MS, 0.01);
}

static void faster_answers_bring_it_down_over_the_decay_time(void **state)
{
    (void)state;
    answers(100 * MS, 0, 1);
    answers(1 * MS, 10 * MS, 1000); /* 10 s */
    assert_near(seen(), 1 * MS + 99 * MS * 0.3679, 2);
    answers(1 * MS, 10 * MS, 9000);
    assert_near(seen(), 1 * MS, 5);
}

/* Why: with steps below a microsecond an average in integers would stand still. */
static void a_storm_of_answers_converges_as_fast_as_a_drizzle(void **state)
{
    (void)state;
    answers(200, 0, 1);
    answers(100, 10, 1000000); /* 10 s, 100,000 a second */
    assert_near(seen(), 100 + 100 * 0.3679, 2);
}

static void what_is_not_heard_of_fades(void **state)
{
    (void)state;
    answers(100 * MS, 0, 1);
    now += 10 * S;
    assert_near(seen(), 100 * MS, 0.01);
    assert_near(faded(), 100 * MS * 0.3679, 1);
    now += 3600ull * S;
    assert_true(faded() < 1);
    assert_near(slot_latency(slot, 0).faded, 100 * MS, 0.01); /* without a clock nothing fades */
}

static void a_clock_that_is_a_little_behind_does_no_harm(void **state)
{
    (void)state;
    answers(10 * MS, 0, 1);
    now -= 20 * MS;
    assert_near(faded(), 10 * MS, 0.01);
    answers(1 * MS, 0, 1);
    assert_near(seen(), 10 * MS, 0.01);
}

static void the_time_may_wrap(void **state)
{
    (void)state;
    now = (1ull << 42) - 5 * MS;
    answers(100 * MS, 0, 1);
    now += 10 * S;
    assert_near(faded(), 100 * MS * 0.3679, 1);
}

static void absurd_times_are_cut_off(void **state)
{
    (void)state;
    answers(UINT64_MAX, 0, 1);
    assert_near(seen(), LATENCY_MAX_US, 0.01);
}

static void failing_fast_never_looks_faster(void **state)
{
    (void)state;
    answers(5 * MS, 1 * MS, 10);
    now += 100 * MS;
    slot_observe_failure(slot, now, 50, 1);
    assert_near(faded(), 5 * MS, 0.01); /* and it has not faded */
    float last = seen();
    for (uint32_t n = 2; n <= 40; n++) {
        now += 1 * MS;
        slot_observe_failure(slot, now, 50, n);
        assert_true(seen() >= last);
        last = seen();
    }
    assert_true(last > 5 * S && last < 15 * S);
}

static void failing_slowly_counts_as_that_slow(void **state)
{
    (void)state;
    slot_observe_failure(slot, now, 30 * S, 1);
    assert_near(seen(), 30 * S, 0.01);
}

static void failing_at_the_first_try_is_worse_than_quick(void **state)
{
    (void)state;
    slot_observe_failure(slot, now, 80, 1);
    assert_near(seen(), LATENCY_PENALTY_US, 0.01);
}

static void one_failure_among_many_answers_changes_little(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        answers(2 * MS, 2 * MS, 500);
        slot_observe_failure(slot, now, 100, 1);
    }
    assert_near(seen(), 2 * MS, 1);
}

static void success_after_failures_brings_it_back(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 20; n++)
        slot_observe_failure(slot, now, 50, n);
    now += 60ull * S;
    answers(1 * MS, 0, 1);
    assert_true(seen() < 50 * MS);
    answers(1 * MS, 10 * MS, 5000);
    assert_near(seen(), 1 * MS, 20);
}

/* ---- several at once ---- */

#define WORKERS 4
#define ROUNDS  20000

static void *worker(void *arg)
{
    uint64_t own = (uint64_t)(uintptr_t)arg;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t at = 1000ull * S + i * 300;
        if (i % 1000 == own)
            slot_observe_failure(slot, at, 100, 1);
        else
            slot_observe_latency(slot, at, i == 19990 && own == 2 ? 500 * MS : 1 * MS + own);
        struct latency l = slot_latency(slot, at);
        sl_assert(l.seen >= 0.9f * MS && l.seen <= 501.0f * MS && l.faded <= l.seen);
    }
    return NULL;
}

static void workers_together_lose_no_peak(void **state)
{
    (void)state;
    pthread_t threads[WORKERS];
    slot_observe_latency(slot, now, 1 * MS);
    for (uintptr_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, worker, (void *)i), 0);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    /* The peak of the one fades by what the slower threads still bring. */
    assert_true(seen() > 100 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(never_tried_is_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_answer_is_the_estimate, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slower_answer_counts_in_full_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(faster_answers_bring_it_down_over_the_decay_time, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_storm_of_answers_converges_as_fast_as_a_drizzle, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_not_heard_of_fades, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clock_that_is_a_little_behind_does_no_harm, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_time_may_wrap, setup, teardown),
        cmocka_unit_test_setup_teardown(absurd_times_are_cut_off, setup, teardown),
        cmocka_unit_test_setup_teardown(failing_fast_never_looks_faster, setup, teardown),
        cmocka_unit_test_setup_teardown(failing_slowly_counts_as_that_slow, setup, teardown),
        cmocka_unit_test_setup_teardown(failing_at_the_first_try_is_worse_than_quick, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_failure_among_many_answers_changes_little, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(success_after_failures_brings_it_back, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_together_lose_no_peak, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
