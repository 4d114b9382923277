/* test_engine_both_ways.c - many operations of one connection, and many connections. */
#include "tests/unit/lb/io/engine_fixture.h"

static void half_closes_leave_the_other_direction_open(void **state)
{
    struct fixture *f = *state;
    struct probe *r = probe_new(f, on_recv), *s = probe_new(f, on_call);
    int near, far;
    char c;

    pair(&near, &far);
    io_recv(f->io, &r->op, near);
    turn(f, 0);
    assert_int_equal(io_shutdown(f->io, near, SHUT_WR), 0);
    assert_int_equal(recv(far, &c, 1, 0), 0);
    far_send(far, "still", 5);
    turn_until(f, r->len == 5);
    assert_true(r->op.armed);
    close(far);
    turn_until(f, r->ends);
    assert_int_equal(r->last, 0);
    io_close(f->io, near);
    pair(&near, &far); /* and the other way round */
    probe_again(r);
    io_recv(f->io, &r->op, near);
    shutdown(far, SHUT_WR);
    turn_until(f, r->ends);
    assert_int_equal(r->last, 0);
    io_send(f->io, &s->op, near, "late", 4);
    turn_until(f, s->ends);
    assert_int_equal(s->last, 4);
    io_close(f->io, near);
    close(far);
    probe_free(r);
    probe_free(s);
}

struct echo {
    struct probe *r, *s;
    struct io_buf *buf;
    int near, far;
    uint64_t sent, got;
};

/* Many sockets, each with its own pace: what is received is sent back. */
static void many_connections_work_side_by_side(void **state)
{
    enum { N = 64, TOTAL = 40000 };
    struct fixture *f = *state;
    struct echo e[N] = {0};
    int open = N;
    uint64_t deadline = now_ms() + TIMEOUT_MS;

    for (int i = 0; i < N; i++) {
        e[i].r = probe_new(f, on_recv);
        e[i].s = probe_new(f, on_call);
        e[i].r->data = malloc(TOTAL); /* sent from: must not move */
        e[i].r->cap = TOTAL;
        pair_of(i % 3 == 0 ? AF_UNIX : AF_INET, &e[i].near, &e[i].far);
        io_recv(f->io, &e[i].r->op, e[i].near);
    }
    while (open > 0) {
        assert_true(now_ms() < deadline);
        for (int i = 0; i < N; i++) {
            struct echo *x = &e[i];
            if (x->got == TOTAL)
                continue;
            uint64_t goal = x->sent + (uint64_t)(i * 97 + 1);
            far_feed(x->far, &x->sent, goal < TOTAL ? goal : TOTAL);
            if (!x->s->op.armed && x->r->len > x->s->bytes) {
                x->s->ends = 0;
                io_send(f->io, &x->s->op, x->near, x->r->data + x->s->bytes,
                        x->r->len - x->s->bytes);
            }
            if (far_read_pattern(x->far, &x->got, 5000) > 0 && x->got == TOTAL)
                open--;
        }
        turn(f, 0);
    }
    for (int i = 0; i < N; i++) {
        turn_until(f, !e[i].s->op.armed);
        cancel_and_join(e[i].r);
        io_close(f->io, e[i].near);
        close(e[i].far);
        probe_free(e[i].r);
        probe_free(e[i].s);
    }
}

static void one_busy_connection_does_not_starve_another(void **state)
{
    struct fixture *f = *state;
    struct probe *busy = probe_new(f, on_recv), *quiet = probe_new(f, on_recv);
    int near[2], far[2], turns = 0;
    uint64_t sent = 0;

    pair_of(AF_UNIX, &near[0], &far[0]);
    pair(&near[1], &far[1]);
    io_recv(f->io, &busy->op, near[0]);
    io_recv(f->io, &quiet->op, near[1]);
    turn(f, 0);
    for (int i = 0; i < 50; i++) {
        far_feed(far[0], &sent, UINT64_MAX);
        turn(f, 0);
    }
    far_send(far[1], "q", 1);
    while (quiet->len == 0) {
        far_feed(far[0], &sent, UINT64_MAX);
        turn(f, 0);
        assert_true(++turns < 1000);
    }
    assert_true(turns <= 3);
    assert_pattern(busy->data, busy->len);
    cancel_and_join(busy);
    cancel_and_join(quiet);
    for (int i = 0; i < 2; i++) {
        io_close(f->io, near[i]);
        close(far[i]);
    }
    probe_free(busy);
    probe_free(quiet);
}

static const struct CMUnitTest tests[] = {
    T(half_closes_leave_the_other_direction_open),
    T(many_connections_work_side_by_side),
    T(one_busy_connection_does_not_starve_another),
};

ENGINE_MAIN
