/* http_prologue.c - what comes before HTTP on a client's connection: the PROXY header and the TLS
 * handshake, where the listener has them; then who speaks next is chosen. */
#include "lb/base/log.h"
#include "lb/net/proxy_proto.h"
#include "lb/net/stream_tls.h"
#include "lb/proxy/http_session.h"
#include "lb/proxy/proxy_priv.h"
#include "lb/proxy/tls_contexts.h"

enum prologue {
    PROXY_HEADER, /* is awaited */
    HELLO,        /* the first byte of a ClientHello is awaited */
    HANDSHAKE,
};

static const char *const state_names[] = {
    [PROXY_HEADER] = "proxy-header",
    [HELLO] = "handshake",
    [HANDSHAKE] = "handshake",
};

static struct listener_counters *row_of(const struct http_session *s)
{
    return &s->base.listener->stats->rows[s->base.proxy->worker];
}

/* ---- TLS ---- */

/* An exchange that only says in the log what went wrong. */
static void fail(struct http_session *s, const char *reason, enum session_end why)
{
    counter_add(&row_of(s)->tls_failures, 1);
    log_debug("listener %s: TLS handshake failed: %s", s->base.listener->conf->name,
              why == END_TLS_TIMEOUT ? reason : stream_tls_reason(&s->stream));
    http_session_switch(s, &h1_protocol);
    h1_refuse(s, 0, reason, why);
}

static void read_handshake(struct http_session *s)
{
    struct stream *t = &s->stream;

    if (t->error != 0 || t->tx_dead || (t->eof && t->in == NULL)) {
        fail(s, "tls-handshake", END_TLS_FAILED);
        return;
    }
    if (!stream_tls_ready(t) && !stream_tls_early(t))
        return;
    counter_add(&row_of(s)->tls_handshakes, 1);
    counter_add(&row_of(s)->tls_resumed, stream_tls_resumed(t));
    bool h2 = str_eq_cstr(stream_tls_alpn(t), "h2");
    http_session_switch(s, h2 ? &h2_protocol : &h1_protocol);
}

/* No memory of OpenSSL's is spent on clients that say nothing. */
static void read_hello(struct http_session *s)
{
    struct stream *t = &s->stream;
    struct tls_server *server = proxy_tls_server(s->base.proxy, s->base.listener);

    if (t->in == NULL) {
        if (t->eof || t->error != 0)
            http_session_close(s, t->error != 0);
        return;
    }
    if (t->in->data[0] >= 'A' && t->in->data[0] <= 'Z') { /* no record of TLS begins so */
        http_session_switch(s, &h1_protocol);
        h1_refuse(s, 400, HTTP_REASON_PLAIN, END_BAD_REQUEST);
        return;
    }
    s->prologue.state = HANDSHAKE;
    if (server == NULL || !stream_tls_accept(t, server)) {
        counter_add(&s->base.proxy->counters->memory_refused, 1);
        http_session_close(s, true);
        return;
    }
    stream_read(t, STREAM_READ);
}

static void begin_tls(struct http_session *s)
{
    s->prologue.state = HELLO;
    http_session_deadline(s, s->base.listener->conf->handshake_timeout_ms);
    stream_read(&s->stream, STREAM_READ);
    http_session_again(s);
}

/* ---- the PROXY header ---- */

static void go_on(struct http_session *s)
{
    if (s->base.listener->conf->tls != NULL)
        begin_tls(s);
    else
        http_session_switch(s, &h1_protocol);
}

static void read_proxy_header(struct http_session *s)
{
    struct stream *t = &s->stream;
    uint32_t n = t->in_bytes < LIMIT_PROXY_V2_BYTES ? t->in_bytes : LIMIT_PROXY_V2_BYTES;
    struct proxy_header h;

    if (n == 0 || !stream_gather_front(t, n)) {
        if (n > 0 || t->eof || t->error != 0)
            http_session_close(s, t->error != 0);
        return;
    }
    enum proxy_result r = proxy_parse(t->in->data, n, s->base.listener->conf->proxy_protocol, &h);
    if (r == PROXY_MORE && !t->eof)
        return;
    if (r != PROXY_DONE) {
        session_note_refused(&s->base, "PROXY header: ", proxy_result_text(r));
        counter_add(&row_of(s)->bad_requests, 1);
        http_session_close(s, true);
        return;
    }
    if (!h.local) {
        peer_set(&s->base.client, &h.src);
        peer_set(&s->base.dst, &h.dst);
        s->base.local_port = addr_port(&h.dst);
    }
    stream_consume(t, (uint32_t)h.header_len);
    if (session_admit_source(&s->base, t->fd)) {
        go_on(s);
        return;
    }
    counter_add(&row_of(s)->denied, 1);
    session_note_refused(&s->base, "", SESSION_SOURCE_FULL);
    http_session_close(s, true);
}

/* ---- the protocol ---- */

static void begin(struct http_session *s)
{
    if (!session_expects_proxy_header(&s->base, s->stream.fd)) {
        go_on(s);
        return;
    }
    s->prologue.state = PROXY_HEADER;
    http_session_deadline(s, s->base.listener->conf->handshake_timeout_ms);
    stream_read(&s->stream, STREAM_READ);
}

static void run(struct http_session *s)
{
    switch ((enum prologue)s->prologue.state) {
    case PROXY_HEADER:
        read_proxy_header(s);
        break;
    case HELLO:
        read_hello(s);
        break;
    case HANDSHAKE:
        read_handshake(s);
        break;
    }
}

static void timeout(struct http_session *s)
{
    if (s->prologue.state == HANDSHAKE)
        fail(s, "tls-timeout", END_TLS_TIMEOUT);
    else
        http_session_close(s, true);
}

static void drain(struct http_session *s)
{
    if (s->prologue.state != HANDSHAKE && s->stream.in == NULL)
        http_session_deadline(s, HTTP_DRAIN_IDLE_MS);
}

static void view(struct http_session *s, struct proxy_session_view *out)
{
    out->state = state_names[s->prologue.state];
}

const struct http_protocol http_prologue = {
    .begin = begin,
    .run = run,
    .timeout = timeout,
    .drain = drain,
    .view = view,
};
