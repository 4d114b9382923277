/* test_h2_sessions.c - clients of HTTP/2 on the simulated engine, with backends of HTTP/1.1 and of
 * HTTP/2: every request gets one response, its own, complete and unchanged, or its stream is reset;
 * what GOAWAY says was not looked at was not; what must not be repeated is seen once; and in the
 * end everything is given back, whoever reset, left, stalled or broke off what. */
#include "lb/base/log.h"
#include "tests/sim/sim_h2.h"
#include "tests/sim/sim_http_farm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- clients ---- */

struct client;

/* One request of a client, through all its attempts. */
struct asked {
    struct client *c;
    struct request *req;
    uint32_t id;
    int32_t sid; /* 0: not asked, or again */
    uint64_t up, down;
    uint32_t owed; /* bytes that were read, but not yet given back to the window */
    int status;
    bool genuine; /* the response comes from a backend */
    bool head, ended, closed, over, abandoned, may_send, sum, deferred, begun;
};

struct client {
    struct sim_h2 h2; /* first */
    struct http_farm *f;
    struct asked asked[REQUESTS];
    uint32_t n, done, parallel;
    uint32_t dials;
    bool over, leaving, timer;
    bool slow;    /* does not read at once, so that windows are closed for a while */
    bool pausing; /* a timer for what is owed runs */
};

static void client_over(struct client *c)
{
    if (c->over)
        return;
    c->over = true;
    c->f->farm.done++;
}

static void client_dial(struct client *c);

/* The end of a tunnel through which all has come may take longer than is waited for. */
static bool is_answered(const struct asked *a)
{
    bool tunnelled = a->req->down == F_UPGRADE && a->head && a->down == a->req->up_bytes;

    return a->status >= 200 && (a->ended || tunnelled);
}

static bool is_bodiless(const struct request *r)
{
    return r->method == HEAD || r->status == 204 || r->status == 304;
}

/* HTTP/1.0's payload ends with its connection: nobody can tell where it should have been. */
static bool cut_unnoticed(const struct asked *a)
{
    const struct http_farm *f = a->c->f;

    return !f->h2_back && a->req->down == F_CLOSE &&
           (a->req->trouble == T_CLOSE || f->server_mess > 0);
}

static void check_answer(const struct asked *a)
{
    const struct request *r = a->req;

    if (!a->genuine) {
        bool known = a->status == 502 || a->status == 503 || a->status == 504 || a->status == 408;
        if (!(r->trouble == T_GARBAGE && r->method == HEAD) && (!may_fail(a->c->f, r) || !known))
            fail_msg("request %u (%s) was answered %d", a->id, method_names[r->method], a->status);
        return;
    }
    assert_int_equal(a->status, r->down == F_UPGRADE ? 200 : r->status);
    if (r->down == F_UPGRADE ? a->down != r->up_bytes && !may_fail(a->c->f, r)
                             : a->down != (is_bodiless(r) ? 0 : r->down_bytes) && !cut_unnoticed(a))
        fail_msg("response %u has %llu bytes", a->id, (unsigned long long)a->down);
    if (r->trailers && !is_bodiless(r) && !a->sum &&
        (r->down == F_CHUNKED || (r->down == F_CLOSE && a->c->f->h2_back)))
        fail_msg("response %u came without its trailers", a->id);
}

/* One way or the other. */
static void asked_over(struct asked *a)
{
    if (a->over)
        return;
    a->over = true;
    a->c->done++;
}

static void again(struct asked *a)
{
    struct client *c = a->c;
    struct request *r = a->req;
    uint32_t id = a->id;

    *a = (struct asked){.c = c, .req = r, .id = id, .begun = true};
}

/* Its stream ended without a response. */
static void lost(struct asked *a, const char *how, uint32_t code)
{
    const struct http_farm *f = a->c->f;

    if (getenv("SIM_TRACE") != NULL)
        print_error("client: request %u lost: %s, %s\n", a->id, how, nghttp2_http2_strerror(code));
    if (a->abandoned || may_fail(f, a->req) || a->c->leaving) {
        asked_over(a);
        return;
    }
    if (f->draining && a->req->seen == 0) {
        asked_over(a);
        return;
    }
    fail_msg("request %u (%s, up %u of %u, framing %u, down %u of %u, framing %u, status %u) was "
             "lost: %s, %s; seen %u times",
             a->id, method_names[a->req->method], (unsigned)a->up, a->req->up_bytes, a->req->up,
             (unsigned)a->down, a->req->down_bytes, a->req->down, a->status, how,
             nghttp2_http2_strerror(code), a->req->seen);
}

/* Not looked at, as GOAWAY or RST_STREAM say. */
static void unseen(struct asked *a)
{
    if (a->req->seen > 0)
        fail_msg("request %u was seen, but is said not to have been", a->id);
    if (a->c->f->draining || a->abandoned)
        asked_over(a);
    else
        again(a);
}

static int on_close(nghttp2_session *ng, int32_t sid, uint32_t code, void *arg)
{
    struct asked *a = nghttp2_session_get_stream_user_data(ng, sid);
    const struct client *c = arg;

    if (a == NULL || a->over || a->sid != sid)
        return 0;
    a->closed = true;
    if (is_answered(a)) {
        check_answer(a);
        asked_over(a);
    } else if ((c->h2.goaway_came && sid > c->h2.goaway_last) || code == NGHTTP2_REFUSED_STREAM) {
        unseen(a);
    } else {
        lost(a, "reset", code);
    }
    return 0;
}

/* ---- what it sends ---- */

static void client_settle(struct client *c);

static void resume_later(struct sim *s, void *arg)
{
    struct asked *a = arg;

    (void)s;
    if (!a->deferred || a->over || a->c->over || a->sid == 0 || far_gone(&a->c->h2.far))
        return;
    a->deferred = false;
    nghttp2_session_resume_data(a->c->h2.ng, a->sid);
    sim_h2_pump(&a->c->h2);
}

static ssize_t read_upload(nghttp2_session *ng, int32_t sid, uint8_t *buf, size_t length,
                           uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    const nghttp2_nv sums[] = {sim_h2_nv("x-sum", "1"), sim_h2_nv("x-more", "2")};
    struct asked *a = source->ptr;
    struct sim *s = a->c->f->farm.sim;
    uint64_t left = a->req->up_bytes - a->up, n = left < length ? left : length;

    (void)arg;
    if (a->sid != sid) /* is being reset */
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (!a->may_send || (left > 0 && sim_below(s, a->req->dribble ? 2 : 20) == 0)) {
        a->deferred = true;
        if (a->may_send)
            sim_after(s, 1 + sim_below(s, 10000), resume_later, a);
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n > 1 && sim_below(s, 3) == 0)
        n = 1 + sim_below(s, (uint32_t)n);
    for (uint64_t i = 0; i < n; i++)
        buf[i] = sim_pattern(a->id * 2, a->up + i);
    a->up += n;
    if (a->up < a->req->up_bytes)
        return (ssize_t)n;
    /* A tunnel ends when all has come back. */
    if (a->req->down == F_UPGRADE && n > 0)
        return (ssize_t)n;
    if (a->req->down == F_UPGRADE && a->down < a->req->up_bytes) {
        a->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (a->req->up == F_CHUNKED && a->req->trailers) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        assert_int_equal(nghttp2_submit_trailer(ng, sid, sums, 2), 0);
    }
    return (ssize_t)n;
}

static void ask(struct asked *a)
{
    struct request *r = a->req;
    nghttp2_data_provider source = {.source.ptr = a, .read_callback = read_upload};
    nghttp2_nv nv[12];
    char path[16], length[16];
    uint32_t n = 0;

    r->sent = a->begun = true;
    snprintf(path, sizeof(path), "/%u", a->id);
    snprintf(length, sizeof(length), "%u", r->up_bytes);
    nv[n++] = sim_h2_nv(":method", r->down == F_UPGRADE ? "CONNECT" : method_names[r->method]);
    nv[n++] = sim_h2_nv(":scheme", a->c->f->tls ? "https" : "http");
    nv[n++] = sim_h2_nv(":authority", "h.test");
    nv[n++] = sim_h2_nv(":path", path);
    if (r->down == F_UPGRADE)
        nv[n++] = sim_h2_nv(":protocol", "websocket");
    nv[n++] = sim_h2_nv("te", "trailers");
    if (r->up == F_LENGTH)
        nv[n++] = sim_h2_nv("content-length", length);
    if (r->expect)
        nv[n++] = sim_h2_nv("expect", "100-continue");
    nv[n++] = sim_h2_nv("cookie", "a=1");
    nv[n++] = sim_h2_nv("cookie", "b=2");
    a->may_send = !r->expect && r->down != F_UPGRADE;
    bool body = r->up != F_NONE || r->down == F_UPGRADE;
    a->sid = nghttp2_submit_request(a->c->h2.ng, NULL, nv, n, body ? &source : NULL, a);
    assert_true(a->sid > 0);
}

/* As many as may be under way. */
static void client_asks(struct client *c)
{
    uint32_t under_way = 0;

    for (uint32_t i = 0; i < c->n; i++)
        under_way += c->asked[i].sid != 0 && !c->asked[i].over;
    for (uint32_t i = 0; i < c->n && under_way < c->parallel; i++) {
        struct asked *a = &c->asked[i];
        if (a->over || a->sid != 0 || c->h2.goaway_came || c->leaving)
            continue;
        ask(a);
        under_way++;
        if (sim_below(c->f->farm.sim, 3) == 0) /* others come later */
            break;
    }
}

static void ask_later(struct sim *s, void *arg)
{
    struct client *c = arg;

    (void)s;
    c->timer = false;
    if (c->over || far_gone(&c->h2.far))
        return;
    client_settle(c);
}

/* ---- what it receives ---- */

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t n, uint8_t flags, void *arg)
{
    struct asked *a = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    char text[16] = {0};

    (void)flags, (void)arg;
    if (a == NULL || n >= sizeof(text))
        return 0;
    memcpy(text, value, n);
    if (sim_h2_is(name, name_len, ":status")) {
        assert_true(a->status < 200); /* one final head */
        a->status = atoi(text);
    } else if (sim_h2_is(name, name_len, "x-id")) {
        if (strtoul(text, NULL, 10) != a->id)
            fail_msg("request %u got the response of %s", a->id, text);
        a->genuine = a->status >= 200;
    } else if (sim_h2_is(name, name_len, "x-sum")) {
        assert_true(a->head);
        a->sum = true;
    }
    return 0;
}

static void got_head(struct asked *a)
{
    if (getenv("SIM_TRACE") != NULL)
        print_error("%9llu client: request %u, stream %d: %d\n",
                    (unsigned long long)sim_now_us(a->c->f->farm.sim), a->id, a->sid, a->status);
    if (a->status == 100 || a->status >= 200) {
        a->may_send = true;
        if (a->deferred) {
            a->deferred = false;
            nghttp2_session_resume_data(a->c->h2.ng, a->sid);
        }
    }
    a->head = a->status >= 200;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    struct asked *a = frame->hd.stream_id > 0
                          ? nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id)
                          : NULL;

    sim_h2_frame(arg, frame);
    if (a == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !a->head)
        got_head(a);
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        a->ended = true;
    return 0;
}

static void give_back(struct sim *s, void *arg)
{
    struct client *c = arg;

    c->pausing = false;
    if (c->over || far_gone(&c->h2.far))
        return;
    for (uint32_t i = 0; i < c->n; i++) {
        struct asked *a = &c->asked[i];
        if (a->owed > 0 && (a->over || a->closed))
            nghttp2_session_consume_connection(c->h2.ng, a->owed);
        else if (a->owed > 0 && sim_below(s, 4) > 0)
            nghttp2_session_consume(c->h2.ng, a->sid, a->owed);
        else
            continue;
        a->owed = 0;
    }
    sim_h2_pump(&c->h2);
    c->pausing = true;
    sim_after(s, 1 + sim_below(s, 100000), give_back, c);
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t sid, const uint8_t *data, size_t n,
                   void *arg)
{
    struct asked *a = nghttp2_session_get_stream_user_data(ng, sid);
    struct client *c = arg;

    (void)flags;
    if (a == NULL || a->sid != sid) {
        if (c->slow)
            nghttp2_session_consume_connection(ng, n);
        return 0;
    }
    assert_true(a->head);
    uint64_t tag = a->req->down == F_UPGRADE ? a->id * 2 : a->id * 2 + 1;
    for (size_t i = 0; a->genuine && i < n; i++)
        if (data[i] != sim_pattern(tag, a->down + i))
            fail_msg("response %u is wrong at byte %llu", a->id, (unsigned long long)(a->down + i));
    a->down += n;
    a->owed += c->slow ? (uint32_t)n : 0;
    if (a->req->down == F_UPGRADE && a->down >= a->req->up_bytes && a->deferred) {
        a->deferred = false;
        nghttp2_session_resume_data(ng, sid);
    }
    return 0;
}

/* ---- its connections ---- */

static void redial(struct sim *s, void *arg)
{
    struct client *c = arg;

    (void)s;
    if (!c->over)
        client_dial(c);
}

/* The connection is no more. */
static void client_goes_on(struct client *c, const char *how)
{
    if (!far_gone(&c->h2.far))
        sim_peer_close(c->h2.far.peer);
    for (uint32_t i = 0; i < c->n; i++) {
        struct asked *a = &c->asked[i];
        if (a->over || a->sid == 0)
            continue;
        if (c->h2.goaway_came && a->sid > c->h2.goaway_last)
            unseen(a);
        else if (is_answered(a)) /* the upload was not asked for */
            check_answer(a), asked_over(a);
        else
            lost(a, how, 0);
    }
    if (c->done == c->n || c->f->draining || c->leaving)
        client_over(c);
    else
        sim_after(c->f->farm.sim, 1 + sim_below(c->f->farm.sim, 1000), redial, c);
}

static void client_settle(struct client *c)
{
    struct sim *s = c->f->farm.sim;

    if (c->over || far_gone(&c->h2.far))
        return;
    client_asks(c);
    sim_h2_pump(&c->h2);
    if (c->done == c->n && sim_below(s, 2))
        nghttp2_session_terminate_session(c->h2.ng, NGHTTP2_NO_ERROR);
    sim_h2_pump(&c->h2);
    if (c->done == c->n || sim_h2_over(&c->h2)) {
        client_goes_on(c, "over");
        return;
    }
    if (!c->timer) {
        c->timer = true;
        sim_after(s, 1 + sim_below(s, 50000), ask_later, c);
    }
}

static void client_fn(struct sim_peer *p, enum sim_event event)
{
    struct client *c = p->arg;

    if (c->over || p != c->h2.far.peer)
        return;
    if (event == SIM_RESET) {
        client_goes_on(c, "connection reset");
        return;
    }
    if (event != SIM_DATA && event != SIM_END)
        return;
    int more = sim_h2_read(&c->h2);
    if (c->over)
        return;
    if (more > 0) {
        client_settle(c);
        return;
    }
    if (c->h2.goaway_came && c->h2.goaway_code != NGHTTP2_NO_ERROR && !c->f->lenient)
        fail_msg("client %u: GOAWAY says %s", c->asked[0].id,
                 nghttp2_http2_strerror(c->h2.goaway_code));
    client_goes_on(c, "end of the connection");
}

static void new_session(struct client *c)
{
    struct sim *s = c->f->farm.sim;
    nghttp2_session_callbacks *cb = sim_h2_callbacks();
    nghttp2_option *option;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 400 << (3 * sim_below(s, 4))},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 16384 + sim_below(s, 2) * 100000},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, sim_below(s, 2) ? 0 : 4096},
    };

    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_auto_window_update(option, c->slow);
    assert_int_equal(nghttp2_session_client_new2(&c->h2.ng, cb, c, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(c->h2.ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
}

static void client_dial(struct client *c)
{
    struct http_farm *f = c->f;
    struct sim *s = f->farm.sim;

    if (c->done == c->n || f->draining || c->dials++ > 3 * REQUESTS) {
        client_over(c);
        return;
    }
    sim_h2_fini(&c->h2);
    memset(&c->h2, 0, sizeof(c->h2));
    for (uint32_t i = 0; i < c->n; i++)
        if (!c->asked[i].over)
            again(&c->asked[i]);
    c->h2.far.peer = sim_dial(s, &f->farm.front.sa, f->farm.front.len, NULL);
    if (c->h2.far.peer == NULL) {
        client_over(c);
        return;
    }
    c->h2.far.peer->arg = c;
    c->h2.far.peer->fn = client_fn;
    if (f->tls)
        c->h2.far.tls = sim_tls_new(c->h2.far.peer, f->client_ctx, NULL);
    new_session(c);
    if (c->slow && !c->pausing) {
        c->pausing = true;
        sim_after(s, 1 + sim_below(s, 100000), give_back, c);
    }
    client_settle(c);
}

static void clients_init(struct http_farm *f, struct client *clients)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        c->f = f;
        c->n = 1 + sim_below(f->farm.sim, REQUESTS);
        c->parallel = 1 + sim_below(f->farm.sim, REQUESTS);
        c->slow = sim_below(f->farm.sim, 3) == 0;
        for (uint32_t j = 0; j < c->n; j++) {
            struct asked *a = &c->asked[j];
            *a = (struct asked){.c = c, .id = i * REQUESTS + j};
            a->req = &f->requests[a->id];
            draw_request(f->farm.sim, a->req);
            if (f->h2_back && f->server_whims > 0 && sim_below(f->farm.sim, 10) == 0)
                a->req->refusals = 1;
        }
    }
}

static void start_clients(struct client *clients)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_dial(&clients[i]);
}

static void clients_fini(struct client *clients)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        sim_h2_fini(&clients[i].h2);
}

/* ---- simple lives ---- */

struct where {
    bool tls, tls_back, h2_back;
    uint32_t whims;
};

static void simple_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed};
    const struct where *w = arg;
    struct http_farm f = {.h2 = true, .tls = w->tls, .tls_back = w->tls_back};
    struct client clients[CLIENTS] = {0};

    f.h2_back = w->h2_back;
    f.server_whims = w->whims;
    http_farm_init(&f, &conf);
    f.farm.pool_conf.http.reuse = (enum reuse)sim_below(f.farm.sim, REUSE_NEVER + 1);
    http_farm_start(&f);
    clients_init(&f, clients);
    start_clients(clients);
    run_until(&f.farm, clients_done, 72000);
    clients_fini(clients);
    http_farm_end(&f);
}

static void every_request_gets_its_own_response_complete(void **state)
{
    static struct where where;

    (void)state;
    sim_each_seed(5, simple_life, &where);
}

static void backends_of_http2_too(void **state)
{
    static struct where where = {.h2_back = true};

    (void)state;
    sim_each_seed(5, simple_life, &where);
}

static void over_tls_on_both_sides(void **state)
{
    static struct where where = {.h2_back = true, .tls = true, .tls_back = true};

    (void)state;
    sim_each_seed(2, simple_life, &where);
}

static void backends_that_leave_and_refuse_cost_no_request(void **state)
{
    static struct where where = {.h2_back = true, .whims = 30};

    (void)state;
    sim_each_seed(5, simple_life, &where);
}

/* ---- backends that misbehave ---- */

static void draw_troubles(struct http_farm *f, struct client *clients)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        for (uint32_t j = 0; j < clients[i].n; j++)
            draw_trouble(f->farm.sim, clients[i].asked[j].req);
}

static void troubled_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed};
    struct http_farm f = {.lenient = true, .h2 = true};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    http_farm_init(&f, &conf);
    impatient(&f);
    f.farm.pool_conf.http.reuse = (enum reuse)sim_below(f.farm.sim, REUSE_NEVER + 1);
    f.server_mess = sim_below(f.farm.sim, 3) == 0 ? 1 + sim_below(f.farm.sim, 20) : 0;
    f.server_whims = sim_below(f.farm.sim, 30);
    f.idle_close = sim_below(f.farm.sim, 40);
    f.h2_back = sim_below(f.farm.sim, 3) > 0;
    f.tls = sim_below(f.farm.sim, 4) == 0;
    f.tls_back = sim_below(f.farm.sim, 4) == 0;
    http_farm_start(&f);
    clients_init(&f, clients);
    draw_troubles(&f, clients);
    start_clients(clients);
    run_until(&f.farm, clients_done, 72000);
    clients_fini(clients);
    http_farm_end(&f);
}

static void a_backend_that_misbehaves_harms_none_but_its_own_requests(void **state)
{
    (void)state;
    sim_each_seed(8, troubled_life, NULL);
}

/* ---- queues ---- */

static void queue_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed};
    struct http_farm f = {.h2 = true};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    http_farm_init(&f, &conf);
    f.h2_back = sim_below(f.farm.sim, 2);
    f.farm.pool_conf.queue_timeout_ms = PATIENT_MS;
    for (uint32_t i = 0; i < BACKENDS; i++)
        atomic_store(&f.farm.slots[i]->max_connections, 1);
    http_farm_start(&f);
    clients_init(&f, clients);
    start_clients(clients);
    run_until(&f.farm, clients_done, 720000);
    for (uint32_t i = 0; i < BACKENDS; i++)
        assert_true(counter_get(&f.farm.slots[i]->in_flight_max) <= 1);
    clients_fini(clients);
    http_farm_end(&f);
}

static void requests_wait_their_turn_and_no_backend_gets_more_than_its_limit(void **state)
{
    (void)state;
    sim_each_seed(2, queue_life, NULL);
}

/* ---- drain ---- */

/* base: of a struct http_farm */
static bool some_done(const struct farm *base)
{
    const struct http_farm *f = container_of(base, const struct http_farm, farm);

    return f->seen >= CLIENTS || base->done == CLIENTS;
}

/* Our last words are waited for a second or two only. */
static void drain_life(uint64_t seed, void *arg)
{
    const struct sim_conf conf = {.seed = seed, .near = true};
    struct http_farm f = {.h2 = true};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    http_farm_init(&f, &conf);
    f.h2_back = sim_below(f.farm.sim, 2);
    f.tls = sim_below(f.farm.sim, 4) == 0;
    f.tls_back = sim_below(f.farm.sim, 4) == 0;
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

static void abandon_some(struct client *c)
{
    struct asked *a = &c->asked[sim_below(c->f->farm.sim, c->n)];

    a->abandoned = true;
    if (a->sid > 0 && !a->over && !a->closed)
        nghttp2_submit_rst_stream(c->h2.ng, NGHTTP2_FLAG_NONE, a->sid,
                                  sim_below(c->f->farm.sim, NGHTTP2_HTTP_1_1_REQUIRED + 1));
}

static void change_settings(struct client *c)
{
    struct sim *s = c->f->farm.sim;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, sim_below(s, 100000)},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, sim_below(s, 2) ? 0 : 4096},
    };

    nghttp2_submit_settings(c->h2.ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
}

/* True: that was all. */
static bool act(struct client *c)
{
    struct sim *s = c->f->farm.sim;

    switch (sim_below(s, 9)) {
    case 0:
        client_over(c);
        sim_peer_reset(c->h2.far.peer);
        return true;
    case 1:
        client_over(c);
        sim_peer_close(c->h2.far.peer);
        return true;
    case 2:
        c->leaving = true;
        sim_peer_shutdown(c->h2.far.peer);
        return false;
    case 3:
        sim_peer_freeze(c->h2.far.peer, sim_below(s, 2) == 0);
        return false;
    case 4:
        c->leaving = true;
        nghttp2_submit_goaway(c->h2.ng, NGHTTP2_FLAG_NONE, 0, sim_below(s, 2), NULL, 0);
        break;
    case 5:
        change_settings(c);
        break;
    case 6:
        nghttp2_submit_ping(c->h2.ng, NGHTTP2_FLAG_NONE, NULL);
        break;
    default:
        abandon_some(c);
        break;
    }
    client_settle(c);
    return false;
}

static void chaos_act(struct sim *s, void *arg)
{
    struct client *c = arg;

    if (c->over || (c->h2.far.peer != NULL && !far_gone(&c->h2.far) && act(c)))
        return;
    sim_after(s, 1 + sim_below(s, 1000000), chaos_act, c);
}

/* As the operator and the health checks do: backends go, come back, and move. */
static void operate(struct http_farm *f)
{
    struct sim *s = f->farm.sim;
    uint32_t i = sim_below(s, BACKENDS);
    struct addr a;

    switch (sim_below(s, 40)) {
    case 0:
        proxy_backend_down(f->farm.proxy, f->farm.slots[i]);
        return;
    case 1:
        slot_set_oper(f->farm.slots[i], sim_below(s, 2) ? OPER_UP : OPER_DOWN);
        return;
    case 2:
        a = *atomic_load(&f->farm.slots[sim_below(s, BACKENDS)]->address);
        slot_set_address(f->farm.table, f->farm.slots[i], &a);
        return;
    case 3:
        f->farm.servers[i]->mood = (enum sim_mood)sim_below(s, SIM_CLOSES + 1);
        return;
    default:
        return;
    }
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
                   .buffers = 20},
    };
    struct http_farm f = {.lenient = true, .h2 = true};
    struct client clients[CLIENTS] = {0};

    (void)arg;
    http_farm_init(&f, &conf);
    impatient(&f);
    f.farm.pool_conf.http.reuse = (enum reuse)sim_below(f.farm.sim, REUSE_NEVER + 1);
    f.farm.pool_conf.queue_limit = 4;
    f.farm.pool_conf.queue_timeout_ms = 2000;
    f.farm.listener_conf.http.half_close = sim_below(f.farm.sim, 2) == 0;
    f.farm.listener_conf.http.h2_max_streams = 1 + sim_below(f.farm.sim, 10);
    f.farm.pool_conf.close_on_down = sim_below(f.farm.sim, 2) == 0;
    f.h2_back = sim_below(f.farm.sim, 3) > 0;
    f.tls = sim_below(f.farm.sim, 4) == 0;
    f.tls_back = sim_below(f.farm.sim, 4) == 0;
    f.server_mess = sim_below(f.farm.sim, 40);
    f.server_whims = sim_below(f.farm.sim, 40);
    f.idle_close = sim_below(f.farm.sim, 40);
    for (uint32_t i = 0; i < BACKENDS; i++)
        atomic_store(&f.farm.slots[i]->max_connections, sim_below(f.farm.sim, 4));
    http_farm_start(&f);
    clients_init(&f, clients);
    draw_troubles(&f, clients);
    start_clients(clients);
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (sim_below(f.farm.sim, 4) > 0)
            sim_after(f.farm.sim, 1 + sim_below(f.farm.sim, 1000000), chaos_act, &clients[i]);
    for (int i = 0; i < 600; i++) {
        loop_turn(&f.farm.loop, 50);
        operate(&f);
    }
    if (sim_below(f.farm.sim, 3) == 0)
        proxy_end_all(f.farm.proxy, END_DRAIN);
    *sim_faults(f.farm.sim) = (struct sim_faults){0};
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_over(&clients[i]);
    http_farm_end(&f); /* frozen ones end by their timeouts */
    clients_fini(clients);
}

static void whatever_happens_everything_is_given_back(void **state)
{
    (void)state;
    sim_each_seed(20, chaos_life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_request_gets_its_own_response_complete, sim_teardown),
        cmocka_unit_test_teardown(backends_of_http2_too, sim_teardown),
        cmocka_unit_test_teardown(over_tls_on_both_sides, sim_teardown),
        cmocka_unit_test_teardown(backends_that_leave_and_refuse_cost_no_request, sim_teardown),
        cmocka_unit_test_teardown(a_backend_that_misbehaves_harms_none_but_its_own_requests,
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
