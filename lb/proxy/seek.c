/* seek.c - see seek.h */
#include "lb/proxy/seek.h"

#include "health/checker.h"
#include "health/latency.h"
#include "lb/base/log.h"
#include "lb/proxy/proxy_priv.h"

#include <errno.h>
#include <string.h>

#define DIAL_AGAIN_MS  10 /* a full unix backlog, no descriptor, no local port: tried again */
#define PICK_RACES_MAX 8  /* picks that lose their place to another worker, then: full */

static struct io *io_of(const struct seek *k)
{
    return k->proxy->loop->io;
}

static uint64_t now_us(const struct seek *k)
{
    return loop_now_us(k->proxy->loop);
}

static uint64_t now_ms(const struct seek *k)
{
    return loop_now_ms(k->proxy->loop);
}

static struct wait_queue *queue_of(const struct seek *k)
{
    return proxy_queue(k->proxy, k->pool);
}

static struct backend_counters *row_of(const struct seek *k)
{
    const struct backend_slot *slot = k->slot ? k->slot : k->last_slot;

    if (slot == NULL)
        return &k->pool->rows[k->proxy->worker];
    return &pool_member(k->pool, slot)->rows[k->proxy->worker];
}

static void enter(struct seek *k, enum seek_state state, uint64_t timeout_ms)
{
    k->state = (uint8_t)state;
    if (timeout_ms > 0)
        timer_start(&k->proxy->loop->timers, &k->timer, now_ms(k) + timeout_ms);
    else
        timer_stop(&k->proxy->loop->timers, &k->timer);
}

static void fail(struct seek *k, enum session_end why, int error)
{
    enter(k, SEEK_IDLE, 0);
    k->ops->failed(k, why, error);
}

/* ---- places ---- */

void seek_give_place(struct proxy *p, struct pool *pool, struct backend_slot **slot)
{
    struct backend_slot *s = *slot;

    if (s == NULL)
        return;
    *slot = NULL;
    slot_give(s);
    wait_queue_place_free(proxy_queue(p, pool));
}

struct backend_slot *seek_take_place(struct seek *k)
{
    struct backend_slot *slot = k->slot;

    k->slot = NULL;
    return slot;
}

static void give_place(struct seek *k)
{
    if (k->slot != NULL)
        k->last_slot = k->slot;
    seek_give_place(k->proxy, k->pool, &k->slot);
}

static void got_place(struct seek *k, struct backend_slot *slot)
{
    uint64_t waited = now_us(k) - k->started_us;

    k->slot = slot;
    k->moves = 0;
    k->why[0] = '\0';
    if (k->queue_us == UINT32_MAX)
        k->queue_us = waited < UINT32_MAX ? (uint32_t)waited : UINT32_MAX - 1;
    k->started_us = now_us(k);
    k->dial_deadline_ms = now_ms(k) + k->pool->conf->connect_timeout_ms;
    enter(k, SEEK_IDLE, 0);
    k->ops->placed(k);
}

static enum pick_result pick(struct seek *k, struct backend_slot **out)
{
    struct pool_view *view = atomic_load_explicit(&k->pool->view, memory_order_acquire);
    const struct pick p = {
        .key = k->key,
        .excluded = k->excluded,
        .n_excluded = k->n_excluded,
        .rng = &k->proxy->rng,
        .now_us = now_us(k),
    };

    for (int races = 0; races < PICK_RACES_MAX; races++) {
        enum pick_result r =
            balancer_pick(view->plan, &k->pool->locals[k->proxy->worker].cursor, &p, out);
        if (r != PICK_OK || slot_take(*out))
            return r;
    }
    return PICK_FULL;
}

static void enqueue(struct seek *k)
{
    const struct pool_conf *c = k->pool->conf;

    if (c->queue_limit != 0 && atomic_load(&k->pool->kept->waiting) >= c->queue_limit) {
        counter_add(&k->pool->rows[k->proxy->worker].queue_full, 1);
        fail(k, END_QUEUE_FULL, 0);
        return;
    }
    counter_add(&k->pool->rows[k->proxy->worker].queued, 1);
    enter(k, SEEK_QUEUED, c->queue_timeout_ms);
    k->waiter.choosy = k->n_excluded > 0 || k->wanted != NULL ||
                       k->pool->locals[k->proxy->worker].retired; /* others look at a newer one */
    wait_queue_add(queue_of(k), &k->waiter);
}

static void no_candidate(struct seek *k)
{
    int error = k->last_error;

    if (k->n_excluded == 0)
        fail(k, END_NO_BACKEND, 0);
    else
        fail(k, error == -ETIMEDOUT ? END_CONNECT_TIMEOUT : END_CONNECT_FAILED, error);
}

bool seek_may_use_wanted(const struct backend_slot *s)
{
    struct backend_word w = slot_word(s);

    return !(w.admin & ADMIN_MAINT_MASK) && !w.ejected && w.oper != OPER_DOWN &&
           w.oper != OPER_GOING_UP &&
           atomic_load_explicit(&s->address, memory_order_relaxed) != NULL;
}

static void forget_wanted(struct seek *k)
{
    k->wanted = NULL;
    k->wanted_lost = true;
}

/* The one that is wanted, else any. */
static enum pick_result pick_wanted(struct seek *k, struct backend_slot **out)
{
    if (k->wanted != NULL && !seek_may_use_wanted(k->wanted))
        forget_wanted(k);
    if (k->wanted == NULL)
        return pick(k, out);
    *out = k->wanted;
    return slot_take(k->wanted) ? PICK_OK : PICK_FULL;
}

static bool try_again(struct waiter *w)
{
    struct seek *k = container_of(w, struct seek, waiter);
    struct backend_slot *slot;
    enum pick_result r = pick_wanted(k, &slot);

    if (r == PICK_FULL)
        return false;
    wait_queue_remove(queue_of(k), w);
    if (r == PICK_OK)
        got_place(k, slot);
    else
        no_candidate(k);
    return true;
}

void seek_place(struct seek *k)
{
    struct backend_slot *slot;

    /* Nobody overtakes those who wait, on whatever worker. */
    enum pick_result r =
        atomic_load(&k->pool->kept->waiting) == 0 ? pick_wanted(k, &slot) : PICK_FULL;
    switch (r) {
    case PICK_OK:
        got_place(k, slot);
        return;
    case PICK_FULL:
        enqueue(k);
        return;
    case PICK_NONE:
        no_candidate(k);
        return;
    }
}

void seek_place_at(struct seek *k, struct backend_slot *slot)
{
    k->wanted = slot;
    seek_place(k);
}

/* ---- dialling ---- */

void seek_next(struct seek *k, int error)
{
    k->last_error = error;
    if (k->tries_left == 0) {
        fail(k, error == -ETIMEDOUT ? END_CONNECT_TIMEOUT : END_CONNECT_FAILED, error);
        return;
    }
    k->tries_left--;
    k->retries++;
    counter_add(&row_of(k)->retries, 1);
    counter_add(&k->pool->rows[k->proxy->worker].redispatches, 1);
    log_debug("backend %s/%s: %s: another is tried", k->pool->name,
              k->slot ? k->slot->name : k->last_slot->name,
              error ? seek_error_text(k, error) : "closed before any byte");
    const struct backend_slot *slot = k->slot ? k->slot : k->last_slot;
    if (k->n_excluded < ARRAY_LEN(k->excluded))
        k->excluded[k->n_excluded++] = slot->index;
    give_place(k);
    if (k->wanted != NULL)
        forget_wanted(k);
    k->started_us = now_us(k);
    seek_place(k);
}

static void close_fd(struct seek *k)
{
    if (k->fd >= 0)
        io_close(io_of(k), k->fd);
    k->fd = -1;
}

static void connect_failed(struct seek *k, int error)
{
    counter_add(&row_of(k)->connect_errors, 1);
    checker_report_failure(k->proxy->shared->checker, k->slot, -error, k->why);
    if (k->pool->conf->mode == MODE_HTTP) {
        uint32_t in_a_row = checker_report_result(k->proxy->shared->checker, k->slot, false);
        if (k->pool->conf->balance.kind == BALANCE_PEAK_EWMA)
            slot_observe_failure(k->slot, now_us(k), now_us(k) - k->started_us, in_a_row);
    }
    seek_next(k, error);
}

/* Not the backend's fault: its queue is full, or something is short here. */
static bool worth_waiting(int error)
{
    return error == -EAGAIN || error == -EMFILE || error == -ENFILE || error == -ENOBUFS ||
           error == -ENOMEM || error == -EADDRNOTAVAIL || error == -EINTR;
}

static void again_later(struct seek *k, int error)
{
    k->last_error = error;
    if (error == -EMFILE || error == -ENFILE) /* connections that nobody uses hold some */
        proxy_evict(k->proxy);
    if (now_ms(k) < k->dial_deadline_ms)
        enter(k, SEEK_DIAL_AGAIN, DIAL_AGAIN_MS);
    else
        fail(k, error == -EAGAIN ? END_QUEUE_TIMEOUT : END_RESOURCE, error);
}

/* The name of the backend may have an address that it was not looked for at, with this connect: as
 * "localhost" is two, of which an application listens at one. */
static bool may_be_elsewhere(struct seek *k, int error)
{
    if (worth_waiting(error) && error != -EADDRNOTAVAIL) /* which is IPv6 where there is none */
        return false;
    if (slot_address_failed(k->slot, &k->addr) <= k->moves + 1)
        return false;
    k->moves++;
    k->dial_deadline_ms = now_ms(k) + k->pool->conf->connect_timeout_ms;
    return true;
}

static uint64_t time_left_ms(const struct seek *k)
{
    uint64_t now = now_ms(k);

    return k->dial_deadline_ms > now ? k->dial_deadline_ms - now : 1;
}

void seek_secured(struct seek *k)
{
    uint64_t us = now_us(k) - k->started_us;

    k->connect_us = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX - 1;
    enter(k, SEEK_IDLE, 0);
}

static void on_connect(struct op *op, int res)
{
    struct seek *k = container_of(op, struct seek, connect);
    int fd = k->fd;

    timer_stop(&k->proxy->loop->timers, &k->timer);
    if (k->state == SEEK_STOPPED) {
        close_fd(k);
        k->ops->stopped(k);
        return;
    }
    if (res == 0) {
        k->fd = -1;
        checker_report_connect(k->proxy->shared->checker, k->slot, &k->addr);
        if (k->pool->conf->tls != NULL)
            enter(k, SEEK_SECURING, time_left_ms(k));
        else
            seek_secured(k);
        k->ops->connected(k, fd);
        return;
    }
    close_fd(k);
    if (may_be_elsewhere(k, k->timed_out ? -ETIMEDOUT : res))
        seek_dial(k);
    else if (k->timed_out)
        connect_failed(k, -ETIMEDOUT);
    else if (worth_waiting(res))
        again_later(k, res);
    else
        connect_failed(k, res);
}

void seek_dial(struct seek *k)
{
    const struct io_sock_opts opts = {.nodelay = true, .defer_ack = k->defer_ack};
    const struct addr *address = atomic_load_explicit(&k->slot->address, memory_order_acquire);

    k->timed_out = false;
    k->why[0] = '\0';
    if (address == NULL) { /* lost its address since the pick */
        seek_next(k, -EHOSTUNREACH);
        return;
    }
    k->addr = *address;
    counter_add(&row_of(k)->connects, 1);
    int fd = io_socket(io_of(k), addr_family(address), &opts);
    if (fd < 0) {
        if (may_be_elsewhere(k, fd))
            seek_dial(k);
        else
            again_later(k, fd);
        return;
    }
    enter(k, SEEK_CONNECTING, time_left_ms(k));
    k->fd = fd;
    io_connect(io_of(k), &k->connect, fd, &k->addr.sa, k->addr.len);
}

void seek_again(struct seek *k)
{
    k->started_us = now_us(k);
    k->dial_deadline_ms = now_ms(k) + k->pool->conf->connect_timeout_ms;
}

static void on_timer(struct timer *timer)
{
    struct seek *k = container_of(timer, struct seek, timer);

    switch ((enum seek_state)k->state) {
    case SEEK_QUEUED:
        wait_queue_remove(queue_of(k), &k->waiter);
        if (k->wanted == NULL) {
            fail(k, END_QUEUE_TIMEOUT, 0);
            return;
        }
        forget_wanted(k);
        seek_place(k);
        return;
    case SEEK_CONNECTING:
        k->timed_out = true;
        io_cancel(io_of(k), &k->connect);
        return;
    case SEEK_SECURING:
        seek_handshake_late(k);
        k->ops->late(k);
        return;
    case SEEK_DIAL_AGAIN:
        seek_dial(k);
        return;
    case SEEK_IDLE:
    case SEEK_STOPPED:
        break;
    }
    sl_assert(!"no timer runs when nothing is awaited");
}

void seek_dial_failed(struct seek *k, int error)
{
    enter(k, SEEK_IDLE, 0);
    if (worth_waiting(error))
        again_later(k, error);
    else
        connect_failed(k, error);
}

const char *seek_error_text(const struct seek *k, int error)
{
    return k->why[0] != '\0' ? k->why : strerror(-error);
}

/* ---- life ---- */

void seek_init(struct seek *k, const struct seek_ops *ops, struct proxy *p, struct pool *pool)
{
    op_init(&k->connect, on_connect);
    timer_init(&k->timer, on_timer);
    list_init(&k->waiter.node);
    k->waiter.try = try_again;
    k->ops = ops;
    k->proxy = p;
    k->pool = pool;
    k->slot = k->last_slot = k->wanted = NULL;
    k->wanted_lost = false;
    k->key = 0;
    k->n_excluded = k->retries = k->moves = 0;
    k->tries_left = pool->conf->retry_attempts;
    k->queue_us = k->connect_us = UINT32_MAX;
    k->fd = -1;
    k->defer_ack = false;
    k->why[0] = '\0';
    k->last_error = 0;
    k->state = SEEK_IDLE;
    k->started_us = now_us(k);
}

void seek_stop(struct seek *k)
{
    if (k->proxy == NULL || k->state == SEEK_STOPPED)
        return;
    wait_queue_remove(queue_of(k), &k->waiter);
    enter(k, SEEK_STOPPED, 0);
    io_cancel(io_of(k), &k->connect);
}

void seek_fini(struct seek *k)
{
    if (k->proxy == NULL)
        return;
    sl_assert(seek_idle(k) && !list_linked(&k->waiter.node));
    timer_stop(&k->proxy->loop->timers, &k->timer);
    close_fd(k);
    give_place(k);
}
