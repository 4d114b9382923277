/* h1_session.c - a client connection of mode http in HTTP/1: reads requests, writes responses, one
 * exchange at a time; requests that come early wait in the stream.
 *
 * The client is read all the time (up to STREAM_HIGH_WATER bytes ahead), so that its leaving is
 * seen while a response is awaited. A session without an exchange holds no memory but its own. */
#include "lb/base/log.h"
#include "lb/http/h1_write.h"
#include "lb/net/proxy_proto.h"
#include "lb/net/stream.h"
#include "lb/proxy/exchange_priv.h"
#include "lb/proxy/request.h"
#include "lb/upstream/stick.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_MAGIC   0x41775e55u
#define LINGER_MS       2000        /* for the client to read our last answer before a reset */
#define LINGER_BYTES    (1u << 20)  /* that are discarded meanwhile */
#define DRAIN_IDLE_MS   1000        /* for a last request on an idle connection */
#define QUICK_END_BYTES (16u << 10) /* so much may still be on its way when an exchange is over */

enum h1_state {
    H1_PROXY_HEADER, /* is awaited */
    H1_IDLE,         /* between requests */
    H1_HEAD,         /* a part of a head is there */
    H1_EXCHANGE,
    H1_LINGER, /* the last answer is on its way; what still comes is discarded */
    H1_CLOSING,
};

static const char *const state_names[] = {
    [H1_PROXY_HEADER] = "proxy-header", [H1_IDLE] = "idle",     [H1_HEAD] = "reading",
    [H1_EXCHANGE] = "exchange",         [H1_LINGER] = "linger", [H1_CLOSING] = "closing",
};

struct h1_session {
    struct stream stream; /* first: the hot part */
    uint32_t magic;
    uint32_t sequence; /* of the present or last request, from 1 */
    struct session base;
    struct timer timer;
    uint64_t deadline_ms; /* 0: none; the timer may fire before */
    uint64_t since_us;    /* of the present state, H1_IDLE and H1_HEAD */
    struct exchange *exchange;
    struct h1_parser parser;
    uint32_t idle_us_of_head; /* idle before the present head, saturated */
    uint32_t discarded;       /* H1_LINGER: bytes */
    uint8_t state;
    bool keep;  /* the connection goes on after this exchange */
    bool reset; /* when it is closed */
    bool running, again;
    bool discard; /* H1_LINGER: wait for the client's end */
    bool lingers; /* ... and our last answer is out */
    bool unread;  /* what comes behind this exchange's head cannot be understood */
    bool freeing;
    bool draining;
};
static_assert(sizeof(struct h1_session) <= 512, "memory per idle connection is a promise");

static const struct front_ops h1_front;
static const struct session_ops h1_session_ops;

static void run(struct h1_session *s);

size_t h1_session_size(void)
{
    return sizeof(struct h1_session);
}

static struct proxy *proxy_of(const struct h1_session *s)
{
    return s->base.proxy;
}

static uint64_t now_us(const struct h1_session *s)
{
    return loop_now_us(proxy_of(s)->loop);
}

static const struct http_listener_conf *conf_of(const struct h1_session *s)
{
    return &s->base.listener->conf->http;
}

static struct h1_session *of_base(const struct session *base)
{
    struct h1_session *s = container_of((struct session *)(uintptr_t)base, struct h1_session, base);

    CHECK_MAGIC(s, SESSION_MAGIC);
    return s;
}

static struct h1_session *session_of(const struct exchange *x)
{
    return of_base(x->session);
}

static void set_deadline(struct h1_session *s, uint64_t timeout_ms)
{
    struct loop *l = proxy_of(s)->loop;

    s->deadline_ms = timeout_ms ? loop_now_ms(l) + timeout_ms : 0;
    if (timeout_ms && (!timer_pending(&s->timer) || s->deadline_ms < s->timer.at_ms))
        timer_start(&l->timers, &s->timer, s->deadline_ms);
}

/* ---- the end ---- */

static void free_if_idle(struct h1_session *s)
{
    if (s->exchange == NULL && stream_idle(&s->stream) && !s->freeing) {
        s->freeing = true;
        session_free_soon(&s->base);
    }
}

static void close_session(struct h1_session *s, bool reset)
{
    if (s->state == H1_CLOSING)
        return;
    s->state = H1_CLOSING;
    s->reset = reset;
    s->deadline_ms = 0;
    timer_stop(&proxy_of(s)->loop->timers, &s->timer);
    stream_stop(&s->stream);
    free_if_idle(s);
}

/* The last answer is queued. A client that is still sending would lose it to a reset, if we closed
 * with its bytes unread (RFC 9112 section 9.6). */
static void linger(struct h1_session *s, bool discard)
{
    s->state = H1_LINGER;
    s->discard = discard;
    s->stream.tell_sent = true;
    s->lingers = false;
    set_deadline(s, conf_of(s)->body_timeout_ms);
    if (discard) {
        stream_shutdown(&s->stream);
        stream_read(&s->stream, STREAM_READ);
    } else {
        stream_flush(&s->stream);
    }
    s->again = true;
}

static void run_linger(struct h1_session *s)
{
    struct stream *t = &s->stream;

    if (t->error != 0 || t->tx_dead) {
        close_session(s, t->error != 0);
        return;
    }
    if (!s->lingers && stream_sent_all(t)) { /* from here on it is the client's to end it */
        s->lingers = true;
        set_deadline(s, LINGER_MS);
    }
    if (s->lingers)
        s->discarded += t->in_bytes;
    stream_consume(t, t->in_bytes);
    if (s->discarded > LINGER_BYTES)
        close_session(s, true);
    else if (s->lingers && (!s->discard || t->eof))
        close_session(s, false);
}

/* ---- heads ---- */

static void go_idle(struct h1_session *s)
{
    s->state = H1_IDLE;
    s->since_us = now_us(s);
    s->parser = (struct h1_parser){0};
    s->stream.tell_sent = false;
    if (s->draining)
        set_deadline(s, DRAIN_IDLE_MS);
    else
        set_deadline(s, s->sequence == 0 ? conf_of(s)->request_head_timeout_ms
                                         : conf_of(s)->idle_timeout_ms);
    /* With many requests here already, each of them must not bring in more. */
    stream_read(&s->stream, s->stream.in_bytes < STREAM_HIGH_WATER ? STREAM_READ : STREAM_WATCH);
    s->again = s->stream.in != NULL || s->stream.eof || s->stream.error != 0;
}

static struct exchange *new_exchange(struct h1_session *s)
{
    struct proxy *p = proxy_of(s);
    struct exchange *x = slab_alloc(&p->exchanges);

    if (x == NULL) {
        counter_add(&p->counters->memory_refused, 1);
        return NULL;
    }
    arena_init(&x->arena, &p->arenas);
    x->ops = &h1_front;
    x->session = &s->base;
    x->proxy = p;
    x->listener = s->base.listener->http;
    x->stick_member = STICK_NONE;
    x->sequence = ++s->sequence;
    x->idle_us = s->idle_us_of_head;
    x->begun_us = s->since_us;
    x->out_base = s->stream.sent + s->stream.out_bytes;
    s->exchange = x;
    s->state = H1_EXCHANGE;
    s->deadline_ms = 0;
    return x;
}

/* A head that was not understood, or did not come: an exchange that only answers. */
static void refuse(struct h1_session *s, uint16_t status, const char *reason, enum session_end why)
{
    struct exchange *x = new_exchange(s);

    if (x == NULL) {
        close_session(s, true);
        return;
    }
    x->request.version = 11;
    x->in_bytes = s->stream.in_bytes;
    x->request_taken = true;
    s->keep = false;
    s->unread = true;
    exchange_start_refused(x, status, reason, why);
    exchange_step(x);
}

static void start_exchange(struct h1_session *s, const struct http_head *head)
{
    struct exchange *x = new_exchange(s);

    if (x == NULL) {
        close_session(s, true);
        return;
    }
    x->headed_us = now_us(s);
    if (http_head_copy(head, &x->arena, &x->request) < 0) {
        counter_add(&proxy_of(s)->counters->memory_refused, 1);
        x->request_taken = true;
        s->keep = false;
        exchange_start_refused(x, 503, "out-of-resources", END_RESOURCE);
        exchange_step(x);
        return;
    }
    x->in_bytes = s->parser.at;
    stream_consume(&s->stream, s->parser.at);
    h1_body_begin(&x->in_body, (enum http_body)head->body, head->content_length);
    s->keep = x->request.keep_alive && !s->draining;
    s->unread = false;
    s->again = s->again || s->stream.eof; /* it may have left already */
    exchange_start(x);
    exchange_step(x);
}

/* A slow client may still be taking the end of the last response. */
static void end_idle(struct h1_session *s)
{
    if (stream_sent_all(&s->stream))
        close_session(s, false);
    else
        linger(s, false);
}

static void head_ended_early(struct h1_session *s)
{
    struct stream *t = &s->stream;

    if (t->error != 0 || t->tx_dead)
        close_session(s, t->error != 0);
    else if (s->state == H1_IDLE)
        end_idle(s);
    else
        refuse(s, 0, "client-left", END_CLIENT_LEFT_HEAD);
}

static void read_head(struct h1_session *s)
{
    struct stream *t = &s->stream;
    struct proxy *p = proxy_of(s);
    const struct http_listener_conf *c = conf_of(s);
    const struct h1_limits limits = request_limits(c);

    if (t->in == NULL || t->error != 0) {
        if (t->eof || t->error != 0 || t->tx_dead)
            head_ended_early(s);
        return;
    }
    if (s->state == H1_IDLE) {
        uint64_t idle_us = now_us(s) - s->since_us;
        s->idle_us_of_head = idle_us < UINT32_MAX ? (uint32_t)idle_us : UINT32_MAX;
        s->state = H1_HEAD;
        s->since_us = now_us(s);
        set_deadline(s, c->request_head_timeout_ms);
    }
    for (;;) {
        struct http_head head = {.fields = p->fields, .max_fields = (uint16_t)c->fields};
        enum h1_result r =
            h1_parse_request(&s->parser, (char *)t->in->data, t->in->len, &limits, &head);
        if (r == H1_DONE) {
            start_exchange(s, &head);
            return;
        }
        if (r != H1_MORE) {
            refuse(s, (uint16_t)h1_result_status(r), h1_result_code(r), END_BAD_REQUEST);
            return;
        }
        if (t->in->next == NULL)
            break;
        if (!stream_gather_front(t, t->in->len + t->in->next->len)) {
            close_session(s, true);
            return;
        }
    }
    if (t->eof)
        head_ended_early(s);
    else
        stream_read(t, STREAM_READ);
}

/* ---- the PROXY header ---- */

static void begin(struct h1_session *s)
{
    go_idle(s);
}

static void read_proxy_header(struct h1_session *s)
{
    struct stream *t = &s->stream;
    uint32_t n = t->in_bytes < LIMIT_PROXY_V2_BYTES ? t->in_bytes : LIMIT_PROXY_V2_BYTES;
    struct proxy_header h;

    if (n == 0 || !stream_gather_front(t, n)) {
        if (n > 0 || t->eof || t->error != 0)
            close_session(s, t->error != 0);
        return;
    }
    enum proxy_result r = proxy_parse(t->in->data, n, s->base.listener->conf->proxy_protocol, &h);
    if (r == PROXY_MORE && !t->eof)
        return;
    if (r != PROXY_DONE) {
        log_debug("listener %s: PROXY header refused: %s", s->base.listener->conf->name,
                  proxy_result_text(r));
        counter_add(&s->base.listener->stats->rows[proxy_of(s)->worker].bad_requests, 1);
        close_session(s, true);
        return;
    }
    if (!h.local) {
        peer_set(&s->base.client, &h.src);
        peer_set(&s->base.dst, &h.dst);
        s->base.local_port = addr_port(&h.dst);
    }
    stream_consume(t, (uint32_t)h.header_len);
    if (session_admit_source(&s->base, t->fd)) {
        begin(s);
        return;
    }
    counter_add(&s->base.listener->stats->rows[proxy_of(s)->worker].denied, 1);
    close_session(s, true);
}

/* ---- an exchange's events ---- */

/* It has ended its stream with a request under way; what is unread of its bytes does not count. */
static bool has_left(const struct h1_session *s)
{
    const struct stream *t = &s->stream;
    const struct exchange *x = s->exchange;

    if (conf_of(s)->half_close || x->state == X_TUNNEL || x->state == X_ANSWER)
        return false;
    return t->peer_ended || (t->eof && (x->request_taken || x->state == X_SEEKING));
}

static void run_exchange(struct h1_session *s)
{
    struct exchange *x = s->exchange;
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

static void run(struct h1_session *s)
{
    s->again = true;
    if (s->running)
        return;
    s->running = true;
    while (s->again) {
        s->again = false;
        switch ((enum h1_state)s->state) {
        case H1_PROXY_HEADER:
            read_proxy_header(s);
            break;
        case H1_IDLE:
        case H1_HEAD:
            read_head(s);
            break;
        case H1_EXCHANGE:
            run_exchange(s);
            break;
        case H1_LINGER:
            run_linger(s);
            break;
        case H1_CLOSING:
            break;
        }
    }
    s->running = false;
}

static void on_event(struct stream *stream)
{
    struct h1_session *s = container_of(stream, struct h1_session, stream);

    CHECK_MAGIC(s, SESSION_MAGIC);
    if (s->state == H1_CLOSING)
        free_if_idle(s);
    else
        run(s);
}

static void on_timer(struct timer *timer)
{
    struct h1_session *s = container_of(timer, struct h1_session, timer);
    uint64_t now = loop_now_ms(proxy_of(s)->loop);

    CHECK_MAGIC(s, SESSION_MAGIC);
    if (s->deadline_ms == 0)
        return;
    if (now < s->deadline_ms) {
        timer_start(&proxy_of(s)->loop->timers, timer, s->deadline_ms);
        return;
    }
    switch ((enum h1_state)s->state) {
    case H1_HEAD:
        refuse(s, 408, "request-timeout", END_HEAD_TIMEOUT);
        break;
    case H1_PROXY_HEADER:
    case H1_LINGER:
        close_session(s, true);
        break;
    case H1_IDLE:
        end_idle(s);
        run(s);
        break;
    case H1_EXCHANGE:
    case H1_CLOSING:
        break;
    }
}

/* ---- what the exchange asks for ---- */

static enum take front_take(struct exchange *x, struct io_buf **out)
{
    return h1_body_take(&x->in_body, &session_of(x)->stream, &x->arena, out, &x->request_trailers,
                        &x->reason, &x->in_bytes);
}

/* The connection may go on only where both know where this response ends, and where the request
 * does. One that is answered before all of it was there is not waited for. */
static bool goes_on(const struct h1_session *s, const struct exchange *x)
{
    if (!s->keep || s->draining || s->base.proxy->leaving || x->out.body == HTTP_BODY_CLOSE)
        return false;
    return x->request_taken;
}

static enum h1_connection connection_of(const struct h1_session *s, const struct exchange *x,
                                        const struct http_head *h)
{
    if (h->status == 101)
        return H1_CONN_UPGRADE;
    if (!s->keep)
        return H1_CONN_CLOSE;
    return x->request.version >= 11 ? H1_CONN_DEFAULT : H1_CONN_KEEP_ALIVE;
}

static bool front_head(struct exchange *x, const struct http_head *h, bool interim)
{
    struct h1_session *s = session_of(x);
    struct h1_framing framing = {.body = HTTP_BODY_NONE};

    if (!interim) {
        s->keep = goes_on(s, x);
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
    session_of(x)->keep = false;
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
    struct h1_session *s = session_of(x);
    struct stream *t = &s->stream;
    bool cut = x->cut, orderly = may_end_orderly(x),
         upgraded = x->response.status == 101 && x->answered_us != 0;
    bool unread = s->unread || !x->request_taken;

    uint64_t out = t->sent + t->out_bytes; /* less than before when what was queued was lost */
    x->out_bytes = out > x->out_base ? out - x->out_base : 0;
    exchange_free(&s->exchange);
    if (s->state == H1_CLOSING)
        free_if_idle(s);
    else if (cut && !orderly)
        close_session(s, true);
    else if (!cut && s->keep && !unread && !(t->eof && t->in == NULL))
        go_idle(s);
    else if (upgraded)
        linger(s, false);
    else
        linger(s, (unread || t->in != NULL) && !t->eof);
    if (s->state != H1_CLOSING && s->again)
        run(s);
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
    .spliceable = front_spliceable,
    .spliced = front_spliced,
    .progress = front_progress,
    .pull = front_pull,
    .upgrade = front_upgrade,
    .over = front_over,
};

/* ---- the start ---- */

void h1_session_start(struct proxy *p, struct acceptor *a, int fd)
{
    struct h1_session *s = slab_alloc(&p->h1_sessions);

    if (s == NULL) {
        counter_add(&p->counters->memory_refused, 1);
        io_reset(p->loop->io, fd);
        return;
    }
    session_init(&s->base, &h1_session_ops, p, a);
    s->magic = SESSION_MAGIC;
    timer_init(&s->timer, on_timer);
    if (!session_admit(&s->base, fd)) {
        session_refuse(&s->base);
        io_reset(p->loop->io, fd);
        slab_free(&p->h1_sessions, s);
        return;
    }
    session_begin(&s->base, fd);
    stream_open(&s->stream, &p->streams, fd, on_event);
    s->stream.watch_end = !conf_of(s)->half_close;
    s->draining = p->draining;
    if (session_expects_proxy_header(&s->base, fd)) {
        s->state = H1_PROXY_HEADER;
        set_deadline(s, s->base.listener->conf->handshake_timeout_ms);
        stream_read(&s->stream, STREAM_READ);
    } else {
        begin(s);
    }
}

/* ---- for the operator ---- */

static void op_end(struct session *base, enum session_end why)
{
    struct h1_session *s = of_base(base);

    if (s->exchange != NULL)
        exchange_end(s->exchange, why);
    if (s->state != H1_CLOSING)
        close_session(s, session_end_is_cut(why));
}

static void op_free(struct session *base)
{
    struct h1_session *s = of_base(base);

    stream_close(&s->stream, s->reset);
    session_finish(base);
    s->magic = 0;
    slab_free(&base->proxy->h1_sessions, s);
}

static void op_drain(struct session *base)
{
    struct h1_session *s = of_base(base);

    s->draining = true;
    if (s->state == H1_IDLE)
        set_deadline(s, DRAIN_IDLE_MS);
}

static const char *pool_name(const struct session *base)
{
    const struct exchange *x = of_base(base)->exchange;

    return x != NULL && x->pool != NULL ? x->pool->name : NULL;
}

static const char *backend_name(const struct session *base)
{
    const struct exchange *x = of_base(base)->exchange;

    return x != NULL && x->pool != NULL && x->seek.slot != NULL ? x->seek.slot->name : NULL;
}

/* Requests under way are let finish; an upgraded connection would go on for hours. */
static bool cut_by(const struct session *base, const struct backend_slot *slot)
{
    const struct exchange *x = of_base(base)->exchange;

    return x != NULL && x->state == X_TUNNEL && x->seek.slot == slot &&
           x->pool->conf->close_on_down;
}

static void view(struct session *base, struct proxy_session_view *out)
{
    struct h1_session *s = of_base(base);
    struct exchange *x = s->exchange;
    const struct stream *backend = x != NULL ? wire_raw(&x->wire) : NULL;

    out->idle_ms = s->state == H1_IDLE ? (now_us(s) - s->since_us) / 1000 : 0;
    out->client_fd = s->stream.fd;
    out->bytes_out = s->stream.sent;
    out->state = x != NULL ? exchange_state_name(x) : state_names[s->state];
    if (x == NULL)
        return;
    out->bytes_in = x->in_bytes;
    out->in_spliced = s->stream.rx_state == STREAM_RX_SPLICE;
    if (backend != NULL) {
        out->backend_fd = backend->fd;
        out->out_spliced = backend->rx_state == STREAM_RX_SPLICE;
    }
}

static const struct session_ops h1_session_ops = {
    .end = op_end,
    .cut_by = cut_by,
    .pool_name = pool_name,
    .backend_name = backend_name,
    .view = view,
    .drain = op_drain,
    .free = op_free,
};
