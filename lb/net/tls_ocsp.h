/* tls_ocsp.h - OCSP (RFC 6960) as far as stapling needs it: what to ask a certificate's responder,
 * and whether an answer may be given to clients. Pure; control thread (it uses OpenSSL's default
 * context). */
#ifndef SLUICE_NET_TLS_OCSP_H
#define SLUICE_NET_TLS_OCSP_H

#include "lb/base/str.h"

#include <stdint.h>

struct tls_ocsp_question {
    char host[256];
    uint16_t port;
    char path[1024];
    uint8_t *der; /* of the request */
    size_t len;
};

/* chain: PEM, the certificate, then its issuer. NULL, or why nobody can be asked, in words (then
 * there is nothing to free). */
const char *tls_ocsp_ask(struct str chain, struct tls_ocsp_question *out);
void tls_ocsp_question_fini(struct tls_ocsp_question *q);

#define TLS_OCSP_WORDS_MAX 160
/* NULL: the certificate is good, and the answer may be shown until *out_until_s (wall clock;
 * INT64_MAX: it says none). Else why not, in words. */
const char *tls_ocsp_judge(struct str chain, struct str answer, int64_t now_s, int64_t *out_until_s,
                           char words[static TLS_OCSP_WORDS_MAX]);

#endif
