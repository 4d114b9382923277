/* fuzz_uri.c - paths, queries, authorities. First byte: whether encoded slashes are kept.
 *
 * A normal form is normal: normalising it again changes nothing, and no segment of it is a dot
 * segment. What a query's walk finds lies in the query. */
#include "lb/base/assert.h"
#include "lb/http/uri.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_dots(struct str path)
{
    while (path.len > 0) {
        const char *slash = memchr(path.p + 1, '/', path.len - 1);
        size_t len = slash != NULL ? (size_t)(slash - path.p) : path.len;
        struct str segment = {path.p + 1, len - 1};
        if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")))
            return true;
        path.p += len;
        path.len -= len;
    }
    return false;
}

static void check_path(struct str s, bool keep, char *buf, char *buf2)
{
    struct uri_path once, twice;
    enum uri_result r = uri_normalise(s, keep, buf, &once);
    sl_assert(uri_result_code(r)[0] != '?');
    if (r != URI_OK)
        return;
    sl_assert(once.text.len > 0 && once.text.len <= s.len && once.text.p[0] == '/');
    sl_assert(!has_dots(once.text));
    sl_assert(uri_normalise(once.text, keep, buf2, &twice) == URI_OK);
    sl_assert(twice.text.p == once.text.p && !twice.had_dots);
    sl_assert(keep || uri_normalise(s, true, buf2, &twice) == URI_OK);
}

static void check_query(struct str s)
{
    struct str rest = s, name, value, found;
    bool has_value;
    while (uri_query_next(&rest, &name, &value, &has_value)) {
        sl_assert(name.p >= s.p && value.p + value.len <= s.p + s.len);
        sl_assert(has_value || value.len == 0);
        if (memchr(name.p, '%', name.len) == NULL && memchr(name.p, '+', name.len) == NULL)
            sl_assert(uri_query_find(s, name, &found));
    }
    sl_assert(rest.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t n = size - 1, len;
    char *copy = malloc(n), *buf = malloc(n), *buf2 = malloc(n);
    struct str s = {copy, n}, host, port;

    sl_assert(copy != NULL && buf != NULL && buf2 != NULL);
    memcpy(copy, data + 1, n);
    check_path(s, (data[0] & 1) != 0, buf, buf2);
    if (uri_decode(s, (data[0] & 2) != 0, buf, &len))
        sl_assert(len <= n);
    check_query(s);
    if (uri_authority(s, &host, &port))
        sl_assert(host.len > 0 && host.len + port.len <= n && port.len <= 5);
    free(copy);
    free(buf);
    free(buf2);
    return 0;
}
