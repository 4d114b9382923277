/* verdict.c - see verdict.h */
#include "health/verdict.h"

#include "lb/base/assert.h"

static uint16_t top(const struct verdict *v)
{
    return (uint16_t)(v->rise + v->fall - 1);
}

static bool up(const struct verdict *v)
{
    return v->health >= v->rise;
}

void verdict_init(struct verdict *v, uint16_t rise, uint16_t fall, enum oper_state initial)
{
    sl_assert(rise >= 1 && fall >= 1);
    *v = (struct verdict){.rise = rise, .fall = fall, .known = initial != OPER_UNKNOWN};
    v->health = oper_is_up(initial) ? top(v) : 0;
}

void verdict_rescale(struct verdict *v, uint16_t rise, uint16_t fall)
{
    struct verdict to = {.rise = rise, .fall = fall, .known = v->known};

    sl_assert(rise >= 1 && fall >= 1);
    if (v->known && up(v))
        to.health = top(&to);
    *v = to;
}

void verdict_force(struct verdict *v, bool to_up)
{
    v->known = true;
    v->health = to_up ? top(v) : 0;
}

void verdict_pass(struct verdict *v)
{
    v->health++;
    if (!v->known || up(v))
        verdict_force(v, true);
}

void verdict_fail(struct verdict *v)
{
    if (v->known && v->health > v->rise)
        v->health--;
    else
        verdict_force(v, false);
}

void verdict_suspect(struct verdict *v)
{
    if (v->known && v->health > v->rise)
        v->health--;
}

void verdict_doubt(struct verdict *v)
{
    if (v->known)
        v->health = up(v) ? v->rise : (uint16_t)(v->rise - 1);
}

enum oper_state verdict_oper(const struct verdict *v)
{
    if (!v->known)
        return OPER_UNKNOWN;
    if (up(v))
        return v->health == top(v) ? OPER_UP : OPER_GOING_DOWN;
    return v->health > 0 ? OPER_GOING_UP : OPER_DOWN;
}
