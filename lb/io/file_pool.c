/* file_pool.c - threads that wait for disks, for engines that cannot leave that to the kernel.
 *
 * One pool per struct io, made when a file is first waited for. Ops go in by a queue under a lock
 * and come back in a second one; an eventfd wakes the owner, polled as long as an op is inside, so
 * that a pool without work has nothing armed. */
#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/io/io_priv.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct queue {
    struct op *first, *last; /* linked by next_ready: none of them is ready */
};

struct file_pool {
    struct io *io;
    pthread_t threads[LIMIT_FILE_THREADS];
    uint32_t n_threads;
    int event;
    struct op wake;  /* polls the eventfd */
    uint32_t inside; /* ops; the owner's */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct queue todo, done;
    bool stop;
};

static void put(struct queue *q, struct op *op)
{
    op->next_ready = NULL;
    if (q->last != NULL)
        q->last->next_ready = op;
    else
        q->first = op;
    q->last = op;
}

static struct op *get(struct queue *q)
{
    struct op *op = q->first;

    if (op == NULL)
        return NULL;
    q->first = op->next_ready;
    if (q->first == NULL)
        q->last = NULL;
    return op;
}

static bool take_out(struct queue *q, struct op *op)
{
    struct op *before = NULL;

    for (struct op *o = q->first; o != op; before = o, o = o->next_ready)
        if (o == NULL)
            return false;
    if (before != NULL)
        before->next_ready = op->next_ready;
    else
        q->first = op->next_ready;
    if (q->last == op)
        q->last = before;
    return true;
}

/* The lock is held. */
static void put_done(struct file_pool *p, struct op *op, int res)
{
    const uint64_t one = 1;

    op->res = res;
    put(&p->done, op);
    while (write(p->event, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void *run(void *arg)
{
    struct file_pool *p = arg;

    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        struct op *op = get(&p->todo);
        if (op == NULL) {
            pthread_cond_wait(&p->work, &p->lock);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        int res = io_file_do(op);
        pthread_mutex_lock(&p->lock);
        put_done(p, op, res);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void on_wake(struct op *wake, int res)
{
    struct file_pool *p = container_of(wake, struct file_pool, wake);
    uint64_t n;
    struct op *op;

    (void)res;
    if (read(p->event, &n, sizeof(n)) < 0) { /* nothing to read: woken for nothing */
    }
    pthread_mutex_lock(&p->lock);
    while ((op = get(&p->done)) != NULL) {
        p->inside--;
        io_note(p->io, op, op->res);
    }
    pthread_mutex_unlock(&p->lock);
    if (p->inside > 0)
        io_poll(p->io, wake, p->event, POLLIN);
}

void file_pool_add(struct file_pool *p, struct op *op)
{
    if (p->inside++ == 0 && !p->wake.armed)
        io_poll(p->io, &p->wake, p->event, POLLIN);
    pthread_mutex_lock(&p->lock);
    put(&p->todo, op);
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

void file_pool_cancel(struct file_pool *p, struct op *op)
{
    pthread_mutex_lock(&p->lock);
    if (take_out(&p->todo, op)) /* else a thread is at it, or is through */
        put_done(p, op, -ECANCELED);
    pthread_mutex_unlock(&p->lock);
}

/* Signals are the process' main thread's. */
static void start_threads(struct file_pool *p)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (p->n_threads < LIMIT_FILE_THREADS &&
           pthread_create(&p->threads[p->n_threads], NULL, run, p) == 0) {
        pthread_setname_np(p->threads[p->n_threads], "files");
        p->n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct file_pool *file_pool_new(struct io *io)
{
    int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (event < 0)
        return NULL;
    struct file_pool *p = xcalloc(1, sizeof(*p));
    p->io = io;
    p->event = event;
    op_init(&p->wake, on_wake);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    start_threads(p);
    if (p->n_threads == 0)
        file_pool_free(&p);
    return p;
}

void file_pool_free(struct file_pool **pool)
{
    struct file_pool *p = *pool;

    *pool = NULL;
    if (p == NULL)
        return;
    sl_assert(p->inside == 0 && !p->wake.armed);
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work);
    io_close(p->io, p->event);
    free(p);
}
