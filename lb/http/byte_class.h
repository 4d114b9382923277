/* byte_class.h - what each byte may be part of, by one table look-up. Private to lb/http. */
#ifndef SLUICE_HTTP_BYTE_CLASS_H
#define SLUICE_HTTP_BYTE_CLASS_H

#include <stdbool.h>
#include <stdint.h>

enum byte_class {
    BYTE_TOKEN = 1, /* RFC 9110 section 5.6.2: methods, field names */
    BYTE_VALUE = 2, /* section 5.5: everything but control bytes; tab is none */
    /* A target before its question mark. RFC 3986's pchar, '/', the brackets of addresses, and what
     * browsers send raw in a path (the WHATWG's URL standard): | and ^. Not: " < > ` { } and the
     * backslash, which some servers take for a slash. */
    BYTE_PATH = 4,
    /* Behind it all visible ASCII but '#': clients do send raw { } | ^ ` " < > there, and no parser
     * ends a target or a parameter at one of them. */
    BYTE_QUERY = 8,
    BYTE_UNRESERVED = 16, /* RFC 3986 section 2.3 */
    BYTE_HEX = 32,
    BYTE_DIGIT = 64,
    BYTE_NAME = 128, /* names of fields in HTTP/2: BYTE_TOKEN without capitals */
};

extern const uint8_t byte_classes[256];

static inline bool byte_is(char c, unsigned class)
{
    return (byte_classes[(uint8_t)c] & class) != 0;
}

static inline char byte_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Of a byte that is BYTE_HEX. */
static inline unsigned byte_hex(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c | 0x20) - 'a' + 10;
}

#endif
