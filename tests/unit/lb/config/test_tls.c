/* test_tls.c - what settings of TLS and https become, and what bad ones are told. Files are read by
 * the end-to-end tests: a text from memory opens none. */
#include "tests/unit/lb/config/config_test.h"

#define ERR(line, rest)  "t.conf:" #line ": error: " rest "\n"
#define WARN(line, rest) "t.conf:" #line ": warning: " rest "\n"

#define CERT            "certificates = ( { cert = \"/a.pem\"; key = \"/a.key\"; } ); "
/* The listener's line with settings is 3, as in the pool's is 2. */
#define HTTPS(settings) HTTP_POOL HTTP_LISTENER_WITH("tls = { " CERT settings " }; pool = \"app\";")
#define TCPS(settings)  POOL LISTENER_WITH("bind = \"127.0.0.1:8080\"; tls = { " CERT settings " };")

/* ---- what is read ---- */

static void a_listener_without_tls_has_none(void **state)
{
    (void)state;
    struct conf *c = load_good(HTTP_POOL HTTP_LISTENER);

    assert_null(c->listeners[0].tls);
    assert_null(c->listeners[0].http.hsts);
    assert_int_equal(c->listeners[0].http.redirect_https, 0);
    assert_true(c->listeners[0].http.h2_cleartext);
    assert_int_equal(c->listeners[0].http.h2_max_streams, 128);
    assert_null(c->pools[0].tls);
    assert_null(c->pools[0].health.tls);
    assert_int_equal(c->pools[0].protocol, PROTOCOL_HTTP1);
    conf_free(&c);
}

static void a_certificate_is_enough(void **state)
{
    (void)state;
    struct conf *c = load_good(HTTPS(""));
    const struct tls_server_conf *tls = c->listeners[0].tls;

    assert_int_equal(tls->n_certs, 1);
    assert_string_equal(tls->certs[0].cert, "/a.pem");
    assert_string_equal(tls->certs[0].key, "/a.key");
    assert_null(tls->certs[0].ocsp);
    assert_int_equal(tls->certs[0].line, 3);
    assert_int_equal(tls->line, 3);
    assert_int_equal(tls->profile, TLS_INTERMEDIATE);
    assert_int_equal(tls->min_version, 0);
    assert_int_equal(tls->max_version, 0);
    assert_int_equal(tls->verify, TLS_VERIFY_OFF);
    assert_int_equal(tls->verify_depth, 4);
    assert_false(tls->strict_sni);
    assert_false(tls->early_data);
    assert_true(tls->tickets);
    assert_int_equal(tls->ticket_rotate_s, 12 * 3600);
    conf_free(&c);
}

static void http_offers_h2_and_http1_unless_told(void **state)
{
    (void)state;
    struct conf *c = load_good(HTTPS(""));

    assert_int_equal(c->listeners[0].tls->n_alpn, 2);
    assert_string_equal(c->listeners[0].tls->alpn[0], "h2");
    assert_string_equal(c->listeners[0].tls->alpn[1], "http/1.1");
    conf_free(&c);
    c = load_good(HTTPS("alpn = [];"));
    assert_int_equal(c->listeners[0].tls->n_alpn, 0);
    conf_free(&c);
    c = load_good(TCPS(""));
    assert_int_equal(c->listeners[0].tls->n_alpn, 0);
    conf_free(&c);
}

static void a_pool_may_say_true(void **state)
{
    (void)state;
    struct conf *c = load_good(POOL_WITH("tls = true;") LISTENER);
    const struct tls_client_conf *tls = c->pools[0].tls;

    assert_non_null(tls);
    assert_true(tls->verify);
    assert_null(tls->ca);
    assert_int_equal(tls->line, 2);
    assert_ptr_equal(c->pools[0].health.tls, tls);
    conf_free(&c);
    c = load_good(POOL_WITH("tls = false;") LISTENER);
    assert_null(c->pools[0].tls);
    conf_free(&c);
}

static void checks_may_go_another_way_than_connections(void **state)
{
    (void)state;
    struct conf *c = load_good(POOL_WITH("tls = true; health = { tls = false; };") LISTENER);

    assert_non_null(c->pools[0].tls);
    assert_null(c->pools[0].health.tls);
    assert_true(c->pools[0].health.plain);
    conf_free(&c);
    c = load_good(POOL_WITH("health = { tls = { sni = \"x.example\"; }; };") LISTENER);
    assert_null(c->pools[0].tls);
    assert_string_equal(c->pools[0].health.tls->sni, "x.example");
    assert_true(c->pools[0].health.own_tls);
    conf_free(&c);
    c = load_good(POOL_WITH("tls = true; health = { type = \"smtp\"; tls = true; };") LISTENER);
    assert_false(c->pools[0].health.own_tls); /* as its connections: with the first byte */
    conf_free(&c);
}

static void redirect_https_is_a_switch_or_a_port(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint16_t port;
    } rows[] = {
        {HTTP_POOL HTTP_LISTENER_WITH("redirect_https = true;"), 443},
        {HTTP_POOL HTTP_LISTENER_WITH("redirect_https = 8443;"), 8443},
        {HTTP_POOL HTTP_LISTENER_WITH("redirect_https = false; pool = \"app\";"), 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct strbuf errors = {0};
        struct conf *c = conf_load_text("t.conf", rows[i].text, &errors);
        assert_non_null(c);
        assert_int_equal(c->listeners[0].http.redirect_https, rows[i].port);
        conf_free(&c);
        strbuf_fini(&errors);
    }
}

static void what_is_printed_means_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {
        HTTPS("alpn = []; min_version = \"1.3\"; tickets = false;"),
        HTTPS("profile = \"custom\"; ciphers = \"A\"; ciphersuites = \"B\"; curves = \"C\";"),
        TCPS(
            "alpn = [ \"x\", \"y\" ]; verify = \"required\"; client_ca = \"/ca\"; crl = \"/crl\";"),
        POOL_WITH("tls = { verify = false; }; health = { tls = false; };") LISTENER,
        POOL LISTENER_WITH("bind = \"127.0.0.1:80\"; sni = ( { host = \"A.example\"; pool = "
                           "\"app\"; } );"),
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct conf *c = load_good(texts[i]);
        char *first = dumped(c);
        struct conf *again = load_good(first);
        char *second = dumped(again);
        assert_string_equal(first, second);
        free(first);
        free(second);
        conf_free(&c);
        conf_free(&again);
    }
}

/* ---- what is refused ---- */

struct mistake {
    const char *name, *text, *says;
};

/* clang-format off: a case reads as a case */
static const struct mistake mistakes[] = {
    {"tls without a certificate", HTTP_POOL HTTP_LISTENER_WITH("tls = { }; pool = \"app\";"),
     ERR(3, "listeners[web].tls.certificates: not found, expected a group or a list of groups: "
            "( { ... }, { ... } )")},
    {"a certificate without its key",
     HTTP_POOL HTTP_LISTENER_WITH("tls = { certificates = { cert = \"/a\"; }; }; pool = \"app\";"),
     ERR(3, "listeners[web].tls.certificates.key: not found, expected the name of a file")},
    {"tls = true on a listener", HTTP_POOL HTTP_LISTENER_WITH("tls = true; pool = \"app\";"),
     ERR(3, "listeners[web].tls: found true, expected a group: { name = value; ... }")},
    {"a word for tls of a pool", POOL_WITH("tls = \"yes\";") LISTENER,
     ERR(2,
         "pools[app].tls: found \"yes\", expected true, false or a group: { name = value; ... }")},
    {"TLS 1.1", HTTPS("min_version = \"1.1\";"),
     ERR(3, "listeners[web].tls.min_version: found \"1.1\", expected \"1.2\" or \"1.3\" (did you "
            "mean \"1.2\"?)")},
    {"a newest version below the oldest", HTTPS("min_version = \"1.3\"; max_version = \"1.2\";"),
     ERR(3, "listeners[web].tls.max_version: found \"1.2\", expected at least the oldest version, "
            "which is \"1.3\"")},
    {"a newest version below the profile's", HTTPS("profile = \"modern\"; max_version = \"1.2\";"),
     ERR(3, "listeners[web].tls.max_version: found \"1.2\", expected at least the oldest version, "
            "which is \"1.3\" in this profile")},
    {"an unknown protocol in mode http", HTTPS("alpn = [ \"h2\", \"h3\" ];"),
     ERR(3, "listeners[web].tls.alpn: found \"h3\", expected \"h2\" and \"http/1.1\" only in mode "
            "\"http\"")},
    {"a protocol twice", TCPS("alpn = [ \"a\", \"a\" ];"),
     ERR(3, "listeners[web].tls.alpn: found \"a\" twice, expected each name once")},
    {"a protocol with a blank", TCPS("alpn = \"a b\";"),
     ERR(3, "listeners[web].tls.alpn: found \"a b\", expected names of protocols such as [ \"h2\", "
            "\"http/1.1\" ]")},
    {"verification without an authority", HTTPS("verify = \"required\";"),
     ERR(3, "listeners[web].tls.client_ca: not found beside verify = \"required\", expected the "
            "file with the authorities of clients")},
    {"an authority without verification", HTTPS("client_ca = \"/ca.pem\";"),
     ERR(3, "listeners[web].tls.client_ca: found beside verify = \"off\", expected \"optional\" or "
            "\"required\" there")},
    {"ticket keys without tickets", HTTPS("tickets = false; ticket_keys = \"/k\";"),
     ERR(3,
         "listeners[web].tls.ticket_keys: found beside tickets = false, expected one of the two")},
    {"early data in mode tcp", TCPS("early_data = true;"),
     ERR(3, "listeners[web].tls.early_data: found true in mode \"tcp\", expected it in mode "
            "\"http\" only: bytes that somebody may send again are safe only where requests can be "
            "told apart")},
    {"early data without tickets", HTTPS("early_data = true; tickets = false;"),
     ERR(3, "listeners[web].tls.early_data: found beside tickets = false, expected tickets: it "
            "comes with them")},
    {"early data without TLS 1.3", HTTPS("early_data = true; max_version = \"1.2\";"),
     ERR(3, "listeners[web].tls.early_data: found beside max_version = \"1.2\", expected \"1.3\" "
            "there")},
    {"the kernel's TLS in mode tcp", TCPS("kernel = true;"),
     ERR(3, "listeners[web].tls.kernel: found true in mode \"tcp\", expected it in mode \"http\" "
            "only, where files are sent")},
    {"the kernel's TLS without TLS 1.3", HTTPS("kernel = true; max_version = \"1.2\";"),
     ERR(3,
         "listeners[web].tls.kernel: found beside max_version = \"1.2\", expected \"1.3\" there")},
    {"hsts without tls", HTTP_POOL HTTP_LISTENER_WITH("hsts = { }; pool = \"app\";"),
     ERR(3, "listeners[web].hsts: found on a listener without tls, where browsers ignore it, "
            "expected it on the one with tls")},
    {"hsts.preload without what it needs",
     HTTP_POOL HTTP_LISTENER_WITH("tls = { " CERT "}; hsts = { preload = true; }; pool = \"app\";"),
     ERR(3, "listeners[web].hsts.preload: found true, expected it with subdomains = true and a "
            "max_age of at least \"8760h\" only, as lists of browsers want it")},
    {"redirect_https with tls",
     HTTP_POOL HTTP_LISTENER_WITH("tls = { " CERT "}; redirect_https = true;"),
     ERR(3, "listeners[web].redirect_https: found on a listener with tls, expected it on one "
            "without: its clients use https already")},
    {"redirect_https beside pool",
     HTTP_POOL HTTP_LISTENER_WITH("redirect_https = true; pool = \"app\";"),
     ERR(3, "listeners[web].redirect_https: found beside pool, which takes all requests, expected "
            "one of the two")},
    {"redirect_https to no port",
     HTTP_POOL HTTP_LISTENER_WITH("redirect_https = 0; pool = \"app\";"),
     ERR(3, "listeners[web].redirect_https: found 0, expected true, false or a port")},
    {"redirect_https to a port beyond all",
     HTTP_POOL HTTP_LISTENER_WITH("redirect_https = 65536; pool = \"app\";"),
     ERR(3, "listeners[web].redirect_https: found 65536, expected true, false or a port")},
    {"redirect_https in mode tcp",
     POOL LISTENER_WITH("bind = \"127.0.0.1:80\"; redirect_https = true;"),
     ERR(3,
         "listeners[web].redirect_https: found a setting of mode \"http\", expected it with that "
         "mode only")},
    {"sni in mode http", HTTP_POOL HTTP_LISTENER_WITH("sni = ( ); pool = \"app\";"),
     ERR(3,
         "listeners[web].sni: found a setting of mode \"tcp\", expected it with that mode only")},
    {"sni to a pool that is none",
     POOL LISTENER_WITH("bind = \"127.0.0.1:80\"; sni = ( { host = \"a\"; pool = \"apq\"; } );"),
     ERR(3,
         "listeners[web].sni[#1].pool: found \"apq\", which is no pool, expected the name of one "
         "(did you mean \"app\"?)")},
    {"a host in two rules of sni",
     POOL LISTENER_WITH("bind = \"127.0.0.1:80\";\nsni = ( { host = [ \"a\", \"b\" ]; pool = "
                        "\"app\"; },\n{ host = \"A\"; pool = \"app\"; } );"),
     ERR(5,
         "listeners[web].sni[#2].host: found \"a\" a second time, expected each host once (first "
         "at t.conf:4)")},
    {"sni for every host",
     POOL LISTENER_WITH("bind = \"127.0.0.1:80\"; sni = ( { host = \"*\"; pool = \"app\"; } );"),
     ERR(3,
         "listeners[web].sni[#1].host: found \"*\" (the listener's pool takes what no rule has), "
         "expected a host name, or \"*.SUFFIX\"")},
    {"a client certificate without its key", POOL_WITH("tls = { cert = \"/a\"; };") LISTENER,
     ERR(2, "pools[app].tls.key: not found beside cert, expected both or none")},
    {"a client key without its certificate", POOL_WITH("tls = { key = \"/a\"; };") LISTENER,
     ERR(2, "pools[app].tls.cert: not found beside key, expected both or none")},
    {"an authority that nothing is checked against",
     POOL_WITH("tls = { verify = false; ca = \"/ca\"; };") LISTENER,
     ERR(2, "pools[app].tls.ca: found beside verify = false, expected one of the two")},
    {"versions of a pool in the wrong order",
     POOL_WITH("tls = { min_version = \"1.3\"; max_version = \"1.2\"; };") LISTENER,
     ERR(2, "pools[app].tls.max_version: found \"1.2\", expected at least min_version, which is "
            "\"1.3\"")},
    {"a protocol that the pool does not speak",
     HTTP_POOL_WITH("tls = { alpn = \"h2\"; };") HTTP_LISTENER,
     ERR(2, "pools[app].tls.alpn: found \"h2\", expected \"http/1.1\", as protocol is \"http1\"")},
    {"a name with a port for SNI", POOL_WITH("tls = { sni = \"a.example:443\"; };") LISTENER,
     ERR(2, "pools[app].tls.sni: found \"a.example:443\", expected a host name without a port")},
    {"a name with a dot at its end for SNI", POOL_WITH("tls = { sni = \"a.example.\"; };") LISTENER,
     ERR(2, "pools[app].tls.sni: found \"a.example.\" (a dot at its end), expected a host name "
            "without a port")},
};
static const struct mistake warnings[] = {
    {"warning: ciphers of TLS 1.2 without it", HTTPS("min_version = \"1.3\"; ciphers = \"A\";"),
     WARN(3,
          "listeners[web].tls.ciphers: has no effect: they are of TLS 1.2, and the oldest version "
          "is \"1.3\"; ciphersuites are those of TLS 1.3")},
    {"warning: ciphers of TLS 1.3 without it",
     HTTPS("max_version = \"1.2\"; ciphersuites = \"A\";"),
     WARN(3, "listeners[web].tls.ciphersuites: has no effect: they are of TLS 1.3, and the newest "
             "version is \"1.2\"")},
};
/* clang-format on */

static void is_refused(void **state)
{
    const struct mistake *m = *state;

    assert_says(m->text, false, m->says);
}

static void is_warned_of(void **state)
{
    const struct mistake *m = *state;

    assert_says(m->text, true, m->says);
}

int main(void)
{
    static const struct CMUnitTest plain[] = {
        cmocka_unit_test(a_listener_without_tls_has_none),
        cmocka_unit_test(a_certificate_is_enough),
        cmocka_unit_test(http_offers_h2_and_http1_unless_told),
        cmocka_unit_test(a_pool_may_say_true),
        cmocka_unit_test(checks_may_go_another_way_than_connections),
        cmocka_unit_test(redirect_https_is_a_switch_or_a_port),
        cmocka_unit_test(what_is_printed_means_the_same),
    };
    struct CMUnitTest tests[ARRAY_LEN(plain) + ARRAY_LEN(mistakes) + ARRAY_LEN(warnings)];
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        tests[n++] = plain[i];
    for (size_t i = 0; i < ARRAY_LEN(mistakes); i++)
        tests[n++] = (struct CMUnitTest){mistakes[i].name, is_refused, NULL, NULL,
                                         (void *)(uintptr_t)&mistakes[i]};
    for (size_t i = 0; i < ARRAY_LEN(warnings); i++)
        tests[n++] = (struct CMUnitTest){warnings[i].name, is_warned_of, NULL, NULL,
                                         (void *)(uintptr_t)&warnings[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
