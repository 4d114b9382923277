/* range.h - the Range field (RFC 9110 section 14): which bytes of a representation are wanted.
 * Pure.
 *
 * What a request may cost is bounded: few parts, none of which overlaps another, so their sum is at
 * most the whole. A field that asks for more is ignored, as one that is not understood: the whole
 * is an answer to it too. */
#ifndef SLUICE_HTTP_RANGE_H
#define SLUICE_HTTP_RANGE_H

#include "lb/base/str.h"

#define RANGE_PARTS_MAX 16 /* more than readers of PDF and players of video ask for at a time */

struct range_part {
    uint64_t first, len; /* len > 0 */
};

enum range_result {
    RANGE_WHOLE,         /* the field is to be ignored */
    RANGE_PARTS,         /* one part or more */
    RANGE_UNSATISFIABLE, /* 416: it is understood, and nothing of it is there */
};

/* value: of the Range field; size: of the representation, bytes. Parts come in the order in which
 * they were asked for; *out_n is 0 but for RANGE_PARTS. */
enum range_result range_parse(struct str value, uint64_t size,
                              struct range_part out_parts[static RANGE_PARTS_MAX],
                              uint32_t *out_n) WARN_UNUSED;

#define RANGE_TEXT_MAX (6 + 3 * STR_U64_MAX + 2)
/* The value of Content-Range: "bytes 0-9/100"; part NULL: of a 416, with an asterisk for the part.
 * Returns the length. */
size_t range_text(const struct range_part *part, uint64_t size, char out[static RANGE_TEXT_MAX]);

#endif
