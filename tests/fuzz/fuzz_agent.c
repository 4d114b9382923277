/* fuzz_agent.c - lines of agents beside backends: figures stay within their limits, the text within
 * the line. */
#include "health/agent_reply.h"
#include "lb/base/assert.h"
#include "lb/base/limits.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1);
    struct agent_reply r;

    if (size > 0)
        memcpy(copy, data, size);
    bool known = agent_reply_parse((struct str){copy, size}, &r);
    bool says = r.percent != AGENT_NOT_SAID || r.weight != AGENT_NOT_SAID ||
                r.maxconn != AGENT_NOT_SAID || r.admin != AGENT_ADMIN_NONE ||
                r.oper != AGENT_OPER_NONE;
    sl_assert(known == says);
    sl_assert(r.percent == AGENT_NOT_SAID || r.percent <= AGENT_PERCENT_MAX);
    sl_assert(r.weight == AGENT_NOT_SAID || r.weight <= LIMIT_WEIGHT);
    sl_assert(r.maxconn == AGENT_NOT_SAID || r.maxconn <= LIMIT_CONNECTIONS);
    sl_assert(r.text.len == 0 || (r.text.p >= copy && r.text.p + r.text.len <= copy + size));
    free(copy);
    return 0;
}
