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
    struct quick q;
    char error[ARGS_ERROR_MAX];
    int rc;
};

static char *nothing[] = {NULL};

static void make(struct fixture *f, int argc, char **argv, char **variables)
{
    memset(f, 0, sizeof(*f));
    f->rc = quick_make(argc, argv, variables, &f->q, f->error);
}

#define MAKE(f, ...)                                                                               \
    struct fixture f;                                                                              \
    char *f##_argv[] = {"quick", ##__VA_ARGS__, NULL};                                             \
    make(&f, (int)ARRAY_LEN(f##_argv) - 1, f##_argv, nothing)

/* From the environment alone. */
#define MAKE_OF(f, ...)                                                                            \
    struct fixture f;                                                                              \
    char *f##_argv[] = {"quick", NULL}, *f##_env[] = {__VA_ARGS__, NULL};                          \
    make(&f, 1, f##_argv, f##_env)

static void one_listener_and_its_backends(void **state)
{
    (void)state;
    MAKE(f, "127.0.0.1:8080", "127.0.0.1:3001", "unix:/run/b.sock");

    assert_int_equal(f.rc, 0);
    assert_string_equal(f.q.text.p, "pools = (\n"
                                    "  { name = \"app\";\n"
                                    "    mode = \"tcp\";\n"
                                    "    backends = (\n"
                                    "      { name = \"b1\"; address = \"127.0.0.1:3001\"; },\n"
                                    "      { name = \"b2\"; address = \"unix:/run/b.sock\"; }\n"
                                    "    ); }\n"
                                    ");\n"
                                    "listeners = (\n"
                                    "  { name = \"quick\";\n"
                                    "    mode = \"tcp\";\n"
                                    "    bind = \"127.0.0.1:8080\";\n"
                                    "    pool = \"app\"; }\n"
                                    ");\n");
    quick_fini(&f.q);
}

static void options_become_settings(void **state)
{
    (void)state;
    MAKE(f, "--balance", "hash", ":80", "--health=/up", "a:1", "--stats", "/s.sock");

    assert_int_equal(f.rc, 0);
    assert_non_null(strstr(f.q.text.p, "balance = \"hash\";"));
    assert_non_null(strstr(f.q.text.p, "health = { type = \"http\"; path = \"/up\"; };"));
    assert_non_null(strstr(f.q.text.p, "stats = { socket = \"/s.sock\"; level = \"admin\"; };"));
    quick_fini(&f.q);
}

static void a_certificate_makes_the_listener_speak_tls(void **state)
{
    (void)state;
    MAKE(f, "--cert", "site.pem", "--key=site.key", "443", "3001");
    MAKE(both, "--cert", "both.pem", "443", "3001");

    assert_int_equal(f.rc, 0);
    assert_non_null(strstr(
        f.q.text.p,
        "tls = { certificates = {\n      cert = \"site.pem\";\n      key = \"site.key\"; }; };"));
    assert_int_equal(both.rc, 0);
    assert_non_null(strstr(both.q.text.p, "cert = \"both.pem\";\n      key = \"both.pem\"; }"));
    quick_fini(&f.q);
    quick_fini(&both.q);
}

static void a_key_alone_is_a_mistake(void **state)
{
    (void)state;
    MAKE(f, "--key", "site.key", "443", "3001");

    assert_int_equal(f.rc, -EINVAL);
    assert_non_null(strstr(f.error, "--key without --cert"));
    quick_fini(&f.q);
}

static void https_backends_are_spoken_to_in_tls(void **state)
{
    (void)state;
    MAKE(f, "80", "https://a.example", "https://b.example:8443/", "https://[::1]",
         "https://[::1]:444");

    assert_int_equal(f.rc, 0);
    assert_non_null(strstr(f.q.text.p, "mode = \"tcp\";\n    tls = true;\n    backends"));
    assert_non_null(strstr(f.q.text.p, "address = \"a.example:443\";"));
    assert_non_null(strstr(f.q.text.p, "address = \"b.example:8443\";"));
    assert_non_null(strstr(f.q.text.p, "address = \"[::1]:443\";"));
    assert_non_null(strstr(f.q.text.p, "address = \"[::1]:444\";"));
    quick_fini(&f.q);
}

static void some_backends_with_https_are_a_mistake(void **state)
{
    (void)state;
    MAKE(f, "80", "https://a.example", "3001");

    assert_int_equal(f.rc, -EINVAL);
    assert_non_null(strstr(f.error, "with and without https://"));
    quick_fini(&f.q);
}

static void ports_alone_get_a_host(void **state)
{
    (void)state;
    MAKE(f, "8080", "3001");

    assert_int_equal(f.rc, 0);
    assert_non_null(strstr(f.q.text.p, "bind = \"0.0.0.0:8080\";"));
    assert_non_null(strstr(f.q.text.p, "address = \"127.0.0.1:3001\";"));
    quick_fini(&f.q);
}

static void a_word_cannot_leave_its_string(void **state)
{
    (void)state;
    MAKE(f, ":80", "a\"; x = \"\\${HOME}\n");

    assert_int_equal(f.rc, 0);
    assert_non_null(strstr(f.q.text.p, "address = \"a\\\"; x = \\\"\\\\$${HOME}\\x0a\";"));
    quick_fini(&f.q);
}

static void a_listener_is_needed(void **state)
{
    (void)state;
    MAKE(f);

    assert_int_equal(f.rc, -EINVAL);
    assert_non_null(strstr(f.error, "quick needs an address to listen on"));
    assert_null(f.q.text.p);
    quick_fini(&f.q);
}

static void a_backend_is_needed(void **state)
{
    (void)state;
    MAKE(f, ":80");

    assert_int_equal(f.rc, -EINVAL);
    assert_non_null(strstr(f.error, "quick needs a backend"));
    quick_fini(&f.q);
}

/* Loads it; what is wrong is in *errors. */
static struct conf *load_of(int argc, char **argv, char **variables, struct strbuf *errors)
{
    struct fixture f;

    make(&f, argc, argv, variables);
    assert_int_equal(f.rc, 0);
    struct conf *conf = quick_load(&f.q, errors);
    quick_fini(&f.q);
    return conf;
}

static void what_it_writes_can_be_loaded(void **state)
{
    (void)state;
    char *argv[] = {"quick",   "--balance",   "first",          "--health",       "/up",
                    "--stats", "/tmp/s.sock", "127.0.0.1:8080", "127.0.0.1:3001", "3002"};
    struct strbuf errors = {0};

    struct conf *conf = load_of((int)ARRAY_LEN(argv), argv, nothing, &errors);
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

    struct conf *conf = load_of((int)ARRAY_LEN(argv), argv, nothing, &errors);
    assert_null(errors.p);
    assert_non_null(conf);
    assert_int_equal(conf->listeners[0].mode, MODE_HTTP);
    assert_int_equal(conf->listeners[0].http.n_routes, 1);
    assert_int_equal(conf->pools[0].mode, MODE_HTTP);
    assert_int_equal(conf->pools[0].n_backends, 2);
    assert_int_equal(conf->pools[0].health.type, CHECK_TYPE_HTTP);
    conf_free(&conf);
}

static void a_bad_word_is_reported_by_the_option(void **state)
{
    (void)state;
    char *argv[] = {"quick", "--balance", "fastest", "nonsense", "3001"};
    struct strbuf errors = {0};

    assert_null(load_of((int)ARRAY_LEN(argv), argv, nothing, &errors));
    assert_non_null(strstr(errors.p, "--balance: error: pools[app].balance: found \"fastest\""));
    assert_non_null(strstr(errors.p, "LISTEN: error: listeners[quick].bind: found \"nonsense\""));
    strbuf_fini(&errors);
}

static void the_environment_stands_in_for_all_words(void **state)
{
    (void)state;
    MAKE_OF(f, "SLUICE_LISTEN=8080, [::1]:8080", "SLUICE_BACKENDS=3001 a.example:80,unix:/b.sock",
            "SLUICE_HEALTH_PATH=/up", "SLUICE_STATS=", "SLUICE_DRAIN_DELAY=5s", "SLUICE_WORKERS=3",
            "SLUICE_MAX_CONNECTIONS=7");

    assert_int_equal(f.rc, 0);
    assert_non_null(strstr(f.q.text.p, "workers = 3;\n"));
    assert_non_null(strstr(f.q.text.p, "drain = {\n  delay = \"5s\";\n};\n"));
    assert_non_null(strstr(f.q.text.p, "bind = [ \"0.0.0.0:8080\", \"[::1]:8080\" ];"));
    assert_non_null(strstr(f.q.text.p, "\"b3\"; address = \"unix:/b.sock\";\n"
                                       "        max_connections = 7; }\n"));
    assert_null(strstr(f.q.text.p, "stats")); /* empty: not asked for */
    quick_fini(&f.q);
}

static void a_bad_variable_is_named(void **state)
{
    (void)state;
    char *argv[] = {"quick"};
    char *env[] = {"SLUICE_LISTEN=8080", "SLUICE_BACKENDS=3001,nonsense", "SLUICE_WORKERS=many",
                   "SLUICE_MODE=htp", NULL};
    struct strbuf errors = {0};

    assert_null(load_of(1, argv, env, &errors));
    assert_non_null(strstr(errors.p, "SLUICE_WORKERS: error: workers: found \"many\""));
    assert_non_null(strstr(errors.p, "SLUICE_MODE: error: pools[app].mode: found \"htp\""));
    assert_non_null(strstr(errors.p, "SLUICE_BACKENDS: error: pools[app].backends[b2].address"));
    assert_null(strstr(errors.p, "listeners")); /* the mode is wrong once */
    strbuf_fini(&errors);
}

static void what_is_missing_in_the_environment_is_named(void **state)
{
    (void)state;
    MAKE_OF(listen, "SLUICE_BACKENDS=3001");
    MAKE_OF(backends, "SLUICE_LISTEN=80");
    MAKE_OF(key, "SLUICE_LISTEN=80", "SLUICE_BACKENDS=3001", "SLUICE_KEY=x");

    assert_int_equal(listen.rc, -EINVAL);
    assert_non_null(strstr(listen.error, "SLUICE_LISTEN is not set"));
    assert_int_equal(backends.rc, -EINVAL);
    assert_non_null(strstr(backends.error, "SLUICE_BACKENDS is not set"));
    assert_int_equal(key.rc, -EINVAL);
    assert_string_equal(key.error, "SLUICE_KEY without SLUICE_CERT");
    quick_fini(&listen.q);
    quick_fini(&backends.q);
    quick_fini(&key.q);
}

static void a_misspelt_variable_is_warned_of_but_no_orchestrators(void **state)
{
    (void)state;
    MAKE_OF(f, "SLUICE_LISTEN=80", "SLUICE_BACKENDS=3001", "SLUICE_HEALT_PATH=/up",
            "SLUICE_PORT=tcp://10.0.0.1:80", "SLUICE_SERVICE_HOST=10.0.0.1", "SLUICE_SOCKET=/s");

    assert_int_equal(f.rc, 0);
    assert_string_equal(f.q.warnings.p, "SLUICE_HEALT_PATH: warning: not known, not used (did you "
                                        "mean SLUICE_HEALTH_PATH?)\n");
    quick_fini(&f.q);
}

static void options_win_over_the_environment(void **state)
{
    (void)state;
    struct fixture f;
    char *argv[] = {"quick", "--mode", "http", NULL};
    char *env[] = {"SLUICE_LISTEN=80", "SLUICE_BACKENDS=3001", "SLUICE_MODE=tcp", NULL};

    make(&f, 3, argv, env);
    assert_int_equal(f.rc, 0);
    assert_non_null(strstr(f.q.text.p, "mode = \"http\";"));
    assert_null(strstr(f.q.text.p, "tcp"));
    quick_fini(&f.q);
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
        cmocka_unit_test(a_bad_word_is_reported_by_the_option),
        cmocka_unit_test(the_environment_stands_in_for_all_words),
        cmocka_unit_test(a_bad_variable_is_named),
        cmocka_unit_test(what_is_missing_in_the_environment_is_named),
        cmocka_unit_test(a_misspelt_variable_is_warned_of_but_no_orchestrators),
        cmocka_unit_test(options_win_over_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
