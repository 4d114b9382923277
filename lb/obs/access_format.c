/* access_format.c - the formats of access lines: compiled once, at load, to pieces: literal bytes,
 * then a variable's writer. The formats with a name are templates too, but for JSON.
 * A line that would not fit is cut and still ends with its newline. */
#include "lb/obs/access_priv.h"

#include "lb/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>

struct piece {
    struct str literal;     /* comes first */
    access_write_fn *write; /* NULL: nothing follows */
    struct str arg;
};

struct access_format {
    bool json, haproxy;
    const char *http; /* what of it only mode http has; NULL: nothing */
    uint32_t needs;
    char *text; /* literals and names point into it */
    size_t n_pieces;
    struct piece pieces[];
};

static const struct named {
    const char *name;
    bool haproxy;
    const char *text;
} named[] = {
    /* %ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq */
    {"tcplog", false,
     "$client_ip:$client_port [$time_haproxy] $listener $pool/$backend"
     " $queue_ms/$connect_ms/$total_ms $bytes_out $end_code $process_sessions/$listener_sessions/"
     "$pool_sessions/$backend_sessions/$retries $backend_queue/$pool_queue"},
    /* %ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc
     * %sq/%bq %{+Q}r; without captures, as HAProxy writes it where none are configured */
    {"httplog", true,
     "$client_ip:$client_port [$time_haproxy] $listener $pool/$backend"
     " $head_ms/$queue_ms/$connect_ms/$response_ms/$total_ms $status $bytes_out - - $end_state"
     " $process_sessions/$listener_sessions/$pool_sessions/$backend_sessions/$retries"
     " $backend_queue/$pool_queue \"$request\""},
    {"combined", false,
     "$client_ip - $user [$time_local] \"$request\" $status_combined $body_bytes_out \"$referer\""
     " \"$user_agent\""},
};

size_t access_format_write(const struct access_format *f, const struct access_record *r,
                           char out[static ACCESS_LINE_MAX])
{
    struct writer w = {.p = out, .end = out + ACCESS_LINE_MAX - 1, .haproxy = f->haproxy};

    if (f->json) {
        access_json_write(&w, r);
    } else {
        for (size_t i = 0; i < f->n_pieces; i++) {
            const struct piece *piece = &f->pieces[i];
            put(&w, piece->literal.p, piece->literal.len);
            if (piece->write != NULL)
                piece->write(&w, r, piece->arg);
        }
    }
    *w.p++ = '\n';
    return (size_t)(w.p - out);
}

/* ---- compiling ---- */

static _Thread_local char error_text[200];

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static const struct access_variable *find_variable(struct str name, struct str *out_arg)
{
    const char *near = NULL;
    const struct access_variable *v = access_variable_find(name, out_arg, &near);

    if (v == NULL)
        snprintf(error_text, sizeof(error_text), "unknown variable $%.*s%s%s%s",
                 (int)(name.len < 64 ? name.len : 64), name.p, near ? " (did you mean \"$" : "",
                 near ? near : "", near ? "\"?)" : "");
    return v;
}

/* A field's name has - where the variable has _. */
static void name_with_dashes(struct str name)
{
    char *p = (char *)name.p; /* of f->text, which is ours */

    for (size_t i = 0; i < name.len; i++)
        if (p[i] == '_')
            p[i] = '-';
}

static void use_variable(struct access_format *f, struct piece *piece,
                         const struct access_variable *v, struct str arg)
{
    piece->write = v->write;
    piece->arg = arg;
    f->needs |= v->needs;
    if (v->http)
        f->http = v->name;
    if (strcmp(v->name, "header_") == 0 || strcmp(v->name, "response_header_") == 0)
        name_with_dashes(arg);
}

/* Cuts "$name", "${name}" or "$$" off *rest, which begins with the dollar. "$$" is a piece without
 * variable: its literal goes on with the second dollar. */
static int parse_dollar(struct access_format *f, struct str *rest, struct piece *piece)
{
    struct str s = {rest->p + 1, rest->len - 1}, arg;
    bool braced = s.len > 0 && s.p[0] == '{';
    struct str name = {s.p + braced, 0};

    if (s.len > 0 && s.p[0] == '$') {
        *rest = (struct str){s.p + 1, s.len - 1};
        return 0;
    }
    while (braced + name.len < s.len && is_name_char(name.p[name.len]))
        name.len++;
    size_t used = braced + name.len;
    if (name.len == 0 || (braced && (used >= s.len || s.p[used] != '}'))) {
        snprintf(error_text, sizeof(error_text), "%s",
                 braced ? "\"${\" without a name and \"}\" behind it"
                        : "a lone \"$\" (a variable's name must follow; \"$$\" is a dollar)");
        return -1;
    }
    const struct access_variable *v = find_variable(name, &arg);
    if (v == NULL)
        return -1;
    use_variable(f, piece, v, arg);
    used += braced;
    *rest = (struct str){s.p + used, s.len - used};
    return 0;
}

static int compile_template(struct access_format *f)
{
    struct str rest = str_of(f->text);
    const char *start = rest.p;

    while (rest.len > 0) {
        if ((unsigned char)rest.p[0] < 0x20 || rest.p[0] == 0x7f) {
            snprintf(error_text, sizeof(error_text),
                     "control byte 0x%02x: a record is one line of text", rest.p[0]);
            return -1;
        }
        if (rest.p[0] != '$') {
            rest.p++;
            rest.len--;
            continue;
        }
        struct piece *piece = &f->pieces[f->n_pieces++];
        piece->literal = (struct str){start, (size_t)(rest.p - start)};
        if (parse_dollar(f, &rest, piece) < 0)
            return -1;
        start = rest.p;
        if (piece->write == NULL) /* "$$": the second one begins the next literal */
            start--;
    }
    f->pieces[f->n_pieces++] = (struct piece){.literal = {start, (size_t)(rest.p - start)}};
    return 0;
}

#define EXPECTED "combined, httplog, tcplog, json or a template with $variables"

static const char *unusable(const char *text)
{
    if (text[0] == '\0')
        return "empty: expected " EXPECTED;
    if (strchr(text, '$') == NULL)
        return "unknown format: expected " EXPECTED;
    return NULL;
}

static const struct named *find_named(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(named); i++)
        if (strcmp(text, named[i].name) == 0)
            return &named[i];
    return NULL;
}

static struct access_format *new_format(const char *text)
{
    size_t max_pieces = 1;

    for (const char *p = text; *p != '\0'; p++)
        max_pieces += *p == '$';
    struct access_format *f = xcalloc(1, sizeof(*f) + max_pieces * sizeof(f->pieces[0]));
    f->text = xstrdup(text);
    return f;
}

struct access_format *access_format_compile(const char *text, const char **out_error)
{
    const struct named *name = find_named(text);
    struct access_format *f;

    if (strcmp(text, "json") == 0) {
        f = new_format(text);
        f->json = true;
        f->needs = ACCESS_NEEDS_REQUEST | ACCESS_NEEDS_LOCAL | ACCESS_NEEDS_TLS;
        return f;
    }
    if (name == NULL && unusable(text) != NULL) {
        *out_error = unusable(text);
        return NULL;
    }
    f = new_format(name != NULL ? name->text : text);
    f->haproxy = name != NULL && name->haproxy;
    if (compile_template(f) < 0) {
        *out_error = error_text;
        access_format_free(&f);
    } else if (name != NULL && f->http != NULL) {
        f->http = name->name;
    }
    return f;
}

void access_format_free(struct access_format **f)
{
    if (*f == NULL)
        return;
    free((*f)->text);
    free(*f);
    *f = NULL;
}

bool access_format_fits(const struct access_format *f, bool http, const char **out_error)
{
    if (http || f->http == NULL)
        return true;
    bool is_format = find_named(f->http) != NULL;
    bool takes_name = f->http[strlen(f->http) - 1] == '_';
    snprintf(error_text, sizeof(error_text),
             "%s%s%s is for listeners with mode http; here tcplog, json or a template with "
             "variables that mode tcp has",
             is_format ? "" : "$", f->http, takes_name ? "NAME" : "");
    *out_error = error_text;
    return false;
}

uint32_t access_format_needs(const struct access_format *f)
{
    return f->needs;
}
