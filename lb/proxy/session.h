/* session.h - what sessions of every mode have in common: one client connection of one worker, who
 * it is, how it is counted, how it is freed. The first member of each kind's own struct. */
#ifndef SLUICE_PROXY_SESSION_H
#define SLUICE_PROXY_SESSION_H

#include "lb/base/list.h"
#include "lb/net/addr.h"
#include "lb/obs/access_log.h"

struct acceptor;
struct backend_slot;
struct proxy;
struct proxy_filter;
struct proxy_listener;
struct proxy_session_view;
struct session;
struct source;

/* A client's address in few bytes; family 0: not asked for yet. */
struct peer {
    uint8_t family;
    uint16_t port; /* network order */
    uint8_t ip[16];
};

struct session_ops {
    void (*end)(struct session *s, enum session_end why); /* no effect when it is ending already */
    /* Ends what it has under way at this backend that ends with it (on_down = "close"). */
    void (*backend_down)(struct session *s, const struct backend_slot *slot);
    const char *(*pool_name)(const struct session *s);    /* NULL: none now */
    const char *(*backend_name)(const struct session *s); /* NULL: none now */
    void (*view)(struct session *s, struct proxy_session_view *out);
    /* NULL: goes on until it ends by itself, with the listener that it has begun with. */
    void (*drain)(struct session *s);
    void (*free)(struct session *s); /* at the end of the turn in which nothing is armed any more */
};

struct session {
    struct list node; /* proxy->all, at the end proxy->closing */
    const struct session_ops *ops;
    struct proxy *proxy;
    struct proxy_listener *listener;
    struct source *source; /* counted, where there is a cap per source */
    uint64_t id, accepted_us;
    uint16_t local_port; /* that the client has connected to; 0: a unix socket */
    struct peer client;  /* as a PROXY header says, else who is connected */
    struct peer dst;     /* mode http: where to; family 0: nobody has wanted to know */
};

void session_init(struct session *s, const struct session_ops *ops, struct proxy *p,
                  struct acceptor *a);

/* Counted at once, so that the limits are exact; false: over one of them, refuse it. Where a PROXY
 * header is to come, the source is the one that it names: session_admit_source() then. */
bool session_admit(struct session *s, int fd);
bool session_admit_source(struct session *s, int fd);
#define SESSION_SOURCE_FULL "its source has limits.per_source already"
/* A refused connection, for the process log: not each has a line. It says what, then why. */
void session_note_refused(struct session *s, const char *what, const char *why);
void session_refuse(struct session *s); /* takes session_admit()'s count back */
/* It is a session from here on. */
void session_begin(struct session *s, int fd);
void session_free_soon(struct session *s); /* nothing is armed: ops->free() follows in this turn */
/* Takes back what session_begin() counted; the last step but the memory. */
void session_finish(struct session *s);

/* Whether this client is to send a PROXY header first. */
bool session_expects_proxy_header(struct session *s, int fd);
/* Asked of the kernel only where something wants to know it. fd -1: closed already. */
void session_client_address(struct session *s, int fd, struct addr *out);
void session_local_address(struct session *s, int fd, struct addr *out);
/* Where the client meant to connect to: as a PROXY header says, else our own address. Mode http. */
void session_destination(struct session *s, int fd, struct addr *out);
uint64_t session_wall_us(const struct session *s, uint64_t at_us); /* wall clock of a moment */
/* Cut from outside: both ends are to see that it did not end by itself. */
bool session_end_is_cut(enum session_end why);

void peer_set(struct peer *p, const struct addr *a);
void peer_get(const struct peer *p, struct addr *out);

#endif
