/* route_describe.c - rules in words, for explain, logs and listings. */
#include "lb/route/route.h"

static void begin(struct strbuf *out, size_t from, const char *what)
{
    strbuf_addf(out, "%s%s=", out->len > from ? " " : "", what);
}

static void add_list(struct strbuf *out, size_t from, const char *what, char *const *list,
                     uint32_t n)
{
    if (n == 0)
        return;
    begin(out, from, what);
    for (uint32_t i = 0; i < n; i++)
        strbuf_addf(out, "%s%s", i > 0 ? "," : "", list[i]);
}

static void add_conds(struct strbuf *out, size_t from, const char *what,
                      const struct route_cond_conf *conds, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        begin(out, from, what);
        strbuf_add_cstr(out, conds[i].name);
        if (conds[i].value != NULL)
            strbuf_addf(out, ":%s", conds[i].value);
    }
}

void route_describe(const struct route_conf *conf, struct strbuf *out)
{
    size_t from = out->len;
    char net[ADDR_TEXT_MAX];

    add_list(out, from, "host", conf->hosts, conf->n_hosts);
    add_list(out, from, "path", conf->paths, conf->n_paths);
    add_list(out, from, "method", conf->methods, conf->n_methods);
    add_conds(out, from, "header", conf->headers, conf->n_headers);
    add_conds(out, from, "cookie", conf->cookies, conf->n_cookies);
    add_conds(out, from, "query", conf->queries, conf->n_queries);
    for (uint32_t i = 0; i < conf->n_from; i++) {
        if (i == 0)
            begin(out, from, "from");
        else
            strbuf_add_char(out, ',');
        strbuf_add_cstr(out, addr_net_format(&conf->from[i], net));
    }
    if (out->len == from)
        strbuf_add_cstr(out, "any request");
}

void route_describe_action(const struct route_conf *conf, struct strbuf *out)
{
    switch (conf->action) {
    case ROUTE_POOL:
        strbuf_addf(out, "pool %s", conf->pool_name);
        return;
    case ROUTE_SPLIT:
        strbuf_add_cstr(out, "split");
        for (uint32_t i = 0; i < conf->n_split; i++)
            strbuf_addf(out, "%s %s %u", i > 0 ? "," : "", conf->split[i].pool_name,
                        (unsigned)conf->split[i].weight);
        return;
    case ROUTE_REDIRECT:
        strbuf_addf(out, "redirect %u %s", (unsigned)conf->redirect.status, conf->redirect.to);
        return;
    case ROUTE_FILES:
        strbuf_addf(out, "files %s", conf->files->root);
        return;
    case ROUTE_ANSWER:
        strbuf_addf(out, "answer %u", (unsigned)conf->answer.status);
        return;
    }
}
