/* member.c - see member.h */
#include "lb/upstream/member.h"

#include "lb/base/alloc.h"
#include "lb/obs/histogram.h"
#include "lb/obs/metrics.h"
#include "lb/obs/phases.h"

#include <stdlib.h>

struct member_counts *member_counts_new(uint32_t n_workers)
{
    struct member_counts *m = xcalloc(1, sizeof(*m));

    m->refs = 1;
    m->n_rows = n_workers;
    m->rows = xaligned(n_workers * sizeof(*m->rows));
    m->phases = phases_new(n_workers);
    return m;
}

void member_counts_unref(struct member_counts **counts)
{
    struct member_counts *m = *counts;

    *counts = NULL;
    if (m == NULL || --m->refs > 0)
        return;
    histogram_rows_free(&m->latency, m->n_rows);
    phases_free(&m->phases, m->n_rows);
    free(m->rows);
    free(m);
}

struct member_conns *member_conns_new(struct member_counts *counts)
{
    struct member_conns *m = xcalloc(1, sizeof(*m));

    m->refs = 1;
    m->counts = counts;
    counts->refs++;
    m->locals = xaligned(counts->n_rows * sizeof(*m->locals));
    for (uint32_t i = 0; i < counts->n_rows; i++) {
        list_init(&m->locals[i].idle.idle);
        list_init(&m->locals[i].h2.conns);
        list_init(&m->locals[i].h2.waiters);
        m->locals[i].h2.room = UINT32_MAX;
    }
    return m;
}

void member_conns_unref(struct member_conns **conns)
{
    struct member_conns *m = *conns;

    *conns = NULL;
    if (m == NULL || --m->refs > 0)
        return;
    for (uint32_t i = 0; i < m->counts->n_rows; i++)
        sl_assert(list_empty(&m->locals[i].idle.idle) && list_empty(&m->locals[i].h2.conns) &&
                  list_empty(&m->locals[i].h2.waiters));
    member_counts_unref(&m->counts);
    free(m->locals);
    free(m);
}
