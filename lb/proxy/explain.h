/* explain.h - what would happen to a request, rule by rule, and why; nothing is sent or counted.
 *
 * The request goes the way of a real one: through the parser, the normal form of its path, trusted
 * proxies, the table of routes, filters (as far as they can say what they would do), rewriting, and
 * at the end the choice of a backend. Offline there are no pools: backends are then taken as
 * configured, all up. Live, tables and counters are read as anybody may read them; the caller is in
 * an epoch. Off the hot path: lack of memory ends the process. */
#ifndef SLUICE_PROXY_EXPLAIN_H
#define SLUICE_PROXY_EXPLAIN_H

#include "lb/filter/filter.h"
#include "lb/proxy/http_listener.h"
#include "lb/proxy/listener_conf.h"

/* ---- what is asked ---- */

struct explain_question {
    struct str method, url;    /* "http://host/path", "/path", "*" */
    const struct str *headers; /* "Name: value" */
    uint32_t n_headers;
    struct addr from;    /* len 0: 127.0.0.1 */
    struct str listener; /* its name; len 0: by the URL's port, else the first */
};

struct explain_world {
    struct http_listener *const *listeners; /* of mode http */
    uint32_t n_listeners;
    const struct pool_conf *pools; /* of the configuration, by index */
    struct pool *const *live;      /* the same, running; NULL: offline */
    uint64_t wall_us;
    bool without_backends; /* pools are enough */
};

/* ---- what is found ---- */

struct explain_rule {
    const struct http_route *route;
    bool hit;
    const char *why; /* not; "" for a hit */
};
struct explain_filter {
    const char *name;
    enum filter_verdict verdict;
    const char *words;
};
enum explain_edit_kind { EXPLAIN_REMOVED, EXPLAIN_SET, EXPLAIN_ADDED };
struct explain_edit {
    enum explain_edit_kind kind;
    const char *name, *value, *was; /* NULL: none */
};
struct explain_backend {
    const struct backend_conf *conf;
    const char *address; /* as it is now */
    const char *state;   /* "up", "down", "maint"...; "configured" offline */
    const char *reason;  /* "" where there is nothing to say */
    bool candidate;      /* may be picked now */
    double weight;       /* effective */
    uint32_t set_weight;
    uint32_t in_flight, max_connections;
};
struct explain_pool {
    const struct pool_conf *conf;
    uint32_t share; /* of a split, by weight; 1 without */
    struct explain_backend *backends;
    uint32_t n_candidates;
    const char *sticky; /* what its cookie does, NULL: not sticky */
    const char *how;    /* the choice is made */
    const char *pick;   /* name of the backend; NULL: chance or turn decide */
    bool full, none;    /* it would wait; it would get 503 */
};

struct explain_file {
    const char *name, *what; /* relative to the root; what came of it */
};

struct explanation {
    const struct explain_question *question;
    const struct http_listener *listener;
    const char *listener_why;
    const char *client, *scheme;
    const char *client_why; /* that it is not who is connected; NULL */
    const char *host, *path;
    struct explain_rule *rules; /* up to the one that matches */
    uint32_t n_rules;
    const struct http_route *route; /* NULL: none */
    struct explain_filter *filters;
    uint32_t n_filters;
    struct explain_file *files; /* that were looked for, in order */
    uint32_t n_files;
    const char *method, *target, *host_out; /* as the backend is asked; NULL: none is */
    struct explain_edit *edits;             /* of the request's fields */
    uint32_t n_edits;
    struct explain_pool *pools;
    uint32_t n_pools;
    bool repeatable; /* the method allows it to be sent twice */
    /* The end of it. */
    bool taken;           /* by a route, and not refused on the way */
    uint16_t status;      /* that it is answered with here; 0: it goes to a pool */
    const char *reason;   /* code of a refusal, NULL: none */
    const char *words;    /* about it, "" */
    const char *location; /* of a redirect, else NULL */
    void *own;
};

/* q must outlive the result. NULL with words in *error: the question cannot be asked (no such
 * listener, the URL is none). */
struct explanation *explain_new(const struct explain_world *w, const struct explain_question *q,
                                struct strbuf *error) WARN_UNUSED;
void explain_free(struct explanation **e);

/* "pool app", "status 404 (no-route)". */
void explain_outcome(const struct explanation *e, struct strbuf *out);
void explain_text(const struct explanation *e, struct strbuf *out); /* for people */
void explain_json(const struct explanation *e, struct strbuf *out); /* begins {"taken":true| */

/* explain_words.c: METHOD URL [-H 'Name: value']... [--from ADDR] [--listener NAME] [--json].
 * joined: words of the stats socket, which knows no quotes: what follows -H belongs to it up to the
 * next option. 0, or -EINVAL with error in words. *q borrows words and from *out_own. */
struct explain_words {
    struct explain_question question;
    struct str headers[64];
    struct strbuf text; /* headers that were joined */
    bool json;
};
int explain_words(const struct str *words, uint32_t n, bool joined, struct explain_words *out,
                  struct strbuf *error) WARN_UNUSED;
void explain_words_fini(struct explain_words *w);
#define EXPLAIN_USAGE "METHOD URL [-H 'Name: value']... [--from ADDR] [--listener NAME] [--json]"

#endif
