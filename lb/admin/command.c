/* command.c - see command.h */
#include "lb/admin/command.h"

#include "health/table.h"
#include "lb/admin/admin_ops.h"
#include "lb/admin/command_line.h"
#include "lb/base/alloc.h"
#include "lb/upstream/pool.h"

#include <stdlib.h>

struct str command_arg(const struct command *c, uint32_t i)
{
    i += c->n_name;
    return i < c->n_words ? c->words[i] : STR("");
}

bool command_arg_is(const struct command *c, uint32_t i, const char *word)
{
    return str_eq_cstr(command_arg(c, i), word);
}

bool command_has(const struct command *c, const char *word)
{
    for (uint32_t i = c->n_name; i < c->n_words; i++)
        if (str_eq_cstr(c->words[i], word))
            return true;
    return false;
}

static void set_message(struct command *c, enum command_severity severity, const char *fmt,
                        va_list ap) PRINTF_LIKE(3, 0);

static void set_message(struct command *c, enum command_severity severity, const char *fmt,
                        va_list ap)
{
    c->severity = severity;
    strbuf_clear(c->out);
    strbuf_vaddf(c->out, fmt, ap);
    strbuf_add_char(c->out, '\n');
}

void command_refuse(struct command *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    set_message(c, SEVERITY_ERROR, fmt, ap);
    va_end(ap);
}

void command_note(struct command *c, enum command_severity severity, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    set_message(c, severity, fmt, ap);
    va_end(ap);
}

bool command_duration(struct str word, uint64_t *out_ms)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = 0;
    uint64_t n;

    while (digits < word.len && word.p[digits] >= '0' && word.p[digits] <= '9')
        digits++;
    struct str unit = {word.p + digits, word.len - digits};
    if (str_u64((struct str){word.p, digits}, UINT32_MAX, &n) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (str_eq_cstr(unit, units[i].name)) {
            *out_ms = n * units[i].ms;
            return true;
        }
    }
    return false;
}

/* ---- objects by name ---- */

/* Whether text is "#id". */
static bool parse_id(struct str text, uint64_t *out_id)
{
    return text.len > 1 && text.p[0] == '#' &&
           str_u64((struct str){text.p + 1, text.len - 1}, UINT32_MAX, out_id) == 0;
}

struct pool *command_find_pool(const struct command *c, struct str name)
{
    uint64_t id = 0;
    bool by_id = parse_id(name, &id);

    for (uint32_t i = 0; i < c->env->ops->n_pools; i++) {
        struct pool *p = c->env->ops->pools[i];
        if (by_id ? p->iid == id : str_eq_cstr(name, p->name))
            return p;
    }
    return NULL;
}

static struct pool_member *find_member(const struct pool *p, struct str name)
{
    uint64_t id = 0;
    bool by_id = parse_id(name, &id);

    for (uint32_t i = 0; i < p->n_members; i++) {
        struct pool_member *m = &p->members[i];
        if (by_id ? m->slot->sid == id : str_eq_cstr(name, m->slot->name))
            return m;
    }
    return NULL;
}

struct pool_member *command_find_server(struct command *c, struct str name, struct pool **out_pool)
{
    const char *slash = name.len > 0 ? memchr(name.p, '/', name.len) : NULL;

    if (slash == NULL) {
        command_refuse(c, "Require 'backend/server'.");
        return NULL;
    }
    size_t len = (size_t)(slash - name.p);
    struct pool *p = command_find_pool(c, (struct str){name.p, len});
    if (p == NULL) {
        command_refuse(c, "No such backend.");
        return NULL;
    }
    struct pool_member *m = find_member(p, (struct str){slash + 1, name.len - len - 1});
    if (m == NULL) {
        command_refuse(c, "No such server.");
        return NULL;
    }
    if (out_pool != NULL)
        *out_pool = p;
    return m;
}

/* ---- answers ---- */

static const char *severity_name(enum command_severity s)
{
    switch (s) {
    case SEVERITY_ERROR:
        return "err";
    case SEVERITY_WARNING:
        return "warning";
    case SEVERITY_NOTICE:
        return "notice";
    default:
        return "info";
    }
}

/* An answer ends at its first empty line, so none may be inside. */
static void add_without_empty_lines(struct strbuf *out, struct str text)
{
    while (text.len > 0) {
        const char *end = memchr(text.p, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.p) : text.len;
        if (len > 0) {
            strbuf_add(out, text.p, len);
            strbuf_add_char(out, '\n');
        }
        len += end != NULL;
        text.p += len;
        text.len -= len;
    }
}

static void finish(struct strbuf *out, struct str text, enum command_severity severity,
                   enum severity_output output)
{
    if (severity != SEVERITY_DUMP && text.len > 0) {
        if (output == SEVERITY_NUMBER)
            strbuf_addf(out, "[%d]: ", (int)severity);
        else if (output == SEVERITY_STRING)
            strbuf_addf(out, "[%s]: ", severity_name(severity));
    }
    add_without_empty_lines(out, text);
    strbuf_add_char(out, '\n');
}

static void on_settled(void *arg)
{
    late_answer_ready(arg);
}

/* Who changes a backend and then sends a request expects the change to count. */
static void answer_when_settled(struct command *c)
{
    const struct admin_ops *ops = c->env->ops;

    if (!c->changes_picks || c->late != NULL || ops->settle == NULL)
        return;
    struct late_answer *late = xcalloc(1, sizeof(*late));
    strbuf_add_str(&late->text, strbuf_str(c->out));
    late->severity = c->severity;
    command_later(c, late);
    ops->settle(ops->ctx, on_settled, late);
}

void command_run(const struct command_env *env, struct command_session *session, struct str text,
                 struct strbuf *out, struct late_answer **out_late)
{
    struct str words[COMMAND_WORDS_MAX];
    struct strbuf answer = {0}, decoded = {0};
    struct command c = {.env = env, .session = session, .words = words, .out = &answer};

    *out_late = NULL;
    strbuf_add_str(&decoded, text); /* room for the decoded words */
    c.n_words = command_line_words(text, decoded.p, words, ARRAY_LEN(words));
    /* The setting holds from the next command on. */
    enum severity_output output = session->severity;
    const struct command_row *row = commands_find(words, c.n_words, &c.n_name);
    if (row == NULL)
        commands_unknown(&c);
    else if (session->level < row->level)
        command_refuse(&c, "Permission denied");
    else
        row->run(&c);
    answer_when_settled(&c);

    if (c.late != NULL) {
        c.late->output = output;
        if (c.late->state == LATE_READY)
            late_answer_take(&c.late, out);
        else
            *out_late = c.late;
    } else if (!session->quit && !session->follow.on) {
        finish(out, strbuf_str(&answer), c.severity, output);
    }
    strbuf_fini(&answer);
    strbuf_fini(&decoded);
}

/* ---- late answers ---- */

static void late_answer_free(struct late_answer **late)
{
    strbuf_fini(&(*late)->text);
    free(*late);
    *late = NULL;
}

void command_later(struct command *c, struct late_answer *late)
{
    sl_assert(c->late == NULL && late->state == LATE_STARTED);
    c->late = late;
}

void late_answer_ready(struct late_answer *late)
{
    sl_assert(late->state != LATE_READY);
    if (late->state == LATE_ABANDONED) {
        late_answer_free(&late);
        return;
    }
    bool waited_for = late->state == LATE_WAITED_FOR;
    late->state = LATE_READY;
    if (waited_for)
        late->ready(late->arg);
}

void late_answer_wait(struct late_answer *late, void (*ready)(void *arg), void *arg)
{
    sl_assert(late->state == LATE_STARTED);
    late->state = LATE_WAITED_FOR;
    late->ready = ready;
    late->arg = arg;
}

void late_answer_take(struct late_answer **late, struct strbuf *out)
{
    sl_assert((*late)->state == LATE_READY);
    finish(out, strbuf_str(&(*late)->text), (*late)->severity, (*late)->output);
    late_answer_free(late);
}

void late_answer_abandon(struct late_answer **late)
{
    if ((*late)->state == LATE_READY)
        late_answer_free(late);
    else
        (*late)->state = LATE_ABANDONED;
    *late = NULL;
}
