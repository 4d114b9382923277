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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_imf_fixdates),
        cmocka_unit_test(every_day_of_two_centuries_is_as_the_c_library_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
