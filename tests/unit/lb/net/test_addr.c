/* test_addr.c - addresses as written and as printed, networks, both sides of each bound. */
#include "lb/net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct addr_spec parse(const char *text)
{
    struct addr_spec spec;
    const char *error = NULL;
    if (addr_parse(str_of(text), true, true, &spec, &error) != 0)
        fail_msg("%s: %s", text, error);
    return spec;
}

static struct addr literal(const char *text)
{
    struct addr_spec spec = parse(text);
    assert_true(spec.addr.len > 0);
    return spec.addr;
}

static void expect_refused(const char *text, bool allow_name, bool allow_wildcard, const char *word)
{
    struct addr_spec spec = {.port = 7};
    const char *error = NULL;
    if (addr_parse(str_of(text), allow_name, allow_wildcard, &spec, &error) != -EINVAL)
        fail_msg("\"%s\" was accepted", text);
    assert_non_null(error);
    if (strstr(error, word) == NULL)
        fail_msg("\"%s\": \"%s\" does not say \"%s\"", text, error, word);
    assert_int_equal(spec.port, 7); /* untouched */
}

static void what_is_parsed_prints_as_it_was_written(void **state)
{
    static const char *const same[] = {
        "1.2.3.4:80",    "0.0.0.0:1",           "255.255.255.255:65535", "[::1]:80",
        "[::]:443",      "[2001:db8::1]:65535", "[::ffff:1.2.3.4]:80",   "unix:/run/a.sock",
        "unix:@abstract"};
    char buf[ADDR_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        struct addr a = literal(same[i]);
        assert_string_equal(addr_format(&a, buf), same[i]);
    }
}

static void the_kernel_gets_what_it_wants(void **state)
{
    (void)state;
    struct addr a = literal("1.2.3.4:80");
    assert_int_equal(a.len, sizeof(struct sockaddr_in));
    assert_int_equal(a.in.sin_family, AF_INET);
    assert_int_equal(ntohl(a.in.sin_addr.s_addr), 0x01020304);
    assert_int_equal(ntohs(a.in.sin_port), 80);
    a = literal("[::1]:81");
    assert_int_equal(a.len, sizeof(struct sockaddr_in6));
    assert_true(IN6_IS_ADDR_LOOPBACK(&a.in6.sin6_addr));
    assert_int_equal(addr_port(&a), 81);
    a = literal("unix:/a");
    assert_int_equal(a.len, offsetof(struct sockaddr_un, sun_path) + 3);
    assert_string_equal(a.un.sun_path, "/a");
    a = literal("unix:@ab");
    assert_int_equal(a.len, offsetof(struct sockaddr_un, sun_path) + 3);
    assert_memory_equal(a.un.sun_path, "\0ab", 3);
    assert_int_equal(addr_port(&a), 0);
}

static void wildcards_are_ipv4_any_where_allowed(void **state)
{
    static const char *const any[] = {"*:80", ":80"};
    char buf[ADDR_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(any); i++) {
        struct addr a = literal(any[i]);
        assert_string_equal(addr_format(&a, buf), "0.0.0.0:80");
        expect_refused(any[i], true, false, "host is missing");
    }
}

static void port_zero_is_for_listening_only(void **state)
{
    (void)state;
    assert_int_equal(parse("127.0.0.1:0").port, 0);
    assert_int_equal(parse("[::1]:0").port, 0);
    expect_refused("127.0.0.1:0", true, false, "port 0");
    expect_refused("[::1]:0", true, false, "port 0");
    expect_refused("name:0", true, false, "port 0");
}

static void names_are_kept_for_the_resolver(void **state)
{
    static const char *const names[] = {
        "localhost", "a", "db-1.example.org", "_srv.example.org", "example.org.", "x1.2x", "1a"};
    char text[300];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(text, sizeof(text), "%s:5432", names[i]);
        struct addr_spec spec = parse(text);
        assert_int_equal(spec.addr.len, 0);
        assert_string_equal(spec.host, names[i]);
        assert_int_equal(spec.port, 5432);
        expect_refused(text, false, true, "names are not accepted");
    }
    assert_string_equal(parse("1.2.3.4:80").host, "1.2.3.4");
    assert_string_equal(parse("[::1]:80").host, "::1");
    assert_string_equal(parse("unix:/a").host, "");
}

static void mistakes_are_told_apart(void **state)
{
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"", "port is missing"},
        {"1.2.3.4", "port is missing"},
        {"1.2.3.4:", "port is missing"},
        {"name", "port is missing"},
        {"[::1]", "port is missing"},
        {"[::1]80", "port is missing"},
        {"[::1]:", "port is missing"},
        {"1.2.3.4:65536", "1 to 65535"},
        {"1.2.3.4:100000", "1 to 65535"},
        {"1.2.3.4:080000", "1 to 65535"},
        {"1.2.3.4:-1", "1 to 65535"},
        {"1.2.3.4:http", "1 to 65535"},
        {"1.2.3.4: 80", "1 to 65535"},
        {"1.2.3.400:80", "IPv4"},
        {"1.2.3:80", "IPv4"},
        {"01.2.3.4:80", "IPv4"},
        {"1234:80", "IPv4"},
        {"1.2.3.4.:80", "IPv4"},
        {"::1:80", "brackets"},
        {"::1", "brackets"},
        {"a:b:80", "brackets"},
        {"[::1:80", "]"},
        {"[1.2.3.4]:80", "IPv6"},
        {"[name]:80", "IPv6"},
        {"[]:80", "IPv6"},
        {"[fe80::1%eth0]:80", "zone"},
        {"a b:80", "letters"},
        {"a/b:80", "letters"},
        {"a..b:80", "1 to 63"},
        {".:80", "host"},
        {".a:80", "1 to 63"},
        {"-a:80", "'-'"},
        {"a-.b:80", "'-'"},
        {"unix:", "missing"},
        {"unix:@", "missing"},
        {"unix:relative", "begins with /"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect_refused(bad[i].text, true, true, bad[i].word);
    expect_refused(":80", true, false, "host is missing");
    expect_refused("*:80", true, false, "host is missing");
}

static void zero_bytes_hide_nothing(void **state)
{
    static const struct str bad[] = {STR("1.2.3.4\0:80"), STR("1.2.3.4:80\0"), STR("[::1\0]:80"),
                                     STR("unix:/a\0b"), STR("na\0me:80")};
    struct addr_spec spec;
    const char *error;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(addr_parse(bad[i], true, true, &spec, &error), -EINVAL);
}

static void lengths_have_two_sides(void **state)
{
    char text[400], buf[ADDR_TEXT_MAX];
    (void)state;
    memset(text, 'p', sizeof(text)); /* a path of 107 bytes, then 108 */
    memcpy(text, "unix:/", 6);
    text[5 + 107] = '\0';
    struct addr a = literal(text);
    assert_string_equal(addr_format(&a, buf), text);
    text[5 + 107] = 'p';
    text[5 + 108] = '\0';
    expect_refused(text, true, true, "107");

    memset(text, 'n', sizeof(text)); /* a label of 63, then 64 */
    memcpy(text + 63, ":80", 4);
    assert_int_equal(strlen(parse(text).host), 63);
    memset(text, 'n', 64);
    memcpy(text + 64, ":80", 4);
    expect_refused(text, true, true, "1 to 63");

    for (size_t i = 0; i < sizeof(text); i++) /* a name of 253, then 254 */
        text[i] = i % 50 == 49 ? '.' : 'n';
    memcpy(text + 253, ":80", 4);
    assert_int_equal(strlen(parse(text).host), 253);
    memcpy(text + 253, "n:80", 5);
    expect_refused(text, true, true, "253");
    memcpy(text + 253, ".:80", 5); /* the dot at the end does not count */
    assert_int_equal(strlen(parse(text).host), 254);
}

static void addresses_compare_by_meaning(void **state)
{
    (void)state;
    struct addr a = literal("1.2.3.4:80"), b = literal("1.2.3.4:80"), none = {0};
    assert_true(addr_eq(&a, &b));
    b.in.sin_zero[3] = 7; /* padding */
    assert_true(addr_eq(&a, &b));
    addr_set_port(&b, 81);
    assert_false(addr_eq(&a, &b));
    b = literal("1.2.3.5:80");
    assert_false(addr_eq(&a, &b));
    b = literal("[::ffff:1.2.3.4]:80");
    assert_false(addr_eq(&a, &b));
    assert_false(addr_eq(&a, &none));
    assert_true(addr_eq(&none, &none));
    a = literal("unix:/a");
    b = literal("unix:@a");
    assert_false(addr_eq(&a, &b));
}

static void hosts_hash_without_their_port(void **state)
{
    (void)state;
    struct addr a = literal("1.2.3.4:80"), b = literal("1.2.3.4:81");
    assert_true(addr_hash_host(&a) == addr_hash_host(&b));
    b = literal("[::ffff:1.2.3.4]:9");
    assert_true(addr_hash_host(&a) == addr_hash_host(&b));
    b = literal("1.2.3.5:80");
    assert_true(addr_hash_host(&a) != addr_hash_host(&b));
    a = literal("[2001:db8::1]:80");
    b = literal("[2001:db8::2]:80");
    assert_true(addr_hash_host(&a) != addr_hash_host(&b));
}

static void the_kernels_forms_of_one_address_are_equal(void **state)
{
    (void)state;
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
    struct addr with_nul, without, padded, unnamed, unnamed2, want = literal("unix:/run/x");
    size_t start = offsetof(struct sockaddr_un, sun_path);
    char buf[ADDR_TEXT_MAX];
    addr_from_sockaddr(&with_nul, (struct sockaddr *)&un, (socklen_t)(start + 7));
    addr_from_sockaddr(&without, (struct sockaddr *)&un, (socklen_t)(start + 6));
    addr_from_sockaddr(&padded, (struct sockaddr *)&un, sizeof(un));
    assert_true(addr_eq(&with_nul, &want));
    assert_true(addr_eq(&without, &want));
    assert_true(addr_eq(&padded, &want));
    memset(&un, 0, sizeof(un));
    un.sun_family = AF_UNIX;
    addr_from_sockaddr(&unnamed, (struct sockaddr *)&un, sizeof(sa_family_t));
    addr_from_sockaddr(&unnamed2, (struct sockaddr *)&un, (socklen_t)(start + 1));
    assert_true(addr_eq(&unnamed, &unnamed2));
    assert_string_equal(addr_format(&unnamed, buf), "unix");
}

static void a_path_without_its_nul_is_read_within_bounds(void **state)
{
    (void)state;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct addr a;
    char buf[ADDR_TEXT_MAX];
    memset(un.sun_path, 'z', sizeof(un.sun_path));
    addr_from_sockaddr(&a, (struct sockaddr *)&un, sizeof(un));
    assert_int_equal(strlen(addr_format(&a, buf)), 5 + 108);
    memset(un.sun_path, '\n', sizeof(un.sun_path));
    un.sun_path[0] = '\0';
    addr_from_sockaddr(&a, (struct sockaddr *)&un, sizeof(un));
    addr_format(&a, buf);
    assert_int_equal(strncmp(buf, "unix:@??", 8), 0);
}

static void short_or_foreign_addresses_are_none(void **state)
{
    (void)state;
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr other = {.sa_family = AF_NETLINK};
    struct addr a;
    char buf[ADDR_TEXT_MAX];
    addr_from_sockaddr(&a, (struct sockaddr *)&in, sizeof(in) - 1);
    assert_int_equal(a.len, 0);
    addr_from_sockaddr(&a, &other, sizeof(other));
    assert_int_equal(a.len, 0);
    addr_from_sockaddr(&a, NULL, 0);
    assert_int_equal(a.len, 0);
    assert_int_equal(addr_family(&a), AF_UNSPEC);
    assert_string_equal(addr_format(&a, buf), "-");
    assert_string_equal(addr_format_host(&a, buf), "-");
}

static void hosts_print_alone(void **state)
{
    char buf[ADDR_TEXT_MAX];
    (void)state;
    struct addr a = literal("1.2.3.4:80");
    assert_string_equal(addr_format_host(&a, buf), "1.2.3.4");
    a = literal("255.100.0.9:8080");
    assert_string_equal(addr_format_host(&a, buf), "255.100.0.9");
    a = literal("[2001:db8::1]:80");
    assert_string_equal(addr_format_host(&a, buf), "2001:db8::1");
    a = literal("unix:/a");
    assert_string_equal(addr_format_host(&a, buf), "unix");
}

/* ---- networks ---- */

static bool in_net(const char *net_text, const char *addr_text)
{
    struct addr_net net;
    const char *error = NULL;
    struct addr a = literal(addr_text);
    if (addr_net_parse(str_of(net_text), &net, &error) != 0)
        fail_msg("%s: %s", net_text, error);
    return addr_net_contains(&net, &a);
}

static void a_network_has_its_addresses_and_no_others(void **state)
{
    (void)state;
    assert_true(in_net("10.0.0.0/8", "10.0.0.0:1"));
    assert_true(in_net("10.0.0.0/8", "10.255.255.255:1"));
    assert_false(in_net("10.0.0.0/8", "11.0.0.0:1"));
    assert_false(in_net("10.0.0.0/8", "9.255.255.255:1"));
    assert_true(in_net("192.168.4.0/22", "192.168.7.255:1"));
    assert_false(in_net("192.168.4.0/22", "192.168.8.0:1"));
    assert_true(in_net("1.2.3.4", "1.2.3.4:1"));
    assert_false(in_net("1.2.3.4", "1.2.3.5:1"));
    assert_true(in_net("1.2.3.4/31", "1.2.3.5:1"));
    assert_true(in_net("0.0.0.0/0", "200.1.2.3:1"));
    assert_true(in_net("10.9.8.7/8", "10.1.1.1:1")); /* bits beyond the prefix say nothing */
    assert_true(in_net("2001:db8::/33", "[2001:db8:7fff::1]:1"));
    assert_false(in_net("2001:db8::/33", "[2001:db8:8000::1]:1"));
    assert_true(in_net("::1", "[::1]:1"));
    assert_false(in_net("::1", "[::2]:1"));
    assert_true(in_net("::/0", "[ffff::]:1"));
}

static void families_do_not_mix_but_for_mapped_addresses(void **state)
{
    (void)state;
    assert_false(in_net("::/0", "1.2.3.4:1"));
    assert_false(in_net("0.0.0.0/0", "[::1]:1"));
    assert_true(in_net("10.0.0.0/8", "[::ffff:10.1.2.3]:1"));
    assert_false(in_net("10.0.0.0/8", "[::ffff:11.1.2.3]:1"));
    assert_true(in_net("::ffff:10.0.0.0/104", "10.1.2.3:1"));
    assert_true(in_net("::ffff:10.0.0.0/104", "[::ffff:10.1.2.3]:1"));
    assert_true(in_net("::/0", "[::ffff:10.1.2.3]:1"));
    assert_true(in_net("unix", "unix:/a"));
    assert_false(in_net("unix", "1.2.3.4:1"));
    assert_false(in_net("0.0.0.0/0", "unix:/a"));
    assert_false(in_net("::/0", "unix:/a"));
}

static void what_is_no_network_is_refused(void **state)
{
    static const char *const bad[] = {"",           "10.0.0.0/33", "10.0.0.0/",  "10.0.0.0/-1",
                                      "10.0.0/8",   "::/129",      "::/1000",    "name",
                                      "1.2.3.4:80", "[::1]",       "10.0.0.0/a", "unix:/a"};
    struct addr_net net = {.bits = 77};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *error = NULL;
        assert_int_equal(addr_net_parse(str_of(bad[i]), &net, &error), -EINVAL);
        assert_non_null(error);
    }
    assert_int_equal(net.bits, 77);
}

/* Every prefix length, against a slow model. */
static void every_prefix_length_is_exact(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits <= 32; bits++) {
        for (unsigned flip = 0; flip < 32; flip++) {
            char net[32], text[32];
            uint32_t ip = 0xac1f5a96u, other = ip ^ (1u << (31 - flip));
            snprintf(net, sizeof(net), "%u.%u.%u.%u/%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
                     ip & 255, bits);
            snprintf(text, sizeof(text), "%u.%u.%u.%u:1", other >> 24, other >> 16 & 255,
                     other >> 8 & 255, other & 255);
            assert_int_equal(in_net(net, text), flip >= bits);
        }
    }
}

static void addresses_overlap_where_one_is_that_of_all(void **state)
{
    static const struct {
        const char *a, *b;
        bool overlap;
    } rows[] = {
        {"0.0.0.0:80", "127.0.0.1:80", true}, {"0.0.0.0:80", "127.0.0.1:81", false},
        {"0.0.0.0:80", "0.0.0.0:80", false},  {"127.0.0.1:80", "127.0.0.2:80", false},
        {"[::]:80", "[::1]:80", true},        {"[::]:80", "127.0.0.1:80", false},
        {"unix:/a", "unix:/b", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr a = literal(rows[i].a), b = literal(rows[i].b);
        assert_int_equal(addr_overlaps(&a, &b), rows[i].overlap);
        assert_int_equal(addr_overlaps(&b, &a), rows[i].overlap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_parsed_prints_as_it_was_written),
        cmocka_unit_test(the_kernel_gets_what_it_wants),
        cmocka_unit_test(wildcards_are_ipv4_any_where_allowed),
        cmocka_unit_test(port_zero_is_for_listening_only),
        cmocka_unit_test(names_are_kept_for_the_resolver),
        cmocka_unit_test(mistakes_are_told_apart),
        cmocka_unit_test(zero_bytes_hide_nothing),
        cmocka_unit_test(lengths_have_two_sides),
        cmocka_unit_test(addresses_compare_by_meaning),
        cmocka_unit_test(addresses_overlap_where_one_is_that_of_all),
        cmocka_unit_test(hosts_hash_without_their_port),
        cmocka_unit_test(the_kernels_forms_of_one_address_are_equal),
        cmocka_unit_test(a_path_without_its_nul_is_read_within_bounds),
        cmocka_unit_test(short_or_foreign_addresses_are_none),
        cmocka_unit_test(hosts_print_alone),
        cmocka_unit_test(a_network_has_its_addresses_and_no_others),
        cmocka_unit_test(families_do_not_mix_but_for_mapped_addresses),
        cmocka_unit_test(what_is_no_network_is_refused),
        cmocka_unit_test(every_prefix_length_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
