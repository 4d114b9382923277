/* test_msg.c - heads: names and their ids, edits, hop-by-hop fields, lists and cookies. */
#include "lb/http/msg.h"

#include "lb/base/arena.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct arena_pool pool;
    struct arena arena;
    struct http_head head;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    arena_pool_init(&f->pool);
    arena_init(&f->arena, &f->pool);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_fini(&f->arena);
    arena_pool_fini(&f->pool);
    free(f);
    return 0;
}

static void add(struct fixture *f, const char *name, const char *value)
{
    assert_int_equal(http_head_add(&f->head, &f->arena, str_of(name), str_of(value)), 0);
}

/* The fields that are left, "name=value;" each. */
static const char *left(const struct fixture *f)
{
    static char text[4096];
    size_t n = 0;
    text[0] = '\0';
    for (uint16_t i = 0; i < f->head.n_fields; i++) {
        const struct http_field *field = &f->head.fields[i];
        if (field->id != HTTP_DROPPED)
            n += (size_t)snprintf(text + n, sizeof(text) - n, STR_FMT "=" STR_FMT ";",
                                  STR_ARG(http_name(&f->head, field)),
                                  STR_ARG(http_value(&f->head, field)));
    }
    return text;
}

/* Why: the slots in msg.c are a perfect hash that a new name may break. */
static void each_known_name_has_its_id_in_any_case(void **state)
{
    static const struct {
        const char *name;
        enum http_field_id id;
    } rows[] = {
        {"Host", HTTP_HOST},
        {"Connection", HTTP_CONNECTION},
        {"Content-Length", HTTP_CONTENT_LENGTH},
        {"Transfer-Encoding", HTTP_TRANSFER_ENCODING},
        {"TE", HTTP_TE},
        {"Trailer", HTTP_TRAILER},
        {"Upgrade", HTTP_UPGRADE},
        {"Keep-Alive", HTTP_KEEP_ALIVE},
        {"Proxy-Connection", HTTP_PROXY_CONNECTION},
        {"HTTP2-Settings", HTTP_HTTP2_SETTINGS},
        {"Expect", HTTP_EXPECT},
        {"Cookie", HTTP_COOKIE},
        {"Set-Cookie", HTTP_SET_COOKIE},
        {"Authorization", HTTP_AUTHORIZATION},
        {"User-Agent", HTTP_USER_AGENT},
        {"Referer", HTTP_REFERER},
        {"Forwarded", HTTP_FORWARDED},
        {"X-Forwarded-For", HTTP_X_FORWARDED_FOR},
        {"X-Forwarded-Proto", HTTP_X_FORWARDED_PROTO},
        {"X-Forwarded-Host", HTTP_X_FORWARDED_HOST},
        {"X-Forwarded-Port", HTTP_X_FORWARDED_PORT},
        {"X-Request-Id", HTTP_X_REQUEST_ID},
        {"Traceparent", HTTP_TRACEPARENT},
        {"Date", HTTP_DATE},
        {"Server", HTTP_SERVER},
        {"Content-Type", HTTP_CONTENT_TYPE},
        {"Content-Encoding", HTTP_CONTENT_ENCODING},
        {"Accept-Encoding", HTTP_ACCEPT_ENCODING},
        {"Cache-Control", HTTP_CACHE_CONTROL},
        {"Vary", HTTP_VARY},
        {"ETag", HTTP_ETAG},
        {"Location", HTTP_LOCATION},
        {"Range", HTTP_RANGE},
        {"If-Modified-Since", HTTP_IF_MODIFIED_SINCE},
        {"If-None-Match", HTTP_IF_NONE_MATCH},
        {"Priority", HTTP_PRIORITY},
    };
    (void)state;
    assert_int_equal(ARRAY_LEN(rows) + 2, HTTP_FIELD_IDS);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = strlen(rows[i].name);
        char *name = malloc(len); /* of just its size */
        for (size_t k = 0; k < len; k++)
            name[k] = (char)(rows[i].name[k] | (rows[i].name[k] >= 'A' ? 0x20 : 0));
        if (http_field_id_of(name, len) != rows[i].id)
            fail_msg("%s: wrong id, or its slot is another's", rows[i].name);
        assert_int_equal(http_field_id_of(rows[i].name, len), rows[i].id);
        for (size_t k = 0; k < len; k++) { /* any other byte makes another name */
            char was = name[k];
            for (int c = 0; c < 256; c++) {
                if (((char)c | 0x20) == was && was >= 'a' && was <= 'z' &&
                    (c == was || c == was - 32))
                    continue;
                if (c == (unsigned char)was)
                    continue;
                name[k] = (char)c;
                assert_int_not_equal(http_field_id_of(name, len), rows[i].id);
            }
            name[k] = was;
        }
        free(name);
    }
    assert_int_equal(http_field_id_of("", 0), HTTP_OTHER);
    assert_int_equal(http_field_id_of("x", 1), HTTP_OTHER);
    assert_int_equal(http_field_id_of("Sec-Fetch-Site", 14), HTTP_OTHER);
}

static void methods_are_known_by_their_exact_name(void **state)
{
    (void)state;
    assert_int_equal(http_method_of(STR("GET")), HTTP_GET);
    assert_int_equal(http_method_of(STR("PATCH")), HTTP_PATCH);
    assert_int_equal(http_method_of(STR("get")), HTTP_OTHER_METHOD);
    assert_int_equal(http_method_of(STR("")), HTTP_OTHER_METHOD);
    assert_true(http_method_is_safe(HTTP_HEAD) && http_method_is_idempotent(HTTP_HEAD));
    assert_true(!http_method_is_safe(HTTP_PUT) && http_method_is_idempotent(HTTP_PUT));
    assert_true(!http_method_is_safe(HTTP_POST) && !http_method_is_idempotent(HTTP_POST));
    assert_false(http_method_is_idempotent(HTTP_OTHER_METHOD));
}

static void fields_are_found_by_name_in_any_case(void **state)
{
    struct fixture *f = *state;
    add(f, "A", "1");
    add(f, "Cookie", "2");
    add(f, "b", "3");
    add(f, "a", "4");
    struct http_field *first = http_find_name(&f->head, STR("a"), NULL);
    struct http_field *second = http_find_name(&f->head, STR("A"), first);
    assert_true(first == &f->head.fields[0] && second == &f->head.fields[3]);
    assert_null(http_find_name(&f->head, STR("A"), second));
    assert_true(http_find_name(&f->head, STR("cOOkie"), NULL) == &f->head.fields[1]);
    http_drop_name(&f->head, STR("A"));
    http_drop_id(&f->head, HTTP_COOKIE);
    assert_string_equal(left(f), "b=3;");
}

static void setting_replaces_all_of_that_name_even_by_its_own_text(void **state)
{
    struct fixture *f = *state;
    add(f, "X", "old");
    add(f, "Y", "y");
    add(f, "x", "other");
    struct str own = http_value(&f->head, &f->head.fields[0]);
    assert_int_equal(http_head_set(&f->head, &f->arena, STR("X"), own), 0);
    assert_string_equal(left(f), "Y=y;X=old;");
}

static void additions_move_the_head_and_keep_what_it_holds(void **state)
{
    struct fixture *f = *state;
    add(f, "First", "value");
    for (int i = 0; i < 300; i++) {
        struct str own = http_value(&f->head, &f->head.fields[0]);
        assert_int_equal(http_head_add(&f->head, &f->arena, STR("Next"), own), 0);
    }
    assert_int_equal(f->head.n_fields, 301);
    for (int i = 0; i < 301; i++)
        assert_true(str_eq(http_value(&f->head, &f->head.fields[i]), STR("value")));
}

static void a_head_has_at_most_65535_bytes(void **state)
{
    struct fixture *f = *state;
    static char big[HTTP_HEAD_BYTES_MAX];
    struct http_slice s;
    memset(big, 'x', sizeof(big));
    add(f, "A", "b");
    assert_int_equal(http_head_text(&f->head, &f->arena, (struct str){big, 65533}, &s), 0);
    assert_int_equal(f->head.used, 65535);
    assert_int_equal(http_head_add(&f->head, &f->arena, STR(""), STR("c")), -EMSGSIZE);
    assert_int_equal(http_head_add(&f->head, &f->arena, (struct str){big, 256}, STR("")),
                     -EMSGSIZE);
    assert_string_equal(left(f), "A=b;");
}

static void a_copy_is_its_own_and_has_room(void **state)
{
    struct fixture *f = *state;
    struct http_head copy;
    add(f, "A", "b");
    assert_int_equal(http_head_copy(&f->head, &f->arena, &copy), 0);
    char *mem = copy.mem;
    assert_int_equal(http_head_add(&copy, &f->arena, STR("X-Forwarded-For"), STR("192.0.2.1")), 0);
    assert_ptr_equal(copy.mem, mem);
    f->head.mem[0] = 'Z';
    assert_true(str_eq(http_name(&copy, &copy.fields[0]), STR("A")));
    assert_int_equal(f->head.n_fields, 1);
}

static void fields_of_one_hop_are_dropped_with_what_connection_names(void **state)
{
    struct fixture *f = *state;
    add(f, "Foo", "1");
    add(f, "Host", "h");
    add(f, "Connection", "close, foo, Host, Cookie, Content-Type, content-x, trailer");
    add(f, "Cookie", "c");
    add(f, "Content-Type", "t");
    add(f, "Content-X", "x");
    add(f, "Content-Length", "5");
    add(f, "Keep-Alive", "timeout=5");
    add(f, "Proxy-Connection", "close");
    add(f, "TE", "trailers");
    add(f, "Trailer", "x");
    add(f, "Transfer-Encoding", "chunked");
    add(f, "HTTP2-Settings", "AAMA");
    add(f, "Upgrade", "websocket");
    add(f, "foo", "2");
    add(f, "Bar", "3");
    http_strip_hop_by_hop(&f->head, false);
    assert_string_equal(left(f), "Host=h;Cookie=c;Content-Type=t;Content-X=x;Bar=3;");
}

static void an_upgrade_stays_where_it_is_wanted_but_never_h2c(void **state)
{
    static const struct {
        const char *value, *want;
    } rows[] = {{"websocket", "websocket"},
                {"h2c", ""},
                {"H2C , websocket", "websocket"},
                {"a,h2c, b , h2c", "a,b"}};
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        f->head.n_fields = 0;
        f->head.upgrade = true;
        add(f, "Upgrade", rows[i].value);
        http_strip_hop_by_hop(&f->head, true);
        struct http_field *field = http_find(&f->head, HTTP_UPGRADE, NULL);
        assert_int_equal(field != NULL, rows[i].want[0] != '\0');
        assert_int_equal(f->head.upgrade, field != NULL);
        if (field != NULL)
            assert_true(str_eq_cstr(http_value(&f->head, field), rows[i].want));
    }
}

static void lists_are_walked_past_empty_elements_and_quoted_commas(void **state)
{
    struct str rest = STR(" , a ,,\"b,\\\",c\" d,e\t,"), element;
    static const char *const want[] = {"a", "\"b,\\\",c\" d", "e"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_true(http_list_next(&rest, &element));
        assert_true(str_eq_cstr(element, want[i]));
    }
    assert_false(http_list_next(&rest, &element));
    assert_true(http_list_has(STR("a, Bc"), STR("bC")));
    assert_false(http_list_has(STR("a, Bcd"), STR("bc")));
}

static void cookies_are_found_by_exact_name(void **state)
{
    struct str cookies = STR("ab=0; a=1;A=2 ;c; d=\"x=y\""), value = {0};
    (void)state;
    assert_true(http_cookie_find(cookies, STR("a"), &value));
    assert_true(str_eq_cstr(value, "1"));
    assert_true(http_cookie_find(cookies, STR("A"), &value));
    assert_true(str_eq_cstr(value, "2"));
    assert_true(http_cookie_find(cookies, STR("d"), &value));
    assert_true(str_eq_cstr(value, "\"x=y\""));
    assert_false(http_cookie_find(cookies, STR("b"), &value));
    assert_false(http_cookie_find(cookies, STR("c"), &value));
}

static void tokens_and_values_are_told(void **state)
{
    (void)state;
    assert_true(http_is_token(STR("X-a_1!")));
    assert_false(http_is_token(STR("")));
    assert_false(http_is_token(STR("a b")));
    assert_false(http_is_token(STR("a:")));
    assert_true(http_is_field_value(STR("")));
    assert_true(http_is_field_value(STR("a\t b\xff")));
    assert_false(http_is_field_value(STR("a\r\nb")));
    assert_false(http_is_field_value(STR("\0")));
    assert_false(http_is_field_value(STR("\x7f")));
}

static void statuses_have_their_phrases(void **state)
{
    (void)state;
    assert_string_equal(http_reason(404), "Not Found");
    assert_string_equal(http_reason(299), "");
    assert_string_equal(http_reason(0), "");
    assert_string_equal(http_reason(100000), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_known_name_has_its_id_in_any_case),
        cmocka_unit_test(methods_are_known_by_their_exact_name),
        cmocka_unit_test_setup_teardown(fields_are_found_by_name_in_any_case, setup, teardown),
        cmocka_unit_test_setup_teardown(setting_replaces_all_of_that_name_even_by_its_own_text,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(additions_move_the_head_and_keep_what_it_holds, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_head_has_at_most_65535_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_is_its_own_and_has_room, setup, teardown),
        cmocka_unit_test_setup_teardown(fields_of_one_hop_are_dropped_with_what_connection_names,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_upgrade_stays_where_it_is_wanted_but_never_h2c, setup,
                                        teardown),
        cmocka_unit_test(lists_are_walked_past_empty_elements_and_quoted_commas),
        cmocka_unit_test(cookies_are_found_by_exact_name),
        cmocka_unit_test(tokens_and_values_are_told),
        cmocka_unit_test(statuses_have_their_phrases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
