/* test_command_line.c - lines to commands, commands to words. */
#include "lb/admin/command_line.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

/* All commands of a line in [], words in (). */
static const char *split(const char *text)
{
    static char out[256];
    struct str line = str_of(text), command, words[8];
    char buf[256];
    size_t at = 0;

    out[0] = '\0';
    while (command_line_next(&line, &command)) {
        at += (size_t)snprintf(out + at, sizeof(out) - at, "[");
        uint32_t n = command_line_words(command, buf, words, 8);
        for (uint32_t i = 0; i < n; i++)
            at += (size_t)snprintf(out + at, sizeof(out) - at, "(" STR_FMT ")", STR_ARG(words[i]));
        at += (size_t)snprintf(out + at, sizeof(out) - at, "]");
    }
    return out;
}

static void blanks_separate_words(void **state)
{
    (void)state;
    assert_string_equal(split("show  info\tjson"), "[(show)(info)(json)]");
    assert_string_equal(split("  show info  "), "[(show)(info)]");
    assert_string_equal(split(""), "");
    assert_string_equal(split("   "), "[]");
}

static void semicolons_separate_commands(void **state)
{
    (void)state;
    assert_string_equal(split("show info;show stat"), "[(show)(info)][(show)(stat)]");
    assert_string_equal(split("show info ; quit"), "[(show)(info)][(quit)]");
    assert_string_equal(split("a;;b"), "[(a)][][(b)]");
    assert_string_equal(split(";a"), "[][(a)]");
    assert_string_equal(split("a;"), "[(a)]");
}

static void a_backslash_takes_the_next_character_literally(void **state)
{
    (void)state;
    assert_string_equal(split("a\\;b c"), "[(a;b)(c)]");
    assert_string_equal(split("a\\ b c"), "[(a b)(c)]");
    assert_string_equal(split("a\\\\;b"), "[(a\\)][(b)]");
    assert_string_equal(split("a\\nb"), "[(a\\nb)]");
    assert_string_equal(split("a\\"), "[(a\\)]");
    assert_string_equal(split("a\\ "), "[(a )]");
    assert_string_equal(split("a\\;"), "[(a;)]");
}

static void words_beyond_the_limit_are_ignored(void **state)
{
    (void)state;
    assert_string_equal(split("1 2 3 4 5 6 7 8 9 10"), "[(1)(2)(3)(4)(5)(6)(7)(8)]");
}

static void a_payload_is_announced_at_the_end_of_the_line(void **state)
{
    struct str line = str_of("set x y <<"), mark;

    (void)state;
    assert_true(command_line_payload(&line, &mark));
    assert_true(str_eq_cstr(line, "set x y"));
    assert_int_equal(mark.len, 0);
    line = str_of("set x <<EOF");
    assert_true(command_line_payload(&line, &mark));
    assert_true(str_eq_cstr(line, "set x"));
    assert_true(str_eq_cstr(mark, "EOF"));
}

static void other_lines_have_no_payload(void **state)
{
    const char *lines[] = {"", "<<", "<", "set x", "set x<<", "set << x", "set x <", " <", "a "};
    struct str line, mark;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        line = str_of(lines[i]);
        assert_false(command_line_payload(&line, &mark));
        assert_int_equal(line.len, strlen(lines[i]));
    }
    char text[128] = "x <<";
    memset(text + 4, 'm', COMMAND_PAYLOAD_END_MAX + 1);
    line = str_of(text);
    assert_false(command_line_payload(&line, &mark));
    text[4 + COMMAND_PAYLOAD_END_MAX] = '\0';
    line = str_of(text);
    assert_true(command_line_payload(&line, &mark));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blanks_separate_words),
        cmocka_unit_test(semicolons_separate_commands),
        cmocka_unit_test(a_backslash_takes_the_next_character_literally),
        cmocka_unit_test(words_beyond_the_limit_are_ignored),
        cmocka_unit_test(a_payload_is_announced_at_the_end_of_the_line),
        cmocka_unit_test(other_lines_have_no_payload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
