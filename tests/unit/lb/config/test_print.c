/* test_print.c - the sample, the reference page and -T: what is printed is true and loads again.
 * SLUICE_UPDATE=1 in the environment writes etc/sluice.conf and etc/docs/reference.md anew. Runs at
 * the top of the tree. */
#include "lb/config/schema.h"
#include "tests/unit/lb/config/config_test.h"

static char *read_whole(const char *path)
{
    struct strbuf text = {0};
    char chunk[4096];
    size_t n;
    FILE *file = fopen(path, "r");

    if (file == NULL)
        fail_msg("%s cannot be read (tests run at the top of the tree)", path);
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
        strbuf_add(&text, chunk, n);
    fclose(file);
    return text.p;
}

static char *printed(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    print(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void assert_file_is_printed(const char *path, void (*print)(FILE *out))
{
    char *expected = printed(print);

    if (getenv("SLUICE_UPDATE") != NULL) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_true(fputs(expected, file) >= 0);
        assert_int_equal(fclose(file), 0);
    }
    char *found = read_whole(path);
    if (strcmp(found, expected) != 0)
        fail_msg("%s differs from what the schema prints: run this test with SLUICE_UPDATE=1",
                 path);
    free(found);
    free(expected);
}

static void the_committed_sample_is_what_the_schema_prints(void **state)
{
    (void)state;
    assert_file_is_printed("etc/sluice.conf", conf_print_sample);
}

static void the_committed_reference_is_what_the_schema_prints(void **state)
{
    (void)state;
    assert_file_is_printed("etc/docs/reference.md", conf_print_reference);
}

static void the_committed_manual_page_is_what_the_schema_prints(void **state)
{
    (void)state;
    assert_file_is_printed("etc/man/sluice.conf.5", conf_print_manual);
}

static void the_sample_means_the_defaults(void **state)
{
    (void)state;
    char *sample = printed(conf_print_sample);
    struct conf *full = load_good(sample), *bare = load_good(HTTP_POOL HTTP_LISTENER);
    char *a = dumped(full), *b = dumped(bare);

    assert_string_equal(a, b);
    free(a);
    free(b);
    free(sample);
    conf_free(&full);
    conf_free(&bare);
}

/* What stands behind a # without a blank is an example: it must be right as well. But for names of
 * users, which this machine may not have. */
static void the_samples_examples_load(void **state)
{
    (void)state;
    char *sample = printed(conf_print_sample);
    struct strbuf text = {0}, errors = {0};

    for (char *line = strtok(sample, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *hash = line + strspn(line, " ");
        bool example = hash[0] == '#' && hash[1] != ' ' && hash[1] != '\0';
        if (example && (strstr(hash, "user =") != NULL || strstr(hash, "group =") != NULL))
            continue;
        if (example)
            hash[0] = ' ';
        strbuf_addf(&text, "%s\n", line);
    }
    struct conf *c = conf_load_text("sample", text.p, &errors);
    if (c == NULL)
        print_error("%s", errors.p);
    assert_non_null(c);
    assert_int_equal(c->n_stats, 1);
    assert_string_equal(c->pools[0].health.send, "PING\r\n");
    assert_int_equal(c->listeners[0].max_connections, 1000);
    assert_string_equal(c->pools[0].http.sticky->cookie, "backend");
    assert_int_equal(c->pools[0].http.ejection.failures, 5);
    assert_int_equal(c->listeners[0].http.n_routes, 1);
    assert_string_equal(c->listeners[0].http.routes[0].filters.response_headers.add[0].value,
                        "$request_id");
    assert_int_equal(c->listeners[0].http.routes[0].filters.ratelimit->burst, 200);
    assert_int_equal(c->n_tests, 1);
    conf_free(&c);
    free(sample);
    strbuf_fini(&text);
    strbuf_fini(&errors);
}

/* Comments of the sample are wrapped: compare without blanks and comment signs. */
static char *squeezed(const char *text)
{
    struct strbuf out = {0};

    for (const char *p = text; *p != '\0'; p++)
        if (strchr(" \n#", *p) == NULL)
            strbuf_add_char(&out, *p);
    return out.p;
}

static void every_rows_help_is_in_sample_and_reference(void **state)
{
    (void)state;
    char *sample = printed(conf_print_sample), *reference = printed(conf_print_reference);
    char *squeezed_sample = squeezed(sample);

    for (size_t i = 0; i < schema_n; i++) {
        char *help = squeezed(schema_rows[i].help);
        if (strstr(squeezed_sample, help) == NULL)
            fail_msg("%s: its help is not in the sample", schema_rows[i].path);
        if (strstr(reference, schema_rows[i].help) == NULL)
            fail_msg("%s: its help is not in the reference", schema_rows[i].path);
        free(help);
    }
    free(squeezed_sample);
    free(sample);
    free(reference);
}

static void assert_round_trip(const char *text)
{
    struct conf *first = load_good(text);
    char *a = dumped(first);
    struct conf *second = load_good(a);
    char *b = dumped(second);

    assert_string_equal(a, b);
    free(a);
    free(b);
    conf_free(&first);
    conf_free(&second);
}

static void defaults_survive_a_round_trip(void **state)
{
    (void)state;
    assert_round_trip(POOL LISTENER);
}

static void every_kind_of_value_survives_a_round_trip(void **state)
{
    (void)state;
    setenv("T_VALUE", "a$b\"\\\n", 1);
    assert_round_trip(
        "workers = 0x2; io = \"uring\"; pin = true;\n"
        "stats = ( { socket = \"/tmp/a\"; mode = \"0660\"; level = \"operator\"; } );\n"
        "log = { access = \"syslog:127.0.0.1\"; format = \"$client $$ ${T_HOME:-x}\"; };\n"
        "resolver = { servers = [ \"10.0.0.1\", \"::1\" ]; };\n"
        "pools = ( { name = \"p.1\"; mode = \"tcp\"; balance = \"hash\"; hash = { load_bound = "
        "\"125%\"; };\n"
        "  backends = ( { name = \"a\"; address = \"app.internal:80\"; backup = true; weight = 0; "
        "},\n"
        "               { name = \"b\"; address = \"unix:/run/b.sock\"; weight = 256; } );\n"
        "  health = { send = \"PI\\x00NG\\r\\n\\\"\\\\\"; expect = \"${T_VALUE}$$x\"; port = 5;\n"
        "             interval_down = \"1d\"; address = \"[::1]:9\"; };\n"
        "  on_down = \"close\"; send_proxy = \"v2\"; slow_start = \"90s\"; },\n"
        "  { name = \"q\"; mode = \"tcp\"; backends = ( { name = \"a\"; address = \"[::1]:1\"; } "
        ");\n"
        "    health = { type = \"http\"; status = \"200,300-399\"; host = \"h:1\"; body = \"b\"; "
        "}; } );\n"
        "listeners = ( { name = \"l\"; mode = \"tcp\"; pool = \"p.1\"; proxy_protocol = \"any\";\n"
        "  bind = [ \"*:80\", \"[::]:80\", \"unix:@abstract\" ];\n"
        "  proxy_from = [ \"10.0.0.0/8\", \"::1\", \"unix\" ]; timeouts = { tunnel = \"1500ms\"; "
        "}; },\n"
        "  { name = \"m\"; mode = \"tcp\"; pool = \"q\"; bind = \"127.0.0.1:81\"; } );\n");
}

static void the_demo_loads(void **state)
{
    (void)state;
    char *text = read_whole("etc/demo.conf");
    struct conf *c = load_good(text);

    assert_int_equal(c->pools[0].n_backends, 3);
    assert_int_equal(c->pools[0].health.type, CHECK_TYPE_HTTP);
    conf_free(&c);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_committed_sample_is_what_the_schema_prints),
        cmocka_unit_test(the_committed_reference_is_what_the_schema_prints),
        cmocka_unit_test(the_committed_manual_page_is_what_the_schema_prints),
        cmocka_unit_test(the_sample_means_the_defaults),
        cmocka_unit_test(the_samples_examples_load),
        cmocka_unit_test(every_rows_help_is_in_sample_and_reference),
        cmocka_unit_test(defaults_survive_a_round_trip),
        cmocka_unit_test(every_kind_of_value_survives_a_round_trip),
        cmocka_unit_test(the_demo_loads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
