/* test_tcp_sessions.c - sessions of mode tcp on the simulated engine: whole lives of many clients
 * and backends, in every order that a seed comes up with, against what must hold whatever happens:
 * bytes arrive unchanged and complete, nobody notices a backend that failed before any byte moved,
 * every count returns to zero, every descriptor and buffer is given back (io_free checks these). */
#include "lb/base/log.h"
#include "tests/sim/sim_farm.h"
#include "tests/sim/sim_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 8
#define LARGE   150000 /* bytes */

/* ---- clients ---- */

static void send_pattern(struct sim_peer *p, uint64_t tag, uint64_t from, size_t n)
{
    uint8_t *bytes = malloc(n ? n : 1);

    for (size_t i = 0; i < n; i++)
        bytes[i] = sim_pattern(tag, from + i);
    sim_peer_send(p, bytes, n);
    free(bytes);
}

/* Reads all there is and checks each byte; `at` is how many came before. */
static ssize_t read_pattern(struct sim_peer *p, uint64_t tag, uint64_t at)
{
    uint8_t bytes[4096];
    ssize_t n;

    while ((n = sim_peer_read(p, bytes, sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(bytes[i], sim_pattern(tag, at + (uint64_t)i));
        at += (uint64_t)n;
    }
    return n;
}

struct client {
    struct farm *farm;
    struct sim_peer *peer;
    uint64_t wants, got_before; /* bytes to send and to get back; banner bytes before them */
    bool over;
};

static void client_over(struct client *c)
{
    if (c->over)
        return;
    c->over = true;
    c->farm->done++;
}

/* Sends all, finishes sending, and must get all of it back, then the end. */
static void echo_client(struct sim_peer *p, enum sim_event event)
{
    struct client *c = p->arg;

    if (event == SIM_RESET) {
        print_error("client %u was reset after %llu of %llu bytes\n", p->id,
                    (unsigned long long)p->received, (unsigned long long)c->wants);
        fail();
    }
    if (event != SIM_DATA && event != SIM_END)
        return;
    ssize_t n = read_pattern(p, p->id, p->received);
    if (n != 0)
        return;
    assert_int_equal(p->received, c->wants);
    client_over(c);
    sim_peer_close(p);
}

static void start_client(struct farm *f, struct client *c, sim_peer_fn *fn)
{
    c->farm = f;
    c->peer = sim_dial(f->sim, &f->front.sa, f->front.len, NULL);
    assert_non_null(c->peer);
    c->peer->arg = c;
    c->peer->fn = fn;
}

static void echo_life(uint64_t seed, void *arg)
{
    static const enum sim_mood moods[] = {SIM_REFUSES, SIM_HANGS};
    const struct sim_conf conf = {.seed = seed};
    struct farm f = {0};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    farm_init(&f, &conf, sim_peer_echo, CLIENTS);
    f.pool_conf.balance.kind = (enum balance_kind)sim_below(f.sim, BALANCE_FIRST + 1);
    f.listener_conf.tunnel_timeout_ms = 72000000;
    some_moods(&f, moods, ARRAY_LEN(moods));
    farm_start(&f);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        start_client(&f, c, echo_client);
        c->wants = some_size(f.sim, LARGE);
        send_pattern(c->peer, c->peer->id, 0, c->wants);
        sim_peer_shutdown(c->peer);
    }
    run_until(&f, clients_done, 72000);
    farm_end(&f);
}

static void every_client_gets_its_bytes_back_in_any_order(void **state)
{
    (void)state;
    sim_each_seed(60, echo_life, NULL);
}

/* ---- servers that speak first ---- */

#define BANNER 32

static void greeting_server(struct sim_peer *p, enum sim_event event)
{
    struct sim_server *const *server = p->arg;

    if (event != SIM_CONNECTED)
        sim_peer_echo(p, event);
    else if ((*server)->mood == SIM_ACCEPTS) /* the others end before any byte */
        send_pattern(p, 0, 0, BANNER);
}

/* Waits for the banner, ends; the backend's loss before it must not be noticed. */
static void greeted_client(struct sim_peer *p, enum sim_event event)
{
    struct client *c = p->arg;

    if (event == SIM_RESET)
        fail_msg("client %u was reset", p->id);
    if (event != SIM_DATA && event != SIM_END)
        return;
    ssize_t n = read_pattern(p, 0, p->received);
    if (n == 0)
        assert_int_equal(p->received, BANNER);
    if (p->received == BANNER) {
        client_over(c);
        sim_peer_close(p);
    }
}

static void greeting_life(uint64_t seed, void *arg)
{
    static const enum sim_mood moods[] = {SIM_REFUSES, SIM_HANGS, SIM_RESETS, SIM_CLOSES};
    const struct sim_conf conf = {.seed = seed};
    struct farm f = {0};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    farm_init(&f, &conf, greeting_server, CLIENTS);
    some_moods(&f, moods, ARRAY_LEN(moods));
    farm_start(&f);
    for (uint32_t i = 0; i < CLIENTS; i++)
        start_client(&f, &clients[i], greeted_client);
    run_until(&f, clients_done, 600);
    farm_end(&f);
}

static void a_backend_that_fails_before_any_byte_is_never_noticed(void **state)
{
    (void)state;
    sim_each_seed(60, greeting_life, NULL);
}

/* ---- queues ---- */

static void queue_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed};
    struct farm f = {0};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    farm_init(&f, &conf, sim_peer_echo, CLIENTS);
    f.pool_conf.balance.kind = (enum balance_kind)sim_below(f.sim, BALANCE_FIRST + 1);
    for (uint32_t i = 0; i < BACKENDS; i++)
        atomic_store(&f.slots[i]->max_connections, 1 + sim_below(f.sim, 2));
    farm_start(&f);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        start_client(&f, &clients[i], echo_client);
        clients[i].wants = 1 + sim_below(f.sim, 2000);
        send_pattern(clients[i].peer, clients[i].peer->id, 0, clients[i].wants);
        sim_peer_shutdown(clients[i].peer);
    }
    run_until(&f, clients_done, 72000);
    for (uint32_t i = 0; i < BACKENDS; i++)
        assert_true(counter_get(&f.slots[i]->in_flight_max) <=
                    atomic_load(&f.slots[i]->max_connections));
    farm_end(&f);
}

static void clients_wait_their_turn_and_no_backend_gets_more_than_its_limit(void **state)
{
    (void)state;
    sim_each_seed(60, queue_life, NULL);
}

/* ---- short of receive buffers ---- */

#define GREEDY 24
#define FLOOD  (300u << 10)

/* Speaks first, and a lot. */
static void flooding_server(struct sim_peer *p, enum sim_event event)
{
    if (event == SIM_CONNECTED) {
        send_pattern(p, 0, 0, FLOOD);
        sim_peer_shutdown(p);
    }
}

static void never_reads(struct sim_peer *p, enum sim_event event)
{
    (void)p;
    (void)event;
}

static void reads_it_all(struct sim_peer *p, enum sim_event event)
{
    struct client *c = p->arg;

    if (event == SIM_RESET)
        fail_msg("client %u was reset", p->id);
    if (event != SIM_DATA && event != SIM_END)
        return;
    if (read_pattern(p, 0, p->received) == 0) {
        assert_int_equal(p->received, FLOOD);
        client_over(c);
        sim_peer_close(p);
    }
}

static bool first_client_done(const struct farm *f)
{
    return f->done == 1;
}

/* Then they read after all, and nothing may be missing. */
static void greedy_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed, .calm = true, .bufs_max = 32};
    struct farm f = {0};
    struct client greedy[GREEDY] = {0}, last = {0};

    (void)arg;
    farm_init(&f, &conf, flooding_server, CLIENTS);
    f.pool_conf.send_proxy = (enum proxy_proto)sim_below(f.sim, 3);
    if (sim_below(f.sim, 2) == 0)
        sim_faults(f.sim)->pipe = 1000;
    f.listener_conf.tunnel_timeout_ms = 72000000;
    farm_start(&f);
    for (uint32_t i = 0; i < GREEDY; i++)
        start_client(&f, &greedy[i], never_reads);
    for (int i = 0; i < 100; i++)
        loop_turn(&f.loop, 50);
    start_client(&f, &last, reads_it_all);
    run_until(&f, first_client_done, 600);
    for (uint32_t i = 0; i < GREEDY; i++) {
        greedy[i].peer->fn = reads_it_all;
        reads_it_all(greedy[i].peer, SIM_DATA);
    }
    farm_end(&f);
    assert_int_equal(f.done, GREEDY + 1);
}

static void clients_that_do_not_read_cannot_hold_all_receive_buffers(void **state)
{
    (void)state;
    sim_each_seed(6, greedy_life, NULL);
}

/* ---- chaos ---- */

static void chaos_act(struct sim *s, void *arg)
{
    struct client *c = arg;
    struct sim_peer *p = c->peer;

    if (c->over || p->closed || p->was_reset)
        return;
    switch (sim_below(s, 6)) {
    case 0:
        sim_peer_reset(p);
        client_over(c);
        return;
    case 1:
        sim_peer_close(p);
        client_over(c);
        return;
    case 2:
        sim_peer_shutdown(p);
        break;
    case 3:
        sim_peer_freeze(p, sim_below(s, 2) == 0);
        break;
    default:
        send_pattern(p, p->id, p->sent, some_size(s, LARGE));
        break;
    }
    sim_after(s, 1 + sim_below(s, 2000000), chaos_act, c);
}

static void chaos_client(struct sim_peer *p, enum sim_event event)
{
    struct client *c = p->arg;
    char bytes[4096];

    if (event == SIM_DATA || event == SIM_END) {
        while (sim_peer_read(p, bytes, sizeof(bytes)) > 0)
            ;
        return;
    }
    if (event == SIM_RESET)
        client_over(c);
}

static void chaos_server(struct sim_peer *p, enum sim_event event)
{
    struct sim *s = p->sim;

    if (event == SIM_CONNECTED && sim_below(s, 3) == 0)
        send_pattern(p, 1, 0, some_size(s, LARGE));
    switch (sim_below(s, 40)) {
    case 0:
        sim_peer_reset(p);
        return;
    case 1:
        sim_peer_close(p);
        return;
    case 2:
        sim_peer_shutdown(p);
        return;
    default:
        if (!p->closed && !p->was_reset)
            sim_peer_echo(p, event);
    }
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
                   .buffers = 20,
                   .pipe = 200,
                   .splice = 50},
    };
    struct farm f = {0};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    farm_init(&f, &conf, chaos_server, CLIENTS);
    f.pool_conf.send_proxy = (enum proxy_proto)sim_below(f.sim, 3);
    f.pool_conf.queue_limit = 4;
    f.pool_conf.queue_timeout_ms = 2000;
    for (uint32_t i = 0; i < BACKENDS; i++) {
        f.servers[i]->mood = (enum sim_mood)sim_below(f.sim, SIM_CLOSES + 1);
        atomic_store(&f.slots[i]->max_connections, sim_below(f.sim, 6));
    }
    f.listener_conf.max_connections = sim_below(f.sim, 2) ? 0 : 10;
    farm_start(&f);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        start_client(&f, &clients[i], chaos_client);
        sim_after(f.sim, 1 + sim_below(f.sim, 500000), chaos_act, &clients[i]);
    }
    for (int i = 0; i < 200; i++)
        loop_turn(&f.loop, 50);
    if (sim_below(f.sim, 3) == 0)
        proxy_end_all(f.proxy, END_DRAIN);
    *sim_faults(f.sim) = (struct sim_faults){0};
    farm_end(&f); /* frozen ones end by the idle timeout */
}

static void whatever_happens_everything_is_given_back(void **state)
{
    (void)state;
    sim_each_seed(100, chaos_life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_client_gets_its_bytes_back_in_any_order, sim_teardown),
        cmocka_unit_test_teardown(a_backend_that_fails_before_any_byte_is_never_noticed,
                                  sim_teardown),
        cmocka_unit_test_teardown(clients_wait_their_turn_and_no_backend_gets_more_than_its_limit,
                                  sim_teardown),
        cmocka_unit_test_teardown(clients_that_do_not_read_cannot_hold_all_receive_buffers,
                                  sim_teardown),
        cmocka_unit_test_teardown(whatever_happens_everything_is_given_back, sim_teardown),
    };

    log_set_level(getenv("SIM_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
