/* agent.c - see agent.h */
#include "health/agent.h"

#include <stdio.h>

static void ask(struct agent *a);

static void later(struct agent *a)
{
    timer_start(&a->loop->timers, &a->next, loop_now_ms(a->loop) + a->interval_ms);
}

static void on_next(struct timer *timer)
{
    ask(container_of(timer, struct agent, next));
}

static void take_conf(struct agent *a, const struct agent_conf *conf)
{
    a->asked = NULL;
    a->interval_ms = conf->interval_ms;
    a->conf.health = (struct health_conf){
        .type = CHECK_TYPE_AGENT,
        .timeout_ms = conf->timeout_ms,
        .address = conf->address,
        .port = (uint16_t)conf->port,
        .send = conf->send,
        .send_len = conf->send_len,
    };
    a->conf.send_proxy = CHECK_PROXY_OFF;
}

static void on_done(struct check *ck, const struct check_outcome *o)
{
    struct agent *a = ck->owner;
    bool halted = a->backend.len == 0;
    struct check_outcome outcome = *o;
    struct agent_reply reply = ck->agent;

    a->check = NULL;
    (*a->in_flight)--;
    slab_free(a->checks, ck);
    if (a->asked != NULL)
        take_conf(a, a->asked);
    if (halted) {
        a->fn(a, NULL, NULL);
        return;
    }
    if (outcome.end == CHECK_CANCELLED) { /* the address or the configuration has changed */
        ask(a);
        return;
    }
    later(a);
    a->fn(a, &outcome, &reply);
}

static void ask(struct agent *a)
{
    a->check = slab_alloc(a->checks);
    if (a->check == NULL) { /* too many are under way */
        later(a);
        return;
    }
    (*a->in_flight)++;
    check_start(a->check, a->streams, &a->conf, &a->backend, on_done, a);
}

void agent_configure(struct agent *a, const struct agent_conf *conf)
{
    if (a->check != NULL) {
        a->asked = conf;
        check_cancel(a->check); /* on_done() takes it, and asks */
        return;
    }
    take_conf(a, conf);
    if (a->backend.len == 0)
        return;
    timer_stop(&a->loop->timers, &a->next);
    ask(a);
}

void agent_init(struct agent *a, const struct agent_env *env, const struct agent_conf *conf)
{
    a->loop = env->loop;
    a->checks = env->checks;
    a->streams = env->streams;
    a->in_flight = env->in_flight;
    take_conf(a, conf);
    timer_init(&a->next, on_next);
    a->check = NULL;
    a->backend.len = 0;
}

void agent_run(struct agent *a, const struct addr *backend)
{
    if (a->backend.len > 0 && addr_eq(&a->backend, backend))
        return;
    a->backend = *backend;
    timer_stop(&a->loop->timers, &a->next);
    if (a->check != NULL)
        check_cancel(a->check); /* on_done() asks the new one */
    else
        ask(a);
}

void agent_halt(struct agent *a)
{
    a->backend.len = 0;
    timer_stop(&a->loop->timers, &a->next);
    if (a->check != NULL)
        check_cancel(a->check);
}
