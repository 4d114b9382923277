/* test_tcp_tls_sessions.c - sessions of mode tcp with TLS, with clients, with backends and with
 * both, on the simulated engine: whole lives in every order that a seed comes up with, against what
 * must hold whatever happens. And those whose pool is chosen by SNI without decrypting. */
#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/net/tls_files.h"
#include "lb/net/tls_ticket.h"
#include "lb/proxy/sni_table.h"
#include "lb/proxy/tls_contexts.h"
#include "tests/sim/sim_farm.h"
#include "tests/sim/sim_http.h"
#include "tests/sim/sim_tls_peer.h"
#include "tests/support/client_hello.h"
#include "tests/support/test_cert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS 8
#define LARGE   150000 /* bytes */

/* ---- certificates, made once ---- */

static struct {
    char dir[64], cert[96], key[96];
    struct test_cert made;
    SSL_CTX *far_client, *far_server;
    struct tls_keyring *keys;
} world;

static int make_world(void **state)
{
    (void)state;
    strcpy(world.dir, "/tmp/sluice-test-XXXXXX");
    assert_non_null(mkdtemp(world.dir));
    snprintf(world.cert, sizeof(world.cert), "%s/cert.pem", world.dir);
    snprintf(world.key, sizeof(world.key), "%s/key.pem", world.dir);
    world.made = test_cert_new(
        &(struct test_cert_wish){.cn = "a", .names = "DNS:a.example", .rsa_bits = 2048}, NULL);
    test_cert_write(&world.made, world.cert, world.key);
    world.keys = tls_keyring_new();
    world.far_client = SSL_CTX_new(TLS_client_method());
    world.far_server = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(world.far_client, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    assert_int_equal(SSL_CTX_use_certificate(world.far_server, world.made.x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(world.far_server, world.made.key), 1);
    return 0;
}

static int free_world(void **state)
{
    (void)state;
    SSL_CTX_free(world.far_client);
    SSL_CTX_free(world.far_server);
    tls_keyring_free(&world.keys);
    test_cert_free(&world.made);
    unlink(world.cert);
    unlink(world.key);
    rmdir(world.dir);
    return 0;
}

/* ---- a farm with TLS ---- */

struct tls_farm;

struct place { /* a server's arg */
    struct tls_farm *farm;
    struct sim_server *server;
};

struct tls_farm {
    struct farm farm; /* first */
    struct place places[BACKENDS];
    struct tls_server_conf server;
    struct tls_cert_conf cert;
    struct tls_client_conf client;
    struct sni_table *sni;
    bool front, back;
    bool hasty; /* servers end behind their greeting */
};

static void make_server(struct tls_farm *f, struct strbuf *errors)
{
    f->cert = (struct tls_cert_conf){.cert = world.cert, .key = world.key};
    f->server = (struct tls_server_conf){
        .certs = &f->cert, .n_certs = 1, .profile = TLS_INTERMEDIATE, .tickets = true};
    struct tls_server_files *files = tls_server_files_read(&f->server, time(NULL), errors);
    assert_non_null(files);
    struct tls_server *t =
        tls_server_new(f->farm.contexts->env, &f->server, files, world.keys, errors);
    assert_non_null(t);
    tls_contexts_set_server(f->farm.contexts, 0, &t);
    tls_server_files_free(&files);
    f->farm.listener_conf.tls = &f->server;
}

static void make_client(struct tls_farm *f, struct strbuf *errors)
{
    f->client = (struct tls_client_conf){.verify = false};
    struct tls_client_files *files = tls_client_files_read(&f->client, time(NULL), errors);
    assert_non_null(files);
    struct tls_client *t =
        tls_client_new(f->farm.contexts->env, &f->client, files, BACKENDS, errors);
    assert_non_null(t);
    tls_contexts_set_client(f->farm.contexts, 0, &t);
    tls_client_files_free(&files);
    f->farm.pool_conf.tls = &f->client;
}

static void tls_farm_init(struct tls_farm *f, const struct sim_conf *conf, sim_peer_fn *server_fn)
{
    struct strbuf errors = {0};

    farm_init(&f->farm, conf, server_fn, CLIENTS);
    for (uint32_t i = 0; i < BACKENDS; i++) {
        f->places[i] = (struct place){f, f->farm.servers[i]};
        f->farm.servers[i]->arg = &f->places[i];
        strcpy(f->farm.backends[i].address.host, "a.example");
    }
    f->farm.listener_conf.handshake_timeout_ms = 7200000;
    f->farm.listener_conf.tunnel_timeout_ms = 72000000;
    f->farm.pool_conf.connect_timeout_ms = 7200000; /* the network may be slow */
    f->farm.contexts = tls_contexts_new(1, 1, &errors);
    assert_non_null(f->farm.contexts);
    switch (sim_below(f->farm.sim, 3)) {
    case 0:
        f->front = true;
        break;
    case 1:
        f->back = true;
        break;
    default:
        f->front = f->back = true;
        break;
    }
    if (f->front)
        make_server(f, &errors);
    if (f->back)
        make_client(f, &errors);
    strbuf_fini(&errors);
}

static void tls_farm_end(struct tls_farm *f)
{
    farm_end(&f->farm);
    sni_table_free(&f->sni);
    sim_tls_peer_free_all();
}

/* ---- far ends, with TLS or without ---- */

struct end; /* of a connection: a client, or a backend's side */
typedef void end_fn(struct end *e, enum sim_event event);

struct end {
    struct tls_farm *farm;
    struct sim_peer *peer;
    struct sim_tls_peer *tls; /* NULL: plain */
    end_fn *fn;
    uint64_t wants, received, at;
    bool over;
};

static void end_send(struct end *e, const void *data, size_t n)
{
    if (e->tls != NULL)
        sim_tls_peer_send(e->tls, data, n);
    else
        sim_peer_send(e->peer, data, n);
}

static ssize_t end_read(struct end *e, void *data, size_t n)
{
    return e->tls != NULL ? sim_tls_peer_read(e->tls, data, n) : sim_peer_read(e->peer, data, n);
}

static void end_shutdown(struct end *e)
{
    if (e->tls != NULL)
        sim_tls_peer_shutdown(e->tls);
    else
        sim_peer_shutdown(e->peer);
}

static void on_plain(struct sim_peer *p, enum sim_event event)
{
    struct end *e = p->arg;

    e->fn(e, event);
}

static void on_tls(struct sim_tls_peer *t, enum sim_event event)
{
    struct end *e = t->arg;

    e->fn(e, event);
}

static void end_open(struct end *e, struct tls_farm *f, struct sim_peer *p, bool server, end_fn *fn)
{
    bool tls = server ? f->back : f->front;

    e->farm = f;
    e->peer = p;
    e->fn = fn;
    p->arg = e;
    p->fn = on_plain;
    if (tls)
        e->tls =
            sim_tls_peer_new(p, server ? world.far_server : world.far_client, server, on_tls, e);
}

/* A server's connection needs memory of its own, until the end of the life. */
static struct end *server_ends[4096];
static size_t n_server_ends;

static struct end *new_server_end(struct sim_peer *p, end_fn *fn)
{
    struct place *place = p->arg;
    struct end *e = xcalloc(1, sizeof(*e));

    assert_true(n_server_ends < ARRAY_LEN(server_ends));
    server_ends[n_server_ends++] = e;
    end_open(e, place->farm, p, true, fn);
    return e;
}

static void free_server_ends(void)
{
    while (n_server_ends > 0)
        free(server_ends[--n_server_ends]);
}

static void send_pattern(struct end *e, uint64_t tag, uint64_t from, size_t n)
{
    uint8_t *bytes = xmalloc(n + 1);

    for (size_t i = 0; i < n; i++)
        bytes[i] = sim_pattern(tag, from + i);
    end_send(e, bytes, n);
    free(bytes);
}

/* All there is, checked; the last result. */
static ssize_t read_pattern(struct end *e, uint64_t tag)
{
    uint8_t bytes[4096];
    ssize_t n;

    while ((n = end_read(e, bytes, sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(bytes[i], sim_pattern(tag, e->received + (uint64_t)i));
        e->received += (uint64_t)n;
    }
    return n;
}

static void end_over(struct end *e)
{
    if (e->over)
        return;
    e->over = true;
    e->farm->farm.done++;
}

static void open_client(struct tls_farm *f, struct end *e, end_fn *fn)
{
    struct sim_peer *p = sim_dial(f->farm.sim, &f->farm.front.sa, f->farm.front.len, NULL);

    assert_non_null(p);
    end_open(e, f, p, false, fn);
}

/* ---- bytes ---- */

/* Echoes; ends when the near end has ended. */
static void echo_end(struct end *e, enum sim_event event)
{
    uint8_t bytes[4096];
    ssize_t n;

    if (event != SIM_DATA && event != SIM_END)
        return;
    while ((n = end_read(e, bytes, sizeof(bytes))) > 0)
        end_send(e, bytes, (size_t)n);
    if (n == 0 && !e->over) {
        e->over = true;
        end_shutdown(e);
    }
}

static void echo_server(struct sim_peer *p, enum sim_event event)
{
    if (event == SIM_CONNECTED)
        new_server_end(p, echo_end);
}

static void echo_client(struct end *e, enum sim_event event)
{
    if (event == SIM_RESET && !e->over)
        fail_msg("client %u was reset after %llu of %llu bytes", e->peer->id,
                 (unsigned long long)e->received, (unsigned long long)e->wants);
    if ((event != SIM_DATA && event != SIM_END) || e->over)
        return;
    ssize_t n = read_pattern(e, e->peer->id);
    assert_int_not_equal(n, -EPROTO);
    if (n != 0)
        return;
    assert_int_equal(e->received, e->wants);
    end_over(e);
    sim_peer_close(e->peer);
}

static void echo_life(uint64_t seed, void *arg)
{
    static const enum sim_mood moods[] = {SIM_REFUSES, SIM_HANGS};
    const struct sim_conf conf = {.seed = seed};
    struct tls_farm f = {0};
    struct end clients[CLIENTS] = {0};

    (void)arg;
    tls_farm_init(&f, &conf, echo_server);
    f.farm.pool_conf.balance.kind = (enum balance_kind)sim_below(f.farm.sim, BALANCE_FIRST + 1);
    some_moods(&f.farm, moods, ARRAY_LEN(moods));
    farm_start(&f.farm);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        open_client(&f, &clients[i], echo_client);
        clients[i].wants = some_size(f.farm.sim, LARGE);
        send_pattern(&clients[i], clients[i].peer->id, 0, clients[i].wants);
        end_shutdown(&clients[i]);
    }
    run_until(&f.farm, clients_done, 72000);
    tls_farm_end(&f);
    free_server_ends();
}

static void every_client_gets_its_bytes_back_in_any_order(void **state)
{
    (void)state;
    sim_each_seed(12, echo_life, NULL);
}

/* ---- servers that speak first, and some that fail before ---- */

#define BANNER 32

static void banner_end(struct end *e, enum sim_event event)
{
    if (event != SIM_CONNECTED) {
        if (!e->farm->hasty)
            echo_end(e, event);
        return;
    }
    send_pattern(e, 0, 0, BANNER);
    if (e->farm->hasty && sim_below(e->peer->sim, 2) == 0)
        end_shutdown(e);
    else if (e->farm->hasty)
        sim_peer_shutdown(e->peer); /* without close_notify */
}

static void banner_server(struct sim_peer *p, enum sim_event event)
{
    struct place *place = p->arg;

    if (event != SIM_CONNECTED || place->server->mood != SIM_ACCEPTS)
        return; /* the others end before any byte */
    struct end *e = new_server_end(p, banner_end);
    if (e->tls == NULL)
        banner_end(e, SIM_CONNECTED);
}

static void greeted_client(struct end *e, enum sim_event event)
{
    if (event == SIM_RESET && !e->over)
        fail_msg("client %u was reset", e->peer->id);
    if ((event != SIM_DATA && event != SIM_END) || e->over)
        return;
    if (read_pattern(e, 0) == 0)
        assert_int_equal(e->received, BANNER);
    if (e->received == BANNER && (!e->farm->hasty || event == SIM_END)) {
        end_over(e);
        sim_peer_close(e->peer);
    }
}

static void banner_life(uint64_t seed, void *arg)
{
    static const enum sim_mood moods[] = {SIM_REFUSES, SIM_HANGS, SIM_RESETS, SIM_CLOSES};
    const struct sim_conf conf = {.seed = seed};
    struct tls_farm f = {0};
    struct end clients[CLIENTS] = {0};

    (void)arg;
    tls_farm_init(&f, &conf, banner_server);
    some_moods(&f.farm, moods, ARRAY_LEN(moods));
    f.hasty = sim_below(f.farm.sim, 2) == 0;
    farm_start(&f.farm);
    for (uint32_t i = 0; i < CLIENTS; i++)
        open_client(&f, &clients[i], greeted_client);
    run_until(&f.farm, clients_done, 72000);
    tls_farm_end(&f);
    free_server_ends();
}

static void a_backend_that_fails_before_any_byte_is_never_noticed(void **state)
{
    (void)state;
    sim_each_seed(12, banner_life, NULL);
}

/* ---- chaos ---- */

static void chaos_act(struct sim *s, void *arg)
{
    struct end *e = arg;
    struct sim_peer *p = e->peer;

    if (e->over || p->closed || p->was_reset)
        return;
    switch (sim_below(s, 7)) {
    case 0:
        sim_peer_reset(p);
        end_over(e);
        return;
    case 1:
        sim_peer_close(p);
        end_over(e);
        return;
    case 2:
        sim_peer_shutdown(p); /* no close_notify */
        end_over(e);
        return;
    case 3:
        sim_peer_freeze(p, sim_below(s, 2) == 0);
        break;
    case 4: /* that is no record */
        sim_peer_send(p, "rubbish", 7);
        break;
    default:
        send_pattern(e, p->id, e->at, 1000);
        e->at += 1000;
        break;
    }
    sim_after(s, 1 + sim_below(s, 2000000), chaos_act, e);
}

static void chaos_client(struct end *e, enum sim_event event)
{
    char bytes[4096];

    if (event == SIM_RESET)
        end_over(e);
    if ((event != SIM_DATA && event != SIM_END) || e->over)
        return;
    while (end_read(e, bytes, sizeof(bytes)) > 0)
        ;
}

static void chaos_end(struct end *e, enum sim_event event)
{
    struct sim *s = e->peer->sim;

    switch (sim_below(s, 40)) {
    case 0:
        sim_peer_reset(e->peer);
        return;
    case 1:
        sim_peer_close(e->peer);
        return;
    case 2:
        if (!e->over)
            sim_peer_shutdown(e->peer);
        e->over = true;
        return;
    default:
        if (!e->peer->closed && !e->peer->was_reset && !e->over)
            echo_end(e, event);
    }
}

static void chaos_server(struct sim_peer *p, enum sim_event event)
{
    if (event == SIM_CONNECTED)
        new_server_end(p, chaos_end);
}

static void chaos_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {
        .seed = seed,
        .faults = {.accept = 20,
                   .aborted = 20,
                   .connect = 50,
                   .reset = 5,
                   .timeout = 2,
                   .socket = 20,
                   .buffers = 20},
    };
    struct tls_farm f = {0};
    struct end clients[CLIENTS] = {0};

    (void)arg;
    tls_farm_init(&f, &conf, chaos_server);
    f.farm.listener_conf.handshake_timeout_ms = 3000;
    f.farm.listener_conf.tunnel_timeout_ms = 600000;
    f.farm.pool_conf.connect_timeout_ms = 2000;
    f.farm.pool_conf.queue_limit = 4;
    f.farm.pool_conf.queue_timeout_ms = 2000;
    for (uint32_t i = 0; i < BACKENDS; i++) {
        f.farm.servers[i]->mood = (enum sim_mood)sim_below(f.farm.sim, SIM_CLOSES + 1);
        atomic_store(&f.farm.slots[i]->max_connections, sim_below(f.farm.sim, 6));
    }
    farm_start(&f.farm);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        open_client(&f, &clients[i], chaos_client);
        sim_after(f.farm.sim, 1 + sim_below(f.farm.sim, 500000), chaos_act, &clients[i]);
    }
    for (int i = 0; i < 200; i++)
        loop_turn(&f.farm.loop, 50);
    if (sim_below(f.farm.sim, 3) == 0)
        proxy_end_all(f.farm.proxy, END_DRAIN);
    *sim_faults(f.farm.sim) = (struct sim_faults){0};
    tls_farm_end(&f); /* frozen ones end by the idle timeout */
    free_server_ends();
}

static void whatever_happens_everything_is_given_back(void **state)
{
    (void)state;
    sim_each_seed(30, chaos_life, NULL);
}

/* ---- by name, without decrypting ---- */

static struct hello_bytes hello;

/* The server gets the hello as it was, then what follows. */
static void hello_client(struct end *e, enum sim_event event)
{
    uint8_t bytes[4096];
    ssize_t n;

    if (event == SIM_RESET && !e->over)
        fail_msg("client %u was reset", e->peer->id);
    if ((event != SIM_DATA && event != SIM_END) || e->over)
        return;
    while ((n = end_read(e, bytes, sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < n; i++, e->received++)
            assert_int_equal(bytes[i], e->received < hello.len
                                           ? hello.p[e->received]
                                           : sim_pattern(e->peer->id, e->received - hello.len));
    }
    if (n != 0)
        return;
    assert_int_equal(e->received, hello.len + e->wants);
    end_over(e);
    sim_peer_close(e->peer);
}

static void sni_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed};
    struct tls_farm f = {0};
    struct end clients[CLIENTS] = {0};
    struct hello_bytes extensions = {.len = 0}, message = {.len = 0};
    char host[] = "*.example";
    char *hosts[] = {host};
    struct sni_rule rule = {.hosts = hosts, .n_hosts = 1, .pool = 0};

    (void)arg;
    tls_farm_init(&f, &conf, echo_server);
    f.front = f.back = false;
    f.farm.listener_conf.tls = NULL;
    f.farm.pool_conf.tls = NULL;
    hello_name(&extensions, "a.example");
    hello_ext(&extensions, 51, hello.p, sim_below(f.farm.sim, 3000)); /* any bytes will do */
    hello_message(&message, &extensions);
    hello.len = 0;
    hello_records(&hello, &message, 1 + sim_below(f.farm.sim, 4000));
    farm_start(&f.farm);
    f.sni = sni_table_new(&rule, 1, f.farm.shared.pools);
    f.farm.listener.sni = f.sni;
    f.farm.listener.pool = NULL;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        open_client(&f, &clients[i], hello_client);
        clients[i].wants = some_size(f.farm.sim, LARGE);
        end_send(&clients[i], hello.p, hello.len);
        send_pattern(&clients[i], clients[i].peer->id, 0, clients[i].wants);
        end_shutdown(&clients[i]);
    }
    run_until(&f.farm, clients_done, 72000);
    tls_farm_end(&f);
    free_server_ends();
}

static void a_hello_that_was_looked_at_arrives_unchanged(void **state)
{
    (void)state;
    sim_each_seed(20, sni_life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_client_gets_its_bytes_back_in_any_order, sim_teardown),
        cmocka_unit_test_teardown(a_backend_that_fails_before_any_byte_is_never_noticed,
                                  sim_teardown),
        cmocka_unit_test_teardown(whatever_happens_everything_is_given_back, sim_teardown),
        cmocka_unit_test_teardown(a_hello_that_was_looked_at_arrives_unchanged, sim_teardown),
    };

    log_set_level(getenv("SIM_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, make_world, free_world);
}
