/* test_env.c - ${} in strings. */
#include "lb/config/env.h"
#include "tests/unit/lb/config/config_test.h"

static void assert_expands(const char *in, bool template, const char *expected, bool used)
{
    struct strbuf out = {0}, error = {0};
    bool found_used = false;

    assert_true(env_expand(str_of(in), template, &out, &found_used, &error));
    assert_string_equal(out.p != NULL ? out.p : "", expected);
    assert_int_equal(found_used, used);
    assert_int_equal(error.len, 0);
    strbuf_fini(&out);
    strbuf_fini(&error);
}

static void assert_refused(const char *in, bool template, const char *expected)
{
    struct strbuf out = {0}, error = {0};
    bool used;

    assert_false(env_expand(str_of(in), template, &out, &used, &error));
    assert_string_equal(error.p, expected);
    strbuf_fini(&out);
    strbuf_fini(&error);
}

static int set_variables(void **state)
{
    (void)state;
    setenv("T_A", "one", 1);
    setenv("T_EMPTY", "", 1);
    setenv("T_DOLLARS", "$x ${T_A} $$", 1);
    unsetenv("T_UNSET");
    return 0;
}

static void variables_are_put_in(void **state)
{
    (void)state;
    assert_expands("${T_A}", false, "one", true);
    assert_expands("a ${T_A}${T_A} b", false, "a oneone b", true);
    assert_expands("${T_EMPTY}", false, "", true);
}

static void a_default_serves_for_unset_and_empty_variables(void **state)
{
    (void)state;
    assert_expands("${T_UNSET:-two}", false, "two", true);
    assert_expands("${T_EMPTY:-two}", false, "two", true);
    assert_expands("${T_A:-two}", false, "one", true);
    assert_expands("${T_UNSET:-}", false, "", true);
    assert_expands("${T_UNSET:-a:-b}", false, "a:-b", true);
}

static void an_unset_variable_without_default_is_refused(void **state)
{
    (void)state;
    assert_refused(
        "x${T_UNSET}", false,
        "found \"${T_UNSET}\", which the environment does not have, expected it set or with a "
        "default: \"${T_UNSET:-default}\"");
}

static void what_comes_in_is_not_looked_at_again(void **state)
{
    (void)state;
    assert_expands("${T_DOLLARS}", false, "$x ${T_A} $$", true);
}

static void a_template_keeps_variables_and_doubles_dollars_that_come_in(void **state)
{
    (void)state;
    assert_expands("$client $$ ${T_A}", true, "$client $$ one", true);
    assert_expands("${T_DOLLARS}", true, "$$x $${T_A} $$$$", true);
}

static void dollars_that_name_nothing_stay(void **state)
{
    (void)state;
    assert_expands("$", false, "$", false);
    assert_expands("$5 $A $", false, "$5 $A $", false);
    assert_expands("a$$b", false, "a$b", false);
    assert_expands("$${T_A}", false, "${T_A}", false);
}

static void malformed_names_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"${}",    "${a}",   "${1A}", "${A-b}",
                                      "${A:b}", "${A B}", "${:-x}"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct strbuf out = {0}, error = {0};
        bool used;
        assert_false(env_expand(str_of(bad[i]), false, &out, &used, &error));
        assert_non_null(strstr(error.p, "in upper case for the environment"));
        strbuf_fini(&out);
        strbuf_fini(&error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_put_in),
        cmocka_unit_test(a_default_serves_for_unset_and_empty_variables),
        cmocka_unit_test(an_unset_variable_without_default_is_refused),
        cmocka_unit_test(what_comes_in_is_not_looked_at_again),
        cmocka_unit_test(a_template_keeps_variables_and_doubles_dollars_that_come_in),
        cmocka_unit_test(dollars_that_name_nothing_stay),
        cmocka_unit_test(malformed_names_are_refused),
    };
    return cmocka_run_group_tests(tests, set_variables, NULL);
}
