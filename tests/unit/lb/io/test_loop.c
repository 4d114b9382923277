/* test_loop.c - turns, timers, put-off work and messages of a loop, on each engine that runs here.
 */
#include "lb/io/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define POSTERS  4
#define MESSAGES 5000 /* of each poster */

static enum io_engine_kind engine_kind;

struct fixture {
    struct loop loop;
    int order[16], n; /* who ran, in order */
    int next_of[POSTERS];
    int got;
    struct timer timer;
    struct loop_task task;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int error = 0;
    struct io *io = io_new(&(struct io_conf){.engine = engine_kind}, &error);

    assert_non_null(io);
    assert_int_equal(loop_init(&f->loop, io, f), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    loop_fini(&f->loop);
    free(f);
    return 0;
}

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- timers and tasks ---- */

static void on_timer(struct timer *t)
{
    struct fixture *f = container_of(t, struct fixture, timer);
    f->order[f->n++] = 't';
}

static void on_task(struct loop_task *task)
{
    struct fixture *f = container_of(task, struct fixture, task);
    f->order[f->n++] = 'd';
    if (f->n < 4)
        loop_defer(&f->loop, task); /* for the next turn */
}

static void a_timer_ends_the_wait_and_not_too_early(void **state)
{
    struct fixture *f = *state;
    uint64_t at = loop_now_ms(&f->loop) + 30;

    timer_init(&f->timer, on_timer);
    timer_start(&f->loop.timers, &f->timer, at);
    while (f->n == 0)
        assert_true(loop_turn(&f->loop, -1) >= 0);
    assert_true(loop_now_ms(&f->loop) >= at);
    assert_true(now_ms() >= at);
}

static void on_timer_defer(struct timer *t)
{
    struct fixture *f = container_of(t, struct fixture, timer);
    f->order[f->n++] = 't';
    loop_defer(&f->loop, &f->task);
    loop_defer(&f->loop, &f->task);
}

static void put_off_work_runs_at_the_end_of_the_turn_and_once(void **state)
{
    struct fixture *f = *state;

    list_init(&f->task.node);
    f->task.fn = on_task;
    timer_init(&f->timer, on_timer_defer);
    timer_start(&f->loop.timers, &f->timer, 0);
    while (f->n == 0)
        assert_true(loop_turn(&f->loop, -1) >= 0);
    assert_int_equal(f->n, 2); /* the timer, and in the same turn the work, once */
    assert_int_equal(f->order[0], 't');
    uint64_t start = now_ms();
    for (int i = 3; i <= 4; i++) { /* work that waits keeps the loop from sleeping */
        assert_true(loop_turn(&f->loop, 1000) >= 0);
        assert_int_equal(f->n, i);
    }
    assert_true(now_ms() - start < 900);
    assert_true(loop_turn(&f->loop, 0) >= 0);
    assert_int_equal(f->n, 4);
}

/* ---- messages ---- */

struct message {
    struct loop_msg msg;
    int poster, number;
};

static void on_message(struct loop_msg *msg, void *ctx)
{
    struct message *m = container_of(msg, struct message, msg);
    struct fixture *f = ctx;

    assert_int_equal(m->number, f->next_of[m->poster]); /* in the order of each poster */
    f->next_of[m->poster]++;
    if (++f->got == POSTERS * MESSAGES)
        loop_stop(&f->loop);
    free(m);
}

struct poster {
    struct fixture *f;
    int number;
    pthread_t thread;
};

static void post(struct fixture *f, int poster, int number)
{
    struct message *m = malloc(sizeof(*m));

    *m = (struct message){.msg = {.fn = on_message}, .poster = poster, .number = number};
    loop_post(&f->loop, &m->msg);
}

static void *run_poster(void *arg)
{
    struct poster *p = arg;

    for (int i = 0; i < MESSAGES; i++) {
        post(p->f, p->number, i);
        if (i % 64 == p->number) /* so that the loop falls asleep now and then */
            usleep(50);
    }
    return NULL;
}

static void messages_of_many_threads_arrive_in_their_order(void **state)
{
    struct fixture *f = *state;
    struct poster posters[POSTERS];

    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.f = f, .number = i};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, run_poster, &posters[i]), 0);
    }
    loop_run(&f->loop); /* would hang where a wake is lost: nothing else ends its waits */
    for (int i = 0; i < POSTERS; i++)
        pthread_join(posters[i].thread, NULL);
    assert_int_equal(f->got, POSTERS * MESSAGES);
}

static void *post_to_sleeper(void *arg)
{
    struct fixture *f = arg;

    while (!atomic_load(&f->loop.asleep))
        sched_yield();
    post(f, 0, 0);
    return NULL;
}

static void a_message_ends_a_wait_without_limit(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;

    for (int i = 0; i < 50; i++) {
        f->got = f->next_of[0] = 0;
        assert_int_equal(pthread_create(&thread, NULL, post_to_sleeper, f), 0);
        while (f->got == 0)
            assert_true(loop_turn(&f->loop, -1) >= 0);
        pthread_join(thread, NULL);
    }
}

static void a_message_to_oneself_needs_no_wake(void **state)
{
    struct fixture *f = *state;

    post(f, 0, 0);
    uint64_t start = now_ms();
    assert_true(loop_turn(&f->loop, 1000) >= 0);
    assert_int_equal(f->got, 1);
    assert_true(now_ms() - start < 900);
}

static void the_heartbeat_counts_turns(void **state)
{
    struct fixture *f = *state;
    uint64_t before = atomic_load(&f->loop.heartbeat);

    for (int i = 0; i < 3; i++)
        assert_true(loop_turn(&f->loop, 0) >= 0);
    assert_int_equal(atomic_load(&f->loop.heartbeat) - before, 3);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
    T(a_timer_ends_the_wait_and_not_too_early),
    T(put_off_work_runs_at_the_end_of_the_turn_and_once),
    T(messages_of_many_threads_arrive_in_their_order),
    T(a_message_ends_a_wait_without_limit),
    T(a_message_to_oneself_needs_no_wake),
    T(the_heartbeat_counts_turns),
};

int main(void)
{
    struct io_probe probe;
    int failed;

    engine_kind = IO_EPOLL;
    failed = cmocka_run_group_tests_name("epoll", tests, NULL, NULL);
    io_probe(&probe);
    if (!probe.uring) {
        fprintf(stderr, "io_uring: skipped: %s\n", probe.why);
        return failed;
    }
    engine_kind = IO_URING;
    return failed + cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);
}
