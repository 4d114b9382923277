/* pool_conf.h - a pool of the configuration, as upstream/ and proxy/ take it. Immutable. */
#ifndef SLUICE_UPSTREAM_POOL_CONF_H
#define SLUICE_UPSTREAM_POOL_CONF_H

#include "balancing/balancer.h"
#include "health/health_conf.h"
#include "lb/net/addr.h"
#include "lb/net/proxy_proto.h"

struct backend_conf {
    char *name;
    char *address_text; /* as written */
    struct addr_spec address;
    uint32_t weight;          /* 0-256 */
    uint32_t max_connections; /* 0: none */
    bool backup;
    const char *file; /* where it was defined */
    int line;
};

struct pool_conf {
    char *name;
    enum { MODE_TCP, MODE_HTTP } mode;
    struct balancer_conf balance;
    struct backend_conf *backends;
    uint32_t n_backends;
    struct health_conf health;
    uint32_t queue_limit;
    uint32_t queue_timeout_ms;
    bool close_on_down;
    enum proxy_proto send_proxy; /* PROXY_OFF, PROXY_V1, PROXY_V2 */
    uint32_t retry_attempts;
    uint32_t slow_start_ms;
    uint32_t panic_percent;      /* 0: off */
    uint32_t connect_timeout_ms; /* timeouts, merged with the global ones */
    uint32_t tunnel_timeout_ms;
    const char *file;
    int line;
};

#endif
