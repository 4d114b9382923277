/* test_engine_ops.c - operations of every kind: cancels, the life of ops and descriptors, waiting.
 */
#include "tests/unit/lb/io/engine_fixture.h"

#include <linux/io_uring.h>
#include <sys/syscall.h>

/* ---- cancel ---- */

static void every_kind_of_operation_can_be_cancelled(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_storage a;
    socklen_t len;
    int l = listen_tcp(AF_INET, &a, &len, 0), fill[4], near, far, n = 0;
    char c;

    pair(&near, &far);
    for (; n < 4; n++) { /* no room in the backlog: a connect hangs */
        fill[n] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(fill[n], (void *)&a, len);
    }
    for (int turns = 0; turns < 2; turns++) { /* also before any turn has submitted it */
        struct probe *p[5];
        for (size_t i = 0; i < ARRAY_LEN(p); i++)
            p[i] = probe_new(f, i == 0 ? on_accept : i == 1 ? on_recv : on_call);
        int fd = io_socket(f->io, AF_INET, &(struct io_sock_opts){0});
        int near2, far2, near3, far3, l2;
        struct sockaddr_storage a2;
        socklen_t len2;
        l2 = listen_tcp(AF_INET, &a2, &len2, 1);
        pair(&near2, &far2);
        pair(&near3, &far3);
        io_accept(f->io, &p[0]->op, l2);
        io_recv(f->io, &p[1]->op, near);
        io_connect(f->io, &p[2]->op, fd, (void *)&a, len);
        io_recv_into(f->io, &p[3]->op, near2, &c, 1);
        io_poll(f->io, &p[4]->op, near3, POLLIN);
        for (int i = 0; i < 2 * turns; i++)
            turn(f, 1);
        for (size_t i = 0; i < ARRAY_LEN(p); i++)
            assert_int_equal(p[i]->calls, 0);
        for (size_t i = 0; i < ARRAY_LEN(p); i++) {
            io_cancel(f->io, &p[i]->op);
            io_cancel(f->io, &p[i]->op);
            assert_int_equal(p[i]->calls, 0);
        }
        for (size_t i = 0; i < ARRAY_LEN(p); i++) {
            turn_until(f, p[i]->ends);
            assert_int_equal(p[i]->last, -ECANCELED);
            assert_int_equal(p[i]->calls, 1);
            io_cancel(f->io, &p[i]->op); /* idle: no effect */
        }
        turn(f, 5);
        for (size_t i = 0; i < ARRAY_LEN(p); i++) {
            assert_int_equal(p[i]->calls, 1);
            probe_free(p[i]);
        }
        io_close(f->io, fd);
        io_close(f->io, l2);
        io_close(f->io, near2);
        io_close(f->io, near3);
        close(far2);
        close(far3);
    }
    while (n > 0)
        close(fill[--n]);
    io_close(f->io, near);
    close(far);
    close(l);
}

static void a_result_that_came_first_outlives_the_cancel(void **state)
{
    struct fixture *f = *state;
    struct probe *a = probe_new(f, on_call), *b = probe_new(f, on_call);
    char c[2];
    int near[2], far[2];

    for (int round = 0; round < 200; round++) {
        bool settle = round % 2;
        probe_again(a);
        probe_again(b);
        pair_of(AF_UNIX, &near[0], &far[0]);
        pair_of(AF_UNIX, &near[1], &far[1]);
        io_recv_into(f->io, &a->op, near[0], &c[0], 1);
        io_recv_into(f->io, &b->op, near[1], &c[1], 1);
        if (settle)
            turn(f, 0);
        far_send(far[0], "a", 1);
        io_cancel(f->io, &b->op);
        io_cancel(f->io, &a->op);
        turn_until(f, a->ends && b->ends);
        assert_int_equal(b->last, -ECANCELED);
        char left;
        bool taken = recv(near[0], &left, 1, MSG_DONTWAIT) < 0;
        assert_int_equal(a->last, taken ? 1 : -ECANCELED); /* the byte is in one place */
        for (int i = 0; i < 2; i++) {
            io_close(f->io, near[i]);
            close(far[i]);
        }
    }
    probe_free(a);
    probe_free(b);
}

/* ---- life of ops and descriptors ---- */

static void on_last_free(struct op *op, int res)
{
    struct probe *p = container_of(op, struct probe, op);
    int *count = (int *)(void *)p->data;

    (void)res;
    if (op->armed) {
        io_buf_put_chain(p->f->io, op_take_bufs(op));
        return;
    }
    memset(p, 0xdd, sizeof(*p));
    free(p);
    (*count)++;
}

static void the_last_call_may_free_the_op(void **state)
{
    struct fixture *f = *state;
    int near, far, freed = 0;
    struct probe *r = probe_new(f, on_last_free), *s = probe_new(f, on_last_free);

    r->data = s->data = (void *)&freed;
    pair(&near, &far);
    io_recv(f->io, &r->op, near);
    io_send(f->io, &s->op, near, "x", 1);
    far_send(far, "x", 1);
    shutdown(far, SHUT_WR);
    turn_until(f, freed == 2);
    turn(f, 5);
    io_close(f->io, near);
    close(far);
}

static void on_again(struct op *op, int res)
{
    struct probe *p = container_of(op, struct probe, op);

    assert_false(op->armed);
    assert_int_equal(res, 1);
    if (++p->calls < 100)
        io_send(p->f->io, op, op->fd, "x", 1);
}

static void the_last_call_may_arm_the_op_again(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_again);
    char c;
    int near, far, n = 0;

    pair(&near, &far);
    io_send(f->io, &p->op, near, "x", 1);
    turn_until(f, p->calls == 100 && !p->op.armed);
    turn_until(f, (n += recv(far, &c, 1, 0) == 1) == 100);
    io_close(f->io, near);
    close(far);
    probe_free(p);
}

static void a_reused_descriptor_starts_anew(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_recv), *s = probe_new(f, on_call);
    uint8_t *data = pattern(BUSY_BYTES);
    int near, far, first = -1;

    for (int i = 0; i < 50; i++) {
        pair(&near, &far);
        if (first < 0)
            first = near;
        assert_int_equal(near, first);
        probe_again(p);
        probe_again(s);
        io_recv(f->io, &p->op, near);
        far_send(far, "hello", 5);
        turn_until(f, p->len == 5);
        switch (i % 4) { /* each leaves the descriptor in another state */
        case 0:
            far_reset(far);
            turn_until(f, p->ends);
            break;
        case 1:
            close(far);
            turn_until(f, p->ends);
            break;
        case 2: /* full */
            io_send(f->io, &s->op, near, data, BUSY_BYTES);
            turn(f, 0);
            cancel_and_join(s);
            cancel_and_join(p);
            close(far);
            break;
        default: /* unread data */
            cancel_and_join(p);
            far_send(far, "unread", 6);
            turn(f, 0);
            close(far);
        }
        if (i % 2)
            io_reset(f->io, near);
        else
            io_close(f->io, near);
    }
    free(data);
    probe_free(p);
    probe_free(s);
}

static void a_reset_reaches_the_peer(void **state)
{
    struct fixture *f = *state;
    int near, far;
    char c;

    pair(&near, &far);
    io_reset(f->io, near);
    assert_int_equal(recv(far, &c, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    close(far);
    pair(&near, &far);
    io_close(f->io, near);
    assert_int_equal(recv(far, &c, 1, 0), 0);
    close(far);
}

static void a_bad_descriptor_is_an_error_not_a_crash(void **state)
{
    struct fixture *f = *state;
    int fd = dup(0), n = 0;
    struct probe *p[4];
    char c;

    close(fd);
    for (; n < 4; n++)
        p[n] = probe_new(f, n == 0 ? on_recv : n == 1 ? on_accept : on_call);
    io_recv(f->io, &p[0]->op, fd);
    turn_until(f, p[0]->ends);
    io_accept(f->io, &p[1]->op, fd);
    turn_until(f, p[1]->ends);
    io_recv_into(f->io, &p[2]->op, fd, &c, 1);
    turn_until(f, p[2]->ends);
    io_send(f->io, &p[3]->op, fd, "x", 1);
    turn_until(f, p[3]->ends);
    while (n > 0) {
        assert_int_equal(p[--n]->last, -EBADF);
        probe_free(p[n]);
    }
}

/* ---- waiting ---- */

struct hook_count {
    int before, after;
};
static void count_before(void *arg)
{
    ((struct hook_count *)arg)->before++;
}
static void count_after(void *arg)
{
    struct hook_count *h = arg;
    assert_int_equal(++h->after, h->before);
}

static void waiting_takes_its_time_and_tells_its_hooks(void **state)
{
    struct fixture *f = *state;
    struct hook_count h = {0};
    struct io_turn_hooks hooks = {count_before, count_after, &h};

    assert_int_equal(io_turn(f->io, 0, &hooks), 0);
    uint64_t start = now_ms(), io_start = io_now_ms(f->io);
    assert_int_equal(io_turn(f->io, 30, &hooks), 0);
    assert_true(now_ms() - start >= 29);
    assert_true(io_now_ms(f->io) - io_start >= 29);
    assert_true(h.before >= 1 && h.before == h.after);
    assert_true(io_wall_us(f->io) > 1600000000ull * 1000000);
}

static void armed_operations_with_nothing_to_do_cost_nothing(void **state)
{
    enum { N = 50 };
    struct fixture *f = *state;
    struct probe *p[N];
    int near[N], far[N];

    for (int i = 0; i < N; i++) {
        pair(&near[i], &far[i]);
        p[i] = probe_new(f, i % 2 ? on_recv : on_call);
        if (i % 2)
            io_recv(f->io, &p[i]->op, near[i]);
        else
            io_poll(f->io, &p[i]->op, near[i], 0);
    }
    for (int i = 0; i < 5; i++)
        turn(f, 2);
    uint64_t syscalls = io_stats(f->io)->syscalls, start = now_ms();
    turn(f, 50);
    assert_true(now_ms() - start >= 49);
    assert_true(io_stats(f->io)->syscalls - syscalls <= 2);
    for (int i = 0; i < N; i++) {
        cancel_and_join(p[i]);
        io_close(f->io, near[i]);
        close(far[i]);
        probe_free(p[i]);
    }
}

/* The descriptor of the engine's ring, or -1. */
static int ring_of_engine(void)
{
    char link[64], path[64];

    for (int fd = 3; fd < 64; fd++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, link, sizeof(link) - 1);
        link[n > 0 ? n : 0] = '\0';
        if (strcmp(link, "anon_inode:[io_uring]") == 0)
            return fd;
    }
    return -1;
}

/* Why: what a filter of system calls forbids must not come by the ring. */
static void a_ring_takes_nothing_but_what_the_engine_does(void **state)
{
    struct io_uring_probe facts = {0};

    (void)state;
    if (engine_kind != IO_URING)
        return;
    int ring = ring_of_engine();
    assert_true(ring >= 0);
    assert_int_equal(syscall(SYS_io_uring_register, ring, IORING_REGISTER_PROBE, &facts, 0), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(syscall(SYS_io_uring_register, ring, IORING_REGISTER_PERSONALITY, NULL, 0),
                     -1);
    assert_int_equal(errno, EACCES);
}

static const struct CMUnitTest tests[] = {
    T(every_kind_of_operation_can_be_cancelled),
    T(a_result_that_came_first_outlives_the_cancel),
    T(the_last_call_may_free_the_op),
    T(the_last_call_may_arm_the_op_again),
    T(a_reused_descriptor_starts_anew),
    T(a_reset_reaches_the_peer),
    T(a_bad_descriptor_is_an_error_not_a_crash),
    T(waiting_takes_its_time_and_tells_its_hooks),
    T(a_ring_takes_nothing_but_what_the_engine_does),
    T(armed_operations_with_nothing_to_do_cost_nothing),
};

ENGINE_MAIN
