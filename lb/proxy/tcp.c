/* tcp.c - a session of mode tcp: accept, PROXY header, choice of a backend, dial, tunnel, end.
 *
 * One state machine; enter() moves timer and state together. The client is received from as soon as
 * it is accepted, so its bytes wait in our memory (bounded) while a backend is chosen and dialled,
 * and nothing of them is lost when that takes several tries.
 *
 * A session holds at most one place at a backend (slot_take/slot_give), from the choice until the
 * session is freed or the backend given up. What is only needed until the first byte moves lives in
 * a struct dial, so an idle established session stays small. */
#include "lb/base/hash.h"
#include "lb/base/log.h"
#include "lb/net/addr.h"
#include "lb/net/proxy_proto.h"
#include "lb/obs/access_log.h"
#include "lb/proxy/proxy_priv.h"
#include "lb/proxy/seek.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_MAGIC     0x7c95e551u
#define LONG_LIVED_MS     5000  /* from here on a session's backend is watched by keep-alive */
#define UNACKNOWLEDGED_MS 30000 /* what was sent and never acknowledged: its connection is dead */
#define HALF_CLOSED_MS    1000  /* a half-closed session older than this has its resets watched */

enum tcp_state {
    TCP_PROXY_HEADER, /* the client's PROXY header is awaited */
    TCP_SEEKING,      /* a backend: queued or dialling */
    TCP_TUNNEL,
    TCP_CLOSING, /* waits for the last completions */
};

static const char *const state_names[] = {
    [TCP_PROXY_HEADER] = "proxy-header",
    [TCP_SEEKING] = "connecting",
    [TCP_TUNNEL] = "tunnel",
    [TCP_CLOSING] = "closing",
};

/* What a session needs until its first byte has moved. */
struct dial {
    struct seek seek;
    struct tcp_session *session;
    struct peer dst;  /* from a PROXY header: where the client connected to; family 0: none */
    int last_error;   /* of the last one */
    bool early;       /* the last one was lost after it had accepted */
    uint8_t *preface; /* the PROXY header to send, of the prefaces slab; NULL: none */
};

struct tcp_session {
    struct tunnel tunnel; /* first: the hot part */
    uint32_t magic;
    uint8_t state, end;
    uint8_t retries;
    bool reset_client, reset_backend;
    bool kept_alive; /* the backend's connection has its keep-alive set */
    struct session base;
    struct timer timer;
    struct backend_slot *slot;      /* a place is held; while there is a dial, it holds it */
    struct backend_slot *last_slot; /* for the log, when no place is held any more */
    struct dial *dial;
    uint64_t active_ms;
    uint64_t progress;             /* at the last look at the idle time */
    uint32_t queue_us, connect_us; /* UINT32_MAX: not reached */
    int error;                     /* what was seen at the end, -errno */
};
static_assert(sizeof(struct tcp_session) <= 768, "memory per idle connection is a promise");

static const struct session_ops tcp_session_ops;

static const struct seek_ops seek_ops;

size_t tcp_session_size(void)
{
    return sizeof(struct tcp_session);
}

size_t tcp_dial_size(void)
{
    return sizeof(struct dial);
}

static struct io *io_of(const struct tcp_session *s)
{
    return s->base.proxy->loop->io;
}

static uint64_t now_us(const struct tcp_session *s)
{
    return loop_now_us(s->base.proxy->loop);
}

static uint64_t now_ms(const struct tcp_session *s)
{
    return loop_now_ms(s->base.proxy->loop);
}

static struct pool *pool_of(const struct tcp_session *s)
{
    return s->base.listener->pool;
}

static struct listener_counters *listener_row(const struct tcp_session *s)
{
    return &s->base.listener->stats->rows[s->base.proxy->worker];
}

/* The backend that is or was last used, or NULL. */
static struct backend_slot *used_slot(const struct tcp_session *s)
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
    return state_names[s->state];
}

/* The row of that backend, else of the pool. */
static struct backend_counters *backend_row(const struct tcp_session *s)
{
    const struct backend_slot *slot = used_slot(s);

    if (slot == NULL)
        return &pool_of(s)->rows[s->base.proxy->worker];
    return &pool_of(s)->members[slot->member].rows[s->base.proxy->worker];
}

static struct tcp_session *session_of(struct tunnel *t)
{
    struct tcp_session *s = container_of(t, struct tcp_session, tunnel);

    CHECK_MAGIC(s, SESSION_MAGIC);
    return s;
}

static void enter(struct tcp_session *s, enum tcp_state state, uint64_t timeout_ms)
{
    s->state = state;
    if (timeout_ms > 0)
        timer_start(&s->base.proxy->loop->timers, &s->timer, now_ms(s) + timeout_ms);
    else
        timer_stop(&s->base.proxy->loop->timers, &s->timer);
}

/* ---- the client's address ---- */

static void client_address(struct tcp_session *s, struct addr *out)
{
    session_client_address(&s->base, s->tunnel.client_fd, out);
}

/* ---- the end ---- */

static void give_place(struct tcp_session *s)
{
    if (s->slot != NULL)
        s->last_slot = s->slot;
    seek_give_place(s->base.proxy, pool_of(s), &s->slot);
}

static void close_fd(struct tcp_session *s, int *fd, bool reset)
{
    if (*fd < 0)
        return;
    if (reset)
        io_reset(io_of(s), *fd);
    else
        io_close(io_of(s), *fd);
    *fd = -1;
}

static bool idle(const struct tcp_session *s)
{
    return tunnel_idle(&s->tunnel) && (s->dial == NULL || seek_idle(&s->dial->seek));
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
    enter(s, TCP_CLOSING, 0);
    if (s->dial != NULL)
        seek_stop(&s->dial->seek);
    tunnel_stop(&s->tunnel);
    free_soon(s);
}

static void end_with(struct tcp_session *s, enum session_end why, int error)
{
    s->error = error;
    end_session(s, why);
}

static void count_times(struct tcp_session *s, struct backend_counters *row, uint64_t total_us)
{
    uint64_t queue_us = s->queue_us == UINT32_MAX ? 0 : s->queue_us;

    if (s->connect_us == UINT32_MAX)
        return;
    counter_add(&row->timed, 1);
    counter_add(&row->queue_us, queue_us);
    counter_add(&row->connect_us, s->connect_us);
    counter_add(&row->total_us, total_us);
    counter_max(&row->queue_us_max, queue_us);
    counter_max(&row->connect_us_max, s->connect_us);
    counter_max(&row->total_us_max, total_us);
}

static void count_end(struct tcp_session *s)
{
    struct backend_counters *row = backend_row(s);

    switch ((enum session_end)s->end) {
    case END_CLIENT_ABORT:
    case END_CLIENT_GONE:
        counter_add(&row->client_aborts, 1);
        break;
    case END_SERVER_ABORT:
        counter_add(&row->server_aborts, 1);
        break;
    case END_QUEUE_TIMEOUT:
    case END_QUEUE_FULL:
        counter_add(&row->queue_timeouts, 1);
        break;
    case END_BAD_PROXY_HEADER:
    case END_PROXY_TIMEOUT:
        counter_add(&listener_row(s)->bad_requests, 1);
        break;
    default:
        break;
    }
    count_times(s, row, now_us(s) - s->base.accepted_us);
}

static void write_log(struct tcp_session *s)
{
    struct proxy_listener *l = s->base.listener;
    const struct backend_slot *slot = used_slot(s);
    struct addr client, local, *backend = NULL;
    char line[ACCESS_LINE_MAX];

    if (l->sink == NULL)
        return;
    client_address(s, &client);
    session_local_address(&s->base, s->tunnel.client_fd, &local);
    if (slot != NULL)
        backend = atomic_load_explicit(&slot->address, memory_order_acquire); /* in an epoch */
    struct access_record r = {
        .id = s->base.id,
        .client = &client,
        .listener_addr = &local,
        .backend_addr = backend,
        .listener = l->conf->name,
        .pool = pool_of(s)->name,
        .backend = slot ? slot->name : NULL,
        .start_wall_us = session_wall_us(&s->base, s->base.accepted_us),
        .queue_us = s->queue_us == UINT32_MAX ? -1 : (int64_t)s->queue_us,
        .connect_us = s->connect_us == UINT32_MAX ? -1 : (int64_t)s->connect_us,
        .total_us = now_us(s) - s->base.accepted_us,
        .bytes_in = s->tunnel.up.bytes,
        .bytes_out = s->tunnel.down.bytes,
        .retries = s->retries,
        .redispatched = s->retries > 0,
        .end = (enum session_end)s->end,
        .actconn = atomic_load_explicit(&s->base.proxy->shared->connections, memory_order_relaxed),
        .feconn = atomic_load_explicit(&l->stats->current, memory_order_relaxed),
        .beconn = atomic_load_explicit(&pool_of(s)->current, memory_order_relaxed),
        .srv_conn = slot ? atomic_load_explicit(&slot->in_flight, memory_order_relaxed) : 0,
        .backend_queue = atomic_load_explicit(&pool_of(s)->waiting, memory_order_relaxed),
    };
    if (s->error != 0)
        snprintf(r.detail, sizeof(r.detail), "%s", strerror(-s->error));
    size_t n = access_format_write(l->format, &r, line);
    log_sink_write(l->sink, line, n);
}

/* What it has found out stays with the session. */
static void free_dial(struct tcp_session *s)
{
    struct dial *d = s->dial;

    if (d == NULL)
        return;
    s->last_slot = used_slot(s);
    s->queue_us = d->seek.queue_us;
    s->connect_us = d->seek.connect_us;
    s->retries = (uint8_t)d->seek.retries;
    s->slot = seek_take_place(&d->seek);
    seek_fini(&d->seek);
    if (d->preface != NULL)
        slab_free(&s->base.proxy->prefaces, d->preface);
    slab_free(&s->base.proxy->dials, d);
    s->dial = NULL;
}

static void finalize(struct tcp_session *s)
{
    struct proxy *p = s->base.proxy;

    free_dial(s);
    count_end(s);
    write_log(s);
    tunnel_fini(&s->tunnel);
    close_fd(s, &s->tunnel.backend_fd, s->reset_backend);
    close_fd(s, &s->tunnel.client_fd, s->reset_client);
    give_place(s);
    atomic_fetch_sub_explicit(&pool_of(s)->current, 1, memory_order_relaxed);
    session_finish(&s->base);
    s->magic = 0;
    slab_free(&p->sessions, s);
}

/* ---- dialling ---- */

static uint16_t make_preface(struct tcp_session *s)
{
    enum proxy_proto version = pool_of(s)->conf->send_proxy;
    struct addr src, dst;

    if (version == PROXY_OFF)
        return 0;
    client_address(s, &src);
    if (s->dial->dst.family != 0)
        peer_get(&s->dial->dst, &dst);
    else
        session_local_address(&s->base, s->tunnel.client_fd, &dst);
    return (uint16_t)proxy_write(version, &src, &dst, s->dial->preface);
}

/* The first time that the tunnel's timer fires. */
static uint64_t first_look_ms(const struct tcp_session *s)
{
    uint64_t limit = s->base.listener->conf->tunnel_timeout_ms;

    return limit > 0 && limit < LONG_LIVED_MS ? limit : LONG_LIVED_MS;
}

static void start_tunnel(struct tcp_session *s, int fd)
{
    struct backend_counters *row = backend_row(s);

    counter_add(&row->sessions, 1);
    counter_set(&row->last_session_s, io_wall_us(io_of(s)) / 1000000);
    s->active_ms = now_ms(s);
    enter(s, TCP_TUNNEL, first_look_ms(s));
    tunnel_open_backend(&s->tunnel, fd, s->dial->preface, make_preface(s));
}

static void on_placed(struct seek *k)
{
    struct dial *d = container_of(k, struct dial, seek);

    /* The acknowledgement of the handshake rides on the first data only where there is some: a
     * server that speaks first would not get its connection before it. */
    k->defer_ack = d->session->tunnel.up.first != NULL;
    d->early = false;
    seek_dial(k);
}

static void on_connected(struct seek *k, int fd)
{
    start_tunnel(container_of(k, struct dial, seek)->session, fd);
}

static void on_failed(struct seek *k, enum session_end why, int error)
{
    struct dial *d = container_of(k, struct dial, seek);
    struct tcp_session *s = d->session;

    if (d->early) { /* what the last backend did is passed on */
        s->reset_client = error != 0;
        why = END_SERVER_ABORT;
    }
    end_with(s, why, error);
}

static void on_seek_stopped(struct seek *k)
{
    free_soon(container_of(k, struct dial, seek)->session);
}

static const struct seek_ops seek_ops = {
    .placed = on_placed,
    .connected = on_connected,
    .failed = on_failed,
    .stopped = on_seek_stopped,
};

static bool new_dial(struct tcp_session *s)
{
    struct dial *d = slab_alloc(&s->base.proxy->dials);
    struct addr client;

    if (d == NULL)
        return false;
    if (pool_of(s)->conf->send_proxy != PROXY_OFF &&
        (d->preface = slab_alloc(&s->base.proxy->prefaces)) == NULL) {
        slab_free(&s->base.proxy->dials, d);
        return false;
    }
    d->session = s;
    s->dial = d;
    seek_init(&d->seek, &seek_ops, s->base.proxy, pool_of(s));
    if (pool_of(s)->conf->balance.kind == BALANCE_HASH) {
        client_address(s, &client);
        d->seek.key = addr_hash_host(&client);
    }
    return true;
}

static void choose(struct tcp_session *s)
{
    enter(s, TCP_SEEKING, 0);
    seek_place(&s->dial->seek);
}

/* ---- the PROXY header ---- */

static size_t peek(const struct tunnel *t, uint8_t *out, size_t max)
{
    size_t n = 0;

    for (const struct io_buf *b = t->up.first; b != NULL && n < max; b = b->next) {
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
        if (pool_of(s)->conf->balance.kind == BALANCE_HASH)
            s->dial->seek.key = addr_hash_host(&h->src);
    }
    tunnel_consume(&s->tunnel, (uint32_t)h->header_len);
    s->dial->seek.started_us = now_us(s);
    if (session_admit_source(&s->base, s->tunnel.client_fd)) {
        choose(s);
        return;
    }
    counter_add(&listener_row(s)->denied, 1);
    s->reset_client = true;
    end_with(s, END_LIMIT, 0);
}

static void on_arrived(struct tunnel *t)
{
    struct tcp_session *s = session_of(t);
    uint8_t bytes[LIMIT_PROXY_V2_BYTES];
    struct proxy_header h;

    if (s->state != TCP_PROXY_HEADER)
        return;
    size_t n = peek(t, bytes, sizeof(bytes));
    enum proxy_result r = proxy_parse(bytes, n, s->base.listener->conf->proxy_protocol, &h);
    if (r == PROXY_DONE) {
        accept_proxy_header(s, &h);
    } else if (r != PROXY_MORE || t->up.eof) {
        log_debug("listener %s: PROXY header refused: %s", s->base.listener->conf->name,
                  proxy_result_text(r));
        s->reset_client = true;
        end_with(s, END_BAD_PROXY_HEADER, 0);
    }
}

/* ---- the tunnel's news ---- */

static void on_moved(struct tunnel *t, bool up, uint32_t n)
{
    struct tcp_session *s = session_of(t);
    struct listener_counters *l = listener_row(s);
    struct backend_counters *b = backend_row(s);

    s->active_ms = now_ms(s);
    counter_add(up ? &l->bytes_in : &l->bytes_out, n);
    counter_add(up ? &b->bytes_in : &b->bytes_out, n);
    if (s->dial == NULL || (t->preface != NULL && !t->preface_sent))
        return;
    if (s->dial->seek.defer_ack) /* else a backend that writes in two pieces waits 40 ms */
        io_quick_ack(io_of(s), t->backend_fd);
    free_dial(s); /* from here on no other backend can take over */
}

static bool on_early_loss(struct tunnel *t, int error)
{
    struct tcp_session *s = session_of(t);

    if (s->state != TCP_TUNNEL || s->dial == NULL || s->dial->seek.tries_left == 0)
        return false;
    s->dial->last_error = error;
    s->dial->early = true;
    counter_add(&backend_row(s)->response_errors, 1);
    return true;
}

static void on_detached(struct tunnel *t, int backend_fd)
{
    struct tcp_session *s = session_of(t);

    io_close(io_of(s), backend_fd);
    enter(s, TCP_SEEKING, 0);
    seek_next(&s->dial->seek, s->dial->last_error);
}

/* Most close the other half right away; one that does not has its resets watched. */
static void on_half_closed(struct tunnel *t)
{
    enter(session_of(t), TCP_TUNNEL, HALF_CLOSED_MS);
}

static void on_ended(struct tunnel *t, const struct tunnel_end *end)
{
    struct tcp_session *s = session_of(t);

    if (end->finished) {
        end_with(s, END_NORMAL, 0);
    } else if (end->side == TUNNEL_CLIENT) {
        s->reset_backend = true;
        end_with(s, s->state == TCP_TUNNEL ? END_CLIENT_ABORT : END_CLIENT_GONE, end->error);
    } else {
        s->reset_client = true;
        end_with(s, END_SERVER_ABORT, end->error);
    }
}

static void on_stopped(struct tunnel *t)
{
    free_soon(session_of(t));
}

const struct tunnel_ops tcp_tunnel_ops = {
    .arrived = on_arrived,
    .moved = on_moved,
    .early_loss = on_early_loss,
    .detached = on_detached,
    .half_closed = on_half_closed,
    .ended = on_ended,
    .stopped = on_stopped,
};

/* ---- time ---- */

/* The deadline moves with every byte; the timer does not, it is started again when it fires early.
 */
static void on_tunnel_timer(struct tcp_session *s)
{
    uint64_t limit = s->base.listener->conf->tunnel_timeout_ms;
    uint64_t progress = tunnel_progress(&s->tunnel);
    bool half = tunnel_half_closed(&s->tunnel);

    if (progress != s->progress && now_ms(s) - s->active_ms >= limit)
        s->active_ms = now_ms(s); /* a slow receiver is taking a long send bit by bit */
    s->progress = progress;
    uint64_t quiet = now_ms(s) - s->active_ms;
    if (limit > 0 && quiet >= limit) {
        /* Whose fault it is: the side that we wait for. */
        bool client = s->tunnel.down.first != NULL || s->tunnel.down.eof;
        end_with(s, client ? END_CLIENT_TIMEOUT : END_SERVER_TIMEOUT, 0);
        return;
    }
    if (!s->kept_alive && now_us(s) - s->base.accepted_us >= LONG_LIVED_MS * 1000) {
        s->kept_alive = true;
        io_keep_alive(io_of(s), s->tunnel.backend_fd, UNACKNOWLEDGED_MS);
    }
    if (half)
        tunnel_watch_half_closed(&s->tunnel);
    uint64_t next = limit > 0 ? limit - quiet : 0;
    if (!s->kept_alive && (next == 0 || next > LONG_LIVED_MS))
        next = LONG_LIVED_MS;
    if (s->state == TCP_TUNNEL)
        enter(s, TCP_TUNNEL, next);
}

static void on_timer(struct timer *timer)
{
    struct tcp_session *s = container_of(timer, struct tcp_session, timer);

    CHECK_MAGIC(s, SESSION_MAGIC);
    switch ((enum tcp_state)s->state) {
    case TCP_PROXY_HEADER:
        s->reset_client = true;
        end_with(s, END_PROXY_TIMEOUT, 0);
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

static struct tcp_session *session_new(struct proxy *p, struct acceptor *a, int fd)
{
    struct tcp_session *s = slab_alloc(&p->sessions);

    if (s == NULL)
        return NULL;
    tunnel_init(&s->tunnel, &p->tunnels);
    s->tunnel.client_fd = fd;
    s->magic = SESSION_MAGIC;
    session_init(&s->base, &tcp_session_ops, p, a);
    s->queue_us = s->connect_us = UINT32_MAX;
    timer_init(&s->timer, on_timer);
    if (!new_dial(s)) {
        slab_free(&p->sessions, s);
        return NULL;
    }
    return s;
}

/* Before anything was armed: nothing to join. */
static void refuse(struct tcp_session *s)
{
    struct proxy *p = s->base.proxy;

    session_refuse(&s->base);
    close_fd(s, &s->tunnel.client_fd, true);
    free_dial(s);
    slab_free(&p->sessions, s);
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
    uint32_t in_pool = atomic_fetch_add_explicit(&pool_of(s)->current, 1, memory_order_relaxed) + 1;
    counter_max(&pool_of(s)->current_max, in_pool);
    session_begin(&s->base, fd);
    if (session_expects_proxy_header(&s->base, fd)) {
        enter(s, TCP_PROXY_HEADER, s->base.listener->conf->handshake_timeout_ms);
        tunnel_open_client(&s->tunnel, fd);
        return;
    }
    tunnel_open_client(&s->tunnel, fd);
    choose(s);
}

/* ---- for the operator ---- */

static struct tcp_session *of_base(const struct session *base)
{
    struct tcp_session *s =
        container_of((struct session *)(uintptr_t)base, struct tcp_session, base);

    CHECK_MAGIC(s, SESSION_MAGIC);
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
    return pool_of(of_base(base))->name;
}

static const char *backend_name(const struct session *base)
{
    const struct tcp_session *s = of_base(base);

    return s->slot ? s->slot->name : NULL;
}

static bool cut_by(const struct session *base, const struct backend_slot *slot)
{
    const struct tcp_session *s = of_base(base);

    return s->state == TCP_TUNNEL && s->slot == slot && pool_of(s)->conf->close_on_down;
}

static void view(struct session *base, struct proxy_session_view *out)
{
    struct tcp_session *s = of_base(base);
    const struct tunnel *t = &s->tunnel;

    out->idle_ms = s->state == TCP_TUNNEL ? now_ms(s) - s->active_ms : 0;
    out->bytes_in = t->up.bytes;
    out->bytes_out = t->down.bytes;
    out->state = state_name(s);
    out->in_spliced = t->up.rx_state == RX_SPLICE;
    out->out_spliced = t->down.rx_state == RX_SPLICE;
    out->client_fd = t->client_fd;
    out->backend_fd = t->backend_fd;
}

static const struct session_ops tcp_session_ops = {
    .end = op_end,
    .cut_by = cut_by,
    .pool_name = pool_name,
    .backend_name = backend_name,
    .view = view,
    .free = op_free,
};
