/* target_agent.c - an agent's word about its backend, and what follows from it. */
#include "health/checker_priv.h"

#include "lb/base/alloc.h"
#include "lb/obs/events.h"

#include <stdio.h>
#include <string.h>

struct target_agent {
    struct agent agent; /* first: freed as one */
    struct target *target;
    struct agent_conf conf; /* the pool's, with what was set */
    struct agent_set set;   /* has its strings */
};

/* In maintenance too: it may be the one to say that it is over. */
void target_agent_settle(struct target *t)
{
    bool on = t->checker->begun && !t->checker->stopping && !t->removed && !t->agent_off &&
              t->conf.agent != NULL && t->checked.len > 0;

    if (t->agent == NULL)
        return;
    if (on)
        agent_run(t->agent, &t->checked);
    else
        agent_halt(t->agent);
}

static void agent_says(struct target *t, const char *what, enum log_level level)
{
    events_log_backend(EVENT_HEALTH, level, t->slot->pool_name, t->slot->name,
                       "backend %s/%s: %s, its agent says (%s)", t->slot->pool_name, t->slot->name,
                       what, t->info.agent_desc);
}

/* As the stats socket's commands: it stays until somebody says otherwise. */
static void take_agent_admin(struct target *t, enum agent_admin admin)
{
    static const struct {
        uint8_t clear, set;
        const char *what;
    } states[] = {
        [AGENT_READY] = {ADMIN_FMAINT | ADMIN_FDRAIN, 0, "ready"},
        [AGENT_DRAIN] = {ADMIN_FMAINT, ADMIN_FDRAIN, "drain"},
        [AGENT_MAINT] = {ADMIN_FDRAIN, ADMIN_FMAINT, "maintenance"},
    };
    uint8_t was = slot_set_admin(t->slot, states[admin].clear, states[admin].set).admin;

    if (was == slot_word(t->slot).admin)
        return;
    t->slot->agent_admin = states[admin].set != 0;
    agent_says(t, states[admin].what, LOG_LEVEL_INFO);
    target_change_touch(t);
}

void target_agent_set_down(struct target *t, bool down, const char *why)
{
    if (t->info.agent_down == down)
        return;
    t->info.agent_down = down;
    if (!down) /* checks were not what took it down */
        target_state_forget_failures(t);
    target_state_apply(t, why, down);
}

/* Exact: "weight:1" of 256 is not 0. False: that is what it was. */
static bool set_part(struct target *t, uint32_t part, uint32_t whole)
{
    struct backend_info *i = &t->info;

    if (part == whole)
        part = whole = 0;
    if (part * i->agent_whole == whole * i->agent_part && (whole == 0) == (i->agent_whole == 0))
        return false;
    i->agent_part = (uint16_t)part;
    i->agent_whole = (uint16_t)whole;
    return true;
}

static void take_agent_weight(struct target *t, const struct agent_reply *r)
{
    bool absolute = r->weight != AGENT_NOT_SAID;
    uint32_t part = absolute ? r->weight : r->percent;
    uint32_t whole = absolute ? t->slot->initial_weight : 100;
    char what[48];

    if (part == AGENT_NOT_SAID)
        return;
    if (whole == 0) /* of no weight all is nothing */
        part = whole = 100;
    if (!set_part(t, part, whole))
        return;
    if (absolute)
        snprintf(what, sizeof(what), "a weight of %u", r->weight);
    else
        snprintf(what, sizeof(what), "%u%% of its weight", part);
    agent_says(t, what, LOG_LEVEL_INFO);
    target_weight_update(t);
}

static void take_agent_reply(struct target *t, const struct agent_reply *r)
{
    char why[LIMIT_CHECK_DESC + 1];

    take_agent_weight(t, r);
    if (r->maxconn != AGENT_NOT_SAID &&
        atomic_exchange(&t->slot->max_connections, r->maxconn) != r->maxconn)
        checker_pool_changed(t);
    if (r->admin != AGENT_ADMIN_NONE)
        take_agent_admin(t, r->admin);
    if (r->oper == AGENT_OPER_NONE)
        return;
    snprintf(why, sizeof(why), "%.*s", (int)sizeof(why) - 1, t->info.agent_desc);
    target_agent_set_down(t, r->oper != AGENT_UP, why);
}

/* That it cannot be asked says nothing: checks find out whether the backend can be reached. */
static void on_agent(struct agent *a, const struct check_outcome *o, const struct agent_reply *r)
{
    struct target *t = container_of(a, struct target_agent, agent)->target;

    if (o == NULL) {
        if (t->removed)
            target_free_when_idle(t);
        return;
    }
    bool could = t->info.agent_result == CHECK_L7OK, can = o->end == CHECK_PASSED;
    if (o->end != CHECK_UNABLE)
        t->info.agent_result = (uint8_t)o->result;
    t->info.agent_duration_us = o->duration_us;
    memcpy(t->info.agent_desc, o->desc, sizeof(t->info.agent_desc));
    if (could && !can)
        events_log_backend(EVENT_HEALTH, LOG_LEVEL_WARN, t->slot->pool_name, t->slot->name,
                           "backend %s/%s: its agent cannot be asked, what it said last stays: %s",
                           t->slot->pool_name, t->slot->name, o->desc);
    if (can)
        take_agent_reply(t, r);
    target_state_publish(t);
}

static void merge(struct target *t, struct target_agent *a)
{
    if (t->agent_set != NULL)
        a->set = *t->agent_set;
    agent_set_merge(t->conf.agent, t->agent_set != NULL ? &a->set : NULL, &a->conf);
}

void target_agent_make(struct target *t)
{
    struct checker *c = t->checker;
    const struct agent_env env = {c->loop, &c->checks, &c->streams, &c->in_flight};

    if (t->conf.agent == NULL) {
        t->info.agent_result = CHECK_NONE;
        t->info.agent_desc[0] = '\0';
        set_part(t, 0, 0);
        target_agent_set_down(t, false, "no agent is configured any more");
        return;
    }
    if (t->agent != NULL) {
        struct target_agent *a = container_of(t->agent, struct target_agent, agent);
        merge(t, a);
        agent_configure(t->agent, &a->conf);
        return;
    }
    struct target_agent *a = xcalloc(1, sizeof(*a));
    merge(t, a);
    agent_init(&a->agent, &env, &a->conf);
    a->agent.fn = on_agent;
    a->target = t;
    t->agent = &a->agent;
    if (t->info.agent_result == CHECK_NONE) /* else of a former process */
        t->info.agent_result = CHECK_INI;
}
