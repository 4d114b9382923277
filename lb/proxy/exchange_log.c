/* exchange_log.c - what is counted and said of an exchange when it is over. */
#include "lb/base/log.h"
#include "lb/net/stream.h"
#include "lb/obs/flight.h"
#include "lb/obs/histogram.h"
#include "lb/obs/phases.h"
#include "lb/obs/reasons.h"
#include "lb/proxy/exchange_priv.h"
#include "lb/upstream/stick.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static uint64_t since(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

/* An answer may come before the request is complete. */
static uint64_t response_us(const struct exchange *x)
{
    return x->sent_us != 0 ? since(x->sent_us, x->answered_us) : 0;
}

static void count_listener(struct exchange *x, uint64_t total_us)
{
    struct listener_counters *l = exchange_listener_row(x);
    struct listener_stats *stats = x->session->listener->stats;

    counter_add(&l->bytes_in, x->in_bytes);
    counter_add(&l->bytes_out, x->out_bytes);
    if (x->status != 0) {
        counter_add(&l->responses[response_class_of(x->status)], 1);
        histogram_add(&stats->latency[x->proxy->worker], total_us);
    }
    switch ((enum session_end)x->end) {
    case END_BAD_REQUEST:
    case END_TOO_LARGE:
    case END_HEAD_TIMEOUT:
    case END_CLIENT_LEFT_HEAD:
        counter_add(&l->bad_requests, 1);
        break;
    case END_CLIENT_ABORT:
    case END_CLIENT_GONE:
    case END_CLIENT_LEFT_WAIT:
    case END_CLIENT_LEFT_QUEUE:
        counter_add(&l->client_aborts, 1);
        break;
    case END_SERVER_ABORT:
        counter_add(&l->server_aborts, 1);
        break;
    case END_INTERNAL:
        counter_add(&l->internal_errors, 1);
        break;
    default:
        break;
    }
}

static void count_route(struct exchange *x, uint64_t total_us)
{
    if (x->route == NULL)
        return;
    struct route_counters *r = &x->route->rows[x->proxy->worker];

    counter_add(&r->bytes_in, x->in_bytes);
    counter_add(&r->bytes_out, x->out_bytes);
    if (x->end == END_DENIED)
        counter_add(&r->denied, 1);
    if (x->status == 0)
        return;
    counter_add(&r->responses[response_class_of(x->status)], 1);
    counter_add(&r->timed, 1);
    counter_add(&r->total_us, total_us);
    counter_max(&r->total_us_max, total_us);
}

static void count_backend(struct exchange *x, uint64_t total_us)
{
    struct backend_counters *b = exchange_backend_row(x);
    const struct backend_slot *slot = x->seek.slot ? x->seek.slot : x->seek.last_slot;

    if (b == NULL)
        return;
    counter_add(&b->bytes_in, x->wire_out_bytes);
    counter_add(&b->bytes_out, x->wire.in_bytes);
    switch ((enum session_end)x->end) {
    case END_QUEUE_TIMEOUT:
    case END_QUEUE_FULL:
        counter_add(&b->queue_timeouts, 1);
        break;
    case END_CLIENT_ABORT:
    case END_CLIENT_GONE:
    case END_CLIENT_LEFT_WAIT:
    case END_CLIENT_LEFT_QUEUE:
        counter_add(&b->client_aborts, 1);
        break;
    case END_INTERNAL:
        counter_add(&b->internal_errors, 1);
        break;
    default:
        break;
    }
    if (x->answered_us == 0)
        return;
    uint64_t took_us = response_us(x);
    uint64_t queue_us = x->seek.queue_us == UINT32_MAX ? 0 : x->seek.queue_us;
    uint64_t connect_us = x->seek.connect_us == UINT32_MAX ? 0 : x->seek.connect_us;

    counter_add(&b->timed, 1);
    counter_add(&b->queue_us, queue_us);
    counter_add(&b->connect_us, connect_us);
    counter_add(&b->response_us, took_us);
    counter_add(&b->total_us, total_us);
    counter_max(&b->queue_us_max, queue_us);
    counter_max(&b->connect_us_max, connect_us);
    counter_max(&b->response_us_max, took_us);
    counter_max(&b->total_us_max, total_us);
    if (slot != NULL && pool_member(x->pool, slot)->latency != NULL)
        histogram_add(&pool_member(x->pool, slot)->latency[x->proxy->worker], took_us);
    if (x->pool->latency != NULL)
        histogram_add(&x->pool->latency[x->proxy->worker], queue_us + connect_us + took_us);
}

/* Queue and connect are the same for all that the request has passed; the other times begin with
 * its first byte for listener and route, when it was given to the pool for that, and when it was
 * sent for the backend. */
static void count_phases(struct exchange *x, uint64_t total_us)
{
    const struct backend_slot *slot = x->seek.slot ? x->seek.slot : x->seek.last_slot;
    uint32_t worker = x->proxy->worker;
    struct phase_times t = {{PHASE_NONE, PHASE_NONE, PHASE_NONE, PHASE_NONE}};
    uint64_t before_us = 0;

    if (x->status == 0)
        return;
    t.us[PHASE_TOTAL] = phase_us(total_us);
    if (x->answered_us != 0)
        t.us[PHASE_FIRST_BYTE] = phase_us(since(x->begun_us, x->answered_us));
    if (x->pool != NULL) {
        t.us[PHASE_QUEUE] = x->seek.queue_us;
        if (!x->wire.reused)
            t.us[PHASE_CONNECT] = x->seek.connect_us;
        for (enum phase p = PHASE_QUEUE; p <= PHASE_CONNECT; p++)
            before_us += t.us[p] != PHASE_NONE ? t.us[p] : 0;
    }
    if (x->session->listener->stats->phases != NULL)
        phases_add(&x->session->listener->stats->phases[worker], &t);
    if (x->route != NULL && x->route->phases != NULL)
        phases_add(&x->route->phases[worker], &t);
    if (slot == NULL || x->answered_us == 0)
        return;
    uint64_t took_us = response_us(x), body_us = since(x->answered_us, exchange_now_us(x));
    t.us[PHASE_FIRST_BYTE] = phase_us(before_us + took_us);
    t.us[PHASE_TOTAL] = phase_us(before_us + took_us + body_us);
    phases_add(&x->pool->phases[worker], &t);
    t.us[PHASE_FIRST_BYTE] = phase_us(took_us);
    t.us[PHASE_TOTAL] = phase_us(took_us + body_us);
    phases_add(&pool_member(x->pool, slot)->phases[worker], &t);
}

/* A backend's mistakes are its pool's, all others the listener's. */
static void count_reason(struct exchange *x)
{
    bool of_backend = x->end == END_BAD_RESPONSE || x->bad_payload_of_backend;

    if (x->reason == NULL)
        return;
    if (of_backend && x->pool != NULL && x->pool->reasons != NULL)
        reason_count(&x->pool->reasons[x->proxy->worker], x->reason);
    else
        reason_count(&x->session->listener->stats->reasons[x->proxy->worker], x->reason);
}

void exchange_count(struct exchange *x)
{
    uint64_t total_us = since(x->begun_us, exchange_now_us(x));

    count_reason(x);

    count_listener(x, total_us);
    count_route(x, total_us);
    count_backend(x, total_us);
    count_phases(x, total_us);
}

const struct tls_facts *exchange_tls(struct exchange *x)
{
    struct stream *s = &exchange_http_session(x)->stream;

    if (x->tls != NULL || !stream_is_tls(s))
        return x->tls;
    x->tls = arena_zalloc(&x->arena, sizeof(*x->tls));
    if (x->tls != NULL && !stream_tls_facts(s, x->tls))
        x->tls = NULL;
    return x->tls;
}

bool exchange_add_hsts(struct exchange *x)
{
    const char *value = x->listener->hsts;

    return value == NULL || !exchange_is_tls(x) ||
           http_head_set(&x->response, &x->arena, STR("Strict-Transport-Security"),
                         str_of(value)) == 0;
}

static int64_t or_none(uint32_t us)
{
    return us == UINT32_MAX ? -1 : (int64_t)us;
}

static const char *error_text(const struct exchange *x)
{
    switch ((enum session_end)x->end) {
    case END_CONNECT_FAILED:
    case END_CONNECT_TIMEOUT:
    case END_SERVER_CLOSED:
    case END_SERVER_ABORT:
        return seek_error_text(&x->seek, x->error);
    default:
        return strerror(-x->error);
    }
}

/* What was seen, beside the way it ended. */
static const char *detail_of(struct exchange *x)
{
    const char *tls = stream_tls_reason(&exchange_http_session(x)->stream);

    if ((x->end == END_TLS_FAILED || x->error == -EPROTO) && tls[0] != '\0')
        return tls;
    return x->error != 0 ? error_text(x) : "";
}

void exchange_flight(struct exchange *x)
{
    const struct session *s = x->session;
    const struct backend_slot *slot = x->seek.slot ? x->seek.slot : x->seek.last_slot;
    uint64_t now = exchange_now_us(x), total_us = since(x->begun_us, now);
    /* Of an upgraded connection the time till then counts: it may be open for days. */
    uint64_t slow_us = x->status == 101 ? since(x->begun_us, x->answered_us) : total_us;
    bool failed = flight_is_failure((enum session_end)x->end, x->status);
    struct addr peer;
    char text[ADDR_TEXT_MAX];

    if (!flight_wants(x->proxy->flight, failed, slow_us, now))
        return;
    session_client_address(x->session, -1, &peer);
    struct flight_record r = {
        .id = s->id,
        .sequence = x->sequence,
        .worker = x->proxy->worker,
        .failed = failed,
        .wall_us = session_wall_us(s, now),
        .end_us = now,
        .slow_us = slow_us,
        .end = (enum session_end)x->end,
        .status = x->status,
        .queue_us = x->pool ? or_none(x->seek.queue_us) : -1,
        .connect_us = x->pool ? (x->wire.reused ? 0 : or_none(x->seek.connect_us)) : -1,
        .first_us = x->answered_us ? (int64_t)since(x->begun_us, x->answered_us) : -1,
        .total_us = total_us,
        .bytes_in = x->in_bytes,
        .bytes_out = x->out_bytes,
        .retries = x->seek.retries,
    };
    flight_set_text(r.client, sizeof(r.client),
                    str_of(addr_format(x->client ? x->client : &peer, text)));
    snprintf(r.listener, sizeof(r.listener), "%s", s->listener->conf->name);
    snprintf(r.route, sizeof(r.route), "%s", x->route ? x->route->name : "");
    snprintf(r.pool, sizeof(r.pool), "%s", x->pool ? x->pool->name : "");
    snprintf(r.backend, sizeof(r.backend), "%s", slot ? slot->name : "");
    if (x->request.mem != NULL) {
        flight_set_text(r.method, sizeof(r.method), http_str(&x->request, x->request.method_text));
        flight_set_text(r.target, sizeof(r.target), http_str(&x->request, x->request.target));
    }
    const char *code = x->reason != NULL ? x->reason : "", *seen = detail_of(x);
    snprintf(r.why, sizeof(r.why), "%s%s%s", code, code[0] != '\0' && seen[0] != '\0' ? ": " : "",
             seen);
    flight_add(x->proxy->flight, &r);
}

void exchange_log(struct exchange *x)
{
    struct proxy_listener *l = x->session->listener;
    const struct backend_slot *slot = x->seek.slot ? x->seek.slot : x->seek.last_slot;
    struct addr peer, local, *backend = NULL;
    char line[ACCESS_LINE_MAX];

    if (l->sink == NULL)
        return;
    session_client_address(x->session, -1, &peer);
    if (access_format_needs(l->format) & ACCESS_NEEDS_LOCAL)
        session_local_address(x->session, exchange_http_session(x)->stream.fd, &local);
    else
        peer_get(&(struct peer){.family = AF_UNIX}, &local);
    if (slot != NULL)
        backend = atomic_load_explicit(&slot->address, memory_order_acquire); /* in an epoch */
    const struct access_http http = {
        .request = x->request.mem != NULL ? &x->request : NULL,
        .response = x->answered_us != 0 ? &x->response : NULL,
        .request_id = x->request_id,
        .traceparent = x->traceparent,
        .user = x->fx != NULL && x->fx->user.p != NULL ? x->fx->user : x->user,
        .scheme = x->scheme,
        .route = x->route ? x->route->name : NULL,
        .reason = x->reason,
        .status = x->status,
        .cookie_in = x->cookie_in,
        .cookie_out = x->cookie_out,
        .idle_us = (int64_t)x->idle_us,
        .head_us = x->headed_us ? (int64_t)since(x->begun_us, x->headed_us) : -1,
        .response_us = x->answered_us ? (int64_t)response_us(x) : -1,
        .body_bytes_in = x->in_payload,
        .body_bytes_out = x->out_payload,
        .sequence = x->sequence,
        .reused = x->wire.reused,
    };
    struct access_record r = {
        .id = x->session->id,
        .client = x->client ? x->client : &peer,
        .listener_addr = &local,
        .backend_addr = backend,
        .listener = l->conf->name,
        .pool = x->pool ? x->pool->name : NULL,
        .backend = slot ? slot->name : NULL,
        .start_wall_us = session_wall_us(x->session, x->begun_us),
        .queue_us = x->pool ? or_none(x->seek.queue_us) : -1,
        .connect_us = x->pool ? (x->wire.reused ? 0 : or_none(x->seek.connect_us)) : -1,
        .total_us = since(x->begun_us, exchange_now_us(x)),
        .bytes_in = x->in_bytes,
        .bytes_out = x->out_bytes,
        .retries = x->seek.retries,
        .redispatched = x->seek.retries > 0,
        .end = (enum session_end)x->end,
        .actconn = atomic_load_explicit(&x->proxy->shared->connections, memory_order_relaxed),
        .feconn = atomic_load_explicit(&l->stats->current, memory_order_relaxed),
        .http = &http,
    };
    if ((access_format_needs(l->format) & ACCESS_NEEDS_TLS) != 0)
        r.tls = exchange_tls(x);
    if (x->pool != NULL) {
        r.beconn = atomic_load_explicit(&x->pool->kept->current, memory_order_relaxed);
        r.backend_queue = atomic_load_explicit(&x->pool->kept->waiting, memory_order_relaxed);
    }
    if (slot != NULL)
        r.srv_conn = atomic_load_explicit(&slot->in_flight, memory_order_relaxed);
    snprintf(r.detail, sizeof(r.detail), "%s", detail_of(x));
    size_t n = access_format_write(l->format, &r, line);
    log_sink_write(l->sink, line, n);
}
