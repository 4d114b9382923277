/* test_rand.c - random numbers: repeatable, in range, even. */
#include "lb/base/assert.h"
#include "lb/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void a_seed_repeats_its_numbers(void **state)
{
    (void)state;
    struct rng a, b, c;
    rng_seed(&a, 42);
    rng_seed(&b, 42);
    rng_seed(&c, 43);
    int differ = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t x = rng_next(&a);
        assert_true(x == rng_next(&b));
        differ += x != rng_next(&c);
    }
    assert_true(differ > 95);
}

static void seed_zero_is_as_good_as_any(void **state)
{
    (void)state;
    struct rng r;
    uint64_t all = 0;
    rng_seed(&r, 0);
    assert_true(r.s[0] != 0 && r.s[1] != 0);
    for (int i = 0; i < 64; i++)
        all |= rng_next(&r);
    assert_true(all == UINT64_MAX);
}

static void below_one_is_zero(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rng_below(&r, 1), 0);
}

/* Each of n values comes up about as often as the others, for n small and n where plain scaling
 * would be visibly uneven (3/4 of 2^32: one value of three twice as often as the others). */
static void numbers_below_n_are_even(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 7);
    enum { N = 10, DRAWS = 100000 };
    int seen[N] = {0}, thirds[3] = {0};
    const uint32_t big = 3u << 30;
    for (int i = 0; i < DRAWS; i++) {
        uint32_t x = rng_below(&r, N);
        assert_true(x < N);
        seen[x]++;
        x = rng_below(&r, big);
        assert_true(x < big);
        thirds[x % 3]++;
    }
    for (int i = 0; i < N; i++) /* 5 standard deviations are 475 */
        assert_in_range(seen[i], DRAWS / N - 475, DRAWS / N + 475);
    for (int i = 0; i < 3; i++) /* 5 standard deviations are 745 */
        assert_in_range(thirds[i], DRAWS / 3 - 745, DRAWS / 3 + 745);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_repeats_its_numbers),
        cmocka_unit_test(seed_zero_is_as_good_as_any),
        cmocka_unit_test(below_one_is_zero),
        cmocka_unit_test(numbers_below_n_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
