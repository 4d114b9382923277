/* explain_json.c - an explanation for programs: one object, one line. */
#include "lb/proxy/explain.h"

#include "lb/obs/json.h"

/* Writes what stands between members. */
struct json {
    struct strbuf *out;
    bool more;
};

static void comma(struct json *j)
{
    if (j->more)
        strbuf_add_char(j->out, ',');
    j->more = true;
}

static void key(struct json *j, const char *name)
{
    comma(j);
    strbuf_addf(j->out, "\"%s\":", name);
}

static void open(struct json *j, const char *name, char bracket)
{
    if (name != NULL)
        key(j, name);
    else
        comma(j);
    strbuf_add_char(j->out, bracket);
    j->more = false;
}

static void end(struct json *j, char bracket)
{
    strbuf_add_char(j->out, bracket);
    j->more = true;
}

static void text(struct json *j, const char *name, const char *value)
{
    key(j, name);
    if (value != NULL)
        json_add_string(j->out, str_of(value));
    else
        strbuf_add_cstr(j->out, "null");
}

static void number(struct json *j, const char *name, uint64_t value)
{
    key(j, name);
    strbuf_addf(j->out, "%llu", (unsigned long long)value);
}

static void boolean(struct json *j, const char *name, bool value)
{
    key(j, name);
    strbuf_add_cstr(j->out, value ? "true" : "false");
}

static void element(struct json *j, const char *value)
{
    comma(j);
    json_add_string(j->out, str_of(value));
}

/* ---- the parts ---- */

static void add_question(const struct explanation *e, struct json *j)
{
    const struct listener_conf *l = e->listener->conf;

    open(j, "request", '{');
    key(j, "method");
    json_add_string(j->out, e->question->method);
    key(j, "url");
    json_add_string(j->out, e->question->url);
    text(j, "client", e->client);
    text(j, "client_why", e->client_why);
    text(j, "scheme", e->scheme);
    text(j, "host", e->host);
    text(j, "path", e->path);
    end(j, '}');
    open(j, "listener", '{');
    text(j, "name", l->name);
    text(j, "why", e->listener_why);
    open(j, "bind", '[');
    for (uint32_t i = 0; i < l->n_binds; i++)
        element(j, l->bind_texts[i]);
    end(j, ']');
    end(j, '}');
}

static void add_rules(const struct explanation *e, struct json *j)
{
    struct strbuf words = {0};

    open(j, "routes", '[');
    for (uint32_t i = 0; i < e->n_rules; i++) {
        const struct explain_rule *r = &e->rules[i];
        const struct route_conf *c = &r->route->conf->route;
        open(j, NULL, '{');
        text(j, "name", r->route->name);
        boolean(j, "hit", r->hit);
        text(j, "why", r->why);
        text(j, "file", c->file);
        number(j, "line", (uint64_t)c->line);
        route_describe(c, &words);
        text(j, "match", words.p);
        strbuf_clear(&words);
        route_describe_action(c, &words);
        text(j, "action", words.p);
        strbuf_clear(&words);
        end(j, '}');
    }
    end(j, ']');
    strbuf_fini(&words);
}

static void add_filters(const struct explanation *e, struct json *j)
{
    open(j, "filters", '[');
    for (uint32_t i = 0; i < e->n_filters; i++) {
        open(j, NULL, '{');
        text(j, "name", e->filters[i].name);
        boolean(j, "pass", e->filters[i].verdict == FILTER_PASS);
        text(j, "words", e->filters[i].words);
        end(j, '}');
    }
    end(j, ']');
}

static void add_edits(const struct explanation *e, struct json *j)
{
    static const char *const kinds[] = {"remove", "set", "add"};

    open(j, "headers", '[');
    for (uint32_t i = 0; i < e->n_edits; i++) {
        open(j, NULL, '{');
        text(j, "do", kinds[e->edits[i].kind]);
        text(j, "name", e->edits[i].name);
        text(j, "value", e->edits[i].value);
        text(j, "was", e->edits[i].was);
        end(j, '}');
    }
    end(j, ']');
}

static void add_header_list(struct json *j, const char *verb, const struct header_set_conf *list,
                            uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        open(j, NULL, '{');
        text(j, "do", verb);
        text(j, "name", list[i].name);
        text(j, "value", list[i].value);
        end(j, '}');
    }
}

static void add_forwarded(const struct explanation *e, struct json *j)
{
    if (e->target == NULL)
        return;
    const struct headers_conf *h = &e->route->conf->filters.response_headers;
    open(j, "to_backend", '{');
    text(j, "method", e->method);
    text(j, "target", e->target);
    text(j, "host", e->host_out);
    add_edits(e, j);
    end(j, '}');
    open(j, "response_headers", '[');
    for (uint32_t i = 0; i < h->n_remove; i++) {
        open(j, NULL, '{');
        text(j, "do", "remove");
        text(j, "name", h->remove[i]);
        end(j, '}');
    }
    add_header_list(j, "set", h->set, h->n_set);
    add_header_list(j, "add", h->add, h->n_add);
    end(j, ']');
}

static void add_backends(const struct explain_pool *p, struct json *j)
{
    open(j, "backends", '[');
    for (uint32_t i = 0; p->backends != NULL && i < p->conf->n_backends; i++) {
        const struct explain_backend *b = &p->backends[i];
        open(j, NULL, '{');
        text(j, "name", b->conf->name);
        text(j, "address", b->address);
        text(j, "state", b->state);
        text(j, "reason", b->reason);
        boolean(j, "candidate", b->candidate);
        boolean(j, "backup", b->conf->backup);
        number(j, "weight", b->set_weight);
        key(j, "effective_weight");
        strbuf_addf(j->out, "%.3f", b->weight);
        number(j, "in_flight", b->in_flight);
        number(j, "max_connections", b->max_connections);
        end(j, '}');
    }
    end(j, ']');
}

static void add_limits(const struct explanation *e, const struct pool_conf *p, struct json *j)
{
    const struct http_listener_conf *l = &e->listener->conf->http;

    open(j, "timeouts_ms", '{');
    number(j, "queue", p->queue_timeout_ms);
    number(j, "connect", p->connect_timeout_ms);
    number(j, "response_head",
           p->http.response_head_timeout_ms ? p->http.response_head_timeout_ms
                                            : l->response_head_timeout_ms);
    number(j, "body", p->http.body_timeout_ms ? p->http.body_timeout_ms : l->body_timeout_ms);
    end(j, '}');
    open(j, "retries", '{');
    number(j, "attempts", p->retry_attempts);
    boolean(j, "repeatable", e->repeatable);
    number(j, "budget_percent", p->http.retry_budget_percent);
    number(j, "budget_min", p->http.retry_budget_min);
    end(j, '}');
}

static void add_files(const struct explanation *e, struct json *j)
{
    open(j, "files", '[');
    for (uint32_t i = 0; i < e->n_files; i++) {
        open(j, NULL, '{');
        text(j, "name", e->files[i].name);
        text(j, "what", e->files[i].what);
        end(j, '}');
    }
    end(j, ']');
}

static void add_pools(const struct explanation *e, struct json *j)
{
    open(j, "pools", '[');
    for (uint32_t i = 0; i < e->n_pools; i++) {
        const struct explain_pool *p = &e->pools[i];
        open(j, NULL, '{');
        text(j, "name", p->conf->name);
        number(j, "share", p->share);
        text(j, "balance", balance_kind_name(p->conf->balance.kind));
        text(j, "how", p->how);
        text(j, "pick", p->pick);
        text(j, "sticky", p->sticky);
        boolean(j, "queued", p->full);
        add_backends(p, j);
        add_limits(e, p->conf, j);
        end(j, '}');
    }
    end(j, ']');
}

void explain_json(const struct explanation *e, struct strbuf *out)
{
    struct json j = {out, false};

    open(&j, NULL, '{');
    boolean(&j, "taken", e->taken);
    number(&j, "status", e->status);
    text(&j, "reason", e->reason);
    text(&j, "words", e->words);
    text(&j, "location", e->location);
    text(&j, "route", e->route != NULL ? e->route->name : NULL);
    add_question(e, &j);
    add_rules(e, &j);
    add_filters(e, &j);
    add_files(e, &j);
    add_forwarded(e, &j);
    add_pools(e, &j);
    end(&j, '}');
    strbuf_add_char(out, '\n');
}
