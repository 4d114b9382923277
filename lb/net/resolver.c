/* resolver.c - see resolver.h.
 *
 * c-ares does the protocol; its sockets are watched by polls on the loop, its timeouts are one
 * timer. c-ares closes a socket whenever it likes, also from inside our call to it, but a
 * descriptor with an armed poll must not be closed: so a watch polls a duplicate, and closes that
 * when the poll has come back.
 *
 * /etc/resolv.conf is read when the channel is made. When it has changed since, and nothing is
 * asked, a new channel takes over (containers get new servers while they run). */
#include "lb/net/resolver.h"

#include "lb/base/alloc.h"
#include "lb/base/list.h"
#include "lb/io/loop.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESOLVER_MAGIC 0x4e5010e4u
#define WATCH_MAGIC    0x4e5010e5u
#define QUESTION_MAGIC 0x4e5010e6u
#define ANSWERS_MAX    256  /* addresses of one name; more are ignored */
#define TRIES          2    /* per server, the second waits longer */
#define TIMEOUT_MS     2000 /* where none is configured */
#define RESOLV_CONF    "/etc/resolv.conf"

struct resolver {
    uint32_t magic;
    bool own_servers; /* configured: no resolv.conf, no hosts file */
    bool closed;      /* resolver_free() was called: no more questions */
    bool ending;      /* ... and came to its end: goes with its last watch */
    struct loop *loop;
    ares_channel channel;
    char *servers;
    uint32_t timeout_ms;
    struct timespec conf_time; /* of resolv.conf when the channel was made */
    struct timer timeout;
    struct list watches;
    struct list questions;
};

/* A socket of c-ares. */
struct watch {
    uint32_t magic;
    struct resolver *resolver;
    struct list node;
    struct op op;
    int fd;      /* c-ares' number for it, -1 once c-ares closed it */
    int dup_fd;  /* ours */
    int wanted;  /* events to wait for */
    bool in_use; /* on_ready is at work with it: it frees or arms it */
};

struct question {
    uint32_t magic;
    struct resolver *resolver;
    struct list node;
    struct loop_task deliver;
    resolver_fn *fn;
    void *arg;
    struct addr *addrs;
    uint32_t n;
    const char *error;
    bool waiting; /* c-ares has it */
};

/* ---- the channel's sockets and timeouts ---- */

static void free_if_ended(struct resolver *r)
{
    if (!r->ending || !list_empty(&r->watches))
        return;
    r->magic = 0;
    free(r->servers);
    free(r);
}

static void watch_free(struct watch *w)
{
    struct resolver *r = w->resolver;
    sl_assert(!w->op.armed);
    io_close(r->loop->io, w->dup_fd);
    list_remove(&w->node);
    w->magic = 0;
    free(w);
    free_if_ended(r);
}

static void set_timeout(struct resolver *r)
{
    struct timeval buf, *next = NULL;
    if (r->channel != NULL)
        next = ares_timeout(r->channel, NULL, &buf);
    if (next == NULL) {
        timer_stop(&r->loop->timers, &r->timeout);
        return;
    }
    uint64_t ms = (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1;
    timer_start(&r->loop->timers, &r->timeout, loop_now_ms(r->loop) + ms);
}

static void on_timeout(struct timer *t)
{
    struct resolver *r = container_of(t, struct resolver, timeout);
    CHECK_MAGIC(r, RESOLVER_MAGIC);
    struct timeval buf;
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    /* c-ares 1.34 closes idle sockets before it looks at timeouts, so the socket of the last
     * question would stay open until the next one: one more call closes it. */
    if (!list_empty(&r->watches) && ares_timeout(r->channel, NULL, &buf) == NULL)
        ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timeout(r);
}

/* Arms, changes or ends the poll, as what is wanted now asks for. */
static void watch_update(struct watch *w)
{
    if (w->in_use)
        return;
    if (w->op.armed) {
        if (w->fd < 0 || (uint32_t)w->wanted != w->op.poll.events)
            io_cancel(w->resolver->loop->io, &w->op);
        return;
    }
    if (w->fd < 0)
        watch_free(w);
    else
        io_poll(w->resolver->loop->io, &w->op, w->dup_fd, (uint32_t)w->wanted);
}

static void on_ready(struct op *op, int res)
{
    struct watch *w = container_of(op, struct watch, op);
    CHECK_MAGIC(w, WATCH_MAGIC);
    struct resolver *r = w->resolver;
    if (res > 0 && w->fd >= 0) {
        bool broken = (res & (POLLERR | POLLHUP)) != 0;
        bool in = broken || (res & POLLIN) != 0;
        bool out = (res & POLLOUT) != 0 || (broken && (w->wanted & POLLOUT) != 0);
        w->in_use = true; /* c-ares may close it, and call on_socket() for it */
        ares_process_fd(r->channel, in ? w->fd : ARES_SOCKET_BAD, out ? w->fd : ARES_SOCKET_BAD);
        w->in_use = false;
        set_timeout(r);
    } else if (res < 0 && res != -ECANCELED && w->fd >= 0) {
        w->fd = -1; /* cannot be watched: c-ares' own timeouts deal with it */
    }
    watch_update(w); /* may free w, and with it r */
}

static void watch_new(struct resolver *r, int fd, int wanted)
{
    int dup_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (dup_fd < 0)
        return; /* no descriptors left: the question times out */
    struct watch *w = xcalloc(1, sizeof(*w));
    *w = (struct watch){
        .magic = WATCH_MAGIC, .resolver = r, .fd = fd, .dup_fd = dup_fd, .wanted = wanted};
    op_init(&w->op, on_ready);
    list_init(&w->node);
    list_push_back(&r->watches, &w->node);
    watch_update(w);
}

/* c-ares says what it wants to know about a socket; neither: it closes it now. */
static void on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = data;
    CHECK_MAGIC(r, RESOLVER_MAGIC);
    int wanted = (readable ? POLLIN : 0) | (writable ? POLLOUT : 0);
    list_for_each (node, &r->watches) {
        struct watch *w = list_entry(node, struct watch, node);
        if (w->fd != fd)
            continue;
        if (wanted == 0)
            w->fd = -1; /* the number may come back at once, for another socket */
        else
            w->wanted = wanted;
        watch_update(w); /* may free w */
        return;
    }
    if (wanted != 0)
        watch_new(r, fd, wanted);
}

/* ---- the channel ---- */

static struct timespec conf_time(void)
{
    struct stat st;
    return stat(RESOLV_CONF, &st) == 0 ? st.st_mtim : (struct timespec){0};
}

/* 0, or c-ares' error. */
static int channel_open(struct resolver *r, ares_channel *out)
{
    struct ares_options options = {
        .timeout = (int)r->timeout_ms,
        .tries = TRIES,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = r,
    };
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    char lookups[] = "b"; /* servers that were named are asked, not a file */
    if (r->own_servers) {
        options.lookups = lookups;
        mask |= ARES_OPT_LOOKUPS;
    }
#ifdef ARES_OPT_QUERY_CACHE
    options.qcache_max_ttl = 0; /* the caller has its own interval */
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    ares_channel channel;
    int rc = ares_init_options(&channel, &options, mask);
    if (rc != ARES_SUCCESS)
        return rc;
    if (r->own_servers) {
        rc = ares_set_servers_ports_csv(channel, r->servers);
        if (rc != ARES_SUCCESS) {
            ares_destroy(channel);
            return rc;
        }
    }
    *out = channel;
    return ARES_SUCCESS;
}

/* Between questions only: destroying a channel would answer them. */
static void follow_resolv_conf(struct resolver *r)
{
    ares_channel fresh;
    if (r->own_servers)
        return;
    list_for_each (node, &r->questions) {
        if (list_entry(node, struct question, node)->waiting)
            return;
    }
    struct timespec now = conf_time();
    if (now.tv_sec == r->conf_time.tv_sec && now.tv_nsec == r->conf_time.tv_nsec)
        return;
    r->conf_time = now;
    if (channel_open(r, &fresh) != ARES_SUCCESS)
        return; /* the old one still works */
    ares_destroy(r->channel);
    r->channel = fresh;
}

struct resolver *resolver_new(struct loop *loop, const struct resolver_conf *conf,
                              const char **out_error)
{
    int rc = ares_library_init(ARES_LIB_INIT_ALL);
    if (rc != ARES_SUCCESS) {
        *out_error = ares_strerror(rc);
        return NULL;
    }
    struct resolver *r = xcalloc(1, sizeof(*r));
    r->magic = RESOLVER_MAGIC;
    r->loop = loop;
    r->own_servers = conf->servers != NULL && conf->servers[0] != '\0';
    r->servers = r->own_servers ? xstrdup(conf->servers) : NULL;
    r->timeout_ms = conf->timeout_ms > 0 ? conf->timeout_ms : TIMEOUT_MS;
    r->conf_time = conf_time();
    timer_init(&r->timeout, on_timeout);
    list_init(&r->watches);
    list_init(&r->questions);
    rc = channel_open(r, &r->channel);
    if (rc != ARES_SUCCESS) {
        *out_error = ares_strerror(rc);
        free(r->servers);
        free(r);
        ares_library_cleanup();
        return NULL;
    }
    return r;
}

/* ---- questions ---- */

static const char *error_text(int status)
{
    switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENONAME:
        return "no such name";
    case ARES_ENODATA:
        return "no address";
    case ARES_ETIMEOUT:
        return "timeout";
    case ARES_EREFUSED:
    case ARES_ESERVFAIL:
    case ARES_ENOTIMP:
    case ARES_ECONNREFUSED: /* 1.18 says so too when each server answered with a failure */
        return "server failure";
    case ARES_EBADNAME:
        return "not a correct name";
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
        return "cancelled";
    default:
        return ares_strerror(status);
    }
}

static void question_free(struct question *q)
{
    list_remove(&q->node);
    list_remove(&q->deliver.node);
    q->magic = 0;
    free(q->addrs);
    free(q);
}

static void on_deliver(struct loop_task *task)
{
    struct question *q = container_of(task, struct question, deliver);
    CHECK_MAGIC(q, QUESTION_MAGIC);
    list_remove(&q->node); /* fn may free the resolver: this question is answered */
    q->fn(q->arg, q->addrs, q->n, q->n > 0 ? NULL : q->error);
    question_free(q);
}

static bool has_addr(const struct question *q, const struct addr *a)
{
    for (uint32_t i = 0; i < q->n; i++) {
        if (addr_eq(&q->addrs[i], a))
            return true;
    }
    return false;
}

static void take_answers(struct question *q, const struct ares_addrinfo *info)
{
    uint32_t most = 0;
    for (const struct ares_addrinfo_node *n = info->nodes; n != NULL; n = n->ai_next)
        most++;
    if (most > ANSWERS_MAX)
        most = ANSWERS_MAX;
    if (most == 0)
        return;
    q->addrs = xcalloc(most, sizeof(q->addrs[0]));
    for (const struct ares_addrinfo_node *n = info->nodes; n != NULL && q->n < most;
         n = n->ai_next) {
        struct addr a;
        addr_from_sockaddr(&a, n->ai_addr, n->ai_addrlen);
        addr_set_port(&a, 0);
        if (a.len > 0 && !has_addr(q, &a))
            q->addrs[q->n++] = a;
    }
}

/* May run inside resolver_ask() or ares_destroy(), so what it says is put off. */
static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct question *q = arg;
    (void)timeouts;
    CHECK_MAGIC(q, QUESTION_MAGIC);
    q->waiting = false;
    if (status == ARES_SUCCESS)
        take_answers(q, info);
    q->error = error_text(status == ARES_SUCCESS ? ARES_ENODATA : status);
    if (info != NULL)
        ares_freeaddrinfo(info);
    loop_defer(q->resolver->loop, &q->deliver);
}

/* An address as a name is its own answer. (c-ares 1.18 asks the servers about it as well.) */
static bool answer_literal(struct question *q, const char *name)
{
    struct addr a = {0};
    if (inet_pton(AF_INET, name, &a.in.sin_addr) == 1) {
        a.len = sizeof(a.in);
        a.in.sin_family = AF_INET;
    } else if (inet_pton(AF_INET6, name, &a.in6.sin6_addr) == 1) {
        a.len = sizeof(a.in6);
        a.in6.sin6_family = AF_INET6;
    } else {
        return false;
    }
    q->addrs = xcalloc(1, sizeof(a));
    q->addrs[q->n++] = a;
    q->waiting = false;
    loop_defer(q->resolver->loop, &q->deliver);
    return true;
}

void resolver_ask(struct resolver *r, const char *name, resolver_fn *fn, void *arg)
{
    static const struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    CHECK_MAGIC(r, RESOLVER_MAGIC);
    sl_assert(!r->closed);
    follow_resolv_conf(r);
    struct question *q = xcalloc(1, sizeof(*q));
    *q = (struct question){.magic = QUESTION_MAGIC, .resolver = r, .fn = fn, .arg = arg};
    q->waiting = true;
    q->deliver.fn = on_deliver;
    list_init(&q->deliver.node);
    list_init(&q->node);
    list_push_back(&r->questions, &q->node);
    if (answer_literal(q, name))
        return;
    ares_getaddrinfo(r->channel, name, NULL, &hints, on_answer, q);
    set_timeout(r);
}

void resolver_free(struct resolver **rp)
{
    struct resolver *r = *rp;
    *rp = NULL;
    if (r == NULL)
        return;
    CHECK_MAGIC(r, RESOLVER_MAGIC);
    r->closed = true;
    timer_stop(&r->loop->timers, &r->timeout);
    ares_destroy(r->channel); /* answers what waits, closes its sockets */
    r->channel = NULL;
    struct list *node;
    while ((node = list_pop_front(&r->questions)) != NULL) {
        struct question *q = list_entry(node, struct question, node);
        list_remove(&q->deliver.node);
        q->fn(q->arg, NULL, 0, "cancelled");
        question_free(q);
    }
    r->ending = true; /* from here on the last watch takes r along */
    ares_library_cleanup();
    free_if_ended(r);
}
