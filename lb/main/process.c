/* process.c - see process.h */
#include "lb/main/process.h"

#include "lb/admin/control.h"
#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/config/conf.h"
#include "lb/main/admin_glue.h"
#include "lb/main/checker_thread.h"
#include "lb/main/crash.h"
#include "lb/main/drain.h"
#include "lb/main/edits.h"
#include "lb/main/options.h"
#include "lb/main/process_start.h"
#include "lb/main/reload.h"
#include "lb/main/resolve.h"
#include "lb/main/snapshot.h"
#include "lb/main/state.h"
#include "lb/main/systemd.h"
#include "lb/main/takeover.h"
#include "lb/main/tls_store.h"
#include "lb/main/worker.h"
#include "lb/obs/events.h"
#include "lb/upstream/pool.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t process_sessions(const struct process *p)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < p->n_workers && p->worker_rows != NULL; i++)
        n += counter_get(&p->worker_rows[i].sessions_open);
    return n;
}

void process_set_max_connections(struct process *p)
{
    uint32_t wanted = p->conf->max_connections;

    p->max_connections =
        wanted != 0 && wanted < p->possible_connections ? wanted : p->possible_connections;
    atomic_store_explicit(&p->shared.max_connections, p->max_connections, memory_order_relaxed);
}

/* ---- while it runs: on the control thread ---- */

static void on_sweep_msg(struct loop_msg *msg, void *ctx)
{
    struct process *p = ctx;

    (void)msg;
    atomic_store(&p->sweep_posted, false); /* before looking: a later one posts anew */
    live_sweep(p);
}

static void count_up(const struct process *p, uint32_t *out_up, uint32_t *out_all)
{
    *out_up = *out_all = 0;
    for (uint32_t i = 0; i < p->conf->n_pools; i++) {
        uint32_t active, backup;
        pool_count_up(p->pools[i], &active, &backup);
        *out_up += active + backup;
        *out_all += p->pools[i]->n_members;
    }
}

/* In two steps: the workers serve on its sockets beside it, then it is told. False: not yet. */
static bool succeed(struct process *p)
{
    struct takeover *t = p->takeover;
    char error[TAKEOVER_ERROR_MAX], ready[64];

    if (reload_held(p)) {
        reload_begin(p);
        return false;
    }
    if (!reload_idle(p))
        return false;
    /* Before it ends: systemd would take that for the end of the service. */
    snprintf(ready, sizeof(ready), "READY=1\nMAINPID=%d", (int)getpid());
    systemd_notify(ready);
    if (takeover_finish(t, error) < 0)
        events_log(EVENT_LIFE, LOG_LEVEL_WARN, NULL,
                   "process %d does not say that it leaves: %s; this one serves all the same",
                   (int)t->pid, error);
    else
        events_log(EVENT_LIFE, LOG_LEVEL_INFO, NULL,
                   "this process serves in place of %d, which drains", (int)t->pid);
    state_follow(p, &t->state);
    stats_sockets_succeed(&p->stats_sockets);
    binding_succeed(&p->binding);
    admin_http_start(&p->admin_http, &p->loop, control_env(p->control), tls_store_admin(p->tls));
    takeover_tell(t);
    p->takeover = NULL;
    return true;
}

/* Ready once: when the first health checks and the first lookups have come back. */
static void check_ready(struct process *p)
{
    uint32_t up, all;

    if (p->told_ready || !p->first_round_over || p->phase != PHASE_RUNNING ||
        (p->resolve != NULL && !resolve_first_round_over(p->resolve)) ||
        (p->takeover != NULL && !succeed(p)))
        return;
    p->told_ready = true;
    count_up(p, &up, &all);
    events_log(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "ready: %u of %u backends are up", up, all);
    systemd_notify("READY=1");
}

static void on_first_round_msg(struct loop_msg *msg, void *ctx)
{
    struct process *p = ctx;

    (void)msg;
    p->first_round_over = true;
    check_ready(p);
}

/* CPU time of the workers is read from outside: on their own paths it costs nothing. */
static void sample_workers(struct process *p)
{
    uint64_t alive_us = loop_now_us(&p->loop) - p->start_us;

    for (uint32_t i = 0; i < p->n_started; i++) {
        struct worker_counters *row = &p->worker_rows[i];
        uint64_t cpu_us = worker_cpu_us(&p->workers[i]);
        counter_set(&row->busy_us, cpu_us);
        counter_set(&row->idle_us, alive_us > cpu_us ? alive_us - cpu_us : 0);
        counter_set(&row->turns,
                    atomic_load_explicit(&p->workers[i].loop.heartbeat, memory_order_relaxed));
    }
}

static void tell_status(struct process *p)
{
    uint32_t up, all;

    if (!p->told_ready || p->phase != PHASE_RUNNING ||
        loop_now_ms(&p->loop) < p->told_status_ms + 10000)
        return;
    p->told_status_ms = loop_now_ms(&p->loop);
    count_up(p, &up, &all);
    systemd_status("%u of %u backends up, %llu connections", up, all,
                   (unsigned long long)process_sessions(p));
}

static void on_second(struct timer *t)
{
    struct process *p = container_of(t, struct process, second);

    sample_workers(p);
    epoch_collect(p->epochs);
    check_ready(p);
    tell_status(p);
    state_tick(p);
    drain_tick(p);
    admin_http_tick(&p->admin_http);
    timer_start(&p->loop.timers, t, loop_now_ms(&p->loop) + 1000);
}

/* One ping for systemd where every worker has answered ours. */
static void on_watchdog(struct timer *t)
{
    struct process *p = container_of(t, struct process, watchdog);
    bool alive = true;

    for (uint32_t i = 0; i < p->n_started; i++) {
        if (worker_ping(&p->workers[i]))
            continue;
        alive = false;
        events_log(EVENT_WORKER, LOG_LEVEL_ERROR, NULL, "worker %u does not answer", i);
    }
    if (alive)
        systemd_notify("WATCHDOG=1");
    timer_start(&p->loop.timers, t, loop_now_ms(&p->loop) + systemd_watchdog_ms());
}

/* ---- end ---- */

/* Threads first (health, then those that it writes to), then what they shared. */
static void stop_threads(struct process *p)
{
    if (p->checker != NULL)
        checker_thread_stop(p->checker);
    if (p->n_started > 0)
        workers_stop(p);
    if (p->checker != NULL)
        checker_thread_free(&p->checker);
}

static void free_objects(struct process *p)
{
    reload_fini(p);
    live_fini(p);
    edits_fini(p);
    if (p->table != NULL)
        table_free(&p->table);
    tls_store_free(&p->tls);
    free(p->shared.proxies);
    free(p->worker_rows);
    free(p->engines);
    free(p->workers);
}

static void finish(struct process *p)
{
    crash_watch(NULL);
    state_finish(p);
    stop_threads(p);
    resolve_free(&p->resolve);
    if (p->tls != NULL)
        tls_store_stop(p->tls);
    while (p->tls != NULL && !tls_store_stopped(p->tls))
        loop_turn(&p->loop, 10);
    admin_http_fini(&p->admin_http);
    if (p->control != NULL)
        control_free(&p->control);
    admin_glue_fini(p);
    if (p->loop.io != NULL) {
        if (p->signals.loop != NULL) { /* started: on a failed start it is still armed */
            signals_stop(&p->signals);
            while (!signals_stopped(&p->signals))
                loop_turn(&p->loop, 10);
            signals_fini(&p->signals);
        }
        epoch_leave(&p->epoch);
        loop_fini(&p->loop);
        epoch_reader_unregister(&p->epoch);
    }
    free_objects(p);
    if (p->epochs != NULL)
        epoch_domain_free(&p->epochs);
    stats_sockets_fini(&p->stats_sockets);
    binding_fini(&p->binding);
    hardening_fini(&p->hardening);
    log_thread_stop();
    keeper_stop(&p->keeper);
    log_set_sink(NULL);
    log_targets_fini(&p->logs);
}

/* Bytes of free memory at the end of a heap that go back to the kernel. With glibc's 128 KiB, the
 * records of a busy turn give pages back and fault them in again in the next: an eighth of the CPU
 * time of large bodies over TLS. */
#define HEAP_TRIM_BYTES (2 << 20)

int process_run(const struct conf *conf, const char *from, bool is_file, struct takeover *takeover)
{
    struct process *p = xaligned(sizeof(*p));

    mallopt(M_TRIM_THRESHOLD, HEAP_TRIM_BYTES);
    p->from = from;
    p->reloadable = is_file;
    p->takeover = takeover;
    p->sweep_msg.fn = on_sweep_msg;
    edits_init(p);
    p->first = edits_start(p, conf);
    p->conf = p->first->conf;
    list_init(&p->waiters);
    admin_http_init(&p->admin_http);
    keeper_init(&p->keeper);
    reload_init(p);
    p->first_round_msg.fn = on_first_round_msg;
    timer_init(&p->second, on_second);
    timer_init(&p->watchdog, on_watchdog);
    drain_init(p);
    log_set_level(conf->log.level);
    signals_block();
    crash_install();
    crash_thread_begin();
    int rc = process_start(p);
    while (rc == 0 && !drain_over(p)) {
        sl_assert(loop_turn(&p->loop, -1) >= 0);
        drain_step(p);
        check_ready(p);
    }
    if (rc == 0)
        events_log(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "ended");
    finish(p);
    conf_held_unref(&p->first);
    free(p);
    crash_thread_end();
    return rc == 0 ? EXIT_DONE : EXIT_FAILED;
}
