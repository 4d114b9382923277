/* test_state_text.c - what is known of backends, written and read. */
#include "health/state_text.h"

#include "lb/net/addr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "sluice-state 1\n"

static struct state_text parsed(const char *text)
{
    struct state_text t;

    assert_int_equal(state_text_parse(str_of(text), &t), 0);
    return t;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct strbuf out = {0};
    const struct state_backend a = {
        .pool = "app",
        .name = "a",
        .oper = OPER_GOING_DOWN,
        .info = {.changed_at_us = 1,
                 .downtime_us = 3,
                 .transitions_down = 4,
                 .check_code = 200,
                 .result = CHECK_L7OK,
                 .desc = "HTTP 200, 100 % \"fine\"\n\xc3\xa4",
                 .reason = "first result"},
        .admin = STATE_DRAIN,
        .checks_off = true,
        .weight = {10, 5},
        .max_connections = {0, 100},
        .conf_address = "127.0.0.1:1",
        .address = "unix:/a b,c",
        .why = "a new disk",
    };

    state_text_begin(1790000000, &out);
    state_text_add(&a, &out);
    state_text_end(&out);
    struct state_text t = parsed(out.p);
    assert_true(t.whole);
    assert_int_equal(t.written_s, 1790000000);
    assert_int_equal(t.bad_lines, 0);
    const struct state_backend *b = state_text_find(&t, "app", "a");
    assert_non_null(b);
    assert_int_equal(b->oper, OPER_UP);
    assert_int_equal(b->info.changed_at_us, 1);
    assert_int_equal(b->info.downtime_us, 3);
    assert_int_equal(b->info.transitions_down, 4);
    assert_int_equal(b->info.check_code, 200);
    assert_int_equal(b->info.result, CHECK_L7OK);
    assert_string_equal(b->info.desc, a.info.desc);
    assert_string_equal(b->info.reason, a.info.reason);
    assert_int_equal(b->admin, STATE_DRAIN);
    assert_true(b->checks_off);
    assert_int_equal(b->weight.conf, 10);
    assert_int_equal(b->weight.now, 5);
    assert_int_equal(b->max_connections.now, 100);
    assert_string_equal(b->conf_address, a.conf_address);
    assert_string_equal(b->address, a.address);
    assert_string_equal(b->why, a.why);
    state_text_fini(&t);
    strbuf_fini(&out);
}

static void what_an_agent_said_and_was_told_survives(void **state)
{
    (void)state;
    struct strbuf out = {0};
    struct addr_spec at;
    const char *error;
    struct state_backend a = {.pool = "app",
                              .name = "a",
                              .oper = OPER_UP,
                              .info = {.agent_down = true,
                                       .agent_part = 50,
                                       .agent_whole = 100,
                                       .agent_result = CHECK_L7OK,
                                       .agent_desc = "agent: down 50% # why, then"},
                              .agent_pool = {1, UINT64_MAX, 3},
                              .agent = {.port = 9777, .has_send = true, .send_len = 4}};

    memcpy(a.agent.send, "a,\n%", 4);
    assert_int_equal(addr_parse(STR("[2001:db8::7]:9"), false, false, &at, &error), 0);
    a.agent.address = at.addr;
    state_text_begin(1790000000, &out);
    state_text_add(&a, &out);
    state_text_end(&out);
    struct state_text t = parsed(out.p);
    assert_int_equal(t.bad_lines, 0);
    const struct state_backend *b = state_text_find(&t, "app", "a");
    assert_non_null(b);
    assert_int_equal(b->oper, OPER_UP);
    assert_true(b->info.agent_down);
    assert_int_equal(b->info.agent_part, 50);
    assert_int_equal(b->info.agent_whole, 100);
    assert_int_equal(b->info.agent_result, CHECK_L7OK);
    assert_string_equal(b->info.agent_desc, a.info.agent_desc);
    assert_memory_equal(&b->agent_pool, &a.agent_pool, sizeof(a.agent_pool));
    addr_set_port(&a.agent.address, 0); /* it has a line of its own */
    assert_true(agent_set_eq(&b->agent, &a.agent));
    state_text_fini(&t);
    strbuf_fini(&out);
}

static void what_makes_no_sense_of_an_agent_is_left_out(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "agent_says=sideways",    "agent_weight=50,0", "agent_weight=99999,100",
        "agent_weight=5",         "agent_result=99",   "agent_address=nowhere",
        "agent_address=1.2.3.4,", "agent_port=65536",  "agent_send=0",
        "agent_send=0g",          "agent_pool=1,2",    "agent_desc=%0",
    };

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char text[200];
        snprintf(text, sizeof(text), "sluice-state 1\nbackend app/a oper=up %s weight=1,7\nend\n",
                 wrong[i]);
        struct state_text t = parsed(text);
        const struct state_backend *b = state_text_find(&t, "app", "a");
        assert_non_null(b);
        if (t.bad_lines != 1)
            fail_msg("taken: %s", wrong[i]);
        assert_int_equal(b->weight.now, 7);
        assert_false(b->info.agent_down);
        assert_int_equal(b->info.agent_whole, 0);
        assert_true(agent_set_is_empty(&b->agent));
        state_text_fini(&t);
    }
}

static void other_texts_are_refused(void **state)
{
    (void)state;
    struct state_text t;

    assert_int_equal(state_text_parse(STR(""), &t), -EINVAL);
    assert_int_equal(state_text_parse(STR("sluice-state 2\nend\n"), &t), -EINVAL);
    assert_int_equal(state_text_parse(STR("\0\0\0"), &t), -EINVAL);
}

static void a_missing_end_is_seen(void **state)
{
    (void)state;
    struct state_text t = parsed(HEAD "backend a/b oper=up\nbackend a/c oper=do");

    assert_false(t.whole);
    assert_int_equal(t.bad_lines, 1);
    assert_int_equal(state_text_find(&t, "a", "b")->oper, OPER_UP);
    assert_int_equal(state_text_find(&t, "a", "c")->oper, OPER_UNKNOWN);
    state_text_fini(&t);
}

static void values_without_sense_are_left_out_and_counted(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "oper=sideways",  "weight=257,1", "weight=1",  "weight=1,x", "max_connections=-1,0",
        "state=on,ready", "state=maint",  "checks=on", "why=%0",     "why=%zz",
        "why=%00",        "since=1e9",    "result=99", "lonely",     "code=",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct strbuf text = {0};
        strbuf_addf(&text, HEAD "backend a/b %s downs=7\nend\n", bad[i]);
        struct state_text t = parsed(text.p);
        if (t.bad_lines != 1)
            fail_msg("%s: %u bad lines", bad[i], t.bad_lines);
        assert_int_equal(state_text_find(&t, "a", "b")->info.transitions_down, 7);
        state_text_fini(&t);
        strbuf_fini(&text);
    }
}

static void names_without_sense_are_left_out_and_counted(void **state)
{
    (void)state;
    char long_name[LIMIT_NAME_LEN + 2];
    struct strbuf text = {0};

    memset(long_name, 'x', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    strbuf_addf(&text, HEAD "backend ab\nbackend /b\nbackend a/\nbackend\nbackend a/%s\nend\n",
                long_name);
    struct state_text t = parsed(text.p);
    assert_int_equal(t.bad_lines, 5);
    assert_int_equal(t.n, 0);
    assert_null(state_text_find(&t, "a", "b"));
    state_text_fini(&t);
    strbuf_fini(&text);
}

static void what_comes_with_later_versions_is_passed_over(void **state)
{
    (void)state;
    struct state_text t =
        parsed(HEAD "moon full\nbackend a/b oper=down phase=3 weight=1,2\nend\nbackend a/c\n");

    assert_int_equal(t.bad_lines, 0);
    assert_int_equal(t.n, 1);
    assert_int_equal(t.rows[0].weight.now, 2);
    state_text_fini(&t);
}

static void what_came_and_went_is_read_in_its_order(void **state)
{
    (void)state;
    struct strbuf out = {0};
    const struct state_edit a = {"app", "c", true, "name = \"c\"; address = \"h:1\";"};
    const struct state_edit b = {"app", "a", false, "127.0.0.1:1"};

    state_text_begin(1, &out);
    state_text_add_edit(&a, &out);
    state_text_add_edit(&b, &out);
    strbuf_add_cstr(&out, "added app/d\nadded d settings=x\nremoved app/x was=%\n");
    struct state_text t = parsed(out.p);
    assert_int_equal(t.n_edits, 2);
    assert_int_equal(t.bad_lines, 3);
    assert_true(t.edits[0].added);
    assert_string_equal(t.edits[0].text, a.text);
    assert_false(t.edits[1].added);
    assert_string_equal(t.edits[1].name, "a");
    assert_string_equal(t.edits[1].text, b.text);
    state_text_fini(&t);
    strbuf_fini(&out);
}

static void of_doubles_the_last_one_counts(void **state)
{
    (void)state;
    struct state_text t =
        parsed(HEAD "backend a/b downs=1\nbackend a/a downs=9\nbackend a/b downs=2\n"
                    "backend a/b downs=3\nend\n");

    assert_int_equal(t.n, 2);
    assert_int_equal(state_text_find(&t, "a", "b")->info.transitions_down, 3);
    assert_int_equal(state_text_find(&t, "a", "a")->info.transitions_down, 9);
    state_text_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_an_agent_said_and_was_told_survives),
        cmocka_unit_test(what_makes_no_sense_of_an_agent_is_left_out),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(a_missing_end_is_seen),
        cmocka_unit_test(values_without_sense_are_left_out_and_counted),
        cmocka_unit_test(names_without_sense_are_left_out_and_counted),
        cmocka_unit_test(what_comes_with_later_versions_is_passed_over),
        cmocka_unit_test(what_came_and_went_is_read_in_its_order),
        cmocka_unit_test(of_doubles_the_last_one_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
