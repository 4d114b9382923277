/* test_metrics.c - sums over the workers' rows. */
#include "lb/obs/metrics.h"
#include "lb/obs/reasons.h"

#include <stdarg.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

static void a_listeners_rows_are_added_up(void **state)
{
    static struct listener_counters rows[3];
    struct listener_stats l = {.rows = rows, .n_rows = 3};
    struct listener_counters sum;

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        counter_add(&rows[i].sessions, 1 + i);
        counter_add(&rows[i].bytes_in, 10 + i);
        counter_add(&rows[i].bytes_out, 100);
        counter_add(&rows[i].denied, i);
        counter_add(&rows[i].bad_requests, 2);
        counter_add(&rows[i].accept_pauses, 4);
    }
    listener_counters_sum(&l, &sum);
    assert_int_equal(counter_get(&sum.sessions), 6);
    assert_int_equal(counter_get(&sum.bytes_in), 33);
    assert_int_equal(counter_get(&sum.bytes_out), 300);
    assert_int_equal(counter_get(&sum.denied), 3);
    assert_int_equal(counter_get(&sum.bad_requests), 6);
    assert_int_equal(counter_get(&sum.accept_pauses), 12);
}

static void of_maxima_the_greatest_counts(void **state)
{
    static struct backend_counters rows[2];
    struct backend_counters sum;

    (void)state;
    counter_set(&rows[0].queue_us_max, 7);
    counter_set(&rows[1].queue_us_max, 5);
    counter_set(&rows[1].connect_us_max, 9);
    counter_set(&rows[0].total_us_max, 1);
    counter_set(&rows[1].total_us_max, 2);
    counter_set(&rows[0].last_session_s, 1000);
    counter_set(&rows[1].last_session_s, 900);
    counter_set(&rows[0].sessions, 3);
    counter_set(&rows[1].sessions, 4);
    counter_set(&rows[1].timed, 4);
    backend_counters_sum(rows, 2, &sum);
    assert_int_equal(counter_get(&sum.queue_us_max), 7);
    assert_int_equal(counter_get(&sum.connect_us_max), 9);
    assert_int_equal(counter_get(&sum.total_us_max), 2);
    assert_int_equal(counter_get(&sum.last_session_s), 1000);
    assert_int_equal(counter_get(&sum.sessions), 7);
    assert_int_equal(counter_get(&sum.timed), 4);
}

/* Every counter of a row reaches the sum: a field added to the struct and forgotten here would
 * stay at zero. */
static void no_counter_of_a_backend_is_forgotten(void **state)
{
    static struct backend_counters rows[1];
    struct backend_counters sum;
    counter *in = &rows[0].sessions, *out = &sum.sessions;
    size_t n =
        (offsetof(struct backend_counters, internal_errors) + sizeof(counter)) / sizeof(counter);

    (void)state;
    for (size_t i = 0; i < n; i++)
        counter_set(&in[i], i + 1);
    backend_counters_sum(rows, 1, &sum);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(counter_get(&out[i]), i + 1);
}

static void no_counter_of_a_listener_is_forgotten(void **state)
{
    static struct listener_counters rows[1];
    struct listener_stats l = {.rows = rows, .n_rows = 1};
    struct listener_counters sum;
    counter *in = &rows[0].sessions, *out = &sum.sessions;
    size_t n =
        (offsetof(struct listener_counters, internal_errors) + sizeof(counter)) / sizeof(counter);

    (void)state;
    for (size_t i = 0; i < n; i++)
        counter_set(&in[i], i + 1);
    listener_counters_sum(&l, &sum);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(counter_get(&out[i]), i + 1);
}

static void no_counter_of_a_route_is_forgotten(void **state)
{
    static struct route_counters rows[1];
    struct route_counters sum;
    counter *in = &rows[0].requests, *out = &sum.requests;
    size_t n = (offsetof(struct route_counters, total_us_max) + sizeof(counter)) / sizeof(counter);

    (void)state;
    for (size_t i = 0; i < n; i++)
        counter_set(&in[i], i + 1);
    route_counters_sum(rows, 1, &sum);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(counter_get(&out[i]), i + 1);
}

static void a_status_has_its_class(void **state)
{
    (void)state;
    assert_int_equal(response_class_of(100), RESPONSES_1XX);
    assert_int_equal(response_class_of(204), RESPONSES_2XX);
    assert_int_equal(response_class_of(399), RESPONSES_3XX);
    assert_int_equal(response_class_of(404), RESPONSES_4XX);
    assert_int_equal(response_class_of(599), RESPONSES_5XX);
    assert_int_equal(response_class_of(600), RESPONSES_OTHER);
    assert_int_equal(response_class_of(99), RESPONSES_OTHER);
    assert_int_equal(response_class_of(0), RESPONSES_OTHER);
}

static void what_http_counts_is_made_and_freed(void **state)
{
    struct listener_stats l = {.n_rows = 2};

    (void)state;
    listener_stats_http_fini(&l); /* mode tcp: there is nothing */
    listener_stats_http_init(&l, 3);
    assert_non_null(l.latency);
    assert_int_equal(l.n_routes, 3);
    counter_add(&l.reasons[1].n[LIMIT_REASONS - 1], 1);
    counter_add(&l.routes[2].rows[1].total_us_max, 1);
    listener_stats_http_fini(&l);
    assert_null(l.latency);
    assert_null(l.reasons);
    assert_null(l.routes);
    listener_stats_http_init(&l, 0);
    listener_stats_http_fini(&l);
}

static void no_rows_sum_to_zero(void **state)
{
    struct backend_counters sum;
    struct listener_stats l = {0};
    struct listener_counters lsum;

    (void)state;
    backend_counters_sum(NULL, 0, &sum);
    assert_int_equal(counter_get(&sum.sessions), 0);
    listener_counters_sum(&l, &lsum);
    assert_int_equal(counter_get(&lsum.sessions), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listeners_rows_are_added_up),
        cmocka_unit_test(of_maxima_the_greatest_counts),
        cmocka_unit_test(no_counter_of_a_backend_is_forgotten),
        cmocka_unit_test(no_counter_of_a_listener_is_forgotten),
        cmocka_unit_test(no_counter_of_a_route_is_forgotten),
        cmocka_unit_test(a_status_has_its_class),
        cmocka_unit_test(what_http_counts_is_made_and_freed),
        cmocka_unit_test(no_rows_sum_to_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
