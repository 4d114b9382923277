/* Who is asked when a place is free: those who wait longest, except that one who cannot use the
 * place holds up nobody. */
#include "lb/upstream/wait_queue.h"

#include "lb/base/alloc.h"
#include "lb/upstream/pool.h"
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#define WORKERS 2

struct fixture {
    struct pool_kept *pool;
    struct sim *sim[WORKERS];
    struct loop loop[WORKERS];
    struct wait_queue queue[WORKERS];
    uint32_t places, asked;
};

struct client {
    struct waiter waiter;
    struct fixture *f;
    struct wait_queue *queue;
    bool served;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    const struct sim_conf conf = {.seed = 1, .calm = true};

    f->pool = xaligned(sizeof(*f->pool));
    f->pool->n_rows = WORKERS;
    f->pool->queues = xcalloc(WORKERS, sizeof(*f->pool->queues));
    for (uint32_t i = 0; i < WORKERS; i++) {
        f->sim[i] = sim_new(&conf);
        assert_int_equal(loop_init(&f->loop[i], sim_io(f->sim[i]), NULL), 0);
        wait_queue_init(&f->queue[i], &f->loop[i], f->pool, i);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < WORKERS; i++) {
        loop_fini(&f->loop[i]);
        sim_free(&f->sim[i]);
    }
    free(f->pool->queues);
    free(f->pool);
    free(f);
    return 0;
}

/* A choosy one finds no place to its liking, ever. */
static bool try_place(struct waiter *w)
{
    struct client *c = container_of(w, struct client, waiter);

    c->f->asked++;
    if (w->choosy || c->f->places == 0)
        return false;
    c->f->places--;
    c->served = true;
    wait_queue_remove(c->queue, w);
    return true;
}

static void wait_at(struct fixture *f, uint32_t worker, struct client *c, uint64_t since_us,
                    bool choosy)
{
    *c = (struct client){.f = f, .queue = &f->queue[worker]};
    list_init(&c->waiter.node);
    c->waiter.try = try_place;
    c->waiter.choosy = choosy;
    wait_queue_add(c->queue, &c->waiter);
    c->waiter.since_us = since_us;
    if (c->queue->n == 1)
        atomic_store(&c->queue->oldest_us, since_us);
}

/* Until all is quiet: a few turns are enough, whoever calls whom. */
static void turns(struct fixture *f)
{
    for (uint32_t i = 0; i < 10; i++)
        loop_turn(&f->loop[i % WORKERS], 0);
    f->asked = 0;
    for (uint32_t i = 0; i < WORKERS; i++)
        loop_turn(&f->loop[i], 0);
    assert_int_equal(f->asked, 0);
}

static void a_place_is_free(struct fixture *f, uint32_t worker)
{
    f->places++;
    wait_queue_place_free(&f->queue[worker]);
    turns(f);
}

static void leave(struct client *c)
{
    wait_queue_remove(c->queue, &c->waiter);
}

static void the_one_who_waits_longest_is_served_first_on_whatever_worker(void **state)
{
    struct fixture *f = *state;
    struct client first, second, third;

    wait_at(f, 0, &second, 20, false);
    wait_at(f, 1, &first, 10, false);
    wait_at(f, 1, &third, 30, false);
    turns(f);
    a_place_is_free(f, 0);
    assert_true(first.served && !second.served);
    a_place_is_free(f, 1);
    assert_true(second.served && !third.served);
    a_place_is_free(f, 0);
    assert_true(third.served);
}

/* Why: a client whose first backend had failed held up everybody behind it, with places free. */
static void one_who_cannot_use_the_place_lets_those_behind_it_pass(void **state)
{
    struct fixture *f = *state;
    struct client choosy, behind, last;

    wait_at(f, 0, &choosy, 10, true);
    wait_at(f, 0, &behind, 20, false);
    wait_at(f, 0, &last, 30, false);
    turns(f);
    a_place_is_free(f, 0);
    assert_true(behind.served && !last.served);
    a_place_is_free(f, 1);
    assert_true(last.served);
    leave(&choosy);
}

static void one_who_comes_is_served_beside_those_who_cannot_use_the_place(void **state)
{
    struct fixture *f = *state;
    struct client choosy, newcomer;

    wait_at(f, 0, &choosy, 10, true);
    turns(f);
    f->places = 1;
    wait_at(f, 0, &newcomer, 20, false);
    turns(f);
    assert_true(newcomer.served);
    leave(&choosy);
}

static void the_choosy_of_two_workers_pass_a_place_on_and_come_to_rest(void **state)
{
    struct fixture *f = *state;
    struct client choosy[4], last;

    wait_at(f, 0, &choosy[0], 10, true);
    wait_at(f, 1, &choosy[1], 20, true);
    wait_at(f, 0, &choosy[2], 30, true);
    wait_at(f, 1, &choosy[3], 40, true);
    wait_at(f, 0, &last, 50, false);
    turns(f);
    a_place_is_free(f, 1);
    assert_true(last.served);
    a_place_is_free(f, 0);
    assert_int_equal(f->places, 1);
    for (uint32_t i = 0; i < 4; i++)
        leave(&choosy[i]);
}

/* A backend came back, and the one with the younger waiters hears of it first. */
static void many_places_at_once_are_for_all_who_wait_on_whatever_worker(void **state)
{
    struct fixture *f = *state;
    struct client a, b[2];

    wait_at(f, 1, &a, 10, false);
    wait_at(f, 0, &b[0], 20, false);
    wait_at(f, 0, &b[1], 30, false);
    turns(f);
    f->places = 4;
    wait_queue_run_soon(&f->queue[0]);
    loop_turn(&f->loop[0], 0);
    loop_turn(&f->loop[1], 0);
    wait_queue_run_soon(&f->queue[1]); /* nobody waits there any more */
    turns(f);
    assert_true(a.served && b[0].served && b[1].served);
    assert_int_equal(f->places, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_one_who_waits_longest_is_served_first_on_whatever_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(one_who_cannot_use_the_place_lets_those_behind_it_pass,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            one_who_comes_is_served_beside_those_who_cannot_use_the_place, setup, teardown),
        cmocka_unit_test_setup_teardown(the_choosy_of_two_workers_pass_a_place_on_and_come_to_rest,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(many_places_at_once_are_for_all_who_wait_on_whatever_worker,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
