/* explain.c - see explain.h. The steps are those of h1_session.c and exchange_route.c, in their
 * order, by the same functions; only what counts, waits or sends is left out. */
#include "lb/proxy/explain.h"

#include "lb/base/alloc.h"
#include "lb/proxy/explain_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void *explain_keep(struct explain_work *w, void *p)
{
    w->kept = xrealloc(w->kept, (w->n_kept + 1) * sizeof(*w->kept));
    w->kept[w->n_kept++] = p;
    return p;
}

const char *explain_note(struct explain_work *w, const char *fmt, ...)
{
    struct strbuf b = {0};
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(&b, fmt, ap);
    va_end(ap);
    return explain_keep(w, b.p != NULL ? b.p : xstrdup(""));
}

const char *explain_str(struct explain_work *w, struct str s)
{
    return explain_keep(w, xstrndup(s.p != NULL ? s.p : "", s.len));
}

/* ---- the end of a way ---- */

void explain_refuse(struct explain_work *w, uint16_t status, const char *code, const char *words)
{
    w->e->taken = false;
    w->e->status = status;
    w->e->reason = code;
    w->e->words = words;
}

static void out_of_memory(void)
{
    fputs("sluice: out of memory\n", stderr);
    abort();
}

/* What ends in a real exchange's 503 ends the process here, as all load-time memory does. */
static void check_memory(bool there)
{
    if (!there)
        out_of_memory();
}

/* ---- the request as a client would send it ---- */

struct url {
    struct str scheme, authority, port, target;
};

static bool starts_nocase(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq_nocase((struct str){s.p, prefix.len}, prefix);
}

/* As a client does: the fragment stays with it, an empty path is "/". */
static bool split_url(struct str url, struct url *out)
{
    bool tls = starts_nocase(url, STR("https://"));
    size_t n = 0;

    const char *fragment = memchr(url.p, '#', url.len);
    if (fragment != NULL)
        url.len = (size_t)(fragment - url.p);
    *out = (struct url){.scheme = STR("http"), .port = STR("80"), .target = url};
    if (str_eq(url, STR("*")) || (url.len > 0 && url.p[0] == '/'))
        return true;
    if (!tls && !starts_nocase(url, STR("http://")))
        return false;
    if (tls) {
        out->scheme = STR("https");
        out->port = STR("443");
    }
    url.p += out->scheme.len + 3;
    url.len -= out->scheme.len + 3;
    while (n < url.len && url.p[n] != '/' && url.p[n] != '?')
        n++;
    out->authority = (struct str){url.p, n};
    out->target = (struct str){url.p + n, url.len - n};
    struct str host, port;
    if (uri_authority(out->authority, &host, &port) && port.len > 0)
        out->port = port;
    return n > 0;
}

static bool is_host_field(struct str field)
{
    const char *colon = memchr(field.p, ':', field.len);

    return colon != NULL &&
           str_eq_nocase((struct str){field.p, (size_t)(colon - field.p)}, STR("Host"));
}

/* A Host among the headers stands in place of the URL's. */
static void write_head(const struct explain_question *q, const struct url *url, struct strbuf *out)
{
    bool has_host = false;

    for (uint32_t i = 0; i < q->n_headers; i++)
        has_host |= is_host_field(q->headers[i]);
    bool bare = url->target.len == 0 || url->target.p[0] == '?';
    strbuf_addf(out, STR_FMT " %s" STR_FMT " HTTP/1.1\r\n", STR_ARG(q->method), bare ? "/" : "",
                STR_ARG(url->target));
    if (!has_host && url->authority.len > 0)
        strbuf_addf(out, "Host: " STR_FMT "\r\n", STR_ARG(url->authority));
    for (uint32_t i = 0; i < q->n_headers; i++)
        strbuf_addf(out, STR_FMT "\r\n", STR_ARG(q->headers[i]));
    strbuf_add_cstr(out, "\r\n");
}

static bool has_line_break(struct str s)
{
    return memchr(s.p, '\r', s.len) != NULL || memchr(s.p, '\n', s.len) != NULL;
}

/* What is no request at all; what is a bad one is the parser's to say. */
static bool check_question(const struct explain_question *q, struct strbuf *error)
{
    struct url url;

    if (q->method.len == 0 || has_line_break(q->method))
        strbuf_add_cstr(error, "a method is needed, for example GET");
    else if (q->url.len == 0 || has_line_break(q->url) || !split_url(q->url, &url))
        strbuf_addf(error, "\"" STR_FMT "\" is no URL, expected http://HOST/PATH", STR_ARG(q->url));
    for (uint32_t i = 0; i < q->n_headers && error->len == 0; i++)
        if (has_line_break(q->headers[i]) ||
            memchr(q->headers[i].p, ':', q->headers[i].len) == NULL)
            strbuf_addf(error, "\"" STR_FMT "\" is no header, expected \"Name: value\"",
                        STR_ARG(q->headers[i]));
    return error->len == 0;
}

/* ---- the listener ---- */

static bool port_is_bound(const struct listener_conf *l, uint16_t port)
{
    for (uint32_t i = 0; i < l->n_binds; i++)
        if (addr_port(&l->binds[i].addr) == port && port != 0)
            return true;
    return false;
}

/* The one that is named; the one with the URL's port; else, as ports are often mapped, the first.
 */
static bool find_listener(struct explain_work *w, uint16_t port, struct strbuf *error)
{
    const struct explain_world *world = w->world;
    const struct http_listener *found = NULL;
    struct str name = w->e->question->listener;

    for (uint32_t i = 0; i < world->n_listeners && found == NULL; i++) {
        const struct listener_conf *conf = world->listeners[i]->conf;
        if (name.len > 0 ? str_eq_cstr(name, conf->name) : port_is_bound(conf, port))
            found = world->listeners[i];
    }
    w->e->listener_why = name.len > 0 ? "named" : "has the URL's port";
    if (found == NULL && name.len > 0) {
        strbuf_addf(error, "there is no listener \"" STR_FMT "\" of mode http", STR_ARG(name));
        return false;
    }
    if (found == NULL && world->n_listeners > 0) {
        found = world->listeners[0];
        w->e->listener_why =
            world->n_listeners > 1 ? "the first, as none has the URL's port" : "the only one";
    }
    if (found == NULL) {
        strbuf_add_cstr(error, "there is no listener of mode http");
        return false;
    }
    w->e->listener = found;
    if (port_is_bound(found->conf, port))
        w->port = port;
    else if (found->conf->n_binds > 0)
        w->port = addr_port(&found->conf->binds[0].addr);
    return true;
}

/* ---- the head ---- */

static bool parse(struct explain_work *w, const struct url *url)
{
    const struct http_listener_conf *c = &w->e->listener->conf->http;
    const struct h1_limits limits = request_limits(c);
    struct h1_parser parser = {0};
    struct strbuf text = {0};
    enum h1_result r = H1_HEAD_TOO_LARGE;

    write_head(w->e->question, url, &text);
    explain_keep(w, text.p);
    w->parsed.fields = explain_keep(w, xcalloc(c->fields + 1u, sizeof(struct http_field)));
    w->parsed.max_fields = (uint16_t)c->fields;
    if (text.len <= HTTP_HEAD_BYTES_MAX)
        r = h1_parse_request(&parser, text.p, (uint32_t)text.len, &limits, &w->parsed);
    if (r == H1_DONE) {
        check_memory(http_head_copy(&w->parsed, &w->arena, &w->head) == 0);
        return true;
    }
    /* A whole head that asks for more is one that a client cannot end there. */
    explain_refuse(w, r == H1_MORE ? 400 : (uint16_t)h1_result_status(r),
                   r == H1_MORE ? "bad-request" : h1_result_code(r),
                   r == H1_MORE ? "" : h1_result_text(r));
    return false;
}

static void find_client(struct explain_work *w)
{
    char client[ADDR_TEXT_MAX], peer[ADDR_TEXT_MAX];

    w->client = w->peer;
    request_find_client(&w->e->listener->conf->http, &w->head, w->e->listener->conf->tls != NULL,
                        &w->client, &w->trusted, &w->scheme);
    w->e->client = explain_str(w, str_of(addr_format_host(&w->client, client)));
    w->e->scheme = w->scheme;
    addr_format_host(&w->peer, peer);
    if (strcmp(client, peer) != 0)
        w->e->client_why = explain_note(w, "by X-Forwarded-For, as %s is a trusted proxy", peer);
    else if (!w->trusted && http_find(&w->head, HTTP_X_FORWARDED_FOR, NULL) != NULL)
        w->e->client_why = explain_note(
            w, "X-Forwarded-For is not believed, as %s is in none of trusted_proxies", peer);
}

/* Up to what the rules look at. */
static bool read_head(struct explain_work *w)
{
    const struct http_listener_conf *c = &w->e->listener->conf->http;
    enum uri_result why;

    find_client(w);
    w->e->repeatable = http_method_is_idempotent((enum http_method)w->head.method);
    if (request_too_long(c, &w->head)) {
        explain_refuse(w, 413, "body-too-large", "Content-Length is above limits.body_bytes");
        return false;
    }
    if (w->head.method == HTTP_CONNECT) {
        explain_refuse(w, 405, "connect-refused", "CONNECT is not served");
        return false;
    }
    check_memory(request_host(&w->head, &w->arena, &w->host));
    w->e->host = explain_str(w, w->host);
    int rc = request_path(&w->head, c->keep_encoded_slash, &w->arena, &w->path, &why);
    check_memory(rc != -ENOMEM);
    if (rc < 0) {
        explain_refuse(w, 400, uri_result_code(why), uri_result_text(why));
        return false;
    }
    w->e->path = explain_str(w, w->path.text);
    return true;
}

/* ---- what variables stand for ---- */

static void fill_vars(struct explain_work *w, struct http_vars *out)
{
    char text[ADDR_TEXT_MAX];

    *out = (struct http_vars){
        .request = &w->head,
        .client_ip = str_of(w->e->client),
        .client_port = str_of(explain_note(w, "%u", addr_port(&w->client))),
        .peer_ip = str_of(explain_str(w, str_of(addr_format_host(&w->peer, text)))),
        .scheme = str_of(w->scheme),
        .host = w->host,
        .port = str_of(explain_note(w, "%u", w->port)),
        .path = w->path.text,
        .query = request_query(&w->head),
        .request_id = w->forward.request_id,
        .traceparent = w->forward.traceparent,
        .listener = str_of(w->e->listener->conf->name),
        .route = w->e->route != NULL ? str_of(w->e->route->name) : STR(""),
        .wall_s = w->world->wall_us / 1000000,
    };
    for (uint32_t i = 0; i < w->match.n_captures; i++)
        out->captures[i] = w->match.captures[i];
}

/* ---- the rules ---- */

static void on_rule(void *arg, uint32_t index, bool hit, const char *why)
{
    struct explain_work *w = arg;
    struct explanation *e = w->e;

    e->rules[e->n_rules++] = (struct explain_rule){
        .route = &e->listener->routes[index], .hit = hit, .why = explain_str(w, str_of(why))};
}

/* Https may have what no rule takes. */
static void no_route(struct explain_work *w)
{
    struct http_vars vars;

    fill_vars(w, &vars);
    int n = http_listener_to_https(w->e->listener, &vars, w->text, ROUTE_TEXT_MAX);
    explain_refuse(w, n > 0 ? 308 : 404, n > 0 ? NULL : "no-route", "no rule takes it");
    if (n <= 0)
        return;
    w->e->taken = true;
    w->e->location = explain_str(w, (struct str){w->text, (size_t)n});
}

static bool find_route(struct explain_work *w)
{
    const struct http_listener *l = w->e->listener;
    const struct route_request rr = {
        .head = &w->head,
        .host = w->host,
        .path = w->path.text,
        .query = request_query(&w->head),
        .client = &w->client,
    };

    w->e->rules = explain_keep(w, xcalloc(l->n_routes + 1, sizeof(struct explain_rule)));
    route_trace(l->table, w->scratch, &rr, on_rule, w, NULL);
    uint32_t i = route_find(l->table, w->scratch, &rr, &w->match); /* what really decides */
    if (i == ROUTE_NONE) {
        no_route(w);
        return false;
    }
    w->e->route = &l->routes[i];
    return true;
}

/* ---- on the way to the backend ---- */

static void forward(struct explain_work *w)
{
    char text[ADDR_TEXT_MAX];

    http_strip_hop_by_hop(&w->head, w->head.upgrade);
    w->forward = (struct forward){
        .conf = &w->e->listener->conf->http,
        .head = &w->head,
        .arena = &w->arena,
        .peer = str_of(explain_str(w, str_of(addr_format_host(&w->peer, text)))),
        .local_port = w->port,
        .trusted = w->trusted,
        .scheme = w->scheme,
        .rng = &w->rng,
    };
    check_memory(forward_fields(&w->forward));
}

static void on_filter(void *arg, const char *name, enum filter_verdict verdict, const char *words)
{
    struct explain_work *w = arg;
    struct explanation *e = w->e;

    e->filters[e->n_filters++] =
        (struct explain_filter){name, verdict, explain_str(w, str_of(words))};
}

static bool pass_filters(struct explain_work *w)
{
    struct filter_exchange *x = &w->fx;

    x->request = &w->head;
    x->arena = &w->arena;
    x->client = &w->client;
    fill_vars(w, &x->vars);
    struct explain_filter *all =
        xcalloc(w->e->n_filters + w->e->route->filters.n + 1u, sizeof(*all));
    if (w->e->n_filters > 0)
        memcpy(all, w->e->filters, w->e->n_filters * sizeof(*all));
    w->e->filters = explain_keep(w, all);
    enum filter_verdict v = filter_chain_explain(&w->e->route->filters, x, on_filter, w);
    const char *name = w->e->n_filters > 0 ? w->e->filters[w->e->n_filters - 1].name : "";
    if (v == FILTER_ANSWER)
        explain_refuse(w, x->answer.status, x->answer.reason, explain_note(w, "filter %s", name));
    else if (v != FILTER_PASS)
        explain_refuse(w, 500, "filter-failed", explain_note(w, "filter %s", name));
    return v == FILTER_PASS;
}

static bool same_field(struct str name, struct str value, const struct http_head *h,
                       const struct http_field *f)
{
    return f->id != HTTP_DROPPED && str_eq_nocase(name, http_name(h, f)) &&
           str_eq(value, http_value(h, f));
}

static bool has_field(const struct http_head *h, struct str name, struct str value)
{
    for (uint16_t i = 0; i < h->n_fields; i++)
        if (same_field(name, value, h, &h->fields[i]))
            return true;
    return false;
}

static void add_edit(struct explain_work *w, enum explain_edit_kind kind, struct str name,
                     const char *value, const char *was)
{
    struct explanation *e = w->e;

    e->edits[e->n_edits++] = (struct explain_edit){kind, explain_str(w, name), value, was};
}

/* These are made for each request: what was made here says nothing. */
static const char *value_of(struct explain_work *w, const struct http_field *f)
{
    if (f->id == HTTP_X_REQUEST_ID || f->id == HTTP_TRACEPARENT)
        return "(a new one)";
    return explain_str(w, http_value(&w->head, f));
}

/* Framing is written by who sends, Host by who routes. */
static bool is_framing(const struct http_field *f)
{
    return f->id == HTTP_CONTENT_LENGTH || f->id == HTTP_TRANSFER_ENCODING || f->id == HTTP_HOST ||
           f->id == HTTP_TE;
}

/* What became of the fields, from the head as it came and as it is now. */
static void compare_heads(struct explain_work *w)
{
    const struct http_head *old = &w->parsed, *new = &w->head;
    uint32_t max = (uint32_t)old->n_fields + new->n_fields + 1u;

    w->e->edits = explain_keep(w, xcalloc(max, sizeof(struct explain_edit)));
    for (uint16_t i = 0; i < old->n_fields; i++) {
        const struct http_field *f = &old->fields[i];
        struct str name = http_name(old, f);
        if (f->id != HTTP_DROPPED && !is_framing(f) && http_find_name(new, name, NULL) == NULL)
            add_edit(w, EXPLAIN_REMOVED, name, NULL, explain_str(w, http_value(old, f)));
    }
    for (uint16_t i = 0; i < new->n_fields; i++) {
        const struct http_field *f = &new->fields[i], *was;
        struct str name = http_name(new, f);
        if (f->id == HTTP_DROPPED || is_framing(f) || has_field(old, name, http_value(new, f)))
            continue;
        was = http_find_name(old, name, NULL);
        bool replaced = was != NULL && !has_field(new, name, http_value(old, was));
        add_edit(w, replaced ? EXPLAIN_SET : EXPLAIN_ADDED, name, value_of(w, f),
                 replaced ? explain_str(w, http_value(old, was)) : NULL);
    }
}

/* ---- what the rule does ---- */

static void refuse_expansion(struct explain_work *w, int error)
{
    const char *code;

    check_memory(error != -ENOMEM);
    uint16_t status = request_rewrite_refusal(error, &code);
    explain_refuse(w, status, code, "what the rule makes of it cannot be sent");
}

static void redirect(struct explain_work *w)
{
    struct http_vars vars;

    fill_vars(w, &vars);
    int n = route_redirect_to(w->e->route->rewrite, &vars, w->text, ROUTE_TEXT_MAX);
    if (n < 0) {
        refuse_expansion(w, n);
        return;
    }
    w->e->status = (uint16_t)w->e->route->conf->route.redirect.status;
    w->e->location = explain_str(w, (struct str){w->text, (size_t)n});
}

static bool rewrite(struct explain_work *w)
{
    struct request_out out;
    struct http_vars vars;

    fill_vars(w, &vars);
    vars.pool = w->e->route->conf->route.action == ROUTE_POOL
                    ? str_of(w->e->route->conf->route.pool_name)
                    : STR("");
    int rc = request_rewrite(w->e->route->rewrite, w->scratch, &vars, &w->head, &w->path, &w->arena,
                             w->text, &out);
    if (rc < 0) {
        refuse_expansion(w, rc);
        return false;
    }
    w->e->method = explain_str(w, http_str(&w->head, w->head.method_text));
    w->e->target = explain_str(w, out.target);
    w->e->host_out = explain_str(w, out.host);
    return true;
}

static void add_pool(struct explain_work *w, uint32_t index, uint32_t share)
{
    explain_pool(w, &w->world->pools[index], w->world->live != NULL ? w->world->live[index] : NULL,
                 share);
}

static void choose_pool(struct explain_work *w)
{
    const struct route_conf *r = &w->e->route->conf->route;
    struct explanation *e = w->e;
    uint32_t useless = 0;

    e->pools = explain_keep(w, xcalloc(r->n_split + 1, sizeof(struct explain_pool)));
    if (r->action == ROUTE_POOL)
        add_pool(w, r->pool, 1);
    for (uint32_t i = 0; r->action == ROUTE_SPLIT && i < r->n_split; i++)
        if (r->split[i].weight > 0)
            add_pool(w, r->split[i].pool, r->split[i].weight);
    if (e->n_pools == 0) /* every weight is 0: the first, as route_split_pick() says */
        add_pool(w, r->split[0].pool, 0);
    for (uint32_t i = 0; i < e->n_pools; i++)
        useless += e->pools[i].none;
    if (useless > 0 && useless == e->n_pools)
        explain_refuse(w, 503, "no-backend", "no backend can take it");
}

bool explain_reroute(struct explain_work *w, struct str path)
{
    const struct http_listener *l = w->e->listener;
    char *buf = arena_alloc(&w->arena, path.len + 1);
    struct uri_path normal;
    struct route_match match = {0};

    check_memory(buf != NULL);
    if (uri_normalise(path, l->conf->http.keep_encoded_slash, buf, &normal) != URI_OK)
        return false;
    const struct route_request rr = {
        .head = &w->head,
        .host = w->host,
        .path = normal.text,
        .query = request_query(&w->head),
        .client = &w->client,
    };
    uint32_t i = route_find(l->table, w->scratch, &rr, &match);
    if (i == ROUTE_NONE || &l->routes[i] == w->e->route)
        return false;
    w->e->route = &l->routes[i];
    w->path = (struct uri_path){normal.text, true};
    w->match = match;
    w->rerouted = true;
    return true;
}

/* False: that was the end of it. */
static bool look_for_files(struct explain_work *w)
{
    struct explanation *e = w->e;
    struct str path = w->path.text;
    struct http_vars vars;

    if (!rewrite(w))
        return false;
    if (route_rewrites_path(e->route->rewrite))
        path = (struct str){e->target, strcspn(e->target, "?")};
    fill_vars(w, &vars);
    vars.path = path;
    w->rerouted = w->to_pool = false;
    explain_files(w, path, &vars);
    if (w->to_pool) {
        compare_heads(w);
        e->pools = explain_keep(w, xcalloc(1, sizeof(struct explain_pool)));
        add_pool(w, e->route->conf->route.pool, 1);
        if (e->pools[0].none)
            explain_refuse(w, 503, "no-backend", "no backend can take it");
        return false;
    }
    e->method = e->target = e->host_out = NULL; /* nobody is asked */
    return w->rerouted;
}

static void act(struct explain_work *w)
{
    const struct route_conf *r = &w->e->route->conf->route;

    w->e->taken = true;
    for (uint32_t n = 0; r->action == ROUTE_FILES; n++) {
        if (!look_for_files(w))
            return;
        if (n == REROUTES_MAX) {
            explain_refuse(w, 500, "files-loop", "files send it to each other");
            return;
        }
        if (!pass_filters(w))
            return;
        r = &w->e->route->conf->route;
    }
    if (r->action == ROUTE_REDIRECT) {
        redirect(w);
    } else if (r->action == ROUTE_ANSWER) {
        w->e->status = (uint16_t)r->answer.status;
    } else if (rewrite(w)) {
        compare_heads(w);
        choose_pool(w);
    }
}

/* ---- all of it ---- */

static void follow(struct explain_work *w, const struct url *url)
{
    if (!parse(w, url) || !read_head(w) || !find_route(w))
        return;
    forward(w);
    if (pass_filters(w))
        act(w);
}

static void start_from(struct explain_work *w, const struct addr *from)
{
    struct addr_spec loopback;
    const char *ignored;

    w->peer = *from;
    if (from->len == 0 && addr_parse(STR("127.0.0.1:1"), false, false, &loopback, &ignored) == 0) {
        w->peer = loopback.addr;
        addr_set_port(&w->peer, 0);
    }
}

struct explanation *explain_new(const struct explain_world *world, const struct explain_question *q,
                                struct strbuf *error)
{
    char peer[ADDR_TEXT_MAX];
    struct url url;
    uint64_t port = 0;

    if (!check_question(q, error))
        return NULL;
    struct explain_work *w = xcalloc(1, sizeof(*w));
    struct explanation *e = w->e = xcalloc(1, sizeof(*e));
    e->own = w;
    e->question = q;
    e->words = e->host = e->path = e->client = "";
    e->scheme = "http";
    w->world = world;
    arena_pool_init(&w->arenas);
    arena_init(&w->arena, &w->arenas);
    w->scratch = route_scratch_new();
    w->text = explain_keep(w, xmalloc(ROUTE_TEXT_MAX + 1));
    rng_seed(&w->rng, world->wall_us);
    split_url(q->url, &url);
    start_from(w, &q->from);
    e->client = explain_str(w, str_of(addr_format_host(&w->peer, peer)));
    if (str_u64(url.port, UINT16_MAX, &port) == 0 && find_listener(w, (uint16_t)port, error))
        follow(w, &url);
    if (e->listener == NULL) {
        if (error->len == 0)
            strbuf_add_cstr(error, "the URL's port is none");
        explain_free(&e);
    }
    return e;
}

void explain_free(struct explanation **explanation)
{
    struct explanation *e = *explanation;

    if (e == NULL)
        return;
    struct explain_work *w = e->own;
    arena_fini(&w->arena);
    arena_pool_fini(&w->arenas);
    route_scratch_free(&w->scratch);
    for (uint32_t i = 0; i < w->n_kept; i++)
        free(w->kept[i]);
    free(w->kept);
    free(w);
    free(e);
    *explanation = NULL;
}
