/* test_fcgi.c - FastCGI's records: whole, in two parts, byte by byte, and those that will not do.
 */
#include "lb/http/fcgi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What was read, as a text: "o:hello e:oops end 0/3" */
struct told {
    char text[512];
    char last; /* the stream that the last piece was of */
    size_t used;
    struct fcgi_reader r;
    enum fcgi_event event;
};

static void add(struct told *t, char kind, const uint8_t *data, uint32_t len)
{
    if (t->last != kind) {
        size_t n = strlen(t->text);
        snprintf(t->text + n, sizeof(t->text) - n, "%s%c:", n > 0 ? " " : "", kind);
        t->last = kind;
    }
    strncat(t->text, (const char *)data, len);
}

/* All events of n bytes, from memory of just that size. */
static void feed(struct told *t, const char *bytes, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    uint32_t at, used, done = 0;

    memcpy(copy, bytes, n);
    do {
        t->event = fcgi_read(&t->r, copy + done, (uint32_t)n - done, &at, &used);
        assert_true(at <= used && used <= n - done);
        if (t->event == FCGI_EVENT_STDOUT || t->event == FCGI_EVENT_STDERR)
            add(t, t->event == FCGI_EVENT_STDOUT ? 'o' : 'e', copy + done + at, used - at);
        if (t->event == FCGI_EVENT_MORE)
            assert_int_equal(used, n - done);
        done += used;
    } while (t->event == FCGI_EVENT_STDOUT || t->event == FCGI_EVENT_STDERR);
    t->used += done;
    free(copy);
}

static bool is_over(const struct told *t)
{
    return t->event == FCGI_EVENT_END || t->event == FCGI_EVENT_BAD;
}

static void read_split(struct told *t, const char *bytes, size_t len, size_t first, size_t others)
{
    size_t at = 0, n = first;

    *t = (struct told){0};
    while (at < len && !is_over(t)) {
        n = n < len - at ? n : len - at;
        feed(t, bytes + at, n);
        at += n;
        n = others;
    }
    size_t have = strlen(t->text);
    if (t->event == FCGI_EVENT_END)
        snprintf(t->text + have, sizeof(t->text) - have, " end %u/%u", t->r.protocol, t->r.app);
    else if (t->event == FCGI_EVENT_BAD)
        snprintf(t->text + have, sizeof(t->text) - have, " bad %s", t->r.bad);
}

static void check_read(const char *bytes, size_t len, const char *wanted)
{
    struct told t;

    for (size_t first = 0; first <= len; first++) {
        read_split(&t, bytes, len, first, first == 0 ? 1 : len);
        assert_string_equal(t.text, wanted);
    }
}
#define CHECK_READ(bytes, wanted) check_read(bytes, sizeof(bytes) - 1, wanted)

#define STDOUT_5 "\1\6\0\1\0\5\0\0hello"
#define PADDED   "\1\6\0\1\0\2\3\0ab\0\0\0"
#define NOTHING  "\1\6\0\1\0\0\0\0"
#define STDERR_4 "\1\7\0\1\0\4\0\0oops"
#define END_0    "\1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0"
#define END_APP  "\1\3\0\1\0\10\2\0\0\0\1\2\3\0\0\0xx"
#define VALUES   "\1\12\0\0\0\3\1\0abc\0"

static void pieces_come_out_of_their_records(void **state)
{
    (void)state;
    CHECK_READ(STDOUT_5 END_0, "o:hello end 0/0");
    CHECK_READ(STDOUT_5 PADDED NOTHING END_0, "o:helloab end 0/0");
    CHECK_READ(STDERR_4 STDOUT_5 STDERR_4 END_0, "e:oops o:hello e:oops end 0/0");
    CHECK_READ(NOTHING NOTHING END_0, " end 0/0");
    CHECK_READ(VALUES STDOUT_5 END_0, "o:hello end 0/0");
}

static void the_end_tells_how_it_went(void **state)
{
    (void)state;
    CHECK_READ(END_APP, " end 3/258");
}

static void what_follows_the_end_is_not_read(void **state)
{
    struct told t;

    (void)state;
    read_split(&t, END_0 STDOUT_5, sizeof(END_0 STDOUT_5) - 1, 1000, 1000);
    assert_string_equal(t.text, " end 0/0");
    assert_int_equal(t.used, 16);
}

static void what_is_not_an_answer_is_refused(void **state)
{
    (void)state;
    CHECK_READ("HTTP/1.1 400 Bad", " bad not-fastcgi");
    CHECK_READ("\2\6\0\1\0\5\0\0", " bad not-fastcgi");
    CHECK_READ("\1\6\0\2\0\5\0\0", " bad record-of-another-request");
    CHECK_READ("\1\3\0\0\0\10\0\0", " bad record-of-another-request");
    CHECK_READ("\1\3\0\1\0\7\0\0", " bad bad-end-request");
    CHECK_READ("\1\4\0\1\0\0\0\0", " bad unexpected-record");
    CHECK_READ("\1\12\0\1\0\0\0\0", " bad unexpected-record");
    CHECK_READ("\1\377\0\1\0\0\0\0", " bad unexpected-record");
    CHECK_READ(STDOUT_5 "\0\6\0\1\0\5\0\0", "o:hello bad not-fastcgi");
}

static void heads_are_written(void **state)
{
    char out[FCGI_BEGIN_BYTES];

    (void)state;
    assert_int_equal(fcgi_head(FCGI_STDIN, 65535, out), 8);
    assert_memory_equal(out, "\1\5\0\1\377\377\0\0", 8);
    assert_int_equal(fcgi_begin(false, out), 16);
    assert_memory_equal(out, "\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0", 16);
    assert_int_equal(fcgi_begin(true, out), 16);
    assert_memory_equal(out, "\1\1\0\1\0\10\0\0\0\1\1\0\0\0\0\0", 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_come_out_of_their_records),
        cmocka_unit_test(the_end_tells_how_it_went),
        cmocka_unit_test(what_follows_the_end_is_not_read),
        cmocka_unit_test(what_is_not_an_answer_is_refused),
        cmocka_unit_test(heads_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
