/* log_ring.h - a bounded queue of records: any thread puts, one thread takes; nobody ever waits.
 *
 * A byte ring. A producer reserves room by advancing `head`, copies its bytes, and commits them by
 * writing the record's header word, which is zero until then. The consumer takes records in order,
 * stops at one that is not committed, and zeroes what it took before it gives it back by `tail`. */
#ifndef SLUICE_BASE_LOG_RING_H
#define SLUICE_BASE_LOG_RING_H

#include "lb/base/limits.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_ring {
    alignas(CACHE_LINE) _Atomic uint64_t head; /* bytes ever reserved */
    alignas(CACHE_LINE) _Atomic uint64_t tail; /* bytes ever given back */
    alignas(CACHE_LINE) unsigned char *data;
    size_t size; /* a power of two */
};

void log_ring_init(struct log_ring *r, size_t size);
void log_ring_fini(struct log_ring *r);
/* Queues len bytes (1 to size / 4) with a tag; false when there is no room. *out_fill: bytes that
 * are queued now. The commit is sequentially consistent: see log_thread.c. */
bool log_ring_put(struct log_ring *r, uint8_t tag, const void *data, size_t len, size_t *out_fill);
/* Consumer only. Copies the oldest record out and returns its length; 0 when there is none that is
 * complete. room must be enough for the longest record. */
size_t log_ring_take(struct log_ring *r, void *out, size_t room, uint8_t *out_tag);
/* Consumer only: is there something to take? Sequentially consistent. */
bool log_ring_ready(const struct log_ring *r);

#endif
