/* fuzz_route.c - requests of any bytes against fixed rules. The input's lines: host, path, query, a
 * field's value. Lookup and trace agree, captures are slices of the path, and what rewrites and
 * redirects make has no control bytes and stays on its host. */
#include "lb/http/uri.h"
#include "lb/route/rewrite.h"
#include "lb/route/route.h"
#include "tests/support/http_request.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIST(...)                                                                                  \
    (char *[])                                                                                     \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define T(text) ((char *)(text))

static struct route_cond_conf header_cond = {T("x-a"), T("~^(a|b)+c")};
static struct route_cond_conf cookie_cond = {T("c"), T("1")};
static struct route_cond_conf query_cond = {T("q"), T("~(x+)+y$")};

static const struct route_conf confs[] = {
    {.hosts = LIST(T("a.example"), T("*.b")), .n_hosts = 2, .paths = LIST(T("=/x")), .n_paths = 1},
    {.paths = LIST(T("~^/u/([^/]+)/(.*)$")),
     .n_paths = 1,
     .replace_path = T("/users/$2/$1/$header_x_a")},
    {.paths = LIST(T("~(a+)+b"), T("~(.*)(.*)(.*)z$")), .n_paths = 2, .set_host = T("i.$1")},
    {.hosts = LIST(T("*.a.b")), .n_hosts = 1, .paths = LIST(T("/p/"), T("/q")), .n_paths = 2},
    {.headers = &header_cond, .n_headers = 1, .strip_prefix = T("/v1")},
    {.cookies = &cookie_cond, .n_cookies = 1, .paths = LIST(T("/a/a")), .n_paths = 1},
    {.queries = &query_cond, .n_queries = 1},
    {.paths = LIST(T("~^/r/(.*)")),
     .n_paths = 1,
     .action = ROUTE_REDIRECT,
     .redirect = {T("https://good.example$1"), 302}},
    {.paths = LIST(T("~^/s(.*)")),
     .n_paths = 1,
     .action = ROUTE_REDIRECT,
     .redirect = {T("/$1$query_q"), 302}},
    {.paths = LIST(T("/t")), .n_paths = 1, .action = ROUTE_REDIRECT, .redirect = {T("$uri"), 302}},
    {.hosts = LIST(T("*")),
     .n_hosts = 1,
     .paths = LIST(T("/v1")),
     .n_paths = 1,
     .strip_prefix = T("/v1")},
};

static struct route_table *table;
static struct route_scratch *scratch;

static void build(void)
{
    const struct route_conf *list[ARRAY_LEN(confs)];

    for (size_t i = 0; i < ARRAY_LEN(confs); i++)
        list[i] = &confs[i];
    table = route_table_new(list, ARRAY_LEN(confs), false, NULL, NULL);
    scratch = route_scratch_new();
    sl_assert(table != NULL);
}

static void on_trace(void *arg, uint32_t index, bool hit, const char *why)
{
    uint32_t *next = arg;
    sl_assert(index == (*next)++);
    sl_assert(hit == (why[0] == '\0'));
}

static void check_clean(const char *out, int len)
{
    for (int i = 0; i < len; i++)
        sl_assert((unsigned char)out[i] >= ' ' && out[i] != 0x7f);
}

static void check_actions(uint32_t rule, struct http_vars *vars)
{
    static char out[ROUTE_TEXT_MAX];
    const struct route_rewrite *w = route_rewrite(table, rule);

    if (confs[rule].action == ROUTE_REDIRECT) {
        int len = route_redirect_to(w, vars, out, sizeof(out));
        sl_assert(len > 0 || len == -EMSGSIZE);
        check_clean(out, len);
        if (len > 0 && confs[rule].redirect.to[0] != 'h')
            sl_assert(out[0] == '/' && (len < 2 || (out[1] != '/' && out[1] != '\\')));
        else if (len > 0)
            sl_assert(len == 20 || memchr("/?#", out[20], 3) != NULL); /* https://good.example */
        return;
    }
    int len = route_rewrite_path(w, scratch, vars, out, sizeof(out));
    sl_assert(len > 0 || len == -EMSGSIZE || len == -EBADMSG);
    if (len > 0) {
        struct uri_path normal;
        static char buf[ROUTE_TEXT_MAX];
        check_clean(out, len);
        sl_assert(str_eq_cstr(vars->path, "*") ||
                  (uri_normalise((struct str){out, (size_t)len}, false, buf, &normal) == URI_OK &&
                   str_eq(normal.text, (struct str){out, (size_t)len})));
    }
    if (!route_rewrites_host(w))
        return;
    len = route_rewrite_host(w, vars, out, sizeof(out));
    check_clean(out, len);
}

static void ask(struct str host, struct str path, struct str query, const char *value)
{
    struct http_request request;
    struct route_match match = {.n_captures = 0}, traced = {.n_captures = 0};
    uint32_t next = 0;

    http_request_init(&request, "GET");
    http_request_field(&request, "X-A", value);
    http_request_field(&request, "Cookie", value);
    struct route_request q = {.head = &request.head, .host = host, .path = path, .query = query};
    uint32_t rule = route_find(table, scratch, &q, &match);
    sl_assert(route_trace(table, scratch, &q, on_trace, &next, &traced) == rule);
    sl_assert(next == (rule == ROUTE_NONE ? ARRAY_LEN(confs) : rule + 1));
    if (rule == ROUTE_NONE)
        return;
    sl_assert(match.n_captures == traced.n_captures);
    struct http_vars vars = {.request = &request.head,
                             .scheme = STR("http"),
                             .host = host,
                             .path = path,
                             .query = query};
    for (uint32_t i = 0; i < match.n_captures; i++) {
        struct str c = match.captures[i];
        sl_assert(str_eq(c, traced.captures[i]));
        sl_assert(c.len == 0 || (c.p >= path.p && c.p + c.len <= path.p + path.len));
        vars.captures[i] = c;
    }
    check_actions(rule, &vars);
}

static struct str cut_line(struct str *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->p, '\n', rest->len) : NULL;
    struct str line = {rest->p, end != NULL ? (size_t)(end - rest->p) : rest->len};
    size_t used = line.len + (end != NULL);

    *rest = (struct str){rest->p + used, rest->len - used};
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char buf[1 << 16];
    struct str rest = {size > 0 ? (const char *)data : "", size < sizeof(buf) ? size : sizeof(buf)};
    struct str host = cut_line(&rest), raw = cut_line(&rest), query = cut_line(&rest);
    char value[256] = "";
    struct uri_path path;

    if (table == NULL)
        build();
    memcpy(value, rest.len > 0 ? rest.p : "", rest.len < 255 ? rest.len : 255);
    if (str_eq_cstr(raw, "*"))
        ask(host, raw, query, value);
    else if (uri_normalise(raw, false, buf, &path) == URI_OK)
        ask(host, path.text, query, value);
    return 0;
}
