/* test_tls_ticket.c - keys of session tickets, and the register of early data. */
#include "lb/net/tls_priv.h"
#include "lb/net/tls_ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_rotated_key_still_decrypts_until_three_newer_ones_are_there(void **state)
{
    struct tls_keyring *k = tls_keyring_new();
    struct tls_ticket_key first, key;

    (void)state;
    tls_keyring_current(k, &first);
    assert_int_equal(tls_keyring_find(k, first.name, &key), 1);
    for (int i = 1; i < TLS_TICKET_KEYS; i++) {
        tls_keyring_rotate(k);
        assert_int_equal(tls_keyring_find(k, first.name, &key), 2);
        assert_memory_equal(&key, &first, sizeof(key));
        tls_keyring_current(k, &key);
        assert_memory_not_equal(&key, &first, sizeof(key));
    }
    tls_keyring_rotate(k);
    assert_int_equal(tls_keyring_find(k, first.name, &key), 0);
    tls_keyring_free(&k);
}

static void keys_of_a_file_take_the_place_of_all_others(void **state)
{
    struct tls_keyring *k = tls_keyring_new();
    uint8_t data[(TLS_TICKET_KEYS + 1) * TLS_TICKET_KEY_BYTES];
    struct tls_ticket_key before, key;

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + i / 80);
    tls_keyring_current(k, &before);
    assert_false(tls_keyring_set(k, data, 0));
    assert_false(tls_keyring_set(k, data, 79));
    assert_false(tls_keyring_set(k, data, 81));
    assert_false(tls_keyring_set(k, data, sizeof(data)));
    assert_int_equal(tls_keyring_find(k, before.name, &key),
                     1); /* a refused file changes nothing */
    assert_true(tls_keyring_set(k, data, 160));
    assert_int_equal(tls_keyring_find(k, before.name, &key), 0);
    assert_int_equal(tls_keyring_find(k, data, &key), 1);
    assert_memory_equal(&key, data, 80);
    assert_int_equal(tls_keyring_find(k, data + 80, &key), 2);
    assert_int_equal(tls_keyring_find(k, data + 160, &key), 0);
    tls_keyring_free(&k);
}

static void early_data_is_taken_once_a_ticket(void **state)
{
    (void)state;
    assert_true(tls_replay_first(7, 1000));
    assert_false(tls_replay_first(7, 1000));
    assert_true(tls_replay_first(8, 1000));
    assert_false(tls_replay_first(7, 1020));
    assert_false(tls_replay_first(7, 1021)); /* in the older half now */
    assert_false(tls_replay_first(7, 1041));
    assert_true(tls_replay_first(0, 1041));
    assert_false(tls_replay_first(0, 1041));
}

static void a_full_register_declines_until_time_has_passed(void **state)
{
    uint32_t taken = 0;

    (void)state;
    for (uint64_t i = 1; i <= 20000; i++)
        taken += tls_replay_first(i * 0x9e3779b97f4a7c15ull, 5000);
    assert_in_range(taken, 4096, 8191);
    assert_false(tls_replay_first(12345, 5020));
    assert_true(tls_replay_first(12345, 5021));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rotated_key_still_decrypts_until_three_newer_ones_are_there),
        cmocka_unit_test(keys_of_a_file_take_the_place_of_all_others),
        cmocka_unit_test(early_data_is_taken_once_a_ticket),
        cmocka_unit_test(a_full_register_declines_until_time_has_passed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
