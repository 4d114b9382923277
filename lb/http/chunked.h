/* chunked.h - the chunked transfer coding, both ways (RFC 9112 section 7.1). Pure, incremental.
 *
 * Decoding is in place: the payload of one call is moved together at the front of its bytes.
 * Extensions are refused when malformed and dropped otherwise; bare LF is refused. */
#ifndef SLUICE_HTTP_CHUNKED_H
#define SLUICE_HTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

enum chunked_result {
    CHUNKED_MORE,     /* all was used, the body goes on */
    CHUNKED_TRAILERS, /* the last chunk was seen: the trailer section begins behind out->used */
    CHUNKED_BAD_SIZE,
    CHUNKED_TOO_LARGE, /* a size beyond 2^60 */
    CHUNKED_BAD_EXTENSION,
    CHUNKED_EXTENSION_TOO_LONG, /* of one chunk line: 256 bytes; of a body: 16 KiB */
    CHUNKED_BAD_END,            /* no CRLF behind a chunk's data */
};
const char *chunked_result_code(enum chunked_result r);
const char *chunked_result_text(enum chunked_result r);

/* Zero it to start a body. */
struct chunked {
    uint64_t left; /* bytes of the present chunk's data still to come */
    uint32_t extension_bytes;
    uint16_t line_bytes;
    uint8_t state;
};

struct chunked_out {
    uint32_t used;        /* bytes of the input that were dealt with */
    uint32_t payload_at;  /* where the payload stands now */
    uint32_t payload_len; /* may be 0 */
};

/* Edits data[0..len). On a refusal *out holds what stood before it. */
enum chunked_result chunked_decode(struct chunked *c, uint8_t *data, uint32_t len,
                                   struct chunked_out *out);

#define CHUNK_HEAD_MAX 18 /* 16 hexadecimal digits, CRLF */
/* The line before a chunk of len > 0 bytes; returns its length. CRLF follows the data, which is the
 * caller's to write. */
size_t chunk_head(uint64_t len, char out[static CHUNK_HEAD_MAX]);
#define CHUNK_LAST "0\r\n" /* then trailer fields, then CRLF */

#endif
