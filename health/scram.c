/* scram.c - see scram.h */
#include "health/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#define ITERATIONS_MAX 100000 /* more would hold up other checks */
#define SALT_MAX       64
#define HEADER         "n,," /* no channel binding; its base64 is biws */

size_t scram_first(struct scram *s, const char *nonce, char out[static SCRAM_TEXT_MAX])
{
    snprintf(s->first, sizeof(s->first), "n=,r=%.*s", SCRAM_NONCE_LEN, nonce);
    return (size_t)snprintf(out, SCRAM_TEXT_MAX, HEADER "%s", s->first);
}

/* The value of "x=value" at the beginning of *rest; cuts it off. */
static bool attribute(struct str *rest, char name, struct str *out)
{
    if (rest->len < 2 || rest->p[0] != name || rest->p[1] != '=')
        return false;
    const char *comma = memchr(rest->p, ',', rest->len);
    size_t n = comma != NULL ? (size_t)(comma - rest->p) : rest->len;
    *out = (struct str){rest->p + 2, n - 2};
    *rest = comma != NULL ? (struct str){comma + 1, rest->len - n - 1} : STR("");
    return true;
}

/* Bytes, or -1. */
static int decode(struct str text, uint8_t *out, size_t size)
{
    uint8_t raw[SALT_MAX * 2];

    if (text.len == 0 || text.len % 4 != 0 || text.len / 4 * 3 > sizeof(raw))
        return -1;
    int n = EVP_DecodeBlock(raw, (const uint8_t *)text.p, (int)text.len);
    for (size_t i = text.len; n > 0 && i > text.len - 2 && text.p[i - 1] == '='; i--)
        n--;
    if (n < 0 || (size_t)n > size)
        return -1;
    memcpy(out, raw, (size_t)n);
    return n;
}

static void hmac(const uint8_t *key, struct str text, uint8_t out[static 32])
{
    unsigned n;

    HMAC(EVP_sha256(), key, 32, (const uint8_t *)text.p, text.len, out, &n);
}

struct server_first {
    struct str nonce;
    uint8_t salt[SALT_MAX];
    int salt_len;
    uint64_t iterations;
};

static bool read_server_first(const struct scram *s, struct str text, struct server_first *out)
{
    struct str rest = text, salt, iterations, own = {s->first + 5, strlen(s->first) - 5};

    if (text.len > SCRAM_TEXT_MAX / 2 || !attribute(&rest, 'r', &out->nonce) ||
        !attribute(&rest, 's', &salt) || !attribute(&rest, 'i', &iterations))
        return false;
    out->salt_len = decode(salt, out->salt, sizeof(out->salt));
    return out->salt_len > 0 && out->nonce.len > own.len && str_starts(out->nonce, own) &&
           str_u64(iterations, ITERATIONS_MAX, &out->iterations) == 0 && out->iterations > 0;
}

size_t scram_final(struct scram *s, const char *password, struct str server_first,
                   char out[static SCRAM_TEXT_MAX])
{
    uint8_t salted[32], client_key[32], stored_key[32], signature[32], server_key[32];
    char message[SCRAM_TEXT_MAX * 2], proof[64];
    struct server_first f;

    if (!read_server_first(s, server_first, &f))
        return 0;
    int n = snprintf(out, SCRAM_TEXT_MAX, "c=biws,r=%.*s", (int)f.nonce.len, f.nonce.p);
    int m = snprintf(message, sizeof(message), "%s,%.*s,%s", s->first, (int)server_first.len,
                     server_first.p, out);
    if (m < 0 || (size_t)m >= sizeof(message) ||
        PKCS5_PBKDF2_HMAC(password, (int)strlen(password), f.salt, f.salt_len, (int)f.iterations,
                          EVP_sha256(), sizeof(salted), salted) != 1)
        return 0;
    hmac(salted, STR("Client Key"), client_key);
    SHA256(client_key, sizeof(client_key), stored_key);
    hmac(stored_key, (struct str){message, (size_t)m}, signature);
    for (size_t i = 0; i < sizeof(client_key); i++)
        client_key[i] ^= signature[i];
    hmac(salted, STR("Server Key"), server_key);
    hmac(server_key, (struct str){message, (size_t)m}, s->server_signature);
    EVP_EncodeBlock((uint8_t *)proof, client_key, sizeof(client_key));
    OPENSSL_cleanse(salted, sizeof(salted));
    n += snprintf(out + n, SCRAM_TEXT_MAX - (size_t)n, ",p=%s", proof);
    return (size_t)n;
}

bool scram_verify(const struct scram *s, struct str server_final)
{
    struct str rest = server_final, signature;
    uint8_t raw[32];

    return attribute(&rest, 'v', &signature) && decode(signature, raw, sizeof(raw)) == 32 &&
           CRYPTO_memcmp(raw, s->server_signature, sizeof(raw)) == 0;
}
