/* drain.c - see drain.h */
#include "lb/main/drain.h"

#include "lb/admin/control.h"
#include "lb/base/log.h"
#include "lb/config/conf.h"
#include "lb/main/admin_glue.h"
#include "lb/main/edit_ops.h"
#include "lb/main/handoff.h"
#include "lb/main/options.h"
#include "lb/main/reload.h"
#include "lb/main/resolve.h"
#include "lb/main/systemd.h"
#include "lb/main/tls_store.h"
#include "lb/main/worker.h"
#include "lb/obs/events.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GUARD_MS 5000 /* after cutting: what is not gone then never goes */
#define LOG_MS   5000 /* how often the log says what is left */

static void start_timer(struct process *p, struct timer *t, uint32_t ms)
{
    timer_start(&p->loop.timers, t, loop_now_ms(&p->loop) + ms);
}

/* A session that cannot be ended is our mistake; the promised deadline holds all the same. */
static void on_guard(struct timer *t)
{
    const struct process *p = container_of(t, struct process, guard);

    events_log(EVENT_LIFE, LOG_LEVEL_ERROR, NULL,
               "%llu sessions cannot be ended: leaving without them",
               (unsigned long long)process_sessions(p));
    log_thread_stop();
    _exit(EXIT_FAILED);
}

static void on_delay(struct timer *t)
{
    drain_enter(container_of(t, struct process, delay), PHASE_DRAINING);
}

static void on_deadline(struct timer *t)
{
    struct process *p = container_of(t, struct process, deadline);

    events_log(EVENT_LIFE, LOG_LEVEL_WARN, NULL,
               "drain: the deadline is reached: %llu sessions are cut",
               (unsigned long long)process_sessions(p));
    drain_enter(p, PHASE_CUTTING);
}

void drain_init(struct process *p)
{
    timer_init(&p->delay, on_delay);
    timer_init(&p->deadline, on_deadline);
    timer_init(&p->guard, on_guard);
}

/* From the signal on. */
static uint64_t left_ms(const struct process *p)
{
    uint64_t until = p->draining.began_ms + p->conf->drain.deadline_ms;
    uint64_t now = loop_now_ms(&p->loop);

    return now < until && p->phase < PHASE_CUTTING ? until - now : 0;
}

static void tell_systemd(const struct process *p)
{
    systemd_status("draining: %llu of %llu connections left, cut in %llu s",
                   (unsigned long long)process_sessions(p),
                   (unsigned long long)p->draining.sessions,
                   (unsigned long long)(left_ms(p) + 999) / 1000);
}

void drain_tick(struct process *p)
{
    uint64_t now = loop_now_ms(&p->loop), left = process_sessions(p);

    if (p->phase != PHASE_LEAVING && p->phase != PHASE_DRAINING)
        return;
    tell_systemd(p);
    if (now < p->draining.logged_ms + LOG_MS)
        return;
    p->draining.logged_ms = now;
    log_info("drain: %llu of %llu sessions left, cut in %.1f s", (unsigned long long)left,
             (unsigned long long)p->draining.sessions, (double)left_ms(p) / 1000);
}

void drain_describe(const struct process *p, struct drain_info *out)
{
    *out = (struct drain_info){
        .state = p->phase < PHASE_LEAVING     ? "running"
                 : p->phase == PHASE_LEAVING  ? "leaving"
                 : p->phase == PHASE_DRAINING ? "draining"
                                              : "cutting",
        .began = p->phase >= PHASE_LEAVING,
        .sessions = p->draining.sessions,
    };
    snprintf(out->why, sizeof(out->why), "%s", p->draining.why);
    if (!out->began)
        return;
    out->since_ms = loop_now_ms(&p->loop) - p->draining.began_ms;
    out->left_ms = left_ms(p);
}

static void leave(struct process *p)
{
    p->draining.began_ms = p->draining.logged_ms = loop_now_ms(&p->loop);
    p->draining.sessions = process_sessions(p);
    systemd_notify("STOPPING=1");
    tell_systemd(p);
    start_timer(p, &p->deadline, p->conf->drain.deadline_ms);
    start_timer(p, &p->delay, p->conf->drain.delay_ms);
    for (uint32_t i = 0; i < p->n_started; i++)
        worker_leave(&p->workers[i]);
}

static void close_control(struct process *p)
{
    timer_stop(&p->loop.timers, &p->deadline);
    timer_stop(&p->loop.timers, &p->guard);
    timer_stop(&p->loop.timers, &p->second);
    timer_stop(&p->loop.timers, &p->watchdog);
    resolve_free(&p->resolve);
    if (p->tls != NULL)
        tls_store_stop(p->tls);
    handoff_stop(p);
    edit_ops_stop(p);
    control_stop(p->control);
    admin_http_stop(&p->admin_http);
    signals_stop(&p->signals);
}

/* Phases only go forward; one that was jumped over gets its due here. */
void drain_enter(struct process *p, enum process_phase next)
{
    while (p->phase < next) {
        p->phase++;
        switch (p->phase) {
        case PHASE_STARTING:
        case PHASE_RUNNING:
            break;
        case PHASE_LEAVING:
            leave(p);
            break;
        case PHASE_DRAINING:
            timer_stop(&p->loop.timers, &p->delay);
            for (uint32_t i = 0; i < p->n_started; i++)
                worker_drain(&p->workers[i]);
            break;
        case PHASE_CUTTING:
            if (next != PHASE_CUTTING)
                break; /* all had ended by themselves */
            timer_stop(&p->loop.timers, &p->deadline);
            start_timer(p, &p->guard, GUARD_MS);
            for (uint32_t i = 0; i < p->n_started; i++)
                worker_cut(&p->workers[i]);
            break;
        case PHASE_CLOSING:
            close_control(p);
            break;
        }
    }
}

static bool all_drained(const struct process *p)
{
    for (uint32_t i = 0; i < p->n_started; i++)
        if (!atomic_load_explicit(&p->workers[i].drained, memory_order_acquire))
            return false;
    return true;
}

void drain_step(struct process *p)
{
    if ((p->phase == PHASE_DRAINING || p->phase == PHASE_CUTTING) && all_drained(p)) {
        events_log(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "drained: no session is left");
        drain_enter(p, PHASE_CLOSING);
    }
}

bool drain_over(const struct process *p)
{
    return p->phase == PHASE_CLOSING && reload_idle(p) && control_stopped(p->control) &&
           admin_http_stopped(&p->admin_http) && admin_glue_idle(p) &&
           signals_stopped(&p->signals) && handoff_stopped(p);
}

static void on_end_signal(struct process *p, int signo)
{
    uint64_t sessions = process_sessions(p);
    const char *name = sigabbrev_np(signo);

    if (p->phase >= PHASE_LEAVING) {
        if (p->phase < PHASE_CUTTING) {
            events_log(EVENT_LIFE, LOG_LEVEL_WARN, NULL, "signal %s again: %llu sessions are cut",
                       name, (unsigned long long)sessions);
            drain_enter(p, PHASE_CUTTING);
        }
        return;
    }
    snprintf(p->draining.why, sizeof(p->draining.why), "signal %s", name);
    if (signo == SIGINT && sessions == 0) {
        events_log(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "signal INT with nothing in flight: ending");
        drain_enter(p, PHASE_DRAINING);
        return;
    }
    events_log(EVENT_LIFE, LOG_LEVEL_INFO, NULL,
               "signal %s: draining: %llu session%s open, accepting ends %s, cut after %.1f s",
               name, (unsigned long long)sessions, sessions == 1 ? "" : "s",
               p->conf->drain.delay_ms == 0 ? "now" : "after drain.delay",
               p->conf->drain.deadline_ms / 1000.0);
    drain_enter(p, p->conf->drain.delay_ms == 0 ? PHASE_DRAINING : PHASE_LEAVING);
}

void drain_hand_over(struct process *p, int to)
{
    uint64_t sessions = process_sessions(p);

    events_log(EVENT_LIFE, LOG_LEVEL_INFO, NULL,
               "handed over: draining: %llu session%s open, cut after %.1f s",
               (unsigned long long)sessions, sessions == 1 ? "" : "s",
               p->conf->drain.deadline_ms / 1000.0);
    snprintf(p->draining.why, sizeof(p->draining.why), "handed over to process %d", to);
    atomic_store(&p->shared.handed_over, true);
    drain_enter(p, PHASE_DRAINING);
}

void drain_on_signal(void *arg, int signo)
{
    struct process *p = arg;

    switch (signo) {
    case SIGTERM:
    case SIGQUIT:
    case SIGINT:
        on_end_signal(p, signo);
        return;
    case SIGUSR1:
        log_reopen();
        events_log(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "signal USR1: logs are opened again");
        return;
    default: { /* HUP, USR2 */
        char by[32];
        snprintf(by, sizeof(by), "signal %s", sigabbrev_np(signo));
        reload_request(p, by, NULL, NULL);
        return;
    }
    }
}
