/* test_flight.c - what gets into the flight recorder, what leaves it, how it reads. */
#include "lb/obs/flight.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static struct flight_record out[FLIGHT_MAX];

static int setup(void **state)
{
    *state = flight_new();
    return 0;
}

static int teardown(void **state)
{
    flight_free((struct flight **)state);
    return 0;
}

static void end(struct flight *f, uint64_t slow_us, uint64_t at_us, bool failed)
{
    struct flight_record r = {
        .id = slow_us, .slow_us = slow_us, .total_us = slow_us, .end_us = at_us, .failed = failed};

    if (flight_wants(f, failed, slow_us, at_us))
        flight_add(f, &r);
}

static bool has(uint32_t n, uint64_t id, bool failed)
{
    for (uint32_t i = 0; i < n; i++)
        if (out[i].id == id && out[i].failed == failed)
            return true;
    return false;
}

static void the_slowest_stay(void **state)
{
    struct flight *f = *state;

    for (uint64_t i = 1; i <= 1000; i++)
        end(f, i * 7919 % 1000 + 1, i, false);
    uint32_t n = flight_copy(f, 1000, out);
    assert_int_equal(n, FLIGHT_SLOW);
    for (uint64_t id = 1000; id > 1000 - FLIGHT_SLOW; id--)
        assert_true(has(n, id, false));
}

static void who_is_not_slower_does_not_qualify(void **state)
{
    struct flight *f = *state;

    for (int i = 0; i < FLIGHT_SLOW; i++)
        end(f, 100, 1, false);
    assert_false(flight_wants(f, false, 100, 2));
    assert_true(flight_wants(f, false, 101, 2));
    assert_true(flight_wants(f, true, 0, 2));
}

static void who_has_left_the_window_makes_room(void **state)
{
    struct flight *f = *state;

    for (int i = 0; i < FLIGHT_SLOW; i++)
        end(f, 1000, i < 2 ? 1 : 1000, false);
    assert_false(flight_wants(f, false, 5, FLIGHT_WINDOW_US));
    assert_true(flight_wants(f, false, 5, FLIGHT_WINDOW_US + 1));
    assert_int_equal(flight_copy(f, FLIGHT_WINDOW_US + 1, out), FLIGHT_SLOW - 2);
    end(f, 5, FLIGHT_WINDOW_US + 1, false);
    end(f, 6, FLIGHT_WINDOW_US + 1, false);
    assert_false(flight_wants(f, false, 5, FLIGHT_WINDOW_US + 2));
    uint32_t n = flight_copy(f, FLIGHT_WINDOW_US + 1, out);
    assert_int_equal(n, FLIGHT_SLOW);
    assert_true(has(n, 5, false) && has(n, 6, false));
}

static void the_last_failed_ones_stay_however_fast_they_were(void **state)
{
    struct flight *f = *state;

    for (int i = 0; i < FLIGHT_SLOW; i++)
        end(f, 100000, 1, false);
    for (uint64_t i = 1; i <= FLIGHT_FAILED + 3; i++)
        end(f, i, i, true);
    uint32_t n = flight_copy(f, 100, out);
    assert_int_equal(n, FLIGHT_MAX);
    assert_false(has(n, 3, true));
    assert_true(has(n, 4, true) && has(n, FLIGHT_FAILED + 3, true));
    assert_false(has(n, 4, false));
}

static void a_slow_failure_is_in_both_lists(void **state)
{
    struct flight *f = *state;

    end(f, 77, 1, true);
    uint32_t n = flight_copy(f, 2, out);
    assert_int_equal(n, 2);
    assert_true(has(n, 77, true) && has(n, 77, false));
    assert_non_null(flight_raw(f, 0));
    assert_null(flight_raw(f, 1));
    assert_int_equal(flight_raw(f, FLIGHT_SLOW)->id, 77);
    assert_null(flight_raw(f, FLIGHT_SLOW + 1));
    assert_null(flight_raw(f, FLIGHT_MAX));
}

static void answers_of_our_own_are_no_failures(void **state)
{
    (void)state;
    assert_false(flight_is_failure(END_NORMAL, 200));
    assert_false(flight_is_failure(END_NORMAL, 404));
    assert_true(flight_is_failure(END_NORMAL, 500));
    assert_false(flight_is_failure(END_LOCAL, 308));
    assert_false(flight_is_failure(END_DENIED, 403));
    assert_true(flight_is_failure(END_CONNECT_FAILED, 0));
    assert_true(flight_is_failure(END_BAD_REQUEST, 400));
}

static void texts_are_cut_and_clean(void **state)
{
    char text[8];

    (void)state;
    flight_set_text(text, sizeof(text), STR("/a b\x1b\xc3"));
    assert_string_equal(text, "/a?b??");
    flight_set_text(text, sizeof(text), STR("1234567"));
    assert_string_equal(text, "1234567");
    flight_set_text(text, sizeof(text), STR("12345678"));
    assert_string_equal(text, "1234...");
    flight_set_text(text, sizeof(text), STR(""));
    assert_string_equal(text, "");
}

static void lines_and_json_have_the_phases(void **state)
{
    struct flight_record r = {.id = 0x1000000000007,
                              .sequence = 3,
                              .failed = true,
                              .wall_us = 1795425600000001,
                              .end = END_RESPONSE_TIMEOUT,
                              .status = 504,
                              .queue_us = 0,
                              .connect_us = 1234,
                              .first_us = -1,
                              .total_us = 60001000,
                              .bytes_in = 80,
                              .bytes_out = 120,
                              .retries = 1,
                              .client = "192.0.2.1:5",
                              .listener = "web",
                              .route = "web#1",
                              .pool = "app",
                              .backend = "a",
                              .method = "GET",
                              .target = "/x\"y",
                              .why = "timeout"};
    struct strbuf b = {0};

    (void)state;
    flight_text(&r, &b);
    assert_string_equal(
        b.p, "failed 2026-11-23T09:20:00.000001Z 0x0001000000000007/3 client=192.0.2.1:5 "
             "listener=web route=web#1 pool=app backend=a total_ms=60001.000 queue_ms=0.000 "
             "connect_ms=1.234 first_ms=- in=80 out=120 retries=1 status=504 GET /x\"y end=sH "
             "(the response did not come in time: timeout)");
    strbuf_clear(&b);
    flight_json(&r, &b);
    assert_non_null(strstr(b.p, "\"target\":\"/x\\\"y\""));
    assert_non_null(strstr(b.p, "\"connect_us\":1234,\"first_us\":null,\"total_us\":60001000,"));
    strbuf_clear(&b);
    r = (struct flight_record){.queue_us = -1, .connect_us = -1, .first_us = -1};
    flight_text(&r, &b);
    assert_string_equal(b.p, "slow 1970-01-01T00:00:00.000000Z 0x0000000000000000 client=- "
                             "listener=- route=- pool=- backend=- total_ms=0.000 queue_ms=- "
                             "connect_ms=- first_ms=- in=0 out=0 retries=0 end=-- (both sides "
                             "finished)");
    strbuf_fini(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_slowest_stay),
        TEST(who_is_not_slower_does_not_qualify),
        TEST(who_has_left_the_window_makes_room),
        TEST(the_last_failed_ones_stay_however_fast_they_were),
        TEST(a_slow_failure_is_in_both_lists),
        TEST(answers_of_our_own_are_no_failures),
        TEST(texts_are_cut_and_clean),
        TEST(lines_and_json_have_the_phases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
