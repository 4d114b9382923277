/* edits.c - see edits.h */
#include "lb/main/edits.h"

#include "health/table.h"
#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/config/overlay.h"
#include "lb/config/variant.h"
#include "lb/main/process.h"
#include "lb/main/snapshot.h"
#include "lb/obs/events.h"
#include "lb/upstream/pool.h"

#include <stdlib.h>
#include <string.h>

static struct edit *edit_new(enum edit_kind kind, const char *pool, const char *name)
{
    struct edit *e = xcalloc(1, sizeof(*e));

    list_init(&e->node);
    e->kind = kind;
    e->pool = xstrdup(pool);
    e->name = xstrdup(name);
    return e;
}

struct edit *edit_add(const char *pool, struct conf *memory, const struct backend_conf *backend)
{
    struct edit *e = edit_new(EDIT_ADD, pool, backend->name);

    e->memory = memory;
    e->backend = backend;
    return e;
}

struct edit *edit_remove(const char *pool, const char *name, const char *was)
{
    struct edit *e = edit_new(EDIT_REMOVE, pool, name);

    e->was = was != NULL ? xstrdup(was) : NULL;
    return e;
}

void edit_free(struct edit **edit)
{
    struct edit *e = *edit;

    *edit = NULL;
    if (e == NULL)
        return;
    list_remove(&e->node);
    conf_free(&e->memory);
    free(e->pool);
    free(e->name);
    free(e->was);
    free(e);
}

void edits_init(struct process *p)
{
    list_init(&p->edits.list);
}

void edits_fini(struct process *p)
{
    overlay_free(&p->edits.overlay);
    overlay_free(&p->edits.next);
    strbuf_fini(&p->edits.notes);
    list_for_each_safe (node, next, &p->edits.list) {
        struct edit *e = list_entry(node, struct edit, node);
        edit_free(&e);
    }
    if (p->edits.base != NULL)
        conf_held_unref(&p->edits.base);
}

static bool is_for(const struct edit *e, enum edit_kind kind, const char *pool, const char *name)
{
    return e->kind == kind && strcmp(e->pool, pool) == 0 && strcmp(e->name, name) == 0;
}

struct edit *edits_find(const struct process *p, enum edit_kind kind, const char *pool,
                        const char *name)
{
    list_for_each (node, &p->edits.list) {
        struct edit *e = list_entry(node, struct edit, node);
        if (is_for(e, kind, pool, name) && e->lapsed == NULL && !e->replaced)
            return e;
    }
    return NULL;
}

/* The words are those that HAProxy's users look for. */
bool edits_allowed(const struct process *p, const struct edit *e, struct strbuf *why)
{
    const struct live_pool *lp = snapshot_pool_named(p->snapshot, e->pool);
    const struct backend_slot *slot = table_find(p->table, e->pool, e->name);
    uint32_t busy = 0;

    if (slot != NULL && lp != NULL && !live_pool_has(lp, slot))
        slot = NULL;
    if (slot != NULL)
        busy = atomic_load(&slot->in_flight);
    if (p->handoff != NULL)
        strbuf_add_cstr(why, "Another process is about to take this one's place: ask that.\n");
    else if (lp == NULL)
        strbuf_add_cstr(why, "No such backend.\n");
    else if (e->kind == EDIT_ADD && slot != NULL)
        strbuf_add_cstr(why, "Already exists a server with the same name in backend.\n");
    else if (e->kind == EDIT_REMOVE && slot == NULL)
        strbuf_add_cstr(why, "No such server.\n");
    else if (e->kind == EDIT_REMOVE && (slot_word(slot).admin & ADMIN_MAINT_MASK) == 0)
        strbuf_add_cstr(why, "Only servers in maintenance mode can be deleted.\n");
    else if (e->kind == EDIT_REMOVE && busy > 0)
        strbuf_addf(why,
                    "Server still has connections attached to it, cannot remove it (%u of them: "
                    "wait srv-removable, or shutdown sessions server).\n",
                    busy);
    else if (e->kind == EDIT_REMOVE && lp->pool->n_members == 1)
        strbuf_add_cstr(why, "The last server of a backend cannot be removed; maintenance keeps it "
                             "from traffic.\n");
    return why->len == 0;
}

/* ---- applying ---- */

static const struct pool_conf *pool_named(const struct conf *conf, const char *name)
{
    for (uint32_t i = 0; i < conf->n_pools; i++)
        if (strcmp(conf->pools[i].name, name) == 0)
            return &conf->pools[i];
    return NULL;
}

static const struct backend_conf *backend_named(const struct pool_conf *pool, const char *name)
{
    for (uint32_t i = 0; i < pool->n_backends; i++)
        if (strcmp(pool->backends[i].name, name) == 0)
            return &pool->backends[i];
    return NULL;
}

const struct backend_conf *edits_of_file(const struct process *p, const char *pool,
                                         const char *name)
{
    const struct pool_conf *conf = pool_named(p->edits.base->conf, pool);

    return conf != NULL ? backend_named(conf, name) : NULL;
}

/* Whether the backend of the file is to go. */
static bool removed(const struct process *p, const struct edit *more, const char *pool,
                    const char *name)
{
    const struct edit *e = edits_find(p, EDIT_REMOVE, pool, name);

    return e != NULL || (more != NULL && is_for(more, EDIT_REMOVE, pool, name));
}

static const char *why_lapsed(const struct process *p, const struct edit *e,
                              const struct conf *conf)
{
    const struct pool_conf *pool = pool_named(conf, e->pool);
    const struct backend_conf *b = pool != NULL ? backend_named(pool, e->name) : NULL;

    if (e->replaced)
        return "";
    if (pool == NULL)
        return "its pool is not in the file any more";
    if (e->kind == EDIT_REMOVE && b == NULL)
        return "is not in the file any more";
    if (e->kind == EDIT_REMOVE && e->was != NULL && strcmp(e->was, b->address_text) != 0)
        return "was removed at run time, but its address in the file is another one now: the file "
               "wins";
    if (e->kind == EDIT_ADD && b != NULL && !removed(p, NULL, e->pool, e->name))
        return "was added at run time and is in the file now: the file wins";
    return NULL;
}

/* What holds with the configuration that is being built. */
static const struct overlay *overlay_of(const struct process *p)
{
    return p->edits.reading ? p->edits.next : p->edits.overlay;
}

static bool is_touched(const struct process *p, const struct edit *more, const char *pool)
{
    const struct overlay *o = overlay_of(p);

    for (uint32_t i = 0; o != NULL && i < o->n; i++)
        if (strcmp(o->entries[i].pool, pool) == 0)
            return true;
    list_for_each (node, &p->edits.list) {
        const struct edit *e = list_entry(node, struct edit, node);
        if (e->lapsed == NULL && strcmp(e->pool, pool) == 0)
            return true;
    }
    return more != NULL && strcmp(more->pool, pool) == 0;
}

static void add_of_file(struct process *p, const struct pool_conf *pool,
                        const struct backend_conf *b, struct backend_list *out,
                        struct backend_conf *items)
{
    const struct overlay_entry *e = overlay_find(overlay_of(p), pool->name, b->name);
    struct strbuf ignored = {0};

    items[out->n] = *b;
    if (e != NULL && !e->added && !e->removed)
        overlay_apply(e, &items[out->n], p->edits.reading ? &p->edits.notes : &ignored);
    out->n++;
    strbuf_fini(&ignored);
}

/* The file's that stay, then what was added, in its order. */
static void list_backends(struct process *p, const struct edit *more, const struct pool_conf *pool,
                          struct backend_list *out)
{
    uint32_t room = pool->n_backends + 1;

    list_for_each (node, &p->edits.list)
        room++;
    struct backend_conf *items = xcalloc(room, sizeof(*items));
    out->items = items;
    out->n = 0;
    for (uint32_t i = 0; i < pool->n_backends; i++)
        if (!removed(p, more, pool->name, pool->backends[i].name))
            add_of_file(p, pool, &pool->backends[i], out, items);
    list_for_each (node, &p->edits.list) {
        const struct edit *e = list_entry(node, struct edit, node);
        bool goes = more != NULL && is_for(more, EDIT_REMOVE, e->pool, e->name);
        if (e->kind == EDIT_ADD && e->lapsed == NULL && !goes && strcmp(e->pool, pool->name) == 0)
            items[out->n++] = *e->backend;
    }
    if (more != NULL && more->kind == EDIT_ADD && strcmp(more->pool, pool->name) == 0)
        items[out->n++] = *more->backend;
}

/* A pool is never empty. */
static void lapse_removals(const struct process *p, const char *pool)
{
    list_for_each (node, &p->edits.list) {
        struct edit *e = list_entry(node, struct edit, node);
        if (e->kind == EDIT_REMOVE && strcmp(e->pool, pool) == 0)
            e->lapsed = "was removed at run time, but without it its pool is empty now";
    }
}

struct conf_held *edits_apply(struct process *p, struct conf_held *base, struct edit *more)
{
    const struct conf *conf = base->conf;
    struct backend_list *lists = xcalloc(conf->n_pools + 1, sizeof(*lists));
    bool any = false;

    for (int pass = 0; pass < 2; pass++) { /* whether one is added depends on the removed */
        list_for_each (node, &p->edits.list) {
            struct edit *e = list_entry(node, struct edit, node);
            if ((e->kind == EDIT_REMOVE) == (pass == 0))
                e->lapsed = why_lapsed(p, e, conf);
        }
    }
    for (uint32_t i = 0; i < conf->n_pools; i++) {
        if (!is_touched(p, more, conf->pools[i].name))
            continue;
        list_backends(p, more, &conf->pools[i], &lists[i]);
        if (lists[i].n == 0) {
            free((void *)lists[i].items);
            lapse_removals(p, conf->pools[i].name);
            list_backends(p, NULL, &conf->pools[i], &lists[i]);
        }
        any = true;
    }
    struct conf_held *result =
        any ? conf_held_variant(base, conf_with_backends(conf, lists)) : conf_held_ref(base);
    for (uint32_t i = 0; i < conf->n_pools; i++)
        free((void *)lists[i].items);
    free(lists);
    return result;
}

static void lapse(struct edit *e, struct strbuf *told)
{
    if (e->replaced) {
        edit_free(&e);
        return;
    }
    events_log_backend(EVENT_CHANGE, LOG_LEVEL_INFO, e->pool, e->name, "backend %s/%s: %s", e->pool,
                       e->name, e->lapsed);
    strbuf_addf(told, "backend %s/%s: %s\n", e->pool, e->name, e->lapsed);
    edit_free(&e);
}

void edits_commit(struct process *p, struct conf_held *base, struct edit **more,
                  struct strbuf *told)
{
    struct edit *e = *more;

    *more = NULL;
    list_for_each_safe (node, next, &p->edits.list) {
        struct edit *each = list_entry(node, struct edit, node);
        each->fresh = false;
        if (each->lapsed != NULL)
            lapse(each, told);
    }
    if (p->edits.reading) {
        overlay_free(&p->edits.overlay);
        p->edits.overlay = p->edits.next;
        p->edits.next = NULL;
        p->edits.reading = p->edits.broken = false;
    }
    strbuf_add_str(told, strbuf_str(&p->edits.notes));
    edits_tell(p);
    if (p->edits.base != base) {
        conf_held_ref(base);
        if (p->edits.base != NULL)
            conf_held_unref(&p->edits.base);
        p->edits.base = base;
    }
    if (e == NULL)
        return;
    struct edit *added = edits_find(p, EDIT_ADD, e->pool, e->name);
    if (e->kind == EDIT_REMOVE && added != NULL) {
        edit_free(&added);
        edit_free(&e);
        return;
    }
    if (e->kind == EDIT_REMOVE && e->was == NULL) {
        const struct pool_conf *pool = pool_named(base->conf, e->pool);
        e->was = xstrdup(backend_named(pool, e->name)->address_text);
    }
    list_push_back(&p->edits.list, &e->node);
}

/* ---- the overlay ---- */

static void add_fresh(struct process *p, struct edit *e)
{
    e->saved = e->fresh = true;
    list_push_back(&p->edits.list, &e->node);
}

/* One that was added: all that the overlay does not say has its default. */
static struct edit *edit_of_entry(const struct overlay_entry *e)
{
    struct strbuf text = {0}, errors = {0};
    const struct backend_conf *b;
    struct edit *edit = NULL;

    overlay_print_backend(e, &text);
    struct conf *memory = conf_load_backend(e->b.file, text.p, &b, &errors);
    if (memory != NULL) /* its parts have been checked */
        edit = edit_add(e->pool, memory, b);
    strbuf_fini(&text);
    strbuf_fini(&errors);
    return edit;
}

static bool same_kind(const struct overlay_entry *a, const struct overlay_entry *b)
{
    return a != NULL && a->added == b->added && a->removed == b->removed;
}

/* What the overlay says, but for what was undone at run time since it was read last. */
static void take_entry(struct process *p, const struct overlay_entry *e)
{
    const char *pool = e->pool, *name = e->b.name;
    bool known = same_kind(overlay_find(p->edits.overlay, pool, name), e);
    struct edit *added = edits_find(p, EDIT_ADD, pool, name);
    struct edit *gone = edits_find(p, EDIT_REMOVE, pool, name), *fresh;

    if ((e->removed || (e->added && e->was.address != NULL)) && gone == NULL && !known)
        add_fresh(p, edit_remove(pool, name, e->was.address != NULL ? e->was.address : ""));
    if (!e->added || (added == NULL && known) || (added != NULL && !added->saved))
        return;
    if ((fresh = edit_of_entry(e)) == NULL)
        return;
    if (added != NULL)
        added->replaced = true;
    add_fresh(p, fresh);
}

/* What the overlay does not say any more. */
static void drop_missing(struct process *p)
{
    list_for_each (node, &p->edits.list) {
        struct edit *e = list_entry(node, struct edit, node);
        const struct overlay_entry *now = overlay_find(p->edits.next, e->pool, e->name);
        if (!e->saved || e->fresh)
            continue;
        if (now == NULL ||
            (e->kind == EDIT_ADD ? !now->added
                                 : !now->removed && !(now->added && now->was.address)))
            e->replaced = true;
    }
}

static void note_unknown(struct process *p, const struct conf *conf)
{
    const struct overlay *o = p->edits.next;

    for (uint32_t i = 0; o != NULL && i < o->n; i++) {
        const struct overlay_entry *e = &o->entries[i];
        const struct pool_conf *pool = pool_named(conf, e->pool);
        if (pool == NULL || (!e->added && backend_named(pool, e->b.name) == NULL))
            strbuf_addf(
                &p->edits.notes,
                "%s:%d: warning: backends[%s/%s]: the configuration has no such %s: this is "
                "ignored\n",
                e->b.file, e->b.line, e->pool, e->b.name, pool == NULL ? "pool" : "backend");
    }
}

bool edits_read(struct process *p, const struct conf *conf, struct strbuf *errors)
{
    size_t before = errors->len;

    strbuf_clear(&p->edits.notes);
    p->edits.next = conf->overlay != NULL ? overlay_load(conf->overlay, errors) : NULL;
    if (p->edits.next == NULL && errors->len > before)
        return false;
    p->edits.reading = true;
    list_for_each (node, &p->edits.list)
        list_entry(node, struct edit, node)->lapsed = NULL;
    drop_missing(p);
    for (uint32_t i = 0; p->edits.next != NULL && i < p->edits.next->n; i++)
        take_entry(p, &p->edits.next->entries[i]);
    note_unknown(p, conf);
    return true;
}

void edits_rollback(struct process *p)
{
    overlay_free(&p->edits.next);
    p->edits.reading = false;
    strbuf_clear(&p->edits.notes);
    list_for_each_safe (node, next, &p->edits.list) {
        struct edit *e = list_entry(node, struct edit, node);
        e->replaced = false;
        e->lapsed = NULL;
        if (e->fresh)
            edit_free(&e);
    }
}

void edits_tell(struct process *p)
{
    for (struct str rest = strbuf_str(&p->edits.notes), line;
         (line = str_word(&rest, "\n")).len > 0;)
        log_msg(str_contains(line, STR(": warning: ")) ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, STR_FMT,
                STR_ARG(line));
    strbuf_clear(&p->edits.notes);
}

struct conf_held *edits_start(struct process *p, const struct conf *conf)
{
    struct strbuf errors = {0}, told = {0}, notes = {0};
    struct edit *none = NULL;
    struct conf_held *base = conf_held_new(conf, NULL);

    if (!edits_read(p, conf, &errors)) {
        p->edits.broken = true;
        strbuf_add_str(&notes, strbuf_str(&errors));
        strbuf_addf(&notes,
                    "%s: error: the overlay is left out until it is mended and read again "
                    "by a reload\n",
                    conf->overlay);
    }
    struct conf_held *held = edits_apply(p, base, NULL);
    strbuf_add_str(&notes, strbuf_str(&p->edits.notes));
    strbuf_clear(&p->edits.notes);
    edits_commit(p, base, &none, &told);
    strbuf_add_str(&p->edits.notes, strbuf_str(&notes)); /* for when the log is open */
    strbuf_fini(&notes);
    strbuf_fini(&errors);
    strbuf_fini(&told);
    conf_held_unref(&base);
    return held;
}
