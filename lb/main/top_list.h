/* top_list.h - which rows `sluice top` lists, in which order. Pure. */
#ifndef SLUICE_MAIN_TOP_LIST_H
#define SLUICE_MAIN_TOP_LIST_H

#include "lb/main/top_view.h"

struct top_list {
    const struct top_row **rows; /* of the data */
    uint32_t n;
};

/* Listeners first, then each pool with its backends below it; both sorted by the column (numbers:
 * the largest first; reverse: the other way), what is equal stays in the order of the
 * configuration. A filter keeps what has it in its name, state or address, in any case of letters,
 * with its pool, and all of a pool whose name has it. */
void top_list_make(struct top_list *l, const struct top_data *d, enum top_column sort, bool reverse,
                   const char *filter);
void top_list_fini(struct top_list *l);

#endif
