/* sim_dgram.c - datagrams of the simulated network: lost, doubled, out of order, as the seed has
 * it; refusals of those sent to nobody; near sockets with a short queue. */
#include "lb/base/alloc.h"
#include "tests/sim/sim_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_MAX 64 /* datagrams in a near socket; more are lost */

struct far_end {
    struct sim_dgram_end pub; /* first */
    struct list node;
};

struct sim_dgram_faults *sim_dgram_faults(struct sim *s)
{
    return &s->dgram_faults;
}

static bool same(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

/* ---- on the way ---- */

static void put(struct sim *s, const struct sockaddr_in *from, const struct sockaddr_in *to,
                bool refusal, const void *data, size_t len)
{
    struct dgram *g = xmalloc(sizeof(*g) + len);

    *g = (struct dgram){.from = *from, .to = *to, .refusal = refusal, .len = len};
    g->at_us = s->now_us + sim_latency(s);
    if (len > 0)
        memcpy(g->data, data, len);
    list_init(&g->node);
    list_push_back(&s->dgrams, &g->node);
}

static void send_one(struct sim *s, const struct sockaddr_in *from, const struct sockaddr_in *to,
                     const void *data, size_t len)
{
    if (sim_fault(s, s->dgram_faults.lost))
        return;
    put(s, from, to, false, data, len);
    if (sim_fault(s, s->dgram_faults.twice))
        put(s, from, to, false, data, len);
}

static struct sock *near_at(struct sim *s, const struct dgram *g)
{
    list_for_each (node, &s->open) {
        struct sock *k = list_entry(node, struct sock, node);
        if (k->kind == SOCK_DATAGRAMS && same((const struct sockaddr_in *)&k->addr, &g->to) &&
            (k->to.sin_port == 0 || same(&k->to, &g->from)))
            return k;
    }
    return NULL;
}

static void arrive_near(struct sock *k, struct dgram *g)
{
    k->news = true;
    if (g->refusal) {
        k->error = ECONNREFUSED;
        free(g);
    } else if (k->n_dgrams == QUEUE_MAX) {
        free(g);
    } else {
        list_push_back(&k->dgrams, &g->node);
        k->n_dgrams++;
    }
}

static void arrive_far(struct sim *s, struct dgram *g)
{
    struct sim_dgram_end *end = NULL;

    list_for_each (node, &s->dgram_ends) {
        struct far_end *e = list_entry(node, struct far_end, node);
        if (same(&e->pub.addr, &g->to))
            end = &e->pub;
    }
    if (end != NULL && !end->refuses) {
        end->received++;
        end->got(end, &g->from, g->data, g->len);
    } else {
        put(s, &g->to, &g->from, true, NULL, 0);
    }
    free(g);
}

void sim_dgrams_step(struct sim *s)
{
    list_for_each_safe (node, tmp, &s->dgrams) {
        struct dgram *g = list_entry(node, struct dgram, node);
        if (g->at_us > s->now_us)
            continue;
        list_remove(&g->node);
        struct sock *k = near_at(s, g);
        if (k != NULL)
            arrive_near(k, g);
        else if (g->refusal) /* who has sent it is gone */
            free(g);
        else
            arrive_far(s, g);
    }
}

uint64_t sim_dgrams_next(const struct sim *s)
{
    uint64_t next = SIM_NEVER;

    list_for_each (node, &s->dgrams) {
        const struct dgram *g = list_entry(node, struct dgram, node);
        next = g->at_us < next ? g->at_us : next;
    }
    return next;
}

static void free_all(struct list *dgrams)
{
    struct list *node;

    while ((node = list_pop_front(dgrams)) != NULL)
        free(list_entry(node, struct dgram, node));
}

void sim_dgrams_forget(struct sock *k)
{
    free_all(&k->dgrams);
}

void sim_dgrams_free(struct sim *s)
{
    struct list *node;

    free_all(&s->dgrams);
    while ((node = list_pop_front(&s->dgram_ends)) != NULL)
        free(list_entry(node, struct far_end, node));
}

/* ---- far ends ---- */

struct sim_dgram_end *sim_dgram_end(struct sim *s, const struct sockaddr *addr,
                                    void (*got)(struct sim_dgram_end *e,
                                                const struct sockaddr_in *from, const void *data,
                                                size_t len),
                                    void *arg)
{
    struct far_end *e = xcalloc(1, sizeof(*e));

    e->pub = (struct sim_dgram_end){.sim = s, .got = got, .arg = arg};
    memcpy(&e->pub.addr, addr, sizeof(e->pub.addr));
    list_init(&e->node);
    list_push_back(&s->dgram_ends, &e->node);
    return &e->pub;
}

void sim_dgram_send(struct sim_dgram_end *e, const struct sockaddr_in *to, const void *data,
                    size_t len)
{
    send_one(e->sim, &e->addr, to, data, len);
}

/* ---- near sockets ---- */

int sim_dgram_bind(struct sim *s, const struct sockaddr *addr, socklen_t len)
{
    struct sock *k = sim_sock_new(s, SOCK_DATAGRAMS, addr->sa_family);

    sl_assert(k != NULL);
    memcpy(&k->addr, addr, len);
    k->addr_len = len;
    return k->fd;
}

int sim_dgram_connect(struct io *io, const struct sockaddr *addr, socklen_t len)
{
    struct sim *s = container_of(io, struct sim, io);

    if (sim_fault(s, s->conf.faults.socket))
        return -EMFILE;
    struct sock *k = sim_sock_new(s, SOCK_DATAGRAMS, addr->sa_family);
    if (k == NULL)
        return -EMFILE;
    sl_assert(len == sizeof(k->to));
    memcpy(&k->to, addr, len);
    ((struct sockaddr_in *)&k->addr)->sin_port = htons(++s->last_port); /* nobody's before */
    return k->fd;
}

int sim_dgrams_recv(struct io *io, int fd, struct io_dgram *d, int n, uint32_t room, bool from)
{
    struct sim *s = container_of(io, struct sim, io);
    struct sock *k = sim_sock(s, fd);
    int got = 0;

    if (k->error != 0) {
        int error = -k->error;
        k->error = 0;
        return error;
    }
    while (got < n && !list_empty(&k->dgrams)) {
        struct dgram *g = list_entry(list_pop_front(&k->dgrams), struct dgram, node);
        struct io_dgram *to = &d[got++];
        k->n_dgrams--;
        to->len = g->len < room ? (uint32_t)g->len : room;
        to->cut = g->len > room;
        to->segment = 0;
        to->local.len = to->peer.len = 0;
        if (from) {
            to->peer.len = sizeof(g->from);
            to->peer.in = g->from;
        }
        if (to->len > 0)
            memcpy(to->data, g->data, to->len);
        free(g);
        if (sim_below(s, 4) == 0) { /* what follows has come a moment later */
            k->news = !list_empty(&k->dgrams);
            break;
        }
    }
    return got > 0 ? got : -EAGAIN;
}

int sim_dgrams_send(struct io *io, int fd, const struct io_dgram *d, int n, bool to)
{
    struct sim *s = container_of(io, struct sim, io);
    struct sock *k = sim_sock(s, fd);
    const struct sockaddr_in *own = (const struct sockaddr_in *)&k->addr;

    if (k->error != 0) {
        int error = -k->error;
        k->error = 0;
        return error;
    }
    if (sim_fault(s, s->dgram_faults.blocked))
        return -EAGAIN;
    n = 1 + (int)sim_below(s, (uint32_t)n);
    for (int i = 0; i < n; i++) {
        sl_assert(d[i].segment == 0);
        send_one(s, own, to ? &d[i].peer.in : &k->to, d[i].data, d[i].len);
    }
    return n;
}
