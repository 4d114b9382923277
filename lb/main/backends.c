/* backends.c - see backends.h */
#include "lb/main/backends.h"

#include "health/agent_set.h"
#include "health/checker.h"
#include "lb/base/hash.h"
#include "lb/base/log.h"
#include "lb/config/conf.h"
#include "lb/main/backends_later.h"
#include "lb/main/checker_thread.h"
#include "lb/main/process.h"
#include "lb/main/resolve.h"
#include "lb/main/snapshot.h"
#include "lb/main/state.h"
#include "lb/main/tls_store.h"
#include "lb/obs/events.h"
#include "lb/upstream/pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_name(const struct backend_conf *b)
{
    return b->address.addr.len == 0;
}

int backends_prepare(struct process *p, const struct snapshot *s, struct strbuf *errors)
{
    const struct conf *conf = s->conf->conf;
    const char *why;

    for (uint32_t i = 0; i < conf->n_pools && p->resolve == NULL; i++) {
        for (uint32_t j = 0; j < conf->pools[i].n_backends && p->resolve == NULL; j++) {
            const struct backend_conf *b = &conf->pools[i].backends[j];
            if (!is_name(b))
                continue;
            p->resolve = resolve_new(&p->loop, conf, p->table, &why);
            if (p->resolve != NULL && p->checker != NULL)
                resolve_start(p->resolve, checker_thread_checker(p->checker));
            if (p->resolve != NULL)
                continue;
            strbuf_addf(errors, "%s:%d: error: backend \"%s\": names cannot be resolved: %s\n",
                        b->file, b->line, b->name, why);
            return -EIO;
        }
    }
    return 0;
}

void backends_name_ahead(struct process *p, const struct snapshot *s)
{
    for (uint32_t i = 0; p->resolve != NULL && i < s->conf->conf->n_pools; i++) {
        const struct pool *pool = s->pools[i]->pool;
        bool stays = snapshot_has_pool(p->snapshot, s->pools[i]);
        for (uint32_t j = 0; !stays && j < pool->n_members; j++)
            if (is_name(pool->members[j].conf))
                resolve_ahead(p->resolve, pool->members[j].slot,
                              pool->members[j].conf->address.host);
    }
}

void backends_name(struct process *p)
{
    for (uint32_t i = 0; i < p->conf->n_pools; i++)
        for (uint32_t j = 0; j < p->pools[i]->n_members; j++)
            if (is_name(p->pools[i]->members[j].conf))
                resolve_add(p->resolve, p->pools[i]->members[j].slot, p->pools[i]->members[j].conf);
}

static void check(struct process *p, const struct pool *pool)
{
    const struct pool_conf *conf = pool->conf;
    struct checker_pool_conf c = {
        .health = conf->health,
        .ejection = {conf->http.ejection.failures, conf->http.ejection.time_ms,
                     conf->http.ejection.max_percent},
        .slow_start_ms = conf->slow_start_ms,
        .send_proxy = conf->send_proxy == PROXY_V1   ? CHECK_PROXY_V1
                      : conf->send_proxy == PROXY_V2 ? CHECK_PROXY_V2
                                                     : CHECK_PROXY_OFF,
        .speaks = conf->mode != MODE_HTTP            ? CHECK_SPEAKS_ANY
                  : conf->protocol == PROTOCOL_HTTP2 ? CHECK_SPEAKS_HTTP2
                  : protocol_is_cgi(conf->protocol)  ? CHECK_SPEAKS_ANY
                                                     : CHECK_SPEAKS_HTTP1,
        .agent = conf->agent,
        .cgi_root = conf->http.cgi.root,
        .programs = &p->keeper.programs,
        .tls = p->tls != NULL ? tls_store_check_client(p->tls, pool) : NULL,
    };

    for (uint32_t i = 0; i < pool->n_members; i++) {
        struct backend_slot *s = pool->members[i].slot;
        struct checker_known known;
        c.pool = s->pool_name;
        c.backend = s->name;
        c.agent_set = s->agent_set;
        c.host = is_name(pool->members[i].conf) ? pool->members[i].conf->address.host : NULL;
        if (state_recall(p, s, &known))
            checker_add_known(checker_thread_checker(p->checker), s, &c, &known);
        else
            checker_add(checker_thread_checker(p->checker), s, &c);
    }
}

void backends_check(struct process *p)
{
    for (uint32_t i = 0; i < p->conf->n_pools; i++)
        check(p, p->pools[i]);
    checker_begin(checker_thread_checker(p->checker));
    if (p->resolve != NULL)
        resolve_start(p->resolve, checker_thread_checker(p->checker));
}

/* ---- a reload ---- */

enum admin_state backends_state(const struct backend_slot *s)
{
    uint8_t admin = slot_word(s).admin;

    if (admin & (ADMIN_FMAINT | ADMIN_CMAINT))
        return BACKEND_MAINT;
    return admin & ADMIN_FDRAIN ? BACKEND_DRAIN : BACKEND_READY;
}

void backends_running(const struct pool_member *m, struct backend_conf *out)
{
    *out = *m->conf;
    out->weight = slot_word(m->slot).set_weight;
    out->max_connections = atomic_load(&m->slot->max_connections);
    out->state = backends_state(m->slot);
    out->reason = NULL;
    if (m->slot->admin_reason[0] != '\0' && !m->slot->agent_admin)
        out->reason = m->slot->admin_reason;
}

bool backends_address_set(const struct pool_member *m)
{
    const struct addr *now = atomic_load(&m->slot->address);

    return now != NULL && !is_name(m->conf) && !addr_eq(now, &m->conf->address.addr);
}

const char *backends_state_name(enum admin_state state)
{
    static const char *const names[] = {"ready", "drain", "maint"};
    return names[state];
}

void backends_set_state(struct backend_slot *s, enum admin_state state, const char *reason)
{
    slot_set_admin(s, ADMIN_FMAINT | ADMIN_CMAINT | ADMIN_FDRAIN,
                   state == BACKEND_MAINT   ? ADMIN_CMAINT
                   : state == BACKEND_DRAIN ? ADMIN_FDRAIN
                                            : 0);
    slot_set_reason(s, state != BACKEND_READY && reason != NULL ? reason : "");
}

static const struct pool_member *member_of(const struct pool *p, const struct backend_slot *slot)
{
    for (uint32_t i = 0; p != NULL && i < p->n_members; i++)
        if (p->members[i].slot == slot)
            return &p->members[i];
    return NULL;
}

void backends_tell(struct backends_changes *out, const struct backend_slot *s, const char *what)
{
    events_log_backend(EVENT_CHANGE, LOG_LEVEL_INFO, s->pool_name, s->name, "backend %s/%s: %s",
                       s->pool_name, s->name, what);
    strbuf_addf(out->told, "backend %s/%s: %s\n", s->pool_name, s->name, what);
}

void backends_settle(struct backends_changes *out, const struct backend_slot *s, const char *name,
                     uint32_t was, uint32_t is, uint32_t now, bool *out_set)
{
    char what[160];

    *out_set = was != is;
    if (was == is && now != was)
        snprintf(what, sizeof(what), "%s stays %u as set at run time; the file says %u as before",
                 name, now, is);
    else if (was != is && now != was && now != is)
        snprintf(what, sizeof(what),
                 "%s is %u as the file says now, in place of %u set at run time", name, is, now);
    else if (was != is && now != is)
        snprintf(what, sizeof(what), "%s is %u, was %u", name, is, was);
    else
        return;
    backends_tell(out, s, what);
}

static void settle_address(struct process *p, struct backends_changes *out, struct backend_slot *s,
                           const struct backend_conf *was, const struct backend_conf *is)
{
    char what[320];

    if (s->said.address == hash_bytes(is->address_text, strlen(is->address_text), 0)) {
        if (is_name(is))
            resolve_keep(p->resolve, s, is);
        return;
    }
    snprintf(what, sizeof(what), "address is %.120s, was %.120s", is->address_text,
             was->address_text);
    backends_tell(out, s, what);
    if (p->resolve != NULL)
        resolve_forget(p->resolve, s);
    if (is_name(is))
        resolve_add(p->resolve, s, is);
    else
        slot_set_address(p->table, s, &is->address.addr);
}

void backends_said(struct backend_slot *s, const struct backend_conf *b)
{
    s->said.weight = b->weight;
    s->said.max_connections = b->max_connections;
    s->said.state = (uint8_t)b->state;
    s->said.address = hash_bytes(b->address_text, strlen(b->address_text), 0);
}

static bool same_reason(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static void settle_state(struct backends_changes *out, struct backend_slot *s,
                         const struct backend_conf *was, const struct backend_conf *is)
{
    enum admin_state now = backends_state(s), said = (enum admin_state)s->said.state;
    const char *name = backends_state_name(is->state), *before = backends_state_name(now);
    char what[160];

    if (said == is->state && now != said)
        snprintf(what, sizeof(what),
                 "state stays %s as set at run time; the file says %s as before", before, name);
    else if (said != is->state && now != said && now != is->state)
        snprintf(what, sizeof(what),
                 "state is %s as the file says now, in place of %s set at run time", name, before);
    else if (said != is->state && now != is->state)
        snprintf(what, sizeof(what), "state is %s, was %s", name, backends_state_name(said));
    else
        what[0] = '\0';
    if (what[0] != '\0')
        backends_tell(out, s, what);
    if (said == is->state && (now != is->state || !same_reason(s->admin_reason, was->reason) ||
                              same_reason(was->reason, is->reason)))
        return;
    if (now == BACKEND_READY && is->state != BACKEND_READY)
        backends_later_set_state(out->later, s, is->state, is->reason);
    else
        backends_set_state(s, is->state, is->reason);
}

void backends_settle_agent(struct backends_changes *out, struct backend_slot *s,
                           const struct agent_set *set, const struct agent_pool *said,
                           const struct agent_conf *is)
{
    struct agent_set stays = *set;

    if (agent_set_yield(&stays, said, is))
        backends_tell(out, s,
                      "its agent is as the file says now, in place of what was set at run "
                      "time");
    else
        backends_tell(out, s,
                      "its agent stays as set at run time; the file says the same of it as "
                      "before");
    agent_set_put(s, &stays);
}

static void change_member(struct process *p, struct backends_changes *out,
                          const struct pool_member *old, const struct pool_member *m)
{
    const struct backend_conf *was = old->conf, *is = m->conf;
    struct backend_slot *s = m->slot;
    bool set;

    backends_settle(out, s, "weight", s->said.weight, is->weight, slot_word(s).set_weight, &set);
    if (set && is->weight == 0)
        backends_later_weigh_nothing(out->later, s);
    else if (set)
        slot_set_weight(s, (uint16_t)is->weight);
    s->initial_weight = (uint16_t)is->weight;
    backends_settle(out, s, "max_connections", s->said.max_connections, is->max_connections,
                    atomic_load(&s->max_connections), &set);
    if (set)
        atomic_store(&s->max_connections, is->max_connections);
    s->backup = is->backup;
    settle_state(out, s, was, is);
    settle_address(p, out, s, was, is);
    backends_said(s, is);
}

/* A new one, or one that comes back while connections of its former life are not over. */
static void add_member(struct process *p, struct backends_changes *out, const struct pool_member *m)
{
    const struct backend_conf *b = m->conf;
    struct backend_slot *s = m->slot;

    slot_set_admin(s, 0xff, 0);
    s->maint_reason[0] = '\0';
    agent_set_put(s, NULL);
    backends_set_state(s, b->state, b->reason);
    backends_said(s, b);
    slot_set_weight(s, (uint16_t)b->weight);
    s->initial_weight = (uint16_t)b->weight;
    s->backup = b->backup;
    atomic_store(&s->max_connections, b->max_connections);
    if (is_name(b)) {
        slot_set_address(p->table, s, NULL);
        resolve_add(p->resolve, s, b);
    } else {
        slot_set_address(p->table, s, &b->address.addr);
    }
    out->added++;
    backends_tell(out, s, "added");
}

/* from: its pool as it is now; NULL: there is none any more, and work that is on its way to it may
 * still use its backends. */
static void remove_member(struct process *p, struct backends_changes *out,
                          const struct pool_member *m, const struct pool *from)
{
    if (p->resolve != NULL && is_name(m->conf))
        resolve_forget(p->resolve, m->slot);
    if (from != NULL)
        backends_later_remove(out->later, m->slot,
                              from->n_members > 0 ? from->members[0].slot : NULL);
    checker_remove(checker_thread_checker(p->checker), m->slot);
    out->removed++;
    backends_tell(out, m->slot, "removed; what it has under way goes on");
}

static void change_pool(struct process *p, const struct pool *old, const struct pool *pool,
                        struct backends_changes *out)
{
    for (uint32_t i = 0; i < pool->n_members; i++) {
        const struct pool_member *m = &pool->members[i], *before = member_of(old, m->slot);
        if (before != NULL) {
            change_member(p, out, before, m);
            if (m->slot->agent_set != NULL) {
                struct agent_pool said = agent_set_pool(old->conf->agent);
                backends_settle_agent(out, m->slot, m->slot->agent_set, &said, pool->conf->agent);
            }
        } else {
            add_member(p, out, m);
        }
    }
    for (uint32_t i = 0; old != NULL && i < old->n_members; i++)
        if (member_of(pool, old->members[i].slot) == NULL)
            remove_member(p, out, &old->members[i], pool);
    check(p, pool);
    for (uint32_t i = 0; i < pool->n_members; i++)
        checker_touch(checker_thread_checker(p->checker), pool->members[i].slot);
    out->changed++;
}

void backends_change(struct process *p, const struct snapshot *old, struct backends_changes *out)
{
    for (uint32_t i = 0; i < p->conf->n_pools; i++) {
        const struct live_pool *now = p->snapshot->pools[i];
        const struct live_pool *before = snapshot_pool_named(old, now->pool->name);
        if (before != now)
            change_pool(p, before != NULL ? before->pool : NULL, now->pool, out);
    }
    for (uint32_t i = 0; i < old->conf->conf->n_pools; i++) {
        const struct pool *pool = old->pools[i]->pool;
        if (snapshot_pool_named(p->snapshot, pool->name) != NULL)
            continue;
        for (uint32_t j = 0; j < pool->n_members; j++)
            remove_member(p, out, &pool->members[j], NULL);
    }
}
