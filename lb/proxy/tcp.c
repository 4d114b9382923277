/* tcp.c - a session of mode tcp: accept, PROXY header, what TLS needs of the client, choice of a
 * backend, dial, bytes, end.
 *
 * One state machine; tcp_enter() moves timer and state together. The client is received from as
 * soon as it is accepted, so its bytes wait in our memory (bounded) while a backend is chosen and
 * dialled, and nothing of them is lost when that takes several tries.
 *
 * A session holds at most one place at a backend (slot_take/slot_give), from the choice until the
 * session is freed or the backend given up. What is only needed until the first byte moves lives in
 * a struct dial, so an idle established session stays small. */
#include "lb/base/hash.h"
#include "lb/base/log.h"
#include "lb/base/tls_facts.h"
#include "lb/net/addr.h"
#include "lb/net/proxy_proto.h"
#include "lb/obs/access_log.h"
#include "lb/proxy/sni_table.h"
#include "lb/proxy/tcp_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LONG_LIVED_MS     5000  /* from here on a session's backend is watched by keep-alive */
#define UNACKNOWLEDGED_MS 30000 /* what was sent and never acknowledged: its connection is dead */
#define HALF_CLOSED_MS    1000  /* a half-closed session older than this has its resets watched */

static const char *const state_names[] = {
    [TCP_PROXY_HEADER] = "proxy-header", [TCP_HELLO] = "client-hello",
    [TCP_HANDSHAKE] = "handshake",       [TCP_REFUSING] = "refusing",
    [TCP_SEEKING] = "connecting",        [TCP_TUNNEL] = "tunnel",
    [TCP_CLOSING] = "closing",
};

static const struct session_ops tcp_session_ops;
static const struct seek_ops seek_ops;

size_t tcp_dial_size(void)
{
    return sizeof(struct dial);
}

struct backend_slot *tcp_used_slot(const struct tcp_session *s)
{
    if (s->slot != NULL)
        return s->slot;
    if (s->dial != NULL && s->dial->seek.slot != NULL)
        return s->dial->seek.slot;
    return s->dial != NULL ? s->dial->seek.last_slot : s->last_slot;
}

static const char *state_name(const struct tcp_session *s)
{
    if (s->state == TCP_SEEKING && s->dial->seek.state == SEEK_QUEUED)
        return "queued";
    if (s->state == TCP_SEEKING && s->dial->seek.state == SEEK_SECURING)
        return "securing";
    return state_names[s->state];
}

struct backend_counters *tcp_backend_row(const struct tcp_session *s)
{
    const struct backend_slot *slot = tcp_used_slot(s);

    if (s->pool == NULL)
        return NULL;
    if (slot == NULL)
        return &s->pool->rows[s->base.proxy->worker];
    return &pool_member(s->pool, slot)->rows[s->base.proxy->worker];
}

void tcp_enter(struct tcp_session *s, enum tcp_state state, uint64_t timeout_ms)
{
    s->state = (uint8_t)state;
    if (timeout_ms > 0)
        timer_start(&s->base.proxy->loop->timers, &s->timer, tcp_now_ms(s) + timeout_ms);
    else
        timer_stop(&s->base.proxy->loop->timers, &s->timer);
}

/* ---- the end ---- */

static void give_place(struct tcp_session *s)
{
    if (s->slot != NULL)
        s->last_slot = s->slot;
    if (s->pool != NULL)
        seek_give_place(s->base.proxy, s->pool, &s->slot);
}

static bool idle(struct tcp_session *s)
{
    return s->link->idle(s) && (s->dial == NULL || seek_idle(&s->dial->seek)) && tcp_hello_idle(s);
}

/* Freed at the end of the turn: those above us on the stack still look at it. */
static void free_soon(struct tcp_session *s)
{
    if (idle(s))
        session_free_soon(&s->base);
}

static void end_session(struct tcp_session *s, enum session_end why)
{
    if (s->state == TCP_CLOSING)
        return;
    s->end = (uint8_t)why;
    log_debug("session %llx: %s while %s%s%s", (unsigned long long)s->base.id,
              session_end_text(why), state_names[s->state], s->error ? ": " : "",
              s->error ? strerror(-s->error) : "");
    if (session_end_is_cut(why)) /* both see that it did not end by itself */
        s->reset_client = s->reset_backend = true;
    tcp_enter(s, TCP_CLOSING, 0);
    if (s->dial != NULL)
        seek_stop(&s->dial->seek);
    tcp_hello_stop(s);
    s->link->stop(s);
    free_soon(s);
}

void tcp_end(struct tcp_session *s, enum session_end why, int error)
{
    s->error = error;
    end_session(s, why);
}

/* What dialling has found out stays with the session. */
static void note_dial(struct tcp_session *s)
{
    struct dial *d = s->dial;

    s->last_slot = tcp_used_slot(s);
    s->queue_us = d->seek.queue_us;
    s->connect_us = d->seek.connect_us;
    s->retries = (uint8_t)d->seek.retries;
    s->slot = seek_take_place(&d->seek);
}

static void free_dial(struct tcp_session *s)
{
    struct dial *d = s->dial;

    seek_fini(&d->seek);
    if (d->preface != NULL)
        slab_free(&s->base.proxy->prefaces, d->preface);
    slab_free(&s->base.proxy->dials, d);
    s->dial = NULL;
}

static void finalize(struct tcp_session *s)
{
    if (s->dial != NULL && s->pool != NULL)
        note_dial(s);
    tcp_log_end(s); /* what it says may stand in the dial or the link */
    if (s->dial != NULL)
        free_dial(s);
    tcp_hello_free(s);
    s->link->close(s);
    give_place(s);
    if (s->pool != NULL)
        atomic_fetch_sub_explicit(&s->pool->kept->current, 1, memory_order_relaxed);
    session_finish(&s->base);
    free(s->name);
    s->link->free(s);
}

void tcp_on_stopped(struct tcp_session *s)
{
    free_soon(s);
}

/* ---- dialling ---- */

static uint16_t make_preface(struct tcp_session *s)
{
    enum proxy_proto version = s->pool->conf->send_proxy;
    struct addr src, dst;

    if (version == PROXY_OFF)
        return 0;
    session_client_address(&s->base, s->client_fd, &src);
    if (s->dial->dst.family != 0)
        peer_get(&s->dial->dst, &dst);
    else
        session_local_address(&s->base, s->client_fd, &dst);
    return (uint16_t)proxy_write(version, &src, &dst, s->dial->preface);
}

/* The first time that the tunnel's timer fires. */
static uint64_t first_look_ms(const struct tcp_session *s)
{
    uint64_t limit = s->base.listener->conf->tunnel_timeout_ms;

    return limit > 0 && limit < LONG_LIVED_MS ? limit : LONG_LIVED_MS;
}

void tcp_joined(struct tcp_session *s)
{
    struct backend_counters *row = tcp_backend_row(s);

    counter_add(&row->sessions, 1);
    counter_set(&row->last_session_s, io_wall_us(tcp_io(s)) / 1000000);
    s->active_ms = tcp_now_ms(s);
    tcp_enter(s, TCP_TUNNEL, first_look_ms(s));
}

static void on_placed(struct seek *k)
{
    struct dial *d = container_of(k, struct dial, seek);
    struct tcp_session *s = d->session;

    /* The acknowledgement of the handshake rides on the first data only where there is some: a
     * server that speaks first would not get its connection before it. */
    k->defer_ack = s->pool->conf->tls != NULL || s->link->waiting(s) != NULL;
    d->early = false;
    seek_dial(k);
}

static void on_connected(struct seek *k, int fd)
{
    struct tcp_session *s = container_of(k, struct dial, seek)->session;

    s->link->open_backend(s, fd, make_preface(s));
}

static void on_late(struct seek *k)
{
    struct dial *d = container_of(k, struct dial, seek);

    d->failed = true;
    d->last_error = -ETIMEDOUT;
    d->session->link->drop_backend(d->session);
}

static void on_failed(struct seek *k, enum session_end why, int error)
{
    struct dial *d = container_of(k, struct dial, seek);
    struct tcp_session *s = d->session;

    if (d->early) { /* what the last backend did is passed on */
        s->reset_client = error != 0;
        why = END_SERVER_ABORT;
    }
    if (error != 0 && k->why[0] != '\0')
        s->why = k->why;
    tcp_end(s, why, error);
}

static void on_seek_stopped(struct seek *k)
{
    free_soon(container_of(k, struct dial, seek)->session);
}

static const struct seek_ops seek_ops = {
    .placed = on_placed,
    .connected = on_connected,
    .late = on_late,
    .failed = on_failed,
    .stopped = on_seek_stopped,
};

static void set_hash_key(struct tcp_session *s)
{
    struct addr client;

    if (s->pool->conf->balance.kind != BALANCE_HASH)
        return;
    session_client_address(&s->base, s->client_fd, &client);
    s->dial->seek.key = addr_hash_host(&client);
}

/* False: no memory. */
static bool set_pool(struct tcp_session *s, struct pool *pool)
{
    struct dial *d = s->dial;

    if (pool->conf->send_proxy != PROXY_OFF &&
        (d->preface = slab_alloc(&s->base.proxy->prefaces)) == NULL)
        return false;
    s->pool = pool;
    uint32_t n = atomic_fetch_add_explicit(&pool->kept->current, 1, memory_order_relaxed) + 1;
    counter_max(&pool->kept->current_max, n);
    seek_init(&d->seek, &seek_ops, s->base.proxy, pool);
    return true;
}

static void choose(struct tcp_session *s)
{
    set_hash_key(s);
    s->dial->seek.started_us = tcp_now_us(s);
    tcp_enter(s, TCP_SEEKING, 0);
    seek_place(&s->dial->seek);
}

static void keep_name(struct tcp_session *s, struct str name)
{
    if (name.len == 0)
        return;
    s->name = malloc(name.len + 1);
    if (s->name == NULL)
        return; /* it is for logs only */
    memcpy(s->name, name.p, name.len);
    s->name[name.len] = '\0';
}

void tcp_choose_pool(struct tcp_session *s, struct str name)
{
    const struct proxy_listener *l = s->base.listener;
    struct pool *pool = sni_table_find(l->sni, name);

    keep_name(s, name);
    if (pool == NULL)
        pool = l->pool;
    if (pool == NULL) {
        tcp_refuse_name(s);
        return;
    }
    tcp_hello_free(s);
    if (set_pool(s, pool))
        choose(s);
    else
        tcp_end(s, END_RESOURCE, -ENOMEM);
}

/* ---- what comes before the choice ---- */

/* The handshake and what comes before it have one time together. */
static uint64_t handshake_left_ms(const struct tcp_session *s)
{
    uint64_t limit = s->base.listener->conf->handshake_timeout_ms;
    uint64_t used = (tcp_now_us(s) - s->base.accepted_us) / 1000;

    return limit == 0 ? 0 : used < limit ? limit - used : 1;
}

/* The PROXY header, if there was to be one, has been read. */
static void begin_client(struct tcp_session *s)
{
    const struct proxy_listener *l = s->base.listener;

    if (l->conf->tls != NULL) {
        tcp_enter(s, TCP_HANDSHAKE, handshake_left_ms(s));
        s->link->secure_client(s);
    } else if (l->sni != NULL) {
        tcp_enter(s, TCP_HELLO, handshake_left_ms(s));
        if (!tcp_hello_begin(s))
            tcp_end(s, END_RESOURCE, -ENOMEM);
        else
            tcp_hello_read(s);
    } else {
        choose(s);
    }
}

void tcp_on_secured(struct tcp_session *s, bool resumed)
{
    struct tls_facts facts;
    char name[256];
    size_t n = 0;

    counter_add(&tcp_listener_row(s)->tls_handshakes, 1);
    counter_add(&tcp_listener_row(s)->tls_resumed, resumed);
    if (s->base.listener->sni == NULL) {
        choose(s);
        return;
    }
    if (!s->link->facts(s, &facts)) {
        tcp_end(s, END_RESOURCE, -ENOMEM);
        return;
    }
    for (; n < facts.sni.len && n < sizeof(name); n++)
        name[n] = (char)(facts.sni.p[n] >= 'A' && facts.sni.p[n] <= 'Z' ? facts.sni.p[n] | 0x20
                                                                        : facts.sni.p[n]);
    if (n > 0 && name[n - 1] == '.')
        n--;
    tcp_choose_pool(s, (struct str){name, n});
}

static size_t peek(struct tcp_session *s, uint8_t *out, size_t max)
{
    size_t n = 0;

    for (const struct io_buf *b = s->link->waiting(s); b != NULL && n < max; b = b->next) {
        size_t part = b->len < max - n ? b->len : max - n;
        memcpy(out + n, b->data, part);
        n += part;
    }
    return n;
}

static void accept_proxy_header(struct tcp_session *s, const struct proxy_header *h)
{
    if (!h->local) {
        peer_set(&s->base.client, &h->src);
        peer_set(&s->dial->dst, &h->dst);
    }
    s->link->consume(s, (uint32_t)h->header_len);
    if (session_admit_source(&s->base, s->client_fd)) {
        begin_client(s);
        return;
    }
    counter_add(&tcp_listener_row(s)->denied, 1);
    session_note_refused(&s->base, "", SESSION_SOURCE_FULL);
    s->reset_client = true;
    tcp_end(s, END_LIMIT, 0);
}

static void read_proxy_header(struct tcp_session *s)
{
    uint8_t bytes[LIMIT_PROXY_V2_BYTES];
    struct tcp_link_view view;
    struct proxy_header h;

    size_t n = peek(s, bytes, sizeof(bytes));
    enum proxy_result r = proxy_parse(bytes, n, s->base.listener->conf->proxy_protocol, &h);
    s->link->look(s, &view);
    if (r == PROXY_DONE) {
        accept_proxy_header(s, &h);
    } else if (r != PROXY_MORE || view.client_ended) {
        if (n > 0) /* others only look whether the port is open */
            session_note_refused(&s->base, "PROXY header: ", proxy_result_text(r));
        s->reset_client = true;
        tcp_end(s, END_BAD_PROXY_HEADER, 0);
    }
}

void tcp_on_arrived(struct tcp_session *s)
{
    if (s->state == TCP_PROXY_HEADER)
        read_proxy_header(s);
    else if (s->state == TCP_HELLO)
        tcp_hello_read(s);
}

/* ---- the link's news ---- */

void tcp_on_moved(struct tcp_session *s, bool up, uint32_t n)
{
    struct listener_counters *l = tcp_listener_row(s);
    struct backend_counters *b = tcp_backend_row(s);

    s->active_ms = tcp_now_ms(s);
    counter_add(up ? &l->bytes_in : &l->bytes_out, n);
    counter_add(up ? &b->bytes_in : &b->bytes_out, n);
}

void tcp_settle(struct tcp_session *s, int backend_fd)
{
    if (s->dial->seek.defer_ack) /* else a backend that writes in two pieces waits 40 ms */
        io_quick_ack(tcp_io(s), backend_fd);
    note_dial(s);
    free_dial(s);
}

bool tcp_on_early_loss(struct tcp_session *s, int error)
{
    if (s->state != TCP_TUNNEL || s->dial == NULL || s->dial->seek.tries_left == 0)
        return false;
    s->dial->last_error = error;
    s->dial->early = true;
    counter_add(&tcp_backend_row(s)->response_errors, 1);
    return true;
}

void tcp_on_detached(struct tcp_session *s)
{
    struct dial *d = s->dial;

    tcp_enter(s, TCP_SEEKING, 0);
    if (d->failed) {
        d->failed = false;
        seek_dial_failed(&d->seek, d->last_error);
    } else {
        seek_next(&d->seek, d->last_error);
    }
}

/* Most close the other half right away; one that does not has its resets watched. */
void tcp_on_half_closed(struct tcp_session *s)
{
    tcp_enter(s, TCP_TUNNEL, HALF_CLOSED_MS);
}

void tcp_on_ended(struct tcp_session *s, const struct tunnel_end *end)
{
    if (end->finished) {
        tcp_end(s, END_NORMAL, 0);
    } else if (end->side == TUNNEL_CLIENT) {
        s->reset_backend = true;
        tcp_end(s, s->state == TCP_TUNNEL ? END_CLIENT_ABORT : END_CLIENT_GONE, end->error);
    } else {
        s->reset_client = true;
        tcp_end(s, END_SERVER_ABORT, end->error);
    }
}

/* ---- time ---- */

/* The deadline moves with every byte; the timer does not, it is started again when it fires early.
 */
static void on_tunnel_timer(struct tcp_session *s)
{
    uint64_t limit = s->base.listener->conf->tunnel_timeout_ms;
    struct tcp_link_view view;

    s->link->look(s, &view);
    if (view.progress != s->progress && tcp_now_ms(s) - s->active_ms >= limit)
        s->active_ms = tcp_now_ms(s); /* a slow receiver is taking a long send bit by bit */
    s->progress = view.progress;
    uint64_t quiet = tcp_now_ms(s) - s->active_ms;
    if (limit > 0 && quiet >= limit) {
        /* Whose fault it is: the side that we wait for. */
        tcp_end(s, view.client_is_due ? END_CLIENT_TIMEOUT : END_SERVER_TIMEOUT, 0);
        return;
    }
    if (!s->kept_alive && tcp_now_us(s) - s->base.accepted_us >= LONG_LIVED_MS * 1000) {
        s->kept_alive = true;
        io_keep_alive(tcp_io(s), view.backend_fd, UNACKNOWLEDGED_MS);
    }
    if (view.half_closed)
        s->link->watch_half_closed(s);
    uint64_t next = limit > 0 ? limit - quiet : 0;
    if (!s->kept_alive && (next == 0 || next > LONG_LIVED_MS))
        next = LONG_LIVED_MS;
    if (s->state == TCP_TUNNEL)
        tcp_enter(s, TCP_TUNNEL, next);
}

static void on_timer(struct timer *timer)
{
    struct tcp_session *s = container_of(timer, struct tcp_session, timer);

    CHECK_MAGIC(s, TCP_SESSION_MAGIC);
    switch ((enum tcp_state)s->state) {
    case TCP_PROXY_HEADER:
        s->reset_client = true;
        tcp_end(s, END_PROXY_TIMEOUT, 0);
        return;
    case TCP_HELLO:
    case TCP_HANDSHAKE:
        s->reset_client = true;
        tcp_end(s, END_TLS_TIMEOUT, 0);
        return;
    case TCP_REFUSING:
        tcp_end(s, (enum session_end)s->end, 0);
        return;
    case TCP_TUNNEL:
        on_tunnel_timer(s);
        return;
    case TCP_SEEKING:
    case TCP_CLOSING:
        break;
    }
    sl_assert(!"no timer runs while seeking or closing");
}

/* ---- the start ---- */

/* Its pool may be any of those that its name leads to; one with TLS is refused by the configuration
 * where the hello is passed on. */
static bool needs_relay(const struct proxy_listener *l)
{
    return l->conf->tls != NULL || (l->sni == NULL && l->pool->conf->tls != NULL);
}

static struct tcp_session *session_new(struct proxy *p, struct acceptor *a, int fd)
{
    struct tcp_session *s = needs_relay(a->listener) ? tcp_relayed_new(p) : tcp_plain_new(p);

    if (s == NULL)
        return NULL;
    s->magic = TCP_SESSION_MAGIC;
    s->client_fd = fd;
    session_init(&s->base, &tcp_session_ops, p, a);
    s->queue_us = s->connect_us = UINT32_MAX;
    timer_init(&s->timer, on_timer);
    s->dial = slab_alloc(&p->dials);
    if (s->dial == NULL) {
        s->link->free(s);
        return NULL;
    }
    s->dial->session = s;
    return s;
}

/* Before anything was armed: nothing to join. */
static void refuse(struct tcp_session *s)
{
    session_refuse(&s->base);
    s->reset_client = true;
    s->link->close(s);
    free_dial(s);
    s->link->free(s);
}

void tcp_session_start(struct proxy *p, struct acceptor *a, int fd)
{
    struct tcp_session *s = session_new(p, a, fd);

    if (s == NULL) {
        counter_add(&p->counters->memory_refused, 1);
        io_reset(p->loop->io, fd);
        return;
    }
    if (!session_admit(&s->base, fd)) {
        refuse(s);
        return;
    }
    session_begin(&s->base, fd);
    if (s->base.listener->sni == NULL && !set_pool(s, s->base.listener->pool)) {
        tcp_end(s, END_RESOURCE, -ENOMEM);
        return;
    }
    if (session_expects_proxy_header(&s->base, fd)) {
        tcp_enter(s, TCP_PROXY_HEADER, s->base.listener->conf->handshake_timeout_ms);
        s->link->open_client(s);
        return;
    }
    s->link->open_client(s);
    begin_client(s);
}

/* ---- for the operator ---- */

static struct tcp_session *of_base(const struct session *base)
{
    struct tcp_session *s =
        container_of((struct session *)(uintptr_t)base, struct tcp_session, base);

    CHECK_MAGIC(s, TCP_SESSION_MAGIC);
    return s;
}

static void op_end(struct session *base, enum session_end why)
{
    end_session(of_base(base), why);
}

static void op_free(struct session *base)
{
    finalize(of_base(base));
}

static const char *pool_name(const struct session *base)
{
    const struct pool *pool = of_base(base)->pool;

    return pool != NULL ? pool->name : NULL;
}

static const char *backend_name(const struct session *base)
{
    const struct tcp_session *s = of_base(base);

    return s->slot ? s->slot->name : NULL;
}

static void backend_down(struct session *base, const struct backend_slot *slot)
{
    const struct tcp_session *s = of_base(base);

    if (s->state == TCP_TUNNEL && s->slot == slot && s->pool->conf->close_on_down)
        op_end(base, END_DOWN);
}

static void view(struct session *base, struct proxy_session_view *out)
{
    struct tcp_session *s = of_base(base);
    struct tcp_link_view seen;

    s->link->look(s, &seen);
    out->idle_ms = s->state == TCP_TUNNEL ? tcp_now_ms(s) - s->active_ms : 0;
    out->bytes_in = seen.bytes_in;
    out->bytes_out = seen.bytes_out;
    out->state = state_name(s);
    out->in_spliced = seen.in_spliced;
    out->out_spliced = seen.out_spliced;
    out->client_fd = s->client_fd;
    out->backend_fd = seen.backend_fd;
}

static const struct session_ops tcp_session_ops = {
    .end = op_end,
    .backend_down = backend_down,
    .pool_name = pool_name,
    .backend_name = backend_name,
    .view = view,
    .free = op_free,
};
