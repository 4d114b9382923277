/* tls_ticket.c - see tls_ticket.h. A few keys under a lock that is held for a copy: tickets are
 * made and opened once a handshake, which costs a thousand times more. */
#include "lb/net/tls_ticket.h"

#include "lb/base/alloc.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct tls_keyring {
    pthread_rwlock_t lock;
    uint32_t n;
    struct tls_ticket_key keys[TLS_TICKET_KEYS];
};

static_assert(sizeof(struct tls_ticket_key) == TLS_TICKET_KEY_BYTES, "as it stands in files");

struct tls_keyring *tls_keyring_new(void)
{
    struct tls_keyring *k = xcalloc(1, sizeof(*k));

    pthread_rwlock_init(&k->lock, NULL);
    tls_keyring_rotate(k);
    return k;
}

void tls_keyring_free(struct tls_keyring **keyring)
{
    struct tls_keyring *k = *keyring;

    *keyring = NULL;
    if (k == NULL)
        return;
    pthread_rwlock_destroy(&k->lock);
    OPENSSL_cleanse(k, sizeof(*k));
    free(k);
}

void tls_keyring_rotate(struct tls_keyring *k)
{
    struct tls_ticket_key key;

    sl_assert(RAND_priv_bytes((uint8_t *)&key, sizeof(key)) == 1 &&
              RAND_bytes(key.name, sizeof(key.name)) == 1);
    pthread_rwlock_wrlock(&k->lock);
    memmove(&k->keys[1], &k->keys[0], sizeof(k->keys) - sizeof(k->keys[0]));
    k->keys[0] = key;
    if (k->n < TLS_TICKET_KEYS)
        k->n++;
    pthread_rwlock_unlock(&k->lock);
    OPENSSL_cleanse(&key, sizeof(key));
}

bool tls_keyring_set(struct tls_keyring *k, const uint8_t *data, size_t len)
{
    size_t n = len / TLS_TICKET_KEY_BYTES;

    if (n == 0 || n > TLS_TICKET_KEYS || len % TLS_TICKET_KEY_BYTES != 0)
        return false;
    pthread_rwlock_wrlock(&k->lock);
    OPENSSL_cleanse(k->keys, sizeof(k->keys));
    memcpy(k->keys, data, len);
    k->n = (uint32_t)n;
    pthread_rwlock_unlock(&k->lock);
    return true;
}

static pthread_rwlock_t *lock_of(const struct tls_keyring *k)
{
    return (pthread_rwlock_t *)(uintptr_t)&k->lock;
}

void tls_keyring_current(const struct tls_keyring *k, struct tls_ticket_key *out)
{
    pthread_rwlock_rdlock(lock_of(k));
    *out = k->keys[0];
    pthread_rwlock_unlock(lock_of(k));
}

int tls_keyring_find(const struct tls_keyring *k, const uint8_t name[static 16],
                     struct tls_ticket_key *out)
{
    int found = 0;

    pthread_rwlock_rdlock(lock_of(k));
    for (uint32_t i = 0; i < k->n && found == 0; i++) {
        if (memcmp(k->keys[i].name, name, sizeof(k->keys[i].name)) != 0)
            continue;
        *out = k->keys[i];
        found = i == 0 ? 1 : 2;
    }
    pthread_rwlock_unlock(lock_of(k));
    return found;
}
