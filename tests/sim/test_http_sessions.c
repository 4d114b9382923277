/* test_http_sessions.c - sessions and exchanges of mode http on the simulated engine, against what
 * must hold whatever happens: a response is that of its request, complete and unchanged, or the
 * client can tell that it is not; what must not be repeated is seen by backends once; every count
 * returns to zero and everything is given back (io_free checks the latter).
 *
 * What a request is and what a backend does with it is drawn beforehand, from the seed, into
 * farm.requests; its path names its place there. */
#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/base/log.h"
#include "lb/io/loop.h"
#include "lb/net/addr.h"
#include "lb/net/tls_files.h"
#include "lb/net/tls_ticket.h"
#include "lb/proxy/http_listener.h"
#include "lb/proxy/proxy.h"
#include "lb/proxy/tls_contexts.h"
#include "lb/upstream/pool.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_http.h"
#include "tests/sim/sim_tls.h"
#include "tests/support/test_cert.h"

#include "health/checker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BACKENDS     3
#define CLIENTS      6
#define REQUESTS     8 /* of a client, at most */
#define REQUESTS_ALL (CLIENTS * REQUESTS)
#define PATIENT_MS   72000000     /* the simulated network may be very slow */
#define LARGE        (400u << 10) /* is spliced */

enum method { GET, HEAD, PUT, POST };
static const char *const method_names[] = {"GET", "HEAD", "PUT", "POST"};

enum framing { F_NONE, F_LENGTH, F_CHUNKED, F_CLOSE, F_UPGRADE };

/* What goes wrong at the backend. */
enum trouble {
    T_NONE,
    T_EARLY, /* answers before it has read the payload */
    T_RESET, /* after `at` bytes of the response */
    T_CLOSE, /* likewise */
    T_HANG,  /* likewise */
    T_GARBAGE,
    T_TROUBLES,
};

struct request {
    enum method method;
    enum framing up, down;
    uint32_t up_bytes, down_bytes;
    uint16_t status; /* of the response */
    bool expect, close, http10, interim, trailers, dribble;
    bool server_close; /* the backend ends the connection with the response */
    enum trouble trouble;
    uint32_t at;
    /* what was seen */
    uint32_t seen; /* by backends: complete heads */
    bool sent;
};

struct client;

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
    struct proxy *proxy;
    struct backend_slot *slots[BACKENDS];
    struct sim_server *servers[BACKENDS];
    struct addr front;
    struct request requests[REQUESTS_ALL];
    struct server_conn *conns; /* all that there were */
    uint32_t done;             /* clients that came to an end */
    uint32_t seen;             /* requests that backends have seen */
    bool lenient;              /* requests may fail, but not go wrong */
    bool safe_only;            /* not lenient towards what may be sent again: GET and HEAD */
    bool draining;
    uint32_t idle_close; /* backends close idle connections: chance in 100 after a response */
    bool tls;            /* between clients and us */
    bool tls_back;       /* between us and backends */
    SSL_CTX *server_ctx;
    struct tls_contexts *contexts;
    SSL_CTX *client_ctx;
    SSL_SESSION *session; /* of the last client, to be resumed by some */
    uint32_t server_mess; /* backends do anything at any time: chance in 1000 */
};

static struct farm *the_farm; /* of the present seed */

/* ---- backends ---- */

struct server_conn {
    struct server_conn *next;
    struct sim_peer *peer;
    struct sim_tls *tls; /* NULL: in clear */
    struct sim_http in;
    struct request *req;
    struct sim_text out;
    size_t out_at, out_end;
    uint32_t id;
    bool answered, raw, broken, timer;
    uint64_t raw_got;
};

static bool gone(const struct sim_peer *p)
{
    return p->closed || p->was_reset;
}

static void server_send(struct server_conn *c, const void *data, size_t n)
{
    if (c->tls != NULL)
        sim_tls_send(c->tls, data, n);
    else
        sim_peer_send(c->peer, data, n);
}

static ssize_t server_read(struct server_conn *c, void *data, size_t n)
{
    return c->tls != NULL ? sim_tls_read(c->tls, data, n) : sim_peer_read(c->peer, data, n);
}

static void server_shutdown(struct server_conn *c)
{
    if (c->tls != NULL)
        sim_tls_shutdown(c->tls);
    else
        sim_peer_shutdown(c->peer);
}

static void server_pump(struct sim *s, void *arg);

/* What it has said is out; what comes then. */
static void server_said(struct server_conn *c)
{
    struct request *r = c->req;

    if (r->trouble == T_RESET)
        sim_peer_reset(c->peer);
    else if (r->trouble == T_CLOSE)
        sim_peer_close(c->peer);
    if (r->trouble >= T_RESET)
        c->broken = true;
    else if (r->down == F_CLOSE || r->server_close)
        server_shutdown(c);
    sim_text_free(&c->out);
}

static void server_pump_now(struct server_conn *c)
{
    struct sim *s = c->peer->sim;
    size_t left = c->out_end - c->out_at, n = left;

    if (sim_below(s, 3) == 0 && left > 1)
        n = 1 + sim_below(s, (uint32_t)left);
    if (n > 0)
        server_send(c, c->out.p + c->out_at, n);
    c->out_at += n;
    if (c->out_at == c->out_end) {
        server_said(c);
    } else {
        c->timer = true;
        sim_after(s, 1 + sim_below(s, 20000), server_pump, c);
    }
}

static void server_pump(struct sim *s, void *arg)
{
    struct server_conn *c = arg;

    (void)s;
    c->timer = false;
    if (gone(c->peer))
        sim_text_free(&c->out);
    else
        server_pump_now(c);
}

static void put_payload(struct sim *s, struct sim_text *t, enum framing f, uint64_t tag,
                        uint32_t bytes, bool trailers)
{
    uint32_t at = 0;

    while (f == F_CHUNKED && at < bytes) {
        uint32_t n = 1 + sim_below(s, bytes - at);
        sim_text_addf(t, "%x%s\r\n", n, sim_below(s, 5) == 0 ? ";ext=1" : "");
        sim_text_pattern(t, tag, at, n);
        sim_text_addf(t, "\r\n");
        at += n;
    }
    if (f == F_CHUNKED)
        sim_text_addf(t, "0\r\n%s\r\n", trailers ? "X-Sum: 1\r\nX-More: 2\r\n" : "");
    else if (f == F_LENGTH || f == F_CLOSE)
        sim_text_pattern(t, tag, 0, bytes);
}

static void put_garbage(struct sim *s, struct sim_text *t)
{
    static const char *const texts[] = {
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nX-Id : 1\r\nContent-Length: 1\r\n\r\n1",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "\r\n\r\n",
    };

    sim_text_addf(t, "%s", texts[sim_below(s, ARRAY_LEN(texts))]);
}

static void put_response(struct sim *s, struct sim_text *t, const struct request *r, uint32_t id)
{
    bool bodiless = r->method == HEAD || r->status == 204 || r->status == 304;

    if (r->interim)
        sim_text_addf(t, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Id: %u\r\n\r\n", id);
    sim_text_addf(t, "HTTP/1.%d %d Whatever\r\nX-Id: %u\r\n", r->down == F_CLOSE ? 0 : 1, r->status,
                  id);
    if (r->down == F_UPGRADE) {
        sim_text_addf(t, "Connection: Upgrade\r\nUpgrade: chat\r\n\r\n");
        return;
    }
    if (r->server_close)
        sim_text_addf(t, "Connection: close\r\n");
    if (r->down == F_LENGTH && r->status != 204)
        sim_text_addf(t, "Content-Length: %u\r\n", r->down_bytes);
    else if (r->down == F_CHUNKED && r->status != 204)
        sim_text_addf(t, "Transfer-Encoding: chunked\r\n");
    sim_text_addf(t, "\r\n");
    if (!bodiless)
        put_payload(s, t, r->down, id * 2 + 1, r->down_bytes, r->trailers);
}

static void server_answer(struct sim *s, void *arg)
{
    struct server_conn *c = arg;
    struct request *r = c->req;

    c->timer = false;
    if (gone(c->peer))
        return;
    c->out.len = 0;
    if (r->trouble == T_GARBAGE)
        put_garbage(s, &c->out);
    else
        put_response(s, &c->out, r, c->id);
    c->out_at = 0;
    c->out_end = c->out.len;
    if (r->trouble == T_RESET || r->trouble == T_CLOSE || r->trouble == T_HANG)
        c->out_end = r->at % c->out.len; /* of all of it nothing would be missing */
    server_pump_now(c);
}

static void server_answers(struct server_conn *c)
{
    struct sim *s = c->peer->sim;

    c->answered = true;
    if (sim_below(s, 2) == 0) {
        server_answer(s, c);
    } else {
        c->timer = true;
        sim_after(s, 1 + sim_below(s, 300000), server_answer, c);
    }
}

static void server_head(struct server_conn *c)
{
    struct farm *f = the_farm;
    const char *path = strchr(c->in.head, '/');

    assert_non_null(path);
    c->id = (uint32_t)strtoul(path + 1, NULL, 10);
    assert_true(c->id < REQUESTS_ALL);
    c->req = &f->requests[c->id];
    assert_true(c->req->sent);
    assert_int_equal(
        strncmp(c->in.head, method_names[c->req->method], strlen(method_names[c->req->method])), 0);
    c->req->seen++;
    if (getenv("SIM_TRACE") != NULL)
        print_error("%9llu server: peer %u has %.40s\n", (unsigned long long)sim_now_us(f->sim),
                    c->peer->id, c->in.head);
    f->seen++;
    c->in.check = true;
    c->in.tag = c->id * 2;
    c->answered = false;
    if (c->req->trouble == T_EARLY && c->req->down != F_UPGRADE) {
        server_answers(c);
    } else if (c->req->expect && sim_http_field(&c->in, "Expect") != NULL) {
        server_send(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
}

static void server_idle_end(struct sim *s, void *arg)
{
    struct server_conn *c = arg;

    if (gone(c->peer) || c->raw || c->broken || c->timer || !sim_http_fresh(&c->in) ||
        c->out.p != NULL)
        return;
    if (sim_below(s, 2) == 0)
        sim_peer_close(c->peer);
    else
        server_shutdown(c);
    c->broken = true;
}

static void server_done(struct server_conn *c)
{
    struct farm *f = the_farm;
    struct request *r = c->req;

    assert_false(c->in.wrong);
    assert_int_equal(c->in.payload, r->up == F_NONE ? 0 : r->up_bytes);
    sim_http_begin(&c->in, true);
    if (r->down == F_UPGRADE)
        c->raw = true;
    if (!c->answered)
        server_answers(c);
    if (sim_below(f->sim, 100) < f->idle_close)
        sim_after(f->sim, 1 + sim_below(f->sim, sim_below(f->sim, 2) ? 3000 : 2000000),
                  server_idle_end, c);
}

/* An upgraded connection: sends back what comes. */
static void server_raw(struct server_conn *c, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal((uint8_t)bytes[i], sim_pattern(c->id * 2, c->raw_got + i));
    c->raw_got += n;
    server_send(c, bytes, n);
}

static void server_bytes(struct server_conn *c, const char *bytes, size_t n)
{
    enum sim_http_event e;

    do {
        if (c->raw) {
            server_raw(c, bytes, n);
            return;
        }
        size_t used = sim_http_feed(&c->in, bytes, n, &e);
        bytes += used;
        n -= used;
        if (e == SIM_HTTP_BAD)
            fail_msg("a backend got what is no request: %s", c->in.head);
        if (e == SIM_HTTP_HEAD) {
            if (c->out.p != NULL || c->timer)
                fail_msg("request %s before the last one was answered", c->in.head);
            server_head(c);
        } else if (e == SIM_HTTP_DONE) {
            server_done(c);
        }
    } while (e != SIM_HTTP_MORE && !gone(c->peer));
}

static void server_mess(struct server_conn *c)
{
    struct sim *s = c->peer->sim;

    c->broken = true;
    switch (sim_below(s, 4)) {
    case 0:
        sim_peer_reset(c->peer);
        return;
    case 1:
        sim_peer_close(c->peer);
        return;
    case 2:
        sim_peer_shutdown(c->peer);
        return;
    default:
        sim_peer_freeze(c->peer, true);
        return;
    }
}

static void server_fn(struct sim_peer *p, enum sim_event event)
{
    struct farm *f = the_farm;
    struct server_conn *c = p->arg;
    char bytes[4096];
    ssize_t n = -1;

    if (event == SIM_CONNECTED) {
        c = xcalloc(1, sizeof(*c));
        c->peer = p;
        c->next = f->conns;
        f->conns = c;
        p->arg = c;
        if (f->tls_back)
            c->tls = sim_tls_accept(p, f->server_ctx);
        sim_http_begin(&c->in, true);
    }
    if (sim_below(f->sim, 1000) < f->server_mess && !gone(p))
        server_mess(c);
    if (event != SIM_DATA && event != SIM_END)
        return;
    while (!gone(p) && (n = server_read(c, bytes, sizeof(bytes))) > 0)
        if (!c->broken)
            server_bytes(c, bytes, (size_t)n);
    if (n != 0 || gone(p))
        return;
    if (c->raw)
        server_shutdown(c);
    else if (c->out.p == NULL)
        sim_peer_close(p);
}

/* ---- the farm ---- */

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

static void configure(struct farm *f)
{
    struct pool_conf *p = &f->pool_conf;
    struct listener_conf *l = &f->listener_conf;

    p->name = (char *)(uintptr_t) "p";
    p->mode = MODE_HTTP;
    p->backends = f->backends;
    p->n_backends = BACKENDS;
    p->queue_limit = 1000;
    p->queue_timeout_ms = 600000;
    p->retry_attempts = BACKENDS - 1;
    p->connect_timeout_ms = 5000;
    p->http.idle_timeout_ms = 60000;
    p->http.idle_max = 1 + sim_below(f->sim, 8);
    p->http.retry_budget_percent = 20;
    p->http.retry_budget_min = 1000;
    l->name = (char *)(uintptr_t) "l";
    l->mode = MODE_HTTP;
    l->handshake_timeout_ms = PATIENT_MS;
    l->tunnel_timeout_ms = PATIENT_MS;
    f->route.route.action = ROUTE_POOL;
    l->http.routes = &f->route;
    l->http.n_routes = 1;
    l->http.head_bytes = 16384;
    l->http.fields = 100;
    l->http.request_head_timeout_ms = PATIENT_MS;
    l->http.body_timeout_ms = PATIENT_MS;
    l->http.response_head_timeout_ms = PATIENT_MS;
    l->http.idle_timeout_ms = PATIENT_MS;
}

static void farm_init(struct farm *f, const struct sim_conf *conf)
{
    static const struct checker_hooks hooks = {NULL, ignore_pool, ignore_pool, ignore_ready};
    static char names[BACKENDS][2] = {"a", "b", "c"};

    the_farm = f;
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
        f->servers[i] = sim_serve(f->sim, &a.sa, a.len, server_fn, NULL);
    }
    configure(f);
}

/* One certificate for all rounds: a key takes longer to make than a life to live. */
static struct tls_server_conf *tls_conf(void)
{
    static struct tls_cert_conf cert;
    static struct tls_server_conf conf = {
        .certs = &cert, .n_certs = 1, .profile = TLS_INTERMEDIATE, .tickets = true};
    static char cert_path[64], key_path[64];

    if (cert.cert == NULL) {
        snprintf(cert_path, sizeof(cert_path), "/tmp/sim-%d.pem", (int)getpid());
        snprintf(key_path, sizeof(key_path), "/tmp/sim-%d.key", (int)getpid());
        struct test_cert c =
            test_cert_new(&(struct test_cert_wish){"h.test", "DNS:h.test", 0, 0, 2048, 0}, NULL);
        test_cert_write(&c, cert_path, key_path);
        test_cert_free(&c);
        cert.cert = cert_path;
        cert.key = key_path;
    }
    return &conf;
}

static int remove_cert(void **state)
{
    (void)state;
    if (tls_conf()->certs[0].cert != NULL) {
        unlink(tls_conf()->certs[0].cert);
        unlink(tls_conf()->certs[0].key);
    }
    return 0;
}

static void tls_start(struct farm *f)
{
    static struct tls_keyring *keys;
    struct strbuf errors = {0};

    f->listener_conf.tls = tls_conf();
    if (keys == NULL)
        keys = tls_keyring_new();
    struct tls_server_files *files =
        tls_server_files_read(f->listener_conf.tls, (int64_t)time(NULL), &errors);
    assert_non_null(files);
    struct tls_server *server =
        tls_server_new(f->contexts->env, f->listener_conf.tls, files, keys, &errors);
    if (server == NULL)
        fail_msg("%s", errors.p);
    tls_server_files_free(&files);
    tls_contexts_set_server(f->contexts, 0, &server);
    strbuf_fini(&errors);
    f->client_ctx = SSL_CTX_new(TLS_client_method());
    if (sim_below(f->sim, 2))
        SSL_CTX_set_max_proto_version(f->client_ctx, TLS1_2_VERSION);
}

/* Backends' certificate is its own authority. */
static void tls_back_start(struct farm *f)
{
    static struct tls_client_conf conf = {.verify = true};
    const struct tls_cert_conf *cert = &tls_conf()->certs[0];
    struct strbuf errors = {0};

    conf.ca = cert->cert;
    conf.sni = (char *)(uintptr_t) "h.test";
    f->pool_conf.tls = &conf;
    if (!f->lenient)
        f->pool_conf.connect_timeout_ms = PATIENT_MS;
    struct tls_client_files *files = tls_client_files_read(&conf, (int64_t)time(NULL), &errors);
    assert_non_null(files);
    struct tls_client *client = tls_client_new(f->contexts->env, &conf, files, BACKENDS, &errors);
    if (client == NULL)
        fail_msg("%s", errors.p);
    tls_client_files_free(&files);
    tls_contexts_set_client(f->contexts, 0, &client);
    strbuf_fini(&errors);
    f->server_ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate_chain_file(f->server_ctx, cert->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(f->server_ctx, cert->key, SSL_FILETYPE_PEM), 1);
    if (sim_below(f->sim, 2))
        SSL_CTX_set_max_proto_version(f->server_ctx, TLS1_2_VERSION);
}

static void contexts_start(struct farm *f)
{
    struct strbuf errors = {0};

    f->contexts = tls_contexts_new(1, 1, &errors);
    assert_non_null(f->contexts);
    f->shared.tls = &f->contexts;
    strbuf_fini(&errors);
}

static void tls_end(struct farm *f)
{
    SSL_CTX_free(f->server_ctx);
    SSL_SESSION_free(f->session);
    SSL_CTX_free(f->client_ctx);
    if (f->contexts != NULL)
        tls_contexts_free(&f->contexts);
}

/* After the test has adjusted the configuration. */
static void farm_start(struct farm *f)
{
    struct pool **pools = xcalloc(1, sizeof(*pools));
    struct strbuf errors = {0};

    f->pool = pools[0] = pool_new(&f->pool_conf, 0, 2, f->slots, 1, f->epochs);
    for (uint32_t i = 0; i < BACKENDS; i++)
        f->slots[i]->member = i;
    f->stats = xaligned(sizeof(*f->stats));
    f->stats->rows = xaligned(sizeof(*f->stats->rows));
    f->stats->n_rows = 1;
    listener_stats_http_init(f->stats, 1);
    f->listener = (struct proxy_listener){.conf = &f->listener_conf, .stats = f->stats};
    f->listener.http = http_listener_new(&f->listener_conf, pools, &errors);
    assert_non_null(f->listener.http);
    strbuf_fini(&errors);
    f->shared.pools = pools;
    f->shared.n_pools = 1;
    f->shared.table = f->table;
    f->shared.checker = f->checker;
    f->shared.proxies = f->proxies;
    f->shared.n_workers = 1;
    if (f->tls || f->tls_back)
        contexts_start(f);
    if (f->tls)
        tls_start(f);
    if (f->tls_back)
        tls_back_start(f);
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

static void check_counts(struct farm *f)
{
    struct backend_counters *row;
    uint64_t requests = 0;

    for (uint32_t i = 0; i < BACKENDS; i++) {
        row = f->pool->members[i].rows;
        assert_int_equal(atomic_load(&f->slots[i]->in_flight), 0);
        assert_int_equal(counter_get(&row->idle), 0);
        assert_true(counter_get(&row->reuses) <= counter_get(&row->requests));
        assert_true(counter_get(&row->sessions) <= counter_get(&row->requests));
        requests += counter_get(&row->requests);
    }
    assert_true(f->seen <= requests);
    assert_int_equal(atomic_load(&f->pool->waiting), 0);
    assert_int_equal(atomic_load(&f->pool->current), 0);
    assert_int_equal(atomic_load(&f->stats->current), 0);
    assert_int_equal(atomic_load(&f->shared.connections), 0);
    for (uint32_t i = 0; i < REQUESTS_ALL; i++) {
        const struct request *r = &f->requests[i];
        if (r->seen > (r->method == POST ? 1u : 1 + f->pool_conf.retry_attempts + 1))
            fail_msg("%s /%u was seen %u times", method_names[r->method], i, r->seen);
    }
}

/* What must hold at the end of every life. */
static void farm_end(struct farm *f)
{
    proxy_drain(f->proxy);
    run_until(f, all_sessions_gone, 7200);
    proxy_stop_accepting(f->proxy);
    run_until(f, stopped, 7200);
    check_counts(f);
    proxy_free(&f->proxy);
    checker_stop(f->checker);
    assert_true(checker_stopped(f->checker));
    checker_free(&f->checker);
    struct pool **pools = f->shared.pools;
    http_listener_free(&f->listener.http);
    pool_free(&f->pool);
    free(pools);
    listener_stats_http_fini(f->stats);
    free(f->stats->rows);
    free(f->stats);
    table_free(&f->table);
    tls_end(f);
    epoch_leave(&f->reader);
    loop_fini(&f->loop);
    epoch_reader_unregister(&f->reader);
    epoch_domain_free(&f->epochs);
    sim_free(&f->sim);
    while (f->conns != NULL) {
        struct server_conn *c = f->conns;
        f->conns = c->next;
        sim_text_free(&c->out);
        sim_tls_free(&c->tls);
        free(c);
    }
    the_farm = NULL;
}

/* ---- requests ---- */

static uint32_t some_size(struct sim *s)
{
    switch (sim_below(s, 4)) {
    case 0:
        return sim_below(s, 3);
    case 1:
        return sim_below(s, 500);
    case 2:
        return sim_below(s, 5000);
    default:
        return sim_below(s, sim_below(s, 20) == 0 ? LARGE + 1000 : 20000);
    }
}

static void draw_response(struct sim *s, struct request *r)
{
    r->status = 200;
    r->down = (enum framing)(F_LENGTH + sim_below(s, 3));
    r->down_bytes = some_size(s);
    if (sim_below(s, 10) == 0)
        r->status = sim_below(s, 2) ? 204 : 304;
    r->server_close = r->down == F_CLOSE || sim_below(s, 15) == 0;
    r->interim = sim_below(s, 10) == 0;
    r->trailers = sim_below(s, 3) == 0;
}

static void draw_request(struct sim *s, struct request *r)
{
    *r = (struct request){.method = (enum method)sim_below(s, POST + 1)};
    if (r->method == PUT || r->method == POST) {
        r->up = sim_below(s, 2) ? F_LENGTH : F_CHUNKED;
        r->up_bytes = some_size(s);
        r->expect = sim_below(s, 6) == 0;
    }
    draw_response(s, r);
    r->dribble = sim_below(s, 4) == 0;
    r->close = sim_below(s, 15) == 0;
    if (sim_below(s, 20) == 0 && r->up != F_CHUNKED) {
        r->http10 = true;
        r->expect = false;
    }
    if (r->method == GET && !r->http10 && sim_below(s, 15) == 0) {
        r->down = F_UPGRADE;
        r->status = 101;
        r->up_bytes = some_size(s); /* through the tunnel, and back */
        r->server_close = r->close = r->interim = false;
    }
}

/* ---- clients ---- */

struct client {
    struct farm *farm;
    struct sim_peer *peer;
    struct sim_tls *tls; /* NULL: in clear */
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
    c->farm->done++;
}

static struct request *request_of(struct client *c, uint32_t i)
{
    return &c->farm->requests[c->first + i];
}

static void client_send(struct client *c, const void *data, size_t n)
{
    if (c->tls != NULL)
        sim_tls_send(c->tls, data, n);
    else
        sim_peer_send(c->peer, data, n);
}

static ssize_t client_read(struct client *c, void *data, size_t n)
{
    return c->tls != NULL ? sim_tls_read(c->tls, data, n) : sim_peer_read(c->peer, data, n);
}

static void client_shutdown(struct client *c)
{
    if (c->tls != NULL)
        sim_tls_shutdown(c->tls);
    else
        sim_peer_shutdown(c->peer);
}

/* What it is worth is kept for the next one. */
static void client_drop_tls(struct client *c)
{
    struct farm *f = c->farm;

    if (c->tls == NULL)
        return;
    SSL_SESSION *session = sim_tls_session(c->tls);
    if (session != NULL && !c->over && SSL_SESSION_is_resumable(session)) {
        SSL_SESSION_free(f->session);
        f->session = session;
    } else {
        SSL_SESSION_free(session);
    }
    sim_tls_free(&c->tls);
}

static void client_pump(struct sim *s, void *arg)
{
    struct client *c = arg;
    size_t left = c->out.len - c->out_at, n = left;

    c->timer = false;
    if (c->over || gone(c->peer) || left == 0)
        return;
    if (c->sent > 0 && request_of(c, c->sent - 1)->dribble)
        n = 1 + sim_below(s, left < 300 ? (uint32_t)left : 300 + (uint32_t)left / 2);
    if (n > left)
        n = left;
    client_send(c, c->out.p + c->out_at, n);
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
        client_pump(c->farm->sim, c);
}

static void send_payload(struct client *c, uint32_t i)
{
    const struct request *r = request_of(c, i);

    put_payload(c->farm->sim, &c->out, r->up, (c->first + i) * 2, r->up_bytes, r->trailers);
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
        sim_text_addf(t, "Connection: Upgrade\r\nUpgrade: chat\r\n");
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
    struct farm *f = c->farm;

    if (c->got >= c->n || f->draining || c->dials++ > 3 * REQUESTS) {
        client_over(c);
        return;
    }
    c->sent = c->got;
    c->waits_100 = c->closing = c->raw = false;
    c->raw_got = 0;
    c->out.len = c->out_at = 0;
    sim_http_begin(&c->in, false);
    c->peer = sim_dial(f->sim, &f->front.sa, f->front.len, NULL);
    if (c->peer == NULL) {
        client_over(c);
        return;
    }
    c->peer->arg = c;
    c->peer->fn = client_fn;
    client_drop_tls(c);
    if (f->tls)
        c->tls = sim_tls_new(c->peer, f->client_ctx, sim_below(f->sim, 2) ? f->session : NULL);
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
    if (!gone(c->peer))
        sim_peer_close(c->peer);
    if (c->got >= c->n)
        client_over(c);
    else
        sim_after(c->farm->sim, 1 + sim_below(c->farm->sim, 1000), redial, c);
}

static bool may_fail(const struct farm *f, const struct request *r)
{
    return f->lenient && !(f->safe_only && (r->method == GET || r->method == HEAD));
}

static void client_lost(struct client *c, const char *how)
{
    const struct request *r = request_of(c, c->got < c->n ? c->got : c->n - 1);

    bool unseen = c->farm->draining && r->seen == 0 && sim_http_fresh(&c->in);
    if (!may_fail(c->farm, r) && !unseen)
        fail_msg("request %u (%s) was lost: %s; head: %s", c->first + c->got,
                 method_names[r->method], how, c->in.head);
    c->got = c->sent > c->got ? c->sent : c->got + 1; /* none is sent twice by us */
    client_goes_on(c);
}

static void client_head(struct client *c)
{
    if (getenv("SIM_TRACE") != NULL)
        print_error("%9llu client %u: peer %u, response %u of %u sent: %s\n",
                    (unsigned long long)sim_now_us(c->farm->sim), c->first, c->peer->id, c->got,
                    c->sent, c->in.head);
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
               (!may_fail(c->farm, r) || (status != 502 && status != 503 && status != 504 &&
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
        client_shutdown(c);
    client_flush(c);
}

/* The end of the stream is the response's: nobody can tell where it should have been. */
static bool cut_unnoticed(const struct farm *f, const struct request *r)
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
        if (c->in.payload != r->down_bytes && !cut_unnoticed(c->farm, r))
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
    if (c->raw_got == r->up_bytes && !gone(c->peer))
        client_shutdown(c);
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
    bool whole = c->tls == NULL || sim_tls_notified(c->tls); /* what only its end delimits */
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

    if (c->over || p != c->peer)
        return;
    if (event == SIM_RESET) {
        client_lost(c, "reset");
        return;
    }
    if (event != SIM_DATA && event != SIM_END)
        return;
    while (!gone(p) && (n = client_read(c, bytes, sizeof(bytes))) > 0)
        if (!client_bytes(c, bytes, (size_t)n)) {
            client_goes_on(c);
            return;
        }
    if (n == 0 && !gone(p))
        client_end(c);
    else if (n == -EPROTO)
        fail_msg("client %u: what came is no TLS", c->first);
}

static void clients_init(struct farm *f, struct client *clients)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        c->farm = f;
        c->first = i * REQUESTS;
        c->n = 1 + sim_below(f->sim, REQUESTS);
        c->pipelined = sim_below(f->sim, 3) == 0;
        for (uint32_t j = 0; j < c->n; j++)
            draw_request(f->sim, request_of(c, j));
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
    struct farm f = {0};
    struct client clients[CLIENTS] = {0};

    farm_init(&f, &conf);
    f.tls = arg != NULL && ((const struct tls_where *)arg)->front;
    f.tls_back = arg != NULL && ((const struct tls_where *)arg)->back;
    f.pool_conf.http.reuse = (enum reuse)sim_below(f.sim, REUSE_NEVER + 1);
    f.pool_conf.balance.kind = (enum balance_kind)sim_below(f.sim, BALANCE_FIRST + 1);
    sim_faults(f.sim)->pipe = sim_below(f.sim, 3) == 0 ? 500 : 0;
    sim_faults(f.sim)->splice = sim_below(f.sim, 3) == 0 ? 500 : 0;
    farm_start(&f);
    clients_init(&f, clients);
    start_clients(clients);
    run_until(&f, clients_done, 72000);
    clients_fini(clients);
    farm_end(&f);
}

static void every_request_gets_its_own_response_complete(void **state)
{
    (void)state;
    sim_each_seed(20, simple_life, NULL);
}

/* ---- backends that misbehave ---- */

static void draw_troubles(struct farm *f, struct client *clients)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        for (uint32_t j = 0; j < clients[i].n; j++) {
            struct request *r = request_of(&clients[i], j);
            if (sim_below(f->sim, 3) == 0)
                r->trouble = (enum trouble)sim_below(f->sim, T_TROUBLES);
            if (r->trouble == T_GARBAGE && r->down == F_UPGRADE)
                r->trouble = T_NONE;
            r->at = sim_below(f->sim, 3) == 0 ? 0 : sim_below(f->sim, 30000);
        }
}

/* What hangs is ended, after times that the network does not need. */
static void impatient(struct farm *f)
{
    f->listener_conf.http.response_head_timeout_ms = 120000;
    f->listener_conf.http.body_timeout_ms = 120000;
    f->listener_conf.http.idle_timeout_ms = 120000;
    f->listener_conf.http.request_head_timeout_ms = 120000;
    f->listener_conf.tunnel_timeout_ms = 120000;
    f->listener_conf.handshake_timeout_ms = 120000;
}

static void troubled_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed};
    struct farm f = {.lenient = true};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    farm_init(&f, &conf);
    impatient(&f);
    f.pool_conf.http.reuse = (enum reuse)sim_below(f.sim, REUSE_NEVER + 1);
    f.server_mess = sim_below(f.sim, 3) == 0 ? 1 + sim_below(f.sim, 20) : 0;
    f.idle_close = sim_below(f.sim, 40);
    f.tls = sim_below(f.sim, 3) == 0;
    f.tls_back = sim_below(f.sim, 3) == 0;
    farm_start(&f);
    clients_init(&f, clients);
    draw_troubles(&f, clients);
    start_clients(clients);
    run_until(&f, clients_done, 72000);
    clients_fini(clients);
    farm_end(&f);
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
    struct farm f = {.lenient = true, .safe_only = true};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    farm_init(&f, &conf);
    f.pool_conf.http.reuse = REUSE_ALWAYS;
    f.idle_close = 30 + sim_below(f.sim, 70);
    farm_start(&f);
    clients_init(&f, clients);
    start_clients(clients);
    run_until(&f, clients_done, 72000);
    clients_fini(clients);
    farm_end(&f);
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
    struct farm f = {0};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    farm_init(&f, &conf);
    f.pool_conf.http.reuse = (enum reuse)sim_below(f.sim, REUSE_NEVER + 1);
    f.pool_conf.queue_timeout_ms = PATIENT_MS;
    for (uint32_t i = 0; i < BACKENDS; i++)
        atomic_store(&f.slots[i]->max_connections, 1);
    farm_start(&f);
    clients_init(&f, clients);
    start_clients(clients);
    run_until(&f, clients_done, 72000);
    for (uint32_t i = 0; i < BACKENDS; i++)
        assert_true(counter_get(&f.slots[i]->in_flight_max) <= 1);
    clients_fini(clients);
    farm_end(&f);
}

static void requests_wait_their_turn_and_no_backend_gets_more_than_its_limit(void **state)
{
    (void)state;
    sim_each_seed(6, queue_life, NULL);
}

/* ---- drain ---- */

static bool some_done(const struct farm *f)
{
    return f->seen >= CLIENTS || f->done == CLIENTS;
}

static void drain_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed};
    struct farm f = {0};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    farm_init(&f, &conf);
    f.tls = sim_below(f.sim, 3) == 0;
    f.tls_back = sim_below(f.sim, 3) == 0;
    farm_start(&f);
    clients_init(&f, clients);
    start_clients(clients);
    run_until(&f, some_done, 72000);
    for (uint32_t i = sim_below(f.sim, 50); i > 0; i--)
        loop_turn(&f.loop, 50);
    f.draining = true;
    proxy_drain(f.proxy);
    run_until(&f, clients_done, 72000);
    clients_fini(clients);
    farm_end(&f);
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
    if (c->peer != NULL && !gone(c->peer))
        switch (sim_below(s, 5)) {
        case 0:
            client_over(c);
            sim_peer_reset(c->peer);
            return;
        case 1:
            client_over(c);
            sim_peer_close(c->peer);
            return;
        case 2:
            sim_peer_shutdown(c->peer);
            break;
        default:
            sim_peer_freeze(c->peer, sim_below(s, 2) == 0);
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
    struct farm f = {.lenient = true};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    farm_init(&f, &conf);
    impatient(&f);
    f.pool_conf.http.reuse = (enum reuse)sim_below(f.sim, REUSE_NEVER + 1);
    f.pool_conf.queue_limit = 4;
    f.pool_conf.queue_timeout_ms = 2000;
    f.listener_conf.http.half_close = sim_below(f.sim, 2) == 0;
    f.tls = sim_below(f.sim, 2) == 0;
    f.server_mess = sim_below(f.sim, 40);
    f.idle_close = sim_below(f.sim, 40);
    for (uint32_t i = 0; i < BACKENDS; i++) {
        f.servers[i]->mood = (enum sim_mood)sim_below(f.sim, SIM_CLOSES + 1);
        atomic_store(&f.slots[i]->max_connections, sim_below(f.sim, 4));
    }
    f.listener_conf.max_connections = sim_below(f.sim, 2) ? 0 : 4;
    f.tls = sim_below(f.sim, 3) == 0;
    f.tls_back = sim_below(f.sim, 2) == 0;
    farm_start(&f);
    clients_init(&f, clients);
    draw_troubles(&f, clients);
    start_clients(clients);
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (sim_below(f.sim, 3) > 0)
            sim_after(f.sim, 1 + sim_below(f.sim, 3000000), chaos_act, &clients[i]);
    for (int i = 0; i < 400; i++)
        loop_turn(&f.loop, 50);
    if (sim_below(f.sim, 3) == 0)
        proxy_end_all(f.proxy, END_DRAIN);
    *sim_faults(f.sim) = (struct sim_faults){0};
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_over(&clients[i]);
    clients_fini(clients);
    farm_end(&f); /* frozen ones end by their timeouts */
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
    return cmocka_run_group_tests(tests, NULL, remove_cert);
}
