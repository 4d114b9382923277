/* metrics_phases.c - histograms of the phases of requests: what they waited, for what. The bound on
 * backends and routes keeps an answer, and what a monitor stores of it, of a size. */
#include "lb/admin/admin_ops.h"
#include "lb/admin/command.h"
#include "lb/admin/metrics_set.h"
#include "lb/obs/phases.h"
#include "lb/upstream/pool.h"

#include <string.h>

enum object_kind { OF_LISTENERS, OF_ROUTES, OF_POOLS, OF_BACKENDS };

struct phase_family {
    enum object_kind kind;
    enum phase phase;
    const char *name, *help;
};

static const struct phase_family families[] = {
    {OF_LISTENERS, PHASE_QUEUE, "sluice_listener_queue_duration_seconds",
     "Wait for a place at a backend; 0 where one was free."},
    {OF_LISTENERS, PHASE_CONNECT, "sluice_listener_connect_duration_seconds",
     "Time to connect to a backend, TLS too; without connections that were reused."},
    {OF_LISTENERS, PHASE_FIRST_BYTE, "sluice_listener_first_byte_duration_seconds",
     "From a request's first byte to its response's head."},
    {OF_ROUTES, PHASE_QUEUE, "sluice_route_queue_duration_seconds",
     "Wait for a place at a backend; 0 where one was free."},
    {OF_ROUTES, PHASE_CONNECT, "sluice_route_connect_duration_seconds",
     "Time to connect to a backend, TLS too; without connections that were reused."},
    {OF_ROUTES, PHASE_FIRST_BYTE, "sluice_route_first_byte_duration_seconds",
     "From a request's first byte to its response's head."},
    {OF_ROUTES, PHASE_TOTAL, "sluice_route_request_duration_seconds",
     "From a request's first byte to its response's last."},
    {OF_POOLS, PHASE_QUEUE, "sluice_pool_queue_duration_seconds",
     "Wait for a place at a backend; 0 where one was free."},
    {OF_POOLS, PHASE_CONNECT, "sluice_pool_connect_duration_seconds",
     "Time to connect to a backend, TLS too; without connections that were reused."},
    {OF_POOLS, PHASE_TOTAL, "sluice_pool_request_duration_seconds",
     "From given to the pool to the response's end; tcp: a session's time."},
    {OF_BACKENDS, PHASE_QUEUE, "sluice_backend_queue_duration_seconds",
     "Wait for the place that was got here; 0 where it was free."},
    {OF_BACKENDS, PHASE_CONNECT, "sluice_backend_connect_duration_seconds",
     "Time to connect, TLS too; without connections that were reused."},
    {OF_BACKENDS, PHASE_TOTAL, "sluice_backend_request_duration_seconds",
     "From a request sent to its response's end; tcp: a session's time."},
};

struct writer {
    struct metrics_text *m;
    const struct admin_ops *ops;
    uint32_t n; /* backends or routes of the present family */
};

static void add(struct writer *w, enum phase p, const struct phase_row *rows, uint32_t n_rows,
                const char *const labels[static 4])
{
    static struct histogram_sum h; /* 7 KiB */
    struct metric_labels l = {0};

    if (rows == NULL)
        return;
    metric_labels_add(&l, labels[0], labels[1]);
    if (labels[2] != NULL)
        metric_labels_add(&l, labels[2], labels[3]);
    phases_sum(rows, n_rows, NULL, p, &h);
    metrics_histogram(w->m, &l, &h);
    metric_labels_fini(&l);
}

static void of_listeners(struct writer *w, enum phase p)
{
    for (uint32_t i = 0; i < w->ops->n_listeners; i++) {
        const struct listener_stats *l = w->ops->listeners[i];
        const char *const labels[] = {"listener", l->name, NULL, NULL};
        if (p != PHASE_FIRST_BYTE || strcmp(l->mode, "http") == 0)
            add(w, p, l->phases, l->n_rows, labels);
    }
}

static void of_routes(struct writer *w, enum phase p)
{
    for (uint32_t i = 0; i < w->ops->n_listeners; i++) {
        const struct listener_stats *l = w->ops->listeners[i];
        for (uint32_t k = 0; k < l->n_routes && w->n < METRICS_PHASES_MAX; k++, w->n++) {
            const char *const labels[] = {"listener", l->name, "route", l->routes[k].name};
            add(w, p, l->routes[k].phases, l->n_rows, labels);
        }
    }
}

static void of_pools(struct writer *w, enum phase p)
{
    for (uint32_t i = 0; i < w->ops->n_pools; i++) {
        const struct pool *of = w->ops->pools[i];
        const char *const labels[] = {"pool", of->name, NULL, NULL};
        add(w, p, of->phases, of->n_rows, labels);
    }
}

static void of_backends(struct writer *w, enum phase p)
{
    for (uint32_t i = 0; i < w->ops->n_pools; i++) {
        const struct pool *of = w->ops->pools[i];
        for (uint32_t k = 0; k < of->n_members && w->n < METRICS_PHASES_MAX; k++, w->n++) {
            const char *const labels[] = {"pool", of->name, "backend", of->members[k].slot->name};
            add(w, p, of->members[k].phases, of->n_rows, labels);
        }
    }
}

void metrics_phases(struct metrics_text *m, const struct command_env *env)
{
    static void (*const writers[])(struct writer * w, enum phase p) = {
        [OF_LISTENERS] = of_listeners,
        [OF_ROUTES] = of_routes,
        [OF_POOLS] = of_pools,
        [OF_BACKENDS] = of_backends,
    };
    struct writer w = {.m = m, .ops = env->ops};

    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        metrics_family(m, families[i].name, METRIC_HISTOGRAM, families[i].help);
        w.n = 0;
        writers[families[i].kind](&w, families[i].phase);
    }
}
