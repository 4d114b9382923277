/* metrics_haproxy.c - /metrics?compat=haproxy: the rows of `show stat` by the names that HAProxy's
 * exporter gives them, so that its dashboards and alerts go on working. */
#include "lb/admin/command.h"
#include "lb/admin/metrics_set.h"
#include "lb/admin/stat_rows.h"

#include <inttypes.h>
#include <stdio.h>

enum { FRONTEND = 1, BACKEND = 2, SERVER = 4 };

enum scale { PLAIN, MS }; /* milliseconds are shown as seconds */

struct haproxy_metric {
    const char *name; /* behind haproxy_frontend_ and so on, without _total */
    enum metric_type type;
    unsigned of; /* FRONTEND | BACKEND | SERVER */
    uint16_t column;
    enum scale scale;
};

#define ALL  (FRONTEND | BACKEND | SERVER)
#define BACK (BACKEND | SERVER)

static const struct haproxy_metric metrics[] = {
    {"current_queue", METRIC_GAUGE, BACK, STAT_qcur, PLAIN},
    {"max_queue", METRIC_GAUGE, BACK, STAT_qmax, PLAIN},
    {"queue_limit", METRIC_GAUGE, BACKEND, STAT_qlimit, PLAIN},
    {"current_sessions", METRIC_GAUGE, ALL, STAT_scur, PLAIN},
    {"max_sessions", METRIC_GAUGE, ALL, STAT_smax, PLAIN},
    {"limit_sessions", METRIC_GAUGE, ALL, STAT_slim, PLAIN},
    {"sessions", METRIC_COUNTER, ALL, STAT_stot, PLAIN},
    {"current_session_rate", METRIC_GAUGE, ALL, STAT_rate, PLAIN},
    {"limit_session_rate", METRIC_GAUGE, FRONTEND, STAT_rate_lim, PLAIN},
    {"max_session_rate", METRIC_GAUGE, ALL, STAT_rate_max, PLAIN},
    {"connections_rate_current", METRIC_GAUGE, FRONTEND, STAT_conn_rate, PLAIN},
    {"connections_rate_max", METRIC_GAUGE, FRONTEND, STAT_conn_rate_max, PLAIN},
    {"connections", METRIC_COUNTER, FRONTEND, STAT_conn_tot, PLAIN},
    {"bytes_in", METRIC_COUNTER, ALL, STAT_bin, PLAIN},
    {"bytes_out", METRIC_COUNTER, ALL, STAT_bout, PLAIN},
    {"requests_denied", METRIC_COUNTER, FRONTEND | BACKEND, STAT_dreq, PLAIN},
    {"responses_denied", METRIC_COUNTER, ALL, STAT_dresp, PLAIN},
    {"request_errors", METRIC_COUNTER, FRONTEND, STAT_ereq, PLAIN},
    {"denied_connections", METRIC_COUNTER, FRONTEND, STAT_dcon, PLAIN},
    {"denied_sessions", METRIC_COUNTER, FRONTEND, STAT_dses, PLAIN},
    {"intercepted_requests", METRIC_COUNTER, FRONTEND, STAT_intercepted, PLAIN},
    {"connection_errors", METRIC_COUNTER, BACK, STAT_econ, PLAIN},
    {"response_errors", METRIC_COUNTER, BACK, STAT_eresp, PLAIN},
    {"retry_warnings", METRIC_COUNTER, BACK, STAT_wretr, PLAIN},
    {"redispatch_warnings", METRIC_COUNTER, BACK, STAT_wredis, PLAIN},
    {"connection_attempts", METRIC_COUNTER, BACK, STAT_connect, PLAIN},
    {"connection_reuses", METRIC_COUNTER, BACK, STAT_reuse, PLAIN},
    {"client_aborts", METRIC_COUNTER, BACK, STAT_cli_abrt, PLAIN},
    {"server_aborts", METRIC_COUNTER, BACK, STAT_srv_abrt, PLAIN},
    {"weight", METRIC_GAUGE, BACK, STAT_weight, PLAIN},
    {"uweight", METRIC_GAUGE, BACK, STAT_uweight, PLAIN},
    {"active_servers", METRIC_GAUGE, BACKEND, STAT_act, PLAIN},
    {"backup_servers", METRIC_GAUGE, BACKEND, STAT_bck, PLAIN},
    {"check_failures", METRIC_COUNTER, SERVER, STAT_chkfail, PLAIN},
    {"check_up_down", METRIC_COUNTER, BACK, STAT_chkdown, PLAIN},
    {"check_code", METRIC_GAUGE, SERVER, STAT_check_code, PLAIN},
    {"check_duration_seconds", METRIC_GAUGE, SERVER, STAT_check_duration, MS},
    {"agent_code", METRIC_GAUGE, SERVER, STAT_agent_code, PLAIN},
    {"agent_duration_seconds", METRIC_GAUGE, SERVER, STAT_agent_duration, MS},
    {"check_last_change_seconds", METRIC_GAUGE, BACK, STAT_lastchg, PLAIN},
    {"downtime_seconds", METRIC_COUNTER, BACK, STAT_downtime, PLAIN},
    {"current_throttle", METRIC_GAUGE, SERVER, STAT_throttle, PLAIN},
    {"loadbalanced", METRIC_COUNTER, BACK, STAT_lbtot, PLAIN},
    {"last_session_seconds", METRIC_GAUGE, BACK, STAT_lastsess, PLAIN},
    {"idle_connections_current", METRIC_GAUGE, SERVER, STAT_srv_icur, PLAIN},
    {"idle_connections_limit", METRIC_GAUGE, SERVER, STAT_src_ilim, PLAIN},
    {"used_connections_current", METRIC_GAUGE, SERVER, STAT_used_conn_cur, PLAIN},
    {"http_requests_rate_current", METRIC_GAUGE, FRONTEND, STAT_req_rate, PLAIN},
    {"http_requests_rate_max", METRIC_GAUGE, FRONTEND, STAT_req_rate_max, PLAIN},
    {"http_requests", METRIC_COUNTER, ALL, STAT_req_tot, PLAIN},
    {"queue_time_average_seconds", METRIC_GAUGE, BACK, STAT_qtime, MS},
    {"connect_time_average_seconds", METRIC_GAUGE, BACK, STAT_ctime, MS},
    {"response_time_average_seconds", METRIC_GAUGE, BACK, STAT_rtime, MS},
    {"total_time_average_seconds", METRIC_GAUGE, BACK, STAT_ttime, MS},
    {"max_queue_time_seconds", METRIC_GAUGE, BACK, STAT_qtime_max, MS},
    {"max_connect_time_seconds", METRIC_GAUGE, BACK, STAT_ctime_max, MS},
    {"max_response_time_seconds", METRIC_GAUGE, BACK, STAT_rtime_max, MS},
    {"max_total_time_seconds", METRIC_GAUGE, BACK, STAT_ttime_max, MS},
    {"internal_errors", METRIC_COUNTER, ALL, STAT_eint, PLAIN},
};

static const char *const kinds[] = {"frontend", "backend", "server"};

/* Rows come object by object, the format wants metric by metric: each collects its own samples. */
struct collection {
    struct strbuf samples[3][ARRAY_LEN(metrics)];
    struct strbuf statuses[3], responses[3];
};

static int64_t number_of(const struct field_value *v)
{
    return v->type == FIELD_S32 ? v->s32 : (int64_t)v->number;
}

static void add_sample(struct collection *c, unsigned kind, size_t i,
                       const struct metric_labels *labels, const struct field_value *v)
{
    char name[96];
    struct metrics_text m = {.out = &c->samples[kind][i], .name = name, .type = metrics[i].type};

    snprintf(name, sizeof(name), "haproxy_%s_%s", kinds[kind], metrics[i].name);
    int64_t n = number_of(v);
    if (metrics[i].scale == MS)
        metrics_seconds(&m, labels, NULL, (uint64_t)n * 1000);
    else
        metrics_number(&m, labels, NULL, n < 0 ? 0 : (uint64_t)n);
}

/* One sample for each state, 1 for the present one: as HAProxy does from version 2.4 on. */
static void add_status(struct collection *c, unsigned kind, const struct metric_labels *labels,
                       const char *status)
{
    static const char *const states[] = {"UP", "DOWN", "MAINT", "DRAIN", "NOLB"};
    char name[64], more[32];
    struct metrics_text m = {.out = &c->statuses[kind], .name = name, .type = METRIC_GAUGE};

    snprintf(name, sizeof(name), "haproxy_%s_status", kinds[kind]);
    if (strcmp(status, "OPEN") == 0 || strcmp(status, "no check") == 0)
        status = "UP";
    else if (strcmp(status, "STOP") == 0)
        status = "DOWN";
    size_t n = kind == 0 || kind == 1 ? 2 : ARRAY_LEN(states);
    for (size_t i = 0; i < n; i++) {
        snprintf(more, sizeof(more), "state=\"%s\"", states[i]);
        metrics_number(&m, labels, more, strncmp(status, states[i], strlen(states[i])) == 0);
    }
}

static void add_responses(struct collection *c, unsigned kind, const struct metric_labels *labels,
                          const struct field_value *row)
{
    static const char *const codes[] = {"1xx", "2xx", "3xx", "4xx", "5xx", "other"};
    char name[64], more[32];
    struct metrics_text m = {.out = &c->responses[kind], .name = name, .type = METRIC_COUNTER};

    snprintf(name, sizeof(name), "haproxy_%s_http_responses", kinds[kind]);
    for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
        snprintf(more, sizeof(more), "code=\"%s\"", codes[i]);
        metrics_number(&m, labels, more, row[STAT_hrsp_1xx + i].number);
    }
}

static void on_row(void *arg, const struct field_value *row)
{
    struct collection *c = arg;
    struct metric_labels labels = {0};
    unsigned kind = (unsigned)row[STAT_type].number;

    metric_labels_add(&labels, "proxy", row[STAT_pxname].text);
    if (kind == 2)
        metric_labels_add(&labels, "server", row[STAT_svname].text);
    for (size_t i = 0; i < ARRAY_LEN(metrics); i++)
        if ((metrics[i].of & 1u << kind) && row[metrics[i].column].type != FIELD_NONE)
            add_sample(c, kind, i, &labels, &row[metrics[i].column]);
    add_status(c, kind, &labels, row[STAT_status].text);
    if (row[STAT_hrsp_1xx].type != FIELD_NONE)
        add_responses(c, kind, &labels, row);
    metric_labels_fini(&labels);
}

static void print_family(struct metrics_text *m, const char *kind, const char *name,
                         enum metric_type type, struct strbuf *samples)
{
    char whole[96];

    snprintf(whole, sizeof(whole), "haproxy_%s_%s", kind, name);
    if (samples->len > 0) {
        metrics_family(m, whole, type, "As HAProxy's exporter has it.");
        strbuf_add(m->out, samples->p, samples->len);
    }
    strbuf_fini(samples);
}

static void process(struct metrics_text *m, const struct command_env *env)
{
    struct process_info p;
    uint64_t open = 0, all = 0;

    env->ops->process_info(env->ops->ctx, &p);
    for (uint32_t i = 0; i < env->ops->n_workers; i++) {
        open += counter_get(&env->ops->workers[i].sessions_open);
        all += counter_get(&env->ops->workers[i].sessions);
    }
    const struct {
        const char *name;
        enum metric_type type;
        uint64_t value;
    } rows[] = {
        {"haproxy_process_nbthread", METRIC_GAUGE, p.workers},
        {"haproxy_process_nbproc", METRIC_GAUGE, 1},
        {"haproxy_process_uptime_seconds", METRIC_GAUGE, p.uptime_us / 1000000},
        {"haproxy_process_start_time_seconds", METRIC_GAUGE, p.start_wall_us / 1000000},
        {"haproxy_process_max_fds", METRIC_GAUGE, p.max_fds},
        {"haproxy_process_max_connections", METRIC_GAUGE, p.max_connections},
        {"haproxy_process_current_connections", METRIC_GAUGE, open},
        {"haproxy_process_connections", METRIC_COUNTER, all},
        {"haproxy_process_stopping", METRIC_GAUGE, p.stopping},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        metrics_family(m, rows[i].name, rows[i].type, "As HAProxy's exporter has it.");
        metrics_number(m, NULL, NULL, rows[i].value);
    }
}

void metrics_haproxy(struct metrics_text *m, const struct command_env *env)
{
    struct collection c = {0};

    process(m, env);
    stat_each_row(env, on_row, &c);
    for (unsigned kind = 0; kind < ARRAY_LEN(kinds); kind++) {
        print_family(m, kinds[kind], "status", METRIC_GAUGE, &c.statuses[kind]);
        print_family(m, kinds[kind], "http_responses", METRIC_COUNTER, &c.responses[kind]);
        for (size_t i = 0; i < ARRAY_LEN(metrics); i++)
            print_family(m, kinds[kind], metrics[i].name, metrics[i].type, &c.samples[kind][i]);
    }
}
