/* file_plan.c - see file_plan.h */
#include "lb/files/file_plan.h"

#include "lb/base/alloc.h"
#include "lb/http/template.h"

#include <stdlib.h>

static const char *compile_status(struct file_try *t, const char *text)
{
    uint64_t status;

    if (str_u64(str_of(text + 1), 599, &status) < 0 || status < 400)
        return "expected a status from 400 to 599 after =";
    t->kind = FILE_TRY_STATUS;
    t->status = (uint32_t)status;
    return NULL;
}

static const char *compile_try(struct file_try *t, const char *text, bool last)
{
    const char *error = NULL;

    if ((text[0] == '=' || text[0] == '@') && !last)
        return "an answer (=404) or a pool (@app) can only be the last";
    if (text[0] == '=')
        return compile_status(t, text);
    if (text[0] == '@') {
        t->kind = FILE_TRY_POOL;
        t->pool = text + 1;
        return NULL;
    }
    t->kind = FILE_TRY_PATH;
    if (text[0] != '/' && text[0] != '$')
        return "expected a path that begins with / or $path, an answer (=404) or a pool (@app)";
    if (strcmp(text, "$path") == 0)
        return NULL;
    t->path = http_template_compile(str_of(text), &error);
    return t->path == NULL ? error : NULL;
}

struct file_plan *file_plan_new(const struct files_conf *conf, uint32_t *out_at,
                                const char **out_error)
{
    struct file_plan *p = xcalloc(1, sizeof(*p));
    uint32_t n = conf->n_tries;

    p->conf = conf;
    p->n_tries = n > 0 ? n : 1;
    p->tries = xcalloc(p->n_tries, sizeof(*p->tries)); /* all 0: the request's own path */
    for (uint32_t i = 0; i < n; i++) {
        const char *error = compile_try(&p->tries[i], conf->tries[i], i + 1 == n);
        if (error != NULL) {
            *out_at = i;
            *out_error = error;
            file_plan_free(&p);
            return NULL;
        }
    }
    return p;
}

void file_plan_free(struct file_plan **plan)
{
    struct file_plan *p = *plan;

    *plan = NULL;
    if (p == NULL)
        return;
    for (uint32_t i = 0; i < p->n_tries; i++)
        http_template_free(&p->tries[i].path);
    free(p->tries);
    free(p);
}
