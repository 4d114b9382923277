/* test_conf_tests.c - the `tests` block: what holds passes, what does not is told. */
#include "lb/main/conf_tests.h"

#include "lb/config/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define CONF                                                                                       \
    "pools = ( { name = \"app\"; mode = \"http\"; backends = ( { name = \"a\"; address = "         \
    "\"10.0.0.1:1\"; } ); },\n"                                                                    \
    "  { name = \"new\"; mode = \"http\"; backends = ( { name = \"a\"; address = "                 \
    "\"10.0.0.1:2\"; } ); } );\n"                                                                  \
    "listeners = ( { name = \"web\"; mode = \"http\"; bind = \"127.0.0.1:8080\"; routes = (\n"     \
    "  { host = \"api.example\"; path = \"/v1/\"; pool = \"app\"; access = { deny = "              \
    "\"192.0.2.0/24\"; }; },\n"                                                                    \
    "  { path = \"~^/old/(.*)\"; redirect = { to = \"https://$host/new/$1\"; status = 308; }; "    \
    "},\n"                                                                                         \
    "  { header = { name = \"X-New\"; }; pool = \"new\"; },\n"                                     \
    "  { path = \"/split\"; split = ( { pool = \"app\"; }, { pool = \"new\"; } ); },\n"            \
    "  { path = \"/gone\"; answer = { status = 410; }; } ); },\n"                                  \
    "  { name = \"other\"; mode = \"http\"; bind = \"127.0.0.1:8081\"; pool = \"new\"; } );\n"

/* Asserts that these tests give these lines. */
static void assert_tells(const char *tests, const char *expected)
{
    struct strbuf text = {0}, errors = {0};

    strbuf_addf(&text, "%stests = (\n%s );\n", CONF, tests);
    struct conf *conf = conf_load_text("t.conf", text.p, &errors);
    assert_string_equal(errors.p != NULL ? errors.p : "", "");
    assert_non_null(conf);
    uint32_t failed = conf_tests_run(conf, &errors);
    assert_string_equal(errors.p != NULL ? errors.p : "", expected);
    assert_int_equal(failed > 0, expected[0] != '\0');
    conf_free(&conf);
    strbuf_fini(&text);
    strbuf_fini(&errors);
}

static void what_holds_passes(void **state)
{
    (void)state;
    assert_tells(
        "{ request = \"GET http://API.example./v1/x?y\"; expect = { pool = \"app\"; }; },\n"
        "{ request = \"GET http://api.example/a/../v1/x\"; expect = { pool = \"app\"; }; },\n"
        "{ request = \"GET http://api.example/v1/\"; from = \"192.0.2.9\"; expect = { status = "
        "403; }; },\n"
        "{ request = \"GET http://h/old/a?b=c\"; expect = { status = 308; location = "
        "\"https://h/new/a?b=c\"; }; },\n"
        "{ request = \"POST http://h\"; headers = \"x-new: 1\"; expect = { pool = \"new\"; }; },\n"
        "{ request = \"GET http://h/split\"; expect = { pool = \"app\"; }; },\n"
        "{ request = \"GET http://h/split\"; expect = { pool = \"new\"; }; },\n"
        "{ request = \"GET http://h/gone\"; expect = { status = 410; }; },\n"
        "{ request = \"GET http://h/none\"; expect = { status = 404; }; },\n"
        "{ request = \"GET http://h/../x\"; expect = { status = 400; }; },\n"
        "{ request = \"GET http://h/a%2Fb\"; expect = { status = 400; }; },\n"
        "{ request = \"GET http://h/\"; headers = [ \"Host: a\", \"Host: b\" ]; expect = { status "
        "= 400; }; },\n"
        "{ request = \"GET http://h/v1/x\"; headers = \"Host: api.example\"; expect = { pool = "
        "\"app\"; }; },\n"
        "{ request = \"GET http://h:8081/none\"; expect = { pool = \"new\"; }; }",
        "");
}

static void what_does_not_hold_is_told_with_the_route(void **state)
{
    (void)state;
    assert_tells(
        "{ request = \"GET http://h/old/a\"; expect = { pool = \"app\"; }; },\n"
        "{ request = \"GET http://h/old/a\"; expect = { status = 308; location = \"/b\"; }; },\n"
        "{ request = \"GET http://api.example/v1/\"; expect = { status = 404; }; },\n"
        "{ request = \"GET http://h/none\"; expect = { pool = \"new\"; }; }",
        "t.conf:11: error: tests[#1].expect.pool: \"GET http://h/old/a\" gets status 308 to "
        "https://h/new/a, by the route at t.conf:5, expected app\n"
        "  route web#2, the first that matches: path=~^/old/(.*) -> redirect 308 "
        "https://$host/new/$1\n"
        "t.conf:12: error: tests[#2].expect.location: \"GET http://h/old/a\" gets status 308 to "
        "https://h/new/a, by the route at t.conf:5, expected /b\n"
        "  route web#2, the first that matches: path=~^/old/(.*) -> redirect 308 "
        "https://$host/new/$1\n"
        "t.conf:13: error: tests[#3].expect.status: \"GET http://api.example/v1/\" gets pool app, "
        "by the route at t.conf:4, expected 404\n"
        "  route web#1, the first that matches: host=api.example path=/v1/ -> pool app\n"
        "  filter access passes it: 127.0.0.1 is in none of the networks of deny\n"
        "t.conf:14: error: tests[#4].expect.pool: \"GET http://h/none\" gets status 404 "
        "(no-route), on listener web, expected new\n"
        "  no rule takes it\n");
}

static void without_tests_nothing_fails(void **state)
{
    (void)state;
    struct strbuf errors = {0};
    struct conf *conf = conf_load_text("t.conf", CONF, &errors);

    assert_non_null(conf);
    assert_int_equal(conf_tests_run(conf, &errors), 0);
    assert_null(errors.p);
    conf_free(&conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_holds_passes),
        cmocka_unit_test(what_does_not_hold_is_told_with_the_route),
        cmocka_unit_test(without_tests_nothing_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
