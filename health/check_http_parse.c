/* check_http_parse.c - see check_http_parse.h */
#include "health/check_http_parse.h"

#include <errno.h>
#include <strings.h>

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* `HTTP/1.x NNN reason` */
static const char *status_line(struct str line, uint16_t *out_status)
{
    if (!str_starts(line, STR("HTTP/1.")))
        return "not an HTTP/1 answer";
    if (line.len < 12 || !digit(line.p[7]) || line.p[8] != ' ' || !digit(line.p[9]) ||
        !digit(line.p[10]) || !digit(line.p[11]) || (line.len > 12 && line.p[12] != ' '))
        return "malformed status line";
    *out_status = (uint16_t)((line.p[9] - '0') * 100 + (line.p[10] - '0') * 10 + line.p[11] - '0');
    return NULL;
}

/* The next line without its end (CRLF, or LF alone); false when it is not complete. */
static bool next_line(struct str *in, struct str *out_line)
{
    const char *nl = memchr(in->p, '\n', in->len);

    if (in->len == 0 || nl == NULL)
        return false;
    *out_line = (struct str){in->p, (size_t)(nl - in->p)};
    in->p += out_line->len + 1;
    in->len -= out_line->len + 1;
    if (out_line->len > 0 && out_line->p[out_line->len - 1] == '\r')
        out_line->len--;
    return true;
}

static bool header_is(struct str line, const char *name, struct str *out_value)
{
    size_t n = strlen(name);

    if (line.len <= n || line.p[n] != ':' || strncasecmp(line.p, name, n) != 0)
        return false;
    *out_value = str_trim((struct str){line.p + n + 1, line.len - n - 1});
    return true;
}

struct framing {
    bool chunked, has_length;
    uint64_t length;
};

static const char *header_line(struct str line, struct framing *f)
{
    struct str value;

    if (header_is(line, "Content-Length", &value)) {
        if (str_u64(value, UINT64_MAX / 2, &f->length) < 0)
            return "malformed Content-Length";
        f->has_length = true;
    } else if (header_is(line, "Transfer-Encoding", &value)) {
        f->chunked = value.len >= 7 && strncasecmp(value.p + value.len - 7, "chunked", 7) == 0;
    }
    return NULL;
}

/* The last chunk has come: size 0 and the empty line after the trailers. */
static bool chunks_complete(struct str in)
{
    struct str line;

    for (;;) {
        uint64_t size = 0;
        size_t i = 0;

        if (!next_line(&in, &line))
            return false;
        for (; i < line.len && i < 15; i++) {
            char c = line.p[i];
            int v = digit(c)               ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
            if (v < 0)
                break;
            size = size * 16 + (uint64_t)v;
        }
        if (i == 0)
            return true; /* malformed: no more will make it better */
        if (size == 0)
            break;
        if (in.len < size)
            return false;
        in.p += size;
        in.len -= size;
        next_line(&in, &line);
    }
    while (next_line(&in, &line))
        if (line.len == 0)
            return true;
    return false;
}

/* One head; MORE when incomplete. */
static enum check_http head(struct str *in, struct check_http_answer *out, struct framing *f)
{
    struct str line;

    *f = (struct framing){0};
    if (!next_line(in, &line))
        return CHECK_HTTP_MORE;
    out->problem = status_line(line, &out->status);
    while (out->problem == NULL) {
        if (!next_line(in, &line))
            return CHECK_HTTP_MORE;
        if (line.len == 0)
            return CHECK_HTTP_DONE;
        out->problem = header_line(line, f);
    }
    return CHECK_HTTP_BAD;
}

enum check_http check_http_parse(struct str in, bool eof, bool head_request,
                                 struct check_http_answer *out)
{
    struct framing f;
    enum check_http r;

    *out = (struct check_http_answer){0};
    do
        r = head(&in, out, &f);
    while (r == CHECK_HTTP_DONE && out->status >= 100 && out->status < 200 && out->status != 101);
    if (r == CHECK_HTTP_MORE && eof) {
        out->problem =
            out->status == 0 && in.len == 0 ? "closed without an answer" : "incomplete head";
        return CHECK_HTTP_BAD;
    }
    if (r == CHECK_HTTP_MORE && in.len >= 8 && out->status == 0 &&
        !str_starts(in, STR("HTTP/1."))) {
        out->problem = "not an HTTP/1 answer";
        return CHECK_HTTP_BAD;
    }
    if (r != CHECK_HTTP_DONE)
        return r;
    out->head_complete = true;
    out->body = in;
    if (head_request || out->status == 204 || out->status == 304 || eof)
        return CHECK_HTTP_DONE;
    if (f.chunked)
        return chunks_complete(in) ? CHECK_HTTP_DONE : CHECK_HTTP_MORE;
    if (f.has_length)
        return in.len >= f.length ? CHECK_HTTP_DONE : CHECK_HTTP_MORE;
    return CHECK_HTTP_MORE;
}
