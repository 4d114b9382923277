/* assert.c - see assert.h */
#include "lb/base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_fail(const char *file, int line, const char *func, const char *cond)
{
    fprintf(stderr, "sluice: %s:%d: %s: assertion failed: %s\n", file, line, func, cond);
    fflush(stderr);
    abort();
}
