/* json.c - see json.h */
#include "lb/obs/json.h"

/* Length of the UTF-8 sequence at the beginning of s, 0: there is none (RFC 3629: no overlong
 * forms, no surrogates, at most U+10FFFF). */
static size_t utf8_len(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t len;
    unsigned char low = 0x80, high = 0xbf; /* of the second byte */

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        len = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        len = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        len = 4;
    else
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (s.len < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return len;
}

size_t json_char(struct str *rest, char out[static JSON_CHAR_MAX])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)rest->p[0];
    size_t len = utf8_len(*rest);

    if (len > 1) {
        memcpy(out, rest->p, len);
        rest->p += len;
        rest->len -= len;
        return len;
    }
    rest->p++;
    rest->len--;
    if (len == 0) {
        memcpy(out, "\\ufffd", 6);
        return 6;
    }
    if (c < 0x20 || c == 0x7f) {
        const char escaped[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        memcpy(out, escaped, 6);
        return 6;
    }
    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    out[0] = (char)c;
    return 1;
}

void json_add_string(struct strbuf *b, struct str s)
{
    char out[JSON_CHAR_MAX];

    strbuf_add_char(b, '"');
    while (s.len > 0) {
        size_t n = json_char(&s, out);
        strbuf_add(b, out, n);
    }
    strbuf_add_char(b, '"');
}
