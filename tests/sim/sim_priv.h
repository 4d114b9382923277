/* sim_priv.h - shared by the network (sim_net.c) and the engine (sim_io.c) of the simulation. */
#ifndef SLUICE_TESTS_SIM_SIM_PRIV_H
#define SLUICE_TESTS_SIM_SIM_PRIV_H

#include "lb/base/list.h"
#include "lb/base/rand.h"
#include "lb/io/io_priv.h"
#include "tests/sim/sim.h"

#define SIM_FD_BASE 1000000 /* no number of the kernel's */
#define SIM_FDS     4096
#define SIM_NEVER   UINT64_MAX

/* One direction of a connection. Of the `len` bytes, the first `arrived` can be read. */
struct flow {
    uint8_t *data;
    size_t at, len, alloc;
    size_t arrived, window; /* at most this much arrives unread; near sends wait for room in it */
    uint64_t tick_us;       /* when more arrives; SIM_NEVER: nothing on its way */
    bool fin_sent, fin_arrived;
    bool cut; /* reset: nothing moves any more */
};

struct peer {
    struct sim_peer pub; /* first */
    struct list node;    /* all of the sim's, in order */
    struct list backlog; /* in its listener's while it waits */
    struct sock *near;   /* NULL: not accepted yet, or closed */
    struct flow to_near, to_far;
    struct sockaddr_storage addr; /* the far end's */
    socklen_t addr_len;
    uint64_t reset_near_us, reset_far_us; /* when a reset arrives; SIM_NEVER */
    bool near_closed, frozen, told_end, told_reset;
    enum sim_mood doom; /* SIM_RESETS, SIM_CLOSES: right after connecting */
};

enum sock_kind { SOCK_NEW, SOCK_LISTENING, SOCK_CONNECTING, SOCK_OPEN, SOCK_DATAGRAMS };

/* A near descriptor. */
struct sock {
    struct list node;
    int fd;
    enum sock_kind kind;
    int family;
    struct peer *peer;
    int error; /* pending: told to the first operation that asks */
    bool dead; /* reset or timed out */
    bool write_shut;
    struct list dgrams; /* that have arrived: struct dgram */
    uint32_t n_dgrams;
    bool news;                    /* since a watch has shown */
    struct sockaddr_in to;        /* of a connected datagram socket */
    struct list backlog;          /* of a listener: struct peer */
    struct sockaddr_storage addr; /* of a listener and, once known, of the near end */
    socklen_t addr_len;
};

/* An operation whose last result has not been noted. */
struct armed {
    struct op *op;
    int fd, out; /* out: of a splice, else -1 */
    enum op_kind kind;
    int patience;      /* how often it was passed over */
    int cancel_in;     /* passes until a cancel wins; -1: none asked */
    uint64_t ready_us; /* a connect: when it is decided */
    bool starved;
};

struct server {
    struct sim_server pub; /* first */
    struct list node;
    struct sockaddr_storage addr;
    socklen_t addr_len;
};

struct after {
    struct list node;
    uint64_t at_us;
    void (*fn)(struct sim *s, void *arg);
    void *arg;
};

/* On its way, or in a near socket's queue. */
struct dgram {
    struct list node;
    uint64_t at_us; /* when it arrives */
    struct sockaddr_in from, to;
    bool refusal; /* of one sent before */
    size_t len;
    uint8_t data[];
};

struct sim {
    struct io io; /* first: a struct io * is a struct sim * */
    struct sim_conf conf;
    uint64_t now_us;
    struct rng rng, product_rng;
    /* The seed's temper. */
    uint32_t eager_percent, cancel_wins_percent, whole_percent, latency_max_us, window_max;
    struct sock *socks[SIM_FDS];
    struct list open, peers, servers, afters;
    struct list dgrams, dgram_ends; /* on their way; far sockets */
    struct sim_dgram_faults dgram_faults;
    uint16_t last_port; /* of connected datagram sockets */
    uint32_t n_open, n_peers;
    struct armed armed[SIM_FDS];
    uint32_t n_armed;
    uint8_t buf_out[65536]; /* by id: 1 while the code under test has it */
    uint32_t pipes_out;
    bool io_freed;
};

/* Prints the message and the seed, then aborts. */
_Noreturn void sim_fail(const struct sim *s, const char *format, ...) PRINTF_LIKE(2, 3);
bool sim_chance(struct sim *s, uint32_t percent);     /* calm: always true */
bool sim_fault(struct sim *s, uint16_t per_thousand); /* drawn only when it is above 0 */
uint64_t sim_latency(struct sim *s);
/* How much of up to n (> 0) happens now: at least 1. */
size_t sim_share(struct sim *s, size_t n);

/* sim_net.c */
struct sock *sim_sock_new(struct sim *s, enum sock_kind kind, int family); /* NULL: no number */
struct sock *sim_sock(struct sim *s, int fd);                              /* fails if not open */
void sim_sock_close(struct sim *s, struct sock *k, bool reset);
void sim_sock_shutdown(struct sim *s, struct sock *k, int how);
struct peer *sim_peer_new(struct sim *s);
void sim_join(struct sim *s, struct sock *k, struct peer *p);
void sim_reset_both(struct sim *s, struct peer *p);
struct server *sim_server_at(struct sim *s, const void *addr, socklen_t len);
bool flow_ended(const struct flow *f); /* nothing more to read, ever */
size_t flow_room(const struct flow *f);
void flow_put(struct sim *s, struct flow *f, const void *data, size_t len);
size_t flow_take(struct sim *s, struct flow *f, void *data, size_t len); /* of what arrived */
void sim_net_step(struct sim *s);           /* lets happen what is due */
uint64_t sim_net_next(const struct sim *s); /* when the next thing is */
void sim_net_free(struct sim *s);

/* sim_dgram.c */
void sim_dgrams_step(struct sim *s);
uint64_t sim_dgrams_next(const struct sim *s);
void sim_dgrams_forget(struct sock *k); /* what waits in a socket that is closed */
void sim_dgrams_free(struct sim *s);
int sim_dgram_connect(struct io *io, const struct sockaddr *addr, socklen_t len);
int sim_dgrams_recv(struct io *io, int fd, struct io_dgram *d, int n, uint32_t room, bool from);
int sim_dgrams_send(struct io *io, int fd, const struct io_dgram *d, int n, bool to);

#endif
