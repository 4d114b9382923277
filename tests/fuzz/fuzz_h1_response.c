/* fuzz_h1_response.c - response heads and trailers. First byte: limits, what is answered, whether
 * it is a trailer section. The same properties as fuzz_h1_request.c. */
#include "tests/fuzz/h1_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum http_method to;

static enum h1_result parse(struct h1_parser *p, char *mem, uint32_t len,
                            const struct h1_limits *limits, struct http_head *out)
{
    return h1_parse_response(p, mem, len, limits, to, out);
}

static void check_round_trip(const struct h1_case *c)
{
    const struct http_head *h = &c->head;
    struct h1_framing framing = {
        .connection = h->keep_alive ? H1_CONN_DEFAULT : H1_CONN_CLOSE,
        .body = (enum http_body)h->body,
        .content_length = h->content_length,
        .has_content_length = h->has_content_length,
    };
    struct http_head stripped = *h;
    static struct h1_case again;

    http_strip_hop_by_hop(&stripped, false);
    size_t max = h1_response_size(&stripped);
    char *out = malloc(max);
    sl_assert(out != NULL);
    size_t n = h1_write_response(&stripped, &framing, out);
    sl_assert(n <= max);
    h1_case_run(&again, parse, out, n, &(struct h1_limits){65535, 0, H1_FUZZ_FIELDS, false});
    sl_assert(again.result == H1_DONE || again.result == H1_HEAD_TOO_LARGE ||
              again.result == H1_TOO_MANY_FIELDS);
    if (again.result == H1_DONE) {
        sl_assert(again.parser.at == n);
        sl_assert(again.head.status == h->status && again.head.body == h->body);
        sl_assert(str_eq(http_str(&again.head, again.head.reason), http_str(h, h->reason)));
        sl_assert(again.head.has_content_length == h->has_content_length);
        h1_check_same_fields(&stripped, &again.head);
    }
    h1_case_free(&again);
    free(out);
}

static void check_trailers_round_trip(const struct h1_case *c)
{
    static struct h1_case again;
    size_t max = h1_trailers_size(&c->head);
    char *out = malloc(max);
    sl_assert(out != NULL);
    size_t n = h1_write_trailers(&c->head, out);
    sl_assert(n <= max);
    h1_case_run(&again, h1_parse_trailers, out, n,
                &(struct h1_limits){65535, 0, H1_FUZZ_FIELDS, false});
    sl_assert(again.result == H1_DONE || again.result == H1_HEAD_TOO_LARGE);
    if (again.result == H1_DONE)
        h1_check_same_fields(&c->head, &again.head);
    h1_case_free(&again);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct h1_case c;
    struct h1_limits limits;
    if (size == 0)
        return 0;
    bool trailers = (data[0] & 0x40) != 0;
    h1_fuzz_limits(data[0], &limits);
    limits.bare_lf = (data[0] & 8) != 0;
    to = data[0] & 0x10 ? HTTP_HEAD : data[0] & 0x20 ? HTTP_CONNECT : HTTP_GET;
    h1_case_check(&c, trailers ? h1_parse_trailers : parse, data + 1, size - 1, &limits);
    if (c.result == H1_DONE && trailers)
        check_trailers_round_trip(&c);
    else if (c.result == H1_DONE)
        check_round_trip(&c);
    h1_case_free(&c);
    return 0;
}
