/* conn_cache.c - see conn_cache.h */
#include "lb/upstream/conn_cache.h"

#include "lb/base/hash.h"
#include "lb/net/addr.h"
#include "lb/net/stream_tls.h"
#include "lb/upstream/pool.h"

#define NOTIFY_MS 1000    /* for close_notify to be taken */
#define MOMENT_US 1000000 /* an idle time so short that no backend closes within it */

static struct backend_conn *conn_of(struct stream *s)
{
    return container_of(s, struct backend_conn, stream);
}

static struct member_local *local_of(const struct backend_conn *conn)
{
    return &conn->member->locals[conn->cache->worker];
}

static struct idle_learn *learn_of(const struct backend_conn *conn)
{
    return &local_of(conn)->idle.learn;
}

static struct conn_list *list_of(struct conn_cache *c, const struct pool *p,
                                 const struct backend_slot *slot)
{
    return &pool_member(p, slot)->conns->locals[c->worker].idle;
}

static struct backend_counters *row_of(const struct backend_conn *conn)
{
    return &conn->member->counts->rows[conn->cache->worker];
}

static uint64_t hash_of(const struct addr *a)
{
    return hash_u64(addr_hash_host(a) + addr_port(a));
}

/* ---- ends ---- */

static void release(struct backend_conn *conn)
{
    list_remove(&conn->node);
    stream_close(&conn->stream, conn->reset);
    slab_free(&conn->cache->conns, conn);
}

static void on_closing(struct stream *s)
{
    if (stream_idle(s))
        release(conn_of(s));
}

void backend_conn_close(struct backend_conn **connection, bool reset)
{
    struct backend_conn *conn = *connection;

    *connection = NULL;
    if (conn == NULL)
        return;
    conn->owner = NULL;
    conn->reset = reset;
    conn->stream.event = on_closing;
    list_push_back(&conn->cache->closing, &conn->node);
    stream_stop(&conn->stream);
    if (stream_idle(&conn->stream))
        release(conn);
}

/* What was to be said has been, or cannot be. */
static void left(struct backend_conn *conn)
{
    timer_stop(&conn->cache->loop->timers, &conn->expiry);
    list_remove(&conn->node);
    backend_conn_close(&conn, false);
}

static void on_left(struct stream *s)
{
    struct backend_conn *conn = conn_of(s);

    if (stream_sent_all(s) || s->tx_dead || s->eof || s->error != 0)
        left(conn);
}

static void on_late(struct timer *t)
{
    left(container_of(t, struct backend_conn, expiry));
}

void backend_conn_leave(struct backend_conn **connection)
{
    struct backend_conn *conn = *connection;
    struct stream *s = conn != NULL ? &conn->stream : NULL;

    if (conn == NULL || !stream_is_tls(s) || s->eof || s->error != 0 || s->tx_dead ||
        s->shut_asked) {
        backend_conn_close(connection, false);
        return;
    }
    *connection = NULL;
    conn->owner = NULL;
    s->event = on_left;
    s->tell_sent = true;
    list_push_back(&conn->cache->closing, &conn->node);
    timer_init(&conn->expiry, on_late);
    timer_start(&conn->cache->loop->timers, &conn->expiry,
                loop_now_ms(conn->cache->loop) + NOTIFY_MS);
    stream_shutdown(s);
    if (stream_sent_all(s)) /* there was nothing to be said */
        left(conn);
}

static void unlink_idle(struct backend_conn *conn)
{
    struct conn_cache *c = conn->cache;
    struct conn_list *l = &local_of(conn)->idle;

    timer_stop(&c->loop->timers, &conn->expiry);
    list_remove(&conn->node);
    list_remove(&conn->aged);
    l->n--;
    c->n_idle--;
    counter_sub(&row_of(conn)->idle, 1);
}

static void close_idle(struct backend_conn *conn)
{
    unlink_idle(conn);
    backend_conn_leave(&conn);
}

static uint32_t idle_ms(const struct backend_conn *conn)
{
    return (uint32_t)((loop_now_us(conn->cache->loop) - conn->idle_since_us) / 1000);
}

/* It ended, or spoke without having been asked: nothing that it says can be an answer. (What TLS
 * says for itself, such as a new session, is not seen here.) */
static void on_idle_event(struct stream *s)
{
    struct backend_conn *conn = conn_of(s);

    if (s->in == NULL && !s->eof && s->error == 0 && !s->tx_dead)
        return;
    if (s->eof && s->in == NULL)
        idle_learn_closed(learn_of(conn), idle_ms(conn));
    counter_add(&row_of(conn)->idle_closed, 1);
    close_idle(conn);
}

static void on_expiry(struct timer *t)
{
    struct backend_conn *conn = container_of(t, struct backend_conn, expiry);

    idle_learn_survived(learn_of(conn), idle_ms(conn));
    close_idle(conn);
}

/* ---- taking and giving ---- */

static struct backend_conn *take(struct backend_conn *conn)
{
    idle_learn_survived(learn_of(conn), idle_ms(conn));
    unlink_idle(conn);
    return conn;
}

struct backend_conn *conn_cache_take(struct conn_cache *c, struct pool *p,
                                     struct backend_slot *slot, const struct addr *address)
{
    struct conn_list *l = list_of(c, p, slot);
    uint64_t wanted = 0;

    while (!list_empty(&l->idle)) {
        struct backend_conn *conn = list_entry(l->idle.next, struct backend_conn, node);
        if (wanted == 0)
            wanted = hash_of(address);
        if (conn->address == wanted)
            return take(conn);
        close_idle(conn); /* the backend has moved */
    }
    return NULL;
}

struct backend_conn *conn_cache_take_safe(struct conn_cache *c, struct pool *p,
                                          struct backend_slot *slot, const struct addr *address,
                                          uint64_t client)
{
    struct conn_list *l = list_of(c, p, slot);
    uint64_t now = loop_now_us(c->loop);

    if (list_empty(&l->idle))
        return NULL;
    struct backend_conn *conn = list_entry(l->idle.next, struct backend_conn, node);
    if (conn->last_client != client && now - conn->idle_since_us >= MOMENT_US)
        return NULL;
    return conn_cache_take(c, p, slot, address);
}

struct backend_conn *backend_conn_new(struct conn_cache *c, struct pool *p,
                                      struct backend_slot *slot, const struct addr *address, int fd)
{
    struct backend_conn *conn = slab_alloc(&c->conns);

    if (conn == NULL)
        return NULL;
    list_init(&conn->node);
    list_init(&conn->aged);
    timer_init(&conn->expiry, on_expiry);
    conn->cache = c;
    conn->member = pool_member(p, slot)->conns;
    conn->slot = slot;
    conn->address = hash_of(address);
    stream_open(&conn->stream, c->streams, fd, on_idle_event);
    return conn;
}

bool backend_conn_leads_to(const struct backend_conn *conn, const struct addr *address)
{
    return conn->address == hash_of(address);
}

/* Its last send may be on its way still: the answer can be here before the engine has told us that
 * the request is gone. */
static bool clean(const struct stream *s)
{
    return s->in == NULL && !s->eof && s->error == 0 && !s->tx_dead && !stream_blocked(s) &&
           !s->shut_asked && s->rx_state != STREAM_RX_SPLICE;
}

void conn_cache_give(struct backend_conn **connection, uint32_t timeout_s, bool bulk)
{
    struct backend_conn *conn = *connection;
    struct conn_cache *c = conn->cache;
    struct conn_list *l = &local_of(conn)->idle;
    const struct http_pool_conf *conf = local_of(conn)->conf;

    if (timeout_s > 0)
        idle_learn_header(&l->learn, timeout_s);
    uint64_t keep_ms = conf != NULL ? idle_learn_keep_ms(&l->learn, conf->idle_timeout_ms) : 0;
    if (c->stopping || !clean(&conn->stream) || keep_ms == 0 || conf->idle_max == 0) {
        if (conn->stream.in == NULL)
            backend_conn_leave(connection);
        else
            backend_conn_close(connection, false);
        return;
    }
    *connection = NULL;
    stream_flush(&conn->stream); /* the end of a request that was answered before */
    if (l->n >= conf->idle_max)
        close_idle(list_entry(l->idle.prev, struct backend_conn, node));
    conn->owner = NULL;
    conn->stream.event = on_idle_event;
    conn->stream.tell_sent = false;
    conn->idle_since_us = loop_now_us(c->loop);
    list_push_front(&l->idle, &conn->node);
    list_push_back(&c->aged, &conn->aged);
    l->n++;
    c->n_idle++;
    counter_add(&row_of(conn)->idle, 1);
    timer_start(&c->loop->timers, &conn->expiry, loop_now_ms(c->loop) + keep_ms);
    stream_read(&conn->stream, bulk ? STREAM_READ_SOME : STREAM_READ);
}

/* ---- many at once ---- */

void conn_cache_drop(struct conn_cache *c, const struct backend_slot *slot)
{
    list_for_each_safe (node, next, &c->aged) {
        struct backend_conn *conn = list_entry(node, struct backend_conn, aged);
        if (slot == NULL || conn->slot == slot)
            close_idle(conn);
    }
}

void conn_cache_drop_member(struct conn_cache *c, struct member_conns *m)
{
    struct list *idle = &m->locals[c->worker].idle.idle;

    while (!list_empty(idle))
        close_idle(list_entry(idle->next, struct backend_conn, node));
}

bool conn_cache_evict(struct conn_cache *c)
{
    if (list_empty(&c->aged))
        return false;
    close_idle(list_entry(c->aged.next, struct backend_conn, aged));
    return true;
}

/* ---- life ---- */

void conn_cache_init(struct conn_cache *c, struct loop *loop, struct stream_env *streams,
                     uint32_t worker)
{
    *c = (struct conn_cache){.loop = loop, .streams = streams, .worker = worker};
    slab_init(&c->conns, "backend conn", sizeof(struct backend_conn), 0);
    list_init(&c->aged);
    list_init(&c->closing);
}

void conn_cache_stop(struct conn_cache *c)
{
    c->stopping = true;
    conn_cache_drop(c, NULL);
}

bool conn_cache_stopped(const struct conn_cache *c)
{
    return c->conns.used == 0;
}

void conn_cache_fini(struct conn_cache *c)
{
    sl_assert(conn_cache_stopped(c));
    slab_fini(&c->conns);
}
