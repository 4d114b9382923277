/* cmd_show_http.c - what listeners and pools with mode http count beyond `show stat`:
 *
 *   show routes [<listener>] [json]     a row per route, in the order in which they are tried;
 *                                       the last column may have spaces
 *   show latency [<name>] [json]        quantiles of listeners (a request's first byte to its
 *                                       response's last), pools (given to the pool to the
 *                                       response's head: queue, connect, retries included) and
 *                                       backends (request sent to response's head), microseconds;
 *                                       and of all these and of routes, where there are any: queue,
 *                                       connect, first_byte, total
 *   show refused [<name>] [json]        why requests and responses were refused, by code
 * <name> is a listener's or a pool's. */
#include "lb/admin/command.h"
#include "lb/admin/http_counts.h"
#include "lb/admin/rows.h"
#include "lb/admin/sampler.h"
#include "lb/upstream/pool.h"

#include <stdio.h>
#include <stdlib.h>

/* What the command is about: everything, or what has this name. */
struct choice {
    struct str name; /* empty: everything */
    bool json;
};

static bool chosen(const struct choice *choice, const char *name)
{
    return choice->name.len == 0 || str_eq_cstr(choice->name, name);
}

static bool listener_exists(const struct command *c, struct str name)
{
    for (uint32_t i = 0; i < c->env->ops->n_listeners; i++)
        if (str_eq_cstr(name, c->env->ops->listeners[i]->name))
            return true;
    return false;
}

static bool pool_exists(const struct command *c, struct str name)
{
    for (uint32_t i = 0; i < c->env->ops->n_pools; i++)
        if (str_eq_cstr(name, c->env->ops->pools[i]->name))
            return true;
    return false;
}

/* False after a refusal. */
static bool read_words(struct command *c, bool pools, struct choice *out)
{
    *out = (struct choice){0};
    for (uint32_t i = 0; i < c->n_words - c->n_name; i++) {
        struct str word = command_arg(c, i);
        if (str_eq_cstr(word, "json"))
            out->json = true;
        else if (listener_exists(c, word) || (pools && pool_exists(c, word)))
            out->name = word;
        else {
            command_refuse(c, pools ? "No such proxy." : "No such frontend.");
            return false;
        }
    }
    return true;
}

/* ---- routes ---- */

static void add_route(struct rows *r, const struct listener_stats *l,
                      const struct route_stats *route, const struct route_counters *sums)
{
    char where[512];
    uint64_t timed = counter_get(&sums->timed);

    rows_text(r, l->name);
    rows_text(r, route->name);
    rows_number(r, (int64_t)counter_get(&sums->requests));
    for (uint32_t i = 0; i < RESPONSE_CLASSES; i++)
        rows_number(r, (int64_t)counter_get(&sums->responses[i]));
    rows_number(r, (int64_t)counter_get(&sums->denied));
    rows_number(r, (int64_t)counter_get(&sums->bytes_in));
    rows_number(r, (int64_t)counter_get(&sums->bytes_out));
    rows_number(r, timed > 0 ? (int64_t)(counter_get(&sums->total_us) / timed) : 0);
    rows_number(r, (int64_t)counter_get(&sums->total_us_max));
    snprintf(where, sizeof(where), "%s:%d", route->file != NULL ? route->file : "", route->line);
    rows_text(r, where);
    rows_text(r, route->target);
}

void cmd_show_routes(struct command *c)
{
    static const char *const columns[] = {
        "listener", "route",    "requests",   "hrsp_1xx", "hrsp_2xx", "hrsp_3xx",
        "hrsp_4xx", "hrsp_5xx", "hrsp_other", "denied",   "bin",      "bout",
        "mean_us",  "max_us",   "where",      "target",
    };
    const struct admin_ops *ops = c->env->ops;
    struct choice choice;
    struct rows r;

    if (!read_words(c, false, &choice))
        return;
    rows_begin(&r, c->out, choice.json, columns, ARRAY_LEN(columns));
    for (uint32_t i = 0; i < ops->n_listeners; i++) {
        if (!chosen(&choice, ops->listeners[i]->name))
            continue;
        for (uint32_t n = 0; n < ops->listeners[i]->n_routes; n++) {
            struct route_counters sums;
            http_counts_route(sampler_http(c->env->sampler), i, n, &sums);
            add_route(&r, ops->listeners[i], &ops->listeners[i]->routes[n], &sums);
        }
    }
    rows_end(&r);
}

/* ---- latency ---- */

static void add_latency(struct rows *r, const char *type, const char *name, const char *backend,
                        const char *what, const struct histogram_sum *h)
{
    static const double quantiles[] = {0.5, 0.9, 0.99, 0.999};

    rows_text(r, type);
    rows_text(r, name);
    rows_text(r, backend);
    rows_text(r, what);
    rows_number(r, (int64_t)h->n);
    rows_number(r, h->n > 0 ? (int64_t)(h->sum_us / h->n) : 0);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
        rows_number(r, (int64_t)histogram_quantile(h, quantiles[i]));
    rows_number(r, (int64_t)h->max_us);
}

/* What an object's own row above does not say already, where something was counted. */
static void add_phase(struct rows *r, const char *type, const char *name, const char *part,
                      enum phase p, const struct histogram_sum *h)
{
    if (h->n > 0)
        add_latency(r, type, name, part, phase_name(p), h);
}

static void add_listener_latency(struct command *c, struct rows *r, uint32_t listener)
{
    const struct http_counts *counts = sampler_http(c->env->sampler);
    const struct listener_stats *l = c->env->ops->listeners[listener];
    struct histogram_sum h;

    if (http_counts_listener_latency(counts, listener, &h))
        add_latency(r, "listener", l->name, "", "total", &h);
    for (enum phase p = 0; p < PHASES; p++)
        if ((p != PHASE_TOTAL || l->latency == NULL) &&
            http_counts_listener_phase(counts, listener, p, &h))
            add_phase(r, "listener", l->name, "", p, &h);
    for (uint32_t i = 0; i < l->n_routes; i++)
        for (enum phase p = 0; p < PHASES; p++)
            if (http_counts_route_phase(counts, listener, i, p, &h))
                add_phase(r, "route", l->name, l->routes[i].name, p, &h);
}

static void add_pool_latency(struct command *c, struct rows *r, uint32_t pool)
{
    const struct http_counts *counts = sampler_http(c->env->sampler);
    const struct pool *p = c->env->ops->pools[pool];
    struct histogram_sum h;

    if (http_counts_pool_latency(counts, pool, &h))
        add_latency(r, "pool", p->name, "", "response", &h);
    for (enum phase k = 0; k < PHASES; k++)
        if (k != PHASE_FIRST_BYTE && http_counts_pool_phase(counts, pool, k, &h))
            add_phase(r, "pool", p->name, "", k, &h);
    for (uint32_t m = 0; m < p->n_members; m++) {
        if (http_counts_member_latency(counts, pool, m, &h))
            add_latency(r, "backend", p->name, p->members[m].slot->name, "response", &h);
        for (enum phase k = 0; k < PHASES; k++)
            if (k != PHASE_FIRST_BYTE && http_counts_member_phase(counts, pool, m, k, &h))
                add_phase(r, "backend", p->name, p->members[m].slot->name, k, &h);
    }
}

void cmd_show_latency(struct command *c)
{
    static const char *const columns[] = {
        "type",   "name",   "backend", "what",    "count",  "mean_us",
        "p50_us", "p90_us", "p99_us",  "p999_us", "max_us",
    };
    const struct admin_ops *ops = c->env->ops;
    struct choice choice;
    struct rows r;

    if (!read_words(c, true, &choice))
        return;
    rows_begin(&r, c->out, choice.json, columns, ARRAY_LEN(columns));
    for (uint32_t i = 0; i < ops->n_listeners; i++)
        if (chosen(&choice, ops->listeners[i]->name))
            add_listener_latency(c, &r, i);
    for (uint32_t i = 0; i < ops->n_pools; i++)
        if (chosen(&choice, ops->pools[i]->name))
            add_pool_latency(c, &r, i);
    rows_end(&r);
}

/* ---- refusals ---- */

static int by_code(const void *a, const void *b)
{
    return strcmp(reason_code(*(const uint32_t *)a), reason_code(*(const uint32_t *)b));
}

static void add_reasons(struct rows *r, const char *type, const char *name,
                        const struct reason_counters *sums)
{
    uint32_t used[LIMIT_REASONS], n = 0;

    for (uint32_t i = 0; i < LIMIT_REASONS; i++)
        if (counter_get(&sums->n[i]) > 0)
            used[n++] = i;
    qsort(used, n, sizeof(used[0]), by_code);
    for (uint32_t i = 0; i < n; i++) {
        rows_text(r, type);
        rows_text(r, name);
        rows_text(r, reason_code(used[i]));
        rows_number(r, (int64_t)counter_get(&sums->n[used[i]]));
    }
}

void cmd_show_refused(struct command *c)
{
    static const char *const columns[] = {"type", "name", "reason", "count"};
    const struct http_counts *counts = sampler_http(c->env->sampler);
    const struct admin_ops *ops = c->env->ops;
    struct reason_counters sums;
    struct choice choice;
    struct rows r;

    if (!read_words(c, true, &choice))
        return;
    rows_begin(&r, c->out, choice.json, columns, ARRAY_LEN(columns));
    for (uint32_t i = 0; i < ops->n_listeners; i++) {
        if (!chosen(&choice, ops->listeners[i]->name))
            continue;
        http_counts_listener_reasons(counts, i, &sums);
        add_reasons(&r, "listener", ops->listeners[i]->name, &sums);
    }
    for (uint32_t i = 0; i < ops->n_pools; i++) {
        if (!chosen(&choice, ops->pools[i]->name))
            continue;
        http_counts_pool_reasons(counts, i, &sums);
        add_reasons(&r, "pool", ops->pools[i]->name, &sums);
    }
    rows_end(&r);
}
