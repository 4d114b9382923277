/* test_refusals.c - refused requests become events: at once, then ever less often. */
#include "tests/unit/lb/admin/admin_fixture.h"

#include "lb/admin/refusals.h"
#include "lb/obs/events.h"
#include "lb/obs/reasons.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SECOND 1000000ull

static uint64_t first;

static int setup(void **state)
{
    *state = fixture_make(true);
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static uint32_t news(struct event out[static 10])
{
    struct event all[10];
    uint32_t n = events_read(first, all, 10), found = 0;

    for (uint32_t i = 0; i < n; i++)
        if (all[i].kind == EVENT_REFUSED || all[i].kind == EVENT_LIMIT)
            out[found++] = all[i];
    first = events_last();
    return found;
}

static void refuse(struct fixture *f, const char *code, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        reason_count(&f->listeners[0]->reasons[i % 2], code);
}

static void the_first_is_told_at_once_and_others_together(void **state)
{
    struct fixture *f = *state;
    struct refusals *r = refusals_new(&f->ops);
    struct event e[10];
    uint64_t now = SECOND;

    first = events_last();
    refusals_look(r, now);
    assert_int_equal(news(e), 0);
    refuse(f, "bad-host", 1);
    refusals_look(r, now);
    assert_int_equal(news(e), 1);
    assert_string_equal(e[0].text, "listener web: 1 request was refused: 1 bad-host");
    assert_string_equal(e[0].object, "web");
    refuse(f, "bad-host", 2);
    refuse(f, "head-too-large", 5);
    refuse(f, "no-route", 7);
    for (uint32_t s = 1; s < 10; s++)
        refusals_look(r, now + s * SECOND);
    assert_int_equal(news(e), 0);
    refusals_look(r, now + 10 * SECOND);
    assert_int_equal(news(e), 1);
    assert_string_equal(e[0].text,
                        "listener web: 7 requests were refused: 5 head-too-large, 2 bad-host");
    refuse(f, "bad-host", 1);
    refusals_look(r, now + 29 * SECOND);
    assert_int_equal(news(e), 0); /* 20 seconds this time */
    refusals_look(r, now + 30 * SECOND);
    assert_int_equal(news(e), 1);
    refusals_look(r, now + 70 * SECOND); /* quiet */
    refuse(f, "bad-host", 1);
    refusals_look(r, now + 71 * SECOND);
    assert_int_equal(news(e), 1);
    refuse(f, "bad-host", 1);
    refusals_look(r, now + 81 * SECOND);
    assert_int_equal(news(e), 1); /* 10 seconds again */
    refusals_free(&r);
    assert_null(r);
}

static void many_reasons_are_cut_short(void **state)
{
    static const char *const codes[] = {"r1", "r2", "r3", "r4", "r5", "r6", "r7"};
    struct fixture *f = *state;
    struct refusals *r = refusals_new(&f->ops);
    struct event e[10];

    first = events_last();
    for (uint32_t i = 0; i < ARRAY_LEN(codes); i++)
        refuse(f, codes[i], 10 - i);
    refusals_look(r, SECOND);
    assert_int_equal(news(e), 1);
    assert_string_equal(e[0].text, "listener web: 49 requests were refused: 10 r1, 9 r2, 8 r3, 7 "
                                   "r4, 6 r5, 9 for other reasons");
    refusals_free(&r);
}

static void a_reload_keeps_what_was_told_and_counts_before_it_are_not(void **state)
{
    struct fixture *f = *state;
    struct event e[10];

    first = events_last();
    refuse(f, "bad-host", 3);
    struct refusals *r = refusals_new(&f->ops);
    refusals_look(r, SECOND);
    assert_int_equal(news(e), 0);
    refuse(f, "bad-host", 1);
    refusals_follow(r);
    refusals_look(r, 2 * SECOND);
    assert_int_equal(news(e), 1);
    assert_string_equal(e[0].text, "listener web: 1 request was refused: 1 bad-host");
    counter_add(&f->pools[0]->rows[1].queue_full, 2);
    refusals_look(r, 3 * SECOND);
    assert_int_equal(news(e), 1);
    assert_int_equal(e[0].kind, EVENT_LIMIT);
    refusals_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_is_told_at_once_and_others_together, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_reasons_are_cut_short, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reload_keeps_what_was_told_and_counts_before_it_are_not,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
