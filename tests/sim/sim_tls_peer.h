/* sim_tls_peer.h - a far end of a simulated connection that speaks TLS: sim_peer's calls with
 * plaintext.
 *
 * Its certificate is of RSA and its versions are fixed, so that lengths of records do not depend on
 * chance and a seed repeats a run. */
#ifndef SLUICE_TESTS_SIM_SIM_TLS_PEER_H
#define SLUICE_TESTS_SIM_SIM_TLS_PEER_H

#include "tests/sim/sim.h"

#include <openssl/ssl.h>
#include <sys/types.h>

struct sim_tls_peer;
/* DATA: sim_tls_peer_read() has something. END: close_notify, or the end without. */
typedef void sim_tls_peer_fn(struct sim_tls_peer *t, enum sim_event event);

struct sim_tls_peer {
    struct sim_peer *peer;
    sim_tls_peer_fn *fn;
    void *arg;
    SSL *ssl;
    BIO *in, *out;
    uint64_t sent, received; /* plaintext */
    uint8_t *late;           /* plaintext that was to be sent before the handshake was over */
    size_t late_len;
    bool late_end, up, ended;
    bool broken; /* an alert came, or what is no record */
};

/* Takes the peer over, with its fn and arg. Lives until sim_tls_peer_free_all(). */
struct sim_tls_peer *sim_tls_peer_new(struct sim_peer *p, SSL_CTX *ctx, bool server,
                                      sim_tls_peer_fn *fn, void *arg);
void sim_tls_peer_send(struct sim_tls_peer *t, const void *data, size_t len); /* any time */
/* > 0, 0 at the end, -EAGAIN, -EPROTO when it is broken. */
ssize_t sim_tls_peer_read(struct sim_tls_peer *t, void *data, size_t len);
void sim_tls_peer_shutdown(struct sim_tls_peer *t); /* close_notify and the end of the stream */
/* Of all those made since the last call; their peers may be gone. */
void sim_tls_peer_free_all(void);

#endif
