/* test_tls_files.c - what is said of certificates, keys and lists before anything is served. */
#include "lb/base/alloc.h"
#include "tests/support/tls_pair.h"

#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct tls_pair *p;
    struct tls_cert_conf cert;
    struct tls_server_conf conf;
};

static char *path(const struct fixture *f, const char *name)
{
    return xstrdup(tls_pair_path(f->p, name));
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->p = tls_pair_new();
    tls_pair_cert(
        f->p, "a",
        &(struct test_cert_wish){.cn = "Some One", .names = "DNS:A.example,DNS:*.a.example"}, NULL);
    f->cert = (struct tls_cert_conf){
        .cert = path(f, "a.pem"), .key = path(f, "a.key"), .file = "x.conf", .line = 7};
    f->conf = (struct tls_server_conf){.certs = &f->cert,
                                       .n_certs = 1,
                                       .file = "x.conf",
                                       .line = 5,
                                       .client_ca = path(f, "ca.pem")};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    free(f->cert.cert);
    free(f->cert.key);
    free(f->cert.ocsp);
    free(f->conf.client_ca);
    free(f->conf.crl);
    tls_pair_free(f->p);
    free(f);
    return 0;
}

/* Reads; the result must be as `good` says, and the lines have `text` ("": there are none). */
static struct tls_server_files *check_read(struct fixture *f, bool good, const char *text)
{
    struct strbuf errors = {0};
    struct tls_server_files *files = tls_server_files_read(&f->conf, time(NULL), &errors);
    const char *lines = errors.p != NULL ? errors.p : "";

    if (good != (files != NULL) || (text[0] == '\0' ? lines[0] != '\0' : !strstr(lines, text)))
        fail_msg("%s, \"%s\"; expected \"%s\"", files != NULL ? "read" : "refused", lines, text);
    strbuf_fini(&errors);
    return files;
}

static void check_lines(struct fixture *f, bool good, const char *text)
{
    struct tls_server_files *files = check_read(f, good, text);

    tls_server_files_free(&files);
}

static void a_certificate_tells_of_itself(void **state)
{
    struct fixture *f = *state;
    struct tls_server_files *files = check_read(f, true, "");
    const struct tls_cert_info *info = tls_server_files_cert(files, 0);

    assert_string_equal(info->file, f->cert.cert);
    assert_string_equal(info->subject, "CN=Some One");
    assert_string_equal(info->issuer, "CN=Test CA");
    assert_string_equal(info->key_type, "EC P-256");
    assert_int_equal(strlen(info->fingerprint), 64);
    assert_int_equal(info->n_names, 2);
    assert_string_equal(info->names[0], "a.example");
    assert_string_equal(info->names[1], "*.a.example");
    assert_in_range(info->not_before_s, (uint64_t)time(NULL) - 3700, (uint64_t)time(NULL) - 3500);
    assert_true(info->not_after_s > time(NULL) + 86400);
    tls_server_files_free(&files);
}

static void files_that_will_not_do_are_refused_with_the_reason(void **state)
{
    static const char pem[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    struct fixture *f = *state;

    tls_pair_write(f->p, "a.pem", "", 0);
    check_lines(f, false, "a.pem\": is empty");
    tls_pair_write(f->p, "a.pem", "hello", 5);
    check_lines(f, false, "x.conf:7: error: cert: ");
    tls_pair_write(f->p, "a.pem", pem, sizeof(pem) - 1);
    check_lines(f, false, "has no certificate in PEM");
    unlink(f->cert.cert);
    check_lines(f, false, "No such file or directory");
    assert_int_equal(mkdir(f->cert.cert, 0700), 0);
    check_lines(f, false, "is no regular file");
    rmdir(f->cert.cert);
}

static void the_key_must_be_the_certificate_s(void **state)
{
    struct fixture *f = *state;

    tls_pair_cert(f->p, "b", &(struct test_cert_wish){.cn = "b"}, NULL);
    free(f->cert.key);
    f->cert.key = path(f, "b.key");
    check_lines(f, false, "x.conf:7: error: key: ");
    check_lines(f, false, "is not the key of the certificate");
    free(f->cert.key);
    f->cert.key = path(f, "b.pem");
    check_lines(f, false, "has no private key in PEM");
}

static void a_key_with_a_password_is_refused_without_asking(void **state)
{
    struct fixture *f = *state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *file = fopen(f->cert.key, "w");

    assert_int_equal(
        PEM_write_PKCS8PrivateKey(file, key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL), 1);
    fclose(file);
    EVP_PKEY_free(key);
    check_lines(f, false, "is encrypted");
}

static void a_key_that_others_can_read_is_warned_of(void **state)
{
    struct fixture *f = *state;

    chmod(f->cert.key, 0640); /* a group may be made for it */
    check_lines(f, true, "");
    chmod(f->cert.key, 0604);
    check_lines(f, true, "x.conf:7: warning: key: ");
}

static void dates_are_warned_of(void **state)
{
    const struct {
        long from, to;
        const char *text;
    } rows[] = {{-7200, -3600, "has expired 0 days ago"},
                {-864000, -200000, "has expired 2 days ago"},
                {3600, 40l * 86400, "is not valid yet"},
                {-3600, 3l * 86400 + 60, "expires in 3 days"},
                {-3600, 15l * 86400, ""}};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        tls_pair_cert(
            f->p, "a",
            &(struct test_cert_wish){.cn = "a", .from_s = rows[i].from, .to_s = rows[i].to}, NULL);
        check_lines(f, true, rows[i].text);
    }
}

static void append(const char *to, const char *from)
{
    char command[512];

    snprintf(command, sizeof(command), "cat %s >> %s", from, to);
    assert_int_equal(system(command), 0);
}

static void a_chain_out_of_order_is_warned_of(void **state)
{
    struct fixture *f = *state;

    append(f->cert.cert, f->p->ca);
    check_lines(f, true, "");
    tls_pair_cert(f->p, "b", &(struct test_cert_wish){.cn = "b"}, NULL);
    append(f->cert.cert, tls_pair_path(f->p, "b.pem"));
    check_lines(f, true, "one is not the issuer of the one before");
}

static void lists_and_authorities_are_looked_at(void **state)
{
    struct fixture *f = *state;
    struct test_cert revoked = test_cert_new(&(struct test_cert_wish){.cn = "r"}, &f->p->authority);

    f->conf.crl = path(f, "crl.pem");
    test_cert_write_crl(&f->p->authority, &revoked, f->conf.crl);
    check_lines(f, true, "");
    tls_pair_write(f->p, "crl.pem", "hello", 5);
    check_lines(f, false, "x.conf:5: error: crl: ");
    free(f->conf.crl);
    f->conf.crl = NULL;
    tls_pair_write(f->p, "ca.pem", "hello", 5);
    check_lines(f, false, "x.conf:5: error: client_ca: ");
    test_cert_free(&revoked);
}

/* Leaves the first `keep` bytes behind what stands there, as a copy does that is under way. */
static void append_part(const char *to, const char *from, size_t keep)
{
    char command[512];

    snprintf(command, sizeof(command), "head -c %zu %s >> %s", keep, from, to);
    assert_int_equal(system(command), 0);
}

/* Why: OpenSSL stops at what it cannot read, and clients would miss an issuer, or we a CA. */
static void what_is_whole_at_its_beginning_only_is_refused(void **state)
{
    struct fixture *f = *state;
    struct test_cert revoked = test_cert_new(&(struct test_cert_wish){.cn = "r"}, &f->p->authority);

    append_part(f->cert.cert, f->p->ca, 200);
    check_lines(f, false, "a.pem\": is damaged");
    tls_pair_cert(f->p, "a", &(struct test_cert_wish){.cn = "a"}, NULL);
    check_lines(f, true, "");
    append_part(f->conf.client_ca, f->cert.cert, 200);
    check_lines(f, false, "x.conf:5: error: client_ca: ");
    f->conf.crl = path(f, "crl.pem");
    test_cert_write_crl(&f->p->authority, &revoked, f->conf.crl);
    append_part(f->conf.crl, f->conf.crl, 100);
    check_lines(f, false, "crl.pem\": is damaged");
    test_cert_free(&revoked);
}

static void a_certificate_that_is_never_shown_is_warned_of(void **state)
{
    struct fixture *f = *state;
    struct tls_cert_conf certs[2] = {f->cert, f->cert};

    tls_pair_cert(f->p, "b",
                  &(struct test_cert_wish){.cn = "b", .names = "DNS:*.a.example,DNS:a.example"},
                  NULL);
    certs[1].cert = path(f, "b.pem");
    certs[1].key = path(f, "b.key");
    f->conf.certs = certs;
    f->conf.n_certs = 2;
    check_lines(f, true, "b.pem\": is never shown");
    tls_pair_cert(f->p, "b",
                  &(struct test_cert_wish){.cn = "b", .names = "DNS:a.example,DNS:b.example"},
                  NULL);
    check_lines(f, true, "");
    free(certs[1].cert);
    free(certs[1].key);
}

static void files_are_the_same_while_their_bytes_are(void **state)
{
    struct fixture *f = *state;
    struct tls_server_files *before = check_read(f, true, ""), *after;

    after = check_read(f, true, "");
    assert_true(tls_server_files_same(before, after));
    tls_server_files_staple(after, 0, STR("der"), 5);
    assert_false(tls_server_files_same(before, after));
    tls_server_files_free(&after);
    append(f->conf.client_ca, f->cert.cert);
    after = check_read(f, true, "");
    assert_false(tls_server_files_same(before, after));
    tls_server_files_free(&before);
    before = check_read(f, true, "");
    assert_true(tls_server_files_same(before, after));
    tls_server_files_free(&after);
    tls_pair_cert(f->p, "a", &(struct test_cert_wish){.cn = "a"}, NULL);
    after = check_read(f, true, "");
    assert_false(tls_server_files_same(before, after));
    tls_server_files_free(&after);
    tls_server_files_free(&before);
}

static void what_is_no_ocsp_response_is_refused(void **state)
{
    static const uint8_t try_later[] = {0x30, 3, 0x0a, 1, 3}; /* responseStatus tryLater */
    struct fixture *f = *state;

    f->cert.ocsp = path(f, "ocsp.der");
    tls_pair_write(f->p, "ocsp.der", "hello", 5);
    check_lines(f, false, "x.conf:7: error: ocsp: ");
    tls_pair_write(f->p, "ocsp.der", try_later, sizeof(try_later));
    check_lines(f, false, "trylater");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        T(a_certificate_tells_of_itself),
        T(files_that_will_not_do_are_refused_with_the_reason),
        T(the_key_must_be_the_certificate_s),
        T(a_key_with_a_password_is_refused_without_asking),
        T(a_key_that_others_can_read_is_warned_of),
        T(dates_are_warned_of),
        T(a_chain_out_of_order_is_warned_of),
        T(lists_and_authorities_are_looked_at),
        T(what_is_whole_at_its_beginning_only_is_refused),
        T(a_certificate_that_is_never_shown_is_warned_of),
        T(files_are_the_same_while_their_bytes_are),
        T(what_is_no_ocsp_response_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
