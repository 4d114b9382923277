/* metrics_set.h - which metrics there are, by kind of object; see metrics_text.h for how they are
 * written. Control thread: workers' counters are read as they are, nobody waits for anybody. */
#ifndef SLUICE_ADMIN_METRICS_SET_H
#define SLUICE_ADMIN_METRICS_SET_H

#include "lb/admin/metrics_text.h"

struct command_env;

/* Bounds of what one answer may hold: monitors store each combination of labels for good. What is
 * beyond is left out, and sluice_metrics_left_out says how many objects that are. */
#define METRICS_BACKENDS_MAX   5000
#define METRICS_ROUTES_MAX     2000
#define METRICS_HISTOGRAMS_MAX 500 /* backends with histograms of their own */
#define METRICS_PHASES_MAX     200 /* backends, and routes, with those of single phases */

void metrics_process(struct metrics_text *m, const struct command_env *env);
void metrics_objects(struct metrics_text *m, const struct command_env *env);
void metrics_phases(struct metrics_text *m, const struct command_env *env);
/* The names of HAProxy's own exporter, as far as the values exist here. */
void metrics_haproxy(struct metrics_text *m, const struct command_env *env);

#endif
