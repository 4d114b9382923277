/* pool_conf.h - a pool of the configuration, as upstream/ and proxy/ take it. Immutable. */
#ifndef SLUICE_UPSTREAM_POOL_CONF_H
#define SLUICE_UPSTREAM_POOL_CONF_H

#include "balancing/balancer.h"
#include "health/health_conf.h"
#include "lb/net/addr.h"
#include "lb/net/proxy_proto.h"
#include "lb/net/tls_conf.h"

/* What an admin wants of a backend. */
enum admin_state {
    BACKEND_READY,
    BACKEND_DRAIN, /* no new work; what it has goes on */
    BACKEND_MAINT, /* no traffic, no checks */
};

struct backend_conf {
    char *name;
    char *address_text; /* as written */
    struct addr_spec address;
    uint32_t weight;          /* 0-256 */
    uint32_t max_connections; /* 0: none */
    bool backup;
    enum admin_state state;
    char *reason;     /* of the state, for people; NULL: none is given */
    const char *file; /* where it was defined */
    int line;
};

enum pool_mode { MODE_TCP, MODE_HTTP, MODE_UDP };

/* What its backends speak, mode http. */
enum pool_protocol {
    PROTOCOL_HTTP1,
    PROTOCOL_HTTP2,
    PROTOCOL_FASTCGI,
    PROTOCOL_UWSGI,
    PROTOCOL_SCGI,
};
static inline bool protocol_is_cgi(enum pool_protocol p)
{
    return p >= PROTOCOL_FASTCGI;
}

/* A variable for the application beside those of CGI/1.1. */
struct cgi_param_conf {
    char *name;
    char *value; /* a template with request variables */
};

/* What an application behind FastCGI, uwsgi or SCGI is told. */
struct cgi_conf {
    char *root;   /* DOCUMENT_ROOT, and what SCRIPT_FILENAME begins with; NULL: neither */
    char *script; /* where paths go that name no script; NULL: they are their own */
    char *index;  /* behind a path that ends in a slash */
    char *split;  /* ends the part of a path that is the script; NULL: paths are not split */
    char *mount;  /* uwsgi, scgi: SCRIPT_NAME, not a part of PATH_INFO; NULL: "" */
    struct cgi_param_conf *params;
    uint32_t n_params;
    uint32_t buffer_bytes; /* of a payload whose length is not known: it waits for it */
};

/* May a request go out on a connection that has carried one already? */
enum reuse {
    REUSE_SAFE, /* one that can be sent again may use any; others a connection of this client's, or
                 * one that was used a moment ago */
    REUSE_ALWAYS, /* any request, any idle connection */
    REUSE_NEVER,  /* a connection per request */
};

/* What hash and sticky look at. */
enum hash_key {
    HASH_SOURCE,
    HASH_PATH,
    HASH_URI, /* path and query */
    HASH_HOST,
    HASH_HEADER,
    HASH_COOKIE,
    HASH_QUERY,
};

struct sticky_conf {
    char *cookie;       /* its name */
    char *secret;       /* NULL: random, with a warning */
    uint32_t max_age_s; /* 0: until the browser closes */
    bool route;         /* the application's own: a backend's name follows the value's first dot */
};

/* Mode http. */
struct http_pool_conf {
    enum reuse reuse;
    uint32_t idle_timeout_ms;                        /* timeouts.backend_idle */
    uint32_t idle_max;                               /* connections kept per backend and worker */
    uint32_t retry_budget_percent, retry_budget_min; /* of requests; a second */
    uint32_t response_head_timeout_ms, body_timeout_ms; /* 0: as the listener says */
    struct sticky_conf *sticky;                         /* NULL: off */
    struct {
        uint32_t failures; /* consecutive 5xx, bad responses, connect failures; 0: off */
        uint32_t time_ms;  /* first ejection; the n-th lasts n times as long */
        uint32_t max_percent;
    } ejection;
    bool accept_bare_lf;
    struct cgi_conf cgi;
    uint32_t h2_max_streams; /* of a connection to a backend, which may say less */
};

struct pool_conf {
    char *name;
    enum pool_mode mode;
    enum pool_protocol protocol;
    struct tls_client_conf *tls; /* NULL: in clear */
    struct http_pool_conf http;
    struct balancer_conf balance;
    enum hash_key hash_key;
    char *hash_name; /* of the header, cookie or query parameter */
    struct backend_conf *backends;
    uint32_t n_backends;
    struct health_conf health;
    struct agent_conf *agent; /* NULL: none */
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
