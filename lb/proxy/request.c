/* request.c - see request.h */
#include "lb/proxy/request.h"

#include "lb/base/hash.h"
#include "lb/obs/access_log.h"
#include "lb/upstream/pool_conf.h"
#include "lb/upstream/stick.h"

#include <errno.h>
#include <strings.h>

#define TARGET_BYTES (16u << 10) /* of a request target */

struct h1_limits request_limits(const struct http_listener_conf *c)
{
    return (struct h1_limits){
        .head_bytes = c->head_bytes,
        .target_bytes = TARGET_BYTES,
        .fields = (uint16_t)c->fields,
    };
}

bool request_too_long(const struct http_listener_conf *c, const struct http_head *h)
{
    return h->body == HTTP_BODY_LENGTH && c->body_bytes != 0 && h->content_length > c->body_bytes;
}

/* ---- what the rules look at ---- */

bool request_host(const struct http_head *h, struct arena *a, struct str *out)
{
    struct str host, port;

    *out = STR("");
    if (h->authority.len == 0 || !uri_authority(http_str(h, h->authority), &host, &port))
        return true;
    if (host.len > 1 && host.p[host.len - 1] == '.')
        host.len--;
    char *copy = arena_copy(a, host.p, host.len);
    if (copy == NULL)
        return false;
    for (size_t i = 0; i < host.len; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] + 'a' - 'A');
    *out = (struct str){copy, host.len};
    return true;
}

int request_path(const struct http_head *h, bool keep_encoded_slash, struct arena *a,
                 struct uri_path *out, enum uri_result *out_why)
{
    struct str raw = http_str(h, h->path);

    *out = (struct uri_path){.text = raw};
    *out_why = URI_OK;
    if (h->form == HTTP_FORM_ASTERISK)
        return 0;
    char *buf = arena_alloc(a, raw.len);
    if (buf == NULL)
        return -ENOMEM;
    *out_why = uri_normalise(raw, keep_encoded_slash, buf, out);
    if (*out_why == URI_OK)
        return 0;
    *out = (struct uri_path){0};
    return -EBADMSG;
}

/* ---- what the backend is asked for ---- */

static int set_target(const struct http_head *h, struct arena *a, struct str path, struct str *out)
{
    struct str query = request_query(h);
    char *p = arena_alloc(a, path.len + 1 + query.len);

    if (p == NULL)
        return -ENOMEM;
    memcpy(p, path.p, path.len);
    *out = (struct str){p, path.len};
    if (h->has_query) {
        p[path.len] = '?';
        memcpy(p + path.len + 1, query.p, query.len);
        out->len += 1 + query.len;
    }
    return 0;
}

/* An untouched route forwards the client's bytes. */
static int rewrite_target(const struct route_rewrite *w, struct route_scratch *s,
                          const struct http_vars *vars, const struct http_head *h,
                          const struct uri_path *path, struct arena *a, char *text, struct str *out)
{
    *out = http_str(h, h->target);
    if (h->form == HTTP_FORM_ASTERISK) { /* written in absolute form, perhaps */
        *out = STR("*");
        return 0;
    }
    if (route_rewrites_path(w)) {
        int n = route_rewrite_path(w, s, vars, text, ROUTE_TEXT_MAX);
        return n < 0 ? n : set_target(h, a, (struct str){text, (size_t)n}, out);
    }
    if (path->had_dots)
        return set_target(h, a, path->text, out);
    if (h->form == HTTP_FORM_ABSOLUTE)
        return set_target(h, a, http_str(h, h->path), out);
    return 0;
}

int request_rewrite(const struct route_rewrite *w, struct route_scratch *s,
                    const struct http_vars *vars, const struct http_head *h,
                    const struct uri_path *path, struct arena *a, char *text,
                    struct request_out *out)
{
    out->host = http_str(h, h->authority);
    int rc = rewrite_target(w, s, vars, h, path, a, text, &out->target);

    if (rc < 0 || !route_rewrites_host(w))
        return rc;
    int n = route_rewrite_host(w, vars, text, ROUTE_TEXT_MAX);
    if (n < 0)
        return n;
    out->host = (struct str){arena_copy(a, text, (size_t)n), (size_t)n};
    return out->host.p != NULL ? 0 : -ENOMEM;
}

uint16_t request_rewrite_refusal(int error, const char **out_code)
{
    *out_code = error == -EBADMSG ? "bad-rewrite" : "rewrite-too-long";
    return error == -EBADMSG ? 400 : 414;
}

/* ---- which backend ---- */

static uint64_t hash_str(struct str s)
{
    return hash_bytes(s.p, s.len, 0);
}

uint64_t request_hash_key(const struct pool_conf *c, const struct http_head *h, struct str host,
                          struct str path, const struct addr *client)
{
    const struct http_field *f;
    struct str value;

    switch (c->hash_key) {
    case HASH_PATH:
        return hash_str(path);
    case HASH_URI:
        return hash_str(path) ^ hash_u64(hash_str(request_query(h)));
    case HASH_HOST:
        return hash_str(host);
    case HASH_HEADER:
        f = http_find_name(h, str_of(c->hash_name), NULL);
        if (f != NULL)
            return hash_str(http_value(h, f));
        break;
    case HASH_COOKIE:
        for (f = http_find(h, HTTP_COOKIE, NULL); f != NULL; f = http_find(h, HTTP_COOKIE, f))
            if (http_cookie_find(http_value(h, f), str_of(c->hash_name), &value))
                return hash_str(value);
        break;
    case HASH_QUERY:
        if (uri_query_find(request_query(h), str_of(c->hash_name), &value))
            return hash_str(value);
        break;
    case HASH_SOURCE:
        break;
    }
    return addr_hash_host(client); /* who has no key is spread by address */
}

/* Where clients without cookies have a session's number: "/cart;jsessionid=1A2B.node1". */
static bool path_parameter(struct str path, struct str name, struct str *out_value)
{
    const char *end = path.p + path.len, *at = path.p;

    while ((at = memchr(at, ';', (size_t)(end - at))) != NULL) {
        at++;
        if ((size_t)(end - at) <= name.len || at[name.len] != '=' ||
            strncasecmp(at, name.p, name.len) != 0)
            continue;
        at += name.len + 1;
        *out_value = (struct str){at, 0};
        while (at + out_value->len < end && strchr(";/", at[out_value->len]) == NULL)
            out_value->len++;
        return true;
    }
    return false;
}

uint32_t request_cookie(const struct stick *stick, const struct pool_conf *c,
                        const struct http_head *h, char *out_in)
{
    struct str name = str_of(c->http.sticky->cookie), value;
    const struct http_field *f = NULL;

    *out_in = COOKIE_IN_NONE;
    while ((f = http_find(h, HTTP_COOKIE, f)) != NULL) {
        if (!http_cookie_find(http_value(h, f), name, &value))
            continue;
        uint32_t member = stick_find(stick, value);
        *out_in = member == STICK_NONE ? COOKIE_IN_INVALID : COOKIE_IN_VALID;
        if (member != STICK_NONE)
            return member; /* else another one of that name may do */
    }
    if (*out_in == COOKIE_IN_NONE && c->http.sticky->route &&
        path_parameter(http_str(h, h->path), name, &value)) {
        uint32_t member = stick_find(stick, value);
        *out_in = member == STICK_NONE ? COOKIE_IN_INVALID : COOKIE_IN_VALID;
        return member;
    }
    return STICK_NONE;
}
