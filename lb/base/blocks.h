/* blocks.h - memory of any size whose small pieces, once freed, are kept for the next who asks.
 *
 * For libraries that allocate many small pieces per request (nghttp2): of a busy turn there are
 * more of one size than malloc() keeps at hand. Last freed, first reused. One thread. Sanitizer
 * builds keep none, so that a use after free shows. */
#ifndef SLUICE_BASE_BLOCKS_H
#define SLUICE_BASE_BLOCKS_H

#include "lb/base/slab.h"

#define BLOCK_CLASS_BYTES 64 /* sizes are rounded up to a multiple */
#define BLOCK_CLASSES     16 /* larger pieces go to malloc() each time */

struct block;

struct blocks {
    struct block *free[BLOCK_CLASSES];
    size_t kept, max_kept; /* bytes */
};

/* max_kept: bytes of free pieces at most. */
void blocks_init(struct blocks *b, size_t max_kept);
void blocks_fini(struct blocks *b); /* frees what is kept; pieces in use stay valid */

/* Aligned for any type, not zeroed. NULL: no memory. */
void *blocks_take(struct blocks *b, size_t size) WARN_UNUSED;
void blocks_give(struct blocks *b, void *p); /* p: of blocks_take(), not NULL */
size_t blocks_room(const void *p);           /* bytes that p may hold: what was asked for or more */

#endif
