/* health_conf.h - the `health` block of a pool, as the checker takes it. */
#ifndef SLUICE_HEALTH_HEALTH_CONF_H
#define SLUICE_HEALTH_HEALTH_CONF_H

#include "lb/net/addr.h"
#include "lb/net/tls_conf.h"

enum check_type {
    CHECK_TYPE_NONE,
    CHECK_TYPE_TCP,
    CHECK_TYPE_HTTP,
    CHECK_TYPE_TLS,
    CHECK_TYPE_FASTCGI,
    CHECK_TYPE_UWSGI,
    CHECK_TYPE_SCGI,
    CHECK_TYPE_POSTGRES,
    CHECK_TYPE_MYSQL,
    CHECK_TYPE_REDIS,
    CHECK_TYPE_SMTP,
    CHECK_TYPE_UDP,
    CHECK_TYPE_DNS,
    CHECK_TYPE_GRPC,
    CHECK_TYPE_EXEC,
    CHECK_TYPE_AGENT, /* of `agent`, not of `health` */
};
/* Those that ask for a path and judge a status. */
static inline bool check_type_asks(enum check_type t)
{
    return t == CHECK_TYPE_HTTP || (t >= CHECK_TYPE_FASTCGI && t <= CHECK_TYPE_SCGI);
}
/* Those that speak by datagrams. */
static inline bool check_type_is_dgram(enum check_type t)
{
    return t == CHECK_TYPE_UDP || t == CHECK_TYPE_DNS;
}
/* Those that can tell a primary from a replica. */
static inline bool check_type_knows_role(enum check_type t)
{
    return t >= CHECK_TYPE_POSTGRES && t <= CHECK_TYPE_REDIS;
}

/* Those that begin in clear and have words to ask for TLS. */
static inline bool check_type_starts_tls(enum check_type t)
{
    return t == CHECK_TYPE_POSTGRES || t == CHECK_TYPE_MYSQL || t == CHECK_TYPE_SMTP;
}

enum check_role { CHECK_ROLE_ANY, CHECK_ROLE_PRIMARY, CHECK_ROLE_REPLICA };

struct status_range {
    uint16_t from, to; /* inclusive */
};

struct health_conf {
    enum check_type type;
    uint32_t interval_ms, interval_changing_ms, interval_down_ms, timeout_ms;
    uint32_t rise, fall;     /* at least 1 */
    uint32_t jitter_percent; /* of the interval, both ways */
    enum { INITIAL_UNKNOWN, INITIAL_UP, INITIAL_DOWN } initial;
    struct addr address; /* len 0: the backend's own */
    uint16_t port;       /* 0: the address's own */
    /* tcp */
    const char *send; /* NULL: nothing; escapes already decoded */
    size_t send_len;
    const char *expect; /* NULL: connecting is enough; substring of what is received */
    /* http, fastcgi, uwsgi, scgi */
    const char *method, *path;
    const char *host;    /* NULL: the backend's address */
    const char *body;    /* NULL, or substring that the body must contain */
    const char *service; /* grpc; NULL: the whole server */
    struct status_range status[16];
    uint32_t n_status;
    /* exec */
    char **command; /* the program's path and its arguments */
    uint32_t n_command;
    /* postgres, mysql, redis */
    enum check_role role;                   /* whoever has another one is down, at once */
    const char *user, *password, *database; /* each may be NULL */
    struct tls_client_conf *tls;            /* merged with the pool's; NULL: in clear */
    bool plain;                             /* that was said, whatever the pool has */
    /* TLS is asked for in the protocol's own words; where the pool has `tls` (own_tls is false) it
     * begins with the first byte, as for its connections. */
    bool starttls, own_tls;
};

/* The `agent` block of a pool: who beside each backend says what it thinks of it. */
struct agent_conf {
    uint32_t interval_ms, timeout_ms;
    uint32_t port;       /* 0: the address's own */
    struct addr address; /* len 0: the backend's own */
    const char *send;    /* NULL: nothing */
    size_t send_len;
};

/* Whether a name can be asked for: labels of at most 63 bytes, 253 in all; "." is the root. */
bool check_dns_is_name(struct str name);

#endif
