/* h2_mem.c - see h2_mem.h */
#include "lb/http/h2_mem.h"

#include "lb/base/assert.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What malloc() has really given counts. */
static void *counted(struct h2_mem *m, void *p)
{
    if (p != NULL)
        m->used += malloc_usable_size(p);
    return p;
}

static bool fits(const struct h2_mem *m, size_t size)
{
    return size <= m->max && m->used <= m->max - size;
}

static void *take(size_t size, void *arg)
{
    struct h2_mem *m = arg;

    return fits(m, size) ? counted(m, malloc(size)) : NULL;
}

static void give(void *p, void *arg)
{
    struct h2_mem *m = arg;

    if (p == NULL)
        return;
    m->used -= malloc_usable_size(p);
    free(p);
}

static void *take_zeroed(size_t n, size_t size, void *arg)
{
    struct h2_mem *m = arg;
    size_t all;

    if (__builtin_mul_overflow(n, size, &all) || !fits(m, all))
        return NULL;
    return counted(m, calloc(1, all));
}

static void *resize(void *p, size_t size, void *arg)
{
    struct h2_mem *m = arg;
    size_t had = p != NULL ? malloc_usable_size(p) : 0;

    if (size > had && !fits(m, size - had))
        return NULL;
    void *q = realloc(p, size);
    if (q == NULL)
        return NULL;
    m->used -= had;
    return counted(m, q);
}

void h2_mem_init(struct h2_mem *m, size_t max)
{
    *m = (struct h2_mem){.max = max};
    m->ops = (nghttp2_mem){
        .mem_user_data = m,
        .malloc = take,
        .free = give,
        .calloc = take_zeroed,
        .realloc = resize,
    };
}
