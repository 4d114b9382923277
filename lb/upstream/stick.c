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
    uint8_t id[ID_BYTES]; /* not of a route */
    uint32_t member;      /* STICK_NONE: free */
};

struct stick {
    bool route;
    bool random;
    uint8_t own[32]; /* the random secret */
    uint64_t seed;
    uint32_t n;
    struct str *texts; /* by member: the cookie with SECURE at its end; of a route the name */
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

static uint32_t place_of(const struct stick *s, const void *key, size_t len)
{
    return (uint32_t)hash_bytes(key, len, s->seed) & s->mask;
}

static struct entry *add_entry(struct stick *s, const void *key, size_t len, uint32_t member)
{
    uint32_t at = place_of(s, key, len);

    while (s->table[at].member != STICK_NONE)
        at = (at + 1) & s->mask;
    s->table[at].member = member;
    return &s->table[at];
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

/* ---- members ---- */

static void add_id(struct stick *s, const struct pool_conf *conf, struct str secret, uint32_t i)
{
    uint8_t id[ID_BYTES];

    make_id(secret, conf->name, conf->backends[i].name, id);
    memcpy(add_entry(s, id, ID_BYTES, i)->id, id, ID_BYTES);
    s->texts[i] = cookie_text(conf->http.sticky, id);
}

static void add_name(struct stick *s, const char *name, uint32_t i)
{
    s->texts[i] = str_of(xstrdup(name));
    add_entry(s, s->texts[i].p, s->texts[i].len, i);
}

static uint32_t find_id(const struct stick *s, struct str value)
{
    uint8_t id[ID_BYTES];

    if (!decode(value, id))
        return STICK_NONE;
    for (uint32_t at = place_of(s, id, ID_BYTES); s->table[at].member != STICK_NONE;
         at = (at + 1) & s->mask) {
        if (CRYPTO_memcmp(s->table[at].id, id, ID_BYTES) == 0)
            return s->table[at].member;
    }
    return STICK_NONE;
}

/* The first dot, not the last: a backend's name may have dots, a session's number has none. */
static uint32_t find_name(const struct stick *s, struct str value)
{
    const char *dot = memchr(value.p, '.', value.len);

    if (dot == NULL)
        return STICK_NONE;
    struct str name = {dot + 1, (size_t)(value.p + value.len - dot - 1)};
    for (uint32_t at = place_of(s, name.p, name.len); s->table[at].member != STICK_NONE;
         at = (at + 1) & s->mask) {
        if (str_eq(s->texts[s->table[at].member], name))
            return s->table[at].member;
    }
    return STICK_NONE;
}

/* ---- public ---- */

struct stick *stick_new(const struct pool_conf *conf, const struct stick *before)
{
    const struct sticky_conf *sticky = conf->http.sticky;
    struct stick *s = xcalloc(1, sizeof(*s));
    struct str secret = {(const char *)s->own, sizeof(s->own)};
    uint32_t size = 4;

    while (size < 2 * conf->n_backends)
        size *= 2;
    s->mask = size - 1;
    s->table = xcalloc(size, sizeof(*s->table));
    for (uint32_t i = 0; i < size; i++)
        s->table[i].member = STICK_NONE;
    s->n = conf->n_backends;
    s->texts = xcalloc(s->n > 0 ? s->n : 1, sizeof(*s->texts));
    s->route = sticky->route;
    s->random = sticky->secret == NULL && !s->route;
    sl_assert(RAND_bytes(s->own, sizeof(s->own)) == 1 &&
              RAND_bytes((uint8_t *)&s->seed, sizeof(s->seed)) == 1);
    if (before != NULL && before->random)
        memcpy(s->own, before->own, sizeof(s->own));
    if (sticky->secret != NULL)
        secret = str_of(sticky->secret);
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->route)
            add_name(s, conf->backends[i].name, i);
        else
            add_id(s, conf, secret, i);
    }
    return s;
}

void stick_free(struct stick **stick)
{
    struct stick *s = *stick;

    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->n; i++)
        free((char *)s->texts[i].p);
    free(s->texts);
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
    return s->route ? find_name(s, value) : find_id(s, value);
}

bool stick_sets_cookie(const struct stick *s)
{
    return !s->route;
}

struct str stick_cookie(const struct stick *s, uint32_t member, bool secure)
{
    sl_assert(member < s->n && !s->route);
    struct str c = s->texts[member];

    return secure ? c : (struct str){c.p, c.len - (sizeof(SECURE) - 1)};
}
