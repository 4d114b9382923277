/* headers.c - removes, sets and adds fields of requests and of responses, in this order.
 *
 * Fields that say where a message ends or what happens to its connection belong to the codecs: a
 * configuration that names them is refused, and a wildcard passes them by. Values are templates;
 * one that comes out empty writes no field. */
#include "lb/base/alloc.h"
#include "lb/filter/filter_priv.h"

#include <errno.h>
#include <stdlib.h>

#define VALUE_STACK 4096 /* bytes; a longer value costs a malloc */

struct edit {
    char *name;
    struct http_template *value;
};

struct headers {
    struct filter base;
    char **remove;
    struct edit *set, *add;
    uint32_t n_remove, n_set, n_add;
};

static bool is_framing(enum http_field_id id)
{
    switch (id) {
    case HTTP_CONNECTION:
    case HTTP_CONTENT_LENGTH:
    case HTTP_TRANSFER_ENCODING:
    case HTTP_TE:
    case HTTP_TRAILER:
    case HTTP_UPGRADE:
    case HTTP_KEEP_ALIVE:
    case HTTP_PROXY_CONNECTION:
    case HTTP_HTTP2_SETTINGS:
    case HTTP_EXPECT:
        return true;
    default:
        return false;
    }
}

/* NULL, or what is wrong with naming this field. */
static const char *name_error(const char *group, const char *verb, const char *name)
{
    size_t len = strlen(name);
    bool wild = strcmp(verb, "remove") == 0 && len > 0 && name[len - 1] == '*';
    enum http_field_id id = wild ? HTTP_OTHER : http_field_id_of(name, len);

    if (!(wild && len == 1) && !http_is_token((struct str){name, wild ? len - 1 : len}))
        return filter_error("%s.%s: \"%s\" is not the name of a header", group, verb, name);
    if (len > UINT8_MAX)
        return filter_error("%s.%s: \"%.40s...\" has %zu bytes, expected at most %d", group, verb,
                            name, len, UINT8_MAX);
    if (is_framing(id))
        return filter_error("%s.%s: %s belongs to the connection or says where a message ends: "
                            "sluice writes it itself",
                            group, verb, name);
    if (id == HTTP_HOST)
        return filter_error("%s.%s: Host is changed by the route's set_host", group, verb);
    return NULL;
}

static const char *make_edits(const char *group, const char *verb,
                              const struct header_set_conf *conf, uint32_t n, struct edit *out)
{
    for (uint32_t i = 0; i < n; i++) {
        const char *why = NULL, *error = name_error(group, verb, conf[i].name);
        if (error != NULL)
            return error;
        out[i].name = xstrdup(conf[i].name);
        out[i].value = http_template_compile(str_of(conf[i].value), &why);
        if (out[i].value == NULL)
            return filter_error("%s.%s: value of %s: %s", group, verb, conf[i].name, why);
        if (!http_template_is_line(out[i].value))
            return filter_error("%s.%s: value of %s: control bytes cannot stand in a header", group,
                                verb, conf[i].name);
    }
    return NULL;
}

static void free_edits(struct edit *edits, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        free(edits[i].name);
        if (edits[i].value != NULL)
            http_template_free(&edits[i].value);
    }
    free(edits);
}

static void free_headers(struct filter *f)
{
    struct headers *h = container_of(f, struct headers, base);

    for (uint32_t i = 0; i < h->n_remove; i++)
        free(h->remove[i]);
    free(h->remove);
    free_edits(h->set, h->n_set);
    free_edits(h->add, h->n_add);
    free(h);
}

static struct filter *make(const struct filter_type *type, const char *group,
                           const struct headers_conf *conf, const char **out_error)
{
    const char *error = NULL;

    if (conf->n_remove + conf->n_set + conf->n_add == 0)
        return NULL;
    struct headers *h = xcalloc(1, sizeof(*h));
    h->base.type = type;
    h->n_remove = conf->n_remove;
    h->n_set = conf->n_set;
    h->n_add = conf->n_add;
    h->remove = xcalloc(conf->n_remove + 1, sizeof(char *));
    h->set = xcalloc(conf->n_set + 1, sizeof(struct edit));
    h->add = xcalloc(conf->n_add + 1, sizeof(struct edit));
    for (uint32_t i = 0; i < conf->n_remove && error == NULL; i++) {
        h->remove[i] = xstrdup(conf->remove[i]);
        error = name_error(group, "remove", conf->remove[i]);
    }
    if (error == NULL)
        error = make_edits(group, "set", conf->set, conf->n_set, h->set);
    if (error == NULL)
        error = make_edits(group, "add", conf->add, conf->n_add, h->add);
    if (error == NULL)
        return &h->base;
    free_headers(&h->base);
    *out_error = error;
    return NULL;
}

/* ---- per exchange ---- */

static void remove_matching(struct http_head *h, const char *pattern)
{
    size_t len = strlen(pattern);

    if (pattern[len - 1] != '*') {
        http_drop_name(h, str_of(pattern));
        return;
    }
    len--;
    for (uint16_t i = 0; i < h->n_fields; i++) {
        struct http_field *f = &h->fields[i];
        struct str name = http_name(h, f);
        if (f->id == HTTP_DROPPED || f->id == HTTP_HOST || is_framing(f->id) || name.len < len)
            continue;
        if (str_eq_nocase((struct str){name.p, len}, (struct str){pattern, len}))
            http_drop(f);
    }
}

static int write_field(struct http_head *h, struct arena *a, const char *name, struct str value,
                       bool set)
{
    value = str_trim(value);
    if (set && value.len > 0)
        return http_head_set(h, a, str_of(name), value);
    if (set)
        http_drop_name(h, str_of(name));
    return value.len > 0 ? http_head_add(h, a, str_of(name), value) : 0;
}

/* 0 or -errno. The value is copied into the head, so it may live here. */
static int apply(const struct edit *e, struct filter_exchange *x, struct http_head *h, bool set)
{
    struct str fixed = http_template_fixed(e->value);
    char stack[VALUE_STACK], *big = NULL;

    if (fixed.p != NULL)
        return write_field(h, x->arena, e->name, fixed, set);
    int len = http_template_expand(e->value, &x->vars, stack, sizeof(stack));
    if (len == -EMSGSIZE) {
        big = malloc(HTTP_HEAD_BYTES_MAX);
        if (big == NULL)
            return -ENOMEM;
        len = http_template_expand(e->value, &x->vars, big, HTTP_HEAD_BYTES_MAX);
    }
    struct str value = {big != NULL ? big : stack, len > 0 ? (size_t)len : 0};
    int rc = len < 0 ? len : write_field(h, x->arena, e->name, value, set);
    free(big);
    return rc;
}

static int edit_head(const struct headers *hs, struct filter_exchange *x, struct http_head *h)
{
    int rc = 0;

    for (uint32_t i = 0; i < hs->n_remove; i++)
        remove_matching(h, hs->remove[i]);
    for (uint32_t i = 0; i < hs->n_set && rc == 0; i++)
        rc = apply(&hs->set[i], x, h, true);
    for (uint32_t i = 0; i < hs->n_add && rc == 0; i++)
        rc = apply(&hs->add[i], x, h, false);
    return rc;
}

static enum filter_verdict request_head(struct filter *f, struct filter_exchange *x, void *state)
{
    (void)state;
    int rc = edit_head(container_of(f, struct headers, base), x, x->request);

    if (rc != -EMSGSIZE)
        return rc == 0 ? FILTER_PASS : FILTER_ABORT;
    x->answer = (struct filter_answer){.status = 431, .reason = "head-too-large"};
    return FILTER_ANSWER;
}

static enum filter_verdict response_head(struct filter *f, struct filter_exchange *x, void *state)
{
    (void)state;
    int rc = edit_head(container_of(f, struct headers, base), x, x->response);

    return rc == 0 ? FILTER_PASS : FILTER_ABORT;
}

static struct filter *make_request(const struct filters_conf *conf, const char **out_error)
{
    return make(&request_headers_filter, "request_headers", &conf->request_headers, out_error);
}

static struct filter *make_response(const struct filters_conf *conf, const char **out_error)
{
    return make(&response_headers_filter, "response_headers", &conf->response_headers, out_error);
}

const struct filter_type request_headers_filter = {
    .name = "request_headers",
    .make = make_request,
    .free = free_headers,
    .request_head = request_head,
};

const struct filter_type response_headers_filter = {
    .name = "response_headers",
    .make = make_response,
    .free = free_headers,
    .response_head = response_head,
};
