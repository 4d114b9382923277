/* hash.c - see hash.h. The results are a promise: tests/unit/lb/base/test_hash.c holds values. */
#include "lb/base/hash.h"

#include <endian.h>
#include <string.h>

/* splitmix64's output function: every step can be undone, so no two inputs give one output. */
uint64_t hash_u64(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    x ^= x >> 31;
    return x;
}

/* A permutation per eight bytes, so nothing is lost until keys are longer than the hash. The
 * length goes in first: it tells "a" from "a\0". */
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t h = hash_u64(seed + (len + 1) * 0x9e3779b97f4a7c15u);
    uint64_t word;
    for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        h = hash_u64(h ^ le64toh(word));
    }
    if (len > 0) {
        word = 0;
        memcpy(&word, p, len);
        h = hash_u64(h ^ le64toh(word));
    }
    return h;
}
