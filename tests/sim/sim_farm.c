/* sim_farm.c - see sim_farm.h */
#include "tests/sim/sim_farm.h"

#include "lb/base/alloc.h"
#include "lb/proxy/http_listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

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

void farm_init(struct farm *f, const struct sim_conf *conf, sim_peer_fn *server_fn,
               uint32_t clients)
{
    static const struct checker_hooks hooks = {NULL, ignore_pool, ignore_pool, ignore_ready};
    static char names[BACKENDS][2] = {"a", "b", "c"};

    f->sim = sim_new(conf);
    f->clients = clients;
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

static void start_http(struct farm *f, struct pool **pools)
{
    struct strbuf errors = {0};

    listener_stats_http_init(f->stats, 1);
    f->listener.http = http_listener_new(&f->listener_conf, pools, &errors);
    assert_non_null(f->listener.http);
    f->listener.http->routes[0].rows = f->stats->routes[0].rows;
    strbuf_fini(&errors);
}

void farm_start(struct farm *f)
{
    struct pool **pools = xcalloc(1, sizeof(*pools));

    f->pool = pools[0] = pool_new(&f->pool_conf, 0, 2, f->slots, 1, f->epochs);
    for (uint32_t i = 0; i < BACKENDS; i++)
        f->slots[i]->member = i;
    f->stats = xaligned(sizeof(*f->stats));
    f->stats->rows = xaligned(sizeof(*f->stats->rows));
    f->stats->n_rows = 1;
    f->listener =
        (struct proxy_listener){.conf = &f->listener_conf, .stats = f->stats, .pool = f->pool};
    f->listener.locals = xaligned(sizeof(*f->listener.locals));
    if (f->listener_conf.mode == MODE_HTTP)
        start_http(f, pools);
    f->shared.pools = pools;
    f->shared.n_pools = 1;
    f->shared.table = f->table;
    f->shared.checker = f->checker;
    f->shared.proxies = f->proxies;
    f->shared.n_workers = 1;
    if (f->contexts != NULL)
        f->shared.tls = &f->contexts;
    f->proxy = proxy_new(&f->loop, &f->shared, 0, &f->counters);
    int fd = f->listener_conf.mode == MODE_UDP ? sim_dgram_bind(f->sim, &f->front.sa, f->front.len)
                                               : sim_listen(f->sim, &f->front.sa, f->front.len);
    proxy_listen(f->proxy, &f->listener, fd, 0);
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

void run_until(struct farm *f, bool (*over)(const struct farm *f), uint64_t seconds)
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

bool all_sessions_gone(const struct farm *f)
{
    return proxy_sessions(f->proxy) == 0;
}

static bool stopped(const struct farm *f)
{
    return proxy_stopped(f->proxy);
}

bool clients_done(const struct farm *f)
{
    return f->done == f->clients;
}

static void check_counts(const struct farm *f)
{
    for (uint32_t i = 0; i < BACKENDS; i++) {
        const struct backend_counters *row = f->pool->members[i].rows;
        assert_int_equal(atomic_load(&f->slots[i]->in_flight), 0);
        assert_int_equal(counter_get(&row->idle), 0);
    }
    assert_int_equal(atomic_load(&f->pool->kept->waiting), 0);
    assert_int_equal(atomic_load(&f->pool->kept->current), 0);
    assert_int_equal(atomic_load(&f->stats->current), 0);
    assert_int_equal(atomic_load(&f->shared.connections), 0);
}

void farm_end(struct farm *f)
{
    struct pool **pools = f->shared.pools;

    run_until(f, all_sessions_gone, 7200);
    proxy_stop_accepting(f->proxy);
    run_until(f, stopped, 7200);
    check_counts(f);
    proxy_free(&f->proxy);
    checker_stop(f->checker);
    assert_true(checker_stopped(f->checker));
    checker_free(&f->checker);
    if (f->listener.http != NULL) {
        http_listener_free(&f->listener.http);
        listener_stats_http_fini(f->stats);
    }
    pool_free(&f->pool);
    free(pools);
    free(f->stats->rows);
    free(f->listener.locals);
    free(f->stats);
    table_free(&f->table);
    if (f->contexts != NULL)
        tls_contexts_free(&f->contexts);
    epoch_leave(&f->reader);
    loop_fini(&f->loop);
    epoch_reader_unregister(&f->reader);
    epoch_domain_free(&f->epochs);
    sim_free(&f->sim);
}

uint32_t some_size(struct sim *s, uint32_t large)
{
    switch (sim_below(s, 4)) {
    case 0:
        return sim_below(s, 3);
    case 1:
        return sim_below(s, 500);
    case 2:
        return sim_below(s, 5000);
    default:
        return sim_below(s, sim_below(s, 20) == 0 ? large : 20000);
    }
}

void some_moods(struct farm *f, const enum sim_mood *moods, uint32_t n)
{
    uint32_t well = sim_below(f->sim, BACKENDS);

    for (uint32_t i = 0; i < BACKENDS; i++)
        if (i != well && sim_below(f->sim, 2) == 0)
            f->servers[i]->mood = moods[sim_below(f->sim, n)];
}
