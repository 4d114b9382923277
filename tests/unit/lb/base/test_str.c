/* test_str.c - slices and the text buffer. */
#include "lb/base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void slices_compare_by_their_bytes(void **state)
{
    (void)state;
    assert_true(str_eq(STR("abc"), STR("abc")));
    assert_false(str_eq(STR("abc"), STR("abd")));
    assert_false(str_eq(STR("abc"), STR("ab")));
    assert_true(str_eq(STR("a\0b"), STR("a\0b")));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_true(str_eq((struct str){0}, STR("")));
    assert_true(str_eq_cstr(STR("abc"), "abc"));
    assert_false(str_eq_cstr(STR("abc"), "abcd"));
}

static void prefixes_and_parts_are_found(void **state)
{
    (void)state;
    assert_true(str_starts(STR("unix:/a"), STR("unix:")));
    assert_true(str_starts(STR("unix:"), STR("unix:")));
    assert_false(str_starts(STR("unix"), STR("unix:")));
    assert_true(str_starts(STR("x"), STR("")));
    assert_true(str_starts((struct str){0}, (struct str){0}));
    assert_true(str_contains(STR("hello world"), STR("o w")));
    assert_true(str_contains(STR("hello"), STR("hello")));
    assert_false(str_contains(STR("hello"), STR("hello!")));
    assert_true(str_contains(STR("a\0needle"), STR("needle")));
    assert_true(str_contains(STR(""), STR("")));
    assert_false(str_contains((struct str){0}, STR("a")));
}

static void trimming_takes_blanks_at_both_ends_only(void **state)
{
    (void)state;
    assert_true(str_eq_cstr(str_trim(STR(" \t a b\t ")), "a b"));
    assert_true(str_eq_cstr(str_trim(STR("a")), "a"));
    assert_int_equal(str_trim(STR(" \t ")).len, 0);
    assert_int_equal(str_trim((struct str){0}).len, 0);
    assert_true(str_eq_cstr(str_trim(STR("\na\n")), "\na\n"));
}

static void words_are_cut_off_one_by_one(void **state)
{
    (void)state;
    struct str s = STR("  set\tserver  a/b ");
    assert_true(str_eq_cstr(str_word(&s, " \t"), "set"));
    assert_true(str_eq_cstr(str_word(&s, " \t"), "server"));
    assert_true(str_eq_cstr(str_word(&s, " \t"), "a/b"));
    assert_int_equal(str_word(&s, " \t").len, 0);
    assert_int_equal(str_word(&s, " \t").len, 0);
    s = STR("a/b");
    assert_true(str_eq_cstr(str_word(&s, "/"), "a"));
    assert_true(str_eq_cstr(s, "/b"));
    s = (struct str){0};
    assert_int_equal(str_word(&s, " ").len, 0);
}

static void a_zero_byte_is_part_of_a_word(void **state)
{
    (void)state;
    struct str s = STR("a\0b c");
    assert_int_equal(str_word(&s, " ").len, 3);
}

static void numbers_are_whole_decimal_and_bounded(void **state)
{
    (void)state;
    uint64_t v = 7;
    assert_int_equal(str_u64(STR("0"), 0, &v), 0);
    assert_int_equal(v, 0);
    assert_int_equal(str_u64(STR("65535"), 65535, &v), 0);
    assert_int_equal(v, 65535);
    assert_int_equal(str_u64(STR("18446744073709551615"), UINT64_MAX, &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(str_u64(STR("007"), 10, &v), 0);
    assert_int_equal(v, 7);

    assert_int_equal(str_u64(STR("65536"), 65535, &v), -ERANGE);
    assert_int_equal(str_u64(STR("18446744073709551616"), UINT64_MAX, &v), -ERANGE);
    assert_int_equal(str_u64(STR("99999999999999999999999"), UINT64_MAX, &v), -ERANGE);
    assert_int_equal(v, 7); /* untouched */
}

static void what_is_no_number_is_refused(void **state)
{
    static const char *const bad[] = {"",     "-1", "+1", " 1",  "1 ",
                                      "0x10", "1a", "1.", "1e3", "99999999999999999999999x"};
    (void)state;
    uint64_t v;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(str_u64(str_of(bad[i]), UINT64_MAX, &v), -EINVAL);
}

static void a_buffer_grows_and_stays_terminated(void **state)
{
    (void)state;
    struct strbuf b = {0};
    assert_int_equal(strbuf_str(&b).len, 0);
    assert_non_null(strbuf_str(&b).p);
    for (int i = 0; i < 1000; i++) {
        strbuf_add_char(&b, 'a');
        strbuf_add_cstr(&b, "bc");
        strbuf_add_str(&b, STR("d"));
        strbuf_add(&b, "", 0);
        assert_int_equal(b.p[b.len], '\0');
    }
    assert_int_equal(b.len, 4000);
    assert_memory_equal(b.p + 3996, "abcd", 5);
    strbuf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.p, "");
    strbuf_fini(&b);
    assert_null(b.p);
}

/* Why: the first try formats into what room there is; both sides of "just fits" must come out. */
static void formatted_text_fits_whatever_room_there_was(void **state)
{
    (void)state;
    for (int n = 0; n < 300; n++) {
        struct strbuf b = {0};
        strbuf_add(&b, "0123456789", 10);
        strbuf_addf(&b, "%*s", n, "");
        assert_int_equal(b.len, 10 + n);
        assert_int_equal(b.p[b.len], '\0');
        strbuf_addf(&b, "%d/%s", 42, "x");
        assert_string_equal(b.p + 10 + n, "42/x");
        strbuf_fini(&b);
    }
}

static void the_front_can_be_dropped(void **state)
{
    (void)state;
    struct strbuf b = {0};
    strbuf_drop_front(&b, 0);
    strbuf_add_cstr(&b, "hello world");
    strbuf_drop_front(&b, 6);
    assert_string_equal(b.p, "world");
    strbuf_drop_front(&b, 5);
    assert_string_equal(b.p, "");
    strbuf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_compare_by_their_bytes),
        cmocka_unit_test(prefixes_and_parts_are_found),
        cmocka_unit_test(trimming_takes_blanks_at_both_ends_only),
        cmocka_unit_test(words_are_cut_off_one_by_one),
        cmocka_unit_test(a_zero_byte_is_part_of_a_word),
        cmocka_unit_test(numbers_are_whole_decimal_and_bounded),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(a_buffer_grows_and_stays_terminated),
        cmocka_unit_test(formatted_text_fits_whatever_room_there_was),
        cmocka_unit_test(the_front_can_be_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
