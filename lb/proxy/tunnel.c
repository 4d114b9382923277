/* tunnel.c - see tunnel.h. Every event notes what happened in its flow and calls step(), which
 * looks at the whole and starts what is due; so there is one place where decisions are made. */
#include "lb/proxy/tunnel.h"

#include "lb/base/limits.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define SPLICE_AFTER      (128u << 10) /* bytes of unbroken full buffers before a flow splices */
#define MERGE_MAX         1024         /* bytes that are copied rather than kept apart */
#define SMALL_BURST       (8u << 10)   /* a splice that moves less was not worth it */
#define SMALL_BURSTS_MAX  16           /* in a row: back to buffers */
#define SWEEP_INTERVAL_MS 1000         /* a pipe that was quiet for this long is given back */

/* A gathered send. Transient: lives from its start to its completion. */
struct gather {
    struct iovec iov[LIMIT_IOV];
};

/* What a splicing flow needs beyond a flow. */
struct bulk {
    struct list node; /* env->splicing */
    struct flow *flow;
    struct io_pipe *pipe;
    uint64_t active_ms;
    uint32_t small_bursts;
    bool leave; /* go back to buffers as soon as the pipe is empty */
};

static void step(struct tunnel *t);

static struct io *io_of(const struct tunnel *t)
{
    return t->env->loop->io;
}

static struct tunnel *tunnel_of(struct flow *f)
{
    return f->up ? container_of(f, struct tunnel, up) : container_of(f, struct tunnel, down);
}

static int source_fd(const struct tunnel *t, const struct flow *f)
{
    return f->up ? t->client_fd : t->backend_fd;
}

static int sink_fd(const struct tunnel *t, const struct flow *f)
{
    return f->up ? t->backend_fd : t->client_fd;
}

static uint32_t turn_number(const struct tunnel *t)
{
    return (uint32_t)counter_get(&io_stats(io_of(t))->turns);
}

/* A send settles in the turn after its start; one that is still out later waits for its receiver.
 */
static bool tx_blocked(const struct tunnel *t, const struct flow *f)
{
    return f->tx.armed && turn_number(t) - f->tx_turn >= 2;
}

/* ---- the queue of a flow ---- */

/* A few bytes go into the room of the buffer before them, unless that is being sent: a client that
 * dribbles must not hold a whole buffer for each byte. */
static bool merge(struct tunnel *t, struct flow *f, struct io_buf *b)
{
    struct io_buf *last = f->last;

    if (b->len > MERGE_MAX || f->n_bufs <= f->sending || io_buf_room(io_of(t), last) < b->len)
        return false;
    memcpy(last->data + last->len, b->data, b->len);
    last->len += b->len;
    f->queued += b->len;
    io_buf_put(io_of(t), b);
    return true;
}

/* While buffers are short, all bytes move to memory of their own, also those that might go out at
 * once: that a receiver has stopped reading shows only when a send to it is stuck, and then its
 * buffers cannot be got back. So what is held never grows far beyond the shortage. */
static void append_one(struct tunnel *t, struct flow *f, struct io_buf *b)
{
    if (f->last != NULL && merge(t, f, b))
        return;
    b = io_buf_keep(io_of(t), b);
    b->next = NULL;
    if (f->last != NULL)
        f->last->next = b;
    else
        f->first = b;
    f->last = b;
    f->n_bufs++;
    f->queued += b->len;
}

static void append(struct tunnel *t, struct flow *f, struct io_buf *b)
{
    while (b != NULL) {
        struct io_buf *next = b->next;
        append_one(t, f, b);
        b = next;
    }
}

static void drop_front(struct tunnel *t, struct flow *f)
{
    struct io_buf *b = f->first;

    f->first = b->next;
    if (f->first == NULL)
        f->last = NULL;
    f->n_bufs--;
    f->queued -= b->len;
    io_buf_put(io_of(t), b);
}

static void drop_queue(struct tunnel *t, struct flow *f)
{
    while (f->first != NULL)
        drop_front(t, f);
}

/* ---- sending ---- */

static void send_preface(struct tunnel *t)
{
    t->up.sending = 0;
    t->up.tx_turn = turn_number(t);
    io_send(io_of(t), &t->up.tx, t->backend_fd, t->preface, t->preface_len);
}

static void send_queue(struct tunnel *t, struct flow *f)
{
    struct io_buf *b = f->first;

    f->tx_turn = turn_number(t);
    f->sending = 1;
    if (b->next != NULL)
        f->gather = slab_alloc(&t->env->gathers); /* none to be had: one buffer at a time */
    if (f->gather == NULL) {
        io_send(io_of(t), &f->tx, sink_fd(t, f), b->data, b->len);
        return;
    }
    int n = 0;
    for (; b != NULL && n < LIMIT_IOV; b = b->next)
        f->gather->iov[n++] = (struct iovec){b->data, b->len};
    f->sending = (uint16_t)n;
    io_sendv(io_of(t), &f->tx, sink_fd(t, f), f->gather->iov, n);
}

static void pump(struct tunnel *t, struct flow *f)
{
    if (f->tx.armed || f->tx_dead || sink_fd(t, f) < 0)
        return;
    if (f->up && t->preface != NULL && !t->preface_sent)
        send_preface(t);
    else if (f->first != NULL && f->rx_state != RX_SPLICE)
        send_queue(t, f);
}

static void note_moved(struct tunnel *t, struct flow *f, uint32_t n)
{
    f->bytes += n;
    t->env->ops->moved(t, f->up, n);
}

static void on_tx(struct op *op, int res)
{
    struct flow *f = container_of(op, struct flow, tx);
    struct tunnel *t = tunnel_of(f);

    if (f->gather != NULL) {
        slab_free(&t->env->gathers, f->gather);
        f->gather = NULL;
    }
    if (res < 0) {
        f->tx_dead = true;
        if (f->sending > 0 && op->send.done > 0)
            f->bytes += op->send.done; /* some of it went: no other backend may get it again */
    } else if (f->sending == 0) {
        t->preface_sent = true;
    } else {
        for (; f->sending > 0; f->sending--)
            drop_front(t, f);
        note_moved(t, f, (uint32_t)res);
    }
    step(t);
}

/* ---- receiving ---- */

/* Gives the pipe back; one with bytes in it is closed. */
static void end_bulk(struct tunnel *t, struct flow *f)
{
    struct bulk *b = f->bulk;

    if (b == NULL)
        return;
    list_remove(&b->node);
    io_pipe_give(io_of(t), &b->pipe);
    slab_free(&t->env->bulks, b);
    f->bulk = NULL;
    f->streak = 0;
}

static void begin_bulk(struct tunnel *t, struct flow *f)
{
    struct bulk *b = slab_alloc(&t->env->bulks);

    if (b == NULL)
        return;
    b->pipe = io_pipe_take(io_of(t));
    if (b->pipe == NULL) {
        slab_free(&t->env->bulks, b);
        f->streak = 0; /* try again after as much as this */
        return;
    }
    b->flow = f;
    b->active_ms = loop_now_ms(t->env->loop);
    list_init(&b->node);
    list_push_back(&t->env->splicing, &b->node);
    f->bulk = b;
    if (!timer_pending(&t->env->sweep))
        timer_start(&t->env->loop->timers, &t->env->sweep, b->active_ms + SWEEP_INTERVAL_MS);
}

static bool worth_splicing(const struct tunnel *t, const struct flow *f)
{
    if (f->bulk != NULL || f->no_splice || sink_fd(t, f) < 0)
        return false;
    return f->streak >= SPLICE_AFTER || (f->queued >= TUNNEL_HIGH_WATER && tx_blocked(t, f));
}

static void on_data(struct tunnel *t, struct flow *f, uint32_t n)
{
    append(t, f, op_take_bufs(&f->rx));
    if (n < LIMIT_BUF_SIZE)
        f->streak = 0;
    else if (f->streak < SPLICE_AFTER)
        f->streak += n;
    if (worth_splicing(t, f))
        begin_bulk(t, f);
}

static void on_moved(struct tunnel *t, struct flow *f, uint32_t n)
{
    struct bulk *b = f->bulk;

    b->active_ms = loop_now_ms(t->env->loop);
    list_remove(&b->node);
    list_push_back(&t->env->splicing, &b->node);
    b->small_bursts = n < SMALL_BURST ? b->small_bursts + 1 : 0;
    if (b->small_bursts >= SMALL_BURSTS_MAX)
        b->leave = true;
    note_moved(t, f, n);
}

static void on_splice_end(struct tunnel *t, struct flow *f, int res)
{
    bool left_over = io_pipe_fill(f->bulk->pipe) > 0;

    if (res == -ECANCELED) {
        f->bulk->leave = f->bulk->leave && !left_over; /* left over: splicing on sends it */
        if (f->bulk->leave)
            end_bulk(t, f);
        return;
    }
    if (res == 0) {
        f->eof = true;
    } else if (res == -EINVAL && !left_over) {
        f->no_splice = true;
    } else if (io_pipe_error_on_in(f->bulk->pipe)) {
        f->error = res;
    } else {
        f->tx_dead = true;
    }
    end_bulk(t, f);
}

static void on_watch(struct flow *f, int res)
{
    if (res == -ECANCELED)
        return;
    f->no_watch = true;
    if (res < 0)
        f->error = res;
    else if (res & POLLERR)
        f->error = -ECONNRESET;
}

static void on_rx(struct op *op, int res)
{
    struct flow *f = container_of(op, struct flow, rx);
    struct tunnel *t = tunnel_of(f);
    enum rx_state was = f->rx_state;

    if (!op->armed)
        f->rx_state = RX_NONE;
    if (was == RX_WATCH)
        on_watch(f, res);
    else if (res > 0 && was == RX_STREAM)
        on_data(t, f, (uint32_t)res);
    else if (res > 0)
        on_moved(t, f, (uint32_t)res);
    else if (was == RX_SPLICE)
        on_splice_end(t, f, res);
    else if (res == 0)
        f->eof = true;
    else if (res != -ECANCELED)
        f->error = res;
    step(t);
}

/* What the receiving side of a flow should be doing now. */
static enum rx_state rx_goal(const struct tunnel *t, struct flow *f)
{
    if (f->error != 0 || source_fd(t, f) < 0)
        return RX_NONE;
    if (f->eof)
        return t->watch_half_closed ? RX_WATCH : RX_NONE;
    if (f->tx_dead)
        return RX_WATCH;
    if (f->bulk != NULL && !f->bulk->leave)
        return f->first == NULL && !f->tx.armed ? RX_SPLICE : RX_WATCH;
    if (f->bulk != NULL)
        return f->rx_state == RX_SPLICE ? RX_NONE : RX_STREAM;
    if (f->paused)
        f->paused = f->queued > 0;
    else
        f->paused = f->queued >= TUNNEL_HIGH_WATER && (sink_fd(t, f) < 0 || tx_blocked(t, f));
    return f->paused ? RX_WATCH : RX_STREAM;
}

static void steer(struct tunnel *t, struct flow *f)
{
    enum rx_state goal = rx_goal(t, f);

    if (f->rx_state == goal)
        return;
    if (f->rx.armed) { /* on its end, step() comes here again */
        io_cancel(io_of(t), &f->rx);
        return;
    }
    if (goal == RX_WATCH && f->no_watch)
        return;
    f->rx_state = goal;
    switch (goal) {
    case RX_NONE:
        return;
    case RX_STREAM:
        io_recv(io_of(t), &f->rx, source_fd(t, f));
        return;
    case RX_WATCH:
        io_poll(io_of(t), &f->rx, source_fd(t, f), 0);
        return;
    case RX_SPLICE:
        io_splice(io_of(t), &f->rx, source_fd(t, f), sink_fd(t, f), f->bulk->pipe);
        return;
    }
}

/* Once a second: pipes (and their descriptors) of flows that went quiet are given back. */
static void on_sweep(struct timer *timer)
{
    struct tunnel_env *env = container_of(timer, struct tunnel_env, sweep);
    uint64_t now = loop_now_ms(env->loop);

    list_for_each_safe (node, next, &env->splicing) {
        struct bulk *b = list_entry(node, struct bulk, node);
        if (b->active_ms + SWEEP_INTERVAL_MS > now)
            break;
        if (b->flow->rx_state != RX_SPLICE || io_pipe_fill(b->pipe) > 0)
            continue;
        b->leave = true;
        io_cancel(env->loop->io, &b->flow->rx);
    }
    if (!list_empty(&env->splicing))
        timer_start(&env->loop->timers, &env->sweep, now + SWEEP_INTERVAL_MS);
}

/* ---- ends ---- */

static void end(struct tunnel *t, bool finished, enum tunnel_side side, int error)
{
    const struct tunnel_end e = {.finished = finished, .side = side, .error = error};

    if (t->ended)
        return;
    t->ended = true;
    t->env->ops->ended(t, &e);
}

/* The backend is let go while the client stays: waits until nothing is armed on it. */
static void finish_detach(struct tunnel *t)
{
    if (t->down.rx.armed || t->up.tx.armed || t->up.rx_state == RX_SPLICE)
        return;
    t->detaching = false;
    if (!tunnel_untouched(t) || t->down.first != NULL) { /* a byte came after all */
        end(t, false, TUNNEL_BACKEND, -ECONNRESET);
        return;
    }
    end_bulk(t, &t->up);
    end_bulk(t, &t->down);
    int fd = t->backend_fd;
    t->backend_fd = -1;
    t->up.tx_dead = false;
    t->up.sending = 0;
    t->up.no_splice = t->down.no_splice = t->down.no_watch = false;
    t->down.eof = t->down.paused = false;
    t->up.eof_passed = false; /* the next backend is to hear of it too */
    t->down.error = 0;
    t->preface = NULL;
    t->preface_sent = false;
    t->env->ops->detached(t, fd);
}

/* True when the backend is gone before any byte moved and the owner wants to try another. */
static bool lost_early(struct tunnel *t)
{
    bool lost = t->down.eof || t->down.error != 0 || t->up.tx_dead;

    if (!lost || t->backend_fd < 0 || !tunnel_untouched(t) || t->down.first != NULL ||
        t->up.tx.armed || t->down.eof_passed)
        return false;
    int error = t->down.error != 0 ? t->down.error : t->up.tx_dead ? -EPIPE : 0;
    if (error == 0 && t->up.eof_passed) /* the client had nothing to say, and this is the answer */
        return false;
    if (!t->env->ops->early_loss(t, error))
        return false;
    t->detaching = true;
    io_cancel(io_of(t), &t->down.rx);
    finish_detach(t);
    return true;
}

/* An end of stream is passed on when everything before it has gone out. The second one needs no
 * shutdown: both descriptors are closed right after. */
static void pass_eof(struct tunnel *t, struct flow *f)
{
    const struct flow *other = f->up ? &t->down : &t->up;

    if (!f->eof || f->eof_passed || f->first != NULL || f->tx.armed || sink_fd(t, f) < 0)
        return;
    if (f->up && t->preface != NULL && !t->preface_sent)
        return;
    f->eof_passed = true;
    if (other->eof_passed)
        return;
    if (!f->tx_dead)
        io_shutdown(io_of(t), sink_fd(t, f), SHUT_WR);
    t->env->ops->half_closed(t);
}

/* Whether it is over, and whose fault. A client that reset ends it at once; what a backend sent
 * before it failed is delivered first. A side that takes no more may still have something to say.
 */
static bool check_end(struct tunnel *t)
{
    struct flow *up = &t->up, *down = &t->down;

    if (up->error != 0) {
        end(t, false, TUNNEL_CLIENT, up->error);
    } else if (down->error != 0 && (down->first == NULL || down->tx_dead) && !down->tx.armed) {
        end(t, false, TUNNEL_BACKEND, down->error);
    } else if (down->tx_dead) {
        end(t, false, TUNNEL_CLIENT, -EPIPE);
    } else if (up->tx_dead && down->eof_passed) {
        end(t, false, TUNNEL_BACKEND, -EPIPE);
    } else if (up->eof_passed && down->eof_passed) {
        end(t, true, TUNNEL_CLIENT, 0);
    }
    return t->ended;
}

static void step(struct tunnel *t)
{
    if (t->stopping) {
        if (tunnel_idle(t))
            t->env->ops->stopped(t);
        return;
    }
    if (t->ended)
        return;
    if (t->detaching) {
        finish_detach(t);
        return;
    }
    if (lost_early(t))
        return;
    pump(t, &t->up);
    pump(t, &t->down);
    pass_eof(t, &t->up);
    pass_eof(t, &t->down);
    if (check_end(t))
        return;
    steer(t, &t->up);
    steer(t, &t->down);
    if (t->backend_fd < 0 && (t->up.first != NULL || t->up.eof))
        t->env->ops->arrived(t);
}

/* ---- public ---- */

void tunnel_env_init(struct tunnel_env *env, struct loop *loop, const struct tunnel_ops *ops)
{
    env->loop = loop;
    env->ops = ops;
    slab_init(&env->gathers, "gather", sizeof(struct gather), 0);
    slab_init(&env->bulks, "bulk", sizeof(struct bulk), 0);
    list_init(&env->splicing);
    timer_init(&env->sweep, on_sweep);
}

void tunnel_env_fini(struct tunnel_env *env)
{
    timer_stop(&env->loop->timers, &env->sweep);
    sl_assert(list_empty(&env->splicing));
    slab_fini(&env->gathers);
    slab_fini(&env->bulks);
}

void tunnel_init(struct tunnel *t, struct tunnel_env *env)
{
    memset(t, 0, sizeof(*t));
    t->env = env;
    t->client_fd = t->backend_fd = -1;
    t->up.up = true;
    op_init(&t->up.rx, on_rx);
    op_init(&t->up.tx, on_tx);
    op_init(&t->down.rx, on_rx);
    op_init(&t->down.tx, on_tx);
}

void tunnel_open_client(struct tunnel *t, int fd)
{
    t->client_fd = fd;
    steer(t, &t->up);
}

void tunnel_open_backend(struct tunnel *t, int fd, const void *preface, uint16_t preface_len)
{
    t->backend_fd = fd;
    t->preface = preface_len > 0 ? preface : NULL;
    t->preface_len = preface_len;
    t->down.rx.fresh = true; /* it has had no time to say anything */
    step(t);
    t->down.rx.fresh = false;
}

void tunnel_consume(struct tunnel *t, uint32_t n)
{
    struct flow *f = &t->up;

    sl_assert(n <= f->queued && f->sending == 0);
    while (n > 0) {
        uint32_t part = f->first->len < n ? f->first->len : n;
        f->first->data += part;
        f->first->len -= part;
        f->queued -= part;
        n -= part;
        if (f->first->len == 0)
            drop_front(t, f);
    }
}

void tunnel_stop(struct tunnel *t)
{
    if (t->stopping)
        return;
    t->stopping = true;
    t->ended = true;
    io_cancel(io_of(t), &t->up.rx);
    io_cancel(io_of(t), &t->up.tx);
    io_cancel(io_of(t), &t->down.rx);
    io_cancel(io_of(t), &t->down.tx);
}

bool tunnel_idle(const struct tunnel *t)
{
    return !t->up.rx.armed && !t->up.tx.armed && !t->down.rx.armed && !t->down.tx.armed;
}

void tunnel_fini(struct tunnel *t)
{
    sl_assert(tunnel_idle(t));
    end_bulk(t, &t->up);
    end_bulk(t, &t->down);
    drop_queue(t, &t->up);
    drop_queue(t, &t->down);
}

void tunnel_watch_half_closed(struct tunnel *t)
{
    if (t->ended || t->watch_half_closed)
        return;
    t->watch_half_closed = true;
    step(t);
}

static uint64_t flow_progress(const struct flow *f)
{
    return f->bytes + (f->tx.armed ? f->tx.send.done : 0);
}

uint64_t tunnel_progress(const struct tunnel *t)
{
    return flow_progress(&t->up) + flow_progress(&t->down);
}
