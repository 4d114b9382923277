/* dash_model.c - see dash_model.h */
#include "lb/admin/dash_model.h"

#include "lb/admin/admin_ops.h"
#include "lb/admin/status.h"
#include "lb/base/alloc.h"
#include "lb/obs/histogram.h"
#include "lb/upstream/pool.h"

#include <stdlib.h>

const char *dash_class_name(enum dash_class c)
{
    static const char *const names[DASH_CLASSES] = {
        [DASH_NO_CHECK] = "nocheck", [DASH_UP] = "up",           [DASH_UNKNOWN] = "unknown",
        [DASH_FAILING] = "failing",  [DASH_DRAIN] = "drain",     [DASH_MAINT] = "maint",
        [DASH_RISING] = "rising",    [DASH_EJECTED] = "ejected", [DASH_UNRESOLVED] = "unresolved",
        [DASH_DOWN] = "down",
    };

    return names[c];
}

/* ---- sums ---- */

static uint64_t total(const counter responses[RESPONSE_CLASSES])
{
    uint64_t n = 0;

    for (uint32_t i = RESPONSES_2XX; i < RESPONSE_CLASSES; i++)
        n += counter_get(&responses[i]);
    return n;
}

static void add_backend(enum pool_mode mode, const struct backend_counters *c, struct dash_sums *s)
{
    uint64_t failed = counter_get(&c->connect_errors) + counter_get(&c->response_errors);

    s->begun += counter_get(&c->sessions);
    s->ended += (mode == MODE_HTTP ? total(c->responses) : counter_get(&c->timed)) + failed;
    s->failed += counter_get(&c->responses[RESPONSES_5XX]) + failed;
    s->bytes_in += counter_get(&c->bytes_in);
    s->bytes_out += counter_get(&c->bytes_out);
}

static void sum_member(const struct pool *p, const struct pool_member *m, struct dash_sums *out)
{
    struct backend_counters c;

    *out = (struct dash_sums){0};
    backend_counters_sum(m->rows, p->n_rows, &c);
    add_backend(p->conf->mode, &c, out);
}

/* As clients see it: what was tried again elsewhere is no error of the pool's. */
static void sum_pool(const struct pool *p, struct dash_sums *out)
{
    struct backend_counters c, whole;

    *out = (struct dash_sums){0};
    backend_counters_sum(p->rows, p->n_rows, &whole);
    for (uint32_t i = 0; i < p->n_members; i++) {
        backend_counters_sum(p->members[i].rows, p->n_rows, &c);
        backend_counters_add(&c, &whole);
    }
    add_backend(p->conf->mode, &whole, out);
    if (p->conf->mode == MODE_HTTP) {
        out->ended = total(whole.responses);
        out->failed = counter_get(&whole.responses[RESPONSES_5XX]);
    }
}

static void sum_listener(const struct listener_stats *l, struct dash_sums *out)
{
    struct listener_counters c;
    bool http = l->latency != NULL;

    listener_counters_sum(l, &c);
    *out = (struct dash_sums){
        .begun = counter_get(http ? &c.requests : &c.sessions),
        .ended = http ? total(c.responses) : counter_get(&c.sessions),
        .failed = http ? counter_get(&c.responses[RESPONSES_5XX]) : 0,
        .bytes_in = counter_get(&c.bytes_in),
        .bytes_out = counter_get(&c.bytes_out),
    };
}

static void sum_all(const struct admin_ops *ops, struct dash_sums *out)
{
    struct dash_sums s;

    *out = (struct dash_sums){0};
    for (uint32_t i = 0; i < ops->n_listeners; i++) {
        sum_listener(ops->listeners[i], &s);
        out->begun += s.begun;
        out->ended += s.ended;
        out->failed += s.failed;
        out->bytes_in += s.bytes_in;
        out->bytes_out += s.bytes_out;
    }
}

static void read_sums(const struct dash_model *m, const struct dash_object *o,
                      struct dash_sums *out)
{
    switch (o->kind) {
    case DASH_ALL:
        sum_all(m->ops, out);
        return;
    case DASH_LISTENER:
        sum_listener(m->ops->listeners[o->at], out);
        return;
    case DASH_POOL:
        sum_pool(m->ops->pools[o->at], out);
        return;
    case DASH_BACKEND:
        sum_member(m->ops->pools[o->at], &m->ops->pools[o->at]->members[o->sub], out);
        return;
    }
}

/* NULL: its latency is not measured. */
static const struct histogram *latency_of(const struct dash_model *m, const struct dash_object *o,
                                          uint32_t *out_rows)
{
    if (o->kind == DASH_LISTENER) {
        *out_rows = m->ops->listeners[o->at]->n_rows;
        return m->ops->listeners[o->at]->latency;
    }
    const struct pool *p = m->ops->pools[o->at];
    *out_rows = p->n_rows;
    return o->kind == DASH_POOL ? p->latency : p->members[o->sub].latency;
}

/* ---- points ---- */

/* A sum that became less is one that began anew. */
static uint64_t grown(uint64_t now, uint64_t before)
{
    return now >= before ? now - before : now;
}

static uint32_t per_second(uint64_t n, uint64_t times, uint64_t elapsed_us)
{
    uint64_t rate = (n * times * 1000000 + elapsed_us / 2) / elapsed_us;

    return rate > UINT32_MAX ? UINT32_MAX : (uint32_t)rate;
}

static void remember(struct dash_track *t, const struct histogram_sum *h)
{
    if (h->n == 0)
        return;
    if (t->base == NULL)
        t->base = xcalloc(HISTOGRAM_BUCKETS, sizeof(t->base[0]));
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        t->base[i] = (uint32_t)h->buckets[i];
    t->base_n = h->n;
}

/* Of those since the last step. h is the sum of all, and spent. */
static void add_quantiles(struct dash_track *t, struct histogram_sum *h, struct dash_point *p)
{
    struct histogram_sum now = *h;

    if (h->n == t->base_n)
        return;
    if (t->base != NULL && h->n > t->base_n) {
        h->n = 0;
        for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
            h->buckets[i] = (uint32_t)(h->buckets[i] - t->base[i]);
            h->n += h->buckets[i];
        }
    }
    p->p50_us = (uint32_t)histogram_quantile(h, 0.5);
    p->p99_us = (uint32_t)histogram_quantile(h, 0.99);
    remember(t, &now);
}

static void add_rates(struct dash_track *t, const struct dash_sums *sums, uint64_t elapsed_us,
                      struct dash_point *p)
{
    uint64_t ended = grown(sums->ended, t->last.ended);
    uint64_t failed = grown(sums->failed, t->last.failed);

    *p = (struct dash_point){.rate = per_second(grown(sums->begun, t->last.begun), 10, elapsed_us)};
    if (failed > 0) /* upwards: one is not none */
        p->errors = failed < ended ? (uint32_t)((failed * 10000 + ended - 1) / ended) : 10000;
    t->in_rate = per_second(grown(sums->bytes_in, t->last.bytes_in), 1, elapsed_us);
    t->out_rate = per_second(grown(sums->bytes_out, t->last.bytes_out), 1, elapsed_us);
    t->last = *sums;
}

struct dash_point dash_model_last(const struct dash_model *m, const struct dash_track *t)
{
    if (m->steps == t->born)
        return (struct dash_point){0};
    return t->points[(m->steps - 1) % DASH_POINTS];
}

static void merge(struct histogram_sum *to, const struct histogram_sum *h)
{
    to->n += h->n;
    to->sum_us += h->sum_us;
    if (h->max_us > to->max_us)
        to->max_us = h->max_us;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->buckets[i] += h->buckets[i];
}

static void step_objects(struct dash_model *m, uint64_t elapsed_us)
{
    struct histogram_sum h, all = {0};
    struct dash_sums sums;
    uint32_t n_rows, read = 0;

    for (uint32_t i = 0; i < m->n_objects; i++) {
        struct dash_object *o = &m->objects[i];
        struct dash_point *p = &o->track.points[m->steps % DASH_POINTS];
        uint64_t ended = o->track.last.ended;
        read_sums(m, o, &sums);
        add_rates(&o->track, &sums, elapsed_us, p);
        if (o->kind == DASH_ALL)
            continue;
        const struct histogram *rows = latency_of(m, o, &n_rows);
        if (rows == NULL)
            continue;
        if (o->kind == DASH_BACKEND) {
            if (sums.ended == ended || read + n_rows > DASH_QUANTILES_MAX)
                continue;
            read += n_rows;
        }
        histogram_sum(rows, n_rows, &h);
        if (o->kind == DASH_LISTENER)
            merge(&all, &h);
        add_quantiles(&o->track, &h, p);
    }
    add_quantiles(&m->objects[0].track, &all, &m->objects[0].track.points[m->steps % DASH_POINTS]);
}

static void step_workers(struct dash_model *m)
{
    for (uint32_t i = 0; i < m->ops->n_workers; i++) {
        struct dash_worker *w = &m->workers[i];
        uint64_t busy = counter_get(&m->ops->workers[i].busy_us);
        uint64_t idle = counter_get(&m->ops->workers[i].idle_us);
        uint64_t all = busy - w->busy_us + idle - w->idle_us;
        w->busy_percent = all > 0 ? (uint32_t)((busy - w->busy_us) * 100 / all) : 0;
        w->busy_us = busy;
        w->idle_us = idle;
    }
}

/* ---- states ---- */

static enum dash_class classify(const struct server_status *s)
{
    if (s->word.admin & ADMIN_RMAINT)
        return DASH_UNRESOLVED;
    if (s->word.admin & ADMIN_MAINT_MASK)
        return DASH_MAINT;
    if (s->word.ejected)
        return DASH_EJECTED;
    if (s->word.oper == OPER_DOWN)
        return DASH_DOWN;
    if (s->word.oper == OPER_GOING_UP)
        return DASH_RISING;
    if (s->draining)
        return DASH_DRAIN;
    if (s->word.oper == OPER_GOING_DOWN)
        return DASH_FAILING;
    if (!s->info.check_enabled)
        return DASH_NO_CHECK;
    return s->word.oper == OPER_UNKNOWN ? DASH_UNKNOWN : DASH_UP;
}

static void look(struct dash_model *m, struct dash_object *b, uint64_t wall_us)
{
    const struct pool *p = m->ops->pools[b->at];
    struct server_status s;
    struct process_info info;

    server_status_read(&s, p, p->members[b->sub].slot);
    enum dash_class is = classify(&s);
    if (b->since_us == 0) { /* new here: its health says since when, as far as it knows */
        m->ops->process_info(m->ops->ctx, &info);
        b->since_us = s.info.changed_at_us > 0 ? s.info.changed_at_us : info.start_wall_us;
    } else if (is != b->state) {
        b->since_us = wall_us;
    }
    b->state = is;
    uint8_t *piece = &b->strip[m->minute % DASH_STRIP];
    if (*piece < 1 + is)
        *piece = (uint8_t)(1 + is);
}

static void turn_strips(struct dash_model *m, uint64_t minute)
{
    if (minute < m->minute || minute - m->minute > DASH_STRIP) /* the clock was set */
        m->minute = minute > DASH_STRIP ? minute - DASH_STRIP : 0;
    while (m->minute < minute) {
        m->minute++;
        for (uint32_t i = 0; i < m->n_objects; i++)
            m->objects[i].strip[m->minute % DASH_STRIP] = 0;
    }
}

void dash_model_tick(struct dash_model *m, uint64_t now_us, uint64_t wall_us)
{
    uint64_t elapsed_us = now_us - m->stepped_us;

    turn_strips(m, wall_us / 1000000 / DASH_STRIP_S);
    dash_model_follow(m);
    for (uint32_t i = 0; i < m->n_objects; i++)
        if (m->objects[i].kind == DASH_BACKEND)
            look(m, &m->objects[i], wall_us);
    if (elapsed_us + 200000 < DASH_STEP_MS * 1000) /* ticks are not that exact */
        return;
    m->stepped_us = now_us;
    step_workers(m);
    step_objects(m, elapsed_us);
    m->steps++;
}

/* ---- which objects there are ---- */

static uint32_t count(const struct admin_ops *ops, uint32_t *out_left_out)
{
    uint32_t backends = 0;

    for (uint32_t i = 0; i < ops->n_pools; i++)
        backends += ops->pools[i]->n_members;
    *out_left_out = backends > DASH_BACKENDS_MAX ? backends - DASH_BACKENDS_MAX : 0;
    return 1 + ops->n_listeners + ops->n_pools + backends - *out_left_out;
}

/* Calls fn for each object that there is to be, in order, until it says no. */
static bool each(const struct admin_ops *ops, bool (*fn)(void *arg, const struct dash_object *o),
                 void *arg)
{
    uint32_t left = DASH_BACKENDS_MAX;

    if (!fn(arg, &(struct dash_object){.kind = DASH_ALL}))
        return false;
    for (uint32_t i = 0; i < ops->n_listeners; i++)
        if (!fn(arg, &(struct dash_object){
                         .kind = DASH_LISTENER, .iid = ops->listeners[i]->iid, .at = i}))
            return false;
    for (uint32_t i = 0; i < ops->n_pools; i++) {
        const struct pool *p = ops->pools[i];
        if (!fn(arg, &(struct dash_object){.kind = DASH_POOL, .iid = p->iid, .at = i}))
            return false;
        for (uint32_t k = 0; k < p->n_members && left > 0; k++, left--)
            if (!fn(arg, &(struct dash_object){.kind = DASH_BACKEND,
                                               .iid = p->iid,
                                               .sid = p->members[k].slot->sid,
                                               .at = i,
                                               .sub = k}))
                return false;
    }
    return true;
}

struct walk {
    struct dash_model *m;
    struct dash_object *old;
    uint32_t n_old, at_old, n;
};

static bool is_there(void *arg, const struct dash_object *o)
{
    struct walk *w = arg;
    const struct dash_object *is = &w->m->objects[w->n++];

    return w->n <= w->m->n_objects && is->kind == o->kind && is->iid == o->iid &&
           is->sid == o->sid && is->at == o->at && is->sub == o->sub;
}

/* Takes what is known of it, or begins with the sums of now. */
static bool place(void *arg, const struct dash_object *is)
{
    struct walk *w = arg;
    struct dash_object *o = &w->m->objects[w->n++];
    struct histogram_sum h;
    uint32_t n_rows;

    for (uint32_t i = 0; i < w->n_old; i++) { /* mostly behind the one before */
        struct dash_object *was = &w->old[(w->at_old + i) % w->n_old];
        if (was->kind != is->kind || was->iid != is->iid || was->sid != is->sid)
            continue;
        *o = *was;
        o->at = is->at;
        o->sub = is->sub;
        was->track.base = NULL;
        w->at_old += i + 1;
        return true;
    }
    *o = *is;
    o->track.born = w->m->steps;
    read_sums(w->m, o, &o->track.last);
    const struct histogram *rows = o->kind == DASH_ALL ? NULL : latency_of(w->m, o, &n_rows);
    if (rows != NULL) {
        histogram_sum(rows, n_rows, &h);
        remember(&o->track, &h);
    }
    return true;
}

static void objects_free(struct dash_object *o, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        free(o[i].track.base);
    free(o);
}

bool dash_model_follow(struct dash_model *m)
{
    struct walk w = {.m = m, .old = m->objects, .n_old = m->n_objects};

    if (each(m->ops, is_there, &w) && w.n == m->n_objects)
        return false;
    w.n = 0;
    m->n_objects = count(m->ops, &m->left_out);
    m->objects = xcalloc(m->n_objects, sizeof(m->objects[0]));
    each(m->ops, place, &w);
    objects_free(w.old, w.n_old);
    m->changes++;
    return true;
}

void dash_model_init(struct dash_model *m, const struct admin_ops *ops, uint64_t now_us)
{
    *m = (struct dash_model){.ops = ops, .stepped_us = now_us};
    m->workers = xcalloc(ops->n_workers + 1, sizeof(m->workers[0]));
    dash_model_follow(m);
}

void dash_model_fini(struct dash_model *m)
{
    objects_free(m->objects, m->n_objects);
    free(m->workers);
    *m = (struct dash_model){0};
}
