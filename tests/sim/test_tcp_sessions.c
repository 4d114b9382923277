/* test_tcp_sessions.c - sessions of mode tcp on the simulated engine: whole lives of many clients
 * and backends, in every order that a seed comes up with, against what must hold whatever happens:
 * bytes arrive unchanged and complete, nobody notices a backend that failed before any byte moved,
 * every count returns to zero, every descriptor and buffer is given back (io_free checks these). */
#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/base/log.h"
#include "lb/io/loop.h"
#include "lb/net/addr.h"
#include "lb/proxy/proxy.h"
#include "lb/upstream/pool.h"
#include "tests/sim/sim.h"

#include "health/checker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKENDS 3
#define CLIENTS  8

/* ---- one sluice worker in front of simulated servers ---- */

struct farm {
    struct sim *sim;
    struct loop loop;
    struct epoch_domain *epochs;
    struct epoch_reader reader;
    struct backend_table *table;
    struct checker *checker;
    struct backend_conf backends[BACKENDS];
    struct pool_conf pool_conf;
    struct listener_conf listener_conf;
    struct pool *pool;
    struct listener_stats *stats;
    struct worker_counters counters;
    struct proxy_listener listener;
    struct proxy_shared shared;
    _Atomic(struct proxy *) proxies[1];
    struct proxy *proxy;
    struct backend_slot *slots[BACKENDS];
    struct sim_server *servers[BACKENDS];
    struct addr front;
    uint32_t done; /* clients that came to an end */
};

static void inet(struct addr *a, const char *ip, uint16_t port)
{
    memset(a, 0, sizeof(*a));
    a->len = sizeof(a->in);
    a->in.sin_family = AF_INET;
    a->in.sin_port = htons(port);
    inet_pton(AF_INET, ip, &a->in.sin_addr);
}

static void ignore_pool(void *ctx, uint32_t index)
{
    (void)ctx;
    (void)index;
}

static void ignore_ready(void *ctx)
{
    (void)ctx;
}

static void farm_init(struct farm *f, const struct sim_conf *conf, sim_peer_fn *server_fn)
{
    static const struct checker_hooks hooks = {NULL, ignore_pool, ignore_pool, ignore_ready};
    static char names[BACKENDS][2] = {"a", "b", "c"};

    f->sim = sim_new(conf);
    assert_int_equal(loop_init(&f->loop, sim_io(f->sim), f), 0);
    f->epochs = epoch_domain_new();
    epoch_reader_register(f->epochs, &f->reader);
    f->loop.epoch = &f->reader;
    f->table = table_new(f->epochs);
    f->checker = checker_new(&f->loop, f->table, f->epochs, &hooks);
    inet(&f->front, "127.0.0.1", 8080);
    for (uint32_t i = 0; i < BACKENDS; i++) {
        struct addr a;
        inet(&a, "127.0.0.2", (uint16_t)(3001 + i));
        f->backends[i] = (struct backend_conf){.name = names[i], .weight = 1};
        f->slots[i] = table_add(f->table, "p", names[i]);
        slot_set_weight(f->slots[i], 1);
        slot_set_effective(f->slots[i], WEIGHT_SCALE);
        slot_set_oper(f->slots[i], OPER_UP);
        slot_set_address(f->table, f->slots[i], &a);
        f->servers[i] = sim_serve(f->sim, &a.sa, a.len, server_fn, &f->servers[i]);
    }
    f->pool_conf.name = (char *)(uintptr_t) "p";
    f->pool_conf.backends = f->backends;
    f->pool_conf.n_backends = BACKENDS;
    f->pool_conf.queue_limit = 1000;
    f->pool_conf.queue_timeout_ms = 600000;
    f->pool_conf.retry_attempts = BACKENDS - 1;
    f->pool_conf.connect_timeout_ms = 5000;
    f->listener_conf.name = (char *)(uintptr_t) "l";
    f->listener_conf.handshake_timeout_ms = 5000;
    f->listener_conf.tunnel_timeout_ms = 600000;
}

/* After the test has adjusted the configuration. */
static void farm_start(struct farm *f)
{
    struct pool **pools = xcalloc(1, sizeof(*pools));

    f->pool = pools[0] = pool_new(&f->pool_conf, 0, 2, f->slots, 1, f->epochs);
    f->stats = xaligned(sizeof(*f->stats));
    f->stats->rows = xaligned(sizeof(*f->stats->rows));
    f->stats->n_rows = 1;
    f->listener =
        (struct proxy_listener){.conf = &f->listener_conf, .stats = f->stats, .pool = f->pool};
    f->shared.pools = pools;
    f->shared.n_pools = 1;
    f->shared.table = f->table;
    f->shared.checker = f->checker;
    f->shared.proxies = f->proxies;
    f->shared.n_workers = 1;
    f->proxy = proxy_new(&f->loop, &f->shared, 0, &f->counters);
    proxy_listen(f->proxy, &f->listener, sim_listen(f->sim, &f->front.sa, f->front.len));
}

static void print_session(void *arg, const struct proxy_session_view *v)
{
    (void)arg;
    print_error("session %llu: %s at %s, idle %llu ms, %llu bytes in, %llu out%s%s\n",
                (unsigned long long)v->id, v->state, v->backend ? v->backend : "-",
                (unsigned long long)v->idle_ms, (unsigned long long)v->bytes_in,
                (unsigned long long)v->bytes_out, v->in_spliced ? ", in spliced" : "",
                v->out_spliced ? ", out spliced" : "");
}

static void run_until(struct farm *f, bool (*over)(const struct farm *f), uint64_t seconds)
{
    uint64_t end = sim_now_us(f->sim) + seconds * 1000000;

    while (!over(f) && sim_now_us(f->sim) < end)
        assert_true(loop_turn(&f->loop, 100) >= 0);
    if (!over(f)) {
        print_error("%u clients are through\n", f->done);
        proxy_each_session(f->proxy, &(struct proxy_filter){0}, print_session, NULL);
    }
    assert_true(over(f));
}

static bool all_sessions_gone(const struct farm *f)
{
    return proxy_sessions(f->proxy) == 0;
}

static bool stopped(const struct farm *f)
{
    return proxy_stopped(f->proxy);
}

static bool clients_done(const struct farm *f)
{
    return f->done == CLIENTS;
}

/* What must hold at the end of every life. */
static void farm_end(struct farm *f)
{
    run_until(f, all_sessions_gone, 3600);
    for (uint32_t i = 0; i < BACKENDS; i++)
        assert_int_equal(atomic_load(&f->slots[i]->in_flight), 0);
    assert_int_equal(atomic_load(&f->pool->waiting), 0);
    assert_int_equal(atomic_load(&f->pool->current), 0);
    assert_int_equal(atomic_load(&f->stats->current), 0);
    assert_int_equal(atomic_load(&f->shared.connections), 0);
    proxy_stop_accepting(f->proxy);
    run_until(f, stopped, 60);
    proxy_free(&f->proxy);
    checker_stop(f->checker);
    assert_true(checker_stopped(f->checker));
    checker_free(&f->checker);
    struct pool **pools = f->shared.pools;
    pool_free(&f->pool);
    free(pools);
    free(f->stats->rows);
    free(f->stats);
    table_free(&f->table);
    epoch_leave(&f->reader);
    loop_fini(&f->loop);
    epoch_reader_unregister(&f->reader);
    epoch_domain_free(&f->epochs);
    sim_free(&f->sim);
}

/* ---- clients ---- */

/* Byte `at` of the stream of client `tag`. */
static uint8_t pattern(uint64_t tag, uint64_t at)
{
    return (uint8_t)(tag * 31 + at * 7 + (at >> 8));
}

static void send_pattern(struct sim_peer *p, uint64_t tag, uint64_t from, size_t n)
{
    uint8_t *bytes = malloc(n ? n : 1);

    for (size_t i = 0; i < n; i++)
        bytes[i] = pattern(tag, from + i);
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
            assert_int_equal(bytes[i], pattern(tag, at + (uint64_t)i));
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

static uint64_t some_size(struct sim *s)
{
    switch (sim_below(s, 4)) {
    case 0:
        return sim_below(s, 3);
    case 1:
        return sim_below(s, 500);
    case 2:
        return sim_below(s, 5000);
    default:
        return sim_below(s, sim_below(s, 20) == 0 ? 150000 : 20000);
    }
}

/* Some servers refuse, hang or have a full backlog; one at least is well. */
static void some_moods(struct farm *f, const enum sim_mood *moods, uint32_t n)
{
    uint32_t well = sim_below(f->sim, BACKENDS);

    for (uint32_t i = 0; i < BACKENDS; i++)
        if (i != well && sim_below(f->sim, 2) == 0)
            f->servers[i]->mood = moods[sim_below(f->sim, n)];
}

static void echo_life(uint64_t seed, void *arg)
{
    static const enum sim_mood moods[] = {SIM_REFUSES, SIM_HANGS};
    const struct sim_conf conf = {.seed = seed};
    struct farm f = {0};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    farm_init(&f, &conf, sim_peer_echo);
    f.pool_conf.balance.kind = (enum balance_kind)sim_below(f.sim, BALANCE_FIRST + 1);
    f.listener_conf.tunnel_timeout_ms = 72000000;
    some_moods(&f, moods, ARRAY_LEN(moods));
    farm_start(&f);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        start_client(&f, c, echo_client);
        c->wants = some_size(f.sim);
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
    farm_init(&f, &conf, greeting_server);
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
    farm_init(&f, &conf, sim_peer_echo);
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
    farm_init(&f, &conf, flooding_server);
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
        send_pattern(p, p->id, p->sent, some_size(s));
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
        send_pattern(p, 1, 0, some_size(s));
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
    farm_init(&f, &conf, chaos_server);
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
