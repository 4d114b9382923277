/* test_args.c - options by table, durations, sizes, what was meant. */
#include "lb/main/args.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    const char *file, *mode;
    bool quiet, loud;
    int words;
    char error[ARGS_ERROR_MAX];
};

static int parse(struct fixture *f, enum args_order order, int argc, char **argv)
{
    const struct arg_row rows[] = {
        {"--file", 'f', &f->file, NULL},
        {"--mode", 0, &f->mode, NULL},
        {"--quiet", 'q', NULL, &f->quiet},
        {NULL, 'l', NULL, &f->loud},
    };
    return args_parse(rows, ARRAY_LEN(rows), order, argc, argv, &f->words, f->error);
}

#define PARSE(f, order, ...)                                                                       \
    char *argv[] = {__VA_ARGS__};                                                                  \
    int rc = parse(f, order, (int)ARRAY_LEN(argv), argv)

static void every_way_to_give_a_value_works(void **state)
{
    (void)state;
    char *ways[][2] = {{"--file", "x"}, {"--file=x", ""}, {"-f", "x"}, {"-fx", ""}};

    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct fixture f = {0};
        int argc = *ways[i][1] != '\0' ? 2 : 1;
        assert_int_equal(parse(&f, ARGS_MIXED, argc, ways[i]), 0);
        assert_string_equal(f.file, "x");
        assert_int_equal(f.words, 0);
    }
}

static void words_move_to_the_front_in_order(void **state)
{
    (void)state;
    struct fixture f = {0};
    PARSE(&f, ARGS_MIXED, "one", "--mode", "m", "two", "-q", "three");

    assert_int_equal(rc, 0);
    assert_int_equal(f.words, 3);
    assert_string_equal(argv[0], "one");
    assert_string_equal(argv[1], "two");
    assert_string_equal(argv[2], "three");
    assert_string_equal(f.mode, "m");
    assert_true(f.quiet);
}

static void a_command_keeps_the_options_behind_it(void **state)
{
    (void)state;
    struct fixture f = {0};
    PARSE(&f, ARGS_FIRST, "-q", "ctl", "--file", "x");

    assert_int_equal(rc, 0);
    assert_int_equal(f.words, 3);
    assert_string_equal(argv[1], "--file");
    assert_null(f.file);
}

static void letters_can_be_bundled(void **state)
{
    (void)state;
    struct fixture f = {0};
    PARSE(&f, ARGS_MIXED, "-qlf", "x");

    assert_int_equal(rc, 0);
    assert_true(f.quiet);
    assert_true(f.loud);
    assert_string_equal(f.file, "x");
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    struct fixture f = {0};
    PARSE(&f, ARGS_MIXED, "--", "-q");

    assert_int_equal(rc, 0);
    assert_int_equal(f.words, 1);
    assert_string_equal(argv[0], "-q");
    assert_false(f.quiet);
}

static void a_single_dash_is_a_word(void **state)
{
    (void)state;
    struct fixture f = {0};
    PARSE(&f, ARGS_MIXED, "-");

    assert_int_equal(rc, 0);
    assert_int_equal(f.words, 1);
}

static void a_missing_value_is_said(void **state)
{
    (void)state;
    struct fixture f = {0};
    PARSE(&f, ARGS_MIXED, "--file");

    assert_int_equal(rc, -EINVAL);
    assert_string_equal(f.error, "--file needs a value");
}

static void a_flag_with_a_value_is_refused(void **state)
{
    (void)state;
    struct fixture f = {0};
    PARSE(&f, ARGS_MIXED, "--quiet=yes");

    assert_int_equal(rc, -EINVAL);
    assert_string_equal(f.error, "--quiet takes no value");
}

static void an_unknown_option_gets_a_suggestion(void **state)
{
    (void)state;
    struct fixture f = {0};
    PARSE(&f, ARGS_MIXED, "--quite");

    assert_int_equal(rc, -EINVAL);
    assert_string_equal(f.error, "unknown option --quite (did you mean --quiet?)");
}

static void an_unknown_letter_is_said_alone(void **state)
{
    (void)state;
    struct fixture f = {0};
    PARSE(&f, ARGS_MIXED, "-qx");

    assert_int_equal(rc, -EINVAL);
    assert_string_equal(f.error, "unknown option -x");
}

static void durations_need_a_unit_unless_zero(void **state)
{
    (void)state;
    const struct {
        const char *text;
        uint32_t ms;
    } good[] = {{"0", 0},     {"0s", 0},      {"1ms", 1},      {"250ms", 250},
                {"2s", 2000}, {"3m", 180000}, {"1h", 3600000}, {"4294967295ms", UINT32_MAX}};
    const char *bad[] = {"", "5", "s", "1 s", "1S", "-1s", "1.5s", "1sx"};
    uint32_t ms;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(args_duration_ms(good[i].text, &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(args_duration_ms(bad[i], &ms), -EINVAL);
    assert_int_equal(args_duration_ms("4294967296ms", &ms), -ERANGE);
    assert_int_equal(args_duration_ms("1194h", &ms), -ERANGE);
}

static void sizes_know_k_and_m(void **state)
{
    (void)state;
    uint64_t n;

    assert_int_equal(args_size("13", 100, &n), 0);
    assert_int_equal(n, 13);
    assert_int_equal(args_size("64k", 65536, &n), 0);
    assert_int_equal(n, 65536);
    assert_int_equal(args_size("1m", 1 << 20, &n), 0);
    assert_int_equal(n, 1 << 20);
    assert_int_equal(args_size("64k", 65535, &n), -ERANGE);
    assert_int_equal(args_size("1g", 1 << 30, &n), -EINVAL);
    assert_int_equal(args_size("k", 100, &n), -EINVAL);
    assert_int_equal(args_size("99999999999999999999", UINT64_MAX, &n), -ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_give_a_value_works),
        cmocka_unit_test(words_move_to_the_front_in_order),
        cmocka_unit_test(a_command_keeps_the_options_behind_it),
        cmocka_unit_test(letters_can_be_bundled),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(a_single_dash_is_a_word),
        cmocka_unit_test(a_missing_value_is_said),
        cmocka_unit_test(a_flag_with_a_value_is_refused),
        cmocka_unit_test(an_unknown_option_gets_a_suggestion),
        cmocka_unit_test(an_unknown_letter_is_said_alone),
        cmocka_unit_test(durations_need_a_unit_unless_zero),
        cmocka_unit_test(sizes_know_k_and_m),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
