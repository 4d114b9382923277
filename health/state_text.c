/* state_text.c - see state_text.h */
#include "health/state_text.h"

#include "lb/base/alloc.h"
#include "lb/net/addr.h"

#include "health/agent_reply.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HEAD "sluice-state 1"

static const char *const oper_words[] = {
    [OPER_UNKNOWN] = "unknown", [OPER_UP] = "up",         [OPER_GOING_DOWN] = "up",
    [OPER_DOWN] = "down",       [OPER_GOING_UP] = "down",
};

static const char *const admin_words[] = {
    [STATE_READY] = "ready", [STATE_DRAIN] = "drain", [STATE_MAINT] = "maint"};

/* ---- out ---- */

static void add_text(struct strbuf *out, const char *key, const char *text)
{
    if (*text == '\0')
        return;
    strbuf_addf(out, " %s=", key);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c <= ' ' || c == '%' || c == ',' || c >= 0x7f)
            strbuf_addf(out, "%%%02X", c);
        else
            strbuf_add_char(out, (char)c);
    }
}

static void add_number(struct strbuf *out, const char *key, uint64_t n)
{
    if (n != 0)
        strbuf_addf(out, " %s=%" PRIu64, key, n);
}

static void add_pair(struct strbuf *out, const char *key, struct state_number n)
{
    strbuf_addf(out, " %s=%u,%u", key, n.conf, n.now);
}

/* What it said, and what was set of it. */
static void add_agent(const struct state_backend *b, struct strbuf *out)
{
    const struct backend_info *i = &b->info;
    const struct agent_set *set = &b->agent;
    char host[ADDR_TEXT_MAX];

    if (i->agent_down)
        add_text(out, "agent_says", "down");
    if (i->agent_whole != 0)
        strbuf_addf(out, " agent_weight=%u,%u", i->agent_part, i->agent_whole);
    add_number(out, "agent_result", i->agent_result);
    add_text(out, "agent_desc", i->agent_desc);
    if (agent_set_is_empty(set))
        return;
    strbuf_addf(out, " agent_pool=%" PRIu64 ",%" PRIu64 ",%" PRIu64, b->agent_pool.address,
                b->agent_pool.port, b->agent_pool.send);
    if (set->address.len > 0)
        add_text(out, "agent_address", addr_format_host(&set->address, host));
    add_number(out, "agent_port", set->port);
    if (set->has_send) {
        strbuf_add_cstr(out, " agent_send=");
        for (uint32_t k = 0; k < set->send_len; k++)
            strbuf_addf(out, "%02X", (unsigned char)set->send[k]);
    }
}

void state_text_begin(uint64_t written_s, struct strbuf *out)
{
    strbuf_addf(out, HEAD "\nwritten %" PRIu64 "\n", written_s);
}

void state_text_add(const struct state_backend *b, struct strbuf *out)
{
    strbuf_addf(out, "backend %s/%s oper=%s", b->pool, b->name, oper_words[b->oper]);
    add_number(out, "since", b->info.changed_at_us);
    add_number(out, "down_since", b->info.down_since_us);
    add_number(out, "downtime", b->info.downtime_us);
    add_number(out, "downs", b->info.transitions_down);
    add_number(out, "result", b->info.result);
    add_number(out, "code", b->info.check_code);
    add_text(out, "desc", b->info.desc);
    add_text(out, "reason", b->info.reason);
    add_pair(out, "weight", b->weight);
    add_pair(out, "max_connections", b->max_connections);
    add_text(out, "conf_address", b->conf_address);
    add_text(out, "address", b->address);
    strbuf_addf(out, " state=%s,%s", admin_words[b->conf_admin], admin_words[b->admin]);
    if (b->checks_off)
        add_text(out, "checks", "off");
    if (b->agent_off)
        add_text(out, "agent", "off");
    add_agent(b, out);
    add_text(out, "why", b->why);
    strbuf_add_char(out, '\n');
}

void state_text_add_edit(const struct state_edit *e, struct strbuf *out)
{
    strbuf_addf(out, "%s %s/%s", e->added ? "added" : "removed", e->pool, e->name);
    add_text(out, e->added ? "settings" : "was", e->text);
    strbuf_add_char(out, '\n');
}

void state_text_end(struct strbuf *out)
{
    strbuf_add_cstr(out, "end\n");
}

/* ---- in ---- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A string, cut where it is longer. False: a bad escape, or a NUL. */
static bool take_text(struct str from, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < from.len; i++) {
        int c = (unsigned char)from.p[i];
        if (c == '%') {
            int high = i + 2 < from.len ? hex(from.p[i + 1]) : -1;
            int low = high >= 0 ? hex(from.p[i + 2]) : -1;
            if (low < 0)
                return false;
            c = high * 16 + low;
            i += 2;
        }
        if (c == '\0')
            return false;
        if (n + 1 < size)
            out[n++] = (char)c;
    }
    out[n] = '\0';
    return true;
}

static bool take_u64(struct str from, uint64_t max, uint64_t *out)
{
    return str_u64(from, max, out) == 0;
}

static bool take_u32(struct str from, uint32_t max, uint32_t *out)
{
    uint64_t n;

    if (str_u64(from, max, &n) < 0)
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool take_pair(struct str from, uint32_t max, struct state_number *out)
{
    struct state_number n;
    struct str first = str_word(&from, ",");

    if (!take_u32(first, max, &n.conf) || !take_u32(str_word(&from, ","), max, &n.now))
        return false;
    *out = n;
    return true;
}

static bool take_oper(struct str from, struct state_backend *b)
{
    if (str_eq(from, STR("up")))
        b->oper = OPER_UP;
    else if (str_eq(from, STR("down")))
        b->oper = OPER_DOWN;
    else if (str_eq(from, STR("unknown")))
        b->oper = OPER_UNKNOWN;
    else
        return false;
    return true;
}

static bool take_state(struct str from, enum state_admin *out)
{
    for (size_t i = 0; i < ARRAY_LEN(admin_words); i++) {
        if (!str_eq_cstr(from, admin_words[i]))
            continue;
        *out = (enum state_admin)i;
        return true;
    }
    return false;
}

static bool take_states(struct str from, struct state_backend *b)
{
    enum state_admin conf, now;

    if (!take_state(str_word(&from, ","), &conf) || !take_state(str_word(&from, ","), &now))
        return false;
    b->conf_admin = conf;
    b->admin = now;
    return true;
}

static bool take_result(struct str from, uint8_t *out)
{
    uint32_t n;

    if (!take_u32(from, CHECK_PROCOK, &n))
        return false;
    *out = (uint8_t)n;
    return true;
}

static bool take_part(struct str from, struct backend_info *i)
{
    uint32_t part, whole;

    if (!take_u32(str_word(&from, ","), AGENT_PERCENT_MAX, &part) ||
        !take_u32(str_word(&from, ","), LIMIT_WEIGHT, &whole) || whole == 0)
        return false;
    i->agent_part = (uint16_t)part;
    i->agent_whole = (uint16_t)whole;
    return true;
}

static bool take_agent_address(struct str from, struct addr *out)
{
    struct addr_spec spec;
    char text[ADDR_TEXT_MAX], host[ADDR_TEXT_MAX];
    const char *error;

    if (!take_text(from, host, sizeof(host)))
        return false;
    snprintf(text, sizeof(text), strchr(host, ':') != NULL ? "[%.60s]:1" : "%.60s:1", host);
    if (addr_parse(str_of(text), false, false, &spec, &error) < 0 || spec.addr.len == 0)
        return false;
    *out = spec.addr;
    addr_set_port(out, 0);
    return true;
}

static bool take_agent_send(struct str from, struct agent_set *set)
{
    if (from.len % 2 != 0 || from.len / 2 > sizeof(set->send))
        return false;
    for (size_t i = 0; i < from.len; i += 2) {
        int high = hex(from.p[i]), low = hex(from.p[i + 1]);
        if (high < 0 || low < 0)
            return false;
        set->send[i / 2] = (char)(high * 16 + low);
    }
    set->send_len = (uint16_t)(from.len / 2);
    set->has_send = true;
    return true;
}

static bool take_agent(struct state_backend *b, struct str key, struct str v)
{
    struct backend_info *i = &b->info;

    if (str_eq(key, STR("agent_says")))
        return (i->agent_down = str_eq(v, STR("down")));
    if (str_eq(key, STR("agent_weight")))
        return take_part(v, i);
    if (str_eq(key, STR("agent_result")))
        return take_result(v, &i->agent_result);
    if (str_eq(key, STR("agent_desc")))
        return take_text(v, i->agent_desc, sizeof(i->agent_desc));
    if (str_eq(key, STR("agent_pool")))
        return take_u64(str_word(&v, ","), UINT64_MAX, &b->agent_pool.address) &&
               take_u64(str_word(&v, ","), UINT64_MAX, &b->agent_pool.port) &&
               take_u64(str_word(&v, ","), UINT64_MAX, &b->agent_pool.send);
    if (str_eq(key, STR("agent_address")))
        return take_agent_address(v, &b->agent.address);
    if (str_eq(key, STR("agent_port")))
        return take_u32(v, 65535, &b->agent.port);
    if (str_eq(key, STR("agent_send")))
        return take_agent_send(v, &b->agent);
    return true; /* of a version to come */
}

/* One key=value. False: it makes no sense. */
static bool take(struct state_backend *b, struct str key, struct str v)
{
    struct backend_info *i = &b->info;

    if (str_eq(key, STR("oper")))
        return take_oper(v, b);
    if (str_eq(key, STR("since")))
        return take_u64(v, INT64_MAX, &i->changed_at_us);
    if (str_eq(key, STR("down_since")))
        return take_u64(v, INT64_MAX, &i->down_since_us);
    if (str_eq(key, STR("downtime")))
        return take_u64(v, INT64_MAX, &i->downtime_us);
    if (str_eq(key, STR("downs")))
        return take_u64(v, UINT32_MAX, &i->transitions_down);
    if (str_eq(key, STR("result")))
        return take_result(v, &i->result);
    if (str_eq(key, STR("code")))
        return take_u32(v, UINT32_MAX, &i->check_code);
    if (str_eq(key, STR("desc")))
        return take_text(v, i->desc, sizeof(i->desc));
    if (str_eq(key, STR("reason")))
        return take_text(v, i->reason, sizeof(i->reason));
    if (str_eq(key, STR("weight")))
        return take_pair(v, LIMIT_WEIGHT, &b->weight);
    if (str_eq(key, STR("max_connections")))
        return take_pair(v, LIMIT_CONNECTIONS, &b->max_connections);
    if (str_eq(key, STR("conf_address")))
        return take_text(v, b->conf_address, sizeof(b->conf_address));
    if (str_eq(key, STR("address")))
        return take_text(v, b->address, sizeof(b->address));
    if (str_eq(key, STR("state")))
        return take_states(v, b);
    if (str_eq(key, STR("checks")))
        return (b->checks_off = str_eq(v, STR("off")));
    if (str_eq(key, STR("agent")))
        return (b->agent_off = str_eq(v, STR("off")));
    if (str_eq(key, STR("why")))
        return take_text(v, b->why, sizeof(b->why));
    if (str_starts(key, STR("agent_")))
        return take_agent(b, key, v);
    return true; /* of a version to come */
}

static bool take_name(struct str name, char pool_out[static LIMIT_NAME_LEN + 1],
                      char name_out[static LIMIT_NAME_LEN + 1])
{
    const char *slash = name.len > 0 ? memchr(name.p, '/', name.len) : NULL;

    if (slash == NULL)
        return false;
    struct str pool = {name.p, (size_t)(slash - name.p)};
    struct str backend = {slash + 1, name.len - pool.len - 1};
    if (pool.len == 0 || pool.len > LIMIT_NAME_LEN || backend.len == 0 ||
        backend.len > LIMIT_NAME_LEN || memchr(name.p, '\0', name.len) != NULL)
        return false;
    snprintf(pool_out, LIMIT_NAME_LEN + 1, STR_FMT, STR_ARG(pool));
    snprintf(name_out, LIMIT_NAME_LEN + 1, STR_FMT, STR_ARG(backend));
    return true;
}

/* A line of a backend, without that word. */
static void take_backend(struct state_text *t, struct str rest, uint32_t *cap)
{
    struct state_backend b = {0};
    bool good = take_name(str_word(&rest, " "), b.pool, b.name);

    if (!good || t->n == LIMIT_BACKENDS) {
        t->bad_lines++;
        return;
    }
    for (struct str word; (word = str_word(&rest, " ")).len > 0;) {
        const char *equals = memchr(word.p, '=', word.len);
        if (equals == NULL) {
            good = false;
            continue;
        }
        struct str key = {word.p, (size_t)(equals - word.p)};
        struct str value = {equals + 1, word.len - key.len - 1};
        good = take(&b, key, value) && good;
    }
    t->bad_lines += !good;
    if (t->n == *cap) {
        *cap = *cap == 0 ? 64 : *cap * 2;
        t->rows = xrealloc(t->rows, *cap * sizeof(t->rows[0]));
    }
    b.line = t->n + 1;
    t->rows[t->n++] = b;
}

static void take_edit(struct state_text *t, struct str rest, bool added)
{
    struct state_edit e = {.added = added};
    struct str key = added ? STR("settings=") : STR("was=");
    bool good = take_name(str_word(&rest, " "), e.pool, e.name) && t->n_edits < LIMIT_BACKENDS;

    for (struct str word; good && (word = str_word(&rest, " ")).len > 0;)
        if (str_starts(word, key))
            good = take_text((struct str){word.p + key.len, word.len - key.len}, e.text,
                             sizeof(e.text));
    if (!good || (added && e.text[0] == '\0')) {
        t->bad_lines++;
        return;
    }
    t->edits = xrealloc(t->edits, (t->n_edits + 1) * sizeof(t->edits[0]));
    t->edits[t->n_edits++] = e;
}

static int by_name(const struct state_backend *a, const char *pool, const char *name)
{
    int order = strcmp(a->pool, pool);

    return order != 0 ? order : strcmp(a->name, name);
}

static int compare(const void *x, const void *y)
{
    const struct state_backend *a = x, *b = y;
    int order = by_name(a, b->pool, b->name);

    return order != 0 ? order : a->line < b->line ? -1 : a->line > b->line;
}

static void sort(struct state_text *t)
{
    uint32_t n = 0;

    if (t->n == 0)
        return;
    qsort(t->rows, t->n, sizeof(t->rows[0]), compare);
    for (uint32_t i = 0; i < t->n; i++) {
        if (n > 0 && by_name(&t->rows[n - 1], t->rows[i].pool, t->rows[i].name) == 0)
            n--;
        t->rows[n++] = t->rows[i];
    }
    t->n = n;
}

int state_text_parse(struct str text, struct state_text *out)
{
    struct state_text t = {0};
    uint32_t cap = 0;

    if (!str_eq(str_word(&text, "\n"), STR(HEAD)))
        return -EINVAL;
    for (struct str line; !t.whole && (line = str_word(&text, "\n")).len > 0;) {
        struct str rest = line, word = str_word(&rest, " ");
        if (str_eq(word, STR("backend")))
            take_backend(&t, rest, &cap);
        else if (str_eq(word, STR("added")) || str_eq(word, STR("removed")))
            take_edit(&t, rest, word.len == 5);
        else if (str_eq(word, STR("written")))
            t.bad_lines += !take_u64(str_word(&rest, " "), INT64_MAX / 1000000, &t.written_s);
        else if (str_eq(word, STR("end")))
            t.whole = true;
    }
    sort(&t);
    *out = t;
    return 0;
}

const struct state_backend *state_text_find(const struct state_text *t, const char *pool,
                                            const char *name)
{
    uint32_t low = 0, high = t->n;

    while (low < high) {
        uint32_t at = (low + high) / 2;
        int order = by_name(&t->rows[at], pool, name);
        if (order == 0)
            return &t->rows[at];
        if (order > 0)
            high = at;
        else
            low = at + 1;
    }
    return NULL;
}

void state_text_fini(struct state_text *t)
{
    free(t->rows);
    free(t->edits);
    *t = (struct state_text){0};
}
