/* route_rule.c - see route_rule.h. Compiling at load, checking conditions per request. */
#include "lb/route/route_rule.h"

#include "lb/base/alloc.h"
#include "lb/http/msg.h"
#include "lb/http/uri.h"
#include "lb/route/route_regex.h"
#include "lb/route/route_scratch.h"

#include <stdio.h>
#include <stdlib.h>

#define WHY_TEXT_MAX 200 /* bytes of a client's text in a reason */

void route_problem(struct route_problems *p, const char *setting, uint32_t at, const char *fmt, ...)
{
    struct strbuf b = {0};
    va_list ap;

    p->n++;
    if (p->fn == NULL)
        return;
    va_start(ap, fmt);
    strbuf_vaddf(&b, fmt, ap);
    va_end(ap);
    p->fn(p->arg, p->index, setting, at, b.p);
    strbuf_fini(&b);
}

/* ---- hosts ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static const char *host_mistake(struct str h)
{
    if (h.len == 0)
        return "is empty";
    if (h.p[0] == '[')
        return h.p[h.len - 1] == ']' ? NULL : "lacks its \"]\" (hosts stand without a port)";
    for (size_t i = 0; i < h.len; i++) {
        char c = h.p[i];
        if ((unsigned char)c >= 0x80)
            return "has letters beyond ASCII: write its xn-- form";
        if (c == ':')
            return "has a port or a scheme: hosts stand alone";
        if (c == '/')
            return "has a path: that is the setting \"path\"";
        if (c == '*')
            return "has a \"*\" in another place than \"*.\" at its beginning";
        if (c == '.' && (i == 0 || h.p[i - 1] == '.'))
            return "has an empty label";
        if (c <= ' ' || c == 0x7f || strchr("\"\\?#@%<>^`{|}", c) != NULL)
            return "has a character that no host has";
    }
    return NULL;
}

static void host_init(struct route_host *out, const char *text, uint32_t at,
                      struct route_problems *problems)
{
    struct str h = str_of(text);

    if (str_eq_cstr(h, "*"))
        return;
    out->kind = ROUTE_HOST_EXACT;
    if (str_starts(h, STR("*."))) {
        out->kind = ROUTE_HOST_BELOW;
        h = (struct str){h.p + 2, h.len - 2};
    }
    if (h.len > 1 && h.p[h.len - 1] == '.')
        h.len--;
    const char *mistake = host_mistake(h);
    if (mistake != NULL)
        route_problem(problems, "host", at, "\"%s\" %s (expected \"name\", \"*.name\" or \"*\")",
                      text, mistake);
    out->own = xstrndup(h.p, h.len);
    for (size_t i = 0; i < h.len; i++)
        out->own[i] = lower(out->own[i]);
    out->text = (struct str){out->own, h.len};
}

static bool host_holds(const struct route_host *h, struct str host)
{
    size_t rest = host.len - h->text.len;

    switch (h->kind) {
    case ROUTE_HOST_ANY:
        return true;
    case ROUTE_HOST_EXACT:
        return str_eq(host, h->text);
    case ROUTE_HOST_BELOW:
        return host.len > h->text.len + 1 && host.p[rest - 1] == '.' &&
               memcmp(host.p + rest, h->text.p, h->text.len) == 0;
    }
    return false;
}

/* ---- paths ---- */

char *route_percent_encode(const char *text, bool is_template)
{
    struct strbuf b = {0};

    strbuf_add_cstr(&b, "");
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c <= ' ' || c >= 0x7f || strchr(is_template ? "\"<>\\^`|" : "\"<>\\^`{|}", c) != NULL)
            strbuf_addf(&b, "%%%02X", c);
        else
            strbuf_add_char(&b, *p);
    }
    return b.p;
}

bool route_path_normalise(const char *path, bool keep_encoded_slash, char **own, struct str *out,
                          const char **out_error)
{
    char *encoded = route_percent_encode(path, false);
    size_t len = strlen(encoded);
    struct uri_path normal;

    *own = NULL;
    if (strpbrk(path, "?#") != NULL) {
        *out_error = "a path has no \"?\" or \"#\" (conditions on the query are the setting "
                     "\"query\")";
        free(encoded);
        return false;
    }
    *own = xmalloc(len + 1);
    enum uri_result r =
        uri_normalise((struct str){encoded, len}, keep_encoded_slash, *own, &normal);
    if (r != URI_OK) {
        *out_error = uri_result_text(r);
        free(*own);
        *own = NULL;
        free(encoded);
        return false;
    }
    memmove(*own, normal.text.p, normal.text.len);
    *out = (struct str){*own, normal.text.len};
    free(encoded);
    return true;
}

static void path_regex_init(struct route_path *out, const char *text, uint32_t at,
                            struct route_problems *problems)
{
    struct strbuf error = {0};

    out->kind = ROUTE_PATH_REGEX;
    out->regex = route_regex_new(text + 1, &error);
    if (out->regex == NULL)
        route_problem(problems, "path", at, "\"%s\" is no regular expression: %s", text, error.p);
    else
        out->text = route_regex_literal(text + 1);
    strbuf_fini(&error);
}

static void path_init(struct route_path *out, const char *text, bool keep_encoded_slash,
                      uint32_t at, struct route_problems *problems)
{
    const char *path = text, *error = NULL;
    size_t len = strlen(text);

    if (text[0] == '~') {
        path_regex_init(out, text, at, problems);
        return;
    }
    out->kind = ROUTE_PATH_PREFIX;
    if (text[0] == '=') {
        out->kind = ROUTE_PATH_EXACT;
        path++;
    }
    if (path[0] != '/')
        route_problem(problems, "path", at,
                      "found \"%s\", expected \"/prefix\", \"=/exact\" or \"~regex\"", text);
    else if (out->kind == ROUTE_PATH_PREFIX && len >= 2 && strcmp(text + len - 2, "/*") == 0)
        route_problem(problems, "path", at,
                      "\"%s\": a path stands for all that is below it (did you mean \"%.*s\"?)",
                      text, (int)len - 1, text);
    else if (!route_path_normalise(path, keep_encoded_slash, &out->own, &out->text, &error))
        route_problem(problems, "path", at, "\"%s\" is no path: %s", text, error);
}

bool route_rule_path_holds(const struct route_rule *r, uint32_t path, struct route_scratch *s,
                           const struct route_request *q, struct route_match *out)
{
    const struct route_path *p = &r->paths[path];

    if (p->kind == ROUTE_PATH_REGEX)
        return route_regex_match(p->regex, s, q->path, out);
    *out = (struct route_match){.n_captures = 0};
    return true;
}

static bool path_holds(const struct route_rule *r, uint32_t i, struct route_scratch *s,
                       const struct route_request *q, struct route_match *out)
{
    struct str want = r->paths[i].text, path = q->path;

    if (r->paths[i].kind == ROUTE_PATH_EXACT && !str_eq(path, want))
        return false;
    if (r->paths[i].kind == ROUTE_PATH_PREFIX &&
        !(str_starts(path, want) &&
          (path.len == want.len || want.p[want.len - 1] == '/' || path.p[want.len] == '/')))
        return false;
    return route_rule_path_holds(r, i, s, q, out);
}

/* ---- conditions ---- */

static const char *cond_setting(enum route_cond_kind kind)
{
    return kind == ROUTE_COND_HEADER ? "header" : kind == ROUTE_COND_COOKIE ? "cookie" : "query";
}

static void cond_init(struct route_rule *r, enum route_cond_kind kind,
                      const struct route_cond_conf *conf, uint32_t at,
                      struct route_problems *problems)
{
    struct route_cond *c = &r->conds[r->n_conds++];
    struct strbuf error = {0};

    c->kind = kind;
    c->name = str_of(conf->name);
    if (kind == ROUTE_COND_QUERY ? c->name.len == 0 : !http_is_token(c->name))
        route_problem(problems, cond_setting(kind), at, "\"%s\" is no name of a %s", conf->name,
                      kind == ROUTE_COND_QUERY ? "query parameter" : cond_setting(kind));
    if (conf->value == NULL)
        return;
    c->value = str_of(conf->value);
    if (conf->value[0] != '~')
        return;
    c->regex = route_regex_new(conf->value + 1, &error);
    if (c->regex == NULL)
        route_problem(problems, cond_setting(kind), at,
                      "value \"%s\" of \"%s\" is no regular expression: %s", conf->value,
                      conf->name, error.p);
    strbuf_fini(&error);
}

static void methods_init(struct route_rule *r, struct route_problems *problems)
{
    for (uint32_t i = 0; i < r->conf->n_methods; i++) {
        struct str text = str_of(r->conf->methods[i]);
        enum http_method m = http_method_of(text);
        r->methods |= 1u << m;
        if (m != HTTP_OTHER_METHOD)
            continue;
        char upper[16] = "";
        for (size_t k = 0; k < text.len && text.len < sizeof(upper); k++)
            upper[k] = text.p[k] >= 'a' && text.p[k] <= 'z' ? (char)(text.p[k] - 32) : text.p[k];
        if (!http_is_token(text))
            route_problem(problems, "method", i, "\"%s\" is no method", text.p);
        else if (http_method_of(str_of(upper)) != HTTP_OTHER_METHOD)
            route_problem(problems, "method", i,
                          "found \"%s\", expected \"%s\" (methods are told apart by case)", text.p,
                          upper);
    }
}

/* A cookie may stand in any of several Cookie fields, a header on several lines: one that fits is
 * enough. */
static bool value_fits(const struct route_cond *c, struct route_scratch *s, struct str value)
{
    if (c->value.p == NULL)
        return true;
    return c->regex != NULL ? route_regex_match(c->regex, s, value, NULL) : str_eq(value, c->value);
}

static bool header_fits(const struct route_cond *c, struct route_scratch *s,
                        const struct http_head *h, struct str *out_seen)
{
    struct http_field *f = NULL;

    while ((f = http_find_name(h, c->name, f)) != NULL) {
        *out_seen = http_value(h, f);
        if (value_fits(c, s, *out_seen))
            return true;
    }
    return false;
}

static bool cookie_fits(const struct route_cond *c, struct route_scratch *s,
                        const struct http_head *h, struct str *out_seen)
{
    struct http_field *f = NULL;

    while ((f = http_find(h, HTTP_COOKIE, f)) != NULL) {
        if (http_cookie_find(http_value(h, f), c->name, out_seen) && value_fits(c, s, *out_seen))
            return true;
    }
    return false;
}

/* Decoded into the scratch where there is something to decode; as sent when it is malformed. */
static struct str decoded(struct route_scratch *s, struct str text)
{
    size_t len;

    if (text.len == 0 || text.len > sizeof(s->text) ||
        (memchr(text.p, '%', text.len) == NULL && memchr(text.p, '+', text.len) == NULL))
        return text;
    return uri_decode(text, true, s->text, &len) ? (struct str){s->text, len} : text;
}

static bool query_fits(const struct route_cond *c, struct route_scratch *s, struct str query,
                       struct str *out_seen)
{
    struct str name, value;
    bool has_value;

    while (uri_query_next(&query, &name, &value, &has_value)) {
        if (!str_eq(decoded(s, name), c->name))
            continue;
        *out_seen = value.len > 0 ? decoded(s, value) : STR("");
        if (value_fits(c, s, *out_seen))
            return true;
    }
    return false;
}

static bool cond_holds(const struct route_cond *c, struct route_scratch *s,
                       const struct route_request *q, struct strbuf *why)
{
    struct str seen = {NULL, 0}; /* p NULL: it is absent */
    bool fits = false;

    switch (c->kind) {
    case ROUTE_COND_HEADER:
        fits = header_fits(c, s, q->head, &seen);
        break;
    case ROUTE_COND_COOKIE:
        fits = cookie_fits(c, s, q->head, &seen);
        break;
    case ROUTE_COND_QUERY:
        fits = query_fits(c, s, q->query, &seen);
        break;
    }
    if (fits || why == NULL)
        return fits;
    strbuf_addf(why, "%s %.*s ", cond_setting(c->kind), STR_ARG(c->name));
    if (seen.p == NULL)
        strbuf_add_cstr(why, "is absent");
    else
        strbuf_addf(why, "is \"%.*s\", not \"%.*s\"",
                    (int)(seen.len < WHY_TEXT_MAX ? seen.len : WHY_TEXT_MAX), seen.p,
                    STR_ARG(c->value));
    return false;
}

static bool method_holds(const struct route_rule *r, const struct http_head *h)
{
    if (r->methods == 0)
        return true;
    if ((r->methods & 1u << h->method) == 0)
        return false;
    if (h->method != HTTP_OTHER_METHOD)
        return true;
    for (uint32_t i = 0; i < r->conf->n_methods; i++) {
        if (str_eq_cstr(http_str(h, h->method_text), r->conf->methods[i]))
            return true;
    }
    return false;
}

static bool from_holds(const struct route_rule *r, const struct addr *client)
{
    bool in = r->conf->n_from == 0;

    for (uint32_t i = 0; i < r->conf->n_from && !in; i++)
        in = client != NULL && addr_net_contains(&r->conf->from[i], client);
    return in;
}

static void why_method(const struct route_rule *r, const struct http_head *h, struct strbuf *why)
{
    strbuf_addf(why, "method " STR_FMT " is not ", STR_ARG(http_str(h, h->method_text)));
    for (uint32_t i = 0; i < r->conf->n_methods; i++)
        strbuf_addf(why, "%s%s", i > 0 ? " or " : "", r->conf->methods[i]);
}

bool route_rule_conds_hold(const struct route_rule *r, struct route_scratch *s,
                           const struct route_request *q, struct strbuf *why)
{
    if (!method_holds(r, q->head)) {
        if (why != NULL)
            why_method(r, q->head, why);
        return false;
    }
    if (!from_holds(r, q->client)) {
        char text[ADDR_TEXT_MAX];
        if (why != NULL)
            strbuf_addf(why, "client %s is in none of the networks of \"from\"",
                        q->client != NULL ? addr_format_host(q->client, text) : "(unknown)");
        return false;
    }
    for (uint32_t i = 0; i < r->n_conds; i++) {
        if (!cond_holds(&r->conds[i], s, q, why))
            return false;
    }
    return true;
}

static void why_list(struct strbuf *why, const char *what, struct str seen, char *const *list,
                     uint32_t n)
{
    strbuf_addf(why, "%s \"%.*s\" is not ", what,
                (int)(seen.len < WHY_TEXT_MAX ? seen.len : WHY_TEXT_MAX), seen.p);
    for (uint32_t i = 0; i < n && i < 8; i++)
        strbuf_addf(why, "%s%s", i > 0 ? " or " : "", list[i]);
    if (n > 8)
        strbuf_addf(why, " or %u others", (unsigned)n - 8);
}

bool route_rule_holds(const struct route_rule *r, struct route_scratch *s,
                      const struct route_request *q, struct route_match *out, struct strbuf *why)
{
    uint32_t host = 0, path = 0;

    while (host < r->n_hosts && !host_holds(&r->hosts[host], q->host))
        host++;
    if (host == r->n_hosts) {
        if (why != NULL)
            why_list(why, "host", q->host, r->conf->hosts, r->conf->n_hosts);
        return false;
    }
    while (path < r->n_paths && !path_holds(r, path, s, q, out))
        path++;
    if (path == r->n_paths) {
        if (why != NULL)
            why_list(why, "path", q->path, r->conf->paths, r->conf->n_paths);
        return false;
    }
    return route_rule_conds_hold(r, s, q, why);
}

/* ---- a rule ---- */

void route_rule_init(struct route_rule *out, const struct route_conf *conf, bool keep_encoded_slash,
                     struct route_problems *problems)
{
    out->conf = conf;
    out->n_hosts = conf->n_hosts > 0 ? conf->n_hosts : 1;
    out->hosts = xcalloc(out->n_hosts, sizeof(*out->hosts)); /* zero: any */
    for (uint32_t i = 0; i < conf->n_hosts; i++)
        host_init(&out->hosts[i], conf->hosts[i], i, problems);
    out->n_paths = conf->n_paths > 0 ? conf->n_paths : 1;
    out->paths = xcalloc(out->n_paths, sizeof(*out->paths));
    for (uint32_t i = 0; i < conf->n_paths; i++)
        path_init(&out->paths[i], conf->paths[i], keep_encoded_slash, i, problems);
    out->conds =
        xcalloc(conf->n_headers + conf->n_cookies + conf->n_queries + 1, sizeof(*out->conds));
    for (uint32_t i = 0; i < conf->n_headers; i++)
        cond_init(out, ROUTE_COND_HEADER, &conf->headers[i], i, problems);
    for (uint32_t i = 0; i < conf->n_cookies; i++)
        cond_init(out, ROUTE_COND_COOKIE, &conf->cookies[i], i, problems);
    for (uint32_t i = 0; i < conf->n_queries; i++)
        cond_init(out, ROUTE_COND_QUERY, &conf->queries[i], i, problems);
    methods_init(out, problems);
    out->rewrite = route_rewrite_new(conf, keep_encoded_slash, problems);
}

void route_rule_fini(struct route_rule *r)
{
    for (uint32_t i = 0; i < r->n_hosts; i++)
        free(r->hosts[i].own);
    for (uint32_t i = 0; i < r->n_paths; i++) {
        free(r->paths[i].own);
        route_regex_free(&r->paths[i].regex);
    }
    for (uint32_t i = 0; i < r->n_conds; i++)
        route_regex_free(&r->conds[i].regex);
    free(r->hosts);
    free(r->paths);
    free(r->conds);
    route_rewrite_free(&r->rewrite);
}
