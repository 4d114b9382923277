/* exchange_response.c - from the first byte of a backend's response to its last, and what happens
 * when it does not come. */
#include "health/checker.h"
#include "health/latency.h"
#include "lb/net/stream.h"
#include "lb/proxy/exchange_priv.h"
#include "lb/upstream/retry_budget.h"
#include "lb/upstream/stick.h"

#include <errno.h>
#include <string.h>

#define HEAD_FIELDS_MAX 256
/* Less of a file is sent together with the head, by a copy. */
#define FILE_DIRECT_MIN (32u << 10)

void exchange_report(struct exchange *x, bool ok)
{
    uint64_t now = exchange_now_us(x), from = x->sent_us != 0 ? x->sent_us : x->headed_us;
    struct backend_slot *slot = x->seek.slot;

    if (slot == NULL)
        return;
    uint32_t in_a_row = checker_report_result(x->proxy->shared->checker, slot, ok);
    if (x->pool->conf->balance.kind != BALANCE_PEAK_EWMA)
        return;
    if (!ok)
        slot_observe_failure(slot, now, now - from, in_a_row);
    else if (x->sent_us != 0)
        slot_observe_latency(slot, now, now - from);
}

static void bad_response(struct exchange *x, const char *reason)
{
    exchange_report(x, false);
    counter_add(&exchange_backend_row(x)->response_errors, 1);
    exchange_fail(x, END_BAD_RESPONSE, reason, 0);
}

/* ---- no response ---- */

/* All that was sent is still here, so it can be sent once more. */
static bool resendable(const struct exchange *x)
{
    return !x->wire.head_begun && !x->response_begun && !x->interim_seen && !x->replay_broken;
}

static void again(struct exchange *x)
{
    exchange_close_wire(x, true);
    x->replay_again = true;
    x->request_done = false;
    exchange_enter(x, X_SEEKING);
}

/* A failure before any byte of the request had reached the kernel is nobody's retry; of a reused
 * connection that was dead neither, but only what may be repeated is sent once more. Everything
 * else is the budget's. */
void exchange_wire_lost(struct exchange *x)
{
    int error = x->wire.ops->error(&x->wire);
    const char *reason = x->wire.ops->reason(&x->wire);
    seek_note(&x->seek, x->wire.ops->why(&x->wire));
    bool reached = x->wire.ops->maybe_seen(&x->wire);
    bool may = resendable(x) &&
               (!reached || http_method_is_idempotent((enum http_method)x->request.method));
    bool dead_on_reuse = (x->wire.reused || x->wire.refused) && !x->resent;

    if (may && dead_on_reuse) {
        x->resent = true;
        again(x);
        exchange_h2_again(x);
        return;
    }
    if (!dead_on_reuse)
        exchange_report(x, false);
    if (may && x->seek.tries_left > 0) {
        if (!reached || retry_budget_take(x->pool->budget, exchange_now_us(x))) {
            again(x);
            x->wire_lost = true;
            x->lost = reason;
            seek_next(&x->seek, error);
            return;
        }
        counter_add(&x->pool->rows[x->proxy->worker].budget_refused, 1);
    }
    counter_add(&exchange_backend_row(x)->response_errors, 1);
    exchange_fail(x, END_SERVER_CLOSED, reason, error);
}

/* ---- heads ---- */

static bool pass_interim(struct exchange *x, struct http_head *h)
{
    bool pass = x->request.version >= 11;

    if (pass) {
        http_strip_hop_by_hop(h, false);
        pass = x->ops->head(x, h, true);
    }
    x->interim_seen = true;
    counter_add(&exchange_listener_row(x)->responses[RESPONSES_1XX], 1);
    return pass || x->request.version < 11;
}

/* How the payload goes to the client. */
static void choose_framing(struct exchange *x)
{
    const struct http_head *h = &x->response;
    bool changes = x->fx != NULL && x->fx->response_length_changes;

    x->out = (struct out_framing){.body = (enum http_body)h->body, .length = h->content_length};
    if (h->body == HTTP_BODY_NONE) {
        x->out.has_length = h->has_content_length && !changes;
        return;
    }
    if (h->body == HTTP_BODY_LENGTH && !changes)
        return;
    x->out.body = x->request.version >= 11 ? HTTP_BODY_CHUNKED : HTTP_BODY_CLOSE;
}

static bool add_cookie(struct exchange *x)
{
    if (x->pool == NULL || x->pool->stick == NULL)
        return true;
    uint32_t member = pool_member_index(x->pool, x->seek.slot);
    if (!stick_sets_cookie(x->pool->stick) || x->stick_member == member)
        return true;
    x->cookie_out = x->stick_member == STICK_NONE ? COOKIE_OUT_INSERTED : COOKIE_OUT_UPDATED;
    counter_add(&exchange_backend_row(x)->sticky_set, 1);
    struct str value = stick_cookie(x->pool->stick, member, strcmp(x->scheme, "https") == 0);
    return http_head_add(&x->response, &x->arena, STR("Set-Cookie"), value) == 0;
}

static void begin_response(struct exchange *x)
{
    bool upgraded = x->response.status == 101;

    choose_framing(x);
    x->status = x->response.status;
    x->response_begun = true;
    if (!add_cookie(x) || !exchange_add_hsts(x) || !x->ops->head(x, &x->response, false)) {
        x->response_begun = false;
        exchange_fail(x, END_RESOURCE, NULL, -ENOMEM);
        return;
    }
    x->active_ms = exchange_now_ms(x);
    if (!upgraded) {
        exchange_enter(x, X_RESPONSE);
        exchange_deadline(x, exchange_body_timeout_ms(x));
        return;
    }
    x->wire.ops->upgrade(&x->wire);
    x->ops->upgrade(x);
    x->request_taken = x->request_done = false;
    exchange_enter(x, X_TUNNEL);
    exchange_deadline(x, x->listener->conf->tunnel_timeout_ms);
}

static void filters_over(struct exchange *x, enum filter_verdict v)
{
    switch (v) {
    case FILTER_PASS:
        begin_response(x);
        return;
    case FILTER_PAUSE:
        exchange_enter(x, X_RESPONSE_FILTERS);
        return;
    case FILTER_ANSWER:
        counter_add(&exchange_listener_row(x)->denied_responses, 1);
        if (x->pool != NULL)
            counter_add(&exchange_backend_row(x)->denied_responses, 1);
        exchange_leave_backend(x, true);
        exchange_answer_filter(x);
        return;
    case FILTER_ABORT:
        exchange_fail(x, END_INTERNAL, "filter-failed", 0);
        return;
    }
}

void exchange_response_resume(struct exchange *x)
{
    filters_over(x, filter_chain_response_head(&x->route->filters, x->fx, &x->filter_at));
}

static void note_answer(struct exchange *x)
{
    x->answered_us = exchange_now_us(x);
    exchange_report(x, x->response.status < 500);
    counter_add(&exchange_backend_row(x)->responses[response_class_of(x->response.status)], 1);
}

static void final_head(struct exchange *x, const struct http_head *h)
{
    if (http_head_copy(h, &x->arena, &x->response) < 0) {
        exchange_fail(x, END_RESOURCE, NULL, -ENOMEM);
        return;
    }
    x->wire.ops->head_taken(&x->wire, &x->response);
    note_answer(x);
    http_strip_hop_by_hop(&x->response, x->response.status == 101);
    if (x->fx == NULL) {
        begin_response(x);
        return;
    }
    x->fx->response = &x->response;
    x->fx->vars.response = &x->response;
    x->fx->vars.pool = str_of(x->pool->name); /* chosen after the request's filters */
    x->fx->vars.backend = str_of(x->seek.slot->name);
    x->filter_at = 0;
    exchange_response_resume(x);
}

void exchange_own_head(struct exchange *x)
{
    x->answered_us = exchange_now_us(x);
    x->request_done = true;
    if (x->fx == NULL) {
        begin_response(x);
        return;
    }
    x->fx->response = &x->response;
    x->fx->vars.response = &x->response;
    x->filter_at = 0;
    exchange_response_resume(x);
}

static bool upgrade_is_wanted(const struct exchange *x)
{
    return x->request.upgrade && x->request_done;
}

/* A client of HTTP/2 takes any 2xx to its extended CONNECT for a tunnel (RFC 8441 section 5). Any
 * page answers so: it is not the backend's fault. */
static bool looks_like_tunnel(const struct exchange *x, const struct http_head *h)
{
    return x->request.upgrade && x->request.version >= 20 && h->status >= 200 && h->status < 300;
}

void exchange_read_head(struct exchange *x)
{
    struct http_field fields[HEAD_FIELDS_MAX];
    const char *reason = NULL;
    struct http_head h;

    while (x->state == X_SENDING) {
        if (x->interim_seen && x->ops->blocked(x)) { /* of those there may be any number */
            x->wire.ops->pull(&x->wire, false);
            return;
        }
        switch (x->wire.ops->read_head(&x->wire, (enum http_method)x->request.method, fields,
                                       HEAD_FIELDS_MAX, &h, &reason)) {
        case WIRE_MORE:
            return;
        case WIRE_LOST:
            if (x->wire.head_begun)
                counter_add(&exchange_backend_row(x)->server_aborts, 1);
            exchange_wire_lost(x);
            return;
        case WIRE_BAD:
            bad_response(x, reason);
            return;
        case WIRE_SEND:
            if (!exchange_send_head(x)) {
                exchange_fail(x, END_RESOURCE, NULL, -ENOMEM);
                return;
            }
            continue;
        case WIRE_UNABLE:
            if (x->wire.status != 0)
                exchange_refuse_late(x, x->wire.status, reason, END_BAD_REQUEST);
            else
                exchange_fail(x, END_BAD_RESPONSE, reason, 0);
            return;
        case WIRE_HEAD:
            break;
        }
        if (h.status == 101 && !upgrade_is_wanted(x)) {
            bad_response(x, "unexpected-101");
            return;
        }
        if (looks_like_tunnel(x, &h)) {
            exchange_fail(x, END_BAD_RESPONSE, "no-websocket", 0);
            return;
        }
        if (h.status >= 200 || h.status == 101) {
            final_head(x, &h);
            return;
        }
        bool passed = pass_interim(x, &h);
        x->wire.ops->head_taken(&x->wire, &h);
        if (!passed) {
            exchange_fail(x, END_RESOURCE, NULL, -ENOMEM);
            return;
        }
    }
}

/* ---- payload ---- */

/* Both ways are through: an upgraded connection is over. */
static void tunnel_over(struct exchange *x)
{
    if (x->request_done && x->response_done)
        exchange_finish(x, END_NORMAL);
}

static void response_complete(struct exchange *x)
{
    x->response_done = true;
    if (!x->ops->end(x, x->trailers)) {
        x->cut = true;
        exchange_finish(x, END_RESOURCE);
        return;
    }
    x->trailers = NULL;
    if (x->state == X_TUNNEL) {
        exchange_deadline(x, exchange_body_timeout_ms(x));
        tunnel_over(x);
        return;
    }
    x->end = END_NORMAL;
    exchange_leave_backend(x, false);
    exchange_enter(x, X_ANSWER);
    exchange_deadline(x, exchange_conf(x)->body_timeout_ms);
}

static void payload_lost(struct exchange *x)
{
    int error = x->wire.ops->error(&x->wire);

    if (x->pool == NULL) {
        x->reason = x->wire.ops->reason(&x->wire);
    } else if (x->state != X_TUNNEL) {
        if (!x->wire.left_kindly)
            exchange_report(x, false);
        counter_add(&exchange_backend_row(x)->server_aborts, 1);
    }
    x->cut = true;
    x->error = error;
    exchange_finish(x, END_SERVER_ABORT);
}

enum splicing { SPLICING_NOT, SPLICING_SOON, SPLICING };

/* Whether the kernel moves the payload by itself, or shall as soon as what was received and queued
 * before is gone. */
static enum splicing splice_response(struct exchange *x)
{
    struct stream *backend = wire_raw(&x->wire), *client = x->ops->raw(x);
    uint64_t n;

    if (client == NULL || backend == NULL || exchange_sees_body(x, false) ||
        x->out.body == HTTP_BODY_CHUNKED || x->state == X_TUNNEL)
        return SPLICING_NOT;
    if (backend->spliced > 0) {
        n = backend->spliced;
        backend->spliced = 0;
        x->out_payload += n;
        x->active_ms = exchange_now_ms(x);
        x->wire.ops->spliced(&x->wire, n);
    }
    if (backend->rx_state == STREAM_RX_SPLICE)
        return SPLICING;
    n = x->wire.ops->spliceable(&x->wire);
    if (n == 0 || n == UINT64_MAX || backend->no_splice || (n < SPLICE_MIN && !x->spliced))
        return SPLICING_NOT;
    x->spliced = true;
    if (stream_splice(backend, client, n))
        return SPLICING;
    client->tell_sent = true;
    return backend->no_splice || backend->eof || backend->error != 0 ? SPLICING_NOT : SPLICING_SOON;
}

/* The same for a file, out of which the kernel sends by itself. */
static enum splicing send_file(struct exchange *x)
{
    struct stream *client = x->ops->file_to(x);
    uint64_t offset;
    int fd;

    if (client == NULL || exchange_sees_body(x, false) || x->out.body == HTTP_BODY_CHUNKED)
        return SPLICING_NOT;
    if (client->spliced > 0) {
        x->wire.ops->file_sent(&x->wire, (uint32_t)client->spliced);
        x->out_payload += client->spliced;
        x->active_ms = exchange_now_ms(x);
        client->spliced = 0;
    }
    if (client->sends_file)
        return SPLICING;
    uint32_t n = x->wire.ops->file(&x->wire, &fd, &offset);
    if (n < FILE_DIRECT_MIN || !stream_takes_file(client, n))
        return SPLICING_NOT;
    bool sealed = client->kernel_seals;
    n = stream_send_file(client, fd, offset, n);
    counter_add(&exchange_listener_row(x)->tls_kernel, client->kernel_seals && !sealed);
    if (n > 0)
        return SPLICING;
    client->tell_sent = true;
    return client->tx.armed || client->out != NULL ? SPLICING_SOON : SPLICING_NOT;
}

/* One piece; false: there is no more to do now. */
static bool pump_piece(struct exchange *x)
{
    struct io_buf *chain = NULL;
    const char *reason = NULL;

    bool last;
    enum take t;
    if (exchange_body_resumed(x, false, &chain, &last)) {
        t = last ? TAKE_END : TAKE_MORE;
    } else {
        t = x->wire.ops->take(&x->wire, &x->arena, &chain, &x->trailers, &reason);
        if (chain != NULL) {
            x->out_payload += io_chain_bytes(chain);
            x->active_ms = exchange_now_ms(x);
        }
    }
    bool some = chain != NULL;
    if ((some || t == TAKE_END) &&
        exchange_filter_body(x, false, &chain, t == TAKE_END) != FILTERED)
        return false;
    if (chain != NULL && !x->ops->body(x, chain)) {
        x->cut = true;
        exchange_finish(x, END_RESOURCE);
        return false;
    }
    switch (t) {
    case TAKE_MORE:
        return some;
    case TAKE_END:
        response_complete(x);
        return false;
    case TAKE_BAD:
        x->reason = reason;
        x->bad_payload_of_backend = true;
        exchange_report(x, false);
        counter_add(&exchange_backend_row(x)->response_errors, 1);
        x->cut = true;
        exchange_finish(x, END_BAD_BODY);
        return false;
    case TAKE_LOST:
        payload_lost(x);
        return false;
    }
    return false;
}

void exchange_pump_response(struct exchange *x)
{
    if (x->request_done && x->response_done) { /* an upgraded one: the client's half came last */
        tunnel_over(x);
        return;
    }
    if (x->response_done && (!x->wire.ops->takes(&x->wire) || x->wire.ops->error(&x->wire) != 0)) {
        payload_lost(x); /* an upgraded one, and the backend takes no more */
        return;
    }
    while ((x->state == X_RESPONSE || x->state == X_TUNNEL) && !x->response_done &&
           !exchange_body_waits(x, false)) {
        enum splicing splicing = x->wire.ops->file != NULL ? send_file(x) : splice_response(x);
        if (splicing == SPLICING || (splicing == SPLICING_SOON && x->wire.ops->file != NULL))
            return;
        if (x->ops->blocked(x)) {
            if (splicing == SPLICING_NOT)
                x->wire.ops->pull(&x->wire, false);
            return;
        }
        if (splicing == SPLICING_NOT)
            x->wire.ops->pull(&x->wire, true);
        if (!pump_piece(x))
            return;
    }
}
