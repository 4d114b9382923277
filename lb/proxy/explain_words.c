/* explain_words.c - the words behind `explain`, of the command line and of the stats socket. */
#include "lb/base/alloc.h"
#include "lb/proxy/explain.h"

#include <errno.h>
#include <stdio.h>

struct reader {
    const struct str *words;
    uint32_t n, at;
    bool joined;
    struct explain_words *out;
    struct strbuf *error;
};

static bool is_option(struct str w)
{
    return str_eq(w, STR("-H")) || str_eq(w, STR("--header")) || str_eq(w, STR("--from")) ||
           str_eq(w, STR("--listener")) || str_eq(w, STR("--json"));
}

static int take_value(struct reader *r, struct str *out)
{
    if (r->at == r->n) {
        strbuf_addf(r->error, STR_FMT " needs a value", STR_ARG(r->words[r->at - 1]));
        return -EINVAL;
    }
    *out = r->words[r->at++];
    return 0;
}

static struct str without_quotes(struct str s)
{
    bool quoted = s.len >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.len - 1] == s.p[0];

    return quoted ? (struct str){s.p + 1, s.len - 2} : s;
}

/* r->out->text is large enough for all words, so that nothing in it moves. */
static struct str join(struct reader *r, struct str first)
{
    struct strbuf *b = &r->out->text;
    size_t at = b->len;

    strbuf_add_str(b, first);
    while (r->at < r->n && !is_option(r->words[r->at])) {
        strbuf_add_char(b, ' ');
        strbuf_add_str(b, r->words[r->at++]);
    }
    return without_quotes((struct str){b->p + at, b->len - at});
}

static int take_header(struct reader *r)
{
    struct explain_question *q = &r->out->question;
    struct str header = STR("");
    int rc = take_value(r, &header);

    if (rc < 0)
        return rc;
    if (q->n_headers == ARRAY_LEN(r->out->headers)) {
        strbuf_addf(r->error, "at most %zu headers", ARRAY_LEN(r->out->headers));
        return -EINVAL;
    }
    r->out->headers[q->n_headers++] = r->joined ? join(r, header) : header;
    return 0;
}

static int take_from(struct reader *r)
{
    struct str text = STR("");
    const char *ignored;
    struct addr_spec spec;
    char buf[80];
    int rc = take_value(r, &text);

    if (rc < 0)
        return rc;
    if (str_eq(text, STR("unix"))) {
        rc = addr_parse(STR("unix:/client"), false, false, &spec, &ignored);
    } else {
        bool v6 = memchr(text.p, ':', text.len) != NULL && text.p[0] != '[';
        int n = snprintf(buf, sizeof(buf), v6 ? "[%.*s]:1" : "%.*s:1",
                         (int)(text.len < 64 ? text.len : 64), text.p);
        rc = addr_parse((struct str){buf, (size_t)n}, false, false, &spec, &ignored);
        addr_set_port(&spec.addr, 0);
    }
    if (rc < 0)
        strbuf_addf(r->error, "--from: \"" STR_FMT "\" is no IP address", STR_ARG(text));
    r->out->question.from = spec.addr;
    return rc;
}

static int take_option(struct reader *r, struct str word)
{
    if (str_eq(word, STR("-H")) || str_eq(word, STR("--header")))
        return take_header(r);
    if (str_eq(word, STR("--from")))
        return take_from(r);
    if (str_eq(word, STR("--listener")))
        return take_value(r, &r->out->question.listener);
    if (str_eq(word, STR("--json"))) {
        r->out->json = true;
        return 0;
    }
    strbuf_addf(r->error, "unknown option " STR_FMT, STR_ARG(word));
    return -EINVAL;
}

static void make_room(struct reader *r)
{
    size_t total = 1;

    for (uint32_t i = 0; i < r->n; i++)
        total += r->words[i].len + 1;
    if (!r->joined)
        return;
    r->out->text.p = xcalloc(1, total);
    r->out->text.cap = total;
}

int explain_words(const struct str *words, uint32_t n, bool joined, struct explain_words *out,
                  struct strbuf *error)
{
    struct reader r = {words, n, 0, joined, out, error};
    struct explain_question *q = &out->question;
    int rc = 0;

    *out = (struct explain_words){.question = {.method = STR(""), .url = STR("")}};
    make_room(&r);
    while (r.at < n && rc == 0) {
        struct str word = words[r.at++];
        if (word.len > 1 && word.p[0] == '-') {
            rc = take_option(&r, word);
        } else if (q->method.len == 0) {
            q->method = word;
        } else if (q->url.len == 0) {
            q->url = word;
        } else {
            strbuf_addf(error, "unexpected \"" STR_FMT "\"", STR_ARG(word));
            rc = -EINVAL;
        }
    }
    if (rc == 0 && q->url.len == 0) {
        strbuf_add_cstr(error, q->method.len == 0 ? "a method and a URL are needed"
                                                  : "a URL is needed behind the method");
        rc = -EINVAL;
    }
    q->headers = out->headers;
    return rc;
}

void explain_words_fini(struct explain_words *w)
{
    strbuf_fini(&w->text);
}
