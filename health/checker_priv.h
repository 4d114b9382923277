/* checker_priv.h - what the files of the checker share: its targets, one for each slot that is
 * checked.
 *
 *   checker.c        its life, what others are told, when the first round is over
 *   checker_mail.c   notes from other threads, a mailbox for each slot
 *   target.c         when a target is checked, and what a result is
 *   target_state.c   makes a verdict so: in the table, in the log, to the hooks
 *   target_change.c  what comes from outside: configuration, commands, failures of clients
 *   target_weight.c  its effective weight
 *   target_eject.c   ejections
 *   target_agent.c   what its agent says
 *
 * All on the health thread, but where checker_mail.c says otherwise. */
#ifndef SLUICE_HEALTH_CHECKER_PRIV_H
#define SLUICE_HEALTH_CHECKER_PRIV_H

#include "health/checker.h"

#include "lb/base/slab.h"
#include "lb/io/loop.h"

#include "health/agent.h"
#include "health/agent_set.h"
#include "health/check.h"
#include "health/verdict.h"

#define TARGET_NO_RAMP UINT64_MAX

struct mailbox; /* checker_mail.c */

enum target_state { TARGET_OFF, TARGET_IDLE, TARGET_QUEUED, TARGET_RUNNING };

struct target {
    struct checker *checker;
    struct backend_slot *slot;
    struct list all;   /* checker->targets */
    struct list queue; /* checker->queue */
    enum target_state state;
    struct checker_pool_conf conf;
    struct verdict verdict;
    struct backend_info info;
    struct check *check;  /* while running */
    struct addr checked;  /* the slot's address at the last look; len 0: none */
    uint64_t address_set; /* ... and the number of its setting */
    uint32_t moves;       /* of this check, to further addresses of the backend's name */
    struct timer next;    /* of the next check */
    struct timer ramp;    /* of the next step of a slow start */
    struct outlier outlier;
    struct timer back;                   /* of the end of an ejection */
    char ejection[LIMIT_CHECK_DESC + 1]; /* what people read meanwhile */
    uint64_t refused_ms; /* when an ejection was refused, as logged last; 0: never */
    uint64_t ramp_from_ms;
    uint64_t started_ms;         /* the last check */
    uint64_t changed_at_ms;      /* the last transition */
    struct agent *agent;         /* NULL: none is configured */
    struct agent_set *agent_set; /* set at run time; NULL: nothing */
    bool agent_off;              /* disable agent */
    bool first;                  /* its first result is awaited */
    bool disabled;               /* disable health */
    bool in_maint;               /* at the last look */
    bool counted_up;             /* in its pool's count */
    bool recalled;               /* verdict and info are those of a former process */
    bool removed;                /* freed when its check has ended */
};

struct pool_count {
    uint32_t targets, up, ejected;
    bool changed; /* its hook is called at the end of the turn */
};

struct checker {
    struct loop *loop;
    struct epoch_domain *epochs;
    struct checker_hooks hooks;
    struct list targets, queue;
    uint32_t in_flight, n_first;
    bool begun, told_ready, stopping;
    struct slab checks;
    struct stream_env streams;
    struct timer ready_by;
    struct loop_task flush;
    struct loop_msg begin_msg;
    uint64_t unable_logged_ms;
    uint32_t n_changed;
    uint16_t changed[LIMIT_POOLS];
    struct pool_count pools[LIMIT_POOLS];
    _Atomic(struct mailbox *) boxes[LIMIT_BACKENDS];
};

static inline uint64_t checker_now_ms(const struct checker *c)
{
    return loop_now_ms(c->loop);
}

static inline bool target_has_checks(const struct target *t)
{
    return t->conf.health.type != CHECK_TYPE_NONE;
}

/* ---- checker.c ---- */

/* Once a turn and pool, however many of its backends changed. */
void checker_pool_changed(struct target *t);
/* Its first result is there, or is not waited for any more. */
void checker_first_is_over(struct target *t);

/* ---- checker_mail.c ---- */

void checker_mail_free(struct checker *c); /* no more notes come */

/* ---- target.c ---- */

/* In the caller's thread: touches neither the loop nor the slot's state. */
struct target *target_new(struct checker *c, struct backend_slot *s,
                          const struct checker_pool_conf *conf);
void target_free(struct target *t);
void target_free_when_idle(struct target *t);
bool target_wanted(const struct target *t); /* whether it should be checked at all */
/* A running target leaves its state when its check is done only. */
void target_enter(struct target *t, enum target_state next);
void target_check_soon(struct target *t);
/* Off or on, as things are now. What is switched on is checked at once. */
void target_settle(struct target *t);

/* ---- target_state.c ---- */

enum oper_state target_state_oper(const struct target *t); /* what checks say, and the agent */
/* The verdict may have changed: makes it so. close: a backend that went down may lose its
 * connections. */
void target_state_apply(struct target *t, const char *reason, bool close);
void target_state_publish(struct target *t); /* what people see of it */
/* Whether it takes part, for "2 of 3 backends up". */
void target_state_count_up(struct target *t, bool removed);
void target_state_count_downtime(struct target *t, uint64_t wall_us);
void target_state_forget_failures(struct target *t);
/* "1h2m3s", "4.2s". */
const char *target_state_format_age(uint64_t ms, char out[static 32]);

/* ---- target_change.c ---- */

/* Of a former life only what outlives it. Before target_change_begin(). */
void target_change_recall(struct target *t, const struct checker_known *known);
void target_change_begin(struct target *t); /* a new one */
/* The slot has a target already: a reload. What is known stays; `from` is freed. */
void target_change_conf(struct target *t, struct target *from);
void target_change_remove(struct target *t);
/* The administrative state, the weight or the address may be another one. */
void target_change_touch(struct target *t);
void target_change_force(struct target *t, enum checker_force to);
/* n connections of clients have failed, the last one so. */
void target_change_failures(struct target *t, uint32_t n, const char *what);

/* ---- target_weight.c ---- */

void target_weight_init(struct target *t);
void target_weight_update(struct target *t);
void target_weight_ramp(struct target *t, bool on); /* from now on slowly, or at once */

/* ---- target_eject.c ---- */

void target_eject_init(struct target *t);
/* It has failed as often as its pool allows. */
void target_eject_consider(struct target *t);
/* What it has done does not count any more. */
void target_eject_pardon(struct target *t, const char *why);
/* Others of the pool may have gone meanwhile: nothing is left, or those that are ejected have come
 * to be too large a part of it. */
void target_eject_review(struct checker *c, uint32_t pool);

/* ---- target_agent.c ---- */

/* As the configuration is now. Without one nothing of what it said stays. */
void target_agent_make(struct target *t);
void target_agent_settle(struct target *t); /* asked, or not, as things are now */
void target_agent_set_down(struct target *t, bool down, const char *why);

#endif
