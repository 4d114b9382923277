/* backends_later.c - see backends_later.h */
#include "lb/main/backends_later.h"

#include "lb/base/alloc.h"
#include "lb/main/backends.h"

#include "health/checker.h"
#include "health/table.h"

#include <stdlib.h>

enum later { LATER_REMOVE, LATER_WEIGH_NOTHING, LATER_SET_STATE };

struct backends_later_row {
    enum later what;
    struct backend_slot *slot;
    struct backend_slot *tell; /* the health thread, of this one; NULL: it need not know */
    enum admin_state state;
    const char *reason;
};

static void add(struct backends_later *l, struct backends_later_row row)
{
    if (l->n == l->room) {
        l->room = l->room > 0 ? 2 * l->room : 8;
        l->rows = xrealloc(l->rows, l->room * sizeof(l->rows[0]));
    }
    l->rows[l->n++] = row;
}

void backends_later_remove(struct backends_later *l, struct backend_slot *s,
                           struct backend_slot *beside)
{
    add(l, (struct backends_later_row){.what = LATER_REMOVE, .slot = s, .tell = beside});
}

void backends_later_weigh_nothing(struct backends_later *l, struct backend_slot *s)
{
    add(l, (struct backends_later_row){.what = LATER_WEIGH_NOTHING, .slot = s, .tell = s});
}

void backends_later_set_state(struct backends_later *l, struct backend_slot *s,
                              enum admin_state state, const char *reason)
{
    add(l, (struct backends_later_row){LATER_SET_STATE, s, s, state, reason});
}

static void apply(const struct backends_later_row *row)
{
    switch (row->what) {
    case LATER_REMOVE:
        slot_set_admin(row->slot, 0, ADMIN_CMAINT);
        break;
    case LATER_WEIGH_NOTHING:
        slot_set_weight(row->slot, 0);
        break;
    case LATER_SET_STATE:
        backends_set_state(row->slot, row->state, row->reason);
        break;
    }
}

void backends_later_apply(struct backends_later *l, struct checker *c)
{
    for (uint32_t i = 0; i < l->n; i++)
        apply(&l->rows[i]);
    for (uint32_t i = 0; i < l->n; i++)
        if (l->rows[i].tell != NULL)
            checker_touch(c, l->rows[i].tell);
    backends_later_fini(l);
}

void backends_later_fini(struct backends_later *l)
{
    free(l->rows);
    *l = (struct backends_later){0};
}
