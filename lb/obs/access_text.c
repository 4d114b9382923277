/* access_text.c - numbers, texts and times of an access line; see access_priv.h
 *
 * Runs for each line on a worker: no allocation, no printf, no lock. */
#include "lb/obs/access_priv.h"

#include "lb/net/addr.h"

#include <stdio.h>
#include <time.h>

void put_u64(struct writer *w, uint64_t v)
{
    char digits[20], *p = digits + sizeof(digits);

    do {
        *--p = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    put(w, p, (size_t)(digits + sizeof(digits) - p));
}

void put_padded(struct writer *w, uint32_t v, int width)
{
    char digits[10];

    for (int i = width; i-- > 0; v /= 10)
        digits[i] = (char)('0' + v % 10);
    put(w, digits, (size_t)width);
}

void put_hex(struct writer *w, uint64_t v)
{
    char text[18] = "0x";

    for (int i = 17; i >= 2; i--, v >>= 4)
        text[i] = "0123456789abcdef"[v & 15];
    put(w, text, sizeof(text));
}

/* Half of what a line would cost otherwise: inet_ntop() goes through printf. */
static void put_ip4(struct writer *w, const struct sockaddr_in *in)
{
    const uint8_t *bytes = (const uint8_t *)&in->sin_addr;

    for (int i = 0; i < 4; i++) {
        if (i > 0)
            put_char(w, '.');
        put_u64(w, bytes[i]);
    }
}

bool put_ip4_host(struct writer *w, const struct addr *a)
{
    if (a == NULL || addr_family(a) != AF_INET)
        return false;
    put_ip4(w, &a->in);
    return true;
}

bool put_ip4_addr(struct writer *w, const struct addr *a)
{
    if (!put_ip4_host(w, a))
        return false;
    put_char(w, ':');
    put_u64(w, addr_port(a));
    return true;
}

/* ---- texts ---- */

enum { ESCAPE_X = 1, ESCAPE_HAPROXY = 2 };

/* What has to be escaped where: bytes beyond printable ASCII everywhere, what ends a quoted field,
 * and what begins an escape. */
static const uint8_t escapes[256] = {
    [0 ... 0x1f] = ESCAPE_X | ESCAPE_HAPROXY,
    [0x7f ... 0xff] = ESCAPE_X | ESCAPE_HAPROXY,
    ['"'] = ESCAPE_X | ESCAPE_HAPROXY,
    ['\\'] = ESCAPE_X,
    ['#'] = ESCAPE_HAPROXY,
};

static size_t plain_run(struct str s, uint8_t mask)
{
    size_t n = 0;

    while (n < s.len && (escapes[(uint8_t)s.p[n]] & mask) == 0)
        n++;
    return n;
}

size_t plain_len(struct str s)
{
    return plain_run(s, ESCAPE_X);
}

static size_t put_escape(struct writer *w, uint8_t c)
{
    static const char hex[] = "0123456789ABCDEF";
    const char text[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
    const char haproxy[3] = {'#', hex[c >> 4], hex[c & 15]};

    if (w->haproxy)
        put(w, haproxy, sizeof(haproxy));
    else
        put(w, text, sizeof(text));
    return w->haproxy ? sizeof(haproxy) : sizeof(text);
}

void put_escaped(struct writer *w, struct str s, size_t max)
{
    uint8_t mask = w->haproxy ? ESCAPE_HAPROXY : ESCAPE_X;

    for (;;) {
        if (s.len > max)
            s.len = max;
        size_t n = plain_run(s, mask);
        put(w, s.p, n);
        max -= n;
        if (n == s.len || max < 4) /* an escape is written whole or not at all */
            return;
        max -= put_escape(w, (uint8_t)s.p[n]);
        s = (struct str){s.p + n + 1, s.len - n - 1};
    }
}

void put_text(struct writer *w, struct str s, size_t max)
{
    if (s.len == 0)
        put_char(w, '-');
    else
        put_escaped(w, s, max);
}

/* ---- time ---- */

/* Month names must not follow the locale, so strftime() does only what is the same in all. */
static void stamp_make(struct stamp *s, uint64_t second)
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = (time_t)second;
    struct tm tm;
    char rest[32];

    gmtime_r(&t, &tm);
    strftime(s->iso, sizeof(s->iso), "%Y-%m-%dT%H:%M:%S", &tm);
    localtime_r(&t, &tm);
    strftime(rest, sizeof(rest), "%Y:%H:%M:%S", &tm);
    snprintf(s->haproxy, sizeof(s->haproxy), "%02d/%s/%.20s", tm.tm_mday, months[tm.tm_mon], rest);
    strftime(rest, sizeof(rest), "%z", &tm);
    snprintf(s->common, sizeof(s->common), "%.24s %.6s", s->haproxy, rest);
    s->second = second;
}

const struct stamp *stamp_of(const struct access_record *r)
{
    static _Thread_local struct stamp last;
    uint64_t second = r->start_wall_us / 1000000;

    if (unlikely(last.second != second || last.iso[0] == '\0'))
        stamp_make(&last, second);
    return &last;
}
