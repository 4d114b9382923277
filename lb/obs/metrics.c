/* metrics.c - see metrics.h. Sums are taken row by row with relaxed loads: each number is one that
 * was true a moment ago, numbers of different rows may be a few events apart. */
#include "lb/obs/metrics.h"

#include "lb/base/alloc.h"
#include "lb/obs/histogram.h"
#include "lb/obs/reasons.h"

#include <stdlib.h>
#include <string.h>

const char *udp_drop_name(enum udp_drop d)
{
    static const char *const names[UDP_DROPS] = {
        [UDP_DROP_LEAVING] = "leaving",   [UDP_DROP_LIMIT] = "limit",
        [UDP_DROP_RESOURCE] = "resource", [UDP_DROP_NO_BACKEND] = "no-backend",
        [UDP_DROP_FULL] = "full",         [UDP_DROP_REFUSED] = "refused",
        [UDP_DROP_TOO_LONG] = "too-long", [UDP_DROP_BLOCKED] = "blocked",
        [UDP_DROP_FAILED] = "failed",
    };
    return names[d];
}

static void sum_add(counter *sum, const counter *c)
{
    counter_add(sum, counter_get(c));
}

static void sum_add_all(counter *sums, const counter *c, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        sum_add(&sums[i], &c[i]);
}

void listener_stats_http_init(struct listener_stats *l, uint32_t n_routes)
{
    l->latency = histogram_rows_new(l->n_rows);
    l->reasons = xaligned(l->n_rows * sizeof(l->reasons[0]));
    l->n_routes = n_routes;
    l->routes = xcalloc(n_routes + 1, sizeof(l->routes[0]));
    for (uint32_t i = 0; i < n_routes; i++)
        l->routes[i].rows = xaligned(l->n_rows * sizeof(l->routes[i].rows[0]));
}

void listener_stats_http_fini(struct listener_stats *l)
{
    for (uint32_t i = 0; i < l->n_routes; i++)
        free(l->routes[i].rows);
    free(l->routes);
    l->routes = NULL;
    l->n_routes = 0;
    free(l->reasons);
    l->reasons = NULL;
    histogram_rows_free(&l->latency, l->n_rows);
}

void listener_counters_sum(const struct listener_stats *l, struct listener_counters *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < l->n_rows; i++) {
        const struct listener_counters *row = &l->rows[i];
        sum_add(&out->sessions, &row->sessions);
        sum_add(&out->bytes_in, &row->bytes_in);
        sum_add(&out->bytes_out, &row->bytes_out);
        sum_add(&out->denied, &row->denied);
        sum_add(&out->bad_requests, &row->bad_requests);
        sum_add(&out->accept_pauses, &row->accept_pauses);
        sum_add(&out->tls_handshakes, &row->tls_handshakes);
        sum_add(&out->tls_resumed, &row->tls_resumed);
        sum_add(&out->tls_failures, &row->tls_failures);
        sum_add(&out->tls_kernel, &row->tls_kernel);
        sum_add(&out->requests, &row->requests);
        sum_add_all(out->responses, row->responses, RESPONSE_CLASSES);
        sum_add(&out->dgrams_in, &row->dgrams_in);
        sum_add(&out->dgrams_out, &row->dgrams_out);
        sum_add_all(out->dgrams_dropped, row->dgrams_dropped, UDP_DROPS);
        sum_add(&out->flows_evicted, &row->flows_evicted);
        sum_add(&out->denied_requests, &row->denied_requests);
        sum_add(&out->denied_responses, &row->denied_responses);
        sum_add(&out->intercepted, &row->intercepted);
        sum_add(&out->client_aborts, &row->client_aborts);
        sum_add(&out->server_aborts, &row->server_aborts);
        sum_add(&out->internal_errors, &row->internal_errors);
    }
}

void backend_counters_add(const struct backend_counters *row, struct backend_counters *sum)
{
    sum_add(&sum->sessions, &row->sessions);
    sum_add(&sum->bytes_in, &row->bytes_in);
    sum_add(&sum->bytes_out, &row->bytes_out);
    sum_add(&sum->connects, &row->connects);
    sum_add(&sum->connect_errors, &row->connect_errors);
    sum_add(&sum->response_errors, &row->response_errors);
    sum_add(&sum->retries, &row->retries);
    sum_add(&sum->redispatches, &row->redispatches);
    sum_add(&sum->tls_handshakes, &row->tls_handshakes);
    sum_add(&sum->tls_resumed, &row->tls_resumed);
    sum_add(&sum->tls_failures, &row->tls_failures);
    sum_add(&sum->client_aborts, &row->client_aborts);
    sum_add(&sum->server_aborts, &row->server_aborts);
    sum_add(&sum->queued, &row->queued);
    sum_add(&sum->queue_timeouts, &row->queue_timeouts);
    sum_add(&sum->queue_full, &row->queue_full);
    sum_add(&sum->queue_us, &row->queue_us);
    sum_add(&sum->connect_us, &row->connect_us);
    sum_add(&sum->total_us, &row->total_us);
    sum_add(&sum->timed, &row->timed);
    counter_max(&sum->queue_us_max, counter_get(&row->queue_us_max));
    counter_max(&sum->connect_us_max, counter_get(&row->connect_us_max));
    counter_max(&sum->total_us_max, counter_get(&row->total_us_max));
    counter_max(&sum->last_session_s, counter_get(&row->last_session_s));
    sum_add(&sum->response_us, &row->response_us);
    counter_max(&sum->response_us_max, counter_get(&row->response_us_max));
    sum_add(&sum->requests, &row->requests);
    sum_add_all(sum->responses, row->responses, RESPONSE_CLASSES);
    sum_add(&sum->reuses, &row->reuses);
    sum_add(&sum->idle, &row->idle);
    sum_add(&sum->idle_closed, &row->idle_closed);
    sum_add(&sum->budget_refused, &row->budget_refused);
    sum_add(&sum->sticky_kept, &row->sticky_kept);
    sum_add(&sum->sticky_moved, &row->sticky_moved);
    sum_add(&sum->sticky_set, &row->sticky_set);
    sum_add(&sum->denied_responses, &row->denied_responses);
    sum_add(&sum->internal_errors, &row->internal_errors);
}

void backend_counters_sum(const struct backend_counters *rows, uint32_t n,
                          struct backend_counters *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < n; i++)
        backend_counters_add(&rows[i], out);
}

void route_counters_sum(const struct route_counters *rows, uint32_t n, struct route_counters *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < n; i++) {
        const struct route_counters *row = &rows[i];
        sum_add(&out->requests, &row->requests);
        sum_add_all(out->responses, row->responses, RESPONSE_CLASSES);
        sum_add(&out->bytes_in, &row->bytes_in);
        sum_add(&out->bytes_out, &row->bytes_out);
        sum_add(&out->denied, &row->denied);
        sum_add(&out->timed, &row->timed);
        sum_add(&out->total_us, &row->total_us);
        counter_max(&out->total_us_max, counter_get(&row->total_us_max));
    }
}
