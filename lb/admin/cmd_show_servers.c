/* cmd_show_servers.c - `show servers state|conn [<backend>] [json]`, in HAProxy's columns. */
#include "health/agent_set.h"
#include "lb/admin/command.h"
#include "lb/admin/rows.h"
#include "lb/admin/status.h"
#include "lb/net/addr.h"
#include "lb/upstream/pool.h"

#include <stdio.h>

/* The pool that was asked for (*out_only NULL: all), or false after a refusal. */
static bool parse_pool(struct command *c, const struct pool **out_only)
{
    struct str name = command_arg(c, 0);

    *out_only = NULL;
    if (name.len == 0 || str_eq_cstr(name, "json"))
        return true;
    *out_only = command_find_pool(c, name);
    if (*out_only == NULL)
        command_refuse(c, "Can't find backend.");
    return *out_only != NULL;
}

struct place {
    char host[ADDR_TEXT_MAX]; /* "-" where there is none */
    uint16_t port;
};

/* Unix sockets have neither in HAProxy's format. */
static void read_place(const struct pool_member *m, struct place *out)
{
    const struct addr *a = atomic_load_explicit(&m->slot->address, memory_order_acquire);

    *out = (struct place){.host = "-", .port = m->conf->address.port};
    if (a == NULL || a->len == 0)
        return;
    out->port = addr_port(a);
    if (addr_family(a) != AF_UNIX)
        addr_format_host(a, out->host);
}

/* ---- state ---- */

enum { OP_STOPPED, OP_STARTING, OP_RUNNING, OP_STOPPING };

static int op_state(const struct server_status *s)
{
    if ((s->word.admin & ADMIN_MAINT_MASK) || !s->eligible)
        return OP_STOPPED;
    if (s->word.oper == OPER_UP && s->word.weight < s->full_weight)
        return OP_STARTING;
    return OP_RUNNING;
}

/* HAProxy's numbers of its check statuses. */
static int check_status_number(const struct backend_info *info)
{
    static const int numbers[] = {
        [CHECK_NONE] = 1,    [CHECK_INI] = 1,     [CHECK_SOCKERR] = 5,  [CHECK_L4OK] = 6,
        [CHECK_L4TOUT] = 7,  [CHECK_L4CON] = 8,   [CHECK_L6OK] = 9,     [CHECK_L6TOUT] = 10,
        [CHECK_L6RSP] = 11,  [CHECK_L7TOUT] = 12, [CHECK_L7RSP] = 13,   [CHECK_L7OK] = 15,
        [CHECK_L7OKC] = 16,  [CHECK_L7STS] = 17,  [CHECK_PROCERR] = 18, [CHECK_PROCTOUT] = 19,
        [CHECK_PROCOK] = 20,
    };

    sl_assert(info->result < ARRAY_LEN(numbers));
    return numbers[info->result];
}

static int check_result_number(const struct backend_info *info)
{
    switch ((enum check_result)info->result) {
    case CHECK_NONE:
    case CHECK_INI:
        return 0; /* unknown */
    case CHECK_L4OK:
    case CHECK_L6OK:
    case CHECK_L7OK:
    case CHECK_PROCOK:
        return 3; /* passed */
    case CHECK_L7OKC:
        return 4; /* passed under a condition */
    default:
        return 2; /* failed */
    }
}

static int check_state(const struct server_status *s)
{
    enum { IN_PROGRESS = 1, CONFIGURED = 2, ENABLED = 4, PAUSED = 8 };
    int state = 0;

    if (s->info.check_enabled)
        state |= CONFIGURED | ENABLED;
    if (s->info.checking)
        state |= IN_PROGRESS;
    if (s->info.check_enabled && (s->word.admin & ADMIN_MAINT_MASK))
        state |= PAUSED;
    return state;
}

static const char *const state_columns[] = {
    "be_id",
    "be_name",
    "srv_id",
    "srv_name",
    "srv_addr",
    "srv_op_state",
    "srv_admin_state",
    "srv_uweight",
    "srv_iweight",
    "srv_time_since_last_change",
    "srv_check_status",
    "srv_check_result",
    "srv_check_health",
    "srv_check_state",
    "srv_agent_state",
    "bk_f_forced_id",
    "srv_f_forced_id",
    "srv_fqdn",
    "srv_port",
    "srvrecord",
    "srv_use_ssl",
    "srv_check_port",
    "srv_check_addr",
    "srv_agent_addr",
    "srv_agent_port",
    "reason", /* ours, of JSON only: who reads lines knows how many columns there are */
};

/* HAProxy's bits: configured, enabled, an agent's. */
static int agent_state(const struct pool *p, const struct backend_info *info)
{
    return p->conf->agent == NULL ? 0 : 0x10 | 2 | (info->agent_enabled ? 4 : 0);
}

static void state_row(struct rows *r, const struct pool *p, const struct pool_member *m,
                      const struct process_info *process, bool json)
{
    struct server_status s;
    struct place place;
    char check_addr[ADDR_TEXT_MAX] = "", agent_addr[ADDR_TEXT_MAX] = "";
    struct agent_conf agent = {0};

    server_status_read(&s, p, m->slot);
    read_place(m, &place);
    uint64_t since = s.info.changed_at_us != 0 ? s.info.changed_at_us : process->start_wall_us;
    if (p->conf->health.address.len > 0)
        addr_format_host(&p->conf->health.address, check_addr);
    if (p->conf->agent != NULL)
        agent_set_merge(p->conf->agent, m->slot->agent_set, &agent);
    if (agent.address.len > 0)
        addr_format_host(&agent.address, agent_addr);
    rows_number(r, p->iid);
    rows_text(r, p->name);
    rows_number(r, m->slot->sid);
    rows_text(r, m->slot->name);
    rows_text(r, place.host);
    rows_number(r, op_state(&s));
    rows_number(r, s.word.admin);
    rows_number(r, server_status_weight(&s));
    rows_number(r, m->slot->initial_weight);
    rows_number(
        r, process->now_wall_us > since ? (int64_t)((process->now_wall_us - since) / 1000000) : 0);
    rows_number(r, check_status_number(&s.info));
    rows_number(r, check_result_number(&s.info));
    rows_number(r, s.info.health);
    rows_number(r, check_state(&s));
    rows_number(r, agent_state(p, &s.info));
    rows_number(r, 0); /* bk_f_forced_id */
    rows_number(r, 0); /* srv_f_forced_id */
    rows_text(r, m->conf->address.addr.len == 0 ? m->conf->address.host : "");
    rows_number(r, place.port);
    rows_text(r, "");                     /* srvrecord */
    rows_number(r, p->conf->tls != NULL); /* srv_use_ssl */
    rows_number(r, p->conf->health.port);
    rows_text(r, check_addr);
    rows_text(r, agent_addr);
    rows_number(r, agent.port);
    if (json)
        rows_text(r, slot_reason(m->slot));
}

void cmd_show_servers_state(struct command *c)
{
    const struct admin_ops *ops = c->env->ops;
    const struct pool *only;
    struct process_info process;
    struct rows r;

    if (!parse_pool(c, &only))
        return;
    ops->process_info(ops->ctx, &process);
    bool json = command_has(c, "json");
    if (!json)
        strbuf_add_cstr(c->out, "1\n"); /* version of the format */
    rows_begin(&r, c->out, json, state_columns, ARRAY_LEN(state_columns) - !json);
    for (uint32_t i = 0; i < ops->n_pools; i++)
        for (uint32_t m = 0; m < ops->pools[i]->n_members; m++)
            if (only == NULL || only == ops->pools[i])
                state_row(&r, ops->pools[i], &ops->pools[i]->members[m], &process, json);
    rows_end(&r);
}

/* ---- connections ---- */

static void conn_row(struct rows *r, const struct pool *p, const struct pool_member *m)
{
    const struct backend_slot *slot = m->slot;
    uint32_t in_flight = atomic_load_explicit(&slot->in_flight, memory_order_relaxed);
    struct place place;
    char text[2 * LIMIT_NAME_LEN + 2];

    read_place(m, &place);
    snprintf(text, sizeof(text), "%s/%s", p->name, slot->name);
    rows_text(r, text);
    snprintf(text, sizeof(text), "%u/%u", p->iid, slot->sid);
    rows_text(r, text);
    rows_text(r, place.host);
    rows_number(r, place.port);
    rows_text(r, "");
    rows_number(r, 0);         /* purge_delay: no connection is kept for reuse */
    rows_number(r, in_flight); /* served */
    rows_number(r, in_flight); /* used_cur */
    rows_number(r, (int64_t)counter_get(&slot->in_flight_max));
    for (int i = 0; i < 4; i++) /* need_est idle_sess unsafe_nb safe_nb */
        rows_number(r, 0);
    rows_number(r, -1); /* idle_lim */
    rows_number(r, 0);  /* idle_cur */
}

void cmd_show_servers_conn(struct command *c)
{
    static const char *const columns[] = {
        "bkname/svname",   "bkid/svid", "addr",     "port",     "-",
        "purge_delay",     "served",    "used_cur", "used_max", "need_est",
        "idle_sess",       "unsafe_nb", "safe_nb",  "idle_lim", "idle_cur",
        "idle_per_thr[1]",
    };
    const struct admin_ops *ops = c->env->ops;
    const struct pool *only;
    struct rows r;

    if (!parse_pool(c, &only))
        return;
    rows_begin(&r, c->out, command_has(c, "json"), columns, ARRAY_LEN(columns));
    for (uint32_t i = 0; i < ops->n_pools; i++) {
        for (uint32_t m = 0; m < ops->pools[i]->n_members; m++) {
            if (only != NULL && only != ops->pools[i])
                continue;
            conn_row(&r, ops->pools[i], &ops->pools[i]->members[m]);
            rows_number(&r, 0); /* idle_per_thr */
        }
    }
    rows_end(&r);
}
