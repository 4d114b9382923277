/* test_h2_head.c - heads of HTTP/2: what is a message and what is none, and the way back. */
#include "lb/http/h2_head.h"

#include "lb/base/arena.h"
#include "lb/http/h1_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct arena_pool pool;
    struct arena arena;
    struct h1_limits limits;
    struct http_head head;
    struct h2_head build;
    char text[4096];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    arena_pool_init(&f->pool);
    arena_init(&f->arena, &f->pool);
    f->limits = (struct h1_limits){.head_bytes = 8192, .target_bytes = 100, .fields = 16};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_fini(&f->arena);
    arena_pool_fini(&f->pool);
    free(f);
    return 0;
}

/* fields: name, value, ..., NULL */
static enum h1_result build(struct fixture *f, enum h2_head_kind kind, bool end,
                            const char *const *fields)
{
    h2_head_begin(&f->build, kind, &f->limits, &f->arena, &f->head);
    for (; fields[0] != NULL; fields += 2)
        h2_head_field(&f->build, str_of(fields[0]), str_of(fields[1]));
    return h2_head_end(&f->build, end, HTTP_GET);
}

#define FIELDS(...)           ((const char *const[]){__VA_ARGS__, NULL})
#define REQUEST(f, end, ...)  build(f, H2_REQUEST, end, FIELDS(__VA_ARGS__))
#define RESPONSE(f, end, ...) build(f, H2_RESPONSE, end, FIELDS(__VA_ARGS__))
#define GET_OF(path, host)    ":method", "GET", ":scheme", "https", ":authority", host, ":path", path
#define GET                   GET_OF("/", "h")
#define METHOD_OF(m)          ":method", m, ":scheme", "http", ":path", "/", ":authority", "h"

static void expect_text(struct str s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.p, want, s.len);
}

static struct str value_of(struct fixture *f, const char *name)
{
    struct http_field *field = http_find_name(&f->head, str_of(name), NULL);
    return field != NULL ? http_value(&f->head, field) : (struct str){"(none)", 6};
}

static const char *written(struct fixture *f)
{
    const struct http_head *h = &f->head;
    struct h1_request_line line = {http_str(h, h->method_text), http_str(h, h->target),
                                   http_str(h, h->authority)};
    struct h1_framing framing = {.body = (enum http_body)h->body,
                                 .content_length = h->content_length,
                                 .connection = h->upgrade ? H1_CONN_UPGRADE : H1_CONN_DEFAULT};
    http_strip_hop_by_hop(&f->head, true);
    assert_true(h1_request_size(h, &line) < sizeof(f->text));
    f->text[h1_write_request(h, &line, &framing, f->text)] = '\0';
    return f->text;
}

/* ---- requests ---- */

static void a_request_is_read_and_can_be_written_in_http_1(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(REQUEST(f, true, GET_OF("/a?b=c", "ex.org:81"), "accept", "*/*", "x", ""),
                     H1_DONE);
    assert_int_equal(f->head.version, 20);
    assert_int_equal(f->head.method, HTTP_GET);
    assert_int_equal(f->head.form, HTTP_FORM_ORIGIN);
    assert_int_equal(f->head.body, HTTP_BODY_NONE);
    assert_true(f->head.keep_alive && f->head.has_query);
    expect_text(http_str(&f->head, f->head.path), "/a");
    expect_text(http_str(&f->head, f->head.query), "b=c");
    expect_text(value_of(f, "host"), "ex.org:81");
    assert_string_equal(written(f),
                        "GET /a?b=c HTTP/1.1\r\nHost: ex.org:81\r\naccept: */*\r\nx: \r\n\r\n");
}

static void a_payload_of_unknown_length_is_chunked_in_http_1(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(REQUEST(f, false, METHOD_OF("POST")), H1_DONE);
    assert_int_equal(f->head.body, HTTP_BODY_CHUNKED);
    assert_int_equal(REQUEST(f, false, METHOD_OF("POST"), "content-length", "5"), H1_DONE);
    assert_int_equal(f->head.body, HTTP_BODY_LENGTH);
    assert_int_equal(f->head.content_length, 5);
    assert_int_equal(REQUEST(f, true, METHOD_OF("POST")), H1_DONE);
    assert_int_equal(f->head.body, HTTP_BODY_LENGTH);
    assert_int_equal(f->head.content_length, 0);
    assert_int_equal(REQUEST(f, true, METHOD_OF("DELETE")), H1_DONE);
    assert_int_equal(f->head.body, HTTP_BODY_NONE);
}

static void a_length_must_be_a_number_said_once_and_true(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(REQUEST(f, true, GET, "content-length", "1"), H1_BAD_CONTENT_LENGTH);
    assert_int_equal(REQUEST(f, true, GET, "content-length", "0"), H1_DONE);
    assert_int_equal(REQUEST(f, false, GET, "content-length", "+1"), H1_BAD_CONTENT_LENGTH);
    assert_int_equal(REQUEST(f, false, GET, "content-length", "1", "content-length", "1"),
                     H1_REPEATED_CONTENT_LENGTH);
}

static void pseudo_fields_stand_first_and_once_and_are_the_known_ones(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(REQUEST(f, true, GET, ":path", "/"), H1_BAD_PSEUDO_FIELD);
    assert_int_equal(REQUEST(f, true, GET, ":status", "200"), H1_BAD_PSEUDO_FIELD);
    assert_int_equal(REQUEST(f, true, GET, ":other", "x"), H1_BAD_PSEUDO_FIELD);
    assert_int_equal(REQUEST(f, true, ":method", "GET", ":scheme", "http", ":authority", "h"),
                     H1_BAD_PSEUDO_FIELD);
    assert_int_equal(REQUEST(f, true, ":method", "GET", ":path", "/", ":authority", "h"),
                     H1_BAD_PSEUDO_FIELD);
    assert_int_equal(REQUEST(f, true, ":scheme", "http", ":path", "/", ":authority", "h"),
                     H1_BAD_PSEUDO_FIELD);
    assert_int_equal(REQUEST(f, true, ":method", "GET", ":scheme", "http", "a", "b", ":path", "/",
                             ":authority", "h"),
                     H1_BAD_PSEUDO_FIELD);
}

static void a_host_is_needed_and_must_not_say_something_else(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(REQUEST(f, true, ":method", "GET", ":scheme", "http", ":path", "/"),
                     H1_NO_HOST);
    assert_int_equal(
        REQUEST(f, true, ":method", "GET", ":scheme", "http", ":path", "/", "host", "a"), H1_DONE);
    expect_text(http_str(&f->head, f->head.authority), "a");
    assert_int_equal(REQUEST(f, true, GET_OF("/", "a"), "host", "b"), H1_HOST_MISMATCH);
    assert_int_equal(REQUEST(f, true, GET_OF("/", "a"), "host", "a:80"), H1_HOST_MISMATCH);
    assert_int_equal(REQUEST(f, true, GET_OF("/", "a"), "host", "A:443"), H1_DONE);
    assert_int_equal(REQUEST(f, true, GET_OF("/", "a"), "host", "a", "host", "a"),
                     H1_REPEATED_HOST);
    assert_int_equal(REQUEST(f, true, GET_OF("/", "a"), "host", ""), H1_BAD_HOST);
    assert_int_equal(REQUEST(f, true, GET_OF("/", "")), H1_BAD_HOST);
    assert_int_equal(REQUEST(f, true, GET_OF("/", "u@a")), H1_BAD_HOST);
}

static void what_would_break_a_line_of_http_1_is_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *value;
        enum h1_result want;
    } bad[] = {
        {"x", "a\r\nb: c", H1_BAD_FIELD_VALUE}, {"x", "a\nb", H1_BAD_FIELD_VALUE},
        {"x", "a\rb", H1_BAD_FIELD_VALUE},      {"x", " a", H1_BAD_FIELD_VALUE},
        {"x", "a\t", H1_BAD_FIELD_VALUE},       {"x", "a\x7f", H1_BAD_FIELD_VALUE},
        {"x\r\ny", "a", H1_BAD_FIELD_NAME},     {"x y", "a", H1_BAD_FIELD_NAME},
        {"x:", "a", H1_BAD_FIELD_NAME},         {"X", "a", H1_BAD_FIELD_NAME},
        {"", "a", H1_BAD_FIELD_NAME},           {"x\x80", "a", H1_BAD_FIELD_NAME},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(REQUEST(f, true, GET, bad[i].name, bad[i].value), bad[i].want);

    h2_head_begin(&f->build, H2_REQUEST, &f->limits, &f->arena, &f->head);
    h2_head_field(&f->build, STR("x"), STR("a\0b"));
    assert_int_equal(h2_head_end(&f->build, true, HTTP_GET), H1_BAD_FIELD_VALUE);
}

static void targets_are_those_of_http_1(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"x",   "http://h/", "/a b", "/a\r\n", "/#f",
                                      "/\"", "/\x80",     "*",    "?q",     "/a?b c"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(REQUEST(f, true, GET_OF(bad[i], "h")), H1_BAD_TARGET);
    assert_int_equal(REQUEST(f, true, GET_OF("", "h")), H1_BAD_PSEUDO_FIELD);
    assert_int_equal(
        REQUEST(f, true, ":method", "OPTIONS", ":scheme", "http", ":path", "*", ":authority", "h"),
        H1_DONE);
    assert_int_equal(f->head.form, HTTP_FORM_ASTERISK);
    f->limits.target_bytes = 3;
    assert_int_equal(REQUEST(f, true, GET_OF("/ab", "h")), H1_DONE);
    assert_int_equal(REQUEST(f, true, GET_OF("/abc", "h")), H1_TARGET_TOO_LONG);
    assert_int_equal(REQUEST(f, true, METHOD_OF("G T")), H1_BAD_METHOD);
    assert_int_equal(
        REQUEST(f, true, ":method", "GET", ":scheme", "ftp", ":path", "/", ":authority", "h"),
        H1_BAD_TARGET);
}

static void fields_of_a_connection_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"connection", "keep-alive", "proxy-connection",
                                      "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(REQUEST(f, true, GET, bad[i], "x"), H1_CONNECTION_FIELD);
    assert_int_equal(REQUEST(f, true, GET, "te", "gzip"), H1_CONNECTION_FIELD);
    assert_int_equal(REQUEST(f, true, GET, "te", "trailers"), H1_DONE);
    assert_true(f->head.te_trailers);
}

static void cookie_crumbs_become_one_field(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(REQUEST(f, true, GET, "cookie", "a=1", "cookie", "b=2", "x", "y"), H1_DONE);
    assert_string_equal(written(f),
                        "GET / HTTP/1.1\r\nHost: h\r\ncookie: a=1; b=2\r\nx: y\r\n\r\n");
    assert_int_equal(REQUEST(f, true, GET, "cookie", "a=1", "x", "y", "cookie", "b=2", "z", "w",
                             "cookie", "c=3"),
                     H1_DONE);
    expect_text(value_of(f, "cookie"), "a=1; b=2; c=3");
    assert_string_equal(
        written(f), "GET / HTTP/1.1\r\nHost: h\r\nx: y\r\nz: w\r\ncookie: a=1; b=2; c=3\r\n\r\n");
}

static void limits_count_as_the_rfc_counts(void **state)
{
    struct fixture *f = *state;
    /* 4 pseudo-header fields: 10 + 12 + 11 + 6 bytes, 32 for each; one more of 2 bytes. */
    f->limits.head_bytes = 39 + 4 * 32 + 34;
    assert_int_equal(REQUEST(f, true, GET, "a", "b"), H1_DONE);
    assert_int_equal(REQUEST(f, true, GET, "a", "bc"), H1_HEAD_TOO_LARGE);
    assert_int_equal(f->build.bytes, f->limits.head_bytes + 1);
    f->limits = (struct h1_limits){.head_bytes = 8192, .target_bytes = 100, .fields = 2};
    assert_int_equal(REQUEST(f, true, GET, "a", "b"), H1_DONE);
    assert_int_equal(REQUEST(f, true, GET, "a", "b", "c", "d"), H1_TOO_MANY_FIELDS);
}

static void a_large_head_grows_and_stays_whole(void **state)
{
    struct fixture *f = *state;
    char name[16], value[200];
    f->limits = (struct h1_limits){.head_bytes = 65535, .target_bytes = 100, .fields = 200};
    memset(value, 'v', sizeof(value));
    h2_head_begin(&f->build, H2_REQUEST, &f->limits, &f->arena, &f->head);
    for (const char *const *p = FIELDS(GET); *p != NULL; p += 2)
        h2_head_field(&f->build, str_of(p[0]), str_of(p[1]));
    for (int i = 0; i < 150; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        h2_head_field(&f->build, str_of(name), (struct str){value, sizeof(value)});
    }
    assert_int_equal(h2_head_end(&f->build, true, HTTP_GET), H1_DONE);
    assert_int_equal(f->head.n_fields, 151);
    expect_text(http_str(&f->head, f->head.target), "/");
    assert_int_equal(value_of(f, "n0").len, 200);
    assert_int_equal(value_of(f, "n149").len, 200);
}

static void connect_has_an_authority_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(REQUEST(f, false, ":method", "CONNECT", ":authority", "h:1"), H1_DONE);
    assert_int_equal(f->head.form, HTTP_FORM_AUTHORITY);
    assert_int_equal(REQUEST(f, false, ":method", "CONNECT", ":authority", "h"), H1_BAD_TARGET);
    assert_int_equal(REQUEST(f, false, METHOD_OF("CONNECT")), H1_BAD_PSEUDO_FIELD);
}

static void an_extended_connect_is_an_upgrade(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(REQUEST(f, false, METHOD_OF("CONNECT"), ":protocol", "websocket",
                             "sec-websocket-version", "13"),
                     H1_DONE);
    assert_true(f->head.upgrade);
    assert_int_equal(f->head.method, HTTP_GET);
    assert_int_equal(f->head.body, HTTP_BODY_NONE);
    assert_string_equal(written(f), "GET / HTTP/1.1\r\nHost: h\r\nsec-websocket-version: 13\r\n"
                                    "upgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    assert_int_equal(REQUEST(f, false, METHOD_OF("CONNECT"), ":protocol", "connect-udp"),
                     H1_UNKNOWN_PROTOCOL);
    assert_int_equal(REQUEST(f, false, METHOD_OF("GET"), ":protocol", "websocket"),
                     H1_BAD_PSEUDO_FIELD);
}

static void only_100_continue_is_expected(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(REQUEST(f, false, GET, "expect", "100-continue"), H1_DONE);
    assert_true(f->head.expect_continue);
    assert_int_equal(REQUEST(f, false, GET, "expect", "tea"), H1_BAD_EXPECT);
}

/* ---- responses and trailers ---- */

static void a_response_is_read(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(RESPONSE(f, false, ":status", "200", "server", "x"), H1_DONE);
    assert_int_equal(f->head.status, 200);
    assert_int_equal(f->head.body, HTTP_BODY_CHUNKED);
    expect_text(http_str(&f->head, f->head.reason), "OK");
    assert_int_equal(RESPONSE(f, true, ":status", "200"), H1_DONE);
    assert_int_equal(f->head.body, HTTP_BODY_LENGTH);
    assert_int_equal(f->head.content_length, 0);
    assert_int_equal(RESPONSE(f, true, ":status", "204"), H1_DONE);
    assert_int_equal(f->head.body, HTTP_BODY_NONE);
    assert_int_equal(RESPONSE(f, false, ":status", "103", "link", "x"), H1_DONE);
}

static void a_response_says_its_status_once(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"101", "99", "1000", "", "600", "2x0", "020"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(RESPONSE(f, false, ":status", bad[i]), H1_BAD_STATUS);
    assert_int_equal(RESPONSE(f, false, "a", "b"), H1_BAD_PSEUDO_FIELD);
    assert_int_equal(RESPONSE(f, false, ":status", "200", ":status", "200"), H1_BAD_PSEUDO_FIELD);
    assert_int_equal(RESPONSE(f, false, ":status", "200", ":path", "/"), H1_BAD_PSEUDO_FIELD);
    assert_int_equal(RESPONSE(f, true, ":status", "100"), H1_BAD_STATUS);
    assert_int_equal(RESPONSE(f, true, ":status", "200", "content-length", "3"),
                     H1_BAD_CONTENT_LENGTH);
    assert_int_equal(RESPONSE(f, true, ":status", "304", "content-length", "3"), H1_DONE);
}

static void trailers_have_no_pseudo_fields_and_nothing_that_frames(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        build(f, H2_TRAILERS, true, FIELDS("grpc-status", "0", "content-length", "3", "host", "x")),
        H1_DONE);
    expect_text(value_of(f, "grpc-status"), "0");
    expect_text(value_of(f, "content-length"), "(none)");
    expect_text(value_of(f, "host"), "(none)");
    assert_int_equal(build(f, H2_TRAILERS, true, FIELDS(":status", "200")), H1_BAD_PSEUDO_FIELD);
    assert_int_equal(build(f, H2_TRAILERS, false, FIELDS("a", "b")), H1_BAD_PSEUDO_FIELD);
}

/* ---- back ---- */

static const char *nv_text(struct fixture *f, const nghttp2_nv *nv, uint32_t n)
{
    size_t at = 0;
    f->text[0] = '\0';
    for (uint32_t i = 0; i < n; i++)
        at += (size_t)snprintf(f->text + at, sizeof(f->text) - at, "%.*s=%.*s%s|",
                               (int)nv[i].namelen, nv[i].name, (int)nv[i].valuelen, nv[i].value,
                               nv[i].flags & NGHTTP2_NV_FLAG_NO_INDEX ? "!" : "");
    return f->text;
}

static void parse_h1(struct fixture *f, char *text, bool response)
{
    static struct http_field fields[32];
    struct h1_parser p = {0};
    f->head = (struct http_head){.fields = fields, .max_fields = 32};
    uint32_t len = (uint32_t)strlen(text);
    assert_int_equal(response ? h1_parse_response(&p, text, len, &f->limits, HTTP_GET, &f->head)
                              : h1_parse_request(&p, text, len, &f->limits, &f->head),
                     H1_DONE);
}

static void a_response_of_http_1_goes_out_without_its_connection(void **state)
{
    struct fixture *f = *state;
    char text[] =
        "HTTP/1.1 200 OK\r\nContent-Type: a\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\n"
        "Content-Length: 7\r\nSet-Cookie: s\r\n\r\n";
    nghttp2_nv nv[40];
    struct h2_digits digits;
    const uint64_t length = 12345;
    parse_h1(f, text, true);
    assert_true(h2_nv_max(&f->head) <= ARRAY_LEN(nv));
    uint32_t n = h2_write_response(&f->head, &length, &digits, nv);
    assert_string_equal(nv_text(f, nv, n),
                        ":status=200|content-type=a|set-cookie=s!|content-length=12345|");
    n = h2_write_response(&f->head, NULL, &digits, nv);
    assert_string_equal(nv_text(f, nv, n), ":status=200|content-type=a|set-cookie=s!|");
    assert_true(nv[1].flags & NGHTTP2_NV_FLAG_NO_COPY_NAME);
    assert_true(nv[1].flags & NGHTTP2_NV_FLAG_NO_COPY_VALUE);
}

static void a_request_of_http_1_goes_out_with_pseudo_fields(void **state)
{
    struct fixture *f = *state;
    char text[] = "GET /x HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nCookie: a=1\r\n"
                  "TE: trailers\r\nConnection: TE\r\n\r\n";
    nghttp2_nv nv[40];
    struct h2_digits digits;
    parse_h1(f, text, false);
    const struct h2_request r = {.method = STR("GET"),
                                 .scheme = STR("http"),
                                 .authority = STR("h"),
                                 .path = STR("/x"),
                                 .te_trailers = true};
    uint32_t n = h2_write_request(&f->head, &r, NULL, &digits, nv);
    assert_string_equal(nv_text(f, nv, n),
                        ":method=GET|:scheme=http|:authority=h|:path=/x|authorization=secret!|"
                        "cookie=a=1!|te=trailers|");
}

static void an_upgrade_to_websocket_is_an_extended_connect(void **state)
{
    struct fixture *f = *state;
    char request[] = "GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                     "Sec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13\r\n\r\n";
    char response[] = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                      "Sec-WebSocket-Accept: abc\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    nghttp2_nv nv[40];
    struct h2_digits digits;
    parse_h1(f, request, false);
    const struct h2_request r = {.method = STR("GET"),
                                 .scheme = STR("http"),
                                 .authority = STR("h"),
                                 .path = STR("/x"),
                                 .websocket = true};
    uint32_t n = h2_write_request(&f->head, &r, NULL, &digits, nv);
    assert_string_equal(nv_text(f, nv, n), ":method=CONNECT|:protocol=websocket|:scheme=http|"
                                           ":authority=h|:path=/x|sec-websocket-version=13|");
    parse_h1(f, response, true);
    n = h2_write_response(&f->head, NULL, &digits, nv);
    assert_string_equal(nv_text(f, nv, n), ":status=200|sec-websocket-protocol=chat|");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_request_is_read_and_can_be_written_in_http_1),
        T(a_payload_of_unknown_length_is_chunked_in_http_1),
        T(a_length_must_be_a_number_said_once_and_true),
        T(pseudo_fields_stand_first_and_once_and_are_the_known_ones),
        T(a_host_is_needed_and_must_not_say_something_else),
        T(what_would_break_a_line_of_http_1_is_refused),
        T(targets_are_those_of_http_1),
        T(fields_of_a_connection_are_refused),
        T(cookie_crumbs_become_one_field),
        T(limits_count_as_the_rfc_counts),
        T(a_large_head_grows_and_stays_whole),
        T(connect_has_an_authority_and_nothing_else),
        T(an_extended_connect_is_an_upgrade),
        T(only_100_continue_is_expected),
        T(a_response_is_read),
        T(a_response_says_its_status_once),
        T(trailers_have_no_pseudo_fields_and_nothing_that_frames),
        T(a_response_of_http_1_goes_out_without_its_connection),
        T(a_request_of_http_1_goes_out_with_pseudo_fields),
        T(an_upgrade_to_websocket_is_an_extended_connect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
