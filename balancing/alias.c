/* alias.c - see alias.h */
#include "balancing/alias.h"

#include "lb/base/alloc.h"

#include <stdlib.h>

/* Vose's method in integers: a member's weight x n is cut into columns of height sum(weights), none
 * of which holds more than two members. */
struct alias_column *alias_new(const struct balancer_plan *plan)
{
    uint32_t n = plan->n;
    uint64_t height = 0;
    struct alias_column *columns = xmalloc(n * sizeof(*columns));
    uint64_t *rest = xmalloc(n * sizeof(*rest));
    uint32_t *todo = xmalloc(n * sizeof(*todo)); /* short ones from the front, tall from the back */
    uint32_t n_short = 0, n_tall = 0;

    for (uint32_t i = 0; i < n; i++)
        height += plan->members[i].weight;
    for (uint32_t i = 0; i < n; i++) {
        rest[i] = (uint64_t)plan->members[i].weight * n;
        if (rest[i] < height)
            todo[n_short++] = i;
        else
            todo[n - ++n_tall] = i;
    }
    while (n_short > 0) { /* in integers the tall ones never run out before the short ones */
        uint32_t s = todo[--n_short];
        uint32_t t = todo[n - n_tall];
        columns[s] = (struct alias_column){(uint32_t)((rest[s] << 32) / height), t};
        rest[t] -= height - rest[s];
        if (rest[t] < height) {
            n_tall--;
            todo[n_short++] = t;
        }
    }
    for (; n_tall > 0; n_tall--) {
        uint32_t t = todo[n - n_tall];
        columns[t] = (struct alias_column){UINT32_MAX, t};
    }
    free(rest);
    free(todo);
    return columns;
}
