/* sim_http_server.c - backends of HTTP/1.1 for sim_http_farm.h: they check what comes and answer as
 * the request says, with its troubles. */
#include "lb/base/alloc.h"
#include "tests/sim/sim_http_farm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct server_conn {
    struct server_conn *next;
    struct far far;
    struct sim_http in;
    struct request *req;
    struct sim_text out;
    size_t out_at, out_end;
    uint32_t id;
    bool answered, raw, broken, timer;
    uint64_t raw_got;
};

static void server_pump(struct sim *s, void *arg);

/* What it has said is out; what comes then. */
static void server_said(struct server_conn *c)
{
    struct request *r = c->req;

    if (r->trouble == T_RESET)
        sim_peer_reset(c->far.peer);
    else if (r->trouble == T_CLOSE)
        sim_peer_close(c->far.peer);
    if (r->trouble >= T_RESET)
        c->broken = true;
    else if (r->down == F_CLOSE || r->server_close)
        far_shutdown(&c->far);
    sim_text_free(&c->out);
}

static void server_pump_now(struct server_conn *c)
{
    struct sim *s = c->far.peer->sim;
    size_t left = c->out_end - c->out_at, n = left;

    if (sim_below(s, 3) == 0 && left > 1)
        n = 1 + sim_below(s, (uint32_t)left);
    if (n > 0)
        far_send(&c->far, c->out.p + c->out_at, n);
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
    if (far_gone(&c->far))
        sim_text_free(&c->out);
    else
        server_pump_now(c);
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
        sim_text_addf(t, "Connection: Upgrade\r\nUpgrade: %s\r\n\r\n", upgrade_word(the_farm));
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
    if (far_gone(&c->far))
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
    struct sim *s = c->far.peer->sim;

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
    struct http_farm *f = the_farm;
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
        print_error("%9llu server: peer %u has %.40s\n",
                    (unsigned long long)sim_now_us(f->farm.sim), c->far.peer->id, c->in.head);
    f->seen++;
    c->in.check = true;
    c->in.tag = c->id * 2;
    c->answered = false;
    if (c->req->trouble == T_EARLY && c->req->down != F_UPGRADE) {
        server_answers(c);
    } else if (c->req->expect && sim_http_field(&c->in, "Expect") != NULL) {
        far_send(&c->far, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
}

static void server_idle_end(struct sim *s, void *arg)
{
    struct server_conn *c = arg;

    if (far_gone(&c->far) || c->raw || c->broken || c->timer || !sim_http_fresh(&c->in) ||
        c->out.p != NULL)
        return;
    if (sim_below(s, 2) == 0)
        sim_peer_close(c->far.peer);
    else
        far_shutdown(&c->far);
    c->broken = true;
}

static void server_done(struct server_conn *c)
{
    struct http_farm *f = the_farm;
    struct request *r = c->req;

    assert_false(c->in.wrong);
    assert_int_equal(c->in.payload, r->up == F_NONE ? 0 : r->up_bytes);
    sim_http_begin(&c->in, true);
    if (r->down == F_UPGRADE)
        c->raw = true;
    if (!c->answered)
        server_answers(c);
    if (sim_below(f->farm.sim, 100) < f->idle_close)
        sim_after(f->farm.sim,
                  1 + sim_below(f->farm.sim, sim_below(f->farm.sim, 2) ? 3000 : 2000000),
                  server_idle_end, c);
}

/* An upgraded connection: sends back what comes. */
static void server_raw(struct server_conn *c, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal((uint8_t)bytes[i], sim_pattern(c->id * 2, c->raw_got + i));
    c->raw_got += n;
    far_send(&c->far, bytes, n);
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
    } while (e != SIM_HTTP_MORE && !far_gone(&c->far));
}

static void server_mess(struct server_conn *c)
{
    struct sim *s = c->far.peer->sim;

    c->broken = true;
    switch (sim_below(s, 4)) {
    case 0:
        sim_peer_reset(c->far.peer);
        return;
    case 1:
        sim_peer_close(c->far.peer);
        return;
    case 2:
        sim_peer_shutdown(c->far.peer);
        return;
    default:
        sim_peer_freeze(c->far.peer, true);
        return;
    }
}

void http_server(struct sim_peer *p, enum sim_event event)
{
    struct http_farm *f = the_farm;
    struct server_conn *c = p->arg;
    char bytes[4096];
    ssize_t n = -1;

    if (event == SIM_CONNECTED) {
        c = xcalloc(1, sizeof(*c));
        c->far.peer = p;
        c->next = f->conns;
        f->conns = c;
        p->arg = c;
        if (f->tls_back)
            c->far.tls = sim_tls_accept(p, f->server_ctx);
        sim_http_begin(&c->in, true);
    }
    if (sim_below(f->farm.sim, 1000) < f->server_mess && !far_gone(&c->far))
        server_mess(c);
    if (event != SIM_DATA && event != SIM_END)
        return;
    while (!far_gone(&c->far) && (n = far_read(&c->far, bytes, sizeof(bytes))) > 0)
        if (!c->broken)
            server_bytes(c, bytes, (size_t)n);
    if (n != 0 || far_gone(&c->far))
        return;
    if (c->raw)
        far_shutdown(&c->far);
    else if (c->out.p == NULL)
        sim_peer_close(p);
}

void http_servers_free(struct http_farm *f)
{
    while (f->conns != NULL) {
        struct server_conn *c = f->conns;
        f->conns = c->next;
        sim_text_free(&c->out);
        sim_tls_free(&c->far.tls);
        free(c);
    }
}
