/* precondition.c - see precondition.h */
#include "lb/http/precondition.h"

#include "lb/http/date.h"
#include "lb/http/msg.h"

static void skip(struct str *s, size_t n)
{
    s->p += n;
    s->len -= n;
}

/* The entity tag at the start, quotes and all. In it a backslash is a byte like others, and a comma
 * may stand (section 8.8.3), so this is no list of quoted strings. */
static bool take_etag(struct str *s, struct str *out)
{
    size_t open = str_starts(*s, STR("W/")) ? 2 : 0;

    if (s->len <= open || s->p[open] != '"')
        return false;
    const char *close = memchr(s->p + open + 1, '"', s->len - open - 1);
    if (close == NULL)
        return false;
    *out = (struct str){s->p, (size_t)(close + 1 - s->p)};
    skip(s, out->len);
    return true;
}

static bool next_etag(struct str *rest, struct str *out)
{
    while (rest->len > 0 && (rest->p[0] == ' ' || rest->p[0] == '\t' || rest->p[0] == ','))
        skip(rest, 1);
    return take_etag(rest, out);
}

static bool is_weak(struct str etag)
{
    return str_starts(etag, STR("W/"));
}

static bool equal_strong(struct str a, struct str b)
{
    return !is_weak(a) && !is_weak(b) && str_eq(a, b);
}

static bool equal_weak(struct str a, struct str b)
{
    if (is_weak(a))
        skip(&a, 2);
    if (is_weak(b))
        skip(&b, 2);
    return str_eq(a, b);
}

static bool names(struct str list, struct str etag, bool weak)
{
    struct str e;

    if (str_eq_cstr(list, "*"))
        return true;
    while (etag.len > 0 && next_etag(&list, &e))
        if (weak ? equal_weak(e, etag) : equal_strong(e, etag))
            return true;
    return false;
}

/* Any of the field's lines. */
static bool any_names(const struct http_head *h, struct str field, const struct representation *r,
                      bool weak)
{
    for (const struct http_field *f = http_find_name(h, field, NULL); f != NULL;
         f = http_find_name(h, field, f))
        if (names(http_value(h, f), r->etag, weak))
            return true;
    return false;
}

static bool has(const struct http_head *h, struct str field)
{
    return http_find_name(h, field, NULL) != NULL;
}

/* False: there is no such field, or more than one, or it holds no date. */
static bool date_of(const struct http_head *h, struct str field, uint64_t now_s, uint64_t *out)
{
    const struct http_field *f = http_find_name(h, field, NULL);

    return f != NULL && http_find_name(h, field, f) == NULL &&
           date_parse(http_value(h, f), now_s, out);
}

enum precondition precondition_check(const struct http_head *request,
                                     const struct representation *r, uint64_t now_s)
{
    bool reads = request->method == HTTP_GET || request->method == HTTP_HEAD;
    uint64_t date;

    if (has(request, STR("If-Match"))) {
        if (!any_names(request, STR("If-Match"), r, false))
            return PRECONDITION_FAILED;
    } else if (date_of(request, STR("If-Unmodified-Since"), now_s, &date)) {
        if (r->modified_s > date)
            return PRECONDITION_FAILED;
    }
    if (has(request, STR("If-None-Match"))) {
        if (any_names(request, STR("If-None-Match"), r, true))
            return reads ? PRECONDITION_NOT_MODIFIED : PRECONDITION_FAILED;
    } else if (reads && date_of(request, STR("If-Modified-Since"), now_s, &date)) {
        if (r->modified_s <= date)
            return PRECONDITION_NOT_MODIFIED;
    }
    return PRECONDITION_PASSED;
}

/* A time says which version it was only when it cannot have changed again in that second (section
 * 8.8.2.2). */
static bool is_strong_time(const struct representation *r, uint64_t now_s)
{
    return r->modified_s < now_s && now_s - r->modified_s > 1;
}

bool precondition_range(const struct http_head *request, const struct representation *r,
                        uint64_t now_s)
{
    const struct http_field *f = http_find_name(request, STR("If-Range"), NULL);
    struct str etag;
    uint64_t date;

    if (f == NULL)
        return true;
    if (http_find_name(request, STR("If-Range"), f) != NULL)
        return false;
    struct str value = http_value(request, f), rest = value;
    if (take_etag(&rest, &etag))
        return rest.len == 0 && equal_strong(etag, r->etag);
    return date_parse(value, now_s, &date) && date == r->modified_s && is_strong_time(r, now_s);
}
