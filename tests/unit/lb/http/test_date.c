/* test_date.c - dates as HTTP writes them. */
#include "lb/http/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static void dates_are_imf_fixdates(void **state)
{
    char out[DATE_IMF_LEN + 1];
    (void)state;
    date_imf(784111777, out);
    assert_string_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT");
    date_imf(0, out);
    assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
    date_imf(UINT64_C(253402300799), out);
    assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
    date_imf(UINT64_MAX, out);
    assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void every_day_of_two_centuries_is_as_the_c_library_has_it(void **state)
{
    (void)state;
    for (uint64_t s = 0; s < UINT64_C(200) * 366 * 86400; s += 86400 + 3671) {
        char out[DATE_IMF_LEN + 1], want[64];
        time_t t = (time_t)s;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        date_imf(s, out);
        assert_string_equal(out, want);
    }
}

static uint64_t parsed(const char *text)
{
    uint64_t s = 12345;

    assert_true(date_parse(str_of(text), UINT64_C(1795443000), &s)); /* November 2026 */
    return s;
}

static void the_three_forms_of_a_date_are_read(void **state)
{
    (void)state;
    assert_int_equal(parsed("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
    assert_int_equal(parsed("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
    assert_int_equal(parsed("Sun Nov  6 08:49:37 1994"), 784111777);
    assert_int_equal(parsed("Wed Nov 16 08:49:37 1994"), 784975777);
    assert_int_equal(parsed("Fri, 31 Dec 9999 23:59:59 GMT"), UINT64_C(253402300799));
    assert_int_equal(parsed("Sat, 31 Dec 2016 23:59:60 GMT"), 1483228800);
}

static void a_year_of_two_digits_is_at_most_fifty_years_ahead(void **state)
{
    (void)state;
    assert_int_equal(parsed("Wednesday, 01-Jan-76 00:00:00 GMT"), UINT64_C(3345062400));
    assert_int_equal(parsed("Saturday, 01-Jan-77 00:00:00 GMT"), 220924800);
}

static void a_date_before_1970_is_0(void **state)
{
    (void)state;
    assert_int_equal(parsed("Wed, 31 Dec 1969 23:59:59 GMT"), 0);
    assert_int_equal(parsed("Mon, 01 Jan 0000 00:00:00 GMT"), 0);
}

static void what_is_no_date_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 2023 08:49:37 GMT",
        "Thu, 29 Feb 1900 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "0",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint64_t s = 12345;
        assert_false(date_parse(str_of(bad[i]), 0, &s));
        assert_int_equal(s, 12345);
    }
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    for (uint64_t s = 0; s < UINT64_C(200) * 366 * 86400; s += 86400 + 3671) {
        char out[DATE_IMF_LEN + 1];
        date_imf(s, out);
        assert_int_equal(parsed(out), s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_imf_fixdates),
        cmocka_unit_test(every_day_of_two_centuries_is_as_the_c_library_has_it),
        cmocka_unit_test(the_three_forms_of_a_date_are_read),
        cmocka_unit_test(a_year_of_two_digits_is_at_most_fifty_years_ahead),
        cmocka_unit_test(a_date_before_1970_is_0),
        cmocka_unit_test(what_is_no_date_is_refused),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
