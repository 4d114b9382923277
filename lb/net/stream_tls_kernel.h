/* stream_tls_kernel.h - records that the kernel makes (kernel TLS, transmit only): a file then goes
 * from the system's memory to the socket by sendfile(2), without passing through ours.
 *
 * OpenSSL offers its keys to the BIO when it begins to use them (SSL_OP_ENABLE_KTLS). They are kept
 * and the records counted that OpenSSL makes with them; with the first large file the kernel gets
 * both and makes all further records of that connection. Receiving stays with OpenSSL. TLS 1.3
 * only: in 1.2 the kernel might use a nonce again that OpenSSL has used. */
#ifndef SLUICE_NET_STREAM_TLS_KERNEL_H
#define SLUICE_NET_STREAM_TLS_KERNEL_H

#include "lb/net/stream_tls_priv.h"

/* Of a file: handing over costs more than it saves with less. */
#define TLS_KERNEL_FILE_MIN (128u << 10)

struct tls_kernel;

/* New keys for what is sent from now on, as OpenSSL lays them out for the kernel. */
void stream_tls_kernel_keys(struct stream_tls *t, const void *crypto_info);
/* OpenSSL has made these bytes of records. */
void stream_tls_kernel_count(struct stream_tls *t, const uint8_t *records, size_t len);
/* Nothing is left to be sent: the kernel goes on (s->kernel_seals). False: it cannot, and all stays
 * as it is. */
bool stream_tls_kernel_begin(struct stream *s);
/* Ends what we send by close_notify. False: not yet, an event of s->tx comes. */
bool stream_tls_kernel_notify(struct stream *s);
void stream_tls_kernel_free(struct tls_kernel **k);

#endif
