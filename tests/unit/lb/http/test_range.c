/* test_range.c - which bytes a Range field asks for. */
#include "lb/http/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct range_part parts[RANGE_PARTS_MAX];
static uint32_t n_parts;

static enum range_result parse(const char *value, uint64_t size)
{
    return range_parse(str_of(value), size, parts, &n_parts);
}

static void wants_one(const char *value, uint64_t size, uint64_t first, uint64_t len)
{
    assert_int_equal(parse(value, size), RANGE_PARTS);
    assert_int_equal(n_parts, 1);
    assert_int_equal(parts[0].first, first);
    assert_int_equal(parts[0].len, len);
}

static void one_part_is_cut_at_the_end_of_the_file(void **state)
{
    (void)state;
    wants_one("bytes=0-0", 10, 0, 1);
    wants_one("bytes=0-9", 10, 0, 10);
    wants_one("bytes=0-10", 10, 0, 10);
    wants_one("bytes=9-", 10, 9, 1);
    wants_one("bytes=-1", 10, 9, 1);
    wants_one("bytes=-10", 10, 0, 10);
    wants_one("bytes=-11", 10, 0, 10);
    wants_one("BYTES= 2-3 ,", 10, 2, 2);
}

static void numbers_beyond_64_bits_are_beyond_the_file(void **state)
{
    (void)state;
    wants_one("bytes=4-18446744073709551615", 10, 4, 6);
    wants_one("bytes=4-99999999999999999999999999", 10, 4, 6);
    wants_one("bytes=-99999999999999999999999999", 10, 0, 10);
    wants_one("bytes=0-", UINT64_MAX, 0, UINT64_MAX);
    assert_int_equal(parse("bytes=99999999999999999999999999-", 10), RANGE_UNSATISFIABLE);
}

static void what_is_not_there_is_unsatisfiable(void **state)
{
    (void)state;
    assert_int_equal(parse("bytes=10-", 10), RANGE_UNSATISFIABLE);
    assert_int_equal(parse("bytes=10-11, 20-21", 10), RANGE_UNSATISFIABLE);
    assert_int_equal(parse("bytes=-0", 10), RANGE_UNSATISFIABLE);
    assert_int_equal(parse("bytes=0-", 0), RANGE_UNSATISFIABLE);
    assert_int_equal(parse("bytes=-0", 0), RANGE_UNSATISFIABLE);
    assert_int_equal(n_parts, 0);
}

static void the_end_of_an_empty_file_is_all_of_it(void **state)
{
    (void)state;
    assert_int_equal(parse("bytes=-5", 0), RANGE_WHOLE);
}

static void several_parts_come_as_they_were_asked_for(void **state)
{
    (void)state;
    assert_int_equal(parse("bytes=8-,0-1,100-200,-0", 10), RANGE_PARTS);
    assert_int_equal(n_parts, 2);
    assert_int_equal(parts[0].first, 8);
    assert_int_equal(parts[0].len, 2);
    assert_int_equal(parts[1].first, 0);
    assert_int_equal(parts[1].len, 2);
}

static void what_is_not_understood_is_ignored(void **state)
{
    static const char *const bad[] = {
        "",           "bytes",         "bytes=",        "bytes=,",     "bytes=-",
        "bytes=a-b",  "bytes=1",       "bytes=5-4",     "bytes=0-1-2", "bytes=0-1;2",
        "bytes =0-1", "items=0-1",     "bytes=0-1,x",   "bytes=20-19", "bytes=--1",
        "bytes=+1-2", "bytes=0x1-0x2", "bytes=\"0-1\"", "bytes=1 - 2", "0-1",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(parse(bad[i], 10), RANGE_WHOLE);
        assert_int_equal(n_parts, 0);
    }
}

/* Why: "0-,0-,0-,..." would have us send the whole as often as fits into a head. */
static void parts_that_overlap_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(parse("bytes=0-,0-", 10), RANGE_WHOLE);
    assert_int_equal(parse("bytes=0-4,4-5", 10), RANGE_WHOLE);
    assert_int_equal(parse("bytes=5-6,0-9", 10), RANGE_WHOLE);
    assert_int_equal(parse("bytes=0-4,-6", 10), RANGE_WHOLE);
    assert_int_equal(parse("bytes=0-4,5-9", 10), RANGE_PARTS);
}

static void the_number_of_parts_is_bounded(void **state)
{
    char text[32 + 16 * (RANGE_PARTS_MAX + 1)];
    int n = snprintf(text, sizeof(text), "bytes=");

    (void)state;
    for (int i = 0; i < RANGE_PARTS_MAX; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%d-%d,", 2 * i, 2 * i);
    assert_int_equal(parse(text, 1000), RANGE_PARTS);
    assert_int_equal(n_parts, RANGE_PARTS_MAX);
    snprintf(text + n, sizeof(text) - (size_t)n, "900-900");
    assert_int_equal(parse(text, 1000), RANGE_WHOLE);
    assert_int_equal(n_parts, 0);
}

static void content_range_names_the_part(void **state)
{
    const struct range_part p = {.first = 2, .len = 3};
    const struct range_part last = {.first = UINT64_MAX - 1, .len = 1};
    char text[RANGE_TEXT_MAX];

    (void)state;
    struct str s = {text, range_text(&p, 10, text)};
    assert_true(str_eq_cstr(s, "bytes 2-4/10"));
    s.len = range_text(NULL, 10, text);
    assert_true(str_eq_cstr(s, "bytes */10"));
    s.len = range_text(&last, UINT64_MAX, text);
    assert_true(
        str_eq_cstr(s, "bytes 18446744073709551614-18446744073709551614/18446744073709551615"));
    assert_true(s.len <= RANGE_TEXT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_part_is_cut_at_the_end_of_the_file),
        cmocka_unit_test(numbers_beyond_64_bits_are_beyond_the_file),
        cmocka_unit_test(what_is_not_there_is_unsatisfiable),
        cmocka_unit_test(the_end_of_an_empty_file_is_all_of_it),
        cmocka_unit_test(several_parts_come_as_they_were_asked_for),
        cmocka_unit_test(what_is_not_understood_is_ignored),
        cmocka_unit_test(parts_that_overlap_are_ignored),
        cmocka_unit_test(the_number_of_parts_is_bounded),
        cmocka_unit_test(content_range_names_the_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
