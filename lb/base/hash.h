/* hash.h - 64-bit hashing of short keys, stable across processes and versions: two sluices in
 * front of the same pool must agree on where a key goes. Not for hostile tables: for those pass a
 * random seed. */
#ifndef SLUICE_BASE_HASH_H
#define SLUICE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);
uint64_t hash_u64(uint64_t x); /* a mixing permutation */

#endif
