/* epoch.c - see epoch.h.
 *
 * The domain counts epochs from 1. A reader announces the epoch that it entered in (0: offline). An
 * object is retired with the present epoch as its tag, and the epoch advances; the object may be
 * freed once every reader is offline or announces an epoch later than the tag:
 *
 *   reader  (enter)   R1 seen = epoch   R2 full fence   R3 load of a shared pointer
 *   writer            W1 pointer taken away   W2 tag = epoch++   W3 full fence   W4 load of seen
 *
 * - W4 finds an epoch later than the tag: the reader's load of `epoch` read W2's increment or a
 *   later one and so synchronises with the writer, hence R3 sees W1: the object is out of reach.
 * - W4 finds 0 or an older announcement although the reader is at R3 with the old pointer: excluded
 *   by the fences. R1 before R2 and W3 before W4, so if W4 missed R1, then W3 precedes R2 in the
 *   one order of all fences, and R3 sees W1. Store-load order is what x86 and arm64 do not keep by
 *   themselves; release and acquire would not do.
 * - What a reader did with the object happened before its release store to `seen` that W4 acquires,
 *   and so before the free.
 *
 * tests/model/ has this as a model; tests/unit/lb/base/test_epoch.c stresses it. */
#include "lb/base/epoch.h"

#include "lb/base/alloc.h"
#include "lb/base/assert.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

struct retired {
    struct retired *next;
    void *obj;
    void (*free_fn)(void *obj);
    uint64_t tag;
};

struct epoch_domain {
    alignas(CACHE_LINE) _Atomic uint64_t epoch;
    alignas(CACHE_LINE) pthread_mutex_t lock; /* what follows */
    struct epoch_reader **readers;
    uint32_t n_readers, max_readers;
    struct retired *first, **last; /* oldest tag first */
    uint32_t waiting;
};

#if defined(__SANITIZE_THREAD__)
#define EPOCH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EPOCH_TSAN 1
#endif
#endif

#ifdef EPOCH_TSAN
/* The thread sanitizer knows no fences; a locked instruction is one too on the machine, and the
 * happens-before edges that it checks are those of the release stores and acquire loads. */
static void full_fence(void)
{
    static _Atomic unsigned dummy;
    atomic_fetch_add_explicit(&dummy, 1, memory_order_seq_cst);
}
#else
static inline void full_fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}
#endif

struct epoch_domain *epoch_domain_new(void)
{
    struct epoch_domain *d = xaligned(sizeof(*d));
    atomic_init(&d->epoch, 1);
    pthread_mutex_init(&d->lock, NULL);
    d->last = &d->first;
    return d;
}

void epoch_domain_free(struct epoch_domain **dp)
{
    struct epoch_domain *d = *dp;
    if (d == NULL)
        return;
    sl_assert(d->n_readers == 0);
    while (epoch_collect(d) > 0) /* what is freed may retire more */
        ;
    pthread_mutex_destroy(&d->lock);
    free(d->readers);
    free(d);
    *dp = NULL;
}

void epoch_reader_register(struct epoch_domain *d, struct epoch_reader *r)
{
    atomic_init(&r->seen, 0);
    r->domain = d;
    pthread_mutex_lock(&d->lock);
    if (d->n_readers == d->max_readers) {
        d->max_readers = d->max_readers > 0 ? 2 * d->max_readers : 8;
        d->readers = xrealloc(d->readers, d->max_readers * sizeof(struct epoch_reader *));
    }
    d->readers[d->n_readers++] = r;
    pthread_mutex_unlock(&d->lock);
}

void epoch_reader_unregister(struct epoch_reader *r)
{
    struct epoch_domain *d = r->domain;
    sl_assert(d != NULL);
    pthread_mutex_lock(&d->lock);
    uint32_t i = 0;
    while (i < d->n_readers && d->readers[i] != r)
        i++;
    sl_assert(i < d->n_readers);
    d->readers[i] = d->readers[--d->n_readers];
    pthread_mutex_unlock(&d->lock);
    r->domain = NULL;
}

void epoch_enter(struct epoch_reader *r)
{
    uint64_t now = atomic_load_explicit(&r->domain->epoch, memory_order_acquire);
    /* Release: a reader that was inside is done with what it held before. */
    atomic_store_explicit(&r->seen, now, memory_order_release); /* R1 */
    full_fence();                                               /* R2 */
}

void epoch_leave(struct epoch_reader *r)
{
    atomic_store_explicit(&r->seen, 0, memory_order_release);
}

void epoch_retire(struct epoch_domain *d, void *obj, void (*free_fn)(void *obj))
{
    struct retired *o = xmalloc(sizeof(*o));
    *o = (struct retired){.obj = obj, .free_fn = free_fn};
    pthread_mutex_lock(&d->lock);
    o->tag = atomic_fetch_add_explicit(&d->epoch, 1, memory_order_acq_rel); /* W2 */
    *d->last = o;
    d->last = &o->next;
    d->waiting++;
    pthread_mutex_unlock(&d->lock);
}

/* The oldest epoch that a reader is in, UINT64_MAX when all are offline. Under the lock. */
static uint64_t oldest_inside(struct epoch_domain *d)
{
    uint64_t oldest = UINT64_MAX;
    full_fence(); /* W3 */
    for (uint32_t i = 0; i < d->n_readers; i++) {
        uint64_t seen = atomic_load_explicit(&d->readers[i]->seen, memory_order_acquire); /* W4 */
        if (seen != 0 && seen < oldest)
            oldest = seen;
    }
    return oldest;
}

uint32_t epoch_collect(struct epoch_domain *d)
{
    struct retired *done = NULL, **tail = &done;
    pthread_mutex_lock(&d->lock);
    if (d->first != NULL) {
        uint64_t oldest = oldest_inside(d);
        while (d->first != NULL && d->first->tag < oldest) {
            struct retired *o = d->first;
            d->first = o->next;
            d->waiting--;
            *tail = o;
            tail = &o->next;
        }
        if (d->first == NULL)
            d->last = &d->first;
        *tail = NULL;
    }
    pthread_mutex_unlock(&d->lock);

    while (done != NULL) { /* without the lock: freeing one thing may retire another */
        struct retired *o = done;
        done = o->next;
        o->free_fn(o->obj);
        free(o);
    }
    pthread_mutex_lock(&d->lock);
    uint32_t waiting = d->waiting;
    pthread_mutex_unlock(&d->lock);
    return waiting;
}
