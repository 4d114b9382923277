/* io.c - what the engines share: choosing one, arming, delivering, immediate calls.
 *
 * Arming fills the op and hands it to the engine; engines note results (io_note*) and io_turn()
 * delivers them. See io_priv.h for how a turn goes. */
#include "lb/io/io.h"

#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/io/io_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* ---- life ---- */

void io_common_init(struct io *io, const struct io_engine *engine, const struct io_conf *conf)
{
    uint64_t seed = 0;

    io->engine = engine;
    io_bufs_init(&io->bufs, conf->bufs_max ? conf->bufs_max : LIMIT_BUFS);
    list_init(&io->pipes_idle);
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
        seed = (uint64_t)time(NULL) ^ (uint64_t)(uintptr_t)io;
    rng_seed(&io->rng, seed);
    io_clock_update(io);
}

void io_common_fini(struct io *io)
{
    sl_assert(io->ready_first == NULL && io->accepted_at == io->accepted_n);
    while (!list_empty(&io->pipes_idle)) {
        struct io_pipe *p = list_entry(list_pop_front(&io->pipes_idle), struct io_pipe, node);
        close(p->rd);
        close(p->wr);
        free(p);
    }
    free(io->accepted);
    io_bufs_fini(&io->bufs);
}

void io_probe(struct io_probe *out_probe)
{
    io_uring_probe(out_probe);
}

struct io *io_new(const struct io_conf *conf, int *out_error)
{
    struct io_probe probe;

    if (conf->engine == IO_EPOLL)
        return io_epoll_engine_new(conf, out_error);
    if (conf->engine == IO_URING)
        return io_uring_engine_new(conf, out_error);
    io_probe(&probe);
    if (probe.uring) {
        struct io *io = io_uring_engine_new(conf, out_error);
        if (io != NULL)
            return io;
    }
    return io_epoll_engine_new(conf, out_error);
}

void io_free(struct io **io)
{
    if (*io == NULL)
        return;
    file_pool_free(&(*io)->files);
    (*io)->engine->free(*io);
    *io = NULL;
}

enum io_engine_kind io_engine(const struct io *io)
{
    return io->engine->kind;
}

const char *io_engine_name(const struct io *io)
{
    return io->engine->name;
}

const struct io_stats *io_stats(const struct io *io)
{
    return &io->stats;
}

/* ---- time ---- */

void io_clock_update(struct io *io)
{
    struct timespec ts;

    if (io->engine->clock != NULL) {
        io->engine->clock(io);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &ts);
    io->now_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
    clock_gettime(CLOCK_REALTIME, &ts);
    io->wall_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t io_now_us(const struct io *io)
{
    return io->now_us;
}

uint64_t io_wall_us(const struct io *io)
{
    return io->wall_us;
}

uint64_t io_random(struct io *io)
{
    return io->engine->random ? io->engine->random(io) : rng_next(&io->rng);
}

/* op->aux of a watch: what is to be delivered. */
enum { WATCH_SHOWS = 1, WATCH_OVER = 2 };

/* ---- notes: from the reap pass to the run pass ---- */

static void make_ready(struct io *io, struct op *op)
{
    if (op->ready)
        return;
    op->ready = true;
    op->next_ready = NULL;
    if (io->ready_last != NULL)
        io->ready_last->next_ready = op;
    else
        io->ready_first = op;
    io->ready_last = op;
}

void io_note(struct io *io, struct op *op, int res)
{
    sl_assert(op->armed);
    if (op->kind == OP_RECV)
        op->recv.end = res;
    else if (op->kind == OP_SPLICE)
        op->splice.pipe->noted = true;
    else if (op->kind == OP_WATCH)
        op->aux |= WATCH_OVER;
    op->res = res;
    make_ready(io, op);
}

void io_note_accepted(struct io *io, struct op *op, int fd)
{
    if (io->accepted_n == io->accepted_cap) {
        io->accepted_cap = io->accepted_cap ? io->accepted_cap * 2 : 64;
        io->accepted = xrealloc(io->accepted, io->accepted_cap * sizeof(*io->accepted));
    }
    io->accepted[io->accepted_n++] = (struct io_accepted){op, fd};
    counter_add(&io->stats.accepts, 1);
}

void io_note_buf(struct io *io, struct op *op, struct io_buf *buf)
{
    buf->next = NULL;
    if (op->recv.last != NULL)
        op->recv.last->next = buf;
    else
        op->recv.first = buf;
    op->recv.last = buf;
    counter_add(&io->stats.recvs, 1);
    make_ready(io, op);
}

void io_note_moved(struct io *io, struct op *op, uint32_t bytes)
{
    op->splice.pipe->moved += bytes;
    counter_add(&io->stats.bytes_spliced, bytes);
    make_ready(io, op);
}

void io_note_shows(struct io *io, struct op *op)
{
    op->aux |= WATCH_SHOWS;
    make_ready(io, op);
}

/* ---- delivery ---- */

/* The last call of an op: the owner may free or arm it again from inside. */
static void deliver_last(struct op *op, int res)
{
    op->armed = false;
    op->stopping = false;
    op->fn(op, res);
}

static void deliver_recv(struct op *op)
{
    if (op->recv.first != NULL) {
        uint32_t n = 0;
        for (struct io_buf *b = op->recv.first; b != NULL; b = b->next)
            n += b->len;
        int end = op->recv.end;
        op->fn(op, (int)n); /* still armed, so it lives */
        sl_assert(op->recv.first == NULL);
        if (end == RECV_OPEN)
            return;
    }
    if (op->recv.end != RECV_OPEN)
        deliver_last(op, op->recv.end);
}

static void deliver_splice(struct op *op)
{
    struct io_pipe *pipe = op->splice.pipe;

    if (pipe->moved > 0) {
        int n = (int)pipe->moved;
        bool ended = pipe->noted;
        pipe->moved = 0;
        op->fn(op, n);
        if (!ended)
            return;
    }
    if (pipe->noted) {
        pipe->noted = false;
        deliver_last(op, op->res);
    }
}

static void deliver_watch(struct op *op)
{
    bool over = op->aux & WATCH_OVER;

    if (op->aux & WATCH_SHOWS) {
        op->aux &= (uint16_t)~WATCH_SHOWS;
        op->fn(op, 1); /* still armed, so it lives */
    }
    if (over)
        deliver_last(op, op->res);
}

static void deliver(struct op *op)
{
    switch ((enum op_kind)op->kind) {
    case OP_RECV:
        deliver_recv(op);
        return;
    case OP_SPLICE:
        deliver_splice(op);
        return;
    case OP_WATCH:
        deliver_watch(op);
        return;
    default:
        deliver_last(op, op->res);
        return;
    }
}

static int deliver_all(struct io *io)
{
    int n = 0;

    /* Accepted connections first: their stream op cannot end before they are delivered. */
    while (io->accepted_at < io->accepted_n) {
        struct io_accepted a = io->accepted[io->accepted_at++];
        a.op->fn(a.op, a.fd);
        n++;
    }
    io->accepted_at = io->accepted_n = 0;
    while (io->ready_first != NULL && n < LIMIT_TURN_EVENTS) {
        struct op *op = io->ready_first;
        io->ready_first = op->next_ready;
        if (io->ready_first == NULL)
            io->ready_last = NULL;
        op->ready = false;
        deliver(op);
        n++;
    }
    return n;
}

/* Also before a turn may block: timers and tasks of the last turn gave buffers back after its end.
 */
static void publish_bufs(struct io *io)
{
    counter_set(&io->stats.bufs_total, io->bufs.total);
    counter_set(&io->stats.bufs_used, io->bufs.used - io->bufs.lent);
}

int io_turn(struct io *io, int timeout_ms, const struct io_turn_hooks *hooks)
{
    publish_bufs(io);
    int r = io->engine->turn(io, io_has_ready(io) ? 0 : timeout_ms, hooks);
    if (unlikely(r < 0))
        return r;
    int n = deliver_all(io);
    counter_add(&io->stats.turns, 1);
    counter_add(&io->stats.completions, (uint64_t)n);
    if ((uint64_t)n > counter_get(&io->stats.batch_max))
        counter_set(&io->stats.batch_max, (uint64_t)n);
    publish_bufs(io);
    return n;
}

/* ---- arming ---- */

static void arm(struct op *op, enum op_kind kind, int fd)
{
    sl_assert(!op->armed && !op->ready && op->fn != NULL && fd >= 0);
    op->kind = (uint8_t)kind;
    op->fd = fd;
    op->armed = true;
    op->stopping = false;
    op->state = 0;
    op->aux = 0;
    op->res = 0;
}

bool io_accept_passes(int error)
{
    switch (error) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:
        return true;
    default:
        return false;
    }
}

void io_accept(struct io *io, struct op *op, int fd)
{
    arm(op, OP_ACCEPT, fd);
    io->engine->accept(io, op);
}

void io_connect(struct io *io, struct op *op, int fd, const struct sockaddr *addr, socklen_t len)
{
    arm(op, OP_CONNECT, fd);
    op->connect.addr = addr;
    op->connect.len = len;
    counter_add(&io->stats.connects, 1);
    io->engine->connect(io, op);
}

void io_recv(struct io *io, struct op *op, int fd)
{
    arm(op, OP_RECV, fd);
    op->recv.first = op->recv.last = NULL;
    op->recv.end = RECV_OPEN;
    io->engine->recv(io, op);
}

void io_recv_into(struct io *io, struct op *op, int fd, void *data, size_t len)
{
    arm(op, OP_RECV_INTO, fd);
    op->into.data = data;
    op->into.len = (uint32_t)len;
    io->engine->recv_into(io, op);
}

void io_send(struct io *io, struct op *op, int fd, const void *data, size_t len)
{
    sl_assert(len > 0 && len <= 1u << 30);
    arm(op, OP_SEND, fd);
    op->send.one = (struct iovec){(void *)(uintptr_t)data, len};
    op->send.iov = &op->send.one;
    op->send.done = 0;
    op->send.total = (uint32_t)len;
    op->aux = 1;
    io->engine->send(io, op);
}

void io_sendv(struct io *io, struct op *op, int fd, struct iovec *iov, int n)
{
    uint32_t total = 0;

    sl_assert(n > 0 && n <= LIMIT_IOV);
    for (int i = 0; i < n; i++)
        total += (uint32_t)iov[i].iov_len;
    sl_assert(total > 0);
    arm(op, OP_SEND, fd);
    op->send.iov = iov;
    op->send.done = 0;
    op->send.total = total;
    op->aux = (uint16_t)n;
    io->engine->send(io, op);
}

void io_poll(struct io *io, struct op *op, int fd, uint32_t events)
{
    arm(op, OP_POLL, fd);
    op->poll.events = events;
    io->engine->poll(io, op);
}

void io_watch(struct io *io, struct op *op, int fd)
{
    arm(op, OP_WATCH, fd);
    io->engine->watch(io, op);
}

void io_file_open(struct io *io, struct op *op, int dir, const char *path)
{
    arm(op, OP_FILE_OPEN, 0);
    op->open.dir = dir;
    op->open.path = path;
    io_file_start(io, op);
}

void io_file_read(struct io *io, struct op *op, int fd, void *data, uint32_t len, uint64_t offset)
{
    arm(op, OP_FILE_READ, fd);
    op->read.data = data;
    op->read.len = len;
    op->read.offset = offset;
    io_file_start(io, op);
}

void io_watch_again(struct io *io, struct op *op)
{
    sl_assert(op->armed && op->kind == OP_WATCH);
    if (!op->stopping)
        io_note_shows(io, op);
}

bool io_send_file(struct io *io, struct op *op, int fd, int file, uint64_t offset, uint32_t len)
{
    if (io->engine->send_file == NULL)
        return false;
    sl_assert(len > 0 && len <= LIMIT_TURN_SPLICE);
    arm(op, OP_SEND_FILE, fd);
    op->send_file.done = 0;
    op->send_file.total = len;
    op->send_file.file = file;
    op->send_file.offset = offset;
    counter_add(&io->stats.sends, 1);
    io->engine->send_file(io, op);
    return true;
}

void io_send_file_drop(struct io *io, struct op *op)
{
    op->send_file.file = -1;
    io_cancel(io, op);
}

void io_splice(struct io *io, struct op *op, int in, int out, struct io_pipe *pipe)
{
    io_splice_n(io, op, in, out, pipe, UINT64_MAX);
}

void io_splice_n(struct io *io, struct op *op, int in, int out, struct io_pipe *pipe, uint64_t n)
{
    sl_assert(n >= pipe->fill && n > 0);
    arm(op, OP_SPLICE, in);
    pipe->left = n - pipe->fill;
    op->splice.pipe = pipe;
    op->splice.out = out;
    pipe->moved = 0;
    pipe->end = 1;
    pipe->noted = false;
    pipe->error_on_in = false;
    io->engine->splice(io, op);
}

/* Its last result is noted: it ends anyway. Also in the data call that precedes the last one. */
static bool end_is_noted(const struct op *op)
{
    switch ((enum op_kind)op->kind) {
    case OP_RECV:
        return op->recv.end != RECV_OPEN;
    case OP_SPLICE:
        return op->splice.pipe->noted;
    case OP_WATCH:
        return op->aux & WATCH_OVER;
    default:
        return op->ready;
    }
}

void io_cancel(struct io *io, struct op *op)
{
    if (!op->armed || op->stopping || end_is_noted(op))
        return;
    op->stopping = true;
    if ((op->kind == OP_FILE_OPEN || op->kind == OP_FILE_READ) && io->engine->file == NULL)
        file_pool_cancel(io->files, op);
    else
        io->engine->cancel(io, op);
}

void io_buf_put(struct io *io, struct io_buf *buf)
{
    if (buf->id == IO_BUF_KEPT) {
        io_bufs_free_kept(buf);
        return;
    }
    io_bufs_give(&io->bufs, buf);
    if (io->engine->buf_returned != NULL)
        io->engine->buf_returned(io, buf);
}

struct io_buf *io_buf_new(struct io *io, uint32_t room)
{
    (void)io;
    return io_bufs_new(room);
}

struct io_buf *io_buf_keep(struct io *io, struct io_buf *buf)
{
    if (buf->id == IO_BUF_KEPT || !io_bufs_short(&io->bufs))
        return buf;
    struct io_buf *kept = io_bufs_new_kept(buf);
    if (kept == NULL)
        return buf;
    io_buf_put(io, buf);
    return kept;
}

void io_buf_put_chain(struct io *io, struct io_buf *first)
{
    while (first != NULL) {
        struct io_buf *next = first->next;
        io_buf_put(io, first);
        first = next;
    }
}

/* ---- immediate calls ---- */

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value));
}

int io_socket(struct io *io, int family, const struct io_sock_opts *opts)
{
    if (io->engine->socket != NULL)
        return io->engine->socket(io, family, opts);
    int fd =
        socket(family, (opts->dgram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if ((family != AF_INET && family != AF_INET6) || opts->dgram)
        return fd;
    if (opts->nodelay)
        set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (opts->defer_ack)
        set_int(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
    return fd;
}

void io_keep_alive(struct io *io, int fd, uint32_t unacknowledged_ms)
{
    if (io->engine->socket != NULL) /* simulated */
        return;
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)unacknowledged_ms); /* no matter for unix */
}

void io_quick_ack(struct io *io, int fd)
{
    if (io->engine->socket == NULL)                /* else simulated */
        set_int(fd, IPPROTO_TCP, TCP_QUICKACK, 1); /* no matter for unix */
}

int io_accept_now(struct io *io, int fd)
{
    if (io->engine->accept_now != NULL)
        return io->engine->accept_now(io, fd);
    int r;
    do
        r = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (r < 0 && (errno == ECONNABORTED || errno == EINTR));
    return r < 0 ? -errno : r;
}

int io_shutdown(struct io *io, int fd, int how)
{
    if (io->engine->shutdown != NULL)
        return io->engine->shutdown(io, fd, how);
    return shutdown(fd, how) < 0 ? -errno : 0;
}

void io_close(struct io *io, int fd)
{
    if (io->engine->close != NULL)
        io->engine->close(io, fd, false);
    else
        close(fd);
}

void io_reset(struct io *io, int fd)
{
    if (io->engine->close != NULL) {
        io->engine->close(io, fd, true);
        return;
    }
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

/* A peer that has reset the connection is connected no more, but the kernel still knows who it was.
 * It refuses to give fewer bytes than are asked for, so the longer kind of name comes first. */
static int name_of_lost_peer(int fd, struct sockaddr_storage *out, socklen_t *out_len)
{
    const socklen_t lens[] = {sizeof(struct sockaddr_in6), sizeof(struct sockaddr_in)};

    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        *out_len = lens[i];
        if (getsockopt(fd, SOL_SOCKET, SO_PEERNAME, out, out_len) == 0)
            return 0;
    }
    return -ENOTCONN;
}

static int name_of(struct io *io, int fd, bool peer, struct sockaddr_storage *out,
                   socklen_t *out_len)
{
    if (io->engine->sock_name != NULL)
        return io->engine->sock_name(io, fd, peer, out, out_len);
    socklen_t len = sizeof(*out);
    int r = peer ? getpeername(fd, (struct sockaddr *)out, &len)
                 : getsockname(fd, (struct sockaddr *)out, &len);
    if (r < 0 && peer && errno == ENOTCONN)
        return name_of_lost_peer(fd, out, out_len);
    if (r < 0)
        return -errno;
    *out_len = len;
    return 0;
}

int io_peer_name(struct io *io, int fd, struct sockaddr_storage *out_addr, socklen_t *out_len)
{
    return name_of(io, fd, true, out_addr, out_len);
}

int io_local_name(struct io *io, int fd, struct sockaddr_storage *out_addr, socklen_t *out_len)
{
    return name_of(io, fd, false, out_addr, out_len);
}
