/* test_events.c - the ring of events: numbers, what is kept, words. */
#include "lb/obs/events.h"

#include "lb/base/str.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static struct event some[EVENTS_KEPT + 1];

/* The ring is the process's, so each test starts at what is there. */
static void an_event_is_read_back(void **state)
{
    uint64_t before = events_last();

    (void)state;
    events_add(EVENT_HEALTH, LOG_LEVEL_WARN, "app/a", "backend app/a is DOWN: %s", "refused");
    assert_int_equal(events_last(), before + 1);
    assert_int_equal(events_read(before, some, 10), 1);
    assert_int_equal(some[0].serial, before + 1);
    assert_int_equal(some[0].kind, EVENT_HEALTH);
    assert_int_equal(some[0].severity, LOG_LEVEL_WARN);
    assert_string_equal(some[0].object, "app/a");
    assert_string_equal(some[0].text, "backend app/a is DOWN: refused");
    assert_true(some[0].wall_us > 1600000000000000u);
}

static void a_reader_gets_what_is_behind_its_number_oldest_first(void **state)
{
    uint64_t before = events_last();

    (void)state;
    for (int i = 0; i < 5; i++)
        events_add(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "%d", i);
    assert_int_equal(events_read(before + 1, some, 2), 2);
    assert_string_equal(some[0].text, "1");
    assert_string_equal(some[1].text, "2");
    assert_int_equal(events_read(some[1].serial, some, 10), 2);
    assert_string_equal(some[1].text, "4");
    assert_int_equal(events_read(events_last(), some, 10), 0);
    assert_int_equal(events_read(UINT64_MAX, some, 10), 0);
}

static void the_last_thousand_are_kept_and_a_slow_reader_sees_the_gap(void **state)
{
    uint64_t before = events_last();

    (void)state;
    for (int i = 0; i < EVENTS_KEPT + 7; i++)
        events_add(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "%d", i);
    assert_int_equal(events_read(before, some, EVENTS_KEPT + 1), EVENTS_KEPT);
    assert_int_equal(some[0].serial, before + 8);
    assert_string_equal(some[0].text, "7");
    assert_int_equal(some[EVENTS_KEPT - 1].serial, events_last());
}

static void an_event_is_peeked_at_while_it_is_kept(void **state)
{
    uint64_t last;

    (void)state;
    for (int i = 0; i < EVENTS_KEPT; i++)
        events_add(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "%d", i);
    last = events_last();
    assert_true(events_peek(last, &some[0]));
    assert_int_equal(some[0].serial, last);
    assert_true(events_peek(last - EVENTS_KEPT + 1, &some[0]));
    assert_string_equal(some[0].text, "0");
    assert_false(events_peek(last - EVENTS_KEPT, &some[0]));
    assert_false(events_peek(last + 1, &some[0]));
    assert_false(events_peek(0, &some[0]));
}

static void control_bytes_are_escaped_and_long_texts_cut(void **state)
{
    char text[3 * EVENT_TEXT_MAX];

    (void)state;
    events_add(EVENT_REFUSED, LOG_LEVEL_WARN, "a\nb", "x\x1b[2Jy");
    events_read(events_last() - 1, some, 1);
    assert_string_equal(some[0].object, "a\\x0ab");
    assert_string_equal(some[0].text, "x\\x1b[2Jy");

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    events_add(EVENT_REFUSED, LOG_LEVEL_WARN, text, "%s", text);
    events_read(events_last() - 1, some, 1);
    assert_int_equal(strlen(some[0].text), EVENT_TEXT_MAX);
    assert_string_equal(some[0].text + EVENT_TEXT_MAX - 4, "x...");
    assert_int_equal(strlen(some[0].object), EVENT_OBJECT_MAX);

    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    events_add(EVENT_REFUSED, LOG_LEVEL_WARN, NULL, "%s", text);
    events_read(events_last() - 1, some, 1);
    size_t len = strlen(some[0].text);
    assert_true(len <= EVENT_TEXT_MAX);
    assert_string_equal(some[0].text + len - 5, "\xc3\xa4...");
}

static void text_that_just_fits_is_not_cut(void **state)
{
    char text[EVENT_TEXT_MAX + 1];

    (void)state;
    memset(text, 'x', EVENT_TEXT_MAX);
    text[EVENT_TEXT_MAX] = '\0';
    events_add(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "%s", text);
    events_read(events_last() - 1, some, 1);
    assert_string_equal(some[0].text, text);
}

static void lines_and_json_say_all_of_it(void **state)
{
    const struct event e = {.serial = 17,
                            .wall_us = 1795425600123456,
                            .kind = EVENT_CHANGE,
                            .severity = LOG_LEVEL_INFO,
                            .object = "app/a",
                            .text = "weight \"1\""};
    struct event plain = e;
    struct strbuf out = {0};

    (void)state;
    event_text(&e, &out);
    assert_string_equal(out.p, "17 2026-11-23T09:20:00.123456Z info change app/a weight \"1\"");
    strbuf_clear(&out);
    plain.object[0] = '\0';
    event_text(&plain, &out);
    assert_string_equal(out.p, "17 2026-11-23T09:20:00.123456Z info change - weight \"1\"");
    strbuf_clear(&out);
    event_json(&e, &out);
    assert_string_equal(out.p, "{\"serial\":17,\"time_us\":1795425600123456,"
                               "\"time\":\"2026-11-23T09:20:00.123456Z\",\"severity\":\"info\","
                               "\"kind\":\"change\",\"object\":\"app/a\","
                               "\"text\":\"weight \\\"1\\\"\"}");
    strbuf_fini(&out);
}

static void every_kind_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < EVENT_KINDS; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(event_kind_name(i), event_kind_name(j));
    assert_string_equal(event_kind_name(EVENT_KINDS), "?");
}

static void *add_many(void *arg)
{
    for (int i = 0; i < 200; i++)
        events_add(EVENT_WORKER, LOG_LEVEL_INFO, NULL, "%d", i);
    return arg;
}

static void threads_share_the_numbers_without_gaps(void **state)
{
    uint64_t before = events_last();
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(events_last(), before + 800);
    assert_int_equal(events_read(before, some, EVENTS_KEPT), 800);
    for (int i = 0; i < 800; i++) {
        assert_int_equal(some[i].serial, before + 1 + (uint64_t)i);
        assert_true(i == 0 || some[i].wall_us >= some[i - 1].wall_us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_read_back),
        cmocka_unit_test(a_reader_gets_what_is_behind_its_number_oldest_first),
        cmocka_unit_test(the_last_thousand_are_kept_and_a_slow_reader_sees_the_gap),
        cmocka_unit_test(an_event_is_peeked_at_while_it_is_kept),
        cmocka_unit_test(control_bytes_are_escaped_and_long_texts_cut),
        cmocka_unit_test(text_that_just_fits_is_not_cut),
        cmocka_unit_test(lines_and_json_say_all_of_it),
        cmocka_unit_test(every_kind_has_a_name_of_its_own),
        cmocka_unit_test(threads_share_the_numbers_without_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
