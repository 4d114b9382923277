/* cmd_drain.c - `show drain`: how far the end of the process is, and who it waits for. */
#include "lb/admin/command.h"
#include "lb/admin/rows.h"
#include "lb/base/alloc.h"
#include "lb/obs/session_kind.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Connections of one listener and kind. */
struct left {
    char listener[LIMIT_NAME_LEN + 1];
    enum session_kind kind;
    uint32_t connections, streams;
    uint64_t oldest_ms;
};

struct query {
    struct late_answer late; /* first: freed as one */
    const struct admin_ops *ops;
    bool json;
};

static int compare(const void *x, const void *y)
{
    const struct session_info *a = *(const struct session_info *const *)x;
    const struct session_info *b = *(const struct session_info *const *)y;
    int order = strcmp(a->listener, b->listener);

    return order != 0 ? order : (int)a->kind - (int)b->kind;
}

/* The rows, sorted and summed up; *out_n of them, the caller's. */
static struct left *sum_up(const struct session_info *rows, uint32_t n, uint32_t *out_n)
{
    const struct session_info **sorted = xcalloc(n + 1, sizeof(*sorted));
    struct left *all = xcalloc(n + 1, sizeof(*all)), *last = NULL;
    uint32_t found = 0;

    for (uint32_t i = 0; i < n; i++)
        sorted[i] = &rows[i];
    qsort(sorted, n, sizeof(*sorted), compare);
    for (uint32_t i = 0; i < n; i++) {
        const struct session_info *s = sorted[i];
        if (i == 0 || compare(&sorted[i - 1], &sorted[i]) != 0) {
            last = &all[found++];
            memcpy(last->listener, s->listener, sizeof(last->listener));
            last->kind = s->kind;
        }
        last->connections++;
        last->streams += s->streams;
        if (s->age_ms > last->oldest_ms)
            last->oldest_ms = s->age_ms;
    }
    free(sorted);
    *out_n = found;
    return all;
}

static void add_rows(struct strbuf *out, bool json, const struct left *left, uint32_t n)
{
    static const char *const columns[] = {"listener", "kind", "connections", "streams",
                                          "oldest_ms"};
    struct rows r;

    rows_begin(&r, out, json, columns, ARRAY_LEN(columns));
    for (uint32_t i = 0; i < n; i++) {
        rows_text(&r, left[i].listener);
        rows_text(&r, session_kind_name(left[i].kind));
        rows_number(&r, left[i].connections);
        rows_number(&r, left[i].streams);
        rows_number(&r, (int64_t)left[i].oldest_ms);
    }
    rows_end(&r);
}

static void add_text(struct strbuf *out, const struct drain_info *d, uint32_t sessions)
{
    strbuf_addf(out, "state: %s%s%s\n", d->state, d->why[0] != '\0' ? ": " : "", d->why);
    if (d->began)
        strbuf_addf(out, "since: %.1f s, with %" PRIu64 " connections\ncut in: %.1f s\n",
                    (double)d->since_ms / 1000, d->sessions, (double)d->left_ms / 1000);
    strbuf_addf(out, "left: %u\n", sessions);
}

static void add_json(struct strbuf *out, const struct drain_info *d, uint32_t sessions)
{
    strbuf_addf(out, "{\"state\": \"%s\", \"why\": \"%s\", ", d->state, d->why);
    if (d->began)
        strbuf_addf(out,
                    "\"since_ms\": %" PRIu64 ", \"sessions\": %" PRIu64 ", \"cut_in_ms\": %" PRIu64
                    ", ",
                    d->since_ms, d->sessions, d->left_ms);
    strbuf_addf(out, "\"left\": %u, \"rows\": ", sessions);
}

static void on_list(void *arg, const struct session_info *rows, uint32_t n)
{
    struct query *q = arg;
    struct drain_info d = {0};
    uint32_t found;
    struct left *left = sum_up(rows, n, &found);

    q->ops->drain_info(q->ops->ctx, &d);
    if (q->json)
        add_json(&q->late.text, &d, n);
    else
        add_text(&q->late.text, &d, n);
    add_rows(&q->late.text, q->json, left, found);
    if (q->json) {
        while (q->late.text.len > 0 && q->late.text.p[q->late.text.len - 1] == '\n')
            q->late.text.p[--q->late.text.len] = '\0';
        strbuf_add_cstr(&q->late.text, "}\n");
    }
    free(left);
    late_answer_ready(&q->late);
}

void cmd_drain_show(struct command *c)
{
    const struct session_filter everything = {0};
    struct query *q = xcalloc(1, sizeof(*q));

    q->ops = c->env->ops;
    q->json = command_has(c, "json");
    command_later(c, &q->late);
    q->ops->list_sessions(q->ops->ctx, &everything, on_list, q);
}
