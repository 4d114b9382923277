/* test_h1_parse.c - heads of HTTP/1: verdicts (tables in tests/support), what a head says, limits.
 * Every head is parsed whole and byte by byte, with each level of vectors. */
#include "lb/http/byte_class.h"
#include "lb/http/h1_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FIELDS 8

static const struct h1_limits limits = {.head_bytes = 1024, .target_bytes = 100, .fields = FIELDS};

enum what {
    REQUEST_HEAD,
    RESPONSE_HEAD,
    TRAILER_SECTION,
};

/* What is parsed, how, and what came out; the head's text is mem. */
struct parsed {
    enum what what;
    enum http_method to;
    struct h1_limits limits;
    struct http_field fields[FIELDS];
    struct http_head head;
    char *mem;
    uint32_t at;
};

static enum h1_result call(struct parsed *x, struct h1_parser *p, uint32_t len)
{
    enum h1_result r;
    x->head = (struct http_head){.fields = x->fields, .max_fields = FIELDS};
    memset(x->fields, 0xee, sizeof(x->fields)); /* nothing lives in there between calls */
    switch (x->what) {
    case REQUEST_HEAD:
        r = h1_parse_request(p, x->mem, len, &x->limits, &x->head);
        break;
    case RESPONSE_HEAD:
        r = h1_parse_response(p, x->mem, len, &x->limits, x->to, &x->head);
        break;
    default:
        r = h1_parse_trailers(p, x->mem, len, &x->limits, &x->head);
    }
    x->at = p->at;
    return r;
}

/* Gives a byte more with each call, in memory of just that size. */
static enum h1_result parse_in_bytes(struct parsed *x, const char *text, size_t len)
{
    struct h1_parser p = {0};
    enum h1_result r = H1_MORE;
    x->mem = NULL;
    for (size_t n = 0; n <= len && r == H1_MORE; n++) {
        char *mem = malloc(n > 0 ? n : 1);
        memcpy(mem, text, n);
        free(x->mem);
        x->mem = mem;
        r = call(x, &p, (uint32_t)n);
    }
    return r;
}

static void assert_same_head(const struct parsed *a, const struct parsed *b)
{
    const struct http_head *x = &a->head, *y = &b->head;
    assert_int_equal(a->at, b->at);
    assert_int_equal(x->used, a->at);
    assert_int_equal(y->used, b->at);
    assert_int_equal(x->n_fields, y->n_fields);
    assert_memory_equal(a->fields, b->fields, x->n_fields * sizeof(a->fields[0]));
    struct http_head copy = *x;
    copy.mem = y->mem;
    copy.fields = y->fields;
    assert_memory_equal(&copy.used, &y->used, sizeof(copy) - offsetof(struct http_head, used));
}

/* Verdict for text, the same however it is given. x->mem is to be freed. */
static enum h1_result parse(struct parsed *x, const char *text, size_t len)
{
    static const int levels[] = {2, 1, 0};
    struct parsed bytes = *x;
    enum h1_result r = H1_MORE;
    x->mem = malloc(len > 0 ? len : 1);
    memcpy(x->mem, text, len);
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        struct h1_parser p = {0};
        if (!h1_parse_use(levels[i]))
            continue;
        r = call(x, &p, (uint32_t)len);
        enum h1_result in_bytes = parse_in_bytes(&bytes, text, len);
        if (r != in_bytes)
            fail_msg("level %d, %.*s: %s whole, %s in bytes", levels[i], (int)len, text,
                     h1_result_code(r), h1_result_code(in_bytes));
        if (r == H1_DONE)
            assert_same_head(x, &bytes);
        free(bytes.mem);
    }
    return r;
}

static struct parsed parsed(enum what what)
{
    return (struct parsed){.what = what, .to = HTTP_GET, .limits = limits};
}

static void expect(struct parsed *x, const char *text, enum h1_result want)
{
    enum h1_result r = parse(x, text, strlen(text));
    if (r != want)
        fail_msg("%s: %s, expected %s", text, h1_result_code(r), h1_result_code(want));
}

/* A request or response that is fine; the caller looks at x->head. */
/* x points into itself from here on: it is not to be copied. */
static void good(struct parsed *x, enum what what, const char *text)
{
    *x = parsed(what);
    expect(x, text, H1_DONE);
}

static void assert_str(struct str s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.p, want, s.len);
}

/* ---- verdicts ---- */

struct row {
    enum h1_result want;
    const char *section, *what, *text;
    size_t len;
};

static void check_rows(enum what what, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct parsed x = parsed(what);
        enum h1_result r = parse(&x, rows[i].text, rows[i].len);
        if (r != rows[i].want)
            fail_msg("%s (%s): %s, expected %s", rows[i].what, rows[i].section, h1_result_code(r),
                     h1_result_code(rows[i].want));
        free(x.mem);
    }
}

static void requests_get_the_verdict_of_the_table(void **state)
{
#define REQUEST(want, section, what, text) {want, section, what, text, sizeof(text) - 1},
    static const struct row rows[] = {
#include "tests/support/strict_requests.inc"
    };
    (void)state;
    check_rows(REQUEST_HEAD, rows, ARRAY_LEN(rows));
}

static void responses_get_the_verdict_of_the_table(void **state)
{
#define RESPONSE(want, section, what, text) {want, section, what, text, sizeof(text) - 1},
    static const struct row rows[] = {
#include "tests/support/strict_responses.inc"
    };
    (void)state;
    check_rows(RESPONSE_HEAD, rows, ARRAY_LEN(rows));
}

static void each_verdict_has_code_words_and_status(void **state)
{
    (void)state;
    for (enum h1_result r = 0; r < H1_RESULTS; r++) {
        assert_true(strlen(h1_result_code(r)) > 3);
        assert_true(strlen(h1_result_text(r)) > 10);
        assert_true(r <= H1_DONE || (h1_result_status(r) >= 400 && h1_result_status(r) < 600));
    }
    assert_int_equal(h1_result_status(H1_TARGET_TOO_LONG), 414);
    assert_int_equal(h1_result_status(H1_VERSION_UNSUPPORTED), 505);
    assert_int_equal(h1_result_status(H1_UNKNOWN_CODING), 501);
}

/* Why: the vectors' tables were made from byte_class.c once. */
static void every_byte_is_judged_alike_at_every_place_by_every_level(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        for (int place = 0; place < 70; place += c < 128 ? 1 : 7) {
            char text[400];
            char fill[71];
            memset(fill, 'a', 70);
            fill[70] = '\0';
            fill[place] = (char)c;
            struct {
                unsigned class;
                const char *before, *behind, *but;
            } kinds[] = {{BYTE_PATH, "GET /", " HTTP/1.1\r\nHost: h\r\n\r\n", "? "},
                         {BYTE_QUERY, "GET /?", " HTTP/1.1\r\nHost: h\r\n\r\n", " "},
                         {BYTE_TOKEN, "GET / HTTP/1.1\r\nHost: h\r\na", ": x\r\n\r\n", ":"},
                         {BYTE_VALUE, "GET / HTTP/1.1\r\nHost: h\r\nX: a", "\r\n\r\n", ""}};
            for (size_t k = 0; k < ARRAY_LEN(kinds) && c != 0; k++) {
                if (strchr(kinds[k].but, (int)c) != NULL)
                    continue;
                bool want = byte_is((char)c, kinds[k].class);
                int len =
                    snprintf(text, sizeof(text), "%s%s%s", kinds[k].before, fill, kinds[k].behind);
                for (int level = 0; level < 3; level++) {
                    struct h1_parser p = {0};
                    struct parsed x = parsed(REQUEST_HEAD);
                    x.mem = text;
                    if (h1_parse_use(level))
                        assert_int_equal(call(&x, &p, (uint32_t)len) == H1_DONE, want);
                }
            }
        }
    }
}

static void a_nul_is_refused_wherever_it_stands(void **state)
{
    static const char text[] = "GET /a?b HTTP/1.1\r\nHost: h\r\nX: yz\r\n\r\n";
    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        char copy[sizeof(text)];
        struct parsed x = parsed(REQUEST_HEAD);
        memcpy(copy, text, sizeof(text));
        copy[i] = '\0';
        assert_true(parse(&x, copy, sizeof(text) - 1) > H1_DONE);
        free(x.mem);
    }
}

/* ---- limits ---- */

static void a_head_may_have_just_the_bytes_of_the_limit(void **state)
{
    const char *text = "GET / HTTP/1.1\r\nHost: h\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyy\r\n\r\n";
    (void)state;
    for (uint32_t max = 1; max <= strlen(text); max++) {
        struct parsed x = parsed(REQUEST_HEAD);
        x.limits.head_bytes = max;
        enum h1_result want = max == strlen(text) ? H1_DONE : H1_HEAD_TOO_LARGE;
        if (max == 4 || max == 5) /* where the target stands */
            want = H1_TARGET_TOO_LONG;
        expect(&x, text, want);
        free(x.mem);
    }
}

static void bytes_behind_the_head_do_not_count(void **state)
{
    const char *text = "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET \x01";
    struct parsed x = parsed(REQUEST_HEAD);
    (void)state;
    x.limits.head_bytes = 27;
    expect(&x, text, H1_DONE);
    assert_int_equal(x.at, 27);
    free(x.mem);
}

static void a_name_has_at_most_255_bytes(void **state)
{
    (void)state;
    for (int len = 254; len <= 257; len++) {
        char text[400], name[300];
        struct parsed x = parsed(REQUEST_HEAD);
        memset(name, 'n', sizeof(name));
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%.*s: v\r\n\r\n", len, name);
        expect(&x, text, len <= 255 ? H1_DONE : H1_HEAD_TOO_LARGE);
        free(x.mem);
    }
}

static void fields_are_limited_by_the_room_that_is_there_too(void **state)
{
    struct parsed x = parsed(REQUEST_HEAD);
    (void)state;
    x.limits.fields = 100;
    expect(&x, "GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\n\r\n",
           H1_TOO_MANY_FIELDS);
    free(x.mem);
}

/* ---- what a request says ---- */

static void a_request_is_taken_apart(void **state)
{
    struct parsed x;
    good(&x, REQUEST_HEAD,
         "\r\nPUT /a/b?c=d?e HTTP/1.1\r\nhOST:  ex.com:8080 \r\n"
         "X-Y:z\r\nContent-Length: 12\r\n\r\n");
    struct http_head *h = &x.head;
    (void)state;
    assert_int_equal(h->method, HTTP_PUT);
    assert_int_equal(h->version, 11);
    assert_int_equal(h->form, HTTP_FORM_ORIGIN);
    assert_str(http_str(h, h->method_text), "PUT");
    assert_str(http_str(h, h->target), "/a/b?c=d?e");
    assert_str(http_str(h, h->path), "/a/b");
    assert_true(h->has_query);
    assert_str(http_str(h, h->query), "c=d?e");
    assert_str(http_str(h, h->authority), "ex.com:8080");
    assert_int_equal(h->n_fields, 3);
    assert_int_equal(h->fields[0].id, HTTP_HOST);
    assert_int_equal(h->fields[1].id, HTTP_OTHER);
    assert_str(http_name(h, &h->fields[1]), "X-Y");
    assert_str(http_value(h, &h->fields[1]), "z");
    assert_int_equal(h->body, HTTP_BODY_LENGTH);
    assert_int_equal(h->content_length, 12);
    assert_true(h->keep_alive);
    free(x.mem);
}

static void a_question_mark_without_query_is_told_from_none(void **state)
{
    struct parsed x;
    good(&x, REQUEST_HEAD, "GET /a? HTTP/1.0\r\n\r\n");
    (void)state;
    assert_true(x.head.has_query);
    assert_int_equal(x.head.query.len, 0);
    assert_str(http_str(&x.head, x.head.path), "/a");
    free(x.mem);
    good(&x, REQUEST_HEAD, "GET /a HTTP/1.0\r\n\r\n");
    assert_false(x.head.has_query);
    assert_int_equal(x.head.authority.len, 0);
    free(x.mem);
}

static void forms_of_targets_give_authority_and_path(void **state)
{
    static const struct {
        const char *text;
        enum http_target_form form;
        const char *authority, *path, *query;
    } rows[] = {
        {"GET http://a:80/p?q HTTP/1.1\r\nHost: A\r\n\r\n", HTTP_FORM_ABSOLUTE, "a:80", "/p", "q"},
        {"GET HTTPS://a HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_FORM_ABSOLUTE, "a", "/", ""},
        {"GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_FORM_ABSOLUTE, "a", "/", "q"},
        {"GET http://[::1]:8/ HTTP/1.1\r\nHost: [::1]:8\r\n\r\n", HTTP_FORM_ABSOLUTE, "[::1]:8",
         "/", ""},
        {"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", HTTP_FORM_AUTHORITY, "a:443", "", ""},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_FORM_ASTERISK, "a", "*", ""},
        {"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_FORM_ASTERISK, "a", "/", ""},
        {"OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_FORM_ABSOLUTE, "a", "/", ""},
        {"GET //a/b HTTP/1.1\r\nHost: h\r\n\r\n", HTTP_FORM_ORIGIN, "h", "//a/b", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct parsed x;
        good(&x, REQUEST_HEAD, rows[i].text);
        assert_int_equal(x.head.form, rows[i].form);
        assert_str(http_str(&x.head, x.head.authority), rows[i].authority);
        assert_str(http_str(&x.head, x.head.path), rows[i].path);
        assert_str(http_str(&x.head, x.head.query), rows[i].query);
        free(x.mem);
    }
}

static void connection_decides_about_keeping_it(void **state)
{
    static const struct {
        const char *version, *connection;
        bool keep_alive, upgrade;
    } rows[] = {
        {"1.1", "X: y", true, false},
        {"1.1", "Connection: close", false, false},
        {"1.1", "Connection: foo, CLOSE", false, false},
        {"1.1", "Connection: foo\r\nConnection: close", false, false},
        {"1.1", "Connection: closed", true, false},
        {"1.1", "Proxy-Connection: close", true, false},
        {"1.0", "X: y", false, false},
        {"1.0", "Connection: Keep-Alive", true, false},
        {"1.0", "Connection: keep-alive, close", false, false},
        {"1.1", "Connection: Upgrade\r\nUpgrade: websocket", true, true},
        {"1.1", "Connection: upgrade", true, false},
        {"1.1", "Upgrade: websocket", true, false},
        {"1.0", "Connection: upgrade\r\nUpgrade: websocket", false, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[200];
        snprintf(text, sizeof(text), "GET / HTTP/%s\r\nHost: h\r\n%s\r\n\r\n", rows[i].version,
                 rows[i].connection);
        struct parsed x;
        good(&x, REQUEST_HEAD, text);
        if (x.head.keep_alive != rows[i].keep_alive || x.head.upgrade != rows[i].upgrade)
            fail_msg("%s %s: keep_alive %d, upgrade %d", rows[i].version, rows[i].connection,
                     x.head.keep_alive, x.head.upgrade);
        free(x.mem);
    }
}

static void only_http_1_1_may_expect_a_100(void **state)
{
    struct parsed x;
    good(&x, REQUEST_HEAD,
         "POST / HTTP/1.1\r\nHost: h\r\nTE: gzip, trailers\r\n"
         "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"
         "\r\n");
    (void)state;
    assert_true(x.head.expect_continue);
    assert_true(x.head.te_trailers);
    assert_int_equal(x.head.body, HTTP_BODY_CHUNKED);
    free(x.mem);
    good(&x, REQUEST_HEAD, "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
    assert_false(x.head.expect_continue);
    assert_false(x.head.te_trailers);
    free(x.mem);
}

/* ---- what a response says ---- */

static void the_body_of_a_response_depends_on_what_it_answers(void **state)
{
    static const struct {
        enum http_method to;
        const char *text;
        enum http_body body;
        bool has_length, keep_alive;
    } rows[] = {
        {HTTP_GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_BODY_LENGTH, true, true},
        {HTTP_GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BODY_CHUNKED,
         false, true},
        {HTTP_GET, "HTTP/1.1 200 OK\r\n\r\n", HTTP_BODY_CLOSE, false, false},
        {HTTP_HEAD, "HTTP/1.1 200 OK\r\n\r\n", HTTP_BODY_NONE, false, true},
        {HTTP_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_BODY_NONE, true, true},
        {HTTP_HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BODY_NONE, false,
         true},
        {HTTP_GET, "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", HTTP_BODY_NONE, true, true},
        {HTTP_GET, "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", HTTP_BODY_NONE, false, true},
        {HTTP_GET, "HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\n", HTTP_BODY_NONE, false, true},
        {HTTP_CONNECT, "HTTP/1.1 200 x\r\nContent-Length: 5\r\n\r\n", HTTP_BODY_NONE, true, true},
        {HTTP_CONNECT, "HTTP/1.1 400 x\r\nContent-Length: 5\r\n\r\n", HTTP_BODY_LENGTH, true, true},
        {HTTP_GET, "HTTP/1.0 200 x\r\nContent-Length: 5\r\n\r\n", HTTP_BODY_LENGTH, true, false},
        {HTTP_GET, "HTTP/1.0 200 x\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n",
         HTTP_BODY_LENGTH, true, true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct parsed x = parsed(RESPONSE_HEAD);
        x.to = rows[i].to;
        expect(&x, rows[i].text, H1_DONE);
        if (x.head.body != rows[i].body || x.head.has_content_length != rows[i].has_length ||
            x.head.keep_alive != rows[i].keep_alive)
            fail_msg("%s: body %d, has length %d, keep_alive %d", rows[i].text, x.head.body,
                     x.head.has_content_length, x.head.keep_alive);
        free(x.mem);
    }
}

static void a_status_line_is_taken_apart(void **state)
{
    struct parsed x;
    good(&x, RESPONSE_HEAD, "HTTP/1.1 404 Not  Found\r\n\r\n");
    (void)state;
    assert_int_equal(x.head.status, 404);
    assert_str(http_str(&x.head, x.head.reason), "Not  Found");
    free(x.mem);
    good(&x, RESPONSE_HEAD, "HTTP/1.0 100\r\n\r\n");
    assert_int_equal(x.head.status, 100);
    assert_int_equal(x.head.version, 10);
    assert_int_equal(x.head.reason.len, 0);
    free(x.mem);
}

static void lines_may_end_in_lf_where_it_is_allowed_and_only_in_responses(void **state)
{
    struct parsed x = parsed(RESPONSE_HEAD);
    (void)state;
    x.limits.bare_lf = true;
    expect(&x, "HTTP/1.1 200 OK\nA: b \nC:\r\nContent-Length: 3\n\nabc", H1_DONE);
    assert_int_equal(x.head.n_fields, 3);
    assert_str(http_value(&x.head, &x.head.fields[0]), "b");
    assert_int_equal(x.head.content_length, 3);
    free(x.mem);
    expect(&x, "HTTP/1.1 200 OK\nA: b\rC: d\n\n", H1_BARE_CR);
    free(x.mem);
    x = parsed(REQUEST_HEAD);
    x.limits.bare_lf = true;
    expect(&x, "GET / HTTP/1.1\nHost: h\n\n", H1_BARE_LF);
    free(x.mem);
}

static void sixty_four_options_in_connection_are_read(void **state)
{
    struct strbuf text = {0};
    struct parsed x;

    (void)state;
    strbuf_add_cstr(&text, "GET / HTTP/1.1\r\nHost: h\r\nConnection: ");
    for (int i = 0; i < 63; i++)
        strbuf_add_cstr(&text, "a,");
    strbuf_add_cstr(&text, "close\r\n\r\n"); /* one more is a row of the table */
    good(&x, REQUEST_HEAD, text.p);
    assert_false(x.head.keep_alive);
    free(x.mem);
    strbuf_fini(&text);
}

/* ---- trailers ---- */

static void trailers_lose_what_may_not_stand_there(void **state)
{
    struct parsed x;
    good(&x, TRAILER_SECTION,
         "Checksum: abc\r\nContent-Length: 5\r\nHost: evil\r\n"
         "Authorization: x\r\nETag: \"y\"\r\nVia: z\r\n\r\nmore");
    (void)state;
    assert_int_equal(x.head.n_fields, 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(x.head.fields[i].id == HTTP_DROPPED, i != 0 && i != 4);
    free(x.mem);
}

static void a_trailer_section_may_be_empty_and_is_as_strict(void **state)
{
    struct parsed x;
    good(&x, TRAILER_SECTION, "\r\nGET");
    (void)state;
    assert_int_equal(x.at, 2);
    assert_int_equal(x.head.n_fields, 0);
    free(x.mem);
    x = parsed(TRAILER_SECTION);
    expect(&x, "A : b\r\n\r\n", H1_SPACE_BEFORE_COLON);
    free(x.mem);
    expect(&x, " A: b\r\n\r\n", H1_OBS_FOLD);
    free(x.mem);
    expect(&x, "A: b\n\r\n", H1_BARE_LF);
    free(x.mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_get_the_verdict_of_the_table),
        cmocka_unit_test(responses_get_the_verdict_of_the_table),
        cmocka_unit_test(each_verdict_has_code_words_and_status),
        cmocka_unit_test(every_byte_is_judged_alike_at_every_place_by_every_level),
        cmocka_unit_test(a_nul_is_refused_wherever_it_stands),
        cmocka_unit_test(a_head_may_have_just_the_bytes_of_the_limit),
        cmocka_unit_test(bytes_behind_the_head_do_not_count),
        cmocka_unit_test(a_name_has_at_most_255_bytes),
        cmocka_unit_test(fields_are_limited_by_the_room_that_is_there_too),
        cmocka_unit_test(a_request_is_taken_apart),
        cmocka_unit_test(a_question_mark_without_query_is_told_from_none),
        cmocka_unit_test(forms_of_targets_give_authority_and_path),
        cmocka_unit_test(connection_decides_about_keeping_it),
        cmocka_unit_test(only_http_1_1_may_expect_a_100),
        cmocka_unit_test(the_body_of_a_response_depends_on_what_it_answers),
        cmocka_unit_test(a_status_line_is_taken_apart),
        cmocka_unit_test(lines_may_end_in_lf_where_it_is_allowed_and_only_in_responses),
        cmocka_unit_test(sixty_four_options_in_connection_are_read),
        cmocka_unit_test(trailers_lose_what_may_not_stand_there),
        cmocka_unit_test(a_trailer_section_may_be_empty_and_is_as_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
