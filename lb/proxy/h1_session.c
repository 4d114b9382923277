/* h1_session.c - HTTP/1 on a client's connection: reads requests, writes responses, one exchange at
 * a time; requests that come early wait in the stream.
 *
 * The client is read all the time (up to STREAM_HIGH_WATER bytes ahead), so that its leaving is
 * seen while a response is awaited. Without an exchange it holds no memory but http_session's. */
#include "lb/http/h1_write.h"
#include "lb/net/stream_tls.h"
#include "lb/proxy/exchange_priv.h"
#include "lb/proxy/http_session.h"
#include "lb/proxy/request.h"
#include "lb/upstream/stick.h"

#include <errno.h>

#define QUICK_END_BYTES (16u << 10) /* so much may still be on its way when an exchange is over */

enum h1_state {
    H1_IDLE, /* between requests */
    H1_HEAD, /* a part of a head is there */
    H1_EXCHANGE,
};

static const char *const state_names[] = {
    [H1_IDLE] = "idle",
    [H1_HEAD] = "reading",
    [H1_EXCHANGE] = "exchange",
};

static const struct front_ops h1_front;

static struct http_session *session_of(const struct exchange *x)
{
    return http_session_of(x->session);
}

/* ---- heads ---- */

static void go_idle(struct http_session *s)
{
    s->h1.state = H1_IDLE;
    s->h1.since_us = http_session_now_us(s);
    s->h1.parser = (struct h1_parser){0};
    s->stream.tell_sent = false;
    if (s->draining)
        http_session_deadline(s, HTTP_DRAIN_IDLE_MS);
    else
        http_session_deadline(s, s->h1.sequence == 0 ? http_session_conf(s)->request_head_timeout_ms
                                                     : http_session_conf(s)->idle_timeout_ms);
    /* With many requests here already, each of them must not bring in more. */
    stream_read(&s->stream, s->stream.in_bytes < STREAM_HIGH_WATER ? STREAM_READ : STREAM_WATCH);
    s->again = s->stream.in != NULL || s->stream.eof || s->stream.error != 0;
}

static struct exchange *new_exchange(struct http_session *s)
{
    struct exchange *x = http_session_exchange(s, &h1_front);

    if (x == NULL)
        return NULL;
    x->sequence = ++s->h1.sequence;
    x->idle_us = s->h1.idle_us_of_head;
    x->begun_us = s->h1.since_us;
    x->out_base = s->stream.sent + s->stream.out_bytes;
    s->h1.exchange = x;
    s->h1.state = H1_EXCHANGE;
    http_session_deadline(s, 0);
    return x;
}

/* A head that was not understood, or did not come: an exchange that only answers. */
void h1_refuse(struct http_session *s, uint16_t status, const char *reason, enum session_end why)
{
    struct exchange *x = new_exchange(s);

    if (x == NULL) {
        http_session_close(s, true);
        return;
    }
    x->request.version = 11;
    x->in_bytes = s->stream.in_bytes;
    x->request_taken = true;
    s->h1.keep = false;
    s->h1.unread = true;
    exchange_start_refused(x, status, reason, why);
    exchange_step(x);
}

static void start_exchange(struct http_session *s, const struct http_head *head)
{
    struct exchange *x = new_exchange(s);

    if (x == NULL) {
        http_session_close(s, true);
        return;
    }
    x->headed_us = http_session_now_us(s);
    if (http_head_copy(head, &x->arena, &x->request) < 0) {
        counter_add(&s->base.proxy->counters->memory_refused, 1);
        x->request_taken = true;
        s->h1.keep = false;
        exchange_start_refused(x, 503, "out-of-resources", END_RESOURCE);
        exchange_step(x);
        return;
    }
    x->in_bytes = s->h1.parser.at;
    stream_consume(&s->stream, s->h1.parser.at);
    h1_body_begin(&x->in_body, (enum http_body)head->body, head->content_length);
    s->h1.keep = x->request.keep_alive && !s->draining;
    s->h1.unread = false;
    s->again = s->again || s->stream.eof; /* it may have left already */
    exchange_start(x);
    exchange_step(x);
}

static void head_ended_early(struct http_session *s)
{
    struct stream *t = &s->stream;

    if (t->error != 0 || t->tx_dead)
        http_session_close(s, t->error != 0);
    else if (s->h1.state == H1_IDLE)
        http_session_end(s);
    else
        h1_refuse(s, 0, "client-left", END_CLIENT_LEFT_HEAD);
}

/* In clear, a client that knows that we speak HTTP/2 just begins with it (RFC 9113 section 3.3). */
static bool is_h2(struct http_session *s, enum h2_preface *out)
{
    *out = H2_PREFACE_NO;
    if (s->h1.sequence == 0 && http_session_conf(s)->h2_cleartext && s->stream.in->data[0] == 'P' &&
        !stream_is_tls(&s->stream))
        *out = h2_preface(&s->stream);
    return *out != H2_PREFACE_NO;
}

static void read_head(struct http_session *s)
{
    struct stream *t = &s->stream;
    struct proxy *p = s->base.proxy;
    const struct http_listener_conf *c = http_session_conf(s);
    const struct h1_limits limits = request_limits(c);

    if (t->in == NULL || t->error != 0) {
        if (t->eof || t->error != 0 || t->tx_dead)
            head_ended_early(s);
        return;
    }
    if (s->h1.state == H1_IDLE) {
        uint64_t idle_us = http_session_now_us(s) - s->h1.since_us;
        s->h1.idle_us_of_head = idle_us < UINT32_MAX ? (uint32_t)idle_us : UINT32_MAX;
        s->h1.state = H1_HEAD;
        s->h1.since_us = http_session_now_us(s);
        http_session_deadline(s, c->request_head_timeout_ms);
    }
    enum h2_preface preface;
    if (is_h2(s, &preface)) {
        if (preface == H2_PREFACE_YES)
            http_session_switch(s, &h2_protocol);
        else if (t->eof)
            head_ended_early(s);
        return;
    }
    for (;;) {
        struct http_head head = {.fields = p->fields, .max_fields = (uint16_t)c->fields};
        enum h1_result r =
            h1_parse_request(&s->h1.parser, (char *)t->in->data, t->in->len, &limits, &head);
        if (r == H1_DONE && http_session_too_early(s, &head)) {
            s->h1.parser = (struct h1_parser){0}; /* is read again */
            return;
        }
        if (r == H1_DONE) {
            start_exchange(s, &head);
            return;
        }
        if (r != H1_MORE) {
            h1_refuse(s, (uint16_t)h1_result_status(r), h1_result_code(r), END_BAD_REQUEST);
            return;
        }
        if (t->in->next == NULL)
            break;
        if (!stream_gather_front(t, t->in->len + t->in->next->len)) {
            http_session_close(s, true);
            return;
        }
    }
    if (t->eof)
        head_ended_early(s);
    else
        stream_read(t, STREAM_READ);
}

/* ---- an exchange's events ---- */

/* It has ended its stream with a request under way; what is unread of its bytes does not count. */
static bool has_left(const struct http_session *s)
{
    const struct stream *t = &s->stream;
    const struct exchange *x = s->h1.exchange;

    if (http_session_conf(s)->half_close || x->state == X_TUNNEL || x->state == X_ANSWER)
        return false;
    return t->peer_ended || (t->eof && (x->request_taken || x->state == X_SEEKING));
}

static void run_exchange(struct http_session *s)
{
    struct exchange *x = s->h1.exchange;
    struct stream *t = &s->stream;

    if (t->error != 0 || t->tx_dead) {
        exchange_client_lost(x, t->error != 0 ? t->error : t->tx_error);
        return;
    }
    if (has_left(s)) {
        exchange_client_lost(x, 0);
        return;
    }
    if (t->in_bytes >= STREAM_HIGH_WATER && t->rx_state == STREAM_RX_READ)
        stream_read(t, STREAM_WATCH);
    exchange_step(x);
}

/* ---- what the exchange asks for ---- */

static enum take front_take(struct exchange *x, struct io_buf **out)
{
    return h1_body_take(&x->in_body, &session_of(x)->stream, &x->arena, out, &x->request_trailers,
                        &x->reason, &x->in_bytes);
}

/* The connection may go on only where both know where this response ends, and where the request
 * does. One that is answered before all of it was there is not waited for. */
static bool goes_on(const struct http_session *s, const struct exchange *x)
{
    if (!s->h1.keep || s->draining || s->base.proxy->leaving || x->out.body == HTTP_BODY_CLOSE)
        return false;
    return x->request_taken;
}

static enum h1_connection connection_of(const struct http_session *s, const struct exchange *x,
                                        const struct http_head *h)
{
    if (h->status == 101)
        return H1_CONN_UPGRADE;
    if (!s->h1.keep)
        return H1_CONN_CLOSE;
    return x->request.version >= 11 ? H1_CONN_DEFAULT : H1_CONN_KEEP_ALIVE;
}

static bool front_head(struct exchange *x, const struct http_head *h, bool interim)
{
    struct http_session *s = session_of(x);
    struct h1_framing framing = {.body = HTTP_BODY_NONE};

    if (!interim) {
        s->h1.keep = goes_on(s, x);
        framing.connection = connection_of(s, x, h);
        framing.body = x->out.body;
        framing.content_length = x->out.length;
        framing.has_content_length = x->out.has_length;
    }
    size_t size = h1_response_size(h);
    struct io_buf *b = io_buf_new(exchange_io(x), (uint32_t)size + 64); /* room for a small body */
    if (b == NULL)
        return false;
    b->len = (uint32_t)h1_write_response(h, &framing, (char *)b->data);
    stream_queue(&s->stream, b);
    return true;
}

static bool front_body(struct exchange *x, struct io_buf *chain)
{
    return h1_body_send(&session_of(x)->stream, x->out.body, chain);
}

static bool front_end(struct exchange *x, const struct http_head *trailers)
{
    struct stream *t = &session_of(x)->stream;

    if (x->state == X_TUNNEL) {
        stream_shutdown(t);
        return true;
    }
    return h1_body_send_end(t, x->out.body, trailers);
}

static void front_flush(struct exchange *x)
{
    stream_flush(&session_of(x)->stream);
}

static bool front_blocked(struct exchange *x)
{
    struct stream *t = &session_of(x)->stream;

    bool blocked = t->out_bytes >= STREAM_HIGH_WATER || (t->out_bytes > 0 && stream_blocked(t));
    if (blocked)
        t->tell_sent = true;
    return blocked;
}

static bool front_sent_all(struct exchange *x)
{
    struct stream *t = &session_of(x)->stream;

    if (stream_sent_all(t) || (t->out_bytes <= QUICK_END_BYTES && !stream_blocked(t)))
        return true;
    t->tell_sent = true;
    return false;
}

static struct stream *front_raw(struct exchange *x)
{
    struct stream *t = &session_of(x)->stream;

    return stream_is_tls(t) ? NULL : t;
}

static struct stream *front_file_to(struct exchange *x)
{
    return &session_of(x)->stream;
}

static uint64_t front_spliceable(const struct exchange *x)
{
    return h1_body_spliceable(&x->in_body);
}

static void front_spliced(struct exchange *x, uint64_t n)
{
    x->in_bytes += n;
    h1_body_spliced(&x->in_body, n);
}

static uint64_t front_progress(const struct exchange *x)
{
    const struct stream *t = &session_of(x)->stream;

    return t->sent + (t->tx.armed ? t->tx.send.done : 0);
}

static void front_pull(struct exchange *x, bool want)
{
    struct stream *t = &session_of(x)->stream;

    if (want || t->in_bytes < STREAM_HIGH_WATER)
        stream_read(t, STREAM_READ);
    else
        stream_read(t, STREAM_WATCH);
}

static void front_upgrade(struct exchange *x)
{
    h1_body_begin(&x->in_body, HTTP_BODY_CLOSE, 0);
    x->out.body = HTTP_BODY_CLOSE;
    session_of(x)->h1.keep = false;
}

/* A client that knows how long the response is sees that it is not whole from an orderly end, and
 * gets what there was of it. */
static bool may_end_orderly(const struct exchange *x)
{
    switch ((enum session_end)x->end) {
    case END_SERVER_ABORT:
    case END_SERVER_TIMEOUT:
    case END_BAD_BODY:
        return x->response_begun && !x->client_left && x->answered_us != 0 &&
               (x->out.body == HTTP_BODY_LENGTH || x->out.body == HTTP_BODY_CHUNKED);
    default:
        return false;
    }
}

static void front_over(struct exchange *x)
{
    struct http_session *s = session_of(x);
    struct stream *t = &s->stream;
    enum session_end why = (enum session_end)x->end;
    bool cut = x->cut, orderly = may_end_orderly(x),
         upgraded = x->response.status == 101 && x->answered_us != 0;
    bool unread = s->h1.unread || !x->request_taken;

    uint64_t out = t->sent + t->out_bytes; /* less than before when what was queued was lost */
    x->out_bytes = out > x->out_base ? out - x->out_base : 0;
    exchange_free(&s->h1.exchange);
    if (s->phase == HTTP_CLOSING)
        http_session_free_if_idle(s);
    else if (why == END_TLS_FAILED && t->error == -EPROTO)
        http_session_linger_deaf(s);
    else if (cut && !orderly)
        http_session_close(s, why != END_TLS_FAILED && why != END_TLS_TIMEOUT);
    else if (!cut && s->h1.keep && !unread && !(t->eof && t->in == NULL))
        go_idle(s);
    else if (upgraded)
        http_session_linger(s, false);
    else
        http_session_linger(s, (unread || t->in != NULL) && !t->eof);
    if (s->phase != HTTP_CLOSING && s->again)
        http_session_run(s);
}

static const struct front_ops h1_front = {
    .take = front_take,
    .head = front_head,
    .body = front_body,
    .end = front_end,
    .flush = front_flush,
    .blocked = front_blocked,
    .sent_all = front_sent_all,
    .raw = front_raw,
    .file_to = front_file_to,
    .spliceable = front_spliceable,
    .spliced = front_spliced,
    .progress = front_progress,
    .pull = front_pull,
    .upgrade = front_upgrade,
    .over = front_over,
};

/* ---- the protocol ---- */

static void run(struct http_session *s)
{
    if (s->h1.state == H1_EXCHANGE)
        run_exchange(s);
    else
        read_head(s);
}

static void timeout(struct http_session *s)
{
    if (s->h1.state == H1_HEAD)
        h1_refuse(s, 408, "request-timeout", END_HEAD_TIMEOUT);
    else if (s->h1.state == H1_IDLE)
        http_session_end(s);
}

static void end(struct http_session *s, enum session_end why)
{
    if (s->h1.exchange != NULL)
        exchange_end(s->h1.exchange, why);
}

static void drain(struct http_session *s)
{
    if (s->h1.state == H1_IDLE)
        http_session_deadline(s, HTTP_DRAIN_IDLE_MS);
}

static bool busy(const struct http_session *s)
{
    return s->h1.exchange != NULL;
}

static const char *pool_name(const struct http_session *s)
{
    const struct exchange *x = s->h1.exchange;

    return x != NULL && x->pool != NULL ? x->pool->name : NULL;
}

static const char *backend_name(const struct http_session *s)
{
    const struct exchange *x = s->h1.exchange;

    return x != NULL && x->pool != NULL && x->seek.slot != NULL ? x->seek.slot->name : NULL;
}

static void backend_down(struct http_session *s, const struct backend_slot *slot)
{
    if (s->h1.exchange != NULL && exchange_ends_with(s->h1.exchange, slot))
        s->base.ops->end(&s->base, END_DOWN);
}

static void view(struct http_session *s, struct proxy_session_view *out)
{
    struct exchange *x = s->h1.exchange;
    const struct stream *backend = x != NULL ? wire_raw(&x->wire) : NULL;

    if (s->h1.state == H1_IDLE)
        out->idle_ms = (http_session_now_us(s) - s->h1.since_us) / 1000;
    out->state = x != NULL ? exchange_state_name(x) : state_names[s->h1.state];
    out->kind = s->h1.state == H1_IDLE              ? SESSION_HTTP_IDLE
                : x != NULL && x->state == X_TUNNEL ? SESSION_UPGRADED
                                                    : SESSION_HTTP;
    if (x == NULL)
        return;
    out->bytes_in = x->in_bytes;
    out->in_spliced = s->stream.rx_state == STREAM_RX_SPLICE;
    if (backend != NULL) {
        out->backend_fd = backend->fd;
        out->out_spliced = backend->rx_state == STREAM_RX_SPLICE;
    }
}

const struct http_protocol h1_protocol = {
    .begin = go_idle,
    .run = run,
    .timeout = timeout,
    .drain = drain,
    .end = end,
    .busy = busy,
    .pool_name = pool_name,
    .backend_name = backend_name,
    .backend_down = backend_down,
    .view = view,
};
