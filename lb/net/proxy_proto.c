/* proxy_proto.c - see proxy_proto.h.
 *
 * Strict on purpose: a header decides whose traffic this is, so nothing is repaired by guess. What
 * can be refused is refused when the part that shows it is complete, and a longer input never
 * changes a verdict that was given (tests/fuzz/fuzz_proxy_proto.c checks it). */
#include "lb/net/proxy_proto.h"

#include "lb/base/limits.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define V1_LEN_MAX 107 /* with CRLF; the longest line that the protocol can give */

#define V2_HEAD    16
#define V2_VERSION 0x20u
#define V2_LOCAL   0x00u
#define V2_PROXY   0x01u

/* Family and transport. A datagram's address is as good as a stream's. */
#define V2_UNSPEC      0x00u
#define V2_TCP4        0x11u
#define V2_UDP4        0x12u
#define V2_TCP6        0x21u
#define V2_UDP6        0x22u
#define V2_UNIX_STREAM 0x31u
#define V2_UNIX_DGRAM  0x32u

#define V2_LEN_INET  12
#define V2_LEN_INET6 36
#define V2_LEN_UNIX  216
#define V2_PATH      108

#define TLV_HEAD          3
#define TLV_CRC32C        0x03u
#define TLV_UNIQUE_ID     0x05u
#define TLV_SSL           0x20u
#define TLV_UNIQUE_ID_MAX 128
#define TLV_SSL_HEAD      5 /* client bits and verify, then TLVs of its own */

static_assert(PROXY_WRITE_MAX >= V2_HEAD + V2_LEN_UNIX, "the longest header that is written");
static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == V2_PATH, "paths fit as they are");

static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";
static const char v1_signature[6] = "PROXY ";

const char *proxy_result_text(enum proxy_result r)
{
    switch (r) {
    case PROXY_MORE:
        return "incomplete header";
    case PROXY_DONE:
        return "complete header";
    case PROXY_BAD_SIGNATURE:
        return "no PROXY header of an accepted version";
    case PROXY_BAD_VERSION:
        return "unknown version or command";
    case PROXY_BAD_FAMILY:
        return "unknown address family or wrong address length";
    case PROXY_BAD_ADDRESS:
        return "malformed address";
    case PROXY_BAD_LENGTH:
        return "header too long";
    case PROXY_BAD_CHECKSUM:
        return "wrong checksum";
    case PROXY_BAD_TLV:
        return "malformed extension";
    }
    return "?";
}

static void set_inet(struct addr *a, const void *ip, uint16_t port)
{
    *a = (struct addr){.len = sizeof(a->in)};
    a->in.sin_family = AF_INET;
    a->in.sin_port = htons(port);
    memcpy(&a->in.sin_addr, ip, 4);
}

static void set_inet6(struct addr *a, const void *ip, uint16_t port)
{
    *a = (struct addr){.len = sizeof(a->in6)};
    a->in6.sin6_family = AF_INET6;
    a->in6.sin6_port = htons(port);
    memcpy(&a->in6.sin6_addr, ip, 16);
}

/* ---- version 1 ---- */

/* A decimal number without leading zeros. */
static bool parse_port(struct str s, uint16_t *out)
{
    uint64_t v;
    if (s.len > 5 || (s.len > 1 && s.p[0] == '0') || str_u64(s, 65535, &v) != 0)
        return false;
    *out = (uint16_t)v;
    return true;
}

static bool parse_endpoint(int family, struct str ip_text, struct str port_text, struct addr *out)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    uint16_t port;
    if (ip_text.len == 0 || ip_text.len >= sizeof(text) ||
        memchr(ip_text.p, '\0', ip_text.len) != NULL || !parse_port(port_text, &port))
        return false;
    memcpy(text, ip_text.p, ip_text.len);
    text[ip_text.len] = '\0';
    if (inet_pton(family, text, ip) != 1) /* takes no leading zeros in IPv4 */
        return false;
    if (family == AF_INET)
        set_inet(out, ip, port);
    else
        set_inet6(out, ip, port);
    return true;
}

/* Cuts off what is before the next single space; all of it when there is none. */
static struct str cut_field(struct str *s)
{
    const char *space = s->len > 0 ? memchr(s->p, ' ', s->len) : NULL;
    struct str field = {s->p, space != NULL ? (size_t)(space - s->p) : s->len};
    size_t used = field.len + (space != NULL ? 1 : 0);
    s->p += used;
    s->len -= used;
    return field;
}

/* line: between the signature and CRLF. */
static enum proxy_result parse_v1_line(struct str line, struct proxy_header *h)
{
    struct str proto = cut_field(&line);
    int family;
    if (str_eq(proto, STR("UNKNOWN"))) { /* whatever follows is to be ignored */
        h->local = true;
        return PROXY_DONE;
    }
    if (str_eq(proto, STR("TCP4")))
        family = AF_INET;
    else if (str_eq(proto, STR("TCP6")))
        family = AF_INET6;
    else
        return PROXY_BAD_FAMILY;
    struct str src = cut_field(&line), dst = cut_field(&line), src_port = cut_field(&line);
    /* The last field is the rest: one more space, or a fifth field, is in it and no port. */
    if (!parse_endpoint(family, src, src_port, &h->src) ||
        !parse_endpoint(family, dst, line, &h->dst))
        return PROXY_BAD_ADDRESS;
    return PROXY_DONE;
}

static enum proxy_result parse_v1(const char *data, size_t len, struct proxy_header *h)
{
    size_t end = sizeof(v1_signature);
    while (end < len && end < V1_LEN_MAX - 1 && data[end] != '\r' && data[end] != '\n')
        end++;
    if (end == V1_LEN_MAX - 1)
        return PROXY_BAD_LENGTH; /* no room left for CRLF */
    if (end == len)
        return PROXY_MORE;
    if (data[end] == '\n')
        return PROXY_BAD_ADDRESS; /* alone, it ends nothing */
    if (end + 1 == len)
        return PROXY_MORE;
    if (data[end + 1] != '\n')
        return PROXY_BAD_ADDRESS;
    h->header_len = end + 2;
    struct str line = {data + sizeof(v1_signature), end - sizeof(v1_signature)};
    return parse_v1_line(line, h);
}

/* ---- version 2 ---- */

static uint16_t get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put_u16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)get_u16(p) << 16 | get_u16(p + 2);
}

/* CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), four bits at a time. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t len)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (; len > 0; p++, len--) {
        crc ^= *p;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}

/* Of the whole header, with the checksum's own four bytes as zeros. */
static bool checksum_ok(const uint8_t *data, size_t total, size_t at)
{
    static const uint8_t zeros[4];
    uint32_t crc = crc32c(0xffffffffu, data, at);
    crc = crc32c(crc, zeros, sizeof(zeros));
    crc = crc32c(crc, data + at + 4, total - at - 4);
    return (crc ^ 0xffffffffu) == get_u32(data + at);
}

/* Do TLVs fill [at, end) exactly? */
static bool tlvs_fit(const uint8_t *data, size_t at, size_t end)
{
    while (at < end) {
        if (end - at < TLV_HEAD || end - at - TLV_HEAD < get_u16(data + at + 1))
            return false;
        at += TLV_HEAD + (size_t)get_u16(data + at + 1);
    }
    return true;
}

static enum proxy_result check_tlvs(const uint8_t *data, size_t at, size_t total)
{
    size_t checksum_at = 0;
    if (!tlvs_fit(data, at, total))
        return PROXY_BAD_TLV;
    for (size_t len; at < total; at += TLV_HEAD + len) {
        const uint8_t *value = data + at + TLV_HEAD;
        len = get_u16(data + at + 1);
        switch (data[at]) {
        case TLV_CRC32C:
            if (len != 4 || checksum_at != 0)
                return PROXY_BAD_TLV;
            checksum_at = at + TLV_HEAD;
            break;
        case TLV_UNIQUE_ID:
            if (len > TLV_UNIQUE_ID_MAX)
                return PROXY_BAD_TLV;
            break;
        case TLV_SSL:
            if (len < TLV_SSL_HEAD || !tlvs_fit(value, TLV_SSL_HEAD, len))
                return PROXY_BAD_TLV;
            break;
        default:
            break; /* not ours to judge: unknown ones are to be ignored */
        }
    }
    if (checksum_at != 0 && !checksum_ok(data, total, checksum_at))
        return PROXY_BAD_CHECKSUM;
    return PROXY_DONE;
}

static void set_unix(struct addr *a, const uint8_t path[static V2_PATH])
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = V2_PATH;
    memcpy(un.sun_path, path, V2_PATH);
    if (path[0] == '\0') { /* abstract: its length is what is before the padding */
        while (len > 0 && path[len - 1] == '\0')
            len--;
    }
    addr_from_sockaddr(a, (const struct sockaddr *)&un,
                       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}

/* The length of the address block, or -1: unknown family. */
static int address_len(uint8_t family)
{
    switch (family) {
    case V2_TCP4:
    case V2_UDP4:
        return V2_LEN_INET;
    case V2_TCP6:
    case V2_UDP6:
        return V2_LEN_INET6;
    case V2_UNIX_STREAM:
    case V2_UNIX_DGRAM:
        return V2_LEN_UNIX;
    default:
        return -1;
    }
}

static void take_addresses(const uint8_t *p, int block_len, struct proxy_header *h)
{
    if (block_len == V2_LEN_INET) {
        set_inet(&h->src, p, get_u16(p + 8));
        set_inet(&h->dst, p + 4, get_u16(p + 10));
    } else if (block_len == V2_LEN_INET6) {
        set_inet6(&h->src, p, get_u16(p + 32));
        set_inet6(&h->dst, p + 16, get_u16(p + 34));
    } else {
        set_unix(&h->src, p);
        set_unix(&h->dst, p + V2_PATH);
    }
}

static enum proxy_result parse_v2(const uint8_t *data, size_t len, struct proxy_header *h)
{
    if (len < V2_HEAD)
        return PROXY_MORE;
    uint8_t command = data[12] & 0x0fu, family = data[13];
    size_t total = V2_HEAD + (size_t)get_u16(data + 14);
    if ((data[12] & 0xf0u) != V2_VERSION || command > V2_PROXY)
        return PROXY_BAD_VERSION;
    if (total > LIMIT_PROXY_V2_BYTES)
        return PROXY_BAD_LENGTH;
    if (len < total)
        return PROXY_MORE;
    h->header_len = total;
    if (command == V2_LOCAL || family == V2_UNSPEC) {
        h->local = true; /* what the header holds besides is to be skipped, whatever it is */
        return PROXY_DONE;
    }
    int block_len = address_len(family);
    if (block_len < 0 || total - V2_HEAD < (size_t)block_len)
        return PROXY_BAD_FAMILY;
    take_addresses(data + V2_HEAD, block_len, h);
    return check_tlvs(data, V2_HEAD + (size_t)block_len, total);
}

enum proxy_result proxy_parse(const void *data, size_t len, enum proxy_proto accept,
                              struct proxy_header *out)
{
    struct proxy_header h = {0};
    enum proxy_result r = PROXY_BAD_SIGNATURE;
    size_t v1 = len < sizeof(v1_signature) ? len : sizeof(v1_signature);
    size_t v2 = len < sizeof(v2_signature) ? len : sizeof(v2_signature);

    sl_assert(accept == PROXY_V1 || accept == PROXY_V2 || accept == PROXY_ANY);
    if (len == 0)
        return PROXY_MORE;
    if (accept != PROXY_V2 && memcmp(data, v1_signature, v1) == 0)
        r = v1 < sizeof(v1_signature) ? PROXY_MORE : parse_v1(data, len, &h);
    else if (accept != PROXY_V1 && memcmp(data, v2_signature, v2) == 0)
        r = parse_v2(data, len, &h);
    if (r == PROXY_DONE)
        *out = h;
    return r;
}

/* ---- writing ---- */

static bool is_inet(const struct addr *a)
{
    return addr_family(a) == AF_INET || addr_family(a) == AF_INET6;
}

/* The address as IPv6; IPv4 becomes ::ffff:a.b.c.d. */
static void as_inet6(const struct addr *a, uint8_t out[static 16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (addr_family(a) == AF_INET6) {
        memcpy(out, &a->in6.sin6_addr, 16);
        return;
    }
    memcpy(out, mapped, sizeof(mapped));
    memcpy(out + 12, &a->in.sin_addr, 4);
}

static size_t write_v1(const struct addr *src, const struct addr *dst, char *out)
{
    static const char unknown[] = "PROXY UNKNOWN\r\n";
    char src_text[INET6_ADDRSTRLEN], dst_text[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    bool v4 =
        src != NULL && dst != NULL && addr_family(src) == AF_INET && addr_family(dst) == AF_INET;
    if (src == NULL || dst == NULL || !is_inet(src) || !is_inet(dst)) {
        memcpy(out, unknown, sizeof(unknown) - 1);
        return sizeof(unknown) - 1;
    }
    if (v4) {
        inet_ntop(AF_INET, &src->in.sin_addr, src_text, sizeof(src_text));
        inet_ntop(AF_INET, &dst->in.sin_addr, dst_text, sizeof(dst_text));
    } else {
        as_inet6(src, ip);
        inet_ntop(AF_INET6, ip, src_text, sizeof(src_text));
        as_inet6(dst, ip);
        inet_ntop(AF_INET6, ip, dst_text, sizeof(dst_text));
    }
    int n = snprintf(out, V1_LEN_MAX + 1, "PROXY %s %s %s %u %u\r\n", v4 ? "TCP4" : "TCP6",
                     src_text, dst_text, addr_port(src), addr_port(dst));
    sl_assert(n > 0 && n <= V1_LEN_MAX);
    return (size_t)n;
}

static void write_path(const struct addr *a, uint8_t *out)
{
    size_t start = offsetof(struct sockaddr_un, sun_path);
    size_t len = a->len > start ? a->len - start : 0;
    memset(out, 0, V2_PATH);
    memcpy(out, a->un.sun_path, len < V2_PATH ? len : V2_PATH);
}

static size_t write_v2(const struct addr *src, const struct addr *dst, uint8_t *out)
{
    uint8_t *p = out + V2_HEAD;
    memcpy(out, v2_signature, sizeof(v2_signature));
    out[12] = V2_VERSION | V2_PROXY;
    out[13] = V2_UNSPEC;
    if (src == NULL || dst == NULL) {
        out[12] = V2_VERSION | V2_LOCAL;
    } else if (addr_family(src) == AF_INET && addr_family(dst) == AF_INET) {
        out[13] = V2_TCP4;
        memcpy(p, &src->in.sin_addr, 4);
        memcpy(p + 4, &dst->in.sin_addr, 4);
        put_u16(p + 8, addr_port(src));
        put_u16(p + 10, addr_port(dst));
        p += V2_LEN_INET;
    } else if (is_inet(src) && is_inet(dst)) {
        out[13] = V2_TCP6;
        as_inet6(src, p);
        as_inet6(dst, p + 16);
        put_u16(p + 32, addr_port(src));
        put_u16(p + 34, addr_port(dst));
        p += V2_LEN_INET6;
    } else if (addr_family(src) == AF_UNIX && addr_family(dst) == AF_UNIX) {
        out[13] = V2_UNIX_STREAM;
        write_path(src, p);
        write_path(dst, p + V2_PATH);
        p += V2_LEN_UNIX;
    } /* else one is a path and one is not: there is no way to say it */
    put_u16(out + 14, (size_t)(p - out) - V2_HEAD);
    return (size_t)(p - out);
}

size_t proxy_write(enum proxy_proto version, const struct addr *src, const struct addr *dst,
                   uint8_t out[static PROXY_WRITE_MAX])
{
    if (src != NULL && src->len == 0)
        src = NULL;
    if (dst != NULL && dst->len == 0)
        dst = NULL;
    if (version == PROXY_V1)
        return write_v1(src, dst, (char *)out);
    sl_assert(version == PROXY_V2);
    return write_v2(src, dst, out);
}
