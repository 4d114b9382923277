/* test_rewrite.c - what rules make of paths, hosts, redirects and answers; nothing that a client
 * sends leads to another host, another message or above the root. */
#include "tests/unit/lb/route/route_test.h"

#include <errno.h>

struct fixture {
    struct route_conf conf;
    const struct route_conf *list[1];
    struct route_table *table;
    struct route_scratch *scratch;
    struct strbuf problems;
    bool keep_encoded_slash;
    struct http_request request;
    struct http_vars vars;
    char out[4096];
};

static void note(void *arg, uint32_t index, const char *setting, uint32_t at, const char *text)
{
    struct fixture *f = arg;
    (void)index;
    (void)at;
    strbuf_addf(&f->problems, "%s: %s\n", setting, text);
}

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    f.scratch = route_scratch_new();
    http_request_init(&f.request, "GET");
    f.vars = (struct http_vars){.request = &f.request.head,
                                .scheme = STR("https"),
                                .host = STR("a.example"),
                                .path = STR("/v1/x"),
                                .query = STR("q=1")};
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    route_table_free(&f->table);
    route_scratch_free(&f->scratch);
    strbuf_fini(&f->problems);
    return 0;
}

static const struct route_rewrite *rewrite(struct fixture *f)
{
    route_table_free(&f->table);
    strbuf_clear(&f->problems);
    strbuf_add_cstr(&f->problems, "");
    f->list[0] = &f->conf;
    f->table = route_table_new(f->list, 1, f->keep_encoded_slash, note, f);
    return f->table != NULL ? route_rewrite(f->table, 0) : NULL;
}

static const char *text_of(struct fixture *f, int len)
{
    if (len < 0)
        return len == -EBADMSG ? "(bad)" : "(too long)";
    assert_true(len < (int)sizeof(f->out));
    f->out[len] = '\0';
    assert_int_equal(strlen(f->out), len);
    for (int i = 0; i < len; i++)
        assert_true((unsigned char)f->out[i] >= ' ' && f->out[i] != 0x7f);
    return f->out;
}

static const char *path_after(struct fixture *f, const char *path)
{
    const struct route_rewrite *w = rewrite(f);

    assert_non_null(w);
    f->vars.path = str_of(path);
    return text_of(f, route_rewrite_path(w, f->scratch, &f->vars, f->out, sizeof(f->out) - 1));
}

static const char *redirect(struct fixture *f, const char *to)
{
    f->conf.action = ROUTE_REDIRECT;
    f->conf.redirect.to = (char *)to;
    const struct route_rewrite *w = rewrite(f);
    if (w == NULL)
        fail_msg("%s", f->problems.p);
    return text_of(f, route_redirect_to(w, &f->vars, f->out, sizeof(f->out) - 1));
}

static const char *problems(struct fixture *f)
{
    assert_null(rewrite(f));
    return f->problems.p;
}

/* ---- paths ---- */

static void without_rewriting_the_path_goes_on(void **state)
{
    struct fixture *f = *state;

    assert_false(route_rewrites_path(rewrite(f)));
    assert_false(route_rewrites_host(rewrite(f)));
    assert_string_equal(path_after(f, "/v1/x"), "/v1/x");
}

static void a_prefix_is_stripped_on_segment_borders(void **state)
{
    struct fixture *f = *state;

    for (int slash = 0; slash < 2; slash++) {
        f->conf.strip_prefix = (char *)(slash ? "/v1/" : "/v1");
        assert_true(route_rewrites_path(rewrite(f)));
        assert_string_equal(path_after(f, "/v1/x/y"), "/x/y");
        assert_string_equal(path_after(f, "/v1/"), "/");
        assert_string_equal(path_after(f, "/v1"), "/");
        assert_string_equal(path_after(f, "/v10"), "/v10");
        assert_string_equal(path_after(f, "/x/v1/"), "/x/v1/");
        assert_string_equal(path_after(f, "/v1//x"), "//x");
        assert_string_equal(path_after(f, "*"), "*");
    }
    f->conf.strip_prefix = (char *)"/";
    assert_false(route_rewrites_path(rewrite(f)));
    assert_string_equal(path_after(f, "/x"), "/x");
}

static void a_path_is_replaced_by_a_template(void **state)
{
    struct fixture *f = *state;

    f->vars.captures[1] = STR("42");
    f->vars.captures[2] = STR("b%20c");
    f->conf.replace_path = (char *)"/users/$1/$2.html";
    assert_true(route_rewrites_path(rewrite(f)));
    assert_string_equal(path_after(f, "/x"), "/users/42/b%20c.html");
    f->conf.replace_path = (char *)"/$host$path";
    assert_string_equal(path_after(f, "/x"), "/a.example/x");
    f->conf.replace_path = (char *)"$1";
    assert_string_equal(path_after(f, "/x"), "/42");
    f->conf.replace_path = (char *)"$9";
    assert_string_equal(path_after(f, "/x"), "/");
    f->conf.replace_path = (char *)"/caf\xc3\xa9 $1";
    assert_string_equal(path_after(f, "/x"), "/caf%C3%A9%2042");
    assert_string_equal(path_after(f, "*"), "*");
}

static void a_replaced_path_stays_in_the_folder_that_the_operator_named(void **state)
{
    struct fixture *f = *state;

    f->conf.replace_path = (char *)"/files/$1";
    f->vars.captures[1] = STR("../x");
    assert_string_equal(path_after(f, "/"), "(bad)");
    f->vars.captures[1] = STR("a/./x");
    assert_string_equal(path_after(f, "/"), "(bad)");
    f->vars.captures[1] = STR("../../x");
    assert_string_equal(path_after(f, "/"), "(bad)");
    f->vars.captures[1] = STR("..%2Fx");
    assert_string_equal(path_after(f, "/"), "(bad)");
    f->keep_encoded_slash = true;
    assert_string_equal(path_after(f, "/"), "/files/..%2Fx");
    f->vars.captures[1] = STR("a%00");
    assert_string_equal(path_after(f, "/"), "(bad)");
}

static void what_fields_hold_cannot_leave_the_path(void **state)
{
    struct fixture *f = *state;

    http_request_field(&f->request, "X-T", "a?b=c#d e\r\nf");
    f->conf.replace_path = (char *)"/t/$header_x_t";
    assert_string_equal(path_after(f, "/"), "/t/a%3Fb=c%23d%20e%0D%0Af");
}

static void a_path_that_does_not_fit_is_an_error(void **state)
{
    struct fixture *f = *state;
    char out[8];

    f->conf.replace_path = (char *)"/1234567";
    const struct route_rewrite *w = rewrite(f);
    assert_int_equal(route_rewrite_path(w, f->scratch, &f->vars, out, 8), 8);
    assert_int_equal(route_rewrite_path(w, f->scratch, &f->vars, out, 7), -EMSGSIZE);
    f->conf.replace_path = NULL;
    f->conf.strip_prefix = (char *)"/v1";
    w = rewrite(f);
    assert_int_equal(route_rewrite_path(w, f->scratch, &f->vars, out, 2), 2);
    assert_int_equal(route_rewrite_path(w, f->scratch, &f->vars, out, 1), -EMSGSIZE);
}

/* ---- hosts ---- */

static const char *host_after(struct fixture *f, const char *set_host)
{
    f->conf.set_host = (char *)set_host;
    const struct route_rewrite *w = rewrite(f);
    assert_true(route_rewrites_host(w));
    return text_of(f, route_rewrite_host(w, &f->vars, f->out, sizeof(f->out) - 1));
}

static void a_host_is_set(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(host_after(f, "inner.example:8080"), "inner.example:8080");
    assert_string_equal(host_after(f, "x.$host"), "x.a.example");
}

static void a_host_that_is_none_is_refused(void **state)
{
    struct fixture *f = *state;

    f->vars.host = STR("");
    assert_string_equal(host_after(f, "$host"), "(bad)");
    f->vars.host = STR("a/b");
    assert_string_equal(host_after(f, "$host"), "(bad)");
    f->vars.host = STR("a\r\nX: y");
    assert_string_equal(host_after(f, "$host"), "(bad)");
}

/* ---- redirects ---- */

static void a_redirect_takes_the_query_along(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(redirect(f, "/new"), "/new?q=1");
    assert_string_equal(redirect(f, "https://b.example/new#top"), "https://b.example/new?q=1#top");
    f->vars.query = STR("");
    assert_string_equal(redirect(f, "/new"), "/new");
}

static void a_redirect_that_names_a_query_gets_no_second(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(redirect(f, "/new?a=1"), "/new?a=1");
    assert_string_equal(redirect(f, "/new?"), "/new?");
    assert_string_equal(redirect(f, "/new?a=1&$query"), "/new?a=1&q=1");
    assert_string_equal(redirect(f, "https://$host$uri"), "https://a.example/v1/x?q=1");
    assert_string_equal(redirect(f, "$scheme://b.example${uri}"), "https://b.example/v1/x?q=1");
}

static void a_redirect_keeps_no_rest_unless_asked(void **state)
{
    struct fixture *f = *state;

    f->conf.paths = (char *[]){(char *)"/v1"};
    f->conf.n_paths = 1;
    f->vars.query = STR("");
    assert_string_equal(redirect(f, "/new"), "/new");
    assert_string_equal(redirect(f, "/new$path"), "/new/v1/x");
}

static void a_local_redirect_stays_on_its_host(void **state)
{
    struct fixture *f = *state;

    f->vars.query = STR("");
    f->vars.path = STR("//evil.example/x");
    assert_string_equal(redirect(f, "$path"), "/evil.example/x");
    assert_string_equal(redirect(f, "$uri"), "/evil.example/x");
    f->vars.captures[1] = STR("/evil.example");
    assert_string_equal(redirect(f, "/$1"), "/evil.example");
    f->vars.captures[1] = STR("\\evil.example");
    assert_string_equal(redirect(f, "/$1"), "/%5Cevil.example");
    f->vars.query = STR("next=https://evil.example/");
    assert_string_equal(redirect(f, "$query_next?"), "/https://evil.example/?");
    f->vars.path = STR("*");
    f->vars.query = STR("");
    assert_string_equal(redirect(f, "$path"), "/*");
}

static void what_clients_send_does_not_become_part_of_the_redirects_host(void **state)
{
    struct fixture *f = *state;

    f->vars.query = STR("");
    f->vars.captures[1] = STR(".evil.example/");
    assert_string_equal(redirect(f, "https://b.example$1"), "https://b.example/.evil.example/");
    assert_string_equal(redirect(f, "${scheme}://b.example$1"), "https://b.example/.evil.example/");
    f->vars.captures[1] = STR("@evil.example/");
    assert_string_equal(redirect(f, "https://b.example$1"), "https://b.example/@evil.example/");
    f->vars.captures[1] = STR("/x");
    assert_string_equal(redirect(f, "https://b.example$1"), "https://b.example/x");
    f->vars.captures[1] = STR("");
    assert_string_equal(redirect(f, "https://b.example$1"), "https://b.example");
}

static void nothing_in_a_request_adds_a_header_to_a_redirect(void **state)
{
    struct fixture *f = *state;

    f->vars.query = STR("a\r\nSet-Cookie: x=1");
    assert_string_equal(redirect(f, "/new"), "/new?a%0D%0ASet-Cookie:%20x=1");
    f->vars.query = STR("");
    f->vars.host = STR("a\r\nb");
    assert_string_equal(redirect(f, "https://$host/"), "https://a%0D%0Ab/");
}

static void a_redirect_that_does_not_fit_is_an_error_at_every_length(void **state)
{
    static const char *const targets[] = {"/new", "$query_q", "https://b.example$1"};
    struct fixture *f = *state;

    f->vars.captures[1] = STR("x");
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        size_t full = strlen(redirect(f, targets[i]));
        const struct route_rewrite *w = route_rewrite(f->table, 0);
        char *out = malloc(full); /* the sanitizer sees a byte too many */
        assert_int_equal(route_redirect_to(w, &f->vars, out, full), full);
        for (size_t cap = 0; cap < full; cap++)
            assert_int_equal(route_redirect_to(w, &f->vars, out, cap), -EMSGSIZE);
        free(out);
    }
}

/* ---- answers ---- */

static const char *answer(struct fixture *f, const char *type, const char *body)
{
    f->conf.action = ROUTE_ANSWER;
    f->conf.answer.type = (char *)type;
    f->conf.answer.body = (char *)body;
    const struct route_rewrite *w = rewrite(f);
    assert_non_null(w);
    return text_of(f, route_answer_body(w, &f->vars, f->out, sizeof(f->out) - 1));
}

static void an_answers_values_are_escaped_for_its_type(void **state)
{
    struct fixture *f = *state;

    f->vars.query = STR("a=<b>\"");
    assert_string_equal(answer(f, "text/html; charset=utf-8", "<p>$query_a"), "<p>&lt;b&gt;&quot;");
    assert_string_equal(answer(f, "image/svg+xml", "<t>$query_a"), "<t>&lt;b&gt;&quot;");
    assert_string_equal(answer(f, "application/json", "{\"a\":\"$query_a\"}"),
                        "{\"a\":\"\\u003cb>\\\"\"}");
    assert_string_equal(answer(f, "text/plain", "$query_a"), "<b>\"");
    assert_string_equal(answer(f, NULL, "$query_a"), "<b>\"");
}

static void a_fixed_answer_needs_no_expanding(void **state)
{
    struct fixture *f = *state;

    answer(f, "text/plain", "costs 5 $$ net");
    assert_true(str_eq_cstr(route_answer_fixed(route_rewrite(f->table, 0)), "costs 5 $ net"));
    answer(f, "text/plain", "on $host");
    assert_null(route_answer_fixed(route_rewrite(f->table, 0)).p);
    answer(f, NULL, NULL);
    assert_null(route_answer_fixed(route_rewrite(f->table, 0)).p);
    assert_string_equal(answer(f, NULL, NULL), "");
}

/* ---- mistakes ---- */

static void mistakes_are_told_with_their_setting(void **state)
{
    static const struct {
        struct route_conf conf;
        const char *words;
    } cases[] = {
        {{.strip_prefix = (char *)"v1"}, "strip_prefix: found \"v1\", expected \"/prefix\""},
        {{.strip_prefix = (char *)"/../a"}, "strip_prefix: \"/../a\" is no path"},
        {{.replace_path = (char *)"x"}, "replace_path: found \"x\", expected a path"},
        {{.replace_path = (char *)"/x?a=1"}, "replace_path: \"/x?a=1\": a path has no \"?\""},
        {{.replace_path = (char *)"/$pth"}, "did you mean \"path\"?"},
        {{.replace_path = (char *)"/a", .strip_prefix = (char *)"/b"}, "beside strip_prefix"},
        {{.set_host = (char *)"a b"}, "set_host: \"a b\" is no host"},
        {{.set_host = (char *)"$hst"}, "set_host: \"$hst\": unknown variable"},
        {{.action = ROUTE_REDIRECT, .redirect = {.to = (char *)"new"}},
         "redirect.to: found \"new\", expected a path"},
        {{.action = ROUTE_REDIRECT, .redirect = {.to = (char *)"//b.example/"}},
         "redirect.to: found \"//b.example/\""},
        {{.action = ROUTE_REDIRECT, .redirect = {.to = (char *)"/a\r\nb"}}, "control characters"},
        {{.action = ROUTE_REDIRECT, .redirect = {.to = (char *)"/$"}}, "written \"$$\""},
        {{.action = ROUTE_ANSWER, .answer = {.body = (char *)"$nope"}},
         "answer.body: \"$nope\": unknown variable"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        f->conf = cases[i].conf;
        if (strstr(problems(f), cases[i].words) == NULL)
            fail_msg("%s, expected %s", f->problems.p, cases[i].words);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(without_rewriting_the_path_goes_on),
        TEST(a_prefix_is_stripped_on_segment_borders),
        TEST(a_path_is_replaced_by_a_template),
        TEST(a_replaced_path_stays_in_the_folder_that_the_operator_named),
        TEST(what_fields_hold_cannot_leave_the_path),
        TEST(a_path_that_does_not_fit_is_an_error),
        TEST(a_host_is_set),
        TEST(a_host_that_is_none_is_refused),
        TEST(a_redirect_takes_the_query_along),
        TEST(a_redirect_that_names_a_query_gets_no_second),
        TEST(a_redirect_keeps_no_rest_unless_asked),
        TEST(a_local_redirect_stays_on_its_host),
        TEST(what_clients_send_does_not_become_part_of_the_redirects_host),
        TEST(nothing_in_a_request_adds_a_header_to_a_redirect),
        TEST(a_redirect_that_does_not_fit_is_an_error_at_every_length),
        TEST(an_answers_values_are_escaped_for_its_type),
        TEST(a_fixed_answer_needs_no_expanding),
        TEST(mistakes_are_told_with_their_setting),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
