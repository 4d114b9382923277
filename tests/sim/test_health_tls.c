/* test_health_tls.c - single checks over TLS on the simulated engine, against far ends that are
 * OpenSSL's: good ones, bad ones, and ones that stop in the middle; cancelled at any moment. In the
 * end nothing is armed, open or kept (sim_free and the leak checker look). */
#include "health/check.h"
#include "lb/base/alloc.h"
#include "lb/net/stream_tls.h"
#include "lb/net/tls_files.h"
#include "tests/sim/sim.h"
#include "tests/support/test_cert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PEERS 64

/* What is said inside, and before that in clear: to each line, or message, its answer. */
struct language {
    enum check_type type;
    struct str ask, answer;
    struct str greeting;
    struct {
        struct str ask, answer;
    } clear[3];
};
static const struct language http = {
    .type = CHECK_TYPE_HTTP,
    .ask = STR("\r\n\r\n"),
    .answer = STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
};
static const struct language postgres = {
    .type = CHECK_TYPE_POSTGRES,
    .ask = STR("sluice-health"),
    .answer = STR("R\0\0\0\x08\0\0\0\0"),
    .clear = {{STR("\0\0\0\x08\x04\xd2\x16\x2f"), STR("S")}},
};
static const struct language smtp = {
    .type = CHECK_TYPE_SMTP,
    .ask = STR("EHLO localhost\r\n"),
    .answer = STR("250-b\r\n250 c\r\n"),
    .greeting = STR("220-mail\r\n220 a\r\n"),
    .clear = {{STR("EHLO localhost\r\n"), STR("250-a\r\n250-STARTTLS\r\n250 b\r\n")},
              {STR("STARTTLS\r\n"), STR("220 go\r\n")}},
};

enum mood {
    GOOD,
    SILENT,  /* takes everything, says nothing */
    LEAVES,  /* ends after some bytes of the handshake */
    GARBLES, /* ... or goes on with something else */
    N_MOODS,
};

struct visit {
    struct house *house;
    SSL *ssl;
    BIO *in, *out;
    uint64_t sent;
    bool answered;
    uint32_t step; /* of what is said in clear */
};

struct house {
    struct sim *sim;
    struct loop loop;
    struct stream_env streams;
    struct addr addr;
    struct check check;
    struct checker_pool_conf conf;
    struct check_outcome outcome;
    int done;
    enum mood mood;
    const struct language *speaks;
    uint64_t says; /* bytes, in moods that stop */
    struct visit visits[PEERS];
    uint32_t n_visits;
};

/* Made once: keys take their time. */
static struct {
    char dir[64], ca[96];
    SSL_CTX *far;
    struct tls_env *env;
    struct tls_client_conf conf;
    struct tls_client *client;
} world;

/* ---- the far end ---- */

static void say(struct sim_peer *p, struct visit *v)
{
    static const char noise[64] = "this is not what was asked for";
    char buf[4096];
    int n;

    while ((n = BIO_read(v->out, buf, sizeof(buf))) > 0) {
        uint64_t left = v->house->mood == GOOD ? UINT64_MAX : v->house->says - v->sent;
        uint64_t part = (uint64_t)n < left ? (uint64_t)n : left;
        if (part > 0 && sim_peer_send(p, buf, part) < 0)
            return;
        v->sent += part;
        if (part == (uint64_t)n)
            continue;
        if (v->house->mood == GARBLES)
            (void)!sim_peer_send(p, noise, sizeof(noise));
        sim_peer_shutdown(p);
        return;
    }
}

/* False: the handshake may begin. */
static bool is_in_clear(const struct visit *v)
{
    const struct language *l = v->house->speaks;

    return v->step < ARRAY_LEN(l->clear) && l->clear[v->step].ask.len > 0;
}

static void converse_in_clear(struct sim_peer *p, struct visit *v)
{
    struct str ask = v->house->speaks->clear[v->step].ask,
               answer = v->house->speaks->clear[v->step].answer;
    char buf[64];

    if ((size_t)BIO_pending(v->in) < ask.len)
        return;
    assert_int_equal(BIO_read(v->in, buf, (int)ask.len), ask.len);
    assert_memory_equal(buf, ask.p, ask.len);
    BIO_write(v->out, answer.p, (int)answer.len);
    v->step++;
    say(p, v);
}

static void converse(struct sim_peer *p, struct visit *v)
{
    const struct language *l = v->house->speaks;
    char buf[4096];

    if (is_in_clear(v)) {
        converse_in_clear(p, v);
        return;
    }
    int n = SSL_read(v->ssl, buf, sizeof(buf)); /* and all of the handshake */
    if (n > 0 && !v->answered && memmem(buf, (size_t)n, l->ask.p, l->ask.len) != NULL) {
        v->answered = true;
        assert_true(SSL_write(v->ssl, l->answer.p, (int)l->answer.len) > 0);
    }
    say(p, v);
}

static void on_peer(struct sim_peer *p, enum sim_event event)
{
    struct house *h = p->arg;
    char buf[4096];
    ssize_t n;

    if (event == SIM_CONNECTED) {
        assert_true(h->n_visits < PEERS);
        struct visit *v = &h->visits[h->n_visits++];
        *v = (struct visit){.house = h,
                            .ssl = SSL_new(world.far),
                            .in = BIO_new(BIO_s_mem()),
                            .out = BIO_new(BIO_s_mem())};
        BIO_set_mem_eof_return(v->in, -1);
        SSL_set_bio(v->ssl, v->in, v->out);
        SSL_set_accept_state(v->ssl);
        p->tag = h->n_visits;
        if (h->speaks->greeting.len > 0 && h->mood != SILENT) {
            BIO_write(v->out, h->speaks->greeting.p, (int)h->speaks->greeting.len);
            say(p, v);
        }
        return;
    }
    struct visit *v = &h->visits[p->tag - 1];
    if (event == SIM_END)
        sim_peer_close(p);
    if (event != SIM_DATA)
        return;
    while ((n = sim_peer_read(p, buf, sizeof(buf))) > 0)
        BIO_write(v->in, buf, (int)n);
    if (h->mood != SILENT)
        converse(p, v);
}

/* ---- the house ---- */

static void speak(struct house *h, const struct language *l)
{
    h->speaks = l;
    h->conf.health.type = l->type;
    h->conf.health.starttls = h->conf.health.own_tls = true;
}

static void on_done(struct check *ck, const struct check_outcome *o)
{
    struct house *h = ck->owner;

    h->done++;
    h->outcome = *o;
}

static struct house *house_new(const struct sim_conf *conf)
{
    struct house *h = xcalloc(1, sizeof(*h));

    h->sim = sim_new(conf);
    assert_int_equal(loop_init(&h->loop, sim_io(h->sim), h), 0);
    stream_env_init(&h->streams, &h->loop);
    h->addr.len = sizeof(h->addr.in);
    h->addr.in.sin_family = AF_INET;
    h->addr.in.sin_port = htons(443);
    h->addr.in.sin_addr.s_addr = htonl(0x0a000001u);
    sim_serve(h->sim, &h->addr.sa, h->addr.len, on_peer, h)->arg = h;
    h->conf = (struct checker_pool_conf){
        .health = {.type = CHECK_TYPE_HTTP,
                   .timeout_ms = 1000,
                   .status = {{200, 399}},
                   .n_status = 1,
                   .tls = &world.conf},
        .tls = &world.client,
        .host = "app.example",
    };
    speak(h, &http);
    return h;
}

static void house_free(struct house *h)
{
    assert_int_equal(sim_open_fds(h->sim), 0);
    stream_env_fini(&h->streams);
    loop_fini(&h->loop);
    for (uint32_t i = 0; i < h->n_visits; i++)
        SSL_free(h->visits[i].ssl);
    sim_free(&h->sim);
    free(h);
}

/* cancel_ms: when, UINT64_MAX: not. */
static void run(struct house *h, uint64_t cancel_ms)
{
    uint64_t from = sim_now_us(h->sim);

    check_start(&h->check, &h->streams, &h->conf, &h->addr, on_done, h);
    for (int i = 0; h->done == 0; i++) {
        assert_true(i < 1000000);
        assert_true(loop_turn(&h->loop, cancel_ms == UINT64_MAX ? 1000 : 10) >= 0);
        if (h->done == 0 && cancel_ms != UINT64_MAX &&
            sim_now_us(h->sim) - from >= cancel_ms * 1000) {
            check_cancel(&h->check);
            cancel_ms = UINT64_MAX;
        }
    }
    for (int i = 0; i < 20; i++)
        assert_true(loop_turn(&h->loop, 10) >= 0);
    assert_int_equal(h->done, 1);
}

static int make_world(void **state)
{
    struct test_cert ca =
        test_cert_new(&(struct test_cert_wish){.cn = "Test CA", .is_ca = 1}, NULL);
    struct test_cert site = test_cert_new(
        &(struct test_cert_wish){.cn = "app.example", .names = "DNS:app.example"}, &ca);
    struct strbuf errors = {0};

    (void)state;
    strcpy(world.dir, "/tmp/sluice-test-XXXXXX");
    assert_non_null(mkdtemp(world.dir));
    snprintf(world.ca, sizeof(world.ca), "%s/ca.pem", world.dir);
    test_cert_write(&ca, world.ca, NULL);
    world.far = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(world.far, site.x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(world.far, site.key), 1);
    world.env = tls_env_new(&errors);
    assert_non_null(world.env);
    world.conf = (struct tls_client_conf){.verify = true, .ca = world.ca};
    struct tls_client_files *files = tls_client_files_read(&world.conf, time(NULL), &errors);
    assert_non_null(files);
    world.client = tls_client_new(world.env, &world.conf, files, 1, &errors);
    assert_non_null(world.client);
    tls_client_files_free(&files);
    strbuf_fini(&errors);
    test_cert_free(&ca);
    test_cert_free(&site);
    return 0;
}

static int free_world(void **state)
{
    (void)state;
    tls_client_unref(&world.client);
    tls_env_free(&world.env);
    SSL_CTX_free(world.far);
    unlink(world.ca);
    rmdir(world.dir);
    return 0;
}

static struct house *calm(void)
{
    return house_new(&(struct sim_conf){.seed = 1, .calm = true});
}

/* ---- what checks find out ---- */

static void an_answer_over_tls_is_judged(void **state)
{
    (void)state;
    struct house *h = calm();

    run(h, UINT64_MAX);
    assert_int_equal(h->outcome.end, CHECK_PASSED);
    assert_int_equal(h->outcome.result, CHECK_L7OK);
    assert_int_equal(h->outcome.code, 200);
    house_free(h);
}

static void a_handshake_is_enough_for_tcp_and_tls(void **state)
{
    static const enum check_type types[] = {CHECK_TYPE_TCP, CHECK_TYPE_TLS};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct house *h = calm();
        h->conf.health.type = types[i];
        run(h, UINT64_MAX);
        assert_int_equal(h->outcome.end, CHECK_PASSED);
        assert_int_equal(h->outcome.result, CHECK_L6OK);
        assert_string_equal(h->outcome.desc, "connected, TLSv1.3, certificate verified");
        house_free(h);
    }
}

static void tls_that_is_asked_for_begins_behind_the_answer(void **state)
{
    (void)state;
    struct house *h = calm();
    speak(h, &postgres);
    run(h, UINT64_MAX);
    assert_int_equal(h->outcome.end, CHECK_PASSED);
    assert_string_equal(h->outcome.desc, "postgres: takes connections");
    house_free(h);
    h = calm();
    speak(h, &smtp);
    run(h, UINT64_MAX);
    assert_int_equal(h->outcome.end, CHECK_PASSED);
    assert_string_equal(h->outcome.desc, "smtp: 250 c");
    house_free(h);
}

static void no_answer_where_tls_was_asked_for_is_its_timeout(void **state)
{
    (void)state;
    struct house *h = calm();

    speak(h, &postgres);
    h->mood = SILENT;
    run(h, UINT64_MAX);
    assert_int_equal(h->outcome.end, CHECK_FAILED);
    assert_int_equal(h->outcome.result, CHECK_L6TOUT);
    assert_string_equal(h->outcome.desc, "connected, but TLS was not agreed on within 1s");
    house_free(h);
}

static void a_certificate_for_another_name_fails_with_its_reason(void **state)
{
    (void)state;
    struct house *h = calm();

    h->conf.host = "other.example";
    run(h, UINT64_MAX);
    assert_int_equal(h->outcome.end, CHECK_FAILED);
    assert_int_equal(h->outcome.result, CHECK_L6RSP);
    assert_non_null(strstr(h->outcome.desc, "tls: hostname mismatch"));
    house_free(h);
}

static void a_silent_handshake_runs_into_the_timeout(void **state)
{
    (void)state;
    struct house *h = calm();

    h->mood = SILENT;
    run(h, UINT64_MAX);
    assert_int_equal(h->outcome.end, CHECK_FAILED);
    assert_int_equal(h->outcome.result, CHECK_L6TOUT);
    assert_string_equal(h->outcome.desc, "connected, but no TLS handshake within 1s");
    house_free(h);
}

static void an_end_within_the_handshake_is_its_failure(void **state)
{
    (void)state;
    for (int mood = LEAVES; mood <= GARBLES; mood++) {
        struct house *h = calm();
        h->mood = (enum mood)mood;
        h->says = 300;
        run(h, UINT64_MAX);
        assert_int_equal(h->outcome.end, CHECK_FAILED);
        assert_int_equal(h->outcome.result, CHECK_L6RSP);
        house_free(h);
    }
}

/* ---- at any moment ---- */

static void one_life(uint64_t seed, void *arg)
{
    static const struct language *const languages[] = {&http, &postgres, &smtp};
    const struct sim_conf conf = {
        .seed = seed,
        .faults =
            seed % 3 == 0
                ? (struct sim_faults){.connect = 50, .reset = 20, .timeout = 10, .buffers = 20}
                : (struct sim_faults){0},
    };
    struct house *h = house_new(&conf);

    (void)arg;
    speak(h, languages[sim_below(h->sim, ARRAY_LEN(languages))]);
    h->mood = (enum mood)sim_below(h->sim, N_MOODS);
    h->says = sim_below(h->sim, 400);
    h->conf.health.timeout_ms = 3600000; /* the simulated network may be very slow */
    bool cancel = sim_below(h->sim, 2) == 0;
    run(h, cancel ? sim_below(h->sim, 2000) : UINT64_MAX);
    if (!cancel && seed % 3 != 0)
        assert_int_equal(h->outcome.end, h->mood == GOOD ? CHECK_PASSED : CHECK_FAILED);
    house_free(h);
}

static void whatever_happens_all_is_joined_and_given_back(void **state)
{
    (void)state;
    sim_each_seed(300, one_life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_over_tls_is_judged),
        cmocka_unit_test(a_handshake_is_enough_for_tcp_and_tls),
        cmocka_unit_test(tls_that_is_asked_for_begins_behind_the_answer),
        cmocka_unit_test(no_answer_where_tls_was_asked_for_is_its_timeout),
        cmocka_unit_test(a_certificate_for_another_name_fails_with_its_reason),
        cmocka_unit_test(a_silent_handshake_runs_into_the_timeout),
        cmocka_unit_test(an_end_within_the_handshake_is_its_failure),
        cmocka_unit_test_teardown(whatever_happens_all_is_joined_and_given_back, sim_teardown),
    };

    return cmocka_run_group_tests(tests, make_world, free_world);
}
