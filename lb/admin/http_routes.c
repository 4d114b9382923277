/* http_routes.c - all that can be asked at the admin address. */
#include "lb/admin/http_call.h"

#define GET  false
#define POST true

static const struct http_route rows[] = {
    {"/", GET, false, CONTROL_USER, http_dash_page, "the dashboard"},
    {"/dashboard/stream", GET, false, CONTROL_USER, http_dash_stream,
     "what it shows, as server-sent events"},
    {"/dashboard/change", POST, false, CONTROL_ADMIN, http_dash_change,
     "what its buttons do; only for its own page"},
    {"/livez", GET, true, CONTROL_USER, http_probe_live, "200 while the process runs"},
    {"/readyz", GET, true, CONTROL_USER, http_probe_ready,
     "200 while it can serve; 503 with the reason else"},
    {"/metrics", GET, false, CONTROL_USER, http_metrics_show,
     "for Prometheus; ?compat=haproxy: by HAProxy's names"},
    {"/api/v1/", GET, false, CONTROL_USER, http_api_show, "what the stats socket shows, as JSON"},
};

const struct http_route *http_routes_row(uint32_t i)
{
    return i < ARRAY_LEN(rows) ? &rows[i] : NULL;
}
