/* http_dash.c - the dashboard: its page and its event stream. */
#include "lb/admin/dash.h"
#include "lb/admin/dash_page.h"
#include "lb/admin/http_call.h"
#include "lb/admin/http_server.h"

void http_dash_page(struct http_call *call)
{
    const struct dash_page *p = http_server_page(call->server);

    call->type = "text/html; charset=utf-8";
    strbuf_addf(&call->fields, "Content-Security-Policy: " STR_FMT "\r\n",
                STR_ARG(strbuf_str(&p->policy)));
    strbuf_add_cstr(&call->fields, "Referrer-Policy: no-referrer\r\n"
                                   "Cross-Origin-Opener-Policy: same-origin\r\n"
                                   "Cross-Origin-Resource-Policy: same-origin\r\n"
                                   "X-Frame-Options: DENY\r\n");
    strbuf_add_str(&call->out, strbuf_str(&p->html));
}

void http_dash_stream(struct http_call *call)
{
    call->type = "text/event-stream";
    strbuf_add_cstr(&call->fields, "Cross-Origin-Resource-Policy: same-origin\r\n");
    if (call->head->method == HTTP_HEAD)
        return;
    if (!dash_stream(http_server_dash(call->server), call))
        http_call_fail(call, 503, "There are %d event streams already: close a dashboard.",
                       DASH_STREAMS_MAX);
}
