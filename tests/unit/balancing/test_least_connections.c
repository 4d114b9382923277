/* least_connections: the least loaded by weight; equals take turns. Up to 16 members exactly, above
 * that by a heap whose knowledge may be n / 4 picks old. */
#include "tests/unit/balancing/farm.h"

#define SWEEP 4 /* members that the heap reads anew in a pick */

/* Is a's (in_flight + 1) / weight above b's? */
static bool above(const struct farm *f, uint32_t load_a, uint32_t a, uint32_t load_b, uint32_t b)
{
    return (uint64_t)(load_a + 1) * f->members[b].weight >
           (uint64_t)(load_b + 1) * f->members[a].weight;
}

static bool is_least(const struct farm *f, uint32_t chosen)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (slot_has_room(&f->slots[i]) && !farm_excludes(f, i) &&
            above(f, farm_in_flight(f, chosen), chosen, farm_in_flight(f, i), i))
            return false;
    }
    return true;
}

static void the_least_loaded_is_chosen(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_LEAST_CONNECTIONS, 3, 1);
    farm_load(f, 0, 7);
    farm_load(f, 1, 5);
    farm_load(f, 2, 6);
    assert_int_equal(farm_pick(f), 1);
    farm_free(f);
}

static void load_counts_in_proportion_to_weight(void **state)
{
    static const uint32_t weights[] = {64, 128, 640};
    (void)state;
    struct farm *f = farm_weighted(BALANCE_LEAST_CONNECTIONS, weights, 3, 1);
    farm_load(f, 0, 3);                /* 4 / 1 */
    farm_load(f, 1, 8);                /* 9 / 2 */
    farm_load(f, 2, 39);               /* 40 / 10 */
    assert_int_equal(farm_take(f), 0); /* the first of two equals; then 5 / 1 */
    assert_int_equal(farm_take(f), 2);
    assert_int_equal(farm_take(f), 2);
    farm_free(f);
}

static void filled_by_weight(uint64_t seed)
{
    static const uint32_t sizes[] = {5, 16, 17, 500};
    for (size_t s = 0; s < 4; s++) {
        struct farm *f = farm_new(BALANCE_LEAST_CONNECTIONS, sizes[s], seed);
        uint32_t sum = 0;
        for (uint32_t i = 0; i < f->n; i++)
            sum += f->members[i].weight = 1 + rng_below(&f->rng, 20);
        farm_plan(f);
        for (uint32_t i = 0; i < 10 * sum; i++)
            farm_take(f);
        for (uint32_t i = 0; i < f->n; i++)
            holds(f, farm_in_flight(f, i) == 10 * f->members[i].weight);
        farm_free(f);
    }
}

static void connections_that_stay_fill_all_by_weight_exactly(void **state)
{
    (void)state;
    with_seeds(filled_by_weight);
}

/* ---- equals ---- */

static void idle_equals_take_turns(void **state)
{
    static const uint32_t sizes[] = {2, 5, 16, 17, 20, 1000};
    (void)state;
    for (size_t s = 0; s < 6; s++) {
        struct farm *f = farm_new(BALANCE_LEAST_CONNECTIONS, sizes[s], 1);
        f->cursor.position = 3;
        for (uint32_t i = 0; i < 5 * f->n; i++)
            assert_int_equal(farm_pick(f), (i + 3) % f->n);
        farm_free(f);
    }
}

/* Why: "the first equal after a moving start" would give a member behind a gap the gap's turns. */
static void equals_with_busy_ones_between_take_turns(void **state)
{
    static const uint32_t sizes[] = {8, 40};
    (void)state;
    for (size_t s = 0; s < 2; s++) {
        struct farm *f = farm_new(BALANCE_LEAST_CONNECTIONS, sizes[s], 1);
        uint32_t counts[40] = {0};
        for (uint32_t i = 0; i < f->n; i++)
            farm_load(f, i, i == 0 || i == 1 || i == 6 ? 0 : 9);
        for (int i = 0; i < 300; i++) {
            int got = farm_take(f); /* a short connection: over before the next */
            farm_give(f, (uint32_t)got);
            counts[got]++;
        }
        for (uint32_t i = 0; i < f->n; i++) {
            if (i == 0 || i == 1 || i == 6)
                assert_in_range(counts[i], f->n <= 16 ? 100 : 85, f->n <= 16 ? 100 : 115);
            else if (f->n <= 16)
                assert_int_equal(counts[i], 0);
        }
        farm_free(f);
    }
}

static void a_new_plan_goes_on_where_the_old_one_was(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_LEAST_CONNECTIONS, 100, 1);
    for (int i = 0; i < 100; i++) { /* each plan is used for one pick only */
        assert_int_equal(farm_pick(f), i);
        farm_plan(f);
    }
    farm_free(f);
}

/* ---- truth that changes behind the cursor's back ---- */

static void churn(struct farm *f, uint32_t events)
{
    for (uint32_t e = 0; e < events; e++) {
        uint32_t i = rng_below(&f->rng, f->n);
        uint32_t load = farm_in_flight(f, i);
        if (rng_below(&f->rng, 3) == 0)
            farm_load(f, i, load + rng_below(&f->rng, 3));
        else if (load > 0)
            farm_load(f, i, rng_below(&f->rng, load + 1));
    }
}

static void few_are_exact(uint64_t seed)
{
    for (uint32_t n = 1; n <= 16; n++) {
        struct farm *f = farm_new(BALANCE_LEAST_CONNECTIONS, n, seed + n);
        for (uint32_t i = 0; i < n; i++) {
            f->members[i].weight = 1 + rng_below(&f->rng, 300);
            farm_limit(f, i, rng_below(&f->rng, 2) * 30);
        }
        farm_plan(f);
        for (int i = 0; i < 500; i++) {
            churn(f, 3);
            f->n_excluded = 0;
            if (n > 2)
                farm_exclude(f, rng_below(&f->rng, n));
            int got = farm_take(f);
            if (got >= 0) {
                farm_give(f, (uint32_t)got);
                holds(f, is_least(f, (uint32_t)got));
                atomic_fetch_add(&f->slots[got].in_flight, 1);
            }
        }
        farm_free(f);
    }
}

static void up_to_sixteen_the_choice_is_exact(void **state)
{
    (void)state;
    with_seeds(few_are_exact);
}

/* What the header promises: least by keys none of which is older than n / SWEEP picks. So nobody
 * who was below the chosen one's present load all that time is passed over. */
static void knowledge_is_recent(uint64_t seed)
{
    enum { N = 101, AGE = N / SWEEP + 1 };
    struct farm *f = farm_new(BALANCE_LEAST_CONNECTIONS, N, seed);
    uint32_t seen[AGE][N]; /* loads before each of the last picks */

    for (uint32_t i = 0; i < N; i++)
        f->members[i].weight = 1 + rng_below(&f->rng, 5);
    farm_plan(f);
    for (uint32_t p = 0; p < 3000; p++) {
        churn(f, 2);
        for (uint32_t i = 0; i < N; i++)
            seen[p % AGE][i] = farm_in_flight(f, i);
        uint32_t got = (uint32_t)farm_take(f);
        for (uint32_t i = 0; p >= AGE && i < N; i++) {
            bool below_all_the_time = true;
            for (uint32_t a = 0; a < AGE; a++) /* + 1: its own pick may have counted ahead */
                below_all_the_time =
                    below_all_the_time && above(f, seen[p % AGE][got], got, seen[a][i] + 1, i);
            holds(f, !below_all_the_time);
        }
    }
    farm_free(f);
}

static void above_sixteen_nobody_is_overlooked_for_long(void **state)
{
    (void)state;
    with_seeds(knowledge_is_recent);
}

static void a_member_that_drains_is_noticed_within_a_quarter_of_n_picks(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_LEAST_CONNECTIONS, 1000, 1);
    for (uint32_t i = 0; i < f->n; i++)
        farm_load(f, i, 10);
    farm_load(f, 77, 500);
    for (int i = 0; i < 100; i++)
        assert_int_not_equal(farm_take(f), 77);
    farm_load(f, 77, 0);
    uint32_t got = 0;
    for (uint32_t i = 0; i < f->n / SWEEP; i++)
        got += farm_take(f) == 77;
    assert_true(got >= 1);
    for (uint32_t i = 0; i < f->n / SWEEP; i++)
        farm_take(f);
    assert_in_range(farm_in_flight(f, 77), 10, 11); /* caught up with the others, not overrun */
    farm_free(f);
}

static void a_full_member_is_used_again_soon_after_it_has_room(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_LEAST_CONNECTIONS, 100, 1);
    farm_limit(f, 42, 5);
    farm_load(f, 42, 5);
    for (uint32_t i = 0; i < f->n; i++) {
        if (i != 42)
            farm_load(f, i, 50);
    }
    for (uint32_t i = 0; i < 2 * f->n; i++)
        assert_int_not_equal(farm_pick(f), 42);
    farm_load(f, 42, 2);
    for (uint32_t i = 0; i < f->n / SWEEP; i++)
        farm_take(f);
    assert_int_equal(farm_in_flight(f, 42), 5);
    farm_free(f);
}

/* Several workers, each with a heap that does not see what the others do. */
static void workers_stay_close(uint64_t seed)
{
    enum { WORKERS = 8 };
    struct farm *f = farm_new(BALANCE_LEAST_CONNECTIONS, 200, seed);
    struct balancer_cursor cursors[WORKERS] = {{0}};
    uint32_t least = UINT32_MAX, most = 0;

    for (int w = 0; w < WORKERS; w++)
        cursors[w].position = rng_next(&f->rng);
    for (uint32_t i = 0; i < 50 * f->n; i++) {
        int got = farm_pick_with(f, &cursors[rng_below(&f->rng, WORKERS)], 0);
        atomic_fetch_add(&f->slots[got].in_flight, 1);
    }
    for (uint32_t i = 0; i < f->n; i++) {
        uint32_t load = farm_in_flight(f, i);
        least = load < least ? load : least;
        most = load > most ? load : most;
    }
    holds(f, most - least <= 4); /* of 50 */
    for (int w = 0; w < WORKERS; w++)
        balancer_cursor_fini(&cursors[w]);
    farm_free(f);
}

static void workers_that_do_not_see_each_other_keep_loads_close(void **state)
{
    (void)state;
    with_seeds(workers_stay_close);
}

/* Connections of random length from several workers: the choice is on average nearly the least. */
static void steady_state(uint64_t seed)
{
    enum { WORKERS = 4, OPEN = 2000 };
    struct farm *f = farm_new(BALANCE_LEAST_CONNECTIONS, 200, seed);
    struct balancer_cursor cursors[WORKERS] = {{0}};
    static uint32_t open[OPEN];
    uint64_t excess = 0, rounds = 20000;

    for (int w = 0; w < WORKERS; w++)
        cursors[w].position = rng_next(&f->rng);
    for (uint32_t i = 0; i < OPEN; i++)
        open[i] = (uint32_t)farm_take(f);
    for (uint64_t r = 0; r < rounds; r++) {
        uint32_t leaves = rng_below(&f->rng, OPEN), least = UINT32_MAX;
        farm_give(f, open[leaves]);
        for (uint32_t i = 0; i < f->n; i++)
            least = farm_in_flight(f, i) < least ? farm_in_flight(f, i) : least;
        int got = farm_pick_with(f, &cursors[rng_below(&f->rng, WORKERS)], 0);
        excess += farm_in_flight(f, (uint32_t)got) - least;
        atomic_fetch_add(&f->slots[got].in_flight, 1);
        open[leaves] = (uint32_t)got;
    }
    holds(f, excess < 2 * rounds); /* of 10 that each has */
    for (int w = 0; w < WORKERS; w++)
        balancer_cursor_fini(&cursors[w]);
    farm_free(f);
}

static void with_connections_coming_and_going_the_choice_is_near_the_least(void **state)
{
    (void)state;
    with_seeds(steady_state);
}

/* ---- excluded ---- */

static void excluded_members_keep_their_place_for_later(void **state)
{
    (void)state;
    struct farm *f = farm_new(BALANCE_LEAST_CONNECTIONS, 50, 1);
    for (uint32_t i = 0; i < f->n; i++)
        farm_load(f, i, 5);
    farm_load(f, 10, 0);
    farm_load(f, 20, 1);
    farm_load(f, 30, 2);
    farm_exclude(f, 10);
    farm_exclude(f, 20);
    assert_int_equal(farm_pick(f), 30);
    f->n_excluded = 1;
    assert_int_equal(farm_pick(f), 20);
    f->n_excluded = 0;
    assert_int_equal(farm_pick(f), 10);
    farm_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_loaded_is_chosen),
        cmocka_unit_test(load_counts_in_proportion_to_weight),
        cmocka_unit_test(connections_that_stay_fill_all_by_weight_exactly),
        cmocka_unit_test(idle_equals_take_turns),
        cmocka_unit_test(equals_with_busy_ones_between_take_turns),
        cmocka_unit_test(a_new_plan_goes_on_where_the_old_one_was),
        cmocka_unit_test(up_to_sixteen_the_choice_is_exact),
        cmocka_unit_test(above_sixteen_nobody_is_overlooked_for_long),
        cmocka_unit_test(a_member_that_drains_is_noticed_within_a_quarter_of_n_picks),
        cmocka_unit_test(a_full_member_is_used_again_soon_after_it_has_room),
        cmocka_unit_test(workers_that_do_not_see_each_other_keep_loads_close),
        cmocka_unit_test(with_connections_coming_and_going_the_choice_is_near_the_least),
        cmocka_unit_test(excluded_members_keep_their_place_for_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
