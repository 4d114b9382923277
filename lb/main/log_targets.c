/* log_targets.c - see log_targets.h */
#include "lb/main/log_targets.h"

#include "lb/base/alloc.h"
#include "lb/base/log.h"

#include <stdlib.h>
#include <string.h>

struct log_sink *log_targets_get(struct log_targets *t, const char *name, const char **out_error)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (strcmp(t->rows[i].name, name) == 0)
            return t->rows[i].sink;
    struct log_sink *sink = log_sink_open(name, out_error);
    if (sink == NULL)
        return NULL;
    t->rows = xrealloc(t->rows, (t->n + 1) * sizeof(t->rows[0]));
    t->rows[t->n++] = (struct log_target){xstrdup(name), sink};
    return sink;
}

void log_targets_fini(struct log_targets *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        log_sink_close(&t->rows[i].sink);
        free(t->rows[i].name);
    }
    free(t->rows);
    *t = (struct log_targets){0};
}
