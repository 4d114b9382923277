/* metrics_text.c - see metrics_text.h */
#include "lb/admin/metrics_text.h"

#include <inttypes.h>
#include <stdio.h>

/* Upper bounds in microseconds, in steps of 1, 2.5, 5; each is the last value of none of our
 * buckets, so counts are right within a bucket's width (1.6 %). */
static const uint32_t bounds_us[] = {
    100,    250,    500,     1000,    2500,    5000,     10000,    25000,    50000,     100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 300000000,
};

void metric_labels_clear(struct metric_labels *l)
{
    strbuf_clear(&l->text);
}

void metric_labels_fini(struct metric_labels *l)
{
    strbuf_fini(&l->text);
}

void metric_labels_add(struct metric_labels *l, const char *name, const char *value)
{
    if (l->text.len > 0)
        strbuf_add_char(&l->text, ',');
    strbuf_addf(&l->text, "%s=\"", name);
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\\' || *p == '"')
            strbuf_add_char(&l->text, '\\');
        if (*p == '\n')
            strbuf_add_cstr(&l->text, "\\n");
        else
            strbuf_add_char(&l->text, *p);
    }
    strbuf_add_char(&l->text, '"');
}

/* What the format puts behind a sample's name. */
static const char *suffix(const struct metrics_text *m)
{
    return m->type == METRIC_COUNTER ? "_total" : m->type == METRIC_INFO ? "_info" : "";
}

void metrics_family(struct metrics_text *m, const char *name, enum metric_type type,
                    const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram", "info"};

    m->name = name;
    m->type = type;
    /* Prometheus' own format calls a family as its samples are called, and knows no info. */
    const char *end = m->open_metrics ? "" : suffix(m);
    const char *word = type == METRIC_INFO && !m->open_metrics ? "gauge" : types[type];
    strbuf_addf(m->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, end, help, name, end, word);
}

static void add_sample(struct metrics_text *m, const char *end, const struct metric_labels *labels,
                       const char *more)
{
    bool some = labels != NULL && labels->text.len > 0;

    strbuf_addf(m->out, "%s%s", m->name, end);
    if (some || more != NULL) {
        strbuf_add_char(m->out, '{');
        if (some)
            strbuf_add(m->out, labels->text.p, labels->text.len);
        if (some && more != NULL)
            strbuf_add_char(m->out, ',');
        if (more != NULL)
            strbuf_add_cstr(m->out, more);
        strbuf_add_char(m->out, '}');
    }
    strbuf_add_char(m->out, ' ');
}

void metrics_number(struct metrics_text *m, const struct metric_labels *labels, const char *more,
                    uint64_t value)
{
    add_sample(m, suffix(m), labels, more);
    strbuf_addf(m->out, "%" PRIu64 "\n", value);
}

static void add_seconds(struct strbuf *out, uint64_t us)
{
    strbuf_addf(out, "%" PRIu64 ".%06u\n", us / 1000000, (unsigned)(us % 1000000));
}

void metrics_seconds(struct metrics_text *m, const struct metric_labels *labels, const char *more,
                     uint64_t us)
{
    add_sample(m, suffix(m), labels, more);
    add_seconds(m->out, us);
}

void metrics_histogram(struct metrics_text *m, const struct metric_labels *labels,
                       const struct histogram_sum *h)
{
    char le[40];

    for (size_t i = 0; i < ARRAY_LEN(bounds_us); i++) {
        snprintf(le, sizeof(le), "le=\"%g\"", bounds_us[i] / 1e6);
        if (bounds_us[i] % 1000000 == 0) /* OpenMetrics wants 1.0 where a float is meant */
            snprintf(le, sizeof(le), "le=\"%u.0\"", bounds_us[i] / 1000000);
        add_sample(m, "_bucket", labels, le);
        strbuf_addf(m->out, "%" PRIu64 "\n", histogram_count_to(h, bounds_us[i]));
    }
    add_sample(m, "_bucket", labels, "le=\"+Inf\"");
    strbuf_addf(m->out, "%" PRIu64 "\n", h->n);
    add_sample(m, "_count", labels, NULL);
    strbuf_addf(m->out, "%" PRIu64 "\n", h->n);
    add_sample(m, "_sum", labels, NULL);
    add_seconds(m->out, h->sum_us);
}

void metrics_end(struct metrics_text *m)
{
    if (m->open_metrics)
        strbuf_add_cstr(m->out, "# EOF\n");
}
