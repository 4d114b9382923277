/* test_h1_write.c - heads to bytes: lines framed anew, framing from the arguments alone. */
#include "lb/http/h1_write.h"

#include "lb/base/arena.h"
#include "lb/http/h1_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct h1_limits limits = {.head_bytes = 4096, .target_bytes = 1000, .fields = 16};

struct fixture {
    char text[4096], out[8192];
    struct http_field fields[16];
    struct http_head head;
};

static void parse(struct fixture *f, const char *text, bool response)
{
    struct h1_parser p = {0};
    f->head = (struct http_head){.fields = f->fields, .max_fields = 16};
    snprintf(f->text, sizeof(f->text), "%s", text);
    uint32_t len = (uint32_t)strlen(f->text);
    assert_int_equal(response ? h1_parse_response(&p, f->text, len, &limits, HTTP_GET, &f->head)
                              : h1_parse_request(&p, f->text, len, &limits, &f->head),
                     H1_DONE);
}

/* Into memory of just the size that was announced. */
static void expect_request(struct fixture *f, const struct h1_request_line *line,
                           const struct h1_framing *framing, const char *want)
{
    size_t max = h1_request_size(&f->head, line);
    char *out = malloc(max);
    size_t n = h1_write_request(&f->head, line, framing, out);
    assert_true(n <= max);
    snprintf(f->out, sizeof(f->out), "%.*s", (int)n, out);
    free(out);
    assert_string_equal(f->out, want);
}

static void expect_response(struct fixture *f, const struct h1_framing *framing, const char *want)
{
    size_t max = h1_response_size(&f->head);
    char *out = malloc(max);
    size_t n = h1_write_response(&f->head, framing, out);
    assert_true(n <= max);
    snprintf(f->out, sizeof(f->out), "%.*s", (int)n, out);
    free(out);
    assert_string_equal(f->out, want);
}

static const struct h1_request_line get = {{"GET", 3}, {"/x", 2}, {"h", 1}};

static void host_comes_first_and_once(void **state)
{
    static struct fixture f;
    (void)state;
    parse(&f, "GET http://other/ HTTP/1.1\r\nA: b\r\nHost: other\r\nC: d\r\n\r\n", false);
    expect_request(&f, &get, &(struct h1_framing){0},
                   "GET /x HTTP/1.1\r\nHost: h\r\nA: b\r\nC: d\r\n\r\n");
}

static void fields_are_framed_anew(void **state)
{
    static struct fixture f;
    (void)state;
    parse(&f,
          "GET / HTTP/1.1\r\nHost: h\r\nA:b\r\nC:  d \t\r\nE:\r\nF: \r\nG:\th\r\ni: j\r\nk: "
          "l\r\n\r\n",
          false);
    expect_request(&f, &get, &(struct h1_framing){0},
                   "GET /x HTTP/1.1\r\nHost: h\r\nA: b\r\nC: d\r\nE: \r\nF: \r\nG: h\r\ni: j\r\n"
                   "k: l\r\n\r\n");
}

static void dropped_fields_are_left_out_and_added_ones_written(void **state)
{
    static struct fixture f;
    struct arena_pool pool;
    struct arena arena;
    (void)state;
    arena_pool_init(&pool);
    arena_init(&arena, &pool);
    parse(&f, "GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n", false);
    http_drop_name(&f.head, STR("B"));
    assert_int_equal(http_head_add(&f.head, &arena, STR("E"), STR("5")), 0);
    assert_int_equal(http_head_set(&f.head, &arena, STR("C"), STR("6")), 0);
    expect_request(&f, &get, &(struct h1_framing){0},
                   "GET /x HTTP/1.1\r\nHost: h\r\nA: 1\r\nD: 4\r\nE: 5\r\nC: 6\r\n\r\n");
    arena_fini(&arena);
    arena_pool_fini(&pool);
}

static void framing_comes_from_the_arguments(void **state)
{
    static const struct {
        struct h1_framing framing;
        const char *want;
    } rows[] = {
        {{.connection = H1_CONN_CLOSE}, "Connection: close\r\n"},
        {{.connection = H1_CONN_KEEP_ALIVE}, "Connection: keep-alive\r\n"},
        {{.connection = H1_CONN_UPGRADE}, "Connection: upgrade\r\n"},
        {{.te_trailers = true}, "TE: trailers\r\nConnection: TE\r\n"},
        {{.te_trailers = true, .connection = H1_CONN_CLOSE},
         "TE: trailers\r\nConnection: close, TE\r\n"},
        {{.body = HTTP_BODY_CHUNKED}, "Transfer-Encoding: chunked\r\n"},
        {{.body = HTTP_BODY_LENGTH, .content_length = UINT64_MAX},
         "Content-Length: 18446744073709551615\r\n"},
        {{.body = HTTP_BODY_LENGTH}, "Content-Length: 0\r\n"},
        {{.body = HTTP_BODY_NONE, .content_length = 7}, ""},
        {{.body = HTTP_BODY_NONE, .content_length = 7, .has_content_length = true},
         "Content-Length: 7\r\n"},
        {{.body = HTTP_BODY_CLOSE}, ""},
    };
    static struct fixture f;
    (void)state;
    parse(&f, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", false);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char want[300];
        snprintf(want, sizeof(want), "GET /x HTTP/1.1\r\nHost: h\r\n%s\r\n", rows[i].want);
        expect_request(&f, &get, &rows[i].framing, want);
    }
}

static void responses_are_http_1_1_with_the_reason_that_came(void **state)
{
    static struct fixture f;
    (void)state;
    parse(&f, "HTTP/1.0 404 Gone  fishing\r\nA: b\r\n\r\n", true);
    expect_response(&f,
                    &(struct h1_framing){.connection = H1_CONN_CLOSE, .body = HTTP_BODY_CHUNKED},
                    "HTTP/1.1 404 Gone  fishing\r\nA: b\r\nConnection: close\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n");
    parse(&f, "HTTP/1.1 200\r\n\r\n", true);
    expect_response(&f, &(struct h1_framing){0}, "HTTP/1.1 200 \r\n\r\n");
}

static void trailers_end_with_an_empty_line(void **state)
{
    static struct fixture f;
    struct h1_parser p = {0};
    char text[] = "A:b\r\nHost: x\r\nC: d\r\n\r\n", out[200];
    (void)state;
    f.head = (struct http_head){.fields = f.fields, .max_fields = 16};
    assert_int_equal(h1_parse_trailers(&p, text, sizeof(text) - 1, &limits, &f.head), H1_DONE);
    assert_true(h1_trailers_size(&f.head) <= sizeof(out));
    size_t n = h1_write_trailers(&f.head, out);
    assert_int_equal(n, 14);
    assert_memory_equal(out, "A: b\r\nC: d\r\n\r\n", n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_comes_first_and_once),
        cmocka_unit_test(fields_are_framed_anew),
        cmocka_unit_test(dropped_fields_are_left_out_and_added_ones_written),
        cmocka_unit_test(framing_comes_from_the_arguments),
        cmocka_unit_test(responses_are_http_1_1_with_the_reason_that_came),
        cmocka_unit_test(trailers_end_with_an_empty_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
