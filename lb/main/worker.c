/* worker.c - see worker.h */
#include "lb/main/worker.h"

#include "lb/base/alloc.h"
#include "lb/base/log.h"
#include "lb/config/conf.h"
#include "lb/main/crash.h"
#include "lb/main/process.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- on the worker's thread ---- */

/* The index-th core of those that we may use. */
static void pin(uint32_t index)
{
    cpu_set_t allowed, one;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0 || CPU_COUNT(&allowed) == 0)
        return;
    uint32_t want = index % (uint32_t)CPU_COUNT(&allowed);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || want-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        int rc = pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
        if (rc != 0)
            log_warn("worker %u: cannot be pinned to core %d: %s", index, cpu, strerror(rc));
        return;
    }
}

static int start(struct worker *w)
{
    struct process *p = w->process;
    const struct io_conf conf = {.engine = p->engine};
    int rc;
    struct io *io = io_new(&conf, &rc);

    if (io == NULL)
        return rc;
    rc = loop_init(&w->loop, io, w);
    if (rc < 0) {
        io_free(&io);
        return rc;
    }
    epoch_reader_register(p->epochs, &w->epoch);
    w->loop.epoch = &w->epoch;
    w->proxy = proxy_new(&w->loop, &p->shared, w->index, &p->worker_rows[w->index]);
    p->engines[w->index] = io_stats(io);
    return 0;
}

static void tell_drained(struct worker *w)
{
    if (!w->draining || atomic_load_explicit(&w->drained, memory_order_relaxed) ||
        !proxy_stopped(w->proxy))
        return;
    atomic_store_explicit(&w->drained, true, memory_order_release);
    loop_post(&w->process->loop, &w->drained_msg);
}

static void *thread_main(void *arg)
{
    struct worker *w = arg;
    char name[16];

    snprintf(name, sizeof(name), "sluice-w%u", w->index);
    pthread_setname_np(pthread_self(), name);
    crash_thread_begin();
    if (w->process->conf->pin)
        pin(w->index);
    w->error = start(w);
    bool failed = w->error < 0;
    sem_post(&w->started);
    if (failed) {
        crash_thread_end();
        return NULL;
    }
    while (!w->finishing || !proxy_stopped(w->proxy)) {
        sl_assert(loop_turn(&w->loop, -1) >= 0);
        tell_drained(w);
    }
    pthread_barrier_wait(&w->process->workers_done); /* till then others may signal our queues */
    loop_turn(&w->loop, 0);                          /* what they have posted */
    epoch_leave(&w->epoch);
    proxy_free(&w->proxy);
    loop_fini(&w->loop);
    epoch_reader_unregister(&w->epoch);
    crash_thread_end();
    return NULL;
}

void worker_listen_on(struct worker *w, struct proxy_listener *l, uint32_t bind)
{
    struct binding *b = &w->process->binding;
    uint32_t n = binding_count(b, bind);

    for (uint32_t i = w->index; i < n && !w->draining; i += w->process->n_workers) {
        int fd = binding_take(b, bind, i);
        if (fd >= 0)
            proxy_listen(w->proxy, l, fd, bind);
        else
            log_error("listener %s: worker %u cannot listen: %s", l->conf->name, w->index,
                      strerror(-fd));
    }
}

static void on_drain(struct loop_msg *msg, void *ctx)
{
    struct worker *w = ctx;

    (void)msg;
    w->draining = true;
    proxy_stop_accepting(w->proxy);
    proxy_drain(w->proxy);
}

static void on_leave(struct loop_msg *msg, void *ctx)
{
    struct worker *w = ctx;

    (void)msg;
    proxy_leave(w->proxy);
}

static void on_cut(struct loop_msg *msg, void *ctx)
{
    struct worker *w = ctx;

    (void)msg;
    proxy_end_all(w->proxy, END_DRAIN);
}

static void on_finish(struct loop_msg *msg, void *ctx)
{
    struct worker *w = ctx;

    (void)msg;
    w->finishing = true;
    proxy_drain(w->proxy);
}

static void on_ping(struct loop_msg *msg, void *ctx)
{
    struct worker *w = ctx;

    (void)msg;
    atomic_store_explicit(&w->ping_out, false, memory_order_release);
}

struct down_msg {
    struct loop_msg msg;
    struct backend_slot *slot;
};

static void on_backend_down(struct loop_msg *msg, void *ctx)
{
    struct down_msg *m = container_of(msg, struct down_msg, msg);
    struct worker *w = ctx;

    proxy_backend_down(w->proxy, m->slot);
    free(m);
}

static void on_drained(struct loop_msg *msg, void *ctx) /* on the control thread: it looks itself */
{
    (void)msg;
    (void)ctx;
}

/* ---- on the control and health threads ---- */

static void post(struct worker *w, struct loop_msg *msg, void (*fn)(struct loop_msg *, void *))
{
    msg->fn = fn;
    loop_post(&w->loop, msg);
}

int worker_start(struct process *p, uint32_t index)
{
    struct worker *w = &p->workers[index];

    *w = (struct worker){.process = p, .index = index};
    w->drained_msg.fn = on_drained;
    sem_init(&w->started, 0, 0);
    int rc = -pthread_create(&w->thread, NULL, thread_main, w);
    if (rc == 0) {
        while (sem_wait(&w->started) < 0) /* EINTR only */
            ;
        rc = w->error;
        if (rc == 0)
            return 0;
        pthread_join(w->thread, NULL);
    }
    sem_destroy(&w->started);
    return rc;
}

void worker_drain(struct worker *w)
{
    post(w, &w->drain_msg, on_drain);
}

void worker_leave(struct worker *w)
{
    post(w, &w->leave_msg, on_leave);
}

void worker_cut(struct worker *w)
{
    post(w, &w->cut_msg, on_cut);
}

void workers_stop(struct process *p)
{
    pthread_barrier_init(&p->workers_done, NULL, p->n_started + 1);
    for (uint32_t i = 0; i < p->n_started; i++)
        post(&p->workers[i], &p->workers[i].finish_msg, on_finish);
    pthread_barrier_wait(&p->workers_done); /* a post may still wake whom its message has ended */
    for (uint32_t i = 0; i < p->n_started; i++) {
        struct worker *w = &p->workers[i];
        pthread_join(w->thread, NULL);
        sem_destroy(&w->started);
    }
    pthread_barrier_destroy(&p->workers_done);
    p->n_started = 0;
}

void worker_backend_down(struct worker *w, struct backend_slot *slot)
{
    struct down_msg *m = xcalloc(1, sizeof(*m));

    m->slot = slot;
    post(w, &m->msg, on_backend_down);
}

bool worker_ping(struct worker *w)
{
    if (atomic_exchange_explicit(&w->ping_out, true, memory_order_acq_rel))
        return false;
    post(w, &w->ping_msg, on_ping);
    return true;
}

uint64_t worker_cpu_us(const struct worker *w)
{
    clockid_t clock;
    struct timespec t;

    if (pthread_getcpuclockid(w->thread, &clock) != 0 || clock_gettime(clock, &t) < 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}
