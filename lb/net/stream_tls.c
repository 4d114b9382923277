/* stream_tls.c - see stream_tls.h. Beginning, handshake, receiving and end; stream_tls_send.c seals
 * and sends, stream_tls_bio.c stands between OpenSSL and the buffers.
 *
 * Received records stay sealed while the owner does not take what was opened. */
#include "lb/base/limits.h"
#include "lb/net/stream_tls_kernel.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Bytes that a peer may make us send (TLS 1.2: refusals to renegotiate) without reading them. */
#define PROVOKED_MAX (16u << 10)
#define COPIED_MAX   1024 /* shorter ones are joined with others by stream_push_in() */

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
    s->tls->early_reading = tls_server_early(server);
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

static bool is_alert(unsigned long error)
{
    return ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) >= SSL_AD_REASON_OFFSET;
}

/* The error that tells what happened. Since 3.2 OpenSSL adds one that says no more than that the
 * record layer has failed. */
static unsigned long telling_error(void)
{
    enum { RECORD_LAYER_FAILURE = 313 };
    unsigned long telling = 0, e;

    while ((e = ERR_get_error()) != 0) {
        if (telling == 0 || ERR_GET_REASON(e) != RECORD_LAYER_FAILURE)
            telling = e;
    }
    return telling;
}

/* "sslv3 alert bad certificate", "ssl/tls alert bad certificate": OpenSSL changed what stands
 * before it, and it never told what version was spoken. */
static const char *alert_text(const char *text)
{
    const char *alert = strstr(text, "alert ");

    return alert != NULL ? alert : text;
}

const char *stream_tls_told(const struct stream_tls *t)
{
    unsigned long e = telling_error();
    long verify = SSL_get_verify_result(t->ssl);
    int reason = ERR_GET_REASON(e);

    if (verify != X509_V_OK && (reason == SSL_R_CERTIFICATE_VERIFY_FAILED || t->client != NULL))
        return X509_verify_cert_error_string(verify);
    if (reason == SSL_R_HTTP_REQUEST)
        return "http request";
    if (reason == SSL_R_WRONG_VERSION_NUMBER && !t->ready) /* what came is no record of TLS */
        return "the peer speaks no TLS";
    const char *text = ERR_reason_error_string(e);
    if (text == NULL)
        return "handshake failed";
    return is_alert(e) ? alert_text(text) : text;
}

void stream_tls_fail(struct stream_tls *t, const char *reason)
{
    t->failed = true;
    if (t->reason == NULL)
        t->reason = reason;
    ERR_clear_error();
}

void stream_tls_refuse(SSL *ssl, const char *reason)
{
    struct stream_tls *t = SSL_get_app_data(ssl);

    t->reason = reason;
}

bool stream_tls_tell_failure(struct stream *s)
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

    return t->wire_end || (t->ready && t->wire != NULL &&
                           (s->in_bytes >= STREAM_HIGH_WATER || t->provoked > PROVOKED_MAX));
}

/* A step of it has not worked: for want of bytes, or for good. */
static void handshake_stopped(struct stream_tls *t, int rc)
{
    if (SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_READ && !t->wire_end)
        return;
    if (t->wire_end && t->wire == NULL)
        stream_tls_fail(t, "the peer has left");
    else
        stream_tls_fail(t, stream_tls_told(t));
}

/* Room for what the next record may hold, as far as can be known. */
static struct io_buf *new_plain(struct stream_tls *t)
{
    uint32_t room = LIMIT_BUF_SIZE;

    if (!SSL_has_pending(t->ssl) && t->wire_bytes + TLS_RECORD_OVERHEAD < room)
        room = t->wire_bytes + TLS_RECORD_OVERHEAD;
    return io_buf_new(stream_tls_io(t), room);
}

/* A large buffer is not kept for a few bytes. */
static void push_plain(struct stream *s, struct io_buf *b)
{
    struct io *io = s->env->loop->io;

    if (b->len > COPIED_MAX && io_buf_room(io, b) > b->len) {
        struct io_buf *small = io_buf_new(io, b->len);
        if (small != NULL) {
            memcpy(small->data, b->data, b->len);
            small->len = b->len;
            io_buf_put(io, b);
            b = small;
        }
    }
    stream_push_in(s, b);
}

/* 0-RTT: what has come of it so far; its end lets the handshake go on. True: the end. */
static bool read_early(struct stream *s)
{
    struct stream_tls *t = s->tls;

    for (;;) {
        struct io_buf *b = new_plain(t);
        size_t n = 0;
        if (b == NULL) {
            s->error = -ENOMEM;
            return false;
        }
        ERR_clear_error();
        int rc = SSL_read_early_data(t->ssl, b->data, io_buf_room(stream_tls_io(t), b), &n);
        b->len = (uint32_t)n;
        if (rc == SSL_READ_EARLY_DATA_SUCCESS && n > 0) {
            t->early = true;
            push_plain(s, b);
            continue;
        }
        io_buf_put(stream_tls_io(t), b);
        t->early_reading = rc != SSL_READ_EARLY_DATA_FINISH && rc != SSL_READ_EARLY_DATA_SUCCESS;
        if (rc == SSL_READ_EARLY_DATA_ERROR)
            handshake_stopped(t, -1);
        return !t->early_reading;
    }
}

static void handshake(struct stream *s)
{
    struct stream_tls *t = s->tls;

    if (t->early_reading && !read_early(s))
        return;
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    if (rc != 1) {
        handshake_stopped(t, rc);
        return;
    }
    t->ready = true;
    if (t->client != NULL)
        tls_client_done(t->client, t->ssl);
}

static void reading_stopped(struct stream *s, int rc)
{
    struct stream_tls *t = s->tls;

    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return;
    case SSL_ERROR_ZERO_RETURN:
        s->eof = true;
        return;
    default:
        /* Cut off, or it says no goodbye, as many do. */
        if ((t->wire_end && t->wire == NULL) || (t->cut && is_alert(ERR_peek_last_error()))) {
            s->eof = t->truncated = true;
            ERR_clear_error();
        } else {
            stream_tls_fail(t, stream_tls_told(t));
        }
    }
}

/* One record more into `in`; false: there is none, or something has ended. */
static bool open_record(struct stream *s)
{
    struct stream_tls *t = s->tls;
    struct io_buf *b = new_plain(t);
    size_t n = 0;

    if (b == NULL) {
        s->error = -ENOMEM;
        return false;
    }
    ERR_clear_error();
    t->reading = true;
    int rc = SSL_read_ex(t->ssl, b->data, io_buf_room(stream_tls_io(t), b), &n);
    t->reading = false;
    if (rc != 1) {
        io_buf_put(stream_tls_io(t), b);
        reading_stopped(s, rc);
        return false;
    }
    b->len = (uint32_t)n;
    push_plain(s, b);
    return true;
}

/* There is something to open, and room for it. */
static bool may_open(const struct stream *s)
{
    const struct stream_tls *t = s->tls;

    return t->ready && !t->failed && s->error == 0 && !s->eof && s->in_bytes < STREAM_HIGH_WATER &&
           t->provoked <= PROVOKED_MAX &&
           (t->wire != NULL || t->wire_end || SSL_has_pending(t->ssl));
}

/* The peer wants us to go on with new keys (RFC 8446 section 4.6.3), which OpenSSL would begin with
 * our next record; or it wrote one. The kernel's keys stay as they are. */
static bool wants_new_keys(const struct stream *s)
{
    return s->kernel_seals &&
           (s->tls->swallowed || SSL_get_key_update_type(s->tls->ssl) != SSL_KEY_UPDATE_NONE);
}

/* Opens what may be opened. True: the owner has something to look at. */
static bool advance(struct stream *s)
{
    struct stream_tls *t = s->tls;
    uint32_t before = s->in_bytes;
    bool was_ready = t->ready, ended = s->eof;

    if (t->failed || s->error != 0 || s->stopping)
        return false;
    if (!t->ready)
        handshake(s);
    while (may_open(s))
        if (!open_record(s))
            break;
    if (!t->failed && wants_new_keys(s))
        stream_tls_fail(t, "new keys asked for while the kernel seals");
    if (t->sealed != NULL || s->out != NULL || t->failed || (s->shut_asked && !was_ready))
        stream_flush(s);
    if (t->failed && !s->tx.armed)
        return stream_tls_tell_failure(s);
    return t->ready != was_ready || s->in_bytes != before || s->eof != ended || s->error != 0;
}

bool stream_tls_received(struct stream *s, struct io_buf *chain)
{
    stream_tls_add_wire(s->tls, chain);
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
    if (may_open(s) && !list_linked(&s->tls->task.node))
        go_on_later(s->tls);
}

/* ---- what is known ---- */

bool stream_tls_ready(const struct stream *s)
{
    return s->tls == NULL || s->tls->ready;
}

const char *stream_tls_reason(const struct stream *s)
{
    return s->tls != NULL && s->tls->reason != NULL ? s->tls->reason : "";
}

void stream_tls_cut(struct stream *s)
{
    s->tls->cut = true;
    io_shutdown(stream_tls_io(s->tls), s->fd, SHUT_WR);
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

bool stream_tls_early(const struct stream *s)
{
    return s->tls != NULL && s->tls->early && !s->tls->ready;
}

/* ---- the end ---- */

void stream_tls_close(struct stream *s)
{
    struct stream_tls *t = s->tls;

    s->tls = NULL;
    list_remove(&t->task.node);
    io_buf_put_chain(stream_tls_io(t), t->wire);
    stream_tls_drop_sealed(t, t->n_sealed);
    if (!t->failed) /* or its session could not be resumed */
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(t->ssl);
    stream_tls_kernel_free(&t->kernel);
    free(t->facts);
    tls_server_unref(&t->server);
    tls_client_unref(&t->client);
    free(t);
}
