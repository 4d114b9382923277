/* test_reasons_full.c - more codes than there is room for. */
#include "lb/obs/reasons.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#define CODES (2 * LIMIT_REASONS)

static void too_many_codes_are_counted_together(void **state)
{
    static struct reason_counters row;
    static char codes[CODES][24];

    (void)state;
    for (int i = 0; i < CODES; i++)
        snprintf(codes[i], sizeof(codes[i]), "many-%d", i);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < CODES; i++)
            reason_count(&row, codes[i]);
    for (uint32_t i = 0; i + 1 < LIMIT_REASONS; i++) {
        assert_string_equal(reason_code(i), codes[i]);
        assert_int_equal(counter_get(&row.n[i]), 2);
    }
    assert_string_equal(reason_code(LIMIT_REASONS - 1), "other");
    assert_int_equal(counter_get(&row.n[LIMIT_REASONS - 1]), 2 * (CODES - LIMIT_REASONS + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_codes_are_counted_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
