/* check_http_parse.h - enough of HTTP/1 to judge the answer to a health check; pure.
 *
 * Takes bytes as they come, in pieces of any size, and says what they are; keeps no more than the
 * beginning of the present line. After RFC 9112: status line (4), header section (5), framing (6),
 * chunked bodies (7). Stricter than a browser where an answer contradicts itself, lenient where
 * servers are known to be sloppy: LF alone ends a line, the reason phrase may be missing. */
#ifndef SLUICE_HEALTH_CHECK_HTTP_PARSE_H
#define SLUICE_HEALTH_CHECK_HTTP_PARSE_H

#include "lb/base/str.h"

enum check_http_event {
    CHECK_HTTP_MORE, /* all that was given is used up */
    CHECK_HTTP_HEAD, /* the final header section is over: `status` is known */
    CHECK_HTTP_BODY, /* a piece of the body, without its framing */
    CHECK_HTTP_DONE, /* the answer is complete; more bytes are none of our business */
    CHECK_HTTP_BAD,  /* `problem` says why; nothing more is to be had */
};

#define CHECK_HTTP_LINE_MAX 255         /* bytes of a line that are kept */
#define CHECK_HTTP_HEAD_MAX (64u << 10) /* bytes of all header sections of an answer */
#define CHECK_HTTP_INTERIM  8           /* 1xx answers before the final one */

struct check_http {
    uint8_t state; /* of check_http_parse.c */
    bool head_request;
    bool chunked, has_length, cut; /* cut: the line is longer than what is kept of it */
    uint8_t interims;
    uint16_t status;     /* 0: not known yet */
    uint32_t head_bytes; /* and of a chunk's size line, while in one */
    uint64_t left;       /* of the body or of the chunk */
    const char *problem; /* CHECK_HTTP_BAD: what is wrong, in words */
    uint16_t line_len;
    char line[CHECK_HTTP_LINE_MAX + 1];
};

/* head_request: the answer has no body whatever its header says. */
void check_http_init(struct check_http *p, bool head_request);
/* Cuts what was looked at off *in. BODY sets *out_body, a part of *in. To be called until it says
 * MORE (then with new bytes), DONE or BAD. */
enum check_http_event check_http_next(struct check_http *p, struct str *in, struct str *out_body);
/* The stream has ended: DONE where that ends the body, else BAD. */
enum check_http_event check_http_eof(struct check_http *p);

#endif
