/* conn_cache.h - connections to backends that carry one request after the other, kept by one
 * worker.
 *
 * An idle connection has its receive armed, so that its end is seen before it is used again; the
 * one that became idle last is taken first, the others run out. A connection in use is its taker's:
 * he sets stream.event and gives it back clean, or closes it. */
#ifndef SLUICE_UPSTREAM_CONN_CACHE_H
#define SLUICE_UPSTREAM_CONN_CACHE_H

#include "lb/net/stream.h"

#include <stdbool.h>
#include <stdint.h>

struct addr;
struct backend_slot;
struct conn_cache;
struct member_conns;
struct pool;

struct backend_conn {
    struct stream stream;
    struct list node; /* of the idle ones, or of those that are closing */
    struct list aged; /* of all idle ones of the worker, the oldest first */
    struct timer expiry;
    struct conn_cache *cache;
    struct member_conns *member;
    struct backend_slot *slot;
    void *owner;          /* the taker's */
    uint64_t address;     /* hash of where it leads */
    uint64_t last_client; /* id of the session that used it last */
    uint64_t idle_since_us;
    uint32_t requests; /* that it has carried */
    bool reset;        /* when it is closed, by a reset */
};

struct conn_cache {
    struct loop *loop;
    struct stream_env *streams;
    struct slab conns;
    uint32_t worker;
    struct list aged, closing;
    uint32_t n_idle;
    bool stopping;
};

void conn_cache_init(struct conn_cache *c, struct loop *loop, struct stream_env *streams,
                     uint32_t worker);
/* Closes the idle ones; what is in use is closed when it is given back. */
void conn_cache_stop(struct conn_cache *c);
bool conn_cache_stopped(const struct conn_cache *c); /* nothing is left */
void conn_cache_fini(struct conn_cache *c);

/* The latest idle connection to this backend at this address, or NULL. The caller owns it. */
struct backend_conn *conn_cache_take(struct conn_cache *c, struct pool *p,
                                     struct backend_slot *slot, const struct addr *address);
/* Is there one that was used by this client, or within the last second? For requests that must not
 * be sent twice. */
struct backend_conn *conn_cache_take_safe(struct conn_cache *c, struct pool *p,
                                          struct backend_slot *slot, const struct addr *address,
                                          uint64_t client);
/* A new one for a descriptor that is connected. NULL: no memory, fd stays the caller's. */
struct backend_conn *backend_conn_new(struct conn_cache *c, struct pool *p,
                                      struct backend_slot *slot, const struct addr *address,
                                      int fd);
/* Does it lead to this address? False: the backend has moved since. */
bool backend_conn_leads_to(const struct backend_conn *conn, const struct addr *address);
/* Idle again: nothing is queued in it, nothing of it is awaited. timeout_s: of a Keep-Alive header,
 * 0: there was none. bulk: its answers are large: the next one is to be left in the kernel. */
void conn_cache_give(struct backend_conn **conn, uint32_t timeout_s, bool bulk);
/* Freed as soon as nothing is armed on it. */
void backend_conn_close(struct backend_conn **conn, bool reset);
/* The same, of one that nothing is under way on: where it has TLS, the backend hears by
 * close_notify that nothing is missing. */
void backend_conn_leave(struct backend_conn **conn);
/* Idle connections of a backend that is gone, or of all (slot NULL). */
void conn_cache_drop(struct conn_cache *c, const struct backend_slot *slot);
/* ... of a backend as it was before a reload. */
void conn_cache_drop_member(struct conn_cache *c, struct member_conns *m);
/* Descriptors are short: closes the connection that is idle for longest. False: there is none. */
bool conn_cache_evict(struct conn_cache *c);

#endif
