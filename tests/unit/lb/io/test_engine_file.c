/* test_engine_file.c - files, opened beneath a directory and read, at once and later. */
#include "tests/unit/lb/io/engine_fixture.h"

#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>

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
    struct io_file_memory m = {0};
    char text[64];
    int fd = open_later(f, dir_fd, "sub/hello"); /* so now it is */

    close(fd);
    fd = io_file_open_now(f->io, dir_fd, "sub/hello");
    if (fd == -EAGAIN)
        skip(); /* an old kernel */
    assert_true(fd >= 0);
    int n = io_file_read_now(f->io, fd, &m, text, sizeof(text), 7);
    if (n != -EAGAIN) { /* not every file system can tell */
        assert_int_equal(n, 5);
        assert_memory_equal(text, "world", 5);
        assert_int_equal(io_file_read_now(f->io, fd, &m, text, sizeof(text), 12), 0);
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

/* Some neither read without waiting nor can be asked. */
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
    struct io_file_memory m = {0};
    static char data[BYTES], got[BYTES];
    size_t n = 0;
    int near, far, fd;

    for (int i = 0; i < BYTES; i++)
        data[i] = (char)(i * 7 / 5);
    fd = openat(dir_fd, "empty", O_RDWR | O_TRUNC);
    assert_int_equal(write(fd, data, BYTES), BYTES);
    pair(&near, &far);
    if (can_tell_of_memory(fd))
        assert_true(io_file_in_memory(f->io, fd, &m, 0, BYTES));
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

/* A file in a file system of which the system says nothing; made in a process of its own, which has
 * the right to mount one and takes it with it. CANNOT: not here. */
enum { OVERLAY_BYTES = 200000, CANNOT = 77 };

static bool tell(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool told = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return told;
}

static bool may_mount(void)
{
    char user[32], group[32];

    snprintf(user, sizeof(user), "0 %u 1", (unsigned)geteuid());
    snprintf(group, sizeof(group), "0 %u 1", (unsigned)getegid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && tell("/proc/self/setgroups", "deny") &&
           tell("/proc/self/uid_map", user) && tell("/proc/self/gid_map", group);
}

static int overlay_file(void)
{
    static char data[OVERLAY_BYTES];

    if (!may_mount() || mount("tmpfs", dir_path, "tmpfs", 0, NULL) < 0 || chdir(dir_path) < 0 ||
        mkdir("lower", 0700) < 0 || mkdir("all", 0700) < 0 || mkdir("more", 0700) < 0)
        return -1;
    int fd = open("lower/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, sizeof(data)) != (ssize_t)sizeof(data) ||
        mount("overlay", "all", "overlay", MS_RDONLY, "lowerdir=lower:more") < 0)
        return -1;
    close(fd);
    return open("all/file", O_RDONLY | O_CLOEXEC);
}

/* The exit status is all that the test sees: the line, as far as it fits. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            _exit(__LINE__ % 100 + CANNOT + 1);                                                    \
    } while (0)

static void learns_of_an_overlay(struct fixture *f)
{
    struct io_file_memory m = {0};
    char text[100];
    int fd = overlay_file();

    if (fd < 0)
        _exit(CANNOT);
    MUST(!io_file_in_memory(f->io, fd, &m, 0, 100));
    MUST(io_file_read_now(f->io, fd, &m, text, 100, 0) == -EAGAIN);
    io_file_was_read(&m, 1000, 1000);
    MUST(io_file_in_memory(f->io, fd, &m, 1000, 1000));
    MUST(!io_file_in_memory(f->io, fd, &m, 999, 100));
    MUST(!io_file_in_memory(f->io, fd, &m, 1901, 100));
    MUST(io_file_read_now(f->io, fd, &m, text, 100, 1900) == 100);
    MUST(io_file_read_now(f->io, fd, &m, text, 100, 1901) == -EAGAIN);
    io_file_was_read(&m, 2000, 500); /* joins it, behind and before */
    io_file_was_read(&m, 500, 600);
    MUST(io_file_in_memory(f->io, fd, &m, 500, 2000));
    MUST(!io_file_in_memory(f->io, fd, &m, 499, 10));
    io_file_was_read(&m, 100000, 100); /* elsewhere: instead of it */
    MUST(!io_file_in_memory(f->io, fd, &m, 500, 2000));
    MUST(io_file_read_now(f->io, fd, &m, text, 100, 100000) == 100);
    /* No more than so much: what was read long before may have been dropped. */
    io_file_was_read(&m, 100100, LIMIT_FILE_KNOWN);
    MUST(!io_file_in_memory(f->io, fd, &m, 100000, 100));
    MUST(io_file_in_memory(f->io, fd, &m, 100100, 100));
    io_file_was_read(&m, 100000, 100);
    MUST(io_file_in_memory(f->io, fd, &m, 100000, LIMIT_FILE_KNOWN));
    MUST(!io_file_in_memory(f->io, fd, &m, 100000, LIMIT_FILE_KNOWN + 1));
    _exit(0);
}

static void what_cannot_be_asked_is_learned(void **state)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        learns_of_an_overlay(*state);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CANNOT)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Reading and sending agree: on any kernel, as it may neither read without waiting nor be asked. */
static void what_is_in_a_file_system_in_memory_is_there(void **state)
{
    struct fixture *f = *state;
    struct io_file_memory m = {0};
    char path[] = "/dev/shm/test_engine_file.XXXXXX", text[8];
    int fd = mkstemp(path);
    struct statfs fs;

    if (fd < 0)
        skip();
    unlink(path);
    assert_int_equal(fstatfs(fd, &fs), 0);
    assert_int_equal(write(fd, "hello", 5), 5);
    if (fs.f_type == TMPFS_MAGIC) {
        assert_true(io_file_in_memory(f->io, fd, &m, 0, 5));
        assert_int_equal(io_file_read_now(f->io, fd, &m, text, sizeof(text), 1), 4);
        assert_memory_equal(text, "ello", 4);
    }
    close(fd);
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
    TD(what_cannot_be_asked_is_learned),
    TD(what_is_in_a_file_system_in_memory_is_there),
    TD(a_dropped_file_is_not_looked_at_again),
    TD(many_at_once_all_end),
    TD(nothing_is_left_behind),
};

ENGINE_MAIN
