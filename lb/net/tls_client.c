/* tls_client.c - a pool's context toward its backends: who they must be, who we are, and the latest
 * session of each, to be resumed. */
#include "lb/base/alloc.h"
#include "lb/net/tls_priv.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct tls_client {
    _Atomic uint32_t refs;
    struct tls_env *env;
    SSL_CTX *ctx;
    char *sni;              /* NULL: the name that is dialled */
    SSL_SESSION **sessions; /* by member */
    uint32_t n_members;
    uint8_t alpn[256], alpn_len;
    bool verify;
};

/* Of an SSL: which member it leads to, and 1. */
static int member_index = -1;
static pthread_once_t member_once = PTHREAD_ONCE_INIT;

static void make_member_index(void)
{
    member_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_client *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    uintptr_t member = (uintptr_t)SSL_get_ex_data(ssl, member_index);

    if (member == 0 || member > t->n_members)
        return 0;
    SSL_SESSION_free(t->sessions[member - 1]);
    t->sessions[member - 1] = session;
    return 1; /* ours now */
}

/* A TLS 1.2 server may renew the ticket of a session that it resumes: OpenSSL gives the old session
 * up then, and tells nobody of the new one. */
void tls_client_done(struct tls_client *t, SSL *ssl)
{
    uintptr_t member = (uintptr_t)SSL_get_ex_data(ssl, member_index);

    if (member == 0 || member > t->n_members || !SSL_session_reused(ssl) ||
        SSL_version(ssl) >= TLS1_3_VERSION || SSL_get0_session(ssl) == t->sessions[member - 1])
        return;
    SSL_SESSION_free(t->sessions[member - 1]);
    t->sessions[member - 1] = SSL_get1_session(ssl);
}

static void mistake(const struct tls_client_conf *c, struct strbuf *errors, const char *setting,
                    const char *found, const char *expected)
{
    strbuf_addf(errors, "%s:%d: error: %s: found \"%s\", expected %s\n", c->file ? c->file : "?",
                c->line, setting, found, expected);
}

static bool set_ca(struct tls_client *t, const struct tls_client_conf *c,
                   const struct tls_client_files *files, struct strbuf *errors)
{
    const struct tls_blob *ca = tls_client_files_ca(files);

    if (!c->verify)
        return true;
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
    if (ca->data == NULL) {
        X509_STORE *store = tls_env_system_cas(t->env);
        if (store != NULL)
            SSL_CTX_set1_cert_store(t->ctx, store);
        return store != NULL;
    }
    if (tls_add_to_store(SSL_CTX_get_cert_store(t->ctx), t->env, ca, NULL) > 0)
        return true;
    mistake(c, errors, "tls.ca", c->ca ? c->ca : "", "a file with PEM certificates");
    return false;
}

static bool set_protocols(struct tls_client *t, const struct tls_client_conf *c,
                          struct strbuf *errors)
{
    SSL_CTX_set_min_proto_version(t->ctx, c->min_version ? c->min_version : TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(t->ctx, c->max_version);
    if (c->ciphers != NULL && SSL_CTX_set_cipher_list(t->ctx, c->ciphers) != 1) {
        mistake(c, errors, "tls.ciphers", c->ciphers,
                "a list of ciphers as `openssl ciphers` knows");
        return false;
    }
    if (c->ciphersuites != NULL && SSL_CTX_set_ciphersuites(t->ctx, c->ciphersuites) != 1) {
        mistake(c, errors, "tls.ciphersuites", c->ciphersuites,
                "names like TLS_AES_128_GCM_SHA256");
        return false;
    }
    if (!tls_alpn_wire(c->alpn, c->n_alpn, t->alpn, &t->alpn_len)) {
        mistake(c, errors, "tls.alpn", "too long a list", "at most 255 bytes of names");
        return false;
    }
    return true;
}

static bool set_own(struct tls_client *t, const struct tls_client_conf *c,
                    const struct tls_client_files *files, struct strbuf *errors)
{
    const struct tls_pair_files *pair = tls_client_files_pair(files);
    const char *wrong = pair->cert.data != NULL ? tls_use_pair(t->ctx, t->env, pair) : NULL;

    if (wrong == NULL)
        return true;
    strbuf_addf(errors, "%s:%d: error: tls.cert: %s with %s: %s\n", c->file ? c->file : "?",
                c->line, c->cert, c->key, wrong);
    return false;
}

struct tls_client *tls_client_new(struct tls_env *env, const struct tls_client_conf *conf,
                                  const struct tls_client_files *files, uint32_t n_members,
                                  struct strbuf *errors)
{
    struct tls_client *t = xcalloc(1, sizeof(*t));

    pthread_once(&member_once, make_member_index);
    atomic_init(&t->refs, 1);
    t->env = env;
    t->verify = conf->verify;
    t->sni = conf->sni != NULL ? xstrdup(conf->sni) : NULL;
    t->n_members = n_members;
    t->sessions = xcalloc((size_t)n_members + 1, sizeof(SSL_SESSION *));
    t->ctx = SSL_CTX_new_ex(env->lib, NULL, TLS_client_method());
    if (t->ctx == NULL || !set_protocols(t, conf, errors) || !set_ca(t, conf, files, errors) ||
        !set_own(t, conf, files, errors)) {
        tls_client_unref(&t);
        return NULL;
    }
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_session_cache_mode(t->ctx,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_set_app_data(t->ctx, t);
    SSL_CTX_sess_set_new_cb(t->ctx, on_session);
    return t;
}

struct tls_client *tls_client_ref(struct tls_client *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tls_client_unref(struct tls_client **client)
{
    struct tls_client *t = *client;

    *client = NULL;
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (uint32_t i = 0; i < t->n_members; i++)
        SSL_SESSION_free(t->sessions[i]);
    SSL_CTX_free(t->ctx);
    free(t->sessions);
    free(t->sni);
    free(t);
}

static bool is_ip(const char *name)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);

    ASN1_OCTET_STRING_free(ip);
    ERR_clear_error();
    return ip != NULL;
}

/* Whom we want to reach, and whose certificate it must be. */
static bool set_name(struct tls_client *t, SSL *ssl, const char *name)
{
    bool ip = is_ip(name);

    if (!ip && name[0] != '\0' && SSL_set_tlsext_host_name(ssl, name) != 1)
        return false;
    if (!t->verify)
        return true;
    if (ip)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1;
}

SSL *tls_client_ssl(struct tls_client *t, uint32_t member, struct str name, struct str alpn)
{
    SSL *ssl = SSL_new(t->ctx);
    char text[256];

    if (ssl == NULL || name.len >= sizeof(text)) {
        SSL_free(ssl);
        return NULL;
    }
    memcpy(text, name.p, name.len);
    text[name.len] = '\0';
    const uint8_t *offer = alpn.len > 0 ? (const uint8_t *)alpn.p : t->alpn;
    unsigned offer_len = alpn.len > 0 ? (unsigned)alpn.len : t->alpn_len;
    if (!set_name(t, ssl, t->sni != NULL ? t->sni : text) ||
        (offer_len > 0 && SSL_set_alpn_protos(ssl, offer, offer_len) != 0)) {
        SSL_free(ssl);
        return NULL;
    }
    if (member < t->n_members) {
        SSL_set_ex_data(ssl, member_index, (void *)(uintptr_t)(member + 1));
        if (t->sessions[member] != NULL)
            SSL_set_session(ssl, t->sessions[member]);
    }
    return ssl;
}

struct tls_env *tls_client_env(struct tls_client *t)
{
    return t->env;
}
