/* test_access_format.c - access lines: tcplog, JSON, templates. */
#include "lb/net/addr.h"
#include "lb/obs/access_log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <setjmp.h>

#include <cmocka.h>

struct fixture {
    struct addr client, listener, backend;
    struct access_record r;
    char line[ACCESS_LINE_MAX + 1];
};

static void parse(struct addr *out, const char *text)
{
    struct addr_spec spec;
    const char *error;
    assert_int_equal(addr_parse(str_of(text), false, false, &spec, &error), 0);
    *out = spec.addr;
}

static int setup(void **state)
{
    static struct fixture f;

    setenv("TZ", "UTC-1", 1); /* one hour east */
    tzset();
    f = (struct fixture){0};
    parse(&f.client, "10.0.1.2:33317");
    parse(&f.listener, "127.0.0.1:6432");
    parse(&f.backend, "[::1]:5432");
    f.r = (struct access_record){
        .id = 0x0200000000000007,
        .client = &f.client,
        .listener_addr = &f.listener,
        .backend_addr = &f.backend,
        .listener = "pg",
        .pool = "db",
        .backend = "pg1",
        .start_wall_us = 1233922454655321, /* 2009-02-06T12:14:14.655321Z */
        .queue_us = 0,
        .connect_us = 1042,
        .total_us = 5007900,
        .bytes_in = 243,
        .bytes_out = 2750,
        .end = END_NORMAL,
        .actconn = 5,
        .feconn = 4,
        .beconn = 3,
        .srv_conn = 2,
        .srv_queue = 0,
        .backend_queue = 1,
    };
    *state = &f;
    return 0;
}

static const char *format(struct fixture *f, const char *text)
{
    const char *error = NULL;
    struct access_format *format = access_format_compile(text, &error);

    if (format == NULL)
        fail_msg("%s: %s", text, error);
    size_t n = access_format_write(format, &f->r, f->line);
    assert_true(n > 0 && n <= ACCESS_LINE_MAX);
    assert_int_equal(f->line[n - 1], '\n');
    assert_null(memchr(f->line, '\n', n - 1));
    f->line[n - 1] = '\0';
    access_format_free(&format);
    assert_null(format);
    return f->line;
}

static void assert_refused(const char *text, const char *why)
{
    const char *error = NULL;

    assert_null(access_format_compile(text, &error));
    assert_non_null(error);
    assert_non_null(strstr(error, why));
}

static void tcplog_is_haproxys_in_local_time(void **state)
{
    assert_string_equal(format(*state, "tcplog"),
                        "10.0.1.2:33317 [06/Feb/2009:13:14:14.655] pg db/pg1 0/1/5007 2750 -- "
                        "5/4/3/2/0 0/1");
}

static void tcplog_of_a_session_that_reached_no_backend(void **state)
{
    struct fixture *f = *state;

    f->r.backend = NULL;
    f->r.backend_addr = NULL;
    f->r.queue_us = f->r.connect_us = -1;
    f->r.end = END_NO_BACKEND;
    f->r.retries = 2;
    f->r.redispatched = true;
    assert_string_equal(format(f, "tcplog"),
                        "10.0.1.2:33317 [06/Feb/2009:13:14:14.655] pg db/<NOSRV> -1/-1/5007 2750 "
                        "SC 5/4/3/2/+2 0/1");
}

static void tcplog_names_the_listener_where_there_is_no_pool_yet(void **state)
{
    struct fixture *f = *state;

    f->r.pool = NULL;
    f->r.backend = NULL;
    assert_non_null(strstr(format(f, "tcplog"), " pg pg/<NOSRV> "));
}

static void the_second_changes_between_lines(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(format(f, "$time_haproxy"), "06/Feb/2009:13:14:14.655");
    f->r.start_wall_us += 1000000;
    assert_string_equal(format(f, "$time_haproxy"), "06/Feb/2009:13:14:15.655");
    f->r.start_wall_us = 999;
    assert_string_equal(format(f, "$time_haproxy"), "01/Jan/1970:01:00:00.000");
}

static void json_has_all_fields(void **state)
{
    assert_string_equal(
        format(*state, "json"),
        "{\"time\":\"2009-02-06T12:14:14.655321Z\",\"id\":\"0x0200000000000007\","
        "\"client\":\"10.0.1.2:33317\",\"listener\":\"pg\",\"listener_addr\":\"127.0.0.1:6432\","
        "\"pool\":\"db\",\"backend\":\"pg1\",\"backend_addr\":\"[::1]:5432\","
        "\"queue_ms\":0.000,\"connect_ms\":1.042,\"total_ms\":5007.900,"
        "\"bytes_in\":243,\"bytes_out\":2750,\"retries\":0,\"redispatched\":false,"
        "\"end\":\"both sides finished\",\"end_code\":\"--\",\"detail\":\"\","
        "\"process_sessions\":5,\"listener_sessions\":4,\"pool_sessions\":3,"
        "\"backend_sessions\":2,\"backend_queue\":0,\"pool_queue\":1}");
}

static void a_client_named_without_a_port_has_none_in_the_log(void **state)
{
    struct fixture *f = *state;

    addr_set_port(&f->client, 0);
    assert_string_equal(format(f, "$client|$client_ip|$client_port"), "10.0.1.2|10.0.1.2|-");
    assert_non_null(strstr(format(f, "tcplog"), "10.0.1.2:- [06/"));
    assert_non_null(strstr(format(f, "json"), "\"client\":\"10.0.1.2\","));
    parse(&f->client, "[2001:db8::1]:7");
    addr_set_port(&f->client, 0);
    assert_string_equal(format(f, "$client|$client_ip|$client_port"), "2001:db8::1|2001:db8::1|-");
    assert_non_null(strstr(format(f, "json"), "\"client\":\"2001:db8::1\","));
}

static void json_says_null_for_what_there_is_not(void **state)
{
    struct fixture *f = *state;

    f->r.pool = f->r.backend = NULL;
    f->r.backend_addr = NULL;
    f->r.queue_us = f->r.connect_us = -1;
    f->r.end = END_CLIENT_GONE;
    const char *line = format(f, "json");
    assert_non_null(strstr(line, "\"pool\":null,\"backend\":null,\"backend_addr\":null,"
                                 "\"queue_ms\":null,\"connect_ms\":null,"));
    assert_non_null(strstr(line, "\"end_code\":\"CC\""));
}

static void json_escapes_and_replaces_what_is_not_utf8(void **state)
{
    struct fixture *f = *state;

    strcpy(f->r.detail, "a\"b\\c\n\x01 \xc3\xa9 \xff\xc3");
    assert_non_null(strstr(format(f, "json"), "\"detail\":\"a\\\"b\\\\c\\u000a\\u0001 \xc3\xa9 "
                                              "\\ufffd\\ufffd\""));
}

static void json_of_the_longest_values_is_whole(void **state)
{
    struct fixture *f = *state;
    char name[64];
    struct addr longest = {.len = sizeof(longest.un)};

    memset(name, '\x01', 63);
    name[63] = '\0';
    longest.un.sun_family = AF_UNIX;
    memset(longest.un.sun_path, '\x02', sizeof(longest.un.sun_path) - 1);
    f->r.client = f->r.listener_addr = f->r.backend_addr = &longest;
    f->r.listener = f->r.pool = f->r.backend = name;
    memset(f->r.detail, '\x03', sizeof(f->r.detail) - 1);
    f->r.queue_us = f->r.connect_us = INT64_MAX;
    f->r.total_us = f->r.bytes_in = f->r.bytes_out = UINT64_MAX;
    f->r.retries = f->r.actconn = f->r.feconn = f->r.beconn = UINT32_MAX;
    f->r.srv_conn = f->r.srv_queue = f->r.backend_queue = UINT32_MAX;
    f->r.end = END_SERVER_TIMEOUT;
    const char *line = format(f, "json");
    const char *end = "\"pool_queue\":4294967295}";
    assert_string_equal(line + strlen(line) - strlen(end), end);
}

static void a_template_takes_every_variable(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(
        format(f, "$client $client_ip ${client_port}x $listener_addr $backend_addr"),
        "10.0.1.2:33317 10.0.1.2 33317x 127.0.0.1:6432 [::1]:5432");
    assert_string_equal(format(f, "$id $time_local|$time_iso|$time_epoch"),
                        "0x0200000000000007 06/Feb/2009:13:14:14 +0100|2009-02-06T12:14:14.655Z|"
                        "1233922454.655");
    assert_string_equal(format(f, "$queue_ms $connect_ms $total_ms $bytes_in $bytes_out $retries"),
                        "0 1 5007 243 2750 0");
    assert_string_equal(format(f, "$end ($end_code): $detail"), "both sides finished (--): -");
    assert_string_equal(format(f, "$listener>$pool>$backend"), "pg>db>pg1");
    assert_string_equal(format(f, "$process_sessions $listener_sessions $pool_sessions "
                                  "$backend_sessions $backend_queue $pool_queue"),
                        "5 4 3 2 0 1");
}

static void two_dollars_are_one(void **state)
{
    assert_string_equal(format(*state, "$$ $$$pool$$x $$"), "$ $db$x $");
}

static void text_cannot_break_the_line(void **state)
{
    struct fixture *f = *state;

    strcpy(f->r.detail, "x\n\"y\"\\\x7f\xff");
    assert_string_equal(format(f, "$detail"), "x\\x0A\\x22y\\x22\\x5C\\x7F\\xFF");
}

static void a_line_that_is_too_long_is_cut_and_ends(void **state)
{
    struct fixture *f = *state;
    char text[3 * ACCESS_LINE_MAX + 1];

    for (size_t i = 0; i < 3 * ACCESS_LINE_MAX / 4; i++)
        memcpy(text + i * 4, "$id ", 4);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(strlen(format(f, text)), ACCESS_LINE_MAX - 1);
}

static void an_unknown_variable_is_an_error_with_a_suggestion(void **state)
{
    (void)state;
    assert_refused("$cliend_ip", "unknown variable $cliend_ip (did you mean \"$client");
    assert_refused("a $xyzzy b", "unknown variable $xyzzy");
    assert_refused("$client_ipx", "unknown variable $client_ipx (did you mean \"$client_ip\"?)");
}

static void broken_templates_are_errors(void **state)
{
    (void)state;
    assert_refused("", "empty");
    assert_refused("tcplgo", "unknown format");
    assert_refused("combine", "expected combined, httplog, tcplog, json or");
    assert_refused("$", "lone \"$\"");
    assert_refused("$ client", "lone \"$\"");
    assert_refused("$Client", "lone \"$\"");
    assert_refused("${client", "\"${\"");
    assert_refused("${}", "\"${\"");
    assert_refused("$client\nx", "control byte 0x0a");
}

static void every_end_has_a_code_and_a_text(void **state)
{
    (void)state;
    for (enum session_end e = END_NORMAL; e < N_SESSION_ENDS; e++) {
        assert_int_equal(strlen(session_end_code(e)), 2);
        assert_true(strlen(session_end_text(e)) > 3);
    }
}

static void assert_fits(const char *text, bool http, const char *why)
{
    const char *error = NULL;
    struct access_format *format = access_format_compile(text, &error);

    assert_non_null(format);
    assert_int_equal(access_format_fits(format, http, &error), why == NULL);
    if (why != NULL)
        assert_string_equal(error, why);
    access_format_free(&format);
}

#define FOR_HTTP                                                                                   \
    " is for listeners with mode http; here tcplog, json or a template with variables that mode "  \
    "tcp has"

static void what_only_http_has_does_not_fit_tcp(void **state)
{
    (void)state;
    assert_fits("combined", false, "combined" FOR_HTTP);
    assert_fits("httplog", false, "httplog" FOR_HTTP);
    assert_fits("$client $status", false, "$status" FOR_HTTP);
    assert_fits("$header_host", false, "$header_NAME" FOR_HTTP);
    assert_fits("tcplog", false, NULL);
    assert_fits("json", false, NULL);
    assert_fits("$client $total_ms", false, NULL);
    assert_fits("combined", true, NULL);
    assert_fits("httplog", true, NULL);
    assert_fits("tcplog", true, NULL);
    assert_fits("json", true, NULL);
    assert_fits("$client $status", true, NULL);
}

static void free_of_nothing_is_harmless(void **state)
{
    struct access_format *none = NULL;

    (void)state;
    access_format_free(&none);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(tcplog_is_haproxys_in_local_time, setup),
        cmocka_unit_test_setup(tcplog_of_a_session_that_reached_no_backend, setup),
        cmocka_unit_test_setup(tcplog_names_the_listener_where_there_is_no_pool_yet, setup),
        cmocka_unit_test_setup(the_second_changes_between_lines, setup),
        cmocka_unit_test_setup(json_has_all_fields, setup),
        cmocka_unit_test_setup(a_client_named_without_a_port_has_none_in_the_log, setup),
        cmocka_unit_test_setup(json_says_null_for_what_there_is_not, setup),
        cmocka_unit_test_setup(json_escapes_and_replaces_what_is_not_utf8, setup),
        cmocka_unit_test_setup(json_of_the_longest_values_is_whole, setup),
        cmocka_unit_test_setup(a_template_takes_every_variable, setup),
        cmocka_unit_test_setup(two_dollars_are_one, setup),
        cmocka_unit_test_setup(text_cannot_break_the_line, setup),
        cmocka_unit_test_setup(a_line_that_is_too_long_is_cut_and_ends, setup),
        cmocka_unit_test_setup(an_unknown_variable_is_an_error_with_a_suggestion, setup),
        cmocka_unit_test_setup(broken_templates_are_errors, setup),
        cmocka_unit_test(every_end_has_a_code_and_a_text),
        cmocka_unit_test(what_only_http_has_does_not_fit_tcp),
        cmocka_unit_test(free_of_nothing_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
