/* resolve.c - see resolve.h */
#include "lb/main/resolve.h"

#include "health/checker.h"
#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/config/conf.h"
#include "lb/io/loop.h"
#include "lb/net/resolver.h"
#include "lb/obs/events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS      5000 /* at most, between lookups of a name that was never resolved */
#define ADDRESSES_MAX 16   /* of a name, best first: the others are not tried */

struct name {
    struct resolve *resolve;
    struct backend_slot *slot;
    const struct backend_conf *conf;
    struct timer again;
    bool resolved; /* at least once */
    bool answered; /* the first lookup has come back, whatever it said */
    bool forgotten;
    bool asking;                        /* an answer is awaited */
    char error[LIMIT_MAINT_REASON + 1]; /* of the last lookup, to log changes only */
};

/* A name that is looked up before it is anybody's. */
struct ahead {
    struct list node; /* of resolve's */
    struct resolve *resolve;
    char *host;
    bool asking, forgotten;
    uint32_t count; /* 0: no answer */
    struct addr list[ADDRESSES_MAX];
};

struct resolve {
    struct loop *loop;
    struct resolver *resolver;
    struct backend_table *table;
    struct checker *checker;
    char *servers; /* NULL: of /etc/resolv.conf */
    uint32_t refresh_ms, timeout_ms;
    struct name **names;
    uint32_t n;
    uint32_t unanswered;
    struct list ahead;
    void (*ahead_fn)(void *ctx); /* NULL: nobody waits */
    void *ahead_ctx;
    bool ending;
    bool changing; /* the resolver: what it is asked is asked the new one */
};

static void ask(struct name *n);

static struct resolver *open_resolver(struct loop *loop, const struct conf *conf,
                                      const char **out_error)
{
    const struct resolver_conf rc = {.servers = conf->resolver.servers,
                                     .timeout_ms = conf->resolver.timeout_ms};

    return resolver_new(loop, &rc, out_error);
}

static void take_settings(struct resolve *r, const struct conf *conf)
{
    free(r->servers);
    r->servers = conf->resolver.servers != NULL ? xstrdup(conf->resolver.servers) : NULL;
    r->timeout_ms = conf->resolver.timeout_ms;
    r->refresh_ms = conf->resolver.refresh_ms;
}

struct resolve *resolve_new(struct loop *loop, const struct conf *conf, struct backend_table *table,
                            const char **out_error)
{
    struct resolver *resolver = open_resolver(loop, conf, out_error);

    if (resolver == NULL)
        return NULL;
    struct resolve *r = xcalloc(1, sizeof(*r));
    r->loop = loop;
    r->resolver = resolver;
    r->table = table;
    list_init(&r->ahead);
    take_settings(r, conf);
    return r;
}

static void on_again(struct timer *t)
{
    ask(container_of(t, struct name, again));
}

static bool begin_with_answer(struct name *n);

void resolve_add(struct resolve *r, struct backend_slot *slot, const struct backend_conf *conf)
{
    struct name *n = xcalloc(1, sizeof(*n));

    n->resolve = r;
    n->slot = slot;
    n->conf = conf;
    timer_init(&n->again, on_again);
    r->names = xrealloc(r->names, (r->n + 1) * sizeof(struct name *));
    r->names[r->n++] = n;
    if (r->checker == NULL) /* the start waits for it */
        r->unanswered++;
    else
        n->answered = true;
    slot_set_admin(slot, 0, ADMIN_RMAINT);
    snprintf(slot->maint_reason, sizeof(slot->maint_reason), "%.80s is being looked up",
             conf->address.host);
    if (r->checker != NULL && !begin_with_answer(n))
        ask(n);
}

static void drop(struct name *n)
{
    struct resolve *r = n->resolve;

    for (uint32_t i = 0; i < r->n; i++)
        if (r->names[i] == n)
            r->names[i] = r->names[--r->n];
    free(n);
}

static void again(struct name *n)
{
    struct resolve *r = n->resolve;
    uint32_t wait = r->refresh_ms;

    if (!n->resolved && (wait > RETRY_MS || wait == 0))
        wait = RETRY_MS;
    if (wait > 0) /* 0: looked up once */
        timer_start(&r->loop->timers, &n->again, loop_now_ms(r->loop) + wait);
}

/* The address in use, if it is among those that were answered: order means nothing to DNS. */
static uint32_t choose(const struct addr *now, const struct addr *list, uint32_t count)
{
    for (uint32_t i = 0; now != NULL && i < count; i++)
        if (addr_eq(&list[i], now))
            return i;
    return 0;
}

static void resolved(struct name *n, const struct addr *list, uint32_t count)
{
    const struct addr *now = atomic_load_explicit(&n->slot->address, memory_order_acquire);
    uint32_t first = choose(now, list, count);
    char text[ADDR_TEXT_MAX], old[ADDR_TEXT_MAX];
    struct addr a = list[first];

    if (n->error[0] != '\0' && n->resolved)
        events_log_backend(EVENT_ADDRESS, LOG_LEVEL_INFO, n->slot->pool_name, n->slot->name,
                           "backend %s/%s: %s resolves again", n->slot->pool_name, n->slot->name,
                           n->conf->address.host);
    n->error[0] = '\0';
    if (now != NULL && n->resolved && addr_eq(now, &a)) {
        if (!slot_has_addresses(n->slot, list, count))
            slot_set_names_addresses(n->resolve->table, n->slot, list, count, first);
        return;
    }
    if (now != NULL)
        events_log_backend(EVENT_ADDRESS, LOG_LEVEL_INFO, n->slot->pool_name, n->slot->name,
                           "backend %s/%s: %s is now %s, was %s", n->slot->pool_name, n->slot->name,
                           n->conf->address.host, addr_format(&a, text), addr_format(now, old));
    else
        events_log_backend(EVENT_ADDRESS, LOG_LEVEL_INFO, n->slot->pool_name, n->slot->name,
                           "backend %s/%s: %s is %s", n->slot->pool_name, n->slot->name,
                           n->conf->address.host, addr_format(&a, text));
    slot_set_names_addresses(n->resolve->table, n->slot, list, count, first);
    n->resolved = true;
    n->slot->maint_reason[0] = '\0';
    slot_set_admin(n->slot, ADMIN_RMAINT, 0);
    checker_touch(n->resolve->checker, n->slot);
}

static void not_resolved(struct name *n, const char *error)
{
    bool news = strcmp(n->error, error) != 0;

    snprintf(n->error, sizeof(n->error), "%s", error);
    if (!n->resolved) {
        snprintf(n->slot->maint_reason, sizeof(n->slot->maint_reason), "%.80s: %.40s",
                 n->conf->address.host, error);
        if (news)
            events_log_backend(EVENT_ADDRESS, LOG_LEVEL_WARN, n->slot->pool_name, n->slot->name,
                               "%s:%d: backend %s/%s gets no traffic: %s: %s", n->conf->file,
                               n->conf->line, n->slot->pool_name, n->slot->name,
                               n->conf->address.host, error);
        checker_touch(n->resolve->checker, n->slot);
    } else if (news) {
        events_log_backend(EVENT_ADDRESS, LOG_LEVEL_WARN, n->slot->pool_name, n->slot->name,
                           "backend %s/%s: %s: %s; its last address stays in use",
                           n->slot->pool_name, n->slot->name, n->conf->address.host, error);
    }
}

/* count: 1 at least. */
static void use_answer(struct name *n, const struct addr *addrs, uint32_t count)
{
    struct addr list[ADDRESSES_MAX] = {{0}};

    if (count > ADDRESSES_MAX)
        count = ADDRESSES_MAX;
    for (uint32_t i = 0; i < count; i++) {
        list[i] = addrs[i];
        addr_set_port(&list[i], n->conf->address.port);
    }
    resolved(n, list, count);
}

static void on_answer(void *arg, const struct addr *addrs, uint32_t count, const char *error)
{
    struct name *n = arg;

    n->asking = false;
    if (n->resolve->ending)
        return;
    if (n->resolve->changing && !n->forgotten) {
        ask(n);
        return;
    }
    if (!n->answered) {
        n->answered = true;
        n->resolve->unanswered--;
    }
    if (n->forgotten) {
        drop(n);
        return;
    }
    if (count > 0)
        use_answer(n, addrs, count);
    else
        not_resolved(n, error != NULL ? error : "no address");
    again(n);
}

static void ask(struct name *n)
{
    if (n->forgotten || n->resolve->ending)
        return;
    n->asking = true;
    resolver_ask(n->resolve->resolver, n->conf->address.host, on_answer, n);
}

void resolve_start(struct resolve *r, struct checker *checker)
{
    r->checker = checker;
    for (uint32_t i = 0; i < r->n; i++)
        ask(r->names[i]);
}

bool resolve_first_round_over(const struct resolve *r)
{
    return r->unanswered == 0;
}

void resolve_forget(struct resolve *r, const struct backend_slot *slot)
{
    for (uint32_t i = 0; i < r->n; i++) {
        struct name *n = r->names[i];
        if (n->slot != slot || n->forgotten)
            continue;
        n->forgotten = true;
        timer_stop(&r->loop->timers, &n->again);
        n->slot->maint_reason[0] = '\0';
        slot_set_admin(n->slot, ADMIN_RMAINT, 0);
        if (!n->asking)
            drop(n);
        return; /* a slot has one name at most */
    }
}

void resolve_keep(struct resolve *r, const struct backend_slot *slot,
                  const struct backend_conf *conf)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (r->names[i]->slot == slot && !r->names[i]->forgotten)
            r->names[i]->conf = conf;
}

/* ---- ahead of a reload ---- */

static struct ahead *find_ahead(struct resolve *r, const char *host)
{
    list_for_each (node, &r->ahead) {
        struct ahead *a = list_entry(node, struct ahead, node);
        if (!a->forgotten && strcmp(a->host, host) == 0)
            return a;
    }
    return NULL;
}

static void free_ahead(struct ahead *a)
{
    list_remove(&a->node);
    free(a->host);
    free(a);
}

static bool ahead_is_asked(const struct resolve *r)
{
    list_for_each (node, &r->ahead) {
        const struct ahead *a = list_entry(node, const struct ahead, node);
        if (a->asking && !a->forgotten)
            return true;
    }
    return false;
}

static void on_ahead(void *arg, const struct addr *addrs, uint32_t count, const char *error)
{
    struct ahead *a = arg;
    struct resolve *r = a->resolve;
    void (*fn)(void *ctx) = r->ahead_fn;

    (void)error; /* resolve_add() asks again, and tells */
    a->asking = false;
    if (r->ending)
        return;
    if (a->forgotten) {
        free_ahead(a);
        return;
    }
    a->count = count < ADDRESSES_MAX ? count : ADDRESSES_MAX;
    for (uint32_t i = 0; i < a->count; i++)
        a->list[i] = addrs[i];
    if (fn == NULL || ahead_is_asked(r))
        return;
    r->ahead_fn = NULL;
    fn(r->ahead_ctx);
}

void resolve_ahead(struct resolve *r, const struct backend_slot *slot, const char *host)
{
    struct ahead *a;

    for (uint32_t i = 0; i < r->n; i++)
        if (r->names[i]->slot == slot && !r->names[i]->forgotten &&
            strcmp(r->names[i]->conf->address.host, host) == 0)
            return;
    if (find_ahead(r, host) != NULL)
        return;
    a = xcalloc(1, sizeof(*a));
    a->resolve = r;
    a->host = xstrdup(host);
    a->asking = true;
    list_push_back(&r->ahead, &a->node);
    resolver_ask(r->resolver, host, on_ahead, a);
}

bool resolve_ahead_wait(struct resolve *r, void (*fn)(void *ctx), void *ctx)
{
    if (!ahead_is_asked(r))
        return false;
    r->ahead_fn = fn;
    r->ahead_ctx = ctx;
    return true;
}

void resolve_ahead_end(struct resolve *r)
{
    r->ahead_fn = NULL;
    list_for_each_safe (node, next, &r->ahead) {
        struct ahead *a = list_entry(node, struct ahead, node);
        a->forgotten = true;
        if (!a->asking)
            free_ahead(a);
    }
}

static bool begin_with_answer(struct name *n)
{
    struct ahead *a = find_ahead(n->resolve, n->conf->address.host);

    if (a == NULL || a->count == 0)
        return false;
    use_answer(n, a->list, a->count);
    again(n);
    return true;
}

/* ---- other settings ---- */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

int resolve_prepare(const struct resolve *r, const struct conf *conf, struct resolver **out,
                    const char **out_error)
{
    *out = NULL;
    if (same_text(r->servers, conf->resolver.servers) && r->timeout_ms == conf->resolver.timeout_ms)
        return 0;
    *out = open_resolver(r->loop, conf, out_error);
    return *out != NULL ? 0 : -EIO;
}

/* Its next lookup is due when the new settings say; at once where it has never had an answer, as
 * other servers may know it. */
static void set_due(struct name *n, bool other_servers)
{
    if (n->asking || n->forgotten || n->resolve->checker == NULL)
        return;
    timer_stop(&n->resolve->loop->timers, &n->again);
    if (other_servers && !n->resolved)
        ask(n);
    else
        again(n);
}

void resolve_follow(struct resolve *r, const struct conf *conf, struct resolver **resolver)
{
    struct resolver *old = *resolver != NULL ? r->resolver : NULL;
    bool other_refresh = r->refresh_ms != conf->resolver.refresh_ms;

    if (old != NULL)
        r->resolver = *resolver;
    *resolver = NULL;
    take_settings(r, conf);
    for (uint32_t i = 0; i < r->n && (old != NULL || other_refresh); i++)
        set_due(r->names[i], old != NULL);
    if (old == NULL)
        return;
    r->changing = true;
    resolver_free(&old); /* its questions come back, to be asked again */
    r->changing = false;
}

void resolve_free(struct resolve **rp)
{
    struct resolve *r = *rp;

    if (r == NULL)
        return;
    r->ending = true;
    resolver_free(&r->resolver);
    list_for_each_safe (node, next, &r->ahead)
        free_ahead(list_entry(node, struct ahead, node));
    for (uint32_t i = 0; i < r->n; i++) {
        timer_stop(&r->loop->timers, &r->names[i]->again);
        free(r->names[i]);
    }
    free(r->names);
    free(r->servers);
    free(r);
    *rp = NULL;
}
