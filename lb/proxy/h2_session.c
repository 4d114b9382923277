/* h2_session.c - HTTP/2 on a client's connection: nghttp2 makes frames of bytes and bytes of
 * frames, each request is a stream (h2_front.c) with an exchange of its own.
 *
 * What is received goes to nghttp2 where it lies; its callbacks (h2_events.c) only note things and
 * put streams on the ready list, which is run when nghttp2 has returned. What is to be sent is
 * framed as long as less than H2_OUT_HIGH is queued, and goes out once a turn. Frames that cost us
 * and not the client are counted before nghttp2 sees them (h2_guard.h); so the memory of a
 * connection is bounded by nghttp2's (MEM_MAX), a window of payload per stream and connection, and
 * what is queued. */
#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/obs/reasons.h"
#include "lb/proxy/exchange_priv.h"
#include "lb/proxy/h2_priv.h"
#include "lb/proxy/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEM_MAX       (1u << 20)        /* bytes of nghttp2's for one connection */
#define OUT_FULL      (2 * H2_OUT_HIGH) /* then nothing is read either: it would be answered */
#define DRAIN_IDLE_MS 1000              /* for requests that are on their way when we drain */

enum deadline {
    DEADLINE_NONE,
    DEADLINE_FIRST, /* nothing was asked for yet */
    DEADLINE_HEAD,  /* a head has begun */
    DEADLINE_IDLE,
    DEADLINE_DRAIN,
};

static struct h2_session *session_of(const struct http_session *s)
{
    return s->h2;
}

static bool is_open(const struct h2_session *h2)
{
    return h2->s->phase == HTTP_OPEN;
}

/* ---- what waits ---- */

void h2_flush_soon(struct h2_session *h2)
{
    loop_defer(h2->s->base.proxy->loop, &h2->turn_end);
}

void h2_ready(struct h2_front *st)
{
    if (list_linked(&st->ready))
        return;
    list_push_back(&st->h2->ready, &st->ready);
    h2_flush_soon(st->h2);
}

static void run_ready(struct h2_session *h2)
{
    struct list now, *node;

    list_init(&now);
    list_splice_back(&now, &h2->ready);
    while ((node = list_pop_front(&now)) != NULL)
        h2_front_run(list_entry(node, struct h2_front, ready));
}

void h2_front_gone(struct h2_session *h2)
{
    if (h2->n_streams == 0)
        h2->since_us = http_session_now_us(h2->s);
    h2_flush_soon(h2);
    http_session_free_if_idle(h2->s);
}

/* ---- out ---- */

bool h2_has_room(const struct h2_session *h2)
{
    return h2->n_heads > 0 || h2->over || h2->s->stream.out_bytes < H2_OUT_HIGH;
}

void h2_pump(struct h2_session *h2)
{
    struct stream *t = &h2->s->stream;
    const uint8_t *data;
    ssize_t n = 1;

    if (h2->in_ng || h2->dead)
        return;
    h2->in_ng = true;
    while (n > 0 && h2_has_room(h2)) {
        n = nghttp2_session_mem_send(h2->ng, &data);
        if (n < 0 || (n > 0 && !stream_write(t, data, (uint32_t)n)))
            h2->dead = true;
        if (h2->dead)
            break;
    }
    h2->in_ng = false;
    if (!h2_has_room(h2)) /* there may be more */
        t->tell_sent = true;
    if (h2->dead)
        h2_flush_soon(h2);
}

/* ---- ends ---- */

static void lose_all(struct h2_session *h2)
{
    list_for_each_safe (node, next, &h2->streams)
        h2_front_end(list_entry(node, struct h2_front, node), END_CLIENT_ABORT);
}

/* The last words; open exchanges are over. Clients say something whenever they have read something
 * (WINDOW_UPDATE): what comes now is read and thrown away, as a reset would destroy what they have
 * not read yet. */
static void end(struct h2_session *h2, uint32_t code)
{
    if (!is_open(h2))
        return;
    h2->over = true;
    if (!h2->dead && h2->ng_error == 0)
        nghttp2_session_terminate_session(h2->ng, code);
    lose_all(h2);
    h2_pump(h2);
    h2->dead = true;
    http_session_linger(h2->s, true);
}

/* The connection as a whole is at fault: that is logged once, whatever it had under way. */
static void cut(struct h2_session *h2, uint32_t code, const char *reason, enum session_end why)
{
    struct h2_front *st;

    if (!is_open(h2))
        return;
    log_debug("listener %s: HTTP/2 connection cut: %s", h2->s->base.listener->conf->name, reason);
    end(h2, code);
    st = h2_front_new(h2, 0);
    if (st == NULL)
        return;
    st->started = true;
    st->x->request_taken = true;
    st->x->request.version = 20;
    st->x->sequence = h2->sequence;
    exchange_start_refused(st->x, 0, reason, why);
    exchange_step(st->x);
}

/* RFC 9113 section 7, as far as nghttp2 finds it. */
static const char *ng_reason(uint32_t code)
{
    switch (code) {
    case NGHTTP2_FLOW_CONTROL_ERROR:
        return "h2-flow-control-error";
    case NGHTTP2_FRAME_SIZE_ERROR:
        return "h2-frame-size-error";
    case NGHTTP2_COMPRESSION_ERROR:
        return "h2-compression-error";
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return "h2-flood";
    case NGHTTP2_INTERNAL_ERROR:
        return "out-of-resources";
    default:
        return "h2-protocol-error";
    }
}

/* ---- draining ---- */

/* RFC 9113 section 6.8: first that we are about to, and, when the client must have read that, which
 * request was the last. */
static void begin_drain(struct h2_session *h2)
{
    if (h2->drain_begun || h2->dead)
        return;
    h2->drain_begun = true;
    nghttp2_submit_shutdown_notice(h2->ng);
    nghttp2_submit_ping(h2->ng, NGHTTP2_FLAG_NONE, NULL);
    h2_flush_soon(h2);
}

void h2_say_drain(struct h2_session *h2)
{
    if (!h2->drain_begun || h2->drain_said || h2->dead)
        return;
    h2->drain_said = true;
    nghttp2_submit_goaway(h2->ng, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h2->ng), NGHTTP2_NO_ERROR, NULL,
                          0);
    h2_flush_soon(h2);
}

/* ---- time ---- */

static void set_deadline(struct h2_session *h2)
{
    const struct http_listener_conf *c = http_session_conf(h2->s);
    enum deadline kind = DEADLINE_NONE;
    uint64_t ms = 0;

    if (h2->building != NULL) {
        kind = DEADLINE_HEAD;
        ms = c->request_head_timeout_ms;
    } else if (h2->drain_begun && !h2->drain_said) {
        kind = DEADLINE_DRAIN;
        ms = DRAIN_IDLE_MS;
    } else if (h2->n_streams == 0) {
        kind = h2->sequence == 0 ? DEADLINE_FIRST : DEADLINE_IDLE;
        ms = h2->sequence == 0 ? c->request_head_timeout_ms : c->idle_timeout_ms;
    }
    int32_t head = kind == DEADLINE_HEAD ? h2->building->id : 0;
    if (kind == h2->deadline && head == h2->deadline_head)
        return;
    h2->deadline = (uint8_t)kind;
    h2->deadline_head = head;
    http_session_deadline(h2->s, ms);
}

static void timeout(struct http_session *s)
{
    struct h2_session *h2 = session_of(s);

    switch ((enum deadline)h2->deadline) {
    case DEADLINE_HEAD:
        cut(h2, NGHTTP2_NO_ERROR, "request-timeout", END_HEAD_TIMEOUT);
        return;
    case DEADLINE_DRAIN:
        h2_say_drain(h2);
        return;
    case DEADLINE_FIRST:
    case DEADLINE_IDLE:
        end(h2, NGHTTP2_NO_ERROR);
        return;
    case DEADLINE_NONE:
        return;
    }
}

/* ---- in ---- */

static void feed(struct h2_session *h2)
{
    struct stream *t = &h2->s->stream;
    uint64_t now_ms = loop_now_ms(h2->s->base.proxy->loop);

    h2->in_ng = true;
    while (t->in != NULL && !h2->dead && t->out_bytes < OUT_FULL) {
        const struct io_buf *b = t->in;
        if (h2_guard_scan(&h2->guard, b->data, b->len, now_ms) != H2_FINE)
            break;
        ssize_t n = nghttp2_session_mem_recv(h2->ng, b->data, b->len);
        if (n < 0)
            h2->dead = true;
        if (n < 0 || h2->guard.abuse != H2_FINE)
            break;
        stream_consume(t, (uint32_t)n);
    }
    h2->in_ng = false;
}

static void read_more(struct h2_session *h2)
{
    struct stream *t = &h2->s->stream;

    if (t->out_bytes < OUT_FULL && t->in_bytes < STREAM_HIGH_WATER) {
        stream_read(t, STREAM_READ);
        return;
    }
    stream_read(t, STREAM_WATCH);
    t->tell_sent = true;
}

/* Whether there is an end, and which. */
static void settle(struct h2_session *h2)
{
    struct stream *t = &h2->s->stream;

    if (!is_open(h2))
        return;
    if (h2->guard.abuse != H2_FINE) {
        cut(h2,
            h2->guard.abuse == H2_BROKEN_RULE ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_ENHANCE_YOUR_CALM,
            h2_abuse_code((enum h2_abuse)h2->guard.abuse), END_BAD_REQUEST);
    } else if (h2->ng_error != 0) {
        cut(h2, h2->ng_error, ng_reason(h2->ng_error), END_BAD_REQUEST);
    } else if (h2->dead) {
        cut(h2, 0, h2->sequence == 0 ? "h2-protocol-error" : "out-of-resources", END_BAD_REQUEST);
    } else if (t->eof && t->in == NULL) {
        h2->dead = true;
        lose_all(h2);
        http_session_end(h2->s);
    } else if (!nghttp2_session_want_read(h2->ng) && !nghttp2_session_want_write(h2->ng)) {
        end(h2, NGHTTP2_NO_ERROR);
    } else if (h2->drain_said && h2->n_streams == 0) {
        end(h2, NGHTTP2_NO_ERROR);
    } else {
        set_deadline(h2);
        read_more(h2);
    }
}

static void run(struct http_session *s)
{
    struct h2_session *h2 = session_of(s);
    struct stream *t = &s->stream;

    if (t->error != 0 || t->tx_dead) {
        h2->dead = true;
        lose_all(h2);
        http_session_close(s, t->error != 0);
        return;
    }
    feed(h2);
    h2_flush_soon(h2);
}

/* Streams are looked at once in a turn, behind everything that it has brought. */
static void on_turn_end(struct loop_task *task)
{
    struct h2_session *h2 = container_of(task, struct h2_session, turn_end);

    run_ready(h2);
    if (h2->s->base.proxy->leaving && is_open(h2))
        begin_drain(h2);
    h2_pump(h2);
    settle(h2);
    if (h2->s->phase != HTTP_CLOSING)
        stream_flush(&h2->s->stream);
    /* Where the client does not take what we say, the next event is that it has. */
    if (is_open(h2) && h2->s->stream.in != NULL && h2->s->stream.out_bytes < OUT_FULL)
        http_session_run(h2->s);
}

/* ---- the start ---- */

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum h2_preface h2_preface(const struct stream *s)
{
    const struct io_buf *b = s->in;
    uint32_t n = sizeof(preface) - 1, at = 0;

    for (; b != NULL && at < n; b = b->next) {
        uint32_t part = b->len < n - at ? b->len : n - at;
        if (memcmp(b->data, preface + at, part) != 0)
            return H2_PREFACE_NO;
        at += part;
    }
    return at == n ? H2_PREFACE_YES : H2_PREFACE_PART;
}

static bool greet(struct h2_session *h2)
{
    const struct http_listener_conf *c = http_session_conf(h2->s);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->h2_max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_CLIENT_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, c->head_bytes},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };

    return nghttp2_submit_settings(h2->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) == 0 &&
           nghttp2_session_set_local_window_size(h2->ng, NGHTTP2_FLAG_NONE, 0,
                                                 H2_CLIENT_CONN_WINDOW) == 0;
}

static void begin(struct http_session *s)
{
    struct proxy *p = s->base.proxy;
    struct h2_session *h2 = slab_alloc(&p->h2_sessions);

    s->h2 = h2;
    if (h2 == NULL) {
        counter_add(&p->counters->memory_refused, 1);
        http_session_close(s, true);
        return;
    }
    h2->s = s;
    list_init(&h2->streams);
    list_init(&h2->ready);
    list_init(&h2->turn_end.node);
    h2->turn_end.fn = on_turn_end;
    h2->since_us = h2->greeted_us = http_session_now_us(s);
    h2_mem_init(&h2->mem, &p->h2_blocks, MEM_MAX);
    h2_guard_init(&h2->guard, loop_now_ms(p->loop));
    if (!h2_events_begin(h2) || !greet(h2)) {
        counter_add(&p->counters->memory_refused, 1);
        h2->dead = true;
        http_session_close(s, true);
        return;
    }
    if (s->draining)
        begin_drain(h2);
    set_deadline(h2);
    stream_read(&s->stream, STREAM_READ);
    h2_flush_soon(h2);
    http_session_again(s);
}

static void leave(struct http_session *s)
{
    struct h2_session *h2 = session_of(s);

    if (h2 == NULL)
        return;
    sl_assert(h2->n_streams == 0);
    list_remove(&h2->turn_end.node);
    h2_resets_free(h2);
    nghttp2_session_del(h2->ng);
    sl_assert(h2->mem.used == 0);
    slab_free(&s->base.proxy->h2_sessions, h2);
    s->h2 = NULL;
}

/* ---- for the operator ---- */

static void drain(struct http_session *s)
{
    begin_drain(session_of(s));
}

static void op_end(struct http_session *s, enum session_end why)
{
    struct h2_session *h2 = session_of(s);

    if (h2 == NULL)
        return;
    list_for_each_safe (node, next, &h2->streams)
        h2_front_end(list_entry(node, struct h2_front, node), why);
    h2->dead = true;
}

static void backend_down(struct http_session *s, const struct backend_slot *slot)
{
    if (s->h2 == NULL)
        return;
    list_for_each_safe (node, next, &s->h2->streams) {
        struct h2_front *st = list_entry(node, struct h2_front, node);
        if (st->started && exchange_ends_with(st->x, slot))
            h2_front_end(st, END_DOWN);
    }
}

static bool busy(const struct http_session *s)
{
    return s->h2 != NULL && s->h2->n_streams > 0;
}

/* Of the first that has one. */
static const struct exchange *first_exchange(const struct http_session *s)
{
    if (s->h2 == NULL)
        return NULL;
    list_for_each (node, &s->h2->streams) {
        const struct exchange *x = list_entry(node, struct h2_front, node)->x;
        if (x->pool != NULL)
            return x;
    }
    return NULL;
}

static const char *pool_name(const struct http_session *s)
{
    const struct exchange *x = first_exchange(s);

    return x != NULL ? x->pool->name : NULL;
}

static const char *backend_name(const struct http_session *s)
{
    const struct exchange *x = first_exchange(s);

    return x != NULL && x->seek.slot != NULL ? x->seek.slot->name : NULL;
}

static void view(struct http_session *s, struct proxy_session_view *out)
{
    const struct h2_session *h2 = session_of(s);
    const struct exchange *x = first_exchange(s);

    if (h2 == NULL)
        return;
    out->idle_ms = h2->n_streams == 0 ? (http_session_now_us(s) - h2->since_us) / 1000 : 0;
    out->state = x != NULL ? exchange_state_name(x) : h2->n_streams > 0 ? "reading" : "idle";
    out->streams = h2->n_streams;
    out->kind = h2->n_streams > 0 ? SESSION_H2 : SESSION_H2_IDLE;
    list_for_each (node, &h2->streams) {
        const struct exchange *each = list_entry(node, struct h2_front, node)->x;
        out->bytes_in += each->in_bytes;
        if (each->state == X_TUNNEL)
            out->kind = SESSION_UPGRADED;
    }
}

const struct http_protocol h2_protocol = {
    .begin = begin,
    .run = run,
    .timeout = timeout,
    .drain = drain,
    .end = op_end,
    .backend_down = backend_down,
    .busy = busy,
    .pool_name = pool_name,
    .backend_name = backend_name,
    .view = view,
    .leave = leave,
};
