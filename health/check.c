/* check.c - see check.h. All I/O starts in enter(); completions judge what came and enter the next
 * state, or end(). Whatever decides a run first counts; what is still armed then is cancelled and
 * joined before the socket is closed. */
#include "health/check.h"

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

const struct check_kind *check_kind_of(enum check_type type)
{
    switch (type) {
    case CHECK_TYPE_TCP:
        return &check_kind_tcp;
    case CHECK_TYPE_TLS:
        return &check_kind_tls;
    case CHECK_TYPE_HTTP:
        return &check_kind_http;
    case CHECK_TYPE_FASTCGI:
        return &check_kind_fastcgi;
    case CHECK_TYPE_UWSGI:
        return &check_kind_uwsgi;
    case CHECK_TYPE_SCGI:
        return &check_kind_scgi;
    case CHECK_TYPE_POSTGRES:
        return &check_kind_postgres;
    case CHECK_TYPE_MYSQL:
        return &check_kind_mysql;
    case CHECK_TYPE_REDIS:
        return &check_kind_redis;
    case CHECK_TYPE_SMTP:
        return &check_kind_smtp;
    case CHECK_TYPE_UDP:
        return &check_kind_udp;
    case CHECK_TYPE_DNS:
        return &check_kind_dns;
    case CHECK_TYPE_GRPC:
        return &check_kind_grpc;
    case CHECK_TYPE_EXEC:
        return &check_kind_exec;
    case CHECK_TYPE_AGENT:
        return &check_kind_agent;
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
static void failed(struct check *ck, int error);

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
        failed(ck, ENOMEM);
        return;
    }
    strbuf_fini(&ck->out);
    stream_read(s, meanwhile);
    stream_flush(s);
}

static bool elsewhere(const struct check *ck)
{
    return ck->conf->health.address.len > 0 || ck->conf->health.port != 0;
}

/* Like those who connect for clients; a place of the checks' own may speak either. */
static struct str offer_of(const struct check *ck)
{
    bool http = ck->kind == &check_kind_http, h2 = ck->conf->speaks == CHECK_SPEAKS_HTTP2;

    if (ck->kind == &check_kind_grpc)
        return STR("\x02h2");
    if (ck->kind == &check_kind_postgres && ck->conf->health.tls->n_alpn == 0)
        return STR("\x0apostgresql"); /* 17 insists on it where TLS begins at once */
    if (ck->conf->health.tls->n_alpn > 0)
        return STR(""); /* as the configuration says */
    if (h2)
        return http && elsewhere(ck) ? STR("\x02h2\x08http/1.1") : STR("\x02h2");
    return http || ck->conf->speaks == CHECK_SPEAKS_HTTP1 ? STR("\x08http/1.1") : STR("");
}

static struct str name_of(const struct check *ck, char buf[static ADDR_TEXT_MAX])
{
    if (ck->conf->host != NULL)
        return str_of(ck->conf->host);
    return addr_family(&ck->addr) == AF_UNIX ? STR("localhost")
                                             : str_of(addr_format_host(&ck->addr, buf));
}

static void begin_handshake(struct check *ck)
{
    struct tls_client *t = ck->conf->tls != NULL ? *ck->conf->tls : NULL;
    char buf[ADDR_TEXT_MAX];

    ck->was_sent = true;
    ck->stream.tell_sent = false;
    /* No session is resumed: the certificate is to be seen as it is now. */
    if (t == NULL ||
        !stream_tls_connect(&ck->stream, t, TLS_NO_MEMBER, name_of(ck, buf), offer_of(ck)))
        failed(ck, ENOMEM);
    else
        stream_read(&ck->stream, STREAM_READ);
}

static void enter(struct check *ck, enum check_state next)
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
        begin_handshake(ck);
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
static void end(struct check *ck)
{
    sl_assert(ck->decided && ck->state != CHECK_ENDED);
    enter(ck, CHECK_CLOSING);
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
        end(ck);
    if (ck->decided)
        return;
    format_timeout(ck->conf->health.timeout_ms, limit);
    if (check_type_is_dgram(ck->conf->health.type)) { /* nobody knows how far it came */
        check_say(ck, CHECK_FAILED, CHECK_L7TOUT, 0, "no answer within %s", limit);
        end(ck);
        return;
    }
    if (ck->kind == &check_kind_exec) {
        check_say(ck, CHECK_FAILED, CHECK_PROCTOUT, 0, "the program did not end within %s", limit);
        end(ck);
        return;
    }
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
    end(ck);
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
        end(ck);
        return;
    }
    enter(ck, CHECK_RECEIVING);
    receive(ck);
}

static bool speaks_h2(const struct check *ck)
{
    if (stream_is_tls(&ck->stream))
        return str_eq(stream_tls_alpn(&ck->stream), STR("h2"));
    return ck->conf->speaks == CHECK_SPEAKS_HTTP2 && !elsewhere(ck);
}

static void converse(struct check *ck)
{
    if (ck->kind == &check_kind_http && speaks_h2(ck))
        ck->kind = &check_kind_http2;
    ck->kind->request(ck, &ck->out);
    if (ck->out.len > 0)
        enter(ck, CHECK_SENDING);
    else
        sent(ck);
}

static bool agrees(struct check *ck)
{
    bool wanted = ck->conf->speaks == CHECK_SPEAKS_HTTP2 && !elsewhere(ck);

    if (!wanted || str_eq(stream_tls_alpn(&ck->stream), STR("h2")))
        return true;
    check_say(ck, CHECK_FAILED, CHECK_L6RSP, 0, "tls: does not agree on h2");
    end(ck);
    return false;
}

/* In words of its own, before the handshake; where connections are encrypted, as they are. */
static bool asks_for_tls(const struct check *ck)
{
    const struct health_conf *h = &ck->conf->health;

    return h->starttls && h->own_tls && ck->kind->ask_tls != NULL && !ck->asked;
}

static void connected(struct check *ck)
{
    enum check_state next = CHECK_SECURING;

    stream_open(&ck->stream, ck->streams, ck->fd, on_event);
    ck->opened = true;
    add_proxy_header(ck);
    if (ck->conf->health.tls == NULL) {
        converse(ck);
        return;
    }
    if (asks_for_tls(ck)) {
        ck->kind->ask_tls(ck, &ck->out);
        next = CHECK_ASKING;
    }
    enter(ck, ck->out.len > 0 ? CHECK_PREFACE : next);
}

static void on_connect(struct op *op, int res)
{
    struct check *ck = container_of(op, struct check, connect);

    CHECK_MAGIC(ck, CHECK_MAGIC_WORD);
    if (ck->decided)
        ended(ck);
    else if (res == -EAGAIN)
        enter(ck, CHECK_BACKLOG);
    else if (res < 0)
        failed(ck, -res);
    else
        connected(ck);
}

static void on_again(struct timer *t)
{
    enter(container_of(t, struct check, again), CHECK_CONNECTING);
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
            end(ck);
    } else if (ck->kind->answer(ck, data)) {
        if (ck->kind->rest == NULL || ck->complete)
            end(ck);
        else
            enter(ck, CHECK_DRAINING);
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
        end(ck);
    } else if (s->error != 0) {
        failed(ck, -s->error);
    } else {
        ck->kind->ended(ck);
        end(ck);
    }
}

/* The handshake is next. What came in clear behind the answer would be taken for what came over
 * TLS: somebody between may have put it there. */
static void secure(struct check *ck)
{
    if (ck->stream.in != NULL || ck->at < ck->seen.len) {
        check_say(ck, CHECK_FAILED, CHECK_L6RSP, 0, "%s: goes on in clear where TLS should begin",
                  ck->kind->name);
        end(ck);
        return;
    }
    strbuf_fini(&ck->seen);
    ck->at = 0;
    ck->asked = true;
    enter(ck, ck->out.len > 0 || !stream_sent_all(&ck->stream) ? CHECK_PREFACE : CHECK_SECURING);
}

static void on_asking(struct check *ck)
{
    struct stream *s = &ck->stream;
    bool over = false;

    while (s->in != NULL && !over) {
        uint32_t n = s->in->len;
        over = ck->kind->tls_answer(ck, (struct str){(char *)s->in->data, n}, &ck->out);
        stream_consume(s, n);
    }
    if (ck->decided) {
        enter(ck, ck->kind->rest == NULL || ck->complete ? CHECK_CLOSING : CHECK_DRAINING);
    } else if (over) {
        secure(ck);
    } else if (s->error != 0) {
        failed(ck, -s->error);
    } else if (s->eof) {
        ck->kind->ended(ck);
        end(ck);
    }
}

static void on_handshake(struct check *ck)
{
    const struct stream *s = &ck->stream;

    if (s->error != 0 || s->tx_dead)
        failed(ck, s->error != 0 ? -s->error : -s->tx_error);
    else if (stream_tls_ready(s) && agrees(ck))
        converse(ck);
    else if (ck->decided)
        return;
    else if (s->eof)
        failed(ck, ECONNRESET);
}

static void on_sent(struct check *ck)
{
    const struct stream *s = &ck->stream;

    if (s->tx_dead)
        failed(ck, -s->tx_error);
    else if (!stream_sent_all(s))
        return;
    else if (ck->state == CHECK_PREFACE)
        enter(ck, asks_for_tls(ck) ? CHECK_ASKING : CHECK_SECURING);
    else
        sent(ck);
}

static void on_event(struct stream *s)
{
    struct check *ck = container_of(s, struct check, stream);

    CHECK_MAGIC(ck, CHECK_MAGIC_WORD);
    if (ck->state == CHECK_ASKING)
        on_asking(ck);
    else if (ck->state == CHECK_SECURING)
        on_handshake(ck);
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
        end(ck);
        return;
    }
    ck->fd = fd;
    timer_start(&ck->loop->timers, &ck->deadline,
                loop_now_ms(ck->loop) + ck->conf->health.timeout_ms);
    stream_open(&ck->stream, ck->streams, fd, on_event);
    ck->opened = true;
    converse(ck);
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
