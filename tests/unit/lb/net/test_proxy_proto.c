/* test_proxy_proto.c - PROXY headers, both versions: what is accepted, what is refused and as what,
 * and that it does not matter how the bytes arrive. The fuzz target of that name goes further. */
#include "lb/base/limits.h"
#include "lb/net/proxy_proto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct addr literal(const char *text)
{
    struct addr_spec spec;
    const char *error = NULL;
    if (addr_parse(str_of(text), false, true, &spec, &error) != 0)
        fail_msg("%s: %s", text, error);
    return spec.addr;
}

/* Parses, and that each shorter part gives PROXY_MORE or the same verdict. */
static enum proxy_result parse(const void *data, size_t len, struct proxy_header *out)
{
    struct proxy_header h;
    enum proxy_result whole = proxy_parse(data, len, PROXY_ANY, out);
    bool decided = false;
    for (size_t n = 0; n < len; n++) {
        uint8_t *part = malloc(n + 1); /* a read beyond n - 1 is near the sanitizer's edge */
        memcpy(part + 1, data, n);
        enum proxy_result r = proxy_parse(part + 1, n, PROXY_ANY, &h);
        free(part);
        if (r == PROXY_MORE) {
            assert_false(decided);
            continue;
        }
        decided = true;
        assert_int_equal(r, whole);
    }
    return whole;
}

static enum proxy_result parse_text(const char *text, struct proxy_header *out)
{
    return parse(text, strlen(text), out);
}

static void expect(const struct proxy_header *h, const char *src, const char *dst)
{
    char buf[ADDR_TEXT_MAX];
    assert_false(h->local);
    assert_string_equal(addr_format(&h->src, buf), src);
    assert_string_equal(addr_format(&h->dst, buf), dst);
}

/* ---- version 1 ---- */

static void v1_gives_both_addresses(void **state)
{
    (void)state;
    struct proxy_header h;
    const char tcp4[] = "PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\nrest";
    assert_int_equal(parse_text(tcp4, &h), PROXY_DONE);
    expect(&h, "192.0.2.1:40000", "198.51.100.2:443");
    assert_int_equal(h.header_len, strlen(tcp4) - 4);
    assert_int_equal(parse_text("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", &h), PROXY_DONE);
    expect(&h, "[2001:db8::1]:0", "[::1]:65535");
}

static void v1_unknown_means_the_connections_own(void **state)
{
    (void)state;
    struct proxy_header h;
    assert_int_equal(parse_text("PROXY UNKNOWN\r\n", &h), PROXY_DONE);
    assert_true(h.local);
    assert_int_equal(h.header_len, 15);
    assert_int_equal(parse_text("PROXY UNKNOWN ffff::1 anything at all\r\n", &h), PROXY_DONE);
    assert_true(h.local);
}

static void v1_mistakes_are_refused(void **state)
{
    static const char *const addresses[] = {
        "PROXY TCP4 192.0.2.1 198.51.100.2 40000\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 40000 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 40000 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 40000 443 1\r\n",
        "PROXY TCP4 192.0.2.1  198.51.100.2 40000 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 40000 443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.2 40000 443\r\n",
        "PROXY TCP4 192.0.2 198.51.100.2 40000 443\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 0443 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 -1 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 a 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r \n",
        "PROXY TCP4 \r\n",
        "PROXY TCP4\r\n",
    };
    static const char *const families[] = {"PROXY \r\n", "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
                                           "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
                                           "PROXY UNKNOWNX\r\n", "PROXY  TCP4 1.2.3.4\r\n"};
    struct proxy_header h = {.header_len = 77};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        if (parse_text(addresses[i], &h) != PROXY_BAD_ADDRESS)
            fail_msg("%s", addresses[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        if (parse_text(families[i], &h) != PROXY_BAD_FAMILY)
            fail_msg("%s", families[i]);
    }
    assert_int_equal(h.header_len, 77); /* untouched */
}

static void v1_zero_bytes_hide_nothing(void **state)
{
    (void)state;
    struct proxy_header h;
    const char line[] = "PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n";
    assert_int_equal(parse(line, sizeof(line) - 1, &h), PROXY_BAD_ADDRESS);
}

static void v1_is_107_bytes_at_most(void **state)
{
    (void)state;
    struct proxy_header h;
    char line[200];
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    memcpy(line + 105, "\r\n", 2);
    assert_int_equal(parse(line, 107, &h), PROXY_DONE);
    assert_int_equal(h.header_len, 107);
    line[105] = 'x';
    memcpy(line + 106, "\r\n", 2);
    assert_int_equal(parse(line, 108, &h), PROXY_BAD_LENGTH);
    assert_int_equal(proxy_parse(line, 105, PROXY_ANY, &h), PROXY_MORE);
    assert_int_equal(proxy_parse(line, 106, PROXY_ANY, &h), PROXY_BAD_LENGTH);
}

/* ---- version 2 ---- */

struct v2 {
    uint8_t bytes[LIMIT_PROXY_V2_BYTES + 64];
    size_t len;
};

static void v2_begin(struct v2 *h, unsigned version_command, unsigned family)
{
    memset(h, 0, sizeof(*h));
    memcpy(h->bytes, "\r\n\r\n\0\r\nQUIT\n", 12);
    h->bytes[12] = (uint8_t)version_command;
    h->bytes[13] = (uint8_t)family;
    h->len = 16;
}

static void v2_add(struct v2 *h, const void *data, size_t len)
{
    if (len > 0)
        memcpy(h->bytes + h->len, data, len);
    h->len += len;
    h->bytes[14] = (uint8_t)((h->len - 16) >> 8);
    h->bytes[15] = (uint8_t)(h->len - 16);
}

static void v2_tlv(struct v2 *h, unsigned type, const void *value, size_t len)
{
    const uint8_t head[3] = {(uint8_t)type, (uint8_t)(len >> 8), (uint8_t)len};
    v2_add(h, head, 3);
    v2_add(h, value, len);
}

/* Bit by bit, unlike the code under test. */
static uint32_t slow_crc32c(const uint8_t *p, size_t len)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* Once everything is in: fills in the checksum whose four zero bytes are at `at`. */
static void v2_sign(struct v2 *h, size_t at)
{
    uint32_t crc = slow_crc32c(h->bytes, h->len);
    for (int i = 0; i < 4; i++)
        h->bytes[at + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
}

static const uint8_t inet4[12] = {192, 0, 2, 1, 198, 51, 100, 2, 0x9c, 0x40, 1, 0xbb};

static void v2_tcp4(struct v2 *h)
{
    v2_begin(h, 0x21, 0x11);
    v2_add(h, inet4, sizeof(inet4));
}

static void v2_gives_both_addresses(void **state)
{
    (void)state;
    struct proxy_header out;
    struct v2 h;
    uint8_t inet6[36] = {0x20, 1, 0xd, 0xb8, [15] = 1, [31] = 1, 0, 80, 1, 0};
    uint8_t paths[216] = "/run/client";
    memcpy(paths + 108, "\0abstract", 9);

    v2_tcp4(&h);
    assert_int_equal(parse(h.bytes, h.len + 5, &out), PROXY_DONE);
    assert_int_equal(out.header_len, 28);
    expect(&out, "192.0.2.1:40000", "198.51.100.2:443");
    h.bytes[13] = 0x12; /* datagrams have the same addresses */
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_DONE);
    expect(&out, "192.0.2.1:40000", "198.51.100.2:443");

    v2_begin(&h, 0x21, 0x21);
    v2_add(&h, inet6, sizeof(inet6));
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_DONE);
    expect(&out, "[2001:db8::1]:80", "[::1]:256");

    v2_begin(&h, 0x21, 0x31);
    v2_add(&h, paths, sizeof(paths));
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_DONE);
    expect(&out, "unix:/run/client", "unix:@abstract");
}

static void v2_local_and_unspecified_mean_the_connections_own(void **state)
{
    (void)state;
    struct proxy_header out;
    struct v2 h;
    v2_begin(&h, 0x20, 0x00);
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_DONE);
    assert_true(out.local);
    assert_int_equal(out.header_len, 16);
    v2_begin(&h, 0x20, 0x11); /* what a LOCAL header holds is skipped, even rubbish */
    v2_add(&h, "rubbish", 7);
    assert_int_equal(parse(h.bytes, h.len + 3, &out), PROXY_DONE);
    assert_true(out.local);
    assert_int_equal(out.header_len, 23);
    v2_begin(&h, 0x21, 0x00);
    v2_add(&h, "xx", 2);
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_DONE);
    assert_true(out.local);
    assert_int_equal(out.header_len, 18);
}

static void v2_unknown_versions_and_commands_are_refused(void **state)
{
    static const unsigned bad[] = {0x01, 0x11, 0x31, 0xf1, 0x22, 0x2f};
    struct proxy_header out;
    struct v2 h;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        v2_tcp4(&h);
        h.bytes[12] = (uint8_t)bad[i];
        assert_int_equal(parse(h.bytes, h.len, &out), PROXY_BAD_VERSION);
    }
}

static void v2_families_must_be_known_and_fit(void **state)
{
    static const unsigned unknown[] = {0x01, 0x02, 0x10, 0x13, 0x20, 0x23, 0x30, 0x33, 0x41, 0xff};
    static const struct {
        unsigned family;
        size_t len;
    } sizes[] = {{0x11, 12}, {0x12, 12}, {0x21, 36}, {0x22, 36}, {0x31, 216}, {0x32, 216}};
    static const uint8_t zeros[216];
    struct proxy_header out;
    struct v2 h;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        v2_begin(&h, 0x21, unknown[i]);
        v2_add(&h, zeros, sizeof(zeros));
        assert_int_equal(parse(h.bytes, h.len, &out), PROXY_BAD_FAMILY);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        v2_begin(&h, 0x21, sizes[i].family);
        v2_add(&h, zeros, sizes[i].len - 1);
        assert_int_equal(parse(h.bytes, h.len, &out), PROXY_BAD_FAMILY);
        v2_add(&h, zeros, 1);
        assert_int_equal(parse(h.bytes, h.len, &out), PROXY_DONE);
    }
}

static void v2_is_as_long_as_the_limit_at_most(void **state)
{
    static const uint8_t zeros[LIMIT_PROXY_V2_BYTES];
    struct proxy_header out;
    static struct v2 h;
    (void)state;
    v2_tcp4(&h);
    v2_tlv(&h, 0x04, zeros, LIMIT_PROXY_V2_BYTES - h.len - 3);
    assert_int_equal(h.len, LIMIT_PROXY_V2_BYTES);
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_DONE);
    assert_int_equal(out.header_len, LIMIT_PROXY_V2_BYTES);
    v2_tcp4(&h);
    v2_tlv(&h, 0x04, zeros, LIMIT_PROXY_V2_BYTES - h.len - 3 + 1);
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_BAD_LENGTH);
}

static void v2_extensions_must_fit(void **state)
{
    struct proxy_header out;
    struct v2 h;
    (void)state;
    v2_tcp4(&h);
    v2_tlv(&h, 0x01, "h2", 2);
    v2_tlv(&h, 0xea, "", 0);
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_DONE);
    for (size_t extra = 1; extra <= 2; extra++) { /* half a head behind them */
        v2_tcp4(&h);
        v2_add(&h, "\4\0", extra);
        assert_int_equal(parse(h.bytes, h.len, &out), PROXY_BAD_TLV);
    }
    v2_tcp4(&h);
    v2_add(&h, "\4\0\2x", 4); /* one byte short */
    assert_int_equal(parse(h.bytes, h.len + 10, &out), PROXY_BAD_TLV);
}

static void v2_known_extensions_have_their_form(void **state)
{
    static const uint8_t id[129];
    struct proxy_header out;
    struct v2 h;
    (void)state;
    v2_tcp4(&h);
    v2_tlv(&h, 0x05, id, 128);
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_DONE);
    v2_tcp4(&h);
    v2_tlv(&h, 0x05, id, 129);
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_BAD_TLV);
    v2_tcp4(&h);
    v2_tlv(&h, 0x20, "\1\0\0\0\0\x21\0\7TLSv1.3", 15);
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_DONE);
    v2_tcp4(&h);
    v2_tlv(&h, 0x20, "\1\0\0\0\0\x21\0\7TLSv1.3", 14);
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_BAD_TLV);
    v2_tcp4(&h);
    v2_tlv(&h, 0x20, "\1\0\0\0", 4);
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_BAD_TLV);
}

static void v2_checksums_must_match(void **state)
{
    struct proxy_header out;
    struct v2 h;
    (void)state;
    assert_int_equal(slow_crc32c((const uint8_t *)"123456789", 9), 0xe3069283u); /* as published */
    v2_tcp4(&h);
    v2_tlv(&h, 0x01, "http/1.1", 8);
    v2_tlv(&h, 0x03, "\0\0\0\0", 4);
    size_t at = h.len - 4;
    v2_tlv(&h, 0x02, "example.org", 11);
    v2_sign(&h, at);
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_DONE);
    for (size_t i = 16; i < h.len; i++) { /* any changed byte of address or value shows */
        bool head = (i >= 28 && i < 31) || (i >= 39 && i < 42) || (i >= 46 && i < 49);
        if (head)
            continue;
        h.bytes[i] ^= 0x10;
        assert_int_equal(parse(h.bytes, h.len, &out), PROXY_BAD_CHECKSUM);
        h.bytes[i] ^= 0x10;
    }
    v2_tcp4(&h);
    v2_tlv(&h, 0x03, "\0\0\0", 3);
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_BAD_TLV);
    v2_tcp4(&h);
    v2_tlv(&h, 0x03, "\0\0\0\0", 4);
    v2_tlv(&h, 0x03, "\0\0\0\0", 4);
    assert_int_equal(parse(h.bytes, h.len, &out), PROXY_BAD_TLV);
}

/* ---- both ---- */

static void only_accepted_versions_are_accepted(void **state)
{
    (void)state;
    struct proxy_header out;
    struct v2 h;
    v2_tcp4(&h);
    assert_int_equal(proxy_parse("P", 1, PROXY_V2, &out), PROXY_BAD_SIGNATURE);
    assert_int_equal(proxy_parse("P", 1, PROXY_V1, &out), PROXY_MORE);
    assert_int_equal(proxy_parse("\r", 1, PROXY_V1, &out), PROXY_BAD_SIGNATURE);
    assert_int_equal(proxy_parse("\r", 1, PROXY_V2, &out), PROXY_MORE);
    assert_int_equal(proxy_parse("", 0, PROXY_ANY, &out), PROXY_MORE);
    assert_int_equal(proxy_parse(h.bytes, h.len, PROXY_V2, &out), PROXY_DONE);
    assert_int_equal(proxy_parse(h.bytes, h.len, PROXY_V1, &out), PROXY_BAD_SIGNATURE);
}

static void other_protocols_are_told_at_their_first_byte_that_differs(void **state)
{
    (void)state;
    struct proxy_header out;
    assert_int_equal(parse_text("GET / HTTP/1.1\r\n", &out), PROXY_BAD_SIGNATURE);
    assert_int_equal(proxy_parse("G", 1, PROXY_ANY, &out), PROXY_BAD_SIGNATURE);
    assert_int_equal(parse_text("PROXY\tTCP4", &out), PROXY_BAD_SIGNATURE);
    assert_int_equal(parse_text("POST / HTTP/1.1\r\n", &out), PROXY_BAD_SIGNATURE);
    assert_int_equal(parse("\r\n\r\n\0\r\nQUIT\r", 12, &out), PROXY_BAD_SIGNATURE);
}

static void every_verdict_has_words(void **state)
{
    (void)state;
    for (int r = PROXY_MORE; r <= PROXY_BAD_TLV; r++)
        assert_true(strlen(proxy_result_text((enum proxy_result)r)) > 5);
}

/* ---- writing ---- */

static void v1_is_written_as_the_protocol_says(void **state)
{
    static const struct {
        const char *src, *dst, *line;
    } rows[] = {
        {"192.0.2.1:40000", "198.51.100.2:443", "PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n"},
        {"[2001:db8::1]:1", "[::1]:2", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"},
        {"192.0.2.1:1", "[::1]:2", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"},
        {"unix:/a", "unix:/b", "PROXY UNKNOWN\r\n"},
        {"unix:/a", "192.0.2.1:1", "PROXY UNKNOWN\r\n"},
        {"[1111:2222:3333:4444:5555:6666:7777:8888]:65535",
         "[1111:2222:3333:4444:5555:6666:7777:9999]:65535",
         "PROXY TCP6 1111:2222:3333:4444:5555:6666:7777:8888 "
         "1111:2222:3333:4444:5555:6666:7777:9999 65535 65535\r\n"},
    };
    uint8_t out[PROXY_WRITE_MAX];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr src = literal(rows[i].src), dst = literal(rows[i].dst);
        assert_int_equal(proxy_write(PROXY_V1, &src, &dst, out), strlen(rows[i].line));
        assert_memory_equal(out, rows[i].line, strlen(rows[i].line));
    }
    assert_int_equal(proxy_write(PROXY_V1, NULL, NULL, out), 15);
    assert_memory_equal(out, "PROXY UNKNOWN\r\n", 15);
}

static void v2_is_written_as_the_protocol_says(void **state)
{
    (void)state;
    struct v2 want;
    uint8_t out[PROXY_WRITE_MAX];
    struct addr src = literal("192.0.2.1:40000"), dst = literal("198.51.100.2:443"), none = {0};
    v2_tcp4(&want);
    assert_int_equal(proxy_write(PROXY_V2, &src, &dst, out), want.len);
    assert_memory_equal(out, want.bytes, want.len);
    v2_begin(&want, 0x20, 0);
    assert_int_equal(proxy_write(PROXY_V2, NULL, &dst, out), 16);
    assert_memory_equal(out, want.bytes, 16);
    assert_int_equal(proxy_write(PROXY_V2, &src, &none, out), 16);
    assert_memory_equal(out, want.bytes, 16);
    v2_begin(&want, 0x21, 0); /* nothing says "a path here, an IP address there" */
    src = literal("unix:/a");
    assert_int_equal(proxy_write(PROXY_V2, &src, &dst, out), 16);
    assert_memory_equal(out, want.bytes, 16);
}

static void v2_survives_being_written_and_read(void **state)
{
    static const char *const pairs[][2] = {{"1.2.3.4:5", "6.7.8.9:10"},
                                           {"[::1]:65535", "[2001:db8::2]:1"},
                                           {"unix:/run/a", "unix:@b"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct addr src = literal(pairs[i][0]), dst = literal(pairs[i][1]);
        struct proxy_header h;
        uint8_t out[PROXY_WRITE_MAX];
        size_t n = proxy_write(PROXY_V2, &src, &dst, out);
        assert_int_equal(parse(out, n, &h), PROXY_DONE);
        assert_int_equal(h.header_len, n);
        expect(&h, pairs[i][0], pairs[i][1]);
    }
    struct addr v4 = literal("1.2.3.4:5"), v6 = literal("[::1]:6");
    struct proxy_header h;
    uint8_t out[PROXY_WRITE_MAX];
    size_t n = proxy_write(PROXY_V2, &v4, &v6, out);
    assert_int_equal(parse(out, n, &h), PROXY_DONE);
    expect(&h, "[::ffff:1.2.3.4]:5", "[::1]:6");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(v1_gives_both_addresses),
        cmocka_unit_test(v1_unknown_means_the_connections_own),
        cmocka_unit_test(v1_mistakes_are_refused),
        cmocka_unit_test(v1_zero_bytes_hide_nothing),
        cmocka_unit_test(v1_is_107_bytes_at_most),
        cmocka_unit_test(v2_gives_both_addresses),
        cmocka_unit_test(v2_local_and_unspecified_mean_the_connections_own),
        cmocka_unit_test(v2_unknown_versions_and_commands_are_refused),
        cmocka_unit_test(v2_families_must_be_known_and_fit),
        cmocka_unit_test(v2_is_as_long_as_the_limit_at_most),
        cmocka_unit_test(v2_extensions_must_fit),
        cmocka_unit_test(v2_known_extensions_have_their_form),
        cmocka_unit_test(v2_checksums_must_match),
        cmocka_unit_test(only_accepted_versions_are_accepted),
        cmocka_unit_test(other_protocols_are_told_at_their_first_byte_that_differs),
        cmocka_unit_test(every_verdict_has_words),
        cmocka_unit_test(v1_is_written_as_the_protocol_says),
        cmocka_unit_test(v2_is_written_as_the_protocol_says),
        cmocka_unit_test(v2_survives_being_written_and_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
