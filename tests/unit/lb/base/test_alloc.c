/* test_alloc.c - memory that is never refused. */
#include "lb/base/alloc.h"
#include "lb/base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void nothing_is_still_something_to_free(void **state)
{
    (void)state;
    free(xmalloc(0));
    free(xcalloc(0, 8));
    free(xcalloc(8, 0));
    free(xaligned(0));
    free(xrealloc(xmalloc(1), 0));
    free(xrealloc(NULL, 5));
}

static void aligned_memory_is_zero_and_on_a_line(void **state)
{
    (void)state;
    static const unsigned char zeros[3 * CACHE_LINE];
    for (size_t size = 1; size <= sizeof(zeros); size++) {
        void *p = xaligned(size);
        assert_int_equal((uintptr_t)p % CACHE_LINE, 0);
        assert_memory_equal(p, zeros, size);
        memset(p, 0xff, size); /* dirties what the next one gets */
        free(p);
    }
}

static void copies_of_text_end_where_they_should(void **state)
{
    (void)state;
    char *p = xstrdup("hello");
    assert_string_equal(p, "hello");
    free(p);
    p = xstrndup("hello", 3);
    assert_string_equal(p, "hel");
    free(p);
    p = xstrndup("hello", 9); /* shorter than allowed */
    assert_string_equal(p, "hello");
    free(p);
    p = xstrndup((const char[]){'a', 'b'}, 2); /* no NUL in sight */
    assert_string_equal(p, "ab");
    free(p);
    p = xasprintf("%d-%s", 7, "x");
    assert_string_equal(p, "7-x");
    free(p);
}

/* The product overflows: it must end the process, not give less than was asked for. */
static void more_than_there_is_ends_the_process(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        volatile size_t n = SIZE_MAX / 2;
        close(STDERR_FILENO);
        (void)xcalloc(n, 4);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_still_something_to_free),
        cmocka_unit_test(aligned_memory_is_zero_and_on_a_line),
        cmocka_unit_test(copies_of_text_end_where_they_should),
        cmocka_unit_test(more_than_there_is_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
