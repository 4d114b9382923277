/* template.c - see template.h.
 *
 * A template is a row of parts, each a literal or one variable. Expanding walks the row and writes;
 * what variables give goes through write_value(), the only place where a client's bytes come in. */
#include "lb/http/template.h"

#include "lb/base/alloc.h"
#include "lb/base/suggest.h"
#include "lb/base/tls_facts.h"
#include "lb/http/uri.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum variable {
    VAR_LITERAL,
    VAR_CLIENT_IP,
    VAR_CLIENT_PORT,
    VAR_PEER_IP,
    VAR_SCHEME,
    VAR_HOST,
    VAR_PORT,
    VAR_METHOD,
    VAR_PATH,
    VAR_QUERY,
    VAR_URI,
    VAR_VERSION,
    VAR_REQUEST_ID,
    VAR_TRACEPARENT,
    VAR_LISTENER,
    VAR_ROUTE,
    VAR_POOL,
    VAR_BACKEND,
    VAR_STATUS,
    VAR_TIME_EPOCH,
    VAR_TLS_VERSION, /* ... to VAR_TLS_CLIENT_FINGERPRINT: write_tls() */
    VAR_TLS_CIPHER,
    VAR_TLS_SNI,
    VAR_TLS_ALPN,
    VAR_TLS_RESUMED,
    VAR_TLS_CLIENT_VERIFY,
    VAR_TLS_CLIENT_SUBJECT,
    VAR_TLS_CLIENT_ISSUER,
    VAR_TLS_CLIENT_SERIAL,
    VAR_TLS_CLIENT_FINGERPRINT,
    VAR_HEADER, /* these three and the next have a name */
    VAR_COOKIE,
    VAR_QUERY_PARAM,
    VAR_RESPONSE_HEADER,
    VAR_CAPTURE, /* number in `group` */
};

static const struct {
    const char *name;
    enum variable variable;
} plain_variables[] = {
    {"client_ip", VAR_CLIENT_IP},
    {"client_port", VAR_CLIENT_PORT},
    {"peer_ip", VAR_PEER_IP},
    {"scheme", VAR_SCHEME},
    {"host", VAR_HOST},
    {"port", VAR_PORT},
    {"method", VAR_METHOD},
    {"path", VAR_PATH},
    {"query", VAR_QUERY},
    {"uri", VAR_URI},
    {"version", VAR_VERSION},
    {"request_id", VAR_REQUEST_ID},
    {"traceparent", VAR_TRACEPARENT},
    {"listener", VAR_LISTENER},
    {"route", VAR_ROUTE},
    {"pool", VAR_POOL},
    {"backend", VAR_BACKEND},
    {"status", VAR_STATUS},
    {"time_epoch", VAR_TIME_EPOCH},
    {"tls_version", VAR_TLS_VERSION},
    {"tls_cipher", VAR_TLS_CIPHER},
    {"tls_sni", VAR_TLS_SNI},
    {"tls_alpn", VAR_TLS_ALPN},
    {"tls_resumed", VAR_TLS_RESUMED},
    {"tls_client_verify", VAR_TLS_CLIENT_VERIFY},
    {"tls_client_subject", VAR_TLS_CLIENT_SUBJECT},
    {"tls_client_issuer", VAR_TLS_CLIENT_ISSUER},
    {"tls_client_serial", VAR_TLS_CLIENT_SERIAL},
    {"tls_client_fingerprint", VAR_TLS_CLIENT_FINGERPRINT},
};

static const struct {
    struct str prefix;
    enum variable variable;
} named_variables[] = {
    {{"header_", 7}, VAR_HEADER},
    {{"cookie_", 7}, VAR_COOKIE},
    {{"query_", 6}, VAR_QUERY_PARAM},
    {{"response_header_", 16}, VAR_RESPONSE_HEADER},
};

struct part {
    uint8_t variable; /* enum variable */
    uint8_t group;    /* VAR_CAPTURE: 1 to 9 */
    struct str text;  /* literal, or the name as it is looked for first; in the template's text */
    struct str
        dashed; /* cookies and queries: the name with - for _; p NULL where that is the same */
};

struct http_template {
    char *text;  /* what was written, cut and edited in place: parts point here */
    char *names; /* the dashed names */
    uint32_t n_parts;
    struct part *parts;
};

/* ---- compiling ---- */

static _Thread_local char error_text[1024];

static int shown(size_t len)
{
    return (int)(len < 64 ? len : 64);
}

/* "$host_x" was meant to be host, then "_x"? */
static bool suggest_braces(struct str name, struct strbuf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(plain_variables); i++) {
        struct str known = str_of(plain_variables[i].name);
        if (!str_starts(name, known) || name.len == known.len || name.p[known.len] != '_')
            continue;
        strbuf_addf(out, " (did you mean \"${%s}%.*s\"?)", known.p, shown(name.len - known.len),
                    name.p + known.len);
        return true;
    }
    return false;
}

static void unknown_variable(struct str name, const char **out_error)
{
    struct strbuf b = {0};
    struct suggest s;

    strbuf_addf(&b, "unknown variable \"$%.*s\"", shown(name.len), name.p);
    suggest_begin(&s, name);
    for (size_t i = 0; i < ARRAY_LEN(plain_variables); i++)
        suggest_offer(&s, plain_variables[i].name);
    if (!suggest_braces(name, &b))
        suggest_print(&s, &b);
    strbuf_add_cstr(&b, "; known are");
    for (size_t i = 0; i < ARRAY_LEN(plain_variables); i++)
        strbuf_addf(&b, " %s", plain_variables[i].name);
    strbuf_add_cstr(&b, " header_NAME cookie_NAME query_NAME response_header_NAME 1 ... 9");
    snprintf(error_text, sizeof(error_text), "%s", b.p);
    strbuf_fini(&b);
    *out_error = error_text;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Which variable a name means. False with *out_error when it is none. */
static bool resolve(struct str name, struct part *out, const char **out_error)
{
    if (name.len == 1 && name.p[0] >= '1' && name.p[0] <= '9') {
        out->variable = VAR_CAPTURE;
        out->group = (uint8_t)(name.p[0] - '0');
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(plain_variables); i++) {
        if (str_eq_cstr(name, plain_variables[i].name)) {
            out->variable = plain_variables[i].variable;
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(named_variables); i++) {
        struct str prefix = named_variables[i].prefix;
        if (!str_starts(name, prefix))
            continue;
        out->variable = named_variables[i].variable;
        out->text = (struct str){name.p + prefix.len, name.len - prefix.len};
        if (out->text.len > 0)
            return true;
        snprintf(error_text, sizeof(error_text),
                 "variable \"$" STR_FMT "\" lacks a name: " STR_FMT "NAME", STR_ARG(prefix),
                 STR_ARG(prefix));
        *out_error = error_text;
        return false;
    }
    unknown_variable(name, out_error);
    return false;
}

/* The name behind a dollar at *at; moves *at behind it. */
static bool cut_name(struct str text, size_t *at, struct str *out, const char **out_error)
{
    size_t from = *at, end;

    if (from < text.len && text.p[from] == '{') {
        const char *close = memchr(text.p + from, '}', text.len - from);
        if (close == NULL) {
            *out_error = "\"${\" without its \"}\"";
            return false;
        }
        from++;
        end = (size_t)(close - text.p);
        *at = end + 1;
        for (size_t i = from; i < end; i++) {
            if (!is_name_byte(text.p[i]) && text.p[i] != '-') {
                *out_error = "a variable's name has letters, digits, \"_\" and \"-\" only";
                return false;
            }
        }
    } else {
        end = from;
        if (end < text.len && text.p[end] >= '0' && text.p[end] <= '9')
            end++; /* $12 is $1 and a 2 */
        else
            while (end < text.len && is_name_byte(text.p[end]))
                end++;
        *at = end;
    }
    *out = (struct str){text.p + from, end - from};
    if (out->len == 0) {
        *out_error = "\"$\" without a variable's name (a dollar itself is written \"$$\")";
        return false;
    }
    return true;
}

static struct part *add_part(struct http_template *t)
{
    t->parts = xrealloc(t->parts, (t->n_parts + 1) * sizeof(*t->parts));
    t->parts[t->n_parts] = (struct part){.variable = VAR_LITERAL};
    return &t->parts[t->n_parts++];
}

/* Names of headers have - where variables have _. Cookies and parameters may have either: they are
 * looked for as written first. */
static void settle_names(struct http_template *t)
{
    size_t total = 0, at = 0;

    for (uint32_t i = 0; i < t->n_parts; i++)
        total += t->parts[i].variable != VAR_LITERAL ? t->parts[i].text.len : 0;
    t->names = xmalloc(total + 1);
    for (uint32_t i = 0; i < t->n_parts; i++) {
        struct part *p = &t->parts[i];
        if (p->variable == VAR_LITERAL || p->text.len == 0)
            continue;
        char *copy = t->names + at;
        at += p->text.len;
        for (size_t k = 0; k < p->text.len; k++)
            copy[k] = p->text.p[k] == '_' ? '-' : p->text.p[k];
        struct str dashed = {copy, p->text.len};
        if (p->variable == VAR_HEADER || p->variable == VAR_RESPONSE_HEADER)
            p->text = dashed;
        else if (!str_eq(dashed, p->text))
            p->dashed = dashed;
    }
}

/* Adds text to the literal that stands last, or begins one. A literal grows in place, since what
 * "$$" leaves is shorter than what was written. */
static void add_literal(struct http_template *t, const char *from, size_t len)
{
    struct part *last = t->n_parts > 0 ? &t->parts[t->n_parts - 1] : NULL;

    if (len == 0)
        return;
    if (last == NULL || last->variable != VAR_LITERAL) {
        add_part(t)->text = (struct str){from, len};
        return;
    }
    memmove(t->text + (last->text.p - t->text) + last->text.len, from, len);
    last->text.len += len;
}

struct http_template *http_template_compile(struct str text, const char **out_error)
{
    struct http_template *t = xcalloc(1, sizeof(*t));

    t->text = xmalloc(text.len + 1);
    if (text.len > 0)
        memcpy(t->text, text.p, text.len);
    text.p = t->text;
    for (size_t at = 0; at < text.len;) {
        const char *dollar = memchr(text.p + at, '$', text.len - at);
        size_t end = dollar == NULL ? text.len : (size_t)(dollar - text.p);
        bool doubled = dollar != NULL && end + 1 < text.len && text.p[end + 1] == '$';
        struct str name;

        add_literal(t, text.p + at, end + doubled - at);
        at = end + doubled + (dollar != NULL);
        if (dollar == NULL || doubled)
            continue;
        if (!cut_name(text, &at, &name, out_error) || !resolve(name, add_part(t), out_error)) {
            http_template_free(&t);
            return NULL;
        }
    }
    settle_names(t);
    return t;
}

void http_template_free(struct http_template **t)
{
    if (*t == NULL)
        return;
    free((*t)->parts);
    free((*t)->names);
    free((*t)->text);
    free(*t);
    *t = NULL;
}

struct str http_template_fixed(const struct http_template *t)
{
    if (t->n_parts == 0)
        return STR("");
    if (t->n_parts == 1 && t->parts[0].variable == VAR_LITERAL)
        return t->parts[0].text;
    return (struct str){NULL, 0};
}

bool http_template_uses(const struct http_template *t, const char *name)
{
    struct part wanted = {.variable = VAR_LITERAL};
    const char *ignored;

    if (!resolve(str_of(name), &wanted, &ignored))
        return false;
    for (uint32_t i = 0; i < t->n_parts; i++) {
        const struct part *p = &t->parts[i];
        if (p->variable != wanted.variable || p->group != wanted.group ||
            p->text.len != wanted.text.len)
            continue;
        size_t same = 0;
        while (same < p->text.len && (p->text.p[same] == wanted.text.p[same] ||
                                      (p->text.p[same] == '-' && wanted.text.p[same] == '_')))
            same++;
        if (same == p->text.len)
            return true;
    }
    return false;
}

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

bool http_template_is_line(const struct http_template *t)
{
    for (uint32_t i = 0; i < t->n_parts; i++) {
        const struct part *p = &t->parts[i];
        for (size_t k = 0; p->variable == VAR_LITERAL && k < p->text.len; k++) {
            if (is_control((unsigned char)p->text.p[k]) && p->text.p[k] != '\t')
                return false;
        }
    }
    return true;
}

/* ---- expanding ---- */

struct writer {
    char *out;
    size_t cap, len;
    enum http_template_for what;
    bool full;
};

static void put(struct writer *w, const char *p, size_t len)
{
    if (len > w->cap - w->len) {
        w->full = true;
        return;
    }
    if (len > 0)
        memcpy(w->out + w->len, p, len);
    w->len += len;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* What may stand in a path as it is (RFC 3986 section 3.3). */
static bool is_path_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~!$&'()*+,;=:@/", c) != NULL);
}

static void put_url(struct writer *w, struct str v, enum variable from)
{
    bool question = w->what == HTTP_FOR_URL && (from == VAR_URI || from == VAR_QUERY);
    bool brackets = w->what == HTTP_FOR_URL && from == VAR_HOST; /* [::1] */

    for (size_t i = 0; i < v.len; i++) {
        char c = v.p[i];
        bool escape = c == '%' && i + 2 < v.len && is_hex(v.p[i + 1]) && is_hex(v.p[i + 2]);
        if (escape || is_path_byte(c) || (question && c == '?') ||
            (brackets && (c == '[' || c == ']'))) {
            put(w, &c, 1);
            continue;
        }
        char code[4];
        snprintf(code, sizeof(code), "%%%02X", (unsigned char)c);
        put(w, code, 3);
    }
}

static void put_text(struct writer *w, struct str v)
{
    size_t clean = 0; /* bytes before i that wait to be written in one go */

    for (size_t i = 0; i < v.len; i++) {
        if (likely(!is_control((unsigned char)v.p[i])))
            continue;
        put(w, v.p + clean, i - clean);
        put(w, v.p[i] == '\t' ? " " : "?", 1);
        clean = i + 1;
    }
    put(w, v.p + clean, v.len - clean);
}

static void put_html(struct writer *w, struct str v)
{
    for (size_t i = 0; i < v.len; i++) {
        char c = v.p[i];
        const char *entity = c == '&'                       ? "&amp;"
                             : c == '<'                     ? "&lt;"
                             : c == '>'                     ? "&gt;"
                             : c == '"'                     ? "&quot;"
                             : c == '\''                    ? "&#39;"
                             : c == '\t'                    ? " "
                             : is_control((unsigned char)c) ? "?"
                                                            : NULL;
        if (entity != NULL)
            put(w, entity, strlen(entity));
        else
            put(w, &c, 1);
    }
}

/* Bytes beyond ASCII are of an unknown encoding (fields are bytes): as Latin-1 they are always
 * sound JSON. */
static void put_json(struct writer *w, struct str v)
{
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.p[i];
        char code[8];
        if (c == '"' || c == '\\') {
            put(w, "\\", 1);
            put(w, v.p + i, 1);
        } else if (is_control(c) || c >= 0x80 || c == '<') { /* <: JSON within a page */
            snprintf(code, sizeof(code), "\\u%04x", c);
            put(w, code, 6);
        } else {
            put(w, v.p + i, 1);
        }
    }
}

static void write_value(struct writer *w, struct str v, enum variable from)
{
    if (v.len == 0) /* p may be NULL */
        return;
    switch (w->what) {
    case HTTP_FOR_TEXT:
        put_text(w, v);
        return;
    case HTTP_FOR_PATH:
    case HTTP_FOR_URL:
        put_url(w, v, from);
        return;
    case HTTP_FOR_HTML:
        put_html(w, v);
        return;
    case HTTP_FOR_JSON:
        put_json(w, v);
        return;
    }
    sl_assert(!"an unknown place for a text");
}

static void write_number(struct writer *w, uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    put(w, digits, (size_t)len);
}

/* All lines of a header, as one list. */
static void write_header(struct writer *w, const struct http_head *h, const struct part *p)
{
    struct http_field *f = NULL;
    bool first = true;

    while (h != NULL && (f = http_find_name(h, p->text, f)) != NULL) {
        if (!first)
            write_value(w, f->id == HTTP_COOKIE ? STR("; ") : STR(", "), VAR_HEADER);
        write_value(w, http_value(h, f), VAR_HEADER);
        first = false;
    }
}

static bool cookie_of(const struct http_head *h, struct str name, struct str *out)
{
    struct http_field *f = NULL;

    while ((f = http_find(h, HTTP_COOKIE, f)) != NULL) {
        if (http_cookie_find(http_value(h, f), name, out))
            return true;
    }
    return false;
}

static void write_cookie(struct writer *w, const struct http_head *h, const struct part *p)
{
    struct str v;

    if (h == NULL)
        return;
    if (cookie_of(h, p->text, &v) || (p->dashed.p != NULL && cookie_of(h, p->dashed, &v)))
        write_value(w, v, VAR_COOKIE);
}

static void write_query_param(struct writer *w, struct str query, const struct part *p)
{
    struct str v;

    if (uri_query_find(query, p->text, &v) ||
        (p->dashed.p != NULL && uri_query_find(query, p->dashed, &v)))
        write_value(w, v, VAR_QUERY_PARAM);
}

static void write_uri(struct writer *w, const struct http_vars *vars)
{
    write_value(w, vars->path, VAR_URI);
    if (vars->query.len > 0) {
        put(w, w->what == HTTP_FOR_PATH ? "%3F" : "?", w->what == HTTP_FOR_PATH ? 3 : 1);
        write_value(w, vars->query, VAR_URI);
    }
}

static struct str version_text(const struct http_head *request)
{
    if (request == NULL)
        return STR("");
    return request->version == 20 ? STR("2") : request->version == 10 ? STR("1.0") : STR("1.1");
}

/* What stands in a certificate that has not passed is whatever its maker wanted: a backend that
 * goes by the name alone must not see it. */
static struct str verified(const struct tls_facts *f, struct str value)
{
    return str_eq(f->client_verify, STR("SUCCESS")) ? value : STR("");
}

static struct str tls_value(enum variable which, const struct tls_facts *f)
{
    switch (which) {
    case VAR_TLS_VERSION:
        return f->version;
    case VAR_TLS_CIPHER:
        return f->cipher;
    case VAR_TLS_SNI:
        return f->sni;
    case VAR_TLS_ALPN:
        return f->alpn;
    case VAR_TLS_RESUMED:
        return f->resumed ? STR("1") : STR("0");
    case VAR_TLS_CLIENT_VERIFY:
        return f->client_verify;
    case VAR_TLS_CLIENT_SUBJECT:
        return verified(f, f->client_subject);
    case VAR_TLS_CLIENT_ISSUER:
        return verified(f, f->client_issuer);
    case VAR_TLS_CLIENT_SERIAL:
        return verified(f, f->client_serial);
    case VAR_TLS_CLIENT_FINGERPRINT:
        return f->client_fingerprint;
    default:
        return STR("");
    }
}

static void write_tls(struct writer *w, enum variable which, const struct http_vars *vars)
{
    const struct tls_facts *f = vars->tls != NULL ? vars->tls(vars->tls_arg) : NULL;

    if (f != NULL)
        write_value(w, tls_value(which, f), which);
}

static struct str plain_value(enum variable which, const struct http_vars *v)
{
    switch (which) {
    case VAR_CLIENT_IP:
        return v->client_ip;
    case VAR_CLIENT_PORT:
        return v->client_port;
    case VAR_PEER_IP:
        return v->peer_ip;
    case VAR_SCHEME:
        return v->scheme;
    case VAR_HOST:
        return v->host;
    case VAR_PORT:
        return v->port;
    case VAR_METHOD:
        return v->request != NULL ? http_str(v->request, v->request->method_text) : STR("");
    case VAR_PATH:
        return v->path;
    case VAR_QUERY:
        return v->query;
    case VAR_VERSION:
        return version_text(v->request);
    case VAR_REQUEST_ID:
        return v->request_id;
    case VAR_TRACEPARENT:
        return v->traceparent;
    case VAR_LISTENER:
        return v->listener;
    case VAR_ROUTE:
        return v->route;
    case VAR_POOL:
        return v->pool;
    case VAR_BACKEND:
        return v->backend;
    default:
        return STR("");
    }
}

static void write_part(struct writer *w, const struct part *p, const struct http_vars *vars)
{
    switch ((enum variable)p->variable) {
    case VAR_LITERAL:
        put(w, p->text.p, p->text.len);
        return;
    case VAR_URI:
        write_uri(w, vars);
        return;
    case VAR_STATUS:
        if (vars->response != NULL)
            write_number(w, vars->response->status);
        return;
    case VAR_TIME_EPOCH:
        write_number(w, vars->wall_s);
        return;
    case VAR_TLS_VERSION ... VAR_TLS_CLIENT_FINGERPRINT:
        write_tls(w, (enum variable)p->variable, vars);
        return;
    case VAR_HEADER:
        write_header(w, vars->request, p);
        return;
    case VAR_RESPONSE_HEADER:
        write_header(w, vars->response, p);
        return;
    case VAR_COOKIE:
        write_cookie(w, vars->request, p);
        return;
    case VAR_QUERY_PARAM:
        write_query_param(w, vars->query, p);
        return;
    case VAR_CAPTURE:
        write_value(w, vars->captures[p->group], VAR_CAPTURE);
        return;
    default:
        write_value(w, plain_value((enum variable)p->variable, vars), (enum variable)p->variable);
        return;
    }
}

int http_template_expand_for(const struct http_template *t, const struct http_vars *vars,
                             enum http_template_for what, char *out, size_t cap)
{
    struct writer w = {.out = out, .cap = cap < INT_MAX ? cap : INT_MAX, .what = what};

    for (uint32_t i = 0; i < t->n_parts && !w.full; i++)
        write_part(&w, &t->parts[i], vars);
    return w.full ? -EMSGSIZE : (int)w.len;
}

int http_template_expand(const struct http_template *t, const struct http_vars *vars, char *out,
                         size_t cap)
{
    return http_template_expand_for(t, vars, HTTP_FOR_TEXT, out, cap);
}
