/* sim_tls.h - TLS at a far end, for tests: a client or server of OpenSSL's between the test and a
 * peer.
 *
 * What TLS draws by itself (keys, nonces) does not come from the seed; lengths and order do not
 * depend on it as long as the server's key is RSA. */
#ifndef SLUICE_TESTS_SIM_SIM_TLS_H
#define SLUICE_TESTS_SIM_SIM_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/types.h>

struct sim_peer;
struct sim_tls;

/* A client of this context on a peer that nothing was sent on. session: to resume, NULL: none. */
struct sim_tls *sim_tls_new(struct sim_peer *p, SSL_CTX *ctx, SSL_SESSION *session);
/* The server's side. */
struct sim_tls *sim_tls_accept(struct sim_peer *p, SSL_CTX *ctx);
void sim_tls_free(struct sim_tls **t);
/* Queues; sent when the handshake is through. */
void sim_tls_send(struct sim_tls *t, const void *data, size_t len);
/* As sim_peer_read(), of plaintext; 0 at either end. -EPROTO: what came is no TLS, or an alert. */
ssize_t sim_tls_read(struct sim_tls *t, void *data, size_t len);
void sim_tls_shutdown(struct sim_tls *t); /* close_notify behind what is queued, then the end */
bool sim_tls_notified(const struct sim_tls *t);        /* close_notify came */
SSL_SESSION *sim_tls_session(const struct sim_tls *t); /* a reference; NULL: none yet */
bool sim_tls_ready(const struct sim_tls *t);

/* A far end with TLS or without. */
struct far {
    struct sim_peer *peer;
    struct sim_tls *tls; /* NULL: in clear */
};
void far_send(const struct far *f, const void *data, size_t len);
ssize_t far_read(const struct far *f, void *data, size_t len);
void far_shutdown(const struct far *f);
bool far_gone(const struct far *f); /* closed or reset */

#endif
