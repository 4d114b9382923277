/* check.c - see check.h. One function per promise; each finds its lines in the parsed settings. */
#include "lb/config/check.h"

#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/config/problems.h"
#include "lb/config/scan.h"
#include "lb/config/suggest.h"
#include "lb/config/value.h"

#include <libconfig.h>
#include <stdlib.h>

struct check {
    struct conf_own *own;
    const config_setting_t *root;
    struct problems *problems;
};

/* ---- places ---- */

/* The i-th element of a list of groups at the top; stats may be a single group. */
static const config_setting_t *element(const config_setting_t *group, const char *list, uint32_t i)
{
    const config_setting_t *s = config_setting_get_member((config_setting_t *)group, list);

    return s == NULL || config_setting_is_group(s) ? s : config_setting_get_elem(s, i);
}

/* The setting at a path below group, or the nearest one around it that was written. */
static uint32_t line_of(const config_setting_t *group, const char *path)
{
    const config_setting_t *s = group;

    for (struct str rest = str_of(path); rest.len > 0 && config_setting_is_group(s);) {
        struct str name = str_word(&rest, ".");
        char text[64];
        snprintf(text, sizeof(text), STR_FMT, STR_ARG(name));
        const config_setting_t *inner = config_setting_get_member((config_setting_t *)s, text);
        if (inner == NULL)
            break;
        s = inner;
    }
    return ((const struct scan_node *)config_setting_get_hook(s))->line;
}

static const config_setting_t *pool_setting(const struct check *c, uint32_t i)
{
    return element(c->root, "pools", i);
}

static const config_setting_t *listener_setting(const struct check *c, uint32_t i)
{
    return element(c->root, "listeners", i);
}

/* A remark on one setting of a pool or listener. */
static void say(const struct check *c, enum problem_kind kind, const config_setting_t *group,
                const char *list, const char *name, const char *setting, const char *fmt, ...)
    PRINTF_LIKE(7, 8);
static void say(const struct check *c, enum problem_kind kind, const config_setting_t *group,
                const char *list, const char *name, const char *setting, const char *fmt, ...)
{
    struct strbuf text = {0};
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    char *path = xasprintf("%s[%s].%s", list, name, setting);
    problems_add(c->problems, kind, line_of(group, setting), path, "%s", text.p);
    free(path);
    strbuf_fini(&text);
}

#define pool_error(c, i, setting, ...)                                                             \
    say(c, PROBLEM_ERROR, pool_setting(c, i), "pools", (c)->own->conf.pools[i].name, setting,      \
        __VA_ARGS__)
#define pool_warning(c, i, setting, ...)                                                           \
    say(c, PROBLEM_WARNING, pool_setting(c, i), "pools", (c)->own->conf.pools[i].name, setting,    \
        __VA_ARGS__)
#define listener_error(c, i, setting, ...)                                                         \
    say(c, PROBLEM_ERROR, listener_setting(c, i), "listeners", (c)->own->conf.listeners[i].name,   \
        setting, __VA_ARGS__)
#define listener_warning(c, i, setting, ...)                                                       \
    say(c, PROBLEM_WARNING, listener_setting(c, i), "listeners", (c)->own->conf.listeners[i].name, \
        setting, __VA_ARGS__)

/* ---- names ---- */

struct named {
    const char *name; /* NULL: its name was mistaken, said already */
    struct conf_place place;
    uint32_t index;
};

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order;

    if (x->name == NULL || y->name == NULL)
        order = (x->name != NULL) - (y->name != NULL);
    else
        order = strcmp(x->name, y->name);
    if (order != 0)
        return order;
    return x->index < y->index ? -1 : 1;
}

/* prefix: how the list is called in messages, "pools[app].backends". */
static void check_names(const struct check *c, struct named *items, uint32_t n, const char *prefix,
                        const config_setting_t *group, const char *list)
{
    if (n > 1)
        qsort(items, n, sizeof(*items), by_name);
    for (uint32_t i = 1; i < n; i++) {
        const struct named *a = &items[i - 1], *b = &items[i];
        if (a->name == NULL || strcmp(a->name, b->name) != 0)
            continue;
        char *path = xasprintf("%s[%s].name", prefix, b->name);
        problems_add(c->problems, PROBLEM_ERROR, line_of(element(group, list, b->index), "name"),
                     path,
                     "found \"%s\" a second time, expected a name of its own (first at %s:%u)",
                     b->name, a->place.file, a->place.line);
        free(path);
    }
}

static void check_pool_names(const struct check *c)
{
    const struct conf *conf = &c->own->conf;
    struct named *items = xcalloc(conf->n_pools + 1, sizeof(*items));

    for (uint32_t i = 0; i < conf->n_pools; i++)
        items[i] = (struct named){
            conf->pools[i].name, {conf->pools[i].file, (uint32_t)conf->pools[i].line}, i};
    check_names(c, items, conf->n_pools, "pools", c->root, "pools");
    free(items);
}

static void check_listener_names(const struct check *c)
{
    const struct conf *conf = &c->own->conf;
    struct named *items = xcalloc(conf->n_listeners + 1, sizeof(*items));

    for (uint32_t i = 0; i < conf->n_listeners; i++)
        items[i] = (struct named){conf->listeners[i].name,
                                  {conf->listeners[i].file, (uint32_t)conf->listeners[i].line},
                                  i};
    check_names(c, items, conf->n_listeners, "listeners", c->root, "listeners");
    free(items);
}

static void check_backend_names(const struct check *c, uint32_t p)
{
    const struct pool_conf *pool = &c->own->conf.pools[p];
    struct named *items = xcalloc(pool->n_backends + 1, sizeof(*items));

    for (uint32_t i = 0; i < pool->n_backends; i++)
        items[i] = (struct named){
            pool->backends[i].name, {pool->backends[i].file, (uint32_t)pool->backends[i].line}, i};
    char *prefix = xasprintf("pools[%s].backends", pool->name);
    check_names(c, items, pool->n_backends, prefix, pool_setting(c, p), "backends");
    free(prefix);
    free(items);
}

/* ---- the whole process ---- */

static void check_drain(const struct check *c)
{
    const struct conf *conf = &c->own->conf;
    struct strbuf delay = {0}, deadline = {0};

    if (conf->drain.delay_ms <= conf->drain.deadline_ms)
        return;
    value_print_duration(conf->drain.delay_ms, &delay);
    value_print_duration(conf->drain.deadline_ms, &deadline);
    problems_add(c->problems, PROBLEM_ERROR, line_of(c->root, "drain.delay"), "drain.delay",
                 "found \"%s\", expected at most drain.deadline, which is \"%s\"", delay.p,
                 deadline.p);
    strbuf_fini(&delay);
    strbuf_fini(&deadline);
}

static void check_totals(const struct check *c)
{
    const struct conf *conf = &c->own->conf;
    uint64_t backends = 0;

    for (uint32_t i = 0; i < conf->n_pools; i++)
        backends += conf->pools[i].n_backends;
    if (backends > LIMIT_BACKENDS)
        problems_add(c->problems, PROBLEM_ERROR, line_of(c->root, "pools"), "pools",
                     "found %llu backends in all, expected at most %d",
                     (unsigned long long)backends, LIMIT_BACKENDS);
}

/* ---- addresses in conflict ---- */

struct bound {
    struct addr addr;
    const char *text; /* as written */
    const char *list, *name, *setting;
    uint32_t line;
    uint32_t order; /* in the file's lists: the later one is the mistake */
};

static bool is_wildcard(const struct addr *a)
{
    if (addr_family(a) == AF_INET)
        return a->in.sin_addr.s_addr == htonl(INADDR_ANY);
    return addr_family(a) == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

/* Family and port first, wildcards before the addresses they cover, equal ones side by side. */
static int by_address(const void *a, const void *b)
{
    const struct bound *x = a, *y = b;
    int order = addr_family(&x->addr) - addr_family(&y->addr);

    if (order == 0)
        order = (int)addr_port(&x->addr) - (int)addr_port(&y->addr);
    if (order == 0)
        order = (int)is_wildcard(&y->addr) - (int)is_wildcard(&x->addr);
    if (order == 0)
        order = (x->addr.len > y->addr.len) - (x->addr.len < y->addr.len);
    if (order == 0)
        order = memcmp(&x->addr.sa, &y->addr.sa, x->addr.len);
    return order != 0 ? order : x->order < y->order ? -1 : 1;
}

static void conflict(const struct check *c, const struct bound *a, const struct bound *b)
{
    const struct bound *first = a->order < b->order ? a : b, *second = first == a ? b : a;
    struct conf_place place = conf_source_place(c->problems->source, first->line);
    bool same = addr_eq(&a->addr, &b->addr);
    struct strbuf path = {0}, found = {0};

    strbuf_addf(&path, "%s", second->list);
    if (second->name != NULL)
        strbuf_addf(&path, "[%s]", second->name);
    strbuf_addf(&path, ".%s", second->setting);
    value_print_string(str_of(second->text), true, &found);
    problems_add(c->problems, PROBLEM_ERROR, second->line, path.p,
                 "found %s, expected an address of its own (%s%s%s \"%s\" at %s:%u %s)", found.p,
                 first->list, first->name != NULL ? " " : "",
                 first->name != NULL ? first->name : "", first->text, place.file, place.line,
                 same                        ? "has the same"
                 : is_wildcard(&first->addr) ? "covers it"
                                             : "is covered by it");
    strbuf_fini(&path);
    strbuf_fini(&found);
}

static uint32_t collect_binds(const struct check *c, struct bound *out)
{
    const struct conf *conf = &c->own->conf;
    uint32_t n = 0;

    for (uint32_t i = 0; i < conf->n_stats; i++) {
        struct addr_spec spec;
        const char *ignored, *path = conf->stats[i].socket;
        char *text = path != NULL ? xasprintf("unix:%s", path) : NULL;
        if (text != NULL && addr_parse(str_of(text), false, false, &spec, &ignored) == 0) {
            out[n] = (struct bound){spec.addr, path, "stats", NULL, "socket", 0, n};
            out[n++].line = line_of(element(c->root, "stats", i), "socket");
        }
        free(text);
    }
    for (uint32_t i = 0; i < conf->n_listeners; i++) {
        const struct listener_conf *l = &conf->listeners[i];
        const config_setting_t *setting = listener_setting(c, i);
        const config_setting_t *bind =
            l->n_binds > 0 ? config_setting_get_member((config_setting_t *)setting, "bind") : NULL;
        for (uint32_t b = 0; b < l->n_binds; b++) {
            out[n] = (struct bound){
                l->binds[b].addr, l->bind_texts[b], "listeners", l->name, "bind", 0, n};
            out[n++].line = config_setting_is_aggregate(bind)
                                ? line_of(config_setting_get_elem(bind, b), "")
                                : line_of(bind, "");
        }
    }
    return n;
}

static void check_binds(const struct check *c)
{
    const struct conf *conf = &c->own->conf;
    size_t max = conf->n_stats;

    for (uint32_t i = 0; i < conf->n_listeners; i++)
        max += conf->listeners[i].n_binds;
    struct bound *binds = xcalloc(max + 1, sizeof(*binds));
    uint32_t n = collect_binds(c, binds);
    const struct bound *wildcard = NULL; /* of the family and port at hand */

    if (n > 1)
        qsort(binds, n, sizeof(*binds), by_address);
    for (uint32_t i = 0; i < n; i++) {
        const struct bound *b = &binds[i];
        if (wildcard != NULL && (addr_family(&wildcard->addr) != addr_family(&b->addr) ||
                                 addr_port(&wildcard->addr) != addr_port(&b->addr)))
            wildcard = NULL;
        if (i > 0 && addr_eq(&binds[i - 1].addr, &b->addr))
            conflict(c, &binds[i - 1], b);
        else if (wildcard != NULL)
            conflict(c, wildcard, b);
        if (wildcard == NULL && is_wildcard(&b->addr))
            wildcard = b;
    }
    free(binds);
}

/* ---- pools ---- */

/* Settings that do nothing where they stand. Only values that differ from the default are worth a
 * word: -T writes all of them. */
static void check_idle(const struct check *c, uint32_t p, const char *setting, bool works,
                       const char *needs)
{
    const struct pool_conf *pool = &c->own->conf.pools[p];
    struct strbuf value = {0}, def = {0};
    char *path = xasprintf("pools.%s", setting);
    const struct schema_row *row = schema_at(path);

    if (!works && value_print(row, pool, &value)) {
        if (row->def != NULL)
            value_print_text(row, row->def, &def);
        if (!str_eq(strbuf_str(&value), strbuf_str(&def)))
            pool_warning(c, p, setting, "found %s, which has no effect without %s", value.p, needs);
    }
    strbuf_fini(&value);
    strbuf_fini(&def);
    free(path);
}

static void check_idle_settings(const struct check *c, uint32_t p)
{
    const struct pool_conf *pool = &c->own->conf.pools[p];
    bool tcp = pool->health.type == CHECK_TYPE_TCP, http = pool->health.type == CHECK_TYPE_HTTP;
    const char *need_tcp = "health.type = \"tcp\"", *need_http = "health.type = \"http\"";
    const char *need_check = "health.type = \"tcp\" or \"http\"";

    check_idle(c, p, "hash.load_bound", pool->balance.kind == BALANCE_HASH, "balance = \"hash\"");
    check_idle(c, p, "health.send", tcp, need_tcp);
    check_idle(c, p, "health.expect", tcp, need_tcp);
    check_idle(c, p, "health.method", http, need_http);
    check_idle(c, p, "health.path", http, need_http);
    check_idle(c, p, "health.host", http, need_http);
    check_idle(c, p, "health.status", http, need_http);
    check_idle(c, p, "health.body", http, need_http);
    check_idle(c, p, "health.address", tcp || http, need_check);
    check_idle(c, p, "health.port", tcp || http, need_check);
}

static void check_health(const struct check *c, uint32_t p)
{
    struct health_conf *h = &c->own->conf.pools[p].health;

    if (h->interval_changing_ms == 0)
        h->interval_changing_ms = h->interval_ms;
    if (h->interval_down_ms == 0)
        h->interval_down_ms = h->interval_ms;
    if (h->type == CHECK_TYPE_HTTP && h->body != NULL && strcmp(h->method, "HEAD") == 0)
        pool_error(c, p, "health.body",
                   "found beside method = \"HEAD\", expected a method whose answer has a body");
    if (h->port != 0 && h->address.len > 0 && addr_family(&h->address) == AF_UNIX)
        pool_error(c, p, "health.port",
                   "found %u beside a unix socket as health.address, expected one of the two",
                   h->port);
}

static void check_weights(const struct check *c, uint32_t p)
{
    const struct pool_conf *pool = &c->own->conf.pools[p];

    for (uint32_t i = 0; i < pool->n_backends; i++)
        if (pool->backends[i].weight > 0)
            return;
    if (pool->n_backends > 0)
        pool_warning(c, p, "backends", "all backends have weight 0, so none gets a connection");
}

static void check_pool(const struct check *c, uint32_t p)
{
    if (c->own->conf.pools[p].name == NULL)
        return; /* its mistakes are said; without a name there is no way to speak of others */
    check_backend_names(c, p);
    check_idle_settings(c, p);
    check_health(c, p);
    check_weights(c, p);
}

/* ---- listeners ---- */

/* False when there is no such pool. */
static bool find_pool(const struct check *c, const char *name, uint32_t *out_index)
{
    const struct conf *conf = &c->own->conf;

    for (uint32_t i = 0; i < conf->n_pools; i++)
        if (conf->pools[i].name != NULL && strcmp(conf->pools[i].name, name) == 0) {
            *out_index = i;
            return true;
        }
    return false;
}

static void unknown_pool(const struct check *c, uint32_t i)
{
    const struct conf *conf = &c->own->conf;
    struct strbuf hint = {0};
    struct suggest suggest;

    suggest_begin(&suggest, str_of(conf->listeners[i].pool_name));
    for (uint32_t p = 0; p < conf->n_pools; p++)
        if (conf->pools[p].name != NULL)
            suggest_offer(&suggest, conf->pools[p].name);
    suggest_print(&suggest, &hint);
    listener_error(c, i, "pool", "found \"%s\", which is no pool, expected the name of one%s",
                   conf->listeners[i].pool_name, hint.len > 0 ? hint.p : "");
    strbuf_fini(&hint);
}

static bool is_loopback(const struct addr *a)
{
    if (addr_family(a) == AF_INET)
        return ntohl(a->in.sin_addr.s_addr) >> 24 == 127;
    return addr_family(a) == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

/* Whether a connection to `to` comes out at `bind` for sure. */
static bool leads_to(const struct addr *to, const struct addr *bind)
{
    if (addr_eq(to, bind))
        return true;
    return addr_family(to) == addr_family(bind) && addr_port(to) == addr_port(bind) &&
           is_wildcard(bind) && is_loopback(to);
}

/* A backend that is the listener itself makes every connection a storm. */
static void check_loop(const struct check *c, uint32_t i, const struct pool_conf *pool)
{
    const struct listener_conf *l = &c->own->conf.listeners[i];

    for (uint32_t b = 0; b < l->n_binds; b++)
        for (uint32_t k = 0; k < pool->n_backends; k++) {
            const struct addr *to = &pool->backends[k].address.addr;
            if (to->len > 0 && pool->backends[k].name != NULL && leads_to(to, &l->binds[b].addr)) {
                listener_error(c, i, "pool",
                               "found \"%s\", whose backend \"%s\" is this listener's own address "
                               "%s, expected another",
                               pool->name, pool->backends[k].name, l->bind_texts[b]);
                return;
            }
        }
}

static void check_listener_limits(const struct check *c, uint32_t i)
{
    const struct listener_conf *l = &c->own->conf.listeners[i];
    uint32_t process = c->own->conf.max_connections;

    if (process > 0 && l->max_connections > process)
        listener_warning(
            c, i, "limits.connections",
            "found %u, which is never reached: the process has limits.connections = %u",
            l->max_connections, process);
    if (l->max_connections > 0 && l->max_per_source > l->max_connections)
        listener_warning(
            c, i, "limits.per_source",
            "found %u, which is never reached: the listener has limits.connections = %u",
            l->max_per_source, l->max_connections);
}

static void check_listener(const struct check *c, uint32_t i, bool *pool_used)
{
    struct conf *conf = &c->own->conf;
    struct listener_conf *l = &conf->listeners[i];
    bool known = l->pool_name != NULL && find_pool(c, l->pool_name, &l->pool);

    if (known)
        pool_used[l->pool] = true;
    if (l->tunnel_timeout_ms == 0)
        l->tunnel_timeout_ms =
            known ? conf->pools[l->pool].tunnel_timeout_ms : c->own->tunnel_timeout_ms;
    if (l->name == NULL)
        return;
    if (known)
        check_loop(c, i, &conf->pools[l->pool]);
    else if (l->pool_name != NULL)
        unknown_pool(c, i);
    if (l->n_proxy_from > 0 && l->proxy_protocol == PROXY_OFF)
        listener_error(c, i, "proxy_from",
                       "found networks, but proxy_protocol is \"off\", expected \"v1\", \"v2\" or "
                       "\"any\" there");
    check_listener_limits(c, i);
}

/* ---- all of it ---- */

void check_conf(struct conf_own *own, const config_setting_t *root, struct problems *problems)
{
    struct check c = {own, root, problems};
    struct conf *conf = &own->conf;
    bool *pool_used = xcalloc(conf->n_pools + 1, sizeof(*pool_used));

    check_drain(&c);
    check_totals(&c);
    check_pool_names(&c);
    check_listener_names(&c);
    check_binds(&c);
    for (uint32_t i = 0; i < conf->n_pools; i++)
        check_pool(&c, i);
    for (uint32_t i = 0; i < conf->n_listeners; i++)
        check_listener(&c, i, pool_used);
    /* With mistakes elsewhere a listener may be missing; only a sound file is told this. */
    for (uint32_t i = 0; i < conf->n_pools && problems->errors == 0; i++)
        if (!pool_used[i])
            pool_warning(&c, i, "name", "no listener uses this pool");
    free(pool_used);
}
