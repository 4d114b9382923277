/* epoch.h - reclamation of objects that workers read without locks.
 *
 * A reader thread owns one epoch_reader. Pointers that it loads from shared atomics between
 * epoch_enter() and epoch_leave() stay valid until the leave; workers enter at the top of a turn
 * and leave before they block in the kernel, so a blocked worker holds nothing up.
 * A writer first unpublishes an object, then epoch_retire()s it; it is freed by a later
 * epoch_collect() once every reader has left or entered anew since. Any thread may retire and
 * collect (a mutex among writers; readers take none). Modelled in tests/model/. */
#ifndef SLUICE_BASE_EPOCH_H
#define SLUICE_BASE_EPOCH_H

#include "lb/base/limits.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct epoch_domain;

struct epoch_reader {
    alignas(CACHE_LINE) _Atomic uint64_t seen; /* 0: offline */
    struct epoch_domain *domain;
};

struct epoch_domain *epoch_domain_new(void);
void epoch_domain_free(
    struct epoch_domain **d); /* frees everything retired; no reader may be left */
void epoch_reader_register(struct epoch_domain *d, struct epoch_reader *r);
void epoch_reader_unregister(struct epoch_reader *r);
void epoch_enter(struct epoch_reader *r); /* also marks a quiescent point when already inside */
void epoch_leave(struct epoch_reader *r);
void epoch_retire(struct epoch_domain *d, void *obj, void (*free_fn)(void *obj));
/* Frees what no reader can hold any more; returns how many objects are still waiting. */
uint32_t epoch_collect(struct epoch_domain *d);

#endif
