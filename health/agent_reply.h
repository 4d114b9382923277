/* agent_reply.h - what an agent beside a backend says of it: HAProxy's agent-check protocol. Pure.
 *
 * One line of words, separated by blanks, tabs or commas, any of: "75%" (of the configured weight),
 * "weight:N" or "weight:N%", "maxconn:N", "ready", "drain", "maint", "up", and "down", "fail" or
 * "stopped"; behind a # stands a text for people. The last of a kind counts. Words that nobody
 * knows are passed over, as agents of other times may say more. */
#ifndef SLUICE_HEALTH_AGENT_REPLY_H
#define SLUICE_HEALTH_AGENT_REPLY_H

#include "lb/base/str.h"

enum agent_admin { AGENT_ADMIN_NONE, AGENT_READY, AGENT_DRAIN, AGENT_MAINT };
enum agent_oper { AGENT_OPER_NONE, AGENT_UP, AGENT_DOWN, AGENT_FAIL, AGENT_STOPPED };

#define AGENT_NOT_SAID UINT32_MAX

struct agent_reply {
    uint32_t percent; /* of the configured weight; AGENT_NOT_SAID */
    uint32_t weight;  /* AGENT_NOT_SAID */
    uint32_t maxconn; /* AGENT_NOT_SAID; 0: no limit */
    enum agent_admin admin;
    enum agent_oper oper;
    struct str text; /* behind the #, of the line's memory */
};

#define AGENT_PERCENT_MAX 25600 /* 256 of a weight of 1 */

/* False: not a word of it is understood. */
bool agent_reply_parse(struct str line, struct agent_reply *out) WARN_UNUSED;

#endif
