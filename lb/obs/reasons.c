/* reasons.c - see reasons.h. Entries are only ever appended: who finds a free one takes it by
 * compare-exchange, or looks at what another thread has put there meanwhile. */
#include "lb/obs/reasons.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define OTHER (LIMIT_REASONS - 1)

static _Atomic(const char *) codes[LIMIT_REASONS] = {[OTHER] = "other"};

static bool is(const char *known, const char *code)
{
    return known == code || strcmp(known, code) == 0;
}

static uint32_t index_of(const char *code)
{
    for (uint32_t i = 0; i < OTHER; i++) {
        const char *known = atomic_load_explicit(&codes[i], memory_order_acquire);
        if (known == NULL &&
            atomic_compare_exchange_strong_explicit(&codes[i], &known, code, memory_order_acq_rel,
                                                    memory_order_acquire))
            return i;
        if (is(known, code))
            return i;
    }
    return OTHER;
}

void reason_count(struct reason_counters *row, const char *code)
{
    if (code == NULL)
        return;
    counter_add(&row->n[index_of(code)], 1);
    counter_add(&row->total, 1);
}

void reason_counters_sum(const struct reason_counters *rows, uint32_t n,
                         struct reason_counters *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; rows != NULL && i < n; i++) {
        counter_add(&out->total, counter_get(&rows[i].total));
        for (uint32_t r = 0; r < LIMIT_REASONS; r++)
            counter_add(&out->n[r], counter_get(&rows[i].n[r]));
    }
}

const char *reason_code(uint32_t index)
{
    return atomic_load_explicit(&codes[index], memory_order_acquire);
}
