/* http_metrics.c - /metrics: which format, which names. */
#include "lb/admin/http_call.h"
#include "lb/admin/metrics_set.h"

static bool wants_open_metrics(const struct http_call *call)
{
    for (struct http_field *f = NULL; (f = http_find_name(call->head, STR("accept"), f)) != NULL;)
        if (str_contains(http_value(call->head, f), STR("application/openmetrics-text")))
            return true;
    return false;
}

void http_metrics_show(struct http_call *call)
{
    struct metrics_text m = {.out = &call->out, .open_metrics = wants_open_metrics(call)};
    char compat[16] = "";

    if (call->query.len > 0 && (!http_call_param(call->query, "compat", compat, sizeof(compat)) ||
                                strcmp(compat, "haproxy") != 0)) {
        http_call_fail(call, 400, "The only parameter of this path is compat=haproxy.");
        return;
    }
    call->type = m.open_metrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                : "text/plain; version=0.0.4; charset=utf-8";
    if (compat[0] != '\0') {
        metrics_haproxy(&m, call->env);
    } else {
        metrics_process(&m, call->env);
        metrics_objects(&m, call->env);
        metrics_phases(&m, call->env);
    }
    metrics_end(&m);
}
