/* conf_paths.c - see conf_paths.h */
#include "lb/config/conf_paths.h"

#include "lb/config/conf_own.h"
#include "lb/config/schema.h"
#include "lb/config/text.h"
#include "lb/net/tls_conf.h"

struct walk {
    conf_path_fn *fn;
    void *ctx;
};

/* Settings whose rows do not say by their check what they name. */
static const struct {
    const char *setting;
    enum conf_path_use use;
} named[] = {
    {"state_file", CONF_PATH_KEPT},
    {"overlay", CONF_PATH_KEPT},
    {"stats.socket", CONF_PATH_SOCKET},
    {"listeners.routes.files.root", CONF_PATH_TREE},
};

static void tell(const struct walk *w, enum conf_path_use use, const char *path,
                 const struct schema_row *row)
{
    if (path != NULL && path[0] != '\0')
        w->fn(w->ctx, use, path, row->path);
}

static void tell_string(const struct walk *w, const struct schema_row *row, const char *value)
{
    if (value == NULL)
        return;
    if (row->check == text_is_file && strcmp(value, TLS_OCSP_FETCH) != 0)
        tell(w, CONF_PATH_FILE, value, row);
    else if (row->check == text_is_log_target && value[0] == '/')
        tell(w, CONF_PATH_LOG, value, row);
    for (size_t i = 0; i < ARRAY_LEN(named); i++)
        if (strcmp(row->path, named[i].setting) == 0)
            tell(w, named[i].use, value, row);
}

static void tell_binds(const struct walk *w, const struct schema_row *row,
                       const struct listener_conf *l)
{
    for (uint32_t i = 0; i < l->n_binds; i++)
        if (addr_family(&l->binds[i].addr) == AF_UNIX)
            tell(w, CONF_PATH_SOCKET, l->binds[i].addr.un.sun_path, row); /* abstract: empty */
}

static void walk_settings(const struct walk *w, const char *parent, const char *base)
{
    for (const struct schema_row *row = schema_next(parent, NULL); row != NULL;
         row = schema_next(parent, row)) {
        const char *object = NULL;
        uint32_t n = 1;

        if (row->type == SCHEMA_GROUP)
            walk_settings(w, row->path, base);
        if (row->type == SCHEMA_BINDS)
            tell_binds(w, row, (const struct listener_conf *)(const void *)base);
        if (row->offset == SCHEMA_NO_FIELD ||
            (row->type != SCHEMA_GROUPS && row->type != SCHEMA_OBJECT &&
             row->type != SCHEMA_STRING))
            continue;
        memcpy(&object, base + row->offset, sizeof(object));
        if (row->type == SCHEMA_STRING)
            tell_string(w, row, object);
        else if (row->type == SCHEMA_GROUPS)
            memcpy(&n, base + row->offset2, sizeof(n));
        for (uint32_t i = 0; row->type != SCHEMA_STRING && object != NULL && i < n; i++)
            walk_settings(w, row->path, object + i * row->size);
    }
}

void conf_paths(const struct conf *conf, conf_path_fn *fn, void *ctx)
{
    const struct walk w = {fn, ctx};
    const struct conf_own *own = conf_own_of(conf);

    for (uint32_t i = 0; i < own->n_sources; i++)
        fn(ctx, CONF_PATH_SOURCE, own->sources[i], i == 0 ? "the file" : "@include");
    walk_settings(&w, "", (const char *)own);
}
