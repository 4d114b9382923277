/* tls_watch.c - while the process runs: files that change are read again, random ticket keys are
 * rotated, and it is told in time which certificates will expire.
 *
 * Files are looked at by stat once a second, as that sees every way of replacing them (renames,
 * links of a volume, a mount). Certificate and key are two files: they are read when nothing has
 * changed from one look to the next, so that a new certificate is not tried with the old key. */
#include "lb/base/alloc.h"
#include "lb/base/hash.h"
#include "lb/base/named_file.h"
#include "lb/base/str.h"
#include "lb/config/conf.h"
#include "lb/io/loop.h"
#include "lb/main/process.h"
#include "lb/main/tls_store.h"
#include "lb/main/tls_store_priv.h"
#include "lb/net/resolver.h"
#include "lb/net/tls_files.h"
#include "lb/net/tls_ticket.h"
#include "lb/net/tls_ticket_file.h"
#include "lb/obs/events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS      1000
#define EXPIRY_MS    (24 * 3600 * 1000)
#define EXPIRES_SOON 14 /* days */
#define DAY_S        86400
#define REFUSED      ": a new file is refused, what was read before serves on: "

/* ---- what stat says ---- */

static uint64_t add_file(uint64_t stamp, const char *path)
{
    struct stat st;
    int64_t facts[7] = {0};

    if (path == NULL || strcmp(path, TLS_OCSP_FETCH) == 0)
        return stamp;
    int rc = named_file_stat(path, &st);
    if (rc == 0) {
        facts[0] = (int64_t)st.st_dev;
        facts[1] = (int64_t)st.st_ino;
        facts[2] = (int64_t)st.st_size;
        facts[3] = (int64_t)st.st_mtim.tv_sec;
        facts[4] = (int64_t)st.st_mtim.tv_nsec;
        facts[5] = (int64_t)st.st_ctim.tv_sec;
        facts[6] = (int64_t)st.st_ctim.tv_nsec;
    } else {
        facts[0] = rc;
    }
    return hash_bytes(facts, sizeof(facts), stamp);
}

uint64_t tls_store_stamp_server(const struct tls_server_conf *conf)
{
    uint64_t stamp = 0;

    for (uint32_t i = 0; i < conf->n_certs; i++) {
        stamp = add_file(stamp, conf->certs[i].cert);
        stamp = add_file(stamp, conf->certs[i].key);
        stamp = add_file(stamp, conf->certs[i].ocsp);
    }
    stamp = add_file(stamp, conf->client_ca);
    return add_file(stamp, conf->crl);
}

uint64_t tls_store_stamp_tickets(const struct tls_server_conf *conf)
{
    return add_file(0, conf->ticket_keys);
}

uint64_t tls_store_stamp_client(const struct tls_client_conf *conf)
{
    return add_file(add_file(add_file(0, conf->ca), conf->cert), conf->key);
}

void watch_begin(struct watch *w, uint64_t stamp)
{
    *w = (struct watch){stamp, stamp, false};
}

/* Whether they are to be read: they have changed since they were, and are quiet. */
static bool watch_look(struct watch *w, uint64_t stamp, bool now)
{
    bool quiet = stamp == w->seen;

    w->seen = stamp;
    if (!now && (!quiet || stamp == w->read))
        return false;
    w->read = stamp;
    return true;
}

/* ---- expiry ---- */

static int64_t wall_s(const struct tls_store *s)
{
    return (int64_t)(io_wall_us(s->process->loop.io) / 1000000);
}

static void tell_expiry(const char *of, const char *owner, const struct tls_cert_info *info,
                        int64_t now)
{
    int64_t left = info->not_after_s - now, days = (left < 0 ? -left : left) / DAY_S;
    const char *name = info->n_names > 0 ? info->names[0] : info->subject;

    if (left < 0)
        events_log(EVENT_CERTIFICATE, LOG_LEVEL_ERROR, owner,
                   "%s %s: certificate %s (%s) has expired %lld day%s ago", of, owner, info->file,
                   name, (long long)days, days == 1 ? "" : "s");
    else if (days < EXPIRES_SOON)
        events_log(EVENT_CERTIFICATE, LOG_LEVEL_WARN, owner,
                   "%s %s: certificate %s (%s) expires in %lld day%s", of, owner, info->file, name,
                   (long long)days, days == 1 ? "" : "s");
}

static void tell_expiries(const struct tls_store *s, const struct served *v)
{
    for (uint32_t k = 0; k < v->conf->tls->n_certs; k++)
        tell_expiry("listener", v->conf->name, tls_server_files_cert(v->files, k), wall_s(s));
}

static void on_expiry(struct timer *t)
{
    struct tls_store *s = container_of(t, struct tls_store, expiry);

    for (uint32_t i = 0; i < s->n_served; i++)
        tell_expiries(s, &s->served[i]);
    if (s->admin != NULL)
        tell_expiries(s, &s->admin->served);
    for (uint32_t i = 0; i < s->n_dialled; i++) {
        const struct tls_cert_info *own = tls_client_files_cert(s->dialled[i].files);
        if (own != NULL)
            tell_expiry("pool", s->dialled[i].pool->name, own, wall_s(s));
    }
    timer_start(&s->process->loop.timers, t, loop_now_ms(&s->process->loop) + EXPIRY_MS);
}

/* ---- reading again ---- */

static void describe(const struct tls_cert_info *info, int64_t now, struct strbuf *out)
{
    uint32_t shown = info->n_names < 4 ? info->n_names : 4;

    for (uint32_t i = 0; i < shown; i++)
        strbuf_addf(out, "%s%s", i > 0 ? ", " : "", info->names[i]);
    if (info->n_names > shown)
        strbuf_addf(out, " and %u more", info->n_names - shown);
    if (shown == 0)
        strbuf_add_cstr(out, info->subject);
    strbuf_addf(
        out, " (%s), %s %lld days", info->key_type,
        info->not_after_s < now ? "expired for" : "expires in",
        (long long)(info->not_after_s < now ? now - info->not_after_s : info->not_after_s - now) /
            DAY_S);
}

static bool keeps_any(const struct served *v)
{
    for (uint32_t i = 0; i < v->conf->tls->n_certs; i++)
        if (tls_server_files_kept(v->files, i))
            return true;
    return false;
}

/* What is new; the old files' facts are gone by then, so their fingerprints are handed in. */
static void tell_changes(const struct served *v, char *const *before, int64_t now)
{
    struct strbuf text = {0};
    uint32_t changed = 0;

    for (uint32_t i = 0; i < v->conf->tls->n_certs; i++) {
        const struct tls_cert_info *info = tls_server_files_cert(v->files, i);
        if (strcmp(before[i], info->fingerprint) == 0)
            continue;
        changed++;
        strbuf_clear(&text);
        describe(info, now, &text);
        events_log(EVENT_CERTIFICATE, LOG_LEVEL_INFO, v->conf->name,
                   "listener %s: new certificate %s: %s", v->conf->name, info->file, text.p);
    }
    if (changed == 0 && !keeps_any(v))
        events_log(
            EVENT_CERTIFICATE, LOG_LEVEL_INFO, v->conf->name,
            "listener %s: the files of its TLS were read again, its certificates are the same",
            v->conf->name);
    strbuf_fini(&text);
}

/* One pair that will not do does not hold up the others. */
static void read_server(struct tls_store *s, struct served *v)
{
    uint32_t n = v->conf->tls->n_certs;
    char **before = xcalloc(n, sizeof(*before));
    struct strbuf errors = {0};

    for (uint32_t i = 0; i < n; i++)
        before[i] = xstrdup(tls_server_files_cert(v->files, i)->fingerprint);
    v->certs.refused = s->admin != NULL && v == &s->admin->served
                           ? !tls_admin_load(s, wall_s(s), &errors)
                           : !tls_store_load_server(s, v, wall_s(s), &errors);
    tls_store_log("listener ", v->conf->name, REFUSED, &errors);
    if (!v->certs.refused) {
        tell_changes(v, before, wall_s(s));
        tls_staples_look(v);
    }
    for (uint32_t i = 0; i < n; i++)
        free(before[i]);
    free(before);
    strbuf_fini(&errors);
}

static void read_tickets(struct served *v)
{
    struct strbuf errors = {0};

    v->ticket_file.refused = !tls_ticket_file_read(v->conf->tls, v->keys, &errors);
    tls_store_log("listener ", v->conf->name, REFUSED, &errors);
    if (!v->ticket_file.refused)
        events_log(EVENT_CERTIFICATE, LOG_LEVEL_INFO, v->conf->name,
                   "listener %s: new ticket keys %s", v->conf->name, v->conf->tls->ticket_keys);
    strbuf_fini(&errors);
}

static void read_client(struct tls_store *s, struct dialled *d)
{
    struct strbuf errors = {0};
    char *name = xasprintf("%s%s", d->pool->name, d->workers ? "" : ", health checks");

    d->certs.refused = !tls_store_load_client(s, d, wall_s(s), &errors);
    tls_store_log("pool ", name, REFUSED, &errors);
    if (!d->certs.refused)
        events_log(EVENT_CERTIFICATE, LOG_LEVEL_INFO, name,
                   "pool %s: the files of its TLS were read again", name);
    free(name);
    strbuf_fini(&errors);
}

/* all: whether they have changed or not. */
static void look(struct tls_store *s, bool all)
{
    for (uint32_t i = 0; i < s->n_served; i++) {
        struct served *v = &s->served[i];
        if (watch_look(&v->certs, tls_store_stamp_server(v->conf->tls), all))
            read_server(s, v);
        if (v->conf->tls->ticket_keys != NULL &&
            watch_look(&v->ticket_file, tls_store_stamp_tickets(v->conf->tls), all))
            read_tickets(v);
    }
    if (s->admin != NULL &&
        watch_look(&s->admin->served.certs, tls_store_stamp_server(s->admin->conf.tls), all))
        read_server(s, &s->admin->served);
    for (uint32_t i = 0; i < s->n_dialled; i++)
        if (watch_look(&s->dialled[i].certs, tls_store_stamp_client(s->dialled[i].conf), all))
            read_client(s, &s->dialled[i]);
}

static void rotate(struct tls_store *s)
{
    uint64_t now = loop_now_ms(&s->process->loop);

    for (uint32_t i = 0; i < s->n_served; i++) {
        struct served *v = &s->served[i];
        const struct tls_server_conf *conf = v->conf->tls;
        if (conf->ticket_keys != NULL || !conf->tickets || now < v->rotate_at_ms)
            continue;
        if (v->rotate_at_ms != 0)
            tls_keyring_rotate(v->keys);
        v->rotate_at_ms = now + conf->ticket_rotate_s * UINT64_C(1000);
    }
}

static void on_look(struct timer *t)
{
    struct tls_store *s = container_of(t, struct tls_store, look);

    look(s, false);
    rotate(s);
    timer_start(&s->process->loop.timers, t, loop_now_ms(&s->process->loop) + LOOK_MS);
}

/* ---- public ---- */

void tls_store_start(struct tls_store *s, struct process *p)
{
    s->process = p;
    timer_init(&s->look, on_look);
    timer_init(&s->expiry, on_expiry);
    on_look(&s->look);
    on_expiry(&s->expiry);
    for (uint32_t i = 0; i < s->n_served; i++)
        tls_staples_start(s, &s->served[i]);
}

void tls_store_stop(struct tls_store *s)
{
    if (s->process == NULL)
        return;
    timer_stop(&s->process->loop.timers, &s->look);
    timer_stop(&s->process->loop.timers, &s->expiry);
    for (uint32_t i = 0; i < s->n_served; i++)
        tls_staples_stop(&s->served[i]);
    if (s->resolver != NULL)
        resolver_free(&s->resolver);
    s->process = NULL;
}

/* A fetch that waits for its answer fails, and is tried again as one that failed. */
void tls_store_forget_resolver(struct tls_store *s)
{
    if (s->resolver != NULL)
        resolver_free(&s->resolver);
}

bool tls_store_stopped(const struct tls_store *s)
{
    return s->fetches == 0;
}

void tls_store_reload(struct tls_store *s)
{
    if (s->process != NULL)
        look(s, true);
}

static void check_access(const char *of, const char *name, const char *path)
{
    if (path == NULL || strcmp(path, TLS_OCSP_FETCH) == 0)
        return;
    int fd = named_file_open(path, O_NONBLOCK);
    if (fd >= 0)
        close(fd);
    else
        events_log(EVENT_CERTIFICATE, LOG_LEVEL_WARN, name,
                   "%s %s: %s: %s: changes of it will not be seen before a restart", of, name, path,
                   strerror(-fd));
}

static void check_served(const struct served *v)
{
    const struct listener_conf *l = v->conf;

    for (uint32_t k = 0; k < l->tls->n_certs; k++) {
        check_access("listener", l->name, l->tls->certs[k].cert);
        check_access("listener", l->name, l->tls->certs[k].key);
        check_access("listener", l->name, l->tls->certs[k].ocsp);
    }
    check_access("listener", l->name, l->tls->client_ca);
    check_access("listener", l->name, l->tls->crl);
    check_access("listener", l->name, l->tls->ticket_keys);
}

void tls_store_check_access(const struct tls_store *s)
{
    for (uint32_t i = 0; i < s->n_served; i++)
        check_served(&s->served[i]);
    if (s->admin != NULL)
        check_served(&s->admin->served);
    for (uint32_t i = 0; i < s->n_dialled; i++) {
        const struct dialled *d = &s->dialled[i];
        check_access("pool", d->pool->name, d->conf->ca);
        check_access("pool", d->pool->name, d->conf->cert);
        check_access("pool", d->pool->name, d->conf->key);
    }
}
