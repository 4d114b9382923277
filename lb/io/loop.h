/* loop.h - what a thread runs: an engine, its timers, its mailbox, and work put off to the end of
 * the turn. One thread owns a loop; only loop_post() may be called from others. */
#ifndef SLUICE_IO_LOOP_H
#define SLUICE_IO_LOOP_H

#include "lb/base/list.h"
#include "lb/io/io.h"
#include "lb/io/timer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct epoch_reader;

/* A message to a loop: embedded in what it carries, owned by the receiver from loop_post() on. */
struct loop_msg {
    struct loop_msg *next;
    void (*fn)(struct loop_msg *msg, void *ctx); /* ctx: the receiving loop's `ctx` */
};

/* Work put off: runs once, at the end of the turn, after all completions and timers. */
struct loop_task {
    struct list node;
    void (*fn)(struct loop_task *task);
};

struct loop {
    struct io *io;
    struct timer_wheel timers;
    void *ctx;                  /* the owner's root struct, for messages */
    struct epoch_reader *epoch; /* NULL: this thread reads no shared pointers */
    struct list tasks;
    struct op wake_op;
    int wake_fd;
    uint64_t wake_value; /* the eventfd is read into it */
    _Atomic(struct loop_msg *) inbox;
    _Atomic bool asleep;        /* a poster must write the eventfd */
    _Atomic uint64_t heartbeat; /* turns; the watchdog reads it */
    bool stop;                  /* set by loop_stop() */
};

/* io: taken over; freed by loop_fini. 0 or -errno. */
int loop_init(struct loop *l, struct io *io, void *ctx) WARN_UNUSED;
void loop_fini(struct loop *l); /* everything armed on it has ended but the loop's own wake */
/* Runs turns until loop_stop(). */
void loop_run(struct loop *l);
/* One turn, waiting at most max_wait_ms (-1: as long as the timers allow). For tests. */
int loop_turn(struct loop *l, int max_wait_ms);
void loop_stop(struct loop *l);
/* Any thread. The loop must live until this returns, which may be after the message was run: who
 * ends a loop by a message keeps it until its poster is through. */
void loop_post(struct loop *l, struct loop_msg *msg);
void loop_defer(struct loop *l, struct loop_task *task); /* no effect if already put off */
static inline uint64_t loop_now_ms(const struct loop *l)
{
    return io_now_ms(l->io);
}
static inline uint64_t loop_now_us(const struct loop *l)
{
    return io_now_us(l->io);
}

#endif
