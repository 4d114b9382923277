/* proxy_priv.h - what the files of the proxying part share: proxy.c, acceptor.c, tcp.c. */
#ifndef SLUICE_PROXY_PROXY_PRIV_H
#define SLUICE_PROXY_PROXY_PRIV_H

#include "lb/base/rand.h"
#include "lb/proxy/proxy.h"
#include "lb/proxy/session.h"
#include "lb/proxy/tunnel.h"
#include "lb/upstream/pool.h"
#include "lb/upstream/wait_queue.h"

/* One listening descriptor of this worker. */
struct acceptor {
    struct list node; /* proxy->acceptors */
    struct op op;
    struct proxy *proxy;
    struct proxy_listener *listener;
    struct timer resume; /* after a pause */
    struct listener_counters *row;
    int fd;
    bool stopping;
};

/* This worker's part of a pool. */
struct pool_local {
    struct balancer_cursor cursor;
    struct wait_queue queue;
};

struct proxy {
    struct loop *loop;
    struct proxy_shared *shared;
    struct worker_counters *counters;
    uint32_t worker;
    uint32_t n_sessions;
    uint64_t next_id;
    struct tunnel_env tunnels;
    struct slab sessions, dials, prefaces;
    struct list all;     /* sessions */
    struct list closing; /* sessions that only wait to be freed, at the end of the turn */
    struct loop_task reaper;
    struct list acceptors;
    struct pool_local *locals; /* by pool index */
    struct rng rng;
    uint64_t warned_ms; /* last warning about lacking descriptors or memory */
};

/* acceptor.c */
void acceptor_new(struct proxy *p, struct proxy_listener *l, int fd);
void acceptor_pause(struct acceptor *a); /* accepts again in a moment */
void acceptor_stop(struct acceptor *a);
void acceptor_free(struct acceptor *a);

/* tcp.c: sessions of mode tcp */
extern const struct tunnel_ops tcp_tunnel_ops;
size_t tcp_session_size(void);
size_t tcp_dial_size(void);
/* Takes the descriptor over, also when it refuses the connection. */
void tcp_session_start(struct proxy *p, struct acceptor *a, int fd);

#endif
