/* commands.c - the commands of the stats socket: one row each, in the order of `help`. */
#include "lb/admin/command.h"

#define USER     CONTROL_USER
#define OPERATOR CONTROL_OPERATOR
#define ADMIN    CONTROL_ADMIN

static const struct command_row rows[] = {
    {"add server", "<bk>/<srv> <addr> [opts]", ADMIN, cmd_runtime_add_server,
     "add a server, in maintenance unless 'enabled' ('add server help': the options)"},
    {"clear counters", "[all]", OPERATOR, cmd_misc_clear_counters,
     "clear max statistics counters (or all counters)"},
    {"del server", "<bk>/<srv>", ADMIN, cmd_runtime_del_server,
     "remove a server that is in maintenance and has no connection"},
    {"disable agent", "<bk>/<srv>", ADMIN, cmd_agent_disable, "stop asking a server's agent"},
    {"disable health", "<bk>/<srv>", ADMIN, cmd_server_disable_health, "stop checking a server"},
    {"disable server", "<bk>/<srv> [<reason>]", ADMIN, cmd_server_disable,
     "put a server in maintenance (as 'set server <bk>/<srv> state maint')"},
    {"enable agent", "<bk>/<srv>", ADMIN, cmd_agent_enable, "ask a server's agent again"},
    {"enable health", "<bk>/<srv>", ADMIN, cmd_server_enable_health, "check a server again"},
    {"enable server", "<bk>/<srv>", ADMIN, cmd_server_enable,
     "end a server's maintenance (as 'set server <bk>/<srv> state ready')"},
    {"experimental-mode", "[on|off]", ADMIN, cmd_runtime_mode,
     "nothing: for scripts that say it before 'add server'"},
    {"explain", "[json] <method> <url> [opts]", USER, cmd_misc_explain,
     "what would happen to a request [-H <name: value>]... [--from <ip>] [--listener <name>]"},
    {"get weight", "<bk>/<srv>", USER, cmd_server_get_weight, "report a server's current weight"},
    {"operator", "", USER, cmd_client_operator,
     "lower the level of the current session to operator"},
    {"reload", "", ADMIN, cmd_config_reload,
     "read the configuration again and put it in force, or say what is wrong with it"},
    {"save", "", ADMIN, cmd_config_save,
     "write what was changed at run time to the overlay file, for the next start"},
    {"set maxconn server", "<bk>/<srv> <n>", ADMIN, cmd_runtime_set_maxconn,
     "change how many connections a server gets at the same time (0: no limit)"},
    {"set server", "<bk>/<srv> [opts]", ADMIN, cmd_server_set,
     "change a server's state (with a reason), weight, address, health or agent: addr <ip> [port "
     "<port>] | agent up|down | agent-addr <ip> [port <port>] | agent-port <port> | agent-send "
     "<text> | health up|stopping|down | state ready|drain|maint [<reason>] | weight <n>[%]"},
    {"set severity-output", "[none|number|string]", USER, cmd_client_set_severity,
     "mark messages with their severity"},
    {"set timeout cli", "<delay>", USER, cmd_client_set_timeout,
     "change the idle timeout of this connection (seconds, or with a unit)"},
    {"set weight", "<bk>/<srv> <weight>[%]", ADMIN, cmd_server_set_weight,
     "change a server's weight (as 'set server <bk>/<srv> weight')"},
    {"show activity", "[json]", USER, cmd_misc_show_activity, "what each worker has done"},
    {"show backend", "[json]", USER, cmd_misc_show_backend, "list the pools"},
    {"show cli level", "[json]", USER, cmd_client_show_level, "level of the current session"},
    {"show cli sockets", "[json]", USER, cmd_client_show_sockets, "list the stats sockets"},
    {"show config", "", OPERATOR, cmd_misc_show_config,
     "the configuration in effect, with all defaults"},
    {"show diff", "", OPERATOR, cmd_config_show_diff,
     "what runs in another way than the file says, and what a reload would change"},
    {"show drain", "[json]", USER, cmd_drain_show,
     "how the end of the process goes: what is left, of which listener and kind"},
    {"show env", "[<var>] [json]", OPERATOR, cmd_misc_show_env,
     "environment variables of the process"},
    {"show errors", "[json]", OPERATOR, cmd_misc_show_errors,
     "captured protocol errors (none are kept: see the access log)"},
    {"show events", "[<n>] [object <name>] [json] [-w]", USER, cmd_events_show,
     "what has happened; -w goes on with what happens, until a line comes (-n: only that)"},
    {"show flight", "[slow|failed] [<n>] [json]", OPERATOR, cmd_events_flight,
     "the slowest requests of the last minutes, and the last ones that failed"},
    {"show info", "[json|typed] [desc]", USER, cmd_show_info,
     "report information about the running process"},
    {"show latency", "[<name>] [json]", USER, cmd_show_latency,
     "times and their phases of listeners, routes, pools and servers: quantiles (microseconds)"},
    {"show pools", "[json]", USER, cmd_misc_show_pools,
     "usage of receive buffers, splice pipes and object memory"},
    {"show ready", "[json]", USER, cmd_misc_show_ready,
     "whether traffic is welcome: ready, or not ready and why"},
    {"show refused", "[<name>] [json]", USER, cmd_show_refused,
     "why http requests and responses were refused, by code"},
    {"show routes", "[<listener>] [json]", USER, cmd_show_routes, "counters of each http route"},
    {"show servers conn", "[<backend>] [json]", USER, cmd_show_servers_conn,
     "connections of each server"},
    {"show servers state", "[<backend>] [json]", USER, cmd_show_servers_state,
     "volatile state of each server"},
    {"show sess", "[<id>|help] [<filter>]", OPERATOR, cmd_sess_show,
     "list the current sessions ('show sess help': the filters)"},
    {"show ssl cert", "[<file>] [json]", USER, cmd_show_ssl_cert,
     "list the certificates in use, or what one says"},
    {"show ssl expiry", "[json]", USER, cmd_show_ssl_expiry,
     "days until each certificate in use expires, the first ones first"},
    {"show stat", "[<filter>] [json|typed] [...]", USER, cmd_show_stat,
     "counters of each proxy and server; [{<iid>|<name>} <type> <sid>] [up|no-maint]"},
    {"show udp", "[json]", USER, cmd_show_udp,
     "flows and datagrams of listeners of mode udp, dropped ones by reason"},
    {"show version", "[json]", USER, cmd_misc_show_version, "version of the process"},
    {"shutdown session", "<id>", ADMIN, cmd_sess_shutdown, "end a session"},
    {"shutdown sessions server", "<bk>/<srv>", ADMIN, cmd_sess_shutdown_server,
     "end all sessions of a server"},
    {"user", "", USER, cmd_client_user, "lower the level of the current session to user"},
    {"wait", "<delay> [<condition>]", USER, cmd_runtime_wait,
     "pause, or until 'srv-removable <bk>/<srv>': it is in maintenance without connections"},
    {"help", "[<command>]", USER, cmd_client_help, "list all commands, or those that begin so"},
    {"prompt", "[n|i|p|timed]", USER, cmd_client_prompt, "toggle interactive mode with prompt"},
    {"quit", "", USER, cmd_client_quit, "disconnect"},
    {"_handoff", "<version>", ADMIN, cmd_config_handoff, NULL},
};

/* How many words of the row are at the beginning of `words`: all of them (true), or where the
 * comparison ended. */
static bool row_matches(const struct command_row *row, const struct str *words, uint32_t n,
                        uint32_t *out_same)
{
    struct str rest = str_of(row->words);
    uint32_t i = 0;

    for (;; i++) {
        struct str word = str_word(&rest, " ");
        *out_same = i;
        if (word.len == 0)
            return true;
        if (i == n || !str_eq(word, words[i]))
            return false;
    }
}

const struct command_row *commands_row(uint32_t i)
{
    /* What is not listed comes last. */
    return i < ARRAY_LEN(rows) && rows[i].help != NULL ? &rows[i] : NULL;
}

const struct command_row *commands_find(const struct str *words, uint32_t n, uint32_t *out_name)
{
    const struct command_row *best = NULL;
    uint32_t same;

    *out_name = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (row_matches(&rows[i], words, n, &same) && same > *out_name) {
            best = &rows[i];
            *out_name = same;
        }
    }
    return best;
}

static void add_row(struct strbuf *out, const struct command_row *row)
{
    size_t start = out->len;

    strbuf_addf(out, "  %s%s%s", row->words, row->args[0] != '\0' ? " " : "", row->args);
    do
        strbuf_add_char(out, ' ');
    while (out->len - start < 42);
    strbuf_addf(out, ": %s\n", row->help);
}

/* Whether the row begins with these words; the last may be a part of a word. */
static bool row_begins(const struct command_row *row, const struct str *words, uint32_t n)
{
    struct str rest = str_of(row->words);

    for (uint32_t i = 0; i < n; i++) {
        struct str word = str_word(&rest, " ");
        if (word.len == 0 || (i + 1 < n ? !str_eq(word, words[i]) : !str_starts(word, words[i])))
            return false;
    }
    return true;
}

static uint32_t add_rows(struct strbuf *out, const struct str *words, uint32_t n,
                         enum control_level level)
{
    uint32_t found = 0;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].help != NULL && rows[i].level <= level && row_begins(&rows[i], words, n)) {
            add_row(out, &rows[i]);
            found++;
        }
    }
    return found;
}

void commands_help(const struct str *words, uint32_t n, enum control_level level,
                   struct strbuf *out)
{
    strbuf_add_cstr(out, "The following commands are valid at this level:\n");
    if (add_rows(out, words, n, level) == 0)
        add_rows(out, NULL, 0, level);
}

/* Looks for rows that share as many words, then as many letters of the next word, as possible. */
static uint32_t add_similar(struct strbuf *out, const struct command *c)
{
    struct str words[COMMAND_WORDS_MAX];
    uint32_t same, most = 0, found = 0;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        row_matches(&rows[i], c->words, c->n_words, &same);
        if (rows[i].level <= c->session->level && same > most)
            most = same;
    }
    if (most >= c->n_words)
        return add_rows(out, c->words, c->n_words, c->session->level);
    memcpy(words, c->words, (most + 1) * sizeof(words[0]));
    size_t letters = words[most].len;
    size_t enough = most > 0 ? 0 : 1; /* of the first word, one letter at least */
    for (; found == 0 && letters + 1 > enough; letters--) {
        words[most].len = letters;
        found = add_rows(out, words, most + 1, c->session->level);
        if (letters == 0)
            break;
    }
    return found;
}

void commands_unknown(struct command *c)
{
    struct strbuf list = {0};
    bool similar = c->n_words > 0 && add_similar(&list, c) > 0;
    struct strbuf shown = {0};

    if (!similar)
        add_rows(&list, NULL, 0, c->session->level);
    for (uint32_t i = 0; i < c->n_words && shown.len < 64; i++)
        strbuf_addf(&shown, "%s" STR_FMT, i > 0 ? " " : ": '",
                    (int)(c->words[i].len < 64 ? c->words[i].len : 64), c->words[i].p);
    if (shown.len > 0)
        strbuf_add_char(&shown, '\'');
    command_refuse(c, "Unknown command%s%s\n%s", shown.p != NULL ? shown.p : "",
                   similar ? ", but maybe one of the following ones is a better match:"
                           : ". Please enter one of the following commands only:",
                   list.p);
    strbuf_fini(&shown);
    strbuf_fini(&list);
}
