/* fuzz_cgi.c - what a FastCGI application sends. First byte: the sizes of pieces.
 *
 * The outcome is the same however the bytes arrive, and the head that is found in stdout is judged
 * without touching what is not its own. */
#include "lb/base/assert.h"
#include "lb/http/cgi.h"
#include "lb/http/fcgi.h"
#include "lb/http/h1_parse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
    struct fcgi_reader r;
    enum fcgi_event event;
    size_t used, n_out, n_err;
    uint8_t *out, *err;
};

static void keep(struct told *t, enum fcgi_event e, const uint8_t *data, uint32_t len)
{
    if (e == FCGI_EVENT_STDOUT) {
        memcpy(t->out + t->n_out, data, len);
        t->n_out += len;
    } else if (e == FCGI_EVENT_STDERR) {
        memcpy(t->err + t->n_err, data, len);
        t->n_err += len;
    }
}

/* A piece, from memory of just its size. False: it is over. */
static bool feed(struct told *t, const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n);
    uint32_t at, used, done = 0;

    sl_assert(copy != NULL);
    memcpy(copy, data, n);
    do {
        t->event = fcgi_read(&t->r, copy + done, (uint32_t)n - done, &at, &used);
        sl_assert(at <= used && used <= n - done);
        sl_assert(t->event != FCGI_EVENT_MORE || used == n - done);
        sl_assert((t->event == FCGI_EVENT_BAD) == (t->r.bad != NULL));
        keep(t, t->event, copy + done + at, used - at);
        done += used;
    } while (t->event == FCGI_EVENT_STDOUT || t->event == FCGI_EVENT_STDERR);
    t->used += done;
    free(copy);
    return t->event == FCGI_EVENT_MORE;
}

static void read_all(struct told *t, const uint8_t *data, size_t size, size_t piece)
{
    *t = (struct told){.out = malloc(size + 1), .err = malloc(size + 1)};
    sl_assert(t->out != NULL && t->err != NULL);
    for (size_t at = 0; at < size; at += piece)
        if (!feed(t, data + at, piece < size - at ? piece : size - at))
            break;
}

static void free_told(struct told *t)
{
    free(t->out);
    free(t->err);
}

static void judge_head(const struct told *t)
{
    const struct h1_limits limits = {.head_bytes = 65535, .fields = 64, .bare_lf = true};
    const size_t line = sizeof(CGI_STATUS_LINE) - 1;
    struct http_field fields[64];
    struct http_head h = {.fields = fields, .max_fields = 64};
    struct h1_parser p = {0};

    if (t->n_out + line > 65535)
        return;
    bool own = cgi_has_status_line((struct str){(char *)t->out, t->n_out}) == 1;
    size_t n = own ? t->n_out : t->n_out + line;
    char *mem = malloc(n + 1);
    sl_assert(mem != NULL);
    memcpy(mem, CGI_STATUS_LINE, own ? 0 : line);
    memcpy(mem + (own ? 0 : line), t->out, t->n_out);
    if (h1_parse_response(&p, mem, (uint32_t)n, &limits, HTTP_GET, &h) == H1_DONE &&
        cgi_response(&h, HTTP_GET, own) == NULL) {
        sl_assert(own || (h.status >= 200 && h.status <= 999));
        sl_assert(h.body != HTTP_BODY_CHUNKED);
        sl_assert(h.reason.at + h.reason.len <= p.at);
    }
    free(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct told whole, part;

    if (size == 0)
        return 0;
    size_t pieces[] = {1, 1 + data[0] % 64};
    data++;
    size--;
    read_all(&whole, data, size, size + 1);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        read_all(&part, data, size, pieces[i]);
        sl_assert(part.event == whole.event && part.used == whole.used);
        sl_assert(part.n_out == whole.n_out && part.n_err == whole.n_err);
        sl_assert(memcmp(part.out, whole.out, whole.n_out) == 0);
        sl_assert(memcmp(part.err, whole.err, whole.n_err) == 0);
        free_told(&part);
    }
    judge_head(&whole);
    free_told(&whole);
    return 0;
}
