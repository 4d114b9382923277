/* request.h - what rules, balancing and backends look at in a request, and what becomes of its head
 * on the way. The exchange does with it what explain.h only tells of, so that both say the same.
 *
 * Pure: a head, the configuration, memory for results. Functions that return an int give 0, -ENOMEM
 * or what is said there. */
#ifndef SLUICE_PROXY_REQUEST_H
#define SLUICE_PROXY_REQUEST_H

#include "lb/base/arena.h"
#include "lb/http/h1_parse.h"
#include "lb/http/uri.h"
#include "lb/proxy/http_conf.h"
#include "lb/route/rewrite.h"

struct pool_conf;
struct rng;
struct stick;

#define REROUTES_MAX 4 /* from files to other routes, and to files again */

struct h1_limits request_limits(const struct http_listener_conf *c);
bool request_too_long(const struct http_listener_conf *c, const struct http_head *h);

/* Lower-case, without port and trailing dot; "" where there is none. False: no memory. */
bool request_host(const struct http_head *h, struct arena *a, struct str *out) WARN_UNUSED;
/* The normal form; "*" as it is. -EBADMSG: none, *out_why says why. */
int request_path(const struct http_head *h, bool keep_encoded_slash, struct arena *a,
                 struct uri_path *out, enum uri_result *out_why) WARN_UNUSED;
static inline struct str request_query(const struct http_head *h)
{
    return h->has_query ? http_str(h, h->query) : STR("");
}

/* What the pool's balancing hashes. Who lacks the key is spread by address. */
uint64_t request_hash_key(const struct pool_conf *c, const struct http_head *h, struct str host,
                          struct str path, const struct addr *client);
/* The member that the sticky cookie (or what stands for it in the path) names, or STICK_NONE. How
 * it looks to the log: *out_in, an enum cookie_in. c: with http.sticky. */
uint32_t request_cookie(const struct stick *stick, const struct pool_conf *c,
                        const struct http_head *h, char *out_in);

/* What the backend is asked for, and as which host. */
struct request_out {
    struct str target, host;
};
/* vars: needed where the rule rewrites path or host. text: ROUTE_TEXT_MAX bytes to work in. As
 * rewrite.h: -EBADMSG, -EMSGSIZE. */
int request_rewrite(const struct route_rewrite *w, struct route_scratch *s,
                    const struct http_vars *vars, const struct http_head *h,
                    const struct uri_path *path, struct arena *a, char *text,
                    struct request_out *out) WARN_UNUSED;

/* What a client is told when request_rewrite() or an expansion of rewrite.h fails with this error
 * (not -ENOMEM): a status, and the code. */
uint16_t request_rewrite_refusal(int error, const char **out_code);

/* ---- forward.c ---- */

/* client: in, who is connected; out, who asks, as far as proxies in front are believed. tls: it is
 * connected by TLS. */
void request_find_client(const struct http_listener_conf *c, const struct http_head *h, bool tls,
                         struct addr *client, bool *out_trusted, const char **out_scheme);

/* What the backend is told of who asks. */
struct forward {
    const struct http_listener_conf *conf;
    struct http_head *head; /* is edited */
    struct arena *arena;
    struct str peer;     /* address of who is connected */
    uint16_t local_port; /* 0: none */
    bool early;          /* the request may be a replay */
    bool trusted;
    const char *scheme;
    struct rng *rng;
    struct str request_id, traceparent; /* out: as they are in the head now */
};
bool forward_fields(struct forward *f) WARN_UNUSED; /* false: no memory */

#endif
