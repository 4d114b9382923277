/* metrics_objects.c - metrics of listeners, routes, pools, backends and certificates. A table for
 * each kind: a new counter is a row here. */
#include "lb/admin/admin_ops.h"
#include "lb/admin/command.h"
#include "lb/admin/metrics_set.h"
#include "lb/admin/status.h"
#include "lb/base/alloc.h"
#include "lb/net/tls_files.h"
#include "lb/obs/histogram.h"
#include "lb/obs/phases.h"
#include "lb/obs/reasons.h"
#include "lb/upstream/pool.h"

#include <stdio.h>
#include <stdlib.h>

struct counter_metric {
    const char *name;
    bool us;
    size_t offset;
    const char *help;
};

/* ---- sums, made once for an answer ---- */

struct backend_row {
    const struct pool *pool;
    const struct pool_member *member; /* NULL: the pool itself */
    struct backend_counters sums;
    struct metric_labels labels;
};

struct objects {
    struct metrics_text *m;
    const struct admin_ops *ops;
    struct backend_row *pools, *backends;
    uint32_t n_backends;
    uint32_t left_out;
};

static uint64_t value_at(const void *row, size_t offset)
{
    return counter_get((const counter *)(const void *)((const char *)row + offset));
}

static void collect(struct objects *o)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < o->ops->n_pools; i++)
        n += o->ops->pools[i]->n_members;
    o->pools = xaligned((o->ops->n_pools + 1) * sizeof(o->pools[0]));
    o->backends = xaligned((n + 1) * sizeof(o->backends[0]));
    for (uint32_t i = 0; i < o->ops->n_pools; i++) {
        const struct pool *p = o->ops->pools[i];
        struct backend_row *row = &o->pools[i];
        row->pool = p;
        backend_counters_sum(p->rows, p->n_rows, &row->sums);
        metric_labels_add(&row->labels, "pool", p->name);
        for (uint32_t k = 0; k < p->n_members; k++) {
            if (o->n_backends == METRICS_BACKENDS_MAX) {
                o->left_out++;
                continue;
            }
            row = &o->backends[o->n_backends++];
            *row = (struct backend_row){.pool = p, .member = &p->members[k]};
            backend_counters_sum(p->members[k].rows, p->n_rows, &row->sums);
            metric_labels_add(&row->labels, "pool", p->name);
            metric_labels_add(&row->labels, "backend", p->members[k].slot->name);
        }
    }
}

static void collected_fini(struct objects *o)
{
    for (uint32_t i = 0; i < o->ops->n_pools; i++)
        metric_labels_fini(&o->pools[i].labels);
    for (uint32_t i = 0; i < o->n_backends; i++)
        metric_labels_fini(&o->backends[i].labels);
    free(o->pools);
    free(o->backends);
}

static void add_value(struct metrics_text *m, const struct counter_metric *c, const void *sums,
                      const struct metric_labels *labels)
{
    if (c->us)
        metrics_seconds(m, labels, NULL, value_at(sums, c->offset));
    else
        metrics_number(m, labels, NULL, value_at(sums, c->offset));
}

static void add_responses(struct metrics_text *m, const struct metric_labels *labels,
                          const counter *responses)
{
    static const char *const classes[RESPONSE_CLASSES] = {
        "class=\"1xx\"", "class=\"2xx\"", "class=\"3xx\"",
        "class=\"4xx\"", "class=\"5xx\"", "class=\"other\"",
    };

    for (uint32_t i = 0; i < RESPONSE_CLASSES; i++)
        metrics_number(m, labels, classes[i], counter_get(&responses[i]));
}

static void add_drops(struct metrics_text *m, const struct metric_labels *labels,
                      const counter *drops)
{
    char reason[64];

    for (enum udp_drop i = 0; i < UDP_DROPS; i++) {
        snprintf(reason, sizeof(reason), "reason=\"%s\"", udp_drop_name(i));
        metrics_number(m, labels, reason, counter_get(&drops[i]));
    }
}

static void add_reasons(struct metrics_text *m, const struct metric_labels *labels,
                        const struct reason_counters *rows, uint32_t n_rows)
{
    struct reason_counters sums;
    char reason[96];

    reason_counters_sum(rows, n_rows, &sums);
    for (uint32_t i = 0; i < LIMIT_REASONS; i++) {
        if (counter_get(&sums.n[i]) == 0)
            continue;
        snprintf(reason, sizeof(reason), "reason=\"%s\"",
                 reason_code(i)); /* codes need no escape */
        metrics_number(m, labels, reason, counter_get(&sums.n[i]));
    }
}

/* ---- listeners and routes ---- */

#define LISTENER(field) offsetof(struct listener_counters, field)
static const struct counter_metric of_listeners[] = {
    {"sluice_listener_sessions", false, LISTENER(sessions), "Connections admitted."},
    {"sluice_listener_denied_connections", false, LISTENER(denied),
     "Connections refused by a limit or for their address."},
    {"sluice_listener_received_bytes", false, LISTENER(bytes_in), "Bytes from clients."},
    {"sluice_listener_sent_bytes", false, LISTENER(bytes_out), "Bytes to clients."},
    {"sluice_listener_requests", false, LISTENER(requests), "HTTP requests."},
    {"sluice_listener_bad_requests", false, LISTENER(bad_requests),
     "Malformed requests and PROXY headers, heads that came too late."},
    {"sluice_listener_denied_requests", false, LISTENER(denied_requests),
     "Requests denied by a filter."},
    {"sluice_listener_answered", false, LISTENER(intercepted),
     "Requests that sluice answered itself, on purpose."},
    {"sluice_listener_client_aborts", false, LISTENER(client_aborts), "Clients that left."},
    {"sluice_listener_server_aborts", false, LISTENER(server_aborts),
     "Answers that a backend broke off."},
    {"sluice_listener_internal_errors", false, LISTENER(internal_errors), "Errors of sluice."},
    {"sluice_listener_accept_pauses", false, LISTENER(accept_pauses),
     "Times that accepting stopped for want of descriptors or memory."},
    {"sluice_listener_tls_handshakes", false, LISTENER(tls_handshakes),
     "TLS handshakes that succeeded."},
    {"sluice_listener_tls_resumed", false, LISTENER(tls_resumed),
     "Of these, by a session from before."},
    {"sluice_listener_tls_failures", false, LISTENER(tls_failures), "TLS handshakes that did not."},
    {"sluice_listener_tls_kernel", false, LISTENER(tls_kernel),
     "Connections that the kernel encrypts, from their first large file on."},
    {"sluice_listener_received_datagrams", false, LISTENER(dgrams_in), "Datagrams from clients."},
    {"sluice_listener_sent_datagrams", false, LISTENER(dgrams_out), "Datagrams to clients."},
    {"sluice_listener_evicted_flows", false, LISTENER(flows_evicted),
     "Flows of datagrams that ended early for others' sake."},
};

#define ROUTE(field) offsetof(struct route_counters, field)
static const struct counter_metric of_routes[] = {
    {"sluice_route_requests", false, ROUTE(requests), "Requests that the route took."},
    {"sluice_route_received_bytes", false, ROUTE(bytes_in), "Bytes from clients."},
    {"sluice_route_sent_bytes", false, ROUTE(bytes_out), "Bytes to clients."},
    {"sluice_route_denied_requests", false, ROUTE(denied), "Requests denied by its filters."},
    {"sluice_route_answered_requests", false, ROUTE(timed),
     "Requests that a response was sent to."},
    {"sluice_route_seconds", true, ROUTE(total_us),
     "Time of these, from their first byte to the response's last."},
};

static void listeners(struct objects *o)
{
    uint32_t n = o->ops->n_listeners;
    struct listener_counters *sums = xaligned((n + 1) * sizeof(sums[0]));
    struct metric_labels *labels = xcalloc(n + 1, sizeof(labels[0]));
    struct metrics_text *m = o->m;

    for (uint32_t i = 0; i < n; i++) {
        listener_counters_sum(o->ops->listeners[i], &sums[i]);
        metric_labels_add(&labels[i], "listener", o->ops->listeners[i]->name);
    }
    metrics_family(m, "sluice_listener_sessions_open", METRIC_GAUGE, "Connections now.");
    for (uint32_t i = 0; i < n; i++)
        metrics_number(m, &labels[i], NULL,
                       atomic_load_explicit(&o->ops->listeners[i]->current, memory_order_relaxed));
    for (size_t k = 0; k < ARRAY_LEN(of_listeners); k++) {
        metrics_family(m, of_listeners[k].name, METRIC_COUNTER, of_listeners[k].help);
        for (uint32_t i = 0; i < n; i++)
            add_value(m, &of_listeners[k], &sums[i], &labels[i]);
    }
    metrics_family(m, "sluice_listener_responses", METRIC_COUNTER, "Responses to clients.");
    for (uint32_t i = 0; i < n; i++)
        add_responses(m, &labels[i], sums[i].responses);
    metrics_family(m, "sluice_listener_dropped_datagrams", METRIC_COUNTER,
                   "Datagrams that went no further, by reason.");
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(o->ops->listeners[i]->mode, "udp") == 0)
            add_drops(m, &labels[i], sums[i].dgrams_dropped);
    metrics_family(m, "sluice_listener_refused", METRIC_COUNTER, "Requests refused, by reason.");
    for (uint32_t i = 0; i < n; i++)
        if (o->ops->listeners[i]->reasons != NULL)
            add_reasons(m, &labels[i], o->ops->listeners[i]->reasons, o->ops->listeners[i]->n_rows);
    metrics_family(m, "sluice_listener_request_duration_seconds", METRIC_HISTOGRAM,
                   "From a request's first byte to its response's last; tcp: a session's time.");
    for (uint32_t i = 0; i < n; i++) {
        static struct histogram_sum h; /* 7 KiB */
        const struct listener_stats *l = o->ops->listeners[i];
        if (l->latency != NULL)
            histogram_sum(l->latency, l->n_rows, &h);
        else if (l->phases != NULL)
            phases_sum(l->phases, l->n_rows, NULL, PHASE_TOTAL, &h);
        else
            continue;
        metrics_histogram(m, &labels[i], &h);
    }
    for (uint32_t i = 0; i < n; i++)
        metric_labels_fini(&labels[i]);
    free(labels);
    free(sums);
}

struct route_row {
    struct route_counters sums;
    struct metric_labels labels;
};

static uint32_t collect_routes(struct objects *o, struct route_row *rows)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < o->ops->n_listeners; i++) {
        const struct listener_stats *l = o->ops->listeners[i];
        for (uint32_t k = 0; k < l->n_routes; k++) {
            if (n == METRICS_ROUTES_MAX) {
                o->left_out++;
                continue;
            }
            route_counters_sum(l->routes[k].rows, l->n_rows, &rows[n].sums);
            metric_labels_add(&rows[n].labels, "listener", l->name);
            metric_labels_add(&rows[n].labels, "route", l->routes[k].name);
            n++;
        }
    }
    return n;
}

static void routes(struct objects *o)
{
    struct route_row *rows = xaligned(METRICS_ROUTES_MAX * sizeof(rows[0]));
    uint32_t n = collect_routes(o, rows);

    for (size_t k = 0; k < ARRAY_LEN(of_routes); k++) {
        metrics_family(o->m, of_routes[k].name, METRIC_COUNTER, of_routes[k].help);
        for (uint32_t i = 0; i < n; i++)
            add_value(o->m, &of_routes[k], &rows[i].sums, &rows[i].labels);
    }
    metrics_family(o->m, "sluice_route_responses", METRIC_COUNTER, "Responses to clients.");
    for (uint32_t i = 0; i < n; i++)
        add_responses(o->m, &rows[i].labels, rows[i].sums.responses);
    for (uint32_t i = 0; i < n; i++)
        metric_labels_fini(&rows[i].labels);
    free(rows);
}

/* ---- pools and backends ---- */

#define BACKEND(field) offsetof(struct backend_counters, field)
static const struct counter_metric of_pools[] = {
    {"sluice_pool_queued", false, BACKEND(queued), "Requests that had to wait."},
    {"sluice_pool_queue_timeouts", false, BACKEND(queue_timeouts),
     "Requests that waited too long, or found the queue full."},
    {"sluice_pool_queue_full", false, BACKEND(queue_full), "Requests that a full queue refused."},
    {"sluice_pool_budget_refused", false, BACKEND(budget_refused),
     "Retries that the budget did not allow."},
};
static const struct counter_metric of_backends[] = {
    {"sluice_backend_sessions", false, BACKEND(sessions), "Sessions or requests given to it."},
    {"sluice_backend_requests", false, BACKEND(requests), "HTTP requests sent, retries too."},
    {"sluice_backend_sent_bytes", false, BACKEND(bytes_in), "Bytes to it."},
    {"sluice_backend_received_bytes", false, BACKEND(bytes_out), "Bytes from it."},
    {"sluice_backend_connects", false, BACKEND(connects), "Connects tried."},
    {"sluice_backend_connect_errors", false, BACKEND(connect_errors), "Connects that failed."},
    {"sluice_backend_response_errors", false, BACKEND(response_errors), "Responses that failed."},
    {"sluice_backend_retries", false, BACKEND(retries), "Tries that were repeated."},
    {"sluice_backend_redispatches", false, BACKEND(redispatches), "... with another backend."},
    {"sluice_backend_reuses", false, BACKEND(reuses),
     "Requests on a connection that had carried others."},
    {"sluice_backend_idle_closed", false, BACKEND(idle_closed),
     "Idle connections that the backend closed."},
    {"sluice_backend_client_aborts", false, BACKEND(client_aborts), "Clients that left."},
    {"sluice_backend_server_aborts", false, BACKEND(server_aborts), "Answers that it broke off."},
    {"sluice_backend_tls_handshakes", false, BACKEND(tls_handshakes),
     "TLS handshakes that succeeded."},
    {"sluice_backend_tls_resumed", false, BACKEND(tls_resumed),
     "Of these, by a session from before."},
    {"sluice_backend_tls_failures", false, BACKEND(tls_failures), "TLS handshakes that did not."},
    {"sluice_backend_timed", false, BACKEND(timed),
     "Requests (tcp: sessions) that the sums of seconds are of."},
    {"sluice_backend_queue_seconds", true, BACKEND(queue_us), "Their time in the queue."},
    {"sluice_backend_connect_seconds", true, BACKEND(connect_us), "Their time to connect."},
    {"sluice_backend_response_seconds", true, BACKEND(response_us),
     "Their time from the request sent to the response's head."},
    {"sluice_backend_session_seconds", true, BACKEND(total_us), "Their time in all."},
    {"sluice_backend_sticky_kept", false, BACKEND(sticky_kept), "The cookie's backend was used."},
    {"sluice_backend_sticky_moved", false, BACKEND(sticky_moved), "It could not be."},
};

static void pool_gauges(struct objects *o)
{
    static const struct {
        const char *name, *help;
    } gauges[] = {
        {"sluice_pool_up", "1 when it can be used."},
        {"sluice_pool_backends_up", "Backends that are up, backups too."},
        {"sluice_pool_backends", "Backends configured."},
        {"sluice_pool_sessions_open", "Sessions or requests now, queued ones too."},
        {"sluice_pool_queue", "Requests that wait now."},
    };

    for (size_t k = 0; k < ARRAY_LEN(gauges); k++) {
        metrics_family(o->m, gauges[k].name, METRIC_GAUGE, gauges[k].help);
        for (uint32_t i = 0; i < o->ops->n_pools; i++) {
            const struct pool *p = o->ops->pools[i];
            uint32_t active, backup;
            pool_count_up(p, &active, &backup);
            const uint64_t values[] = {
                pool_usable(p), active + backup, p->n_members,
                atomic_load_explicit(&p->kept->current, memory_order_relaxed),
                atomic_load_explicit(&p->kept->waiting, memory_order_relaxed)};
            metrics_number(o->m, &o->pools[i].labels, NULL, values[k]);
        }
    }
}

static void pools(struct objects *o)
{
    static struct histogram_sum h;

    pool_gauges(o);
    for (size_t k = 0; k < ARRAY_LEN(of_pools); k++) {
        metrics_family(o->m, of_pools[k].name, METRIC_COUNTER, of_pools[k].help);
        for (uint32_t i = 0; i < o->ops->n_pools; i++)
            add_value(o->m, &of_pools[k], &o->pools[i].sums, &o->pools[i].labels);
    }
    metrics_family(o->m, "sluice_pool_refused", METRIC_COUNTER, "Responses refused, by reason.");
    for (uint32_t i = 0; i < o->ops->n_pools; i++)
        if (o->ops->pools[i]->reasons != NULL)
            add_reasons(o->m, &o->pools[i].labels, o->ops->pools[i]->reasons,
                        o->ops->pools[i]->n_rows);
    metrics_family(o->m, "sluice_pool_response_duration_seconds", METRIC_HISTOGRAM,
                   "From given to the pool to the response's head: queue, connect, retries too.");
    for (uint32_t i = 0; i < o->ops->n_pools; i++) {
        if (o->ops->pools[i]->latency == NULL)
            continue;
        histogram_sum(o->ops->pools[i]->latency, o->ops->pools[i]->n_rows, &h);
        metrics_histogram(o->m, &o->pools[i].labels, &h);
    }
}

enum backend_gauge {
    BACKEND_UP,
    BACKEND_WEIGHT,
    BACKEND_OPEN,
    BACKEND_LIMIT,
    BACKEND_IDLE,
    BACKEND_CHECK_SECONDS,
    BACKEND_CHANGED,
    BACKEND_GAUGES
};

static void backend_gauges(struct objects *o)
{
    static const char *const names[BACKEND_GAUGES][2] = {
        {"sluice_backend_up", "1 when it gets traffic: up, and not drained or in maintenance."},
        {"sluice_backend_weight", "Weight as configured or set."},
        {"sluice_backend_sessions_open", "Sessions or requests now."},
        {"sluice_backend_sessions_limit", "At most; 0: no limit."},
        {"sluice_backend_idle_connections", "Connections kept for the next requests."},
        {"sluice_backend_check_duration_seconds", "Time that the last check took."},
        {"sluice_backend_state_since_seconds", "Last change of its health, since 1970; 0: none."},
    };

    for (uint32_t k = 0; k < BACKEND_GAUGES; k++) {
        metrics_family(o->m, names[k][0], METRIC_GAUGE, names[k][1]);
        for (uint32_t i = 0; i < o->n_backends; i++) {
            const struct backend_row *row = &o->backends[i];
            const struct backend_slot *slot = row->member->slot;
            struct server_status s;
            server_status_read(&s, row->pool, slot);
            bool in = s.eligible && !s.draining && (s.word.admin & ADMIN_MAINT_MASK) == 0;
            const uint64_t values[BACKEND_GAUGES] = {
                in,
                s.word.set_weight,
                atomic_load_explicit(&slot->in_flight, memory_order_relaxed),
                atomic_load_explicit(&slot->max_connections, memory_order_relaxed),
                counter_get(&row->sums.idle),
                s.info.check_duration_us,
                s.info.changed_at_us};
            if (k == BACKEND_CHECK_SECONDS || k == BACKEND_CHANGED)
                metrics_seconds(o->m, &row->labels, NULL, values[k]);
            else
                metrics_number(o->m, &row->labels, NULL, values[k]);
        }
    }
}

/* What people have written, as a further label: ",reason=...", nothing without one. */
static void add_reason(const char *reason, size_t room, char *out)
{
    size_t n = (size_t)snprintf(out, room, reason[0] != '\0' ? ",reason=\"" : "");

    if (reason[0] == '\0')
        return;
    for (; *reason != '\0' && n + 4 < room; reason++) {
        if (*reason == '"' || *reason == '\\')
            out[n++] = '\\';
        out[n++] = *reason >= ' ' && *reason <= '~' ? *reason : '?'; /* it might be no UTF-8 */
    }
    out[n++] = '"';
    out[n] = '\0';
}

/* State, last check, and why it is drained or in maintenance as labels: of each there is one
 * sample, 1. */
static void backend_words(struct objects *o)
{
    struct server_status s;
    char more[128 + 2 * LIMIT_MAINT_REASON], text[SERVER_STATUS_MAX];

    metrics_family(o->m, "sluice_backend_state", METRIC_GAUGE,
                   "1, with its state, the result of its last check, and why it is drained or in "
                   "maintenance as labels.");
    for (uint32_t i = 0; i < o->n_backends; i++) {
        const struct backend_row *row = &o->backends[i];
        server_status_read(&s, row->pool, row->member->slot);
        const char *state = server_status_text(&s, text);
        text[strcspn(text, "/0123456789")] = '\0'; /* without "1/3" */
        if (state == text && text[0] != '\0' && text[strlen(text) - 1] == ' ')
            text[strlen(text) - 1] = '\0';
        int n = snprintf(more, sizeof(more), "state=\"%s\",check=\"%s\"", state,
                         check_result_name((enum check_result)s.info.result));
        add_reason(slot_reason(row->member->slot), sizeof(more) - (size_t)n, more + n);
        metrics_number(o->m, &row->labels, more, 1);
    }
}

static void backend_health(struct objects *o)
{
    static const char *const names[][2] = {
        {"sluice_backend_checks", "Health checks made."},
        {"sluice_backend_check_failures", "Health checks that failed."},
        {"sluice_backend_downs", "Times that it went down."},
        {"sluice_backend_down_seconds", "Time that it was down."},
    };

    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        metrics_family(o->m, names[k][0], METRIC_COUNTER, names[k][1]);
        for (uint32_t i = 0; i < o->n_backends; i++) {
            struct backend_info info;
            slot_info(o->backends[i].member->slot, &info);
            const uint64_t values[] = {info.checks, info.check_fails, info.transitions_down,
                                       info.downtime_us};
            if (k == 3)
                metrics_seconds(o->m, &o->backends[i].labels, NULL, values[k]);
            else
                metrics_number(o->m, &o->backends[i].labels, NULL, values[k]);
        }
    }
}

static void backends(struct objects *o)
{
    static struct histogram_sum h;

    backend_gauges(o);
    backend_words(o);
    backend_health(o);
    for (size_t k = 0; k < ARRAY_LEN(of_backends); k++) {
        metrics_family(o->m, of_backends[k].name, METRIC_COUNTER, of_backends[k].help);
        for (uint32_t i = 0; i < o->n_backends; i++)
            add_value(o->m, &of_backends[k], &o->backends[i].sums, &o->backends[i].labels);
    }
    metrics_family(o->m, "sluice_backend_responses", METRIC_COUNTER, "Responses that it sent.");
    for (uint32_t i = 0; i < o->n_backends; i++)
        if (o->backends[i].pool->latency != NULL)
            add_responses(o->m, &o->backends[i].labels, o->backends[i].sums.responses);
    metrics_family(o->m, "sluice_backend_response_duration_seconds", METRIC_HISTOGRAM,
                   "From a request sent to its response's head.");
    for (uint32_t i = 0; i < o->n_backends && i < METRICS_HISTOGRAMS_MAX; i++) {
        if (o->backends[i].member->latency == NULL)
            continue;
        histogram_sum(o->backends[i].member->latency, o->backends[i].pool->n_rows, &h);
        metrics_histogram(o->m, &o->backends[i].labels, &h);
    }
}

/* ---- certificates ---- */

static void add_certificate(void *arg, const struct certificate_info *c)
{
    struct metric_labels labels = {0};
    int64_t until = c->facts->not_after_s;

    metric_labels_add(&labels, "listener", c->listener);
    metric_labels_add(&labels, "cert", c->cert);
    metrics_number(arg, &labels, NULL, until > 0 ? (uint64_t)until : 0);
    metric_labels_fini(&labels);
}

static void certificates(struct objects *o)
{
    if (o->ops->each_certificate == NULL)
        return;
    metrics_family(o->m, "sluice_certificate_not_after_seconds", METRIC_GAUGE,
                   "End of a certificate's time, since 1970.");
    o->ops->each_certificate(o->ops->ctx, add_certificate, o->m);
}

void metrics_objects(struct metrics_text *m, const struct command_env *env)
{
    struct objects o = {.m = m, .ops = env->ops};

    collect(&o);
    listeners(&o);
    routes(&o);
    pools(&o);
    backends(&o);
    certificates(&o);
    metrics_family(m, "sluice_metrics_left_out", METRIC_GAUGE,
                   "Backends and routes beyond the bound of what is shown here.");
    metrics_number(m, NULL, NULL, o.left_out);
    collected_fini(&o);
}
