/* test_agent_reply.c - what agents say. */
#include "health/agent_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct agent_reply r;

static bool parse(const char *line)
{
    return agent_reply_parse(str_of(line), &r);
}

static void a_percentage_is_of_the_weight(void **state)
{
    (void)state;
    assert_true(parse("75%\n"));
    assert_int_equal(r.percent, 75);
    assert_int_equal(r.weight, AGENT_NOT_SAID);
    assert_int_equal(r.oper, AGENT_OPER_NONE);
    assert_true(parse("weight:0%"));
    assert_int_equal(r.percent, 0);
    assert_true(parse("weight:30"));
    assert_int_equal(r.weight, 30);
    assert_int_equal(r.percent, AGENT_NOT_SAID);
    assert_true(parse("10% 20%"));
    assert_int_equal(r.percent, 20);
}

static void words_are_separated_by_blanks_tabs_and_commas(void **state)
{
    (void)state;
    assert_true(parse("  ready,\tup 50% maxconn:30\r\n"));
    assert_int_equal(r.admin, AGENT_READY);
    assert_int_equal(r.oper, AGENT_UP);
    assert_int_equal(r.percent, 50);
    assert_int_equal(r.maxconn, 30);
}

static void states_are_taken_in_any_case(void **state)
{
    static const struct {
        const char *line;
        enum agent_admin admin;
        enum agent_oper oper;
    } rows[] = {
        {"READY", AGENT_READY, AGENT_OPER_NONE},  {"drain", AGENT_DRAIN, AGENT_OPER_NONE},
        {"Maint", AGENT_MAINT, AGENT_OPER_NONE},  {"up", AGENT_ADMIN_NONE, AGENT_UP},
        {"down", AGENT_ADMIN_NONE, AGENT_DOWN},   {"fail", AGENT_ADMIN_NONE, AGENT_FAIL},
        {"failed", AGENT_ADMIN_NONE, AGENT_FAIL}, {"stopped", AGENT_ADMIN_NONE, AGENT_STOPPED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(parse(rows[i].line));
        assert_int_equal(r.admin, rows[i].admin);
        assert_int_equal(r.oper, rows[i].oper);
    }
}

static void a_text_for_people_stands_behind_a_mark(void **state)
{
    (void)state;
    assert_true(parse("down # disk, 99% full\n"));
    assert_int_equal(r.oper, AGENT_DOWN);
    assert_int_equal(r.percent, AGENT_NOT_SAID);
    assert_true(str_eq_cstr(r.text, "disk, 99% full\n") || str_eq_cstr(r.text, "disk, 99% full"));
    assert_false(parse("# up"));
}

static void what_nobody_knows_is_passed_over(void **state)
{
    (void)state;
    assert_true(parse("sideways up"));
    assert_int_equal(r.oper, AGENT_UP);
    assert_false(parse(""));
    assert_false(parse("HTTP/1.1 400 Bad Request"));
    assert_false(parse("% weight: maxconn: weight:x% -5% 99999999999%"));
    assert_int_equal(r.percent, AGENT_NOT_SAID);
    assert_int_equal(r.maxconn, AGENT_NOT_SAID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_percentage_is_of_the_weight),
        cmocka_unit_test(words_are_separated_by_blanks_tabs_and_commas),
        cmocka_unit_test(states_are_taken_in_any_case),
        cmocka_unit_test(a_text_for_people_stands_behind_a_mark),
        cmocka_unit_test(what_nobody_knows_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
