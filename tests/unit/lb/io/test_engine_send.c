/* test_engine_send.c - sending. */
#include "tests/unit/lb/io/engine_fixture.h"

static void a_big_send_completes_against_a_slow_reader(void **state)
{
    struct fixture *f = *state;
    static const int families[] = {AF_INET, AF_UNIX};

    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        struct probe *p = probe_new(f, on_call);
        uint8_t *data = pattern(BUSY_BYTES);
        uint64_t got = 0;
        int near, far;

        pair_of(families[i], &near, &far);
        io_send(f->io, &p->op, near, data, BUSY_BYTES);
        assert_int_equal(p->calls, 0);
        for (int j = 0; j < 20; j++)
            turn(f, 0);
        assert_int_equal(p->calls, 0);
        while (got < BUSY_BYTES) {
            if (far_read_pattern(far, &got, 100000) == -EAGAIN)
                turn(f, 10);
            else
                turn(f, 0);
        }
        turn_until(f, p->ends);
        assert_int_equal(p->last, BUSY_BYTES);
        assert_int_equal(p->op.send.done, BUSY_BYTES);
        assert_int_equal(p->calls, 1);
        io_close(f->io, near);
        close(far);
        free(data);
        probe_free(p);
    }
}

static void a_vector_goes_out_slice_by_slice(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_call);
    uint8_t *data = pattern(BUSY_BYTES);
    struct iovec iov[LIMIT_IOV];
    uint64_t got = 0;
    size_t at = 0;
    int near, far;

    pair(&near, &far);
    for (int i = 0; i < LIMIT_IOV; i++) {
        size_t len = i == 3 ? 0 : i < 8 ? (size_t)i * 7 + 1 : BUSY_BYTES / 8 + (size_t)i;
        if (i == LIMIT_IOV - 1)
            len = BUSY_BYTES - at;
        iov[i] = (struct iovec){data + at, len};
        at += len;
    }
    io_sendv(f->io, &p->op, near, iov, LIMIT_IOV);
    while (got < BUSY_BYTES) {
        turn(f, 0);
        far_read_pattern(far, &got, 65537);
    }
    turn_until(f, p->ends);
    assert_int_equal(p->last, BUSY_BYTES);
    io_close(f->io, near);
    close(far);
    free(data);
    probe_free(p);
}

static void a_small_send_completes_in_one_turn(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_call);
    uint64_t got = 0;
    uint8_t *data = pattern(100);
    int near, far;

    pair(&near, &far);
    io_send(f->io, &p->op, near, data, 100);
    turn(f, 0);
    assert_int_equal(p->ends, 1);
    assert_int_equal(p->last, 100);
    assert_int_equal(far_read_pattern(far, &got, 1000), 100);
    io_close(f->io, near);
    close(far);
    free(data);
    probe_free(p);
}

static void a_send_to_nobody_fails_without_a_signal(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_call);
    int near, far;

    signal(SIGPIPE, SIG_DFL);
    pair(&near, &far);
    far_reset(far);
    for (int i = 0; i < 3; i++) { /* ECONNRESET first, EPIPE from then on */
        probe_again(p);
        io_send(f->io, &p->op, near, "x", 1);
        turn_until(f, p->ends);
        assert_true(p->last == -ECONNRESET || p->last == -EPIPE);
    }
    io_close(f->io, near);
    signal(SIGPIPE, SIG_IGN);
    probe_free(p);
}

static void a_blocked_send_sees_a_reset(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_call);
    uint8_t *data = pattern(BUSY_BYTES);
    int near, far;

    pair(&near, &far);
    io_send(f->io, &p->op, near, data, BUSY_BYTES);
    for (int i = 0; i < 5; i++)
        turn(f, 1);
    assert_int_equal(p->calls, 0);
    far_reset(far);
    turn_until(f, p->ends);
    assert_true(p->last == -ECONNRESET || p->last == -EPIPE);
    io_close(f->io, near);
    free(data);
    probe_free(p);
}

static void a_cancelled_send_tells_how_far_it_came(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_call);
    uint8_t *data = pattern(BUSY_BYTES);
    uint64_t got = 0;
    int near, far;

    pair(&near, &far);
    io_send(f->io, &p->op, near, data, BUSY_BYTES);
    for (int i = 0; i < 5; i++)
        turn(f, 1);
    cancel_and_join(p);
    assert_int_equal(p->last, -ECANCELED);
    uint32_t done = p->op.send.done;
    assert_true(done > 0 && done < BUSY_BYTES);
    probe_again(p); /* from there on it can be sent again */
    io_send(f->io, &p->op, near, data + done, BUSY_BYTES - done);
    while (got < BUSY_BYTES) {
        turn(f, 0);
        far_read_pattern(far, &got, 1 << 20);
    }
    turn_until(f, p->ends);
    assert_int_equal(p->last, BUSY_BYTES - done);
    io_close(f->io, near);
    close(far);
    free(data);
    probe_free(p);
}

static void a_cancel_comes_too_late_for_a_send_that_is_out(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_call);
    int near, far;

    pair(&near, &far);
    for (int i = 0; i < 100; i++) {
        char c;
        probe_again(p);
        io_send(f->io, &p->op, near, "x", 1);
        io_cancel(f->io, &p->op);
        io_cancel(f->io, &p->op);
        turn_until(f, p->ends);
        assert_true(p->last == 1 || p->last == -ECANCELED);
        /* "out" and "not out" both happen, but the op must say which */
        assert_int_equal(p->op.send.done, recv(far, &c, 1, MSG_DONTWAIT) == 1);
    }
    io_close(f->io, near);
    close(far);
    probe_free(p);
}

static const struct CMUnitTest tests[] = {
    T(a_big_send_completes_against_a_slow_reader),
    T(a_vector_goes_out_slice_by_slice),
    T(a_small_send_completes_in_one_turn),
    T(a_send_to_nobody_fails_without_a_signal),
    T(a_blocked_send_sees_a_reset),
    T(a_cancelled_send_tells_how_far_it_came),
    T(a_cancel_comes_too_late_for_a_send_that_is_out),
};

ENGINE_MAIN
