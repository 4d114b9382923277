/* test_h2_guard.c - what frames that cost a client nothing are allowed, and what brings more. */
#include "lb/http/h2_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define START_MS 1000000

static void begin(struct h2_guard *g)
{
    static const uint8_t preface[24];
    h2_guard_init(g, START_MS);
    assert_int_equal(h2_guard_scan(g, preface, sizeof(preface), START_MS), H2_FINE);
}

static enum h2_abuse frame(struct h2_guard *g, uint8_t type, uint8_t flags, uint32_t len,
                           uint64_t now_ms)
{
    static uint32_t stream; /* always a new one */
    uint8_t bytes[9 + 300] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags};
    assert_true(len <= 300);
    stream += 2;
    for (int i = 0; i < 4; i++)
        bytes[5 + i] = (uint8_t)(stream >> (24 - 8 * i));
    return h2_guard_scan(g, bytes, 9 + len, now_ms);
}

/* How many of them pass at once. */
static int passing(struct h2_guard *g, uint8_t type, uint8_t flags, uint32_t len, uint64_t now_ms)
{
    int n = 0;
    while (n < 100000 && frame(g, type, flags, len, now_ms) == H2_FINE)
        n++;
    return n;
}

static void each_kind_has_a_budget_and_a_name(void **state)
{
    static const struct {
        uint8_t type, flags;
        uint32_t len;
        int most;
        const char *code;
    } kinds[] = {
        {3, 0, 4, 200, "h2-rapid-reset"},     {4, 0, 0, 20, "h2-settings-flood"},
        {6, 0, 8, 200, "h2-ping-flood"},      {2, 0, 5, 200, "h2-priority-flood"},
        {16, 0, 5, 200, "h2-priority-flood"}, {8, 0, 4, 2000, "h2-window-flood"},
        {0, 0, 0, 100, "h2-empty-frames"},    {0, 8, 10, 100, "h2-empty-frames"},
        {99, 0, 3, 100, "h2-empty-frames"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct h2_guard g;
        begin(&g);
        assert_int_equal(passing(&g, kinds[i].type, kinds[i].flags, kinds[i].len, START_MS),
                         kinds[i].most);
        assert_string_equal(h2_abuse_code((enum h2_abuse)g.abuse), kinds[i].code);
    }
}

static enum h2_abuse head_on(struct h2_guard *g, uint8_t stream)
{
    const uint8_t bytes[] = {0, 0, 0, 1, 5, 0, 0, 0, stream};
    return h2_guard_scan(g, bytes, sizeof(bytes), START_MS);
}

/* Why: the library unpacks a head whether its stream is there or not. */
static void heads_on_streams_that_had_one_are_counted(void **state)
{
    struct h2_guard g;
    int n = 0;

    (void)state;
    begin(&g);
    assert_int_equal(head_on(&g, 3), H2_FINE);
    assert_int_equal(head_on(&g, 5), H2_FINE);
    while (n < 1000 && head_on(&g, n % 2 ? 5 : 3) == H2_FINE)
        n++;
    assert_int_equal(n, 200);
    assert_string_equal(h2_abuse_code((enum h2_abuse)g.abuse), "h2-late-heads");

    begin(&g); /* requests that end with trailers */
    for (n = 0; n < 1000; n++) {
        head_on(&g, 7);
        h2_guard_request_done(&g);
    }
    assert_int_equal(g.abuse, H2_FINE);

    begin(&g); /* a backend's answers come on streams of ours, in any order */
    g.of_backend = true;
    for (n = 0; n < 1000; n++)
        assert_int_equal(head_on(&g, 1), H2_FINE);
}

static void a_stream_that_was_left_out_is_closed(void **state)
{
    struct h2_guard g;

    (void)state;
    begin(&g);
    assert_int_equal(head_on(&g, 5), H2_FINE);
    assert_int_equal(head_on(&g, 11), H2_FINE);
    assert_int_equal(head_on(&g, 5), H2_FINE);
    assert_int_equal(head_on(&g, 11), H2_FINE);
    assert_int_equal(head_on(&g, 7), H2_BROKEN_RULE);
    assert_string_equal(h2_abuse_code(H2_BROKEN_RULE), "h2-protocol-error");
}

static void a_priority_is_of_a_stream_and_has_five_bytes(void **state)
{
    static const uint8_t of_connection[9 + 5] = {0, 0, 5, 2};
    struct h2_guard g;

    (void)state;
    begin(&g);
    assert_int_equal(frame(&g, 2, 0, 4, START_MS), H2_BROKEN_RULE);
    begin(&g);
    assert_int_equal(h2_guard_scan(&g, of_connection, sizeof(of_connection), START_MS),
                     H2_BROKEN_RULE);
}

/* Why: some clients open both windows with each 4 KiB that they read. */
static void payload_brings_back_windows_by_its_size(void **state)
{
    struct h2_guard g;

    (void)state;
    begin(&g);
    for (int i = 0; i < 10000; i++) {
        for (int k = 0; k < 8; k++)
            assert_int_equal(frame(&g, 8, 0, 4, START_MS), H2_FINE);
        h2_guard_sent_data(&g, 16384);
    }
    int n = passing(&g, 8, 0, 4, START_MS);
    assert_int_equal(n, 2000);
}

static void a_reset_of_an_answer_that_had_begun_is_free(void **state)
{
    struct h2_guard g;

    (void)state;
    begin(&g);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(frame(&g, 3, 0, 4, START_MS), H2_FINE);
        h2_guard_reset_was_due(&g);
    }
}

static void requests_and_their_payload_are_free(void **state)
{
    struct h2_guard g;
    (void)state;
    begin(&g);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(frame(&g, 1, 4, 30, START_MS), H2_FINE);
        assert_int_equal(frame(&g, 0, 0, 1, START_MS), H2_FINE);
        assert_int_equal(frame(&g, 0, 1, 0, START_MS), H2_FINE);
    }
}

static void time_brings_back_what_was_spent_and_no_more(void **state)
{
    struct h2_guard g;
    (void)state;
    begin(&g);
    for (int i = 0; i < 200; i++)
        assert_int_equal(frame(&g, 3, 0, 4, START_MS), H2_FINE);
    assert_int_equal(passing(&g, 3, 0, 4, START_MS + 1000), 20);
    begin(&g);
    for (int i = 0; i < 200; i++)
        assert_int_equal(frame(&g, 3, 0, 4, START_MS), H2_FINE);
    assert_int_equal(passing(&g, 3, 0, 4, START_MS + 3600000), 200);
}

static void an_answered_request_allows_one_reset_more(void **state)
{
    struct h2_guard g;
    (void)state;
    begin(&g);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(frame(&g, 3, 0, 4, START_MS), H2_FINE);
        h2_guard_request_done(&g);
    }
}

static void a_head_may_come_in_a_few_pieces(void **state)
{
    struct h2_guard g;
    (void)state;
    begin(&g);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(frame(&g, 1, 0, 30, START_MS), H2_FINE);
        for (int k = 0; k < 6; k++)
            assert_int_equal(frame(&g, 9, 0, 30, START_MS), H2_FINE);
        assert_int_equal(frame(&g, 9, 4, 30, START_MS), H2_FINE);
    }
    assert_int_equal(frame(&g, 1, 0, 30, START_MS), H2_FINE);
    assert_int_equal(passing(&g, 9, 0, 0, START_MS), 7);
    assert_int_equal(g.abuse, H2_CONTINUATIONS);
}

static void the_verdict_does_not_depend_on_how_bytes_arrive(void **state)
{
    uint8_t bytes[24 + 17 * 250] = {0};
    struct h2_guard whole, single;
    (void)state;
    for (int i = 0; i < 250; i++) {
        bytes[24 + 17 * i + 2] = 8;
        bytes[24 + 17 * i + 3] = 6;
    }
    h2_guard_init(&whole, START_MS);
    h2_guard_init(&single, START_MS);
    assert_int_equal(h2_guard_scan(&whole, bytes, 24 + 17 * 200, START_MS), H2_FINE);
    for (size_t i = 0; i < 24 + 17 * 200; i++)
        assert_int_equal(h2_guard_scan(&single, bytes + i, 1, START_MS), H2_FINE);
    assert_int_equal(h2_guard_scan(&whole, bytes + 24, 17, START_MS), H2_PINGS);
    for (size_t i = 0; i < 17; i++)
        h2_guard_scan(&single, bytes + 24 + i, 1, START_MS);
    assert_int_equal(single.abuse, H2_PINGS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_has_a_budget_and_a_name),
        cmocka_unit_test(heads_on_streams_that_had_one_are_counted),
        cmocka_unit_test(a_stream_that_was_left_out_is_closed),
        cmocka_unit_test(a_priority_is_of_a_stream_and_has_five_bytes),
        cmocka_unit_test(payload_brings_back_windows_by_its_size),
        cmocka_unit_test(a_reset_of_an_answer_that_had_begun_is_free),
        cmocka_unit_test(requests_and_their_payload_are_free),
        cmocka_unit_test(time_brings_back_what_was_spent_and_no_more),
        cmocka_unit_test(an_answered_request_allows_one_reset_more),
        cmocka_unit_test(a_head_may_come_in_a_few_pieces),
        cmocka_unit_test(the_verdict_does_not_depend_on_how_bytes_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
