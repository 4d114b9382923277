/* test_engine_file.c - files, opened beneath a directory and read, at once and later. */
#include "tests/unit/lb/io/engine_fixture.h"

#include <sys/stat.h>
#include <sys/uio.h>

static char dir_path[64];
static int dir_fd;

static void put_file(const char *name, const char *text)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int setup_dir(void **state)
{
    snprintf(dir_path, sizeof(dir_path), "/tmp/test_engine_file.XXXXXX");
    assert_non_null(mkdtemp(dir_path));
    dir_fd = open(dir_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(dir_fd, "sub", 0700), 0);
    put_file("sub/hello", "hello, world");
    put_file("empty", "");
    assert_int_equal(symlinkat("sub/hello", dir_fd, "inside"), 0);
    assert_int_equal(symlinkat("/etc/passwd", dir_fd, "absolute"), 0);
    assert_int_equal(symlinkat("../../etc/passwd", dir_fd, "outside"), 0);
    assert_int_equal(mkfifoat(dir_fd, "fifo", 0600), 0);
    return setup(state);
}

static int teardown_dir(void **state)
{
    static const char *const names[] = {"sub/hello", "empty",   "inside",
                                        "absolute",  "outside", "fifo"};
    int failed = teardown(state);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlinkat(dir_fd, names[i], 0);
    unlinkat(dir_fd, "sub", AT_REMOVEDIR);
    close(dir_fd);
    return rmdir(dir_path) + failed;
}

/* Opens by another thread; a descriptor or -errno. */
static int open_later(struct fixture *f, int dir, const char *path)
{
    struct probe *p = probe_new(f, on_call);

    io_file_open(f->io, &p->op, dir, path);
    turn_until(f, p->ends);
    int fd = p->last;
    probe_free(p);
    return fd;
}

static int read_later(struct fixture *f, int fd, char *out, uint32_t len, uint64_t offset)
{
    struct probe *p = probe_new(f, on_call);

    io_file_read(f->io, &p->op, fd, out, len, offset);
    turn_until(f, p->ends);
    int n = p->last;
    probe_free(p);
    return n;
}

static void a_file_is_opened_and_read(void **state)
{
    struct fixture *f = *state;
    char text[64];
    int fd = open_later(f, dir_fd, "sub/hello");

    assert_true(fd >= 0);
    assert_int_equal(read_later(f, fd, text, sizeof(text), 0), 12);
    assert_memory_equal(text, "hello, world", 12);
    assert_int_equal(read_later(f, fd, text, 5, 7), 5);
    assert_memory_equal(text, "world", 5);
    assert_int_equal(read_later(f, fd, text, 5, 12), 0);
    close(fd);
    fd = open_later(f, dir_fd, "empty");
    assert_int_equal(read_later(f, fd, text, 5, 0), 0);
    close(fd);
    assert_int_equal(open_later(f, dir_fd, "none"), -ENOENT);
}

static void links_are_followed_within_the_directory_only(void **state)
{
    struct fixture *f = *state;
    int fd = open_later(f, dir_fd, "inside");

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(open_later(f, dir_fd, "absolute"), -EXDEV);
    assert_int_equal(open_later(f, dir_fd, "outside"), -EXDEV);
    assert_int_equal(open_later(f, dir_fd, "../x"), -EXDEV);
    assert_int_equal(open_later(f, dir_fd, "/etc/passwd"), -EXDEV);
}

static void what_is_in_memory_is_had_at_once(void **state)
{
    struct fixture *f = *state;
    char text[64];
    int fd = open_later(f, dir_fd, "sub/hello"); /* so now it is */

    close(fd);
    fd = io_file_open_now(f->io, dir_fd, "sub/hello");
    if (fd == -EAGAIN)
        skip(); /* an old kernel */
    assert_true(fd >= 0);
    int n = io_file_read_now(f->io, fd, text, sizeof(text), 7);
    if (n != -EAGAIN) { /* not every file system can tell */
        assert_int_equal(n, 5);
        assert_memory_equal(text, "world", 5);
        assert_int_equal(io_file_read_now(f->io, fd, text, sizeof(text), 12), 0);
    }
    close(fd);
    assert_true(io_file_open_now(f->io, dir_fd, "../x") < 0);
}

static void a_directory_anywhere_gives_a_handle(void **state)
{
    struct fixture *f = *state;
    int dir = open_later(f, IO_FILE_ANYWHERE, dir_path);

    assert_true(dir >= 0);
    int fd = open_later(f, dir, "sub/hello");
    assert_true(fd >= 0);
    close(fd);
    close(dir);
    assert_int_equal(open_later(f, IO_FILE_ANYWHERE, "/etc/passwd"), -ENOTDIR);
}

static void a_fifo_is_not_waited_for(void **state)
{
    int fd = open_later(*state, dir_fd, "fifo");

    assert_true(fd >= 0);
    close(fd);
}

static void many_at_once_all_end(void **state)
{
    enum { N = 200 };
    struct fixture *f = *state;
    struct probe *p[N];
    static char text[N][16];
    int fd = open_later(f, dir_fd, "sub/hello");

    for (int i = 0; i < N; i++) {
        p[i] = probe_new(f, on_call);
        io_file_read(f->io, &p[i]->op, fd, text[i], 5, 7);
        if (i % 3 == 0)
            io_cancel(f->io, &p[i]->op);
    }
    for (int i = 0; i < N; i++) {
        turn_until(f, p[i]->ends);
        assert_int_equal(p[i]->calls, 1);
        if (i % 3 != 0 || p[i]->last != -ECANCELED)
            assert_int_equal(p[i]->last, 5);
        probe_free(p[i]);
    }
    close(fd);
}

static void nothing_is_left_behind(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 20; i++) {
        struct probe *p = probe_new(f, on_call);
        io_file_open(f->io, &p->op, dir_fd, "sub/hello");
        io_cancel(f->io, &p->op);
        turn_until(f, p->ends);
        if (p->last >= 0)
            close(p->last);
        else
            assert_int_equal(p->last, -ECANCELED);
        probe_free(p);
    }
}

#define TD(name) cmocka_unit_test_setup_teardown(name, setup_dir, teardown_dir)

/* tmpfs before Linux 6.6 neither reads without waiting nor can be asked. */
static bool can_tell_of_memory(int fd)
{
    char byte;

    return preadv2(fd, &(struct iovec){&byte, 1}, 1, 0, RWF_NOWAIT) == 1;
}

static void a_file_is_sent_past_us(void **state)
{
    enum { BYTES = 600000 };
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_call);
    static char data[BYTES], got[BYTES];
    size_t n = 0;
    int near, far, fd;

    for (int i = 0; i < BYTES; i++)
        data[i] = (char)(i * 7 / 5);
    fd = openat(dir_fd, "empty", O_RDWR | O_TRUNC);
    assert_int_equal(write(fd, data, BYTES), BYTES);
    pair(&near, &far);
    if (can_tell_of_memory(fd))
        assert_true(io_file_in_memory(f->io, fd, 0, BYTES));
    assert_true(io_send_file(f->io, &p->op, near, fd, 100, BYTES - 100));
    while (n < BYTES - 100) { /* far more than the socket holds: it waits for room */
        turn(f, 10);
        ssize_t r = recv(far, got + n, sizeof(got) - n, MSG_DONTWAIT);
        n += r > 0 ? (size_t)r : 0;
    }
    turn_until(f, p->ends);
    assert_int_equal(p->last, BYTES - 100);
    assert_memory_equal(got, data + 100, BYTES - 100);
    probe_again(p);
    assert_true(io_send_file(f->io, &p->op, near, fd, BYTES - 10, 100));
    turn_until(f, p->ends);
    assert_int_equal(p->last, -ENODATA);
    close(fd);
    io_close(f->io, near);
    close(far);
    probe_free(p);
}

static void a_dropped_file_is_not_looked_at_again(void **state)
{
    struct fixture *f = *state;
    struct probe *p = probe_new(f, on_call);
    int near, far, fd = openat(dir_fd, "empty", O_RDWR | O_TRUNC);
    struct stat st;

    pair(&near, &far);
    assert_int_equal(ftruncate(fd, LIMIT_TURN_SPLICE), 0);
    for (int i = 0; i < 64 && p->ends == 0; i++) { /* until the socket is full */
        assert_true(io_send_file(f->io, &p->op, near, fd, 0, LIMIT_TURN_SPLICE));
        turn(f, 10);
        turn(f, 10);
        if (p->ends > 0)
            probe_again(p);
        else
            break;
    }
    assert_int_equal(p->ends, 0);
    io_send_file_drop(f->io, &p->op);
    close(fd);
    turn_until(f, p->ends);
    assert_int_equal(p->last, -ECANCELED);
    assert_int_equal(fstat(near, &st), 0);
    io_close(f->io, near);
    close(far);
    probe_free(p);
}

static const struct CMUnitTest tests[] = {
    TD(a_file_is_opened_and_read),
    TD(links_are_followed_within_the_directory_only),
    TD(what_is_in_memory_is_had_at_once),
    TD(a_directory_anywhere_gives_a_handle),
    TD(a_fifo_is_not_waited_for),
    TD(a_file_is_sent_past_us),
    TD(a_dropped_file_is_not_looked_at_again),
    TD(many_at_once_all_end),
    TD(nothing_is_left_behind),
};

ENGINE_MAIN
