/* tcp_tls.c - the link of a session of mode tcp where the client or the backend, or both, have TLS:
 * a relay between two streams. Handshakes are done while the two are apart. */
#include "lb/net/stream_tls.h"
#include "lb/proxy/relay.h"
#include "lb/proxy/tcp_priv.h"
#include "lb/proxy/tls_contexts.h"

#include <errno.h>
#include <string.h>

#define ALERT_MS 1000 /* to get the alert of a failed handshake out */

struct tcp_relayed {
    struct relay relay;
    bool securing_client; /* the client's handshake is under way */
    bool securing_backend;
    struct tcp_session session;
};

size_t tcp_relayed_size(void)
{
    return sizeof(struct tcp_relayed);
}

static struct tcp_relayed *relayed_of(struct tcp_session *s)
{
    CHECK_MAGIC(s, TCP_SESSION_MAGIC);
    return container_of(s, struct tcp_relayed, session);
}

static struct relay *relay_of(struct tcp_session *s)
{
    return &relayed_of(s)->relay;
}

static struct tcp_session *session_of(struct relay *r)
{
    struct tcp_session *s = &container_of(r, struct tcp_relayed, relay)->session;

    CHECK_MAGIC(s, TCP_SESSION_MAGIC);
    return s;
}

/* ---- the client's side, before there is a backend ---- */

static const char *reason_of(const struct stream *s)
{
    const char *reason = stream_is_tls(s) ? stream_tls_reason(s) : "";

    return reason[0] != '\0' ? reason : NULL;
}

/* Its alert goes out first. */
static void refused(struct tcp_session *s)
{
    struct stream *client = &relay_of(s)->client;

    s->why = reason_of(client);
    if (stream_sent_all(client)) {
        tcp_end(s, END_TLS_FAILED, client->error);
        return;
    }
    client->tell_sent = true;
    s->end = END_TLS_FAILED;
    tcp_enter(s, TCP_REFUSING, ALERT_MS);
}

static void begin_handshake(struct tcp_session *s)
{
    struct stream *client = &relay_of(s)->client;
    struct tls_server *server = proxy_tls_server(s->base.proxy, s->base.listener);

    if (server == NULL || !stream_tls_accept(client, server))
        tcp_end(s, END_RESOURCE, -ENOMEM);
    else
        stream_read(client, STREAM_READ);
}

static void client_handshake(struct tcp_session *s)
{
    struct stream *client = &relay_of(s)->client;

    if (client->error == -EPROTO) {
        refused(s);
    } else if (client->error != 0 || client->tx_dead) {
        tcp_end(s, END_CLIENT_GONE, client->error);
    } else if (!stream_is_tls(client) && client->in != NULL) {
        begin_handshake(s);
    } else if (stream_is_tls(client) && stream_tls_ready(client)) {
        relayed_of(s)->securing_client = false;
        tcp_on_secured(s, stream_tls_resumed(client));
    } else if (client->eof) {
        s->why = "before the TLS handshake";
        tcp_end(s, END_CLIENT_GONE, 0);
    }
}

static void on_client(struct relay *r)
{
    struct tcp_session *s = session_of(r);
    struct stream *client = &r->client;

    if (s->state == TCP_REFUSING) {
        if (client->tx_dead || stream_sent_all(client))
            tcp_end(s, (enum session_end)s->end, 0);
    } else if (relayed_of(s)->securing_client) {
        client_handshake(s);
    } else if (client->error != 0) {
        s->why = reason_of(client);
        tcp_on_ended(s, &(struct tunnel_end){.side = TUNNEL_CLIENT, .error = client->error});
    } else {
        tcp_on_arrived(s);
    }
}

/* It begins with the first byte, so that who says nothing costs no memory of OpenSSL's. */
static void secure_client(struct tcp_session *s)
{
    relayed_of(s)->securing_client = true;
    client_handshake(s);
}

/* ---- the backend's side, before it is joined ---- */

static void fail_backend(struct tcp_session *s, int error)
{
    s->dial->failed = true;
    s->dial->last_error = error;
    relayed_of(s)->securing_backend = false;
    relay_detach(relay_of(s));
}

static void secure_backend(struct tcp_session *s)
{
    struct stream *backend = &relay_of(s)->backend;

    backend->tell_sent = false;
    if (seek_secure(&s->dial->seek, backend))
        relayed_of(s)->securing_backend = true;
    else
        fail_backend(s, -ENOMEM);
}

static void join(struct tcp_session *s, uint32_t unsent)
{
    relayed_of(s)->securing_backend = false;
    tcp_joined(s);
    relay_join(relay_of(s), unsent);
}

/* Its PROXY header is out, or its handshake goes on. */
static void on_backend(struct relay *r)
{
    struct tcp_session *s = session_of(r);
    int error;

    if (!relayed_of(s)->securing_backend) {
        if (r->backend.tx_dead)
            fail_backend(s, r->backend.tx_error);
        else if (stream_sent_all(&r->backend))
            secure_backend(s);
        return;
    }
    switch (seek_handshake(&s->dial->seek, &r->backend, &error)) {
    case SECURE_MORE:
        return;
    case SECURE_DONE:
        join(s, 0);
        return;
    case SECURE_FAILED:
        fail_backend(s, error);
        return;
    }
}

/* The header goes in clear: TLS begins when it is out. */
static void open_backend(struct tcp_session *s, int fd, uint16_t n)
{
    struct relay *r = relay_of(s);

    relay_open_backend(r, fd);
    if (n > 0 && !stream_write(&r->backend, s->dial->preface, n)) {
        fail_backend(s, -ENOMEM);
    } else if (s->pool->conf->tls == NULL) {
        join(s, n);
    } else if (n == 0) {
        secure_backend(s);
    } else {
        r->backend.tell_sent = true;
        stream_flush(&r->backend);
    }
}

static void drop_backend(struct tcp_session *s)
{
    relayed_of(s)->securing_backend = false;
    relay_detach(relay_of(s));
}

/* ---- joined ---- */

static void on_moved(struct relay *r, bool up, uint32_t n)
{
    struct tcp_session *s = session_of(r);

    tcp_on_moved(s, up, n);
    if (s->dial != NULL)
        tcp_settle(s, r->backend.fd);
}

static bool on_early_loss(struct relay *r, int error)
{
    return tcp_on_early_loss(session_of(r), error);
}

static void on_detached(struct relay *r)
{
    tcp_on_detached(session_of(r));
}

static void on_half_closed(struct relay *r)
{
    tcp_on_half_closed(session_of(r));
}

static void on_ended(struct relay *r, const struct tunnel_end *end)
{
    struct tcp_session *s = session_of(r);

    if (!end->finished)
        s->why = reason_of(end->side == TUNNEL_CLIENT ? &r->client : &r->backend);
    tcp_on_ended(s, end);
}

static void on_stopped(struct relay *r)
{
    tcp_on_stopped(session_of(r));
}

static const struct relay_ops relay_ops = {
    .client = on_client,
    .backend = on_backend,
    .moved = on_moved,
    .early_loss = on_early_loss,
    .detached = on_detached,
    .half_closed = on_half_closed,
    .ended = on_ended,
    .stopped = on_stopped,
};

/* ---- the link ---- */

static void open_client(struct tcp_session *s)
{
    relay_open_client(relay_of(s), s->client_fd);
}

static const struct io_buf *waiting(struct tcp_session *s)
{
    return relay_of(s)->client.in;
}

static void consume(struct tcp_session *s, uint32_t n)
{
    stream_consume(&relay_of(s)->client, n);
}

static void watch_half_closed(struct tcp_session *s)
{
    relay_watch_half_closed(relay_of(s));
}

static void look(struct tcp_session *s, struct tcp_link_view *out)
{
    const struct relay *r = relay_of(s);

    *out = (struct tcp_link_view){
        .backend_fd = r->backend_open ? r->backend.fd : -1,
        .bytes_in = r->up.bytes,
        .bytes_out = r->down.bytes,
        .progress = relay_progress(r),
        .half_closed = relay_half_closed(r),
        .client_is_due = r->joined && (!stream_sent_all(&r->client) || r->backend.eof),
        .client_ended = r->client.eof,
    };
}

static bool facts(struct tcp_session *s, struct tls_facts *out)
{
    struct relay *r = relay_of(s);

    return r->client_open && stream_is_tls(&r->client) && stream_tls_facts(&r->client, out);
}

static void stop(struct tcp_session *s)
{
    relay_stop(relay_of(s));
}

static bool idle(struct tcp_session *s)
{
    return relay_idle(relay_of(s));
}

static void close_both(struct tcp_session *s)
{
    struct relay *r = relay_of(s);

    if (!r->client_open) {
        if (s->reset_client)
            io_reset(tcp_io(s), s->client_fd);
        else
            io_close(tcp_io(s), s->client_fd);
    }
    relay_close(r, s->reset_client, s->reset_backend);
    s->client_fd = -1;
}

static void free_session(struct tcp_session *s)
{
    struct tcp_relayed *t = relayed_of(s);

    s->magic = 0;
    slab_free(&s->base.proxy->relayed, t);
}

static const struct tcp_link relay_link = {
    .open_client = open_client,
    .secure_client = secure_client,
    .waiting = waiting,
    .consume = consume,
    .open_backend = open_backend,
    .drop_backend = drop_backend,
    .watch_half_closed = watch_half_closed,
    .look = look,
    .facts = facts,
    .stop = stop,
    .idle = idle,
    .close = close_both,
    .free = free_session,
};

struct tcp_session *tcp_relayed_new(struct proxy *p)
{
    struct tcp_relayed *t = slab_alloc(&p->relayed);

    if (t == NULL)
        return NULL;
    relay_init(&t->relay, &p->streams, &relay_ops);
    t->session.link = &relay_link;
    return &t->session;
}
