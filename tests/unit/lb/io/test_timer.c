/* test_timer.c - the timer wheel against a naive model that looks at every timer. */
#include "lb/base/rand.h"
#include "lb/io/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define N        200
#define START_MS 123456789

/* A timer and what the model knows of it. */
struct item {
    struct timer t;
    struct model *m;
    bool pending;
    uint64_t at_ms; /* as the wheel must understand it */
    int fired;
};

struct model {
    struct timer_wheel w;
    struct rng rng;
    struct item items[N];
    uint64_t now_ms;  /* of the last run, or the one that is going on */
    uint64_t last_ms; /* of the run before */
    uint64_t latest_fired_ms;
    bool running, meddle;
    uint32_t pending;
};

static void model_start(struct model *m, struct item *i, uint64_t at_ms)
{
    timer_start(&m->w, &i->t, at_ms);
    m->pending += !i->pending;
    i->pending = true;
    i->at_ms = at_ms > m->now_ms ? at_ms : m->now_ms + 1; /* not in this run */
}

static void model_stop(struct model *m, struct item *i)
{
    timer_stop(&m->w, &i->t);
    m->pending -= i->pending;
    i->pending = false;
}

/* Spread over all levels of the wheel, and past its end. */
static uint64_t some_delay(struct model *m)
{
    uint32_t bits = rng_below(&m->rng, 34);
    uint64_t d = rng_next(&m->rng) & ((1ull << bits) - 1);
    static const uint64_t edges[] = {0, 1, 63, 64, 65, 4095, 4096, 4097, 262143, 262144};

    return rng_below(&m->rng, 4) == 0 ? edges[rng_below(&m->rng, 10)] : d;
}

static void on_fire(struct timer *t)
{
    struct item *i = container_of(t, struct item, t);
    struct model *m = i->m;

    assert_true(m->running);
    assert_true(i->pending);
    assert_false(timer_pending(t));
    assert_true(i->at_ms <= m->now_ms);          /* never before its time */
    assert_true(i->at_ms >= m->latest_fired_ms); /* in order */
    m->latest_fired_ms = i->at_ms;
    i->pending = false;
    m->pending--;
    i->fired++;
    if (!m->meddle)
        return;
    /* Callbacks start, move and stop timers, their own and others. */
    struct item *other = &m->items[rng_below(&m->rng, N)];
    switch (rng_below(&m->rng, 4)) {
    case 0:
        model_start(m, i, m->now_ms + some_delay(m));
        return;
    case 1:
        model_start(m, other, m->now_ms + some_delay(m));
        return;
    case 2:
        model_stop(m, other);
        return;
    default:
        return;
    }
}

static void run_to(struct model *m, uint64_t now_ms)
{
    m->last_ms = m->now_ms;
    m->now_ms = now_ms;
    m->running = true;
    m->latest_fired_ms = 0;
    timer_run(&m->w, now_ms);
    m->running = false;
    assert_int_equal(m->w.count, m->pending);
    for (int i = 0; i < N; i++) {
        assert_int_equal(timer_pending(&m->items[i].t), m->items[i].pending);
        /* never late: what is still pending lies ahead */
        assert_true(!m->items[i].pending || m->items[i].at_ms > now_ms);
    }
}

static struct model *model_new(uint64_t seed)
{
    struct model *m = calloc(1, sizeof(*m));

    rng_seed(&m->rng, seed);
    m->now_ms = m->last_ms = START_MS + rng_below(&m->rng, 1 << 20);
    timer_wheel_init(&m->w, m->now_ms);
    for (int i = 0; i < N; i++) {
        timer_init(&m->items[i].t, on_fire);
        m->items[i].m = m;
    }
    return m;
}

static uint64_t earliest(const struct model *m)
{
    uint64_t at = UINT64_MAX;
    for (int i = 0; i < N; i++)
        if (m->items[i].pending && m->items[i].at_ms < at)
            at = m->items[i].at_ms;
    return at;
}

static void check_next(struct model *m)
{
    int next = timer_next_ms(&m->w, m->now_ms);
    uint64_t at = earliest(m);

    if (at == UINT64_MAX) {
        assert_int_equal(next, -1);
        return;
    }
    assert_true(next >= 0);
    assert_true(m->now_ms + (uint64_t)next <= at); /* never later than it is due */
}

static void random_step(struct model *m)
{
    struct item *i = &m->items[rng_below(&m->rng, N)];

    switch (rng_below(&m->rng, 6)) {
    case 0:
    case 1:
        model_start(m, i, m->now_ms + some_delay(m));
        break;
    case 2:
        model_start(m, i, m->now_ms - rng_below(&m->rng, 1000)); /* in the past */
        break;
    case 3:
        model_stop(m, i);
        break;
    case 4: /* as the loop does: exactly as long as it may sleep */
        run_to(m, m->now_ms + (uint64_t)(m->pending ? timer_next_ms(&m->w, m->now_ms) : 1));
        break;
    default:
        run_to(m, m->now_ms + some_delay(m));
        break;
    }
    check_next(m);
}

static void random_life(uint64_t seed, bool meddle)
{
    struct model *m = model_new(seed);

    m->meddle = meddle;
    for (int step = 0; step < 3000; step++)
        random_step(m);
    m->meddle = false;
    while (m->pending > 0) { /* sleeping as told leads to every timer, in few steps */
        uint64_t before = m->now_ms;
        run_to(m, m->now_ms + (uint64_t)timer_next_ms(&m->w, m->now_ms));
        if (m->now_ms == before)
            run_to(m, before + 1);
    }
    check_next(m);
    free(m);
}

static void the_wheel_agrees_with_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++)
        random_life(seed, false);
}

static void callbacks_may_start_and_stop_any_timer(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++)
        random_life(seed, true);
}

static void every_timer_of_a_day_fires_in_its_millisecond(void **state)
{
    struct model *m = model_new(7);

    (void)state;
    for (int i = 0; i < N; i++)
        model_start(m, &m->items[i], m->now_ms + (uint64_t)i * (uint64_t)i * 2161);
    while (m->pending > 0) {
        uint64_t at = earliest(m);
        run_to(m, at - 1);
        uint32_t before = m->pending;
        run_to(m, at);
        assert_true(m->pending < before);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(m->items[i].fired, 1);
    free(m);
}

/* Why: a loop that is woken early again and again must not be told to sleep for no time. */
static void the_next_time_is_above_zero_when_nothing_is_due(void **state)
{
    struct model *m = model_new(3);

    (void)state;
    for (uint64_t d = 1; d < 70000; d = d * 3 / 2 + 1) {
        model_start(m, &m->items[0], m->now_ms + d);
        int wakes = 0;
        while (m->pending > 0) {
            int next = timer_next_ms(&m->w, m->now_ms);
            assert_true(next > 0);
            run_to(m, m->now_ms + (uint64_t)next);
            wakes++;
        }
        assert_true(wakes <= TIMER_LEVELS); /* one for each level it moves down */
    }
    free(m);
}

static struct timer *chain[3];
static int chain_at;

static void on_chain(struct timer *t)
{
    assert_ptr_equal(t, chain[chain_at]);
    chain_at++;
    memset(t, 0xdd, sizeof(*t));
    free(t);
}

static void timers_of_one_moment_fire_in_order_and_may_be_freed(void **state)
{
    static struct timer_wheel w;

    (void)state;
    timer_wheel_init(&w, START_MS);
    chain_at = 0;
    for (int i = 0; i < 3; i++) {
        chain[i] = malloc(sizeof(struct timer));
        timer_init(chain[i], on_chain);
        timer_start(&w, chain[i], START_MS + 10);
    }
    timer_run(&w, START_MS + 9);
    assert_int_equal(chain_at, 0);
    timer_run(&w, START_MS + 10);
    assert_int_equal(chain_at, 3);
    assert_int_equal(timer_next_ms(&w, START_MS + 10), -1);
}

static void stopping_twice_or_what_never_started_does_nothing(void **state)
{
    static struct timer_wheel w;
    struct timer t;

    (void)state;
    timer_wheel_init(&w, START_MS);
    timer_init(&t, on_chain);
    timer_stop(&w, &t);
    timer_start(&w, &t, START_MS + 5);
    timer_start(&w, &t, START_MS + 50000); /* moved */
    assert_int_equal(w.count, 1);
    timer_stop(&w, &t);
    timer_stop(&w, &t);
    assert_int_equal(w.count, 0);
    timer_run(&w, START_MS + 100000); /* on_chain would fail */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wheel_agrees_with_the_model),
        cmocka_unit_test(callbacks_may_start_and_stop_any_timer),
        cmocka_unit_test(every_timer_of_a_day_fires_in_its_millisecond),
        cmocka_unit_test(the_next_time_is_above_zero_when_nothing_is_due),
        cmocka_unit_test(timers_of_one_moment_fire_in_order_and_may_be_freed),
        cmocka_unit_test(stopping_twice_or_what_never_started_does_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
