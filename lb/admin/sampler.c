/* sampler.c - see sampler.h */
#include "lb/admin/sampler.h"

#include "health/table.h"
#include "lb/admin/admin_ops.h"
#include "lb/admin/http_counts.h"
#include "lb/base/alloc.h"
#include "lb/upstream/pool.h"

#include <math.h>
#include <stdlib.h>

#define AVERAGE_SESSIONS 1024 /* HAProxy's TIME_STATS_SAMPLES */

struct averages {
    uint64_t timed;                                             /* sum at the last look */
    uint64_t queue_us, connect_us, response_us, total_us;       /* likewise */
    uint64_t sessions;                                          /* that the means are made of */
    double queue_mean, connect_mean, response_mean, total_mean; /* us */
};

/* Of what they are, is kept beside them: a reload may have put another one in their place. */
struct listener_state {
    const struct listener_stats *of;
    struct listener_counters base;
    struct sampler_rate sessions, connections, requests;
};

struct backend_state {
    struct backend_counters base;
    struct health_sample health_base;
    struct sampler_rate sessions;
    struct averages averages;
};

struct pool_state {
    const struct pool_kept *of;
    struct backend_state whole;
    struct backend_state *members;
    const struct member_counts **of_members;
    uint32_t n_members;
};

struct sampler {
    const struct admin_ops *ops;
    struct listener_state *listeners;
    struct pool_state *pools;
    uint32_t n_listeners, n_pools;
    struct sampler_rate connections, sessions, bytes_out;
    struct sampler_rate tls, tls_full, backend_tls_full;
    uint64_t busy_us, idle_us;
    uint32_t idle_percent;
    uint64_t ticked_us;
    struct http_counts *http;
};

/* ---- sums ---- */

static void member_sum(const struct pool *p, uint32_t i, struct backend_counters *out)
{
    backend_counters_sum(p->members[i].rows, p->n_rows, out);
}

static void pool_sum(const struct pool *p, struct backend_counters *out)
{
    backend_counters_sum(p->rows, p->n_rows, out);
    for (uint32_t i = 0; i < p->n_members; i++)
        for (uint32_t w = 0; w < p->n_rows; w++)
            backend_counters_add(&p->members[i].rows[w], out);
}

static void subtract(counter *c, const counter *base)
{
    counter_set(c, counter_get(c) - counter_get(base));
}

static void subtract_all(counter *c, const counter *base, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        subtract(&c[i], &base[i]);
}

static void backend_subtract(struct backend_counters *c, const struct backend_counters *base)
{
    subtract(&c->sessions, &base->sessions);
    subtract(&c->bytes_in, &base->bytes_in);
    subtract(&c->bytes_out, &base->bytes_out);
    subtract(&c->connects, &base->connects);
    subtract(&c->connect_errors, &base->connect_errors);
    subtract(&c->response_errors, &base->response_errors);
    subtract(&c->retries, &base->retries);
    subtract(&c->redispatches, &base->redispatches);
    subtract(&c->tls_handshakes, &base->tls_handshakes);
    subtract(&c->tls_resumed, &base->tls_resumed);
    subtract(&c->tls_failures, &base->tls_failures);
    subtract(&c->client_aborts, &base->client_aborts);
    subtract(&c->server_aborts, &base->server_aborts);
    subtract(&c->queued, &base->queued);
    subtract(&c->queue_timeouts, &base->queue_timeouts);
    subtract(&c->queue_full, &base->queue_full);
    subtract(&c->requests, &base->requests);
    subtract_all(c->responses, base->responses, RESPONSE_CLASSES);
    subtract(&c->reuses, &base->reuses);
    subtract(&c->idle_closed, &base->idle_closed);
    subtract(&c->budget_refused, &base->budget_refused);
    subtract(&c->sticky_kept, &base->sticky_kept);
    subtract(&c->sticky_moved, &base->sticky_moved);
    subtract(&c->sticky_set, &base->sticky_set);
    subtract(&c->denied_responses, &base->denied_responses);
    subtract(&c->internal_errors, &base->internal_errors);
}

static void listener_subtract(struct listener_counters *c, const struct listener_counters *base)
{
    subtract(&c->sessions, &base->sessions);
    subtract(&c->bytes_in, &base->bytes_in);
    subtract(&c->bytes_out, &base->bytes_out);
    subtract(&c->denied, &base->denied);
    subtract(&c->bad_requests, &base->bad_requests);
    subtract(&c->accept_pauses, &base->accept_pauses);
    subtract(&c->tls_handshakes, &base->tls_handshakes);
    subtract(&c->tls_resumed, &base->tls_resumed);
    subtract(&c->tls_failures, &base->tls_failures);
    subtract(&c->tls_kernel, &base->tls_kernel);
    subtract(&c->requests, &base->requests);
    subtract_all(c->responses, base->responses, RESPONSE_CLASSES);
    subtract(&c->denied_requests, &base->denied_requests);
    subtract(&c->denied_responses, &base->denied_responses);
    subtract(&c->intercepted, &base->intercepted);
    subtract(&c->client_aborts, &base->client_aborts);
    subtract(&c->server_aborts, &base->server_aborts);
    subtract(&c->internal_errors, &base->internal_errors);
}

/* ---- rates and averages ---- */

static void rate_tick(struct sampler_rate *r, uint64_t sum, uint64_t elapsed_us)
{
    /* A sum over all is less than before when one of them is gone. */
    uint64_t more = sum > r->last ? sum - r->last : 0;
    uint64_t rate = (more * 1000000 + elapsed_us / 2) / elapsed_us;

    r->last = sum;
    r->now = rate > UINT32_MAX ? UINT32_MAX : (uint32_t)rate;
    if (r->now > r->max)
        r->max = r->now;
}

/* Moves a mean by what the last `n` sessions, `sum` together, add to it. */
static void mean_move(double *mean, uint64_t sum, uint64_t n, double share)
{
    *mean += ((double)sum / (double)n - *mean) * share;
}

/* The plain mean at first; then older sessions fade as if each new one replaced 1/1024 of it. */
static void averages_move(struct averages *a, const struct backend_counters *sums)
{
    uint64_t timed = counter_get(&sums->timed), n = timed - a->timed;
    uint64_t queue = counter_get(&sums->queue_us), connect = counter_get(&sums->connect_us),
             response = counter_get(&sums->response_us), total = counter_get(&sums->total_us);

    if (n == 0)
        return;
    a->sessions += n;
    double share = a->sessions <= AVERAGE_SESSIONS ? (double)n / (double)a->sessions
                                                   : 1 - pow(1 - 1.0 / AVERAGE_SESSIONS, (double)n);
    mean_move(&a->queue_mean, queue - a->queue_us, n, share);
    mean_move(&a->connect_mean, connect - a->connect_us, n, share);
    mean_move(&a->response_mean, response - a->response_us, n, share);
    mean_move(&a->total_mean, total - a->total_us, n, share);
    a->timed = timed;
    a->queue_us = queue;
    a->connect_us = connect;
    a->response_us = response;
    a->total_us = total;
}

static uint32_t to_ms(double us)
{
    double ms = us / 1000 + 0.5;
    return ms >= UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static void workers_tick(struct sampler *s)
{
    uint64_t busy = 0, idle = 0;

    for (uint32_t i = 0; i < s->ops->n_workers; i++) {
        busy += counter_get(&s->ops->workers[i].busy_us);
        idle += counter_get(&s->ops->workers[i].idle_us);
    }
    uint64_t busy_now = busy - s->busy_us, idle_now = idle - s->idle_us;
    s->busy_us = busy;
    s->idle_us = idle;
    if (busy_now + idle_now > 0) /* else all of them are in one long wait: nothing to do */
        s->idle_percent = (uint32_t)(idle_now * 100 / (busy_now + idle_now));
    else
        s->idle_percent = 100;
}

static void listeners_tick(struct sampler *s, uint64_t elapsed_us)
{
    uint64_t sessions = 0, connections = 0, bytes_out = 0, tls = 0, resumed = 0;

    for (uint32_t i = 0; i < s->ops->n_listeners; i++) {
        struct listener_counters sums;
        listener_counters_sum(s->ops->listeners[i], &sums);
        uint64_t admitted = counter_get(&sums.sessions);
        uint64_t accepted = admitted + counter_get(&sums.denied);
        rate_tick(&s->listeners[i].sessions, admitted, elapsed_us);
        rate_tick(&s->listeners[i].connections, accepted, elapsed_us);
        rate_tick(&s->listeners[i].requests, counter_get(&sums.requests), elapsed_us);
        sessions += admitted;
        connections += accepted;
        bytes_out += counter_get(&sums.bytes_out);
        tls += counter_get(&sums.tls_handshakes);
        resumed += counter_get(&sums.tls_resumed);
    }
    rate_tick(&s->sessions, sessions, elapsed_us);
    rate_tick(&s->connections, connections, elapsed_us);
    rate_tick(&s->bytes_out, bytes_out, elapsed_us);
    rate_tick(&s->tls, tls, elapsed_us);
    rate_tick(&s->tls_full, tls - resumed, elapsed_us);
}

static void backend_tick(struct backend_state *state, const struct backend_counters *sums,
                         uint64_t elapsed_us)
{
    rate_tick(&state->sessions, counter_get(&sums->sessions), elapsed_us);
    averages_move(&state->averages, sums);
}

/* Returns its full TLS handshakes. */
static uint64_t pool_tick(const struct pool *p, struct pool_state *state, uint64_t elapsed_us)
{
    struct backend_counters whole;

    backend_counters_sum(p->rows, p->n_rows, &whole);
    for (uint32_t i = 0; i < p->n_members; i++) {
        struct backend_counters sums;
        member_sum(p, i, &sums);
        backend_tick(&state->members[i], &sums, elapsed_us);
        backend_counters_add(&sums, &whole);
    }
    backend_tick(&state->whole, &whole, elapsed_us);
    return counter_get(&whole.tls_handshakes) - counter_get(&whole.tls_resumed);
}

void sampler_tick(struct sampler *s, uint64_t now_us)
{
    uint64_t elapsed_us = now_us - s->ticked_us, tls_full = 0;

    if (elapsed_us == 0)
        return;
    s->ticked_us = now_us;
    workers_tick(s);
    listeners_tick(s, elapsed_us);
    for (uint32_t i = 0; i < s->ops->n_pools; i++)
        tls_full += pool_tick(s->ops->pools[i], &s->pools[i], elapsed_us);
    rate_tick(&s->backend_tls_full, tls_full, elapsed_us);
}

/* ---- life ---- */

static void pool_make(struct pool_state *state, const struct pool *p)
{
    state->of = p->kept;
    state->n_members = p->n_members;
    state->members = xaligned((p->n_members + 1) * sizeof(state->members[0]));
    state->of_members = xcalloc(p->n_members + 1, sizeof(state->of_members[0]));
    for (uint32_t i = 0; i < p->n_members; i++)
        state->of_members[i] = p->members[i].counts;
}

static void pool_take(struct pool_state *state, const struct pool_state *old)
{
    state->whole = old->whole;
    for (uint32_t i = 0; i < state->n_members; i++)
        for (uint32_t k = 0, n = old->n_members; k < n; k++)
            if (old->of_members[(i + k) % n] == state->of_members[i]) { /* mostly where it was */
                state->members[i] = old->members[(i + k) % n];
                break;
            }
}

static void make(struct sampler *s)
{
    const struct admin_ops *ops = s->ops;

    s->n_listeners = ops->n_listeners;
    s->n_pools = ops->n_pools;
    s->listeners = xaligned((ops->n_listeners + 1) * sizeof(s->listeners[0]));
    s->pools = xaligned((ops->n_pools + 1) * sizeof(s->pools[0]));
    for (uint32_t i = 0; i < ops->n_listeners; i++)
        s->listeners[i].of = ops->listeners[i];
    for (uint32_t i = 0; i < ops->n_pools; i++)
        pool_make(&s->pools[i], ops->pools[i]);
}

static void fini(struct sampler *s)
{
    for (uint32_t i = 0; i < s->n_pools; i++) {
        free(s->pools[i].members);
        free(s->pools[i].of_members);
    }
    free(s->pools);
    free(s->listeners);
}

struct sampler *sampler_new(const struct admin_ops *ops, uint64_t now_us)
{
    struct sampler *s = xaligned(sizeof(*s));

    s->ops = ops;
    s->ticked_us = now_us;
    s->idle_percent = 100;
    make(s);
    s->http = http_counts_new(ops);
    return s;
}

void sampler_follow(struct sampler *s)
{
    struct sampler old = *s;

    make(s);
    for (uint32_t i = 0; i < s->n_listeners; i++)
        for (uint32_t k = 0; k < old.n_listeners; k++)
            if (old.listeners[k].of == s->listeners[i].of)
                s->listeners[i] = old.listeners[k];
    for (uint32_t i = 0; i < s->n_pools; i++)
        for (uint32_t k = 0; k < old.n_pools; k++)
            if (old.pools[k].of == s->pools[i].of)
                pool_take(&s->pools[i], &old.pools[k]);
    fini(&old);
    http_counts_follow(s->http);
}

void sampler_free(struct sampler **sampler)
{
    struct sampler *s = *sampler;

    if (s == NULL)
        return;
    fini(s);
    http_counts_free(&s->http);
    free(s);
    *sampler = NULL;
}

/* ---- clearing ---- */

static void clear_row_maxima(struct backend_counters *rows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        counter_set(&rows[i].queue_us_max, 0);
        counter_set(&rows[i].connect_us_max, 0);
        counter_set(&rows[i].response_us_max, 0);
        counter_set(&rows[i].total_us_max, 0);
    }
}

/* A maximum that starts anew is what there is now, as HAProxy's. */
static void clear_max(counter *max, const _Atomic uint32_t *current)
{
    counter_set(max, atomic_load_explicit(current, memory_order_relaxed));
}

static void clear_maxima(struct sampler *s)
{
    s->connections.max = s->sessions.max = s->bytes_out.max = 0;
    s->tls.max = s->tls_full.max = s->backend_tls_full.max = 0;
    for (uint32_t i = 0; i < s->ops->n_listeners; i++) {
        struct listener_stats *l = s->ops->listeners[i];
        clear_max(&l->current_max, &l->current);
        s->listeners[i].sessions.max = s->listeners[i].connections.max = 0;
        s->listeners[i].requests.max = 0;
    }
    for (uint32_t i = 0; i < s->ops->n_pools; i++) {
        struct pool *p = s->ops->pools[i];
        clear_max(&p->kept->current_max, &p->kept->current);
        clear_max(&p->kept->waiting_max, &p->kept->waiting);
        clear_row_maxima(p->rows, p->n_rows);
        s->pools[i].whole.sessions.max = 0;
        for (uint32_t m = 0; m < p->n_members; m++) {
            clear_max(&p->members[m].slot->in_flight_max, &p->members[m].slot->in_flight);
            clear_row_maxima(p->members[m].rows, p->n_rows);
            s->pools[i].members[m].sessions.max = 0;
        }
    }
}

static void averages_restart(struct averages *a, const struct backend_counters *sums)
{
    averages_move(a, sums); /* takes over the sums */
    a->sessions = 0;
    a->queue_mean = a->connect_mean = a->response_mean = a->total_mean = 0;
}

static void read_member_health(const struct pool *p, uint32_t i, struct health_sample *out)
{
    struct backend_info info;

    slot_info(p->members[i].slot, &info);
    *out = (struct health_sample){info.check_fails, info.transitions_down, info.downtime_us};
}

static void read_pool_health(const struct pool *p, struct health_sample *out)
{
    *out = (struct health_sample){0, counter_get(&p->kept->down_transitions),
                                  counter_get(&p->kept->downtime_us)};
}

static void take_baselines(struct sampler *s)
{
    for (uint32_t i = 0; i < s->ops->n_listeners; i++)
        listener_counters_sum(s->ops->listeners[i], &s->listeners[i].base);
    for (uint32_t i = 0; i < s->ops->n_pools; i++) {
        const struct pool *p = s->ops->pools[i];
        struct pool_state *state = &s->pools[i];
        pool_sum(p, &state->whole.base);
        read_pool_health(p, &state->whole.health_base);
        averages_restart(&state->whole.averages, &state->whole.base);
        for (uint32_t m = 0; m < p->n_members; m++) {
            member_sum(p, m, &state->members[m].base);
            read_member_health(p, m, &state->members[m].health_base);
            averages_restart(&state->members[m].averages, &state->members[m].base);
        }
    }
}

void sampler_clear(struct sampler *s, bool all)
{
    clear_maxima(s);
    http_counts_clear(s->http, all);
    if (all)
        take_baselines(s);
}

/* ---- what is shown ---- */

void sampler_listener(struct sampler *s, uint32_t listener, struct listener_sample *out)
{
    const struct listener_state *state = &s->listeners[listener];

    listener_counters_sum(s->ops->listeners[listener], &out->sums);
    listener_subtract(&out->sums, &state->base);
    out->sessions = state->sessions;
    out->connections = state->connections;
    out->requests = state->requests;
}

/* The averages take in what has ended since the last tick, so that they agree with the sums. */
static void show(struct backend_state *state, struct backend_sample *out)
{
    averages_move(&state->averages, &out->sums);
    backend_subtract(&out->sums, &state->base);
    out->sessions = state->sessions;
    out->queue_ms = to_ms(state->averages.queue_mean);
    out->connect_ms = to_ms(state->averages.connect_mean);
    out->response_ms = to_ms(state->averages.response_mean);
    out->total_ms = to_ms(state->averages.total_mean);
}

void sampler_pool(struct sampler *s, uint32_t pool, struct backend_sample *out)
{
    pool_sum(s->ops->pools[pool], &out->sums);
    show(&s->pools[pool].whole, out);
}

void sampler_member(struct sampler *s, uint32_t pool, uint32_t member, struct backend_sample *out)
{
    member_sum(s->ops->pools[pool], member, &out->sums);
    show(&s->pools[pool].members[member], out);
}

static void health_subtract(struct health_sample *h, const struct health_sample *base)
{
    h->check_fails -= base->check_fails;
    h->transitions_down -= base->transitions_down;
    h->downtime_us -= base->downtime_us;
}

void sampler_member_health(struct sampler *s, uint32_t pool, uint32_t member,
                           struct health_sample *out)
{
    read_member_health(s->ops->pools[pool], member, out);
    health_subtract(out, &s->pools[pool].members[member].health_base);
}

void sampler_pool_health(struct sampler *s, uint32_t pool, struct health_sample *out)
{
    read_pool_health(s->ops->pools[pool], out);
    health_subtract(out, &s->pools[pool].whole.health_base);
}

void sampler_process(const struct sampler *s, struct process_sample *out)
{
    *out = (struct process_sample){.connections = s->connections,
                                   .sessions = s->sessions,
                                   .bytes_out = s->bytes_out,
                                   .tls = s->tls,
                                   .tls_full = s->tls_full,
                                   .backend_tls_full = s->backend_tls_full,
                                   .idle_percent = s->idle_percent};
}

const struct http_counts *sampler_http(const struct sampler *s)
{
    return s->http;
}
