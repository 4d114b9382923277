/* test_list.c - the intrusive list. */
#include "lb/base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int value;
    struct list node;
};

static int sum_in_order(struct list *l)
{
    int sum = 0;
    list_for_each (it, l)
        sum = sum * 10 + list_entry(it, struct item, node)->value;
    return sum;
}

static void items_keep_the_order_of_their_ends(void **state)
{
    (void)state;
    struct list l;
    struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};
    list_init(&l);
    assert_true(list_empty(&l));
    assert_null(list_pop_front(&l));
    list_push_back(&l, &b.node);
    list_push_back(&l, &c.node);
    list_push_front(&l, &a.node);
    assert_int_equal(sum_in_order(&l), 123);
    assert_ptr_equal(list_pop_front(&l), &a.node);
    assert_int_equal(sum_in_order(&l), 23);
}

static void removing_twice_does_no_harm(void **state)
{
    (void)state;
    struct list l;
    struct item a = {.value = 1}, b = {.value = 2};
    list_init(&l);
    list_push_back(&l, &a.node);
    list_push_back(&l, &b.node);
    assert_true(list_linked(&a.node));
    list_remove(&a.node);
    assert_false(list_linked(&a.node));
    list_remove(&a.node);
    assert_int_equal(sum_in_order(&l), 2);
}

static void an_item_may_leave_while_the_list_is_walked(void **state)
{
    (void)state;
    struct list l;
    struct item items[5];
    list_init(&l);
    for (int i = 0; i < 5; i++) {
        items[i].value = i + 1;
        list_push_back(&l, &items[i].node);
    }
    list_for_each_safe (it, next, &l) {
        if (list_entry(it, struct item, node)->value % 2 == 0)
            list_remove(it);
    }
    assert_int_equal(sum_in_order(&l), 135);
}

static void a_list_moves_behind_another(void **state)
{
    (void)state;
    struct list to, from;
    struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};
    list_init(&to);
    list_init(&from);
    list_splice_back(&to, &from);
    assert_true(list_empty(&to));
    list_push_back(&from, &b.node);
    list_push_back(&from, &c.node);
    list_push_back(&to, &a.node);
    list_splice_back(&to, &from);
    assert_int_equal(sum_in_order(&to), 123);
    assert_true(list_empty(&from));
    list_splice_back(&from, &to);
    assert_int_equal(sum_in_order(&from), 123);
    assert_true(list_empty(&to));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_keep_the_order_of_their_ends),
        cmocka_unit_test(removing_twice_does_no_harm),
        cmocka_unit_test(an_item_may_leave_while_the_list_is_walked),
        cmocka_unit_test(a_list_moves_behind_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
