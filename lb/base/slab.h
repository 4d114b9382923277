/* slab.h - fixed-size objects, last freed first reused (hot in cache); one thread only, but any
 * thread may read how much is used.
 * Grows by chunks; objects are cache-line aligned where their size allows. Empty slabs refuse
 * at run time. Chunks whose objects are all free are given back to the system, but for a few. */
#ifndef SLUICE_BASE_SLAB_H
#define SLUICE_BASE_SLAB_H

#include "lb/base/counter.h"
#include "lb/base/list.h"

#include <stddef.h>
#include <stdint.h>

struct slab {
    struct list node;        /* of all slabs of the process */
    const char *name;        /* for `show pools` and panics */
    size_t size;             /* bytes of an object, rounded up to 16 */
    uint32_t max;            /* objects */
    uint32_t n_empty;        /* chunks */
    counter used, allocated; /* objects */
    counter failed;          /* refused for want of memory or by max */
    struct list partial, full, empty;
};

/* max: objects at most, 0 for no limit. */
void slab_init(struct slab *s, const char *name, size_t size, uint32_t max);
void slab_fini(struct slab *s);                   /* all objects must be free */
void *slab_alloc(struct slab *s) WARN_UNUSED;     /* zeroed, or NULL */
void *slab_alloc_raw(struct slab *s) WARN_UNUSED; /* as it comes, or NULL */
void slab_free(struct slab *s, void *obj);        /* poisoned in sanitizer builds */

/* Calls fn with every slab of the process, whichever thread's it is: fn reads its name, size and
 * counters, nothing else. No slab begins or ends meanwhile. */
void slab_each(void (*fn)(void *arg, const struct slab *s), void *arg);

#endif
