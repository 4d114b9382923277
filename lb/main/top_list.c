/* top_list.c - see top_list.h */
#include "lb/main/top_list.h"

#include "lb/base/alloc.h"

#include <stdlib.h>
#include <strings.h>

struct order {
    enum top_column by;
    bool reverse;
};

static int compare_numbers(int64_t a, int64_t b)
{
    return a > b ? -1 : a < b; /* the largest first */
}

static int compare_by(enum top_column by, const struct top_row *a, const struct top_row *b)
{
    switch (by) {
    case TOP_BY_NAME:
        return strcasecmp(a->type == TOP_BACKEND ? a->name : a->pool,
                          b->type == TOP_BACKEND ? b->name : b->pool);
    case TOP_BY_STATE:
        return strcmp(a->status, b->status);
    case TOP_BY_SINCE: /* the latest change first */
        return compare_numbers((int64_t)b->since_s, (int64_t)a->since_s);
    case TOP_BY_SESSIONS:
        return compare_numbers((int64_t)a->sessions, (int64_t)b->sessions);
    case TOP_BY_QUEUE:
        return compare_numbers((int64_t)a->queued, (int64_t)b->queued);
    case TOP_BY_RATE:
        return compare_numbers((int64_t)a->rate, (int64_t)b->rate);
    case TOP_BY_BYTES:
        return compare_numbers(a->bytes_rate, b->bytes_rate);
    case TOP_BY_ERRORS:
        return compare_numbers((int64_t)top_row_errors(a), (int64_t)top_row_errors(b));
    case TOP_BY_P50:
        return compare_numbers(a->p50_us, b->p50_us);
    case TOP_BY_P99:
        return compare_numbers(a->p99_us, b->p99_us);
    case TOP_BY_CONFIG:
    case TOP_COLUMNS:
        break;
    }
    return 0;
}

static int compare(const void *a, const void *b, void *arg)
{
    const struct top_row *x = *(const struct top_row *const *)a;
    const struct top_row *y = *(const struct top_row *const *)b;
    const struct order *o = arg;
    int c = compare_by(o->by, x, y);

    if (c == 0 && o->by != TOP_BY_CONFIG)
        return x < y ? -1 : x > y; /* rows of one array */
    if (c == 0)
        c = x < y ? -1 : x > y;
    return o->reverse ? -c : c;
}

static bool contains(const char *text, const char *part)
{
    return strcasestr(text, part) != NULL;
}

static bool matches(const struct top_row *r, const char *filter)
{
    return filter[0] == '\0' || contains(r->type == TOP_BACKEND ? r->name : r->pool, filter) ||
           contains(r->status, filter) || contains(r->address, filter);
}

static bool is_member(const struct top_row *r, const struct top_row *pool)
{
    return r->type == TOP_BACKEND && strcmp(r->pool, pool->pool) == 0;
}

/* The pool's row and those of its backends that the filter leaves, behind the list's end. In the
 * data the backends stand right in front of their pool; so it is looked for backwards. */
static void add_pool(struct top_list *l, const struct top_data *d, const struct top_row *pool,
                     struct order *order, const char *filter)
{
    bool all = filter[0] == '\0' || contains(pool->pool, filter);
    uint32_t start = l->n;
    const struct top_row *first = pool;

    l->rows[l->n++] = pool;
    while (first > d->rows && is_member(first - 1, pool))
        first--;
    for (const struct top_row *r = first; r < pool; r++)
        if (all || matches(r, filter))
            l->rows[l->n++] = r;
    if (l->n == start + 1 && !all && !matches(pool, filter))
        l->n = start;
    else
        qsort_r(&l->rows[start + 1], l->n - start - 1, sizeof(l->rows[0]), compare, order);
}

void top_list_make(struct top_list *l, const struct top_data *d, enum top_column sort, bool reverse,
                   const char *filter)
{
    const struct top_row **heads = xcalloc(d->n_rows + 1, sizeof(heads[0]));
    struct order order = {sort, reverse};
    uint32_t n = 0;

    *l = (struct top_list){.rows = xcalloc(d->n_rows + 1, sizeof(l->rows[0]))};
    for (uint32_t i = 0; i < d->n_rows; i++)
        if (d->rows[i].type == TOP_LISTENER && matches(&d->rows[i], filter))
            l->rows[l->n++] = &d->rows[i];
    qsort_r(l->rows, l->n, sizeof(l->rows[0]), compare, &order);
    for (uint32_t i = 0; i < d->n_rows; i++)
        if (d->rows[i].type == TOP_POOL)
            heads[n++] = &d->rows[i];
    qsort_r(heads, n, sizeof(heads[0]), compare, &order);
    for (uint32_t i = 0; i < n; i++)
        add_pool(l, d, heads[i], &order, filter);
    free(heads);
}

void top_list_fini(struct top_list *l)
{
    free(l->rows);
    *l = (struct top_list){0};
}
