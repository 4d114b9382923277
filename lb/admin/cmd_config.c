/* cmd_config.c - commands that change which configuration is in force. */
#include "lb/admin/command.h"
#include "lb/base/alloc.h"

void cmd_config_show_diff(struct command *c)
{
    c->env->ops->diff(c->env->ops->ctx, c->out);
}

void cmd_config_save(struct command *c)
{
    struct strbuf answer = {0};
    bool good = c->env->ops->save(c->env->ops->ctx, &answer);

    strbuf_add_str(c->out, strbuf_str(&answer));
    c->severity = good ? SEVERITY_INFO : SEVERITY_ERROR;
    strbuf_fini(&answer);
}

struct reload_answer {
    struct late_answer late; /* first: freed as one */
};

static void on_reloaded(void *arg, bool good, const char *text)
{
    struct reload_answer *a = arg;

    if (!good)
        a->late.severity = SEVERITY_ERROR;
    strbuf_add_cstr(&a->late.text, text);
    late_answer_ready(&a->late);
}

void cmd_config_reload(struct command *c)
{
    struct reload_answer *a = xcalloc(1, sizeof(*a));

    command_later(c, &a->late);
    c->env->ops->reload(c->env->ops->ctx, on_reloaded, a);
}

/* From now on it is no client of commands: what is said on the connection is main's. */
void cmd_config_handoff(struct command *c)
{
    if (!str_eq_cstr(command_arg(c, 0), "1"))
        command_refuse(c, "This process speaks version 1 of the handoff.");
    else if (!c->session->may_leave)
        command_refuse(c, "The handoff needs a connection of its own.");
    else
        c->session->leaves = true;
}
