/* reload.c - see reload.h */
#include "lb/main/reload.h"

#include "lb/admin/control.h"
#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/config/conf.h"
#include "lb/main/admin_glue.h"
#include "lb/main/adoption.h"
#include "lb/main/backends.h"
#include "lb/main/backends_later.h"
#include "lb/main/checker_thread.h"
#include "lb/main/conf_tests.h"
#include "lb/main/edits.h"
#include "lb/main/process.h"
#include "lb/main/reload_global.h"
#include "lb/main/resolve.h"
#include "lb/main/snapshot.h"
#include "lb/main/systemd.h"
#include "lb/main/tls_store.h"
#include "lb/obs/events.h"
#include "lb/upstream/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Who wants a reload, or an edit. */
struct wish {
    struct list node;
    struct edit *edit; /* NULL: a reload */
    reload_done_fn *done;
    void *arg;
};

/* A file that may come into force, when the names that it brings have been looked up. */
struct pending {
    struct process *process;
    struct timer limit;
    struct conf_held *base;
    struct snapshot *snapshot;
    struct adoption *adoption;
    struct reload_global global;
};

struct reload {
    struct list wishes;  /* for the next one */
    struct list granted; /* by the one that is under way */
    struct adoption *adoption;
    struct strbuf told;
    struct backends_later later; /* when workers have taken it up */
    struct pending *pending;     /* waits for names; NULL: nothing does */
    bool running;                /* or held */
    bool held;                   /* until reload_begin(): workers do not listen yet */
    bool editing;                /* what runs is an edit */
};

#define NAMES_MS 2000 /* that a reload waits for names, at most */

static void run(struct process *p);

/* ---- answers ---- */

static void answer(struct process *p, bool good, const char *text)
{
    struct list *node;

    while ((node = list_pop_front(&p->reload->granted)) != NULL) {
        struct wish *w = list_entry(node, struct wish, node);
        if (w->done != NULL)
            w->done(w->arg, good, text);
        edit_free(&w->edit);
        free(w);
    }
}

static void log_errors(const struct strbuf *errors)
{
    for (struct str rest = strbuf_str(errors), line; rest.len > 0;) {
        line = str_word(&rest, "\n");
        if (line.len == 0)
            break;
        bool warning = str_contains(line, STR(": warning: "));
        log_msg(warning ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, STR_FMT, STR_ARG(line));
    }
}

static void tell_reloading(const struct process *p)
{
    struct timespec now;
    char text[96];

    if (!p->told_ready) /* it still says how the start goes */
        return;

    clock_gettime(CLOCK_MONOTONIC, &now); /* systemd wants this clock */
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
    systemd_notify(text);
}

static void over(struct process *p, bool good)
{
    struct strbuf *told = &p->reload->told;

    if (p->told_ready && !p->reload->editing)
        systemd_notify("READY=1");
    answer(p, good, told->p != NULL ? told->p : "");
    strbuf_clear(told);
    p->reload->running = false;
    if (!list_empty(&p->reload->wishes))
        run(p);
}

static void refuse(struct process *p, struct strbuf *errors)
{
    uint32_t lines = 0;

    for (size_t i = 0; i < errors->len; i++)
        lines += errors->p[i] == '\n';
    log_errors(errors);
    events_log(EVENT_RELOAD, LOG_LEVEL_ERROR, NULL,
               "reload refused, nothing has changed: %u line%s above say%s why", lines,
               lines == 1 ? "" : "s", lines == 1 ? "s" : "");
    strbuf_clear(&p->reload->told);
    strbuf_add_str(&p->reload->told, strbuf_str(errors));
    over(p, false);
}

/* ---- in words ---- */

static void count_listeners(const struct snapshot *old, const struct snapshot *new, uint32_t *added,
                            uint32_t *changed, uint32_t *removed)
{
    *added = *changed = *removed = 0;
    for (uint32_t i = 0; i < new->conf->conf->n_listeners; i++) {
        const struct live_listener *ll = new->listeners[i];
        if (snapshot_listener_named(old, ll->l.conf->name) == NULL)
            (*added)++;
        else if (!snapshot_has_listener(old, ll))
            (*changed)++;
    }
    for (uint32_t i = 0; i < old->conf->conf->n_listeners; i++)
        *removed += snapshot_listener_named(new, old->listeners[i]->l.conf->name) == NULL;
}

static void count_pools(const struct snapshot *old, const struct snapshot *new, uint32_t *added,
                        uint32_t *changed, uint32_t *removed)
{
    *added = *changed = *removed = 0;
    for (uint32_t i = 0; i < new->conf->conf->n_pools; i++) {
        const struct live_pool *lp = new->pools[i];
        if (snapshot_pool_named(old, lp->pool->name) == NULL)
            (*added)++;
        else if (!snapshot_has_pool(old, lp))
            (*changed)++;
    }
    for (uint32_t i = 0; i < old->conf->conf->n_pools; i++)
        *removed += snapshot_pool_named(new, old->pools[i]->pool->name) == NULL;
}

static void describe(struct strbuf *out, const char *what, uint32_t added, uint32_t changed,
                     uint32_t removed)
{
    if (added + changed + removed == 0)
        return;
    strbuf_addf(out, "%s%s:", out->len > 0 ? "; " : "", what);
    if (added > 0)
        strbuf_addf(out, " %u added", added);
    if (changed > 0)
        strbuf_addf(out, "%s %u changed", added > 0 ? "," : "", changed);
    if (removed > 0)
        strbuf_addf(out, "%s %u removed", added + changed > 0 ? "," : "", removed);
}

/* What of the global settings this process cannot take up. */
static void warn_restart(struct process *p, const struct conf *new, const char *file)
{
    struct strbuf names = {0};

    /* With what we started with: that is what runs, however often the file has changed since. */
    conf_restart_changes(p->first->conf, new, &names);
    for (struct str rest = strbuf_str(&names), line; (line = str_word(&rest, "\n")).len > 0;) {
        struct str name = str_word(&line, " "), place = line.len > 0 ? line : str_of(file);
        log_warn(STR_FMT
                 ": warning: " STR_FMT
                 ": is not what runs, and takes effect with a restart or an upgrade (-x) only",
                 STR_ARG(place), STR_ARG(name));
        strbuf_addf(&p->reload->told,
                    STR_FMT ": warning: " STR_FMT
                            ": takes effect with a restart or an upgrade (-x) only\n",
                    STR_ARG(place), STR_ARG(name));
    }
    strbuf_fini(&names);
}

/* ---- one reload ---- */

static void take_settings(struct process *p)
{
    const char *why;
    struct log_sink *sink = log_targets_get(&p->logs, p->conf->log.output, &why);

    log_set_level(p->conf->log.level);
    if (sink != NULL)
        log_set_sink(sink);
    else
        log_warn("log.output = \"%s\": %s: stays as it was", p->conf->log.output, why);
    process_set_max_connections(p);
}

static void adopted(struct process *p)
{
    p->reload->adoption = NULL;
    backends_later_apply(&p->reload->later, checker_thread_checker(p->checker));
    live_sweep(p);
    over(p, true);
}

static void send_out(struct process *p, struct adoption *a)
{
    p->reload->adoption = a;
    adoption_send(p, a, adopted);
}

/* From here on nothing fails. */
static void publish(struct process *p, struct snapshot *new, struct adoption *a,
                    struct backends_changes *changes)
{
    struct snapshot *old = p->snapshot;

    adoption_list(a, old, new);
    snapshot_install(p, new);
    adoption_begin(a);
    changes->later = &p->reload->later;
    backends_change(p, old, changes);
    adoption_watch(p, a);
    snapshot_free(&old);
    admin_glue_follow(p);
}

static void publish_file(struct process *p, struct snapshot *new, struct adoption *a,
                         struct reload_global *global)
{
    struct snapshot *old = p->snapshot;
    struct strbuf words = {0}, *told = &p->reload->told;
    struct backends_changes changes = {.told = told};
    uint32_t l[3], n[3];

    count_listeners(old, new, &l[0], &l[1], &l[2]);
    count_pools(old, new, &n[0], &n[1], &n[2]);
    warn_restart(p, new->conf->conf, p->from);
    publish(p, new, a, &changes);
    reload_global_commit(p, global, p->conf);
    take_settings(p);
    adoption_unbind_old(p);
    tls_store_reload(p->tls);
    describe(&words, "listeners", l[0], l[1], l[2]);
    describe(&words, "pools", n[0], n[1], n[2]);
    describe(&words, "backends", changes.added, 0, changes.removed);
    const char *text = words.len > 0 ? words.p : "settings of the process";
    events_log(EVENT_RELOAD, LOG_LEVEL_INFO, NULL, "reloaded from %s: %s", p->from, text);
    strbuf_addf(told, "reloaded: %s\n", text);
    strbuf_fini(&words);
    send_out(p, a);
}

static bool same_text(const struct conf *a, const struct conf *b)
{
    struct strbuf x = {0}, y = {0};

    conf_dump(a, &x);
    conf_dump(b, &y);
    bool same = str_eq(strbuf_str(&x), strbuf_str(&y));
    strbuf_fini(&x);
    strbuf_fini(&y);
    return same;
}

static bool same_objects(const struct snapshot *a, const struct snapshot *b)
{
    const struct conf *x = a->conf->conf, *y = b->conf->conf;

    if (x->n_pools != y->n_pools || x->n_listeners != y->n_listeners)
        return false;
    for (uint32_t i = 0; i < x->n_pools; i++)
        if (a->pools[i] != b->pools[i])
            return false;
    for (uint32_t i = 0; i < x->n_listeners; i++)
        if (a->listeners[i] != b->listeners[i])
            return false;
    return same_text(x, y);
}

static void nothing_changed(struct process *p, struct snapshot *s)
{
    snapshot_drop(p, &s);
    events_log(EVENT_RELOAD, LOG_LEVEL_INFO, NULL, "reload of %s: nothing has changed", p->from);
    strbuf_add_cstr(&p->reload->told, "nothing has changed\n");
    over(p, true);
}

/* Everything that can fail. */
static struct snapshot *build(struct process *p, struct conf_held *base, struct edit *edit,
                              struct strbuf *errors)
{
    struct conf_held *conf = edits_apply(p, base, edit);
    struct snapshot *s = snapshot_build(p, conf, errors);

    conf_held_unref(&conf);
    if (s != NULL && backends_prepare(p, s, errors) < 0)
        snapshot_drop(p, &s);
    return s;
}

/* NULL: something is wrong with it. */
static struct conf_held *read_file(struct process *p, struct strbuf *errors)
{
    char why[KEEPER_TEXT_MAX];

    bool refreshed = keeper_refresh(&p->keeper, why);
    struct conf *conf = conf_load(p->from, errors);
    bool denied = conf == NULL && str_contains(strbuf_str(errors), str_of(strerror(EACCES)));
    if (!refreshed && conf != NULL)
        log_warn("the keeper: %s", why);
    else if (!refreshed && denied)
        strbuf_addf(errors, "the keeper: %s\n", why);
    else if (denied)
        strbuf_add_cstr(errors, hardening_hint(&p->hardening));
    if (conf == NULL)
        return NULL;
    struct conf_held *held = conf_held_new(conf, conf);
    if (conf_tests_run(conf, errors) > 0 || !hardening_allows(&p->hardening, conf, p->from, errors))
        conf_held_unref(&held);
    return held;
}

/* What else can fail: of the surroundings. */
static bool prepare(struct process *p, struct adoption *a, const struct snapshot *s,
                    struct reload_global *global, struct strbuf *errors)
{
    if (!adoption_plan_tls(p, a, s, errors) ||
        !reload_global_prepare(p, global, s->conf->conf, errors))
        return false;
    if (adoption_bind(p, a, s, errors))
        return true;
    reload_global_undo(p, global);
    return false;
}

static void drop_pending(struct process *p)
{
    struct pending *w = p->reload->pending;

    p->reload->pending = NULL;
    if (w == NULL)
        return;
    timer_stop(&p->loop.timers, &w->limit);
    if (p->resolve != NULL)
        resolve_ahead_end(p->resolve);
    adoption_free(&w->adoption);
    snapshot_drop(p, &w->snapshot);
    edits_rollback(p);
    reload_global_undo(p, &w->global);
    conf_held_unref(&w->base);
    free(w);
}

static void commit_file(struct process *p)
{
    struct pending *w = p->reload->pending;
    struct edit *none = NULL;

    p->reload->pending = NULL;
    timer_stop(&p->loop.timers, &w->limit);
    edits_commit(p, w->base, &none, &p->reload->told);
    keeper_commit(&p->keeper);
    publish_file(p, w->snapshot, w->adoption, &w->global);
    if (p->resolve != NULL)
        resolve_ahead_end(p->resolve);
    conf_held_unref(&w->base);
    free(w);
}

static void named(void *ctx)
{
    struct process *p = ctx;

    if (p->phase == PHASE_RUNNING) {
        commit_file(p);
        return;
    }
    drop_pending(p);
    strbuf_add_cstr(&p->reload->told, "The process is ending.\n");
    over(p, false);
}

static void on_names_limit(struct timer *t)
{
    struct pending *w = container_of(t, struct pending, limit);

    log_warn("reload: not all names of backends were answered within %u ms: the others get no "
             "traffic until they are",
             NAMES_MS);
    named(w->process);
}

/* A backend whose name is not known yet would be of no use to those who find nobody else in its
 * pool. */
static void when_named(struct process *p, struct pending what)
{
    struct pending *w = xmalloc(sizeof(*w));

    *w = what;
    p->reload->pending = w;
    timer_init(&w->limit, on_names_limit);
    backends_name_ahead(p, w->snapshot);
    if (p->resolve != NULL && resolve_ahead_wait(p->resolve, named, p))
        timer_start(&p->loop.timers, &w->limit, loop_now_ms(&p->loop) + NAMES_MS);
    else
        commit_file(p);
}

static void run_reload(struct process *p)
{
    struct strbuf errors = {0};
    struct adoption *a;
    struct reload_global global;
    struct edit *none = NULL;

    tell_reloading(p);
    struct conf_held *base = read_file(p, &errors);
    struct snapshot *s = NULL;
    if (base != NULL && edits_read(p, base->conf, &errors))
        s = build(p, base, NULL, &errors);
    if (s == NULL) {
        edits_rollback(p);
        if (base != NULL)
            conf_held_unref(&base);
        refuse(p, &errors);
        strbuf_fini(&errors);
        return;
    }
    a = adoption_new(p);
    if (same_objects(p->snapshot, s)) {
        adoption_free(&a);
        tls_store_reload(p->tls);
        edits_commit(p, base, &none, &p->reload->told);
        keeper_commit(&p->keeper);
        nothing_changed(p, s);
    } else if (!prepare(p, a, s, &global, &errors)) {
        adoption_free(&a);
        snapshot_drop(p, &s);
        edits_rollback(p);
        refuse(p, &errors);
    } else {
        log_errors(&errors); /* warnings */
        strbuf_add_str(&p->reload->told, strbuf_str(&errors));
        when_named(
            p, (struct pending){p, .base = base, .snapshot = s, .adoption = a, .global = global});
        base = NULL;
    }
    if (base != NULL)
        conf_held_unref(&base);
    strbuf_fini(&errors);
}

static void refuse_edit(struct process *p, const struct strbuf *errors)
{
    strbuf_clear(&p->reload->told);
    strbuf_add_str(&p->reload->told, strbuf_str(errors));
    over(p, false);
}

static void publish_edit(struct process *p, struct snapshot *s, struct adoption *a,
                         struct edit **edit)
{
    bool added = (*edit)->kind == EDIT_ADD;
    struct strbuf told = {0};
    struct backends_changes changes = {.told = &told};

    edits_commit(p, p->edits.base, edit, &told);
    publish(p, s, a, &changes);
    strbuf_fini(&told); /* it is in the log */
    strbuf_add_cstr(&p->reload->told, added ? "New server registered.\n" : "Server deleted.\n");
    send_out(p, a);
}

static void run_edit(struct process *p, struct edit **edit)
{
    struct strbuf errors = {0};
    struct adoption *a = adoption_new(p);
    struct snapshot *s = NULL;

    if (edits_allowed(p, *edit, &errors))
        s = build(p, p->edits.base, *edit, &errors);
    if (s != NULL && adoption_plan_tls(p, a, s, &errors) && adoption_bind(p, a, s, &errors)) {
        publish_edit(p, s, a, edit);
    } else {
        adoption_free(&a);
        if (s != NULL)
            snapshot_drop(p, &s);
        refuse_edit(p, &errors);
    }
    strbuf_fini(&errors);
}

/* Edits one by one, reloads that wait in a row as one. */
static void run(struct process *p)
{
    struct reload *r = p->reload;
    struct wish *first = list_entry(r->wishes.next, struct wish, node);

    r->running = true;
    r->editing = first->edit != NULL;
    do {
        struct wish *w = list_entry(list_pop_front(&r->wishes), struct wish, node);
        list_push_back(&r->granted, &w->node);
    } while (!r->editing && !list_empty(&r->wishes) &&
             list_entry(r->wishes.next, struct wish, node)->edit == NULL);
    if (r->editing)
        run_edit(p, &first->edit);
    else
        run_reload(p);
}

/* ---- public ---- */

static struct wish *new_wish(struct edit *edit, reload_done_fn *done, void *arg)
{
    struct wish *w = xcalloc(1, sizeof(*w));

    w->edit = edit;
    w->done = done;
    w->arg = arg;
    return w;
}

void reload_edit(struct process *p, struct edit **edit, reload_done_fn *done, void *arg)
{
    if (p->phase != PHASE_RUNNING) {
        edit_free(edit);
        done(arg, false, "The process is ending.");
        return;
    }
    struct wish *w = new_wish(*edit, done, arg);
    *edit = NULL;
    list_push_back(&p->reload->wishes, &w->node);
    if (!p->reload->running)
        run(p);
}

void reload_request(struct process *p, const char *by, reload_done_fn *done, void *arg)
{
    struct wish *w = new_wish(NULL, done, arg);

    if (p->phase != PHASE_RUNNING || !p->reloadable) {
        const char *why = p->phase != PHASE_RUNNING
                              ? "the process is ending"
                              : "this configuration does not come from a file";
        events_log(EVENT_RELOAD, LOG_LEVEL_WARN, NULL, "%s: no reload: %s", by, why);
        if (done != NULL)
            done(arg, false, why);
        free(w);
        return;
    }
    events_log(EVENT_RELOAD, LOG_LEVEL_INFO, NULL, "%s: reload of %s%s", by, p->from,
               p->reload->running ? ", after the one that is under way" : "");
    list_push_back(&p->reload->wishes, &w->node);
    if (!p->reload->running)
        run(p);
}

bool reload_idle(const struct process *p)
{
    return p->reload == NULL || !p->reload->running || p->reload->held;
}

void reload_hold(struct process *p)
{
    p->reload->running = p->reload->held = true;
}

bool reload_held(const struct process *p)
{
    return p->reload->held;
}

void reload_init(struct process *p)
{
    p->reload = xcalloc(1, sizeof(*p->reload));
    list_init(&p->reload->wishes);
    list_init(&p->reload->granted);
}

/* The workers are told as they are of a reload, and a reload waits until they have been. */
void reload_begin(struct process *p)
{
    struct adoption *a = adoption_new(p);

    adoption_bind_first(p, a);
    p->reload->running = true;
    p->reload->held = false;
    send_out(p, a);
}

void reload_fini(struct process *p)
{
    struct list *node;

    if (p->reload == NULL)
        return;
    while ((node = list_pop_front(&p->reload->wishes)) != NULL ||
           (node = list_pop_front(&p->reload->granted)) != NULL) {
        struct wish *w = list_entry(node, struct wish, node);
        if (w->done != NULL) /* nobody listens any more: it frees what is its */
            w->done(w->arg, false, "The process is ending.\n");
        edit_free(&w->edit);
        free(w);
    }
    drop_pending(p);
    adoption_free(&p->reload->adoption);
    strbuf_fini(&p->reload->told);
    backends_later_fini(&p->reload->later);
    free(p->reload);
    p->reload = NULL;
}
