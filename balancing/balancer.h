/* balancer.h - which backend gets the next connection or request.
 *
 * Pure: no I/O, no clock, no allocation in a pick (but see struct balancer_cursor). Split in two:
 * - a *plan* is built off the hot path (health thread) from the members that may be used now, is
 *   immutable afterwards, shared by all workers, and swapped when the pool changes;
 * - a *cursor* is the small mutable state that one worker keeps per pool across plans.
 * A pick is constant time in the number of members (least_connections: at most logarithmic);
 * only when the chosen backend is full or excluded may it look further: a bounded number of steps
 * while others have room, and at all members before it answers PICK_FULL or PICK_NONE. */
#ifndef SLUICE_BALANCING_BALANCER_H
#define SLUICE_BALANCING_BALANCER_H

#include "health/table.h"

#include <stdbool.h>
#include <stdint.h>

struct rng; /* lb/base/rand.h */

enum balance_kind {
    BALANCE_ROUND_ROBIN,
    BALANCE_LEAST_CONNECTIONS,
    BALANCE_HASH,
    BALANCE_RANDOM_TWO,
    BALANCE_FIRST,
    BALANCE_PEAK_EWMA, /* mode http: by response time, see health/latency.h */
};

struct balancer_conf {
    enum balance_kind kind;
    /* hash: 0 off, else e.g. 125: a member has at most 1.25 x its share by weight of what is in
     * flight (rounded up); beyond that its keys go to others. 1 to 99 count as 100. */
    uint32_t load_bound_percent;
};

struct plan_member {
    struct backend_slot *slot;
    uint32_t weight; /* effective, x WEIGHT_SCALE, at most UINT16_MAX; 0 is left out of the plan */
};

struct balancer_plan; /* begins with the kind; see balancer_plan.h for implementers */

/* State of one worker for one pool; zero it to start. Survives plans: rotation goes on where it
 * was, it does not begin with the first member again. A caller with several workers sets `position`
 * to a random number, so that they do not walk in step.
 * least_connections (above 16 members) and hash with a load bound keep what they know of the
 * members in `scratch`: the first pick that sees a new plan allocates it anew and reads all
 * members; no other pick allocates. */
struct balancer_cursor {
    uint64_t position;
    void *scratch;         /* algorithm's own; see balancer_cursor_fini */
    uint64_t scratch_plan; /* serial of the plan that scratch belongs to */
};

struct pick {
    uint64_t key;             /* hash of the balancing key; used by BALANCE_HASH */
    const uint32_t *excluded; /* slot indexes already tried, not to be chosen again; a few */
    uint32_t n_excluded;
    struct rng *rng; /* used by BALANCE_RANDOM_TWO and BALANCE_PEAK_EWMA; the others accept NULL */
    uint64_t now_us; /* used by BALANCE_PEAK_EWMA: the clock of slot_observe_latency() */
};

enum pick_result {
    PICK_OK,
    PICK_FULL, /* all candidates are at max_connections: queue */
    PICK_NONE, /* no candidate at all (plan empty, or all excluded) */
};

/* members: copied; in configuration order; n may be 0. Off the hot path; never fails. */
struct balancer_plan *balancer_plan_new(const struct balancer_conf *conf,
                                        const struct plan_member *members, uint32_t n);
void balancer_plan_free(void *plan);                           /* void *: fits epoch_retire */
uint32_t balancer_plan_size(const struct balancer_plan *plan); /* members */

/* out_slot is untouched unless PICK_OK.
 * Chooses; does not take: the caller slot_take()s, and picks again when that fails in a race. */
enum pick_result balancer_pick(const struct balancer_plan *plan, struct balancer_cursor *cursor,
                               const struct pick *pick, struct backend_slot **out_slot);
void balancer_cursor_fini(struct balancer_cursor *cursor);

/* As configured, and as HAProxy says (roundrobin, leastconn, source...). NULL for a value after the
 * last kind, so that a caller can list them. */
const char *balance_kind_name(enum balance_kind kind);
const char *balance_kind_haproxy_name(enum balance_kind kind);
/* The kind that is configured as `name`; false: there is none. */
bool balance_kind_find(const char *name, enum balance_kind *out_kind);

#endif
