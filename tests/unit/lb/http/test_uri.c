/* test_uri.c - paths, queries, authorities. */
#include "lb/http/uri.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_str(struct str s, const char *want)
{
    if (s.len != strlen(want) || memcmp(s.p, want, s.len) != 0)
        fail_msg("\"" STR_FMT "\", expected \"%s\"", STR_ARG(s), want);
}

struct path_row {
    const char *path, *want; /* want NULL: as it is, in place */
    bool had_dots;
};

static void paths_get_their_normal_form(void **state)
{
    static const struct path_row rows[] = {
        {"/", NULL, false},
        {"/a/b.c/~d/e=f;g,h", NULL, false},
        {"//a//", NULL, false},
        {"/a.b/..c/d..", NULL, false},
        {"/...", NULL, false},
        {"/%20%C3%A4%25", NULL, false},
        {"/%c3%a4", "/%C3%A4", false},
        {"/%61%2D%7e%41%39", "/a-~A9", false},
        {"/.", "/", true},
        {"/./a", "/a", true},
        {"/a/.", "/a/", true},
        {"/a/..", "/", true},
        {"/a/../", "/", true},
        {"/a/b/../c", "/a/c", true},
        {"/a/b/../../c/./d/..", "/c/", true},
        {"/a//../b", "/a/b", true},
        {"//..", "/", true},
        {"/%2e/a/%2E%2e/b", "/b", true},
        {"/a/.%2e/b", "/b", true},
        {"/%252e%252e/a", NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str path = str_of(rows[i].path);
        char *buf = malloc(path.len);
        struct uri_path out;
        enum uri_result r = uri_normalise(path, false, buf, &out);
        if (r != URI_OK)
            fail_msg("%s: %s", rows[i].path, uri_result_code(r));
        assert_str(out.text, rows[i].want != NULL ? rows[i].want : rows[i].path);
        assert_int_equal(out.had_dots, rows[i].had_dots);
        assert_int_equal(out.text.p == path.p, rows[i].want == NULL);
        free(buf);
    }
}

static void what_paths_may_not_hold_is_refused(void **state)
{
    static const struct {
        const char *path;
        enum uri_result want, keeping;
    } rows[] = {
        {"", URI_NOT_ROOTED, URI_NOT_ROOTED},
        {"a", URI_NOT_ROOTED, URI_NOT_ROOTED},
        {"*", URI_NOT_ROOTED, URI_NOT_ROOTED},
        {"/..", URI_ABOVE_ROOT, URI_ABOVE_ROOT},
        {"/../a", URI_ABOVE_ROOT, URI_ABOVE_ROOT},
        {"/a/../../b", URI_ABOVE_ROOT, URI_ABOVE_ROOT},
        {"/a/%2e%2e/%2E./b", URI_ABOVE_ROOT, URI_ABOVE_ROOT},
        {"/%", URI_BAD_ESCAPE, URI_BAD_ESCAPE},
        {"/%4", URI_BAD_ESCAPE, URI_BAD_ESCAPE},
        {"/%4g", URI_BAD_ESCAPE, URI_BAD_ESCAPE},
        {"/%u0041", URI_BAD_ESCAPE, URI_BAD_ESCAPE},
        {"/a%2fb", URI_ENCODED_SLASH, URI_OK},
        {"/a%5Cb", URI_ENCODED_SLASH, URI_OK},
        {"/a\\b", URI_ENCODED_SLASH, URI_ENCODED_SLASH},
        {"/a%00", URI_ENCODED_NUL, URI_ENCODED_NUL},
        {"/a b", URI_BAD_BYTE, URI_BAD_BYTE},
        {"/a?b", URI_BAD_BYTE, URI_BAD_BYTE},
        {"/a#b", URI_BAD_BYTE, URI_BAD_BYTE},
        {"/\xc3\xa4", URI_BAD_BYTE, URI_BAD_BYTE},
        {"/\x7f", URI_BAD_BYTE, URI_BAD_BYTE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char buf[100];
        struct uri_path out;
        assert_int_equal(uri_normalise(str_of(rows[i].path), false, buf, &out), rows[i].want);
        assert_int_equal(uri_normalise(str_of(rows[i].path), true, buf, &out), rows[i].keeping);
    }
}

static void kept_slashes_stay_escapes_and_end_no_segment(void **state)
{
    char buf[100];
    struct uri_path out;
    (void)state;
    assert_int_equal(uri_normalise(STR("/a%2fb/../c%5c"), true, buf, &out), URI_OK);
    assert_str(out.text, "/c%5C");
    assert_int_equal(uri_normalise(STR("/a/..%2fb"), true, buf, &out), URI_OK);
    assert_str(out.text, "/a/..%2Fb");
}

static void each_verdict_has_code_and_words(void **state)
{
    (void)state;
    for (enum uri_result r = URI_OK; r <= URI_BAD_BYTE; r++) {
        assert_true(strlen(uri_result_code(r)) > 1);
        assert_true(strlen(uri_result_text(r)) > 8);
    }
}

static void escapes_are_decoded(void **state)
{
    char out[100];
    size_t len = 0;
    (void)state;
    assert_true(uri_decode(STR("a%20b+c%2B%00"), true, out, &len));
    assert_int_equal(len, 7);
    assert_memory_equal(out, "a b c+\0", 7);
    assert_true(uri_decode(STR("a+b"), false, out, &len));
    assert_memory_equal(out, "a+b", 3);
    assert_true(uri_decode(STR(""), false, out, &len));
    assert_int_equal(len, 0);
    assert_false(uri_decode(STR("%"), false, out, &len));
    assert_false(uri_decode(STR("%1"), false, out, &len));
    assert_false(uri_decode(STR("%zz"), false, out, &len));
}

static void queries_are_walked(void **state)
{
    struct str rest = STR("&a=1&&b&c==d&=e&"), name, value;
    static const struct {
        const char *name, *value;
        bool has_value;
    } want[] = {{"a", "1", true}, {"b", "", false}, {"c", "=d", true}, {"", "e", true}};
    bool has_value;
    (void)state;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        assert_true(uri_query_next(&rest, &name, &value, &has_value));
        assert_str(name, want[i].name);
        assert_str(value, want[i].value);
        assert_int_equal(has_value, want[i].has_value);
    }
    assert_false(uri_query_next(&rest, &name, &value, &has_value));
}

static void parameters_are_found_by_their_decoded_name(void **state)
{
    struct str query = STR("ab=0&%61=1&a=2&a+b=3&c%=4&d"), value = {0};
    (void)state;
    assert_true(uri_query_find(query, STR("a"), &value));
    assert_str(value, "1");
    assert_true(uri_query_find(query, STR("a b"), &value));
    assert_str(value, "3");
    assert_true(uri_query_find(query, STR("c%"), &value));
    assert_str(value, "4");
    assert_true(uri_query_find(query, STR("d"), &value));
    assert_str(value, "");
    assert_false(uri_query_find(query, STR("abc"), &value));
    assert_false(uri_query_find(query, STR("A"), &value));
    assert_false(uri_query_find(STR(""), STR("a"), &value));
}

static void authorities_are_taken_apart(void **state)
{
    static const struct {
        const char *authority, *host, *port;
    } good[] = {
        {"a", "a", ""},
        {"A-b_c.d~", "A-b_c.d~", ""},
        {"a:1", "a", "1"},
        {"a:", "a", ""},
        {"1.2.3.4:65535", "1.2.3.4", "65535"},
        {"[::1]", "[::1]", ""},
        {"[::]:80", "[::]", "80"},
        {"[2001:db8::1.2.3.4]:0", "[2001:db8::1.2.3.4]", "0"},
    };
    static const char *const bad[] = {
        "",       ":80",     "a:65536", "a:123456",  "a:x",
        "a:-1",   "a:1:2",   "u@a",     "u:p@a",     "a/b",
        "a b",    "a,b",     "a%20",    "a\\b",      "[::1",
        "[]",     "[::1]80", "[::1]:x", "[1.2.3.4]", "[fe80::1%25eth0]",
        "[v1.a]", "::1",     "[[::1]]", "a]",        "\xc3\xa4",
    };
    struct str host, port;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(uri_authority(str_of(good[i].authority), &host, &port));
        assert_str(host, good[i].host);
        assert_str(port, good[i].port);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (uri_authority(str_of(bad[i]), &host, &port))
            fail_msg("%s was taken", bad[i]);
    }
    assert_false(uri_authority((struct str){"[::1\0]", 6}, &host, &port));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_get_their_normal_form),
        cmocka_unit_test(what_paths_may_not_hold_is_refused),
        cmocka_unit_test(kept_slashes_stay_escapes_and_end_no_segment),
        cmocka_unit_test(each_verdict_has_code_and_words),
        cmocka_unit_test(escapes_are_decoded),
        cmocka_unit_test(queries_are_walked),
        cmocka_unit_test(parameters_are_found_by_their_decoded_name),
        cmocka_unit_test(authorities_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
