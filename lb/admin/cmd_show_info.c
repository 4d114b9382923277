/* cmd_show_info.c - `show info [json|typed] [desc]`: the process. */
#include "lb/admin/command.h"
#include "lb/admin/fields.h"
#include "lb/admin/info_keys.h"
#include "lb/admin/sampler.h"
#include "lb/base/log.h"
#include "lb/net/tls_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define INFO_KEY_FIELD(id, name, tags, help) {name, tags, help},
static const struct field keys[INFO_N_KEYS] = {INFO_KEYS(INFO_KEY_FIELD)};

struct texts {
    char uptime[40], build[96];
};

/* Sums over workers and listeners. */
struct totals {
    uint64_t current, sessions, denied, bytes_out, accept_pauses;
    uint64_t requests; /* of HTTP; a session of mode tcp counts as one */
    uint64_t tls_current, tls_sessions;
    uint64_t memory_refused, bufs_total, bufs_used, pipes_open, pipes_used, bytes_spliced;
};

static void add_up(const struct admin_ops *ops, struct totals *t)
{
    *t = (struct totals){0};
    for (uint32_t i = 0; i < ops->n_listeners; i++) {
        struct listener_counters sums;
        listener_counters_sum(ops->listeners[i], &sums);
        t->current += atomic_load_explicit(&ops->listeners[i]->current, memory_order_relaxed);
        t->sessions += counter_get(&sums.sessions);
        t->requests += counter_get(strcmp(ops->listeners[i]->mode, "http") == 0 ? &sums.requests
                                                                                : &sums.sessions);
        if (ops->listeners[i]->tls) {
            t->tls_current +=
                atomic_load_explicit(&ops->listeners[i]->current, memory_order_relaxed);
            t->tls_sessions += counter_get(&sums.sessions);
        }
        t->denied += counter_get(&sums.denied);
        t->bytes_out += counter_get(&sums.bytes_out);
        t->accept_pauses += counter_get(&sums.accept_pauses);
    }
    for (uint32_t i = 0; i < ops->n_workers; i++) {
        const struct io_stats *e = ops->engines[i];
        t->memory_refused += counter_get(&ops->workers[i].memory_refused);
        if (e == NULL) /* that worker has not started yet */
            continue;
        t->bufs_total += counter_get(&e->bufs_total);
        t->bufs_used += counter_get(&e->bufs_used);
        t->pipes_open += counter_get(&e->pipes_open);
        t->pipes_used += counter_get(&e->pipes_used);
        t->bytes_spliced += counter_get(&e->bytes_spliced);
    }
}

static const char *engine_name(enum io_engine_kind kind)
{
    switch (kind) {
    case IO_URING:
        return "io_uring";
    case IO_EPOLL:
        return "epoll";
    case IO_SIM:
        return "sim";
    case IO_AUTO:
        break;
    }
    return "auto";
}

static const char *or_dash(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : "-";
}

static void fill_process(const struct process_info *p, struct texts *texts, struct field_value *v)
{
    uint64_t s = p->uptime_us / 1000000;

    snprintf(texts->uptime, sizeof(texts->uptime), "%" PRIu64 "d %uh%02um%02us", s / 86400,
             (unsigned)(s / 3600 % 24), (unsigned)(s / 60 % 60), (unsigned)(s % 60));
    snprintf(texts->build, sizeof(texts->build), "%s, io %s", p->version, engine_name(p->engine));
    v[INFO_Name] = field_text("sluice");
    v[INFO_Version] = field_text(p->version);
    v[INFO_Release_date] = field_text(p->release_date);
    v[INFO_Nbthread] = field_u32(p->workers);
    v[INFO_Nbproc] = v[INFO_Process_num] = v[INFO_NbThreadGroups] = field_u32(1);
    v[INFO_Pid] = field_u32((uint64_t)getpid());
    v[INFO_Uptime] = field_text(texts->uptime);
    v[INFO_Uptime_sec] = field_u32(s);
    v[INFO_Memmax_MB] = field_u32(p->memory_limit_bytes >> 20);
    v[INFO_Memmax_bytes] = field_u64(p->memory_limit_bytes);
    v[INFO_Ulimit_n] = v[INFO_Maxsock] = field_u32(p->max_fds);
    v[INFO_Maxconn] = v[INFO_Hard_maxconn] = field_u32(p->max_connections);
    v[INFO_Maxpipes] = field_u32(p->max_pipes);
    v[INFO_Hardening] = field_text(or_dash(p->hardening));
    v[INFO_node] = field_text(or_dash(p->node));
    v[INFO_description] = field_text(or_dash(p->description));
    v[INFO_Stopping] = field_u32(p->stopping);
    v[INFO_Build_info] = field_text(texts->build);
    v[INFO_Start_time_sec] = field_u32(p->start_wall_us / 1000000);
}

static void fill_totals(const struct admin_ops *ops, struct field_value *v)
{
    struct totals t;
    uint64_t allocated, used;

    add_up(ops, &t);
    allocated = t.bufs_total * LIMIT_BUF_SIZE;
    used = t.bufs_used * LIMIT_BUF_SIZE;
    v[INFO_PoolAlloc_MB] = field_u32(allocated >> 20);
    v[INFO_PoolUsed_MB] = field_u32(used >> 20);
    v[INFO_PoolAlloc_bytes] = field_u64(allocated);
    v[INFO_PoolUsed_bytes] = field_u64(used);
    v[INFO_PoolFailed] = field_u32(t.memory_refused);
    v[INFO_CurrConns] = v[INFO_CurrStreams] = field_u32(t.current);
    v[INFO_CurrSslConns] = field_u32(t.tls_current);
    v[INFO_CumSslConns] = field_u64(t.tls_sessions);
    v[INFO_CumConns] = field_u64(t.sessions + t.denied);
    v[INFO_CumReq] = v[INFO_CumStreams] = field_u64(t.requests);
    v[INFO_PipesUsed] = field_u32(t.pipes_used);
    v[INFO_PipesFree] = field_u32(t.pipes_open > t.pipes_used ? t.pipes_open - t.pipes_used : 0);
    v[INFO_Tasks] = v[INFO_Jobs] = field_u32(t.current + ops->n_listeners);
    v[INFO_Listeners] = field_u32(ops->n_listeners);
    v[INFO_TotalBytesOut] = field_u64(t.bytes_out);
    v[INFO_TotalSplicedBytesOut] = field_u64(t.bytes_spliced);
    v[INFO_MaxconnReached] = field_u32(t.accept_pauses);
    v[INFO_DroppedLogs] = field_u64(log_dropped());
}

static void fill_rates(const struct sampler *sampler, struct field_value *v)
{
    struct process_sample s;

    sampler_process(sampler, &s);
    v[INFO_ConnRate] = field_u32(s.connections.now);
    v[INFO_MaxConnRate] = field_u32(s.connections.max);
    v[INFO_SessRate] = field_u32(s.sessions.now);
    v[INFO_MaxSessRate] = field_u32(s.sessions.max);
    v[INFO_BytesOutRate] = field_u64(s.bytes_out.now);
    v[INFO_Idle_pct] = field_u32(s.idle_percent);
    v[INFO_SslRate] = field_u32(s.tls.now);
    v[INFO_MaxSslRate] = field_u32(s.tls.max);
    v[INFO_SslFrontendKeyRate] = field_u32(s.tls_full.now);
    v[INFO_SslFrontendMaxKeyRate] = field_u32(s.tls_full.max);
    v[INFO_SslFrontendSessionReuse_pct] =
        field_u32(s.tls.now > s.tls_full.now ? 100 - s.tls_full.now * 100ULL / s.tls.now : 0);
    v[INFO_SslBackendKeyRate] = field_u32(s.backend_tls_full.now);
    v[INFO_SslBackendMaxKeyRate] = field_u32(s.backend_tls_full.max);
}

struct first_expiry {
    int64_t at_s;
    bool any;
};

static void see_expiry(void *arg, const struct certificate_info *cert)
{
    struct first_expiry *first = arg;

    if (!first->any || cert->facts->not_after_s < first->at_s)
        *first = (struct first_expiry){cert->facts->not_after_s, true};
}

static void fill_expiry(const struct admin_ops *ops, const struct process_info *p,
                        struct field_value *v)
{
    struct first_expiry first = {0};

    if (ops->each_certificate != NULL)
        ops->each_certificate(ops->ctx, see_expiry, &first);
    v[INFO_SslCertExpiry_days] =
        first.any ? field_s32(certificate_days_left(first.at_s, p->now_wall_us)) : field_text("-");
}

static void print_plain(struct strbuf *out, const struct field_value *v, bool desc)
{
    for (uint32_t i = 0; i < INFO_N_KEYS; i++) {
        strbuf_addf(out, "%s: ", keys[i].name);
        field_add_plain(out, &v[i]);
        if (desc)
            strbuf_addf(out, ":\"%s\"", keys[i].help);
        strbuf_add_char(out, '\n');
    }
}

static void print_typed(struct strbuf *out, const struct field_value *v, bool desc)
{
    for (uint32_t i = 0; i < INFO_N_KEYS; i++) {
        field_add_typed(out, &keys[i], i, &v[i], desc);
        strbuf_add_char(out, '\n');
    }
}

static void print_json(struct strbuf *out, const struct field_value *v)
{
    strbuf_add_char(out, '[');
    for (uint32_t i = 0; i < INFO_N_KEYS; i++) {
        strbuf_add_cstr(out, i > 0 ? ",{" : "{");
        field_add_json(out, &keys[i], i, &v[i]);
        strbuf_add_char(out, '}');
    }
    strbuf_add_cstr(out, "]\n");
}

void cmd_show_info(struct command *c)
{
    struct field_value v[INFO_N_KEYS];
    struct process_info process;
    struct texts texts;

    for (uint32_t i = 0; i < INFO_N_KEYS; i++)
        v[i] = field_u32(0);
    c->env->ops->process_info(c->env->ops->ctx, &process);
    fill_process(&process, &texts, v);
    fill_totals(c->env->ops, v);
    fill_rates(c->env->sampler, v);
    fill_expiry(c->env->ops, &process, v);
    if (command_has(c, "json"))
        print_json(c->out, v);
    else if (command_has(c, "typed"))
        print_typed(c->out, v, command_has(c, "desc"));
    else
        print_plain(c->out, v, command_has(c, "desc"));
}
