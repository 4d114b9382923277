/* udp_priv.h - mode udp: what its files share.
 *
 * A *door* is what an accepting socket has in this mode: its flows by client address, and what is
 * to be sent through it. A *flow* is a session: the datagrams of one client address, to one
 * backend through a connected socket of its own, so that answers and ICMP errors are told apart.
 * Nothing is kept of a datagram but a flow's first one, until something comes back. */
#ifndef SLUICE_PROXY_UDP_PRIV_H
#define SLUICE_PROXY_UDP_PRIV_H

#include "lb/proxy/proxy_priv.h"

/* A flow's first datagram is kept for another backend where it is not longer than that. */
#define UDP_KEEP_BYTES 1500

/* Asked for at once from a backend: mostly one is there, and to hear that there is no second one
 * costs less in the same call. */
#define UDP_OUT_MAX 2

struct udp_flow;

struct udp_door {
    struct acceptor *acceptor;
    struct udp_flow **table;     /* chains; n_buckets is a power of two */
    uint32_t n_buckets, n_flows; /* in the table */
    uint32_t n_alive;            /* those that end, too */
    uint64_t seed;               /* clients choose their ports */
    struct list quiet;           /* flows; who was quiet longest is first */
    struct timer look;
    /* For clients, sent at the end of the turn. */
    struct io_dgram out[IO_DGRAMS_MAX];
    uint32_t n_out;
    uint8_t *memory; /* their bytes */
    size_t used;
    struct loop_task flush; /* ... and those that have not taken all are called again */
    struct list more;       /* flows */
    bool more_here;         /* the socket itself */
};

/* Of a worker. */
struct udp_env {
    struct slab flows;
    struct list leaving; /* acceptors that are stopping and have flows */
    struct io_dgram in[IO_DGRAMS_MAX];
    uint8_t *memory;
};

/* Who asks whom. */
struct udp_ends {
    struct io_dgram_addr client, local; /* local: len 0 where the socket has an address */
};

struct udp_flow {
    struct session base;   /* first */
    struct udp_flow *next; /* in its chain */
    struct list quiet;
    struct list more; /* linked: not all was taken */
    struct udp_door *door;
    struct proxy_listener *held; /* that it began with: its pool stays */
    struct pool *pool;
    struct backend_slot *slot; /* a place is held */
    struct backend_counters *row;
    struct op op; /* watches fd */
    int fd;
    uint32_t hash;
    struct udp_ends ends;
    uint64_t active_ms;
    uint64_t bytes_in, bytes_out, dgrams_in, dgrams_out;
    uint64_t awaited; /* answers, where their number is known */
    uint8_t *first;   /* datagram, on the heap; NULL: not kept */
    uint32_t first_len;
    uint32_t excluded[LIMIT_RETRIES + 1]; /* backends that did not do */
    uint8_t n_excluded;
    uint8_t end; /* enum session_end */
    bool over;
    int error;
};

/* udp_door.c */
struct udp_flow *udp_find(const struct udp_door *door, const struct udp_ends *ends, uint32_t hash);
uint32_t udp_hash(const struct udp_door *door, const struct udp_ends *ends);
void udp_add(struct udp_door *door, struct udp_flow *f);
void udp_remove(struct udp_door *door, struct udp_flow *f);
void udp_touch(struct udp_flow *f);        /* it is not quiet */
void udp_look_soon(struct udp_door *door); /* flows may have to end earlier */
void udp_flow_gone(struct udp_door *door); /* freed */
/* Room for a datagram to a client; valid until the next call. Filled in, udp_out_add() has it sent
 * with the turn. */
struct io_dgram *udp_out(struct udp_door *door); /* for two of them, one behind the other */
void udp_out_add(struct udp_door *door, const struct udp_flow *f, int n);
void udp_more(struct udp_flow *f); /* it has not taken all; it is called again in the next turn */
static inline struct listener_counters *udp_row(const struct udp_door *door)
{
    return door->acceptor->row;
}
static inline uint32_t udp_count(const struct io_dgram *d)
{
    return d->segment > 0 ? (d->len + d->segment - 1) / d->segment : 1;
}
static inline void udp_drop(const struct udp_door *door, enum udp_drop why,
                            const struct io_dgram *d, int n)
{
    for (int i = 0; i < n; i++)
        counter_add(&udp_row(door)->dgrams_dropped[why], udp_count(&d[i]));
}
/* Sends; where the kernel cannot split d[0] itself, each of it alone. As io_dgrams_send(). */
int udp_send(struct io *io, int fd, const struct io_dgram *d, int n, bool to);

/* udp_flow.c */
/* A flow of these two; NULL: none, and the datagrams are counted as dropped. after: it takes over
 * from this one, whose backend did not do. */
struct udp_flow *udp_flow_start(struct udp_door *door, const struct udp_ends *ends, uint32_t hash,
                                const struct udp_flow *after, const struct io_dgram *d, int n);
/* From the client: n datagrams to its backend, or another one. */
void udp_flow_forward(struct udp_flow *f, const struct io_dgram *d, int n);
void udp_flow_end(struct udp_flow *f, enum session_end why, int error);
uint32_t udp_timeout_ms(const struct udp_door *door);

/* udp_log.c */
void udp_log_end(struct udp_flow *f);

#endif
