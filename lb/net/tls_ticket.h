/* tls_ticket.h - the keys that session tickets are encrypted with: shared by all workers, and, by a
 * file, by instances. The first key encrypts, all of them decrypt; old ones go. Any thread reads
 * (tickets are taken apart on the workers), one rotates. */
#ifndef SLUICE_NET_TLS_TICKET_H
#define SLUICE_NET_TLS_TICKET_H

#include "lb/base/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_TICKET_KEYS 4
#define TLS_TICKET_KEY_BYTES                                                                       \
    80 /* 16 of name, 32 for HMAC-SHA256, 32 for AES-256-CBC, as nginx's                           \
        */

struct tls_ticket_key {
    uint8_t name[16], hmac[32], aes[32];
};

struct tls_keyring;

/* Random keys. */
struct tls_keyring *tls_keyring_new(void);
void tls_keyring_free(struct tls_keyring **k); /* also wipes */
/* A new random key encrypts from now on. */
void tls_keyring_rotate(struct tls_keyring *k);
/* Keys from a file's content: n times TLS_TICKET_KEY_BYTES, the first encrypts. False: it is no
 * such thing, or has none or too many. */
bool tls_keyring_set(struct tls_keyring *k, const uint8_t *data, size_t len) WARN_UNUSED;
/* The key that encrypts, copied. */
void tls_keyring_current(const struct tls_keyring *k, struct tls_ticket_key *out);
/* The key of this name; 0: none, 1: it is the one that encrypts, 2: an older one (renew). */
int tls_keyring_find(const struct tls_keyring *k, const uint8_t name[static 16],
                     struct tls_ticket_key *out);

#endif
