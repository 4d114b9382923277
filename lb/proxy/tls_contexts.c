/* tls_contexts.c - see tls_contexts.h */
#include "lb/proxy/tls_contexts.h"

#include "lb/base/alloc.h"
#include "lb/proxy/proxy_priv.h"

#include <stdlib.h>

struct tls_contexts *tls_contexts_new(uint32_t n_servers, uint32_t n_clients, struct strbuf *errors)
{
    struct tls_env *env = tls_env_new(errors);
    struct tls_contexts *c;

    if (env == NULL)
        return NULL;
    c = xcalloc(1, sizeof(*c));
    c->env = env;
    c->servers = xcalloc(n_servers + 1, sizeof(struct tls_server *));
    c->clients = xcalloc(n_clients + 1, sizeof(struct tls_client *));
    c->n_servers = n_servers;
    c->n_clients = n_clients;
    return c;
}

void tls_contexts_free(struct tls_contexts **contexts)
{
    struct tls_contexts *c = *contexts;

    if (c == NULL)
        return;
    for (uint32_t i = 0; i < c->n_servers; i++)
        if (c->servers[i] != NULL)
            tls_server_unref(&c->servers[i]);
    for (uint32_t i = 0; i < c->n_clients; i++)
        if (c->clients[i] != NULL)
            tls_client_unref(&c->clients[i]);
    free(c->servers);
    free(c->clients);
    tls_env_free(&c->env);
    free(c);
    *contexts = NULL;
}

void tls_contexts_set_server(struct tls_contexts *c, uint32_t listener, struct tls_server **t)
{
    sl_assert(listener < c->n_servers);
    if (c->servers[listener] != NULL)
        tls_server_unref(&c->servers[listener]);
    c->servers[listener] = *t;
    *t = NULL;
}

void tls_contexts_set_client(struct tls_contexts *c, uint32_t pool, struct tls_client **t)
{
    sl_assert(pool < c->n_clients);
    if (c->clients[pool] != NULL)
        tls_client_unref(&c->clients[pool]);
    c->clients[pool] = *t;
    *t = NULL;
}

struct tls_server *proxy_tls_server(const struct proxy *p, const struct proxy_listener *l)
{
    struct tls_contexts *const *all = p->shared->tls;

    return all != NULL && all[p->worker] != NULL ? all[p->worker]->servers[l->number] : NULL;
}

struct tls_client *proxy_tls_client(const struct proxy *p, const struct pool *pool)
{
    struct tls_contexts *const *all = p->shared->tls;

    return all != NULL && all[p->worker] != NULL ? all[p->worker]->clients[pool->kept->number]
                                                 : NULL;
}
