/* relay.h - two streams joined, of which one at least has TLS: what tunnel.h is for plain sockets.
 *
 * A relay owns both streams from their opening to relay_close(). Until relay_join() they are apart:
 * the owner does handshakes and reads headers on them, and hears of their events. Joined, bytes go
 * both ways; an end of stream (close_notify) is passed on behind them; a side that takes bytes too
 * slowly has the other one wait, so that each direction holds STREAM_HIGH_WATER twice, received and
 * to be sent, plus what one turn brings. What the client sent first is kept until the backend's
 * kernel has some of it, so that another backend can have it. */
#ifndef SLUICE_PROXY_RELAY_H
#define SLUICE_PROXY_RELAY_H

#include "lb/net/stream.h"
#include "lb/proxy/tunnel.h"

struct relay;

/* What the owner wants to hear; see struct tunnel_ops. Called on the loop's thread, from inside
 * relay_join() at most. */
struct relay_ops {
    /* Something happened to a stream while the two are apart. */
    void (*client)(struct relay *r);
    void (*backend)(struct relay *r);
    void (*moved)(struct relay *r, bool up, uint32_t n);
    bool (*early_loss)(struct relay *r, int error);
    void (*detached)(struct relay *r); /* the backend's stream is closed; another may be opened */
    void (*half_closed)(struct relay *r);
    void (*ended)(struct relay *r, const struct tunnel_end *end);
    void (*stopped)(struct relay *r);
};

/* One direction. */
struct relay_flow {
    uint64_t bytes; /* reached the other side */
    uint64_t given; /* ... or are on their way */
    uint64_t base;  /* of the receiving stream's `sent`: bytes that were not of the other side */
    bool eof_passed;
};

struct relay {
    const struct relay_ops *ops;
    struct stream_env *env;
    struct stream client, backend;
    struct relay_flow up, down; /* up: client to backend */
    uint32_t offered;           /* bytes at the front of client.in that are being sent: copies */
    bool client_open, backend_open;
    bool joined, detaching, ended, stopping;
    bool watch_half_closed;
};

void relay_init(struct relay *r, struct stream_env *env, const struct relay_ops *ops);
/* Takes the descriptor over and begins to read, as long as there is room. */
void relay_open_client(struct relay *r, int fd);
/* Takes the descriptor over; reads nothing yet. */
void relay_open_backend(struct relay *r, int fd);
/* From here on bytes go both ways. unsent: bytes of the owner that are queued for the backend and
 * not sent yet (a PROXY header). */
void relay_join(struct relay *r, uint32_t unsent);
/* Gives the backend up; `detached` follows, maybe from inside. Nothing has moved yet. */
void relay_detach(struct relay *r);
/* Ends everything. When it is not idle then, `stopped` follows in a later turn. */
void relay_stop(struct relay *r);
bool relay_idle(const struct relay *r);
/* Closes both, idle. reset: the peer sees a reset. */
void relay_close(struct relay *r, bool reset_client, bool reset_backend);
/* As tunnel_watch_half_closed(). */
void relay_watch_half_closed(struct relay *r);
bool relay_half_closed(const struct relay *r);
/* Changes whenever a byte moves, within a long send too; for idle timeouts. */
uint64_t relay_progress(const struct relay *r);

#endif
