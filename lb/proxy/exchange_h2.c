/* exchange_h2.c - how an exchange comes to a stream on a connection in HTTP/2: on one that is
 * there, on one that somebody else is dialling, or by dialling itself for those who come after it.
 * Which of the protocols a new connection speaks is known after its handshake. */
#include "lb/net/stream_tls.h"
#include "lb/proxy/exchange_priv.h"

#include <errno.h>

/* NULL: the backend never speaks it. */
static struct h2_member *member_of(const struct exchange *x)
{
    return h2_conns_member(&x->proxy->h2, x->pool, x->seek.slot);
}

/* Not where a connection is one client's, or one request's. */
static bool may_share(const struct exchange *x)
{
    return x->pool->conf->http.reuse != REUSE_NEVER && x->pool->conf->send_proxy == PROXY_OFF;
}

static void open_wire(struct exchange *x, struct h2_conn *conn)
{
    wire_h2_open(&x->wire_h2, x, conn);
    exchange_wire_opened(x);
}

bool exchange_h2_open(struct exchange *x)
{
    struct h2_member *m = member_of(x);
    const struct addr *address = atomic_load_explicit(&x->seek.slot->address, memory_order_acquire);
    const struct h2_wish wish = {
        .address = address,
        .not_before_us = x->h2_not_before_us,
        .lively = x->pool->conf->http.reuse == REUSE_SAFE &&
                  !http_method_is_idempotent((enum http_method)x->request.method),
    };

    if (m == NULL || address == NULL || !may_share(x))
        return false;
    struct h2_conn *conn = h2_conns_find(&x->proxy->h2, m, &wish);
    if (conn == NULL)
        return false;
    open_wire(x, conn);
    return true;
}

static void on_wake(struct h2_waiter *w, int error)
{
    struct exchange *x = container_of(w, struct exchange, h2_waiter);

    if (error == 0 && exchange_now_ms(x) > x->seek.dial_deadline_ms)
        error = -ETIMEDOUT;
    x->in_step = true; /* over() not from inside: there may be nowhere else to go */
    if (error != 0)
        seek_next(&x->seek, error);
    else if (!exchange_h2_open(x))
        exchange_h2_dial(x);
    x->in_step = false;
    exchange_step(x);
}

void exchange_h2_dial(struct exchange *x)
{
    struct h2_member *m = member_of(x);

    x->h2_waiter.wake = on_wake;
    if (m != NULL && may_share(x) &&
        h2_conns_wait(&x->proxy->h2, x->pool, m, &x->h2_waiter, &x->h2_dial))
        return;
    seek_dial(&x->seek);
}

void exchange_h2_dial_over(struct exchange *x, int error)
{
    h2_dial_over(&x->proxy->h2, &x->h2_dial, error);
}

void exchange_h2_stop(struct exchange *x)
{
    h2_waiter_cancel(&x->h2_waiter);
    exchange_h2_dial_over(x, 0);
}

void exchange_h2_again(struct exchange *x)
{
    x->h2_not_before_us = exchange_now_us(x);
    seek_again(&x->seek);
    exchange_h2_dial(x);
}

/* ---- a new connection ---- */

bool exchange_speaks_h2(const struct exchange *x, const struct backend_conn *conn)
{
    if (stream_is_tls(&conn->stream))
        return str_eq(stream_tls_alpn(&conn->stream), STR("h2"));
    return x->pool->conf->protocol == PROTOCOL_HTTP2;
}

/* In clear; over TLS it went before the handshake. */
static bool write_proxy_header(struct exchange *x, struct stream *s)
{
    char header[PROXY_WRITE_MAX];
    size_t n = stream_is_tls(s) ? 0 : exchange_proxy_header(x, header);

    return stream_write(s, header, (uint32_t)n);
}

void exchange_h2_begin(struct exchange *x, struct backend_conn *conn)
{
    struct h2_member *m = member_of(x);
    struct h2_conn *c = NULL;

    if (write_proxy_header(x, &conn->stream))
        c = h2_conn_new(&x->proxy->h2, m, conn, may_share(x), x->pool->conf->connect_timeout_ms);
    if (c == NULL) {
        backend_conn_close(&conn, true);
        exchange_h2_dial_over(x, 0);
        exchange_fail(x, END_RESOURCE, NULL, -ENOMEM);
        exchange_kick(x);
        return;
    }
    m->speaks_h1 = false;
    exchange_h2_dial_over(x, 0);
    open_wire(x, c);
}

void exchange_h2_not(struct exchange *x)
{
    struct h2_member *m = member_of(x);

    if (m == NULL)
        return;
    m->speaks_h1 = true;
    exchange_h2_dial_over(x, 0);
}
