/* table.c - see table.h.
 *
 * Slots live in chunks that are never moved or freed while the table lives, so a slot's address is
 * its identity for readers and an index costs two loads. Names are found through hash chains that
 * belong to the control thread, as do adding and removing.
 * A removed slot may still be in the hands of a worker (an old view), of sessions (in_flight) and
 * of the checker (refs). It is given to another backend only when the epoch after its removal has
 * passed and both counts are zero; its generation is another one then. */
#include "health/table.h"

#include "lb/base/alloc.h"
#include "lb/base/assert.h"
#include "lb/base/epoch.h"
#include "lb/base/hash.h"
#include "lb/base/str.h"
#include "lb/net/addr.h"

#include "health/agent_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SLOTS 64
#define CHUNKS      (LIMIT_BACKENDS / CHUNK_SLOTS)
#define BUCKETS     16384 /* a chain has four names when all slots are taken */
#define NOBODY      UINT32_MAX

static_assert(LIMIT_BACKENDS % CHUNK_SLOTS == 0, "whole chunks");
static_assert(sizeof(struct backend_info) % sizeof(uint64_t) == 0, "info is copied by words");
static_assert(offsetof(struct backend_slot, in_flight) == CACHE_LINE, "in_flight on its own line");
static_assert(256 * WEIGHT_SCALE <= UINT16_MAX, "an effective weight fits its 16 bits");

/* Tells that all readers have passed the removal. Shared by the epoch domain, which may live
 * longer, and the table; freed by the last. */
struct tomb {
    _Atomic uint32_t refs;
};

/* What only the control thread knows of a slot. */
struct slot_place {
    uint32_t next;     /* in its chain */
    struct tomb *tomb; /* not NULL: removed */
};

struct backend_table {
    struct epoch_domain *epochs;
    _Atomic uint32_t count;
    struct backend_slot *_Atomic chunks[CHUNKS];
    /* The control thread's. */
    struct slot_place *places; /* one per slot of the chunks there are */
    uint32_t n_removed;
    uint32_t buckets[BUCKETS];
};

/* ---- the word ---- */

#define FIELD(w, at, bits) (((w) >> (at)) & ((1u << (bits)) - 1))

enum {
    OPER_AT = 0,
    ROLE_AT = 3,
    ADMIN_AT = 5,
    EJECTED_AT = 13,
    WEIGHT_AT = 16,
    SET_AT = 32,
    GENERATION_AT = 48
};

uint64_t backend_word_pack(struct backend_word w)
{
    sl_assert(w.oper <= OPER_GOING_UP && w.role <= ROLE_REPLICA && w.set_weight <= LIMIT_WEIGHT);
    return (uint64_t)w.oper << OPER_AT | (uint64_t)w.role << ROLE_AT |
           (uint64_t)w.admin << ADMIN_AT | (uint64_t)w.ejected << EJECTED_AT |
           (uint64_t)w.weight << WEIGHT_AT | (uint64_t)w.set_weight << SET_AT |
           (uint64_t)w.generation << GENERATION_AT;
}

struct backend_word backend_word_unpack(uint64_t packed)
{
    return (struct backend_word){
        .oper = (enum oper_state)FIELD(packed, OPER_AT, 3),
        .role = (enum backend_role)FIELD(packed, ROLE_AT, 2),
        .admin = (uint8_t)FIELD(packed, ADMIN_AT, 8),
        .ejected = FIELD(packed, EJECTED_AT, 1) != 0,
        .weight = (uint16_t)FIELD(packed, WEIGHT_AT, 16),
        .set_weight = (uint16_t)FIELD(packed, SET_AT, 9),
        .generation = (uint16_t)FIELD(packed, GENERATION_AT, 16),
    };
}

/* One attempt to replace *seen by w; a failed one refreshes *seen. Release: who reads the new word
 * sees what was written before it, such as an address. */
static bool replace(struct backend_slot *s, uint64_t *seen, struct backend_word w)
{
    return atomic_compare_exchange_weak_explicit(&s->word, seen, backend_word_pack(w),
                                                 memory_order_acq_rel, memory_order_acquire);
}

struct backend_word slot_set_admin(struct backend_slot *s, uint8_t clear, uint8_t set)
{
    uint64_t seen = atomic_load_explicit(&s->word, memory_order_acquire);
    struct backend_word before, w;

    do {
        before = w = backend_word_unpack(seen);
        w.admin = (uint8_t)((w.admin & ~clear) | set);
    } while (!replace(s, &seen, w));
    return before;
}

/* The effective weight follows at once, at the same place of a ramp; the checker computes it anew
 * when it is told of the change. */
static uint16_t rescale(struct backend_word w, uint16_t set_weight)
{
    uint32_t full = (uint32_t)set_weight * WEIGHT_SCALE;

    if (w.set_weight == 0 || w.weight >= (uint32_t)w.set_weight * WEIGHT_SCALE || set_weight == 0)
        return (uint16_t)full;
    uint32_t scaled = (uint32_t)w.weight * set_weight / w.set_weight;
    return (uint16_t)(scaled > 0 ? scaled : 1);
}

struct backend_word slot_set_weight(struct backend_slot *s, uint16_t set_weight)
{
    uint64_t seen = atomic_load_explicit(&s->word, memory_order_acquire);
    struct backend_word before, w;

    sl_assert(set_weight <= LIMIT_WEIGHT);
    do {
        before = w = backend_word_unpack(seen);
        w.weight = rescale(w, set_weight);
        w.set_weight = set_weight;
    } while (!replace(s, &seen, w));
    return before;
}

struct backend_word slot_set_oper(struct backend_slot *s, enum oper_state oper)
{
    uint64_t seen = atomic_load_explicit(&s->word, memory_order_acquire);
    struct backend_word before, w;

    do {
        before = w = backend_word_unpack(seen);
        w.oper = oper;
    } while (!replace(s, &seen, w));
    return before;
}

struct backend_word slot_set_effective(struct backend_slot *s, uint16_t weight)
{
    uint64_t seen = atomic_load_explicit(&s->word, memory_order_acquire);
    struct backend_word before, w;

    do {
        before = w = backend_word_unpack(seen);
        w.weight = weight;
    } while (!replace(s, &seen, w));
    return before;
}

struct backend_word slot_set_ejected(struct backend_slot *s, bool ejected)
{
    uint64_t seen = atomic_load_explicit(&s->word, memory_order_acquire);
    struct backend_word before, w;

    do {
        before = w = backend_word_unpack(seen);
        w.ejected = ejected;
    } while (!replace(s, &seen, w));
    return before;
}

uint32_t backend_agent_weight(const struct backend_info *info, uint32_t weight)
{
    if (info->agent_part == info->agent_whole)
        return weight;
    uint64_t w = (uint64_t)weight * info->agent_part / info->agent_whole,
             most = LIMIT_WEIGHT * WEIGHT_SCALE;
    if (w == 0 && weight > 0 && info->agent_part > 0)
        w = 1;
    return (uint32_t)(w < most ? w : most);
}

void slot_set_reason(struct backend_slot *s, const char *reason)
{
    snprintf(s->admin_reason, sizeof(s->admin_reason), "%s", reason);
    s->agent_admin = false;
}

const char *slot_reason(const struct backend_slot *s)
{
    uint8_t admin = slot_word(s).admin;

    if (admin & ADMIN_RMAINT)
        return s->maint_reason;
    if (s->agent_admin && (admin & (ADMIN_FMAINT | ADMIN_FDRAIN)))
        return "its agent says so";
    return admin != 0 ? s->admin_reason : "";
}

enum slot_use slot_use(const struct backend_slot *s)
{
    struct backend_word w = slot_word(s);

    if ((w.admin & (ADMIN_MAINT_MASK | ADMIN_DRAIN_MASK)) != 0 || w.ejected || w.set_weight == 0 ||
        w.weight == 0 || atomic_load_explicit(&s->address, memory_order_acquire) == NULL)
        return USE_NEVER;
    switch (w.oper) {
    case OPER_UP:
    case OPER_GOING_DOWN:
        return USE_YES;
    case OPER_UNKNOWN:
        return USE_UNKNOWN;
    case OPER_DOWN:
    case OPER_GOING_UP:
        break;
    }
    return USE_NEVER;
}

/* ---- the address ---- */

void slot_set_address(struct backend_table *t, struct backend_slot *s, const struct addr *a)
{
    slot_set_addresses(t->epochs, s, a, a != NULL, 0);
}

void slot_set_names_addresses(struct backend_table *t, struct backend_slot *s,
                              const struct addr *list, uint32_t n, uint32_t first)
{
    slot_set_addresses(t->epochs, s, list, n, first);
}

/* ---- info: a seqlock ----
 *
 * The words are atomic, so that no read of them is a race; what makes a copy consistent is the
 * sequence, odd during a write. Instead of fences (which the thread sanitizer does not know) each
 * word carries the order: a reader that sees a word of a new write (acquire) also sees the odd
 * sequence before it (the word's release), and notices the change at its second look. */

void slot_set_info(struct backend_slot *s, const struct backend_info *info)
{
    uint64_t words[BACKEND_INFO_WORDS];
    uint32_t seq = atomic_load_explicit(&s->sequence, memory_order_relaxed);

    memcpy(words, info, sizeof(words));
    atomic_store_explicit(&s->sequence, seq + 1, memory_order_relaxed);
    for (size_t i = 0; i < BACKEND_INFO_WORDS; i++)
        atomic_store_explicit(&s->info_words[i], words[i], memory_order_release);
    atomic_store_explicit(&s->sequence, seq + 2, memory_order_release);
}

void slot_info(const struct backend_slot *s, struct backend_info *out)
{
    uint64_t words[BACKEND_INFO_WORDS];
    uint32_t before, after;

    do {
        before = atomic_load_explicit(&s->sequence, memory_order_acquire);
        for (size_t i = 0; i < BACKEND_INFO_WORDS; i++)
            words[i] = atomic_load_explicit(&s->info_words[i], memory_order_acquire);
        after = atomic_load_explicit(&s->sequence, memory_order_relaxed);
    } while (before != after || before % 2 == 1);
    memcpy(out, words, sizeof(*out));
}

const char *check_result_name(enum check_result r)
{
    static const char *const names[] = {
        [CHECK_NONE] = "",           [CHECK_INI] = "INI",
        [CHECK_SOCKERR] = "SOCKERR", [CHECK_L4OK] = "L4OK",
        [CHECK_L4TOUT] = "L4TOUT",   [CHECK_L4CON] = "L4CON",
        [CHECK_L6OK] = "L6OK",       [CHECK_L6TOUT] = "L6TOUT",
        [CHECK_L6RSP] = "L6RSP",     [CHECK_L7OK] = "L7OK",
        [CHECK_L7OKC] = "L7OKC",     [CHECK_L7TOUT] = "L7TOUT",
        [CHECK_L7RSP] = "L7RSP",     [CHECK_L7STS] = "L7STS",
        [CHECK_PROCERR] = "PROCERR", [CHECK_PROCTOUT] = "PROCTOUT",
        [CHECK_PROCOK] = "PROCOK",
    };
    return (size_t)r < ARRAY_LEN(names) ? names[r] : "UNK";
}

/* ---- places at a backend ----
 *
 * Sequentially consistent against the count of waiters: a waiter counts itself, then looks for
 * room; a giver makes room, then looks for waiters. One of them sees the other (tests/model). */

bool slot_take(struct backend_slot *s)
{
    uint32_t max = atomic_load_explicit(&s->max_connections, memory_order_relaxed);
    uint32_t n = 0;

    if (max == 0) {
        n = atomic_fetch_add(&s->in_flight, 1);
    } else {
        n = atomic_load(&s->in_flight);
        do {
            if (n >= max)
                return false;
        } while (!atomic_compare_exchange_weak(&s->in_flight, &n, n + 1));
    }
    counter_max(&s->in_flight_max, n + 1);
    return true;
}

bool slot_give(struct backend_slot *s)
{
    uint32_t before = atomic_fetch_sub(&s->in_flight, 1);

    sl_assert(before > 0);
    return atomic_load_explicit(&s->max_connections, memory_order_relaxed) != 0;
}

/* ---- the table ---- */

static struct backend_slot *slot_at(const struct backend_table *t, uint32_t index)
{
    struct backend_slot *chunk =
        atomic_load_explicit(&t->chunks[index / CHUNK_SLOTS], memory_order_acquire);
    return &chunk[index % CHUNK_SLOTS];
}

static uint32_t *bucket_of(struct backend_table *t, const char *pool_name, const char *name)
{
    uint64_t h = hash_bytes(pool_name, strlen(pool_name) + 1, 0);
    return &t->buckets[hash_bytes(name, strlen(name), h) % BUCKETS];
}

static uint32_t find(const struct backend_table *t, const char *pool_name, const char *name)
{
    uint32_t i = *bucket_of((struct backend_table *)t, pool_name, name);

    for (; i != NOBODY; i = t->places[i].next) {
        const struct backend_slot *s = slot_at(t, i);
        if (strcmp(s->name, name) == 0 && strcmp(s->pool_name, pool_name) == 0)
            return i;
    }
    return NOBODY;
}

static void link_name(struct backend_table *t, const struct backend_slot *s)
{
    uint32_t *head = bucket_of(t, s->pool_name, s->name);

    t->places[s->index].next = *head;
    *head = s->index;
}

static void unlink_name(struct backend_table *t, const struct backend_slot *s)
{
    uint32_t *at = bucket_of(t, s->pool_name, s->name);

    while (*at != s->index)
        at = &t->places[*at].next;
    *at = t->places[s->index].next;
}

static void tomb_unref(void *arg)
{
    struct tomb *tomb = arg;

    if (atomic_fetch_sub(&tomb->refs, 1) == 1)
        free(tomb);
}

/* All readers have passed since the removal and nobody counts on the slot. */
static bool reusable(const struct backend_slot *s, const struct tomb *tomb)
{
    return atomic_load(&tomb->refs) == 1 && atomic_load(&s->refs) == 0 &&
           atomic_load(&s->in_flight) == 0;
}

static struct backend_slot *take_removed(struct backend_table *t)
{
    uint32_t count = table_count(t);

    if (t->n_removed == 0)
        return NULL;
    epoch_collect(t->epochs);
    for (uint32_t i = 0; i < count; i++) {
        struct backend_slot *s = slot_at(t, i);
        struct tomb *tomb = t->places[i].tomb;
        if (tomb == NULL || !reusable(s, tomb))
            continue;
        unlink_name(t, s);
        tomb_unref(tomb);
        t->places[i].tomb = NULL;
        t->n_removed--;
        return s;
    }
    return NULL;
}

static struct backend_slot *take_new(struct backend_table *t)
{
    uint32_t index = table_count(t);

    if (index == LIMIT_BACKENDS)
        return NULL;
    if (index % CHUNK_SLOTS == 0) {
        struct backend_slot *chunk = xaligned(CHUNK_SLOTS * sizeof(*chunk));
        t->places = xrealloc(t->places, (index + CHUNK_SLOTS) * sizeof(*t->places));
        atomic_store_explicit(&t->chunks[index / CHUNK_SLOTS], chunk, memory_order_release);
    }
    struct backend_slot *s = slot_at(t, index);
    s->index = index;
    t->places[index] = (struct slot_place){.next = NOBODY};
    return s;
}

static void set_name(char *to, const char *from)
{
    sl_assert(strlen(from) <= LIMIT_NAME_LEN); /* the configuration reader checks it */
    memcpy(to, from, strlen(from) + 1);
}

/* Everything of the slot but its index and its generation, which goes on. */
static void start_afresh(struct backend_table *t, struct backend_slot *s, const char *pool_name,
                         const char *name)
{
    const struct backend_word w = {
        .weight = WEIGHT_SCALE,
        .set_weight = 1,
        .generation = (uint16_t)(slot_word(s).generation + 1),
    };
    const struct backend_info info = {.result = CHECK_NONE};

    slot_set_address(t, s, NULL);
    atomic_store_explicit(&s->max_connections, 0, memory_order_relaxed);
    s->pool = 0; /* one by one: some are atomic */
    s->sid = 0;
    s->member = 0;
    counter_set(&s->in_flight_max, 0);
    atomic_store_explicit(&s->failed_in_a_row, 0, memory_order_relaxed);
    atomic_store_explicit(&s->latency, 0, memory_order_relaxed);
    set_name(s->name, name);
    set_name(s->pool_name, pool_name);
    s->backup = false;
    s->initial_weight = 1;
    s->maint_reason[0] = '\0';
    slot_set_reason(s, "");
    memset(&s->said, 0, sizeof(s->said));
    agent_set_put(s, NULL);
    slot_set_info(s, &info);
    atomic_store_explicit(&s->word, backend_word_pack(w), memory_order_release);
}

struct backend_table *table_new(struct epoch_domain *epochs)
{
    struct backend_table *t = xcalloc(1, sizeof(*t));

    t->epochs = epochs;
    for (uint32_t i = 0; i < BUCKETS; i++)
        t->buckets[i] = NOBODY;
    return t;
}

void table_free(struct backend_table **tp)
{
    struct backend_table *t = *tp;

    if (t == NULL)
        return;
    for (uint32_t i = 0; i < table_count(t); i++) {
        slot_free_addresses(slot_at(t, i));
        agent_set_put(slot_at(t, i), NULL);
        if (t->places[i].tomb != NULL)
            tomb_unref(t->places[i].tomb);
    }
    for (uint32_t i = 0; i < CHUNKS; i++)
        free(atomic_load(&t->chunks[i]));
    free(t->places);
    free(t);
    *tp = NULL;
}

struct backend_slot *table_add(struct backend_table *t, const char *pool_name, const char *name)
{
    uint32_t known = find(t, pool_name, name);
    bool fresh = false;

    if (known != NOBODY && t->places[known].tomb == NULL)
        return slot_at(t, known);
    /* A removed slot with this name is not taken up again: it may still be in use as what it was.
     */
    struct backend_slot *s = take_removed(t);
    if (s == NULL) {
        s = take_new(t);
        fresh = true;
    }
    if (s == NULL)
        return NULL;
    start_afresh(t, s, pool_name, name);
    link_name(t, s);
    if (fresh) /* from here on readers see it, as it is now */
        atomic_store_explicit(&t->count, s->index + 1, memory_order_release);
    return s;
}

void table_remove(struct backend_table *t, struct backend_slot *s)
{
    struct slot_place *place = &t->places[s->index];

    sl_assert(place->tomb == NULL);
    slot_set_admin(s, 0, ADMIN_CMAINT); /* nobody picks it any more */
    place->tomb = xcalloc(1, sizeof(*place->tomb));
    atomic_init(&place->tomb->refs, 2);
    t->n_removed++;
    epoch_retire(t->epochs, place->tomb, tomb_unref);
}

struct backend_slot *table_slot(const struct backend_table *t, uint32_t index)
{
    sl_assert(index < table_count(t));
    return slot_at(t, index);
}

struct backend_slot *table_find(const struct backend_table *t, const char *pool_name,
                                const char *name)
{
    uint32_t i = find(t, pool_name, name);
    return i == NOBODY || t->places[i].tomb != NULL ? NULL : slot_at(t, i);
}

uint32_t table_count(const struct backend_table *t)
{
    return atomic_load_explicit(&t->count, memory_order_acquire);
}
