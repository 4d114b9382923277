/* engine_fixture.h - for the tests of what io.h and op.h promise, on each engine that runs here.
 *
 * "near" is the descriptor that the engine works on; "far" is the other end of its connection,
 * driven by the test itself with non-blocking calls. A file has its tests in a table `tests`, made
 * with T(), and ends with ENGINE_MAIN. Everything is static: each program has its own. */
#ifndef SLUICE_TESTS_ENGINE_FIXTURE_H
#define SLUICE_TESTS_ENGINE_FIXTURE_H

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
static bool older_kernel; /* io_uring does as on one before 6.17 */

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

static inline int count_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");

    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static inline uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline int setup_with(void **state, uint32_t bufs_max)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int error = 0;

    f->fds_before = count_fds();
    f->io = io_new(&(struct io_conf){.engine = engine_kind,
                                     .bufs_max = bufs_max,
                                     .recv_unbounded = older_kernel},
                   &error);
    assert_non_null(f->io);
    *state = f;
    return 0;
}

static inline int setup(void **state)
{
    return setup_with(state, 0);
}

static inline int setup_few_bufs(void **state)
{
    return setup_with(state, 16);
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;

    io_free(&f->io);
    assert_null(f->io);
    assert_int_equal(count_fds(), f->fds_before);
    free(f);
    return 0;
}

static inline void turn(struct fixture *f, int timeout_ms)
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

static inline void on_call(struct op *op, int res)
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

static inline void keep(struct probe *p, const void *data, size_t len)
{
    if (p->len + len > p->cap) {
        p->cap = (p->len + len) * 2;
        p->data = realloc(p->data, p->cap);
    }
    memcpy(p->data + p->len, data, len);
    p->len += len;
}

static inline void on_recv(struct op *op, int res)
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

static inline void on_accept(struct op *op, int res)
{
    struct probe *p = container_of(op, struct probe, op);

    on_call(op, res);
    if (res >= 0) {
        assert_true(op->armed);
        assert_true(p->n_fds < (int)ARRAY_LEN(p->fds));
        p->fds[p->n_fds++] = res;
    }
}

static inline struct probe *probe_new(struct fixture *f, op_fn *fn)
{
    struct probe *p = calloc(1, sizeof(*p));

    op_init(&p->op, fn);
    p->f = f;
    return p;
}

static inline void probe_again(struct probe *p)
{
    assert_false(p->op.armed);
    p->calls = p->last = p->ends = 0;
    p->bytes = 0;
    p->len = 0;
}

static inline void probe_free(struct probe *p)
{
    assert_false(p->op.armed);
    io_buf_put_chain(p->f->io, p->held);
    free(p->data);
    free(p);
}

static inline void cancel_and_join(struct probe *p)
{
    io_cancel(p->f->io, &p->op);
    turn_until(p->f, !p->op.armed);
}

/* ---- the far end ---- */

static inline void set_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static inline int listen_tcp(int family, struct sockaddr_storage *out, socklen_t *out_len,
                             int backlog)
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
static inline void pair_of(int family, int *near, int *far)
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

static inline void pair(int *near, int *far)
{
    pair_of(AF_INET, near, far);
}

static inline void far_reset(int far)
{
    struct linger now = {1, 0};
    setsockopt(far, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(far);
}

/* Wholly: small enough for the socket's buffer. */
static inline void far_send(int far, const void *data, size_t len)
{
    assert_int_equal(send(far, data, len, MSG_NOSIGNAL), len);
}

static inline uint8_t pattern_at(uint64_t i)
{
    return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16) * 3);
}

static inline uint8_t *pattern(size_t len)
{
    uint8_t *p = malloc(len);
    for (size_t i = 0; i < len; i++)
        p[i] = pattern_at(i);
    return p;
}

static inline void assert_pattern(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] != pattern_at(i))
            fail_msg("byte %zu differs", i);
}

/* Reads up to `most` bytes that are there; checks them against the pattern. Returns what came, 0 at
 * the end of the stream, -EAGAIN. */
static inline ssize_t far_read_pattern(int far, uint64_t *at, size_t most)
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
static inline void far_feed(int far, uint64_t *at, uint64_t total)
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

/* ---- the program ---- */

#define T(name)          cmocka_unit_test_setup_teardown(name, setup, teardown)
#define T_FEW_BUFS(name) cmocka_unit_test_setup_teardown(name, setup_few_bufs, teardown)

/* Runs `tests` on epoll, then on io_uring where there is one; test_engine_x 'a_name*' only those.
 */
#define ENGINE_MAIN                                                                                \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        struct io_probe probe;                                                                     \
                                                                                                   \
        if (argc > 1)                                                                              \
            cmocka_set_test_filter(argv[1]);                                                       \
        signal(SIGPIPE, SIG_IGN);                                                                  \
        engine_kind = IO_EPOLL;                                                                    \
        int failed = cmocka_run_group_tests_name("epoll", tests, NULL, NULL);                      \
        io_probe(&probe);                                                                          \
        if (!probe.uring) {                                                                        \
            fprintf(stderr, "io_uring: skipped: %s\n", probe.why);                                 \
            return failed;                                                                         \
        }                                                                                          \
        engine_kind = IO_URING;                                                                    \
        failed += cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);                      \
        older_kernel = true;                                                                       \
        return failed + cmocka_run_group_tests_name("io_uring before 6.17", tests, NULL, NULL);    \
    }

#endif
