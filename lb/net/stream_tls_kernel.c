/* stream_tls_kernel.c - see stream_tls_kernel.h */
#include "lb/net/stream_tls_kernel.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define RECORD_HEADER 5  /* type, version, length (RFC 8446 section 5.1) */
#define RECORD_ALERT  21 /* section 5.1 */
#define ALERT_WARNING 1  /* section 6 */

struct tls_kernel {
    union {
        struct tls_crypto_info info;
        struct tls12_crypto_info_aes_gcm_128 gcm_128; /* of 1.3 too */
        struct tls12_crypto_info_aes_gcm_256 gcm_256;
        struct tls12_crypto_info_chacha20_poly1305 chacha;
    } keys;
    uint64_t records; /* begun with them */
    uint32_t left;    /* bytes of the last that are still to come */
    uint8_t header[RECORD_HEADER], n_header;
};

int tls_kernel_probe(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), error;

    if (fd < 0)
        return -errno;
    /* Not connected: a kernel that has it refuses it for that alone (and loads its module). */
    error = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0 ? 0 : -errno;
    close(fd);
    return error == -ENOTCONN ? 0 : error;
}

/* How long what the kernel wants is, and where in it the number of the next record stands; 0: a
 * cipher that it does not have. */
static socklen_t layout(struct tls_kernel *k, uint8_t **out_seq)
{
    switch (k->keys.info.cipher_type) {
    case TLS_CIPHER_AES_GCM_128:
        *out_seq = k->keys.gcm_128.rec_seq;
        return sizeof(k->keys.gcm_128);
    case TLS_CIPHER_AES_GCM_256:
        *out_seq = k->keys.gcm_256.rec_seq;
        return sizeof(k->keys.gcm_256);
    case TLS_CIPHER_CHACHA20_POLY1305:
        *out_seq = k->keys.chacha.rec_seq;
        return sizeof(k->keys.chacha);
    default:
        *out_seq = NULL;
        return 0;
    }
}

void stream_tls_kernel_free(struct tls_kernel **k)
{
    if (*k != NULL)
        OPENSSL_cleanse(*k, sizeof(**k));
    free(*k);
    *k = NULL;
}

void stream_tls_kernel_keys(struct stream_tls *t, const void *crypto_info)
{
    struct tls_kernel *k;
    uint8_t *seq;
    socklen_t len;

    stream_tls_kernel_free(&t->kernel); /* those were of the keys before */
    if (((const struct tls_crypto_info *)crypto_info)->version != TLS_1_3_VERSION)
        return;
    k = calloc(1, sizeof(*k));
    if (k == NULL)
        return;
    k->keys.info = *(const struct tls_crypto_info *)crypto_info;
    len = layout(k, &seq);
    if (len == 0) {
        stream_tls_kernel_free(&k);
        return;
    }
    memcpy(&k->keys, crypto_info, len);
    t->kernel = k;
}

void stream_tls_kernel_count(struct stream_tls *t, const uint8_t *records, size_t len)
{
    struct tls_kernel *k = t->kernel;

    while (k != NULL && len > 0) {
        if (k->left == 0) {
            k->header[k->n_header++] = *records++;
            len--;
            if (k->n_header < RECORD_HEADER)
                continue;
            k->n_header = 0;
            k->left = (uint32_t)k->header[3] << 8 | k->header[4];
            k->records++;
            continue;
        }
        size_t part = k->left < len ? k->left : len;
        records += part;
        len -= part;
        k->left -= (uint32_t)part;
    }
}

static void add_to_seq(uint8_t seq[static 8], uint64_t n)
{
    for (int i = 7; i >= 0; i--) {
        n += seq[i];
        seq[i] = (uint8_t)n;
        n >>= 8;
    }
}

bool stream_tls_kernel_begin(struct stream *s)
{
    struct stream_tls *t = s->tls;
    struct tls_kernel *k = t->kernel;
    uint8_t *seq;
    socklen_t len;

    if (s->kernel_seals)
        return true;
    if (k == NULL || !t->ready || t->failed || t->sealed != NULL || !stream_sent_all(s) ||
        k->left > 0 || k->n_header > 0)
        return false;
    len = layout(k, &seq);
    add_to_seq(seq, k->records);
    s->kernel_seals = setsockopt(s->fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0 &&
                      setsockopt(s->fd, SOL_TLS, TLS_TX, &k->keys, len) == 0;
    /* The kernel has them, or does not want them: a unix socket, a cipher that it lacks. */
    stream_tls_kernel_free(&t->kernel);
    return s->kernel_seals;
}

/* Whether a record now goes out as a whole, with what there is before it. What the kernel took and
 * could not send it sends later, but no more after shutdown(2). */
static bool has_room(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    return poll(&p, 1, 0) != 0;
}

bool stream_tls_kernel_notify(struct stream *s)
{
    uint8_t alert[2] = {ALERT_WARNING, 0 /* close_notify, RFC 8446 section 6.1 */};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(1)];
    } control = {.header = {.cmsg_len = CMSG_LEN(1),
                            .cmsg_level = SOL_TLS,
                            .cmsg_type = TLS_SET_RECORD_TYPE}};
    struct iovec iov = {alert, sizeof(alert)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};

    if (s->tls->notify_sent || s->tls->failed)
        return true;
    *CMSG_DATA(&control.header) = RECORD_ALERT;
    if (!has_room(s->fd) ||
        (sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN)) {
        s->kernel_waits = true;
        io_poll(stream_tls_io(s->tls), &s->tx, s->fd, POLLOUT);
        return false;
    }
    s->tls->notify_sent = true; /* or the peer has gone */
    return true;
}
