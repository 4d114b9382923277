/* date.c - see date.h */
#include "lb/http/date.h"

#include <string.h>

#define DAY_S  86400u
#define LAST_S UINT64_C(253402300799) /* 9999-12-31 23:59:59 */

static const char week_days[] = "ThuFriSatSunMonTueWed"; /* 1970 began with a Thursday */
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

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

/* ---- reading ---- */

struct date_fields {
    struct day day;
    unsigned hour, minute, second;
    bool short_year;
};

static bool literal(struct str *rest, struct str want)
{
    if (!str_starts(*rest, want))
        return false;
    rest->p += want.len;
    rest->len -= want.len;
    return true;
}

static bool number(struct str *rest, unsigned digits, unsigned *out)
{
    unsigned n = 0;

    if (rest->len < digits)
        return false;
    for (unsigned i = 0; i < digits; i++) {
        if (rest->p[i] < '0' || rest->p[i] > '9')
            return false;
        n = n * 10 + (unsigned)(rest->p[i] - '0');
    }
    rest->p += digits;
    rest->len -= digits;
    *out = n;
    return true;
}

/* One of those names of three letters. */
static bool name(struct str *rest, const char *names, unsigned n, unsigned *out)
{
    for (unsigned i = 0; i < n; i++) {
        if (literal(rest, (struct str){names + (size_t)i * 3, 3})) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool long_week_day(struct str *rest)
{
    static const char *const names[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                        "Friday", "Saturday", "Sunday"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (literal(rest, str_of(names[i])))
            return true;
    return false;
}

static bool time_of_day(struct str *rest, struct date_fields *f)
{
    return number(rest, 2, &f->hour) && literal(rest, STR(":")) && number(rest, 2, &f->minute) &&
           literal(rest, STR(":")) && number(rest, 2, &f->second);
}

static bool field(struct str *rest, char kind, struct date_fields *f)
{
    unsigned ignored;

    switch (kind) {
    case 'a':
        return name(rest, week_days, 7, &ignored);
    case 'A':
        return long_week_day(rest);
    case 'd':
        return number(rest, 2, &f->day.day);
    case 'e': /* asctime's: a space in place of a leading zero */
        return literal(rest, STR(" ")) ? number(rest, 1, &f->day.day)
                                       : number(rest, 2, &f->day.day);
    case 'b':
        return name(rest, months, 12, &f->day.month);
    case 'Y':
        return number(rest, 4, &f->day.year);
    case 'y':
        f->short_year = true;
        return number(rest, 2, &f->day.year);
    default: /* 'T' */
        return time_of_day(rest, f);
    }
}

static bool matches(struct str rest, const char *form, struct date_fields *f)
{
    for (; *form != '\0'; form++) {
        if (*form == '%' ? !field(&rest, *++form, f) : !literal(&rest, (struct str){form, 1}))
            return false;
    }
    return rest.len == 0;
}

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static bool exists(const struct date_fields *f)
{
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned last = lengths[f->day.month] + (f->day.month == 1 && is_leap(f->day.year));

    return f->day.day >= 1 && f->day.day <= last && f->hour < 24 && f->minute < 60 &&
           f->second <= 60; /* a leap second */
}

/* The way back of day_of(). */
static uint32_t days_since_1970(const struct day *d)
{
    uint32_t month = (d->month + 10) % 12; /* 0 is March */
    uint32_t year = d->year - (d->month < 2);
    uint32_t days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5;

    return days + d->day - 1 - 719468;
}

/* RFC 9110 section 5.6.7: one that seems more than 50 years ahead is of the century before. */
static unsigned century(unsigned two_digits_year, uint64_t now_s)
{
    unsigned now = day_of((uint32_t)((now_s < LAST_S ? now_s : LAST_S) / DAY_S)).year;
    unsigned year = now - now % 100 + two_digits_year;

    return year > now + 50 ? year - 100 : year;
}

bool date_parse(struct str text, uint64_t now_s, uint64_t *out_unix_s)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %T GMT", /* IMF-fixdate */
        "%A, %d-%b-%y %T GMT", /* RFC 850's */
        "%a %b %e %T %Y",      /* asctime's */
    };

    for (unsigned i = 0; i < ARRAY_LEN(forms); i++) {
        struct date_fields f = {0};
        if (!matches(text, forms[i], &f))
            continue;
        if (f.short_year)
            f.day.year = century(f.day.year, now_s);
        if (!exists(&f))
            return false;
        *out_unix_s = f.day.year < 1970 ? 0
                                        : (uint64_t)days_since_1970(&f.day) * DAY_S +
                                              f.hour * 3600 + f.minute * 60 + f.second;
        return true;
    }
    return false;
}
