/* stream_priv.h - between stream.c and stream_tls.c, which stands in for parts of it where a stream
 * has TLS: what was received goes through it into `in`, what is queued in `out` through it to the
 * descriptor. */
#ifndef SLUICE_NET_STREAM_PRIV_H
#define SLUICE_NET_STREAM_PRIV_H

#include "lb/net/stream_tls.h"

/* stream.c */
void stream_push_in(struct stream *s, struct io_buf *chain);
/* Takes the first buffer of `out` (out_bytes stays: it is the caller's now). */
struct io_buf *stream_pop_out(struct stream *s);
void stream_drop_out(struct stream *s); /* all of it */
void stream_steer(struct stream *s);
void stream_shutdown_now(struct stream *s);
struct iovec *stream_gather_vector(struct stream *s); /* LIMIT_IOV of them; of s->gather */

/* stream_tls.c, all of a stream with TLS */
/* What came over the descriptor (taken over); then (NULL, end) its end. True: the owner is told. */
bool stream_tls_received(struct stream *s, struct io_buf *chain);
bool stream_tls_ended(struct stream *s);
/* The owner has room again, or wants to read. */
void stream_tls_wanted(struct stream *s);
void stream_tls_flush(struct stream *s);
/* A send is over. True: the owner is told. */
bool stream_tls_sent(struct stream *s, int res);
/* No more is to be received than is here: the owner does not take it. */
bool stream_tls_full(const struct stream *s);
void stream_tls_close(struct stream *s);

#endif
