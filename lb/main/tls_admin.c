/* tls_admin.c - TLS of the admin address: one context, of the control thread.
 *
 * Its settings are copied, as configurations come and go while these stay until one says otherwise.
 * There are no tickets: who looks on has few connections. */
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

static bool load(struct tls_store *s, struct admin_tls *a, int64_t wall_s, struct strbuf *errors)
{
    struct tls_server *server = NULL;

    struct tls_server_files *files =
        a->served.files == NULL
            ? tls_server_files_read(a->conf.tls, wall_s, errors)
            : tls_server_files_read_again(a->conf.tls, a->served.files, wall_s, errors);
    if (files != NULL)
        server = tls_server_new(s->admin_env, a->conf.tls, files, NULL, errors);
    if (server == NULL) {
        tls_server_files_free(&files);
        return false;
    }
    tls_server_files_free(&a->served.files);
    a->served.files = files;
    if (a->server != NULL)
        tls_server_unref(&a->server);
    a->server = server;
    return true;
}

bool tls_admin_load(struct tls_store *s, int64_t wall_s, struct strbuf *errors)
{
    if (!load(s, s->admin, wall_s, errors))
        return false;
    if (s->process != NULL)
        admin_http_use_tls(&s->process->admin_http, s->admin->server);
    return true;
}

static void admin_free(struct admin_tls **admin)
{
    struct admin_tls *a = *admin;

    *admin = NULL;
    if (a == NULL)
        return;
    if (a->server != NULL)
        tls_server_unref(&a->server);
    tls_server_files_free(&a->served.files);
    free_conf(a->conf.tls);
    free(a->conf.name);
    free(a);
}

bool tls_admin_prepare(struct tls_store *s, const struct conf *conf, int64_t wall_s,
                       struct strbuf *errors)
{
    if (conf->admin == NULL || conf->admin->tls == NULL)
        return true;
    struct admin_tls *a = s->next_admin = xcalloc(1, sizeof(*a));
    a->conf = (struct listener_conf){.name = xstrdup("admin"), .tls = copy_conf(conf->admin->tls)};
    a->served = (struct served){.conf = &a->conf};
    watch_begin(&a->served.certs, tls_store_stamp_server(a->conf.tls));
    if (s->admin_env == NULL)
        s->admin_env = tls_env_new(errors);
    if (s->admin_env != NULL && load(s, a, wall_s, errors))
        return true;
    admin_free(&s->next_admin);
    return false;
}

void tls_admin_commit(struct tls_store *s)
{
    admin_free(&s->admin);
    s->admin = s->next_admin;
    s->next_admin = NULL;
}

void tls_admin_undo(struct tls_store *s)
{
    admin_free(&s->next_admin);
}

bool tls_admin_init(struct tls_store *s, const struct conf *conf, int64_t wall_s,
                    struct strbuf *errors)
{
    bool good = tls_admin_prepare(s, conf, wall_s, errors);

    tls_admin_commit(s);
    return good;
}

void tls_admin_fini(struct tls_store *s)
{
    admin_free(&s->next_admin);
    admin_free(&s->admin);
    if (s->admin_env != NULL)
        tls_env_free(&s->admin_env);
}

struct tls_server *tls_store_admin(const struct tls_store *s)
{
    return s->admin != NULL ? s->admin->server : NULL;
}
