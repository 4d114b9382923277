/* log_ring.c - see log_ring.h */
#include "lb/base/log_ring.h"

#include "lb/base/alloc.h"
#include "lb/base/assert.h"

#include <stdlib.h>
#include <string.h>

/* A header is 8 bytes on an 8-byte boundary, so it never wraps: 1 | tag << 8 | length << 16. */
#define HEADER sizeof(uint64_t)

static size_t record_size(size_t len)
{
    return HEADER + ((len + HEADER - 1) & ~(HEADER - 1));
}

static _Atomic uint64_t *header_at(const struct log_ring *r, uint64_t pos)
{
    return (_Atomic uint64_t *)(void *)(r->data + (pos & (r->size - 1)));
}

void log_ring_init(struct log_ring *r, size_t size)
{
    sl_assert(size >= 64 && (size & (size - 1)) == 0);
    atomic_init(&r->head, 0);
    atomic_init(&r->tail, 0);
    r->data = xcalloc(1, size); /* large: pages that were never reached cost nothing */
    r->size = size;
}

void log_ring_fini(struct log_ring *r)
{
    free(r->data);
    r->data = NULL;
}

/* Reserves `need` bytes; false when the ring is too full. */
static bool reserve(struct log_ring *r, size_t need, uint64_t *out_pos, size_t *out_fill)
{
    /* Tail before head: what is read may be old, so the fill may look too high, never too low.
     * Acquire: the consumer is done with what it gave back. */
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    for (;;) {
        if (head - tail + need > r->size) {
            uint64_t seen = tail;
            tail = atomic_load_explicit(&r->tail, memory_order_acquire);
            if (tail == seen)
                return false;
            head = atomic_load_explicit(&r->head, memory_order_relaxed);
            continue;
        }
        if (atomic_compare_exchange_weak_explicit(&r->head, &head, head + need,
                                                  memory_order_relaxed, memory_order_relaxed))
            break;
    }
    *out_pos = head;
    *out_fill = (size_t)(head - tail) + need;
    return true;
}

bool log_ring_put(struct log_ring *r, uint8_t tag, const void *data, size_t len, size_t *out_fill)
{
    sl_assert(len > 0 && len <= r->size / 4);
    uint64_t pos;
    if (!reserve(r, record_size(len), &pos, out_fill))
        return false;
    size_t at = (size_t)(pos + HEADER) & (r->size - 1);
    size_t first = len < r->size - at ? len : r->size - at;
    memcpy(r->data + at, data, first);
    memcpy(r->data, (const char *)data + first, len - first);
    uint64_t header = 1 | (uint64_t)tag << 8 | (uint64_t)len << 16;
    atomic_store_explicit(header_at(r, pos), header, memory_order_seq_cst);
    return true;
}

bool log_ring_ready(const struct log_ring *r)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    return atomic_load_explicit(header_at(r, tail), memory_order_seq_cst) != 0;
}

size_t log_ring_take(struct log_ring *r, void *out, size_t room, uint8_t *out_tag)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint64_t header = atomic_load_explicit(header_at(r, tail), memory_order_acquire);
    if (header == 0)
        return 0;
    size_t len = (size_t)(header >> 16);
    sl_assert(len > 0 && len <= room);
    size_t at = (size_t)(tail + HEADER) & (r->size - 1);
    size_t first = len < r->size - at ? len : r->size - at;
    memcpy(out, r->data + at, first);
    memcpy((char *)out + first, r->data, len - first);
    *out_tag = (uint8_t)(header >> 8);

    /* Any of these words may be the header of a later record. */
    atomic_store_explicit(header_at(r, tail), 0, memory_order_relaxed);
    size_t body = record_size(len) - HEADER;
    first = body < r->size - at ? body : r->size - at;
    memset(r->data + at, 0, first);
    memset(r->data, 0, body - first);
    atomic_store_explicit(&r->tail, tail + HEADER + body, memory_order_release);
    return len;
}
