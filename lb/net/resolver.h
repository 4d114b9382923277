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

/* n addresses (ports 0), in the order of the answer; n == 0: error says why in words
 * ("no such name", "timeout", "no address", "server failure"). Arrays live for the call only. */
typedef void resolver_fn(void *arg, const struct addr *addrs, uint32_t n, const char *error);

struct resolver *resolver_new(struct loop *loop, const struct resolver_conf *conf,
                              const char **out_error);
void resolver_free(struct resolver **r); /* pending questions are answered with "cancelled" */
void resolver_ask(struct resolver *r, const char *name, resolver_fn *fn, void *arg);

#endif
