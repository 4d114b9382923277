/* exchange_route.c - from a request's head to a connection that it is sent on: route, filters,
 * pool, backend. */
#include "lb/http/uri.h"
#include "lb/net/proxy_proto.h"
#include "lb/net/stream.h"
#include "lb/proxy/exchange_priv.h"
#include "lb/proxy/request.h"
#include "lb/upstream/retry_budget.h"
#include "lb/upstream/stick.h"

#include <errno.h>
#include <string.h>

#define FORWARDED_BYTES 4096 /* what the fields that we add may need, at most */

static void no_memory(struct exchange *x)
{
    exchange_fail(x, END_RESOURCE, NULL, -ENOMEM);
}

/* ---- what the rules look at ---- */

/* False: refused. */
static bool find_path(struct exchange *x)
{
    struct uri_path path;
    enum uri_result why;
    int rc =
        request_path(&x->request, exchange_conf(x)->keep_encoded_slash, &x->arena, &path, &why);

    if (rc == -ENOMEM)
        no_memory(x);
    else if (rc < 0)
        exchange_refuse(x, 400, uri_result_code(why), END_BAD_REQUEST);
    x->path = path.text;
    x->path_had_dots = path.had_dots;
    return rc == 0;
}

static const struct tls_facts *tls_of(void *arg)
{
    return exchange_tls(arg);
}

void exchange_vars(const struct exchange *x, struct http_vars *out)
{
    const struct backend_slot *slot = x->seek.slot ? x->seek.slot : x->seek.last_slot;

    memset(out, 0, sizeof(*out));
    out->request = &x->request;
    out->response = x->status != 0 ? &x->response : NULL;
    out->client_ip = x->client_ip;
    out->scheme = str_of(x->scheme);
    out->host = x->host;
    out->path = x->path;
    out->query = request_query(&x->request);
    out->request_id = x->request_id;
    out->traceparent = x->traceparent;
    out->listener = str_of(x->listener->conf->name);
    out->route = x->route ? str_of(x->route->name) : STR("");
    out->pool = x->pool ? str_of(x->pool->name) : STR("");
    out->backend = slot ? str_of(slot->name) : STR("");
    out->wall_s = io_wall_us(exchange_io(x)) / 1000000;
    for (uint32_t i = 0; i < x->match.n_captures; i++)
        out->captures[i] = x->match.captures[i];
    out->tls = tls_of;
    out->tls_arg = (void *)(uintptr_t)x;
}

static bool keep_text(struct exchange *x, const char *text, size_t len, struct str *out)
{
    *out = (struct str){arena_copy(&x->arena, text, len), len};
    return out->p != NULL;
}

bool exchange_complete_vars(struct exchange *x, struct http_vars *vars)
{
    char text[ADDR_TEXT_MAX], client_port[STR_U64_MAX], port[STR_U64_MAX];
    struct addr peer;

    session_client_address(x->session, -1, &peer);
    addr_format_host(&peer, text);
    return keep_text(x, text, strlen(text), &vars->peer_ip) &&
           keep_text(x, client_port, str_put_u64(addr_port(x->client), client_port),
                     &vars->client_port) &&
           keep_text(x, port, str_put_u64(x->session->local_port, port), &vars->port);
}

/* ---- the actions that need no backend ---- */

static int expand_refused(struct exchange *x, int error)
{
    const char *code;
    uint16_t status = request_rewrite_refusal(error, &code);

    exchange_refuse(x, status, code, END_BAD_REQUEST);
    return error;
}

static void redirect(struct exchange *x)
{
    struct http_vars vars;
    char *to = x->proxy->text;

    exchange_vars(x, &vars);
    if (!exchange_complete_vars(x, &vars)) {
        no_memory(x);
        return;
    }
    int n = route_redirect_to(x->route->rewrite, &vars, to, ROUTE_TEXT_MAX);
    if (n < 0) {
        expand_refused(x, n);
        return;
    }
    const struct answer a = {
        .status = (uint16_t)x->route->conf->route.redirect.status,
        .location = {to, (size_t)n},
    };
    x->end = END_LOCAL;
    if (!exchange_answer(x, &a))
        no_memory(x);
}

static void fixed_answer(struct exchange *x)
{
    const struct route_conf *conf = &x->route->conf->route;
    struct answer a = {
        .status = (uint16_t)conf->answer.status,
        .body = route_answer_fixed(x->route->rewrite),
        .type = conf->answer.type ? str_of(conf->answer.type) : STR("text/plain; charset=utf-8"),
    };
    struct http_vars vars;

    if (a.body.p == NULL && conf->answer.body != NULL) {
        exchange_vars(x, &vars);
        if (!exchange_complete_vars(x, &vars)) {
            no_memory(x);
            return;
        }
        int n = route_answer_body(x->route->rewrite, &vars, x->proxy->text, ROUTE_TEXT_MAX);
        if (n < 0) {
            expand_refused(x, n);
            return;
        }
        a.body = (struct str){x->proxy->text, (size_t)n};
    }
    if (a.body.len == 0)
        a.no_body = true;
    x->end = END_LOCAL;
    if (!exchange_answer(x, &a))
        no_memory(x);
}

/* No route takes it: either https does, or there is nothing here. */
static void no_route(struct exchange *x)
{
    struct http_vars vars;
    char *to = x->proxy->text;

    exchange_vars(x, &vars);
    int n = http_listener_to_https(x->listener, &vars, to, ROUTE_TEXT_MAX);
    if (n <= 0) {
        exchange_refuse(x, 404, "no-route", END_LOCAL);
        return;
    }
    const struct answer a = {.status = 308, .location = {to, (size_t)n}};
    x->end = END_LOCAL;
    if (!exchange_answer(x, &a))
        no_memory(x);
}

/* ---- what the backend is asked for ---- */

/* An untouched route forwards the client's bytes. */
static bool rewrite(struct exchange *x)
{
    const struct route_rewrite *w = x->route->rewrite;
    const struct uri_path path = {x->path, x->path_had_dots};
    const struct http_vars *used = NULL;
    struct http_vars vars;
    struct request_out out;
    int rc = 0;

    if (route_rewrites_path(w) || route_rewrites_host(w)) {
        exchange_vars(x, &vars);
        rc = exchange_complete_vars(x, &vars) ? 0 : -ENOMEM;
        used = &vars;
    }
    if (rc == 0)
        rc = request_rewrite(w, x->proxy->routing, used, &x->request, &path, &x->arena,
                             x->proxy->text, &out);
    if (rc == -ENOMEM)
        no_memory(x);
    else if (rc < 0)
        expand_refused(x, rc);
    if (rc < 0)
        return false;
    x->target = out.target;
    x->host_out = out.host;
    return true;
}

/* ---- a backend ---- */

/* A request that may be sent twice without harm may use any connection. */
static struct backend_conn *idle_conn(struct exchange *x)
{
    const struct pool_conf *c = x->pool->conf;
    struct conn_cache *cache = &x->proxy->cache;
    const struct addr *address = atomic_load_explicit(&x->seek.slot->address, memory_order_acquire);

    if (address == NULL || c->http.reuse == REUSE_NEVER || c->send_proxy != PROXY_OFF || x->resent)
        return NULL;
    if (c->http.reuse == REUSE_ALWAYS ||
        http_method_is_idempotent((enum http_method)x->request.method))
        return conn_cache_take(cache, x->pool, x->seek.slot, address);
    return conn_cache_take_safe(cache, x->pool, x->seek.slot, address, x->session->id);
}

static void on_placed(struct seek *k)
{
    struct exchange *x = container_of(k, struct exchange, seek);
    struct backend_conn *conn;

    exchange_h2_dial_over(x, k->last_error); /* elsewhere, in vain */
    x->wire_lost = false;
    if (exchange_h2_open(x))
        return;
    conn = idle_conn(x);
    if (conn != NULL)
        exchange_open_wire(x, conn);
    else
        exchange_h2_dial(x);
}

static void on_failed(struct seek *k, enum session_end why, int error)
{
    struct exchange *x = container_of(k, struct exchange, seek);

    exchange_h2_dial_over(x, error);
    if (x->wire_lost && why == END_CONNECT_FAILED)
        why = END_SERVER_CLOSED; /* nobody was left to be tried */
    exchange_fail(x, why, why == END_SERVER_CLOSED ? x->lost : NULL, error);
    exchange_kick(x);
}

static void on_stopped(struct seek *k)
{
    struct exchange *x = container_of(k, struct exchange, seek);

    seek_fini(k);
    exchange_kick(x);
}

const struct seek_ops exchange_seek_ops = {
    .placed = on_placed,
    .connected = exchange_dialled,
    .late = exchange_dial_late,
    .failed = on_failed,
    .stopped = on_stopped,
};

static void choose_backend(struct exchange *x)
{
    seek_init(&x->seek, &exchange_seek_ops, x->proxy, x->pool);
    if (x->pool->conf->balance.kind == BALANCE_HASH)
        x->seek.key = request_hash_key(x->pool->conf, &x->request, x->host, x->path, x->client);
    uint32_t n = atomic_fetch_add_explicit(&x->pool->kept->current, 1, memory_order_relaxed) + 1;
    counter_max(&x->pool->kept->current_max, n);
    x->counted = true;
    exchange_enter(x, X_SEEKING);
    retry_budget_request(x->pool->budget, x->proxy->worker, exchange_now_us(x));
    if (x->pool->stick != NULL)
        x->stick_member = request_cookie(x->pool->stick, x->pool->conf, &x->request, &x->cookie_in);
    if (x->stick_member != STICK_NONE)
        seek_place_at(&x->seek, x->pool->members[x->stick_member].slot);
    else
        seek_place(&x->seek);
}

/* ---- the head that is sent ---- */

bool exchange_send_head(struct exchange *x)
{
    const struct http_head *h = &x->request;
    bool length_changes = x->fx != NULL && x->fx->request_length_changes;
    char preface[PROXY_WRITE_MAX];
    struct wire_request r = {
        .head = h,
        .method = http_str(h, h->method_text),
        .target = x->target,
        .uri = x->uri.len > 0 ? x->uri : x->target,
        .host = x->host_out,
        .scheme = str_of(x->scheme),
        .body = (enum http_body)h->body,
        .content_length = h->content_length,
        .has_content_length = h->has_content_length,
        .te_trailers = h->te_trailers,
        .upgrade = h->upgrade,
        .last = x->pool->conf->http.reuse == REUSE_NEVER,
    };

    if (x->pool->conf->tls == NULL) /* else it was sent before the handshake */
        r.preface = (struct str){preface, exchange_proxy_header(x, preface)};
    if (length_changes && r.body == HTTP_BODY_LENGTH)
        r.body = HTTP_BODY_CHUNKED;
    return x->wire.ops->send_head(&x->wire, &r);
}

void exchange_open_wire(struct exchange *x, struct backend_conn *conn)
{
    if (protocol_is_cgi(x->pool->conf->protocol))
        wire_cgi_open(&x->wire_cgi, x, conn);
    else
        wire_h1_open(&x->wire_h1, x, conn);
    exchange_wire_opened(x);
}

void exchange_wire_opened(struct exchange *x)
{
    struct backend_counters *row = exchange_backend_row(x);

    x->wire.reusable = x->pool->conf->http.reuse != REUSE_NEVER &&
                       x->pool->conf->send_proxy == PROXY_OFF && !x->request.upgrade;
    counter_add(&row->requests, 1);
    if (x->wire.reused)
        counter_add(&row->reuses, 1);
    if (x->seek.wanted_lost)
        x->cookie_in = COOKIE_IN_DOWN;
    if (x->stick_member != STICK_NONE && !x->sent_before)
        counter_add(x->seek.wanted_lost ? &row->sticky_moved : &row->sticky_kept, 1);
    if (!x->sent_before) {
        counter_add(&row->sessions, 1);
        counter_set(&row->last_session_s, io_wall_us(exchange_io(x)) / 1000000);
    }
    x->sent_before = true;
    x->request_done = false;
    exchange_enter(x, X_SENDING);
    x->active_ms = exchange_now_ms(x);
    exchange_deadline(x, exchange_body_timeout_ms(x));
    if (!exchange_send_head(x))
        no_memory(x);
    exchange_kick(x);
}

/* ---- the route ---- */

/* Of a route that rewrites it, else the normal form. */
static struct str path_that_goes_on(const struct exchange *x)
{
    if (!route_rewrites_path(x->route->rewrite))
        return x->path;
    const char *mark = memchr(x->target.p, '?', x->target.len);
    return (struct str){x->target.p, mark != NULL ? (size_t)(mark - x->target.p) : x->target.len};
}

void exchange_to_pool(struct exchange *x, struct pool *pool)
{
    x->pool = pool;
    choose_backend(x);
}

static void act(struct exchange *x)
{
    const struct route_conf *conf = &x->route->conf->route;

    switch (conf->action) {
    case ROUTE_REDIRECT:
        redirect(x);
        return;
    case ROUTE_ANSWER:
        fixed_answer(x);
        return;
    case ROUTE_FILES:
        if (rewrite(x))
            exchange_files(x, path_that_goes_on(x));
        return;
    case ROUTE_POOL:
        x->pool = x->route->pool;
        break;
    case ROUTE_SPLIT:
        x->pool = x->route->split[route_split_pick(conf, rng_next(&x->proxy->rng))];
        break;
    }
    if (rewrite(x))
        choose_backend(x);
}

void exchange_answer_filter(struct exchange *x)
{
    const struct filter_answer *fa = &x->fx->answer;
    const struct answer a = {
        .status = fa->status,
        .body = fa->body,
        .type = fa->type,
        .headers = fa->headers,
        .n_headers = fa->n_headers,
    };

    x->reason = fa->reason;
    x->end = END_DENIED;
    if (!exchange_answer(x, &a))
        no_memory(x);
}

static void filters_over(struct exchange *x, enum filter_verdict v)
{
    switch (v) {
    case FILTER_PASS:
        act(x);
        return;
    case FILTER_PAUSE:
        exchange_enter(x, X_FILTERS);
        return;
    case FILTER_ANSWER:
        counter_add(&exchange_listener_row(x)->denied_requests, 1);
        exchange_answer_filter(x);
        return;
    case FILTER_ABORT:
        exchange_fail(x, END_INTERNAL, "filter-failed", 0);
        return;
    }
}

static void on_filter_resume(struct filter_exchange *fx)
{
    struct exchange *x = fx->owner;

    if (x->state == X_FILTERS)
        exchange_resume(x);
    else if (x->state == X_RESPONSE_FILTERS)
        exchange_response_resume(x);
    else
        exchange_filters_go_on(x);
    exchange_kick(x);
}

static const struct filter_host filter_host = {.resume = on_filter_resume};

static bool make_filter_exchange(struct exchange *x)
{
    struct filter_exchange *fx = arena_zalloc(&x->arena, sizeof(*fx));

    if (fx == NULL)
        return false;
    fx->request = &x->request;
    fx->arena = &x->arena;
    fx->client = x->client;
    fx->io = exchange_io(x);
    fx->loop = x->proxy->loop;
    fx->host = &filter_host;
    fx->owner = x;
    exchange_vars(x, &fx->vars);
    if (!exchange_complete_vars(x, &fx->vars))
        return false;
    x->fx = fx;
    return true;
}

void exchange_resume(struct exchange *x)
{
    filters_over(x, filter_chain_request_head(&x->route->filters, x->fx, &x->filter_at));
}

/* Its route is known: through the filters to what it does. */
static void take_route(struct exchange *x)
{
    counter_add(&x->route->rows[x->proxy->worker].requests, 1);
    if (x->route->filters.n == 0)
        act(x);
    else if (make_filter_exchange(x))
        exchange_resume(x);
    else
        no_memory(x);
}

void exchange_route(struct exchange *x)
{
    const struct http_listener *l = x->listener;

    if (x->request.method == HTTP_CONNECT) {
        exchange_refuse(x, 405, "connect-refused", END_BAD_REQUEST);
        return;
    }
    if (!request_host(&x->request, &x->arena, &x->host)) {
        no_memory(x);
        return;
    }
    if (!find_path(x))
        return;
    const struct route_request rr = {
        .head = &x->request,
        .host = x->host,
        .path = x->path,
        .query = request_query(&x->request),
        .client = x->client,
    };
    uint32_t i = route_find(l->table, x->proxy->routing, &rr, &x->match);
    if (i == ROUTE_NONE) {
        no_route(x);
        return;
    }
    x->route = &l->routes[i];
    http_strip_hop_by_hop(&x->request, x->request.upgrade);
    if (!exchange_forward(x)) {
        if (x->request.used > HTTP_HEAD_BYTES_MAX - FORWARDED_BYTES)
            exchange_refuse(x, 431, "head-too-large", END_BAD_REQUEST);
        else
            no_memory(x);
        return;
    }
    take_route(x);
}

/* What the client asked for, for applications that look at it whatever script runs them. */
static bool keep_uri(struct exchange *x)
{
    struct str path = http_str(&x->request, x->request.path);
    struct str query = request_query(&x->request);

    if (x->uri.len > 0)
        return true;
    char *p = arena_alloc(&x->arena, path.len + query.len + 2);
    if (p == NULL)
        return false;
    memcpy(p, path.p, path.len);
    x->uri = (struct str){p, path.len};
    if (x->request.has_query) {
        p[path.len] = '?';
        memcpy(p + path.len + 1, query.p, query.len);
        x->uri.len += 1 + query.len;
    }
    return true;
}

bool exchange_reroute(struct exchange *x, struct str path)
{
    const struct http_listener *l = x->listener;
    struct route_match match = {0};
    const struct route_request rr = {
        .head = &x->request,
        .host = x->host,
        .path = path,
        .query = request_query(&x->request),
        .client = x->client,
    };
    uint32_t i = route_find(l->table, x->proxy->routing, &rr, &match);

    if (i == ROUTE_NONE || &l->routes[i] == x->route)
        return false;
    exchange_files_leave(x);
    if (x->reroutes++ >= REROUTES_MAX) {
        exchange_refuse(x, 500, "files-loop", END_INTERNAL);
        return true;
    }
    if (!keep_uri(x)) {
        no_memory(x);
        return true;
    }
    if (x->fx != NULL) {
        filter_chain_end(&x->route->filters, x->fx);
        if (x->fx->user.p != NULL)
            x->user = x->fx->user;
    }
    x->fx = NULL;
    x->filter_at = 0;
    x->route = &l->routes[i];
    x->match = match;
    x->path = path;
    x->path_had_dots = true; /* not the client's path: this one goes on */
    take_route(x);
    return true;
}
