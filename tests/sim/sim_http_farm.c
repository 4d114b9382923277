/* sim_http_farm.c - see sim_http_farm.h */
#include "tests/sim/sim_http_farm.h"

#include "lb/net/tls_files.h"
#include "lb/net/tls_ticket.h"
#include "tests/support/test_cert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *const method_names[] = {"GET", "HEAD", "PUT", "POST"};
struct http_farm *the_farm;

#define KEPT_BYTES 12000 /* of an upload at least, to be sent again */

static void configure(struct http_farm *f)
{
    struct pool_conf *p = &f->farm.pool_conf;
    struct listener_conf *l = &f->farm.listener_conf;

    p->mode = MODE_HTTP;
    p->http.idle_timeout_ms = 60000;
    p->http.idle_max = 1 + sim_below(f->farm.sim, 8);
    p->http.retry_budget_percent = 20;
    p->http.retry_budget_min = 1000;
    l->mode = MODE_HTTP;
    l->handshake_timeout_ms = PATIENT_MS;
    l->tunnel_timeout_ms = PATIENT_MS;
    f->farm.route.route.action = ROUTE_POOL;
    l->http.routes = &f->farm.route;
    l->http.n_routes = 1;
    p->http.h2_max_streams = 1 + sim_below(f->farm.sim, 40);
    l->http.h2_max_streams = 100;
    l->http.head_bytes = 16384;
    l->http.fields = 100;
    l->http.request_head_timeout_ms = PATIENT_MS;
    l->http.body_timeout_ms = PATIENT_MS;
    l->http.response_head_timeout_ms = PATIENT_MS;
    l->http.idle_timeout_ms = PATIENT_MS;
}

void http_farm_init(struct http_farm *f, const struct sim_conf *conf)
{
    the_farm = f;
    farm_init(&f->farm, conf, http_server, CLIENTS);
    configure(f);
}

void impatient(struct http_farm *f)
{
    f->farm.listener_conf.http.response_head_timeout_ms = 120000;
    f->farm.listener_conf.http.body_timeout_ms = 120000;
    f->farm.listener_conf.http.idle_timeout_ms = 120000;
    f->farm.listener_conf.http.request_head_timeout_ms = 120000;
    f->farm.listener_conf.tunnel_timeout_ms = 120000;
    f->farm.listener_conf.handshake_timeout_ms = 120000;
}

/* ---- TLS ---- */

static char *alpn[] = {(char *)(uintptr_t) "h2", (char *)(uintptr_t) "http/1.1"};

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned len, void *arg)
{
    (void)ssl, (void)in, (void)len, (void)arg;
    *out = (const unsigned char *)"h2";
    *out_len = 2;
    return SSL_TLSEXT_ERR_OK;
}

/* One certificate for all rounds: a key takes longer to make than a life to live. */
static struct tls_server_conf *tls_conf(void)
{
    static struct tls_cert_conf cert;
    static struct tls_server_conf conf = {.certs = &cert,
                                          .n_certs = 1,
                                          .profile = TLS_INTERMEDIATE,
                                          .tickets = true,
                                          .alpn = alpn,
                                          .n_alpn = 2};
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

int http_farm_teardown(void **state)
{
    (void)state;
    if (tls_conf()->certs[0].cert != NULL) {
        unlink(tls_conf()->certs[0].cert);
        unlink(tls_conf()->certs[0].key);
    }
    return 0;
}

static void tls_start(struct http_farm *f)
{
    static struct tls_keyring *keys;
    struct strbuf errors = {0};

    f->farm.listener_conf.tls = tls_conf();
    if (keys == NULL)
        keys = tls_keyring_new();
    struct tls_server_files *files =
        tls_server_files_read(f->farm.listener_conf.tls, (int64_t)time(NULL), &errors);
    assert_non_null(files);
    struct tls_server *server =
        tls_server_new(f->farm.contexts->env, f->farm.listener_conf.tls, files, keys, &errors);
    if (server == NULL)
        fail_msg("%s", errors.p);
    tls_server_files_free(&files);
    tls_contexts_set_server(f->farm.contexts, 0, &server);
    strbuf_fini(&errors);
    f->client_ctx = SSL_CTX_new(TLS_client_method());
    if (f->h2)
        SSL_CTX_set_alpn_protos(f->client_ctx, (const unsigned char *)"\x02h2", 3);
    if (sim_below(f->farm.sim, 2))
        SSL_CTX_set_max_proto_version(f->client_ctx, TLS1_2_VERSION);
}

/* Backends' certificate is its own authority. */
static void tls_back_start(struct http_farm *f)
{
    static struct tls_client_conf conf = {.verify = true};
    const struct tls_cert_conf *cert = &tls_conf()->certs[0];
    struct strbuf errors = {0};

    conf.ca = cert->cert;
    conf.sni = (char *)(uintptr_t) "h.test";
    conf.alpn = f->h2_back ? alpn : NULL;
    conf.n_alpn = f->h2_back;
    f->farm.pool_conf.tls = &conf;
    struct tls_client_files *files = tls_client_files_read(&conf, (int64_t)time(NULL), &errors);
    assert_non_null(files);
    struct tls_client *client =
        tls_client_new(f->farm.contexts->env, &conf, files, BACKENDS, &errors);
    if (client == NULL)
        fail_msg("%s", errors.p);
    tls_client_files_free(&files);
    tls_contexts_set_client(f->farm.contexts, 0, &client);
    strbuf_fini(&errors);
    f->server_ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate_chain_file(f->server_ctx, cert->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(f->server_ctx, cert->key, SSL_FILETYPE_PEM), 1);
    if (f->h2_back)
        SSL_CTX_set_alpn_select_cb(f->server_ctx, choose_alpn, NULL);
    if (sim_below(f->farm.sim, 2))
        SSL_CTX_set_max_proto_version(f->server_ctx, TLS1_2_VERSION);
}

static void contexts_start(struct http_farm *f)
{
    struct strbuf errors = {0};

    f->farm.contexts = tls_contexts_new(1, 1, &errors);
    assert_non_null(f->farm.contexts);
    f->farm.shared.tls = &f->farm.contexts;
    strbuf_fini(&errors);
}

static void speak_h2(struct http_farm *f)
{
    f->farm.pool_conf.protocol = PROTOCOL_HTTP2;
    for (uint32_t i = 0; i < BACKENDS; i++)
        f->farm.servers[i]->fn = h2_server;
}

void http_farm_start(struct http_farm *f)
{
    f->farm.listener_conf.http.h2_cleartext = f->h2;
    if (!f->lenient && (f->h2_back || f->tls_back))
        f->farm.pool_conf.connect_timeout_ms = PATIENT_MS;
    if (f->h2_back)
        speak_h2(f);
    if (f->tls || f->tls_back)
        contexts_start(f);
    if (f->tls)
        tls_start(f);
    if (f->tls_back)
        tls_back_start(f);
    farm_start(&f->farm);
}

/* ---- the end ---- */

static void check_requests(const struct http_farm *f)
{
    uint64_t requests = 0;

    for (uint32_t i = 0; i < BACKENDS; i++) {
        const struct backend_counters *row = f->farm.pool->members[i].rows;
        assert_true(counter_get(&row->reuses) <= counter_get(&row->requests));
        assert_true(counter_get(&row->sessions) <= counter_get(&row->requests));
        requests += counter_get(&row->requests);
    }
    assert_true(f->seen <= requests);
    for (uint32_t i = 0; i < REQUESTS_ALL; i++) {
        const struct request *r = &f->requests[i];
        if (r->seen > seen_max(f, r))
            fail_msg("%s /%u was seen %u times", method_names[r->method], i, r->seen);
    }
}

void http_farm_end(struct http_farm *f)
{
    proxy_drain(f->farm.proxy);
    run_until(&f->farm, all_sessions_gone, 7200);
    check_requests(f);
    farm_end(&f->farm);
    http_servers_free(f);
    h2_servers_free(f);
    SSL_CTX_free(f->server_ctx);
    SSL_SESSION_free(f->session);
    SSL_CTX_free(f->client_ctx);
    the_farm = NULL;
}

/* ---- requests ---- */

static void draw_response(struct sim *s, struct request *r)
{
    r->status = 200;
    r->down = (enum framing)(F_LENGTH + sim_below(s, 3));
    r->down_bytes = some_size(s, LARGE + 1000);
    if (sim_below(s, 10) == 0)
        r->status = sim_below(s, 2) ? 204 : 304;
    r->server_close = r->down == F_CLOSE || sim_below(s, 15) == 0;
    r->interim = sim_below(s, 10) == 0;
    r->trailers = sim_below(s, 3) == 0;
}

void draw_request(struct sim *s, struct request *r)
{
    *r = (struct request){.method = (enum method)sim_below(s, POST + 1)};
    if (r->method == PUT || r->method == POST) {
        r->up = sim_below(s, 2) ? F_LENGTH : F_CHUNKED;
        r->up_bytes = some_size(s, LARGE + 1000);
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
        r->up_bytes = some_size(s, LARGE + 1000); /* through the tunnel, and back */
        r->server_close = r->close = r->interim = false;
    }
}

void draw_trouble(struct sim *s, struct request *r)
{
    if (sim_below(s, 3) == 0)
        r->trouble = (enum trouble)sim_below(s, T_TROUBLES);
    if (r->trouble == T_GARBAGE && r->down == F_UPGRADE)
        r->trouble = T_NONE;
    r->at = sim_below(s, 3) == 0 ? 0 : sim_below(s, 30000);
}

const char *upgrade_word(const struct http_farm *f)
{
    return f->h2 || f->h2_back ? "websocket" : "chat";
}

uint32_t seen_max(const struct http_farm *f, const struct request *r)
{
    return r->method == POST ? 1u : 1 + f->farm.pool_conf.retry_attempts + 1;
}

bool may_fail(const struct http_farm *f, const struct request *r)
{
    /* A backend refuses what was sent before it could say how much it takes at the same time. */
    bool lost_upload = f->h2_back && r->up_bytes > KEPT_BYTES;

    return lost_upload ||
           (f->lenient && !(f->safe_only && (r->method == GET || r->method == HEAD)));
}

void put_payload(struct sim *s, struct sim_text *t, enum framing f, uint64_t tag, uint32_t bytes,
                 bool trailers)
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
