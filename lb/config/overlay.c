/* overlay.c - see overlay.h */
#include "lb/config/overlay.h"

#include "lb/base/alloc.h"
#include "lb/config/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const state_names[] = {"ready", "drain", "maint"};

void overlay_entry_init(struct overlay_entry *e)
{
    e->b.weight = e->b.max_connections = OVERLAY_NO_NUMBER;
    e->b.state = OVERLAY_NO_STATE;
    e->was.weight = e->was.max_connections = OVERLAY_NO_NUMBER;
    e->was.state = OVERLAY_NO_STATE;
}

/* ---- reading ---- */

/* What one setting alone cannot tell. */
static bool sound(const struct overlay *o, uint32_t i, struct strbuf *errors)
{
    const struct overlay_entry *e = &o->entries[i];
    const char *what = NULL;

    if (e->added && e->removed)
        what = "found both added and removed, expected one of them";
    else if (e->added && e->b.address_text == NULL)
        what = "found an added backend without an address, expected one";
    for (uint32_t k = 0; k < i && what == NULL; k++)
        if (strcmp(o->entries[k].pool, e->pool) == 0 &&
            strcmp(o->entries[k].b.name, e->b.name) == 0)
            what = "found a second entry of this backend, expected one";
    if (what != NULL)
        strbuf_addf(errors, "%s:%d: error: backends[%s/%s]: %s\n", e->b.file, e->b.line, e->pool,
                    e->b.name, what);
    return what == NULL;
}

static struct overlay *load(const char *path, const char *text, struct strbuf *errors)
{
    struct overlay *o = xcalloc(1, sizeof(*o));
    bool good;

    o->memory = overlay_read(path, text, o, errors);
    good = o->memory != NULL;
    for (uint32_t i = 0; o->memory != NULL && i < o->n; i++)
        good = sound(o, i, errors) && good;
    if (!good)
        overlay_free(&o);
    return o;
}

struct overlay *overlay_load(const char *path, struct strbuf *errors)
{
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return NULL;
    return load(path, NULL, errors);
}

struct overlay *overlay_load_text(const char *name, const char *text, struct strbuf *errors)
{
    return load(name, text, errors);
}

void overlay_free(struct overlay **overlay)
{
    struct overlay *o = *overlay;

    *overlay = NULL;
    if (o == NULL)
        return;
    conf_free(&o->memory);
    free(o);
}

const struct overlay_entry *overlay_find(const struct overlay *o, const char *pool,
                                         const char *name)
{
    for (uint32_t i = 0; o != NULL && i < o->n; i++)
        if (strcmp(o->entries[i].pool, pool) == 0 && strcmp(o->entries[i].b.name, name) == 0)
            return &o->entries[i];
    return NULL;
}

/* ---- writing ---- */

void overlay_print_begin(struct strbuf *out)
{
    strbuf_add_cstr(out, "# What was changed at run time, written by `save`; read behind the "
                         "configuration.\nbackends = (");
}

void overlay_print_end(struct strbuf *out)
{
    strbuf_add_cstr(out, "\n);\n");
}

static void print_text(struct strbuf *out, const char *name, const char *text)
{
    if (text == NULL)
        return;
    strbuf_addf(out, " %s = ", name);
    value_print_string(str_of(text), false, out);
    strbuf_add_char(out, ';');
}

static void print_number(struct strbuf *out, const char *name, uint32_t n)
{
    if (n != OVERLAY_NO_NUMBER)
        strbuf_addf(out, " %s = %u;", name, n);
}

static void print_state(struct strbuf *out, enum admin_state state)
{
    if (state != OVERLAY_NO_STATE)
        print_text(out, "state", state_names[state]);
}

void overlay_print_backend(const struct overlay_entry *e, struct strbuf *out)
{
    print_text(out, "name", e->b.name);
    print_text(out, "address", e->b.address_text);
    print_number(out, "weight", e->b.weight);
    print_number(out, "max_connections", e->b.max_connections);
    if (e->b.backup)
        strbuf_add_cstr(out, " backup = true;");
    print_state(out, e->b.state);
    print_text(out, "reason", e->b.reason);
}

void overlay_print_entry(const struct overlay_entry *e, bool first, struct strbuf *out)
{
    strbuf_addf(out, "%s\n    {", first ? "" : ",");
    print_text(out, "pool", e->pool);
    if (e->added)
        strbuf_add_cstr(out, " added = true;");
    if (e->removed)
        strbuf_add_cstr(out, " removed = true;");
    overlay_print_backend(e, out);
    size_t before = out->len;
    strbuf_add_cstr(out, "\n      was = {");
    size_t begun = out->len;
    print_text(out, "address", e->was.address);
    print_number(out, "weight", e->was.weight);
    print_number(out, "max_connections", e->was.max_connections);
    print_state(out, e->was.state);
    if (out->len > begun) {
        strbuf_add_cstr(out, " };");
    } else {
        out->len = before;
        out->p[before] = '\0';
    }
    strbuf_add_cstr(out, " }");
}

/* ---- applying ---- */

static void lapsed(const struct overlay_entry *e, const char *name, struct strbuf *told)
{
    strbuf_addf(told,
                "%s:%d: warning: backends[%s/%s].%s: the configuration says something else than it "
                "did when this was saved: it wins\n",
                e->b.file, e->b.line, e->pool, e->b.name, name);
}

static void apply_number(const struct overlay_entry *e, const char *name, uint32_t says,
                         uint32_t was, uint32_t *value, struct strbuf *told)
{
    if (says == OVERLAY_NO_NUMBER)
        return;
    if (was != OVERLAY_NO_NUMBER && was != *value && says != *value)
        lapsed(e, name, told);
    else
        *value = says;
}

void overlay_apply(const struct overlay_entry *e, struct backend_conf *b, struct strbuf *told)
{
    apply_number(e, "weight", e->b.weight, e->was.weight, &b->weight, told);
    apply_number(e, "max_connections", e->b.max_connections, e->was.max_connections,
                 &b->max_connections, told);
    if (e->b.state != OVERLAY_NO_STATE && e->was.state != OVERLAY_NO_STATE &&
        e->was.state != b->state && e->b.state != b->state) {
        lapsed(e, "state", told);
    } else if (e->b.state != OVERLAY_NO_STATE) {
        b->state = e->b.state;
        b->reason = e->b.reason;
    }
    if (e->b.address_text == NULL)
        return;
    if (e->was.address != NULL && strcmp(e->was.address, b->address_text) != 0) {
        if (strcmp(e->b.address_text, b->address_text) != 0)
            lapsed(e, "address", told);
    } else {
        b->address_text = e->b.address_text;
        b->address = e->b.address;
    }
}
