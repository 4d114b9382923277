/* route_regex.c - see route_regex.h.
 *
 * What a match may cost: pcre2 counts steps per place where it starts, and between two steps its
 * compiled code may run over the rest of the subject. So the limit is such that (places to start) *
 * (steps) * (length) stays below WORK_MAX; the worst patterns with the worst paths take some 20 ms.
 * Usual patterns need fewer than a hundred steps. The interpreter, which works where memory cannot
 * be made executable, counts each byte that a repeat gives back: it gets two steps per byte, and
 * shorter subjects where it must try every place. */
#include "lb/route/route_regex.h"

#include "lb/base/alloc.h"
#include "lb/route/route_scratch.h"

#include <stdlib.h>

#define WORK_MAX        (1u << 27)
#define STEPS_MAX       20000u
#define HEAP_MAX        1024u /* KiB, where there is no compiled code */
#define JIT_STACK_FIRST (32u << 10)
#define JIT_STACK_MAX   (256u << 10)

struct route_regex {
    pcre2_code *code;
    bool anchored; /* matches at the beginning only */
    bool compiled; /* to machine code */
};

struct route_scratch *route_scratch_new(void)
{
    struct route_scratch *s = xmalloc(sizeof(*s)); /* not zeroed: pages are touched when needed */

    s->match = pcre2_match_data_create(ROUTE_CAPTURES, NULL);
    s->context = pcre2_match_context_create(NULL);
    s->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, NULL);
    sl_assert(s->match != NULL && s->context != NULL);
    pcre2_set_heap_limit(s->context, HEAP_MAX);
    if (s->stack != NULL)
        pcre2_jit_stack_assign(s->context, NULL, s->stack);
    return s;
}

void route_scratch_free(struct route_scratch **s)
{
    if (*s == NULL)
        return;
    pcre2_match_data_free((*s)->match);
    pcre2_match_context_free((*s)->context);
    pcre2_jit_stack_free((*s)->stack);
    free(*s);
    *s = NULL;
}

struct route_regex *route_regex_new(const char *pattern, struct strbuf *error)
{
    int code = 0;
    PCRE2_SIZE at = 0;
    uint32_t options = 0;
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);

    if (compiled == NULL) {
        PCRE2_UCHAR words[160];
        pcre2_get_error_message(code, words, sizeof(words));
        strbuf_addf(error, "%s at character %zu of \"%s\"", (const char *)words, (size_t)at + 1,
                    pattern);
        return NULL;
    }
    struct route_regex *r = xcalloc(1, sizeof(*r));
    r->code = compiled;
    r->compiled = pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE) == 0;
    pcre2_pattern_info(compiled, PCRE2_INFO_ALLOPTIONS, &options);
    r->anchored = (options & PCRE2_ANCHORED) != 0;
    return r;
}

void route_regex_free(struct route_regex **r)
{
    if (*r == NULL)
        return;
    pcre2_code_free((*r)->code);
    free(*r);
    *r = NULL;
}

static uint32_t steps_for(const struct route_regex *r, size_t len)
{
    uint32_t n = (uint32_t)len + 1;
    uint32_t steps = WORK_MAX / n / (r->anchored ? 1 : n);

    if (!r->compiled && steps < 2 * n)
        steps = 2 * n;
    return steps < STEPS_MAX ? steps : STEPS_MAX;
}

bool route_regex_match(const struct route_regex *r, struct route_scratch *s, struct str subject,
                       struct route_match *out)
{
    bool slow = !r->compiled && !r->anchored;

    if (subject.len > (slow ? ROUTE_REGEX_SUBJECT_SLOW_MAX : ROUTE_REGEX_SUBJECT_MAX))
        return false;
    if (subject.len == 0)
        subject.p = "";
    pcre2_set_match_limit(s->context, steps_for(r, subject.len));
    int n = pcre2_match(r->code, (PCRE2_SPTR)subject.p, subject.len, 0, 0, s->match, s->context);
    if (n < 0) /* no match, or a limit */
        return false;
    if (out == NULL)
        return true;
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->match);
    out->n_captures = n == 0 ? ROUTE_CAPTURES : (uint32_t)n; /* 0: there are more groups */
    for (uint32_t i = 0; i < ROUTE_CAPTURES; i++) {
        /* \K in a look-ahead can put the start behind the end. */
        bool set = i < out->n_captures && at[2 * i] != PCRE2_UNSET && at[2 * i] <= at[2 * i + 1];
        out->captures[i] = set ? (struct str){subject.p + at[2 * i], at[2 * i + 1] - at[2 * i]}
                               : (struct str){"", 0};
    }
    return true;
}

/* Behind "[:alpha:]" within a class, or p + 1 where it is none. */
static const char *skip_posix_name(const char *p)
{
    const char *end = p + 1;

    if (*end != ':')
        return end;
    end += 1 + strspn(end + 1, "^abcdefghijklmnopqrstuvwxyz");
    return end[0] == ':' && end[1] == ']' ? end + 2 : p + 1;
}

/* Behind the class that begins at p ("[^]...]", "[[:alpha:]]"), or NULL: it is too odd to follow.
 */
static const char *skip_class(const char *p)
{
    p++;
    if (*p == '^')
        p++;
    if (*p == ']')
        p++;
    while (*p != '\0' && *p != ']') {
        if (*p == '\\' && (p[1] == 'Q' || p[1] == 'E' || p[1] == 'c' || p[1] == '\0'))
            return NULL;
        p = *p == '\\' ? p + 2 : *p == '[' ? skip_posix_name(p) : p + 1;
    }
    return *p == ']' ? p + 1 : NULL;
}

/* Whether there is, or may be, a | that is not in parentheses. */
static bool has_alternatives(const char *p)
{
    int depth = 0;

    while (*p != '\0') {
        if (*p == '\\') {
            if (p[1] == 'Q' || p[1] == 'E' || p[1] == 'c' || p[1] == '\0')
                return true; /* quoting, control bytes: not worth following */
            p += 2;
            continue;
        }
        if (*p == '[') {
            p = skip_class(p);
            if (p == NULL)
                return true;
            continue;
        }
        if ((*p == '(' && (p[1] == '*' || (p[1] == '?' && p[2] == '#'))) || *p == '#')
            return true; /* verbs and comments: the same */
        depth += (*p == '(') - (*p == ')');
        if (*p == '|' && depth <= 0)
            return true;
        p++;
    }
    return false;
}

struct str route_regex_literal(const char *pattern)
{
    const char *from = pattern + 1, *p = from;

    if (pattern[0] != '^' || pattern[1] != '/' || has_alternatives(pattern))
        return STR("");
    while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
           (*p != '\0' && strchr("/_-", *p) != NULL))
        p++;
    if (p > from && *p != '\0' && strchr("*+?{", *p) != NULL)
        p--; /* the last byte is what repeats */
    while (p > from && p[-1] != '/')
        p--;
    return (struct str){from, (size_t)(p - from)};
}
