/* fuzz_h1_request.c - request heads. First byte: which limits.
 *
 * Besides surviving: every level of vectors gives the same verdict and the same head, and so does
 * every way of cutting the bytes in pieces; what is written from a head that was accepted parses to
 * the same head again. */
#include "tests/fuzz/h1_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum h1_result parse(struct h1_parser *p, char *mem, uint32_t len,
                            const struct h1_limits *limits, struct http_head *out)
{
    return h1_parse_request(p, mem, len, limits, out);
}

static void check_round_trip(const struct h1_case *c)
{
    const struct http_head *h = &c->head;
    struct h1_request_line line = {http_str(h, h->method_text), http_str(h, h->target),
                                   http_str(h, h->authority)};
    struct h1_framing framing = {
        .connection = h->keep_alive ? H1_CONN_DEFAULT : H1_CONN_CLOSE,
        .body = (enum http_body)h->body,
        .content_length = h->content_length,
        .te_trailers = h->te_trailers,
    };
    struct http_head stripped = *h;
    static struct h1_case again;

    http_strip_hop_by_hop(&stripped, false);
    size_t max = h1_request_size(&stripped, &line);
    char *out = malloc(max);
    sl_assert(out != NULL);
    size_t n = h1_write_request(&stripped, &line, &framing, out);
    sl_assert(n <= max);
    h1_case_run(&again, parse, out, n, &(struct h1_limits){65535, 65535, H1_FUZZ_FIELDS, false});
    /* Only a head that just fitted may not fit any more, with its fields framed anew. */
    sl_assert(again.result == H1_DONE || again.result == H1_HEAD_TOO_LARGE ||
              again.result == H1_TOO_MANY_FIELDS);
    if (again.result == H1_DONE) {
        sl_assert(again.parser.at == n);
        sl_assert(str_eq(http_str(&again.head, again.head.target), line.target));
        sl_assert(str_eq(http_str(&again.head, again.head.authority), line.host));
        sl_assert(again.head.body == h->body && again.head.content_length == h->content_length);
        sl_assert(again.head.keep_alive == h->keep_alive && !again.head.upgrade);
        h1_check_same_fields(&stripped, &again.head);
    }
    h1_case_free(&again);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct h1_case c;
    struct h1_limits limits;
    if (size == 0)
        return 0;
    h1_fuzz_limits(data[0], &limits);
    h1_case_check(&c, parse, data + 1, size - 1, &limits);
    if (c.result == H1_DONE)
        check_round_trip(&c);
    h1_case_free(&c);
    return 0;
}
