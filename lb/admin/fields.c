/* fields.c - see fields.h */
#include "lb/admin/fields.h"

#include "lb/obs/json.h"

#include <inttypes.h>

static const char *const type_names[] = {"", "str", "u32", "s32", "u64"};

void field_add_plain(struct strbuf *out, const struct field_value *v)
{
    switch (v->type) {
    case FIELD_NONE:
        return;
    case FIELD_TEXT:
        strbuf_add_cstr(out, v->text);
        return;
    case FIELD_S32:
        strbuf_addf(out, "%" PRId32, v->s32);
        return;
    case FIELD_U32:
    case FIELD_U64:
        strbuf_addf(out, "%" PRIu64, v->number);
        return;
    }
}

void field_add_csv(struct strbuf *out, const struct field_value *v)
{
    if (v->type != FIELD_TEXT || strpbrk(v->text, "\",\r\n") == NULL) {
        field_add_plain(out, v);
        return;
    }
    strbuf_add_char(out, '"');
    for (const char *p = v->text; *p != '\0'; p++) {
        if (*p == '"')
            strbuf_add_char(out, '"');
        strbuf_add_char(out, *p == '\n' || *p == '\r' ? ' ' : *p);
    }
    strbuf_add_char(out, '"');
}

void field_add_typed(struct strbuf *out, const struct field *f, uint32_t pos,
                     const struct field_value *v, bool desc)
{
    strbuf_addf(out, "%u.%s.1:%s:%s:", pos, f->name, f->tags, type_names[v->type]);
    field_add_plain(out, v);
    if (desc)
        strbuf_addf(out, ":\"%s\"", f->help);
}

static const char *origin_name(char c)
{
    switch (c) {
    case 'M':
        return "Metric";
    case 'S':
        return "Status";
    case 'K':
        return "Key";
    case 'C':
        return "Config";
    default:
        return "Product";
    }
}

static const char *nature_name(char c)
{
    switch (c) {
    case 'A':
        return "Age";
    case 'a':
        return "Avg";
    case 'C':
        return "Counter";
    case 'D':
        return "Duration";
    case 'G':
        return "Gauge";
    case 'L':
        return "Limit";
    case 'M':
        return "Max";
    case 'N':
        return "Name";
    case 'R':
        return "Rate";
    default:
        return "Output";
    }
}

void field_add_json(struct strbuf *out, const struct field *f, uint32_t pos,
                    const struct field_value *v)
{
    strbuf_addf(out,
                "\"field\":{\"pos\":%u,\"name\":\"%s\"},\"processNum\":1,\"tags\":{\"origin\":"
                "\"%s\",\"nature\":\"%s\",\"scope\":\"%s\"},\"value\":{\"type\":\"%s\",\"value\":",
                pos, f->name, origin_name(f->tags[0]), nature_name(f->tags[1]),
                f->tags[2] == 'P' ? "Process" : "Service", type_names[v->type]);
    if (v->type == FIELD_TEXT)
        json_add_string(out, str_of(v->text));
    else
        field_add_plain(out, v);
    strbuf_add_char(out, '}');
}
