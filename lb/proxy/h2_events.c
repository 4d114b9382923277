/* h2_events.c - what nghttp2 tells of a client's connection, while it is fed or asked for frames
 * (h2_session.c).
 *
 * Nothing may happen to a stream inside of nghttp2: a callback notes what there is, counts it, and
 * puts the stream on the ready list. */
#include "lb/base/alloc.h"
#include "lb/proxy/exchange_priv.h"
#include "lb/proxy/h2_priv.h"
#include "lb/proxy/request.h"

#include <stdlib.h>

#define HEADS_MAX (2u << 20) /* bytes of all heads; then requests are refused */

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
            h2_say_drain(h2);
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

bool h2_events_begin(struct h2_session *h2)
{
    const struct h2_shared *sh = h2->s->base.proxy->h2_shared;

    return nghttp2_session_server_new3(&h2->ng, sh->callbacks, h2, sh->options, &h2->mem.ops) == 0;
}
