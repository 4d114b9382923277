/* fuzz_check_http.c - answers to health checks. The first byte says how the rest is cut in pieces;
 * whatever the pieces are, the same must come out as from the whole. */
#include "lb/base/assert.h"

#include "health/check_http_parse.h"

#include <stdlib.h>
#include <string.h>

struct result {
    enum check_http_event last;
    uint16_t status;
    const char *problem;
    size_t body_len;
    uint64_t body_sum;
};

static void feed(struct check_http *p, struct str data, struct result *r)
{
    struct str body;

    for (;;) {
        size_t before = data.len;
        r->last = check_http_next(p, &data, &body);
        if (r->last == CHECK_HTTP_BODY) {
            sl_assert(body.len > 0 && data.len + body.len <= before); /* lines may come before */
            r->body_len += body.len;
            for (size_t i = 0; i < body.len; i++)
                r->body_sum = r->body_sum * 31 + (unsigned char)body.p[i];
        } else if (r->last == CHECK_HTTP_HEAD) {
            sl_assert(r->status == 0 && p->status >= 100 && p->status <= 999);
            r->status = p->status;
        } else {
            break;
        }
    }
    sl_assert(r->last != CHECK_HTTP_MORE || data.len == 0);
    sl_assert(r->last != CHECK_HTTP_BAD || p->problem != NULL);
}

static struct result parse(const char *data, size_t len, size_t piece, bool head)
{
    struct check_http p;
    struct result r = {0};

    check_http_init(&p, head);
    for (size_t at = 0; at < len && r.last == CHECK_HTTP_MORE; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        char *copy = malloc(n); /* so that a read beyond it is seen */
        memcpy(copy, data + at, n);
        feed(&p, (struct str){copy, n}, &r);
        free(copy);
    }
    if (r.last == CHECK_HTTP_MORE)
        r.last = check_http_eof(&p);
    r.problem = p.problem;
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const char *text = (const char *)data + 1;
    bool head = data[0] & 1;
    struct result whole = parse(text, size - 1, size, head);
    struct result pieces = parse(text, size - 1, 1 + data[0] / 2u, head);

    /* A bound on the header may strike a little earlier or later; the rest is the same. */
    if (size < CHECK_HTTP_HEAD_MAX) {
        sl_assert(whole.last == pieces.last && whole.status == pieces.status);
        sl_assert(whole.problem == pieces.problem);
        sl_assert(whole.body_len == pieces.body_len && whole.body_sum == pieces.body_sum);
    }
    return 0;
}
