/* stream_tls_priv.h - what the files of stream_tls share: the state of one connection. */
#ifndef SLUICE_NET_STREAM_TLS_PRIV_H
#define SLUICE_NET_STREAM_TLS_PRIV_H

#include "lb/net/stream_priv.h"
#include "lb/net/tls_priv.h"

#define TLS_RECORD_MAX      16384 /* bytes of plaintext (RFC 8446 section 5.1) */
#define TLS_RECORD_OVERHEAD 64    /* that a record adds, at most */

struct stream_tls {
    SSL *ssl;
    struct tls_server *server; /* one of these */
    struct tls_client *client;
    struct stream *stream;
    struct io_buf *wire, *wire_last;     /* received, sealed */
    struct io_buf *sealed, *sealed_last; /* to be sent */
    struct loop_task task;               /* goes on opening what was received */
    const char *reason;
    struct tls_facts *facts;   /* stream_tls_facts.c's; NULL: not asked for */
    struct tls_kernel *kernel; /* stream_tls_kernel.c's; NULL: nothing is there for it */
    uint64_t last_sent_us;
    uint32_t wire_bytes;
    uint32_t plain;      /* bytes of plaintext in `sealed` */
    uint32_t to_come;    /* bytes that will be sealed in this go: how large a buffer should be */
    uint32_t provoked;   /* bytes in `sealed` that reading has made: alerts, acknowledgements */
    uint32_t small_left; /* plaintext that goes in small records */
    uint16_t n_sealed;
    uint16_t sending; /* buffers of the send under way */
    bool ready;
    bool failed;        /* the alert is on its way, then the owner is told */
    bool early_reading; /* server: 0-RTT may come, the handshake waits for its end */
    bool early;         /* some has come */
    bool reading;       /* within SSL_read */
    bool wire_end;      /* the descriptor has ended */
    bool truncated;
    bool cut; /* we ended without close_notify */
    bool notify_sent;
    bool told;      /* the owner knows that it has failed */
    bool swallowed; /* OpenSSL wanted to send something while the kernel seals */
};

static_assert(sizeof(struct stream_tls) <= 192, "every connection with TLS has one");

static inline struct io *stream_tls_io(const struct stream_tls *t)
{
    return t->stream->env->loop->io;
}

/* stream_tls_bio.c */
void stream_tls_add_wire(struct stream_tls *t, struct io_buf *chain); /* taken over */
/* The first n buffers of `sealed` have been sent. */
void stream_tls_drop_sealed(struct stream_tls *t, uint32_t n);

/* stream_tls.c */
/* It is over with this connection. OpenSSL may have made an alert: the owner is told when that has
 * been sent. */
void stream_tls_fail(struct stream_tls *t, const char *reason);
/* What the errors tell that OpenSSL has queued, which it empties; static. */
const char *stream_tls_told(const struct stream_tls *t);
bool stream_tls_tell_failure(struct stream *s);

#endif
