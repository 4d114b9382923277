/* check.c - see check.h. All I/O starts in enter(); completions judge what came and enter the next
 * state, or end(). Whatever decides a run first counts; an operation that is still armed then is
 * cancelled and joined before the socket is closed. */
#include "health/check.h"

#include "lb/net/addr.h"
#include "lb/net/proxy_proto.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CHECK_MAGIC_WORD 0xc4ec4001u
#define BACKLOG_MS       20 /* how often a full backlog is tried: often enough for any timeout */
/* How long the rest of an answer is waited for. Closing with bytes unread resets the connection,
 * which many a backend reports as an error of its client's. */
#define DRAIN_MS         100

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

/* What a timeout means in each state. */
static const struct {
    enum check_result result;
    const char *text; /* the timeout follows */
} timeouts[] = {
    [CHECK_CONNECTING] = {CHECK_L4TOUT, "no answer within"},
    [CHECK_BACKLOG] = {CHECK_L4TOUT, "its backlog was full for"},
    [CHECK_SENDING] = {CHECK_L7TOUT, "connected, but nothing could be sent within"},
    [CHECK_RECEIVING] = {CHECK_L7TOUT, "connected, but no answer within"},
};

/* ---- words ---- */

void check_say(struct check *ck, enum check_end end, enum check_result result, uint32_t code,
               const char *fmt, ...)
{
    struct check_outcome *o = &ck->outcome;
    va_list ap;

    sl_assert(!ck->decided);
    ck->decided = true;
    o->end = end;
    o->result = result;
    o->code = code;
    o->duration_us = (uint32_t)(loop_now_us(ck->loop) - ck->started_us);
    va_start(ap, fmt);
    vsnprintf(o->desc, sizeof(o->desc), fmt, ap);
    va_end(ap);
}

const char *check_quote(struct str s, char buf[static CHECK_QUOTE_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = isprint(c) && c < 0x80 && c != '"' && c != '\\';
        if (n + 4 + sizeof("...") > CHECK_QUOTE_MAX) {
            n += (size_t)sprintf(buf + n, "...");
            break;
        }
        n += (size_t)sprintf(buf + n, plain ? "%c" : c == '"' || c == '\\' ? "\\%c" : "\\x%02x", c);
    }
    buf[n] = '\0';
    return buf;
}

static const char *format_timeout(uint32_t ms, char buf[static 24])
{
    if (ms % 1000 == 0)
        snprintf(buf, 24, "%us", ms / 1000);
    else if (ms < 1000)
        snprintf(buf, 24, "%ums", ms);
    else
        snprintf(buf, 24, "%u.%03us", ms / 1000, ms % 1000);
    return buf;
}

const char *check_error_text(int error, char buf[static CHECK_ERROR_MAX])
{
    const char *text = error == ENOENT ? "no such socket" : strerrordesc_np(error);

    snprintf(buf, CHECK_ERROR_MAX, "%s", text != NULL ? text : "unknown error");
    buf[0] = (char)tolower((unsigned char)buf[0]);
    return buf;
}

/* Says nothing about the backend: marking all backends down because we are out of descriptors would
 * turn a shortage into an outage. */
static bool shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
           error == EADDRNOTAVAIL;
}

/* ---- states ---- */

static void on_connect(struct op *op, int res);
static void on_sent(struct op *op, int res);
static void on_received(struct op *op, int res);

/* A socket that only ever connected is reset: closing it would leave a TIME_WAIT behind for every
 * check. Once bytes were sent a reset might take them away before they are read. */
static void close_socket(struct check *ck)
{
    if (ck->fd < 0)
        return;
    if (ck->outcome.end == CHECK_PASSED && !ck->was_sent)
        io_reset(ck->loop->io, ck->fd);
    else
        io_close(ck->loop->io, ck->fd);
    ck->fd = -1;
}

static void enter(struct check *ck, enum check_state next)
{
    struct loop *l = ck->loop;

    sl_assert(!ck->op.armed);
    ck->state = next;
    switch (next) {
    case CHECK_CONNECTING:
        op_init(&ck->op, on_connect);
        io_connect(l->io, &ck->op, ck->fd, &ck->addr.sa, ck->addr.len);
        return;
    case CHECK_BACKLOG:
        timer_start(&l->timers, &ck->again, loop_now_ms(l) + BACKLOG_MS);
        return;
    case CHECK_SENDING:
        ck->was_sent = true;
        op_init(&ck->op, on_sent);
        io_send(l->io, &ck->op, ck->fd, ck->out.p, ck->out.len);
        return;
    case CHECK_DRAINING:
    case CHECK_RECEIVING:
        op_init(&ck->op, on_received);
        io_recv_into(l->io, &ck->op, ck->fd, ck->in, sizeof(ck->in));
        return;
    case CHECK_ENDED:
        timer_stop(&l->timers, &ck->deadline);
        timer_stop(&l->timers, &ck->again);
        close_socket(ck);
        loop_defer(l, &ck->finish);
        return;
    case CHECK_IDLE:
        break;
    }
    sl_assert(!"no way back to idle");
}

/* It is decided: ends, at once or when what is armed has come back. */
static void end(struct check *ck)
{
    sl_assert(ck->decided && ck->state != CHECK_ENDED);
    if (ck->op.armed)
        io_cancel(ck->loop->io, &ck->op);
    else
        enter(ck, CHECK_ENDED);
}

static void on_finish(struct loop_task *task)
{
    struct check *ck = container_of(task, struct check, finish);

    CHECK_MAGIC(ck, CHECK_MAGIC_WORD);
    strbuf_fini(&ck->out);
    strbuf_fini(&ck->seen);
    ck->state = CHECK_IDLE;
    ck->magic = 0;
    ck->done(ck, &ck->outcome); /* the owner may free it */
}

static void on_deadline(struct timer *t)
{
    struct check *ck = container_of(t, struct check, deadline);
    char limit[24];

    if (ck->state == CHECK_DRAINING)
        end(ck);
    if (ck->decided)
        return;
    format_timeout(ck->conf->health.timeout_ms, limit);
    bool begun = ck->seen.len > 0 || ck->http.line_len > 0 || ck->http.status != 0;
    if (ck->state == CHECK_RECEIVING && begun)
        check_say(ck, CHECK_FAILED, CHECK_L7TOUT, ck->http.status,
                  "the answer was not complete within %s", limit);
    else
        check_say(ck, CHECK_FAILED, timeouts[ck->state].result, 0, "%s %s",
                  timeouts[ck->state].text, limit);
    end(ck);
}

static void failed(struct check *ck, int error)
{
    char buf[CHECK_ERROR_MAX];

    if (shortage(error))
        check_say(ck, CHECK_UNABLE, CHECK_SOCKERR, (uint32_t)error, "%s",
                  check_error_text(error, buf));
    else if (ck->state == CHECK_CONNECTING)
        check_say(ck, CHECK_FAILED, CHECK_L4CON, (uint32_t)error, "%s",
                  check_error_text(error, buf));
    else
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, (uint32_t)error, "connected, then: %s",
                  check_error_text(error, buf));
    end(ck);
}

/* ---- the conversation ---- */

/* Where traffic begins with a PROXY header, so must a check. v2 has LOCAL for that; v1 has only
 * UNKNOWN, which some refuse, so it carries our own address. */
static void add_proxy_header(struct check *ck)
{
    uint8_t header[PROXY_WRITE_MAX];
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct addr own;

    if (ck->conf->send_proxy == CHECK_PROXY_V2) {
        strbuf_add(&ck->out, header, proxy_write(PROXY_V2, NULL, NULL, header));
    } else if (ck->conf->send_proxy == CHECK_PROXY_V1) {
        bool known = io_local_name(ck->loop->io, ck->fd, &ss, &len) == 0;
        if (known)
            addr_from_sockaddr(&own, (struct sockaddr *)&ss, len);
        strbuf_add(&ck->out, header,
                   proxy_write(PROXY_V1, known ? &own : NULL, known ? &ck->addr : NULL, header));
    }
}

static void sent(struct check *ck)
{
    if (ck->kind->sent(ck))
        end(ck);
    else
        enter(ck, CHECK_RECEIVING);
}

static void on_connect(struct op *op, int res)
{
    struct check *ck = container_of(op, struct check, op);

    CHECK_MAGIC(ck, CHECK_MAGIC_WORD);
    if (ck->decided) {
        enter(ck, CHECK_ENDED);
    } else if (res == -EAGAIN) {
        enter(ck, CHECK_BACKLOG);
    } else if (res < 0) {
        failed(ck, -res);
    } else {
        add_proxy_header(ck);
        ck->kind->request(ck, &ck->out);
        if (ck->out.len > 0)
            enter(ck, CHECK_SENDING);
        else
            sent(ck);
    }
}

static void on_again(struct timer *t)
{
    enter(container_of(t, struct check, again), CHECK_CONNECTING);
}

static void on_sent(struct op *op, int res)
{
    struct check *ck = container_of(op, struct check, op);

    CHECK_MAGIC(ck, CHECK_MAGIC_WORD);
    if (ck->decided)
        enter(ck, CHECK_ENDED);
    else if (res < 0)
        failed(ck, -res);
    else
        sent(ck);
}

static void begin_drain(struct check *ck)
{
    struct loop *l = ck->loop;

    timer_start(&l->timers, &ck->deadline, loop_now_ms(l) + DRAIN_MS);
    enter(ck, CHECK_DRAINING);
}

/* False: that was all, or enough. */
static bool drain(struct check *ck, int res)
{
    if (ck->state != CHECK_DRAINING || res <= 0)
        return false;
    ck->drained += (uint32_t)res;
    return ck->drained < LIMIT_CHECK_BODY && !ck->kind->rest(ck, (struct str){ck->in, (size_t)res});
}

static void on_received(struct op *op, int res)
{
    struct check *ck = container_of(op, struct check, op);

    CHECK_MAGIC(ck, CHECK_MAGIC_WORD);
    if (ck->decided) {
        enter(ck, drain(ck, res) ? CHECK_DRAINING : CHECK_ENDED);
    } else if (res < 0) {
        failed(ck, -res);
    } else if (res == 0) {
        ck->kind->ended(ck);
        end(ck);
    } else if (!ck->kind->answer(ck, (struct str){ck->in, (size_t)res})) {
        enter(ck, CHECK_RECEIVING);
    } else if (ck->kind->rest == NULL || ck->complete) {
        end(ck);
    } else {
        begin_drain(ck);
    }
}

bool check_seen_all(const struct check *ck)
{
    return ck->seen.len >= LIMIT_CHECK_BODY;
}

bool check_find(struct check *ck, struct str data, struct str needle)
{
    /* The part before `from` was searched already; a match may begin in its last bytes. */
    size_t from = ck->seen.len < needle.len ? 0 : ck->seen.len - needle.len + 1;
    size_t room = LIMIT_CHECK_BODY - ck->seen.len;

    strbuf_add(&ck->seen, data.p, data.len < room ? data.len : room);
    struct str rest = {ck->seen.p + from, ck->seen.len - from};
    return needle.len == 0 || memmem(rest.p, rest.len, needle.p, needle.len) != NULL;
}

/* ---- start and cancel ---- */

void check_start(struct check *ck, struct loop *loop, const struct checker_pool_conf *conf,
                 const struct addr *backend, check_done_fn *done, void *owner)
{
    static const struct io_sock_opts opts = {.nodelay = true};
    const struct health_conf *h = &conf->health;

    sl_assert(ck->state == CHECK_IDLE && ck->magic == 0);
    ck->magic = CHECK_MAGIC_WORD;
    ck->loop = loop;
    ck->conf = conf;
    ck->kind = check_kind_of(h->type);
    ck->done = done;
    ck->owner = owner;
    ck->addr = h->address.len > 0 ? h->address : *backend;
    if (h->port != 0 && addr_family(&ck->addr) != AF_UNIX)
        addr_set_port(&ck->addr, h->port);
    op_init(&ck->op, on_connect);
    timer_init(&ck->deadline, on_deadline);
    timer_init(&ck->again, on_again);
    list_init(&ck->finish.node);
    ck->finish.fn = on_finish;
    ck->decided = ck->complete = ck->was_sent = false;
    ck->drained = 0;
    ck->started_us = loop_now_us(loop);
    ck->outcome = (struct check_outcome){.end = CHECK_CANCELLED};
    check_http_init(&ck->http, false);
    ck->state = CHECK_CONNECTING;
    ck->fd = io_socket(loop->io, addr_family(&ck->addr), &opts);
    if (ck->fd < 0) {
        failed(ck, -ck->fd);
        return;
    }
    timer_start(&loop->timers, &ck->deadline, loop_now_ms(loop) + h->timeout_ms);
    enter(ck, CHECK_CONNECTING);
}

void check_cancel(struct check *ck)
{
    CHECK_MAGIC(ck, CHECK_MAGIC_WORD);
    if (ck->state == CHECK_DRAINING)
        end(ck);
    if (ck->decided)
        return;
    check_say(ck, CHECK_CANCELLED, CHECK_NONE, 0, "cancelled");
    end(ck);
}
