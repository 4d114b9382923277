/* test_check_http_parse.c - answers to health checks, whole and in pieces of every size. */
#include "health/check_http_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct result {
    enum check_http_event last; /* DONE, BAD, or MORE: it waits for more */
    bool head;
    uint16_t status;
    const char *problem;
    char body[70000];
    size_t body_len;
};

static void feed(struct check_http *p, struct str data, struct result *r)
{
    struct str body;

    for (;;) {
        r->last = check_http_next(p, &data, &body);
        if (r->last == CHECK_HTTP_HEAD) {
            assert_false(r->head); /* once */
            r->head = true;
            r->status = p->status;
        } else if (r->last == CHECK_HTTP_BODY) {
            assert_true(r->head && body.len > 0);
            assert_true(r->body_len + body.len <= sizeof(r->body));
            memcpy(r->body + r->body_len, body.p, body.len);
            r->body_len += body.len;
        } else {
            break;
        }
    }
    r->problem = p->problem;
}

static struct result parsed;

/* In pieces of `piece` bytes, each at the very end of memory of its own; then the end. */
static const struct result *parse_pieces(struct str text, size_t piece, bool head_request, bool end)
{
    struct check_http p;

    memset(&parsed, 0, sizeof(parsed));
    check_http_init(&p, head_request);
    for (size_t at = 0; at < text.len && parsed.last == CHECK_HTTP_MORE; at += piece) {
        size_t n = text.len - at < piece ? text.len - at : piece;
        char *copy = malloc(n);
        memcpy(copy, text.p + at, n);
        feed(&p, (struct str){copy, n}, &parsed);
        free(copy);
    }
    if (end && parsed.last == CHECK_HTTP_MORE) {
        parsed.last = check_http_eof(&p);
        parsed.problem = p.problem;
    }
    return &parsed;
}

/* All piece sizes must agree. body NULL: not looked at. */
static void assert_parsed(const char *text, bool end, enum check_http_event last, uint16_t status,
                          const char *body, const char *problem)
{
    for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
        const struct result *r = parse_pieces(str_of(text), piece, false, end);
        if (r->last != last || r->status != status)
            fail_msg("pieces of %zu: event %d status %u (%s) for \"%s\"", piece, r->last, r->status,
                     r->problem ? r->problem : "no problem", text);
        if (problem != NULL)
            assert_string_equal(r->problem, problem);
        if (body != NULL) {
            assert_int_equal(r->body_len, strlen(body));
            assert_memory_equal(r->body, body, r->body_len);
        }
    }
}

static void status_lines(void **state)
{
    (void)state;
    assert_parsed("HTTP/1.1 200 OK\r\n\r\n", false, CHECK_HTTP_MORE, 200, "", NULL);
    assert_parsed("HTTP/1.0 200\r\n\r\n", false, CHECK_HTTP_MORE, 200, "", NULL);
    assert_parsed("HTTP/1.1 999 \n\n", true, CHECK_HTTP_DONE, 999, "", NULL);
    static const char *const bad[] = {
        "HTTP/1.1 099 x\r\n\r\n",   "HTTP/1.1 20 OK\r\n\r\n",  "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1. 200 OK\r\n\r\n",  "HTTP/1.1x200 OK\r\n\r\n",
        "HTTP/2 200\r\n\r\n",       "http/1.1 200 OK\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_parsed(bad[i], false, CHECK_HTTP_BAD, 0, "", "not an HTTP/1 status line");
}

static void what_cannot_be_http_is_refused_before_its_line_ends(void **state)
{
    (void)state;
    assert_parsed("S", false, CHECK_HTTP_BAD, 0, "", "not an HTTP/1 status line");
    assert_parsed("HTTP/2", false, CHECK_HTTP_BAD, 0, "", "not an HTTP/1 status line");
    assert_parsed("HTTP/1", false, CHECK_HTTP_MORE, 0, "", NULL);
}

static void framing_by_length(void **state)
{
    (void)state;
    assert_parsed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, CHECK_HTTP_DONE, 200,
                  "hello", NULL);
    assert_parsed("HTTP/1.1 200 OK\r\ncontent-length:5 \r\n\r\nhello more", false, CHECK_HTTP_DONE,
                  200, "hello", NULL);
    assert_parsed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true, CHECK_HTTP_DONE, 200, "",
                  NULL);
    assert_parsed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", false,
                  CHECK_HTTP_DONE, 200, "hello", NULL);
    assert_parsed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", false,
                  CHECK_HTTP_BAD, 0, "", "two different Content-Length fields");
    assert_parsed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", false, CHECK_HTTP_MORE, 200,
                  "hell", NULL);
    assert_parsed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", true, CHECK_HTTP_BAD, 200,
                  "hell", "closed within the body");
    static const char *const bad[] = {"-1", "5x", "", "0x5", "5, 5", "99999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[100];
        snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n", bad[i]);
        assert_parsed(text, false, CHECK_HTTP_BAD, 0, "", "Content-Length is not a number");
    }
}

static void framing_by_chunks(void **state)
{
    (void)state;
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert_parsed(CHUNKED "5\r\nhello\r\n0\r\n\r\n", false, CHECK_HTTP_DONE, 200, "hello", NULL);
    assert_parsed(CHUNKED "2;a=\"b\"\r\nhe\r\n03 \r\nllo\r\n00;x\r\nT: v\r\n\r\nmore", false,
                  CHECK_HTTP_DONE, 200, "hello", NULL);
    assert_parsed(CHUNKED "A\nhellohello\n0\n\n", false, CHECK_HTTP_DONE, 200, "hellohello", NULL);
    assert_parsed(CHUNKED "5\r\nhello\r\n0\r\n", false, CHECK_HTTP_MORE, 200, "hello", NULL);
    assert_parsed(CHUNKED "5\r\nhello\r\n0\r\n", true, CHECK_HTTP_BAD, 200, "hello",
                  "closed within the body");
    assert_parsed(CHUNKED "5\r\nhelloX\r\n", false, CHECK_HTTP_BAD, 200, "hello",
                  "a chunk longer than its size");
    static const char *const bad[] = {"x\r\n",  "\r\n",    "-5\r\n",
                                      "5x\r\n", "0x5\r\n", "1000000000000000\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[100];
        snprintf(text, sizeof(text), CHUNKED "%s", bad[i]);
        assert_parsed(text, false, CHECK_HTTP_BAD, 200, "", "a chunk size that is no number");
    }
    assert_parsed("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip , Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
                  false, CHECK_HTTP_DONE, 200, "x", NULL);
    /* Not chunked last: until the end. */
    assert_parsed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n1\r\nx", true,
                  CHECK_HTTP_DONE, 200, "1\r\nx", NULL);
    assert_parsed("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                  false, CHECK_HTTP_BAD, 0, "", "both Content-Length and chunked");
}

static void without_framing_the_body_lasts_until_the_end(void **state)
{
    (void)state;
    assert_parsed("HTTP/1.1 200 OK\r\n\r\nany\r\n\r\nthing", false, CHECK_HTTP_MORE, 200,
                  "any\r\n\r\nthing", NULL);
    assert_parsed("HTTP/1.1 200 OK\r\n\r\nany\r\n\r\nthing", true, CHECK_HTTP_DONE, 200,
                  "any\r\n\r\nthing", NULL);
    assert_parsed("HTTP/1.1 200 OK\r\n\r\n", true, CHECK_HTTP_DONE, 200, "", NULL);
}

static void some_answers_have_no_body(void **state)
{
    (void)state;
    assert_parsed("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", false, CHECK_HTTP_DONE, 204,
                  "", NULL);
    assert_parsed("HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n", false, CHECK_HTTP_DONE,
                  304, "", NULL);
    const struct result *r =
        parse_pieces(STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), 100, true, true);
    assert_int_equal(r->last, CHECK_HTTP_DONE);
}

static void interim_answers_are_skipped(void **state)
{
    (void)state;
    assert_parsed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
                  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                  false, CHECK_HTTP_DONE, 200, "x", NULL);
    assert_parsed("HTTP/1.1 100 Continue\r\n\r\n", true, CHECK_HTTP_BAD, 0, "",
                  "closed within the header");
    assert_parsed("HTTP/1.1 101 Switching\r\n\r\n", false, CHECK_HTTP_MORE, 101, "", NULL);
    struct strbuf b = {0};
    for (int i = 0; i < CHECK_HTTP_INTERIM; i++)
        strbuf_add_cstr(&b, "HTTP/1.1 102 Wait\r\n\r\n");
    strbuf_add_cstr(&b, "HTTP/1.1 200 OK\r\n\r\n");
    assert_int_equal(parse_pieces(strbuf_str(&b), 1000, false, true)->last, CHECK_HTTP_DONE);
    strbuf_clear(&b);
    for (int i = 0; i < CHECK_HTTP_INTERIM + 1; i++)
        strbuf_add_cstr(&b, "HTTP/1.1 102 Wait\r\n\r\n");
    const struct result *r = parse_pieces(strbuf_str(&b), 1000, false, false);
    assert_string_equal(r->problem, "interim answers without end");
    strbuf_fini(&b);
}

static void broken_header_lines_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line, *problem;
    } rows[] = {
        {"no colon", "a header line without a name"},
        {": no name", "a header line without a name"},
        {"A: b\r\n folded", "a folded header line"},
        {"Content-Length : 5", "white space in a header name"},
        {"A: b\rc", "a control byte in a header line"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[100];
        snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n\r\n", rows[i].line);
        assert_parsed(text, false, CHECK_HTTP_BAD, 0, "", rows[i].problem);
    }
    const struct result *r =
        parse_pieces(STR("HTTP/1.1 200 OK\r\nA: \0b\r\n\r\n"), 1, false, false);
    assert_string_equal(r->problem, "a control byte in a header line");
}

static void long_lines_are_cut_where_they_do_not_matter(void **state)
{
    (void)state;
    struct strbuf b = {0};

    strbuf_add_cstr(&b, "HTTP/1.1 200 ");
    for (int i = 0; i < 1000; i++)
        strbuf_add_char(&b, 'r');
    strbuf_add_cstr(&b, "\r\nSet-Cookie: ");
    for (int i = 0; i < 8000; i++)
        strbuf_add_char(&b, 'c');
    strbuf_add_cstr(&b, "\r\nContent-Length: 1\r\n\r\nx");
    for (size_t piece = 1; piece < 600; piece += 37) {
        const struct result *r = parse_pieces(strbuf_str(&b), piece, false, false);
        assert_int_equal(r->last, CHECK_HTTP_DONE);
        assert_int_equal(r->status, 200);
    }
    strbuf_clear(&b);
    strbuf_add_cstr(&b, "HTTP/1.1 200 OK\r\nContent-Length: ");
    for (int i = 0; i < 300; i++)
        strbuf_add_char(&b, '0');
    strbuf_add_cstr(&b, "1\r\n\r\nx");
    assert_string_equal(parse_pieces(strbuf_str(&b), 100, false, false)->problem,
                        "an endless framing header");
    strbuf_fini(&b);
}

static void a_header_section_has_a_bound(void **state)
{
    (void)state;
    struct strbuf b = {0};
    const struct str line = STR("A: b\r\n"), first = STR("HTTP/1.1 200 OK\r\n");

    strbuf_add_str(&b, first);
    while (b.len + line.len + 2 <= CHECK_HTTP_HEAD_MAX)
        strbuf_add_str(&b, line);
    strbuf_add_cstr(&b, "\r\n");
    assert_int_equal(parse_pieces(strbuf_str(&b), 4096, false, true)->last, CHECK_HTTP_DONE);
    strbuf_drop_front(&b, first.len);
    struct strbuf longer = {0};
    strbuf_add_str(&longer, first);
    for (int i = 0; i < 8; i++)
        strbuf_add_str(&longer, line);
    strbuf_add_str(&longer, strbuf_str(&b));
    assert_string_equal(parse_pieces(strbuf_str(&longer), 4096, false, true)->problem,
                        "a header section without end");
    strbuf_fini(&b);
    strbuf_fini(&longer);
}

static void an_early_end_is_told_from_a_late_one(void **state)
{
    (void)state;
    assert_parsed("", true, CHECK_HTTP_BAD, 0, "", "closed without an answer");
    assert_parsed("HTTP/1.1 200", true, CHECK_HTTP_BAD, 0, "", "closed within the header");
    assert_parsed("HTTP/1.1 200 OK\r\nA: b\r\n", true, CHECK_HTTP_BAD, 0, "",
                  "closed within the header");
}

static void after_the_end_it_says_the_same_again(void **state)
{
    (void)state;
    struct check_http p;
    struct str body, in = STR("HTTP/1.1 204 No\r\n\r\n");

    check_http_init(&p, false);
    assert_int_equal(check_http_next(&p, &in, &body), CHECK_HTTP_HEAD);
    assert_int_equal(check_http_next(&p, &in, &body), CHECK_HTTP_DONE);
    assert_int_equal(check_http_next(&p, &in, &body), CHECK_HTTP_DONE);
    assert_int_equal(check_http_eof(&p), CHECK_HTTP_DONE);
    in = STR("nonsense");
    check_http_init(&p, false);
    assert_int_equal(check_http_next(&p, &in, &body), CHECK_HTTP_BAD);
    assert_int_equal(check_http_next(&p, &in, &body), CHECK_HTTP_BAD);
    assert_int_equal(check_http_eof(&p), CHECK_HTTP_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_lines),
        cmocka_unit_test(what_cannot_be_http_is_refused_before_its_line_ends),
        cmocka_unit_test(framing_by_length),
        cmocka_unit_test(framing_by_chunks),
        cmocka_unit_test(without_framing_the_body_lasts_until_the_end),
        cmocka_unit_test(some_answers_have_no_body),
        cmocka_unit_test(interim_answers_are_skipped),
        cmocka_unit_test(broken_header_lines_are_refused),
        cmocka_unit_test(long_lines_are_cut_where_they_do_not_matter),
        cmocka_unit_test(a_header_section_has_a_bound),
        cmocka_unit_test(an_early_end_is_told_from_a_late_one),
        cmocka_unit_test(after_the_end_it_says_the_same_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
