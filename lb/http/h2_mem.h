/* h2_mem.h - nghttp2's memory, counted and bounded for each connection. */
#ifndef SLUICE_HTTP_H2_MEM_H
#define SLUICE_HTTP_H2_MEM_H

#include "lb/base/blocks.h"

#include <nghttp2/nghttp2.h>

/* Free pieces that a worker keeps: those of some hundred streams that come and go in one turn. */
#define H2_MEM_KEPT (256u << 10)

struct h2_mem {
    nghttp2_mem ops; /* for nghttp2_session_*_new3() */
    struct blocks *blocks;
    size_t used, max; /* bytes */
};

/* Lives longer than the session that is made with it, as do the worker's blocks. What would go
 * beyond max fails there. */
void h2_mem_init(struct h2_mem *m, struct blocks *blocks, size_t max);

#endif
