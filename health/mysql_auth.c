/* mysql_auth.c - see mysql_auth.h. As MySQL's documentation of its protocol has it ("Native
 * Authentication", "Caching_sha2_password information"). */
#include "health/mysql_auth.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <string.h>

#define PASSWORD_MAX 256 /* with its NUL */

/* SHA1(password) XOR SHA1(seed + SHA1(SHA1(password))) */
size_t mysql_native_proof(const char *password, const uint8_t seed[static MYSQL_SEED_LEN],
                          uint8_t out[static MYSQL_PROOF_MAX])
{
    uint8_t once[SHA_DIGEST_LENGTH], mix[MYSQL_SEED_LEN + SHA_DIGEST_LENGTH];

    if (password == NULL || password[0] == '\0')
        return 0;
    SHA1((const uint8_t *)password, strlen(password), once);
    memcpy(mix, seed, MYSQL_SEED_LEN);
    SHA1(once, sizeof(once), mix + MYSQL_SEED_LEN);
    SHA1(mix, sizeof(mix), out);
    for (size_t i = 0; i < sizeof(once); i++)
        out[i] ^= once[i];
    return sizeof(once);
}

/* SHA256(password) XOR SHA256(SHA256(SHA256(password)) + seed) */
size_t mysql_sha2_proof(const char *password, const uint8_t seed[static MYSQL_SEED_LEN],
                        uint8_t out[static MYSQL_PROOF_MAX])
{
    uint8_t once[SHA256_DIGEST_LENGTH], mix[SHA256_DIGEST_LENGTH + MYSQL_SEED_LEN];

    if (password == NULL || password[0] == '\0')
        return 0;
    SHA256((const uint8_t *)password, strlen(password), once);
    SHA256(once, sizeof(once), mix);
    memcpy(mix + SHA256_DIGEST_LENGTH, seed, MYSQL_SEED_LEN);
    SHA256(mix, sizeof(mix), out);
    for (size_t i = 0; i < sizeof(once); i++)
        out[i] ^= once[i];
    return sizeof(once);
}

static EVP_PKEY *read_key(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    if (key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA &&
        EVP_PKEY_get_size(key) <= MYSQL_RSA_MAX)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

/* OAEP with SHA-1, which is what the server decrypts. */
static size_t encrypt(EVP_PKEY *key, const uint8_t *text, size_t n,
                      uint8_t out[static MYSQL_RSA_MAX])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    size_t len = MYSQL_RSA_MAX;
    bool good = ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
                EVP_PKEY_encrypt(ctx, out, &len, text, n) == 1;

    EVP_PKEY_CTX_free(ctx);
    return good ? len : 0;
}

size_t mysql_sha2_encrypt(const char *password, const uint8_t seed[static MYSQL_SEED_LEN],
                          struct str pem, uint8_t out[static MYSQL_RSA_MAX])
{
    size_t n = strlen(password) + 1; /* with its NUL */
    uint8_t mixed[PASSWORD_MAX];

    EVP_PKEY *key = n <= sizeof(mixed) ? read_key(pem) : NULL;
    for (size_t i = 0; key != NULL && i < n; i++)
        mixed[i] = (uint8_t)password[i] ^ seed[i % MYSQL_SEED_LEN];
    size_t len = key != NULL ? encrypt(key, mixed, n, out) : 0;
    OPENSSL_cleanse(mixed, sizeof(mixed));
    EVP_PKEY_free(key);
    ERR_clear_error();
    return len;
}
