/* resolver.h - names to addresses with c-ares, on the control thread's loop; never blocks it.
 * Answers are cached nowhere: the caller asks again after its refresh interval. */
#ifndef SLUICE_NET_RESOLVER_H
#define SLUICE_NET_RESOLVER_H

#include "lb/net/addr.h"

struct loop;
struct resolver;

struct resolver_conf {
    const char *servers; /* "1.2.3.4:53,[::1]:53"; NULL: /etc/resolv.conf (and /etc/hosts) */
    uint32_t timeout_ms;
};

/* n addresses (ports 0), each once, best first as getaddrinfo() sorts (RFC 6724); n == 0: error
 * says why in words ("no such name", "timeout", "no address", "server failure"). Arrays live for
 * the call only. Called from the loop's turn, never from inside resolver_ask(). */
typedef void resolver_fn(void *arg, const struct addr *addrs, uint32_t n, const char *error);

struct resolver *resolver_new(struct loop *loop, const struct resolver_conf *conf,
                              const char **out_error); /* NULL: *out_error, static text */
/* Pending questions are answered with "cancelled" before it returns. Polls that are still armed end
 * in the next turns of the loop, which must come before loop_fini(); what they need stays until
 * then. */
void resolver_free(struct resolver **r);
void resolver_ask(struct resolver *r, const char *name, resolver_fn *fn, void *arg);

#endif
