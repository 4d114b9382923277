/* test_ratelimit.c - the limit, its keys, its memory, and that threads share it exactly. */
#include "lb/filter/rate_table.h"
#include "tests/unit/lb/filter/filter_test.h"

#include "lb/base/hash.h"

#include <pthread.h>

static struct rate_table *table(uint32_t n, uint32_t per_ms, uint32_t burst)
{
    const char *error = "";
    struct rate_table *t = rate_table_new(n, per_ms, burst, &error);

    if (t == NULL)
        fail_msg("%s", error);
    return t;
}

static void a_burst_passes_then_the_rate(void **state)
{
    struct rate_table *t = table(10, 1000, 3);
    uint64_t now = 5000000;

    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(rate_table_take(t, 1, now).remaining, 2 - i);
    struct rate_verdict v = rate_table_take(t, 1, now);
    assert_false(v.ok);
    assert_int_equal(v.retry_us, 100000);
    assert_false(rate_table_take(t, 1, now + 99999).ok);
    assert_true(rate_table_take(t, 1, now + 100000).ok);
    assert_true(rate_table_take(t, 2, now).ok);
    rate_table_free(&t);
}

#define THREADS 4
static struct rate_table *shared;

static void *hammer(void *arg)
{
    uint64_t passed = 0;

    (void)arg;
    for (uint64_t us = 0; us < 2000000; us += 50)
        passed += rate_table_take(shared, 7, 1000000 + us).ok;
    return (void *)(uintptr_t)passed;
}

static void threads_share_the_limit_within_a_percent(void **state)
{
    pthread_t threads[THREADS];
    uint64_t passed = 0;

    (void)state;
    shared = table(5000, 1000, 1);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, NULL), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        passed += (uintptr_t)result;
    }
    rate_table_free(&shared);
    assert_in_range(passed, 9900, 10100); /* two seconds */
}

static void a_million_keys_in_use_are_nearly_all_remembered(void **state)
{
    struct rate_table *t = table(1, 3600000, 1);
    uint32_t again = 0;

    (void)state;
    for (uint64_t i = 0; i < 1000000; i++)
        assert_true(rate_table_take(t, hash_u64(i), 1000000).ok);
    assert_in_range(rate_table_forgotten(t), 0, 30000);
    for (uint64_t i = 0; i < 1000; i++)
        again += rate_table_take(t, hash_u64(999999 - i), 1000001).ok;
    assert_in_range(again, 0, 30);
    assert_true(RATE_TABLE_BYTES <= 32u << 20);
    rate_table_free(&t);
}

static void an_absurd_burst_is_refused(void **state)
{
    const char *error = NULL;

    (void)state;
    assert_null(rate_table_new(1, 3600000, 4000000000u, &error));
    assert_non_null(strstr(error, "burst"));
}

static struct filter_chain limit_by(const char *key)
{
    struct ratelimit_conf rc = {(char *)key, .n = 1, .per_ms = 60000, .burst = 1};

    return filter_test_chain(&(struct filters_conf){.ratelimit = &rc});
}

static void the_second_one_is_told_when_to_come_back(void **state)
{
    struct filter_test *t = *state;
    struct filter_chain c = limit_by("source");

    assert_int_equal(filter_test_request(t, &c), FILTER_PASS);
    assert_int_equal(filter_test_request(t, &c), FILTER_ANSWER);
    assert_int_equal(t->x.answer.status, 429);
    assert_string_equal(t->x.answer.headers[0].name, "Retry-After");
    assert_string_equal(t->x.answer.headers[0].value, "60");
    assert_string_equal(t->x.answer.headers[1].value, "\"default\";q=1;w=60");
    assert_string_equal(t->x.answer.headers[2].value, "\"default\";r=0;t=60");
    filter_chain_fini(&c);
}

static void ipv6_sources_count_by_64_bits(void **state)
{
    struct filter_test *t = *state;
    struct filter_chain c = limit_by("source");

    filter_test_client(t, "[2001:db8:0:1::1]:1");
    assert_int_equal(filter_test_request(t, &c), FILTER_PASS);
    filter_test_client(t, "[2001:db8:0:1:ffff::2]:1");
    assert_int_equal(filter_test_request(t, &c), FILTER_ANSWER);
    filter_test_client(t, "[2001:db8:0:2::1]:1");
    assert_int_equal(filter_test_request(t, &c), FILTER_PASS);
    filter_chain_fini(&c);
}

static void a_missing_header_counts_for_the_source(void **state)
{
    struct filter_test *t = *state;
    struct filter_chain c = limit_by("header:X-Key");

    assert_int_equal(filter_test_request(t, &c), FILTER_PASS);
    assert_int_equal(filter_test_request(t, &c), FILTER_ANSWER);
    http_request_field(&t->request, "x-key", "one");
    assert_int_equal(filter_test_request(t, &c), FILTER_PASS);
    filter_test_client(t, "198.51.100.1:1");
    assert_int_equal(filter_test_request(t, &c), FILTER_ANSWER);
    filter_chain_fini(&c);
}

static void cookies_and_paths_are_keys(void **state)
{
    struct filter_test *t = *state;
    struct filter_chain cookie = limit_by("cookie:sid"), path = limit_by("path");

    http_request_field(&t->request, "Cookie", "a=1; sid=x");
    assert_int_equal(filter_test_request(t, &cookie), FILTER_PASS);
    filter_test_client(t, "198.51.100.1:1");
    assert_int_equal(filter_test_request(t, &cookie), FILTER_ANSWER);
    t->x.vars.path = STR("/a");
    assert_int_equal(filter_test_request(t, &path), FILTER_PASS);
    assert_int_equal(filter_test_request(t, &path), FILTER_ANSWER);
    t->x.vars.path = STR("/b");
    assert_int_equal(filter_test_request(t, &path), FILTER_PASS);
    filter_chain_fini(&cookie);
    filter_chain_fini(&path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_passes_then_the_rate),
        cmocka_unit_test(threads_share_the_limit_within_a_percent),
        cmocka_unit_test(a_million_keys_in_use_are_nearly_all_remembered),
        cmocka_unit_test(an_absurd_burst_is_refused),
        FILTER_TEST(the_second_one_is_told_when_to_come_back),
        FILTER_TEST(ipv6_sources_count_by_64_bits),
        FILTER_TEST(a_missing_header_counts_for_the_source),
        FILTER_TEST(cookies_and_paths_are_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
