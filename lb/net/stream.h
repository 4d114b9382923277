/* stream.h - a connected socket as two queues of bytes: what was received and not yet taken, what
 * is to be sent. Both are chains of buffers (lb/io/op.h), so bytes pass from one stream to another
 * without being copied.
 *
 * The stream notes what happens and tells its owner by one callback, `event`; the owner looks at
 * the whole (in, eof, error, tx_dead, what is left to send) and decides. Memory is bounded by the
 * owner: he stops reading (STREAM_WATCH) while the other side is blocked. An idle stream holds no
 * buffer. The descriptor is the stream's from stream_open() on. One thread. */
#ifndef SLUICE_NET_STREAM_H
#define SLUICE_NET_STREAM_H

#include "lb/base/slab.h"
#include "lb/io/loop.h"

struct stream;
struct stream_gather;
struct stream_tls;

/* Something changed. May be the last touch of s in this turn: the owner may stop it, and free it if
 * nothing is armed. Never called from inside stream_*(). */
typedef void stream_fn(struct stream *s);

/* What all streams of a worker share. */
struct stream_env {
    struct loop *loop;
    struct slab gathers;
};

enum stream_read {
    STREAM_QUIET, /* nothing is looked at */
    STREAM_WATCH, /* errors only (see watch_end): the owner has enough, or has seen the end */
    /* Waits for bytes, takes a few (STREAM_SOME at most), and then is quiet until asked again: the
     * rest stays in the kernel, for a splice. */
    STREAM_READ_SOME,
    STREAM_READ,
};
#define STREAM_SOME 4096 /* room for a usual head */

enum stream_rx {
    STREAM_RX_NONE,
    STREAM_RX_READ,
    STREAM_RX_WATCH,
    STREAM_RX_POLL, /* STREAM_READ_SOME: until bytes are there */
    STREAM_RX_SOME, /* ... and then */
    STREAM_RX_SPLICE,
};

struct stream {
    struct op rx, tx;
    struct stream_env *env;
    stream_fn *event;
    struct io_buf *in, *in_last;   /* received, not yet taken */
    struct io_buf *out, *out_last; /* to be sent */
    struct stream_tls *tls;        /* stream_tls.h; NULL: plain */
    struct stream_gather *gather;  /* the vector of a send of several buffers */
    struct io_pipe *pipe;          /* while it splices to another stream */
    struct io_buf *some;           /* STREAM_RX_SOME: is received into */
    struct stream *splice_to;
    uint64_t sent;    /* bytes that the kernel has taken */
    uint64_t spliced; /* bytes that a splice has moved; the owner may reset it */
    uint32_t in_bytes, out_bytes;
    uint32_t tx_turn; /* engine turn in which the send under way was started */
    int fd;
    int error;        /* of receiving: -errno; 0: none */
    uint16_t n_out;   /* buffers in `out` */
    uint16_t sending; /* of them, at the front: covered by the send under way */
    uint8_t rx_state; /* enum stream_rx */
    uint8_t want;     /* enum stream_read */
    bool eof;         /* the peer has ended its stream; what it sent before may still be in `in` */
    bool tx_dead;     /* the peer takes no more; tx_error says why */
    bool stopping;
    bool no_watch;     /* a hang-up was seen: a watch would fire at once */
    bool watch_end;    /* the owner's: STREAM_WATCH looks for the end of the stream too */
    bool peer_ended;   /* ... and has seen it; bytes before it may still be unread */
    bool no_splice;    /* was tried in vain */
    bool sends_file;   /* the send under way is of a file */
    bool kernel_seals; /* with TLS: what is sent goes to the kernel as plaintext */
    bool kernel_waits; /* ... and its end until there is room */
    bool file_error;   /* tx_error is the file's, not the peer's */
    bool tell_sent;    /* the owner wants an event when everything has been sent */
    bool spliced_into; /* another stream splices into this one */
    bool shut;         /* our end of stream was sent */
    bool shut_asked;   /* ... is to be sent behind what is queued */
    int tx_error;
};

#define STREAM_HIGH_WATER (128u << 10) /* bytes to be sent to a blocked peer: stop reading */

void stream_env_init(struct stream_env *env, struct loop *loop);
void stream_env_fini(struct stream_env *env); /* no stream is left */

/* Takes over fd (connected, or about to be: then nothing is read or sent before the owner asks).
 * Reads nothing yet. */
void stream_open(struct stream *s, struct stream_env *env, int fd, stream_fn *event);
void stream_read(struct stream *s, enum stream_read want);
/* The first n bytes that were received are done with. */
void stream_consume(struct stream *s, uint32_t n);
/* Takes the first n bytes (all of them: in_bytes) as a chain; splits the last buffer, by a copy of
 * the shorter part. NULL with n > 0: no memory (nothing was taken). */
struct io_buf *stream_take(struct stream *s, uint32_t n);
/* Puts buffers before what was received: for bytes that were read by someone else. */
void stream_unread(struct stream *s, struct io_buf *chain);
/* All received bytes in one piece: the first buffer then holds at least n of them (n <= in_bytes).
 * False: no memory. */
bool stream_gather_front(struct stream *s, uint32_t n);

/* Queues a chain (taken over), or a copy of bytes; sends with the next stream_flush(). Queued bytes
 * of a dead stream are dropped. stream_write: false without memory. */
void stream_queue(struct stream *s, struct io_buf *chain);
bool stream_write(struct stream *s, const void *data, uint32_t len) WARN_UNUSED;
void stream_flush(struct stream *s);
/* Ends our side behind what is queued. */
void stream_shutdown(struct stream *s);
/* The peer takes bytes more slowly than they come: a send has been under way for some turns. */
bool stream_blocked(const struct stream *s);
static inline bool stream_sent_all(const struct stream *s)
{
    return s->out == NULL && !s->tx.armed;
}

/* Moves the next n bytes (n > 0) from one stream to the other by splice(2), as soon as nothing is
 * queued in between. False: not yet, or not possible (no_splice); call again at the next event of
 * either; bytes that were received meanwhile are in `in`, to be sent the usual way. While it runs,
 * `from` has events with `spliced` grown and nothing may be queued in `to`; it is over when
 * rx_state is not STREAM_RX_SPLICE. */
bool stream_splice(struct stream *from, struct stream *to, uint64_t n);
/* Ends it early; what the pipe holds is lost. Its last event comes later. */
void stream_splice_stop(struct stream *from);
/* While it runs: bytes are on their way that the other stream has no room for. */
bool stream_splice_blocked(const struct stream *from);

/* Sends the next bytes out of a file that stays open, when nothing is queued (stream_sent_all())
 * and stream_takes_file() says so: n at most; an event comes, with `spliced` grown, when they are
 * sent, or the peer takes no more (tx_dead). Returns how many it will be; 0: it cannot be done. */
uint32_t stream_send_file(struct stream *s, int file, uint64_t offset, uint64_t n);
bool stream_takes_file(const struct stream *s, uint64_t n);
/* The file is closed now: the send under way ends, and the stream takes no more. */
void stream_send_file_stop(struct stream *s);

/* Ends everything; the last event comes when nothing is armed any more (none if that is so now). */
void stream_stop(struct stream *s);
static inline bool stream_idle(const struct stream *s) /* nothing is armed */
{
    return !s->rx.armed && !s->tx.armed && !s->spliced_into;
}
/* Gives everything back and closes the descriptor; idle, and no splice comes in. reset: the peer
 * sees a reset (TCP). */
void stream_close(struct stream *s, bool reset);
/* As stream_close(), but the descriptor is the caller's again (-1 when there is none). */
int stream_detach(struct stream *s);

#endif
