/* relay.c - see relay.h. Every event of a stream calls step(), which looks at the whole and starts
 * what is due; so there is one place where decisions are made. */
#include "lb/proxy/relay.h"

#include "lb/net/stream_tls.h"

#include <errno.h>
#include <string.h>

static struct stream *source_of(struct relay *r, const struct relay_flow *f)
{
    return f == &r->up ? &r->client : &r->backend;
}

static struct stream *sink_of(struct relay *r, const struct relay_flow *f)
{
    return f == &r->up ? &r->backend : &r->client;
}

/* No byte has reached either side, and none of the backend's is on its way. */
static bool untouched(const struct relay *r)
{
    return r->up.bytes == 0 && r->down.given == 0;
}

static void end(struct relay *r, bool finished, enum tunnel_side side, int error)
{
    const struct tunnel_end e = {.finished = finished, .side = side, .error = error};

    if (r->ended)
        return;
    r->ended = true;
    r->ops->ended(r, &e);
}

/* ---- moving ---- */

/* The first bytes go as copies, until the kernel has one of them: the next backend may need them.
 */
static void offer(struct relay *r)
{
    if (r->offered > 0)
        return;
    for (const struct io_buf *b = r->client.in; b != NULL; b = b->next) {
        if (!stream_write(&r->backend, b->data, b->len))
            break;
        r->offered += b->len;
    }
    r->up.given = r->offered;
}

static void give(struct relay_flow *f, struct stream *from, struct stream *to)
{
    f->given += from->in_bytes;
    stream_queue(to, stream_take(from, from->in_bytes));
}

/* As long as not too much is queued for the receiver: a turn may bring more than it sends. */
static void pump(struct relay *r, struct relay_flow *f)
{
    struct stream *from = source_of(r, f), *to = sink_of(r, f);

    if (from->in != NULL && !to->tx_dead && to->out_bytes < STREAM_HIGH_WATER) {
        if (f == &r->up && untouched(r))
            offer(r);
        if (r->offered == 0 || f != &r->up) /* no memory for copies: not to be had again then */
            give(f, from, to);
    }
    stream_flush(to);
}

/* What has been sent since the last look. */
static void note_moved(struct relay *r, struct relay_flow *f)
{
    uint64_t sent = sink_of(r, f)->sent;

    if (sent <= f->base + f->bytes)
        return;
    uint32_t n = (uint32_t)(sent - f->base - f->bytes);
    f->bytes += n;
    if (r->offered > 0) { /* no other backend will do now */
        stream_consume(&r->client, r->offered);
        r->offered = 0;
    }
    r->ops->moved(r, f == &r->up, n);
}

/* Not more is read than waits already. */
static void steer(struct relay *r, struct relay_flow *f)
{
    struct stream *from = source_of(r, f);

    if (from->eof)
        stream_read(from, r->watch_half_closed ? STREAM_WATCH : STREAM_QUIET);
    else if (from->in_bytes >= STREAM_HIGH_WATER || (r->joined && sink_of(r, f)->tx_dead))
        stream_read(from, STREAM_WATCH);
    else
        stream_read(from, STREAM_READ);
}

/* ---- ends ---- */

static void finish_detach(struct relay *r)
{
    if (!stream_idle(&r->backend))
        return;
    r->detaching = false;
    if (r->joined) {
        note_moved(r, &r->up);
        if (!untouched(r) || r->backend.in != NULL) { /* a byte came after all */
            end(r, false, TUNNEL_BACKEND, -ECONNRESET);
            return;
        }
    }
    stream_close(&r->backend, false);
    r->backend_open = r->joined = false;
    r->offered = 0;
    r->up.given = 0;
    r->up.eof_passed = false; /* the next backend is to hear of it too */
    r->ops->detached(r);
}

void relay_detach(struct relay *r)
{
    r->detaching = true;
    stream_stop(&r->backend);
    finish_detach(r);
}

/* True when the backend is gone before any byte moved and the owner wants to try another. */
static bool lost_early(struct relay *r)
{
    struct stream *b = &r->backend;

    if (!(b->eof || b->error != 0 || b->tx_dead) || !untouched(r) || b->in != NULL || b->tx.armed ||
        r->down.eof_passed)
        return false;
    if (b->tx_dead && b->tx.send.done > 0) /* a part of a record may have been enough */
        return false;
    int error = b->error != 0 ? b->error : b->tx_dead ? -EPIPE : 0;
    if (error == 0 && r->up.eof_passed) /* the client had nothing to say, and this is the answer */
        return false;
    if (!r->ops->early_loss(r, error))
        return false;
    relay_detach(r);
    return true;
}

/* The second end is for TLS only: plain descriptors are closed right after. One without
 * close_notify stays so: whether something was cut off is for the receiver to judge. */
static void shut(struct relay *r, const struct relay_flow *f, bool second)
{
    struct stream *to = sink_of(r, f);

    if (stream_is_tls(to) && stream_tls_truncated(source_of(r, f)))
        stream_tls_cut(to);
    else if (!second || stream_is_tls(to))
        stream_shutdown(to);
}

/* An end of stream is passed on behind the bytes before it. */
static void pass_eof(struct relay *r, struct relay_flow *f)
{
    const struct relay_flow *other = f == &r->up ? &r->down : &r->up;
    struct stream *from = source_of(r, f), *to = sink_of(r, f);

    if (!from->eof || f->eof_passed || (!to->tx_dead && (from->in != NULL || !stream_sent_all(to))))
        return;
    f->eof_passed = true;
    if (!to->tx_dead)
        shut(r, f, other->eof_passed);
    if (!other->eof_passed)
        r->ops->half_closed(r);
}

/* The receiver is gone and has not had everything. */
static bool lost(struct relay *r, const struct relay_flow *f)
{
    return sink_of(r, f)->tx_dead && (f->bytes < f->given || source_of(r, f)->in != NULL);
}

/* Whether it is over, and whose fault. A client that reset ends it at once; what a backend sent
 * before it failed is delivered first. A side that takes no more may still have something to say,
 * and one that is gone when only our close_notify is left has missed nothing. */
static void check_end(struct relay *r)
{
    struct stream *client = &r->client, *backend = &r->backend;
    bool client_done = client->tx_dead || stream_sent_all(client);
    bool backend_done = backend->tx_dead || stream_sent_all(backend);
    bool both_passed = r->up.eof_passed && r->down.eof_passed;

    if (client->error != 0)
        end(r, false, TUNNEL_CLIENT, client->error);
    else if (backend->error != 0 && backend->in == NULL && client_done)
        end(r, false, TUNNEL_BACKEND, backend->error);
    else if (both_passed && client_done && backend_done && !lost(r, &r->up) && !lost(r, &r->down))
        end(r, true, TUNNEL_CLIENT, 0);
    else if (client->tx_dead)
        end(r, false, TUNNEL_CLIENT, -EPIPE);
    else if (backend->tx_dead && r->down.eof_passed && client_done)
        end(r, false, TUNNEL_BACKEND, -EPIPE);
}

static void step(struct relay *r)
{
    note_moved(r, &r->up);
    note_moved(r, &r->down);
    if (lost_early(r))
        return;
    pump(r, &r->up);
    pump(r, &r->down);
    pass_eof(r, &r->up);
    pass_eof(r, &r->down);
    check_end(r);
    if (r->ended)
        return;
    steer(r, &r->up);
    steer(r, &r->down);
}

/* ---- events ---- */

/* True: nothing is to be done any more. */
static bool over(struct relay *r)
{
    if (r->stopping && relay_idle(r))
        r->ops->stopped(r);
    return r->ended;
}

static void on_client(struct stream *s)
{
    struct relay *r = container_of(s, struct relay, client);

    if (over(r))
        return;
    if (r->detaching) {
        if (s->error != 0)
            end(r, false, TUNNEL_CLIENT, s->error);
    } else if (r->joined) {
        step(r);
    } else {
        steer(r, &r->up);
        r->ops->client(r);
    }
}

static void on_backend(struct stream *s)
{
    struct relay *r = container_of(s, struct relay, backend);

    if (over(r))
        return;
    if (r->detaching)
        finish_detach(r);
    else if (r->joined)
        step(r);
    else
        r->ops->backend(r);
}

/* ---- public ---- */

void relay_init(struct relay *r, struct stream_env *env, const struct relay_ops *ops)
{
    memset(r, 0, sizeof(*r));
    r->env = env;
    r->ops = ops;
    r->client.fd = r->backend.fd = -1;
}

void relay_open_client(struct relay *r, int fd)
{
    stream_open(&r->client, r->env, fd, on_client);
    r->client_open = true;
    steer(r, &r->up);
}

void relay_open_backend(struct relay *r, int fd)
{
    sl_assert(!r->backend_open && r->client_open);
    stream_open(&r->backend, r->env, fd, on_backend);
    r->backend_open = true;
}

void relay_join(struct relay *r, uint32_t unsent)
{
    r->joined = true;
    r->client.tell_sent = r->backend.tell_sent = true;
    r->up.base = r->backend.sent + unsent;
    r->down.base = r->client.sent;
    step(r);
}

void relay_stop(struct relay *r)
{
    if (r->stopping)
        return;
    r->stopping = r->ended = true;
    r->detaching = false;
    if (r->client_open)
        stream_stop(&r->client);
    if (r->backend_open)
        stream_stop(&r->backend);
}

bool relay_idle(const struct relay *r)
{
    return (!r->client_open || stream_idle(&r->client)) &&
           (!r->backend_open || stream_idle(&r->backend));
}

void relay_close(struct relay *r, bool reset_client, bool reset_backend)
{
    sl_assert(relay_idle(r));
    if (r->backend_open)
        stream_close(&r->backend, reset_backend);
    if (r->client_open)
        stream_close(&r->client, reset_client);
    r->client_open = r->backend_open = false;
}

void relay_watch_half_closed(struct relay *r)
{
    if (r->ended || r->watch_half_closed || !r->joined)
        return;
    r->watch_half_closed = true;
    steer(r, &r->up);
    steer(r, &r->down);
}

bool relay_half_closed(const struct relay *r)
{
    return r->client.eof != r->backend.eof;
}

static uint64_t sent_of(const struct stream *s)
{
    return s->sent + (s->tx.armed ? s->tx.send.done : 0);
}

uint64_t relay_progress(const struct relay *r)
{
    return (r->client_open ? sent_of(&r->client) : 0) +
           (r->backend_open ? sent_of(&r->backend) : 0);
}
