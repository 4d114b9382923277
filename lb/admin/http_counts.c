/* http_counts.c - see http_counts.h. A histogram's baseline is 7 KiB, so there is none until the
 * first `clear counters all`. */
#include "lb/admin/http_counts.h"

#include "lb/admin/admin_ops.h"
#include "lb/base/alloc.h"
#include "lb/upstream/pool.h"

#include <stdlib.h>

struct listener_base {
    struct route_counters *routes;
    struct reason_counters reasons;
    struct histogram_sum *latency;
};

struct pool_base {
    struct reason_counters reasons;
    struct histogram_sum *latency;
    struct histogram_sum **members;
};

struct http_counts {
    const struct admin_ops *ops;
    struct listener_base *listeners;
    struct pool_base *pools;
};

struct http_counts *http_counts_new(const struct admin_ops *ops)
{
    struct http_counts *h = xcalloc(1, sizeof(*h));

    h->ops = ops;
    h->listeners = xaligned((ops->n_listeners + 1) * sizeof(h->listeners[0]));
    h->pools = xaligned((ops->n_pools + 1) * sizeof(h->pools[0]));
    for (uint32_t i = 0; i < ops->n_listeners; i++)
        h->listeners[i].routes =
            xaligned((ops->listeners[i]->n_routes + 1) * sizeof(struct route_counters));
    for (uint32_t i = 0; i < ops->n_pools; i++)
        h->pools[i].members = xcalloc(ops->pools[i]->n_members + 1, sizeof(h->pools[i].members[0]));
    return h;
}

void http_counts_free(struct http_counts **counts)
{
    struct http_counts *h = *counts;

    if (h == NULL)
        return;
    for (uint32_t i = 0; i < h->ops->n_listeners; i++) {
        free(h->listeners[i].routes);
        free(h->listeners[i].latency);
    }
    for (uint32_t i = 0; i < h->ops->n_pools; i++) {
        for (uint32_t m = 0; m < h->ops->pools[i]->n_members; m++)
            free(h->pools[i].members[m]);
        free(h->pools[i].members);
        free(h->pools[i].latency);
    }
    free(h->listeners);
    free(h->pools);
    free(h);
    *counts = NULL;
}

/* ---- clearing ---- */

static void clear_latency_max(struct histogram *rows, uint32_t n)
{
    for (uint32_t i = 0; rows != NULL && i < n; i++)
        counter_set(&rows[i].max_us, 0);
}

static void clear_maxima(const struct admin_ops *ops)
{
    for (uint32_t i = 0; i < ops->n_listeners; i++) {
        const struct listener_stats *l = ops->listeners[i];
        clear_latency_max(l->latency, l->n_rows);
        for (uint32_t r = 0; r < l->n_routes; r++)
            for (uint32_t w = 0; w < l->n_rows; w++)
                counter_set(&l->routes[r].rows[w].total_us_max, 0);
    }
    for (uint32_t i = 0; i < ops->n_pools; i++) {
        const struct pool *p = ops->pools[i];
        clear_latency_max(p->latency, p->n_rows);
        for (uint32_t m = 0; m < p->n_members; m++)
            clear_latency_max(p->members[m].latency, p->n_rows);
    }
}

static void note_latency(struct histogram_sum **base, const struct histogram *rows, uint32_t n)
{
    if (rows == NULL)
        return;
    if (*base == NULL)
        *base = xmalloc(sizeof(**base));
    histogram_sum(rows, n, *base);
}

void http_counts_clear(struct http_counts *h, bool all)
{
    clear_maxima(h->ops);
    for (uint32_t i = 0; all && i < h->ops->n_listeners; i++) {
        const struct listener_stats *l = h->ops->listeners[i];
        struct listener_base *base = &h->listeners[i];
        note_latency(&base->latency, l->latency, l->n_rows);
        reason_counters_sum(l->reasons, l->n_rows, &base->reasons);
        for (uint32_t r = 0; r < l->n_routes; r++)
            route_counters_sum(l->routes[r].rows, l->n_rows, &base->routes[r]);
    }
    for (uint32_t i = 0; all && i < h->ops->n_pools; i++) {
        const struct pool *p = h->ops->pools[i];
        struct pool_base *base = &h->pools[i];
        note_latency(&base->latency, p->latency, p->n_rows);
        reason_counters_sum(p->reasons, p->n_rows, &base->reasons);
        for (uint32_t m = 0; m < p->n_members; m++)
            note_latency(&base->members[m], p->members[m].latency, p->n_rows);
    }
}

/* ---- what is shown ---- */

static void subtract(counter *c, const counter *base)
{
    counter_set(c, counter_get(c) - counter_get(base));
}

void http_counts_route(const struct http_counts *h, uint32_t listener, uint32_t route,
                       struct route_counters *out)
{
    const struct listener_stats *l = h->ops->listeners[listener];
    const struct route_counters *base = &h->listeners[listener].routes[route];

    route_counters_sum(l->routes[route].rows, l->n_rows, out);
    subtract(&out->requests, &base->requests);
    for (uint32_t i = 0; i < RESPONSE_CLASSES; i++)
        subtract(&out->responses[i], &base->responses[i]);
    subtract(&out->bytes_in, &base->bytes_in);
    subtract(&out->bytes_out, &base->bytes_out);
    subtract(&out->denied, &base->denied);
    subtract(&out->timed, &base->timed);
    subtract(&out->total_us, &base->total_us);
}

static void show_reasons(const struct reason_counters *rows, uint32_t n,
                         const struct reason_counters *base, struct reason_counters *out)
{
    reason_counters_sum(rows, n, out);
    for (uint32_t i = 0; i < LIMIT_REASONS; i++)
        subtract(&out->n[i], &base->n[i]);
}

void http_counts_listener_reasons(const struct http_counts *h, uint32_t listener,
                                  struct reason_counters *out)
{
    const struct listener_stats *l = h->ops->listeners[listener];

    show_reasons(l->reasons, l->n_rows, &h->listeners[listener].reasons, out);
}

void http_counts_pool_reasons(const struct http_counts *h, uint32_t pool,
                              struct reason_counters *out)
{
    const struct pool *p = h->ops->pools[pool];

    show_reasons(p->reasons, p->n_rows, &h->pools[pool].reasons, out);
}

static bool show_latency(const struct histogram *rows, uint32_t n, const struct histogram_sum *base,
                         struct histogram_sum *out)
{
    if (rows == NULL)
        return false;
    histogram_sum(rows, n, out);
    if (base != NULL)
        histogram_subtract(out, base);
    return true;
}

bool http_counts_listener_latency(const struct http_counts *h, uint32_t listener,
                                  struct histogram_sum *out)
{
    const struct listener_stats *l = h->ops->listeners[listener];

    return show_latency(l->latency, l->n_rows, h->listeners[listener].latency, out);
}

bool http_counts_pool_latency(const struct http_counts *h, uint32_t pool, struct histogram_sum *out)
{
    const struct pool *p = h->ops->pools[pool];

    return show_latency(p->latency, p->n_rows, h->pools[pool].latency, out);
}

bool http_counts_member_latency(const struct http_counts *h, uint32_t pool, uint32_t member,
                                struct histogram_sum *out)
{
    const struct pool *p = h->ops->pools[pool];

    return show_latency(p->members[member].latency, p->n_rows, h->pools[pool].members[member], out);
}
