/* test_suggest.c - "did you mean". */
#include "lb/base/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char *best(const char *word, const char *const *candidates)
{
    struct suggest s;

    suggest_begin(&s, str_of(word));
    for (; *candidates != NULL; candidates++)
        suggest_offer(&s, *candidates);
    return suggest_best(&s);
}

static const char *const names[] = {"weight", "backup", "max_connections", "address", "io", NULL};

static void one_wrong_letter_is_found(void **state)
{
    (void)state;
    assert_string_equal(best("wieght", names), "weight");
    assert_string_equal(best("weigt", names), "weight");
    assert_string_equal(best("weights", names), "weight");
    assert_string_equal(best("wexght", names), "weight");
    assert_string_equal(best("Weight", names), "weight");
}

static void a_third_of_the_letters_may_be_wrong_and_no_more(void **state)
{
    (void)state;
    assert_string_equal(best("adderss", names), "address");
    assert_string_equal(best("bakcupp", names), "backup");
    assert_null(best("wxyzht", names));
}

static void short_words_must_share_something(void **state)
{
    (void)state;
    assert_string_equal(best("oi", names), "io");
    assert_string_equal(best("i", names), "io");
    assert_null(best("x", (const char *const[]){"y", NULL}));
}

static void nothing_is_found_for_nothing(void **state)
{
    (void)state;
    char longer[100];

    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_null(best("", names));
    assert_null(best(longer, names));
    assert_null(best("weight", (const char *const[]){NULL}));
}

static void of_two_equally_near_the_first_is_taken(void **state)
{
    (void)state;
    assert_string_equal(best("cat", (const char *const[]){"car", "cab", NULL}), "car");
}

static void commands_and_options_are_found(void **state)
{
    (void)state;
    static const char *const words[] = {"quick", "ctl", "origin", "--quiet", NULL};

    assert_string_equal(best("qiuck", words), "quick");
    assert_string_equal(best("orign", words), "origin");
    assert_string_equal(best("clt", words), "ctl");
    assert_string_equal(best("--quite", words), "--quiet");
    assert_null(best("reload", words));
    assert_null(best("xyz", words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_wrong_letter_is_found),
        cmocka_unit_test(a_third_of_the_letters_may_be_wrong_and_no_more),
        cmocka_unit_test(short_words_must_share_something),
        cmocka_unit_test(nothing_is_found_for_nothing),
        cmocka_unit_test(of_two_equally_near_the_first_is_taken),
        cmocka_unit_test(commands_and_options_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
