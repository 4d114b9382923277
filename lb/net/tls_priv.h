/* tls_priv.h - what the files of lb/net's TLS share. */
#ifndef SLUICE_NET_TLS_PRIV_H
#define SLUICE_NET_TLS_PRIV_H

#include "lb/net/tls.h"
#include "lb/net/tls_files.h"
#include "lb/net/tls_ticket.h"

#include <openssl/ssl.h>

struct tls_env {
    OSSL_LIB_CTX *lib;
    BIO_METHOD *bio; /* stream_tls.c's */
    EVP_CIPHER *ticket_cipher;
    EVP_MD *sha256;
    X509_STORE *system_cas; /* NULL: not asked for yet */
};

/* tls_env.c */
/* A line for errors: what OpenSSL says of the latest mistake; its queue is empty then. */
const char *tls_error_text(void);
/* The system's CAs, read once per env; NULL: no memory. The env's. */
X509_STORE *tls_env_system_cas(struct tls_env *env);

/* tls_server.c */
/* A new connection's; NULL: no memory. */
SSL *tls_server_ssl(struct tls_server *t);
struct tls_env *tls_server_env(struct tls_server *t);
bool tls_server_early(const struct tls_server *t); /* early data is taken */

/* tls_client.c */
SSL *tls_client_ssl(struct tls_client *t, uint32_t member, struct str name, struct str alpn);
struct tls_env *tls_client_env(struct tls_client *t);
/* The handshake is over. */
void tls_client_done(struct tls_client *t, SSL *ssl);

/* stream_tls_bio.c */
BIO_METHOD *stream_tls_bio(void);

/* stream_tls.c */
/* Within a callback that ends the handshake: why it does, better than OpenSSL can say. */
void stream_tls_refuse(SSL *ssl, const char *reason);

/* tls_replay.c */
/* Whether early data of this ticket is seen for the first time, by the whole process. */
bool tls_replay_first(uint64_t ticket, int64_t now_s);

/* tls_cert_info.c */
void tls_cert_info_fill(X509 *x, const char *path, struct tls_cert_info *info);
void tls_cert_info_copy(const struct tls_cert_info *from, struct tls_cert_info *to);
void tls_cert_info_fini(struct tls_cert_info *info);
int64_t tls_time_of(const ASN1_TIME *t); /* seconds since 1970; 0: it is none */

/* tls_files.c: contents, for contexts */
struct tls_blob {
    uint8_t *data;
    size_t len;
};

struct tls_pair_files {
    struct tls_blob cert, key, ocsp; /* PEM, PEM, DER; ocsp.data NULL: none */
    int64_t ocsp_until_s;            /* wall clock: its nextUpdate; INT64_MAX: it says none */
};

const struct tls_pair_files *tls_server_files_pair(const struct tls_server_files *f, uint32_t i);
const struct tls_blob *tls_server_files_client_ca(const struct tls_server_files *f);
const struct tls_blob *tls_server_files_crl(const struct tls_server_files *f);
const struct tls_blob *tls_client_files_ca(const struct tls_client_files *f); /* data NULL: none */
const struct tls_pair_files *tls_client_files_pair(const struct tls_client_files *f);

/* Loads a chain and its key into a context of env. 0, or what is wrong in words. */
const char *tls_use_pair(SSL_CTX *ctx, struct tls_env *env, const struct tls_pair_files *pair);
/* PEM certificates (and CRLs) into a store. How many. */
int tls_add_to_store(X509_STORE *store, struct tls_env *env, const struct tls_blob *certs,
                     const struct tls_blob *crls);
/* "\x02h2\x08http/1.1"; false: too long. */
bool tls_alpn_wire(char *const *names, uint32_t n, uint8_t out[static 256], uint8_t *out_len);
/* A password is never asked for. */
int tls_no_password(char *buf, int size, int rwflag, void *arg);

#endif
