/* check.c - see check.h. All I/O starts in check_enter(); completions judge what came and enter the
 * next state, or check_finish(). Whatever decides a run first counts; what is still armed then is
 * cancelled and joined before the socket is closed. */
#include "health/check_priv.h"

#include "lb/net/addr.h"
#include "lb/net/proxy_proto.h"
#include "lb/net/stream_tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CHECK_MAGIC_WORD 0xc4ec4001u
#define BACKLOG_MS       20 /* how often a full backlog is tried: often enough for any timeout */
/* How long the rest of an answer is waited for. Closing with bytes unread resets the connection,
 * which many a backend reports as an error of its client's. */
#define DRAIN_MS         100

/* What a timeout means in each state. */
static const struct {
    enum check_result result;
    const char *text; /* the timeout follows */
} timeouts[] = {
    [CHECK_CONNECTING] = {CHECK_L4TOUT, "no answer within"},
    [CHECK_BACKLOG] = {CHECK_L4TOUT, "its backlog was full for"},
    [CHECK_PREFACE] = {CHECK_L6TOUT, "connected, but nothing could be sent within"},
    [CHECK_ASKING] = {CHECK_L6TOUT, "connected, but TLS was not agreed on within"},
    [CHECK_SECURING] = {CHECK_L6TOUT, "connected, but no TLS handshake within"},
    [CHECK_SENDING] = {CHECK_L7TOUT, "connected, but nothing could be sent within"},
    [CHECK_RECEIVING] = {CHECK_L7TOUT, "connected, but no answer within"},
};

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

/* Says nothing about the backend: marking all backends down because we are out of descriptors would
 * turn a shortage into an outage. */
static bool shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
           error == EADDRNOTAVAIL;
}

/* ---- states ---- */

static void on_connect(struct op *op, int res);
static void on_event(struct stream *s);

/* A socket that only ever connected is reset: closing it would leave a TIME_WAIT behind for every
 * check. Once bytes were sent a reset might take them away before they are read. */
static void close_socket(struct check *ck)
{
    bool reset = ck->outcome.end == CHECK_PASSED && !ck->was_sent;

    if (ck->opened)
        stream_close(&ck->stream, reset);
    else if (ck->fd >= 0)
        io_close(ck->loop->io, ck->fd);
    ck->opened = false;
    ck->fd = -1;
}

/* Nothing is armed any more. */
static void ended(struct check *ck)
{
    struct loop *l = ck->loop;

    ck->state = CHECK_ENDED;
    timer_stop(&l->timers, &ck->deadline);
    timer_stop(&l->timers, &ck->again);
    close_socket(ck);
    loop_defer(l, &ck->finish);
}

/* Nothing in `out`: waits for what was queued before. */
static void begin_sending(struct check *ck, enum stream_read meanwhile)
{
    struct stream *s = &ck->stream;

    ck->was_sent = s->tell_sent = true;
    if (ck->out.len > 0 && !stream_write(s, ck->out.p, (uint32_t)ck->out.len)) {
        check_failed(ck, ENOMEM);
        return;
    }
    strbuf_fini(&ck->out);
    stream_read(s, meanwhile);
    stream_flush(s);
}

void check_enter(struct check *ck, enum check_state next)
{
    struct loop *l = ck->loop;

    sl_assert(!ck->connect.armed || next == CHECK_CLOSING);
    ck->state = next;
    switch (next) {
    case CHECK_CONNECTING:
        io_connect(l->io, &ck->connect, ck->fd, &ck->addr.sa, ck->addr.len);
        return;
    case CHECK_BACKLOG:
        timer_start(&l->timers, &ck->again, loop_now_ms(l) + BACKLOG_MS);
        return;
    case CHECK_PREFACE:
        begin_sending(ck, STREAM_QUIET);
        return;
    case CHECK_ASKING:
        ck->stream.tell_sent = false;
        stream_read(&ck->stream, STREAM_READ);
        return;
    case CHECK_SECURING:
        check_handshake_begin(ck);
        return;
    case CHECK_SENDING:
        begin_sending(ck, stream_is_tls(&ck->stream) ? STREAM_READ : STREAM_QUIET);
        return;
    case CHECK_RECEIVING:
        stream_read(&ck->stream, STREAM_READ);
        return;
    case CHECK_DRAINING:
        timer_start(&l->timers, &ck->deadline, loop_now_ms(l) + DRAIN_MS);
        return;
    case CHECK_CLOSING:
        io_cancel(l->io, &ck->connect);
        if (ck->opened)
            stream_stop(&ck->stream);
        if (!ck->connect.armed && (!ck->opened || stream_idle(&ck->stream)))
            ended(ck);
        return;
    case CHECK_ENDED:
    case CHECK_IDLE:
        break;
    }
    sl_assert(!"entered by ended() and on_finish() only");
}

/* It is decided: ends, at once or when what is armed has come back. */
void check_finish(struct check *ck)
{
    sl_assert(ck->decided && ck->state != CHECK_ENDED);
    check_enter(ck, CHECK_CLOSING);
}

static void on_finish(struct loop_task *task)
{
    struct check *ck = container_of(task, struct check, finish);

    CHECK_MAGIC(ck, CHECK_MAGIC_WORD);
    strbuf_fini(&ck->out);
    strbuf_fini(&ck->seen);
    if (ck->kind->fini != NULL)
        ck->kind->fini(ck);
    ck->state = CHECK_IDLE;
    ck->magic = 0;
    ck->done(ck, &ck->outcome); /* the owner may free it */
}

static void on_deadline(struct timer *t)
{
    struct check *ck = container_of(t, struct check, deadline);
    char limit[24];

    if (ck->state == CHECK_DRAINING)
        check_finish(ck);
    if (ck->decided)
        return;
    format_timeout(ck->conf->health.timeout_ms, limit);
    if (check_type_is_dgram(ck->conf->health.type)) { /* nobody knows how far it came */
        check_say(ck, CHECK_FAILED, CHECK_L7TOUT, 0, "no answer within %s", limit);
        check_finish(ck);
        return;
    }
    if (ck->kind == &check_kind_exec) {
        check_say(ck, CHECK_FAILED, CHECK_PROCTOUT, 0, "the program did not end within %s", limit);
        check_finish(ck);
        return;
    }
    bool begun = ck->seen.len > 0 || ck->http.line_len > 0 || ck->http.status != 0;
    if (ck->state == CHECK_RECEIVING && begun)
        check_say(ck, CHECK_FAILED, CHECK_L7TOUT, ck->http.status,
                  "the answer was not complete within %s", limit);
    else
        check_say(ck, CHECK_FAILED, timeouts[ck->state].result, 0, "%s %s",
                  timeouts[ck->state].text, limit);
    check_finish(ck);
}

void check_failed(struct check *ck, int error)
{
    const char *tls =
        ck->opened && stream_is_tls(&ck->stream) ? stream_tls_reason(&ck->stream) : "";
    char buf[CHECK_ERROR_MAX];
    const char *text = tls[0] != '\0' ? tls : check_error_text(error, buf);

    if (shortage(error))
        check_say(ck, CHECK_UNABLE, CHECK_SOCKERR, (uint32_t)error, "%s", text);
    else if (ck->state == CHECK_CONNECTING || check_type_is_dgram(ck->conf->health.type))
        check_say(ck, CHECK_FAILED, CHECK_L4CON, (uint32_t)error, "%s", text);
    else if (ck->state == CHECK_SECURING || ck->state == CHECK_ASKING)
        check_say(ck, CHECK_FAILED, CHECK_L6RSP, 0, "tls: %s%s", text,
                  tls[0] != '\0'              ? ""
                  : ck->state == CHECK_ASKING ? " when it was asked for"
                                              : " during the handshake");
    else
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, (uint32_t)error, "connected, then: %s%s",
                  tls[0] != '\0' ? "tls: " : "", text);
    check_finish(ck);
}

/* ---- the conversation ---- */

void check_send(struct check *ck, const void *data, size_t len)
{
    ck->was_sent = true;
    if (stream_write(&ck->stream, data, (uint32_t)len))
        stream_flush(&ck->stream);
}

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
        bool known = io_local_name(ck->loop->io, ck->stream.fd, &ss, &len) == 0;
        if (known)
            addr_from_sockaddr(&own, (struct sockaddr *)&ss, len);
        strbuf_add(&ck->out, header,
                   proxy_write(PROXY_V1, known ? &own : NULL, known ? &ck->addr : NULL, header));
    }
}

static void receive(struct check *ck);

static void sent(struct check *ck)
{
    ck->stream.tell_sent = false;
    if (ck->kind->sent(ck)) {
        check_finish(ck);
        return;
    }
    check_enter(ck, CHECK_RECEIVING);
    receive(ck);
}

void check_converse(struct check *ck)
{
    if (ck->kind == &check_kind_http && check_handshake_speaks_h2(ck))
        ck->kind = &check_kind_http2;
    ck->kind->request(ck, &ck->out);
    if (ck->out.len > 0)
        check_enter(ck, CHECK_SENDING);
    else
        sent(ck);
}

static void connected(struct check *ck)
{
    enum check_state next = CHECK_SECURING;

    stream_open(&ck->stream, ck->streams, ck->fd, on_event);
    ck->opened = true;
    add_proxy_header(ck);
    if (ck->conf->health.tls == NULL) {
        check_converse(ck);
        return;
    }
    if (check_handshake_is_asked_for(ck)) {
        ck->kind->ask_tls(ck, &ck->out);
        next = CHECK_ASKING;
    }
    check_enter(ck, ck->out.len > 0 ? CHECK_PREFACE : next);
}

static void on_connect(struct op *op, int res)
{
    struct check *ck = container_of(op, struct check, connect);

    CHECK_MAGIC(ck, CHECK_MAGIC_WORD);
    if (ck->decided)
        ended(ck);
    else if (res == -EAGAIN)
        check_enter(ck, CHECK_BACKLOG);
    else if (res < 0)
        check_failed(ck, -res);
    else
        connected(ck);
}

static void on_again(struct timer *t)
{
    check_enter(container_of(t, struct check, again), CHECK_CONNECTING);
}

/* False: that was all, or enough. */
static bool drain(struct check *ck, struct str data)
{
    ck->drained += (uint32_t)data.len;
    return ck->drained < LIMIT_CHECK_BODY && !ck->kind->rest(ck, data);
}

/* Judges a piece of what came; moves the state where it decides. */
static void judge(struct check *ck, struct str data)
{
    if (ck->state == CHECK_DRAINING) {
        if (!drain(ck, data))
            check_finish(ck);
    } else if (ck->kind->answer(ck, data)) {
        if (ck->kind->rest == NULL || ck->complete)
            check_finish(ck);
        else
            check_enter(ck, CHECK_DRAINING);
    }
}

static bool receiving(const struct check *ck)
{
    return ck->state == CHECK_RECEIVING || ck->state == CHECK_DRAINING;
}

static void receive(struct check *ck)
{
    struct stream *s = &ck->stream;

    while (s->in != NULL) {
        uint32_t n = s->in->len;
        judge(ck, (struct str){(char *)s->in->data, n});
        if (!receiving(ck))
            return;
        stream_consume(s, n);
    }
    if (!s->eof && s->error == 0)
        return;
    if (ck->decided) {
        check_finish(ck);
    } else if (s->error != 0) {
        check_failed(ck, -s->error);
    } else {
        ck->kind->ended(ck);
        check_finish(ck);
    }
}

static void on_sent(struct check *ck)
{
    const struct stream *s = &ck->stream;

    if (s->tx_dead)
        check_failed(ck, -s->tx_error);
    else if (!stream_sent_all(s))
        return;
    else if (ck->state == CHECK_PREFACE)
        check_enter(ck, check_handshake_is_asked_for(ck) ? CHECK_ASKING : CHECK_SECURING);
    else
        sent(ck);
}

static void on_event(struct stream *s)
{
    struct check *ck = container_of(s, struct check, stream);

    CHECK_MAGIC(ck, CHECK_MAGIC_WORD);
    if (ck->state == CHECK_ASKING)
        check_handshake_on_answer(ck);
    else if (ck->state == CHECK_SECURING)
        check_handshake_on_event(ck);
    else if (ck->state == CHECK_PREFACE || ck->state == CHECK_SENDING)
        on_sent(ck);
    else if (receiving(ck))
        receive(ck);
    else if (ck->state == CHECK_CLOSING && stream_idle(s))
        ended(ck);
}

/* ---- start and cancel ---- */

/* A program's word comes over a stream, too. */
static void run_program(struct check *ck)
{
    const struct checker_programs *by = ck->conf->programs;
    int fd =
        by != NULL ? by->run(by->ctx, ck->conf->pool, ck->conf->backend, &ck->addr) : -ENOTCONN;
    char buf[CHECK_ERROR_MAX];

    if (fd == -ENOTCONN)
        check_say(ck, CHECK_UNABLE, CHECK_SOCKERR, 0,
                  "nobody runs programs: hardening.exec takes a restart");
    else if (fd < 0)
        check_say(ck, CHECK_UNABLE, CHECK_SOCKERR, (uint32_t)-fd, "no program can be started: %s",
                  check_error_text(-fd, buf));
    if (fd < 0) {
        check_finish(ck);
        return;
    }
    ck->fd = fd;
    timer_start(&ck->loop->timers, &ck->deadline,
                loop_now_ms(ck->loop) + ck->conf->health.timeout_ms);
    stream_open(&ck->stream, ck->streams, fd, on_event);
    ck->opened = true;
    check_converse(ck);
}

void check_start(struct check *ck, struct stream_env *streams, const struct checker_pool_conf *conf,
                 const struct addr *backend, check_done_fn *done, void *owner)
{
    const struct health_conf *h = &conf->health;
    const struct io_sock_opts opts = {.nodelay = true, .dgram = check_type_is_dgram(h->type)};
    struct loop *loop = streams->loop;

    sl_assert(ck->state == CHECK_IDLE && ck->magic == 0);
    ck->magic = CHECK_MAGIC_WORD;
    ck->loop = loop;
    ck->streams = streams;
    ck->conf = conf;
    ck->kind = check_kind_of(h->type);
    ck->done = done;
    ck->owner = owner;
    ck->addr = h->address.len > 0 ? h->address : *backend;
    if (h->port != 0 && addr_family(&ck->addr) != AF_UNIX)
        addr_set_port(&ck->addr, h->port);
    op_init(&ck->connect, on_connect);
    timer_init(&ck->deadline, on_deadline);
    timer_init(&ck->again, on_again);
    list_init(&ck->finish.node);
    ck->finish.fn = on_finish;
    ck->h2 = NULL;
    ck->opened = ck->decided = ck->complete = ck->was_sent = ck->asked = ck->has_starttls =
        ck->sha2 = false;
    ck->drained = ck->step = 0;
    ck->at = 0;
    ck->started_us = loop_now_us(loop);
    ck->outcome = (struct check_outcome){.end = CHECK_CANCELLED};
    check_http_init(&ck->http, false);
    ck->state = CHECK_CONNECTING;
    ck->fd = -1;
    if (h->type == CHECK_TYPE_EXEC) {
        run_program(ck);
        return;
    }
    ck->fd = io_socket(loop->io, addr_family(&ck->addr), &opts);
    if (ck->fd < 0) {
        check_failed(ck, -ck->fd);
        return;
    }
    timer_start(&loop->timers, &ck->deadline, loop_now_ms(loop) + h->timeout_ms);
    check_enter(ck, CHECK_CONNECTING);
}

void check_cancel(struct check *ck)
{
    CHECK_MAGIC(ck, CHECK_MAGIC_WORD);
    if (ck->state == CHECK_DRAINING)
        check_finish(ck);
    if (ck->decided)
        return;
    check_say(ck, CHECK_CANCELLED, CHECK_NONE, 0, "cancelled");
    check_finish(ck);
}
