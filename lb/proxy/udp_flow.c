/* udp_flow.c - a flow of mode udp: a client address, a backend, a connected socket between.
 *
 * A backend that refuses (ICMP) is reported to the checker. What could not be delivered so far then
 * goes to another backend, in a flow that takes over: the datagram at hand, or the first one where
 * nothing has come back yet. */
#include "health/checker.h"
#include "lb/base/log.h"
#include "lb/proxy/seek.h"
#include "lb/proxy/udp_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PICK_RACES_MAX 8  /* picks that lose their place to another worker, then: full */
#define CALLS_MAX      16 /* receives of one flow in a turn; others want to be served too */

static struct udp_flow *of_base(const struct session *s)
{
    return container_of((struct session *)(uintptr_t)s, struct udp_flow, base);
}

static struct io *io_of(const struct udp_flow *f)
{
    return f->base.proxy->loop->io;
}

/* ---- end ---- */

static void close_socket(struct udp_flow *f)
{
    if (f->fd >= 0)
        io_close(io_of(f), f->fd);
    f->fd = -1;
}

void udp_flow_end(struct udp_flow *f, enum session_end why, int error)
{
    if (f->over)
        return;
    f->over = true;
    f->end = (uint8_t)why;
    f->error = error;
    udp_remove(f->door, f);
    list_remove(&f->more);
    if (f->op.armed)
        io_cancel(io_of(f), &f->op);
    else
        session_free_soon(&f->base);
}

static void op_free(struct session *base)
{
    struct udp_flow *f = of_base(base);
    struct proxy *p = base->proxy;
    struct udp_door *door = f->door;

    udp_log_end(f);
    close_socket(f);
    seek_give_place(p, f->pool, &f->slot);
    atomic_fetch_sub_explicit(&f->pool->kept->current, 1, memory_order_relaxed);
    proxy_release(p, f->held);
    session_finish(base);
    free(f->first);
    slab_free(&p->udp->flows, f);
    udp_flow_gone(door);
}

/* ---- from the backend ---- */

/* Nothing of what was sent has arrived, it seems, or not all. */
static void backend_failed(struct udp_flow *f, int error)
{
    counter_add(&f->row->connect_errors, 1);
    checker_report_failure(f->base.proxy->shared->checker, f->slot, -error, "");
}

static void move_first(struct udp_flow *f, int error)
{
    struct io_dgram d = {.data = f->first, .len = f->first_len};
    struct udp_door *door = f->door;
    struct udp_flow *next = NULL;

    udp_flow_end(f, END_CONNECT_FAILED, error);
    if (f->first == NULL || f->dgrams_out > 0)
        return;
    next = udp_flow_start(door, &f->ends, f->hash, f, &d, 1);
    if (next != NULL)
        udp_flow_forward(next, &d, 1);
}

static bool transient(int error)
{
    return error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM;
}

static void count_answers(struct udp_flow *f, const struct io_dgram *d, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t parts = udp_count(&d[i]);
        counter_add(&f->row->bytes_out, d[i].len);
        f->bytes_out += d[i].len;
        f->dgrams_out += parts;
        f->awaited -= parts < f->awaited ? parts : f->awaited;
    }
}

/* False: nothing more is there, or the flow is over. */
static bool pass_some(struct udp_flow *f)
{
    struct io_dgram *d = udp_out(f->door);
    bool awaits = f->awaited > 0;
    int n = io_dgrams_recv(io_of(f), f->fd, d, UDP_OUT_MAX, LIMIT_DGRAM, false);

    if (n < 0) {
        if (!transient(n)) {
            backend_failed(f, n);
            move_first(f, n);
        } else if (n != -EAGAIN) {
            udp_more(f); /* it waits there still, and nothing new would tell of it */
        }
        return false;
    }
    count_answers(f, d, n);
    udp_out_add(f->door, f, n);
    if (awaits && f->awaited == 0) {
        udp_flow_end(f, END_NORMAL, 0);
        return false;
    }
    return n == UDP_OUT_MAX;
}

static void on_backend(struct op *op, int res)
{
    struct udp_flow *f = container_of(op, struct udp_flow, op);
    uint64_t before = f->dgrams_out;
    uint32_t calls = 1;

    if (!op->armed) {
        if (!f->over) /* the engine gave it up */
            udp_flow_end(f, END_RESOURCE, res);
        else
            session_free_soon(&f->base);
        return;
    }
    if (f->over)
        return;
    while (pass_some(f) && calls < CALLS_MAX)
        calls++;
    if (calls == CALLS_MAX && !f->over)
        udp_more(f);
    if (f->dgrams_out > before && !f->over) {
        free(f->first);
        f->first = NULL;
        udp_touch(f);
    }
}

/* ---- to the backend ---- */

static void count_sent(struct udp_flow *f, const struct io_dgram *d, int n)
{
    uint32_t responses = f->held->conf->udp.responses;

    for (int i = 0; i < n; i++) {
        f->bytes_in += d[i].len;
        f->dgrams_in += udp_count(&d[i]);
        f->awaited += (uint64_t)responses * udp_count(&d[i]);
        counter_add(&f->row->bytes_in, d[i].len);
    }
}

/* Another flow, at another backend, sends these. */
static void move(struct udp_flow *f, const struct io_dgram *d, int n, int error)
{
    struct udp_flow *next;

    backend_failed(f, error);
    udp_flow_end(f, END_CONNECT_FAILED, error);
    next = udp_flow_start(f->door, &f->ends, f->hash, f, d, n);
    if (next != NULL)
        udp_flow_forward(next, d, n);
}

void udp_flow_forward(struct udp_flow *f, const struct io_dgram *d, int n)
{
    while (n > 0) {
        int rc = udp_send(io_of(f), f->fd, d, n, false);
        if (rc == -EMSGSIZE) {
            udp_drop(f->door, UDP_DROP_TOO_LONG, d, 1);
            rc = 1;
        } else if (rc < 0 && transient(rc)) {
            udp_drop(f->door, UDP_DROP_BLOCKED, d, n);
            rc = n;
        } else if (rc < 0) {
            move(f, d, n, rc);
            return;
        } else {
            count_sent(f, d, rc);
        }
        d += rc;
        n -= rc;
    }
    if (f->first != NULL && f->dgrams_in > 1) {
        free(f->first);
        f->first = NULL;
    }
    udp_touch(f);
}

/* ---- operations of sessions ---- */

static void op_end(struct session *base, enum session_end why)
{
    udp_flow_end(of_base(base), why, 0);
}

static void backend_down(struct session *base, const struct backend_slot *slot)
{
    struct udp_flow *f = of_base(base);

    if (f->slot == slot && f->pool->conf->close_on_down)
        udp_flow_end(f, END_DOWN, 0);
}

static const char *pool_name(const struct session *base)
{
    return of_base(base)->pool->name;
}

static const char *backend_name(const struct session *base)
{
    const struct udp_flow *f = of_base(base);

    return f->slot != NULL ? f->slot->name : NULL;
}

static void view(struct session *base, struct proxy_session_view *out)
{
    const struct udp_flow *f = of_base(base);

    out->idle_ms = loop_now_ms(base->proxy->loop) - f->active_ms;
    out->bytes_in = f->bytes_in;
    out->bytes_out = f->bytes_out;
    out->state = f->over ? "closing" : "flow";
    out->backend_fd = f->fd;
}

/* It has a shorter time to be quiet from now on. */
static void drain(struct session *base)
{
    udp_look_soon(of_base(base)->door);
}

static const struct session_ops flow_ops = {
    .end = op_end,
    .backend_down = backend_down,
    .pool_name = pool_name,
    .backend_name = backend_name,
    .view = view,
    .drain = drain,
    .free = op_free,
};

/* ---- start ---- */

/* *out: where a place is held then; NULL: none is. */
static enum pick_result pick(struct udp_flow *f, struct backend_slot **out)
{
    struct proxy *p = f->base.proxy;
    struct pool_view *pool_view = atomic_load_explicit(&f->pool->view, memory_order_acquire);
    struct addr client;

    peer_get(&f->base.client, &client);
    const struct pick ask = {
        .key = addr_hash_host(&client),
        .excluded = f->excluded,
        .n_excluded = f->n_excluded,
        .rng = &p->rng,
        .now_us = loop_now_us(p->loop),
    };
    for (int races = 0; races < PICK_RACES_MAX; races++) {
        enum pick_result r =
            balancer_pick(pool_view->plan, &f->pool->locals[p->worker].cursor, &ask, out);
        if (r == PICK_OK && slot_take(*out))
            return r;
        *out = NULL; /* its last place may have gone to another worker just now */
        if (r != PICK_OK)
            return r;
    }
    return PICK_FULL;
}

/* 0, or -errno with the place given back. */
static int dial(struct udp_flow *f)
{
    const struct addr *to = atomic_load_explicit(&f->slot->address, memory_order_acquire);
    int fd = to != NULL ? io_dgram_connect(io_of(f), &to->sa, to->len) : -EHOSTUNREACH;

    if (fd < 0)
        return fd;
    f->fd = fd;
    counter_add(&f->row->connects, 1);
    counter_add(&f->row->sessions, 1);
    counter_set(&f->row->last_session_s, io_wall_us(io_of(f)) / 1000000);
    io_watch(io_of(f), &f->op, fd);
    return 0;
}

static bool is_short(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM ||
           error == -EADDRNOTAVAIL || error == -EAGAIN;
}

static void exclude(struct udp_flow *f)
{
    if (f->n_excluded < ARRAY_LEN(f->excluded))
        f->excluded[f->n_excluded++] = f->slot->index;
    seek_give_place(f->base.proxy, f->pool, &f->slot);
    f->row = &f->pool->rows[f->base.proxy->worker];
}

/* Finds a backend that can be connected to. False: none, and the flow has ended. */
static bool place(struct udp_flow *f, enum udp_drop *out_why)
{
    struct proxy *p = f->base.proxy;

    for (;;) {
        bool spent = f->n_excluded > f->pool->conf->retry_attempts;
        enum pick_result r = spent ? PICK_NONE : pick(f, &f->slot);
        if (r != PICK_OK) {
            *out_why = r == PICK_FULL       ? UDP_DROP_FULL
                       : f->n_excluded == 0 ? UDP_DROP_NO_BACKEND
                                            : UDP_DROP_REFUSED;
            udp_flow_end(f,
                         r == PICK_FULL       ? END_QUEUE_FULL
                         : f->n_excluded == 0 ? END_NO_BACKEND
                                              : END_CONNECT_FAILED,
                         f->error);
            return false;
        }
        f->row = &pool_member(f->pool, f->slot)->rows[p->worker];
        int rc = dial(f);
        if (rc == 0)
            return true;
        f->error = rc;
        if (is_short(rc)) {
            *out_why = UDP_DROP_RESOURCE;
            udp_flow_end(f, END_RESOURCE, rc);
            return false;
        }
        backend_failed(f, rc);
        exclude(f);
    }
}

/* Clients may be made up, so what they can make us keep is bounded: who was quiet longest goes. */
static void make_room(struct udp_door *door)
{
    const struct proxy_shared *sh = door->acceptor->proxy->shared;
    uint32_t max = atomic_load_explicit(&sh->max_connections, memory_order_relaxed);
    bool full = door->n_flows >= door->acceptor->listener->conf->udp.flows ||
                (max != 0 && atomic_load_explicit(&sh->connections, memory_order_relaxed) >= max);

    if (!full || list_empty(&door->quiet))
        return;
    counter_add(&udp_row(door)->flows_evicted, 1);
    udp_flow_end(list_entry(door->quiet.next, struct udp_flow, quiet), END_LIMIT, 0);
}

static bool admit(struct udp_flow *f)
{
    if (session_admit(&f->base, -1))
        return true;
    session_refuse(&f->base);
    return false;
}

static void inherit(struct udp_flow *f, const struct udp_flow *after)
{
    uint32_t n = after->n_excluded;

    memcpy(f->excluded, after->excluded, n * sizeof(f->excluded[0]));
    f->n_excluded = (uint8_t)n;
    if (after->slot != NULL && n < ARRAY_LEN(f->excluded))
        f->excluded[f->n_excluded++] = after->slot->index;
    f->error = after->error;
    counter_add(&after->row->retries, 1);
    counter_add(&f->pool->rows[f->base.proxy->worker].redispatches, 1);
}

static struct udp_flow *make(struct udp_door *door, const struct udp_ends *ends)
{
    struct acceptor *a = door->acceptor;
    struct proxy *p = a->proxy;
    struct udp_flow *f = slab_alloc(&p->udp->flows);
    struct addr client;

    if (f == NULL) {
        counter_add(&p->counters->memory_refused, 1);
        return NULL;
    }
    session_init(&f->base, &flow_ops, p, a);
    addr_from_sockaddr(&client, &ends->client.sa, ends->client.len);
    peer_set(&f->base.client, &client);
    op_init(&f->op, on_backend);
    list_init(&f->quiet);
    list_init(&f->more);
    f->door = door;
    f->ends = *ends;
    f->fd = -1;
    f->pool = a->listener->pool;
    f->row = &f->pool->rows[p->worker];
    f->active_ms = loop_now_ms(p->loop);
    return f;
}

static void keep_first(struct udp_flow *f, const struct io_dgram *d)
{
    if (d->len > UDP_KEEP_BYTES || d->segment > 0 || f->pool->conf->retry_attempts == 0)
        return;
    f->first = malloc(d->len + 1); /* without memory it is not kept */
    f->first_len = d->len;
    if (f->first != NULL && d->len > 0)
        memcpy(f->first, d->data, d->len);
}

static void begin(struct udp_flow *f, uint32_t hash)
{
    session_begin(&f->base, -1);
    f->held = proxy_hold(f->base.proxy, f->base.listener);
    f->hash = hash;
    f->door->n_alive++;
    uint32_t n = atomic_fetch_add_explicit(&f->pool->kept->current, 1, memory_order_relaxed) + 1;
    counter_max(&f->pool->kept->current_max, n);
    udp_add(f->door, f);
}

struct udp_flow *udp_flow_start(struct udp_door *door, const struct udp_ends *ends, uint32_t hash,
                                const struct udp_flow *after, const struct io_dgram *d, int n)
{
    enum udp_drop why;

    if (door->acceptor->stopping && after == NULL) {
        udp_drop(door, UDP_DROP_LEAVING, d, n);
        return NULL;
    }
    make_room(door);
    struct udp_flow *f = make(door, ends);
    if (f == NULL) {
        udp_drop(door, UDP_DROP_RESOURCE, d, n);
        return NULL;
    }
    if (!admit(f)) {
        slab_free(&door->acceptor->proxy->udp->flows, f);
        udp_drop(door, UDP_DROP_LIMIT, d, n);
        return NULL;
    }
    if (after != NULL)
        inherit(f, after);
    begin(f, hash);
    if (!place(f, &why)) {
        udp_drop(door, why, d, n);
        if (why == UDP_DROP_RESOURCE && !list_empty(&door->quiet)) { /* a descriptor less */
            counter_add(&udp_row(door)->flows_evicted, 1);
            udp_flow_end(list_entry(door->quiet.next, struct udp_flow, quiet), END_LIMIT, 0);
        }
        return NULL;
    }
    keep_first(f, d);
    return f;
}
