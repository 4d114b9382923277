/* log_targets.h - one sink per place that the configuration names, however often it names it. */
#ifndef SLUICE_MAIN_LOG_TARGETS_H
#define SLUICE_MAIN_LOG_TARGETS_H

#include "lb/base/assert.h"

#include <stdint.h>

struct log_sink;

struct log_targets {
    struct log_target {
        char *name;
        struct log_sink *sink;
    } * rows;
    uint32_t n;
};

/* The sink for a target ("stdout", "/path", ...), opened when it is the first to ask. NULL with
 * *out_error (static text). */
struct log_sink *log_targets_get(struct log_targets *t, const char *name, const char **out_error);
void log_targets_fini(struct log_targets *t); /* closes them; the log thread has ended */

#endif
