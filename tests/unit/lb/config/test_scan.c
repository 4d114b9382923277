/* test_scan.c - the scan beside libconfig: true lines, exact numbers, exact strings. */
#include "lb/config/problems.h"
#include "lb/config/scan.h"
#include "tests/unit/lb/config/config_test.h"

struct scanned {
    struct conf_arena arena;
    struct conf_source source;
    struct problems problems;
    struct scan_node *root;
};

static void scan(struct scanned *s, const char *text)
{
    *s = (struct scanned){.arena = {NULL}};
    s->source.arena = &s->arena;
    s->problems.source = &s->source;
    assert_true(conf_source_set(&s->source, "t.conf", str_of(text), &s->problems));
    s->root = scan_text(&s->arena, strbuf_str(&s->source.text), &s->problems);
}

static void done(struct scanned *s)
{
    problems_fini(&s->problems);
    conf_source_fini(&s->source);
    conf_arena_fini(&s->arena);
}

static const struct scan_node *child(const struct scan_node *node, unsigned i)
{
    const struct scan_node *it = node->first;

    while (i-- > 0)
        it = it->next;
    return it;
}

static void nodes_have_the_lines_of_their_names_and_elements(void **state)
{
    (void)state;
    struct scanned s;

    scan(&s, "\na\n =\n 1;\nb = [ \"x\",\n  \"y\"\n\n];\nc = 2;\n");
    assert_non_null(s.root);
    assert_int_equal(s.root->n, 3);
    assert_int_equal(child(s.root, 0)->line, 2);
    const struct scan_node *b = child(s.root, 1);
    assert_int_equal(b->line, 5);
    assert_int_equal(child(b, 0)->line, 5);
    assert_int_equal(child(b, 1)->line, 6);
    assert_int_equal(child(s.root, 2)->line, 9);
    done(&s);
}

static void integers_are_exact_to_64_bits(void **state)
{
    (void)state;
    struct scanned s;

    scan(&s, "a = 2147483648; b = -9223372036854775807; c = 0xFFFFFFFFF; d = 9223372036854775807;"
             " e = 0x7fffffffffffffff; f = 5L; g = +3LL; h = 0; i = -0;");
    assert_non_null(s.root);
    static const int64_t expected[] = {2147483648, -INT64_MAX, 0xFFFFFFFFF, INT64_MAX, INT64_MAX,
                                       5,          3,          0,           0};
    for (unsigned i = 0; i < 9; i++) {
        assert_int_equal(child(s.root, i)->type, SCAN_INT);
        assert_true(child(s.root, i)->integer == expected[i]);
    }
    assert_false(child(s.root, 0)->wide);
    assert_true(child(s.root, 5)->wide);
    done(&s);
}

static void strings_are_decoded_to_exact_bytes(void **state)
{
    (void)state;
    struct scanned s;

    scan(&s, "a = \"\\x00\\xfF\\n\\r\\t\\f\\\\\\\"# // /* \"; b = \"\";");
    assert_non_null(s.root);
    assert_int_equal(child(s.root, 0)->text.len, 16);
    assert_memory_equal(child(s.root, 0)->text.p, "\0\xff\n\r\t\f\\\"# // /* ", 16);
    assert_int_equal(child(s.root, 1)->text.len, 0);
    done(&s);
}

static void joined_strings_are_counted(void **state)
{
    (void)state;
    struct scanned s;

    scan(&s, "a = \"x\" /* and */ \"y\"\n\"z\"; b = \"x\";");
    assert_non_null(s.root);
    assert_int_equal(child(s.root, 0)->joined, 3);
    assert_true(str_eq_cstr(child(s.root, 0)->text, "xyz"));
    assert_int_equal(child(s.root, 1)->joined, 0);
    done(&s);
}

static void separators_may_be_left_out_as_in_libconfig(void **state)
{
    (void)state;
    struct scanned s;

    scan(&s, "a = 1 b : 2, c = {d=1}e=();f=[] g = TRUE");
    assert_non_null(s.root);
    assert_int_equal(s.root->n, 6);
    assert_true(str_eq_cstr(child(s.root, 3)->name, "e"));
    assert_int_equal(child(s.root, 5)->type, SCAN_BOOL);
    done(&s);
}

static void comments_may_stand_anywhere(void **state)
{
    (void)state;
    struct scanned s;

    scan(&s, "# a = 1;\n// b\na/**/=/* \n */1//x\n;#y\n/***/b=2");
    assert_non_null(s.root);
    assert_int_equal(s.root->n, 2);
    assert_int_equal(child(s.root, 1)->line, 6);
    done(&s);
}

static void fractions_are_recognised_in_every_form(void **state)
{
    (void)state;
    struct scanned s;

    scan(&s, "a = 1.5; b = .5; c = 5.; d = 1e5; e = -1.5E-3; f = +.5e+3;");
    assert_non_null(s.root);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(child(s.root, i)->type, SCAN_FLOAT);
    done(&s);
}

static void an_empty_text_is_an_empty_group(void **state)
{
    (void)state;
    struct scanned s;

    scan(&s, "");
    assert_non_null(s.root);
    assert_int_equal(s.root->n, 0);
    done(&s);
}

static void more_settings_in_a_group_than_the_limit_are_refused(void **state)
{
    (void)state;
    struct scanned s;
    struct strbuf text = {0};

    for (int i = 0; i < 256; i++)
        strbuf_addf(&text, "a%d=1 ", i);
    scan(&s, text.p);
    assert_non_null(s.root);
    done(&s);
    strbuf_add_cstr(&text, "b=1");
    scan(&s, text.p);
    assert_null(s.root);
    assert_int_equal(s.problems.errors, 1);
    done(&s);
    strbuf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_have_the_lines_of_their_names_and_elements),
        cmocka_unit_test(integers_are_exact_to_64_bits),
        cmocka_unit_test(strings_are_decoded_to_exact_bytes),
        cmocka_unit_test(joined_strings_are_counted),
        cmocka_unit_test(separators_may_be_left_out_as_in_libconfig),
        cmocka_unit_test(comments_may_stand_anywhere),
        cmocka_unit_test(fractions_are_recognised_in_every_form),
        cmocka_unit_test(an_empty_text_is_an_empty_group),
        cmocka_unit_test(more_settings_in_a_group_than_the_limit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
