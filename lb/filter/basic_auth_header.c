/* basic_auth_header.c - "Basic" and base64, read strictly: one text has one meaning. RFC 7617. */
#include "lb/filter/basic_auth_priv.h"

#include <strings.h>

/* 0 to 63, or -1. */
static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Length, or -1: not base64, or more than cap bytes. */
static int decode(struct str in, char *out, size_t cap)
{
    size_t n = 0, pad = 0;

    if (in.len == 0 || in.len % 4 != 0)
        return -1;
    while (pad < 2 && in.p[in.len - 1 - pad] == '=')
        pad++;
    if (in.len / 4 * 3 - pad > cap)
        return -1;
    uint32_t bits = 0, held = 0;
    for (size_t i = 0; i < in.len - pad; i++) {
        int d = digit(in.p[i]);
        if (d < 0)
            return -1;
        bits = bits << 6 | (uint32_t)d;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (char)(bits >> held);
        }
    }
    return (bits & ((1u << held) - 1)) == 0 ? (int)n : -1;
}

bool basic_auth_header_parse(struct str value, struct basic_auth_credentials *out)
{
    static const struct str scheme = {"Basic ", 6};

    if (value.len <= scheme.len || strncasecmp(value.p, scheme.p, scheme.len) != 0)
        return false;
    struct str rest = {value.p + scheme.len, value.len - scheme.len};
    while (rest.len > 0 && rest.p[0] == ' ')
        rest = (struct str){rest.p + 1, rest.len - 1};
    int len = decode(rest, out->text, BASIC_AUTH_CREDENTIALS_MAX);
    if (len <= 0)
        return false;
    for (int i = 0; i < len; i++)
        if ((unsigned char)out->text[i] < 0x20 || out->text[i] == 0x7f)
            return false;
    char *colon = memchr(out->text, ':', (size_t)len);
    if (colon == NULL)
        return false;
    *colon = '\0';
    out->text[len] = '\0';
    out->user = out->text;
    out->password = colon + 1;
    out->len = (size_t)len;
    return true;
}
