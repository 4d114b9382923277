/* tls_env.c - a thread's library context, and small things that contexts of both sides need. */
#include "lb/base/alloc.h"
#include "lb/net/tls_priv.h"

#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *tls_error_text(void)
{
    static _Thread_local char text[200];
    unsigned long e = ERR_peek_error();

    ERR_error_string_n(e, text, sizeof(text));
    const char *reason = ERR_reason_error_string(e);
    ERR_clear_error();
    return e == 0 ? "unknown error" : reason != NULL ? reason : text;
}

/* The administrator's openssl.cnf holds in each context as it does in the default one. */
static void load_config(OSSL_LIB_CTX *lib)
{
    char *path = CONF_get1_default_config_file();

    if (path != NULL && access(path, R_OK) == 0)
        OSSL_LIB_CTX_load_config(lib, path);
    OPENSSL_free(path);
    ERR_clear_error(); /* it may be missing, or have settings for others */
}

struct tls_env *tls_env_new(struct strbuf *errors)
{
    struct tls_env *env = xcalloc(1, sizeof(*env));

    env->lib = OSSL_LIB_CTX_new();
    if (env->lib != NULL)
        load_config(env->lib);
    if (env->lib != NULL) {
        env->ticket_cipher = EVP_CIPHER_fetch(env->lib, "AES-256-CBC", NULL);
        env->sha256 = EVP_MD_fetch(env->lib, "SHA256", NULL);
    }
    env->bio = stream_tls_bio();
    if (env->ticket_cipher == NULL || env->sha256 == NULL || env->bio == NULL) {
        strbuf_addf(errors, "error: tls: OpenSSL: %s\n", tls_error_text());
        tls_env_free(&env);
    }
    return env;
}

void tls_env_free(struct tls_env **env)
{
    struct tls_env *e = *env;

    *env = NULL;
    if (e == NULL)
        return;
    X509_STORE_free(e->system_cas);
    EVP_CIPHER_free(e->ticket_cipher);
    EVP_MD_free(e->sha256);
    BIO_meth_free(e->bio);
    OSSL_LIB_CTX_free(e->lib);
    free(e);
}

/* Where the bundle of all of them is: what the environment says, or OpenSSL, or Debian, or Fedora.
 */
static const char *bundle_path(void)
{
    const char *const paths[] = {getenv(X509_get_default_cert_file_env()),
                                 X509_get_default_cert_file(), "/etc/ssl/certs/ca-certificates.crt",
                                 "/etc/pki/tls/certs/ca-bundle.crt"};

    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (paths[i] != NULL && access(paths[i], R_OK) == 0)
            return paths[i];
    return NULL;
}

/* All at once: a data-plane thread must not look for files while it verifies, and may not be
 * allowed to later. Folders of hashed names are for who has no bundle. */
X509_STORE *tls_env_system_cas(struct tls_env *env)
{
    const char *bundle = bundle_path();

    if (env->system_cas != NULL)
        return env->system_cas;
    env->system_cas = X509_STORE_new();
    if (env->system_cas == NULL)
        return NULL;
    if (bundle == NULL || X509_STORE_load_file_ex(env->system_cas, bundle, env->lib, NULL) != 1)
        X509_STORE_set_default_paths_ex(env->system_cas, env->lib, NULL);
    ERR_clear_error();
    return env->system_cas;
}

/* ---- for both sides ---- */

int tls_no_password(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

static X509 *read_cert(struct tls_env *env, BIO *bio)
{
    X509 *x = X509_new_ex(env->lib, NULL);

    if (x != NULL && PEM_read_bio_X509(bio, &x, tls_no_password, NULL) == NULL) {
        X509_free(x);
        x = NULL;
    }
    return x;
}

static X509_CRL *read_crl(struct tls_env *env, BIO *bio)
{
    X509_CRL *crl = X509_CRL_new_ex(env->lib, NULL);

    if (crl != NULL && PEM_read_bio_X509_CRL(bio, &crl, tls_no_password, NULL) == NULL) {
        X509_CRL_free(crl);
        crl = NULL;
    }
    return crl;
}

static bool use_chain(SSL_CTX *ctx, struct tls_env *env, const struct tls_blob *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    X509 *leaf = bio ? read_cert(env, bio) : NULL, *x;
    bool ok = leaf != NULL && SSL_CTX_use_certificate(ctx, leaf) == 1;

    X509_free(leaf);
    if (ok)
        SSL_CTX_clear_chain_certs(ctx);
    while (ok && (x = read_cert(env, bio)) != NULL) {
        ok = SSL_CTX_add0_chain_cert(ctx, x) == 1;
        if (!ok)
            X509_free(x);
    }
    BIO_free(bio);
    if (ok)
        ERR_clear_error(); /* that there was no further certificate */
    return ok;
}

static EVP_PKEY *read_key(struct tls_env *env, const struct tls_blob *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    EVP_PKEY *key =
        bio ? PEM_read_bio_PrivateKey_ex(bio, NULL, tls_no_password, NULL, env->lib, NULL) : NULL;

    BIO_free(bio);
    return key;
}

const char *tls_use_pair(SSL_CTX *ctx, struct tls_env *env, const struct tls_pair_files *pair)
{
    if (!use_chain(ctx, env, &pair->cert))
        return tls_error_text();
    EVP_PKEY *key = read_key(env, &pair->key);
    if (key == NULL)
        return tls_error_text();
    bool ok = SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    return ok ? NULL : tls_error_text();
}

int tls_add_to_store(X509_STORE *store, struct tls_env *env, const struct tls_blob *certs,
                     const struct tls_blob *crls)
{
    int n = 0;
    BIO *bio = BIO_new_mem_buf(certs->data, (int)certs->len);

    for (X509 *x; bio != NULL && (x = read_cert(env, bio)) != NULL; n++) {
        X509_STORE_add_cert(store, x);
        X509_free(x);
    }
    BIO_free(bio);
    bio = crls != NULL && crls->data != NULL ? BIO_new_mem_buf(crls->data, (int)crls->len) : NULL;
    for (X509_CRL *c; bio != NULL && (c = read_crl(env, bio)) != NULL; n++) {
        X509_STORE_add_crl(store, c);
        X509_CRL_free(c);
    }
    BIO_free(bio);
    ERR_clear_error();
    return n;
}

bool tls_alpn_wire(char *const *names, uint32_t n, uint8_t out[static 256], uint8_t *out_len)
{
    size_t at = 0;

    for (uint32_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]);
        if (len == 0 || at + 1 + len > 255)
            return false;
        out[at++] = (uint8_t)len;
        memcpy(out + at, names[i], len);
        at += len;
    }
    *out_len = (uint8_t)at;
    return true;
}
