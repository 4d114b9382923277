/* log_thread.c - the thread that writes what others queued. See log.h.
 *
 * It is awake while there is something to write; then it dozes some milliseconds, so that under
 * load lines gather to large writes and no writer ever makes a system call; it sleeps when a doze
 * brought nothing. A writer wakes it when it sleeps, or when it dozes and a ring is half full.
 *
 * No wake-up is lost: the writer commits its record, then reads `state`; the thread sets `state`,
 * then looks for committed records. All four are sequentially consistent, so at least one of the
 * two sees the other. */
#include "lb/base/log_priv.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DOZE_NS        (5 * 1000 * 1000)
#define DROP_REPORT_NS 1000000000ull

enum { AWAKE, DOZING, ASLEEP };

static _Atomic uint32_t state = AWAKE; /* a futex */
static _Atomic uint32_t ended;         /* another */
static _Atomic bool running, stopping, reopen_asked;
static _Atomic uint64_t dropped;
static pthread_t thread;
static bool abandoned;

static void futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *timeout)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* ---- for the writers ---- */

bool log_thread_running(void)
{
    return atomic_load_explicit(&running, memory_order_acquire);
}

bool log_thread_stopping(void)
{
    return atomic_load_explicit(&stopping, memory_order_relaxed);
}

bool log_thread_abandoned(void)
{
    return abandoned;
}

void log_count_dropped(uint64_t lines)
{
    atomic_fetch_add_explicit(&dropped, lines, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

void log_thread_wake(void)
{
    if (atomic_exchange_explicit(&state, AWAKE, memory_order_seq_cst) != AWAKE)
        futex_wake(&state);
}

void log_thread_poke(size_t fill, size_t size)
{
    uint32_t s = atomic_load_explicit(&state, memory_order_seq_cst);
    if (s == ASLEEP || (s == DOZING && fill > size / 2))
        log_thread_wake();
}

/* ---- the thread ---- */

static bool work_waiting(void)
{
    if (atomic_load_explicit(&stopping, memory_order_seq_cst) ||
        atomic_load_explicit(&reopen_asked, memory_order_seq_cst))
        return true;
    for (struct log_sink *s = log_sink_first(); s != NULL; s = log_sink_next(s)) {
        if (atomic_load_explicit(&s->closing, memory_order_seq_cst) ||
            (s->ring.data != NULL && log_ring_ready(&s->ring)))
            return true;
    }
    return false;
}

/* Until woken, for at most timeout (NULL: without end). */
static void wait_as(uint32_t how, const struct timespec *timeout)
{
    atomic_store_explicit(&state, how, memory_order_seq_cst);
    /* While dozing, lines that wait are what the doze is for. */
    bool wait = how == DOZING ? !log_thread_stopping() : !work_waiting();
    if (wait)
        futex_wait(&state, how, timeout);
    atomic_store_explicit(&state, AWAKE, memory_order_seq_cst);
}

static bool drain_all(void)
{
    bool any = false;
    bool reopen = atomic_exchange_explicit(&reopen_asked, false, memory_order_seq_cst);
    for (struct log_sink *s = log_sink_first(), *next; s != NULL; s = next) {
        next = log_sink_next(s);
        bool closing = atomic_load_explicit(&s->closing, memory_order_seq_cst);
        any |= log_sink_drain(s);
        if (closing)
            log_sink_destroy(s);
        else if (reopen)
            log_sink_reopen(s);
    }
    return any;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Lines are missing: say so, at most once a second, and at the end. Is there more to say later? */
static bool report_dropped(bool at_once)
{
    static uint64_t reported, reported_at_ns;
    uint64_t lost = log_dropped();
    if (lost == reported)
        return false;
    if (!at_once && now_ns() - reported_at_ns < DROP_REPORT_NS)
        return true;
    log_warn("log: %llu lines were dropped, what reads them is too slow or broken",
             (unsigned long long)(lost - reported));
    reported = lost;
    reported_at_ns = now_ns();
    return false;
}

static void *run(void *arg)
{
    (void)arg;
    static const struct timespec doze = {.tv_nsec = DOZE_NS};
    static const struct timespec report_wait = {.tv_nsec = DROP_REPORT_NS / 2};
    for (;;) {
        bool last =
            log_thread_stopping(); /* before the drain: what was queued until then goes out */
        bool more_to_say = report_dropped(last);
        bool any = drain_all();
        if (last)
            break;
        if (any)
            wait_as(DOZING, &doze);
        else
            wait_as(ASLEEP, more_to_say ? &report_wait : NULL);
    }
    atomic_store_explicit(&ended, 1, memory_order_release);
    futex_wake(&ended);
    return NULL;
}

/* ---- start and stop ---- */

void log_thread_start(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

    if (log_thread_running() || abandoned)
        return;
    if (log_sink_default()->ring.data == NULL)
        log_ring_init(&log_sink_default()->ring, LIMIT_LOG_RING);
    atomic_store(&stopping, false);
    atomic_store(&ended, 0);
    atomic_store(&state, AWAKE);

    /* Signals are for the control thread; SIGPIPE of a reader that went is an error of write(). */
    sigset_t all, old;
    sigfillset(&all);
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        log_error("log: no thread for the logs, they may slow the workers down: %s",
                  strerrordesc_np(rc));
        return;
    }
    pthread_setname_np(thread, "sluice-log");
    atomic_store_explicit(&running, true, memory_order_release);
}

/* A reader that takes nothing must not keep the process from ending: after LIMIT_LOG_STOP_MS the
 * thread is left behind, with the sinks that it may be writing to. */
static bool ends_in_time(void)
{
    uint64_t until = now_ns() + LIMIT_LOG_STOP_MS * 1000000ull;
    while (atomic_load_explicit(&ended, memory_order_acquire) == 0) {
        uint64_t now = now_ns();
        if (now >= until)
            return false;
        struct timespec left = {(time_t)((until - now) / 1000000000u),
                                (long)((until - now) % 1000000000u)};
        futex_wait(&ended, 0, &left);
    }
    return true;
}

void log_thread_stop(void)
{
    if (!log_thread_running())
        return;
    atomic_store_explicit(&stopping, true, memory_order_seq_cst);
    log_thread_wake();
    if (!ends_in_time()) {
        abandoned = true; /* `running` stays: lines go to the rings, as far as they reach */
        pthread_detach(thread);
        return;
    }
    pthread_join(thread, NULL);
    atomic_store_explicit(&running, false, memory_order_release);
    drain_all(); /* queued by a thread that had not seen the end yet */
    atomic_store_explicit(&stopping, false, memory_order_relaxed);
}

void log_reopen(void)
{
    if (log_thread_running()) {
        atomic_store_explicit(&reopen_asked, true, memory_order_seq_cst);
        log_thread_wake();
        return;
    }
    for (struct log_sink *s = log_sink_first(); s != NULL; s = log_sink_next(s))
        log_sink_reopen(s);
}
