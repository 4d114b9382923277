/* checker_thread.c - see checker_thread.h */
#include "lb/main/checker_thread.h"

#include "lb/base/alloc.h"
#include "lb/base/epoch.h"
#include "lb/io/loop.h"
#include "lb/main/crash.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#define CHECK_BUFS 64 /* receive buffers: answers are looked at at once and given back */

struct checker_thread {
    struct epoch_reader epoch; /* first: it is cache-line aligned */
    struct loop loop;
    pthread_t thread;
    sem_t started;
    sem_t stopped, may_free; /* see checker_thread_stop(), checker_thread_free() */
    int error;               /* of the start; read after `started` */
    enum io_engine_kind engine;
    struct backend_table *table;
    struct epoch_domain *epochs;
    struct checker_hooks hooks;
    struct checker *checker;
    struct loop_msg stop_msg;
    bool stopping; /* health thread only */
};

static int start(struct checker_thread *t)
{
    const struct io_conf conf = {.engine = t->engine, .bufs_max = CHECK_BUFS};
    int rc;
    struct io *io = io_new(&conf, &rc);

    if (io == NULL)
        return rc;
    rc = loop_init(&t->loop, io, t);
    if (rc < 0) {
        io_free(&io);
        return rc;
    }
    epoch_reader_register(t->epochs, &t->epoch);
    t->loop.epoch = &t->epoch;
    t->checker = checker_new(&t->loop, t->table, t->epochs, &t->hooks);
    return 0;
}

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) < 0) /* EINTR only */
        ;
}

static void *thread_main(void *arg)
{
    struct checker_thread *t = arg;

    pthread_setname_np(pthread_self(), "sluice-health");
    crash_thread_begin();
    t->error = start(t);
    bool failed = t->error < 0;
    sem_post(&t->started);
    if (failed) {
        crash_thread_end();
        return NULL;
    }
    while (!t->stopping || !checker_stopped(t->checker))
        sl_assert(loop_turn(&t->loop, -1) >= 0);
    epoch_leave(&t->epoch);
    sem_post(&t->stopped);
    wait_for(&t->may_free); /* workers still report to the checker until they have ended */
    checker_free(&t->checker);
    loop_fini(&t->loop);
    epoch_reader_unregister(&t->epoch);
    crash_thread_end();
    return NULL;
}

struct checker_thread *checker_thread_start(enum io_engine_kind engine, struct backend_table *table,
                                            struct epoch_domain *epochs,
                                            const struct checker_hooks *hooks, int *out_error)
{
    struct checker_thread *t = xaligned(sizeof(*t));

    t->engine = engine;
    t->table = table;
    t->epochs = epochs;
    t->hooks = *hooks;
    sem_init(&t->started, 0, 0);
    sem_init(&t->stopped, 0, 0);
    sem_init(&t->may_free, 0, 0);
    int rc = -pthread_create(&t->thread, NULL, thread_main, t);
    if (rc == 0) {
        wait_for(&t->started);
        rc = t->error;
        if (rc == 0)
            return t;
        pthread_join(t->thread, NULL);
    }
    *out_error = rc;
    sem_destroy(&t->started);
    sem_destroy(&t->stopped);
    sem_destroy(&t->may_free);
    free(t);
    return NULL;
}

struct checker *checker_thread_checker(struct checker_thread *t)
{
    return t->checker;
}

struct loop *checker_thread_loop(struct checker_thread *t)
{
    return &t->loop;
}

static void stop_on_thread(struct loop_msg *msg, void *ctx)
{
    struct checker_thread *t = ctx;

    (void)msg;
    checker_stop(t->checker);
    t->stopping = true;
}

void checker_thread_stop(struct checker_thread *t)
{
    t->stop_msg.fn = stop_on_thread;
    loop_post(&t->loop, &t->stop_msg);
    wait_for(&t->stopped);
}

void checker_thread_free(struct checker_thread **tp)
{
    struct checker_thread *t = *tp;

    sem_post(&t->may_free);
    pthread_join(t->thread, NULL);
    sem_destroy(&t->started);
    sem_destroy(&t->stopped);
    sem_destroy(&t->may_free);
    free(t);
    *tp = NULL;
}
