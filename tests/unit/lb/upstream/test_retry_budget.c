/* Retries: a share of the requests, some per second whatever happens, never more. */
#include "lb/upstream/retry_budget.h"

#include "lb/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#define S 1000000ull
static const uint64_t START = 5000 * S;

static void requests(struct retry_budget *b, uint64_t now, uint32_t n)
{
    while (n-- > 0)
        retry_budget_request(b, 0, now);
}

static uint32_t take_all(struct retry_budget *b, uint64_t now)
{
    uint32_t n = 0;
    while (n < 1000000 && retry_budget_take(b, now))
        n++;
    assert_false(retry_budget_take(b, now));
    return n;
}

static void the_minimum_is_there_each_second_without_requests(void **state)
{
    (void)state;
    struct retry_budget *b = retry_budget_new(20, 10, 1);
    for (uint64_t s = 0; s < 30; s++)
        assert_int_equal(take_all(b, START + s * S), 10);
    retry_budget_free(&b);
    assert_null(b);
}

static void a_share_of_the_requests_of_ten_seconds(void **state)
{
    (void)state;
    struct retry_budget *b = retry_budget_new(20, 10, 1);
    for (uint64_t s = 0; s < 10; s++)
        requests(b, START + s * S, 1000);
    assert_int_equal(take_all(b, START + 9 * S), 2000);
    assert_int_equal(take_all(b, START + 9 * S), 0);
    retry_budget_free(&b);
}

static void old_requests_count_no_more(void **state)
{
    (void)state;
    struct retry_budget *b = retry_budget_new(50, 0, 1);
    requests(b, START, 100);
    assert_int_equal(take_all(b, START + 10 * S), 0);
    requests(b, START + 10 * S, 10);
    assert_int_equal(take_all(b, START + 19 * S), 5);
    retry_budget_free(&b);
}

static void a_bucket_is_not_mistaken_for_one_a_ring_ago(void **state)
{
    (void)state;
    struct retry_budget *b = retry_budget_new(100, 0, 1);
    requests(b, START, 100);
    assert_int_equal(take_all(b, START + 16 * S), 0);
    requests(b, START + 16 * S, 1);
    assert_int_equal(take_all(b, START + 16 * S), 1);
    retry_budget_free(&b);
}

static void nothing_at_all_may_be_configured(void **state)
{
    (void)state;
    struct retry_budget *b = retry_budget_new(0, 0, 1);
    requests(b, START, 100);
    assert_false(retry_budget_take(b, START));
    retry_budget_free(&b);
}

static void requests_of_all_workers_count(void **state)
{
    (void)state;
    struct retry_budget *b = retry_budget_new(10, 0, 8);
    for (uint32_t w = 0; w < 8; w++) {
        for (int i = 0; i < 100; i++)
            retry_budget_request(b, w, START);
    }
    assert_int_equal(take_all(b, START), 80);
    retry_budget_free(&b);
}

static void it_works_from_the_first_second_of_the_clock_on(void **state)
{
    (void)state;
    struct retry_budget *b = retry_budget_new(20, 1, 1);
    requests(b, 0, 100);
    assert_int_equal(take_all(b, 0), 20);
    assert_int_equal(take_all(b, 3 * S), 1);
    retry_budget_free(&b);
}

/* In each window of ten seconds: at most the share or the minimum of each second on top. */
static void the_bounds_hold_whatever_comes(void **state)
{
    (void)state;
    enum { SECONDS = 300 };
    struct retry_budget *b = retry_budget_new(20, 10, 1);
    uint32_t came[SECONDS] = {0}, taken[SECONDS] = {0};
    struct rng r;
    rng_seed(&r, 1);
    for (uint32_t s = 0; s < SECONDS; s++) {
        uint32_t load = rng_below(&r, 2) ? rng_below(&r, 2000) : rng_below(&r, 20);
        uint32_t tries = rng_below(&r, 3) ? load : 0;
        for (uint32_t i = 0; i < load; i++) {
            uint64_t now = START + s * S + i * S / (load + 1);
            requests(b, now, 1);
            came[s]++;
            if (i < tries)
                taken[s] += retry_budget_take(b, now);
        }
        uint32_t sum_came = 0, sum_taken = 0;
        for (uint32_t k = s < 9 ? 0 : s - 9; k <= s; k++) {
            sum_came += came[k];
            sum_taken += taken[k];
        }
        if (taken[s] > 10)
            assert_true(sum_taken * 100 <= sum_came * 20);
        assert_true(taken[s] >= (tries < 10 ? tries : 10));
    }
    retry_budget_free(&b);
}

/* ---- several at once ---- */

#define WORKERS 4
static struct retry_budget *shared;
static atomic_uint got;

static void *worker(void *arg)
{
    uint32_t own = (uint32_t)(uintptr_t)arg;
    for (uint32_t i = 0; i < 10000; i++) {
        retry_budget_request(shared, own, START + i * 100); /* one second */
        if (i % 2 == 0 && retry_budget_take(shared, START + i * 100))
            atomic_fetch_add(&got, 1);
    }
    return NULL;
}

static void workers_together_never_take_too_many(void **state)
{
    (void)state;
    pthread_t threads[WORKERS];
    shared = retry_budget_new(20, 10, WORKERS);
    for (uintptr_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, worker, (void *)i), 0);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    assert_true(atomic_load(&got) <= WORKERS * 10000 / 5);
    assert_int_equal(atomic_load(&got) + take_all(shared, START), WORKERS * 10000 / 5);
    retry_budget_free(&shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_minimum_is_there_each_second_without_requests),
        cmocka_unit_test(a_share_of_the_requests_of_ten_seconds),
        cmocka_unit_test(old_requests_count_no_more),
        cmocka_unit_test(a_bucket_is_not_mistaken_for_one_a_ring_ago),
        cmocka_unit_test(nothing_at_all_may_be_configured),
        cmocka_unit_test(requests_of_all_workers_count),
        cmocka_unit_test(it_works_from_the_first_second_of_the_clock_on),
        cmocka_unit_test(the_bounds_hold_whatever_comes),
        cmocka_unit_test(workers_together_never_take_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
