/* tls_cert_info.c - what is told of a certificate: names, kind of key, dates, fingerprint. Copies,
 * so that nothing of OpenSSL's is kept for it. */
#include "lb/base/alloc.h"
#include "lb/net/tls_priv.h"

#include <ctype.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *name_text(X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data, *text;

    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    long n = BIO_get_mem_data(bio, &data);
    text = xmalloc((size_t)n + 1);
    memcpy(text, data, (size_t)n);
    text[n] = '\0';
    BIO_free(bio);
    return text;
}

static char *hex_text(const uint8_t *data, size_t n)
{
    char *text = xmalloc(2 * n + 1);

    for (size_t i = 0; i < n; i++) {
        text[2 * i] = "0123456789ABCDEF"[data[i] >> 4];
        text[2 * i + 1] = "0123456789ABCDEF"[data[i] & 15];
    }
    text[2 * n] = '\0';
    return text;
}

static char *serial_text(const X509 *x)
{
    BIGNUM *bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *hex = bn != NULL ? BN_bn2hex(bn) : NULL;
    char *text = xstrdup(hex != NULL ? hex : "");

    OPENSSL_free(hex);
    BN_free(bn);
    return text;
}

static char *key_type_text(const X509 *x)
{
    EVP_PKEY *key = X509_get0_pubkey(x);
    char group[64] = "", text[96];

    if (key == NULL)
        return xstrdup("?");
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        snprintf(text, sizeof(text), "RSA %d", EVP_PKEY_get_bits(key));
        break;
    case EVP_PKEY_EC:
        EVP_PKEY_get_group_name(key, group, sizeof(group), NULL);
        snprintf(text, sizeof(text), "EC %s",
                 strcmp(group, "prime256v1") == 0  ? "P-256"
                 : strcmp(group, "secp384r1") == 0 ? "P-384"
                                                   : group);
        break;
    default:
        snprintf(text, sizeof(text), "%s", EVP_PKEY_get0_type_name(key));
    }
    return xstrdup(text);
}

int64_t tls_time_of(const ASN1_TIME *t)
{
    struct tm tm;

    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void add_name(struct tls_cert_info *info, const char *text, size_t len)
{
    char **names = (char **)(uintptr_t)info->names;
    char *name = xmalloc(len + 1);

    for (size_t i = 0; i < len; i++)
        name[i] = (char)tolower((unsigned char)text[i]);
    name[len] = '\0';
    names = xrealloc(names, (info->n_names + 1) * sizeof(names[0]));
    names[info->n_names++] = name;
    info->names = (const char *const *)names;
}

/* The names of subjectAltName; the subject's common name only where there are none. */
static void find_names(X509 *x, struct tls_cert_info *info)
{
    GENERAL_NAMES *alt = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    char cn[256];

    for (int i = 0; i < sk_GENERAL_NAME_num(alt); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(alt, i);
        if (n->type != GEN_DNS)
            continue;
        const char *text = (const char *)ASN1_STRING_get0_data(n->d.dNSName);
        size_t len = (size_t)ASN1_STRING_length(n->d.dNSName);
        if (len > 0 && memchr(text, '\0', len) == NULL)
            add_name(info, text, len);
    }
    GENERAL_NAMES_free(alt);
    if (info->n_names == 0 &&
        X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, cn, sizeof(cn)) > 0)
        add_name(info, cn, strlen(cn));
}

void tls_cert_info_fill(X509 *x, const char *path, struct tls_cert_info *info)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    X509_digest(x, EVP_sha256(), hash, &n);
    info->file = xstrdup(path);
    info->subject = name_text(X509_get_subject_name(x));
    info->issuer = name_text(X509_get_issuer_name(x));
    info->serial = serial_text(x);
    info->fingerprint = hex_text(hash, n);
    info->key_type = key_type_text(x);
    info->not_before_s = tls_time_of(X509_get0_notBefore(x));
    info->not_after_s = tls_time_of(X509_get0_notAfter(x));
    find_names(x, info);
}

void tls_cert_info_fini(struct tls_cert_info *info)
{
    const char *texts[] = {info->file,   info->subject,     info->issuer,
                           info->serial, info->fingerprint, info->key_type};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free((char *)(uintptr_t)texts[i]);
    for (uint32_t i = 0; i < info->n_names; i++)
        free((char *)(uintptr_t)info->names[i]);
    free((void *)(uintptr_t)info->names);
}

void tls_cert_info_copy(const struct tls_cert_info *from, struct tls_cert_info *to)
{
    *to = *from;
    to->file = xstrdup(from->file);
    to->subject = xstrdup(from->subject);
    to->issuer = xstrdup(from->issuer);
    to->serial = xstrdup(from->serial);
    to->fingerprint = xstrdup(from->fingerprint);
    to->key_type = xstrdup(from->key_type);
    to->names = NULL;
    to->n_names = 0;
    for (uint32_t i = 0; i < from->n_names; i++)
        add_name(to, from->names[i], strlen(from->names[i]));
}
