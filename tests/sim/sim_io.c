/* sim_io.c - the simulated engine: operations on simulated sockets.
 *
 * A turn lets the network happen, then offers every armed operation that can make progress the
 * chance to, in random order; each makes some. When none can, the clock jumps to the next event.
 * Operations touch their owner's memory late and piecemeal, so that memory that is freed or changed
 * too early shows as a sanitizer's report or as wrong bytes. */
#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "tests/sim/sim_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE        6 /* passes that a possible operation can be passed over */
#define PASSES_MAX      1000000
#define CONNECT_GIVE_UP 127000000 /* microseconds; as Linux */
#define START_US        5000000000ull
#define WALL_US         1750000000000000ull
#define PIPE_BYTES      8192

struct sim_pipe {
    struct io_pipe pipe; /* first */
    uint8_t data[PIPE_BYTES];
};

static struct sim *of(struct io *io)
{
    return (struct sim *)(void *)io;
}

static const char *const kind_names[] = {
    [OP_NONE] = "none", [OP_ACCEPT] = "accept",       [OP_CONNECT] = "connect",
    [OP_RECV] = "recv", [OP_RECV_INTO] = "recv_into", [OP_SEND] = "send",
    [OP_POLL] = "poll", [OP_SPLICE] = "splice",       [OP_WATCH] = "watch",
};

_Noreturn void sim_fail(const struct sim *s, const char *format, ...)
{
    va_list ap;

    fflush(stdout);
    fprintf(stderr, "sim: seed %llu, at %llu us: ", (unsigned long long)s->conf.seed,
            (unsigned long long)(s->now_us - START_US));
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    for (uint32_t i = 0; i < s->n_armed; i++)
        fprintf(stderr, "sim:   armed: %s on %d\n", kind_names[s->armed[i].kind], s->armed[i].fd);
    abort();
}

/* ---- the register of armed operations ---- */

static bool reads(enum op_kind k)
{
    return k == OP_RECV || k == OP_RECV_INTO || k == OP_SPLICE || k == OP_ACCEPT || k == OP_WATCH;
}

static bool uses(const struct armed *a, int fd)
{
    return a->fd == fd || a->out == fd;
}

static bool clashes(const struct armed *a, const struct armed *b)
{
    int a_writes = a->kind == OP_SPLICE                          ? a->out
                   : a->kind == OP_SEND || a->kind == OP_CONNECT ? a->fd
                                                                 : -1;
    int b_writes = b->kind == OP_SPLICE                          ? b->out
                   : b->kind == OP_SEND || b->kind == OP_CONNECT ? b->fd
                                                                 : -1;
    return (reads(a->kind) && reads(b->kind) && a->fd == b->fd) ||
           (a_writes >= 0 && a_writes == b_writes);
}

static struct armed *armed_of(struct sim *s, const struct op *op)
{
    for (uint32_t i = 0; i < s->n_armed; i++)
        if (s->armed[i].op == op)
            return &s->armed[i];
    return NULL;
}

static struct armed *enter(struct io *io, struct op *op)
{
    struct sim *s = of(io);
    struct armed a = {.op = op, .fd = op->fd, .out = -1, .kind = op->kind, .cancel_in = -1};

    if (op->kind == OP_SPLICE)
        a.out = op->splice.out;
    if (armed_of(s, op) != NULL)
        sim_fail(s, "an armed %s is armed again", kind_names[op->kind]);
    sim_sock(s, op->fd);
    if (a.out >= 0)
        sim_sock(s, a.out);
    for (uint32_t i = 0; i < s->n_armed; i++)
        if (clashes(&s->armed[i], &a))
            sim_fail(s, "%s on %d while a %s is armed on it", kind_names[a.kind], a.fd,
                     kind_names[s->armed[i].kind]);
    sl_assert(s->n_armed < SIM_FDS);
    s->armed[s->n_armed++] = a;
    return &s->armed[s->n_armed - 1];
}

static void arm(struct io *io, struct op *op)
{
    enter(io, op);
}

/* Out of the register, then noted. a is invalid from here on. */
static void finish(struct sim *s, struct armed *a, int res)
{
    struct op *op = a->op;

    *a = s->armed[--s->n_armed];
    io_note(&s->io, op, res);
}

static void verify(struct sim *s)
{
    for (uint32_t i = 0; i < s->n_armed; i++) {
        const struct armed *a = &s->armed[i];
        if (!a->op->armed || a->op->kind != a->kind || a->op->fd != a->fd)
            sim_fail(s, "the %s on %d was changed while armed", kind_names[a->kind], a->fd);
        sim_sock(s, a->fd);
    }
}

/* ---- what operations do ---- */

/* The network fails now and then, where somebody looks. */
static void inject(struct sim *s, struct sock *k)
{
    if (k->peer == NULL || k->dead)
        return;
    if (sim_fault(s, s->conf.faults.reset)) {
        sim_reset_both(s, k->peer);
    } else if (sim_fault(s, s->conf.faults.timeout)) {
        k->dead = true;
        k->error = ETIMEDOUT;
        k->peer->to_near.cut = k->peer->to_far.cut = true;
    }
}

/* The error that this end has to be told, once; then false. */
static bool take_error(struct sock *k, int *out_error)
{
    if (k->error == 0)
        return false;
    *out_error = -k->error;
    k->error = 0;
    return true;
}

static bool readable(const struct sock *k)
{
    return k->peer != NULL &&
           (k->peer->to_near.arrived > 0 || flow_ended(&k->peer->to_near) || k->dead);
}

static bool writable(const struct sock *k)
{
    return k->dead || k->write_shut || k->peer == NULL || flow_room(&k->peer->to_far) > 0;
}

static struct io_buf *take_buf(struct sim *s, struct armed *a)
{
    struct io_buf *b = sim_fault(s, s->conf.faults.buffers) ? NULL : io_bufs_take(&s->io.bufs);

    if (b == NULL && !a->starved)
        counter_add(&s->io.stats.no_buffers, 1);
    a->starved = b == NULL;
    if (b != NULL)
        s->buf_out[b->id] = 1;
    return b;
}

static void do_recv(struct sim *s, struct armed *a)
{
    struct sock *k = sim_sock(s, a->fd);
    struct flow *f = &k->peer->to_near;
    int error;

    if (f->arrived == 0 && take_error(k, &error)) {
        finish(s, a, error);
        return;
    }
    while (f->arrived > 0) {
        size_t want = sim_share(s, f->arrived < LIMIT_BUF_SIZE ? f->arrived : LIMIT_BUF_SIZE);
        struct io_buf *b = take_buf(s, a);
        if (b == NULL)
            return;
        b->len = (uint32_t)flow_take(s, f, b->data, want);
        io_note_buf(&s->io, a->op, b);
        if (!s->conf.calm && sim_below(s, 3) != 0)
            return;
    }
    if (flow_ended(f) || k->dead)
        finish(s, a, 0);
}

static void do_recv_into(struct sim *s, struct armed *a)
{
    struct sock *k = sim_sock(s, a->fd);
    struct flow *f = &k->peer->to_near;
    int error;

    if (f->arrived == 0) {
        finish(s, a, take_error(k, &error) ? error : 0);
        return;
    }
    finish(s, a, (int)flow_take(s, f, a->op->into.data, sim_share(s, a->op->into.len)));
}

/* Why a write cannot go on; 0: it can. */
static int write_error(struct sock *k)
{
    int error;

    if (k->peer == NULL)
        return -ENOTCONN;
    if (k->write_shut)
        return -EPIPE;
    if (take_error(k, &error))
        return error;
    return k->dead ? -EPIPE : 0;
}

static void do_send(struct sim *s, struct armed *a)
{
    struct sock *k = sim_sock(s, a->fd);
    struct op *op = a->op;
    int error = write_error(k);

    if (error != 0) {
        finish(s, a, error);
        return;
    }
    struct flow *f = &k->peer->to_far;
    size_t room = flow_room(f), now;
    now = room > 0 ? sim_share(s, room) : 0;
    while (now > 0 && op->aux > 0) {
        struct iovec *v = op->send.iov;
        size_t n = v->iov_len < now ? v->iov_len : now;
        flow_put(s, f, v->iov_base, n);
        op->send.done += (uint32_t)n;
        now -= n;
        v->iov_base = (char *)v->iov_base + n;
        v->iov_len -= n;
        if (v->iov_len == 0) {
            op->send.iov++;
            op->aux--;
        }
    }
    if (op->send.done == op->send.total)
        finish(s, a, (int)op->send.total);
    else
        counter_add(&s->io.stats.sends_blocked, 1);
}

static bool may_accept(struct sim *s, struct armed *a)
{
    static const int errors[] = {-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM};

    if (!sim_fault(s, s->conf.faults.accept))
        return true;
    finish(s, a, errors[sim_below(s, ARRAY_LEN(errors))]);
    return false;
}

/* The first of the backlog as a near descriptor, or -EMFILE; -ECONNABORTED: it was gone. */
static int accept_first(struct sim *s, struct sock *l)
{
    struct peer *p = container_of(list_pop_front(&l->backlog), struct peer, backlog);

    if (sim_fault(s, s->conf.faults.aborted)) {
        p->near_closed = true;
        sim_reset_both(s, p);
        return -ECONNABORTED;
    }
    struct sock *k = sim_sock_new(s, SOCK_OPEN, l->family);
    if (k == NULL) {
        list_push_front(&l->backlog, &p->backlog);
        return -EMFILE;
    }
    k->addr = l->addr;
    k->addr_len = l->addr_len;
    sim_join(s, k, p);
    return k->fd;
}

static void do_accept(struct sim *s, struct armed *a)
{
    struct sock *l = sim_sock(s, a->fd);

    do {
        if (!may_accept(s, a))
            return;
        int fd = accept_first(s, l);
        if (fd == -EMFILE) {
            finish(s, a, fd);
            return;
        }
        if (fd >= 0)
            io_note_accepted(&s->io, a->op, fd);
    } while (!list_empty(&l->backlog) && sim_chance(s, 50));
}

static int unlucky_connect(struct sim *s)
{
    static const int errors[] = {-ECONNREFUSED, -ETIMEDOUT,     -ENETUNREACH,
                                 -EHOSTUNREACH, -EADDRNOTAVAIL, -ECONNRESET};
    return errors[sim_below(s, ARRAY_LEN(errors))];
}

/* The address is read only now: it must still be there. */
static void do_connect(struct sim *s, struct armed *a)
{
    struct sock *k = sim_sock(s, a->fd);
    struct server *v = sim_server_at(s, a->op->connect.addr, a->op->connect.len);

    if (v == NULL || v->pub.mood == SIM_REFUSES) {
        finish(s, a, -ECONNREFUSED);
    } else if (sim_fault(s, s->conf.faults.connect)) {
        finish(s, a, unlucky_connect(s));
    } else if (v->pub.mood == SIM_FULL) {
        finish(s, a, -EAGAIN);
    } else if (v->pub.mood == SIM_HANGS && k->kind == SOCK_CONNECTING) {
        finish(s, a, -ETIMEDOUT);
    } else if (v->pub.mood == SIM_HANGS) {
        k->kind = SOCK_CONNECTING;
        a->ready_us = s->now_us + CONNECT_GIVE_UP;
    } else {
        struct peer *p = sim_peer_new(s);
        p->pub.fn = v->pub.fn;
        p->pub.arg = v->pub.arg;
        p->addr = v->addr;
        p->addr_len = v->addr_len;
        p->doom = v->pub.mood;
        v->pub.connects++;
        sim_join(s, k, p);
        finish(s, a, 0);
    }
}

static uint32_t poll_state(const struct sock *k)
{
    uint32_t e = 0;

    if (k->kind == SOCK_LISTENING)
        return list_empty(&k->backlog) ? 0 : POLLIN;
    if (k->peer == NULL)
        return k->kind == SOCK_CONNECTING ? 0 : POLLOUT | POLLHUP;
    if (readable(k))
        e |= POLLIN;
    if (writable(k))
        e |= POLLOUT;
    if (k->peer->to_near.fin_arrived)
        e |= POLLIN | POLLRDHUP;
    if (k->error != 0)
        e |= POLLERR;
    if (k->dead || (k->write_shut && k->peer->to_near.fin_arrived))
        e |= POLLHUP | POLLRDHUP;
    return e;
}

static uint32_t poll_shows(struct sim *s, const struct armed *a)
{
    return poll_state(sim_sock(s, a->fd)) & (a->op->poll.events | POLLERR | POLLHUP);
}

/* ---- splice ---- */

static struct sim_pipe *pipe_of(struct op *op)
{
    return (struct sim_pipe *)(void *)op->splice.pipe;
}

static bool splice_possible(struct sim *s, const struct armed *a)
{
    const struct sock *in = sim_sock(s, a->fd), *out = sim_sock(s, a->out);
    const struct io_pipe *p = a->op->splice.pipe;

    return (p->fill > 0 && writable(out)) || (p->fill < p->size && readable(in)) ||
           (p->fill == 0 && p->left == 0) || in->error != 0;
}

static void splice_out(struct sim *s, struct armed *a)
{
    struct sim_pipe *p = pipe_of(a->op);
    struct flow *f = &sim_sock(s, a->out)->peer->to_far;
    size_t room = flow_room(f), n = room < p->pipe.fill ? room : p->pipe.fill;

    if (n == 0)
        return;
    n = sim_share(s, n);
    flow_put(s, f, p->data, n);
    p->pipe.fill -= (uint32_t)n;
    memmove(p->data, p->data + n, p->pipe.fill);
    io_note_moved(&s->io, a->op, (uint32_t)n);
}

static void do_splice(struct sim *s, struct armed *a)
{
    struct sock *in = sim_sock(s, a->fd), *out = sim_sock(s, a->out);
    struct sim_pipe *p = pipe_of(a->op);
    int error;

    if (in->peer == NULL || out->peer == NULL ||
        (p->pipe.fill == 0 && sim_fault(s, s->conf.faults.splice))) {
        finish(s, a, -EINVAL);
        return;
    }
    if (p->pipe.fill > 0 && (out->dead || out->write_shut)) {
        error = write_error(out);
        p->pipe.error_on_in = false;
        finish(s, a, error);
        return;
    }
    if ((in->peer->to_near.arrived == 0 || p->pipe.fill > 0) && take_error(in, &error)) {
        p->pipe.error_on_in = true;
        finish(s, a, error);
        return;
    }
    if (p->pipe.fill > 0)
        splice_out(s, a);
    size_t room = p->pipe.size - p->pipe.fill, arrived = in->peer->to_near.arrived;
    if (room > p->pipe.left)
        room = (size_t)p->pipe.left;
    if (p->pipe.fill == 0 && p->pipe.left == 0) {
        finish(s, a, 0);
        return;
    }
    if (room > 0 && arrived > 0) {
        size_t n = flow_take(s, &in->peer->to_near, p->data + p->pipe.fill,
                             sim_share(s, room < arrived ? room : arrived));
        p->pipe.fill += (uint32_t)n;
        p->pipe.left -= n;
    } else if (p->pipe.fill == 0 && (flow_ended(&in->peer->to_near) || in->dead)) {
        finish(s, a, 0);
    }
}

static struct io_pipe *pipe_take(struct io *io)
{
    struct sim *s = of(io);

    if (sim_fault(s, s->conf.faults.pipe))
        return NULL;
    struct sim_pipe *p = xcalloc(1, sizeof(*p));
    p->pipe.rd = p->pipe.wr = -1;
    p->pipe.size = s->conf.calm ? PIPE_BYTES : 1 + sim_below(s, PIPE_BYTES);
    p->pipe.end = 1;
    s->pipes_out++;
    counter_add(&io->stats.pipes_used, 1);
    return &p->pipe;
}

static void pipe_give(struct io *io, struct io_pipe *pipe)
{
    struct sim *s = of(io);

    for (uint32_t i = 0; i < s->n_armed; i++)
        if (s->armed[i].kind == OP_SPLICE && s->armed[i].op->splice.pipe == pipe)
            sim_fail(s, "a pipe is given back while its splice is armed");
    sl_assert(s->pipes_out > 0);
    s->pipes_out--;
    counter_sub(&io->stats.pipes_used, 1);
    free(pipe);
}

/* ---- progress ---- */

static bool possible(struct sim *s, const struct armed *a)
{
    const struct sock *k = sim_sock(s, a->fd);

    switch (a->kind) {
    case OP_ACCEPT:
        return !list_empty(&k->backlog);
    case OP_CONNECT:
        return a->ready_us <= s->now_us;
    case OP_RECV:
        if (k->peer == NULL || (a->starved && s->io.bufs.free == NULL && s->io.bufs.used > 0))
            return false;
        return readable(k);
    case OP_RECV_INTO:
        return readable(k);
    case OP_SEND:
        return writable(k);
    case OP_POLL:
        return poll_shows(s, a) != 0;
    case OP_SPLICE:
        return splice_possible(s, a);
    case OP_WATCH:
        return k->news;
    case OP_NONE:
    case OP_FILE_OPEN:
    case OP_FILE_READ:
    case OP_SEND_FILE:
        break;
    }
    sim_fail(s, "an operation of no kind");
}

static void perform(struct sim *s, struct armed *a)
{
    if (a->kind != OP_ACCEPT && a->kind != OP_POLL && a->kind != OP_WATCH)
        inject(s, sim_sock(s, a->fd));
    switch (a->kind) {
    case OP_ACCEPT:
        do_accept(s, a);
        return;
    case OP_CONNECT:
        do_connect(s, a);
        return;
    case OP_RECV:
        do_recv(s, a);
        return;
    case OP_RECV_INTO:
        do_recv_into(s, a);
        return;
    case OP_SEND:
        do_send(s, a);
        return;
    case OP_POLL:
        finish(s, a, (int)poll_shows(s, a));
        return;
    case OP_SPLICE:
        do_splice(s, a);
        return;
    case OP_WATCH:
        sim_sock(s, a->fd)->news = false;
        io_note_shows(&s->io, a->op);
        return;
    case OP_NONE:
    case OP_FILE_OPEN:
    case OP_FILE_READ:
    case OP_SEND_FILE:
        return;
    }
}

/* True: it is not finished with now: passed over, or a cancel that has not won yet. */
static bool offer(struct sim *s, struct armed *a)
{
    if (a->cancel_in == 0) {
        finish(s, a, -ECANCELED);
        return false;
    }
    bool can = possible(s, a);
    if (a->cancel_in > 0)
        a->cancel_in--;
    if (can && !sim_chance(s, s->eager_percent) && a->patience++ < PATIENCE)
        return true;
    bool pending = a->cancel_in >= 0;
    if (can) {
        a->patience = 0;
        perform(s, a);
    }
    return pending;
}

/* Every armed operation once, in random order. True: some still have something to do now. */
static bool offer_all(struct sim *s)
{
    struct op *ops[SIM_FDS];
    uint32_t n = s->n_armed;
    bool more = false;

    for (uint32_t i = 0; i < n; i++)
        ops[i] = s->armed[i].op;
    for (uint32_t i = n; i > 1 && !s->conf.calm; i--) {
        uint32_t j = sim_below(s, i);
        struct op *t = ops[i - 1];
        ops[i - 1] = ops[j];
        ops[j] = t;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct armed *a = armed_of(s, ops[i]);
        if (a != NULL && offer(s, a))
            more = true;
    }
    return more;
}

/* When anything happens next: in the network, or a connect is decided. */
static uint64_t next_event(const struct sim *s)
{
    uint64_t next = sim_net_next(s);

    for (uint32_t i = 0; i < s->n_armed; i++)
        if (s->armed[i].kind == OP_CONNECT && s->armed[i].ready_us < next &&
            s->armed[i].ready_us > s->now_us)
            next = s->armed[i].ready_us;
    return next;
}

static void happen(struct sim *s, uint64_t until_us)
{
    for (int passes = 0;; passes++) {
        if (passes > PASSES_MAX)
            sim_fail(s, "is busy without end in one turn");
        sim_net_step(s);
        bool more = offer_all(s);
        if (io_has_ready(&s->io))
            return;
        if (more)
            continue;
        uint64_t next = next_event(s);
        if (next == SIM_NEVER && until_us == SIM_NEVER)
            sim_fail(s, "waits without limit, and nothing will ever happen");
        if (next > until_us) {
            if (until_us > s->now_us)
                s->now_us = until_us;
            return;
        }
        if (next > s->now_us)
            s->now_us = next;
    }
}

static int turn(struct io *io, int timeout_ms, const struct io_turn_hooks *hooks)
{
    struct sim *s = of(io);
    uint64_t until = timeout_ms < 0 ? SIM_NEVER : s->now_us + (uint64_t)timeout_ms * 1000;

    verify(s);
    if (timeout_ms != 0 && hooks != NULL && hooks->before_wait != NULL)
        hooks->before_wait(hooks->arg);
    s->now_us += s->conf.calm ? 0 : sim_below(s, 20);
    happen(s, io_has_ready(io) ? s->now_us : until);
    io_clock_update(io);
    if (timeout_ms != 0 && hooks != NULL && hooks->after_wait != NULL)
        hooks->after_wait(hooks->arg);
    counter_add(&io->stats.syscalls, 1);
    return 0;
}

/* ---- arming, cancelling ---- */

static void arm_connect(struct io *io, struct op *op)
{
    struct armed *a = enter(io, op);

    if (sim_sock(of(io), op->fd)->kind != SOCK_NEW)
        sim_fail(of(io), "connect on %d, which is no new socket", op->fd);
    a->ready_us = of(io)->now_us + sim_latency(of(io));
}

static void arm_send(struct io *io, struct op *op)
{
    counter_add(&io->stats.sends, 1);
    enter(io, op);
}

static void cancel(struct io *io, struct op *op)
{
    struct sim *s = of(io);
    struct armed *a = armed_of(s, op);

    if (a == NULL) /* its last result is noted */
        return;
    if (sim_chance(s, s->cancel_wins_percent))
        finish(s, a, -ECANCELED);
    else
        a->cancel_in = 1 + (int)sim_below(s, 4);
}

static void buf_returned(struct io *io, struct io_buf *buf)
{
    struct sim *s = of(io);

    if (!s->buf_out[buf->id])
        sim_fail(s, "buffer %u is given back twice", buf->id);
    s->buf_out[buf->id] = 0;
}

/* ---- immediate calls ---- */

static int sim_socket(struct io *io, int family, const struct io_sock_opts *opts)
{
    struct sim *s = of(io);

    (void)opts;
    if (sim_fault(s, s->conf.faults.socket))
        return -EMFILE;
    struct sock *k = sim_sock_new(s, SOCK_NEW, family);
    return k != NULL ? k->fd : -EMFILE;
}

static int sim_shutdown(struct io *io, int fd, int how)
{
    struct sim *s = of(io);
    struct sock *k = sim_sock(s, fd);

    if (k->kind != SOCK_OPEN || k->dead)
        return -ENOTCONN;
    sim_sock_shutdown(s, k, how);
    return 0;
}

static int sim_accept_now(struct io *io, int fd)
{
    struct sim *s = of(io);
    struct sock *l = sim_sock(s, fd);

    for (uint32_t i = 0; i < s->n_armed; i++)
        if (uses(&s->armed[i], fd))
            sim_fail(s, "accept_now on %d while its accept is armed", fd);
    while (!list_empty(&l->backlog)) {
        int c = accept_first(s, l);
        if (c != -ECONNABORTED)
            return c;
    }
    return -EAGAIN;
}

/* Armed, or with a result that waits to be delivered. */
static void check_unused(struct sim *s, int fd)
{
    for (uint32_t i = 0; i < s->n_armed; i++)
        if (uses(&s->armed[i], fd))
            sim_fail(s, "%d is closed while a %s is armed on it", fd, kind_names[s->armed[i].kind]);
    for (struct op *op = s->io.ready_first; op != NULL; op = op->next_ready)
        if (op->fd == fd || (op->kind == OP_SPLICE && op->splice.out == fd))
            sim_fail(s, "%d is closed before the last call of its %s", fd, kind_names[op->kind]);
}

static void sim_close(struct io *io, int fd, bool reset)
{
    struct sim *s = of(io);
    struct sock *k = sim_sock(s, fd);

    check_unused(s, fd);
    sim_sock_close(s, k, reset);
}

static int sim_name(struct io *io, int fd, bool peer, struct sockaddr_storage *out,
                    socklen_t *out_len)
{
    struct sock *k = sim_sock(of(io), fd);

    if (peer && (k->peer == NULL || k->dead))
        return -ENOTCONN;
    *out = peer ? k->peer->addr : k->addr;
    *out_len = peer ? k->peer->addr_len : k->addr_len;
    return 0;
}

static uint64_t sim_random(struct io *io)
{
    return rng_next(&of(io)->product_rng);
}

static void sim_clock(struct io *io)
{
    io->now_us = of(io)->now_us;
    io->wall_us = WALL_US + of(io)->now_us;
}

/* ---- life ---- */

static void engine_free(struct io *io)
{
    struct sim *s = of(io);

    if (s->n_armed > 0 || io->ready_first != NULL)
        sim_fail(s, "the engine is freed with %u operations armed", s->n_armed);
    list_for_each (node, &s->open)
        sim_fail(s, "descriptor %d is leaked", list_entry(node, struct sock, node)->fd);
    if (s->pipes_out > 0)
        sim_fail(s, "%u pipes are leaked", s->pipes_out);
    if (io->bufs.used > 0)
        sim_fail(s, "%u buffers are leaked", io->bufs.used);
    io_common_fini(io);
    s->io_freed = true;
}

/* The kernel's own files, as there is nothing to simulate of them but that it takes a turn. */
static void sim_file(struct io *io, struct op *op)
{
    io_note(io, op, io_file_do(op));
}

static const struct io_engine engine = {
    .name = "sim",
    .kind = IO_SIM,
    .free = engine_free,
    .turn = turn,
    .accept = arm,
    .connect = arm_connect,
    .recv = arm,
    .recv_into = arm,
    .send = arm_send,
    .poll = arm,
    .splice = arm,
    .watch = arm,
    .file = sim_file,
    .cancel = cancel,
    .buf_returned = buf_returned,
    .socket = sim_socket,
    .shutdown = sim_shutdown,
    .close = sim_close,
    .accept_now = sim_accept_now,
    .sock_name = sim_name,
    .dgram_connect = sim_dgram_connect,
    .dgrams_recv = sim_dgrams_recv,
    .dgrams_send = sim_dgrams_send,
    .pipe_take = pipe_take,
    .pipe_give = pipe_give,
    .random = sim_random,
    .clock = sim_clock,
};

/* Each seed is of another temper: one all haste, one all stutter, most between. */
static void draw_temper(struct sim *s)
{
    static const uint32_t windows[] = {1, 7, 64, 1000, 16384, 200000};
    static const uint32_t latencies[] = {1, 50, 1000, 30000, 300000};
    static const uint32_t percents[] = {10, 50, 80, 100};

    s->window_max = windows[sim_below(s, ARRAY_LEN(windows))];
    s->latency_max_us = latencies[sim_below(s, ARRAY_LEN(latencies))];
    if (s->conf.near) {
        s->window_max = 1 << 20;
        s->latency_max_us = 1000;
    }
    s->eager_percent = percents[sim_below(s, ARRAY_LEN(percents))];
    s->whole_percent = percents[sim_below(s, ARRAY_LEN(percents))];
    s->cancel_wins_percent = percents[sim_below(s, ARRAY_LEN(percents))];
}

struct sim *sim_new(const struct sim_conf *conf)
{
    struct sim *s = xcalloc(1, sizeof(*s));
    struct io_conf io_conf = {.engine = IO_SIM, .bufs_max = conf->bufs_max};

    s->conf = *conf;
    s->now_us = START_US;
    rng_seed(&s->rng, conf->seed);
    rng_seed(&s->product_rng, conf->seed ^ 0x9e3779b97f4a7c15ull);
    list_init(&s->open);
    list_init(&s->peers);
    list_init(&s->servers);
    list_init(&s->afters);
    list_init(&s->dgrams);
    list_init(&s->dgram_ends);
    draw_temper(s);
    io_common_init(&s->io, &engine, &io_conf);
    return s;
}

struct io *sim_io(struct sim *s)
{
    return &s->io;
}

struct sim_faults *sim_faults(struct sim *s)
{
    return &s->conf.faults;
}

uint64_t sim_now_us(const struct sim *s)
{
    return s->now_us;
}

int sim_open_fds(const struct sim *s)
{
    return (int)s->n_open;
}

int sim_armed(const struct sim *s)
{
    return (int)s->n_armed;
}

void sim_free(struct sim **sim)
{
    struct sim *s = *sim;

    if (s == NULL)
        return;
    *sim = NULL;
    sl_assert(s->io_freed);
    sim_net_free(s);
    free(s);
}
