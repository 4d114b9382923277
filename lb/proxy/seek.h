/* seek.h - finding a backend for a session or exchange: pick, queue where all are full, dial, and
 * try another where that fails.
 *
 * Two steps. seek_place() ends with a place at a backend being held (slot_take), `placed`; the
 * owner may have an idle connection to it already, else seek_dial() connects. A backend that cannot
 * be reached is reported to the checker, excluded, and the next one is picked: `placed` again. The
 * place is the seek's until seek_take_place() or seek_fini().
 *
 * Where the pool has TLS the handshake is a part of connecting: after `connected` the owner opens
 * his stream (sends a PROXY header in clear, where one is wanted), calls seek_secure(), waits for
 * his stream's event, and says how it went: seek_handshake(). The deadline stays seek's. */
#ifndef SLUICE_PROXY_SEEK_H
#define SLUICE_PROXY_SEEK_H

#include "lb/base/limits.h"
#include "lb/net/addr.h"
#include "lb/obs/access_log.h"
#include "lb/upstream/wait_queue.h"

struct backend_slot;
struct pool;
struct proxy;
struct seek;
struct stream;

struct seek_ops {
    void (*placed)(struct seek *k);
    /* fd is the owner's. Where the pool has TLS the handshake is to follow. */
    void (*connected)(struct seek *k, int fd);
    /* ... and has not been over in time: the owner ends his stream and calls
     * seek_dial_failed(-ETIMEDOUT). */
    void (*late)(struct seek *k);
    /* No backend: END_NO_BACKEND, END_QUEUE_FULL, END_QUEUE_TIMEOUT, END_CONNECT_FAILED,
     * END_CONNECT_TIMEOUT, END_RESOURCE; error: -errno of the last try, 0: none. */
    void (*failed)(struct seek *k, enum session_end why, int error);
    /* After seek_stop(): nothing is armed any more. */
    void (*stopped)(struct seek *k);
};

enum seek_state {
    SEEK_IDLE,
    SEEK_QUEUED,
    SEEK_CONNECTING,
    SEEK_SECURING, /* connected; the owner's TLS handshake is under way */
    SEEK_DIAL_AGAIN,
    SEEK_STOPPED,
};

#define SEEK_WHY_MAX 64

struct seek {
    struct op connect;
    struct waiter waiter;
    struct timer timer;
    const struct seek_ops *ops;
    struct proxy *proxy;
    struct pool *pool;
    struct backend_slot *slot;      /* a place is held */
    struct backend_slot *wanted;    /* NULL: any */
    struct backend_slot *last_slot; /* the last one that was, for logs and counters */
    struct addr addr;               /* of the backend being dialled */
    uint64_t key;                   /* of the balancing hash */
    uint64_t started_us;            /* of the present phase */
    uint64_t dial_deadline_ms;
    uint32_t excluded[LIMIT_RETRIES + 1];
    uint32_t n_excluded;
    uint32_t tries_left;           /* backends that may still be tried after the present one */
    uint32_t retries;              /* that were */
    uint32_t moves;                /* to further addresses of the present backend's name */
    uint32_t queue_us, connect_us; /* UINT32_MAX: not reached */
    int fd;                        /* being connected, -1: none */
    int last_error;
    uint8_t state; /* enum seek_state */
    bool timed_out;
    bool wanted_lost;
    bool defer_ack;         /* the first bytes to the backend are here already */
    char why[SEEK_WHY_MAX]; /* of the last failure, where an errno does not say it; "" */
};

/* pool, key and tries are set anew; what was excluded before stays excluded. */
void seek_init(struct seek *k, const struct seek_ops *ops, struct proxy *p, struct pool *pool);
/* Calls placed, failed, or (queued) neither yet. May call them from inside. */
void seek_place(struct seek *k);
/* The same, but at this backend as long as it may be used: waits for it in the queue where it is
 * full. When it may not, or the wait took too long, wanted_lost is set and any other will do. */
void seek_place_at(struct seek *k, struct backend_slot *slot);
/* Connects to the backend whose place is held; calls connected or, in the end, placed or failed.
 * May call them from inside. */
void seek_dial(struct seek *k);
/* The time for connecting begins again, at the same backend: the owner's connection did not do. */
void seek_again(struct seek *k);
/* Begins the handshake on the owner's stream, which carries nothing else yet. False: no memory. */
bool seek_secure(struct seek *k, struct stream *s) WARN_UNUSED;
/* After an event of that stream. SECURE_FAILED: why is set and the owner ends his stream and calls
 * seek_dial_failed(error). */
enum seek_secure { SECURE_MORE, SECURE_DONE, SECURE_FAILED };
enum seek_secure seek_handshake(struct seek *k, const struct stream *s, int *out_error);
/* Of seek.c and seek_tls.c: all of connecting is over; the handshake took too long. */
void seek_secured(struct seek *k);
void seek_handshake_late(struct seek *k);
/* The connection that was dialled did not come to be: as if connecting had failed. May call placed
 * or failed from inside. */
void seek_dial_failed(struct seek *k, int error);
/* The connection that was dialled went wrong later; why: of TLS, or "": an errno says it. */
void seek_note(struct seek *k, const char *why);
/* The last failure in words, for a log line: why, or what error (-errno) means. */
const char *seek_error_text(const struct seek *k, int error);
/* The backend whose place is held did not do: excludes it and looks for another; counts a retry. */
void seek_next(struct seek *k, int error);
/* The place is the caller's from now on (NULL: none was held). */
struct backend_slot *seek_take_place(struct seek *k);
/* Gives a place back, so that others can have it; *slot is NULL then. */
void seek_give_place(struct proxy *p, struct pool *pool, struct backend_slot **slot);
/* Ends it; when something is armed, `stopped` follows in a later turn. */
void seek_stop(struct seek *k);
static inline bool seek_idle(const struct seek *k)
{
    return !k->connect.armed;
}
void seek_fini(struct seek *k); /* idle */

/* Whether a backend takes those who were with it before: one that drains does, and its weight does
 * not matter. In an epoch. */
bool seek_may_use_wanted(const struct backend_slot *s);

#endif
