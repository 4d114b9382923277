/* reference.c - etc/docs/reference.md: all settings as tables, a table per group. */
#include "lb/config/conf_own.h"
#include "lb/config/schema.h"
#include "lb/config/value.h"

/* A cell: `|` would end it. */
static void cell(FILE *out, const char *text, bool code)
{
    fputs(code ? "| `" : "| ", out);
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '|')
            fputc('\\', out);
        fputc(*p, out);
    }
    fputs(code ? "` " : " ", out);
}

static void setting(FILE *out, const struct schema_row *row)
{
    struct strbuf values = {0}, def = {0};

    cell(out, schema_name(row), true);
    value_range(row, &values);
    cell(out, values.p, false);
    if (row->def != NULL) {
        value_print_text(row, row->def, &def);
        cell(out, def.p, true);
    } else {
        cell(out, (row->flags & SCHEMA_REQUIRED) != 0 ? "**required**" : row->absent, false);
    }
    cell(out, row->reload == SCHEMA_RESTART ? "restart" : "reload", false);
    cell(out, row->help, false);
    fputs("|\n", out);
    strbuf_fini(&values);
    strbuf_fini(&def);
}

static void table(FILE *out, const char *parent)
{
    bool any = false;

    for (const struct schema_row *row = schema_next(parent, NULL); row != NULL;
         row = schema_next(parent, row)) {
        if (schema_is_group(row))
            continue;
        if (!any)
            fputs("\n| setting | values | default | changes by | |\n|---|---|---|---|---|\n", out);
        any = true;
        setting(out, row);
    }
}

static void group(FILE *out, const struct schema_row *row)
{
    fprintf(out, "\n## `%s`\n\n%s", row->path, row->help);
    if (row->type == SCHEMA_GROUPS)
        fprintf(out, " %s: `%s = ( { ... }, { ... } );`%s",
                (row->flags & SCHEMA_SINGLE) != 0 ? "One group, or a list of groups"
                                                  : "A list of groups",
                schema_name(row), (row->flags & SCHEMA_REQUIRED) != 0 ? " **Required.**" : "");
    else if ((row->flags & SCHEMA_OR_BOOL) != 0)
        fprintf(out, " A group, `true` or `false`: `%s = { ... };`", schema_name(row));
    else
        fprintf(out, " A group: `%s = { ... };`", schema_name(row));
    if (row->absent != NULL)
        fprintf(out, " When absent: %s.", row->absent);
    fputc('\n', out);
    table(out, row->path);
}

void conf_print_reference(FILE *out)
{
    fputs("# Settings\n\n"
          "Written by the program from its table of settings; a test keeps it true.\n\n"
          "The language is libconfig's: `name = value;`, groups `{ ... }`, lists of groups\n"
          "`( { ... }, { ... } )`, arrays `[ \"a\", \"b\" ]`, comments `#`, `//`, `/* */`.\n"
          "`@include \"FILE\"` alone on a line reads another file there, relative to the folder of "
          "the\n"
          "main file. Strings stand on one line; `\\n \\r \\t \\f \\\" \\\\ \\xHH` are "
          "understood.\n\n"
          "- Durations are strings with a unit: `\"500ms\"`, `\"2s\"`, `\"5m\"`, `\"1h\"`, "
          "`\"1d\"`.\n"
          "- Sizes likewise: `\"512b\"`, `\"32k\"`, `\"1m\"`, `\"2g\"` (k is 1024); `\"0\"`, where "
          "it "
          "is allowed, is\n"
          "  no limit. Rates: `\"100/s\"`, `\"10/m\"`, `\"5000/h\"`. Percentages: `\"10%\"`.\n"
          "- Settings of one mode are mistakes in the other.\n"
          "- In any string `${NAME}` and `${NAME:-default}` stand for the environment (unset "
          "without a\n"
          "  default is an error), `$$` for a dollar. Where a number or a boolean is wanted, a "
          "string\n"
          "  that held a `${}` is converted: `workers = \"${WORKERS:-2}\";`.\n"
          "- `timeouts`, `limits` and `log` below a pool or a listener replace the global ones "
          "setting\n"
          "  by setting.\n"
          "- Which $variables there are in texts: [variables.md](variables.md).\n"
          "- \"changes by\": what makes a change take effect.\n\n"
          "`sluice -t` checks a file, `sluice -T` prints all values that hold.\n\n"
          "## Global\n",
          out);
    table(out, "");
    for (const struct schema_row *row = schema_rows; row < schema_rows + schema_n; row++)
        if (schema_is_group(row))
            group(out, row);
}
