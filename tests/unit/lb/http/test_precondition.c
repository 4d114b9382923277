/* test_precondition.c - conditional requests. */
#include "lb/base/arena.h"
#include "lb/http/msg.h"
#include "lb/http/precondition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MODIFIED 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define BEFORE   "Sun, 06 Nov 1994 08:49:36 GMT"
#define SAME     "Sun, 06 Nov 1994 08:49:37 GMT"
#define AFTER    "Sun, 06 Nov 1994 08:49:38 GMT"
#define NOW      (MODIFIED + 1000)

static const struct representation strong = {STR("\"a,b\""), MODIFIED};
static const struct representation weak = {STR("W/\"a,b\""), MODIFIED};

struct pair {
    const char *name, *value;
};

static struct arena_pool pool;
static struct arena arena;
static struct http_head head;

static int setup(void **state)
{
    (void)state;
    arena_pool_init(&pool);
    arena_init(&arena, &pool);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    arena_pool_fini(&pool);
    return 0;
}

static void request(enum http_method method, const struct pair *p)
{
    arena_fini(&arena);
    arena_init(&arena, &pool);
    head = (struct http_head){.method = (uint8_t)method, .version = 11};
    for (; p->name != NULL; p++)
        assert_int_equal(http_head_add(&head, &arena, str_of(p->name), str_of(p->value)), 0);
}
#define REQUEST(method, ...) request(method, (const struct pair[]){__VA_ARGS__, {NULL, NULL}})

static void is(enum precondition want)
{
    assert_int_equal(precondition_check(&head, &strong, NOW), want);
}

static void without_conditions_it_passes(void **state)
{
    (void)state;
    REQUEST(HTTP_GET, {"Host", "h"});
    is(PRECONDITION_PASSED);
    assert_true(precondition_range(&head, &strong, NOW));
}

static void if_none_match_answers_304_to_who_has_it(void **state)
{
    (void)state;
    REQUEST(HTTP_GET, {"If-None-Match", "\"a,b\""});
    is(PRECONDITION_NOT_MODIFIED);
    REQUEST(HTTP_HEAD, {"if-none-match", "\"x\\\", W/\"a,b\""});
    is(PRECONDITION_NOT_MODIFIED);
    REQUEST(HTTP_GET, {"If-None-Match", "*"});
    is(PRECONDITION_NOT_MODIFIED);
    REQUEST(HTTP_GET, {"If-None-Match", "\"x\""}, {"If-None-Match", "\"a,b\""});
    is(PRECONDITION_NOT_MODIFIED);
    REQUEST(HTTP_GET, {"If-None-Match", "\"a\", \"b\", \"a,b"});
    is(PRECONDITION_PASSED);
    REQUEST(HTTP_PUT, {"If-None-Match", "*"});
    is(PRECONDITION_FAILED);
}

static void if_none_match_goes_before_if_modified_since(void **state)
{
    (void)state;
    REQUEST(HTTP_GET, {"If-None-Match", "\"x\""}, {"If-Modified-Since", AFTER});
    is(PRECONDITION_PASSED);
}

static void if_modified_since_compares_seconds(void **state)
{
    (void)state;
    REQUEST(HTTP_GET, {"If-Modified-Since", BEFORE});
    is(PRECONDITION_PASSED);
    REQUEST(HTTP_GET, {"If-Modified-Since", SAME});
    is(PRECONDITION_NOT_MODIFIED);
    REQUEST(HTTP_HEAD, {"If-Modified-Since", AFTER});
    is(PRECONDITION_NOT_MODIFIED);
    REQUEST(HTTP_POST, {"If-Modified-Since", AFTER});
    is(PRECONDITION_PASSED);
    REQUEST(HTTP_GET, {"If-Modified-Since", "yesterday"});
    is(PRECONDITION_PASSED);
    REQUEST(HTTP_GET, {"If-Modified-Since", SAME}, {"If-Modified-Since", SAME});
    is(PRECONDITION_PASSED);
}

static void if_match_compares_strongly(void **state)
{
    (void)state;
    REQUEST(HTTP_GET, {"If-Match", "\"x\", \"a,b\""});
    is(PRECONDITION_PASSED);
    assert_int_equal(precondition_check(&head, &weak, NOW), PRECONDITION_FAILED);
    REQUEST(HTTP_GET, {"If-Match", "W/\"a,b\""});
    is(PRECONDITION_FAILED);
    REQUEST(HTTP_GET, {"If-Match", "*"});
    is(PRECONDITION_PASSED);
    REQUEST(HTTP_GET, {"If-Match", "a,b"});
    is(PRECONDITION_FAILED);
    REQUEST(HTTP_GET, {"If-Match", ""});
    is(PRECONDITION_FAILED);
}

static void if_match_goes_before_if_unmodified_since(void **state)
{
    (void)state;
    REQUEST(HTTP_GET, {"If-Match", "\"a,b\""}, {"If-Unmodified-Since", BEFORE});
    is(PRECONDITION_PASSED);
    REQUEST(HTTP_GET, {"If-Match", "\"a,b\""}, {"If-None-Match", "\"a,b\""});
    is(PRECONDITION_NOT_MODIFIED);
}

static void if_unmodified_since_fails_for_a_newer_one(void **state)
{
    (void)state;
    REQUEST(HTTP_GET, {"If-Unmodified-Since", BEFORE});
    is(PRECONDITION_FAILED);
    REQUEST(HTTP_GET, {"If-Unmodified-Since", SAME});
    is(PRECONDITION_PASSED);
    REQUEST(HTTP_GET, {"If-Unmodified-Since", "never"});
    is(PRECONDITION_PASSED);
}

static void a_part_fits_only_to_what_the_client_has(void **state)
{
    (void)state;
    REQUEST(HTTP_GET, {"If-Range", "\"a,b\""});
    assert_true(precondition_range(&head, &strong, NOW));
    assert_false(precondition_range(&head, &weak, NOW));
    REQUEST(HTTP_GET, {"If-Range", "W/\"a,b\""});
    assert_false(precondition_range(&head, &strong, NOW));
    assert_false(precondition_range(&head, &weak, NOW));
    REQUEST(HTTP_GET, {"If-Range", "\"a,b\", \"c\""});
    assert_false(precondition_range(&head, &strong, NOW));
    REQUEST(HTTP_GET, {"If-Range", "\"a,b\""}, {"If-Range", "\"a,b\""});
    assert_false(precondition_range(&head, &strong, NOW));
    REQUEST(HTTP_GET, {"If-Range", ""});
    assert_false(precondition_range(&head, &strong, NOW));
}

/* Why: a file may change twice in a second, and its time then is the same. */
static void a_time_is_a_strong_validator_only_when_it_is_old(void **state)
{
    (void)state;
    REQUEST(HTTP_GET, {"If-Range", SAME});
    assert_true(precondition_range(&head, &strong, MODIFIED + 2));
    assert_false(precondition_range(&head, &strong, MODIFIED + 1));
    assert_false(precondition_range(&head, &strong, MODIFIED));
    assert_false(precondition_range(&head, &strong, MODIFIED - 1));
    REQUEST(HTTP_GET, {"If-Range", AFTER});
    assert_false(precondition_range(&head, &strong, NOW));
}

static void without_an_etag_only_an_asterisk_matches(void **state)
{
    const struct representation none = {.modified_s = MODIFIED};

    (void)state;
    REQUEST(HTTP_GET, {"If-None-Match", "\"\""});
    assert_int_equal(precondition_check(&head, &none, NOW), PRECONDITION_PASSED);
    REQUEST(HTTP_GET, {"If-None-Match", "*"});
    assert_int_equal(precondition_check(&head, &none, NOW), PRECONDITION_NOT_MODIFIED);
    REQUEST(HTTP_GET, {"If-Range", "\"\""});
    assert_false(precondition_range(&head, &none, NOW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_conditions_it_passes),
        cmocka_unit_test(if_none_match_answers_304_to_who_has_it),
        cmocka_unit_test(if_none_match_goes_before_if_modified_since),
        cmocka_unit_test(if_modified_since_compares_seconds),
        cmocka_unit_test(if_match_compares_strongly),
        cmocka_unit_test(if_match_goes_before_if_unmodified_since),
        cmocka_unit_test(if_unmodified_since_fails_for_a_newer_one),
        cmocka_unit_test(a_part_fits_only_to_what_the_client_has),
        cmocka_unit_test(a_time_is_a_strong_validator_only_when_it_is_old),
        cmocka_unit_test(without_an_etag_only_an_asterisk_matches),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
