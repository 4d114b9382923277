/* test_engine_accept.c - connections: connecting and accepting. */
#include "tests/unit/lb/io/engine_fixture.h"

static void a_connect_completes_in_a_turn(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_storage a;
    socklen_t len;
    int l = listen_tcp(AF_INET, &a, &len, 8);
    struct probe *p = probe_new(f, on_call);
    int fd = io_socket(f->io, AF_INET, &(struct io_sock_opts){.nodelay = true});

    assert_true(fd >= 0);
    io_connect(f->io, &p->op, fd, (void *)&a, len);
    assert_int_equal(p->calls, 0);
    turn_until(f, p->ends);
    assert_int_equal(p->last, 0);
    assert_int_equal(p->calls, 1);
    struct sockaddr_storage peer;
    socklen_t peer_len;
    assert_int_equal(io_peer_name(f->io, fd, &peer, &peer_len), 0);
    assert_int_equal(peer_len, len);
    assert_memory_equal(&peer, &a, len);
    assert_int_equal(io_local_name(f->io, fd, &peer, &peer_len), 0);
    io_close(f->io, fd);
    close(l);
    probe_free(p);
}

static void a_refused_connect_says_so(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_storage a;
    socklen_t len;
    int l = listen_tcp(AF_INET, &a, &len, 8);
    struct probe *p = probe_new(f, on_call);
    int fd = io_socket(f->io, AF_INET, &(struct io_sock_opts){0});

    close(l); /* its port was free a moment ago */
    io_connect(f->io, &p->op, fd, (void *)&a, len);
    turn_until(f, p->ends);
    assert_int_equal(p->last, -ECONNREFUSED);
    io_close(f->io, fd);
    probe_free(p);
}

static void unix_address(struct sockaddr_un *a, socklen_t *len)
{
    static unsigned serial;
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n =
        snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "sluice-test-%d-%u", getpid(), serial++);
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static void a_full_unix_backlog_is_eagain(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un a;
    socklen_t len;
    int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fds[8], n = 0;

    unix_address(&a, &len);
    assert_int_equal(bind(l, (void *)&a, len), 0);
    assert_int_equal(listen(l, 1), 0);
    int last = 0;
    while (n < 8 && last == 0) {
        struct probe *p = probe_new(f, on_call);
        fds[n] = io_socket(f->io, AF_UNIX, &(struct io_sock_opts){.nodelay = true});
        assert_true(fds[n] >= 0);
        io_connect(f->io, &p->op, fds[n++], (void *)&a, len);
        turn(f, 100);
        if (!p->ends) /* an engine that waits for room must at least be cancellable */
            cancel_and_join(p);
        last = p->last;
        probe_free(p);
    }
    assert_int_equal(last, -EAGAIN);
    while (n > 0)
        io_close(f->io, fds[--n]);
    close(l);
}

static void every_connection_is_accepted(void **state)
{
    enum { N = 200 };
    struct fixture *f = *state;
    struct sockaddr_storage a;
    socklen_t len;
    int l = listen_tcp(AF_INET6, &a, &len, N), far[N];
    struct probe *p = probe_new(f, on_accept);

    for (int i = 0; i < N / 2; i++) { /* some are there before, some come later */
        far[i] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(far[i], (void *)&a, len), 0);
    }
    io_accept(f->io, &p->op, l);
    assert_int_equal(p->calls, 0);
    turn_until(f, p->n_fds == N / 2);
    for (int i = N / 2; i < N; i++) {
        far[i] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(far[i], (void *)&a, len), 0);
        if (i % 7 == 0)
            turn(f, 0);
    }
    turn_until(f, p->n_fds == N);
    assert_true(p->op.armed);
    for (int i = 0; i < N; i++) {
        assert_true(fcntl(p->fds[i], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(p->fds[i], F_GETFD) & FD_CLOEXEC);
        io_close(f->io, p->fds[i]);
        close(far[i]);
    }
    assert_int_equal(io_stats(f->io)->accepts, N);
    cancel_and_join(p);
    assert_int_equal(p->last, -ECANCELED);
    io_close(f->io, l);
    probe_free(p);
}

static void a_peer_that_reset_before_it_was_accepted_has_a_name(void **state)
{
    struct fixture *f = *state;
    const int families[] = {AF_INET, AF_INET6};

    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        struct sockaddr_storage a, own, peer;
        socklen_t len, own_len = sizeof(own), peer_len;
        int l = listen_tcp(families[i], &a, &len, 8);
        int far = socket(families[i], SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct probe *p = probe_new(f, on_accept);

        assert_int_equal(connect(far, (void *)&a, len), 0);
        assert_int_equal(getsockname(far, (void *)&own, &own_len), 0);
        far_reset(far);
        io_accept(f->io, &p->op, l);
        turn_until(f, p->n_fds == 1);
        assert_int_equal(io_peer_name(f->io, p->fds[0], &peer, &peer_len), 0);
        assert_int_equal(peer_len, own_len);
        assert_memory_equal(&peer, &own, own_len);
        cancel_and_join(p);
        io_close(f->io, p->fds[0]);
        close(l);
        probe_free(p);
    }
}

static void accept_ends_when_descriptors_run_out_and_can_start_again(void **state)
{
    enum { N = 20, MAY = 5 };
    struct fixture *f = *state;
    struct sockaddr_storage a;
    socklen_t len;
    int l = listen_tcp(AF_INET, &a, &len, N), far[N], highest;
    struct probe *p = probe_new(f, on_accept);
    struct rlimit old, low;

    for (int i = 0; i < N; i++) {
        far[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(far[i], (void *)&a, len), 0);
    }
    turn(f, 0); /* what an engine opens late is open now */
    highest = dup(l);
    close(highest);
    getrlimit(RLIMIT_NOFILE, &old);
    low = (struct rlimit){(rlim_t)(highest + MAY), old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    io_accept(f->io, &p->op, l);
    turn_until(f, p->ends);
    assert_int_equal(p->last, -EMFILE);
    assert_int_equal(p->n_fds, MAY);
    int calls = p->calls;
    turn(f, 20);
    assert_int_equal(p->calls, calls); /* and then it is quiet */
    setrlimit(RLIMIT_NOFILE, &old);
    p->ends = 0;
    io_accept(f->io, &p->op, l);
    turn_until(f, p->n_fds == N);
    cancel_and_join(p);
    for (int i = 0; i < N; i++) {
        close(far[i]);
        io_close(f->io, p->fds[i]);
    }
    io_close(f->io, l);
    probe_free(p);
}

static void nobody_is_accepted_after_a_cancel(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_storage a;
    socklen_t len;
    int l = listen_tcp(AF_INET, &a, &len, 8);
    struct probe *p = probe_new(f, on_accept);

    io_accept(f->io, &p->op, l);
    turn(f, 0);
    cancel_and_join(p);
    assert_int_equal(p->last, -ECANCELED);
    int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(far, (void *)&a, len), 0);
    turn(f, 20);
    assert_int_equal(p->n_fds, 0);
    probe_again(p); /* it waited in the queue */
    io_accept(f->io, &p->op, l);
    turn_until(f, p->n_fds == 1);
    cancel_and_join(p);
    io_close(f->io, p->fds[0]);
    io_close(f->io, l);
    close(far);
    probe_free(p);
}

static void those_who_wait_are_accepted_without_an_operation(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_storage a;
    socklen_t len;
    int l = listen_tcp(AF_INET, &a, &len, 8), far[3], near;
    struct probe *p = probe_new(f, on_accept), *r = probe_new(f, on_recv);

    io_accept(f->io, &p->op, l);
    turn(f, 0);
    cancel_and_join(p);
    for (int i = 0; i < 3; i++) {
        far[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(far[i], (void *)&a, len), 0);
    }
    for (int i = 0; i < 3; i++) {
        near = io_accept_now(f->io, l);
        assert_true(near >= 0);
        probe_again(r);
        far_send(far[i], "hello", 5);
        io_recv(f->io, &r->op, near);
        turn_until(f, r->len == 5);
        cancel_and_join(r);
        io_close(f->io, near);
        close(far[i]);
    }
    assert_int_equal(io_accept_now(f->io, l), -EAGAIN);
    io_close(f->io, l);
    probe_free(p);
    probe_free(r);
}

static const struct CMUnitTest tests[] = {
    T(a_connect_completes_in_a_turn),
    T(a_refused_connect_says_so),
    T(a_full_unix_backlog_is_eagain),
    T(every_connection_is_accepted),
    T(a_peer_that_reset_before_it_was_accepted_has_a_name),
    T(accept_ends_when_descriptors_run_out_and_can_start_again),
    T(nobody_is_accepted_after_a_cancel),
    T(those_who_wait_are_accepted_without_an_operation),
};

ENGINE_MAIN
