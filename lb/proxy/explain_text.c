/* explain_text.c - an explanation for people. */
#include "lb/proxy/explain.h"

#include <stdio.h>

static const char *or_dash(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : "-";
}

static const char *duration(uint32_t ms, char buf[static 16])
{
    if (ms % 1000 == 0)
        snprintf(buf, 16, "%us", ms / 1000);
    else
        snprintf(buf, 16, "%ums", ms);
    return buf;
}

/* ---- who asks what of whom ---- */

static void add_question(const struct explanation *e, struct strbuf *out)
{
    const struct listener_conf *l = e->listener->conf;

    strbuf_addf(out, "listener %s (", l->name);
    for (uint32_t i = 0; i < l->n_binds; i++)
        strbuf_addf(out, "%s%s", i > 0 ? ", " : "", l->bind_texts[i]);
    strbuf_addf(out, "): %s\n", e->listener_why);
    strbuf_addf(out, "request " STR_FMT " " STR_FMT "\n", STR_ARG(e->question->method),
                STR_ARG(e->question->url));
    strbuf_addf(out, "  client %s", e->client);
    if (e->client_why != NULL)
        strbuf_addf(out, " (%s)", e->client_why);
    strbuf_addf(out, ", scheme %s, host %s, path %s\n", e->scheme, or_dash(e->host),
                or_dash(e->path));
}

/* ---- rules and filters ---- */

static void add_rules(const struct explanation *e, struct strbuf *out)
{
    if (e->n_rules > 0)
        strbuf_add_cstr(out, "routes\n");
    for (uint32_t i = 0; i < e->n_rules; i++) {
        const struct explain_rule *r = &e->rules[i];
        const struct route_conf *c = &r->route->conf->route;
        strbuf_addf(out, "  %s  %s (%s:%d): ", r->hit ? "hit " : "miss", r->route->name,
                    c->file != NULL ? c->file : "-", c->line);
        route_describe(c, out);
        strbuf_add_cstr(out, " -> ");
        route_describe_action(c, out);
        strbuf_addf(out, "%s%s\n", r->hit ? "" : "; ", r->why);
    }
}

static void add_filters(const struct explanation *e, struct strbuf *out)
{
    if (e->n_filters > 0)
        strbuf_add_cstr(out, "filters\n");
    for (uint32_t i = 0; i < e->n_filters; i++) {
        const struct explain_filter *f = &e->filters[i];
        bool pass = f->verdict == FILTER_PASS;
        strbuf_addf(out, "  %s  %s", pass ? "pass" : "stop", f->name);
        if (!pass && e->status != 0)
            strbuf_addf(out, " answers %u", e->status);
        strbuf_addf(out, "%s%s\n", f->words[0] != '\0' ? ": " : "", f->words);
    }
}

static void add_files(const struct explanation *e, struct strbuf *out)
{
    if (e->n_files > 0)
        strbuf_add_cstr(out, "files\n");
    for (uint32_t i = 0; i < e->n_files; i++)
        strbuf_addf(out, "  %s: %s\n", e->files[i].name[0] != '\0' ? e->files[i].name : "-",
                    e->files[i].what);
}

/* ---- what the backend sees ---- */

static void add_edits(const struct explanation *e, struct strbuf *out)
{
    for (uint32_t i = 0; i < e->n_edits; i++) {
        const struct explain_edit *x = &e->edits[i];
        if (x->kind == EXPLAIN_REMOVED)
            strbuf_addf(out, "  remove  %s: %s\n", x->name, x->was);
        else if (x->kind == EXPLAIN_SET)
            strbuf_addf(out, "  set     %s: %s (was %s)\n", x->name, x->value, x->was);
        else
            strbuf_addf(out, "  add     %s: %s\n", x->name, x->value);
    }
}

static void add_response_headers(const struct explanation *e, struct strbuf *out)
{
    const struct headers_conf *h = &e->route->conf->filters.response_headers;

    if (h->n_remove + h->n_set + h->n_add == 0)
        return;
    strbuf_add_cstr(out, "response, as configured\n");
    for (uint32_t i = 0; i < h->n_remove; i++)
        strbuf_addf(out, "  remove  %s\n", h->remove[i]);
    for (uint32_t i = 0; i < h->n_set; i++)
        strbuf_addf(out, "  set     %s: %s\n", h->set[i].name, h->set[i].value);
    for (uint32_t i = 0; i < h->n_add; i++)
        strbuf_addf(out, "  add     %s: %s\n", h->add[i].name, h->add[i].value);
}

static void add_forwarded(const struct explanation *e, struct strbuf *out)
{
    if (e->target == NULL)
        return;
    strbuf_add_cstr(out, "to the backend\n");
    strbuf_addf(out, "  %s %s\n  Host: %s\n", e->method, e->target, e->host_out);
    add_edits(e, out);
    add_response_headers(e, out);
}

/* ---- backends ---- */

static void add_backend(const struct explain_backend *b, struct strbuf *out)
{
    strbuf_addf(out, "  %c %s %s: %s", b->candidate ? '*' : ' ', b->conf->name, b->address,
                b->state);
    strbuf_addf(out, ", weight %u", b->set_weight);
    if (b->weight < b->set_weight)
        strbuf_addf(out, " (%.2f now)", b->weight);
    strbuf_addf(out, ", in flight %u", b->in_flight);
    if (b->max_connections > 0)
        strbuf_addf(out, " of %u", b->max_connections);
    if (b->conf->backup)
        strbuf_add_cstr(out, ", backup");
    if (b->reason[0] != '\0')
        strbuf_addf(out, "; %s", b->reason);
    strbuf_add_char(out, '\n');
}

static void add_limits(const struct explanation *e, const struct pool_conf *p, struct strbuf *out)
{
    const struct http_listener_conf *l = &e->listener->conf->http;
    char a[16], b[16], c[16], d[16];
    uint32_t head = p->http.response_head_timeout_ms ? p->http.response_head_timeout_ms
                                                     : l->response_head_timeout_ms;
    uint32_t body = p->http.body_timeout_ms ? p->http.body_timeout_ms : l->body_timeout_ms;

    strbuf_addf(out, "  timeouts: queue %s, connect %s, response head %s, body %s\n",
                duration(p->queue_timeout_ms, a), duration(p->connect_timeout_ms, b),
                duration(head, c), duration(body, d));
    strbuf_addf(out, "  retries: up to %u on other backends, ", p->retry_attempts);
    strbuf_addf(out,
                e->repeatable ? "%s may be sent again (budget %u%%, at least %u a second)\n"
                              : "%s is never sent again once a backend may have it\n",
                e->method, p->http.retry_budget_percent, p->http.retry_budget_min);
}

static void add_pool(const struct explanation *e, const struct explain_pool *p, struct strbuf *out)
{
    strbuf_addf(out, "pool %s", p->conf->name);
    if (e->route->conf->route.action == ROUTE_SPLIT)
        strbuf_addf(out, " (weight %u of the split)", p->share);
    strbuf_addf(out, ", %s\n", balance_kind_name(p->conf->balance.kind));
    for (uint32_t i = 0; p->backends != NULL && i < p->conf->n_backends; i++)
        add_backend(&p->backends[i], out);
    if (p->sticky != NULL)
        strbuf_addf(out, "  sticky: %s\n", p->sticky);
    if (p->none)
        strbuf_add_cstr(out, "  choice: none, no backend can take it\n");
    else if (p->pick != NULL)
        strbuf_addf(out, "  choice: %s, %s\n", p->pick, p->how);
    else
        strbuf_addf(out, "  choice: %s\n", p->how);
    if (p->full)
        strbuf_add_cstr(out, "  it would wait in the queue: there is no place free\n");
    add_limits(e, p->conf, out);
}

/* ---- all ---- */

void explain_outcome(const struct explanation *e, struct strbuf *out)
{
    if (e->status == 0 && e->n_pools == 1 && e->route->conf->route.action == ROUTE_FILES) {
        strbuf_addf(out, "pool %s", e->pools[0].conf->name);
        return;
    }
    if (e->status == 0 && e->route != NULL) {
        route_describe_action(&e->route->conf->route, out);
        return;
    }
    strbuf_addf(out, "status %u", e->status);
    if (e->reason != NULL)
        strbuf_addf(out, " (%s)", e->reason);
    if (e->location != NULL)
        strbuf_addf(out, " to %s", e->location);
}

void explain_text(const struct explanation *e, struct strbuf *out)
{
    add_question(e, out);
    add_rules(e, out);
    add_filters(e, out);
    add_files(e, out);
    add_forwarded(e, out);
    for (uint32_t i = 0; i < e->n_pools; i++)
        add_pool(e, &e->pools[i], out);
    strbuf_add_cstr(out, e->taken ? "result: " : "refused: ");
    explain_outcome(e, out);
    if (e->n_pools == 1 && e->pools[0].pick != NULL)
        strbuf_addf(out, ", backend %s", e->pools[0].pick);
    if (e->words[0] != '\0')
        strbuf_addf(out, ": %s", e->words);
    strbuf_add_char(out, '\n');
}
