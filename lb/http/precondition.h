/* precondition.h - conditional requests (RFC 9110 section 13), for a representation that is there.
 * Pure. What is malformed is as if it were not there where the client then gets more than it asked
 * for, and fails where it then would change what it does not know. */
#ifndef SLUICE_HTTP_PRECONDITION_H
#define SLUICE_HTTP_PRECONDITION_H

#include "lb/base/str.h"

struct http_head;

struct representation {
    struct str etag;     /* "\"abc\"", or weak: "W/\"abc\""; len 0: it has none */
    uint64_t modified_s; /* since 1970 */
};

enum precondition {
    PRECONDITION_PASSED,
    PRECONDITION_NOT_MODIFIED, /* 304 */
    PRECONDITION_FAILED,       /* 412 */
};

/* In the order of section 13.2.2. now_s: the time, since 1970. */
enum precondition precondition_check(const struct http_head *request,
                                     const struct representation *r, uint64_t now_s) WARN_UNUSED;

/* Whether the Range field is to be looked at: there is no If-Range, or what the client has a part
 * of is this representation, to the byte. */
bool precondition_range(const struct http_head *request, const struct representation *r,
                        uint64_t now_s) WARN_UNUSED;

#endif
