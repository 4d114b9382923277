/* stream_tls.h - TLS on a stream: between stream_tls_accept() or _connect() and the end, what the
 * owner takes and queues is plaintext, what goes over the descriptor is not.
 *
 * The handshake runs by itself once the owner reads (STREAM_READ); what he queues meanwhile waits.
 * One event tells that it is over: stream_tls_ready(), or s->error is set (-EPROTO, or what the
 * descriptor said) and stream_tls_reason() says why. From then on everything is as stream.h says,
 * but that nothing is spliced. A peer that ends without close_notify has `eof` like any other, and
 * stream_tls_truncated(): a message that only the end delimits may be cut (RFC 8446 section 6.1).
 * `sent` and `out_bytes` count plaintext. An idle connection holds no buffer of OpenSSL's either.
 */
#ifndef SLUICE_NET_STREAM_TLS_H
#define SLUICE_NET_STREAM_TLS_H

#include "lb/base/str.h"
#include "lb/base/tls_facts.h"
#include "lb/net/stream.h"
#include "lb/net/tls.h"

/* Before anything is read or queued, but bytes that were received (after a PROXY header) are taken
 * along. A reference to t is kept. False: no memory. */
bool stream_tls_accept(struct stream *s, struct tls_server *t) WARN_UNUSED;
#define TLS_NO_MEMBER UINT32_MAX
/* member: whose session to resume; TLS_NO_MEMBER: none is resumed or kept, so that the certificate
 * is seen as it is now (health checks). name: what its certificate must be for, and SNI, where the
 * configuration does not say one: a host name or an address's text (no SNI then). alpn: wire
 * format, empty: what the configuration says. */
bool stream_tls_connect(struct stream *s, struct tls_client *t, uint32_t member, struct str name,
                        struct str alpn) WARN_UNUSED;

static inline bool stream_is_tls(const struct stream *s)
{
    return s->tls != NULL;
}
/* True of a stream without TLS too. */
bool stream_tls_ready(const struct stream *s);
/* A few words, for the log: "certificate has expired", "no shared cipher", "unknown name"; "" when
 * nothing is wrong. Valid as long as the stream. */
const char *stream_tls_reason(const struct stream *s);
/* It ended without close_notify. An answer that says its own length is whole none the less. */
bool stream_tls_truncated(const struct stream *s);
/* Ends what we send without close_notify, at once: what we pass on has ended so. An alert that the
 * peer answers with (OpenSSL does from 3.2 on) is its end, and no failure. */
void stream_tls_cut(struct stream *s);
/* What was agreed on; empty: nothing. Of the connection. */
struct str stream_tls_alpn(const struct stream *s);

bool stream_tls_resumed(const struct stream *s); /* a session from before */

/* Facts for the log and for variables: made when first asked for; false: no memory. */
bool stream_tls_facts(struct stream *s, struct tls_facts *out);
/* Server side: the handshake is not over (stream_tls_ready() is false), but bytes have come with it
 * (0-RTT), which somebody may have recorded and sent again. They may be answered. An event tells
 * when it is over: nobody has replayed what is there then. */
bool stream_tls_early(const struct stream *s);

#endif
