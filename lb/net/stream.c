/* stream.c - see stream.h */
#include "lb/net/stream.h"

#include "lb/base/limits.h"
#include "lb/net/stream_tls_kernel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define MERGE_MAX  1024 /* bytes that are copied rather than kept apart */
#define WRITE_ROOM 512  /* of a buffer for bytes that are written, at least */

/* What is sealed, and who may go on opening, is stream_tls.c's. */
static inline bool has_tls(const struct stream *s)
{
    return s->tls != NULL;
}

/* What is queued is sealed here. */
static inline bool seals(const struct stream *s)
{
    return s->tls != NULL && !s->kernel_seals;
}

/* Transient: lives from the start of a send to its completion. */
struct stream_gather {
    struct iovec iov[LIMIT_IOV];
};

static struct io *io_of(const struct stream *s)
{
    return s->env->loop->io;
}

static uint32_t turn_number(const struct stream *s)
{
    return (uint32_t)counter_get(&io_stats(io_of(s))->turns);
}

/* ---- chains ---- */

/* A peer that sends a few bytes at a time must not hold a buffer for each. */
static bool merge_in(struct stream *s, const struct io_buf *b)
{
    struct io_buf *last = s->in_last;

    if (last == NULL || b->len > MERGE_MAX || io_buf_room(io_of(s), last) < b->len)
        return false;
    memcpy(last->data + last->len, b->data, b->len);
    last->len += b->len;
    return true;
}

static void push_in(struct stream *s, struct io_buf *first)
{
    for (struct io_buf *b = first, *next; b != NULL; b = next) {
        next = b->next;
        s->in_bytes += b->len;
        if (merge_in(s, b)) {
            io_buf_put(io_of(s), b);
            continue;
        }
        b->next = NULL;
        if (s->in_last != NULL)
            s->in_last->next = b;
        else
            s->in = b;
        s->in_last = b;
    }
}

void stream_push_in(struct stream *s, struct io_buf *chain)
{
    push_in(s, chain);
}

static void pop_in(struct stream *s)
{
    struct io_buf *b = s->in;

    s->in = b->next;
    if (s->in == NULL)
        s->in_last = NULL;
    s->in_bytes -= b->len;
    io_buf_put(io_of(s), b);
}

void stream_consume(struct stream *s, uint32_t n)
{
    sl_assert(n <= s->in_bytes);
    while (n > 0) {
        struct io_buf *b = s->in;
        uint32_t part = b->len < n ? b->len : n;
        b->data += part;
        b->len -= part;
        s->in_bytes -= part;
        n -= part;
        if (b->len == 0)
            pop_in(s);
    }
    if (has_tls(s))
        stream_tls_wanted(s);
}

/* Splits b behind n bytes; the shorter part moves to a buffer of its own. The front, or NULL. */
static struct io_buf *split(struct stream *s, struct io_buf *b, uint32_t n)
{
    uint32_t rest = b->len - n;
    struct io_buf *other = io_buf_new(io_of(s), n <= rest ? n : rest);

    if (other == NULL)
        return NULL;
    if (n <= rest) {
        memcpy(other->data, b->data, n);
        other->len = n;
        other->next = b;
        b->data += n;
        b->len -= n;
        return other;
    }
    memcpy(other->data, b->data + n, rest);
    other->len = rest;
    other->next = b->next;
    b->next = other;
    b->len = n;
    return b;
}

struct io_buf *stream_take(struct stream *s, uint32_t n)
{
    struct io_buf **at = &s->in, *first = s->in;
    uint32_t left = n;

    sl_assert(n <= s->in_bytes);
    if (n == s->in_bytes) {
        s->in = s->in_last = NULL;
        s->in_bytes = 0;
        if (has_tls(s))
            stream_tls_wanted(s);
        return first;
    }
    while (left > 0 && (*at)->len <= left) {
        left -= (*at)->len;
        at = &(*at)->next;
    }
    if (left > 0) {
        struct io_buf *b = *at, *front = split(s, b, left);
        if (front == NULL)
            return NULL;
        *at = front;
        if (s->in_last == b && front->next != NULL && front == b)
            s->in_last = front->next;
        at = &front->next;
    }
    first = s->in;
    s->in = *at;
    *at = NULL;
    s->in_bytes -= n;
    if (has_tls(s))
        stream_tls_wanted(s);
    return n > 0 ? first : NULL;
}

void stream_unread(struct stream *s, struct io_buf *chain)
{
    struct io_buf *old = s->in, *old_last = s->in_last;

    s->in = s->in_last = NULL;
    push_in(s, chain);
    if (old == NULL)
        return;
    if (s->in_last != NULL)
        s->in_last->next = old;
    else
        s->in = old;
    s->in_last = old_last;
}

bool stream_gather_front(struct stream *s, uint32_t n)
{
    if (s->in->len >= n)
        return true;
    if (s->in->len + io_buf_room(io_of(s), s->in) < n) {
        uint32_t room = n < WRITE_ROOM ? WRITE_ROOM : n;
        struct io_buf *b = io_buf_new(io_of(s), room * 2); /* more will come */
        if (b == NULL)
            return false;
        memcpy(b->data, s->in->data, s->in->len);
        b->len = s->in->len;
        b->next = s->in->next;
        if (s->in_last == s->in)
            s->in_last = b;
        io_buf_put(io_of(s), s->in);
        s->in = b;
    }
    while (s->in->len < n) {
        struct io_buf *next = s->in->next;
        uint32_t part = n - s->in->len < next->len ? n - s->in->len : next->len;
        memcpy(s->in->data + s->in->len, next->data, part);
        s->in->len += part;
        next->data += part;
        next->len -= part;
        if (next->len > 0)
            continue;
        s->in->next = next->next;
        if (s->in_last == next)
            s->in_last = s->in;
        io_buf_put(io_of(s), next);
    }
    return true;
}

/* ---- sending ---- */

static void drop_out(struct stream *s)
{
    struct io_buf *b = s->out;

    s->out = b->next;
    if (s->out == NULL)
        s->out_last = NULL;
    s->n_out--;
    s->out_bytes -= b->len;
    io_buf_put(io_of(s), b);
}

static void drop_all_out(struct stream *s)
{
    while (s->out != NULL)
        drop_out(s);
}

void stream_drop_out(struct stream *s)
{
    drop_all_out(s);
}

struct io_buf *stream_pop_out(struct stream *s)
{
    struct io_buf *b = s->out;

    s->out = b->next;
    if (s->out == NULL)
        s->out_last = NULL;
    s->n_out--;
    return b;
}

static bool may_append(const struct stream *s, uint32_t len)
{
    return s->out_last != NULL && s->n_out > s->sending &&
           io_buf_room(io_of(s), s->out_last) >= len;
}

static void append_bytes(struct stream *s, const void *data, uint32_t len)
{
    memcpy(s->out_last->data + s->out_last->len, data, len);
    s->out_last->len += len;
    s->out_bytes += len;
}

static void append_buf(struct stream *s, struct io_buf *b)
{
    b->next = NULL;
    if (s->out_last != NULL)
        s->out_last->next = b;
    else
        s->out = b;
    s->out_last = b;
    s->n_out++;
    s->out_bytes += b->len;
}

bool stream_blocked(const struct stream *s)
{
    return s->tx.armed && turn_number(s) - s->tx_turn >= 2;
}

void stream_queue(struct stream *s, struct io_buf *chain)
{
    while (chain != NULL) {
        struct io_buf *b = chain;
        chain = b->next;
        if (s->tx_dead || s->shut_asked || b->len == 0) {
            io_buf_put(io_of(s), b);
        } else if (b->len <= MERGE_MAX && may_append(s, b->len)) {
            append_bytes(s, b->data, b->len);
            io_buf_put(io_of(s), b);
        } else {
            append_buf(s, io_buf_keep(io_of(s), b));
        }
    }
}

bool stream_write(struct stream *s, const void *data, uint32_t len)
{
    if (s->tx_dead || s->shut_asked || len == 0)
        return true;
    if (may_append(s, len)) {
        append_bytes(s, data, len);
        return true;
    }
    struct io_buf *b = io_buf_new(io_of(s), len < WRITE_ROOM ? WRITE_ROOM : len);
    if (b == NULL)
        return false;
    memcpy(b->data, data, len);
    b->len = len;
    append_buf(s, b);
    return true;
}

void stream_shutdown_now(struct stream *s)
{
    if (s->shut || s->tx_dead || s->kernel_waits)
        return;
    if (s->kernel_seals && !stream_tls_kernel_notify(s))
        return;
    s->shut = true;
    io_shutdown(io_of(s), s->fd, SHUT_WR);
}

struct iovec *stream_gather_vector(struct stream *s)
{
    return s->gather->iov;
}

void stream_flush(struct stream *s)
{
    struct io_buf *b = s->out;

    if (seals(s)) {
        stream_tls_flush(s);
        return;
    }
    if (s->tx.armed || s->tx_dead || s->stopping)
        return;
    if (b == NULL) {
        if (s->shut_asked)
            stream_shutdown_now(s);
        return;
    }
    s->tx_turn = turn_number(s);
    s->sending = 1;
    if (b->next != NULL)
        s->gather = slab_alloc(&s->env->gathers); /* none to be had: one buffer at a time */
    if (s->gather == NULL) {
        io_send(io_of(s), &s->tx, s->fd, b->data, b->len);
        return;
    }
    int n = 0;
    for (; b != NULL && n < LIMIT_IOV; b = b->next)
        s->gather->iov[n++] = (struct iovec){b->data, b->len};
    s->sending = (uint16_t)n;
    io_sendv(io_of(s), &s->tx, s->fd, s->gather->iov, n);
}

bool stream_takes_file(const struct stream *s, uint64_t n)
{
    return !seals(s) || (s->tls->kernel != NULL && s->tls->ready && n >= TLS_KERNEL_FILE_MIN);
}

uint32_t stream_send_file(struct stream *s, int file, uint64_t offset, uint64_t n)
{
    uint32_t len = n < LIMIT_TURN_SPLICE ? (uint32_t)n : LIMIT_TURN_SPLICE;

    if (!stream_takes_file(s, n) || !stream_sent_all(s) || s->tx_dead || s->stopping ||
        s->shut_asked || (has_tls(s) && !stream_tls_kernel_begin(s)))
        return 0;
    s->tx_turn = turn_number(s);
    s->sends_file = true;
    if (io_send_file(io_of(s), &s->tx, s->fd, file, offset, len))
        return len;
    s->sends_file = false;
    return 0;
}

void stream_send_file_stop(struct stream *s)
{
    if (s->sends_file)
        io_send_file_drop(io_of(s), &s->tx);
}

void stream_shutdown(struct stream *s)
{
    s->shut_asked = true;
    stream_flush(s);
}

/* Bad news that waited for the end of a send. */
static bool tell_late(struct stream *s)
{
    return s->kernel_seals && s->tls->failed && !s->tls->told && !s->tx.armed &&
           stream_tls_tell_failure(s);
}

static void on_tx(struct op *op, int res)
{
    struct stream *s = container_of(op, struct stream, tx);

    if (s->gather != NULL) {
        slab_free(&s->env->gathers, s->gather);
        s->gather = NULL;
    }
    if (s->kernel_waits) {
        s->kernel_waits = false;
        if (!s->stopping)
            stream_flush(s);
        s->event(s);
        return;
    }
    if (seals(s)) {
        if (stream_tls_sent(s, res) || s->stopping || (s->tell_sent && stream_sent_all(s)))
            s->event(s);
        return;
    }
    if (res < 0) {
        s->sent += s->sends_file ? op->send_file.done : op->send.done;
        s->file_error = s->sends_file && res == -ENODATA;
        s->sends_file = false;
        s->sending = 0;
        s->tx_dead = true;
        s->tx_error = res;
        drop_all_out(s);
        tell_late(s);
        s->event(s);
        return;
    }
    s->sent += (uint32_t)res;
    if (s->sends_file) {
        s->sends_file = false;
        s->spliced += (uint32_t)res;
        stream_flush(s);
        tell_late(s);
        s->event(s);
        return;
    }
    for (; s->sending > 0; s->sending--)
        drop_out(s);
    stream_flush(s);
    if (tell_late(s) || s->stopping || (s->tell_sent && stream_sent_all(s)))
        s->event(s);
}

/* ---- receiving ---- */

/* Bytes that their owner has left where they are may stay for long. */
static void keep_in(struct stream *s)
{
    for (struct io_buf **at = &s->in; *at != NULL; at = &(*at)->next) {
        *at = io_buf_keep(io_of(s), *at);
        s->in_last = *at;
    }
}

/* What is received may stay here for long: when receive buffers are short it stays in memory of its
 * own size, so that those who wait cannot starve those who would let them go on. */
static struct io_buf *keep(struct stream *s, struct io_buf *chain)
{
    for (struct io_buf **at = &chain; *at != NULL; at = &(*at)->next)
        *at = io_buf_keep(io_of(s), *at);
    return chain;
}

static void on_watch(struct stream *s, int res)
{
    if (res == -ECANCELED)
        return;
    if (res > 0 && (res & (POLLERR | POLLHUP)) == 0) {
        s->peer_ended = true; /* from now on errors only */
        return;
    }
    s->no_watch = true;
    s->peer_ended = s->peer_ended || (s->watch_end && res > 0); /* unix sockets say it so only */
    if (res < 0)
        s->error = res;
    else if (res & POLLERR)
        s->error = -ECONNRESET;
}

static void end_splice(struct stream *s, int res)
{
    struct stream *to = s->splice_to;
    bool left_over = io_pipe_fill(s->pipe) > 0;

    if (res == -EINVAL && !left_over) {
        s->no_splice = true;
    } else if (res < 0 && res != -ECANCELED && !io_pipe_error_on_in(s->pipe)) {
        to->tx_dead = true;
        to->tx_error = res;
    } else if (res < 0 && res != -ECANCELED) {
        s->error = res;
    } else if (res == 0 && io_pipe_left(s->pipe) > 0) {
        s->eof = true;
    }
    s->splice_to = NULL;
    to->spliced_into = false;
    io_pipe_give(io_of(s), &s->pipe);
}

static void receive_some(struct stream *s)
{
    s->some = io_buf_new(io_of(s), STREAM_SOME);
    if (s->some == NULL) {
        s->error = -ENOMEM;
        return;
    }
    s->rx_state = STREAM_RX_SOME;
    io_recv_into(io_of(s), &s->rx, s->fd, s->some->data, STREAM_SOME);
}

static void on_some(struct stream *s, int res)
{
    struct io_buf *b = s->some;

    s->some = NULL;
    if (res <= 0 || s->stopping) {
        io_buf_put(io_of(s), b);
        if (res == 0)
            s->eof = true;
        else if (res < 0 && res != -ECANCELED)
            s->error = res;
        return;
    }
    b->len = (uint32_t)res;
    push_in(s, b);
    if (s->want == STREAM_READ_SOME)
        s->want = STREAM_QUIET;
}

/* What a stream with TLS receives is not for its owner as it is. */
static void on_rx_tls(struct stream *s, struct op *op, int res)
{
    bool tell;

    if (res > 0) {
        struct io_buf *chain = op_take_bufs(op);
        tell = s->stopping;
        if (s->stopping)
            io_buf_put_chain(io_of(s), chain);
        else
            tell = stream_tls_received(s, keep(s, chain));
    } else if (res == 0) {
        tell = stream_tls_ended(s) || s->stopping;
    } else {
        tell = res != -ECANCELED || s->stopping;
        if (res != -ECANCELED)
            s->error = res;
    }
    stream_steer(s);
    if (tell)
        s->event(s);
}

static void on_rx(struct op *op, int res)
{
    struct stream *s = container_of(op, struct stream, rx);
    enum stream_rx was = s->rx_state;
    struct stream *to = s->splice_to;

    if (!op->armed)
        s->rx_state = STREAM_RX_NONE;
    if (was == STREAM_RX_READ && has_tls(s)) {
        on_rx_tls(s, op, res);
        return;
    }
    if (was == STREAM_RX_POLL) {
        if (res != -ECANCELED && !s->stopping && s->want == STREAM_READ_SOME)
            receive_some(s);
        stream_steer(s);
        if (s->stopping || s->error != 0)
            s->event(s);
        return;
    }
    if (was == STREAM_RX_SOME) {
        on_some(s, res);
    } else if (res > 0 && was == STREAM_RX_READ) {
        struct io_buf *chain = op_take_bufs(op);
        if (s->stopping)
            io_buf_put_chain(io_of(s), chain);
        else
            push_in(s, keep(s, chain));
    } else if (was == STREAM_RX_WATCH) {
        on_watch(s, res);
    } else if (was == STREAM_RX_SPLICE && res > 0) {
        s->spliced += (uint32_t)res;
        s->splice_to->sent += (uint32_t)res;
    } else if (was == STREAM_RX_SPLICE) {
        end_splice(s, res);
    } else if (res == 0) {
        s->eof = true;
    } else if (res != -ECANCELED) {
        s->error = res;
    }
    bool quiet =
        res == -ECANCELED && !s->stopping && was != STREAM_RX_SPLICE && s->want != STREAM_QUIET;
    bool to_waits = was == STREAM_RX_SPLICE && !op->armed && to->stopping && stream_idle(to);
    stream_steer(s);
    if (!quiet)
        s->event(s);
    if (to_waits) /* this was the last thing that held it */
        to->event(to);
}

/* What the receiving side should be doing now. */
static enum stream_rx goal(const struct stream *s)
{
    if (s->stopping || s->error != 0 || s->want == STREAM_QUIET || s->rx_state == STREAM_RX_SPLICE)
        return s->rx_state == STREAM_RX_SPLICE && !s->stopping ? STREAM_RX_SPLICE : STREAM_RX_NONE;
    if (s->want == STREAM_WATCH || s->eof || (has_tls(s) && stream_tls_full(s)))
        return s->no_watch ? STREAM_RX_NONE : STREAM_RX_WATCH;
    if (s->want == STREAM_READ_SOME)
        return s->rx_state == STREAM_RX_SOME ? STREAM_RX_SOME : STREAM_RX_POLL;
    return STREAM_RX_READ;
}

void stream_steer(struct stream *s)
{
    enum stream_rx to = goal(s);

    if (s->rx_state == to)
        return;
    if (s->rx.armed) { /* on its end we come here again */
        io_cancel(io_of(s), &s->rx);
        return;
    }
    s->rx_state = to;
    if (to == STREAM_RX_READ)
        io_recv(io_of(s), &s->rx, s->fd);
    else if (to == STREAM_RX_POLL)
        io_poll(io_of(s), &s->rx, s->fd, POLLIN);
    else if (to == STREAM_RX_WATCH)
        io_poll(io_of(s), &s->rx, s->fd, s->watch_end && !s->eof && !s->peer_ended ? POLLRDHUP : 0);
}

void stream_read(struct stream *s, enum stream_read want)
{
    if (has_tls(s) && want == STREAM_READ_SOME)
        want = STREAM_READ; /* nothing is spliced */
    s->want = want;
    if (has_tls(s) && want == STREAM_READ)
        stream_tls_wanted(s);
    if (want != STREAM_READ && s->in != NULL)
        keep_in(s);
    stream_steer(s);
}

bool stream_splice(struct stream *from, struct stream *to, uint64_t n)
{
    sl_assert(from->tls == NULL && to->tls == NULL);
    if (from->rx_state == STREAM_RX_SPLICE)
        return true;
    if (has_tls(to)) /* what it sends is not what comes */
        from->no_splice = true;
    if (from->no_splice || from->stopping || to->stopping || from->eof || from->error != 0)
        return false;
    if (from->rx.armed) {
        from->want = STREAM_QUIET;
        stream_steer(from);
        return false;
    }
    if (from->in != NULL || !stream_sent_all(to) || to->tx_dead)
        return false;
    from->pipe = io_pipe_take(io_of(from));
    if (from->pipe == NULL) {
        from->no_splice = true;
        return false;
    }
    from->rx_state = STREAM_RX_SPLICE;
    from->splice_to = to;
    to->spliced_into = true;
    io_splice_n(io_of(from), &from->rx, from->fd, to->fd, from->pipe, n);
    return true;
}

void stream_splice_stop(struct stream *from)
{
    if (from->rx_state == STREAM_RX_SPLICE)
        io_cancel(io_of(from), &from->rx);
}

bool stream_splice_blocked(const struct stream *from)
{
    return from->rx_state == STREAM_RX_SPLICE && io_pipe_fill(from->pipe) > 0;
}

/* ---- life ---- */

void stream_env_init(struct stream_env *env, struct loop *loop)
{
    env->loop = loop;
    slab_init(&env->gathers, "gather", sizeof(struct stream_gather), 0);
}

void stream_env_fini(struct stream_env *env)
{
    slab_fini(&env->gathers);
}

void stream_open(struct stream *s, struct stream_env *env, int fd, stream_fn *event)
{
    memset(s, 0, sizeof(*s));
    op_init(&s->rx, on_rx);
    op_init(&s->tx, on_tx);
    s->env = env;
    s->event = event;
    s->fd = fd;
}

void stream_stop(struct stream *s)
{
    s->stopping = true;
    io_cancel(io_of(s), &s->rx);
    io_cancel(io_of(s), &s->tx);
}

int stream_detach(struct stream *s)
{
    int fd = s->fd;

    sl_assert(stream_idle(s) && s->pipe == NULL && s->gather == NULL);
    if (has_tls(s))
        stream_tls_close(s);
    io_buf_put_chain(io_of(s), s->in);
    s->in = s->in_last = NULL;
    s->in_bytes = 0;
    drop_all_out(s);
    s->fd = -1;
    return fd;
}

void stream_close(struct stream *s, bool reset)
{
    int fd = stream_detach(s);

    if (fd < 0)
        return;
    if (reset)
        io_reset(io_of(s), fd);
    else
        io_close(io_of(s), fd);
}
