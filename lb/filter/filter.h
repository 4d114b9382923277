/* filter.h - what stands between a client and its backend: the one interface of filters, the same
 * for every version of HTTP.
 *
 * A *filter* (struct filter, made at load from a route's configuration, shared by workers,
 * immutable but for what it makes thread-safe itself) acts on exchanges. A *chain* is the filters
 * of a route in the registry's order; per exchange it keeps a few bytes for each filter that asks
 * for them. Hooks of a request run first to last, of a response last to first. A filter may answer
 * itself, may pause (then calls filter_resume() of its host, from the loop of the exchange's
 * worker), may edit heads, and may replace body chunks by others, of other lengths too: it says so
 * in its head hook (x->request_length_changes, x->response_length_changes), so that framing is
 * chosen accordingly. */
#ifndef SLUICE_FILTER_FILTER_H
#define SLUICE_FILTER_FILTER_H

#include "lb/base/arena.h"
#include "lb/filter/filter_conf.h"
#include "lb/http/msg.h"
#include "lb/http/template.h"
#include "lb/io/io.h"

struct filter;
struct filter_exchange;

enum filter_verdict {
    FILTER_PASS,   /* on to the next one */
    FILTER_ANSWER, /* x->answer is the response; nothing goes to a backend */
    /* Until filter_host.resume(); then the same hook is called again. Not of trailers. */
    FILTER_PAUSE,
    FILTER_ABORT, /* the exchange cannot go on: 500, or cut when the response has begun */
};

/* What a filter answers with. Texts live in x->arena or longer. */
struct filter_answer {
    uint16_t status;
    struct str body, type;             /* empty: the error page of the status */
    const char *reason;                /* code for logs and counters: "ratelimited", "denied" */
    struct header_set_conf headers[6]; /* value is text, not a template */
    uint32_t n_headers;
};

/* What filters may ask of those above them. */
struct filter_host {
    void (*resume)(struct filter_exchange *x);
};

/* An exchange as filters see it; the proxy's exchange holds it. */
struct filter_exchange {
    struct http_head *request, *response; /* response NULL before it is there */
    struct arena *arena;                  /* of the exchange */
    struct http_vars vars;
    const struct addr *client;
    struct io *io; /* time, random numbers, buffers */
    struct loop *loop;
    void *owner; /* the host's */
    const struct filter_host *host;
    struct filter_answer answer;
    struct str user; /* who has authenticated, for the log; p NULL: nobody */
    void *states[8]; /* by position in the chain */
    bool request_length_changes, response_length_changes;
};
#define FILTER_CHAIN_MAX 8

/* A piece of a body: a chain of buffers (io.h) that the filter may edit, take or replace. */
struct filter_body {
    struct io_buf *first;
    bool last; /* nothing follows */
};

struct filter_type {
    const char *name;
    size_t state_size; /* zeroed memory per exchange; 0: none */
    /* Load time, NULL: this configuration does not use the filter (*out_error NULL) or it is wrong
     * (*out_error in words). Files are read here. */
    struct filter *(*make)(const struct filters_conf *conf, const char **out_error);
    void (*free)(struct filter *f);
    /* Each may be NULL. */
    enum filter_verdict (*request_head)(struct filter *f, struct filter_exchange *x, void *state);
    enum filter_verdict (*request_body)(struct filter *f, struct filter_exchange *x, void *state,
                                        struct filter_body *body);
    enum filter_verdict (*request_trailers)(struct filter *f, struct filter_exchange *x,
                                            void *state, struct http_head *trailers);
    enum filter_verdict (*response_head)(struct filter *f, struct filter_exchange *x, void *state);
    enum filter_verdict (*response_body)(struct filter *f, struct filter_exchange *x, void *state,
                                         struct filter_body *body);
    enum filter_verdict (*response_trailers)(struct filter *f, struct filter_exchange *x,
                                             void *state, struct http_head *trailers);
    /* What request_head would say, with words for people: for `explain`, so it counts nothing,
     * keeps nothing and waits for nothing; where that would decide, it passes. NULL: request_head
     * itself is called, without state. */
    enum filter_verdict (*explain)(struct filter *f, struct filter_exchange *x,
                                   struct strbuf *words);
    /* Once, when the exchange is over however it went. */
    void (*end)(struct filter *f, struct filter_exchange *x, void *state);
};
/* Begins every filter's own struct. */
struct filter {
    const struct filter_type *type;
};

/* registry.c: the order in which filters stand. */
extern const struct filter_type *const filter_types[]; /* ends with NULL */

struct filter_chain {
    struct filter *filters[FILTER_CHAIN_MAX];
    uint32_t n;
    bool sees_request_body, sees_response_body; /* else bodies pass it by (splice) */
};
/* 0, or -EINVAL with *out_error in words. An empty conf gives an empty chain. */
int filter_chain_make(const struct filters_conf *conf, struct filter_chain *out,
                      const char **out_error) WARN_UNUSED;
void filter_chain_fini(struct filter_chain *c);

/* Run the hooks. *at is where to go on: 0 to start, kept by the caller across a FILTER_PAUSE.
 * FILTER_PASS: all have passed it. */
enum filter_verdict filter_chain_request_head(const struct filter_chain *c,
                                              struct filter_exchange *x, uint32_t *at);
enum filter_verdict filter_chain_request_body(const struct filter_chain *c,
                                              struct filter_exchange *x, uint32_t *at,
                                              struct filter_body *body);
enum filter_verdict filter_chain_request_trailers(const struct filter_chain *c,
                                                  struct filter_exchange *x, uint32_t *at,
                                                  struct http_head *trailers);
enum filter_verdict filter_chain_response_head(const struct filter_chain *c,
                                               struct filter_exchange *x, uint32_t *at);
enum filter_verdict filter_chain_response_body(const struct filter_chain *c,
                                               struct filter_exchange *x, uint32_t *at,
                                               struct filter_body *body);
enum filter_verdict filter_chain_response_trailers(const struct filter_chain *c,
                                                   struct filter_exchange *x, uint32_t *at,
                                                   struct http_head *trailers);
/* Tells what each filter that minds it says of the request's head, in order, up to the one that
 * answers; the head and x->answer are as after filter_chain_request_head(). */
typedef void filter_explain_fn(void *arg, const char *name, enum filter_verdict verdict,
                               const char *words);
enum filter_verdict filter_chain_explain(const struct filter_chain *c, struct filter_exchange *x,
                                         filter_explain_fn *fn, void *arg);
void filter_chain_end(const struct filter_chain *c, struct filter_exchange *x);

#endif
