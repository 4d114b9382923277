/* explain_backends.c - who would get a request: the backends of a pool as they are now, and the
 * choice among them. Offline a pool is made of the configuration, with everybody up, so that the
 * same balancing runs on it. */
#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/obs/access_log.h"
#include "lb/proxy/explain_priv.h"
#include "lb/proxy/seek.h"
#include "lb/upstream/pool.h"
#include "lb/upstream/stick.h"

#include <stdlib.h>

/* ---- a pool of the configuration ---- */

struct offline {
    struct epoch_domain *epochs;
    struct backend_table *table;
    struct pool *pool;
};

static void offline_init(struct offline *o, const struct pool_conf *conf)
{
    struct backend_slot **slots = xcalloc(conf->n_backends + 1, sizeof(struct backend_slot *));
    struct addr_spec any;
    const char *ignored;
    uint32_t n = 0;

    o->epochs = epoch_domain_new();
    o->table = table_new(o->epochs);
    int rc = addr_parse(STR("0.0.0.0:1"), false, true, &any, &ignored);
    sl_assert(rc == 0);
    for (uint32_t i = 0; i < conf->n_backends; i++) {
        const struct backend_conf *b = &conf->backends[i];
        struct backend_slot *s = table_add(o->table, conf->name, b->name);
        sl_assert(s != NULL); /* the configuration was checked: at most LIMIT_BACKENDS */
        s->backup = b->backup;
        s->sid = i + 1;
        s->initial_weight = (uint16_t)b->weight;
        atomic_store_explicit(&s->max_connections, b->max_connections, memory_order_relaxed);
        slot_set_weight(s, (uint16_t)b->weight);
        slot_set_oper(s, OPER_UP);
        slot_set_address(o->table, s, b->address.addr.len != 0 ? &b->address.addr : &any.addr);
        slots[n++] = s;
    }
    o->pool = pool_new(conf, 0, 1, slots, 1, o->epochs);
    free(slots);
}

static void offline_fini(struct offline *o)
{
    pool_free(&o->pool);
    table_free(&o->table);
    epoch_domain_free(&o->epochs);
}

/* ---- one backend ---- */

static const char *duration(struct explain_work *w, uint64_t us)
{
    uint64_t s = us / 1000000;

    if (s < 120)
        return explain_note(w, "%llus", (unsigned long long)s);
    if (s < 7200)
        return explain_note(w, "%llum", (unsigned long long)(s / 60));
    return explain_note(w, "%lluh", (unsigned long long)(s / 3600));
}

static const char *state_of(const struct backend_slot *s, const struct backend_word *word)
{
    static const char *const names[] = {
        [OPER_UNKNOWN] = "unknown", [OPER_UP] = "up",         [OPER_GOING_DOWN] = "up",
        [OPER_DOWN] = "down",       [OPER_GOING_UP] = "down",
    };

    if (word->admin & ADMIN_RMAINT)
        return "unresolved";
    if (word->admin & ADMIN_MAINT_MASK)
        return "maint";
    if (atomic_load_explicit(&s->address, memory_order_relaxed) == NULL)
        return "unresolved";
    if (word->oper == OPER_DOWN || word->oper == OPER_GOING_UP)
        return names[word->oper];
    if (word->ejected)
        return "ejected";
    return word->admin & ADMIN_DRAIN_MASK ? "drain" : names[word->oper];
}

/* Why it is as it is: what the last check saw, who took it out. */
static const char *reason_of(struct explain_work *w, const struct backend_slot *s,
                             const struct backend_word *word)
{
    struct backend_info info;

    slot_info(s, &info);
    const char *seen = info.desc[0] != '\0' ? info.desc : info.reason;
    const char *check = check_result_name((enum check_result)info.result);
    uint64_t down_us = info.down_since_us != 0 && w->world->wall_us > info.down_since_us
                           ? w->world->wall_us - info.down_since_us
                           : 0;

    if (word->admin & ADMIN_RMAINT)
        return "its name does not resolve";
    if (word->admin & (ADMIN_MAINT_MASK | ADMIN_DRAIN_MASK))
        return slot_reason(s)[0] != '\0' ? explain_str(w, str_of(slot_reason(s)))
               : word->admin & (ADMIN_CMAINT | ADMIN_IDRAIN) ? "by the configuration"
                                                             : "by a command on the stats socket";
    switch (word->oper) {
    case OPER_DOWN:
        return explain_note(
            w, "for %s: %s%s%s", duration(w, down_us), info.reason[0] != '\0' ? info.reason : seen,
            info.reason[0] != '\0' && strcmp(info.reason, seen) != 0 ? "; now " : "",
            info.reason[0] != '\0' && strcmp(info.reason, seen) != 0 ? seen : "");
    case OPER_GOING_UP:
        return explain_note(w, "%u of %u checks passed", info.health, info.rise);
    case OPER_GOING_DOWN:
        return explain_note(w, "%u of %u checks failed: %s %s",
                            info.rise + info.fall - 1u - info.health, info.fall, check, seen);
    case OPER_UNKNOWN:
        return "no check has ended yet";
    case OPER_UP:
        break;
    }
    if (word->ejected)
        return explain_note(w, "too many failed answers in a row");
    return word->set_weight == 0 ? "its weight is 0" : "";
}

static void add_backend(struct explain_work *w, const struct pool *pool, uint32_t i, bool live,
                        struct explain_backend *out)
{
    enum pool_tier tier = (enum pool_tier)atomic_load_explicit(&pool->tier, memory_order_relaxed);
    const struct backend_slot *s = pool->members[i].slot;
    const struct addr *address = atomic_load_explicit(&s->address, memory_order_acquire);
    struct backend_word word = slot_word(s);
    char text[ADDR_TEXT_MAX];

    *out = (struct explain_backend){
        .conf = &pool->conf->backends[i],
        .address = pool->conf->backends[i].address_text,
        .state = live ? state_of(s, &word) : "configured",
        .reason = reason_of(w, s, &word),
        .candidate = pool_tier_holds(tier, s),
        .weight = (double)word.weight / WEIGHT_SCALE,
        .set_weight = word.set_weight,
        .in_flight = atomic_load_explicit(&s->in_flight, memory_order_relaxed),
        .max_connections = atomic_load_explicit(&s->max_connections, memory_order_relaxed),
    };
    if (live && address != NULL)
        out->address = explain_str(w, str_of(addr_format(address, text)));
    if (!live)
        out->reason = word.set_weight == 0 ? "its weight is 0" : "";
    if (out->reason[0] == '\0' && !out->candidate && s->backup)
        out->reason = "a backup, for when no other is up";
    if (out->reason[0] == '\0' && live && s->backup && out->candidate)
        out->reason = "a backup: no other is up";
    if (live && tier == TIER_PANIC && out->candidate)
        out->reason = explain_note(w, "%s%sused as too many are down", out->reason,
                                   out->reason[0] != '\0' ? "; " : "");
}

/* ---- the choice ---- */

static const char *key_words(struct explain_work *w, const struct pool_conf *c)
{
    static const char *const keys[] = {
        [HASH_SOURCE] = "source", [HASH_PATH] = "path",     [HASH_URI] = "uri",
        [HASH_HOST] = "host",     [HASH_HEADER] = "header", [HASH_COOKIE] = "cookie",
        [HASH_QUERY] = "query",
    };

    return c->hash_name != NULL && c->hash_key >= HASH_HEADER
               ? explain_note(w, "%s:%s", keys[c->hash_key], c->hash_name)
               : keys[c->hash_key];
}

/* Whether the balancing alone says who it is. */
static bool is_certain(struct explain_work *w, const struct pool_conf *c, bool live,
                       const char **how)
{
    switch (c->balance.kind) {
    case BALANCE_HASH:
        *how = explain_note(w, "by hash of %s%s", key_words(w, c),
                            c->balance.load_bound_percent == 0 ? ""
                            : live                             ? ", as loads are now"
                                                               : ", as long as loads are even");
        return true;
    case BALANCE_FIRST:
        *how = live ? "the first with room, now" : "the first with room";
        return true;
    case BALANCE_LEAST_CONNECTIONS:
        *how = live ? "by least connections, now" : "by least connections";
        return live;
    case BALANCE_ROUND_ROBIN:
        *how = "in turn; each worker has a place of its own";
        return false;
    case BALANCE_RANDOM_TWO:
        *how = "the less loaded of two by chance";
        return false;
    case BALANCE_PEAK_EWMA:
        *how = "the quicker of two by chance";
        return false;
    }
    *how = "";
    return false;
}

static enum pick_result pick(struct explain_work *w, const struct pool *pool,
                             struct backend_slot **out)
{
    const struct pool_view *view = atomic_load_explicit(&pool->view, memory_order_acquire);
    struct balancer_cursor cursor = {0};
    const struct pick p = {
        .key = request_hash_key(pool->conf, &w->head, w->host, w->path.text, &w->client),
        .rng = &w->rng,
        .now_us = w->world->wall_us,
    };

    enum pick_result r = balancer_pick(view->plan, &cursor, &p, out);
    balancer_cursor_fini(&cursor);
    return r;
}

static void choose(struct explain_work *w, const struct pool *pool, bool live,
                   struct explain_pool *out)
{
    struct backend_slot *slot = NULL;
    bool certain = is_certain(w, pool->conf, live, &out->how);
    enum pick_result r = pick(w, pool, &slot);

    out->none = r == PICK_NONE;
    out->full = r == PICK_FULL;
    if (r == PICK_OK && (certain || out->n_candidates == 1))
        out->pick = slot->name;
    if (r == PICK_OK && !certain && out->n_candidates == 1)
        out->how = "the only one";
}

/* True: the cookie decides. */
static bool follow_cookie(struct explain_work *w, const struct pool *pool, bool live,
                          struct explain_pool *out)
{
    const char *cookie = pool->conf->http.sticky->cookie;
    char in;

    bool ours = stick_sets_cookie(pool->stick);

    uint32_t member = request_cookie(pool->stick, pool->conf, &w->head, &in);
    if (member == STICK_NONE) {
        if (!ours)
            out->sticky = explain_note(w, "no %s that names a backend", cookie);
        else if (in != COOKIE_IN_INVALID)
            out->sticky = explain_note(w, "no cookie %s: one is set", cookie);
        else if (!live && pool->conf->http.sticky->secret == NULL)
            out->sticky = explain_note(
                w, "cookie %s cannot be read: sticky.secret is not set, so only the process knows",
                cookie);
        else
            out->sticky = explain_note(w, "cookie %s names no backend: one is set anew", cookie);
        return false;
    }
    const struct backend_slot *s = pool->members[member].slot;
    if (!seek_may_use_wanted(s)) {
        out->sticky = explain_note(w, "%s %s names %s, which cannot take it: another is chosen%s",
                                   ours ? "cookie" : "session", cookie, s->name,
                                   ours ? " and the cookie renewed" : "");
        return false;
    }
    out->sticky = explain_note(w, "%s %s names %s", ours ? "cookie" : "session", cookie, s->name);
    out->pick = pool->conf->backends[member].name;
    out->how = ours ? "by its cookie" : "by its session";
    out->full = !slot_has_room(s);
    return true;
}

void explain_pool(struct explain_work *w, const struct pool_conf *conf, struct pool *live,
                  uint32_t share)
{
    struct explain_pool *out = &w->e->pools[w->e->n_pools++];
    struct offline offline = {0};
    struct pool *pool = live;

    *out = (struct explain_pool){.conf = conf, .share = share, .how = ""};
    if (w->world->without_backends)
        return;
    if (live == NULL) {
        offline_init(&offline, conf);
        pool = offline.pool;
    }
    out->backends = explain_keep(w, xcalloc(conf->n_backends + 1, sizeof(*out->backends)));
    for (uint32_t i = 0; i < conf->n_backends; i++) {
        add_backend(w, pool, i, live != NULL, &out->backends[i]);
        out->n_candidates += out->backends[i].candidate;
    }
    if (pool->stick == NULL || !follow_cookie(w, pool, live != NULL, out))
        choose(w, pool, live != NULL, out);
    if (out->pick != NULL)
        out->pick = explain_str(w, str_of(out->pick)); /* may be the slot's */
    if (live != NULL && atomic_load_explicit(&pool->kept->waiting, memory_order_relaxed) > 0)
        out->full = !out->none;
    if (live == NULL)
        offline_fini(&offline);
}
