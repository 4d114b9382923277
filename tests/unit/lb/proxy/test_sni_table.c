/* test_sni_table.c - the pool that a name leads to. Pools are told apart by their addresses. */
#include "lb/proxy/sni_conf.h"
#include "lb/proxy/sni_table.h"

#include "lb/base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static char places[4];
static struct pool *pools[4] = {(struct pool *)&places[0], (struct pool *)&places[1],
                                (struct pool *)&places[2], (struct pool *)&places[3]};

static struct pool *find(const struct sni_table *t, const char *name)
{
    return sni_table_find(t, str_of(name));
}

static void an_exact_name_goes_before_a_wildcard_and_a_long_one_before_a_short_one(void **state)
{
    char a[] = "a.example.com", any[] = "*.example.com", deep[] = "*.deep.Example.com.";
    char *hosts[] = {any, deep, a};
    struct sni_rule rules[] = {
        {.hosts = &hosts[0], .n_hosts = 1, .pool = 0},
        {.hosts = &hosts[1], .n_hosts = 1, .pool = 1},
        {.hosts = &hosts[2], .n_hosts = 1, .pool = 2},
    };
    struct sni_table *t = sni_table_new(rules, 3, pools);

    (void)state;
    assert_ptr_equal(find(t, "a.example.com"), pools[2]);
    assert_ptr_equal(find(t, "b.example.com"), pools[0]);
    assert_ptr_equal(find(t, "x.a.example.com"), pools[0]);
    assert_ptr_equal(find(t, "deep.example.com"), pools[0]);
    assert_ptr_equal(find(t, "x.deep.example.com"), pools[1]);
    assert_ptr_equal(find(t, "x.y.deep.example.com"), pools[1]);
    assert_null(find(t, "example.com"));
    assert_null(find(t, "notexample.com"));
    assert_null(find(t, "com"));
    assert_null(find(t, ""));
    sni_table_free(&t);
    assert_null(t);
}

static void a_star_takes_every_name_that_no_other_rule_has_and_none_too(void **state)
{
    char star[] = "*", a[] = "a.example";
    char *hosts[] = {star, a};
    struct sni_rule rules[] = {
        {.hosts = &hosts[0], .n_hosts = 1, .pool = 0},
        {.hosts = &hosts[1], .n_hosts = 1, .pool = 1},
    };
    struct sni_table *t = sni_table_new(rules, 2, pools);

    (void)state;
    assert_ptr_equal(find(t, "a.example"), pools[1]);
    assert_ptr_equal(find(t, "b.example"), pools[0]);
    assert_ptr_equal(find(t, ""), pools[0]);
    sni_table_free(&t);
}

static void the_first_of_two_rules_for_a_name_counts(void **state)
{
    char one[] = "a.example", two[] = "A.example";
    char *hosts[] = {one, two};
    struct sni_rule rules[] = {
        {.hosts = &hosts[0], .n_hosts = 1, .pool = 0},
        {.hosts = &hosts[1], .n_hosts = 1, .pool = 1},
    };
    struct sni_table *t = sni_table_new(rules, 2, pools);

    (void)state;
    assert_ptr_equal(find(t, "a.example"), pools[0]);
    sni_table_free(&t);
}

static void each_of_ten_thousand_names_is_found(void **state)
{
    enum { N = 10000 };
    char **hosts = xcalloc(2 * N, sizeof(*hosts));
    struct sni_rule *rules = xcalloc(4, sizeof(*rules));
    char name[64];

    (void)state;
    for (uint32_t i = 0; i < N; i++) {
        hosts[i] = xasprintf("host%u.example.com", i);
        hosts[N + i] = xasprintf("*.zone%u.example.com", i);
    }
    for (uint32_t i = 0; i < 4; i++)
        rules[i] = (struct sni_rule){.hosts = hosts + i * N / 2, .n_hosts = N / 2, .pool = i};
    struct sni_table *t = sni_table_new(rules, 4, pools);
    for (uint32_t i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "host%u.example.com", i);
        assert_ptr_equal(find(t, name), pools[i / (N / 2)]);
        snprintf(name, sizeof(name), "www.zone%u.example.com", i);
        assert_ptr_equal(find(t, name), pools[2 + i / (N / 2)]);
        snprintf(name, sizeof(name), "zone%u.example.com", i);
        assert_null(find(t, name));
    }
    sni_table_free(&t);
    for (uint32_t i = 0; i < 2 * N; i++)
        free(hosts[i]);
    free(hosts);
    free(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exact_name_goes_before_a_wildcard_and_a_long_one_before_a_short_one),
        cmocka_unit_test(a_star_takes_every_name_that_no_other_rule_has_and_none_too),
        cmocka_unit_test(the_first_of_two_rules_for_a_name_counts),
        cmocka_unit_test(each_of_ten_thousand_names_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
