/* test_udp_flows.c - mode udp on the simulated engine: datagrams are lost, doubled and overtake
 * each other, backends refuse, descriptors are short. Whatever happens: what a client gets is an
 * answer to what it has sent, unchanged; every count returns to zero; every descriptor is given
 * back. */
#include "tests/sim/sim_farm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#define CLIENTS_MAX 40
#define ASKS        12
#define SIM_QUEUE   64 /* datagrams; a near socket of sim_dgram.c loses more */

struct world {
    struct farm farm;
    struct sim_dgram_end *clients[CLIENTS_MAX], *backends[BACKENDS];
    uint32_t n_clients;
    uint64_t answers, asked;
};

/* What client c asks with its n-th datagram. */
static size_t question(uint32_t c, uint32_t n, uint8_t out[static 3000])
{
    size_t len = 8 + (c * 131 + n * 71) % 2900;

    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(c + n + i);
    memcpy(out, &c, 4);
    memcpy(out + 4, &n, 4);
    return len;
}

static void backend_got(struct sim_dgram_end *e, const struct sockaddr_in *from, const void *data,
                        size_t len)
{
    sim_dgram_send(e, from, data, len);
}

static void silent(struct sim_dgram_end *e, const struct sockaddr_in *from, const void *data,
                   size_t len)
{
    (void)e, (void)from, (void)data, (void)len;
}

static uint32_t place_of(const struct world *w, const struct sim_dgram_end *e)
{
    uint32_t c = 0;

    while (w->clients[c] != e)
        c++;
    return c;
}

static void client_got(struct sim_dgram_end *e, const struct sockaddr_in *from, const void *data,
                       size_t len)
{
    struct world *w = e->arg;
    uint8_t expected[3000];
    uint32_t c, n;

    assert_true(len >= 8);
    memcpy(&c, data, 4);
    memcpy(&n, (const uint8_t *)data + 4, 4);
    assert_int_equal(c, place_of(w, e)); /* nobody gets what is another's */
    assert_int_equal(len, question(c, n, expected));
    assert_memory_equal(data, expected, len);
    assert_int_equal(from->sin_port, w->farm.front.in.sin_port); /* from whom it has asked */
    w->answers++;
}

static void start(struct world *w, uint64_t seed, uint32_t clients,
                  void (*got)(struct sim_dgram_end *e, const struct sockaddr_in *from,
                              const void *data, size_t len))
{
    const struct sim_conf conf = {.seed = seed};
    struct farm *f = &w->farm;

    w->n_clients = clients;
    farm_init(f, &conf, sim_peer_discard, clients);
    f->pool_conf.mode = f->listener_conf.mode = MODE_UDP;
    f->listener_conf.udp.timeout_ms = 5000;
    f->listener_conf.udp.flows = 1000;
    for (uint32_t i = 0; i < BACKENDS; i++) {
        const struct addr *a = atomic_load(&f->slots[i]->address);
        w->backends[i] = sim_dgram_end(f->sim, &a->sa, got, w);
    }
    for (uint32_t i = 0; i < clients; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(1000 + i))};
        inet_pton(AF_INET, "10.0.0.7", &a.sin_addr);
        w->clients[i] = sim_dgram_end(f->sim, (struct sockaddr *)&a, client_got, w);
    }
}

static void ask_all(struct world *w, uint32_t asks)
{
    uint8_t bytes[3000];

    for (uint32_t n = 0; n < asks; n++) {
        for (uint32_t c = 0; c < w->n_clients; c++) {
            sim_dgram_send(w->clients[c], &w->farm.front.in, bytes, question(c, n, bytes));
            w->asked++;
        }
        for (uint32_t turns = sim_below(w->farm.sim, 4); turns > 0; turns--)
            assert_true(loop_turn(&w->farm.loop, 5) >= 0);
    }
}

static uint64_t dropped(const struct world *w)
{
    uint64_t n = 0;

    for (int i = 0; i < UDP_DROPS; i++)
        n += counter_get(&w->farm.stats->rows->dgrams_dropped[i]);
    return n;
}

static bool had_sessions(const struct farm *f)
{
    return counter_get(&f->stats->rows->sessions) > 0;
}

/* ---- tests ---- */

static void perfect_life(uint64_t seed, void *arg)
{
    struct world w = {0};

    (void)arg;
    start(&w, seed, 1 + (uint32_t)(seed % CLIENTS_MAX), backend_got);
    w.farm.pool_conf.balance.kind = (enum balance_kind)sim_below(w.farm.sim, BALANCE_FIRST + 1);
    farm_start(&w.farm);
    ask_all(&w, ASKS);
    run_until(&w.farm, had_sessions, 60);
    run_until(&w.farm, all_sessions_gone, 60);
    /* The queues of near sockets are short, so bursts may be cut. */
    assert_true(w.answers > 0 && w.answers <= w.asked);
    if (w.asked <= SIM_QUEUE)
        assert_int_equal(w.answers, w.asked); /* none lies in a socket that nobody looks at */
    const struct listener_counters *row = w.farm.stats->rows;
    assert_int_equal(dropped(&w), 0);
    assert_int_equal(w.answers, counter_get(&row->dgrams_out));
    assert_true(counter_get(&row->sessions) <= w.n_clients);
    farm_end(&w.farm);
}

static void clients_get_their_own_answers_unchanged(void **state)
{
    (void)state;
    sim_each_seed(60, perfect_life, NULL);
}

static void rough_life(uint64_t seed, void *arg)
{
    struct world w = {0};

    (void)arg;
    start(&w, seed, 1 + (uint32_t)(seed % CLIENTS_MAX), backend_got);
    *sim_dgram_faults(w.farm.sim) = (struct sim_dgram_faults){100, 50, 50};
    sim_faults(w.farm.sim)->socket = 50;
    for (uint32_t i = 0; i < BACKENDS; i++)
        w.backends[i]->refuses = sim_below(w.farm.sim, 2) == 0;
    w.farm.listener_conf.udp.flows = 1 + sim_below(w.farm.sim, 20);
    w.farm.listener_conf.udp.responses = sim_below(w.farm.sim, 2);
    farm_start(&w.farm);
    ask_all(&w, ASKS);
    run_until(&w.farm, all_sessions_gone, 60);
    assert_true(proxy_sessions(w.farm.proxy) == 0);
    farm_end(&w.farm);
}

static void nothing_is_left_whatever_goes_wrong(void **state)
{
    (void)state;
    sim_each_seed(120, rough_life, NULL);
}

static void moved_life(uint64_t seed, void *arg)
{
    struct world w = {0};
    uint32_t well = (uint32_t)(seed % BACKENDS);

    (void)arg;
    start(&w, seed, 8, backend_got);
    for (uint32_t i = 0; i < BACKENDS; i++)
        w.backends[i]->refuses = i != well;
    farm_start(&w.farm);
    ask_all(&w, 1);
    run_until(&w.farm, had_sessions, 60);
    run_until(&w.farm, all_sessions_gone, 60);
    assert_int_equal(w.answers, 8); /* the refusals cost nobody an answer */
    farm_end(&w.farm);
}

static void a_first_datagram_that_is_refused_goes_to_another_backend(void **state)
{
    (void)state;
    sim_each_seed(40, moved_life, NULL);
}

static void bounded_life(uint64_t seed, void *arg)
{
    struct world w = {0};

    (void)arg;
    start(&w, seed, CLIENTS_MAX, backend_got);
    w.farm.listener_conf.udp.flows = 10;
    farm_start(&w.farm);
    ask_all(&w, 3);
    for (int i = 0; i < 2000; i++) {
        assert_true(loop_turn(&w.farm.loop, 1) >= 0);
        uint32_t evicted_now = 4 * IO_DGRAMS_MAX; /* that end with the turn */
        assert_true(proxy_sessions(w.farm.proxy) <= 10 + evicted_now);
    }
    assert_true(proxy_sessions(w.farm.proxy) <= 10);
    assert_true(counter_get(&w.farm.stats->rows->flows_evicted) >= CLIENTS_MAX - 10);
    farm_end(&w.farm);
}

static void a_flood_of_clients_ends_those_that_were_quiet_longest(void **state)
{
    (void)state;
    sim_each_seed(20, bounded_life, NULL);
}

static void counted_life(uint64_t seed, void *arg)
{
    struct world w = {0};
    uint64_t unanswered = 0;

    (void)arg;
    start(&w, seed, 6, seed % 2 == 0 ? backend_got : silent);
    w.farm.listener_conf.udp.responses = 1;
    w.farm.listener_conf.udp.timeout_ms = 20000;
    farm_start(&w.farm);
    uint64_t began = sim_now_us(w.farm.sim);
    ask_all(&w, 1);
    run_until(&w.farm, had_sessions, 60);
    run_until(&w.farm, all_sessions_gone, 60);
    uint64_t took = sim_now_us(w.farm.sim) - began;
    for (uint32_t i = 0; i < BACKENDS; i++)
        unanswered += counter_get(&w.farm.pool->members[i].rows->response_errors);
    if (seed % 2 == 0) {
        assert_true(took < 5000000); /* at once, not after the timeout */
        assert_int_equal(unanswered, 0);
    } else {
        assert_true(took >= 20000000);
        assert_int_equal(unanswered, 6);
    }
    farm_end(&w.farm);
}

static void a_flow_ends_with_the_last_answer_that_it_waits_for(void **state)
{
    (void)state;
    sim_each_seed(20, counted_life, NULL);
}

static void closing_life(uint64_t seed, void *arg)
{
    struct world w = {0};

    (void)arg;
    start(&w, seed, 8, backend_got);
    w.farm.listener_conf.udp.timeout_ms = 3600000;
    farm_start(&w.farm);
    ask_all(&w, 2);
    run_until(&w.farm, had_sessions, 60);
    proxy_stop_accepting(w.farm.proxy);
    assert_false(proxy_accepting(w.farm.proxy));
    uint64_t began = sim_now_us(w.farm.sim);
    run_until(&w.farm, all_sessions_gone, 60);
    assert_true(sim_now_us(w.farm.sim) - began < 10000000);
    farm_end(&w.farm);
}

static void flows_of_a_closed_listener_end_when_they_are_quiet(void **state)
{
    (void)state;
    sim_each_seed(30, closing_life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(clients_get_their_own_answers_unchanged, sim_teardown),
        cmocka_unit_test_teardown(nothing_is_left_whatever_goes_wrong, sim_teardown),
        cmocka_unit_test_teardown(a_first_datagram_that_is_refused_goes_to_another_backend,
                                  sim_teardown),
        cmocka_unit_test_teardown(a_flood_of_clients_ends_those_that_were_quiet_longest,
                                  sim_teardown),
        cmocka_unit_test_teardown(a_flow_ends_with_the_last_answer_that_it_waits_for, sim_teardown),
        cmocka_unit_test_teardown(flows_of_a_closed_listener_end_when_they_are_quiet, sim_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
