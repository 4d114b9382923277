/* stream_tls_send.c - the sending half of a stream with TLS: what the owner has queued is sealed
 * and sent, as much as one send may carry, once the send before is through.
 *
 * After a pause records are small, so that the peer can open each segment as it comes; when much
 * follows they are as large as can be, which costs least. */
#include "lb/base/limits.h"
#include "lb/net/stream_tls_priv.h"

#include <openssl/err.h>
#include <string.h>

#define RECORD_SMALL 1360        /* fits a segment with its overhead */
#define SMALL_BYTES  (32u << 10) /* so much of what is sent after a pause goes in small records */
#define PAUSE_US     1000000
#define SEAL_MAX     (128u << 10) /* plaintext for one send: it stays in the cache until then */
#define JOIN_SHORT   1024         /* a buffer as short as this shares a record with the next */
#define JOINED_MAX   4096         /* ... which is not longer than this: the rest is not copied */

static uint32_t record_size(const struct stream_tls *t)
{
    return t->small_left > 0 ? RECORD_SMALL : TLS_RECORD_MAX;
}

/* Before the client's Finished a server may answer early data so (RFC 8446 section 4.6.1). */
static int write_record(struct stream_tls *t, const uint8_t *data, uint32_t len, size_t *out_done)
{
    ERR_clear_error();
    return t->ready ? SSL_write_ex(t->ssl, data, len, out_done)
                    : SSL_write_early_data(t->ssl, data, len, out_done);
}

static bool seal(struct stream_tls *t, const uint8_t *data, uint32_t len)
{
    while (len > 0) {
        uint32_t max = record_size(t), part = len < max ? len : max;
        size_t done = 0; /* less where the peer wants smaller records (RFC 6066 section 4) */
        if (write_record(t, data, part, &done) != 1) {
            stream_tls_fail(t, stream_tls_told(t));
            return false;
        }
        data += done;
        len -= (uint32_t)done;
        t->small_left -= t->small_left < done ? t->small_left : (uint32_t)done;
    }
    return true;
}

/* A short buffer with the beginning of the next: heads and bodies share a record. */
static bool seal_joined(struct stream *s, struct io_buf *b)
{
    uint8_t joined[JOINED_MAX];
    uint32_t max = record_size(s->tls), n = b->len;

    if (max > JOINED_MAX)
        max = JOINED_MAX;
    memcpy(joined, b->data, n);
    io_buf_put(stream_tls_io(s->tls), b);
    while (n < max && s->out != NULL) {
        struct io_buf *next = s->out;
        uint32_t part = next->len < max - n ? next->len : max - n;
        memcpy(joined + n, next->data, part);
        n += part;
        s->tls->plain += part;
        next->data += part;
        next->len -= part;
        if (next->len > 0)
            break;
        io_buf_put(stream_tls_io(s->tls), stream_pop_out(s));
    }
    return seal(s->tls, joined, n);
}

/* How much will be sealed, about. */
static uint32_t foresee(const struct stream *s)
{
    uint32_t n = s->out_bytes - s->tls->plain;

    if (n > SEAL_MAX)
        n = SEAL_MAX;
    return n + (n / RECORD_SMALL + 1) * 22; /* that AEAD ciphers add to each */
}

static void seal_out(struct stream *s)
{
    struct stream_tls *t = s->tls;
    uint64_t now = loop_now_us(s->env->loop);
    bool ok = true;

    if (t->last_sent_us == 0 || now - t->last_sent_us > PAUSE_US)
        t->small_left = SMALL_BYTES;
    t->last_sent_us = now;
    t->to_come = foresee(s);
    while (ok && s->out != NULL && t->plain < SEAL_MAX) {
        struct io_buf *b = stream_pop_out(s);
        t->plain += b->len;
        if (b->len <= JOIN_SHORT && s->out != NULL) {
            ok = seal_joined(s, b);
        } else {
            ok = seal(t, b->data, b->len);
            io_buf_put(stream_tls_io(t), b);
        }
    }
    t->to_come = 0;
}

static void send_notify(struct stream_tls *t)
{
    if (t->notify_sent || t->failed || !t->ready)
        return;
    t->notify_sent = true;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
}

static void send_sealed(struct stream *s)
{
    struct stream_tls *t = s->tls;
    struct io *io = stream_tls_io(t);
    struct io_buf *b = t->sealed;

    t->sending = 1;
    s->tx_turn = (uint32_t)counter_get(&io_stats(io)->turns);
    if (b->next != NULL)
        s->gather = slab_alloc(&s->env->gathers);
    if (s->gather == NULL) {
        io_send(io, &s->tx, s->fd, b->data, b->len);
        return;
    }
    struct iovec *iov = stream_gather_vector(s);
    int n = 0;
    for (; b != NULL && n < LIMIT_IOV; b = b->next)
        iov[n++] = (struct iovec){b->data, b->len};
    t->sending = (uint16_t)n;
    io_sendv(io, &s->tx, s->fd, iov, n);
}

void stream_tls_flush(struct stream *s)
{
    struct stream_tls *t = s->tls;

    if (s->tx.armed || s->tx_dead || s->stopping)
        return;
    if ((t->ready || t->early) && !t->failed && t->plain == 0 && s->out != NULL)
        seal_out(s);
    if (s->shut_asked && s->out == NULL)
        send_notify(t);
    if (t->sealed != NULL)
        send_sealed(s);
    else if (s->shut_asked && s->out == NULL && (t->ready || t->failed || !t->early))
        stream_shutdown_now(s);
}

static bool send_failed(struct stream *s, int error)
{
    struct stream_tls *t = s->tls;

    t->sending = 0;
    if (s->tx.send.done > 0) /* which records those were is not known: maybe all of a request */
        s->sent += t->plain;
    stream_tls_drop_sealed(t, t->n_sealed);
    t->plain = 0;
    stream_drop_out(s);
    s->out_bytes = 0;
    s->tx_dead = true;
    s->tx_error = error;
    if (t->failed && !t->told)
        stream_tls_tell_failure(s);
    return true;
}

bool stream_tls_sent(struct stream *s, int res)
{
    struct stream_tls *t = s->tls;

    if (res < 0)
        return send_failed(s, res);
    stream_tls_drop_sealed(t, t->sending);
    t->sending = 0;
    if (t->sealed == NULL) {
        s->sent += t->plain;
        s->out_bytes -= t->plain;
        t->plain = 0;
        stream_tls_wanted(s); /* who had stopped because his answers piled up */
    }
    stream_tls_flush(s);
    return t->failed && !t->told && !s->tx.armed ? stream_tls_tell_failure(s) : false;
}
