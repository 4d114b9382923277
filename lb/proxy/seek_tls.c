/* seek_tls.c - the part of connecting that is TLS: whom a backend's certificate must be for, what
 * is offered, how the handshake went. The stream is the seek's owner's; nothing is kept here. */
#include "lb/net/stream_tls.h"
#include "lb/proxy/proxy_priv.h"
#include "lb/proxy/seek.h"
#include "lb/proxy/tls_contexts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Whom its certificate must be for, unless the pool says: as it is configured, so that an address
 * from elsewhere cannot change it; a literal one as it is now. */
static struct str name_of(const struct seek *k, char buf[static ADDR_TEXT_MAX])
{
    const struct backend_conf *conf = pool_member(k->pool, k->slot)->conf;

    if (conf->address.addr.len == 0)
        return str_of(conf->address.host);
    if (addr_family(&k->addr) == AF_UNIX)
        return STR("localhost");
    return str_of(addr_format_host(&k->addr, buf));
}

/* By ALPN. Pools that speak HTTP/2 offer nothing else, since nobody can fall back. */
static struct str offer_of(const struct pool_conf *c)
{
    if (c->tls->n_alpn > 0 || c->mode != MODE_HTTP || protocol_is_cgi(c->protocol))
        return STR(""); /* as the configuration says */
    return c->protocol == PROTOCOL_HTTP2 ? STR("\x02h2") : STR("\x08http/1.1");
}

static bool offers(const struct pool_conf *c, const char *protocol)
{
    for (uint32_t i = 0; i < c->tls->n_alpn; i++)
        if (strcmp(c->tls->alpn[i], protocol) == 0)
            return true;
    return false;
}

bool seek_secure(struct seek *k, struct stream *s)
{
    struct tls_client *t = proxy_tls_client(k->proxy, k->pool);
    /* Sessions are kept by the places of members in the newest pool of that name. */
    uint32_t member = k->pool->locals[k->proxy->worker].retired
                          ? TLS_NO_MEMBER
                          : pool_member_index(k->pool, k->slot);
    char buf[ADDR_TEXT_MAX];

    if (t == NULL || !stream_tls_connect(s, t, member, name_of(k, buf), offer_of(k->pool->conf)))
        return false;
    stream_read(s, STREAM_READ);
    return true;
}

void seek_note(struct seek *k, const char *why)
{
    k->why[0] = '\0';
    if (why[0] != '\0')
        snprintf(k->why, sizeof(k->why), "tls: %s", why);
}

static struct backend_counters *row_of(const struct seek *k)
{
    return &pool_member(k->pool, k->slot)->rows[k->proxy->worker];
}

static enum seek_secure failed(struct seek *k)
{
    counter_add(&row_of(k)->tls_failures, 1);
    return SECURE_FAILED;
}

static enum seek_secure ready(struct seek *k, const struct stream *s, int *out_error)
{
    bool h2 = k->pool->conf->mode == MODE_HTTP && k->pool->conf->protocol == PROTOCOL_HTTP2;

    /* With both offered, what is agreed on is spoken. */
    if (h2 && !str_eq(stream_tls_alpn(s), STR("h2")) && !offers(k->pool->conf, "http/1.1")) {
        snprintf(k->why, sizeof(k->why), "tls: does not agree on h2");
        *out_error = -EPROTO;
        return failed(k);
    }
    counter_add(&row_of(k)->tls_handshakes, 1);
    counter_add(&row_of(k)->tls_resumed, stream_tls_resumed(s));
    seek_secured(k);
    return SECURE_DONE;
}

enum seek_secure seek_handshake(struct seek *k, const struct stream *s, int *out_error)
{
    if (s->error == 0 && stream_tls_ready(s))
        return ready(k, s, out_error);
    if (s->error == 0 && !s->eof && !s->tx_dead)
        return SECURE_MORE;
    *out_error = s->error != 0 ? s->error : s->tx_dead ? s->tx_error : -ECONNRESET;
    seek_note(k, stream_is_tls(s) ? stream_tls_reason(s) : "");
    if (k->why[0] == '\0')
        snprintf(k->why, sizeof(k->why), "tls: %s during the handshake",
                 s->eof ? "closed" : strerror(-*out_error));
    return failed(k);
}

void seek_handshake_late(struct seek *k)
{
    snprintf(k->why, sizeof(k->why), "tls: no answer to the handshake");
    failed(k);
}
