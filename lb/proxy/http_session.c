/* http_session.c - see http_session.h: what client connections of mode http have in common. */
#include "lb/proxy/http_session.h"

#include "lb/net/stream_tls.h"
#include "lb/proxy/exchange.h"
#include "lb/proxy/proxy_priv.h"
#include "lb/upstream/stick.h"

#include <string.h>

#define SESSION_MAGIC 0x41775e55u
#define LINGER_MS     2000       /* for the client to read our last answer while it still sends */
#define DEAF_MS       1000       /* for an alert to arrive */
#define LINGER_BYTES  (1u << 20) /* that are discarded meanwhile */

static const struct session_ops http_session_ops;

size_t http_session_size(void)
{
    return sizeof(struct http_session);
}

struct proxy *http_session_proxy(const struct http_session *s)
{
    return s->base.proxy;
}

uint64_t http_session_now_us(const struct http_session *s)
{
    return loop_now_us(s->base.proxy->loop);
}

const struct http_listener_conf *http_session_conf(const struct http_session *s)
{
    return &s->base.listener->conf->http;
}

struct http_session *http_session_of(const struct session *base)
{
    struct http_session *s =
        container_of((struct session *)(uintptr_t)base, struct http_session, base);

    CHECK_MAGIC(s, SESSION_MAGIC);
    return s;
}

struct http_session *http_session_of_stream(struct stream *stream)
{
    struct http_session *s = container_of(stream, struct http_session, stream);

    CHECK_MAGIC(s, SESSION_MAGIC);
    return s;
}

void http_session_deadline(struct http_session *s, uint64_t timeout_ms)
{
    struct loop *l = s->base.proxy->loop;

    s->deadline_ms = timeout_ms ? loop_now_ms(l) + timeout_ms : 0;
    if (timeout_ms && (!timer_pending(&s->timer) || s->deadline_ms < s->timer.at_ms))
        timer_start(&l->timers, &s->timer, s->deadline_ms);
}

/* ---- the end ---- */

void http_session_free_if_idle(struct http_session *s)
{
    bool busy = s->protocol->busy != NULL && s->protocol->busy(s);

    if (s->phase == HTTP_CLOSING && !busy && stream_idle(&s->stream) && !s->freeing) {
        s->freeing = true;
        session_free_soon(&s->base);
    }
}

void http_session_close(struct http_session *s, bool reset)
{
    if (s->phase == HTTP_CLOSING)
        return;
    s->phase = HTTP_CLOSING;
    s->reset = reset;
    s->deadline_ms = 0;
    timer_stop(&s->base.proxy->loop->timers, &s->timer);
    stream_stop(&s->stream);
    http_session_free_if_idle(s);
}

void http_session_linger(struct http_session *s, bool discard)
{
    s->phase = HTTP_LINGER;
    s->discard = discard;
    s->stream.tell_sent = true;
    s->lingers = false;
    http_session_deadline(s, http_session_conf(s)->body_timeout_ms);
    if (discard || stream_is_tls(&s->stream)) /* close_notify */
        stream_shutdown(&s->stream);
    else
        stream_flush(&s->stream);
    if (discard)
        stream_read(&s->stream, STREAM_READ);
    s->again = true;
}

void http_session_linger_deaf(struct http_session *s)
{
    s->phase = HTTP_LINGER;
    s->deaf = true;
    stream_shutdown(&s->stream);
    http_session_deadline(s, DEAF_MS);
}

void http_session_end(struct http_session *s)
{
    if (stream_sent_all(&s->stream) && !stream_is_tls(&s->stream))
        http_session_close(s, false);
    else
        http_session_linger(s, false);
}

static void run_linger(struct http_session *s)
{
    struct stream *t = &s->stream;

    if (s->deaf) /* for as long as it takes */
        return;
    if (t->error != 0 || t->tx_dead) {
        http_session_close(s, t->error != 0);
        return;
    }
    if (!s->lingers && stream_sent_all(t)) { /* from here on it is the client's to end it */
        s->lingers = true;
        http_session_deadline(s, LINGER_MS);
    }
    if (s->lingers)
        s->discarded += t->in_bytes;
    stream_consume(t, t->in_bytes);
    if (s->discarded > LINGER_BYTES)
        http_session_close(s, true);
    else if (s->lingers && (!s->discard || t->eof))
        http_session_close(s, false);
}

/* ---- requests ---- */

bool http_session_too_early(const struct http_session *s, const struct http_head *h)
{
    if (!stream_tls_early(&s->stream))
        return false;
    return !http_method_is_safe((enum http_method)h->method) || h->body != HTTP_BODY_NONE;
}

struct exchange *http_session_exchange(struct http_session *s, const struct front_ops *ops)
{
    struct proxy *p = s->base.proxy;
    struct exchange *x = slab_alloc(&p->exchanges);

    if (x == NULL) {
        counter_add(&p->counters->memory_refused, 1);
        return NULL;
    }
    arena_init(&x->arena, &p->arenas);
    x->ops = ops;
    x->session = &s->base;
    x->proxy = p;
    x->held = proxy_hold(p, s->base.listener);
    x->listener = s->base.listener->http;
    x->stick_member = STICK_NONE;
    return x;
}

/* ---- events ---- */

void http_session_run(struct http_session *s)
{
    s->again = true;
    if (s->running)
        return;
    s->running = true;
    while (s->again && s->phase != HTTP_CLOSING) {
        s->again = false;
        if (s->phase == HTTP_OPEN)
            s->protocol->run(s);
        else
            run_linger(s);
    }
    s->running = false;
}

static void on_event(struct stream *stream)
{
    struct http_session *s = http_session_of_stream(stream);

    if (s->phase == HTTP_CLOSING)
        http_session_free_if_idle(s);
    else
        http_session_run(s);
}

static void on_timer(struct timer *timer)
{
    struct http_session *s = container_of(timer, struct http_session, timer);
    uint64_t now = loop_now_ms(s->base.proxy->loop);

    CHECK_MAGIC(s, SESSION_MAGIC);
    if (s->deadline_ms == 0)
        return;
    if (now < s->deadline_ms) {
        timer_start(&s->base.proxy->loop->timers, timer, s->deadline_ms);
        return;
    }
    s->deadline_ms = 0;
    if (s->phase == HTTP_OPEN)
        s->protocol->timeout(s);
    else
        /* Where all is sent the kernel may have a part of our answer yet. */
        http_session_close(s, !s->deaf && !s->lingers);
    if (s->again)
        http_session_run(s);
}

/* ---- the start ---- */

void http_session_switch(struct http_session *s, const struct http_protocol *to)
{
    if (s->protocol != NULL && s->protocol->leave != NULL)
        s->protocol->leave(s);
    s->protocol = to;
    s->h1 = (struct h1_session){0}; /* the largest of the union */
    to->begin(s);
}

void http_session_start(struct proxy *p, struct acceptor *a, int fd)
{
    struct http_session *s = slab_alloc(&p->http_sessions);

    if (s == NULL) {
        counter_add(&p->counters->memory_refused, 1);
        io_reset(p->loop->io, fd);
        return;
    }
    session_init(&s->base, &http_session_ops, p, a);
    s->magic = SESSION_MAGIC;
    timer_init(&s->timer, on_timer);
    if (!session_admit(&s->base, fd)) {
        session_refuse(&s->base);
        io_reset(p->loop->io, fd);
        slab_free(&p->http_sessions, s);
        return;
    }
    session_begin(&s->base, fd);
    stream_open(&s->stream, &p->streams, fd, on_event);
    s->stream.watch_end = !http_session_conf(s)->half_close;
    s->draining = p->draining;
    http_session_switch(s, &http_prologue);
}

/* ---- for the operator ---- */

static void op_end(struct session *base, enum session_end why)
{
    struct http_session *s = http_session_of(base);

    if (s->protocol->end != NULL)
        s->protocol->end(s, why);
    http_session_close(s, session_end_is_cut(why));
}

static void op_free(struct session *base)
{
    struct http_session *s = http_session_of(base);

    if (s->protocol->leave != NULL)
        s->protocol->leave(s);
    stream_close(&s->stream, s->reset);
    session_finish(base);
    s->magic = 0;
    slab_free(&base->proxy->http_sessions, s);
}

static void op_drain(struct session *base)
{
    struct http_session *s = http_session_of(base);

    if (s->draining)
        return;
    s->draining = true;
    if (s->phase == HTTP_OPEN && s->protocol->drain != NULL)
        s->protocol->drain(s);
    if (s->again)
        http_session_run(s);
}

static const char *pool_name(const struct session *base)
{
    const struct http_session *s = http_session_of(base);

    return s->protocol->pool_name != NULL ? s->protocol->pool_name(s) : NULL;
}

static const char *backend_name(const struct session *base)
{
    const struct http_session *s = http_session_of(base);

    return s->protocol->backend_name != NULL ? s->protocol->backend_name(s) : NULL;
}

static void op_backend_down(struct session *base, const struct backend_slot *slot)
{
    struct http_session *s = http_session_of(base);

    if (s->protocol->backend_down != NULL)
        s->protocol->backend_down(s, slot);
}

static void view(struct session *base, struct proxy_session_view *out)
{
    struct http_session *s = http_session_of(base);

    out->client_fd = s->stream.fd;
    out->bytes_out = s->stream.sent;
    out->state = "open";
    out->kind = SESSION_OPENING;
    if (s->protocol->view != NULL)
        s->protocol->view(s, out);
    if (s->phase == HTTP_OPEN)
        return;
    out->state = s->phase == HTTP_LINGER ? "linger" : "closing";
    out->kind = SESSION_CLOSING;
}

static const struct session_ops http_session_ops = {
    .end = op_end,
    .backend_down = op_backend_down,
    .pool_name = pool_name,
    .backend_name = backend_name,
    .view = view,
    .drain = op_drain,
    .free = op_free,
};
