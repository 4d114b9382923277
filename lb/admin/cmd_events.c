/* cmd_events.c - `show events`: what has happened, once or as it happens; `show flight`: what the
 * workers remember of slow and failed requests.
 *
 * Following (-w) is a state of the client: the command notes in its session where to begin, and
 * control.c asks for more whenever what was there before has been sent. The ring of events is the
 * only buffer: who reads too slowly has a gap, is told so, and cut. */
#include "lb/admin/command.h"
#include "lb/base/alloc.h"
#include "lb/obs/events.h"
#include "lb/obs/flight.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define AT_A_TIME 16 /* events copied under one lock */

/* "app" is the object of "app" and of "app/a". */
static bool is_about(const struct event *e, const char *object)
{
    size_t len = strlen(object);

    return len == 0 || (strncmp(e->object, object, len) == 0 &&
                        (e->object[len] == '\0' || e->object[len] == '/'));
}

static void add_line(const struct command_follow *f, const struct event *e, struct strbuf *out)
{
    if (f->json)
        event_json(e, out);
    else
        event_text(e, out);
    strbuf_add_char(out, f->nul ? '\0' : '\n');
}

bool events_follow(struct command_follow *f, size_t enough, struct strbuf *out)
{
    struct event some[AT_A_TIME];
    uint32_t n;

    while (out->len < enough && (n = events_read(f->after, some, AT_A_TIME)) > 0) {
        uint64_t lost = f->begun ? some[0].serial - f->after - 1 : 0;
        if (lost > 0) {
            strbuf_addf(out,
                        f->json ? "{\"lost\":%" PRIu64 "}%c"
                                : "# %" PRIu64 " events are lost: they were read too slowly%c",
                        lost, f->nul ? '\0' : '\n');
            return false;
        }
        f->begun = true;
        for (uint32_t i = 0; i < n; i++)
            if (is_about(&some[i], f->object))
                add_line(f, &some[i], out);
        f->after = some[n - 1].serial;
    }
    return true;
}

/* The number behind which the last n events about the object are. */
static uint64_t before_last(const struct command_follow *f, uint64_t n)
{
    struct event e;
    uint64_t at = events_last();

    for (; n > 0 && at > f->after && events_last() - at < EVENTS_KEPT; at--)
        n -= events_read(at - 1, &e, 1) == 1 && is_about(&e, f->object);
    return at;
}

static void show_once(struct command *c, struct command_follow *f)
{
    struct event *all = xcalloc(EVENTS_KEPT, sizeof(*all));
    uint32_t n = events_read(f->after, all, EVENTS_KEPT), shown = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (!is_about(&all[i], f->object))
            continue;
        if (!f->json) {
            add_line(f, &all[i], c->out);
            continue;
        }
        strbuf_add_cstr(c->out, shown++ == 0 ? "[" : ",\n");
        event_json(&all[i], c->out);
    }
    if (f->json)
        strbuf_add_cstr(c->out, shown == 0 ? "[]\n" : "]\n");
    free(all);
}

/* False after a refusal. */
static bool parse(struct command *c, struct command_follow *f, bool *out_wait, uint64_t *out_n)
{
    bool only_new = false;

    for (uint32_t i = 0; command_arg(c, i).len > 0; i++) {
        struct str word = command_arg(c, i);
        if (command_arg_is(c, i, "json")) {
            f->json = true;
        } else if (command_arg_is(c, i, "-w")) {
            *out_wait = true;
        } else if (command_arg_is(c, i, "-n")) {
            only_new = true;
        } else if (command_arg_is(c, i, "-0")) {
            f->nul = true;
        } else if (command_arg_is(c, i, "after") &&
                   str_u64(command_arg(c, i + 1), UINT64_MAX, &f->after) == 0) {
            f->begun = f->after > 0;
            i++;
        } else if (command_arg_is(c, i, "object") && command_arg(c, i + 1).len > 0) {
            struct str object = command_arg(c, ++i);
            snprintf(f->object, sizeof(f->object), STR_FMT, STR_ARG(object));
        } else if (str_u64(word, EVENTS_KEPT, out_n) < 0) {
            command_refuse(c,
                           "'" STR_FMT "': expected [<n>] (at most %d) [after <serial>] "
                           "[object <name>] [json] [-w] [-n] [-0]",
                           STR_ARG(word), EVENTS_KEPT);
            return false;
        }
    }
    if (only_new)
        *out_n = 0;
    return true;
}

void cmd_events_show(struct command *c)
{
    struct command_follow f = {0};
    uint64_t n = UINT64_MAX;
    bool wait = false;

    if (!parse(c, &f, &wait, &n))
        return;
    if (n != UINT64_MAX)
        f.after = before_last(&f, n);
    if (!wait) {
        show_once(c, &f);
        return;
    }
    if (!c->session->may_follow) {
        command_refuse(c, "-w: events can be followed on the stats socket only.");
        return;
    }
    f.on = true;
    c->session->follow = f;
}

/* ---- show flight ---- */

struct flight_query {
    struct late_answer late; /* first: freed as one */
    bool slow, failed, json;
    uint64_t n; /* of each */
};

/* Failed ones first, the latest first; then the slowest first. */
static int compare_flights(const void *a, const void *b)
{
    const struct flight_record *x = a, *y = b;

    if (x->failed != y->failed)
        return x->failed ? -1 : 1;
    uint64_t by_x = x->failed ? x->wall_us : x->slow_us, by_y = x->failed ? y->wall_us : y->slow_us;
    return by_x > by_y ? -1 : by_x < by_y;
}

static void on_flight(void *arg, const struct flight_record *rows, uint32_t n)
{
    struct flight_query *q = arg;
    struct strbuf *out = &q->late.text;
    struct flight_record *sorted = xcalloc(n + 1, sizeof(*sorted));
    uint64_t left[2] = {q->slow ? q->n : 0, q->failed ? q->n : 0};
    const char *gap = "[";

    if (n > 0)
        memcpy(sorted, rows, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), compare_flights);
    for (uint32_t i = 0; i < n; i++) {
        if (left[sorted[i].failed] == 0)
            continue;
        left[sorted[i].failed]--;
        if (!q->json) {
            flight_text(&sorted[i], out);
            strbuf_add_char(out, '\n');
            continue;
        }
        strbuf_add_cstr(out, gap);
        flight_json(&sorted[i], out);
        gap = ",\n";
    }
    if (q->json)
        strbuf_add_cstr(out, gap[0] == '[' ? "[]\n" : "]\n");
    free(sorted);
    late_answer_ready(&q->late);
}

void cmd_events_flight(struct command *c)
{
    struct flight_query q = {.n = UINT64_MAX};

    for (uint32_t i = 0; command_arg(c, i).len > 0; i++) {
        if (command_arg_is(c, i, "slow")) {
            q.slow = true;
        } else if (command_arg_is(c, i, "failed")) {
            q.failed = true;
        } else if (command_arg_is(c, i, "json")) {
            q.json = true;
        } else if (str_u64(command_arg(c, i), UINT32_MAX, &q.n) < 0) {
            command_refuse(c, "'" STR_FMT "': expected [slow|failed] [<n>] [json]",
                           STR_ARG(command_arg(c, i)));
            return;
        }
    }
    if (!q.slow && !q.failed)
        q.slow = q.failed = true;
    if (c->env->ops->list_flight == NULL) {
        command_refuse(c, "Nothing is recorded here.");
        return;
    }
    struct flight_query *heap = xcalloc(1, sizeof(*heap));
    *heap = q;
    command_later(c, &heap->late);
    c->env->ops->list_flight(c->env->ops->ctx, on_flight, heap);
}
