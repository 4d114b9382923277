/* tls_files.h - the files that TLS settings name, read and understood: once for the checks of a
 * configuration and for all the workers' contexts, and again when they have changed.
 *
 * Knows names and dates of certificates, so that mistakes are told before anything is served: a key
 * that does not fit its certificate, one that has expired, a private key that others may read. */
#ifndef SLUICE_NET_TLS_FILES_H
#define SLUICE_NET_TLS_FILES_H

#include "lb/base/str.h"
#include "lb/net/tls_conf.h"

#include <stdint.h>

/* What a certificate says; texts are the files'. */
struct tls_cert_info {
    const char *file;    /* of the certificate */
    const char *subject; /* RFC 2253 */
    const char *issuer;
    const char *serial;       /* hexadecimal */
    const char *fingerprint;  /* SHA-256, hexadecimal */
    const char *key_type;     /* "RSA 2048", "EC P-256", "ED25519" */
    const char *const *names; /* DNS names, lower-case; wildcards as "*.example.com" */
    uint32_t n_names;
    int64_t not_before_s, not_after_s; /* wall clock */
};

struct tls_server_files;
struct tls_client_files;

/* NULL with a line per mistake in errors; warnings are lines too, where the result is not NULL
 * (`FILE:LINE: warning: SETTING: ...`). now_s: wall clock. */
struct tls_server_files *tls_server_files_read(const struct tls_server_conf *conf, int64_t now_s,
                                               struct strbuf *errors);
/* The same conf again: what will not do is told and then taken from `before`. Never NULL. */
struct tls_server_files *tls_server_files_read_again(const struct tls_server_conf *conf,
                                                     const struct tls_server_files *before,
                                                     int64_t now_s, struct strbuf *errors);
void tls_server_files_free(struct tls_server_files **f);
const struct tls_cert_info *tls_server_files_cert(const struct tls_server_files *f, uint32_t i);
/* Whether it, or a list of its listener's, is from `before`. */
bool tls_server_files_kept(const struct tls_server_files *f, uint32_t i);

/* Whether contexts that are built of one would be those of the other (of the same conf). */
bool tls_server_files_same(const struct tls_server_files *a, const struct tls_server_files *b);

/* PEM: the certificate and what stands behind it in its file. */
struct str tls_server_files_chain(const struct tls_server_files *f, uint32_t i);
/* A response to staple that was fetched (copied), until then (wall clock); contexts that are built
 * from now on have it. When the files are read again it stays with its certificate. */
void tls_server_files_staple(struct tls_server_files *f, uint32_t i, struct str der,
                             int64_t until_s);
/* Until when there is one; 0: there is none. */
int64_t tls_server_files_stapled_until(const struct tls_server_files *f, uint32_t i);

struct tls_client_files *tls_client_files_read(const struct tls_client_conf *conf, int64_t now_s,
                                               struct strbuf *errors);
void tls_client_files_free(struct tls_client_files **f);
/* The certificate that we show; NULL: none. */
const struct tls_cert_info *tls_client_files_cert(const struct tls_client_files *f);

#endif
