/* arena.c - see arena.h */
#include "lb/base/arena.h"

#include "lb/base/assert.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 16

struct arena_chunk {
    struct arena_chunk *next;
    bool own; /* malloc'ed for one large piece, not of the pool */
};
static_assert(sizeof(struct arena_chunk) <= ALIGN, "what follows is aligned");

static char *bytes_of(struct arena_chunk *c)
{
    return (char *)c + ALIGN;
}

void arena_pool_init(struct arena_pool *pool)
{
    slab_init(&pool->chunks, "arena", ARENA_CHUNK_BYTES, 0);
}

void arena_pool_fini(struct arena_pool *pool)
{
    slab_fini(&pool->chunks);
}

void arena_init(struct arena *a, struct arena_pool *pool)
{
    *a = (struct arena){.pool = pool};
}

void arena_fini(struct arena *a)
{
    while (a->chunks != NULL) {
        struct arena_chunk *c = a->chunks;
        a->chunks = c->next;
        if (c->own)
            free(c);
        else
            slab_free(&a->pool->chunks, c);
    }
    a->at = a->end = NULL;
}

/* Behind the chunk in use, which may have room for others still. */
static void *alloc_own(struct arena *a, size_t size)
{
    struct arena_chunk *c = malloc(ALIGN + size);

    if (c == NULL)
        return NULL;
    c->own = true;
    if (a->chunks != NULL) {
        c->next = a->chunks->next;
        a->chunks->next = c;
    } else {
        c->next = NULL;
        a->chunks = c;
    }
    return bytes_of(c);
}

void *arena_alloc(struct arena *a, size_t size)
{
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (size <= (size_t)(a->end - a->at)) {
        void *p = a->at;
        a->at += size;
        return p;
    }
    if (size > (ARENA_CHUNK_BYTES - ALIGN) / 2)
        return alloc_own(a, size);
    struct arena_chunk *c = slab_alloc_raw(&a->pool->chunks);
    if (c == NULL)
        return NULL;
    c->own = false;
    c->next = a->chunks;
    a->chunks = c;
    a->at = bytes_of(c) + size;
    a->end = (char *)c + ARENA_CHUNK_BYTES;
    return bytes_of(c);
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);

    if (p != NULL)
        memset(p, 0, size);
    return p;
}

char *arena_copy(struct arena *a, const void *data, size_t len)
{
    char *p = arena_alloc(a, len + 1);

    if (p == NULL)
        return NULL;
    memcpy(p, data, len);
    p[len] = '\0';
    return p;
}
