/* diff.c - see diff.h */
#include "lb/main/diff.h"

#include "lb/config/conf.h"
#include "lb/main/backends.h"
#include "lb/main/process.h"
#include "lb/main/snapshot.h"
#include "lb/upstream/pool.h"

#include <string.h>

/* ---- what was changed at run time ---- */

static void begin(struct strbuf *out, const struct pool *pool, const struct pool_member *m,
                  const char *setting)
{
    strbuf_addf(out, "pools[%s].backends[%s].%s: ", pool->name, m->conf->name, setting);
}

static void diff_number(struct strbuf *out, const struct pool *pool, const struct pool_member *m,
                        const char *setting, uint32_t file, uint32_t running)
{
    if (file == running)
        return;
    begin(out, pool, m, setting);
    strbuf_addf(out, "loaded %u, running %u\n", file, running);
}

static void diff_address(struct strbuf *out, const struct pool *pool, const struct pool_member *m,
                         const struct backend_conf *file)
{
    char room[ADDR_TEXT_MAX];
    const char *running = backends_address_set(m)
                              ? addr_format(atomic_load(&m->slot->address), room)
                              : m->conf->address_text; /* where a name leads is the resolver's */

    if (strcmp(running, file->address_text) == 0)
        return;
    begin(out, pool, m, "address");
    strbuf_addf(out, "loaded %s, running %s\n", file->address_text, running);
}

static void diff_state(struct strbuf *out, const struct pool *pool, const struct pool_member *m,
                       const struct backend_conf *file)
{
    enum admin_state now = backends_state(m->slot);
    const char *reason = m->slot->agent_admin ? slot_reason(m->slot) : m->slot->admin_reason;

    if (now == file->state)
        return;
    begin(out, pool, m, "state");
    strbuf_addf(out, "loaded %s, running %s%s%s\n", backends_state_name(file->state),
                backends_state_name(now), reason[0] != '\0' ? ": " : "", reason);
}

/* Backends that came and went. */
static void diff_edits(const struct process *p, struct strbuf *out)
{
    list_for_each (node, &p->edits.list) {
        const struct edit *e = list_entry(node, struct edit, node);
        if (e->kind == EDIT_ADD)
            strbuf_addf(out, "pools[%s].backends[%s]: not loaded, added at run time: %s\n", e->pool,
                        e->name, e->backend->address_text);
        else
            strbuf_addf(out, "pools[%s].backends[%s]: loaded %s, removed at run time\n", e->pool,
                        e->name, e->was);
    }
}

static void diff_run_time(const struct process *p, struct strbuf *out)
{
    for (uint32_t i = 0; i < p->conf->n_pools; i++) {
        const struct pool *pool = p->pools[i];
        for (uint32_t j = 0; j < pool->n_members; j++) {
            const struct pool_member *m = &pool->members[j];
            const struct backend_conf *file = edits_of_file(p, pool->name, m->conf->name);
            if (file == NULL || edits_find(p, EDIT_ADD, pool->name, m->conf->name) != NULL)
                continue;
            diff_number(out, pool, m, "weight", file->weight, slot_word(m->slot).set_weight);
            diff_number(out, pool, m, "max_connections", file->max_connections,
                        atomic_load(&m->slot->max_connections));
            diff_address(out, pool, m, file);
            diff_state(out, pool, m, file);
        }
    }
}

/* ---- what the file says by now ---- */

static uint32_t count_lines(struct str text)
{
    uint32_t n = 0;

    for (size_t i = 0; i < text.len; i++)
        n += text.p[i] == '\n';
    return n;
}

/* Two texts of one section, as -T writes them. */
static void diff_texts(struct strbuf *out, const char *what, const char *name, struct str file,
                       struct str running)
{
    if (count_lines(file) != count_lines(running)) {
        strbuf_addf(out, "%s[%s]: the file has %u settings, running are %u\n", what, name,
                    count_lines(file), count_lines(running));
        return;
    }
    while (file.len > 0) {
        struct str a = str_word(&file, "\n"), b = str_word(&running, "\n");
        if (!str_eq(a, b))
            strbuf_addf(out, "%s[%s]: file %.*s, running %.*s\n", what, name, (int)str_trim(a).len,
                        str_trim(a).p, (int)str_trim(b).len, str_trim(b).p);
    }
}

/* As it was read, without what came and went since. */
static const struct pool_conf *loaded_pool(const struct process *p, const char *name)
{
    const struct conf *c = p->edits.base->conf;

    for (uint32_t i = 0; i < c->n_pools; i++)
        if (strcmp(c->pools[i].name, name) == 0)
            return &c->pools[i];
    return NULL;
}

static void diff_pools(const struct process *p, const struct conf *file, struct strbuf *out)
{
    struct strbuf x = {0}, y = {0};

    for (uint32_t i = 0; i < file->n_pools; i++) {
        const char *name = file->pools[i].name;
        const struct pool_conf *now = loaded_pool(p, name);
        if (now == NULL) {
            strbuf_addf(out, "pools[%s]: in the file, not running\n", name);
            continue;
        }
        strbuf_clear(&x);
        strbuf_clear(&y);
        conf_dump_pool(&file->pools[i], &x);
        conf_dump_pool(now, &y);
        if (str_eq(strbuf_str(&x), strbuf_str(&y)))
            continue;
        strbuf_clear(&x);
        strbuf_clear(&y);
        conf_dump_pool_hiding(&file->pools[i], &x);
        conf_dump_pool_hiding(now, &y);
        if (str_eq(strbuf_str(&x), strbuf_str(&y)))
            strbuf_addf(out, "pools[%s]: the file has another secret than what is running\n", name);
        diff_texts(out, "pools", name, strbuf_str(&x), strbuf_str(&y));
    }
    for (uint32_t i = 0; i < p->conf->n_pools; i++) {
        bool found = false;
        for (uint32_t k = 0; k < file->n_pools; k++)
            found = found || strcmp(file->pools[k].name, p->pools[i]->name) == 0;
        if (!found)
            strbuf_addf(out, "pools[%s]: running, not in the file\n", p->pools[i]->name);
    }
    strbuf_fini(&x);
    strbuf_fini(&y);
}

static void diff_listeners(const struct process *p, const struct conf *file, struct strbuf *out)
{
    struct strbuf x = {0}, y = {0};

    for (uint32_t i = 0; i < file->n_listeners; i++) {
        const char *name = file->listeners[i].name;
        const struct live_listener *now = snapshot_listener_named(p->snapshot, name);
        if (now == NULL) {
            strbuf_addf(out, "listeners[%s]: in the file, not running\n", name);
            continue;
        }
        strbuf_clear(&x);
        strbuf_clear(&y);
        conf_dump_listener(&file->listeners[i], &x);
        conf_dump_listener(now->l.conf, &y);
        diff_texts(out, "listeners", name, strbuf_str(&x), strbuf_str(&y));
    }
    for (uint32_t i = 0; i < p->conf->n_listeners; i++) {
        bool found = false;
        for (uint32_t k = 0; k < file->n_listeners; k++)
            found = found || strcmp(file->listeners[k].name, p->listeners[i]->name) == 0;
        if (!found)
            strbuf_addf(out, "listeners[%s]: running, not in the file\n", p->listeners[i]->name);
    }
    strbuf_fini(&x);
    strbuf_fini(&y);
}

/* What a reload would change of the process itself, and what only a restart does. */
static void diff_global(const struct process *p, const struct conf *file, struct strbuf *out)
{
    static const char *const settings[] = {"stats", "admin", "resolver"};
    struct strbuf names = {0};

    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (!conf_same_setting(p->conf, file, settings[i]))
            strbuf_addf(out, "%s: the file has other settings than what is running\n", settings[i]);
    conf_restart_changes(p->first->conf, file, &names);
    for (struct str rest = strbuf_str(&names), line; (line = str_word(&rest, "\n")).len > 0;) {
        struct str name = str_word(&line, " ");
        strbuf_addf(out,
                    STR_FMT ": the file has another than what is running, which takes a restart or "
                            "an upgrade (-x)\n",
                    STR_ARG(name));
    }
    strbuf_fini(&names);
}

static void diff_file(const struct process *p, struct strbuf *out)
{
    struct strbuf errors = {0};
    struct conf *file = conf_load(p->from, &errors);

    if (file == NULL) {
        strbuf_addf(out, "%s: cannot be loaded as it is now:\n", p->from);
        strbuf_add_str(out, strbuf_str(&errors));
    } else {
        diff_pools(p, file, out);
        diff_listeners(p, file, out);
        diff_global(p, file, out);
        conf_free(&file);
    }
    strbuf_fini(&errors);
}

void diff_show(const struct process *p, struct strbuf *out)
{
    size_t before = out->len;

    diff_edits(p, out);
    diff_run_time(p, out);
    if (p->reloadable)
        diff_file(p, out);
    if (out->len == before)
        strbuf_add_cstr(out, "no difference\n");
}
