/* h2_conns.h - one worker's connections to backends in HTTP/2: which of them has room for one more
 * request, who waits for one that is being dialled, which are idle and until when.
 *
 * Who needs a stream calls h2_conns_find(); where there is none with room, h2_conns_wait(), which
 * tells whether somebody is dialling one that will have room, and else that it is his to do. Then
 * he says how it went: h2_conn_new() and h2_dial_over(). Those who wait are woken at the end of the
 * turn, to look again. */
#ifndef SLUICE_UPSTREAM_H2_CONNS_H
#define SLUICE_UPSTREAM_H2_CONNS_H

#include "lb/base/blocks.h"
#include "lb/base/slab.h"
#include "lb/io/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct addr;
struct backend_slot;
struct h2_conn;
struct h2_conns;
struct h2_member; /* member.h */
struct h2_waiter;
struct member_conns;
struct pool;

struct h2_waiter {
    struct list node;
    struct h2_member *member; /* NULL: does not wait */
    int error;
    bool woken; /* wake() follows */
    /* error 0: look again; else nobody could connect. From a turn's end. */
    void (*wake)(struct h2_waiter *w, int error);
};

/* A connection that somebody dials. */
struct h2_dial {
    struct h2_member *member; /* NULL: none */
};

struct h2_conns {
    struct loop *loop;
    uint32_t worker;
    struct slab conns;
    struct blocks blocks; /* nghttp2's */
    uint64_t windows;     /* bytes that streams' may still grow by */
    struct list shared;   /* all that may be found */
    struct list idle;     /* of these, the oldest first */
    struct list woken;
    struct loop_task waker;
    bool stopping;
};

void h2_conns_init(struct h2_conns *a, struct loop *loop, uint32_t worker);
/* Idle connections are closed; others with their last stream. */
void h2_conns_stop(struct h2_conns *a);
bool h2_conns_stopped(const struct h2_conns *a);
void h2_conns_fini(struct h2_conns *a);

/* NULL: the pool's backends never speak HTTP/2. */
struct h2_member *h2_conns_member(const struct h2_conns *a, const struct pool *p,
                                  const struct backend_slot *slot);

/* Which connections will do. */
struct h2_wish {
    const struct addr *address;
    uint64_t not_before_us; /* made later than that; 0: any */
    bool lively;            /* not one that has been idle for long: for what cannot be sent twice */
};
/* A connection with room for a request, or NULL. Not taken: open the stream at once. */
struct h2_conn *h2_conns_find(struct h2_conns *a, struct h2_member *m, const struct h2_wish *wish);
/* True: woken later. False: dial; d is taken until h2_dial_over(). */
bool h2_conns_wait(struct h2_conns *a, const struct pool *p, struct h2_member *m,
                   struct h2_waiter *w, struct h2_dial *d);
void h2_waiter_cancel(struct h2_waiter *w);
/* error: -errno, none could connect; 0: there is a connection, of whatever protocol, or the dial
 * was given up: those who wait look again. No effect when d was not taken. */
void h2_dial_over(struct h2_conns *a, struct h2_dial *d, int error);

/* Connections of a backend that is gone, or of all (slot NULL): no request goes on them any more,
 * idle ones are closed. */
void h2_conns_drop(struct h2_conns *a, const struct backend_slot *slot);
/* ... of a backend as it was before a reload. */
void h2_conns_drop_member(struct h2_conns *a, struct member_conns *m);
/* Descriptors are short: closes the connection that is idle for longest. False: there is none. */
bool h2_conns_evict(struct h2_conns *a);

#endif
