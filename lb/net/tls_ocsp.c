/* tls_ocsp.c - see tls_ocsp.h */
#include "lb/net/tls_ocsp.h"

#include "lb/net/tls_priv.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLACK_S 300 /* between our clock and the responder's */

struct pair {
    X509 *leaf, *issuer;
};

static void pair_fini(struct pair *p)
{
    X509_free(p->leaf);
    X509_free(p->issuer);
    ERR_clear_error();
}

static bool pair_read(struct str chain, struct pair *out)
{
    BIO *bio = BIO_new_mem_buf(chain.p, (int)chain.len);

    *out = (struct pair){0};
    if (bio == NULL)
        return false;
    out->leaf = PEM_read_bio_X509(bio, NULL, tls_no_password, NULL);
    if (out->leaf != NULL)
        out->issuer = PEM_read_bio_X509(bio, NULL, tls_no_password, NULL);
    BIO_free(bio);
    return out->issuer != NULL && X509_check_issued(out->issuer, out->leaf) == X509_V_OK;
}

/* ---- the question ---- */

static bool split_url(const char *url, struct tls_ocsp_question *out)
{
    char *host = NULL, *port = NULL, *path = NULL;
    int secure = 0;
    bool good = OCSP_parse_url(url, &host, &port, &path, &secure) == 1 && !secure &&
                strlen(host) < sizeof(out->host) && strlen(path) < sizeof(out->path);

    if (good) {
        strcpy(out->host, host);
        strcpy(out->path, path);
        out->port = (uint16_t)atoi(port);
        for (const char *c = path; *c != '\0'; c++)
            good = good && *c > ' ' && *c < 0x7f;
        for (const char *c = host; *c != '\0'; c++)
            good = good && *c > ' ' && *c < 0x7f;
    }
    OPENSSL_free(host);
    OPENSSL_free(port);
    OPENSSL_free(path);
    return good;
}

static const char *find_responder(X509 *leaf, struct tls_ocsp_question *out)
{
    STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(leaf);
    const char *why = "the certificate names no OCSP responder";

    for (int i = 0; urls != NULL && i < sk_OPENSSL_STRING_num(urls); i++) {
        if (split_url(sk_OPENSSL_STRING_value(urls, i), out)) {
            why = NULL;
            break;
        }
        why = "the certificate's OCSP responder is not to be asked over http";
    }
    X509_email_free(urls);
    return why;
}

static const char *write_request(const struct pair *p, struct tls_ocsp_question *out)
{
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), p->leaf, p->issuer);
    unsigned char *der = NULL;
    int len = -1;

    if (request != NULL && id != NULL && OCSP_request_add0_id(request, id) != NULL) {
        id = NULL; /* the request's */
        len = i2d_OCSP_REQUEST(request, &der);
    }
    if (len > 0) {
        out->der = malloc((size_t)len);
        out->len = (size_t)len;
        if (out->der != NULL)
            memcpy(out->der, der, (size_t)len);
    }
    OPENSSL_free(der);
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(request);
    return out->der != NULL ? NULL : "out of memory";
}

const char *tls_ocsp_ask(struct str chain, struct tls_ocsp_question *out)
{
    const char *why;
    struct pair p;

    *out = (struct tls_ocsp_question){0};
    if (!pair_read(chain, &p)) {
        pair_fini(&p);
        return "the certificate's issuer does not stand behind it in its file";
    }
    why = find_responder(p.leaf, out);
    if (why == NULL)
        why = write_request(&p, out);
    pair_fini(&p);
    return why;
}

void tls_ocsp_question_fini(struct tls_ocsp_question *q)
{
    free(q->der);
    q->der = NULL;
}

/* ---- the answer ---- */

static int64_t seconds_of(const ASN1_GENERALIZEDTIME *t)
{
    struct tm tm;

    return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : INT64_MAX;
}

/* Signed by the issuer, or by whom it has appointed. */
static bool is_signed(OCSP_BASICRESP *basic, const struct pair *p)
{
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *certs = sk_X509_new_null();
    bool good = false;

    if (store != NULL && certs != NULL && sk_X509_push(certs, p->issuer) > 0) {
        X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
        good = X509_STORE_add_cert(store, p->issuer) == 1 &&
               OCSP_basic_verify(basic, certs, store, 0) == 1;
    }
    sk_X509_free(certs);
    X509_STORE_free(store);
    return good;
}

static const char *judge_status(OCSP_BASICRESP *basic, const struct pair *p, int64_t now_s,
                                int64_t *out_until_s, char *words)
{
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), p->leaf, p->issuer);
    ASN1_GENERALIZEDTIME *revoked_at = NULL, *from = NULL, *until = NULL;
    int status = -1, reason = -1;
    bool found = id != NULL && OCSP_resp_find_status(basic, id, &status, &reason, &revoked_at,
                                                     &from, &until) == 1;

    OCSP_CERTID_free(id);
    if (!found)
        return "it does not speak of this certificate";
    if (status == V_OCSP_CERTSTATUS_REVOKED) {
        snprintf(words, TLS_OCSP_WORDS_MAX, "the certificate is REVOKED%s%s",
                 reason >= 0 ? ": " : "", reason >= 0 ? OCSP_crl_reason_str(reason) : "");
        return words;
    }
    if (status != V_OCSP_CERTSTATUS_GOOD)
        return "it does not know the certificate";
    if (seconds_of(from) > now_s + SLACK_S)
        return "it is not valid yet";
    *out_until_s = seconds_of(until);
    return *out_until_s <= now_s ? "it has expired" : NULL;
}

const char *tls_ocsp_judge(struct str chain, struct str answer, int64_t now_s, int64_t *out_until_s,
                           char words[static TLS_OCSP_WORDS_MAX])
{
    const unsigned char *at = (const unsigned char *)answer.p;
    OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &at, (long)answer.len);
    OCSP_BASICRESP *basic = NULL;
    const char *why = NULL;
    struct pair p;

    if (!pair_read(chain, &p)) {
        why = "the certificate's issuer does not stand behind it in its file";
    } else if (r == NULL || at != (const unsigned char *)answer.p + answer.len) {
        why = "it is no OCSP response";
    } else if (OCSP_response_status(r) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        snprintf(words, TLS_OCSP_WORDS_MAX, "the responder says %s",
                 OCSP_response_status_str(OCSP_response_status(r)));
        why = words;
    } else if ((basic = OCSP_response_get1_basic(r)) == NULL) {
        why = "it is no basic OCSP response";
    } else if (!is_signed(basic, &p)) {
        why = "it is not signed by the certificate's issuer, nor by whom that has appointed";
    } else {
        why = judge_status(basic, &p, now_s, out_until_s, words);
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(r);
    pair_fini(&p);
    return why;
}
