/* test_show_ssl.c - certificates on the stats socket. */
#include "lb/net/tls_files.h"
#include "tests/unit/lb/admin/admin_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOW_S ((int64_t)(FIXTURE_NOW_US / 1000000))

static const char *const site_names[] = {"site.example", "*.site.example"};

static const struct tls_cert_info site = {
    .file = "/site.pem",
    .subject = "CN=site.example",
    .issuer = "CN=Example CA",
    .serial = "1F52",
    .fingerprint = "AB12",
    .key_type = "EC P-256",
    .names = site_names,
    .n_names = 2,
    .not_before_s = 1700000000,
    .not_after_s = NOW_S + 10 * 86400 + 5,
};
static const struct tls_cert_info old = {
    .file = "/old.pem",
    .subject = "CN=old",
    .issuer = "CN=Example CA",
    .serial = "01",
    .fingerprint = "CD",
    .key_type = "RSA 2048",
    .not_before_s = 1600000000,
    .not_after_s = NOW_S - 5,
};

/* The site's certificate is used by two listeners. */
static void each(void *ctx, void (*fn)(void *arg, const struct certificate_info *c), void *arg)
{
    const struct certificate_info rows[] = {
        {"web", "/site.pem", "/site.key", "/site.ocsp", &site, true, false, 0},
        {"web", "/old.pem", "/old.key", NULL, &old, false, true, 0},
        {"other", "/site.pem", "/site.key", NULL, &site, false, false, 0},
    };

    (void)ctx;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        fn(arg, &rows[i]);
}

static int setup(void **state)
{
    struct fixture *f = fixture_new();

    f->ops.each_certificate = each;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static void files_are_listed_once(void **state)
{
    assert_string_equal(fixture_run(*state, "show ssl cert"),
                        "# filename\n/site.pem\n/old.pem\n\n");
}

static void without_tls_there_is_none(void **state)
{
    struct fixture *f = *state;

    f->ops.each_certificate = NULL;
    assert_string_equal(fixture_run(f, "show ssl cert"), "# filename\n\n");
    assert_non_null(strstr(fixture_run(f, "show info"), "\nSslCertExpiry_days: -\n"));
}

static void one_is_described_in_haproxys_words(void **state)
{
    assert_string_equal(fixture_run(*state, "show ssl cert /site.pem"),
                        "Filename: /site.pem\n"
                        "Status: Used\n"
                        "Serial: 1F52\n"
                        "notBefore: Nov 14 22:13:20 2023 GMT\n"
                        "notAfter: Nov 24 22:15:05 2023 GMT\n"
                        "Subject Alternative Name: DNS:site.example, DNS:*.site.example\n"
                        "Algorithm: EC256\n"
                        "SHA256 FingerPrint: AB12\n"
                        "Subject: CN=site.example\n"
                        "Issuer: CN=Example CA\n"
                        "Key: /site.key\n"
                        "OCSP: /site.ocsp\n"
                        "Listeners: web (default), other\n"
                        "Days left: 10\n"
                        "Newer files: none\n\n");
}

static void one_that_newer_files_were_refused_for_says_so(void **state)
{
    const char *answer = fixture_run(*state, "show ssl cert /old.pem");

    assert_non_null(strstr(answer, "\nAlgorithm: RSA2048\n"));
    assert_non_null(strstr(answer, "\nDays left: -1\nNewer files: refused, see the log\n"));
}

static void an_unknown_file_is_refused(void **state)
{
    assert_non_null(strstr(fixture_run(*state, "show ssl cert /none.pem"), "Not found"));
}

static void those_that_expire_first_come_first(void **state)
{
    assert_string_equal(fixture_run(*state, "show ssl expiry"),
                        "# days not_after listener filename names\n"
                        "-1 1700000095 web /old.pem -\n"
                        "10 1700864105 web /site.pem site.example,*.site.example\n"
                        "10 1700864105 other /site.pem site.example,*.site.example\n\n");
}

static void json_has_a_row_for_each_use(void **state)
{
    const char *answer = fixture_run(*state, "show ssl cert /old.pem json");

    assert_string_equal(
        answer, "[{\"filename\":\"/old.pem\",\"listener\":\"web\",\"default\":false,\"names\":\"\","
                "\"subject\":\"CN=old\",\"issuer\":\"CN=Example CA\",\"serial\":\"01\","
                "\"fingerprint\":\"CD\",\"algorithm\":\"RSA 2048\",\"not_before\":1600000000,"
                "\"not_after\":1700000095,\"days\":-1,\"key\":\"/old.key\",\"ocsp\":\"\","
                "\"refused\":true}]\n\n");
}

static void info_has_the_first_expiry(void **state)
{
    assert_non_null(strstr(fixture_run(*state, "show info"), "\nSslCertExpiry_days: -1\n"));
}

static void info_counts_sessions_with_tls(void **state)
{
    struct fixture *f = *state;

    f->listeners[0]->tls = true;
    atomic_store(&f->listeners[0]->current, 3);
    atomic_store(&f->listeners[1]->current, 4);
    counter_add(&f->listeners[0]->rows[0].sessions, 7);
    uint64_t before = counter_get(&f->listeners[0]->rows[0].sessions);
    const char *answer = fixture_run(f, "show info");
    char expected[64];

    snprintf(expected, sizeof(expected), "\nCurrSslConns: 3\nCumSslConns: %u\n", (unsigned)before);
    assert_non_null(strstr(answer, expected));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(files_are_listed_once),
        TEST(without_tls_there_is_none),
        TEST(one_is_described_in_haproxys_words),
        TEST(one_that_newer_files_were_refused_for_says_so),
        TEST(an_unknown_file_is_refused),
        TEST(those_that_expire_first_come_first),
        TEST(json_has_a_row_for_each_use),
        TEST(info_has_the_first_expiry),
        TEST(info_counts_sessions_with_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
