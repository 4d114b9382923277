/* tls_contexts.h - the TLS contexts that one thread uses now, by listener and by pool.
 *
 * Every worker has a set, with the library context that they all come from, and so has the health
 * thread. Control makes it before the thread starts. From then on only that thread looks into it
 * and replaces what is in it: new contexts come to it by a message, so there is no lock and nobody
 * to wait for. What it hands out is valid during the turn; connections keep references. */
#ifndef SLUICE_PROXY_TLS_CONTEXTS_H
#define SLUICE_PROXY_TLS_CONTEXTS_H

#include "lb/net/tls.h"

struct pool;
struct proxy;
struct proxy_listener;

struct tls_contexts {
    struct tls_env *env;
    struct tls_server **servers; /* by listener; NULL: without TLS */
    struct tls_client **clients; /* by pool; likewise */
    uint32_t n_servers, n_clients;
};

/* Empty, with an env of its own. NULL with why in errors. */
struct tls_contexts *tls_contexts_new(uint32_t n_servers, uint32_t n_clients,
                                      struct strbuf *errors);
void tls_contexts_free(struct tls_contexts **c); /* its thread has ended */
/* On its thread. Takes *t over; the one before is given up. */
void tls_contexts_set_server(struct tls_contexts *c, uint32_t listener, struct tls_server **t);
void tls_contexts_set_client(struct tls_contexts *c, uint32_t pool, struct tls_client **t);

/* The present one of this worker, NULL: the listener's clients, the pool's backends do without TLS.
 */
struct tls_server *proxy_tls_server(const struct proxy *p, const struct proxy_listener *l);
struct tls_client *proxy_tls_client(const struct proxy *p, const struct pool *pool);

#endif
