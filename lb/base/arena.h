/* arena.h - memory that is freed all at once: the things of one request.
 *
 * Small pieces come from chunks of one size, kept by the worker's arena_pool; what does not fit one
 * gets a chunk of its own. Nothing is freed alone. One thread. */
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include "lb/base/slab.h"

#define ARENA_CHUNK_BYTES 2048 /* a usual request with its response needs one */

struct arena_pool {
    struct slab chunks;
};

struct arena_chunk;

struct arena {
    struct arena_pool *pool;
    struct arena_chunk *chunks; /* the one in use first */
    char *at, *end;
};

void arena_pool_init(struct arena_pool *pool);
void arena_pool_fini(struct arena_pool *pool); /* every arena was freed */

void arena_init(struct arena *a, struct arena_pool *pool);
void arena_fini(struct arena *a);
/* Aligned for any type, not zeroed. NULL: no memory. */
void *arena_alloc(struct arena *a, size_t size) WARN_UNUSED;
void *arena_zalloc(struct arena *a, size_t size) WARN_UNUSED;
/* A copy with a NUL behind it, or NULL. */
char *arena_copy(struct arena *a, const void *data, size_t len) WARN_UNUSED;

#endif
