/* refusals.c - see refusals.h */
#include "lb/admin/refusals.h"

#include "lb/admin/admin_ops.h"
#include "lb/base/alloc.h"
#include "lb/obs/events.h"
#include "lb/obs/reasons.h"
#include "lb/upstream/pool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MIN_S 10
#define WAIT_MAX_S 600
#define NAMED_MAX  5 /* reasons in an event, the most frequent first */

/* How long to be silent about an object. */
struct pace {
    uint64_t next_us;
    uint32_t wait_s; /* 0: it has been quiet */
};

struct watch {
    const void *of; /* what is counted, for as long as it is */
    uint64_t total; /* of reasons, as they were told */
    struct reason_counters seen;
    struct pace reasons, queue;
    uint64_t queue_full;
};

struct refusals {
    const struct admin_ops *ops;
    struct watch *watches; /* the listeners, then the pools */
    uint32_t n;
};

/* What says nothing of the client's request: where it would lead, who may ask, what became of the
 * backends, which have events of their own. */
static bool is_told(const char *code)
{
    static const char *const others[] = {
        "no-route",      "unauthorized",    "denied",         "method-not-for-files",
        "no-backend",    "connect-timeout", "connect-failed", "response-timeout",
        "server-closed", "server-aborted",  "backend-down",   "queue-full",
        "queue-timeout",
    };

    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (strcmp(code, others[i]) == 0)
            return false;
    return true;
}

static uint64_t total_of(const struct reason_counters *rows, uint32_t n)
{
    uint64_t total = 0;

    for (uint32_t i = 0; rows != NULL && i < n; i++)
        total += counter_get(&rows[i].total);
    return total;
}

static uint64_t queue_full_of(const struct pool *p)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < p->n_rows; i++)
        total += counter_get(&p->rows[i].queue_full);
    return total;
}

/* ---- pace ---- */

static bool may_tell(struct pace *p, bool news, uint64_t now_us)
{
    if (now_us < p->next_us)
        return false;
    if (!news)
        p->wait_s = 0;
    return news;
}

static void told(struct pace *p, uint64_t now_us)
{
    p->wait_s = p->wait_s == 0 ? WAIT_MIN_S : p->wait_s * 2;
    if (p->wait_s > WAIT_MAX_S)
        p->wait_s = WAIT_MAX_S;
    p->next_us = now_us + (uint64_t)p->wait_s * 1000000;
}

/* ---- events ---- */

struct share {
    const char *code;
    uint64_t n;
};

static int by_number(const void *a, const void *b)
{
    const struct share *x = a, *y = b;

    return x->n != y->n ? (x->n < y->n ? 1 : -1) : strcmp(x->code, y->code);
}

/* What is new since it was seen. Returns how many that are. */
static uint64_t add_reasons(struct watch *w, const struct reason_counters *now, struct strbuf *out)
{
    struct share shares[LIMIT_REASONS];
    uint64_t all = 0, named = 0;
    uint32_t n = 0;

    for (uint32_t i = 0; i < LIMIT_REASONS; i++) {
        uint64_t more = counter_get(&now->n[i]) - counter_get(&w->seen.n[i]);
        if (more == 0 || !is_told(reason_code(i)))
            continue;
        shares[n++] = (struct share){reason_code(i), more};
        all += more;
    }
    qsort(shares, n, sizeof(shares[0]), by_number);
    for (uint32_t i = 0; i < n && i < NAMED_MAX; i++) {
        strbuf_addf(out, "%s%" PRIu64 " %s", i > 0 ? ", " : "", shares[i].n, shares[i].code);
        named += shares[i].n;
    }
    if (named < all)
        strbuf_addf(out, ", %" PRIu64 " for other reasons", all - named);
    return all;
}

static void look_at_reasons(struct watch *w, const struct reason_counters *rows, uint32_t n_rows,
                            const char *kind, const char *name, const char *what, uint64_t now_us)
{
    uint64_t total = total_of(rows, n_rows);
    struct reason_counters now;
    struct strbuf text = {0};

    if (!may_tell(&w->reasons, total != w->total, now_us))
        return;
    reason_counters_sum(rows, n_rows, &now);
    uint64_t n = add_reasons(w, &now, &text);
    w->total = total;
    w->seen = now;
    if (n > 0) {
        events_log(EVENT_REFUSED, LOG_LEVEL_WARN, name, "%s %s: %" PRIu64 " %s%s refused: %.*s",
                   kind, name, n, what, n > 1 ? "s were" : " was", (int)text.len, text.p);
        told(&w->reasons, now_us);
    }
    strbuf_fini(&text);
}

static void look_at_queue(struct watch *w, const struct pool *p, uint64_t now_us)
{
    uint64_t total = queue_full_of(p), more = total - w->queue_full;
    const char *what = p->conf->mode == MODE_HTTP ? "request" : "connection";

    if (!may_tell(&w->queue, more > 0, now_us))
        return;
    events_log(EVENT_LIMIT, LOG_LEVEL_WARN, p->name,
               "pool %s: the queue of %u is full: %" PRIu64 " %s%s refused", p->name,
               p->conf->queue_limit, more, what, more > 1 ? "s were" : " was");
    w->queue_full = total;
    told(&w->queue, now_us);
}

void refusals_look(struct refusals *r, uint64_t now_us)
{
    struct watch *w = r->watches;

    for (uint32_t i = 0; i < r->ops->n_listeners; i++, w++) {
        const struct listener_stats *l = r->ops->listeners[i];
        look_at_reasons(w, l->reasons, l->n_rows, "listener", l->name, "request", now_us);
    }
    for (uint32_t i = 0; i < r->ops->n_pools; i++, w++) {
        const struct pool *p = r->ops->pools[i];
        look_at_reasons(w, p->reasons, p->n_rows, "pool", p->name, "response", now_us);
        look_at_queue(w, p, now_us);
    }
}

/* ---- life ---- */

static void begin(struct watch *w, const void *of, const struct reason_counters *rows,
                  uint32_t n_rows)
{
    w->of = of;
    w->total = total_of(rows, n_rows);
    reason_counters_sum(rows, n_rows, &w->seen);
}

static void make(struct refusals *r)
{
    r->n = r->ops->n_listeners + r->ops->n_pools;
    r->watches = xaligned((r->n + 1) * sizeof(r->watches[0]));
    struct watch *w = r->watches;
    for (uint32_t i = 0; i < r->ops->n_listeners; i++, w++)
        begin(w, r->ops->listeners[i], r->ops->listeners[i]->reasons, r->ops->listeners[i]->n_rows);
    for (uint32_t i = 0; i < r->ops->n_pools; i++, w++) {
        const struct pool *p = r->ops->pools[i];
        begin(w, p->kept, p->reasons, p->n_rows);
        w->queue_full = queue_full_of(p);
    }
}

struct refusals *refusals_new(const struct admin_ops *ops)
{
    struct refusals *r = xcalloc(1, sizeof(*r));

    r->ops = ops;
    make(r);
    return r;
}

void refusals_follow(struct refusals *r)
{
    struct watch *old = r->watches;
    uint32_t n = r->n;

    make(r);
    for (uint32_t i = 0; i < r->n; i++)
        for (uint32_t k = 0; k < n; k++)
            if (old[(i + k) % n].of == r->watches[i].of && /* at its old place, mostly */
                old[(i + k) % n].total <= r->watches[i].total) {
                r->watches[i] = old[(i + k) % n];
                break;
            }
    free(old);
}

void refusals_free(struct refusals **refusals)
{
    struct refusals *r = *refusals;

    *refusals = NULL;
    if (r == NULL)
        return;
    free(r->watches);
    free(r);
}
