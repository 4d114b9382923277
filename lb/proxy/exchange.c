/* exchange.c - the state machine of an exchange; see exchange.h.
 *
 * exchange_step() reads as a table of contents. Deadlines move with every byte, the timer does not:
 * it is started again when it fires early. */
#include "lb/proxy/exchange.h"

#include "lb/base/log.h"
#include "lb/net/stream.h"
#include "lb/proxy/exchange_priv.h"
#include "lb/proxy/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOKS            4           /* at progress, within a timeout */
#define REPLAY_BYTES_MAX (16u << 10) /* payload that is kept to be sent again */

static const char *const state_names[] = {
    [X_FILTERS] = "filters",
    [X_FILES] = "files",
    [X_SEEKING] = "connecting",
    [X_SENDING] = "waiting",
    [X_RESPONSE_FILTERS] = "filters",
    [X_RESPONSE] = "responding",
    [X_TUNNEL] = "tunnel",
    [X_ANSWER] = "answering",
    [X_OVER] = "closing",
};

const char *exchange_state_name(const struct exchange *x)
{
    if (x->state == X_SEEKING && x->seek.state == SEEK_QUEUED)
        return "queued";
    return state_names[x->state];
}

struct backend_counters *exchange_backend_row(const struct exchange *x)
{
    const struct backend_slot *slot = x->seek.slot ? x->seek.slot : x->seek.last_slot;

    if (x->pool == NULL)
        return NULL;
    if (slot == NULL)
        return &x->pool->rows[x->proxy->worker];
    return &pool_member(x->pool, slot)->rows[x->proxy->worker];
}

void exchange_deadline(struct exchange *x, uint64_t timeout_ms)
{
    struct timer_wheel *w = &x->proxy->loop->timers;

    if (timeout_ms == 0) {
        x->deadline_ms = 0;
        return;
    }
    uint64_t look = exchange_now_ms(x) + timeout_ms / LOOKS + 1;
    x->deadline_ms = exchange_now_ms(x) + timeout_ms;
    if (!timer_pending(&x->timer) || look < x->timer.at_ms)
        timer_start(w, &x->timer, look);
}

void exchange_enter(struct exchange *x, enum exchange_state state)
{
    x->state = (uint8_t)state;
    x->again = true;
    if (state == X_FILTERS || state == X_SEEKING || state == X_RESPONSE_FILTERS || state == X_OVER)
        exchange_deadline(x, 0);
}

void exchange_kick(struct exchange *x)
{
    if (x->in_step)
        x->again = true;
    else
        exchange_step(x);
}

/* ---- ends ---- */

static void drop_chain(struct exchange *x, struct io_buf **chain)
{
    io_buf_put_chain(exchange_io(x), *chain);
    *chain = NULL;
}

static void drop_replay(struct exchange *x)
{
    drop_chain(x, &x->replay);
    x->replay_bytes = 0;
}

void exchange_close_wire(struct exchange *x, bool reset)
{
    if (!wire_is_open(&x->wire))
        return;
    x->wire_out_bytes += x->wire.ops->out_bytes(&x->wire);
    wire_close(&x->wire, reset);
}

/* Leaves the backend: its connection, its place, those who are waited for. */
void exchange_leave_backend(struct exchange *x, bool reset)
{
    struct stream *client = x->ops->raw(x), *file_to = x->ops->file_to(x);

    if (client != NULL && client->rx_state == STREAM_RX_SPLICE)
        stream_splice_stop(client);
    if (file_to != NULL && file_to->sends_file)
        stream_send_file_stop(file_to);
    exchange_close_wire(x, reset);
    exchange_files_leave(x);
    backend_conn_close(&x->dialling, false);
    exchange_h2_stop(x);
    seek_stop(&x->seek);
    if (seek_idle(&x->seek))
        seek_fini(&x->seek);
    drop_replay(x);
    drop_chain(x, &x->request_run.held);
    drop_chain(x, &x->response_run.held);
}

void exchange_finish(struct exchange *x, enum session_end why)
{
    if (x->state == X_OVER)
        return;
    x->end = (uint8_t)why;
    exchange_leave_backend(x, x->cut && wire_is_open(&x->wire));
    exchange_enter(x, X_OVER);
}

static uint16_t status_of(enum session_end why)
{
    switch (why) {
    case END_NO_BACKEND:
    case END_QUEUE_FULL:
    case END_QUEUE_TIMEOUT:
    case END_RESOURCE:
        return 503;
    case END_CONNECT_TIMEOUT:
    case END_RESPONSE_TIMEOUT:
        return 504;
    case END_CONNECT_FAILED:
    case END_SERVER_CLOSED:
    case END_SERVER_ABORT:
    case END_BAD_RESPONSE:
    case END_DOWN:
        return 502;
    case END_BODY_TIMEOUT:
    case END_HEAD_TIMEOUT:
        return 408;
    case END_BAD_BODY:
    case END_BAD_REQUEST:
        return 400;
    case END_TOO_LARGE:
        return 413;
    case END_INTERNAL:
        return 500;
    default:
        return 0;
    }
}

static const char *reason_of(enum session_end why)
{
    switch (why) {
    case END_NO_BACKEND:
        return "no-backend";
    case END_QUEUE_FULL:
        return "queue-full";
    case END_QUEUE_TIMEOUT:
        return "queue-timeout";
    case END_RESOURCE:
        return "out-of-resources";
    case END_CONNECT_TIMEOUT:
        return "connect-timeout";
    case END_CONNECT_FAILED:
        return "connect-failed";
    case END_RESPONSE_TIMEOUT:
        return "response-timeout";
    case END_SERVER_CLOSED:
        return "server-closed";
    case END_SERVER_ABORT:
        return "server-aborted";
    case END_BODY_TIMEOUT:
        return "body-timeout";
    case END_DOWN:
        return "backend-down";
    case END_INTERNAL:
        return "internal-error";
    default:
        return NULL;
    }
}

/* How soon a client may come back: when a check may have brought a backend up again. */
static uint32_t retry_after_s(const struct exchange *x, uint16_t status)
{
    if (status != 503)
        return 0;
    uint32_t ms = x->pool != NULL ? x->pool->conf->health.interval_ms : 1000;
    return ms < 1000 ? 1 : (ms + 999) / 1000;
}

void exchange_fail(struct exchange *x, enum session_end why, const char *reason, int error)
{
    uint16_t status = status_of(why);

    if (x->state == X_OVER || x->state == X_ANSWER)
        return;
    x->error = error;
    x->reason = reason != NULL ? reason : reason_of(why);
    x->end = (uint8_t)why;
    if (x->response_begun || status == 0 || x->client_left) {
        x->cut = true;
        exchange_finish(x, why);
        return;
    }
    exchange_leave_backend(x, wire_is_open(&x->wire));
    const struct answer a = {.status = status, .retry_after_s = retry_after_s(x, status)};
    if (!exchange_answer(x, &a)) {
        x->cut = true;
        exchange_finish(x, END_RESOURCE);
    }
}

void exchange_refuse(struct exchange *x, uint16_t status, const char *reason, enum session_end why)
{
    x->reason = reason;
    x->end = (uint8_t)why;
    const struct answer a = {.status = status};
    if (status == 0 || !exchange_answer(x, &a)) {
        x->cut = true;
        exchange_finish(x, why);
    }
}

void exchange_refuse_late(struct exchange *x, uint16_t status, const char *reason,
                          enum session_end why)
{
    if (x->response_begun) {
        x->reason = reason;
        x->cut = true;
        exchange_finish(x, why);
        return;
    }
    exchange_leave_backend(x, wire_is_open(&x->wire));
    exchange_refuse(x, status, reason, why);
}

bool exchange_ends_with(const struct exchange *x, const struct backend_slot *slot)
{
    return x->state == X_TUNNEL && x->seek.slot == slot && x->pool->conf->close_on_down;
}

void exchange_end(struct exchange *x, enum session_end why)
{
    if (x->state == X_OVER)
        return;
    x->cut = true;
    exchange_finish(x, why);
    exchange_kick(x);
}

void exchange_client_lost(struct exchange *x, int error)
{
    enum session_end why = END_CLIENT_ABORT;

    if (x->state == X_OVER)
        return;
    x->client_left = true;
    x->error = error;
    if (x->state == X_SEEKING)
        why = x->seek.state == SEEK_QUEUED ? END_CLIENT_LEFT_QUEUE : END_CLIENT_GONE;
    else if (x->state == X_SENDING || x->state == X_FILTERS || x->state == X_FILES)
        why = x->request_taken ? END_CLIENT_LEFT_WAIT : END_CLIENT_ABORT;
    else if (x->ops->file_to(x) != NULL &&
             x->ops->file_to(x)->file_error) { /* it is well, our file is not */
        x->reason = x->wire.ops->reason(&x->wire);
        why = END_SERVER_ABORT;
    }
    x->cut = true;
    exchange_finish(x, why);
    exchange_kick(x);
}

/* ---- the request's payload ---- */

/* Kept until the response begins, so that the request can be sent again. */
static void remember(struct exchange *x, const struct io_buf *chain)
{
    for (const struct io_buf *b = chain; b != NULL && !x->replay_broken; b = b->next) {
        if (x->replay_bytes + b->len > REPLAY_BYTES_MAX) {
            x->replay_broken = true;
            break;
        }
        if (x->replay == NULL)
            x->replay = io_buf_new(exchange_io(x), REPLAY_BYTES_MAX);
        if (x->replay == NULL) {
            x->replay_broken = true;
            break;
        }
        memcpy(x->replay->data + x->replay->len, b->data, b->len);
        x->replay->len += b->len;
        x->replay_bytes += b->len;
    }
    if (x->replay_broken)
        drop_replay(x);
}

static bool worth_remembering(const struct exchange *x)
{
    return !x->replay_broken && !x->response_begun && x->state == X_SENDING &&
           !exchange_sees_body(x, true);
}

static bool over_limit(const struct exchange *x)
{
    uint64_t max = exchange_conf(x)->body_bytes;

    return max > 0 && x->in_payload > max && x->state != X_TUNNEL;
}

static void request_complete(struct exchange *x)
{
    if (!x->wire.ops->send_end(&x->wire, x->request_trailers)) {
        exchange_fail(x, END_RESOURCE, NULL, -ENOMEM);
        return;
    }
    x->request_done = true;
    x->ops->pull(x, false);
    if (x->state == X_TUNNEL)
        exchange_deadline(x, exchange_body_timeout_ms(x));
    if (x->state == X_SENDING) {
        x->sent_us = exchange_now_us(x);
        exchange_deadline(x, x->pool->conf->http.response_head_timeout_ms != 0
                                 ? x->pool->conf->http.response_head_timeout_ms
                                 : exchange_conf(x)->response_head_timeout_ms);
    }
}

/* True while the kernel moves the payload by itself. */
static bool splice_request(struct exchange *x)
{
    struct stream *client = x->ops->raw(x), *backend = wire_raw(&x->wire);
    uint64_t n;

    if (client == NULL || backend == NULL || exchange_sees_body(x, true) || x->state == X_TUNNEL)
        return false;
    if (client->spliced > 0) {
        n = client->spliced;
        client->spliced = 0;
        x->in_payload += n;
        x->active_ms = exchange_now_ms(x);
        x->ops->spliced(x, n);
    }
    if (client->rx_state == STREAM_RX_SPLICE)
        return true;
    n = x->ops->spliceable(x);
    if (n == 0 || n == UINT64_MAX || client->no_splice || (n < SPLICE_MIN && !x->request_spliced))
        return false;
    x->request_spliced = x->replay_broken = true;
    drop_replay(x);
    backend->tell_sent = true;
    return stream_splice(client, backend, n);
}

static bool request_goes_on(const struct exchange *x)
{
    return (x->state == X_SENDING || x->state == X_RESPONSE || x->state == X_TUNNEL) &&
           !x->request_done && wire_is_open(&x->wire) && x->wire.ops->takes(&x->wire);
}

/* One piece; false: there is no more to do now. */
static bool pump_request_piece(struct exchange *x)
{
    struct io_buf *chain = NULL;
    enum take t = TAKE_END;
    bool last;

    if (exchange_body_resumed(x, true, &chain, &last)) {
        t = last ? TAKE_END : TAKE_MORE;
    } else if (x->replay_again) { /* what was taken for an earlier wire */
        x->replay_again = false;
        chain = x->replay;
        x->replay = NULL;
        x->replay_bytes = 0;
        t = x->request_taken ? TAKE_END : TAKE_MORE;
        if (chain != NULL && worth_remembering(x))
            remember(x, chain);
    } else if (!x->request_taken) {
        t = x->ops->take(x, &chain);
        if (chain != NULL) {
            x->in_payload += io_chain_bytes(chain);
            x->active_ms = exchange_now_ms(x);
            if (worth_remembering(x))
                remember(x, chain);
        }
        x->request_taken = t == TAKE_END;
    }
    if (t == TAKE_BAD || t == TAKE_LOST || over_limit(x)) {
        drop_chain(x, &chain);
        if (t == TAKE_BAD)
            exchange_fail(x, END_BAD_BODY, x->reason, 0);
        else if (t == TAKE_LOST)
            exchange_client_lost(x, 0);
        else
            exchange_refuse_late(x, 413, "body-too-large", END_TOO_LARGE);
        return false;
    }
    bool some = chain != NULL;
    if (some && exchange_sees_body(x, true))
        x->replay_broken = true;
    if ((some || t == TAKE_END) && exchange_filter_body(x, true, &chain, t == TAKE_END) != FILTERED)
        return false;
    if (chain != NULL && !x->wire.ops->send_body(&x->wire, chain)) {
        exchange_fail(x, END_RESOURCE, NULL, -ENOMEM);
        return false;
    }
    if (t == TAKE_END)
        request_complete(x);
    return some && t == TAKE_MORE;
}

static void pump_request(struct exchange *x)
{
    while (request_goes_on(x) && !exchange_body_waits(x, true)) {
        if (splice_request(x))
            return;
        if (x->wire.ops->blocked(&x->wire)) {
            x->ops->pull(x, false);
            return;
        }
        if (x->request_spliced) /* more may be, as soon as it is through */
            wire_raw(&x->wire)->tell_sent = true;
        if (!x->request_taken && (!x->request_spliced || x->ops->raw(x)->no_splice))
            x->ops->pull(x, true);
        if (!pump_request_piece(x))
            return;
    }
}

/* ---- time ---- */

static uint64_t tunnel_timeout_ms(const struct exchange *x)
{
    uint64_t ms = x->listener->conf->tunnel_timeout_ms;
    bool half_closed = x->request_done != x->response_done;

    return half_closed && (ms == 0 || ms > LIMIT_HALF_CLOSED_MS) ? LIMIT_HALF_CLOSED_MS : ms;
}

uint64_t exchange_body_timeout_ms(const struct exchange *x)
{
    if (x->state == X_TUNNEL)
        return tunnel_timeout_ms(x);
    if (x->pool != NULL && x->pool->conf->http.body_timeout_ms != 0)
        return x->pool->conf->http.body_timeout_ms;
    return exchange_conf(x)->body_timeout_ms;
}

/* Whose fault it is that nothing moves: the side that we wait for. */
static void timed_out(struct exchange *x)
{
    const struct stream *client = x->ops->raw(x);

    if (x->state == X_ANSWER) { /* the client does not take our answer, or the response's end */
        x->cut = true;
        exchange_finish(x, END_CLIENT_TIMEOUT);
    } else if (x->state == X_FILES) {
        exchange_fail(x, END_RESPONSE_TIMEOUT, "file-timeout", 0);
    } else if (x->state == X_SENDING) {
        bool backend = x->request_done || x->wire.ops->blocked(&x->wire) ||
                       (client != NULL && stream_splice_blocked(client));
        if (backend)
            exchange_report(x, false);
        exchange_fail(x, backend ? END_RESPONSE_TIMEOUT : END_BODY_TIMEOUT, NULL, 0);
    } else {
        const struct stream *backend = wire_raw(&x->wire);
        bool slow_client =
            x->ops->blocked(x) || (backend != NULL && stream_splice_blocked(backend));
        exchange_fail(x, slow_client ? END_CLIENT_TIMEOUT : END_SERVER_TIMEOUT, "body-timeout", 0);
    }
}

/* A slow receiver may be taking a long send bit by bit, of which no event tells: so it is looked at
 * several times before it is given up. */
static void look_at_progress(struct exchange *x, uint64_t now)
{
    uint64_t progress = x->ops->progress(x);

    if (wire_is_open(&x->wire))
        progress += x->wire.ops->progress(&x->wire);
    if (progress != x->progress)
        x->active_ms = now;
    x->progress = progress;
}

static void on_timer(struct timer *timer)
{
    struct exchange *x = container_of(timer, struct exchange, timer);
    uint64_t now = exchange_now_ms(x);
    uint64_t limit = exchange_body_timeout_ms(x);

    if (x->deadline_ms == 0)
        return;
    if (!(x->state == X_SENDING && x->request_done)) {
        look_at_progress(x, now);
        x->deadline_ms = x->active_ms + limit;
    }
    if (x->deadline_ms > now) {
        uint64_t look = now + limit / LOOKS + 1;
        timer_start(&x->proxy->loop->timers, timer, x->deadline_ms < look ? x->deadline_ms : look);
        return;
    }
    timed_out(x);
    exchange_kick(x);
}

/* ---- the machine ---- */

static void wait_for_client(struct exchange *x)
{
    if (!x->ops->sent_all(x))
        return;
    exchange_finish(x, x->end);
}

static bool idle(const struct exchange *x)
{
    return seek_idle(&x->seek) && !wire_is_open(&x->wire);
}

static void run_state(struct exchange *x)
{
    switch ((enum exchange_state)x->state) {
    case X_FILTERS:
    case X_FILES:
    case X_SEEKING:
    case X_RESPONSE_FILTERS:
    case X_OVER:
        return;
    case X_SENDING:
        pump_request(x);
        if (x->state == X_SENDING)
            exchange_read_head(x);
        return;
    case X_RESPONSE:
    case X_TUNNEL:
        pump_request(x);
        if (x->state == X_RESPONSE || x->state == X_TUNNEL)
            exchange_pump_response(x);
        return;
    case X_ANSWER:
        wait_for_client(x);
        return;
    }
}

void exchange_step(struct exchange *x)
{
    if (x->in_step) {
        x->again = true;
        return;
    }
    x->in_step = true;
    do {
        x->again = false;
        run_state(x);
    } while (x->again);
    wire_flush(&x->wire);
    x->ops->flush(x);
    x->in_step = false;
    if (x->state == X_OVER && idle(x))
        x->ops->over(x);
}

void exchange_wire_event(struct wire *w)
{
    exchange_step(w->exchange);
}

/* ---- life ---- */

void exchange_start(struct exchange *x)
{
    timer_init(&x->timer, on_timer);
    counter_add(&exchange_listener_row(x)->requests, 1);
    x->request_taken = x->request.body == HTTP_BODY_NONE ||
                       (x->request.body == HTTP_BODY_LENGTH && x->request.content_length == 0);
    x->active_ms = exchange_now_ms(x);
    x->in_step = true; /* over() not from inside */
    if (!exchange_find_client(x))
        exchange_fail(x, END_RESOURCE, NULL, -ENOMEM);
    else if (http_session_too_early(exchange_http_session(x), &x->request))
        exchange_refuse(x, 425, "too-early", END_BAD_REQUEST);
    else if (request_too_long(exchange_conf(x), &x->request))
        exchange_refuse(x, 413, "body-too-large", END_TOO_LARGE);
    else
        exchange_route(x);
    x->in_step = false;
}

void exchange_start_refused(struct exchange *x, uint16_t status, const char *reason,
                            enum session_end why)
{
    timer_init(&x->timer, on_timer);
    if (why != END_TLS_FAILED && why != END_TLS_TIMEOUT)
        counter_add(&exchange_listener_row(x)->requests, 1);
    x->active_ms = exchange_now_ms(x);
    x->in_step = true;
    if (exchange_find_client(x))
        exchange_refuse(x, status, reason, why);
    else
        exchange_fail(x, END_RESOURCE, NULL, -ENOMEM);
    x->in_step = false;
}

void exchange_free(struct exchange **exchange)
{
    struct exchange *x = *exchange;

    *exchange = NULL;
    exchange_count(x);
    exchange_flight(x);
    exchange_log(x);
    if (x->fx != NULL)
        filter_chain_end(&x->route->filters, x->fx);
    timer_stop(&x->proxy->loop->timers, &x->timer);
    if (x->counted)
        atomic_fetch_sub_explicit(&x->pool->kept->current, 1, memory_order_relaxed);
    drop_chain(x, &x->request_run.held);
    drop_chain(x, &x->response_run.held);
    drop_replay(x);
    seek_fini(&x->seek);
    arena_fini(&x->arena);
    proxy_release(x->proxy, x->held);
    slab_free(&x->proxy->exchanges, x);
}
