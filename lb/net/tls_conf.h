/* tls_conf.h - TLS of the configuration: what a listener offers, what a pool asks of its backends.
 * Immutable. Texts and files as written; the files' contents are read by tls_files.h. */
#ifndef SLUICE_NET_TLS_CONF_H
#define SLUICE_NET_TLS_CONF_H

#include <stdbool.h>
#include <stdint.h>

enum tls_profile {
    TLS_MODERN, /* TLS 1.3 only, and 1.2 with AEAD and forward secrecy where min_version says */
    TLS_INTERMEDIATE, /* 1.2 and 1.3 */
    TLS_CUSTOM,       /* what the settings say, OpenSSL's defaults for the rest */
};

enum tls_verify { TLS_VERIFY_OFF, TLS_VERIFY_OPTIONAL, TLS_VERIFY_REQUIRED };

#define TLS_OCSP_FETCH "fetch" /* the responder that the certificate names is asked */

struct tls_cert_conf {
    char *cert, *key; /* PEM files; cert: the leaf first, then its chain */
    char *ocsp;       /* file with a DER response to staple, or TLS_OCSP_FETCH; NULL: none */
    const char *file; /* where it was defined */
    int line;
};

struct tls_server_conf {
    struct tls_cert_conf *certs; /* the first is the default for names that none has */
    uint32_t n_certs;
    char **alpn; /* in order of preference: "h2", "http/1.1", ...; none: no ALPN */
    uint32_t n_alpn;
    enum tls_profile profile;
    uint16_t min_version, max_version; /* 0x0303, 0x0304; 0: as the profile says */
    char *ciphers;                     /* TLS 1.2, OpenSSL's syntax; NULL: as the profile says */
    char *ciphersuites;                /* TLS 1.3 */
    char *curves;                      /* "X25519:P-256" */
    enum tls_verify verify;            /* of the client's certificate */
    char *client_ca, *crl;             /* PEM files */
    uint32_t verify_depth;
    bool strict_sni; /* a name that no certificate has is refused; no name too */
    bool early_data; /* 0-RTT, for safe methods */
    bool kernel;     /* large files are sealed by the kernel, where it can */
    bool tickets;
    char *ticket_keys;        /* file of 80-byte keys (the first encrypts); NULL: random, rotated */
    uint32_t ticket_rotate_s; /* of random ones; a ticket is taken for twice as long */
    const char *file;
    int line;
};

struct tls_client_conf {
    bool verify;      /* the backend's certificate and name */
    char *ca;         /* PEM file; NULL: the system's */
    char *sni;        /* NULL: the backend's host name where it has one */
    char *cert, *key; /* PEM files; NULL: none */
    char **alpn;      /* NULL: as the pool's protocol needs */
    uint32_t n_alpn;
    uint16_t min_version, max_version; /* 0: 1.2 and up */
    char *ciphers, *ciphersuites;      /* NULL: OpenSSL's */
    const char *file;
    int line;
};

#endif
