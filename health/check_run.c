/* check_run.c - the I/O of a health check: connect, PROXY header, request, answer, close. */
#include "lb/base/alloc.h"
#include "lb/base/str.h"
#include "lb/net/addr.h"
#include "lb/net/proxy_proto.h"

#include "health/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_connect(struct op *op, int res);
static void on_sent(struct op *op, int res);
static void on_received(struct op *op, int res);

const struct check_kind *check_kind_of(enum check_type type)
{
    switch (type) {
    case CHECK_TYPE_TCP:
        return &check_kind_tcp;
    case CHECK_TYPE_HTTP:
        return &check_kind_http;
    case CHECK_TYPE_NONE:
        break;
    }
    return NULL;
}

static const struct check_kind *kind(const struct check *c)
{
    return check_kind_of(c->conf->health.type);
}

void check_say(struct check *c, bool passed, enum check_result result, uint32_t code,
               const char *fmt, ...)
{
    va_list ap;

    c->outcome.passed = passed;
    c->outcome.result = result;
    c->outcome.code = code;
    va_start(ap, fmt);
    vsnprintf(c->outcome.desc, sizeof(c->outcome.desc), fmt, ap);
    va_end(ap);
}

/* ---- the end of a run ---- */

static void finish(struct check *c)
{
    timer_stop(&c->loop->timers, &c->timeout);
    if (c->fd >= 0) {
        /* A connect that was all there is to it would leave a TIME_WAIT behind each time. */
        if (c->in_len == 0)
            io_reset(c->loop->io, c->fd);
        else
            io_close(c->loop->io, c->fd);
    }
    c->fd = -1;
    free(c->out);
    free(c->in);
    c->out = c->in = NULL;
    c->running = false;
    c->outcome.duration_us = (uint32_t)(loop_now_us(c->loop) - c->started_us);
    if (!c->cancelled)
        c->done(c, &c->outcome);
}

static const char *describe(int error, char *buf, size_t len)
{
    switch (-error) {
    case ECONNREFUSED:
        return "connection refused";
    case ECONNRESET:
    case EPIPE:
        return "connection reset";
    case ENOENT:
        return "no such socket";
    default:
        snprintf(buf, len, "%s", strerror(-error));
        if (buf[0] >= 'A' && buf[0] <= 'Z')
            buf[0] = (char)(buf[0] + 'a' - 'A');
        return buf;
    }
}

static void fail(struct check *c, int error)
{
    char buf[96];
    bool local = error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;

    if (c->timed_out)
        check_say(c, false, c->connected ? kind(c)->timed_out : CHECK_L4TOUT, 0,
                  c->connected ? "no answer within %u ms" : "no connection within %u ms",
                  c->conf->health.timeout_ms);
    else
        check_say(c, false,
                  local          ? CHECK_SOCKERR
                  : c->connected ? kind(c)->broken
                                 : CHECK_L4CON,
                  (uint32_t)-error, "%s", describe(error, buf, sizeof(buf)));
    finish(c);
}

static void on_timeout(struct timer *t)
{
    struct check *c = container_of(t, struct check, timeout);

    c->timed_out = true;
    io_cancel(c->loop->io, &c->op);
}

/* A result that came when its time was over, or nobody wants it any more. */
static bool over(const struct check *c)
{
    return c->timed_out || c->cancelled;
}

/* ---- the conversation ---- */

static void receive(struct check *c)
{
    if (c->in_len == c->in_cap) {
        c->in_cap = c->in_cap ? c->in_cap * 2 : 1024;
        c->in = xrealloc(c->in, c->in_cap);
    }
    op_init(&c->op, on_received);
    io_recv_into(c->loop->io, &c->op, c->fd, c->in + c->in_len, c->in_cap - c->in_len);
}

/* True when it is decided, or no more will be looked at. */
static bool judged(struct check *c, bool eof)
{
    return kind(c)->judge(c, eof || c->in_len >= LIMIT_CHECK_BODY);
}

static void on_received(struct op *op, int res)
{
    struct check *c = container_of(op, struct check, op);

    if (res < 0 || over(c)) {
        fail(c, res);
        return;
    }
    c->in_len += (size_t)res;
    if (judged(c, res == 0))
        finish(c);
    else
        receive(c);
}

static void on_sent(struct op *op, int res)
{
    struct check *c = container_of(op, struct check, op);

    if (res < 0 || over(c))
        fail(c, res);
    else if (judged(c, false)) /* it needs no answer */
        finish(c);
    else
        receive(c);
}

static void add_preface(struct check *c, struct strbuf *out)
{
    uint8_t header[PROXY_WRITE_MAX];
    struct sockaddr_storage ss;
    socklen_t len;
    struct addr own;

    if (c->conf->send_proxy == CHECK_PROXY_V2) {
        strbuf_add(out, header, proxy_write(PROXY_V2, NULL, NULL, header));
    } else if (c->conf->send_proxy == CHECK_PROXY_V1 &&
               io_local_name(c->loop->io, c->fd, &ss, &len) == 0) {
        addr_from_sockaddr(&own, (struct sockaddr *)&ss, len);
        strbuf_add(out, header, proxy_write(PROXY_V1, &own, &c->addr, header));
    }
}

static void on_connect(struct op *op, int res)
{
    struct check *c = container_of(op, struct check, op);
    struct strbuf out = {0};

    if (res < 0 || over(c)) {
        fail(c, res);
        return;
    }
    c->connected = true;
    add_preface(c, &out);
    kind(c)->request(c, &out);
    c->out = out.p;
    c->out_len = out.len;
    if (c->out_len == 0) {
        if (judged(c, false))
            finish(c);
        else
            receive(c);
        return;
    }
    op_init(&c->op, on_sent);
    io_send(c->loop->io, &c->op, c->fd, c->out, c->out_len);
}

void check_init(struct check *c, struct loop *loop, const struct checker_pool_conf *conf,
                check_done_fn *done)
{
    memset(c, 0, sizeof(*c));
    c->loop = loop;
    c->conf = conf;
    c->done = done;
    c->fd = -1;
    timer_init(&c->timeout, on_timeout);
}

/* No socket to be had: told from the loop, like every other end. */
static void on_no_socket(struct timer *t)
{
    struct check *c = container_of(t, struct check, timeout);

    t->fn = on_timeout;
    fail(c, c->op.res);
}

void check_start(struct check *c, const struct addr *backend)
{
    static const struct io_sock_opts opts = {.nodelay = true};
    const struct health_conf *h = &c->conf->health;

    sl_assert(!c->running);
    c->running = true;
    c->timed_out = c->cancelled = c->connected = false;
    c->in_len = c->in_cap = c->out_len = 0;
    c->started_us = loop_now_us(c->loop);
    c->outcome = (struct check_outcome){0};
    c->addr = h->address.len > 0 ? h->address : *backend;
    if (h->port != 0)
        addr_set_port(&c->addr, h->port);
    op_init(&c->op, on_connect);
    c->fd = io_socket(c->loop->io, addr_family(&c->addr), &opts);
    if (c->fd < 0) {
        c->op.res = c->fd;
        c->timeout.fn = on_no_socket;
        timer_start(&c->loop->timers, &c->timeout, loop_now_ms(c->loop) + 1);
        return;
    }
    timer_start(&c->loop->timers, &c->timeout, loop_now_ms(c->loop) + h->timeout_ms);
    io_connect(c->loop->io, &c->op, c->fd, &c->addr.sa, c->addr.len);
}

void check_cancel(struct check *c)
{
    if (!c->running)
        return;
    c->cancelled = true;
    io_cancel(c->loop->io, &c->op);
    if (!c->op.armed && c->fd < 0) /* only waits to tell that it has no socket */
        finish(c);
}
