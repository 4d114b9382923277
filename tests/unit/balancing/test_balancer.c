/* What every algorithm promises: only members that may be chosen, the truth about "full" and
 * "none", and no allocation. */
#include "tests/unit/balancing/farm.h"

static enum balance_kind kinds[] = {BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONNECTIONS,
                                    BALANCE_HASH,        BALANCE_RANDOM_TWO,
                                    BALANCE_FIRST,       BALANCE_PEAK_EWMA};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Sizes around the algorithms' own thresholds. */
static const uint32_t sizes[] = {1, 2, 3, 16, 17, 48, 49, 64, 65, 300};
#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void an_empty_plan_has_none(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        struct farm *f = farm_new(kinds[k], 0, 1);
        assert_int_equal(balancer_plan_size(f->plan), 0);
        assert_int_equal(farm_pick(f), NONE);
        farm_free(f);
    }
}

static void one_backend_gets_everything(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        struct farm *f = farm_new(kinds[k], 1, 1);
        for (uint64_t key = 0; key < 100; key++)
            assert_int_equal(farm_pick_key(f, key), 0);
        farm_fill(f, 0);
        assert_int_equal(farm_pick(f), FULL);
        farm_exclude(f, 0);
        assert_int_equal(farm_pick(f), NONE);
        farm_free(f);
    }
}

static void all_full_is_full(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        for (size_t s = 0; s < N_SIZES; s++) {
            struct farm *f = farm_new(kinds[k], sizes[s], 1);
            assert_true(farm_pick(f) >= 0);
            for (uint32_t i = 0; i < f->n; i++)
                farm_fill(f, i);
            assert_int_equal(farm_pick(f), FULL);
            assert_int_equal(farm_pick(f), FULL);
            farm_free(f);
        }
    }
}

/* Why: where all were full, a session waits for exactly this moment. */
static void the_first_that_has_room_again_is_found_at_once(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        for (size_t s = 0; s < N_SIZES; s++) {
            struct farm *f = farm_new(kinds[k], sizes[s], 1);
            for (uint32_t i = 0; i < f->n; i++)
                farm_fill(f, i);
            for (uint32_t i = 0; i < f->n; i++) {
                assert_int_equal(farm_pick_key(f, i), FULL);
                farm_load(f, i, 0);
                assert_int_equal(farm_pick_key(f, i), (int)i);
                farm_load(f, i, 1);
            }
            farm_free(f);
        }
    }
}

static void all_excluded_is_none(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        for (size_t s = 0; s < N_SIZES; s++) {
            struct farm *f = farm_new(kinds[k], sizes[s], 1);
            for (uint32_t i = 0; i < f->n; i++)
                farm_exclude(f, i);
            assert_int_equal(farm_pick(f), NONE);
            f->n_excluded = 0;
            assert_true(farm_pick(f) >= 0);
            farm_free(f);
        }
    }
}

static void excluded_and_the_rest_full_is_full(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        for (size_t s = 1; s < N_SIZES; s++) { /* from two members on */
            struct farm *f = farm_new(kinds[k], sizes[s], 1);
            farm_exclude(f, f->n / 2);
            for (uint32_t i = 0; i < f->n; i++) {
                if (i != f->n / 2)
                    farm_fill(f, i);
            }
            assert_int_equal(farm_pick(f), FULL);
            farm_load(f, f->n - 1, 0);
            farm_load(f, 0, 0);
            assert_true(farm_pick(f) >= 0);
            farm_free(f);
        }
    }
}

static void excluded_ones_that_are_full_do_not_make_it_full(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        struct farm *f = farm_new(kinds[k], 20, 1);
        for (uint32_t i = 0; i < f->n; i++) {
            farm_fill(f, i);
            farm_exclude(f, i);
        }
        assert_int_equal(farm_pick(f), NONE);
        farm_free(f);
    }
}

static uint32_t some_weight(struct rng *rng)
{
    switch (rng_below(rng, 4)) {
    case 0:
        return WEIGHT_SCALE;
    case 1:
        return 1;
    case 2:
        return LIMIT_WEIGHT * WEIGHT_SCALE;
    default:
        return 1 + rng_below(rng, LIMIT_WEIGHT * WEIGHT_SCALE);
    }
}

/* A pool whose members come and go in all respects: weights, plans, limits, load, exclusions. */
static void shake(struct farm *f)
{
    uint32_t full_percent = rng_below(&f->rng, 5) * 25;
    uint32_t excluded_percent = rng_below(&f->rng, 4) * 30;
    f->n_excluded = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        farm_limit(f, i, rng_below(&f->rng, 2) * 5);
        farm_load(f, i, rng_below(&f->rng, 5));
        if (rng_below(&f->rng, 100) < full_percent)
            farm_fill(f, i);
        if (rng_below(&f->rng, 100) < excluded_percent)
            farm_exclude(f, i);
    }
    if (rng_below(&f->rng, 8) == 0) {
        for (uint32_t i = 0; i < f->n; i++)
            f->members[i].weight = some_weight(&f->rng);
        farm_plan(f);
    }
}

static int expected_without_choice(const struct farm *f)
{
    int verdict = NONE;
    for (uint32_t i = 0; i < f->n; i++) {
        if (farm_excludes(f, i))
            continue;
        if (slot_has_room(&f->slots[i]))
            return 0;
        verdict = FULL;
    }
    return verdict;
}

static void check_a_pick(struct farm *f)
{
    int expected = expected_without_choice(f);
    int got = farm_pick_key(f, rng_next(&f->rng));
    if (expected < 0) {
        holds(f, got == expected);
        return;
    }
    holds(f, got >= 0);
    holds(f, slot_has_room(&f->slots[got]));
    holds(f, !farm_excludes(f, (uint32_t)got));
    if (rng_below(&f->rng, 2) == 0)
        atomic_fetch_add(&f->slots[got].in_flight, 1);
}

static void picks_are_lawful(uint64_t seed)
{
    for (size_t k = 0; k < N_KINDS; k++) {
        for (size_t s = 0; s < N_SIZES; s++) {
            struct farm *f = farm_new(kinds[k], sizes[s], seed + s);
            f->conf.load_bound_percent = s % 2 == 0 ? 125 : 0;
            farm_plan(f);
            f->cursor.position = rng_next(&f->rng);
            for (int round = 0; round < 60; round++) {
                shake(f);
                for (int i = 0; i < 8; i++)
                    check_a_pick(f);
            }
            farm_free(f);
        }
    }
}

static void only_members_that_are_not_excluded_and_have_room_are_chosen(void **state)
{
    (void)state;
    with_seeds(picks_are_lawful);
}

static void members_of_weight_zero_are_not_in_the_plan(void **state)
{
    static const uint32_t weights[] = {0, 64, 0, 64, 0};
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        struct farm *f = farm_weighted(kinds[k], weights, 5, 1);
        assert_int_equal(balancer_plan_size(f->plan), 2);
        for (uint64_t key = 0; key < 200; key++) {
            int i = farm_pick_key(f, key);
            assert_true(i == 1 || i == 3);
        }
        farm_free(f);
    }
}

static void only_weights_of_zero_are_an_empty_plan(void **state)
{
    static const uint32_t weights[] = {0, 0};
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        struct farm *f = farm_weighted(kinds[k], weights, 2, 1);
        assert_int_equal(farm_pick(f), NONE);
        farm_free(f);
    }
}

/* Why: the cursor outlives plans, and what it knows of one must not be applied to another. */
static void a_cursor_follows_plans_of_other_sizes_and_kinds(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_ROUND_ROBIN, 200, 1);
    for (int round = 0; round < 200; round++) {
        f->conf.kind = kinds[rng_below(&f->rng, N_KINDS)];
        f->conf.load_bound_percent = rng_below(&f->rng, 2) * 150;
        f->n = 1 + rng_below(&f->rng, 200);
        farm_plan(f);
        for (int i = 0; i < 5; i++) {
            int got = farm_take(f);
            assert_in_range(got, 0, f->n - 1);
        }
    }
    f->n = 200;
    farm_free(f);
}

static void ten_thousand_backends_are_all_reached(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        struct farm *f = farm_new(kinds[k], 10000, 1);
        uint32_t reached = 0;
        for (uint32_t i = 0; i < f->n; i++)
            farm_limit(f, i, 2000);
        for (uint32_t i = 0; i < 20 * f->n; i++) {
            int got = farm_pick_key(f, i);
            assert_true(got >= 0);
            if (atomic_fetch_add(&f->slots[got].in_flight, 1) == 0)
                reached++;
        }
        if (kinds[k] == BALANCE_FIRST)
            assert_int_equal(reached, 20 * f->n / 2000);
        else if (kinds[k] == BALANCE_HASH) /* as if at random: e^-20 of them may have had none */
            assert_true(reached > f->n - 3);
        else
            assert_int_equal(reached, f->n);
        farm_free(f);
    }
}

/* The sanitizer calls this for each allocation. */
void __sanitizer_malloc_hook(const volatile void *p, size_t size);
static uint64_t allocations;
void __sanitizer_malloc_hook(const volatile void *p, size_t size)
{
    (void)p;
    (void)size;
    allocations++;
}

static void only_the_first_pick_with_a_plan_allocates(void **state)
{
    (void)state;
    uint64_t before = allocations;
    free(xmalloc(1));
    if (allocations == before)
        skip(); /* not built with the address sanitizer */

    for (size_t k = 0; k < N_KINDS; k++) {
        struct farm *f = farm_new(kinds[k], 300, 1);
        f->conf.load_bound_percent = 125;
        farm_plan(f);
        farm_take(f);
        for (int round = 0; round < 20; round++) {
            shake(f);
            f->n_excluded = f->n_excluded > 3 ? 3 : f->n_excluded;
            farm_pick(f); /* shake() may have made a new plan */
            before = allocations;
            for (int i = 0; i < 20; i++)
                farm_take(f);
            assert_int_equal(allocations, before);
        }
        farm_free(f);
    }
}

static void names_lead_to_kinds_and_back(void **state)
{
    (void)state;
    enum balance_kind kind = BALANCE_FIRST;
    for (size_t k = 0; k < N_KINDS; k++) {
        assert_true(balance_kind_find(balance_kind_name(kinds[k]), &kind));
        assert_int_equal(kind, kinds[k]);
    }
    assert_null(balance_kind_name((enum balance_kind)N_KINDS));
    assert_null(balance_kind_haproxy_name((enum balance_kind)N_KINDS));
    assert_false(balance_kind_find("roundrobin", &kind));
    assert_int_equal(kind, kinds[N_KINDS - 1]);
    assert_string_equal(balance_kind_haproxy_name(BALANCE_ROUND_ROBIN), "roundrobin");
    assert_string_equal(balance_kind_haproxy_name(BALANCE_LEAST_CONNECTIONS), "leastconn");
    assert_string_equal(balance_kind_haproxy_name(BALANCE_HASH), "source");
    assert_string_equal(balance_kind_haproxy_name(BALANCE_RANDOM_TWO), "random");
    assert_string_equal(balance_kind_haproxy_name(BALANCE_FIRST), "first");
    assert_string_equal(balance_kind_haproxy_name(BALANCE_PEAK_EWMA), "peak_ewma");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_plan_has_none),
        cmocka_unit_test(one_backend_gets_everything),
        cmocka_unit_test(all_full_is_full),
        cmocka_unit_test(the_first_that_has_room_again_is_found_at_once),
        cmocka_unit_test(all_excluded_is_none),
        cmocka_unit_test(excluded_and_the_rest_full_is_full),
        cmocka_unit_test(excluded_ones_that_are_full_do_not_make_it_full),
        cmocka_unit_test(only_members_that_are_not_excluded_and_have_room_are_chosen),
        cmocka_unit_test(members_of_weight_zero_are_not_in_the_plan),
        cmocka_unit_test(only_weights_of_zero_are_an_empty_plan),
        cmocka_unit_test(a_cursor_follows_plans_of_other_sizes_and_kinds),
        cmocka_unit_test(ten_thousand_backends_are_all_reached),
        cmocka_unit_test(only_the_first_pick_with_a_plan_allocates),
        cmocka_unit_test(names_lead_to_kinds_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
