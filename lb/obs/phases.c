/* phases.c - see phases.h */
#include "lb/obs/phases.h"

#include "lb/base/assert.h"
#include "lb/obs/events.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static_assert(PHASE_BUCKETS == (2 + 28) * PHASE_STEPS,
              "16 exact values, then the powers of two from 2^4 to 2^31");

const char *phase_name(enum phase p)
{
    static const char *const names[PHASES] = {
        [PHASE_QUEUE] = "queue",
        [PHASE_CONNECT] = "connect",
        [PHASE_FIRST_BYTE] = "first_byte",
        [PHASE_TOTAL] = "total",
    };
    return names[p];
}

/* Mapped: pages come to be when a value falls into them. */
struct phase_row *phases_new(uint32_t n)
{
    void *rows = mmap(NULL, n * sizeof(struct phase_row), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (rows == MAP_FAILED) {
        events_log(EVENT_LIMIT, LOG_LEVEL_ERROR, NULL, "out of memory for latency histograms");
        exit(1);
    }
    return rows;
}

void phases_free(struct phase_row **rows, uint32_t n)
{
    if (*rows != NULL)
        munmap(*rows, n * sizeof(struct phase_row));
    *rows = NULL;
}

void phases_add(struct phase_row *row, const struct phase_times *t)
{
    for (uint32_t p = 0; p < PHASES; p++) {
        struct phase_histogram *h = &row->of[p];
        uint32_t us = t->us[p];
        if (us == PHASE_NONE)
            continue;
        counter_add(&h->buckets[phase_bucket(us)], 1);
        counter_add(&h->sum_us, us);
        if (us > counter_get(&h->max_us))
            counter_set(&h->max_us, us);
    }
}

static void add_row(const struct phase_histogram *h, struct histogram_sum *out)
{
    uint64_t max_us = counter_get(&h->max_us);

    out->sum_us += counter_get(&h->sum_us);
    if (max_us > out->max_us)
        out->max_us = max_us;
    for (uint32_t b = 0; b < PHASE_BUCKETS; b++) {
        uint64_t n = counter_get(&h->buckets[b]), low = phase_bucket_low(b);
        uint64_t middle = low + (phase_bucket_low(b + 1) - low) / 2;
        out->buckets[histogram_bucket((uint32_t)middle)] += n;
        out->n += n;
    }
}

void phases_sum(const struct phase_row *rows, uint32_t n_rows, const struct phase_row *base,
                enum phase p, struct histogram_sum *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < n_rows; i++)
        add_row(&rows[i].of[p], out);
    if (base == NULL)
        return;
    static struct histogram_sum before; /* 7 KiB; the control thread alone reads */
    memset(&before, 0, sizeof(before));
    add_row(&base->of[p], &before);
    histogram_subtract(out, &before);
}

void phases_note(const struct phase_row *rows, uint32_t n_rows, struct phase_row *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < n_rows; i++) {
        for (uint32_t p = 0; p < PHASES; p++) {
            counter_add(&out->of[p].sum_us, counter_get(&rows[i].of[p].sum_us));
            for (uint32_t b = 0; b < PHASE_BUCKETS; b++)
                counter_add(&out->of[p].buckets[b], counter_get(&rows[i].of[p].buckets[b]));
        }
    }
}

void phases_clear_max(struct phase_row *rows, uint32_t n_rows)
{
    for (uint32_t i = 0; rows != NULL && i < n_rows; i++)
        for (uint32_t p = 0; p < PHASES; p++)
            counter_set(&rows[i].of[p].max_us, 0);
}
