/* h2_mem.c - see h2_mem.h */
#include "lb/http/h2_mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static bool fits(const struct h2_mem *m, size_t size)
{
    return size <= m->max && m->used <= m->max - size;
}

static void *take(size_t size, void *arg)
{
    struct h2_mem *m = arg;
    void *p = fits(m, size) ? blocks_take(m->blocks, size) : NULL;

    if (p != NULL)
        m->used += blocks_room(p);
    return p;
}

static void give(void *p, void *arg)
{
    struct h2_mem *m = arg;

    if (p == NULL)
        return;
    m->used -= blocks_room(p);
    blocks_give(m->blocks, p);
}

static void *take_zeroed(size_t n, size_t size, void *arg)
{
    size_t all;

    if (__builtin_mul_overflow(n, size, &all))
        return NULL;
    void *p = take(all, arg);
    return p != NULL ? memset(p, 0, all) : NULL;
}

static void *resize(void *p, size_t size, void *arg)
{
    size_t had = p != NULL ? blocks_room(p) : 0;

    if (p != NULL && size <= had)
        return p;
    void *q = take(size, arg);
    if (q != NULL && p != NULL) {
        memcpy(q, p, had);
        give(p, arg);
    }
    return q;
}

void h2_mem_init(struct h2_mem *m, struct blocks *blocks, size_t max)
{
    *m = (struct h2_mem){.blocks = blocks, .max = max};
    m->ops = (nghttp2_mem){
        .mem_user_data = m,
        .malloc = take,
        .free = give,
        .calloc = take_zeroed,
        .realloc = resize,
    };
}
