/* stream_tls_facts.c - what is known of a connection's TLS, in words, for logs and variables. Made
 * when first asked for, in one piece of memory that lives as long as the stream. */
#include "lb/net/stream_tls_priv.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 2048 /* of all facts together; what does not fit is cut */

struct kept {
    struct tls_facts facts; /* first */
    size_t used;
    char text[TEXT_BYTES];
};

static struct str keep(struct kept *k, const char *text, size_t len)
{
    size_t room = sizeof(k->text) - k->used;
    size_t n = len < room ? len : room;
    char *at = k->text + k->used;

    memcpy(at, text, n);
    k->used += n;
    return (struct str){at, n};
}

static struct str keep_cstr(struct kept *k, const char *text)
{
    return keep(k, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

static struct str keep_name(struct kept *k, const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    long n = 0;

    if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
        n = BIO_get_mem_data(bio, &data);
    struct str out = keep(k, data != NULL ? data : "", n > 0 ? (size_t)n : 0);
    BIO_free(bio);
    return out;
}

static struct str keep_hex(struct kept *k, const uint8_t *data, size_t n)
{
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";

    for (size_t i = 0; i < n && i < EVP_MAX_MD_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02X", data[i]);
    return keep(k, hex, strlen(hex));
}

static void client_facts(struct kept *k, const EVP_MD *sha256, SSL *ssl, X509 *x)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    long verify = SSL_get_verify_result(ssl);
    char text[128];

    if (verify == X509_V_OK)
        snprintf(text, sizeof(text), "SUCCESS");
    else
        snprintf(text, sizeof(text), "FAILED:%s", X509_verify_cert_error_string(verify));
    k->facts.client_verify = keep_cstr(k, text);
    k->facts.client_subject = keep_name(k, X509_get_subject_name(x));
    k->facts.client_issuer = keep_name(k, X509_get_issuer_name(x));
    k->facts.client_serial =
        keep_hex(k, ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
    if (X509_digest(x, sha256, hash, &n) == 1)
        k->facts.client_fingerprint = keep_hex(k, hash, n);
}

static void find_out(struct stream *s, struct kept *k)
{
    SSL *ssl = s->tls->ssl;
    struct str alpn = stream_tls_alpn(s);

    k->facts.version = keep_cstr(k, SSL_get_version(ssl));
    if (SSL_get_current_cipher(ssl) != NULL) /* none: OpenSSL calls it (NONE) */
        k->facts.cipher = keep_cstr(k, SSL_get_cipher_name(ssl));
    k->facts.sni = keep_cstr(k, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    k->facts.alpn = keep(k, alpn.len > 0 ? alpn.p : "", alpn.len);
    k->facts.resumed = stream_tls_resumed(s);
    X509 *x = s->tls->server != NULL ? SSL_get0_peer_certificate(ssl) : NULL;
    if (x != NULL)
        client_facts(k, tls_server_env(s->tls->server)->sha256, ssl, x);
    else
        k->facts.client_verify = keep_cstr(k, "NONE");
    ERR_clear_error();
}

/* A copy that is no longer than it must be: idle connections keep theirs. */
static struct kept *shrink(const struct kept *k)
{
    struct kept *out = malloc(offsetof(struct kept, text) + k->used);

    if (out == NULL)
        return NULL;
    memcpy(out, k, offsetof(struct kept, text) + k->used);
    struct tls_facts *f = &out->facts;
    struct str *texts[] = {&f->version,       &f->cipher,        &f->sni,
                           &f->alpn,          &f->client_verify, &f->client_subject,
                           &f->client_issuer, &f->client_serial, &f->client_fingerprint};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i]->p != NULL)
            texts[i]->p = out->text + (texts[i]->p - k->text);
    return out;
}

bool stream_tls_facts(struct stream *s, struct tls_facts *out)
{
    if (s->tls->facts == NULL) {
        struct kept k = {.used = 0};
        find_out(s, &k);
        struct kept *kept = shrink(&k);
        if (kept == NULL)
            return false;
        s->tls->facts = &kept->facts;
    }
    *out = *s->tls->facts;
    out->early = stream_tls_early(s);
    return true;
}
