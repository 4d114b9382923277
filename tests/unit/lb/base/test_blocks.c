/* test_blocks.c - pieces that are kept for the next who asks. */
#include "lb/base/blocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEPS false
#else
#define KEEPS true
#endif

#define LARGEST (BLOCK_CLASSES * BLOCK_CLASS_BYTES)

static void a_piece_holds_what_was_asked_for(void **state)
{
    struct blocks b;

    (void)state;
    blocks_init(&b, 1 << 16);
    for (size_t size = 0; size <= LARGEST + 100; size++) {
        void *p = blocks_take(&b, size);
        assert_non_null(p);
        assert_true(blocks_room(p) >= size);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, 0x5a, blocks_room(p));
        blocks_give(&b, p);
    }
    blocks_fini(&b);
}

static void the_last_one_given_back_is_the_first_taken(void **state)
{
    struct blocks b;

    (void)state;
    if (!KEEPS)
        skip();
    blocks_init(&b, 1 << 16);
    void *first = blocks_take(&b, 100), *second = blocks_take(&b, 100);
    blocks_give(&b, first);
    blocks_give(&b, second);
    assert_ptr_equal(blocks_take(&b, 80), second);
    assert_ptr_equal(blocks_take(&b, 128), first);
    blocks_give(&b, first);
    blocks_give(&b, second);
    blocks_fini(&b);
}

static void no_more_is_kept_than_allowed(void **state)
{
    struct blocks b;
    void *p[32];

    (void)state;
    blocks_init(&b, 1000);
    for (size_t i = 0; i < 32; i++)
        assert_non_null(p[i] = blocks_take(&b, 64));
    for (size_t i = 0; i < 32; i++)
        blocks_give(&b, p[i]);
    assert_int_equal(b.kept, KEEPS ? 960 : 0);
    void *one = blocks_take(&b, 64);
    assert_int_equal(b.kept, KEEPS ? 896 : 0);
    blocks_give(&b, one);
    blocks_fini(&b);
    assert_int_equal(b.kept, 0);
}

static void a_large_piece_is_not_kept(void **state)
{
    struct blocks b;

    (void)state;
    blocks_init(&b, 1 << 20);
    blocks_give(&b, blocks_take(&b, LARGEST + 1));
    assert_int_equal(b.kept, 0);
    assert_null(blocks_take(&b, SIZE_MAX));
    blocks_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_piece_holds_what_was_asked_for),
        cmocka_unit_test(the_last_one_given_back_is_the_first_taken),
        cmocka_unit_test(no_more_is_kept_than_allowed),
        cmocka_unit_test(a_large_piece_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
