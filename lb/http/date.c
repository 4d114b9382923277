/* date.c - see date.h */
#include "lb/http/date.h"

#include <string.h>

#define DAY_S  86400u
#define LAST_S UINT64_C(253402300799) /* 9999-12-31 23:59:59 */

struct day {
    unsigned year, month, day; /* month: 0 is January */
};

/* Counts in years that begin with March, so that the leap day is a year's last: months then have
 * lengths that a linear formula gives, and 400 years always the same number of days. */
static struct day day_of(uint32_t days_since_1970)
{
    uint32_t days = days_since_1970 + 719468; /* since 0000-03-01 */
    uint32_t era = days / 146097, in_era = days % 146097;
    uint32_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint32_t in_year = in_era - (365 * year + year / 4 - year / 100);
    uint32_t month = (5 * in_year + 2) / 153; /* 0 is March */
    struct day d = {
        .year = era * 400 + year + (month >= 10),
        .month = (month + 2) % 12,
        .day = in_year - (153 * month + 2) / 5 + 1,
    };
    return d;
}

static char *two_digits(char *out, unsigned n)
{
    *out++ = (char)('0' + n / 10);
    *out++ = (char)('0' + n % 10);
    return out;
}

void date_imf(uint64_t unix_s, char out[static DATE_IMF_LEN + 1])
{
    static const char week_days[] = "ThuFriSatSunMonTueWed"; /* 1970 began with a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    if (unix_s > LAST_S)
        unix_s = LAST_S;
    uint32_t days = (uint32_t)(unix_s / DAY_S), second = (uint32_t)(unix_s % DAY_S);
    struct day d = day_of(days);
    char *p = out;

    memcpy(p, week_days + (size_t)(days % 7) * 3, 3);
    memcpy(p + 3, ", ", 2);
    p = two_digits(p + 5, d.day);
    *p++ = ' ';
    memcpy(p, months + (size_t)d.month * 3, 3);
    p[3] = ' ';
    p = two_digits(p + 4, d.year / 100);
    p = two_digits(p, d.year % 100);
    *p++ = ' ';
    p = two_digits(p, second / 3600);
    *p++ = ':';
    p = two_digits(p, second / 60 % 60);
    *p++ = ':';
    p = two_digits(p, second % 60);
    memcpy(p, " GMT", 5);
}
