/* file_plan.h - what a route with files looks for, made at load from its files_conf. Immutable,
 * shared by the workers.
 *
 * `tries`, in order, each one of
 *   a template of a path ("$path", "$path.html", "/index.html"): a file, or a directory with an
 *     index; the last of several may be what another route takes ("/index.php"): then that does
 *   "=404" (last): this answer
 *   "@app" (last): this pool
 * Without any it is "$path" alone. */
#ifndef SLUICE_FILES_FILE_PLAN_H
#define SLUICE_FILES_FILE_PLAN_H

#include "lb/base/str.h"
#include "lb/files/files_conf.h"

struct http_template;

enum file_try_kind { FILE_TRY_PATH, FILE_TRY_STATUS, FILE_TRY_POOL };

struct file_try {
    enum file_try_kind kind;
    struct http_template *path; /* FILE_TRY_PATH; NULL: the request's own */
    uint32_t status;
    const char *pool; /* its name; the conf's */
};

struct file_plan {
    const struct files_conf *conf;
    struct file_try *tries;
    uint32_t n_tries; /* at least one */
};

/* conf must outlive it. NULL: *out_at is the try with a mistake, *out_error what it is. */
struct file_plan *file_plan_new(const struct files_conf *conf, uint32_t *out_at,
                                const char **out_error);
void file_plan_free(struct file_plan **plan);

/* Of a try, without making a plan: the pool that it names, or NULL. */
static inline const char *file_try_pool(const char *text)
{
    return text[0] == '@' ? text + 1 : NULL;
}

#endif
