/* test_cgi.c - variables of CGI as three protocols write them, scripts in paths, responses. */
#include "lb/http/cgi.h"

#include "lb/http/h1_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_put(enum cgi_wire wire, struct str name, struct str value, const char *wanted,
                      size_t len)
{
    char *out = malloc(name.len + value.len + CGI_PAIR_MAX);
    assert_int_equal(cgi_put(wire, name, value, out), len);
    assert_memory_equal(out, wanted, len);
    free(out);
}

static void each_protocol_writes_a_variable_in_its_way(void **state)
{
    (void)state;
    check_put(CGI_FASTCGI, STR("AB"), STR("xyz"),
              "\x02\x03"
              "ABxyz",
              7);
    check_put(CGI_UWSGI, STR("AB"), STR("xyz"), "\x02\0AB\x03\0xyz", 9);
    check_put(CGI_SCGI, STR("AB"), STR("xyz"), "AB\0xyz\0", 7);
    check_put(CGI_FASTCGI, STR("AB"), STR(""), "\x02\0AB", 4);
    check_put(CGI_UWSGI, STR("AB"), STR(""), "\x02\0AB\0\0", 6);
    check_put(CGI_SCGI, STR("AB"), STR(""), "AB\0\0", 4);
}

static void long_values_have_long_lengths(void **state)
{
    static char value[70000];
    static char out[sizeof(value) + 1 + CGI_PAIR_MAX];

    (void)state;
    memset(value, 'v', sizeof(value));
    assert_int_equal(cgi_put(CGI_FASTCGI, STR("A"), (struct str){value, 127}, out), 2 + 128);
    assert_int_equal(cgi_put(CGI_FASTCGI, STR("A"), (struct str){value, 128}, out), 5 + 129);
    assert_memory_equal(out,
                        "\x01\x80\0\0\x80"
                        "Av",
                        7);
    assert_int_equal(cgi_put(CGI_FASTCGI, STR("A"), (struct str){value, 70000}, out), 5 + 70001);
    assert_memory_equal(out,
                        "\x01\x80\x01\x11\x70"
                        "Av",
                        7);
    assert_int_equal(cgi_put(CGI_UWSGI, STR("A"), (struct str){value, 65535}, out), 4 + 65536);
    assert_int_equal(cgi_put(CGI_UWSGI, STR("A"), (struct str){value, 65536}, out), 0);
}

static void what_cannot_be_said_is_not_written(void **state)
{
    char out[64];

    (void)state;
    for (int wire = CGI_FASTCGI; wire <= CGI_SCGI; wire++) {
        assert_int_equal(cgi_put((enum cgi_wire)wire, STR("A"), STR("x\0y"), out), 0);
        assert_int_equal(cgi_put((enum cgi_wire)wire, STR("A\0B"), STR("x"), out), 0);
        assert_int_equal(cgi_put((enum cgi_wire)wire, STR(""), STR("x"), out), 0);
    }
}

static void headers_become_variables(void **state)
{
    char out[64];

    (void)state;
    assert_int_equal(cgi_header_name(STR("X-Forwarded-for"), out), 20);
    assert_memory_equal(out, "HTTP_X_FORWARDED_FOR", 20);
    assert_int_equal(cgi_header_name(STR("a1"), out), 7);
    assert_memory_equal(out, "HTTP_A1", 7);
    assert_int_equal(cgi_header_name(STR("PrOxY"), out), 0);
    assert_int_equal(cgi_header_name(STR("X_Forwarded-For"), out), 0);
}

static void check_script(const char *path, const char *split, const char *front, const char *name,
                         bool add_index, const char *info)
{
    struct cgi_script s;

    cgi_find_script(str_of(path), str_of(split), str_of(front), &s);
    assert_true(str_eq_cstr(s.name, name));
    assert_true(str_eq_cstr(s.info, info));
    assert_int_equal(s.add_index, add_index);
}

static void scripts_are_found_in_paths(void **state)
{
    (void)state;
    check_script("/a/b.php", ".php", "", "/a/b.php", false, "");
    check_script("/a/b.php/c/d", ".php", "", "/a/b.php", false, "/c/d");
    check_script("/a/b.PHP/c", ".php", "", "/a/b.PHP", false, "/c");
    check_script("/a.php/b.php", ".php", "", "/a.php", false, "/b.php");
    check_script("/a.phpx/b", ".php", "", "/a.phpx/b", false, "");
    check_script("/a.phpx/b.php", ".php", "", "/a.phpx/b.php", false, "");
    check_script("/", ".php", "", "/", true, "");
    check_script("/dir/", ".php", "", "/dir/", true, "");
    check_script("/page", ".php", "", "/page", false, "");
    check_script("/page", ".php", "/index.php", "/index.php", false, "");
    check_script("/", ".php", "/index.php", "/index.php", false, "");
    check_script("/tool.php/x", ".php", "/index.php", "/tool.php", false, "/x");
    check_script("/tool.php/x", "", "/index.php", "/index.php", false, "");
    check_script("/tool.php/", "", "", "/tool.php/", true, "");
    check_script("/.php", ".php", "", "/.php", false, "");
}

static void a_status_line_is_told_from_a_field(void **state)
{
    (void)state;
    assert_int_equal(cgi_has_status_line(STR("")), -1);
    assert_int_equal(cgi_has_status_line(STR("HTT")), -1);
    assert_int_equal(cgi_has_status_line(STR("HTTP/")), 1);
    assert_int_equal(cgi_has_status_line(STR("HTTP-Field: x")), 0);
    assert_int_equal(cgi_has_status_line(STR("\r")), 0);
    assert_int_equal(cgi_has_status_line(STR("Status: 200")), 0);
}

struct read {
    char mem[4096];
    struct http_field fields[16];
    struct http_head head;
    const char *wrong;
};

static void read_response(struct read *r, const char *text, enum http_method to)
{
    const struct h1_limits limits = {.head_bytes = 4096, .fields = 16, .bare_lf = true};
    struct h1_parser p = {0};
    bool own = cgi_has_status_line(str_of(text)) == 1;
    int n = snprintf(r->mem, sizeof(r->mem), "%s%s", own ? "" : CGI_STATUS_LINE, text);

    r->head = (struct http_head){.fields = r->fields, .max_fields = 16};
    assert_int_equal(h1_parse_response(&p, r->mem, (uint32_t)n, &limits, to, &r->head), H1_DONE);
    r->wrong = cgi_response(&r->head, to, own);
}

static void check_response(const char *text, enum http_method to, unsigned status,
                           const char *reason, enum http_body body)
{
    struct read r;

    read_response(&r, text, to);
    assert_null(r.wrong);
    assert_int_equal(r.head.status, status);
    assert_true(str_eq_cstr(http_str(&r.head, r.head.reason), reason));
    assert_int_equal(r.head.body, body);
    assert_null(http_find_name(&r.head, STR("Status"), NULL));
}

static void the_status_is_found(void **state)
{
    (void)state;
    check_response("X: y\n\n", HTTP_GET, 200, "OK", HTTP_BODY_CLOSE);
    check_response("\r\n", HTTP_GET, 200, "OK", HTTP_BODY_CLOSE);
    check_response("Status: 404 Not Here\r\nX: y\r\n\r\n", HTTP_GET, 404, "Not Here",
                   HTTP_BODY_CLOSE);
    check_response("status: 599\n\n", HTTP_GET, 599, "", HTTP_BODY_CLOSE);
    check_response("Location: /x\n\n", HTTP_GET, 302, "", HTTP_BODY_CLOSE);
    check_response("Location: /x\nStatus: 201 Made\n\n", HTTP_GET, 201, "Made", HTTP_BODY_CLOSE);
    check_response("HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n", HTTP_GET, 301, "Moved",
                   HTTP_BODY_CLOSE);
}

static void the_body_is_judged_by_the_status_that_counts(void **state)
{
    (void)state;
    check_response("Content-Length: 5\n\n", HTTP_GET, 200, "OK", HTTP_BODY_LENGTH);
    check_response("Content-Length: 5\n\n", HTTP_HEAD, 200, "OK", HTTP_BODY_NONE);
    check_response("Status: 204\n\n", HTTP_GET, 204, "", HTTP_BODY_NONE);
    check_response("Status: 304\nContent-Length: 5\n\n", HTTP_GET, 304, "", HTTP_BODY_NONE);
    check_response("HTTP/1.0 204 None\n\n", HTTP_GET, 204, "None", HTTP_BODY_NONE);
}

static void check_wrong(const char *text, const char *why)
{
    struct read r;

    read_response(&r, text, HTTP_GET);
    assert_non_null(r.wrong);
    assert_string_equal(r.wrong, why);
}

static void a_bad_status_is_refused(void **state)
{
    (void)state;
    check_wrong("Status: 20\n\n", "bad-status");
    check_wrong("Status: 2000\n\n", "bad-status");
    check_wrong("Status: abc\n\n", "bad-status");
    check_wrong("Status: 100 Continue\n\n", "bad-status");
    check_wrong("Status: 101\n\n", "bad-status");
    check_wrong("Status:\n\n", "bad-status");
    check_wrong("Status: 200\nStatus: 404\n\n", "bad-status");
    check_wrong("Transfer-Encoding: chunked\n\n", "transfer-encoding");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_protocol_writes_a_variable_in_its_way),
        cmocka_unit_test(long_values_have_long_lengths),
        cmocka_unit_test(what_cannot_be_said_is_not_written),
        cmocka_unit_test(headers_become_variables),
        cmocka_unit_test(scripts_are_found_in_paths),
        cmocka_unit_test(a_status_line_is_told_from_a_field),
        cmocka_unit_test(the_status_is_found),
        cmocka_unit_test(the_body_is_judged_by_the_status_that_counts),
        cmocka_unit_test(a_bad_status_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
