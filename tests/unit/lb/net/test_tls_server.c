/* test_tls_server.c - which certificate a client gets, which clients are let in, and what a session
 * may be resumed with. */
#include "tests/support/tls_pair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = tls_pair_new();
    return 0;
}

static int teardown(void **state)
{
    tls_pair_free(*state);
    return 0;
}

static char *path(const struct tls_pair *p, const char *name)
{
    return (char *)(uintptr_t)tls_pair_path(p, name);
}

/* Joins, expects it to work, and gives the facts that the server knows; they stay until part. */
static struct tls_facts shake(struct tls_pair *p, const char *name)
{
    struct tls_facts facts;

    tls_pair_join(p, name, STR(""));
    if (!tls_pair_shake(p))
        fail_msg("%s: server: %s, client: %s", name, stream_tls_reason(&p->a),
                 stream_tls_reason(&p->b));
    tls_pair_message(p, &p->b, &p->a, "ping"); /* tickets have come when the answer has */
    tls_pair_message(p, &p->a, &p->b, "pong");
    assert_true(stream_tls_facts(&p->a, &facts));
    return facts;
}

static void works(struct tls_pair *p, const char *name, bool resumed)
{
    shake(p, name);
    assert_int_equal(stream_tls_resumed(&p->a), resumed);
    assert_int_equal(stream_tls_resumed(&p->b), resumed);
    tls_pair_part(p);
}

static void is_refused(struct tls_pair *p, const char *name, const char *by_server,
                       const char *by_client)
{
    tls_pair_join(p, name, STR(""));
    tls_pair_until(p, p->a.error != 0 && p->b.error != 0);
    assert_int_equal(p->a.error, -EPROTO);
    assert_int_equal(p->b.error, -EPROTO);
    assert_string_equal(stream_tls_reason(&p->a), by_server);
    assert_string_equal(stream_tls_reason(&p->b), by_client);
    tls_pair_part(p);
}

/* ---- names ---- */

static void three_certificates(struct tls_pair *p, bool strict)
{
    tls_pair_cert(p, "one", &(struct test_cert_wish){.cn = "1", .names = "DNS:one.example"}, NULL);
    tls_pair_cert(
        p, "wild",
        &(struct test_cert_wish){.cn = "2", .names = "DNS:*.wild.example,DNS:x.y.example"}, NULL);
    tls_pair_cert(p, "sub", &(struct test_cert_wish){.cn = "3", .names = "DNS:A.wild.example"},
                  NULL);
    struct tls_cert_conf certs[] = {
        {.cert = path(p, "one.pem"), .key = path(p, "one.key")},
        {.cert = path(p, "wild.pem"), .key = path(p, "wild.key")},
        {.cert = path(p, "sub.pem"), .key = path(p, "sub.key")},
    };
    tls_pair_server(p, (struct tls_server_conf){.certs = certs, .n_certs = 3, .strict_sni = strict},
                    NULL);
}

/* The client's check of names tells which certificate it has got. */
static void a_name_finds_its_certificate(void **state)
{
    struct tls_pair *p = *state;

    three_certificates(p, false);
    tls_pair_client(p, (struct tls_client_conf){.verify = true});
    works(p, "one.example", false);
    works(p, "b.wild.example", false);
    works(p, "a.wild.example", false); /* an exact name comes before a wildcard */
    works(p, "x.y.example", false);
    works(p, "X.Y.Example", false);
    is_refused(p, "wild.example", "alert bad certificate", "hostname mismatch");
    is_refused(p, "a.b.wild.example", "alert bad certificate", "hostname mismatch");
    is_refused(p, "two.example", "alert bad certificate", "hostname mismatch");
}

static void a_name_that_nothing_has_gets_the_first_certificate(void **state)
{
    struct tls_pair *p = *state;

    three_certificates(p, false);
    tls_pair_client(p, (struct tls_client_conf){.verify = false});
    shake(p, "two.example");
    struct tls_facts f;
    assert_true(stream_tls_facts(&p->a, &f));
    assert_true(str_eq_cstr(f.sni, "two.example"));
    tls_pair_part(p);
    works(p, "127.0.0.1", false); /* no SNI at all */
}

static void where_names_are_strict_others_are_refused(void **state)
{
    struct tls_pair *p = *state;

    three_certificates(p, true);
    tls_pair_client(p, (struct tls_client_conf){.verify = false});
    works(p, "one.example", false);
    works(p, "q.wild.example", false);
    is_refused(p, "two.example", "unknown name", "tlsv1 unrecognized name");
    is_refused(p, "127.0.0.1", "unknown name", "tlsv1 unrecognized name");
}

static void rsa_and_ecdsa_stand_side_by_side(void **state)
{
    struct tls_pair *p = *state;
    char ecdsa[] = "ECDHE-ECDSA-AES128-GCM-SHA256", rsa[] = "ECDHE-RSA-AES128-GCM-SHA256";

    tls_pair_cert(p, "ec", &(struct test_cert_wish){.cn = "e", .names = "DNS:a.example"}, NULL);
    tls_pair_cert(p, "rsa",
                  &(struct test_cert_wish){
                      .cn = "r", .names = "DNS:a.example,DNS:r.example", .rsa_bits = 2048},
                  NULL);
    struct tls_cert_conf certs[] = {{.cert = path(p, "ec.pem"), .key = path(p, "ec.key")},
                                    {.cert = path(p, "rsa.pem"), .key = path(p, "rsa.key")}};
    tls_pair_server(
        p, (struct tls_server_conf){.certs = certs, .n_certs = 2, .profile = TLS_INTERMEDIATE},
        NULL);
    tls_pair_client(
        p, (struct tls_client_conf){.verify = true, .max_version = 0x0303, .ciphers = ecdsa});
    assert_true(str_eq_cstr(shake(p, "a.example").cipher, ecdsa));
    tls_pair_part(p);
    tls_pair_client(
        p, (struct tls_client_conf){.verify = true, .max_version = 0x0303, .ciphers = rsa});
    assert_true(str_eq_cstr(shake(p, "a.example").cipher, rsa));
    tls_pair_part(p);
    works(p, "r.example", false);
}

/* ---- protocols ---- */

static void profiles_have_their_versions(void **state)
{
    struct tls_pair *p = *state;
    const struct {
        enum tls_profile profile;
        uint16_t min;
        bool has_12;
    } rows[] = {{TLS_MODERN, 0, false},
                {TLS_MODERN, 0x0303, true},
                {TLS_INTERMEDIATE, 0, true},
                {TLS_INTERMEDIATE, 0x0304, false},
                {TLS_CUSTOM, 0, true}};

    tls_pair_cert(p, "c", &(struct test_cert_wish){.cn = "c", .names = "DNS:c.example"}, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        tls_pair_server(
            p, (struct tls_server_conf){.profile = rows[i].profile, .min_version = rows[i].min},
            "c");
        tls_pair_client(p, (struct tls_client_conf){.verify = true});
        assert_true(str_eq_cstr(shake(p, "c.example").version, "TLSv1.3"));
        tls_pair_part(p);
        tls_pair_client(p, (struct tls_client_conf){.verify = true, .max_version = 0x0303});
        if (rows[i].has_12)
            works(p, "c.example", false);
        else
            is_refused(p, "c.example", "unsupported protocol", "alert protocol version");
    }
}

static void clients_without_a_protocol_of_ours_are_refused(void **state)
{
    struct tls_pair *p = *state;
    static char *ours[] = {(char *)"h2", (char *)"http/1.1"};

    tls_pair_cert(p, "c", &(struct test_cert_wish){.cn = "c", .names = "DNS:c.example"}, NULL);
    tls_pair_server(p, (struct tls_server_conf){.alpn = ours, .n_alpn = 2}, "c");
    tls_pair_client(p, (struct tls_client_conf){.verify = true});
    works(p, "c.example", false); /* who offers nothing has none */
    tls_pair_join(p, "c.example", STR("\x08http/1.1\x02h2"));
    assert_true(tls_pair_shake(p));
    assert_true(str_eq_cstr(stream_tls_alpn(&p->b), "h2")); /* the server's order */
    tls_pair_part(p);
    tls_pair_join(p, "c.example", STR("\x03xyz"));
    tls_pair_until(p, p->a.error != 0 && p->b.error != 0);
    assert_string_equal(stream_tls_reason(&p->a), "no application protocol");
    tls_pair_part(p);
}

static void mistakes_name_their_settings(void **state)
{
    struct tls_pair *p = *state;
    char bad[] = "no-such-thing";
    const struct {
        struct tls_server_conf conf;
        const char *text;
    } rows[] = {{{.ciphers = bad}, "x.conf:5: error: tls.ciphers: found \"no-such-thing\""},
                {{.ciphersuites = bad}, "error: tls.ciphersuites: found \"no-such-thing\""},
                {{.curves = bad}, "error: tls.curves: found \"no-such-thing\""},
                {{.verify = TLS_VERIFY_REQUIRED}, "error: tls.client_ca: "}};

    tls_pair_cert(p, "c", &(struct test_cert_wish){.cn = "c", .names = "DNS:c.example"}, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_null(tls_pair_try_server(p, p->tls, rows[i].conf, "c"));
        if (strstr(p->errors, rows[i].text) == NULL)
            fail_msg("%s, expected %s", p->errors, rows[i].text);
    }
}

/* ---- clients' certificates ---- */

enum client_cert { NOTHING, GOOD, STRANGE, EXPIRED, REVOKED, N_CLIENT_CERTS };

static const char *const client_names[] = {NULL, "good", "strange", "expired", "revoked"};

static void make_client_certs(struct tls_pair *p)
{
    struct test_cert other =
        test_cert_new(&(struct test_cert_wish){.cn = "Other CA", .is_ca = 1}, NULL);
    struct test_cert revoked =
        test_cert_new(&(struct test_cert_wish){.cn = "revoked"}, &p->authority);

    tls_pair_cert(p, "c", &(struct test_cert_wish){.cn = "c", .names = "DNS:c.example"}, NULL);
    tls_pair_cert(p, "good", &(struct test_cert_wish){.cn = "good"}, NULL);
    tls_pair_cert(p, "strange", &(struct test_cert_wish){.cn = "strange"}, &other);
    tls_pair_cert(p, "expired",
                  &(struct test_cert_wish){.cn = "expired", .from_s = -7200, .to_s = -3600}, NULL);
    test_cert_write(&revoked, tls_pair_path(p, "revoked.pem"), tls_pair_path(p, "revoked.key"));
    test_cert_write_crl(&p->authority, &revoked, tls_pair_path(p, "crl.pem"));
    test_cert_free(&revoked);
    test_cert_free(&other);
}

static void client_with(struct tls_pair *p, enum client_cert which, uint16_t version)
{
    struct tls_client_conf c = {.verify = true, .max_version = version};
    char cert[32], key[32];

    if (which != NOTHING) {
        snprintf(cert, sizeof(cert), "%s.pem", client_names[which]);
        snprintf(key, sizeof(key), "%s.key", client_names[which]);
        c.cert = path(p, cert);
        c.key = path(p, key);
    }
    tls_pair_client(p, c);
}

static void check_client(struct tls_pair *p, enum tls_verify verify, enum client_cert which)
{
    static const char *const verified[] = {
        "NONE", "SUCCESS", "FAILED:unable to get local issuer certificate",
        "FAILED:certificate has expired", "FAILED:certificate revoked"};
    static const char *const refused[] = {"peer did not return a certificate", "",
                                          "unable to get local issuer certificate",
                                          "certificate has expired", "certificate revoked"};
    bool in = verify != TLS_VERIFY_REQUIRED || which == GOOD;
    struct tls_facts f;

    tls_pair_join(p, "c.example", STR(""));
    tls_pair_until(p, stream_tls_ready(&p->a) || p->a.error != 0);
    if (stream_tls_ready(&p->a) != in)
        fail_msg("verify %d, certificate %d: %s", verify, which, stream_tls_reason(&p->a));
    if (!in) {
        assert_string_equal(stream_tls_reason(&p->a), refused[which]);
        tls_pair_until(p, p->b.error != 0);
    } else {
        assert_true(stream_tls_facts(&p->a, &f));
        const char *expected = verified[verify == TLS_VERIFY_OFF ? 0 : which];
        if (!str_eq_cstr(f.client_verify, expected))
            fail_msg("verify %d, certificate %d: " STR_FMT ", expected %s", verify, which,
                     STR_ARG(f.client_verify), expected);
        if (verify != TLS_VERIFY_OFF && which == GOOD) {
            assert_true(str_eq_cstr(f.client_subject, "CN=good"));
            assert_true(str_eq_cstr(f.client_issuer, "CN=Test CA"));
            assert_int_equal(f.client_fingerprint.len, 64);
            assert_true(f.client_serial.len > 0);
        }
    }
    tls_pair_part(p);
}

static void clients_are_let_in_as_their_certificates_say(void **state)
{
    struct tls_pair *p = *state;

    make_client_certs(p);
    for (int verify = TLS_VERIFY_OFF; verify <= TLS_VERIFY_REQUIRED; verify++) {
        tls_pair_server(p,
                        (struct tls_server_conf){.profile = TLS_INTERMEDIATE,
                                                 .verify = (enum tls_verify)verify,
                                                 .client_ca = p->ca,
                                                 .crl = path(p, "crl.pem")},
                        "c");
        for (int which = NOTHING; which < N_CLIENT_CERTS; which++) {
            for (uint16_t version = 0x0303; version <= 0x0304; version++) {
                client_with(p, (enum client_cert)which, version);
                check_client(p, (enum tls_verify)verify, (enum client_cert)which);
            }
        }
    }
}

static void a_resumed_session_still_knows_its_client(void **state)
{
    struct tls_pair *p = *state;

    make_client_certs(p);
    tls_pair_server(p,
                    (struct tls_server_conf){.profile = TLS_INTERMEDIATE,
                                             .verify = TLS_VERIFY_REQUIRED,
                                             .client_ca = p->ca,
                                             .tickets = true},
                    "c");
    for (uint16_t version = 0x0303; version <= 0x0304; version++) {
        client_with(p, GOOD, version);
        works(p, "c.example", false);
        struct tls_facts f = shake(p, "c.example");
        assert_true(f.resumed);
        assert_true(str_eq_cstr(f.client_subject, "CN=good"));
        assert_true(str_eq_cstr(f.client_verify, "SUCCESS"));
        tls_pair_part(p);
    }
}

/* ---- sessions ---- */

static void another_worker_resumes_what_one_has_begun(void **state)
{
    struct tls_pair *p = *state;
    struct strbuf errors = {0};
    struct tls_env *other = tls_env_new(&errors);
    struct tls_server_conf conf = {.profile = TLS_INTERMEDIATE, .tickets = true};

    tls_pair_cert(p, "c", &(struct test_cert_wish){.cn = "c", .names = "DNS:c.example"}, NULL);
    for (uint16_t version = 0x0303; version <= 0x0304; version++) {
        tls_pair_server(p, conf, "c");
        tls_pair_client(p, (struct tls_client_conf){.verify = true, .max_version = version});
        works(p, "c.example", false);
        works(p, "c.example", true);
        tls_server_unref(&p->server);
        p->server = tls_pair_try_server(p, other, conf, "c");
        assert_non_null(p->server);
        works(p, "c.example", true);
        tls_keyring_rotate(p->keys);
        works(p, "c.example", true); /* by the older key */
        for (int i = 0; i < TLS_TICKET_KEYS - 2; i++)
            tls_keyring_rotate(p->keys);
        works(p, "c.example", true);
        if (version == 0x0304) { /* has had a new ticket each time */
            tls_keyring_rotate(p->keys);
            works(p, "c.example", true);
        }
        for (int i = 0; i < TLS_TICKET_KEYS; i++)
            tls_keyring_rotate(p->keys);
        works(p, "c.example", false); /* no key is left that knows it */
    }
    tls_server_unref(&p->server);
    tls_env_free(&other);
}

static void without_tickets_nothing_is_resumed(void **state)
{
    struct tls_pair *p = *state;

    tls_pair_cert(p, "c", &(struct test_cert_wish){.cn = "c", .names = "DNS:c.example"}, NULL);
    tls_pair_server(p, (struct tls_server_conf){.profile = TLS_INTERMEDIATE, .tickets = false},
                    "c");
    for (uint16_t version = 0x0303; version <= 0x0304; version++) {
        tls_pair_client(p, (struct tls_client_conf){.verify = true, .max_version = version});
        works(p, "c.example", false);
        works(p, "c.example", false);
    }
}

static void a_session_is_not_resumed_where_more_is_asked_of_clients(void **state)
{
    struct tls_pair *p = *state;
    struct tls_server_conf conf = {.profile = TLS_INTERMEDIATE, .tickets = true};

    make_client_certs(p);
    for (uint16_t version = 0x0303; version <= 0x0304; version++) {
        conf.verify = TLS_VERIFY_OFF;
        tls_pair_server(p, conf, "c");
        client_with(p, GOOD, version);
        works(p, "c.example", false);
        conf.verify = TLS_VERIFY_REQUIRED;
        conf.client_ca = p->ca;
        tls_pair_server(p, conf, "c");
        tls_pair_join(p, "c.example", STR(""));
        tls_pair_until(p, stream_tls_ready(&p->a) || p->a.error != 0);
        assert_false(stream_tls_ready(&p->a) && stream_tls_resumed(&p->a));
        tls_pair_part(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        T(a_name_finds_its_certificate),
        T(a_name_that_nothing_has_gets_the_first_certificate),
        T(where_names_are_strict_others_are_refused),
        T(rsa_and_ecdsa_stand_side_by_side),
        T(profiles_have_their_versions),
        T(clients_without_a_protocol_of_ours_are_refused),
        T(mistakes_name_their_settings),
        T(clients_are_let_in_as_their_certificates_say),
        T(a_resumed_session_still_knows_its_client),
        T(another_worker_resumes_what_one_has_begun),
        T(without_tickets_nothing_is_resumed),
        T(a_session_is_not_resumed_where_more_is_asked_of_clients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
