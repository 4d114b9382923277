/* cgi_request.c - see cgi_request.h */
#include "lb/proxy/cgi_request.h"

#include "lb/filter/basic_auth_priv.h"
#include "lb/http/fcgi.h"
#include "lb/http/uri.h"
#include "lb/proxy/exchange_priv.h"

#include <stdlib.h>
#include <string.h>

#define FRONT_BYTES  32 /* room for what goes before the variables, of every protocol */
#define BEHIND_BYTES (FCGI_HEAD_BYTES * 2)
#define FIRST_BYTES  4096

/* The variables as they grow. */
struct writer {
    struct exchange *x;
    struct io_buf *b; /* NULL: no memory */
    enum cgi_wire wire;
    bool params;        /* the operator's: what they name is not said by us */
    const char *reason; /* why it cannot be said; NULL: it can */
};

/* Room for n more bytes and for what goes behind all. */
static bool reserve(struct writer *w, size_t n)
{
    struct io *io = exchange_io(w->x);

    if (w->b == NULL)
        return false;
    if (io_buf_room(io, w->b) >= n + BEHIND_BYTES)
        return true;
    struct io_buf *more = io_buf_new(io, (uint32_t)((w->b->len + n) * 2 + BEHIND_BYTES));
    if (more != NULL) {
        memcpy(more->data, w->b->data, w->b->len);
        more->len = w->b->len;
    }
    io_buf_put(io, w->b);
    w->b = more;
    return more != NULL;
}

static bool is_overridden(const struct writer *w, struct str name)
{
    const struct cgi_conf *c = &w->x->pool->conf->http.cgi;

    for (uint32_t i = 0; i < c->n_params && !w->params; i++)
        if (str_eq_cstr(name, c->params[i].name))
            return true;
    return false;
}

static void put(struct writer *w, struct str name, struct str value)
{
    if (w->reason != NULL || is_overridden(w, name) ||
        !reserve(w, name.len + value.len + CGI_PAIR_MAX))
        return;
    size_t n = cgi_put(w->wire, name, value, (char *)w->b->data + w->b->len);
    if (n == 0)
        w->reason = "variable-cannot-be-said";
    w->b->len += (uint32_t)n;
}

static void put_number(struct writer *w, struct str name, uint64_t value)
{
    char text[STR_U64_MAX];

    put(w, name, (struct str){text, str_put_u64(value, text)});
}

/* Two texts in a row; out of the exchange's arena. */
static void put_joined(struct writer *w, struct str name, struct str a, struct str b)
{
    char *text = arena_alloc(&w->x->arena, a.len + b.len + 1);

    if (text == NULL) {
        w->reason = "out-of-resources";
        return;
    }
    memcpy(text, a.p, a.len);
    if (b.len > 0)
        memcpy(text + a.len, b.p, b.len);
    put(w, name, (struct str){text, a.len + b.len});
}

static struct str or_empty(const char *text)
{
    return text != NULL ? str_of(text) : STR("");
}

/* ---- where to ---- */

/* The path that is asked for, decoded, and the query. */
static bool split_target(struct exchange *x, struct str target, struct str *path, struct str *query)
{
    const char *mark = memchr(target.p, '?', target.len);
    size_t n = mark != NULL ? (size_t)(mark - target.p) : target.len;
    char *text = arena_alloc(&x->arena, n + 1);

    *query = mark != NULL ? (struct str){mark + 1, target.len - n - 1} : STR("");
    if (text == NULL || !uri_decode((struct str){target.p, n}, false, text, &path->len))
        return false;
    path->p = text;
    return true;
}

static void put_script(struct writer *w, struct str path)
{
    const struct cgi_conf *c = &w->x->pool->conf->http.cgi;
    struct cgi_script script;

    cgi_find_script(path, or_empty(c->split), or_empty(c->script), &script);
    struct str name = script.name, root = or_empty(c->root);
    if (script.add_index && c->index != NULL) {
        char *text = arena_alloc(&w->x->arena, name.len + strlen(c->index) + 1);
        if (text == NULL) {
            w->reason = "out-of-resources";
            return;
        }
        memcpy(text, name.p, name.len);
        strcpy(text + name.len, c->index);
        name = (struct str){text, name.len + strlen(c->index)};
    }
    put(w, STR("SCRIPT_NAME"), name);
    put_joined(w, STR("DOCUMENT_URI"), name, script.info);
    put_joined(w, STR("SCRIPT_FILENAME"), root, name);
    if (root.len > 0)
        put(w, STR("DOCUMENT_ROOT"), root);
    if (script.info.len == 0)
        return;
    put(w, STR("PATH_INFO"), script.info);
    if (root.len > 0)
        put_joined(w, STR("PATH_TRANSLATED"), root, script.info);
}

/* As WSGI and its like count: the application is mounted somewhere, the rest is its path. */
static void put_mounted(struct writer *w, struct str path)
{
    const struct cgi_conf *c = &w->x->pool->conf->http.cgi;
    struct str mount = or_empty(c->mount);

    if (!str_starts(path, mount) || (path.len > mount.len && path.p[mount.len] != '/'))
        mount.len = 0;
    put(w, STR("SCRIPT_NAME"), mount);
    put(w, STR("PATH_INFO"), (struct str){path.p + mount.len, path.len - mount.len});
    put(w, STR("DOCUMENT_URI"), path);
    if (c->root != NULL)
        put(w, STR("DOCUMENT_ROOT"), str_of(c->root));
}

/* ---- who, and how ---- */

static struct str protocol_of(const struct exchange *x)
{
    return x->request.version >= 20   ? STR("HTTP/2.0")
           : x->request.version == 10 ? STR("HTTP/1.0")
                                      : STR("HTTP/1.1");
}

static void put_addresses(struct writer *w)
{
    struct exchange *x = w->x;
    char text[ADDR_TEXT_MAX];
    struct addr local;

    put(w, STR("REMOTE_ADDR"), x->client_ip);
    put_number(w, STR("REMOTE_PORT"), addr_port(x->client));
    session_destination(x->session, exchange_http_session(x)->stream.fd, &local);
    put(w, STR("SERVER_ADDR"), str_of(addr_format_host(&local, text)));
    put_number(w, STR("SERVER_PORT"), x->session->local_port);
}

/* Whom basic authentication has let in: a name that nobody has checked is not told. */
static void put_user(struct writer *w)
{
    const struct http_head *h = &w->x->request;
    const struct http_field *f = http_find(h, HTTP_AUTHORIZATION, NULL);
    struct basic_auth_credentials who;

    if (w->x->route->conf->filters.basic_auth == NULL || f == NULL ||
        !basic_auth_header_parse(http_value(h, f), &who))
        return;
    put(w, STR("REMOTE_USER"), str_of(who.user));
    put(w, STR("AUTH_TYPE"), STR("Basic"));
}

/* The next field of f's name behind `after`; NULL: the first. */
static const struct http_field *same_name(const struct http_head *h, const struct http_field *f,
                                          const struct http_field *after)
{
    if (f->id != HTTP_OTHER)
        return http_find(h, (enum http_field_id)f->id, after);
    return http_find_name(h, http_name(h, f), after);
}

/* Fields of one name become one variable (RFC 3875 section 4.1.18). */
static void put_field(struct writer *w, const struct http_field *f, struct str name)
{
    const struct http_head *h = &w->x->request;
    struct str value = http_value(h, f), glue = f->id == HTTP_COOKIE ? STR("; ") : STR(", ");
    const struct http_field *next = f;
    char *text = NULL;

    while ((next = same_name(h, f, next)) != NULL) {
        struct str more = http_value(h, next);
        text = arena_alloc(&w->x->arena, value.len + glue.len + more.len);
        if (text == NULL) {
            w->reason = "out-of-resources";
            return;
        }
        memcpy(text, value.p, value.len);
        memcpy(text + value.len, glue.p, glue.len);
        memcpy(text + value.len + glue.len, more.p, more.len);
        value = (struct str){text, value.len + glue.len + more.len};
    }
    put(w, name, value);
}

static bool is_own(const struct http_field *f)
{
    switch ((enum http_field_id)f->id) {
    case HTTP_DROPPED:
    case HTTP_HOST:
    case HTTP_CONTENT_LENGTH:
    case HTTP_TRANSFER_ENCODING:
    case HTTP_CONTENT_TYPE:
    case HTTP_EXPECT: /* we have answered it */
        return true;
    default:
        return false;
    }
}

static void put_fields(struct writer *w)
{
    const struct http_head *h = &w->x->request;
    char name[5 + UINT8_MAX];

    for (uint32_t i = 0; i < h->n_fields; i++) {
        const struct http_field *f = &h->fields[i];
        if (is_own(f) || same_name(h, f, NULL) != f)
            continue;
        size_t n = cgi_header_name(http_name(h, f), name);
        if (n > 0)
            put_field(w, f, (struct str){name, n});
    }
}

static void put_params(struct writer *w)
{
    const struct pool *pool = w->x->pool;
    const struct cgi_conf *c = &pool->conf->http.cgi;
    struct http_vars vars;

    if (c->n_params == 0)
        return;
    exchange_vars(w->x, &vars);
    if (!exchange_complete_vars(w->x, &vars)) {
        w->reason = "out-of-resources";
        return;
    }
    w->params = true;
    for (uint32_t i = 0; i < c->n_params; i++) {
        char *text = w->x->proxy->text;
        int n = http_template_expand(pool->cgi_params[i], &vars, text, ROUTE_TEXT_MAX);
        if (n < 0)
            w->reason = "variable-too-long";
        else
            put(w, str_of(c->params[i].name), (struct str){text, (size_t)n});
    }
}

static void put_all(struct writer *w, const struct wire_request *r)
{
    struct exchange *x = w->x;
    const struct http_field *type = http_find(&x->request, HTTP_CONTENT_TYPE, NULL);
    struct str path, query;

    if (!split_target(x, r->target, &path, &query)) {
        w->reason = "bad-target";
        return;
    }
    if (w->wire == CGI_SCGI) { /* the first, whatever it is */
        put_number(w, STR("CONTENT_LENGTH"), r->content_length);
        put(w, STR("SCGI"), STR("1"));
    } else if (r->has_content_length || r->body != HTTP_BODY_NONE) {
        put_number(w, STR("CONTENT_LENGTH"), r->content_length);
    }
    put(w, STR("GATEWAY_INTERFACE"), STR("CGI/1.1"));
    put(w, STR("SERVER_SOFTWARE"), STR("sluice"));
    put(w, STR("SERVER_PROTOCOL"), protocol_of(x));
    put(w, STR("SERVER_NAME"), x->host);
    put(w, STR("REQUEST_METHOD"), r->method);
    put(w, STR("REQUEST_URI"), r->uri);
    put(w, STR("REQUEST_SCHEME"), r->scheme);
    if (str_eq(r->scheme, STR("https")))
        put(w, STR("HTTPS"), STR("on"));
    put(w, STR("QUERY_STRING"), query);
    if (type != NULL)
        put(w, STR("CONTENT_TYPE"), http_value(&x->request, type));
    put_addresses(w);
    put_user(w);
    if (w->wire == CGI_FASTCGI) {
        put(w, STR("REDIRECT_STATUS"), STR("200")); /* php-cgi refuses to run without it */
        put_script(w, path);
    } else {
        put_mounted(w, path);
    }
    if (r->host.len > 0)
        put(w, STR("HTTP_HOST"), r->host);
    put_fields(w);
    put_params(w);
}

/* ---- what goes around them ---- */

/* Moves the first byte of the buffer to where the packet begins. */
static void begin_at(struct io_buf *b, uint32_t at)
{
    b->data += at;
    b->len -= at;
}

/* More than a record holds: copied into several. */
static struct io_buf *in_records(struct writer *w, uint32_t len)
{
    struct io *io = exchange_io(w->x);
    const char *from = (const char *)w->b->data + FRONT_BYTES;
    uint32_t records = (len + FCGI_CONTENT_MAX - 1) / FCGI_CONTENT_MAX;
    struct io_buf *out =
        io_buf_new(io, FRONT_BYTES + len + records * FCGI_HEAD_BYTES + BEHIND_BYTES);

    if (out == NULL)
        return NULL;
    out->len = FRONT_BYTES;
    while (len > 0) {
        uint32_t n = len < FCGI_CONTENT_MAX ? len : FCGI_CONTENT_MAX;
        out->len += fcgi_head(FCGI_PARAMS, n, (char *)out->data + out->len);
        memcpy(out->data + out->len, from, n);
        out->len += n;
        from += n;
        len -= n;
    }
    return out;
}

static void wrap_fastcgi(struct writer *w, const struct wire_request *r, bool keep)
{
    uint32_t len = w->b->len - FRONT_BYTES, at = FRONT_BYTES - FCGI_BEGIN_BYTES;

    if (len <= FCGI_CONTENT_MAX) {
        at -= FCGI_HEAD_BYTES;
        fcgi_head(FCGI_PARAMS, len, (char *)w->b->data + FRONT_BYTES - FCGI_HEAD_BYTES);
    } else {
        struct io_buf *records = in_records(w, len);
        io_buf_put(exchange_io(w->x), w->b);
        w->b = records;
        if (records == NULL)
            return;
    }
    fcgi_begin(keep, (char *)w->b->data + at);
    w->b->len += fcgi_head(FCGI_PARAMS, 0, (char *)w->b->data + w->b->len);
    if (r->body == HTTP_BODY_NONE || r->content_length == 0)
        w->b->len += fcgi_head(FCGI_STDIN, 0, (char *)w->b->data + w->b->len);
    begin_at(w->b, at);
}

static void wrap_uwsgi(struct writer *w)
{
    uint32_t len = w->b->len - FRONT_BYTES;
    uint8_t *head = w->b->data + FRONT_BYTES - 4;

    if (len > CGI_UWSGI_MAX) {
        w->reason = "head-too-large";
        return;
    }
    head[0] = 0; /* modifier1: a request in this manner */
    head[1] = (uint8_t)len;
    head[2] = (uint8_t)(len >> 8);
    head[3] = 0;
    begin_at(w->b, FRONT_BYTES - 4);
}

static void wrap_scgi(struct writer *w)
{
    char digits[STR_U64_MAX];
    uint32_t n = (uint32_t)str_put_u64(w->b->len - FRONT_BYTES, digits);

    w->b->data[FRONT_BYTES - 1] = ':';
    memcpy(w->b->data + FRONT_BYTES - 1 - n, digits, n);
    w->b->data[w->b->len++] = ',';
    begin_at(w->b, FRONT_BYTES - 1 - n);
}

struct io_buf *cgi_request(struct exchange *x, enum cgi_wire wire, const struct wire_request *r,
                           bool keep, const char **out_reason)
{
    struct writer w = {.x = x, .wire = wire, .b = io_buf_new(exchange_io(x), FIRST_BYTES)};

    *out_reason = NULL;
    if (w.b == NULL)
        return NULL;
    w.b->len = FRONT_BYTES;
    put_all(&w, r);
    if (w.b != NULL && w.reason == NULL) {
        if (wire == CGI_FASTCGI)
            wrap_fastcgi(&w, r, keep);
        else if (wire == CGI_UWSGI)
            wrap_uwsgi(&w);
        else
            wrap_scgi(&w);
    }
    *out_reason = w.reason;
    if (w.reason != NULL && w.b != NULL) {
        io_buf_put(exchange_io(x), w.b);
        w.b = NULL;
    }
    return w.b;
}
