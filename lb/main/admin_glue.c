/* admin_glue.c - see admin_glue.h */
#include "lb/main/admin_glue.h"

#include "health/checker.h"
#include "lb/admin/control.h"
#include "lb/base/alloc.h"
#include "lb/config/conf.h"
#include "lb/main/checker_thread.h"
#include "lb/main/diff.h"
#include "lb/main/drain.h"
#include "lb/main/edit_ops.h"
#include "lb/main/explain.h"
#include "lb/main/handoff.h"
#include "lb/main/process.h"
#include "lb/main/reload.h"
#include "lb/main/resolve.h"
#include "lb/main/tls_store.h"
#include "lb/main/version.h"
#include "lb/main/worker.h"
#include "lb/obs/flight.h"
#include "lb/upstream/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

struct session_calls {
    struct list open;
    char node[65];
};

/* A worker's part of a question (or the health thread's), travelling there and back. */
struct part {
    struct loop_msg msg;
    struct loop_task task; /* the health thread's */
    struct call *call;
    struct session_info *rows;
    struct flight_record *flight; /* or NULL: sessions were asked for */
    uint32_t n, cap, killed;
};

struct call {
    struct list node;
    struct process *process;
    struct proxy_filter filter; /* its strings are ours */
    bool kill;
    uint32_t waiting; /* parts that are not back */
    void (*listed)(void *arg, const struct session_info *rows, uint32_t n);
    void (*killed)(void *arg, uint32_t n);
    void (*flown)(void *arg, const struct flight_record *rows, uint32_t n);
    void (*settled)(void *arg);
    void *arg;
    uint32_t n_parts;
    struct part parts[];
};

/* ---- sessions: on the worker ---- */

static void copy_name(char out[static LIMIT_NAME_LEN + 1], const char *name)
{
    snprintf(out, LIMIT_NAME_LEN + 1, "%s", name != NULL ? name : "");
}

static void add_row(void *arg, const struct proxy_session_view *v)
{
    struct part *part = arg;

    if (part->n == part->cap) {
        part->cap = part->cap == 0 ? 64 : part->cap * 2;
        part->rows = xrealloc(part->rows, part->cap * sizeof(part->rows[0]));
    }
    struct session_info *row = &part->rows[part->n++];
    *row = (struct session_info){
        .id = v->id,
        .client = *v->client,
        .state = v->state,
        .kind = v->kind,
        .streams = v->streams,
        .age_ms = v->age_ms,
        .idle_ms = v->idle_ms,
        .bytes_in = v->bytes_in,
        .bytes_out = v->bytes_out,
        .in_spliced = v->in_spliced,
        .out_spliced = v->out_spliced,
        .client_fd = v->client_fd,
        .backend_fd = v->backend_fd,
    };
    copy_name(row->listener, v->listener);
    copy_name(row->pool, v->pool);
    copy_name(row->backend, v->backend);
}

static void on_part_back(struct loop_msg *msg, void *ctx);

static void on_part(struct loop_msg *msg, void *ctx)
{
    struct part *part = container_of(msg, struct part, msg);
    struct worker *w = ctx;

    if (part->flight != NULL)
        part->n = flight_copy(proxy_flight(w->proxy), loop_now_us(&w->loop), part->flight);
    else if (part->call->kill)
        part->killed = proxy_kill_sessions(w->proxy, &part->call->filter);
    else
        proxy_each_session(w->proxy, &part->call->filter, add_row, part);
    msg->fn = on_part_back;
    loop_post(&w->process->loop, msg);
}

/* ---- sessions: on the control thread ---- */

static void end_call(struct call *c)
{
    list_remove(&c->node);
    for (uint32_t i = 0; i < c->n_parts; i++) {
        free(c->parts[i].rows);
        free(c->parts[i].flight);
    }
    free((char *)c->filter.listener);
    free((char *)c->filter.pool);
    free((char *)c->filter.backend);
    free(c);
}

static void answer_list(struct call *c)
{
    uint32_t n = 0, at = 0;

    for (uint32_t i = 0; i < c->n_parts; i++)
        n += c->parts[i].n;
    struct session_info *all = xcalloc(n + 1, sizeof(all[0]));
    for (uint32_t i = 0; i < c->n_parts; i++) {
        const struct part *part = &c->parts[i];
        if (part->n > 0)
            memcpy(&all[at], part->rows, part->n * sizeof(all[0]));
        at += part->n;
    }
    c->listed(c->arg, all, n);
    free(all);
}

static void answer_flight(struct call *c)
{
    struct flight_record *all = xcalloc(c->n_parts * FLIGHT_MAX + 1, sizeof(all[0]));
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->n_parts; i++) {
        memcpy(&all[n], c->parts[i].flight, c->parts[i].n * sizeof(all[0]));
        n += c->parts[i].n;
    }
    c->flown(c->arg, all, n);
    free(all);
}

static void answer(struct call *c)
{
    uint32_t killed = 0;

    for (uint32_t i = 0; i < c->n_parts; i++)
        killed += c->parts[i].killed;
    if (c->settled != NULL)
        c->settled(c->arg);
    else if (c->flown != NULL)
        answer_flight(c);
    else if (c->kill)
        c->killed(c->arg, killed);
    else
        answer_list(c);
    end_call(c);
}

static void on_part_back(struct loop_msg *msg, void *ctx)
{
    struct call *c = container_of(msg, struct part, msg)->call;

    (void)ctx;
    if (--c->waiting == 0)
        answer(c);
}

static char *copy_text(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}

static struct call *new_call(struct process *p, const struct session_filter *f, void *arg)
{
    struct call *c = xcalloc(1, sizeof(*c) + p->n_started * sizeof(c->parts[0]));

    c->process = p;
    c->arg = arg;
    c->filter = (struct proxy_filter){.id = f->id,
                                      .listener = copy_text(f->listener),
                                      .pool = copy_text(f->pool),
                                      .backend = copy_text(f->backend),
                                      .older_ms = f->older_ms};
    c->n_parts = c->waiting = p->n_started;
    list_push_back(&p->calls->open, &c->node);
    return c;
}

static void send_call(struct call *c)
{
    if (c->n_parts == 0) { /* no worker runs: nothing will come back */
        answer(c);
        return;
    }
    for (uint32_t i = 0; i < c->n_parts; i++) {
        c->parts[i].call = c;
        c->parts[i].msg.fn = on_part;
        loop_post(&c->process->workers[i].loop, &c->parts[i].msg);
    }
}

static void list_sessions(void *ctx, const struct session_filter *filter,
                          void (*done)(void *arg, const struct session_info *rows, uint32_t n),
                          void *arg)
{
    struct call *c = new_call(ctx, filter, arg);

    c->listed = done;
    send_call(c);
}

static void kill_sessions(void *ctx, const struct session_filter *filter,
                          void (*done)(void *arg, uint32_t killed), void *arg)
{
    struct call *c = new_call(ctx, filter, arg);

    c->kill = true;
    c->killed = done;
    send_call(c);
}

static void list_flight(void *ctx,
                        void (*done)(void *arg, const struct flight_record *rows, uint32_t n),
                        void *arg)
{
    const struct session_filter everything = {0};
    struct call *c = new_call(ctx, &everything, arg);

    c->flown = done;
    for (uint32_t i = 0; i < c->n_parts; i++) /* here: a worker does not wait for memory */
        c->parts[i].flight = xcalloc(FLIGHT_MAX, sizeof(struct flight_record));
    send_call(c);
}

/* ---- changes of backends ---- */

/* On the health thread, behind the task that publishes the views. */
static void on_published(struct loop_task *task)
{
    struct part *part = container_of(task, struct part, task);

    part->msg.fn = on_part_back;
    loop_post(&part->call->process->loop, &part->msg);
}

/* On the health thread, behind the messages that tell it what has changed. */
static void on_settle(struct loop_msg *msg, void *ctx)
{
    struct part *part = container_of(msg, struct part, msg);

    (void)ctx;
    list_init(&part->task.node);
    part->task.fn = on_published;
    loop_defer(checker_thread_loop(part->call->process->checker), &part->task);
}

static void settle(void *ctx, void (*done)(void *arg), void *arg)
{
    struct process *p = ctx;
    struct call *c = xcalloc(1, sizeof(*c) + sizeof(c->parts[0]));

    c->process = p;
    c->settled = done;
    c->arg = arg;
    c->n_parts = c->waiting = 1;
    c->parts[0].call = c;
    c->parts[0].msg.fn = on_settle;
    list_push_back(&p->calls->open, &c->node);
    loop_post(checker_thread_loop(p->checker), &c->parts[0].msg);
}

/* ---- the rest ---- */

static void process_info(void *ctx, struct process_info *out)
{
    const struct process *p = ctx;

    *out = (struct process_info){
        .version = SLUICE_VERSION,
        .release_date = VERSION_RELEASE_DATE,
        .workers = p->n_workers,
        .start_wall_us = p->start_wall_us,
        .now_wall_us = io_wall_us(p->loop.io),
        .uptime_us = loop_now_us(&p->loop) - p->start_us,
        .max_connections = p->max_connections,
        .max_fds = p->limits.files < UINT32_MAX ? (uint32_t)p->limits.files : UINT32_MAX,
        .max_pipes = p->max_connections < UINT32_MAX / 2 ? 2 * p->max_connections : UINT32_MAX,
        .memory_limit_bytes = p->limits.memory_bytes,
        .engine = p->engine,
        .node = p->calls->node,
        .description = "",
        .hardening = p->hardening.text.p,
        .stopping = p->phase >= PHASE_LEAVING,
    };
}

static bool has_no_backend(const struct pool *pool)
{
    uint32_t active, backup;

    pool_count_up(pool, &active, &backup);
    return active == 0 && backup == 0 && !pool_usable(pool);
}

/* The first pool of a route that has nobody to take a request. */
static const struct pool *routed_pool_without_backend(const struct process *p,
                                                      const struct route_conf *route)
{
    if (route_has_pool(route) && has_no_backend(p->pools[route->pool]))
        return p->pools[route->pool];
    for (uint32_t i = 0; route->action == ROUTE_SPLIT && i < route->n_split; i++)
        if (route->split[i].weight > 0 && has_no_backend(p->pools[route->split[i].pool]))
            return p->pools[route->split[i].pool];
    return NULL;
}

/* The first pool that a listener needs and that has nobody to take a session or request. */
static const struct pool *pool_without_backend(const struct process *p)
{
    for (uint32_t i = 0; i < p->conf->n_listeners; i++) {
        const struct listener_conf *l = &p->conf->listeners[i];
        if (l->mode != MODE_HTTP && has_no_backend(p->pools[l->pool]))
            return p->pools[l->pool];
        for (uint32_t r = 0; l->mode == MODE_HTTP && r < l->http.n_routes; r++) {
            const struct pool *pool = routed_pool_without_backend(p, &l->http.routes[r].route);
            if (pool != NULL)
                return pool;
        }
    }
    return NULL;
}

const char *admin_glue_not_ready(struct process *p)
{
    if (p->handed_over) /* who asks means the service, and another process gives it */
        return NULL;
    if (p->phase >= PHASE_LEAVING)
        return "draining";
    if (p->phase == PHASE_STARTING)
        return "starting";
    if (!p->told_ready)
        return p->first_round_over ? "names of backends are being looked up"
                                   : "first health checks are running";
    const struct pool *pool = pool_without_backend(p);
    if (pool == NULL)
        return NULL;
    snprintf(p->not_ready, sizeof(p->not_ready), "pool %s: no backend is up", pool->name);
    return p->not_ready;
}

static const char *not_ready_reason(void *ctx)
{
    return admin_glue_not_ready(ctx);
}

static int set_address(void *ctx, struct backend_slot *slot, const struct addr *addr,
                       const char **out_error)
{
    struct process *p = ctx;

    if (addr->len == 0) {
        *out_error = "an address is needed";
        return -EINVAL;
    }
    if (p->resolve != NULL)
        resolve_forget(p->resolve, slot);
    slot_set_address(p->table, slot, addr);
    checker_touch(p->ops.checker, slot);
    return 0;
}

static void each_certificate(void *ctx, void (*fn)(void *arg, const struct certificate_info *c),
                             void *arg)
{
    const struct process *p = ctx;

    if (p->tls != NULL)
        tls_store_each(p->tls, fn, arg);
}

static void diff(void *ctx, struct strbuf *out)
{
    diff_show(ctx, out);
}

static void reload(void *ctx, void (*done)(void *arg, bool good, const char *text), void *arg)
{
    reload_request(ctx, "stats socket", done, arg);
}

static void tell_drain(void *ctx, struct drain_info *out)
{
    drain_describe(ctx, out);
}

static void hand_over(void *ctx, int fd)
{
    handoff_begin(ctx, fd);
}

static int explain_request(void *ctx, const struct str *words, uint32_t n, bool json,
                           struct strbuf *out)
{
    return explain_live(ctx, words, n, json, out);
}

void admin_glue_init(struct process *p)
{
    struct utsname names;

    p->calls = xcalloc(1, sizeof(*p->calls));
    list_init(&p->calls->open);
    snprintf(p->calls->node, sizeof(p->calls->node), "%.64s",
             uname(&names) == 0 && names.nodename[0] != '\0' ? names.nodename : "localhost");
    p->ops = (struct admin_ops){
        .ctx = p,
        .process_info = process_info,
        .pools = p->pools,
        .n_pools = p->conf->n_pools,
        .listeners = p->listeners,
        .n_listeners = p->conf->n_listeners,
        .table = p->table,
        .checker = checker_thread_checker(p->checker),
        .workers = p->worker_rows,
        .engines = p->engines,
        .n_workers = p->n_workers,
        .list_sessions = list_sessions,
        .kill_sessions = kill_sessions,
        .list_flight = list_flight,
        .settle = settle,
        .not_ready_reason = not_ready_reason,
        .set_address = set_address,
        .reload = reload,
        .diff = diff,
        .each_certificate = each_certificate,
        .explain = explain_request,
        .handoff = hand_over,
        .drain_info = tell_drain,
    };
    edit_ops_init(p);
}

void admin_glue_follow(struct process *p)
{
    p->ops.pools = p->pools;
    p->ops.n_pools = p->conf->n_pools;
    p->ops.listeners = p->listeners;
    p->ops.n_listeners = p->conf->n_listeners;
    control_follow(p->control);
}

bool admin_glue_idle(const struct process *p)
{
    return p->calls == NULL || list_empty(&p->calls->open);
}

void admin_glue_fini(struct process *p)
{
    sl_assert(admin_glue_idle(p));
    free(p->calls);
    p->calls = NULL;
}
