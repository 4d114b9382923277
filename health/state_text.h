/* state_text.h - what is known of backends as text: the state file, and what one process tells the
 * next. Pure.
 *
 *     sluice-state 1
 *     written 1790000000
 *     backend app/a oper=up since=… weight=10,5 …
 *     added app/c settings=…
 *     end
 *
 * A line a backend, of key=value; strings have bytes that would confuse as %XX. What was changed at
 * run time is there twice: as configured when it was written, and as it was. Keys and lines that
 * are not known are for versions to come; a value that makes no sense is left out, and its line
 * counted. */
#ifndef SLUICE_HEALTH_STATE_TEXT_H
#define SLUICE_HEALTH_STATE_TEXT_H

#include "lb/base/str.h"

#include "health/agent_set.h"
#include "health/table.h"

#define STATE_ADDRESS_MAX  300  /* "unix:/…", "host:port", with NUL */
#define STATE_SETTINGS_MAX 1024 /* of one backend, with NUL */

enum state_admin { STATE_READY, STATE_DRAIN, STATE_MAINT };

/* As configured, and as set at run time; the same where nothing was. */
struct state_number {
    uint32_t conf, now;
};

struct state_backend {
    char pool[LIMIT_NAME_LEN + 1], name[LIMIT_NAME_LEN + 1];
    uint32_t line; /* among those of backends, from 1 */
    /* Health: OPER_UNKNOWN, OPER_UP or OPER_DOWN, and of info what outlives a process. */
    enum oper_state oper;
    struct backend_info info;
    /* Changes at run time. */
    enum state_admin conf_admin, admin;
    bool checks_off, agent_off;
    /* What was set of its agent; each counts while the pool says the same as then. What it said
     * last is in info. */
    struct agent_set agent;
    struct agent_pool agent_pool;
    struct state_number weight, max_connections;
    char conf_address[STATE_ADDRESS_MAX], address[STATE_ADDRESS_MAX]; /* "": it was not changed */
    char why[LIMIT_MAINT_REASON + 1];
};

/* A backend that came or went at run time. */
struct state_edit {
    char pool[LIMIT_NAME_LEN + 1], name[LIMIT_NAME_LEN + 1];
    bool added;
    char text[STATE_SETTINGS_MAX]; /* added: its settings as in a configuration; removed: its
                                    * address there, "": not known */
};

struct state_text {
    uint64_t written_s;         /* wall clock */
    struct state_backend *rows; /* sorted by pool and name; of doubles the last one */
    uint32_t n;
    struct state_edit *edits; /* in the order in which they were made */
    uint32_t n_edits;
    uint32_t bad_lines; /* skipped, wholly or in part */
    bool whole;         /* its end is there */
};

void state_text_begin(uint64_t written_s, struct strbuf *out);
void state_text_add(const struct state_backend *b, struct strbuf *out);
void state_text_add_edit(const struct state_edit *e, struct strbuf *out);
void state_text_end(struct strbuf *out);

/* 0, or -EINVAL: it is not such a text, or of a version that we do not know. */
int state_text_parse(struct str text, struct state_text *out) WARN_UNUSED;
/* NULL: nothing is said of it. */
const struct state_backend *state_text_find(const struct state_text *t, const char *pool,
                                            const char *name);
void state_text_fini(struct state_text *t);

#endif
