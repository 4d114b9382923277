/* command.h - one command at work: its words, its client's settings, the answer it builds.
 *
 * A command is a function that reads words and writes an answer; it knows nothing of sockets, so
 * all of them are tested with text alone. Answers that need the workers come later: the command
 * starts a late_answer, which outlives it and, when need be, its client. Control thread only. */
#ifndef SLUICE_ADMIN_COMMAND_H
#define SLUICE_ADMIN_COMMAND_H

#include "lb/admin/control.h"
#include "lb/base/str.h"

#define COMMAND_WORDS_MAX 64 /* further words of a command are ignored */

struct pool;
struct pool_member;
struct sampler;

/* HAProxy's numbers, which are syslog's. */
enum command_severity {
    SEVERITY_DUMP = 0, /* data, never marked */
    SEVERITY_ERROR = 3,
    SEVERITY_WARNING = 4,
    SEVERITY_NOTICE = 5,
    SEVERITY_INFO = 6,
};
enum severity_output { SEVERITY_HIDDEN, SEVERITY_NUMBER, SEVERITY_STRING };
enum prompt_mode {
    PROMPT_OFF,    /* the first line is answered, then the connection is closed */
    PROMPT_SILENT, /* stays open, no prompt */
    PROMPT_SHOWN,
};

/* `show events -w`: a client that is told what happens until it says something. */
struct command_follow {
    bool on;
    bool json, nul; /* lines are JSON objects; they end in NUL instead of a newline */
    bool begun;     /* a gap behind `after` is a loss */
    uint64_t after; /* the last event that it has been told */
    char object[2 * LIMIT_NAME_LEN + 2]; /* a pool, "pool/backend", a listener; empty: all */
};

/* What a client has set. */
struct command_session {
    enum control_level level;
    const char *via; /* for the log, of what it changes; NULL: "over the stats socket" */
    enum prompt_mode prompt;
    bool prompt_time;
    enum severity_output severity;
    uint32_t timeout_ms; /* 0: the default */
    bool quit;
    bool may_leave; /* its owner gives the connection away when a command has set `leaves` */
    bool leaves;
    bool may_follow; /* its owner calls events_follow() when a command has set `follow` */
    struct command_follow follow; /* set by a command: its answer goes on without end */
};

struct command_socket {
    const char *path;
    enum control_level level;
};

/* What commands work on. */
struct command_env {
    const struct admin_ops *ops;
    struct sampler *sampler;
    const struct command_socket *sockets;
    uint32_t n_sockets;
};

/* An answer that comes from a later turn. */
struct late_answer {
    enum { LATE_STARTED, LATE_WAITED_FOR, LATE_ABANDONED, LATE_READY } state;
    struct strbuf text;
    enum command_severity severity;
    enum severity_output output;
    uint64_t wait_ms;         /* it takes so long at most, beside the usual; set by who starts it */
    void (*ready)(void *arg); /* set by who waits */
    void *arg;
};

struct command {
    const struct command_env *env;
    struct command_session *session;
    const struct str *words;
    uint32_t n_words, n_name; /* the first n_name words are the command's name */
    struct strbuf *out;
    enum command_severity severity;
    struct late_answer *late; /* set by command_later() */
    bool changes_picks;       /* the answer comes when picks heed what was changed */
};

typedef void command_fn(struct command *c);

/* ---- for commands ---- */

/* The i-th word behind the command's name; empty when there is none. */
struct str command_arg(const struct command *c, uint32_t i);
bool command_arg_is(const struct command *c, uint32_t i, const char *word);
bool command_has(const struct command *c, const char *word); /* anywhere behind the name */
/* The answer is this message: a refusal, or a note on what was done. A newline is added. */
void command_refuse(struct command *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
void command_note(struct command *c, enum command_severity severity, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* "10s", "500ms", "5m", "1h", "1d"; seconds without a unit. */
bool command_duration(struct str word, uint64_t *out_ms);
/* A pool by name or #iid; NULL when there is none. */
struct pool *command_find_pool(const struct command *c, struct str name);
/* "pool/backend", each by name or #id. NULL after a refusal in HAProxy's words. */
struct pool_member *command_find_server(struct command *c, struct str name, struct pool **out_pool);

/* Makes `late` (zeroed, first member of a calloc()ed object) the command's answer. */
void command_later(struct command *c, struct late_answer *late);
/* Its text is complete. Hands it to who waits; frees the object when nobody does any more. */
void late_answer_ready(struct late_answer *late);

/* ---- for who runs them ---- */

/* Runs one command (no unescaped semicolon in it) and appends its finished answer, with the closing
 * empty line, to out (of `quit` there is none). When the answer comes later, *out_late is set and
 * nothing appended: the caller calls late_answer_wait(), then late_answer_take() or
 * late_answer_abandon(). */
void command_run(const struct command_env *env, struct command_session *session, struct str text,
                 struct strbuf *out, struct late_answer **out_late);
void late_answer_wait(struct late_answer *late, void (*ready)(void *arg), void *arg);
void late_answer_take(struct late_answer **late, struct strbuf *out);
void late_answer_abandon(struct late_answer **late);

/* Appends what is new to out until that is `enough` bytes long. False: events were lost, as it
 * was asked too rarely; out ends in a line that says so. */
bool events_follow(struct command_follow *f, size_t enough, struct strbuf *out) WARN_UNUSED;

/* ---- the registry (commands.c) ---- */

struct command_row {
    const char *words; /* "show servers state" */
    const char *args;  /* for help: "[<backend>]" */
    enum control_level level;
    command_fn *run;
    const char *help; /* NULL: for programs, it is not listed */
};
/* In the order of help; NULL behind the last one. */
const struct command_row *commands_row(uint32_t i);
/* The row with most words that are all there, NULL: none. */
const struct command_row *commands_find(const struct str *words, uint32_t n, uint32_t *out_name);
/* help: the rows that the level allows and that begin with these words. */
void commands_help(const struct str *words, uint32_t n, enum control_level level,
                   struct strbuf *out);
/* A refusal that lists what may have been meant. */
void commands_unknown(struct command *c);

command_fn cmd_show_info, cmd_show_stat, cmd_show_servers_state, cmd_show_servers_conn;
command_fn cmd_show_ssl_cert, cmd_show_ssl_expiry;
command_fn cmd_config_reload, cmd_config_save, cmd_config_show_diff, cmd_config_handoff;
command_fn cmd_show_routes, cmd_show_latency, cmd_show_refused, cmd_show_udp;
command_fn cmd_server_enable, cmd_server_disable, cmd_server_enable_health,
    cmd_server_disable_health, cmd_agent_enable, cmd_agent_disable, cmd_server_set,
    cmd_server_get_weight, cmd_server_set_weight;
command_fn cmd_runtime_add_server, cmd_runtime_del_server, cmd_runtime_wait,
    cmd_runtime_set_maxconn, cmd_runtime_mode;
command_fn cmd_drain_show;
command_fn cmd_events_show, cmd_events_flight;
command_fn cmd_sess_show, cmd_sess_shutdown, cmd_sess_shutdown_server;
command_fn cmd_misc_show_activity, cmd_misc_show_backend, cmd_misc_show_config, cmd_misc_show_env,
    cmd_misc_show_errors, cmd_misc_show_pools, cmd_misc_show_ready, cmd_misc_show_version,
    cmd_misc_clear_counters, cmd_misc_explain;
command_fn cmd_client_help, cmd_client_operator, cmd_client_prompt, cmd_client_quit,
    cmd_client_set_severity, cmd_client_set_timeout, cmd_client_show_level, cmd_client_show_sockets,
    cmd_client_user;

#endif
