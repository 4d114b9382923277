/* top_text.c - see top_text.h */
#include "lb/main/top_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <wchar.h>

const char *top_duration(uint64_t s, char out[static TOP_TEXT_MAX])
{
    if (s < 60)
        snprintf(out, TOP_TEXT_MAX, "%us", (unsigned)s);
    else if (s < 3600)
        snprintf(out, TOP_TEXT_MAX, "%um", (unsigned)(s / 60));
    else if (s < 36000)
        snprintf(out, TOP_TEXT_MAX, "%uh%02um", (unsigned)(s / 3600), (unsigned)(s / 60 % 60));
    else if (s < 100 * 3600)
        snprintf(out, TOP_TEXT_MAX, "%uh", (unsigned)(s / 3600));
    else if (s < 1000 * 86400)
        snprintf(out, TOP_TEXT_MAX, "%ud", (unsigned)(s / 86400));
    else
        snprintf(out, TOP_TEXT_MAX, "%uy", (unsigned)(s / 86400 / 365 % 10000));
    return out;
}

/* Three digits at least where there is a unit: 1.2k, 12k, 123k. */
static const char *scaled(uint64_t n, uint64_t k, char out[static TOP_TEXT_MAX])
{
    static const char units[] = "kMGTPE";
    size_t unit = 0;
    uint64_t one = k;

    if (n < k) {
        snprintf(out, TOP_TEXT_MAX, "%u", (unsigned)n);
        return out;
    }
    while (n / one >= k && unit + 2 < sizeof(units)) {
        one *= k;
        unit++;
    }
    uint64_t whole = n / one, tenth = n % one / (one / 10);
    if (whole < 10)
        snprintf(out, TOP_TEXT_MAX, "%u.%u%c", (unsigned)whole, (unsigned)(tenth < 10 ? tenth : 9),
                 units[unit]);
    else
        snprintf(out, TOP_TEXT_MAX, "%u%c", (unsigned)whole, units[unit]);
    return out;
}

const char *top_count(uint64_t n, char out[static TOP_TEXT_MAX])
{
    return scaled(n, 1000, out);
}

const char *top_bytes(uint64_t n, char out[static TOP_TEXT_MAX])
{
    return scaled(n, 1024, out);
}

const char *top_latency(uint64_t us, char out[static TOP_TEXT_MAX])
{
    if (us < 1000)
        snprintf(out, TOP_TEXT_MAX, "%uu", (unsigned)us);
    else if (us < 10000)
        snprintf(out, TOP_TEXT_MAX, "%u.%ums", (unsigned)(us / 1000), (unsigned)(us / 100 % 10));
    else if (us < 1000000)
        snprintf(out, TOP_TEXT_MAX, "%ums", (unsigned)(us / 1000));
    else if (us < 10000000)
        snprintf(out, TOP_TEXT_MAX, "%u.%us", (unsigned)(us / 1000000),
                 (unsigned)(us / 100000 % 10));
    else
        top_duration(us / 1000000, out);
    return out;
}

/* ---- columns ---- */

/* Cuts the first character off *rest (not empty). Its columns; 0: cannot be shown. */
static uint32_t next_char(struct str *rest, struct str *out_char)
{
    mbstate_t state = {0};
    wchar_t c;
    size_t n = mbrtowc(&c, rest->p, rest->len, &state);
    int width = n == 0 || n > rest->len ? -1 : wcwidth(c);

    *out_char = (struct str){rest->p, width < 0 ? 1 : n};
    rest->p += out_char->len;
    rest->len -= out_char->len;
    if (width == 0)
        width = -1; /* combining: what it would combine with may be cut off */
    return width > 0 ? (uint32_t)width : 0;
}

uint32_t top_width(struct str text)
{
    uint32_t columns = 0, width;

    for (struct str c; text.len > 0;) {
        width = next_char(&text, &c);
        columns += width > 0 ? width : 1;
    }
    return columns;
}

void top_pad(struct strbuf *out, struct str text, uint32_t columns, bool right)
{
    uint32_t width = top_width(text), at = 0;

    if (right)
        for (; at + width < columns; at++)
            strbuf_add_char(out, ' ');
    bool cut = width > columns;
    for (struct str c; text.len > 0 && columns > 0;) {
        uint32_t w = next_char(&text, &c), takes = w > 0 ? w : 1;
        if (at + takes + cut > columns)
            break;
        if (w > 0)
            strbuf_add_str(out, c);
        else
            strbuf_add_char(out, '?');
        at += takes;
    }
    for (; cut && at + 1 < columns; at++)
        strbuf_add_char(out, ' '); /* half of a wide character had room */
    if (cut && at < columns) {
        strbuf_add_char(out, '~');
        at++;
    }
    for (; at < columns; at++)
        strbuf_add_char(out, ' ');
}
