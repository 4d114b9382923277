/* sim_tcp.h - one worker of sluice with a listener of mode tcp, in front of simulated servers; what
 * must hold at the end of every life. For test_tcp_sessions.c and test_tcp_tls_sessions.c. */
#ifndef SLUICE_TESTS_SIM_SIM_TCP_H
#define SLUICE_TESTS_SIM_SIM_TCP_H

#include "lb/base/epoch.h"
#include "lb/io/loop.h"
#include "lb/net/addr.h"
#include "lb/proxy/proxy.h"
#include "lb/upstream/pool.h"
#include "tests/sim/sim.h"

#include "health/checker.h"

#include <sys/types.h>

#define BACKENDS 3
#define CLIENTS  8

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

void farm_init(struct farm *f, const struct sim_conf *conf, sim_peer_fn *server_fn);
/* After the test has adjusted the configuration. */
void farm_start(struct farm *f);
void farm_end(struct farm *f); /* what must hold at the end of every life */
void run_until(struct farm *f, bool (*over)(const struct farm *f), uint64_t seconds);
bool clients_done(const struct farm *f);
/* Some servers refuse, hang or have a full backlog; one at least is well. */
void some_moods(struct farm *f, const enum sim_mood *moods, uint32_t n);

uint64_t some_size(struct sim *s);
/* Byte `at` of the stream of client `tag`. */
uint8_t sim_tcp_pattern(uint64_t tag, uint64_t at);

#endif
