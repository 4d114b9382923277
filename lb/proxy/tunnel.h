/* tunnel.h - two byte streams joined: mode tcp now, upgraded connections later.
 *
 * A tunnel is two flows, one per direction. It owns what is queued, paused or spliced, and the ops;
 * the descriptors are the owner's, who closes them after tunnel_stop() has been answered. The
 * client's side may be opened before the backend's: what the client sends is kept meanwhile.
 *
 * A flow receives by multishot into engine buffers and sends them gathered. When it turns out to be
 * a bulk transfer (or the receiver is slow) it goes over to splice(2), and back when it is quiet.
 * Memory per direction is bounded: by TUNNEL_HIGH_WATER plus what one turn brings, or by a pipe. */
#ifndef SLUICE_PROXY_TUNNEL_H
#define SLUICE_PROXY_TUNNEL_H

#include "lb/base/slab.h"
#include "lb/io/loop.h"

struct tunnel;
struct bulk;
struct gather;

enum tunnel_side { TUNNEL_CLIENT, TUNNEL_BACKEND };

struct tunnel_end {
    bool finished;         /* both directions came to their end of stream and were passed on */
    enum tunnel_side side; /* else: whose connection failed */
    int error;             /* -errno, 0 when finished */
};

/* What the owner wants to hear. Called on the loop's thread, never from inside tunnel_*() calls
 * except `ended`, `early_loss` and `detached` from tunnel_open_backend(). */
struct tunnel_ops {
    /* While there is no backend: something came from the client, or its end of stream. */
    void (*arrived)(struct tunnel *t);
    /* n more bytes reached the other side (up: client to backend). */
    void (*moved)(struct tunnel *t, bool up, uint32_t n);
    /* The backend failed or closed before any byte moved either way: true to have it detached (then
     * `detached` follows), false to let it be the end. error: -errno, 0 for a close. */
    bool (*early_loss)(struct tunnel *t, int error);
    void (*detached)(struct tunnel *t, int backend_fd); /* the descriptor is the owner's to close */
    /* One side finished sending, the other may go on. */
    void (*half_closed)(struct tunnel *t);
    /* Once: nothing more will be forwarded. The owner calls tunnel_stop(). */
    void (*ended)(struct tunnel *t, const struct tunnel_end *end);
    /* After tunnel_stop(), unless it was idle already: nothing is armed any more. Called from
     * inside an op of the tunnel: tunnel_fini() and free it later in the turn. */
    void (*stopped)(struct tunnel *t);
};

/* What all tunnels of a worker share. */
struct tunnel_env {
    struct loop *loop;
    const struct tunnel_ops *ops;
    struct slab gathers, bulks;
    struct list splicing; /* bulks, least recently active first */
    struct timer sweep;   /* gives the pipes of quiet ones back */
};

enum rx_state { RX_NONE, RX_STREAM, RX_WATCH, RX_SPLICE };

struct flow {
    struct op rx, tx;
    struct io_buf *first, *last; /* received, not yet sent */
    struct gather *gather;       /* the vector of the send under way, when it has several buffers */
    struct bulk *bulk;           /* set: this direction splices, or is about to */
    uint64_t bytes;              /* reached the other side */
    uint32_t queued;             /* bytes in first..last */
    uint32_t streak;             /* bytes received in full buffers without a pause */
    uint32_t tx_turn;            /* engine turn in which the send was started */
    int error;                   /* of the source: -errno */
    uint16_t sending;            /* buffers at the front that the send covers */
    uint16_t n_bufs;             /* in first..last */
    uint8_t rx_state;
    bool up;
    bool eof, eof_passed;
    bool tx_dead;   /* the destination takes no more */
    bool paused;    /* too much is queued */
    bool no_splice; /* tried: these descriptors cannot */
    bool no_watch;  /* a hang-up was seen: a watch would fire at once */
};

struct tunnel {
    struct tunnel_env *env;
    struct flow up, down;
    const void *preface; /* bytes for the backend before anything of the client's; owner's memory */
    uint16_t preface_len;
    bool preface_sent;
    bool stopping, ended, detaching;
    bool watch_half_closed;    /* see tunnel_watch_half_closed() */
    int client_fd, backend_fd; /* -1: not there */
};

#define TUNNEL_HIGH_WATER (64u << 10) /* bytes queued for a blocked receiver: stop receiving */

void tunnel_env_init(struct tunnel_env *env, struct loop *loop, const struct tunnel_ops *ops);
void tunnel_env_fini(struct tunnel_env *env); /* no tunnel is left */

void tunnel_init(struct tunnel *t, struct tunnel_env *env);
/* Begins to receive from the client. */
void tunnel_open_client(struct tunnel *t, int fd);
/* Joins the backend; preface (may be NULL) goes first and is kept by the owner until detached or
 * stopped. */
void tunnel_open_backend(struct tunnel *t, int fd, const void *preface, uint16_t preface_len);
/* Takes n bytes off what the client has sent (a PROXY header); n is at most up.queued. */
void tunnel_consume(struct tunnel *t, uint32_t n);
/* Ends everything. When the tunnel is not idle then, `stopped` follows in a later turn. */
void tunnel_stop(struct tunnel *t);
bool tunnel_idle(const struct tunnel *t); /* nothing is armed */
/* Gives back buffers and pipes of an idle tunnel; the descriptors may be closed, the memory freed.
 */
void tunnel_fini(struct tunnel *t);
/* A side that has finished sending is not looked at any more, as it usually closes soon. For one
 * that stays half closed the owner asks, after a second or so, to have its resets noticed. */
void tunnel_watch_half_closed(struct tunnel *t);
static inline bool tunnel_half_closed(const struct tunnel *t)
{
    return t->up.eof != t->down.eof;
}
/* Changes whenever a byte moves, within a long send too; for idle timeouts. */
uint64_t tunnel_progress(const struct tunnel *t);
static inline bool tunnel_untouched(const struct tunnel *t)
{
    return t->up.bytes == 0 && t->down.bytes == 0;
}

#endif
