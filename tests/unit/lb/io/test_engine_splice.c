/* test_engine_splice.c - splicing. */
#include "tests/unit/lb/io/engine_fixture.h"

struct splicing {
    struct probe *p;
    struct io_pipe *pipe;
    int in, in_far, out, out_far;
    uint64_t fed, got;
};

static void splice_begin(struct fixture *f, struct splicing *s, int family_in, int family_out)
{
    *s = (struct splicing){.p = probe_new(f, on_call), .pipe = io_pipe_take(f->io)};
    assert_non_null(s->pipe);
    pair_of(family_in, &s->in, &s->in_far);
    pair_of(family_out, &s->out, &s->out_far);
    io_splice(f->io, &s->p->op, s->in, s->out, s->pipe);
    assert_int_equal(s->p->calls, 0);
}

static void splice_end(struct fixture *f, struct splicing *s)
{
    io_pipe_give(f->io, &s->pipe);
    assert_null(s->pipe);
    io_close(f->io, s->in);
    io_close(f->io, s->out);
    if (s->in_far >= 0)
        close(s->in_far);
    if (s->out_far >= 0)
        close(s->out_far);
    probe_free(s->p);
}

static void check_splice(struct fixture *f, int family_in, int family_out, uint64_t total,
                         uint64_t piece, size_t read_most)
{
    struct splicing s;
    uint64_t deadline = now_ms() + TIMEOUT_MS;
    bool closed = false;

    splice_begin(f, &s, family_in, family_out);
    while (!s.p->ends || s.got < total) {
        uint64_t goal = s.fed + piece < total ? s.fed + piece : total;
        far_feed(s.in_far, &s.fed, goal);
        if (s.fed == total && !closed)
            closed = shutdown(s.in_far, SHUT_WR) == 0;
        turn(f, 0);
        far_read_pattern(s.out_far, &s.got, read_most);
        assert_true(now_ms() < deadline);
    }
    assert_int_equal(s.p->last, 0);
    assert_int_equal(s.p->bytes, total);
    assert_int_equal(io_pipe_fill(s.pipe), 0);
    assert_int_equal(s.got, total);
    splice_end(f, &s);
}

static void splicing_moves_every_byte(void **state)
{
    check_splice(*state, AF_INET, AF_INET, 0, 1, 1);
    check_splice(*state, AF_INET, AF_INET, 1, 1, 1);
    check_splice(*state, AF_INET, AF_INET, 9 << 20, 1 << 20, 1 << 20);
    check_splice(*state, AF_INET, AF_INET, 300001, 333, 100000);
    check_splice(*state, AF_INET, AF_INET, 12 << 20, 1 << 20, 99991);
    check_splice(*state, AF_INET, AF_UNIX, 3 << 20, 77777, 65537);
    check_splice(*state, AF_UNIX, AF_INET6, 3 << 20, 55555, 65537);
}

static void both_directions_splice_at_once(void **state)
{
    struct fixture *f = *state;
    struct probe *p[2] = {probe_new(f, on_call), probe_new(f, on_call)};
    struct io_pipe *pipe[2] = {io_pipe_take(f->io), io_pipe_take(f->io)};
    int near[2], far[2];
    uint64_t fed[2] = {0}, got[2] = {0}, total[2] = {5 << 20, 7000001};
    uint64_t deadline = now_ms() + TIMEOUT_MS;

    for (int i = 0; i < 2; i++)
        pair(&near[i], &far[i]);
    for (int i = 0; i < 2; i++)
        io_splice(f->io, &p[i]->op, near[i], near[!i], pipe[i]);
    while (got[0] < total[0] || got[1] < total[1]) {
        for (int i = 0; i < 2; i++) {
            far_feed(far[i], &fed[i], total[i]);
            far_read_pattern(far[!i], &got[i], 200000);
        }
        turn(f, 0);
        assert_true(now_ms() < deadline);
    }
    for (int i = 0; i < 2; i++) {
        shutdown(far[i], SHUT_WR);
        turn_until(f, p[i]->ends);
        assert_int_equal(p[i]->last, 0);
        assert_int_equal(p[i]->bytes, total[i]);
    }
    for (int i = 0; i < 2; i++) {
        io_pipe_give(f->io, &pipe[i]);
        io_close(f->io, near[i]);
        close(far[i]);
        probe_free(p[i]);
    }
}

/* Fills everything from the far input to the far output, which nobody reads. */
static void splice_block(struct fixture *f, struct splicing *s)
{
    splice_begin(f, s, AF_INET, AF_INET);
    for (int idle = 0; idle < 20;) {
        uint64_t before = s->fed;
        far_feed(s->in_far, &s->fed, 64 << 20);
        turn(f, 1);
        idle = s->fed == before ? idle + 1 : 0;
    }
    assert_true(io_pipe_fill(s->pipe) > 0);
    assert_int_equal(s->p->ends, 0);
}

static void the_end_of_the_input_waits_for_a_blocked_output(void **state)
{
    struct fixture *f = *state;
    struct splicing s;

    splice_block(f, &s);
    close(s.in_far);
    s.in_far = -1;
    for (int i = 0; i < 5; i++)
        turn(f, 1);
    assert_int_equal(s.p->ends, 0);
    uint64_t deadline = now_ms() + TIMEOUT_MS;
    while (!s.p->ends) {
        far_read_pattern(s.out_far, &s.got, 1 << 20);
        turn(f, 0);
        assert_true(now_ms() < deadline);
    }
    while (far_read_pattern(s.out_far, &s.got, 1 << 20) > 0)
        turn(f, 0);
    assert_int_equal(s.p->last, 0);
    assert_int_equal(s.got, s.fed);
    splice_end(f, &s);
}

static void a_reset_input_is_seen_while_the_output_is_blocked(void **state)
{
    struct fixture *f = *state;
    struct splicing s;

    splice_block(f, &s);
    far_reset(s.in_far);
    s.in_far = -1;
    turn_until(f, s.p->ends);
    assert_int_equal(s.p->last, -ECONNRESET);
    assert_true(io_pipe_error_on_in(s.pipe));
    splice_end(f, &s);
}

/* Why: on epoll its edge is past by then. */
static void a_reset_input_is_seen_by_a_splice_that_finds_its_output_blocked(void **state)
{
    struct fixture *f = *state;
    struct splicing s;

    splice_block(f, &s);
    io_cancel(f->io, &s.p->op);
    turn_until(f, s.p->ends);
    far_reset(s.in_far);
    s.in_far = -1;
    for (int i = 0; i < 5; i++)
        turn(f, 1);
    s.p->ends = 0;
    io_splice(f->io, &s.p->op, s.in, s.out, s.pipe);
    turn_until(f, s.p->ends);
    assert_int_equal(s.p->last, -ECONNRESET);
    assert_true(io_pipe_error_on_in(s.pipe));
    splice_end(f, &s);
}

static void a_reset_output_is_seen_while_it_is_blocked(void **state)
{
    struct fixture *f = *state;
    struct splicing s;

    splice_block(f, &s);
    far_reset(s.out_far);
    s.out_far = -1;
    turn_until(f, s.p->ends);
    assert_true(s.p->last == -ECONNRESET || s.p->last == -EPIPE);
    assert_false(io_pipe_error_on_in(s.pipe));
    splice_end(f, &s);
}

static void a_reset_input_is_seen_while_it_is_idle(void **state)
{
    struct fixture *f = *state;
    struct splicing s;

    splice_begin(f, &s, AF_INET, AF_INET);
    turn(f, 1);
    far_reset(s.in_far);
    s.in_far = -1;
    turn_until(f, s.p->ends);
    assert_int_equal(s.p->last, -ECONNRESET);
    assert_true(io_pipe_error_on_in(s.pipe));
    splice_end(f, &s);
}

static void a_cancelled_splice_goes_on_where_it_was(void **state)
{
    struct fixture *f = *state;
    struct splicing s;
    uint64_t total = 8 << 20, deadline = now_ms() + TIMEOUT_MS;
    unsigned round = 0;

    splice_begin(f, &s, AF_INET, AF_INET);
    while (s.got < total) {
        far_feed(s.in_far, &s.fed, total);
        for (unsigned i = round % 4; i > 0; i--)
            turn(f, 0);
        io_cancel(f->io, &s.p->op);
        turn_until(f, s.p->ends);
        assert_int_equal(s.p->last, -ECANCELED);
        far_read_pattern(s.out_far, &s.got, 150000 * (round % 3));
        s.p->ends = 0;
        io_splice(f->io, &s.p->op, s.in, s.out, s.pipe);
        round++;
        assert_true(now_ms() < deadline);
    }
    io_cancel(f->io, &s.p->op);
    turn_until(f, s.p->ends);
    assert_int_equal(s.p->bytes, total);
    splice_end(f, &s);
}

static void on_splice_cancel(struct op *op, int res)
{
    struct probe *p = container_of(op, struct probe, op);

    on_call(op, res);
    io_cancel(p->f->io, op);
}

/* Why: the end may be noted already when the call about moved bytes asks to stop. */
static void a_splice_can_be_cancelled_from_its_own_call(void **state)
{
    struct fixture *f = *state;

    for (int ended = 0; ended < 2; ended++) {
        struct probe *p = probe_new(f, on_splice_cancel);
        struct io_pipe *pipe = io_pipe_take(f->io);
        int in, in_far, out, out_far;
        pair_of(AF_UNIX, &in, &in_far);
        pair_of(AF_UNIX, &out, &out_far);
        far_send(in_far, "moved", 5);
        if (ended)
            shutdown(in_far, SHUT_WR);
        io_splice(f->io, &p->op, in, out, pipe);
        turn_until(f, p->ends);
        assert_int_equal(p->bytes, 5);
        assert_true(p->last == -ECANCELED || (ended && p->last == 0));
        turn(f, 5);
        assert_int_equal(p->ends, 1);
        io_pipe_give(f->io, &pipe);
        io_close(f->io, in);
        io_close(f->io, out);
        close(in_far);
        close(out_far);
        probe_free(p);
    }
}

static void the_bytes_before_a_splice_stay_in_order(void **state)
{
    struct fixture *f = *state;
    struct splicing s;
    struct probe *r = probe_new(f, on_recv), *w = probe_new(f, on_call);
    uint64_t total = 2 << 20, deadline = now_ms() + TIMEOUT_MS;

    /* A session that begins with buffers, then splices, then goes back, as the proxy does. */
    splice_begin(f, &s, AF_INET, AF_INET);
    for (int round = 0; s.got < total; round++) {
        io_cancel(f->io, &s.p->op);
        turn_until(f, s.p->ends);
        s.p->ends = 0;
        while (io_pipe_fill(s.pipe) > 0) { /* empty it the slow way */
            far_read_pattern(s.out_far, &s.got, 1 << 20);
            io_splice(f->io, &s.p->op, s.in, s.out, s.pipe);
            turn(f, 0);
            io_cancel(f->io, &s.p->op);
            turn_until(f, s.p->ends);
            s.p->ends = 0;
        }
        probe_again(r);
        io_recv(f->io, &r->op, s.in);
        far_feed(s.in_far, &s.fed, s.fed + 50000 < total ? s.fed + 50000 : total);
        turn(f, 0);
        turn(f, 0);
        cancel_and_join(r);
        if (r->len > 0) {
            probe_again(w);
            io_send(f->io, &w->op, s.out, r->data, r->len);
            while (!w->ends) {
                turn(f, 0);
                far_read_pattern(s.out_far, &s.got, 1 << 20);
            }
        }
        io_splice(f->io, &s.p->op, s.in, s.out, s.pipe);
        far_feed(s.in_far, &s.fed, s.fed + 50000 < total ? s.fed + 50000 : total);
        turn(f, 0);
        far_read_pattern(s.out_far, &s.got, 1 << 20);
        assert_true(now_ms() < deadline);
    }
    io_cancel(f->io, &s.p->op);
    turn_until(f, s.p->ends);
    probe_free(r);
    probe_free(w);
    splice_end(f, &s);
}

static void pipes_are_reused_only_when_empty(void **state)
{
    struct fixture *f = *state;
    struct splicing s;

    struct io_pipe *a = io_pipe_take(f->io);
    io_pipe_give(f->io, &a);
    uint32_t open = io_stats(f->io)->pipes_open;
    a = io_pipe_take(f->io);
    assert_int_equal(io_stats(f->io)->pipes_open, open);
    assert_int_equal(io_stats(f->io)->pipes_used, 1);
    io_pipe_give(f->io, &a);
    splice_block(f, &s);
    cancel_and_join(s.p);
    assert_true(io_pipe_fill(s.pipe) > 0);
    splice_end(f, &s);
    assert_int_equal(io_stats(f->io)->pipes_used, 0);
    assert_true(io_stats(f->io)->pipes_open <= open);
}

static const struct CMUnitTest tests[] = {
    T(splicing_moves_every_byte),
    T(both_directions_splice_at_once),
    T(the_end_of_the_input_waits_for_a_blocked_output),
    T(a_reset_input_is_seen_while_the_output_is_blocked),
    T(a_reset_input_is_seen_by_a_splice_that_finds_its_output_blocked),
    T(a_reset_output_is_seen_while_it_is_blocked),
    T(a_reset_input_is_seen_while_it_is_idle),
    T(a_cancelled_splice_goes_on_where_it_was),
    T(a_splice_can_be_cancelled_from_its_own_call),
    T(the_bytes_before_a_splice_stay_in_order),
    T(pipes_are_reused_only_when_empty),
};

ENGINE_MAIN
