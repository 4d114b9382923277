/* min_heap.h - a binary heap of 64-bit keys, smallest first, in the caller's array. The keys carry
 * their owner in the low bits, so equal priorities come out in the owners' order. */
#ifndef SLUICE_BALANCING_MIN_HEAP_H
#define SLUICE_BALANCING_MIN_HEAP_H

#include <stdint.h>

/* Puts `key` into the hole at the root of a heap of n keys (the old root is overwritten). */
static inline void min_heap_replace(uint64_t *heap, uint32_t n, uint64_t key)
{
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (key <= heap[child])
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = key;
}

/* The array has room for one more. */
static inline void min_heap_push(uint64_t *heap, uint32_t *n, uint64_t key)
{
    uint32_t i = (*n)++;
    while (i > 0 && key < heap[(i - 1) / 2]) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = key;
}

/* *n > 0. */
static inline uint64_t min_heap_pop(uint64_t *heap, uint32_t *n)
{
    uint64_t top = heap[0];
    if (--*n > 0)
        min_heap_replace(heap, *n, heap[*n]);
    return top;
}

#endif
