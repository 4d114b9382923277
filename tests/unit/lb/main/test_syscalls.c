/* What a process can still do behind the filter: in a child each, since there is no way back. */
#include "lb/main/syscalls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Its result where the filter is on; 77 where there is none here. */
static int behind_the_filter(int (*what)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        uint32_t calls;
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        _exit(syscalls_restrict(&calls) < 0 ? 77 : what());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    return WEXITSTATUS(status);
}

static int refused(long rc)
{
    return rc < 0 && errno == EPERM ? 0 : 1;
}

static int try_exec(void)
{
    char *const argv[] = {"true", NULL};

    return refused(execv("/bin/true", argv));
}

static int try_ptrace(void)
{
    return refused(syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0));
}

static int try_ring(void)
{
    return refused(syscall(SYS_io_uring_setup, 1, NULL));
}

static int try_raw_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == ENOSYS ? 0 : 1;
}

static int try_root(void)
{
    return refused(syscall(SYS_setresuid, 0, 0, 0));
}

static int try_unknown(void)
{
    return syscall(100000) < 0 && errno == ENOSYS ? 0 : 1;
}

static int try_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 0 : 1;
}

static void *thread_main(void *arg)
{
    return arg;
}

static int try_thread(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, thread_main, NULL) == 0 && pthread_join(thread, NULL) == 0
               ? 0
               : 1;
}

static void programs_are_not_started(void **state)
{
    (void)state;
    assert_int_equal(behind_the_filter(try_exec), 0);
}

static void other_processes_are_not_written(void **state)
{
    (void)state;
    assert_int_equal(behind_the_filter(try_ptrace), 0);
}

static void no_more_rings_are_made(void **state)
{
    (void)state;
    assert_int_equal(behind_the_filter(try_ring), 0);
}

static void only_sockets_of_the_usual_families(void **state)
{
    (void)state;
    assert_int_equal(behind_the_filter(try_raw_socket), 0);
    assert_int_equal(behind_the_filter(try_socket), 0);
}

static void nobody_else_is_become(void **state)
{
    (void)state;
    assert_int_equal(behind_the_filter(try_root), 0);
}

static void what_is_not_known_does_not_exist(void **state)
{
    (void)state;
    assert_int_equal(behind_the_filter(try_unknown), 0);
}

static void threads_are_started_and_joined(void **state)
{
    (void)state;
    assert_int_equal(behind_the_filter(try_thread), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_are_not_started),
        cmocka_unit_test(other_processes_are_not_written),
        cmocka_unit_test(no_more_rings_are_made),
        cmocka_unit_test(only_sockets_of_the_usual_families),
        cmocka_unit_test(nobody_else_is_become),
        cmocka_unit_test(what_is_not_known_does_not_exist),
        cmocka_unit_test(threads_are_started_and_joined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
