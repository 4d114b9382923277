/* test_http.c - what configurations of mode http become, and what bad ones are told. */
#include "tests/unit/lb/config/config_test.h"

#define ERR(line, rest)  "t.conf:" #line ": error: " rest "\n"
#define WARN(line, rest) "t.conf:" #line ": warning: " rest "\n"

static const struct http_route_conf *route(const struct conf *c, uint32_t i)
{
    assert_true(i < c->listeners[0].http.n_routes);
    return &c->listeners[0].http.routes[i];
}

/* ---- what is read ---- */

static void absent_settings_of_http_have_their_defaults(void **state)
{
    (void)state;
    struct conf *c = load_good(HTTP_POOL HTTP_LISTENER);
    const struct pool_conf *p = &c->pools[0];
    const struct listener_conf *l = &c->listeners[0];

    assert_int_equal(p->mode, MODE_HTTP);
    assert_int_equal(p->hash_key, HASH_SOURCE);
    assert_null(p->hash_name);
    assert_int_equal(p->http.reuse, REUSE_SAFE);
    assert_int_equal(p->http.idle_timeout_ms, 30000);
    assert_int_equal(p->http.idle_max, 512);
    assert_int_equal(p->http.retry_budget_percent, 20);
    assert_int_equal(p->http.retry_budget_min, 10);
    assert_int_equal(p->http.response_head_timeout_ms, 0);
    assert_int_equal(p->http.body_timeout_ms, 0);
    assert_null(p->http.sticky);
    assert_int_equal(p->http.ejection.failures, 0);
    assert_int_equal(p->http.ejection.time_ms, 0);
    assert_false(p->http.accept_bare_lf);
    assert_int_equal(l->mode, MODE_HTTP);
    assert_int_equal(l->http.head_bytes, 32768);
    assert_int_equal(l->http.fields, 128);
    assert_int_equal(l->http.body_bytes, 0);
    assert_int_equal(l->http.request_head_timeout_ms, 10000);
    assert_int_equal(l->http.body_timeout_ms, 60000);
    assert_int_equal(l->http.response_head_timeout_ms, 60000);
    assert_int_equal(l->http.idle_timeout_ms, 60000);
    assert_int_equal(l->http.n_trusted_proxies, 0);
    assert_false(l->http.half_close);
    assert_false(l->http.forwarded);
    assert_false(l->http.keep_encoded_slash);
    assert_string_equal(l->access_format, "combined");
    conf_free(&c);
}

static void a_pool_of_a_listener_is_a_route_that_takes_everything(void **state)
{
    (void)state;
    struct conf *c = load_good(HTTP_POOL HTTP_LISTENER);

    assert_int_equal(c->listeners[0].http.n_routes, 1);
    assert_int_equal(route(c, 0)->route.action, ROUTE_POOL);
    assert_int_equal(route(c, 0)->route.n_paths, 0);
    assert_int_equal(route(c, 0)->route.line, 2);
    assert_null(c->listeners[0].pool_name);
    conf_free(&c);
}

static void a_route_has_everything_that_it_may_match(void **state)
{
    (void)state;
    struct conf *c = load_good(ROUTES(
        "{ host = [ \"A.Example\", \"*.b.example\" ]; path = [ \"/v1/\", \"=/x\", \"~^/y$\" ];\n"
        "  method = \"GET\"; header = ( { name = \"X-A\"; value = \"~^2\"; }, { name = \"X-B\"; } "
        ");\n"
        "  cookie = { name = \"c\"; value = \"1\"; }; query = { name = \"q\"; };\n"
        "  from = [ \"10.0.0.0/8\", \"::1\" ]; name = \"r\"; pool = \"app\"; } )"));
    const struct route_conf *r = &route(c, 0)->route;

    assert_string_equal(r->name, "r");
    assert_int_equal(r->n_hosts, 2);
    assert_string_equal(r->hosts[0], "a.example");
    assert_int_equal(r->n_paths, 3);
    assert_string_equal(r->paths[2], "~^/y$");
    assert_int_equal(r->n_methods, 1);
    assert_int_equal(r->n_headers, 2);
    assert_string_equal(r->headers[0].value, "~^2");
    assert_null(r->headers[1].value);
    assert_int_equal(r->n_cookies, 1);
    assert_int_equal(r->n_queries, 1);
    assert_int_equal(r->n_from, 2);
    assert_int_equal(r->from[0].bits, 8);
    assert_int_equal(r->line, 4);
    conf_free(&c);
}

static void actions_are_told_apart(void **state)
{
    (void)state;
    struct conf *c = load_good(ROUTES(
        "{ path = \"/a\"; split = ( { pool = \"app\"; weight = 9; }, { pool = \"app\"; } ); },\n"
        "{ path = \"/b\"; redirect = { to = \"/c\"; }; },\n"
        "{ path = \"/d\"; redirect = { to = \"https://$host$path\"; status = 308; }; },\n"
        "{ path = \"/e\"; answer = { status = 418; body = \"$client_ip\"; }; } )"));

    assert_int_equal(route(c, 0)->route.action, ROUTE_SPLIT);
    assert_int_equal(route(c, 0)->route.n_split, 2);
    assert_int_equal(route(c, 0)->route.split[0].weight, 9);
    assert_int_equal(route(c, 0)->route.split[1].weight, 1);
    assert_int_equal(route(c, 1)->route.action, ROUTE_REDIRECT);
    assert_int_equal(route(c, 1)->route.redirect.status, 302);
    assert_int_equal(route(c, 2)->route.redirect.status, 308);
    assert_int_equal(route(c, 3)->route.action, ROUTE_ANSWER);
    assert_int_equal(route(c, 3)->route.answer.status, 418);
    assert_string_equal(route(c, 3)->route.answer.type, "text/plain; charset=utf-8");
    conf_free(&c);
}

static void filters_of_a_route_are_read(void **state)
{
    (void)state;
    struct conf *c = load_good(
        ROUTES("{ pool = \"app\"; set_host = \"h\"; strip_prefix = \"/v1\";\n"
               "  request_headers = { set = { name = \"A\"; value = \"${client_ip} $$\"; };\n"
               "    add = ( { name = \"B\"; value = \"\"; } ); remove = [ \"C\", \"X-*\" ]; };\n"
               "  access = { allow = \"10.0.0.0/8\"; deny = [ \"10.9.0.0/16\" ]; };\n"
               "  ratelimit = { key = \"header:X-Key\"; rate = \"90/m\"; }; } )"));
    const struct filters_conf *f = &route(c, 0)->filters;

    assert_int_equal(f->request_headers.n_set, 1);
    assert_string_equal(f->request_headers.set[0].value, "${client_ip} $$");
    assert_string_equal(f->request_headers.add[0].value, "");
    assert_int_equal(f->request_headers.n_remove, 2);
    assert_int_equal(f->response_headers.n_set, 0);
    assert_int_equal(f->access.n_allow, 1);
    assert_int_equal(f->access.n_deny, 1);
    assert_int_equal(f->ratelimit->n, 90);
    assert_int_equal(f->ratelimit->per_ms, 60000);
    assert_int_equal(f->ratelimit->burst, 1);
    assert_null(f->basic_auth);
    conf_free(&c);
}

static void an_absent_burst_is_a_seconds_worth(void **state)
{
    (void)state;
    struct conf *c = load_good(ROUTES(
        "{ path = \"/a\"; pool = \"app\"; ratelimit = { rate = \"100/s\"; }; },\n"
        "{ path = \"/b\"; pool = \"app\"; ratelimit = { rate = \"7200/h\"; }; },\n"
        "{ path = \"/c\"; pool = \"app\"; ratelimit = { rate = \"5/s\"; burst = 50; }; } )"));

    assert_int_equal(route(c, 0)->filters.ratelimit->burst, 100);
    assert_int_equal(route(c, 1)->filters.ratelimit->burst, 2);
    assert_int_equal(route(c, 2)->filters.ratelimit->burst, 50);
    assert_string_equal(route(c, 2)->filters.ratelimit->key, "source");
    conf_free(&c);
}

static void users_of_a_route_stand_in_a_file(void **state)
{
    (void)state;
    struct conf *c =
        load_good(ROUTES("{ pool = \"app\"; auth = { basic = { file = \"/etc/users\"; }; }; } )"));

    assert_string_equal(route(c, 0)->filters.basic_auth->file, "/etc/users");
    assert_string_equal(route(c, 0)->filters.basic_auth->realm, "restricted");
    conf_free(&c);
}

static void settings_of_an_http_pool_are_read(void **state)
{
    (void)state;
    struct conf *c = load_good(HTTP_POOL_WITH(
        "balance = \"hash\"; hash = { key = \"header:X-User\"; }; reuse = \"always\";\n"
        "keep_idle = 0; accept_bare_lf = true; send_proxy = \"v2\";\n"
        "sticky = { cookie = \"srv\"; secret = \"0123456789abcdef\"; max_age = \"2h\"; };\n"
        "ejection = { failures = 3; };\n"
        "retries = { attempts = 1; budget = 50; budget_min = 0; };\n"
        "timeouts = { backend_idle = \"4s\"; response_head = \"5s\"; body = \"6s\"; };")
                                   HTTP_LISTENER);
    const struct pool_conf *p = &c->pools[0];

    assert_int_equal(p->hash_key, HASH_HEADER);
    assert_string_equal(p->hash_name, "X-User");
    assert_int_equal(p->http.reuse, REUSE_ALWAYS);
    assert_int_equal(p->http.idle_max, 0);
    assert_true(p->http.accept_bare_lf);
    assert_string_equal(p->http.sticky->cookie, "srv");
    assert_int_equal(p->http.sticky->max_age_s, 7200);
    assert_int_equal(p->http.ejection.failures, 3);
    assert_int_equal(p->http.ejection.time_ms, 30000);
    assert_int_equal(p->http.ejection.max_percent, 50);
    assert_int_equal(p->http.retry_budget_percent, 50);
    assert_int_equal(p->http.retry_budget_min, 0);
    assert_int_equal(p->http.idle_timeout_ms, 4000);
    assert_int_equal(p->http.response_head_timeout_ms, 5000);
    assert_int_equal(p->http.body_timeout_ms, 6000);
    conf_free(&c);
}

static void peak_ewma_is_a_balance(void **state)
{
    (void)state;
    struct conf *c = load_good(HTTP_POOL_WITH("balance = \"peak_ewma\";") HTTP_LISTENER);

    assert_int_equal(c->pools[0].balance.kind, BALANCE_PEAK_EWMA);
    conf_free(&c);
}

static void a_listener_merges_limits_and_timeouts_setting_by_setting(void **state)
{
    (void)state;
    struct conf *c = load_good(
        "limits = { header_bytes = \"4k\"; headers = 10; body_bytes = \"5g\"; };\n"
        "timeouts = { request_head = \"1s\"; idle = \"2s\"; backend_idle = \"3s\"; };\n"
        "encoded_slash = \"keep\";\n" HTTP_POOL HTTP_LISTENER_WITH(
            "pool = \"app\"; limits = { headers = 20; }; timeouts = { idle = \"9s\"; };"));
    const struct http_listener_conf *h = &c->listeners[0].http;

    assert_int_equal(h->head_bytes, 4096);
    assert_int_equal(h->fields, 20);
    assert_true(h->body_bytes == 5ULL << 30);
    assert_int_equal(h->request_head_timeout_ms, 1000);
    assert_int_equal(h->idle_timeout_ms, 9000);
    assert_int_equal(c->pools[0].http.idle_timeout_ms, 3000);
    assert_true(h->keep_encoded_slash);
    conf_free(&c);
}

/* So that none is cut before its pool says so. */
static void an_http_listener_has_the_longest_tunnel_timeout_of_its_pools(void **state)
{
    (void)state;
    struct conf *c = load_good(
        "timeouts = { tunnel = \"9s\"; };\n"
        "pools = ( { name = \"a\"; mode = \"http\"; backends = ( { name = \"a\"; address = "
        "\"10.0.0.1:1\"; } ); timeouts = { tunnel = \"1s\"; }; },\n"
        "  { name = \"b\"; mode = \"http\"; backends = ( { name = \"a\"; address = "
        "\"10.0.0.1:1\"; } ); timeouts = { tunnel = \"3s\"; }; } );\n"
        "listeners = ( { name = \"x\"; mode = \"http\"; bind = \"127.0.0.1:1\"; routes = (\n"
        "    { path = \"/a\"; pool = \"b\"; }, { pool = \"a\"; } ); },\n"
        "  { name = \"y\"; mode = \"http\"; bind = \"127.0.0.1:2\"; pool = \"a\"; },\n"
        "  { name = \"z\"; mode = \"http\"; bind = \"127.0.0.1:3\"; routes = ( { answer = { }; } "
        "); "
        "},\n"
        "  { name = \"own\"; mode = \"http\"; bind = \"127.0.0.1:4\"; pool = \"b\"; timeouts = { "
        "tunnel = \"2s\"; }; } );\n");

    assert_int_equal(c->listeners[0].tunnel_timeout_ms, 3000);
    assert_int_equal(c->listeners[1].tunnel_timeout_ms, 1000);
    assert_int_equal(c->listeners[2].tunnel_timeout_ms, 9000);
    assert_int_equal(c->listeners[3].tunnel_timeout_ms, 2000);
    conf_free(&c);
}

static void both_modes_stand_in_one_file(void **state)
{
    (void)state;
    struct conf *c = load_good(
        "pools = ( { name = \"h\"; mode = \"http\"; backends = ( { name = \"a\"; address = "
        "\"10.0.0.1:1\"; } ); },\n { name = \"t\"; mode = \"tcp\"; backends = ( { name = \"a\"; "
        "address = \"10.0.0.1:1\"; } ); } );\n"
        "listeners = ( { name = \"x\"; mode = \"tcp\"; bind = \"127.0.0.1:1\"; pool = \"t\"; },\n"
        " { name = \"y\"; mode = \"http\"; bind = \"127.0.0.1:2\"; pool = \"h\"; } );\n");

    assert_string_equal(c->listeners[0].access_format, "tcplog");
    assert_string_equal(c->listeners[1].access_format, "combined");
    assert_int_equal(c->listeners[0].pool, 1);
    assert_int_equal(c->listeners[1].http.routes[0].route.pool, 0);
    conf_free(&c);
}

static void tests_are_read(void **state)
{
    (void)state;
    struct conf *c = load_good(
        HTTP_POOL HTTP_LISTENER
        "tests = (\n { request = \"GET http://h/p\"; headers = [ \"A: b\", \"C: d\" ]; from = "
        "\"::1\"; expect = { pool = \"app\"; }; },\n"
        " { request = \"GET http://h/q\"; expect = { status = 302; location = \"/x\"; }; } );\n");

    assert_int_equal(c->n_tests, 2);
    assert_string_equal(c->tests[0].request, "GET http://h/p");
    assert_int_equal(c->tests[0].n_headers, 2);
    assert_int_equal(addr_family(&c->tests[0].from), AF_INET6);
    assert_string_equal(c->tests[0].pool_name, "app");
    assert_int_equal(c->tests[0].line, 4);
    assert_int_equal(c->tests[1].from.len, 0);
    assert_int_equal(c->tests[1].status, 302);
    assert_string_equal(c->tests[1].location, "/x");
    conf_free(&c);
}

static void ten_thousand_routes_load(void **state)
{
    (void)state;
    struct strbuf text = {0};

    strbuf_add_cstr(&text, HTTP_POOL "listeners = ( { name = \"web\"; mode = \"http\"; bind = "
                                     "\"127.0.0.1:8080\"; routes = (\n");
    for (int i = 0; i < 10000; i++)
        strbuf_addf(&text, "%s{ host = \"h%d.example\"; pool = \"app\"; }\n", i > 0 ? "," : "", i);
    strbuf_add_cstr(&text, "); } );\n");
    struct conf *c = load_good(text.p);
    assert_int_equal(c->listeners[0].http.n_routes, 10000);
    assert_string_equal(route(c, 9999)->route.hosts[0], "h9999.example");
    assert_int_equal(route(c, 9999)->route.line, 10002);
    conf_free(&c);
    strbuf_fini(&text);
}

static void a_configuration_of_http_survives_a_round_trip(void **state)
{
    (void)state;
    struct conf *first = load_good(
        "encoded_slash = \"keep\"; limits = { header_bytes = \"65535b\"; body_bytes = \"1025k\"; "
        "};\n"
        "pools = ( { name = \"app\"; mode = \"http\"; backends = ( { name = \"a\"; address = "
        "\"10.0.0.1:1\"; } ); balance = \"hash\"; hash = { key = \"query:a%b\"; };\n"
        "  sticky = { cookie = \"c\"; secret = \"$$0123456789abcdef\"; }; ejection = {};\n"
        "  timeouts = { body = \"5s\"; }; } );\n"
        "listeners = ( { name = \"web\"; mode = \"http\"; bind = \"127.0.0.1:8080\";\n"
        "  trusted_proxies = \"10.0.0.0/8\"; forwarded = true; half_close = true; routes = (\n"
        "  { host = \"[::1]\"; path = [ \"~^/(a|b)$\", \"=/x\" ]; method = [ \"GET\", \"PUT\" ];\n"
        "    header = { name = \"X\"; value = \"~$$\"; }; from = \"unix\"; set_host = \"$1.x\";\n"
        "    split = ( { pool = \"app\"; }, { pool = \"app\"; weight = 0; } );\n"
        "    replace_path = \"/${1}$$x\"; auth = { basic = { file = \"f\"; realm = \"r s\"; }; };\n"
        "    response_headers = { remove = \"Server\"; }; access = { deny = \"::/0\"; };\n"
        "    ratelimit = { rate = \"3/h\"; key = \"path\"; }; },\n"
        "  { name = \"b\"; path = \"/b\"; redirect = { to = \"/$$$path\"; status = 307; }; },\n"
        "  { answer = { status = 404; body = \"<b>$uri</b>\\n\"; type = \"text/html\"; }; } ); } "
        ");\n"
        "tests = ( { request = \"GET http://h/\"; headers = \"A: $$\"; from = \"10.0.0.1\"; expect "
        "= "
        "{ status = 404; }; } );\n");
    char *a = dumped(first);
    struct conf *second = load_good(a);
    char *b = dumped(second);

    assert_string_equal(a, b);
    assert_string_equal(second->listeners[0].http.routes[0].route.replace_path, "/${1}$$x");
    assert_string_equal(second->listeners[0].http.routes[0].route.headers[0].value, "~$");
    assert_int_equal(second->listeners[0].http.head_bytes, 65535);
    assert_int_equal(second->listeners[0].http.body_bytes, 1025 << 10);
    free(a);
    free(b);
    conf_free(&first);
    conf_free(&second);
}

#define R1 "listeners[web].routes[#1]"

/* ---- files ---- */

struct files {
    char conf[64], page[64], dir[32];
};

static int make_files(void **state)
{
    struct files *f = calloc(1, sizeof(*f));

    strcpy(f->dir, "/tmp/sluice-http-XXXXXX");
    *state = f;
    if (mkdtemp(f->dir) == NULL)
        return -1;
    snprintf(f->conf, sizeof(f->conf), "%s/main.conf", f->dir);
    snprintf(f->page, sizeof(f->page), "%s/503.html", f->dir);
    return 0;
}

static int remove_files(void **state)
{
    struct files *f = *state;

    unlink(f->conf);
    unlink(f->page);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void write_file(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

#define PAGE_CONF                                                                                  \
    HTTP_POOL HTTP_LISTENER_WITH("pool = \"app\"; error_pages = ( { status = 503;\n"               \
                                 "file = \"503.html\"; } );")

static void error_pages_are_read_beside_the_main_file(void **state)
{
    const struct files *f = *state;
    struct strbuf errors = {0};

    write_file(f->conf, PAGE_CONF, strlen(PAGE_CONF));
    write_file(f->page, "<p>later\0", 9);
    struct conf *c = conf_load(f->conf, &errors);
    assert_non_null(c);
    assert_null(errors.p);
    const struct error_page_conf *page = &c->listeners[0].http.error_pages[0];
    assert_int_equal(page->status, 503);
    assert_string_equal(page->file, f->page);
    assert_int_equal(page->body_len, 9);
    assert_memory_equal(page->body, "<p>later\0", 9);
    assert_string_equal(page->type, "text/html; charset=utf-8");
    conf_free(&c);
}

static void an_error_page_that_cannot_be_read_is_an_error(void **state)
{
    const struct files *f = *state;
    struct strbuf errors = {0};

    write_file(f->conf, PAGE_CONF, strlen(PAGE_CONF));
    assert_null(conf_load(f->conf, &errors));
    assert_non_null(strstr(errors.p, "main.conf:4: error: listeners[web].error_pages[#1].file: "));
    assert_non_null(strstr(errors.p, "cannot be read: No such file or directory, expected a plain "
                                     "file\n"));
    strbuf_fini(&errors);
}

static void an_error_page_beyond_its_limit_is_an_error(void **state)
{
    const struct files *f = *state;
    struct strbuf errors = {0};
    char *big = calloc(1, 65537);

    write_file(f->conf, PAGE_CONF, strlen(PAGE_CONF));
    write_file(f->page, big, 65536);
    struct conf *c = conf_load(f->conf, &errors);
    assert_non_null(c);
    conf_free(&c);
    write_file(f->page, big, 65537);
    assert_null(conf_load(f->conf, &errors));
    assert_non_null(strstr(errors.p, "which is larger than 65536 bytes"));
    free(big);
    strbuf_fini(&errors);
}

#define AUTH_CONF                                                                                  \
    ROUTES("{ pool = \"app\"; auth = { basic = { realm = \"r\";\n file = \"503.html\"; }; }; } )")

static void users_are_read_beside_the_main_file(void **state)
{
    const struct files *f = *state;
    struct strbuf errors = {0};
    const char *users = "# who\nada:$5$saltsalt$bJ9NUlTYJDxLeEoJ8wLhRzXCXlaAuuGQZuFoWcHBxJ1\n";

    write_file(f->conf, AUTH_CONF, strlen(AUTH_CONF));
    write_file(f->page, users, strlen(users));
    struct conf *c = conf_load(f->conf, &errors);
    assert_null(errors.p);
    assert_non_null(c);
    assert_string_equal(route(c, 0)->filters.basic_auth->file, f->page);
    conf_free(&c);
}

static void a_file_of_users_that_will_not_do_is_an_error(void **state)
{
    const struct files *f = *state;
    struct strbuf errors = {0};

    write_file(f->conf, AUTH_CONF, strlen(AUTH_CONF));
    assert_null(conf_load(f->conf, &errors));
    assert_non_null(strstr(errors.p, "main.conf:5: error: " R1 ".auth.basic.file: "));
    assert_non_null(strstr(errors.p, "No such file or directory"));
    strbuf_clear(&errors);
    write_file(f->page, "ada:secret\n", 11);
    assert_null(conf_load(f->conf, &errors));
    assert_non_null(strstr(errors.p, "main.conf:5: error: " R1 ".auth.basic.file: "));
    assert_non_null(strstr(errors.p, "503.html:1: "));
    strbuf_fini(&errors);
}

/* ---- mistakes ---- */

struct mistake {
    const char *name;
    const char *text;
    const char *says;
};

/* clang-format off: a case reads as a case */
static const struct mistake mistakes[] = {
    {"a listener without routes or pool", HTTP_POOL HTTP_LISTENER_WITH(""),
     ERR(2, "listeners[web].routes: not found, expected routes, or pool for all requests")},
    {"a listener with routes and pool",
     HTTP_POOL HTTP_LISTENER_WITH("pool = \"app\"; routes = ( { pool = \"app\"; } );"),
     ERR(3, "listeners[web].pool: found beside routes, expected one of the two")},
    {"an empty list of routes", HTTP_POOL HTTP_LISTENER_WITH("routes = ();"),
     ERR(3, "listeners[web].routes: found 0 groups, expected 1 to 65536")},
    {"routes in a listener of mode tcp",
     POOL LISTENER_WITH("bind = \"127.0.0.1:80\"; routes = ( { pool = \"app\"; } );"),
     ERR(3, "listeners[web].routes: found a setting of mode \"http\", expected it with that mode "
            "only")},
    {"a setting of mode http in a pool of mode tcp", POOL_WITH("reuse = \"safe\";") LISTENER,
     ERR(2, "pools[app].reuse: found a setting of mode \"http\", expected it with that mode only")},
    {"a timeout of mode http in a listener of mode tcp",
     POOL LISTENER_WITH("bind = \"127.0.0.1:80\"; timeouts = { idle = \"1s\"; };"),
     ERR(3, "listeners[web].timeouts.idle: found a setting of mode \"http\", expected it with that "
            "mode only")},
    {"a pool of mode tcp for a route", POOL HTTP_LISTENER_WITH("routes = ( { pool = \"app\"; } );"),
     ERR(3, R1 ".pool: found \"app\", a pool of mode \"tcp\", expected one of mode \"http\"")},
    {"a pool of mode http for a listener of mode tcp", HTTP_POOL LISTENER,
     ERR(2, "listeners[web].pool: found \"app\", a pool of mode \"http\", expected one of mode "
            "\"tcp\"")},
    {"a route to a pool that is not there", ROUTES("{ pool = \"ap\"; } )"),
     ERR(4, R1 ".pool: found \"ap\", which is no pool, expected the name of one (did you mean "
               "\"app\"?)")},
    {"a part of a split that is no pool",
     ROUTES("{ split = ( { pool = \"app\"; },\n { pool = \"b\"; } ); } )"),
     ERR(5, R1 ".split[#2].pool: found \"b\", which is no pool, expected the name of one")},
    {"a route without an action", ROUTES("{ path = \"/\"; } )"),
     ERR(4, R1 ".pool: not found, expected one of pool, split, redirect, answer and files")},
    {"a route with two actions", ROUTES("{ pool = \"app\";\n answer = { }; } )"),
     ERR(5,
         R1 ".answer: found beside pool, expected one of pool, split, redirect, answer and files")},
    {"files without a root", ROUTES("{ files = { index = \"x\"; }; } )"),
     ERR(4, R1 ".files.root: not found, expected the name of a directory")},
    {"files with an answer before the last try",
     ROUTES("{ files = { root = \"/srv\"; try = [ \"=404\", \"$path\" ]; }; } )"),
     ERR(4,
         R1 ".files.try: found \"=404\": an answer (=404) or a pool (@app) can only be the last")},
    {"files with a pool that is none",
     ROUTES("{ files = { root = \"/srv\"; try = [ \"$path\", \"@nobody\" ]; }; } )"),
     ERR(4, R1 ".files.try: found \"nobody\", which is no pool, expected the name of one")},
    {"a loop through a route",
     HTTP_POOL "listeners = ( { name = \"web\"; mode = \"http\"; bind = "
               "\"127.0.0.1:3001\";\n routes = ( { pool = \"app\"; } ); } );",
     ERR(3, R1 ".pool: found \"app\", whose backend \"a\" is this listener's own address "
               "127.0.0.1:3001, expected another")},
    {"a redirect without its target", ROUTES("{ redirect = { status = 301; }; } )"),
     ERR(4,
         R1 ".redirect.to: not found, expected a path or a URL of http or https, without blanks")},
    {"a redirect with a status that is none",
     ROUTES("{ redirect = { to = \"/\"; status = 304; }; } )"),
     ERR(4, R1 ".redirect.status: found 304, expected 301, 302, 303, 307 or 308")},
    {"a redirect to a script", ROUTES("{ redirect = { to = \"javascript:1\"; }; } )"),
     ERR(4, R1 ".redirect.to: found \"javascript:1\", expected a path or a URL of http or https, "
               "without blanks")},
    {"a redirect with a second header",
     ROUTES("{ redirect = { to = \"/\\r\\nSet-Cookie:a=b\"; }; } )"),
     ERR(4, R1 ".redirect.to: found \"/\\r\\nSet-Cookie:a=b\" (it holds control bytes), expected a "
               "path or a "
               "URL of http or https, without blanks")},
    {"an answer of 100", ROUTES("{ answer = { status = 100; }; } )"),
     ERR(4, R1 ".answer.status: found 100, expected a whole number from 200 to 599")},
    {"a path without its slash", ROUTES("{ path = [ \"/a\",\n \"b\" ]; pool = \"app\"; } )"),
     ERR(5, R1 ".path: found \"b\", expected \"/PREFIX\", \"=/EXACT\" or \"~REGEX\"")},
    {"a path with a query", ROUTES("{ path = \"/a?b=c\"; pool = \"app\"; } )"),
     ERR(4, R1 ".path: found \"/a?b=c\" (a path has no query; `query` matches that), expected "
               "\"/PREFIX\", "
               "\"=/EXACT\" or \"~REGEX\"")},
    {"a host with a port", ROUTES("{ host = \"a.example:80\"; pool = \"app\"; } )"),
     ERR(4, R1 ".host: found \"a.example:80\" (a host is matched without its port), expected a "
               "host without "
               "its port, \"*.SUFFIX\", or \"*\"")},
    {"a host that begins with a dot", ROUTES("{ host = \".a.example\"; pool = \"app\"; } )"),
     ERR(4, R1
         ".host: found \".a.example\" (for every host below it: \"*.a.example\"), expected a host "
         "without its port, \"*.SUFFIX\", or \"*\"")},
    {"a host with a star within", ROUTES("{ host = \"a.*.example\"; pool = \"app\"; } )"),
     ERR(4, R1 ".host: found \"a.*.example\" (a * stands for whole labels at the begin: "
               "\"*.example.com\"), "
               "expected a host without its port, \"*.SUFFIX\", or \"*\"")},
    {"a header's name with a blank", ROUTES("{ header = { name = \"X Y\"; }; pool = \"app\"; } )"),
     ERR(4,
         R1 ".header.name: found \"X Y\", expected a name of letters, digits and !#$%&'*+-.^_`|~")},
    {"a header that only sluice writes",
     ROUTES("{ pool = \"app\"; request_headers = { set = { name = \"content-length\"; value = "
            "\"1\"; }; }; } )"),
     ERR(4, R1 ".request_headers.set.name: found \"content-length\" (it belongs to the connection, "
               "so sluice "
               "writes it itself), expected the name of a header that a route may change")},
    {"a Host that is set as a header",
     ROUTES(
         "{ pool = \"app\"; request_headers = { set = { name = \"Host\"; value = \"1\"; }; }; } )"),
     ERR(4, R1
         ".request_headers.set.name: found \"Host\" (use set_host for it), expected the name of a "
         "header that a route may change")},
    {"a header's value with a line break",
     ROUTES("{ pool = \"app\"; response_headers = { add = { name = \"A\"; value = \"b\\r\\nC: d\"; "
            "}; }; } )"),
     ERR(4, R1 ".response_headers.add.value: found \"b\\r\\nC: d\" (it holds control bytes), "
               "expected a text "
               "with $variables, without control bytes")},
    {"two rewrites of a path",
     ROUTES("{ pool = \"app\"; strip_prefix = \"/a\"; replace_path = \"/b\"; } )"),
     ERR(4, R1 ".replace_path: stands beside strip_prefix: a route has one of them")},
    {"two routes of one name",
     ROUTES(
         "{ name = \"r\"; path = \"/a\"; pool = \"app\"; },\n{ name = \"r\"; pool = \"app\"; } )"),
     ERR(5, "listeners[web].routes[r].name: found \"r\" a second time, expected a name of its own "
            "(first at t.conf:4)")},
    {"a rate without its unit", ROUTES("{ pool = \"app\"; ratelimit = { rate = \"100\"; }; } )"),
     ERR(4, R1 ".ratelimit.rate: found \"100\", expected a rate such as \"100/s\", \"10/m\" or "
               "\"5000/h\"")},
    {"a rate as a number", ROUTES("{ pool = \"app\"; ratelimit = { rate = 100; }; } )"),
     ERR(4, R1
         ".ratelimit.rate: found 100 (a number without a unit), expected a rate such as \"100/s\", "
         "\"10/m\" or \"5000/h\"")},
    {"a rate of nothing", ROUTES("{ pool = \"app\"; ratelimit = { rate = \"0/s\"; }; } )"),
     ERR(4, R1 ".ratelimit.rate: found \"0/s\", expected a rate such as \"100/s\", \"10/m\" or "
               "\"5000/h\"")},
    {"a rate without itself", ROUTES("{ pool = \"app\"; ratelimit = { burst = 1; }; } )"),
     ERR(4, R1
         ".ratelimit.rate: not found, expected a rate such as \"100/s\", \"10/m\" or \"5000/h\"")},
    {"a rate limit's key that is none",
     ROUTES("{ pool = \"app\"; ratelimit = { rate = \"1/s\"; key = \"header:\"; }; } )"),
     ERR(4, R1 ".ratelimit.key: found \"header:\", expected \"source\", \"header:NAME\", "
               "\"cookie:NAME\", "
               "\"path\" or \"route\"")},
    {"a size as a number", "limits = { header_bytes = 32768; };\n" HTTP_POOL HTTP_LISTENER,
     ERR(1, "limits.header_bytes: found 32768 (a number without a unit), expected a size with its "
            "unit, from "
            "\"1k\" to \"65535b\" (b, k, m, g)")},
    {"a size without a unit", "limits = { body_bytes = \"10\"; };\n" HTTP_POOL HTTP_LISTENER,
     ERR(1, "limits.body_bytes: found \"10\" (a number without a unit), expected a size with its "
            "unit, from "
            "\"0\" to \"1024g\" (b, k, m, g); \"0\" is no limit")},
    {"a head of 64k", "limits = { header_bytes = \"64k\"; };\n" HTTP_POOL HTTP_LISTENER,
     ERR(1, "limits.header_bytes: found \"64k\", expected a size with its unit, from \"1k\" to "
            "\"65535b\" (b, k, m, g)")},
    {"a head of 1023 bytes", "limits = { header_bytes = \"1023b\"; };\n" HTTP_POOL HTTP_LISTENER,
     ERR(1, "limits.header_bytes: found \"1023b\", expected a size with its unit, from \"1k\" to "
            "\"65535b\" (b, k, m, g)")},
    {"a hash key without its name",
     HTTP_POOL_WITH("balance = \"hash\"; hash = { key = \"header\"; };") HTTP_LISTENER,
     ERR(2, "pools[app].hash.key: found \"header\" (it needs a name), expected \"source\", "
            "\"path\", \"uri\", "
            "\"host\", \"header:NAME\", \"cookie:NAME\" or \"query:NAME\"")},
    {"a hash key that is none",
     HTTP_POOL_WITH("balance = \"hash\"; hash = { key = \"source:x\"; };") HTTP_LISTENER,
     ERR(2, "pools[app].hash.key: found \"source:x\", expected \"source\", \"path\", \"uri\", "
            "\"host\", "
            "\"header:NAME\", \"cookie:NAME\" or \"query:NAME\"")},
    {"a secret that can be guessed",
     HTTP_POOL_WITH("sticky = { cookie = \"c\"; secret = \"0123456789abcde\"; };") HTTP_LISTENER,
     ERR(2, "pools[app].sticky.secret: found a text of 15 bytes (15 bytes can be guessed), "
            "expected 16 to 1024 bytes")},
    {"a sticky group without its cookie",
     HTTP_POOL_WITH("sticky = { secret = \"0123456789abcdef\"; };") HTTP_LISTENER,
     ERR(2, "pools[app].sticky.cookie: not found, expected a name of letters, digits and "
            "!#$%&'*+-.^_`|~")},
    {"a cookie's age in parts of a second",
     HTTP_POOL_WITH(
         "sticky = { cookie = \"c\"; secret = \"0123456789abcdef\"; max_age = \"1500ms\"; };")
         HTTP_LISTENER,
     ERR(2, "pools[app].sticky.max_age: found \"1500ms\" (not a whole number of seconds), expected "
            "a duration "
            "with its unit, from \"0s\" to \"8760h\" (ms, s, m, h, d)")},
    {"an error page in a text without a file",
     HTTP_POOL HTTP_LISTENER_WITH(
         "pool = \"app\"; error_pages = ( { status = 503; file = \"/etc/passwd\"; } );"),
     ERR(3, "listeners[web].error_pages[#1].file: found \"/etc/passwd\" in a text without a file, "
            "where nothing can be read")},
    {"an error page of a success",
     HTTP_POOL HTTP_LISTENER_WITH(
         "pool = \"app\"; error_pages = ( { status = 200; file = \"a\"; } );"),
     ERR(3, "listeners[web].error_pages[#1].status: found 200, expected a whole number from 400 to "
            "599") ERR(3, "listeners[web].error_pages[#1].file: found \"a\" in a text without a "
                          "file, where nothing can be read")},
    {"a format of mode http for a listener of mode tcp",
     POOL LISTENER_WITH("bind = \"127.0.0.1:80\"; log = { format = \"httplog\"; };"), NULL},
    {"a test without its expectation",
     HTTP_POOL HTTP_LISTENER "tests = ( { request = \"GET http://h/\"; } );\n",
     ERR(3, "tests[#1].expect: not found, expected a group: { name = value; ... }")},
    {"a test that expects nothing",
     HTTP_POOL HTTP_LISTENER "tests = ( { request = \"GET http://h/\"; expect = {}; } );\n",
     ERR(3, "tests[#1].expect: found nothing in it, expected pool, status or location")},
    {"a test of a path",
     HTTP_POOL HTTP_LISTENER "tests = ( { request = \"GET /p\"; expect = { status = 404; }; } );\n",
     ERR(3, "tests[#1].request: found \"GET /p\", expected a method and a URL such as \"GET "
            "http://example.com/path\"")},
    {"a test that expects a pool that is not there",
     HTTP_POOL HTTP_LISTENER
     "tests = ( { request = \"GET http://h/\"; expect = { pool = \"x\"; }; } );\n",
     ERR(3, "tests[#1].expect.pool: found \"x\", which is no pool, expected the name of one")},
    {"a test from a network",
     HTTP_POOL HTTP_LISTENER "tests = ( { request = \"GET http://h/\"; from = \"10.0.0.0/8\"; "
                             "expect = { status = 404; }; } );\n",
     ERR(3, "tests[#1].from: found \"10.0.0.0/8\", expected an address without a port such as "
            "\"10.0.0.1\" or \"::1\"")},
    {"a variable that no request has", ROUTES("{ answer = { body = \"$nonsense_at_all\"; }; } )"),
     NULL},
    {"an expression that does not compile", ROUTES("{ path = \"~(a\"; pool = \"app\"; } )"), NULL},
    {"an expression of a header that does not compile",
     ROUTES("{ header = { name = \"A\"; value = \"~[\"; }; pool = \"app\"; } )"), NULL},
    {"many mistakes of routes",
     ROUTES("{ pool = \"ap\"; },\n{ path = \"x\"; pool = \"app\"; },\n{ } )"),
     ERR(4, R1
         ".pool: found \"ap\", which is no pool, expected the name of one (did you mean \"app\"?)")
         ERR(5, "listeners[web].routes[#2].path: found \"x\", expected \"/PREFIX\", \"=/EXACT\" or "
                "\"~REGEX\"")
             ERR(6, "listeners[web].routes[#3].pool: not found, expected one of pool, "
                    "split, redirect, answer and files")},
};

static const struct mistake warnings[] = {
    {"warning: a route behind one that takes everything",
     ROUTES("{ path = \"/a\"; pool = \"app\"; },\n{ pool = \"app\"; },\n{ name = \"z\"; host = "
            "\"a\"; pool = \"app\"; } )"),
     WARN(6, "listeners[web].routes[z]: is never reached: line 5 matches everything")},
    {"warning: a path of / takes everything too",
     ROUTES("{ host = [ \"a\", \"*\" ]; path = \"/\"; pool = \"app\"; },\n{ path = \"/b\"; pool = "
            "\"app\"; } )"),
     WARN(5, "listeners[web].routes[#2]: is never reached: line 4 matches everything")},
    {"warning: a cookie that is signed at random",
     HTTP_POOL_WITH("sticky = { cookie = \"c\"; };") HTTP_LISTENER,
     WARN(2, "pools[app].sticky: there is no secret, so one is made at random: cookies hold until "
             "the end of "
             "this process, and no other instance knows them")},
    {"warning: a rewrite where nothing is forwarded",
     ROUTES("{ path = \"/a\"; answer = { }; strip_prefix = \"/a\"; },\n{ pool = \"app\"; } )"),
     WARN(4, R1 ".strip_prefix: has no effect beside answer: nothing goes to a backend")},
    {"warning: a split of nothing", ROUTES("{ split = ( { pool = \"app\"; weight = 0; } ); } )"),
     WARN(4, R1 ".split: all weights are 0, so all goes to the first pool")},
    {"warning: a hash key without hash",
     HTTP_POOL_WITH("hash = { key = \"path\"; };") HTTP_LISTENER,
     WARN(2,
          "pools[app].hash.key: found \"path\", which has no effect without balance = \"hash\"")},
};
/* clang-format on */

static void is_refused(void **state)
{
    const struct mistake *m = *state;
    struct strbuf errors = {0};

    if (m->says != NULL) {
        assert_says(m->text, false, m->says);
        return;
    }
    /* The words are others' (templates, expressions), so only the frame is looked at. */
    struct conf *conf = conf_load_text("t.conf", m->text, &errors);
    assert_null(conf);
    assert_int_equal(strncmp(errors.p, "t.conf:", 7), 0);
    assert_non_null(strstr(errors.p, ": error: listeners[web]."));
    assert_ptr_equal(strchr(errors.p, '\n'), errors.p + errors.len - 1);
    strbuf_fini(&errors);
}

static void is_warned_of(void **state)
{
    const struct mistake *m = *state;

    assert_says(m->text, true, m->says);
}

/* Which of several, where in it, and why. */
static void a_bad_expression_is_told_with_its_line_and_offset(void **state)
{
    (void)state;
    struct strbuf errors = {0};

    assert_null(conf_load_text(
        "t.conf", ROUTES("{ path = [ \"/a\",\n \"~^/b(\" ]; pool = \"app\"; } )"), &errors));
    assert_non_null(strstr(errors.p, "t.conf:5: error: " R1 ".path: \"~^/b(\" is no regular "));
    assert_non_null(strstr(errors.p, " at character 5 of "));
    strbuf_fini(&errors);
}

static void an_unknown_variable_is_told_with_what_may_be_meant(void **state)
{
    (void)state;
    struct strbuf errors = {0};

    assert_null(
        conf_load_text("t.conf", ROUTES("{ redirect = { to = \"/$hostt\"; }; } )"), &errors));
    assert_non_null(strstr(errors.p, "t.conf:4: error: " R1 ".redirect.to: "));
    assert_non_null(strstr(errors.p, "hostt"));
    assert_non_null(strstr(errors.p, "did you mean"));
    strbuf_fini(&errors);
}

static void a_global_format_of_http_is_not_for_tcp(void **state)
{
    (void)state;
    struct strbuf errors = {0};
    struct conf *c =
        conf_load_text("t.conf", "log = { format = \"combined\"; };\n" POOL LISTENER, &errors);

    assert_non_null(c);
    assert_non_null(strstr(errors.p, "t.conf:3: warning: listeners[web].mode: "));
    assert_string_equal(c->listeners[0].access_format, "tcplog");
    conf_free(&c);
    strbuf_fini(&errors);
}

int main(void)
{
    enum { N = sizeof(mistakes) / sizeof(*mistakes), W = sizeof(warnings) / sizeof(*warnings) };
#define FILES(test) cmocka_unit_test_setup_teardown(test, make_files, remove_files)
    const struct CMUnitTest more[] = {
        cmocka_unit_test(absent_settings_of_http_have_their_defaults),
        cmocka_unit_test(a_pool_of_a_listener_is_a_route_that_takes_everything),
        cmocka_unit_test(a_route_has_everything_that_it_may_match),
        cmocka_unit_test(actions_are_told_apart),
        cmocka_unit_test(filters_of_a_route_are_read),
        cmocka_unit_test(an_absent_burst_is_a_seconds_worth),
        cmocka_unit_test(users_of_a_route_stand_in_a_file),
        cmocka_unit_test(settings_of_an_http_pool_are_read),
        cmocka_unit_test(peak_ewma_is_a_balance),
        cmocka_unit_test(a_listener_merges_limits_and_timeouts_setting_by_setting),
        cmocka_unit_test(an_http_listener_has_the_longest_tunnel_timeout_of_its_pools),
        cmocka_unit_test(both_modes_stand_in_one_file),
        cmocka_unit_test(tests_are_read),
        cmocka_unit_test(ten_thousand_routes_load),
        cmocka_unit_test(a_configuration_of_http_survives_a_round_trip),
        FILES(error_pages_are_read_beside_the_main_file),
        FILES(an_error_page_that_cannot_be_read_is_an_error),
        FILES(an_error_page_beyond_its_limit_is_an_error),
        FILES(users_are_read_beside_the_main_file),
        FILES(a_file_of_users_that_will_not_do_is_an_error),
        cmocka_unit_test(a_bad_expression_is_told_with_its_line_and_offset),
        cmocka_unit_test(an_unknown_variable_is_told_with_what_may_be_meant),
        cmocka_unit_test(a_global_format_of_http_is_not_for_tcp),
    };
    enum { M = sizeof(more) / sizeof(*more) };
    struct CMUnitTest tests[N + W + M];

    for (size_t i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){mistakes[i].name, is_refused, NULL, NULL,
                                       (void *)(uintptr_t)&mistakes[i]};
    for (size_t i = 0; i < W; i++)
        tests[N + i] = (struct CMUnitTest){warnings[i].name, is_warned_of, NULL, NULL,
                                           (void *)(uintptr_t)&warnings[i]};
    memcpy(tests + N + W, more, sizeof(more));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
