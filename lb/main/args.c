/* args.c - see args.h */
#include "lb/main/args.h"

#include "lb/base/suggest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct parse {
    const struct arg_row *rows;
    size_t n_rows;
    int argc, at; /* at: the word after the present one */
    char **argv;
    char *error;
};

PRINTF_LIKE(2, 3) static int fail(struct parse *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(p->error, ARGS_ERROR_MAX, fmt, ap);
    va_end(ap);
    return -EINVAL;
}

static int take_value(struct parse *p, const struct arg_row *row, const char *shown,
                      const char *attached)
{
    if (attached == NULL) {
        if (p->at == p->argc)
            return fail(p, "%s needs a value", shown);
        attached = p->argv[p->at++];
    }
    *row->value = attached;
    return 0;
}

static int unknown_name(struct parse *p, const char *word, size_t len)
{
    struct suggest names;
    char name[64];

    snprintf(name, sizeof(name), "%.*s", (int)(len < 60 ? len : 60), word);
    suggest_begin(&names, str_of(name));
    for (size_t i = 0; i < p->n_rows; i++)
        if (p->rows[i].name != NULL)
            suggest_offer(&names, p->rows[i].name);
    const char *near = suggest_best(&names);
    if (near != NULL)
        return fail(p, "unknown option %s (did you mean %s?)", name, near);
    return fail(p, "unknown option %s", name);
}

static int long_option(struct parse *p, const char *word)
{
    const char *eq = strchr(word, '=');
    size_t len = eq != NULL ? (size_t)(eq - word) : strlen(word);

    for (size_t i = 0; i < p->n_rows; i++) {
        const struct arg_row *row = &p->rows[i];
        if (row->name == NULL || strlen(row->name) != len || memcmp(row->name, word, len) != 0)
            continue;
        if (row->value != NULL)
            return take_value(p, row, row->name, eq != NULL ? eq + 1 : NULL);
        if (eq != NULL)
            return fail(p, "%s takes no value", row->name);
        *row->flag = true;
        return 0;
    }
    return unknown_name(p, word, len);
}

static int letters(struct parse *p, const char *word)
{
    for (const char *l = word + 1; *l != '\0'; l++) {
        const char shown[] = {'-', *l, '\0'};
        const struct arg_row *row = NULL;
        for (size_t i = 0; i < p->n_rows && row == NULL; i++)
            if (p->rows[i].letter == *l)
                row = &p->rows[i];
        if (row == NULL)
            return fail(p, "unknown option %s", shown);
        if (row->value != NULL)
            return take_value(p, row, shown, l[1] != '\0' ? l + 1 : NULL);
        *row->flag = true;
    }
    return 0;
}

int args_parse(const struct arg_row *rows, size_t n_rows, enum args_order order, int argc,
               char **argv, int *out_words, char error[static ARGS_ERROR_MAX])
{
    struct parse p = {.rows = rows, .n_rows = n_rows, .argc = argc, .argv = argv, .error = error};
    int words = 0;
    bool options = true;

    error[0] = '\0';
    while (p.at < argc) {
        char *word = argv[p.at++];
        int rc = 0;
        if (!options || word[0] != '-' || word[1] == '\0') {
            argv[words++] = word;
            options = options && order == ARGS_MIXED;
        } else if (strcmp(word, "--") == 0) {
            options = false;
        } else {
            rc = word[1] == '-' ? long_option(&p, word) : letters(&p, word);
        }
        if (rc < 0)
            return rc;
    }
    *out_words = words;
    return 0;
}

static int number_with_unit(const char *text, uint64_t *out_number, const char **out_unit)
{
    const char *end = text;

    while (*end >= '0' && *end <= '9')
        end++;
    int rc = str_u64((struct str){text, (size_t)(end - text)}, UINT64_MAX >> 24, out_number);
    if (rc == 0)
        *out_unit = end;
    return rc;
}

int args_duration_ms(const char *text, uint32_t *out_ms)
{
    static const struct {
        const char *unit;
        uint32_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    uint64_t n, factor = 0;
    const char *unit = "";
    int rc = number_with_unit(text, &n, &unit);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (strcmp(unit, units[i].unit) == 0)
            factor = units[i].ms;
    if (factor == 0 && !(n == 0 && *unit == '\0'))
        return -EINVAL;
    if (n * factor > UINT32_MAX)
        return -ERANGE;
    *out_ms = (uint32_t)(n * factor);
    return 0;
}

int args_size(const char *text, uint64_t max, uint64_t *out_bytes)
{
    uint64_t n;
    const char *unit = "";
    int rc = number_with_unit(text, &n, &unit);

    if (rc < 0)
        return rc;
    if (strcmp(unit, "k") == 0)
        n <<= 10;
    else if (strcmp(unit, "m") == 0)
        n <<= 20;
    else if (*unit != '\0')
        return -EINVAL;
    if (n > max)
        return -ERANGE;
    *out_bytes = n;
    return 0;
}
