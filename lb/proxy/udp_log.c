/* udp_log.c - the end of a flow of mode udp: its line in the access log. */
#include "lb/proxy/udp_priv.h"

#include "lb/base/log.h"
#include "lb/obs/flight.h"

#include <stdio.h>
#include <string.h>

static uint64_t lived_us(const struct udp_flow *f)
{
    return loop_now_us(f->base.proxy->loop) - f->base.accepted_us;
}

static void fill_places(struct access_record *r, const struct udp_flow *f)
{
    const struct pool *pool = f->pool;

    r->actconn = atomic_load_explicit(&f->base.proxy->shared->connections, memory_order_relaxed);
    r->feconn = atomic_load_explicit(&f->base.listener->stats->current, memory_order_relaxed);
    r->pool = pool->name;
    r->beconn = atomic_load_explicit(&pool->kept->current, memory_order_relaxed);
    if (f->slot == NULL)
        return;
    r->backend = f->slot->name;
    r->backend_addr =
        atomic_load_explicit(&f->slot->address, memory_order_acquire); /* in an epoch */
    r->srv_conn = atomic_load_explicit(&f->slot->in_flight, memory_order_relaxed);
}

static void write_log(const struct udp_flow *f)
{
    struct proxy_listener *l = f->base.listener;
    struct addr client, local;
    char line[ACCESS_LINE_MAX];

    if (l->sink == NULL)
        return;
    peer_get(&f->base.client, &client);
    if (f->ends.local.len > 0) {
        addr_from_sockaddr(&local, &f->ends.local.sa, f->ends.local.len);
        addr_set_port(&local, f->base.local_port);
    } else {
        session_local_address((struct session *)(uintptr_t)&f->base, f->door->acceptor->fd, &local);
    }
    struct access_record r = {
        .id = f->base.id,
        .client = &client,
        .listener_addr = &local,
        .listener = l->conf->name,
        .start_wall_us = session_wall_us(&f->base, f->base.accepted_us),
        .queue_us = f->slot != NULL ? 0 : -1,
        .connect_us = f->fd >= 0 ? 0 : -1,
        .total_us = lived_us(f),
        .bytes_in = f->bytes_in,
        .bytes_out = f->bytes_out,
        .retries = f->n_excluded,
        .redispatched = f->n_excluded > 0,
        .end = (enum session_end)f->end,
    };
    fill_places(&r, f);
    if (f->error != 0)
        snprintf(r.detail, sizeof(r.detail), "%s", strerror(-f->error));
    size_t n = access_format_write(l->format, &r, line);
    log_sink_write(l->sink, line, n);
}

/* Flows are never slow; what failed is remembered. */
static void note_flight(const struct udp_flow *f)
{
    struct flight *flight = f->base.proxy->flight;
    uint64_t now = loop_now_us(f->base.proxy->loop);
    bool failed = flight_is_failure((enum session_end)f->end, 0);
    struct addr client;
    char text[ADDR_TEXT_MAX];

    if (!failed || !flight_wants(flight, failed, 0, now))
        return;
    peer_get(&f->base.client, &client);
    struct flight_record r = {
        .id = f->base.id,
        .worker = f->base.proxy->worker,
        .failed = failed,
        .wall_us = session_wall_us(&f->base, now),
        .end_us = now,
        .end = (enum session_end)f->end,
        .queue_us = -1,
        .connect_us = -1,
        .first_us = -1,
        .total_us = lived_us(f),
        .bytes_in = f->bytes_in,
        .bytes_out = f->bytes_out,
        .retries = f->n_excluded,
    };
    flight_set_text(r.client, sizeof(r.client), str_of(addr_format(&client, text)));
    snprintf(r.listener, sizeof(r.listener), "%s", f->base.listener->conf->name);
    snprintf(r.pool, sizeof(r.pool), "%s", f->pool->name);
    snprintf(r.backend, sizeof(r.backend), "%s", f->slot != NULL ? f->slot->name : "");
    if (f->error != 0)
        snprintf(r.why, sizeof(r.why), "%s", strerror(-f->error));
    flight_add(flight, &r);
}

void udp_log_end(struct udp_flow *f)
{
    note_flight(f);
    write_log(f);
}
