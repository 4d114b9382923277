/* admin_fixture.h - a process to administer: two listeners, two pools with real slots, workers'
 * counters, and admin_ops that record what was asked of them. For the tests and the fuzzer of
 * lb/admin; everything is static so that each program has its own. */
#ifndef SLUICE_TESTS_ADMIN_FIXTURE_H
#define SLUICE_TESTS_ADMIN_FIXTURE_H

#include "health/checker.h"
#include "lb/admin/command.h"
#include "lb/admin/sampler.h"
#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/base/log.h"
#include "lb/net/addr.h"
#include "lb/upstream/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE_WORKERS 2
#define FIXTURE_NOW_US  1700000100000000 /* wall clock; the process started 100 s before */

struct fixture {
    struct admin_ops ops;
    struct command_env env;
    struct command_session session;
    struct command_socket socket;
    struct epoch_domain *epochs;
    struct backend_table *table;
    struct backend_conf backends[3];
    struct pool_conf confs[2];
    struct sticky_conf sticky;
    struct pool *pools[2];
    struct backend_slot *a, *b, *pg;
    struct listener_stats *listeners[2];
    struct worker_counters *workers;
    struct io_stats io[FIXTURE_WORKERS];
    const struct io_stats *engines[FIXTURE_WORKERS];
    struct strbuf out;

    /* What was asked. */
    uint32_t touched, enabled, disabled;
    int agents, agent_forced, agent_sets;
    int forced; /* enum checker_force, -1: nothing */
    struct addr new_address;
    int set_address_result;
    const char *not_ready;
    bool stopping;

    /* Sessions: answered at once, or when the test calls fixture_answer(). */
    struct session_info sessions[2];
    uint32_t n_sessions;
    bool answer_later;
    struct session_filter asked; /* its strings are copied below */
    char asked_listener[64], asked_pool[64], asked_backend[64];
    uint32_t killed;
    void (*list_done)(void *arg, const struct session_info *rows, uint32_t n);
    void (*kill_done)(void *arg, uint32_t killed);
    void *done_arg;
};

static struct fixture *the_fixture;

/* The health thread, as far as lb/admin reaches it. */
void checker_touch(struct checker *c, struct backend_slot *s)
{
    (void)c;
    the_fixture->touched++;
    pool_rebuild(the_fixture->pools[s->pool], FIXTURE_NOW_US);
    epoch_collect(the_fixture->epochs);
}

void checker_force(struct checker *c, struct backend_slot *s, enum checker_force to)
{
    (void)c;
    (void)s;
    the_fixture->forced = (int)to;
}

void checker_enable_agent(struct checker *c, struct backend_slot *s, bool on)
{
    (void)c;
    (void)s;
    the_fixture->agents += on ? 1 : -1;
}

void checker_set_agent(struct checker *c, struct backend_slot *s, const struct agent_set *set)
{
    (void)c;
    (void)s;
    (void)set;
    the_fixture->agent_sets++;
}

void checker_force_agent(struct checker *c, struct backend_slot *s, bool up)
{
    (void)c;
    (void)s;
    the_fixture->agent_forced = up ? 1 : -1;
}

void checker_enable(struct checker *c, struct backend_slot *s, bool on)
{
    (void)c;
    (void)s;
    if (on)
        the_fixture->enabled++;
    else
        the_fixture->disabled++;
}

static void fixture_process_info(void *ctx, struct process_info *out)
{
    const struct fixture *f = ctx;

    *out = (struct process_info){
        .version = "0.1.0",
        .release_date = "2026/11/22",
        .workers = FIXTURE_WORKERS,
        .start_wall_us = FIXTURE_NOW_US - 100000000,
        .now_wall_us = FIXTURE_NOW_US,
        .uptime_us = 100000000,
        .max_connections = 1000,
        .max_fds = 4096,
        .max_pipes = 500,
        .memory_limit_bytes = 1u << 30,
        .engine = IO_EPOLL,
        .node = "host1",
        .description = "",
        .stopping = f->stopping,
    };
}

static const char *fixture_not_ready(void *ctx)
{
    return ((struct fixture *)ctx)->not_ready;
}

static int fixture_set_address(void *ctx, struct backend_slot *slot, const struct addr *addr,
                               const char **out_error)
{
    struct fixture *f = ctx;

    f->new_address = *addr;
    if (f->set_address_result < 0)
        *out_error = "it is on the moon";
    else
        slot_set_address(f->table, slot, addr);
    return f->set_address_result;
}

static void fixture_dump_config(void *ctx, struct strbuf *out)
{
    (void)ctx;
    strbuf_add_cstr(out, "workers = 2;\n\nio = \"auto\";\n");
}

static void fixture_copy(char out[static 64], const char **text)
{
    out[0] = '\0';
    if (*text != NULL) {
        snprintf(out, 64, "%s", *text);
        *text = out;
    }
}

static void fixture_note(struct fixture *f, const struct session_filter *filter)
{
    f->asked = *filter;
    fixture_copy(f->asked_listener, &f->asked.listener);
    fixture_copy(f->asked_pool, &f->asked.pool);
    fixture_copy(f->asked_backend, &f->asked.backend);
}

static void fixture_list(void *ctx, const struct session_filter *filter,
                         void (*done)(void *arg, const struct session_info *rows, uint32_t n),
                         void *arg)
{
    struct fixture *f = ctx;

    fixture_note(f, filter);
    f->list_done = done;
    f->done_arg = arg;
    if (!f->answer_later)
        done(arg, f->sessions, f->n_sessions);
}

static void fixture_kill(void *ctx, const struct session_filter *filter,
                         void (*done)(void *arg, uint32_t killed), void *arg)
{
    struct fixture *f = ctx;

    fixture_note(f, filter);
    f->kill_done = done;
    f->done_arg = arg;
    if (!f->answer_later)
        done(arg, f->killed);
}

static inline void fixture_address(struct fixture *f, struct backend_slot *slot, const char *text)
{
    struct addr_spec spec;
    const char *error;

    if (addr_parse(str_of(text), false, false, &spec, &error) < 0)
        abort();
    slot_set_address(f->table, slot, &spec.addr);
}

/* A verdict, as the health thread publishes it. */
static inline void fixture_verdict(struct fixture *f, struct backend_slot *slot,
                                   enum oper_state oper, enum check_result result, uint16_t health,
                                   const char *desc)
{
    struct backend_info info;

    slot_info(slot, &info);
    info.result = (uint8_t)result;
    info.health = health;
    info.changed_at_us = FIXTURE_NOW_US - 7000000;
    snprintf(info.desc, sizeof(info.desc), "%s", desc);
    slot_set_info(slot, &info);
    slot_set_oper(slot, oper);
    pool_rebuild(f->pools[slot->pool], FIXTURE_NOW_US - 7000000);
    epoch_collect(f->epochs);
}

static inline struct backend_slot *fixture_slot(struct fixture *f, const char *pool,
                                                const char *name, uint32_t pool_index, uint32_t sid,
                                                bool checked)
{
    struct backend_slot *s = table_add(f->table, pool, name);
    struct backend_info info = {
        .rise = 2, .fall = 3, .check_enabled = checked, .result = checked ? CHECK_INI : CHECK_NONE};

    s->pool = pool_index;
    s->sid = sid;
    slot_set_info(s, &info);
    return s;
}

static inline void fixture_pool(struct fixture *f, uint32_t i, char *name, uint32_t first,
                                uint32_t n, struct backend_slot **slots, enum pool_mode mode)
{
    f->confs[i] = (struct pool_conf){
        .name = name,
        .mode = mode,
        .http = {.sticky = mode == MODE_HTTP ? &f->sticky : NULL, .idle_max = 8},
        .backends = &f->backends[first],
        .n_backends = n,
        .queue_limit = 1024,
        .health = {.type = i == 0 ? CHECK_TYPE_TCP : CHECK_TYPE_NONE, .rise = 2, .fall = 3},
    };
    f->pools[i] = pool_new(&f->confs[i], i, 3 + i, slots, FIXTURE_WORKERS, f->epochs);
}

static inline struct listener_stats *fixture_listener(const char *name, uint32_t iid)
{
    struct listener_stats *l = xaligned(sizeof(*l));

    snprintf(l->name, sizeof(l->name), "%s", name);
    l->iid = iid;
    l->mode = "tcp";
    l->rows = xaligned(FIXTURE_WORKERS * sizeof(l->rows[0]));
    l->n_rows = FIXTURE_WORKERS;
    return l;
}

static inline void fixture_routes(struct listener_stats *l)
{
    l->mode = "http";
    listener_stats_http_init(l, 2);
    strcpy(l->routes[0].name, "api");
    strcpy(l->routes[0].target, "pool app");
    l->routes[0].file = "etc/s.conf";
    l->routes[0].line = 12;
    strcpy(l->routes[1].name, "web#2");
    strcpy(l->routes[1].target, "redirect 308 /new");
    l->routes[1].file = "etc/s.conf";
    l->routes[1].line = 13;
}

/* Pool app (iid 3) with a (weight 10, at most 100 connections) and the backup b, checked by tcp;
 * pool db (iid 4) with pg, whose name is not resolved and which is not checked.
 * Listeners web (1) and pg (2). Everybody is still unknown; pg has the RMAINT of its name.
 * http: web and app have mode http, web two routes, app a sticky cookie. */
static inline struct fixture *fixture_make(bool http)
{
    static char app[] = "app", db[] = "db", a[] = "a", b[] = "b", pg[] = "pg", cookie[] = "SRV";
    struct fixture *f = xaligned(sizeof(*f));

    the_fixture = f;
    log_set_level(LOG_LEVEL_ERROR);
    f->epochs = epoch_domain_new();
    f->table = table_new(f->epochs);
    f->backends[0] = (struct backend_conf){.name = a, .weight = 10, .max_connections = 100};
    f->backends[1] = (struct backend_conf){.name = b, .weight = 1, .backup = true};
    f->backends[2] = (struct backend_conf){.name = pg, .weight = 1};
    f->backends[0].address.addr.len = f->backends[1].address.addr.len = 1; /* literal */
    snprintf(f->backends[2].address.host, sizeof(f->backends[2].address.host), "pg.example");
    f->backends[2].address.port = 5432;
    f->a = fixture_slot(f, "app", "a", 0, 1, true);
    f->b = fixture_slot(f, "app", "b", 0, 2, true);
    f->pg = fixture_slot(f, "db", "pg", 1, 1, false);
    f->a->initial_weight = 10;
    f->b->initial_weight = f->pg->initial_weight = 1;
    f->b->backup = true;
    slot_set_weight(f->a, 10);
    slot_set_effective(f->a, 10 * WEIGHT_SCALE);
    slot_set_weight(f->b, 1);
    slot_set_weight(f->pg, 1);
    slot_set_admin(f->pg, 0, ADMIN_RMAINT);
    atomic_store(&f->a->max_connections, 100);
    fixture_address(f, f->a, "127.0.0.1:3001");
    fixture_address(f, f->b, "unix:/run/b.sock");
    f->sticky.cookie = cookie;
    fixture_pool(f, 0, app, 0, 2, (struct backend_slot *[]){f->a, f->b},
                 http ? MODE_HTTP : MODE_TCP);
    fixture_pool(f, 1, db, 2, 1, (struct backend_slot *[]){f->pg}, MODE_TCP);
    f->listeners[0] = fixture_listener("web", 1);
    if (http)
        fixture_routes(f->listeners[0]);
    f->listeners[1] = fixture_listener("pg", 2);
    f->workers = xaligned(FIXTURE_WORKERS * sizeof(f->workers[0]));
    f->engines[0] = &f->io[0]; /* the second worker has not started */
    f->forced = -1;
    f->ops = (struct admin_ops){
        .ctx = f,
        .process_info = fixture_process_info,
        .pools = f->pools,
        .n_pools = 2,
        .listeners = f->listeners,
        .n_listeners = 2,
        .table = f->table,
        .workers = f->workers,
        .engines = f->engines,
        .n_workers = FIXTURE_WORKERS,
        .list_sessions = fixture_list,
        .kill_sessions = fixture_kill,
        .not_ready_reason = fixture_not_ready,
        .set_address = fixture_set_address,
        .dump_config = fixture_dump_config,
    };
    f->session.level = CONTROL_ADMIN;
    f->socket = (struct command_socket){"/run/s.sock", CONTROL_ADMIN};
    f->env = (struct command_env){
        .ops = &f->ops,
        .sampler = sampler_new(&f->ops, 0),
        .sockets = &f->socket,
        .n_sockets = 1,
    };
    return f;
}

static inline struct fixture *fixture_new(void)
{
    return fixture_make(false);
}

static inline void fixture_free(struct fixture *f)
{
    sampler_free(&f->env.sampler);
    for (uint32_t i = 0; i < 2; i++) {
        pool_free(&f->pools[i]);
        listener_stats_http_fini(f->listeners[i]);
        free(f->listeners[i]->rows);
        free(f->listeners[i]);
    }
    table_free(&f->table);
    epoch_domain_free(&f->epochs);
    free(f->workers);
    strbuf_fini(&f->out);
    free(f);
    the_fixture = NULL;
}

/* Runs one command; its whole answer, or "(later)". */
static inline const char *fixture_run(struct fixture *f, const char *command)
{
    struct late_answer *late;

    strbuf_clear(&f->out);
    strbuf_add_cstr(&f->out, "");
    command_run(&f->env, &f->session, str_of(command), &f->out, &late);
    if (late != NULL) {
        late_answer_abandon(&late);
        strbuf_add_cstr(&f->out, "(later)");
    }
    return f->out.p;
}

/* Whether its answer begins so. */
static inline bool fixture_begins(struct fixture *f, const char *command, const char *text)
{
    return strncmp(fixture_run(f, command), text, strlen(text)) == 0;
}

#endif
