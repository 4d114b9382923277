/* range.c - see range.h */
#include "lb/http/range.h"

#include "lb/http/msg.h"

/* Digits at the start; a number beyond 64 bits is their largest, which is beyond any file too.
 * False: there are none. */
static bool take_number(struct str *s, uint64_t *out)
{
    uint64_t n = 0;
    size_t i = 0;

    for (; i < s->len && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s->p[i] - '0'), &n))
            n = UINT64_MAX;
    }
    s->p += i;
    s->len -= i;
    *out = n;
    return i > 0;
}

enum spec { SPEC_BAD, SPEC_NOTHING, SPEC_PART };

/* "-500": the last 500 bytes. */
static enum spec read_suffix(struct str s, uint64_t size, struct range_part *out)
{
    uint64_t n;

    if (!take_number(&s, &n) || s.len > 0)
        return SPEC_BAD;
    if (n == 0 || size == 0)
        return SPEC_NOTHING;
    n = n < size ? n : size;
    *out = (struct range_part){.first = size - n, .len = n};
    return SPEC_PART;
}

/* "0-499", "500-", "-500" */
static enum spec read_spec(struct str s, uint64_t size, struct range_part *out)
{
    uint64_t first, last = UINT64_MAX;

    if (s.p[0] == '-')
        return read_suffix((struct str){s.p + 1, s.len - 1}, size, out);
    if (!take_number(&s, &first) || s.len == 0 || s.p[0] != '-')
        return SPEC_BAD;
    s.p++;
    s.len--;
    if (s.len > 0 && (!take_number(&s, &last) || s.len > 0 || last < first))
        return SPEC_BAD;
    if (first >= size)
        return SPEC_NOTHING;
    last = last < size ? last : size - 1;
    *out = (struct range_part){.first = first, .len = last - first + 1};
    return SPEC_PART;
}

static bool overlaps(const struct range_part *parts, uint32_t n, const struct range_part *p)
{
    for (uint32_t i = 0; i < n; i++)
        if (p->first < parts[i].first + parts[i].len && parts[i].first < p->first + p->len)
            return true;
    return false;
}

/* An empty representation has no part that Content-Range could name: it is sent whole to who asks
 * for its last bytes, as they are all there. */
static bool is_suffix_of_nothing(struct str spec, uint64_t size)
{
    struct str digits = {spec.p + 1, spec.len - 1};
    uint64_t n;

    return size == 0 && spec.p[0] == '-' && take_number(&digits, &n) && n > 0;
}

enum range_result range_parse(struct str value, uint64_t size,
                              struct range_part out_parts[static RANGE_PARTS_MAX], uint32_t *out_n)
{
    static const char unit[] = "bytes=";
    const size_t unit_len = sizeof(unit) - 1;
    uint32_t n = 0, specs = 0;
    struct str spec;

    *out_n = 0;
    if (value.len < unit_len || !str_eq_nocase((struct str){value.p, unit_len}, STR(unit)))
        return RANGE_WHOLE;
    struct str rest = {value.p + unit_len, value.len - unit_len};
    while (http_list_next(&rest, &spec)) {
        struct range_part p;
        if (++specs > RANGE_PARTS_MAX || is_suffix_of_nothing(spec, size))
            return RANGE_WHOLE;
        switch (read_spec(spec, size, &p)) {
        case SPEC_BAD:
            return RANGE_WHOLE;
        case SPEC_NOTHING:
            break;
        case SPEC_PART:
            if (overlaps(out_parts, n, &p))
                return RANGE_WHOLE;
            out_parts[n++] = p;
            break;
        }
    }
    if (specs == 0)
        return RANGE_WHOLE;
    *out_n = n;
    return n > 0 ? RANGE_PARTS : RANGE_UNSATISFIABLE;
}

size_t range_text(const struct range_part *part, uint64_t size, char out[static RANGE_TEXT_MAX])
{
    char *p = out;

    memcpy(p, "bytes ", 6);
    p += 6;
    if (part == NULL) {
        *p++ = '*';
    } else {
        p += str_put_u64(part->first, p);
        *p++ = '-';
        p += str_put_u64(part->first + part->len - 1, p);
    }
    *p++ = '/';
    p += str_put_u64(size, p);
    return (size_t)(p - out);
}
