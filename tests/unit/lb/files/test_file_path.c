/* test_file_path.c - which file a path names, and what it is. */
#include "lb/files/file_path.h"
#include "lb/files/file_type.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static char out[FILE_PATH_MAX];
static size_t len;
static bool directory;

static enum file_path of(const char *path)
{
    return file_path_of(str_of(path), out, &len, &directory);
}

static void names(const char *path, const char *file, bool is_directory)
{
    assert_int_equal(of(path), FILE_PATH_GOOD);
    assert_string_equal(out, file);
    assert_int_equal(len, strlen(file));
    assert_int_equal(directory, is_directory);
}

static void paths_are_decoded_and_relative(void **state)
{
    (void)state;
    names("/", ".", true);
    names("///", ".", true);
    names("/a", "a", false);
    names("/a/b.txt", "a/b.txt", false);
    names("/a//b/", "a/b", true);
    names("/%41%20%c3%a9", "A \xc3\xa9", false);
}

static void what_can_be_no_name_is_refused(void **state)
{
    static const char *const bad[] = {"",          "a",  "/%2f", "/a%00b", "/%2e%2e/x",
                                      "/a/%2e%2e", "/.", "/%",   "/%4",    "/%zz"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(of(bad[i]), FILE_PATH_BAD);
}

static void too_long_a_path_is_refused(void **state)
{
    static char path[FILE_PATH_MAX + 2];

    (void)state;
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    assert_int_equal(of(path), FILE_PATH_BAD);
    path[FILE_PATH_MAX - 1] = '\0';
    assert_int_equal(of(path), FILE_PATH_GOOD);
    assert_int_equal(len, FILE_PATH_MAX - 2);
}

static void names_with_a_dot_are_hidden(void **state)
{
    (void)state;
    assert_int_equal(of("/.git/config"), FILE_PATH_HIDDEN);
    assert_int_equal(of("/a/.b/c"), FILE_PATH_HIDDEN);
    assert_int_equal(of("/..."), FILE_PATH_HIDDEN);
    assert_int_equal(of("/%2ehtaccess"), FILE_PATH_HIDDEN);
    assert_int_equal(of("/.well-known"), FILE_PATH_HIDDEN);
    assert_int_equal(of("/a/.well-known/x"), FILE_PATH_HIDDEN);
    assert_int_equal(of("/.well-known/.x"), FILE_PATH_HIDDEN);
    names("/.well-known/acme-challenge/x", ".well-known/acme-challenge/x", false);
}

static void endings_are_compared_in_any_case(void **state)
{
    char php[] = ".php", tilde[] = "~";
    char *const endings[] = {php, tilde};

    (void)state;
    assert_true(file_path_ends(STR("a/b.PHP"), endings, 2));
    assert_true(file_path_ends(STR("a~"), endings, 2));
    assert_false(file_path_ends(STR("a.php5"), endings, 2));
    assert_false(file_path_ends(STR("hp"), endings, 2));
    assert_false(file_path_ends(STR("a.php"), endings, 0));
}

static void types_go_by_the_last_ending(void **state)
{
    (void)state;
    assert_string_equal(file_type_of(STR("a/b.html"))->type, "text/html; charset=utf-8");
    assert_string_equal(file_type_of(STR("x.min.JS"))->type, "text/javascript; charset=utf-8");
    assert_string_equal(file_type_of(STR("x.7z"))->type, "application/x-7z-compressed");
    assert_string_equal(file_type_of(STR("x.zst"))->type, "application/zstd");
    assert_string_equal(file_type_of(STR("x.tar.gz"))->type, "application/gzip");
    assert_true(file_type_of(STR("x.svg"))->shrinks);
    assert_false(file_type_of(STR("x.png"))->shrinks);
}

static void what_is_not_known_is_bytes(void **state)
{
    static const char *const unknown[] = {"x",  "a.b/c",    ".html",   "a/.html",
                                          "x.", "x.nosuch", "x.htmlx", "x.ht"};

    (void)state;
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_string_equal(file_type_of(str_of(unknown[i]))->type, "application/octet-stream");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_decoded_and_relative),
        cmocka_unit_test(what_can_be_no_name_is_refused),
        cmocka_unit_test(too_long_a_path_is_refused),
        cmocka_unit_test(names_with_a_dot_are_hidden),
        cmocka_unit_test(endings_are_compared_in_any_case),
        cmocka_unit_test(types_go_by_the_last_ending),
        cmocka_unit_test(what_is_not_known_is_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
