/* websocket.c - see websocket.h. SHA-1 stands here, as the handshake's is no matter of secrecy: it
 * shows that somebody has read the specification. */
#include "lb/http/websocket.h"

#include <string.h>

#define SHA1_BLOCK  64
#define SHA1_DIGEST 20

struct sha1 {
    uint32_t h[5];
    uint8_t block[SHA1_BLOCK];
    size_t fill;
    uint64_t bytes;
};

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static void mix(struct sha1 *s)
{
    uint32_t w[80], a = s->h[0], b = s->h[1], c = s->h[2], d = s->h[3], e = s->h[4];

    for (unsigned i = 0; i < 16; i++)
        w[i] = (uint32_t)s->block[4 * i] << 24 | (uint32_t)s->block[4 * i + 1] << 16 |
               (uint32_t)s->block[4 * i + 2] << 8 | s->block[4 * i + 3];
    for (unsigned i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (unsigned i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;
        } else if (i < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }
        uint32_t t = rotate(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = t;
    }
    s->h[0] += a;
    s->h[1] += b;
    s->h[2] += c;
    s->h[3] += d;
    s->h[4] += e;
    s->fill = 0;
}

static void add(struct sha1 *s, const void *data, size_t len)
{
    const uint8_t *p = data;

    s->bytes += len;
    for (; len > 0; len--) {
        s->block[s->fill++] = *p++;
        if (s->fill == SHA1_BLOCK)
            mix(s);
    }
}

static void finish(struct sha1 *s, uint8_t out[static SHA1_DIGEST])
{
    uint64_t bits = s->bytes * 8;
    uint8_t length[8];

    add(s, "\x80", 1);
    while (s->fill != SHA1_BLOCK - sizeof(length))
        add(s, "", 1);
    for (unsigned i = 0; i < 8; i++)
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    add(s, length, sizeof(length));
    for (unsigned i = 0; i < SHA1_DIGEST; i++)
        out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

/* With padding. */
static void base64(const uint8_t *data, size_t len, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < len; i += 3) {
        uint32_t n = (uint32_t)data[i] << 16;
        if (i + 1 < len)
            n |= (uint32_t)data[i + 1] << 8;
        if (i + 2 < len)
            n |= data[i + 2];
        *out++ = digits[n >> 18];
        *out++ = digits[n >> 12 & 63];
        *out++ = i + 1 < len ? digits[n >> 6 & 63] : '=';
        *out++ = i + 2 < len ? digits[n & 63] : '=';
    }
}

void websocket_key(const uint8_t random[static 16], char out[static WEBSOCKET_KEY_LEN])
{
    base64(random, 16, out);
}

void websocket_accept(struct str key, char out[static WEBSOCKET_ACCEPT_LEN])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    struct sha1 s = {.h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}};
    uint8_t digest[SHA1_DIGEST];

    add(&s, key.p, key.len);
    add(&s, guid, sizeof(guid) - 1);
    finish(&s, digest);
    base64(digest, sizeof(digest), out);
}
