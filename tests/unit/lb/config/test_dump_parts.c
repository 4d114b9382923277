/* test_dump_parts.c - what a reload goes by: sections as text, and what only a restart changes. */
#include "tests/unit/lb/config/config_test.h"

static struct conf *load(const char *text)
{
    struct strbuf errors = {0};
    struct conf *c = conf_load_text("t.conf", text, &errors);

    if (c == NULL)
        fail_msg("%s", errors.p);
    strbuf_fini(&errors);
    return c;
}

#define POOLS                                                                                      \
    "pools = ( { name = \"a\"; mode = \"tcp\"; %s"                                                 \
    "  backends = ( { name = \"x\"; address = \"127.0.0.1:1\"; } ); } );"                          \
    "listeners = ( { name = \"l\"; mode = \"tcp\"; bind = \"127.0.0.1:2\"; pool = \"a\"; } );"

static struct conf *with(const char *top, const char *pool)
{
    char text[1024];
    int n = snprintf(text, sizeof(text), "%s\n", top);

    snprintf(text + n, sizeof(text) - (size_t)n, POOLS, pool);
    return load(text);
}

static bool same_pool(struct conf *a, struct conf *b)
{
    struct strbuf x = {0}, y = {0};

    conf_dump_pool(&a->pools[0], &x);
    conf_dump_pool(&b->pools[0], &y);
    bool same = str_eq(strbuf_str(&x), strbuf_str(&y));
    strbuf_fini(&x);
    strbuf_fini(&y);
    return same;
}

static void a_pool_is_the_same_however_it_is_written(void **state)
{
    struct conf *a = with("", ""), *b = with("# a remark\n", "\n balance = \"round_robin\";\n");

    (void)state;
    assert_true(same_pool(a, b));
    conf_free(&a);
    conf_free(&b);
}

static void a_global_setting_that_is_merged_into_a_pool_makes_it_another(void **state)
{
    struct conf *a = with("", ""), *b = with("timeouts = { connect = \"7s\"; };", "");
    struct conf *c = with("timeouts = { request_head = \"7s\"; };", "");

    (void)state;
    assert_false(same_pool(a, b));
    assert_true(same_pool(a, c));
    conf_free(&a);
    conf_free(&b);
    conf_free(&c);
}

static void what_only_a_restart_changes_is_named(void **state)
{
    struct conf *a = with("workers = 1;", ""), *b = with("workers = 2; user = \"root\";", "");
    struct conf *c = with("workers = 1; log = { level = \"debug\"; };", "");
    struct strbuf names = {0};

    (void)state;
    conf_restart_changes(a, b, &names);
    assert_string_equal(names.p, "workers t.conf:1\nuser t.conf:1\n");
    strbuf_clear(&names);
    conf_restart_changes(a, c, &names);
    assert_int_equal(names.len, 0);
    strbuf_clear(&names);
    struct conf *d = with("workers = 1; hardening = { dumpable = true; };", "");
    conf_restart_changes(a, d, &names);
    assert_string_equal(names.p, "hardening t.conf:1\n");
    strbuf_fini(&names);
    conf_free(&a);
    conf_free(&b);
    conf_free(&c);
    conf_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_is_the_same_however_it_is_written),
        cmocka_unit_test(a_global_setting_that_is_merged_into_a_pool_makes_it_another),
        cmocka_unit_test(what_only_a_restart_changes_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
