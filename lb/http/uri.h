/* uri.h - paths, queries and authorities (RFC 3986). Pure.
 *
 * For matching, unreserved characters are decoded, other escapes get upper-case digits, and dot
 * segments are resolved. %2F, %5C and %00 (and a raw backslash) in a path are refused unless the
 * configuration keeps encoded slashes (%2F and %5C then stay as they are; %00 is refused always).
 */
#ifndef SLUICE_HTTP_URI_H
#define SLUICE_HTTP_URI_H

#include "lb/base/str.h"

#include <stdbool.h>

enum uri_result {
    URI_OK,
    URI_NOT_ROOTED,    /* does not begin with a slash */
    URI_ABOVE_ROOT,    /* ".." climbs above the root */
    URI_BAD_ESCAPE,    /* % without two hexadecimal digits */
    URI_ENCODED_SLASH, /* %2F, %5C or a backslash */
    URI_ENCODED_NUL,
    URI_BAD_BYTE,
};
const char *uri_result_code(enum uri_result r);
const char *uri_result_text(enum uri_result r);

struct uri_path {
    struct str text; /* normalised; points at the input when that was normal already */
    bool had_dots;   /* dot segments were present: the normalised path is what goes on */
};
/* buf: at least path.len bytes, used where the normal form differs. Empty segments ("//") stay. */
enum uri_result uri_normalise(struct str path, bool keep_encoded_slash, char *buf,
                              struct uri_path *out);

/* Decodes escapes (and + as space, in queries); false when one is malformed. out: s.len bytes. */
bool uri_decode(struct str s, bool plus_is_space, char *out, size_t *out_len);
/* The next `name[=value]` of a query, not decoded. False at the end. */
bool uri_query_next(struct str *rest, struct str *out_name, struct str *out_value,
                    bool *out_has_value);
/* The first parameter of that name (names compared decoded); value not decoded. */
bool uri_query_find(struct str query, struct str name, struct str *out_value);

/* "host", "host:8080", "[::1]:80" -> host without brackets removed ("[::1]") and port text ("").
 * False when it is none (empty host, user information, bad characters, port above 65535). */
bool uri_authority(struct str authority, struct str *out_host, struct str *out_port);

#endif
