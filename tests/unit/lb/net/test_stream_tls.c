/* test_stream_tls.c - TLS between two streams that are joined by a socket pair, on the epoll
 * engine. */
#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/net/stream_tls_priv.h"
#include "tests/support/tls_pair.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define BULK (3u << 20)

static void make_server(struct tls_pair *p)
{
    static char *alpn[] = {(char *)"h2", (char *)"http/1.1"};

    tls_pair_cert(p, "a", &(struct test_cert_wish){.cn = "a", .names = "DNS:a.example"}, NULL);
    tls_pair_server(p,
                    (struct tls_server_conf){
                        .profile = TLS_INTERMEDIATE, .tickets = true, .alpn = alpn, .n_alpn = 2},
                    "a");
}

static void make_client(struct tls_pair *p, uint16_t version)
{
    tls_pair_client(p, (struct tls_client_conf){.verify = true, .max_version = version});
}

static int setup(void **state)
{
    *state = tls_pair_new();
    make_server(*state);
    make_client(*state, 0);
    return 0;
}

static int teardown(void **state)
{
    tls_pair_free(*state);
    return 0;
}

static void join(struct tls_pair *p)
{
    tls_pair_join(p, "a.example", STR("\x02h2"));
}

static void join_whole(struct tls_pair *p)
{
    join(p);
    if (!tls_pair_shake(p))
        fail_msg("server: %s, client: %s", stream_tls_reason(&p->a), stream_tls_reason(&p->b));
}

static void talk(struct tls_pair *p)
{
    tls_pair_message(p, &p->b, &p->a, "hello");
    tls_pair_message(p, &p->a, &p->b, "world");
}

/* ---- handshakes ---- */

static void a_handshake_joins_two_streams(void **state)
{
    struct tls_pair *p = *state;

    for (uint16_t version = 0x0303; version <= 0x0304; version++) {
        make_client(p, version);
        join_whole(p);
        assert_true(str_eq_cstr(stream_tls_alpn(&p->a), "h2"));
        talk(p);
        tls_pair_until(p, p->a.sent == 5);
        assert_int_equal(p->a.out_bytes, 0);
        assert_true(stream_sent_all(&p->a));
        tls_pair_part(p);
    }
}

static void what_is_queued_before_the_handshake_goes_out_after_it(void **state)
{
    struct tls_pair *p = *state;

    join(p);
    assert_true(stream_write(&p->b, "early", 5));
    stream_flush(&p->b);
    assert_false(stream_sent_all(&p->b));
    tls_pair_until(p, p->a.in_bytes == 5);
    tls_pair_part(p);
}

static void a_certificate_for_another_name_is_refused_in_words(void **state)
{
    struct tls_pair *p = *state;

    tls_pair_join(p, "b.example", STR(""));
    tls_pair_until(p, p->b.error != 0 && p->a.error != 0);
    assert_int_equal(p->b.error, -EPROTO);
    assert_string_equal(stream_tls_reason(&p->b), "hostname mismatch");
    assert_false(stream_tls_ready(&p->b));
    tls_pair_part(p);
}

static void an_expired_certificate_is_refused(void **state)
{
    struct tls_pair *p = *state;

    tls_pair_cert(p, "old",
                  &(struct test_cert_wish){
                      .cn = "a", .names = "DNS:a.example", .from_s = -7200, .to_s = -3600},
                  NULL);
    tls_pair_server(p, (struct tls_server_conf){0}, "old");
    assert_non_null(strstr(p->errors, "x.conf:7: warning: cert: "));
    assert_non_null(strstr(p->errors, "has expired"));
    join(p);
    tls_pair_until(p, p->b.error != 0);
    assert_string_equal(stream_tls_reason(&p->b), "certificate has expired");
    tls_pair_part(p);
}

static void an_address_is_looked_for_among_addresses(void **state)
{
    struct tls_pair *p = *state;

    tls_pair_cert(p, "ip", &(struct test_cert_wish){.cn = "127.0.0.2", .names = "IP:127.0.0.1"},
                  NULL);
    tls_pair_server(p, (struct tls_server_conf){0}, "ip");
    tls_pair_join(p, "127.0.0.1", STR(""));
    assert_true(tls_pair_shake(p));
    tls_pair_part(p);
    tls_pair_join(p, "127.0.0.2", STR(""));
    tls_pair_until(p, p->b.error != 0);
    assert_string_equal(stream_tls_reason(&p->b), "IP address mismatch");
    tls_pair_part(p);
}

static void a_peer_that_leaves_amid_the_handshake_is_told_of(void **state)
{
    struct tls_pair *p = *state;

    join(p);
    shutdown(p->a.fd, SHUT_WR);
    tls_pair_until(p, p->b.error != 0);
    assert_int_equal(p->b.error, -EPROTO);
    assert_string_equal(stream_tls_reason(&p->b), "the peer has left");
    tls_pair_part(p);
}

static void nonsense_is_refused(void **state)
{
    struct tls_pair *p = *state;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    stream_open(&p->a, &p->env, pair[0], tls_pair_event);
    assert_true(stream_tls_accept(&p->a, p->server));
    stream_read(&p->a, STREAM_READ);
    assert_int_equal(write(pair[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
    tls_pair_until(p, p->a.error != 0);
    assert_int_equal(p->a.error, -EPROTO);
    assert_string_equal(stream_tls_reason(&p->a), "http request");
    stream_stop(&p->a);
    tls_pair_until(p, stream_idle(&p->a));
    stream_close(&p->a, false);
    close(pair[1]);
}

/* Why: with implicit fetches all threads meet in one context's locks. From here on the default
 * context has nothing to offer, so that whatever asks it for something fails. */
static void nothing_is_fetched_from_the_default_context(void **state)
{
    struct tls_pair *p = *state;
    struct tls_facts facts;

    tls_pair_cert(p, "me", &(struct test_cert_wish){.cn = "me"}, NULL);
    tls_pair_server(p,
                    (struct tls_server_conf){.profile = TLS_INTERMEDIATE,
                                             .tickets = true,
                                             .verify = TLS_VERIFY_REQUIRED,
                                             .client_ca = p->ca},
                    "a");
    char *cert = (char *)(uintptr_t)tls_pair_path(p, "me.pem");
    char *key = (char *)(uintptr_t)tls_pair_path(p, "me.key");
    for (uint16_t version = 0x0303; version <= 0x0304; version++) {
        tls_pair_client(p, (struct tls_client_conf){
                               .verify = true, .max_version = version, .cert = cert, .key = key});
        assert_int_equal(EVP_set_default_properties(NULL, "provider=none"), 1);
        assert_null(EVP_MD_fetch(NULL, "SHA256", NULL));
        for (int i = 0; i < 2; i++) {
            tls_pair_join(p, "a.example", STR(""));
            bool good = tls_pair_shake(p);
            if (!good)
                EVP_set_default_properties(NULL, "");
            assert_true(good);
            talk(p);
            assert_true(stream_tls_facts(&p->a, &facts));
            assert_int_equal(facts.client_fingerprint.len, 64);
            assert_int_equal(facts.resumed, i == 1);
            tls_pair_part(p);
        }
        assert_int_equal(EVP_set_default_properties(NULL, ""), 1);
    }
}

/* ---- pieces ---- */

/* A client stream and a server stream that do not meet: the test carries the bytes between. */
struct carrier {
    int to_a, to_b;
    uint32_t piece; /* bytes at a time */
};

static void join_apart(struct tls_pair *p, struct carrier *c, uint32_t piece)
{
    int one[2], two[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, one), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, two), 0);
    *c = (struct carrier){.to_a = one[1], .to_b = two[1], .piece = piece};
    stream_open(&p->a, &p->env, one[0], tls_pair_event);
    stream_open(&p->b, &p->env, two[0], tls_pair_event);
    p->joined = true;
    assert_true(stream_tls_accept(&p->a, p->server));
    assert_true(
        stream_tls_connect(&p->b, p->client, TLS_NO_MEMBER, STR("a.example"), STR("\x02h2")));
    stream_read(&p->a, STREAM_READ);
    stream_read(&p->b, STREAM_READ);
}

static bool carry_one(struct tls_pair *p, int from, int to, uint32_t piece)
{
    uint8_t data[4096];
    ssize_t n = recv(from, data, piece, 0);

    if (n <= 0)
        return false;
    assert_int_equal(send(to, data, (size_t)n, 0), n);
    loop_turn(&p->loop, 0);
    return true;
}

static void carry(struct tls_pair *p, const struct carrier *c)
{
    loop_turn(&p->loop, 0);
    while (carry_one(p, c->to_b, c->to_a, c->piece) || carry_one(p, c->to_a, c->to_b, c->piece))
        ;
}

static void carry_until_ready(struct tls_pair *p, const struct carrier *c)
{
    for (int i = 0; i < 1000 && !(stream_tls_ready(&p->a) && stream_tls_ready(&p->b)); i++)
        carry(p, c);
    assert_true(stream_tls_ready(&p->a) && stream_tls_ready(&p->b));
}

static void part_apart(struct tls_pair *p, const struct carrier *c)
{
    tls_pair_part(p);
    close(c->to_a);
    close(c->to_b);
}

static void records_may_come_in_pieces_of_any_size(void **state)
{
    static const uint32_t pieces[] = {1, 2, 3, 5, 7, 64, 1000};
    struct tls_pair *p = *state;
    struct carrier c;
    char text[3000];

    memset(text, 'x', sizeof(text));
    for (uint16_t version = 0x0303; version <= 0x0304; version++) {
        make_client(p, version);
        for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
            join_apart(p, &c, pieces[i]);
            carry_until_ready(p, &c);
            assert_true(stream_write(&p->b, text, sizeof(text)));
            stream_flush(&p->b);
            for (int n = 0; n < 1000 && p->a.in_bytes < sizeof(text); n++)
                carry(p, &c);
            assert_int_equal(p->a.in_bytes, sizeof(text));
            part_apart(p, &c);
        }
    }
}

/* A cut is told at every byte of a record, and what was whole before it is delivered. */
static void a_record_cut_anywhere_is_known_as_cut(void **state)
{
    struct tls_pair *p = *state;
    struct carrier c;
    uint8_t record[256];

    for (ssize_t cut = 0;; cut++) {
        join_apart(p, &c, 4096);
        carry_until_ready(p, &c);
        carry(p, &c); /* tickets */
        assert_true(stream_write(&p->b, "whole", 5));
        stream_flush(&p->b);
        tls_pair_turn(p);
        ssize_t n = recv(c.to_b, record, sizeof(record), 0);
        assert_in_range(n, 20, 200);
        bool end = cut > n;
        if (!end) {
            assert_int_equal(send(c.to_a, record, (size_t)cut, 0), cut);
            shutdown(c.to_a, SHUT_WR);
            tls_pair_until(p, p->a.eof || p->a.error != 0);
            assert_int_equal(p->a.error, 0);
            assert_true(stream_tls_truncated(&p->a));
            assert_int_equal(p->a.in_bytes, cut == n ? 5 : 0);
        }
        part_apart(p, &c);
        if (end)
            break;
    }
}

static void a_record_that_was_changed_ends_the_connection(void **state)
{
    struct tls_pair *p = *state;
    struct carrier c;
    uint8_t record[256];

    join_apart(p, &c, 4096);
    carry_until_ready(p, &c);
    carry(p, &c);
    assert_true(stream_write(&p->b, "whole", 5));
    stream_flush(&p->b);
    tls_pair_turn(p);
    ssize_t n = recv(c.to_b, record, sizeof(record), 0);
    assert_in_range(n, 20, 200);
    record[n - 1] ^= 1;
    assert_int_equal(send(c.to_a, record, (size_t)n, 0), n);
    tls_pair_until(p, p->a.error != 0);
    assert_int_equal(p->a.error, -EPROTO);
    assert_string_equal(stream_tls_reason(&p->a), "decryption failed or bad record mac");
    assert_int_equal(p->a.in_bytes, 0);
    part_apart(p, &c);
}

/* ---- bytes ---- */

static void much_goes_through_with_a_slow_reader(void **state)
{
    struct tls_pair *p = *state;
    uint8_t *data = xmalloc(BULK);
    uint32_t sent = 0, got = 0;

    for (uint32_t i = 0; i < BULK; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 24);
    join_whole(p);
    while (got < BULK) {
        if (sent < BULK && p->a.out_bytes < STREAM_HIGH_WATER) {
            uint32_t n = BULK - sent < 30000 ? BULK - sent : 30000;
            assert_true(stream_write(&p->a, data + sent, n));
            sent += n;
            stream_flush(&p->a);
        }
        assert_true(loop_turn(&p->loop, 10) >= 0);
        assert_true(p->b.in_bytes <= STREAM_HIGH_WATER + LIMIT_BUF_SIZE);
        while (p->b.in != NULL && got % 7 != 3) {
            struct io_buf *b = p->b.in;
            assert_memory_equal(b->data, data + got, b->len);
            got += b->len;
            stream_consume(&p->b, b->len);
        }
        if (got % 7 == 3 && p->b.in != NULL) { /* a turn without reading */
            assert_memory_equal(p->b.in->data, data + got, 1);
            got++;
            stream_consume(&p->b, 1);
        }
    }
    tls_pair_until(p, p->a.out_bytes == 0);
    assert_int_equal(p->a.sent, BULK);
    free(data);
    tls_pair_part(p);
}

/* RFC 6066 section 4: small devices ask for records of 512 bytes, less than we make by ourselves.
 */
static void a_peer_that_wants_small_records_gets_every_byte(void **state)
{
    struct tls_pair *p = *state;
    enum { BYTES = 100000 };
    uint8_t *data = xmalloc(BYTES);
    uint32_t got = 0;

    for (uint32_t i = 0; i < BYTES; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 24);
    for (uint16_t version = 0x0303; version <= 0x0304; version++) {
        make_client(p, version);
        join(p);
        SSL_set_tlsext_max_fragment_length(p->b.tls->ssl, TLSEXT_max_fragment_length_512);
        assert_true(tls_pair_shake(p));
        assert_true(stream_write(&p->a, data, 700));
        assert_true(stream_write(&p->a, data + 700, BYTES - 700));
        stream_flush(&p->a);
        for (got = 0; got < BYTES;) {
            tls_pair_until(p, p->b.in != NULL);
            struct io_buf *b = p->b.in;
            assert_memory_equal(b->data, data + got, b->len);
            got += b->len;
            stream_consume(&p->b, b->len);
        }
        assert_int_equal(got, BYTES);
        tls_pair_part(p);
    }
    free(data);
}

static void what_nobody_takes_is_not_opened(void **state)
{
    struct tls_pair *p = *state;
    uint8_t data[30000] = {0};

    join_whole(p);
    for (int i = 0; i < 200; i++) { /* 6 MB: more than all sockets between hold */
        if (p->b.out_bytes < 4 * STREAM_HIGH_WATER)
            assert_true(stream_write(&p->b, data, sizeof(data)));
        stream_flush(&p->b);
        loop_turn(&p->loop, 0);
        assert_true(p->a.in_bytes <= STREAM_HIGH_WATER + LIMIT_BUF_SIZE);
    }
    assert_true(stream_blocked(&p->b));
    assert_true(p->a.in_bytes >= STREAM_HIGH_WATER);
    tls_pair_part(p);
}

static void an_end_is_told_and_a_cut_is_known(void **state)
{
    struct tls_pair *p = *state;

    join_whole(p);
    assert_true(stream_write(&p->b, "last", 4));
    stream_shutdown(&p->b);
    tls_pair_until(p, p->a.eof);
    assert_int_equal(p->a.in_bytes, 4);
    assert_false(stream_tls_truncated(&p->a));
    tls_pair_message(p, &p->a, &p->b, "still heard");
    shutdown(p->a.fd, SHUT_WR);
    tls_pair_until(p, p->b.eof);
    assert_true(stream_tls_truncated(&p->b));
    tls_pair_part(p);
}

/* ---- early data: the client is OpenSSL's, ours sends none ---- */

struct early_client {
    SSL_CTX *ctx;
    SSL *ssl;
    SSL_SESSION *session;
};

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct early_client *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    SSL_SESSION_free(c->session);
    c->session = session;
    return 1;
}

static void early_setup(struct tls_pair *p, struct early_client *c, bool early)
{
    tls_pair_server(p, (struct tls_server_conf){.tickets = true, .early_data = early}, "a");
    *c = (struct early_client){.ctx = SSL_CTX_new(TLS_client_method())};
    SSL_CTX_set_app_data(c->ctx, c);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ctx, keep_session);
}

static int early_connect(struct tls_pair *p, struct early_client *c, SSL_SESSION *session)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    stream_open(&p->a, &p->env, pair[0], tls_pair_event);
    assert_true(stream_tls_accept(&p->a, p->server));
    stream_read(&p->a, STREAM_READ);
    c->ssl = SSL_new(c->ctx);
    SSL_set_fd(c->ssl, pair[1]);
    SSL_set_connect_state(c->ssl);
    if (session != NULL)
        SSL_set_session(c->ssl, session);
    return pair[1];
}

static void early_shake(struct tls_pair *p, struct early_client *c)
{
    for (int i = 0; i < 1000 && !(SSL_do_handshake(c->ssl) == 1 && stream_tls_ready(&p->a)); i++)
        loop_turn(&p->loop, 1);
    assert_true(stream_tls_ready(&p->a));
}

static void early_read(struct tls_pair *p, struct early_client *c, const char *expected)
{
    char text[32] = "";
    size_t n = 0;

    for (int i = 0; i < 1000 && SSL_read_ex(c->ssl, text, sizeof(text) - 1, &n) != 1; i++)
        loop_turn(&p->loop, 1);
    assert_int_equal(n, strlen(expected));
    assert_string_equal(text, expected);
}

static void early_end(struct tls_pair *p, struct early_client *c, int fd)
{
    stream_stop(&p->a);
    tls_pair_until(p, stream_idle(&p->a));
    stream_close(&p->a, false);
    SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or it is not resumed */
    SSL_free(c->ssl);
    c->ssl = NULL;
    close(fd);
}

/* A session with a ticket, ours to use again and again: copies keep it from being used up. */
static SSL_SESSION *early_session(struct tls_pair *p, struct early_client *c)
{
    int fd = early_connect(p, c, NULL);

    early_shake(p, c);
    assert_true(stream_write(&p->a, "x", 1));
    stream_flush(&p->a);
    early_read(p, c, "x");
    early_end(p, c, fd);
    assert_non_null(c->session);
    return SSL_SESSION_dup(c->session);
}

/* Sends `text` early. Whether the server has taken it so. */
static bool send_early(struct tls_pair *p, struct early_client *c, const char *text)
{
    size_t n;

    assert_int_equal(SSL_write_early_data(c->ssl, text, strlen(text), &n), 1);
    for (int i = 0; i < 20; i++)
        loop_turn(&p->loop, 1);
    return stream_tls_early(&p->a);
}

static void early_data_may_be_answered_before_the_handshake_is_over(void **state)
{
    struct tls_pair *p = *state;
    struct early_client c;

    early_setup(p, &c, true);
    SSL_SESSION *session = early_session(p, &c);
    assert_int_equal(SSL_SESSION_get_max_early_data(session), 16384);
    int fd = early_connect(p, &c, session);
    assert_true(send_early(p, &c, "GET"));
    assert_false(stream_tls_ready(&p->a));
    assert_int_equal(p->a.in_bytes, 3);
    assert_true(stream_write(&p->a, "OK", 2));
    stream_flush(&p->a);
    early_shake(p, &c);
    early_read(p, &c, "OK");
    assert_false(stream_tls_early(&p->a)); /* nobody can have replayed it */
    assert_true(stream_tls_resumed(&p->a));
    assert_int_equal(SSL_get_early_data_status(c.ssl), SSL_EARLY_DATA_ACCEPTED);
    size_t n;
    assert_int_equal(SSL_write_ex(c.ssl, "more", 4, &n), 1);
    tls_pair_until(p, p->a.in_bytes == 7);
    early_end(p, &c, fd);
    SSL_SESSION_free(session);
    SSL_SESSION_free(c.session);
    SSL_CTX_free(c.ctx);
}

static void early_data_comes_once_with_a_ticket(void **state)
{
    struct tls_pair *p = *state;
    struct early_client c;

    early_setup(p, &c, true);
    SSL_SESSION *session = early_session(p, &c), *copy = SSL_SESSION_dup(session);
    int fd = early_connect(p, &c, session);
    assert_true(send_early(p, &c, "GET"));
    early_end(p, &c, fd);
    fd = early_connect(p, &c, copy);
    assert_false(send_early(p, &c, "GET"));
    early_shake(p, &c);
    assert_int_equal(SSL_get_early_data_status(c.ssl), SSL_EARLY_DATA_REJECTED);
    assert_int_equal(p->a.in_bytes, 0);
    assert_true(stream_tls_resumed(&p->a));
    early_end(p, &c, fd);
    SSL_SESSION_free(session);
    SSL_SESSION_free(copy);
    SSL_SESSION_free(c.session);
    SSL_CTX_free(c.ctx);
}

static void early_data_is_not_taken_unless_asked_for(void **state)
{
    struct tls_pair *p = *state;
    struct early_client c;

    early_setup(p, &c, false);
    SSL_SESSION *session = early_session(p, &c);
    assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
    SSL_SESSION_free(session);
    SSL_SESSION_free(c.session);
    SSL_CTX_free(c.ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        T(a_handshake_joins_two_streams),
        T(what_is_queued_before_the_handshake_goes_out_after_it),
        T(a_certificate_for_another_name_is_refused_in_words),
        T(an_expired_certificate_is_refused),
        T(an_address_is_looked_for_among_addresses),
        T(a_peer_that_leaves_amid_the_handshake_is_told_of),
        T(nonsense_is_refused),
        T(nothing_is_fetched_from_the_default_context),
        T(records_may_come_in_pieces_of_any_size),
        T(a_record_cut_anywhere_is_known_as_cut),
        T(a_record_that_was_changed_ends_the_connection),
        T(much_goes_through_with_a_slow_reader),
        T(a_peer_that_wants_small_records_gets_every_byte),
        T(what_nobody_takes_is_not_opened),
        T(an_end_is_told_and_a_cut_is_known),
        T(early_data_may_be_answered_before_the_handshake_is_over),
        T(early_data_comes_once_with_a_ticket),
        T(early_data_is_not_taken_unless_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
