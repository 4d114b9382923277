/* chain.c - the filters of one route in a row.
 *
 * Requests pass first to last, responses last to first. A hook that says FILTER_PAUSE is called
 * again when the host goes on, with the same state: it then says what came of it. State is made
 * before a filter's first hook, so an exchange that is answered early pays for nothing behind. */
#include "lb/filter/filter.h"

#include <errno.h>

int filter_chain_make(const struct filters_conf *conf, struct filter_chain *out,
                      const char **out_error)
{
    struct filter_chain c = {0};

    for (const struct filter_type *const *type = filter_types; *type != NULL; type++) {
        const char *error = NULL;
        struct filter *f = (*type)->make(conf, &error);
        if (f == NULL && error != NULL) {
            filter_chain_fini(&c);
            *out_error = error;
            return -EINVAL;
        }
        if (f == NULL)
            continue;
        sl_assert(c.n < FILTER_CHAIN_MAX && f->type == *type);
        c.filters[c.n++] = f;
        c.sees_request_body |= (*type)->request_body != NULL;
        c.sees_response_body |= (*type)->response_body != NULL;
    }
    *out = c;
    return 0;
}

void filter_chain_fini(struct filter_chain *c)
{
    for (uint32_t i = 0; i < c->n; i++)
        c->filters[i]->type->free(c->filters[i]);
    *c = (struct filter_chain){0};
}

static bool make_state(const struct filter_type *type, struct filter_exchange *x, uint32_t i)
{
    if (type->state_size > 0 && x->states[i] == NULL)
        x->states[i] = arena_zalloc(x->arena, type->state_size);
    return type->state_size == 0 || x->states[i] != NULL;
}

/* One run over the chain: the six hooks differ in their name, direction and argument only. */
#define RUN(hook, position, ...)                                                                   \
    for (; *at < c->n; (*at)++) {                                                                  \
        uint32_t i = (position);                                                                   \
        struct filter *f = c->filters[i];                                                          \
        if (f->type->hook == NULL)                                                                 \
            continue;                                                                              \
        enum filter_verdict v = make_state(f->type, x, i)                                          \
                                    ? f->type->hook(f, x, x->states[i] __VA_OPT__(, ) __VA_ARGS__) \
                                    : FILTER_ABORT;                                                \
        if (v != FILTER_PASS)                                                                      \
            return v;                                                                              \
    }                                                                                              \
    return FILTER_PASS

#define FORWARD  *at
#define BACKWARD c->n - 1 - *at

enum filter_verdict filter_chain_request_head(const struct filter_chain *c,
                                              struct filter_exchange *x, uint32_t *at)
{
    RUN(request_head, FORWARD);
}

enum filter_verdict filter_chain_request_body(const struct filter_chain *c,
                                              struct filter_exchange *x, uint32_t *at,
                                              struct filter_body *body)
{
    RUN(request_body, FORWARD, body);
}

enum filter_verdict filter_chain_request_trailers(const struct filter_chain *c,
                                                  struct filter_exchange *x, uint32_t *at,
                                                  struct http_head *trailers)
{
    RUN(request_trailers, FORWARD, trailers);
}

enum filter_verdict filter_chain_response_head(const struct filter_chain *c,
                                               struct filter_exchange *x, uint32_t *at)
{
    RUN(response_head, BACKWARD);
}

enum filter_verdict filter_chain_response_body(const struct filter_chain *c,
                                               struct filter_exchange *x, uint32_t *at,
                                               struct filter_body *body)
{
    RUN(response_body, BACKWARD, body);
}

enum filter_verdict filter_chain_response_trailers(const struct filter_chain *c,
                                                   struct filter_exchange *x, uint32_t *at,
                                                   struct http_head *trailers)
{
    RUN(response_trailers, BACKWARD, trailers);
}

enum filter_verdict filter_chain_explain(const struct filter_chain *c, struct filter_exchange *x,
                                         filter_explain_fn *fn, void *arg)
{
    enum filter_verdict v = FILTER_PASS;
    struct strbuf words = {0};

    for (uint32_t i = 0; i < c->n && v == FILTER_PASS; i++) {
        struct filter *f = c->filters[i];
        if (f->type->explain == NULL && f->type->request_head == NULL)
            continue; /* it minds responses only */
        strbuf_clear(&words);
        strbuf_add_cstr(&words, "");
        if (f->type->explain != NULL)
            v = f->type->explain(f, x, &words);
        else
            v = f->type->request_head(f, x, NULL);
        fn(arg, f->type->name, v, words.p);
    }
    strbuf_fini(&words);
    return v;
}

void filter_chain_end(const struct filter_chain *c, struct filter_exchange *x)
{
    for (uint32_t i = 0; i < c->n; i++) {
        const struct filter_type *type = c->filters[i]->type;
        bool ran = type->state_size == 0 || x->states[i] != NULL;
        if (type->end != NULL && ran)
            type->end(c->filters[i], x, x->states[i]);
        x->states[i] = NULL;
    }
}
