/* commands_manual.c - see commands_manual.h (man(7) macros). */
#include "lb/admin/commands_manual.h"

#include "lb/admin/command.h"

/* Minus signs and backslashes mean something to roff. */
static void text(FILE *out, const char *s)
{
    for (; *s != '\0'; s++) {
        if (*s == '\\')
            fputs("\\e", out);
        else if (*s == '-')
            fputs("\\-", out);
        else if (*s == '\'')
            fputs("\\(aq", out);
        else
            fputc(*s, out);
    }
}

static const char head[] =
    ".\\\" Printed by sluice --print-ctl-manual; see lb/admin/commands.c.\n"
    ".TH SLUICE-CTL 1 \"\" \"sluice " SLUICE_VERSION "\" \"User Commands\"\n"
    ".SH NAME\n"
    "sluice-ctl \\- commands of sluice's stats socket\n"
    ".SH SYNOPSIS\n"
    ".B sluice ctl\n.RB [ \\-s\n.IR SOCKET ]\n.I COMMAND\n"
    ".SH DESCRIPTION\n"
    "Sends one command to a running\n.BR sluice (8)\nand prints its answer.\n"
    "The socket is the one that\n.B \\-s\nnames, else that of\n.BR SLUICE_SOCKET ,\nelse\n"
    ".IR /run/sluice/stats.sock .\n"
    "Several commands are separated by semicolons.\n"
    ".PP\n"
    "The socket speaks HAProxy's language, so that its tools work with it: a line is answered and\n"
    "the connection closed, or with\n.B prompt\nkept open. In it a listener is a frontend, a pool\n"
    "a backend, a backend a server, and <bk>/<srv> is POOL/BACKEND.\n"
    ".PP\n"
    "What a client may do depends on the\n.I level\nof the socket\n.RB ( stats.level\nin\n"
    ".BR sluice.conf (5)):\n"
    "a user sees, an operator also clears counters and sees sessions and configuration, an admin\n"
    "changes.\n"
    ".SH COMMANDS\n";

static const char tail[] =
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nThe command was carried out.\n"
    ".TP\n.B 1\nIt was refused, or the socket does not answer; the reason is on standard error.\n"
    ".TP\n.B 2\nWrong usage.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n.B SLUICE_SOCKET\nThe socket, when\n.B \\-s\nnames none; without it\n.BR SLUICE_STATS .\n"
    ".SH EXAMPLES\n"
    "Which backends there are, and how they do:\n"
    ".PP\n.RS\n.nf\nsluice ctl show servers state app\nsluice ctl show stat json\n.fi\n.RE\n"
    ".PP\n"
    "Take a backend out for its maintenance, wait until nobody is on it, bring it back:\n"
    ".PP\n.RS\n.nf\nsluice ctl set server app/a state drain\nsluice ctl show servers conn app\n"
    "sluice ctl set server app/a state ready\n.fi\n.RE\n"
    ".PP\n"
    "The same without this program:\n"
    ".PP\n.RS\n.nf\necho \"show info\" | socat stdio /run/sluice/stats.sock\n.fi\n.RE\n"
    ".SH SEE ALSO\n"
    ".BR sluice (8),\n.BR sluice.conf (5)\n";

void commands_print_manual(FILE *out)
{
    static const char *const levels[] = {
        [CONTROL_USER] = "user", [CONTROL_OPERATOR] = "operator", [CONTROL_ADMIN] = "admin"};
    const struct command_row *row;

    fputs(head, out);
    for (uint32_t i = 0; (row = commands_row(i)) != NULL; i++) {
        fputs(".TP\n.B ", out);
        text(out, row->words);
        if (row->args[0] != '\0') {
            fputs("\\fR ", out);
            text(out, row->args);
        }
        fputc('\n', out);
        text(out, row->help);
        fprintf(out, ".\nLevel: %s.\n", levels[row->level]);
    }
    fputs(tail, out);
}

void commands_print_words(FILE *out)
{
    const struct command_row *row;

    for (uint32_t i = 0; (row = commands_row(i)) != NULL; i++)
        fprintf(out, "%s\n", row->words);
}
