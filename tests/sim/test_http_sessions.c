/* test_http_sessions.c - sessions and exchanges of mode http on the simulated engine, against what
 * must hold whatever happens: a response is that of its request, complete and unchanged, or the
 * client can tell that it is not; what must not be repeated is seen by backends once; every count
 * returns to zero and everything is given back (io_free checks the latter). */
#include "lb/base/log.h"
#include "tests/sim/sim_http_farm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- clients ---- */

struct client {
    struct http_farm *f;
    struct far far;
    struct sim_http in;
    uint32_t first, n;  /* its requests */
    uint32_t sent, got; /* of them */
    uint32_t dials;
    bool pipelined, waits_100, closing, raw, over, timer;
    bool genuine; /* the response comes from a backend */
    uint64_t raw_got;
    struct sim_text out;
    size_t out_at;
};

static void client_fn(struct sim_peer *p, enum sim_event event);

static void client_over(struct client *c)
{
    if (c->over)
        return;
    c->over = true;
    c->f->farm.done++;
}

static struct request *request_of(struct client *c, uint32_t i)
{
    return &c->f->requests[c->first + i];
}

/* What it is worth is kept for the next one. */
static void client_drop_tls(struct client *c)
{
    struct http_farm *f = c->f;

    if (c->far.tls == NULL)
        return;
    SSL_SESSION *session = sim_tls_session(c->far.tls);
    if (session != NULL && !c->over && SSL_SESSION_is_resumable(session)) {
        SSL_SESSION_free(f->session);
        f->session = session;
    } else {
        SSL_SESSION_free(session);
    }
    sim_tls_free(&c->far.tls);
}

static void client_pump(struct sim *s, void *arg)
{
    struct client *c = arg;
    size_t left = c->out.len - c->out_at, n = left;

    c->timer = false;
    if (c->over || far_gone(&c->far) || left == 0)
        return;
    if (c->sent > 0 && request_of(c, c->sent - 1)->dribble)
        n = 1 + sim_below(s, left < 300 ? (uint32_t)left : 300 + (uint32_t)left / 2);
    if (n > left)
        n = left;
    far_send(&c->far, c->out.p + c->out_at, n);
    c->out_at += n;
    if (c->out_at == c->out.len) {
        c->out.len = c->out_at = 0;
        return;
    }
    c->timer = true;
    sim_after(s, 1 + sim_below(s, 10000), client_pump, c);
}

static void client_flush(struct client *c)
{
    if (!c->timer && c->out.len > 0)
        client_pump(c->f->farm.sim, c);
}

static void send_payload(struct client *c, uint32_t i)
{
    const struct request *r = request_of(c, i);

    put_payload(c->f->farm.sim, &c->out, r->up, (c->first + i) * 2, r->up_bytes, r->trailers);
}

static void send_request(struct client *c)
{
    struct request *r = request_of(c, c->sent);
    struct sim_text *t = &c->out;

    r->sent = true;
    sim_text_addf(t, "%s /%u HTTP/1.%d\r\nHost: h.test\r\n", method_names[r->method],
                  c->first + c->sent, r->http10 ? 0 : 1);
    if (r->up == F_LENGTH)
        sim_text_addf(t, "Content-Length: %u\r\n", r->up_bytes);
    else if (r->up == F_CHUNKED)
        sim_text_addf(t, "Transfer-Encoding: chunked\r\n");
    if (r->expect)
        sim_text_addf(t, "Expect: 100-continue\r\n");
    if (r->down == F_UPGRADE)
        sim_text_addf(t, "Connection: Upgrade\r\nUpgrade: %s\r\n", upgrade_word(c->f));
    else if (r->close)
        sim_text_addf(t, "Connection: close\r\n");
    else if (r->http10)
        sim_text_addf(t, "Connection: keep-alive\r\n");
    sim_text_addf(t, "\r\n");
    if (r->expect)
        c->waits_100 = true;
    else
        send_payload(c, c->sent);
    c->sent++;
}

/* As many as may be under way. */
static void client_sends(struct client *c)
{
    while (c->sent < c->n && !c->waits_100 && (c->pipelined || c->sent == c->got)) {
        if (c->sent > 0 && c->sent > c->got && request_of(c, c->sent - 1)->down == F_UPGRADE)
            break;
        send_request(c);
    }
    client_flush(c);
}

static void client_dial(struct client *c)
{
    struct http_farm *f = c->f;

    if (c->got >= c->n || f->draining || c->dials++ > 3 * REQUESTS) {
        client_over(c);
        return;
    }
    c->sent = c->got;
    c->waits_100 = c->closing = c->raw = false;
    c->raw_got = 0;
    c->out.len = c->out_at = 0;
    sim_http_begin(&c->in, false);
    c->far.peer = sim_dial(f->farm.sim, &f->farm.front.sa, f->farm.front.len, NULL);
    if (c->far.peer == NULL) {
        client_over(c);
        return;
    }
    c->far.peer->arg = c;
    c->far.peer->fn = client_fn;
    client_drop_tls(c);
    if (f->tls)
        c->far.tls =
            sim_tls_new(c->far.peer, f->client_ctx, sim_below(f->farm.sim, 2) ? f->session : NULL);
    client_sends(c);
}

static void redial(struct sim *s, void *arg)
{
    struct client *c = arg;

    (void)s;
    if (!c->over)
        client_dial(c);
}

/* Its connection is no more. In another turn, so that no event of the old one is mixed in. */
static void client_goes_on(struct client *c)
{
    if (!far_gone(&c->far))
        sim_peer_close(c->far.peer);
    if (c->got >= c->n)
        client_over(c);
    else
        sim_after(c->f->farm.sim, 1 + sim_below(c->f->farm.sim, 1000), redial, c);
}

static void client_lost(struct client *c, const char *how)
{
    const struct request *r = request_of(c, c->got < c->n ? c->got : c->n - 1);

    bool unseen = c->f->draining && r->seen == 0 && sim_http_fresh(&c->in);
    if (!may_fail(c->f, r) && !unseen)
        fail_msg("request %u (%s) was lost: %s; head: %s", c->first + c->got,
                 method_names[r->method], how, c->in.head);
    c->got = c->sent > c->got ? c->sent : c->got + 1; /* none is sent twice by us */
    client_goes_on(c);
}

static void client_head(struct client *c)
{
    if (getenv("SIM_TRACE") != NULL)
        print_error("%9llu client %u: peer %u, response %u of %u sent: %s\n",
                    (unsigned long long)sim_now_us(c->f->farm.sim), c->first, c->far.peer->id,
                    c->got, c->sent, c->in.head);
    struct request *r = request_of(c, c->got);
    const char *id = sim_http_field(&c->in, "X-Id");
    int status = c->in.status;

    if (c->got >= c->sent && c->in.status != 408)
        fail_msg("a response without a request: %s", c->in.head);
    if (id != NULL && strtoul(id, NULL, 10) != c->first + c->got)
        fail_msg("request %u got the response of another: %s", c->first + c->got, c->in.head);
    if (status == 100 && c->waits_100) {
        c->waits_100 = false;
        send_payload(c, c->sent - 1);
        client_sends(c);
        return;
    }
    if (status < 200 && status != 101)
        return;
    if (status == 101) {
        assert_int_equal(r->down, F_UPGRADE);
        return;
    }
    c->genuine = id != NULL;
    c->in.check = c->genuine;
    c->in.tag = (c->first + c->got) * 2 + 1;
    c->closing = sim_http_field_has(&c->in, "Connection", "close") ||
                 (r->http10 && !sim_http_field_has(&c->in, "Connection", "keep-alive")) ||
                 c->in.until_close;
    if (c->genuine) {
        assert_int_equal(status, r->status);
    } else if (!(r->trouble == T_GARBAGE && status == 200) && /* a good head, a bad payload */
               (!may_fail(c->f, r) || (status != 502 && status != 503 && status != 504 &&
                                       status != 408 && status != 400))) {
        fail_msg("request %u (%s): %s", c->first + c->got, method_names[r->method], c->in.head);
    }
}

/* All that goes through the tunnel. */
static void enter_tunnel(struct client *c)
{
    const struct request *r = request_of(c, c->got);

    c->raw = true;
    c->raw_got = 0;
    sim_text_pattern(&c->out, (c->first + c->got) * 2, 0, r->up_bytes);
    if (c->out.len == 0)
        far_shutdown(&c->far);
    client_flush(c);
}

/* The end of the stream is the response's: nobody can tell where it should have been. */
static bool cut_unnoticed(const struct http_farm *f, const struct request *r)
{
    return r->down == F_CLOSE && (r->trouble == T_CLOSE || f->server_mess > 0);
}

static bool client_done_one(struct client *c)
{
    const struct request *r = request_of(c, c->got);

    if (c->in.status == 101) {
        enter_tunnel(c);
        return true;
    }
    if (c->in.status < 200) {
        sim_http_begin(&c->in, false);
        c->in.no_payload = r->method == HEAD;
        return true;
    }
    if (r->trouble == T_GARBAGE && c->in.status == 200)
        assert_int_equal(r->method, HEAD); /* what is cut must not look complete */
    if (c->genuine && !(r->method == HEAD || r->status == 204 || r->status == 304)) {
        assert_false(c->in.wrong);
        if (c->in.payload != r->down_bytes && !cut_unnoticed(c->f, r))
            fail_msg("response %u has %llu bytes instead of %u: %s", c->first + c->got,
                     (unsigned long long)c->in.payload, r->down_bytes, c->in.head);
    }
    c->got++;
    sim_http_begin(&c->in, false);
    if (c->got < c->n)
        c->in.no_payload = request_of(c, c->got)->method == HEAD;
    if (c->got == c->n || c->closing || (c->waits_100 && c->got == c->sent))
        return false;
    client_sends(c);
    return true;
}

static void client_raw(struct client *c, const char *bytes, size_t n)
{
    const struct request *r = request_of(c, c->got);

    for (size_t i = 0; i < n; i++)
        assert_int_equal((uint8_t)bytes[i], sim_pattern((c->first + c->got) * 2, c->raw_got + i));
    c->raw_got += n;
    assert_true(c->raw_got <= r->up_bytes);
    if (c->raw_got == r->up_bytes && !far_gone(&c->far))
        far_shutdown(&c->far);
}

/* False: the connection is done with. */
static bool client_bytes(struct client *c, const char *bytes, size_t n)
{
    enum sim_http_event e;

    if (c->got < c->n && sim_http_fresh(&c->in))
        c->in.no_payload = request_of(c, c->got)->method == HEAD;
    do {
        if (c->raw) {
            client_raw(c, bytes, n);
            return true;
        }
        size_t used = sim_http_feed(&c->in, bytes, n, &e);
        bytes += used;
        n -= used;
        if (e == SIM_HTTP_BAD)
            fail_msg("client %u got what is no response: %s", c->first, c->in.head);
        if (e == SIM_HTTP_HEAD)
            client_head(c);
        else if (e == SIM_HTTP_DONE && !client_done_one(c))
            return false;
    } while (e != SIM_HTTP_MORE);
    return true;
}

static void client_end(struct client *c)
{
    if (c->raw) {
        if (c->raw_got < request_of(c, c->got)->up_bytes) {
            client_lost(c, "tunnel ended");
            return;
        }
        c->got++;
        client_goes_on(c);
        return;
    }
    bool whole =
        c->far.tls == NULL || sim_tls_notified(c->far.tls); /* what only its end delimits */
    if (c->in.until_close && c->in.head_len > 0 && c->in.status >= 200 && whole) {
        client_done_one(c);
        client_goes_on(c);
    } else if (sim_http_fresh(&c->in) && c->got == c->sent) {
        client_goes_on(c); /* an idle connection */
    } else {
        client_lost(c, "end of stream");
    }
}

static void client_fn(struct sim_peer *p, enum sim_event event)
{
    struct client *c = p->arg;
    char bytes[4096];
    ssize_t n = -1;

    if (c->over || p != c->far.peer)
        return;
    if (event == SIM_RESET) {
        client_lost(c, "reset");
        return;
    }
    if (event != SIM_DATA && event != SIM_END)
        return;
    while (!far_gone(&c->far) && (n = far_read(&c->far, bytes, sizeof(bytes))) > 0)
        if (!client_bytes(c, bytes, (size_t)n)) {
            client_goes_on(c);
            return;
        }
    if (n == 0 && !far_gone(&c->far))
        client_end(c);
    else if (n == -EPROTO)
        fail_msg("client %u: what came is no TLS", c->first);
}

static void clients_init(struct http_farm *f, struct client *clients)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        c->f = f;
        c->first = i * REQUESTS;
        c->n = 1 + sim_below(f->farm.sim, REQUESTS);
        c->pipelined = sim_below(f->farm.sim, 3) == 0;
        for (uint32_t j = 0; j < c->n; j++)
            draw_request(f->farm.sim, request_of(c, j));
    }
}

static void start_clients(struct client *clients)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_dial(&clients[i]);
}

static void clients_fini(struct client *clients)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        sim_text_free(&clients[i].out);
        client_drop_tls(&clients[i]);
    }
}

/* ---- simple lives ---- */

struct tls_where {
    bool front, back;
};

static void simple_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed};
    struct http_farm f = {0};
    struct client clients[CLIENTS] = {0};

    http_farm_init(&f, &conf);
    f.tls = arg != NULL && ((const struct tls_where *)arg)->front;
    f.tls_back = arg != NULL && ((const struct tls_where *)arg)->back;
    f.farm.pool_conf.http.reuse = (enum reuse)sim_below(f.farm.sim, REUSE_NEVER + 1);
    f.farm.pool_conf.balance.kind = (enum balance_kind)sim_below(f.farm.sim, BALANCE_FIRST + 1);
    sim_faults(f.farm.sim)->pipe = sim_below(f.farm.sim, 3) == 0 ? 500 : 0;
    sim_faults(f.farm.sim)->splice = sim_below(f.farm.sim, 3) == 0 ? 500 : 0;
    http_farm_start(&f);
    clients_init(&f, clients);
    start_clients(clients);
    run_until(&f.farm, clients_done, 72000);
    clients_fini(clients);
    http_farm_end(&f);
}

static void every_request_gets_its_own_response_complete(void **state)
{
    (void)state;
    sim_each_seed(20, simple_life, NULL);
}

/* ---- backends that misbehave ---- */

static void draw_troubles(struct http_farm *f, struct client *clients)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        for (uint32_t j = 0; j < clients[i].n; j++)
            draw_trouble(f->farm.sim, request_of(&clients[i], j));
}

static void troubled_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed};
    struct http_farm f = {.lenient = true};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    http_farm_init(&f, &conf);
    impatient(&f);
    f.farm.pool_conf.http.reuse = (enum reuse)sim_below(f.farm.sim, REUSE_NEVER + 1);
    f.server_mess = sim_below(f.farm.sim, 3) == 0 ? 1 + sim_below(f.farm.sim, 20) : 0;
    f.idle_close = sim_below(f.farm.sim, 40);
    f.tls = sim_below(f.farm.sim, 3) == 0;
    f.tls_back = sim_below(f.farm.sim, 3) == 0;
    http_farm_start(&f);
    clients_init(&f, clients);
    draw_troubles(&f, clients);
    start_clients(clients);
    run_until(&f.farm, clients_done, 72000);
    clients_fini(clients);
    http_farm_end(&f);
}

static void a_backend_that_misbehaves_harms_none_but_its_own_request(void **state)
{
    (void)state;
    sim_each_seed(15, troubled_life, NULL);
}

/* ---- backends that close idle connections ---- */

static void closing_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed};
    struct http_farm f = {.lenient = true, .safe_only = true};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    http_farm_init(&f, &conf);
    f.farm.pool_conf.http.reuse = REUSE_ALWAYS;
    f.idle_close = 30 + sim_below(f.farm.sim, 70);
    http_farm_start(&f);
    clients_init(&f, clients);
    start_clients(clients);
    run_until(&f.farm, clients_done, 72000);
    clients_fini(clients);
    http_farm_end(&f);
}

static void a_backend_that_closes_idle_connections_costs_no_safe_request(void **state)
{
    (void)state;
    sim_each_seed(8, closing_life, NULL);
}

/* ---- queues ---- */

static void queue_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed};
    struct http_farm f = {0};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    http_farm_init(&f, &conf);
    f.farm.pool_conf.http.reuse = (enum reuse)sim_below(f.farm.sim, REUSE_NEVER + 1);
    f.farm.pool_conf.queue_timeout_ms = PATIENT_MS;
    for (uint32_t i = 0; i < BACKENDS; i++)
        atomic_store(&f.farm.slots[i]->max_connections, 1);
    http_farm_start(&f);
    clients_init(&f, clients);
    start_clients(clients);
    run_until(&f.farm, clients_done, 72000);
    for (uint32_t i = 0; i < BACKENDS; i++)
        assert_true(counter_get(&f.farm.slots[i]->in_flight_max) <= 1);
    clients_fini(clients);
    http_farm_end(&f);
}

static void requests_wait_their_turn_and_no_backend_gets_more_than_its_limit(void **state)
{
    (void)state;
    sim_each_seed(6, queue_life, NULL);
}

/* ---- drain ---- */

/* base: of a struct http_farm */
static bool some_done(const struct farm *base)
{
    const struct http_farm *f = container_of(base, const struct http_farm, farm);

    return f->seen >= CLIENTS || f->farm.done == CLIENTS;
}

static void drain_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed};
    struct http_farm f = {0};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    http_farm_init(&f, &conf);
    f.tls = sim_below(f.farm.sim, 3) == 0;
    f.tls_back = sim_below(f.farm.sim, 3) == 0;
    http_farm_start(&f);
    clients_init(&f, clients);
    start_clients(clients);
    run_until(&f.farm, some_done, 72000);
    for (uint32_t i = sim_below(f.farm.sim, 50); i > 0; i--)
        loop_turn(&f.farm.loop, 50);
    f.draining = true;
    proxy_drain(f.farm.proxy);
    run_until(&f.farm, clients_done, 72000);
    clients_fini(clients);
    http_farm_end(&f);
}

static void what_backends_have_seen_is_answered_when_the_process_drains(void **state)
{
    (void)state;
    sim_each_seed(15, drain_life, NULL);
}

/* ---- chaos ---- */

/* One that does anything to its connection; then it is over. */
static void chaos_act(struct sim *s, void *arg)
{
    struct client *c = arg;

    if (c->over)
        return;
    if (c->far.peer != NULL && !far_gone(&c->far))
        switch (sim_below(s, 5)) {
        case 0:
            client_over(c);
            sim_peer_reset(c->far.peer);
            return;
        case 1:
            client_over(c);
            sim_peer_close(c->far.peer);
            return;
        case 2:
            sim_peer_shutdown(c->far.peer);
            break;
        default:
            sim_peer_freeze(c->far.peer, sim_below(s, 2) == 0);
            break;
        }
    sim_after(s, 1 + sim_below(s, 2000000), chaos_act, c);
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
    struct http_farm f = {.lenient = true};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    http_farm_init(&f, &conf);
    impatient(&f);
    f.farm.pool_conf.http.reuse = (enum reuse)sim_below(f.farm.sim, REUSE_NEVER + 1);
    f.farm.pool_conf.queue_limit = 4;
    f.farm.pool_conf.queue_timeout_ms = 2000;
    f.farm.listener_conf.http.half_close = sim_below(f.farm.sim, 2) == 0;
    f.tls = sim_below(f.farm.sim, 2) == 0;
    f.server_mess = sim_below(f.farm.sim, 40);
    f.idle_close = sim_below(f.farm.sim, 40);
    for (uint32_t i = 0; i < BACKENDS; i++) {
        f.farm.servers[i]->mood = (enum sim_mood)sim_below(f.farm.sim, SIM_CLOSES + 1);
        atomic_store(&f.farm.slots[i]->max_connections, sim_below(f.farm.sim, 4));
    }
    f.farm.listener_conf.max_connections = sim_below(f.farm.sim, 2) ? 0 : 4;
    f.tls = sim_below(f.farm.sim, 3) == 0;
    f.tls_back = sim_below(f.farm.sim, 2) == 0;
    http_farm_start(&f);
    clients_init(&f, clients);
    draw_troubles(&f, clients);
    start_clients(clients);
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (sim_below(f.farm.sim, 3) > 0)
            sim_after(f.farm.sim, 1 + sim_below(f.farm.sim, 3000000), chaos_act, &clients[i]);
    for (int i = 0; i < 400; i++)
        loop_turn(&f.farm.loop, 50);
    if (sim_below(f.farm.sim, 3) == 0)
        proxy_end_all(f.farm.proxy, END_DRAIN);
    *sim_faults(f.farm.sim) = (struct sim_faults){0};
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_over(&clients[i]);
    clients_fini(clients);
    http_farm_end(&f); /* frozen ones end by their timeouts */
}

static void whatever_happens_everything_is_given_back(void **state)
{
    (void)state;
    sim_each_seed(20, chaos_life, NULL);
}

static void over_tls_too(void **state)
{
    static struct tls_where where = {.front = true};

    (void)state;
    sim_each_seed(8, simple_life, &where);
}

static void over_tls_to_backends(void **state)
{
    static struct tls_where where = {.back = true};

    (void)state;
    sim_each_seed(6, simple_life, &where);
}

static void over_tls_on_both_sides(void **state)
{
    static struct tls_where where = {.front = true, .back = true};

    (void)state;
    sim_each_seed(5, simple_life, &where);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_request_gets_its_own_response_complete, sim_teardown),
        cmocka_unit_test_teardown(over_tls_too, sim_teardown),
        cmocka_unit_test_teardown(over_tls_to_backends, sim_teardown),
        cmocka_unit_test_teardown(over_tls_on_both_sides, sim_teardown),
        cmocka_unit_test_teardown(a_backend_that_misbehaves_harms_none_but_its_own_request,
                                  sim_teardown),
        cmocka_unit_test_teardown(a_backend_that_closes_idle_connections_costs_no_safe_request,
                                  sim_teardown),
        cmocka_unit_test_teardown(requests_wait_their_turn_and_no_backend_gets_more_than_its_limit,
                                  sim_teardown),
        cmocka_unit_test_teardown(what_backends_have_seen_is_answered_when_the_process_drains,
                                  sim_teardown),
        cmocka_unit_test_teardown(whatever_happens_everything_is_given_back, sim_teardown),
    };

    log_set_level(getenv("SIM_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    if (getenv("SIM_ONLY") != NULL)
        cmocka_set_test_filter(getenv("SIM_ONLY"));
    return cmocka_run_group_tests(tests, NULL, http_farm_teardown);
}
