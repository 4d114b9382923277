/* sim_tls.c - see sim_tls.h */
#include "tests/sim/sim_tls.h"

#include "lb/base/alloc.h"
#include "tests/sim/sim.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

struct sim_tls {
    struct sim_peer *peer;
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    char *queued;  /* plaintext that waits for the handshake */
    size_t n_queued;
    bool shutdown, notified;
};

static struct sim_tls *begin(struct sim_peer *p, SSL_CTX *ctx)
{
    struct sim_tls *t = xcalloc(1, sizeof(*t));

    t->peer = p;
    t->ssl = SSL_new(ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    sl_assert(t->ssl != NULL && t->in != NULL && t->out != NULL);
    BIO_set_mem_eof_return(t->in, -1);
    SSL_set_bio(t->ssl, t->in, t->out);
    return t;
}

struct sim_tls *sim_tls_new(struct sim_peer *p, SSL_CTX *ctx, SSL_SESSION *session)
{
    struct sim_tls *t = begin(p, ctx);

    SSL_set_connect_state(t->ssl);
    if (session != NULL)
        SSL_set_session(t->ssl, session);
    return t;
}

struct sim_tls *sim_tls_accept(struct sim_peer *p, SSL_CTX *ctx)
{
    struct sim_tls *t = begin(p, ctx);

    SSL_set_accept_state(t->ssl);
    return t;
}

void sim_tls_free(struct sim_tls **t)
{
    if (*t == NULL)
        return;
    if (SSL_is_init_finished((*t)->ssl)) /* its session may be resumed */
        SSL_set_shutdown((*t)->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free((*t)->ssl);
    free((*t)->queued);
    free(*t);
    *t = NULL;
}

static void flush(struct sim_tls *t)
{
    char *data;
    long n = BIO_get_mem_data(t->out, &data);

    if (n > 0)
        sim_peer_send(t->peer, data, (size_t)n);
    (void)BIO_reset(t->out);
}

/* The handshake, and what waited for it. */
static void advance(struct sim_tls *t)
{
    ERR_clear_error();
    if (!SSL_is_init_finished(t->ssl))
        SSL_do_handshake(t->ssl);
    if (SSL_is_init_finished(t->ssl) && t->n_queued > 0) {
        sl_assert(SSL_write(t->ssl, t->queued, (int)t->n_queued) > 0);
        t->n_queued = 0;
    }
    if (t->shutdown && SSL_is_init_finished(t->ssl) &&
        (SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN) == 0)
        SSL_shutdown(t->ssl);
    flush(t);
    if (t->shutdown && SSL_is_init_finished(t->ssl))
        sim_peer_shutdown(t->peer);
}

void sim_tls_send(struct sim_tls *t, const void *data, size_t len)
{
    if (len == 0)
        return;
    if (SSL_is_init_finished(t->ssl)) {
        ERR_clear_error();
        if (SSL_write(t->ssl, data, (int)len) > 0)
            flush(t);
        return;
    }
    t->queued = xrealloc(t->queued, t->n_queued + len);
    memcpy(t->queued + t->n_queued, data, len);
    t->n_queued += len;
    advance(t);
}

void sim_tls_shutdown(struct sim_tls *t)
{
    t->shutdown = true;
    advance(t);
}

ssize_t sim_tls_read(struct sim_tls *t, void *data, size_t len)
{
    char sealed[4096];

    for (;;) {
        ERR_clear_error();
        int rc = SSL_read(t->ssl, data, (int)len);
        int error = rc > 0 ? 0 : SSL_get_error(t->ssl, rc);
        if (SSL_is_init_finished(t->ssl))
            advance(t);
        flush(t);
        if (rc > 0)
            return rc;
        if (error == SSL_ERROR_ZERO_RETURN) {
            t->notified = true;
            return 0;
        }
        if (error != SSL_ERROR_WANT_READ)
            return -EPROTO;
        ssize_t n = sim_peer_read(t->peer, sealed, sizeof(sealed));
        if (n <= 0)
            return n;
        BIO_write(t->in, sealed, (int)n);
    }
}

bool sim_tls_notified(const struct sim_tls *t)
{
    return t->notified;
}

SSL_SESSION *sim_tls_session(const struct sim_tls *t)
{
    return SSL_is_init_finished(t->ssl) ? SSL_get1_session(t->ssl) : NULL;
}

bool sim_tls_ready(const struct sim_tls *t)
{
    return SSL_is_init_finished(t->ssl);
}

void far_send(const struct far *f, const void *data, size_t len)
{
    if (f->tls != NULL)
        sim_tls_send(f->tls, data, len);
    else
        sim_peer_send(f->peer, data, len);
}

ssize_t far_read(const struct far *f, void *data, size_t len)
{
    return f->tls != NULL ? sim_tls_read(f->tls, data, len) : sim_peer_read(f->peer, data, len);
}

void far_shutdown(const struct far *f)
{
    if (f->tls != NULL)
        sim_tls_shutdown(f->tls);
    else
        sim_peer_shutdown(f->peer);
}

bool far_gone(const struct far *f)
{
    return f->peer->closed || f->peer->was_reset;
}
