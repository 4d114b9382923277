/* check_cgi.c - the checks fastcgi, uwsgi and scgi: a request in these protocols, judged as
 * check_http.c judges. PHP-FPM's ping.path and status page are asked for by their path; any other
 * path is one of the application's, split behind ".php" as the pool does. */
#include "health/check.h"
#include "lb/http/cgi.h"
#include "lb/http/fcgi.h"
#include "lb/http/h1_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAX   8192 /* bytes of the response's head */
#define FIELDS_MAX 64

struct check_cgi {
    struct fcgi_reader records;
    struct h1_parser parser;
    uint32_t len;
    bool begun;  /* it is known whether there is a status line */
    bool own;    /* ... there is */
    bool headed; /* the head is over */
    char head[HEAD_MAX + sizeof(CGI_STATUS_LINE)];
};

static enum cgi_wire wire_of(const struct check *ck)
{
    return ck->kind == &check_kind_fastcgi ? CGI_FASTCGI
           : ck->kind == &check_kind_uwsgi ? CGI_UWSGI
                                           : CGI_SCGI;
}

/* ---- the request ---- */

struct params {
    enum cgi_wire wire;
    struct strbuf text;
};

static void put(struct params *p, const char *name, struct str value)
{
    size_t room = strlen(name) + value.len + CGI_PAIR_MAX;
    char *out = malloc(room);

    if (out != NULL)
        strbuf_add(&p->text, out, cgi_put(p->wire, str_of(name), value, out));
    free(out);
}

static void put_joined(struct params *p, const char *name, const char *a, struct str b)
{
    struct strbuf text = {0};

    strbuf_add_cstr(&text, a);
    strbuf_add_str(&text, b);
    put(p, name, strbuf_str(&text));
    strbuf_fini(&text);
}

static void put_script(struct params *p, const struct check *ck, struct str path)
{
    const char *root = ck->conf->cgi_root != NULL ? ck->conf->cgi_root : "";
    struct cgi_script script = {.info = path};

    if (p->wire == CGI_FASTCGI) {
        cgi_find_script(path, STR(".php"), STR(""), &script);
        put_joined(p, "SCRIPT_FILENAME", root, script.name);
        put(p, "REDIRECT_STATUS", STR("200"));
    }
    put(p, "SCRIPT_NAME", script.name);
    if (script.info.len > 0)
        put(p, "PATH_INFO", script.info);
    if (root[0] != '\0')
        put(p, "DOCUMENT_ROOT", str_of(root));
}

static void put_all(struct params *p, const struct check *ck)
{
    struct str uri = str_of(check_http_path(ck)), path = uri, query = STR("");
    const char *mark = memchr(uri.p, '?', uri.len);
    char host[ADDR_TEXT_MAX];

    if (mark != NULL) {
        path.len = (size_t)(mark - uri.p);
        query = (struct str){mark + 1, uri.len - path.len - 1};
    }
    put(p, "CONTENT_LENGTH", STR("0"));
    if (p->wire == CGI_SCGI)
        put(p, "SCGI", STR("1"));
    put(p, "REQUEST_METHOD", str_of(check_http_method(ck)));
    put(p, "REQUEST_URI", uri);
    put(p, "QUERY_STRING", query);
    put_script(p, ck, path);
    put(p, "SERVER_PROTOCOL", STR("HTTP/1.1"));
    put(p, "GATEWAY_INTERFACE", STR("CGI/1.1"));
    put(p, "SERVER_SOFTWARE", STR("sluice"));
    put(p, "SERVER_NAME", STR("localhost"));
    put(p, "SERVER_PORT", STR("80"));
    put(p, "REMOTE_ADDR", STR("127.0.0.1"));
    put(p, "HTTP_HOST", str_of(check_http_host(ck, host)));
    put(p, "HTTP_USER_AGENT", STR("sluice-health/" SLUICE_VERSION));
}

static void wrap(const struct params *p, struct strbuf *out)
{
    struct str all = strbuf_str(&p->text);
    char head[FCGI_BEGIN_BYTES];

    switch (p->wire) {
    case CGI_FASTCGI:
        strbuf_add(out, head, fcgi_begin(false, head));
        strbuf_add(out, head, fcgi_head(FCGI_PARAMS, (uint32_t)all.len, head));
        strbuf_add_str(out, all);
        strbuf_add(out, head, fcgi_head(FCGI_PARAMS, 0, head));
        strbuf_add(out, head, fcgi_head(FCGI_STDIN, 0, head));
        break;
    case CGI_UWSGI:
        strbuf_add(out, (const char[]){0, (char)all.len, (char)(all.len >> 8), 0}, 4);
        strbuf_add_str(out, all);
        break;
    case CGI_SCGI:
        strbuf_addf(out, "%zu:", all.len);
        strbuf_add_str(out, all);
        strbuf_add_char(out, ',');
        break;
    }
}

static void request(struct check *ck, struct strbuf *out)
{
    struct params p = {.wire = wire_of(ck)};

    check_http_init(&ck->http, strcmp(check_http_method(ck), "HEAD") == 0);
    ck->cgi = calloc(1, sizeof(*ck->cgi)); /* NULL: what comes is not understood, the check fails */
    put_all(&p, ck);
    wrap(&p, out);
    strbuf_fini(&p.text);
}

static bool sent(struct check *ck)
{
    (void)ck;
    return false;
}

/* ---- the answer ---- */

static void bad(struct check *ck, const char *what)
{
    if (!ck->decided)
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, ck->http.status, "bad answer in %s: %s",
                  ck->kind->name, what);
}

/* True when the head is over. */
static bool parse_head(struct check *ck, uint32_t *out_rest)
{
    const struct h1_limits limits = {.head_bytes = HEAD_MAX, .fields = FIELDS_MAX, .bare_lf = true};
    enum http_method to = http_method_of(str_of(check_http_method(ck)));
    struct check_cgi *g = ck->cgi;
    struct http_field fields[FIELDS_MAX];
    struct http_head h = {.fields = fields, .max_fields = FIELDS_MAX};

    enum h1_result r = h1_parse_response(&g->parser, g->head, g->len, &limits, to, &h);
    if (r == H1_MORE)
        return false;
    if (r != H1_DONE) {
        bad(ck, h1_result_text(r));
        return false;
    }
    *out_rest = g->len - g->parser.at;
    const char *wrong = cgi_response(&h, to, g->own);
    if (wrong != NULL && !(g->own && ck->kind != &check_kind_fastcgi)) {
        bad(ck, wrong);
        return false;
    }
    ck->http.status = h.status;
    g->headed = true;
    return true;
}

/* Our status line goes before the fields, where there is none. False: not known yet. */
static bool begin_head(struct check_cgi *g)
{
    const uint32_t n = sizeof(CGI_STATUS_LINE) - 1;

    if (!g->begun) {
        int own = cgi_has_status_line((struct str){g->head, g->len});
        if (own < 0)
            return false;
        g->begun = true;
        g->own = own > 0;
        if (own == 0) {
            memmove(g->head + n, g->head, g->len);
            memcpy(g->head, CGI_STATUS_LINE, n);
            g->len += n;
        }
    }
    return true;
}

static void take_body(struct check *ck, struct str data)
{
    if (!ck->decided && data.len > 0 && ck->conf->health.body != NULL)
        check_http_body(ck, data);
}

/* Bytes of the response itself. */
static void take(struct check *ck, struct str data)
{
    struct check_cgi *g = ck->cgi;
    uint32_t rest = 0;

    if (g->headed) {
        take_body(ck, data);
        return;
    }
    uint32_t room = g->len < HEAD_MAX ? HEAD_MAX - g->len : 0;
    uint32_t n = data.len < room ? (uint32_t)data.len : room;
    memcpy(g->head + g->len, data.p, n);
    g->len += n;
    if (begin_head(g) && parse_head(ck, &rest)) {
        check_http_head(ck);
        size_t used = n > rest ? n - rest : 0;
        take_body(ck, (struct str){data.p + used, data.len - used});
    } else if (!ck->decided && n < data.len) {
        bad(ck, "its head is too large");
    }
}

static void over(struct check *ck)
{
    if (ck->decided)
        return;
    if (!ck->cgi->headed)
        bad(ck, "it ended within its head");
    else
        check_http_over(ck);
}

static void take_records(struct check *ck, struct str data)
{
    struct fcgi_reader *r = &ck->cgi->records;
    enum fcgi_event e = FCGI_EVENT_STDOUT;
    uint32_t at, used;

    while (!ck->complete && e != FCGI_EVENT_MORE) {
        e = fcgi_read(r, (const uint8_t *)data.p, (uint32_t)data.len, &at, &used);
        if (e == FCGI_EVENT_STDOUT && !ck->decided)
            take(ck, (struct str){data.p + at, used - at});
        data.p += used;
        data.len -= used;
        if (e == FCGI_EVENT_BAD)
            bad(ck, r->bad);
        if (e == FCGI_EVENT_END && r->protocol != FCGI_REQUEST_COMPLETE)
            bad(ck, r->protocol == FCGI_OVERLOADED ? "overloaded" : "it refused the request");
        if (e == FCGI_EVENT_END)
            over(ck);
        ck->complete = e == FCGI_EVENT_END || e == FCGI_EVENT_BAD;
    }
}

static bool answer(struct check *ck, struct str data)
{
    if (ck->cgi == NULL)
        check_say(ck, CHECK_UNABLE, CHECK_SOCKERR, 0, "out of memory");
    else if (ck->kind == &check_kind_fastcgi)
        take_records(ck, data);
    else
        take(ck, data);
    return ck->decided;
}

static bool rest(struct check *ck, struct str data)
{
    if (ck->cgi != NULL && ck->kind == &check_kind_fastcgi)
        take_records(ck, data);
    return ck->complete;
}

static void ended(struct check *ck)
{
    if (ck->cgi == NULL)
        check_say(ck, CHECK_UNABLE, CHECK_SOCKERR, 0, "out of memory");
    else
        over(ck);
}

static void fini(struct check *ck)
{
    free(ck->cgi);
    ck->cgi = NULL;
}

const struct check_kind check_kind_fastcgi = {
    .name = "fastcgi",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = ended,
    .rest = rest,
    .fini = fini,
};

const struct check_kind check_kind_uwsgi = {
    .name = "uwsgi",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = ended,
    .rest = rest,
    .fini = fini,
};

const struct check_kind check_kind_scgi = {
    .name = "scgi",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = ended,
    .rest = rest,
    .fini = fini,
};
