/* pool.c - see pool.h. The health thread alone builds views; workers read them under an epoch. */
#include "lb/upstream/pool.h"

#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/http/template.h"
#include "lb/obs/histogram.h"
#include "lb/obs/reasons.h"
#include "lb/upstream/retry_budget.h"
#include "lb/upstream/stick.h"

#include <stdlib.h>

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

struct pool *pool_new(const struct pool_conf *conf, uint32_t index, uint32_t iid,
                      struct backend_slot **slots, uint32_t n_workers, struct epoch_domain *epochs)
{
    struct pool *p = xaligned(sizeof(*p));

    p->conf = conf;
    p->name = conf->name;
    p->index = index;
    p->iid = iid;
    p->n_members = conf->n_backends;
    p->members = xcalloc(conf->n_backends ? conf->n_backends : 1, sizeof(*p->members));
    p->epochs = epochs;
    p->n_rows = n_workers;
    p->rows = xaligned(n_workers * sizeof(*p->rows));
    if (conf->mode == MODE_HTTP) {
        p->latency = histogram_rows_new(n_workers);
        p->reasons = xaligned(n_workers * sizeof(*p->reasons));
        p->budget = retry_budget_new(conf->http.retry_budget_percent, conf->http.retry_budget_min,
                                     n_workers);
        if (conf->http.sticky != NULL)
            p->stick = stick_new(conf);
        if (protocol_is_cgi(conf->protocol))
            p->cgi_params = cgi_params_new(&conf->http.cgi);
    }
    p->queues = xcalloc(n_workers, sizeof(*p->queues));
    for (uint32_t i = 0; i < conf->n_backends; i++) {
        p->members[i].slot = slots[i];
        p->members[i].conf = &conf->backends[i];
        p->members[i].rows = xaligned(n_workers * sizeof(*p->members[i].rows));
        if (conf->mode == MODE_HTTP)
            p->members[i].latency = histogram_rows_new(n_workers);
        slots[i]->member = i;
    }
    pool_rebuild(p, 0);
    return p;
}

void pool_free(struct pool **pool)
{
    struct pool *p = *pool;

    if (p == NULL)
        return;
    view_free(atomic_load(&p->view));
    for (uint32_t i = 0; i < p->n_members; i++) {
        histogram_rows_free(&p->members[i].latency, p->n_rows);
        free(p->members[i].rows);
    }
    histogram_rows_free(&p->latency, p->n_rows);
    free(p->reasons);
    retry_budget_free(&p->budget);
    stick_free(&p->stick);
    cgi_params_free(p);
    free(p->members);
    free(p->rows);
    free(p->queues);
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

static void note_usable(struct pool *p, bool was, bool is, uint64_t wall_us)
{
    if (was == is || wall_us == 0)
        return;
    if (is && counter_get(&p->changed_at_us) != 0)
        counter_add(&p->downtime_us, wall_us - counter_get(&p->changed_at_us));
    if (!is)
        counter_add(&p->down_transitions, 1);
    counter_set(&p->changed_at_us, wall_us);
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
    note_usable(p, old != NULL && old->tier != TIER_NONE, v->tier != TIER_NONE, wall_us);
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
