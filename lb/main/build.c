/* build.c - see build.h */
#include "lb/main/build.h"

#include "health/table.h"
#include "lb/base/alloc.h"
#include "lb/base/hash.h"
#include "lb/base/log.h"
#include "lb/base/named_file.h"
#include "lb/config/conf.h"
#include "lb/main/backends.h"
#include "lb/main/log_targets.h"
#include "lb/main/process.h"
#include "lb/obs/phases.h"
#include "lb/proxy/http_listener.h"
#include "lb/proxy/sni_table.h"
#include "lb/upstream/pool.h"
#include "lb/upstream/stick.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- pools ---- */

static char *take_text(struct strbuf *b)
{
    char *text = xstrdup(b->p != NULL ? b->p : "");

    strbuf_fini(b);
    return text;
}

static char *pool_text(const struct pool_conf *conf)
{
    struct strbuf text = {0};

    conf_dump_pool(conf, &text);
    return take_text(&text);
}

/* Whether connections to its backends are made in the same way. */
static bool same_conns(const struct pool_conf *a, const struct pool_conf *b)
{
    struct strbuf x = {0}, y = {0};

    conf_dump_pool_tls(a, &x);
    conf_dump_pool_tls(b, &y);
    bool same = str_eq(strbuf_str(&x), strbuf_str(&y));
    strbuf_fini(&x);
    strbuf_fini(&y);
    return same && a->mode == b->mode && a->protocol == b->protocol &&
           a->send_proxy == b->send_proxy && (a->tls == NULL) == (b->tls == NULL);
}

static uint32_t take_number(bool *numbers, uint32_t limit)
{
    for (uint32_t i = 0; i < limit; i++) {
        if (numbers[i])
            continue;
        numbers[i] = true;
        return i;
    }
    return UINT32_MAX;
}

/* The newest of that name, in force or not. */
static struct live_pool *known_pool(const struct process *p, const char *name)
{
    list_for_each (node, &p->live->pools) {
        struct live_pool *lp = list_entry(node, struct live_pool, node);
        if (strcmp(lp->pool->name, name) == 0)
            return lp;
    }
    return NULL;
}

static struct backend_slot *take_slot(struct process *p, struct snapshot *s,
                                      const struct pool_conf *pool, const struct backend_conf *b,
                                      uint32_t number, struct strbuf *errors)
{
    struct backend_slot *slot = table_find(p->table, pool->name, b->name);

    if (slot != NULL)
        return slot;
    slot = table_add(p->table, pool->name, b->name);
    if (slot == NULL) {
        strbuf_addf(errors, "%s:%d: error: more than %d backends\n", b->file, b->line,
                    LIMIT_BACKENDS);
        return NULL;
    }
    slot->pool = number;
    slot->backup = b->backup;
    slot->initial_weight = (uint16_t)b->weight;
    atomic_store_explicit(&slot->max_connections, b->max_connections, memory_order_relaxed);
    slot_set_weight(slot, (uint16_t)b->weight);
    backends_set_state(slot, b->state, b->reason);
    backends_said(slot, b);
    if (b->address.addr.len != 0)
        slot_set_address(p->table, slot, &b->address.addr);
    s->new_slots[s->n_new_slots++] = slot;
    return slot;
}

/* At the start listeners come first, then pools; whoever comes later has the next one. */
static uint32_t pool_iid(struct process *p, const struct snapshot *s, const struct pool_conf *conf)
{
    const struct conf *c = s->conf->conf;

    return p->snapshot == NULL ? c->n_listeners + 1 + (uint32_t)(conf - c->pools)
                               : ++p->live->last_iid;
}

static uint32_t listener_iid(struct process *p, const struct snapshot *s,
                             const struct listener_conf *conf)
{
    return p->snapshot == NULL ? 1 + (uint32_t)(conf - s->conf->conf->listeners)
                               : ++p->live->last_iid;
}

static struct live_pool *make_pool(struct process *p, struct snapshot *s,
                                   const struct pool_conf *conf, struct strbuf *errors)
{
    struct live_pool *before = known_pool(p, conf->name), *lp;
    uint32_t number = before != NULL ? before->pool->kept->number
                                     : take_number(p->live->pool_numbers, LIMIT_POOLS);
    struct backend_slot **slots = xcalloc(conf->n_backends + 1, sizeof(struct backend_slot *));
    bool good = number != UINT32_MAX;

    if (!good)
        strbuf_addf(errors,
                    "%s:%d: error: more than %d pools, with those whose connections have "
                    "not ended yet\n",
                    conf->file, conf->line, LIMIT_POOLS);
    for (uint32_t i = 0; good && i < conf->n_backends; i++) {
        slots[i] = take_slot(p, s, conf, &conf->backends[i], number, errors);
        good = slots[i] != NULL;
    }
    if (!good) {
        if (number != UINT32_MAX && before == NULL)
            p->live->pool_numbers[number] = false;
        free(slots);
        return NULL;
    }
    lp = xcalloc(1, sizeof(*lp));
    lp->process = p;
    list_init(&lp->view);
    if (before != NULL)
        lp->pool = pool_new_after(before->pool, conf, slots, same_conns(before->pool->conf, conf));
    else
        lp->pool = pool_new(conf, number, pool_iid(p, s, conf), slots, p->n_workers, p->epochs);
    for (uint32_t i = 0; i < conf->n_backends; i++)
        if (slots[i]->sid == 0)
            slots[i]->sid = ++lp->pool->kept->last_sid;
    free(slots);
    lp->conf = s->conf;
    lp->conf->refs++;
    list_push_front(&p->live->pools, &lp->node);
    return lp;
}

struct live_pool *build_pool(struct process *p, struct snapshot *s, uint32_t i,
                             struct strbuf *errors)
{
    const struct pool_conf *conf = &s->conf->conf->pools[i];
    struct live_pool *now = snapshot_pool_named(p->snapshot, conf->name);
    char *text = pool_text(conf);

    if (now != NULL && strcmp(now->text, text) == 0) {
        free(text);
        return now;
    }
    struct live_pool *lp = make_pool(p, s, conf, errors);
    if (lp == NULL) {
        free(text);
        return NULL;
    }
    lp->text = text;
    const struct stick *stick = lp->pool->stick;
    if (stick != NULL && stick_warning(stick) != NULL)
        log_warn("pool %s: %s", conf->name, stick_warning(stick));
    return lp;
}

void live_pool_free(struct live_pool **live)
{
    struct live_pool *lp = *live;

    *live = NULL;
    list_remove(&lp->node);
    if (lp->pool->kept->refs == 1)
        lp->process->live->pool_numbers[lp->pool->kept->number] = false;
    pool_free(&lp->pool);
    conf_held_unref(&lp->conf);
    free(lp->forgets);
    free(lp->text);
    free(lp);
}

/* ---- listeners ---- */

/* A file that it names: what is in it is a part of what the listener is. */
static void add_file(struct strbuf *text, const char *path)
{
    struct stat st;

    if (named_file_stat(path, &st) == 0)
        strbuf_addf(text, "# %s: %lld %lld %lld.%09ld %lld.%09ld\n", path, (long long)st.st_ino,
                    (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                    (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

static char *listener_text(const struct listener_conf *conf)
{
    struct strbuf text = {0};

    conf_dump_listener(conf, &text);
    for (uint32_t i = 0; i < conf->http.n_error_pages; i++) {
        const struct error_page_conf *page = &conf->http.error_pages[i];
        strbuf_addf(&text, "# %s: %016llx\n", page->file,
                    (unsigned long long)hash_bytes(page->body, page->body_len, 0));
    }
    for (uint32_t i = 0; i < conf->http.n_routes; i++)
        if (conf->http.routes[i].filters.basic_auth != NULL)
            add_file(&text, conf->http.routes[i].filters.basic_auth->file);
    return take_text(&text);
}

static void add_use(struct live_listener *ll, struct live_pool *lp)
{
    for (uint32_t i = 0; i < ll->n_pools; i++)
        if (ll->pools[i] == lp)
            return;
    ll->pools[ll->n_pools++] = lp;
    lp->users++;
}

static void list_uses(struct live_listener *ll, const struct snapshot *s)
{
    const struct listener_conf *conf = ll->l.conf;

    ll->pools = xcalloc(s->conf->conf->n_pools + 1, sizeof(struct live_pool *));
    if (conf->mode != MODE_HTTP && conf->pool_name != NULL)
        add_use(ll, s->pools[conf->pool]);
    for (uint32_t i = 0; i < conf->n_sni; i++)
        if (conf->sni[i].pool_name != NULL)
            add_use(ll, s->pools[conf->sni[i].pool]);
    for (uint32_t i = 0; i < conf->http.n_routes && conf->mode == MODE_HTTP; i++) {
        const struct route_conf *r = &conf->http.routes[i].route;
        if (route_has_pool(r))
            add_use(ll, s->pools[r->pool]);
        for (uint32_t j = 0; r->action == ROUTE_SPLIT && j < r->n_split; j++)
            add_use(ll, s->pools[r->split[j].pool]);
    }
}

/* Whether none of the pools that it leads to has changed, and they are where its configuration says
 * that they are, as that goes by their places. */
static bool same_pools(const struct live_listener *ll, const struct snapshot *s)
{
    for (uint32_t i = 0; i < ll->n_pools; i++) {
        uint32_t place = ll->pools[i]->pool->index;
        if (place >= s->conf->conf->n_pools || s->pools[place] != ll->pools[i])
            return false;
    }
    return true;
}

/* ---- what is kept of a listener ---- */

static struct live_listener *known_listener(const struct process *p,
                                            const struct listener_conf *conf)
{
    list_for_each (node, &p->live->listeners) {
        struct live_listener *ll = list_entry(node, struct live_listener, node);
        if (strcmp(ll->l.conf->name, conf->name) == 0 && ll->l.conf->mode == conf->mode)
            return ll;
    }
    return NULL;
}

static struct listener_kept *kept_new(struct process *p, const struct listener_conf *conf,
                                      uint32_t number, uint32_t iid)
{
    struct listener_kept *k = xcalloc(1, sizeof(*k));
    struct listener_stats *stats = xaligned(sizeof(*stats));

    k->refs = 1;
    k->number = number;
    k->number_taken = &p->live->listener_numbers[number];
    k->stats = stats;
    snprintf(stats->name, sizeof(stats->name), "%s", conf->name);
    stats->iid = iid;
    stats->mode = conf->mode == MODE_HTTP ? "http" : conf->mode == MODE_UDP ? "udp" : "tcp";
    stats->rows = xaligned(p->n_workers * sizeof(stats->rows[0]));
    stats->n_rows = p->n_workers;
    if (conf->mode != MODE_UDP)
        stats->phases = phases_new(p->n_workers);
    if (conf->mode == MODE_HTTP)
        listener_stats_http_init(stats, 0);
    return k;
}

static void kept_unref(struct listener_kept **kept)
{
    struct listener_kept *k = *kept;

    *kept = NULL;
    if (k == NULL || --k->refs > 0)
        return;
    *k->number_taken = false;
    free(k->stats->routes); /* their rows are struct route_counts' */
    k->stats->routes = NULL;
    k->stats->n_routes = 0;
    listener_stats_http_fini(k->stats);
    phases_free(&k->stats->phases, k->stats->n_rows);
    source_caps_free(&k->sources);
    free(k->stats->rows);
    free(k->stats);
    free(k);
}

static bool take_kept(struct process *p, const struct snapshot *s, struct live_listener *ll,
                      const struct live_listener *old, struct strbuf *errors)
{
    const struct listener_conf *conf = ll->l.conf;

    if (old != NULL) {
        ll->kept = old->kept;
        ll->kept->refs++;
    } else {
        uint32_t number = take_number(p->live->listener_numbers, LIMIT_LISTENERS);
        if (number == UINT32_MAX) {
            strbuf_addf(errors,
                        "%s:%d: error: more than %d listeners, with those whose "
                        "connections have not ended yet\n",
                        conf->file, conf->line, LIMIT_LISTENERS);
            return false;
        }
        ll->kept = kept_new(p, conf, number, listener_iid(p, s, conf));
    }
    ll->l.number = ll->kept->number;
    ll->l.stats = ll->kept->stats;
    if (conf->max_per_source != 0 && ll->kept->sources == NULL)
        ll->kept->sources = source_caps_new(conf->max_per_source);
    ll->l.sources = ll->kept->sources;
    return true;
}

/* ---- routes ---- */

/* "split app 90, new 10" as one word: "split:app=90,new=10". */
static void one_word(struct str text, char *out, size_t size)
{
    size_t n = 0;
    char gap = ':';

    for (size_t i = 0; i < text.len && n + 1 < size; i++) {
        if (text.p[i] != ' ') {
            out[n++] = text.p[i];
        } else if (n > 0 && out[n - 1] != ',') {
            out[n++] = gap;
            gap = '=';
        }
    }
    out[n] = '\0';
}

void build_route_stats(struct live_listener *ll)
{
    struct listener_stats *stats = ll->l.stats;
    struct strbuf target = {0};

    if (ll->l.http == NULL)
        return;
    free(stats->routes);
    stats->n_routes = ll->n_routes;
    stats->routes = xcalloc(ll->n_routes + 1, sizeof(stats->routes[0]));
    for (uint32_t i = 0; i < ll->n_routes; i++) {
        const struct http_route *r = &ll->l.http->routes[i];
        struct route_stats *row = &stats->routes[i];
        strbuf_clear(&target);
        route_describe_action(&r->conf->route, &target);
        snprintf(row->name, sizeof(row->name), "%s", r->name);
        one_word(strbuf_str(&target), row->target, sizeof(row->target));
        row->file = r->conf->route.file;
        row->line = r->conf->route.line;
        row->rows = r->rows;
        row->phases = r->phases;
    }
    strbuf_fini(&target);
}

/* A route with a name is known by it, others by what they match and do. */
static char *route_text(const struct route_conf *r)
{
    struct strbuf text = {0};

    if (r->name != NULL) {
        strbuf_addf(&text, "name %s", r->name);
    } else {
        route_describe(r, &text);
        strbuf_add_cstr(&text, " -> ");
        route_describe_action(r, &text);
    }
    return take_text(&text);
}

static struct route_counts *known_counts(const struct live_listener *old, const char *text,
                                         uint32_t at)
{
    if (old == NULL)
        return NULL;
    if (at < old->n_routes && strcmp(old->route_texts[at], text) == 0)
        return old->counts[at];
    for (uint32_t i = 0; i < old->n_routes; i++)
        if (strcmp(old->route_texts[i], text) == 0)
            return old->counts[i];
    return NULL;
}

static void count_routes(struct live_listener *ll, const struct live_listener *old)
{
    uint32_t n = ll->l.http->n_routes;

    ll->n_routes = n;
    ll->counts = xcalloc(n + 1, sizeof(struct route_counts *));
    ll->route_texts = xcalloc(n + 1, sizeof(char *));
    for (uint32_t i = 0; i < n; i++) {
        ll->route_texts[i] = route_text(&ll->l.conf->http.routes[i].route);
        struct route_counts *c = known_counts(old, ll->route_texts[i], i);
        if (c == NULL) {
            c = xcalloc(1, sizeof(*c));
            c->rows = xaligned(ll->l.stats->n_rows * sizeof(c->rows[0]));
        }
        if (c->phases == NULL && i < ROUTES_TIMED_MAX)
            c->phases = phases_new(ll->l.stats->n_rows);
        c->refs++;
        ll->counts[i] = c;
        ll->l.http->routes[i].rows = c->rows;
        ll->l.http->routes[i].phases = c->phases;
    }
}

/* ---- making one ---- */

static bool open_log(struct process *p, struct live_listener *ll, struct strbuf *errors)
{
    const struct listener_conf *conf = ll->l.conf;
    const char *why;

    if (strcmp(conf->access_target, "off") == 0)
        return true;
    ll->l.sink = log_targets_get(&p->logs, conf->access_target, &why);
    if (ll->l.sink == NULL) {
        strbuf_addf(errors, "%s:%d: error: listeners[%s].log.access: \"%s\": %s\n", conf->file,
                    conf->line, conf->name, conf->access_target, why);
        return false;
    }
    ll->l.format = access_format_compile(conf->access_format, &why);
    if (ll->l.format != NULL)
        return true;
    strbuf_addf(errors, "%s:%d: error: listeners[%s].log.format: %s\n", conf->file, conf->line,
                conf->name, why);
    return false;
}

static bool make_listener(struct process *p, struct snapshot *s, struct live_listener *ll,
                          struct strbuf *errors)
{
    const struct listener_conf *conf = ll->l.conf;
    const struct live_listener *old = known_listener(p, conf);

    if (!take_kept(p, s, ll, old, errors))
        return false;
    ll->l.locals = xaligned(p->n_workers * sizeof(*ll->l.locals));
    if (conf->mode != MODE_HTTP && conf->pool_name != NULL)
        ll->l.pool = s->run_pools[conf->pool];
    if (conf->n_sni > 0)
        ll->l.sni = sni_table_new(conf->sni, conf->n_sni, s->run_pools);
    if (conf->mode == MODE_HTTP) {
        ll->l.http = http_listener_new(conf, s->run_pools, errors);
        if (ll->l.http == NULL)
            return false;
        count_routes(ll, old);
    }
    return open_log(p, ll, errors);
}

struct live_listener *build_listener(struct process *p, struct snapshot *s, uint32_t i,
                                     struct strbuf *errors)
{
    const struct listener_conf *conf = &s->conf->conf->listeners[i];
    struct live_listener *now = snapshot_listener_named(p->snapshot, conf->name);
    char *text = listener_text(conf);

    if (now != NULL && strcmp(now->text, text) == 0 && same_pools(now, s)) {
        free(text);
        return now;
    }
    struct live_listener *ll = xaligned(sizeof(*ll));
    ll->l.conf = conf;
    ll->text = text;
    ll->conf = s->conf;
    ll->conf->refs++;
    list_init(&ll->node);
    list_uses(ll, s);
    if (!make_listener(p, s, ll, errors)) {
        for (uint32_t k = 0; k < ll->n_pools; k++)
            ll->pools[k]->users--;
        live_listener_free(&ll);
        return NULL;
    }
    list_push_front(&p->live->listeners, &ll->node);
    return ll;
}

void live_listener_free(struct live_listener **live)
{
    struct live_listener *ll = *live;

    *live = NULL;
    list_remove(&ll->node);
    sni_table_free(&ll->l.sni);
    if (ll->l.format != NULL)
        access_format_free(&ll->l.format);
    http_listener_free(&ll->l.http);
    for (uint32_t i = 0; i < ll->n_routes; i++) {
        if (--ll->counts[i]->refs == 0) {
            free(ll->counts[i]->rows);
            phases_free(&ll->counts[i]->phases, ll->l.stats->n_rows);
            free(ll->counts[i]);
        }
        free(ll->route_texts[i]);
    }
    free(ll->counts);
    free(ll->route_texts);
    free(ll->pools);
    free(ll->l.locals);
    kept_unref(&ll->kept);
    conf_held_unref(&ll->conf);
    free(ll->text);
    free(ll);
}
