/* test_load.c - what a good configuration becomes. */
#include "tests/unit/lb/config/config_test.h"

static void absent_settings_have_their_defaults(void **state)
{
    (void)state;
    struct conf *c = load_good(POOL LISTENER);

    assert_int_equal(c->workers, 0);
    assert_int_equal(c->io, IO_AUTO);
    assert_false(c->pin);
    assert_null(c->user);
    assert_int_equal(c->n_stats, 0);
    assert_int_equal(c->log.level, LOG_LEVEL_INFO);
    assert_string_equal(c->log.output, "stderr");
    assert_null(c->resolver.servers);
    assert_int_equal(c->resolver.refresh_ms, 30000);
    assert_int_equal(c->drain.deadline_ms, 25000);
    const struct pool_conf *p = &c->pools[0];
    assert_int_equal(c->n_pools, 1);
    assert_int_equal(p->mode, MODE_TCP);
    assert_int_equal(p->balance.kind, BALANCE_ROUND_ROBIN);
    assert_int_equal(p->queue_limit, 1024);
    assert_int_equal(p->queue_timeout_ms, 5000);
    assert_int_equal(p->retry_attempts, 2);
    assert_int_equal(p->connect_timeout_ms, 5000);
    assert_int_equal(p->tunnel_timeout_ms, 3600000);
    assert_false(p->close_on_down);
    assert_int_equal(p->health.type, CHECK_TYPE_TCP);
    assert_int_equal(p->health.interval_ms, 2000);
    assert_int_equal(p->health.jitter_percent, 10);
    assert_int_equal(p->health.rise, 2);
    assert_int_equal(p->health.fall, 3);
    assert_string_equal(p->health.method, "GET");
    assert_int_equal(p->health.n_status, 1);
    assert_int_equal(p->health.status[0].from, 200);
    assert_int_equal(p->health.status[0].to, 399);
    assert_int_equal(p->backends[0].weight, 1);
    const struct listener_conf *l = &c->listeners[0];
    assert_int_equal(l->n_binds, 1);
    assert_int_equal(addr_port(&l->binds[0].addr), 8080);
    assert_int_equal(l->pool, 0);
    assert_int_equal(l->handshake_timeout_ms, 10000);
    assert_int_equal(l->tunnel_timeout_ms, 3600000);
    assert_string_equal(l->access_target, "stdout");
    assert_string_equal(l->access_format, "tcplog");
    conf_free(&c);
    assert_null(c);
}

static void durations_take_every_unit(void **state)
{
    (void)state;
    struct conf *c =
        load_good("timeouts = { connect = \"250ms\"; handshake = \"3s\"; tunnel = \"1d\"; };\n"
                  "drain = { delay = \"2m\"; deadline = \"1h\"; };\n" POOL LISTENER);

    assert_int_equal(c->pools[0].connect_timeout_ms, 250);
    assert_int_equal(c->listeners[0].handshake_timeout_ms, 3000);
    assert_int_equal(c->pools[0].tunnel_timeout_ms, 86400000);
    assert_int_equal(c->drain.delay_ms, 120000);
    assert_int_equal(c->drain.deadline_ms, 3600000);
    conf_free(&c);
}

/* Also where the global group stands behind the pools: the order of a file means nothing. */
static void a_group_of_a_pool_replaces_only_the_settings_that_it_has(void **state)
{
    (void)state;
    struct conf *c = load_good(POOL_WITH("timeouts = { connect = \"7s\"; };") LISTENER
                               "timeouts = { connect = \"1s\"; tunnel = \"9s\"; };\n");

    assert_int_equal(c->pools[0].connect_timeout_ms, 7000);
    assert_int_equal(c->pools[0].tunnel_timeout_ms, 9000);
    conf_free(&c);
}

static void a_listener_has_its_tunnel_timeout_from_its_pool(void **state)
{
    (void)state;
    struct conf *c = load_good(POOL_WITH("timeouts = { tunnel = \"7s\"; };") LISTENER
                               "timeouts = { tunnel = \"9s\"; };\n");

    assert_int_equal(c->listeners[0].tunnel_timeout_ms, 7000);
    conf_free(&c);
}

static void the_listeners_own_tunnel_timeout_wins(void **state)
{
    (void)state;
    struct conf *c = load_good(POOL_WITH("timeouts = { tunnel = \"7s\"; };") LISTENER_WITH(
        "bind = \"127.0.0.1:8080\"; timeouts = { tunnel = \"5s\"; };"));

    assert_int_equal(c->listeners[0].tunnel_timeout_ms, 5000);
    conf_free(&c);
}

static void limits_and_log_of_a_listener_merge_field_by_field(void **state)
{
    (void)state;
    struct conf *c =
        load_good("limits = { connections = 100; per_source = 9; };\n"
                  "log = { access = \"/var/log/a\"; format = \"json\"; };\n" POOL LISTENER_WITH(
                      "bind = \"127.0.0.1:8080\"; limits = { per_source = 0; }; log = { access = "
                      "\"off\"; };"));

    assert_int_equal(c->listeners[0].max_connections, 100);
    assert_int_equal(c->listeners[0].max_per_source, 0);
    assert_string_equal(c->listeners[0].access_target, "off");
    assert_string_equal(c->listeners[0].access_format, "json");
    conf_free(&c);
}

static void absent_check_intervals_are_the_interval(void **state)
{
    (void)state;
    struct conf *c =
        load_good(POOL_WITH("health = { interval = \"3s\"; interval_down = \"9s\"; };") LISTENER);

    assert_int_equal(c->pools[0].health.interval_changing_ms, 3000);
    assert_int_equal(c->pools[0].health.interval_down_ms, 9000);
    conf_free(&c);
}

static void status_ranges_are_read_in_their_order(void **state)
{
    (void)state;
    struct conf *c = load_good(
        POOL_WITH("health = { type = \"http\"; status = \"404, 200-299,599\"; };") LISTENER);
    const struct health_conf *h = &c->pools[0].health;

    assert_int_equal(h->n_status, 3);
    assert_int_equal(h->status[0].from, 404);
    assert_int_equal(h->status[0].to, 404);
    assert_int_equal(h->status[1].to, 299);
    assert_int_equal(h->status[2].from, 599);
    conf_free(&c);
}

/* libconfig 1.5 drops \x00 without a word; PostgreSQL's first message has three of them. */
static void bytes_to_send_may_hold_nuls(void **state)
{
    (void)state;
    struct conf *c = load_good(
        POOL_WITH("health = { send = \"\\x00\\x00\\x00\\x08\\r\\n\"; expect = \"N\"; };") LISTENER);

    assert_int_equal(c->pools[0].health.send_len, 6);
    assert_memory_equal(c->pools[0].health.send, "\0\0\0\x08\r\n", 6);
    conf_free(&c);
}

static void a_load_bound_is_a_percentage(void **state)
{
    (void)state;
    struct conf *c = load_good(POOL_WITH(
        "balance = \"hash\"; hash = { key = \"source\"; load_bound = \"125%\"; };") LISTENER);

    assert_int_equal(c->pools[0].balance.kind, BALANCE_HASH);
    assert_int_equal(c->pools[0].balance.load_bound_percent, 125);
    conf_free(&c);
}

static void names_in_backend_addresses_stay_unresolved(void **state)
{
    (void)state;
    struct conf *c = load_good(BACKEND_WITH("address = \"app.internal:80\";") LISTENER);

    assert_int_equal(c->pools[0].backends[0].address.addr.len, 0);
    assert_string_equal(c->pools[0].backends[0].address.host, "app.internal");
    assert_int_equal(c->pools[0].backends[0].address.port, 80);
    assert_string_equal(c->pools[0].backends[0].address_text, "app.internal:80");
    conf_free(&c);
}

static void a_listener_may_have_several_addresses(void **state)
{
    (void)state;
    struct conf *c = load_good(
        POOL LISTENER_WITH("bind = [ \"127.0.0.1:80\", \"[::1]:80\",\n \"unix:/run/x.sock\" ];"));

    assert_int_equal(c->listeners[0].n_binds, 3);
    assert_int_equal(addr_family(&c->listeners[0].binds[2].addr), AF_UNIX);
    assert_string_equal(c->listeners[0].bind_texts[1], "[::1]:80");
    conf_free(&c);
}

static void a_backend_elsewhere_may_have_the_port_of_a_wildcard(void **state)
{
    (void)state;
    struct conf *c =
        load_good(BACKEND_WITH("address = \"10.0.0.2:80\";") LISTENER_WITH("bind = \"*:80\";"));

    assert_int_equal(c->listeners[0].pool, 0);
    conf_free(&c);
}

static void stats_may_be_one_group_or_a_list(void **state)
{
    (void)state;
    struct conf *one = load_good("stats = { socket = \"/a/s\"; };\n" POOL LISTENER);
    struct conf *two =
        load_good("stats = ( { socket = \"/a/s\"; mode = \"660\"; level = \"user\"; },"
                  " { socket = \"/a/t\"; } );\n" POOL LISTENER);

    assert_int_equal(one->n_stats, 1);
    assert_int_equal(one->stats[0].mode, 0600);
    assert_int_equal(one->stats[0].level, CTL_ADMIN);
    assert_int_equal(two->n_stats, 2);
    assert_int_equal(two->stats[0].mode, 0660);
    assert_int_equal(two->stats[0].level, CTL_USER);
    assert_string_equal(two->stats[1].socket, "/a/t");
    conf_free(&one);
    conf_free(&two);
}

static void resolver_servers_get_their_port(void **state)
{
    (void)state;
    struct conf *c = load_good(
        "resolver = { servers = [ \"10.0.0.1\", \"::1\", \"[::2]:5353\" ]; };\n" POOL LISTENER);

    assert_string_equal(c->resolver.servers, "10.0.0.1:53,[::1]:53,[::2]:5353");
    conf_free(&c);
}

static void networks_of_proxy_from_are_read(void **state)
{
    (void)state;
    struct conf *c =
        load_good(POOL LISTENER_WITH("bind = \"127.0.0.1:80\"; proxy_protocol = \"v2\"; proxy_from "
                                     "= [ \"10.0.0.0/8\", \"unix\" ];"));

    assert_int_equal(c->listeners[0].proxy_protocol, PROXY_V2);
    assert_int_equal(c->listeners[0].n_proxy_from, 2);
    assert_int_equal(c->listeners[0].proxy_from[0].bits, 8);
    assert_int_equal(c->listeners[0].proxy_from[1].family, AF_UNIX);
    conf_free(&c);
}

static void objects_know_where_they_stand(void **state)
{
    (void)state;
    struct conf *c = load_good("# one\n" POOL_WITH("on_down = \"close\";") LISTENER);

    assert_true(c->pools[0].close_on_down);
    assert_string_equal(c->pools[0].file, "t.conf");
    assert_int_equal(c->pools[0].line, 2);
    assert_int_equal(c->pools[0].backends[0].line, 2);
    assert_int_equal(c->listeners[0].line, 5);
    conf_free(&c);
}

static void adjacent_strings_of_a_setting_are_one(void **state)
{
    (void)state;
    struct conf *c = load_good("log = { format = \"$client \"\n  \"$backend\"; };\n" POOL LISTENER);

    assert_string_equal(c->listeners[0].access_format, "$client $backend");
    conf_free(&c);
}

/* ---- environment ---- */

static void the_environment_fills_strings(void **state)
{
    (void)state;
    setenv("T_HOST", "127.0.0.1", 1);
    setenv("T_EMPTY", "", 1);
    unsetenv("T_UNSET");
    struct conf *c =
        load_good(BACKEND_WITH("address = \"${T_HOST}:${T_UNSET:-30}${T_EMPTY:-01}\";") LISTENER);

    assert_string_equal(c->pools[0].backends[0].address_text, "127.0.0.1:3001");
    conf_free(&c);
}

static void the_environment_fills_numbers_and_booleans(void **state)
{
    (void)state;
    setenv("T_WORKERS", "3", 1);
    setenv("T_PIN", "true", 1);
    struct conf *c = load_good("workers = \"${T_WORKERS}\"; pin = \"${T_PIN}\";\n" POOL LISTENER);

    assert_int_equal(c->workers, 3);
    assert_true(c->pin);
    conf_free(&c);
}

static void a_value_of_the_environment_cannot_end_its_string(void **state)
{
    (void)state;
    setenv("T_EVIL", "x\"; workers = 9; #${T_EVIL}", 1);
    struct conf *c = load_good(POOL_WITH("health = { expect = \"${T_EVIL}\"; };") LISTENER);

    assert_string_equal(c->pools[0].health.expect, "x\"; workers = 9; #${T_EVIL}");
    assert_int_equal(c->workers, 0);
    conf_free(&c);
}

static void two_dollars_are_one(void **state)
{
    (void)state;
    struct conf *c = load_good(POOL_WITH("health = { send = \"$$3\\r\\n$5\"; };") LISTENER);

    assert_string_equal(c->pools[0].health.send, "$3\r\n$5");
    conf_free(&c);
}

/* ---- files ---- */

struct files {
    char dir[64];
};

static int make_dir(void **state)
{
    struct files *f = calloc(1, sizeof(*f));

    strcpy(f->dir, "/tmp/sluice-conf-XXXXXX");
    *state = f;
    return mkdtemp(f->dir) == NULL;
}

static void path_in(const struct files *f, const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", f->dir, name);
}

static void write_file(const struct files *f, const char *name, const char *text)
{
    char path[128];

    path_in(f, name, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int remove_dir(void **state)
{
    static const char *const names[] = {"main.conf", "pools.conf", "deep.conf", "loop.conf"};
    struct files *f = *state;
    char path[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        path_in(f, names[i], path);
        unlink(path);
    }
    rmdir(f->dir);
    free(f);
    return 0;
}

/* Loads main.conf; *out_errors has the folder's name cut off, and is to be freed. */
static struct conf *load_main(const struct files *f, char **out_errors)
{
    struct strbuf errors = {0};
    char path[128];

    path_in(f, "main.conf", path);
    struct conf *c = conf_load(path, &errors);
    char *text = calloc(1, errors.len + 1);
    size_t n = 0, dir_len = strlen(f->dir) + 1;
    for (size_t i = 0; i < errors.len; i++) {
        if (strncmp(errors.p + i, f->dir, dir_len - 1) == 0)
            i += dir_len - 1;
        else
            text[n++] = errors.p[i];
    }
    strbuf_fini(&errors);
    *out_errors = text;
    return c;
}

static void included_files_are_relative_to_the_main_one(void **state)
{
    const struct files *f = *state;
    char *errors;

    write_file(f, "main.conf", "workers = 1;\n  @include \"pools.conf\" # the pools\n" LISTENER);
    write_file(f, "pools.conf", "io = \"epoll\";\n@include \"deep.conf\"");
    write_file(f, "deep.conf", POOL);
    struct conf *c = load_main(f, &errors);
    assert_string_equal(errors, "");
    assert_non_null(c);
    assert_int_equal(c->io, IO_EPOLL);
    assert_int_equal(c->pools[0].line, 1);
    assert_non_null(strstr(c->pools[0].file, "/deep.conf"));
    assert_int_equal(c->listeners[0].line, 3);
    assert_non_null(strstr(c->listeners[0].file, "/main.conf"));
    conf_free(&c);
    free(errors);
}

static void mistakes_in_included_files_name_that_file(void **state)
{
    const struct files *f = *state;
    char *errors;

    write_file(f, "main.conf", "workers = -1;\n@include \"pools.conf\"\npin = 1;\n" LISTENER);
    write_file(f, "pools.conf", "# here\nio = \"x\";\n" POOL);
    assert_null(load_main(f, &errors));
    assert_string_equal(
        errors, "main.conf:1: error: workers: found -1, expected a whole number from 0 to 256\n"
                "pools.conf:2: error: io: found \"x\", expected \"auto\", \"uring\" or \"epoll\"\n"
                "main.conf:3: error: pin: found 1, expected true or false\n");
    free(errors);
}

static void syntax_errors_in_included_files_name_that_file(void **state)
{
    const struct files *f = *state;
    char *errors;

    write_file(f, "main.conf", "\n@include \"pools.conf\"\n" LISTENER);
    write_file(f, "pools.conf", "# here\nio = ;\n");
    assert_null(load_main(f, &errors));
    assert_string_equal(errors, "pools.conf:2: error: syntax: found \";\", expected a value\n"
                                "      2 | io = ;\n");
    free(errors);
}

static void a_missing_included_file_is_an_error_at_its_line(void **state)
{
    const struct files *f = *state;
    char *errors;

    write_file(f, "main.conf", "\n@include \"deep.conf\"\n");
    assert_null(load_main(f, &errors));
    assert_string_equal(
        errors,
        "main.conf:2: error: @include: deep.conf cannot be read: No such file or directory\n"
        "      2 | @include \"deep.conf\"\n");
    free(errors);
}

static void a_file_that_includes_itself_is_an_error(void **state)
{
    const struct files *f = *state;
    char *errors;

    write_file(f, "main.conf", "@include \"loop.conf\"\n");
    write_file(f, "loop.conf", "\n@include \"loop.conf\"\n");
    assert_null(load_main(f, &errors));
    assert_string_equal(
        errors, "loop.conf:2: error: @include: found files included 10 deep, expected at most 9 "
                "(does a file include itself?)\n"
                "      2 | @include \"loop.conf\"\n");
    free(errors);
}

static void a_directive_in_a_comment_is_a_comment(void **state)
{
    const struct files *f = *state;
    char *errors;

    write_file(f, "main.conf", "/* \"\n@include \"nothing\"\n*/\n# @include \"x\"\n" POOL LISTENER);
    struct conf *c = load_main(f, &errors);
    assert_string_equal(errors, "");
    assert_non_null(c);
    conf_free(&c);
    free(errors);
}

/* libconfig 1.5 ends the process here. */
static void a_directory_is_no_file(void **state)
{
    const struct files *f = *state;
    struct strbuf errors = {0};

    assert_null(conf_load(f->dir, &errors));
    assert_non_null(strstr(errors.p, ": error: cannot be read: Is a directory\n"));
    strbuf_fini(&errors);
}

static void windows_line_ends_do(void **state)
{
    const struct files *f = *state;
    char *errors;

    write_file(f, "main.conf", "workers = 1;\r\n@include \"pools.conf\"\r\n" LISTENER);
    write_file(f, "pools.conf", POOL);
    struct conf *c = load_main(f, &errors);
    assert_string_equal(errors, "");
    assert_non_null(c);
    conf_free(&c);
    free(errors);
}

/* ---- size ---- */

static void ten_thousand_backends_load(void **state)
{
    (void)state;
    struct strbuf text = {0};

    strbuf_add_cstr(&text, "pools = ( { name = \"app\"; mode = \"tcp\"; backends = (\n");
    for (int i = 0; i < 10000; i++)
        strbuf_addf(&text, "%s{ name = \"b%d\"; address = \"10.0.%d.%d:80\"; }\n", i > 0 ? "," : "",
                    i, i / 250, i % 250 + 1);
    strbuf_add_cstr(&text, "); } );\n" LISTENER);
    struct conf *c = load_good(text.p);
    assert_int_equal(c->pools[0].n_backends, 10000);
    assert_string_equal(c->pools[0].backends[9999].name, "b9999");
    assert_int_equal(c->pools[0].backends[9999].line, 10001);
    conf_free(&c);
    strbuf_fini(&text);
}

int main(void)
{
#define FILES(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_settings_have_their_defaults),
        cmocka_unit_test(durations_take_every_unit),
        cmocka_unit_test(a_group_of_a_pool_replaces_only_the_settings_that_it_has),
        cmocka_unit_test(a_listener_has_its_tunnel_timeout_from_its_pool),
        cmocka_unit_test(the_listeners_own_tunnel_timeout_wins),
        cmocka_unit_test(limits_and_log_of_a_listener_merge_field_by_field),
        cmocka_unit_test(absent_check_intervals_are_the_interval),
        cmocka_unit_test(status_ranges_are_read_in_their_order),
        cmocka_unit_test(bytes_to_send_may_hold_nuls),
        cmocka_unit_test(a_load_bound_is_a_percentage),
        cmocka_unit_test(names_in_backend_addresses_stay_unresolved),
        cmocka_unit_test(a_listener_may_have_several_addresses),
        cmocka_unit_test(a_backend_elsewhere_may_have_the_port_of_a_wildcard),
        cmocka_unit_test(stats_may_be_one_group_or_a_list),
        cmocka_unit_test(resolver_servers_get_their_port),
        cmocka_unit_test(networks_of_proxy_from_are_read),
        cmocka_unit_test(objects_know_where_they_stand),
        cmocka_unit_test(adjacent_strings_of_a_setting_are_one),
        cmocka_unit_test(the_environment_fills_strings),
        cmocka_unit_test(the_environment_fills_numbers_and_booleans),
        cmocka_unit_test(a_value_of_the_environment_cannot_end_its_string),
        cmocka_unit_test(two_dollars_are_one),
        FILES(included_files_are_relative_to_the_main_one),
        FILES(mistakes_in_included_files_name_that_file),
        FILES(syntax_errors_in_included_files_name_that_file),
        FILES(a_missing_included_file_is_an_error_at_its_line),
        FILES(a_file_that_includes_itself_is_an_error),
        FILES(a_directive_in_a_comment_is_a_comment),
        FILES(a_directory_is_no_file),
        FILES(windows_line_ends_do),
        cmocka_unit_test(ten_thousand_backends_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
