/* cmd_agent.c - what an admin does about the agent beside a backend: whether it is asked, where and
 * with which words, and what it is taken to have said. HAProxy's words and refusals. */
#include "health/agent_set.h"
#include "health/checker.h"
#include "lb/admin/cmd_server.h"
#include "lb/admin/command.h"
#include "lb/net/addr.h"
#include "lb/upstream/pool.h"

#include <stdio.h>
#include <string.h>

static bool is_asked(const struct backend_slot *slot)
{
    struct backend_info info;

    slot_info(slot, &info);
    return info.agent_enabled;
}

/* ---- enable, disable ---- */

void cmd_agent_enable(struct command *c)
{
    struct pool *p;
    struct pool_member *m = command_find_server(c, command_arg(c, 0), &p);

    if (m == NULL)
        return;
    if (p->conf->agent == NULL) {
        command_refuse(c, "Agent was not configured on this server, cannot enable.");
        return;
    }
    checker_enable_agent(c->env->ops->checker, m->slot, true);
    c->changes_picks = true;
    cmd_server_note(c, m->slot, "agent enabled");
}

void cmd_agent_disable(struct command *c)
{
    struct pool *p;
    struct pool_member *m = command_find_server(c, command_arg(c, 0), &p);

    if (m == NULL || p->conf->agent == NULL)
        return;
    checker_enable_agent(c->env->ops->checker, m->slot, false);
    c->changes_picks = true;
    cmd_server_note(c, m->slot, "agent disabled");
}

/* ---- set server <b>/<s> agent ---- */

static void set_word(struct command *c, struct backend_slot *slot, struct str word)
{
    bool up = str_eq_cstr(word, "up");

    if (!is_asked(slot)) {
        command_refuse(c, "agent checks are not enabled on this server.");
        return;
    }
    if (!up && !str_eq_cstr(word, "down")) {
        command_refuse(c, "'set server <srv> agent' expects 'up' or 'down'.");
        return;
    }
    checker_force_agent(c->env->ops->checker, slot, up);
    c->changes_picks = true;
    cmd_server_note(c, slot, up ? "agent set to up" : "agent set to down");
}

/* ---- agent-addr, agent-port, agent-send ---- */

/* In HAProxy's words. */
static bool parse_port(struct command *c, struct str word, uint32_t *out)
{
    uint64_t port;
    int rc = str_u64(word, 65535, &port);

    if (rc == 0 && port > 0) {
        *out = (uint32_t)port;
        return true;
    }
    if (word.len > 0 && strspn(word.p, "+-0123456789") >= word.len)
        command_refuse(c, "provided port is invalid: '" STR_FMT "', expected 1 to 65535",
                       STR_ARG(word));
    else
        command_refuse(c, "provided port is not an integer: '" STR_FMT "', expected 1 to 65535",
                       STR_ARG(word));
    return false;
}

static bool set_address(struct command *c, const struct agent_conf *conf, struct agent_set *set)
{
    struct str word = command_arg(c, 2);

    if (word.len == 0) {
        command_refuse(c, "set server <b>/<s> agent-addr requires an address and optionally a "
                          "port.");
        return false;
    }
    if (!cmd_server_parse_ip(word, &set->address)) {
        command_refuse(c, "invalid addr '" STR_FMT "', expected an IP address", STR_ARG(word));
        return false;
    }
    if (command_arg_is(c, 3, "port"))
        return parse_port(c, command_arg(c, 4), &set->port);
    if (command_arg(c, 3).len > 0) {
        command_refuse(c, "found '" STR_FMT "' behind the address, expected 'port' and a number",
                       STR_ARG(command_arg(c, 3)));
        return false;
    }
    if (set->port == 0 && conf->port == 0 && addr_port(&conf->address) == 0) {
        command_refuse(c, "A port is required: set server <srv> agent-addr <ip> port <port>.");
        return false;
    }
    return true;
}

static bool set_port(struct command *c, const struct agent_conf *conf, struct agent_set *set)
{
    struct str word = command_arg(c, 2);

    if (word.len == 0) {
        command_refuse(c, "set server <b>/<s> agent-port requires a port.");
        return false;
    }
    if (set->address.len == 0 && addr_family(&conf->address) == AF_UNIX) {
        command_refuse(c, "its agent listens at a unix socket, which has no port: set server "
                          "<srv> agent-addr <ip> port <port>");
        return false;
    }
    return parse_port(c, word, &set->port);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* An escape as in the configuration, of which the backslash is at *i; moves to its last byte. -1:
 * it is none. */
static int unescape(struct str s, size_t *i)
{
    static const char letters[] = "nrt\\", values[] = "\n\r\t\\";
    char c = *i + 1 < s.len ? s.p[*i + 1] : '\0';
    const char *known = c != '\0' ? strchr(letters, c) : NULL;

    if (known != NULL) {
        *i += 1;
        return values[known - letters];
    }
    int high = c == 'x' && *i + 3 < s.len ? hex(s.p[*i + 2]) : -1;
    int low = high >= 0 ? hex(s.p[*i + 3]) : -1;
    if (low < 0)
        return -1;
    *i += 3;
    return high * 16 + low;
}

static bool set_send(struct command *c, struct agent_set *set)
{
    struct str word = command_arg(c, 2);
    size_t n = 0;

    for (size_t i = 0; i < word.len; i++) {
        const char *from = word.p + i;
        int byte = word.p[i] == '\\' ? unescape(word, &i) : (unsigned char)word.p[i];
        if (byte <= 0) {
            command_refuse(
                c,
                "agent-send: found '%.*s', expected text with the escapes \\n \\r \\t \\\\ "
                "\\xHH (01 to ff)",
                (int)(word.p + word.len - from < 4 ? word.p + word.len - from : 4), from);
            return false;
        }
        if (n == sizeof(set->send)) {
            command_refuse(c, "agent-send: found more than %d bytes", AGENT_SET_SEND_MAX);
            return false;
        }
        set->send[n++] = (char)byte;
    }
    set->send_len = (uint16_t)n;
    set->has_send = true;
    return true;
}

static void note_change(const struct command *c, const struct backend_slot *slot,
                        const struct agent_conf *conf, bool send)
{
    struct agent_conf now;
    char host[ADDR_TEXT_MAX], what[ADDR_TEXT_MAX + 80];

    agent_set_merge(conf, slot->agent_set, &now);
    if (send)
        snprintf(what, sizeof(what), "its agent is sent %zu bytes, as set", now.send_len);
    else
        snprintf(what, sizeof(what), "its agent is asked at %s, port %u",
                 now.address.len > 0 ? addr_format_host(&now.address, host) : "its own address",
                 now.port);
    cmd_server_note(c, slot, what);
}

static void change(struct command *c, const struct pool *p, struct backend_slot *slot)
{
    static const struct agent_set nothing = {0};
    const struct agent_conf *conf = p->conf->agent;
    struct agent_set set = slot->agent_set != NULL ? *slot->agent_set : nothing;
    bool send = command_arg_is(c, 1, "agent-send"), good;

    if (conf == NULL) {
        command_refuse(c, "agent checks are not enabled on this server%s", send ? "." : "");
        return;
    }
    if (send)
        good = set_send(c, &set);
    else if (command_arg_is(c, 1, "agent-port"))
        good = set_port(c, conf, &set);
    else
        good = set_address(c, conf, &set);
    if (!good)
        return;
    agent_set_reduce(&set, conf);
    agent_set_put(slot, &set);
    checker_set_agent(c->env->ops->checker, slot, &set);
    note_change(c, slot, conf, send);
}

bool cmd_agent_set(struct command *c, const struct pool *p, struct backend_slot *slot)
{
    if (command_arg_is(c, 1, "agent"))
        set_word(c, slot, command_arg(c, 2));
    else if (command_arg_is(c, 1, "agent-addr") || command_arg_is(c, 1, "agent-port") ||
             command_arg_is(c, 1, "agent-send"))
        change(c, p, slot);
    else
        return false;
    return true;
}
