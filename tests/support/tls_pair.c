/* tls_pair.c - see tls_pair.h */
#include "tests/support/tls_pair.h"

#include "lb/base/alloc.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

void tls_pair_event(struct stream *s)
{
    (void)s;
}

struct tls_pair *tls_pair_new(void)
{
    struct tls_pair *p = xcalloc(1, sizeof(*p));
    const struct io_conf conf = {.engine = IO_EPOLL};
    struct strbuf errors = {0};
    int error;

    strcpy(p->dir, "/tmp/sluice-test-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    strcpy(p->ca, tls_pair_path(p, "ca.pem"));
    p->authority = test_cert_new(&(struct test_cert_wish){.cn = "Test CA", .is_ca = 1}, NULL);
    test_cert_write(&p->authority, p->ca, NULL);
    struct io *io = io_new(&conf, &error);
    assert_non_null(io);
    assert_int_equal(loop_init(&p->loop, io, p), 0);
    stream_env_init(&p->env, &p->loop);
    p->keys = tls_keyring_new();
    p->tls = tls_env_new(&errors);
    assert_non_null(p->tls);
    return p;
}

static void remove_folder(const char *path)
{
    DIR *d = opendir(path);
    char name[512];

    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
        unlink(name);
    }
    if (d != NULL)
        closedir(d);
    rmdir(path);
}

void tls_pair_free(struct tls_pair *p)
{
    if (p->joined) /* the test has failed */
        tls_pair_part(p);
    tls_server_unref(&p->server);
    tls_client_unref(&p->client);
    tls_env_free(&p->tls);
    tls_keyring_free(&p->keys);
    stream_env_fini(&p->env);
    loop_fini(&p->loop);
    test_cert_free(&p->authority);
    remove_folder(p->dir);
    free(p);
}

const char *tls_pair_path(const struct tls_pair *p, const char *name)
{
    static char paths[16][128];
    static unsigned next;
    char *path = paths[next++ % 16];

    snprintf(path, sizeof(paths[0]), "%s/%s", p->dir, name);
    return path;
}

void tls_pair_write(const struct tls_pair *p, const char *name, const void *data, size_t len)
{
    const char *path = tls_pair_path(p, name);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static const char *with(const struct tls_pair *p, const char *name, const char *end)
{
    char text[64];

    snprintf(text, sizeof(text), "%s%s", name, end);
    return tls_pair_path(p, text);
}

void tls_pair_cert(const struct tls_pair *p, const char *name, const struct test_cert_wish *w,
                   const struct test_cert *signer)
{
    struct test_cert c = test_cert_new(w, signer != NULL ? signer : &p->authority);

    test_cert_write(&c, with(p, name, ".pem"), with(p, name, ".key"));
    test_cert_free(&c);
}

static void keep_errors(struct tls_pair *p, struct strbuf *errors)
{
    snprintf(p->errors, sizeof(p->errors), "%s", errors->p != NULL ? errors->p : "");
    strbuf_fini(errors);
}

struct tls_server *tls_pair_try_server(struct tls_pair *p, struct tls_env *env,
                                       struct tls_server_conf conf, const char *name)
{
    struct tls_cert_conf cert = {.file = "x.conf", .line = 7};
    struct strbuf errors = {0};
    struct tls_server *t = NULL;

    if (conf.certs == NULL) {
        cert.cert = (char *)(uintptr_t)with(p, name, ".pem");
        cert.key = (char *)(uintptr_t)with(p, name, ".key");
        conf.certs = &cert;
        conf.n_certs = 1;
    }
    conf.file = "x.conf";
    conf.line = 5;
    struct tls_server_files *files = tls_server_files_read(&conf, time(NULL), &errors);
    if (files != NULL) {
        t = tls_server_new(env, &conf, files, p->keys, &errors);
        tls_server_files_free(&files);
    }
    keep_errors(p, &errors);
    return t;
}

void tls_pair_server(struct tls_pair *p, struct tls_server_conf conf, const char *name)
{
    tls_server_unref(&p->server);
    p->server = tls_pair_try_server(p, p->tls, conf, name);
    if (p->server == NULL)
        fail_msg("no server: %s", p->errors);
}

void tls_pair_client(struct tls_pair *p, struct tls_client_conf conf)
{
    struct strbuf errors = {0};

    tls_client_unref(&p->client);
    if (conf.verify && conf.ca == NULL)
        conf.ca = p->ca;
    struct tls_client_files *files = tls_client_files_read(&conf, time(NULL), &errors);
    if (files != NULL)
        p->client = tls_client_new(p->tls, &conf, files, 2, &errors);
    keep_errors(p, &errors);
    if (p->client == NULL)
        fail_msg("no client: %s", p->errors);
    tls_client_files_free(&files);
}

void tls_pair_join(struct tls_pair *p, const char *name, struct str alpn)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    p->joined = true;
    stream_open(&p->a, &p->env, pair[0], tls_pair_event);
    stream_open(&p->b, &p->env, pair[1], tls_pair_event);
    assert_true(stream_tls_accept(&p->a, p->server));
    assert_true(stream_tls_connect(&p->b, p->client, 0, str_of(name), alpn));
    stream_read(&p->a, STREAM_READ);
    stream_read(&p->b, STREAM_READ);
}

void tls_pair_part(struct tls_pair *p)
{
    stream_stop(&p->a);
    stream_stop(&p->b);
    tls_pair_until(p, stream_idle(&p->a) && stream_idle(&p->b));
    stream_close(&p->a, false);
    stream_close(&p->b, false);
    p->joined = false;
}

void tls_pair_turn(struct tls_pair *p)
{
    assert_true(loop_turn(&p->loop, 1) >= 0);
}

bool tls_pair_shake(struct tls_pair *p)
{
    tls_pair_until(p, (stream_tls_ready(&p->a) || p->a.error != 0) &&
                          (stream_tls_ready(&p->b) || p->b.error != 0));
    return p->a.error == 0 && p->b.error == 0;
}

void tls_pair_message(struct tls_pair *p, struct stream *from, struct stream *to, const char *text)
{
    uint32_t n = (uint32_t)strlen(text);

    assert_true(stream_write(from, text, n));
    stream_flush(from);
    tls_pair_until(p, to->in_bytes >= n);
    assert_true(stream_gather_front(to, n));
    assert_memory_equal(to->in->data, text, n);
    stream_consume(to, n);
}
