/* test_stream_tls.c - TLS between two streams that are joined by a socket pair, on the epoll
 * engine. */
#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/net/stream_tls.h"
#include "lb/net/tls_files.h"
#include "lb/net/tls_ticket.h"
#include "tests/support/test_cert.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define BULK (3u << 20)

struct side {
    struct stream s; /* first */
    struct fixture *f;
    bool open;
};

struct fixture {
    char dir[64], ca[96], cert[96], key[96];
    struct loop loop;
    struct stream_env env;
    struct tls_keyring *keys;
    struct tls_env *tls;
    struct tls_server *server;
    struct tls_client *client;
    struct test_cert authority;
    struct side a, b; /* a: server */
};

static void on_event(struct stream *s)
{
    (void)s;
}

static void write_cert(struct fixture *f, const struct test_cert_wish *w)
{
    struct test_cert c = test_cert_new(w, &f->authority);

    test_cert_write(&c, f->cert, f->key);
    test_cert_free(&c);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    const struct io_conf conf = {.engine = IO_EPOLL};
    int error;

    strcpy(f->dir, "/tmp/sluice-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->ca, sizeof(f->ca), "%s/ca.pem", f->dir);
    snprintf(f->cert, sizeof(f->cert), "%s/cert.pem", f->dir);
    snprintf(f->key, sizeof(f->key), "%s/key.pem", f->dir);
    f->authority = test_cert_new(&(struct test_cert_wish){.cn = "Test CA", .is_ca = 1}, NULL);
    test_cert_write(&f->authority, f->ca, NULL);
    struct io *io = io_new(&conf, &error);
    assert_non_null(io);
    assert_int_equal(loop_init(&f->loop, io, f), 0);
    stream_env_init(&f->env, &f->loop);
    f->keys = tls_keyring_new();
    struct strbuf errors = {0};
    f->tls = tls_env_new(&errors);
    assert_non_null(f->tls);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tls_server_unref(&f->server);
    tls_client_unref(&f->client);
    tls_env_free(&f->tls);
    tls_keyring_free(&f->keys);
    stream_env_fini(&f->env);
    loop_fini(&f->loop);
    test_cert_free(&f->authority);
    unlink(f->ca);
    unlink(f->cert);
    unlink(f->key);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void make_server(struct fixture *f)
{
    static char *alpn[] = {(char *)"h2", (char *)"http/1.1"};
    struct tls_cert_conf cert = {.cert = f->cert, .key = f->key};
    const struct tls_server_conf conf = {.certs = &cert,
                                         .n_certs = 1,
                                         .profile = TLS_INTERMEDIATE,
                                         .tickets = true,
                                         .alpn = alpn,
                                         .n_alpn = 2};
    struct strbuf errors = {0};
    struct tls_server_files *files = tls_server_files_read(&conf, time(NULL), &errors);

    assert_string_equal(errors.p ? errors.p : "", "");
    assert_non_null(files);
    f->server = tls_server_new(f->tls, &conf, files, f->keys, &errors);
    assert_string_equal(errors.p ? errors.p : "", "");
    assert_non_null(f->server);
    tls_server_files_free(&files);
    strbuf_fini(&errors);
}

static void make_client(struct fixture *f, uint16_t max_version)
{
    const struct tls_client_conf conf = {.verify = true, .ca = f->ca, .max_version = max_version};
    struct strbuf errors = {0};
    struct tls_client_files *files = tls_client_files_read(&conf, time(NULL), &errors);

    assert_non_null(files);
    f->client = tls_client_new(f->tls, &conf, files, 2, &errors);
    assert_non_null(f->client);
    tls_client_files_free(&files);
    strbuf_fini(&errors);
}

static void join(struct fixture *f, const char *name)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    stream_open(&f->a.s, &f->env, pair[0], on_event);
    stream_open(&f->b.s, &f->env, pair[1], on_event);
    assert_true(stream_tls_accept(&f->a.s, f->server));
    assert_true(stream_tls_connect(&f->b.s, f->client, 0, str_of(name), STR("\x02h2")));
    stream_read(&f->a.s, STREAM_READ);
    stream_read(&f->b.s, STREAM_READ);
}

static void part(struct fixture *f)
{
    stream_stop(&f->a.s);
    stream_stop(&f->b.s);
    while (!stream_idle(&f->a.s) || !stream_idle(&f->b.s))
        assert_true(loop_turn(&f->loop, 10) >= 0);
    stream_close(&f->a.s, false);
    stream_close(&f->b.s, false);
}

#define TURNS_MAX 200000
#define until(cond)                                                                                \
    do {                                                                                           \
        int turns = 0;                                                                             \
        while (!(cond)) {                                                                          \
            assert_true(turns++ < TURNS_MAX);                                                      \
            assert_true(loop_turn(&f->loop, 10) >= 0);                                             \
        }                                                                                          \
    } while (0)

static void both_ready(struct fixture *f)
{
    until((stream_tls_ready(&f->a.s) && stream_tls_ready(&f->b.s)) || f->a.s.error || f->b.s.error);
    assert_int_equal(f->a.s.error, 0);
    assert_int_equal(f->b.s.error, 0);
}

static void check_message(struct fixture *f, struct stream *from, struct stream *to,
                          const char *text)
{
    uint32_t n = (uint32_t)strlen(text);

    assert_true(stream_write(from, text, n));
    stream_flush(from);
    until(to->in_bytes >= n);
    assert_true(stream_gather_front(to, n));
    assert_memory_equal(to->in->data, text, n);
    stream_consume(to, n);
}

static void a_handshake_joins_two_streams(void **state)
{
    struct fixture *f = *state;

    write_cert(f, &(struct test_cert_wish){.cn = "a", .names = "DNS:a.example"});
    make_server(f);
    for (uint16_t version = 0x0303; version <= 0x0304; version++) {
        make_client(f, version);
        join(f, "a.example");
        both_ready(f);
        assert_true(str_eq_cstr(stream_tls_alpn(&f->a.s), "h2"));
        check_message(f, &f->b.s, &f->a.s, "hello");
        check_message(f, &f->a.s, &f->b.s, "world");
        assert_int_equal(f->a.s.out_bytes, 0);
        assert_int_equal(f->a.s.sent, 5);
        part(f);
        tls_client_unref(&f->client);
    }
}

static void what_is_queued_before_the_handshake_goes_out_after_it(void **state)
{
    struct fixture *f = *state;

    write_cert(f, &(struct test_cert_wish){.cn = "a", .names = "DNS:a.example"});
    make_server(f);
    make_client(f, 0);
    join(f, "a.example");
    check_message(f, &f->b.s, &f->a.s, "early");
    part(f);
}

static void a_certificate_for_another_name_is_refused_in_words(void **state)
{
    struct fixture *f = *state;

    write_cert(f, &(struct test_cert_wish){.cn = "a", .names = "DNS:a.example"});
    make_server(f);
    make_client(f, 0);
    join(f, "b.example");
    until(f->b.s.error != 0 && f->a.s.error != 0);
    assert_int_equal(f->b.s.error, -EPROTO);
    assert_string_equal(stream_tls_reason(&f->b.s), "hostname mismatch");
    assert_false(stream_tls_ready(&f->b.s));
    part(f);
}

static void an_expired_certificate_is_refused(void **state)
{
    struct fixture *f = *state;

    write_cert(f, &(struct test_cert_wish){
                      .cn = "a", .names = "DNS:a.example", .from_s = -7200, .to_s = -3600});
    struct tls_cert_conf cert = {.cert = f->cert, .key = f->key, .file = "x.conf", .line = 7};
    const struct tls_server_conf conf = {.certs = &cert, .n_certs = 1};
    struct strbuf errors = {0};
    struct tls_server_files *files = tls_server_files_read(&conf, time(NULL), &errors);
    assert_non_null(files);
    assert_non_null(strstr(errors.p, "x.conf:7: warning: cert: "));
    assert_non_null(strstr(errors.p, "has expired"));
    f->server = tls_server_new(f->tls, &conf, files, f->keys, &errors);
    tls_server_files_free(&files);
    strbuf_fini(&errors);
    make_client(f, 0);
    join(f, "a.example");
    until(f->b.s.error != 0);
    assert_string_equal(stream_tls_reason(&f->b.s), "certificate has expired");
    part(f);
}

static void much_goes_through_with_a_slow_reader(void **state)
{
    struct fixture *f = *state;
    uint8_t *data = xmalloc(BULK);
    uint32_t sent = 0, got = 0;

    for (uint32_t i = 0; i < BULK; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 24);
    write_cert(f, &(struct test_cert_wish){.cn = "a", .names = "DNS:a.example"});
    make_server(f);
    make_client(f, 0);
    join(f, "a.example");
    both_ready(f);
    while (got < BULK) {
        if (sent < BULK && f->a.s.out_bytes < STREAM_HIGH_WATER) {
            uint32_t n = BULK - sent < 30000 ? BULK - sent : 30000;
            assert_true(stream_write(&f->a.s, data + sent, n));
            sent += n;
            stream_flush(&f->a.s);
        }
        assert_true(loop_turn(&f->loop, 10) >= 0);
        assert_true(f->b.s.in_bytes <= STREAM_HIGH_WATER + LIMIT_BUF_SIZE);
        while (f->b.s.in != NULL && got % 7 != 3) {
            struct io_buf *b = f->b.s.in;
            assert_memory_equal(b->data, data + got, b->len);
            got += b->len;
            stream_consume(&f->b.s, b->len);
        }
        if (got % 7 == 3 && f->b.s.in != NULL) { /* a turn without reading */
            assert_memory_equal(f->b.s.in->data, data + got, 1);
            got++;
            stream_consume(&f->b.s, 1);
        }
    }
    until(f->a.s.out_bytes == 0);
    assert_int_equal(f->a.s.sent, BULK);
    free(data);
    part(f);
}

static void an_end_is_told_and_a_cut_is_known(void **state)
{
    struct fixture *f = *state;

    write_cert(f, &(struct test_cert_wish){.cn = "a", .names = "DNS:a.example"});
    make_server(f);
    make_client(f, 0);
    join(f, "a.example");
    both_ready(f);
    assert_true(stream_write(&f->b.s, "last", 4));
    stream_shutdown(&f->b.s);
    until(f->a.s.eof);
    assert_int_equal(f->a.s.in_bytes, 4);
    assert_false(stream_tls_truncated(&f->a.s));
    check_message(f, &f->a.s, &f->b.s, "still heard");
    shutdown(f->a.s.fd, SHUT_WR);
    until(f->b.s.eof);
    assert_true(stream_tls_truncated(&f->b.s));
    part(f);
}

static void nonsense_is_refused(void **state)
{
    struct fixture *f = *state;
    int pair[2];

    write_cert(f, &(struct test_cert_wish){.cn = "a", .names = "DNS:a.example"});
    make_server(f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    stream_open(&f->a.s, &f->env, pair[0], on_event);
    assert_true(stream_tls_accept(&f->a.s, f->server));
    stream_read(&f->a.s, STREAM_READ);
    assert_int_equal(write(pair[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
    until(f->a.s.error != 0);
    assert_int_equal(f->a.s.error, -EPROTO);
    assert_string_equal(stream_tls_reason(&f->a.s), "http request");
    stream_stop(&f->a.s);
    until(stream_idle(&f->a.s));
    stream_close(&f->a.s, false);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        T(a_handshake_joins_two_streams),
        T(what_is_queued_before_the_handshake_goes_out_after_it),
        T(a_certificate_for_another_name_is_refused_in_words),
        T(an_expired_certificate_is_refused),
        T(much_goes_through_with_a_slow_reader),
        T(an_end_is_told_and_a_cut_is_known),
        T(nonsense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
