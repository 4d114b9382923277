/* test_top_text.c - numbers for people, columns on a terminal. */
#include "lb/main/top_text.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define assert_shows(fn, n, text)                                                                  \
    do {                                                                                           \
        char buf[TOP_TEXT_MAX];                                                                    \
        assert_string_equal(fn(n, buf), text);                                                     \
    } while (0)

static void durations_are_short(void **state)
{
    (void)state;
    assert_shows(top_duration, 0, "0s");
    assert_shows(top_duration, 59, "59s");
    assert_shows(top_duration, 60, "1m");
    assert_shows(top_duration, 3599, "59m");
    assert_shows(top_duration, 3600, "1h00m");
    assert_shows(top_duration, 35999, "9h59m");
    assert_shows(top_duration, 36000, "10h");
    assert_shows(top_duration, 359999, "99h");
    assert_shows(top_duration, 360000, "4d");
    assert_shows(top_duration, 86400000 - 1, "999d");
    assert_shows(top_duration, 86400000, "2y");
    assert_shows(top_duration, UINT64_MAX, "7355y");
}

static void counts_have_at_most_four_columns(void **state)
{
    (void)state;
    assert_shows(top_count, 0, "0");
    assert_shows(top_count, 999, "999");
    assert_shows(top_count, 1000, "1.0k");
    assert_shows(top_count, 9999, "9.9k");
    assert_shows(top_count, 10000, "10k");
    assert_shows(top_count, 999999, "999k");
    assert_shows(top_count, 1000000, "1.0M");
    assert_shows(top_count, UINT64_MAX, "18E");
}

static void bytes_count_by_1024(void **state)
{
    (void)state;
    assert_shows(top_bytes, 1023, "1023");
    assert_shows(top_bytes, 1024, "1.0k");
    assert_shows(top_bytes, 2047, "1.9k");
    assert_shows(top_bytes, 1024 * 1024 - 1, "1023k");
    assert_shows(top_bytes, 1024 * 1024, "1.0M");
    assert_shows(top_bytes, UINT64_MAX, "15E");
}

static void latencies_have_their_unit(void **state)
{
    (void)state;
    assert_shows(top_latency, 0, "0u");
    assert_shows(top_latency, 999, "999u");
    assert_shows(top_latency, 1000, "1.0ms");
    assert_shows(top_latency, 9999, "9.9ms");
    assert_shows(top_latency, 10000, "10ms");
    assert_shows(top_latency, 999999, "999ms");
    assert_shows(top_latency, 1000000, "1.0s");
    assert_shows(top_latency, 12345678, "12s");
    assert_shows(top_latency, 600000000, "10m");
}

static void pads(const char *text, uint32_t columns, bool right, const char *expected)
{
    struct strbuf out = {0};

    strbuf_add_cstr(&out, "");
    top_pad(&out, str_of(text), columns, right);
    assert_string_equal(out.p, expected);
    strbuf_fini(&out);
}

static void text_is_filled_and_cut(void **state)
{
    (void)state;
    pads("ab", 4, false, "ab  ");
    pads("ab", 4, true, "  ab");
    pads("abcd", 4, true, "abcd");
    pads("abcde", 4, false, "abc~");
    pads("abcde", 1, false, "~");
    pads("abcde", 0, false, "");
    pads("", 2, false, "  ");
}

static void wide_characters_take_two_columns(void **state)
{
    (void)state;
    assert_int_equal(top_width(STR("\xe6\xb0\xb4")), 2);
    assert_int_equal(top_width(STR("\xc3\xa4")), 1);
    pads("\xe6\xb0\xb4x", 4, false, "\xe6\xb0\xb4x ");
    pads("\xe6\xb0\xb4\xe6\xb0\xb4", 3, false, "\xe6\xb0\xb4~");
    pads("x\xe6\xb0\xb4\xe6\xb0\xb4", 4, false, "x\xe6\xb0\xb4~");
    pads("\xe6\xb0\xb4\xe6\xb0\xb4", 2, false, " ~");
}

/* Why: names and what a check saw come from elsewhere, and a terminal obeys what it reads. */
static void what_steers_a_terminal_does_not_get_through(void **state)
{
    (void)state;
    pads("a\x1b[2J", 6, false, "a?[2J ");
    pads("\xff\xc3", 3, false, "?? ");
    pads("\xc2\x9b", 3, false, "?? ");
    pads("a\n\tb", 4, false, "a??b");
    pads("e\xcc\x81", 3, false, "e? ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_short),
        cmocka_unit_test(counts_have_at_most_four_columns),
        cmocka_unit_test(bytes_count_by_1024),
        cmocka_unit_test(latencies_have_their_unit),
        cmocka_unit_test(text_is_filled_and_cut),
        cmocka_unit_test(wide_characters_take_two_columns),
        cmocka_unit_test(what_steers_a_terminal_does_not_get_through),
    };
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
