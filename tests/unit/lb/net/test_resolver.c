/* test_resolver.c - the resolver against a name server that the test plays itself: between turns of
 * the loop it reads the questions and answers them as the name says. On both engines. */
#include "lb/base/str.h"
#include "lb/io/loop.h"
#include "lb/net/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TURNS_MAX 3000 /* of at most 10 ms: the test hangs, not the machine */
#define TYPE_A    1
#define TYPE_AAAA 28

struct fixture {
    enum io_engine_kind engine;
    struct loop loop;
    struct resolver *resolver;
    int udp, tcp, tcp_client;
    char servers[64];
    uint32_t asked, asked_tcp;
};

struct outcome {
    uint32_t calls, n;
    struct addr addrs[16];
    char error[64];
};

static void note(void *arg, const struct addr *addrs, uint32_t n, const char *error)
{
    struct outcome *o = arg;
    o->calls++;
    o->n = n;
    for (uint32_t i = 0; i < n && i < ARRAY_LEN(o->addrs); i++)
        o->addrs[i] = addrs[i];
    snprintf(o->error, sizeof(o->error), "%s", error != NULL ? error : "");
}

/* ---- the name server ---- */

static uint8_t *put_u16(uint8_t *p, unsigned v)
{
    *p++ = (uint8_t)(v >> 8);
    *p++ = (uint8_t)v;
    return p;
}

static uint8_t *put_record(uint8_t *p, unsigned type, const void *data, unsigned len)
{
    p = put_u16(p, 0xc00c); /* the name of the question */
    p = put_u16(p, type);
    p = put_u16(p, 1);
    p = put_u16(p, 0);
    p = put_u16(p, 60);
    p = put_u16(p, len);
    memcpy(p, data, len);
    return p + len;
}

/* The first label says what to answer. Returns the answer's length, 0 for none. */
static size_t answer(const uint8_t *q, size_t len, bool over_tcp, uint8_t *out)
{
    static const uint8_t v4[3][4] = {{192, 0, 2, 1}, {192, 0, 2, 2}, {192, 0, 2, 3}};
    static const uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 7};
    size_t at = 12;
    assert_true(len > 12);
    struct str label = {(const char *)q + 13, q[12]};
    while (at < len && q[at] != 0)
        at += q[at] + 1u;
    at++; /* the root */
    assert_true(at + 4 <= len);
    unsigned type = (unsigned)q[at] << 8 | q[at + 1], code = 0, n = 0;
    at += 4;
    memcpy(out, q, at);
    uint8_t *p = out + at;
    bool truncated = false;

    if (str_eq_cstr(label, "silent"))
        return 0;
    if (str_eq_cstr(label, "missing"))
        code = 3;
    else if (str_eq_cstr(label, "broken"))
        code = 2;
    else if (str_eq_cstr(label, "long") && !over_tcp)
        truncated = true;
    else if (str_eq_cstr(label, "twice") && type == TYPE_A) {
        p = put_record(p, TYPE_A, v4[0], 4);
        p = put_record(p, TYPE_A, v4[0], 4);
        n = 2;
    } else if (str_eq_cstr(label, "both") && type == TYPE_AAAA) {
        p = put_record(p, TYPE_AAAA, v6, 16);
        n = 1;
    } else if (!str_eq_cstr(label, "empty") && !str_eq_cstr(label, "twice") && type == TYPE_A) {
        for (; n < 3; n++)
            p = put_record(p, TYPE_A, v4[n], 4);
    }
    put_u16(out + 2, 0x8180 | (truncated ? 0x0200u : 0) | code);
    put_u16(out + 6, n);
    put_u16(out + 8, 0);
    put_u16(out + 10, 0);
    return (size_t)(p - out);
}

static void serve_udp(struct fixture *f)
{
    uint8_t q[512], a[512];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    ssize_t n;
    while ((n = recvfrom(f->udp, q, sizeof(q), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len)) >
           0) {
        size_t len = answer(q, (size_t)n, false, a);
        f->asked++;
        if (len > 0)
            assert_true(sendto(f->udp, a, len, 0, (struct sockaddr *)&from, from_len) > 0);
        from_len = sizeof(from);
    }
}

static void serve_tcp(struct fixture *f)
{
    uint8_t q[1024], a[1024];
    if (f->tcp_client < 0)
        f->tcp_client = accept4(f->tcp, NULL, NULL, SOCK_NONBLOCK);
    if (f->tcp_client < 0)
        return;
    ssize_t have = recv(f->tcp_client, q, sizeof(q), MSG_PEEK | MSG_DONTWAIT);
    if (have == 0) {
        close(f->tcp_client);
        f->tcp_client = -1;
        return;
    }
    if (have < 2 || (size_t)have < 2 + ((size_t)q[0] << 8 | q[1]))
        return;
    size_t len = (size_t)q[0] << 8 | q[1];
    assert_int_equal(recv(f->tcp_client, q, len + 2, 0), len + 2);
    size_t n = answer(q + 2, len, true, a + 2);
    put_u16(a, (unsigned)n);
    f->asked_tcp++;
    assert_int_equal(send(f->tcp_client, a, n + 2, MSG_NOSIGNAL), n + 2);
}

/* ---- set-up ---- */

static int bound(int type, uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof(in);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0) {
        close(fd);
        return -1;
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static struct resolver *make(struct fixture *f, uint32_t timeout_ms)
{
    const char *error = NULL;
    const struct resolver_conf conf = {.servers = f->servers, .timeout_ms = timeout_ms};
    struct resolver *r = resolver_new(&f->loop, &conf, &error);
    assert_non_null(r);
    return r;
}

static int setup_on(void **state, enum io_engine_kind engine)
{
    struct fixture *f = calloc(1, sizeof(*f));
    uint16_t port = 0;
    int error;
    f->engine = engine;
    f->tcp_client = -1;
    for (f->tcp = -1; f->tcp < 0;) { /* a port that is free for both */
        port = 0;
        f->udp = bound(SOCK_DGRAM, &port);
        f->tcp = bound(SOCK_STREAM, &port);
        if (f->tcp < 0)
            close(f->udp);
    }
    listen(f->tcp, 8);
    snprintf(f->servers, sizeof(f->servers), "127.0.0.1:%u", port);
    struct io *io = io_new(&(struct io_conf){.engine = engine}, &error);
    *state = f;
    if (io == NULL) { /* only io_uring can be forbidden here */
        close(f->udp);
        close(f->tcp);
        free(f);
        *state = NULL;
        return 0;
    }
    assert_int_equal(loop_init(&f->loop, io, NULL), 0);
    f->resolver = make(f, 20000);
    return 0;
}

static int setup_epoll(void **state)
{
    return setup_on(state, IO_EPOLL);
}

static int setup_uring(void **state)
{
    return setup_on(state, IO_URING);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f == NULL)
        return 0;
    resolver_free(&f->resolver);
    assert_null(f->resolver);
    for (int i = 0; i < 10; i++)
        loop_turn(&f->loop, 1);
    loop_fini(&f->loop); /* asserts that nothing is armed */
    if (f->tcp_client >= 0)
        close(f->tcp_client);
    close(f->udp);
    close(f->tcp);
    free(f);
    return 0;
}

static void run_until_answered(struct fixture *f, const struct outcome *o)
{
    for (int i = 0; o->calls == 0 && i < TURNS_MAX; i++) {
        loop_turn(&f->loop, 10);
        serve_udp(f);
        serve_tcp(f);
    }
    assert_int_equal(o->calls, 1);
}

static struct outcome ask(struct fixture *f, const char *name)
{
    struct outcome o = {0};
    resolver_ask(f->resolver, name, note, &o);
    assert_int_equal(o.calls, 0); /* never from inside resolver_ask */
    run_until_answered(f, &o);
    return o;
}

static bool has(const struct outcome *o, const char *host)
{
    char text[ADDR_TEXT_MAX];
    for (uint32_t i = 0; i < o->n; i++) {
        if (strcmp(addr_format_host(&o->addrs[i], text), host) == 0)
            return addr_port(&o->addrs[i]) == 0;
    }
    return false;
}

#define NEED(f)                                                                                    \
    struct fixture *f = *state;                                                                    \
    if (f == NULL)                                                                                 \
    skip()

/* ---- tests ---- */

static void a_name_gives_its_addresses(void **state)
{
    NEED(f);
    struct outcome o = ask(f, "web.example");
    assert_int_equal(o.n, 3);
    assert_true(has(&o, "192.0.2.1") && has(&o, "192.0.2.2") && has(&o, "192.0.2.3"));
    assert_string_equal(o.error, "");
}

static void both_families_are_given(void **state)
{
    NEED(f);
    struct outcome o = ask(f, "both.example");
    assert_int_equal(o.n, 4);
    assert_true(has(&o, "192.0.2.1") && has(&o, "2001:db8::7"));
}

static void an_address_that_comes_twice_is_given_once(void **state)
{
    NEED(f);
    struct outcome o = ask(f, "twice.example");
    assert_int_equal(o.n, 1);
    assert_true(has(&o, "192.0.2.1"));
}

static void failures_are_told_apart(void **state)
{
    NEED(f);
    assert_string_equal(ask(f, "missing.example").error, "no such name");
    assert_string_equal(ask(f, "empty.example").error, "no address");
    assert_string_equal(ask(f, "broken.example").error, "server failure");
}

static void a_silent_server_is_a_timeout(void **state)
{
    NEED(f);
    resolver_free(&f->resolver);
    f->resolver = make(f, 30);
    assert_string_equal(ask(f, "silent.example").error, "timeout");
    assert_true(f->asked > 2); /* it was asked again */
}

static void an_answer_too_long_for_udp_comes_over_tcp(void **state)
{
    NEED(f);
    struct outcome o = ask(f, "long.example");
    assert_int_equal(o.n, 3);
    assert_true(f->asked_tcp > 0);
}

static void a_literal_address_needs_no_server(void **state)
{
    NEED(f);
    struct outcome o = ask(f, "198.51.100.7");
    assert_int_equal(o.n, 1);
    assert_true(has(&o, "198.51.100.7"));
    assert_int_equal(f->asked, 0);
}

static void the_same_name_is_asked_anew_each_time(void **state)
{
    NEED(f);
    ask(f, "web.example");
    uint32_t before = f->asked;
    ask(f, "web.example");
    assert_true(f->asked > before);
}

static void a_hundred_questions_at_once_are_all_answered(void **state)
{
    NEED(f);
    static struct outcome o[100];
    memset(o, 0, sizeof(o));
    for (size_t i = 0; i < ARRAY_LEN(o); i++) {
        char name[32];
        snprintf(name, sizeof(name), "%s.n%zu.example", i % 3 == 0 ? "missing" : "web", i);
        resolver_ask(f->resolver, name, note, &o[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(o); i++) {
        run_until_answered(f, &o[i]);
        assert_int_equal(o[i].n, i % 3 == 0 ? 0 : 3);
    }
}

static void freeing_answers_what_is_pending(void **state)
{
    NEED(f);
    struct outcome silent = {0}, answered = {0};
    resolver_ask(f->resolver, "silent.example", note, &silent);
    loop_turn(&f->loop, 1);
    resolver_ask(f->resolver, "192.0.2.9", note, &answered); /* known, not told yet */
    resolver_free(&f->resolver);
    assert_int_equal(silent.calls, 1);
    assert_string_equal(silent.error, "cancelled");
    assert_int_equal(answered.calls, 1);
    assert_string_equal(answered.error, "cancelled");
    loop_turn(&f->loop, 1);
    assert_int_equal(answered.calls, 1);
}

static void free_in_callback(void *arg, const struct addr *addrs, uint32_t n, const char *error)
{
    struct fixture *f = arg;
    (void)addrs;
    (void)n;
    (void)error;
    resolver_free(&f->resolver);
}

static void an_answer_may_free_the_resolver(void **state)
{
    NEED(f);
    struct outcome other = {0};
    resolver_ask(f->resolver, "192.0.2.9", free_in_callback, f);
    resolver_ask(f->resolver, "silent.example", note, &other);
    for (int i = 0; f->resolver != NULL && i < TURNS_MAX; i++)
        loop_turn(&f->loop, 10);
    assert_null(f->resolver);
    assert_string_equal(other.error, "cancelled");
}

static void malformed_servers_are_refused(void **state)
{
    NEED(f);
    const char *error = NULL;
    const struct resolver_conf conf = {.servers = "not a server", .timeout_ms = 1000};
    assert_null(resolver_new(&f->loop, &conf, &error));
    assert_non_null(error);
}

#define ON_BOTH(test)                                                                              \
    {"epoll: " #test, test, setup_epoll, teardown, NULL},                                          \
    {                                                                                              \
        "io_uring: " #test, test, setup_uring, teardown, NULL                                      \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_name_gives_its_addresses),
        ON_BOTH(both_families_are_given),
        ON_BOTH(an_address_that_comes_twice_is_given_once),
        ON_BOTH(failures_are_told_apart),
        ON_BOTH(a_silent_server_is_a_timeout),
        ON_BOTH(an_answer_too_long_for_udp_comes_over_tcp),
        ON_BOTH(a_literal_address_needs_no_server),
        ON_BOTH(the_same_name_is_asked_anew_each_time),
        ON_BOTH(a_hundred_questions_at_once_are_all_answered),
        ON_BOTH(freeing_answers_what_is_pending),
        ON_BOTH(an_answer_may_free_the_resolver),
        ON_BOTH(malformed_servers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
