/* verdict.c - see verdict.h */
#include "health/verdict.h"

#include "lb/base/assert.h"

static uint16_t full(const struct verdict *v)
{
    return (uint16_t)(v->rise + v->fall - 1);
}

void verdict_init(struct verdict *v, uint16_t rise, uint16_t fall, enum oper_state initial)
{
    sl_assert(rise >= 1 && fall >= 1);
    *v = (struct verdict){.rise = rise, .fall = fall, .known = initial != OPER_UNKNOWN};
    v->health = oper_is_up(initial) ? full(v) : 0;
}

void verdict_pass(struct verdict *v)
{
    if (!v->known) {
        verdict_force_up(v);
        return;
    }
    if (v->health < full(v))
        v->health++;
    if (v->health >= v->rise) /* came up, or recovered: past failures are forgotten */
        v->health = full(v);
}

void verdict_fail(struct verdict *v)
{
    if (v->known && v->health > v->rise)
        v->health--;
    else
        v->health = 0;
    v->known = true;
}

void verdict_force_up(struct verdict *v)
{
    v->known = true;
    v->health = full(v);
}

void verdict_force_down(struct verdict *v)
{
    v->known = true;
    v->health = 0;
}

void verdict_force_stopping(struct verdict *v)
{
    v->known = true;
    v->health = v->rise;
}

enum oper_state verdict_oper(const struct verdict *v)
{
    if (!v->known)
        return OPER_UNKNOWN;
    if (v->health >= v->rise)
        return v->health == full(v) ? OPER_UP : OPER_GOING_DOWN;
    return v->health > 0 ? OPER_GOING_UP : OPER_DOWN;
}
