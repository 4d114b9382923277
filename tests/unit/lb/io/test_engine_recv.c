/* test_engine_recv.c - receiving. */
#include "tests/unit/lb/io/engine_fixture.h"

static void check_stream(struct fixture *f, int family, size_t total, size_t piece, bool turns)
{
    struct probe *p = probe_new(f, on_recv);
    uint64_t sent = 0;
    int near, far;

    pair_of(family, &near, &far);
    io_recv(f->io, &p->op, near);
    assert_int_equal(p->calls, 0);
    while (sent < total) {
        uint64_t goal = sent + piece < total ? sent + piece : total;
        far_feed(far, &sent, goal);
        if (turns || sent < goal)
            turn(f, 1);
    }
    assert_int_equal(shutdown(far, SHUT_WR), 0);
    turn_until(f, p->ends);
    assert_int_equal(p->last, 0);
    assert_int_equal(p->len, total);
    assert_pattern(p->data, total);
    io_close(f->io, near);
    close(far);
    probe_free(p);
}

static void bytes_arrive_whole_and_in_order(void **state)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX};

    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        check_stream(*state, families[i], 1, 1, true);
        check_stream(*state, families[i], 300, 1, true);
        check_stream(*state, families[i], 2 << 20, 777, false);
        check_stream(*state, families[i], 8 << 20, 1 << 20, true);
    }
}

static void the_end_is_seen_after_any_number_of_bytes(void **state)
{
    static const size_t sizes[] = {
        LIMIT_BUF_SIZE - 1, LIMIT_BUF_SIZE,         LIMIT_BUF_SIZE + 1,  2 * LIMIT_BUF_SIZE,
        3 * LIMIT_BUF_SIZE, 3 * LIMIT_BUF_SIZE + 1, 7 * LIMIT_BUF_SIZE,  8 * LIMIT_BUF_SIZE,
        9 * LIMIT_BUF_SIZE, 15 * LIMIT_BUF_SIZE,    16 * LIMIT_BUF_SIZE, 16 * LIMIT_BUF_SIZE + 1,
    };

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        check_stream(*state, AF_INET, sizes[i], sizes[i], false);
        check_stream(*state, AF_UNIX, sizes[i], sizes[i], false);
        check_stream(*state, AF_INET, sizes[i], LIMIT_BUF_SIZE, true);
    }
}

static void data_and_end_that_were_there_before_arming_are_seen(void **state)
{
    struct fixture *f = *state;
    int near, far;

    for (int fresh = 0; fresh < 2; fresh++) { /* a hint, even a wrong one, costs no byte */
        struct probe *p = probe_new(f, on_recv);
        pair(&near, &far);
        far_send(far, "before", 6);
        close(far);
        p->op.fresh = fresh;
        io_recv(f->io, &p->op, near);
        turn_until(f, p->ends);
        assert_int_equal(p->last, 0);
        assert_int_equal(p->len, 6);
        io_close(f->io, near);
        probe_free(p);
    }
}

static void a_receive_sees_a_reset(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_recv);
    int near, far;

    pair(&near, &far);
    io_recv(f->io, &p->op, near);
    turn(f, 0);
    far_reset(far);
    turn_until(f, p->ends);
    assert_int_equal(p->last, -ECONNRESET);
    io_close(f->io, near);
    probe_free(p);
}

static void bytes_behind_urgent_ones_arrive(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_recv);
    int near, far;

    pair(&near, &far);
    io_recv(f->io, &p->op, near);
    turn(f, 0);
    far_send(far, "abc", 3);
    assert_int_equal(send(far, "U", 1, MSG_OOB), 1);
    far_send(far, "defg", 4);
    turn_until(f, p->len >= 7);
    assert_memory_equal(p->data, "abcdefg", 7); /* the urgent byte is not part of the stream */
    far_send(far, "hi", 2);
    turn_until(f, p->len >= 9);
    cancel_and_join(p);
    io_close(f->io, near);
    close(far);
    probe_free(p);
}

static void a_cancelled_receive_loses_no_byte(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_recv);
    uint64_t sent = 0, total = 3 << 20;
    int near, far;

    pair(&near, &far);
    for (int round = 0; p->len < total; round++) {
        io_recv(f->io, &p->op, near);
        for (int i = round % 3; i > 0; i--)
            turn(f, 0);
        far_feed(far, &sent, sent + 10000 < total ? sent + 10000 : total);
        for (int i = round % 5; i > 0; i--)
            turn(f, 0);
        io_cancel(f->io, &p->op);
        turn_until(f, p->ends);
        assert_int_equal(p->last, -ECANCELED);
        p->ends = 0;
        assert_true(round < 1000000);
    }
    assert_int_equal(p->len, total);
    assert_pattern(p->data, total);
    io_close(f->io, near);
    close(far);
    probe_free(p);
}

static void a_receive_can_be_cancelled_from_its_own_call(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_recv);
    int near, far;

    pair(&near, &far);
    p->cancel_in_call = true;
    io_recv(f->io, &p->op, near);
    far_send(far, "x", 1);
    turn_until(f, p->ends);
    assert_int_equal(p->last, -ECANCELED);
    assert_int_equal(p->len, 1);
    probe_again(p); /* and so when the end of the stream came with the data */
    far_send(far, "y", 1);
    close(far);
    struct pollfd pfd = {near, POLLRDHUP, 0};
    assert_int_equal(poll(&pfd, 1, TIMEOUT_MS), 1);
    io_recv(f->io, &p->op, near);
    turn_until(f, p->ends);
    assert_true(p->last == 0 || p->last == -ECANCELED);
    assert_int_equal(p->len, 1);
    io_close(f->io, near);
    probe_free(p);
}

/* However much there is, the receiver has a look at it soon. */
static void a_fast_peer_is_taken_from_in_pieces(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_recv);
    uint64_t sent = 0;
    int near, far;

    pair(&near, &far);
    far_feed(far, &sent, BUSY_BYTES); /* until the sockets are full */
    assert_true(sent > 1 << 20);
    p->cancel_in_call = true;
    io_recv(f->io, &p->op, near);
    turn_until(f, p->ends);
    assert_int_equal(p->last, -ECANCELED);
    assert_true(p->len > 0 && p->len <= 512u << 10);
    io_close(f->io, near);
    close(far);
    probe_free(p);
}

/* Small receives, then much at once, and small ones again: any engine may change its way there. */
static void who_sends_little_and_much_in_turn_is_received_whole(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_recv);
    uint64_t sent = 0;
    int near, far;

    pair(&near, &far);
    io_recv(f->io, &p->op, near);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 9; i++) {
            far_feed(far, &sent, sent + 100);
            turn_until(f, p->len == sent);
        }
        for (uint64_t goal = sent + (3 << 20); p->len < goal;) {
            far_feed(far, &sent, goal);
            turn(f, 1);
        }
    }
    for (uint64_t i = 0; i < p->len; i++)
        assert_int_equal(p->data[i], pattern_at(i));
    cancel_and_join(p);
    io_close(f->io, near);
    close(far);
    probe_free(p);
}

static void receive_into_memory_takes_what_is_there(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_call);
    char buf[8];
    int near, far;

    pair(&near, &far);
    io_recv_into(f->io, &p->op, near, buf, sizeof(buf));
    turn(f, 0);
    assert_int_equal(p->calls, 0);
    far_send(far, "0123456789abcdef!", 17);
    turn_until(f, p->ends);
    assert_int_equal(p->last, 8);
    assert_memory_equal(buf, "01234567", 8);
    probe_again(p);
    io_recv_into(f->io, &p->op, near, buf, sizeof(buf));
    turn_until(f, p->ends);
    assert_memory_equal(buf, "89abcdef", 8);
    probe_again(p);
    io_recv_into(f->io, &p->op, near, buf, sizeof(buf));
    turn_until(f, p->ends);
    assert_int_equal(p->last, 1);
    probe_again(p);
    io_recv_into(f->io, &p->op, near, buf, sizeof(buf));
    turn(f, 20);
    assert_int_equal(p->calls, 0);
    shutdown(far, SHUT_WR);
    turn_until(f, p->ends);
    assert_int_equal(p->last, 0);
    io_close(f->io, near);
    close(far);
    probe_free(p);
}

static void receives_wait_for_buffers_and_then_go_on(void **state)
{
    enum { N = 6 };
    struct fixture *f = *state;
    struct probe *p[N];
    int near[N], far[N];
    uint64_t total = 0, sent[N] = {0};

    for (int i = 0; i < N; i++) { /* each sends more than all buffers together */
        p[i] = probe_new(f, on_recv);
        p[i]->hold = true;
        pair(&near[i], &far[i]);
        far_feed(far[i], &sent[i], 20 * LIMIT_BUF_SIZE);
        io_recv(f->io, &p[i]->op, near[i]);
        total += sent[i];
    }
    turn_until(f, io_stats(f->io)->no_buffers > 0);
    for (int i = 0; i < 5; i++)
        turn(f, 1);
    uint64_t got = 0;
    for (int i = 0; i < N; i++)
        got += p[i]->len;
    assert_true(got > 0 && got <= 16 * LIMIT_BUF_SIZE);
    uint64_t syscalls = io_stats(f->io)->syscalls;
    turn(f, 50);
    assert_true(io_stats(f->io)->syscalls - syscalls <= 3); /* they wait, they do not spin */
    uint64_t deadline = now_ms() + TIMEOUT_MS;
    while (got < total) {
        got = 0;
        for (int i = 0; i < N; i++) {
            io_buf_put_chain(f->io, p[i]->held);
            p[i]->held = NULL;
        }
        turn(f, 10);
        for (int i = 0; i < N; i++)
            got += p[i]->len;
        assert_true(now_ms() < deadline);
    }
    for (int i = 0; i < N; i++) {
        assert_pattern(p[i]->data, p[i]->len);
        cancel_and_join(p[i]);
        io_close(f->io, near[i]);
        close(far[i]);
        probe_free(p[i]);
    }
}

static void a_receive_without_buffer_can_be_cancelled(void **state)
{
    struct fixture *f = *state;
    struct probe *a = probe_new(f, on_recv), *b = probe_new(f, on_recv);
    int near[2], far[2];
    uint64_t sent = 0;

    pair(&near[0], &far[0]);
    pair(&near[1], &far[1]);
    a->hold = b->hold = true;
    io_recv(f->io, &a->op, near[0]);
    far_feed(far[0], &sent, 32 * LIMIT_BUF_SIZE);
    turn_until(f, io_stats(f->io)->no_buffers > 0);
    io_recv(f->io, &b->op, near[1]);
    far_send(far[1], "b", 1);
    for (int i = 0; i < 3; i++)
        turn(f, 1);
    cancel_and_join(b);
    assert_int_equal(b->last, -ECANCELED);
    cancel_and_join(a);
    assert_int_equal(a->last, -ECANCELED);
    for (int i = 0; i < 2; i++) {
        io_close(f->io, near[i]);
        close(far[i]);
    }
    probe_free(a);
    probe_free(b);
}

static const struct CMUnitTest tests[] = {
    T(bytes_arrive_whole_and_in_order),
    T(the_end_is_seen_after_any_number_of_bytes),
    T(data_and_end_that_were_there_before_arming_are_seen),
    T(a_receive_sees_a_reset),
    T(bytes_behind_urgent_ones_arrive),
    T(a_cancelled_receive_loses_no_byte),
    T(a_receive_can_be_cancelled_from_its_own_call),
    T(a_fast_peer_is_taken_from_in_pieces),
    T(who_sends_little_and_much_in_turn_is_received_whole),
    T(receive_into_memory_takes_what_is_there),
    T_FEW_BUFS(receives_wait_for_buffers_and_then_go_on),
    T_FEW_BUFS(a_receive_without_buffer_can_be_cancelled),
};

ENGINE_MAIN
