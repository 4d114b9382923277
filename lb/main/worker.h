/* worker.h - a worker thread: its loop, its part of the proxying, what control may ask of it.
 * Everything but `start` and `join` is a message: it takes effect in the worker's next turn. */
#ifndef SLUICE_MAIN_WORKER_H
#define SLUICE_MAIN_WORKER_H

#include "lb/base/epoch.h"
#include "lb/io/loop.h"

#include <pthread.h>
#include <semaphore.h>

struct backend_slot;
struct process;
struct proxy;
struct proxy_listener;

struct worker {
    struct epoch_reader epoch; /* first: it is cache-line aligned */
    struct loop loop;
    struct process *process;
    struct proxy *proxy; /* worker thread only */
    uint32_t index;
    pthread_t thread;
    sem_t started;
    int error; /* of the start; read after `started` */
    /* One message each: control posts it at most once, but for `ping`. */
    struct loop_msg drain_msg, leave_msg, cut_msg, finish_msg, ping_msg, drained_msg;
    _Atomic bool ping_out;
    _Atomic bool drained;     /* nothing is left: no listener, no session */
    bool draining, finishing; /* worker thread only */
};

/* Starts the thread of process->workers[index], waits until its engine runs. 0 or -errno: then
 * there is no thread. */
int worker_start(struct process *p, uint32_t index) WARN_UNUSED;
/* On its thread: takes its sockets of this bind (binding.h) and accepts, unless it drains. */
void worker_listen_on(struct worker *w, struct proxy_listener *l, uint32_t bind);
/* Stops accepting; `drained` is set, and control woken, when the last session has ended. */
void worker_leave(struct worker *w); /* responses say that theirs is the last */
void worker_drain(struct worker *w);
void worker_cut(struct worker *w); /* ends all sessions */
/* Asks all threads to end once nothing is armed (drain first), then joins them. None frees anything
 * before all have come to their end and have all been asked, as they are signalled till then. */
void workers_stop(struct process *p);

/* Health thread: ends the sessions of this backend (on_down = "close"). */
void worker_backend_down(struct worker *w, struct backend_slot *slot);

/* True when the ping before was answered (or there was none); sends the next one. */
bool worker_ping(struct worker *w);
/* Microseconds of CPU that the thread has used, 0 when it is gone. Control thread. */
uint64_t worker_cpu_us(const struct worker *w);

#endif
