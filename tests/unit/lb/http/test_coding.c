/* test_coding.c - which content codings a client takes. */
#include "lb/base/arena.h"
#include "lb/http/coding.h"
#include "lb/http/msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void takes(const char *value, uint8_t accepted, uint8_t preferred)
{
    struct arena_pool pool;
    struct arena arena;
    struct http_head head = {.version = 11};

    arena_pool_init(&pool);
    arena_init(&arena, &pool);
    if (value != NULL)
        assert_int_equal(http_head_add(&head, &arena, STR("Accept-Encoding"), str_of(value)), 0);
    struct http_codings c = http_codings_of(&head);
    arena_fini(&arena);
    arena_pool_fini(&pool);
    assert_int_equal(c.accepted, accepted);
    assert_int_equal(c.preferred, preferred);
}

enum { BR = HTTP_CODING_BR, GZIP = HTTP_CODING_GZIP, ZSTD = HTTP_CODING_ZSTD };

static void without_the_field_none_is_taken(void **state)
{
    (void)state;
    takes(NULL, 0, 0);
    takes("", 0, 0);
    takes("identity, deflate", 0, 0);
}

static void browsers_take_several(void **state)
{
    (void)state;
    takes("gzip, deflate, br, zstd", BR | GZIP | ZSTD, 0);
    takes("GZIP", GZIP, GZIP);
    takes("x-gzip", GZIP, GZIP);
}

static void weights_are_preferences(void **state)
{
    (void)state;
    takes("br;q=0.5, gzip;q=0.8", BR | GZIP, GZIP);
    takes("br ; q=1.0 , gzip;q=0.001", BR | GZIP, BR);
    takes("br;q=0.5, gzip;q=0.5", BR | GZIP, 0);
    takes("br;q=0, gzip", GZIP, GZIP);
    takes("br;Q=0.3", BR, BR);
}

static void an_asterisk_is_all_that_is_not_named(void **state)
{
    (void)state;
    takes("*", BR | GZIP | ZSTD, 0);
    takes("gzip;q=0, *", BR | ZSTD, 0);
    takes("gzip, *;q=0", GZIP, GZIP);
}

static void a_malformed_weight_is_none(void **state)
{
    (void)state;
    takes("gzip;q=2", 0, 0);
    takes("gzip;q=1.5", 0, 0);
    takes("gzip;q=0.5555", 0, 0);
    takes("gzip;q=x, br", BR, BR);
    takes("gzip;level=1", 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_the_field_none_is_taken),
        cmocka_unit_test(browsers_take_several),
        cmocka_unit_test(weights_are_preferences),
        cmocka_unit_test(an_asterisk_is_all_that_is_not_named),
        cmocka_unit_test(a_malformed_weight_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
