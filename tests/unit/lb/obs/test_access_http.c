/* test_access_http.c - access lines of mode http: combined, httplog, JSON, templates. */
#include "lb/base/tls_facts.h"
#include "lb/http/msg.h"
#include "lb/net/addr.h"
#include "lb/obs/access_log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <setjmp.h>

#include <cmocka.h>

#define MEM    20000
#define FIELDS 16

/* A head as the parser would leave it, put together by hand. */
struct head {
    struct http_head h;
    char mem[MEM];
    struct http_field fields[FIELDS];
};

struct fixture {
    struct addr client, listener, backend;
    struct head request, response;
    struct access_http http;
    struct access_record r;
    char line[ACCESS_LINE_MAX + 1];
};

static struct http_slice add(struct head *head, const char *text, size_t len)
{
    struct http_slice s = {(uint16_t)head->h.used, (uint16_t)len};

    assert_true(head->h.used + len <= MEM);
    memcpy(head->mem + head->h.used, text, len);
    head->h.used += (uint32_t)len;
    return s;
}

static void add_field(struct head *head, const char *name, const char *value)
{
    struct http_field *f = &head->fields[head->h.n_fields++];

    assert_true(head->h.n_fields <= FIELDS);
    f->id = (uint8_t)http_field_id_of(name, strlen(name));
    f->name_len = (uint8_t)strlen(name);
    f->name_at = add(head, name, strlen(name)).at;
    f->value = add(head, value, strlen(value));
}

static void start_head(struct head *head)
{
    memset(&head->h, 0, sizeof(head->h));
    head->h.mem = head->mem;
    head->h.cap = MEM;
    head->h.fields = head->fields;
    head->h.max_fields = FIELDS;
    head->h.version = 11;
}

static void set_target(struct head *head, const char *target)
{
    const char *question = strchr(target, '?');
    size_t path_len = question != NULL ? (size_t)(question - target) : strlen(target);

    head->h.target = add(head, target, strlen(target));
    head->h.path = (struct http_slice){head->h.target.at, (uint16_t)path_len};
    head->h.has_query = question != NULL;
    if (question != NULL)
        head->h.query = (struct http_slice){(uint16_t)(head->h.target.at + path_len + 1),
                                            (uint16_t)(strlen(target) - path_len - 1)};
}

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
    memset(&f, 0, sizeof(f));
    parse(&f.client, "10.0.1.2:33317");
    parse(&f.listener, "127.0.0.1:8080");
    parse(&f.backend, "10.0.0.7:3001");
    start_head(&f.request);
    f.request.h.method_text = add(&f.request, "GET", 3);
    set_target(&f.request, "/a/b.html?x=1&y=2&flag");
    add_field(&f.request, "Host", "www.example.com");
    f.request.h.authority = f.request.fields[0].value;
    add_field(&f.request, "User-Agent", "curl/7.88.1");
    add_field(&f.request, "X-Tag", "one");
    add_field(&f.request, "Cookie", "sid=abc; lang=en");
    add_field(&f.request, "x-tag", "two");
    start_head(&f.response);
    f.response.h.status = 200;
    add_field(&f.response, "Content-Type", "text/html");
    f.http = (struct access_http){
        .request = &f.request.h,
        .response = &f.response.h,
        .status = 200,
        .idle_us = 12345,
        .head_us = 10999,
        .response_us = 69001,
        .body_bytes_in = 0,
        .body_bytes_out = 2326,
        .request_id = STR("7f3a"),
        .route = "web#2",
        .sequence = 3,
        .reused = true,
    };
    f.r = (struct access_record){
        .id = 0x0200000000000007,
        .client = &f.client,
        .listener_addr = &f.listener,
        .backend_addr = &f.backend,
        .listener = "http-in",
        .pool = "static",
        .backend = "srv1",
        .start_wall_us = 1233922454655321, /* 2009-02-06T12:14:14.655321Z */
        .queue_us = 0,
        .connect_us = 30000,
        .total_us = 109999,
        .bytes_in = 243,
        .bytes_out = 2750,
        .end = END_NORMAL,
        .actconn = 5,
        .feconn = 4,
        .beconn = 3,
        .srv_conn = 2,
        .backend_queue = 1,
        .http = &f.http,
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
    for (size_t i = 0; i + 1 < n; i++)
        assert_true((unsigned char)f->line[i] >= 0x20);
    f->line[n - 1] = '\0';
    access_format_free(&format);
    return f->line;
}

/* The request was not understood: there is no head. */
static void without_heads(struct fixture *f)
{
    f->http.request = f->http.response = NULL;
    f->http.status = 400;
    f->http.head_us = f->http.response_us = -1;
    f->http.route = NULL;
    f->http.body_bytes_out = 11;
    f->http.reason = "bad-content-length";
    f->r.pool = f->r.backend = NULL;
    f->r.backend_addr = NULL;
    f->r.queue_us = f->r.connect_us = -1;
    f->r.end = END_BAD_REQUEST;
}

/* ---- combined ---- */

static void combined_is_apaches(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(format(f, "combined"),
                        "10.0.1.2 - - [06/Feb/2009:13:14:14 +0100] \"GET /a/b.html?x=1&y=2&flag "
                        "HTTP/1.1\" 200 2326 \"-\" \"curl/7.88.1\"");
    add_field(&f->request, "Referer", "http://www.example.com/start");
    f->http.user = STR("frank");
    f->request.h.version = 10;
    assert_string_equal(format(f, "combined"),
                        "10.0.1.2 - frank [06/Feb/2009:13:14:14 +0100] \"GET "
                        "/a/b.html?x=1&y=2&flag HTTP/1.0\" 200 2326 "
                        "\"http://www.example.com/start\" \"curl/7.88.1\"");
}

static void combined_of_a_request_that_was_not_understood(void **state)
{
    struct fixture *f = *state;

    without_heads(f);
    assert_string_equal(format(f, "combined"),
                        "10.0.1.2 - - [06/Feb/2009:13:14:14 +0100] \"-\" 400 11 \"-\" \"-\"");
}

static void combined_says_499_where_the_client_left_first(void **state)
{
    struct fixture *f = *state;

    f->http.status = 0;
    f->http.body_bytes_out = 0;
    f->r.end = END_CLIENT_LEFT_WAIT;
    assert_non_null(strstr(format(f, "combined"), "\" 499 0 \""));
    f->r.end = END_KILLED;
    assert_non_null(strstr(format(f, "combined"), "\" 000 0 \""));
}

static void a_client_cannot_forge_a_combined_line(void **state)
{
    struct fixture *f = *state;

    f->http.user_agent = STR("x\" 200 1\n10.0.0.1 - \\ \x1b[2J\t\x7f\xc3\xa9");
    f->http.uri = STR("/\"#{}");
    assert_string_equal(
        format(f, "combined"),
        "10.0.1.2 - - [06/Feb/2009:13:14:14 +0100] \"GET /\\x22#{} HTTP/1.1\" 200 "
        "2326 \"-\" \"x\\x22 200 1\\x0A10.0.0.1 - \\x5C \\x1B[2J\\x09\\x7F\\xC3\\xA9"
        "\"");
}

/* Neither an escape nor the line is cut in two, so that parsers find the quotes. */
static void combined_of_the_longest_texts_is_whole(void **state)
{
    struct fixture *f = *state;
    static char text[60000];

    for (int c = 'a'; c >= 1; c -= 'a' - 1) { /* plain bytes, then such as grow to four */
        memset(text, c, sizeof(text));
        f->http.uri = f->http.user_agent = f->http.referer = f->http.method =
            (struct str){text, sizeof(text)};
        f->http.user = f->http.uri;
        const char *line = format(f, "combined");
        size_t quotes = 0;
        for (const char *p = line; *p != '\0'; p++)
            quotes += *p == '"';
        assert_int_equal(quotes, 6);
        assert_int_equal(line[strlen(line) - 1], '"');
        assert_null(strstr(line, "\\\""));
    }
}

/* ---- httplog ---- */

static void httplog_is_haproxys(void **state)
{
    struct fixture *f = *state;

    f->http.uri = STR("/index.html");
    assert_string_equal(format(f, "httplog"),
                        "10.0.1.2:33317 [06/Feb/2009:13:14:14.655] http-in static/srv1 "
                        "10/0/30/69/109 200 2750 - - ---- 5/4/3/2/0 0/1 \"GET /index.html "
                        "HTTP/1.1\"");
}

static void httplog_tells_how_the_sticky_cookie_fared(void **state)
{
    struct fixture *f = *state;

    f->http.cookie_in = COOKIE_IN_NONE;
    f->http.cookie_out = COOKIE_OUT_INSERTED;
    assert_non_null(strstr(format(f, "httplog"), " 2750 - - --NI 5/4/"));
    f->http.cookie_in = COOKIE_IN_VALID;
    f->http.cookie_out = COOKIE_OUT_NONE;
    f->r.end = END_RESPONSE_TIMEOUT;
    assert_non_null(strstr(format(f, "httplog"), " 2750 - - sHVN 5/4/"));
    f->http.cookie_out = 0; /* nobody has set one */
    assert_non_null(strstr(format(f, "httplog"), " 2750 - - sHVN 5/4/"));
}

/* As HAProxy 2.6 writes it. */
static void httplog_of_a_request_that_was_not_understood(void **state)
{
    struct fixture *f = *state;

    without_heads(f);
    f->r.bytes_out = 0;
    f->r.total_us = 0;
    f->r.beconn = f->r.srv_conn = f->r.backend_queue = 0;
    assert_string_equal(format(f, "httplog"),
                        "10.0.1.2:33317 [06/Feb/2009:13:14:14.655] http-in http-in/<NOSRV> "
                        "-1/-1/-1/-1/0 400 0 - - PR-- 5/4/0/0/0 0/0 \"<BADREQ>\"");
}

static void httplog_escapes_with_a_hash_as_haproxy(void **state)
{
    struct fixture *f = *state;

    f->http.uri = STR("/\"#{}|\\\xe9");
    assert_non_null(strstr(format(f, "httplog"), "\"GET /#22#23{}|\\#E9 HTTP/1.1\""));
}

static void httplog_of_no_status_says_so(void **state)
{
    struct fixture *f = *state;

    f->http.status = 0;
    f->http.response_us = -1;
    f->r.end = END_CLIENT_LEFT_WAIT;
    assert_non_null(strstr(format(f, "httplog"), " 10/0/30/-1/109 -1 2750 - - CH-- "));
}

/* ---- JSON ---- */

static void json_has_all_fields_of_http(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(
        format(f, "json"),
        "{\"time\":\"2009-02-06T12:14:14.655321Z\",\"id\":\"0x0200000000000007\","
        "\"client\":\"10.0.1.2:33317\",\"listener\":\"http-in\","
        "\"listener_addr\":\"127.0.0.1:8080\",\"pool\":\"static\",\"backend\":\"srv1\","
        "\"backend_addr\":\"10.0.0.7:3001\",\"queue_ms\":0.000,\"connect_ms\":30.000,"
        "\"total_ms\":109.999,\"bytes_in\":243,\"bytes_out\":2750,\"retries\":0,"
        "\"redispatched\":false,\"end\":\"both sides finished\",\"end_code\":\"--\","
        "\"detail\":\"\",\"process_sessions\":5,\"listener_sessions\":4,\"pool_sessions\":3,"
        "\"backend_sessions\":2,\"backend_queue\":0,\"pool_queue\":1,"
        "\"method\":\"GET\",\"uri\":\"/a/b.html?x=1&y=2&flag\",\"protocol\":\"HTTP/1.1\","
        "\"scheme\":\"http\",\"host\":\"www.example.com\",\"status\":200,\"referer\":null,"
        "\"user_agent\":\"curl/7.88.1\",\"user\":null,\"request_id\":\"7f3a\","
        "\"traceparent\":null,\"route\":\"web#2\",\"reason\":null,\"idle_ms\":12.345,"
        "\"head_ms\":10.999,\"response_ms\":69.001,\"body_bytes_in\":0,\"body_bytes_out\":2326,"
        "\"end_state\":\"----\",\"sequence\":3,\"reused\":true}");
}

static void json_says_null_where_nothing_is_known(void **state)
{
    struct fixture *f = *state;

    without_heads(f);
    f->http.status = 0;
    const char *line = format(f, "json");
    assert_non_null(strstr(line, "\"method\":null,\"uri\":null,\"protocol\":null,"));
    assert_non_null(strstr(line, "\"host\":null,\"status\":null,"));
    assert_non_null(strstr(line, "\"route\":null,\"reason\":\"bad-content-length\","));
    assert_non_null(strstr(line, "\"head_ms\":null,\"response_ms\":null,"));
}

static void json_of_the_longest_texts_is_whole(void **state)
{
    struct fixture *f = *state;
    static char text[60000];
    struct addr longest = {.len = sizeof(longest.un)};

    memset(text, '\x01', sizeof(text) - 1);
    longest.un.sun_family = AF_UNIX;
    memset(longest.un.sun_path, '\x02', sizeof(longest.un.sun_path) - 1);
    f->r.client = f->r.listener_addr = f->r.backend_addr = &longest;
    f->r.listener = f->r.pool = f->r.backend = text;
    memset(f->r.detail, '\x03', sizeof(f->r.detail) - 1);
    f->r.queue_us = f->r.connect_us = f->http.idle_us = f->http.head_us = f->http.response_us =
        INT64_MAX;
    f->r.total_us = f->r.bytes_in = f->r.bytes_out = UINT64_MAX;
    f->http.body_bytes_in = f->http.body_bytes_out = UINT64_MAX;
    f->r.retries = f->r.actconn = f->r.feconn = f->r.beconn = UINT32_MAX;
    f->r.srv_conn = f->r.srv_queue = f->r.backend_queue = f->http.sequence = UINT32_MAX;
    struct str all = {text, sizeof(text) - 1};
    f->http.method = f->http.uri = f->http.host = f->http.user_agent = f->http.referer = all;
    f->http.request_id = f->http.traceparent = f->http.user = all;
    f->http.scheme = f->http.protocol = f->http.route = f->http.reason = text;
    f->http.status = 65535;
    f->http.reused = false;
    f->r.redispatched = false;
    f->r.end = END_SERVER_CLOSED; /* the longest words */
    const struct tls_facts tls = {all, all, all, all, false, false, all, all, all, all, all};
    f->r.tls = &tls;
    const char *line = format(f, "json");
    assert_non_null(strstr(line, "\"sequence\":4294967295,\"reused\":false,\"tls_version\":"));
    const char *end = "\\u0001\"}";
    assert_string_equal(line + strlen(line) - strlen(end), end);
}

static void a_line_says_what_is_known_of_tls(void **state)
{
    struct fixture *f = *state;
    const struct tls_facts tls = {
        .version = STR("TLSv1.3"),
        .cipher = STR("TLS_AES_128_GCM_SHA256"),
        .sni = STR("a.example"),
        .resumed = true,
        .client_verify = STR("SUCCESS"),
        .client_subject = STR("CN=\"alice\""),
    };

    assert_string_equal(format(f, "$tls_version $tls_resumed"), "- -");
    assert_null(strstr(format(f, "json"), "tls_"));
    f->r.tls = &tls;
    assert_string_equal(format(f, "$tls_version/$tls_cipher/$tls_sni/$tls_alpn/$tls_resumed"),
                        "TLSv1.3/TLS_AES_128_GCM_SHA256/a.example/-/1");
    assert_string_equal(format(f, "$tls_client_subject"), "CN=\\x22alice\\x22");
    assert_non_null(
        strstr(format(f, "json"),
               "\"tls_alpn\":null,\"tls_resumed\":true,\"tls_client_verify\":\"SUCCESS\","
               "\"tls_client_subject\":\"CN=\\\"alice\\\"\",\"tls_client_issuer\":null,"));
}

/* ---- templates ---- */

static void a_template_takes_the_variables_of_http(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(format(f, "$request|$method|$uri|$path|$query|$protocol|$version|$scheme"),
                        "GET /a/b.html?x=1&y=2&flag HTTP/1.1|GET|/a/b.html?x=1&y=2&flag|"
                        "/a/b.html|x=1&y=2&flag|HTTP/1.1|1.1|http");
    assert_string_equal(format(f, "$host $user_agent $referer $user $request_id $traceparent"),
                        "www.example.com curl/7.88.1 - - 7f3a -");
    assert_string_equal(format(f, "$status $status_combined $reason $route $end_state"),
                        "200 200 - web#2 ----");
    assert_string_equal(format(f, "$idle_ms $head_ms $response_ms $body_bytes_in $body_bytes_out"),
                        "12 10 69 0 2326");
    assert_string_equal(format(f, "$sequence $reused"), "3 1");
}

static void names_of_the_users_are_looked_up(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(format(f, "${header_host} $header_user_agent $header_absent"),
                        "www.example.com curl/7.88.1 -");
    assert_string_equal(format(f, "$header_x_tag"), "one, two");
    assert_string_equal(format(f, "$response_header_content_type $response_header_x_tag"),
                        "text/html -");
    assert_string_equal(format(f, "$cookie_lang $cookie_sid $cookie_la"), "en abc -");
    assert_string_equal(format(f, "$query_x$query_y $query_flag $query_z $query_fla"), "12 - - -");
}

static void what_the_record_says_goes_before_the_head(void **state)
{
    struct fixture *f = *state;

    f->http.method = STR("POST");
    f->http.uri = STR("/first");
    f->http.host = STR("first.example");
    f->http.user_agent = STR("");
    f->http.referer = STR("r");
    f->http.protocol = "HTTP/2.0";
    f->http.scheme = "https";
    add_field(&f->request, "User-Agent", "x");
    assert_string_equal(format(f, "$request $host $user_agent $referer $version $scheme"),
                        "POST /first HTTP/2.0 first.example - r 2 https");
}

static void a_template_of_mode_tcp_has_nothing_of_http(void **state)
{
    struct fixture *f = *state;

    f->r.http = NULL;
    assert_string_equal(format(f, "$request $status $uri $scheme $header_host $response_ms"),
                        "- -1 - - - -1");
}

static void needs(const char *text, uint32_t expected)
{
    const char *error;
    struct access_format *format = access_format_compile(text, &error);

    assert_non_null(format);
    assert_int_equal(access_format_needs(format), expected);
    access_format_free(&format);
}

static void a_format_says_what_it_needs(void **state)
{
    (void)state;
    needs("tcplog", 0);
    needs("combined", ACCESS_NEEDS_REQUEST);
    needs("httplog", ACCESS_NEEDS_REQUEST);
    needs("json", ACCESS_NEEDS_REQUEST | ACCESS_NEEDS_LOCAL | ACCESS_NEEDS_TLS);
    needs("$tls_version", ACCESS_NEEDS_TLS);
    needs("$listener_addr", ACCESS_NEEDS_LOCAL);
    needs("$client $status $total_ms", 0);
    needs("$cookie_a", ACCESS_NEEDS_REQUEST);
    needs("$response_header_etag", ACCESS_NEEDS_RESPONSE);
    needs("$uri $response_header_etag", ACCESS_NEEDS_REQUEST | ACCESS_NEEDS_RESPONSE);
}

static void a_prefix_without_a_name_is_refused(void **state)
{
    const char *error = NULL;

    (void)state;
    assert_null(access_format_compile("$header_", &error));
    assert_non_null(strstr(error, "unknown variable $header_"));
    assert_null(access_format_compile("$heder_host", &error));
    assert_non_null(strstr(error, "unknown variable $heder_host"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(combined_is_apaches, setup),
        cmocka_unit_test_setup(combined_of_a_request_that_was_not_understood, setup),
        cmocka_unit_test_setup(combined_says_499_where_the_client_left_first, setup),
        cmocka_unit_test_setup(a_client_cannot_forge_a_combined_line, setup),
        cmocka_unit_test_setup(combined_of_the_longest_texts_is_whole, setup),
        cmocka_unit_test_setup(httplog_is_haproxys, setup),
        cmocka_unit_test_setup(httplog_tells_how_the_sticky_cookie_fared, setup),
        cmocka_unit_test_setup(httplog_of_a_request_that_was_not_understood, setup),
        cmocka_unit_test_setup(httplog_escapes_with_a_hash_as_haproxy, setup),
        cmocka_unit_test_setup(httplog_of_no_status_says_so, setup),
        cmocka_unit_test_setup(json_has_all_fields_of_http, setup),
        cmocka_unit_test_setup(json_says_null_where_nothing_is_known, setup),
        cmocka_unit_test_setup(json_of_the_longest_texts_is_whole, setup),
        cmocka_unit_test_setup(a_line_says_what_is_known_of_tls, setup),
        cmocka_unit_test_setup(a_template_takes_the_variables_of_http, setup),
        cmocka_unit_test_setup(names_of_the_users_are_looked_up, setup),
        cmocka_unit_test_setup(what_the_record_says_goes_before_the_head, setup),
        cmocka_unit_test_setup(a_template_of_mode_tcp_has_nothing_of_http, setup),
        cmocka_unit_test(a_format_says_what_it_needs),
        cmocka_unit_test(a_prefix_without_a_name_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
