/* test_options.c - what a command line asks for. */
#include "lb/main/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static char error[ARGS_ERROR_MAX];

#define PARSE(o, ...)                                                                              \
    char *argv[] = {"sluice", ##__VA_ARGS__, NULL};                                                \
    struct options o;                                                                              \
    int rc = options_parse((int)ARRAY_LEN(argv) - 1, argv, &o, error)

static void nothing_means_run_with_the_usual_file(void **state)
{
    (void)state;
    PARSE(o);

    assert_int_equal(rc, 0);
    assert_int_equal(o.command, COMMAND_RUN);
    assert_string_equal(o.config, "/etc/sluice/sluice.conf");
}

static void a_file_can_be_named(void **state)
{
    (void)state;
    PARSE(o, "-c", "my.conf");

    assert_int_equal(rc, 0);
    assert_int_equal(o.command, COMMAND_RUN);
    assert_string_equal(o.config, "my.conf");
}

static void explain_takes_its_words_and_a_file_before_them(void **state)
{
    (void)state;
    {
        PARSE(o, "explain", "GET", "http://h/", "-H", "A: b");
        assert_int_equal(rc, 0);
        assert_int_equal(o.command, COMMAND_EXPLAIN);
        assert_int_equal(o.argc, 5);
        assert_string_equal(o.argv[4], "A: b");
        assert_null(o.given_config);
    }
    {
        PARSE(o, "-c", "my.conf", "explain", "GET", "http://h/");
        assert_int_equal(rc, 0);
        assert_string_equal(o.given_config, "my.conf");
    }
}

static void check_and_dump_take_a_file(void **state)
{
    (void)state;
    {
        PARSE(o, "-t", "-c", "my.conf");
        assert_int_equal(rc, 0);
        assert_int_equal(o.command, COMMAND_CHECK);
        assert_string_equal(o.config, "my.conf");
    }
    {
        PARSE(o, "-T");
        assert_int_equal(rc, 0);
        assert_int_equal(o.command, COMMAND_DUMP);
        assert_string_equal(o.config, "/etc/sluice/sluice.conf");
    }
}

static void both_versions_are_told_apart(void **state)
{
    (void)state;
    {
        PARSE(o, "-v");
        assert_int_equal(rc, 0);
        assert_int_equal(o.command, COMMAND_VERSION);
    }
    {
        PARSE(o, "-V");
        assert_int_equal(rc, 0);
        assert_int_equal(o.command, COMMAND_BUILD);
    }
}

static void a_command_gets_its_own_words(void **state)
{
    (void)state;
    PARSE(o, "origin", "127.0.0.1:3001", "--name", "a");

    assert_int_equal(rc, 0);
    assert_int_equal(o.command, COMMAND_ORIGIN);
    assert_int_equal(o.argc, 4);
    assert_string_equal(o.argv[0], "origin");
    assert_string_equal(o.argv[2], "--name");
}

static void every_command_is_known(void **state)
{
    (void)state;
    const struct {
        char *name;
        enum command command;
    } rows[] = {{"run", COMMAND_RUN},       {"quick", COMMAND_QUICK},
                {"ctl", COMMAND_CTL},       {"healthcheck", COMMAND_HEALTHCHECK},
                {"origin", COMMAND_ORIGIN}, {"version", COMMAND_VERSION},
                {"help", COMMAND_HELP}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        PARSE(o, rows[i].name);
        assert_int_equal(rc, 0);
        assert_int_equal(o.command, rows[i].command);
    }
}

static void a_command_tells_its_own_usage(void **state)
{
    (void)state;
    char text[4096] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");
    PARSE(o, "origin", "--help");

    assert_int_equal(rc, 0);
    assert_int_equal(o.command, COMMAND_HELP);
    assert_int_equal(o.help_of, COMMAND_ORIGIN);
    options_print_help(out, o.help_of);
    fclose(out);
    assert_non_null(strstr(text, "sluice origin LISTEN"));
    assert_null(strstr(text, "sluice quick"));
}

static void help_behind_a_commands_words_is_not_ours(void **state)
{
    (void)state;
    PARSE(o, "ctl", "show", "-h");

    assert_int_equal(rc, 0);
    assert_int_equal(o.command, COMMAND_CTL);
}

static void an_unknown_command_gets_a_suggestion(void **state)
{
    (void)state;
    PARSE(o, "orign");

    assert_int_equal(rc, -EINVAL);
    assert_string_equal(error, "unknown command orign (did you mean origin?)");
}

static void a_bare_file_name_is_explained(void **state)
{
    (void)state;
    PARSE(o, "etc/demo.conf");

    assert_int_equal(rc, -EINVAL);
    assert_string_equal(error, "unknown command etc/demo.conf (a configuration file: -c FILE)");
}

static void a_file_for_a_command_that_reads_none_is_refused(void **state)
{
    (void)state;
    PARSE(o, "-c", "my.conf", "origin", ":80");

    assert_int_equal(rc, -EINVAL);
    assert_string_equal(error, "-c does not go with origin");
}

static void checking_does_not_go_with_a_command(void **state)
{
    (void)state;
    PARSE(o, "-t", "ctl");

    assert_int_equal(rc, -EINVAL);
    assert_string_equal(error, "ctl does not go with another command");
}

static void words_after_a_command_without_words_are_refused(void **state)
{
    (void)state;
    PARSE(o, "run", "now");

    assert_int_equal(rc, -EINVAL);
    assert_string_equal(error, "run takes no words after it: now");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_means_run_with_the_usual_file),
        cmocka_unit_test(a_file_can_be_named),
        cmocka_unit_test(explain_takes_its_words_and_a_file_before_them),
        cmocka_unit_test(check_and_dump_take_a_file),
        cmocka_unit_test(both_versions_are_told_apart),
        cmocka_unit_test(a_command_gets_its_own_words),
        cmocka_unit_test(every_command_is_known),
        cmocka_unit_test(a_command_tells_its_own_usage),
        cmocka_unit_test(help_behind_a_commands_words_is_not_ours),
        cmocka_unit_test(an_unknown_command_gets_a_suggestion),
        cmocka_unit_test(a_bare_file_name_is_explained),
        cmocka_unit_test(a_file_for_a_command_that_reads_none_is_refused),
        cmocka_unit_test(checking_does_not_go_with_a_command),
        cmocka_unit_test(words_after_a_command_without_words_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
