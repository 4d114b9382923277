/* tls_plan.c - see tls_plan.h */
#include "lb/main/tls_plan.h"

#include "lb/base/alloc.h"
#include "lb/config/conf.h"
#include "lb/main/snapshot.h"
#include "lb/main/tls_store_priv.h"
#include "lb/net/tls_files.h"
#include "lb/net/tls_ticket.h"
#include "lb/net/tls_ticket_file.h"
#include "lb/upstream/pool.h"

#include <stdlib.h>

/* Contexts for the threads, of one listener or pool. */
struct planned {
    uint32_t number;
    struct tls_batch batch;
};

struct tls_plan {
    struct tls_store *store;
    struct served *served;
    struct dialled *dialled;
    uint32_t n_served, n_dialled;
    struct planned *contexts;
    uint32_t n_contexts;
    bool committed;
};

static struct planned *next_batch(struct tls_plan *p, uint32_t number)
{
    struct planned *c = &p->contexts[p->n_contexts++];

    c->number = number;
    tls_batch_init(&c->batch, p->store);
    return c;
}

/* ---- listeners ---- */

static struct served *old_served(const struct tls_store *s, uint32_t number)
{
    for (uint32_t i = 0; i < s->n_served; i++)
        if (s->served[i].index == number)
            return &s->served[i];
    return NULL;
}

static bool same_settings(const struct listener_conf *a, const struct listener_conf *b)
{
    struct strbuf x = {0}, y = {0};

    conf_dump_listener_tls(a, &x);
    conf_dump_listener_tls(b, &y);
    bool same = str_eq(strbuf_str(&x), strbuf_str(&y));
    strbuf_fini(&x);
    strbuf_fini(&y);
    return same;
}

static bool plan_server(struct tls_plan *p, const struct proxy_listener *l, int64_t wall_s,
                        struct strbuf *errors)
{
    struct served *old = old_served(p->store, l->number), *v = &p->served[p->n_served++];

    if (old != NULL && same_settings(old->conf, l->conf)) {
        *v = *old; /* goes over with the commit */
        v->conf = l->conf;
        return true;
    }
    *v = (struct served){.conf = l->conf, .index = l->number, .fresh = true};
    v->keys = old != NULL ? old->keys : tls_keyring_new();
    v->own_keys = old == NULL;
    watch_begin(&v->certs, tls_store_stamp_server(v->conf->tls));
    watch_begin(&v->ticket_file, tls_store_stamp_tickets(v->conf->tls));
    if (v->conf->tls->ticket_keys != NULL && !tls_ticket_file_read(v->conf->tls, v->keys, errors))
        return false;
    struct planned *c = next_batch(p, l->number);
    v->files = tls_server_files_read(v->conf->tls, wall_s, errors);
    return v->files != NULL &&
           tls_store_make_servers(p->store, v->conf->tls, v->files, v->keys, &c->batch, errors);
}

/* ---- pools and their checks ---- */

static struct dialled *old_dialled(const struct tls_store *s, uint32_t number, bool workers)
{
    for (uint32_t i = 0; i < s->n_dialled; i++)
        if (s->dialled[i].index == number && s->dialled[i].workers == workers)
            return &s->dialled[i];
    return NULL;
}

/* Sessions are kept by a backend's place in its pool, so another pool has contexts of its own. */
static bool plan_client(struct tls_plan *p, const struct pool *pool, bool workers, int64_t wall_s,
                        struct strbuf *errors)
{
    const struct pool_conf *conf = pool->conf;
    struct dialled *old = old_dialled(p->store, pool->kept->number, workers);
    struct dialled *d = &p->dialled[p->n_dialled++];

    if (old != NULL && old->pool == conf) {
        *d = *old; /* goes over with the commit */
        return true;
    }
    *d = (struct dialled){.conf = workers ? conf->tls : conf->health.tls,
                          .pool = conf,
                          .index = pool->kept->number,
                          .workers = workers,
                          .health = !workers || conf->tls == conf->health.tls,
                          .fresh = true};
    watch_begin(&d->certs, tls_store_stamp_client(d->conf));
    struct planned *c = next_batch(p, d->index);
    d->files = tls_client_files_read(d->conf, wall_s, errors);
    return d->files != NULL && tls_store_make_clients(p->store, d, d->files, &c->batch, errors);
}

static bool plan_pool(struct tls_plan *p, const struct pool *pool, int64_t wall_s,
                      struct strbuf *errors)
{
    const struct pool_conf *conf = pool->conf;
    bool good = true;

    if (conf->tls != NULL)
        good = plan_client(p, pool, true, wall_s, errors);
    if (conf->health.tls != NULL && conf->health.tls != conf->tls)
        good = plan_client(p, pool, false, wall_s, errors) && good;
    return good;
}

/* ---- the whole ---- */

struct tls_plan *tls_plan_new(struct tls_store *s, const struct snapshot *new, int64_t wall_s,
                              struct strbuf *errors)
{
    const struct conf *conf = new->conf->conf;
    struct tls_plan *p = xcalloc(1, sizeof(*p));
    bool good;

    p->store = s;
    p->served = xcalloc(conf->n_listeners + 1, sizeof(*p->served));
    p->dialled = xcalloc(2 * (size_t)conf->n_pools + 1, sizeof(*p->dialled));
    p->contexts = xcalloc(conf->n_listeners + 2 * (size_t)conf->n_pools + 1, sizeof(*p->contexts));
    good = tls_store_make_envs(s, conf, errors);
    for (uint32_t i = 0; good && i < conf->n_listeners; i++)
        if (new->run_listeners[i]->conf->tls != NULL)
            good = plan_server(p, new->run_listeners[i], wall_s, errors);
    for (uint32_t i = 0; good && i < conf->n_pools; i++)
        good = plan_pool(p, new->run_pools[i], wall_s, errors);
    if (!good)
        tls_plan_free(&p);
    return p;
}

/* What the plan has not taken over. Keys of a listener that is gone stay: its clients may still be
 * there. */
static void give_up_old(struct tls_store *s, const struct tls_plan *p)
{
    for (uint32_t i = 0; i < s->n_served; i++) {
        struct served *v = &s->served[i];
        bool files = false, keys = false;
        for (uint32_t k = 0; k < p->n_served; k++) {
            files = files || p->served[k].files == v->files;
            keys = keys || p->served[k].keys == v->keys;
        }
        if (!files)
            tls_server_files_free(&v->files);
        if (keys)
            continue;
        s->old_keys = xrealloc(s->old_keys, (s->n_old_keys + 1) * sizeof(s->old_keys[0]));
        s->old_keys[s->n_old_keys++] = v->keys;
    }
    for (uint32_t i = 0; i < s->n_dialled; i++) {
        bool files = false;
        for (uint32_t k = 0; k < p->n_dialled; k++)
            files = files || p->dialled[k].files == s->dialled[i].files;
        if (!files)
            tls_client_files_free(&s->dialled[i].files);
    }
    free(s->served);
    free(s->dialled);
}

void tls_plan_commit(struct tls_plan *p)
{
    struct tls_store *s = p->store;

    for (uint32_t i = 0; i < s->n_served; i++)
        tls_staples_stop(&s->served[i]);
    for (uint32_t i = 0; i < p->n_served; i++)
        p->served[i].staples = NULL; /* of the old ones, stopped */
    give_up_old(s, p);
    s->served = p->served;
    s->n_served = p->n_served;
    s->dialled = p->dialled;
    s->n_dialled = p->n_dialled;
    for (uint32_t i = 0; i < s->n_served; i++)
        s->served[i].fresh = false;
    for (uint32_t i = 0; i < s->n_dialled; i++)
        s->dialled[i].fresh = false;
    p->served = NULL;
    p->dialled = NULL;
    p->n_served = p->n_dialled = 0;
    p->committed = true;
    for (uint32_t i = 0; i < p->n_contexts; i++)
        tls_store_publish(s, p->contexts[i].number, &p->contexts[i].batch, s->n_workers);
    for (uint32_t i = 0; i < s->n_served && s->process != NULL; i++)
        tls_staples_start(s, &s->served[i]);
}

void tls_plan_adopt(struct tls_plan *p, uint32_t worker)
{
    for (uint32_t i = 0; i < p->n_contexts; i++)
        tls_batch_put(p->store, p->contexts[i].number, &p->contexts[i].batch, worker);
}

void tls_plan_free(struct tls_plan **plan)
{
    struct tls_plan *p = *plan;

    *plan = NULL;
    if (p == NULL)
        return;
    for (uint32_t i = 0; i < p->n_served; i++) { /* not committed */
        if (!p->served[i].fresh)
            continue;
        if (p->served[i].files != NULL)
            tls_server_files_free(&p->served[i].files);
        if (p->served[i].own_keys)
            tls_keyring_free(&p->served[i].keys);
    }
    for (uint32_t i = 0; i < p->n_dialled; i++)
        if (p->dialled[i].fresh)
            tls_client_files_free(&p->dialled[i].files);
    for (uint32_t i = 0; i < p->n_contexts; i++)
        tls_batch_free(&p->contexts[i].batch);
    free(p->served);
    free(p->dialled);
    free(p->contexts);
    free(p);
}
