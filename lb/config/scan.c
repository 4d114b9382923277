/* scan.c - see scan.h. A lexer and a recursive parser, bounded in depth; it stops at the first
 * mistake, since what follows would be guessed. */
#include "lb/config/scan.h"

#include "lb/base/limits.h"
#include "lb/config/problems.h"

#include <ctype.h>
#include <strings.h>

enum token_type {
    TOKEN_END,
    TOKEN_PUNCT, /* one of = : ; , { } ( ) [ ] */
    TOKEN_NAME,
    TOKEN_STRING, /* text is what stands between the quotes, undecoded */
    TOKEN_INT,
    TOKEN_FLOAT,
    TOKEN_BOOL,
    TOKEN_WORD, /* anything else that stands together */
};

struct token {
    enum token_type type;
    uint32_t line;
    struct str text;
};

struct scan {
    struct conf_arena *arena;
    struct problems *problems;
    const char *p, *end;
    uint32_t line;
    struct token token;   /* the next one, not yet taken */
    uint32_t before_line; /* of the token taken last */
    bool failed;
    unsigned depth;
};

static bool parse_settings(struct scan *s, struct scan_node *group);
static bool parse_value(struct scan *s, struct scan_node *node);

/* ---- lexer ---- */

static void fail(struct scan *s, uint32_t line, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void fail(struct scan *s, uint32_t line, const char *fmt, ...)
{
    struct strbuf b = {0};
    va_list ap;

    if (s->failed)
        return;
    s->failed = true;
    va_start(ap, fmt);
    strbuf_vaddf(&b, fmt, ap);
    va_end(ap);
    problems_add_quoted(s->problems, line, "syntax", "%s", b.p);
    strbuf_fini(&b);
}

static bool at(const struct scan *s, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(s->end - s->p) >= len && memcmp(s->p, text, len) == 0;
}

static void skip_line(struct scan *s)
{
    const char *newline = memchr(s->p, '\n', (size_t)(s->end - s->p));
    s->p = newline != NULL ? newline : s->end;
}

static void skip_block_comment(struct scan *s)
{
    uint32_t begin = s->line;

    for (s->p += 2; s->p < s->end; s->p++) {
        if (at(s, "*/")) {
            s->p += 2;
            return;
        }
        if (*s->p == '\n')
            s->line++;
    }
    fail(s, begin, "found a comment that never ends, expected \"*/\"");
}

static void skip_blank(struct scan *s)
{
    while (s->p < s->end) {
        if (*s->p == '\n') {
            s->line++;
            s->p++;
        } else if (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\f') {
            s->p++;
        } else if (*s->p == '#' || at(s, "//")) {
            skip_line(s);
        } else if (at(s, "/*")) {
            skip_block_comment(s);
        } else {
            return;
        }
    }
}

static bool is_name(struct str w)
{
    if (w.len == 0 || (!isalpha((unsigned char)w.p[0]) && w.p[0] != '*'))
        return false;
    for (size_t i = 0; i < w.len; i++)
        if (!isalnum((unsigned char)w.p[i]) && strchr("-_*", w.p[i]) == NULL)
            return false;
    return true;
}

static size_t digits(struct str w, size_t from, bool hex)
{
    size_t i = from;
    while (i < w.len && (hex ? isxdigit((unsigned char)w.p[i]) : isdigit((unsigned char)w.p[i])))
        i++;
    return i - from;
}

/* The number without sign, prefix and suffix; len 0 when w is not an integer. */
static struct str integer_digits(struct str w, bool *out_hex)
{
    struct str none = {w.p, 0};
    size_t from = w.len > 0 && (w.p[0] == '-' || w.p[0] == '+') ? 1 : 0;

    *out_hex = from == 0 && w.len > 2 && w.p[0] == '0' && (w.p[1] == 'x' || w.p[1] == 'X');
    if (*out_hex)
        from = 2;
    size_t n = digits(w, from, *out_hex);
    struct str suffix = {w.p + from + n, w.len - from - n};
    if (n == 0 || !(suffix.len == 0 || str_eq_cstr(suffix, "L") || str_eq_cstr(suffix, "LL")))
        return none;
    return (struct str){w.p + from, n};
}

static bool is_float(struct str w)
{
    size_t i = w.len > 0 && (w.p[0] == '-' || w.p[0] == '+') ? 1 : 0;
    size_t whole = digits(w, i, false), fraction = 0;
    bool dot = false;

    i += whole;
    if (i < w.len && w.p[i] == '.') {
        dot = true;
        fraction = digits(w, ++i, false);
        i += fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (i == w.len)
        return dot;
    if (w.p[i] != 'e' && w.p[i] != 'E')
        return false;
    i++;
    if (i < w.len && (w.p[i] == '-' || w.p[i] == '+'))
        i++;
    size_t exponent = digits(w, i, false);
    return exponent > 0 && i + exponent == w.len;
}

static bool is_word(const char *text, struct str w)
{
    return w.len == strlen(text) && strncasecmp(w.p, text, w.len) == 0;
}

/* A run of bytes up to a blank, a comment or punctuation. A colon belongs to it unless the run is a
 * name (`name : value`), so that an address without quotes is shown whole. */
static struct token lex_word(struct scan *s)
{
    const char *begin = s->p;
    bool name = isalpha((unsigned char)*begin) || *begin == '*';
    bool hex;

    while (s->p < s->end && !isspace((unsigned char)*s->p) && *s->p != '\0' &&
           strchr("=;,{}()[]\"#", *s->p) == NULL && !(name && *s->p == ':') && !at(s, "//") &&
           !at(s, "/*"))
        s->p++;
    if (s->p == begin)
        s->p++; /* a byte that begins nothing */
    struct token t = {TOKEN_WORD, s->line, {begin, (size_t)(s->p - begin)}};
    if (is_word("true", t.text) || is_word("false", t.text)) {
        t.type = TOKEN_BOOL;
    } else if (is_name(t.text)) {
        t.type = TOKEN_NAME;
    } else if (integer_digits(t.text, &hex).len > 0) {
        t.type = TOKEN_INT;
    } else if (is_float(t.text)) {
        t.type = TOKEN_FLOAT;
    }
    return t;
}

static struct token lex_string(struct scan *s)
{
    const char *begin = ++s->p;

    while (s->p < s->end && *s->p != '"' && *s->p != '\n')
        s->p += *s->p == '\\' && s->p + 1 < s->end && s->p[1] != '\n' ? 2 : 1;
    struct token t = {TOKEN_STRING, s->line, {begin, (size_t)(s->p - begin)}};
    if (s->p >= s->end || *s->p != '"')
        fail(s, s->line,
             "found a string that does not end on its line, expected a closing \" (a "
             "line break within a string is written \\n)");
    else
        s->p++;
    return t;
}

/* Takes the next token into s->token. */
static void next(struct scan *s)
{
    s->before_line = s->token.line;
    skip_blank(s);
    if (s->failed || s->p >= s->end) {
        s->token = (struct token){TOKEN_END, s->line, {s->end, 0}};
    } else if (*s->p == '"') {
        s->token = lex_string(s);
    } else if (*s->p != '\0' && strchr("=:;,{}()[]", *s->p) != NULL) {
        s->token = (struct token){TOKEN_PUNCT, s->line, {s->p++, 1}};
    } else {
        s->token = lex_word(s);
    }
}

static bool is_punct(const struct scan *s, char c)
{
    return s->token.type == TOKEN_PUNCT && s->token.text.p[0] == c;
}

/* What stands there, for messages; valid until the next call. */
static const char *found(const struct scan *s, struct strbuf *b)
{
    strbuf_clear(b);
    if (s->token.type == TOKEN_END) {
        strbuf_add_cstr(b, "the end");
    } else if (s->token.type == TOKEN_STRING) {
        strbuf_add_cstr(b, "the string ");
        problems_quote(b, s->token.text, 60);
    } else {
        problems_quote(b, s->token.text, 60);
    }
    return b->p;
}

/* ---- values ---- */

static int hex_value(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Decodes the escapes that libconfig knows; text may shrink, never grow. */
static size_t decode(struct scan *s, struct str raw, char *out)
{
    static const char letters[] = "nrtf\\\"", values[] = "\n\r\t\f\\\"";
    size_t n = 0;

    for (size_t i = 0; i < raw.len; i++) {
        if (raw.p[i] != '\\') {
            out[n++] = raw.p[i];
            continue;
        }
        char c = i + 1 < raw.len ? raw.p[i + 1] : '\0';
        const char *known = c != '\0' ? strchr(letters, c) : NULL;
        if (known != NULL) {
            out[n++] = values[known - letters];
            i++;
        } else if ((c | 0x20) == 'x' && i + 3 < raw.len && isxdigit((unsigned char)raw.p[i + 2]) &&
                   isxdigit((unsigned char)raw.p[i + 3])) {
            out[n++] = (char)(hex_value(raw.p[i + 2]) * 16 + hex_value(raw.p[i + 3]));
            i += 3;
        } else {
            fail(s, s->token.line,
                 "found the escape \"\\%c\", expected one of \\n \\r \\t \\f \\\" \\\\ \\xHH (a "
                 "backslash is written \\\\)",
                 isprint((unsigned char)c) ? c : ' ');
            return n;
        }
    }
    return n;
}

/* One or more strings next to each other: one value to libconfig. */
static void parse_string(struct scan *s, struct scan_node *node)
{
    struct strbuf joined = {0};
    uint32_t n = 0;

    node->type = SCAN_STRING;
    while (s->token.type == TOKEN_STRING && !s->failed) {
        char *bytes = conf_arena_alloc(s->arena, s->token.text.len + 1);
        struct str part = {bytes, decode(s, s->token.text, bytes)};
        if (n == 0)
            node->text = part;
        if (n > 0) {
            if (n == 1)
                strbuf_add_str(&joined, node->text);
            strbuf_add_str(&joined, part);
        }
        n++;
        next(s);
    }
    if (n > 1) {
        node->joined = n;
        node->text = (struct str){conf_arena_str(s->arena, strbuf_str(&joined)), joined.len};
    }
    strbuf_fini(&joined);
}

static void parse_integer(struct scan *s, struct scan_node *node)
{
    struct str w = s->token.text;
    bool hex, negative = w.p[0] == '-';
    struct str number = integer_digits(w, &hex);
    int64_t value = 0;

    node->type = SCAN_INT;
    node->text = w;
    node->wide = w.p[w.len - 1] == 'L';
    if (!hex && number.len > 1 && number.p[0] == '0')
        fail(s, s->token.line,
             "found the number " STR_FMT ", expected it without leading zeros (a file mode is a "
             "string: \"660\")",
             STR_ARG(w));
    bool fits = true;
    for (size_t i = 0; i < number.len && fits; i++)
        fits = !__builtin_mul_overflow(value, hex ? 16 : 10, &value) &&
               !__builtin_add_overflow(value, hex_value(number.p[i]), &value);
    if (!fits) { /* 1.7 refuses it too, in its own words */
        struct strbuf b = {0};
        fail(s, s->token.line, "found %s, expected a number that fits 64 bits", found(s, &b));
        strbuf_fini(&b);
    }
    node->integer = negative ? -value : value;
    next(s);
}

static void parse_scalar(struct scan *s, struct scan_node *node, enum scan_type type)
{
    node->type = type;
    node->text = s->token.text;
    next(s);
}

static struct scan_node *add_child(struct scan *s, struct scan_node *parent)
{
    struct scan_node *node = conf_arena_alloc(s->arena, sizeof(*node));

    node->line = s->token.line;
    if (parent->last != NULL)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    parent->n++;
    return node;
}

/* True when two elements of an array are of one type to libconfig. */
static bool same_type(const struct scan_node *a, const struct scan_node *b)
{
    return a->type == b->type && a->wide == b->wide;
}

/* After the opening bracket: elements with commas between them, up to the closing one. */
static bool parse_elements(struct scan *s, struct scan_node *parent, char close, uint32_t opened)
{
    const char *what = parent->type == SCAN_LIST ? "list" : "array";
    struct strbuf b = {0};

    while (!s->failed && !is_punct(s, close)) {
        if (s->token.type == TOKEN_NAME && parent->type == SCAN_LIST) {
            fail(s, s->token.line,
                 "found %s in a list, expected a value (settings of one element are written { name "
                 "= value; }, strings in double quotes)",
                 found(s, &b));
            break;
        }
        struct scan_node *node = add_child(s, parent);
        if (!parse_value(s, node))
            break;
        if (parent->type == SCAN_ARRAY &&
            (node->type < SCAN_STRING || !same_type(parent->first, node)))
            fail(s, node->line,
                 "found values of several types in an array, expected one type (and no groups or "
                 "lists; those are elements of a list in round brackets)");
        if (s->failed || is_punct(s, close))
            break;
        if (!is_punct(s, ',')) {
            if (s->token.type == TOKEN_END)
                fail(s, s->token.line,
                     "found the end, expected \"%c\" for the %s opened on line %u", close, what,
                     conf_source_place(s->problems->source, opened).line);
            else
                fail(
                    s, s->token.line,
                    "found %s, expected \",\" or \"%c\" (is a comma missing between two elements?)",
                    found(s, &b), close);
            break;
        }
        next(s);
        if (is_punct(s, close))
            fail(s, s->before_line,
                 "found \",\" before \"%c\", expected another element (the last one of a %s has no "
                 "comma behind it)",
                 close, what);
    }
    strbuf_fini(&b);
    if (!s->failed)
        next(s);
    return !s->failed;
}

static bool parse_aggregate(struct scan *s, struct scan_node *node)
{
    uint32_t opened = s->token.line;
    char open = s->token.text.p[0];
    bool ok;

    if (s->depth == LIMIT_CONFIG_DEPTH) {
        fail(s, opened, "found groups and lists %u deep, expected fewer", s->depth + 1);
        return false;
    }
    s->depth++;
    next(s);
    if (open == '{') {
        node->type = SCAN_GROUP;
        ok = parse_settings(s, node);
        if (ok && !is_punct(s, '}')) {
            struct strbuf b = {0};
            fail(s, s->token.line,
                 "found %s, expected a setting or \"}\" for the group opened on line %u",
                 found(s, &b), conf_source_place(s->problems->source, opened).line);
            strbuf_fini(&b);
            ok = false;
        }
        if (ok)
            next(s);
    } else {
        node->type = open == '(' ? SCAN_LIST : SCAN_ARRAY;
        ok = parse_elements(s, node, open == '(' ? ')' : ']', opened);
    }
    s->depth--;
    return ok && !s->failed;
}

static bool parse_value(struct scan *s, struct scan_node *node)
{
    struct strbuf b = {0};

    switch (s->token.type) {
    case TOKEN_STRING:
        parse_string(s, node);
        break;
    case TOKEN_INT:
        parse_integer(s, node);
        break;
    case TOKEN_FLOAT:
        parse_scalar(s, node, SCAN_FLOAT);
        break;
    case TOKEN_BOOL:
        parse_scalar(s, node, SCAN_BOOL);
        break;
    case TOKEN_NAME:
    case TOKEN_WORD:
        fail(s, s->token.line,
             "found %s, expected a value (text, and numbers with a unit, stand in double quotes)",
             found(s, &b));
        break;
    case TOKEN_PUNCT:
        if (is_punct(s, '{') || is_punct(s, '(') || is_punct(s, '[')) {
            parse_aggregate(s, node);
            break;
        }
        fail(s, s->token.line, "found %s, expected a value", found(s, &b));
        break;
    case TOKEN_END:
        fail(s, s->token.line, "found the end, expected a value");
        break;
    }
    strbuf_fini(&b);
    return !s->failed;
}

/* ---- settings ---- */

static const struct scan_node *find(const struct scan_node *group, struct str name)
{
    for (const struct scan_node *it = group->first; it != NULL; it = it->next)
        if (str_eq(it->name, name))
            return it;
    return NULL;
}

static void parse_setting(struct scan *s, struct scan_node *group)
{
    struct strbuf b = {0};
    const struct scan_node *twin = find(group, s->token.text);

    if (twin != NULL)
        fail(s, s->token.line,
             "found \"" STR_FMT
             "\" a second time in one group, expected it once (first on line %u)",
             STR_ARG(twin->name), conf_source_place(s->problems->source, twin->line).line);
    if (group->n == LIMIT_CONFIG_GROUP)
        fail(s, s->token.line, "found more than %u settings in one group", LIMIT_CONFIG_GROUP);
    if (s->failed)
        return;
    struct scan_node *node = add_child(s, group);
    node->name = s->token.text;
    next(s);
    if (!is_punct(s, '=') && !is_punct(s, ':')) {
        fail(s, s->token.line, "found %s after the name " STR_FMT ", expected \"=\"", found(s, &b),
             STR_ARG(node->name));
    } else {
        next(s);
        if (parse_value(s, node) && (is_punct(s, ';') || is_punct(s, ','))) {
            next(s);
            if (is_punct(s, ';') || is_punct(s, ','))
                fail(s, s->token.line, "found a second %s behind one setting, expected one",
                     found(s, &b));
        }
    }
    strbuf_fini(&b);
}

/* Settings up to something that is none: the closing brace or the end, seen by the caller. */
static bool parse_settings(struct scan *s, struct scan_node *group)
{
    while (!s->failed && s->token.type == TOKEN_NAME)
        parse_setting(s, group);
    return !s->failed;
}

struct scan_node *scan_text(struct conf_arena *arena, struct str text, struct problems *problems)
{
    struct scan s = {.arena = arena,
                     .problems = problems,
                     .p = text.p,
                     .end = text.p + text.len,
                     .line = 1,
                     .token = {.line = 1}};
    struct scan_node *root = conf_arena_alloc(arena, sizeof(*root));
    struct strbuf b = {0};

    root->type = SCAN_GROUP;
    root->line = 1;
    next(&s);
    if (parse_settings(&s, root) && s.token.type != TOKEN_END) {
        if (is_punct(&s, '}'))
            fail(&s, s.token.line, "found \"}\", but no group is open here (one \"}\" too many?)");
        else if (s.token.text.p[0] == '@')
            fail(&s, s.token.line, "found \"@\", expected @include to begin its line");
        else
            fail(&s, s.token.line, "found %s, expected a setting: name = value;", found(&s, &b));
    }
    strbuf_fini(&b);
    return s.failed ? NULL : root;
}
