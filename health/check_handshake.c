/* check_handshake.c - TLS of a check: asked for in clear where the protocol has words for it, then
 * the handshake, in which HTTP's version is agreed on. */
#include "health/check_priv.h"

#include "lb/net/addr.h"
#include "lb/net/stream_tls.h"

#include <errno.h>

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

void check_handshake_begin(struct check *ck)
{
    struct tls_client *t = ck->conf->tls != NULL ? *ck->conf->tls : NULL;
    char buf[ADDR_TEXT_MAX];

    ck->was_sent = true;
    ck->stream.tell_sent = false;
    /* No session is resumed: the certificate is to be seen as it is now. */
    if (t == NULL ||
        !stream_tls_connect(&ck->stream, t, TLS_NO_MEMBER, name_of(ck, buf), offer_of(ck)))
        check_failed(ck, ENOMEM);
    else
        stream_read(&ck->stream, STREAM_READ);
}

bool check_handshake_speaks_h2(const struct check *ck)
{
    if (stream_is_tls(&ck->stream))
        return str_eq(stream_tls_alpn(&ck->stream), STR("h2"));
    return ck->conf->speaks == CHECK_SPEAKS_HTTP2 && !elsewhere(ck);
}

static bool agrees(struct check *ck)
{
    bool wanted = ck->conf->speaks == CHECK_SPEAKS_HTTP2 && !elsewhere(ck);

    if (!wanted || str_eq(stream_tls_alpn(&ck->stream), STR("h2")))
        return true;
    check_say(ck, CHECK_FAILED, CHECK_L6RSP, 0, "tls: does not agree on h2");
    check_finish(ck);
    return false;
}

void check_handshake_on_event(struct check *ck)
{
    const struct stream *s = &ck->stream;

    if (s->error != 0 || s->tx_dead)
        check_failed(ck, s->error != 0 ? -s->error : -s->tx_error);
    else if (stream_tls_ready(s) && agrees(ck))
        check_converse(ck);
    else if (ck->decided)
        return;
    else if (s->eof)
        check_failed(ck, ECONNRESET);
}

/* ---- asked for ---- */

bool check_handshake_is_asked_for(const struct check *ck)
{
    const struct health_conf *h = &ck->conf->health;

    return h->starttls && h->own_tls && ck->kind->ask_tls != NULL && !ck->asked;
}

/* The handshake is next. What came in clear behind the answer would be taken for what came over
 * TLS: somebody between may have put it there. */
static void secure(struct check *ck)
{
    if (ck->stream.in != NULL || ck->at < ck->seen.len) {
        check_say(ck, CHECK_FAILED, CHECK_L6RSP, 0, "%s: goes on in clear where TLS should begin",
                  ck->kind->name);
        check_finish(ck);
        return;
    }
    strbuf_fini(&ck->seen);
    ck->at = 0;
    ck->asked = true;
    check_enter(ck,
                ck->out.len > 0 || !stream_sent_all(&ck->stream) ? CHECK_PREFACE : CHECK_SECURING);
}

void check_handshake_on_answer(struct check *ck)
{
    struct stream *s = &ck->stream;
    bool over = false;

    while (s->in != NULL && !over) {
        uint32_t n = s->in->len;
        over = ck->kind->tls_answer(ck, (struct str){(char *)s->in->data, n}, &ck->out);
        stream_consume(s, n);
    }
    if (ck->decided) {
        check_enter(ck, ck->kind->rest == NULL || ck->complete ? CHECK_CLOSING : CHECK_DRAINING);
    } else if (over) {
        secure(ck);
    } else if (s->error != 0) {
        check_failed(ck, -s->error);
    } else if (s->eof) {
        ck->kind->ended(ck);
        check_finish(ck);
    }
}
