/* http_dash.c - the dashboard: its page, its event stream, and what its buttons do.
 *
 * A change is a command of the stats socket, run with this address's level. That a page of ours
 * asks for it is seen three times: by what the browser says of itself, by the token that only who
 * may read the stream knows, and by the token's header, which foreign pages may not send. */
#include "lb/admin/admin_ops.h"
#include "lb/admin/dash.h"
#include "lb/admin/dash_page.h"
#include "lb/admin/http_access.h"
#include "lb/admin/http_call.h"
#include "lb/admin/http_server.h"
#include "lb/base/log.h"
#include "lb/upstream/pool.h"

#include <stdio.h>

struct change {
    char pool[LIMIT_NAME_LEN + 1], backend[LIMIT_NAME_LEN + 1];
    char verb[16], weight[8];
    char reason[LIMIT_MAINT_REASON + 1];
};

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

/* ---- changes ---- */

/* Refused; it is not said to the client alone. */
static void refuse(struct http_call *call, unsigned status, const char *why)
{
    log_warn("admin: %s: a change of the dashboard is refused: %s", call->peer, why);
    http_call_fail(call, status, "This change is refused: %s.", why);
}

static bool is_ours(struct http_call *call)
{
    const struct http_field *f = http_find_name(call->head, STR("x-sluice-token"), NULL);
    const char *why = http_access_foreign(call->head);

    if (why == NULL &&
        (f == NULL || !dash_token_is(http_server_dash(call->server), http_value(call->head, f))))
        why = "its token is not this process's: look at the page again";
    if (why != NULL)
        refuse(call, 403, why);
    return why == NULL;
}

static bool read_change(struct http_call *call, struct change *c)
{
    bool weight, good;

    *c = (struct change){0};
    good = http_call_param(call->body, "pool", c->pool, sizeof(c->pool)) &&
           http_call_param(call->body, "backend", c->backend, sizeof(c->backend)) &&
           http_call_param(call->body, "verb", c->verb, sizeof(c->verb));
    weight = strcmp(c->verb, "weight") == 0;
    if (!good || (!weight && strcmp(c->verb, "ready") != 0 && strcmp(c->verb, "drain") != 0 &&
                  strcmp(c->verb, "maint") != 0)) {
        http_call_fail(call, 400,
                       "Expected: pool, backend and verb (ready, drain, maint, weight).");
        return false;
    }
    uint64_t n;
    if (weight && (!http_call_param(call->body, "weight", c->weight, sizeof(c->weight)) ||
                   str_u64(str_of(c->weight), LIMIT_WEIGHT, &n) < 0)) {
        http_call_fail(call, 400, "The weight: expected a number from 0 to %d.", LIMIT_WEIGHT);
        return false;
    }
    if (!http_call_param(call->body, "reason", c->reason, sizeof(c->reason)) &&
        str_contains(call->body, STR("reason="))) {
        http_call_fail(call, 400, "The reason is too long: at most %d bytes.", LIMIT_MAINT_REASON);
        return false;
    }
    return true;
}

static const struct pool_member *find(const struct admin_ops *ops, const struct change *c,
                                      const struct pool **out_pool)
{
    for (uint32_t i = 0; i < ops->n_pools; i++) {
        const struct pool *p = ops->pools[i];
        if (strcmp(p->name, c->pool) != 0)
            continue;
        *out_pool = p;
        for (uint32_t k = 0; k < p->n_members; k++)
            if (strcmp(p->members[k].slot->name, c->backend) == 0)
                return &p->members[k];
    }
    return NULL;
}

/* As one word of a command. */
static void add_word(struct strbuf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char b = (unsigned char)*text;
        if (strchr(" ;\\", *text) != NULL)
            strbuf_add_char(out, '\\');
        strbuf_add_char(out, b < 0x20 || b == 0x7f ? '?' : *text);
    }
}

static void run(struct http_call *call, const struct change *c, uint32_t iid, uint32_t sid)
{
    struct command_session session = {.level = call->level, .severity = SEVERITY_NUMBER};
    struct strbuf command = {0};
    char via[ADDR_TEXT_MAX + 32];

    snprintf(via, sizeof(via), "over the dashboard by %s", call->peer);
    session.via = via;
    strbuf_addf(&command, "set server #%u/#%u ", iid, sid);
    if (c->weight[0] != '\0')
        strbuf_addf(&command, "weight %s", c->weight);
    else
        strbuf_addf(&command, "state %s ", c->verb);
    add_word(&command, c->reason);
    command_run(call->env, &session, strbuf_str(&command), &call->out, &call->late);
    if (call->late == NULL && str_starts(strbuf_str(&call->out), STR("[3]: "))) {
        strbuf_drop_front(&call->out, 5);
        call->status = 409;
    }
    strbuf_fini(&command);
}

void http_dash_change(struct http_call *call)
{
    const struct pool_member *m;
    const struct pool *p = NULL;
    struct change c;

    if (!is_ours(call) || !read_change(call, &c))
        return;
    if ((m = find(call->env->ops, &c, &p)) == NULL)
        http_call_fail(call, 404, "There is no backend %s/%s any more.", c.pool, c.backend);
    else
        run(call, &c, p->iid, m->slot->sid);
}
