/* rows.c - see rows.h */
#include "lb/admin/rows.h"

#include "lb/obs/json.h"

#include <inttypes.h>

void rows_begin(struct rows *r, struct strbuf *out, bool json, const char *const *columns,
                uint32_t n_columns)
{
    *r = (struct rows){.out = out, .json = json, .columns = columns, .n_columns = n_columns};
    if (json) {
        strbuf_add_char(out, '[');
        return;
    }
    strbuf_add_char(out, '#');
    for (uint32_t i = 0; i < n_columns; i++)
        strbuf_addf(out, " %s", columns[i]);
    strbuf_add_char(out, '\n');
}

static void before_value(struct rows *r)
{
    if (!r->json) {
        if (r->column > 0)
            strbuf_add_char(r->out, ' ');
        return;
    }
    if (r->column == 0)
        strbuf_add_cstr(r->out, r->n_rows > 0 ? ",{" : "{");
    else
        strbuf_add_char(r->out, ',');
    json_add_string(r->out, str_of(r->columns[r->column]));
    strbuf_add_char(r->out, ':');
}

static void after_value(struct rows *r)
{
    if (++r->column < r->n_columns)
        return;
    strbuf_add_char(r->out, r->json ? '}' : '\n');
    r->column = 0;
    r->n_rows++;
}

void rows_text(struct rows *r, const char *text)
{
    before_value(r);
    if (r->json)
        json_add_string(r->out, str_of(text));
    else
        strbuf_add_cstr(r->out, text[0] != '\0' ? text : "-");
    after_value(r);
}

void rows_number(struct rows *r, int64_t value)
{
    before_value(r);
    strbuf_addf(r->out, "%" PRId64, value);
    after_value(r);
}

void rows_bool(struct rows *r, bool value)
{
    before_value(r);
    if (r->json)
        strbuf_add_cstr(r->out, value ? "true" : "false");
    else
        strbuf_add_char(r->out, value ? '1' : '0');
    after_value(r);
}

void rows_end(struct rows *r)
{
    sl_assert(r->column == 0);
    if (r->json)
        strbuf_add_cstr(r->out, "]\n");
}
