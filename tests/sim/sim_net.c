/* sim_net.c - the simulated network: flows of bytes with windows and latency, the near sockets'
 * side of them, peers, servers, and what happens when. Knows nothing of operations. */
#include "lb/base/alloc.h"
#include "tests/sim/sim_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define CALM_LATENCY_US 100

/* ---- chance ---- */

uint32_t sim_below(struct sim *s, uint32_t n)
{
    return rng_below(&s->rng, n);
}

bool sim_chance(struct sim *s, uint32_t percent)
{
    return s->conf.calm || sim_below(s, 100) < percent;
}

bool sim_fault(struct sim *s, uint16_t per_thousand)
{
    return per_thousand > 0 && sim_below(s, 1000) < per_thousand;
}

uint64_t sim_latency(struct sim *s)
{
    return s->conf.calm ? CALM_LATENCY_US : 1 + sim_below(s, s->latency_max_us);
}

size_t sim_share(struct sim *s, size_t n)
{
    if (sim_chance(s, s->whole_percent))
        return n;
    /* Mostly small pieces, sometimes any. */
    uint32_t most = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    if (sim_below(s, 2) == 0 && most > 16)
        most = 16;
    return 1 + sim_below(s, most);
}

/* ---- flows ---- */

static void flow_init(struct sim *s, struct flow *f)
{
    *f = (struct flow){.tick_us = SIM_NEVER};
    f->window = s->conf.calm ? 65536 : 1 + sim_below(s, s->window_max);
    if (s->conf.near)
        f->window += 16384;
}

bool flow_ended(const struct flow *f)
{
    return f->fin_arrived && f->len == 0;
}

size_t flow_room(const struct flow *f)
{
    return f->len < f->window ? f->window - f->len : 0;
}

/* Something is on its way: when does (a part of) it arrive? */
static void flow_schedule(struct sim *s, struct flow *f)
{
    bool moves = (f->len > f->arrived && f->arrived < f->window) ||
                 (f->fin_sent && !f->fin_arrived && f->arrived == f->len);

    if (f->cut || !moves)
        f->tick_us = SIM_NEVER;
    else if (f->tick_us == SIM_NEVER)
        f->tick_us = s->now_us + sim_latency(s);
}

void flow_put(struct sim *s, struct flow *f, const void *data, size_t len)
{
    if (f->at + f->len + len > f->alloc) {
        f->alloc = 2 * (f->len + len);
        uint8_t *to = xmalloc(f->alloc);
        if (f->len > 0)
            memcpy(to, f->data + f->at, f->len);
        free(f->data);
        f->data = to;
        f->at = 0;
    }
    memcpy(f->data + f->at + f->len, data, len);
    f->len += len;
    flow_schedule(s, f);
}

size_t flow_take(struct sim *s, struct flow *f, void *data, size_t len)
{
    size_t n = len < f->arrived ? len : f->arrived;

    memcpy(data, f->data + f->at, n);
    f->at += n;
    f->len -= n;
    f->arrived -= n;
    flow_schedule(s, f);
    return n;
}

static void flow_drop(struct flow *f)
{
    f->len = f->arrived = 0;
    f->cut = true;
    f->tick_us = SIM_NEVER;
}

static void flow_tick(struct sim *s, struct flow *f)
{
    size_t can = f->len - f->arrived, room = f->window > f->arrived ? f->window - f->arrived : 0;

    f->tick_us = SIM_NEVER;
    if (can > room)
        can = room;
    if (can > 0)
        f->arrived += sim_share(s, can);
    if (f->fin_sent && f->arrived == f->len)
        f->fin_arrived = true;
    flow_schedule(s, f);
}

/* ---- peers ---- */

static struct peer *of(struct sim_peer *p)
{
    return (struct peer *)(void *)p;
}

static void tell(struct peer *p, enum sim_event event)
{
    if (p->pub.fn != NULL)
        p->pub.fn(&p->pub, event);
}

struct peer *sim_peer_new(struct sim *s)
{
    struct peer *p = xcalloc(1, sizeof(*p));

    p->pub.sim = s;
    p->pub.id = s->n_peers++;
    p->reset_near_us = p->reset_far_us = SIM_NEVER;
    list_init(&p->backlog);
    list_init(&p->node);
    list_push_back(&s->peers, &p->node);
    flow_init(s, &p->to_near);
    flow_init(s, &p->to_far);
    struct sockaddr_in *a = (void *)&p->addr; /* 10.x.y.z:port, one for each */
    a->sin_family = AF_INET;
    a->sin_port = htons((uint16_t)(10000 + p->pub.id % 50000));
    a->sin_addr.s_addr = htonl(0x0a000001 + p->pub.id);
    p->addr_len = sizeof(*a);
    return p;
}

int sim_peer_send(struct sim_peer *pub, const void *data, size_t len)
{
    struct peer *p = of(pub);

    if (pub->closed || pub->was_reset || p->to_near.fin_sent)
        return -EPIPE;
    pub->sent += len;
    if (len > 0 && !p->to_near.cut)
        flow_put(pub->sim, &p->to_near, data, len);
    return 0;
}

ssize_t sim_peer_read(struct sim_peer *pub, void *data, size_t len)
{
    struct peer *p = of(pub);

    if (p->to_far.arrived > 0) {
        size_t n = flow_take(pub->sim, &p->to_far, data, len);
        pub->received += n;
        return (ssize_t)n;
    }
    if (pub->was_reset)
        return -ECONNRESET;
    if (flow_ended(&p->to_far)) {
        pub->ended = true;
        return 0;
    }
    return -EAGAIN;
}

void sim_peer_shutdown(struct sim_peer *pub)
{
    struct peer *p = of(pub);

    p->to_near.fin_sent = true;
    flow_schedule(pub->sim, &p->to_near);
}

void sim_peer_reset(struct sim_peer *pub)
{
    struct peer *p = of(pub);
    struct sim *s = pub->sim;

    pub->closed = true;
    if (pub->was_reset)
        return;
    if (!p->near_closed)
        p->reset_near_us = s->now_us + sim_latency(s);
    flow_drop(&p->to_far);
}

void sim_peer_close(struct sim_peer *pub)
{
    struct peer *p = of(pub);

    if (pub->closed)
        return;
    if (p->to_far.arrived > 0) {
        sim_peer_reset(pub);
        return;
    }
    pub->closed = true;
    sim_peer_shutdown(pub);
}

void sim_peer_freeze(struct sim_peer *pub, bool frozen)
{
    of(pub)->frozen = frozen;
}

size_t sim_peer_unsent(const struct sim_peer *pub)
{
    const struct peer *p = (const struct peer *)(const void *)pub;

    return p->to_near.len - p->to_near.arrived;
}

void sim_peer_echo(struct sim_peer *p, enum sim_event event)
{
    uint8_t buf[4096];
    ssize_t n;

    if (event != SIM_DATA && event != SIM_END)
        return;
    while ((n = sim_peer_read(p, buf, sizeof(buf))) > 0)
        (void)sim_peer_send(p, buf, (size_t)n);
    if (n == 0)
        sim_peer_close(p);
}

void sim_peer_discard(struct sim_peer *p, enum sim_event event)
{
    uint8_t buf[4096];
    ssize_t n;

    if (event != SIM_DATA && event != SIM_END)
        return;
    while ((n = sim_peer_read(p, buf, sizeof(buf))) > 0)
        ;
    if (n == 0)
        sim_peer_close(p);
}

/* ---- near sockets ---- */

struct sock *sim_sock_new(struct sim *s, enum sock_kind kind, int family)
{
    uint32_t at = sim_below(s, 8); /* numbers come back soon, but not in order */

    while (at < SIM_FDS && s->socks[at] != NULL)
        at++;
    if (at == SIM_FDS)
        return NULL;
    struct sock *k = xcalloc(1, sizeof(*k));
    k->fd = SIM_FD_BASE + (int)at;
    k->kind = kind;
    k->family = family;
    list_init(&k->backlog);
    list_init(&k->dgrams);
    list_init(&k->node);
    list_push_back(&s->open, &k->node);
    s->socks[at] = k;
    s->n_open++;
    struct sockaddr_in *a = (void *)&k->addr;
    a->sin_family = AF_INET;
    a->sin_port = htons((uint16_t)(40000 + at));
    a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    k->addr_len = sizeof(*a);
    return k;
}

struct sock *sim_sock(struct sim *s, int fd)
{
    int at = fd - SIM_FD_BASE;

    if (at < 0 || at >= SIM_FDS || s->socks[at] == NULL)
        sim_fail(s, "descriptor %d is not open", fd);
    return s->socks[at];
}

void sim_join(struct sim *s, struct sock *k, struct peer *p)
{
    k->kind = SOCK_OPEN;
    k->peer = p;
    p->near = k;
    p->pub.connected = true;
    tell(p, SIM_CONNECTED);
    if (p->doom == SIM_RESETS)
        sim_peer_reset(&p->pub);
    else if (p->doom == SIM_CLOSES)
        sim_peer_close(&p->pub);
    (void)s;
}

static void leave(struct sim *s, struct peer *p, bool reset)
{
    p->near = NULL;
    p->near_closed = true;
    if (reset || p->to_near.arrived > 0) {
        p->reset_far_us = s->now_us + sim_latency(s);
        flow_drop(&p->to_near);
        if (reset)
            p->to_far.len = p->to_far.arrived; /* what is on its way is lost */
        return;
    }
    p->to_far.fin_sent = true;
    flow_schedule(s, &p->to_far);
}

void sim_sock_close(struct sim *s, struct sock *k, bool reset)
{
    while (!list_empty(&k->backlog)) {
        struct list *node = list_pop_front(&k->backlog);
        leave(s, container_of(node, struct peer, backlog), true);
    }
    if (k->peer != NULL && !k->dead)
        leave(s, k->peer, reset);
    else if (k->peer != NULL) {
        k->peer->near = NULL;
        k->peer->near_closed = true;
    }
    sim_dgrams_forget(k);
    list_remove(&k->node);
    s->socks[k->fd - SIM_FD_BASE] = NULL;
    s->n_open--;
    free(k);
}

void sim_sock_shutdown(struct sim *s, struct sock *k, int how)
{
    if (how == SHUT_RD)
        return;
    k->write_shut = true;
    k->peer->to_far.fin_sent = true;
    flow_schedule(s, &k->peer->to_far);
}

/* The near end learns of a reset; what it has not read may be lost. */
static void reset_near(struct sim *s, struct peer *p)
{
    p->reset_near_us = SIM_NEVER;
    p->to_near.cut = true;
    p->to_near.tick_us = SIM_NEVER;
    flow_drop(&p->to_far);
    if (!sim_chance(s, 50))
        flow_drop(&p->to_near);
    p->to_near.len = p->to_near.arrived;
    if (p->near != NULL) {
        p->near->dead = true;
        p->near->error = ECONNRESET;
    }
}

static void reset_far(struct peer *p)
{
    p->reset_far_us = SIM_NEVER;
    p->pub.was_reset = true;
    flow_drop(&p->to_near);
    p->to_far.cut = true;
    p->to_far.tick_us = SIM_NEVER;
    if (!p->told_reset && !p->pub.closed) {
        p->told_reset = true;
        tell(p, SIM_RESET);
    }
}

void sim_reset_both(struct sim *s, struct peer *p)
{
    reset_near(s, p);
    reset_far(p);
}

/* ---- listeners, servers ---- */

static void copy_addr(struct sockaddr_storage *to, socklen_t *to_len, const void *addr,
                      socklen_t len)
{
    memset(to, 0, sizeof(*to));
    memcpy(to, addr, len);
    *to_len = len;
}

static bool same_addr(const struct sockaddr_storage *a, socklen_t a_len, const void *b,
                      socklen_t b_len)
{
    return a_len == b_len && memcmp(a, b, b_len) == 0;
}

int sim_listen(struct sim *s, const struct sockaddr *addr, socklen_t len)
{
    struct sock *k = sim_sock_new(s, SOCK_LISTENING, addr->sa_family);

    copy_addr(&k->addr, &k->addr_len, addr, len);
    return k->fd;
}

struct sim_peer *sim_dial(struct sim *s, const struct sockaddr *addr, socklen_t len,
                          const struct sockaddr *from)
{
    list_for_each (node, &s->open) {
        struct sock *k = list_entry(node, struct sock, node);
        if (k->kind != SOCK_LISTENING || !same_addr(&k->addr, k->addr_len, addr, len))
            continue;
        struct peer *p = sim_peer_new(s);
        if (from != NULL)
            copy_addr(&p->addr, &p->addr_len, from, len);
        list_push_back(&k->backlog, &p->backlog);
        return &p->pub;
    }
    return NULL;
}

struct sim_peer *sim_pair(struct sim *s, int *out_fd)
{
    struct sock *k = sim_sock_new(s, SOCK_NEW, AF_INET);
    struct peer *p = sim_peer_new(s);

    sim_join(s, k, p);
    *out_fd = k->fd;
    return &p->pub;
}

struct sim_server *sim_serve(struct sim *s, const struct sockaddr *addr, socklen_t len,
                             sim_peer_fn *fn, void *arg)
{
    struct server *v = xcalloc(1, sizeof(*v));

    v->pub.fn = fn;
    v->pub.arg = arg;
    copy_addr(&v->addr, &v->addr_len, addr, len);
    list_init(&v->node);
    list_push_back(&s->servers, &v->node);
    return &v->pub;
}

struct server *sim_server_at(struct sim *s, const void *addr, socklen_t len)
{
    list_for_each (node, &s->servers) {
        struct server *v = list_entry(node, struct server, node);
        if (same_addr(&v->addr, v->addr_len, addr, len))
            return v;
    }
    return NULL;
}

/* ---- time ---- */

void sim_after(struct sim *s, uint64_t delay_us, void (*fn)(struct sim *s, void *arg), void *arg)
{
    struct after *a = xcalloc(1, sizeof(*a));

    *a = (struct after){.at_us = s->now_us + delay_us, .fn = fn, .arg = arg};
    list_init(&a->node);
    list_push_back(&s->afters, &a->node);
}

/* What arrives at the far end. */
static void far_arrivals(struct peer *p)
{
    if (p->pub.closed) { /* a byte for somebody who is gone: reset */
        if (p->to_far.arrived > 0)
            sim_peer_reset(&p->pub);
        return;
    }
    if (p->to_far.arrived > 0)
        tell(p, SIM_DATA);
    if (flow_ended(&p->to_far) && !p->told_end && !p->pub.closed) {
        p->told_end = true;
        p->pub.ended = true;
        tell(p, SIM_END);
    }
}

static void near_arrivals(struct sim *s, struct peer *p)
{
    if (p->to_near.arrived == p->to_near.len && !p->pub.closed)
        tell(p, SIM_SPACE);
    if (p->near_closed && p->to_near.arrived > 0 && p->reset_far_us == SIM_NEVER) {
        flow_drop(&p->to_near);
        p->reset_far_us = s->now_us + sim_latency(s);
    }
}

static void step_peer(struct sim *s, struct peer *p)
{
    if (p->frozen)
        return;
    if (p->reset_near_us <= s->now_us)
        reset_near(s, p);
    if (p->reset_far_us <= s->now_us)
        reset_far(p);
    if (p->to_near.tick_us <= s->now_us) {
        flow_tick(s, &p->to_near);
        near_arrivals(s, p);
    }
    if (p->to_far.tick_us <= s->now_us) {
        flow_tick(s, &p->to_far);
        far_arrivals(p);
    }
}

void sim_net_step(struct sim *s)
{
    list_for_each_safe (node, tmp, &s->afters) {
        struct after *a = list_entry(node, struct after, node);
        if (a->at_us > s->now_us)
            continue;
        list_remove(&a->node);
        a->fn(s, a->arg);
        free(a);
    }
    list_for_each (node, &s->peers)
        step_peer(s, list_entry(node, struct peer, node));
    sim_dgrams_step(s);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t sim_net_next(const struct sim *s)
{
    uint64_t next = sim_dgrams_next(s);

    list_for_each (node, &s->afters)
        next = earlier(next, list_entry(node, struct after, node)->at_us);
    list_for_each (node, &s->peers) {
        const struct peer *p = list_entry(node, struct peer, node);
        if (p->frozen)
            continue;
        next = earlier(next, earlier(p->reset_near_us, p->reset_far_us));
        next = earlier(next, earlier(p->to_near.tick_us, p->to_far.tick_us));
    }
    return next;
}

void sim_net_free(struct sim *s)
{
    struct list *node;

    sim_dgrams_free(s);
    while ((node = list_pop_front(&s->open)) != NULL)
        free(list_entry(node, struct sock, node));
    while ((node = list_pop_front(&s->peers)) != NULL) {
        struct peer *p = list_entry(node, struct peer, node);
        free(p->to_near.data);
        free(p->to_far.data);
        free(p);
    }
    while ((node = list_pop_front(&s->servers)) != NULL)
        free(list_entry(node, struct server, node));
    while ((node = list_pop_front(&s->afters)) != NULL)
        free(list_entry(node, struct after, node));
}
