/* cmd_client.c - what concerns only this client's connection: prompt, level, timeout, help. */
#include "lb/admin/command.h"
#include "lb/admin/rows.h"

#include <stdio.h>

static const char *level_name(enum control_level level)
{
    switch (level) {
    case CONTROL_USER:
        return "user";
    case CONTROL_OPERATOR:
        return "operator";
    case CONTROL_ADMIN:
        break;
    }
    return "admin";
}

void cmd_client_help(struct command *c)
{
    commands_help(c->words + c->n_name, c->n_words - c->n_name, c->session->level, c->out);
}

void cmd_client_quit(struct command *c)
{
    c->session->quit = true;
}

/* Without a word: to the prompt, and back. */
void cmd_client_prompt(struct command *c)
{
    struct command_session *s = c->session;
    struct str mode = command_arg(c, 0);

    if (mode.len == 0)
        s->prompt = s->prompt == PROMPT_SHOWN ? PROMPT_OFF : PROMPT_SHOWN;
    else if (str_eq_cstr(mode, "n"))
        s->prompt = PROMPT_OFF;
    else if (str_eq_cstr(mode, "i"))
        s->prompt = PROMPT_SILENT;
    else if (str_eq_cstr(mode, "p"))
        s->prompt = PROMPT_SHOWN;
    else if (str_eq_cstr(mode, "timed")) {
        s->prompt = PROMPT_SHOWN;
        s->prompt_time = !s->prompt_time;
    } else
        command_refuse(c, "'prompt' expects 'n', 'i', 'p' or 'timed'.");
}

void cmd_client_set_severity(struct command *c)
{
    struct str mode = command_arg(c, 0);

    if (str_eq_cstr(mode, "none"))
        c->session->severity = SEVERITY_HIDDEN;
    else if (str_eq_cstr(mode, "number"))
        c->session->severity = SEVERITY_NUMBER;
    else if (str_eq_cstr(mode, "string"))
        c->session->severity = SEVERITY_STRING;
    else
        command_refuse(c, "one of 'none', 'number', 'string' is a required argument");
}

#define TIMEOUT_MAX_MS (24 * 60 * 60 * 1000) /* forgotten clients go at last */

void cmd_client_set_timeout(struct command *c)
{
    struct str word = command_arg(c, 0);
    uint64_t ms;

    if (word.len == 0)
        command_refuse(c, "Expects an integer value.");
    else if (!command_duration(word, &ms) || ms == 0)
        command_refuse(c, "Invalid timeout value.");
    else
        c->session->timeout_ms = ms > TIMEOUT_MAX_MS ? TIMEOUT_MAX_MS : (uint32_t)ms;
}

/* A level only ever drops: nobody gains rights on a connection. */
static void drop_to(struct command *c, enum control_level level)
{
    if (c->session->level > level)
        c->session->level = level;
}

void cmd_client_operator(struct command *c)
{
    if (c->session->level < CONTROL_OPERATOR)
        command_refuse(c, "Permission denied");
    drop_to(c, CONTROL_OPERATOR);
}

void cmd_client_user(struct command *c)
{
    drop_to(c, CONTROL_USER);
}

void cmd_client_show_level(struct command *c)
{
    static const char *const columns[] = {"level"};
    const char *level = level_name(c->session->level);
    struct rows r;

    if (!command_has(c, "json")) {
        command_note(c, SEVERITY_INFO, "%s", level);
        return;
    }
    rows_begin(&r, c->out, true, columns, 1);
    rows_text(&r, level);
    rows_end(&r);
}

void cmd_client_show_sockets(struct command *c)
{
    static const char *const columns[] = {"socket", "lvl", "processes"};
    struct rows r;

    rows_begin(&r, c->out, command_has(c, "json"), columns, ARRAY_LEN(columns));
    for (uint32_t i = 0; i < c->env->n_sockets; i++) {
        char path[128];
        snprintf(path, sizeof(path), "unix@%s", c->env->sockets[i].path);
        rows_text(&r, path);
        rows_text(&r, level_name(c->env->sockets[i].level));
        rows_text(&r, "all");
    }
    rows_end(&r);
}
