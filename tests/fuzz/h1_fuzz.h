/* h1_fuzz.h - what the targets for heads share: one parse, and the same one in every other way. */
#ifndef SLUICE_TESTS_H1_FUZZ_H
#define SLUICE_TESTS_H1_FUZZ_H

#include "lb/http/h1_parse.h"
#include "lb/http/h1_write.h"

#include <stdlib.h>
#include <string.h>

#define H1_FUZZ_FIELDS 64

typedef enum h1_result h1_parse_fn(struct h1_parser *p, char *mem, uint32_t len,
                                   const struct h1_limits *limits, struct http_head *out);

struct h1_case {
    enum h1_result result;
    struct h1_parser parser;
    struct http_field fields[H1_FUZZ_FIELDS];
    struct http_head head;
    char *mem;
};

static inline void h1_fuzz_limits(uint8_t choice, struct h1_limits *out)
{
    *out = (struct h1_limits){
        .head_bytes = choice & 1 ? 60 : 65535,
        .target_bytes = choice & 2 ? 10 : 8192,
        .fields = choice & 4 ? 3 : 100,
    };
}

static inline void h1_case_free(struct h1_case *c)
{
    free(c->mem);
    c->mem = NULL;
}

/* From a heap copy of exactly n bytes: the sanitizer sees a read beyond them. */
static inline void h1_case_feed(struct h1_case *c, h1_parse_fn *parse, const void *data, size_t n,
                                const struct h1_limits *limits)
{
    h1_case_free(c);
    c->mem = malloc(n > 0 ? n : 1);
    sl_assert(c->mem != NULL);
    if (n > 0)
        memcpy(c->mem, data, n);
    memset(c->fields, 0xee, sizeof(c->fields));
    c->head = (struct http_head){.fields = c->fields, .max_fields = H1_FUZZ_FIELDS};
    c->result = parse(&c->parser, c->mem, (uint32_t)n, limits, &c->head);
}

static inline void h1_case_run(struct h1_case *c, h1_parse_fn *parse, const void *data, size_t n,
                               const struct h1_limits *limits)
{
    c->parser = (struct h1_parser){0};
    h1_case_feed(c, parse, data, n, limits);
}

static inline bool h1_same_slice(struct http_slice a, struct http_slice b)
{
    return a.at == b.at && a.len == b.len;
}

static inline void h1_check_same(const struct h1_case *a, const struct h1_case *b)
{
    const struct http_head *x = &a->head, *y = &b->head;
    sl_assert(a->result == b->result);
    if (a->result != H1_DONE)
        return;
    sl_assert(a->parser.at == b->parser.at && x->used == y->used && x->used == a->parser.at);
    sl_assert(x->n_fields == y->n_fields);
    sl_assert(memcmp(a->fields, b->fields, x->n_fields * sizeof(a->fields[0])) == 0);
    sl_assert(x->version == y->version && x->method == y->method && x->form == y->form);
    sl_assert(x->body == y->body && x->status == y->status);
    sl_assert(x->content_length == y->content_length && x->has_query == y->has_query);
    sl_assert(x->keep_alive == y->keep_alive && x->upgrade == y->upgrade);
    sl_assert(h1_same_slice(x->target, y->target) && h1_same_slice(x->path, y->path));
    sl_assert(h1_same_slice(x->query, y->query) && h1_same_slice(x->authority, y->authority));
    sl_assert(h1_same_slice(x->reason, y->reason));
}

/* Whole with each level, in two pieces cut anywhere (long inputs: somewhere), byte by byte. */
static inline void h1_case_check(struct h1_case *c, h1_parse_fn *parse, const uint8_t *data,
                                 size_t n, const struct h1_limits *limits)
{
    static struct h1_case other;

    h1_parse_use(0);
    h1_case_run(c, parse, data, n, limits);
    sl_assert(h1_result_code(c->result)[0] != '?');
    for (int level = 1; level <= 2; level++) {
        if (!h1_parse_use(level))
            continue;
        h1_case_run(&other, parse, data, n, limits);
        h1_check_same(c, &other);
    }
    for (size_t cut = 0; cut < n; cut += n < 300 ? 1 : 37) {
        h1_case_run(&other, parse, data, cut, limits);
        if (other.result == H1_MORE)
            h1_case_feed(&other, parse, data, n, limits);
        h1_check_same(c, &other);
    }
    other.parser = (struct h1_parser){0};
    other.result = H1_MORE;
    for (size_t len = 1; len <= n && other.result == H1_MORE; len += n < 2000 ? 1 : 61)
        h1_case_feed(&other, parse, data, len, limits);
    if (other.result == H1_MORE && n > 0)
        h1_case_feed(&other, parse, data, n, limits);
    if (n > 0)
        h1_check_same(c, &other);
    h1_case_free(&other);
}

/* That b has the fields of a that were not dropped, in order, and framing besides. */
static inline void h1_check_same_fields(const struct http_head *a, const struct http_head *b)
{
    uint16_t k = 0;
    for (uint16_t i = 0; i < a->n_fields; i++) {
        const struct http_field *f = &a->fields[i];
        if (f->id == HTTP_DROPPED || f->id == HTTP_HOST)
            continue;
        while (k < b->n_fields && (b->fields[k].id == HTTP_HOST))
            k++;
        sl_assert(k < b->n_fields);
        sl_assert(str_eq(http_name(a, f), http_name(b, &b->fields[k])));
        sl_assert(str_eq(http_value(a, f), http_value(b, &b->fields[k])));
        sl_assert(b->fields[k].id == f->id);
        k++;
    }
}

#endif
