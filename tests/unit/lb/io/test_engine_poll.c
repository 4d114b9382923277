/* test_engine_poll.c - waiting for what poll(2) tells. */
#include "tests/unit/lb/io/engine_fixture.h"

static void an_error_watch_sees_a_reset(void **state)
{
    struct fixture *f = *state;

    for (int late = 0; late < 2; late++) { /* also when it came before the watch */
        struct probe *p = probe_new(f, on_call), *w = probe_new(f, on_call);
        int near, far;
        pair(&near, &far);
        io_send(f->io, &w->op, near, "known to the engine", 19);
        turn_until(f, w->ends);
        if (!late) {
            io_poll(f->io, &p->op, near, 0);
            turn(f, 10);
            assert_int_equal(p->calls, 0);
            far_send(far, "data is no error", 16);
            shutdown(far, SHUT_WR);
            turn(f, 10);
            assert_int_equal(p->calls, 0);
        }
        far_reset(far);
        if (late) {
            turn(f, 10);
            io_poll(f->io, &p->op, near, 0);
        }
        turn_until(f, p->ends);
        assert_true(p->last > 0 && p->last & (POLLERR | POLLHUP));
        io_close(f->io, near);
        probe_free(p);
        probe_free(w);
    }
}

/* Why: edges may be spent on one operation and needed by another. */
static void an_error_watch_after_a_cancelled_receive_sees_what_it_missed(void **state)
{
    struct fixture *f = *state;
    struct probe *r = probe_new(f, on_recv), *p = probe_new(f, on_call);
    int near, far;

    pair(&near, &far);
    io_recv(f->io, &r->op, near);
    far_send(far, "x", 1);
    turn_until(f, r->len == 1);
    cancel_and_join(r);
    far_reset(far);
    turn(f, 10);
    turn(f, 10);
    io_poll(f->io, &p->op, near, 0);
    turn_until(f, p->ends);
    assert_true(p->last & (POLLERR | POLLHUP));
    probe_again(r);
    io_recv(f->io, &r->op, near);
    turn_until(f, r->ends);
    assert_int_equal(r->last, -ECONNRESET);
    io_close(f->io, near);
    probe_free(r);
    probe_free(p);
}

static void a_poll_completes_when_its_condition_holds_already(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_call);
    int fds[2];
    uint64_t one = 1, v;
    int e = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    for (int i = 0; i < 3; i++) { /* it stays true: every poll says so */
        probe_again(p);
        io_poll(f->io, &p->op, fds[1], POLLOUT);
        turn_until(f, p->ends);
        assert_true(p->last & POLLOUT);
    }
    probe_again(p);
    io_poll(f->io, &p->op, e, POLLIN);
    turn(f, 10);
    assert_int_equal(p->calls, 0);
    assert_int_equal(write(e, &one, 8), 8);
    turn_until(f, p->ends);
    assert_int_equal(p->last, POLLIN);
    for (int i = 0; i < 2; i++) {
        probe_again(p);
        io_poll(f->io, &p->op, e, POLLIN);
        turn_until(f, p->ends);
        assert_int_equal(p->last, POLLIN);
    }
    assert_int_equal(read(e, &v, 8), 8);
    probe_again(p);
    io_poll(f->io, &p->op, e, POLLIN);
    turn(f, 20);
    assert_int_equal(p->calls, 0);
    cancel_and_join(p);
    probe_again(p);
    io_poll(f->io, &p->op, fds[0], POLLIN);
    turn(f, 0);
    close(fds[1]);
    turn_until(f, p->ends);
    assert_true(p->last & POLLHUP);
    io_close(f->io, fds[0]);
    io_close(f->io, e);
    probe_free(p);
}

static void two_polls_of_one_descriptor_are_independent(void **state)
{
    struct fixture *f = *state;
    struct probe *in = probe_new(f, on_call), *out = probe_new(f, on_call);
    int near, far;

    pair(&near, &far);
    io_poll(f->io, &in->op, near, POLLIN);
    io_poll(f->io, &out->op, near, POLLOUT);
    turn_until(f, out->ends);
    assert_int_equal(out->last, POLLOUT);
    assert_int_equal(in->calls, 0);
    probe_again(out);
    far_send(far, "x", 1);
    turn_until(f, in->ends);
    assert_int_equal(in->last, POLLIN);
    io_close(f->io, near);
    close(far);
    probe_free(in);
    probe_free(out);
}

/* Why: c-ares closes its sockets itself; their numbers come back as other sockets. */
static void a_polled_descriptor_may_be_closed_by_its_library(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_call);
    struct sockaddr_storage a;
    socklen_t len;
    int l = listen_tcp(AF_INET, &a, &len, 8);

    for (int i = 0; i < 3; i++) {
        int u = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        probe_again(p);
        io_poll(f->io, &p->op, u, POLLIN);
        turn(f, 0);
        cancel_and_join(p);
        close(u);
        probe_again(p);
        if (i == 0) {
            int e = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* same number */
            assert_int_equal(e, u);
            io_poll(f->io, &p->op, e, POLLIN);
            turn_until(f, p->ends);
            close(e);
        } else {
            int fd = io_socket(f->io, AF_INET, &(struct io_sock_opts){0});
            assert_int_equal(fd, u);
            io_connect(f->io, &p->op, fd, (void *)&a, len);
            turn_until(f, p->ends);
            assert_int_equal(p->last, 0);
            io_close(f->io, fd);
        }
    }
    close(l);
    probe_free(p);
}

static const struct CMUnitTest tests[] = {
    T(an_error_watch_sees_a_reset),
    T(an_error_watch_after_a_cancelled_receive_sees_what_it_missed),
    T(a_poll_completes_when_its_condition_holds_already),
    T(two_polls_of_one_descriptor_are_independent),
    T(a_polled_descriptor_may_be_closed_by_its_library),
};

ENGINE_MAIN
