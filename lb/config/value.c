/* value.c - see value.h. Two functions per type, store_* and print_*, in one table at the end of
 * the types; what would do is said by value_expected() for all of them. */
#include "lb/config/value.h"

#include "lb/base/assert.h"
#include "lb/base/limits.h"
#include "lb/base/suggest.h"
#include "lb/config/conf.h"
#include "lb/config/problems.h"
#include "lb/config/text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>

struct store {
    const struct schema_row *row;
    struct conf_arena *arena;
    void *base;
    struct value_error *error;
};

struct value_type {
    bool (*store)(const struct store *s, const struct value *v);
    bool (*print)(const struct schema_row *row, const void *base, struct strbuf *out);
};
static const struct value_type types[];

/* ---- messages ---- */

void value_describe(const struct value *v, struct strbuf *out)
{
    switch (v->kind) {
    case VALUE_BOOL:
        strbuf_add_cstr(out, v->boolean ? "true" : "false");
        break;
    case VALUE_INT:
    case VALUE_FLOAT:
        strbuf_add_str(out, v->text);
        break;
    case VALUE_STRING:
        problems_quote(out, v->text, LIMIT_CONFIG_QUOTE);
        break;
    case VALUE_LIST:
        strbuf_addf(out, v->n == 0 ? "an empty list" : "a list");
        break;
    case VALUE_GROUP:
        strbuf_add_cstr(out, "a group");
        break;
    }
}

static void print_words(const struct schema_word *words, struct strbuf *out)
{
    for (const struct schema_word *w = words; w->word != NULL; w++)
        strbuf_addf(out, "%s\"%s\"", w == words ? "" : w[1].word == NULL ? " or " : ", ", w->word);
}

void value_expected(const struct schema_row *row, struct strbuf *out)
{
    switch (row->type) {
    case SCHEMA_GROUP:
    case SCHEMA_OBJECT:
        strbuf_addf(out, "%sa group: { name = value; ... }",
                    (row->flags & SCHEMA_OR_BOOL) != 0 ? "true, false or " : "");
        break;
    case SCHEMA_GROUPS:
        strbuf_addf(out, "%sa list of groups: ( { ... }, { ... } )",
                    (row->flags & SCHEMA_SINGLE) != 0 ? "a group or " : "");
        break;
    case SCHEMA_BOOL:
        strbuf_add_cstr(out, "true or false");
        break;
    case SCHEMA_INT:
        if (row->expected != NULL)
            strbuf_add_cstr(out, row->expected);
        else
            strbuf_addf(out, "a whole number from %lld to %lld", (long long)row->min,
                        (long long)row->max);
        break;
    case SCHEMA_DURATION:
        strbuf_add_cstr(out, "a duration with its unit, from \"");
        value_print_duration((uint64_t)row->min, out);
        strbuf_add_cstr(out, "\" to \"");
        value_print_duration((uint64_t)row->max, out);
        strbuf_add_cstr(out, "\" (ms, s, m, h, d)");
        break;
    case SCHEMA_SIZE:
        strbuf_add_cstr(out, "a size with its unit, from \"");
        value_print_size((uint64_t)row->min, out);
        strbuf_add_cstr(out, "\" to \"");
        value_print_size((uint64_t)row->max, out);
        strbuf_addf(out, "\" (b, k, m, g)%s", row->min == 0 ? "; \"0\" is no limit" : "");
        break;
    case SCHEMA_RATE:
        strbuf_add_cstr(out, "a rate such as \"100/s\", \"10/m\" or \"5000/h\"");
        break;
    case SCHEMA_PERCENT:
        strbuf_addf(out, "a percentage from \"%lld%%\" to \"%lld%%\"", (long long)row->min,
                    (long long)row->max);
        if ((row->flags & SCHEMA_ZERO_OFF) != 0)
            strbuf_add_cstr(out, ", or \"0\" for off");
        break;
    case SCHEMA_ENUM:
        print_words(row->words, out);
        break;
    case SCHEMA_STRING:
    case SCHEMA_STRINGS:
    case SCHEMA_BYTES:
        strbuf_add_cstr(out, row->expected);
        break;
    case SCHEMA_FILE_MODE:
        strbuf_add_cstr(out, "an octal file mode in quotes, from \"000\" to \"777\"");
        break;
    case SCHEMA_BACKEND_ADDRESS:
        strbuf_add_cstr(out, "\"ADDRESS:PORT\", \"[IPV6]:PORT\", \"NAME:PORT\" or \"unix:/PATH\"");
        break;
    case SCHEMA_CHECK_ADDRESS:
        strbuf_add_cstr(out, "\"ADDRESS:PORT\", \"[IPV6]:PORT\" or \"unix:/PATH\"");
        break;
    case SCHEMA_BINDS:
        strbuf_add_cstr(out, "\"ADDRESS:PORT\", \"[IPV6]:PORT\", \"*:PORT\" or \"unix:/PATH\"");
        break;
    case SCHEMA_NETWORKS:
        strbuf_add_cstr(out, "an array of networks such as [ \"10.0.0.0/8\", \"::1\", \"unix\" ]");
        break;
    case SCHEMA_HOST_ADDRESS:
        strbuf_add_cstr(out, "an address without a port such as \"10.0.0.1\" or \"::1\"");
        break;
    case SCHEMA_HASH_KEY:
        strbuf_add_cstr(out, "\"source\", \"path\", \"uri\", \"host\", \"header:NAME\", "
                             "\"cookie:NAME\" or \"query:NAME\"");
        break;
    case SCHEMA_SERVERS:
        strbuf_add_cstr(out, "an array of addresses such as [ \"10.0.0.2\", \"[::1]:53\" ]");
        break;
    case SCHEMA_STATUSES:
        strbuf_addf(out, "status codes from %lld to %lld such as \"200-399\" or \"200,204\"",
                    (long long)row->min, (long long)row->max);
        break;
    case SCHEMA_HTTPS_PORT:
        strbuf_add_cstr(out, "true, false or a port");
        break;
    }
}

void value_range(const struct schema_row *row, struct strbuf *out)
{
    switch (row->type) {
    case SCHEMA_INT:
        if (row->expected != NULL) {
            strbuf_add_cstr(out, row->expected);
            break;
        }
        strbuf_addf(out, "%lld to %lld", (long long)row->min, (long long)row->max);
        if (row->unit != NULL)
            strbuf_addf(out, " %s", row->unit);
        break;
    case SCHEMA_DURATION:
        value_print_duration((uint64_t)row->min, out);
        strbuf_add_cstr(out, " to ");
        value_print_duration((uint64_t)row->max, out);
        break;
    case SCHEMA_SIZE:
        strbuf_addf(out, "%s", row->min == 0 ? "0, " : "");
        value_print_size(row->min == 0 ? 1 : (uint64_t)row->min, out);
        strbuf_add_cstr(out, " to ");
        value_print_size((uint64_t)row->max, out);
        break;
    case SCHEMA_PERCENT:
        strbuf_addf(out, "%s%lld%% to %lld%%", (row->flags & SCHEMA_ZERO_OFF) != 0 ? "0, " : "",
                    (long long)row->min, (long long)row->max);
        break;
    default:
        value_expected(row, out);
    }
}

/* `found ..., expected ...`, with why in brackets where it adds something. */
static bool refuse(const struct store *s, const struct value *v, const char *why)
{
    struct strbuf *text = &s->error->text;

    s->error->line = v->line;
    strbuf_add_cstr(text, "found ");
    if ((s->row->flags & SCHEMA_SECRET) != 0 && v->text.p != NULL)
        strbuf_addf(text, "a text of %zu bytes", v->text.len);
    else
        value_describe(v, text);
    if (why != NULL && strncmp(why, "expected ", strlen("expected ")) == 0) {
        strbuf_addf(text, ", %s", why); /* more exact than the row */
        return false;
    }
    if (why != NULL && why[0] != '\0')
        strbuf_addf(text, " (%s)", why);
    strbuf_add_cstr(text, ", expected ");
    value_expected(s->row, text);
    return false;
}

/* ---- fields ---- */

static void *field(const struct store *s)
{
    return (char *)s->base + s->row->offset;
}

static const void *field_of(const struct schema_row *row, const void *base)
{
    return (const char *)base + row->offset;
}

/* Numbers, enums and bools are kept in 1, 2 or 4 bytes. */
static void put_number(const struct store *s, uint32_t n)
{
    if (s->row->offset == SCHEMA_NO_FIELD)
        return;
    if (s->row->size == sizeof(bool))
        *(bool *)field(s) = n != 0;
    else if (s->row->size == sizeof(uint16_t))
        *(uint16_t *)field(s) = (uint16_t)n;
    else
        memcpy(field(s), &n, sizeof(n));
}

static uint32_t get_number(const struct schema_row *row, const void *base)
{
    uint32_t n;

    if (row->size == sizeof(bool))
        return *(const bool *)field_of(row, base);
    if (row->size == sizeof(uint16_t))
        return *(const uint16_t *)field_of(row, base);
    memcpy(&n, field_of(row, base), sizeof(n));
    return n;
}

/* ---- simple types ---- */

static bool store_bool(const struct store *s, const struct value *v)
{
    if (v->kind == VALUE_BOOL)
        put_number(s, v->boolean);
    else if (v->kind == VALUE_STRING && v->from_env && str_eq_cstr(v->text, "true"))
        put_number(s, true);
    else if (v->kind == VALUE_STRING && v->from_env && str_eq_cstr(v->text, "false"))
        put_number(s, false);
    else
        return refuse(s, v, NULL);
    return true;
}

static bool print_bool(const struct schema_row *row, const void *base, struct strbuf *out)
{
    strbuf_add_cstr(out, get_number(row, base) != 0 ? "true" : "false");
    return true;
}

static bool store_int(const struct store *s, const struct value *v)
{
    int64_t n = v->integer;
    uint64_t parsed;

    if (v->kind == VALUE_STRING && v->from_env) {
        if (str_u64(v->text, INT64_MAX, &parsed) != 0)
            return refuse(s, v, NULL);
        n = (int64_t)parsed;
    } else if (v->kind == VALUE_STRING) {
        return refuse(s, v, "a string");
    } else if (v->kind != VALUE_INT) {
        return refuse(s, v, NULL);
    }
    if (n < s->row->min || n > s->row->max)
        return refuse(s, v, NULL);
    struct strbuf why = {0};
    bool good = s->row->check == NULL || s->row->check(v->text, &why);
    if (good)
        put_number(s, (uint32_t)n);
    else
        refuse(s, v, why.p);
    strbuf_fini(&why);
    return good;
}

static bool print_int(const struct schema_row *row, const void *base, struct strbuf *out)
{
    uint32_t n = get_number(row, base);

    if (n == 0 && row->min > 0) /* not given */
        return false;
    strbuf_addf(out, "%u", n);
    return true;
}

static const struct {
    const char *name;
    uint64_t ms;
} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

/* -EINVAL: no such thing. -ERANGE: a duration, but endless. */
static int parse_duration(struct str text, uint64_t *out_ms)
{
    size_t n = 0;
    uint64_t count;

    while (n < text.len && isdigit((unsigned char)text.p[n]))
        n++;
    struct str unit = {text.p + n, text.len - n};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!str_eq_cstr(unit, units[i].name))
            continue;
        int err = str_u64((struct str){text.p, n}, UINT32_MAX, &count);
        if (err == 0)
            *out_ms = count * units[i].ms;
        return err;
    }
    return -EINVAL;
}

static bool store_duration(const struct store *s, const struct value *v)
{
    uint64_t ms, ignored;

    if (v->kind == VALUE_INT || v->kind == VALUE_FLOAT)
        return refuse(s, v, "a number without a unit");
    if (v->kind != VALUE_STRING)
        return refuse(s, v, NULL);
    if (parse_duration(v->text, &ms) != 0)
        return refuse(
            s, v, str_u64(v->text, UINT64_MAX, &ignored) == 0 ? "a number without a unit" : NULL);
    if (ms < (uint64_t)s->row->min || ms > (uint64_t)s->row->max)
        return refuse(s, v, NULL);
    bool seconds = (s->row->flags & SCHEMA_SECONDS) != 0;
    if (seconds && ms % 1000 != 0)
        return refuse(s, v, "not a whole number of seconds");
    put_number(s, (uint32_t)(seconds ? ms / 1000 : ms));
    return true;
}

void value_print_duration(uint64_t ms, struct strbuf *out)
{
    size_t i = ARRAY_LEN(units) - 2; /* hours; days only hide how many */

    if (ms == 0)
        i = 1;
    while (ms % units[i].ms != 0)
        i--;
    strbuf_addf(out, "%llu%s", (unsigned long long)(ms / units[i].ms), units[i].name);
}

static bool print_duration(const struct schema_row *row, const void *base, struct strbuf *out)
{
    uint64_t ms = get_number(row, base);

    if (ms == 0 && row->min > 0) /* not given */
        return false;
    if ((row->flags & SCHEMA_SECONDS) != 0)
        ms *= 1000;
    strbuf_add_char(out, '"');
    value_print_duration(ms, out);
    strbuf_add_char(out, '"');
    return true;
}

static const struct {
    const char *name;
    unsigned shift;
} size_units[] = {{"b", 0}, {"k", 10}, {"m", 20}, {"g", 30}};

/* -EINVAL: no such thing. -ERANGE: a size, but endless. */
static int parse_size(struct str text, uint64_t *out_bytes)
{
    uint64_t count;

    if (str_eq_cstr(text, "0")) {
        *out_bytes = 0;
        return 0;
    }
    if (text.len == 0)
        return -EINVAL;
    struct str digits = {text.p, text.len - 1}, unit = {text.p + digits.len, 1};
    for (size_t i = 0; i < ARRAY_LEN(size_units); i++) {
        if (!str_eq_cstr(unit, size_units[i].name))
            continue;
        int err = str_u64(digits, UINT64_MAX >> 32, &count);
        if (err == 0)
            *out_bytes = count << size_units[i].shift;
        return err;
    }
    return -EINVAL;
}

static bool store_size(const struct store *s, const struct value *v)
{
    uint64_t bytes, ignored;

    if (v->kind == VALUE_INT || v->kind == VALUE_FLOAT)
        return refuse(s, v, "a number without a unit");
    if (v->kind != VALUE_STRING)
        return refuse(s, v, NULL);
    if (parse_size(v->text, &bytes) != 0)
        return refuse(
            s, v, str_u64(v->text, UINT64_MAX, &ignored) == 0 ? "a number without a unit" : NULL);
    if (bytes < (uint64_t)s->row->min || bytes > (uint64_t)s->row->max)
        return refuse(s, v, NULL);
    if (s->row->size == sizeof(uint64_t))
        memcpy(field(s), &bytes, sizeof(bytes));
    else
        put_number(s, (uint32_t)bytes);
    return true;
}

void value_print_size(uint64_t bytes, struct strbuf *out)
{
    size_t i = ARRAY_LEN(size_units) - 1;

    if (bytes == 0) {
        strbuf_add_char(out, '0');
        return;
    }
    while ((bytes & ((1ULL << size_units[i].shift) - 1)) != 0)
        i--;
    strbuf_addf(out, "%llu%s", (unsigned long long)(bytes >> size_units[i].shift),
                size_units[i].name);
}

static bool print_size(const struct schema_row *row, const void *base, struct strbuf *out)
{
    uint64_t bytes;

    if (row->size == sizeof(bytes))
        memcpy(&bytes, field_of(row, base), sizeof(bytes));
    else
        bytes = get_number(row, base);
    if (bytes == 0 && row->min > 0) /* not given */
        return false;
    strbuf_add_char(out, '"');
    value_print_size(bytes, out);
    strbuf_add_char(out, '"');
    return true;
}

static const struct {
    const char *name;
    uint32_t ms;
} rate_units[] = {{"s", 1000}, {"m", 60000}, {"h", 3600000}};

static bool store_rate(const struct store *s, const struct value *v)
{
    const char *slash = v->kind == VALUE_STRING ? memchr(v->text.p, '/', v->text.len) : NULL;
    uint64_t n;

    if (v->kind == VALUE_INT || v->kind == VALUE_FLOAT)
        return refuse(s, v, "a number without a unit");
    if (slash == NULL)
        return refuse(s, v, NULL);
    struct str digits = {v->text.p, (size_t)(slash - v->text.p)};
    struct str unit = {slash + 1, v->text.len - digits.len - 1};
    for (size_t i = 0; i < ARRAY_LEN(rate_units); i++) {
        if (!str_eq_cstr(unit, rate_units[i].name))
            continue;
        if (str_u64(digits, (uint64_t)s->row->max, &n) != 0 || n < (uint64_t)s->row->min)
            break;
        put_number(s, (uint32_t)n);
        memcpy((char *)s->base + s->row->offset2, &rate_units[i].ms, sizeof(rate_units[i].ms));
        return true;
    }
    return refuse(s, v, NULL);
}

static bool print_rate(const struct schema_row *row, const void *base, struct strbuf *out)
{
    uint32_t ms;
    size_t i = 0;

    memcpy(&ms, (const char *)base + row->offset2, sizeof(ms));
    while (i + 1 < ARRAY_LEN(rate_units) && rate_units[i].ms != ms)
        i++;
    strbuf_addf(out, "\"%u/%s\"", get_number(row, base), rate_units[i].name);
    return ms != 0;
}

static bool store_percent(const struct store *s, const struct value *v)
{
    uint64_t n = 0;
    struct str digits = v->text;

    if (v->kind == VALUE_INT)
        return refuse(s, v, "a number without a unit");
    if (v->kind != VALUE_STRING)
        return refuse(s, v, NULL);
    if (digits.len > 0 && digits.p[digits.len - 1] == '%')
        digits.len--;
    else if (!str_eq_cstr(digits, "0"))
        return refuse(s, v, NULL);
    if (str_u64(digits, UINT32_MAX, &n) != 0)
        return refuse(s, v, NULL);
    bool off = n == 0 && (s->row->flags & SCHEMA_ZERO_OFF) != 0;
    if (!off && (n < (uint64_t)s->row->min || n > (uint64_t)s->row->max))
        return refuse(s, v, NULL);
    put_number(s, (uint32_t)n);
    return true;
}

static bool print_percent(const struct schema_row *row, const void *base, struct strbuf *out)
{
    uint32_t n = get_number(row, base);

    strbuf_addf(out, n == 0 && (row->flags & SCHEMA_ZERO_OFF) != 0 ? "\"%u\"" : "\"%u%%\"", n);
    return true;
}

/* Whether the word is one that a later version brings. */
static bool is_later(const struct schema_row *row, struct str word)
{
    struct strbuf padded = {0};

    if (row->later == NULL || word.len == 0 || memchr(word.p, ' ', word.len) != NULL ||
        memchr(word.p, '\0', word.len) != NULL)
        return false;
    strbuf_addf(&padded, " " STR_FMT " ", STR_ARG(word));
    bool found = str_contains(str_of(row->later), strbuf_str(&padded));
    strbuf_fini(&padded);
    return found;
}

static bool refuse_later(const struct store *s, const struct value *v)
{
    struct strbuf *text = &s->error->text;

    s->error->line = v->line;
    strbuf_add_cstr(text, "found ");
    value_describe(v, text);
    if (s->row->later_note != NULL) {
        strbuf_addf(text, ", %s", s->row->later_note);
        return false;
    }
    strbuf_add_cstr(text, ", which is not available in this version yet, expected ");
    value_expected(s->row, text);
    return false;
}

static bool store_enum(const struct store *s, const struct value *v)
{
    struct suggest suggest;

    if (v->kind != VALUE_STRING)
        return refuse(s, v, NULL);
    suggest_begin(&suggest, v->text);
    for (const struct schema_word *w = s->row->words; w->word != NULL; w++) {
        if (str_eq_cstr(v->text, w->word)) {
            put_number(s, (uint32_t)w->value);
            return true;
        }
        suggest_offer(&suggest, w->word);
    }
    if (is_later(s->row, v->text))
        return refuse_later(s, v);
    refuse(s, v, NULL);
    suggest_print(&suggest, &s->error->text);
    return false;
}

static bool print_enum(const struct schema_row *row, const void *base, struct strbuf *out)
{
    const struct schema_word *w = row->words;

    if (row->offset != SCHEMA_NO_FIELD) {
        uint32_t n = get_number(row, base);
        while (w->word != NULL && (uint32_t)w->value != n)
            w++;
        if (w->word == NULL && row->def == NULL && (row->flags & SCHEMA_REQUIRED) == 0)
            return false; /* not given */
        sl_assert(w->word != NULL);
    }
    strbuf_addf(out, "\"%s\"", w->word);
    return true;
}

static bool store_file_mode(const struct store *s, const struct value *v)
{
    uint32_t mode = 0;

    if (v->kind != VALUE_STRING || v->text.len < 3 || v->text.len > 4)
        return refuse(s, v, NULL);
    for (size_t i = 0; i < v->text.len; i++) {
        if (v->text.p[i] < '0' || v->text.p[i] > '7')
            return refuse(s, v, NULL);
        mode = mode * 8 + (uint32_t)(v->text.p[i] - '0');
    }
    if (mode > s->row->max)
        return refuse(s, v, NULL);
    put_number(s, mode);
    return true;
}

static bool print_file_mode(const struct schema_row *row, const void *base, struct strbuf *out)
{
    strbuf_addf(out, "\"%03o\"", get_number(row, base));
    return true;
}

/* ---- strings ---- */

void value_print_string(struct str s, bool template, struct strbuf *out)
{
    struct strbuf text = {0};

    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '$' && !template)
            strbuf_add_char(&text, '$');
        strbuf_add_char(&text, s.p[i]);
    }
    problems_quote(out, strbuf_str(&text), SIZE_MAX);
    strbuf_fini(&text);
}

static char *copy_string(const struct store *s, struct str text)
{
    char *copy = conf_arena_str(s->arena, text);

    for (size_t i = 0; i < text.len && (s->row->flags & SCHEMA_LOWER) != 0; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] - 'A' + 'a');
    return copy;
}

static bool store_string(const struct store *s, const struct value *v)
{
    struct strbuf why = {0};

    if (v->kind != VALUE_STRING)
        return refuse(s, v, NULL);
    if (v->text.len < (size_t)s->row->min)
        return refuse(s, v, NULL);
    if (is_later(s->row, v->text))
        return refuse_later(s, v);
    if (v->text.len > (size_t)s->row->max) {
        strbuf_addf(&why, "%zu bytes", v->text.len);
        refuse(s, v, why.p);
    } else if (s->row->check != NULL && !s->row->check(v->text, &why)) {
        refuse(s, v, why.p);
    } else {
        *(char **)field(s) = copy_string(s, v->text);
        if (s->row->type == SCHEMA_BYTES)
            *(size_t *)(void *)((char *)s->base + s->row->offset2) = v->text.len;
        strbuf_fini(&why);
        return true;
    }
    strbuf_fini(&why);
    return false;
}

static bool print_string(const struct schema_row *row, const void *base, struct strbuf *out)
{
    const char *text = *(char *const *)field_of(row, base);

    if (text == NULL)
        return false;
    value_print_string(str_of(text), (row->flags & SCHEMA_TEMPLATE) != 0, out);
    return true;
}

static bool print_bytes(const struct schema_row *row, const void *base, struct strbuf *out)
{
    const char *text = *(char *const *)field_of(row, base);

    if (text == NULL)
        return false;
    size_t len = *(const size_t *)(const void *)((const char *)base + row->offset2);
    value_print_string((struct str){text, len}, false, out);
    return true;
}

/* ---- addresses ---- */

/* NULL, or why it will not do. */
static const char *parse_address(struct str text, bool allow_name, bool allow_wildcard,
                                 struct addr_spec *out)
{
    const char *error = "not an address";

    if (memchr(text.p, '\0', text.len) != NULL ||
        addr_parse(text, allow_name, allow_wildcard, out, &error) != 0)
        return error;
    bool is_unix = out->addr.len > 0 && addr_family(&out->addr) == AF_UNIX;
    uint16_t port = out->addr.len > 0 ? addr_port(&out->addr) : out->port;
    return is_unix || port > 0 ? NULL : "port 0";
}

static bool store_backend_address(const struct store *s, const struct value *v)
{
    struct backend_conf *backend = s->base;
    struct addr_spec spec = {0};

    if (v->kind != VALUE_STRING)
        return refuse(s, v, NULL);
    const char *error = parse_address(v->text, true, false, &spec);
    if (error != NULL)
        return refuse(s, v, error);
    backend->address = spec;
    backend->address_text = conf_arena_str(s->arena, v->text);
    return true;
}

static bool print_backend_address(const struct schema_row *row, const void *base,
                                  struct strbuf *out)
{
    const struct backend_conf *backend = base;

    (void)row;
    value_print_string(str_of(backend->address_text), false, out);
    return true;
}

static bool store_check_address(const struct store *s, const struct value *v)
{
    struct addr_spec spec = {0};

    if (v->kind != VALUE_STRING)
        return refuse(s, v, NULL);
    const char *error = parse_address(v->text, false, false, &spec);
    if (error != NULL)
        return refuse(s, v, error);
    *(struct addr *)field(s) = spec.addr;
    return true;
}

static bool print_check_address(const struct schema_row *row, const void *base, struct strbuf *out)
{
    const struct addr *a = field_of(row, base);
    char text[ADDR_TEXT_MAX];

    if (a->len == 0)
        return false;
    value_print_string(str_of(addr_format(a, text)), false, out);
    return true;
}

/* A string stands for a list of it; false with the error said when v is neither. */
static bool as_strings(const struct store *s, const struct value *v, const struct value **out_items,
                       uint32_t *out_n)
{
    if (v->kind == VALUE_STRING) {
        *out_items = v;
        *out_n = 1;
        return true;
    }
    if (v->kind != VALUE_LIST)
        return refuse(s, v, NULL);
    if (v->n < s->row->min || v->n > s->row->max) {
        if (v->n == 0)
            return refuse(s, v, NULL);
        s->error->line = v->line;
        strbuf_addf(&s->error->text, "found %u elements, expected at most %lld", v->n,
                    (long long)s->row->max);
        return false;
    }
    for (uint32_t i = 0; i < v->n; i++)
        if (v->items[i].kind != VALUE_STRING)
            return refuse(s, &v->items[i], NULL);
    *out_items = v->items;
    *out_n = v->n;
    return true;
}

/* A list: where it is and how long. */
static void put_list(const struct store *s, void *items, uint32_t n)
{
    *(void **)field(s) = items;
    memcpy((char *)s->base + s->row->offset2, &n, sizeof(n));
}

static uint32_t list_length(const struct schema_row *row, const void *base)
{
    uint32_t n;

    memcpy(&n, (const char *)base + row->offset2, sizeof(n));
    return n;
}

static bool store_strings(const struct store *s, const struct value *v)
{
    const struct value *items;
    uint32_t n;

    if (!as_strings(s, v, &items, &n))
        return false;
    char **texts = conf_arena_alloc(s->arena, n * sizeof(*texts));
    for (uint32_t i = 0; i < n; i++) {
        struct strbuf why = {0};
        bool good = s->row->check(items[i].text, &why);
        if (good)
            texts[i] = copy_string(s, items[i].text);
        else
            refuse(s, &items[i], why.p);
        strbuf_fini(&why);
        if (!good)
            return false;
    }
    put_list(s, texts, n);
    return true;
}

/* A single one stands without brackets. */
static bool print_strings(const struct schema_row *row, const void *base, struct strbuf *out)
{
    char *const *texts = *(char **const *)field_of(row, base);
    uint32_t n = list_length(row, base);

    if (n == 0 && (row->min > 0 || texts == NULL)) /* not given */
        return false;
    if (n == 0) {
        strbuf_add_cstr(out, "[]");
        return true;
    }
    strbuf_add_cstr(out, n > 1 ? "[ " : "");
    for (uint32_t i = 0; i < n; i++) {
        strbuf_add_cstr(out, i > 0 ? ", " : "");
        value_print_string(str_of(texts[i]), (row->flags & SCHEMA_TEMPLATE) != 0, out);
    }
    strbuf_add_cstr(out, n > 1 ? " ]" : "");
    return true;
}

static bool store_binds(const struct store *s, const struct value *v)
{
    struct listener_conf *listener = s->base;
    const struct value *items;
    uint32_t n;

    if (!as_strings(s, v, &items, &n))
        return false;
    struct addr_spec *binds = conf_arena_alloc(s->arena, n * sizeof(*binds));
    char **texts = conf_arena_alloc(s->arena, n * sizeof(*texts));
    for (uint32_t i = 0; i < n; i++) {
        const char *error = parse_address(items[i].text, false, true, &binds[i]);
        if (error != NULL)
            return refuse(s, &items[i], error);
        texts[i] = conf_arena_str(s->arena, items[i].text);
    }
    listener->binds = binds;
    listener->bind_texts = texts;
    listener->n_binds = n;
    return true;
}

static bool print_binds(const struct schema_row *row, const void *base, struct strbuf *out)
{
    const struct listener_conf *listener = base;

    (void)row;
    if (listener->n_binds > 1)
        strbuf_add_cstr(out, "[ ");
    for (uint32_t i = 0; i < listener->n_binds; i++) {
        strbuf_add_cstr(out, i == 0 ? "" : ", ");
        value_print_string(str_of(listener->bind_texts[i]), false, out);
    }
    if (listener->n_binds > 1)
        strbuf_add_cstr(out, " ]");
    return listener->n_binds > 0;
}

static bool store_networks(const struct store *s, const struct value *v)
{
    const struct value *items;
    uint32_t n;

    if (!as_strings(s, v, &items, &n))
        return false;
    struct addr_net *nets = conf_arena_alloc(s->arena, n * sizeof(*nets));
    for (uint32_t i = 0; i < n; i++) {
        const char *error = "not a network";
        if (addr_net_parse(items[i].text, &nets[i], &error) != 0)
            return refuse(s, &items[i], error);
    }
    put_list(s, nets, n);
    return true;
}

static bool print_networks(const struct schema_row *row, const void *base, struct strbuf *out)
{
    const struct addr_net *nets = *(struct addr_net *const *)field_of(row, base);
    uint32_t n = list_length(row, base);

    if (n == 0 && row->def == NULL) /* not given */
        return false;
    strbuf_add_char(out, '[');
    for (uint32_t i = 0; i < n; i++) {
        const struct addr_net *net = &nets[i];
        char text[INET6_ADDRSTRLEN] = "";
        strbuf_add_cstr(out, i == 0 ? " " : ", ");
        if (net->family == AF_UNIX)
            strbuf_add_cstr(out, "\"unix\"");
        else
            strbuf_addf(out, "\"%s/%u\"", inet_ntop(net->family, net->bytes, text, sizeof(text)),
                        net->bits);
    }
    strbuf_add_cstr(out, n > 0 ? " ]" : "]");
    return true;
}

/* An address without a port: as addr_parse() takes it with one. */
static bool store_host_address(const struct store *s, const struct value *v)
{
    struct strbuf text = {0};
    struct addr_spec spec = {0};

    if (v->kind != VALUE_STRING || memchr(v->text.p, '[', v->text.len) != NULL)
        return refuse(s, v, NULL);
    bool v6 = memchr(v->text.p, ':', v->text.len) != NULL;
    strbuf_addf(&text, "%s" STR_FMT "%s", v6 ? "[" : "", STR_ARG(v->text), v6 ? "]:1" : ":1");
    bool good = parse_address(strbuf_str(&text), false, false, &spec) == NULL &&
                addr_family(&spec.addr) != AF_UNIX;
    strbuf_fini(&text);
    if (!good)
        return refuse(s, v, NULL);
    addr_set_port(&spec.addr, 0);
    *(struct addr *)field(s) = spec.addr;
    return true;
}

static bool print_host_address(const struct schema_row *row, const void *base, struct strbuf *out)
{
    const struct addr *a = field_of(row, base);
    char text[ADDR_TEXT_MAX];

    if (a->len == 0)
        return false;
    value_print_string(str_of(addr_format_host(a, text)), false, out);
    return true;
}

/* ---- hash keys ---- */

static const struct {
    const char *word;
    enum hash_key key;
    bool named; /* word:NAME */
} hash_keys[] = {
    {"source", HASH_SOURCE, false}, {"path", HASH_PATH, false},    {"uri", HASH_URI, false},
    {"host", HASH_HOST, false},     {"header", HASH_HEADER, true}, {"cookie", HASH_COOKIE, true},
    {"query", HASH_QUERY, true},
};

static bool store_hash_key(const struct store *s, const struct value *v)
{
    if (v->kind != VALUE_STRING)
        return refuse(s, v, NULL);
    const char *colon = memchr(v->text.p, ':', v->text.len);
    struct str word = {v->text.p, colon != NULL ? (size_t)(colon - v->text.p) : v->text.len};
    struct str name = {word.p + word.len + (colon != NULL), v->text.len - word.len};
    name.len -= colon != NULL;
    for (size_t i = 0; i < ARRAY_LEN(hash_keys); i++) {
        if (!str_eq_cstr(word, hash_keys[i].word))
            continue;
        if (hash_keys[i].named != (colon != NULL) || (colon != NULL && !text_is_token(name, NULL)))
            return refuse(s, v, hash_keys[i].named ? "it needs a name" : NULL);
        put_number(s, hash_keys[i].key);
        *(char **)(void *)((char *)s->base + s->row->offset2) =
            colon != NULL ? conf_arena_str(s->arena, name) : NULL;
        return true;
    }
    return refuse(s, v, NULL);
}

static bool print_hash_key(const struct schema_row *row, const void *base, struct strbuf *out)
{
    const char *name = *(char *const *)(const void *)((const char *)base + row->offset2);
    struct strbuf text = {0};

    for (size_t i = 0; i < ARRAY_LEN(hash_keys); i++)
        if (hash_keys[i].key == get_number(row, base))
            strbuf_addf(&text, "%s%s%s", hash_keys[i].word, hash_keys[i].named ? ":" : "",
                        hash_keys[i].named ? name : "");
    value_print_string(strbuf_str(&text), false, out);
    strbuf_fini(&text);
    return true;
}

/* Appends an address, given with or without a port, with its port. NULL or why not. */
static const char *add_server(struct str text, struct strbuf *out)
{
    const char *error = NULL;

    for (int form = 0; form < 3; form++) {
        struct strbuf attempt = {0};
        struct addr_spec spec;
        char formatted[ADDR_TEXT_MAX];
        strbuf_addf(&attempt, "%s" STR_FMT "%s", form == 2 ? "[" : "", STR_ARG(text),
                    form == 0   ? ""
                    : form == 1 ? ":53"
                                : "]:53");
        const char *this_error = parse_address(strbuf_str(&attempt), false, false, &spec);
        strbuf_fini(&attempt);
        if (this_error == NULL && addr_family(&spec.addr) == AF_UNIX)
            return "a path";
        if (this_error == NULL) {
            strbuf_addf(out, "%s%s", out->len > 0 ? "," : "", addr_format(&spec.addr, formatted));
            return NULL;
        }
        if (error == NULL)
            error = this_error;
    }
    return error;
}

static bool store_servers(const struct store *s, const struct value *v)
{
    struct strbuf list = {0};
    const struct value *items;
    uint32_t n;

    if (!as_strings(s, v, &items, &n))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const char *error = add_server(items[i].text, &list);
        if (error != NULL) {
            strbuf_fini(&list);
            return refuse(s, &items[i], error);
        }
    }
    *(char **)field(s) = n > 0 ? conf_arena_str(s->arena, strbuf_str(&list)) : NULL;
    strbuf_fini(&list);
    return true;
}

static bool print_servers(const struct schema_row *row, const void *base, struct strbuf *out)
{
    const char *list = *(char *const *)field_of(row, base);
    struct str rest = list != NULL ? str_of(list) : STR("");

    strbuf_add_char(out, '[');
    for (bool first = true; rest.len > 0; first = false) {
        struct str one = str_word(&rest, ",");
        strbuf_addf(out, "%s\"" STR_FMT "\"", first ? " " : ", ", STR_ARG(one));
    }
    strbuf_add_cstr(out, list != NULL ? " ]" : "]");
    return true;
}

/* ---- status codes ---- */

/* "200" or "200-399". */
static bool parse_range(struct str text, const struct schema_row *row, struct status_range *out)
{
    const char *dash = memchr(text.p, '-', text.len);
    struct str from = {text.p, dash != NULL ? (size_t)(dash - text.p) : text.len}, to = from;
    uint64_t low, high;

    if (dash != NULL)
        to = (struct str){dash + 1, text.len - from.len - 1};
    if (str_u64(from, (uint64_t)row->max, &low) != 0 ||
        str_u64(to, (uint64_t)row->max, &high) != 0 || low < (uint64_t)row->min || low > high)
        return false;
    *out = (struct status_range){(uint16_t)low, (uint16_t)high};
    return true;
}

static bool store_statuses(const struct store *s, const struct value *v)
{
    struct health_conf *health = &((struct pool_conf *)s->base)->health;
    struct status_range ranges[ARRAY_LEN(health->status)];
    uint32_t n = 0;

    if (v->kind != VALUE_STRING)
        return refuse(s, v, NULL);
    for (const char *p = v->text.p, *end = p + v->text.len; p <= end; n++) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        struct str one = {p, (size_t)((comma != NULL ? comma : end) - p)};
        if (n == ARRAY_LEN(ranges))
            return refuse(s, v, "more than 16 ranges");
        if (!parse_range(str_trim(one), s->row, &ranges[n]))
            return refuse(s, v, NULL);
        p = (comma != NULL ? comma : end) + 1;
    }
    memcpy(health->status, ranges, n * sizeof(*ranges));
    health->n_status = n;
    return true;
}

static bool print_statuses(const struct schema_row *row, const void *base, struct strbuf *out)
{
    const struct health_conf *health = &((const struct pool_conf *)base)->health;

    (void)row;
    strbuf_add_char(out, '"');
    for (uint32_t i = 0; i < health->n_status; i++) {
        strbuf_addf(out, "%s%u", i == 0 ? "" : ",", health->status[i].from);
        if (health->status[i].to != health->status[i].from)
            strbuf_addf(out, "-%u", health->status[i].to);
    }
    strbuf_add_char(out, '"');
    return true;
}

/* ---- a port of https, or whether to the usual one ---- */

enum { HTTPS_PORT = 443 };

static bool store_https_port(const struct store *s, const struct value *v)
{
    bool number = v->kind == VALUE_INT || (v->kind == VALUE_STRING && v->from_env);
    uint64_t port;

    if (v->kind == VALUE_BOOL)
        put_number(s, v->boolean ? HTTPS_PORT : 0);
    else if (number && str_eq_cstr(v->text, "true"))
        put_number(s, HTTPS_PORT);
    else if (number && str_eq_cstr(v->text, "false"))
        put_number(s, 0);
    else if (number && str_u64(v->text, 65535, &port) == 0 && port > 0)
        put_number(s, (uint32_t)port);
    else
        return refuse(s, v, NULL);
    return true;
}

static bool print_https_port(const struct schema_row *row, const void *base, struct strbuf *out)
{
    uint32_t port = get_number(row, base);

    if (port == 0)
        strbuf_add_cstr(out, "false");
    else
        strbuf_addf(out, "%u", port);
    return true;
}

/* ---- the table of types ---- */

static const struct value_type types[] = {
    [SCHEMA_BOOL] = {store_bool, print_bool},
    [SCHEMA_INT] = {store_int, print_int},
    [SCHEMA_DURATION] = {store_duration, print_duration},
    [SCHEMA_SIZE] = {store_size, print_size},
    [SCHEMA_RATE] = {store_rate, print_rate},
    [SCHEMA_PERCENT] = {store_percent, print_percent},
    [SCHEMA_ENUM] = {store_enum, print_enum},
    [SCHEMA_STRING] = {store_string, print_string},
    [SCHEMA_STRINGS] = {store_strings, print_strings},
    [SCHEMA_BYTES] = {store_string, print_bytes},
    [SCHEMA_FILE_MODE] = {store_file_mode, print_file_mode},
    [SCHEMA_BACKEND_ADDRESS] = {store_backend_address, print_backend_address},
    [SCHEMA_CHECK_ADDRESS] = {store_check_address, print_check_address},
    [SCHEMA_BINDS] = {store_binds, print_binds},
    [SCHEMA_NETWORKS] = {store_networks, print_networks},
    [SCHEMA_HOST_ADDRESS] = {store_host_address, print_host_address},
    [SCHEMA_HASH_KEY] = {store_hash_key, print_hash_key},
    [SCHEMA_SERVERS] = {store_servers, print_servers},
    [SCHEMA_STATUSES] = {store_statuses, print_statuses},
    [SCHEMA_HTTPS_PORT] = {store_https_port, print_https_port},
};

bool value_store(const struct schema_row *row, const struct value *v, struct conf_arena *arena,
                 void *base, struct value_error *error)
{
    struct store s = {row, arena, base, error};
    return types[row->type].store(&s, v);
}

bool value_print(const struct schema_row *row, const void *base, struct strbuf *out)
{
    return types[row->type].print(row, base, out);
}

void value_store_default(const struct schema_row *row, struct conf_arena *arena, void *base)
{
    struct value_error error = {0};
    struct value v = {.kind = VALUE_STRING};

    if (row->def == NULL)
        return;
    v.text = str_of(row->def);
    /* Numbers and booleans convert as those of the environment do. */
    v.from_env =
        row->type == SCHEMA_INT || row->type == SCHEMA_BOOL || row->type == SCHEMA_HTTPS_PORT;
    if (row->type == SCHEMA_NETWORKS || row->type == SCHEMA_SERVERS)
        v.kind = VALUE_LIST; /* an empty one: no row has another */
    bool ok = value_store(row, &v, arena, base, &error);
    sl_assert(ok);
}

void value_print_text(const struct schema_row *row, const char *text, struct strbuf *out)
{
    bool as_is = row->type == SCHEMA_INT || row->type == SCHEMA_BOOL ||
                 row->type == SCHEMA_HTTPS_PORT || row->type == SCHEMA_NETWORKS ||
                 row->type == SCHEMA_SERVERS;

    if (as_is)
        strbuf_add_cstr(out, text);
    else
        value_print_string(str_of(text), (row->flags & SCHEMA_TEMPLATE) != 0, out);
}
