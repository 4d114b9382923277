/* fuzz_route_regex.c - a pattern and a subject, apart by a line end. Any pattern compiles or says
 * why not; a match is a slice of the subject, and begins with the literal that the index uses. */
#include "lb/base/alloc.h"
#include "lb/route/route_regex.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct route_scratch *scratch;
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    struct strbuf error = {0};

    if (end == NULL || memchr(data, '\0', (size_t)(end - data)) != NULL || end - data > 200)
        return 0;
    if (scratch == NULL)
        scratch = route_scratch_new();
    char *pattern = xstrndup((const char *)data, (size_t)(end - data));
    struct str subject = {(const char *)end + 1, size - (size_t)(end - data) - 1};
    struct str literal = route_regex_literal(pattern);
    struct route_match match;
    struct route_regex *r = route_regex_new(pattern, &error);

    sl_assert(literal.len == 0 || (literal.p[0] == '/' && literal.p[literal.len - 1] == '/'));
    if (r == NULL)
        sl_assert(error.len > 0);
    else if (route_regex_match(r, scratch, subject, &match)) {
        sl_assert(match.n_captures >= 1 && match.n_captures <= ROUTE_CAPTURES);
        sl_assert(str_starts(subject, literal));
        for (uint32_t i = 0; i < ROUTE_CAPTURES; i++) {
            struct str c = match.captures[i];
            sl_assert(c.len == 0 || (c.p >= subject.p && c.p + c.len <= subject.p + subject.len));
        }
    }
    route_regex_free(&r);
    strbuf_fini(&error);
    free(pattern);
    return 0;
}
