/* conf_arena.c - see conf_arena.h. A list of blocks, freed together. */
#include "lb/config/conf_arena.h"

#include "lb/base/alloc.h"

#include <stdalign.h>
#include <stdlib.h>

struct conf_arena_block {
    struct conf_arena_block *next;
    alignas(max_align_t) char data[];
};

void *conf_arena_alloc(struct conf_arena *a, size_t size)
{
    struct conf_arena_block *block = xcalloc(1, sizeof(*block) + size);

    block->next = a->blocks;
    a->blocks = block;
    return block->data;
}

char *conf_arena_str(struct conf_arena *a, struct str s)
{
    char *copy = conf_arena_alloc(a, s.len + 1);

    if (s.len > 0)
        memcpy(copy, s.p, s.len);
    return copy;
}

void conf_arena_fini(struct conf_arena *a)
{
    while (a->blocks != NULL) {
        struct conf_arena_block *block = a->blocks;
        a->blocks = block->next;
        free(block);
    }
}
