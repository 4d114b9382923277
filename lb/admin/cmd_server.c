/* cmd_server.c - what an admin does to a backend: maintenance, drain, weight, address, health.
 * Changes of admin bits and weights are made here, on the control thread, and become effective when
 * the health thread has rebuilt the pool's view (checker_touch); the answer comes then. Each is
 * logged. */
#include "lb/admin/cmd_server.h"
#include "health/checker.h"
#include "lb/admin/command.h"
#include "lb/net/addr.h"
#include "lb/obs/events.h"
#include "lb/upstream/pool.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORCED_MAINT (ADMIN_FMAINT | ADMIN_CMAINT)

static void note(const struct backend_slot *slot, const char *what)
{
    events_log_backend(EVENT_CHANGE, LOG_LEVEL_INFO, slot->pool_name, slot->name,
                       "backend %s/%s: %s", slot->pool_name, slot->name, what);
}

static const char *via(const struct command *c)
{
    return c->session->via != NULL ? c->session->via : "over the stats socket";
}

void cmd_server_note(const struct command *c, const struct backend_slot *slot, const char *what)
{
    char text[160];

    snprintf(text, sizeof(text), "%s %s", what, via(c));
    note(slot, text);
}

/* The words from the i-th argument on, as one line. */
static void read_reason(const struct command *c, uint32_t i, char out[LIMIT_MAINT_REASON + 1])
{
    size_t n = 0;

    for (struct str word; (word = command_arg(c, i)).len > 0; i++) {
        if (n > 0 && n < LIMIT_MAINT_REASON)
            out[n++] = ' ';
        for (size_t k = 0; k < word.len && n < LIMIT_MAINT_REASON; k++)
            out[n++] = (unsigned char)word.p[k] < 0x20 || word.p[k] == 0x7f ? '?' : word.p[k];
    }
    out[n] = '\0';
}

/* reason: the argument that it begins with. A new reason for what is so already is a change too. */
static void change_admin(struct command *c, struct backend_slot *slot, uint8_t clear, uint8_t set,
                         const char *what, uint32_t reason)
{
    struct backend_word before = slot_set_admin(slot, clear, set);
    uint8_t after = (uint8_t)((before.admin & ~clear) | set);
    char why[LIMIT_MAINT_REASON + 1] = "", text[LIMIT_MAINT_REASON + 160];

    if (set != 0)
        read_reason(c, reason, why);
    if (after == before.admin && (why[0] == '\0' || strcmp(why, slot->admin_reason) == 0))
        return;
    slot_set_reason(slot, why);
    checker_touch(c->env->ops->checker, slot);
    c->changes_picks = true;
    snprintf(text, sizeof(text), "%s %s%s%s", what, via(c), why[0] != '\0' ? ": " : "", why);
    note(slot, text);
}

static void set_ready(struct command *c, struct backend_slot *slot)
{
    change_admin(c, slot, FORCED_MAINT | ADMIN_FDRAIN, 0, "made ready", 0);
}

static void set_drain(struct command *c, struct backend_slot *slot, uint32_t reason)
{
    change_admin(c, slot, FORCED_MAINT, ADMIN_FDRAIN, "draining", reason);
}

static void set_maint(struct command *c, struct backend_slot *slot, uint32_t reason)
{
    change_admin(c, slot, ADMIN_FDRAIN, ADMIN_FMAINT, "put in maintenance", reason);
}

/* ---- enable, disable ---- */

static struct backend_slot *named_slot(struct command *c)
{
    struct pool_member *m = command_find_server(c, command_arg(c, 0), NULL);
    return m != NULL ? m->slot : NULL;
}

void cmd_server_enable(struct command *c)
{
    struct backend_slot *slot = named_slot(c);
    if (slot != NULL)
        set_ready(c, slot);
}

void cmd_server_disable(struct command *c)
{
    struct backend_slot *slot = named_slot(c);
    if (slot != NULL)
        set_maint(c, slot, 1);
}

void cmd_server_enable_health(struct command *c)
{
    struct pool *p;
    struct pool_member *m = command_find_server(c, command_arg(c, 0), &p);

    if (m == NULL)
        return;
    if (p->conf->health.type == CHECK_TYPE_NONE) {
        command_refuse(c, "Health check was not configured on this server, cannot enable.");
        return;
    }
    checker_enable(c->env->ops->checker, m->slot, true);
    cmd_server_note(c, m->slot, "checks enabled");
}

void cmd_server_disable_health(struct command *c)
{
    struct pool *p;
    struct pool_member *m = command_find_server(c, command_arg(c, 0), &p);

    if (m == NULL || p->conf->health.type == CHECK_TYPE_NONE)
        return;
    checker_enable(c->env->ops->checker, m->slot, false);
    cmd_server_note(c, m->slot, "checks disabled");
}

/* ---- weight ---- */

/* "N", or "N%" of the configured weight. False after a refusal, in HAProxy's words. */
static bool parse_weight(struct command *c, struct str word, const struct backend_slot *slot,
                         uint16_t *out_weight)
{
    char text[32], *end;

    if (word.len == 0) {
        command_refuse(c, "Require <weight> or <weight%%>.");
        return false;
    }
    snprintf(text, sizeof(text), STR_FMT, STR_ARG(word));
    long n = strtol(text, &end, 10);
    bool percent = *end == '%' && end[1] == '\0';
    if (end == text) {
        command_refuse(c, "Empty weight string empty or preceded by garbage");
    } else if (!percent && *end != '\0') {
        command_refuse(c, "Trailing garbage in weight string");
    } else if (percent && n < 0) {
        command_refuse(c, "Relative weight must be positive.");
    } else if (!percent && (n < 0 || n > LIMIT_WEIGHT)) {
        command_refuse(c, "Absolute weight can only be between 0 and 256 inclusive.");
    } else {
        if (percent) {
            n = n > 100 * LIMIT_WEIGHT ? 100 * LIMIT_WEIGHT : n;
            /* Upwards: some of a small weight is not nothing, unlike HAProxy's half of 1. */
            n = (n * slot->initial_weight + 99) / 100;
        }
        *out_weight = (uint16_t)(n > LIMIT_WEIGHT ? LIMIT_WEIGHT : n);
        return true;
    }
    return false;
}

static void set_weight(struct command *c, struct backend_slot *slot, struct str word)
{
    uint16_t weight;
    char what[40];

    if (!parse_weight(c, word, slot, &weight))
        return;
    struct backend_word before = slot_set_weight(slot, weight);
    if (before.set_weight == weight)
        return;
    checker_touch(c->env->ops->checker, slot);
    c->changes_picks = true;
    snprintf(what, sizeof(what), "weight %u changed to %u", before.set_weight, weight);
    cmd_server_note(c, slot, what);
}

void cmd_server_get_weight(struct command *c)
{
    struct backend_slot *slot = named_slot(c);
    if (slot != NULL)
        command_note(c, SEVERITY_DUMP, "%u (initial %u)", slot_word(slot).set_weight,
                     slot->initial_weight);
}

void cmd_server_set_weight(struct command *c)
{
    struct backend_slot *slot = named_slot(c);
    if (slot != NULL)
        set_weight(c, slot, command_arg(c, 1));
}

/* ---- set server <b>/<s> ... ---- */

static void set_state(struct command *c, struct backend_slot *slot, struct str state)
{
    if (str_eq_cstr(state, "ready"))
        set_ready(c, slot);
    else if (str_eq_cstr(state, "drain"))
        set_drain(c, slot, 3);
    else if (str_eq_cstr(state, "maint"))
        set_maint(c, slot, 3);
    else
        command_refuse(c, "'set server <srv> state' expects 'ready', 'drain' and 'maint'.");
}

static void set_health(struct command *c, struct backend_slot *slot, struct str health)
{
    enum checker_force to;

    if (str_eq_cstr(health, "up")) {
        to = FORCE_UP;
    } else if (str_eq_cstr(health, "stopping")) {
        to = FORCE_STOPPING;
    } else if (str_eq_cstr(health, "down")) {
        to = FORCE_DOWN;
    } else {
        command_refuse(c, "'set server <srv> health' expects 'up', 'stopping', or 'down'.");
        return;
    }
    checker_force(c->env->ops->checker, slot, to);
    c->changes_picks = true;
    cmd_server_note(c, slot,
                    to == FORCE_UP     ? "health set to up"
                    : to == FORCE_DOWN ? "health set to down"
                                       : "health set to stopping");
}

bool cmd_server_parse_ip(struct str word, struct addr *out)
{
    char text[ADDR_TEXT_MAX];

    *out = (struct addr){0};
    if (word.len == 0 || word.len >= sizeof(text))
        return false;
    memcpy(text, word.p, word.len);
    text[word.len] = '\0';
    if (inet_pton(AF_INET, text, &out->in.sin_addr) == 1) {
        out->in.sin_family = AF_INET;
        out->len = sizeof(out->in);
    } else if (inet_pton(AF_INET6, text, &out->in6.sin6_addr) == 1) {
        out->in6.sin6_family = AF_INET6;
        out->len = sizeof(out->in6);
    }
    return out->len > 0;
}

/* An IP address without a port, or "unix:/path". */
static bool parse_address(struct str word, struct addr *out)
{
    struct addr_spec spec;
    const char *error;

    if (!str_starts(word, STR("unix:")))
        return cmd_server_parse_ip(word, out);
    if (addr_parse(word, false, false, &spec, &error) < 0)
        return false;
    *out = spec.addr;
    return true;
}

/* The port that the new address gets: as asked for, else as before, else as configured. */
static bool parse_port(struct command *c, const struct pool_member *m, const struct addr *old,
                       uint16_t *out_port)
{
    struct str word = command_arg(c, 4);
    uint64_t port = old != NULL && old->len > 0 ? addr_port(old) : 0;

    if (command_arg(c, 3).len > 0) {
        if (!command_arg_is(c, 3, "port") || str_u64(word, 65535, &port) < 0 || port == 0) {
            command_refuse(c,
                           "problem converting port '" STR_FMT "' to an int: expected 'port' "
                           "and a number from 1 to 65535",
                           STR_ARG(word.len > 0 ? word : command_arg(c, 3)));
            return false;
        }
    } else if (port == 0) {
        port = m->conf->address.port;
    }
    if (port == 0)
        command_refuse(c, "A port is required: set server <srv> addr <ip> port <port>.");
    *out_port = (uint16_t)port;
    return port != 0;
}

static void note_address(struct command *c, const struct backend_slot *slot, const struct addr *old,
                         const struct addr *new)
{
    char old_host[ADDR_TEXT_MAX] = "-", new_host[ADDR_TEXT_MAX];
    uint16_t old_port = 0, port = addr_port(new);
    char ip[2 * ADDR_TEXT_MAX + 40], ports[64];

    if (old->len > 0) {
        addr_format_host(old, old_host);
        old_port = addr_port(old);
    }
    addr_format_host(new, new_host);
    if (strcmp(old_host, new_host) == 0)
        snprintf(ip, sizeof(ip), "no need to change the addr");
    else
        snprintf(ip, sizeof(ip), "IP changed from '%s' to '%s'", old_host, new_host);
    if (old_port == port)
        snprintf(ports, sizeof(ports), ", no need to change the port");
    else
        snprintf(ports, sizeof(ports), ", port changed from '%u' to '%u'", old_port, port);
    bool asked = command_arg(c, 3).len > 0;
    command_note(c, SEVERITY_WARNING, "%s%s by 'stats socket command'", ip,
                 asked || old_port != port ? ports : "");
    events_log_backend(EVENT_CHANGE, LOG_LEVEL_INFO, slot->pool_name, slot->name,
                       "backend %s/%s: address changed from %s to %s %s", slot->pool_name,
                       slot->name, old->len > 0 ? addr_format(old, old_host) : "none",
                       addr_format(new, new_host), via(c));
}

static void set_address(struct command *c, const struct pool_member *m)
{
    const struct admin_ops *ops = c->env->ops;
    const struct addr *current = atomic_load_explicit(&m->slot->address, memory_order_acquire);
    struct addr old = current != NULL ? *current : (struct addr){0}, new;
    struct str word = command_arg(c, 2);
    const char *error = "not possible";
    uint16_t port = 0;

    if (!parse_address(word, &new)) {
        command_refuse(c, "Invalid addr '" STR_FMT "' by 'stats socket command'", STR_ARG(word));
        return;
    }
    if (addr_family(&new) != AF_UNIX) {
        if (!parse_port(c, m, &old, &port))
            return;
        addr_set_port(&new, port);
    }
    if (ops->set_address(ops->ctx, m->slot, &new, &error) < 0) {
        command_refuse(c, "The address cannot be changed: %s", error);
        return;
    }
    c->changes_picks = true;
    note_address(c, m->slot, &old, &new);
}

void cmd_server_set(struct command *c)
{
    struct pool *p;
    struct pool_member *m = command_find_server(c, command_arg(c, 0), &p);

    if (m == NULL)
        return;
    if (command_arg_is(c, 1, "state"))
        set_state(c, m->slot, command_arg(c, 2));
    else if (command_arg_is(c, 1, "weight"))
        set_weight(c, m->slot, command_arg(c, 2));
    else if (command_arg_is(c, 1, "health"))
        set_health(c, m->slot, command_arg(c, 2));
    else if (command_arg_is(c, 1, "addr"))
        set_address(c, m);
    else if (!cmd_agent_set(c, p, m->slot))
        command_refuse(c, "usage: set server <backend>/<server> addr | agent | agent-addr | "
                          "agent-port | agent-send | health | state | weight");
}
