/* sim_tls_peer.c - see sim_tls_peer.h */
#include "tests/sim/sim_tls_peer.h"

#include "lb/base/alloc.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#define MADE_MAX 4096

static struct sim_tls_peer *made[MADE_MAX];
static size_t n_made;

/* What OpenSSL has written goes to the network. */
static void flush(struct sim_tls_peer *t)
{
    char *data;
    long n = BIO_get_mem_data(t->out, &data);

    if (n > 0)
        sim_peer_send(t->peer, data, (size_t)n);
    (void)BIO_reset(t->out);
}

static void feed(struct sim_tls_peer *t)
{
    char bytes[4096];
    ssize_t n;

    while ((n = sim_peer_read(t->peer, bytes, sizeof(bytes))) > 0)
        BIO_write(t->in, bytes, (int)n);
    if (n == 0)
        t->ended = true;
}

static void send_late(struct sim_tls_peer *t)
{
    if (t->late_len > 0)
        sim_tls_peer_send(t, t->late, t->late_len);
    free(t->late);
    t->late = NULL;
    t->late_len = 0;
    if (t->late_end)
        sim_tls_peer_shutdown(t);
}

static void on_event(struct sim_peer *p, enum sim_event event)
{
    struct sim_tls_peer *t = p->arg;

    if (event == SIM_RESET) {
        t->fn(t, event);
        return;
    }
    if (event == SIM_DATA || event == SIM_END)
        feed(t);
    if (!t->up) {
        ERR_clear_error();
        int rc = SSL_do_handshake(t->ssl);
        t->up = rc == 1;
        flush(t);
        if (t->up) {
            t->fn(t, SIM_CONNECTED);
            send_late(t);
        } else if (SSL_get_error(t->ssl, rc) != SSL_ERROR_WANT_READ || t->ended) {
            sim_peer_close(p);
            t->fn(t, SIM_RESET);
        }
    }
    if (t->up && !p->closed)
        t->fn(t, t->ended ? SIM_END : SIM_DATA);
}

struct sim_tls_peer *sim_tls_peer_new(struct sim_peer *p, SSL_CTX *ctx, bool server,
                                      sim_tls_peer_fn *fn, void *arg)
{
    struct sim_tls_peer *t = xcalloc(1, sizeof(*t));

    sl_assert(n_made < MADE_MAX);
    made[n_made++] = t;
    t->peer = p;
    t->fn = fn;
    t->arg = arg;
    t->ssl = SSL_new(ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    sl_assert(t->ssl != NULL && t->in != NULL && t->out != NULL);
    BIO_set_mem_eof_return(t->in, -1);
    SSL_set_bio(t->ssl, t->in, t->out);
    if (server)
        SSL_set_accept_state(t->ssl);
    else
        SSL_set_connect_state(t->ssl);
    p->fn = on_event;
    p->arg = t;
    if (!server) {
        SSL_do_handshake(t->ssl);
        flush(t);
    }
    return t;
}

void sim_tls_peer_send(struct sim_tls_peer *t, const void *data, size_t len)
{
    size_t done;

    if (!t->up) {
        t->late = xrealloc(t->late, t->late_len + len + 1);
        memcpy(t->late + t->late_len, data, len);
        t->late_len += len;
        return;
    }
    t->sent += len;
    ERR_clear_error();
    if (len > 0 && SSL_write_ex(t->ssl, data, len, &done) != 1)
        t->broken = true; /* by an alert of the near end's */
    flush(t);
}

ssize_t sim_tls_peer_read(struct sim_tls_peer *t, void *data, size_t len)
{
    size_t n;

    ERR_clear_error();
    int rc = SSL_read_ex(t->ssl, data, len, &n);
    flush(t); /* answers to key updates */
    if (rc == 1) {
        t->received += n;
        return (ssize_t)n;
    }
    int why = SSL_get_error(t->ssl, rc);
    if (why == SSL_ERROR_ZERO_RETURN || t->ended)
        return 0;
    if (why == SSL_ERROR_WANT_READ)
        return -EAGAIN;
    t->broken = true;
    return -EPROTO;
}

void sim_tls_peer_shutdown(struct sim_tls_peer *t)
{
    if (!t->up) {
        t->late_end = true;
        return;
    }
    SSL_shutdown(t->ssl);
    flush(t);
    sim_peer_shutdown(t->peer);
}

void sim_tls_peer_free_all(void)
{
    while (n_made > 0) {
        struct sim_tls_peer *t = made[--n_made];
        SSL_free(t->ssl);
        free(t->late);
        free(t);
    }
}
