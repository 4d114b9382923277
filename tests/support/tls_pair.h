/* tls_pair.h - two streams with TLS, joined by a socket pair, and an authority that signs what they
 * show. On the epoll engine. Everything asserts. */
#ifndef SLUICE_TESTS_SUPPORT_TLS_PAIR_H
#define SLUICE_TESTS_SUPPORT_TLS_PAIR_H

#include "lb/net/stream_tls.h"
#include "lb/net/tls_files.h"
#include "lb/net/tls_ticket.h"
#include "tests/support/test_cert.h"

struct tls_pair {
    char dir[64];
    char ca[96]; /* the authority's certificate */
    struct loop loop;
    struct stream_env env;
    struct test_cert authority;
    struct tls_env *tls;
    struct tls_keyring *keys;
    struct tls_server *server;
    struct tls_client *client;
    struct stream a, b; /* server, client */
    bool joined;
    char errors[4096]; /* of what was made last */
};

struct tls_pair *tls_pair_new(void);
void tls_pair_free(struct tls_pair *p);
/* DIR/name, in one of a few static buffers. */
const char *tls_pair_path(const struct tls_pair *p, const char *name);
void tls_pair_write(const struct tls_pair *p, const char *name, const void *data, size_t len);
/* DIR/name.pem and DIR/name.key, signed by the authority (or by signer). */
void tls_pair_cert(const struct tls_pair *p, const char *name, const struct test_cert_wish *w,
                   const struct test_cert *signer);
/* With the certificate `name` where the conf has none. Takes the place of what was there before.
 * tls_pair_try_server: NULL is an answer, errors then says why. */
struct tls_server *tls_pair_try_server(struct tls_pair *p, struct tls_env *env,
                                       struct tls_server_conf conf, const char *name);
void tls_pair_server(struct tls_pair *p, struct tls_server_conf conf, const char *name);
/* Trusts the authority where the conf says no other. */
void tls_pair_client(struct tls_pair *p, struct tls_client_conf conf);
void tls_pair_join(struct tls_pair *p, const char *name, struct str alpn);
void tls_pair_part(struct tls_pair *p);
void tls_pair_event(struct stream *s); /* nothing: the tests look at the streams themselves */
void tls_pair_turn(struct tls_pair *p);
/* Turns until both are through, or one has failed. True: no error. */
bool tls_pair_shake(struct tls_pair *p);
void tls_pair_message(struct tls_pair *p, struct stream *from, struct stream *to, const char *text);

#define TLS_PAIR_TURNS_MAX 50000
#define tls_pair_until(p, cond)                                                                    \
    do {                                                                                           \
        int turns_ = 0;                                                                            \
        while (!(cond)) {                                                                          \
            assert_true(turns_++ < TLS_PAIR_TURNS_MAX);                                            \
            tls_pair_turn(p);                                                                      \
        }                                                                                          \
    } while (0)

#endif
