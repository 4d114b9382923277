/* variant.c - see variant.h */
#include "lb/config/variant.h"

#include "lb/base/alloc.h"
#include "lb/config/conf_own.h"

#include <string.h>

static char *copy_text(struct conf_arena *arena, const char *text)
{
    return text != NULL ? conf_arena_str(arena, str_of(text)) : NULL;
}

static void copy_backend(struct conf_arena *arena, struct backend_conf *to,
                         const struct backend_conf *from)
{
    *to = *from;
    to->name = copy_text(arena, from->name);
    to->address_text = copy_text(arena, from->address_text);
    to->reason = copy_text(arena, from->reason);
    to->file = copy_text(arena, from->file);
}

struct conf *conf_with_backends(const struct conf *base, const struct backend_list *lists)
{
    struct conf_own *own = xcalloc(1, sizeof(*own));
    struct conf_arena *arena = &own->arena;
    struct conf *c = &own->conf;

    *own = *conf_own_of(base);
    own->arena = (struct conf_arena){0};
    c->arena = own;
    c->pools = conf_arena_alloc(arena, (base->n_pools + 1) * sizeof(c->pools[0]));
    for (uint32_t i = 0; i < base->n_pools; i++) {
        struct pool_conf *pool = &c->pools[i];
        *pool = base->pools[i];
        if (lists[i].items == NULL)
            continue;
        pool->n_backends = lists[i].n;
        pool->backends = conf_arena_alloc(arena, (lists[i].n + 1) * sizeof(pool->backends[0]));
        for (uint32_t k = 0; k < lists[i].n; k++)
            copy_backend(arena, &pool->backends[k], &lists[i].items[k]);
    }
    return c;
}
