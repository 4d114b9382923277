/* listener.h - listening sockets: bound before privileges are dropped, one per worker by
 * SO_REUSEPORT (unix sockets: one, shared). No accepting here: proxy/ arms the accept. */
#ifndef SLUICE_NET_LISTENER_H
#define SLUICE_NET_LISTENER_H

#include "lb/net/addr.h"

struct listener_bind_opts {
    uint32_t sockets; /* how many of the group: one per worker */
    int backlog;
    bool beside; /* an address of ours overlaps it, so the port is taken, by us */
    bool dgram;  /* a UDP socket: bound only; tells the local address of what it receives */
    bool defer_ack;
    uint32_t user_timeout_ms;
};

/* Binds and listens; fds[0..sockets-1] receive the descriptors (unix: the same one in all places).
 * A TCP address is first probed by a plain bind without SO_REUSEPORT, so that a port that another
 * process has is an error even where that one set SO_REUSEPORT. IPv6 is V6ONLY. A stale unix socket
 * (nobody answers a connect) is replaced, a live one is an error.
 * 0, or -errno with *out_error (static or thread-local text: what failed and what to do). */
int listener_bind(const struct addr *addr, const struct listener_bind_opts *opts, int *fds,
                  const char **out_error) WARN_UNUSED;
/* More sockets for a group (TCP, UDP) that is there already, fds[0..sockets-1]; those of TCP do not
 * listen yet.
 * 0, or -errno: there is none of them. */
int listener_bind_more(const struct addr *addr, bool dgram, int *fds, uint32_t sockets) WARN_UNUSED;
/* What the connections of a TCP socket shall inherit, for one that somebody else has bound:
 * systemd, or the process before us. Not of TCP: nothing happens. */
void listener_prepare(int fd);
/* They listen, and get their part of the connections from now on. */
int listener_listen(int fd, int backlog) WARN_UNUSED;
/* Who binds where we may not: a low port. 0 or -errno; NULL: nobody. Before other threads. */
typedef int listener_helper_fn(void *ctx, int fd, const struct addr *addr);
void listener_set_helper(listener_helper_fn *fn, void *ctx);
/* Closes the group and removes a unix socket's path. */
void listener_close(const struct addr *addr, int *fds, uint32_t sockets);

#endif
