/* fuzz_template.c - templates with values of any bytes. The input's lines: template, path, query,
 * host, name of a field, its value, a capture. What compiles expands within its room, and no
 * control byte comes out that is not the operator's own. */
#include "lb/http/template.h"
#include "tests/support/http_request.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES = 7 };

static void split(const uint8_t *data, size_t size, struct str out[static LINES])
{
    struct str rest = {size > 0 ? (const char *)data : "", size};

    for (int i = 0; i < LINES; i++) {
        const char *end = rest.len > 0 ? memchr(rest.p, '\n', rest.len) : NULL;
        size_t len = end != NULL && i + 1 < LINES ? (size_t)(end - rest.p) : rest.len;
        out[i] = (struct str){rest.p, len};
        size_t used = len < rest.len ? len + 1 : len;
        rest = (struct str){rest.p + used, rest.len - used};
    }
}

static void expand(const struct http_template *t, const struct http_vars *vars)
{
    static char out[1 << 20];

    for (int what = HTTP_FOR_TEXT; what <= HTTP_FOR_JSON; what++) {
        enum http_template_for for_what = (enum http_template_for)what;
        int len = http_template_expand_for(t, vars, for_what, out, sizeof(out));
        if (len < 0) {
            sl_assert(len == -EMSGSIZE);
            continue;
        }
        for (int i = 0; i < len && http_template_is_line(t); i++)
            sl_assert(((unsigned char)out[i] >= ' ' && out[i] != 0x7f) || out[i] == '\t');
        char *exact = malloc((size_t)len + 1); /* a byte too many is seen by the sanitizer */
        sl_assert(exact != NULL);
        sl_assert(http_template_expand_for(t, vars, for_what, exact, (size_t)len) == len);
        sl_assert(len == 0 || memcmp(exact, out, (size_t)len) == 0);
        if (len > 0)
            sl_assert(http_template_expand_for(t, vars, for_what, exact, (size_t)len - 1) ==
                      -EMSGSIZE);
        free(exact);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str line[LINES];
    struct http_request request;
    const char *error = NULL;
    char name[64] = "x", value[256] = "";

    split(data, size, line);
    struct http_template *t = http_template_compile(line[0], &error);
    if (t == NULL) {
        sl_assert(error != NULL && error[0] != '\0');
        return 0;
    }
    if (line[4].len > 0 && line[4].len < sizeof(name))
        memcpy(name, line[4].p, line[4].len);
    if (line[5].len < sizeof(value))
        memcpy(value, line[5].p, line[5].len);
    http_request_init(&request, "GET");
    http_request_field(&request, name, value);
    http_request_field(&request, "Cookie", value);
    struct http_vars vars = {
        .request = &request.head,
        .response = &request.head,
        .path = line[1],
        .query = line[2],
        .host = line[3],
        .captures = {[1] = line[6], [2] = line[1]},
    };
    expand(t, &vars);
    vars = (struct http_vars){0};
    expand(t, &vars);
    struct str fixed = http_template_fixed(t);
    if (fixed.p != NULL)
        sl_assert(fixed.len <= line[0].len);
    http_template_free(&t);
    return 0;
}
