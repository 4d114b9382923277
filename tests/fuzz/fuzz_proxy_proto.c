/* fuzz_proxy_proto.c - PROXY headers from the wire. First byte: which versions are accepted.
 *
 * Besides surviving: a verdict is the same however the bytes arrive (a part of the input gives
 * PROXY_MORE or the final verdict), bytes behind a header do not matter, and the addresses of a
 * header that was accepted survive being written and parsed again. */
#include "lb/base/assert.h"
#include "lb/base/limits.h"
#include "lb/net/proxy_proto.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* From a heap copy of exactly n bytes: the sanitizer sees a read beyond them. */
static enum proxy_result parse(const uint8_t *data, size_t n, enum proxy_proto accept,
                               struct proxy_header *out)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    sl_assert(copy != NULL);
    if (n > 0)
        memcpy(copy, data, n);
    enum proxy_result r = proxy_parse(copy, n, accept, out);
    free(copy);
    return r;
}

static bool same_header(const struct proxy_header *a, const struct proxy_header *b)
{
    return a->local == b->local && a->header_len == b->header_len && addr_eq(&a->src, &b->src) &&
           addr_eq(&a->dst, &b->dst);
}

static void check_splits(const uint8_t *data, size_t size, enum proxy_proto accept,
                         enum proxy_result whole, const struct proxy_header *header)
{
    bool decided = false;
    for (size_t n = 0; n <= size; n += n < 600 ? 1 : 61) {
        struct proxy_header h = {0};
        enum proxy_result r = parse(data, n, accept, &h);
        if (r == PROXY_MORE) {
            sl_assert(!decided);
            continue;
        }
        decided = true;
        sl_assert(r == whole);
        if (r == PROXY_DONE)
            sl_assert(n >= header->header_len && same_header(&h, header));
    }
    if (whole == PROXY_DONE)
        sl_assert(parse(data, header->header_len - 1, accept, &(struct proxy_header){0}) ==
                  PROXY_MORE);
}

static void check_round_trip(enum proxy_proto version, const struct proxy_header *header)
{
    uint8_t out[PROXY_WRITE_MAX];
    struct proxy_header h = {0};
    bool is_unix = addr_family(&header->src) == AF_UNIX;
    size_t n = proxy_write(version, header->local ? NULL : &header->src,
                           header->local ? NULL : &header->dst, out);
    sl_assert(n > 0 && n <= sizeof(out));
    sl_assert(parse(out, n, version, &h) == PROXY_DONE && h.header_len == n);
    sl_assert(parse(out, n, PROXY_ANY, &h) == PROXY_DONE && h.header_len == n);
    sl_assert(parse(out, n, version == PROXY_V1 ? PROXY_V2 : PROXY_V1, &h) == PROXY_BAD_SIGNATURE);
    if (header->local || (version == PROXY_V1 && is_unix))
        sl_assert(h.local);
    else
        sl_assert(!h.local && addr_eq(&h.src, &header->src) && addr_eq(&h.dst, &header->dst));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum proxy_proto accepts[] = {PROXY_V1, PROXY_V2, PROXY_ANY};
    struct proxy_header header = {0};
    char text[ADDR_TEXT_MAX];
    if (size == 0)
        return 0;
    enum proxy_proto accept = accepts[data[0] % ARRAY_LEN(accepts)];
    data++;
    size--;
    enum proxy_result r = parse(data, size, accept, &header);
    sl_assert(proxy_result_text(r)[0] != '?');
    check_splits(data, size, accept, r, &header);
    if (r == PROXY_MORE)
        sl_assert(size < LIMIT_PROXY_V2_BYTES);
    if (r != PROXY_DONE)
        return 0;
    sl_assert(header.header_len <= size && header.header_len <= LIMIT_PROXY_V2_BYTES);
    addr_format(&header.src, text);
    addr_format(&header.dst, text);
    check_round_trip(PROXY_V1, &header);
    check_round_trip(PROXY_V2, &header);
    return 0;
}
