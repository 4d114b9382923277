/* test_commands.c - the registry: which command a line means, levels, severity, form of answers. */
#include "tests/unit/lb/admin/admin_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = fixture_new();
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static void an_answer_ends_with_an_empty_line(void **state)
{
    assert_string_equal(fixture_run(*state, "show version"), "0.1.0\n\n");
    assert_string_equal(fixture_run(*state, "  show   version  "), "0.1.0\n\n");
}

static void success_says_nothing(void **state)
{
    assert_string_equal(fixture_run(*state, "enable server app/a"), "\n");
}

static void no_answer_has_an_empty_line_inside(void **state)
{
    assert_string_equal(fixture_run(*state, "show config"), "workers = 2;\nio = \"auto\";\n\n");
}

static void the_command_with_most_words_is_meant(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "shutdown sessions server app/a"), "\n");
    assert_string_equal(f->asked_backend, "a");
    assert_string_equal(fixture_run(f, "shutdown session"),
                        "Session pointer expected (use 'show sess').\n\n");
}

static void an_unknown_word_lists_all_commands(void **state)
{
    const char *answer = fixture_run(*state, "xyzzy 1 2");

    assert_ptr_equal(strstr(answer, "Unknown command: 'xyzzy 1 2'. Please enter one of the "
                                    "following commands only:\n  add server <bk>/<srv>"),
                     answer);
    assert_non_null(strstr(answer, "\n  help [<command>]                        : list"));
    assert_non_null(strstr(answer, "\n  quit                                    : disconnect\n"));
}

static void an_empty_command_lists_all_commands(void **state)
{
    assert_non_null(strstr(fixture_run(*state, ""),
                           "Unknown command. Please enter one of the following commands only:\n"));
}

static void a_mistyped_command_lists_the_similar_ones(void **state)
{
    const char *answer = fixture_run(*state, "show servres state");

    assert_non_null(strstr(answer, "Unknown command: 'show servres state', but maybe one of the "
                                   "following ones is a better match:\n"));
    assert_non_null(strstr(answer, "  show servers state"));
    assert_non_null(strstr(answer, "  show servers conn"));
    assert_null(strstr(answer, "  show info"));
    assert_null(strstr(answer, "  quit"));
    answer = fixture_run(*state, "shwo info");
    assert_non_null(strstr(answer, "  show info"));
    assert_null(strstr(answer, "  quit"));
    answer = fixture_run(*state, "show");
    assert_non_null(strstr(answer, "better match:\n  show activity"));
    assert_null(strstr(answer, "  quit"));
}

static void long_nonsense_is_cut_in_the_answer(void **state)
{
    char text[4001];

    memset(text, 'x', 4000);
    text[4000] = '\0';
    const char *answer = fixture_run(*state, text);
    assert_true(strchr(answer, '\n') - answer < 200);
}

static void further_words_are_ignored(void **state)
{
    char text[1024] = "show version";

    for (int i = 0; i < 200; i++)
        strcat(text, " x");
    assert_string_equal(fixture_run(*state, text), "0.1.0\n\n");
}

static void help_lists_what_the_level_allows(void **state)
{
    struct fixture *f = *state;
    const char *answer = fixture_run(f, "help");

    assert_ptr_equal(strstr(answer, "The following commands are valid at this level:\n"), answer);
    assert_non_null(strstr(answer, "  set server <bk>/<srv> [opts]            : change"));
    f->session.level = CONTROL_USER;
    answer = fixture_run(f, "help");
    assert_null(strstr(answer, "set server"));
    assert_null(strstr(answer, "show sess"));
    assert_non_null(strstr(answer, "show stat"));
}

static void help_of_a_command_lists_those_that_begin_so(void **state)
{
    const char *answer = fixture_run(*state, "help show se");

    assert_non_null(strstr(answer, "  show servers state"));
    assert_non_null(strstr(answer, "  show sess"));
    assert_null(strstr(answer, "  show info"));
    assert_non_null(strstr(fixture_run(*state, "help xyzzy"), "  quit"));
}

static void levels_guard_commands(void **state)
{
    struct fixture *f = *state;
    static const char *const admin_only[] = {
        "set server app/a state maint", "enable server app/a",  "disable server app/a",
        "set weight app/a 3",           "shutdown session 0x1", "shutdown sessions server app/a",
        "enable health app/a",          "disable health app/a", "clear counters all",
    };
    static const char *const operator_too[] = {"show sess", "show env", "show errors",
                                               "clear counters", "show config"};

    f->session.level = CONTROL_OPERATOR;
    for (size_t i = 0; i < ARRAY_LEN(admin_only); i++)
        assert_string_equal(fixture_run(f, admin_only[i]), "Permission denied\n\n");
    for (size_t i = 0; i < ARRAY_LEN(operator_too); i++)
        assert_string_not_equal(fixture_run(f, operator_too[i]), "Permission denied\n\n");
    f->session.level = CONTROL_USER;
    for (size_t i = 0; i < ARRAY_LEN(operator_too); i++)
        assert_string_equal(fixture_run(f, operator_too[i]), "Permission denied\n\n");
    assert_string_equal(fixture_run(f, "get weight app/a"), "10 (initial 10)\n\n");
    assert_int_equal(f->touched, 0);
}

static void a_level_drops_and_never_rises(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "show cli level"), "admin\n\n");
    assert_string_equal(fixture_run(f, "operator"), "\n");
    assert_string_equal(fixture_run(f, "show cli level"), "operator\n\n");
    assert_string_equal(fixture_run(f, "user"), "\n");
    assert_string_equal(fixture_run(f, "operator"), "Permission denied\n\n");
    assert_string_equal(fixture_run(f, "show cli level json"), "[{\"level\":\"user\"}]\n\n");
}

static void severity_marks_messages_and_no_data(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "set severity-output number"), "\n");
    assert_string_equal(fixture_run(f, "show version"), "[6]: 0.1.0\n\n");
    assert_string_equal(fixture_run(f, "enable server app/zz"), "[3]: No such server.\n\n");
    assert_string_equal(fixture_run(f, "get weight app/a"), "10 (initial 10)\n\n");
    assert_string_equal(fixture_run(f, "enable server app/a"), "\n");
    assert_true(fixture_begins(f, "xyzzy", "[3]: Unknown command"));
    assert_string_equal(fixture_run(f, "shutdown session 0x5"),
                        "[3]: No such session (use 'show sess').\n\n");
    assert_string_equal(fixture_run(f, "set severity-output string"), "\n");
    assert_string_equal(fixture_run(f, "show version"), "[info]: 0.1.0\n\n");
    assert_string_equal(fixture_run(f, "enable server app/zz"), "[err]: No such server.\n\n");
    assert_string_equal(fixture_run(f, "set severity-output none"), "\n");
    assert_string_equal(fixture_run(f, "show version"), "0.1.0\n\n");
    assert_string_equal(fixture_run(f, "set severity-output loud"),
                        "one of 'none', 'number', 'string' is a required argument\n\n");
    assert_string_equal(fixture_run(f, "set severity-output"),
                        "one of 'none', 'number', 'string' is a required argument\n\n");
}

static void prompt_changes_modes(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "prompt"), "\n");
    assert_int_equal(f->session.prompt, PROMPT_SHOWN);
    fixture_run(f, "prompt");
    assert_int_equal(f->session.prompt, PROMPT_OFF);
    fixture_run(f, "prompt i");
    assert_int_equal(f->session.prompt, PROMPT_SILENT);
    fixture_run(f, "prompt p");
    assert_int_equal(f->session.prompt, PROMPT_SHOWN);
    fixture_run(f, "prompt timed");
    assert_true(f->session.prompt_time);
    fixture_run(f, "prompt n");
    assert_int_equal(f->session.prompt, PROMPT_OFF);
    assert_string_equal(fixture_run(f, "prompt please"),
                        "'prompt' expects 'n', 'i', 'p' or 'timed'.\n\n");
}

static void the_idle_timeout_is_in_seconds_or_with_a_unit(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *command;
        uint32_t ms;
    } good[] = {{"set timeout cli 60", 60000},
                {"set timeout cli 500ms", 500},
                {"set timeout cli 2m", 120000},
                {"set timeout cli 1h", 3600000},
                {"set timeout cli 1000d", 86400000}};
    static const char *const bad[] = {"set timeout cli x",    "set timeout cli 0",
                                      "set timeout cli -1",   "set timeout cli 5x",
                                      "set timeout cli 1.5s", "set timeout cli 99999999999999"};

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_string_equal(fixture_run(f, good[i].command), "\n");
        assert_int_equal(f->session.timeout_ms, good[i].ms);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_string_equal(fixture_run(f, bad[i]), "Invalid timeout value.\n\n");
    assert_string_equal(fixture_run(f, "set timeout cli"), "Expects an integer value.\n\n");
}

static void quit_ends_the_session(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "quit"), "");
    assert_true(f->session.quit);
}

static void sockets_are_listed(void **state)
{
    assert_string_equal(fixture_run(*state, "show cli sockets"),
                        "# socket lvl processes\nunix@/run/s.sock admin all\n\n");
    assert_string_equal(fixture_run(*state, "show cli sockets json"),
                        "[{\"socket\":\"unix@/run/s.sock\",\"lvl\":\"admin\",\"processes\":\"all\"}"
                        "]\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_ends_with_an_empty_line, setup, teardown),
        cmocka_unit_test_setup_teardown(success_says_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(no_answer_has_an_empty_line_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(the_command_with_most_words_is_meant, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unknown_word_lists_all_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_command_lists_all_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mistyped_command_lists_the_similar_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(long_nonsense_is_cut_in_the_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(further_words_are_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(help_lists_what_the_level_allows, setup, teardown),
        cmocka_unit_test_setup_teardown(help_of_a_command_lists_those_that_begin_so, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(levels_guard_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(a_level_drops_and_never_rises, setup, teardown),
        cmocka_unit_test_setup_teardown(severity_marks_messages_and_no_data, setup, teardown),
        cmocka_unit_test_setup_teardown(prompt_changes_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(the_idle_timeout_is_in_seconds_or_with_a_unit, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(quit_ends_the_session, setup, teardown),
        cmocka_unit_test_setup_teardown(sockets_are_listed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
