/* test_quick.c - the configuration that a few words make. */
#include "lb/main/quick.h"

#include "lb/base/str.h"
#include "lb/config/conf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct strbuf text;
    char error[ARGS_ERROR_MAX];
    int rc;
};

static void make(struct fixture *f, int argc, char **argv)
{
    *f = (struct fixture){0};
    f->rc = quick_text(argc, argv, &f->text, f->error);
}

#define MAKE(f, ...)                                                                               \
    struct fixture f;                                                                              \
    char *argv[] = {"quick", ##__VA_ARGS__, NULL};                                                 \
    make(&f, (int)ARRAY_LEN(argv) - 1, argv)

#define MAKE_MORE(f, ...)                                                                          \
    struct fixture f;                                                                              \
    char *f##_argv[] = {"quick", ##__VA_ARGS__, NULL};                                             \
    make(&f, (int)ARRAY_LEN(f##_argv) - 1, f##_argv)

static void one_listener_and_its_backends(void **state)
{
    (void)state;
    MAKE(f, "127.0.0.1:8080", "127.0.0.1:3001", "unix:/run/b.sock");

    assert_int_equal(f.rc, 0);
    assert_string_equal(f.text.p, "pools = ( { name = \"app\"; mode = \"tcp\"; backends = (\n"
                                  "  { name = \"b1\"; address = \"127.0.0.1:3001\"; },\n"
                                  "  { name = \"b2\"; address = \"unix:/run/b.sock\"; } ); } );\n"
                                  "listeners = ( { name = \"quick\"; mode = \"tcp\"; "
                                  "bind = \"127.0.0.1:8080\"; pool = \"app\"; } );\n");
    strbuf_fini(&f.text);
}

static void options_become_settings(void **state)
{
    (void)state;
    MAKE(f, "--balance", "hash", ":80", "--health=/up", "a:1", "--stats", "/s.sock");

    assert_int_equal(f.rc, 0);
    assert_non_null(strstr(f.text.p, "balance = \"hash\";"));
    assert_non_null(strstr(f.text.p, "health = { type = \"http\"; path = \"/up\"; };"));
    assert_non_null(strstr(f.text.p, "stats = { socket = \"/s.sock\"; level = \"admin\"; };"));
    strbuf_fini(&f.text);
}

static void a_certificate_makes_the_listener_speak_tls(void **state)
{
    (void)state;
    MAKE(f, "--cert", "site.pem", "--key=site.key", "443", "3001");
    MAKE_MORE(both, "--cert", "both.pem", "443", "3001");

    assert_int_equal(f.rc, 0);
    assert_non_null(strstr(
        f.text.p, "tls = { certificates = { cert = \"site.pem\"; key = \"site.key\"; }; };"));
    assert_int_equal(both.rc, 0);
    assert_non_null(strstr(both.text.p, "{ cert = \"both.pem\"; key = \"both.pem\"; }"));
    strbuf_fini(&f.text);
    strbuf_fini(&both.text);
}

static void a_key_alone_is_a_mistake(void **state)
{
    (void)state;
    MAKE(f, "--key", "site.key", "443", "3001");

    assert_int_equal(f.rc, -EINVAL);
    assert_non_null(strstr(f.error, "--key without --cert"));
    strbuf_fini(&f.text);
}

static void https_backends_are_spoken_to_in_tls(void **state)
{
    (void)state;
    MAKE(f, "80", "https://a.example", "https://b.example:8443/", "https://[::1]",
         "https://[::1]:444");

    assert_int_equal(f.rc, 0);
    assert_non_null(strstr(f.text.p, "mode = \"tcp\"; tls = true; backends"));
    assert_non_null(strstr(f.text.p, "address = \"a.example:443\";"));
    assert_non_null(strstr(f.text.p, "address = \"b.example:8443\";"));
    assert_non_null(strstr(f.text.p, "address = \"[::1]:443\";"));
    assert_non_null(strstr(f.text.p, "address = \"[::1]:444\";"));
    strbuf_fini(&f.text);
}

static void some_backends_with_https_are_a_mistake(void **state)
{
    (void)state;
    MAKE(f, "80", "https://a.example", "3001");

    assert_int_equal(f.rc, -EINVAL);
    assert_non_null(strstr(f.error, "with and without https://"));
    strbuf_fini(&f.text);
}

static void ports_alone_get_a_host(void **state)
{
    (void)state;
    MAKE(f, "8080", "3001");

    assert_int_equal(f.rc, 0);
    assert_non_null(strstr(f.text.p, "bind = \"0.0.0.0:8080\";"));
    assert_non_null(strstr(f.text.p, "address = \"127.0.0.1:3001\";"));
    strbuf_fini(&f.text);
}

static void a_word_cannot_leave_its_string(void **state)
{
    (void)state;
    MAKE(f, ":80", "a\"; x = \"\\${HOME}\n");

    assert_int_equal(f.rc, 0);
    assert_non_null(strstr(f.text.p, "address = \"a\\\"; x = \\\"\\\\$${HOME}\\x0a\";"));
    strbuf_fini(&f.text);
}

static void a_listener_is_needed(void **state)
{
    (void)state;
    MAKE(f);

    assert_int_equal(f.rc, -EINVAL);
    assert_non_null(strstr(f.error, "quick needs an address to listen on"));
    assert_null(f.text.p);
}

static void a_backend_is_needed(void **state)
{
    (void)state;
    MAKE(f, ":80");

    assert_int_equal(f.rc, -EINVAL);
    assert_non_null(strstr(f.error, "quick needs a backend"));
}

static void what_it_writes_can_be_loaded(void **state)
{
    (void)state;
    char *argv[] = {"quick",   "--balance",   "first",          "--health",       "/up",
                    "--stats", "/tmp/s.sock", "127.0.0.1:8080", "127.0.0.1:3001", "3002"};
    struct strbuf errors = {0};
    char error[ARGS_ERROR_MAX];

    struct conf *conf = quick_conf((int)ARRAY_LEN(argv), argv, &errors, error);
    assert_null(errors.p);
    assert_non_null(conf);
    assert_int_equal(conf->n_listeners, 1);
    assert_int_equal(conf->n_pools, 1);
    assert_int_equal(conf->pools[0].n_backends, 2);
    assert_int_equal(conf->pools[0].balance.kind, BALANCE_FIRST);
    assert_int_equal(conf->pools[0].health.type, CHECK_TYPE_HTTP);
    assert_string_equal(conf->pools[0].health.path, "/up");
    assert_string_equal(conf->pools[0].backends[1].address_text, "127.0.0.1:3002");
    assert_int_equal(conf->n_stats, 1);
    conf_free(&conf);
}

static void mode_http_is_a_route_to_all_backends(void **state)
{
    (void)state;
    char *argv[] = {"quick", "--mode",         "http",           "--health",
                    "/up",   "127.0.0.1:8080", "127.0.0.1:3001", "3002"};
    struct strbuf errors = {0};
    char error[ARGS_ERROR_MAX];

    struct conf *conf = quick_conf((int)ARRAY_LEN(argv), argv, &errors, error);
    assert_null(errors.p);
    assert_non_null(conf);
    assert_int_equal(conf->listeners[0].mode, MODE_HTTP);
    assert_int_equal(conf->listeners[0].http.n_routes, 1);
    assert_int_equal(conf->pools[0].mode, MODE_HTTP);
    assert_int_equal(conf->pools[0].n_backends, 2);
    assert_int_equal(conf->pools[0].health.type, CHECK_TYPE_HTTP);
    conf_free(&conf);
}

static void a_bad_word_is_reported_by_the_configuration(void **state)
{
    (void)state;
    char *argv[] = {"quick", "--balance", "fastest", ":8080", "3001"};
    struct strbuf errors = {0};
    char error[ARGS_ERROR_MAX];

    assert_null(quick_conf((int)ARRAY_LEN(argv), argv, &errors, error));
    assert_non_null(errors.p);
    assert_non_null(strstr(errors.p, "fastest"));
    assert_string_equal(error, "");
    strbuf_fini(&errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_listener_and_its_backends),
        cmocka_unit_test(options_become_settings),
        cmocka_unit_test(a_certificate_makes_the_listener_speak_tls),
        cmocka_unit_test(a_key_alone_is_a_mistake),
        cmocka_unit_test(https_backends_are_spoken_to_in_tls),
        cmocka_unit_test(some_backends_with_https_are_a_mistake),
        cmocka_unit_test(ports_alone_get_a_host),
        cmocka_unit_test(a_word_cannot_leave_its_string),
        cmocka_unit_test(a_listener_is_needed),
        cmocka_unit_test(a_backend_is_needed),
        cmocka_unit_test(what_it_writes_can_be_loaded),
        cmocka_unit_test(mode_http_is_a_route_to_all_backends),
        cmocka_unit_test(a_bad_word_is_reported_by_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
