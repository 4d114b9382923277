/* tls_server.c - a listener's contexts: one SSL_CTX for each set of certificates that names share
 * (RSA and ECDSA of the same name stand side by side in one), found by the client's SNI.
 *
 * Which context a connection gets is decided when its ClientHello is read, before anything else of
 * it is looked at. Verification of clients, protocols and tickets are alike in all of them. */
#include "lb/net/tls_server_priv.h"

#include "lb/base/alloc.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EARLY_DATA_MAX 16384 /* bytes before the handshake is over; then the client waits */

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

/* verify = "optional": whoever shows a bad one is let in, and what was wrong first is known. */
static int verify_optional(X509_STORE_CTX *ctx, void *arg)
{
    (void)arg;
    X509_verify_cert(ctx);
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

/* Built once: all contexts of the listener ask for the same. Where there are revocation lists, each
 * authority of a chain needs one: a revoked intermediate must not pass. */
static bool load_client_cas(struct tls_server *t, const struct tls_server_conf *c,
                            const struct tls_server_files *files, struct strbuf *errors)
{
    const struct tls_blob *ca = tls_server_files_client_ca(files);
    const struct tls_blob *crl = tls_server_files_crl(files);

    if (c->verify == TLS_VERIFY_OFF)
        return true;
    t->client_cas = X509_STORE_new();
    if (t->client_cas == NULL || ca->data == NULL ||
        tls_add_to_store(t->client_cas, t->env, ca, crl) == 0) {
        mistake(c, errors, "tls.client_ca", c->client_ca ? c->client_ca : "",
                "a file with PEM certificates");
        return false;
    }
    if (crl->data != NULL)
        X509_STORE_set_flags(t->client_cas, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return true;
}

/* The names of these authorities help a client to choose among its certificates. */
static void ask_clients(SSL_CTX *ctx, const struct tls_server *t, const struct tls_server_conf *c)
{
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(t->client_cas);

    SSL_CTX_set1_cert_store(ctx, t->client_cas);
    for (int i = 0; names != NULL && i < sk_X509_OBJECT_num(objects); i++) {
        X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (x != NULL)
            sk_X509_NAME_push(names, X509_NAME_dup(X509_get_subject_name(x)));
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    if (c->verify_depth > 0)
        SSL_CTX_set_verify_depth(ctx, (int)c->verify_depth);
    if (c->verify == TLS_VERIFY_REQUIRED) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    } else {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(ctx, verify_optional, NULL);
    }
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
        !set_session_context(ctx, t->env, c, files)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (t->client_cas != NULL)
        ask_clients(ctx, t, c);
    if (!t->tickets) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ctx, 0);
    }
    if (t->early_data) {
        SSL_CTX_set_max_early_data(ctx, EARLY_DATA_MAX);
        SSL_CTX_set_recv_max_early_data(ctx, EARLY_DATA_MAX);
        SSL_CTX_set_options(ctx,
                            SSL_OP_NO_ANTI_REPLAY); /* OpenSSL's needs a cache; ours does not */
    }
    if (c->kernel && tls_kernel_probe() == 0)
        SSL_CTX_set_options(ctx, SSL_OP_ENABLE_KTLS);
    if (c->ticket_rotate_s > 0)
        SSL_CTX_set_timeout(ctx, 2 * (long)c->ticket_rotate_s);
    tls_handshake_init(t, ctx);
    return ctx;
}

/* ---- which certificates stand together ---- */

static int kind_of_cert(const struct tls_cert_info *info)
{
    return strncmp(info->key_type, "RSA ", 4) == 0  ? 0 /* RSA-PSS is another */
           : strncmp(info->key_type, "EC ", 3) == 0 ? 1
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
                          uint32_t out[static TLS_KINDS])
{
    for (int k = 0; k < TLS_KINDS; k++)
        out[k] = TLS_NO_CERT;
    for (uint32_t i = 0; i < n; i++) {
        const struct tls_cert_info *info = tls_server_files_cert(files, i);
        int k = kind_of_cert(info);
        if (out[k] == TLS_NO_CERT && has_name(info, name))
            out[k] = i;
    }
}

/* The row of this set, made where it is new; TLS_NO_CERT: a mistake. */
static uint32_t row_of_set(struct tls_server *t, const struct tls_server_conf *c,
                           const struct tls_server_files *files,
                           const uint32_t set[static TLS_KINDS], struct strbuf *errors)
{
    for (uint32_t i = 0; i < t->n_rows; i++)
        if (memcmp(t->rows[i].certs, set, sizeof(t->rows[i].certs)) == 0)
            return i;
    struct tls_row *r = &t->rows[t->n_rows];
    memcpy(r->certs, set, sizeof(r->certs));
    r->ctx = new_ctx(t, c, files, errors);
    if (r->ctx == NULL)
        return TLS_NO_CERT;
    t->n_rows++;
    for (int k = 0; k < TLS_KINDS; k++) {
        if (set[k] == TLS_NO_CERT)
            continue;
        const char *wrong = tls_use_pair(r->ctx, t->env, tls_server_files_pair(files, set[k]));
        if (wrong != NULL) {
            const struct tls_cert_conf *cc = &c->certs[set[k]];
            strbuf_addf(errors, "%s:%d: error: certificates: %s with %s: %s\n",
                        cc->file ? cc->file : "?", cc->line, cc->cert, cc->key, wrong);
            return TLS_NO_CERT;
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
    uint32_t set[TLS_KINDS];

    for (uint32_t i = 0; i < info->n_names; i++) {
        certs_of_name(files, c->n_certs, info->names[i], set);
        uint32_t first = TLS_NO_CERT;
        for (int k = 0; k < TLS_KINDS; k++)
            first = set[k] < first ? set[k] : first;
        if (first != cert)
            continue; /* an earlier certificate has brought it in */
        uint32_t row = row_of_set(t, c, files, set, errors);
        if (row == TLS_NO_CERT)
            return false;
        t->names[t->n_names++] = (struct tls_name){table_name(info->names[i]), row};
    }
    return true;
}

static void keep_staples(struct tls_server *t, const struct tls_server_files *files)
{
    for (uint32_t i = 0; i < t->n_certs; i++) {
        const struct tls_pair_files *pair = tls_server_files_pair(files, i);
        if (pair->ocsp.data == NULL)
            continue;
        struct tls_blob *r = &t->staples[i].response;
        r->len = pair->ocsp.len;
        r->data = xmalloc(r->len);
        memcpy(r->data, pair->ocsp.data, r->len);
        t->staples[i].until_s = pair->ocsp_until_s;
    }
}

static bool build(struct tls_server *t, const struct tls_server_conf *c,
                  const struct tls_server_files *files, struct strbuf *errors)
{
    uint32_t names = 0, set[TLS_KINDS] = {TLS_NO_CERT, TLS_NO_CERT, TLS_NO_CERT};
    const struct tls_cert_info *first = tls_server_files_cert(files, 0);

    for (uint32_t i = 0; i < c->n_certs; i++)
        names += tls_server_files_cert(files, i)->n_names;
    t->rows = xcalloc((size_t)names + 1, sizeof(t->rows[0]));
    t->names = xcalloc((size_t)names + 1, sizeof(t->names[0]));
    t->staples = xcalloc(c->n_certs, sizeof(t->staples[0]));
    t->n_certs = c->n_certs;
    keep_staples(t, files);
    if (!load_client_cas(t, c, files, errors))
        return false;
    /* The default: the first certificate, and those that stand beside it. */
    if (first->n_names > 0)
        certs_of_name(files, c->n_certs, first->names[0], set);
    set[kind_of_cert(first)] = 0;
    if (row_of_set(t, c, files, set, errors) == TLS_NO_CERT)
        return false;
    for (uint32_t i = 0; i < c->n_certs; i++)
        if (!add_names(t, c, files, i, errors))
            return false;
    qsort(t->names, t->n_names, sizeof(t->names[0]), tls_name_order);
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
    t->early_data = conf->early_data && t->tickets;
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
        free(t->staples[i].response.data);
    X509_STORE_free(t->client_cas);
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
    return t->early_data;
}
