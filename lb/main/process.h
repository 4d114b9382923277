/* process.h - the root of everything at run time: what exists once, in which order it starts and
 * ends. Lives on the control thread (the process's first). Threads below it are given what they
 * need; they do not look around in here, except worker.c and the glue beside it.
 *
 * Start: limits, engine, control loop, stats sockets, privileges, listeners, table and pools, log
 * thread, health thread, workers, stats socket. End, the other way round, is a join at each step.
 */
#ifndef SLUICE_MAIN_PROCESS_H
#define SLUICE_MAIN_PROCESS_H

#include "lb/admin/admin_ops.h"
#include "lb/base/epoch.h"
#include "lb/io/loop.h"
#include "lb/main/admin_http.h"
#include "lb/main/binding.h"
#include "lb/main/edits.h"
#include "lb/main/hardening.h"
#include "lb/main/keeper.h"
#include "lb/main/limits_probe.h"
#include "lb/main/log_targets.h"
#include "lb/main/privileges.h"
#include "lb/main/signals.h"
#include "lb/main/stats_sockets.h"
#include "lb/proxy/proxy.h"

struct checker_thread;
struct conf;
struct control;
struct handoff;
struct live;
struct reload;
struct resolve;
struct session_calls;
struct snapshot;
struct state;
struct takeover;
struct tls_store;
struct worker;

enum process_phase {
    PHASE_STARTING,
    PHASE_RUNNING,
    PHASE_LEAVING,  /* a signal came: not ready any more, still accepting (drain.delay) */
    PHASE_DRAINING, /* listeners are closed, sessions end by themselves */
    PHASE_CUTTING,  /* the deadline: sessions are ended */
    PHASE_CLOSING,  /* no session is left: the control loop's own things end */
};

struct process {
    const struct conf *conf; /* in force */
    enum process_phase phase;
    struct limits_probe limits;
    struct privileges privileges;
    struct hardening hardening;
    struct keeper keeper;
    enum io_engine_kind engine;
    uint32_t n_workers;
    uint32_t max_connections, possible_connections;
    uint64_t start_wall_us, start_us;

    struct loop loop; /* control */
    struct epoch_reader epoch;
    struct signals signals;
    struct timer delay, deadline, guard, second, watchdog;
    struct {
        char why[64]; /* "": not begun */
        uint64_t began_ms, sessions;
        uint64_t logged_ms;
    } draining;

    const char *from; /* where the configuration came from: a file, or words for the log */
    bool reloadable;  /* a file */

    struct log_targets logs;
    struct binding binding;
    struct stats_sockets stats_sockets;

    struct epoch_domain *epochs;
    struct backend_table *table;
    struct live *live;         /* snapshot.h */
    struct snapshot *snapshot; /* in force; the next three are its */
    struct pool **pools;
    struct listener_stats **listeners;
    struct proxy_listener **proxy_listeners;
    struct conf_held *first; /* what it started with */
    struct edits edits;      /* between what was read and what is in force */
    struct reload *reload;   /* reload.c's */
    struct proxy_shared shared;
    struct worker_counters *worker_rows; /* n_workers */
    const struct io_stats **engines; /* n_workers; each set by its worker before it is `started` */
    struct worker *workers;
    uint32_t n_started;             /* of them */
    pthread_barrier_t workers_done; /* see workers_stop() */
    struct checker_thread *checker;
    struct resolve *resolve; /* NULL: no names in the configuration */
    struct tls_store *tls;   /* NULL: no TLS in the configuration */

    struct control *control;
    struct takeover *takeover; /* until we have taken the place of the process before; else NULL */
    struct state *state;       /* state.c's */
    struct handoff *handoff;   /* while another one is about to take ours; else NULL */
    bool handed_over;          /* it has */
    struct admin_http admin_http;
    struct admin_ops ops;
    struct session_calls *calls; /* admin_glue.c */
    struct list waiters;         /* edit_ops.c */

    struct loop_msg first_round_msg; /* posted by the health thread */
    struct loop_msg sweep_msg;       /* posted by workers */
    _Atomic bool sweep_posted;
    bool first_round_over;
    bool told_ready;
    bool told_drained;
    uint64_t told_status_ms;
    char not_ready[256]; /* the text behind not_ready_reason */
};

/* Runs until it is ended by signals; conf stays the caller's; from: where it came from, for the
 * log, or (is_file) a file that a reload reads again; takeover: begun, the caller's, or NULL.
 * Returns an exit code; why it could not start was printed. */
int process_run(const struct conf *conf, const char *from, bool is_file, struct takeover *takeover);
/* What the configuration in force and our limits allow. */
void process_set_max_connections(struct process *p);

/* Sessions of all workers, now. */
uint64_t process_sessions(const struct process *p);

#endif
