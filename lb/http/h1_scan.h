/* h1_scan.h - finds the first byte that is not of a class: plain C, SSE4.2, AVX2. All give the same
 * answer for the same bytes, and none reads beyond `end`. Private to h1_parse.c. */
#ifndef SLUICE_HTTP_H1_SCAN_H
#define SLUICE_HTTP_H1_SCAN_H

#include "lb/http/byte_class.h"

/* The first byte in [p, end) that is not of the class, or end. */
typedef const char *h1_scan_fn(const char *p, const char *end);

struct h1_scan {
    h1_scan_fn *token, *path, *query, *value;
};

static inline const char *scan_class(const char *p, const char *end, unsigned class)
{
    while (p < end && byte_is(*p, class))
        p++;
    return p;
}

static const char *token_plain(const char *p, const char *end)
{
    return scan_class(p, end, BYTE_TOKEN);
}

static const char *path_plain(const char *p, const char *end)
{
    return scan_class(p, end, BYTE_PATH);
}

static const char *query_plain(const char *p, const char *end)
{
    return scan_class(p, end, BYTE_QUERY);
}

static const char *value_plain(const char *p, const char *end)
{
    return scan_class(p, end, BYTE_VALUE);
}

static const struct h1_scan scan_plain = {token_plain, path_plain, query_plain, value_plain};

#ifdef __x86_64__
#include "lb/http/h1_scan_x86.h"
#endif

#endif
