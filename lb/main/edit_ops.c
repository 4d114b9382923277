/* edit_ops.c - see edit_ops.h */
#include "lb/main/edit_ops.h"

#include "lb/base/alloc.h"
#include "lb/config/value.h"
#include "lb/config/variant.h"
#include "lb/main/backends.h"
#include "lb/main/edits.h"
#include "lb/main/process.h"
#include "lb/main/reload.h"
#include "lb/main/save.h"
#include "lb/main/snapshot.h"
#include "lb/upstream/pool.h"

#include <stdlib.h>

#define WAIT_POLL_MS 50

/* ---- add server ---- */

/* HAProxy's words for what a backend can be told here. */
static const struct keyword {
    const char *word;
    const char *setting; /* with a value behind it */
    const char *text;    /* without */
} keywords[] = {
    {"weight", "weight", NULL},
    {"maxconn", "max_connections", NULL},
    {"max_connections", "max_connections", NULL},
    {"reason", "reason", NULL},
    {"backup", NULL, "backup = true;\n"},
    {"enabled", NULL, "state = \"ready\";\n"},
    {"disabled", NULL, "state = \"maint\";\n"},
    {"check", NULL, ""}, /* all of a pool are checked, as its health says */
};

static const struct keyword *find_keyword(struct str word)
{
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
        if (str_eq_cstr(word, keywords[i].word))
            return &keywords[i];
    return NULL;
}

static bool is_number(struct str s)
{
    uint64_t n;

    return str_u64(s, UINT32_MAX, &n) == 0;
}

static void add_setting(struct strbuf *out, const char *name, struct str value)
{
    strbuf_addf(out, "%s = ", name);
    if (is_number(value))
        strbuf_add_str(out, value);
    else
        value_print_string(value, false, out);
    strbuf_add_cstr(out, ";\n");
}

/* The words in the configuration language. False: said why. */
static bool translate(const struct str *words, uint32_t n, struct strbuf *out, struct strbuf *why)
{
    bool seen[ARRAY_LEN(keywords)] = {false};
    const char *state = keywords[6].text; /* as HAProxy: until it is enabled */

    for (uint32_t i = 0; i < n; i++) {
        const struct keyword *k = find_keyword(words[i]);
        if (k == NULL) {
            strbuf_addf(why,
                        "'" STR_FMT "' is not a setting of a server: expected weight <n>, maxconn "
                        "<n>, backup, enabled, disabled, check or reason <text>; checks, TLS and "
                        "the like are its pool's.\n",
                        STR_ARG(words[i]));
            return false;
        }
        if (seen[k - keywords]) {
            strbuf_addf(why, "'%s' is given twice.\n", k->word);
            return false;
        }
        seen[k - keywords] = true;
        if (k->setting == NULL) {
            if (str_starts(str_of(k->text), STR("state")))
                state = k->text;
            else
                strbuf_add_cstr(out, k->text);
            continue;
        }
        if (i + 1 == n) {
            strbuf_addf(why, "'%s' expects a value.\n", k->word);
            return false;
        }
        if (str_eq_cstr(words[i], "reason")) { /* a text, whatever it looks like */
            strbuf_add_cstr(out, "reason = ");
            value_print_string(words[++i], false, out);
            strbuf_add_cstr(out, ";\n");
        } else {
            add_setting(out, k->setting, words[++i]);
        }
    }
    strbuf_add_cstr(out, state);
    return true;
}

/* The reader's messages, without where they are from: there is no file. */
static void strip_places(const struct strbuf *errors, struct strbuf *out)
{
    for (struct str rest = strbuf_str(errors), line; (line = str_word(&rest, "\n")).len > 0;) {
        static const char mark[] = "error: ";
        const char *at = memmem(line.p, line.len, mark, sizeof(mark) - 1);
        if (at != NULL)
            line = (struct str){at + sizeof(mark) - 1,
                                line.len - (size_t)(at - line.p) - (sizeof(mark) - 1)};
        strbuf_addf(out, STR_FMT "\n", STR_ARG(line));
    }
}

static struct edit *make_edit(struct str pool, struct str name, struct str address,
                              const struct str *words, uint32_t n, struct strbuf *why)
{
    struct strbuf text = {0}, errors = {0};
    const struct backend_conf *backend;
    struct conf *memory = NULL;
    struct edit *e = NULL;

    strbuf_add_cstr(&text, "name = ");
    value_print_string(name, false, &text);
    strbuf_add_cstr(&text, ";\naddress = ");
    value_print_string(address, false, &text);
    strbuf_add_cstr(&text, ";\n");
    if (translate(words, n, &text, why))
        memory = conf_load_backend("stats socket", text.p, &backend, &errors);
    if (memory != NULL) {
        char *owner = xasprintf(STR_FMT, STR_ARG(pool));
        e = edit_add(owner, memory, backend);
        free(owner);
    }
    strip_places(&errors, why);
    strbuf_fini(&errors);
    strbuf_fini(&text);
    return e;
}

static void add_backend(void *ctx, struct str pool, struct str name, struct str address,
                        const struct str *words, uint32_t n, reload_done_fn *done, void *arg)
{
    struct strbuf why = {0};
    struct edit *e = make_edit(pool, name, address, words, n, &why);

    if (e != NULL)
        reload_edit(ctx, &e, done, arg);
    else
        done(arg, false, why.p != NULL ? why.p : "");
    strbuf_fini(&why);
}

static void remove_backend(void *ctx, struct str pool, struct str name, reload_done_fn *done,
                           void *arg)
{
    char *p = xasprintf(STR_FMT, STR_ARG(pool)), *n = xasprintf(STR_FMT, STR_ARG(name));
    struct edit *e = edit_remove(p, n, NULL);

    free(p);
    free(n);
    reload_edit(ctx, &e, done, arg);
}

/* ---- wait ---- */

struct waiter {
    struct list node; /* p->waiters */
    struct process *process;
    struct timer timer;
    uint64_t deadline_ms;
    bool (*over)(void *arg);
    void (*done)(void *arg, bool in_time);
    void *arg;
};

static void end_wait(struct waiter *w, bool in_time)
{
    timer_stop(&w->process->loop.timers, &w->timer);
    list_remove(&w->node);
    w->done(w->arg, in_time);
    free(w);
}

static void look(struct waiter *w)
{
    struct loop *loop = &w->process->loop;
    uint64_t now_ms = loop_now_ms(loop), next_ms = now_ms + WAIT_POLL_MS;

    if (w->over(w->arg))
        end_wait(w, true);
    else if (now_ms >= w->deadline_ms)
        end_wait(w, false);
    else
        timer_start(&loop->timers, &w->timer, next_ms < w->deadline_ms ? next_ms : w->deadline_ms);
}

static void on_look(struct timer *t)
{
    look(container_of(t, struct waiter, timer));
}

static void wait_for(void *ctx, uint64_t ms, bool (*over)(void *arg),
                     void (*done)(void *arg, bool in_time), void *arg)
{
    struct process *p = ctx;
    struct waiter *w = xcalloc(1, sizeof(*w));

    w->process = p;
    w->deadline_ms = loop_now_ms(&p->loop) + ms;
    w->over = over;
    w->done = done;
    w->arg = arg;
    timer_init(&w->timer, on_look);
    list_push_back(&p->waiters, &w->node);
    if (p->phase >= PHASE_CLOSING)
        end_wait(w, false);
    else
        look(w);
}

/* ---- show config ---- */

static bool save_overlay(void *ctx, struct strbuf *answer)
{
    return save(ctx, answer);
}

static void dump_config(void *ctx, struct strbuf *out)
{
    const struct process *p = ctx;
    const struct conf *conf = p->conf;
    struct backend_list *lists = xcalloc(conf->n_pools + 1, sizeof(*lists));
    char(*texts)[ADDR_TEXT_MAX];
    uint32_t n = 0, at = 0;

    for (uint32_t i = 0; i < conf->n_pools; i++)
        n += p->pools[i]->n_members;
    struct backend_conf *all = xcalloc(n + 1, sizeof(*all));
    texts = xcalloc(n + 1, sizeof(*texts));
    for (uint32_t i = 0; i < conf->n_pools; i++) {
        const struct pool *pool = p->pools[i];
        lists[i] = (struct backend_list){&all[at], pool->n_members};
        for (uint32_t k = 0; k < pool->n_members; k++, at++) {
            const struct addr *now = atomic_load(&pool->members[k].slot->address);
            backends_running(&pool->members[k], &all[at]);
            if (backends_address_set(&pool->members[k]))
                all[at].address_text = (char *)addr_format(now, texts[at]);
        }
    }
    struct conf *copy = conf_with_backends(conf, lists);
    conf_dump_hiding(copy, out);
    conf_free(&copy);
    free(texts);
    free(all);
    free(lists);
}

/* ---- */

void edit_ops_init(struct process *p)
{
    p->ops.add_backend = add_backend;
    p->ops.remove_backend = remove_backend;
    p->ops.wait = wait_for;
    p->ops.dump_config = dump_config;
    p->ops.save = save_overlay;
}

void edit_ops_stop(struct process *p)
{
    list_for_each_safe (node, next, &p->waiters)
        end_wait(list_entry(node, struct waiter, node), false);
}
