/* check.c - see check.h. One function per promise; each finds its lines in the parsed settings. */
#include "lb/config/check.h"

#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/base/suggest.h"
#include "lb/config/check_priv.h"
#include "lb/config/scan.h"
#include "lb/config/value.h"
#include "lb/net/tls.h"
#include "lb/net/tls_conf.h"
#include "lb/obs/access_log.h"

#include <libconfig.h>
#include <stdlib.h>

/* ---- places ---- */

const config_setting_t *check_member(const config_setting_t *group, const char *name)
{
    return config_setting_get_member((config_setting_t *)group, name);
}

const config_setting_t *check_element(const config_setting_t *group, const char *list, uint32_t i)
{
    const config_setting_t *s = check_member(group, list);

    return s == NULL || config_setting_is_group(s) ? s : config_setting_get_elem(s, i);
}

uint32_t check_line(const config_setting_t *group, const char *path)
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

const config_setting_t *check_pool_setting(const struct check *c, uint32_t i)
{
    return check_element(c->root, "pools", i);
}

const config_setting_t *check_listener_setting(const struct check *c, uint32_t i)
{
    return check_element(c->root, "listeners", i);
}

void check_tell(const struct check *c, enum problem_kind kind, const config_setting_t *group,
                const char *list, const char *name, const char *setting, const char *fmt, ...)
{
    struct strbuf text = {0};
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    char *path = xasprintf("%s[%s].%s", list, name, setting);
    problems_add(c->problems, kind, check_line(group, setting), path, "%s", text.p);
    free(path);
    strbuf_fini(&text);
}

/* ---- names ---- */

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
    return (x->index > y->index) - (x->index < y->index);
}

void check_names(const struct check *c, struct named *items, uint32_t n, const char *prefix,
                 const config_setting_t *group, const char *list)
{
    if (n > 1)
        qsort(items, n, sizeof(*items), by_name);
    for (uint32_t i = 1; i < n; i++) {
        const struct named *a = &items[i - 1], *b = &items[i];
        if (a->name == NULL || strcmp(a->name, b->name) != 0)
            continue;
        char *path = xasprintf("%s[%s].name", prefix, b->name);
        problems_add(c->problems, PROBLEM_ERROR,
                     check_line(check_element(group, list, b->index), "name"), path,
                     "found \"%s\" a second time, expected a name of its own (first at %s:%u)",
                     b->name, a->place.file, a->place.line);
        free(path);
    }
}

static void check_pool_names(struct check *c)
{
    const struct conf *conf = &c->own->conf;
    struct named *items = xcalloc(conf->n_pools + 1, sizeof(*items));

    for (uint32_t i = 0; i < conf->n_pools; i++)
        items[i] = (struct named){
            conf->pools[i].name, {conf->pools[i].file, (uint32_t)conf->pools[i].line}, i};
    check_names(c, items, conf->n_pools, "pools", c->root, "pools");
    c->pools = items;
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
    check_names(c, items, pool->n_backends, prefix, check_pool_setting(c, p), "backends");
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
    problems_add(c->problems, PROBLEM_ERROR, check_line(c->root, "drain.delay"), "drain.delay",
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
        problems_add(c->problems, PROBLEM_ERROR, check_line(c->root, "pools"), "pools",
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
    bool dgram;     /* its ports are others than those of connections */
};

/* Family and port first, wildcards before the addresses they cover, equal ones side by side. */
static int by_address(const void *a, const void *b)
{
    const struct bound *x = a, *y = b;
    int order = addr_family(&x->addr) - addr_family(&y->addr);

    if (order == 0)
        order = (int)x->dgram - (int)y->dgram;
    if (order == 0)
        order = (int)addr_port(&x->addr) - (int)addr_port(&y->addr);
    if (order == 0)
        order = (int)addr_is_any(&y->addr) - (int)addr_is_any(&x->addr);
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
                 : addr_is_any(&first->addr) ? "covers it"
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
            out[n] = (struct bound){spec.addr, path, "stats", NULL, "socket", 0, n, false};
            out[n++].line = check_line(check_element(c->root, "stats", i), "socket");
        }
        free(text);
    }
    if (conf->admin != NULL && conf->admin->bind != NULL) {
        struct addr_spec spec;
        const char *ignored;
        if (addr_parse(str_of(conf->admin->bind), false, true, &spec, &ignored) == 0) {
            out[n] =
                (struct bound){spec.addr, conf->admin->bind, "admin", NULL, "bind", 0, n, false};
            out[n++].line = check_line(c->root, "admin.bind");
        }
    }
    for (uint32_t i = 0; i < conf->n_listeners; i++) {
        const struct listener_conf *l = &conf->listeners[i];
        const config_setting_t *setting = check_listener_setting(c, i);
        const config_setting_t *bind =
            l->n_binds > 0 ? config_setting_get_member((config_setting_t *)setting, "bind") : NULL;
        for (uint32_t b = 0; b < l->n_binds; b++) {
            out[n] = (struct bound){
                l->binds[b].addr,   l->bind_texts[b], "listeners", l->name, "bind", 0, n,
                l->mode == MODE_UDP};
            out[n++].line = config_setting_is_aggregate(bind)
                                ? check_line(config_setting_get_elem(bind, b), "")
                                : check_line(bind, "");
        }
    }
    return n;
}

static void check_binds(const struct check *c)
{
    const struct conf *conf = &c->own->conf;
    size_t max = conf->n_stats + 1;

    for (uint32_t i = 0; i < conf->n_listeners; i++)
        max += conf->listeners[i].n_binds;
    struct bound *binds = xcalloc(max + 1, sizeof(*binds));
    uint32_t n = collect_binds(c, binds);
    const struct bound *wildcard = NULL; /* of the family and port at hand */

    if (n > 1)
        qsort(binds, n, sizeof(*binds), by_address);
    for (uint32_t i = 0; i < n; i++) {
        const struct bound *b = &binds[i];
        if (wildcard != NULL &&
            (addr_family(&wildcard->addr) != addr_family(&b->addr) || wildcard->dgram != b->dgram ||
             addr_port(&wildcard->addr) != addr_port(&b->addr)))
            wildcard = NULL;
        if (i > 0 && binds[i - 1].dgram == b->dgram && addr_eq(&binds[i - 1].addr, &b->addr))
            conflict(c, &binds[i - 1], b);
        else if (wildcard != NULL)
            conflict(c, wildcard, b);
        if (wildcard == NULL && addr_is_any(&b->addr))
            wildcard = b;
    }
    free(binds);
}

/* ---- pools ---- */

/* Only values that differ from the default are worth a word: -T writes all of them. */
void check_idle(const struct check *c, uint32_t p, const char *setting, bool works,
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
    bool bytes = pool->health.type == CHECK_TYPE_TCP || pool->health.type == CHECK_TYPE_UDP,
         http = check_type_asks(pool->health.type);
    const char *need_bytes = "health.type = \"tcp\" or \"udp\"",
               *need_http = "health.type = \"http\", \"fastcgi\", \"uwsgi\" or \"scgi\"";
    const char *need_check = "a health.type other than \"none\"";
    bool any = pool->health.type != CHECK_TYPE_NONE;

    check_idle(c, p, "hash.key", pool->balance.kind == BALANCE_HASH, "balance = \"hash\"");
    check_idle(c, p, "hash.load_bound", pool->balance.kind == BALANCE_HASH, "balance = \"hash\"");
    check_idle(c, p, "health.send", bytes, need_bytes);
    check_idle(c, p, "health.expect", bytes, need_bytes);
    check_idle(c, p, "health.method", http, need_http);
    check_idle(c, p, "health.path", http, need_http);
    check_idle(c, p, "health.host",
               http || pool->health.type == CHECK_TYPE_SMTP ||
                   pool->health.type == CHECK_TYPE_DNS || pool->health.type == CHECK_TYPE_GRPC,
               need_http);
    if (pool->agent != NULL && pool->agent->port == 0 && pool->agent->address.len == 0)
        pool_error(c, p, "agent.port", "not found, expected where the agents listen (or address)");
    check_idle(c, p, "health.command", pool->health.type == CHECK_TYPE_EXEC,
               "health.type = \"exec\"");
    check_idle(c, p, "health.service", pool->health.type == CHECK_TYPE_GRPC,
               "health.type = \"grpc\"");
    check_idle(c, p, "health.status", http, need_http);
    check_idle(c, p, "health.body", http, need_http);
    bool role = check_type_knows_role(pool->health.type);
    bool sql = role && pool->health.type != CHECK_TYPE_REDIS;
    const char *need_role = "health.type = \"postgres\", \"mysql\" or \"redis\"";
    check_idle(c, p, "health.role", role, need_role);
    check_idle(c, p, "health.user", role, need_role);
    check_idle(c, p, "health.password", role, need_role);
    check_idle(c, p, "health.database", sql, "health.type = \"postgres\" or \"mysql\"");
    check_idle(c, p, "health.address", any, need_check);
    check_idle(c, p, "health.port", any, need_check);
}

static void check_program(const struct check *c, uint32_t p)
{
    const struct health_conf *h = &c->own->conf.pools[p].health;

    if (h->type != CHECK_TYPE_EXEC)
        return;
    if (!c->own->conf.hardening.exec)
        pool_error(c, p, "health.type",
                   "found \"exec\", expected hardening = { exec = true; } with it: no program is "
                   "run without that");
    if (h->n_command == 0)
        pool_error(c, p, "health.command",
                   "not found, expected the program to run and its arguments");
    else if (h->command[0][0] != '/')
        pool_error(c, p, "health.command",
                   "found \"%s\", expected a whole path such as \"/usr/%s\"", h->command[0],
                   "local/bin/check-app");
}

static void check_health(const struct check *c, uint32_t p)
{
    struct health_conf *h = &c->own->conf.pools[p].health;

    if (h->interval_changing_ms == 0)
        h->interval_changing_ms = h->interval_ms;
    if (h->interval_down_ms == 0)
        h->interval_down_ms = h->interval_ms;
    if (check_type_asks(h->type) && h->body != NULL && strcmp(h->method, "HEAD") == 0)
        pool_error(c, p, "health.body",
                   "found beside method = \"HEAD\", expected a method whose answer has a body");
    if (h->role != CHECK_ROLE_ANY && h->user == NULL &&
        (h->type == CHECK_TYPE_POSTGRES || h->type == CHECK_TYPE_MYSQL))
        pool_error(c, p, "health.role",
                   "found without health.user, expected one: the role is told to users only");
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

static bool is_unix(const struct backend_conf *b)
{
    return b->address.addr.len > 0 && addr_family(&b->address.addr) == AF_UNIX;
}

static void check_udp_pool(const struct check *c, uint32_t p)
{
    struct pool_conf *pool = &c->own->conf.pools[p];
    const config_setting_t *health = check_member(check_pool_setting(c, p), "health");
    struct health_conf *h = &pool->health;

    for (uint32_t i = 0; i < pool->n_backends && pool->mode == MODE_UDP; i++)
        if (is_unix(&pool->backends[i]))
            pool_error(c, p, "backends",
                       "found the unix socket of \"%s\", expected addresses with ports in mode "
                       "\"udp\"",
                       pool->backends[i].name);
    if (pool->mode == MODE_UDP && pool->hash_key != HASH_SOURCE)
        pool_error(c, p, "hash.key",
                   "found a key of requests, expected \"source\" in mode \"udp\"");
    /* Connecting says nothing of who takes datagrams only. */
    if (pool->mode == MODE_UDP && (health == NULL || check_member(health, "type") == NULL) &&
        h->port == 0 && h->address.len == 0)
        h->type = CHECK_TYPE_NONE;
    if (h->type == CHECK_TYPE_UDP && h->send == NULL)
        pool_error(c, p, "health.send", "not found, expected the datagram that is answered");
    if (h->type == CHECK_TYPE_DNS && h->host != NULL && !check_dns_is_name(str_of(h->host)))
        pool_error(c, p, "health.host", "found \"%s\", expected the name to ask for", h->host);
    if (check_type_is_dgram(h->type) && pool->mode != MODE_UDP)
        pool_error(c, p, "health.type", "found a check by datagrams, expected it in mode \"udp\"");
    if (check_type_is_dgram(h->type) && h->address.len > 0 && addr_family(&h->address) == AF_UNIX)
        pool_error(c, p, "health.address",
                   "found a unix socket, expected an address with a port for this check");
}

static void check_pool(const struct check *c, uint32_t p)
{
    if (c->own->conf.pools[p].name == NULL)
        return; /* its mistakes are said; without a name there is no way to speak of others */
    check_backend_names(c, p);
    check_udp_pool(c, p);
    check_idle_settings(c, p);
    check_health(c, p);
    check_program(c, p);
    check_weights(c, p);
    check_http_pool(c, p);
    check_tls_pool(c, p);
}

/* ---- listeners ---- */

static void unknown_pool(const struct check *c, const config_setting_t *group, const char *list,
                         const char *name, const char *setting, const char *pool_name)
{
    const struct conf *conf = &c->own->conf;
    struct strbuf hint = {0};
    struct suggest suggest;

    suggest_begin(&suggest, str_of(pool_name));
    for (uint32_t p = 0; p < conf->n_pools; p++)
        if (conf->pools[p].name != NULL)
            suggest_offer(&suggest, conf->pools[p].name);
    suggest_print(&suggest, &hint);
    check_tell(c, PROBLEM_ERROR, group, list, name, setting,
               "found \"%s\", which is no pool, expected the name of one%s", pool_name,
               hint.len > 0 ? hint.p : "");
    strbuf_fini(&hint);
}

static int name_against(const void *key, const void *item)
{
    const struct named *named = item;

    return named->name == NULL ? 1 : strcmp(key, named->name);
}

bool check_find_pool(const struct check *c, const config_setting_t *group, const char *list,
                     const char *name, const char *setting, const char *pool_name,
                     enum pool_mode mode, uint32_t *out_index)
{
    static const char *const modes[] = {
        [MODE_TCP] = "tcp", [MODE_HTTP] = "http", [MODE_UDP] = "udp"};
    const struct conf *conf = &c->own->conf;
    const struct named *found = conf->n_pools > 0 ? bsearch(pool_name, c->pools, conf->n_pools,
                                                            sizeof(*c->pools), name_against)
                                                  : NULL;

    if (found == NULL) {
        unknown_pool(c, group, list, name, setting, pool_name);
        return false;
    }
    enum pool_mode is = conf->pools[found->index].mode;
    c->pool_used[found->index] = true;
    *out_index = found->index;
    if (is == MODE_MISTAKEN || mode == MODE_MISTAKEN || is == mode)
        return true;
    check_tell(c, PROBLEM_ERROR, group, list, name, setting,
               "found \"%s\", a pool of mode \"%s\", expected one of mode \"%s\"", pool_name,
               modes[is], modes[mode]);
    return true;
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
           addr_is_any(bind) && is_loopback(to);
}

/* Every connection would be a storm. */
void check_loop(const struct check *c, uint32_t listener, uint32_t p, const config_setting_t *group,
                const char *list, const char *name)
{
    const struct listener_conf *l = &c->own->conf.listeners[listener];
    const struct pool_conf *pool = &c->own->conf.pools[p];

    for (uint32_t b = 0; b < l->n_binds; b++)
        for (uint32_t k = 0; k < pool->n_backends; k++) {
            const struct addr *to = &pool->backends[k].address.addr;
            if (to->len > 0 && pool->backends[k].name != NULL && leads_to(to, &l->binds[b].addr)) {
                check_tell(c, PROBLEM_ERROR, group, list, name, "pool",
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

/* A host that two rules have. */
static void check_sni_hosts(const struct check *c, uint32_t i, const char *list)
{
    const struct listener_conf *l = &c->own->conf.listeners[i];
    uint32_t n = 0;

    for (uint32_t k = 0; k < l->n_sni; k++)
        n += l->sni[k].n_hosts;
    struct named *items = xcalloc(n + 1, sizeof(*items));
    n = 0;
    for (uint32_t k = 0; k < l->n_sni; k++)
        for (uint32_t h = 0; h < l->sni[k].n_hosts; h++)
            items[n++] =
                (struct named){l->sni[k].hosts[h], {l->sni[k].file, (uint32_t)l->sni[k].line}, k};
    qsort(items, n, sizeof(*items), by_name);
    for (uint32_t k = 1; k < n; k++) {
        const struct named *a = &items[k - 1], *b = &items[k];
        char label[16];
        snprintf(label, sizeof(label), "#%u", b->index + 1);
        if (strcmp(a->name, b->name) == 0)
            check_tell(c, PROBLEM_ERROR,
                       check_element(check_listener_setting(c, i), "sni", b->index), list, label,
                       "host",
                       "found \"%s\" a second time, expected each host once (first at %s:%u)",
                       b->name, a->place.file, a->place.line);
    }
    free(items);
}

/* Where the client's TLS is passed on as it is. */
static void check_no_tls(const struct check *c, const config_setting_t *setting, const char *list,
                         const char *label, uint32_t pool)
{
    const struct pool_conf *p = &c->own->conf.pools[pool];

    if (p->tls != NULL)
        check_tell(
            c, PROBLEM_ERROR, setting, list, label, "pool",
            "found \"%s\", which has tls: what its backends get is TLS of the client's already; "
            "expected a pool without, or tls on the listener",
            p->name);
}

static void check_sni(const struct check *c, uint32_t i)
{
    struct listener_conf *l = &c->own->conf.listeners[i];
    char *list = xasprintf("listeners[%s].sni", l->name);

    for (uint32_t k = 0; k < l->n_sni; k++) {
        struct sni_rule *rule = &l->sni[k];
        const config_setting_t *setting = check_element(check_listener_setting(c, i), "sni", k);
        char label[16];
        snprintf(label, sizeof(label), "#%u", k + 1);
        if (rule->pool_name == NULL || !check_find_pool(c, setting, list, label, "pool",
                                                        rule->pool_name, MODE_TCP, &rule->pool))
            continue;
        check_loop(c, i, rule->pool, setting, list, label);
        if (l->tls == NULL)
            check_no_tls(c, setting, list, label, rule->pool);
    }
    if (l->n_sni > 0)
        check_sni_hosts(c, i, list);
    free(list);
}

static void check_tcp_listener(const struct check *c, uint32_t i)
{
    struct listener_conf *l = &c->own->conf.listeners[i];
    const config_setting_t *setting = check_listener_setting(c, i);
    bool known = l->pool_name != NULL && check_find_pool(c, setting, "listeners", l->name, "pool",
                                                         l->pool_name, l->mode, &l->pool);

    if (l->mode == MODE_UDP && check_member(setting, "pool") == NULL)
        listener_error(c, i, "pool", "not found, expected the name of a pool");
    for (uint32_t b = 0; b < l->n_binds && l->mode == MODE_UDP; b++)
        if (addr_family(&l->binds[b].addr) == AF_UNIX)
            listener_error(c, i, "bind",
                           "found \"%s\", expected an address with a port in mode \"udp\"",
                           l->bind_texts[b]);
    if (l->mode == MODE_TCP && check_member(setting, "pool") == NULL &&
        check_member(setting, "sni") == NULL)
        listener_error(c, i, "pool", "not found, expected the name of a pool, or sni");
    check_sni(c, i);
    if (known && l->n_sni > 0 && l->tls == NULL)
        check_no_tls(c, setting, "listeners", l->name, l->pool);
    if (l->tunnel_timeout_ms == 0)
        l->tunnel_timeout_ms =
            known ? c->own->conf.pools[l->pool].tunnel_timeout_ms : c->own->tunnel_timeout_ms;
    if (known)
        check_loop(c, i, l->pool, setting, "listeners", l->name);
}

/* A format that only requests have. The global one is made for http listeners, so that a listener
 * of mode tcp may fall back; its own is a mistake. */
static void check_access_format(const struct check *c, uint32_t i)
{
    struct listener_conf *l = &c->own->conf.listeners[i];
    const char *error = NULL;
    bool own = l->access_format != c->own->access_format;

    if (l->access_format == NULL) {
        l->access_format = l->mode == MODE_HTTP ? "combined" : "tcplog";
        return;
    }
    struct access_format *format = access_format_compile(l->access_format, &error);
    if (format == NULL || access_format_fits(format, l->mode == MODE_HTTP, &error)) {
        access_format_free(&format);
        return;
    }
    if (own) {
        listener_error(c, i, "log.format", "found \"%s\" (%s), expected a format of its mode",
                       l->access_format, error);
    } else {
        listener_warning(c, i, "mode",
                         "log.format is \"%s\" (%s), so this listener logs as \"tcplog\"",
                         l->access_format, error);
        l->access_format = "tcplog";
    }
    access_format_free(&format);
}

static void check_listener(const struct check *c, uint32_t i)
{
    struct listener_conf *l = &c->own->conf.listeners[i];

    if (l->name == NULL)
        return; /* its mistakes are said; without a name there is no way to speak of others */
    if (l->mode == MODE_HTTP)
        check_http_listener(c, i);
    else
        check_tcp_listener(c, i);
    if (l->mode != MODE_MISTAKEN)
        check_access_format(c, i);
    if (l->n_proxy_from > 0 && l->proxy_protocol == PROXY_OFF)
        listener_error(c, i, "proxy_from",
                       "found networks, but proxy_protocol is \"off\", expected \"v1\", \"v2\" or "
                       "\"any\" there");
    check_listener_limits(c, i);
    check_tls_listener(c, i);
}

/* ---- all of it ---- */

/* Whoever reaches it could do more than look. */
static void check_admin(const struct check *c)
{
    const struct admin_conf *a = c->own->conf.admin;
    struct addr_spec spec;
    const char *ignored;

    if (a != NULL && a->tls != NULL)
        check_tls_admin(c);
    if (a == NULL || a->bind == NULL || a->level == CTL_USER || a->token != NULL ||
        (a->tls != NULL && a->tls->verify == TLS_VERIFY_REQUIRED) ||
        addr_parse(str_of(a->bind), false, true, &spec, &ignored) < 0 ||
        addr_is_loopback(&spec.addr))
        return;
    if (a->tls != NULL) {
        problems_add(c->problems, PROBLEM_WARNING, check_line(c->root, "admin.level"),
                     "admin.level",
                     "\"%s\" is for everybody who reaches %s: tls hides what is said, but asks "
                     "nobody who he is; a token (admin.token) or admin.tls.verify = \"required\" "
                     "does",
                     a->level == CTL_ADMIN ? "admin" : "operator", a->bind);
        return;
    }
    problems_add(c->problems, PROBLEM_ERROR, check_line(c->root, "admin.level"), "admin.level",
                 "found \"%s\" on %s, which others reach; expected \"user\", a bind on 127.0.0.1 "
                 "or ::1, a token (admin.token) or tls (admin.tls)",
                 a->level == CTL_ADMIN ? "admin" : "operator", a->bind);
}

void check_conf(struct conf_own *own, const config_setting_t *root, struct problems *problems)
{
    struct conf *conf = &own->conf;
    struct tls_env *env = NULL;
    struct check c = {.own = own,
                      .env = &env,
                      .root = root,
                      .problems = problems,
                      .pool_used = xcalloc(conf->n_pools + 1, sizeof(bool))};

    conf->overlay = check_absolute(&c, conf->overlay);
    check_drain(&c);
    check_totals(&c);
    check_pool_names(&c);
    check_listener_names(&c);
    check_binds(&c);
    check_admin(&c);
    for (uint32_t i = 0; i < conf->n_pools; i++)
        check_pool(&c, i);
    for (uint32_t i = 0; i < conf->n_listeners; i++)
        check_listener(&c, i);
    check_tests(&c);
    /* With mistakes elsewhere a listener may be missing; only a sound file is told this. */
    for (uint32_t i = 0; i < conf->n_pools && problems->errors == 0; i++)
        if (!c.pool_used[i])
            pool_warning(&c, i, "name", "no listener uses this pool");
    if (env != NULL)
        tls_env_free(&env);
    free(c.pools);
    free(c.pool_used);
}
