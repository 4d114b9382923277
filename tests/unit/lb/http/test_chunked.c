/* test_chunked.c - the chunked coding: verdicts and payload, whole, in two parts, byte by byte. */
#include "lb/http/chunked.h"

#include "lb/base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct decoded {
    enum chunked_result result;
    size_t used, len;
    char payload[70000];
};

/* Decodes `n` bytes more of the text, from memory of just that size. */
static void feed(struct chunked *c, struct decoded *d, const char *text, size_t n)
{
    struct chunked_out out;
    uint8_t *copy = malloc(n > 0 ? n : 1);
    memcpy(copy, text, n);
    d->result = chunked_decode(c, copy, (uint32_t)n, &out);
    assert_true(out.used <= n);
    assert_true(out.payload_at + out.payload_len <= out.used);
    memcpy(d->payload + d->len, copy + out.payload_at, out.payload_len);
    d->len += out.payload_len;
    d->used += out.used;
    free(copy);
}

static void decode_in_parts(struct decoded *d, const char *text, size_t len, size_t first,
                            size_t others)
{
    struct chunked c = {0};
    size_t at = 0, n = first;
    d->used = d->len = 0;
    do {
        n = n < len - at ? n : len - at;
        feed(&c, d, text + at, n);
        at += n;
        n = others;
    } while (at < len && d->result == CHUNKED_MORE);
}

/* The same outcome for each way of giving the bytes. */
static void decode(struct decoded *d, const char *text, size_t len)
{
    static struct decoded part;
    decode_in_parts(d, text, len, len, len);
    for (size_t first = 0; first <= len; first++) {
        decode_in_parts(&part, text, len, first, first == 0 ? 1 : len);
        assert_int_equal(part.result, d->result);
        assert_int_equal(part.used, d->used);
        assert_int_equal(part.len, d->len);
        assert_memory_equal(part.payload, d->payload, d->len);
    }
}

static void payloads_come_out_as_they_went_in(void **state)
{
    static const struct {
        const char *text, *payload;
        size_t behind; /* bytes behind the last chunk's line */
    } rows[] = {
        {"0\r\n\r\n", "", 2},
        {"5\r\nhello\r\n0\r\n\r\n", "hello", 2},
        {"5\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\nGET", "hello world", 11},
        {"00000000000000aF\r\n"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "\r\n000\r\n",
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         0},
        {"2;a\r\nxy\r\n0;a=b;c=\"d;\\\"\"\r\n", "xy", 0},
        {"2 ; a = b ; c\r\n\r\n\r\n0\r\n", "\r\n", 0},
    };
    static struct decoded d;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = strlen(rows[i].text);
        decode(&d, rows[i].text, len);
        if (d.result != CHUNKED_TRAILERS)
            fail_msg("%s: %s", rows[i].text, chunked_result_code(d.result));
        assert_int_equal(d.used, len - rows[i].behind);
        assert_int_equal(d.len, strlen(rows[i].payload));
        assert_memory_equal(d.payload, rows[i].payload, d.len);
    }
}

static void what_is_malformed_is_refused(void **state)
{
    static const struct {
        const char *text;
        enum chunked_result want;
    } rows[] = {
        {"\r\n", CHUNKED_BAD_SIZE},
        {"x\r\n", CHUNKED_BAD_SIZE},
        {"-1\r\n", CHUNKED_BAD_SIZE},
        {"+1\r\n", CHUNKED_BAD_SIZE},
        {"0x5\r\n", CHUNKED_BAD_SIZE},
        {" 5\r\n", CHUNKED_BAD_SIZE},
        {"5g\r\n", CHUNKED_BAD_SIZE},
        {"5\n", CHUNKED_BAD_SIZE},
        {"5\rx", CHUNKED_BAD_SIZE},
        {"5_\r\n", CHUNKED_BAD_SIZE},
        {";a=b\r\n", CHUNKED_BAD_SIZE},
        {"00000000000000005\r\n", CHUNKED_BAD_SIZE},
        {"1000000000000001\r\n", CHUNKED_TOO_LARGE},
        {"ffffffffffffffff\r\n", CHUNKED_TOO_LARGE},
        {"5 \r\n", CHUNKED_BAD_EXTENSION},
        {"5 5\r\n", CHUNKED_BAD_EXTENSION},
        {"5;\r\n", CHUNKED_BAD_EXTENSION},
        {"5;a;\r\n", CHUNKED_BAD_EXTENSION},
        {"5;a \r\n", CHUNKED_BAD_EXTENSION},
        {"5;a=\r\n", CHUNKED_BAD_EXTENSION},
        {"5;=b\r\n", CHUNKED_BAD_EXTENSION},
        {"5;a=b c\r\n", CHUNKED_BAD_EXTENSION},
        {"5;a\n", CHUNKED_BAD_EXTENSION},
        {"5;a=b\n", CHUNKED_BAD_EXTENSION},
        {"5;a=\"b\r\n\"\r\n", CHUNKED_BAD_EXTENSION},
        {"5;a=\"b\n\"\r\n", CHUNKED_BAD_EXTENSION},
        {"5;a=\"b\\\r\"\r\n", CHUNKED_BAD_EXTENSION},
        {"5;a=\"b\"c\r\n", CHUNKED_BAD_EXTENSION},
        {"5;a\x01\r\n", CHUNKED_BAD_EXTENSION},
        {"5;a\rx", CHUNKED_BAD_SIZE},
        {"1\r\nab\r\n", CHUNKED_BAD_END},
        {"1\r\na\n", CHUNKED_BAD_END},
        {"1\r\na\rx", CHUNKED_BAD_END},
        {"1\r\na0\r\n", CHUNKED_BAD_END},
    };
    static struct decoded d;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        decode(&d, rows[i].text, strlen(rows[i].text));
        if (d.result != rows[i].want)
            fail_msg("%s: %s, expected %s", rows[i].text, chunked_result_code(d.result),
                     chunked_result_code(rows[i].want));
    }
}

static void a_nul_is_refused(void **state)
{
    static struct decoded d;
    (void)state;
    decode(&d, "5\0\r\n", 4);
    assert_int_equal(d.result, CHUNKED_BAD_SIZE);
    decode(&d, "5;a\0\r\n", 6);
    assert_int_equal(d.result, CHUNKED_BAD_EXTENSION);
}

static void the_largest_chunk_is_2_to_the_60(void **state)
{
    static struct decoded d;
    struct chunked c = {0};
    (void)state;
    d.used = d.len = 0;
    feed(&c, &d, "1000000000000000\r\nabc", 21);
    assert_int_equal(d.result, CHUNKED_MORE);
    assert_int_equal(d.len, 3);
    assert_true(c.left == (UINT64_C(1) << 60) - 3);
}

static void an_extension_has_at_most_256_bytes(void **state)
{
    static struct decoded d;
    (void)state;
    for (int len = 254; len <= 258; len++) { /* with its semicolon */
        char text[400], name[300];
        memset(name, 'n', sizeof(name));
        int n = snprintf(text, sizeof(text), "0;%.*s\r\n", len - 1, name);
        decode_in_parts(&d, text, (size_t)n, (size_t)n, (size_t)n);
        assert_int_equal(d.result, len <= 256 ? CHUNKED_TRAILERS : CHUNKED_EXTENSION_TOO_LONG);
    }
}

static void the_extensions_of_a_body_have_at_most_16_kib(void **state)
{
    static struct decoded d;
    struct chunked c = {0};
    char line[300], name[300];
    int chunks = 0;
    (void)state;
    memset(name, 'n', sizeof(name));
    int n = snprintf(line, sizeof(line), "1;%.*s\r\nx\r\n", 127, name);
    d.used = d.len = 0;
    do {
        feed(&c, &d, line, (size_t)n);
    } while (d.result == CHUNKED_MORE && ++chunks < 1000);
    assert_int_equal(d.result, CHUNKED_EXTENSION_TOO_LONG);
    assert_int_equal(chunks, 16384 / 128);
}

static void what_stood_before_a_refusal_is_given_out(void **state)
{
    static struct decoded d;
    (void)state;
    decode(&d, "3\r\nabc\r\n2\r\ndeX", 14);
    assert_int_equal(d.result, CHUNKED_BAD_END);
    assert_int_equal(d.len, 5);
    assert_memory_equal(d.payload, "abcde", 5);
    assert_int_equal(d.used, 13); /* the refused byte is not */
}

static void each_verdict_has_code_and_words(void **state)
{
    (void)state;
    for (enum chunked_result r = CHUNKED_MORE; r <= CHUNKED_BAD_END; r++) {
        assert_true(strlen(chunked_result_code(r)) > 3);
        assert_true(strlen(chunked_result_text(r)) > 8);
    }
}

static void chunk_heads_are_hexadecimal_and_decode_again(void **state)
{
    static const struct {
        uint64_t len;
        const char *want;
    } rows[] = {{1, "1\r\n"},
                {15, "f\r\n"},
                {16, "10\r\n"},
                {255, "ff\r\n"},
                {4096, "1000\r\n"},
                {0xabcdef, "abcdef\r\n"},
                {UINT64_C(1) << 60, "1000000000000000\r\n"},
                {UINT64_MAX, "ffffffffffffffff\r\n"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[CHUNK_HEAD_MAX];
        size_t n = chunk_head(rows[i].len, out);
        assert_int_equal(n, strlen(rows[i].want));
        assert_memory_equal(out, rows[i].want, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payloads_come_out_as_they_went_in),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(a_nul_is_refused),
        cmocka_unit_test(the_largest_chunk_is_2_to_the_60),
        cmocka_unit_test(an_extension_has_at_most_256_bytes),
        cmocka_unit_test(the_extensions_of_a_body_have_at_most_16_kib),
        cmocka_unit_test(what_stood_before_a_refusal_is_given_out),
        cmocka_unit_test(each_verdict_has_code_and_words),
        cmocka_unit_test(chunk_heads_are_hexadecimal_and_decode_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
