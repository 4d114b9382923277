/* least_connections.c - the member with the lowest (in_flight + 1) / weight; among equals the one
 * that this worker chose longest ago.
 *
 * Up to SCAN_MAX members: an exact look at all of them.
 * More: a heap per worker in the cursor. Its keys are what this worker saw last; other workers'
 * picks and the ends of connections change the truth behind its back. So each pick reads SWEEP
 * members anew in rotation, and the top again until it stays on top (REREADS_MAX times at most).
 * Hence the chosen one is the least loaded by keys none of which is older than n / SWEEP picks of
 * this worker, and what it has gained since is never overlooked. Logarithmic in the members; but
 * linear when all seem full, for PICK_FULL must be true. */
#include "balancing/balancer_plan.h"

#define SCAN_MAX    16
#define SWEEP       4
#define REREADS_MAX 16

static bool less_loaded(uint32_t load_a, uint32_t weight_a, uint32_t load_b, uint32_t weight_b)
{
    return (uint64_t)load_a * weight_b < (uint64_t)load_b * weight_a;
}

/* ---- few members ---- */

/* cursor->position: the member after the one chosen last. Starting there makes equals take turns,
 * whoever else is among them. */
static enum pick_result pick_scan(const struct balancer_plan *plan, struct balancer_cursor *cursor,
                                  const struct pick *pick, struct backend_slot **out_slot)
{
    const struct plan_member *best = NULL;
    uint32_t best_load = 0;
    bool full = false;
    uint32_t at = (uint32_t)(cursor->position % plan->n);

    for (uint32_t i = 0; i < plan->n; i++, at = at + 1 == plan->n ? 0 : at + 1) {
        const struct plan_member *m = &plan->members[at];
        if (pick_excludes(pick, m->slot))
            continue;
        if (!slot_has_room(m->slot)) {
            full = true;
            continue;
        }
        uint32_t load = slot_in_flight(m->slot) + 1;
        if (best == NULL || less_loaded(load, m->weight, best_load, best->weight)) {
            best = m;
            best_load = load;
        }
    }
    if (best == NULL)
        return full ? PICK_FULL : PICK_NONE;
    cursor->position = (uint64_t)(best - plan->members) + 1;
    *out_slot = best->slot;
    return PICK_OK;
}

/* ---- many members ---- */

struct entry {
    uint64_t turn; /* when it was chosen last */
    uint32_t load; /* in_flight + 1, as seen last */
    uint16_t weight;
    uint16_t member;
    bool full; /* as seen last; full ones are below all others */
};

struct heap {
    uint64_t turn;   /* picks so far */
    uint32_t n_live; /* entries in heap order; those after them are set aside during a pick */
    uint32_t n;
    uint32_t sweep;  /* the member to be read anew next */
    uint16_t *place; /* where a member's entry is; behind the entries, in the same block */
    struct entry entry[];
};

static bool before(const struct entry *a, const struct entry *b)
{
    uint64_t load_a = (uint64_t)a->load * b->weight, load_b = (uint64_t)b->load * a->weight;
    if (unlikely(a->full != b->full))
        return b->full;
    return load_a != load_b ? load_a < load_b : a->turn < b->turn;
}

static void put(struct heap *h, uint32_t at, struct entry e)
{
    h->entry[at] = e;
    h->place[e.member] = (uint16_t)at;
}

static uint32_t sift_up(struct heap *h, uint32_t at)
{
    struct entry e = h->entry[at];
    while (at > 0 && before(&e, &h->entry[(at - 1) / 2])) {
        put(h, at, h->entry[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(h, at, e);
    return at;
}

static void sift_down(struct heap *h, uint32_t at)
{
    struct entry e = h->entry[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= h->n_live)
            break;
        if (child + 1 < h->n_live && before(&h->entry[child + 1], &h->entry[child]))
            child++;
        if (!before(&h->entry[child], &e))
            break;
        put(h, at, h->entry[child]);
        at = child;
    }
    put(h, at, e);
}

/* True when it changed. The entry may be out of place then. */
static bool reread(struct entry *e, const struct backend_slot *slot)
{
    uint32_t load = slot_in_flight(slot) + 1;
    bool full = !slot_has_room(slot);
    bool changed = load != e->load || full != e->full;
    e->load = load;
    e->full = full;
    return changed;
}

static void reread_all(struct heap *h, const struct balancer_plan *plan)
{
    for (uint32_t i = 0; i < h->n_live; i++)
        reread(&h->entry[i], plan->members[h->entry[i].member].slot);
    for (uint32_t i = h->n_live / 2; i-- > 0;)
        sift_down(h, i);
}

static void reread_some(struct heap *h, const struct balancer_plan *plan)
{
    for (int i = 0; i < SWEEP; i++) {
        uint32_t at = h->place[h->sweep];
        if (reread(&h->entry[at], plan->members[h->sweep].slot))
            sift_down(h, sift_up(h, at));
        if (++h->sweep == h->n)
            h->sweep = 0;
    }
}

/* The heap of this plan; made by the first pick that sees the plan. Idle equals start their turns
 * at cursor->position, so that neither workers nor plans all begin with the same member. */
static struct heap *heap_of(const struct balancer_plan *plan, struct balancer_cursor *cursor)
{
    void *scratch;
    size_t size = sizeof(struct heap) + plan->n * (sizeof(struct entry) + sizeof(uint16_t));
    bool fresh = balancer_scratch(plan, cursor, size, &scratch);
    struct heap *h = scratch;

    if (likely(!fresh))
        return h;
    h->turn = plan->n;
    h->n = h->n_live = plan->n;
    h->sweep = (uint32_t)(cursor->position % plan->n);
    h->place = (uint16_t *)&h->entry[plan->n];
    for (uint32_t i = 0, member = h->sweep; i < plan->n; i++) {
        struct entry e = {.turn = i,
                          .weight = (uint16_t)plan->members[member].weight,
                          .member = (uint16_t)member};
        put(h, i, e);
        member = member + 1 == plan->n ? 0 : member + 1;
    }
    reread_all(h, plan);
    return h;
}

static void set_top_aside(struct heap *h)
{
    struct entry top = h->entry[0], last = h->entry[--h->n_live];
    put(h, h->n_live, top);
    if (h->n_live > 0) {
        put(h, 0, last);
        sift_down(h, 0);
    }
}

static void restore(struct heap *h)
{
    while (h->n_live < h->n)
        sift_up(h, h->n_live++);
}

/* The top is this worker's choice: it will have one more in flight. */
static struct backend_slot *choose_top(struct heap *h, const struct balancer_plan *plan)
{
    struct entry *top = &h->entry[0];
    struct backend_slot *slot = plan->members[top->member].slot;
    top->load++;
    top->turn = h->turn++;
    sift_down(h, 0);
    return slot;
}

static enum pick_result pick_top(struct heap *h, const struct balancer_plan *plan,
                                 const struct pick *pick, struct backend_slot **out_slot)
{
    bool all_fresh = false;

    for (int rereads = 0; h->n_live > 0;) {
        struct entry *top = &h->entry[0];
        const struct backend_slot *slot = plan->members[top->member].slot;
        if (pick_excludes(pick, slot)) {
            set_top_aside(h);
            continue;
        }
        bool was_full = top->full, changed = reread(top, slot);
        if (unlikely(top->full)) {
            if (was_full && all_fresh)
                return PICK_FULL;
            if (was_full) { /* the best seems full, so all do: is it true? */
                reread_all(h, plan);
                all_fresh = true;
            } else {
                sift_down(h, 0);
            }
            continue;
        }
        if (changed && rereads++ < REREADS_MAX) {
            uint16_t member = top->member;
            sift_down(h, 0);
            if (h->entry[0].member != member)
                continue;
        }
        *out_slot = choose_top(h, plan);
        return PICK_OK;
    }
    return PICK_NONE;
}

static enum pick_result pick_least(const struct balancer_plan *plan, struct balancer_cursor *cursor,
                                   const struct pick *pick, struct backend_slot **out_slot)
{
    if (plan->n <= SCAN_MAX)
        return pick_scan(plan, cursor, pick, out_slot);

    struct heap *h = heap_of(plan, cursor);
    reread_some(h, plan);
    enum pick_result result = pick_top(h, plan, pick, out_slot);
    restore(h);
    cursor->position++;
    return result;
}

const struct balancer least_connections_balancer = {
    .name = "least_connections",
    .haproxy_name = "leastconn",
    .plan_size = sizeof(struct balancer_plan),
    .pick = pick_least,
};
