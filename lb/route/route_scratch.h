/* route_scratch.h - the working memory of lookups: shared by the files of this folder. */
#ifndef SLUICE_ROUTE_ROUTE_SCRATCH_H
#define SLUICE_ROUTE_ROUTE_SCRATCH_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct route_scratch {
    pcre2_match_data *match;
    pcre2_match_context *context; /* carries the limits */
    pcre2_jit_stack *stack;       /* NULL: the library's own 32 KiB */
    char text[65536];             /* a decoded query value, a path under construction */
};

#endif
