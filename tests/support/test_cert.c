/* test_cert.c - see test_cert.h */
#include "tests/support/test_cert.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void must(int ok)
{
    if (!ok)
        abort();
}

static void extend(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    must(e != NULL && X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
}

struct test_cert test_cert_new(const struct test_cert_wish *w, const struct test_cert *signer)
{
    struct test_cert c = {.x = X509_new()};
    uint32_t serial;

    c.key = w->rsa_bits > 0 ? EVP_RSA_gen((unsigned)w->rsa_bits) : EVP_EC_gen("P-256");
    must(c.x != NULL && c.key != NULL && RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1);
    X509_set_version(c.x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x), (long)(serial >> 1) + 1);
    X509_gmtime_adj(X509_getm_notBefore(c.x), w->from_s == 0 ? -3600 : w->from_s);
    X509_gmtime_adj(X509_getm_notAfter(c.x), w->to_s == 0 ? 30 * 86400 : w->to_s);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c.x), "CN", MBSTRING_UTF8,
                               (const unsigned char *)w->cn, -1, -1, 0);
    X509_set_issuer_name(c.x, X509_get_subject_name(signer != NULL ? signer->x : c.x));
    X509_set_pubkey(c.x, c.key);
    extend(c.x, NID_basic_constraints, w->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (w->names != NULL)
        extend(c.x, NID_subject_alt_name, w->names);
    must(X509_sign(c.x, signer != NULL ? signer->key : c.key, EVP_sha256()) > 0);
    return c;
}

void test_cert_free(struct test_cert *c)
{
    X509_free(c->x);
    EVP_PKEY_free(c->key);
    *c = (struct test_cert){0};
}

void test_cert_write(const struct test_cert *c, const char *cert_path, const char *key_path)
{
    FILE *f;

    if (cert_path != NULL) {
        must((f = fopen(cert_path, "w")) != NULL && PEM_write_X509(f, c->x));
        must(fclose(f) == 0);
    }
    if (key_path != NULL) {
        must((f = fopen(key_path, "w")) != NULL &&
             PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL));
        must(fclose(f) == 0 && chmod(key_path, 0600) == 0);
    }
}

void test_cert_write_crl(const struct test_cert *authority, const struct test_cert *revoked,
                         const char *path)
{
    X509_CRL *crl = X509_CRL_new();
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *when = ASN1_TIME_new();
    FILE *f = fopen(path, "w");

    must(crl != NULL && entry != NULL && when != NULL && f != NULL);
    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(authority->x));
    X509_gmtime_adj(when, -3600);
    X509_CRL_set1_lastUpdate(crl, when);
    X509_REVOKED_set_revocationDate(entry, when);
    X509_gmtime_adj(when, 86400);
    X509_CRL_set1_nextUpdate(crl, when);
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked->x));
    must(X509_CRL_add0_revoked(crl, entry) == 1 && X509_CRL_sort(crl) == 1);
    must(X509_CRL_sign(crl, authority->key, EVP_sha256()) > 0 && PEM_write_X509_CRL(f, crl) == 1);
    must(fclose(f) == 0);
    ASN1_TIME_free(when);
    X509_CRL_free(crl);
}
