/* openssl_memory.c - what OpenSSL itself holds for an idle server connection, for the benchmark.
 *
 *   openssl_memory FOLDER N
 *
 * Does N handshakes (FOLDER's cert.pem and key.pem) over socket pairs, with buffers released, and
 * prints the bytes of the heap that a server's side has added. The clients' sides are counted apart
 * by freeing them first. */
#include <errno.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what)
{
    fprintf(stderr, "openssl_memory: %s\n", what);
    exit(1);
}

/* Both ends in turn until both are through; then a byte each way, as after a request. */
static void join(SSL *server, SSL *client)
{
    char c = 'x';

    for (int i = 0; i < 20; i++) {
        int a = SSL_do_handshake(client), b = SSL_do_handshake(server);
        if (a == 1 && b == 1)
            break;
    }
    if (SSL_write(client, &c, 1) != 1 || SSL_read(server, &c, 1) != 1 ||
        SSL_write(server, &c, 1) != 1 || SSL_read(client, &c, 1) != 1)
        fail("no handshake");
    SSL_read(server, &c, 1); /* nothing: the buffer is released */
}

int main(int argc, char **argv)
{
    char path[4096];
    SSL_CTX *sctx = SSL_CTX_new(TLS_server_method()), *cctx = SSL_CTX_new(TLS_client_method());

    if (argc != 3 || sctx == NULL || cctx == NULL)
        fail("usage: openssl_memory FOLDER N");
    snprintf(path, sizeof(path), "%s/cert.pem", argv[1]);
    if (SSL_CTX_use_certificate_chain_file(sctx, path) != 1)
        fail(path);
    snprintf(path, sizeof(path), "%s/key.pem", argv[1]);
    if (SSL_CTX_use_PrivateKey_file(sctx, path, SSL_FILETYPE_PEM) != 1)
        fail(path);
    SSL_CTX_set_mode(sctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(sctx, SSL_SESS_CACHE_OFF);

    int n = atoi(argv[2]);
    SSL **servers = calloc((size_t)n + 1, sizeof(SSL *));
    size_t before = 0;
    for (int i = 0; i <= n; i++) { /* the first one only warms up */
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0)
            fail("socketpair");
        SSL *client = SSL_new(cctx);
        servers[i] = SSL_new(sctx);
        SSL_set_fd(client, pair[0]);
        SSL_set_fd(servers[i], pair[1]);
        SSL_set_connect_state(client);
        SSL_set_accept_state(servers[i]);
        join(servers[i], client);
        SSL_free(client);
        close(pair[0]);
        close(pair[1]);
        if (i == 0)
            before = mallinfo2().uordblks;
    }
    printf("%zu\n", (mallinfo2().uordblks - before) / (size_t)n);
    return 0;
}
