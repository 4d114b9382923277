/* test_table.c - the packed word, slots and their reuse, places, and a stress of all of it by many
 * threads (to be run under the thread sanitizer too). */
#include "health/table.h"

#include "lb/base/epoch.h"
#include "lb/base/rand.h"
#include "lb/net/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

struct fixture {
    struct epoch_domain *epochs;
    struct backend_table *table;
};

static struct fixture f;

static int setup(void **state)
{
    (void)state;
    f.epochs = epoch_domain_new();
    f.table = table_new(f.epochs);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    table_free(&f.table);
    epoch_domain_free(&f.epochs);
    return 0;
}

static void set_addr(struct addr *a, uint32_t host)
{
    memset(a, 0, sizeof(*a));
    a->len = sizeof(a->in);
    a->in.sin_family = AF_INET;
    a->in.sin_addr.s_addr = htonl(host);
    a->in.sin_port = htons((uint16_t)host);
}

static struct backend_slot *add_up(const char *pool, const char *name)
{
    struct backend_slot *s = table_add(f.table, pool, name);
    struct addr a;

    set_addr(&a, 0x0a000001);
    slot_set_address(f.table, s, &a);
    slot_set_oper(s, OPER_UP);
    return s;
}

/* ---- the word ---- */

static void assert_same(struct backend_word a, struct backend_word b)
{
    assert_int_equal(a.oper, b.oper);
    assert_int_equal(a.role, b.role);
    assert_int_equal(a.admin, b.admin);
    assert_int_equal(a.ejected, b.ejected);
    assert_int_equal(a.weight, b.weight);
    assert_int_equal(a.set_weight, b.set_weight);
    assert_int_equal(a.generation, b.generation);
}

static void each_part_of_the_word_comes_back_and_touches_no_other(void **state)
{
    (void)state;
    const struct backend_word whole[] = {
        {0},
        {.oper = OPER_GOING_UP},
        {.role = ROLE_REPLICA},
        {.admin = 0xff},
        {.weight = 256 * WEIGHT_SCALE},
        {.weight = 1},
        {.set_weight = 256},
        {.generation = 0xffff},
        {.ejected = true},
        {OPER_GOING_UP, ROLE_REPLICA, 0xff, true, 256 * WEIGHT_SCALE, 256, 0xffff},
    };
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
        assert_same(backend_word_unpack(backend_word_pack(whole[i])), whole[i]);
    /* No two parts share a bit. */
    uint64_t all = 0;
    for (size_t i = 1; i < 9; i++)
        if (i != 5) {
            assert_int_equal(all & backend_word_pack(whole[i]), 0);
            all |= backend_word_pack(whole[i]);
        }
}

static void setters_change_their_part_and_return_what_was_before(void **state)
{
    (void)state;
    struct backend_slot *s = add_up("p", "a");

    assert_int_equal(slot_set_admin(s, 0, ADMIN_FMAINT | ADMIN_FDRAIN).admin, 0);
    assert_int_equal(slot_set_admin(s, ADMIN_FMAINT, ADMIN_RMAINT).admin,
                     ADMIN_FMAINT | ADMIN_FDRAIN);
    assert_int_equal(slot_word(s).admin, ADMIN_FDRAIN | ADMIN_RMAINT);
    assert_int_equal(slot_set_oper(s, OPER_DOWN).oper, OPER_UP);
    assert_int_equal(slot_word(s).oper, OPER_DOWN);
    assert_false(slot_set_ejected(s, true).ejected);
    assert_true(slot_word(s).ejected);
    assert_int_equal(slot_word(s).oper, OPER_DOWN);
    assert_true(slot_set_ejected(s, false).ejected);
    assert_int_equal(slot_set_effective(s, 17).weight, WEIGHT_SCALE);
    assert_int_equal(slot_word(s).weight, 17);
    assert_int_equal(slot_word(s).admin, ADMIN_FDRAIN | ADMIN_RMAINT);
    assert_int_equal(slot_word(s).set_weight, 1);
}

static void the_effective_weight_follows_the_set_one(void **state)
{
    (void)state;
    struct backend_slot *s = add_up("p", "a");

    slot_set_weight(s, 10);
    assert_int_equal(slot_word(s).weight, 10 * WEIGHT_SCALE);
    slot_set_effective(s, 10 * WEIGHT_SCALE / 2); /* half of a ramp */
    slot_set_weight(s, 20);
    assert_int_equal(slot_word(s).weight, 20 * WEIGHT_SCALE / 2);
    slot_set_effective(s, 1);
    slot_set_weight(s, 1);
    assert_int_equal(slot_word(s).weight, 1);
    slot_set_weight(s, 0);
    assert_int_equal(slot_word(s).weight, 0);
    slot_set_weight(s, LIMIT_WEIGHT);
    assert_int_equal(slot_word(s).weight, LIMIT_WEIGHT * WEIGHT_SCALE);
}

static void a_slot_is_used_as_its_word_and_address_say(void **state)
{
    (void)state;
    struct backend_slot *s = add_up("p", "a");
    static const struct {
        enum oper_state oper;
        enum slot_use use;
    } rows[] = {
        {OPER_UNKNOWN, USE_UNKNOWN}, {OPER_UP, USE_YES},         {OPER_GOING_DOWN, USE_YES},
        {OPER_DOWN, USE_NEVER},      {OPER_GOING_UP, USE_NEVER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        slot_set_oper(s, rows[i].oper);
        assert_int_equal(slot_use(s), rows[i].use);
    }
    slot_set_oper(s, OPER_UP);
    for (int bit = 0x01; bit <= 0x40; bit <<= 1) {
        slot_set_admin(s, 0, (uint8_t)bit);
        assert_int_equal(slot_use(s), USE_NEVER);
        slot_set_admin(s, (uint8_t)bit, 0);
        assert_int_equal(slot_use(s), USE_YES);
    }
    slot_set_ejected(s, true);
    assert_int_equal(slot_use(s), USE_NEVER);
    slot_set_oper(s, OPER_UNKNOWN);
    assert_int_equal(slot_use(s), USE_NEVER);
    slot_set_oper(s, OPER_UP);
    slot_set_ejected(s, false);
    slot_set_weight(s, 0);
    assert_int_equal(slot_use(s), USE_NEVER);
    slot_set_weight(s, 1);
    assert_int_equal(slot_use(s), USE_YES);
    slot_set_effective(s, 0);
    assert_int_equal(slot_use(s), USE_NEVER);
    slot_set_effective(s, 1);
    slot_set_address(f.table, s, NULL);
    assert_int_equal(slot_use(s), USE_NEVER);
}

static void check_results_have_haproxys_names(void **state)
{
    (void)state;
    assert_string_equal(check_result_name(CHECK_NONE), "");
    assert_string_equal(check_result_name(CHECK_INI), "INI");
    assert_string_equal(check_result_name(CHECK_L4CON), "L4CON");
    assert_string_equal(check_result_name(CHECK_L7STS), "L7STS");
}

/* ---- slots ---- */

static void an_identity_is_pool_and_name(void **state)
{
    (void)state;
    struct backend_slot *a = table_add(f.table, "p", "a"), *b = table_add(f.table, "q", "a");
    struct backend_slot *c = table_add(f.table, "pa", ""), *d = table_add(f.table, "p", "b");

    assert_true(a != b && a != c && a != d && b != c && b != d && c != d);
    assert_ptr_equal(table_add(f.table, "p", "a"), a);
    assert_ptr_equal(table_find(f.table, "q", "a"), b);
    assert_null(table_find(f.table, "q", "b"));
    assert_int_equal(table_count(f.table), 4);
    assert_ptr_equal(table_slot(f.table, d->index), d);
}

static void a_new_slot_is_unknown_and_weighs_one(void **state)
{
    (void)state;
    struct backend_slot *s = table_add(f.table, "p", "a");
    struct backend_word w = slot_word(s);

    assert_int_equal(w.oper, OPER_UNKNOWN);
    assert_int_equal(w.weight, WEIGHT_SCALE);
    assert_int_equal(w.set_weight, 1);
    assert_int_equal(w.admin, 0);
    assert_string_equal(s->name, "a");
    assert_string_equal(s->pool_name, "p");
}

static void slots_never_move_and_the_table_has_an_end(void **state)
{
    (void)state;
    static struct backend_slot *slots[LIMIT_BACKENDS];
    char name[16];

    for (uint32_t i = 0; i < LIMIT_BACKENDS; i++) {
        snprintf(name, sizeof(name), "b%u", i);
        slots[i] = table_add(f.table, "p", name);
        assert_non_null(slots[i]);
        assert_int_equal(slots[i]->index, i);
    }
    for (uint32_t i = 0; i < LIMIT_BACKENDS; i++)
        assert_ptr_equal(table_slot(f.table, i), slots[i]);
    assert_ptr_equal(table_find(f.table, "p", "b65535"), slots[65535]);
    assert_null(table_add(f.table, "p", "one more"));
    /* A place comes free. */
    table_remove(f.table, slots[1234]);
    assert_ptr_equal(table_add(f.table, "p", "one more"), slots[1234]);
}

static void a_removed_slot_comes_back_as_another_generation(void **state)
{
    (void)state;
    struct backend_slot *s = add_up("p", "a");
    uint16_t generation = slot_word(s).generation;

    s->backup = true;
    table_remove(f.table, s);
    assert_null(table_find(f.table, "p", "a"));
    assert_int_equal(slot_use(s), USE_NEVER);
    assert_ptr_equal(table_add(f.table, "p", "b"), s);
    assert_int_equal(slot_word(s).generation, generation + 1);
    assert_int_equal(slot_word(s).admin, 0);
    assert_int_equal(slot_word(s).oper, OPER_UNKNOWN);
    assert_null(atomic_load(&s->address));
    assert_false(s->backup);
    assert_ptr_equal(table_find(f.table, "p", "b"), s);
    assert_null(table_find(f.table, "p", "a"));
}

static void a_removed_slot_waits_for_readers(void **state)
{
    (void)state;
    struct backend_slot *s = add_up("p", "a");
    struct epoch_reader reader;

    epoch_reader_register(f.epochs, &reader);
    epoch_enter(&reader);
    table_remove(f.table, s);
    assert_ptr_not_equal(table_add(f.table, "p", "b"), s);
    epoch_leave(&reader);
    assert_ptr_equal(table_add(f.table, "p", "c"), s);
    epoch_reader_unregister(&reader);
}

static void a_removed_slot_waits_for_connections(void **state)
{
    (void)state;
    struct backend_slot *s = add_up("p", "a");

    assert_true(slot_take(s));
    table_remove(f.table, s);
    assert_ptr_not_equal(table_add(f.table, "p", "b"), s);
    slot_give(s);
    assert_ptr_equal(table_add(f.table, "p", "c"), s);
}

static void a_removed_slot_waits_for_the_checker(void **state)
{
    (void)state;
    struct backend_slot *s = add_up("p", "a");

    atomic_fetch_add(&s->refs, 1);
    table_remove(f.table, s);
    assert_ptr_not_equal(table_add(f.table, "p", "b"), s);
    atomic_fetch_sub(&s->refs, 1);
    assert_ptr_equal(table_add(f.table, "p", "c"), s);
}

static void the_same_name_again_is_a_new_slot_while_the_old_one_is_in_use(void **state)
{
    (void)state;
    struct backend_slot *s = add_up("p", "a");

    assert_true(slot_take(s));
    table_remove(f.table, s);
    struct backend_slot *again = table_add(f.table, "p", "a");
    assert_ptr_not_equal(again, s);
    assert_ptr_equal(table_find(f.table, "p", "a"), again);
    slot_give(s);
    assert_ptr_equal(table_add(f.table, "p", "x"), s);
    assert_ptr_equal(table_find(f.table, "p", "a"), again);
    table_remove(f.table, again);
    assert_null(table_find(f.table, "p", "a"));
}

static void an_old_address_lives_until_its_readers_have_left(void **state)
{
    (void)state;
    struct backend_slot *s = add_up("p", "a");
    struct epoch_reader reader;
    struct addr other;

    epoch_reader_register(f.epochs, &reader);
    epoch_enter(&reader);
    const struct addr *old = atomic_load(&s->address);
    set_addr(&other, 0x0a000002);
    slot_set_address(f.table, s, &other);
    assert_int_equal(epoch_collect(f.epochs), 1);
    assert_int_equal(ntohl(old->in.sin_addr.s_addr), 0x0a000001); /* the sanitizer watches */
    epoch_leave(&reader);
    assert_int_equal(epoch_collect(f.epochs), 0);
    assert_true(addr_eq(atomic_load(&s->address), &other));
    epoch_reader_unregister(&reader);
}

static void of_a_names_addresses_the_next_is_used_when_one_has_failed(void **state)
{
    (void)state;
    struct backend_slot *s = add_up("p", "a");
    struct addr list[3], before, now;

    for (uint32_t i = 0; i < 3; i++)
        set_addr(&list[i], 0x0a000001 + i);
    assert_int_equal(slot_address_failed(s, atomic_load(&s->address)), 0); /* it has one */
    assert_false(slot_address_works(s, atomic_load(&s->address), &before));
    slot_set_names_addresses(f.table, s, list, 3, 1);
    uint64_t set = slot_address(s, &now);
    assert_true(addr_eq(&now, &list[1]));
    assert_false(slot_address_works(s, &list[1], &before)); /* as ever */
    assert_int_equal(slot_address_failed(s, &list[1]), 3);
    assert_int_equal(slot_address_failed(s, &list[1]), 3); /* has been noted */
    assert_true(slot_address(s, &now) == set && addr_eq(&now, &list[2]));
    assert_int_equal(slot_address_failed(s, &list[2]), 3);
    assert_true(addr_eq(atomic_load(&s->address), &list[0]));
    assert_false(slot_address_works(s, &list[2], &before)); /* late: not in use any more */
    assert_true(slot_address_works(s, &list[0], &before));
    assert_true(addr_eq(&before, &list[1]));
    assert_false(slot_address_works(s, &list[0], &before));
    struct addr turned[] = {list[2], list[0], list[1]};
    assert_true(slot_has_addresses(s, turned, 3));
    assert_false(slot_has_addresses(s, list, 2));
    set_addr(&turned[0], 0x0a000009);
    assert_false(slot_has_addresses(s, turned, 3));
    slot_set_address(f.table, s, NULL);
    assert_int_equal(slot_address_failed(s, &list[0]), 0);
    assert_false(slot_has_addresses(s, list, 3));
    epoch_collect(f.epochs);
}

static void info_comes_back_as_it_was_set(void **state)
{
    (void)state;
    struct backend_slot *s = table_add(f.table, "p", "a");
    struct backend_info in, out;

    memset(&in, 0x5a, sizeof(in));
    slot_set_info(s, &in);
    slot_info(s, &out);
    assert_memory_equal(&in, &out, sizeof(in));
}

/* ---- places ---- */

static void places_are_taken_up_to_the_limit_exactly(void **state)
{
    (void)state;
    struct backend_slot *s = table_add(f.table, "p", "a");

    atomic_store(&s->max_connections, 2);
    assert_true(slot_has_room(s));
    assert_true(slot_take(s));
    assert_true(slot_take(s));
    assert_false(slot_has_room(s));
    assert_false(slot_take(s));
    assert_int_equal(atomic_load(&s->in_flight), 2);
    assert_true(slot_give(s));
    assert_true(slot_take(s));
    assert_true(slot_give(s));
    assert_true(slot_give(s)); /* each may be waited for */
    assert_int_equal(atomic_load(&s->in_flight), 0);
    assert_int_equal(counter_get(&s->in_flight_max), 2);
}

static void without_a_limit_there_is_always_room(void **state)
{
    (void)state;
    struct backend_slot *s = table_add(f.table, "p", "a");

    for (int i = 0; i < 1000; i++)
        assert_true(slot_has_room(s) && slot_take(s));
    for (int i = 0; i < 1000; i++)
        assert_false(slot_give(s));
    assert_int_equal(counter_get(&s->in_flight_max), 1000);
}

static void a_limit_that_was_lowered_lets_nobody_in_until_enough_have_left(void **state)
{
    (void)state;
    struct backend_slot *s = table_add(f.table, "p", "a");

    for (int i = 0; i < 4; i++)
        assert_true(slot_take(s));
    atomic_store(&s->max_connections, 2);
    assert_false(slot_take(s));
    slot_give(s);
    slot_give(s);
    assert_false(slot_take(s));
    slot_give(s);
    assert_true(slot_take(s));
}

/* ---- stress ---- */

#define ROUNDS  200000
#define WORKERS 3
#define LIMIT   1 /* place, so that two workers are enough to race for it */

static struct backend_slot *shared;
static _Atomic uint32_t holding, too_many;
static _Atomic bool over;
static pthread_barrier_t start; /* so that they do meet */

/* Picks as workers do: in an epoch, a word, an address, a place. */
static void *work(void *arg)
{
    struct epoch_reader *reader = arg;

    pthread_barrier_wait(&start);
    for (int i = 0; i < ROUNDS; i++) {
        epoch_enter(reader);
        struct addr *a = atomic_load_explicit(&shared->address, memory_order_acquire);
        if (a != NULL && ntohs(a->in.sin_port) != (ntohl(a->in.sin_addr.s_addr) & 0xffff))
            atomic_fetch_add(&too_many, 1);
        struct addr before;
        if (a != NULL && i % 3 == 0)
            (void)slot_address_failed(shared, a);
        else if (a != NULL && slot_address_works(shared, a, &before) && addr_eq(a, &before))
            atomic_fetch_add(&too_many, 1);
        (void)slot_use(shared); /* an old view: it may say no by now */
        if (slot_take(shared)) {
            if (atomic_fetch_add(&holding, 1) >= LIMIT)
                atomic_fetch_add(&too_many, 1);
            if (i % 64 == 0)
                sched_yield();
            atomic_fetch_sub(&holding, 1);
            slot_give(shared);
        }
        epoch_leave(reader);
    }
    return NULL;
}

/* Its part of the word must be as this thread, the only writer of it, left it. */
static void *administer(void *arg)
{
    struct rng rng;

    (void)arg;
    rng_seed(&rng, 1);
    pthread_barrier_wait(&start);
    uint8_t last = slot_word(shared).admin;
    uint16_t set = slot_word(shared).set_weight;
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t bit = (uint8_t)(1u << rng_below(&rng, 7));
        bool on = rng_below(&rng, 2);
        if (slot_set_admin(shared, on ? 0 : bit, on ? bit : 0).admin != last ||
            slot_word(shared).set_weight != set)
            atomic_fetch_add(&too_many, 1);
        last = on ? last | bit : (uint8_t)(last & ~bit);
        set = (uint16_t)(1 + rng_below(&rng, LIMIT_WEIGHT));
        slot_set_weight(shared, set);
        if (i % 64 == 0) {
            struct addr list[3];
            for (uint32_t k = 0; k < ARRAY_LEN(list); k++)
                set_addr(&list[k], (uint32_t)i + k);
            slot_set_names_addresses(f.table, shared, list, 1 + (uint32_t)i / 64 % 3, 0);
            epoch_collect(f.epochs);
        }
    }
    return NULL;
}

/* As the health thread: operational state and the info that goes with it. */
static void *watch(void *arg)
{
    enum oper_state last = slot_word(shared).oper;

    (void)arg;
    pthread_barrier_wait(&start);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        enum oper_state to = (enum oper_state)(i % 3); /* unknown, up, going down */
        if (slot_set_oper(shared, to).oper != last)
            atomic_fetch_add(&too_many, 1);
        last = to;
        if (slot_set_ejected(shared, i % 5 == 0).ejected != (i > 0 && (i - 1) % 5 == 0))
            atomic_fetch_add(&too_many, 1);
        slot_set_effective(shared, (uint16_t)(1 + i % 1000));
        struct backend_info info;
        memset(&info, (int)(i & 0xff), sizeof(info));
        slot_set_info(shared, &info);
    }
    return NULL;
}

/* A copy of the info is of one write, not of two. */
static void *read_info(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        struct backend_info info;
        slot_info(shared, &info);
        const unsigned char *bytes = (const unsigned char *)&info;
        for (size_t i = 1; i < sizeof(info); i++)
            if (bytes[i] != bytes[0]) {
                atomic_fetch_add(&too_many, 1);
                break;
            }
    }
    return NULL;
}

static void many_threads_lose_nothing(void **state)
{
    (void)state;
    struct epoch_reader readers[WORKERS];
    pthread_t workers[WORKERS], admin, health, reader;
    const struct backend_info zero = {0};

    shared = add_up("p", "a");
    slot_set_info(shared, &zero);
    atomic_store(&shared->max_connections, LIMIT);
    atomic_store(&over, false);
    pthread_barrier_init(&start, NULL, WORKERS + 2);
    for (int i = 0; i < WORKERS; i++) {
        epoch_reader_register(f.epochs, &readers[i]);
        assert_int_equal(pthread_create(&workers[i], NULL, work, &readers[i]), 0);
    }
    assert_int_equal(pthread_create(&admin, NULL, administer, NULL), 0);
    assert_int_equal(pthread_create(&health, NULL, watch, NULL), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_info, NULL), 0);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    pthread_join(admin, NULL);
    pthread_join(health, NULL);
    atomic_store(&over, true);
    pthread_join(reader, NULL);
    pthread_barrier_destroy(&start);
    for (int i = 0; i < WORKERS; i++)
        epoch_reader_unregister(&readers[i]);

    assert_int_equal(atomic_load(&too_many), 0);
    assert_int_equal(atomic_load(&shared->in_flight), 0);
    assert_in_range(counter_get(&shared->in_flight_max), 1, LIMIT);
    assert_int_equal(slot_word(shared).generation, 1);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_part_of_the_word_comes_back_and_touches_no_other),
        TEST(setters_change_their_part_and_return_what_was_before),
        TEST(the_effective_weight_follows_the_set_one),
        TEST(a_slot_is_used_as_its_word_and_address_say),
        TEST(check_results_have_haproxys_names),
        TEST(an_identity_is_pool_and_name),
        TEST(a_new_slot_is_unknown_and_weighs_one),
        TEST(slots_never_move_and_the_table_has_an_end),
        TEST(a_removed_slot_comes_back_as_another_generation),
        TEST(a_removed_slot_waits_for_readers),
        TEST(a_removed_slot_waits_for_connections),
        TEST(a_removed_slot_waits_for_the_checker),
        TEST(the_same_name_again_is_a_new_slot_while_the_old_one_is_in_use),
        TEST(an_old_address_lives_until_its_readers_have_left),
        TEST(of_a_names_addresses_the_next_is_used_when_one_has_failed),
        TEST(info_comes_back_as_it_was_set),
        TEST(places_are_taken_up_to_the_limit_exactly),
        TEST(without_a_limit_there_is_always_room),
        TEST(a_limit_that_was_lowered_lets_nobody_in_until_enough_have_left),
        TEST(many_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
