/* sim_h2_server.c - backends of HTTP/2 for sim_http_farm.h: they check what comes and answer as the
 * request says, with its troubles; and they leave, refuse and change their mind as backends may. */
#include "lb/base/alloc.h"
#include "tests/sim/sim_h2.h"
#include "tests/sim/sim_http_farm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHIMS_MAX 8 /* of a connection: more is a flood, and cut off */

struct h2_server {
    struct sim_h2 h2; /* first */
    struct h2_server *next;
    struct served *streams; /* all that there were */
    uint32_t n_open, n_whims;
    bool broken;            /* reads, but says nothing any more */
    bool cut;               /* the connection is to be closed when this has left */
    bool leaving, idle_end; /* GOAWAY was said; a timer for the end of an idle connection runs */
};

/* One request. */
struct served {
    struct served *next;
    struct h2_server *conn;
    struct request *req;
    uint32_t id;
    int32_t sid;
    uint64_t in, out, out_end; /* bytes of payload; out_end: of the message, or until the trouble */
    uint64_t echoed;
    enum method method;
    bool answered, answering, in_ended, closed, raw, expects, deferred, said_sum;
};

static const char *sizes_text(char *text, uint32_t n)
{
    sprintf(text, "%u", n);
    return text;
}

/* ---- the answer ---- */

static void resume_later(struct sim *s, void *arg)
{
    struct served *st = arg;

    (void)s;
    if (st->closed || far_gone(&st->conn->h2.far) || st->conn->broken)
        return;
    st->deferred = false;
    nghttp2_session_resume_data(st->conn->h2.ng, st->sid);
    sim_h2_pump(&st->conn->h2);
}

static ssize_t defer(struct served *st)
{
    struct sim *s = st->conn->h2.far.peer->sim;

    st->deferred = true;
    sim_after(s, 1 + sim_below(s, 20000), resume_later, st);
    return NGHTTP2_ERR_DEFERRED;
}

/* The place of the trouble is reached. */
static ssize_t fail_now(struct served *st)
{
    switch (st->req->trouble) {
    case T_RESET:
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM */
    case T_CLOSE:
        st->conn->cut = true;
        return NGHTTP2_ERR_DEFERRED;
    default:
        return NGHTTP2_ERR_DEFERRED;
    }
}

static bool is_broken(const struct request *r)
{
    return r->trouble == T_RESET || r->trouble == T_CLOSE || r->trouble == T_HANG;
}

static void put_trailers(struct served *st, uint32_t *flags)
{
    const nghttp2_nv nv[] = {sim_h2_nv("x-sum", "1"), sim_h2_nv("x-more", "2")};

    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    assert_int_equal(nghttp2_submit_trailer(st->conn->h2.ng, st->sid, nv, 2), 0);
}

static ssize_t read_answer(nghttp2_session *ng, int32_t sid, uint8_t *buf, size_t length,
                           uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct served *st = source->ptr;
    struct sim *s = st->conn->h2.far.peer->sim;
    uint64_t left = st->out_end - st->out, n = left < length ? left : length;

    (void)ng, (void)sid, (void)arg;
    if (left > 0 && sim_below(s, st->req->dribble ? 2 : 20) == 0)
        return defer(st);
    if (left == 0 && is_broken(st->req))
        return fail_now(st);
    if (n > 1 && sim_below(s, 3) == 0)
        n = 1 + sim_below(s, (uint32_t)n);
    for (uint64_t i = 0; i < n; i++)
        buf[i] = sim_pattern(st->id * 2 + 1, st->out + i);
    st->out += n;
    if (st->out == st->out_end && !is_broken(st->req)) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (st->req->trailers && st->req->down != F_LENGTH)
            put_trailers(st, flags);
    }
    return (ssize_t)n;
}

/* A tunnel: what came goes back. */
static ssize_t read_echo(nghttp2_session *ng, int32_t sid, uint8_t *buf, size_t length,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct served *st = source->ptr;
    uint64_t left = st->in - st->echoed, n = left < length ? left : length;

    (void)ng, (void)sid, (void)arg;
    for (uint64_t i = 0; i < n; i++)
        buf[i] = sim_pattern(st->id * 2, st->echoed + i);
    st->echoed += n;
    if (st->in_ended && st->echoed == st->in)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (n == 0)
        return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)n;
}

/* What no honest backend sends: each is malformed for another reason. */
static void put_garbage(struct served *st)
{
    static const char *const fields[][2] = {
        {"connection", "close"}, {"transfer-encoding", "chunked"},
        {":path", "/"},          {"content-length", "1, 2"},
        {"x-line", "a\nb"},      {":status", "99"},
    };
    struct sim *s = st->conn->h2.far.peer->sim;
    uint32_t which = sim_below(s, ARRAY_LEN(fields) + 1);
    nghttp2_nv nv[] = {sim_h2_nv(":status", "200"), sim_h2_nv("x-first", "1"), {0}};
    const nghttp2_data_provider source = {.source.ptr = st, .read_callback = read_answer};

    st->conn->h2.misbehaves = true;
    if (which < ARRAY_LEN(fields)) {
        nv[2] = sim_h2_nv(fields[which][0], fields[which][1]);
        nghttp2_submit_response(st->conn->h2.ng, st->sid, nv, 3, &source);
    } else { /* no status */
        nghttp2_submit_response(st->conn->h2.ng, st->sid, nv + 1, 1, &source);
    }
}

static uint32_t put_head(struct served *st, nghttp2_nv *nv, char text[static 3][16])
{
    const struct request *r = st->req;
    uint32_t n = 0;

    nv[n++] = sim_h2_nv(":status", sizes_text(text[0], r->down == F_UPGRADE ? 200 : r->status));
    nv[n++] = sim_h2_nv("x-id", sizes_text(text[1], st->id));
    if (r->down == F_LENGTH && r->status != 204)
        nv[n++] = sim_h2_nv("content-length", sizes_text(text[2], r->down_bytes));
    return n;
}

static void submit_answer(struct served *st)
{
    const struct request *r = st->req;
    bool bodiless = st->method == HEAD || r->status == 204 || r->status == 304;
    nghttp2_data_provider source = {.source.ptr = st, .read_callback = read_answer};
    nghttp2_session *ng = st->conn->h2.ng;
    nghttp2_nv nv[4];
    char text[3][16];
    uint32_t n = put_head(st, nv, text);

    st->out_end = r->down_bytes;
    if (is_broken(r))
        st->out_end = r->at % (r->down_bytes + 1); /* bodiless: there is nothing to break */
    if (r->interim) {
        const nghttp2_nv hints[] = {sim_h2_nv(":status", "103"), sim_h2_nv("link", "</a>"), nv[1]};
        nghttp2_submit_headers(ng, NGHTTP2_FLAG_NONE, st->sid, NULL, hints, 3, NULL);
    }
    if (r->down == F_UPGRADE) {
        source.read_callback = read_echo;
        st->raw = true;
    }
    assert_int_equal(nghttp2_submit_response(ng, st->sid, nv, n, bodiless ? NULL : &source), 0);
}

/* Where nothing may fail, so often only as a request is sent elsewhere. */
static void leave(struct h2_server *c)
{
    uint32_t max = the_farm->lenient ? UINT32_MAX : the_farm->server_whims > 0 ? BACKENDS - 1 : 0;

    if (c->leaving || the_farm->leaves >= max)
        return;
    the_farm->leaves++;
    c->leaving = true;
    if (getenv("SIM_TRACE") != NULL)
        print_error("%9llu server: peer %u leaves\n",
                    (unsigned long long)sim_now_us(c->h2.far.peer->sim), c->h2.far.peer->id);
    nghttp2_submit_goaway(c->h2.ng, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(c->h2.ng), NGHTTP2_NO_ERROR, NULL,
                          0);
}

/* Any but that which says that the request was not looked at. */
static uint32_t some_code(struct sim *s)
{
    uint32_t code = 1 + sim_below(s, NGHTTP2_HTTP_1_1_REQUIRED);

    return code == NGHTTP2_REFUSED_STREAM ? NGHTTP2_CANCEL : code;
}

static void answer(struct sim *s, void *arg)
{
    struct served *st = arg;
    const struct request *r = st->req;

    (void)s;
    st->answered = true;
    if (st->closed || far_gone(&st->conn->h2.far) || st->conn->broken)
        return;
    if (r->trouble == T_GARBAGE && r->down != F_UPGRADE)
        put_garbage(st);
    else if (is_broken(r) && r->at == 0 && r->trouble == T_RESET)
        nghttp2_submit_rst_stream(st->conn->h2.ng, NGHTTP2_FLAG_NONE, st->sid, some_code(s));
    else if (!(is_broken(r) && r->at == 0 && r->trouble == T_HANG))
        submit_answer(st);
    if (r->server_close)
        leave(st->conn);
    sim_h2_pump(&st->conn->h2);
}

static void answer_soon(struct served *st)
{
    struct sim *s = st->conn->h2.far.peer->sim;

    if (st->answering)
        return;
    st->answering = true;
    sim_after(s, 1 + sim_below(s, sim_below(s, 2) ? 100 : 300000), answer, st);
}

/* ---- the request ---- */

static int on_begin(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    struct h2_server *c = arg;
    struct served *st;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    st = xcalloc(1, sizeof(*st));
    st->conn = c;
    st->sid = frame->hd.stream_id;
    st->id = UINT32_MAX;
    st->next = c->streams;
    c->streams = st;
    c->n_open++;
    nghttp2_session_set_stream_user_data(ng, st->sid, st);
    return 0;
}

static void take_method(struct served *st, const uint8_t *value, size_t n)
{
    if (sim_h2_is(value, n, "CONNECT")) {
        st->raw = true;
        return;
    }
    for (st->method = GET; !sim_h2_is(value, n, method_names[st->method]); st->method++)
        assert_true(st->method < POST);
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t n, uint8_t flags, void *arg)
{
    struct served *st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    char text[16] = {0};

    (void)flags, (void)arg;
    if (st == NULL)
        return 0;
    if (sim_h2_is(name, name_len, ":method")) {
        take_method(st, value, n);
    } else if (sim_h2_is(name, name_len, ":path")) {
        assert_true(n > 1 && n < sizeof(text));
        memcpy(text, value + 1, n - 1);
        st->id = (uint32_t)strtoul(text, NULL, 10);
    } else if (sim_h2_is(name, name_len, "expect")) {
        st->expects = true;
    } else if (sim_h2_is(name, name_len, "x-sum")) {
        st->said_sum = sim_h2_is(value, n, "1");
    }
    return 0;
}

static bool refuse(struct served *st)
{
    if (st->req->refusals == 0)
        return false;
    st->req->refusals--;
    st->closed = true;
    nghttp2_submit_rst_stream(st->conn->h2.ng, NGHTTP2_FLAG_NONE, st->sid, NGHTTP2_REFUSED_STREAM);
    return true;
}

static void got_head(struct served *st)
{
    struct http_farm *f = the_farm;
    const nghttp2_nv go_on[] = {sim_h2_nv(":status", "100")};

    assert_true(st->id < REQUESTS_ALL);
    st->req = &f->requests[st->id];
    if (refuse(st))
        return;
    assert_true(st->req->sent);
    assert_int_equal(st->method, st->req->method);
    assert_true(st->raw == (st->req->down == F_UPGRADE));
    st->req->seen++;
    f->seen++;
    if (getenv("SIM_TRACE") != NULL)
        print_error("%9llu server: peer %u, stream %d has %s /%u\n",
                    (unsigned long long)sim_now_us(f->farm.sim), st->conn->h2.far.peer->id, st->sid,
                    method_names[st->method], st->id);
    if (st->raw || st->req->trouble == T_EARLY)
        answer_soon(st);
    else if (st->expects)
        nghttp2_submit_headers(st->conn->h2.ng, NGHTTP2_FLAG_NONE, st->sid, NULL, go_on, 1, NULL);
}

static void idle_end(struct sim *s, void *arg)
{
    struct h2_server *c = arg;

    c->idle_end = false;
    if (far_gone(&c->h2.far) || c->broken || c->n_open > 0)
        return;
    c->broken = true;
    if (sim_below(s, 2) == 0)
        sim_peer_close(c->h2.far.peer);
    else
        far_shutdown(&c->h2.far);
}

static void got_all(struct served *st)
{
    struct http_farm *f = the_farm;
    const struct request *r = st->req;

    st->in_ended = true;
    assert_int_equal(st->in, r->up == F_NONE && !st->raw ? 0 : r->up_bytes);
    if (r->up == F_CHUNKED && r->trailers && !st->said_sum)
        fail_msg("request %u came without its trailers", st->id);
    if (st->raw)
        nghttp2_session_resume_data(st->conn->h2.ng, st->sid);
    else
        answer_soon(st);
    if (sim_below(f->farm.sim, 100) < f->idle_close && !st->conn->idle_end) {
        st->conn->idle_end = true;
        sim_after(f->farm.sim,
                  1 + sim_below(f->farm.sim, sim_below(f->farm.sim, 2) ? 3000 : 2000000), idle_end,
                  st->conn);
    }
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    struct served *st = frame->hd.stream_id > 0
                            ? nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id)
                            : NULL;

    sim_h2_frame(arg, frame);
    if (st == NULL || st->closed)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        got_head(st);
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && !st->closed &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        got_all(st);
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t sid, const uint8_t *data, size_t n,
                   void *arg)
{
    struct served *st = nghttp2_session_get_stream_user_data(ng, sid);

    (void)flags, (void)arg;
    if (st == NULL || st->closed)
        return 0;
    for (size_t i = 0; i < n; i++)
        assert_int_equal(data[i], sim_pattern(st->id * 2, st->in + i));
    st->in += n;
    if (st->raw)
        nghttp2_session_resume_data(ng, sid);
    return 0;
}

static int on_close(nghttp2_session *ng, int32_t sid, uint32_t code, void *arg)
{
    struct served *st = nghttp2_session_get_stream_user_data(ng, sid);
    struct h2_server *c = arg;

    (void)code;
    if (st == NULL)
        return 0;
    st->closed = true;
    c->n_open--;
    return 0;
}

/* ---- connections ---- */

/* nghttp2 resets streams on which more was under way than it allows now, though it was allowed to
 * be sent: less than the default is for where requests may fail. */
static uint32_t some_window(struct sim *s)
{
    static const uint32_t windows[] = {100, 3000, 65535, 1 << 20};
    uint32_t least = the_farm->lenient ? 0 : 2;

    return windows[least + sim_below(s, ARRAY_LEN(windows) - least)];
}

static void begin(struct h2_server *c)
{
    struct sim *s = the_farm->farm.sim;
    nghttp2_session_callbacks *cb = sim_h2_callbacks();
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1 + sim_below(s, 12)},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, some_window(s)},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, sim_below(s, 2) ? 0 : 4096},
    };

    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    assert_int_equal(nghttp2_session_server_new(&c->h2.ng, cb, c), 0);
    nghttp2_session_callbacks_del(cb);
    /* Few may come before they are known. */
    nghttp2_submit_settings(c->h2.ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
}

/* What a backend may do at any time, and must cost nobody a request. */
static void change_mind(struct h2_server *c)
{
    struct sim *s = the_farm->farm.sim;
    const nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, some_window(s)};
    const nghttp2_settings_entry streams = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                            1 + sim_below(s, 12)};

    switch (sim_below(s, 5)) {
    case 0:
        nghttp2_submit_settings(c->h2.ng, NGHTTP2_FLAG_NONE, &window, 1);
        break;
    case 1:
        nghttp2_submit_settings(c->h2.ng, NGHTTP2_FLAG_NONE, &streams, 1);
        break;
    case 2:
        nghttp2_submit_ping(c->h2.ng, NGHTTP2_FLAG_NONE, NULL);
        break;
    case 3:
        nghttp2_submit_shutdown_notice(c->h2.ng);
        break;
    default:
        leave(c);
        break;
    }
    sim_h2_pump(&c->h2); /* before more is read: GOAWAY must stay true */
}

static void mess(struct h2_server *c)
{
    struct sim *s = the_farm->farm.sim;

    c->broken = true;
    switch (sim_below(s, 4)) {
    case 0:
        sim_peer_reset(c->h2.far.peer);
        return;
    case 1:
        sim_peer_close(c->h2.far.peer);
        return;
    case 2:
        sim_peer_shutdown(c->h2.far.peer);
        return;
    default:
        sim_peer_freeze(c->h2.far.peer, true);
        return;
    }
}

static void settle(struct h2_server *c)
{
    if (far_gone(&c->h2.far) || c->broken)
        return;
    sim_h2_pump(&c->h2);
    if (c->cut) {
        c->broken = true;
        sim_peer_close(c->h2.far.peer);
    } else if (sim_h2_over(&c->h2)) {
        c->broken = true; /* and what still comes is not looked at */
        far_shutdown(&c->h2.far);
    }
}

static void read_all(struct h2_server *c)
{
    char bytes[4096];
    ssize_t n;

    if (!c->broken) {
        int more = sim_h2_read(&c->h2);
        if (more > 0)
            return;
        c->broken = true;
    }
    while (!far_gone(&c->h2.far) && (n = far_read(&c->h2.far, bytes, sizeof(bytes))) >= 0)
        if (n == 0)
            sim_peer_close(c->h2.far.peer);
}

void h2_server(struct sim_peer *p, enum sim_event event)
{
    struct http_farm *f = the_farm;
    struct h2_server *c = p->arg;

    if (event == SIM_CONNECTED) {
        c = xcalloc(1, sizeof(*c));
        c->h2.far.peer = p;
        c->next = f->h2_servers;
        f->h2_servers = c;
        p->arg = c;
        if (f->tls_back)
            c->h2.far.tls = sim_tls_accept(p, f->server_ctx);
        begin(c);
        settle(c);
    }
    if (sim_below(f->farm.sim, 1000) < f->server_mess && !far_gone(&c->h2.far))
        mess(c);
    if (sim_below(f->farm.sim, 1000) < f->server_whims && !c->broken && c->n_whims++ < WHIMS_MAX)
        change_mind(c);
    if ((event == SIM_DATA || event == SIM_END) && !far_gone(&c->h2.far))
        read_all(c);
    settle(c);
}

void h2_servers_free(struct http_farm *f)
{
    while (f->h2_servers != NULL) {
        struct h2_server *c = f->h2_servers;
        f->h2_servers = c->next;
        sim_h2_fini(&c->h2);
        while (c->streams != NULL) {
            struct served *st = c->streams;
            c->streams = st->next;
            free(st);
        }
        free(c);
    }
}
