/* problems.c - see problems.h. Messages are formatted when added, places are looked up when
 * printed. */
#include "lb/config/problems.h"

#include "lb/base/alloc.h"
#include "lb/base/limits.h"

#include <stdlib.h>

struct problem {
    enum problem_kind kind;
    uint32_t line; /* of the joined text */
    uint32_t order;
    bool quote;
    char *text; /* after `error: ` */
    char *file; /* instead of a place; else NULL */
};

static struct problem *add(struct problems *p, enum problem_kind kind, uint32_t line)
{
    if (kind == PROBLEM_ERROR)
        p->errors++;
    if (p->n == LIMIT_CONFIG_PROBLEMS)
        return NULL;
    if (p->n == p->cap) {
        p->cap = p->cap == 0 ? 16 : 2 * p->cap;
        p->items = xrealloc(p->items, p->cap * sizeof(*p->items));
    }
    struct problem *item = &p->items[p->n];
    *item = (struct problem){.kind = kind, .line = line, .order = p->n};
    p->n++;
    return item;
}

static char *message(const char *setting, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
static char *message(const char *setting, const char *fmt, va_list ap)
{
    struct strbuf b = {0};

    if (setting != NULL)
        strbuf_addf(&b, "%s: ", setting);
    strbuf_vaddf(&b, fmt, ap);
    return b.p;
}

void problems_add(struct problems *p, enum problem_kind kind, uint32_t line, const char *setting,
                  const char *fmt, ...)
{
    struct problem *item = add(p, kind, line);
    va_list ap;

    if (item == NULL)
        return;
    va_start(ap, fmt);
    item->text = message(setting, fmt, ap);
    va_end(ap);
}

void problems_add_quoted(struct problems *p, uint32_t line, const char *setting, const char *fmt,
                         ...)
{
    struct problem *item = add(p, PROBLEM_ERROR, line);
    va_list ap;

    if (item == NULL)
        return;
    va_start(ap, fmt);
    item->text = message(setting, fmt, ap);
    va_end(ap);
    item->quote = true;
}

void problems_add_file(struct problems *p, const char *file, const char *fmt, ...)
{
    struct problem *item = add(p, PROBLEM_ERROR, 0);
    va_list ap;

    if (item == NULL)
        return;
    va_start(ap, fmt);
    item->text = message(NULL, fmt, ap);
    va_end(ap);
    item->file = xstrdup(file);
}

static int by_place(const void *a, const void *b)
{
    const struct problem *x = a, *y = b;

    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

/* The source line as it stands in the file, its control bytes (but for tabs) shown as dots. */
static void print_line(const struct conf_source *source, uint32_t line, uint32_t shown,
                       struct strbuf *out)
{
    struct str text = conf_source_line(source, line);
    size_t len = text.len < LIMIT_CONFIG_QUOTE ? text.len : LIMIT_CONFIG_QUOTE;

    strbuf_addf(out, "  %5u | ", shown);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        strbuf_add_char(out, c == '\t' ? ' ' : c < 0x20 || c == 0x7f ? '.' : (char)c);
    }
    strbuf_add_cstr(out, len < text.len ? "...\n" : "\n");
}

void problems_print(struct problems *p, struct strbuf *out)
{
    static const char *const kinds[] = {[PROBLEM_ERROR] = "error", [PROBLEM_WARNING] = "warning"};

    if (p->n > 0)
        qsort(p->items, p->n, sizeof(*p->items), by_place);
    for (uint32_t i = 0; i < p->n; i++) {
        const struct problem *item = &p->items[i];
        struct conf_place place = {item->file, 0};

        if (item->file == NULL)
            place = conf_source_place(p->source, item->line);
        strbuf_add_cstr(out, place.file);
        if (place.line > 0)
            strbuf_addf(out, ":%u", place.line);
        strbuf_addf(out, ": %s: %s\n", kinds[item->kind], item->text);
        if (item->quote)
            print_line(p->source, item->line, place.line, out);
    }
    if (p->n == LIMIT_CONFIG_PROBLEMS)
        strbuf_addf(out, "only the first %u problems are shown\n", p->n);
}

void problems_fini(struct problems *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        free(p->items[i].text);
        free(p->items[i].file);
    }
    free(p->items);
    *p = (struct problems){0};
}

void problems_quote(struct strbuf *out, struct str s, size_t max)
{
    size_t len = s.len < max ? s.len : max;

    strbuf_add_char(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        switch (c) {
        case '"':
        case '\\':
            strbuf_add_char(out, '\\');
            strbuf_add_char(out, (char)c);
            break;
        case '\n':
            strbuf_add_cstr(out, "\\n");
            break;
        case '\r':
            strbuf_add_cstr(out, "\\r");
            break;
        case '\t':
            strbuf_add_cstr(out, "\\t");
            break;
        default:
            if (c < 0x20 || c == 0x7f)
                strbuf_addf(out, "\\x%02x", c);
            else
                strbuf_add_char(out, (char)c);
        }
    }
    strbuf_add_cstr(out, len < s.len ? "...\"" : "\"");
}
