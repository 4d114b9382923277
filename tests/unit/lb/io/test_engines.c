/* test_engines.c - what io.h and op.h promise, on each engine that runs here.
 *
 * "near" is the descriptor that the engine works on; "far" is the other end of its connection,
 * driven by the test itself with non-blocking calls. */
#include "lb/base/assert.h"
#include "lb/base/limits.h"
#include "lb/io/io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS 10000       /* a condition that has not come true by then never will */
#define BUSY_BYTES (16u << 20) /* more than two socket buffers take */

static enum io_engine_kind engine_kind;

/* ---- fixture ---- */

/* An op with a memory of its calls. */
struct probe {
    struct op op;
    struct fixture *f;
    int calls, last, ends; /* ends: calls with op->armed false */
    uint64_t bytes;        /* sum of results above 0 */
    uint8_t *data;         /* what a receive delivered, when kept */
    size_t len, cap;
    bool hold; /* keep the buffers instead */
    struct io_buf *held;
    bool cancel_in_call;
    int fds[512]; /* accepted */
    int n_fds;
};

struct fixture {
    struct io *io;
    int fds_before;
    bool in_turn;
};

static int count_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");

    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int setup_with(void **state, uint32_t bufs_max)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int error = 0;

    f->fds_before = count_fds();
    f->io = io_new(&(struct io_conf){.engine = engine_kind, .bufs_max = bufs_max}, &error);
    assert_non_null(f->io);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, 0);
}

static int setup_few_bufs(void **state)
{
    return setup_with(state, 16);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    io_free(&f->io);
    assert_null(f->io);
    assert_int_equal(count_fds(), f->fds_before);
    free(f);
    return 0;
}

static void turn(struct fixture *f, int timeout_ms)
{
    f->in_turn = true;
    assert_true(io_turn(f->io, timeout_ms, NULL) >= 0);
    f->in_turn = false;
}

#define turn_until(f, cond)                                                                        \
    do {                                                                                           \
        uint64_t deadline_ = now_ms() + TIMEOUT_MS;                                                \
        while (!(cond)) {                                                                          \
            if (now_ms() > deadline_)                                                              \
                fail_msg("never came true: %s", #cond);                                            \
            turn(f, 10);                                                                           \
        }                                                                                          \
    } while (0)

static void on_call(struct op *op, int res)
{
    struct probe *p = container_of(op, struct probe, op);

    assert_true(p->f->in_turn); /* completions come from io_turn() only */
    assert_int_equal(p->ends, 0);
    p->calls++;
    p->last = res;
    if (!op->armed)
        p->ends++;
    if (res > 0)
        p->bytes += (uint64_t)res;
}

static void keep(struct probe *p, const void *data, size_t len)
{
    if (p->len + len > p->cap) {
        p->cap = (p->len + len) * 2;
        p->data = realloc(p->data, p->cap);
    }
    memcpy(p->data + p->len, data, len);
    p->len += len;
}

static void on_recv(struct op *op, int res)
{
    struct probe *p = container_of(op, struct probe, op);

    on_call(op, res);
    if (res <= 0) {
        assert_false(op->armed);
        assert_null(op_take_bufs(op));
        return;
    }
    assert_true(op->armed);
    struct io_buf *chain = op_take_bufs(op);
    uint64_t n = 0;
    for (struct io_buf *b = chain; b != NULL; b = b->next) {
        assert_true(b->len > 0 && b->len <= LIMIT_BUF_SIZE);
        keep(p, b->data, b->len);
        n += b->len;
        if (p->hold && b->next == NULL) {
            b->next = p->held;
            p->held = chain;
            chain = NULL;
            break;
        }
    }
    assert_int_equal(n, res);
    if (!p->hold)
        io_buf_put_chain(p->f->io, chain);
    if (p->cancel_in_call)
        io_cancel(p->f->io, op);
}

static void on_accept(struct op *op, int res)
{
    struct probe *p = container_of(op, struct probe, op);

    on_call(op, res);
    if (res >= 0) {
        assert_true(op->armed);
        assert_true(p->n_fds < (int)ARRAY_LEN(p->fds));
        p->fds[p->n_fds++] = res;
    }
}

static struct probe *probe_new(struct fixture *f, op_fn *fn)
{
    struct probe *p = calloc(1, sizeof(*p));

    op_init(&p->op, fn);
    p->f = f;
    return p;
}

static void probe_again(struct probe *p)
{
    assert_false(p->op.armed);
    p->calls = p->last = p->ends = 0;
    p->bytes = 0;
    p->len = 0;
}

static void probe_free(struct probe *p)
{
    assert_false(p->op.armed);
    io_buf_put_chain(p->f->io, p->held);
    free(p->data);
    free(p);
}

static void cancel_and_join(struct probe *p)
{
    io_cancel(p->f->io, &p->op);
    turn_until(p->f, !p->op.armed);
}

/* ---- the far end ---- */

static void set_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static int listen_tcp(int family, struct sockaddr_storage *out, socklen_t *out_len, int backlog)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memset(out, 0, sizeof(*out));
    if (family == AF_INET) {
        struct sockaddr_in *a = (void *)out;
        *a = (struct sockaddr_in){AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}};
        *out_len = sizeof(*a);
    } else {
        struct sockaddr_in6 *a = (void *)out;
        a->sin6_family = AF_INET6;
        a->sin6_addr = in6addr_loopback;
        *out_len = sizeof(*a);
    }
    assert_int_equal(bind(fd, (void *)out, *out_len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (void *)out, out_len), 0);
    return fd;
}

/* One established connection: the near end non-blocking as the engine would have it. */
static void pair_of(int family, int *near, int *far)
{
    if (family == AF_UNIX) {
        int p[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p), 0);
        *near = p[0];
        *far = p[1];
        return;
    }
    struct sockaddr_storage a;
    socklen_t len;
    int one = 1, l = listen_tcp(family, &a, &len, 8);
    *far = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*far, (void *)&a, len), 0);
    set_nonblocking(*far);
    set_nonblocking(l);
    *near = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(*near >= 0);
    setsockopt(*near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(*far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    close(l);
}

static void pair(int *near, int *far)
{
    pair_of(AF_INET, near, far);
}

static void far_reset(int far)
{
    struct linger now = {1, 0};
    setsockopt(far, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(far);
}

/* Wholly: small enough for the socket's buffer. */
static void far_send(int far, const void *data, size_t len)
{
    assert_int_equal(send(far, data, len, MSG_NOSIGNAL), len);
}

static uint8_t pattern_at(uint64_t i)
{
    return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16) * 3);
}

static uint8_t *pattern(size_t len)
{
    uint8_t *p = malloc(len);
    for (size_t i = 0; i < len; i++)
        p[i] = pattern_at(i);
    return p;
}

static void assert_pattern(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] != pattern_at(i))
            fail_msg("byte %zu differs", i);
}

/* Reads up to `most` bytes that are there; checks them against the pattern. Returns what came, 0 at
 * the end of the stream, -EAGAIN. */
static ssize_t far_read_pattern(int far, uint64_t *at, size_t most)
{
    static uint8_t buf[256 * 1024];
    ssize_t n = recv(far, buf, most < sizeof(buf) ? most : sizeof(buf), MSG_DONTWAIT);

    if (n < 0)
        return -errno;
    for (ssize_t i = 0; i < n; i++)
        if (buf[i] != pattern_at(*at + (uint64_t)i))
            fail_msg("byte %zu differs", (size_t)*at + (size_t)i);
    *at += (uint64_t)n;
    return n;
}

/* Feeds the far end with the pattern up to `total`, as much as goes. */
static void far_feed(int far, uint64_t *at, uint64_t total)
{
    static uint8_t buf[64 * 1024];

    while (*at < total) {
        size_t n = total - *at < sizeof(buf) ? (size_t)(total - *at) : sizeof(buf);
        for (size_t i = 0; i < n; i++)
            buf[i] = pattern_at(*at + i);
        ssize_t r = send(far, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (r < 0)
            return;
        *at += (uint64_t)r;
    }
}

/* ---- connect and accept ---- */

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

/* ---- receive ---- */

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

/* ---- send ---- */

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

/* ---- both ways ---- */

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

/* ---- poll ---- */

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

/* ---- splice ---- */

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

/* ---- */

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
    T(a_connect_completes_in_a_turn),
    T(a_refused_connect_says_so),
    T(a_full_unix_backlog_is_eagain),
    T(every_connection_is_accepted),
    T(a_peer_that_reset_before_it_was_accepted_has_a_name),
    T(accept_ends_when_descriptors_run_out_and_can_start_again),
    T(nobody_is_accepted_after_a_cancel),
    T(those_who_wait_are_accepted_without_an_operation),
    T(bytes_arrive_whole_and_in_order),
    T(the_end_is_seen_after_any_number_of_bytes),
    T(data_and_end_that_were_there_before_arming_are_seen),
    T(a_receive_sees_a_reset),
    T(bytes_behind_urgent_ones_arrive),
    T(a_cancelled_receive_loses_no_byte),
    T(a_receive_can_be_cancelled_from_its_own_call),
    T(receive_into_memory_takes_what_is_there),
    cmocka_unit_test_setup_teardown(receives_wait_for_buffers_and_then_go_on, setup_few_bufs,
                                    teardown),
    cmocka_unit_test_setup_teardown(a_receive_without_buffer_can_be_cancelled, setup_few_bufs,
                                    teardown),
    T(a_big_send_completes_against_a_slow_reader),
    T(a_vector_goes_out_slice_by_slice),
    T(a_small_send_completes_in_one_turn),
    T(a_send_to_nobody_fails_without_a_signal),
    T(a_blocked_send_sees_a_reset),
    T(a_cancelled_send_tells_how_far_it_came),
    T(a_cancel_comes_too_late_for_a_send_that_is_out),
    T(half_closes_leave_the_other_direction_open),
    T(many_connections_work_side_by_side),
    T(one_busy_connection_does_not_starve_another),
    T(an_error_watch_sees_a_reset),
    T(an_error_watch_after_a_cancelled_receive_sees_what_it_missed),
    T(a_poll_completes_when_its_condition_holds_already),
    T(two_polls_of_one_descriptor_are_independent),
    T(a_polled_descriptor_may_be_closed_by_its_library),
    T(every_kind_of_operation_can_be_cancelled),
    T(a_result_that_came_first_outlives_the_cancel),
    T(the_last_call_may_free_the_op),
    T(the_last_call_may_arm_the_op_again),
    T(a_reused_descriptor_starts_anew),
    T(a_reset_reaches_the_peer),
    T(a_bad_descriptor_is_an_error_not_a_crash),
    T(waiting_takes_its_time_and_tells_its_hooks),
    T(armed_operations_with_nothing_to_do_cost_nothing),
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

int main(int argc, char **argv)
{
    struct io_probe probe;
    int failed;

    if (argc > 1) /* test_engines 'a_splice*' */
        cmocka_set_test_filter(argv[1]);
    signal(SIGPIPE, SIG_IGN);
    engine_kind = IO_EPOLL;
    failed = cmocka_run_group_tests_name("epoll", tests, NULL, NULL);
    io_probe(&probe);
    if (!probe.uring) {
        fprintf(stderr, "io_uring: skipped: %s\n", probe.why);
        return failed;
    }
    engine_kind = IO_URING;
    return failed + cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);
}
