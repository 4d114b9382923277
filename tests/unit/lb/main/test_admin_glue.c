/* test_admin_glue.c - questions to the workers, here: when there are none. */
#include "lb/config/conf.h"
#include "lb/main/admin_glue.h"
#include "lb/main/process.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
    struct process process;
    struct conf conf;
    alignas(CACHE_LINE) uint8_t no_checker[8192]; /* the glue looks for the checker in there */
    int answers;
    uint32_t n;
};

static int setup(void **state)
{
    static struct fixture fixture; /* aligned as its members want it */
    struct fixture *f = &fixture;

    *f = (struct fixture){.n = 99};
    f->process.conf = &f->conf;
    f->process.checker = (void *)f->no_checker;
    admin_glue_init(&f->process);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    admin_glue_fini(&f->process);
    return 0;
}

static void on_listed(void *arg, const struct session_info *rows, uint32_t n)
{
    struct fixture *f = arg;

    assert_non_null(rows);
    f->answers++;
    f->n = n;
}

static void on_killed(void *arg, uint32_t n)
{
    struct fixture *f = arg;

    f->answers++;
    f->n = n;
}

static void sessions_are_listed_at_once_when_no_worker_runs(void **state)
{
    struct fixture *f = *state;
    const struct session_filter filter = {.listener = "web"};

    f->process.ops.list_sessions(f->process.ops.ctx, &filter, on_listed, f);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->n, 0);
    assert_true(admin_glue_idle(&f->process));
}

static void sessions_are_killed_at_once_when_no_worker_runs(void **state)
{
    struct fixture *f = *state;
    const struct session_filter filter = {.pool = "app", .backend = "a"};

    f->process.ops.kill_sessions(f->process.ops.ctx, &filter, on_killed, f);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->n, 0);
    assert_true(admin_glue_idle(&f->process));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sessions_are_listed_at_once_when_no_worker_runs, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sessions_are_killed_at_once_when_no_worker_runs, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
