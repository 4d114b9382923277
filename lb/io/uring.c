/* uring.c - the io_uring engine: the data plane where the kernel allows it.
 *
 * One ring per thread, single issuer, completions posted when we ask for them (deferred task work),
 * one io_uring_enter a turn. Receives are multishot into a ring of provided buffers, so an idle
 * connection holds none. Nothing of sockets is ever handed to the kernel's thread
 * pool: it is for files that are not in memory.
 *
 * Sends are *settled* rather than completed: each is submitted with MSG_DONTWAIT | MSG_WAITALL and
 * without a completion for success. The kernel executes it while it submits; so when the enter
 * returns, a send has either failed or fallen short, then its completion is among those reaped, or
 * it is done as a whole. That saves a completion and, above all, the wake-up that it would cause.
 * A send that fell short waits for POLLOUT and goes on. */
#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/io/io_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#define BUF_GROUP     1
/* A receive ends after so many bytes and is armed anew (sqe.optlen: the same place as file_index,
 * which older headers have): what the kernel holds of a fast peer must not all come in before the
 * receiver has had a look. */
#define RECV_BYTES    (128u << 10)
/* Kernels that know no such bound (before 6.17) go on for as long as there is data and a buffer.
 * There a receive is multishot only behind so many that left most of a buffer empty. */
#define CALM_RECEIVES 4
#define CALM_BYTES    (LIMIT_BUF_SIZE / 2)
#define POSTED_START  64 /* buffers offered at first; doubled when the kernel runs out of them */

/* Low bits of user_data beside the op's address. */
#define TAG_WATCH 1ULL /* the error watch of a splice that waits for its output */

enum watch_state { WATCH_ARMED, WATCH_ENDING };
enum recv_state {
    RECV_BOUNDED, /* multishot, ends after RECV_BYTES */
    RECV_ONCE,
    RECV_MANY, /* multishot without a bound */
    RECV_CUT,  /* the same, cancelled by us to go on one by one */
    RECV_STARVED,
};
enum send_state { SEND_SETTLING, SEND_PIECE, SEND_BLOCKED };
enum splice_state { SPLICE_POLLING, SPLICE_QUEUED, SPLICE_ENDING };

/* op->res of a send or splice that polls: see room_shows(). */
enum room_wait { ROOM_NONE, ROOM_ONCE, ROOM_EDGE, ROOM_ENDING };

/* op->aux of a receive: how many in a row were calm, up to CALM_RECEIVES. */

/* op->aux of a splice: which polls the kernel still holds. */
#define POLL_MAIN  1
#define POLL_WATCH 2

struct uring {
    struct io io; /* first: a struct io * is a struct uring * */
    struct io_uring ring;
    struct io_uring_buf_ring *br;
    size_t br_bytes;
    bool recv_unbounded;  /* the kernel knows no RECV_BYTES (before 6.17) */
    uint32_t posted_goal; /* buffers the kernel should hold; it does hold io.bufs.lent */
    /* Sends whose outcome is not known yet, in order; op->res is the index. The first n_submitted
     * have been handed to the kernel. */
    struct op **settling;
    uint32_t n_settling, n_submitted, settling_cap;
    struct msghdr headers[LIMIT_SQ_ENTRIES]; /* of vectors in the submission queue */
    uint32_t n_headers;
    struct op *again_first; /* splices that used up their share of a turn (splice.next_again) */
};

static struct uring *of(struct io *io)
{
    return (struct uring *)(void *)io;
}

/* ---- submission ---- */

/* The queue is full: the kernel takes what is there. Outcomes are reaped at the end of the turn. */
static void make_room(struct uring *u)
{
    int r = io_uring_submit(&u->ring);

    counter_add(&u->io.stats.syscalls, 1);
    sl_assert(r >= 0 || r == -EBUSY || r == -EAGAIN || r == -EINTR);
    if (io_uring_sq_ready(&u->ring) == 0)
        u->n_headers = 0;
}

static struct io_uring_sqe *get_sqe(struct uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

    while (unlikely(sqe == NULL)) {
        make_room(u);
        sqe = io_uring_get_sqe(&u->ring);
    }
    return sqe;
}

/* Cancels what was submitted with this user data. Its own completion is only seen when there was
 * nothing to cancel, and ignored (user_data 0). */
static void cancel_data(struct uring *u, void *data)
{
    struct io_uring_sqe *sqe = get_sqe(u);

    io_uring_prep_cancel(sqe, data, 0);
    sqe->user_data = 0;
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void *watch_data(struct op *op)
{
    return (void *)((uintptr_t)op | TAG_WATCH);
}

/* ---- accept, connect, poll, receive into ---- */

static void arm_accept(struct io *io, struct op *op)
{
    struct io_uring_sqe *sqe = get_sqe(of(io));

    io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    io_uring_sqe_set_data(sqe, op);
}

static void arm_connect(struct io *io, struct op *op)
{
    const struct sockaddr *sa = op->connect.addr;

    if (sa->sa_family == AF_UNIX) { /* at once: there a full backlog is an error, not a wait */
        io_note(io, op, connect(op->fd, sa, op->connect.len) < 0 ? -errno : 0);
        return;
    }
    struct io_uring_sqe *sqe = get_sqe(of(io));

    io_uring_prep_connect(sqe, op->fd, op->connect.addr, op->connect.len);
    io_uring_sqe_set_data(sqe, op);
}

static void add_poll(struct uring *u, int fd, uint32_t events, void *data)
{
    struct io_uring_sqe *sqe = get_sqe(u);

    io_uring_prep_poll_add(sqe, fd, events);
    io_uring_sqe_set_data(sqe, data);
}

/* The kernel adds POLLRDHUP to every poll. One that is after something else must not end for a mere
 * half-close, and armed again it would see the same one for ever: so it is multishot, which is
 * edge-triggered, and what it was not after is passed over. */
static void add_edge_poll(struct uring *u, int fd, uint32_t events, void *data)
{
    struct io_uring_sqe *sqe = get_sqe(u);

    io_uring_prep_poll_multishot(sqe, fd, events);
    io_uring_sqe_set_data(sqe, data);
}

static void add_watch(struct uring *u, int fd, void *data)
{
    add_edge_poll(u, fd, 0, data);
}

/* Of a poll for room on fd: whether the op may go on, and the kernel holds the poll no more. One
 * that a half-close has ended goes on as an edge-triggered one. */
static bool room_shows(struct uring *u, struct op *op, int fd, const struct io_uring_cqe *cqe)
{
    bool shows = cqe->res < 0 || cqe->res & (POLLOUT | POLLERR | POLLHUP | POLLNVAL);

    if (cqe->flags & IORING_CQE_F_MORE) {
        if (shows && op->res == ROOM_EDGE) {
            op->res = ROOM_ENDING;
            cancel_data(u, op);
        }
        return false;
    }
    if (shows || op->stopping)
        return true;
    op->res = ROOM_EDGE;
    add_edge_poll(u, fd, POLLOUT, op);
    return false;
}

static void submit_watch(struct uring *u, struct op *op)
{
    add_watch(u, op->fd, op);
    op->state = WATCH_ARMED;
}

static void arm_poll(struct io *io, struct op *op)
{
    if (op->poll.events == 0)
        submit_watch(of(io), op);
    else
        add_poll(of(io), op->fd, op->poll.events, op);
}

static void on_poll(struct uring *u, struct op *op, const struct io_uring_cqe *cqe)
{
    bool more = cqe->flags & IORING_CQE_F_MORE;

    if (op->poll.events == 0 && op->res == 0 &&
        (cqe->res < 0 || cqe->res & (POLLERR | POLLHUP | POLLNVAL)))
        op->res = cqe->res;
    if (more && op->res != 0 && op->state == WATCH_ARMED) {
        op->state = WATCH_ENDING; /* the kernel must let go of the op first */
        cancel_data(u, op);
    }
    if (more)
        return;
    if (op->poll.events != 0)
        io_note(&u->io, op, cqe->res);
    else if (op->res != 0)
        io_note(&u->io, op, op->res);
    else if (op->stopping)
        io_note(&u->io, op, -ECANCELED);
    else
        submit_watch(u, op);
}

static void arm_watch(struct io *io, struct op *op)
{
    add_edge_poll(of(io), op->fd, POLLIN, op);
}

static void on_watch(struct uring *u, struct op *op, const struct io_uring_cqe *cqe)
{
    bool more = cqe->flags & IORING_CQE_F_MORE;

    if (cqe->res >= 0)
        io_note_shows(&u->io, op);
    if (more)
        return;
    if (op->stopping || cqe->res < 0)
        io_note(&u->io, op, op->stopping ? -ECANCELED : cqe->res);
    else
        arm_watch(&u->io, op); /* what has come meanwhile shows at once */
}

static void arm_recv_into(struct io *io, struct op *op)
{
    struct io_uring_sqe *sqe = get_sqe(of(io));

    io_uring_prep_recv(sqe, op->fd, op->into.data, op->into.len, 0);
    io_uring_sqe_set_data(sqe, op);
}

static void on_accept(struct uring *u, struct op *op, const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0)
        io_note_accepted(&u->io, op, cqe->res);
    if (cqe->flags & IORING_CQE_F_MORE)
        return;
    if (op->stopping)
        io_note(&u->io, op, -ECANCELED);
    else if (cqe->res >= 0 || cqe->res == -EAGAIN || io_accept_passes(-cqe->res))
        arm_accept(&u->io, op);
    else
        io_note(&u->io, op, cqe->res);
}

/* ---- stream receive ---- */

static void post_buf(struct uring *u, struct io_buf *buf, uint32_t at)
{
    io_uring_buf_ring_add(u->br, buf->data, LIMIT_BUF_SIZE, buf->id,
                          io_uring_buf_ring_mask(LIMIT_BUFS_POSTED), (int)at);
}

/* Offers buffers to the kernel up to the goal. Few, so that the same ones come round while they are
 * still in cache. */
static void post_bufs(struct uring *u)
{
    uint32_t n = 0;

    while (u->io.bufs.lent < u->posted_goal) {
        struct io_buf *buf = io_bufs_take(&u->io.bufs);
        if (buf == NULL)
            break;
        post_buf(u, buf, n++);
        u->io.bufs.lent++;
    }
    if (n > 0)
        io_uring_buf_ring_advance(u->br, (int)n);
}

static void submit_recv(struct uring *u, struct op *op)
{
    struct io_uring_sqe *sqe = get_sqe(u);

    op->state = !u->recv_unbounded ? RECV_BOUNDED : op->aux < CALM_RECEIVES ? RECV_ONCE : RECV_MANY;
    if (op->state == RECV_ONCE)
        io_uring_prep_recv(sqe, op->fd, NULL, LIMIT_BUF_SIZE, 0);
    else
        io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
    io_uring_sqe_set_data(sqe, op);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUF_GROUP;
    if (op->state == RECV_BOUNDED)
        sqe->file_index = RECV_BYTES;
    /* Never IORING_RECVSEND_POLL_FIRST, also for a fresh op: where data and a reset are both there
     * when such a receive is armed, it delivers the data and is never woken for the reset (6.18).
     */
}

static void arm_recv(struct io *io, struct op *op)
{
    op->aux = 0;
    submit_recv(of(io), op);
}

static void starve(struct uring *u, struct op *op)
{
    op->state = RECV_STARVED;
    op->recv.next_starved = NULL;
    if (u->io.starved_last != NULL)
        u->io.starved_last->recv.next_starved = op;
    else
        u->io.starved_first = op;
    u->io.starved_last = op;
    counter_add(&u->io.stats.no_buffers, 1);
    if (u->posted_goal < LIMIT_BUFS_POSTED)
        u->posted_goal *= 2;
}

/* Arms the receives that missed a buffer, once there are some. One that is to stop ends here. */
static void feed_starved(struct uring *u)
{
    struct op *op = u->io.starved_first;
    bool fed = u->io.bufs.lent > 0;

    u->io.starved_first = u->io.starved_last = NULL;
    while (op != NULL) {
        struct op *next = op->recv.next_starved;
        if (op->stopping)
            io_note(&u->io, op, -ECANCELED);
        else if (fed)
            submit_recv(u, op);
        else
            starve(u, op);
        op = next;
    }
}

static bool recv_goes_on(int res)
{
    return res > 0 || res == -ENOBUFS || res == -ECANCELED || res == -EINTR || res == -EAGAIN;
}

/* A buffer of so many bytes came: who sends much gets it one by one where no bound is known. */
static void note_calm(struct uring *u, struct op *op, int bytes, bool more)
{
    if (bytes < (int)CALM_BYTES) {
        op->aux += op->aux < CALM_RECEIVES;
        return;
    }
    op->aux = 0;
    if (op->state == RECV_MANY && more && !op->stopping) {
        op->state = RECV_CUT;
        cancel_data(u, op);
    }
}

static void on_recv(struct uring *u, struct op *op, const struct io_uring_cqe *cqe)
{
    bool more = cqe->flags & IORING_CQE_F_MORE;

    if (cqe->flags & IORING_CQE_F_BUFFER) {
        struct io_buf *buf = u->io.bufs.by_id[cqe->flags >> IORING_CQE_BUFFER_SHIFT];
        u->io.bufs.lent--;
        if (cqe->res > 0) {
            buf->len = (uint32_t)cqe->res;
            io_note_buf(&u->io, op, buf);
            note_calm(u, op, cqe->res, more);
        } else {
            io_bufs_give(&u->io.bufs, buf);
        }
    }
    if (more)
        return;
    bool refused = cqe->res == -EINVAL && op->state == RECV_BOUNDED;
    if (refused)
        u->recv_unbounded = true;
    if (!refused && !recv_goes_on(cqe->res)) /* end of stream, or a real error: not for -ENOBUFS */
        io_note(&u->io, op, cqe->res);
    else if (op->stopping)
        io_note(&u->io, op, -ECANCELED);
    else if (cqe->res == -ENOBUFS)
        starve(u, op);
    else
        submit_recv(u, op);
}

/* ---- send ---- */

/* Queues the unsent rest; see the top of the file for how it is settled. Sockets whose records the
 * kernel makes know no MSG_WAITALL: each completion of theirs says how far it came. */
static void submit_send(struct uring *u, struct op *op)
{
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (op->piecemeal ? 0 : MSG_WAITALL);
    struct io_uring_sqe *sqe = get_sqe(u);

    if (op->aux == 1) {
        io_uring_prep_send(sqe, op->fd, op->send.iov->iov_base, op->send.iov->iov_len, flags);
    } else { /* header and vector are read while submitting (IORING_FEAT_SUBMIT_STABLE) */
        struct msghdr *h = &u->headers[u->n_headers++ % LIMIT_SQ_ENTRIES];
        *h = (struct msghdr){.msg_iov = op->send.iov, .msg_iovlen = op->aux};
        io_uring_prep_sendmsg(sqe, op->fd, h, (unsigned)flags);
    }
    io_uring_sqe_set_data(sqe, op);
    op->state = op->piecemeal ? SEND_PIECE : SEND_SETTLING;
    if (op->piecemeal)
        return;
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    if (u->n_settling == u->settling_cap) {
        u->settling_cap = u->settling_cap ? u->settling_cap * 2 : LIMIT_SQ_ENTRIES;
        u->settling = xrealloc(u->settling, u->settling_cap * sizeof(*u->settling));
    }
    op->res = (int)u->n_settling;
    u->settling[u->n_settling++] = op;
}

static void arm_send(struct io *io, struct op *op)
{
    counter_add(&io->stats.sends, 1);
    submit_send(of(io), op);
}

static void send_progress(struct op *op, uint32_t n)
{
    op->send.done += n;
    while (n >= op->send.iov->iov_len) {
        n -= (uint32_t)op->send.iov->iov_len;
        op->send.iov++;
        op->aux--;
        sl_assert(op->aux > 0); /* a send that went out as a whole has no completion */
    }
    op->send.iov->iov_base = (char *)op->send.iov->iov_base + n;
    op->send.iov->iov_len -= n;
}

/* A completion of a send says that it fell short or failed; one of its poll, that it may go on. */
static void on_send(struct uring *u, struct op *op, const struct io_uring_cqe *cqe)
{
    if (op->state == SEND_BLOCKED) {
        if (!room_shows(u, op, op->fd, cqe))
            return;
        if (op->stopping)
            io_note(&u->io, op, -ECANCELED);
        else
            submit_send(u, op);
        return;
    }
    if (op->state == SEND_SETTLING)
        u->settling[op->res] = NULL;
    if (cqe->res == -EOPNOTSUPP && !op->piecemeal && !op->stopping) {
        op->piecemeal = true;
        submit_send(u, op);
        return;
    }
    if (cqe->res < 0 && cqe->res != -EAGAIN && cqe->res != -EINTR) {
        io_note(&u->io, op, cqe->res);
        return;
    }
    if (cqe->res > 0 && op->send.done + (uint32_t)cqe->res == op->send.total) {
        op->send.done = op->send.total;
        io_note(&u->io, op, (int)op->send.total);
        return;
    }
    if (cqe->res > 0)
        send_progress(op, (uint32_t)cqe->res);
    if (op->stopping) {
        io_note(&u->io, op, -ECANCELED);
        return;
    }
    counter_add(&u->io.stats.sends_blocked, 1);
    op->state = SEND_BLOCKED;
    op->res = ROOM_ONCE;
    add_poll(u, op->fd, POLLOUT, op);
}

/* After reaping: a submitted send without a completion has gone out as a whole. Sends queued while
 * reaping wait for the next turn. */
static void settle(struct uring *u)
{
    uint32_t n = u->n_submitted, rest = u->n_settling - n;

    for (uint32_t i = 0; i < n; i++) {
        struct op *op = u->settling[i];
        if (op == NULL)
            continue;
        op->send.done = op->send.total;
        io_note(&u->io, op, (int)op->send.total);
    }
    for (uint32_t i = 0; i < rest; i++) {
        u->settling[i] = u->settling[n + i];
        if (u->settling[i] != NULL)
            u->settling[i]->res = (int)i;
    }
    u->n_settling = rest;
    u->n_submitted = 0;
}

/* ---- splice ---- */

static void splice_poll(struct uring *u, struct op *op, int fd, uint32_t events)
{
    op->state = SPLICE_POLLING;
    op->res = events & POLLOUT ? ROOM_ONCE : ROOM_NONE;
    op->aux |= POLL_MAIN;
    add_poll(u, fd, events, op);
}

/* The op may end only when the kernel holds none of its polls any more. */
static void splice_finish(struct uring *u, struct op *op)
{
    if (op->aux == 0) {
        io_note(&u->io, op,
                op->stopping && op->splice.pipe->end == 1 ? -ECANCELED : op->splice.pipe->end);
        return;
    }
    if (op->state == SPLICE_ENDING)
        return;
    op->state = SPLICE_ENDING;
    if (op->aux & POLL_MAIN)
        cancel_data(u, op);
    if (op->aux & POLL_WATCH)
        cancel_data(u, watch_data(op));
}

static void run_splice(struct uring *u, struct op *op)
{
    switch (io_splice_step(&u->io, op)) {
    case SPLICE_WAIT_IN:
        splice_poll(u, op, op->fd, POLLIN | POLLRDHUP);
        return;
    case SPLICE_WAIT_OUT:
        splice_poll(u, op, op->splice.out, POLLOUT);
        if (!(op->aux & POLL_WATCH)) {
            op->aux |= POLL_WATCH;
            add_watch(u, op->fd, watch_data(op));
        }
        return;
    case SPLICE_AGAIN:
        op->state = SPLICE_QUEUED;
        op->splice.next_again = u->again_first;
        u->again_first = op;
        return;
    case SPLICE_END:
        splice_finish(u, op);
        return;
    }
}

static void arm_splice(struct io *io, struct op *op)
{
    run_splice(of(io), op);
}

/* An error on `in` while its bytes wait for `out`. A mere hang-up is none: it shows when read. */
static void on_splice_watch(struct op *op)
{
    int err = 0;
    socklen_t len = sizeof(err);

    if (getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err == 0)
        return;
    op->splice.pipe->end = -err;
    op->splice.pipe->error_on_in = true;
}

static void on_splice(struct uring *u, struct op *op, const struct io_uring_cqe *cqe)
{
    bool watch = cqe->user_data & TAG_WATCH;

    if (!(cqe->flags & IORING_CQE_F_MORE))
        op->aux &= watch ? ~POLL_WATCH : ~POLL_MAIN;
    if (watch && op->state != SPLICE_ENDING)
        on_splice_watch(op);
    if (op->state == SPLICE_QUEUED)
        return; /* run_again() sees to it */
    if (op->state == SPLICE_ENDING || op->stopping || op->splice.pipe->end != 1)
        splice_finish(u, op);
    else if (!watch && (op->res == ROOM_NONE || room_shows(u, op, op->splice.out, cqe)))
        run_splice(u, op);
    else if (op->res == ROOM_EDGE)
        op->aux |= POLL_MAIN; /* it may just have been armed */
}

/* Those that had used up their share go on. */
static void run_again(struct uring *u)
{
    struct op *op = u->again_first;

    u->again_first = NULL;
    while (op != NULL) {
        struct op *next = op->splice.next_again;
        op->state = SPLICE_POLLING;
        if (op->stopping || op->splice.pipe->end != 1)
            splice_finish(u, op);
        else
            run_splice(u, op);
        op = next;
    }
}

/* ---- files ---- */

/* What is not in memory the kernel's workers wait for; there are few of them (init). Paths and
 * struct open_how are read while submitting. */
static void arm_file(struct io *io, struct op *op)
{
    static const struct open_how anywhere = {.flags = IO_OPEN_DIR_FLAGS};
    struct io_uring_sqe *sqe = get_sqe(of(io));

    if (op->kind == OP_FILE_READ)
        io_uring_prep_read(sqe, op->fd, op->read.data, op->read.len, op->read.offset);
    else
        io_uring_prep_openat2(sqe, op->open.dir, op->open.path,
                              (struct open_how *)(uintptr_t)(op->open.dir == IO_FILE_ANYWHERE
                                                                 ? &anywhere
                                                                 : &io_open_beneath));
    io_uring_sqe_set_data(sqe, op);
}

/* A plain call: the kernel would hand it to its workers. */
static void run_send_file(struct uring *u, struct op *op)
{
    int r = io_send_file_step(&u->io, op);

    if (r != 0) {
        io_note(&u->io, op, r > 0 ? (int)op->send_file.total : r);
        return;
    }
    counter_add(&u->io.stats.sends_blocked, 1);
    op->res = ROOM_ONCE;
    add_poll(u, op->fd, POLLOUT, op);
}

static void arm_send_file(struct io *io, struct op *op)
{
    run_send_file(of(io), op);
}

static void on_send_file(struct uring *u, struct op *op, const struct io_uring_cqe *cqe)
{
    if (!room_shows(u, op, op->fd, cqe))
        return;
    if (op->stopping)
        io_note(&u->io, op, -ECANCELED);
    else
        run_send_file(u, op);
}

/* ---- cancel ---- */

static void cancel(struct io *io, struct op *op)
{
    struct uring *u = of(io);

    switch ((enum op_kind)op->kind) {
    case OP_SEND:
        if (op->state == SEND_BLOCKED)
            cancel_data(u, op);
        return; /* settling: it ends with this turn */
    case OP_RECV:
        if (op->state != RECV_STARVED && op->state != RECV_CUT)
            cancel_data(u, op);
        return; /* starved: feed_starved() ends it */
    case OP_SPLICE:
        if (op->state == SPLICE_POLLING)
            splice_finish(u, op);
        return; /* queued: run_again() ends it */
    case OP_POLL:
        if (op->state == WATCH_ENDING)
            return;
        cancel_data(u, op);
        return;
    default:
        cancel_data(u, op);
        return;
    }
}

/* ---- reaping ---- */

static void on_cqe(struct uring *u, const struct io_uring_cqe *cqe)
{
    struct op *op = (struct op *)(uintptr_t)(cqe->user_data & ~TAG_WATCH);

    if (op == NULL)
        return;
    sl_assert(op->armed);
    switch ((enum op_kind)op->kind) {
    case OP_RECV:
        on_recv(u, op, cqe);
        return;
    case OP_SEND:
        on_send(u, op, cqe);
        return;
    case OP_ACCEPT:
        on_accept(u, op, cqe);
        return;
    case OP_SPLICE:
        on_splice(u, op, cqe);
        return;
    case OP_POLL:
        on_poll(u, op, cqe);
        return;
    case OP_WATCH:
        on_watch(u, op, cqe);
        return;
    case OP_SEND_FILE:
        on_send_file(u, op, cqe);
        return;
    default:
        io_note(&u->io, op, cqe->res);
        return;
    }
}

static void reap(struct uring *u)
{
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;

        io_uring_for_each_cqe(&u->ring, head, cqe)
        {
            on_cqe(u, cqe);
            n++;
        }
        io_uring_cq_advance(&u->ring, n);
        if (likely(!io_uring_cq_has_overflow(&u->ring)))
            return;
        /* Nothing is lost: the kernel hands the rest over. */
        counter_add(&u->io.stats.cq_overflows, 1);
        counter_add(&u->io.stats.syscalls, 1);
        io_uring_get_events(&u->ring);
    }
}

static bool must_enter(struct uring *u)
{
    return io_uring_sq_ready(&u->ring) > 0 || io_uring_cq_has_overflow(&u->ring) ||
           (IO_URING_READ_ONCE(*u->ring.sq.kflags) & IORING_SQ_TASKRUN);
}

static int enter(struct uring *u, int timeout_ms, const struct io_turn_hooks *hooks)
{
    struct __kernel_timespec ts = {timeout_ms / 1000, (timeout_ms % 1000) * 1000000L};
    struct io_uring_cqe *cqe;
    int r;

    if (timeout_ms == 0) {
        if (!must_enter(u))
            return 0;
        r = io_uring_submit_and_get_events(&u->ring);
    } else {
        if (hooks != NULL && hooks->before_wait != NULL)
            hooks->before_wait(hooks->arg);
        r = timeout_ms < 0 ? io_uring_submit_and_wait(&u->ring, 1)
                           : io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &ts, NULL);
        if (hooks != NULL && hooks->after_wait != NULL)
            hooks->after_wait(hooks->arg);
    }
    counter_add(&u->io.stats.syscalls, 1);
    if (r >= 0 || r == -ETIME || r == -EINTR || r == -EBUSY || r == -EAGAIN)
        return 0;
    return r;
}

static int turn(struct io *io, int timeout_ms, const struct io_turn_hooks *hooks)
{
    struct uring *u = of(io);

    if (u->again_first != NULL) {
        run_again(u);
        timeout_ms = 0;
    }
    post_bufs(u);
    if (unlikely(io->starved_first != NULL))
        feed_starved(u);
    if (io_has_ready(io) || u->n_settling > 0) /* a send that goes out wakes nobody */
        timeout_ms = 0;
    do {
        int r = enter(u, timeout_ms, hooks);
        if (r < 0)
            return r;
        /* Refused for a full completion queue, or interrupted: make room, submit the rest. */
        if (unlikely(io_uring_sq_ready(&u->ring) > 0)) {
            reap(u);
            timeout_ms = 0;
        }
    } while (unlikely(io_uring_sq_ready(&u->ring) > 0));
    io_clock_update(io);
    u->n_headers = 0;
    u->n_submitted = u->n_settling;
    reap(u);
    settle(u);
    return 0;
}

/* ---- life ---- */

static void unmap_ring(struct uring *u)
{
    io_uring_unregister_buf_ring(&u->ring, BUF_GROUP);
    io_uring_queue_exit(&u->ring);
    munmap(u->br, u->br_bytes);
}

static void give_posted_back(struct uring *u)
{
    /* After the ring is gone the kernel writes to none of them; which ones it held no longer
     * matters, only the count has to agree for io_bufs_fini(). */
    u->io.bufs.used -= u->io.bufs.lent;
    u->io.bufs.lent = 0;
}

static void engine_free(struct io *io)
{
    struct uring *u = of(io);

    sl_assert(u->n_settling == 0 && u->again_first == NULL && io->starved_first == NULL);
    unmap_ring(u);
    give_posted_back(u);
    io_common_fini(io);
    free(u->settling);
    free(u);
}

static const struct io_engine engine = {
    .name = "io_uring",
    .kind = IO_URING,
    .free = engine_free,
    .turn = turn,
    .accept = arm_accept,
    .connect = arm_connect,
    .recv = arm_recv,
    .recv_into = arm_recv_into,
    .send = arm_send,
    .poll = arm_poll,
    .splice = arm_splice,
    .watch = arm_watch,
    .send_file = arm_send_file,
    .file = arm_file,
    .cancel = cancel,
};

/* From the best set of flags to the least that we accept. */
static int init_ring(struct io_uring *ring, unsigned *out_flags)
{
    static const unsigned tries[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
            IORING_SETUP_TASKRUN_FLAG, /* 6.1 */
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN |
            IORING_SETUP_TASKRUN_FLAG, /* 6.0 */
    };
    int r = -EINVAL;

    for (size_t i = 0; i < ARRAY_LEN(tries) && r == -EINVAL; i++) {
        struct io_uring_params p = {
            .flags = tries[i] | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                     IORING_SETUP_R_DISABLED,
            .cq_entries = LIMIT_CQ_ENTRIES,
        };
        r = io_uring_queue_init_params(LIMIT_SQ_ENTRIES, ring, &p);
        *out_flags = p.flags;
    }
    return r;
}

static int register_buffers(struct io_uring *ring, struct io_uring_buf_ring **out_br,
                            size_t *out_bytes)
{
    size_t bytes = LIMIT_BUFS_POSTED * sizeof(struct io_uring_buf);
    void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mem == MAP_FAILED)
        return -errno;
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)mem,
        .ring_entries = LIMIT_BUFS_POSTED,
        .bgid = BUF_GROUP,
    };
    int r = io_uring_register_buf_ring(ring, &reg, 0);
    if (r < 0) {
        munmap(mem, bytes);
        return r;
    }
    io_uring_buf_ring_init(mem);
    *out_br = mem;
    *out_bytes = bytes;
    return 0;
}

/* From here on the ring takes what this file does, nothing else: what a filter of system calls
 * forbids must not come by the ring. An operation that is not in this list fails with EACCES. */
static int restrict_ring(struct io_uring *ring)
{
    static const unsigned char ops[] = {
        IORING_OP_ASYNC_CANCEL, IORING_OP_ACCEPT, IORING_OP_CONNECT,
        IORING_OP_POLL_ADD,     IORING_OP_RECV,   IORING_OP_SEND,
        IORING_OP_SENDMSG,      IORING_OP_READ,   IORING_OP_OPENAT2,
    };
    struct io_uring_restriction rules[ARRAY_LEN(ops) + 3] = {0};
    unsigned n = 0;

    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        rules[n].opcode = IORING_RESTRICTION_SQE_OP;
        rules[n++].sqe_op = ops[i];
    }
    rules[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    rules[n++].sqe_flags = IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS;
    rules[n].opcode = IORING_RESTRICTION_REGISTER_OP;
    rules[n++].register_op = IORING_UNREGISTER_PBUF_RING;
    rules[n].opcode = IORING_RESTRICTION_REGISTER_OP;
    rules[n++].register_op = IORING_UNREGISTER_RING_FDS;
    /* By number: the library of Debian 12 forgot to export its functions for these. */
    unsigned fd = (unsigned)ring->ring_fd;
    int r = io_uring_register(fd, IORING_REGISTER_RESTRICTIONS, rules, n);
    return r < 0 ? r : io_uring_register(fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

struct io *io_uring_engine_new(const struct io_conf *conf, int *out_error)
{
    struct uring *u = xcalloc(1, sizeof(*u));
    unsigned flags;

    int r = init_ring(&u->ring, &flags);
    if (r < 0)
        goto undo;
    r = register_buffers(&u->ring, &u->br, &u->br_bytes);
    if (r < 0) {
        io_uring_queue_exit(&u->ring);
        goto undo;
    }
    unsigned workers[2] = {LIMIT_FILE_THREADS, 0}; /* for files; of the other kind as it is */
    io_uring_register_iowq_max_workers(&u->ring, workers);
    io_uring_register_ring_fd(&u->ring); /* only spares a lookup per enter: failure is no matter */
    r = restrict_ring(&u->ring);
    if (r < 0) {
        unmap_ring(u);
        goto undo;
    }
    io_common_init(&u->io, &engine, conf);
    u->posted_goal = POSTED_START;
    u->recv_unbounded = conf->recv_unbounded;
    return &u->io;
undo:
    free(u);
    *out_error = r;
    return NULL;
}
