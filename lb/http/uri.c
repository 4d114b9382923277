/* uri.c - see uri.h */
#include "lb/http/uri.h"

#include "lb/http/byte_class.h"

#include <arpa/inet.h>

static const struct {
    const char *code, *text;
} results[] = {
    [URI_OK] = {"ok", "a valid path"},
    [URI_NOT_ROOTED] = {"not-rooted", "the path does not begin with a slash"},
    [URI_ABOVE_ROOT] = {"above-root", "the path climbs above the root"},
    [URI_BAD_ESCAPE] = {"bad-escape", "a % without two hexadecimal digits in the path"},
    [URI_ENCODED_SLASH] = {"encoded-slash", "%2F, %5C or a backslash in the path"},
    [URI_ENCODED_NUL] = {"encoded-nul", "%00 in the path"},
    [URI_BAD_BYTE] = {"bad-path-byte", "a byte in the path that may not stand there"},
};

const char *uri_result_code(enum uri_result r)
{
    return (unsigned)r < ARRAY_LEN(results) ? results[r].code : "?";
}

const char *uri_result_text(enum uri_result r)
{
    return (unsigned)r < ARRAY_LEN(results) ? results[r].text : "?";
}

/* ---- paths ---- */

/* Whether nothing is to be decoded, resolved or refused: the usual case, one look at each byte. */
static bool is_plain(struct str path)
{
    for (size_t i = 0; i < path.len; i++) {
        char c = path.p[i];
        if (!byte_is(c, BYTE_PATH) || c == '%' || (c == '.' && i > 0 && path.p[i - 1] == '/'))
            return false;
    }
    return true;
}

/* The byte that s, which begins with %, stands for; -1: malformed. */
static int escaped(struct str s)
{
    if (s.len < 3 || !byte_is(s.p[1], BYTE_HEX) || !byte_is(s.p[2], BYTE_HEX))
        return -1;
    return (int)(16 * byte_hex(s.p[1]) + byte_hex(s.p[2]));
}

static enum uri_result judge_escape(int c, bool keep_encoded_slash)
{
    if (c < 0)
        return URI_BAD_ESCAPE;
    if (c == 0)
        return URI_ENCODED_NUL;
    if ((c == '/' || c == '\\') && !keep_encoded_slash)
        return URI_ENCODED_SLASH;
    return URI_OK;
}

/* RFC 3986 sections 6.2.2.1 and 6.2.2.2: unreserved characters stand for themselves, digits of
 * other escapes are capitals. Never longer than the input. */
static enum uri_result decode_unreserved(struct str path, bool keep_encoded_slash, char *buf,
                                         size_t *out_len)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;

    for (size_t i = 0; i < path.len; i++) {
        char c = path.p[i];
        if (c == '\\')
            return URI_ENCODED_SLASH; /* even where %5C may stay: raw it is no path character */
        if (!byte_is(c, BYTE_PATH))
            return URI_BAD_BYTE;
        if (c != '%') {
            buf[n++] = c;
            continue;
        }
        int value = escaped((struct str){path.p + i, path.len - i});
        enum uri_result r = judge_escape(value, keep_encoded_slash);
        if (r != URI_OK)
            return r;
        if (byte_is((char)value, BYTE_UNRESERVED)) {
            buf[n++] = (char)value;
        } else {
            buf[n++] = '%';
            buf[n++] = digits[value >> 4];
            buf[n++] = digits[value & 15];
        }
        i += 2;
    }
    *out_len = n;
    return URI_OK;
}

/* RFC 3986 section 5.2.4, in place, except that a path which climbs above the root is refused. */
static enum uri_result resolve_dots(char *buf, size_t *len, bool *out_had_dots)
{
    size_t n = 0; /* bytes that are resolved; each segment begins with its slash */

    for (size_t at = 0; at < *len;) {
        const char *slash = memchr(buf + at + 1, '/', *len - at - 1);
        size_t end = slash != NULL ? (size_t)(slash - buf) : *len;
        struct str segment = {buf + at + 1, end - at - 1};
        bool one = str_eq(segment, STR(".")), two = str_eq(segment, STR(".."));

        if (two && n == 0)
            return URI_ABOVE_ROOT;
        if (two) {
            while (buf[--n] != '/')
                ;
        }
        if (!one && !two) {
            memmove(buf + n, buf + at, end - at);
            n += end - at;
        } else {
            *out_had_dots = true;
            if (end == *len) /* "/a/.." is a directory: "/" */
                buf[n++] = '/';
        }
        at = end;
    }
    *len = n;
    return URI_OK;
}

enum uri_result uri_normalise(struct str path, bool keep_encoded_slash, char *buf,
                              struct uri_path *out)
{
    if (path.len == 0 || path.p[0] != '/')
        return URI_NOT_ROOTED;
    if (is_plain(path)) {
        *out = (struct uri_path){.text = path};
        return URI_OK;
    }
    size_t len;
    bool had_dots = false;
    enum uri_result r = decode_unreserved(path, keep_encoded_slash, buf, &len);
    if (r == URI_OK)
        r = resolve_dots(buf, &len, &had_dots);
    if (r != URI_OK)
        return r;
    out->text = (struct str){buf, len};
    out->had_dots = had_dots;
    if (str_eq(out->text, path))
        out->text = path;
    return URI_OK;
}

/* ---- queries ---- */

bool uri_decode(struct str s, bool plus_is_space, char *out, size_t *out_len)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == '%') {
            int value = escaped((struct str){s.p + i, s.len - i});
            if (value < 0)
                return false;
            c = (char)value;
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out[n++] = c;
    }
    *out_len = n;
    return true;
}

bool uri_query_next(struct str *rest, struct str *out_name, struct str *out_value,
                    bool *out_has_value)
{
    while (rest->len > 0) {
        const char *end = memchr(rest->p, '&', rest->len);
        struct str part = {rest->p, end != NULL ? (size_t)(end - rest->p) : rest->len};
        size_t used = end != NULL ? part.len + 1 : part.len;
        rest->p += used;
        rest->len -= used;
        if (part.len == 0)
            continue;
        const char *equals = memchr(part.p, '=', part.len);
        size_t name_len = equals != NULL ? (size_t)(equals - part.p) : part.len;
        size_t value_at = equals != NULL ? name_len + 1 : name_len;
        *out_name = (struct str){part.p, name_len};
        *out_value = (struct str){part.p + value_at, part.len - value_at};
        *out_has_value = equals != NULL;
        return true;
    }
    return false;
}

/* Whether `encoded`, decoded, is `name`. A malformed escape stands for itself. */
static bool decodes_to(struct str encoded, struct str name)
{
    size_t n = 0;
    for (size_t i = 0; i < encoded.len; i++, n++) {
        char c = encoded.p[i];
        int value = c == '%' ? escaped((struct str){encoded.p + i, encoded.len - i}) : -1;
        if (value >= 0) {
            c = (char)value;
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        if (n == name.len || c != name.p[n])
            return false;
    }
    return n == name.len;
}

bool uri_query_find(struct str query, struct str name, struct str *out_value)
{
    struct str found, value;
    bool has_value;
    while (uri_query_next(&query, &found, &value, &has_value)) {
        if (decodes_to(found, name)) {
            *out_value = value;
            return true;
        }
    }
    return false;
}

/* ---- authorities ---- */

/* "[...]" with an IPv6 address inside: no zone, no address of a future version. */
static bool is_ip_literal(struct str s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr ignored;
    if (s.len < 4 || s.len - 2 >= sizeof(text) || s.p[s.len - 1] != ']')
        return false;
    memcpy(text, s.p + 1, s.len - 2);
    text[s.len - 2] = '\0';
    return memchr(text, '\0', s.len - 2) == NULL && inet_pton(AF_INET6, text, &ignored) == 1;
}

/* Of RFC 3986's reg-name the unreserved characters: escapes and the sub-delimiters (comma!) are in
 * no host's name, and two readers could make different hosts of them. */
static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!byte_is(s.p[i], BYTE_UNRESERVED))
            return false;
    }
    return s.len > 0;
}

bool uri_authority(struct str authority, struct str *out_host, struct str *out_port)
{
    bool literal = authority.len > 0 && authority.p[0] == '[';
    const char *bracket = literal ? memchr(authority.p, ']', authority.len) : NULL;
    size_t from = bracket != NULL ? (size_t)(bracket - authority.p) : 0;
    const char *colon =
        authority.len > 0 ? memchr(authority.p + from, ':', authority.len - from) : NULL;
    size_t host_len = colon != NULL ? (size_t)(colon - authority.p) : authority.len;
    struct str host = {authority.p, host_len}, port = {"", 0};
    uint64_t number;

    if (colon != NULL)
        port = (struct str){colon + 1, authority.len - host_len - 1};
    if (literal ? !is_ip_literal(host) : !is_name(host))
        return false;
    if (port.len > 0 && (port.len > 5 || str_u64(port, UINT16_MAX, &number) != 0))
        return false;
    *out_host = host;
    *out_port = port;
    return true;
}
