/* access_vars.c - the variables of access log templates: one writer and one row each.
 *
 * access_log.h lists them for users. A name's row says whether mode tcp has it and which heads must
 * be kept for it. Texts from outside go through put_text(), which escapes them. */
#include "lb/obs/access_priv.h"

#include "lb/base/tls_facts.h"
#include "lb/net/addr.h"

static struct str text_of(const char *s)
{
    return s != NULL ? str_of(s) : (struct str){0};
}

static void put_name(struct writer *w, const char *s)
{
    put_text(w, text_of(s), TEXT_MAX_OTHER);
}

static void put_other(struct writer *w, struct str s)
{
    put_text(w, s, TEXT_MAX_OTHER);
}

static void put_addr(struct writer *w, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    if (!put_ip4_addr(w, a))
        put_name(w, a == NULL || a->len == 0 ? NULL : addr_format(a, text));
}

/* Milliseconds as HAProxy prints its timers: whole, -1 for a phase that was not reached. */
static void put_timer(struct writer *w, int64_t us)
{
    if (us < 0)
        PUT(w, "-1");
    else
        put_u64(w, (uint64_t)us / 1000);
}

static void put_millis(struct writer *w, const struct access_record *r)
{
    put_char(w, '.');
    put_padded(w, (uint32_t)(r->start_wall_us % 1000000 / 1000), 3);
}

/* ---- what both modes have ---- */

#define WRITER(name)                                                                               \
    static void write_##name(struct writer *w, const struct access_record *r,                      \
                             struct str arg __attribute__((unused)))

static void write_client_ip(struct writer *w, const struct access_record *r, struct str arg);

WRITER(client)
{
    if (access_addr_portless(r->client))
        write_client_ip(w, r, arg);
    else
        put_addr(w, r->client);
}

WRITER(client_ip)
{
    char text[ADDR_TEXT_MAX];

    const struct addr *a = r->client;

    if (!put_ip4_host(w, a))
        put_name(w, a == NULL || a->len == 0 ? NULL : addr_format_host(a, text));
}

WRITER(client_port)
{
    if (access_addr_portless(r->client))
        put_char(w, '-');
    else
        put_u64(w, r->client == NULL || r->client->len == 0 ? 0 : addr_port(r->client));
}

WRITER(listener)
{
    put_name(w, r->listener);
}

WRITER(listener_addr)
{
    put_addr(w, r->listener_addr);
}

WRITER(pool)
{
    put_name(w, r->pool != NULL ? r->pool : r->listener);
}

WRITER(backend)
{
    put_name(w, r->backend != NULL ? r->backend : "<NOSRV>");
}

WRITER(backend_addr)
{
    put_addr(w, r->backend_addr);
}

WRITER(id)
{
    put_hex(w, r->id);
}

WRITER(time_haproxy)
{
    put_cstr(w, stamp_of(r)->haproxy);
    put_millis(w, r);
}

WRITER(time_local)
{
    put_cstr(w, stamp_of(r)->common);
}

WRITER(time_iso)
{
    put_cstr(w, stamp_of(r)->iso);
    put_millis(w, r);
    put_char(w, 'Z');
}

WRITER(time_epoch)
{
    put_u64(w, r->start_wall_us / 1000000);
    put_millis(w, r);
}

WRITER(queue_ms)
{
    put_timer(w, r->queue_us);
}

WRITER(connect_ms)
{
    put_timer(w, r->connect_us);
}

WRITER(total_ms)
{
    put_u64(w, r->total_us / 1000);
}

WRITER(bytes_in)
{
    put_u64(w, r->bytes_in);
}

WRITER(bytes_out)
{
    put_u64(w, r->bytes_out);
}

/* HAProxy's: a plus says that another backend took over. */
WRITER(retries)
{
    if (r->redispatched)
        put_char(w, '+');
    put_u64(w, r->retries);
}

WRITER(end)
{
    put_cstr(w, session_end_text(r->end));
}

WRITER(end_code)
{
    put_cstr(w, session_end_code(r->end));
}

WRITER(detail)
{
    put_name(w, r->detail);
}

WRITER(process_sessions)
{
    put_u64(w, r->actconn);
}

WRITER(listener_sessions)
{
    put_u64(w, r->feconn);
}

WRITER(pool_sessions)
{
    put_u64(w, r->beconn);
}

WRITER(backend_sessions)
{
    put_u64(w, r->srv_conn);
}

WRITER(backend_queue)
{
    put_u64(w, r->srv_queue);
}

WRITER(pool_queue)
{
    put_u64(w, r->backend_queue);
}

/* ---- TLS ---- */

#define TLS_WRITER(name)                                                                           \
    WRITER(tls_##name)                                                                             \
    {                                                                                              \
        put_other(w, r->tls != NULL ? r->tls->name : (struct str){0});                             \
    }
TLS_WRITER(version)
TLS_WRITER(cipher)
TLS_WRITER(sni)
TLS_WRITER(alpn)
TLS_WRITER(client_verify)
TLS_WRITER(client_subject)
TLS_WRITER(client_issuer)
TLS_WRITER(client_serial)
TLS_WRITER(client_fingerprint)

WRITER(tls_resumed)
{
    put_cstr(w, r->tls == NULL ? "-" : r->tls->resumed ? "1" : "0");
}

/* ---- mode http ---- */

/* A record of mode tcp has nothing of this. */
static const struct access_http *http_of(const struct access_record *r)
{
    static const struct access_http none = {.idle_us = -1, .head_us = -1, .response_us = -1};

    return r->http != NULL ? r->http : &none;
}

static struct str head_value(const struct http_head *h, enum http_field_id id)
{
    const struct http_field *f = h != NULL ? http_find(h, id, NULL) : NULL;

    return f != NULL ? http_value(h, f) : (struct str){0};
}

struct str access_method(const struct access_http *h)
{
    if (h->method.p != NULL || h->request == NULL)
        return h->method;
    return http_str(h->request, h->request->method_text);
}

struct str access_uri(const struct access_http *h)
{
    if (h->uri.p != NULL || h->request == NULL)
        return h->uri;
    return http_str(h->request, h->request->target);
}

struct str access_host(const struct access_http *h)
{
    if (h->host.p != NULL || h->request == NULL)
        return h->host;
    return http_str(h->request, h->request->authority);
}

struct str access_user_agent(const struct access_http *h)
{
    return h->user_agent.p != NULL ? h->user_agent : head_value(h->request, HTTP_USER_AGENT);
}

struct str access_referer(const struct access_http *h)
{
    return h->referer.p != NULL ? h->referer : head_value(h->request, HTTP_REFERER);
}

const char *access_protocol(const struct access_http *h)
{
    if (h->protocol != NULL || h->request == NULL)
        return h->protocol;
    switch (h->request->version) {
    case 10:
        return "HTTP/1.0";
    case 11:
        return "HTTP/1.1";
    case 20:
        return "HTTP/2.0"; /* as everybody logs it */
    default:
        return NULL;
    }
}

const char *access_scheme(const struct access_http *h)
{
    return h->scheme != NULL ? h->scheme : "http";
}

void access_end_state(const struct access_record *r, char out[static 5])
{
    const struct access_http *h = http_of(r);

    memcpy(out, session_end_code(r->end), 2);
    out[2] = h->cookie_in != 0 ? h->cookie_in : '-';
    out[3] = h->cookie_out != 0 ? h->cookie_out : h->cookie_in != 0 ? COOKIE_OUT_NONE : '-';
    out[4] = '\0';
}

WRITER(request)
{
    const struct access_http *h = http_of(r);
    struct str method = access_method(h);

    if (method.len == 0) {
        put_cstr(w, w->haproxy ? "<BADREQ>" : "-");
        return;
    }
    put_escaped(w, method, TEXT_MAX_METHOD);
    put_char(w, ' ');
    put_text(w, access_uri(h), TEXT_MAX_URI);
    const char *protocol = access_protocol(h);
    if (protocol == NULL)
        return;
    put_char(w, ' ');
    put_escaped(w, str_of(protocol), TEXT_MAX_METHOD);
}

WRITER(method)
{
    put_text(w, access_method(http_of(r)), TEXT_MAX_METHOD);
}

WRITER(uri)
{
    put_text(w, access_uri(http_of(r)), TEXT_MAX_URI);
}

WRITER(path)
{
    const struct http_head *request = http_of(r)->request;

    put_text(w, request != NULL ? http_str(request, request->path) : (struct str){0}, TEXT_MAX_URI);
}

static struct str query_of(const struct access_record *r)
{
    const struct http_head *request = http_of(r)->request;

    return request != NULL && request->has_query ? http_str(request, request->query)
                                                 : (struct str){0};
}

WRITER(query)
{
    put_text(w, query_of(r), TEXT_MAX_URI);
}

WRITER(protocol)
{
    put_name(w, access_protocol(http_of(r)));
}

/* "1.1" of "HTTP/1.1"; "2" of "HTTP/2.0", as it is called. */
WRITER(version)
{
    struct str text = text_of(access_protocol(http_of(r)));

    if (str_starts(text, STR("HTTP/")))
        text = (struct str){text.p + 5, text.len - 5};
    if (str_eq(text, STR("2.0")))
        text.len = 1;
    put_other(w, text);
}

WRITER(scheme)
{
    put_name(w, r->http != NULL ? access_scheme(r->http) : NULL);
}

WRITER(host)
{
    put_other(w, access_host(http_of(r)));
}

WRITER(user_agent)
{
    put_text(w, access_user_agent(http_of(r)), TEXT_MAX_AGENT);
}

WRITER(referer)
{
    put_text(w, access_referer(http_of(r)), TEXT_MAX_AGENT);
}

WRITER(user)
{
    put_other(w, http_of(r)->user);
}

WRITER(request_id)
{
    put_other(w, http_of(r)->request_id);
}

WRITER(traceparent)
{
    put_other(w, http_of(r)->traceparent);
}

WRITER(status)
{
    if (http_of(r)->status == 0)
        PUT(w, "-1");
    else
        put_u64(w, http_of(r)->status);
}

static bool client_left(enum session_end e)
{
    return e == END_CLIENT_ABORT || e == END_CLIENT_GONE || e == END_CLIENT_LEFT_HEAD ||
           e == END_CLIENT_LEFT_WAIT || e == END_CLIENT_LEFT_QUEUE;
}

WRITER(status_combined)
{
    unsigned status = http_of(r)->status;

    if (status == 0)
        put_cstr(w, client_left(r->end) ? "499" : "000");
    else
        put_u64(w, status);
}

WRITER(reason)
{
    put_name(w, http_of(r)->reason);
}

WRITER(route)
{
    put_name(w, http_of(r)->route);
}

WRITER(idle_ms)
{
    put_timer(w, http_of(r)->idle_us);
}

WRITER(head_ms)
{
    put_timer(w, http_of(r)->head_us);
}

WRITER(response_ms)
{
    put_timer(w, http_of(r)->response_us);
}

WRITER(body_bytes_in)
{
    put_u64(w, http_of(r)->body_bytes_in);
}

WRITER(body_bytes_out)
{
    put_u64(w, http_of(r)->body_bytes_out);
}

WRITER(end_state)
{
    char text[5];

    access_end_state(r, text);
    put_cstr(w, text);
}

WRITER(sequence)
{
    put_u64(w, http_of(r)->sequence);
}

WRITER(reused)
{
    put_char(w, http_of(r)->reused ? '1' : '0');
}

/* All fields of the name, as if they were one; together at most as much as one text. */
static void put_fields(struct writer *w, const struct http_head *h, struct str name)
{
    const struct http_field *f = h != NULL ? http_find_name(h, name, NULL) : NULL;
    const char *start = w->p;

    if (f == NULL) {
        put_char(w, '-');
        return;
    }
    put_text(w, http_value(h, f), TEXT_MAX_AGENT);
    while ((f = http_find_name(h, name, f)) != NULL && w->p - start < TEXT_MAX_AGENT - 2) {
        PUT(w, ", ");
        put_escaped(w, http_value(h, f), (size_t)(TEXT_MAX_AGENT - (w->p - start)));
    }
}

WRITER(header)
{
    put_fields(w, http_of(r)->request, arg);
}

WRITER(response_header)
{
    put_fields(w, http_of(r)->response, arg);
}

WRITER(cookie)
{
    const struct http_head *h = http_of(r)->request;
    const struct http_field *f = NULL;
    struct str value = {0};

    while (h != NULL && (f = http_find(h, HTTP_COOKIE, f)) != NULL)
        if (http_cookie_find(http_value(h, f), arg, &value))
            break;
    put_text(w, value, TEXT_MAX_AGENT);
}

WRITER(query_arg)
{
    struct str rest = query_of(r), value = {0};

    while (rest.len > 0) {
        struct str pair = str_word(&rest, "&");
        if (pair.len < arg.len || memcmp(pair.p, arg.p, arg.len) != 0)
            continue;
        if (pair.len > arg.len && pair.p[arg.len] != '=')
            continue;
        if (pair.len > arg.len)
            value = (struct str){pair.p + arg.len + 1, pair.len - arg.len - 1};
        break;
    }
    put_text(w, value, TEXT_MAX_AGENT);
}

/* ---- the table ---- */

#define BOTH(name)                                                                                 \
    {                                                                                              \
#name, write_##name, false, 0                                                              \
    }
#define HTTP(name, needs)                                                                          \
    {                                                                                              \
#name, write_##name, true, needs                                                           \
    }
#define TLS(name)                                                                                  \
    {                                                                                              \
#name, write_##name, false, ACCESS_NEEDS_TLS                                               \
    }
#define REQUEST ACCESS_NEEDS_REQUEST

static const struct access_variable variables[] = {
    BOTH(backend),
    BOTH(backend_addr),
    BOTH(backend_queue),
    BOTH(backend_sessions),
    HTTP(body_bytes_in, 0),
    HTTP(body_bytes_out, 0),
    BOTH(bytes_in),
    BOTH(bytes_out),
    BOTH(client),
    BOTH(client_ip),
    BOTH(client_port),
    BOTH(connect_ms),
    {"cookie_", write_cookie, true, REQUEST},
    BOTH(detail),
    BOTH(end),
    BOTH(end_code),
    HTTP(end_state, 0),
    HTTP(head_ms, 0),
    {"header_", write_header, true, REQUEST},
    HTTP(host, REQUEST),
    BOTH(id),
    HTTP(idle_ms, 0),
    BOTH(listener),
    {"listener_addr", write_listener_addr, false, ACCESS_NEEDS_LOCAL},
    BOTH(listener_sessions),
    HTTP(method, REQUEST),
    HTTP(path, REQUEST),
    BOTH(pool),
    BOTH(pool_queue),
    BOTH(pool_sessions),
    BOTH(process_sessions),
    HTTP(protocol, REQUEST),
    HTTP(query, REQUEST),
    {"query_", write_query_arg, true, REQUEST},
    BOTH(queue_ms),
    HTTP(reason, 0),
    HTTP(referer, REQUEST),
    HTTP(request, REQUEST),
    HTTP(request_id, 0),
    {"response_header_", write_response_header, true, ACCESS_NEEDS_RESPONSE},
    HTTP(response_ms, 0),
    BOTH(retries),
    HTTP(reused, 0),
    HTTP(route, 0),
    HTTP(scheme, 0),
    HTTP(sequence, 0),
    HTTP(status, 0),
    HTTP(status_combined, 0),
    BOTH(time_epoch),
    BOTH(time_haproxy),
    BOTH(time_iso),
    BOTH(time_local),
    TLS(tls_alpn),
    TLS(tls_cipher),
    TLS(tls_client_fingerprint),
    TLS(tls_client_issuer),
    TLS(tls_client_serial),
    TLS(tls_client_subject),
    TLS(tls_client_verify),
    TLS(tls_resumed),
    TLS(tls_sni),
    TLS(tls_version),
    BOTH(total_ms),
    HTTP(traceparent, 0),
    HTTP(uri, REQUEST),
    HTTP(user, 0),
    HTTP(user_agent, REQUEST),
    HTTP(version, REQUEST),
};

static bool takes_name(const struct access_variable *v)
{
    return v->name[strlen(v->name) - 1] == '_';
}

/* The variable that shares the longest beginning with a mistyped name: most mistakes are at the
 * end. NULL when it is less than two letters. */
static const char *similar(struct str name)
{
    const char *best = NULL;
    size_t best_len = 1;

    for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
        const char *v = variables[i].name;
        size_t n = 0;
        while (n < name.len && v[n] != '\0' && v[n] == name.p[n])
            n++;
        if (n > best_len && !takes_name(&variables[i])) {
            best = v;
            best_len = n;
        }
    }
    return best;
}

const struct access_variable *access_variable_find(struct str name, struct str *out_arg,
                                                   const char **out_near)
{
    *out_arg = (struct str){0};
    for (size_t i = 0; i < ARRAY_LEN(variables); i++)
        if (str_eq_cstr(name, variables[i].name) && !takes_name(&variables[i]))
            return &variables[i];
    for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
        struct str prefix = str_of(variables[i].name);
        if (!takes_name(&variables[i]) || !str_starts(name, prefix) || name.len == prefix.len)
            continue;
        *out_arg = (struct str){name.p + prefix.len, name.len - prefix.len};
        return &variables[i];
    }
    *out_near = similar(name);
    return NULL;
}
