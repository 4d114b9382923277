/* agent_set.h - what was set of one backend's agent at run time, in place of what its pool says:
 * whom to ask, and what to send. */
#ifndef SLUICE_HEALTH_AGENT_SET_H
#define SLUICE_HEALTH_AGENT_SET_H

#include "health/health_conf.h"

#define AGENT_SET_SEND_MAX 256 /* bytes */

struct backend_slot;

struct agent_set {
    struct addr address; /* an IP address; len 0: as the pool says */
    uint32_t port;       /* 0: as the pool says */
    bool has_send;       /* nothing can be sent, too */
    uint16_t send_len;
    char send[AGENT_SET_SEND_MAX];
};

/* What is to be done. set: NULL: nothing was set. The result's strings are those of conf and set;
 * its port is the one to be used, but for unix sockets. */
void agent_set_merge(const struct agent_conf *conf, const struct agent_set *set,
                     struct agent_conf *out);
/* Without what the pool says just so. */
void agent_set_reduce(struct agent_set *set, const struct agent_conf *conf);
/* What the pool says of each, to see whether it says so still: hashes that mean the same in every
 * process. */
struct agent_pool {
    uint64_t address, port, send;
};
struct agent_pool agent_set_pool(const struct agent_conf *conf);
/* The pool says something else than before: what it has changed is not set any more. True: that was
 * something. is NULL: nobody is asked any more. */
bool agent_set_yield(struct agent_set *set, const struct agent_pool *was,
                     const struct agent_conf *is);
bool agent_set_is_empty(const struct agent_set *set);
bool agent_set_eq(const struct agent_set *a, const struct agent_set *b);
/* Control thread: a copy for the slot; NULL, or an empty one: as the pool says. */
void agent_set_put(struct backend_slot *s, const struct agent_set *set);

#endif
