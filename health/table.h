/* table.h - the backend table: what the whole process knows of each backend, without locks.
 *
 * One slot per backend, reached by index; identity is pool name + backend name. A slot's `word`
 * packs everything a pick needs and is read with one acquire load; every writer compare-exchanges
 * the whole word. Writers: operational bits and the effective weight - the health thread alone;
 * admin bits and the set weight - the control thread (bits by origin). After a change that matters
 * for picks the writer bumps the pool's generation through the health thread (checker_touch), which
 * rebuilds what is derived from it (upstream/pool.h: the view) off the hot path.
 * Slots are never freed during the life of the process: a removed backend's slot is reused with the
 * next generation, and a stale (index, generation) pair is recognised. */
#ifndef SLUICE_HEALTH_TABLE_H
#define SLUICE_HEALTH_TABLE_H

#include "lb/base/counter.h"
#include "lb/base/limits.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct addr;         /* lb/net/addr.h */
struct epoch_domain; /* lb/base/epoch.h */

enum oper_state {
    OPER_UNKNOWN, /* no verdict yet: used only where nothing is up */
    OPER_UP,
    OPER_GOING_DOWN, /* up, with failed checks counting toward `fall`: still used */
    OPER_DOWN,
    OPER_GOING_UP, /* down, with passed checks counting toward `rise`: not used yet */
};

/* Admin bits by origin, with HAProxy's values (show servers state). Any MAINT bit: no traffic at
 * all; any DRAIN bit: no new traffic (weight counts as 0). */
enum admin_bits {
    ADMIN_FMAINT = 0x01, /* forced over the stats socket */
    ADMIN_IMAINT = 0x02, /* inherited from a tracked server (unused) */
    ADMIN_CMAINT = 0x04, /* by the configuration */
    ADMIN_FDRAIN = 0x08,
    ADMIN_IDRAIN = 0x10,
    ADMIN_RMAINT = 0x20, /* its name does not resolve */
    ADMIN_HMAINT = 0x40, /* by the host name's change (unused) */
    ADMIN_MAINT_MASK = 0x67,
    ADMIN_DRAIN_MASK = 0x18,
};

enum backend_role { ROLE_ANY, ROLE_PRIMARY, ROLE_REPLICA };

/* Effective weights are in 1/64 of a configured weight, so that slow start can ramp a weight of 1.
 */
#define WEIGHT_SCALE 64

/* The packed word, low bits first: oper 3, role 2, admin 8, ejected 1, (2 free), weight 16,
 * set_weight 9 (configured or set by `set weight`, 0-256), (7 free), generation 16. */
struct backend_word {
    enum oper_state oper;
    enum backend_role role;
    uint8_t admin;
    bool ejected;        /* for failed answers to clients: no traffic, whatever checks say */
    uint16_t weight;     /* effective, x WEIGHT_SCALE: set_weight x slow start */
    uint16_t set_weight; /* 0-256 */
    uint16_t generation;
};
uint64_t backend_word_pack(struct backend_word w);
struct backend_word backend_word_unpack(uint64_t packed);

/* Result of the last check, for people: HAProxy's check_status. CHECK_NONE is "": no check is
 * configured (status "no check"); CHECK_INI: none has ended yet. */
enum check_result {
    CHECK_NONE,
    CHECK_INI,
    CHECK_SOCKERR,
    CHECK_L4OK,
    CHECK_L4TOUT,
    CHECK_L4CON,
    CHECK_L6OK,
    CHECK_L6TOUT,
    CHECK_L6RSP,
    CHECK_L7OK,
    CHECK_L7OKC,
    CHECK_L7TOUT,
    CHECK_L7RSP,
    CHECK_L7STS,
    CHECK_PROCERR, /* of a program */
    CHECK_PROCTOUT,
    CHECK_PROCOK,
};
const char *check_result_name(enum check_result r);

/* Everything that is shown but never read by a pick. Written by the health thread (seqlock of
 * relaxed words inside), read by anyone through slot_info(). */
struct backend_info {
    uint64_t changed_at_us; /* wall clock of the last operational change; 0: since start */
    uint64_t down_since_us; /* 0 when not down */
    uint64_t downtime_us;   /* total, without the present down time */
    uint64_t checks, check_fails, transitions_down;
    uint32_t check_code; /* HTTP status, or errno of a connect */
    uint32_t check_duration_us;
    uint16_t rise, fall;  /* configured */
    uint16_t health;      /* HAProxy's: 0..rise+fall-1; >= rise is up */
    uint8_t result;       /* enum check_result of the last finished check */
    bool checking;        /* one is under way */
    bool check_enabled;   /* a check is configured (type is not none) */
    uint8_t agent_result; /* enum check_result of the agent's; CHECK_NONE: none */
    bool agent_enabled;   /* an agent is asked */
    bool agent_down;      /* ... and says that it is down */
    uint32_t agent_duration_us;
    uint16_t agent_part, agent_whole;      /* of the weight that is set; 0, 0: all of it */
    char desc[LIMIT_CHECK_DESC + 1];       /* what was seen: "HTTP 503, expected 200-399" */
    char reason[LIMIT_CHECK_DESC + 1];     /* of the last transition */
    char agent_desc[LIMIT_CHECK_DESC + 1]; /* what the agent has said */
};

/* A weight by what its agent leaves of it; not nothing unless the agent says 0. */
uint32_t backend_agent_weight(const struct backend_info *info, uint32_t weight);

#define BACKEND_INFO_WORDS (sizeof(struct backend_info) / sizeof(uint64_t))

struct backend_slot {
    /* Line 0: read by every pick, written on changes only. */
    alignas(CACHE_LINE) _Atomic uint64_t word;
    struct addr *_Atomic address;     /* NULL: unresolved; read in an epoch; replaced, not edited */
    _Atomic uint32_t max_connections; /* 0: no limit */
    uint32_t index;
    uint32_t pool;           /* number of its pool, which nobody else has as long as that lives */
    uint32_t sid;            /* 1.. within its pool, for the stats socket */
    _Atomic uint32_t member; /* index among the members of the newest pool of that name: a guess
                              * for others, see pool_member_index(). Set by pool_new() */
    /* Line 1: moved with every connection. */
    alignas(CACHE_LINE) _Atomic uint32_t in_flight; /* connections (tcp) or requests (http) */
    _Atomic uint32_t failed_in_a_row;               /* requests; see checker_report_result() */
    _Atomic uint64_t latency;                       /* see health/latency.h */
    counter in_flight_max;
    /* Then: cold. */
    alignas(CACHE_LINE) char name[LIMIT_NAME_LEN + 1];
    char pool_name[LIMIT_NAME_LEN + 1];
    _Atomic bool backup;       /* control thread changes it */
    uint16_t initial_weight;   /* configured */
    _Atomic uint32_t sequence; /* seqlock of info */
    _Atomic uint32_t refs;     /* of the checker: a removed slot waits for them */
    _Atomic uint64_t info_words[BACKEND_INFO_WORDS]; /* see slot_info() */
    /* Control thread only: what the configuration, with its overlay, says; what is in force can
     * be another value, set at run time. */
    struct {
        uint32_t weight, max_connections;
        uint8_t state;    /* enum admin_state */
        uint64_t address; /* hash of its text */
    } said;
    uint64_t address_sets; /* likewise: how often it was set */
    struct agent_set
        *agent_set; /* likewise, see agent_set.h; NULL: its agent is as its pool says */
    /* Likewise: why its name does not resolve, and why an admin took it out. */
    char maint_reason[LIMIT_MAINT_REASON + 1];
    char admin_reason[LIMIT_MAINT_REASON + 1];
    _Atomic bool agent_admin; /* its agent took it out, not an admin */
};

struct agent_set;
struct backend_table;

struct backend_table *table_new(struct epoch_domain *epochs);
void table_free(struct backend_table **t);
/* A new slot, or the slot that this identity has already (reload). Control thread.
 * Oper starts as OPER_UNKNOWN, weight as set_weight x WEIGHT_SCALE. NULL: LIMIT_BACKENDS reached.
 */
struct backend_slot *table_add(struct backend_table *t, const char *pool_name, const char *name);
/* Control thread. Nobody picks the slot from now on; it is given to another backend once every
 * reader, connection and check is done with it. Call checker_remove() first. */
void table_remove(struct backend_table *t, struct backend_slot *s);
struct backend_slot *table_slot(const struct backend_table *t, uint32_t index);
/* Control thread; NULL: no such backend. */
struct backend_slot *table_find(const struct backend_table *t, const char *pool_name,
                                const char *name);
uint32_t table_count(const struct backend_table *t); /* indexes are below this */

static inline struct backend_word slot_word(const struct backend_slot *s)
{
    return backend_word_unpack(atomic_load_explicit(&s->word, memory_order_acquire));
}
/* Compare-exchange helpers; they return the word before the change. */
struct backend_word slot_set_admin(struct backend_slot *s, uint8_t clear, uint8_t set);
struct backend_word slot_set_weight(struct backend_slot *s, uint16_t set_weight); /* 0-256 */
struct backend_word slot_set_oper(struct backend_slot *s, enum oper_state oper); /* health thread */
struct backend_word slot_set_effective(struct backend_slot *s, uint16_t weight); /* health thread */
struct backend_word slot_set_ejected(struct backend_slot *s, bool ejected);      /* health thread */
/* Who took it out, or back, was an admin, or the configuration: "" where no reason was given.
 * Control thread. */
void slot_set_reason(struct backend_slot *s, const char *reason);
/* Why it is in maintenance or drained, for people; "" when nobody said. Control thread. */
const char *slot_reason(const struct backend_slot *s);
/* Replaces the address (copied; NULL: unresolved); the old one is retired to the epoch domain. */
void slot_set_address(struct backend_table *t, struct backend_slot *s, const struct addr *a);
/* Likewise by all n that a name has, of which list[first] is used until a connect to it fails. */
void slot_set_names_addresses(struct backend_table *t, struct backend_slot *s,
                              const struct addr *list, uint32_t n, uint32_t first);
/* The address in use; len 0: none. The number of its setting, which is another one when it was set
 * since, not when a failed connect has moved it on. In an epoch, any thread. */
uint64_t slot_address(const struct backend_slot *s, struct addr *out);
/* Whether these are what it has, in any order. Control thread, which sets them. */
bool slot_has_addresses(const struct backend_slot *s, const struct addr *list, uint32_t n);
/* In an epoch, any thread: a connect there has not worked. Where a name has several addresses
 * another one is used from now on, if `failed` was; returns how many there are, else 0. */
uint32_t slot_address_failed(struct backend_slot *s, const struct addr *failed);
/* In an epoch, any thread: a connect there has worked. True, to one caller: the last one that
 * worked was to *out_before. */
bool slot_address_works(struct backend_slot *s, const struct addr *connected,
                        struct addr *out_before);
/* Of table.c and slot_address.c. */
void slot_set_addresses(struct epoch_domain *epochs, struct backend_slot *s,
                        const struct addr *list, uint32_t n, uint32_t first);
void slot_free_addresses(struct backend_slot *s);
/* A consistent copy. */
void slot_info(const struct backend_slot *s, struct backend_info *out);
void slot_set_info(struct backend_slot *s, const struct backend_info *info); /* health thread */

/* Takes one unit of in_flight unless max_connections is reached (exact). */
bool slot_take(struct backend_slot *s);
/* Gives it back; true when the backend has a limit, so that someone may wait for the place. Not
 * "was full before": of two places given back one after the other, the second would wake nobody
 * although two wait (tests/model/queue.pml has that as a variant that fails). */
bool slot_give(struct backend_slot *s);
/* Sequentially consistent, as slot_take(): a waiter counts itself, then looks here. */
static inline bool slot_has_room(const struct backend_slot *s)
{
    uint32_t max = atomic_load_explicit(&s->max_connections, memory_order_relaxed);
    return max == 0 || atomic_load(&s->in_flight) < max;
}

/* How a slot takes part in picks, from its word and whether it has an address. */
enum slot_use {
    USE_NEVER,   /* maintenance, drain, weight 0, down, ejected, or unresolved */
    USE_UNKNOWN, /* where nothing is up */
    USE_YES,
};
enum slot_use slot_use(const struct backend_slot *s);

#endif
