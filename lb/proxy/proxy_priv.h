/* proxy_priv.h - what the files of the proxying part share: proxy.c, acceptor.c, tcp.c. */
#ifndef SLUICE_PROXY_PROXY_PRIV_H
#define SLUICE_PROXY_PROXY_PRIV_H

#include "lb/base/arena.h"
#include "lb/base/rand.h"
#include "lb/net/stream.h"
#include "lb/proxy/proxy.h"
#include "lb/proxy/session.h"
#include "lb/proxy/tunnel.h"
#include "lb/upstream/conn_cache.h"
#include "lb/upstream/h2_conns.h"
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
    uint32_t bind; /* see proxy_listen() */
    int fd;
    uint16_t port; /* that clients have connected to; 0: a unix socket */
    bool stopping;
    struct udp_door *udp; /* mode udp: its flows; else NULL */
};

struct h2_shared;
struct http_field;
struct route_scratch;

struct proxy {
    struct loop *loop;
    struct proxy_shared *shared;
    struct worker_counters *counters;
    uint32_t worker;
    uint32_t n_sessions;
    uint64_t next_id;
    struct tunnel_env tunnels;
    struct slab sessions, relayed, dials, prefaces, hellos;
    struct stream_env streams;
    struct conn_cache cache;
    struct h2_conns h2;
    struct arena_pool arenas;
    struct slab http_sessions, exchanges, h2_sessions, h2_fronts, file_works;
    struct files *files;
    uint32_t n_file_works;       /* also of exchanges that are over */
    struct h2_shared *h2_shared; /* h2_session.c's */
    struct blocks h2_blocks;     /* nghttp2's memory */
    uint64_t h2_windows;         /* bytes that those of clients' streams may still grow by */
    struct route_scratch *routing;
    struct http_field *fields; /* of the head being parsed */
    char *text;                /* of a template being expanded: ROUTE_TEXT_MAX + 1 bytes */
    bool leaving;              /* responses are the last on their connections */
    bool draining;             /* ... and idle connections to backends go with the last session */
    struct list all;           /* sessions */
    struct list closing;       /* sessions that only wait to be freed, at the end of the turn */
    struct loop_task reaper;
    struct udp_env *udp; /* NULL: no listener of mode udp yet */
    struct list acceptors;
    struct rng rng;
    struct flight *flight;
    uint64_t warned_ms;  /* last warning about lacking descriptors or memory */
    uint64_t refused_ms; /* last one about a refused connection */
    uint32_t refused;    /* connections since then */
};

/* This worker's queue of those who wait for a backend of the pool. */
static inline struct wait_queue *proxy_queue(const struct proxy *p, const struct pool *pool)
{
    return atomic_load_explicit(&pool->kept->queues[p->worker], memory_order_relaxed);
}

/* As long as it is held, nothing that belongs to it is freed, its pools neither. */
static inline struct proxy_listener *proxy_hold(const struct proxy *p, struct proxy_listener *l)
{
    l->locals[p->worker].users++;
    return l;
}
void proxy_release(const struct proxy *p, struct proxy_listener *l);

/* Descriptors are short: closes a connection to a backend that nobody uses, where there is one. */
void proxy_evict(struct proxy *p);
/* Without sessions and without accepting there will be no more requests. */
void proxy_close_idle(struct proxy *p);

/* acceptor.c */
void acceptor_new(struct proxy *p, struct proxy_listener *l, int fd, uint32_t bind);
void acceptor_move(struct acceptor *a, struct proxy_listener *to);
void acceptor_pause(struct acceptor *a); /* accepts again in a moment */
void acceptor_stop(struct acceptor *a);
void acceptor_free(struct acceptor *a);

/* tcp.c: sessions of mode tcp (tcp_priv.h) */
extern const struct tunnel_ops tcp_tunnel_ops;
size_t tcp_plain_size(void);
size_t tcp_relayed_size(void);
size_t tcp_dial_size(void);
size_t tcp_hello_size(void);
/* Takes the descriptor over, also when it refuses the connection. */
void tcp_session_start(struct proxy *p, struct acceptor *a, int fd);

/* http_session.c: sessions of mode http (http_session.h). Takes the descriptor over as above. */
size_t http_session_size(void);
void http_session_start(struct proxy *p, struct acceptor *a, int fd);

/* udp_door.c: sockets of mode udp (udp_priv.h) */
void udp_open(struct acceptor *a);
/* New clients are turned away; it is freed with its last flow. */
void udp_close(struct acceptor *a);
void udp_moved(struct acceptor *a);     /* another listener has it */
bool udp_closed(const struct proxy *p); /* none of those lives on */
void udp_fini(struct proxy *p);

/* exchange_files.c */
size_t exchange_file_work_size(void);

/* h2_session.c */
void h2_init(struct proxy *p);
void h2_fini(struct proxy *p);

#endif
