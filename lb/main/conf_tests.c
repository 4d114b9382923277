/* conf_tests.c - see conf_tests.h. What becomes of a request is decided as lb/proxy does, by the
 * same parser and the same table of routes; balancing and backends do not come into it. */
#include "lb/main/conf_tests.h"

#include "lb/base/alloc.h"
#include "lb/config/conf.h"
#include "lb/http/h1_parse.h"
#include "lb/http/uri.h"
#include "lb/route/rewrite.h"
#include "lb/route/route.h"

#include <stdio.h>
#include <stdlib.h>

struct tester {
    const struct conf *conf;
    struct route_table **tables; /* per listener; made when first asked */
    struct route_scratch *scratch;
};

/* One request and what became of it. */
struct trial {
    const struct conf_test *test;
    const struct listener_conf *listener;
    struct strbuf text; /* the request as it would arrive */
    struct http_head head;
    struct http_field fields[128];
    struct str scheme, url_host, port, host;
    struct addr client;
    const struct http_route_conf *route; /* NULL: none */
    uint32_t status;                     /* 0: it goes to a pool */
    struct strbuf location;
    const char *why; /* of a refusal */
};

/* ---- the request ---- */

static bool port_is_bound(const struct listener_conf *l, struct str port)
{
    uint64_t number;

    for (uint32_t i = 0; i < l->n_binds; i++)
        if (str_u64(port, 65535, &number) == 0 && addr_port(&l->binds[i].addr) == number)
            return true;
    return false;
}

/* The one that has the URL's port; else, as ports are often mapped, the first of mode http. */
static const struct listener_conf *find_listener(const struct conf *conf, struct str port)
{
    const struct listener_conf *first = NULL;

    for (uint32_t i = 0; i < conf->n_listeners; i++) {
        const struct listener_conf *l = &conf->listeners[i];
        if (l->mode == MODE_HTTP && port_is_bound(l, port))
            return l;
        if (l->mode == MODE_HTTP && first == NULL)
            first = l;
    }
    return first;
}

/* "GET http://host:80/path" as a client would send it. */
static bool write_request(struct trial *t)
{
    struct str rest = str_of(t->test->request), method = str_word(&rest, " ");
    bool tls = str_starts(str_trim(rest), STR("https://"));
    struct str url = str_trim(rest), host;

    t->scheme = tls ? STR("https") : STR("http");
    url = (struct str){url.p + t->scheme.len + 3, url.len - t->scheme.len - 3};
    size_t n = 0;
    while (n < url.len && url.p[n] != '/' && url.p[n] != '?' && url.p[n] != '#')
        n++;
    struct str authority = {url.p, n}, target = {url.p + n, url.len - n};
    const char *slash = target.len == 0 || target.p[0] == '?' ? "/" : "";
    strbuf_addf(&t->text, STR_FMT " %s" STR_FMT " HTTP/1.1\r\nHost: " STR_FMT "\r\n",
                STR_ARG(method), slash, STR_ARG(target), STR_ARG(authority));
    for (uint32_t i = 0; i < t->test->n_headers; i++)
        strbuf_addf(&t->text, "%s\r\n", t->test->headers[i]);
    strbuf_add_cstr(&t->text, "\r\n");
    if (!uri_authority(authority, &host, &t->port))
        return false;
    if (t->port.len == 0)
        t->port = tls ? STR("443") : STR("80");
    return true;
}

static void lower_host(struct trial *t, char out[256])
{
    struct str host = STR(""), port;

    if (t->head.authority.len > 0 &&
        !uri_authority(http_str(&t->head, t->head.authority), &host, &port))
        host = STR("");
    if (host.len > 1 && host.p[host.len - 1] == '.')
        host.len--;
    if (host.len > 255)
        host.len = 255;
    for (size_t i = 0; i < host.len; i++)
        out[i] = (char)(host.p[i] >= 'A' && host.p[i] <= 'Z' ? host.p[i] + 32 : host.p[i]);
    t->host = (struct str){out, host.len};
}

/* ---- what becomes of it ---- */

static bool is_in(const struct addr_net *nets, uint32_t n, const struct addr *a)
{
    for (uint32_t i = 0; i < n; i++)
        if (addr_net_contains(&nets[i], a))
            return true;
    return false;
}

static bool is_denied(const struct access_conf *a, const struct addr *client)
{
    return is_in(a->deny, a->n_deny, client) ||
           (a->n_allow > 0 && !is_in(a->allow, a->n_allow, client));
}

static void refuse(struct trial *t, uint32_t status, const char *why)
{
    t->status = status;
    t->why = why;
}

static void redirect(struct trial *t, const struct route_rewrite *w, const struct http_vars *vars)
{
    char *to = xmalloc(ROUTE_TEXT_MAX);
    int n = route_redirect_to(w, vars, to, ROUTE_TEXT_MAX);

    if (n >= 0)
        strbuf_add(&t->location, to, (size_t)n);
    t->status = n >= 0 ? t->route->route.redirect.status : 400;
    free(to);
}

static void follow(struct trial *t, const struct route_table *table, uint32_t index,
                   const struct route_request *r, const struct route_match *match)
{
    char client[ADDR_TEXT_MAX];
    struct http_vars vars = {.request = &t->head,
                             .client_ip = str_of(addr_format_host(&t->client, client)),
                             .scheme = t->scheme,
                             .host = t->host,
                             .port = t->port,
                             .path = r->path,
                             .query = r->query,
                             .listener = str_of(t->listener->name)};

    t->route = &t->listener->http.routes[index];
    vars.peer_ip = vars.client_ip;
    for (uint32_t i = 0; i < match->n_captures; i++)
        vars.captures[i] = match->captures[i];
    if (is_denied(&t->route->filters.access, &t->client))
        refuse(t, 403, "access");
    else if (t->route->filters.basic_auth != NULL &&
             http_find(&t->head, HTTP_AUTHORIZATION, NULL) == NULL)
        refuse(t, 401, "auth");
    else if (t->route->route.action == ROUTE_REDIRECT)
        redirect(t, route_rewrite(table, index), &vars);
    else if (t->route->route.action == ROUTE_ANSWER)
        t->status = t->route->route.answer.status;
}

static struct route_table *table_of(struct tester *tester, const struct listener_conf *l)
{
    struct route_table **table = &tester->tables[l - tester->conf->listeners];

    if (*table == NULL) {
        const struct route_conf **routes = xcalloc(l->http.n_routes + 1, sizeof(*routes));
        for (uint32_t i = 0; i < l->http.n_routes; i++)
            routes[i] = &l->http.routes[i].route;
        *table = route_table_new(routes, l->http.n_routes, l->http.keep_encoded_slash, NULL, NULL);
        sl_assert(*table != NULL); /* it was made once when the configuration was checked */
        free(routes);
    }
    return *table;
}

static void try_it(struct tester *tester, struct trial *t)
{
    const struct http_listener_conf *http = &t->listener->http;
    struct h1_limits limits = {.head_bytes = http->head_bytes,
                               .target_bytes = http->head_bytes,
                               .fields = (uint16_t)http->fields};
    struct h1_parser parser = {0};
    struct route_match match = {0};
    struct uri_path path;
    char host[256];

    if (limits.fields > ARRAY_LEN(t->fields))
        limits.fields = ARRAY_LEN(t->fields);
    t->head.fields = t->fields;
    t->head.max_fields = ARRAY_LEN(t->fields);
    enum h1_result result =
        t->text.len > HTTP_HEAD_BYTES_MAX
            ? H1_HEAD_TOO_LARGE
            : h1_parse_request(&parser, t->text.p, (uint32_t)t->text.len, &limits, &t->head);
    if (result != H1_DONE) {
        refuse(t, result == H1_MORE ? 400 : h1_result_status(result), h1_result_code(result));
        return;
    }
    if (t->head.method == HTTP_CONNECT) {
        refuse(t, 405, "connect");
        return;
    }
    struct str raw = http_str(&t->head, t->head.path);
    char *buf = xmalloc(raw.len + 1);
    enum uri_result normal = uri_normalise(raw, http->keep_encoded_slash, buf, &path);
    lower_host(t, host);
    struct route_request r = {.head = &t->head, .host = t->host, .client = &t->client};
    if (normal == URI_OK) {
        struct route_table *table = table_of(tester, t->listener);
        r.path = path.text;
        r.query = t->head.has_query ? http_str(&t->head, t->head.query) : STR("");
        uint32_t index = route_find(table, tester->scratch, &r, &match);
        if (index == ROUTE_NONE)
            refuse(t, 404, "no route");
        else
            follow(t, table, index, &r, &match);
    } else {
        refuse(t, 400, uri_result_code(normal));
    }
    free(buf);
}

/* ---- was it right? ---- */

static bool goes_to(const struct trial *t, const char *pool)
{
    const struct route_conf *r = t->route != NULL ? &t->route->route : NULL;

    if (r == NULL || t->status != 0)
        return false;
    if (r->action == ROUTE_POOL)
        return strcmp(r->pool_name, pool) == 0;
    for (uint32_t i = 0; i < r->n_split; i++)
        if (r->split[i].weight > 0 && strcmp(r->split[i].pool_name, pool) == 0)
            return true;
    return false;
}

static void describe(const struct trial *t, struct strbuf *out)
{
    if (t->status != 0)
        strbuf_addf(out, "status %u", t->status);
    else
        route_describe_action(&t->route->route, out);
    if (t->why != NULL)
        strbuf_addf(out, " (%s)", t->why);
    if (t->location.len > 0)
        strbuf_addf(out, " to %s", t->location.p);
    if (t->route != NULL)
        strbuf_addf(out, ", by the route at %s:%d", t->route->route.file, t->route->route.line);
    else
        strbuf_addf(out, ", on listener %s", t->listener->name);
}

static void fail(const struct trial *t, uint32_t index, const char *setting, const char *expected,
                 struct strbuf *errors)
{
    strbuf_addf(errors, "%s:%d: error: tests[#%u].expect.%s: \"%s\" gets ", t->test->file,
                t->test->line, index + 1, setting, t->test->request);
    describe(t, errors);
    strbuf_addf(errors, ", expected %s\n", expected);
}

static bool is_right(const struct trial *t, uint32_t index, struct strbuf *errors)
{
    const struct conf_test *test = t->test;
    char status[16];

    snprintf(status, sizeof(status), "%u", test->status);
    if (test->pool_name != NULL && !goes_to(t, test->pool_name))
        fail(t, index, "pool", test->pool_name, errors);
    else if (test->status != 0 && t->status != test->status)
        fail(t, index, "status", status, errors);
    else if (test->location != NULL &&
             (t->location.p == NULL || strcmp(t->location.p, test->location) != 0))
        fail(t, index, "location", test->location, errors);
    else
        return true;
    return false;
}

static bool run_one(struct tester *tester, uint32_t index, struct strbuf *errors)
{
    struct trial *t = xcalloc(1, sizeof(*t));
    struct addr_spec loopback;
    const char *ignored;

    t->test = &tester->conf->tests[index];
    t->client = t->test->from;
    if (t->client.len == 0 &&
        addr_parse(STR("127.0.0.1:1"), false, false, &loopback, &ignored) == 0)
        t->client = loopback.addr;
    bool good = false;
    if (!write_request(t)) {
        strbuf_addf(errors, "%s:%d: error: tests[#%u].request: \"%s\" has no good host\n",
                    t->test->file, t->test->line, index + 1, t->test->request);
    } else if ((t->listener = find_listener(tester->conf, t->port)) == NULL) {
        strbuf_addf(errors, "%s:%d: error: tests[#%u]: there is no listener of mode \"http\"\n",
                    t->test->file, t->test->line, index + 1);
    } else {
        try_it(tester, t);
        good = is_right(t, index, errors);
    }
    strbuf_fini(&t->text);
    strbuf_fini(&t->location);
    free(t);
    return good;
}

uint32_t conf_tests_run(const struct conf *conf, struct strbuf *errors)
{
    struct tester tester = {.conf = conf};
    uint32_t failed = 0;

    if (conf->n_tests == 0)
        return 0;
    tester.tables = xcalloc(conf->n_listeners + 1, sizeof(struct route_table *));
    tester.scratch = route_scratch_new();
    for (uint32_t i = 0; i < conf->n_tests; i++)
        failed += !run_one(&tester, i, errors);
    for (uint32_t i = 0; i < conf->n_listeners; i++)
        route_table_free(&tester.tables[i]);
    route_scratch_free(&tester.scratch);
    free(tester.tables);
    return failed;
}
