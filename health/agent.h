/* agent.h - asks one backend's agent, again and again, and tells what it said; the checker decides
 * what follows from it. On the health thread. */
#ifndef SLUICE_HEALTH_AGENT_H
#define SLUICE_HEALTH_AGENT_H

#include "health/check.h"
#include "lb/base/slab.h"

/* What all agents of a checker share. */
struct agent_env {
    struct loop *loop;
    struct slab *checks; /* of struct check */
    struct stream_env *streams;
    uint32_t *in_flight; /* checks that are under way */
};

struct agent {
    struct loop *loop;
    struct slab *checks;
    struct stream_env *streams;
    uint32_t *in_flight;
    struct checker_pool_conf conf;  /* as a check's */
    const struct agent_conf *asked; /* to be taken when nothing is under way; NULL: none */
    uint32_t interval_ms;
    struct timer next;
    struct check *check; /* under way, or NULL */
    struct addr backend; /* whose agent it is; len 0: nobody is asked */
    /* outcome NULL: it was halted, and nothing is under way any more. Of reply, text is not there
     * any more: it is in the outcome's words. */
    void (*fn)(struct agent *a, const struct check_outcome *outcome,
               const struct agent_reply *reply);
};

/* a: zeroed; then fn is set. The strings of conf stay. */
void agent_init(struct agent *a, const struct agent_env *env, const struct agent_conf *conf);
/* Another one: asks at once, where anybody is asked. */
void agent_configure(struct agent *a, const struct agent_conf *conf);
/* Asks at once, when it does not do so yet, or the address is another one. */
void agent_run(struct agent *a, const struct addr *backend);
void agent_halt(struct agent *a);
static inline bool agent_idle(const struct agent *a)
{
    return a->check == NULL;
}

#endif
