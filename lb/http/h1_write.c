/* h1_write.c - see h1_write.h
 *
 * Fields that stand in the head's memory just as they are written, one behind the other, go out in
 * one copy: a message that was received in the usual form costs a few copies, not some per field.
 */
#include "lb/http/h1_write.h"

#include "lb/base/assert.h"

#define SIZE_FRAMING 160 /* Connection, Content-Length or Transfer-Encoding, TE, empty line */

static char *put(char *out, const char *p, size_t len)
{
    if (len > 0)
        memcpy(out, p, len);
    return out + len;
}

static char *put_str(char *out, struct str s)
{
    return put(out, s.p, s.len);
}

#define PUT(out, literal) put((out), (literal), sizeof(literal) - 1)

static char *put_number(char *out, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return put(out, digits + at, sizeof(digits) - at);
}

/* ---- fields ---- */

static size_t fields_size(const struct http_head *h)
{
    size_t size = 0;
    for (uint16_t i = 0; i < h->n_fields; i++)
        size += (size_t)h->fields[i].name_len + h->fields[i].value.len + 4;
    return size;
}

static bool stands(const struct http_head *h, uint32_t at, const char two[2])
{
    return at + 2 <= h->used && memcmp(h->mem + at, two, 2) == 0;
}

/* Whether the field stands in memory as `Name: value CRLF`; then *end is behind it. */
static bool is_canonical(const struct http_head *h, const struct http_field *f, uint32_t *end)
{
    uint32_t name_end = (uint32_t)f->name_at + f->name_len;
    uint32_t value_end = (uint32_t)f->value.at + f->value.len;

    *end = value_end + 2;
    return f->value.at == name_end + 2 && stands(h, name_end, ": ") && stands(h, value_end, "\r\n");
}

static char *put_field(const struct http_head *h, const struct http_field *f, char *out)
{
    out = put_str(out, http_name(h, f));
    out = PUT(out, ": ");
    out = put_str(out, http_value(h, f));
    return PUT(out, "\r\n");
}

static char *put_fields(const struct http_head *h, enum http_field_id but, char *out)
{
    uint32_t from = 0, to = 0, end; /* a run of canonical fields that is still to be copied */

    for (const struct http_field *f = h->fields, *last = f + h->n_fields; f < last; f++) {
        if (f->id == HTTP_DROPPED || f->id == but)
            continue;
        bool canonical = is_canonical(h, f, &end);
        if (canonical && f->name_at == to) {
            to = end;
            continue;
        }
        out = put(out, h->mem + from, to - from);
        from = canonical ? f->name_at : 0;
        to = canonical ? end : 0;
        if (!canonical)
            out = put_field(h, f, out);
    }
    return put(out, h->mem + from, to - from);
}

/* ---- framing ---- */

static char *put_connection(const struct h1_framing *framing, char *out)
{
    /* TE is for one hop and must be named (RFC 9110 section 10.1.4). */
    static const char *const with_te[] = {
        [H1_CONN_DEFAULT] = "TE: trailers\r\nConnection: TE\r\n",
        [H1_CONN_CLOSE] = "TE: trailers\r\nConnection: close, TE\r\n",
        [H1_CONN_KEEP_ALIVE] = "TE: trailers\r\nConnection: keep-alive, TE\r\n",
        [H1_CONN_UPGRADE] = "TE: trailers\r\nConnection: upgrade, TE\r\n",
    };
    static const char *const without[] = {
        [H1_CONN_DEFAULT] = "",
        [H1_CONN_CLOSE] = "Connection: close\r\n",
        [H1_CONN_KEEP_ALIVE] = "Connection: keep-alive\r\n",
        [H1_CONN_UPGRADE] = "Connection: upgrade\r\n",
    };
    return put_str(out, str_of((framing->te_trailers ? with_te : without)[framing->connection]));
}

static char *put_framing(const struct h1_framing *framing, char *out)
{
    out = put_connection(framing, out);
    if (framing->body == HTTP_BODY_CHUNKED) {
        out = PUT(out, "Transfer-Encoding: chunked\r\n");
    } else if (framing->body == HTTP_BODY_LENGTH ||
               (framing->body == HTTP_BODY_NONE && framing->has_content_length)) {
        out = PUT(out, "Content-Length: ");
        out = put_number(out, framing->content_length);
        out = PUT(out, "\r\n");
    }
    return PUT(out, "\r\n");
}

/* ---- heads ---- */

size_t h1_request_size(const struct http_head *h, const struct h1_request_line *line)
{
    return line->method.len + line->target.len + line->host.len +
           sizeof("  HTTP/1.1\r\nHost: \r\n") + fields_size(h) + SIZE_FRAMING;
}

size_t h1_response_size(const struct http_head *h)
{
    return sizeof("HTTP/1.1 000 \r\n") + h->reason.len + fields_size(h) + SIZE_FRAMING;
}

size_t h1_write_request(const struct http_head *h, const struct h1_request_line *line,
                        const struct h1_framing *framing, char *out)
{
    char *p = put_str(out, line->method);
    p = PUT(p, " ");
    p = put_str(p, line->target);
    p = PUT(p, " HTTP/1.1\r\nHost: ");
    p = put_str(p, line->host);
    p = PUT(p, "\r\n");
    p = put_fields(h, HTTP_HOST, p);
    return (size_t)(put_framing(framing, p) - out);
}

/* Behind the status a space always stands (RFC 9112 section 4), a reason or none behind it. */
size_t h1_write_response(const struct http_head *h, const struct h1_framing *framing, char *out)
{
    char *p = PUT(out, "HTTP/1.1 ");
    sl_assert(h->status >= 100 && h->status <= 999);
    p = put_number(p, h->status);
    p = PUT(p, " ");
    p = put_str(p, http_str(h, h->reason));
    p = PUT(p, "\r\n");
    p = put_fields(h, HTTP_DROPPED, p);
    return (size_t)(put_framing(framing, p) - out);
}

size_t h1_trailers_size(const struct http_head *h)
{
    return fields_size(h) + 2;
}

size_t h1_write_trailers(const struct http_head *h, char *out)
{
    char *p = put_fields(h, HTTP_DROPPED, out);
    return (size_t)(PUT(p, "\r\n") - out);
}
