/* test_systemd.c - the messages, as a socket of the test receives them. */
#include "lb/main/systemd.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    int fd;
    char path[64];
};

/* A receiver on a path, or (abstract) on a name of the kernel's choosing. */
static void listen_on(struct fixture *f, bool abstract)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(un);

    f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(f->fd >= 0);
    if (abstract) {
        len = offsetof(struct sockaddr_un, sun_path);
    } else {
        snprintf(f->path, sizeof(f->path), "/tmp/sluice-notify-%d", (int)getpid());
        unlink(f->path);
        strcpy(un.sun_path, f->path);
    }
    assert_int_equal(bind(f->fd, (struct sockaddr *)&un, len), 0);
    len = sizeof(un);
    assert_int_equal(getsockname(f->fd, (struct sockaddr *)&un, &len), 0);
    if (abstract) {
        size_t n = len - offsetof(struct sockaddr_un, sun_path);
        memcpy(f->path, un.sun_path, n);
        f->path[0] = '@';
        f->path[n] = '\0';
    }
    setenv("NOTIFY_SOCKET", f->path, 1);
}

static void expect(struct fixture *f, const char *message)
{
    char got[512];
    ssize_t n = recv(f->fd, got, sizeof(got) - 1, 0);

    assert_true(n >= 0);
    got[n] = '\0';
    assert_string_equal(got, message);
}

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){.fd = -1};
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->fd >= 0)
        close(f->fd);
    if (f->path[0] == '/')
        unlink(f->path);
    return 0;
}

static void without_systemd_nothing_is_sent(void **state)
{
    (void)state;
    assert_int_equal(systemd_notify("READY=1"), 0);
    setenv("NOTIFY_SOCKET", "", 1);
    assert_int_equal(systemd_notify("READY=1"), 0);
}

static void a_message_arrives_at_a_path(void **state)
{
    struct fixture *f = *state;

    listen_on(f, false);
    assert_int_equal(systemd_notify("READY=1\nSTATUS=fine"), 0);
    expect(f, "READY=1\nSTATUS=fine");
}

static void a_message_arrives_at_an_abstract_name(void **state)
{
    struct fixture *f = *state;

    listen_on(f, true);
    assert_int_equal(systemd_notify("STOPPING=1"), 0);
    expect(f, "STOPPING=1");
}

static void a_status_stays_one_line(void **state)
{
    struct fixture *f = *state;

    listen_on(f, false);
    assert_int_equal(systemd_status("%s: %d of 3\nREADY=1", "pool", 2), 0);
    expect(f, "STATUS=pool: 2 of 3 READY=1");
}

static void a_path_that_makes_no_sense_is_an_error(void **state)
{
    (void)state;
    char longer[200];

    setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
    assert_int_equal(systemd_notify("READY=1"), -EINVAL);
    memset(longer, 'a', sizeof(longer));
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    setenv("NOTIFY_SOCKET", longer, 1);
    assert_int_equal(systemd_notify("READY=1"), -EINVAL);
}

static void nobody_at_the_path_is_an_error(void **state)
{
    (void)state;
    setenv("NOTIFY_SOCKET", "/tmp/sluice-no-such-socket", 1);
    assert_int_equal(systemd_notify("READY=1"), -ENOENT);
}

static void the_watchdog_is_fed_twice_per_period(void **state)
{
    (void)state;
    char pid[16];

    assert_int_equal(systemd_watchdog_ms(), 0);
    setenv("WATCHDOG_USEC", "3000000", 1);
    assert_int_equal(systemd_watchdog_ms(), 1500);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(systemd_watchdog_ms(), 1500);
    setenv("WATCHDOG_USEC", "100", 1);
    assert_int_equal(systemd_watchdog_ms(), 1);
}

static void the_watchdog_of_another_process_is_not_ours(void **state)
{
    (void)state;
    setenv("WATCHDOG_USEC", "3000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(systemd_watchdog_ms(), 0);
}

static void nonsense_means_no_watchdog(void **state)
{
    (void)state;
    setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(systemd_watchdog_ms(), 0);
    setenv("WATCHDOG_USEC", "0", 1);
    assert_int_equal(systemd_watchdog_ms(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_systemd_nothing_is_sent),
        TEST(a_message_arrives_at_a_path),
        TEST(a_message_arrives_at_an_abstract_name),
        TEST(a_status_stays_one_line),
        TEST(a_path_that_makes_no_sense_is_an_error),
        TEST(nobody_at_the_path_is_an_error),
        TEST(the_watchdog_is_fed_twice_per_period),
        TEST(the_watchdog_of_another_process_is_not_ours),
        TEST(nonsense_means_no_watchdog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
