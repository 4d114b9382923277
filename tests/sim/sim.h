/* sim.h - a simulated network, clock and engine behind io.h, for tests.
 *
 * "near" is what the code under test sees: descriptors from io_socket(), accepts and sim_listen().
 * "far" is the rest of the world, driven by the test: peers, servers, moods. Everything that
 * happens, and when, follows from one seed: latencies, window sizes, how much a receive or a send
 * gets, in which order operations complete, who wins when an operation is cancelled. A clock that
 * nobody has to wait for: when nothing can happen now, it jumps to what comes next.
 *
 * The engine checks the rules of op.h and io.h on the way and aborts, naming the seed, when the
 * code under test breaks one: see README. */
#ifndef SLUICE_TESTS_SIM_SIM_H
#define SLUICE_TESTS_SIM_SIM_H

#include "lb/base/assert.h"
#include "lb/io/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct sim;

/* Chances in a thousand, each time the thing is tried. */
struct sim_faults {
    uint16_t accept;  /* an accept ends with EMFILE, ENFILE, ENOBUFS or ENOMEM */
    uint16_t aborted; /* a connection in the backlog is gone before it is accepted */
    uint16_t connect; /* refused, timed out or unreachable whatever the server's mood */
    uint16_t reset;   /* a receive or send finds the connection reset, on both ends */
    uint16_t timeout; /* ... or ETIMEDOUT, on the near end only */
    uint16_t socket;  /* io_socket() says EMFILE */
    uint16_t buffers; /* no buffer for a receive, for a while */
    uint16_t pipe;    /* io_pipe_take() gets none */
    uint16_t splice;  /* EINVAL at once */
};

struct sim_conf {
    uint64_t seed;
    bool calm; /* no shortening, delaying, reordering; cancels win: for scripted tests */
    bool near; /* short ways: what is said arrives within milliseconds */
    uint32_t bufs_max;
    struct sim_faults faults;
};

struct sim *sim_new(const struct sim_conf *conf);
/* Belongs to the code under test, which frees it (io_free, loop_fini): that checks for leaks of
 * descriptors, buffers, pipes and armed operations. Then sim_free(). */
struct io *sim_io(struct sim *s);
void sim_free(struct sim **s);

struct sim_faults *sim_faults(struct sim *s); /* may be changed at any time */
uint64_t sim_now_us(const struct sim *s);
uint32_t sim_below(struct sim *s, uint32_t n); /* random, from the seed; n > 0 */
int sim_open_fds(const struct sim *s);         /* near descriptors */
int sim_armed(const struct sim *s);            /* operations without a result yet */
/* Calls fn(arg) at that time. From there only far ends may be driven, not the code under test. */
void sim_after(struct sim *s, uint64_t delay_us, void (*fn)(struct sim *s, void *arg), void *arg);

/* ---- far ends ---- */

enum sim_event {
    SIM_CONNECTED, /* by connect and accept; a dialled peer sends into the backlog before */
    SIM_DATA,      /* sim_peer_read() has something */
    SIM_SPACE,     /* all that was to be sent has left */
    SIM_END,       /* the near end has sent its last byte, and it was read */
    SIM_RESET,     /* by the near end, or the network; nothing comes after */
};
struct sim_peer;
typedef void sim_peer_fn(struct sim_peer *p, enum sim_event event);

/* One far end of a connection; lives until sim_free(). The upper fields are the test's. */
struct sim_peer {
    sim_peer_fn *fn; /* may be NULL */
    void *arg;
    uint64_t tag;
    struct sim *sim;
    uint32_t id;             /* counts up from 0 */
    uint64_t sent, received; /* bytes queued by sim_peer_send(); bytes read */
    bool connected, ended, was_reset;
    bool closed; /* by the test */
};

/* Queues any amount. -EPIPE after shutdown, close or reset. */
int sim_peer_send(struct sim_peer *p, const void *data, size_t len);
/* n > 0, 0 at the end, -EAGAIN, -ECONNRESET. What is not read fills the window. */
ssize_t sim_peer_read(struct sim_peer *p, void *data, size_t len);
void sim_peer_shutdown(struct sim_peer *p); /* end of stream, after what is queued */
/* As close(2): reset when something is unread, or arrives later. */
void sim_peer_close(struct sim_peer *p);
void sim_peer_reset(struct sim_peer *p);
/* Nothing moves any more, either way, until it is taken back: a dead cable. */
void sim_peer_freeze(struct sim_peer *p, bool frozen);
/* Bytes of the far end's that have not arrived. */
size_t sim_peer_unsent(const struct sim_peer *p);

/* Ready-made behaviours. */
sim_peer_fn sim_peer_echo;    /* sends back what it reads; ends when the near end ends */
sim_peer_fn sim_peer_discard; /* reads everything; ends when the near end ends */

/* A near listening descriptor for io_accept(). */
int sim_listen(struct sim *s, const struct sockaddr *addr, socklen_t len);
/* A far client connects to a near listener. from: its address, NULL for one of its own. NULL:
 * nobody listens there. */
struct sim_peer *sim_dial(struct sim *s, const struct sockaddr *addr, socklen_t len,
                          const struct sockaddr *from);
/* A connection without ceremony; *out_fd is its near end. */
struct sim_peer *sim_pair(struct sim *s, int *out_fd);

/* A far server: what happens to near connects to its address. */
enum sim_mood {
    SIM_ACCEPTS,
    SIM_REFUSES, /* -ECONNREFUSED */
    SIM_HANGS,   /* nothing ever happens (-ETIMEDOUT after two minutes) */
    SIM_FULL,    /* -EAGAIN, as a unix socket's backlog */
    SIM_RESETS,  /* connects, then resets before any byte */
    SIM_CLOSES,  /* connects, then ends before any byte */
};
struct sim_server {
    enum sim_mood mood;
    sim_peer_fn *fn; /* its peers'; gets SIM_CONNECTED first */
    void *arg;
    uint32_t connects; /* that got through */
};
/* Lives until sim_free(). Without one, an address refuses. */
struct sim_server *sim_serve(struct sim *s, const struct sockaddr *addr, socklen_t len,
                             sim_peer_fn *fn, void *arg);

/* ---- datagrams ---- */

/* Chances in a thousand, of each datagram. */
struct sim_dgram_faults {
    uint16_t lost, twice;
    uint16_t blocked; /* a send says -EAGAIN */
};
struct sim_dgram_faults *sim_dgram_faults(struct sim *s);

/* A near socket, bound. */
int sim_dgram_bind(struct sim *s, const struct sockaddr *addr, socklen_t len);
/* A far socket; lives until sim_free(). Each datagram has a latency of its own, so they overtake
 * each other. */
struct sim_dgram_end {
    struct sim *sim;
    void (*got)(struct sim_dgram_end *e, const struct sockaddr_in *from, const void *data,
                size_t len);
    void *arg;
    struct sockaddr_in addr;
    bool refuses; /* nobody is there, and who sends is told so */
    uint64_t received;
};
struct sim_dgram_end *sim_dgram_end(struct sim *s, const struct sockaddr *addr,
                                    void (*got)(struct sim_dgram_end *e,
                                                const struct sockaddr_in *from, const void *data,
                                                size_t len),
                                    void *arg);
void sim_dgram_send(struct sim_dgram_end *e, const struct sockaddr_in *to, const void *data,
                    size_t len);

/* ---- many seeds ---- */

/* Calls fn for SIM_ROUNDS seeds (environment; default `rounds`), or for SIM_SEED alone. A seed that
 * fails is printed as the command line to run again. */
void sim_each_seed(int rounds, void (*fn)(uint64_t seed, void *arg), void *arg);
/* cmocka teardown: prints the seed when the test failed inside sim_each_seed(). */
int sim_teardown(void **state);

#endif
