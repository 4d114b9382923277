/* h2_priv.h - shared by h2_conn.c (frames) and h2_conns.c (which connection). */
#ifndef SLUICE_UPSTREAM_H2_PRIV_H
#define SLUICE_UPSTREAM_H2_PRIV_H

#include "lb/upstream/conn_cache.h"
#include "lb/upstream/h2_conn.h"
#include "lb/upstream/h2_conns.h"
#include "lb/upstream/pool.h"

enum h2_conn_state {
    H2_OPEN,
    H2_LEAVING, /* no request any more; ends with the last stream */
    H2_CLOSING, /* GOAWAY is on its way */
    H2_LOST,    /* waits for its streams' owners */
};

struct h2_conn {
    struct list node; /* of its member's */
    struct list idle; /* of the worker's */
    struct h2_conns *all;
    struct h2_member *member; /* NULL: not shared */
    struct backend_conn *base;
    nghttp2_session *session;
    struct list streams;
    struct list told; /* streams that an event is due for */
    struct loop_task turn_end;
    struct timer timer;
    uint64_t made_us, idle_since_us;
    size_t memory; /* bytes that nghttp2 has */
    uint32_t n_streams;
    uint32_t peer_streams; /* at the same time, as the backend says */
    uint32_t n_requests;
    uint32_t odd_frames; /* of no use to anybody, since the last useful one */
    const char *reason;
    int error;
    uint8_t state; /* enum h2_conn_state */
    bool settings_seen;
    bool connect_protocol;
    bool in_library; /* nghttp2 runs: it must not be freed */
    bool is_idle;
};

/* h2_conns.c */
uint32_t h2_conn_room(const struct h2_conn *c);
void h2_conn_unlink(struct h2_conn *c); /* is not found any more */
void h2_conn_idle(struct h2_conn *c);   /* its last stream is over: kept for a while, or closed */
void h2_conn_busy(struct h2_conn *c);
void h2_conn_leave(struct h2_conn *c); /* takes no more requests, ends with its last */

/* h2_conn.c */
void h2_conn_end(struct h2_conn *c); /* without streams: says goodbye, closes */

#endif
