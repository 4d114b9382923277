/* http_call.c - see http_call.h: from a request to its handler, if it may; what handlers call. */
#include "lb/admin/http_call.h"

#include "lb/admin/http_access.h"
#include "lb/admin/http_server_priv.h"
#include "lb/http/uri.h"

void http_call_fail(struct http_call *call, unsigned status, const char *fmt, ...)
{
    va_list ap;

    call->status = status;
    call->type = "text/plain; charset=utf-8";
    strbuf_clear(&call->out);
    va_start(ap, fmt);
    strbuf_vaddf(&call->out, fmt, ap);
    va_end(ap);
    strbuf_add_char(&call->out, '\n');
}

void http_call_command(struct http_call *call, const char *command)
{
    struct command_session session = {.level = call->level};

    command_run(call->env, &session, str_of(command), &call->out, &call->late);
}

bool http_call_param(struct str from, const char *name, char *buf, size_t size)
{
    char decoded[1024];
    struct str value;
    size_t len;

    if (!uri_query_find(from, str_of(name), &value) || value.len > sizeof(decoded) ||
        !uri_decode(value, true, decoded, &len) || len >= size || memchr(decoded, '\0', len))
        return false;
    memcpy(buf, decoded, len);
    buf[len] = '\0';
    return true;
}

void http_call_stream(struct http_call *call, struct http_stream *s)
{
    call->stream = s;
}

/* ---- who answers ---- */

/* NULL: none; then *out_allowed says for which methods there is one, or is NULL too. */
static const struct http_route *find_route(const struct http_call *call, const char **out_allowed,
                                           struct str *out_rest)
{
    bool post = call->method == HTTP_POST;
    const struct http_route *r;

    *out_allowed = NULL;
    for (uint32_t i = 0; (r = http_routes_row(i)) != NULL; i++) {
        struct str path = str_of(r->path);
        bool below = path.len > 1 && path.p[path.len - 1] == '/';
        if (below ? !str_starts(call->path, path) : !str_eq(call->path, path))
            continue;
        *out_allowed = r->post ? "POST" : "GET, HEAD";
        *out_rest = (struct str){call->path.p + path.len, call->path.len - path.len};
        if (r->post == post)
            return r;
    }
    return NULL;
}

static bool may(struct http_call *call, const struct http_route *r)
{
    const struct http_server_conf *conf = call->server->conf;

    if (r != NULL && r->open)
        return true;
    if (!http_access_host(conf, call->head)) {
        http_call_fail(call, 421,
                       "The Host of this request is neither an address nor localhost nor one of "
                       "admin.hosts: pages of others must not read this one.");
        return false;
    }
    if (!http_access_token(conf, call->head)) {
        strbuf_add_cstr(&call->fields, "WWW-Authenticate: Basic realm=\"sluice\"\r\n");
        http_call_fail(call, 401,
                       "This address asks for its token (admin.token), as Authorization: Bearer "
                       "TOKEN or as the password of Basic.");
        return false;
    }
    if (r != NULL && r->level > call->level) {
        http_call_fail(call, 403, "This needs a higher admin.level than this address has.");
        return false;
    }
    return true;
}

void http_call_run(struct http_call *call)
{
    const struct http_head *h = call->head;
    char normal[HTTP_HEAD_MAX];
    struct uri_path path;
    const char *allowed;

    call->env = call->server->env;
    call->level = call->server->conf->level;
    call->status = 200;
    call->type = "text/plain; charset=utf-8";
    call->method = h->method == HTTP_HEAD ? HTTP_GET : (enum http_method)h->method;
    call->query = http_str(h, h->query);
    if (uri_normalise(http_str(h, h->path), false, normal, &path) != URI_OK) {
        http_call_fail(call, 400, "The path of this request is malformed.");
        return;
    }
    call->path = path.text;
    const struct http_route *r = find_route(call, &allowed, &call->rest);
    if (!may(call, r))
        return;
    if (r != NULL && (call->method == HTTP_GET || call->method == HTTP_POST)) {
        r->run(call);
    } else if (allowed != NULL) {
        strbuf_addf(&call->fields, "Allow: %s\r\n", allowed);
        http_call_fail(call, 405, "This path is for %s.", allowed);
    } else {
        http_call_fail(call, 404, "There is nothing here. What there is: /api/v1/");
    }
}
