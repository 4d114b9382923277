/* http_probe.c - /livez and /readyz, as container platforms ask. */
#include "lb/admin/http_call.h"

void http_probe_live(struct http_call *call)
{
    strbuf_add_cstr(&call->out, "ok\n");
}

/* As `show ready` on the stats socket. */
void http_probe_ready(struct http_call *call)
{
    const struct admin_ops *ops = call->env->ops;
    const char *reason = ops->not_ready_reason != NULL ? ops->not_ready_reason(ops->ctx) : NULL;

    if (reason != NULL)
        http_call_fail(call, 503, "%s", reason);
    else
        strbuf_add_cstr(&call->out, "ok\n");
}
