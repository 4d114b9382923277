/* cmd_runtime.c - backends that come and go at run time, and who waits until one may go. */
#include "health/checker.h"
#include "lb/admin/command.h"
#include "lb/base/alloc.h"
#include "lb/obs/events.h"
#include "lb/upstream/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MAX_MS (24u * 3600 * 1000)

/* ---- add, del ---- */

struct change_answer {
    struct late_answer late; /* first: freed as one */
};

static void on_changed(void *arg, bool good, const char *text)
{
    struct change_answer *a = arg;

    a->late.severity = good ? SEVERITY_INFO : SEVERITY_ERROR;
    strbuf_add_cstr(&a->late.text, text);
    late_answer_ready(&a->late);
}

/* "pool/backend" in two; false after a refusal. */
static bool split_name(struct command *c, struct str name, struct str *out_pool,
                       struct str *out_server)
{
    const char *slash = name.len > 0 ? memchr(name.p, '/', name.len) : NULL;

    if (slash == NULL) {
        command_refuse(c, "Missing server name (<backend>/<server>).");
        return false;
    }
    size_t len = (size_t)(slash - name.p);
    const struct pool *p = command_find_pool(c, (struct str){name.p, len});
    if (p == NULL) {
        command_refuse(c, "No such backend.");
        return false;
    }
    *out_pool = str_of(p->name);
    *out_server = (struct str){slash + 1, name.len - len - 1};
    return true;
}

static void add_help(struct command *c)
{
    command_note(c, SEVERITY_INFO,
                 "add server <bk>/<srv> <address> [weight <n>] [maxconn <n>] [backup] "
                 "[enabled|disabled] [check] [reason <text>]\n"
                 "It is in maintenance until it is enabled, here or by 'enable server'; checks, "
                 "TLS and timeouts are its pool's.");
}

void cmd_runtime_add_server(struct command *c)
{
    struct str pool, name, address = command_arg(c, 1);
    uint32_t skip = c->n_name + 2;

    if (command_arg_is(c, 0, "help")) {
        add_help(c);
        return;
    }
    if (!split_name(c, command_arg(c, 0), &pool, &name))
        return;
    if (address.len == 0) {
        command_refuse(c,
                       "Missing address: add server <backend>/<server> <address> [<setting>...].");
        return;
    }
    struct change_answer *a = xcalloc(1, sizeof(*a));
    command_later(c, &a->late);
    c->env->ops->add_backend(c->env->ops->ctx, pool, name, address, c->words + skip,
                             c->n_words - skip, on_changed, a);
}

void cmd_runtime_del_server(struct command *c)
{
    struct pool *p;
    struct str pool, name;

    if (!split_name(c, command_arg(c, 0), &pool, &name))
        return;
    struct pool_member *m = command_find_server(c, command_arg(c, 0), &p);
    if (m == NULL)
        return;
    struct change_answer *a = xcalloc(1, sizeof(*a));
    command_later(c, &a->late);
    c->env->ops->remove_backend(c->env->ops->ctx, pool, str_of(m->slot->name), on_changed, a);
}

/* ---- wait ---- */

struct wait_answer {
    struct late_answer late; /* first: freed as one */
    const struct admin_ops *ops;
    char pool[LIMIT_NAME_LEN + 1], server[LIMIT_NAME_LEN + 1]; /* empty: just the time */
    bool gone;
};

static const struct backend_slot *find_slot(const struct wait_answer *a)
{
    for (uint32_t i = 0; i < a->ops->n_pools; i++) {
        const struct pool *p = a->ops->pools[i];
        for (uint32_t k = 0; strcmp(p->name, a->pool) == 0 && k < p->n_members; k++)
            if (strcmp(p->members[k].slot->name, a->server) == 0)
                return p->members[k].slot;
    }
    return NULL;
}

static bool wait_over(void *arg)
{
    struct wait_answer *a = arg;

    if (a->server[0] == '\0')
        return false;
    const struct backend_slot *slot = find_slot(a);
    a->gone = slot == NULL;
    return slot == NULL ||
           ((slot_word(slot).admin & ADMIN_MAINT_MASK) != 0 && atomic_load(&slot->in_flight) == 0);
}

static void on_waited(void *arg, bool in_time)
{
    struct wait_answer *a = arg;
    const struct backend_slot *slot = a->server[0] != '\0' ? find_slot(a) : NULL;

    if (a->server[0] == '\0') { /* a pause has nothing to say */
    } else if (a->gone) {
        a->late.severity = SEVERITY_ERROR;
        strbuf_add_cstr(&a->late.text, "No such server.\n");
    } else if (in_time) {
        a->late.severity = SEVERITY_INFO;
        strbuf_add_cstr(&a->late.text, "Done.\n");
    } else {
        a->late.severity = SEVERITY_ERROR;
        if (slot != NULL && (slot_word(slot).admin & ADMIN_MAINT_MASK) == 0)
            strbuf_add_cstr(&a->late.text,
                            "Wait delay expired: the server is not in maintenance mode.\n");
        else
            strbuf_addf(&a->late.text, "Wait delay expired: the server has %u connections.\n",
                        slot != NULL ? atomic_load(&slot->in_flight) : 0);
    }
    late_answer_ready(&a->late);
}

void cmd_runtime_wait(struct command *c)
{
    struct pool *p;
    struct pool_member *m = NULL;
    uint64_t ms;

    if (command_arg_is(c, 0, "-h")) {
        command_note(c, SEVERITY_INFO,
                     "wait <delay> [srv-removable <bk>/<srv>]: until the server is in maintenance "
                     "and has no connection left, but no longer (seconds, or with a unit)");
        return;
    }
    if (!command_duration(command_arg(c, 0), &ms) || ms > WAIT_MAX_MS) {
        command_refuse(c, "Expects a duration of at most a day (seconds, or with a unit).");
        return;
    }
    if (command_arg(c, 1).len > 0 && !command_arg_is(c, 1, "srv-removable")) {
        command_refuse(c, "Unknown condition; expects 'srv-removable <backend>/<server>'.");
        return;
    }
    if (command_arg(c, 1).len > 0 && (m = command_find_server(c, command_arg(c, 2), &p)) == NULL)
        return;
    struct wait_answer *a = xcalloc(1, sizeof(*a));
    a->ops = c->env->ops;
    if (m != NULL) {
        snprintf(a->pool, sizeof(a->pool), "%s", p->name);
        snprintf(a->server, sizeof(a->server), "%s", m->slot->name);
    }
    a->late.wait_ms = ms;
    command_later(c, &a->late);
    c->env->ops->wait(c->env->ops->ctx, ms, wait_over, on_waited, a);
}

/* ---- max_connections ---- */

void cmd_runtime_set_maxconn(struct command *c)
{
    struct pool_member *m = command_find_server(c, command_arg(c, 0), NULL);
    struct str word = command_arg(c, 1);
    uint64_t n;

    if (m == NULL)
        return;
    if (word.len == 0) {
        command_refuse(c, "Integer value expected.");
        return;
    }
    if (str_u64(word, UINT64_MAX, &n) < 0) {
        command_refuse(c, "Expects an integer value.");
        return;
    }
    if (n > LIMIT_CONNECTIONS) {
        command_refuse(c, "Value out of range.");
        return;
    }
    struct backend_slot *slot = m->slot;
    uint32_t before = atomic_exchange(&slot->max_connections, (uint32_t)n);
    if (before == n)
        return;
    checker_touch(c->env->ops->checker, slot); /* wakes those who wait for room */
    c->changes_picks = true;
    events_log_backend(EVENT_CHANGE, LOG_LEVEL_INFO, slot->pool_name, slot->name,
                       "backend %s/%s: max_connections %u changed to %u over the stats socket",
                       slot->pool_name, slot->name, before, (unsigned)n);
}

/* HAProxy of some versions wants these before `add server`; scripts go on saying them. */
void cmd_runtime_mode(struct command *c)
{
    if (!command_arg_is(c, 0, "on") && !command_arg_is(c, 0, "off") && command_arg(c, 0).len > 0)
        command_refuse(c, "Expects 'on' or 'off'.");
}
