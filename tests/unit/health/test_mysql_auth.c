/* test_mysql_auth.c - proofs for MySQL: values that other clients' tests have, computed or recorded
 * elsewhere; a password that only the owner of the key reads. */
#include "health/mysql_auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

static const uint8_t seed[MYSQL_SEED_LEN] = {10,  47, 74, 111, 75, 73, 34, 48, 88, 76,
                                             114, 74, 37, 13,  3,  80, 82, 2,  23, 21};

static void to_hex(const uint8_t *p, size_t n, char out[static 65])
{
    for (size_t i = 0; i < n; i++)
        snprintf(out + i * 2, 3, "%02x", p[i]);
}

static void a_native_proof_is_as_others_make_it(void **state)
{
    uint8_t proof[MYSQL_PROOF_MAX];
    char hex[65];

    (void)state;
    size_t n = mysql_native_proof("kingshard", (const uint8_t *)"@jx=d_3z42;sS$YrS)p|", proof);
    assert_int_equal(n, 20);
    to_hex(proof, n, hex);
    assert_string_equal(hex, "fbc71db5ac3d7b51048d1a1d88c1677f34bcca11");
}

static void a_sha2_proof_is_as_others_make_it(void **state)
{
    uint8_t proof[MYSQL_PROOF_MAX];
    char hex[65];

    (void)state;
    assert_int_equal(mysql_sha2_proof("secret", seed, proof), 32);
    to_hex(proof, 32, hex);
    assert_string_equal(hex, "f490e76f66d9d86665ce54d98c78d0acfe2fb0b08b423da807144873d30b312c");
    assert_int_equal(mysql_sha2_proof("secret2", seed, proof), 32);
    to_hex(proof, 32, hex);
    assert_string_equal(hex, "abc3934a012cf342e876071c8ee202de51785b430258a7a0138bc79c4d800bc6");
}

static void without_a_password_there_is_nothing_to_prove(void **state)
{
    uint8_t proof[MYSQL_PROOF_MAX];

    (void)state;
    assert_int_equal(mysql_native_proof(NULL, seed, proof), 0);
    assert_int_equal(mysql_native_proof("", seed, proof), 0);
    assert_int_equal(mysql_sha2_proof(NULL, seed, proof), 0);
    assert_int_equal(mysql_sha2_proof("", seed, proof), 0);
}

/* ---- encrypted ---- */

static char *public_pem(EVP_PKEY *key, size_t *n)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p;

    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    *n = (size_t)BIO_get_mem_data(bio, &p);
    char *copy = malloc(*n); /* without a NUL, as it comes */
    assert_non_null(copy);
    memcpy(copy, p, *n);
    BIO_free(bio);
    return copy;
}

static size_t decrypt(EVP_PKEY *key, const uint8_t *p, size_t n, uint8_t out[static MYSQL_RSA_MAX])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    size_t len = MYSQL_RSA_MAX;

    assert_int_equal(EVP_PKEY_decrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING), 1);
    assert_int_equal(EVP_PKEY_decrypt(ctx, out, &len, p, n), 1);
    EVP_PKEY_CTX_free(ctx);
    return len;
}

static void the_owner_of_the_key_reads_the_password(void **state)
{
    static const char password[] = "longer than a seed, so that it comes around";
    uint8_t secret[MYSQL_RSA_MAX], text[MYSQL_RSA_MAX];
    EVP_PKEY *key = EVP_RSA_gen(2048);
    size_t pem_len;

    (void)state;
    char *pem = public_pem(key, &pem_len);
    size_t n = mysql_sha2_encrypt(password, seed, (struct str){pem, pem_len}, secret);
    assert_int_equal(n, 256);
    assert_int_equal(decrypt(key, secret, n, text), sizeof(password));
    for (size_t i = 0; i < sizeof(password); i++)
        text[i] ^= seed[i % MYSQL_SEED_LEN];
    assert_string_equal((char *)text, password);
    free(pem);
    EVP_PKEY_free(key);
}

static void what_is_no_rsa_key_is_refused(void **state)
{
    uint8_t secret[MYSQL_RSA_MAX];
    EVP_PKEY *ec = EVP_EC_gen("P-256"), *rsa = EVP_RSA_gen(2048);
    size_t ec_len, rsa_len;
    char long_one[300];

    (void)state;
    char *ec_pem = public_pem(ec, &ec_len), *rsa_pem = public_pem(rsa, &rsa_len);
    struct str good = {rsa_pem, rsa_len};
    assert_int_equal(mysql_sha2_encrypt("x", seed, (struct str){ec_pem, ec_len}, secret), 0);
    assert_int_equal(mysql_sha2_encrypt("x", seed, STR("no key"), secret), 0);
    assert_int_equal(mysql_sha2_encrypt("x", seed, STR(""), secret), 0);
    good.len /= 2;
    assert_int_equal(mysql_sha2_encrypt("x", seed, good, secret), 0);
    good.len = rsa_len;
    memset(long_one, 'x', sizeof(long_one));
    long_one[213] = '\0'; /* with its NUL all that OAEP takes of 256 bytes */
    assert_int_equal(mysql_sha2_encrypt(long_one, seed, good, secret), 256);
    long_one[213] = 'x';
    long_one[214] = '\0';
    assert_int_equal(mysql_sha2_encrypt(long_one, seed, good, secret), 0);
    long_one[214] = 'x';
    long_one[299] = '\0';
    assert_int_equal(mysql_sha2_encrypt(long_one, seed, good, secret), 0);
    free(ec_pem);
    free(rsa_pem);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_native_proof_is_as_others_make_it),
        cmocka_unit_test(a_sha2_proof_is_as_others_make_it),
        cmocka_unit_test(without_a_password_there_is_nothing_to_prove),
        cmocka_unit_test(the_owner_of_the_key_reads_the_password),
        cmocka_unit_test(what_is_no_rsa_key_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
