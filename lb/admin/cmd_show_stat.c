/* cmd_show_stat.c - `show stat`: one row per listener (FRONTEND), backend, and pool (BACKEND).
 *
 *   show stat [{<iid>|<name>} <type> <sid>] [domain proxy] [up] [no-maint] [typed|json] [desc]
 * type adds 1 for listeners, 2 for pools, 4 for backends; -1 stands for all, anywhere. */
#include "lb/admin/command.h"
#include "lb/admin/fields.h"
#include "lb/admin/sampler.h"
#include "lb/admin/stat_rows.h"
#include "lb/admin/status.h"
#include "lb/net/addr.h"
#include "lb/upstream/pool.h"

#include <stdio.h>

enum { TYPE_FRONTEND = 1, TYPE_BACKEND = 2, TYPE_SERVER = 4 };

struct selection {
    int64_t iid; /* -1: all; else only this one, or, when name is set, those called so */
    struct str name;
    int64_t types, sid;
    bool only_up, no_maint;
};

struct dump {
    struct command *c;
    struct selection sel;
    enum { FORM_CSV, FORM_TYPED, FORM_JSON, FORM_ROWS } form;
    stat_row_fn *row_fn; /* FORM_ROWS */
    void *row_arg;
    bool desc;
    uint32_t n_rows;
    uint64_t now_us;
    struct process_info process;
};

#define STAT_COLUMN_FIELD(name, tags, help) {#name, tags, help},
static const struct field columns[STAT_N_COLUMNS] = {STAT_COLUMNS(STAT_COLUMN_FIELD)};
static_assert(ARRAY_LEN(columns) == 119, "as many as HAProxy's static columns");

/* ---- filling rows ---- */

/* Seconds since a wall clock time; of 0, since the start. */
static struct field_value age(const struct dump *d, uint64_t since_us)
{
    if (since_us == 0)
        since_us = d->process.start_wall_us;
    return field_u32(d->now_us > since_us ? (d->now_us - since_us) / 1000000 : 0);
}

static uint64_t ms(const counter *us)
{
    return (counter_get(us) + 500) / 1000;
}

/* What the rows of listeners, pools and backends share. */
static void fill_ids(struct field_value *row, const char *proxy, const char *service, uint32_t iid,
                     uint32_t sid, uint32_t type, bool http)
{
    row[STAT_pxname] = field_text(proxy);
    row[STAT_svname] = field_text(service);
    row[STAT_pid] = field_u32(1);
    row[STAT_iid] = field_u32(iid);
    row[STAT_sid] = field_u32(sid);
    row[STAT_type] = field_u32(type);
    row[STAT_mode] = field_text(http ? "http" : "tcp");
}

static void fill_responses(const counter *responses, struct field_value *row)
{
    static_assert(STAT_hrsp_other - STAT_hrsp_1xx == RESPONSES_OTHER, "columns in order");
    for (uint32_t i = 0; i < RESPONSE_CLASSES; i++)
        row[STAT_hrsp_1xx + i] = field_u64(counter_get(&responses[i]));
}

/* Columns of listeners and pools with mode http for which sluice has nothing to count yet. */
static void fill_unused(struct field_value *row)
{
    row[STAT_comp_in] = row[STAT_comp_out] = row[STAT_comp_byp] = row[STAT_comp_rsp] = field_u64(0);
    row[STAT_cache_lookups] = row[STAT_cache_hits] = field_u64(0);
}

static void fill_frontend_http(const struct listener_sample *s, struct field_value *row)
{
    fill_responses(s->sums.responses, row);
    fill_unused(row);
    row[STAT_dreq] = field_u64(counter_get(&s->sums.denied_requests));
    row[STAT_dresp] = field_u64(counter_get(&s->sums.denied_responses));
    row[STAT_req_rate] = field_u32(s->requests.now);
    row[STAT_req_rate_max] = field_u32(s->requests.max);
    row[STAT_req_tot] = row[STAT_h1req] = field_u64(counter_get(&s->sums.requests));
    row[STAT_intercepted] = field_u64(counter_get(&s->sums.intercepted));
    row[STAT_wrew] = field_u64(0);
    row[STAT_eint] = field_u64(counter_get(&s->sums.internal_errors));
}

static void fill_frontend(const struct dump *d, uint32_t index, struct field_value *row)
{
    const struct listener_stats *l = d->c->env->ops->listeners[index];
    struct listener_sample s;

    sampler_listener(d->c->env->sampler, index, &s);
    bool http = strcmp(l->mode, "http") == 0;
    fill_ids(row, l->name, "FRONTEND", l->iid, 0, 0, http);
    row[STAT_scur] = field_u32(atomic_load_explicit(&l->current, memory_order_relaxed));
    row[STAT_smax] = field_u32(counter_get(&l->current_max));
    row[STAT_slim] =
        field_u32(l->max_connections != 0 ? l->max_connections : d->process.max_connections);
    row[STAT_stot] = field_u64(counter_get(&s.sums.sessions));
    row[http ? STAT_h1sess : STAT_sess_other] = row[STAT_stot];
    row[STAT_bin] = field_u64(counter_get(&s.sums.bytes_in));
    row[STAT_bout] = field_u64(counter_get(&s.sums.bytes_out));
    row[STAT_dreq] = row[STAT_dresp] = row[STAT_dses] = field_u64(0);
    row[STAT_ereq] = field_u64(counter_get(&s.sums.bad_requests));
    row[STAT_status] = field_text(d->process.stopping ? "STOP" : "OPEN");
    row[STAT_rate] = field_u32(s.sessions.now);
    row[STAT_rate_lim] = field_u32(0);
    row[STAT_rate_max] = field_u32(s.sessions.max);
    row[STAT_conn_rate] = field_u32(s.connections.now);
    row[STAT_conn_rate_max] = field_u32(s.connections.max);
    row[STAT_conn_tot] = field_u64(counter_get(&s.sums.sessions) + counter_get(&s.sums.denied));
    row[STAT_dcon] = field_u64(counter_get(&s.sums.denied));
    if (http)
        fill_frontend_http(&s, row);
}

/* Counters of a backend or of a pool. */
static void fill_counters(const struct dump *d, const struct backend_sample *s,
                          struct field_value *row)
{
    const struct backend_counters *c = &s->sums;
    uint64_t last = counter_get(&c->last_session_s), now = d->now_us / 1000000;

    row[STAT_stot] = field_u64(counter_get(&c->sessions));
    row[STAT_bin] = field_u64(counter_get(&c->bytes_in));
    row[STAT_bout] = field_u64(counter_get(&c->bytes_out));
    row[STAT_dresp] = field_u64(counter_get(&c->denied_responses));
    row[STAT_econ] = field_u64(counter_get(&c->connect_errors));
    row[STAT_eresp] = field_u64(counter_get(&c->response_errors));
    row[STAT_wretr] = field_u64(counter_get(&c->retries));
    row[STAT_wredis] = field_u64(counter_get(&c->redispatches));
    row[STAT_rate] = field_u32(s->sessions.now);
    row[STAT_rate_max] = field_u32(s->sessions.max);
    row[STAT_cli_abrt] = field_u64(counter_get(&c->client_aborts));
    row[STAT_srv_abrt] = field_u64(counter_get(&c->server_aborts));
    row[STAT_lastsess] = field_s32(last == 0 ? -1 : now > last ? (int64_t)(now - last) : 0);
    row[STAT_qtime] = field_u32(s->queue_ms);
    row[STAT_ctime] = field_u32(s->connect_ms);
    row[STAT_rtime] = field_u32(s->response_ms);
    row[STAT_ttime] = field_u32(s->total_ms);
    row[STAT_qtime_max] = field_u32(ms(&c->queue_us_max));
    row[STAT_ctime_max] = field_u32(ms(&c->connect_us_max));
    row[STAT_rtime_max] = field_u32(ms(&c->response_us_max));
    row[STAT_ttime_max] = field_u32(ms(&c->total_us_max));
    row[STAT_connect] = field_u64(counter_get(&c->connects));
    row[STAT_reuse] = field_u64(counter_get(&c->reuses));
}

/* The same for mode http. */
static void fill_counters_http(const struct backend_counters *c, struct field_value *row)
{
    fill_responses(c->responses, row);
    row[STAT_req_tot] = field_u64(counter_get(&c->requests));
    row[STAT_wrew] = field_u64(0);
    row[STAT_eint] = field_u64(counter_get(&c->internal_errors));
}

/* Effective weight in configured units; slow start ramps a weight of 1 in smaller steps. */
static uint32_t shown_weight(const struct server_status *s)
{
    if (s->word.oper == OPER_UP || s->word.oper == OPER_GOING_DOWN)
        return (s->word.weight + WEIGHT_SCALE - 1u) / WEIGHT_SCALE;
    return server_status_weight(s);
}

static void fill_check(const struct server_status *s, struct field_value *row, char *check_status,
                       size_t size)
{
    const struct backend_info *info = &s->info;
    enum check_result result = (enum check_result)info->result;

    if (result == CHECK_NONE)
        result = CHECK_INI;
    snprintf(check_status, size, "%s%s", info->checking ? "* " : "", check_result_name(result));
    row[STAT_check_status] = field_text(check_status);
    if (result >= CHECK_L7OK && info->check_code != 0)
        row[STAT_check_code] = field_u32(info->check_code);
    if (result != CHECK_INI)
        row[STAT_check_duration] = field_u64(info->check_duration_us / 1000);
    row[STAT_last_chk] = field_text(info->desc);
    row[STAT_check_desc] = field_text(check_result_text(result));
    row[STAT_check_rise] = field_u32(info->rise);
    row[STAT_check_fall] = field_u32(info->fall);
    row[STAT_check_health] = field_u32(info->health);
}

static void fill_agent(const struct backend_info *info, struct field_value *row)
{
    enum check_result result = (enum check_result)info->agent_result;

    row[STAT_agent_status] = field_text(check_result_name(result));
    if (result >= CHECK_L7OK)
        row[STAT_agent_code] = field_u32(0);
    if (result != CHECK_INI)
        row[STAT_agent_duration] = field_u64(info->agent_duration_us / 1000);
    row[STAT_last_agt] = field_text(info->agent_desc);
    row[STAT_agent_desc] = field_text(check_result_text(result));
    row[STAT_agent_rise] = row[STAT_agent_fall] = field_u32(1);
    row[STAT_agent_health] = field_u32(!info->agent_down);
}

/* Texts that a server's row borrows. */
struct server_texts {
    char status[SERVER_STATUS_MAX], check_status[16], addr[ADDR_TEXT_MAX];
};

static void fill_server(const struct dump *d, const struct pool *p, uint32_t index,
                        const struct server_status *s, struct server_texts *texts,
                        struct field_value *row)
{
    const struct backend_slot *slot = p->members[index].slot;
    const struct addr *addr = atomic_load_explicit(&slot->address, memory_order_acquire);
    uint32_t max = atomic_load_explicit(&slot->max_connections, memory_order_relaxed);
    uint32_t in_flight = atomic_load_explicit(&slot->in_flight, memory_order_relaxed);
    struct backend_sample sample;
    struct health_sample health;

    sampler_member(d->c->env->sampler, p->index, index, &sample);
    sampler_member_health(d->c->env->sampler, p->index, index, &health);
    fill_ids(row, p->name, slot->name, p->iid, slot->sid, 2, p->conf->mode == MODE_HTTP);
    fill_counters(d, &sample, row);
    if (p->conf->mode == MODE_HTTP) {
        fill_counters_http(&sample.sums, row);
        row[STAT_srv_icur] = row[STAT_idle_conn_cur] = field_u32(counter_get(&sample.sums.idle));
        row[STAT_safe_conn_cur] = field_u32(0); /* all count as the other kind */
        row[STAT_src_ilim] = field_u32((uint64_t)p->conf->http.idle_max * p->n_rows);
    }
    row[STAT_qcur] = row[STAT_qmax] = field_u32(0); /* queues are the pool's */
    row[STAT_scur] = row[STAT_used_conn_cur] = field_u32(in_flight);
    row[STAT_smax] = field_u32(counter_get(&slot->in_flight_max));
    if (max != 0)
        row[STAT_slim] = field_u32(max);
    row[STAT_status] = field_text(server_status_text(s, texts->status));
    row[STAT_weight] = field_u32(shown_weight(s));
    row[STAT_uweight] = field_u32(server_status_weight(s));
    row[STAT_act] = field_u32(!slot->backup);
    row[STAT_bck] = field_u32(slot->backup);
    row[STAT_lastchg] = age(d, s->info.changed_at_us);
    row[STAT_lbtot] = field_u64(counter_get(&sample.sums.sessions));
    if (s->word.oper == OPER_UP && s->word.weight < s->full_weight)
        row[STAT_throttle] = field_u32(s->word.weight * 100u / s->full_weight);
    if (s->info.check_enabled) {
        uint64_t down_us = s->info.down_since_us != 0 && d->now_us > s->info.down_since_us
                               ? d->now_us - s->info.down_since_us
                               : 0;
        row[STAT_chkfail] = field_u64(health.check_fails);
        row[STAT_chkdown] = field_u64(health.transitions_down);
        row[STAT_downtime] = field_u32((health.downtime_us + down_us) / 1000000);
    }
    if (server_status_checked(s))
        fill_check(s, row, texts->check_status, sizeof(texts->check_status));
    else if (s->word.ejected)
        row[STAT_last_chk] = field_text(s->info.desc);
    if (s->info.agent_enabled)
        fill_agent(&s->info, row);
    if (slot_reason(slot)[0] != '\0')
        row[STAT_last_chk] = field_text(slot_reason(slot));
    row[STAT_addr] =
        field_text(addr != NULL && addr->len > 0 ? addr_format(addr, texts->addr) : "");
}

/* Backends that take traffic now: those that are up or, where nothing is, those without a verdict.
 * The weights are of the active ones, of the backups where none is active. */
static void fill_members(const struct pool *p, struct field_value *row)
{
    bool unknown_used = atomic_load_explicit(&p->tier, memory_order_relaxed) == TIER_UNKNOWN;
    struct {
        uint32_t n, weight, uweight;
    } sums[2] = {0}; /* active, backup */

    for (uint32_t i = 0; i < p->n_members; i++) {
        const struct backend_slot *slot = p->members[i].slot;
        enum slot_use use = slot_use(slot);
        if (use != USE_YES && !(use == USE_UNKNOWN && unknown_used))
            continue;
        struct server_status s;
        server_status_read(&s, p, slot);
        sums[slot->backup].n++;
        sums[slot->backup].weight += shown_weight(&s);
        sums[slot->backup].uweight += server_status_weight(&s);
    }
    bool backups = sums[0].n == 0;
    row[STAT_act] = field_u32(sums[0].n);
    row[STAT_bck] = field_u32(sums[1].n);
    row[STAT_weight] = field_u32(sums[backups].weight);
    row[STAT_uweight] = field_u32(sums[backups].uweight);
}

static void fill_backend(const struct dump *d, const struct pool *p, struct field_value *row)
{
    uint64_t changed_us = counter_get(&p->kept->changed_at_us);
    bool usable = pool_usable(p);
    uint64_t chosen = 0;
    struct backend_sample sample;
    struct health_sample health;

    sampler_pool(d->c->env->sampler, p->index, &sample);
    sampler_pool_health(d->c->env->sampler, p->index, &health);
    fill_ids(row, p->name, "BACKEND", p->iid, 0, 1, p->conf->mode == MODE_HTTP);
    fill_counters(d, &sample, row);
    if (p->conf->mode == MODE_HTTP) {
        fill_counters_http(&sample.sums, row);
        fill_unused(row);
        if (p->conf->http.sticky != NULL)
            row[STAT_cookie] = field_text(p->conf->http.sticky->cookie);
    }
    fill_members(p, row);
    for (uint32_t i = 0; i < p->n_members; i++) {
        struct backend_sample member;
        sampler_member(d->c->env->sampler, p->index, i, &member);
        chosen += counter_get(&member.sums.sessions);
    }
    row[STAT_qcur] = field_u32(atomic_load_explicit(&p->kept->waiting, memory_order_relaxed));
    row[STAT_qmax] = field_u32(counter_get(&p->kept->waiting_max));
    row[STAT_scur] = field_u32(atomic_load_explicit(&p->kept->current, memory_order_relaxed));
    row[STAT_smax] = field_u32(counter_get(&p->kept->current_max));
    row[STAT_qlimit] = field_u32(p->conf->queue_limit);
    row[STAT_dreq] = field_u64(0);
    row[STAT_status] = field_text(usable ? "UP" : "DOWN");
    row[STAT_chkdown] = field_u64(health.transitions_down);
    row[STAT_lastchg] = age(d, changed_us);
    if (!usable && changed_us != 0 && d->now_us > changed_us)
        health.downtime_us += d->now_us - changed_us;
    row[STAT_downtime] = field_u32(health.downtime_us / 1000000);
    row[STAT_lbtot] = field_u64(chosen);
    row[STAT_algo] = field_text(balance_kind_haproxy_name(p->conf->balance.kind));
}

/* ---- printing ---- */

static void print_csv(struct strbuf *out, const struct field_value *row)
{
    for (uint32_t i = 0; i < STAT_N_COLUMNS; i++) {
        field_add_csv(out, &row[i]);
        strbuf_add_char(out, ',');
    }
    strbuf_add_cstr(out, "-,\n"); /* the mark that ends HAProxy's static columns */
}

static void print_typed(const struct dump *d, char object, const struct field_value *row)
{
    struct strbuf *out = d->c->out;

    for (uint32_t i = 0; i < STAT_N_COLUMNS; i++) {
        if (row[i].type == FIELD_NONE)
            continue;
        strbuf_addf(out, "%c.%u.%u.", object, (uint32_t)row[STAT_iid].number,
                    (uint32_t)row[STAT_sid].number);
        field_add_typed(out, &columns[i], i, &row[i], d->desc);
        strbuf_add_char(out, '\n');
    }
}

static void print_json(const struct dump *d, const char *object, const struct field_value *row)
{
    struct strbuf *out = d->c->out;
    bool first = true;

    strbuf_add_cstr(out, d->n_rows > 0 ? ",[" : "[");
    for (uint32_t i = 0; i < STAT_N_COLUMNS; i++) {
        if (row[i].type == FIELD_NONE)
            continue;
        strbuf_addf(out, "%s{\"objType\":\"%s\",\"proxyId\":%u,\"id\":%u,", first ? "" : ",",
                    object, (uint32_t)row[STAT_iid].number, (uint32_t)row[STAT_sid].number);
        field_add_json(out, &columns[i], i, &row[i]);
        strbuf_add_char(out, '}');
        first = false;
    }
    strbuf_add_char(out, ']');
}

static void print_row(struct dump *d, const struct field_value *row)
{
    static const char *const objects[] = {"Frontend", "Backend", "Server"};
    const char *object = objects[row[STAT_type].number];

    switch (d->form) {
    case FORM_CSV:
        print_csv(d->c->out, row);
        break;
    case FORM_TYPED:
        print_typed(d, object[0], row);
        break;
    case FORM_JSON:
        print_json(d, object, row);
        break;
    case FORM_ROWS:
        d->row_fn(d->row_arg, row);
        break;
    }
    d->n_rows++;
}

/* ---- choosing rows ---- */

static bool selects_proxy(const struct selection *s, uint32_t iid, const char *name)
{
    if (s->name.len > 0)
        return str_eq_cstr(s->name, name);
    return s->iid == -1 || s->iid == iid;
}

static void dump_frontends(struct dump *d)
{
    const struct admin_ops *ops = d->c->env->ops;

    if ((d->sel.types & TYPE_FRONTEND) == 0 || (d->sel.sid != -1 && d->sel.sid != 0))
        return;
    for (uint32_t i = 0; i < ops->n_listeners; i++) {
        if (!selects_proxy(&d->sel, ops->listeners[i]->iid, ops->listeners[i]->name))
            continue;
        struct field_value row[STAT_N_COLUMNS] = {0};
        fill_frontend(d, i, row);
        print_row(d, row);
    }
}

static void dump_servers(struct dump *d, const struct pool *p)
{
    for (uint32_t i = 0; i < p->n_members; i++) {
        const struct backend_slot *slot = p->members[i].slot;
        struct server_status s;
        struct server_texts texts;
        struct field_value row[STAT_N_COLUMNS] = {0};

        if (d->sel.sid != -1 && d->sel.sid != slot->sid)
            continue;
        server_status_read(&s, p, slot);
        bool maint = (s.word.admin & ADMIN_MAINT_MASK) != 0;
        if ((maint && (d->sel.no_maint || d->sel.only_up)) || (d->sel.only_up && !s.eligible))
            continue;
        fill_server(d, p, i, &s, &texts, row);
        print_row(d, row);
    }
}

static void dump_pools(struct dump *d)
{
    const struct admin_ops *ops = d->c->env->ops;

    for (uint32_t i = 0; i < ops->n_pools; i++) {
        const struct pool *p = ops->pools[i];
        if (!selects_proxy(&d->sel, p->iid, p->name))
            continue;
        if (d->sel.types & TYPE_SERVER)
            dump_servers(d, p);
        if ((d->sel.types & TYPE_BACKEND) && (d->sel.sid == -1 || d->sel.sid == 0)) {
            struct field_value row[STAT_N_COLUMNS] = {0};
            fill_backend(d, p, row);
            print_row(d, row);
        }
    }
}

/* -1, or a number. */
static bool parse_number(struct str word, int64_t *out)
{
    uint64_t v;

    if (str_eq_cstr(word, "-1")) {
        *out = -1;
        return true;
    }
    if (str_u64(word, UINT32_MAX, &v) < 0)
        return false;
    *out = (int64_t)v;
    return true;
}

static bool proxy_exists(const struct command *c, struct str name)
{
    for (uint32_t i = 0; i < c->env->ops->n_listeners; i++)
        if (str_eq_cstr(name, c->env->ops->listeners[i]->name))
            return true;
    return command_find_pool(c, name) != NULL;
}

/* The three words of a filter, when there are three and the last two are numbers. */
static bool parse_filter(struct command *c, uint32_t at, struct selection *s)
{
    struct str proxy = command_arg(c, at);

    if (!parse_number(command_arg(c, at + 1), &s->types) ||
        !parse_number(command_arg(c, at + 2), &s->sid)) {
        command_refuse(c, "Expects {<iid>|<proxy>} <type> <sid>, each -1 for all.");
        return false;
    }
    if (parse_number(proxy, &s->iid))
        return true;
    uint64_t id;
    if (proxy.p[0] == '#' &&
        str_u64((struct str){proxy.p + 1, proxy.len - 1}, UINT32_MAX, &id) == 0) {
        s->iid = (int64_t)id;
        return true;
    }
    if (!proxy_exists(c, proxy)) {
        command_refuse(c, "No such proxy.");
        return false;
    }
    s->name = proxy;
    return true;
}

static bool parse_options(struct dump *d)
{
    struct command *c = d->c;
    uint32_t n = c->n_words - c->n_name;

    for (uint32_t i = 0; i < n; i++) {
        struct str word = command_arg(c, i);
        if (str_eq_cstr(word, "json")) {
            d->form = FORM_JSON;
        } else if (str_eq_cstr(word, "typed")) {
            d->form = FORM_TYPED;
        } else if (str_eq_cstr(word, "desc")) {
            d->desc = true;
        } else if (str_eq_cstr(word, "up")) {
            d->sel.only_up = true;
        } else if (str_eq_cstr(word, "no-maint")) {
            d->sel.no_maint = true;
        } else if (str_eq_cstr(word, "domain")) {
            if (!command_arg_is(c, ++i, "proxy")) {
                command_refuse(c, "Expects 'proxy' behind 'domain'.");
                return false;
            }
        } else if (i + 2 < n) {
            if (!parse_filter(c, i, &d->sel))
                return false;
            i += 2;
        } /* HAProxy ignores a single word that it does not know; so its scripts may contain any */
    }
    return true;
}

static void print_header(struct strbuf *out)
{
    strbuf_add_cstr(out, "# ");
    for (uint32_t i = 0; i < STAT_N_COLUMNS; i++)
        strbuf_addf(out, "%s,", columns[i].name);
    strbuf_add_cstr(out, "-,\n");
}

void stat_each_row(const struct command_env *env, stat_row_fn *fn, void *arg)
{
    struct command c = {.env = env};
    struct dump d = {.c = &c, .sel = {.iid = -1, .types = -1, .sid = -1}, .form = FORM_ROWS};

    d.row_fn = fn;
    d.row_arg = arg;
    env->ops->process_info(env->ops->ctx, &d.process);
    d.now_us = d.process.now_wall_us;
    dump_frontends(&d);
    dump_pools(&d);
}

void cmd_show_stat(struct command *c)
{
    struct dump d = {.c = c, .sel = {.iid = -1, .types = -1, .sid = -1}};

    if (!parse_options(&d))
        return;
    c->env->ops->process_info(c->env->ops->ctx, &d.process);
    d.now_us = d.process.now_wall_us;
    if (d.form == FORM_CSV)
        print_header(c->out);
    else if (d.form == FORM_JSON)
        strbuf_add_char(c->out, '[');
    dump_frontends(&d);
    dump_pools(&d);
    if (d.form == FORM_JSON)
        strbuf_add_cstr(c->out, "]\n");
}
