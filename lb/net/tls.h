/* tls.h - TLS contexts, over OpenSSL. How connections use them: stream_tls.h.
 *
 * OpenSSL 3.0 is slow where threads share it, so every thread that does handshakes has a tls_env: a
 * library context of its own for the life of the process, with all that is fetched from it. The
 * contexts of listeners (tls_server) and pools (tls_client) are built per env, by the control
 * thread, from files that were read once (tls_files.h); they are counted references, so that a
 * connection keeps the one that it began with while a new one is published. */
#ifndef SLUICE_NET_TLS_H
#define SLUICE_NET_TLS_H

#include "lb/base/str.h"
#include "lb/net/tls_conf.h"

#include <stdbool.h>
#include <stdint.h>

struct tls_client;
struct tls_env;
struct tls_keyring; /* tls_ticket.h */
struct tls_server;
struct tls_server_files;
struct tls_client_files;

/* 0: this kernel can make TLS records itself (stream_tls_kernel.c); else -errno. */
int tls_kernel_probe(void);

/* One per thread that does handshakes; made by any thread before. NULL with why in errors. */
struct tls_env *tls_env_new(struct strbuf *errors);
void tls_env_free(struct tls_env **env); /* no context of it is left */

/* files: of the same conf; they and conf must stay only during the call, keys as long as the
 * process. Mistakes (a cipher list that names nothing, a key that does not fit) are appended to
 * errors, a line each, as `FILE:LINE: error: SETTING: found, expected`; NULL then. */
struct tls_server *tls_server_new(struct tls_env *env, const struct tls_server_conf *conf,
                                  const struct tls_server_files *files, struct tls_keyring *keys,
                                  struct strbuf *errors);
struct tls_server *tls_server_ref(struct tls_server *t);
void tls_server_unref(struct tls_server **server);

/* n_members: of the pool; sessions are kept per member, to be resumed. */
struct tls_client *tls_client_new(struct tls_env *env, const struct tls_client_conf *conf,
                                  const struct tls_client_files *files, uint32_t n_members,
                                  struct strbuf *errors);
struct tls_client *tls_client_ref(struct tls_client *t);
void tls_client_unref(struct tls_client **client);

#endif
