/* proxy.h - the proxying part of one worker: its listeners' accepts and its sessions.
 *
 * Everything here runs on the worker's thread, but for what is marked. main builds a proxy_shared,
 * starts the workers, and each makes its struct proxy. Sessions never leave their worker. */
#ifndef SLUICE_PROXY_PROXY_H
#define SLUICE_PROXY_PROXY_H

#include "lb/obs/access_log.h"
#include "lb/obs/metrics.h"
#include "lb/obs/session_kind.h"
#include "lb/proxy/listener_conf.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct access_format;
struct addr;
struct backend_slot;
struct backend_table;
struct checker;
struct http_listener;
struct log_sink;
struct loop;
struct pool;
struct proxy;
struct sni_table;
struct source_caps;
struct tls_contexts;

/* What uses a listener on one worker: accepting sockets, sessions, exchanges. */
struct proxy_listener_local {
    alignas(CACHE_LINE) uint32_t users;
    bool retired;      /* another one has taken its place here, or none */
    _Atomic bool over; /* ... and nobody uses it any more: it may go, as far as this worker goes */
};

/* A listener at run time, shared by the workers. Immutable: a reload that changes it makes another
 * one. Clients' connections go over to that with their next request; what is under way stays. */
struct proxy_listener {
    const struct listener_conf *conf;
    uint32_t number;                     /* of its name, as long as there is one of that name */
    struct proxy_listener_local *locals; /* by worker */
    bool replaced;                       /* set before proxy_adopt() */
    struct proxy_listener *successor;    /* NULL: that name is gone */
    struct http_listener *http;          /* mode http; else NULL */
    struct listener_stats *stats;
    struct pool *pool;     /* mode tcp; NULL: names that sni does not have are refused */
    struct sni_table *sni; /* mode tcp; NULL: all sessions go to pool */
    struct access_format *format;
    struct log_sink *sink;       /* NULL: no access log */
    struct source_caps *sources; /* NULL: no cap per source */
};

/* What the workers of a process share. Filled by main before the first proxy_new(). */
struct proxy_shared {
    struct pool **pools; /* at the start: those that proxy_new() adds */
    uint32_t n_pools;
    /* From a worker: a listener's `over` has been set. */
    void (*listener_over)(void *ctx);
    void *ctx;
    struct backend_table *table;
    struct checker *checker;
    /* By worker; set by proxy_new(), NULL before. None is freed while another runs. */
    _Atomic(struct proxy *) *proxies;
    uint32_t n_workers;
    struct tls_contexts **tls; /* by worker; NULL: no listener and no pool has TLS */
    /* Set before the workers stop accepting: another process has the same sockets, and answers whom
     * it reads of. */
    _Atomic bool handed_over;
    /* Client connections at most; accepting pauses there. 0: no limit. */
    _Atomic uint32_t max_connections;
    alignas(CACHE_LINE) _Atomic uint32_t connections; /* now */
};

/* counters: this worker's row. */
struct proxy *proxy_new(struct loop *loop, struct proxy_shared *shared, uint32_t worker_index,
                        struct worker_counters *counters);
/* From now on its backends may be used: once for each pool. */
void proxy_add_pool(struct proxy *p, struct pool *pool);
/* Starts accepting on fd (owned by the caller until the proxy has stopped accepting). bind: the
 * caller's number for it. */
void proxy_listen(struct proxy *p, struct proxy_listener *l, int fd, uint32_t bind);

/* What a reload changes, the same for every worker; the caller's. */
struct proxy_change {
    struct pool **added, **retired; /* pools; a retired one may have one of its name added */
    uint32_t n_added, n_retired;
    struct proxy_listener **replaced; /* `replaced` and `successor` are set */
    uint32_t n_replaced;
    struct proxy_bind {
        uint32_t bind;
        struct proxy_listener *listener;
    } * binds; /* those that go on; others stop accepting */
    uint32_t n_binds;
};
void proxy_adopt(struct proxy *p, const struct proxy_change *c);
/* The last of a retired pool on this worker: nobody uses it. */
void proxy_forget_pool(struct proxy *p, struct pool *pool);
/* Ends accepting: cancels, accepts what is queued (TCP), closes the descriptors (unix ones too:
 * each worker must hold its own duplicate). proxy_accepting() is false when it is through. */
void proxy_stop_accepting(struct proxy *p);
bool proxy_accepting(const struct proxy *p);
/* Cuts all sessions, with this reason in their log lines. */
void proxy_end_all(struct proxy *p, enum session_end why);
/* From now on responses say that theirs is the last on its connection. */
void proxy_leave(struct proxy *p);
/* The same, and idle connections get a moment for a last request. */
void proxy_drain(struct proxy *p);
uint32_t proxy_sessions(const struct proxy *p);
/* No session is left and nothing is armed. */
bool proxy_stopped(const struct proxy *p);
void proxy_free(struct proxy **p); /* stopped */

/* From messages posted to the worker. */
void proxy_backend_down(struct proxy *p, struct backend_slot *slot); /* on_down = "close" */

/* What the worker remembers of slow and failed requests (lb/obs/flight.h). */
const struct flight *proxy_flight(const struct proxy *p);

struct proxy_filter { /* empty: everything */
    uint64_t id;
    const char *listener, *pool, *backend;
    uint64_t older_ms;
};
/* A view of one session, valid during the call. */
struct proxy_session_view {
    uint64_t id, age_ms, idle_ms, bytes_in, bytes_out;
    const struct addr *client;
    const char *listener, *pool, *backend, *state; /* backend may be NULL */
    enum session_kind kind;
    uint32_t streams; /* h2: under way */
    bool in_spliced, out_spliced;
    int client_fd, backend_fd;
};
void proxy_each_session(struct proxy *p, const struct proxy_filter *filter,
                        void (*fn)(void *arg, const struct proxy_session_view *view), void *arg);
uint32_t proxy_kill_sessions(struct proxy *p, const struct proxy_filter *filter);

/* Caps on connections per source address, shared by workers. A connection that was counted holds
 * its source, so that it is given back whatever the client's address is said to be by then. */
struct source;
struct source_caps *source_caps_new(uint32_t max);
void source_caps_free(struct source_caps **c);
void source_caps_set_max(struct source_caps *c, uint32_t max); /* any thread */
/* Any thread; NULL: as many as it may have, or no memory. */
struct source *source_caps_take(struct source_caps *c, const struct addr *address) WARN_UNUSED;
/* Any thread; no effect without one. */
void source_caps_give(struct source_caps *c, struct source **source);

#endif
