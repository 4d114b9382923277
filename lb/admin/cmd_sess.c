/* cmd_sess.c - sessions: list them, end them. The workers own sessions, so the answer comes with a
 * later turn; what it needs until then is in a query of its own, which outlives its client. */
#include "lb/admin/command.h"
#include "lb/admin/rows.h"
#include "lb/base/alloc.h"
#include "lb/obs/json.h"
#include "lb/upstream/pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct query {
    struct late_answer late; /* first: freed as one */
    struct session_filter filter;
    char listener[LIMIT_NAME_LEN + 1], pool[LIMIT_NAME_LEN + 1], backend[LIMIT_NAME_LEN + 1];
    bool json;
    bool one; /* a certain session was asked for */
};

static struct query *query_new(void)
{
    struct query *q = xcalloc(1, sizeof(*q));

    static_assert(offsetof(struct query, late) == 0, "late_answer.c frees the whole");
    return q;
}

static void query_pool(struct query *q, const char *pool, const char *backend)
{
    snprintf(q->pool, sizeof(q->pool), "%s", pool);
    q->filter.pool = q->pool;
    if (backend != NULL) {
        snprintf(q->backend, sizeof(q->backend), "%s", backend);
        q->filter.backend = q->backend;
    }
}

/* "0x…" as shown, with or without the colon that follows it there. */
static bool parse_id(struct str word, uint64_t *out_id)
{
    char text[24], *end;

    if (word.len > 1 && word.p[word.len - 1] == ':')
        word.len--;
    if (word.len < 3 || word.len >= sizeof(text) || word.p[0] != '0' || word.p[1] != 'x')
        return false;
    memcpy(text, word.p, word.len);
    text[word.len] = '\0';
    if (strspn(text + 2, "0123456789abcdefABCDEF") != word.len - 2 || word.len > 18)
        return false;
    *out_id = strtoull(text, &end, 16);
    return *out_id != 0;
}

/* ---- show sess ---- */

/* As HAProxy: 45s, 5m3s, 1h2m, 3d4h. */
static const char *print_age(uint64_t ms, char buf[static 32])
{
    uint64_t s = ms / 1000;

    if (s < 60)
        snprintf(buf, 32, "%" PRIu64 "s", s);
    else if (s < 3600)
        snprintf(buf, 32, "%" PRIu64 "m%" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(buf, 32, "%" PRIu64 "h%" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(buf, 32, "%" PRIu64 "d%" PRIu64 "h", s / 86400, s / 3600 % 24);
    return buf;
}

static const char *protocol(const struct addr *a)
{
    switch (a->len > 0 ? addr_family(a) : AF_UNSPEC) {
    case AF_INET:
        return "tcpv4";
    case AF_INET6:
        return "tcpv6";
    case AF_UNIX:
        return "unix_stream";
    default:
        return "?";
    }
}

static const char *or_none(const char *name)
{
    return name[0] != '\0' ? name : "<none>";
}

static const char *address(const struct session_info *s, char buf[static ADDR_TEXT_MAX])
{
    return s->client.len > 0 ? addr_format(&s->client, buf) : "-";
}

/* HAProxy's row up to exp=, ours behind it. */
static void add_text(struct strbuf *out, const struct session_info *s)
{
    char client[ADDR_TEXT_MAX], age[32], idle[32];

    strbuf_addf(out,
                "0x%016" PRIx64 ": proto=%s src=%s fe=%s be=%s srv=%s ts=00 epoch=0 age=%s calls=0 "
                "rate=0 cpu=0 lat=0 rq[f=0h,i=0,an=00h,rx=,wx=,ax=] "
                "rp[f=0h,i=0,an=00h,rx=,wx=,ax=] scf=[8,0h,fd=%d] scb=[8,0h,fd=%d] exp= rc=0 "
                "c_exp= state=%s idle=%s in=%" PRIu64 " out=%" PRIu64 " splice=%s\n",
                s->id, protocol(&s->client), address(s, client), s->listener, or_none(s->pool),
                or_none(s->backend), print_age(s->age_ms, age), s->client_fd, s->backend_fd,
                s->state, print_age(s->idle_ms, idle), s->bytes_in, s->bytes_out,
                s->in_spliced && s->out_spliced ? "both"
                : s->in_spliced                 ? "in"
                : s->out_spliced                ? "out"
                                                : "-");
}

static void add_json(struct rows *r, const struct session_info *s)
{
    char client[ADDR_TEXT_MAX], id[24];

    snprintf(id, sizeof(id), "0x%016" PRIx64, s->id);
    rows_text(r, id);
    rows_text(r, protocol(&s->client));
    rows_text(r, address(s, client));
    rows_text(r, s->listener);
    rows_text(r, s->pool);
    rows_text(r, s->backend);
    rows_text(r, s->state);
    rows_number(r, (int64_t)s->age_ms);
    rows_number(r, (int64_t)s->idle_ms);
    rows_number(r, (int64_t)s->bytes_in);
    rows_number(r, (int64_t)s->bytes_out);
    rows_bool(r, s->in_spliced);
    rows_bool(r, s->out_spliced);
    rows_number(r, s->client_fd);
    rows_number(r, s->backend_fd);
}

static void on_list(void *arg, const struct session_info *rows, uint32_t n)
{
    static const char *const columns[] = {
        "id",        "proto",      "src",         "fe",        "be",
        "srv",       "state",      "age_ms",      "idle_ms",   "bytes_in",
        "bytes_out", "in_spliced", "out_spliced", "client_fd", "backend_fd",
    };
    struct query *q = arg;
    struct rows r;

    if (q->one && n == 0) {
        q->late.severity = SEVERITY_ERROR;
        strbuf_add_cstr(&q->late.text, "Session not found.\n");
    } else if (q->json) {
        rows_begin(&r, &q->late.text, true, columns, ARRAY_LEN(columns));
        for (uint32_t i = 0; i < n; i++)
            add_json(&r, &rows[i]);
        rows_end(&r);
    } else {
        for (uint32_t i = 0; i < n; i++)
            add_text(&q->late.text, &rows[i]);
    }
    late_answer_ready(&q->late);
}

static bool parse_frontend(struct command *c, struct query *q, struct str name)
{
    const struct admin_ops *ops = c->env->ops;

    for (uint32_t i = 0; i < ops->n_listeners; i++) {
        if (str_eq_cstr(name, ops->listeners[i]->name)) {
            snprintf(q->listener, sizeof(q->listener), "%s", ops->listeners[i]->name);
            q->filter.listener = q->listener;
            return true;
        }
    }
    command_refuse(c, "No such frontend.");
    return false;
}

/* One filter, of two words. */
static bool parse_filter(struct command *c, struct query *q, struct str what, struct str value)
{
    if (str_eq_cstr(what, "frontend"))
        return parse_frontend(c, q, value);
    if (str_eq_cstr(what, "backend")) {
        const struct pool *p = command_find_pool(c, value);
        if (p == NULL)
            command_refuse(c, "No such backend.");
        else
            query_pool(q, p->name, NULL);
        return p != NULL;
    }
    if (str_eq_cstr(what, "server")) {
        struct pool *p;
        const struct pool_member *m = command_find_server(c, value, &p);
        if (m != NULL)
            query_pool(q, p->name, m->slot->name);
        return m != NULL;
    }
    if (str_eq_cstr(what, "older")) {
        if (command_duration(value, &q->filter.older_ms))
            return true;
        command_refuse(c, "Invalid age.");
        return false;
    }
    command_refuse(c, "Unsupported filter '" STR_FMT "': use 'show sess help'.", STR_ARG(what));
    return false;
}

static bool parse_show(struct command *c, struct query *q)
{
    for (uint32_t i = 0; i < c->n_words - c->n_name; i++) {
        struct str word = command_arg(c, i);
        if (str_eq_cstr(word, "json")) {
            q->json = true;
        } else if (i == 0 && str_starts(word, STR("0x"))) {
            if (!parse_id(word, &q->filter.id)) {
                command_refuse(c, "Session not found.");
                return false;
            }
            q->one = true;
        } else if (!(i == 0 && str_eq_cstr(word, "all"))) {
            if (!parse_filter(c, q, word, command_arg(c, i + 1)))
                return false;
            i++;
        }
    }
    return true;
}

void cmd_sess_show(struct command *c)
{
    if (command_arg_is(c, 0, "help")) {
        strbuf_add_cstr(c->out,
                        "show sess [<id> | all] [<filter>]... [json]\n"
                        "Filters:\n"
                        "  backend <b>    : of this pool\n"
                        "  frontend <f>   : of this listener\n"
                        "  server <b>/<s> : of this backend\n"
                        "  older <age>    : at least so old (seconds, or with ms, s, m, h, d)\n");
        return;
    }
    struct query *q = query_new();
    if (!parse_show(c, q)) {
        free(q);
        return;
    }
    command_later(c, &q->late);
    c->env->ops->list_sessions(c->env->ops->ctx, &q->filter, on_list, q);
}

/* ---- shutdown ---- */

static void on_killed(void *arg, uint32_t killed)
{
    struct query *q = arg;

    if (q->one && killed == 0) {
        q->late.severity = SEVERITY_ERROR;
        strbuf_add_cstr(&q->late.text, "No such session (use 'show sess').\n");
    }
    late_answer_ready(&q->late);
}

void cmd_sess_shutdown(struct command *c)
{
    struct str word = command_arg(c, 0);
    uint64_t id;

    if (word.len == 0) {
        command_refuse(c, "Session pointer expected (use 'show sess').");
        return;
    }
    if (!parse_id(word, &id)) {
        command_refuse(c, "No such session (use 'show sess').");
        return;
    }
    struct query *q = query_new();
    q->one = true;
    q->filter.id = id;
    command_later(c, &q->late);
    c->env->ops->kill_sessions(c->env->ops->ctx, &q->filter, on_killed, q);
}

void cmd_sess_shutdown_server(struct command *c)
{
    struct pool *p;
    const struct pool_member *m = command_find_server(c, command_arg(c, 0), &p);

    if (m == NULL)
        return;
    struct query *q = query_new();
    query_pool(q, p->name, m->slot->name);
    command_later(c, &q->late);
    c->env->ops->kill_sessions(c->env->ops->ctx, &q->filter, on_killed, q);
}
