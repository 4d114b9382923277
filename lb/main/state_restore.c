/* state_restore.c - see state_restore.h */
#include "lb/main/state_restore.h"

#include "health/agent_set.h"
#include "health/checker.h"
#include "health/state_text.h"
#include "lb/config/conf.h"
#include "lb/main/backends.h"
#include "lb/main/checker_thread.h"
#include "lb/main/process.h"
#include "lb/upstream/pool.h"

#include <stdio.h>
#include <string.h>

static bool literal(const struct pool_member *m)
{
    return m->conf->address.addr.len > 0;
}

struct restore {
    struct process *process;
    struct backends_changes changes;
    bool again; /* it was done before: only what differs is worth a line */
};

/* Returns what is to be in force. */
static uint32_t settle(struct restore *r, const struct backend_slot *s, const char *name,
                       struct state_number was, uint32_t is, uint32_t in_force)
{
    uint32_t due = was.conf == is ? was.now : is;
    bool set;

    if (was.now != was.conf && (in_force != due || (was.conf != is && !r->again)))
        backends_settle(&r->changes, s, name, was.conf, is, was.now, &set);
    else if (in_force != due)
        backends_settle(&r->changes, s, name, in_force, due, in_force, &set);
    return due;
}

static void set_admin(struct backend_slot *s, const struct state_backend *b)
{
    slot_set_admin(s, ADMIN_FMAINT | ADMIN_CMAINT | ADMIN_FDRAIN,
                   b->admin == STATE_MAINT   ? ADMIN_FMAINT
                   : b->admin == STATE_DRAIN ? ADMIN_FDRAIN
                                             : 0);
    slot_set_reason(s, b->why);
}

static void restore_admin(struct restore *r, const struct pool_member *m,
                          const struct state_backend *b)
{
    enum admin_state in_force = backends_state(m->slot), was = (enum admin_state)b->admin;
    const char *file = backends_state_name(m->conf->state), *now = backends_state_name(was);
    bool kept = b->conf_admin == (enum state_admin)m->conf->state, set = b->conf_admin != b->admin;
    char what[LIMIT_MAINT_REASON + 120];

    if (kept && in_force == was)
        return;
    if (kept) {
        snprintf(what, sizeof(what),
                 "state stays %s as set at run time%s%s; the file says %s as before", now,
                 b->why[0] != '\0' ? ": " : "", b->why, file);
        set_admin(m->slot, b);
    } else if (set && in_force != was && !r->again) {
        snprintf(what, sizeof(what),
                 "state is %s as the file says now, in place of %s set at run time", file, now);
    } else {
        return;
    }
    backends_tell(&r->changes, m->slot, what);
}

static void restore_address(struct restore *r, const struct pool_member *m,
                            const struct state_backend *b)
{
    const struct addr *now = atomic_load(&m->slot->address);
    struct addr_spec set;
    const char *error;
    char what[2 * STATE_ADDRESS_MAX + 80];

    if (b->address[0] == '\0' || !literal(m) ||
        addr_parse(str_of(b->address), false, false, &set, &error) < 0 ||
        (now != NULL && addr_eq(now, &set.addr)))
        return;
    if (strcmp(b->conf_address, m->conf->address_text) == 0) {
        slot_set_address(r->process->table, m->slot, &set.addr);
        snprintf(what, sizeof(what),
                 "address stays %s as set at run time; the file says %s as before", b->address,
                 m->conf->address_text);
    } else if (!r->again) {
        snprintf(what, sizeof(what),
                 "address is %s as the file says now, in place of %s set at run time",
                 m->conf->address_text, b->address);
    } else {
        return;
    }
    backends_tell(&r->changes, m->slot, what);
}

static void restore_agent(struct restore *r, struct checker *checker, const struct pool *pool,
                          struct backend_slot *s, const struct state_backend *b)
{
    static const struct agent_set nothing = {0};
    const struct agent_set *now = s->agent_set != NULL ? s->agent_set : &nothing;
    struct agent_set due = b->agent;
    bool yields = agent_set_yield(&due, &b->agent_pool, pool->conf->agent);

    if (agent_set_eq(&due, now) && (!yields || r->again))
        return;
    backends_settle_agent(&r->changes, s, &b->agent, &b->agent_pool, pool->conf->agent);
    if (checker != NULL)
        checker_set_agent(checker, s, &due);
}

static void restore_member(struct restore *r, const struct pool *pool, const struct pool_member *m,
                           const struct state_backend *b)
{
    struct backend_slot *s = m->slot;
    struct checker *checker =
        r->process->checker != NULL ? checker_thread_checker(r->process->checker) : NULL;

    uint32_t weight = settle(r, s, "weight", b->weight, m->conf->weight, slot_word(s).set_weight);
    slot_set_weight(s, (uint16_t)weight);
    atomic_store(&s->max_connections,
                 settle(r, s, "max_connections", b->max_connections, m->conf->max_connections,
                        atomic_load(&s->max_connections)));
    restore_admin(r, m, b);
    restore_address(r, m, b);
    restore_agent(r, checker, pool, s, b);
    if (checker != NULL) {
        checker_touch(checker, s);
        checker_enable(checker, s, !b->checks_off);
        checker_enable_agent(checker, s, !b->agent_off);
    }
}

void state_restore_changes(struct process *p, const struct state_text *t, bool again)
{
    struct strbuf told = {0}; /* it is in the log */
    struct restore r = {.process = p, .changes = {.told = &told}, .again = again};

    for (uint32_t i = 0; i < p->conf->n_pools; i++) {
        for (uint32_t j = 0; j < p->pools[i]->n_members; j++) {
            const struct pool_member *m = &p->pools[i]->members[j];
            const struct state_backend *b = state_text_find(t, p->pools[i]->name, m->conf->name);
            if (b != NULL)
                restore_member(&r, p->pools[i], m, b);
        }
    }
    strbuf_fini(&told);
}
