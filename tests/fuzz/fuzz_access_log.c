/* fuzz_access_log.c - access lines of whatever clients and backends send: one line each, with the
 * quotes and braces that the format promises; and templates of whatever a configuration says.
 *
 * The first byte chooses the format and what is known; the rest is cut into texts at its newlines:
 * method, target, host, user agent, referer, user, reason, a header's value, the template. */
#include "lb/base/assert.h"
#include "lb/http/msg.h"
#include "lb/obs/access_log.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str next(struct str *rest)
{
    const char *end = memchr(rest->p, '\n', rest->len);
    struct str s = {rest->p, end != NULL ? (size_t)(end - rest->p) : rest->len};

    rest->p += s.len + (end != NULL);
    rest->len -= s.len + (end != NULL);
    return s;
}

/* Unescaped quotes: in combined and httplog an escaped one is \x22 or #22. */
static size_t quotes(const char *line, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += line[i] == '"';
    return n;
}

static void check_json(const char *line, size_t len)
{
    bool inside = false;

    sl_assert(line[0] == '{' && line[len - 1] == '}');
    for (size_t i = 1; i + 1 < len; i++) {
        if (line[i] == '"')
            inside = !inside;
        else if (line[i] == '\\') {
            sl_assert(inside && strchr("\"\\/bfnrtu", line[i + 1]) != NULL);
            i++;
        } else if (!inside) {
            sl_assert(strchr("{}", line[i]) == NULL);
        }
    }
    sl_assert(!inside);
}

static void check_line(const char *line, size_t len)
{
    sl_assert(len > 0 && len <= ACCESS_LINE_MAX && line[len - 1] == '\n');
    for (size_t i = 0; i + 1 < len; i++)
        sl_assert((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
}

static void write_one(const char *format, size_t n_quotes, const struct access_record *r)
{
    const char *error = NULL;
    struct access_format *f = access_format_compile(format, &error);
    char line[ACCESS_LINE_MAX];

    if (f == NULL) {
        sl_assert(error != NULL && error[0] != '\0');
        return;
    }
    access_format_fits(f, false, &error);
    size_t len = access_format_write(f, r, line);
    check_line(line, len);
    if (strcmp(format, "json") == 0)
        check_json(line, len - 1);
    if (n_quotes > 0)
        sl_assert(quotes(line, len) == n_quotes);
    access_format_free(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char mem[HTTP_HEAD_BYTES_MAX];
    struct str rest = {(const char *)data + 1, size - 1};
    struct http_field field;
    struct http_head head = {.mem = mem, .fields = &field, .n_fields = 1, .version = 11};

    if (size < 1 || size > sizeof(mem))
        return 0;
    struct access_http http = {
        .method = next(&rest),
        .uri = next(&rest),
        .host = next(&rest),
        .user_agent = next(&rest),
        .referer = next(&rest),
        .user = next(&rest),
        .status = data[0] & 1 ? 200 : 0,
        .request = &head,
        .response = data[0] & 2 ? &head : NULL,
        .head_us = data[0] & 4 ? 17 : -1,
    };
    char *reason = strndup("why", 3);
    struct str value = next(&rest);
    memcpy(mem, "Cookie", 6);
    memcpy(mem + 6, value.p, value.len > 60000 ? 60000 : value.len);
    field = (struct http_field){.value = {6, (uint16_t)(value.len > 60000 ? 60000 : value.len)},
                                .name_len = 6,
                                .id = HTTP_COOKIE};
    http.reason = reason;
    struct access_record r = {
        .listener = "web",
        .start_wall_us = 1700000000000000 + data[0],
        .end = (enum session_end)(data[0] % N_SESSION_ENDS),
        .http = data[0] & 8 ? NULL : &http,
    };
    struct str shown = next(&rest);
    memcpy(r.detail, shown.p, shown.len < sizeof(r.detail) ? shown.len : sizeof(r.detail) - 1);
    char *template = strndup(rest.p, rest.len);
    write_one("combined", 6, &r);
    write_one("httplog", 2, &r);
    write_one("json", 0, &r);
    write_one("$header_cookie|$cookie_a|$response_header_cookie|$query_x", 0, &r);
    write_one(template, 0, &r);
    free(template);
    free(reason);
    return 0;
}
