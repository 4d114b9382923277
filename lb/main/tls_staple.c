/* tls_staple.c - OCSP responses that are fetched: of each certificate that says so one is asked for
 * at start, at half of its life again, and sooner when that fails; what was fetched before is given
 * out until it expires. Nothing of it holds up handshakes. Control thread. */
#include "lb/base/alloc.h"
#include "lb/config/conf.h"
#include "lb/main/process.h"
#include "lb/main/tls_store_priv.h"
#include "lb/net/resolver.h"
#include "lb/net/tls_files.h"
#include "lb/net/tls_ocsp.h"
#include "lb/obs/events.h"
#include "lb/upstream/ocsp_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RETRY_FIRST_MS 5000 /* doubled with every failure in a row */
#define RETRY_LAST_MS  (3600 * 1000)
#define AGAIN_MAX_S    (24 * 3600) /* also when a response is good for longer */
#define AGAIN_MIN_S    10

struct staple {
    struct tls_store *store;
    struct served *served;
    uint32_t cert;
    struct timer due;
    struct ocsp_fetch *fetch; /* under way, or NULL */
    uint32_t failures;        /* in a row */
    char *asked_for;          /* fingerprint */
    char url[64];             /* as far as it fits, for the log */
};

struct tls_staples {
    uint32_t n;
    struct staple all[];
};

static void ask(struct staple *p);

static struct loop *loop_of(const struct staple *p)
{
    return &p->store->process->loop;
}

static int64_t wall_s(const struct staple *p)
{
    return (int64_t)(io_wall_us(loop_of(p)->io) / 1000000);
}

static const struct tls_cert_info *info_of(const struct staple *p)
{
    return tls_server_files_cert(p->served->files, p->cert);
}

/* A tenth less, at random, so that instances do not ask all at once. */
static void ask_in(struct staple *p, uint64_t ms)
{
    uint64_t less = ms / 10 > 0 ? io_random(loop_of(p)->io) % (ms / 10) : 0;

    timer_start(&loop_of(p)->timers, &p->due, loop_now_ms(loop_of(p)) + ms - less);
}

/* At half of the life that is left. */
static void ask_again(struct staple *p, int64_t until)
{
    int64_t left = until == INT64_MAX ? AGAIN_MAX_S : (until - wall_s(p)) / 2;

    left = left < AGAIN_MIN_S ? AGAIN_MIN_S : left > AGAIN_MAX_S ? AGAIN_MAX_S : left;
    ask_in(p, (uint64_t)left * 1000);
}

static const char *format_time(int64_t at_s, char out[static 32])
{
    time_t t = (time_t)at_s;
    struct tm tm;

    if (at_s == INT64_MAX)
        snprintf(out, 32, "it does not say when");
    else if (gmtime_r(&t, &tm) != NULL)
        strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return out;
}

static void failed(struct staple *p, const char *why)
{
    int64_t until = tls_server_files_stapled_until(p->served->files, p->cert);
    uint64_t wait = RETRY_FIRST_MS;
    char text[32];

    for (uint32_t i = 0; i < p->failures && wait < RETRY_LAST_MS; i++)
        wait *= 2;
    p->failures++;
    events_log(EVENT_CERTIFICATE, LOG_LEVEL_WARN, p->served->conf->name,
               "listener %s: no OCSP response for %s from %s: %s; %s%s", p->served->conf->name,
               info_of(p)->file, p->url, why,
               until > wall_s(p) ? "the one before is given out until "
                                 : "none is given out meanwhile",
               until > wall_s(p) ? format_time(until, text) : "");
    ask_in(p, wait < RETRY_LAST_MS ? wait : RETRY_LAST_MS);
}

static void succeeded(struct staple *p, struct str der, int64_t until)
{
    struct strbuf errors = {0};
    char text[32];

    tls_server_files_staple(p->served->files, p->cert, der, until);
    if (!tls_store_publish_server(p->store, p->served, &errors)) {
        failed(p, errors.p != NULL ? errors.p : "the contexts cannot be built");
        strbuf_fini(&errors);
        return;
    }
    strbuf_fini(&errors);
    p->failures = 0;
    events_log(EVENT_CERTIFICATE, LOG_LEVEL_INFO, p->served->conf->name,
               "listener %s: OCSP response for %s from %s: good until %s", p->served->conf->name,
               info_of(p)->file, p->url, format_time(until, text));
    ask_again(p, until);
}

static bool is_same(const struct staple *p)
{
    return p->asked_for != NULL && strcmp(p->asked_for, info_of(p)->fingerprint) == 0;
}

static void on_fetched(void *arg, struct str answer, const char *error)
{
    struct staple *p = arg;
    char words[TLS_OCSP_WORDS_MAX];
    int64_t until;

    p->fetch = NULL;
    if (!is_same(p)) { /* it has been replaced meanwhile */
        ask(p);
        return;
    }
    if (error == NULL)
        error = tls_ocsp_judge(tls_server_files_chain(p->served->files, p->cert), answer, wall_s(p),
                               &until, words);
    if (error != NULL)
        failed(p, error);
    else
        succeeded(p, answer, until);
}

static struct resolver *resolver_of(struct tls_store *s, const char **out_error)
{
    const struct resolver_conf conf = {.servers = s->process->conf->resolver.servers,
                                       .timeout_ms = s->process->conf->resolver.timeout_ms};

    if (s->resolver == NULL)
        s->resolver = resolver_new(&s->process->loop, &conf, out_error);
    return s->resolver;
}

static void ask(struct staple *p)
{
    struct tls_ocsp_question q;
    const char *why = tls_ocsp_ask(tls_server_files_chain(p->served->files, p->cert), &q);
    struct resolver *resolver;

    free(p->asked_for);
    p->asked_for = xstrdup(info_of(p)->fingerprint);
    snprintf(p->url, sizeof(p->url), "its responder");
    if (why != NULL) { /* was told when the files were read, and stays so until they change */
        return;
    }
    snprintf(p->url, sizeof(p->url), "http://%.50s:%u", q.host, q.port);
    resolver = resolver_of(p->store, &why);
    if (resolver == NULL) {
        failed(p, why);
    } else {
        const struct ocsp_fetch_conf conf = {
            .host = q.host,
            .path = q.path,
            .port = q.port,
            .request = {(const char *)q.der, q.len},
            .live = &p->store->fetches,
        };
        p->fetch = ocsp_fetch_start(loop_of(p), resolver, &conf, on_fetched, p);
    }
    tls_ocsp_question_fini(&q);
}

static void on_due(struct timer *t)
{
    ask(container_of(t, struct staple, due));
}

/* After a reload there may be one already. */
static void begin(struct staple *p)
{
    int64_t until = tls_server_files_stapled_until(p->served->files, p->cert);

    if (until <= wall_s(p)) {
        ask(p);
        return;
    }
    p->asked_for = xstrdup(info_of(p)->fingerprint);
    ask_again(p, until);
}

/* ---- for tls_store.c, tls_watch.c, tls_plan.c ---- */

static bool is_fetched(const struct tls_cert_conf *c)
{
    return c->ocsp != NULL && strcmp(c->ocsp, TLS_OCSP_FETCH) == 0;
}

void tls_staples_start(struct tls_store *s, struct served *v)
{
    const struct tls_server_conf *conf = v->conf->tls;
    uint32_t n = 0;

    for (uint32_t i = 0; i < conf->n_certs; i++)
        n += is_fetched(&conf->certs[i]);
    if (n == 0)
        return;
    v->staples = xcalloc(1, sizeof(*v->staples) + n * sizeof(v->staples->all[0]));
    for (uint32_t i = 0; i < conf->n_certs; i++) {
        if (!is_fetched(&conf->certs[i]))
            continue;
        struct staple *p = &v->staples->all[v->staples->n++];
        p->store = s;
        p->served = v;
        p->cert = i;
        timer_init(&p->due, on_due);
        begin(p);
    }
}

void tls_staples_look(struct served *v)
{
    for (uint32_t i = 0; v->staples != NULL && i < v->staples->n; i++) {
        struct staple *p = &v->staples->all[i];
        if (is_same(p) || p->fetch != NULL)
            continue;
        timer_stop(&loop_of(p)->timers, &p->due);
        p->failures = 0;
        ask(p);
    }
}

void tls_staples_stop(struct served *v)
{
    for (uint32_t i = 0; v->staples != NULL && i < v->staples->n; i++) {
        struct staple *p = &v->staples->all[i];
        timer_stop(&loop_of(p)->timers, &p->due);
        ocsp_fetch_stop(&p->fetch);
        free(p->asked_for);
    }
    free(v->staples);
    v->staples = NULL;
}
