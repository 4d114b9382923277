/* test_client_hello.c - what a ClientHello asks for, however its bytes arrive. */
#include "lb/net/client_hello.h"
#include "tests/support/client_hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lb/base/assert.h"

static enum hello_result feed(struct client_hello *h, const struct hello_bytes *b)
{
    client_hello_init(h);
    return client_hello_feed(h, b->p, b->len);
}

/* The usual: one record. */
static enum hello_result parse(struct client_hello *h, const struct hello_bytes *extensions)
{
    struct hello_bytes message = {.len = 0}, records = {.len = 0};

    hello_message(&message, extensions);
    hello_records(&records, &message, 16384);
    return feed(h, &records);
}

static enum hello_result parse_name(struct client_hello *h, const char *name)
{
    struct hello_bytes e = {.len = 0};

    hello_name(&e, name);
    return parse(h, &e);
}

static void the_name_and_the_protocols_are_told(void **state)
{
    struct hello_bytes e = {.len = 0};
    struct client_hello h;

    (void)state;
    hello_ext(&e, 43, "\x02\x03\x04", 3);
    hello_name(&e, "shop.example.com");
    hello_ext(&e, 16, "\x00\x0c\x02h2\x08http/1.1", 14);
    hello_ext(&e, 23, "", 0);
    assert_int_equal(parse(&h, &e), HELLO_DONE);
    assert_string_equal(h.name, "shop.example.com");
    assert_int_equal(h.version, 0x0303);
    assert_int_equal(h.alpn_len, 12);
    assert_memory_equal(h.alpn, "\x02h2\x08http/1.1", 12);
}

static void names_are_compared_in_lower_case_and_without_the_last_dot(void **state)
{
    struct client_hello h;

    (void)state;
    assert_int_equal(parse_name(&h, "Shop.EXAMPLE.com."), HELLO_DONE);
    assert_string_equal(h.name, "shop.example.com");
    assert_int_equal(client_hello_name(&h).len, 16);
}

static void a_hello_may_have_no_name_and_no_extensions(void **state)
{
    struct hello_bytes e = {.len = 0};
    struct client_hello h;

    (void)state;
    assert_int_equal(parse(&h, NULL), HELLO_DONE);
    assert_false(h.has_name);
    assert_int_equal(parse(&h, &e), HELLO_DONE);
    assert_false(h.has_name);
    hello_ext(&e, 10, "\x00\x02\x00\x1d", 4);
    assert_int_equal(parse(&h, &e), HELLO_DONE);
    assert_false(h.has_name);
    assert_int_equal(h.name_len, 0);
}

static void make(struct hello_bytes *out, size_t each)
{
    struct hello_bytes e = {.len = 0}, message = {.len = 0};

    hello_ext(&e, 16, "\x00\x03\x02h2", 5);
    hello_name(&e, "a.example.com");
    hello_message(&message, &e);
    out->len = 0;
    hello_records(out, &message, each);
}

/* Every part is a piece of memory of its own, so that a read beyond it is seen. */
static enum hello_result feed_part(struct client_hello *h, const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);

    memcpy(copy, p, n);
    enum hello_result r = client_hello_feed(h, copy, n);
    free(copy);
    return r;
}

static void a_hello_may_come_in_any_two_parts(void **state)
{
    static const size_t sizes[] = {1, 2, 3, 7, 50, 16384};
    struct hello_bytes b;
    struct client_hello h;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        make(&b, sizes[i]);
        for (size_t at = 0; at < b.len; at++) {
            client_hello_init(&h);
            assert_int_equal(feed_part(&h, b.p, at), HELLO_MORE);
            assert_int_equal(feed_part(&h, b.p + at, b.len - at), HELLO_DONE);
            assert_string_equal(h.name, "a.example.com");
            assert_memory_equal(h.alpn, "\x02h2", 3);
        }
    }
}

static void a_hello_may_come_byte_by_byte(void **state)
{
    struct hello_bytes b;
    struct client_hello h;

    (void)state;
    make(&b, 20);
    client_hello_init(&h);
    for (size_t at = 0; at < b.len; at++)
        assert_int_equal(feed_part(&h, b.p + at, 1), at + 1 < b.len ? HELLO_MORE : HELLO_DONE);
    assert_string_equal(h.name, "a.example.com");
}

static void what_follows_the_hello_does_not_matter(void **state)
{
    struct hello_bytes b;
    struct client_hello h;

    (void)state;
    make(&b, 16384);
    hello_add(&b, "anything", 8);
    assert_int_equal(feed(&h, &b), HELLO_DONE);
    assert_int_equal(client_hello_feed(&h, "more", 4), HELLO_DONE);
}

static void a_big_key_share_is_no_obstacle(void **state)
{
    static uint8_t share[9000];
    struct hello_bytes e = {.len = 0};
    struct client_hello h;

    (void)state;
    hello_ext(&e, 51, share, sizeof(share));
    hello_name(&e, "pq.example.com");
    assert_int_equal(parse(&h, &e), HELLO_DONE);
    assert_string_equal(h.name, "pq.example.com");
}

static void what_is_no_tls_is_told_from_its_first_two_bytes(void **state)
{
    static const char *const others[] = {"GET / HTTP/1.1\r\n", "SSH-2.0-x", "\x80\x2e\x01\x03\x01",
                                         "\x16\x02\x00",       "\x15\x03",  "\x17\x03"};
    struct client_hello h;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        client_hello_init(&h);
        assert_int_equal(client_hello_feed(&h, others[i], strlen(others[i])), HELLO_NOT_TLS);
        assert_int_equal(client_hello_alert(HELLO_NOT_TLS), 0);
    }
    client_hello_init(&h);
    assert_int_equal(client_hello_feed(&h, "\x16", 1), HELLO_MORE);
    assert_int_equal(client_hello_feed(&h, "\x10", 1), HELLO_NOT_TLS);
}

static void records_of_other_kinds_and_sizes_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\x16\x03\x01\x00\x00", 5},                     /* empty */
        {"\x16\x03\x01\x40\x01", 5},                     /* longer than a record may be */
        {"\x16\x03\x01\x00\x01\x01\x15\x03\x01", 7},     /* an alert in between */
        {"\x16\x03\x01\x00\x01\x01\x16\x04\x01", 8},     /* another version in between */
        {"\x16\x03\x01\x00\x01\x01\x14\x03\x03\x00", 7}, /* change_cipher_spec */
    };
    struct client_hello h;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        client_hello_init(&h);
        assert_int_equal(client_hello_feed(&h, bad[i].bytes, bad[i].len), HELLO_BAD_RECORD);
    }
}

static void another_handshake_message_is_refused(void **state)
{
    struct client_hello h;

    (void)state;
    client_hello_init(&h);
    assert_int_equal(client_hello_feed(&h, "\x16\x03\x03\x00\x04\x02\x00\x00\x00", 9),
                     HELLO_BAD_MESSAGE);
}

/* Whatever length byte is changed: the message does not add up any more. */
static void lengths_that_do_not_add_up_are_refused(void **state)
{
    struct hello_bytes e = {.len = 0}, message = {.len = 0};
    struct client_hello h;
    /* offsets in the message: session, ciphers, extensions, the list of names, the name */
    static const size_t at[] = {4 + 34, 4 + 34 + 5 + 1, 4 + 34 + 5 + 6 + 2 + 1};

    (void)state;
    hello_name(&e, "a.example.com");
    hello_message(&message, &e);
    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        for (int by = -1; by <= 1; by += 2) {
            struct hello_bytes bad = message, records = {.len = 0};
            bad.p[at[i]] = (uint8_t)(bad.p[at[i]] + by);
            hello_records(&records, &bad, 16384);
            assert_int_not_equal(feed(&h, &records), HELLO_DONE);
            assert_int_not_equal(h.result, HELLO_MORE);
        }
    }
}

static void a_list_must_fill_its_extension(void **state)
{
    static const struct {
        unsigned type;
        const char *bytes;
        size_t len;
    } bad[] = {
        {0, "", 0},
        {0, "\x00", 1},
        {0, "\x00\x00", 2},
        {0, "\x00\x05\x00\x00\x01", 5},
        {0, "\x00\x04\x00\x00\x01x ", 7},
        {0, "\x00\x04\x00\x00\x02x", 6},
        {0, "\x00\x03\x00\x00\x09x", 6},
        {0, "\x00\x05\x00\x00\x01x\x00", 7},
        {16, "", 0},
        {16, "\x00\x00", 2},
        {16, "\x00\x01\x00", 3},
        {16, "\x00\x02\x02h", 4},
        {16, "\x00\x04\x02h2", 5},
        {16, "\x00\x02\x01h2", 5},
    };
    struct client_hello h;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct hello_bytes e = {.len = 0};
        hello_ext(&e, bad[i].type, bad[i].bytes, bad[i].len);
        assert_int_equal(parse(&h, &e), HELLO_BAD_LENGTH);
    }
}

static void two_names_are_refused(void **state)
{
    struct hello_bytes e = {.len = 0}, two = {.len = 0};
    struct client_hello h;

    (void)state;
    hello_name(&e, "a.example.com");
    hello_name(&e, "b.example.com");
    assert_int_equal(parse(&h, &e), HELLO_BAD_EXTENSION);
    hello_ext(&two, 0, "\x00\x08\x00\x00\x01x\x00\x00\x01y", 10);
    assert_int_equal(parse(&h, &two), HELLO_BAD_NAME);
}

static void names_of_other_types_are_passed_over(void **state)
{
    struct hello_bytes e = {.len = 0}, only = {.len = 0};
    struct client_hello h;

    (void)state;
    hello_ext(&e, 0, "\x00\x09\x07\x00\x02!!\x00\x00\x01y", 11);
    assert_int_equal(parse(&h, &e), HELLO_DONE);
    assert_string_equal(h.name, "y");
    hello_ext(&only, 0, "\x00\x05\x07\x00\x02!!", 7);
    assert_int_equal(parse(&h, &only), HELLO_BAD_NAME);
}

static void what_is_no_host_name_is_refused(void **state)
{
    static const char *const bad[] = {
        "",     ".",    "a..b",  ".a", "a b", "a/b", "::1", "a\n", "a..", "*.a", "\xc3\xa4.example",
        "a:80", "a\tb", "a\x7f", "%61"};
    static const char *const good[] = {"a", "a-b.c_d.e1", "1.2.3.4", "xn--4ca.example"};
    char label[80] = "", name[300] = "";
    struct client_hello h;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(parse_name(&h, bad[i]), HELLO_BAD_NAME);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(parse_name(&h, good[i]), HELLO_DONE);
        assert_string_equal(h.name, good[i]);
    }
    memset(label, 'a', 63);
    assert_int_equal(parse_name(&h, label), HELLO_DONE);
    label[63] = 'a';
    assert_int_equal(parse_name(&h, label), HELLO_BAD_NAME);
    for (int i = 0; i < 253; i++)
        name[i] = i % 2 ? '.' : 'b';
    assert_int_equal(parse_name(&h, name), HELLO_DONE);
    strcat(name, ".");
    assert_int_equal(parse_name(&h, name), HELLO_DONE);
    strcpy(name + 253, ".b");
    assert_int_equal(parse_name(&h, name), HELLO_BAD_NAME);
}

static void a_nul_in_a_name_is_refused(void **state)
{
    struct hello_bytes e = {.len = 0};
    struct client_hello h;

    (void)state;
    hello_ext(&e, 0, "\x00\x06\x00\x00\x03x\0y", 8);
    assert_int_equal(parse(&h, &e), HELLO_BAD_NAME);
}

static void protocols_that_do_not_fit_are_left_out_whole(void **state)
{
    struct hello_bytes list = {.len = 0}, ext = {.len = 0}, e = {.len = 0};
    struct client_hello h;

    (void)state;
    for (int i = 0; i < 60; i++)
        hello_add(&list, "\x04proX", 5);
    hello_u16(&ext, list.len);
    hello_add(&ext, list.p, list.len);
    hello_ext(&e, 16, ext.p, ext.len);
    assert_int_equal(parse(&h, &e), HELLO_DONE);
    assert_int_equal(h.alpn_len, CLIENT_HELLO_ALPN_MAX / 5 * 5);
    assert_memory_equal(h.alpn, list.p, h.alpn_len);
}

static void a_hello_that_is_too_long_is_refused_before_it_has_come(void **state)
{
    static uint8_t filler[16000];
    struct hello_bytes e = {.len = 0}, message = {.len = 0}, records = {.len = 0};
    struct client_hello h;

    (void)state;
    client_hello_init(&h);
    assert_int_equal(client_hello_feed(&h, "\x16\x03\x01\x40\x00\x01\x00\x40\x01", 9),
                     HELLO_TOO_LONG);
    /* ... also when it is all record headers */
    hello_ext(&e, 21, filler, 8000);
    hello_message(&message, &e);
    for (size_t at = 0; at < message.len && records.len < CLIENT_HELLO_MAX; at++)
        hello_add(&records, (uint8_t[]){22, 3, 1, 0, 1, message.p[at]}, 6);
    assert_int_equal(feed(&h, &records), HELLO_TOO_LONG);
    assert_true(h.eaten <= CLIENT_HELLO_MAX);
}

static void every_refusal_has_words_and_an_alert(void **state)
{
    uint8_t alert[TLS_ALERT_BYTES];

    (void)state;
    for (int r = HELLO_MORE; r <= HELLO_TOO_LONG; r++)
        assert_string_not_equal(client_hello_text((enum hello_result)r), "?");
    for (int r = HELLO_BAD_RECORD; r <= HELLO_TOO_LONG; r++)
        assert_int_not_equal(client_hello_alert((enum hello_result)r), 0);
    assert_int_equal(tls_alert_write(TLS_ALERT_UNRECOGNIZED_NAME, alert), 7);
    assert_memory_equal(alert, "\x15\x03\x03\x00\x02\x02\x70", 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_and_the_protocols_are_told),
        cmocka_unit_test(names_are_compared_in_lower_case_and_without_the_last_dot),
        cmocka_unit_test(a_hello_may_have_no_name_and_no_extensions),
        cmocka_unit_test(a_hello_may_come_in_any_two_parts),
        cmocka_unit_test(a_hello_may_come_byte_by_byte),
        cmocka_unit_test(what_follows_the_hello_does_not_matter),
        cmocka_unit_test(a_big_key_share_is_no_obstacle),
        cmocka_unit_test(what_is_no_tls_is_told_from_its_first_two_bytes),
        cmocka_unit_test(records_of_other_kinds_and_sizes_are_refused),
        cmocka_unit_test(another_handshake_message_is_refused),
        cmocka_unit_test(lengths_that_do_not_add_up_are_refused),
        cmocka_unit_test(a_list_must_fill_its_extension),
        cmocka_unit_test(two_names_are_refused),
        cmocka_unit_test(names_of_other_types_are_passed_over),
        cmocka_unit_test(what_is_no_host_name_is_refused),
        cmocka_unit_test(a_nul_in_a_name_is_refused),
        cmocka_unit_test(protocols_that_do_not_fit_are_left_out_whole),
        cmocka_unit_test(a_hello_that_is_too_long_is_refused_before_it_has_come),
        cmocka_unit_test(every_refusal_has_words_and_an_alert),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
