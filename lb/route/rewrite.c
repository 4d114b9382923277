/* rewrite.c - see rewrite.h. */
#include "lb/route/rewrite.h"

#include "lb/base/alloc.h"
#include "lb/http/uri.h"
#include "lb/route/route_rule.h"
#include "lb/route/route_scratch.h"

#include <errno.h>
#include <stdlib.h>

struct route_rewrite {
    struct str strip; /* normalised, without a slash at its end; "" strips nothing */
    char *strip_own;
    struct http_template *path, *host, *body; /* NULL: not configured */
    struct http_template *to, *to_with_query; /* the second: when the request has a query */
    enum http_template_for body_for;
    bool keep_encoded_slash;
    bool to_is_local;      /* a path: it must not become a URL of another host */
    uint16_t to_authority; /* bytes of "example.com" when client's text follows at once, else 0 */
};

/* ---- load ---- */

static struct http_template *compile(const char *text, const char *setting,
                                     struct route_problems *problems)
{
    const char *error = NULL;

    if (text == NULL)
        return NULL;
    struct http_template *t = http_template_compile(str_of(text), &error);
    if (t == NULL)
        route_problem(problems, setting, 0, "\"%s\": %s", text, error);
    return t;
}

static struct http_template *compile_url(const char *text, const char *setting,
                                         struct route_problems *problems)
{
    char *encoded = text != NULL ? route_percent_encode(text, true) : NULL;
    struct http_template *t = compile(encoded, setting, problems);

    free(encoded);
    return t;
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    }
    return false;
}

static void strip_init(struct route_rewrite *w, const char *prefix, struct route_problems *problems)
{
    const char *error = NULL;

    if (prefix == NULL)
        return;
    if (prefix[0] != '/') {
        route_problem(problems, "strip_prefix", 0, "found \"%s\", expected \"/prefix\"", prefix);
        return;
    }
    if (!route_path_normalise(prefix, w->keep_encoded_slash, &w->strip_own, &w->strip, &error)) {
        route_problem(problems, "strip_prefix", 0, "\"%s\" is no path: %s", prefix, error);
        return;
    }
    if (w->strip.p[w->strip.len - 1] == '/')
        w->strip.len--;
}

static void path_init(struct route_rewrite *w, const char *text, struct route_problems *problems)
{
    w->path = compile_url(text, "replace_path", problems);
    if (w->path == NULL)
        return;
    if (text[0] != '/' && text[0] != '$')
        route_problem(problems, "replace_path", 0, "found \"%s\", expected a path (\"/...\")",
                      text);
    else if (strpbrk(text, "?#") != NULL || has_control(text))
        route_problem(problems, "replace_path", 0,
                      "\"%s\": a path has no \"?\" or \"#\" (the client's query goes on)", text);
}

static void host_init(struct route_rewrite *w, const char *text, struct route_problems *problems)
{
    struct str host, port;

    w->host = compile(text, "set_host", problems);
    if (w->host == NULL)
        return;
    struct str fixed = http_template_fixed(w->host);
    if (fixed.p != NULL && !uri_authority(fixed, &host, &port))
        route_problem(problems, "set_host", 0, "\"%s\" is no host, nor host:port", text);
}

/* Bytes of the scheme that a URL begins with, with its "://", or 0. */
static size_t scheme_len(const char *url)
{
    static const char *const ours[] = {"$scheme://", "${scheme}://"};
    size_t n = strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        if (strncmp(url, ours[i], strlen(ours[i])) == 0)
            return strlen(ours[i]);
    }
    return n > 0 && strncmp(url + n, "://", 3) == 0 ? n + 3 : 0;
}

/* The length of "example.com" in "https://example.com$1": without a slash between them, what the
 * client chose could make it the name of another host (".evil.example/"). */
static uint16_t authority_before_path(const char *to, size_t scheme)
{
    static const char *const chosen[] = {"path", "uri", "1", "2", "3", "4",
                                         "5",    "6",   "7", "8", "9"};
    size_t len = strcspn(to + scheme, "/?#$");
    const char *name = to + scheme + len;

    if (scheme == 0 || len == 0 || len > UINT16_MAX || *name != '$')
        return 0;
    name += name[1] == '{' ? 2 : 1;
    for (size_t i = 0; i < ARRAY_LEN(chosen); i++) {
        if (strncmp(name, chosen[i], strlen(chosen[i])) == 0)
            return (uint16_t)len;
    }
    return 0;
}

static void redirect_init(struct route_rewrite *w, const char *to, struct route_problems *problems)
{
    size_t scheme = scheme_len(to), before_fragment = strcspn(to, "#");

    w->to = compile_url(to, "redirect.to", problems);
    if (w->to == NULL)
        return;
    w->to_is_local = scheme == 0;
    w->to_authority = authority_before_path(to, scheme);
    if ((to[0] != '/' && to[0] != '$' && scheme == 0) || strncmp(to, "//", 2) == 0)
        route_problem(problems, "redirect.to", 0,
                      "found \"%s\", expected a path (\"/...\") or a URL (\"https://...\")", to);
    if (has_control(to))
        route_problem(problems, "redirect.to", 0, "\"%s\" has control characters", to);
    if (strchr(to, '?') != NULL || http_template_uses(w->to, "query") ||
        http_template_uses(w->to, "uri"))
        return;
    char *with_query = xasprintf("%.*s?$query%s", (int)before_fragment, to, to + before_fragment);
    w->to_with_query = compile_url(with_query, "redirect.to", problems);
    free(with_query);
}

static bool contains(const char *text, const char *what)
{
    return text != NULL && strcasestr(text, what) != NULL;
}

static void answer_init(struct route_rewrite *w, const struct route_conf *conf,
                        struct route_problems *problems)
{
    w->body = compile(conf->answer.body, "answer.body", problems);
    w->body_for = contains(conf->answer.type, "html") || contains(conf->answer.type, "xml")
                      ? HTTP_FOR_HTML
                  : contains(conf->answer.type, "json") ? HTTP_FOR_JSON
                                                        : HTTP_FOR_TEXT;
}

struct route_rewrite *route_rewrite_new(const struct route_conf *conf, bool keep_encoded_slash,
                                        struct route_problems *problems)
{
    struct route_rewrite *w = xcalloc(1, sizeof(*w));

    w->keep_encoded_slash = keep_encoded_slash;
    if (conf->strip_prefix != NULL && conf->replace_path != NULL)
        route_problem(problems, "replace_path", 0,
                      "stands beside strip_prefix: a route has one of them");
    strip_init(w, conf->strip_prefix, problems);
    path_init(w, conf->replace_path, problems);
    host_init(w, conf->set_host, problems);
    if (conf->action == ROUTE_REDIRECT && conf->redirect.to != NULL)
        redirect_init(w, conf->redirect.to, problems);
    if (conf->action == ROUTE_ANSWER)
        answer_init(w, conf, problems);
    return w;
}

void route_rewrite_free(struct route_rewrite **w)
{
    if (*w == NULL)
        return;
    free((*w)->strip_own);
    http_template_free(&(*w)->path);
    http_template_free(&(*w)->host);
    http_template_free(&(*w)->to);
    http_template_free(&(*w)->to_with_query);
    http_template_free(&(*w)->body);
    free(*w);
    *w = NULL;
}

/* ---- path ---- */

bool route_rewrites_path(const struct route_rewrite *w)
{
    return w->path != NULL || w->strip.len > 0;
}

static int copy(struct str text, char *out, size_t cap)
{
    if (text.len > cap || text.len > ROUTE_TEXT_MAX)
        return -EMSGSIZE;
    if (text.len > 0)
        memmove(out, text.p, text.len);
    return (int)text.len;
}

static struct str stripped(const struct route_rewrite *w, struct str path)
{
    struct str prefix = w->strip;

    if (prefix.len == 0 || !str_starts(path, prefix) ||
        (path.len > prefix.len && path.p[prefix.len] != '/'))
        return path;
    return path.len == prefix.len ? STR("/")
                                  : (struct str){path.p + prefix.len, path.len - prefix.len};
}

int route_rewrite_path(const struct route_rewrite *w, struct route_scratch *s,
                       const struct http_vars *vars, char *out, size_t cap)
{
    struct uri_path normal;

    if (vars->path.len == 0 || vars->path.p[0] != '/' || w->path == NULL)
        return copy(stripped(w, vars->path), out, cap);
    int len =
        http_template_expand_for(w->path, vars, HTTP_FOR_PATH, s->text + 1, sizeof(s->text) - 1);
    if (len < 0)
        return len;
    bool rooted = len > 0 && s->text[1] == '/';
    struct str path = {s->text + rooted, (size_t)len + !rooted};
    s->text[0] = '/';
    if (path.len > cap)
        return -EMSGSIZE;
    /* Dot segments can only be a client's ("/files/$query_name"): they would lead out of the folder
     * that the operator has named. */
    if (uri_normalise(path, w->keep_encoded_slash, out, &normal) != URI_OK || normal.had_dots)
        return -EBADMSG;
    return copy(normal.text, out, cap);
}

/* ---- host ---- */

bool route_rewrites_host(const struct route_rewrite *w)
{
    return w->host != NULL;
}

int route_rewrite_host(const struct route_rewrite *w, const struct http_vars *vars, char *out,
                       size_t cap)
{
    struct str host, port;

    sl_assert(w->host != NULL);
    int len = http_template_expand(w->host, vars, out, cap < ROUTE_TEXT_MAX ? cap : ROUTE_TEXT_MAX);
    if (len < 0)
        return len;
    return uri_authority((struct str){out, (size_t)len}, &host, &port) ? len : -EBADMSG;
}

/* ---- redirect and answer ---- */

/* Puts text before out[at]. Returns the new length or -EMSGSIZE. */
static int insert(char *out, int len, size_t cap, size_t at, struct str text)
{
    if ((size_t)len + text.len > cap)
        return -EMSGSIZE;
    memmove(out + at + text.len, out + at, (size_t)len - at);
    memcpy(out + at, text.p, text.len);
    return len + (int)text.len;
}

/* "//evil.example" is a host to a browser, "/\\evil.example" too; behind one slash it is a path. */
static int keep_local(char *out, int len, size_t cap)
{
    int slashes = 0;

    while (slashes < len && (out[slashes] == '/' || out[slashes] == '\\'))
        slashes++;
    if (slashes == 0) /* "*", or a value that is no path */
        return insert(out, len, cap, 0, STR("/"));
    memmove(out + 1, out + slashes, (size_t)(len - slashes));
    out[0] = '/';
    return len - slashes + 1;
}

static int end_authority(const struct route_rewrite *w, char *out, int len, size_t cap)
{
    const char *colon = memmem(out, (size_t)len, "://", 3);
    size_t at = colon == NULL ? SIZE_MAX : (size_t)(colon - out) + 3 + w->to_authority;

    if (colon == NULL || at >= (size_t)len || memchr("/?#", out[at], 3) != NULL)
        return len;
    return insert(out, len, cap, at, STR("/"));
}

int route_redirect_to(const struct route_rewrite *w, const struct http_vars *vars, char *out,
                      size_t cap)
{
    bool query = vars->query.len > 0 && w->to_with_query != NULL;

    sl_assert(w->to != NULL);
    if (cap > ROUTE_TEXT_MAX)
        cap = ROUTE_TEXT_MAX;
    int len =
        http_template_expand_for(query ? w->to_with_query : w->to, vars, HTTP_FOR_URL, out, cap);
    if (len >= 0 && w->to_is_local)
        return keep_local(out, len, cap);
    if (len >= 0 && w->to_authority > 0)
        return end_authority(w, out, len, cap);
    return len;
}

struct str route_answer_fixed(const struct route_rewrite *w)
{
    return w->body != NULL ? http_template_fixed(w->body) : (struct str){NULL, 0};
}

int route_answer_body(const struct route_rewrite *w, const struct http_vars *vars, char *out,
                      size_t cap)
{
    if (w->body == NULL)
        return 0;
    return http_template_expand_for(w->body, vars, w->body_for, out,
                                    cap < ROUTE_TEXT_MAX ? cap : ROUTE_TEXT_MAX);
}
