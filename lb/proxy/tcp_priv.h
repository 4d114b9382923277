/* tcp_priv.h - what the files of mode tcp share.
 *
 * tcp.c is the session: its states, the choice of a backend, its end. How bytes go between the two
 * sides is the business of its link: tcp_plain.c (a tunnel between sockets) or tcp_tls.c (a relay
 * between streams, where one side at least has TLS). A link calls tcp_on_*() with what happens; the
 * session steers it by struct tcp_link. tcp_sni.c reads the name that a pool is chosen by. */
#ifndef SLUICE_PROXY_TCP_PRIV_H
#define SLUICE_PROXY_TCP_PRIV_H

#include "lb/proxy/proxy_priv.h"
#include "lb/proxy/seek.h"

struct tcp_session;
struct tcp_hello;
struct tls_facts;
struct tunnel_end;

#define TCP_SESSION_MAGIC 0x7c95e551u

enum tcp_state {
    TCP_PROXY_HEADER, /* the client's PROXY header is awaited */
    TCP_HELLO,        /* its ClientHello, which is passed on as it is */
    TCP_HANDSHAKE,    /* its TLS handshake with us */
    TCP_REFUSING,     /* an alert is on its way to it */
    TCP_SEEKING,      /* a backend: queued, dialling, or securing what was dialled */
    TCP_TUNNEL,
    TCP_CLOSING, /* waits for the last completions */
};

/* What a session needs until its first byte has moved. */
struct dial {
    struct seek seek;
    struct tcp_session *session;
    struct peer dst;  /* from a PROXY header: where the client connected to; family 0: none */
    int last_error;   /* of the last one */
    bool early;       /* the last one was lost after it had accepted */
    bool failed;      /* ... or before it was one: the handshake */
    uint8_t *preface; /* the PROXY header to send, of the prefaces slab; NULL: none */
};

struct tcp_session {
    uint32_t magic;
    uint8_t state, end;
    uint8_t retries;
    bool reset_client, reset_backend;
    bool kept_alive; /* the backend's connection has its keep-alive set */
    const struct tcp_link *link;
    int client_fd; /* -1: not there */
    int error;     /* what was seen at the end, -errno */
    struct session base;
    struct timer timer;
    struct pool *pool;              /* NULL: not chosen yet */
    struct backend_slot *slot;      /* a place is held; while there is a dial, it holds it */
    struct backend_slot *last_slot; /* for the log, when no place is held any more */
    struct dial *dial;
    struct tcp_hello *hello; /* while it is read */
    char *name;              /* that the client asked for, or NULL */
    uint64_t active_ms;
    uint64_t progress;             /* at the last look at the idle time */
    uint32_t queue_us, connect_us; /* UINT32_MAX: not reached */
    const char *why; /* what was seen at the end, in words that last as long; NULL: none */
};

/* What can be seen of a link. */
struct tcp_link_view {
    int backend_fd; /* -1: not there */
    uint64_t bytes_in, bytes_out;
    uint64_t progress;  /* changes whenever a byte moves */
    bool half_closed;   /* one side has finished sending */
    bool client_is_due; /* it has bytes to take, or the backend has finished sending */
    bool client_ended;  /* it has finished sending */
    bool in_spliced, out_spliced;
};

struct tcp_link {
    void (*open_client)(struct tcp_session *s);
    /* TLS with the client from here on; tcp_on_secured() or tcp_end() follows. */
    void (*secure_client)(struct tcp_session *s);
    /* What the client has sent and nobody has taken. */
    const struct io_buf *(*waiting)(struct tcp_session *s);
    void (*consume)(struct tcp_session *s, uint32_t n);
    /* The PROXY header for it, of n bytes, is in the dial. tcp_joined() follows. */
    void (*open_backend)(struct tcp_session *s, int fd, uint16_t n);
    void (*drop_backend)(struct tcp_session *s); /* not joined yet; tcp_on_detached() follows */
    void (*watch_half_closed)(struct tcp_session *s);
    void (*look)(struct tcp_session *s, struct tcp_link_view *out);
    /* TLS with the client; false: none. */
    bool (*facts)(struct tcp_session *s, struct tls_facts *out);
    /* tcp_on_stopped() follows, unless it is idle already. */
    void (*stop)(struct tcp_session *s);
    bool (*idle)(struct tcp_session *s);
    void (*close)(struct tcp_session *s); /* idle: descriptors and buffers */
    void (*free)(struct tcp_session *s);
};

/* tcp_plain.c */
struct tcp_session *tcp_plain_new(struct proxy *p); /* or NULL */

/* tcp_tls.c */
struct tcp_session *tcp_relayed_new(struct proxy *p); /* or NULL */

/* tcp.c: the session, to its links */
void tcp_on_arrived(struct tcp_session *s); /* bytes or an end of the client's, no backend yet */
void tcp_on_secured(struct tcp_session *s, bool resumed); /* TLS with the client is there */
void tcp_joined(struct tcp_session *s);                   /* before the first byte moves */
void tcp_on_moved(struct tcp_session *s, bool up, uint32_t n);
void tcp_settle(struct tcp_session *s, int backend_fd); /* no other backend can take over now */
bool tcp_on_early_loss(struct tcp_session *s, int error);
void tcp_on_detached(struct tcp_session *s);
void tcp_on_half_closed(struct tcp_session *s);
void tcp_on_ended(struct tcp_session *s, const struct tunnel_end *end);
void tcp_on_stopped(struct tcp_session *s);

/* tcp.c: to tcp_sni.c and tcp_log.c */
void tcp_enter(struct tcp_session *s, enum tcp_state state, uint64_t timeout_ms);
void tcp_end(struct tcp_session *s, enum session_end why, int error);
void tcp_choose_pool(struct tcp_session *s, struct str name);
struct backend_slot *tcp_used_slot(const struct tcp_session *s); /* is or was last used, or NULL */
struct backend_counters *tcp_backend_row(const struct tcp_session *s); /* NULL: no pool yet */
static inline struct listener_counters *tcp_listener_row(const struct tcp_session *s)
{
    return &s->base.listener->stats->rows[s->base.proxy->worker];
}
static inline struct io *tcp_io(const struct tcp_session *s)
{
    return s->base.proxy->loop->io;
}
static inline uint64_t tcp_now_us(const struct tcp_session *s)
{
    return loop_now_us(s->base.proxy->loop);
}
static inline uint64_t tcp_now_ms(const struct tcp_session *s)
{
    return loop_now_ms(s->base.proxy->loop);
}

/* tcp_sni.c */
bool tcp_hello_begin(struct tcp_session *s) WARN_UNUSED; /* false: no memory */
void tcp_hello_read(struct tcp_session *s);              /* more of it has come */
/* No pool has its name: tells the client, where that is possible, then ends. */
void tcp_refuse_name(struct tcp_session *s);
bool tcp_hello_idle(const struct tcp_session *s);
void tcp_hello_stop(struct tcp_session *s);
void tcp_hello_free(struct tcp_session *s); /* idle */

/* tcp_log.c: what is counted and written when it ends */
void tcp_log_end(struct tcp_session *s);

#endif
