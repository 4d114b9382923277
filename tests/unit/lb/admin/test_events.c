/* test_events.c - `show events`: once, a part of it, and followed. */
#include "lb/obs/events.h"
#include "tests/unit/lb/admin/admin_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = fixture_new();
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

#define assert_has(answer, part)   assert_non_null(strstr(answer, part))
#define assert_lacks(answer, part) assert_null(strstr(answer, part))

static uint32_t count_lines(const char *text)
{
    uint32_t n = 0;

    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static void happen(void)
{
    events_add(EVENT_HEALTH, LOG_LEVEL_WARN, "app/a", "first");
    events_add(EVENT_HEALTH, LOG_LEVEL_INFO, "application/a", "second");
    events_add(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "third");
}

static void the_last_ones_are_shown_as_lines(void **state)
{
    struct fixture *f = *state;

    happen();
    const char *answer = fixture_run(f, "show events 2");
    assert_int_equal(count_lines(answer), 3); /* and the empty one */
    assert_has(answer, " info health application/a second\n");
    assert_has(answer, " info life - third\n\n");
    assert_string_equal(fixture_run(f, "show events 0"), "\n");
    answer = fixture_run(f, "show events");
    assert_has(answer, " warn health app/a first\n");
}

static void an_object_has_its_own(void **state)
{
    struct fixture *f = *state;

    happen();
    happen();
    const char *answer = fixture_run(f, "show events object app");
    assert_has(answer, "first");
    assert_lacks(answer, "second");
    answer = fixture_run(f, "show events 1 object app/a");
    assert_int_equal(count_lines(answer), 2);
    assert_has(answer, "first");
    assert_string_equal(fixture_run(f, "show events object ap"), "\n");
}

static void a_reader_goes_on_behind_a_number(void **state)
{
    struct fixture *f = *state;
    char command[64];

    happen();
    snprintf(command, sizeof(command), "show events after %llu",
             (unsigned long long)events_last() - 1);
    assert_int_equal(count_lines(fixture_run(f, command)), 2);
    assert_string_equal(fixture_run(f, "show events after 18446744073709551615"), "\n");
}

static void json_is_an_array(void **state)
{
    struct fixture *f = *state;

    happen();
    const char *answer = fixture_run(f, "show events 2 json");
    assert_int_equal(strncmp(answer, "[{\"serial\":", 11), 0);
    assert_has(answer, "\"text\":\"second\"},\n{");
    assert_has(answer, "\"text\":\"third\"}]\n");
    assert_string_equal(fixture_run(f, "show events 0 json"), "[]\n\n");
}

static void wrong_words_are_refused(void **state)
{
    static const char *const bad[] = {"show events 1001",   "show events x",
                                      "show events after",  "show events after x",
                                      "show events object", "show events -x"};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_has(fixture_run(f, bad[i]), "expected [<n>] (at most 1000)");
}

static void only_who_can_follow_may(void **state)
{
    struct fixture *f = *state;

    assert_has(fixture_run(f, "show events -w"), "on the stats socket only");
    f->session.may_follow = true;
    assert_string_equal(fixture_run(f, "show events -w"), "");
    assert_true(f->session.follow.on);
}

static void a_follower_is_told_each_event_once(void **state)
{
    struct command_follow follow = {.after = events_last()};
    struct strbuf out = {0};

    (void)state;
    happen();
    assert_true(events_follow(&follow, 10000, &out));
    assert_int_equal(count_lines(out.p), 3);
    strbuf_clear(&out);
    assert_true(events_follow(&follow, 10000, &out));
    assert_int_equal(out.len, 0);
    follow.json = follow.nul = true;
    happen();
    assert_true(events_follow(&follow, 10000, &out));
    assert_int_equal(out.p[0], '{');
    assert_int_equal(out.p[out.len - 1], '\0');
    strbuf_fini(&out);
}

static void a_follower_that_was_too_slow_is_told_so(void **state)
{
    struct command_follow follow = {.after = events_last()};
    struct strbuf out = {0};

    (void)state;
    happen();
    assert_true(events_follow(&follow, 10000, &out));
    for (int i = 0; i < EVENTS_KEPT + 5; i++)
        happen();
    strbuf_clear(&out);
    assert_false(events_follow(&follow, 10000, &out));
    assert_string_equal(out.p, "# 2015 events are lost: they were read too slowly\n");
    strbuf_clear(&out);
    follow.json = true;
    assert_false(events_follow(&follow, 10000, &out));
    assert_string_equal(out.p, "{\"lost\":2015}\n");
    strbuf_fini(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_last_ones_are_shown_as_lines),
        TEST(an_object_has_its_own),
        TEST(a_reader_goes_on_behind_a_number),
        TEST(json_is_an_array),
        TEST(wrong_words_are_refused),
        TEST(only_who_can_follow_may),
        TEST(a_follower_is_told_each_event_once),
        TEST(a_follower_that_was_too_slow_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
