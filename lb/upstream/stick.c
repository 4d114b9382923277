/* stick.c - see stick.h. The ids stand in a table by their own bytes, mixed with a seed that nobody
 * outside knows; how long a look takes tells nothing about ids that are near to the one sent. */
#include "lb/upstream/stick.h"

#include "lb/base/alloc.h"
#include "lb/base/hash.h"
#include "lb/upstream/pool_conf.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <stdlib.h>

#define ID_BYTES 16

static_assert(STICK_ID_TEXT == (ID_BYTES * 8 + 5) / 6, "base64url without padding");

struct entry {
    uint8_t id[ID_BYTES];
    uint32_t member; /* STICK_NONE: free */
};

struct stick {
    bool random;
    uint8_t own[32]; /* the random secret */
    uint64_t seed;
    uint32_t n;
    struct str *cookies; /* by member, with SECURE at the end */
    struct entry *table;
    uint32_t mask;
};

static const char SECURE[] = "; Secure";

/* ---- base64url ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(const uint8_t id[static ID_BYTES], char out[static STICK_ID_TEXT])
{
    uint32_t bits = 0, n_bits = 0, n = 0;

    for (size_t i = 0; i < ID_BYTES; i++) {
        bits = bits << 8 | id[i];
        for (n_bits += 8; n_bits >= 6; n_bits -= 6)
            out[n++] = digits[bits >> (n_bits - 6) & 63];
    }
    out[n] = digits[bits << (6 - n_bits) & 63];
}

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Strict: one text per id. */
static bool decode(struct str text, uint8_t out[static ID_BYTES])
{
    uint32_t bits = 0, n_bits = 0, n = 0;

    if (text.len != STICK_ID_TEXT)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int value = digit_value(text.p[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (uint8_t)(bits >> n_bits);
        }
    }
    return (bits & ((1u << n_bits) - 1)) == 0;
}

/* ---- ids ---- */

/* The names end in NUL bytes, which no name contains: no two pairs read alike. */
static void make_id(struct str secret, const char *pool, const char *backend,
                    uint8_t out[static ID_BYTES])
{
    static const char purpose[] = "sluice sticky cookie 1";
    uint8_t mac[EVP_MAX_MD_SIZE];
    struct strbuf text = {0};
    unsigned len = 0;

    strbuf_add(&text, purpose, sizeof(purpose));
    strbuf_add(&text, pool, strlen(pool) + 1);
    strbuf_add(&text, backend, strlen(backend) + 1);
    sl_assert(secret.len <= INT32_MAX);
    sl_assert(HMAC(EVP_sha256(), secret.p, (int)secret.len, (const uint8_t *)text.p, text.len, mac,
                   &len) != NULL &&
              len >= ID_BYTES);
    memcpy(out, mac, ID_BYTES);
    OPENSSL_cleanse(mac, sizeof(mac));
    strbuf_fini(&text);
}

static uint32_t place_of(const struct stick *s, const uint8_t id[static ID_BYTES])
{
    return (uint32_t)hash_bytes(id, ID_BYTES, s->seed) & s->mask;
}

static void add_entry(struct stick *s, const uint8_t id[static ID_BYTES], uint32_t member)
{
    uint32_t at = place_of(s, id);

    while (s->table[at].member != STICK_NONE)
        at = (at + 1) & s->mask;
    memcpy(s->table[at].id, id, ID_BYTES);
    s->table[at].member = member;
}

static struct str cookie_text(const struct sticky_conf *conf, const uint8_t id[static ID_BYTES])
{
    char value[STICK_ID_TEXT];
    struct strbuf b = {0};

    encode(id, value);
    strbuf_addf(&b, "%s=%.*s; Path=/", conf->cookie, STICK_ID_TEXT, value);
    if (conf->max_age_s > 0)
        strbuf_addf(&b, "; Max-Age=%u", conf->max_age_s);
    strbuf_addf(&b, "; HttpOnly; SameSite=Lax%s", SECURE);
    return strbuf_str(&b);
}

/* ---- public ---- */

struct stick *stick_new(const struct pool_conf *conf, const struct stick *before)
{
    const struct sticky_conf *sticky = conf->http.sticky;
    struct stick *s = xcalloc(1, sizeof(*s));
    uint8_t id[ID_BYTES];
    struct str secret = {(const char *)s->own, sizeof(s->own)};
    uint32_t size = 4;

    while (size < 2 * conf->n_backends)
        size *= 2;
    s->mask = size - 1;
    s->table = xcalloc(size, sizeof(*s->table));
    for (uint32_t i = 0; i < size; i++)
        s->table[i].member = STICK_NONE;
    s->n = conf->n_backends;
    s->cookies = xcalloc(s->n > 0 ? s->n : 1, sizeof(*s->cookies));
    s->random = sticky->secret == NULL;
    sl_assert(RAND_bytes(s->own, sizeof(s->own)) == 1 &&
              RAND_bytes((uint8_t *)&s->seed, sizeof(s->seed)) == 1);
    if (before != NULL && before->random)
        memcpy(s->own, before->own, sizeof(s->own));
    if (!s->random)
        secret = str_of(sticky->secret);
    for (uint32_t i = 0; i < s->n; i++) {
        make_id(secret, conf->name, conf->backends[i].name, id);
        add_entry(s, id, i);
        s->cookies[i] = cookie_text(sticky, id);
    }
    return s;
}

void stick_free(struct stick **stick)
{
    struct stick *s = *stick;

    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->n; i++)
        free((char *)s->cookies[i].p);
    free(s->cookies);
    OPENSSL_cleanse(s->own, sizeof(s->own));
    OPENSSL_cleanse(s->table, (s->mask + 1) * sizeof(*s->table));
    free(s->table);
    free(s);
    *stick = NULL;
}

const char *stick_warning(const struct stick *s)
{
    return s->random ? "sticky.secret is not set: a random one is used, so cookies are good for "
                       "nothing after a restart and at other instances"
                     : NULL;
}

uint32_t stick_find(const struct stick *s, struct str value)
{
    uint8_t id[ID_BYTES];

    if (!decode(value, id))
        return STICK_NONE;
    for (uint32_t at = place_of(s, id); s->table[at].member != STICK_NONE;
         at = (at + 1) & s->mask) {
        if (CRYPTO_memcmp(s->table[at].id, id, ID_BYTES) == 0)
            return s->table[at].member;
    }
    return STICK_NONE;
}

struct str stick_cookie(const struct stick *s, uint32_t member, bool secure)
{
    sl_assert(member < s->n);
    struct str c = s->cookies[member];

    return secure ? c : (struct str){c.p, c.len - (sizeof(SECURE) - 1)};
}
