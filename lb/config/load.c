/* load.c - reads a configuration: text, scan, libconfig, then its settings row by row of the schema
 * into the conf structs, then the cross checks. All mistakes of meaning are reported together; a
 * mistake of syntax is reported alone, as nothing after it can be trusted.
 *
 * libconfig decides what the language is; each of its settings carries the scan's node of the same
 * place as its hook, for true lines, exact integers and exact strings. */
#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/base/suggest.h"
#include "lb/config/check.h"
#include "lb/config/check_priv.h"
#include "lb/config/conf_own.h"
#include "lb/config/env.h"
#include "lb/config/overlay.h"
#include "lb/config/problems.h"
#include "lb/config/scan.h"
#include "lb/config/schema.h"
#include "lb/config/value.h"
#include "lb/config/variant.h"

#include <libconfig.h>
#include <stdlib.h>
#include <unistd.h>

struct load {
    struct conf_own *own;
    struct problems problems;
    struct conf_source source;
    struct strbuf path;  /* of the setting at hand, as users see it: pools[app].health.type */
    enum pool_mode mode; /* of the pool or listener at hand */
    bool mode_known;
};

static bool parse(struct load *l, config_t *cfg);
static void load_group(struct load *l, const config_setting_t *group, const char *parent,
                       void *base);
static void store_defaults(struct load *l, const char *parent, void *base);
static void store_place(struct load *l, const char *path, void *object, uint32_t line);
static void keep_sources(struct conf_own *own, const struct conf_source *s);
static uint32_t end(struct load *l, config_t *cfg, struct strbuf *errors);

/* ---- the whole ---- */

static struct conf *load(struct load *l, bool readable, struct strbuf *errors)
{
    struct conf_own *own = l->own;
    struct conf *result = &own->conf;
    config_t cfg;

    config_init(&cfg);
    if (readable && parse(l, &cfg)) {
        const config_setting_t *root = config_root_setting(&cfg);
        store_defaults(l, "", own);
        load_group(l, root, "", own);
        check_conf(own, root, &l->problems);
        keep_sources(own, &l->source);
    }
    if (end(l, &cfg, errors) > 0)
        conf_free(&result);
    return result;
}

/* Which files the text was in. An included one has its own name wherever it is included. */
static void keep_sources(struct conf_own *own, const struct conf_source *s)
{
    const char **files = NULL;
    uint32_t n = 0, k;

    for (uint32_t i = 0; own->dir != NULL && i < s->n_places; i++) {
        if (i > 0 && s->places[i].file == s->places[i - 1].file)
            continue;
        for (k = 0; k < n && files[k] != s->places[i].file; k++)
            continue;
        if (k < n)
            continue;
        files = xrealloc(files, (n + 1) * sizeof(files[0]));
        files[n++] = s->places[i].file;
    }
    own->sources = conf_arena_alloc(&own->arena, (n + 1) * sizeof(files[0]));
    for (k = 0; k < n; k++)
        own->sources[k] = files[k];
    own->n_sources = n;
    free(files);
}

/* How many mistakes there were. */
static uint32_t end(struct load *l, config_t *cfg, struct strbuf *errors)
{
    uint32_t mistakes = l->problems.errors;

    config_destroy(cfg);
    problems_print(&l->problems, errors);
    problems_fini(&l->problems);
    strbuf_fini(&l->path);
    conf_source_fini(&l->source);
    return mistakes;
}

static void begin(struct load *l)
{
    *l = (struct load){.own = xcalloc(1, sizeof(*l->own))};
    l->own->conf.arena = l->own;
    l->source.arena = &l->own->arena;
    l->problems.source = &l->source;
}

/* Absolute, so that what -T prints means the same files wherever it is read again. */
static const char *folder_of(struct conf_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *cwd = path[0] != '/' ? getcwd(NULL, 0) : NULL;
    struct strbuf dir = {0};

    if (cwd != NULL)
        strbuf_addf(&dir, "%s/", cwd);
    strbuf_add(&dir, path, slash != NULL ? (size_t)(slash - path) + 1 : 0);
    const char *copy = conf_arena_str(arena, strbuf_str(&dir));
    strbuf_fini(&dir);
    free(cwd);
    return copy;
}

struct conf *conf_load(const char *path, struct strbuf *errors)
{
    struct load l;

    begin(&l);
    l.own->dir = folder_of(&l.own->arena, path);
    bool readable = conf_source_read(&l.source, path, &l.problems);
    return load(&l, readable, errors);
}

struct conf *conf_load_text(const char *name, const char *text, struct strbuf *errors)
{
    struct load l;

    begin(&l);
    bool readable = conf_source_set(&l.source, name, str_of(text), &l.problems);
    return load(&l, readable, errors);
}

struct conf *conf_load_made(const char *name, const char *text, struct strbuf *errors)
{
    struct load l;

    begin(&l);
    l.own->dir = folder_of(&l.own->arena, "");
    bool readable = conf_source_set(&l.source, name, str_of(text), &l.problems);
    return load(&l, readable, errors);
}

struct conf *conf_load_backend(const char *name, const char *text,
                               const struct backend_conf **out_backend, struct strbuf *errors)
{
    const char *const path = "pools.backends";
    struct load l;
    config_t cfg;

    begin(&l);
    struct conf *result = &l.own->conf;
    struct backend_conf *b = conf_arena_alloc(&l.own->arena, sizeof(*b));
    config_init(&cfg);
    if (conf_source_set(&l.source, name, str_of(text), &l.problems) && parse(&l, &cfg)) {
        store_place(&l, path, b, 1);
        store_defaults(&l, path, b);
        load_group(&l, config_root_setting(&cfg), path, b);
    }
    if (end(&l, &cfg, errors) > 0)
        conf_free(&result);
    else
        *out_backend = b;
    return result;
}

struct conf *overlay_read(const char *path, const char *text, struct overlay *out,
                          struct strbuf *errors)
{
    struct load l;
    config_t cfg;

    begin(&l);
    struct conf *result = &l.own->conf;
    config_init(&cfg);
    bool readable = text != NULL ? conf_source_set(&l.source, path, str_of(text), &l.problems)
                                 : conf_source_read(&l.source, path, &l.problems);
    if (readable && parse(&l, &cfg))
        load_group(&l, config_root_setting(&cfg), SCHEMA_OVERLAY, out);
    if (end(&l, &cfg, errors) > 0)
        conf_free(&result);
    return result;
}

void conf_free(struct conf **c)
{
    if (*c == NULL)
        return;
    struct conf_own *own = conf_own_of(*c);
    conf_arena_fini(&own->arena);
    free(own);
    *c = NULL;
}

/* ---- syntax ---- */

/* Gives each setting its node. The shapes are the same as long as the scan reads the language as
 * the library does; where it would not, settings are left without and the caller says so. */
static bool attach(config_setting_t *setting, struct scan_node *node)
{
    config_setting_set_hook(setting, node);
    if (node->type > SCAN_ARRAY)
        return !config_setting_is_aggregate(setting);
    if (!config_setting_is_aggregate(setting) ||
        (uint32_t)config_setting_length(setting) != node->n)
        return false;
    unsigned i = 0;
    for (struct scan_node *child = node->first; child != NULL; child = child->next, i++)
        if (!attach(config_setting_get_elem(setting, i), child))
            return false;
    return true;
}

static bool parse(struct load *l, config_t *cfg)
{
    struct scan_node *root = scan_text(&l->own->arena, strbuf_str(&l->source.text), &l->problems);

    if (root == NULL)
        return false;
    if (config_read_string(cfg, l->source.text.p) != CONFIG_TRUE) {
        problems_add_quoted(&l->problems, (uint32_t)config_error_line(cfg), "syntax", "%s",
                            config_error_text(cfg));
        return false;
    }
    if (!attach(config_root_setting(cfg), root)) {
        problems_add(&l->problems, PROBLEM_ERROR, 1, "syntax",
                     "libconfig and the scan of sluice disagree about this file, expected one "
                     "meaning: please report it");
        return false;
    }
    return true;
}

static const struct scan_node *node_of(const config_setting_t *setting)
{
    return config_setting_get_hook(setting);
}

/* ---- from libconfig to values ---- */

static void mistake(struct load *l, uint32_t line, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void mistake(struct load *l, uint32_t line, const char *fmt, ...)
{
    struct strbuf text = {0};
    va_list ap;

    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    problems_add(&l->problems, PROBLEM_ERROR, line, l->path.p, "%s", text.p);
    strbuf_fini(&text);
}

static bool string_value(struct load *l, const struct schema_row *row, const struct scan_node *node,
                         struct value *out)
{
    bool template = (row->flags & SCHEMA_TEMPLATE) != 0;
    struct strbuf text = {0}, error = {0};
    bool ok = env_expand(node->text, template, &text, &out->from_env, &error);

    if (ok)
        out->text = (struct str){conf_arena_str(&l->own->arena, strbuf_str(&text)), text.len};
    else
        mistake(l, node->line, "%s", error.p);
    strbuf_fini(&text);
    strbuf_fini(&error);
    return ok;
}

static bool to_value(struct load *l, const struct schema_row *row, const config_setting_t *setting,
                     struct value *out);

static bool list_value(struct load *l, const struct schema_row *row,
                       const config_setting_t *setting, struct value *out)
{
    uint32_t n = (uint32_t)config_setting_length(setting);
    bool ok = true;

    out->n = n;
    out->items = conf_arena_alloc(&l->own->arena, n * sizeof(*out->items));
    for (uint32_t i = 0; i < n; i++) {
        const config_setting_t *element = config_setting_get_elem(setting, i);
        const struct scan_node *node = node_of(element);
        if (node->joined > 0) {
            mistake(l, node->line,
                    "found %u strings next to each other, expected \",\" between them",
                    node->joined);
            ok = false;
        }
        if (config_setting_is_aggregate(element))
            out->items[i] = (struct value){.kind = VALUE_GROUP, .line = node->line};
        else
            ok = to_value(l, row, element, &out->items[i]) && ok;
    }
    return ok;
}

/* False when something is wrong with it whatever the row wants; said already. */
static bool to_value(struct load *l, const struct schema_row *row, const config_setting_t *setting,
                     struct value *out)
{
    const struct scan_node *node = node_of(setting);

    *out = (struct value){.line = node->line, .text = node->text};
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        out->kind = VALUE_INT;
        out->integer = node->integer;
        return true;
    case CONFIG_TYPE_FLOAT:
        out->kind = VALUE_FLOAT;
        return true;
    case CONFIG_TYPE_BOOL:
        out->kind = VALUE_BOOL;
        out->boolean = config_setting_get_bool(setting) != 0;
        return true;
    case CONFIG_TYPE_STRING:
        out->kind = VALUE_STRING;
        return string_value(l, row, node, out);
    case CONFIG_TYPE_GROUP:
        out->kind = VALUE_GROUP;
        return true;
    default:
        out->kind = VALUE_LIST;
        return list_value(l, row, setting, out);
    }
}

/* ---- settings ---- */

static size_t push(struct load *l, const char *name)
{
    size_t before = l->path.len;

    if (before > 0)
        strbuf_add_char(&l->path, '.');
    strbuf_add_cstr(&l->path, name);
    return before;
}

static void pop(struct load *l, size_t before)
{
    l->path.len = before;
    l->path.p[before] = '\0';
}

/* [app], or [#2] for the second one as long as it has no name that can be shown. */
static void push_element(struct load *l, const config_setting_t *element, uint32_t index)
{
    config_setting_t *name = config_setting_get_member((config_setting_t *)element, "name");
    const struct scan_node *node = name != NULL ? node_of(name) : NULL;
    bool good = node != NULL && node->type == SCAN_STRING && node->text.len > 0 &&
                node->text.len <= LIMIT_NAME_LEN;

    for (size_t i = 0; good && i < node->text.len; i++)
        good = (unsigned char)node->text.p[i] > 0x20 && node->text.p[i] != 0x7f;
    if (good)
        strbuf_addf(&l->path, "[" STR_FMT "]", STR_ARG(node->text));
    else
        strbuf_addf(&l->path, "[#%u]", index + 1);
}

/* expected: instead of what the row says of itself; or NULL. */
static void wrong_type(struct load *l, const struct schema_row *row,
                       const config_setting_t *setting, const char *expected)
{
    struct strbuf text = {0};
    struct value v;

    if (to_value(l, row, setting, &v)) {
        strbuf_add_cstr(&text, "found ");
        value_describe(&v, &text);
        strbuf_add_cstr(&text, ", expected ");
        if (expected != NULL)
            strbuf_add_cstr(&text, expected);
        else
            value_expected(row, &text);
        mistake(l, node_of(setting)->line, "%s", text.p);
    }
    strbuf_fini(&text);
}

static void load_scalar(struct load *l, const struct schema_row *row,
                        const config_setting_t *setting, void *base)
{
    struct value_error error = {0};
    struct value v;

    if (to_value(l, row, setting, &v) && !value_store(row, &v, &l->own->arena, base, &error))
        mistake(l, error.line > 0 ? error.line : v.line, "%s", error.text.p);
    strbuf_fini(&error.text);
}

/* What identifies a pool, listener or backend beside its name: where it stands. */
static void store_place(struct load *l, const char *path, void *object, uint32_t line)
{
    struct conf_place place = conf_source_place(&l->source, line);

    if (strcmp(path, "pools") == 0) {
        ((struct pool_conf *)object)->file = place.file;
        ((struct pool_conf *)object)->line = (int)place.line;
    } else if (strcmp(path, "pools.backends") == 0) {
        ((struct backend_conf *)object)->file = place.file;
        ((struct backend_conf *)object)->line = (int)place.line;
    } else if (strcmp(path, "listeners") == 0) {
        ((struct listener_conf *)object)->file = place.file;
        ((struct listener_conf *)object)->line = (int)place.line;
    } else if (strcmp(path, "listeners.routes") == 0) {
        ((struct http_route_conf *)object)->route.file = place.file;
        ((struct http_route_conf *)object)->route.line = (int)place.line;
    } else if (strcmp(path, "listeners.tls") == 0 || strcmp(path, "admin.tls") == 0) {
        ((struct tls_server_conf *)object)->file = place.file;
        ((struct tls_server_conf *)object)->line = (int)place.line;
    } else if (strcmp(path, "listeners.tls.certificates") == 0 ||
               strcmp(path, "admin.tls.certificates") == 0) {
        ((struct tls_cert_conf *)object)->file = place.file;
        ((struct tls_cert_conf *)object)->line = (int)place.line;
    } else if (strcmp(path, "pools.tls") == 0 || strcmp(path, "pools.health.tls") == 0) {
        ((struct tls_client_conf *)object)->file = place.file;
        ((struct tls_client_conf *)object)->line = (int)place.line;
    } else if (strcmp(path, "listeners.sni") == 0) {
        ((struct sni_rule *)object)->file = place.file;
        ((struct sni_rule *)object)->line = (int)place.line;
    } else if (strcmp(path, SCHEMA_OVERLAY ".backends") == 0) {
        struct overlay_entry *e = object;
        overlay_entry_init(e);
        e->b.file = place.file;
        e->b.line = (int)place.line;
    } else if (strcmp(path, "tests") == 0) {
        ((struct conf_test *)object)->file = place.file;
        ((struct conf_test *)object)->line = (int)place.line;
    }
}

static void *new_object(struct load *l, const struct schema_row *row,
                        const config_setting_t *setting, void *base)
{
    void *object = conf_arena_alloc(&l->own->arena, row->size);

    *(void **)(void *)((char *)base + row->offset) = object;
    store_place(l, row->path, object, node_of(setting)->line);
    store_defaults(l, row->path, object);
    return object;
}

/* An object behind a pointer. */
static void load_object(struct load *l, const struct schema_row *row,
                        const config_setting_t *setting, void *base)
{
    load_group(l, setting, row->path, new_object(l, row, setting, base));
}

/* Where an object is wanted: true is one without a setting, false none. */
static void load_switch(struct load *l, const struct schema_row *row,
                        const config_setting_t *setting, void *base)
{
    struct schema_row as_bool = {.type = SCHEMA_BOOL, .size = sizeof(bool)};
    struct value_error error = {0};
    struct value v;
    bool on = false;

    if (!to_value(l, row, setting, &v))
        return;
    if (!value_store(&as_bool, &v, &l->own->arena, &on, &error))
        wrong_type(l, row, setting, NULL);
    else if (on)
        new_object(l, row, setting, base);
    else if (row->offset2 != 0)
        *((bool *)base + row->offset2) = true;
    strbuf_fini(&error.text);
}

static void load_groups(struct load *l, const struct schema_row *row,
                        const config_setting_t *setting, void *base)
{
    bool single = config_setting_is_group(setting) && (row->flags & SCHEMA_SINGLE) != 0;
    bool list = config_setting_is_list(setting) ||
                (config_setting_is_array(setting) && config_setting_length(setting) == 0);

    if (!single && !list) {
        wrong_type(l, row, setting, NULL);
        return;
    }
    uint32_t n = single ? 1 : (uint32_t)config_setting_length(setting);
    if (n < row->min || n > row->max) {
        mistake(l, node_of(setting)->line, "found %u groups, expected %lld to %lld", n,
                (long long)row->min, (long long)row->max);
        return;
    }
    char *objects = conf_arena_alloc(&l->own->arena, n * row->size);
    *(void **)(void *)((char *)base + row->offset) = objects;
    *(uint32_t *)(void *)((char *)base + row->offset2) = n;
    for (uint32_t i = 0; i < n; i++) {
        const config_setting_t *element = single ? setting : config_setting_get_elem(setting, i);
        char *object = objects + i * row->size;
        size_t before = l->path.len;
        if (!single)
            push_element(l, element, i);
        if (!config_setting_is_group(element)) {
            wrong_type(l, row, element, "a group: { name = value; ... }");
            pop(l, before);
            continue;
        }
        if (strcmp(row->path, "listeners") == 0)
            ((struct listener_conf *)object)->mode = MODE_MISTAKEN; /* until it is read */
        else if (strcmp(row->path, "pools") == 0)
            ((struct pool_conf *)object)->mode = MODE_MISTAKEN;
        store_place(l, row->path, object, node_of(element)->line);
        if (base == (void *)l->own)
            l->mode_known = false; /* a pool's or listener's comes with it */
        store_defaults(l, row->path, object);
        load_group(l, element, row->path, object);
        pop(l, before);
    }
}

/* " (did you mean ...?)" for a name of this group or, failing that, of another one; failing both
 * the names that this group has. */
static void hint_names(const char *parent, struct str name, struct strbuf *out)
{
    struct suggest here, elsewhere;
    size_t before = out->len;

    suggest_begin(&here, name);
    suggest_begin(&elsewhere, name);
    for (const struct schema_row *row = schema_next(parent, NULL); row != NULL;
         row = schema_next(parent, row))
        suggest_offer(&here, schema_name(row));
    suggest_print(&here, out);
    if (out->len > before)
        return;
    for (size_t i = 0; i < schema_n; i++)
        suggest_offer(&elsewhere, schema_name(&schema_rows[i]));
    const struct schema_row *meant = NULL;
    for (size_t i = 0; i < schema_n && suggest_best(&elsewhere) != NULL; i++) {
        const struct schema_row *row = &schema_rows[i];
        bool inside = strncmp(row->path, parent, strlen(parent)) == 0;
        if (strcmp(schema_name(row), suggest_best(&elsewhere)) != 0 || (meant != NULL && !inside))
            continue;
        meant = row;
        if (inside)
            break;
    }
    if (meant != NULL) {
        strbuf_addf(out, " (did you mean \"%s\"?)", meant->path);
        return;
    }
    const struct schema_row *row = schema_next(parent, NULL);
    for (const char *lead = ", expected "; row != NULL; lead = ", ") {
        const struct schema_row *next = schema_next(parent, row);
        strbuf_addf(out, "%s%s", next == NULL && row != schema_next(parent, NULL) ? " or " : lead,
                    schema_name(row));
        row = next;
    }
}

static void unknown(struct load *l, const char *parent, const config_setting_t *setting)
{
    struct str name = str_of(config_setting_name(setting));
    struct strbuf text = {0};

    strbuf_add_cstr(&text, "found an unknown setting");
    hint_names(parent, name, &text);
    mistake(l, node_of(setting)->line, "%s", text.p);
    strbuf_fini(&text);
}

static void note_place(struct load *l, const struct schema_row *row,
                       const config_setting_t *setting)
{
    struct conf_own *own = l->own;

    if (row->reload != SCHEMA_RESTART || strchr(row->path, '.') != NULL ||
        own->n_given == CONF_GIVEN_MAX)
        return;
    own->given[own->n_given].row = row;
    own->given[own->n_given++].place = conf_source_place(&l->source, node_of(setting)->line);
}

static void load_setting(struct load *l, const struct schema_row *row,
                         const config_setting_t *setting, void *base)
{
    size_t before = push(l, schema_name(row));

    note_place(l, row, setting);
    if (l->mode_known && !schema_fits_mode(row, l->mode)) {
        mistake(l, node_of(setting)->line,
                row->mode == SCHEMA_NOT_UDP
                    ? "found a setting of %s, expected it with mode \"tcp\" or \"http\" only"
                    : "found a setting of %s, expected it with that mode only",
                schema_mode_text(row));
    } else if (row->type == SCHEMA_GROUPS) {
        load_groups(l, row, setting, base);
    } else if (!schema_is_group(row)) {
        load_scalar(l, row, setting, base);
    } else if ((row->flags & SCHEMA_OR_BOOL) != 0 && !config_setting_is_group(setting)) {
        load_switch(l, row, setting, base);
    } else if (!config_setting_is_group(setting)) {
        wrong_type(l, row, setting, NULL);
    } else if (row->type == SCHEMA_OBJECT) {
        load_object(l, row, setting, base);
    } else {
        if ((row->flags & SCHEMA_WHERE_GIVEN) != 0)
            store_defaults(l, row->path, base);
        load_group(l, setting, row->path, base);
    }
    pop(l, before);
}

/* Rows in their order, not the file's: global settings are known before what inherits them, the
 * mode of a pool or listener before what goes by it. */
static void load_group(struct load *l, const config_setting_t *group, const char *parent,
                       void *base)
{
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
        const char *name = config_setting_name(setting);
        size_t before = push(l, name);
        if (schema_find(parent, str_of(name)) == NULL)
            unknown(l, parent, setting);
        pop(l, before);
    }
    for (const struct schema_row *row = schema_next(parent, NULL); row != NULL;
         row = schema_next(parent, row)) {
        const config_setting_t *setting =
            config_setting_get_member((config_setting_t *)group, schema_name(row));
        if (setting != NULL && (row->flags & SCHEMA_IS_MODE) != 0) {
            uint32_t mistakes = l->problems.errors;
            load_setting(l, row, setting, base);
            l->mode_known = l->problems.errors == mistakes;
            memcpy(&l->mode, (char *)base + row->offset, sizeof(l->mode));
        } else if (setting != NULL) {
            load_setting(l, row, setting, base);
        } else if ((row->flags & SCHEMA_REQUIRED) != 0) {
            struct strbuf expected = {0};
            size_t before = push(l, schema_name(row));
            value_expected(row, &expected);
            mistake(l, node_of(group)->line, "not found, expected %s", expected.p);
            pop(l, before);
            strbuf_fini(&expected);
        }
    }
}

/* Of the settings in one object: groups within it are part of it, lists of groups are not. */
static void store_defaults(struct load *l, const char *parent, void *base)
{
    for (const struct schema_row *row = schema_next(parent, NULL); row != NULL;
         row = schema_next(parent, row)) {
        if (row->type == SCHEMA_GROUP && (row->flags & SCHEMA_WHERE_GIVEN) == 0)
            store_defaults(l, row->path, base);
        else if (schema_is_group(row))
            continue;
        else if (row->inherit != SCHEMA_NO_FIELD)
            memcpy((char *)base + row->offset, (const char *)l->own + row->inherit, row->size);
        else
            value_store_default(row, &l->own->arena, base);
    }
}
