/* status.c - see status.h */
#include "lb/admin/status.h"

#include "lb/base/assert.h"
#include "lb/upstream/pool.h"

#include <stdio.h>

void server_status_read(struct server_status *s, const struct pool *p,
                        const struct backend_slot *slot)
{
    enum pool_tier tier = (enum pool_tier)atomic_load_explicit(&p->tier, memory_order_relaxed);
    /* Without a verdict it is used where the pool has nothing that is up. */
    bool unknown_used = tier == TIER_UNKNOWN || tier == TIER_PANIC;

    slot_info(slot, &s->info);
    s->word = slot_word(slot);
    s->eligible = !s->word.ejected && (s->word.oper == OPER_UP || s->word.oper == OPER_GOING_DOWN ||
                                       (s->word.oper == OPER_UNKNOWN && unknown_used));
    s->full_weight = backend_agent_weight(&s->info, (uint32_t)s->word.set_weight * WEIGHT_SCALE);
    s->draining = (s->word.admin & ADMIN_DRAIN_MASK) != 0 || s->full_weight == 0;
}

uint32_t server_status_weight(const struct server_status *s)
{
    return (s->full_weight + WEIGHT_SCALE - 1u) / WEIGHT_SCALE;
}

static const char *print_steps(char *buf, const char *word, unsigned n, unsigned of)
{
    if (n < 1)
        n = 1;
    if (n > of)
        n = of;
    snprintf(buf, SERVER_STATUS_MAX, "%s %u/%u", word, n, of);
    return buf;
}

bool server_status_checked(const struct server_status *s)
{
    return s->info.check_enabled && (s->word.admin & ADMIN_MAINT_MASK) == 0;
}

const char *server_status_text(const struct server_status *s, char buf[static SERVER_STATUS_MAX])
{
    const struct backend_info *info = &s->info;

    if (s->word.admin & ADMIN_RMAINT)
        return "MAINT (resolution)";
    if (s->word.admin & ADMIN_MAINT_MASK)
        return "MAINT";
    if (s->word.oper == OPER_GOING_UP)
        return print_steps(buf, "DOWN", info->health, info->rise);
    if (!s->eligible)
        return info->agent_down ? "DOWN (agent)" : "DOWN";
    const char *up = s->draining ? "DRAIN" : "UP";
    if (s->word.oper == OPER_GOING_DOWN) /* health counts down from rise + fall - 1 to rise */
        return print_steps(buf, up, info->health + 1u - info->rise, info->fall);
    if (!info->check_enabled && !s->draining)
        return "no check";
    return up;
}

const char *check_result_text(enum check_result r)
{
    static const char *const texts[] = {
        [CHECK_NONE] = "",
        [CHECK_INI] = "Initializing",
        [CHECK_SOCKERR] = "Socket error",
        [CHECK_L4OK] = "Layer4 check passed",
        [CHECK_L4TOUT] = "Layer4 timeout",
        [CHECK_L4CON] = "Layer4 connection problem",
        [CHECK_L6OK] = "Layer6 check passed",
        [CHECK_L6TOUT] = "Layer6 timeout",
        [CHECK_L6RSP] = "Layer6 invalid response",
        [CHECK_L7OK] = "Layer7 check passed",
        [CHECK_L7OKC] = "Layer7 check conditionally passed",
        [CHECK_L7TOUT] = "Layer7 timeout",
        [CHECK_L7RSP] = "Layer7 invalid response",
        [CHECK_L7STS] = "Layer7 wrong status",
        [CHECK_PROCERR] = "External check error",
        [CHECK_PROCTOUT] = "External check timeout",
        [CHECK_PROCOK] = "External check passed",
    };

    sl_assert((size_t)r < ARRAY_LEN(texts));
    return texts[r];
}
