/* process_start.c - see process_start.h */
#include "lb/main/process_start.h"

#include "health/checker.h"
#include "lb/admin/control.h"
#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/config/conf.h"
#include "lb/main/admin_glue.h"
#include "lb/main/advice.h"
#include "lb/main/backends.h"
#include "lb/main/checker_thread.h"
#include "lb/main/crash.h"
#include "lb/main/drain.h"
#include "lb/main/edits.h"
#include "lb/main/options.h"
#include "lb/main/process.h"
#include "lb/main/process_hooks.h"
#include "lb/main/reload.h"
#include "lb/main/snapshot.h"
#include "lb/main/state.h"
#include "lb/main/systemd.h"
#include "lb/main/takeover.h"
#include "lb/main/tls_store.h"
#include "lb/main/worker.h"
#include "lb/obs/events.h"
#include "lb/upstream/pool.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <unistd.h>

/* Descriptors beside those of connections: of each loop (ring, eventfd, one to spare), once
 * (signals, log files, clients of the stats socket), and for many checks and clients. Pipes are not
 * counted: where none can be had, bytes are copied. */
#define FILES_PER_LOOP 3
#define FILES_ONCE     12
#define FILES_WISHED   (LIMIT_CHECKS_IN_FLIGHT + LIMIT_CTL_CLIENTS)

static void log_lines(enum log_level level, const struct strbuf *lines)
{
    for (struct str rest = strbuf_str(lines), line; (line = str_word(&rest, "\n")).len > 0;)
        log_msg(level, STR_FMT, STR_ARG(line));
}

static int choose_engine(struct process *p, struct io_probe *out_probe)
{
    io_probe(out_probe);
    p->engine = p->conf->io;
    if (p->engine == IO_AUTO)
        p->engine = out_probe->uring ? IO_URING : IO_EPOLL;
    if (p->engine == IO_URING && !out_probe->uring) {
        log_error("io = \"uring\": not available here: %s", out_probe->why);
        return -ENOSYS;
    }
    return 0;
}

/* What is open already: standard streams, and what our parent left us. */
static uint64_t count_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t n = 0;

    if (dir == NULL)
        return 3;
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", "..", and the folder itself */
}

static void size_up(struct process *p)
{
    uint64_t sockets = 0;
    const char *by;

    limits_probe(&p->limits);
    p->n_workers = p->conf->workers != 0 ? p->conf->workers : p->limits.cores;
    if (p->n_workers > LIMIT_WORKERS)
        p->n_workers = LIMIT_WORKERS;
    for (uint32_t i = 0; i < p->conf->n_listeners; i++)
        sockets += p->conf->listeners[i].n_binds;
    uint64_t needed = count_files() + FILES_ONCE + (p->n_workers + 2) * FILES_PER_LOOP +
                      p->n_workers * sockets + p->conf->n_stats + (p->conf->admin != NULL);
    p->possible_connections = limits_probe_connections(&p->limits, needed, FILES_WISHED, &by);
    process_set_max_connections(p);
}

/* Everything about the surroundings, in the log once. */
static void announce(const struct process *p, const struct io_probe *probe)
{
    char limits[256];
    const char *by;

    events_log(EVENT_LIFE, LOG_LEVEL_INFO, NULL,
               "sluice %s starts with %s: %u listener%s, %u pool%s, %u worker%s", SLUICE_VERSION,
               p->from, p->conf->n_listeners, p->conf->n_listeners == 1 ? "" : "s",
               p->conf->n_pools, p->conf->n_pools == 1 ? "" : "s", p->n_workers,
               p->n_workers == 1 ? "" : "s");
    if (p->engine == IO_URING)
        log_info("engine io_uring: available (%s)", probe->features);
    else if (p->conf->io == IO_EPOLL)
        log_info("engine epoll: as configured");
    else
        log_info("engine epoll: io_uring is not available: %s", probe->why);
    limits_probe_describe(&p->limits, limits, sizeof(limits));
    limits_probe_connections(&p->limits, 0, 0, &by);
    log_info("limits: %s; at most %u connections (%s)", limits, p->max_connections,
             p->max_connections == p->conf->max_connections ? "limits.connections" : by);
    if (p->conf->max_connections > p->max_connections)
        events_log(EVENT_LIMIT, LOG_LEVEL_WARN, NULL,
                   "limits.connections = %u cannot be had: %s allow %u", p->conf->max_connections,
                   by, p->max_connections);
}

static void advise(const struct process *p)
{
    struct advice_about about = {
        .files = p->limits.files,
        .max_connections = p->max_connections,
        .files_suffice = p->max_connections == p->conf->max_connections,
    };
    struct strbuf lines = {0};

    for (uint32_t i = 0; i < p->conf->n_listeners; i++)
        for (uint32_t j = 0; j < p->conf->listeners[i].n_binds; j++)
            if (addr_family(&p->conf->listeners[i].binds[j].addr) != AF_UNIX)
                about.tcp_listeners = true;
    for (uint32_t i = 0; i < p->conf->n_pools; i++)
        for (uint32_t j = 0; j < p->conf->pools[i].n_backends; j++) {
            const struct addr_spec *a = &p->conf->pools[i].backends[j].address;
            if (a->addr.len == 0 || addr_family(&a->addr) != AF_UNIX)
                about.tcp_backends = true;
        }
    advice_collect("", &about, &lines);
    for (struct str rest = strbuf_str(&lines), line; (line = str_word(&rest, "\n")).len > 0;)
        log_warn(STR_FMT, STR_ARG(line));
    strbuf_fini(&lines);
}

static int start_control_loop(struct process *p)
{
    const struct io_conf conf = {.engine = p->engine};
    int rc;
    struct io *io = io_new(&conf, &rc);

    if (io != NULL && (rc = loop_init(&p->loop, io, p)) == 0) {
        p->epochs = epoch_domain_new();
        epoch_reader_register(p->epochs, &p->epoch);
        p->loop.epoch = &p->epoch;
        p->start_us = loop_now_us(&p->loop);
        p->start_wall_us = io_wall_us(io);
        return 0;
    }
    if (io != NULL)
        io_free(&io);
    p->loop.io = NULL;
    log_error("the %s engine cannot start: %s%s", p->engine == IO_URING ? "io_uring" : "epoll",
              strerror(-rc), rc == -ENOMEM ? " (a memory limit?)" : "");
    return rc;
}

/* The sockets that are there already: of the process before, or of systemd. */
static void inherit(struct process *p)
{
    struct inherit passed = {0};
    struct strbuf errors = {0};

    if (p->takeover != NULL) {
        binding_init(&p->binding, p->conf, p->n_workers, &p->takeover->inherit, p->takeover->pid);
        systemd_inherit_watchdog(p->takeover->watchdog_usec);
        return;
    }
    inherit_from_systemd(&passed, &errors);
    log_lines(LOG_LEVEL_WARN, &errors);
    strbuf_fini(&errors);
    binding_init(&p->binding, p->conf, p->n_workers, &passed, 0);
}

/* Before there are rings and keys. */
static int start_keeper(struct process *p)
{
    const struct hardening_conf *conf = &p->conf->hardening;
    char error[PRIVILEGES_ERROR_MAX];

    if (privileges_find(p->conf->user, p->conf->group, &p->privileges, error) < 0) {
        log_error("%s", error);
        return -EINVAL;
    }
    bool rights = geteuid() == 0 && p->privileges.uid != (uid_t)-1 && p->privileges.uid != 0;
    bool files = rights && conf->keeper != HARDENING_OFF;
    int rc = 0;
    /* auto: there is nothing to keep, or nobody to keep it from */
    if (!rights && conf->keeper != HARDENING_OFF && conf->keeper != HARDENING_AUTO)
        rc = hardening_without(conf->keeper, "keeper",
                               "it is for who is started as root and has a user to become", -EPERM);
    if (rc < 0 || (!files && !conf->exec))
        return rc;
    rc = keeper_start(&p->keeper, p->conf, p->reloadable ? p->from : NULL, &p->privileges, files);
    if (rc < 0)
        return hardening_without(conf->keeper, "keeper", strerror(-rc), rc);
    hardening_has_keeper(&p->hardening, p->keeper.pid, files);
    return 0;
}

/* What needs the rights that we were started with, then what must not have them. */
static int bind_all(struct process *p)
{
    struct strbuf unused = {0};
    char error[PRIVILEGES_ERROR_MAX];
    int rc;

    inherit(p);
    rc = stats_sockets_bind(&p->stats_sockets, p->conf, p->binding.before, &p->privileges);
    if (rc < 0)
        return rc;
    bool kept = p->keeper.helps;
    rc = privileges_drop(&p->privileges, kept ? 0 : 1u << CAP_NET_BIND_SERVICE, error);
    if (rc < 0) {
        log_error("%s", error);
        return rc;
    }
    if (error[0] != '\0')
        log_warn("%s", error);
    rc = stats_sockets_check_succession(&p->stats_sockets);
    if (rc == 0)
        rc = admin_http_bind(&p->admin_http, p->conf, &p->binding.inherit);
    if (rc == 0)
        rc = binding_listeners(&p->binding);
    if (rc == 0 && admin_http_addr(&p->admin_http) != NULL)
        p->binding.admin = *admin_http_addr(&p->admin_http);
    binding_unused(&p->binding, &unused);
    if (unused.len > 0 && p->takeover == NULL)
        log_warn("sockets were passed that no listener binds: %s", unused.p);
    strbuf_fini(&unused);
    return rc;
}

static int open_logs(struct process *p)
{
    const char *why;

    if (log_targets_get(&p->logs, p->conf->log.output, &why) == NULL) {
        log_error("log.output = \"%s\": %s", p->conf->log.output, why);
        return -EINVAL;
    }
    for (uint32_t i = 0; i < p->conf->n_listeners; i++) {
        const struct listener_conf *l = &p->conf->listeners[i];
        if (strcmp(l->access_target, "off") == 0 ||
            log_targets_get(&p->logs, l->access_target, &why) != NULL)
            continue;
        log_error("%s:%d: listener \"%s\": log.access = \"%s\": %s", l->file, l->line, l->name,
                  l->access_target, why);
        return -EINVAL;
    }
    return 0;
}

/* With what came and went at run time, in a former process. */
static struct snapshot *build_edited(struct process *p, struct conf_held *base,
                                     struct strbuf *errors)
{
    struct conf_held *conf = edits_apply(p, base, NULL);
    struct snapshot *s = snapshot_build(p, conf, errors);
    struct edit *none = NULL;
    struct strbuf told = {0}; /* it is in the log */

    edits_commit(p, base, &none, &told);
    strbuf_fini(&told);
    conf_held_unref(&conf);
    return s;
}

/* The objects of the configuration that we start with. */
static int build(struct process *p)
{
    struct strbuf errors = {0};

    p->table = table_new(p->epochs);
    live_init(p);
    state_load(p);
    struct snapshot *s = build_edited(p, p->edits.base, &errors);
    log_lines(LOG_LEVEL_ERROR, &errors);
    strbuf_fini(&errors);
    if (s == NULL)
        return -EINVAL;
    if (backends_prepare(p, s, &errors) < 0) {
        log_lines(LOG_LEVEL_ERROR, &errors);
        strbuf_fini(&errors);
        snapshot_drop(p, &s);
        return -EIO;
    }
    snapshot_install(p, s);
    state_restore(p);
    for (uint32_t i = 0; i < p->conf->n_pools; i++) {
        pool_rebuild(p->pools[i], p->start_wall_us);
        live_pool_watch(s->pools[i]);
    }
    backends_name(p);
    return 0;
}

static int start_checker(struct process *p)
{
    const struct checker_hooks hooks = process_hooks(p);
    int rc = 0;

    p->checker = checker_thread_start(p->engine, p->table, p->epochs, &hooks, &rc);
    if (p->checker == NULL)
        log_error("the health thread cannot start: %s", strerror(-rc));
    return rc;
}

static int start_workers(struct process *p)
{
    p->worker_rows = xaligned(p->n_workers * sizeof(p->worker_rows[0]));
    p->engines = xcalloc(p->n_workers, sizeof(p->engines[0]));
    p->workers = xaligned(p->n_workers * sizeof(p->workers[0]));
    p->shared.pools = p->pools;
    p->shared.n_pools = p->conf->n_pools;
    p->shared.table = p->table;
    p->shared.checker = checker_thread_checker(p->checker);
    p->shared.listener_over = process_on_listener_over;
    p->shared.ctx = p;
    p->shared.proxies = xcalloc(p->n_workers, sizeof(struct proxy *));
    p->shared.n_workers = p->n_workers;
    p->shared.tls = p->tls != NULL ? tls_store_workers(p->tls) : NULL;
    for (; p->n_started < p->n_workers; p->n_started++) {
        int rc = worker_start(p, p->n_started);
        if (rc < 0) {
            log_error("worker %u cannot start: %s%s", p->n_started, strerror(-rc),
                      rc == -ENOMEM ? " (a memory limit?)" : "");
            return rc;
        }
    }
    return 0;
}

static int start_control(struct process *p)
{
    int rc = signals_start(&p->signals, &p->loop, drain_on_signal, p);

    if (rc < 0) {
        log_error("signals cannot be taken: %s", strerror(-rc));
        return rc;
    }
    admin_glue_init(p);
    p->control = control_new(&p->loop, &p->ops);
    stats_sockets_serve(&p->stats_sockets, p->control);
    if (p->takeover == NULL)
        admin_http_start(&p->admin_http, &p->loop, control_env(p->control),
                         tls_store_admin(p->tls));
    timer_start(&p->loop.timers, &p->second, loop_now_ms(&p->loop) + 1000);
    uint32_t watchdog_ms = systemd_watchdog_ms();
    if (watchdog_ms > 0)
        timer_start(&p->loop.timers, &p->watchdog, loop_now_ms(&p->loop) + watchdog_ms);
    return 0;
}

/* Keys may be readable with the rights that we were started with only. */
static int build_tls(struct process *p)
{
    p->tls = tls_store_new(p->conf, p->n_workers, (int64_t)(p->start_wall_us / 1000000));
    return p->tls != NULL ? 0 : -EINVAL;
}

/* What can fail because of the surroundings; nothing is served yet. */
static int prepare(struct process *p)
{
    struct io_probe probe;
    int rc;

    size_up(p);
    if ((rc = start_keeper(p)) < 0 || (rc = choose_engine(p, &probe)) < 0 ||
        (rc = start_control_loop(p)) < 0 || (rc = open_logs(p)) < 0 || (rc = build_tls(p)) < 0 ||
        (rc = bind_all(p)) < 0 || (rc = hardening_confine(&p->hardening, p->conf)) < 0)
        return rc;
    const char *why;
    log_set_sink(log_targets_get(&p->logs, p->conf->log.output, &why));
    log_thread_start();
    announce(p, &probe);
    advise(p);
    if (p->tls != NULL)
        tls_store_check_access(p->tls);
    return build(p);
}

static void log_listener(const struct listener_conf *l)
{
    for (uint32_t i = 0; i < l->n_binds; i++) {
        const char *tls = l->tls != NULL ? ", tls" : "";
        if (l->mode == MODE_UDP)
            log_info("listener %s: %s, udp, to pool %s", l->name, l->bind_texts[i], l->pool_name);
        else if (l->mode == MODE_TCP)
            log_info("listener %s: %s%s, to %s%s%s", l->name, l->bind_texts[i], tls,
                     l->n_sni > 0 ? "pools by SNI" : "",
                     l->pool_name == NULL ? ""
                     : l->n_sni > 0       ? ", else pool "
                                          : "pool ",
                     l->pool_name != NULL ? l->pool_name : "");
        else
            log_info("listener %s: %s, http%s, %u route%s", l->name, l->bind_texts[i],
                     l->tls != NULL ? "s" : "", l->http.n_routes, l->http.n_routes == 1 ? "" : "s");
    }
}

int process_start(struct process *p)
{
    int rc;

    if ((rc = prepare(p)) < 0 || (rc = start_checker(p)) < 0 || (rc = start_workers(p)) < 0 ||
        (rc = hardening_filter(&p->hardening, p->conf)) < 0 || (rc = start_control(p)) < 0)
        return rc;
    log_info("hardening: %s", p->hardening.text.len > 0 ? p->hardening.text.p : "none");
    p->phase = PHASE_RUNNING;
    crash_watch(p);
    backends_check(p);
    state_forget(p);
    if (p->tls != NULL)
        tls_store_start(p->tls, p);
    if (p->takeover == NULL)
        reload_begin(p);
    else
        reload_hold(p);
    for (uint32_t i = 0; i < p->conf->n_listeners; i++)
        log_listener(&p->conf->listeners[i]);
    return 0;
}
