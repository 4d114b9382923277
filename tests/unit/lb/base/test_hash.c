/* test_hash.c - hashes are a promise: these values may never change, or keys move between backends
 * when half of the load balancers are upgraded. */
#include "lb/base/hash.h"
#include "lb/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void the_values_stay_what_they_are(void **state)
{
    (void)state;
    assert_true(hash_bytes("", 0, 0) == 0xe220a8397b1dcdafu);
    assert_true(hash_bytes("a", 1, 0) == 0x0386d66db423d8fau);
    assert_true(hash_bytes("a", 1, 1) == 0x95f9e767779e0f24u);
    assert_true(hash_bytes("abcdefgh", 8, 0) == 0xca32d41b9a60996au);
    assert_true(hash_bytes("10.0.0.1:8080", 13, 0) == 0xd7c0bcce580aa71eu);
    assert_true(hash_bytes("The quick brown fox jumps over the lazy dog", 43, 99) ==
                0x2aeaf431ad9b124bu);
    assert_true(hash_u64(1) == 0x5692161d100b05e5u);
    assert_true(hash_u64(UINT64_MAX) == 0xb4d055fcf2cbbd7bu);
}

static void length_and_place_matter(void **state)
{
    static const char zeros[16];
    (void)state;
    for (size_t i = 0; i < sizeof(zeros); i++)
        for (size_t j = 0; j < i; j++)
            assert_true(hash_bytes(zeros, i, 0) != hash_bytes(zeros, j, 0));
    assert_true(hash_bytes("ab", 2, 0) != hash_bytes("ba", 2, 0));
    assert_true(hash_bytes("abcdefghi", 9, 0) != hash_bytes("iabcdefgh", 9, 0));
}

static void alignment_does_not_matter(void **state)
{
    (void)state;
    char buf[40];
    uint64_t want = hash_bytes("thirteen byte", 13, 5);
    for (size_t i = 0; i < 16; i++) {
        memset(buf, (int)i, sizeof(buf));
        memcpy(buf + i, "thirteen byte", 13);
        assert_true(hash_bytes(buf + i, 13, 5) == want);
    }
}

/* One bit of the key flips about half of the hash's bits, whichever bit it is. */
static void each_bit_of_a_key_spreads(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 3);
    for (size_t len = 1; len <= 24; len++) {
        for (size_t bit = 0; bit < 8 * len; bit++) {
            unsigned flipped = 0;
            for (int round = 0; round < 32; round++) {
                unsigned char key[24];
                for (size_t i = 0; i < len; i++)
                    key[i] = (unsigned char)rng_next(&r);
                uint64_t before = hash_bytes(key, len, 0);
                key[bit / 8] ^= (unsigned char)(1 << bit % 8);
                flipped +=
                    (unsigned)__builtin_popcountll((long long)(before ^ hash_bytes(key, len, 0)));
            }
            assert_in_range(flipped / 32, 26, 38);
        }
    }
}

/* Keys like those in use, in few buckets: even within 5 standard deviations. */
static void addresses_fill_buckets_evenly(void **state)
{
    enum { KEYS = 64000, BUCKETS = 64 };
    static unsigned low[BUCKETS], high[BUCKETS];
    (void)state;
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];
        int n = snprintf(key, sizeof(key), "10.0.%u.%u", i >> 8, i & 255);
        uint64_t h = hash_bytes(key, (size_t)n, 0);
        low[h % BUCKETS]++;
        high[h >> 58]++;
    }
    for (int i = 0; i < BUCKETS; i++) {
        assert_in_range(low[i], 1000 - 160, 1000 + 160);
        assert_in_range(high[i], 1000 - 160, 1000 + 160);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_values_stay_what_they_are),
        cmocka_unit_test(length_and_place_matter),
        cmocka_unit_test(alignment_does_not_matter),
        cmocka_unit_test(each_bit_of_a_key_spreads),
        cmocka_unit_test(addresses_fill_buckets_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
