/* cgi.c - see cgi.h */
#include "lb/http/cgi.h"

#include <string.h>

/* ---- variables ---- */

static size_t put_length(size_t n, char *out)
{
    if (n < 128) {
        out[0] = (char)n;
        return 1;
    }
    out[0] = (char)(0x80 | (n >> 24));
    out[1] = (char)(n >> 16);
    out[2] = (char)(n >> 8);
    out[3] = (char)n;
    return 4;
}

static size_t put_text(struct str s, char *out)
{
    if (s.len > 0)
        memcpy(out, s.p, s.len);
    return s.len;
}

static size_t put_fastcgi(struct str name, struct str value, char *out)
{
    size_t n = put_length(name.len, out);

    n += put_length(value.len, out + n);
    n += put_text(name, out + n);
    return n + put_text(value, out + n);
}

static size_t put_uwsgi(struct str s, char *out)
{
    out[0] = (char)s.len;
    out[1] = (char)(s.len >> 8);
    return 2 + put_text(s, out + 2);
}

static size_t put_scgi(struct str s, char *out)
{
    size_t n = put_text(s, out);

    out[n] = '\0';
    return n + 1;
}

static bool has_nul(struct str s)
{
    return s.len > 0 && memchr(s.p, '\0', s.len) != NULL;
}

size_t cgi_put(enum cgi_wire wire, struct str name, struct str value, char *out)
{
    size_t n;

    if (name.len == 0 || has_nul(name) || has_nul(value))
        return 0;
    switch (wire) {
    case CGI_FASTCGI:
        return put_fastcgi(name, value, out);
    case CGI_UWSGI:
        if (name.len > CGI_UWSGI_MAX || value.len > CGI_UWSGI_MAX)
            return 0;
        n = put_uwsgi(name, out);
        return n + put_uwsgi(value, out + n);
    case CGI_SCGI:
        n = put_scgi(name, out);
        return n + put_scgi(value, out + n);
    }
    return 0;
}

size_t cgi_header_name(struct str name, char *out)
{
    if (str_eq_nocase(name, STR("proxy")))
        return 0;
    memcpy(out, "HTTP_", 5);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        if (c == '_')
            return 0;
        out[5 + i] = c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    return 5 + name.len;
}

/* ---- the script ---- */

/* Where the segment ends that is the script; 0: none is. */
static size_t script_end(struct str path, struct str split)
{
    for (size_t i = 0; split.len > 0 && i + split.len <= path.len; i++) {
        size_t end = i + split.len;
        if ((end == path.len || path.p[end] == '/') &&
            str_eq_nocase((struct str){path.p + i, split.len}, split))
            return end;
    }
    return 0;
}

void cgi_find_script(struct str path, struct str split, struct str front, struct cgi_script *out)
{
    size_t end = script_end(path, split);

    *out = (struct cgi_script){.name = path};
    if (end > 0) {
        out->name.len = end;
        out->info = (struct str){path.p + end, path.len - end};
    } else if (front.len > 0) {
        out->name = front;
    } else {
        out->add_index = path.len > 0 && path.p[path.len - 1] == '/';
    }
}

/* ---- the response ---- */

int cgi_has_status_line(struct str data)
{
    static const char http[] = "HTTP/";
    size_t n = data.len < sizeof(http) - 1 ? data.len : sizeof(http) - 1;

    if (n > 0 && memcmp(data.p, http, n) != 0)
        return 0;
    return n == sizeof(http) - 1 ? 1 : -1;
}

/* "404 Not Found" */
static bool parse_status(struct str value, uint16_t *out)
{
    uint64_t n;

    if (value.len < 3 || (value.len > 3 && value.p[3] != ' ') ||
        str_u64((struct str){value.p, 3}, 999, &n) < 0 || n < 200)
        return false;
    *out = (uint16_t)n;
    return true;
}

static void find_body(struct http_head *h, enum http_method to)
{
    if (to == HTTP_HEAD || h->status == 204 || h->status == 304 || h->status < 200)
        h->body = HTTP_BODY_NONE;
    else
        h->body = h->has_content_length ? HTTP_BODY_LENGTH : HTTP_BODY_CLOSE;
}

/* NULL, or what is wrong with it. */
static const char *find_status(struct http_head *h)
{
    struct http_field *status = http_find_name(h, STR("Status"), NULL);

    if (status == NULL) {
        if (http_find(h, HTTP_LOCATION, NULL) != NULL) {
            h->status = 302;
            h->reason = (struct http_slice){0};
        }
        return NULL;
    }
    if (http_find_name(h, STR("Status"), status) != NULL ||
        !parse_status(http_value(h, status), &h->status))
        return "bad-status";
    struct http_slice text = status->value;
    h->reason = text.len > 4
                    ? (struct http_slice){(uint16_t)(text.at + 4), (uint16_t)(text.len - 4)}
                    : (struct http_slice){0};
    http_drop(status);
    return NULL;
}

const char *cgi_response(struct http_head *h, enum http_method to, bool own_status)
{
    const char *wrong = NULL;

    if (http_find(h, HTTP_TRANSFER_ENCODING, NULL) != NULL)
        return "transfer-encoding"; /* there is nothing to code: section 3.2 of RFC 3875 */
    if (!own_status)
        wrong = find_status(h);
    find_body(h, to);
    return wrong;
}
