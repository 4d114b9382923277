/* table.c - see table.h.
 *
 * Slots stand in chunks that never move, reached through an array of atomic chunk pointers, so that
 * a slot's address and index stay good for the life of the process and readers need no lock. */
#include "health/table.h"

#include "lb/base/alloc.h"
#include "lb/base/assert.h"
#include "lb/base/epoch.h"
#include "lb/net/addr.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_SLOTS 64
#define CHUNKS      (LIMIT_BACKENDS / CHUNK_SLOTS)

struct backend_table {
    struct epoch_domain *epochs;
    _Atomic uint32_t count;
    _Atomic(struct backend_slot *) chunks[CHUNKS];
};

/* ---- the packed word ---- */

static_assert(LIMIT_WEIGHT * WEIGHT_SCALE <= UINT16_MAX, "an effective weight fits its 16 bits");

uint64_t backend_word_pack(struct backend_word w)
{
    sl_assert(w.set_weight <= LIMIT_WEIGHT && w.weight <= LIMIT_WEIGHT * WEIGHT_SCALE);
    return (uint64_t)w.oper | (uint64_t)w.role << 3 | (uint64_t)w.admin << 5 |
           (uint64_t)w.weight << 16 | (uint64_t)w.set_weight << 32 | (uint64_t)w.generation << 48;
}

struct backend_word backend_word_unpack(uint64_t packed)
{
    return (struct backend_word){
        .oper = (enum oper_state)(packed & 7),
        .role = (enum backend_role)(packed >> 3 & 3),
        .admin = (uint8_t)(packed >> 5),
        .weight = (uint16_t)(packed >> 16),
        .set_weight = (uint16_t)(packed >> 32 & 0x1ff),
        .generation = (uint16_t)(packed >> 48),
    };
}

/* ---- changes of one part of the word: the others may move meanwhile ---- */

struct backend_word slot_set_admin(struct backend_slot *s, uint8_t clear, uint8_t set)
{
    uint64_t old = atomic_load_explicit(&s->word, memory_order_relaxed);
    struct backend_word w;

    do {
        w = backend_word_unpack(old);
        w.admin = (uint8_t)((w.admin & ~clear) | set);
    } while (!atomic_compare_exchange_weak(&s->word, &old, backend_word_pack(w)));
    return backend_word_unpack(old);
}

struct backend_word slot_set_weight(struct backend_slot *s, uint16_t set_weight)
{
    uint64_t old = atomic_load_explicit(&s->word, memory_order_relaxed);
    struct backend_word w;

    do {
        w = backend_word_unpack(old);
        /* The share that a slow start has reached is kept. */
        uint32_t full = (uint32_t)w.set_weight * WEIGHT_SCALE;
        uint32_t to = (uint32_t)set_weight * WEIGHT_SCALE;
        w.weight = (uint16_t)(full == 0 ? to : (uint64_t)to * w.weight / full);
        if (w.weight == 0 && set_weight > 0)
            w.weight = 1;
        w.set_weight = set_weight;
    } while (!atomic_compare_exchange_weak(&s->word, &old, backend_word_pack(w)));
    return backend_word_unpack(old);
}

struct backend_word slot_set_oper(struct backend_slot *s, enum oper_state oper)
{
    uint64_t old = atomic_load_explicit(&s->word, memory_order_relaxed);
    struct backend_word w;

    do {
        w = backend_word_unpack(old);
        w.oper = oper;
    } while (!atomic_compare_exchange_weak(&s->word, &old, backend_word_pack(w)));
    return backend_word_unpack(old);
}

struct backend_word slot_set_effective(struct backend_slot *s, uint16_t weight)
{
    uint64_t old = atomic_load_explicit(&s->word, memory_order_relaxed);
    struct backend_word w;

    do {
        w = backend_word_unpack(old);
        w.weight = weight;
    } while (!atomic_compare_exchange_weak(&s->word, &old, backend_word_pack(w)));
    return backend_word_unpack(old);
}

enum slot_use slot_use(const struct backend_slot *s)
{
    struct backend_word w = slot_word(s);

    if ((w.admin & (ADMIN_MAINT_MASK | ADMIN_DRAIN_MASK)) || w.set_weight == 0 ||
        atomic_load_explicit(&s->address, memory_order_acquire) == NULL)
        return USE_NEVER;
    switch (w.oper) {
    case OPER_UP:
    case OPER_GOING_DOWN:
        return w.weight > 0 ? USE_YES : USE_NEVER;
    case OPER_UNKNOWN:
        return USE_UNKNOWN;
    case OPER_DOWN:
    case OPER_GOING_UP:
        break;
    }
    return USE_NEVER;
}

/* ---- the table ---- */

struct backend_table *table_new(struct epoch_domain *epochs)
{
    struct backend_table *t = xcalloc(1, sizeof(*t));

    t->epochs = epochs;
    return t;
}

void table_free(struct backend_table **table)
{
    struct backend_table *t = *table;

    if (t == NULL)
        return;
    for (uint32_t i = 0; i < table_count(t); i++)
        free(atomic_load(&table_slot(t, i)->address));
    for (uint32_t c = 0; c < CHUNKS; c++)
        free(atomic_load(&t->chunks[c]));
    free(t);
    *table = NULL;
}

uint32_t table_count(const struct backend_table *t)
{
    return atomic_load_explicit(&t->count, memory_order_acquire);
}

struct backend_slot *table_slot(const struct backend_table *t, uint32_t index)
{
    sl_assert(index < table_count(t));
    return &atomic_load_explicit(&t->chunks[index / CHUNK_SLOTS],
                                 memory_order_acquire)[index % CHUNK_SLOTS];
}

struct backend_slot *table_find(const struct backend_table *t, const char *pool_name,
                                const char *name)
{
    for (uint32_t i = 0; i < table_count(t); i++) {
        struct backend_slot *s = table_slot(t, i);
        if (strcmp(s->name, name) == 0 && strcmp(s->pool_name, pool_name) == 0)
            return s;
    }
    return NULL;
}

static struct backend_slot *unused_slot(struct backend_table *t)
{
    uint32_t n = table_count(t);

    for (uint32_t i = 0; i < n; i++)
        if (table_slot(t, i)->name[0] == '\0')
            return table_slot(t, i);
    if (n == LIMIT_BACKENDS)
        return NULL;
    if (n % CHUNK_SLOTS == 0)
        atomic_store_explicit(&t->chunks[n / CHUNK_SLOTS],
                              xaligned(CHUNK_SLOTS * sizeof(struct backend_slot)),
                              memory_order_release);
    struct backend_slot *s =
        &atomic_load_explicit(&t->chunks[n / CHUNK_SLOTS], memory_order_relaxed)[n % CHUNK_SLOTS];
    s->index = n;
    atomic_store_explicit(&t->count, n + 1, memory_order_release);
    return s;
}

struct backend_slot *table_add(struct backend_table *t, const char *pool_name, const char *name)
{
    struct backend_slot *s = table_find(t, pool_name, name);

    if (s != NULL)
        return s;
    s = unused_slot(t);
    if (s == NULL)
        return NULL;
    struct backend_word w = slot_word(s);
    w = (struct backend_word){
        .oper = OPER_UNKNOWN,
        .weight = WEIGHT_SCALE,
        .set_weight = 1,
        .generation = (uint16_t)(w.generation + 1),
    };
    atomic_store_explicit(&s->word, backend_word_pack(w), memory_order_release);
    strncpy(s->name, name, LIMIT_NAME_LEN);
    strncpy(s->pool_name, pool_name, LIMIT_NAME_LEN);
    return s;
}

void table_remove(struct backend_table *t, struct backend_slot *s)
{
    slot_set_admin(s, 0, ADMIN_CMAINT);
    slot_set_address(t, s, NULL);
    s->name[0] = s->pool_name[0] = '\0';
}

void slot_set_address(struct backend_table *t, struct backend_slot *s, const struct addr *a)
{
    struct addr *copy = NULL;

    if (a != NULL) {
        copy = xmalloc(sizeof(*copy));
        *copy = *a;
    }
    struct addr *old = atomic_exchange(&s->address, copy);
    if (old != NULL)
        epoch_retire(t->epochs, old, free);
}

/* ---- info: a sequence lock over relaxed words; the one writer is the health thread ---- */

#define INFO_WORDS BACKEND_INFO_WORDS
static_assert(sizeof(struct backend_info) % sizeof(uint64_t) == 0, "info is copied by words");

void slot_info(const struct backend_slot *s, struct backend_info *out)
{
    uint64_t words[INFO_WORDS];
    uint32_t before;

    do {
        before = atomic_load_explicit(&s->sequence, memory_order_acquire);
        for (size_t i = 0; i < INFO_WORDS; i++)
            words[i] = atomic_load_explicit(&s->info_words[i], memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
    } while ((before & 1) != 0 ||
             atomic_load_explicit(&s->sequence, memory_order_relaxed) != before);
    memcpy(out, words, sizeof(*out));
}

void slot_set_info(struct backend_slot *s, const struct backend_info *info)
{
    uint32_t seq = atomic_load_explicit(&s->sequence, memory_order_relaxed);
    uint64_t words[INFO_WORDS];

    memcpy(words, info, sizeof(words));
    atomic_store_explicit(&s->sequence, seq + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < INFO_WORDS; i++)
        atomic_store_explicit(&s->info_words[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&s->sequence, seq + 2, memory_order_release);
}

const char *check_result_name(enum check_result r)
{
    static const char *const names[] = {
        [CHECK_NONE] = "",       [CHECK_INI] = "INI",       [CHECK_SOCKERR] = "SOCKERR",
        [CHECK_L4OK] = "L4OK",   [CHECK_L4TOUT] = "L4TOUT", [CHECK_L4CON] = "L4CON",
        [CHECK_L6OK] = "L6OK",   [CHECK_L6TOUT] = "L6TOUT", [CHECK_L6RSP] = "L6RSP",
        [CHECK_L7OK] = "L7OK",   [CHECK_L7OKC] = "L7OKC",   [CHECK_L7TOUT] = "L7TOUT",
        [CHECK_L7RSP] = "L7RSP", [CHECK_L7STS] = "L7STS",
    };
    return names[r];
}

/* ---- places ---- */

bool slot_take(struct backend_slot *s)
{
    uint32_t max = atomic_load_explicit(&s->max_connections, memory_order_relaxed);
    uint32_t n = atomic_load_explicit(&s->in_flight, memory_order_relaxed);

    if (max == 0) {
        n = atomic_fetch_add(&s->in_flight, 1);
    } else {
        do
            if (n >= max)
                return false;
        while (!atomic_compare_exchange_weak(&s->in_flight, &n, n + 1));
    }
    counter_max(&s->in_flight_max, n + 1);
    return true;
}

bool slot_give(struct backend_slot *s)
{
    uint32_t before = atomic_fetch_sub(&s->in_flight, 1);
    uint32_t max = atomic_load_explicit(&s->max_connections, memory_order_relaxed);

    sl_assert(before > 0);
    return max != 0 && before >= max;
}
