/* conf_arena.h - memory that lives as long as one configuration.
 * One allocation each, not chunks: a configuration is small and cold, and so the sanitizers know
 * where every object ends. Lack of memory ends the process, as everywhere at load time. */
#ifndef SLUICE_CONFIG_CONF_ARENA_H
#define SLUICE_CONFIG_CONF_ARENA_H

#include "lb/base/str.h"

struct conf_arena_block;

/* Zero it to start. */
struct conf_arena {
    struct conf_arena_block *blocks;
};

void *conf_arena_alloc(struct conf_arena *a, size_t size); /* zeroed */
/* A copy with a NUL behind it; the bytes may hold NULs themselves. */
char *conf_arena_str(struct conf_arena *a, struct str s);
void conf_arena_fini(struct conf_arena *a);

#endif
