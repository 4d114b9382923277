/* h1_parse.h - HTTP/1 heads from bytes, in place. Strict: what two parsers could read differently
 * is refused with a reason, never repaired (RFC 9112, RFC 9110 section 5).
 *
 * Incremental: the caller gives all bytes of the head received so far, always from its first byte;
 * only the new ones are looked at. No allocation, no clock. Scanning uses SSE4.2 or AVX2 where the
 * processor has it (found once), plain C elsewhere; all give the same results, which the fuzzer
 * compares, split at every byte. */
#ifndef SLUICE_HTTP_H1_PARSE_H
#define SLUICE_HTTP_H1_PARSE_H

#include "lb/http/msg.h"

enum h1_result {
    H1_MORE, /* no end of the head yet */
    H1_DONE,
    /* Why it was refused. Requests and responses, unless said. */
    H1_BAD_START,   /* bytes where a method or HTTP/ must stand */
    H1_BAD_METHOD,  /* not a token, or too long */
    H1_BAD_TARGET,  /* control or non-ASCII bytes, space, fragment, bad form, bad authority */
    H1_BAD_VERSION, /* not HTTP/1.x; 505 where it is a version, 400 where it is not */
    H1_VERSION_UNSUPPORTED,
    H1_BAD_STATUS,
    H1_BARE_CR,
    H1_BARE_LF,
    H1_BAD_FIELD_NAME, /* not a token; white space before the colon too */
    H1_SPACE_BEFORE_COLON,
    H1_NO_COLON,
    H1_OBS_FOLD,
    H1_BAD_FIELD_VALUE,    /* control byte, NUL */
    H1_HEAD_TOO_LARGE,     /* 431 */
    H1_TOO_MANY_FIELDS,    /* 431 */
    H1_TARGET_TOO_LONG,    /* 414 */
    H1_BAD_CONTENT_LENGTH, /* not digits, too large, a list of different ones */
    H1_REPEATED_CONTENT_LENGTH,
    H1_LENGTH_AND_CODING, /* Content-Length with Transfer-Encoding */
    H1_BAD_CODING,        /* unknown, repeated, not last, in HTTP/1.0; 501 for unknown ones */
    H1_UNKNOWN_CODING,    /* 501 */
    H1_NO_HOST,           /* 1.1 only */
    H1_REPEATED_HOST,
    H1_BAD_HOST,
    H1_HOST_MISMATCH, /* Host differs from an absolute target's authority */
    H1_BAD_EXPECT,    /* 417 */
    /* HTTP/2 only (h2_head.h). */
    H1_BAD_PSEUDO_FIELD, /* unknown, repeated, missing, behind others, or in trailers */
    H1_CONNECTION_FIELD, /* one that is for a connection of HTTP/1 */
    H1_UNKNOWN_PROTOCOL, /* 501: an extended CONNECT for something else than a WebSocket */
    H1_RESULTS,
};
const char *h1_result_code(enum h1_result r); /* "bad-content-length": for logs and counters */
const char *h1_result_text(enum h1_result r); /* in words */
unsigned h1_result_status(enum h1_result r);  /* what a client is told: 400, 414, 431, 501... */

struct h1_limits {
    uint32_t head_bytes; /* at most HTTP_HEAD_BYTES_MAX */
    uint32_t target_bytes;
    uint16_t fields;
    bool bare_lf; /* responses: lines may end in LF alone (pool setting accept_bare_lf) */
};

/* Zero it to start a head. */
struct h1_parser {
    uint32_t at;   /* looked at up to here; after H1_DONE: bytes of the head, with its empty line */
    uint32_t line; /* parser's own from here on */
    uint8_t state;
    uint8_t flags;
    uint16_t n_fields;
};

/* out: fields and max_fields are the caller's; everything else is filled. Nothing but *p has to
 * live from call to call: mem may move, out and its fields may be others. On H1_DONE out->mem is
 * mem, out->used and out->cap p->at, so that an addition moves the head and spares what follows it.
 * On a refusal out holds what was understood before it (for the log: method_text, target). Empty
 * lines (at most 2) before a request line are passed over (RFC 9112 section 2.2). */
enum h1_result h1_parse_request(struct h1_parser *p, char *mem, uint32_t len,
                                const struct h1_limits *limits, struct http_head *out);
/* to: the method that it answers; decides about the body (HEAD, 1xx, 204, 304: none). Of
 * transfer codings only chunked alone is taken: the payload is framed anew, never decoded. */
enum h1_result h1_parse_response(struct h1_parser *p, char *mem, uint32_t len,
                                 const struct h1_limits *limits, enum http_method to,
                                 struct http_head *out);
/* A trailer section, from its first byte to its empty line. Fields that may not stand in trailers
 * (framing, routing, authentication: RFC 9110 section 6.5.1) are dropped. */
enum h1_result h1_parse_trailers(struct h1_parser *p, char *mem, uint32_t len,
                                 const struct h1_limits *limits, struct http_head *out);

/* For tests and fuzzing: 0 plain C, 1 SSE4.2, 2 AVX2; false when the processor lacks it. */
bool h1_parse_use(int level);

#endif
