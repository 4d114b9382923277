/* manual.c - etc/man/sluice.conf.5: all settings as a manual page (man(7) macros). */
#include "lb/config/conf_own.h"
#include "lb/config/schema.h"
#include "lb/config/value.h"

/* Text of a line: a leading dot or quote, backslashes and minus signs mean something to roff. */
static void text(FILE *out, const char *s)
{
    if (*s == '.' || *s == '\'')
        fputs("\\&", out);
    for (; *s != '\0'; s++) {
        if (*s == '\\')
            fputs("\\e", out);
        else if (*s == '-')
            fputs("\\-", out);
        else
            fputc(*s, out);
    }
}

static void setting(FILE *out, const struct schema_row *row)
{
    struct strbuf line = {0};

    fputs(".TP\n.B ", out);
    text(out, schema_name(row));
    fputc('\n', out);
    text(out, row->help);
    fputs("\n.br\nValues: ", out);
    value_range(row, &line);
    strbuf_add_cstr(&line, ". ");
    if (row->def != NULL) {
        strbuf_add_cstr(&line, "Default: ");
        value_print_text(row, row->def, &line);
        strbuf_add_char(&line, '.');
    } else if ((row->flags & SCHEMA_REQUIRED) != 0) {
        strbuf_add_cstr(&line, "Required.");
    } else {
        strbuf_addf(&line, "When absent: %s.", row->absent);
    }
    text(out, line.p);
    fputc('\n', out);
    strbuf_fini(&line);
}

static void settings_of(FILE *out, const char *parent)
{
    for (const struct schema_row *row = schema_next(parent, NULL); row != NULL;
         row = schema_next(parent, row))
        if (!schema_is_group(row))
            setting(out, row);
}

static void group(FILE *out, const struct schema_row *row)
{
    fputs(".SS ", out);
    text(out, row->path);
    fputc('\n', out);
    text(out, row->help);
    if (row->type == SCHEMA_GROUPS)
        fprintf(out, "\n%s.%s",
                (row->flags & SCHEMA_SINGLE) != 0 ? "One group, or a list of groups"
                                                  : "A list of groups",
                (row->flags & SCHEMA_REQUIRED) != 0 ? " Required." : "");
    if (row->absent != NULL) {
        fputs("\nWhen absent: ", out);
        text(out, row->absent);
        fputc('.', out);
    }
    fputc('\n', out);
    settings_of(out, row->path);
}

void conf_print_manual(FILE *out)
{
    fputs(
        ".\\\" Written by the program from its table of settings; a test keeps it true.\n"
        ".TH SLUICE.CONF 5 \"\" \"sluice\" \"File formats\"\n"
        ".SH NAME\nsluice.conf \\- configuration of sluice\n"
        ".SH DESCRIPTION\n"
        "The language is libconfig's:\n.BR \"name = value;\" ,\ngroups in braces, lists of groups "
        "in\nparentheses, arrays in brackets, comments with #, // or /* */.\n"
        ".B @include\nwith a file in quotes, alone on a line, reads another file there, relative "
        "to\nthe folder of the main file. Strings stand on one line.\n"
        ".PP\nDurations are strings with a unit (ms, s, m, h, d), sizes too (b, k, m, g), "
        "percentages\nstrings with a percent sign, rates are written 100/s, 10/m or 5000/h. In any "
        "string ${NAME} and ${NAME:\\-default} stand for the "
        "environment, $$\nfor a dollar.\n"
        ".PP\nThe groups timeouts, limits and log below a pool or a listener replace the "
        "global\nones setting by setting.\n"
        ".B sluice \\-t\nchecks a file,\n.B sluice \\-T\nprints all values that hold.\n"
        ".SH SETTINGS\n.SS Global\n",
        out);
    settings_of(out, "");
    for (const struct schema_row *row = schema_rows; row < schema_rows + schema_n; row++)
        if (schema_is_group(row))
            group(out, row);
    fputs(".SH FILES\n.I /etc/sluice/sluice.conf\n.SH SEE ALSO\n.BR sluice (8)\n.br\n"
          "variables.md and operations.md, which are installed in share/doc/sluice\n",
          out);
}
