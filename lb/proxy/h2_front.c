/* h2_front.c - one request of a connection of HTTP/2: the front of its exchange.
 *
 * Payload of the request waits here, at most one window of it: the window opens as the exchange
 * takes it. Payload of the response waits here until nghttp2 frames it (h2_front_frames.c).
 * Nothing here calls into an exchange from inside nghttp2: streams are put on the ready list. */
#include "lb/base/log.h"
#include "lb/http/websocket.h"
#include "lb/obs/reasons.h"
#include "lb/proxy/exchange_priv.h"
#include "lb/proxy/h2_priv.h"
#include "lb/proxy/request.h"

#include <errno.h>
#include <string.h>

#define IN_BUF_MIN  512
#define IN_BUF_MAX  (16u << 10)
#define NV_ON_STACK 64

static const struct front_ops front_ops;

static struct h2_front *front_of(const struct exchange *x)
{
    return x->front;
}

/* Nobody is there to whom anything could be said. */
static bool is_gone(const struct h2_front *st)
{
    return st->closed || st->h2->dead;
}

/* ---- life ---- */

struct h2_front *h2_front_new(struct h2_session *h2, int32_t id)
{
    struct proxy *p = h2->s->base.proxy;
    struct h2_front *st = slab_alloc(&p->h2_fronts);

    if (st == NULL) {
        counter_add(&p->counters->memory_refused, 1);
        return NULL;
    }
    st->x = http_session_exchange(h2->s, &front_ops);
    if (st->x == NULL) {
        slab_free(&p->h2_fronts, st);
        return NULL;
    }
    list_init(&st->node);
    list_init(&st->ready);
    list_push_back(&h2->streams, &st->node);
    st->h2 = h2;
    st->id = id;
    st->closed = id == 0;
    h2_window_init(&st->window, H2_CLIENT_WINDOW, http_session_now_us(h2->s));
    st->x->front = st;
    st->x->begun_us = http_session_now_us(h2->s);
    h2->n_streams++;
    return st;
}

/* What RST_STREAM says of an end before the response's. */
static uint32_t code_of(const struct exchange *x, const struct h2_front *st)
{
    if (st->bad != NULL || x->end == END_BAD_REQUEST)
        return NGHTTP2_PROTOCOL_ERROR;
    if (x->wire.left_kindly)
        return NGHTTP2_NO_ERROR;
    return x->client_left ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR;
}

/* ---- windows ---- */

static void set_connection_window(struct h2_session *h2)
{
    nghttp2_session_set_local_window_size(h2->ng, NGHTTP2_FLAG_NONE, 0,
                                          (int32_t)(H2_CLIENT_CONN_WINDOW + h2->grown));
}

static void window_taken(struct h2_front *st, uint32_t n)
{
    struct h2_session *h2 = st->h2;
    uint32_t more = h2_window_taken(&st->window, &h2->s->base.proxy->h2_windows, n,
                                    http_session_now_us(h2->s), h2->rtt_us);

    if (more == 0)
        return;
    h2->grown += more;
    nghttp2_session_set_local_window_size(h2->ng, NGHTTP2_FLAG_NONE, st->id,
                                          (int32_t)st->window.size);
    set_connection_window(h2);
}

static void window_over(struct h2_front *st)
{
    struct h2_session *h2 = st->h2;
    uint32_t less = h2_window_shrink(&st->window, &h2->s->base.proxy->h2_windows);

    h2->grown -= less;
    if (less > 0 && !h2->dead)
        set_connection_window(h2);
}

/* ---- the end ---- */

static void drop_in(struct h2_front *st)
{
    if (st->in_bytes > 0 && !st->h2->dead)
        nghttp2_session_consume_connection(st->h2->ng, st->in_bytes);
    io_buf_put_chain(h2_front_io(st), st->in);
    st->in = st->in_last = NULL;
    st->in_bytes = 0;
}

static void drop_out(struct h2_front *st)
{
    io_buf_put_chain(h2_front_io(st), st->out);
    st->out = st->out_last = NULL;
    st->out_bytes = 0;
}

static void forget(struct h2_front *st)
{
    struct h2_session *h2 = st->h2;

    if (h2->building == st)
        h2->building = NULL;
    if (h2->stuck == st)
        h2->stuck = NULL;
    h2->head_bytes -= st->head_bytes;
    window_over(st);
    drop_in(st);
    drop_out(st);
    list_remove(&st->node);
    list_remove(&st->ready);
    slab_free(&h2->s->base.proxy->h2_fronts, st);
    h2->n_streams--;
    h2_front_gone(h2);
}

static void front_over(struct exchange *x)
{
    struct h2_front *st = front_of(x);
    struct h2_session *h2 = st->h2;

    if (!is_gone(st)) {
        nghttp2_session_set_stream_user_data(h2->ng, st->id, NULL);
        /* A frame that is stuck brings its reset along. */
        if (st->end_sent && !st->in_ended)
            h2_reset_later(h2, st->id);
        else if (!st->end_sent && h2->stuck != st)
            nghttp2_submit_rst_stream(h2->ng, NGHTTP2_FLAG_NONE, st->id, code_of(x, st));
    }
    if (!x->cut && st->end_sent && st->bad == NULL)
        h2_guard_request_done(&h2->guard);
    exchange_free(&st->x);
    forget(st);
}

/* ---- the beginning ---- */

/* A backend of HTTP/1 wants one; its answer proves nothing to us (RFC 8441 section 5.1). */
static bool add_websocket_key(struct exchange *x)
{
    uint64_t random[] = {rng_next(&x->proxy->rng), rng_next(&x->proxy->rng)};
    char text[WEBSOCKET_KEY_LEN];

    websocket_key((const uint8_t *)random, text);
    return http_head_set(&x->request, &x->arena, STR("sec-websocket-key"),
                         (struct str){text, sizeof(text)}) == 0;
}

/* What RFC 9113 calls malformed gets no answer but a reset (section 8.1.1); what is merely refused
 * is answered as in HTTP/1. */
static uint16_t refusal_status(enum h1_result r)
{
    switch (r) {
    case H1_BAD_PSEUDO_FIELD:
    case H1_CONNECTION_FIELD:
    case H1_BAD_FIELD_NAME:
    case H1_BAD_FIELD_VALUE:
    case H1_BAD_CONTENT_LENGTH:
    case H1_REPEATED_CONTENT_LENGTH:
        return 0;
    default:
        return (uint16_t)h1_result_status(r);
    }
}

static void begin(struct h2_front *st)
{
    struct exchange *x = st->x;
    enum h1_result r = (enum h1_result)st->result;

    st->started = true;
    x->sequence = ++st->h2->sequence;
    x->headed_us = http_session_now_us(st->h2->s);
    if (r == H1_DONE && x->request.upgrade && !add_websocket_key(x))
        r = H1_HEAD_TOO_LARGE;
    if (r == H1_DONE) {
        exchange_start(x);
    } else {
        x->request_taken = true;
        h2_guard_spend(&st->h2->guard, H2_BAD_HEADS);
        exchange_start_refused(x, refusal_status(r), h1_result_code(r), END_BAD_REQUEST);
    }
    exchange_step(x);
}

/* Reset before it was looked at: it is logged like any other. */
static void never_begin(struct h2_front *st)
{
    st->started = true;
    st->x->sequence = ++st->h2->sequence;
    st->x->request_taken = true;
    exchange_start_refused(st->x, 0, "client-left", END_CLIENT_LEFT_HEAD);
    exchange_step(st->x);
}

void h2_front_run(struct h2_front *st)
{
    if (is_gone(st) && !st->end_sent)
        h2_front_end(st, END_CLIENT_ABORT);
    else if (!st->started)
        begin(st);
    else
        exchange_step(st->x);
}

void h2_front_end(struct h2_front *st, enum session_end why)
{
    struct exchange *x = st->x;

    if (!st->started)
        never_begin(st);
    else if (x->state == X_OVER)
        exchange_step(x);
    else if (why == END_CLIENT_ABORT)
        exchange_client_lost(x, st->h2->s->stream.error);
    else
        exchange_end(x, why);
}

/* ---- payload of the request ---- */

static bool append_in(struct h2_front *st, const uint8_t *data, uint32_t len)
{
    struct io_buf *b = st->in_last;
    uint32_t room = b != NULL ? io_buf_room(h2_front_io(st), b) : 0;

    if (room < len && room < IN_BUF_MIN) {
        uint32_t want = len < IN_BUF_MIN ? IN_BUF_MIN : len;
        b = io_buf_new(h2_front_io(st), st->in != NULL && want < IN_BUF_MAX ? IN_BUF_MAX : want);
        if (b == NULL)
            return false;
        b->next = NULL;
        if (st->in_last != NULL)
            st->in_last->next = b;
        else
            st->in = b;
        st->in_last = b;
        room = io_buf_room(h2_front_io(st), b);
    }
    uint32_t n = room < len ? room : len;
    memcpy(b->data + b->len, data, n);
    b->len += n;
    return n == len || append_in(st, data + n, len - n);
}

bool h2_front_receive(struct h2_front *st, const uint8_t *data, size_t len)
{
    if (st->has_length && len > st->in_left) { /* RFC 9113 section 8.1.1 */
        st->bad = "length-mismatch";
        return true;
    }
    if (st->has_length)
        st->in_left -= len;
    if (!append_in(st, data, (uint32_t)len))
        return false;
    st->in_bytes += (uint32_t)len;
    return true;
}

void h2_front_ended(struct h2_front *st)
{
    st->in_ended = true;
    if (st->has_length && st->in_left > 0)
        st->bad = "length-mismatch";
}

static enum take front_take(struct exchange *x, struct io_buf **out)
{
    struct h2_front *st = front_of(x);
    uint32_t n = st->in_bytes;

    *out = NULL;
    if (st->bad != NULL) {
        x->reason = st->bad;
        return TAKE_BAD;
    }
    *out = st->in;
    st->in = st->in_last = NULL;
    st->in_bytes = 0;
    x->in_bytes += n;
    if (n > 0 && !is_gone(st)) {
        nghttp2_session_consume(st->h2->ng, st->id, n);
        window_taken(st, n);
        h2_flush_soon(st->h2);
    } else if (n > 0 && !st->h2->dead) {
        nghttp2_session_consume_connection(st->h2->ng, n);
    }
    return st->in_ended ? TAKE_END : TAKE_MORE;
}

static void front_pull(struct exchange *x, bool want)
{
    (void)x; /* what is not taken fills the window */
    (void)want;
}

/* ---- the response ---- */

/* Fills nv; true: payload or trailers follow. */
static uint32_t write_head(struct exchange *x, struct http_head *h, bool interim, nghttp2_nv *nv,
                           bool *out_more)
{
    struct h2_front *st = front_of(x);
    const uint64_t *length = NULL;

    *out_more = true;
    if (!interim && h->status != 101) {
        bool none = x->out.body == HTTP_BODY_NONE;
        if (x->out.body == HTTP_BODY_LENGTH || (none && x->out.has_length))
            length = &x->out.length;
        *out_more = !none && !(x->out.body == HTTP_BODY_LENGTH && x->out.length == 0);
    }
    return h2_write_response(h, length, &st->digits, nv);
}

static bool submit_head(struct exchange *x, struct http_head *h, bool interim, nghttp2_nv *nv)
{
    struct h2_front *st = front_of(x);
    struct h2_session *h2 = st->h2;
    bool more;
    uint32_t n = write_head(x, h, interim, nv, &more);
    int rc;

    if (interim && h2->n_interim >= H2_INTERIM_MAX) /* nobody reads them: one more tells nothing */
        return true;
    if (interim) {
        h2_let_copy(nv, n);
        if (nghttp2_submit_headers(h2->ng, NGHTTP2_FLAG_NONE, st->id, NULL, nv, n, NULL) != 0)
            return false;
        h2->n_interim++;
        return true;
    }
    nghttp2_data_provider source = {.read_callback = h2_front_read};
    rc = nghttp2_submit_response(h2->ng, st->id, nv, n, more ? &source : NULL);
    if (rc != 0)
        return false;
    h2->n_heads++; /* is framed before this step ends: h2_pump() */
    st->head_sent = true;
    st->out_ended = !more;
    return true;
}

static bool front_head(struct exchange *x, const struct http_head *h, bool interim)
{
    struct h2_front *st = front_of(x);
    struct http_head *mine = (struct http_head *)(uintptr_t)h; /* names become lower-case */
    nghttp2_nv few[NV_ON_STACK];
    uint32_t max = h2_nv_max(h);

    if (is_gone(st))
        return true;
    if (max <= NV_ON_STACK)
        return submit_head(x, mine, interim, few);
    nghttp2_nv *many = arena_alloc(&x->arena, max * sizeof(*many));
    return many != NULL && submit_head(x, mine, interim, many);
}

static void go_on(struct h2_front *st)
{
    if (!st->deferred || is_gone(st))
        return;
    st->deferred = false;
    nghttp2_session_resume_data(st->h2->ng, st->id);
}

static bool front_body(struct exchange *x, struct io_buf *chain)
{
    struct h2_front *st = front_of(x);

    if (is_gone(st) || st->out_ended) {
        io_buf_put_chain(h2_front_io(st), chain);
        return true;
    }
    while (chain != NULL) {
        struct io_buf *b = chain;
        chain = b->next;
        if (b->len == 0) {
            io_buf_put(h2_front_io(st), b);
            continue;
        }
        b->next = NULL;
        if (st->out_last != NULL)
            st->out_last->next = b;
        else
            st->out = b;
        st->out_last = b;
        st->out_bytes += b->len;
    }
    go_on(st);
    return true;
}

static bool front_end(struct exchange *x, const struct http_head *trailers)
{
    struct h2_front *st = front_of(x);

    if (st->out_ended || is_gone(st))
        return true;
    st->out_ended = true;
    st->trailers = trailers != NULL && trailers->n_fields > 0 ? trailers : NULL;
    go_on(st);
    return true;
}

static void front_flush(struct exchange *x)
{
    struct h2_session *h2 = front_of(x)->h2;

    h2_pump(h2);
    h2_flush_soon(h2);
}

static bool front_blocked(struct exchange *x)
{
    struct h2_front *st = front_of(x);

    if (is_gone(st) || st->out_bytes < H2_STREAM_HIGH)
        return false;
    st->waits = true;
    return true;
}

/* Framed is as good as sent: the connection's queue is bounded, and it is the connection that fails
 * when the client does not take it. */
static bool front_sent_all(struct exchange *x)
{
    struct h2_front *st = front_of(x);

    if (!st->end_sent && !is_gone(st))
        h2_pump(st->h2);
    if (st->end_sent || is_gone(st))
        return true;
    st->waits = true;
    return false;
}

static struct stream *front_raw(struct exchange *x)
{
    (void)x;
    return NULL;
}

static uint64_t front_spliceable(const struct exchange *x)
{
    (void)x;
    return 0;
}

static void front_spliced(struct exchange *x, uint64_t n)
{
    (void)x;
    (void)n;
}

static uint64_t front_progress(const struct exchange *x)
{
    return front_of(x)->moved;
}

static void front_upgrade(struct exchange *x)
{
    front_of(x)->has_length = false;
}

static const struct front_ops front_ops = {
    .take = front_take,
    .head = front_head,
    .body = front_body,
    .end = front_end,
    .flush = front_flush,
    .blocked = front_blocked,
    .sent_all = front_sent_all,
    .raw = front_raw,
    .file_to = front_raw,
    .spliceable = front_spliceable,
    .spliced = front_spliced,
    .progress = front_progress,
    .pull = front_pull,
    .upgrade = front_upgrade,
    .over = front_over,
};
