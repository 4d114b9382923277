/* tls_store.c - see tls_store.h. How files are watched: tls_watch.c. */
#include "lb/main/tls_store.h"

#include "lb/base/alloc.h"
#include "lb/config/conf.h"
#include "lb/main/checker_thread.h"
#include "lb/main/process.h"
#include "lb/main/systemd.h"
#include "lb/main/tls_store_priv.h"
#include "lb/main/worker.h"
#include "lb/net/tls_files.h"
#include "lb/net/tls_ticket.h"
#include "lb/net/tls_ticket_file.h"
#include "lb/obs/events.h"
#include "lb/proxy/tls_contexts.h"
#include "lb/upstream/pool.h"

#include <stdlib.h>

/* ---- what there is ---- */

static bool has_clients(const struct conf *conf)
{
    for (uint32_t i = 0; i < conf->n_pools; i++)
        if (conf->pools[i].tls != NULL)
            return true;
    return false;
}

static bool has_servers(const struct conf *conf)
{
    for (uint32_t i = 0; i < conf->n_listeners; i++)
        if (conf->listeners[i].tls != NULL)
            return true;
    return false;
}

static bool has_checks(const struct conf *conf)
{
    for (uint32_t i = 0; i < conf->n_pools; i++)
        if (conf->pools[i].health.tls != NULL)
            return true;
    return false;
}

/* A pool's own settings serve its checks as well, unless those have others. */
static void list_uses(struct tls_store *s, const struct conf *conf)
{
    s->served = xcalloc(conf->n_listeners + 1, sizeof(*s->served));
    s->dialled = xcalloc(2 * (size_t)conf->n_pools + 1, sizeof(*s->dialled));
    for (uint32_t i = 0; i < conf->n_listeners; i++)
        if (conf->listeners[i].tls != NULL)
            s->served[s->n_served++] = (struct served){.conf = &conf->listeners[i], .index = i};
    for (uint32_t i = 0; i < conf->n_pools; i++) {
        const struct pool_conf *pool = &conf->pools[i];
        bool shared = pool->tls == pool->health.tls;
        if (pool->tls != NULL)
            s->dialled[s->n_dialled++] = (struct dialled){
                .conf = pool->tls, .pool = pool, .index = i, .workers = true, .health = shared};
        if (pool->health.tls != NULL && !shared)
            s->dialled[s->n_dialled++] = (struct dialled){
                .conf = pool->health.tls, .pool = pool, .index = i, .health = true};
    }
}

/* ---- contexts ---- */

void tls_store_log(const char *of, const char *name, const char *what, const struct strbuf *lines)
{
    for (struct str rest = strbuf_str(lines), line; rest.len > 0;) {
        line = str_word(&rest, "\n");
        bool warning = str_contains(line, STR(": warning: "));
        if (line.len > 0)
            events_log(EVENT_CERTIFICATE, warning ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, name,
                       "%s%s%s" STR_FMT, of, name, warning ? ": " : what, STR_ARG(line));
    }
}

static struct tls_contexts *target_contexts(const struct tls_store *s, uint32_t target)
{
    return target < s->n_workers ? s->workers[target] : s->health;
}

void tls_batch_free(struct tls_batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->servers[i] != NULL)
            tls_server_unref(&b->servers[i]);
        if (b->clients[i] != NULL)
            tls_client_unref(&b->clients[i]);
    }
    free(b->servers);
    free(b->clients);
}

void tls_batch_init(struct tls_batch *b, const struct tls_store *s)
{
    b->n = s->n_workers + 1;
    b->servers = xcalloc(b->n, sizeof(struct tls_server *));
    b->clients = xcalloc(b->n, sizeof(struct tls_client *));
}

struct swap_msg {
    struct loop_msg msg;
    struct tls_contexts *contexts;
    uint32_t index;
    struct tls_server *server;
    struct tls_client *client;
};

static void swap(struct tls_contexts *c, uint32_t index, struct tls_server **server,
                 struct tls_client **client)
{
    if (*server != NULL)
        tls_contexts_set_server(c, index, server);
    if (*client != NULL)
        tls_contexts_set_client(c, index, client);
}

static void on_swap(struct loop_msg *msg, void *ctx) /* on the thread that they are for */
{
    struct swap_msg *m = container_of(msg, struct swap_msg, msg);

    (void)ctx;
    swap(m->contexts, m->index, &m->server, &m->client);
    free(m);
}

void tls_batch_put(const struct tls_store *s, uint32_t number, struct tls_batch *b, uint32_t thread)
{
    swap(target_contexts(s, thread), number, &b->servers[thread], &b->clients[thread]);
}

/* Before the threads run they are put in place, later each thread does so itself. */
void tls_store_publish(struct tls_store *s, uint32_t index, struct tls_batch *b, uint32_t first)
{
    for (uint32_t i = first; i < b->n; i++) {
        struct tls_contexts *c = target_contexts(s, i);
        if (b->servers[i] == NULL && b->clients[i] == NULL)
            continue;
        if (s->process == NULL) {
            swap(c, index, &b->servers[i], &b->clients[i]);
            continue;
        }
        struct swap_msg *m = xcalloc(1, sizeof(*m));
        *m = (struct swap_msg){{NULL, on_swap}, c, index, b->servers[i], b->clients[i]};
        b->servers[i] = NULL;
        b->clients[i] = NULL;
        loop_post(i < s->n_workers ? &s->process->workers[i].loop
                                   : checker_thread_loop(s->process->checker),
                  &m->msg);
    }
}

bool tls_store_make_servers(struct tls_store *s, const struct tls_server_conf *conf,
                            struct tls_server_files *files, struct tls_keyring *keys,
                            struct tls_batch *b, struct strbuf *errors)
{
    for (uint32_t i = 0; i < s->n_workers; i++) {
        b->servers[i] = tls_server_new(s->workers[i]->env, conf, files, keys, errors);
        if (b->servers[i] == NULL)
            return false;
        systemd_still_here();
    }
    return true;
}

bool tls_store_make_clients(struct tls_store *s, const struct dialled *d,
                            struct tls_client_files *files, struct tls_batch *b,
                            struct strbuf *errors)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (i < s->n_workers ? !d->workers : !d->health)
            continue;
        b->clients[i] =
            tls_client_new(target_contexts(s, i)->env, d->conf, files, d->pool->n_backends, errors);
        if (b->clients[i] == NULL)
            return false;
    }
    return true;
}

bool tls_store_publish_server(struct tls_store *s, struct served *v, struct strbuf *errors)
{
    struct tls_batch b;

    tls_batch_init(&b, s);
    bool good = tls_store_make_servers(s, v->conf->tls, v->files, v->keys, &b, errors);
    if (good)
        tls_store_publish(s, v->index, &b, 0);
    tls_batch_free(&b);
    return good;
}

bool tls_store_load_server(struct tls_store *s, struct served *v, int64_t wall_s,
                           struct strbuf *errors)
{
    const struct tls_server_conf *conf = v->conf->tls;
    struct tls_server_files *files =
        v->files == NULL ? tls_server_files_read(conf, wall_s, errors)
                         : tls_server_files_read_again(conf, v->files, wall_s, errors);
    struct tls_batch b;

    tls_batch_init(&b, s);
    bool same = files != NULL && v->files != NULL && tls_server_files_same(v->files, files);
    bool good =
        same || (files != NULL && tls_store_make_servers(s, conf, files, v->keys, &b, errors));
    if (good) {
        if (!same) /* many certificates take seconds */
            tls_store_publish(s, v->index, &b, 0);
        tls_server_files_free(&v->files);
        v->files = files;
    } else if (files != NULL) {
        tls_server_files_free(&files);
    }
    tls_batch_free(&b);
    return good;
}

bool tls_store_load_client(struct tls_store *s, struct dialled *d, int64_t wall_s,
                           struct strbuf *errors)
{
    struct tls_client_files *files = tls_client_files_read(d->conf, wall_s, errors);
    struct tls_batch b;

    tls_batch_init(&b, s);
    bool good = files != NULL && tls_store_make_clients(s, d, files, &b, errors);
    if (good) {
        tls_store_publish(s, d->index, &b, 0);
        tls_client_files_free(&d->files);
        d->files = files;
    } else {
        tls_client_files_free(&files);
    }
    tls_batch_free(&b);
    return good;
}

/* ---- the whole ---- */

bool tls_store_make_envs(struct tls_store *s, const struct conf *conf, struct strbuf *errors)
{
    for (uint32_t i = 0; i < s->n_workers && (has_servers(conf) || has_clients(conf)); i++) {
        if (s->workers[i] == NULL)
            s->workers[i] = tls_contexts_new(LIMIT_LISTENERS, LIMIT_POOLS, errors);
        if (s->workers[i] == NULL)
            return false;
    }
    if (has_checks(conf) && s->health == NULL) {
        s->health = tls_contexts_new(0, LIMIT_POOLS, errors);
        return s->health != NULL;
    }
    return true;
}

static bool load_all(struct tls_store *s, int64_t wall_s, struct strbuf *errors)
{
    bool good = true;

    for (uint32_t i = 0; i < s->n_served; i++) {
        struct served *v = &s->served[i];
        v->keys = tls_keyring_new();
        watch_begin(&v->certs, tls_store_stamp_server(v->conf->tls));
        watch_begin(&v->ticket_file, tls_store_stamp_tickets(v->conf->tls));
        if (v->conf->tls->ticket_keys != NULL &&
            !tls_ticket_file_read(v->conf->tls, v->keys, errors))
            good = false;
        good = tls_store_load_server(s, v, wall_s, errors) && good;
    }
    for (uint32_t i = 0; i < s->n_dialled; i++) {
        watch_begin(&s->dialled[i].certs, tls_store_stamp_client(s->dialled[i].conf));
        good = tls_store_load_client(s, &s->dialled[i], wall_s, errors) && good;
    }
    return good;
}

struct tls_store *tls_store_new(const struct conf *conf, uint32_t n_workers, int64_t wall_s)
{
    struct tls_store *s = xcalloc(1, sizeof(*s));
    struct strbuf errors = {0};

    s->n_workers = n_workers;
    list_uses(s, conf);
    s->workers = xcalloc(n_workers, sizeof(struct tls_contexts *));
    if (!tls_store_make_envs(s, conf, &errors) || !load_all(s, wall_s, &errors) ||
        !tls_admin_init(s, conf, wall_s, &errors)) {
        tls_store_log("", "", "", &errors);
        tls_store_free(&s);
    }
    strbuf_fini(&errors); /* warnings were told when the configuration was read */
    return s;
}

void tls_store_free(struct tls_store **store)
{
    struct tls_store *s = *store;

    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->n_workers; i++)
        tls_contexts_free(&s->workers[i]);
    free(s->workers);
    tls_contexts_free(&s->health);
    for (uint32_t i = 0; i < s->n_served; i++) {
        tls_staples_stop(&s->served[i]);
        tls_server_files_free(&s->served[i].files);
        tls_keyring_free(&s->served[i].keys);
    }
    for (uint32_t i = 0; i < s->n_dialled; i++)
        tls_client_files_free(&s->dialled[i].files);
    for (uint32_t i = 0; i < s->n_old_keys; i++)
        tls_keyring_free(&s->old_keys[i]);
    free(s->old_keys);
    tls_admin_fini(s);
    free(s->served);
    free(s->dialled);
    free(s);
    *store = NULL;
}

struct tls_contexts **tls_store_workers(struct tls_store *s)
{
    return s->workers;
}

struct tls_client *const *tls_store_check_client(const struct tls_store *s, const struct pool *pool)
{
    return pool->conf->health.tls != NULL ? &s->health->clients[pool->kept->number] : NULL;
}

static void each_of(const struct served *v, void (*fn)(void *arg, const struct certificate_info *c),
                    void *arg)
{
    for (uint32_t k = 0; k < v->conf->tls->n_certs; k++) {
        const struct tls_cert_conf *cert = &v->conf->tls->certs[k];
        const struct certificate_info row = {
            .listener = v->conf->name,
            .cert = cert->cert,
            .key = cert->key,
            .ocsp = cert->ocsp,
            .ocsp_until_s = tls_server_files_stapled_until(v->files, k),
            .facts = tls_server_files_cert(v->files, k),
            .is_default = k == 0,
            .refused = v->certs.refused || tls_server_files_kept(v->files, k),
        };
        fn(arg, &row);
    }
}

void tls_store_each(const struct tls_store *s,
                    void (*fn)(void *arg, const struct certificate_info *c), void *arg)
{
    for (uint32_t i = 0; i < s->n_served; i++)
        each_of(&s->served[i], fn, arg);
    if (s->admin != NULL)
        each_of(&s->admin->served, fn, arg);
}
