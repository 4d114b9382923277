/* What a pool hands over to the next one of its name. */
#include "health/table.h"
#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/upstream/pool.h"
#include "lb/upstream/stick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#define WORKERS 2

struct fixture {
    struct epoch_domain *epochs;
    struct backend_table *table;
    struct backend_conf backends[3];
    struct pool_conf conf, next_conf;
    struct pool *pool;
};

static struct backend_slot *slot(struct fixture *f, const char *name)
{
    return table_add(f->table, "p", name);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    static char names[3][2] = {"a", "b", "c"}, name[] = "p";

    f->epochs = epoch_domain_new();
    f->table = table_new(f->epochs);
    for (int i = 0; i < 3; i++)
        f->backends[i] = (struct backend_conf){.name = names[i], .weight = 1};
    f->conf = (struct pool_conf){
        .name = name, .mode = MODE_HTTP, .backends = f->backends, .n_backends = 2};
    f->next_conf = f->conf;
    f->pool = pool_new(&f->conf, 7, 3, (struct backend_slot *[]){slot(f, "a"), slot(f, "b")},
                       WORKERS, f->epochs);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    pool_free(&f->pool);
    table_free(&f->table);
    epoch_domain_free(&f->epochs);
    free(f);
    return 0;
}

/* b and c, without a. */
static struct pool *next(struct fixture *f, bool same_conns)
{
    f->next_conf.backends = &f->backends[1];
    return pool_new_after(f->pool, &f->next_conf,
                          (struct backend_slot *[]){slot(f, "b"), slot(f, "c")}, same_conns);
}

static void what_is_counted_goes_over(void **state)
{
    struct fixture *f = *state;

    counter_set(&f->pool->rows[1].queued, 5);
    counter_set(&f->pool->members[1].rows[0].sessions, 9);
    atomic_store(&f->pool->kept->current, 4);
    struct pool *p = next(f, true);
    assert_ptr_equal(p->kept, f->pool->kept);
    assert_int_equal(p->iid, 3);
    assert_int_equal(p->kept->number, 7);
    assert_int_equal(counter_get(&p->rows[1].queued), 5);
    assert_int_equal(counter_get(&p->members[0].rows[0].sessions), 9);
    assert_int_equal(counter_get(&p->members[1].rows[0].sessions), 0);
    assert_int_equal(atomic_load(&p->kept->current), 4);
    pool_free(&p);
}

static void it_outlives_the_pool_that_it_came_from(void **state)
{
    struct fixture *f = *state;
    struct pool *p = next(f, true);

    counter_set(&f->pool->members[1].rows[0].sessions, 2);
    pool_free(&f->pool);
    counter_add(&p->members[0].rows[0].sessions, 1);
    assert_int_equal(counter_get(&p->members[0].rows[0].sessions), 3);
    f->pool = p;
}

static void connections_go_over_where_they_are_made_in_the_same_way(void **state)
{
    struct fixture *f = *state;
    struct pool *same = next(f, true), *other = next(f, false);

    assert_ptr_equal(same->members[0].conns, f->pool->members[1].conns);
    assert_ptr_not_equal(other->members[0].conns, f->pool->members[1].conns);
    assert_ptr_equal(other->members[0].counts, f->pool->members[1].counts);
    pool_free(&same);
    pool_free(&other);
}

static void a_backend_is_found_at_its_place_in_either_pool(void **state)
{
    struct fixture *f = *state;
    struct pool *p = next(f, true);

    assert_int_equal(pool_member_index(f->pool, slot(f, "a")), 0);
    assert_int_equal(pool_member_index(f->pool, slot(f, "b")), 1);
    assert_int_equal(pool_member_index(p, slot(f, "b")), 0);
    assert_int_equal(pool_member_index(p, slot(f, "c")), 1);
    pool_free(&p);
}

static void another_mode_has_what_it_needs(void **state)
{
    struct fixture *f = *state;

    f->next_conf.mode = MODE_TCP;
    struct pool *tcp = next(f, false);
    assert_null(tcp->latency);
    assert_null(tcp->members[0].conns);
    f->conf.mode = MODE_HTTP;
    struct pool *http =
        pool_new_after(tcp, &f->conf, (struct backend_slot *[]){slot(f, "a"), slot(f, "b")}, true);
    assert_non_null(http->latency);
    assert_non_null(http->members[1].conns);
    assert_non_null(http->members[1].latency);
    pool_free(&tcp);
    pool_free(&http);
}

static void a_random_secret_stays(void **state)
{
    struct fixture *f = *state;
    static char cookie[] = "SRV";
    struct sticky_conf sticky = {.cookie = cookie};

    f->conf.http.sticky = f->next_conf.http.sticky = &sticky;
    struct pool *one = pool_new_after(f->pool, &f->conf,
                                      (struct backend_slot *[]){slot(f, "a"), slot(f, "b")}, true);
    pool_free(&f->pool);
    f->pool = one;
    struct pool *two = next(f, true);
    assert_true(str_eq(stick_cookie(one->stick, 1, false), stick_cookie(two->stick, 0, false)));
    pool_free(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_counted_goes_over, setup, teardown),
        cmocka_unit_test_setup_teardown(it_outlives_the_pool_that_it_came_from, setup, teardown),
        cmocka_unit_test_setup_teardown(connections_go_over_where_they_are_made_in_the_same_way,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_backend_is_found_at_its_place_in_either_pool, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(another_mode_has_what_it_needs, setup, teardown),
        cmocka_unit_test_setup_teardown(a_random_secret_stays, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
