/* stream_tls.c - see stream_tls.h.
 *
 * OpenSSL reads and writes through a BIO of ours: it reads from the chain of buffers that the
 * engine has received (`wire`), and writes to a chain of buffers to be sent (`sealed`). So records
 * of a turn go out in one send, and neither side has a buffer between.
 *
 * Plaintext in the owner's queue is sealed when the send before is through: what waits, waits as
 * plaintext, and the bounds on it hold. Received records stay sealed while the owner does not take
 * what was opened. */
#include "lb/base/limits.h"
#include "lb/net/stream_priv.h"
#include "lb/net/tls_priv.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_MAX   16384
#define RECORD_SMALL 1360        /* fits a segment with its overhead: its reader need not wait */
#define SMALL_BYTES  (32u << 10) /* so much of what is sent after a pause goes in small records */
#define PAUSE_US     1000000
#define OVERHEAD     64          /* of a record, at most */
#define SEAL_MAX     (64u << 10) /* plaintext sealed for one send */
#define SEALED_BUF   (64u << 10)
#define JOIN_MAX     1024 /* a buffer as short as this shares a record with the next */

/* 0-RTT (RFC 8446 section 2.3), server side. */
enum early {
    EARLY_NONE,    /* none is taken, or it has all been read */
    EARLY_READING, /* what comes may be early data */
};

struct stream_tls {
    SSL *ssl;
    struct tls_server *server; /* one of these */
    struct tls_client *client;
    struct stream *stream;
    struct io_buf *wire, *wire_last;     /* received, sealed */
    struct io_buf *sealed, *sealed_last; /* to be sent */
    struct loop_task task;               /* goes on opening what was received */
    const char *reason;
    struct tls_facts *facts; /* stream_tls_facts.c's; NULL: not asked for */
    uint64_t last_sent_us;
    uint32_t wire_bytes, n_sealed;
    uint32_t plain;      /* bytes of plaintext in `sealed` */
    uint32_t small_left; /* plaintext that goes in small records */
    uint16_t sending;    /* buffers of the send under way */
    uint8_t early;       /* enum early */
    bool ready;          /* for plaintext: `finished`, or early data is here */
    bool finished;       /* the handshake is */
    bool failed;         /* the alert is on its way, then the owner is told */
    bool wire_end;       /* the descriptor has ended */
    bool notified;       /* close_notify came */
    bool truncated;
    bool notify_sent;
    bool told; /* the owner knows of the handshake */
};

static struct io *io_of(const struct stream *s)
{
    return s->env->loop->io;
}

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *out, size_t len, size_t *done)
{
    struct stream_tls *t = BIO_get_data(bio);
    size_t n = 0;

    BIO_clear_retry_flags(bio);
    while (n < len && t->wire != NULL) {
        struct io_buf *b = t->wire;
        size_t part = b->len < len - n ? b->len : len - n;
        memcpy(out + n, b->data, part);
        b->data += part;
        b->len -= (uint32_t)part;
        n += part;
        if (b->len > 0)
            break;
        t->wire = b->next;
        if (t->wire == NULL)
            t->wire_last = NULL;
        io_buf_put(io_of(t->stream), b);
    }
    t->wire_bytes -= (uint32_t)n;
    *done = n;
    if (n > 0)
        return 1;
    if (!t->wire_end)
        BIO_set_retry_read(bio);
    return 0;
}

static bool new_sealed(struct stream_tls *t, uint32_t room)
{
    struct io_buf *b = io_buf_new(io_of(t->stream), room);

    if (b == NULL)
        return false;
    if (t->sealed_last != NULL)
        t->sealed_last->next = b;
    else
        t->sealed = b;
    t->sealed_last = b;
    t->n_sealed++;
    return true;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *done)
{
    struct stream_tls *t = BIO_get_data(bio);
    size_t n = 0;

    BIO_clear_retry_flags(bio);
    while (n < len) {
        bool open = t->sealed_last != NULL && t->n_sealed > t->sending;
        size_t room = open ? io_buf_room(io_of(t->stream), t->sealed_last) : 0;
        if (room == 0) {
            size_t want = len - n + OVERHEAD;
            if (!new_sealed(t, (uint32_t)(want < SEALED_BUF ? want : SEALED_BUF)))
                return 0; /* no memory: the connection ends */
            continue;
        }
        size_t part = room < len - n ? room : len - n;
        memcpy(t->sealed_last->data + t->sealed_last->len, data + n, part);
        t->sealed_last->len += (uint32_t)part;
        n += part;
    }
    *done = n;
    return 1;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD *stream_tls_bio(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sluice stream");

    if (m == NULL)
        return NULL;
    BIO_meth_set_read_ex(m, bio_read);
    BIO_meth_set_write_ex(m, bio_write);
    BIO_meth_set_ctrl(m, bio_ctrl);
    BIO_meth_set_create(m, bio_create);
    return m;
}

/* ---- begin ---- */

static bool begin(struct stream *s, struct tls_env *env, SSL *ssl)
{
    struct stream_tls *t = calloc(1, sizeof(*t));
    BIO *bio = t != NULL && ssl != NULL ? BIO_new(env->bio) : NULL;

    if (bio == NULL) {
        SSL_free(ssl);
        free(t);
        return false;
    }
    BIO_set_data(bio, t);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, t);
    t->ssl = ssl;
    t->stream = s;
    t->small_left = SMALL_BYTES;
    t->wire = s->in;
    t->wire_last = s->in_last;
    t->wire_bytes = s->in_bytes;
    s->in = s->in_last = NULL;
    s->in_bytes = 0;
    s->no_splice = true;
    s->tls = t;
    return true;
}

static void on_task(struct loop_task *task);

static void go_on_later(struct stream_tls *t)
{
    loop_defer(t->stream->env->loop, &t->task);
}

static void finish_begin(struct stream *s)
{
    list_init(&s->tls->task.node);
    s->tls->task.fn = on_task;
    if (s->tls->wire != NULL || s->tls->client != NULL || s->eof)
        go_on_later(s->tls);
}

bool stream_tls_accept(struct stream *s, struct tls_server *server)
{
    SSL *ssl = tls_server_ssl(server);

    if (ssl == NULL || !begin(s, tls_server_env(server), ssl))
        return false;
    s->tls->server = tls_server_ref(server);
    s->tls->early = tls_server_early(server) ? EARLY_READING : EARLY_NONE;
    SSL_set_accept_state(ssl);
    finish_begin(s);
    return true;
}

bool stream_tls_connect(struct stream *s, struct tls_client *client, uint32_t member,
                        struct str name, struct str alpn)
{
    SSL *ssl = tls_client_ssl(client, member, name, alpn);

    if (ssl == NULL || !begin(s, tls_client_env(client), ssl))
        return false;
    s->tls->client = tls_client_ref(client);
    SSL_set_connect_state(ssl);
    finish_begin(s);
    return true;
}

/* ---- what went wrong ---- */

static const char *reason_of(const struct stream_tls *t, unsigned long e)
{
    long verify = SSL_get_verify_result(t->ssl);
    int reason = ERR_GET_REASON(e);

    if (verify != X509_V_OK && (reason == SSL_R_CERTIFICATE_VERIFY_FAILED || t->client != NULL))
        return X509_verify_cert_error_string(verify);
    if (reason == SSL_R_HTTP_REQUEST)
        return "http request";
    const char *text = ERR_reason_error_string(e);
    return text != NULL ? text : "handshake failed";
}

/* The peer is told by an alert, if OpenSSL has made one; the owner after that has been sent. */
static void fail(struct stream_tls *t, const char *reason)
{
    t->failed = true;
    t->reason = reason;
    ERR_clear_error();
}

static bool tell_failure(struct stream *s)
{
    struct stream_tls *t = s->tls;

    if (s->error == 0)
        s->error = -EPROTO;
    t->told = true;
    stream_drop_out(s);
    stream_steer(s);
    return true;
}

/* ---- receiving ---- */

bool stream_tls_full(const struct stream *s)
{
    const struct stream_tls *t = s->tls;

    return t->wire_end || (t->ready && s->in_bytes >= STREAM_HIGH_WATER && t->wire != NULL);
}

static void handshake_failed(struct stream_tls *t)
{
    if (t->wire_end && t->wire == NULL)
        fail(t, "the peer has left");
    else
        fail(t, reason_of(t, ERR_peek_last_error()));
}

static void handshake(struct stream *s)
{
    struct stream_tls *t = s->tls;
    int rc;

    ERR_clear_error();
    rc = SSL_do_handshake(t->ssl);
    if (rc == 1)
        t->ready = t->finished = true;
    else if (SSL_get_error(t->ssl, rc) != SSL_ERROR_WANT_READ || t->wire_end)
        handshake_failed(t);
}

/* What a client has sent along with its hello. It ends before the handshake does. */
static void read_early(struct stream *s)
{
    struct stream_tls *t = s->tls;

    while (t->early == EARLY_READING && !t->failed && s->in_bytes < STREAM_HIGH_WATER) {
        struct io_buf *b = io_buf_new(io_of(s), LIMIT_BUF_SIZE);
        size_t n = 0;
        if (b == NULL) {
            s->error = -ENOMEM;
            return;
        }
        ERR_clear_error();
        int rc = SSL_read_early_data(t->ssl, b->data, LIMIT_BUF_SIZE, &n);
        b->len = (uint32_t)n;
        t->ready = t->ready || n > 0;
        if (n > 0)
            stream_push_in(s, b);
        else
            io_buf_put(io_of(s), b);
        if (rc == SSL_READ_EARLY_DATA_FINISH) {
            t->early = EARLY_NONE;
        } else if (rc == SSL_READ_EARLY_DATA_ERROR) {
            if (SSL_get_error(t->ssl, 0) != SSL_ERROR_WANT_READ || t->wire_end)
                handshake_failed(t);
            return;
        }
    }
}

/* One record more into `in`; false: there is none, or something has ended. */
static bool open_record(struct stream *s)
{
    struct stream_tls *t = s->tls;
    uint32_t room = t->wire_bytes < LIMIT_BUF_SIZE ? t->wire_bytes + OVERHEAD : LIMIT_BUF_SIZE;
    struct io_buf *b = io_buf_new(io_of(s), room < LIMIT_BUF_SIZE ? room : LIMIT_BUF_SIZE);
    size_t n = 0;

    if (b == NULL) {
        s->error = -ENOMEM;
        return false;
    }
    ERR_clear_error();
    int rc = SSL_read_ex(t->ssl, b->data, room < LIMIT_BUF_SIZE ? room : LIMIT_BUF_SIZE, &n);
    if (rc == 1) {
        b->len = (uint32_t)n;
        stream_push_in(s, b);
        return true;
    }
    io_buf_put(io_of(s), b);
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return false;
    case SSL_ERROR_ZERO_RETURN:
        t->notified = true;
        s->eof = true;
        return false;
    default:
        if (t->wire_end && t->wire == NULL) { /* cut off, or it says no goodbye, as many do */
            s->eof = t->truncated = true;
            ERR_clear_error();
        } else {
            fail(t, reason_of(t, ERR_peek_last_error()));
        }
        return false;
    }
}

/* Opens what may be opened. True: the owner has something to look at. */
static bool advance(struct stream *s)
{
    struct stream_tls *t = s->tls;
    uint32_t before = s->in_bytes;
    bool was_ready = t->ready, was_finished = t->finished, ended = s->eof;

    if (t->failed || s->error != 0 || s->stopping)
        return false;
    if (t->early == EARLY_READING)
        read_early(s);
    if (!t->finished && t->early == EARLY_NONE && !t->failed && s->error == 0)
        handshake(s);
    if (t->finished) {
        while ((t->wire != NULL || t->wire_end || SSL_pending(t->ssl) > 0) && !s->eof &&
               s->error == 0 && !t->failed && s->in_bytes < STREAM_HIGH_WATER)
            if (!open_record(s))
                break;
    }
    if (t->sealed != NULL || s->out != NULL || t->failed)
        stream_tls_flush(s);
    if (t->failed && !s->tx.armed)
        return tell_failure(s);
    return t->ready != was_ready || t->finished != was_finished || s->in_bytes != before ||
           s->eof != ended || s->error != 0;
}

bool stream_tls_received(struct stream *s, struct io_buf *chain)
{
    struct stream_tls *t = s->tls;

    while (chain != NULL) {
        struct io_buf *b = chain;
        chain = b->next;
        b->next = NULL;
        t->wire_bytes += b->len;
        if (t->wire_last != NULL)
            t->wire_last->next = b;
        else
            t->wire = b;
        t->wire_last = b;
    }
    return advance(s);
}

bool stream_tls_ended(struct stream *s)
{
    s->tls->wire_end = true;
    return advance(s);
}

static void on_task(struct loop_task *task)
{
    struct stream_tls *t = container_of(task, struct stream_tls, task);
    struct stream *s = t->stream;

    if (s->eof && !t->ready) { /* before TLS began */
        s->eof = false;
        t->wire_end = true;
    }
    bool tell = advance(s);
    stream_steer(s);
    if (tell)
        s->event(s);
}

void stream_tls_wanted(struct stream *s)
{
    struct stream_tls *t = s->tls;

    if (t->ready && (t->wire != NULL || t->wire_end || SSL_has_pending(t->ssl)) && !s->eof &&
        s->error == 0 && s->in_bytes < STREAM_HIGH_WATER && !list_linked(&t->task.node))
        go_on_later(t);
}

/* ---- sending ---- */

static uint32_t record_size(struct stream_tls *t)
{
    return t->small_left > 0 ? RECORD_SMALL : RECORD_MAX;
}

static bool seal(struct stream_tls *t, const uint8_t *data, uint32_t len)
{
    while (len > 0) {
        uint32_t max = record_size(t), part = len < max ? len : max;
        size_t done;
        ERR_clear_error();
        int rc = t->finished ? SSL_write_ex(t->ssl, data, part, &done)
                             : SSL_write_early_data(t->ssl, data, part, &done);
        if (rc != 1) {
            fail(t, reason_of(t, ERR_peek_last_error()));
            return false;
        }
        data += part;
        len -= part;
        t->small_left -= t->small_left < part ? t->small_left : part;
    }
    return true;
}

/* A short buffer with the beginning of the next: heads and bodies share a record. */
static bool seal_joined(struct stream *s, struct io_buf *b)
{
    uint8_t joined[RECORD_MAX];
    uint32_t max = record_size(s->tls), n = b->len;

    memcpy(joined, b->data, n);
    io_buf_put(io_of(s), b);
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
        io_buf_put(io_of(s), stream_pop_out(s));
    }
    return seal(s->tls, joined, n);
}

static bool seal_out(struct stream *s)
{
    struct stream_tls *t = s->tls;
    uint64_t now = loop_now_us(s->env->loop);

    if (now - t->last_sent_us > PAUSE_US)
        t->small_left = SMALL_BYTES;
    t->last_sent_us = now;
    while (s->out != NULL && t->plain < SEAL_MAX) {
        struct io_buf *b = stream_pop_out(s);
        bool ok;
        t->plain += b->len;
        if (b->len <= JOIN_MAX && s->out != NULL) {
            ok = seal_joined(s, b);
        } else {
            ok = seal(t, b->data, b->len);
            io_buf_put(io_of(s), b);
        }
        if (!ok)
            return false;
    }
    return true;
}

static void send_notify(struct stream_tls *t)
{
    if (t->notify_sent || t->failed || !t->finished)
        return;
    t->notify_sent = true;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
}

static void send_sealed(struct stream *s)
{
    struct stream_tls *t = s->tls;
    struct io_buf *b = t->sealed;

    t->sending = 1;
    s->tx_turn = (uint32_t)counter_get(&io_stats(io_of(s))->turns);
    if (b->next != NULL)
        s->gather = slab_alloc(&s->env->gathers);
    if (s->gather == NULL) {
        io_send(io_of(s), &s->tx, s->fd, b->data, b->len);
        return;
    }
    struct iovec *iov = stream_gather_vector(s);
    int n = 0;
    for (; b != NULL && n < LIMIT_IOV; b = b->next)
        iov[n++] = (struct iovec){b->data, b->len};
    t->sending = (uint16_t)n;
    io_sendv(io_of(s), &s->tx, s->fd, iov, n);
}

void stream_tls_flush(struct stream *s)
{
    struct stream_tls *t = s->tls;

    if (s->tx.armed || s->tx_dead || s->stopping)
        return;
    if (t->ready && !t->failed && t->sealed == NULL && s->out != NULL)
        seal_out(s);
    if (s->shut_asked && s->out == NULL && t->ready)
        send_notify(t);
    if (t->sealed != NULL)
        send_sealed(s);
    else if (s->shut_asked && s->out == NULL)
        stream_shutdown_now(s);
}

static void drop_chain(struct stream *s, struct io_buf **first, struct io_buf **last)
{
    io_buf_put_chain(io_of(s), *first);
    *first = *last = NULL;
}

bool stream_tls_sent(struct stream *s, int res)
{
    struct stream_tls *t = s->tls;

    if (res < 0) {
        t->sending = 0;
        drop_chain(s, &t->sealed, &t->sealed_last);
        t->n_sealed = t->plain = 0;
        stream_drop_out(s);
        s->out_bytes = 0;
        s->tx_dead = true;
        s->tx_error = res;
        if (t->failed && !t->told)
            tell_failure(s);
        return true;
    }
    for (; t->sending > 0; t->sending--) {
        struct io_buf *b = t->sealed;
        t->sealed = b->next;
        if (t->sealed == NULL)
            t->sealed_last = NULL;
        t->n_sealed--;
        io_buf_put(io_of(s), b);
    }
    if (t->sealed == NULL) {
        s->sent += t->plain;
        s->out_bytes -= t->plain;
        t->plain = 0;
    }
    stream_tls_flush(s);
    return t->failed && !t->told && !s->tx.armed ? tell_failure(s) : false;
}

/* ---- facts ---- */

bool stream_tls_ready(const struct stream *s)
{
    return s->tls == NULL || s->tls->ready;
}

const char *stream_tls_reason(const struct stream *s)
{
    return s->tls != NULL && s->tls->reason != NULL ? s->tls->reason : "";
}

bool stream_tls_truncated(const struct stream *s)
{
    return s->tls != NULL && s->tls->truncated;
}

struct str stream_tls_alpn(const struct stream *s)
{
    const unsigned char *p = NULL;
    unsigned len = 0;

    if (s->tls != NULL)
        SSL_get0_alpn_selected(s->tls->ssl, &p, &len);
    return (struct str){(const char *)p, len};
}

bool stream_tls_resumed(const struct stream *s)
{
    return s->tls != NULL && SSL_session_reused(s->tls->ssl);
}

SSL *stream_tls_ssl(const struct stream *s)
{
    return s->tls->ssl;
}

struct tls_env *stream_tls_env(const struct stream *s)
{
    return s->tls->server != NULL ? tls_server_env(s->tls->server) : tls_client_env(s->tls->client);
}

struct tls_facts **stream_tls_kept_facts(struct stream *s)
{
    return &s->tls->facts;
}

bool stream_tls_early(const struct stream *s)
{
    return s->tls != NULL && s->tls->ready && !s->tls->finished;
}

/* ---- the end ---- */

void stream_tls_close(struct stream *s)
{
    struct stream_tls *t = s->tls;

    s->tls = NULL;
    list_remove(&t->task.node);
    drop_chain(s, &t->wire, &t->wire_last);
    drop_chain(s, &t->sealed, &t->sealed_last);
    if (!t->failed) /* or its session could not be resumed */
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(t->ssl);
    free(t->facts);
    tls_server_unref(&t->server);
    tls_client_unref(&t->client);
    free(t);
}
