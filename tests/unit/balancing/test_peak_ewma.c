/* peak_ewma: the fast one is preferred, nobody is starved for ever, nobody that hangs is stormed.
 */
#include "tests/unit/balancing/farm.h"

#include "health/latency.h"

#define MS    1000u
#define S     1000000u
#define START (1000ull * S)

/* One request after the other, or `parallel` at a time, answered after each member's own time. */
struct town {
    struct farm *f;
    uint64_t now;
    uint64_t rtt_us[64]; /* 0: never answers */
    uint32_t counts[64];
    struct {
        int member; /* -1: free */
        uint64_t sent, due;
    } running[512];
};

static struct town *town_new(uint32_t n, uint64_t rtt_us, uint64_t seed)
{
    struct town *t = xcalloc(1, sizeof(*t));
    t->f = farm_new(BALANCE_PEAK_EWMA, n, seed);
    t->now = START;
    for (uint32_t i = 0; i < n; i++)
        t->rtt_us[i] = rtt_us;
    for (size_t i = 0; i < 512; i++)
        t->running[i].member = -1;
    return t;
}

static void town_free(struct town *t)
{
    farm_free(t->f);
    free(t);
}

static int pick_at(struct farm *f, uint64_t now_us)
{
    struct pick pick = {.excluded = f->excluded,
                        .n_excluded = f->n_excluded,
                        .rng = &f->pick_rng,
                        .now_us = now_us};
    struct backend_slot *slot;
    if (balancer_pick(f->plan, &f->cursor, &pick, &slot) != PICK_OK)
        return NONE;
    return (int)(slot - f->slots);
}

/* A request each gap_us for `us`; counts anew. */
static void run(struct town *t, uint64_t us, uint64_t gap_us)
{
    memset(t->counts, 0, sizeof(t->counts));
    for (uint64_t end = t->now + us; t->now < end; t->now += gap_us) {
        int free_at = -1;
        for (int i = 0; i < 512; i++) {
            int m = t->running[i].member;
            if (m >= 0 && t->running[i].due <= t->now) {
                slot_observe_latency(&t->f->slots[m], t->running[i].due,
                                     t->running[i].due - t->running[i].sent);
                farm_give(t->f, (uint32_t)m);
                t->running[i].member = m = -1;
            }
            if (m < 0)
                free_at = i;
        }
        if (free_at < 0)
            continue;
        int m = pick_at(t->f, t->now);
        assert_true(m >= 0);
        atomic_fetch_add(&t->f->slots[m].in_flight, 1);
        t->counts[m]++;
        t->running[free_at].member = m;
        t->running[free_at].sent = t->now;
        t->running[free_at].due = t->rtt_us[m] > 0 ? t->now + t->rtt_us[m] : UINT64_MAX;
    }
}

static uint32_t total(const struct town *t)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < t->f->n; i++)
        sum += t->counts[i];
    return sum;
}

static void with_sizes(void (*property)(uint32_t n, uint64_t seed))
{
    static const uint32_t sizes[] = {2, 3, 4, 5, 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        property(sizes[i], 1);
        property(sizes[i], random_seed());
    }
}

static void equals(uint32_t n, uint64_t seed)
{
    struct town *t = town_new(n, 10 * MS, seed);
    run(t, 20 * S, 5 * MS / n);
    for (uint32_t i = 0; i < n; i++)
        holds(t->f, t->counts[i] * n > total(t) / 2 && t->counts[i] * n < total(t) * 2);
    town_free(t);
}

static void equally_fast_ones_share(void **state)
{
    (void)state;
    with_sizes(equals);
}

static void fast_one(uint32_t n, uint64_t seed)
{
    struct town *t = town_new(n, 10 * MS, seed);
    t->rtt_us[0] = 200 * MS;
    run(t, 5 * S, 10 * MS / n);
    run(t, 20 * S, 10 * MS / n);
    holds(t->f, t->counts[0] > 0);                /* now and then */
    holds(t->f, t->counts[0] * n * 5 < total(t)); /* less than a fifth of its share */
    town_free(t);
}

static void a_slow_one_gets_little(void **state)
{
    (void)state;
    with_sizes(fast_one);
}

static void recovery(uint32_t n, uint64_t seed)
{
    struct town *t = town_new(n, 2 * MS, seed);
    run(t, 2 * S, 2 * MS);
    t->rtt_us[0] = 1 * S;
    run(t, 10 * S, 2 * MS);
    t->rtt_us[0] = 2 * MS;
    run(t, 120 * S, 4 * MS);
    run(t, 20 * S, 4 * MS);
    holds(t->f, t->counts[0] * n * 3 > total(t)); /* at least a third of its share */
    town_free(t);
}

static void one_that_was_slow_comes_back(void **state)
{
    (void)state;
    with_sizes(recovery);
}

/* Why: where an estimate fades away while nothing is heard, all requests would go to the one that
 * does not answer. */
static void hanging(uint32_t n, uint64_t seed)
{
    struct town *t = town_new(n, 5 * MS, seed);
    run(t, 2 * S, 2 * MS);
    t->rtt_us[0] = 0;
    run(t, 60 * S, 20 * MS);
    holds(t->f, farm_in_flight(t->f, 0) >= 1);
    holds(t->f, farm_in_flight(t->f, 0) <= 20);
    town_free(t);
}

static void one_that_hangs_is_found_out_by_few_requests(void **state)
{
    (void)state;
    with_sizes(hanging);
}

static void untried(uint32_t n, uint64_t seed)
{
    struct town *t = town_new(n, 1 * MS, seed);
    for (uint32_t i = 1; i < n; i++)
        slot_observe_latency(&t->f->slots[i], t->now, 1 * MS);
    run(t, 1 * S, 10 * MS);
    holds(t->f, t->counts[0] > 0);
    town_free(t);
}

static void one_that_was_never_tried_gets_requests(void **state)
{
    (void)state;
    with_sizes(untried);
}

static void untried_hanging(uint32_t n, uint64_t seed)
{
    struct town *t = town_new(n, 5 * MS, seed);
    for (uint32_t i = 1; i < n; i++)
        slot_observe_latency(&t->f->slots[i], t->now, 5 * MS);
    t->rtt_us[0] = 0;
    run(t, 20 * S, 10 * MS);
    holds(t->f, farm_in_flight(t->f, 0) >= 1 && farm_in_flight(t->f, 0) <= 20);
    town_free(t);
}

static void one_that_was_never_tried_and_hangs_is_not_stormed(void **state)
{
    (void)state;
    with_sizes(untried_hanging);
}

static void a_heap(uint32_t n, uint64_t seed)
{
    struct farm *f = farm_new(BALANCE_PEAK_EWMA, n, seed);
    for (uint32_t i = 0; i < 10 * n; i++)
        atomic_fetch_add(&f->slots[pick_at(f, START)].in_flight, 1);
    for (uint32_t i = 0; i < n; i++) /* n > 4: two at random */
        holds(f, farm_in_flight(f, i) >= (n <= 4 ? 10 : 6) && farm_in_flight(f, i) <= 16);
    farm_free(f);
}

static void where_none_was_tried_the_requests_in_flight_decide(void **state)
{
    (void)state;
    with_sizes(a_heap);
}

/* Loads by weight: 3 times the weight, 3 times as many in flight at equal response times. */
static void weights_count(void **state)
{
    static const uint32_t weights[] = {64, 192};
    (void)state;
    struct farm *f = farm_weighted(BALANCE_PEAK_EWMA, weights, 2, 1);
    for (uint32_t i = 0; i < 2; i++)
        slot_observe_latency(&f->slots[i], START, 5 * MS);
    for (int i = 0; i < 400; i++)
        atomic_fetch_add(&f->slots[pick_at(f, START)].in_flight, 1);
    assert_in_range(farm_in_flight(f, 0), 99, 101);
    farm_free(f);
}

static void failing(uint32_t n, uint64_t seed)
{
    struct town *t = town_new(n, 20 * MS, seed);
    uint32_t in_a_row = 0, failed = 0;
    run(t, 5 * S, 10 * MS);
    for (uint32_t i = 0; i < n; i++)
        farm_load(t->f, i, 0);
    for (int i = 0; i < 2000; i++, t->now += 5 * MS) {
        int m = pick_at(t->f, t->now);
        if (m == 0) { /* refuses within 100 us */
            slot_observe_failure(&t->f->slots[0], t->now + 100, 100, ++in_a_row);
            failed++;
        } else {
            slot_observe_latency(&t->f->slots[m], t->now + 20 * MS, 20 * MS);
        }
    }
    holds(t->f, failed >= 1 && failed < 20);
    town_free(t);
}

static void one_that_fails_fast_is_left_alone(void **state)
{
    (void)state;
    with_sizes(failing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equally_fast_ones_share),
        cmocka_unit_test(a_slow_one_gets_little),
        cmocka_unit_test(one_that_was_slow_comes_back),
        cmocka_unit_test(one_that_hangs_is_found_out_by_few_requests),
        cmocka_unit_test(one_that_was_never_tried_gets_requests),
        cmocka_unit_test(one_that_was_never_tried_and_hangs_is_not_stormed),
        cmocka_unit_test(where_none_was_tried_the_requests_in_flight_decide),
        cmocka_unit_test(weights_count),
        cmocka_unit_test(one_that_fails_fast_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
