/* state.c - see state.h */
#include "lb/main/state.h"

#include "health/checker.h"
#include "health/state_text.h"
#include "lb/base/alloc.h"
#include "lb/base/hash.h"
#include "lb/base/log.h"
#include "lb/config/conf.h"
#include "lb/config/value.h"
#include "lb/config/variant.h"
#include "lb/main/backends.h"
#include "lb/main/checker_thread.h"
#include "lb/main/edits.h"
#include "lb/main/process.h"
#include "lb/main/state_file.h"
#include "lb/main/state_restore.h"
#include "lb/main/takeover.h"
#include "lb/obs/events.h"
#include "lb/upstream/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFRESH_MS (30 * 1000) /* so that its age says how old it is */
#define FUTURE_S   60          /* clocks differ so much */

struct state {
    struct state_text text;          /* of a former process, until state_forget() */
    bool doubt;                      /* its health is old */
    bool disbelieve;                 /* too old */
    struct state_file *file;         /* NULL: none is configured */
    uint64_t written_ms, written_of; /* when, and of what (fingerprint); 0: never */
    int failed;                      /* as logged last; 0: writing works */
};

/* ---- out ---- */

static_assert((int)STATE_READY == BACKEND_READY && (int)STATE_DRAIN == BACKEND_DRAIN &&
                  (int)STATE_MAINT == BACKEND_MAINT,
              "they mean the same");

static void print_address(const struct pool_member *m, struct state_backend *b)
{
    const struct addr *now = atomic_load(&m->slot->address);

    char text[ADDR_TEXT_MAX];

    if (!backends_address_set(m))
        return;
    snprintf(b->conf_address, sizeof(b->conf_address), "%s", m->conf->address_text);
    snprintf(b->address, sizeof(b->address), "%s", addr_format(now, text));
}

static void print_agent(const struct pool *pool, const struct backend_slot *s,
                        struct state_backend *b)
{
    if (pool->conf->agent == NULL)
        return;
    b->agent_off = !b->info.agent_enabled;
    b->agent_pool = agent_set_pool(pool->conf->agent);
    if (s->agent_set != NULL)
        b->agent = *s->agent_set;
}

static void print_member(const struct pool *pool, const struct pool_member *m, struct strbuf *out)
{
    struct backend_word w = slot_word(m->slot);
    struct state_backend b = {
        .oper = w.oper,
        .conf_admin = (enum state_admin)m->slot->said.state,
        .admin = (enum state_admin)backends_state(m->slot),
        .weight = {m->slot->said.weight, w.set_weight},
        .max_connections = {m->slot->said.max_connections, atomic_load(&m->slot->max_connections)},
    };

    snprintf(b.pool, sizeof(b.pool), "%s", pool->name);
    snprintf(b.name, sizeof(b.name), "%s", m->conf->name);
    slot_info(m->slot, &b.info);
    if (pool->conf->health.type == CHECK_TYPE_NONE)
        b.oper = OPER_UNKNOWN;
    else
        b.checks_off = !b.info.check_enabled;
    if (b.info.agent_down) /* what checks said is another thing */
        b.oper = b.info.result == CHECK_NONE || b.info.result == CHECK_INI ? OPER_UNKNOWN
                 : b.info.health >= b.info.rise                            ? OPER_UP
                                                                           : OPER_DOWN;
    snprintf(b.why, sizeof(b.why), "%s",
             m->slot->agent_admin ? slot_reason(m->slot) : m->slot->admin_reason);
    print_address(m, &b);
    print_agent(pool, m->slot, &b);
    state_text_add(&b, out);
}

/* As in a configuration; its run-time changes stand in the line of the backend. */
static void print_settings(const struct backend_conf *b, struct strbuf *out)
{
    strbuf_add_cstr(out, "name = ");
    value_print_string(str_of(b->name), false, out);
    strbuf_add_cstr(out, "; address = ");
    value_print_string(str_of(b->address_text), false, out);
    strbuf_addf(out, "; weight = %u; max_connections = %u; backup = %s; state = \"%s\";", b->weight,
                b->max_connections, b->backup ? "true" : "false", backends_state_name(b->state));
}

static void print_edits(const struct process *p, struct strbuf *out)
{
    list_for_each (node, &p->edits.list) {
        const struct edit *e = list_entry(node, struct edit, node);
        struct state_edit row = {.added = e->kind == EDIT_ADD};
        struct strbuf settings = {0};
        snprintf(row.pool, sizeof(row.pool), "%s", e->pool);
        snprintf(row.name, sizeof(row.name), "%s", e->name);
        if (row.added)
            print_settings(e->backend, &settings);
        else
            strbuf_add_cstr(&settings, e->was != NULL ? e->was : "");
        if (settings.len < sizeof(row.text)) { /* no address is so long */
            snprintf(row.text, sizeof(row.text), "%s", settings.p != NULL ? settings.p : "");
            state_text_add_edit(&row, out);
        }
        strbuf_fini(&settings);
    }
}

void state_print(const struct process *p, struct strbuf *out)
{
    state_text_begin(io_wall_us(p->loop.io) / 1000000, out);
    print_edits(p, out);
    for (uint32_t i = 0; i < p->conf->n_pools; i++)
        for (uint32_t j = 0; j < p->pools[i]->n_members; j++)
            print_member(p->pools[i], &p->pools[i]->members[j], out);
    state_text_end(out);
}

/* ---- in: all of it ---- */

static void format_age(uint64_t s, char out[static 32])
{
    if (s < 120)
        snprintf(out, 32, "%" PRIu64 " s", s);
    else if (s < 7200)
        snprintf(out, 32, "%" PRIu64 " min", s / 60);
    else
        snprintf(out, 32, "%" PRIu64 " h", s / 3600);
}

static void judge_age(struct process *p, const char *from)
{
    uint64_t now_s = p->start_wall_us / 1000000, written_s = p->state->text.written_s;
    uint64_t age_s = now_s > written_s ? now_s - written_s : 0;
    char age[32], max[32];

    format_age(age_s, age);
    format_age(p->conf->state_max_age_ms / 1000, max);
    p->state->doubt = true;
    if (written_s > now_s + FUTURE_S) {
        p->state->disbelieve = true;
        log_warn("%s: it is %" PRIu64 " s from the future (a clock was set): the health of "
                 "backends is not taken from it",
                 from, written_s - now_s);
    } else if (age_s * 1000 > p->conf->state_max_age_ms) {
        p->state->disbelieve = true;
        log_warn("%s: it is %s old, state_max_age is %s: the health of backends is not taken "
                 "from it, what was changed at run time is",
                 from, age, max);
    } else {
        events_log(EVENT_LIFE, LOG_LEVEL_INFO, NULL,
                   "%s: what is known of %u backend%s, %s old, is taken up", from, p->state->text.n,
                   p->state->text.n == 1 ? "" : "s", age);
    }
}

/* Whether it still holds is edits_apply()'s to say. */
static void take_edit(struct process *p, const struct state_edit *row, const char *from)
{
    const struct backend_conf *backend;
    struct strbuf errors = {0};
    struct edit *e = NULL;

    if (row->added) {
        struct conf *memory = conf_load_backend(from, row->text, &backend, &errors);
        if (memory != NULL && strcmp(backend->name, row->name) == 0)
            e = edit_add(row->pool, memory, backend);
        else if (memory != NULL)
            conf_free(&memory);
        if (e == NULL)
            log_warn("%s: backend %s/%s, added at run time, is left out: its settings will not do",
                     from, row->pool, row->name);
        strbuf_fini(&errors);
    } else {
        e = edit_remove(row->pool, row->name, row->text[0] != '\0' ? row->text : NULL);
    }
    if (e == NULL)
        return;
    struct edit *saved = edits_find(p, e->kind, e->pool, e->name); /* the overlay has it too */
    if (saved != NULL) {
        saved->replaced = true;
        e->saved = true;
    }
    list_push_back(&p->edits.list, &e->node);
}

static void take_text(struct process *p, const struct strbuf *text, const char *from, bool fresh)
{
    struct state_text *t = &p->state->text;

    if (state_text_parse(strbuf_str(text), t) < 0) {
        log_warn("%s: it is no state of a sluice that we understand: nothing is taken from it",
                 from);
        return;
    }
    if (!t->whole)
        log_warn("%s: its end is missing; what is there is taken", from);
    if (t->bad_lines > 0)
        log_warn("%s: %u line%s not understood and left out, wholly or in part", from, t->bad_lines,
                 t->bad_lines == 1 ? " was" : "s were");
    if (!fresh)
        judge_age(p, from);
    for (uint32_t i = 0; i < t->n_edits; i++)
        take_edit(p, &t->edits[i], from);
}

void state_load(struct process *p)
{
    const char *path = p->conf->state_file;
    struct strbuf text = {0};
    char from[STATE_PATH_MAX + 16];
    int rc = 0;

    p->state = xcalloc(1, sizeof(*p->state));
    if (path != NULL)
        p->state->file = state_file_new(path);
    if (p->takeover != NULL && p->takeover->state.len > 0) {
        take_text(p, &p->takeover->state, "the process before", true);
        return;
    }
    if (path != NULL)
        rc = state_file_read(path, &text);
    snprintf(from, sizeof(from), "state file %s", path != NULL ? path : "");
    if (rc < 0 && rc != -ENOENT)
        log_warn("%s: cannot be read: %s: nothing is taken from it", from, strerror(-rc));
    else if (text.len > 0)
        take_text(p, &text, from, false);
    strbuf_fini(&text);
}

void state_restore(struct process *p)
{
    state_restore_changes(p, &p->state->text, false);
}

bool state_recall(const struct process *p, const struct backend_slot *s, struct checker_known *out)
{
    const struct state_backend *b;

    static const struct backend_info nothing = {0};

    if (p->state == NULL)
        return false;
    b = state_text_find(&p->state->text, s->pool_name, s->name);
    if (b == NULL)
        return false;
    *out =
        (struct checker_known){.oper = OPER_UNKNOWN, .info = &nothing, .agent_off = b->agent_off};
    if (!p->state->disbelieve) {
        out->oper = b->oper;
        out->info = &b->info;
        out->doubt = p->state->doubt;
    }
    return true;
}

void state_forget(struct process *p)
{
    struct state_text *t = &p->state->text;

    for (uint32_t i = 0; i < p->conf->n_pools; i++) {
        for (uint32_t j = 0; j < p->pools[i]->n_members; j++) {
            struct backend_slot *s = p->pools[i]->members[j].slot;
            const struct state_backend *b = state_text_find(t, s->pool_name, s->name);
            if (b != NULL && b->checks_off)
                checker_enable(checker_thread_checker(p->checker), s, false);
        }
    }
    state_text_fini(t);
}

void state_follow(struct process *p, const struct strbuf *text)
{
    struct state_text t;

    if (state_text_parse(strbuf_str(text), &t) < 0)
        return;
    state_restore_changes(p, &t, true);
    state_text_fini(&t);
}

/* ---- the file ---- */

static uint64_t hash_agent(const struct backend_slot *s, uint64_t h)
{
    struct backend_info info;
    const struct agent_set *set = s->agent_set;

    slot_info(s, &info);
    h = hash_u64(h ^ ((uint64_t)info.agent_down << 32 | (uint64_t)info.agent_enabled << 33 |
                      (uint32_t)info.agent_part << 16 | info.agent_whole));
    if (set == NULL)
        return h;
    if (set->address.len > 0)
        h = hash_bytes(&set->address.sa, set->address.len, h);
    h = hash_u64(h ^ set->port ^ (uint64_t)set->has_send << 32);
    return set->has_send ? hash_bytes(set->send, set->send_len, h) : h;
}

/* Of what is worth writing at once. */
static uint64_t fingerprint(const struct process *p)
{
    uint64_t h = 1;

    for (uint32_t i = 0; i < p->conf->n_pools; i++) {
        for (uint32_t j = 0; j < p->pools[i]->n_members; j++) {
            const struct backend_slot *s = p->pools[i]->members[j].slot;
            struct backend_word w = slot_word(s);
            const struct addr *a = atomic_load(&s->address);
            h = hash_u64(h ^ s->index);
            h = hash_u64(h ^ ((uint64_t)w.oper << 32 | (uint64_t)w.admin << 16 | w.set_weight));
            h = hash_u64(h ^ atomic_load(&s->max_connections));
            h = hash_bytes(s->admin_reason, strlen(s->admin_reason), h);
            if (p->pools[i]->conf->agent != NULL)
                h = hash_agent(s, h);
            if (a != NULL)
                h = hash_bytes(&a->sa, a->len, h);
        }
    }
    return h == 0 ? 1 : h;
}

static void judge_writing(struct process *p, int rc)
{
    struct state *s = p->state;

    if (rc == s->failed)
        return;
    s->failed = rc;
    if (rc < 0)
        events_log(EVENT_LIMIT, LOG_LEVEL_WARN, NULL, "state file %s: cannot be written: %s",
                   p->conf->state_file, strerror(-rc));
    else
        log_info("state file %s: is written again", p->conf->state_file);
}

void state_tick(struct process *p)
{
    struct state *s = p->state;
    uint64_t now_ms = loop_now_ms(&p->loop), of;
    struct strbuf text = {0};
    int rc;

    if (s == NULL || s->file == NULL || p->takeover != NULL || p->handed_over || !p->told_ready)
        return;
    if (!state_file_idle(s->file, &rc))
        return;
    judge_writing(p, rc);
    of = fingerprint(p);
    if (of == s->written_of && now_ms < s->written_ms + REFRESH_MS)
        return;
    s->written_of = of;
    s->written_ms = now_ms;
    state_print(p, &text);
    state_file_write(s->file, &text);
}

void state_finish(struct process *p)
{
    struct state *s = p->state;
    struct strbuf text = {0};

    if (s == NULL)
        return;
    if (s->file != NULL) {
        judge_writing(p, state_file_wait(s->file));
        if (p->told_ready && !p->handed_over) {
            state_print(p, &text);
            state_file_write(s->file, &text);
            judge_writing(p, state_file_wait(s->file));
        }
        state_file_free(&s->file);
    }
    state_text_fini(&s->text);
    free(s);
    p->state = NULL;
}

void state_hand_over(struct process *p)
{
    if (p->state != NULL && p->state->file != NULL)
        judge_writing(p, state_file_wait(p->state->file));
}
