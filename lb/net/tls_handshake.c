/* tls_handshake.c - what OpenSSL asks a listener while it shakes hands with a client: which
 * certificates (by SNI), which protocol (ALPN), which keys for tickets, which OCSP response, and
 * whether early data may be taken. Runs on the thread of the connection; nothing here waits, and
 * nothing is fetched from the default library context. */
#include "lb/net/tls_server_priv.h"

#include "lb/base/alloc.h"

#include <ctype.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAME_MAX_BYTES 255

/* ---- names ---- */

int tls_name_order(const void *a, const void *b)
{
    return strcmp(((const struct tls_name *)a)->text, ((const struct tls_name *)b)->text);
}

static const struct tls_name *find_name(const struct tls_server *t, const char *text)
{
    struct tls_name key = {.text = (char *)(uintptr_t)text};

    return bsearch(&key, t->names, t->n_names, sizeof(t->names[0]), tls_name_order);
}

/* A wildcard stands for one label (RFC 6125 section 6.4.3). */
static const struct tls_row *row_of(const struct tls_server *t, const char *host)
{
    const struct tls_name *n = find_name(t, host);
    const char *dot = strchr(host, '.');

    if (n == NULL && dot != NULL && dot != host)
        n = find_name(t, dot);
    return n != NULL ? &t->rows[n->row] : NULL;
}

/* ---- what OpenSSL asks while it shakes hands ---- */

/* The host of a ClientHello's server_name extension (RFC 6066 section 3), lower-case. */
static bool hello_name(SSL *ssl, char out[static NAME_MAX_BYTES + 1])
{
    const unsigned char *p;
    size_t len;

    out[0] = '\0';
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &len) != 1 || len < 5)
        return false;
    size_t list = (size_t)p[0] << 8 | p[1], n = (size_t)p[3] << 8 | p[4];
    if (list + 2 != len || p[2] != TLSEXT_NAMETYPE_host_name || n + 5 > len || n == 0 ||
        n > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (p[5 + i] <= ' ' || p[5 + i] >= 0x7f)
            return false;
        out[i] = (char)tolower(p[5 + i]);
    }
    out[n] = '\0';
    if (out[n - 1] == '.')
        out[n - 1] = '\0';
    return out[0] != '\0';
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    struct tls_server *t = arg;
    char host[NAME_MAX_BYTES + 1];
    bool named = hello_name(ssl, host);
    const struct tls_row *row = named ? row_of(t, host) : NULL;

    if (row == NULL && t->strict) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        if (named) /* for the log: OpenSSL has not looked at it yet */
            SSL_set_tlsext_host_name(ssl, host);
        stream_tls_refuse(ssl, "unknown name");
        return SSL_CLIENT_HELLO_ERROR;
    }
    if (row != NULL && row->ctx != t->rows[0].ctx)
        SSL_set_SSL_CTX(ssl, row->ctx);
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* Says that the name was understood, as clients of RFC 6066 expect. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    (void)arg;
    return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) != NULL ? SSL_TLSEXT_ERR_OK
                                                                      : SSL_TLSEXT_ERR_NOACK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    const struct tls_server *t = arg;
    unsigned char *chosen;

    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_len, t->alpn, t->alpn_len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 section 3.2 */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int seal_ticket(struct tls_server *t, unsigned char *name, unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, struct tls_ticket_key *key)
{
    tls_keyring_current(t->keys, key);
    memcpy(name, key->name, sizeof(key->name));
    if (RAND_bytes_ex(t->env->lib, iv, 16, 0) != 1 ||
        EVP_EncryptInit_ex2(cipher, t->env->ticket_cipher, key->aes, iv, NULL) != 1)
        return -1;
    return 1;
}

static int open_ticket(struct tls_server *t, SSL *ssl, const unsigned char *name,
                       const unsigned char *iv, EVP_CIPHER_CTX *cipher, struct tls_ticket_key *key)
{
    int found = tls_keyring_find(t->keys, name, key);

    if (found == 0)
        return 0;
    if (EVP_DecryptInit_ex2(cipher, t->env->ticket_cipher, key->aes, iv, NULL) != 1)
        return -1;
    return SSL_version(ssl) >= TLS1_3_VERSION ? 2 : found; /* 2: a new one for the next time */
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int seal)
{
    struct tls_server *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct tls_ticket_key key;
    char digest[] = "SHA256";
    int rc =
        seal ? seal_ticket(t, name, iv, cipher, &key) : open_ticket(t, ssl, name, iv, cipher, &key);

    if (rc <= 0)
        return rc;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.hmac, sizeof(key.hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    if (EVP_MAC_CTX_set_params(mac, params) != 1)
        rc = -1;
    OPENSSL_cleanse(&key, sizeof(key));
    return rc;
}

int tls_kind_of_key(int type)
{
    return type == EVP_PKEY_RSA ? 0 : type == EVP_PKEY_EC ? 1 : 2;
}

static int on_status(SSL *ssl, void *arg)
{
    const struct tls_server *t = arg;
    X509 *cert = SSL_get_certificate(ssl);
    SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
    const struct tls_staple *staple = NULL;

    for (uint32_t i = 0; cert != NULL && i < t->n_rows; i++) {
        if (t->rows[i].ctx != ctx)
            continue;
        uint32_t c =
            t->rows[i].certs[tls_kind_of_key(EVP_PKEY_get_base_id(X509_get0_pubkey(cert)))];
        staple = c != TLS_NO_CERT ? &t->staples[c] : NULL;
    }
    if (staple == NULL || staple->response.data == NULL || time(NULL) >= staple->until_s)
        return SSL_TLSEXT_ERR_NOACK;
    const struct tls_blob *r = &staple->response;
    unsigned char *copy = OPENSSL_memdup(r->data, r->len); /* OpenSSL's to free */
    if (copy == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)r->len);
    return SSL_TLSEXT_ERR_OK;
}

/* Early data is taken once a ticket, as far as this process knows (RFC 8446 section 8.2). */
static int on_early_data(SSL *ssl, void *arg)
{
    uint8_t secret[64];
    size_t n = SSL_SESSION_get_master_key(SSL_get0_session(ssl), secret, sizeof(secret));
    uint64_t id = 0;

    (void)arg;
    if (n < 2 * sizeof(id))
        return 0;
    memcpy(&id, secret, sizeof(id)); /* of a PSK: as good as random, and nobody sees it */
    OPENSSL_cleanse(secret, sizeof(secret));
    return tls_replay_first(id, time(NULL));
}

void tls_handshake_init(struct tls_server *t, SSL_CTX *ctx)
{
    SSL_CTX_set_app_data(ctx, t);
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, t);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_status_cb(ctx, on_status);
    SSL_CTX_set_tlsext_status_arg(ctx, t);
    if (t->alpn_len > 0)
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, t);
    if (t->tickets)
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    if (t->early_data)
        SSL_CTX_set_allow_early_data_cb(ctx, on_early_data, t);
}
