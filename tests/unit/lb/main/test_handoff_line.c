/* test_handoff_line.c - what two processes say when one takes the place of the other. */
#include "lb/main/handoff_line.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct handoff_line parsed(const char *text)
{
    struct handoff_line l;

    assert_int_equal(handoff_line_parse(str_of(text), &l), 0);
    return l;
}

static void each_word_brings_what_belongs_to_it(void **state)
{
    (void)state;
    struct handoff_line l = parsed("sluice-handoff 1 4711");
    assert_int_equal(l.word, HANDOFF_HELLO);
    assert_int_equal(l.number, 1);
    assert_int_equal(l.pid, 4711);
    l = parsed("watchdog 30000000");
    assert_int_equal(l.word, HANDOFF_WATCHDOG);
    assert_int_equal(l.number, 30000000);
    l = parsed("state");
    assert_int_equal(l.word, HANDOFF_STATE);
    assert_int_equal(l.fds, 1);
    l = parsed("listen 200");
    assert_int_equal(l.word, HANDOFF_LISTEN);
    assert_int_equal(l.fds, 200);
    assert_int_equal(parsed("end").word, HANDOFF_END);
    l = parsed("serving 12");
    assert_int_equal(l.word, HANDOFF_SERVING);
    assert_int_equal(l.pid, 12);
    assert_int_equal(parsed("leaving").word, HANDOFF_LEAVING);
    l = parsed("refused a reload is under way");
    assert_int_equal(l.word, HANDOFF_REFUSED);
    assert_true(str_eq(l.text, STR("a reload is under way")));
}

static void what_does_not_belong_to_a_word_is_an_error(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "sluice-handoff",
        "sluice-handoff 1",
        "sluice-handoff one 2",
        "sluice-handoff 1 0",
        "sluice-handoff 1 -",
        "watchdog",
        "watchdog 1s",
        "listen",
        "listen 201",
        "listen -1",
        "serving",
        "serving 0",
        "serving 2147483648",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct handoff_line l;
        if (handoff_line_parse(str_of(bad[i]), &l) != -EINVAL)
            fail_msg("%s", bad[i]);
    }
}

static void what_comes_with_later_versions_is_passed_over(void **state)
{
    (void)state;
    assert_int_equal(parsed("moon full").word, HANDOFF_UNKNOWN);
    assert_int_equal(parsed("").word, HANDOFF_UNKNOWN);
    assert_int_equal(parsed("end of it").word, HANDOFF_END);
    assert_int_equal(parsed("sluice-handoff 2 1 more").number, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_word_brings_what_belongs_to_it),
        cmocka_unit_test(what_does_not_belong_to_a_word_is_an_error),
        cmocka_unit_test(what_comes_with_later_versions_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
