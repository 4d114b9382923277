/* test_checker.c - the checker in a thread of its own, on the real engines, against real sockets;
 * and many threads that leave it notes (to be run under the thread sanitizer too). What it makes of
 * answers, and when, is tested on the simulated engine: tests/sim/test_health.c. */
#include "health/checker.h"

#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/base/log.h"
#include "lb/io/loop.h"
#include "lb/net/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 20000 /* only a test that fails waits so long */

static void sleep_ms(int ms)
{
    poll(NULL, 0, ms);
}

#define wait_for(condition)                                                                        \
    do {                                                                                           \
        int left = PATIENCE_MS;                                                                    \
        while (!(condition) && left-- > 0)                                                         \
            sleep_ms(1);                                                                           \
        if (!(condition))                                                                          \
            fail_msg("never: %s", #condition);                                                     \
    } while (0)

static int open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* ---- a server: one thread, one connection after the other ---- */

struct server {
    int fd;
    struct addr addr;
    const char *answer; /* NULL: accepts, then says nothing until the other end closes */
    pthread_t thread;
    _Atomic bool over;
    _Atomic uint32_t resets, ends; /* how the other end left after an answer or none */
};

static void serve_one(struct server *s, int fd)
{
    char buf[2048];
    struct timeval limit = {.tv_sec = 5};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (s->answer != NULL) {
        ssize_t n = recv(fd, buf, sizeof(buf), 0);
        if (n > 0 && send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL) < 0)
            n = 0;
        shutdown(fd, SHUT_WR);
    }
    ssize_t n;
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
        ;
    atomic_fetch_add(n == 0 ? &s->ends : &s->resets, 1);
}

static void *serve(void *arg)
{
    struct server *s = arg;

    while (!atomic_load(&s->over)) {
        struct pollfd p = {.fd = s->fd, .events = POLLIN};
        if (poll(&p, 1, 20) <= 0)
            continue;
        int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        serve_one(s, fd);
        close(fd);
    }
    return NULL;
}

static void server_start(struct server *s, int family, const char *answer)
{
    memset(s, 0, sizeof(*s));
    s->answer = answer;
    s->addr.sa.sa_family = (sa_family_t)family;
    if (family == AF_UNIX) {
        s->addr.un.sun_path[0] = '\0'; /* abstract: leaves no file */
        snprintf(s->addr.un.sun_path + 1, sizeof(s->addr.un.sun_path) - 1, "sluice-test-%d-%p",
                 (int)getpid(), (void *)s);
        s->addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                                  strlen(s->addr.un.sun_path + 1));
    } else if (family == AF_INET) {
        s->addr.len = sizeof(s->addr.in);
        s->addr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else {
        s->addr.len = sizeof(s->addr.in6);
        s->addr.in6.sin6_addr = in6addr_loopback;
    }
    s->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0);
    assert_int_equal(bind(s->fd, &s->addr.sa, s->addr.len), 0);
    assert_int_equal(listen(s->fd, 64), 0);
    if (family != AF_UNIX) {
        s->addr.len = sizeof(s->addr.in6);
        getsockname(s->fd, &s->addr.sa, &s->addr.len);
    }
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

/* From here on connects are refused. */
static void server_stop(struct server *s)
{
    atomic_store(&s->over, true);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

/* ---- the checker's thread ---- */

struct house {
    struct epoch_reader reader; /* first: aligned */
    enum io_engine_kind engine;
    struct loop loop;
    struct epoch_domain *epochs;
    struct backend_table *table;
    struct checker *checker;
    struct checker_pool_conf conf;
    pthread_t thread;
    struct loop_msg stop_msg;
    bool stopping;
    _Atomic bool started, may_free;
    _Atomic uint32_t ready, downs, rebuilds;
    _Atomic uint32_t ejections; /* seen by rebuilds */
    _Atomic bool too_many;      /* more than half of the pool was ejected */
};

static void on_pool(void *ctx, uint32_t pool)
{
    struct house *h = ctx;
    uint32_t n = table_count(h->table), ejected = 0;

    (void)pool;
    for (uint32_t i = 0; i < n; i++)
        ejected += slot_word(table_slot(h->table, i)).ejected;
    if (ejected * 2 > n)
        atomic_store(&h->too_many, true);
    atomic_fetch_add(&h->ejections, ejected);
    atomic_fetch_add(&h->rebuilds, 1);
}

static void on_down(void *ctx, uint32_t slot)
{
    struct house *h = ctx;
    (void)slot;
    atomic_fetch_add(&h->downs, 1);
}

static void on_ready(void *ctx)
{
    struct house *h = ctx;
    atomic_fetch_add(&h->ready, 1);
}

static void *run(void *arg)
{
    struct house *h = arg;
    const struct checker_hooks hooks = {h, on_pool, on_down, on_ready};
    const struct io_conf conf = {.engine = h->engine};
    int error;
    struct io *io = io_new(&conf, &error);

    sl_assert(io != NULL);
    sl_assert(loop_init(&h->loop, io, h) == 0);
    epoch_reader_register(h->epochs, &h->reader);
    h->loop.epoch = &h->reader;
    h->checker = checker_new(&h->loop, h->table, h->epochs, &hooks);
    atomic_store(&h->started, true);
    while (!h->stopping || !checker_stopped(h->checker))
        sl_assert(loop_turn(&h->loop, -1) >= 0);
    epoch_leave(&h->reader);
    wait_for(atomic_load(&h->may_free)); /* see loop_post() */
    checker_free(&h->checker);
    loop_fini(&h->loop);
    epoch_reader_unregister(&h->reader);
    return NULL;
}

static void on_stop(struct loop_msg *msg, void *ctx)
{
    struct house *h = ctx;
    (void)msg;
    checker_stop(h->checker);
    h->stopping = true;
}

static struct house *house_new(enum io_engine_kind engine)
{
    struct house *h = xaligned(sizeof(*h));

    log_set_level(LOG_LEVEL_ERROR);
    h->engine = engine;
    h->epochs = epoch_domain_new();
    h->table = table_new(h->epochs);
    h->conf.health = (struct health_conf){
        .type = CHECK_TYPE_TCP,
        .interval_ms = 10,
        .timeout_ms = 300,
        .rise = 2,
        .fall = 2,
        .status = {{200, 399}},
        .n_status = 1,
    };
    assert_int_equal(pthread_create(&h->thread, NULL, run, h), 0);
    wait_for(atomic_load(&h->started));
    return h;
}

static void house_free(struct house *h)
{
    h->stop_msg.fn = on_stop;
    loop_post(&h->loop, &h->stop_msg);
    atomic_store(&h->may_free, true);
    pthread_join(h->thread, NULL);
    table_free(&h->table);
    epoch_domain_free(&h->epochs);
    free(h);
    log_set_level(LOG_LEVEL_INFO);
}

static struct backend_slot *add(struct house *h, const char *name, const struct addr *a)
{
    struct backend_slot *s = table_add(h->table, "app", name);

    slot_set_address(h->table, s, a);
    checker_add(h->checker, s, &h->conf);
    return s;
}

static struct backend_info info_of(const struct backend_slot *s)
{
    struct backend_info i;
    slot_info(s, &i);
    return i;
}

static enum oper_state oper(const struct backend_slot *s)
{
    return slot_word(s).oper;
}

/* ---- both engines ---- */

static void each_engine(void (*test)(enum io_engine_kind engine))
{
    struct io_probe probe;

    io_probe(&probe);
    test(IO_EPOLL);
    if (probe.uring)
        test(IO_URING);
}

static void real_servers(enum io_engine_kind engine)
{
    static const char good[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "5\r\nall o\r\n1\r\nk\r\n0\r\n\r\n";
    int fds = open_fds();
    struct server v4, v6, local, bad, silent, garbage, gone;
    struct house *h = house_new(engine);

    server_start(&v4, AF_INET, good);
    server_start(&v6, AF_INET6, good);
    server_start(&local, AF_UNIX, good);
    server_start(&bad, AF_INET, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    server_start(&silent, AF_INET, NULL);
    server_start(&garbage, AF_INET, "\x01\x02 no http\n");
    server_start(&gone, AF_INET, good);
    server_stop(&gone);
    h->conf.health.type = CHECK_TYPE_HTTP;
    h->conf.health.path = "/";
    h->conf.health.body = "all ok";
    struct backend_slot *slots[] = {
        add(h, "v4", &v4.addr),         add(h, "v6", &v6.addr),
        add(h, "unix", &local.addr),    add(h, "bad", &bad.addr),
        add(h, "silent", &silent.addr), add(h, "garbage", &garbage.addr),
        add(h, "gone", &gone.addr),
    };
    checker_begin(h->checker);
    wait_for(atomic_load(&h->ready) == 1);
    static const struct {
        enum oper_state is;
        enum check_result result;
    } rows[] = {
        {OPER_UP, CHECK_L7OK},    {OPER_UP, CHECK_L7OK},     {OPER_UP, CHECK_L7OK},
        {OPER_DOWN, CHECK_L7STS}, {OPER_DOWN, CHECK_L7TOUT}, {OPER_DOWN, CHECK_L7RSP},
        {OPER_DOWN, CHECK_L4CON},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(oper(slots[i]), rows[i].is);
        assert_int_equal(info_of(slots[i]).result, rows[i].result);
    }
    wait_for(info_of(slots[0]).checks >= 20);
    server_stop(&v4); /* dies */
    wait_for(oper(slots[0]) == OPER_DOWN);
    assert_string_equal(info_of(slots[0]).reason, "connection refused");
    house_free(h);
    server_stop(&v6);
    server_stop(&local);
    server_stop(&bad);
    server_stop(&silent);
    server_stop(&garbage);
    assert_int_equal(open_fds(), fds);
}

static void servers_of_all_kinds_are_seen_for_what_they_are(void **state)
{
    (void)state;
    each_engine(real_servers);
}

/* Why: each TIME_WAIT holds a port for a minute. */
static void connects_leave_by_reset(enum io_engine_kind engine)
{
    struct server s;
    struct house *h = house_new(engine);

    server_start(&s, AF_INET, NULL);
    struct backend_slot *slot = add(h, "a", &s.addr);
    checker_begin(h->checker);
    wait_for(info_of(slot).checks >= 10 && atomic_load(&s.resets) >= 10);
    house_free(h);
    server_stop(&s);
    assert_in_range(atomic_load(&s.ends), 0, 1); /* one may have been cancelled at the end */
}

static void a_check_that_only_connects_leaves_no_time_wait(void **state)
{
    (void)state;
    each_engine(connects_leave_by_reset);
}

static void stop_while_all_hang(enum io_engine_kind engine)
{
    int fds = open_fds();
    struct server silent;
    struct house *h = house_new(engine);
    char name[16];

    server_start(&silent, AF_INET, NULL);
    h->conf.health.expect = "never";
    h->conf.health.timeout_ms = 3600000;
    struct backend_slot *last = NULL;
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "b%d", i);
        last = add(h, name, &silent.addr);
    }
    checker_begin(h->checker);
    wait_for(info_of(last).checking);
    house_free(h);
    server_stop(&silent);
    assert_int_equal(open_fds(), fds);
}

static void stopping_does_not_wait_for_timeouts(void **state)
{
    (void)state;
    each_engine(stop_while_all_hang);
}

/* ---- many threads ---- */

struct storm {
    struct house *house;
    struct backend_slot *slot;
    const struct addr *addrs[2];
    int n;
};

static void *report(void *arg)
{
    struct storm *st = arg;

    for (int i = 0; i < st->n; i++) {
        checker_report_failure(st->house->checker, st->slot, ECONNREFUSED, "");
        if (i % 100 == 0)
            sleep_ms(1);
    }
    return NULL;
}

static void *control(void *arg)
{
    struct storm *st = arg;
    struct checker *c = st->house->checker;

    for (int i = 0; i < st->n / 100; i++) {
        slot_set_admin(st->slot, i % 2 ? ADMIN_FMAINT : 0, i % 2 ? 0 : ADMIN_FMAINT);
        slot_set_weight(st->slot, (uint16_t)(1 + i % 200));
        slot_set_address(st->house->table, st->slot, st->addrs[i % 3 == 0]);
        checker_touch(c, st->slot);
        checker_force(c, st->slot, (enum checker_force)(i % 3));
        checker_enable(c, st->slot, i % 5 != 0);
        if (i % 7 == 0)
            checker_add(c, st->slot, &st->house->conf);
        if (i % 21 == 0) {
            checker_remove(c, st->slot);
            checker_add(c, st->slot, &st->house->conf);
        }
        sleep_ms(1);
    }
    slot_set_admin(st->slot, ADMIN_FMAINT, 0);
    slot_set_weight(st->slot, 3);
    slot_set_address(st->house->table, st->slot, st->addrs[0]);
    checker_enable(c, st->slot, true);
    checker_touch(c, st->slot);
    return NULL;
}

static void notes_from_everywhere(enum io_engine_kind engine)
{
    struct server good, gone;
    struct house *h = house_new(engine);
    pthread_t reporters[3], controller;

    server_start(&good, AF_INET, NULL);
    server_start(&gone, AF_INET, NULL);
    server_stop(&gone);
    h->conf.slow_start_ms = 100;
    struct storm st = {h, add(h, "a", &good.addr), {&good.addr, &gone.addr}, 20000};
    checker_begin(h->checker);
    for (size_t i = 0; i < ARRAY_LEN(reporters); i++)
        assert_int_equal(pthread_create(&reporters[i], NULL, report, &st), 0);
    assert_int_equal(pthread_create(&controller, NULL, control, &st), 0);
    for (size_t i = 0; i < ARRAY_LEN(reporters); i++)
        pthread_join(reporters[i], NULL);
    pthread_join(controller, NULL);

    /* When it has calmed down, all of the last is so. */
    wait_for(oper(st.slot) == OPER_UP && info_of(st.slot).health == 3);
    wait_for(slot_word(st.slot).weight == 3 * WEIGHT_SCALE);
    assert_true(info_of(st.slot).check_enabled);
    wait_for(atomic_load(&st.slot->refs) == 1);
    house_free(h);
    server_stop(&good);
}

static void notes_of_many_threads_all_arrive(void **state)
{
    (void)state;
    each_engine(notes_from_everywhere);
}

/* ---- results of many workers ---- */

#define POOL 5

struct results {
    struct house *house;
    struct backend_slot *slots[POOL];
    _Atomic bool over;
};

static void *work(void *arg)
{
    struct results *r = arg;

    for (uint32_t i = 0; !atomic_load(&r->over); i++) {
        struct backend_slot *s = r->slots[i / 7 % POOL];
        bool ok = i % 1000 == 0;
        uint32_t n = checker_report_result(r->house->checker, s, ok);
        sl_assert(ok ? n == 0 : n > 0);
        if (i % 100 == 0)
            sleep_ms(1);
    }
    return NULL;
}

static void results_of_workers(enum io_engine_kind engine)
{
    struct house *h = house_new(engine);
    struct results r = {.house = h};
    struct addr a = {.len = sizeof(a.in), .in = {.sin_family = AF_INET}};
    pthread_t workers[3];

    h->conf.health.type = CHECK_TYPE_NONE;
    h->conf.ejection = (struct outlier_conf){.failures = 3, .time_ms = 2, .max_percent = 50};
    for (uint32_t i = 0; i < POOL; i++) {
        char name[16];
        snprintf(name, sizeof(name), "b%u", i);
        r.slots[i] = add(h, name, &a);
    }
    checker_begin(h->checker);
    wait_for(slot_use(r.slots[POOL - 1]) == USE_YES);
    for (size_t i = 0; i < ARRAY_LEN(workers); i++)
        assert_int_equal(pthread_create(&workers[i], NULL, work, &r), 0);
    wait_for(atomic_load(&h->ejections) > 200);
    atomic_store(&r.over, true);
    for (size_t i = 0; i < ARRAY_LEN(workers); i++)
        pthread_join(workers[i], NULL);
    for (uint32_t i = 0; i < POOL; i++)
        wait_for(slot_use(r.slots[i]) == USE_YES);
    assert_false(atomic_load(&h->too_many));
    house_free(h);
}

static void ejection_holds_its_bounds_whatever_workers_report(void **state)
{
    (void)state;
    each_engine(results_of_workers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_of_all_kinds_are_seen_for_what_they_are),
        cmocka_unit_test(a_check_that_only_connects_leaves_no_time_wait),
        cmocka_unit_test(stopping_does_not_wait_for_timeouts),
        cmocka_unit_test(notes_of_many_threads_all_arrive),
        cmocka_unit_test(ejection_holds_its_bounds_whatever_workers_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
