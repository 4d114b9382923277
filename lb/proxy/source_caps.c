/* source_caps.c - how many connections each source address has open.
 *
 * Shared by all workers, exact: a hash table in shards with a lock each, touched only where
 * `per_source` is configured. Memory is bounded by the open connections: an address whose count
 * returns to zero is forgotten. IPv6 sources count per /64, as one customer holds a whole one; all
 * unix peers count as one. */
#include "lb/base/alloc.h"
#include "lb/base/hash.h"
#include "lb/net/addr.h"
#include "lb/proxy/proxy.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SHARDS  64
#define BUCKETS 256 /* per shard at first; doubled when chains grow */

struct source_key {
    uint8_t bytes[16];
};

struct source {
    struct source *next;
    struct source_key key;
    uint32_t count;
};

struct shard {
    alignas(CACHE_LINE) pthread_mutex_t lock;
    struct source **buckets;
    uint32_t n_buckets, n_sources;
    uint64_t seed; /* clients choose their addresses: the chains must not be theirs to choose */
};

struct source_caps {
    _Atomic uint32_t max;
    struct shard shards[SHARDS];
};

struct source_caps *source_caps_new(uint32_t max)
{
    struct source_caps *c = xaligned(sizeof(*c));
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    c->max = max;
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&c->shards[i].lock, NULL);
        c->shards[i].seed = hash_u64((uint64_t)ts.tv_nsec ^ (uint64_t)(uintptr_t)c) + (uint64_t)i;
        c->shards[i].n_buckets = BUCKETS;
        c->shards[i].buckets = xcalloc(BUCKETS, sizeof(struct source *));
    }
    return c;
}

void source_caps_set_max(struct source_caps *c, uint32_t max)
{
    atomic_store_explicit(&c->max, max, memory_order_relaxed);
}

void source_caps_free(struct source_caps **caps)
{
    struct source_caps *c = *caps;

    if (c == NULL)
        return;
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &c->shards[i];
        for (uint32_t b = 0; b < s->n_buckets; b++) {
            while (s->buckets[b] != NULL) {
                struct source *e = s->buckets[b];
                s->buckets[b] = e->next;
                free(e);
            }
        }
        free(s->buckets);
        pthread_mutex_destroy(&s->lock);
    }
    free(c);
    *caps = NULL;
}

static struct source_key key_of(const struct addr *a)
{
    struct source_key k = {{0}};

    if (a->sa.sa_family == AF_INET) {
        k.bytes[8] = k.bytes[9] = 0xff; /* outside any /64 key: those end in zeros */
        memcpy(k.bytes + 12, &a->in.sin_addr, 4);
    } else if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
        k.bytes[8] = k.bytes[9] = 0xff;
        memcpy(k.bytes + 12, a->in6.sin6_addr.s6_addr + 12, 4);
    } else if (a->sa.sa_family == AF_INET6) {
        memcpy(k.bytes, &a->in6.sin6_addr, 8);
    } else {
        k.bytes[15] = 1;
    }
    return k;
}

static void grow(struct shard *s)
{
    uint32_t n = s->n_buckets * 2;
    struct source **buckets = calloc(n, sizeof(*buckets));

    if (buckets == NULL)
        return;
    for (uint32_t b = 0; b < s->n_buckets; b++) {
        struct source *e = s->buckets[b], *next;
        for (; e != NULL; e = next) {
            next = e->next;
            uint64_t h = hash_bytes(&e->key, sizeof(e->key), s->seed);
            e->next = buckets[h & (n - 1)];
            buckets[h & (n - 1)] = e;
        }
    }
    free(s->buckets);
    s->buckets = buckets;
    s->n_buckets = n;
}

/* The link that points at the key's entry, or at the NULL where it would be. */
static struct source **find(struct shard *s, const struct source_key *key)
{
    uint64_t h = hash_bytes(key, sizeof(*key), s->seed);
    struct source **at = &s->buckets[h & (s->n_buckets - 1)];

    while (*at != NULL && memcmp(&(*at)->key, key, sizeof(*key)) != 0)
        at = &(*at)->next;
    return at;
}

static struct shard *shard_of(struct source_caps *c, const struct source_key *key)
{
    return &c->shards[hash_bytes(key, sizeof(*key), 0) % SHARDS];
}

struct source *source_caps_take(struct source_caps *c, const struct addr *address)
{
    struct source_key key = key_of(address);
    struct shard *s = shard_of(c, &key);
    struct source *taken = NULL;

    pthread_mutex_lock(&s->lock);
    struct source **at = find(s, &key);
    if (*at == NULL && (*at = calloc(1, sizeof(struct source))) != NULL) {
        (*at)->key = key;
        s->n_sources++;
    }
    if (*at != NULL && (*at)->count < c->max) {
        taken = *at;
        taken->count++;
    }
    if (s->n_sources > s->n_buckets)
        grow(s);
    pthread_mutex_unlock(&s->lock);
    return taken;
}

void source_caps_give(struct source_caps *c, struct source **source)
{
    struct source *e = *source;

    if (e == NULL)
        return;
    *source = NULL;
    struct shard *s = shard_of(c, &e->key);
    pthread_mutex_lock(&s->lock);
    sl_assert(e->count > 0);
    if (--e->count == 0) {
        struct source **at = find(s, &e->key);
        *at = e->next;
        s->n_sources--;
        free(e);
    }
    pthread_mutex_unlock(&s->lock);
}
