/* tls_server.c - a listener's contexts: one SSL_CTX for each set of certificates that names share
 * (RSA and ECDSA of the same name stand side by side in one), found by the client's SNI.
 *
 * Which context a connection gets is decided when its ClientHello is read, before anything else of
 * it is looked at. Verification of clients, protocols and tickets are alike in all of them. */
#include "lb/base/alloc.h"
#include "lb/net/tls_priv.h"

#include <ctype.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS          3 /* of keys, side by side: RSA, EC, others */
#define NAME_MAX_BYTES 255
#define EARLY_BYTES    16384
#define NO_CERT        UINT32_MAX

#define CIPHERS_12                                                                                 \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#if OPENSSL_VERSION_NUMBER >= 0x30500000L
#define CURVES "?X25519MLKEM768:X25519:P-256:P-384"
#else
#define CURVES "X25519:P-256:P-384"
#endif

/* The certificates of one context, by kind of key. */
struct row {
    SSL_CTX *ctx;
    uint32_t certs[KINDS];
};

struct name {
    char *text; /* lower-case; of "*.example.com": ".example.com" */
    uint32_t row;
};

struct tls_server {
    _Atomic uint32_t refs;
    struct tls_env *env;
    struct tls_keyring *keys;
    struct row *rows;         /* the first is the default's */
    struct name *names;       /* sorted */
    struct tls_blob *staples; /* by certificate */
    uint32_t n_rows, n_names, n_certs;
    uint8_t alpn[256], alpn_len;
    bool strict, tickets, early;
};

/* ---- names ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static const struct name *find_name(const struct tls_server *t, const char *text)
{
    struct name key = {.text = (char *)(uintptr_t)text};

    return bsearch(&key, t->names, t->n_names, sizeof(t->names[0]), by_text);
}

/* A wildcard stands for one label (RFC 6125 section 6.4.3). */
static const struct row *row_of(const struct tls_server *t, const char *host)
{
    const struct name *n = find_name(t, host);
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
    const struct row *row = hello_name(ssl, host) ? row_of(t, host) : NULL;

    if (row == NULL && t->strict) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        ERR_raise_data(ERR_LIB_SSL, SSL_R_CALLBACK_FAILED, "no certificate for this name");
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

static int kind_of(int type)
{
    return type == EVP_PKEY_RSA ? 0 : type == EVP_PKEY_EC ? 1 : 2;
}

static int on_status(SSL *ssl, void *arg)
{
    const struct tls_server *t = arg;
    X509 *cert = SSL_get_certificate(ssl);
    SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
    const struct tls_blob *staple = NULL;

    for (uint32_t i = 0; cert != NULL && i < t->n_rows; i++) {
        if (t->rows[i].ctx != ctx)
            continue;
        uint32_t c = t->rows[i].certs[kind_of(EVP_PKEY_get_base_id(X509_get0_pubkey(cert)))];
        staple = c != NO_CERT ? &t->staples[c] : NULL;
    }
    if (staple == NULL || staple->data == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    unsigned char *copy = OPENSSL_memdup(staple->data, staple->len); /* OpenSSL's to free */
    if (copy == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)staple->len);
    return SSL_TLSEXT_ERR_OK;
}

/* verify = "optional": whoever shows a bad one is let in, and what it was is known. */
static int on_verify_optional(int ok, X509_STORE_CTX *ctx)
{
    (void)ok;
    (void)ctx;
    return 1;
}

/* ---- contexts ---- */

static void mistake(const struct tls_server_conf *c, struct strbuf *errors, const char *setting,
                    const char *found, const char *expected)
{
    strbuf_addf(errors, "%s:%d: error: %s: found \"%s\", expected %s\n", c->file ? c->file : "?",
                c->line, setting, found, expected);
}

static bool set_protocols(SSL_CTX *ctx, const struct tls_server_conf *c, struct strbuf *errors)
{
    bool custom = c->profile == TLS_CUSTOM;
    uint16_t min = c->min_version             ? c->min_version
                   : c->profile == TLS_MODERN ? TLS1_3_VERSION
                                              : TLS1_2_VERSION;
    const char *ciphers = c->ciphers ? c->ciphers : custom ? NULL : CIPHERS_12;
    const char *suites = c->ciphersuites ? c->ciphersuites : custom ? NULL : CIPHERS_13;
    const char *curves = c->curves ? c->curves : custom ? NULL : CURVES;

    SSL_CTX_set_min_proto_version(ctx, min);
    SSL_CTX_set_max_proto_version(ctx, c->max_version);
    if (ciphers != NULL && SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
        mistake(c, errors, "tls.ciphers", ciphers, "a list of ciphers as `openssl ciphers` knows");
        return false;
    }
    if (suites != NULL && SSL_CTX_set_ciphersuites(ctx, suites) != 1) {
        mistake(c, errors, "tls.ciphersuites", suites, "names like TLS_AES_128_GCM_SHA256");
        return false;
    }
    if (curves != NULL && SSL_CTX_set1_groups_list(ctx, curves) != 1) {
        mistake(c, errors, "tls.curves", curves, "names like \"X25519:P-256\"");
        return false;
    }
    return true;
}

static bool set_client_ca(SSL_CTX *ctx, struct tls_env *env, const struct tls_server_conf *c,
                          const struct tls_server_files *files, struct strbuf *errors)
{
    const struct tls_blob *ca = tls_server_files_client_ca(files);
    const struct tls_blob *crl = tls_server_files_crl(files);

    if (c->verify == TLS_VERIFY_OFF)
        return true;
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    if (ca->data == NULL || tls_add_to_store(store, env, ca, crl) == 0) {
        mistake(c, errors, "tls.client_ca", c->client_ca ? c->client_ca : "",
                "a file with PEM certificates");
        return false;
    }
    if (crl->data != NULL)
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
    for (int i = 0; names != NULL && i < sk_X509_OBJECT_num(objects); i++) {
        X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (x != NULL)
            sk_X509_NAME_push(names, X509_NAME_dup(X509_get_subject_name(x)));
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    if (c->verify_depth > 0)
        SSL_CTX_set_verify_depth(ctx, (int)c->verify_depth);
    if (c->verify == TLS_VERIFY_REQUIRED)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    else
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify_optional);
    return true;
}

/* A session may be resumed only where clients are asked for the same proof. */
static bool set_session_context(SSL_CTX *ctx, struct tls_env *env, const struct tls_server_conf *c,
                                const struct tls_server_files *files)
{
    const struct tls_blob *ca = tls_server_files_client_ca(files);
    const struct tls_blob *crl = tls_server_files_crl(files);
    uint32_t words[2] = {(uint32_t)c->verify, c->verify_depth};
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *m = EVP_MD_CTX_new();
    bool ok = m != NULL && EVP_DigestInit_ex2(m, env->sha256, NULL) == 1 &&
              EVP_DigestUpdate(m, words, sizeof(words)) == 1 &&
              EVP_DigestUpdate(m, ca->data, ca->data ? ca->len : 0) == 1 &&
              EVP_DigestUpdate(m, crl->data, crl->data ? crl->len : 0) == 1 &&
              EVP_DigestFinal_ex(m, hash, &len) == 1 &&
              SSL_CTX_set_session_id_context(ctx, hash, 32) == 1;

    EVP_MD_CTX_free(m);
    return ok;
}

static SSL_CTX *new_ctx(struct tls_server *t, const struct tls_server_conf *c,
                        const struct tls_server_files *files, struct strbuf *errors)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(t->env->lib, NULL, TLS_server_method());

    if (ctx == NULL || !set_protocols(ctx, c, errors) ||
        !set_client_ca(ctx, t->env, c, files, errors) ||
        !set_session_context(ctx, t->env, c, files)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 (t->tickets ? 0 : SSL_OP_NO_TICKET));
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_app_data(ctx, t);
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, t);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_status_cb(ctx, on_status);
    SSL_CTX_set_tlsext_status_arg(ctx, t);
    if (t->alpn_len > 0)
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, t);
    if (t->tickets)
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    else
        SSL_CTX_set_num_tickets(ctx, 0);
    if (t->early) { /* there is no memory of tickets: who uses it takes care of replays */
        SSL_CTX_set_options(ctx, SSL_OP_NO_ANTI_REPLAY);
        SSL_CTX_set_max_early_data(ctx, EARLY_BYTES);
        SSL_CTX_set_recv_max_early_data(ctx, EARLY_BYTES);
    }
    if (c->ticket_rotate_s > 0)
        SSL_CTX_set_timeout(ctx, 2 * (long)c->ticket_rotate_s);
    return ctx;
}

/* ---- which certificates stand together ---- */

static int kind_of_cert(const struct tls_cert_info *info)
{
    return strncmp(info->key_type, "RSA", 3) == 0  ? 0
           : strncmp(info->key_type, "EC", 2) == 0 ? 1
                                                   : 2;
}

static bool has_name(const struct tls_cert_info *info, const char *name)
{
    for (uint32_t i = 0; i < info->n_names; i++)
        if (strcmp(info->names[i], name) == 0)
            return true;
    return false;
}

/* The first of each kind that has this name. */
static void certs_of_name(const struct tls_server_files *files, uint32_t n, const char *name,
                          uint32_t out[static KINDS])
{
    for (int k = 0; k < KINDS; k++)
        out[k] = NO_CERT;
    for (uint32_t i = 0; i < n; i++) {
        const struct tls_cert_info *info = tls_server_files_cert(files, i);
        int k = kind_of_cert(info);
        if (out[k] == NO_CERT && has_name(info, name))
            out[k] = i;
    }
}

/* The row of this set, made where it is new; NO_CERT: a mistake. */
static uint32_t row_of_set(struct tls_server *t, const struct tls_server_conf *c,
                           const struct tls_server_files *files, const uint32_t set[static KINDS],
                           struct strbuf *errors)
{
    for (uint32_t i = 0; i < t->n_rows; i++)
        if (memcmp(t->rows[i].certs, set, sizeof(t->rows[i].certs)) == 0)
            return i;
    struct row *r = &t->rows[t->n_rows];
    memcpy(r->certs, set, sizeof(r->certs));
    r->ctx = new_ctx(t, c, files, errors);
    if (r->ctx == NULL)
        return NO_CERT;
    t->n_rows++;
    for (int k = 0; k < KINDS; k++) {
        if (set[k] == NO_CERT)
            continue;
        const char *wrong = tls_use_pair(r->ctx, t->env, tls_server_files_pair(files, set[k]));
        if (wrong != NULL) {
            const struct tls_cert_conf *cc = &c->certs[set[k]];
            strbuf_addf(errors, "%s:%d: error: certificates: %s with %s: %s\n",
                        cc->file ? cc->file : "?", cc->line, cc->cert, cc->key, wrong);
            return NO_CERT;
        }
    }
    return t->n_rows - 1;
}

static char *table_name(const char *name)
{
    return xstrdup(name[0] == '*' && name[1] == '.' ? name + 1 : name);
}

/* Wildcards are kept as ".example.com", which no host can be. */
static bool add_names(struct tls_server *t, const struct tls_server_conf *c,
                      const struct tls_server_files *files, uint32_t cert, struct strbuf *errors)
{
    const struct tls_cert_info *info = tls_server_files_cert(files, cert);
    uint32_t set[KINDS];

    for (uint32_t i = 0; i < info->n_names; i++) {
        certs_of_name(files, c->n_certs, info->names[i], set);
        uint32_t first = NO_CERT;
        for (int k = 0; k < KINDS; k++)
            first = set[k] < first ? set[k] : first;
        if (first != cert)
            continue; /* an earlier certificate has brought it in */
        uint32_t row = row_of_set(t, c, files, set, errors);
        if (row == NO_CERT)
            return false;
        t->names[t->n_names++] = (struct name){table_name(info->names[i]), row};
    }
    return true;
}

static bool build(struct tls_server *t, const struct tls_server_conf *c,
                  const struct tls_server_files *files, struct strbuf *errors)
{
    uint32_t names = 0, set[KINDS] = {NO_CERT, NO_CERT, NO_CERT};
    const struct tls_cert_info *first = tls_server_files_cert(files, 0);

    for (uint32_t i = 0; i < c->n_certs; i++)
        names += tls_server_files_cert(files, i)->n_names;
    t->rows = xcalloc((size_t)names + 1, sizeof(t->rows[0]));
    t->names = xcalloc((size_t)names + 1, sizeof(t->names[0]));
    t->staples = xcalloc(c->n_certs, sizeof(t->staples[0]));
    t->n_certs = c->n_certs;
    for (uint32_t i = 0; i < c->n_certs; i++) {
        const struct tls_blob *ocsp = &tls_server_files_pair(files, i)->ocsp;
        if (ocsp->data == NULL)
            continue;
        t->staples[i].data = xmalloc(ocsp->len);
        memcpy(t->staples[i].data, ocsp->data, ocsp->len);
        t->staples[i].len = ocsp->len;
    }
    /* The default: the first certificate, and those that stand beside it. */
    if (first->n_names > 0)
        certs_of_name(files, c->n_certs, first->names[0], set);
    set[kind_of_cert(first)] = 0;
    if (row_of_set(t, c, files, set, errors) == NO_CERT)
        return false;
    for (uint32_t i = 0; i < c->n_certs; i++)
        if (!add_names(t, c, files, i, errors))
            return false;
    qsort(t->names, t->n_names, sizeof(t->names[0]), by_text);
    return true;
}

/* ---- life ---- */

struct tls_server *tls_server_new(struct tls_env *env, const struct tls_server_conf *conf,
                                  const struct tls_server_files *files, struct tls_keyring *keys,
                                  struct strbuf *errors)
{
    struct tls_server *t = xcalloc(1, sizeof(*t));

    atomic_init(&t->refs, 1);
    t->env = env;
    t->keys = keys;
    t->strict = conf->strict_sni;
    t->tickets = conf->tickets && keys != NULL;
    t->early = conf->early_data && t->tickets;
    if (!tls_alpn_wire(conf->alpn, conf->n_alpn, t->alpn, &t->alpn_len))
        mistake(conf, errors, "tls.alpn", "too long a list", "at most 255 bytes of names");
    else if (build(t, conf, files, errors))
        return t;
    tls_server_unref(&t);
    return NULL;
}

struct tls_server *tls_server_ref(struct tls_server *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tls_server_unref(struct tls_server **server)
{
    struct tls_server *t = *server;

    *server = NULL;
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (uint32_t i = 0; i < t->n_rows; i++)
        SSL_CTX_free(t->rows[i].ctx);
    for (uint32_t i = 0; i < t->n_names; i++)
        free(t->names[i].text);
    for (uint32_t i = 0; i < t->n_certs; i++)
        free(t->staples[i].data);
    free(t->rows);
    free(t->names);
    free(t->staples);
    free(t);
}

SSL *tls_server_ssl(struct tls_server *t)
{
    return SSL_new(t->rows[0].ctx);
}

struct tls_env *tls_server_env(struct tls_server *t)
{
    return t->env;
}

bool tls_server_early(const struct tls_server *t)
{
    return t->early;
}
