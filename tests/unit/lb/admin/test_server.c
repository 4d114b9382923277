/* test_server.c - what an admin does to a backend. */
#include "tests/unit/lb/admin/admin_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct fixture *f = fixture_new();

    fixture_verdict(f, f->a, OPER_UP, CHECK_L4OK, 4, "");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static void maintenance_begins_and_ends(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "disable server app/a"), "\n");
    assert_int_equal(slot_word(f->a).admin, ADMIN_FMAINT);
    assert_int_equal(f->touched, 1);
    assert_string_equal(fixture_run(f, "enable server app/a"), "\n");
    assert_int_equal(slot_word(f->a).admin, 0);
    assert_int_equal(f->touched, 2);
}

static void what_changes_nothing_disturbs_nobody(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "enable server app/a"), "\n");
    assert_string_equal(fixture_run(f, "set server app/a state ready"), "\n");
    assert_string_equal(fixture_run(f, "set weight app/a 10"), "\n");
    assert_int_equal(f->touched, 0);
}

static void states_exclude_each_other(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "set server app/a state drain"), "\n");
    assert_int_equal(slot_word(f->a).admin, ADMIN_FDRAIN);
    assert_string_equal(fixture_run(f, "set server app/a state maint"), "\n");
    assert_int_equal(slot_word(f->a).admin, ADMIN_FMAINT);
    assert_string_equal(fixture_run(f, "set server app/a state drain"), "\n");
    assert_int_equal(slot_word(f->a).admin, ADMIN_FDRAIN);
    assert_string_equal(fixture_run(f, "set server app/a state ready"), "\n");
    assert_int_equal(slot_word(f->a).admin, 0);
}

/* Why: an operator who makes a backend ready cannot make its name resolve. */
static void ready_keeps_the_resolvers_bit(void **state)
{
    struct fixture *f = *state;

    fixture_run(f, "disable server db/pg");
    assert_int_equal(slot_word(f->pg).admin, ADMIN_RMAINT | ADMIN_FMAINT);
    fixture_run(f, "enable server db/pg");
    assert_int_equal(slot_word(f->pg).admin, ADMIN_RMAINT);
}

static void servers_and_pools_may_be_named_by_id(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "disable server #3/#2"), "\n");
    assert_int_equal(slot_word(f->b).admin, ADMIN_FMAINT);
    assert_string_equal(fixture_run(f, "disable server app/#1"), "\n");
    assert_int_equal(slot_word(f->a).admin, ADMIN_FMAINT);
}

static void wrong_names_are_refused_in_haproxys_words(void **state)
{
    static const char *const commands[] = {
        "enable server", "disable server", "set server",     "set weight",
        "get weight",    "enable health",  "disable health", "shutdown sessions server"};
    struct fixture *f = *state;
    char text[128];

    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        static const struct {
            const char *name, *answer;
        } names[] = {
            {"", "Require 'backend/server'.\n\n"}, {"app", "Require 'backend/server'.\n\n"},
            {"nope/a", "No such backend.\n\n"},    {"/", "No such backend.\n\n"},
            {"#9/a", "No such backend.\n\n"},      {"#/a", "No such backend.\n\n"},
            {"web/a", "No such backend.\n\n"},     {"app/", "No such server.\n\n"},
            {"app/pg", "No such server.\n\n"},     {"app/#3", "No such server.\n\n"},
            {"app/a/b", "No such server.\n\n"}};
        for (size_t n = 0; n < ARRAY_LEN(names); n++) {
            snprintf(text, sizeof(text), "%s %s", commands[i], names[n].name);
            assert_string_equal(fixture_run(f, text), names[n].answer);
        }
    }
}

static void weights_are_absolute_or_relative_to_the_configured_one(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "get weight app/a"), "10 (initial 10)\n\n");
    assert_string_equal(fixture_run(f, "set weight app/a 0"), "\n");
    assert_int_equal(slot_word(f->a).set_weight, 0);
    assert_string_equal(fixture_run(f, "set server app/a weight 256"), "\n");
    assert_int_equal(slot_word(f->a).set_weight, 256);
    assert_string_equal(fixture_run(f, "set weight app/a 50%"), "\n");
    assert_int_equal(slot_word(f->a).set_weight, 5);
    assert_string_equal(fixture_run(f, "set weight app/a 100%"), "\n");
    assert_string_equal(fixture_run(f, "get weight app/a"), "10 (initial 10)\n\n");
    assert_string_equal(fixture_run(f, "set weight app/a 999999%"), "\n");
    assert_int_equal(slot_word(f->a).set_weight, 256);
    assert_int_equal(f->touched, 5);
}

static void wrong_weights_are_refused(void **state)
{
    static const struct {
        const char *weight, *answer;
    } wrong[] = {
        {"", "Require <weight> or <weight%>.\n\n"},
        {"x", "Empty weight string empty or preceded by garbage\n\n"},
        {"%", "Empty weight string empty or preceded by garbage\n\n"},
        {"5x", "Trailing garbage in weight string\n\n"},
        {"5%x", "Trailing garbage in weight string\n\n"},
        {"257", "Absolute weight can only be between 0 and 256 inclusive.\n\n"},
        {"-1", "Absolute weight can only be between 0 and 256 inclusive.\n\n"},
        {"99999999999999999999", "Absolute weight can only be between 0 and 256 inclusive.\n\n"},
        {"-5%", "Relative weight must be positive.\n\n"},
    };
    struct fixture *f = *state;
    char text[128];

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        snprintf(text, sizeof(text), "set weight app/a %s", wrong[i].weight);
        assert_string_equal(fixture_run(f, text), wrong[i].answer);
        snprintf(text, sizeof(text), "set server app/a weight %s", wrong[i].weight);
        assert_string_equal(fixture_run(f, text), wrong[i].answer);
    }
    assert_int_equal(slot_word(f->a).set_weight, 10);
}

static void health_is_forced_through_the_checker(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "set server app/a health down"), "\n");
    assert_int_equal(f->forced, FORCE_DOWN);
    assert_string_equal(fixture_run(f, "set server app/a health up"), "\n");
    assert_int_equal(f->forced, FORCE_UP);
    assert_string_equal(fixture_run(f, "set server app/a health stopping"), "\n");
    assert_int_equal(f->forced, FORCE_STOPPING);
    f->forced = -1;
    assert_string_equal(fixture_run(f, "set server app/a health good"),
                        "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n\n");
    assert_string_equal(fixture_run(f, "set server app/a health"),
                        "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n\n");
    assert_int_equal(f->forced, -1);
}

static void checks_are_switched_where_there_are_any(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "disable health app/a"), "\n");
    assert_string_equal(fixture_run(f, "enable health app/a"), "\n");
    assert_int_equal(f->disabled, 1);
    assert_int_equal(f->enabled, 1);
    assert_string_equal(fixture_run(f, "enable health db/pg"),
                        "Health check was not configured on this server, cannot enable.\n\n");
    assert_string_equal(fixture_run(f, "disable health db/pg"), "\n");
    assert_int_equal(f->disabled, 1);
    assert_int_equal(f->enabled, 1);
}

static void wrong_states_and_settings_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *usage = "usage: set server <backend>/<server> addr | agent | agent-addr | "
                        "agent-port | agent-send | "
                        "health | state | weight\n\n";

    assert_string_equal(fixture_run(f, "set server app/a state off"),
                        "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n\n");
    assert_string_equal(fixture_run(f, "set server app/a state"),
                        "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n\n");
    assert_string_equal(fixture_run(f, "set server app/a"), usage);
    assert_string_equal(fixture_run(f, "set server app/a colour blue"), usage);
    assert_int_equal(f->touched, 0);
}

static const char *address(const struct addr *a)
{
    static char text[ADDR_TEXT_MAX];
    return addr_format(a, text);
}

static void an_address_changes_with_or_without_its_port(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(fixture_run(f, "set server app/a addr 127.0.0.2"),
                        "IP changed from '127.0.0.1' to '127.0.0.2' by 'stats socket command'\n\n");
    assert_string_equal(address(&f->new_address), "127.0.0.2:3001");
    assert_string_equal(fixture_run(f, "set server app/a addr 127.0.0.3 port 3001"),
                        "IP changed from '127.0.0.2' to '127.0.0.3', no need to change the port by "
                        "'stats socket command'\n\n");
    assert_string_equal(fixture_run(f, "set server app/a addr 127.0.0.3 port 99"),
                        "no need to change the addr, port changed from '3001' to '99' by "
                        "'stats socket command'\n\n");
    assert_string_equal(fixture_run(f, "set server app/a addr ::1 port 80"),
                        "IP changed from '127.0.0.3' to '::1', port changed from '99' to '80' by "
                        "'stats socket command'\n\n");
    assert_string_equal(address(&f->new_address), "[::1]:80");
    fixture_run(f, "set severity-output number");
    assert_true(fixture_begins(f, "set server app/a addr 10.0.0.1", "[4]: IP"));
}

static void an_unresolved_backend_gets_its_configured_port(void **state)
{
    struct fixture *f = *state;

    fixture_run(f, "set server db/pg addr 10.1.1.1");
    assert_string_equal(address(&f->new_address), "10.1.1.1:5432");
}

static void a_unix_socket_may_be_the_address(void **state)
{
    struct fixture *f = *state;

    fixture_run(f, "set server app/a addr unix:/run/x.sock");
    assert_string_equal(address(&f->new_address), "unix:/run/x.sock");
    assert_string_equal(fixture_run(f, "set server app/b addr 10.0.0.1"),
                        "A port is required: set server <srv> addr <ip> port <port>.\n\n");
}

static void wrong_addresses_are_refused(void **state)
{
    static const struct {
        const char *args, *part;
    } wrong[] = {
        {"", "Invalid addr '' by"},
        {"example.org", "Invalid addr 'example.org' by"},
        {"1.2.3", "Invalid addr '1.2.3' by"},
        {"1.2.3.4:80", "Invalid addr '1.2.3.4:80' by"},
        {"unix:", "Invalid addr 'unix:' by"},
        {"1.2.3.4 port", "problem converting port"},
        {"1.2.3.4 port x", "problem converting port 'x' to an int"},
        {"1.2.3.4 port 0", "problem converting port '0'"},
        {"1.2.3.4 port 65536", "problem converting port '65536'"},
        {"1.2.3.4 80", "problem converting port '80'"},
    };
    struct fixture *f = *state;
    char text[128];

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        snprintf(text, sizeof(text), "set server app/a addr %s", wrong[i].args);
        assert_true(fixture_begins(f, text, wrong[i].part));
    }
    assert_int_equal(f->new_address.len, 0);
    f->set_address_result = -22;
    assert_string_equal(fixture_run(f, "set server app/a addr 1.2.3.4"),
                        "The address cannot be changed: it is on the moon\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(maintenance_begins_and_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(what_changes_nothing_disturbs_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(states_exclude_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(ready_keeps_the_resolvers_bit, setup, teardown),
        cmocka_unit_test_setup_teardown(servers_and_pools_may_be_named_by_id, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_names_are_refused_in_haproxys_words, setup, teardown),
        cmocka_unit_test_setup_teardown(weights_are_absolute_or_relative_to_the_configured_one,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_weights_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(health_is_forced_through_the_checker, setup, teardown),
        cmocka_unit_test_setup_teardown(checks_are_switched_where_there_are_any, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_states_and_settings_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(an_address_changes_with_or_without_its_port, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_unresolved_backend_gets_its_configured_port, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_unix_socket_may_be_the_address, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_addresses_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
