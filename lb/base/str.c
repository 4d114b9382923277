/* str.c - see str.h */
#include "lb/base/str.h"

#include "lb/base/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool str_eq_cstr(struct str a, const char *b)
{
    return str_eq(a, str_of(b));
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.p, prefix.p, prefix.len) == 0);
}

bool str_contains(struct str haystack, struct str needle)
{
    if (needle.len == 0)
        return true;
    return haystack.len > 0 && memmem(haystack.p, haystack.len, needle.p, needle.len) != NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && is_blank(s.p[0])) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.p[s.len - 1]))
        s.len--;
    return s;
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

struct str str_word(struct str *s, const char *seps)
{
    size_t at = 0;
    while (at < s->len && is_one_of(s->p[at], seps))
        at++;
    size_t end = at;
    while (end < s->len && !is_one_of(s->p[end], seps))
        end++;
    struct str word = {s->len > 0 ? s->p + at : "", end - at};
    if (s->len > 0) {
        s->p += end;
        s->len -= end;
    }
    return word;
}

int str_u64(struct str s, uint64_t max, uint64_t *out_value)
{
    uint64_t value = 0;
    bool too_big = false;
    if (s.len == 0)
        return -EINVAL;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -EINVAL;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        /* Goes on after an overflow: "99999999999999999999x" is no number, not a big one. */
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, digit, &value))
            too_big = true;
    }
    if (too_big || value > max)
        return -ERANGE;
    *out_value = value;
    return 0;
}

size_t str_put_u64(uint64_t value, char out[static STR_U64_MAX])
{
    char digits[STR_U64_MAX];
    size_t n = 0;

    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

void strbuf_fini(struct strbuf *b)
{
    free(b->p);
    *b = (struct strbuf){0};
}

void strbuf_clear(struct strbuf *b)
{
    b->len = 0;
    if (b->p != NULL)
        b->p[0] = '\0';
}

/* Room for `more` bytes and a NUL behind what is there. */
static void reserve(struct strbuf *b, size_t more)
{
    sl_assert(more < SIZE_MAX / 2 && b->len < SIZE_MAX / 4);
    size_t need = b->len + more + 1;
    if (need <= b->cap)
        return;
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < need)
        cap *= 2;
    b->p = xrealloc(b->p, cap);
    b->cap = cap;
}

void strbuf_add(struct strbuf *b, const void *data, size_t len)
{
    reserve(b, len);
    if (len > 0)
        memcpy(b->p + b->len, data, len);
    b->len += len;
    b->p[b->len] = '\0';
}

void strbuf_add_str(struct strbuf *b, struct str s)
{
    strbuf_add(b, s.p, s.len);
}

void strbuf_add_cstr(struct strbuf *b, const char *s)
{
    strbuf_add(b, s, strlen(s));
}

void strbuf_add_char(struct strbuf *b, char c)
{
    strbuf_add(b, &c, 1);
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(b, fmt, ap);
    va_end(ap);
}

void strbuf_vaddf(struct strbuf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    reserve(b, 0);
    int n = vsnprintf(b->p + b->len, b->cap - b->len, fmt, ap);
    sl_assert(n >= 0);
    if ((size_t)n >= b->cap - b->len) {
        reserve(b, (size_t)n);
        vsnprintf(b->p + b->len, b->cap - b->len, fmt, again);
    }
    va_end(again);
    b->len += (size_t)n;
}

void strbuf_drop_front(struct strbuf *b, size_t n)
{
    sl_assert(n <= b->len);
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->len - n + 1); /* with the NUL */
    b->len -= n;
}

struct str strbuf_str(const struct strbuf *b)
{
    return (struct str){b->p != NULL ? b->p : "", b->len};
}
