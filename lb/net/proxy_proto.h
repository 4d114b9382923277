/* proxy_proto.h - the PROXY protocol, versions 1 and 2 (haproxy proxy-protocol.txt); pure codec. */
#ifndef SLUICE_NET_PROXY_PROTO_H
#define SLUICE_NET_PROXY_PROTO_H

#include "lb/net/addr.h"

enum proxy_proto { PROXY_OFF, PROXY_V1, PROXY_V2, PROXY_ANY };

enum proxy_result {
    PROXY_MORE, /* incomplete: give the same bytes again with more behind them */
    PROXY_DONE,
    PROXY_BAD_SIGNATURE, /* neither version's first bytes, or one that is not accepted here */
    PROXY_BAD_VERSION,   /* v2: version or command unknown */
    PROXY_BAD_FAMILY,    /* address block does not fit the family, or unknown family */
    PROXY_BAD_ADDRESS,   /* v1: an address or port is malformed */
    PROXY_BAD_LENGTH,    /* v1 longer than 107 bytes without CRLF, v2 longer than we accept */
    PROXY_BAD_CHECKSUM,  /* v2 CRC32C TLV does not match */
    PROXY_BAD_TLV,       /* v2: a TLV reaches beyond the header */
};

struct proxy_header {
    bool local; /* LOCAL or UNKNOWN: the connection's own addresses count */
    struct addr src, dst;
    size_t header_len; /* bytes to cut off the stream */
};

/* accept: PROXY_V1, PROXY_V2 or PROXY_ANY. out is set on PROXY_DONE only. */
enum proxy_result proxy_parse(const void *data, size_t len, enum proxy_proto accept,
                              struct proxy_header *out);
const char *proxy_result_text(enum proxy_result r); /* for logs: "malformed address" ... */

#define PROXY_WRITE_MAX 256
/* Writes a header for the connection src -> dst; NULL addresses give LOCAL (v2) / UNKNOWN (v1).
 * Mixed families are written as IPv6 (v4-mapped); unix as UNKNOWN in v1 and AF_UNIX in v2.
 * Returns the length, at most PROXY_WRITE_MAX. */
size_t proxy_write(enum proxy_proto version, const struct addr *src, const struct addr *dst,
                   uint8_t out[static PROXY_WRITE_MAX]);

#endif
