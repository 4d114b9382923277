/* tcp_plain.c - the link of a session of mode tcp without TLS: a tunnel between two sockets. */
#include "lb/proxy/tcp_priv.h"

#include <string.h>

struct tcp_plain {
    struct tunnel tunnel; /* first: the hot part */
    struct tcp_session session;
};
static_assert(sizeof(struct tcp_plain) <= 768, "memory per idle connection is a promise");

size_t tcp_plain_size(void)
{
    return sizeof(struct tcp_plain);
}

static struct tunnel *tunnel_of(struct tcp_session *s)
{
    CHECK_MAGIC(s, TCP_SESSION_MAGIC);
    return &container_of(s, struct tcp_plain, session)->tunnel;
}

static struct tcp_session *session_of(struct tunnel *t)
{
    struct tcp_session *s = &container_of(t, struct tcp_plain, tunnel)->session;

    CHECK_MAGIC(s, TCP_SESSION_MAGIC);
    return s;
}

/* ---- the tunnel's news ---- */

static void on_arrived(struct tunnel *t)
{
    tcp_on_arrived(session_of(t));
}

static void on_moved(struct tunnel *t, bool up, uint32_t n)
{
    struct tcp_session *s = session_of(t);

    tcp_on_moved(s, up, n);
    if (s->dial != NULL && (t->preface == NULL || t->preface_sent))
        tcp_settle(s, t->backend_fd);
}

static bool on_early_loss(struct tunnel *t, int error)
{
    return tcp_on_early_loss(session_of(t), error);
}

static void on_detached(struct tunnel *t, int backend_fd)
{
    struct tcp_session *s = session_of(t);

    io_close(tcp_io(s), backend_fd);
    tcp_on_detached(s);
}

static void on_half_closed(struct tunnel *t)
{
    tcp_on_half_closed(session_of(t));
}

static void on_ended(struct tunnel *t, const struct tunnel_end *end)
{
    tcp_on_ended(session_of(t), end);
}

static void on_stopped(struct tunnel *t)
{
    tcp_on_stopped(session_of(t));
}

const struct tunnel_ops tcp_tunnel_ops = {
    .arrived = on_arrived,
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
    tunnel_open_client(tunnel_of(s), s->client_fd);
}

static const struct io_buf *waiting(struct tcp_session *s)
{
    return tunnel_of(s)->up.first;
}

static void consume(struct tcp_session *s, uint32_t n)
{
    tunnel_consume(tunnel_of(s), n);
}

static void open_backend(struct tcp_session *s, int fd, uint16_t n)
{
    tcp_joined(s);
    tunnel_open_backend(tunnel_of(s), fd, s->dial->preface, n);
}

static void watch_half_closed(struct tcp_session *s)
{
    tunnel_watch_half_closed(tunnel_of(s));
}

static void look(struct tcp_session *s, struct tcp_link_view *out)
{
    const struct tunnel *t = tunnel_of(s);

    *out = (struct tcp_link_view){
        .backend_fd = t->backend_fd,
        .bytes_in = t->up.bytes,
        .bytes_out = t->down.bytes,
        .progress = tunnel_progress(t),
        .half_closed = tunnel_half_closed(t),
        .client_is_due = t->down.first != NULL || t->down.eof,
        .client_ended = t->up.eof,
        .in_spliced = t->up.rx_state == RX_SPLICE,
        .out_spliced = t->down.rx_state == RX_SPLICE,
    };
}

static bool facts(struct tcp_session *s, struct tls_facts *out)
{
    (void)s;
    (void)out;
    return false;
}

static void stop(struct tcp_session *s)
{
    tunnel_stop(tunnel_of(s));
}

static bool idle(struct tcp_session *s)
{
    return tunnel_idle(tunnel_of(s));
}

static void close_fd(struct tcp_session *s, int fd, bool reset)
{
    if (fd >= 0 && reset)
        io_reset(tcp_io(s), fd);
    else if (fd >= 0)
        io_close(tcp_io(s), fd);
}

static void close_both(struct tcp_session *s)
{
    struct tunnel *t = tunnel_of(s);

    tunnel_fini(t);
    close_fd(s, t->backend_fd, s->reset_backend);
    close_fd(s, s->client_fd, s->reset_client);
    t->backend_fd = t->client_fd = s->client_fd = -1;
}

static void free_session(struct tcp_session *s)
{
    s->magic = 0;
    slab_free(&s->base.proxy->sessions, container_of(s, struct tcp_plain, session));
}

static const struct tcp_link plain_link = {
    .open_client = open_client,
    .waiting = waiting,
    .consume = consume,
    .open_backend = open_backend,
    .watch_half_closed = watch_half_closed,
    .look = look,
    .facts = facts,
    .stop = stop,
    .idle = idle,
    .close = close_both,
    .free = free_session,
};

struct tcp_session *tcp_plain_new(struct proxy *p)
{
    struct tcp_plain *plain = slab_alloc(&p->sessions);

    if (plain == NULL)
        return NULL;
    tunnel_init(&plain->tunnel, &p->tunnels);
    plain->session.link = &plain_link;
    return &plain->session;
}
