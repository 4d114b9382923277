/* dash_json.c - see dash_json.h. An object's row is always whole: who has it replaces what was
 * there. Its key is a letter and the stats socket's ids: "B5.2". */
#include "lb/admin/dash_json.h"

#include "lb/admin/admin_ops.h"
#include "lb/admin/status.h"
#include "lb/base/alloc.h"
#include "lb/base/hash.h"
#include "lb/net/addr.h"
#include "lb/net/tls_files.h"
#include "lb/obs/events.h"
#include "lb/obs/json.h"
#include "lb/upstream/pool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define CERTIFICATE_STEPS 5 /* between looks at them */

static void add_text(struct strbuf *out, const char *name, const char *value)
{
    strbuf_addf(out, ",\"%s\":", name);
    json_add_string(out, str_of(value));
}

static void add_number(struct strbuf *out, const char *name, uint64_t value)
{
    strbuf_addf(out, ",\"%s\":%" PRIu64, name, value);
}

static void add_bool(struct strbuf *out, const char *name, bool value)
{
    strbuf_addf(out, ",\"%s\":%s", name, value ? "true" : "false");
}

/* ---- objects ---- */

static void add_key(struct strbuf *out, const struct dash_object *o)
{
    static const char letters[] = {[DASH_LISTENER] = 'L', [DASH_POOL] = 'P'};

    if (o->kind == DASH_ALL)
        strbuf_add_cstr(out, "\"A\"");
    else if (o->kind == DASH_BACKEND)
        strbuf_addf(out, "\"B%u.%u\"", o->iid, o->sid);
    else
        strbuf_addf(out, "\"%c%u\"", letters[o->kind], o->iid);
}

static void add_listener(struct strbuf *out, const struct listener_stats *l)
{
    struct listener_counters c;

    listener_counters_sum(l, &c);
    add_text(out, "name", l->name);
    add_text(out, "mode", l->mode);
    add_bool(out, "tls", l->tls);
    add_number(out, "open", atomic_load_explicit(&l->current, memory_order_relaxed));
    add_number(out, "limit", l->max_connections);
    add_number(out, "sessions", counter_get(&c.sessions));
    add_number(out, "refused", counter_get(&c.denied) + counter_get(&c.bad_requests));
}

static void add_pool(struct strbuf *out, const struct pool *p)
{
    static const char *const modes[] = {
        [MODE_TCP] = "tcp", [MODE_HTTP] = "http", [MODE_UDP] = "udp"};
    uint32_t active, backup;

    pool_count_up(p, &active, &backup);
    add_text(out, "name", p->name);
    add_text(out, "mode", modes[p->conf->mode]);
    add_text(out, "balance", balance_kind_name(p->conf->balance.kind));
    add_bool(out, "usable", pool_usable(p));
    add_number(out, "up", active + backup);
    add_number(out, "of", p->n_members);
    add_number(out, "open", atomic_load_explicit(&p->kept->current, memory_order_relaxed));
    add_number(out, "queue", atomic_load_explicit(&p->kept->waiting, memory_order_relaxed));
}

/* Why it is as it is. */
static const char *reason_of(const struct dash_object *o, const struct backend_slot *slot,
                             const struct backend_info *info)
{
    switch (o->state) {
    case DASH_DRAIN:
    case DASH_MAINT:
    case DASH_UNRESOLVED:
        return slot_reason(slot);
    case DASH_FAILING:
    case DASH_RISING:
        return info->desc;
    case DASH_DOWN:
    case DASH_EJECTED:
        return info->reason[0] != '\0' ? info->reason : info->desc;
    default:
        return "";
    }
}

static void add_backend(struct strbuf *out, const struct dash_object *o, const struct pool *p)
{
    const struct pool_member *m = &p->members[o->sub];
    const struct backend_slot *slot = m->slot;
    const struct addr *addr = atomic_load_explicit(&slot->address, memory_order_acquire);
    char text[SERVER_STATUS_MAX], address[ADDR_TEXT_MAX];
    struct backend_counters c;
    struct server_status s;

    server_status_read(&s, p, slot);
    backend_counters_sum(m->rows, p->n_rows, &c);
    strbuf_addf(out, ",\"pool\":\"P%u\"", p->iid);
    add_text(out, "name", slot->name);
    add_text(out, "address", addr != NULL && addr->len > 0 ? addr_format(addr, address) : "");
    add_text(out, "state", dash_class_name(o->state));
    add_text(out, "status", server_status_text(&s, text));
    add_text(out, "reason", reason_of(o, slot, &s.info));
    add_text(out, "check", check_result_name((enum check_result)s.info.result));
    add_text(out, "seen", s.info.desc);
    add_number(out, "since", o->since_us / 1000);
    add_bool(out, "backup", atomic_load_explicit(&slot->backup, memory_order_relaxed));
    add_number(out, "weight", s.word.set_weight);
    add_number(out, "configured", slot->initial_weight);
    add_number(out, "effective", s.word.weight * 100 / WEIGHT_SCALE); /* hundredths */
    add_number(out, "open", atomic_load_explicit(&slot->in_flight, memory_order_relaxed));
    add_number(out, "limit", atomic_load_explicit(&slot->max_connections, memory_order_relaxed));
    add_number(out, "sessions", counter_get(&c.sessions));
    add_number(out, "checks", s.info.checks);
    add_number(out, "checks_failed", s.info.check_fails);
    add_number(out, "downs", s.info.transitions_down);
}

static void add_object(const struct dash_model *m, const struct dash_object *o, struct strbuf *out)
{
    struct dash_point p = dash_model_last(m, &o->track);

    strbuf_add_cstr(out, "{\"k\":");
    add_key(out, o);
    if (o->kind == DASH_LISTENER)
        add_listener(out, m->ops->listeners[o->at]);
    else if (o->kind == DASH_POOL)
        add_pool(out, m->ops->pools[o->at]);
    else if (o->kind == DASH_BACKEND)
        add_backend(out, o, m->ops->pools[o->at]);
    strbuf_addf(out, ",\"now\":[%u,%u,%u,%u],\"bytes\":[%u,%u]}", p.rate, p.errors, p.p50_us,
                p.p99_us, o->track.in_rate, o->track.out_rate);
}

static void add_history(const struct dash_model *m, const struct dash_object *o, struct strbuf *out)
{
    uint64_t n = m->steps - o->track.born;

    if (n > DASH_POINTS)
        n = DASH_POINTS;
    add_key(out, o);
    strbuf_add_cstr(out, ":{\"points\":[");
    for (uint64_t i = m->steps - n; i < m->steps; i++) {
        const struct dash_point *p = &o->track.points[i % DASH_POINTS];
        strbuf_addf(out, "%s%u,%u,%u,%u", i > m->steps - n ? "," : "", p->rate, p->errors,
                    p->p50_us, p->p99_us);
    }
    strbuf_add_cstr(out, "],\"strip\":[");
    for (uint64_t i = 1; o->kind == DASH_BACKEND && i <= DASH_STRIP; i++)
        strbuf_addf(out, "%s%u", i > 1 ? "," : "", o->strip[(m->minute + i) % DASH_STRIP]);
    strbuf_add_cstr(out, "]}");
}

/* ---- the process ---- */

static void add_process(const struct dash_model *m, struct strbuf *out)
{
    static const char *const engines[] = {
        [IO_AUTO] = "auto", [IO_URING] = "io_uring", [IO_EPOLL] = "epoll", [IO_SIM] = "sim"};
    const struct admin_ops *ops = m->ops;
    const char *why = ops->not_ready_reason(ops->ctx);
    struct drain_info drain = {.state = "running"};
    struct process_info p;

    ops->process_info(ops->ctx, &p);
    if (ops->drain_info != NULL)
        ops->drain_info(ops->ctx, &drain);
    strbuf_addf(out, "\"now\":%" PRIu64 ",\"process\":{\"pid\":%d", p.now_wall_us / 1000,
                (int)getpid());
    add_text(out, "version", p.version);
    add_text(out, "node", p.node);
    add_text(out, "description", p.description != NULL ? p.description : "");
    add_text(out, "engine", engines[p.engine]);
    add_number(out, "started", p.start_wall_us / 1000);
    add_number(out, "limit", p.max_connections);
    add_text(out, "not_ready", why != NULL ? why : "");
    add_text(out, "life", drain.state);
    add_text(out, "ending", drain.began ? drain.why : "");
    add_number(out, "left", drain.began ? drain.left_ms : 0);
    add_number(out, "left_out", m->left_out);
    strbuf_add_cstr(out, "},\"workers\":[");
    for (uint32_t i = 0; i < ops->n_workers; i++)
        strbuf_addf(out, "%s[%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]", i > 0 ? "," : "",
                    m->workers[i].busy_percent, counter_get(&ops->workers[i].sessions_open),
                    counter_get(&ops->workers[i].sessions),
                    counter_get(&ops->workers[i].memory_refused));
    strbuf_add_char(out, ']');
}

struct certificates {
    struct strbuf *out;
    uint64_t now_us;
    uint32_t n;
};

static void add_certificate(void *arg, const struct certificate_info *c)
{
    struct certificates *cs = arg;

    strbuf_addf(cs->out, "%s{\"days\":%" PRId64 ",\"until\":%" PRId64, cs->n++ > 0 ? "," : "",
                certificate_days_left(c->facts->not_after_s, cs->now_us), c->facts->not_after_s);
    add_text(cs->out, "listener", c->listener);
    add_text(cs->out, "file", c->cert);
    add_text(cs->out, "subject", c->facts->subject);
    add_text(cs->out, "issuer", c->facts->issuer);
    add_text(cs->out, "key", c->facts->key_type);
    add_bool(cs->out, "refused", c->refused);
    add_bool(cs->out, "stapled", c->ocsp_until_s > 0);
    strbuf_add_cstr(cs->out, ",\"names\":[");
    for (uint32_t i = 0; i < c->facts->n_names; i++) {
        if (i > 0)
            strbuf_add_char(cs->out, ',');
        json_add_string(cs->out, str_of(c->facts->names[i]));
    }
    strbuf_add_cstr(cs->out, "]}");
}

static void add_certificates(const struct dash_model *m, struct strbuf *out)
{
    struct certificates cs = {.out = out};
    struct process_info p;

    m->ops->process_info(m->ops->ctx, &p);
    cs.now_us = p.now_wall_us;
    strbuf_add_cstr(out, ",\"certificates\":[");
    if (m->ops->each_certificate != NULL)
        m->ops->each_certificate(m->ops->ctx, add_certificate, &cs);
    strbuf_add_char(out, ']');
}

/* They may be others without a reload: files are looked at. */
static void add_new_certificates(struct dash_text *t, struct strbuf *out)
{
    size_t before = out->len;

    add_certificates(t->m, out);
    uint64_t hash = hash_bytes(out->p + before, out->len - before, 0);
    if (hash == t->certificates)
        out->len = before;
    t->certificates = hash;
}

/* Those behind `after`, up to `last`. */
static void add_events(struct strbuf *out, uint64_t after, uint64_t last)
{
    struct event e;

    strbuf_add_cstr(out, ",\"events\":[");
    for (const char *gap = ""; after < last && events_read(after, &e, 1) == 1 && e.serial <= last;
         after = e.serial, gap = ",") {
        strbuf_add_cstr(out, gap);
        event_json(&e, out);
    }
    strbuf_add_char(out, ']');
}

/* ---- the whole ---- */

void dash_json_changes(struct dash_text *t, struct strbuf *out)
{
    struct dash_model *m = t->m;
    uint64_t newest = events_last();
    const char *gap = "";

    strbuf_add_char(out, '{');
    add_process(m, out);
    strbuf_addf(out, ",\"steps\":%" PRIu64 ",\"objects\":[", m->steps - t->step);
    for (uint32_t i = 0; i < m->n_objects; i++) {
        size_t before = out->len;
        strbuf_add_cstr(out, gap);
        size_t begin = out->len;
        add_object(m, &m->objects[i], out);
        uint64_t hash = hash_bytes(out->p + begin, out->len - begin, 0);
        if (hash == m->objects[i].sent) {
            out->len = before;
            continue;
        }
        m->objects[i].sent = hash;
        gap = ",";
    }
    strbuf_add_char(out, ']');
    if (m->steps % CERTIFICATE_STEPS == 0 && t->step != m->steps)
        add_new_certificates(t, out);
    if (newest - t->event > DASH_EVENTS_MAX)
        t->event = newest - DASH_EVENTS_MAX;
    if (t->event < newest)
        add_events(out, t->event, newest);
    t->event = newest;
    t->step = m->steps;
    strbuf_add_char(out, '}');
}

void dash_json_all(const struct dash_text *t, struct strbuf *out)
{
    const struct dash_model *m = t->m;
    uint32_t backends = 0;
    const char *gap = "";

    strbuf_addf(out, "{\"all\":true,\"step_ms\":%d,\"points\":%d,\"strip_s\":%d,\"states\":[",
                DASH_STEP_MS, DASH_POINTS, DASH_STRIP_S);
    for (uint32_t i = 0; i < DASH_CLASSES; i++)
        strbuf_addf(out, "%s\"%s\"", i > 0 ? "," : "", dash_class_name((enum dash_class)i));
    strbuf_add_cstr(out, "],");
    add_process(m, out);
    strbuf_addf(out, ",\"strip_at\":%" PRIu64 ",\"objects\":[", m->minute);
    for (uint32_t i = 0; i < m->n_objects; i++) {
        if (i > 0)
            strbuf_add_char(out, ',');
        add_object(m, &m->objects[i], out);
    }
    strbuf_add_cstr(out, "],\"history\":{");
    for (uint32_t i = 0; i < m->n_objects; i++) {
        if (m->objects[i].kind == DASH_BACKEND && backends++ >= DASH_HISTORIES_MAX)
            continue;
        strbuf_add_cstr(out, gap);
        add_history(m, &m->objects[i], out);
        gap = ",";
    }
    strbuf_add_char(out, '}');
    add_certificates(m, out);
    add_events(out, t->event > DASH_EVENTS_FIRST ? t->event - DASH_EVENTS_FIRST : 0, t->event);
    strbuf_add_char(out, '}');
}
