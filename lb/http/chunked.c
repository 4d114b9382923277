/* chunked.c - see chunked.h
 *
 * One byte at a time through the lines, whole runs through the data. RFC 9112 section 7.1:
 *   chunk      = 1*HEXDIG [ chunk-ext ] CRLF data CRLF
 *   chunk-ext  = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
 * White space between a size and its CRLF, which some read as part of the size, is refused. */
#include "lb/http/chunked.h"

#include "lb/base/assert.h"
#include "lb/http/byte_class.h"

#include <stdbool.h>
#include <string.h>

#define SIZE_DIGITS_MAX     16 /* leading zeros count: some parsers overflow on them */
#define SIZE_MAX_BYTES      (UINT64_C(1) << 60)
#define LINE_EXTENSION_MAX  256
#define TOTAL_EXTENSION_MAX (16u << 10)

enum state {
    SIZE_FIRST, /* 0: a zeroed struct; the first digit */
    SIZE,       /* more digits, or what follows them */
    BEFORE_SEMICOLON,
    NAME_FIRST, /* white space, then a name */
    NAME,
    BEFORE_EQUALS, /* white space behind a name */
    EXT_VALUE_FIRST,
    EXT_TOKEN,
    EXT_QUOTED,
    EXT_ESCAPE, /* behind a backslash in quotes */
    EXT_QUOTED_END,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    ENDED,
};

static const struct {
    const char *code, *text;
} results[] = {
    [CHUNKED_MORE] = {"more", "the body goes on"},
    [CHUNKED_TRAILERS] = {"trailers", "the last chunk"},
    [CHUNKED_BAD_SIZE] = {"bad-chunk-size", "a chunk size that is not hexadecimal digits and CRLF"},
    [CHUNKED_TOO_LARGE] = {"chunk-too-large", "a chunk size beyond 2^60"},
    [CHUNKED_BAD_EXTENSION] = {"bad-chunk-extension", "a malformed chunk extension"},
    [CHUNKED_EXTENSION_TOO_LONG] = {"chunk-extension-too-long", "too much in chunk extensions"},
    [CHUNKED_BAD_END] = {"bad-chunk-end", "no CRLF behind the data of a chunk"},
};

const char *chunked_result_code(enum chunked_result r)
{
    return (unsigned)r < ARRAY_LEN(results) ? results[r].code : "?";
}

const char *chunked_result_text(enum chunked_result r)
{
    return (unsigned)r < ARRAY_LEN(results) ? results[r].text : "?";
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Where an extension is complete: what may follow it. */
static enum chunked_result extension_end(struct chunked *c, char byte, enum state blank)
{
    if (byte == ';')
        c->state = NAME_FIRST;
    else if (byte == '\r')
        c->state = SIZE_LF;
    else if (is_blank(byte))
        c->state = (uint8_t)blank;
    else
        return CHUNKED_BAD_EXTENSION;
    return CHUNKED_MORE;
}

static enum chunked_result to(struct chunked *c, bool ok, enum state next)
{
    if (!ok)
        return CHUNKED_BAD_EXTENSION;
    c->state = (uint8_t)next;
    return CHUNKED_MORE;
}

/* A byte of an extension, in a state from BEFORE_SEMICOLON to EXT_QUOTED_END. */
static enum chunked_result extension_byte(struct chunked *c, char byte)
{
    switch ((enum state)c->state) {
    case BEFORE_SEMICOLON:
        return to(c, is_blank(byte) || byte == ';', byte == ';' ? NAME_FIRST : BEFORE_SEMICOLON);
    case NAME_FIRST:
        if (is_blank(byte))
            return CHUNKED_MORE;
        return to(c, byte_is(byte, BYTE_TOKEN), NAME);
    case NAME:
        if (byte_is(byte, BYTE_TOKEN))
            return CHUNKED_MORE;
        if (byte == '=')
            return to(c, true, EXT_VALUE_FIRST);
        return extension_end(c, byte, BEFORE_EQUALS);
    case BEFORE_EQUALS: /* or before the semicolon of the next */
        if (is_blank(byte))
            return CHUNKED_MORE;
        return to(c, byte == '=' || byte == ';', byte == '=' ? EXT_VALUE_FIRST : NAME_FIRST);
    case EXT_VALUE_FIRST:
        if (is_blank(byte))
            return CHUNKED_MORE;
        if (byte == '"')
            return to(c, true, EXT_QUOTED);
        return to(c, byte_is(byte, BYTE_TOKEN), EXT_TOKEN);
    case EXT_TOKEN:
        if (byte_is(byte, BYTE_TOKEN))
            return CHUNKED_MORE;
        return extension_end(c, byte, BEFORE_SEMICOLON);
    case EXT_QUOTED:
        if (byte == '"')
            return to(c, true, EXT_QUOTED_END);
        return to(c, byte_is(byte, BYTE_VALUE), byte == '\\' ? EXT_ESCAPE : EXT_QUOTED);
    case EXT_ESCAPE:
        return to(c, byte_is(byte, BYTE_VALUE), EXT_QUOTED);
    default: /* EXT_QUOTED_END */
        return extension_end(c, byte, BEFORE_SEMICOLON);
    }
}

static enum chunked_result count_extension(struct chunked *c)
{
    if (++c->line_bytes > LINE_EXTENSION_MAX || ++c->extension_bytes > TOTAL_EXTENSION_MAX)
        return CHUNKED_EXTENSION_TOO_LONG;
    return CHUNKED_MORE;
}

static enum chunked_result size_byte(struct chunked *c, char byte)
{
    if (byte_is(byte, BYTE_HEX)) {
        c->left = c->left << 4 | byte_hex(byte);
        if (c->left > SIZE_MAX_BYTES)
            return CHUNKED_TOO_LARGE;
        c->state = SIZE;
        return ++c->line_bytes > SIZE_DIGITS_MAX ? CHUNKED_BAD_SIZE : CHUNKED_MORE;
    }
    if (c->state == SIZE_FIRST)
        return CHUNKED_BAD_SIZE;
    c->line_bytes = 0; /* from here on it counts the extension */
    switch (byte) {
    case '\r':
        c->state = SIZE_LF;
        return CHUNKED_MORE;
    case ';':
        c->state = NAME_FIRST;
        return count_extension(c);
    case ' ':
    case '\t':
        c->state = BEFORE_SEMICOLON;
        return count_extension(c);
    default:
        return CHUNKED_BAD_SIZE;
    }
}

/* A byte that is not data. */
static enum chunked_result line_byte(struct chunked *c, char byte)
{
    enum chunked_result r;

    switch ((enum state)c->state) {
    case SIZE_FIRST:
    case SIZE:
        return size_byte(c, byte);
    default:
        r = extension_byte(c, byte);
        return r == CHUNKED_MORE && byte != '\r' ? count_extension(c) : r;
    case SIZE_LF:
        if (byte != '\n')
            return CHUNKED_BAD_SIZE;
        c->line_bytes = 0;
        c->state = c->left > 0 ? DATA : ENDED;
        return c->left > 0 ? CHUNKED_MORE : CHUNKED_TRAILERS;
    case DATA_CR:
        c->state = DATA_LF;
        return byte == '\r' ? CHUNKED_MORE : CHUNKED_BAD_END;
    case DATA_LF:
        c->state = SIZE_FIRST;
        return byte == '\n' ? CHUNKED_MORE : CHUNKED_BAD_END;
    }
}

/* Takes what there is of the present chunk's data to the payload's end. */
static uint32_t take_data(struct chunked *c, uint8_t *data, uint32_t at, uint32_t len,
                          struct chunked_out *out)
{
    uint32_t n = len - at;
    if (n > c->left)
        n = (uint32_t)c->left;
    if (out->payload_len == 0)
        out->payload_at = at;
    else
        memmove(data + out->payload_at + out->payload_len, data + at, n);
    out->payload_len += n;
    c->left -= n;
    if (c->left == 0)
        c->state = DATA_CR;
    return n;
}

enum chunked_result chunked_decode(struct chunked *c, uint8_t *data, uint32_t len,
                                   struct chunked_out *out)
{
    uint32_t at = 0;
    enum chunked_result r = CHUNKED_MORE;

    sl_assert(c->state != ENDED);
    *out = (struct chunked_out){0};
    while (at < len && r == CHUNKED_MORE) {
        if (c->state == DATA)
            at += take_data(c, data, at, len, out);
        else
            r = line_byte(c, (char)data[at++]);
    }
    out->used = at;
    if (r > CHUNKED_TRAILERS)
        out->used--; /* the byte that is refused */
    return r;
}

size_t chunk_head(uint64_t len, char out[static CHUNK_HEAD_MAX])
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;
    int shift = len > 0 ? (63 - __builtin_clzll(len)) & ~3 : 0;

    for (; shift >= 0; shift -= 4)
        out[n++] = digits[len >> shift & 15];
    out[n++] = '\r';
    out[n++] = '\n';
    return n;
}
