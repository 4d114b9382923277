/* test_http_stats.c - what the stats socket says of mode http: columns of show stat, show info,
 * show routes, show latency, show refused, and clear counters for all of them. */
#include "tests/unit/lb/admin/admin_fixture.h"

#include "lb/obs/histogram.h"
#include "lb/obs/reasons.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = fixture_make(true);
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

/* The cell of a table whose lines are fields between any of seps: of the line that begins with
 * `start`, in the column that the first line calls so. */
static const char *cell(const char *table, const char *start, const char *column, const char *seps)
{
    static char text[128];
    size_t at = 0;
    const char *p = table + 2; /* "# " */

    for (;; at++, p++) {
        size_t len = strcspn(p, seps);
        if (len == strlen(column) && strncmp(p, column, len) == 0)
            break;
        p += len;
        assert_true(*p != '\n' && *p != '\0');
    }
    for (p = table; strncmp(p, start, strlen(start)) != 0; p++) {
        p = strchr(p, '\n');
        assert_non_null(p);
    }
    for (; at > 0; at--)
        p += strcspn(p, seps) + 1;
    snprintf(text, sizeof(text), "%.*s", (int)strcspn(p, seps), p);
    return text;
}

#define assert_stat(f, start, column, expected)                                                    \
    assert_string_equal(cell(fixture_run(f, "show stat"), start ",", column, ",\n"), expected)

static struct listener_counters *web_row(struct fixture *f, uint32_t worker)
{
    return &f->listeners[0]->rows[worker];
}

static struct backend_counters *a_row(struct fixture *f)
{
    return &f->pools[0]->members[0].rows[1];
}

/* ---- show stat ---- */

static void a_listener_shows_its_requests(void **state)
{
    struct fixture *f = *state;

    counter_add(&web_row(f, 0)->sessions, 3);
    counter_add(&web_row(f, 0)->requests, 10);
    counter_add(&web_row(f, 1)->requests, 20);
    for (uint32_t i = 0; i < RESPONSE_CLASSES; i++)
        counter_add(&web_row(f, i % 2)->responses[i], i + 1);
    counter_add(&web_row(f, 0)->denied_requests, 4);
    counter_add(&web_row(f, 1)->denied_responses, 5);
    counter_add(&web_row(f, 1)->intercepted, 6);
    counter_add(&web_row(f, 1)->internal_errors, 7);
    counter_add(&web_row(f, 1)->bad_requests, 8);
    sampler_tick(f->env.sampler, 2000000);
    assert_stat(f, "web,FRONTEND", "mode", "http");
    assert_stat(f, "web,FRONTEND", "req_tot", "30");
    assert_stat(f, "web,FRONTEND", "h1req", "30");
    assert_stat(f, "web,FRONTEND", "req_rate", "15");
    assert_stat(f, "web,FRONTEND", "req_rate_max", "15");
    assert_stat(f, "web,FRONTEND", "stot", "3");
    assert_stat(f, "web,FRONTEND", "h1sess", "3");
    assert_stat(f, "web,FRONTEND", "sess_other", "");
    assert_stat(f, "web,FRONTEND", "hrsp_1xx", "1");
    assert_stat(f, "web,FRONTEND", "hrsp_2xx", "2");
    assert_stat(f, "web,FRONTEND", "hrsp_3xx", "3");
    assert_stat(f, "web,FRONTEND", "hrsp_4xx", "4");
    assert_stat(f, "web,FRONTEND", "hrsp_5xx", "5");
    assert_stat(f, "web,FRONTEND", "hrsp_other", "6");
    assert_stat(f, "web,FRONTEND", "dreq", "4");
    assert_stat(f, "web,FRONTEND", "dresp", "5");
    assert_stat(f, "web,FRONTEND", "intercepted", "6");
    assert_stat(f, "web,FRONTEND", "eint", "7");
    assert_stat(f, "web,FRONTEND", "ereq", "8");
    assert_stat(f, "web,FRONTEND", "comp_in", "0");
    assert_stat(f, "web,FRONTEND", "cache_hits", "0");
}

static void what_is_http_is_empty_in_mode_tcp(void **state)
{
    struct fixture *f = *state;

    counter_add(&f->listeners[1]->rows[0].sessions, 3);
    assert_stat(f, "pg,FRONTEND", "mode", "tcp");
    assert_stat(f, "pg,FRONTEND", "sess_other", "3");
    assert_stat(f, "pg,FRONTEND", "h1sess", "");
    assert_stat(f, "pg,FRONTEND", "hrsp_2xx", "");
    assert_stat(f, "pg,FRONTEND", "req_tot", "");
    assert_stat(f, "db,pg", "mode", "tcp");
    assert_stat(f, "db,pg", "hrsp_2xx", "");
    assert_stat(f, "db,pg", "srv_icur", "");
    assert_stat(f, "db,BACKEND", "mode", "tcp");
    assert_stat(f, "db,BACKEND", "hrsp_5xx", "");
    assert_stat(f, "db,BACKEND", "cookie", "");
}

static void a_backend_shows_its_responses_and_connections(void **state)
{
    struct fixture *f = *state;
    struct backend_counters *row = a_row(f);

    counter_add(&row->requests, 9);
    counter_add(&row->responses[RESPONSES_2XX], 7);
    counter_add(&row->responses[RESPONSES_5XX], 1);
    counter_add(&row->reuses, 6);
    counter_add(&row->connects, 3);
    counter_set(&row->idle, 2);
    counter_set(&f->pools[0]->members[0].rows[0].idle, 1);
    counter_add(&row->timed, 2);
    counter_add(&row->response_us, 14000);
    counter_set(&row->response_us_max, 9000);
    counter_add(&row->denied_responses, 3);
    counter_add(&row->internal_errors, 4);
    assert_stat(f, "app,a", "mode", "http");
    assert_stat(f, "app,a", "req_tot", "9");
    assert_stat(f, "app,a", "hrsp_2xx", "7");
    assert_stat(f, "app,a", "hrsp_5xx", "1");
    assert_stat(f, "app,a", "hrsp_other", "0");
    assert_stat(f, "app,a", "reuse", "6");
    assert_stat(f, "app,a", "connect", "3");
    assert_stat(f, "app,a", "srv_icur", "3");
    assert_stat(f, "app,a", "idle_conn_cur", "3");
    assert_stat(f, "app,a", "src_ilim", "16"); /* 8 of each of two workers */
    assert_stat(f, "app,a", "rtime", "7");
    assert_stat(f, "app,a", "rtime_max", "9");
    assert_stat(f, "app,a", "dresp", "3");
    assert_stat(f, "app,a", "eint", "4");
    assert_stat(f, "app,a", "cookie", "");
}

/* HAProxy's BACKEND counts what its clients got: its servers' answers and its own. */
static void a_pool_adds_its_own_answers_to_its_backends(void **state)
{
    struct fixture *f = *state;

    counter_add(&a_row(f)->responses[RESPONSES_2XX], 7);
    counter_add(&a_row(f)->requests, 7);
    counter_add(&f->pools[0]->members[1].rows[0].responses[RESPONSES_2XX], 2);
    counter_add(&f->pools[0]->rows[0].responses[RESPONSES_5XX], 4);
    assert_stat(f, "app,BACKEND", "mode", "http");
    assert_stat(f, "app,BACKEND", "cookie", "SRV");
    assert_stat(f, "app,BACKEND", "hrsp_2xx", "9");
    assert_stat(f, "app,BACKEND", "hrsp_5xx", "4");
    assert_stat(f, "app,BACKEND", "req_tot", "7");
    assert_stat(f, "app,BACKEND", "comp_rsp", "0");
    assert_stat(f, "app,BACKEND", "srv_icur", "");
}

static void typed_and_json_have_the_columns_too(void **state)
{
    struct fixture *f = *state;

    counter_add(&web_row(f, 0)->responses[RESPONSES_4XX], 5);
    assert_non_null(
        strstr(fixture_run(f, "show stat web 1 -1 typed"), "F.1.0.42.hrsp_4xx.1:MCPP:u64:5\n"));
    assert_non_null(strstr(fixture_run(f, "show stat web 1 -1 json"),
                           "\"field\":{\"pos\":42,\"name\":\"hrsp_4xx\"},"));
}

static void info_counts_requests_and_sessions_of_tcp(void **state)
{
    struct fixture *f = *state;

    counter_add(&web_row(f, 0)->sessions, 3);
    counter_add(&web_row(f, 0)->requests, 30);
    counter_add(&f->listeners[1]->rows[0].sessions, 4);
    const char *info = fixture_run(f, "show info");
    assert_non_null(strstr(info, "\nCumConns: 7\n"));
    assert_non_null(strstr(info, "\nCumReq: 34\n"));
    assert_non_null(strstr(info, "\nCumStreams: 34\n"));
}

/* ---- show routes ---- */

static const char no_routes[] =
    "# listener route requests hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other "
    "denied bin bout mean_us max_us where target\n";

static void count_routes(struct fixture *f)
{
    struct route_counters *api = f->listeners[0]->routes[0].rows;

    counter_add(&api[0].requests, 3);
    counter_add(&api[1].requests, 2);
    counter_add(&api[0].responses[RESPONSES_2XX], 4);
    counter_add(&api[0].responses[RESPONSES_5XX], 1);
    counter_add(&api[0].denied, 1);
    counter_add(&api[0].bytes_in, 100);
    counter_add(&api[1].bytes_out, 2000);
    counter_add(&api[0].timed, 4);
    counter_add(&api[0].total_us, 6000);
    counter_set(&api[0].total_us_max, 4000);
}

static void routes_have_a_row_each_in_order(void **state)
{
    struct fixture *f = *state;
    char expected[1024];

    count_routes(f);
    snprintf(expected, sizeof(expected), "%s%s\n", no_routes,
             "web api 5 0 4 0 0 1 0 1 100 2000 1500 4000 etc/s.conf:12 pool app\n"
             "web web#2 0 0 0 0 0 0 0 0 0 0 0 0 etc/s.conf:13 redirect 308 /new\n");
    assert_string_equal(fixture_run(f, "show routes"), expected);
    assert_string_equal(fixture_run(f, "show routes web"), expected);
    snprintf(expected, sizeof(expected), "%s\n", no_routes);
    assert_string_equal(fixture_run(f, "show routes pg"), expected);
}

static void routes_as_json(void **state)
{
    struct fixture *f = *state;

    count_routes(f);
    assert_true(
        fixture_begins(f, "show routes json",
                       "[{\"listener\":\"web\",\"route\":\"api\",\"requests\":5,"
                       "\"hrsp_1xx\":0,\"hrsp_2xx\":4,\"hrsp_3xx\":0,\"hrsp_4xx\":0,\"hrsp_5xx\":1,"
                       "\"hrsp_other\":0,\"denied\":1,\"bin\":100,\"bout\":2000,\"mean_us\":1500,"
                       "\"max_us\":4000,\"where\":\"etc/s.conf:12\",\"target\":\"pool "
                       "app\"},{\"listener\":\"web\","));
}

static void unknown_names_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "show routes nowhere"), "No such frontend.\n\n");
    assert_string_equal(fixture_run(f, "show routes app"), "No such frontend.\n\n");
    assert_string_equal(fixture_run(f, "show latency nowhere"), "No such proxy.\n\n");
    assert_string_equal(fixture_run(f, "show refused nowhere json"), "No such proxy.\n\n");
}

/* ---- show latency ---- */

static const char latency_header[] =
    "# type name backend what count mean_us p50_us p90_us p99_us p999_us max_us\n";

static void latency_has_quantiles_of_what_is_http(void **state)
{
    struct fixture *f = *state;
    char expected[1024];

    for (uint64_t i = 1; i <= 50; i++) { /* 1 to 50 us: exact buckets */
        histogram_add(&f->listeners[0]->latency[i % 2], i);
        histogram_add(&f->pools[0]->members[0].latency[0], 7);
    }
    histogram_add(&f->pools[0]->latency[1], 1000000);
    snprintf(expected, sizeof(expected), "%s%s\n", latency_header,
             "listener web - total 50 25 25 45 50 50 50\n"
             "pool app - response 1 1000000 1000000 1000000 1000000 1000000 1000000\n"
             "backend app a response 50 7 7 7 7 7 7\n"
             "backend app b response 0 0 0 0 0 0 0\n");
    assert_string_equal(fixture_run(f, "show latency"), expected);
    snprintf(expected, sizeof(expected), "%s%s\n", latency_header,
             "listener web - total 50 25 25 45 50 50 50\n");
    assert_string_equal(fixture_run(f, "show latency web"), expected);
    snprintf(expected, sizeof(expected), "%s\n", latency_header);
    assert_string_equal(fixture_run(f, "show latency db"), expected);
}

static void latency_as_json(void **state)
{
    struct fixture *f = *state;

    histogram_add(&f->listeners[0]->latency[0], 9);
    assert_string_equal(fixture_run(f, "show latency web json"),
                        "[{\"type\":\"listener\",\"name\":\"web\",\"backend\":\"\","
                        "\"what\":\"total\",\"count\":1,\"mean_us\":9,\"p50_us\":9,\"p90_us\":9,"
                        "\"p99_us\":9,\"p999_us\":9,\"max_us\":9}]\n\n");
}

/* ---- show refused ---- */

static void refusals_are_shown_by_code(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "show refused"), "# type name reason count\n\n");
    reason_count(&f->listeners[0]->reasons[0], "bad-target");
    reason_count(&f->listeners[0]->reasons[0], "bad-target");
    for (int i = 0; i < 3; i++)
        reason_count(&f->listeners[0]->reasons[1], "bad-target");
    reason_count(&f->listeners[0]->reasons[1], "no-route");
    for (int i = 0; i < 4; i++)
        reason_count(&f->pools[0]->reasons[1], "bad-status");
    assert_string_equal(fixture_run(f, "show refused"), "# type name reason count\n"
                                                        "listener web bad-target 5\n"
                                                        "listener web no-route 1\n"
                                                        "pool app bad-status 4\n\n");
    assert_string_equal(fixture_run(f, "show refused app json"),
                        "[{\"type\":\"pool\",\"name\":\"app\",\"reason\":\"bad-status\","
                        "\"count\":4}]\n\n");
}

/* ---- clear counters ---- */

static void fill(struct fixture *f)
{
    counter_add(&web_row(f, 0)->requests, 30);
    counter_add(&web_row(f, 0)->responses[RESPONSES_2XX], 30);
    counter_add(&a_row(f)->responses[RESPONSES_2XX], 30);
    counter_add(&a_row(f)->reuses, 30);
    counter_set(&a_row(f)->idle, 2);
    counter_add(&a_row(f)->timed, 30);
    counter_add(&a_row(f)->response_us, 300000);
    counter_set(&a_row(f)->response_us_max, 9000);
    count_routes(f);
    histogram_add(&f->listeners[0]->latency[0], 9);
    histogram_add(&f->pools[0]->latency[0], 8);
    histogram_add(&f->pools[0]->members[0].latency[0], 7);
    reason_count(&f->listeners[0]->reasons[0], "bad-target");
    reason_count(&f->listeners[0]->reasons[0], "bad-target");
    reason_count(&f->pools[0]->reasons[0], "bad-status");
    reason_count(&f->pools[0]->reasons[0], "bad-status");
    sampler_tick(f->env.sampler, 1000000);
}

static void clearing_maxima_leaves_counters_of_http(void **state)
{
    struct fixture *f = *state;

    fill(f);
    assert_string_equal(fixture_run(f, "clear counters"), "\n");
    assert_stat(f, "web,FRONTEND", "req_tot", "30");
    assert_stat(f, "web,FRONTEND", "req_rate_max", "0");
    assert_stat(f, "app,a", "rtime", "10");
    assert_stat(f, "app,a", "rtime_max", "0");
    assert_string_equal(cell(fixture_run(f, "show routes"), "web api", "max_us", " \n"), "0");
    assert_string_equal(cell(fixture_run(f, "show routes"), "web api", "requests", " \n"), "5");
    assert_string_equal(cell(fixture_run(f, "show latency"), "listener web", "max_us", " \n"), "0");
    assert_string_equal(cell(fixture_run(f, "show latency"), "listener web", "count", " \n"), "1");
    assert_string_equal(cell(fixture_run(f, "show latency"), "listener web", "p50_us", " \n"), "9");
}

static void clearing_all_starts_http_anew(void **state)
{
    struct fixture *f = *state;

    fill(f);
    assert_string_equal(fixture_run(f, "clear counters all"), "\n");
    assert_stat(f, "web,FRONTEND", "req_tot", "0");
    assert_stat(f, "web,FRONTEND", "hrsp_2xx", "0");
    assert_stat(f, "app,a", "hrsp_2xx", "0");
    assert_stat(f, "app,a", "reuse", "0");
    assert_stat(f, "app,a", "rtime", "0");
    assert_stat(f, "app,a", "srv_icur", "2"); /* they are still there */
    assert_string_equal(cell(fixture_run(f, "show routes"), "web api", "requests", " \n"), "0");
    assert_string_equal(cell(fixture_run(f, "show routes"), "web api", "mean_us", " \n"), "0");
    assert_string_equal(cell(fixture_run(f, "show latency"), "listener web", "count", " \n"), "0");
    assert_string_equal(cell(fixture_run(f, "show latency"), "pool app", "count", " \n"), "0");
    assert_string_equal(cell(fixture_run(f, "show latency"), "backend app a", "count", " \n"), "0");
    assert_string_equal(fixture_run(f, "show refused"), "# type name reason count\n\n");
}

static void counting_goes_on_after_clearing(void **state)
{
    struct fixture *f = *state;

    fill(f);
    fixture_run(f, "clear counters all");
    counter_add(&web_row(f, 1)->requests, 5);
    counter_add(&f->listeners[0]->routes[0].rows[1].requests, 6);
    histogram_add(&f->listeners[0]->latency[1], 20);
    histogram_add(&f->pools[0]->members[0].latency[1], 30);
    for (int i = 0; i < 3; i++)
        reason_count(&f->listeners[0]->reasons[1], "no-route");
    assert_stat(f, "web,FRONTEND", "req_tot", "5");
    assert_string_equal(cell(fixture_run(f, "show routes"), "web api", "requests", " \n"), "6");
    assert_string_equal(cell(fixture_run(f, "show latency"), "listener web", "p50_us", " \n"),
                        "20");
    assert_string_equal(cell(fixture_run(f, "show latency"), "backend app a", "max_us", " \n"),
                        "30");
    assert_string_equal(fixture_run(f, "show refused"),
                        "# type name reason count\nlistener web no-route 3\n\n");
    fixture_run(f, "clear counters all"); /* a second time, too */
    assert_string_equal(cell(fixture_run(f, "show latency"), "listener web", "count", " \n"), "0");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_listener_shows_its_requests),
        TEST(what_is_http_is_empty_in_mode_tcp),
        TEST(a_backend_shows_its_responses_and_connections),
        TEST(a_pool_adds_its_own_answers_to_its_backends),
        TEST(typed_and_json_have_the_columns_too),
        TEST(info_counts_requests_and_sessions_of_tcp),
        TEST(routes_have_a_row_each_in_order),
        TEST(routes_as_json),
        TEST(unknown_names_are_refused),
        TEST(latency_has_quantiles_of_what_is_http),
        TEST(latency_as_json),
        TEST(refusals_are_shown_by_code),
        TEST(clearing_maxima_leaves_counters_of_http),
        TEST(clearing_all_starts_http_anew),
        TEST(counting_goes_on_after_clearing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
