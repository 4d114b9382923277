/* tls_server_priv.h - between tls_server.c, which builds a listener's contexts, and
 * tls_handshake.c, which answers what OpenSSL asks while clients shake hands. */
#ifndef SLUICE_NET_TLS_SERVER_PRIV_H
#define SLUICE_NET_TLS_SERVER_PRIV_H

#include "lb/net/tls_priv.h"

#include <stdatomic.h>

#define TLS_KINDS   3 /* of keys, side by side: RSA, EC, others */
#define TLS_NO_CERT UINT32_MAX

/* The certificates of one context, by kind of key. */
struct tls_row {
    SSL_CTX *ctx;
    uint32_t certs[TLS_KINDS];
};

struct tls_name {
    char *text; /* lower-case; of "*.example.com": ".example.com" */
    uint32_t row;
};

struct tls_staple {
    struct tls_blob response; /* DER; data NULL: none */
    int64_t until_s;          /* wall clock; it is not given out any more then */
};

struct tls_server {
    _Atomic uint32_t refs;
    struct tls_env *env;
    struct tls_keyring *keys;
    struct tls_row *rows;       /* the first is the default's */
    struct tls_name *names;     /* sorted */
    struct tls_staple *staples; /* by certificate */
    X509_STORE *client_cas;     /* NULL: clients are not asked */
    uint32_t n_rows, n_names, n_certs;
    uint8_t alpn[256], alpn_len;
    bool strict, tickets, early_data;
};

/* tls_handshake.c */
int tls_name_order(const void *a, const void *b); /* of struct tls_name, for qsort() */
int tls_kind_of_key(int evp_type);
/* Has OpenSSL ask t while clients of ctx shake hands. */
void tls_handshake_init(struct tls_server *t, SSL_CTX *ctx);

#endif
