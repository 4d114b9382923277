/* dump.c - the effective configuration, every setting with its value, in the configuration language
 * (`sluice -T`, `show config`). Loading what is written here gives the same configuration again,
 * unless secrets were hidden. */
#include "lb/config/conf_own.h"
#include "lb/config/schema.h"
#include "lb/config/value.h"

/* mode: of the pool or listener around it. hide: what only some may know. */
static void dump_settings(const char *parent, const void *base, enum pool_mode mode,
                          unsigned indent, bool hide, struct strbuf *out);

static void line(struct strbuf *out, unsigned indent, const char *name, const char *rest)
{
    strbuf_addf(out, "%*s%s%s\n", (int)(4 * indent), "", name, rest);
}

static void dump_objects(const struct schema_row *row, const void *base, enum pool_mode mode,
                         unsigned indent, bool hide, struct strbuf *out)
{
    const char *object = *(const char *const *)(const void *)((const char *)base + row->offset);
    uint32_t n = *(const uint32_t *)(const void *)((const char *)base + row->offset2);

    if (n == 0 && ((row->flags & SCHEMA_OPTIONAL) != 0 || row->min > 0))
        return;
    line(out, indent, schema_name(row), n == 0 ? " = ();" : " = (");
    for (uint32_t i = 0; i < n; i++, object += row->size) {
        line(out, indent + 1, "{", "");
        dump_settings(row->path, object, mode, indent + 2, hide, out);
        line(out, indent + 1, "}", i + 1 < n ? "," : "");
    }
    if (n > 0)
        line(out, indent, ");", "");
}

/* One that holds nothing is not there. */
static void dump_group(const struct schema_row *row, const void *base, enum pool_mode mode,
                       unsigned indent, bool hide, struct strbuf *out)
{
    size_t before = out->len;

    line(out, indent, schema_name(row), " = {");
    size_t begun = out->len;
    dump_settings(row->path, base, mode, indent + 1, hide, out);
    if (out->len > begun) {
        line(out, indent, "};", "");
    } else {
        out->len = before;
        out->p[before] = '\0';
    }
}

static void dump_row(const struct schema_row *row, const void *base, enum pool_mode mode,
                     unsigned indent, bool hide, struct strbuf *out)
{
    const char *name = schema_name(row);
    struct strbuf value = {0};

    if (row->type == SCHEMA_GROUPS) {
        dump_objects(row, base, mode, indent, hide, out);
    } else if (row->type == SCHEMA_GROUP) {
        dump_group(row, base, mode, indent, hide, out);
    } else if (row->type == SCHEMA_OBJECT) {
        const void *object = *(void *const *)(const void *)((const char *)base + row->offset);
        if (object != NULL)
            dump_group(row, object, mode, indent, hide, out);
        else if (row->offset2 != 0 && *((const bool *)base + row->offset2))
            line(out, indent, name, " = false;");
    } else if (value_print(row, base, &value)) {
        bool secret = hide && (row->flags & SCHEMA_SECRET) != 0;
        strbuf_addf(out, "%*s%s = %s;\n", (int)(4 * indent), "", name, secret ? "\"…\"" : value.p);
    }
    strbuf_fini(&value);
}

static void dump_settings(const char *parent, const void *base, enum pool_mode mode,
                          unsigned indent, bool hide, struct strbuf *out)
{

    for (const struct schema_row *row = schema_next(parent, NULL); row != NULL;
         row = schema_next(parent, row)) {
        if ((row->flags & SCHEMA_IS_MODE) != 0)
            memcpy(&mode, (const char *)base + row->offset, sizeof(mode));
        if (schema_fits_mode(row, mode))
            dump_row(row, base, mode, indent, hide, out);
    }
}

static bool same_row(const struct schema_row *row, const struct conf *a, const struct conf *b)
{
    struct strbuf x = {0}, y = {0};

    dump_row(row, conf_own_of(a), MODE_TCP, 0, false, &x);
    dump_row(row, conf_own_of(b), MODE_TCP, 0, false, &y);
    bool same = str_eq(strbuf_str(&x), strbuf_str(&y));
    strbuf_fini(&x);
    strbuf_fini(&y);
    return same;
}

bool conf_same_setting(const struct conf *a, const struct conf *b, const char *path)
{
    const struct schema_row *row = schema_next("", NULL);

    while (row != NULL && strcmp(row->path, path) != 0)
        row = schema_next("", row);
    sl_assert(row != NULL);
    return same_row(row, a, b);
}

void conf_restart_changes(const struct conf *a, const struct conf *b, struct strbuf *names)
{
    for (const struct schema_row *row = schema_next("", NULL); row != NULL;
         row = schema_next("", row)) {
        if (row->reload != SCHEMA_RESTART || same_row(row, a, b))
            continue;
        strbuf_add_cstr(names, row->path);
        for (uint32_t i = 0; i < conf_own_of(b)->n_given; i++)
            if (conf_own_of(b)->given[i].row == row)
                strbuf_addf(names, " %s:%u", conf_own_of(b)->given[i].place.file,
                            conf_own_of(b)->given[i].place.line);
        strbuf_add_cstr(names, "\n");
    }
}

void conf_dump_pool(const struct pool_conf *p, struct strbuf *out)
{
    dump_settings("pools", p, p->mode, 0, false, out);
}

void conf_dump_pool_tls(const struct pool_conf *p, struct strbuf *out)
{
    if (p->tls != NULL)
        dump_settings("pools.tls", p->tls, p->mode, 0, false, out);
}

void conf_dump_listener_tls(const struct listener_conf *l, struct strbuf *out)
{
    if (l->tls != NULL)
        dump_settings("listeners.tls", l->tls, l->mode, 0, false, out);
}

void conf_dump_check_tls(const struct pool_conf *p, struct strbuf *out)
{
    if (p->health.tls != NULL)
        dump_settings("pools.tls", p->health.tls, p->mode, 0, false, out);
}

void conf_dump_listener(const struct listener_conf *l, struct strbuf *out)
{
    dump_settings("listeners", l, l->mode, 0, false, out);
}

static void dump_all(const struct conf *c, bool hide, struct strbuf *out)
{
    strbuf_add_cstr(out, "# The effective configuration of sluice " SLUICE_VERSION ".\n");
    dump_settings("", conf_own_of(c), MODE_TCP, 0, hide, out);
}

void conf_dump(const struct conf *c, struct strbuf *out)
{
    dump_all(c, false, out);
}

void conf_dump_hiding(const struct conf *c, struct strbuf *out)
{
    dump_all(c, true, out);
}

void conf_dump_pool_hiding(const struct pool_conf *p, struct strbuf *out)
{
    dump_settings("pools", p, p->mode, 0, true, out);
}
