/* http_api.c - /api/v1/NAME: what the stats socket shows, as JSON. One row for each; the command
 * does the work. */
#include "lb/admin/http_call.h"

struct api_row {
    const char *name, *command;
    enum control_level level;
    const char *help;
};

static const struct api_row rows[] = {
    {"activity", "show activity json", CONTROL_USER, "what each worker has done"},
    {"certificates", "show ssl cert json", CONTROL_USER, "certificates in use"},
    {"events", "show events json", CONTROL_USER, "what has happened"},
    {"expiry", "show ssl expiry json", CONTROL_USER, "certificates and their days left"},
    {"flight", "show flight json", CONTROL_OPERATOR, "the slowest and the failed requests"},
    {"info", "show info json", CONTROL_USER, "the process"},
    {"latency", "show latency json", CONTROL_USER, "quantiles of listeners, pools, backends"},
    {"memory", "show pools json", CONTROL_USER, "buffers and slabs of each worker"},
    {"pools", "show backend json", CONTROL_USER, "the pools' names"},
    {"ready", "show ready json", CONTROL_USER, "whether it can serve, or why not"},
    {"refused", "show refused json", CONTROL_USER, "why messages were refused"},
    {"routes", "show routes json", CONTROL_USER, "counters of each route"},
    {"servers", "show servers state json", CONTROL_USER, "state of each backend"},
    {"servers/conn", "show servers conn json", CONTROL_USER, "connections of each backend"},
    {"stat", "show stat json", CONTROL_USER, "HAProxy's statistics"},
    {"version", "show version json", CONTROL_USER, "version of the process"},
};

static void list_all(struct http_call *call)
{
    strbuf_add_cstr(&call->out, "{\"paths\":[");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        strbuf_addf(&call->out, "%s{\"path\":\"/api/v1/%s\",\"help\":\"%s\"}", i > 0 ? "," : "",
                    rows[i].name, rows[i].help);
    strbuf_add_cstr(&call->out, "]}\n");
}

void http_api_show(struct http_call *call)
{
    call->type = "application/json";
    if (call->rest.len == 0) {
        list_all(call);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!str_eq_cstr(call->rest, rows[i].name))
            continue;
        if (rows[i].level > call->level)
            http_call_fail(call, 403, "This needs a higher admin.level than this address has.");
        else
            http_call_command(call, rows[i].command);
        return;
    }
    http_call_fail(call, 404, "There is no such thing in the API. What there is: /api/v1/");
}
