/* tls_admin.c - TLS of the admin address: one context, of the control thread.
 *
 * Its settings are copied, as configurations come and go while these stay until a restart. There
 * are no tickets: who looks on has few connections. */
#include "lb/base/alloc.h"
#include "lb/config/conf.h"
#include "lb/main/admin_http.h"
#include "lb/main/process.h"
#include "lb/main/tls_store.h"
#include "lb/main/tls_store_priv.h"
#include "lb/net/tls.h"
#include "lb/net/tls_files.h"

#include <stdlib.h>

static char *copy(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}

static struct tls_server_conf *copy_conf(const struct tls_server_conf *from)
{
    struct tls_server_conf *conf = xcalloc(1, sizeof(*conf));

    conf->certs = xcalloc(from->n_certs, sizeof(conf->certs[0]));
    for (uint32_t i = 0; i < from->n_certs; i++)
        conf->certs[i] = (struct tls_cert_conf){.cert = copy(from->certs[i].cert),
                                                .key = copy(from->certs[i].key),
                                                .file = copy(from->certs[i].file),
                                                .line = from->certs[i].line};
    conf->n_certs = from->n_certs;
    conf->profile = from->profile;
    conf->verify = from->verify;
    conf->client_ca = copy(from->client_ca);
    conf->file = copy(from->file);
    conf->line = from->line;
    return conf;
}

static void free_conf(struct tls_server_conf *conf)
{
    for (uint32_t i = 0; i < conf->n_certs; i++) {
        free(conf->certs[i].cert);
        free(conf->certs[i].key);
        free((char *)conf->certs[i].file);
    }
    free(conf->certs);
    free(conf->client_ca);
    free((char *)conf->file);
    free(conf);
}

bool tls_admin_load(struct tls_store *s, int64_t wall_s, struct strbuf *errors)
{
    struct admin_tls *a = &s->admin;
    struct tls_server *server = NULL;

    struct tls_server_files *files =
        a->served.files == NULL
            ? tls_server_files_read(a->conf.tls, wall_s, errors)
            : tls_server_files_read_again(a->conf.tls, a->served.files, wall_s, errors);
    if (files != NULL)
        server = tls_server_new(a->env, a->conf.tls, files, NULL, errors);
    if (server == NULL) {
        tls_server_files_free(&files);
        return false;
    }
    tls_server_files_free(&a->served.files);
    a->served.files = files;
    if (a->server != NULL)
        tls_server_unref(&a->server);
    a->server = server;
    if (s->process != NULL)
        admin_http_use_tls(&s->process->admin_http, server);
    return true;
}

bool tls_admin_init(struct tls_store *s, const struct conf *conf, int64_t wall_s,
                    struct strbuf *errors)
{
    struct admin_tls *a = &s->admin;

    if (conf->admin == NULL || conf->admin->tls == NULL)
        return true;
    a->conf = (struct listener_conf){.name = xstrdup("admin"), .tls = copy_conf(conf->admin->tls)};
    a->served = (struct served){.conf = &a->conf};
    watch_begin(&a->served.certs, tls_store_stamp_server(a->conf.tls));
    a->env = tls_env_new(errors);
    return a->env != NULL && tls_admin_load(s, wall_s, errors);
}

void tls_admin_fini(struct tls_store *s)
{
    struct admin_tls *a = &s->admin;

    if (a->served.conf == NULL)
        return;
    if (a->server != NULL)
        tls_server_unref(&a->server);
    if (a->env != NULL)
        tls_env_free(&a->env);
    tls_server_files_free(&a->served.files);
    free_conf(a->conf.tls);
    free(a->conf.name);
}

struct tls_server *tls_store_admin(const struct tls_store *s)
{
    return s->admin.server;
}
