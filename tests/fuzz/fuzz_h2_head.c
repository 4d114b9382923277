/* fuzz_h2_head.c - heads of HTTP/2. First byte: which kind, which limits, whether payload follows.
 * Then fields: a byte with the name's length, one with the value's, the bytes of both; a name's
 * length of 250 and more stands for the usual pseudo-header fields of a request.
 *
 * What was accepted must be one message of HTTP/1, too: a request that is written in HTTP/1 parses
 * to the same target, host and body; no byte of it ends a line early. */
#include "lb/http/h2_head.h"

#include "lb/base/arena.h"
#include "lb/http/h1_write.h"

#include <stdlib.h>

#define FIELDS_MAX 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(struct http_head *h)
{
    static struct http_field fields[FIELDS_MAX * 2];
    struct h1_request_line line = {http_str(h, h->method_text), http_str(h, h->target),
                                   http_str(h, h->authority)};
    struct h1_framing framing = {.connection = h->upgrade ? H1_CONN_UPGRADE : H1_CONN_DEFAULT,
                                 .body = (enum http_body)h->body,
                                 .content_length = h->content_length,
                                 .te_trailers = h->te_trailers};
    struct h1_limits limits = {65535, 65535, FIELDS_MAX * 2, false};
    struct http_head again = {.fields = fields, .max_fields = ARRAY_LEN(fields)};
    struct h1_parser p = {0};

    http_strip_hop_by_hop(h, true);
    char *out = malloc(h1_request_size(h, &line));
    sl_assert(out != NULL);
    size_t n = h1_write_request(h, &line, &framing, out);
    enum h1_result r = h1_parse_request(&p, out, (uint32_t)n, &limits, &again);
    sl_assert(r == H1_DONE || r == H1_HEAD_TOO_LARGE);
    if (r == H1_DONE) {
        sl_assert(p.at == n);
        sl_assert(str_eq(http_str(&again, again.target), line.target));
        sl_assert(str_eq(http_str(&again, again.authority), line.host));
        sl_assert(again.method == h->method && again.form == h->form);
        sl_assert(again.body == h->body && again.upgrade == h->upgrade);
    }
    free(out);
}

/* Written in HTTP/2 once more. */
static void check_nv(struct http_head *h, enum h2_head_kind kind)
{
    nghttp2_nv *nv = malloc(h2_nv_max(h) * sizeof(*nv));
    struct h2_digits digits;
    uint32_t n;

    sl_assert(nv != NULL);
    if (kind == H2_REQUEST) {
        const struct h2_request r = {.method = http_str(h, h->method_text),
                                     .scheme = STR("http"),
                                     .authority = http_str(h, h->authority),
                                     .path = http_str(h, h->target),
                                     .te_trailers = h->te_trailers,
                                     .websocket = h->upgrade};
        n = h2_write_request(h, &r, &h->content_length, &digits, nv);
    } else if (kind == H2_RESPONSE) {
        n = h2_write_response(h, &h->content_length, &digits, nv);
    } else {
        n = h2_write_trailers(h, nv);
    }
    sl_assert(n <= h2_nv_max(h));
    for (uint32_t i = 0; i < n; i++) {
        struct str value = {(const char *)nv[i].value, nv[i].valuelen};
        sl_assert(nv[i].namelen > 0 && http_is_field_value(value));
        for (size_t k = 0; k < nv[i].namelen; k++)
            sl_assert(nv[i].name[k] < 'A' || nv[i].name[k] > 'Z');
    }
    free(nv);
}

static void usual_fields(struct h2_head *b)
{
    h2_head_field(b, STR(":method"), STR("POST"));
    h2_head_field(b, STR(":scheme"), STR("http"));
    h2_head_field(b, STR(":authority"), STR("h"));
    h2_head_field(b, STR(":path"), STR("/"));
}

static void feed(struct h2_head *b, const uint8_t *p, size_t size)
{
    while (size >= 2) {
        size_t name = p[0], value = p[1];
        p += 2;
        size -= 2;
        if (name >= 250) {
            usual_fields(b);
            continue;
        }
        if (name > size)
            name = size;
        if (value > size - name)
            value = size - name;
        h2_head_field(b, (struct str){(const char *)p, name},
                      (struct str){(const char *)p + name, value});
        p += name + value;
        size -= name + value;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena_pool pool;
    static bool begun;
    struct arena arena;
    struct http_head head;
    struct h2_head b;

    if (size == 0)
        return 0;
    if (!begun)
        arena_pool_init(&pool);
    begun = true;
    enum h2_head_kind kind = (enum h2_head_kind)(data[0] % 3);
    const struct h1_limits limits = {
        .head_bytes = data[0] & 4 ? 300 : 65535,
        .target_bytes = data[0] & 8 ? 10 : 8192,
        .fields = data[0] & 16 ? 3 : FIELDS_MAX,
    };
    arena_init(&arena, &pool);
    h2_head_begin(&b, kind, &limits, &arena, &head);
    feed(&b, data + 1, size - 1);
    enum h1_result r = h2_head_end(&b, data[0] & 32, data[0] & 64 ? HTTP_HEAD : HTTP_GET);
    sl_assert(r != H1_MORE && r < H1_RESULTS && !b.no_memory);
    sl_assert(head.used <= head.cap && head.n_fields <= head.max_fields);
    if (r == H1_DONE && kind == H2_REQUEST)
        check_request(&head);
    if (r == H1_DONE)
        check_nv(&head, kind);
    arena_fini(&arena);
    return 0;
}
