/* coding.h - content codings that a client takes (Accept-Encoding, RFC 9110 section 12.5.3). Pure.
 */
#ifndef SLUICE_HTTP_CODING_H
#define SLUICE_HTTP_CODING_H

#include <stdint.h>

struct http_head;

enum http_coding { HTTP_CODING_BR = 1, HTTP_CODING_GZIP = 2, HTTP_CODING_ZSTD = 4 };

struct http_codings {
    uint8_t accepted;  /* bits */
    uint8_t preferred; /* the one with the highest weight; 0: several have it, or none */
};

struct http_codings http_codings_of(const struct http_head *request);
const char *http_coding_name(enum http_coding c);

#endif
