/* h2_frames.c - the frames of a connection to a backend: what nghttp2 asks for, and what it has
 * found in what came. Everything here runs inside of nghttp2, so nobody is told anything but by
 * h2_tell().
 */
#include "lb/base/log.h"
#include "lb/upstream/h2_priv.h"

#include <errno.h>
#include <string.h>

#define HEAD_BYTES    (64u << 10)  /* of a head, told to the backend */
#define SEND_HEAD_MAX (128u << 10) /* of one that we send */
#define MEMORY_MAX    (4u << 20)   /* bytes that nghttp2 may have for one connection */
#define SMALL_PAYLOAD 512          /* room at least of a buffer for payload */

static struct h2_stream *stream_by_id(struct h2_conn *c, int32_t id)
{
    return id > 0 ? nghttp2_session_get_stream_user_data(c->session, id) : NULL;
}

/* ---- chains ---- */

/* Moves the first n bytes of what is to be sent to the connection. */
static bool move_out(struct h2_stream *s, uint32_t n)
{
    struct stream *t = h2_socket(s->conn);

    s->out_bytes -= n;
    while (n > 0) {
        struct io_buf *b = s->out;
        if (b->len > n) {
            bool ok = stream_write(t, b->data, n);
            b->data += n;
            b->len -= n;
            return ok;
        }
        s->out = b->next;
        if (s->out == NULL)
            s->out_last = NULL;
        b->next = NULL;
        n -= b->len;
        stream_queue(t, b);
    }
    return true;
}

static bool keep_payload(struct h2_stream *s, const uint8_t *data, uint32_t len)
{
    struct io *io = h2_io(s->conn);
    uint32_t room = s->in_last != NULL ? io_buf_room(io, s->in_last) : 0;
    uint32_t part = room < len ? room : len;

    if (part > 0) {
        memcpy(s->in_last->data + s->in_last->len, data, part);
        s->in_last->len += part;
    }
    if (part < len) {
        uint32_t rest = len - part;
        struct io_buf *b = io_buf_new(io, rest < SMALL_PAYLOAD ? SMALL_PAYLOAD : rest);
        if (b == NULL)
            return false;
        memcpy(b->data, data + part, rest);
        b->len = rest;
        h2_push(&s->in, &s->in_last, b);
    }
    s->in_bytes += len;
    return true;
}

/* ---- what nghttp2 asks for ---- */

ssize_t h2_read_payload(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                        uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct h2_stream *s = stream_by_id(arg, id);

    (void)session, (void)buf, (void)source;
    if (s == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (s->out_bytes == 0 && !s->out_end)
        return NGHTTP2_ERR_DEFERRED;
    size_t n = length < s->out_bytes ? length : s->out_bytes;
    if (n == s->out_bytes && s->out_end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->trailers_due && s->ops->trailers(s))
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        s->trailers_due = false;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t length, nghttp2_data_source *source, void *arg)
{
    struct h2_conn *c = arg;
    struct h2_stream *s = stream_by_id(c, frame->hd.stream_id);

    (void)session, (void)source;
    if (s != NULL && h2_socket(c)->out_bytes >= H2_OUT_MAX) {
        c->stuck = s;
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    c->stuck = NULL;
    if (s == NULL || s->out_bytes < length)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (!stream_write(h2_socket(c), head, 9) || !move_out(s, (uint32_t)length))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (s->waits_for_room && s->out_bytes < H2_STREAM_OUT / 2) {
        s->waits_for_room = false;
        h2_tell(s);
    }
    return 0;
}

static int before_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_conn *c = arg;
    struct h2_stream *s = stream_by_id(c, frame->hd.stream_id);

    (void)session;
    if (s == NULL || s->head_sent || frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    s->head_sent = true;
    s->sent_at = h2_socket(c)->sent + h2_socket(c)->out_bytes;
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_stream *s = stream_by_id(arg, frame->hd.stream_id);

    (void)session;
    if (s == NULL)
        return 0;
    s->out_wire += 9 + frame->hd.length;
    if (frame->hd.type == NGHTTP2_DATA)
        h2_guard_sent_data(&s->conn->guard, frame->hd.length);
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        s->out_over = true;
    return 0;
}

/* ---- what has come ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_stream *s = stream_by_id(arg, frame->hd.stream_id);

    (void)session;
    if (s == NULL || s->ops->block(s))
        return 0;
    s->malformed = true;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct h2_stream *s = stream_by_id(arg, frame->hd.stream_id);

    (void)session, (void)flags;
    if (s == NULL || s->ops->field(s, (struct str){(const char *)name, name_len},
                                   (struct str){(const char *)value, value_len}))
        return 0;
    s->malformed = true;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *arg)
{
    struct h2_conn *c = arg;
    struct h2_stream *s = stream_by_id(c, id);

    (void)flags;
    /* One stream's receiver must not hold up the others: a stream's window bounds what it keeps. */
    nghttp2_session_consume_connection(session, len);
    if (s == NULL)
        return 0;
    s->in_wire += len;
    if (keep_payload(s, data, (uint32_t)len)) {
        h2_tell(s);
        return 0;
    }
    h2_lose(c, "out-of-memory", -ENOMEM);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* nghttp2 holds back the heads of streams that the backend does not take at the same time: they
 * need not wait for those that it did take. */
static void refuse_unsent(struct h2_conn *c)
{
    uint32_t sent = 0;

    list_for_each (node, &c->streams)
        sent += list_entry(node, struct h2_stream, node)->head_sent;
    list_for_each (node, &c->streams) {
        struct h2_stream *s = list_entry(node, struct h2_stream, node);
        if (s->id <= 0 || s->head_sent)
            continue;
        if (sent < c->peer_streams) {
            sent++;
            continue;
        }
        s->refused = true;
        h2_tell(s);
    }
}

static void take_settings(struct h2_conn *c)
{
    uint32_t max =
        nghttp2_session_get_remote_settings(c->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

    c->peer_streams = max;
    c->connect_protocol =
        nghttp2_session_get_remote_settings(c->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL);
    if (c->member != NULL)
        c->member->room = max;
    if (!c->settings_seen)
        h2_tell_all(c); /* one of them may wait to know */
    c->settings_seen = true;
    refuse_unsent(c);
}

static void take_goaway(struct h2_conn *c, const nghttp2_goaway *g)
{
    if (g->error_code != NGHTTP2_NO_ERROR)
        log_debug("backend %s/%s: GOAWAY: %s", c->base->slot->pool_name, c->base->slot->name,
                  nghttp2_http2_strerror(g->error_code));
    if (c->state == H2_OPEN)
        c->state = H2_LEAVING;
    h2_conn_unlink(c);
    h2_soon(c);
}

static int take_block(struct h2_conn *c, const nghttp2_frame *frame)
{
    struct h2_stream *s = stream_by_id(c, frame->hd.stream_id);
    bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

    if (s == NULL)
        return 0;
    if (!s->ops->block_end(s, last)) {
        s->malformed = true;
        nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_PROTOCOL_ERROR);
    }
    s->in_over = s->in_over || last;
    h2_tell(s);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_conn *c = arg;
    struct h2_stream *s = stream_by_id(c, frame->hd.stream_id);

    (void)session;
    if (s != NULL)
        s->in_wire += 9 + (frame->hd.type == NGHTTP2_DATA ? 0 : frame->hd.length);
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        if (s != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
            s->in_over = true;
            h2_tell(s);
        }
        break;
    case NGHTTP2_HEADERS:
        return take_block(c, frame);
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            take_settings(c);
        else if (c->rtt_us == 0)
            c->rtt_us = loop_now_us(c->all->loop) - c->made_us;
        break;
    case NGHTTP2_GOAWAY:
        take_goaway(c, &frame->goaway);
        break;
    default:
        break;
    }
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *arg)
{
    struct h2_conn *c = arg;
    struct h2_stream *s = stream_by_id(c, frame->hd.stream_id);

    (void)session;
    log_debug("backend %s/%s: HTTP/2 frame of type %u refused: %s", c->base->slot->pool_name,
              c->base->slot->name, frame->hd.type, nghttp2_strerror(error));
    if (s != NULL)
        s->malformed = true;
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *arg)
{
    struct h2_stream *s = stream_by_id(arg, id);

    (void)session;
    if (s == NULL)
        return 0;
    if (s->in_over)
        h2_guard_request_done(&s->conn->guard);
    s->closed = true;
    s->error_code = error_code;
    s->refused = error_code == NGHTTP2_REFUSED_STREAM && !s->in_over;
    h2_tell(s);
    return 0;
}

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *cb;

    if (nghttp2_session_callbacks_new(&cb) != 0)
        return NULL;
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
    nghttp2_session_callbacks_set_before_frame_send_callback(cb, before_frame_send);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    return cb;
}

/* ---- the session ---- */

static nghttp2_session *make_session(struct h2_conn *c)
{
    nghttp2_session_callbacks *cb = make_callbacks();
    nghttp2_session *session = NULL;
    nghttp2_option *option = NULL;

    if (cb != NULL && nghttp2_option_new(&option) == 0) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_max_send_header_block_length(option, 128u << 10);
        if (nghttp2_session_client_new3(&session, cb, c, option, &c->memory.ops) != 0)
            session = NULL;
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    return session;
}

bool h2_session_begin(struct h2_conn *c)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEAD_BYTES},
    };

    h2_mem_init(&c->memory, &c->all->blocks, MEMORY_MAX);
    h2_guard_init(&c->guard, loop_now_ms(c->all->loop));
    c->guard.skip = 0; /* a backend has no preface but its first frame */
    c->guard.of_backend = true;
    c->session = make_session(c);
    if (c->session == NULL)
        return false;
    if (nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
                                sizeof(settings) / sizeof(settings[0])) == 0 &&
        nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, H2_CONN_WINDOW) ==
            0)
        return true;
    nghttp2_session_del(c->session);
    return false;
}
