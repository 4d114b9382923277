/* h2_mem.h - nghttp2's memory, counted and bounded for each connection. */
#ifndef SLUICE_HTTP_H2_MEM_H
#define SLUICE_HTTP_H2_MEM_H

#include <nghttp2/nghttp2.h>

struct h2_mem {
    nghttp2_mem ops;  /* for nghttp2_session_*_new3() */
    size_t used, max; /* bytes */
};

/* Lives longer than the session that is made with it. What would go beyond max fails there. */
void h2_mem_init(struct h2_mem *m, size_t max);

#endif
