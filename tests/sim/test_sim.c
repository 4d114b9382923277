/* test_sim.c - the simulation itself: a small relay run through many seeds, and that each broken
 * rule is caught. Also the example for tests of larger things: see README. */
#include "lb/io/loop.h"
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct sockaddr_in front = {AF_INET, 0x901f, {0x0100007f}, {0}};
static const struct sockaddr_in back = {AF_INET, 0xb90b, {0x0200007f}, {0}};

#define ADDR(a) ((const struct sockaddr *)(const void *)&(a)), sizeof(a)

/* ---- the code under test: a relay of one connection, one buffer chain at a time ---- */

struct way {
    struct relay *r;
    struct op rx, tx;
    int from, to;
    struct io_buf *first;
    bool ended;
};

struct relay {
    struct relays *all;
    int client, server;
    struct op dial;
    struct way up, down;
    bool failed;
};

struct relays {
    struct loop loop;
    struct op accept;
    int listener, live, done, failed;
    bool stopping;
};

static void step(struct relay *r);

static void send_first(struct way *w)
{
    io_send(w->r->all->loop.io, &w->tx, w->to, w->first->data, w->first->len);
}

static void on_rx(struct op *op, int res)
{
    struct way *w = container_of(op, struct way, rx);
    struct io_buf **end = &w->first;

    if (res > 0) {
        while (*end != NULL)
            end = &(*end)->next;
        *end = op_take_bufs(op);
    } else if (res == 0) {
        w->ended = true;
    } else if (res != -ECANCELED) {
        w->r->failed = true;
    }
    step(w->r);
}

static void on_tx(struct op *op, int res)
{
    struct way *w = container_of(op, struct way, tx);
    struct io_buf *sent = w->first;

    w->first = sent->next;
    io_buf_put(w->r->all->loop.io, sent);
    if (res < 0)
        w->r->failed = true;
    step(w->r);
}

static bool way_done(const struct way *w)
{
    return w->ended && w->first == NULL && !w->tx.armed;
}

static void way_step(struct way *w)
{
    struct io *io = w->r->all->loop.io;

    if (w->first != NULL && !w->tx.armed)
        send_first(w);
    if (w->first != NULL && w->rx.armed) /* one chain at a time: the rest waits outside */
        io_cancel(io, &w->rx);
    if (w->first == NULL && !w->ended && !w->rx.armed)
        io_recv(io, &w->rx, w->from);
    if (way_done(w) && w->to >= 0) {
        (void)io_shutdown(io, w->to, SHUT_WR);
        w->to = -1;
    }
}

static void relay_end(struct relay *r)
{
    struct io *io = r->all->loop.io;

    io_cancel(io, &r->up.rx);
    io_cancel(io, &r->up.tx);
    io_cancel(io, &r->down.rx);
    io_cancel(io, &r->down.tx);
    if (r->up.rx.armed || r->up.tx.armed || r->down.rx.armed || r->down.tx.armed)
        return;
    io_buf_put_chain(io, r->up.first);
    io_buf_put_chain(io, r->down.first);
    if (r->failed) {
        io_reset(io, r->client);
        io_reset(io, r->server);
    } else {
        io_close(io, r->client);
        io_close(io, r->server);
    }
    r->all->failed += r->failed;
    r->all->done++;
    r->all->live--;
    free(r);
}

static void step(struct relay *r)
{
    if (!r->failed) {
        way_step(&r->up);
        way_step(&r->down);
    }
    if (r->failed || (way_done(&r->up) && way_done(&r->down)))
        relay_end(r);
}

static void on_dial(struct op *op, int res)
{
    struct relay *r = container_of(op, struct relay, dial);

    r->failed = res < 0;
    step(r);
}

static void way_init(struct way *w, struct relay *r, int from, int to)
{
    *w = (struct way){.r = r, .from = from, .to = to};
    op_init(&w->rx, on_rx);
    op_init(&w->tx, on_tx);
}

static void on_accept(struct op *op, int res)
{
    struct relays *all = container_of(op, struct relays, accept);

    if (res < 0 && all->stopping) /* an error may come before the cancel */
        return;
    if (res < 0) {
        io_accept(all->loop.io, op, all->listener);
        return;
    }
    struct relay *r = calloc(1, sizeof(*r));
    r->all = all;
    r->client = res;
    r->server = io_socket(all->loop.io, AF_INET, &(struct io_sock_opts){.nodelay = true});
    if (r->server < 0) {
        io_close(all->loop.io, r->client);
        free(r);
        all->done++;
        all->failed++;
        return;
    }
    all->live++;
    way_init(&r->up, r, r->client, r->server);
    way_init(&r->down, r, r->server, r->client);
    op_init(&r->dial, on_dial);
    io_connect(all->loop.io, &r->dial, r->server, ADDR(back));
}

/* ---- its world ---- */

enum { CLIENTS = 5 };

struct client {
    struct sim_peer *peer;
    size_t total, checked;
    bool ok;
};

static uint8_t byte_at(uint64_t tag, size_t i)
{
    return (uint8_t)(i * 7 + (i >> 8) + tag * 13);
}

static void on_client(struct sim_peer *p, enum sim_event event)
{
    struct client *c = p->arg;
    uint8_t buf[512];
    ssize_t n;

    if (event != SIM_DATA && event != SIM_END)
        return;
    while ((n = sim_peer_read(p, buf, sizeof(buf))) > 0)
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(buf[i], byte_at(p->tag, c->checked++));
    if (n != 0)
        return;
    c->ok = c->checked == c->total;
    sim_peer_close(p);
}

static void dial_one(struct sim *s, void *arg)
{
    struct client *c = arg;
    uint8_t *data = malloc(c->total + 1);

    c->peer = sim_dial(s, ADDR(front), NULL);
    c->peer->fn = on_client;
    c->peer->arg = c;
    c->peer->tag = c->peer->id;
    for (size_t i = 0; i < c->total; i++)
        data[i] = byte_at(c->peer->tag, i);
    assert_int_equal(sim_peer_send(c->peer, data, c->total), 0);
    sim_peer_shutdown(c->peer);
    free(data);
}

/* Returns the simulated time that it took. */
static uint64_t run_relays(uint64_t seed, const struct sim_faults *faults)
{
    struct sim *s = sim_new(&(struct sim_conf){.seed = seed, .bufs_max = 16, .faults = *faults});
    struct client clients[CLIENTS] = {0};
    struct relays all = {0};
    uint64_t start = sim_now_us(s);
    bool faulty = memcmp(faults, &(struct sim_faults){0}, sizeof(*faults)) != 0;

    assert_int_equal(loop_init(&all.loop, sim_io(s), &all), 0);
    sim_serve(s, ADDR(back), sim_peer_echo, NULL);
    all.listener = sim_listen(s, ADDR(front));
    op_init(&all.accept, on_accept);
    io_accept(all.loop.io, &all.accept, all.listener);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].total = sim_below(s, 2) ? sim_below(s, 20) : sim_below(s, 3000);
        sim_after(s, sim_below(s, 10000), dial_one, &clients[i]);
    }
    int gone = 0;
    for (int turns = 0; all.live > 0 || gone < CLIENTS; turns++) {
        assert_true(loop_turn(&all.loop, 1000) >= 0);
        assert_true(turns < 100000);
        gone = 0;
        for (int i = 0; i < CLIENTS; i++) {
            struct sim_peer *p = clients[i].peer;
            gone += p != NULL && (p->closed || p->was_reset || (faulty && all.live == 0));
        }
    }
    uint64_t took = sim_now_us(s) - start;
    for (int i = 0; i < CLIENTS && !faulty; i++)
        assert_true(clients[i].ok);
    assert_true(faulty || all.failed == 0);
    all.stopping = true;
    io_cancel(all.loop.io, &all.accept);
    for (int turns = 0; all.accept.armed || all.live > 0; turns++) {
        assert_true(loop_turn(&all.loop, 1000) >= 0);
        assert_true(turns < 100000);
    }
    io_close(all.loop.io, all.listener);
    loop_fini(&all.loop);
    sim_free(&s);
    return took;
}

/* ---- tests ---- */

static void relay_without_faults(uint64_t seed, void *arg)
{
    (void)arg;
    run_relays(seed, &(struct sim_faults){0});
}

static void every_byte_comes_back_whatever_the_seed(void **state)
{
    (void)state;
    sim_each_seed(200, relay_without_faults, NULL);
}

static void relay_with_faults(uint64_t seed, void *arg)
{
    (void)arg;
    run_relays(seed, &(struct sim_faults){.accept = 100,
                                          .aborted = 100,
                                          .connect = 100,
                                          .reset = 5,
                                          .timeout = 2,
                                          .socket = 50,
                                          .buffers = 100});
}

static void nothing_leaks_or_hangs_whatever_fails(void **state)
{
    (void)state;
    sim_each_seed(200, relay_with_faults, NULL);
}

static void a_seed_is_repeated_exactly(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++)
        assert_int_equal(run_relays(seed, &(struct sim_faults){.reset = 5}),
                         run_relays(seed, &(struct sim_faults){.reset = 5}));
}

/* Scripted, in calm weather: what happens is exact. */

struct scene {
    struct sim *s;
    struct io *io;
    struct sim_peer *peer;
    int fd;
    struct op op, op2;
    int last, calls;
};

static void on_scene(struct op *op, int res)
{
    struct scene *sc = container_of(op, struct scene, op);

    io_buf_put_chain(sc->io, op->kind == OP_RECV ? op_take_bufs(op) : NULL);
    sc->last = res;
    sc->calls++;
}

static void on_nothing(struct op *op, int res)
{
    (void)op;
    (void)res;
}

static void open_scene(struct scene *sc)
{
    *sc = (struct scene){.s = sim_new(&(struct sim_conf){.seed = 1, .calm = true})};
    sc->io = sim_io(sc->s);
    sc->peer = sim_pair(sc->s, &sc->fd);
    op_init(&sc->op, on_scene);
    op_init(&sc->op2, on_nothing);
}

static void close_scene(struct scene *sc)
{
    io_close(sc->io, sc->fd);
    io_free(&sc->io);
    sim_free(&sc->s);
}

static void time_jumps_to_what_happens_next(void **state)
{
    struct scene sc;
    char c;

    (void)state;
    open_scene(&sc);
    uint64_t start = io_now_ms(sc.io);
    assert_int_equal(io_turn(sc.io, 3600 * 1000, NULL), 0);
    assert_int_equal(io_now_ms(sc.io) - start, 3600 * 1000);
    io_recv_into(sc.io, &sc.op, sc.fd, &c, 1);
    assert_int_equal(sim_peer_send(sc.peer, "x", 1), 0);
    assert_int_equal(io_turn(sc.io, 3600 * 1000, NULL), 1);
    assert_int_equal(sc.last, 1);
    assert_true(io_now_ms(sc.io) - start <= 3600 * 1000 + 1);
    close_scene(&sc);
}

static void moods_decide_what_a_connect_meets(void **state)
{
    static const struct {
        enum sim_mood mood;
        int res;
    } cases[] = {{SIM_ACCEPTS, 0},
                 {SIM_REFUSES, -ECONNREFUSED},
                 {SIM_FULL, -EAGAIN},
                 {SIM_HANGS, -ETIMEDOUT}};
    struct scene sc;

    (void)state;
    open_scene(&sc);
    struct sim_server *v = sim_serve(sc.s, ADDR(back), NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int fd = io_socket(sc.io, AF_INET, &(struct io_sock_opts){0});
        v->mood = cases[i].mood;
        io_connect(sc.io, &sc.op, fd, ADDR(back));
        while (sc.op.armed)
            io_turn(sc.io, -1, NULL);
        assert_int_equal(sc.last, cases[i].res);
        io_close(sc.io, fd);
    }
    assert_int_equal(v->connects, 1);
    close_scene(&sc);
}

static void a_reset_shows_in_a_receive_and_in_an_error_watch(void **state)
{
    struct scene sc;

    (void)state;
    for (int watch = 0; watch < 2; watch++) {
        open_scene(&sc);
        if (watch)
            io_poll(sc.io, &sc.op, sc.fd, 0);
        else
            io_recv(sc.io, &sc.op, sc.fd);
        assert_int_equal(io_turn(sc.io, 100, NULL), 0);
        sim_peer_reset(sc.peer);
        assert_int_equal(io_turn(sc.io, 100, NULL), 1);
        assert_true(watch ? sc.last > 0 : sc.last == -ECONNRESET);
        close_scene(&sc);
    }
}

static void a_full_window_blocks_a_send_until_it_is_read(void **state)
{
    static uint8_t data[200000], buf[200000];
    struct scene sc;
    size_t got = 0;

    (void)state;
    open_scene(&sc);
    io_send(sc.io, &sc.op, sc.fd, data, sizeof(data));
    for (int i = 0; i < 10; i++)
        io_turn(sc.io, 1000, NULL);
    assert_int_equal(sc.calls, 0);
    assert_true(sc.op.send.done > 0 && sc.op.send.done < sizeof(data));
    while (got < sizeof(data)) {
        ssize_t n = sim_peer_read(sc.peer, buf, sizeof(buf));
        got += n > 0 ? (size_t)n : 0;
        io_turn(sc.io, 1, NULL);
    }
    assert_int_equal(sc.last, sizeof(data));
    close_scene(&sc);
}

/* ---- broken rules: each must end the process ---- */

static void arm_twice(struct scene *sc)
{
    io_recv(sc->io, &sc->op, sc->fd);
    io_recv(sc->io, &sc->op, sc->fd);
}

static void close_armed(struct scene *sc)
{
    io_recv(sc->io, &sc->op, sc->fd);
    io_close(sc->io, sc->fd);
}

static void close_before_last_call(struct scene *sc)
{
    io_recv(sc->io, &sc->op, sc->fd);
    io_cancel(sc->io, &sc->op);
    io_close(sc->io, sc->fd);
}

static void two_sends(struct scene *sc)
{
    io_send(sc->io, &sc->op, sc->fd, "a", 1);
    io_send(sc->io, &sc->op2, sc->fd, "b", 1);
}

static void change_armed(struct scene *sc)
{
    io_recv(sc->io, &sc->op, sc->fd);
    op_init(&sc->op, on_scene);
    io_turn(sc->io, 1, NULL);
}

static void use_closed(struct scene *sc)
{
    io_close(sc->io, sc->fd);
    io_recv(sc->io, &sc->op, sc->fd);
}

static void close_twice(struct scene *sc)
{
    io_close(sc->io, sc->fd);
    io_close(sc->io, sc->fd);
}

static void leak_fd(struct scene *sc)
{
    io_free(&sc->io);
}

static void leak_pipe(struct scene *sc)
{
    (void)io_pipe_take(sc->io);
    io_close(sc->io, sc->fd);
    io_free(&sc->io);
}

static void wait_for_nothing(struct scene *sc)
{
    io_recv(sc->io, &sc->op, sc->fd);
    io_turn(sc->io, -1, NULL);
}

static void on_keep(struct op *op, int res)
{
    struct scene *sc = container_of(op, struct scene, op);
    struct io_buf *b = op_take_bufs(op);

    (void)res;
    if (b != NULL)
        io_buf_put(sc->io, b);
    if (b != NULL)
        io_buf_put(sc->io, b);
}

static void put_twice(struct scene *sc)
{
    op_init(&sc->op, on_keep);
    io_recv(sc->io, &sc->op, sc->fd);
    (void)sim_peer_send(sc->peer, "x", 1);
    io_turn(sc->io, 10, NULL);
}

static void on_leak(struct op *op, int res)
{
    (void)res;
    (void)op_take_bufs(op);
}

static void leak_buffer(struct scene *sc)
{
    op_init(&sc->op, on_leak);
    io_recv(sc->io, &sc->op, sc->fd);
    (void)sim_peer_send(sc->peer, "x", 1);
    io_turn(sc->io, 10, NULL);
    io_cancel(sc->io, &sc->op);
    io_turn(sc->io, 10, NULL);
    io_close(sc->io, sc->fd);
    io_free(&sc->io);
}

static bool ends_the_process(void (*breaks)(struct scene *sc))
{
    pid_t pid = fork();

    if (pid == 0) {
        struct scene sc;
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        dup2(null, STDOUT_FILENO);
        open_scene(&sc);
        breaks(&sc);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void nothing_wrong(struct scene *sc)
{
    close_scene(sc);
}

static void each_broken_rule_is_caught(void **state)
{
    static void (*const rules[])(struct scene *) = {
        arm_twice,   close_armed,  close_before_last_call,
        two_sends,   change_armed, use_closed,
        close_twice, leak_fd,      leak_pipe,
        leak_buffer, put_twice,    wait_for_nothing,
    };

    (void)state;
    assert_false(ends_the_process(nothing_wrong));
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (!ends_the_process(rules[i]))
            fail_msg("rule %zu is not checked", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_byte_comes_back_whatever_the_seed, sim_teardown),
        cmocka_unit_test_teardown(nothing_leaks_or_hangs_whatever_fails, sim_teardown),
        cmocka_unit_test(a_seed_is_repeated_exactly),
        cmocka_unit_test(time_jumps_to_what_happens_next),
        cmocka_unit_test(moods_decide_what_a_connect_meets),
        cmocka_unit_test(a_reset_shows_in_a_receive_and_in_an_error_watch),
        cmocka_unit_test(a_full_window_blocks_a_send_until_it_is_read),
        cmocka_unit_test(each_broken_rule_is_caught),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
