/* alloc.c - see alloc.h */
#include "lb/base/alloc.h"

#include "lb/base/assert.h"
#include "lb/base/limits.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn __attribute__((cold)) void out_of_memory(size_t size)
{
    fprintf(stderr, "sluice: out of memory: %zu bytes were refused\n", size);
    exit(1);
}

void *xmalloc(size_t size)
{
    void *p = malloc(size > 0 ? size : 1);
    if (unlikely(p == NULL))
        out_of_memory(size);
    return p;
}

void *xcalloc(size_t n, size_t size)
{
    if (n == 0 || size == 0)
        n = size = 1;
    void *p = calloc(n, size); /* refuses a product that overflows */
    if (unlikely(p == NULL))
        out_of_memory(size > SIZE_MAX / n ? SIZE_MAX : n * size);
    return p;
}

void *xrealloc(void *p, size_t size)
{
    void *q = realloc(p, size > 0 ? size : 1);
    if (unlikely(q == NULL))
        out_of_memory(size);
    return q;
}

void *xaligned(size_t size)
{
    /* Whole lines, so that no neighbour shares the last one. */
    if (unlikely(size > SIZE_MAX - CACHE_LINE))
        out_of_memory(size);
    size_t lines = (size + CACHE_LINE - 1) / CACHE_LINE;
    size_t bytes = (lines > 0 ? lines : 1) * CACHE_LINE;
    void *p = aligned_alloc(CACHE_LINE, bytes);
    if (unlikely(p == NULL))
        out_of_memory(size);
    return memset(p, 0, bytes);
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *p = xmalloc(len + 1);
    memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

char *xasprintf(const char *fmt, ...)
{
    char *p = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&p, fmt, ap);
    va_end(ap);
    if (unlikely(n < 0))
        out_of_memory(0);
    return p;
}
