/* checker_mail.c - what other threads tell the checker: each slot that was ever added has a
 * mailbox, which keeps their notes until the health thread reads them (on_mail). */
#include "health/checker_priv.h"

#include "lb/base/alloc.h"
#include "lb/obs/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One per slot that was ever added. */
struct mailbox {
    struct checker *checker;
    struct backend_slot *slot;
    struct target *target; /* health thread only */
    struct loop_msg msg;
    _Atomic bool posted;
    _Atomic uint32_t failures;
    _Atomic int last_error;
    _Atomic bool why_busy; /* a lock that nobody waits for: who finds it taken does without */
    char last_why[CHECK_ERROR_MAX];
    _Atomic bool remove, touched, outlier;
    _Atomic uint32_t eject_after; /* failures in a row; 0: off */
    _Atomic uint8_t force;        /* enum checker_force + 1; 0: none */
    _Atomic uint8_t enable;       /* 1 off, 2 on; 0: none */
    _Atomic uint8_t agent_enable; /* likewise */
    _Atomic uint8_t agent_force;  /* 1 down, 2 up; 0: none */
    _Atomic(struct agent_set *) agent_set;
    _Atomic(struct target *) incoming;
};

/* ---- read, on the health thread ---- */

static void install(struct mailbox *box, struct target *t)
{
    if (t->checker->stopping) {
        target_free(t);
        return;
    }
    if (box->target != NULL) {
        target_change_conf(box->target, t);
        return;
    }
    box->target = t;
    target_change_begin(t);
}

/* What the last failure was, in words. */
static const char *last_failure(struct mailbox *box, char out[static CHECK_ERROR_MAX])
{
    int error = atomic_load_explicit(&box->last_error, memory_order_relaxed);

    out[0] = '\0';
    if (!atomic_exchange(&box->why_busy, true)) {
        memcpy(out, box->last_why, sizeof(box->last_why));
        atomic_store(&box->why_busy, false);
    }
    return out[0] != '\0' ? out : check_error_text(error, out);
}

static void take_agent_commands(struct mailbox *box, struct target *t)
{
    uint8_t enable = atomic_exchange(&box->agent_enable, 0);
    uint8_t force = atomic_exchange(&box->agent_force, 0);
    struct agent_set *set = atomic_exchange(&box->agent_set, NULL);

    if (set != NULL) {
        free(t->agent_set);
        t->agent_set = set;
        target_agent_make(t);
    }
    if (t->agent == NULL)
        return;
    if (enable != 0) {
        t->agent_off = enable == 1;
        if (t->agent_off)
            target_agent_set_down(t, false, "agent disabled by command");
        target_settle(t);
    }
    if (force != 0)
        target_agent_set_down(t, force == 1,
                              force == 1 ? "agent set to down by command"
                                         : "agent set to up by command");
}

static void on_mail(struct loop_msg *msg, void *ctx)
{
    struct mailbox *box = container_of(msg, struct mailbox, msg);

    (void)ctx;
    atomic_store(&box->posted, false); /* before the notes are read: later ones post anew */
    if (atomic_exchange(&box->remove, false) && box->target != NULL) {
        target_change_remove(box->target);
        box->target = NULL;
    }
    struct target *incoming = atomic_exchange(&box->incoming, NULL);
    if (incoming != NULL)
        install(box, incoming);

    uint8_t enable = atomic_exchange(&box->enable, 0), force = atomic_exchange(&box->force, 0);
    bool touched = atomic_exchange(&box->touched, false);
    bool outlier = atomic_exchange(&box->outlier, false);
    uint32_t failures = atomic_exchange(&box->failures, 0);
    struct target *t = box->target;
    if (t == NULL || box->checker->stopping)
        return;
    if (atomic_load(&box->agent_enable) != 0 || atomic_load(&box->agent_force) != 0 ||
        atomic_load(&box->agent_set) != NULL)
        take_agent_commands(box, t);
    if (enable != 0) {
        t->disabled = enable == 1;
        target_settle(t);
        if (t->disabled)
            checker_first_is_over(t); /* its result is not waited for */
    }
    if (force != 0)
        target_change_force(t, (enum checker_force)(force - 1));
    if (touched)
        target_change_touch(t);
    if (failures > 0) {
        char what[CHECK_ERROR_MAX];
        target_change_failures(t, failures, last_failure(box, what));
    }
    if (outlier)
        target_eject_consider(t);
}

/* ---- written, on any ---- */

static void note_why(struct mailbox *box, const char *why)
{
    if (atomic_exchange(&box->why_busy, true))
        return;
    snprintf(box->last_why, sizeof(box->last_why), "%s", why);
    atomic_store(&box->why_busy, false);
}

static void post(struct mailbox *box)
{
    if (!atomic_exchange(&box->posted, true))
        loop_post(box->checker->loop, &box->msg);
}

static struct mailbox *box_of(struct checker *c, const struct backend_slot *s)
{
    return atomic_load_explicit(&c->boxes[s->index], memory_order_acquire);
}

void checker_report_failure(struct checker *c, struct backend_slot *s, int err, const char *why)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    atomic_store_explicit(&box->last_error, err, memory_order_relaxed);
    note_why(box, why);
    atomic_fetch_add(&box->failures, 1);
    post(box);
}

uint32_t checker_report_result(struct checker *c, struct backend_slot *s, bool ok)
{
    if (likely(ok)) {
        if (unlikely(atomic_load_explicit(&s->failed_in_a_row, memory_order_relaxed) != 0))
            atomic_store_explicit(&s->failed_in_a_row, 0, memory_order_relaxed);
        return 0;
    }
    uint32_t n = atomic_fetch_add_explicit(&s->failed_in_a_row, 1, memory_order_relaxed) + 1;
    struct mailbox *box = box_of(c, s);
    uint32_t after =
        box != NULL ? atomic_load_explicit(&box->eject_after, memory_order_relaxed) : 0;
    /* Not once only: what was refused may be possible when as many have failed again. */
    if (after > 0 && n % after == 0) {
        atomic_store(&box->outlier, true);
        post(box);
    }
    return n;
}

void checker_report_connect(struct checker *c, struct backend_slot *s, const struct addr *addr)
{
    char now[ADDR_TEXT_MAX], before[ADDR_TEXT_MAX];
    struct addr was;

    (void)c;
    if (slot_address_works(s, addr, &was))
        events_log_backend(
            EVENT_ADDRESS, LOG_LEVEL_INFO, s->pool_name, s->name,
            "backend %s/%s: %s is used: nobody answers at %s, which its name has too", s->pool_name,
            s->name, addr_format(addr, now), addr_format(&was, before));
}

void checker_touch(struct checker *c, struct backend_slot *s)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    atomic_store(&box->touched, true);
    post(box);
}

void checker_force(struct checker *c, struct backend_slot *s, enum checker_force to)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    atomic_store(&box->force, (uint8_t)(to + 1));
    post(box);
}

void checker_enable(struct checker *c, struct backend_slot *s, bool on)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    atomic_store(&box->enable, on ? 2 : 1);
    post(box);
}

void checker_enable_agent(struct checker *c, struct backend_slot *s, bool on)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    atomic_store(&box->agent_enable, on ? 2 : 1);
    post(box);
}

void checker_force_agent(struct checker *c, struct backend_slot *s, bool up)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    atomic_store(&box->agent_force, up ? 2 : 1);
    post(box);
}

static void drop_agent_set(struct mailbox *box, struct agent_set *with)
{
    free(atomic_exchange(&box->agent_set, with));
}

void checker_set_agent(struct checker *c, struct backend_slot *s, const struct agent_set *set)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    struct agent_set *copy = xmalloc(sizeof(*copy));
    *copy = *set;
    drop_agent_set(box, copy);
    post(box);
}

/* ---- targets, from control ---- */

static void add(struct checker *c, struct backend_slot *s, const struct checker_pool_conf *conf,
                const struct checker_known *known)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL) {
        box = xcalloc(1, sizeof(*box));
        box->checker = c;
        box->slot = s;
        box->msg.fn = on_mail;
        atomic_store_explicit(&c->boxes[s->index], box, memory_order_release);
    }
    atomic_store(&box->eject_after, conf->ejection.time_ms > 0 ? conf->ejection.failures : 0);
    struct target *t = target_new(c, s, conf);
    drop_agent_set(box, NULL); /* conf has it */
    if (known != NULL)
        target_change_recall(t, known);
    struct target *older = atomic_exchange(&box->incoming, t);
    if (older != NULL)
        target_free(older);
    post(box);
}

void checker_add(struct checker *c, struct backend_slot *s, const struct checker_pool_conf *conf)
{
    add(c, s, conf, NULL);
}

void checker_add_known(struct checker *c, struct backend_slot *s,
                       const struct checker_pool_conf *conf, const struct checker_known *known)
{
    add(c, s, conf, known);
}

void checker_remove(struct checker *c, struct backend_slot *s)
{
    struct mailbox *box = box_of(c, s);

    if (box == NULL)
        return;
    struct target *incoming = atomic_exchange(&box->incoming, NULL);
    if (incoming != NULL)
        target_free(incoming);
    atomic_store(&box->remove, true);
    post(box);
}

void checker_mail_free(struct checker *c)
{
    for (uint32_t i = 0; i < LIMIT_BACKENDS; i++) {
        struct mailbox *box = atomic_load(&c->boxes[i]);
        struct target *incoming = box != NULL ? atomic_load(&box->incoming) : NULL;
        if (incoming != NULL)
            target_free(incoming);
        if (box != NULL)
            drop_agent_set(box, NULL);
        free(box);
    }
}
