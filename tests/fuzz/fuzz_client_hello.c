/* fuzz_client_hello.c - the first bytes of connections. First byte: how they are cut into pieces.
 *
 * Besides surviving: the verdict and what was read do not depend on the pieces, nor on how the
 * message is cut into records; a name that is told is a lower-case host name, and an ALPN list is
 * well formed. */
#include "lb/base/assert.h"
#include "lb/net/client_hello.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* From a heap copy of exactly n bytes: the sanitizer sees a read beyond them. */
static enum hello_result feed(struct client_hello *h, const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);

    sl_assert(copy != NULL);
    if (n > 0)
        memcpy(copy, data, n);
    enum hello_result r = client_hello_feed(h, copy, n);
    free(copy);
    return r;
}

static bool same(const struct client_hello *a, const struct client_hello *b)
{
    return a->result == b->result && a->has_name == b->has_name && a->name_len == b->name_len &&
           memcmp(a->name, b->name, a->name_len) == 0 && a->version == b->version &&
           a->has_alpn == b->has_alpn && a->alpn_len == b->alpn_len &&
           memcmp(a->alpn, b->alpn, a->alpn_len) == 0;
}

static void check_pieces(const uint8_t *data, size_t size, size_t each,
                         const struct client_hello *whole)
{
    struct client_hello h;

    client_hello_init(&h);
    for (size_t at = 0; at < size; at += each)
        feed(&h, data + at, size - at < each ? size - at : each);
    sl_assert(same(&h, whole));
}

/* The same message in records of `each` bytes. */
static void check_records(const uint8_t *data, size_t size, size_t each,
                          const struct client_hello *whole)
{
    struct client_hello h;
    uint8_t *message = malloc(size), *out = malloc(6 * size);
    size_t len = 0, n = 0;

    sl_assert(message != NULL && out != NULL);
    for (size_t at = 0; at + 5 <= size;) {
        size_t part = (size_t)(data[at + 3] << 8 | data[at + 4]);
        part = part < size - at - 5 ? part : size - at - 5;
        memcpy(message + len, data + at + 5, part);
        len += part;
        at += 5 + part;
    }
    for (size_t at = 0; at < len; at += each) {
        size_t part = len - at < each ? len - at : each;
        memcpy(out + n, (uint8_t[]){22, 3, 1, (uint8_t)(part >> 8), (uint8_t)part}, 5);
        memcpy(out + n + 5, message + at, part);
        n += 5 + part;
    }
    client_hello_init(&h);
    if (feed(&h, out, n) != HELLO_TOO_LONG) /* there are more headers */
        sl_assert(same(&h, whole));
    free(message);
    free(out);
}

static void check_content(const struct client_hello *h)
{
    sl_assert(h->has_name == (h->name_len > 0));
    sl_assert(h->name_len <= CLIENT_HELLO_NAME_MAX && h->name[h->name_len] == '\0');
    for (size_t i = 0; i < h->name_len; i++)
        sl_assert(memchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", h->name[i], 39) != NULL);
    if (h->name_len > 0)
        sl_assert(h->name[0] != '.' && h->name[h->name_len - 1] != '.');
    for (size_t i = 0; i < h->alpn_len; i += 1u + h->alpn[i])
        sl_assert(h->alpn[i] > 0 && i + 1u + h->alpn[i] <= h->alpn_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client_hello h;

    if (size < 2)
        return 0;
    size_t each = 1u + data[0];
    data++;
    size--;
    client_hello_init(&h);
    enum hello_result r = feed(&h, data, size);
    sl_assert(client_hello_text(r)[0] != '?');
    sl_assert(h.eaten <= CLIENT_HELLO_MAX && h.eaten <= size);
    check_pieces(data, size, each, &h);
    check_pieces(data, size, 1, &h);
    if (r == HELLO_MORE)
        sl_assert(h.eaten == size);
    if (r == HELLO_DONE) {
        check_content(&h);
        check_records(data, h.eaten, each, &h);
    }
    return 0;
}
