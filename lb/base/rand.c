/* rand.c - xoroshiro128++, seeded through splitmix64 (Blackman and Vigna); see rand.h */
#include "lb/base/rand.h"

#include "lb/base/assert.h"

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

/* Spreads a seed of few bits over the whole state, which must not be all zero. */
static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void rng_seed(struct rng *r, uint64_t seed)
{
    /* Two outputs of a permutation for different inputs: at most one of them is zero. */
    r->s[0] = splitmix(&seed);
    r->s[1] = splitmix(&seed);
}

uint64_t rng_next(struct rng *r)
{
    uint64_t s0 = r->s[0];
    uint64_t s1 = r->s[1];
    uint64_t result = rotl(s0 + s1, 17) + s0;
    s1 ^= s0;
    r->s[0] = rotl(s0, 49) ^ s1 ^ (s1 << 21);
    r->s[1] = rotl(s1, 28);
    return result;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
    sl_assert(n > 0);
    /* The upper half of a 32 x n product is the number. Some of its values would come up once more
     * often than others, unless products whose lower half is below 2^32 mod n are drawn again. */
    uint64_t product = (rng_next(r) >> 32) * n;
    if (unlikely((uint32_t)product < n)) {
        uint32_t least = (0u - n) % n;
        while ((uint32_t)product < least)
            product = (rng_next(r) >> 32) * n;
    }
    return (uint32_t)(product >> 32);
}
