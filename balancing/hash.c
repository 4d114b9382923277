/* hash.c - the same key to the same member: Maglev's lookup table.
 *
 * Each member wanders over the table in an order of its own, given by its identity (pool name and
 * backend name; not its index), and claims free entries as often as its weight says. The table so
 * depends on the set of members alone, and is nearly the same without one of them.
 * A pick reads the key's entry; if that member is not to be had it goes on to others that the key
 * leads to, so a key has a fixed second choice, and the keys of a member that is full or excluded
 * spread over all others by weight.
 * With load_bound_percent, members above that share of the pool's connections (by weight) are
 * passed over. The sum is kept per worker in the cursor and corrected by SWEEP members a pick:
 * exact up to that many members, otherwise what is counted is at most n / SWEEP picks old. If no
 * member within WALK_MAX entries is below its bound, the least loaded of them is chosen. */
#include "lb/base/hash.h"
#include "balancing/balancer_plan.h"
#include "balancing/min_heap.h"
#include "lb/base/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_PER_MEMBER 100 /* the shares of equal members then differ by one in a hundred */
#define WALK_MAX           64 /* entries looked at; with fewer members a scan is exact and cheaper */
#define SWEEP              16

/* The first prime with enough entries is used; the last one bounds memory to 2 MiB a plan. */
static const uint32_t table_sizes[] = {65537, 131071, 262139, 524287, 1048573};
static_assert(LIMIT_BACKENDS <= 1048573, "each member needs an entry");

struct hash_plan {
    struct balancer_plan base;
    uint16_t *table; /* member of each entry */
    uint32_t size;
    uint64_t *ids;       /* identity of each member */
    uint64_t weight_sum; /* of all members */
};

/* ---- the plan ---- */

/* A member while it wanders over the table. */
struct claimant {
    uint64_t id;
    uint32_t member;
    uint32_t entry; /* to try next */
    uint32_t skip;
    uint32_t claims;
};

static uint64_t identity(const struct backend_slot *slot)
{
    uint64_t pool = hash_bytes(slot->pool_name, strlen(slot->pool_name), 0);
    return hash_bytes(slot->name, strlen(slot->name), pool);
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = ((const struct claimant *)a)->id, y = ((const struct claimant *)b)->id;
    return x < y ? -1 : x > y;
}

static uint32_t table_size(uint32_t n)
{
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(table_sizes) && table_sizes[i] / ENTRIES_PER_MEMBER < n)
        i++;
    return table_sizes[i];
}

/* Takes the next free entry of this member's order; there is one. */
static void claim(struct hash_plan *plan, uint64_t *taken, struct claimant *c)
{
    uint32_t entry = c->entry;
    while ((taken[entry / 64] >> entry % 64 & 1) != 0) {
        entry += c->skip;
        if (entry >= plan->size)
            entry -= plan->size;
    }
    taken[entry / 64] |= UINT64_C(1) << entry % 64;
    plan->table[entry] = (uint16_t)c->member;
    c->entry = entry;
    c->claims++;
}

/* When a member comes to its next claim: its claim k at (k + phase) / weight, where the phase (12
 * bits of its identity) keeps members of one weight from coming all at once. What others weigh does
 * not matter, so that a change of one weight leaves the order of the others as it was. 48 bits. */
static uint64_t claim_time(const struct claimant *c, uint32_t weight)
{
    return (((uint64_t)c->claims << 12 | c->id >> 52) << 16) / weight;
}

/* One after the other: with equal weights this is the order of claim_time(). */
static void claim_in_turn(struct hash_plan *plan, uint64_t *taken, struct claimant *claimants,
                          uint32_t left)
{
    while (left > 0) {
        for (uint32_t i = 0; i < plan->base.n && left > 0; i++, left--)
            claim(plan, taken, &claimants[i]);
    }
}

static void claim_by_weight(struct hash_plan *plan, uint64_t *taken, struct claimant *claimants,
                            uint32_t left)
{
    uint64_t *queue = xmalloc(plan->base.n * sizeof(*queue)); /* heap of (time, claimant) */
    uint32_t n = 0;

    for (uint32_t i = 0; i < plan->base.n; i++) {
        struct claimant *c = &claimants[i];
        min_heap_push(queue, &n, claim_time(c, plan->base.members[c->member].weight) << 16 | i);
    }
    for (; left > 0; left--) {
        uint32_t i = (uint32_t)(queue[0] & UINT16_MAX);
        struct claimant *c = &claimants[i];
        claim(plan, taken, c);
        min_heap_replace(queue, n, claim_time(c, plan->base.members[c->member].weight) << 16 | i);
    }
    free(queue);
}

static void fill_table(struct hash_plan *plan, struct claimant *claimants, bool equal_weights)
{
    uint32_t n = plan->base.n;
    uint64_t *taken = xcalloc((plan->size + 63) / 64, sizeof(*taken));

    /* Everyone's first claim comes before all others: no one is left out however little it weighs.
     * It still counts as the first of its claims, so shares above one entry are as due. */
    for (uint32_t i = 0; i < n; i++)
        claim(plan, taken, &claimants[i]);
    if (equal_weights)
        claim_in_turn(plan, taken, claimants, plan->size - n);
    else
        claim_by_weight(plan, taken, claimants, plan->size - n);
    free(taken);
}

static void build_table(struct balancer_plan *base)
{
    struct hash_plan *plan = container_of(base, struct hash_plan, base);
    struct claimant *claimants = xcalloc(base->n, sizeof(*claimants));
    bool equal_weights = true;

    plan->size = table_size(base->n);
    plan->table = xmalloc(plan->size * sizeof(*plan->table));
    plan->ids = xmalloc(base->n * sizeof(*plan->ids));
    for (uint32_t i = 0; i < base->n; i++) {
        uint64_t id = identity(base->members[i].slot);
        plan->ids[i] = id;
        plan->weight_sum += base->members[i].weight;
        equal_weights = equal_weights && base->members[i].weight == base->members[0].weight;
        claimants[i] = (struct claimant){
            .id = id,
            .member = i,
            .entry = (uint32_t)scale_u64(hash_u64(id + 1), plan->size),
            .skip = 1 + (uint32_t)scale_u64(hash_u64(id + 2), plan->size - 1),
        };
    }
    qsort(claimants, base->n, sizeof(*claimants), compare_ids);
    fill_table(plan, claimants, equal_weights);
    free(claimants);
}

static void discard_table(struct balancer_plan *base)
{
    struct hash_plan *plan = container_of(base, struct hash_plan, base);
    free(plan->table);
    free(plan->ids);
}

/* ---- load bound ---- */

/* What one worker knows of the members' connections, in the cursor. */
struct loads {
    uint64_t sum;
    uint32_t next; /* member to be read anew next */
    uint32_t seen[];
};

static void see(struct loads *l, uint32_t member, uint32_t in_flight)
{
    l->sum += (uint64_t)in_flight - l->seen[member];
    l->seen[member] = in_flight;
}

static struct loads *loads_of(const struct balancer_plan *plan, struct balancer_cursor *cursor)
{
    void *scratch;
    bool fresh =
        balancer_scratch(plan, cursor, sizeof(struct loads) + plan->n * sizeof(uint32_t), &scratch);
    struct loads *l = scratch;
    uint32_t looks = SWEEP;

    if (unlikely(fresh)) {
        memset(l, 0, sizeof(*l) + plan->n * sizeof(l->seen[0]));
        looks = plan->n;
    }
    if (looks > plan->n)
        looks = plan->n;
    while (looks-- > 0) {
        see(l, l->next, slot_in_flight(plan->members[l->next].slot));
        if (++l->next == plan->n)
            l->next = 0;
    }
    return l;
}

/* May it get one more? Below ceil(bound x (connections with this one) x its share by weight). */
static bool below_bound(const struct hash_plan *plan, const struct loads *l,
                        const struct plan_member *m)
{
    uint32_t percent = plan->base.load_bound_percent > 100 ? plan->base.load_bound_percent : 100;
    return (unsigned __int128)slot_in_flight(m->slot) * 100 * plan->weight_sum <
           (unsigned __int128)(l->sum + 1) * percent * m->weight;
}

/* ---- the pick ---- */

#define NOBODY UINT32_MAX

/* The candidates of one pick: `found` is the answer once it is somebody. */
struct search {
    const struct hash_plan *plan;
    const struct pick *pick;
    struct loads *loads; /* NULL: no bound */
    uint32_t found;
    uint32_t overloaded; /* the least loaded of those with room, above the bound */
    bool full;           /* somebody was full */
};

static bool less_loaded(const struct plan_member *a, const struct plan_member *b)
{
    return (uint64_t)slot_in_flight(a->slot) * b->weight <
           (uint64_t)slot_in_flight(b->slot) * a->weight;
}

/* May this member be the answer? Notes why not. */
static bool suits(struct search *s, uint32_t member)
{
    const struct plan_member *members = s->plan->base.members;
    const struct plan_member *m = &members[member];

    if (pick_excludes(s->pick, m->slot))
        return false;
    if (!slot_has_room(m->slot)) {
        s->full = true;
        return false;
    }
    if (s->loads == NULL || below_bound(s->plan, s->loads, m))
        return true;
    if (s->overloaded == NOBODY || less_loaded(m, &members[s->overloaded]))
        s->overloaded = member;
    return false;
}

/* From entry to entry by hashing on. Not to the next one in the table: a member's entries are a
 * regular pattern, so some members stand behind a given one far more often than their share. */
static void walk(struct search *s, uint64_t key)
{
    for (int i = 0; i < WALK_MAX; i++) {
        uint32_t member = s->plan->table[scale_u64(key, s->plan->size)];
        if (likely(suits(s, member))) {
            s->found = member;
            return;
        }
        key = hash_u64(key + 1);
    }
}

/* All members, weighted rendezvous: the lowest -ln(u) / weight, where u in (0, 1] is the hash of
 * key and member. Like the walk it depends on who may be had, not on their order. */
static void scan(struct search *s, uint64_t key)
{
    double best = INFINITY;

    for (uint32_t i = 0; i < s->plan->base.n; i++) {
        if (!suits(s, i))
            continue;
        double u = ((double)(hash_u64(key ^ s->plan->ids[i]) >> 11) + 1) * 0x1p-53;
        double score = -log(u) / s->plan->base.members[i].weight;
        if (score < best) {
            best = score;
            s->found = i;
        }
    }
}

static enum pick_result pick_hash(const struct balancer_plan *base, struct balancer_cursor *cursor,
                                  const struct pick *pick, struct backend_slot **out_slot)
{
    const struct hash_plan *plan = container_of(base, struct hash_plan, base);
    uint64_t key = hash_u64(pick->key); /* the caller's may be uneven in its high bits */
    struct search s = {
        .plan = plan,
        .pick = pick,
        .loads = base->load_bound_percent > 0 ? loads_of(base, cursor) : NULL,
        .found = NOBODY,
        .overloaded = NOBODY,
    };

    walk(&s, key);
    if (unlikely(s.found == NOBODY) && (s.overloaded == NOBODY || base->n <= WALK_MAX))
        scan(&s, key);
    if (s.found == NOBODY)
        s.found = s.overloaded;
    if (s.found == NOBODY)
        return s.full ? PICK_FULL : PICK_NONE;
    *out_slot = base->members[s.found].slot;
    if (s.loads != NULL) /* it will have this one too */
        see(s.loads, s.found, slot_in_flight(*out_slot) + 1);
    return PICK_OK;
}

const struct balancer hash_balancer = {
    .name = "hash",
    .haproxy_name = "source",
    .plan_size = sizeof(struct hash_plan),
    .build = build_table,
    .discard = discard_table,
    .pick = pick_hash,
};
