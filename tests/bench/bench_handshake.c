/* bench_handshake.c - CPU time of TLS handshakes, the server's side only: with one thread and with
 * two, each with a library context of its own as workers have, and, to compare, with one context
 * that two threads share.
 *
 *   bench_handshake [HANDSHAKES]
 *
 * ECDSA P-256; the client's side runs in between on the same thread and is not counted. The aim is
 * that two threads cost 1.1 times as much per handshake as one at most. Needs two idle processors:
 * on a busy machine threads do not run at the same time, and caches are shared with others. */
#include "lb/net/tls_priv.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS 2
#define ROUNDS  7 /* the best one is printed: what else runs here only adds */

enum kind { FULL_13, RESUMED_13, FULL_12, KINDS };

static const char *const kind_names[KINDS] = {"full, TLS 1.3", "resumed, TLS 1.3", "full, TLS 1.2"};

struct worker {
    pthread_t thread;
    struct tls_server *server;
    OSSL_LIB_CTX *client_lib;
    SSL_CTX *client;
    SSL_SESSION *session;
    enum kind kind;
    int n;
    double us; /* of CPU time per handshake */
};

static void fail(const char *what)
{
    fprintf(stderr, "bench_handshake: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static double cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct worker *w = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    SSL_SESSION_free(w->session);
    w->session = session;
    return 1;
}

/* One handshake and what a request would read and write; the server's CPU time. */
static double shake(struct worker *w)
{
    BIO *a, *b;
    SSL *client = SSL_new(w->client);
    double used = 0, begin = cpu_us();
    SSL *server = tls_server_ssl(w->server);
    char c = 'x';

    used += cpu_us() - begin;
    if (client == NULL || server == NULL || BIO_new_bio_pair(&a, 0, &b, 0) != 1)
        fail("no memory");
    SSL_set_bio(client, a, a);
    SSL_set_bio(server, b, b);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    if (w->kind == RESUMED_13 && w->session != NULL)
        SSL_set_session(client, w->session);
    for (int rc = 0, i = 0; rc != 1 && i < 10; i++) {
        SSL_do_handshake(client);
        begin = cpu_us();
        rc = SSL_do_handshake(server);
        used += cpu_us() - begin;
    }
    SSL_do_handshake(client);
    begin = cpu_us();
    if (SSL_write(server, &c, 1) != 1)
        fail("no handshake");
    used += cpu_us() - begin;
    if (SSL_read(client, &c, 1) != 1)
        fail("nothing to read");
    if (w->kind == RESUMED_13 && w->session != NULL && !SSL_session_reused(client))
        w->us = -1e9; /* told apart by who prints it */
    SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(client);
    begin = cpu_us();
    SSL_free(server);
    return used + cpu_us() - begin;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    double used = 0;

    for (int i = 0; i < 20; i++)
        shake(w);
    w->us = 0;
    for (int i = 0; i < w->n; i++)
        used += shake(w);
    w->us += used / w->n;
    return NULL;
}

static double round_of(struct worker *workers, int threads, enum kind kind, int n)
{
    double us = 0;

    for (int i = 0; i < threads; i++) {
        struct worker *w = &workers[i];
        w->kind = kind;
        w->n = n;
        SSL_SESSION_free(w->session);
        w->session = NULL;
        SSL_CTX_set_max_proto_version(w->client, kind == FULL_12 ? TLS1_2_VERSION : 0);
        if (pthread_create(&w->thread, NULL, run, w) != 0)
            fail("no thread");
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].us < 0)
            fail("a session was not resumed");
        us += workers[i].us / threads;
    }
    return us;
}

/* The figures are taken in turns, so that what disturbs one disturbs the others too. */
static void print_row(struct worker *own, struct worker *shared, enum kind kind, int n)
{
    double best[3] = {1e9, 1e9, 1e9};

    for (int round = 0; round < ROUNDS; round++) {
        const double us[] = {round_of(own, 1, kind, n), round_of(own, THREADS, kind, n),
                             round_of(shared, THREADS, kind, n)};
        for (int i = 0; i < 3; i++)
            best[i] = us[i] < best[i] ? us[i] : best[i];
    }
    printf("%-20s %12.1f %12.1f %6.2f %16.1f %6.2f\n", kind_names[kind], best[0], best[1],
           best[1] / best[0], best[2], best[2] / best[0]);
}

static struct tls_server *new_server(struct tls_env *env, const char *dir, struct tls_keyring *keys)
{
    char cert[300], key[300];
    struct strbuf errors = {0};
    struct tls_cert_conf pair = {.cert = cert, .key = key};
    const struct tls_server_conf conf = {
        .certs = &pair, .n_certs = 1, .profile = TLS_INTERMEDIATE, .tickets = true};

    snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
    snprintf(key, sizeof(key), "%s/key.pem", dir);
    struct tls_server_files *files = tls_server_files_read(&conf, time(NULL), &errors);
    struct tls_server *t = files ? tls_server_new(env, &conf, files, keys, &errors) : NULL;
    if (t == NULL)
        fail(errors.p);
    tls_server_files_free(&files);
    strbuf_fini(&errors);
    return t;
}

static void new_client(struct worker *w)
{
    w->client_lib = OSSL_LIB_CTX_new();
    w->client = SSL_CTX_new_ex(w->client_lib, NULL, TLS_client_method());
    if (w->client == NULL)
        fail("no client");
    SSL_CTX_set_app_data(w->client, w);
    SSL_CTX_set_session_cache_mode(w->client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(w->client, keep_session);
}

static void make_certificate(const char *dir)
{
    char command[700];

    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 30 "
             "-subj /CN=bench.example -keyout %s/key.pem -out %s/cert.pem 2>/dev/null",
             dir, dir);
    if (system(command) != 0)
        fail("openssl req");
}

static void remove_certificate(const char *dir)
{
    char path[300];

    snprintf(path, sizeof(path), "%s/cert.pem", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/key.pem", dir);
    unlink(path);
    rmdir(dir);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/sl-handshake-XXXXXX";
    int n = argc > 1 ? atoi(argv[1]) : 200;
    struct strbuf errors = {0};
    struct tls_keyring *keys = tls_keyring_new();
    struct tls_env *envs[THREADS];
    struct worker own[THREADS] = {0}, shared[THREADS] = {0};

    if (n <= 0 || mkdtemp(dir) == NULL)
        fail("usage: bench_handshake [HANDSHAKES]");
    make_certificate(dir);
    for (int i = 0; i < THREADS; i++) {
        envs[i] = tls_env_new(&errors);
        if (envs[i] == NULL)
            fail(errors.p);
        own[i].server = new_server(envs[i], dir, keys);
        shared[i].server =
            i == 0 ? new_server(envs[0], dir, keys) : tls_server_ref(shared[0].server);
        new_client(&own[i]);
        new_client(&shared[i]);
    }
    remove_certificate(dir);
    printf("CPU us per handshake   one thread  two threads  ratio   two that share  ratio\n");
    for (int kind = 0; kind < KINDS; kind++)
        print_row(own, shared, (enum kind)kind, n);
    for (int i = 0; i < THREADS; i++) {
        struct worker *all[] = {&own[i], &shared[i]};
        for (int k = 0; k < 2; k++) {
            tls_server_unref(&all[k]->server);
            SSL_SESSION_free(all[k]->session);
            SSL_CTX_free(all[k]->client);
            OSSL_LIB_CTX_free(all[k]->client_lib);
        }
    }
    for (int i = 0; i < THREADS; i++)
        tls_env_free(&envs[i]);
    tls_keyring_free(&keys);
    return 0;
}
