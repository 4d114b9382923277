/* h2_session.c - HTTP/2 on a client's connection: nghttp2 makes frames of bytes and bytes of
 * frames, each request is a stream (h2_front.c) with an exchange of its own.
 *
 * What is received goes to nghttp2 where it lies; its callbacks only note things and put streams on
 * the ready list, which is run when nghttp2 has returned. What is to be sent is framed as long as
 * less than H2_OUT_HIGH is queued, and goes out once a turn. Frames that cost us and not the client
 * are counted before nghttp2 sees them (h2_guard.h); so the memory of a connection is bounded by
 * nghttp2's (MEM_MAX), a window of payload per stream and connection, and what is queued. */
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
#define HEADS_MAX     (2u << 20)        /* bytes of all heads; then requests are refused */
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

static void say_drain(struct h2_session *h2)
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
        say_drain(h2);
        return;
    case DEADLINE_FIRST:
    case DEADLINE_IDLE:
        end(h2, NGHTTP2_NO_ERROR);
        return;
    case DEADLINE_NONE:
        return;
    }
}

/* ---- what nghttp2 tells ---- */

static struct h2_front *front_of(nghttp2_session *ng, int32_t id)
{
    return nghttp2_session_get_stream_user_data(ng, id);
}

/* The client may have forgotten streams that we have not: it cannot pile them up, nor heads. */
static bool has_place(const struct h2_session *h2)
{
    return h2->n_streams < 2 * http_session_conf(h2->s)->h2_max_streams &&
           h2->head_bytes < HEADS_MAX;
}

static int begin_request(struct h2_session *h2, int32_t id)
{
    const struct h1_limits limits = request_limits(http_session_conf(h2->s));
    struct h2_front *st = has_place(h2) ? h2_front_new(h2, id) : NULL;

    if (st == NULL) {
        h2_guard_spend(&h2->guard, H2_RESETS);
        return nghttp2_submit_rst_stream(h2->ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    }
    nghttp2_session_set_stream_user_data(h2->ng, id, st);
    h2_head_begin(&h2->head, H2_REQUEST, &limits, &st->x->arena, &st->x->request);
    h2->building = st;
    return 0;
}

static int begin_trailers(struct h2_session *h2, struct h2_front *st)
{
    const struct h1_limits limits = {.head_bytes = H2_TRAILER_BYTES, .fields = H2_TRAILER_FIELDS};

    if (st == NULL)
        return 0;
    struct http_head *h = arena_zalloc(&st->x->arena, sizeof(*h));
    if (h == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    h2_head_begin(&h2->head, H2_TRAILERS, &limits, &st->x->arena, h);
    h2->building = st;
    return 0;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    struct h2_session *h2 = arg;

    h2->building = NULL;
    h2->head.bytes = 0;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        return begin_request(h2, frame->hd.stream_id);
    return begin_trailers(h2, front_of(ng, frame->hd.stream_id));
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct h2_session *h2 = arg;

    (void)ng;
    (void)frame;
    (void)flags;
    if (h2->building != NULL)
        h2_head_field(&h2->head, (struct str){(const char *)name, name_len},
                      (struct str){(const char *)value, value_len});
    else
        h2->head.bytes += (uint32_t)(name_len + value_len + 32);
    if (h2->head.bytes <= h2_guard_head_max(http_session_conf(h2->s)->head_bytes))
        return 0;
    h2_guard_trip(&h2->guard, H2_HEAD_BOMB);
    return NGHTTP2_ERR_PAUSE;
}

/* No more of it is wanted: the exchange hears of it when it asks for payload. */
static void refuse_payload(struct h2_session *h2, struct h2_front *st)
{
    nghttp2_submit_rst_stream(h2->ng, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_PROTOCOL_ERROR);
    h2_ready(st);
}

static void end_of_request(struct h2_session *h2, struct h2_front *st)
{
    h2_front_ended(st);
    if (st->bad != NULL)
        refuse_payload(h2, st);
    h2_ready(st);
}

static void head_complete(struct h2_session *h2, const nghttp2_frame *frame)
{
    /* Nobody shall wait for a large response because of a small one before it. */
    static const nghttp2_extpri in_turns = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    struct h2_front *st = h2->building;
    bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    h2->building = NULL;
    if (st == NULL)
        return;
    st->x->in_bytes += H2_FRAME_HEAD + frame->hd.length;
    st->head_bytes += h2->head.bytes;
    h2->head_bytes += h2->head.bytes;
    enum h1_result r = h2_head_end(&h2->head, last, HTTP_GET);
    if (h2->head.kind == H2_REQUEST) {
        st->result = (uint8_t)r;
        st->in_ended = last;
        st->has_length = st->x->request.body == HTTP_BODY_LENGTH;
        st->in_left = st->x->request.content_length;
        nghttp2_session_change_extpri_stream_priority(h2->ng, st->id, &in_turns, 1);
        h2_ready(st);
        return;
    }
    if (r != H1_DONE)
        st->bad = h1_result_code(r);
    else if (h2->head.out->n_fields > 0)
        st->x->request_trailers = h2->head.out;
    end_of_request(h2, st);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    struct h2_session *h2 = arg;
    struct h2_front *st;

    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        head_complete(h2, frame);
        return 0;
    case NGHTTP2_DATA:
        st = front_of(ng, frame->hd.stream_id);
        if (st != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
            end_of_request(h2, st);
        return 0;
    case NGHTTP2_RST_STREAM:
        st = front_of(ng, frame->hd.stream_id);
        if (st != NULL && st->head_sent)
            h2_guard_reset_was_due(&h2->guard);
        return 0;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
            say_drain(h2);
        return 0;
    case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && h2->rtt_us == 0)
            h2->rtt_us = http_session_now_us(h2->s) - h2->greeted_us;
        return 0;
    default:
        return 0;
    }
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                   void *arg)
{
    struct h2_session *h2 = arg;
    struct h2_front *st = front_of(ng, id);

    (void)flags;
    if (st == NULL || st->bad != NULL)
        return nghttp2_session_consume_connection(ng, len);
    if (!h2_front_receive(st, data, len))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (st->bad != NULL) {
        refuse_payload(h2, st);
        return nghttp2_session_consume_connection(ng, len);
    }
    h2_ready(st);
    return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
    struct h2_front *st = front_of(ng, id);

    (void)code;
    (void)arg;
    if (st == NULL)
        return 0;
    st->closed = true;
    if (st->h2->building == st)
        st->h2->building = NULL;
    h2_ready(st);
    return 0;
}

/* A response's head has left nghttp2, one way or the other. */
static void head_gone(struct h2_session *h2, const nghttp2_frame *frame)
{
    const nghttp2_nv *first = frame->headers.nva;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.nvlen == 0 || first->namelen != 7 ||
        first->name[0] != ':')
        return;
    if (first->value[0] == '1')
        h2->n_interim--;
    else
        h2->n_heads--;
}

/* What a client has made us reset; the rest are ends of our own. */
static bool is_made_reset(uint32_t code)
{
    return code != NGHTTP2_NO_ERROR && code != NGHTTP2_INTERNAL_ERROR && code != NGHTTP2_CANCEL;
}

static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    struct h2_session *h2 = arg;
    struct h2_front *st;

    switch (frame->hd.type) {
    case NGHTTP2_RST_STREAM:
        if (is_made_reset(frame->rst_stream.error_code))
            h2_guard_spend(&h2->guard, H2_RESETS);
        return 0;
    case NGHTTP2_GOAWAY:
        h2->ng_error = frame->goaway.error_code;
        return 0;
    case NGHTTP2_HEADERS:
        head_gone(h2, frame);
        break;
    case NGHTTP2_DATA:
        break;
    default:
        return 0;
    }
    st = front_of(ng, frame->hd.stream_id);
    if (st == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        st->x->out_bytes += H2_FRAME_HEAD + frame->hd.length;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        st->end_sent = true;
        if (st->waits)
            h2_ready(st);
        st->waits = false;
    }
    return 0;
}

static int on_not_sent(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *arg)
{
    struct h2_session *h2 = arg;

    (void)ng;
    (void)error;
    head_gone(h2, frame);
    return 0;
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

/* The same for all connections of a worker. */
struct h2_shared {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *options;
};

void h2_init(struct proxy *p)
{
    struct h2_shared *sh = xcalloc(1, sizeof(*sh));

    p->h2_windows = LIMIT_H2_GROWN;
    blocks_init(&p->h2_blocks, H2_MEM_KEPT);
    slab_init(&p->h2_sessions, "h2 session", sizeof(struct h2_session), 0);
    slab_init(&p->h2_fronts, "h2 front", sizeof(struct h2_front), 0);
    sl_assert(nghttp2_session_callbacks_new(&sh->callbacks) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(sh->callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(sh->callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(sh->callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(sh->callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(sh->callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(sh->callbacks, on_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(sh->callbacks, on_not_sent);
    nghttp2_session_callbacks_set_send_data_callback(sh->callbacks, h2_front_send);
    sl_assert(nghttp2_option_new(&sh->options) == 0);
    nghttp2_option_set_no_auto_window_update(sh->options, 1);
    nghttp2_option_set_no_http_messaging(sh->options, 1); /* h2_head.h is stricter */
    nghttp2_option_set_no_closed_streams(sh->options, 1);
    /* The library's own count of resets knows nothing of what was answered before. */
    nghttp2_option_set_stream_reset_rate_limit(sh->options, UINT64_MAX, 1);
    p->h2_shared = sh;
}

void h2_fini(struct proxy *p)
{
    sl_assert(p->h2_windows == LIMIT_H2_GROWN);
    nghttp2_session_callbacks_del(p->h2_shared->callbacks);
    nghttp2_option_del(p->h2_shared->options);
    free(p->h2_shared);
    slab_fini(&p->h2_fronts);
    slab_fini(&p->h2_sessions);
    blocks_fini(&p->h2_blocks);
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
    if (nghttp2_session_server_new3(&h2->ng, p->h2_shared->callbacks, h2, p->h2_shared->options,
                                    &h2->mem.ops) != 0 ||
        !greet(h2)) {
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
