/* exchange_dial.c - a new connection to a backend, until a request can be sent on it: the PROXY
 * header that goes before everything else, the TLS handshake. A failure is one of connecting: no
 * byte of the request has been sent, so another backend may be tried whatever the request is. */
#include "lb/net/proxy_proto.h"
#include "lb/net/stream.h"
#include "lb/proxy/exchange_priv.h"

#include <errno.h>

static struct exchange *exchange_of(struct stream *s)
{
    return container_of(s, struct backend_conn, stream)->owner;
}

static void give_up(struct exchange *x, int error)
{
    backend_conn_close(&x->dialling, false);
    seek_dial_failed(&x->seek, error);
}

void exchange_dial_late(struct seek *k)
{
    give_up(container_of(k, struct exchange, seek), -ETIMEDOUT);
}

static void ready(struct exchange *x)
{
    struct backend_conn *conn = x->dialling;

    x->dialling = NULL;
    if (exchange_speaks_h2(x, conn)) {
        exchange_h2_begin(x, conn);
        return;
    }
    exchange_h2_not(x);
    exchange_open_wire(x, conn);
}

static void on_handshake(struct stream *s)
{
    struct exchange *x = exchange_of(s);
    int error;

    switch (seek_handshake(&x->seek, s, &error)) {
    case SECURE_MORE:
        return;
    case SECURE_DONE:
        ready(x);
        return;
    case SECURE_FAILED:
        give_up(x, error);
        return;
    }
}

static void secure(struct exchange *x)
{
    struct stream *s = &x->dialling->stream;

    s->event = on_handshake;
    s->tell_sent = false;
    if (!seek_secure(&x->seek, s))
        give_up(x, -ENOMEM);
}

/* The handshake begins when the header is gone, so that it is not encrypted. */
static void on_header(struct stream *s)
{
    struct exchange *x = exchange_of(s);

    if (s->tx_dead)
        give_up(x, s->tx_error);
    else if (stream_sent_all(s))
        secure(x);
}

size_t exchange_proxy_header(struct exchange *x, char out[static PROXY_WRITE_MAX])
{
    enum proxy_proto version = x->pool->conf->send_proxy;
    struct addr local;

    if (version == PROXY_OFF)
        return 0;
    session_destination(x->session, exchange_http_session(x)->stream.fd, &local);
    return proxy_write(version, x->client, &local, (uint8_t *)out);
}

static void begin_secure(struct exchange *x)
{
    struct stream *s = &x->dialling->stream;
    char header[PROXY_WRITE_MAX];
    size_t n = exchange_proxy_header(x, header);

    if (n == 0) {
        secure(x);
        return;
    }
    s->event = on_header;
    s->tell_sent = true;
    if (stream_write(s, header, (uint32_t)n))
        stream_flush(s);
    else
        give_up(x, -ENOMEM);
}

void exchange_dialled(struct seek *k, int fd)
{
    struct exchange *x = container_of(k, struct exchange, seek);
    struct backend_conn *conn = backend_conn_new(&x->proxy->cache, x->pool, k->slot, &k->addr, fd);

    if (conn == NULL) {
        io_close(exchange_io(x), fd);
        exchange_fail(x, END_RESOURCE, NULL, -ENOMEM);
        exchange_kick(x);
        return;
    }
    conn->owner = x;
    x->dialling = conn;
    if (x->pool->conf->tls == NULL)
        ready(x);
    else
        begin_secure(x);
}
