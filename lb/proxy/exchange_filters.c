/* exchange_filters.c - payload and trailers on their way through the filters of a route. A filter
 * may pause a piece: it is held until the filter goes on, and nothing behind it is pulled. */
#include "lb/net/stream.h"
#include "lb/proxy/exchange_priv.h"

static struct filter_run *run_of(struct exchange *x, bool request)
{
    return request ? &x->request_run : &x->response_run;
}

bool exchange_sees_body(const struct exchange *x, bool request)
{
    if (x->fx == NULL || x->state == X_TUNNEL)
        return false;
    return request ? x->route->filters.sees_request_body : x->route->filters.sees_response_body;
}

bool exchange_body_waits(const struct exchange *x, bool request)
{
    const struct filter_run *r = request ? &x->request_run : &x->response_run;

    return r->paused && !r->resumed;
}

bool exchange_body_resumed(struct exchange *x, bool request, struct io_buf **out, bool *out_last)
{
    struct filter_run *r = run_of(x, request);

    if (!r->paused || !r->resumed)
        return false;
    *out = r->held;
    *out_last = r->last;
    r->held = NULL;
    return true;
}

void exchange_filters_go_on(struct exchange *x)
{
    x->request_run.resumed = x->request_run.paused;
    x->response_run.resumed = x->response_run.paused;
}

/* A filter's own answer in place of what it has seen; too late once a response has begun. */
static void answer(struct exchange *x)
{
    const struct filter_answer *fa = &x->fx->answer;

    if (x->response_begun) {
        x->reason = fa->reason;
        x->cut = true;
        exchange_finish(x, END_DENIED);
        return;
    }
    exchange_leave_backend(x, wire_is_open(&x->wire));
    exchange_answer_filter(x);
}

static bool trailers(struct exchange *x, bool request)
{
    const struct filter_chain *c = &x->route->filters;
    uint32_t at = 0;

    if ((request ? x->request_trailers : x->trailers) == NULL)
        return true;
    enum filter_verdict v = request
                                ? filter_chain_request_trailers(c, x->fx, &at, x->request_trailers)
                                : filter_chain_response_trailers(c, x->fx, &at, x->trailers);
    return v == FILTER_PASS;
}

enum filtered exchange_filter_body(struct exchange *x, bool request, struct io_buf **chain,
                                   bool last)
{
    const struct filter_chain *c = x->fx != NULL ? &x->route->filters : NULL;
    struct filter_run *r = run_of(x, request);
    struct filter_body body = {*chain, last};
    enum filter_verdict v = FILTER_PASS;

    if (c == NULL || x->state == X_TUNNEL)
        return FILTERED;
    if (!r->paused)
        r->at = 0;
    r->paused = r->resumed = false;
    if (exchange_sees_body(x, request))
        v = request ? filter_chain_request_body(c, x->fx, &r->at, &body)
                    : filter_chain_response_body(c, x->fx, &r->at, &body);
    *chain = body.first;
    switch (v) {
    case FILTER_PASS:
        if (!last || trailers(x, request))
            return FILTERED;
        break;
    case FILTER_PAUSE:
        r->paused = true;
        r->held = *chain;
        r->last = last;
        *chain = NULL;
        return FILTERED_LATER;
    case FILTER_ANSWER:
        io_buf_put_chain(exchange_io(x), *chain);
        *chain = NULL;
        answer(x);
        return FILTERED_FAILED;
    case FILTER_ABORT:
        break;
    }
    io_buf_put_chain(exchange_io(x), *chain);
    *chain = NULL;
    exchange_fail(x, END_INTERNAL, "filter-failed", 0);
    return FILTERED_FAILED;
}
