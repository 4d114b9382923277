/* tcp_log.c - the end of a session of mode tcp: what is counted, the line in the access log. */
#include "lb/base/log.h"
#include "lb/base/tls_facts.h"
#include "lb/obs/flight.h"
#include "lb/obs/phases.h"
#include "lb/proxy/tcp_priv.h"

#include <stdio.h>
#include <string.h>

static void count_times(struct tcp_session *s, struct backend_counters *row, uint64_t total_us)
{
    uint64_t queue_us = s->queue_us == UINT32_MAX ? 0 : s->queue_us;

    if (s->connect_us == UINT32_MAX)
        return;
    counter_add(&row->timed, 1);
    counter_add(&row->queue_us, queue_us);
    counter_add(&row->connect_us, s->connect_us);
    counter_add(&row->total_us, total_us);
    counter_max(&row->queue_us_max, queue_us);
    counter_max(&row->connect_us_max, s->connect_us);
    counter_max(&row->total_us_max, total_us);
}

static void count_phases(struct tcp_session *s)
{
    const struct backend_slot *slot = tcp_used_slot(s);
    struct phase_times t = {{s->queue_us, s->connect_us, PHASE_NONE, PHASE_NONE}};
    uint32_t worker = s->base.proxy->worker;

    if (s->pool == NULL || s->connect_us == UINT32_MAX)
        return;
    t.us[PHASE_TOTAL] = phase_us(tcp_now_us(s) - s->base.accepted_us);
    if (s->base.listener->stats->phases != NULL)
        phases_add(&s->base.listener->stats->phases[worker], &t);
    phases_add(&s->pool->phases[worker], &t);
    if (slot != NULL)
        phases_add(&pool_member(s->pool, slot)->phases[worker], &t);
}

static void count_for_listener(struct tcp_session *s)
{
    struct listener_counters *row = tcp_listener_row(s);

    switch ((enum session_end)s->end) {
    case END_TLS_FAILED:
    case END_TLS_TIMEOUT:
        if (s->base.listener->conf->tls != NULL)
            counter_add(&row->tls_failures, 1);
        counter_add(&row->bad_requests, 1);
        break;
    case END_BAD_PROXY_HEADER:
    case END_PROXY_TIMEOUT:
    case END_BAD_HELLO:
    case END_NO_NAME:
        counter_add(&row->bad_requests, 1);
        break;
    default:
        break;
    }
}

static void count_for_backend(struct tcp_session *s, struct backend_counters *row)
{
    switch ((enum session_end)s->end) {
    case END_CLIENT_ABORT:
    case END_CLIENT_GONE:
        counter_add(&row->client_aborts, 1);
        break;
    case END_SERVER_ABORT:
        counter_add(&row->server_aborts, 1);
        break;
    case END_QUEUE_TIMEOUT:
    case END_QUEUE_FULL:
        counter_add(&row->queue_timeouts, 1);
        break;
    default:
        break;
    }
    count_times(s, row, tcp_now_us(s) - s->base.accepted_us);
}

static void fill_places(struct access_record *r, struct tcp_session *s)
{
    const struct proxy_listener *l = s->base.listener;
    const struct backend_slot *slot = tcp_used_slot(s);
    const struct pool *pool = s->pool;

    r->actconn = atomic_load_explicit(&s->base.proxy->shared->connections, memory_order_relaxed);
    r->feconn = atomic_load_explicit(&l->stats->current, memory_order_relaxed);
    if (pool != NULL) {
        r->pool = pool->name;
        r->beconn = atomic_load_explicit(&pool->kept->current, memory_order_relaxed);
        r->backend_queue = atomic_load_explicit(&pool->kept->waiting, memory_order_relaxed);
    }
    if (slot != NULL) {
        r->backend = slot->name;
        r->backend_addr =
            atomic_load_explicit(&slot->address, memory_order_acquire); /* in an epoch */
        r->srv_conn = atomic_load_explicit(&slot->in_flight, memory_order_relaxed);
    }
}

/* Of a hello that was only looked at the name is known. */
static const struct tls_facts *facts_of(struct tcp_session *s, struct tls_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    if (s->link->facts(s, facts))
        return facts;
    if (s->name == NULL)
        return NULL;
    facts->sni = str_of(s->name);
    return facts;
}

static void write_log(struct tcp_session *s)
{
    struct proxy_listener *l = s->base.listener;
    struct tcp_link_view view;
    struct addr client, local;
    struct tls_facts facts;
    char line[ACCESS_LINE_MAX];

    if (l->sink == NULL)
        return;
    session_client_address(&s->base, s->client_fd, &client);
    session_local_address(&s->base, s->client_fd, &local);
    s->link->look(s, &view);
    struct access_record r = {
        .id = s->base.id,
        .client = &client,
        .listener_addr = &local,
        .listener = l->conf->name,
        .start_wall_us = session_wall_us(&s->base, s->base.accepted_us),
        .queue_us = s->queue_us == UINT32_MAX ? -1 : (int64_t)s->queue_us,
        .connect_us = s->connect_us == UINT32_MAX ? -1 : (int64_t)s->connect_us,
        .total_us = tcp_now_us(s) - s->base.accepted_us,
        .bytes_in = view.bytes_in,
        .bytes_out = view.bytes_out,
        .retries = s->retries,
        .redispatched = s->retries > 0,
        .end = (enum session_end)s->end,
        .tls = facts_of(s, &facts),
    };
    fill_places(&r, s);
    if (s->why != NULL)
        snprintf(r.detail, sizeof(r.detail), "%s", s->why);
    else if (s->error != 0)
        snprintf(r.detail, sizeof(r.detail), "%s", strerror(-s->error));
    size_t n = access_format_write(l->format, &r, line);
    log_sink_write(l->sink, line, n);
}

/* How long a tunnel was open says nothing: slow is who waited long for its backend. */
static void note_flight(struct tcp_session *s)
{
    const struct backend_slot *slot = tcp_used_slot(s);
    uint64_t now = tcp_now_us(s);
    uint64_t slow_us = (s->queue_us == UINT32_MAX ? 0 : s->queue_us) +
                       (uint64_t)(s->connect_us == UINT32_MAX ? 0 : s->connect_us);
    bool failed = flight_is_failure((enum session_end)s->end, 0);
    struct tcp_link_view view;
    struct addr client;
    char text[ADDR_TEXT_MAX];

    if (!flight_wants(s->base.proxy->flight, failed, slow_us, now))
        return;
    session_client_address(&s->base, s->client_fd, &client);
    s->link->look(s, &view);
    struct flight_record r = {
        .id = s->base.id,
        .worker = s->base.proxy->worker,
        .failed = failed,
        .wall_us = session_wall_us(&s->base, now),
        .end_us = now,
        .slow_us = slow_us,
        .end = (enum session_end)s->end,
        .queue_us = s->queue_us == UINT32_MAX ? -1 : (int64_t)s->queue_us,
        .connect_us = s->connect_us == UINT32_MAX ? -1 : (int64_t)s->connect_us,
        .first_us = -1,
        .total_us = now - s->base.accepted_us,
        .bytes_in = view.bytes_in,
        .bytes_out = view.bytes_out,
        .retries = s->retries,
    };
    flight_set_text(r.client, sizeof(r.client), str_of(addr_format(&client, text)));
    snprintf(r.listener, sizeof(r.listener), "%s", s->base.listener->conf->name);
    snprintf(r.pool, sizeof(r.pool), "%s", s->pool ? s->pool->name : "");
    snprintf(r.backend, sizeof(r.backend), "%s", slot ? slot->name : "");
    if (s->why != NULL)
        snprintf(r.why, sizeof(r.why), "%s", s->why);
    else if (s->error != 0)
        snprintf(r.why, sizeof(r.why), "%s", strerror(-s->error));
    flight_add(s->base.proxy->flight, &r);
}

void tcp_log_end(struct tcp_session *s)
{
    struct backend_counters *row = tcp_backend_row(s);

    count_for_listener(s);
    if (row != NULL)
        count_for_backend(s, row);
    count_phases(s);
    note_flight(s);
    write_log(s);
}
