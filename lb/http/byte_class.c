/* byte_class.c - see byte_class.h */
#include "lb/http/byte_class.h"

/* Bytes that have the same classes. */
#define OBS  BYTE_VALUE                /* non-ASCII */
#define V    (BYTE_VALUE | BYTE_QUERY) /* " < > ` { } ( ) etc. by themselves */
#define P    (V | BYTE_PATH)
#define T    (V | BYTE_TOKEN | BYTE_NAME)
#define CAP  (P | BYTE_TOKEN | BYTE_UNRESERVED)
#define CHEX (CAP | BYTE_HEX)
#define PT   (P | BYTE_TOKEN | BYTE_NAME)
#define U    (PT | BYTE_UNRESERVED)
#define DIG  (U | BYTE_DIGIT | BYTE_HEX)
#define HEX  (U | BYTE_HEX)
#define W    BYTE_VALUE /* space, tab */
#define HASH (BYTE_VALUE | BYTE_TOKEN | BYTE_NAME)

const uint8_t byte_classes[256] = {
    ['\t'] = W,          [' '] = W,
    ['!'] = PT,          ['"'] = V,
    ['#'] = HASH,        ['$'] = PT,
    ['%'] = PT,          ['&'] = PT,
    ['\''] = PT,         ['('] = P,
    [')'] = P,           ['*'] = PT,
    ['+'] = PT,          [','] = P,
    ['-'] = U,           ['.'] = U,
    ['/'] = P,           ['0' ... '9'] = DIG,
    [':'] = P,           [';'] = P,
    ['<'] = V,           ['='] = P,
    ['>'] = V,           ['?'] = V,
    ['@'] = P,           ['A' ... 'F'] = CHEX,
    ['G' ... 'Z'] = CAP, ['['] = P,
    ['\\'] = V,          [']'] = P,
    ['^'] = PT,          ['_'] = U,
    ['`'] = T,           ['a' ... 'f'] = HEX,
    ['g' ... 'z'] = U,   ['{'] = V,
    ['|'] = PT,          ['}'] = V,
    ['~'] = U,           [0x80 ... 0xff] = OBS,
};
