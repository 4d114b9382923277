/* snapshot.h - a configuration in force: what was read, and the run-time objects that are built of
 * it, pools and listeners.
 *
 * Control thread: it alone makes, counts and frees snapshots and objects. An object is immutable
 * and belongs to one or more snapshots that follow each other: where a section has not changed, the
 * next snapshot has the same object. Workers adopt a snapshot by a message (reload.c) and tell when
 * nothing uses a retired listener any more; a pool is retired when no listener leads to it, then
 * health lets go of it, then each worker, and it is freed.
 *
 * What has a name keeps its identity beyond its objects: backends in the table, struct pool_kept,
 * struct listener_kept, counts of routes. */
#ifndef SLUICE_MAIN_SNAPSHOT_H
#define SLUICE_MAIN_SNAPSHOT_H

#include "lb/base/list.h"
#include "lb/io/loop.h"
#include "lb/proxy/proxy.h"

struct conf;
struct process;
struct route_counters;
struct strbuf;

/* A configuration that objects point into: there as long as one of them is. */
struct conf_held {
    const struct conf *conf;
    struct conf *own;       /* freed with it; NULL: the caller's of process_run() */
    struct conf_held *base; /* that it points into; or NULL */
    uint32_t refs;
};
struct conf_held *conf_held_new(const struct conf *conf, struct conf *own); /* one reference */
/* of: a variant of base, which gets a reference. */
struct conf_held *conf_held_variant(struct conf_held *base, struct conf *of);
struct conf_held *conf_held_ref(struct conf_held *held);
void conf_held_unref(struct conf_held **held);

struct live_pool {
    struct list node; /* live->pools, the newest of a name first */
    struct list view; /* health thread, while there is one: of its number, see live->views */
    struct process *process;
    struct pool *pool;
    struct conf_held *conf;
    char *text;     /* of its section */
    uint32_t users; /* listeners that lead to it; the snapshot in force */
    bool leaving;   /* nobody uses it: health and workers let go */
    uint32_t waiting;
    struct loop_msg watch_msg, msg;
    struct forget *forgets; /* snapshot.c's: messages to workers */
};

/* What a listener is known by, over reloads. */
struct listener_kept {
    uint32_t refs;
    uint32_t number;
    bool *number_taken; /* of live->listener_numbers */
    struct listener_stats *stats;
    struct source_caps *sources; /* NULL: there was never a cap */
};

/* Of a route, as long as one of the same name or text is there. */
struct route_counts {
    uint32_t refs;
    struct route_counters *rows;
    struct phase_row *phases; /* or NULL */
};

struct live_listener {
    struct proxy_listener l;
    struct list node; /* live->listeners, the newest of a name first */
    struct conf_held *conf;
    char *text;
    struct listener_kept *kept;
    struct live_pool **pools; /* that it leads to */
    uint32_t n_pools;
    struct route_counts **counts; /* by route */
    char **route_texts;
    uint32_t n_routes;
    bool in_force;
};

/* Everything that lives, in force or not. */
struct live {
    struct list pools, listeners;
    struct list *views; /* by number of a pool: health thread's, live_pool.view */
    bool *pool_numbers, *listener_numbers; /* taken */
    uint32_t last_iid;
    bool sweeping;
};

struct snapshot {
    uint32_t serial; /* from 1 */
    struct conf_held *conf;
    /* In the configuration's order. */
    struct live_pool **pools;
    struct live_listener **listeners;
    /* The same, for those who want these. */
    struct pool **run_pools;
    struct proxy_listener **run_listeners;
    struct listener_stats **stats;
    struct backend_slot **new_slots; /* that were not there before */
    uint32_t n_new_slots;
};

void live_init(struct process *p);
void live_fini(struct process *p); /* no thread is left that uses anything */

/* Builds what differs from the snapshot in force, publishes nothing. NULL: one line a mistake is
 * appended to errors. */
struct snapshot *snapshot_build(struct process *p, struct conf_held *conf, struct strbuf *errors);
/* One that was not put in force: as if it had never been built. */
void snapshot_drop(struct process *p, struct snapshot **s);
/* For control: it is the one in force. The one before is the caller's to free. */
void snapshot_install(struct process *p, struct snapshot *s);
void snapshot_free(struct snapshot **s); /* its objects stay as long as they are used */
/* Whether it has this very object. */
bool snapshot_has_pool(const struct snapshot *s, const struct live_pool *lp);
bool snapshot_has_listener(const struct snapshot *s, const struct live_listener *ll);
struct live_pool *snapshot_pool_named(const struct snapshot *s, const char *name);
struct live_listener *snapshot_listener_named(const struct snapshot *s, const char *name);
/* Whether a pool has a backend of this slot. */
bool live_pool_has(const struct live_pool *lp, const struct backend_slot *slot);
/* Frees what nobody uses any more, as far as that is known now. */
void live_sweep(struct process *p);
/* On the health thread, or before it runs: from now on its view is kept. */
void live_pool_watch(struct live_pool *lp);

#endif
