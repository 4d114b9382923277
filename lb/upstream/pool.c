/* pool.c - see pool.h. The health thread alone builds views; workers read them under an epoch. */
#include "lb/upstream/pool.h"

#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/http/template.h"
#include "lb/obs/histogram.h"
#include "lb/obs/phases.h"
#include "lb/obs/reasons.h"
#include "lb/upstream/retry_budget.h"
#include "lb/upstream/stick.h"
#include "lb/upstream/wait_queue.h"

#include <stdlib.h>
#include <string.h>

static void view_free(void *p)
{
    struct pool_view *v = p;

    balancer_plan_free(v->plan);
    free(v);
}

/* Their texts were compiled once when the configuration was checked. */
static struct http_template **cgi_params_new(const struct cgi_conf *conf)
{
    struct http_template **t = xcalloc(conf->n_params ? conf->n_params : 1, sizeof(*t));
    const char *error;

    for (uint32_t i = 0; i < conf->n_params; i++) {
        t[i] = http_template_compile(str_of(conf->params[i].value), &error);
        sl_assert(t[i] != NULL);
    }
    return t;
}

static void cgi_params_free(struct pool *p)
{
    for (uint32_t i = 0; p->cgi_params != NULL && i < p->conf->http.cgi.n_params; i++)
        http_template_free(&p->cgi_params[i]);
    free(p->cgi_params);
}

/* The mode of a name may change. */
static void kept_add_http(struct pool_kept *k)
{
    if (k->latency != NULL)
        return;
    k->latency = histogram_rows_new(k->n_rows);
    k->reasons = xaligned(k->n_rows * sizeof(*k->reasons));
}

static struct pool_kept *kept_new(uint32_t number, uint32_t iid, uint32_t n_workers)
{
    struct pool_kept *k = xaligned(sizeof(*k));

    k->number = number;
    k->iid = iid;
    k->n_rows = n_workers;
    k->rows = xaligned(n_workers * sizeof(*k->rows));
    k->phases = phases_new(n_workers);
    k->queues = xcalloc(n_workers, sizeof(*k->queues));
    return k;
}

static void kept_unref(struct pool_kept **kept)
{
    struct pool_kept *k = *kept;

    *kept = NULL;
    if (--k->refs > 0)
        return;
    for (uint32_t i = 0; i < k->n_rows; i++)
        free(atomic_load(&k->queues[i]));
    free(k->queues);
    histogram_rows_free(&k->latency, k->n_rows);
    phases_free(&k->phases, k->n_rows);
    free(k->reasons);
    free(k->rows);
    free(k);
}

static bool may_speak_h2(const struct pool_conf *conf)
{
    if (conf->mode != MODE_HTTP)
        return false;
    if (conf->protocol == PROTOCOL_HTTP2)
        return true;
    for (uint32_t i = 0; conf->tls != NULL && i < conf->tls->n_alpn; i++)
        if (strcmp(conf->tls->alpn[i], "h2") == 0)
            return true;
    return false;
}

/* ---- members ---- */

static struct pool_member *find_member(const struct pool *p, const struct backend_slot *slot)
{
    uint32_t low = 0, high = p != NULL ? p->n_members : 0;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        struct pool_member *m = &p->members[p->by_slot[middle]];
        if (m->slot == slot)
            return m;
        if (m->slot->index < slot->index)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

uint32_t pool_member_index(const struct pool *p, const struct backend_slot *slot)
{
    uint32_t hint = atomic_load_explicit(&slot->member, memory_order_relaxed);

    if (likely(hint < p->n_members && p->members[hint].slot == slot))
        return hint;
    const struct pool_member *m = find_member(p, slot);
    sl_assert(m != NULL);
    return (uint32_t)(m - p->members);
}

static void make_member(struct pool *p, uint32_t i, struct backend_slot *slot,
                        const struct pool *before, bool same_conns)
{
    const struct pool_member *old = find_member(before, slot);
    struct pool_member *m = &p->members[i];
    bool http = p->conf->mode == MODE_HTTP;

    m->slot = slot;
    m->conf = &p->conf->backends[i];
    m->counts = old != NULL ? old->counts : member_counts_new(p->n_rows);
    if (old != NULL)
        m->counts->refs++;
    if (http && m->counts->latency == NULL)
        m->counts->latency = histogram_rows_new(p->n_rows);
    if (http && old != NULL && old->conns != NULL && same_conns) {
        m->conns = old->conns;
        m->conns->refs++;
    } else if (http) {
        m->conns = member_conns_new(m->counts);
    }
    m->rows = m->counts->rows;
    m->phases = m->counts->phases;
    m->latency = http ? m->counts->latency : NULL;
}

static int by_index(const void *a, const void *b, void *pool)
{
    const struct pool *p = pool;
    uint32_t x = p->members[*(const uint32_t *)a].slot->index;
    uint32_t y = p->members[*(const uint32_t *)b].slot->index;

    return x < y ? -1 : x > y;
}

static void make_members(struct pool *p, struct backend_slot **slots, const struct pool *before,
                         bool same_conns)
{
    p->n_members = p->conf->n_backends;
    p->members = xcalloc(p->n_members + 1, sizeof(*p->members));
    p->by_slot = xcalloc(p->n_members + 1, sizeof(*p->by_slot));
    for (uint32_t i = 0; i < p->n_members; i++) {
        make_member(p, i, slots[i], before, same_conns);
        p->by_slot[i] = i;
    }
    qsort_r(p->by_slot, p->n_members, sizeof(*p->by_slot), by_index, p);
    for (uint32_t i = 0; i < p->n_members; i++)
        atomic_store_explicit(&slots[i]->member, i, memory_order_relaxed);
}

/* ---- life ---- */

static struct pool *make(const struct pool_conf *conf, struct pool_kept *kept,
                         struct backend_slot **slots, struct epoch_domain *epochs,
                         struct pool *before, bool same_conns)
{
    struct pool *p = xaligned(sizeof(*p));

    p->conf = conf;
    p->name = conf->name;
    p->kept = kept;
    kept->refs++;
    p->index = kept->number;
    p->iid = kept->iid;
    p->n_rows = kept->n_rows;
    p->rows = kept->rows;
    p->phases = kept->phases;
    if (conf->mode == MODE_HTTP) {
        kept_add_http(kept);
        p->latency = kept->latency;
        p->reasons = kept->reasons;
    }
    p->epochs = epochs;
    p->speaks_h2 = may_speak_h2(conf);
    p->locals = xaligned(kept->n_rows * sizeof(*p->locals));
    make_members(p, slots, before, same_conns);
    if (conf->mode == MODE_HTTP) {
        p->budget = retry_budget_new(conf->http.retry_budget_percent, conf->http.retry_budget_min,
                                     kept->n_rows);
        if (conf->http.sticky != NULL)
            p->stick = stick_new(conf, before != NULL ? before->stick : NULL);
        if (protocol_is_cgi(conf->protocol))
            p->cgi_params = cgi_params_new(&conf->http.cgi);
    }
    pool_rebuild(p, 0);
    return p;
}

struct pool *pool_new(const struct pool_conf *conf, uint32_t number, uint32_t iid,
                      struct backend_slot **slots, uint32_t n_workers, struct epoch_domain *epochs)
{
    return make(conf, kept_new(number, iid, n_workers), slots, epochs, NULL, false);
}

struct pool *pool_new_after(struct pool *before, const struct pool_conf *conf,
                            struct backend_slot **slots, bool same_conns)
{
    return make(conf, before->kept, slots, before->epochs, before, same_conns);
}

void pool_free(struct pool **pool)
{
    struct pool *p = *pool;

    if (p == NULL)
        return;
    view_free(atomic_load(&p->view));
    for (uint32_t i = 0; i < p->n_members; i++) {
        member_conns_unref(&p->members[i].conns);
        member_counts_unref(&p->members[i].counts);
    }
    for (uint32_t i = 0; i < p->n_rows; i++)
        balancer_cursor_fini(&p->locals[i].cursor);
    free(p->locals);
    retry_budget_free(&p->budget);
    stick_free(&p->stick);
    cgi_params_free(p);
    free(p->members);
    free(p->by_slot);
    kept_unref(&p->kept);
    free(p);
    *pool = NULL;
}

/* ---- the view ---- */

struct census {
    uint32_t active, active_up, backup_up; /* configured and not in maintenance; up */
    uint32_t unknown;
};

static void count(const struct pool *p, struct census *c)
{
    *c = (struct census){0};
    for (uint32_t i = 0; i < p->n_members; i++) {
        const struct backend_slot *s = p->members[i].slot;
        enum slot_use use = slot_use(s);
        struct backend_word w = slot_word(s);

        if (use == USE_UNKNOWN)
            c->unknown++;
        if (s->backup) {
            c->backup_up += use == USE_YES;
            continue;
        }
        c->active += !(w.admin & (ADMIN_MAINT_MASK | ADMIN_DRAIN_MASK)) && w.set_weight > 0;
        c->active_up += use == USE_YES;
    }
}

/* Backups stand in only when no active backend is left; unknown ones before them would be a guess,
 * so they come after; health is ignored when it says that too many are down at once. */
static enum pool_tier choose_tier(const struct pool *p, const struct census *c)
{
    uint32_t panic = p->conf->panic_percent;

    if (panic > 0 && c->active > 0 && c->unknown == 0 && c->active_up * 100 < c->active * panic)
        return TIER_PANIC;
    if (c->active_up > 0)
        return TIER_ACTIVE;
    if (c->backup_up > 0)
        return TIER_BACKUP;
    return c->unknown > 0 ? TIER_UNKNOWN : TIER_NONE;
}

bool pool_tier_holds(enum pool_tier tier, const struct backend_slot *s)
{
    struct backend_word w = slot_word(s);

    switch (tier) {
    case TIER_ACTIVE:
        return !s->backup && slot_use(s) == USE_YES;
    case TIER_BACKUP:
        return s->backup && slot_use(s) == USE_YES;
    case TIER_UNKNOWN:
        return slot_use(s) == USE_UNKNOWN;
    case TIER_PANIC:
        return !s->backup && !(w.admin & (ADMIN_MAINT_MASK | ADMIN_DRAIN_MASK)) &&
               w.set_weight > 0 && atomic_load(&s->address) != NULL;
    case TIER_NONE:
        return false;
    }
    return false;
}

/* What a backend weighs in a view: one that is not up has no effective weight of its own. */
static uint32_t weight_in(const struct backend_slot *s, enum pool_tier tier)
{
    struct backend_word w = slot_word(s);

    if (tier == TIER_ACTIVE || tier == TIER_BACKUP)
        return w.weight;
    return (uint32_t)w.set_weight * WEIGHT_SCALE;
}

static void note_usable(struct pool *p, bool is, uint64_t wall_us)
{
    if (wall_us == 0 || p->kept->usable == is)
        return;
    p->kept->usable = is;
    if (is && counter_get(&p->kept->changed_at_us) != 0)
        counter_add(&p->kept->downtime_us, wall_us - counter_get(&p->kept->changed_at_us));
    if (!is)
        counter_add(&p->kept->down_transitions, 1);
    counter_set(&p->kept->changed_at_us, wall_us);
}

void pool_rebuild(struct pool *p, uint64_t wall_us)
{
    struct plan_member *members = xcalloc(p->n_members ? p->n_members : 1, sizeof(*members));
    struct pool_view *old = atomic_load(&p->view), *v = xcalloc(1, sizeof(*v));
    struct census c;
    uint32_t n = 0;

    count(p, &c);
    v->tier = choose_tier(p, &c);
    for (uint32_t i = 0; i < p->n_members; i++) {
        struct backend_slot *s = p->members[i].slot;
        uint32_t weight = pool_tier_holds(v->tier, s) ? weight_in(s, v->tier) : 0;

        if (weight > 0)
            members[n++] = (struct plan_member){s, weight};
    }
    v->plan = balancer_plan_new(&p->conf->balance, members, n);
    v->serial = old ? old->serial + 1 : 1;
    free(members);
    atomic_store_explicit(&p->view, v, memory_order_release);
    atomic_store_explicit(&p->tier, (uint8_t)v->tier, memory_order_relaxed);
    note_usable(p, v->tier != TIER_NONE, wall_us);
    if (old != NULL)
        epoch_retire(p->epochs, old, view_free);
}

void pool_count_up(const struct pool *p, uint32_t *out_active, uint32_t *out_backup)
{
    struct census c;

    count(p, &c);
    *out_active = c.active_up;
    *out_backup = c.backup_up;
}

bool pool_usable(const struct pool *p)
{
    return atomic_load_explicit(&p->tier, memory_order_relaxed) != TIER_NONE;
}
