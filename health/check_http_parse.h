/* check_http_parse.h - enough of an HTTP/1 response to judge a health check; pure.
 *
 * Works on the bytes received so far, from the first on. Follows RFC 9112: status line (section 4),
 * Content-Length and chunked bodies (sections 6, 7); anything else lasts until the end of stream.
 */
#ifndef SLUICE_HEALTH_CHECK_HTTP_PARSE_H
#define SLUICE_HEALTH_CHECK_HTTP_PARSE_H

#include "lb/base/str.h"

enum check_http { CHECK_HTTP_MORE, CHECK_HTTP_DONE, CHECK_HTTP_BAD };

struct check_http_answer {
    uint16_t status; /* 0: not known yet */
    bool head_complete;
    struct str body;     /* of what is there; chunked bodies with their framing */
    const char *problem; /* CHECK_HTTP_BAD: what is wrong, in words */
};

/* DONE when the whole answer is there, or eof ends one of unknown length. 1xx answers are skipped.
 */
enum check_http check_http_parse(struct str in, bool eof, bool head_request,
                                 struct check_http_answer *out);

#endif
