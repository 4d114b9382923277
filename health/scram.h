/* scram.h - the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding, as
 * Postgres asks for it. Passwords are taken as they are (SASLprep leaves ASCII alone). */
#ifndef SLUICE_HEALTH_SCRAM_H
#define SLUICE_HEALTH_SCRAM_H

#include "lb/base/str.h"

#define SCRAM_NONCE_LEN 24
#define SCRAM_TEXT_MAX  512 /* of a message of either side */

struct scram {
    char first[SCRAM_NONCE_LEN + 16]; /* client-first-message-bare */
    uint8_t server_signature[32];
};

/* The first message; nonce: SCRAM_NONCE_LEN printable bytes without a comma. Its length. */
size_t scram_first(struct scram *s, const char *nonce, char out[static SCRAM_TEXT_MAX]);
/* The answer to the server's first message. Its length; 0: the message will not do. */
size_t scram_final(struct scram *s, const char *password, struct str server_first,
                   char out[static SCRAM_TEXT_MAX]);
/* Whether the server's final message shows that it knows the password too. */
bool scram_verify(const struct scram *s, struct str server_final);

#endif
