/* http_counts.c - see http_counts.h. A histogram's baseline is 7 KiB, so there is none until the
 * first `clear counters all`. */
#include "lb/admin/http_counts.h"

#include "lb/admin/admin_ops.h"
#include "lb/base/alloc.h"
#include "lb/upstream/pool.h"

#include <stdlib.h>

/* Of what it is, is kept beside it: a reload may have put another one in its place. */
struct listener_base {
    const struct listener_stats *of;
    struct route_counters *routes;
    const struct route_counters **of_routes;
    uint32_t n_routes;
    struct reason_counters reasons;
    struct histogram_sum *latency;
    struct phase_row *phases, **route_phases;
};

struct pool_base {
    const struct pool_kept *of;
    struct reason_counters reasons;
    struct histogram_sum *latency;
    struct histogram_sum **members;
    struct phase_row *phases, **member_phases;
    const struct member_counts **of_members;
    uint32_t n_members;
};

struct http_counts {
    const struct admin_ops *ops;
    struct listener_base *listeners;
    struct pool_base *pools;
    uint32_t n_listeners, n_pools;
};

static void listener_make(struct listener_base *b, const struct listener_stats *l)
{
    b->of = l;
    b->n_routes = l->n_routes;
    b->routes = xaligned((l->n_routes + 1) * sizeof(struct route_counters));
    b->of_routes = xcalloc(l->n_routes + 1, sizeof(b->of_routes[0]));
    b->route_phases = xcalloc(l->n_routes + 1, sizeof(b->route_phases[0]));
    for (uint32_t i = 0; i < l->n_routes; i++)
        b->of_routes[i] = l->routes[i].rows;
}

static void pool_make(struct pool_base *b, const struct pool *p)
{
    b->of = p->kept;
    b->n_members = p->n_members;
    b->members = xcalloc(p->n_members + 1, sizeof(b->members[0]));
    b->member_phases = xcalloc(p->n_members + 1, sizeof(b->member_phases[0]));
    b->of_members = xcalloc(p->n_members + 1, sizeof(b->of_members[0]));
    for (uint32_t i = 0; i < p->n_members; i++)
        b->of_members[i] = p->members[i].counts;
}

static void listener_take(struct listener_base *b, struct listener_base *old)
{
    b->reasons = old->reasons;
    b->latency = old->latency;
    old->latency = NULL;
    b->phases = old->phases;
    old->phases = NULL;
    for (uint32_t i = 0; i < b->n_routes; i++)
        for (uint32_t k = 0, n = old->n_routes; k < n; k++)
            if (old->of_routes[(i + k) % n] == b->of_routes[i]) { /* at its old place, mostly */
                b->routes[i] = old->routes[(i + k) % n];
                b->route_phases[i] = old->route_phases[(i + k) % n];
                old->route_phases[(i + k) % n] = NULL;
                break;
            }
}

static void pool_take(struct pool_base *b, struct pool_base *old)
{
    b->reasons = old->reasons;
    b->latency = old->latency;
    old->latency = NULL;
    b->phases = old->phases;
    old->phases = NULL;
    for (uint32_t i = 0; i < b->n_members; i++)
        for (uint32_t k = 0, n = old->n_members; k < n; k++)
            if (old->of_members[(i + k) % n] == b->of_members[i]) {
                b->members[i] = old->members[(i + k) % n];
                old->members[(i + k) % n] = NULL;
                b->member_phases[i] = old->member_phases[(i + k) % n];
                old->member_phases[(i + k) % n] = NULL;
                break;
            }
}

static void listener_fini(struct listener_base *b)
{
    for (uint32_t i = 0; i < b->n_routes; i++)
        free(b->route_phases[i]);
    free(b->route_phases);
    free(b->routes);
    free(b->of_routes);
    free(b->latency);
    free(b->phases);
}

static void pool_fini(struct pool_base *b)
{
    for (uint32_t m = 0; m < b->n_members; m++) {
        free(b->members[m]);
        free(b->member_phases[m]);
    }
    free(b->members);
    free(b->member_phases);
    free(b->of_members);
    free(b->latency);
    free(b->phases);
}

static void make(struct http_counts *h)
{
    const struct admin_ops *ops = h->ops;

    h->n_listeners = ops->n_listeners;
    h->n_pools = ops->n_pools;
    h->listeners = xaligned((ops->n_listeners + 1) * sizeof(h->listeners[0]));
    h->pools = xaligned((ops->n_pools + 1) * sizeof(h->pools[0]));
    for (uint32_t i = 0; i < ops->n_listeners; i++)
        listener_make(&h->listeners[i], ops->listeners[i]);
    for (uint32_t i = 0; i < ops->n_pools; i++)
        pool_make(&h->pools[i], ops->pools[i]);
}

static void fini(struct http_counts *h)
{
    for (uint32_t i = 0; i < h->n_listeners; i++)
        listener_fini(&h->listeners[i]);
    for (uint32_t i = 0; i < h->n_pools; i++)
        pool_fini(&h->pools[i]);
    free(h->listeners);
    free(h->pools);
}

struct http_counts *http_counts_new(const struct admin_ops *ops)
{
    struct http_counts *h = xcalloc(1, sizeof(*h));

    h->ops = ops;
    make(h);
    return h;
}

void http_counts_follow(struct http_counts *h)
{
    struct http_counts old = *h;

    make(h);
    for (uint32_t i = 0; i < h->n_listeners; i++)
        for (uint32_t k = 0; k < old.n_listeners; k++)
            if (old.listeners[k].of == h->listeners[i].of)
                listener_take(&h->listeners[i], &old.listeners[k]);
    for (uint32_t i = 0; i < h->n_pools; i++)
        for (uint32_t k = 0; k < old.n_pools; k++)
            if (old.pools[k].of == h->pools[i].of)
                pool_take(&h->pools[i], &old.pools[k]);
    fini(&old);
}

void http_counts_free(struct http_counts **counts)
{
    struct http_counts *h = *counts;

    if (h == NULL)
        return;
    fini(h);
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
        phases_clear_max(l->phases, l->n_rows);
        for (uint32_t r = 0; r < l->n_routes; r++) {
            phases_clear_max(l->routes[r].phases, l->n_rows);
            for (uint32_t w = 0; w < l->n_rows; w++)
                counter_set(&l->routes[r].rows[w].total_us_max, 0);
        }
    }
    for (uint32_t i = 0; i < ops->n_pools; i++) {
        const struct pool *p = ops->pools[i];
        clear_latency_max(p->latency, p->n_rows);
        phases_clear_max(p->phases, p->n_rows);
        for (uint32_t m = 0; m < p->n_members; m++) {
            clear_latency_max(p->members[m].latency, p->n_rows);
            phases_clear_max(p->members[m].phases, p->n_rows);
        }
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

static void note_phases(struct phase_row **base, const struct phase_row *rows, uint32_t n)
{
    if (rows == NULL)
        return;
    if (*base == NULL)
        *base = xaligned(sizeof(**base));
    phases_note(rows, n, *base);
}

void http_counts_clear(struct http_counts *h, bool all)
{
    clear_maxima(h->ops);
    for (uint32_t i = 0; all && i < h->ops->n_listeners; i++) {
        const struct listener_stats *l = h->ops->listeners[i];
        struct listener_base *base = &h->listeners[i];
        note_latency(&base->latency, l->latency, l->n_rows);
        note_phases(&base->phases, l->phases, l->n_rows);
        reason_counters_sum(l->reasons, l->n_rows, &base->reasons);
        for (uint32_t r = 0; r < l->n_routes; r++) {
            route_counters_sum(l->routes[r].rows, l->n_rows, &base->routes[r]);
            note_phases(&base->route_phases[r], l->routes[r].phases, l->n_rows);
        }
    }
    for (uint32_t i = 0; all && i < h->ops->n_pools; i++) {
        const struct pool *p = h->ops->pools[i];
        struct pool_base *base = &h->pools[i];
        note_latency(&base->latency, p->latency, p->n_rows);
        note_phases(&base->phases, p->phases, p->n_rows);
        reason_counters_sum(p->reasons, p->n_rows, &base->reasons);
        for (uint32_t m = 0; m < p->n_members; m++) {
            note_latency(&base->members[m], p->members[m].latency, p->n_rows);
            note_phases(&base->member_phases[m], p->members[m].phases, p->n_rows);
        }
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

static bool show_phase(const struct phase_row *rows, uint32_t n, const struct phase_row *base,
                       enum phase p, struct histogram_sum *out)
{
    if (rows == NULL)
        return false;
    phases_sum(rows, n, base, p, out);
    return true;
}

bool http_counts_listener_phase(const struct http_counts *h, uint32_t listener, enum phase p,
                                struct histogram_sum *out)
{
    const struct listener_stats *l = h->ops->listeners[listener];

    return show_phase(l->phases, l->n_rows, h->listeners[listener].phases, p, out);
}

bool http_counts_route_phase(const struct http_counts *h, uint32_t listener, uint32_t route,
                             enum phase p, struct histogram_sum *out)
{
    const struct listener_stats *l = h->ops->listeners[listener];

    return show_phase(l->routes[route].phases, l->n_rows,
                      h->listeners[listener].route_phases[route], p, out);
}

bool http_counts_pool_phase(const struct http_counts *h, uint32_t pool, enum phase p,
                            struct histogram_sum *out)
{
    const struct pool *of = h->ops->pools[pool];

    return show_phase(of->phases, of->n_rows, h->pools[pool].phases, p, out);
}

bool http_counts_member_phase(const struct http_counts *h, uint32_t pool, uint32_t member,
                              enum phase p, struct histogram_sum *out)
{
    const struct pool *of = h->ops->pools[pool];

    return show_phase(of->members[member].phases, of->n_rows, h->pools[pool].member_phases[member],
                      p, out);
}
