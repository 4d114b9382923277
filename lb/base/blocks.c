/* blocks.c - see blocks.h */
#include "lb/base/blocks.h"

#include "lb/base/assert.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEPS false
#else
#define KEEPS true
#endif

struct block {
    union {
        struct block *next; /* while free */
        size_t room;        /* while in use */
    };
    alignas(max_align_t) unsigned char bytes[];
};

void blocks_init(struct blocks *b, size_t max_kept)
{
    *b = (struct blocks){.max_kept = max_kept};
}

void blocks_fini(struct blocks *b)
{
    for (size_t i = 0; i < BLOCK_CLASSES; i++) {
        while (b->free[i] != NULL) {
            struct block *k = b->free[i];
            b->free[i] = k->next;
            free(k);
        }
    }
    b->kept = 0;
}

static struct block *block_of(const void *p)
{
    return container_of(p, struct block, bytes);
}

size_t blocks_room(const void *p)
{
    return block_of(p)->room;
}

void *blocks_take(struct blocks *b, size_t size)
{
    size_t class = size > 0 ? (size - 1) / BLOCK_CLASS_BYTES : 0;
    struct block *k;

    if (class < BLOCK_CLASSES) {
        size = (class + 1) * BLOCK_CLASS_BYTES;
        k = b->free[class];
        if (k != NULL) {
            b->free[class] = k->next;
            b->kept -= size;
            k->room = size;
            return k->bytes;
        }
    }
    if (size > SIZE_MAX - sizeof(*k))
        return NULL;
    k = malloc(sizeof(*k) + size);
    if (k == NULL)
        return NULL;
    k->room = size;
    return k->bytes;
}

void blocks_give(struct blocks *b, void *p)
{
    struct block *k = block_of(p);
    size_t room = k->room, class = room / BLOCK_CLASS_BYTES - 1;

    if (!KEEPS || room > BLOCK_CLASSES * BLOCK_CLASS_BYTES || b->kept + room > b->max_kept) {
        free(k);
        return;
    }
    k->next = b->free[class];
    b->free[class] = k;
    b->kept += room;
}
