/* admin_ops.h - what the stats socket (and later the admin HTTP) needs from those above it.
 * Filled by main; all calls happen on the control thread; answers that need a worker come back on
 * the control thread, in a later turn. */
#ifndef SLUICE_ADMIN_ADMIN_OPS_H
#define SLUICE_ADMIN_ADMIN_OPS_H

#include "lb/io/io.h"
#include "lb/net/addr.h"
#include "lb/obs/metrics.h"
#include "lb/obs/session_kind.h"

#include <stdbool.h>
#include <stdint.h>

struct pool;
struct checker;
struct backend_slot;
struct backend_table;
struct str;
struct strbuf;
struct tls_cert_info;
struct flight_record;

/* A copy of one live session. */
struct session_info {
    uint64_t id; /* shown as 0x%016lx; unique in the process: worker in the top byte */
    struct addr client;
    char listener[LIMIT_NAME_LEN + 1], pool[LIMIT_NAME_LEN + 1], backend[LIMIT_NAME_LEN + 1];
    enum session_kind kind;
    uint32_t streams;  /* h2: under way */
    const char *state; /* static: "proxy-header" "queued" "connecting" "tunnel" "closing" */
    uint64_t age_ms, idle_ms;
    uint64_t bytes_in, bytes_out;
    bool in_spliced, out_spliced;
    int client_fd, backend_fd;
};

/* NULL fields match everything. */
struct session_filter {
    uint64_t id; /* 0: any */
    const char *listener, *pool, *backend;
    uint64_t older_ms;
};

struct process_info {
    const char *version, *release_date;
    uint32_t workers;
    uint64_t start_wall_us; /* since 1970 */
    uint64_t now_wall_us, uptime_us;
    uint32_t max_connections, max_fds, max_pipes;
    uint64_t memory_limit_bytes; /* cgroup; 0: none */
    enum io_engine_kind engine;
    const char *node, *description;
    const char *hardening; /* what is on, in words; "": nothing */
    bool stopping;
};

/* How the end of the process goes. */
struct drain_info {
    const char *state;          /* static: "running" "leaving" "draining" "cutting" */
    char why[64];               /* "signal TERM", "handed over to process 1"; "": it does not end */
    bool began;                 /* the rest is meant */
    uint64_t since_ms, left_ms; /* left: until what is there is cut */
    uint64_t sessions;          /* at the beginning */
};

/* A certificate in use. */
struct certificate_info {
    const char *listener;
    const char *cert, *key; /* files */
    const char *ocsp;       /* file of a response to staple, "fetch", or NULL */
    const struct tls_cert_info *facts;
    bool is_default;      /* of its listener */
    bool refused;         /* newer files are there, but will not do */
    int64_t ocsp_until_s; /* of the response in use; 0: there is none; INT64_MAX: it does not say */
};
/* Whole days, rounded down: -1 is up to a day ago. */
static inline int64_t certificate_days_left(int64_t not_after_s, uint64_t now_wall_us)
{
    int64_t left = not_after_s - (int64_t)(now_wall_us / 1000000);

    return left >= 0 ? left / 86400 : -((-left + 86399) / 86400);
}

struct admin_ops {
    void *ctx;
    void (*process_info)(void *ctx, struct process_info *out);

    /* Objects; a reload puts others in their place, between two turns: no pointer or index of them
     * is kept from one turn to the next. */
    struct pool *const *pools;
    uint32_t n_pools;
    struct listener_stats *const *listeners;
    uint32_t n_listeners;
    struct backend_table *table;
    struct checker *checker;
    const struct worker_counters *workers; /* n_workers rows */
    const struct io_stats *const *engines; /* of each worker; written by it, relaxed reads */
    uint32_t n_workers;

    /* rows are valid during the callback. */
    void (*list_sessions)(void *ctx, const struct session_filter *filter,
                          void (*done)(void *arg, const struct session_info *rows, uint32_t n),
                          void *arg);
    /* Ends sessions (END_KILLED); done says how many. */
    void (*kill_sessions)(void *ctx, const struct session_filter *filter,
                          void (*done)(void *arg, uint32_t killed), void *arg);
    /* What all workers remember of slow and failed requests; rows are valid during the callback.
     * May be NULL. */
    void (*list_flight)(void *ctx,
                        void (*done)(void *arg, const struct flight_record *rows, uint32_t n),
                        void *arg);
    void (*drain_info)(void *ctx, struct drain_info *out);
    /* Calls done when picks heed all changes of backends made before. May be NULL. */
    void (*settle)(void *ctx, void (*done)(void *arg), void *arg);
    /* NULL when ready, else why not ("first health checks are running", "draining", "pool app: no
     * backend is up"). */
    const char *(*not_ready_reason)(void *ctx);
    /* `add server`: words are the settings behind the address. `del server`. done: now or later,
     * text is the answer. */
    void (*add_backend)(void *ctx, struct str pool, struct str name, struct str address,
                        const struct str *words, uint32_t n,
                        void (*done)(void *arg, bool good, const char *text), void *arg);
    void (*remove_backend)(void *ctx, struct str pool, struct str name,
                           void (*done)(void *arg, bool good, const char *text), void *arg);
    /* `save`: false when it could not. */
    bool (*save)(void *ctx, struct strbuf *answer);
    /* Asks over() now and then; calls done when it said yes, after ms, or when the process ends. */
    void (*wait)(void *ctx, uint64_t ms, bool (*over)(void *arg),
                 void (*done)(void *arg, bool in_time), void *arg);
    /* A new address for a backend (`set server addr`): 0 or -errno with *out_error. */
    int (*set_address)(void *ctx, struct backend_slot *slot, const struct addr *addr,
                       const char **out_error);
    void (*dump_config)(void *ctx, struct strbuf *out); /* `show config` */
    void (*diff)(void *ctx, struct strbuf *out);        /* `show diff`; NULL: there is none */
    /* `reload`: text has lines of what has changed, or of what is wrong. */
    void (*reload)(void *ctx, void (*done)(void *arg, bool good, const char *text), void *arg);
    /* Calls fn for each, listener by listener; the facts are valid during the call. May be NULL. */
    void (*each_certificate)(void *ctx, void (*fn)(void *arg, const struct certificate_info *c),
                             void *arg);
    /* `_handoff`: another process wants our place; fd, its connection, is taken over. May be NULL.
     */
    void (*handoff)(void *ctx, int fd);
    /* `explain`, the words behind it: appends what would happen to that request. 0: a route takes
     * it; 1: it would be refused; -EINVAL: appended is what is wrong with the words. */
    int (*explain)(void *ctx, const struct str *words, uint32_t n, bool json, struct strbuf *out);
};

#endif
