/* metrics.c - see metrics.h. Sums are taken row by row with relaxed loads: each number is one that
 * was true a moment ago, numbers of different rows may be a few events apart. */
#include "lb/obs/metrics.h"

#include <string.h>

static void sum_add(counter *sum, const counter *c)
{
    counter_add(sum, counter_get(c));
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
    sum_add(&sum->client_aborts, &row->client_aborts);
    sum_add(&sum->server_aborts, &row->server_aborts);
    sum_add(&sum->queued, &row->queued);
    sum_add(&sum->queue_timeouts, &row->queue_timeouts);
    sum_add(&sum->queue_us, &row->queue_us);
    sum_add(&sum->connect_us, &row->connect_us);
    sum_add(&sum->total_us, &row->total_us);
    sum_add(&sum->timed, &row->timed);
    counter_max(&sum->queue_us_max, counter_get(&row->queue_us_max));
    counter_max(&sum->connect_us_max, counter_get(&row->connect_us_max));
    counter_max(&sum->total_us_max, counter_get(&row->total_us_max));
    counter_max(&sum->last_session_s, counter_get(&row->last_session_s));
}

void backend_counters_sum(const struct backend_counters *rows, uint32_t n,
                          struct backend_counters *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < n; i++)
        backend_counters_add(&rows[i], out);
}
