/* h2_conn.c - see h2_conn.h */
#include "lb/upstream/h2_conn.h"

#include "lb/base/log.h"
#include "lb/net/stream_tls.h"
#include "lb/upstream/h2_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GOODBYE_MS 1000    /* for GOAWAY to be taken */
#define SILENT_US  3000000 /* so long without a byte: asked, by PING, whether it lives */
#define PING_MS    5000    /* for the answer, where connecting may not take longer */

/* ---- what owners are told ---- */

void h2_tell(struct h2_stream *s)
{
    if (s->conn != NULL && !list_linked(&s->told_node))
        list_push_back(&s->conn->told, &s->told_node);
}

void h2_tell_all(struct h2_conn *c)
{
    list_for_each (node, &c->streams)
        h2_tell(list_entry(node, struct h2_stream, node));
}

void h2_soon(struct h2_conn *c)
{
    loop_defer(c->all->loop, &c->turn_end);
}

void h2_lose(struct h2_conn *c, const char *reason, int error)
{
    if (c->state == H2_LOST)
        return;
    if (reason != NULL)
        log_debug("backend %s/%s: HTTP/2 connection lost: %s", c->base->slot->pool_name,
                  c->base->slot->name, reason);
    c->reason = reason;
    c->error = error;
    c->state = H2_LOST;
    h2_conn_unlink(c);
    h2_tell_all(c);
    h2_soon(c);
}

/* No stream, nothing of it is running: as if it had never been. */
static void release(struct h2_conn *c)
{
    sl_assert(list_empty(&c->streams) && !c->in_library);
    h2_conn_unlink(c);
    timer_stop(&c->all->loop->timers, &c->timer);
    list_remove(&c->turn_end.node);
    nghttp2_session_del(c->session);
    if (c->state == H2_CLOSING)
        backend_conn_leave(&c->base);
    else
        backend_conn_close(&c->base, false);
    slab_free(&c->all->conns, c);
}

static void drop_chains(struct h2_stream *s)
{
    io_buf_put_chain(h2_io(s->conn), s->in);
    io_buf_put_chain(h2_io(s->conn), s->out);
    s->in = s->in_last = s->out = s->out_last = NULL;
    s->in_bytes = s->out_bytes = 0;
}

/* ---- both ways ---- */

static void send_frames(struct h2_conn *c)
{
    struct stream *t = h2_socket(c);
    const uint8_t *data;

    c->in_library = true;
    while (t->out_bytes < H2_OUT_MAX && !t->tx_dead) {
        ssize_t n = nghttp2_session_mem_send(c->session, &data);
        if (n < 0 || (n > 0 && !stream_write(t, data, (uint32_t)n))) {
            h2_lose(c, "h2-send-failed", n == NGHTTP2_ERR_NOMEM || n > 0 ? -ENOMEM : -EPROTO);
            break;
        }
        if (n == 0)
            break;
    }
    c->in_library = false;
    /* It has told the backend, by GOAWAY, what was wrong. */
    if (c->state != H2_CLOSING && !nghttp2_session_want_read(c->session))
        h2_lose(c, c->state == H2_OPEN ? "h2-protocol-error" : NULL, -EPROTO);
    t->tell_sent = c->state == H2_CLOSING || nghttp2_session_want_write(c->session);
    stream_flush(t);
}

static void receive_frames(struct h2_conn *c)
{
    struct stream *t = h2_socket(c);

    c->in_library = true;
    while (t->in != NULL && c->state != H2_LOST) {
        uint64_t now_ms = loop_now_ms(c->all->loop);
        enum h2_abuse abuse = h2_guard_scan(&c->guard, t->in->data, t->in->len, now_ms);
        ssize_t n = 0;
        if (abuse != H2_FINE)
            h2_lose(c, h2_abuse_code(abuse), -EPROTO);
        else
            n = nghttp2_session_mem_recv(c->session, t->in->data, t->in->len);
        if (n < 0)
            h2_lose(c, n == NGHTTP2_ERR_NOMEM ? "out-of-memory" : "h2-protocol-error", -EPROTO);
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
           (c->state == H2_CLOSING && (stream_sent_all(h2_socket(c)) || h2_socket(c)->tx_dead));
}

/* What is due after any event. May free c. */
static void settle(struct h2_conn *c)
{
    tell_owners(c);
    if (over(c)) {
        release(c);
        return;
    }
    h2_soon(c);
}

static void heard(struct h2_conn *c)
{
    c->heard_us = loop_now_us(c->all->loop);
    if (!c->pinging)
        return;
    c->pinging = false;
    timer_stop(&c->all->loop->timers, &c->timer);
}

/* A connection that has died without a word would take in one request after the other. */
static void ask_if_silent(struct h2_conn *c)
{
    struct loop *l = c->all->loop;

    if (c->pinging || c->state != H2_OPEN || loop_now_us(l) - c->heard_us < SILENT_US ||
        nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL) != 0)
        return;
    c->pinging = true;
    timer_start(&l->timers, &c->timer, loop_now_ms(l) + c->ping_ms);
}

static void on_event(struct stream *t)
{
    struct backend_conn *base = container_of(t, struct backend_conn, stream);
    struct h2_conn *c = base->owner;

    if (t->in != NULL)
        heard(c);
    receive_frames(c);
    if (t->error != 0 || t->eof)
        h2_lose(c, NULL, t->error != 0 ? t->error : t->tx_error);
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

    if (c->pinging)
        h2_lose(c, "h2-no-answer", -ETIMEDOUT);
    else if (c->state == H2_CLOSING)
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
    c->pinging = false;
    nghttp2_session_terminate_session(c->session, NGHTTP2_NO_ERROR);
    timer_start(&c->all->loop->timers, &c->timer, loop_now_ms(c->all->loop) + GOODBYE_MS);
    h2_soon(c);
}

/* ---- connections ---- */

struct h2_conn *h2_conn_new(struct h2_conns *all, struct h2_member *m, struct backend_conn *conn,
                            bool shared, uint32_t connect_ms)
{
    struct h2_conn *c = slab_alloc(&all->conns);

    if (c == NULL)
        return NULL;
    c->all = all;
    c->base = conn;
    if (!h2_session_begin(c)) {
        slab_free(&all->conns, c);
        return NULL;
    }
    list_init(&c->node);
    list_init(&c->shared);
    list_init(&c->idle);
    list_init(&c->streams);
    list_init(&c->told);
    list_init(&c->turn_end.node);
    c->turn_end.fn = on_turn_end;
    timer_init(&c->timer, on_timer);
    c->made_us = c->heard_us = loop_now_us(all->loop);
    c->peer_streams = m->room; /* as it was the last time */
    c->ping_ms = connect_ms > PING_MS ? connect_ms : PING_MS;
    if (shared) {
        c->member = m;
        list_push_back(&m->conns, &c->node);
        list_push_back(&all->shared, &c->shared);
    }
    conn->owner = c;
    conn->stream.event = on_event;
    conn->stream.tell_sent = false;
    stream_read(&conn->stream, STREAM_READ);
    h2_soon(c); /* the preface */
    return c;
}

bool h2_conn_is_tls(const struct h2_conn *c)
{
    return stream_is_tls(h2_socket(c));
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
    h2_window_init(&s->window, H2_STREAM_WINDOW, loop_now_us(c->all->loop));
    list_init(&s->told_node);
    list_push_back(&c->streams, &s->node);
    c->n_streams++;
    c->n_requests++;
    h2_conn_busy(c);
    ask_if_silent(c);
}

bool h2_stream_open(struct h2_stream *s, const nghttp2_nv *fields, size_t n, bool body)
{
    const nghttp2_data_provider provider = {.read_callback = h2_read_payload};
    struct h2_conn *c = s->conn;

    if (c->state == H2_LOST || c->state == H2_LEAVING) {
        s->refused = s->closed = true;
        h2_tell(s);
        h2_soon(c);
        return true;
    }
    int32_t id = nghttp2_submit_request(c->session, NULL, fields, n, body ? &provider : NULL, s);
    if (id < 0)
        return false;
    s->id = id;
    s->out_end = !body;
    h2_soon(c);
    return true;
}

static void resume(struct h2_stream *s)
{
    if (h2_stream_is_over(s) || s->id <= 0)
        return;
    nghttp2_session_resume_data(s->conn->session, s->id); /* fails where it was not put off */
    h2_soon(s->conn);
}

void h2_stream_send(struct h2_stream *s, struct io_buf *chain)
{
    while (chain != NULL) {
        struct io_buf *b = chain;
        chain = b->next;
        if (b->len == 0 || s->closed) {
            io_buf_put(h2_io(s->conn), b);
            continue;
        }
        s->out_bytes += b->len;
        h2_push(&s->out, &s->out_last, io_buf_keep(h2_io(s->conn), b));
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
    s->waits_for_room = s->out_bytes >= H2_STREAM_OUT;
    return s->waits_for_room;
}

static void set_connection_window(struct h2_conn *c)
{
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                          (int32_t)(H2_CONN_WINDOW + c->grown));
}

static void window_taken(struct h2_stream *s)
{
    struct h2_conn *c = s->conn;
    uint32_t more = h2_window_taken(&s->window, &c->all->windows, s->in_bytes,
                                    loop_now_us(c->all->loop), c->rtt_us);

    if (more == 0)
        return;
    c->grown += more;
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, s->id,
                                          (int32_t)s->window.size);
    set_connection_window(c);
}

static void window_over(struct h2_stream *s)
{
    uint32_t less = h2_window_shrink(&s->window, &s->conn->all->windows);

    s->conn->grown -= less;
    if (less > 0 && s->conn->state != H2_LOST)
        set_connection_window(s->conn);
}

struct io_buf *h2_stream_take(struct h2_stream *s)
{
    struct io_buf *chain = s->in;

    if (s->in_bytes > 0 && !s->closed && s->conn->state != H2_LOST) {
        nghttp2_session_consume_stream(s->conn->session, s->id, s->in_bytes);
        window_taken(s);
        h2_soon(s->conn);
    }
    s->in = s->in_last = NULL;
    s->in_bytes = 0;
    return chain;
}

bool h2_stream_maybe_seen(const struct h2_stream *s)
{
    const struct stream *t = h2_socket(s->conn);

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
        /* Also takes back a head that was not sent yet, whose memory goes now. A frame that is
         * stuck brings its reset along. */
        if (c->stuck != s &&
            nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL) != 0)
            h2_lose(c, "out-of-memory", -ENOMEM);
    }
    if (c->stuck == s)
        c->stuck = NULL;
    window_over(s);
    drop_chains(s);
    list_remove(&s->node);
    list_remove(&s->told_node);
    s->conn = NULL;
    c->n_streams--;
    if (c->n_streams == 0)
        h2_conn_idle(c);
    h2_soon(c);
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
