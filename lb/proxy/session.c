/* session.c - see session.h */
#include "lb/proxy/session.h"

#include "lb/obs/events.h"
#include "lb/proxy/proxy_priv.h"

#include <stdio.h>
#include <string.h>

#define REFUSED_EVERY_MS 10000 /* a line about refused connections, of each worker */

void session_init(struct session *s, const struct session_ops *ops, struct proxy *p,
                  struct acceptor *a)
{
    list_init(&s->node);
    s->ops = ops;
    s->proxy = p;
    s->listener = a->listener;
    s->id = ((uint64_t)p->worker << 48) | ++p->next_id;
    s->accepted_us = loop_now_us(p->loop);
    s->local_port = a->port;
}

/* ---- addresses ---- */

void peer_set(struct peer *p, const struct addr *a)
{
    *p = (struct peer){.family = (uint8_t)a->sa.sa_family};
    if (a->sa.sa_family == AF_INET) {
        p->port = a->in.sin_port;
        memcpy(p->ip, &a->in.sin_addr, 4);
    } else if (a->sa.sa_family == AF_INET6) {
        p->port = a->in6.sin6_port;
        memcpy(p->ip, &a->in6.sin6_addr, 16);
    }
}

void peer_get(const struct peer *p, struct addr *out)
{
    memset(out, 0, sizeof(*out));
    out->sa.sa_family = p->family;
    if (p->family == AF_INET) {
        out->len = sizeof(out->in);
        out->in.sin_port = p->port;
        memcpy(&out->in.sin_addr, p->ip, 4);
    } else if (p->family == AF_INET6) {
        out->len = sizeof(out->in6);
        out->in6.sin6_port = p->port;
        memcpy(&out->in6.sin6_addr, p->ip, 16);
    } else {
        out->sa.sa_family = AF_UNIX;
        out->len = offsetof(struct sockaddr_un, sun_path);
    }
}

void session_local_address(struct session *s, int fd, struct addr *out)
{
    struct sockaddr_storage ss;
    socklen_t len;

    if (fd >= 0 && io_local_name(s->proxy->loop->io, fd, &ss, &len) == 0)
        addr_from_sockaddr(out, (struct sockaddr *)&ss, len);
    else
        peer_get(&(struct peer){.family = AF_UNIX}, out);
}

void session_destination(struct session *s, int fd, struct addr *out)
{
    if (s->dst.family == 0) {
        session_local_address(s, fd, out);
        peer_set(&s->dst, out);
    }
    peer_get(&s->dst, out);
}

void session_client_address(struct session *s, int fd, struct addr *out)
{
    struct sockaddr_storage ss;
    socklen_t len;

    if (s->client.family == 0) {
        if (fd >= 0 && io_peer_name(s->proxy->loop->io, fd, &ss, &len) == 0) {
            addr_from_sockaddr(out, (struct sockaddr *)&ss, len);
            peer_set(&s->client, out);
        } else {
            s->client.family = s->local_port != 0 ? AF_INET : AF_UNIX; /* 0.0.0.0:0: not known */
        }
    }
    peer_get(&s->client, out);
}

bool session_expects_proxy_header(struct session *s, int fd)
{
    const struct listener_conf *c = s->listener->conf;
    struct addr client;

    if (c->proxy_protocol == PROXY_OFF)
        return false;
    if (c->n_proxy_from == 0)
        return true;
    session_client_address(s, fd, &client);
    for (uint32_t i = 0; i < c->n_proxy_from; i++)
        if (addr_net_contains(&c->proxy_from[i], &client))
            return true;
    return false; /* others may connect too, and what they send is payload */
}

uint64_t session_wall_us(const struct session *s, uint64_t at_us)
{
    const struct loop *l = s->proxy->loop;

    return io_wall_us(l->io) - (loop_now_us(l) - at_us);
}

/* ---- counts ---- */

/* One line at once; those that follow soon after are counted in the next. */
void session_note_refused(struct session *s, const char *what, const char *why)
{
    struct proxy *p = s->proxy;
    uint64_t now = loop_now_ms(p->loop);
    char from[ADDR_TEXT_MAX + 8] = "", more[64] = "";
    struct addr client;

    p->refused++;
    if (p->refused_ms != 0 && now - p->refused_ms < REFUSED_EVERY_MS)
        return;
    if (s->client.family != 0) {
        peer_get(&s->client, &client);
        char text[ADDR_TEXT_MAX];
        snprintf(from, sizeof(from), " from %s", addr_format(&client, text));
    }
    if (p->refused > 1)
        snprintf(more, sizeof(more), " (%u were refused since the last such line)", p->refused);
    events_log(EVENT_REFUSED, LOG_LEVEL_WARN, s->listener->conf->name,
               "listener %s: a connection%s is refused: %s%s%s", s->listener->conf->name, from,
               what, why, more);
    p->refused_ms = now;
    p->refused = 0;
}

bool session_admit_source(struct session *s, int fd)
{
    struct addr client;

    if (s->listener->conf->max_per_source == 0) /* sources may be there from before a reload */
        return true;
    session_client_address(s, fd, &client);
    s->source = source_caps_take(s->listener->sources, &client);
    return s->source != NULL;
}

bool session_admit(struct session *s, int fd)
{
    struct listener_stats *st = s->listener->stats;
    uint32_t n = atomic_fetch_add_explicit(&st->current, 1, memory_order_relaxed) + 1;

    if (s->listener->conf->max_connections != 0 && n > s->listener->conf->max_connections)
        return false; /* before it is asked for its address: see session_refuse() */
    counter_max(&st->current_max, n);
    return session_expects_proxy_header(s, fd) || session_admit_source(s, fd);
}

void session_refuse(struct session *s)
{
    counter_add(&s->listener->stats->rows[s->proxy->worker].denied, 1);
    atomic_fetch_sub_explicit(&s->listener->stats->current, 1, memory_order_relaxed);
    session_note_refused(s, "",
                         s->client.family == 0 ? "the listener has limits.connections already"
                                               : SESSION_SOURCE_FULL);
}

/* The log and the caps want the address, and later the client may be gone. */
static bool wants_client_address(const struct session *s)
{
    return s->listener->sink != NULL || s->listener->conf->max_per_source != 0 ||
           s->listener->conf->mode == MODE_HTTP;
}

void session_begin(struct session *s, int fd)
{
    struct proxy *p = s->proxy;
    struct addr client;

    proxy_hold(p, s->listener);
    atomic_fetch_add_explicit(&p->shared->connections, 1, memory_order_relaxed);
    counter_add(&s->listener->stats->rows[p->worker].sessions, 1);
    counter_add(&p->counters->sessions, 1);
    counter_set(&p->counters->sessions_open, ++p->n_sessions);
    list_push_back(&p->all, &s->node);
    if (wants_client_address(s))
        session_client_address(s, fd, &client);
}

void session_free_soon(struct session *s)
{
    struct proxy *p = s->proxy;

    list_remove(&s->node);
    list_push_back(&p->closing, &s->node);
    loop_defer(p->loop, &p->reaper);
}

void session_finish(struct session *s)
{
    struct proxy *p = s->proxy;

    source_caps_give(s->listener->sources, &s->source);
    atomic_fetch_sub_explicit(&s->listener->stats->current, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&p->shared->connections, 1, memory_order_relaxed);
    counter_set(&p->counters->sessions_open, --p->n_sessions);
    proxy_release(p, s->listener);
    proxy_close_idle(p);
}

bool session_end_is_cut(enum session_end why)
{
    switch (why) {
    case END_KILLED:
    case END_DOWN:
    case END_DRAIN:
    case END_RESOURCE:
        return true;
    default:
        return false;
    }
}
