/* test_cert.h - certificates for tests, made on the spot. */
#ifndef SLUICE_TESTS_SUPPORT_TEST_CERT_H
#define SLUICE_TESTS_SUPPORT_TEST_CERT_H

#include <openssl/x509.h>

struct test_cert {
    X509 *x;
    EVP_PKEY *key;
};

struct test_cert_wish {
    const char *cn;
    const char *names; /* "DNS:a.example,IP:127.0.0.1"; NULL: none */
    long from_s, to_s; /* from now; 0, 0: valid for a day */
    int rsa_bits;      /* 0: P-256 */
    int is_ca;
};

/* signer NULL: by itself. Aborts where it cannot. */
struct test_cert test_cert_new(const struct test_cert_wish *wish, const struct test_cert *signer);
void test_cert_free(struct test_cert *c);
/* PEM, into a file each; NULL: not wanted. */
void test_cert_write(const struct test_cert *c, const char *cert_path, const char *key_path);
/* A revocation list of authority with one entry, PEM. */
void test_cert_write_crl(const struct test_cert *authority, const struct test_cert *revoked,
                         const char *path);

#endif
