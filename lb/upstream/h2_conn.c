/* h2_conn.c - see h2_conn.h */
#include "lb/upstream/h2_conn.h"

#include "lb/base/log.h"
#include "lb/net/stream_tls.h"
#include "lb/upstream/h2_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONN_WINDOW   (1u << 20)  /* bytes on their way to us; streams bound what is kept */
#define OUT_MAX       (64u << 10) /* bytes of frames made and not taken by the kernel yet */
#define STREAM_OUT    (32u << 10) /* payload that waits to be sent: more is not asked for */
#define HEAD_BYTES    (64u << 10) /* of a head, told to the backend */
#define MEMORY_MAX    (4u << 20)  /* bytes that nghttp2 may have for one connection */
#define ODD_MAX       1000        /* frames in a row that are of no use: a flood */
#define GOODBYE_MS    1000        /* for GOAWAY to be taken */
#define SMALL_PAYLOAD 512         /* room at least of a buffer for payload */

static struct stream *stream_of(const struct h2_conn *c)
{
    return &c->base->stream;
}

static struct io *io_of(const struct h2_conn *c)
{
    return c->all->loop->io;
}

static struct h2_stream *stream_by_id(struct h2_conn *c, int32_t id)
{
    return id > 0 ? nghttp2_session_get_stream_user_data(c->session, id) : NULL;
}

/* ---- what owners are told ---- */

static void tell(struct h2_stream *s)
{
    if (s->conn != NULL && !list_linked(&s->told_node))
        list_push_back(&s->conn->told, &s->told_node);
}

static void tell_all(struct h2_conn *c)
{
    list_for_each (node, &c->streams)
        tell(list_entry(node, struct h2_stream, node));
}

static void turn_end_soon(struct h2_conn *c)
{
    loop_defer(c->all->loop, &c->turn_end);
}

static void lose(struct h2_conn *c, const char *reason, int error)
{
    if (c->state == H2_LOST)
        return;
    if (reason != NULL)
        log_debug("backend %s/%s: HTTP/2 connection lost: %s", c->base->pool->name,
                  c->base->slot->name, reason);
    c->reason = reason;
    c->error = error;
    c->state = H2_LOST;
    h2_conn_unlink(c);
    tell_all(c);
    turn_end_soon(c);
}

/* No stream, nothing of it is running: as if it had never been. */
static void release(struct h2_conn *c)
{
    sl_assert(list_empty(&c->streams) && !c->in_library);
    h2_conn_unlink(c);
    timer_stop(&c->all->loop->timers, &c->timer);
    list_remove(&c->turn_end.node);
    nghttp2_session_del(c->session);
    backend_conn_close(&c->base, false);
    slab_free(&c->all->conns, c);
}

/* ---- memory ---- */

struct piece {
    size_t size;
    max_align_t bytes[];
};

static void *give(struct h2_conn *c, size_t size)
{
    struct piece *p;

    if (c->memory + size > MEMORY_MAX)
        return NULL;
    p = malloc(sizeof(*p) + size);
    if (p == NULL)
        return NULL;
    p->size = size;
    c->memory += size;
    return p->bytes;
}

static void *mem_malloc(size_t size, void *arg)
{
    return give(arg, size);
}

static void mem_free(void *ptr, void *arg)
{
    struct h2_conn *c = arg;

    if (ptr == NULL)
        return;
    struct piece *p = (struct piece *)((char *)ptr - offsetof(struct piece, bytes));
    c->memory -= p->size;
    free(p);
}

static void *mem_calloc(size_t n, size_t size, void *arg)
{
    void *p = size != 0 && n > MEMORY_MAX / size ? NULL : give(arg, n * size);

    if (p != NULL)
        memset(p, 0, n * size);
    return p;
}

static void *mem_realloc(void *ptr, size_t size, void *arg)
{
    if (ptr == NULL)
        return give(arg, size);
    const struct piece *old = (struct piece *)((char *)ptr - offsetof(struct piece, bytes));
    void *p = give(arg, size);
    if (p == NULL)
        return NULL;
    memcpy(p, ptr, old->size < size ? old->size : size);
    mem_free(ptr, arg);
    return p;
}

/* ---- chains ---- */

static void push(struct io_buf **first, struct io_buf **last, struct io_buf *b)
{
    b->next = NULL;
    if (*last != NULL)
        (*last)->next = b;
    else
        *first = b;
    *last = b;
}

/* Moves the first n bytes of what is to be sent to the connection. */
static bool move_out(struct h2_stream *s, uint32_t n)
{
    struct stream *t = stream_of(s->conn);

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
    struct io *io = io_of(s->conn);
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
        push(&s->in, &s->in_last, b);
    }
    s->in_bytes += len;
    return true;
}

static void drop_chains(struct h2_stream *s)
{
    io_buf_put_chain(io_of(s->conn), s->in);
    io_buf_put_chain(io_of(s->conn), s->out);
    s->in = s->in_last = s->out = s->out_last = NULL;
    s->in_bytes = s->out_bytes = 0;
}

/* ---- what nghttp2 asks for ---- */

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
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
    if (stream_of(c)->out_bytes >= OUT_MAX)
        return NGHTTP2_ERR_WOULDBLOCK;
    if (s == NULL || s->out_bytes < length)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (!stream_write(stream_of(c), head, 9) || !move_out(s, (uint32_t)length))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (s->waits_for_room && s->out_bytes < STREAM_OUT / 2) {
        s->waits_for_room = false;
        tell(s);
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
    s->sent_at = stream_of(c)->sent + stream_of(c)->out_bytes;
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_stream *s = stream_by_id(arg, frame->hd.stream_id);

    (void)session;
    if (s == NULL)
        return 0;
    s->out_wire += 9 + frame->hd.length;
    s->conn->odd_frames = 0;
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
    if (len > 0)
        c->odd_frames = 0;
    s->in_wire += len;
    if (keep_payload(s, data, (uint32_t)len)) {
        tell(s);
        return 0;
    }
    lose(c, "out-of-memory", -ENOMEM);
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
        tell(s);
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
        tell_all(c); /* one of them may wait to know */
    c->settings_seen = true;
    refuse_unsent(c);
}

static void take_goaway(struct h2_conn *c, const nghttp2_goaway *g)
{
    if (g->error_code != NGHTTP2_NO_ERROR)
        log_debug("backend %s/%s: GOAWAY: %s", c->base->pool->name, c->base->slot->name,
                  nghttp2_http2_strerror(g->error_code));
    if (c->state == H2_OPEN)
        c->state = H2_LEAVING;
    h2_conn_unlink(c);
    turn_end_soon(c);
}

static int take_block(struct h2_conn *c, const nghttp2_frame *frame)
{
    struct h2_stream *s = stream_by_id(c, frame->hd.stream_id);
    bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

    if (s == NULL)
        return 0;
    c->odd_frames = 0;
    if (!s->ops->block_end(s, last)) {
        s->malformed = true;
        nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_PROTOCOL_ERROR);
    }
    s->in_over = s->in_over || last;
    tell(s);
    return 0;
}

/* Frames that change nothing cost the backend nothing and us time. */
static int count_odd(struct h2_conn *c, const nghttp2_frame *frame)
{
    bool useful = (frame->hd.type == NGHTTP2_DATA && frame->hd.length > 0) ||
                  frame->hd.type == NGHTTP2_HEADERS;

    if (useful)
        return 0;
    if (++c->odd_frames < ODD_MAX)
        return 0;
    lose(c, "h2-flood", 0);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
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
            tell(s);
        }
        break;
    case NGHTTP2_HEADERS:
        return take_block(c, frame);
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            take_settings(c);
        break;
    case NGHTTP2_GOAWAY:
        take_goaway(c, &frame->goaway);
        break;
    default:
        break;
    }
    return count_odd(c, frame);
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *arg)
{
    struct h2_conn *c = arg;
    struct h2_stream *s = stream_by_id(c, frame->hd.stream_id);

    (void)session;
    log_debug("backend %s/%s: HTTP/2 frame of type %u refused: %s", c->base->pool->name,
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
    s->closed = true;
    s->error_code = error_code;
    s->refused = error_code == NGHTTP2_REFUSED_STREAM && !s->in_over;
    tell(s);
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

/* ---- both ways ---- */

static void send_frames(struct h2_conn *c)
{
    struct stream *t = stream_of(c);
    const uint8_t *data;

    c->in_library = true;
    while (t->out_bytes < OUT_MAX && !t->tx_dead) {
        ssize_t n = nghttp2_session_mem_send(c->session, &data);
        if (n < 0 || (n > 0 && !stream_write(t, data, (uint32_t)n))) {
            lose(c, "h2-send-failed", n == NGHTTP2_ERR_NOMEM || n > 0 ? -ENOMEM : -EPROTO);
            break;
        }
        if (n == 0)
            break;
    }
    c->in_library = false;
    /* It has told the backend, by GOAWAY, what was wrong. */
    if (c->state != H2_CLOSING && !nghttp2_session_want_read(c->session))
        lose(c, c->state == H2_OPEN ? "h2-protocol-error" : NULL, -EPROTO);
    t->tell_sent = c->state == H2_CLOSING || nghttp2_session_want_write(c->session);
    stream_flush(t);
}

static void receive_frames(struct h2_conn *c)
{
    struct stream *t = stream_of(c);

    c->in_library = true;
    while (t->in != NULL && c->state != H2_LOST) {
        ssize_t n = nghttp2_session_mem_recv(c->session, t->in->data, t->in->len);
        if (n < 0)
            lose(c, n == NGHTTP2_ERR_NOMEM ? "out-of-memory" : "h2-protocol-error", -EPROTO);
        stream_consume(t, t->in->len);
    }
    c->in_library = false;
}

/* Owners may close their streams, but not free the connection (in_library). */
static void tell_owners(struct h2_conn *c)
{
    struct list *node;

    c->in_library = true;
    while ((node = list_pop_front(&c->told)) != NULL) {
        struct h2_stream *s = list_entry(node, struct h2_stream, told_node);
        s->ops->event(s);
    }
    c->in_library = false;
}

static bool over(const struct h2_conn *c)
{
    if (!list_empty(&c->streams))
        return false;
    return c->state == H2_LOST ||
           (c->state == H2_CLOSING && (stream_sent_all(stream_of(c)) || stream_of(c)->tx_dead));
}

/* What is due after any event. May free c. */
static void settle(struct h2_conn *c)
{
    tell_owners(c);
    if (over(c)) {
        release(c);
        return;
    }
    turn_end_soon(c);
}

static void on_event(struct stream *t)
{
    struct backend_conn *base = container_of(t, struct backend_conn, stream);
    struct h2_conn *c = base->owner;

    receive_frames(c);
    if (t->error != 0 || t->eof)
        lose(c, NULL, t->error != 0 ? t->error : t->tx_error);
    settle(c);
}

/* What was asked for in this turn goes out together. */
static void on_turn_end(struct loop_task *task)
{
    struct h2_conn *c = container_of(task, struct h2_conn, turn_end);

    if (c->state == H2_LEAVING && list_empty(&c->streams))
        h2_conn_end(c);
    if (c->state != H2_LOST)
        send_frames(c);
    if (!list_empty(&c->told))
        tell_owners(c);
    if (over(c))
        release(c);
}

static void on_timer(struct timer *timer)
{
    struct h2_conn *c = container_of(timer, struct h2_conn, timer);

    if (c->state == H2_CLOSING)
        release(c);
    else
        h2_conn_end(c);
}

void h2_conn_end(struct h2_conn *c)
{
    if (c->state == H2_CLOSING)
        return;
    sl_assert(list_empty(&c->streams));
    h2_conn_unlink(c);
    c->state = H2_CLOSING;
    nghttp2_session_terminate_session(c->session, NGHTTP2_NO_ERROR);
    timer_start(&c->all->loop->timers, &c->timer, loop_now_ms(c->all->loop) + GOODBYE_MS);
    turn_end_soon(c);
}

/* ---- connections ---- */

static nghttp2_session *make_session(struct h2_conn *c)
{
    nghttp2_mem mem = {c, mem_malloc, mem_free, mem_calloc, mem_realloc};
    nghttp2_session_callbacks *cb = make_callbacks();
    nghttp2_session *session = NULL;
    nghttp2_option *option = NULL;

    if (cb != NULL && nghttp2_option_new(&option) == 0) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_max_send_header_block_length(option, 128u << 10);
        if (nghttp2_session_client_new3(&session, cb, c, option, &mem) != 0)
            session = NULL;
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    return session;
}

static bool begin(struct h2_conn *c)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEAD_BYTES},
    };

    c->session = make_session(c);
    if (c->session == NULL)
        return false;
    if (nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
                                sizeof(settings) / sizeof(settings[0])) == 0 &&
        nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW) == 0)
        return true;
    nghttp2_session_del(c->session);
    return false;
}

struct h2_conn *h2_conn_new(struct h2_conns *all, struct h2_member *m, struct backend_conn *conn,
                            bool shared)
{
    struct h2_conn *c = slab_alloc(&all->conns);

    if (c == NULL)
        return NULL;
    c->all = all;
    c->base = conn;
    if (!begin(c)) {
        slab_free(&all->conns, c);
        return NULL;
    }
    list_init(&c->node);
    list_init(&c->idle);
    list_init(&c->streams);
    list_init(&c->told);
    list_init(&c->turn_end.node);
    c->turn_end.fn = on_turn_end;
    timer_init(&c->timer, on_timer);
    c->made_us = loop_now_us(all->loop);
    c->peer_streams = m->room; /* as it was the last time */
    if (shared) {
        c->member = m;
        list_push_back(&m->conns, &c->node);
    }
    conn->owner = c;
    conn->stream.event = on_event;
    conn->stream.tell_sent = false;
    stream_read(&conn->stream, STREAM_READ);
    turn_end_soon(c); /* the preface */
    return c;
}

bool h2_conn_is_tls(const struct h2_conn *c)
{
    return stream_is_tls(stream_of(c));
}

bool h2_conn_reused(const struct h2_conn *c)
{
    return c->n_requests > 0;
}

struct backend_conn *h2_conn_base(const struct h2_conn *c)
{
    return c->base;
}

enum h2_connect h2_conn_connect(const struct h2_conn *c)
{
    if (!c->settings_seen)
        return H2_CONNECT_UNKNOWN;
    return c->connect_protocol ? H2_CONNECT_YES : H2_CONNECT_NO;
}

/* ---- streams ---- */

void h2_stream_attach(struct h2_conn *c, struct h2_stream *s, const struct h2_stream_ops *ops)
{
    *s = (struct h2_stream){.ops = ops, .conn = c};
    list_init(&s->told_node);
    list_push_back(&c->streams, &s->node);
    c->n_streams++;
    c->n_requests++;
    h2_conn_busy(c);
}

bool h2_stream_open(struct h2_stream *s, const nghttp2_nv *fields, size_t n, bool body)
{
    const nghttp2_data_provider provider = {.read_callback = on_read};
    struct h2_conn *c = s->conn;

    if (c->state == H2_LOST || c->state == H2_LEAVING) {
        s->refused = s->closed = true;
        tell(s);
        turn_end_soon(c);
        return true;
    }
    int32_t id = nghttp2_submit_request(c->session, NULL, fields, n, body ? &provider : NULL, s);
    if (id < 0)
        return false;
    s->id = id;
    s->out_end = !body;
    turn_end_soon(c);
    return true;
}

static void resume(struct h2_stream *s)
{
    if (h2_stream_is_over(s) || s->id <= 0)
        return;
    nghttp2_session_resume_data(s->conn->session, s->id); /* fails where it was not put off */
    turn_end_soon(s->conn);
}

void h2_stream_send(struct h2_stream *s, struct io_buf *chain)
{
    while (chain != NULL) {
        struct io_buf *b = chain;
        chain = b->next;
        if (b->len == 0 || s->closed) {
            io_buf_put(io_of(s->conn), b);
            continue;
        }
        s->out_bytes += b->len;
        push(&s->out, &s->out_last, io_buf_keep(io_of(s->conn), b));
    }
    resume(s);
}

void h2_stream_end(struct h2_stream *s, bool trailers)
{
    if (s->out_end)
        return;
    s->out_end = true;
    s->trailers_due = trailers;
    resume(s);
}

bool h2_stream_trailers(struct h2_stream *s, nghttp2_nv *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) /* they may be sent when their owner is gone */
        fields[i].flags &=
            (uint8_t) ~(NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
    return nghttp2_submit_trailer(s->conn->session, s->id, fields, n) == 0;
}

bool h2_stream_blocked(struct h2_stream *s)
{
    s->waits_for_room = s->out_bytes >= STREAM_OUT;
    return s->waits_for_room;
}

struct io_buf *h2_stream_take(struct h2_stream *s)
{
    struct io_buf *chain = s->in;

    if (s->in_bytes > 0 && !s->closed && s->conn->state != H2_LOST) {
        nghttp2_session_consume_stream(s->conn->session, s->id, s->in_bytes);
        turn_end_soon(s->conn);
    }
    s->in = s->in_last = NULL;
    s->in_bytes = 0;
    return chain;
}

bool h2_stream_maybe_seen(const struct h2_stream *s)
{
    const struct stream *t = stream_of(s->conn);

    if (s->refused || !s->head_sent)
        return false;
    return t->tx.armed || t->sent > s->sent_at;
}

void h2_stream_close(struct h2_stream *s)
{
    struct h2_conn *c = s->conn;

    if (c == NULL)
        return;
    if (!s->closed && s->id > 0 && c->state != H2_LOST) {
        nghttp2_session_set_stream_user_data(c->session, s->id, NULL);
        /* Also takes back a head that was not sent yet, whose memory goes now. */
        if (nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL) != 0)
            lose(c, "out-of-memory", -ENOMEM);
    }
    drop_chains(s);
    list_remove(&s->node);
    list_remove(&s->told_node);
    s->conn = NULL;
    c->n_streams--;
    if (c->n_streams == 0)
        h2_conn_idle(c);
    turn_end_soon(c);
}

bool h2_stream_is_over(const struct h2_stream *s)
{
    return s->closed || s->refused || s->conn->state == H2_LOST;
}

const char *h2_stream_reason(const struct h2_stream *s)
{
    if (s->malformed)
        return "h2-malformed";
    if (s->refused)
        return "h2-refused";
    if (s->closed && !s->in_over)
        return "h2-reset";
    return s->conn != NULL ? s->conn->reason : NULL;
}

int h2_stream_error(const struct h2_stream *s)
{
    if (s->closed)
        return 0;
    return s->conn != NULL && s->conn->state == H2_LOST ? s->conn->error : 0;
}
