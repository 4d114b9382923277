/* fuzz_chunked.c - chunked bodies. First byte: the sizes of pieces.
 *
 * The outcome is the same however the bytes arrive; payload that was decoded, coded again in other
 * chunks, decodes to itself. */
#include "lb/base/assert.h"
#include "lb/http/chunked.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct decoded {
    enum chunked_result result;
    size_t used, len;
    uint8_t *payload;
};

static void decode(struct decoded *d, const uint8_t *data, size_t size, size_t piece)
{
    struct chunked c = {0};
    *d = (struct decoded){.payload = malloc(size + 1)};
    sl_assert(d->payload != NULL);
    for (size_t at = 0; at < size && d->result == CHUNKED_MORE;) {
        size_t n = piece < size - at ? piece : size - at;
        struct chunked_out out;
        uint8_t *copy = malloc(n);
        sl_assert(copy != NULL);
        memcpy(copy, data + at, n);
        d->result = chunked_decode(&c, copy, (uint32_t)n, &out);
        sl_assert(out.used <= n && out.payload_at + out.payload_len <= out.used);
        sl_assert(d->result != CHUNKED_MORE || out.used == n);
        memcpy(d->payload + d->len, copy + out.payload_at, out.payload_len);
        d->len += out.payload_len;
        d->used += out.used;
        at += n;
        free(copy);
    }
}

static void check_same(const struct decoded *a, const struct decoded *b)
{
    sl_assert(a->result == b->result && a->used == b->used && a->len == b->len);
    sl_assert(memcmp(a->payload, b->payload, a->len) == 0);
}

static void check_coded_again(const struct decoded *d, size_t piece)
{
    size_t chunks = d->len / piece + 1, n = 0;
    uint8_t *coded = malloc(d->len + chunks * (CHUNK_HEAD_MAX + 2) + 8);
    struct decoded again;

    sl_assert(coded != NULL);
    for (size_t at = 0; at < d->len; at += piece) {
        size_t len = piece < d->len - at ? piece : d->len - at;
        n += chunk_head(len, (char *)coded + n);
        memcpy(coded + n, d->payload + at, len);
        memcpy(coded + n + len, "\r\n", 2);
        n += len + 2;
    }
    memcpy(coded + n, CHUNK_LAST, strlen(CHUNK_LAST));
    n += strlen(CHUNK_LAST);
    decode(&again, coded, n, 1 + piece / 2);
    sl_assert(again.result == CHUNKED_TRAILERS && again.used == n && again.len == d->len);
    sl_assert(memcmp(again.payload, d->payload, d->len) == 0);
    free(again.payload);
    free(coded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct decoded whole, part;
    if (size == 0)
        return 0;
    size_t pieces[] = {1, 2, 1 + data[0] % 64};
    data++;
    size--;
    decode(&whole, data, size, size + 1);
    sl_assert(chunked_result_code(whole.result)[0] != '?');
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        decode(&part, data, size, pieces[i]);
        check_same(&whole, &part);
        free(part.payload);
    }
    if (whole.result == CHUNKED_TRAILERS)
        check_coded_again(&whole, pieces[2]);
    free(whole.payload);
    return 0;
}
