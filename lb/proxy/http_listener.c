/* http_listener.c - see http_listener.h */
#include "lb/proxy/http_listener.h"

#include "lb/base/alloc.h"
#include "lb/proxy/listener_conf.h"

#include <stdio.h>
#include <stdlib.h>

struct problems {
    const struct listener_conf *conf;
    struct strbuf *out;
};

static void add_place(struct strbuf *out, const struct route_conf *r)
{
    strbuf_addf(out, "%s:%d: error: ", r->file ? r->file : "configuration", r->line);
}

static void on_problem(void *arg, uint32_t index, const char *setting, uint32_t at,
                       const char *text)
{
    struct problems *p = arg;

    (void)at;
    add_place(p->out, &p->conf->http.routes[index].route);
    strbuf_addf(p->out, "listeners[%s].routes[#%u].%s: %s\n", p->conf->name, index + 1, setting,
                text);
}

static bool make_plan(struct http_listener *l, uint32_t i, struct pool **pools,
                      struct strbuf *errors)
{
    const struct route_conf *conf = &l->conf->http.routes[i].route;
    struct http_route *r = &l->routes[i];
    const char *error = NULL;
    uint32_t at = 0;

    if (conf->files_pool != NULL && pools != NULL)
        r->pool = pools[conf->pool];
    r->files = file_plan_new(conf->files, &at, &error);
    if (r->files != NULL)
        return true;
    add_place(errors, conf);
    strbuf_addf(errors, "listeners[%s].routes[#%u].files.try[%u]: %s\n", l->conf->name, i + 1, at,
                error);
    return false;
}

static bool make_route(struct http_listener *l, uint32_t i, struct pool **pools,
                       struct strbuf *errors)
{
    const struct http_route_conf *conf = &l->conf->http.routes[i];
    struct http_route *r = &l->routes[i];
    const char *error = NULL;

    r->conf = conf;
    r->rewrite = route_rewrite(l->table, i);
    r->name = conf->route.name != NULL ? xstrdup(conf->route.name)
                                       : xasprintf("%s#%u", l->conf->name, i + 1);
    if (conf->route.action == ROUTE_POOL && pools != NULL)
        r->pool = pools[conf->route.pool];
    if (conf->route.action == ROUTE_FILES && !make_plan(l, i, pools, errors))
        return false;
    if (conf->route.action == ROUTE_SPLIT && pools != NULL) {
        r->split = xcalloc(conf->route.n_split, sizeof(struct pool *));
        for (uint32_t j = 0; j < conf->route.n_split; j++)
            r->split[j] = pools[conf->route.split[j].pool];
    }
    if (filter_chain_make(&conf->filters, &r->filters, &error) == 0)
        return true;
    add_place(errors, &conf->route);
    strbuf_addf(errors, "listeners[%s].routes[#%u]: %s\n", l->conf->name, i + 1, error);
    return false;
}

/* ---- https ---- */

static struct http_template *https_template(uint16_t port)
{
    const char *error;
    char text[64];

    if (port == 0)
        return NULL;
    if (port == 443)
        snprintf(text, sizeof(text), "https://${host}${uri}");
    else
        snprintf(text, sizeof(text), "https://${host}:%u${uri}", port);
    return http_template_compile(str_of(text), &error);
}

static char *hsts_value(const struct listener_conf *c)
{
    const struct hsts_conf *h = c->http.hsts;

    if (h == NULL || c->tls == NULL)
        return NULL;
    return xasprintf("max-age=%u%s%s", h->max_age_s, h->subdomains ? "; includeSubDomains" : "",
                     h->preload ? "; preload" : "");
}

int http_listener_to_https(const struct http_listener *l, const struct http_vars *vars, char *out,
                           size_t cap)
{
    if (l->to_https == NULL || vars->host.len == 0 || str_eq_cstr(vars->scheme, "https"))
        return 0;
    return http_template_expand_for(l->to_https, vars, HTTP_FOR_URL, out, cap);
}

/* ---- life ---- */

struct http_listener *http_listener_new(const struct listener_conf *conf, struct pool **pools,
                                        struct strbuf *errors)
{
    struct http_listener *l = xcalloc(1, sizeof(*l));
    struct problems problems = {conf, errors};
    uint32_t n = conf->http.n_routes;
    const struct route_conf **routes = xcalloc(n ? n : 1, sizeof(*routes));
    bool good = true;

    for (uint32_t i = 0; i < n; i++)
        routes[i] = &conf->http.routes[i].route;
    l->conf = conf;
    l->table = route_table_new(routes, n, conf->http.keep_encoded_slash, on_problem, &problems);
    free(routes);
    l->to_https = https_template(conf->http.redirect_https);
    l->hsts = hsts_value(conf);
    l->routes = xcalloc(n ? n : 1, sizeof(*l->routes));
    for (uint32_t i = 0; l->table != NULL && i < n; i++) {
        good = make_route(l, i, pools, errors) && good;
        l->n_routes++;
    }
    if (l->table == NULL || !good)
        http_listener_free(&l);
    return l;
}

void http_listener_free(struct http_listener **listener)
{
    struct http_listener *l = *listener;

    if (l == NULL)
        return;
    for (uint32_t i = 0; i < l->n_routes; i++) {
        filter_chain_fini(&l->routes[i].filters);
        free(l->routes[i].name);
        free(l->routes[i].split);
        file_plan_free(&l->routes[i].files);
    }
    free(l->routes);
    http_template_free(&l->to_https);
    free(l->hsts);
    route_table_free(&l->table);
    free(l);
    *listener = NULL;
}
