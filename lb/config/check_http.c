/* check_http.c - what mode http asks beyond check.c: pools, and the routes of listeners with their
 * actions, rewrites, filters and error pages. */
#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/base/named_file.h"
#include "lb/config/check_priv.h"
#include "lb/files/file_plan.h"
#include "lb/filter/filter.h"
#include "lb/route/route.h"

#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- pools ---- */

/* uwsgi and SCGI carry one request a connection; of FastCGI's, see the setting's help. */
static void check_cgi(const struct check *c, uint32_t p)
{
    struct pool_conf *pool = &c->own->conf.pools[p];
    bool fastcgi = pool->protocol == PROTOCOL_FASTCGI, cgi = protocol_is_cgi(pool->protocol);
    const char *need = "protocol = \"fastcgi\"", *need_any = "protocol = \"fastcgi\", \"uwsgi\" or "
                                                             "\"scgi\"";

    check_idle(c, p, "cgi.script", fastcgi, need);
    check_idle(c, p, "cgi.index", fastcgi, need);
    check_idle(c, p, "cgi.split", fastcgi, need);
    check_idle(c, p, "cgi.root", cgi, need_any);
    check_idle(c, p, "cgi.buffer", cgi, need_any);
    check_idle(c, p, "cgi.mount", cgi && !fastcgi, "protocol = \"uwsgi\" or \"scgi\"");
    if (pool->http.cgi.n_params > 0 && !cgi)
        pool_warning(c, p, "cgi.params", "has no effect without %s", need_any);
    if (!cgi)
        return;
    if (check_member(check_pool_setting(c, p), "reuse") == NULL)
        pool->http.reuse = REUSE_NEVER;
    else if (!fastcgi && pool->http.reuse != REUSE_NEVER)
        pool_warning(c, p, "reuse",
                     "has no effect: a connection in this protocol carries one request");
}

void check_http_pool(const struct check *c, uint32_t p)
{
    const struct pool_conf *pool = &c->own->conf.pools[p];

    if (pool->mode == MODE_HTTP)
        check_cgi(c, p);
    if (pool->mode == MODE_TCP && pool->hash_key != HASH_SOURCE)
        pool_error(c, p, "hash.key",
                   "found a key of requests, expected \"source\" in mode \"tcp\"");
    bool route = pool->http.sticky != NULL && pool->http.sticky->route;
    if (route && (pool->http.sticky->secret != NULL || pool->http.sticky->max_age_s > 0))
        pool_warning(c, p, "sticky", "secret and max_age have no effect with route = true");
    if (pool->http.sticky != NULL && pool->http.sticky->cookie != NULL && !route &&
        pool->http.sticky->secret == NULL &&
        check_member(check_member(check_pool_setting(c, p), "sticky"), "secret") == NULL)
        pool_warning(c, p, "sticky",
                     "there is no secret, so one is made at random: cookies hold until the end of "
                     "this process, and no other instance knows them");
}

/* ---- files ---- */

char *check_absolute(const struct check *c, char *file)
{
    if (file == NULL || file[0] == '/' || c->own->dir == NULL)
        return file;
    char *path = xasprintf("%s%s", c->own->dir, file);
    char *copy = conf_arena_str(&c->own->arena, str_of(path));
    free(path);
    return copy;
}

/* 0 or -errno; -EFBIG for more than an error page can be. Only a plain file: a pipe would block. */
static int read_page(const char *path, struct strbuf *out)
{
    int fd = named_file_open(path, O_NOCTTY | O_NONBLOCK);
    struct stat st;
    int err = 0;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) != 0)
        err = -errno;
    else if (!S_ISREG(st.st_mode))
        err = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    while (err == 0) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            err = -errno;
        else if (n > 0 && out->len + (size_t)n > LIMIT_ERROR_PAGE)
            err = -EFBIG;
        else if (n > 0)
            strbuf_add(out, chunk, (size_t)n);
    }
    close(fd);
    return err;
}

static const char *type_of(const char *file)
{
    static const struct {
        const char *ending, *type;
    } types[] = {{".html", "text/html; charset=utf-8"},
                 {".htm", "text/html; charset=utf-8"},
                 {".json", "application/json"}};
    size_t len = strlen(file);

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        size_t n = strlen(types[i].ending);
        if (len > n && strcmp(file + len - n, types[i].ending) == 0)
            return types[i].type;
    }
    return "text/plain; charset=utf-8";
}

static void load_error_page(const struct check *c, uint32_t listener, uint32_t index)
{
    struct listener_conf *l = &c->own->conf.listeners[listener];
    struct error_page_conf *page = &l->http.error_pages[index];
    const config_setting_t *setting =
        check_element(check_listener_setting(c, listener), "error_pages", index);
    char *list = xasprintf("listeners[%s].error_pages", l->name);
    char name[16];
    struct strbuf body = {0};

    snprintf(name, sizeof(name), "#%u", index + 1);
    for (uint32_t i = 0; i < index; i++)
        if (page->status != 0 && l->http.error_pages[i].status == page->status)
            check_tell(c, PROBLEM_ERROR, setting, list, name, "status",
                       "found %u a second time, expected each status once", page->status);
    if (page->file != NULL && c->own->dir == NULL) {
        check_tell(c, PROBLEM_ERROR, setting, list, name, "file",
                   "found \"%s\" in a text without a file, where nothing can be read", page->file);
    } else if (page->file != NULL) {
        page->file = check_absolute(c, page->file);
        int err = read_page(page->file, &body);
        if (err == -EFBIG)
            check_tell(c, PROBLEM_ERROR, setting, list, name, "file",
                       "found \"%s\", which is larger than %d bytes, expected a short page",
                       page->file, LIMIT_ERROR_PAGE);
        else if (err < 0)
            check_tell(c, PROBLEM_ERROR, setting, list, name, "file",
                       "found \"%s\", which cannot be read: %s, expected a plain file", page->file,
                       err == -EINVAL ? "it is none" : strerror(-err));
        page->body = conf_arena_str(&c->own->arena, strbuf_str(&body));
        page->body_len = (uint32_t)body.len;
        page->type = type_of(page->file);
    }
    strbuf_fini(&body);
    free(list);
}

/* ---- routes ---- */

/* The route at hand. */
struct route_check {
    const struct check *c;
    uint32_t listener, index;
    struct http_route_conf *conf;
    const config_setting_t *setting;
    char *list;                     /* listeners[web].routes */
    char label[LIMIT_NAME_LEN + 1]; /* its name, or #2 */
};

#define route_error(r, what, ...)                                                                  \
    check_tell((r)->c, PROBLEM_ERROR, (r)->setting, (r)->list, (r)->label, what, __VA_ARGS__)
#define route_warning(r, what, ...)                                                                \
    check_tell((r)->c, PROBLEM_WARNING, (r)->setting, (r)->list, (r)->label, what, __VA_ARGS__)

static void check_split(const struct route_check *r)
{
    struct route_conf *conf = &r->conf->route;
    char *list = xasprintf("%s[%s].split", r->list, r->label);
    uint32_t sum = 0;

    for (uint32_t i = 0; i < conf->n_split; i++) {
        struct route_split_conf *part = &conf->split[i];
        const config_setting_t *setting = check_element(r->setting, "split", i);
        char name[16];
        snprintf(name, sizeof(name), "#%u", i + 1);
        sum += part->weight;
        if (part->pool_name != NULL && check_find_pool(r->c, setting, list, name, "pool",
                                                       part->pool_name, MODE_HTTP, &part->pool))
            check_loop(r->c, r->listener, part->pool, setting, list, name);
    }
    if (sum == 0 && conf->n_split > 0)
        route_warning(r, "split", "all weights are 0, so all goes to the first pool");
    free(list);
}

/* A directory that is not there yet may come: a warning. */
static void check_root(const struct route_check *r, const char *root)
{
    struct stat st;

    if (r->c->own->dir == NULL) /* a text from memory makes us look at nothing */
        return;
    if (stat(root, &st) < 0)
        route_warning(r, "files.root", "found \"%s\": %s; until it is there all is answered 404",
                      root, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        route_error(r, "files.root", "found \"%s\", which is no directory", root);
}

static void check_files(const struct route_check *r)
{
    struct route_conf *conf = &r->conf->route;
    struct files_conf *files = conf->files;
    const char *error = NULL, *pool;
    uint32_t at = 0;

    if (files->root == NULL)
        return; /* said already */
    files->root = check_absolute(r->c, files->root);
    check_root(r, files->root);
    struct file_plan *plan = file_plan_new(files, &at, &error);
    if (plan == NULL)
        route_error(r, "files.try", "found \"%s\": %s", files->tries[at], error);
    file_plan_free(&plan);
    pool = files->n_tries > 0 ? file_try_pool(files->tries[files->n_tries - 1]) : NULL;
    if (pool == NULL)
        return;
    conf->files_pool = pool;
    if (check_find_pool(r->c, r->setting, r->list, r->label, "files.try", pool, MODE_HTTP,
                        &conf->pool))
        check_loop(r->c, r->listener, conf->pool, r->setting, r->list, r->label);
}

/* Exactly one; what was mistaken counts, its mistake is said. */
static void check_action(const struct route_check *r)
{
    static const struct {
        const char *setting;
        enum route_action action;
    } actions[] = {{"pool", ROUTE_POOL},
                   {"split", ROUTE_SPLIT},
                   {"redirect", ROUTE_REDIRECT},
                   {"answer", ROUTE_ANSWER},
                   {"files", ROUTE_FILES}};
    struct route_conf *conf = &r->conf->route;
    const char *given = NULL;

    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (check_member(r->setting, actions[i].setting) == NULL)
            continue;
        if (given != NULL) {
            route_error(r, actions[i].setting,
                        "found beside %s, expected one of pool, split, redirect, answer and files",
                        given);
            return;
        }
        given = actions[i].setting;
        conf->action = actions[i].action;
    }
    if (given == NULL)
        route_error(r, "pool",
                    "not found, expected one of pool, split, redirect, answer and files");
    if (given != NULL && conf->action == ROUTE_POOL && conf->pool_name != NULL &&
        check_find_pool(r->c, r->setting, r->list, r->label, "pool", conf->pool_name, MODE_HTTP,
                        &conf->pool))
        check_loop(r->c, r->listener, conf->pool, r->setting, r->list, r->label);
    if (given != NULL && conf->action == ROUTE_SPLIT)
        check_split(r);
    if (given != NULL && conf->action == ROUTE_FILES && conf->files != NULL)
        check_files(r);
}

static void check_rewrites(const struct route_check *r)
{
    static const char *const needs_pool[] = {"strip_prefix", "replace_path", "set_host",
                                             "request_headers"};
    const struct route_conf *conf = &r->conf->route;

    if (conf->action != ROUTE_REDIRECT && conf->action != ROUTE_ANSWER)
        return;
    for (size_t i = 0; i < ARRAY_LEN(needs_pool); i++)
        if (check_member(r->setting, needs_pool[i]) != NULL)
            route_warning(r, needs_pool[i], "has no effect beside %s: nothing goes to a backend",
                          conf->action == ROUTE_REDIRECT ? "redirect" : "answer");
}

/* Filters name the setting themselves, or the file that they read. */
static void filter_problem(const struct route_check *r, const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz_.");
    bool named = len > 0 && len < 64 && strncmp(text + len, ": ", 2) == 0;
    char setting[64] = "auth.basic.file";

    if (named)
        snprintf(setting, sizeof(setting), "%.*s", (int)len, text);
    route_error(r, setting, "%s", text + (named ? len + 2 : 0));
}

static bool are_whole(const struct header_set_conf *headers, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (headers[i].name == NULL || headers[i].value == NULL)
            return false;
    return true;
}

/* What only filters know of their settings. Makes them, but for those that take much memory. A text
 * from memory makes us open no file. */
static void try_filters(const struct route_check *r)
{
    struct filters_conf f = r->conf->filters;
    struct filter_chain chain;
    const char *error = NULL;

    f.ratelimit = NULL;
    if (f.basic_auth != NULL &&
        (r->c->own->dir == NULL || f.basic_auth->file == NULL || f.basic_auth->realm == NULL))
        f.basic_auth = NULL;
    if (!are_whole(f.request_headers.set, f.request_headers.n_set) ||
        !are_whole(f.request_headers.add, f.request_headers.n_add) ||
        !are_whole(f.response_headers.set, f.response_headers.n_set) ||
        !are_whole(f.response_headers.add, f.response_headers.n_add))
        return; /* said already */
    if (filter_chain_make(&f, &chain, &error) < 0)
        filter_problem(r, error);
    else
        filter_chain_fini(&chain);
}

static void fill_filters(const struct route_check *r)
{
    struct filters_conf *f = &r->conf->filters;

    if (f->basic_auth != NULL)
        f->basic_auth->file = check_absolute(r->c, f->basic_auth->file);
    try_filters(r);
    if (f->ratelimit != NULL && f->ratelimit->burst == 0 && f->ratelimit->per_ms > 0) {
        uint64_t second = (uint64_t)f->ratelimit->n * 1000 / f->ratelimit->per_ms;
        f->ratelimit->burst = second > 0 ? (uint32_t)second : 1;
    }
}

static void begin_route(struct route_check *r, uint32_t index)
{
    const config_setting_t *listener = check_listener_setting(r->c, r->listener);

    r->index = index;
    r->conf = &r->c->own->conf.listeners[r->listener].http.routes[index];
    r->setting = check_element(listener, "routes", index);
    if (r->conf->route.name != NULL)
        snprintf(r->label, sizeof(r->label), "%s", r->conf->route.name);
    else
        snprintf(r->label, sizeof(r->label), "#%u", index + 1);
}

/* ---- what only the table of routes knows: expressions, paths, templates ---- */

struct compile {
    struct route_check *route;
    const uint32_t *indexes; /* of those that are compiled */
};

static void compile_problem(void *arg, uint32_t index, const char *setting, uint32_t at,
                            const char *text)
{
    const struct compile *compile = arg;
    struct route_check *r = compile->route;

    begin_route(r, compile->indexes[index]);
    const config_setting_t *list = check_member(r->setting, setting);
    bool in_list = list != NULL && config_setting_is_aggregate(list) && at < UINT16_MAX &&
                   (int)at < config_setting_length(list) && !config_setting_is_group(list);
    char *path = xasprintf("%s[%s].%s", r->list, r->label, setting);
    problems_add(r->c->problems, PROBLEM_ERROR,
                 in_list ? check_line(config_setting_get_elem(list, at), "")
                         : check_line(r->setting, setting),
                 path, "%s", text);
    free(path);
}

static bool are_named(const struct route_cond_conf *conds, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (conds[i].name == NULL)
            return false;
    return true;
}

/* Only what is whole is compiled: of the others some mistakes are said already. */
static void compile_routes(struct route_check *r)
{
    const struct listener_conf *l = &r->c->own->conf.listeners[r->listener];
    const struct route_conf **routes = xcalloc(l->http.n_routes + 1, sizeof(*routes));
    uint32_t *indexes = xcalloc(l->http.n_routes + 1, sizeof(*indexes)), n = 0;
    struct compile compile = {r, indexes};

    for (uint32_t i = 0; i < l->http.n_routes; i++) {
        const struct route_conf *route = &l->http.routes[i].route;
        if (!are_named(route->headers, route->n_headers) ||
            !are_named(route->cookies, route->n_cookies) ||
            !are_named(route->queries, route->n_queries))
            continue;
        indexes[n] = i;
        routes[n++] = route;
    }
    struct route_table *table =
        route_table_new(routes, n, l->http.keep_encoded_slash, compile_problem, &compile);
    route_table_free(&table);
    free(routes);
    free(indexes);
}

/* ---- all routes ---- */

static bool any_is(char *const *texts, uint32_t n, const char *text)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(texts[i], text) == 0)
            return true;
    return n == 0;
}

static bool takes_all(const struct route_conf *r)
{
    return any_is(r->hosts, r->n_hosts, "*") && any_is(r->paths, r->n_paths, "/") &&
           r->n_methods == 0 && r->n_headers == 0 && r->n_cookies == 0 && r->n_queries == 0 &&
           r->n_from == 0;
}

static void warn_unreachable(const struct route_check *r, const struct route_conf *all)
{
    char *path = xasprintf("%s[%s]", r->list, r->label);

    problems_add(r->c->problems, PROBLEM_WARNING, check_line(r->setting, ""), path,
                 "is never reached: line %d matches everything", all->line);
    free(path);
}

static void check_route_names(const struct check *c, uint32_t i)
{
    const struct listener_conf *l = &c->own->conf.listeners[i];
    struct named *items = xcalloc(l->http.n_routes + 1, sizeof(*items));
    char *prefix = xasprintf("listeners[%s].routes", l->name);

    for (uint32_t k = 0; k < l->http.n_routes; k++) {
        const struct route_conf *route = &l->http.routes[k].route;
        items[k] = (struct named){route->name, {route->file, (uint32_t)route->line}, k};
    }
    check_names(c, items, l->http.n_routes, prefix, check_listener_setting(c, i), "routes");
    free(prefix);
    free(items);
}

static void check_routes(const struct check *c, uint32_t i)
{
    struct listener_conf *l = &c->own->conf.listeners[i];
    struct route_check r = {.c = c, .listener = i};
    const struct route_conf *all = NULL; /* takes every request */

    r.list = xasprintf("listeners[%s].routes", l->name);
    for (uint32_t k = 0; k < l->http.n_routes; k++) {
        begin_route(&r, k);
        if (!config_setting_is_group(r.setting))
            continue; /* said already */
        check_action(&r);
        check_rewrites(&r);
        fill_filters(&r);
        if (all != NULL &&
            c->problems->errors == 0) /* what was not understood matches everything */
            warn_unreachable(&r, all);
        else if (takes_all(&r.conf->route))
            all = &r.conf->route;
    }
    check_route_names(c, i);
    compile_routes(&r);
    free(r.list);
}

/* ---- listeners ---- */

/* pool stands for one route that takes all requests. */
static void route_to_pool(const struct check *c, uint32_t i)
{
    struct listener_conf *l = &c->own->conf.listeners[i];
    const config_setting_t *setting = check_listener_setting(c, i);
    struct conf_place place = conf_source_place(c->problems->source, check_line(setting, "pool"));
    struct http_route_conf *route = conf_arena_alloc(&c->own->arena, sizeof(*route));

    route->route.action = ROUTE_POOL;
    route->route.pool_name = l->pool_name;
    route->route.file = place.file;
    route->route.line = (int)place.line;
    if (check_find_pool(c, setting, "listeners", l->name, "pool", l->pool_name, MODE_HTTP,
                        &route->route.pool))
        check_loop(c, i, route->route.pool, setting, "listeners", l->name);
    l->pool_name = NULL;
    l->http.routes = route;
    l->http.n_routes = 1;
}

static uint32_t longer_tunnel(const struct check *c, uint32_t pool, uint32_t ms)
{
    const struct pool_conf *p = &c->own->conf.pools[pool];

    return p->tunnel_timeout_ms > ms ? p->tunnel_timeout_ms : ms;
}

/* Of upgraded connections: the longest of the pools, so that none is cut before its pool says so.
 */
static void merge_tunnel_timeout(const struct check *c, struct listener_conf *l)
{
    uint32_t ms = 0;

    if (l->tunnel_timeout_ms != 0 || c->own->conf.n_pools == 0)
        return;
    for (uint32_t i = 0; i < l->http.n_routes; i++) {
        const struct route_conf *route = &l->http.routes[i].route;
        if (route->action == ROUTE_POOL && route->pool_name != NULL)
            ms = longer_tunnel(c, route->pool, ms);
        for (uint32_t k = 0; k < route->n_split; k++)
            ms = longer_tunnel(c, route->split[k].pool, ms);
    }
    l->tunnel_timeout_ms = ms > 0 ? ms : c->own->tunnel_timeout_ms;
}

void check_http_listener(const struct check *c, uint32_t i)
{
    struct listener_conf *l = &c->own->conf.listeners[i];
    const config_setting_t *setting = check_listener_setting(c, i);
    bool routes = check_member(setting, "routes") != NULL;
    bool pool = check_member(setting, "pool") != NULL;

    bool redirect = l->http.redirect_https != 0;

    if (routes && pool)
        listener_error(c, i, "pool", "found beside routes, expected one of the two");
    else if (pool && redirect)
        listener_error(c, i, "redirect_https",
                       "found beside pool, which takes all requests, expected one of the two");
    else if (!routes && !pool && !redirect)
        listener_error(c, i, "routes", "not found, expected routes, or pool for all requests");
    else if (routes)
        check_routes(c, i);
    else if (l->pool_name != NULL)
        route_to_pool(c, i);
    merge_tunnel_timeout(c, l);
    for (uint32_t k = 0; k < l->http.n_error_pages; k++)
        load_error_page(c, i, k);
    check_https(c, i);
}
