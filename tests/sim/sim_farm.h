/* sim_farm.h - one worker of sluice with a listener, in front of simulated servers; what must hold
 * at the end of every life. Tests of sessions stand on it, sim_http_farm.h for mode http. */
#ifndef SLUICE_TESTS_SIM_SIM_FARM_H
#define SLUICE_TESTS_SIM_SIM_FARM_H

#include "lb/base/epoch.h"
#include "lb/io/loop.h"
#include "lb/net/addr.h"
#include "lb/proxy/proxy.h"
#include "lb/proxy/tls_contexts.h"
#include "lb/upstream/pool.h"
#include "tests/sim/sim.h"

#include "health/checker.h"

#include <sys/types.h>

#define BACKENDS 3

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
    struct http_route_conf route;
    struct pool *pool;
    struct listener_stats *stats;
    struct worker_counters counters;
    struct proxy_listener listener;
    struct proxy_shared shared;
    _Atomic(struct proxy *) proxies[1];
    struct tls_contexts *contexts; /* NULL, or made by the test before farm_start() */
    struct proxy *proxy;
    struct backend_slot *slots[BACKENDS];
    struct sim_server *servers[BACKENDS];
    struct addr front;
    uint32_t clients; /* that there are */
    uint32_t done;    /* ... and that came to an end */
};

/* Of mode tcp, where the test does not say otherwise before farm_start(). A server's arg is its
 * place in f->servers. */
void farm_init(struct farm *f, const struct sim_conf *conf, sim_peer_fn *server_fn,
               uint32_t clients);
/* After the test has adjusted the configuration. */
void farm_start(struct farm *f);
/* When all sessions are gone, or about to go: what must hold at the end of every life. */
void farm_end(struct farm *f);
void run_until(struct farm *f, bool (*over)(const struct farm *f), uint64_t seconds);
bool clients_done(const struct farm *f);
bool all_sessions_gone(const struct farm *f);
/* Some servers refuse, hang or have a full backlog; one at least is well. */
void some_moods(struct farm *f, const enum sim_mood *moods, uint32_t n);

/* Bytes of a message: often few, sometimes about `large`. */
uint32_t some_size(struct sim *s, uint32_t large);

#endif
