/* tls_facts.h - what is known of a connection with TLS, for those who print it: variables of
 * templates (lb/http), the access log (lb/obs). lb/net/stream_tls.h finds it out. */
#ifndef SLUICE_BASE_TLS_FACTS_H
#define SLUICE_BASE_TLS_FACTS_H

#include "lb/base/str.h"

/* Texts are of the connection; empty: there is none. */
struct tls_facts {
    struct str version; /* "TLSv1.3" */
    struct str cipher;  /* "TLS_AES_128_GCM_SHA256" */
    struct str sni;
    struct str alpn;
    bool resumed;
    bool early;                /* the request came as 0-RTT and the handshake is not over */
    struct str client_verify;  /* "NONE", "SUCCESS", "FAILED:reason" */
    struct str client_subject; /* RFC 2253 */
    struct str client_issuer;
    struct str client_serial;
    struct str client_fingerprint; /* SHA-256, hexadecimal */
};

#endif
