/* sim_http.c - see sim_http.h */
#include "tests/sim/sim_http.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { R_HEAD, R_LENGTH, R_SIZE, R_CHUNK, R_CHUNK_END, R_TRAILER, R_CLOSE };

uint8_t sim_pattern(uint64_t tag, uint64_t at)
{
    return (uint8_t)(tag * 31 + at * 7 + (at >> 8) + (tag >> 3));
}

void sim_http_begin(struct sim_http *r, bool request)
{
    r->request = request;
    r->head_len = 0;
    r->head[0] = '\0';
    r->state = R_HEAD;
    r->no_payload = r->until_close = r->check = false;
    r->left = r->payload = 0;
    r->line_len = 0;
    r->status = 0;
}

const char *sim_http_field(const struct sim_http *r, const char *name)
{
    size_t len = strlen(name);

    for (const char *p = strstr(r->head, "\r\n"); p != NULL && p[2] != '\r';
         p = strstr(p + 2, "\r\n"))
        if (strncasecmp(p + 2, name, len) == 0 && p[2 + len] == ':') {
            const char *v = p + 2 + len + 1;
            while (*v == ' ')
                v++;
            return v;
        }
    return NULL;
}

bool sim_http_field_has(const struct sim_http *r, const char *name, const char *word)
{
    const char *v = sim_http_field(r, name);
    size_t len = strlen(word);

    for (; v != NULL && *v != '\r' && *v != '\0'; v++)
        if (strncasecmp(v, word, len) == 0)
            return true;
    return false;
}

/* What the head says of the payload. */
static enum sim_http_event head_done(struct sim_http *r)
{
    const char *length = sim_http_field(r, "Content-Length");

    if (!r->request) {
        if (strncmp(r->head, "HTTP/1.", 7) != 0)
            return SIM_HTTP_BAD;
        r->status = atoi(r->head + 9);
    }
    bool none = r->no_payload || (r->status >= 100 && r->status < 200) || r->status == 204 ||
                r->status == 304;
    if (none) {
        r->state = R_LENGTH;
    } else if (sim_http_field_has(r, "Transfer-Encoding", "chunked")) {
        if (length != NULL)
            return SIM_HTTP_BAD;
        r->state = R_SIZE;
    } else if (length != NULL || r->request) {
        r->state = R_LENGTH;
        r->left = length != NULL ? strtoull(length, NULL, 10) : 0;
    } else {
        r->state = R_CLOSE;
        r->until_close = true;
    }
    return SIM_HTTP_HEAD;
}

static void look(struct sim_http *r, const char *data, size_t n)
{
    for (size_t i = 0; r->check && i < n; i++)
        if ((uint8_t)data[i] != sim_pattern(r->tag, r->payload + i))
            r->wrong = true;
    r->payload += n;
}

/* A line without its CRLF is in r->line. */
static enum sim_http_event line_done(struct sim_http *r)
{
    char *end;

    switch (r->state) {
    case R_SIZE:
        r->left = strtoull(r->line, &end, 16);
        if (end == r->line || (*end != '\0' && *end != ';'))
            return SIM_HTTP_BAD;
        r->state = r->left > 0 ? R_CHUNK : R_TRAILER;
        return SIM_HTTP_MORE;
    case R_CHUNK_END:
        r->state = R_SIZE;
        return r->line[0] == '\0' ? SIM_HTTP_MORE : SIM_HTTP_BAD;
    default:
        return r->line[0] == '\0' ? SIM_HTTP_DONE : SIM_HTTP_MORE;
    }
}

static enum sim_http_event take_byte(struct sim_http *r, char c)
{
    if (r->state == R_HEAD) {
        if (r->head_len == SIM_HEAD_MAX)
            return SIM_HTTP_BAD;
        r->head[r->head_len++] = c;
        r->head[r->head_len] = '\0';
        if (r->head_len >= 4 && memcmp(r->head + r->head_len - 4, "\r\n\r\n", 4) == 0)
            return head_done(r);
        return SIM_HTTP_MORE;
    }
    if (r->line_len == sizeof(r->line) - 1)
        return SIM_HTTP_BAD;
    r->line[r->line_len++] = c;
    if (c != '\n')
        return SIM_HTTP_MORE;
    if (r->line_len < 2 || r->line[r->line_len - 2] != '\r')
        return SIM_HTTP_BAD;
    r->line[r->line_len - 2] = '\0';
    r->line_len = 0;
    return line_done(r);
}

size_t sim_http_feed(struct sim_http *r, const char *data, size_t n, enum sim_http_event *out)
{
    size_t at = 0;

    *out = SIM_HTTP_MORE;
    for (;;) {
        if (r->state == R_LENGTH && r->left == 0) {
            *out = SIM_HTTP_DONE;
            return at;
        }
        if (at == n)
            return at;
        if (r->state == R_LENGTH || r->state == R_CHUNK || r->state == R_CLOSE) {
            size_t part = n - at;
            if (r->state != R_CLOSE && part > r->left)
                part = (size_t)r->left;
            look(r, data + at, part);
            at += part;
            r->left -= r->state != R_CLOSE ? part : 0;
            if (r->state == R_CHUNK && r->left == 0)
                r->state = R_CHUNK_END;
            continue;
        }
        *out = take_byte(r, data[at++]);
        if (*out != SIM_HTTP_MORE)
            return at;
    }
}

/* ---- text ---- */

static void room(struct sim_text *t, size_t n)
{
    if (t->len + n <= t->cap)
        return;
    t->cap = (t->len + n) * 2;
    t->p = realloc(t->p, t->cap);
    sl_assert(t->p != NULL);
}

void sim_text_addf(struct sim_text *t, const char *fmt, ...)
{
    va_list args;

    room(t, 1024);
    va_start(args, fmt);
    int n = vsnprintf(t->p + t->len, 1024, fmt, args);
    va_end(args);
    sl_assert(n >= 0 && n < 1024);
    t->len += (size_t)n;
}

void sim_text_pattern(struct sim_text *t, uint64_t tag, uint64_t from, size_t n)
{
    room(t, n);
    for (size_t i = 0; i < n; i++)
        t->p[t->len + i] = (char)sim_pattern(tag, from + i);
    t->len += n;
}

void sim_text_free(struct sim_text *t)
{
    free(t->p);
    *t = (struct sim_text){0};
}
