/* sample.c - etc/sluice.conf: every setting with its help, its range and its default. It loads, and
 * means what an empty file with one pool and one listener would mean. What has no default is shown
 * as an example behind a `#` without a blank. */
#include "lb/config/conf_own.h"
#include "lb/config/schema.h"
#include "lb/config/value.h"

#include <string.h>

enum { COLUMNS = 100 };

struct sample {
    FILE *out;
    unsigned indent;
    const char *mark; /* before a setting: "", "#" for an example, "# " for a remark */
};

static void write_settings(const struct sample *s, const char *parent);

/* Words within the columns, each line a comment. */
static void comment(const struct sample *s, const char *text)
{
    struct str rest = str_of(text);
    int column = 0; /* no line has been begun */

    while (rest.len > 0) {
        struct str word = str_word(&rest, " ");
        if (word.len == 0)
            break;
        if (column == 0 || column + 1 + (int)word.len > COLUMNS) {
            fprintf(s->out, "%s%*s#", column == 0 ? "" : "\n", (int)(4 * s->indent), "");
            column = (int)(4 * s->indent) + 1;
        }
        fprintf(s->out, " " STR_FMT, STR_ARG(word));
        column += 1 + (int)word.len;
    }
    fputc('\n', s->out);
}

static void setting_line(const struct sample *s, const char *mark, const char *name,
                         const char *rest)
{
    fprintf(s->out, "%*s%s%s%s\n", (int)(4 * s->indent), "", mark, name, rest);
}

static const char *mark_of(const struct sample *s, const struct schema_row *row)
{
    bool shown = (row->flags & (SCHEMA_REQUIRED | SCHEMA_SHOWN)) != 0 || row->def != NULL;

    if (schema_is_group(row))
        shown = (row->flags & SCHEMA_OPTIONAL) == 0;
    if ((row->flags & SCHEMA_ASIDE) != 0 || strcmp(s->mark, "# ") == 0)
        return "# ";
    return shown ? s->mark : "#";
}

static void describe(const struct sample *s, const struct schema_row *row)
{
    struct strbuf text = {0};

    comment(s, row->help);
    if (!schema_is_group(row)) {
        strbuf_add_cstr(&text, "Values: ");
        value_range(row, &text);
        strbuf_add_cstr(&text, ". ");
    }
    if (row->absent != NULL)
        strbuf_addf(&text, "When absent: %s. ", row->absent);
    if (row->reload == SCHEMA_RESTART)
        strbuf_add_cstr(&text, "Changes by restart or upgrade (-x) only.");
    if (text.len > 0)
        comment(s, text.p);
    strbuf_fini(&text);
}

static void write_scalar(const struct sample *s, const struct schema_row *row)
{
    struct strbuf rest = {0};

    strbuf_add_cstr(&rest, " = ");
    value_print_text(row, row->def != NULL ? row->def : row->example, &rest);
    strbuf_add_char(&rest, ';');
    setting_line(s, mark_of(s, row), schema_name(row), rest.p);
    strbuf_fini(&rest);
}

static void write_group(const struct sample *s, const struct schema_row *row)
{
    struct sample inner = {s->out, s->indent + 1, mark_of(s, row)};
    bool list = row->type == SCHEMA_GROUPS && (row->flags & SCHEMA_SINGLE) == 0;

    setting_line(s, inner.mark, schema_name(row), list ? " = (" : " = {");
    if (list) {
        setting_line(&inner, inner.mark, "{", "");
        inner.indent++;
        write_settings(&inner, row->path);
        inner.indent--;
        setting_line(&inner, inner.mark, "}", "");
    } else {
        write_settings(&inner, row->path);
    }
    setting_line(s, inner.mark, list ? ");" : "};", "");
}

static void write_settings(const struct sample *s, const char *parent)
{
    for (const struct schema_row *row = schema_next(parent, NULL); row != NULL;
         row = schema_next(parent, row)) {
        if (parent[0] == '\0')
            fputc('\n', s->out);
        describe(s, row);
        if (schema_is_group(row))
            write_group(s, row);
        else
            write_scalar(s, row);
    }
}

void conf_print_sample(FILE *out)
{
    struct sample s = {.out = out, .mark = ""};

    fprintf(
        out,
        "# sluice.conf - every setting with its default.\n"
        "#\n"
        "# Only pools and listeners are needed; what is left out has the value shown here.\n"
        "# A setting behind \"#\" without a blank has no default and stands as an example; one\n"
        "# behind \"# \" does too, but excludes another one or needs a file.\n"
        "# Durations: \"500ms\" \"2s\" \"5m\" \"1h\"; sizes: \"32k\" \"1m\". Strings may hold "
        "${NAME} and\n"
        "# ${NAME:-default} from the environment; a dollar is $$. Another file is read in\n"
        "# place of a line: @include \"FILE\" (relative to this file's folder).\n"
        "# Check with `sluice -t -c FILE`, see what holds with `sluice -T -c FILE`.\n");
    write_settings(&s, "");
}
