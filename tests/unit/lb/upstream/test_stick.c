/* Sticky cookies: each leads to its own backend, and nothing else leads anywhere. */
#include "lb/upstream/stick.h"

#include "lb/base/alloc.h"
#include "lb/base/rand.h"
#include "lb/upstream/pool_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

struct fixture {
    struct pool_conf conf;
    struct sticky_conf sticky;
    char (*names)[16];
    struct stick *stick;
};

static struct fixture *fixture_new(const char *pool, uint32_t n, const char *secret)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->sticky = (struct sticky_conf){.cookie = (char *)"srv", .secret = (char *)secret};
    f->conf =
        (struct pool_conf){.name = (char *)pool, .n_backends = n, .http = {.sticky = &f->sticky}};
    f->conf.backends = xcalloc(n + 1, sizeof(*f->conf.backends));
    f->names = xcalloc(n + 1, sizeof(*f->names));
    for (uint32_t i = 0; i < n; i++) {
        snprintf(f->names[i], sizeof(f->names[i]), "b%u", i);
        f->conf.backends[i].name = f->names[i];
    }
    f->stick = stick_new(&f->conf, NULL);
    return f;
}

static void fixture_free(struct fixture *f)
{
    stick_free(&f->stick);
    assert_null(f->stick);
    free(f->conf.backends);
    free(f->names);
    free(f);
}

/* What a browser would send back. */
static struct str value_of(const struct fixture *f, uint32_t member)
{
    struct str c = stick_cookie(f->stick, member, false);
    assert_true(str_starts(c, STR("srv=")));
    return (struct str){c.p + 4, STICK_ID_TEXT};
}

static void each_cookie_leads_to_its_own_backend(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 3, 100, 5000};
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        struct fixture *f = fixture_new("app", sizes[k], "a secret of some length");
        for (uint32_t i = 0; i < sizes[k]; i++)
            assert_int_equal(stick_find(f->stick, value_of(f, i)), i);
        fixture_free(f);
    }
}

static void a_pool_without_backends_knows_nobody(void **state)
{
    (void)state;
    struct fixture *f = fixture_new("app", 0, "s");
    assert_int_equal(stick_find(f->stick, STR("AAAAAAAAAAAAAAAAAAAAAA")), STICK_NONE);
    fixture_free(f);
}

static void the_cookie_is_as_browsers_want_it(void **state)
{
    (void)state;
    struct fixture *f = fixture_new("app", 1, "s");
    struct str plain = stick_cookie(f->stick, 0, false), https = stick_cookie(f->stick, 0, true);
    plain.p += 4 + STICK_ID_TEXT;
    plain.len -= 4 + STICK_ID_TEXT;
    assert_true(str_eq_cstr(plain, "; Path=/; HttpOnly; SameSite=Lax"));
    https.p += 4 + STICK_ID_TEXT;
    https.len -= 4 + STICK_ID_TEXT;
    assert_true(str_eq_cstr(https, "; Path=/; HttpOnly; SameSite=Lax; Secure"));
    fixture_free(f);
}

static void an_age_is_added_where_one_is_configured(void **state)
{
    (void)state;
    struct fixture *f = fixture_new("app", 1, "s");
    stick_free(&f->stick);
    f->sticky.max_age_s = 3600;
    f->stick = stick_new(&f->conf, NULL);
    struct str c = stick_cookie(f->stick, 0, true);
    c.p += 4 + STICK_ID_TEXT;
    c.len -= 4 + STICK_ID_TEXT;
    assert_true(str_eq_cstr(c, "; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure"));
    fixture_free(f);
}

/* The id is HMAC-SHA-256 with key "key" of "sluice sticky cookie 1\0app\0b0\0": to be the same at
 * all instances of all versions. Computed with Python's hmac. */
static void ids_are_what_they_have_always_been(void **state)
{
    (void)state;
    struct fixture *f = fixture_new("app", 1, "key");
    struct str v = value_of(f, 0);
    assert_true(str_eq_cstr(v, "V9fyb8PaOVsQcJNFys9FTQ"));
    fixture_free(f);
}

static void instances_with_the_same_secret_agree(void **state)
{
    (void)state;
    struct fixture *a = fixture_new("app", 10, "shared"), *b = fixture_new("app", 12, "shared");
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(stick_find(b->stick, value_of(a, i)), i);
    fixture_free(a);
    fixture_free(b);
}

static void ids_of_another_pool_or_secret_lead_nowhere(void **state)
{
    (void)state;
    struct fixture *f = fixture_new("app", 10, "shared");
    struct fixture *pool = fixture_new("app2", 10, "shared");
    struct fixture *secret = fixture_new("app", 10, "Shared");
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(stick_find(f->stick, value_of(pool, i)), STICK_NONE);
        assert_int_equal(stick_find(f->stick, value_of(secret, i)), STICK_NONE);
    }
    fixture_free(f);
    fixture_free(pool);
    fixture_free(secret);
}

/* Pool "a" with backend "b0" and a pool whose name would run into the backend's. */
static void names_do_not_run_into_each_other(void **state)
{
    (void)state;
    struct fixture *a = fixture_new("a", 1, "s"), *b = fixture_new("ab", 1, "s");
    strcpy(b->names[0], "0");
    strcpy(a->names[0], "b0");
    stick_free(&b->stick);
    b->stick = stick_new(&b->conf, NULL);
    assert_int_equal(stick_find(a->stick, value_of(b, 0)), STICK_NONE);
    fixture_free(a);
    fixture_free(b);
}

static void a_route_is_the_name_behind_the_first_dot(void **state)
{
    (void)state;
    struct fixture *f = fixture_new("app", 100, NULL);
    stick_free(&f->stick);
    strcpy(f->names[3], "eu.west");
    f->sticky.route = true;
    f->stick = stick_new(&f->conf, NULL);
    assert_null(stick_warning(f->stick));
    assert_false(stick_sets_cookie(f->stick));
    assert_int_equal(stick_find(f->stick, STR("0A1B.b0")), 0);
    assert_int_equal(stick_find(f->stick, STR("0A1B.b99")), 99);
    assert_int_equal(stick_find(f->stick, STR("0A1B.eu.west")), 3);
    assert_int_equal(stick_find(f->stick, STR(".b1")), 1);
    static const char *const bad[] = {"",          "b1",     "0A1B",      "0A1B.",    "0A1B.b3",
                                      "0A1B.west", "0A1B.b", "0A1B.b100", "0A1B..b1", "0A1B.B1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(stick_find(f->stick, str_of(bad[i])), STICK_NONE);
    fixture_free(f);
}

static void any_change_of_a_value_makes_it_worthless(void **state)
{
    (void)state;
    struct fixture *f = fixture_new("app", 50, "s");
    char text[STICK_ID_TEXT + 2];
    for (uint32_t i = 0; i < 50; i++) {
        for (size_t at = 0; at < STICK_ID_TEXT; at++) {
            for (int c = 0; c < 256; c++) {
                struct str good = value_of(f, i);
                if ((char)c == good.p[at])
                    continue;
                memcpy(text, good.p, STICK_ID_TEXT);
                text[at] = (char)c;
                assert_int_equal(stick_find(f->stick, (struct str){text, STICK_ID_TEXT}),
                                 STICK_NONE);
            }
        }
    }
    fixture_free(f);
}

static void other_lengths_are_refused(void **state)
{
    (void)state;
    struct fixture *f = fixture_new("app", 3, "s");
    char text[STICK_ID_TEXT + 3];
    struct str good = value_of(f, 1);
    memcpy(text, good.p, STICK_ID_TEXT);
    memcpy(text + STICK_ID_TEXT, "==", 3);
    for (size_t n = 0; n <= STICK_ID_TEXT + 2; n++)
        assert_int_equal(stick_find(f->stick, (struct str){text, n}),
                         n == STICK_ID_TEXT ? 1 : STICK_NONE);
    fixture_free(f);
}

static void garbage_leads_nowhere(void **state)
{
    (void)state;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    struct fixture *f = fixture_new("app", 1000, "s");
    char text[STICK_ID_TEXT];
    struct rng r;
    rng_seed(&r, 1);
    for (int i = 0; i < 100000; i++) {
        for (size_t k = 0; k < STICK_ID_TEXT; k++)
            text[k] = digits[rng_below(&r, 64)];
        assert_int_equal(stick_find(f->stick, (struct str){text, STICK_ID_TEXT}), STICK_NONE);
    }
    fixture_free(f);
}

static void without_a_secret_it_warns_and_nobody_can_know_the_ids(void **state)
{
    (void)state;
    struct fixture *a = fixture_new("app", 3, NULL), *b = fixture_new("app", 3, NULL);
    struct fixture *c = fixture_new("app", 3, "s");
    assert_non_null(stick_warning(a->stick));
    assert_null(stick_warning(c->stick));
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(stick_find(a->stick, value_of(a, i)), i);
        assert_int_equal(stick_find(a->stick, value_of(b, i)), STICK_NONE);
    }
    fixture_free(a);
    fixture_free(b);
    fixture_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_cookie_leads_to_its_own_backend),
        cmocka_unit_test(a_pool_without_backends_knows_nobody),
        cmocka_unit_test(the_cookie_is_as_browsers_want_it),
        cmocka_unit_test(an_age_is_added_where_one_is_configured),
        cmocka_unit_test(ids_are_what_they_have_always_been),
        cmocka_unit_test(instances_with_the_same_secret_agree),
        cmocka_unit_test(ids_of_another_pool_or_secret_lead_nowhere),
        cmocka_unit_test(names_do_not_run_into_each_other),
        cmocka_unit_test(a_route_is_the_name_behind_the_first_dot),
        cmocka_unit_test(any_change_of_a_value_makes_it_worthless),
        cmocka_unit_test(other_lengths_are_refused),
        cmocka_unit_test(garbage_leads_nowhere),
        cmocka_unit_test(without_a_secret_it_warns_and_nobody_can_know_the_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
