/* h1_result.c - the verdicts of h1_parse.h in codes, words and statuses. */
#include "lb/http/h1_parse.h"

static const struct {
    unsigned status;
    const char *code, *text;
} results[] = {
    [H1_MORE] = {0, "more", "the head is not complete"},
    [H1_DONE] = {0, "done", "the head is complete"},
    [H1_BAD_START] = {400, "bad-start", "these bytes do not begin an HTTP/1 message"},
    [H1_BAD_METHOD] = {400, "bad-method", "the method is not a token of at most 32 bytes"},
    [H1_BAD_TARGET] = {400, "bad-target", "the request target is malformed"},
    [H1_BAD_VERSION] = {400, "bad-version", "no HTTP version where it must stand"},
    [H1_VERSION_UNSUPPORTED] = {505, "version-unsupported",
                                "an HTTP version other than 1.0 and 1.1"},
    [H1_BAD_STATUS] = {400, "bad-status", "the status is not a number from 100 to 599"},
    [H1_BARE_CR] = {400, "bare-cr", "a CR without LF behind it"},
    [H1_BARE_LF] = {400, "bare-lf", "a line that ends in LF without CR"},
    [H1_BAD_FIELD_NAME] = {400, "bad-field-name", "a field name that is not a token"},
    [H1_SPACE_BEFORE_COLON] = {400, "space-before-colon", "white space in or behind a field name"},
    [H1_NO_COLON] = {400, "no-colon", "a field line without a colon"},
    [H1_OBS_FOLD] = {400, "obs-fold", "a line that begins with white space"},
    [H1_BAD_FIELD_VALUE] = {400, "bad-field-value", "a control byte in a field value"},
    [H1_HEAD_TOO_LARGE] = {431, "head-too-large", "the head or a field name is too long"},
    [H1_TOO_MANY_FIELDS] = {431, "too-many-fields", "too many fields"},
    [H1_TARGET_TOO_LONG] = {414, "target-too-long", "the request target is too long"},
    [H1_BAD_CONTENT_LENGTH] = {400, "bad-content-length", "Content-Length is not a number"},
    [H1_REPEATED_CONTENT_LENGTH] = {400, "repeated-content-length", "Content-Length stands twice"},
    [H1_LENGTH_AND_CODING] = {400, "length-and-coding",
                              "Content-Length together with Transfer-Encoding"},
    [H1_BAD_CODING] = {400, "bad-coding",
                       "Transfer-Encoding is malformed, repeats chunked, does not end with it, or "
                       "stands in HTTP/1.0"},
    [H1_UNKNOWN_CODING] = {501, "unknown-coding", "a transfer coding other than chunked"},
    [H1_NO_HOST] = {400, "no-host", "an HTTP/1.1 request without Host"},
    [H1_REPEATED_HOST] = {400, "repeated-host", "Host stands twice"},
    [H1_BAD_HOST] = {400, "bad-host", "Host is not a host with an optional port"},
    [H1_HOST_MISMATCH] = {400, "host-mismatch", "Host differs from the host of the target"},
    [H1_BAD_EXPECT] = {417, "bad-expect", "an expectation other than 100-continue"},
    [H1_BAD_PSEUDO_FIELD] = {400, "bad-pseudo-field",
                             "a pseudo-header that is unknown, repeated, missing or misplaced"},
    [H1_CONNECTION_FIELD] = {400, "connection-field",
                             "a field that is for connections of HTTP/1 alone"},
    [H1_UNKNOWN_PROTOCOL] = {501, "unknown-protocol",
                             "an extended CONNECT for something other than a WebSocket"},
};
static_assert(ARRAY_LEN(results) == H1_RESULTS, "a row for each");

const char *h1_result_code(enum h1_result r)
{
    return (unsigned)r < H1_RESULTS ? results[r].code : "?";
}

const char *h1_result_text(enum h1_result r)
{
    return (unsigned)r < H1_RESULTS ? results[r].text : "?";
}

unsigned h1_result_status(enum h1_result r)
{
    return (unsigned)r < H1_RESULTS ? results[r].status : 0;
}
