/* test_overlay.c - the overlay: reading, what it changes, writing. */
#include "lb/config/overlay.h"
#include "lb/config/variant.h"
#include "tests/unit/lb/config/config_test.h"

static struct overlay *load(const char *text)
{
    struct strbuf errors = {0};
    struct overlay *o = overlay_load_text("o", text, &errors);

    if (o == NULL)
        fail_msg("%s", errors.p);
    strbuf_fini(&errors);
    return o;
}

static void refused(const char *text, const char *why)
{
    struct strbuf errors = {0};
    struct overlay *o = overlay_load_text("o", text, &errors);

    assert_null(o);
    if (strstr(errors.p, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, errors.p);
    strbuf_fini(&errors);
}

#define ENTRY(settings) "backends = ( { pool = \"app\"; name = \"a\"; " settings " } );"

/* What an entry makes of a backend with weight 10; whether something was told. */
static bool apply(const char *settings, struct backend_conf *b)
{
    char text[512];
    struct strbuf told = {0};

    *b = (struct backend_conf){.name = (char *)"a", .address_text = (char *)"1.2.3.4:5"};
    b->weight = 10;
    snprintf(text, sizeof(text), ENTRY("%s"), settings);
    struct overlay *o = load(text);
    overlay_apply(overlay_find(o, "app", "a"), b, &told);
    bool any = told.len > 0;
    strbuf_fini(&told);
    b->reason = b->address_text = NULL; /* they may be the overlay's */
    overlay_free(&o);
    return any;
}

static void a_value_holds_whatever_the_configuration_says_unless_it_was_saved(void **state)
{
    struct backend_conf b;

    (void)state;
    assert_false(apply("weight = 5;", &b));
    assert_int_equal(b.weight, 5);
    assert_false(apply("weight = 5; was = { weight = 10; };", &b));
    assert_int_equal(b.weight, 5);
    assert_true(apply("weight = 5; was = { weight = 9; };", &b));
    assert_int_equal(b.weight, 10);
    assert_false(apply("weight = 10; was = { weight = 9; };", &b)); /* they agree by now */
    assert_int_equal(b.weight, 10);
}

static void what_is_not_said_stays(void **state)
{
    struct backend_conf b;

    (void)state;
    assert_false(apply("", &b));
    assert_int_equal(b.weight, 10);
    assert_int_equal(b.max_connections, 0);
    assert_int_equal(b.state, BACKEND_READY);
    assert_false(apply("state = \"drain\";", &b));
    assert_int_equal(b.state, BACKEND_DRAIN);
    assert_true(apply("state = \"drain\"; was = { state = \"maint\"; };", &b));
    assert_int_equal(b.state, BACKEND_READY);
    assert_true(apply("address = \"9.9.9.9:9\"; was = { address = \"8.8.8.8:8\"; };", &b));
    assert_int_equal(b.address.port, 0);
    assert_false(apply("address = \"9.9.9.9:9\"; was = { address = \"1.2.3.4:5\"; };", &b));
    assert_int_equal(b.address.port, 9);
}

static void mistakes_are_told_with_their_place(void **state)
{
    (void)state;
    refused(ENTRY("weight = 257;"), "o:1: error: backends[a].weight: found 257, expected");
    refused(ENTRY("weigth = 1;"), "did you mean \"weight\"");
    refused(ENTRY("added = true;"), "without an address");
    refused(ENTRY("added = true; removed = true;"), "both added and removed");
    refused("backends = ( { name = \"a\"; } );", "pool: not found");
    refused("\nbackends = ( { pool = \"p\"; name = \"a\"; }, { pool = \"p\"; name = \"a\"; } );",
            "o:2: error: backends[p/a]: found a second entry");
    refused("pools = ();", "found an unknown setting");
    refused("backends = (", "syntax");
}

static void what_is_written_reads_the_same(void **state)
{
    struct overlay *o = load("backends = ( { pool = \"p\"; name = \"a\"; weight = 0; state = "
                             "\"maint\"; reason = \"a \\\"$$b\"; was = { weight = 1; }; },"
                             "{ pool = \"p\"; name = \"b\"; removed = true; } );");
    struct strbuf text = {0};

    (void)state;
    overlay_print_begin(&text);
    overlay_print_entry(&o->entries[0], true, &text);
    overlay_print_entry(&o->entries[1], false, &text);
    overlay_print_end(&text);
    struct overlay *again = load(text.p);
    const struct overlay_entry *a = overlay_find(again, "p", "a");
    assert_int_equal(again->n, 2);
    assert_int_equal(a->b.weight, 0);
    assert_int_equal(a->b.max_connections, OVERLAY_NO_NUMBER);
    assert_int_equal(a->was.weight, 1);
    assert_int_equal(a->was.state, OVERLAY_NO_STATE);
    assert_string_equal(a->b.reason, "a \"$b");
    assert_true(overlay_find(again, "p", "b")->removed);
    assert_null(overlay_find(again, "p", "c"));
    strbuf_fini(&text);
    overlay_free(&again);
    overlay_free(&o);
}

static void a_variant_has_other_backends_and_the_rest_of_its_base(void **state)
{
    struct strbuf errors = {0}, text = {0};
    const struct backend_conf *b;
    struct conf *base = conf_load_text(
        "t",
        "pools = ( { name = \"p\"; mode = \"tcp\"; backends = ( { name = \"a\"; address = "
        "\"127.0.0.1:1\"; } ); } ); listeners = ( { name = \"l\"; mode = \"tcp\"; bind = "
        "\"127.0.0.1:2\"; pool = \"p\"; } );",
        &errors);
    struct conf *memory =
        conf_load_backend("t", "name = \"n\"; address = \"127.0.0.1:9\"; weight = 7;", &b, &errors);
    struct backend_list list = {b, 1};

    (void)state;
    assert_non_null(base);
    assert_non_null(memory);
    struct conf *v = conf_with_backends(base, &list);
    conf_free(&memory); /* it was copied */
    conf_dump(v, &text);
    assert_string_equal(v->pools[0].backends[0].name, "n");
    assert_int_equal(v->pools[0].backends[0].weight, 7);
    assert_non_null(strstr(text.p, "address = \"127.0.0.1:9\""));
    assert_non_null(strstr(text.p, "bind = \"127.0.0.1:2\""));
    conf_free(&v);
    conf_free(&base);
    strbuf_fini(&text);
    strbuf_fini(&errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_holds_whatever_the_configuration_says_unless_it_was_saved),
        cmocka_unit_test(what_is_not_said_stays),
        cmocka_unit_test(mistakes_are_told_with_their_place),
        cmocka_unit_test(what_is_written_reads_the_same),
        cmocka_unit_test(a_variant_has_other_backends_and_the_rest_of_its_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
