/* test_template.c - templates: what compiles, what variables stand for, what comes out of them. */
#include "lb/base/tls_facts.h"
#include "lb/http/template.h"
#include "tests/support/http_request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct fixture {
    struct http_request request, response;
    struct http_vars vars;
    char out[4096];
};

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    http_request_init(&f.request, "GET");
    http_request_field(&f.request, "X-Request-Source", "edge");
    http_request_field(&f.request, "Cookie", "session_id=s1; my-lang=de");
    http_request_init(&f.response, "");
    f.response.head.status = 404;
    http_request_field(&f.response, "X-Kind", "miss");
    f.vars = (struct http_vars){
        .request = &f.request.head,
        .response = &f.response.head,
        .client_ip = STR("192.0.2.7"),
        .client_port = STR("40000"),
        .peer_ip = STR("10.0.0.1"),
        .scheme = STR("https"),
        .host = STR("a.example"),
        .port = STR("8443"),
        .path = STR("/x/y"),
        .query = STR("q=1&user-name=eve"),
        .request_id = STR("r-1"),
        .traceparent = STR("00-aa-bb-01"),
        .listener = STR("web"),
        .route = STR("web#1"),
        .pool = STR("app"),
        .backend = STR("b1"),
        .captures = {STR("/x/y"), STR("x"), STR("y")},
        .wall_s = 1700000000,
    };
    *state = &f;
    return 0;
}

static const char *expanded_for(struct fixture *f, const char *text, enum http_template_for what)
{
    const char *error = NULL;
    struct http_template *t = http_template_compile(str_of(text), &error);

    if (t == NULL)
        fail_msg("\"%s\": %s", text, error);
    int len = http_template_expand_for(t, &f->vars, what, f->out, sizeof(f->out) - 1);
    assert_true(len >= 0);
    f->out[len] = '\0';
    http_template_free(&t);
    assert_null(t);
    return f->out;
}

static const char *expanded(struct fixture *f, const char *text)
{
    return expanded_for(f, text, HTTP_FOR_TEXT);
}

static const char *mistake(const char *text)
{
    const char *error = NULL;

    assert_null(http_template_compile(str_of(text), &error));
    assert_non_null(error);
    return error;
}

static void text_without_variables_is_fixed(void **state)
{
    const char *error;
    (void)state;
    static const struct {
        const char *text, *fixed;
    } cases[] = {
        {"", ""}, {"plain", "plain"}, {"5 $$", "5 $"}, {"$$", "$"}, {"a$$b$$$$c", "a$b$$c"}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_template *t = http_template_compile(str_of(cases[i].text), &error);
        assert_non_null(t);
        struct str fixed = http_template_fixed(t);
        assert_non_null(fixed.p);
        assert_true(str_eq_cstr(fixed, cases[i].fixed));
        http_template_free(&t);
    }
    struct http_template *t = http_template_compile(STR("a $host"), &error);
    assert_null(http_template_fixed(t).p);
    http_template_free(&t);
}

static void every_variable_stands_for_its_value(void **state)
{
    static const struct {
        const char *text, *value;
    } cases[] = {
        {"$client_ip", "192.0.2.7"},
        {"$client_port", "40000"},
        {"$peer_ip", "10.0.0.1"},
        {"$scheme", "https"},
        {"$host", "a.example"},
        {"$port", "8443"},
        {"$method", "GET"},
        {"$path", "/x/y"},
        {"$query", "q=1&user-name=eve"},
        {"$uri", "/x/y?q=1&user-name=eve"},
        {"$version", "1.1"},
        {"$request_id", "r-1"},
        {"$traceparent", "00-aa-bb-01"},
        {"$listener", "web"},
        {"$route", "web#1"},
        {"$pool", "app"},
        {"$backend", "b1"},
        {"$status", "404"},
        {"$time_epoch", "1700000000"},
        {"$header_x_request_source", "edge"},
        {"${header_X-Request-Source}", "edge"},
        {"$cookie_session_id", "s1"},
        {"$cookie_my_lang", "de"},
        {"$query_q", "1"},
        {"$query_user_name", "eve"},
        {"$response_header_x_kind", "miss"},
        {"$1 and $2", "x and y"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(expanded(*state, cases[i].text), cases[i].value);
}

static const struct tls_facts *facts(void *arg)
{
    static const struct tls_facts known = {
        .version = STR("TLSv1.3"),
        .cipher = STR("TLS_AES_128_GCM_SHA256"),
        .sni = STR("a.example"),
        .alpn = STR("h2"),
        .resumed = true,
        .client_verify = STR("SUCCESS"),
        .client_subject = STR("CN=al\nice"),
        .client_issuer = STR("CN=Test CA"),
        .client_serial = STR("0A"),
        .client_fingerprint = STR("ab12"),
    };

    ++*(int *)arg;
    return &known;
}

static void facts_of_tls_are_asked_for_only_where_they_are_wanted(void **state)
{
    struct fixture *f = *state;
    int asked = 0;

    assert_string_equal(expanded(f, "<$tls_version$tls_resumed$tls_client_subject>"), "<>");
    f->vars.tls = facts;
    f->vars.tls_arg = &asked;
    assert_string_equal(expanded(f, "$scheme"), "https");
    assert_int_equal(asked, 0);
    assert_string_equal(expanded(f, "$tls_version $tls_cipher $tls_sni $tls_alpn $tls_resumed"),
                        "TLSv1.3 TLS_AES_128_GCM_SHA256 a.example h2 1");
    assert_string_equal(expanded(f, "$tls_client_verify,$tls_client_subject,$tls_client_issuer,"
                                    "$tls_client_serial,$tls_client_fingerprint"),
                        "SUCCESS,CN=al?ice,CN=Test CA,0A,ab12");
    assert_true(asked > 0);
}

static const struct tls_facts *facts_of_a_stranger(void *arg)
{
    static struct tls_facts stranger;

    stranger = *facts(arg);
    stranger.client_verify = STR("FAILED:certificate has expired");
    return &stranger;
}

/* Why: who goes by the name alone would believe whoever made himself a certificate. */
static void a_certificate_that_is_no_good_names_nobody(void **state)
{
    struct fixture *f = *state;
    int asked = 0;

    f->vars.tls = facts_of_a_stranger;
    f->vars.tls_arg = &asked;
    assert_string_equal(expanded(f, "$tls_client_verify,$tls_client_subject,$tls_client_issuer,"
                                    "$tls_client_serial,$tls_client_fingerprint"),
                        "FAILED:certificate has expired,,,,ab12");
}

static void what_is_not_there_is_empty(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(expanded(f, "<$header_none$cookie_none$query_none$9>"), "<>");
    f->vars = (struct http_vars){0};
    assert_string_equal(expanded(f, "<$host$uri$method$status$version$header_a$cookie_b$query_c"
                                    "$response_header_d$1>"),
                        "<>");
}

static void names_end_where_they_end(void **state)
{
    assert_string_equal(expanded(*state, "https://$host:$port$path.html"),
                        "https://a.example:8443/x/y.html");
    assert_string_equal(expanded(*state, "${host}_x$1st$12"), "a.example_xxstx2");
    assert_string_equal(expanded(*state, "$$host$$$host$$"), "$host$a.example$");
}

static void lines_of_a_header_are_joined(void **state)
{
    struct fixture *f = *state;

    http_request_field(&f->request, "X-A", "1");
    http_request_field(&f->request, "Cookie", "z=2");
    http_request_field(&f->request, "x-a", "2");
    assert_string_equal(expanded(f, "$header_x_a"), "1, 2");
    assert_string_equal(expanded(f, "$header_cookie"), "session_id=s1; my-lang=de; z=2");
    assert_string_equal(expanded(f, "$cookie_z"), "2");
}

static void a_cookie_is_looked_for_as_written_first(void **state)
{
    struct fixture *f = *state;

    http_request_field(&f->request, "Cookie", "a-b=dash; a_b=underscore");
    assert_string_equal(expanded(f, "$cookie_a_b"), "underscore");
    assert_string_equal(expanded(f, "${cookie_a-b}"), "dash");
}

static void mistakes_are_told_with_what_is_known(void **state)
{
    (void)state;
    assert_non_null(strstr(mistake("$client_pi"), "did you mean \"client_ip\"?"));
    assert_non_null(strstr(mistake("$zzzz"), "client_ip client_port"));
    assert_non_null(strstr(mistake("$zzzz"), "header_NAME"));
    assert_non_null(strstr(mistake("$host_x"), "did you mean \"${host}_x\"?"));
    assert_non_null(strstr(mistake("$header_"), "lacks a name"));
    assert_non_null(strstr(mistake("${host"), "without its \"}\""));
    assert_non_null(strstr(mistake("5 $"), "written \"$$\""));
    assert_non_null(strstr(mistake("$.50"), "written \"$$\""));
    assert_non_null(strstr(mistake("${}"), "written \"$$\""));
    assert_non_null(strstr(mistake("${ho st}"), "letters"));
    assert_non_null(strstr(mistake("$0"), "unknown variable"));
    assert_non_null(strstr(mistake("${10}"), "unknown variable"));
}

static void control_bytes_never_come_out_of_values(void **state)
{
    struct fixture *f = *state;

    f->vars.host = (struct str){"a\r\nSet-Cookie: x\t\0\x7f", 19};
    for (int what = HTTP_FOR_TEXT; what <= HTTP_FOR_JSON; what++) {
        const char *out = expanded_for(f, "$host", (enum http_template_for)what);
        for (const char *p = out; *p != '\0'; p++)
            assert_true((unsigned char)*p >= ' ' && *p != 0x7f);
        assert_true(strlen(out) >= 19);
    }
    assert_string_equal(expanded(f, "$host"), "a??Set-Cookie: x ??");
}

static void values_in_paths_and_urls_are_percent_encoded(void **state)
{
    struct fixture *f = *state;

    f->vars.captures[1] = STR("a b?c#d%2f%zz%");
    assert_string_equal(expanded_for(f, "/?#$1", HTTP_FOR_PATH), "/?#a%20b%3Fc%23d%2f%25zz%25");
    assert_string_equal(expanded_for(f, "$1", HTTP_FOR_URL), "a%20b%3Fc%23d%2f%25zz%25");
    f->vars.query = STR("a=?&b=\"");
    assert_string_equal(expanded_for(f, "$uri", HTTP_FOR_URL), "/x/y?a=?&b=%22");
    assert_string_equal(expanded_for(f, "$uri", HTTP_FOR_PATH), "/x/y%3Fa=%3F&b=%22");
    f->vars.host = STR("[::1]");
    assert_string_equal(expanded_for(f, "http://$host/", HTTP_FOR_URL), "http://[::1]/");
}

static void values_in_html_and_json_are_escaped(void **state)
{
    struct fixture *f = *state;

    f->vars.path = STR("/<b>&\"'\\\xe9");
    assert_string_equal(expanded_for(f, "<p>$path", HTTP_FOR_HTML),
                        "<p>/&lt;b&gt;&amp;&quot;&#39;\\\xe9");
    assert_string_equal(expanded_for(f, "{\"p\":\"$path\"}", HTTP_FOR_JSON),
                        "{\"p\":\"/\\u003cb>&\\\"'\\\\\\u00e9\"}");
}

static void too_little_room_is_an_error_at_every_length(void **state)
{
    struct fixture *f = *state;
    const char *error;
    struct http_template *t =
        http_template_compile(STR("<$host $status $uri $header_x_request_source>"), &error);
    char out[128];
    int full = http_template_expand(t, &f->vars, out, sizeof(out));

    assert_true(full > 0);
    assert_int_equal(http_template_expand(t, &f->vars, out, (size_t)full), full);
    for (int cap = 0; cap < full; cap++) {
        out[cap] = '#';
        assert_int_equal(http_template_expand(t, &f->vars, out, (size_t)cap), -EMSGSIZE);
        assert_int_equal(out[cap], '#');
    }
    http_template_free(&t);
}

static void a_template_knows_what_it_uses(void **state)
{
    const char *error;
    struct http_template *t =
        http_template_compile(STR("$query x $header_x_id $cookie_a_b $2"), &error);
    (void)state;

    assert_true(http_template_uses(t, "query"));
    assert_true(http_template_uses(t, "header_x_id"));
    assert_true(http_template_uses(t, "cookie_a_b"));
    assert_true(http_template_uses(t, "2"));
    assert_false(http_template_uses(t, "1"));
    assert_false(http_template_uses(t, "uri"));
    assert_false(http_template_uses(t, "header_x_ip"));
    assert_false(http_template_uses(t, "no_such_thing"));
    http_template_free(&t);
}

static void a_line_has_no_control_bytes_of_the_operator(void **state)
{
    static const struct {
        const char *text;
        bool is_line;
    } cases[] = {
        {"a $host b", true}, {"a\tb", true}, {"a\nb", false}, {"$host\r", false}, {"", true}};
    const char *error;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_template *t = http_template_compile(str_of(cases[i].text), &error);
        assert_int_equal(http_template_is_line(t), cases[i].is_line);
        http_template_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_without_variables_is_fixed),
        cmocka_unit_test_setup(every_variable_stands_for_its_value, setup),
        cmocka_unit_test_setup(facts_of_tls_are_asked_for_only_where_they_are_wanted, setup),
        cmocka_unit_test_setup(a_certificate_that_is_no_good_names_nobody, setup),
        cmocka_unit_test_setup(what_is_not_there_is_empty, setup),
        cmocka_unit_test_setup(names_end_where_they_end, setup),
        cmocka_unit_test_setup(lines_of_a_header_are_joined, setup),
        cmocka_unit_test_setup(a_cookie_is_looked_for_as_written_first, setup),
        cmocka_unit_test(mistakes_are_told_with_what_is_known),
        cmocka_unit_test_setup(control_bytes_never_come_out_of_values, setup),
        cmocka_unit_test_setup(values_in_paths_and_urls_are_percent_encoded, setup),
        cmocka_unit_test_setup(values_in_html_and_json_are_escaped, setup),
        cmocka_unit_test_setup(too_little_room_is_an_error_at_every_length, setup),
        cmocka_unit_test(a_template_knows_what_it_uses),
        cmocka_unit_test(a_line_has_no_control_bytes_of_the_operator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
