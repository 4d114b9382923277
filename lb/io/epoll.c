/* epoll.c - the epoll engine: for where io_uring is forbidden; same contract, same tests.
 *
 * Edge-triggered: a descriptor is registered once, at the first operation that has to wait, for
 * everything; closing it unregisters it. What the edges said is remembered per descriptor, so that
 * an operation armed later is tried only when it may succeed:
 * - A send is tried when it is armed, and after falling short not before the next edge.
 * - A receive on a new descriptor waits for the edge that registering brings at once when there is
 *   something; so none is ever tried in vain. A receive that got less than it asked for has emptied
 *   the socket: the next byte makes an edge. Not so when the stream's end, an error or urgent data
 *   were seen, which make receives stop short of what is there; then it reads until it is told to
 *   wait.
 * - Listening sockets alone are level-triggered, and registered only while they accept: so
 *   accepting needs no last call that finds nothing.
 * All work of one operation in one turn is bounded; what is left waits in a queue for the next.
 * Sockets may be blocking or not. They must leave through io_close() or io_reset(). */
#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/io/io_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS      (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)
#define WAIT_EVENTS 256        /* taken from the kernel at once */
#define ACCEPT_MAX  64         /* connections that a listener accepts in a turn */
#define RECV_BUFS   2          /* receive buffers that one operation fills in a turn */
#define SEND_MAX    (1u << 20) /* bytes of one slice that are sent in a turn */
#define NO_MEM_MS   10         /* until memory is asked for again when every buffer is free */
#define NONE        (-1)

enum fd_flags {
    FD_ADDED = 1,    /* registered */
    FD_READABLE = 2, /* maybe: not known to be empty */
    FD_BLOCKED = 4,  /* a send fell short, no edge since */
    FD_UNTIL = 8,    /* a short read does not prove it empty: read until EAGAIN */
    FD_ERROR = 16,   /* an error or hang-up was seen */
    FD_QUEUED = 32,  /* in the work queue */
};

/* Half a cache line for each descriptor, indexed by it. */
struct fd_state {
    struct op *reader; /* receive, accept, splice from here */
    struct op *writer; /* send, connect, splice to here */
    struct op *polls;  /* linked by next_ready: none of them is ready */
    int next;          /* in the work queue */
    uint8_t flags;
    uint8_t batch;     /* buffers for the next receive, connections for the next accept; 0: one */
    uint8_t last_turn; /* of a listener: low bits of the turn that accepted last */
    uint8_t unused;
};
static_assert(sizeof(struct fd_state) == CACHE_LINE / 2, "one per descriptor, up to a million");

enum recv_state { RECV_WAITING, RECV_STARVED };
enum splice_state { SPLICE_ON_IN, SPLICE_ON_OUT, SPLICE_QUEUED };

struct ep {
    struct io io; /* first: a struct io * is a struct ep * */
    int epfd;
    struct fd_state *fds;
    uint32_t n_fds;
    int queue_first, queue_last; /* descriptors with work left over for the next turn */
    struct epoll_event events[WAIT_EVENTS];
};

static struct ep *of(struct io *io)
{
    return (struct ep *)(void *)io;
}

/* ---- descriptors ---- */

/* NULL: no memory. Pointers are valid until the next call. */
static struct fd_state *state_of(struct ep *e, int fd)
{
    uint32_t n = e->n_fds;

    if (likely((uint32_t)fd < n))
        return &e->fds[fd];
    while ((uint32_t)fd >= n)
        n *= 2;
    struct fd_state *fds = realloc(e->fds, n * sizeof(*fds));
    if (fds == NULL)
        return NULL;
    memset(fds + e->n_fds, 0, (n - e->n_fds) * sizeof(*fds));
    e->fds = fds;
    e->n_fds = n;
    return &fds[fd];
}

/* Of a closed descriptor, or of a new one that somebody closed behind our back. */
static void forget(struct ep *e, int fd)
{
    if ((uint32_t)fd >= e->n_fds)
        return;
    struct fd_state *f = &e->fds[fd];
    sl_assert(f->reader == NULL && f->writer == NULL && f->polls == NULL);
    f->flags &= FD_QUEUED;
    f->batch = f->last_turn = 0;
}

static void enqueue(struct ep *e, int fd)
{
    struct fd_state *f = &e->fds[fd];

    if (f->flags & FD_QUEUED)
        return;
    f->flags |= FD_QUEUED;
    f->next = NONE;
    if (e->queue_last != NONE)
        e->fds[e->queue_last].next = fd;
    else
        e->queue_first = fd;
    e->queue_last = fd;
}

static uint32_t at_least_one(uint8_t n)
{
    return n > 0 ? n : 1;
}

static int control(struct ep *e, int what, int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};

    counter_add(&e->io.stats.syscalls, 1);
    return epoll_ctl(e->epfd, what, fd, &ev) < 0 ? -errno : 0;
}

/* Registers it, or makes a new edge of what holds already. */
static int add_again(struct ep *e, int fd, uint32_t events)
{
    int r = control(e, EPOLL_CTL_ADD, fd, events);
    return r == -EEXIST ? control(e, EPOLL_CTL_MOD, fd, events) : r;
}

static int ensure_added(struct ep *e, int fd)
{
    if (likely(e->fds[fd].flags & FD_ADDED))
        return 0;
    int r = add_again(e, fd, EVENTS);
    if (r == 0)
        e->fds[fd].flags |= FD_ADDED;
    return r;
}

/* ---- the ends of operations: out of their slots, then noted ---- */

static void end_reader(struct ep *e, struct fd_state *f, int res)
{
    struct op *op = f->reader;

    f->reader = NULL;
    io_note(&e->io, op, res);
}

static void end_writer(struct ep *e, struct fd_state *f, int res)
{
    struct op *op = f->writer;

    f->writer = NULL;
    io_note(&e->io, op, res);
}

/* Puts op into the slot; false: no memory, and that is noted. */
static bool occupy(struct ep *e, struct op *op, bool writer)
{
    struct fd_state *f = state_of(e, op->fd);

    if (unlikely(f == NULL)) {
        io_note(&e->io, op, -ENOMEM);
        return false;
    }
    struct op **slot = writer ? &f->writer : &f->reader;
    sl_assert(*slot == NULL); /* one of a kind per descriptor */
    *slot = op;
    return true;
}

/* ---- stream receive ---- */

static void starve(struct ep *e, struct op *op)
{
    op->state = RECV_STARVED;
    op->recv.next_starved = NULL;
    if (e->io.starved_last != NULL)
        e->io.starved_last->recv.next_starved = op;
    else
        e->io.starved_first = op;
    e->io.starved_last = op;
    counter_add(&e->io.stats.no_buffers, 1);
}

static void unstarve(struct ep *e, struct op *op)
{
    struct op *before = NULL;

    for (struct op *o = e->io.starved_first; o != op; o = o->recv.next_starved)
        before = o;
    if (before != NULL)
        before->recv.next_starved = op->recv.next_starved;
    else
        e->io.starved_first = op->recv.next_starved;
    if (e->io.starved_last == op)
        e->io.starved_last = before;
    op->state = RECV_WAITING;
}

/* One receive into up to `want` buffers. Returns what recv(2) returned or -errno, and in *out_room
 * how many bytes it could have been; 0 there: no buffer to be had. */
static ssize_t recv_bufs(struct ep *e, struct op *op, uint32_t want, size_t *out_room)
{
    struct io_buf *bufs[RECV_BUFS];
    struct iovec iov[RECV_BUFS];
    uint32_t n_bufs = 0;
    ssize_t n;

    while (n_bufs < want && (bufs[n_bufs] = io_bufs_take(&e->io.bufs)) != NULL) {
        iov[n_bufs] = (struct iovec){bufs[n_bufs]->data, LIMIT_BUF_SIZE};
        n_bufs++;
    }
    *out_room = (size_t)n_bufs * LIMIT_BUF_SIZE;
    if (n_bufs == 0)
        return -ENOBUFS;
    do {
        if (n_bufs == 1) {
            n = recv(op->fd, bufs[0]->data, LIMIT_BUF_SIZE, MSG_DONTWAIT);
        } else {
            struct msghdr m = {.msg_iov = iov, .msg_iovlen = n_bufs};
            n = recvmsg(op->fd, &m, MSG_DONTWAIT);
        }
        counter_add(&e->io.stats.syscalls, 1);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        n = -errno;
    uint32_t used = 0;
    for (ssize_t left = n; left > 0; left -= LIMIT_BUF_SIZE) {
        bufs[used]->len = left < (ssize_t)LIMIT_BUF_SIZE ? (uint32_t)left : LIMIT_BUF_SIZE;
        io_note_buf(&e->io, op, bufs[used++]);
    }
    while (n_bufs > used)
        io_bufs_give(&e->io.bufs, bufs[--n_bufs]);
    return n;
}

/* Reads until it is empty, ended, or the share of this turn is used up. One buffer is offered at
 * first; more while they come back full. */
static void recv_some(struct ep *e, struct fd_state *f)
{
    struct op *op = f->reader;
    uint32_t share = RECV_BUFS;

    while (share > 0) {
        uint32_t want = at_least_one(f->batch);
        size_t room;
        ssize_t n = recv_bufs(e, op, want < share ? want : share, &room);

        if (unlikely(room == 0)) {
            starve(e, op);
            return;
        }
        if (n == -EAGAIN) {
            f->flags &= (uint8_t) ~(FD_READABLE | FD_UNTIL);
            return;
        }
        if (n <= 0) {
            end_reader(e, f, (int)n);
            return;
        }
        uint32_t used = ((uint32_t)n + LIMIT_BUF_SIZE - 1) / LIMIT_BUF_SIZE;
        share -= used < share ? used : share;
        if ((size_t)n == room) {
            f->batch = (uint8_t)(2 * used < RECV_BUFS ? 2 * used : RECV_BUFS);
            continue;
        }
        f->batch = (uint8_t)used;
        if (likely(!(f->flags & FD_UNTIL))) {
            f->flags &= (uint8_t)~FD_READABLE;
            return;
        }
    }
    enqueue(e, op->fd);
}

static void recv_into(struct ep *e, struct fd_state *f)
{
    struct op *op = f->reader;
    ssize_t n;

    do {
        n = recv(op->fd, op->into.data, op->into.len, MSG_DONTWAIT);
        counter_add(&e->io.stats.syscalls, 1);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        f->flags &= (uint8_t) ~(FD_READABLE | FD_UNTIL);
        return;
    }
    if (n > 0 && (uint32_t)n < op->into.len && !(f->flags & FD_UNTIL))
        f->flags &= (uint8_t)~FD_READABLE;
    end_reader(e, f, n < 0 ? -errno : (int)n);
}

/* Both receives. Tried in the next turn at the earliest: an owner that arms again and again from
 * its completions takes turns with the others. */
static void arm_recv(struct io *io, struct op *op)
{
    struct ep *e = of(io);

    if (!occupy(e, op, false))
        return;
    struct fd_state *f = &e->fds[op->fd];
    int r = ensure_added(e, op->fd);
    if (r < 0)
        end_reader(e, f, r);
    else if (f->flags & FD_READABLE)
        enqueue(e, op->fd);
}

/* ---- send ---- */

static bool send_progress(struct op *op, size_t n)
{
    op->send.done += (uint32_t)n;
    while (op->aux > 0 && n >= op->send.iov->iov_len) {
        n -= op->send.iov->iov_len;
        op->send.iov++;
        op->aux--;
    }
    if (op->aux == 0)
        return true;
    op->send.iov->iov_base = (char *)op->send.iov->iov_base + n;
    op->send.iov->iov_len -= n;
    return false;
}

static ssize_t send_once(struct ep *e, struct op *op, size_t *out_asked)
{
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    ssize_t n;

    do {
        if (op->aux == 1) {
            size_t len = op->send.iov->iov_len;
            *out_asked = len < SEND_MAX ? len : SEND_MAX;
            n = send(op->fd, op->send.iov->iov_base, *out_asked, flags);
        } else {
            struct msghdr m = {.msg_iov = op->send.iov, .msg_iovlen = op->aux};
            *out_asked = op->send.total - op->send.done;
            n = sendmsg(op->fd, &m, flags);
        }
        counter_add(&e->io.stats.syscalls, 1);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void send_some(struct ep *e, struct fd_state *f)
{
    struct op *op = f->writer;
    size_t asked;
    ssize_t n = send_once(e, op, &asked);

    if (n < 0 && n != -EAGAIN) {
        end_writer(e, f, (int)n);
        return;
    }
    if (n > 0 && send_progress(op, (size_t)n)) {
        end_writer(e, f, (int)op->send.total);
        return;
    }
    if (n == (ssize_t)asked) { /* one slice's share */
        enqueue(e, op->fd);
        return;
    }
    f->flags |= FD_BLOCKED;
    counter_add(&e->io.stats.sends_blocked, 1);
    int r = ensure_added(e, op->fd);
    if (r < 0)
        end_writer(e, f, r);
}

static void send_file_some(struct ep *e, struct fd_state *f)
{
    struct op *op = f->writer;
    int r = io_send_file_step(&e->io, op);

    if (r == 0) {
        f->flags |= FD_BLOCKED;
        counter_add(&e->io.stats.sends_blocked, 1);
        r = ensure_added(e, op->fd);
        if (r == 0)
            return;
    }
    end_writer(e, f, r > 0 ? (int)op->send_file.total : r);
}

static void arm_send_file(struct io *io, struct op *op)
{
    struct ep *e = of(io);

    if (!occupy(e, op, true))
        return;
    struct fd_state *f = &e->fds[op->fd];
    if (!(f->flags & FD_BLOCKED))
        send_file_some(e, f);
}

static void arm_send(struct io *io, struct op *op)
{
    struct ep *e = of(io);

    counter_add(&io->stats.sends, 1);
    if (!occupy(e, op, true))
        return;
    struct fd_state *f = &e->fds[op->fd];
    if (likely(!(f->flags & FD_BLOCKED)))
        send_some(e, f);
}

/* ---- connect ---- */

static void arm_connect(struct io *io, struct op *op)
{
    struct ep *e = of(io);
    int r;

    forget(e, op->fd); /* a new socket, or at least a new life of it */
    if (!occupy(e, op, true))
        return;
    r = connect(op->fd, op->connect.addr, op->connect.len) < 0 ? -errno : 0;
    counter_add(&io->stats.syscalls, 1);
    if (r == -EINPROGRESS || r == -EINTR) /* registered only now: before, it would be a hang-up */
        r = ensure_added(e, op->fd);
    else if (r == 0)
        r = 1;
    if (r != 0)
        end_writer(e, &e->fds[op->fd], r > 0 ? 0 : r);
}

static void on_connect_event(struct ep *e, struct fd_state *f, uint32_t events)
{
    int err = 0;
    socklen_t len = sizeof(err);

    if (events & (EPOLLERR | EPOLLHUP)) {
        counter_add(&e->io.stats.syscalls, 1);
        if (getsockopt(f->writer->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
            err = errno;
    } else if (!(events & EPOLLOUT)) {
        return;
    }
    end_writer(e, f, -err);
}

/* ---- accept ---- */

static void end_accept(struct ep *e, int fd, int res)
{
    struct fd_state *f = &e->fds[fd];

    /* Level-triggered: it must not wake us while nobody accepts. */
    (void)control(e, EPOLL_CTL_DEL, fd, 0);
    f->flags &= (uint8_t)~FD_ADDED;
    end_reader(e, f, res);
}

/* As many as lately came at once, so that the last call mostly finds one too. More of them than
 * that wake us again in the next turn, and then the number doubles. */
static void accept_some(struct ep *e, int fd)
{
    struct fd_state *f = &e->fds[fd];
    uint32_t want = at_least_one(f->batch), got = 0;
    uint32_t turn = (uint32_t)counter_get(&e->io.stats.turns) & 0xff;

    if (f->last_turn == ((turn - 1) & 0xff) && want < ACCEPT_MAX)
        want *= 2;
    f->last_turn = (uint8_t)turn;
    f->batch = (uint8_t)want;
    for (uint32_t i = 0; i < want; i++) {
        int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        counter_add(&e->io.stats.syscalls, 1);
        if (c >= 0) {
            forget(e, c);
            io_note_accepted(&e->io, f->reader, c);
            got++;
        } else if (errno == EAGAIN) {
            f->batch = (uint8_t)got;
            return;
        } else if (!io_accept_passes(errno)) {
            end_accept(e, fd, -errno);
            return;
        }
    }
}

static void arm_accept(struct io *io, struct op *op)
{
    struct ep *e = of(io);

    if (!occupy(e, op, false))
        return;
    struct fd_state *f = &e->fds[op->fd];
    int r = add_again(e, op->fd, EPOLLIN);
    if (r < 0) {
        end_reader(e, f, r);
        return;
    }
    f->flags |= FD_ADDED;
    f->batch = 0;
}

static int accept_now(struct io *io, int fd)
{
    int c;

    do {
        c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        counter_add(&io->stats.syscalls, 1);
    } while (c < 0 && io_accept_passes(errno));
    if (c < 0)
        return -errno;
    forget(of(io), c);
    return c;
}

/* ---- watch: not after room, of which each datagram sent would tell ---- */

static void end_watch(struct ep *e, int fd, int res)
{
    struct fd_state *f = &e->fds[fd];

    (void)control(e, EPOLL_CTL_DEL, fd, 0);
    f->flags &= (uint8_t)~FD_ADDED;
    end_reader(e, f, res);
}

static void arm_watch(struct io *io, struct op *op)
{
    struct ep *e = of(io);

    if (!occupy(e, op, false))
        return;
    int r = add_again(e, op->fd, EPOLLIN | EPOLLET);
    if (r < 0) {
        end_reader(e, &e->fds[op->fd], r);
        return;
    }
    e->fds[op->fd].flags |= FD_ADDED;
}

/* ---- poll ---- */

/* True: it already shows, and is noted. */
static bool error_shows(struct ep *e, struct op *op)
{
    struct pollfd p = {.fd = op->fd};

    counter_add(&e->io.stats.syscalls, 1);
    if (poll(&p, 1, 0) <= 0)
        return false;
    io_note(&e->io, op, p.revents);
    return true;
}

static int register_poll(struct ep *e, struct op *op)
{
    struct fd_state *f = &e->fds[op->fd];

    if (op->poll.events == 0 || !(f->flags & FD_ADDED))
        return ensure_added(e, op->fd);
    /* Its edge may be past: make a new one. The descriptor may also be another than we knew: some
     * libraries close theirs themselves. */
    int r = control(e, EPOLL_CTL_MOD, op->fd, EVENTS);
    if (r != -ENOENT)
        return r;
    f->flags &= FD_QUEUED;
    return ensure_added(e, op->fd);
}

static void arm_poll(struct io *io, struct op *op)
{
    struct ep *e = of(io);
    struct fd_state *f = state_of(e, op->fd);

    int r = f == NULL ? -ENOMEM : register_poll(e, op);
    if (r < 0) {
        io_note(io, op, r);
        return;
    }
    if (op->poll.events == 0 && f->flags & FD_ERROR) {
        if (error_shows(e, op))
            return;
        f->flags &= (uint8_t)~FD_ERROR;
    }
    op->next_ready = f->polls;
    f->polls = op;
}

static void run_polls(struct ep *e, struct fd_state *f, uint32_t events)
{
    struct op **at = &f->polls;

    while (*at != NULL) {
        struct op *op = *at;
        uint32_t shown = events & (op->poll.events | EPOLLERR | EPOLLHUP);
        if (shown == 0) {
            at = &op->next_ready;
            continue;
        }
        *at = op->next_ready;
        io_note(&e->io, op, (int)shown);
    }
}

/* ---- splice: it occupies the reader's slot of `in` and the writer's of `out` ---- */

static void end_splice(struct ep *e, struct op *op, int res)
{
    e->fds[op->splice.out].writer = NULL;
    end_reader(e, &e->fds[op->fd], res);
}

/* An error on `in` while its bytes wait for `out`. A mere hang-up is none: it shows when read. */
static void on_splice_error(struct ep *e, struct op *op)
{
    int err = 0;
    socklen_t len = sizeof(err);

    counter_add(&e->io.stats.syscalls, 1);
    if (getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err == 0)
        return;
    op->splice.pipe->error_on_in = true;
    end_splice(e, op, -err);
}

static void run_splice(struct ep *e, struct op *op)
{
    struct fd_state *in = &e->fds[op->fd], *out = &e->fds[op->splice.out];

    switch (io_splice_step(&e->io, op)) {
    case SPLICE_WAIT_IN:
        if (in->flags & FD_UNTIL) { /* more may be there, behind urgent data: no edge tells of it */
            in->flags &= (uint8_t)~FD_UNTIL;
            op->state = SPLICE_QUEUED;
            enqueue(e, op->fd);
            return;
        }
        in->flags &= (uint8_t)~FD_READABLE;
        op->state = SPLICE_ON_IN;
        return;
    case SPLICE_WAIT_OUT:
        in->flags |= FD_READABLE; /* not tried: unknown */
        out->flags |= FD_BLOCKED;
        op->state = SPLICE_ON_OUT;
        if (unlikely(in->flags & FD_ERROR)) /* its edge came before */
            on_splice_error(e, op);
        return;
    case SPLICE_AGAIN:
        in->flags |= FD_READABLE;
        op->state = SPLICE_QUEUED;
        enqueue(e, op->fd);
        return;
    case SPLICE_END:
        in->flags |= FD_READABLE;
        end_splice(e, op, op->splice.pipe->end);
        return;
    }
}

static void arm_splice(struct io *io, struct op *op)
{
    struct ep *e = of(io);
    int out = op->splice.out;

    if (state_of(e, out) == NULL) {
        io_note(io, op, -ENOMEM);
        return;
    }
    if (!occupy(e, op, false))
        return;
    sl_assert(e->fds[out].writer == NULL);
    e->fds[out].writer = op;
    int r = ensure_added(e, op->fd);
    if (r == 0)
        r = ensure_added(e, out);
    if (r < 0) {
        end_splice(e, op, r);
        return;
    }
    op->state = SPLICE_QUEUED; /* the pipe may hold bytes: a step finds out what to wait for */
    enqueue(e, op->fd);
}

/* ---- cancel, close ---- */

static void cancel_poll(struct ep *e, struct op *op)
{
    struct op **at = &e->fds[op->fd].polls;

    while (*at != NULL && *at != op)
        at = &(*at)->next_ready;
    if (*at == NULL)
        return;
    *at = op->next_ready;
    io_note(&e->io, op, -ECANCELED);
}

/* At once; one that is in no slot has ended already and only waits to be delivered. */
static void cancel(struct io *io, struct op *op)
{
    struct ep *e = of(io);
    struct fd_state *f = &e->fds[op->fd];

    if (op->kind == OP_POLL) {
        cancel_poll(e, op);
    } else if (f->reader == op) {
        if (op->kind == OP_ACCEPT) {
            end_accept(e, op->fd, -ECANCELED);
        } else if (op->kind == OP_WATCH) {
            end_watch(e, op->fd, -ECANCELED);
        } else if (op->kind == OP_SPLICE) {
            end_splice(e, op, -ECANCELED);
        } else {
            if (op->kind == OP_RECV && op->state == RECV_STARVED)
                unstarve(e, op);
            end_reader(e, f, -ECANCELED);
        }
    } else if (f->writer == op) {
        end_writer(e, f, -ECANCELED);
    }
}

static void close_fd(struct io *io, int fd, bool reset)
{
    forget(of(io), fd);
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    close(fd);
}

/* ---- the turn ---- */

static void try_reader(struct ep *e, struct fd_state *f)
{
    struct op *op = f->reader;
    bool readable = f->flags & FD_READABLE;

    if (op->kind == OP_RECV) {
        if (readable && op->state == RECV_WAITING)
            recv_some(e, f);
    } else if (op->kind == OP_RECV_INTO) {
        if (readable)
            recv_into(e, f);
    } else if (op->kind == OP_SPLICE) {
        if (op->state == SPLICE_QUEUED || (op->state == SPLICE_ON_IN && readable))
            run_splice(e, op);
    }
}

static void try_writer(struct ep *e, struct fd_state *f)
{
    struct op *op = f->writer;

    if (op->kind == OP_SEND)
        send_some(e, f);
    else if (op->kind == OP_SEND_FILE)
        send_file_some(e, f);
    else if (op->kind == OP_SPLICE && op->state == SPLICE_ON_OUT)
        run_splice(e, op);
}

static void try_both(struct ep *e, struct fd_state *f)
{
    if (f->reader != NULL)
        try_reader(e, f);
    if (f->writer != NULL && !(f->flags & FD_BLOCKED))
        try_writer(e, f);
}

/* What only an event makes go on, not a try. */
static void run_waiting(struct ep *e, struct fd_state *f, int fd, uint32_t events)
{
    if (f->polls != NULL)
        run_polls(e, f, events);
    if (f->writer != NULL && f->writer->kind == OP_CONNECT)
        on_connect_event(e, f, events);
    if (f->reader == NULL)
        return;
    if (f->reader->kind == OP_ACCEPT)
        accept_some(e, fd);
    else if (f->reader->kind == OP_WATCH)
        io_note_shows(&e->io, f->reader);
    else if (f->reader->kind == OP_SPLICE && f->reader->state == SPLICE_ON_OUT && events & EPOLLERR)
        on_splice_error(e, f->reader);
}

static void on_event(struct ep *e, int fd, uint32_t events)
{
    struct fd_state *f = &e->fds[fd];

    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP))
        f->flags |= FD_READABLE;
    if (events & (EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP))
        f->flags |= FD_UNTIL;
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        f->flags &= (uint8_t)~FD_BLOCKED;
    if (unlikely(events & (EPOLLERR | EPOLLHUP)))
        f->flags |= FD_ERROR;
    run_waiting(e, f, fd, events);
    if (!(f->flags & FD_QUEUED)) /* else it has its share from the queue */
        try_both(e, f);
}

/* What was queued up to `last`; what is queued after it waits for the next turn. */
static void run_queue(struct ep *e, int last)
{
    while (last != NONE) {
        int fd = e->queue_first;
        struct fd_state *f = &e->fds[fd];

        e->queue_first = f->next;
        if (e->queue_first == NONE)
            e->queue_last = NONE;
        f->flags &= (uint8_t)~FD_QUEUED;
        try_both(e, f);
        if (fd == last)
            return;
    }
}

/* Receives that missed a buffer go on while there are some. */
static void feed_starved(struct ep *e)
{
    struct io *io = &e->io;

    while (io->starved_first != NULL && (io->bufs.free != NULL || io->bufs.used == 0)) {
        struct op *op = io->starved_first;
        unstarve(e, op);
        recv_some(e, &e->fds[op->fd]);
        if (op->state == RECV_STARVED)
            return;
    }
}

static int wait_events(struct ep *e, int timeout_ms, const struct io_turn_hooks *hooks)
{
    bool may_block = timeout_ms != 0;

    if (may_block && hooks != NULL && hooks->before_wait != NULL)
        hooks->before_wait(hooks->arg);
    int n = epoll_wait(e->epfd, e->events, WAIT_EVENTS, timeout_ms);
    int error = errno;
    if (may_block && hooks != NULL && hooks->after_wait != NULL)
        hooks->after_wait(hooks->arg);
    counter_add(&e->io.stats.syscalls, 1);
    if (n >= 0)
        return n;
    return error == EINTR ? 0 : -error;
}

static int turn(struct io *io, int timeout_ms, const struct io_turn_hooks *hooks)
{
    struct ep *e = of(io);

    if (unlikely(io->starved_first != NULL)) {
        feed_starved(e);
        if (io->starved_first != NULL && io->bufs.used == 0 &&
            (timeout_ms < 0 || timeout_ms > NO_MEM_MS))
            timeout_ms = NO_MEM_MS;
    }
    if (e->queue_first != NONE || io_has_ready(io))
        timeout_ms = 0;
    int last = e->queue_last;
    int n = wait_events(e, timeout_ms, hooks);
    if (unlikely(n < 0))
        return n;
    io_clock_update(io);
    for (int i = 0; i < n; i++)
        on_event(e, e->events[i].data.fd, e->events[i].events);
    run_queue(e, last);
    return 0;
}

/* ---- life ---- */

static void engine_free(struct io *io)
{
    struct ep *e = of(io);

    sl_assert(io->starved_first == NULL);
    for (uint32_t i = 0; i < e->n_fds; i++)
        sl_assert(e->fds[i].reader == NULL && e->fds[i].writer == NULL && e->fds[i].polls == NULL);
    close(e->epfd);
    io_common_fini(io);
    free(e->fds);
    free(e);
}

static const struct io_engine engine = {
    .name = "epoll",
    .kind = IO_EPOLL,
    .free = engine_free,
    .turn = turn,
    .accept = arm_accept,
    .connect = arm_connect,
    .recv = arm_recv,
    .recv_into = arm_recv,
    .send = arm_send,
    .poll = arm_poll,
    .splice = arm_splice,
    .watch = arm_watch,
    .send_file = arm_send_file,
    .cancel = cancel,
    .close = close_fd,
    .accept_now = accept_now,
};

struct io *io_epoll_engine_new(const struct io_conf *conf, int *out_error)
{
    int epfd = epoll_create1(EPOLL_CLOEXEC);

    if (epfd < 0) {
        *out_error = -errno;
        return NULL;
    }
    struct ep *e = xcalloc(1, sizeof(*e));
    e->epfd = epfd;
    e->queue_first = e->queue_last = NONE;
    e->n_fds = 1024;
    e->fds = xcalloc(e->n_fds, sizeof(*e->fds));
    io_common_init(&e->io, &engine, conf);
    return &e->io;
}
