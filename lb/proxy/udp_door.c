/* udp_door.c - a listening socket of mode udp: receives in batches, finds the flow of each
 * datagram, sends what the flows have for their clients at the end of the turn, ends those that
 * are quiet.
 *
 * All flows of a door have the same timeout, so they stand in the order in which they are to end,
 * and one timer looks at the first. A door that is closed serves the flows it has. */
#include "lb/proxy/udp_priv.h"

#include "lb/base/alloc.h"
#include "lb/base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 64
#define ROUNDS_MAX  4    /* batches of one socket in a turn; others want to be served too */
#define ENDS_MAX    1024 /* flows that end in one go */
#define LEAVING_MS  1000 /* a quiet flow has so long to be used again when the door is closed */
/* One datagram on a page of its own each would fall into the same lines of the cache. */
#define IN_STRIDE   (LIMIT_DGRAM + 2 * CACHE_LINE)
#define OUT_BYTES   (8 * LIMIT_DGRAM)

static struct proxy *proxy_of(const struct udp_door *door)
{
    return door->acceptor->proxy;
}

static struct io *io_of(const struct udp_door *door)
{
    return proxy_of(door)->loop->io;
}

/* ---- flows by address ---- */

static bool same_addr(const struct io_dgram_addr *a, const struct io_dgram_addr *b)
{
    if (a->len != b->len)
        return false;
    if (a->len == 0)
        return true;
    if (a->sa.sa_family == AF_INET)
        return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr && a->in.sin_port == b->in.sin_port;
    return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0 &&
           a->in6.sin6_port == b->in6.sin6_port && a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

uint32_t udp_hash(const struct udp_door *door, const struct udp_ends *ends)
{
    const struct io_dgram_addr *c = &ends->client, *l = &ends->local;

    if (c->sa.sa_family == AF_INET) {
        uint64_t key = (uint64_t)c->in.sin_addr.s_addr << 16 | c->in.sin_port;
        uint64_t own = l->len > 0 ? l->in.sin_addr.s_addr : 0;
        return (uint32_t)hash_u64(hash_u64(key ^ door->seed) ^ own);
    }
    uint64_t own = l->len > 0 ? hash_bytes(&l->in6.sin6_addr, 16, door->seed) : door->seed;
    return (uint32_t)hash_bytes(&c->in6.sin6_addr, 16, own ^ c->in6.sin6_port);
}

struct udp_flow *udp_find(const struct udp_door *door, const struct udp_ends *ends, uint32_t hash)
{
    struct udp_flow *f = door->table[hash & (door->n_buckets - 1)];

    while (f != NULL && (f->hash != hash || !same_addr(&f->ends.client, &ends->client) ||
                         !same_addr(&f->ends.local, &ends->local)))
        f = f->next;
    return f;
}

/* Without memory chains get longer. */
static void grow(struct udp_door *door)
{
    uint32_t n = door->n_buckets * 2;
    struct udp_flow **table = calloc(n, sizeof(*table));

    if (table == NULL)
        return;
    for (uint32_t i = 0; i < door->n_buckets; i++) {
        for (struct udp_flow *f = door->table[i], *next; f != NULL; f = next) {
            next = f->next;
            f->next = table[f->hash & (n - 1)];
            table[f->hash & (n - 1)] = f;
        }
    }
    free(door->table);
    door->table = table;
    door->n_buckets = n;
}

void udp_add(struct udp_door *door, struct udp_flow *f)
{
    if (door->n_flows >= door->n_buckets)
        grow(door);
    struct udp_flow **at = &door->table[f->hash & (door->n_buckets - 1)];
    f->next = *at;
    *at = f;
    door->n_flows++;
    list_push_back(&door->quiet, &f->quiet);
    if (!timer_pending(&door->look))
        timer_start(&proxy_of(door)->loop->timers, &door->look,
                    f->active_ms + udp_timeout_ms(door));
}

void udp_remove(struct udp_door *door, struct udp_flow *f)
{
    struct udp_flow **at = &door->table[f->hash & (door->n_buckets - 1)];

    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    door->n_flows--;
    list_remove(&f->quiet);
}

void udp_touch(struct udp_flow *f)
{
    struct udp_door *door = f->door;

    f->active_ms = loop_now_ms(proxy_of(door)->loop);
    list_remove(&f->quiet);
    list_push_back(&door->quiet, &f->quiet);
}

/* ---- quiet ones ---- */

uint32_t udp_timeout_ms(const struct udp_door *door)
{
    uint32_t ms = door->acceptor->listener->conf->udp.timeout_ms;
    bool leaving = door->acceptor->stopping || proxy_of(door)->draining;

    return leaving && ms > LEAVING_MS ? LEAVING_MS : ms;
}

static void end_quiet(struct udp_flow *f)
{
    bool owed = f->awaited > 0;

    if (owed)
        counter_add(&f->row->response_errors, 1);
    udp_flow_end(f, owed ? END_SERVER_TIMEOUT : END_NORMAL, 0);
}

static void on_look(struct timer *t)
{
    struct udp_door *door = container_of(t, struct udp_door, look);
    struct loop *l = proxy_of(door)->loop;
    uint64_t now = loop_now_ms(l), timeout = udp_timeout_ms(door);

    for (uint32_t n = 0; !list_empty(&door->quiet); n++) {
        struct udp_flow *f = list_entry(door->quiet.next, struct udp_flow, quiet);
        if (n == ENDS_MAX || f->active_ms + timeout > now) {
            timer_start(&l->timers, &door->look, n == ENDS_MAX ? now + 1 : f->active_ms + timeout);
            return;
        }
        end_quiet(f);
    }
}

void udp_look_soon(struct udp_door *door)
{
    struct loop *l = proxy_of(door)->loop;

    timer_start(&l->timers, &door->look, loop_now_ms(l));
}

/* ---- to clients ---- */

/* The kernel could not split it: the device is not able to, or the parts are too long for it. */
static bool cannot_split(int error)
{
    return error == -EINVAL || error == -EMSGSIZE || error == -EIO || error == -EOPNOTSUPP;
}

static int send_parts(struct io *io, int fd, const struct io_dgram *d, bool to)
{
    struct io_dgram part = *d;

    part.segment = 0;
    for (uint32_t at = 0; at < d->len; at += d->segment) {
        part.data = d->data + at;
        part.len = d->len - at < d->segment ? d->len - at : d->segment;
        int rc = io_dgrams_send(io, fd, &part, 1, to);
        if (rc < 0)
            return rc;
    }
    return 1;
}

int udp_send(struct io *io, int fd, const struct io_dgram *d, int n, bool to)
{
    int rc = io_dgrams_send(io, fd, d, n, to);

    return rc < 0 && d->segment > 0 && cannot_split(rc) ? send_parts(io, fd, d, to) : rc;
}

static void flush(struct udp_door *door)
{
    struct io *io = io_of(door);
    uint32_t at = 0;

    while (at < door->n_out) {
        const struct io_dgram *d = &door->out[at];
        int n = (int)(door->n_out - at);
        int rc = udp_send(io, door->acceptor->fd, d, n, true);
        if (rc == -EAGAIN) {
            udp_drop(door, UDP_DROP_BLOCKED, d, n);
            break;
        }
        if (rc < 0)
            udp_drop(door, rc == -EMSGSIZE ? UDP_DROP_TOO_LONG : UDP_DROP_FAILED, d, 1);
        for (int i = 0; i < rc; i++) {
            counter_add(&udp_row(door)->dgrams_out, udp_count(&d[i]));
            counter_add(&udp_row(door)->bytes_out, d[i].len);
        }
        at += rc > 0 ? (uint32_t)rc : 1;
    }
    door->n_out = 0;
    door->used = 0;
}

static void call_again(struct udp_door *door)
{
    struct list *node;

    while ((node = list_pop_front(&door->more)) != NULL)
        io_watch_again(io_of(door), &list_entry(node, struct udp_flow, more)->op);
    if (door->more_here && door->acceptor->op.armed)
        io_watch_again(io_of(door), &door->acceptor->op);
    door->more_here = false;
}

static void on_flush(struct loop_task *task)
{
    struct udp_door *door = container_of(task, struct udp_door, flush);

    flush(door);
    call_again(door);
}

void udp_more(struct udp_flow *f)
{
    if (!list_linked(&f->more))
        list_push_back(&f->door->more, &f->more);
    loop_defer(proxy_of(f->door)->loop, &f->door->flush);
}

struct io_dgram *udp_out(struct udp_door *door)
{
    if (door->n_out > IO_DGRAMS_MAX - UDP_OUT_MAX ||
        door->used + UDP_OUT_MAX * LIMIT_DGRAM > OUT_BYTES)
        flush(door);
    struct io_dgram *d = &door->out[door->n_out];
    for (size_t i = 0; i < UDP_OUT_MAX; i++)
        d[i].data = door->memory + door->used + i * LIMIT_DGRAM;
    return d;
}

void udp_out_add(struct udp_door *door, const struct udp_flow *f, int n)
{
    const struct io_dgram *in = &door->out[door->n_out];

    for (int i = 0; i < n; i++) {
        struct io_dgram *d = &door->out[door->n_out];
        uint8_t *at = door->memory + door->used;
        if (in[i].cut) {
            udp_drop(door, UDP_DROP_TOO_LONG, &in[i], 1);
            continue;
        }
        *d = in[i];
        if (d->data != at) { /* the memory that is in use stays small */
            memmove(at, d->data, d->len);
            d->data = at;
        }
        door->n_out++;
        d->peer = f->ends.client;
        d->local = f->ends.local;
        door->used += (d->len + 15) & ~15u;
    }
    loop_defer(proxy_of(door)->loop, &door->flush);
}

/* ---- from clients ---- */

/* Those of one flow that lie side by side go out together. Returns how many. */
static int take_some(struct udp_door *door, struct io_dgram *d, int n)
{
    struct udp_ends ends = {.client = d->peer, .local = d->local};
    uint32_t hash = udp_hash(door, &ends);
    struct udp_flow *f = udp_find(door, &ends, hash);
    int some = 1;

    if (d->cut) {
        udp_drop(door, UDP_DROP_TOO_LONG, d, 1);
        return 1;
    }
    while (some < n && !d[some].cut && same_addr(&d[some].peer, &d->peer) &&
           same_addr(&d[some].local, &d->local))
        some++;
    if (f == NULL)
        f = udp_flow_start(door, &ends, hash, NULL, d, some);
    if (f != NULL)
        udp_flow_forward(f, d, some);
    return some;
}

static void receive(struct udp_door *door)
{
    struct io_dgram *in = proxy_of(door)->udp->in;

    for (int round = 0; round < ROUNDS_MAX; round++) {
        int n =
            io_dgrams_recv(io_of(door), door->acceptor->fd, in, IO_DGRAMS_MAX, LIMIT_DGRAM, true);
        for (int i = 0; i < n; i++) {
            counter_add(&udp_row(door)->dgrams_in, udp_count(&in[i]));
            counter_add(&udp_row(door)->bytes_in, in[i].len);
        }
        for (int i = 0; i < n;)
            i += take_some(door, &in[i], n - i);
        if (n == -EAGAIN || (n >= 0 && n < IO_DGRAMS_MAX))
            return;
        if (n < 0)
            break;
    }
    door->more_here = true;
    loop_defer(proxy_of(door)->loop, &door->flush);
}

/* ---- life ---- */

static struct udp_env *env_new(void)
{
    struct udp_env *env = xcalloc(1, sizeof(*env));

    slab_init(&env->flows, "udp flow", sizeof(struct udp_flow), 0);
    list_init(&env->leaving);
    env->memory = xmalloc((size_t)IO_DGRAMS_MAX * IN_STRIDE);
    for (size_t i = 0; i < IO_DGRAMS_MAX; i++)
        env->in[i].data = env->memory + i * IN_STRIDE;
    return env;
}

void udp_fini(struct proxy *p)
{
    if (p->udp == NULL)
        return;
    slab_fini(&p->udp->flows);
    free(p->udp->memory);
    free(p->udp);
    p->udp = NULL;
}

bool udp_closed(const struct proxy *p)
{
    return p->udp == NULL || list_empty(&p->udp->leaving);
}

static void door_free(struct udp_door *door)
{
    struct acceptor *a = door->acceptor;
    struct proxy *p = a->proxy;

    flush(door);
    timer_stop(&p->loop->timers, &door->look);
    list_remove(&door->flush.node);
    io_close(p->loop->io, a->fd);
    a->fd = -1;
    list_remove(&a->node);
    free(door->table);
    free(door->memory);
    free(door);
    acceptor_free(a);
    proxy_close_idle(p);
}

/* Its last flow is gone, or it never had one. */
static void leave(struct udp_door *door)
{
    struct acceptor *a = door->acceptor;

    if (a->op.armed)
        io_cancel(io_of(door), &a->op);
    else
        door_free(door);
}

void udp_flow_gone(struct udp_door *door)
{
    if (--door->n_alive == 0 && door->acceptor->stopping)
        leave(door);
}

static void on_door(struct op *op, int res)
{
    struct acceptor *a = container_of(op, struct acceptor, op);

    (void)res;
    if (op->armed)
        receive(a->udp);
    else if (!a->stopping)
        acceptor_pause(a);
    else if (a->udp->n_alive == 0)
        door_free(a->udp);
}

static void on_again(struct timer *t)
{
    struct acceptor *a = container_of(t, struct acceptor, resume);

    if (!a->stopping && !a->op.armed)
        io_watch(a->proxy->loop->io, &a->op, a->fd);
}

void udp_open(struct acceptor *a)
{
    struct proxy *p = a->proxy;
    struct udp_door *door = xcalloc(1, sizeof(*door));

    if (p->udp == NULL)
        p->udp = env_new();
    door->acceptor = a;
    door->n_buckets = BUCKETS_MIN;
    door->table = xcalloc(BUCKETS_MIN, sizeof(*door->table));
    door->memory = xmalloc(OUT_BYTES);
    door->seed = io_random(p->loop->io);
    list_init(&door->quiet);
    list_init(&door->more);
    list_init(&door->flush.node);
    door->flush.fn = on_flush;
    timer_init(&door->look, on_look);
    a->udp = door;
    op_init(&a->op, on_door);
    timer_init(&a->resume, on_again);
    io_watch(p->loop->io, &a->op, a->fd);
}

void udp_moved(struct acceptor *a)
{
    udp_look_soon(a->udp);
}

void udp_close(struct acceptor *a)
{
    struct udp_door *door = a->udp;

    timer_stop(&a->proxy->loop->timers, &a->resume);
    list_remove(&a->node);
    list_push_back(&a->proxy->udp->leaving, &a->node);
    if (door->n_alive == 0) {
        leave(door);
        return;
    }
    if (atomic_load_explicit(&a->proxy->shared->handed_over, memory_order_relaxed))
        io_cancel(io_of(door), &a->op); /* answers to what was asked still go out */
    udp_look_soon(door);
}
