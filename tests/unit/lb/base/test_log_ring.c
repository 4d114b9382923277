/* test_log_ring.c - the queue of lines: nothing lost that was accepted, nothing torn, order kept
 * per producer; under stress too. */
#include "lb/base/assert.h"
#include "lb/base/log_ring.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE = 1024 };

static int setup(void **state)
{
    static struct log_ring r;
    log_ring_init(&r, SIZE);
    *state = &r;
    return 0;
}

static int teardown(void **state)
{
    log_ring_fini(*state);
    return 0;
}

static void records_come_out_as_they_went_in(void **state)
{
    struct log_ring *r = *state;
    char out[SIZE];
    uint8_t tag;
    size_t fill;
    assert_false(log_ring_ready(r));
    assert_int_equal(log_ring_take(r, out, sizeof(out), &tag), 0);
    assert_true(log_ring_put(r, 7, "hello", 5, &fill));
    assert_int_equal(fill, 16);
    assert_true(log_ring_put(r, 255, "12345678", 8, &fill));
    assert_int_equal(fill, 32);
    assert_true(log_ring_ready(r));
    assert_int_equal(log_ring_take(r, out, sizeof(out), &tag), 5);
    assert_memory_equal(out, "hello", 5);
    assert_int_equal(tag, 7);
    assert_int_equal(log_ring_take(r, out, sizeof(out), &tag), 8);
    assert_memory_equal(out, "12345678", 8);
    assert_int_equal(tag, 255);
    assert_false(log_ring_ready(r));
}

/* Every length at every place, so every way to wrap round the end. */
static void records_survive_the_end_of_the_ring(void **state)
{
    struct log_ring *r = *state;
    char in[SIZE / 4], out[SIZE / 4];
    uint8_t tag;
    size_t fill;
    for (int round = 0; round < 50; round++) {
        for (size_t len = 1; len <= sizeof(in); len++) {
            for (size_t i = 0; i < len; i++)
                in[i] = (char)(i + len + (size_t)round);
            assert_true(log_ring_put(r, (uint8_t)len, in, len, &fill));
            assert_int_equal(log_ring_take(r, out, sizeof(out), &tag), len);
            assert_memory_equal(in, out, len);
            assert_int_equal(tag, (uint8_t)len);
        }
    }
}

static void a_full_ring_refuses_until_there_is_room(void **state)
{
    struct log_ring *r = *state;
    char line[56] = {0}, out[SIZE];
    uint8_t tag;
    size_t fill = 0;
    for (int i = 0; i < SIZE / 64; i++)
        assert_true(log_ring_put(r, 0, line, sizeof(line), &fill));
    assert_int_equal(fill, SIZE); /* to the last byte */
    assert_false(log_ring_put(r, 0, line, 1, &fill));
    assert_int_equal(log_ring_take(r, out, sizeof(out), &tag), sizeof(line));
    assert_false(log_ring_put(r, 0, line, sizeof(line) + 1, &fill)); /* 72 bytes in 64 */
    assert_true(log_ring_put(r, 0, line, sizeof(line), &fill));
    assert_false(log_ring_put(r, 0, line, 1, &fill));
    for (int i = 0; i < SIZE / 64; i++)
        assert_int_equal(log_ring_take(r, out, sizeof(out), &tag), sizeof(line));
    assert_false(log_ring_ready(r));
}

/* ---- stress ---- */

enum { PRODUCERS = 3, RECORDS = 20000 };

struct record {
    uint32_t producer, serial, filler_len;
    unsigned char filler[100];
};

static struct log_ring *shared;
static _Atomic uint32_t refused[PRODUCERS], done;

static void *produce(void *arg)
{
    uint32_t me = (uint32_t)(uintptr_t)arg;
    size_t fill;
    for (uint32_t i = 0; i < RECORDS; i++) {
        struct record rec = {me, i, i * (me + 3) % sizeof(rec.filler), {0}};
        memset(rec.filler, (int)(me + i), rec.filler_len);
        while (!log_ring_put(shared, (uint8_t)me, &rec,
                             offsetof(struct record, filler) + rec.filler_len, &fill)) {
            atomic_fetch_add(&refused[me], 1);
            sched_yield();
        }
    }
    atomic_fetch_add(&done, 1);
    return NULL;
}

static void producers_do_not_disturb_each_other(void **state)
{
    pthread_t t[PRODUCERS];
    uint32_t next[PRODUCERS] = {0}, total = 0;
    shared = *state;
    for (uintptr_t i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, produce, (void *)i), 0);
    while (total < PRODUCERS * RECORDS) {
        struct record rec;
        uint8_t tag;
        size_t n = log_ring_take(shared, &rec, sizeof(rec), &tag);
        if (n == 0) {
            sched_yield();
            continue;
        }
        assert_true(rec.producer < PRODUCERS && tag == rec.producer);
        assert_int_equal(rec.serial, next[rec.producer]++);
        assert_int_equal(n, offsetof(struct record, filler) + rec.filler_len);
        for (uint32_t i = 0; i < rec.filler_len; i++)
            assert_int_equal(rec.filler[i], (unsigned char)(rec.producer + rec.serial));
        total++;
    }
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(atomic_load(&done), PRODUCERS);
    assert_false(log_ring_ready(shared));
}

#define ON_A_RING(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_RING(records_come_out_as_they_went_in),
        ON_A_RING(records_survive_the_end_of_the_ring),
        ON_A_RING(a_full_ring_refuses_until_there_is_room),
        ON_A_RING(producers_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
