/* places.c - see places.h */
#include "lb/main/places.h"

#include "lb/base/alloc.h"
#include "lb/config/conf.h"
#include "lb/config/conf_paths.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* Time zones, names of users and hosts, authorities, engines of libraries; what we say of
 * ourselves in metrics. Those that are not there are left out. */
static const char *const system_places[] = {
    "/usr",
    "/lib",
    "/lib64",
    "/proc",
    "/sys/fs/cgroup",
    "/etc/ssl",
    "/etc/pki",
    "/etc/crypto-policies",
    "/etc/localtime",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/ld.so.cache",
    "/var/lib/ca-certificates",
    "/run/systemd/userdb",
    "/dev/urandom",
    "/dev/random",
};
static const char *const system_variables[] = {"SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF",
                                               "OPENSSL_MODULES", "TZDIR"};

/* ---- the list ---- */

static bool beneath(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static bool covers(const struct places *p, const char *real, enum landlock_use use)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (p->rows[i].use >= use && beneath(real, p->rows[i].path))
            return true;
    return false;
}

/* Nothing where nothing is. */
static void add(struct places *p, const char *path, enum landlock_use use)
{
    char real[PATH_MAX];

    if (path == NULL || realpath(path, real) == NULL || covers(p, real, use))
        return;
    p->rows = xrealloc(p->rows, (p->n + 1) * sizeof(p->rows[0]));
    p->rows[p->n++] = (struct place){xstrdup(real), use};
}

/* ---- what the configuration names ---- */

/* These hold more than what is ours: of them the file alone. */
static bool is_common(const char *folder)
{
    return strcmp(folder, "/") == 0 || strcmp(folder, "/dev") == 0 || beneath(folder, "/proc");
}

/* Where the place of a file ends up: the folder without links; out has room for PATH_MAX bytes. */
static bool folder_of(const char *path, char *out)
{
    char copy[PATH_MAX];

    if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
        return false;
    return realpath(dirname(copy), out) != NULL;
}

static enum landlock_use use_of(enum conf_path_use use)
{
    bool written = use == CONF_PATH_KEPT || use == CONF_PATH_LOG || use == CONF_PATH_SOCKET;

    return written ? LANDLOCK_WRITE : LANDLOCK_READ;
}

static void on_path(void *ctx, enum conf_path_use use, const char *path, const char *setting)
{
    struct places *p = ctx;
    char folder[PATH_MAX], real[PATH_MAX];

    (void)setting;
    /* Of a tree too, since it is replaced as a whole when a new version of it comes. */
    if (use == CONF_PATH_TREE)
        add(p, path, LANDLOCK_READ);
    if (folder_of(path, folder))
        add(p, is_common(folder) ? path : folder, use_of(use));
    /* A link, as certbot makes them: what it leads to is in another folder. */
    if (realpath(path, real) != NULL && folder_of(real, folder))
        add(p, is_common(folder) ? real : folder, use_of(use));
}

/* A new resolv.conf is renamed into its folder. */
static void add_resolver(struct places *p, const struct conf *conf)
{
    char folder[PATH_MAX], real[PATH_MAX];

    if (conf->resolver.servers != NULL)
        return;
    add(p, "/etc", LANDLOCK_READ);
    if (realpath("/etc/resolv.conf", real) != NULL && folder_of(real, folder))
        add(p, folder, LANDLOCK_READ);
}

void places_of(struct places *p, const struct conf *conf)
{
    *p = (struct places){0};
    add(p, "/dev/null", LANDLOCK_WRITE);
    for (uint32_t i = 0; i < conf->hardening.n_paths; i++)
        add(p, conf->hardening.paths[i], LANDLOCK_WRITE);
    conf_paths(conf, on_path, p);
    for (size_t i = 0; i < ARRAY_LEN(system_places); i++)
        add(p, system_places[i], LANDLOCK_READ);
    for (size_t i = 0; i < ARRAY_LEN(system_variables); i++)
        add(p, getenv(system_variables[i]), LANDLOCK_READ);
    add_resolver(p, conf);
}

/* ---- what another one needs ---- */

struct missing {
    const struct places *places;
    bool keeper;
    const char *file;
    struct strbuf *errors;
    uint32_t n;
};

static void on_needed(void *ctx, enum conf_path_use use, const char *path, const char *setting)
{
    struct missing *m = ctx;
    char folder[PATH_MAX], real[PATH_MAX];
    bool there = realpath(path, real) != NULL;

    if (m->keeper && (use == CONF_PATH_SOURCE || use == CONF_PATH_FILE || use == CONF_PATH_LOG))
        return;
    if (there && covers(m->places, real, use_of(use)))
        return;
    /* Where there is nothing, whoever opens it says so: also of a pipe behind /dev/stdout. */
    if (!there &&
        (!folder_of(path, folder) || is_common(folder) || covers(m->places, folder, use_of(use))))
        return;
    m->n++;
    strbuf_addf(
        m->errors,
        "%s: error: %s: found \"%s\", which this process has given up with all that was not "
        "named at its start; expected a place beneath hardening.paths, or a restart\n",
        m->file, setting, path);
}

/* Only the names of backends are asked of /etc/resolv.conf. */
static bool has_names(const struct conf *conf)
{
    for (uint32_t i = 0; i < conf->n_pools; i++)
        for (uint32_t j = 0; j < conf->pools[i].n_backends; j++)
            if (conf->pools[i].backends[j].address.addr.len == 0)
                return true;
    return false;
}

static void need_resolver(struct missing *m, const struct conf *conf)
{
    char real[PATH_MAX];

    if (conf->resolver.servers != NULL || !has_names(conf) ||
        (realpath("/etc/resolv.conf", real) != NULL && covers(m->places, real, LANDLOCK_READ)))
        return;
    m->n++;
    strbuf_addf(
        m->errors,
        "%s: error: resolver.servers: found none, so /etc/resolv.conf is needed, which this "
        "process has given up; expected servers, /etc beneath hardening.paths, or a "
        "restart\n",
        m->file);
}

uint32_t places_missing(const struct places *p, const struct conf *conf, bool keeper,
                        const char *file, struct strbuf *errors)
{
    struct missing m = {p, keeper, file, errors, 0};

    conf_paths(conf, on_needed, &m);
    need_resolver(&m, conf);
    return m.n;
}

void places_fini(struct places *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        free(p->rows[i].path);
    free(p->rows);
    *p = (struct places){0};
}
