/* env.c - see env.h. One pass over the bytes; a default is taken as it stands, up to the brace. */
#include "lb/config/env.h"

#include <ctype.h>
#include <stdlib.h>

static bool is_upper_name(struct str s)
{
    if (s.len == 0 || isdigit((unsigned char)s.p[0]))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!isupper((unsigned char)s.p[i]) && !isdigit((unsigned char)s.p[i]) && s.p[i] != '_')
            return false;
    return true;
}

static void add_value(struct strbuf *out, struct str value, bool template)
{
    for (size_t i = 0; i < value.len; i++) {
        if (template && value.p[i] == '$')
            strbuf_add_char(out, '$');
        strbuf_add_char(out, value.p[i]);
    }
}

/* inner: what stands between the braces. As in a shell, a default serves an empty variable too. */
static bool expand_one(struct str inner, bool template, struct strbuf *out, struct strbuf *error)
{
    const char *colon = memchr(inner.p, ':', inner.len);
    struct str name = {inner.p, colon != NULL ? (size_t)(colon - inner.p) : inner.len};
    struct str rest = {inner.p + name.len, inner.len - name.len};

    if (!is_upper_name(name) || (rest.len > 0 && !str_starts(rest, STR(":-")))) {
        strbuf_addf(error,
                    "found \"${" STR_FMT
                    "}\", expected \"${NAME}\" or \"${NAME:-default}\" in upper "
                    "case for the environment",
                    STR_ARG(inner));
        return false;
    }
    char *cname = strndup(name.p, name.len);
    const char *value = cname != NULL ? getenv(cname) : NULL;
    free(cname);
    if (value != NULL && (value[0] != '\0' || rest.len == 0)) {
        add_value(out, str_of(value), template);
        return true;
    }
    if (rest.len > 0) {
        strbuf_add(out, rest.p + 2, rest.len - 2);
        return true;
    }
    strbuf_addf(error,
                "found \"${" STR_FMT "}\", which the environment does not have, expected it set or "
                "with a default: \"${" STR_FMT ":-default}\"",
                STR_ARG(name), STR_ARG(name));
    return false;
}

bool env_expand(struct str in, bool template, struct strbuf *out, bool *out_used,
                struct strbuf *error)
{
    *out_used = false;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.p[i], after = i + 1 < in.len ? in.p[i + 1] : '\0';
        if (c != '$') {
            strbuf_add_char(out, c);
        } else if (after == '$') {
            strbuf_add_cstr(out, template ? "$$" : "$");
            i++;
        } else if (after == '{') {
            const char *begin = in.p + i + 2;
            const char *end = memchr(begin, '}', in.len - i - 2);
            bool variable = template && i + 2 < in.len && !isupper((unsigned char)*begin) &&
                            *begin != '_' && *begin != '}';
            if (end != NULL && variable) { /* ${lower} is the template's */
                strbuf_add(out, in.p + i, (size_t)(end + 1 - in.p) - i);
                i = (size_t)(end - in.p);
                continue;
            }
            if (end == NULL) {
                strbuf_add_cstr(error, "found \"${\" without its \"}\", expected \"${NAME}\" (a "
                                       "dollar is written $$)");
                return false;
            }
            if (!expand_one((struct str){begin, (size_t)(end - begin)}, template, out, error))
                return false;
            *out_used = true;
            i = (size_t)(end - in.p);
        } else if (!template && islower((unsigned char)after)) {
            size_t n = 1;
            while (i + n < in.len && (isalnum((unsigned char)in.p[i + n]) || in.p[i + n] == '_'))
                n++;
            strbuf_addf(error,
                        "found \"%.*s\", but variables of requests and sessions can be used in log "
                        "formats, redirects, answers, rewrites and header values only, expected "
                        "\"${NAME}\" for the environment (a dollar is written $$)",
                        (int)n, in.p + i);
            return false;
        } else {
            strbuf_add_char(out, '$');
        }
    }
    return true;
}
