/* http_prologue.c - what comes before HTTP on a client's connection: the PROXY header and the TLS
 * handshake, where the listener has them; then who speaks next is chosen. */
#include "lb/base/log.h"
#include "lb/net/proxy_proto.h"
#include "lb/net/stream_tls.h"
#include "lb/proxy/http_session.h"
#include "lb/proxy/proxy_priv.h"

enum prologue {
    PROXY_HEADER, /* is awaited */
    HANDSHAKE,
};

static const char *const state_names[] = {
    [PROXY_HEADER] = "proxy-header",
    [HANDSHAKE] = "handshake",
};

/* ---- TLS ---- */

static void begin_handshake(struct http_session *s)
{
    http_session_close(s, true);
}

static void read_handshake(struct http_session *s)
{
    http_session_close(s, true);
}

/* ---- the PROXY header ---- */

static void go_on(struct http_session *s)
{
    if (s->base.listener->conf->tls != NULL)
        begin_handshake(s);
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
        log_debug("listener %s: PROXY header refused: %s", s->base.listener->conf->name,
                  proxy_result_text(r));
        counter_add(&s->base.listener->stats->rows[s->base.proxy->worker].bad_requests, 1);
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
    counter_add(&s->base.listener->stats->rows[s->base.proxy->worker].denied, 1);
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
    if (s->prologue.state == PROXY_HEADER)
        read_proxy_header(s);
    else
        read_handshake(s);
}

static void timeout(struct http_session *s)
{
    http_session_close(s, true);
}

static void view(struct http_session *s, struct proxy_session_view *out)
{
    out->state = state_names[s->prologue.state];
}

const struct http_protocol http_prologue = {
    .begin = begin,
    .run = run,
    .timeout = timeout,
    .view = view,
};
