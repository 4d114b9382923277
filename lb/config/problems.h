/* problems.h - mistakes of a configuration, collected while it is read, printed in file order as
 * `FILE:LINE: error: SETTING: found, expected`. */
#ifndef SLUICE_CONFIG_PROBLEMS_H
#define SLUICE_CONFIG_PROBLEMS_H

#include "lb/config/conf_source.h"

struct problem;

/* Zero it to start. Knows the places only once the source has been read: lines are the joined
 * text's until printing. */
struct problems {
    const struct conf_source *source;
    struct problem *items;
    uint32_t n, cap, errors;
};

enum problem_kind { PROBLEM_ERROR, PROBLEM_WARNING };

/* line: of the joined text; 0 when the mistake belongs to no line. At most LIMIT_CONFIG_PROBLEMS
 * are kept, the rest is counted. */
void problems_add(struct problems *p, enum problem_kind kind, uint32_t line, const char *setting,
                  const char *fmt, ...) PRINTF_LIKE(5, 6);
/* The same with the text of the line below it. */
void problems_add_quoted(struct problems *p, uint32_t line, const char *setting, const char *fmt,
                         ...) PRINTF_LIKE(4, 5);
/* A mistake outside the source: file is what was asked for. */
void problems_add_file(struct problems *p, const char *file, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* Sorted by place; those of one line in the order of their adding. */
void problems_print(struct problems *p, struct strbuf *out);
void problems_fini(struct problems *p);

/* Appends s with control bytes and quotes escaped as in the configuration language, within double
 * quotes, cut after max bytes. */
void problems_quote(struct strbuf *out, struct str s, size_t max);

#endif
