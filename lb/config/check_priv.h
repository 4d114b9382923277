/* check_priv.h - what the files of the cross checks share. */
#ifndef SLUICE_CONFIG_CHECK_PRIV_H
#define SLUICE_CONFIG_CHECK_PRIV_H

#include "lb/config/conf_own.h"
#include "lb/config/problems.h"

struct config_setting_t;
struct tls_env;

/* A thing with a name that must be its own. */
struct named {
    const char *name; /* NULL: its name was mistaken, said already */
    struct conf_place place;
    uint32_t index;
};

struct check {
    struct conf_own *own;
    const struct config_setting_t *root;
    struct problems *problems;
    struct named *pools;  /* sorted by name */
    bool *pool_used;      /* by a listener */
    struct tls_env **env; /* to build contexts in; made when it is needed */
};

/* The i-th element of a list of groups; a single group stands for a list of it. */
const struct config_setting_t *check_element(const struct config_setting_t *group, const char *list,
                                             uint32_t i);
const struct config_setting_t *check_member(const struct config_setting_t *group,
                                            const char *name); /* or NULL */
/* The line of the setting at a path below group, or of the nearest one around it that was written.
 */
uint32_t check_line(const struct config_setting_t *group, const char *path);
const struct config_setting_t *check_listener_setting(const struct check *c, uint32_t i);
const struct config_setting_t *check_pool_setting(const struct check *c, uint32_t i);
/* A remark on one setting of an object: LIST[NAME].SETTING. */
void check_tell(const struct check *c, enum problem_kind kind, const struct config_setting_t *group,
                const char *list, const char *name, const char *setting, const char *fmt, ...)
    PRINTF_LIKE(7, 8);
/* Tells of names that are used twice; sorts items. prefix: how the list is called in messages. */
void check_names(const struct check *c, struct named *items, uint32_t n, const char *prefix,
                 const struct config_setting_t *group, const char *list);
/* Whose pool a setting of an object names; tells when there is none, or not of this mode. */
bool check_find_pool(const struct check *c, const struct config_setting_t *group, const char *list,
                     const char *name, const char *setting, const char *pool_name,
                     enum pool_mode mode, uint32_t *out_index);
/* Tells when a backend of the pool is the listener itself. */
void check_loop(const struct check *c, uint32_t listener, uint32_t pool,
                const struct config_setting_t *group, const char *list, const char *name);
/* A setting of a pool that does nothing where it stands, unless it has its default. */
void check_idle(const struct check *c, uint32_t pool, const char *setting, bool works,
                const char *needs);

#define MODE_MISTAKEN ((enum pool_mode)0xff) /* said already */

#define pool_error(c, i, setting, ...)                                                             \
    check_tell(c, PROBLEM_ERROR, check_pool_setting(c, i), "pools", (c)->own->conf.pools[i].name,  \
               setting, __VA_ARGS__)
#define pool_warning(c, i, setting, ...)                                                           \
    check_tell(c, PROBLEM_WARNING, check_pool_setting(c, i), "pools",                              \
               (c)->own->conf.pools[i].name, setting, __VA_ARGS__)
#define listener_error(c, i, setting, ...)                                                         \
    check_tell(c, PROBLEM_ERROR, check_listener_setting(c, i), "listeners",                        \
               (c)->own->conf.listeners[i].name, setting, __VA_ARGS__)
#define listener_warning(c, i, setting, ...)                                                       \
    check_tell(c, PROBLEM_WARNING, check_listener_setting(c, i), "listeners",                      \
               (c)->own->conf.listeners[i].name, setting, __VA_ARGS__)

/* Files are named relative to the folder of the main file. */
char *check_absolute(const struct check *c, char *file);

/* check_tls.c */
void check_tls_admin(const struct check *c); /* of the admin address; it has tls */
void check_tls_listener(const struct check *c, uint32_t i);
void check_tls_pool(const struct check *c, uint32_t p);
void check_https(const struct check *c, uint32_t i); /* redirect_https and hsts */

/* check_http.c */
void check_http_pool(const struct check *c, uint32_t p);     /* an index */
void check_http_listener(const struct check *c, uint32_t i); /* likewise */

/* check_tests.c */
void check_tests(const struct check *c);

#endif
