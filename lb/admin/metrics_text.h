/* metrics_text.h - writes metrics as Prometheus reads them: its own text format (0.0.4), or
 * OpenMetrics 1.0. All samples of a family stand together, behind its name, type and help. Pure. */
#ifndef SLUICE_ADMIN_METRICS_TEXT_H
#define SLUICE_ADMIN_METRICS_TEXT_H

#include "lb/base/str.h"
#include "lb/obs/histogram.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_INFO };

struct metrics_text {
    struct strbuf *out;
    bool open_metrics;
    const char *name; /* of the present family, without _total */
    enum metric_type type;
};

/* Labels as they are written, without braces: `pool="app",backend="a"`. */
struct metric_labels {
    struct strbuf text;
};
void metric_labels_clear(struct metric_labels *l);
void metric_labels_add(struct metric_labels *l, const char *name, const char *value);
void metric_labels_fini(struct metric_labels *l);

/* name: without _total (counters) or _info; help: one line. */
void metrics_family(struct metrics_text *m, const char *name, enum metric_type type,
                    const char *help);
/* A sample of the present family. labels: NULL for none; more: further ones as they are written,
 * or NULL. */
void metrics_number(struct metrics_text *m, const struct metric_labels *labels, const char *more,
                    uint64_t value);
void metrics_seconds(struct metrics_text *m, const struct metric_labels *labels, const char *more,
                     uint64_t us);
/* All lines of one histogram of microseconds, in seconds. */
void metrics_histogram(struct metrics_text *m, const struct metric_labels *labels,
                       const struct histogram_sum *h);
void metrics_end(struct metrics_text *m);

#endif
